//! Which card decides an event, and why. First match wins: an override, the amount the provider reported (where the list
//! says that this is what is booked), the endpoint's card, the provider's list, the list of its `pricing_provider_id`.
//! Names match exactly, through an alias, or through one of three rules that are written out in `spellings`; there is no
//! fuzzy match, because a near miss bills somebody.
//!
//! The answer explains itself when asked to: everything that was looked at leaves a line in a [`Trace`].

use crate::catalog::{
    Absent, Card, CardMark, Catalog, Ceiling, Conditional, List, Override, OverrideKind, Pattern, Provider, Rates, Scope, Slice,
};
use crate::money::{Currency, Rate};
use crate::time::Instant;
use crate::usage::{Meter, Text, UsageEvent};
use std::borrow::Cow;
use std::sync::Arc;

/// Where a price came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Layer {
    /// Nothing was asked: the outcome of the call costs nothing.
    Outcome = 0,
    Override = 1,
    Endpoint = 2,
    List = 3,
    PricingProvider = 4,
    Reported = 5,
    /// Nobody asked: a person decided.
    Decision = 6,
}

/// Takes notes of what was tried. `()` takes none and costs nothing.
pub trait Trace {
    fn note(&mut self, say: impl FnOnce() -> String);
}

impl Trace for () {
    fn note(&mut self, _: impl FnOnce() -> String) {}
}

impl Trace for Vec<String> {
    fn note(&mut self, say: impl FnOnce() -> String) {
        self.push(say());
    }
}

/// What applies to an event: at most one override of each kind, and the card below them or why there is none.
pub(crate) struct Found<'c> {
    pub list: Option<&'c List>,
    pub contract: Option<Named<'c, Override>>,
    pub chargeback: Option<Named<'c, Override>>,
    pub card: Result<CardFound<'c>, NoCard>,
}

pub(crate) struct CardFound<'c> {
    pub layer: Layer,
    pub card: Named<'c, Card>,
    pub absent: Absent,
}

/// Something from the catalog under the name that entries give it.
pub(crate) struct Named<'c, T> {
    pub it: &'c T,
    pub label: &'c Arc<str>,
}

impl<T> Clone for Named<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Named<'_, T> {}

/// Why no card fits, in the words that a person acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCard {
    UnknownProvider {
        provider: String,
    },
    UnknownModel {
        model: String,
        at: Instant,
    },
    NotInForce {
        model: String,
        first: Instant,
        at: Instant,
    },
    NoTier {
        model: String,
        tier: String,
    },
    NoVariant {
        model: String,
        variant: String,
    },
    PricedAsAnswered {
        model: String,
    },
    DoubtfulZero {
        card: String,
    },
    /// The provider has none and the list it points to has none either.
    NorElsewhere {
        here: Box<NoCard>,
        there: Box<NoCard>,
        pricing_provider_id: String,
        vendor: Option<String>,
    },
}

pub(crate) fn find<'c>(catalog: &'c Catalog, event: &UsageEvent, trace: &mut impl Trace) -> Found<'c> {
    let name = &event.product.provider;
    let Some((place, provider)) = catalog.provider(name) else {
        trace.note(|| format!("no list for provider {name}"));
        let card = Err(NoCard::UnknownProvider { provider: name.to_string() });
        return Found { list: None, contract: None, chargeback: None, card };
    };
    let asked = Asked::by(event);
    // An override names a model as the list does; an event may name it by an alias.
    let listed_as = match provider.overrides.is_empty() {
        true => None,
        false => listed_as(catalog, place, provider, &asked),
    };
    let mut found = Found {
        list: Some(&provider.list),
        contract: override_for(provider, event, listed_as, OverrideKind::Contract, trace),
        chargeback: override_for(provider, event, listed_as, OverrideKind::Chargeback, trace),
        card: card_of(catalog, place, provider, &asked, trace),
    };
    let Some(elsewhere) = provider.list.pricing_provider_id.as_ref().filter(|_| found.card.is_err()) else { return found };

    // The list of another provider, with the model's name as that provider writes it.
    let Some((place, other)) = catalog.provider(elsewhere) else {
        trace.note(|| format!("pricing_provider_id {elsewhere}: no list for that provider"));
        let there = NoCard::UnknownProvider { provider: elsewhere.to_string() };
        found.card = found.card.map_err(|here| here.elsewhere(elsewhere, event, there));
        return found;
    };
    let asked = Asked { model: own_name(asked.model, elsewhere).unwrap_or(asked.model), served_by: None, ..asked };
    trace.note(|| format!("pricing_provider_id {elsewhere}: looking for {}", asked.model));
    found.card = match (found.card, card_of(catalog, place, other, &asked, trace)) {
        (_, Ok(card)) => Ok(CardFound { layer: Layer::PricingProvider, ..card }),
        (Err(here), Err(there)) => Err(here.elsewhere(elsewhere, event, there)),
        (here, _) => here,
    };
    found
}

/// The name under which the provider's list has the model.
fn listed_as<'c>(catalog: &Catalog, place: usize, provider: &'c Provider, asked: &Asked<'_>) -> Option<&'c str> {
    let (model, _) =
        spellings(asked.model, asked.variant, &provider.list.provider).find_map(|(name, _)| catalog.model(place, &name))?;
    Some(&provider.list.models[model].name)
}

/// The most specific override in force; the provider keeps them in that order.
fn override_for<'c>(
    provider: &'c Provider,
    event: &UsageEvent,
    listed_as: Option<&str>,
    kind: OverrideKind,
    trace: &mut impl Trace,
) -> Option<Named<'c, Override>> {
    for (it, label) in provider.overrides.iter().filter(|(it, _)| it.kind == kind) {
        match why_not(&it.scope, &it.model, it.from, event, listed_as) {
            None => {
                trace.note(|| format!("override {label}: applies"));
                return Some(Named { it, label });
            }
            Some(why) => trace.note(|| format!("override {label}: does not apply, {}", why.in_words(&it.scope, &it.model))),
        }
    }
    None
}

/// The most specific ceiling in force, of the provider's own and those that hold everywhere; its own wins a tie.
pub(crate) fn ceiling_for<'c>(catalog: &'c Catalog, event: &UsageEvent) -> Option<Named<'c, Ceiling>> {
    let here = catalog.provider(&event.product.provider);
    let everywhere = catalog.ceilings_everywhere();
    if everywhere.is_empty() && here.is_none_or(|(_, provider)| provider.ceilings.is_empty()) {
        return None;
    }
    let listed_as = here.and_then(|(place, provider)| listed_as(catalog, place, provider, &Asked::by(event)));
    let holds = |(it, _): &&(Ceiling, _)| why_not(&it.scope, &it.model, it.from, event, listed_as).is_none();
    let own = here.and_then(|(_, provider)| provider.ceilings.iter().find(holds));
    let (it, label) = everywhere.iter().find(holds).into_iter().chain(own).max_by_key(|(it, _)| it.specificity())?;
    Some(Named { it, label })
}

/// Why an operator's rule is not about an event.
enum WhyNot {
    OtherOwner,
    OtherModel,
    NotYet,
}

fn why_not(scope: &Scope, model: &Pattern, from: Option<Instant>, event: &UsageEvent, listed_as: Option<&str>) -> Option<WhyNot> {
    if !scope.has(&event.owner) {
        Some(WhyNot::OtherOwner)
    } else if !model.fits(&event.product.model) && !listed_as.is_some_and(|name| model.fits(name)) {
        Some(WhyNot::OtherModel)
    } else if from.is_some_and(|from| from > event.occurred_at) {
        Some(WhyNot::NotYet)
    } else {
        None
    }
}

impl WhyNot {
    fn in_words(&self, scope: &Scope, model: &Pattern) -> String {
        match self {
            WhyNot::OtherOwner => format!("it is for {scope}"),
            WhyNot::OtherModel => format!("it is for the model {model}"),
            WhyNot::NotYet => "it is not in force yet".to_owned(),
        }
    }
}

/// Whether a service tier is the one that a card without a tier is for.
pub fn is_ordinary(tier: &str) -> bool {
    matches!(tier, "default" | "standard" | "on_demand")
}

/// What decides between cards, as the event says it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    model: &'a str,
    variant: Option<&'a str>,
    /// The tier that served, or none where that is the ordinary one.
    tier: Option<&'a str>,
    served_by: Option<&'a str>,
    at: Instant,
}

impl<'a> Asked<'a> {
    fn by(event: &'a UsageEvent) -> Asked<'a> {
        let product = &event.product;
        Asked {
            model: &product.model,
            variant: product.variant.as_deref().filter(|variant| *variant != "standard"),
            tier: product.service_tier.as_deref().filter(|tier| !is_ordinary(tier)),
            served_by: product.served_by.as_deref(),
            at: event.occurred_at,
        }
    }
}

fn card_of<'c>(
    catalog: &'c Catalog,
    place: usize,
    provider: &'c Provider,
    asked: &Asked<'_>,
    trace: &mut impl Trace,
) -> Result<CardFound<'c>, NoCard> {
    let list = &*provider.list;
    let mut no_card = NoCard::UnknownModel { model: format!("{}/{}", list.provider, asked.model), at: asked.at };

    for (name, variant) in spellings(asked.model, asked.variant, &list.provider) {
        let Some((model, is_alias)) = catalog.model(place, &name) else {
            trace.note(|| format!("list {}: no model {name}", list.provider));
            continue;
        };
        let (model, marks) = (&list.models[model], &provider.cards[model]);
        trace.note(|| match is_alias {
            true => format!("list {}: {name} is an alias of {}", list.provider, model.name),
            false => format!("list {}: has {name}", list.provider),
        });
        let asked = Asked { variant, ..*asked };
        let found = |card: usize, layer| {
            let mark: &CardMark = &marks[card];
            let card = Named { it: &model.cards[card], label: &mark.label };
            if card.it.priced_as_answered {
                return Err(NoCard::PricedAsAnswered { model: format!("{}/{}", list.provider, model.name) });
            }
            // An all-zero card that nobody called free prices nothing.
            match mark.is_doubtful_zero {
                true => Err(NoCard::DoubtfulZero { card: card.label.to_string() }),
                false => Ok(CardFound { layer, card, absent: list.absent }),
            }
        };
        if let Some(served_by) = asked.served_by {
            match asked.endpoint_among(&model.cards, marks, served_by) {
                Ok(card) => {
                    trace.note(|| format!("endpoint card {}: in force", marks[card].label));
                    return found(card, Layer::Endpoint);
                }
                Err(routes) => trace.note(|| match routes.as_slice() {
                    [] => format!("no endpoint card of {} for {served_by}", model.name),
                    several => {
                        let routes: Vec<_> = several.iter().map(|route| route.as_deref().unwrap_or("unnamed")).collect();
                        format!(
                            "{} has {} routes to {served_by} at different rates ({}), so none of them is taken",
                            model.name,
                            routes.len(),
                            routes.join(", ")
                        )
                    }
                }),
            }
        }
        if let Some(card) = asked.of_list(&model.cards, marks) {
            trace.note(|| format!("card {}: in force", marks[card].label));
            return found(card, Layer::List);
        }
        no_card = asked.why_none(&model.cards, format!("{}/{}", list.provider, model.name));
        trace.note(|| no_card.to_string());
    }
    Err(no_card)
}

/// The names under which a model may stand in a list, in the order in which they are tried, with the variant that is
/// then still to be matched by a card: as it was sent, with its variant as a suffix, without a suffix that only steers
/// routing, and without the provider's own name in front.
fn spellings<'a>(
    model: &'a str,
    variant: Option<&'a str>,
    provider: &str,
) -> impl Iterator<Item = (Cow<'a, str>, Option<&'a str>)> {
    let bare = own_name(model, provider);
    [Some(model), bare].into_iter().flatten().flat_map(move |model| {
        let (stem, suffix) = model.rsplit_once(':').unwrap_or((model, ""));
        [
            variant.filter(|variant| !steers(variant)).map(|variant| (Cow::Owned(format!("{model}:{variant}")), None)),
            Some((Cow::Borrowed(model), variant.filter(|variant| !steers(variant)))),
            steers(suffix).then_some((Cow::Borrowed(stem), None)),
        ]
        .into_iter()
        .flatten()
    })
}

/// A suffix that only steers routing: it buys no other price.
fn steers(suffix: &str) -> bool {
    matches!(suffix, "nitro" | "floor" | "exacto" | "online")
}

/// A variant by which no card is ever looked up.
pub(super) fn is_ordinary_variant(variant: &str) -> bool {
    variant == "standard" || steers(variant)
}

/// `gpt-4o` of `openai/gpt-4o`, where the vendor is this provider.
pub(super) fn own_name<'a>(model: &'a str, provider: &str) -> Option<&'a str> {
    model.strip_prefix(provider)?.strip_prefix('/').filter(|name| !name.is_empty())
}

impl Asked<'_> {
    /// The card of an endpoint, if exactly one fits: an upstream may be reached by several routes at different rates, and
    /// nobody says which one served. Otherwise the routes that would have fitted.
    fn endpoint_among<'c>(&self, cards: &'c [Card], marks: &[CardMark], served_by: &str) -> Result<usize, Vec<&'c Option<Text>>> {
        let is_endpoint = |card: &Card| card.endpoint.as_deref() == Some(served_by) || card.route.as_deref() == Some(served_by);
        let mut routes: Vec<&Option<Text>> = cards.iter().filter(|card| is_endpoint(card)).map(|card| &card.route).collect();
        routes.sort_unstable();
        routes.dedup();
        routes.retain(|route| self.among(cards, marks, |card| is_endpoint(card) && card.route == **route).is_some());
        let mut fitting =
            routes.iter().filter_map(|route| self.among(cards, marks, |card| is_endpoint(card) && card.route == **route));
        match fitting.next() {
            Some(first) if fitting.all(|other| cards[other].is_same_price(&cards[first])) => Ok(first),
            _ => Err(routes),
        }
    }

    /// The list's own card for this call.
    fn of_list(&self, cards: &[Card], marks: &[CardMark]) -> Option<usize> {
        match (self.variant, self.tier) {
            (None, None) => marks.iter().rposition(|mark| mark.from <= self.at && mark.is_ordinary),
            _ => self.among(cards, marks, |card| card.endpoint.is_none()),
        }
    }

    /// The latest card in force: one for the tier itself, else one whose conditions know the tier.
    fn among(&self, cards: &[Card], marks: &[CardMark], is_asked: impl Fn(&Card) -> bool) -> Option<usize> {
        let latest = |fits: &dyn Fn(&Card) -> bool| {
            cards.iter().zip(marks).rposition(|(card, mark)| {
                mark.from <= self.at && card.variant.as_deref() == self.variant && is_asked(card) && fits(card)
            })
        };
        latest(&|card| card.service_tier.as_deref() == self.tier).or_else(|| {
            let tier = self.tier?;
            let knows = |card: &Card| card.when.iter().any(|when| when.service_tier.as_deref() == Some(tier));
            latest(&|card| card.service_tier.is_none() && knows(card))
        })
    }

    fn why_none(&self, cards: &[Card], model: String) -> NoCard {
        let of_variant = || cards.iter().filter(|card| card.endpoint.is_none() && card.variant.as_deref() == self.variant);
        let of_tier = |card: &&Card| card.service_tier.as_deref() == self.tier;
        match (of_variant().next(), of_variant().find(of_tier).and_then(|card| card.from), self.tier) {
            (_, Some(first), _) if first > self.at => NoCard::NotInForce { model, first, at: self.at },
            (Some(_), _, Some(tier)) => NoCard::NoTier { model, tier: tier.to_owned() },
            (None, _, _) if self.variant.is_some() => {
                NoCard::NoVariant { model, variant: self.variant.unwrap_or_default().to_owned() }
            }
            _ => NoCard::UnknownModel { model, at: self.at },
        }
    }
}

/// The rates that apply to one event: up to three tables on top of each other, with the conditions of each decided.
pub(crate) struct Prices<'c> {
    tables: Vec<Table<'c>>,
    absent: Absent,
    /// The card below is free: what it has no rate for costs nothing either.
    free: Option<&'c Arc<str>>,
}

struct Table<'c> {
    rates: &'c Rates,
    when: &'c [Conditional],
    /// Which of `when` hold, as bits.
    holds: u64,
    graduated: &'c [Slice],
    label: &'c Arc<str>,
}

/// A card may have no more conditions than this; the reader of catalogs refuses more.
pub const MAX_CONDITIONS: usize = 64;

/// A meter's rate, and where it was found.
pub(crate) struct Priced<'c> {
    pub rate: Rate,
    /// The meter whose rate stands in, where the card has none of its own.
    pub inherited_from: Option<Meter>,
    pub label: &'c Arc<str>,
    /// What this meter counts beyond each bound is charged at the rate beside it.
    pub slices: Vec<(u64, Rate)>,
}

impl<'c> Prices<'c> {
    pub fn new(absent: Absent) -> Prices<'c> {
        Prices { tables: Vec::with_capacity(2), absent, free: None }
    }

    pub fn over(mut self, rates: Named<'c, Override>, event: &UsageEvent) -> Prices<'c> {
        self.push(&rates.it.rates, &rates.it.when, &[], rates.label, event);
        self
    }

    pub fn card(mut self, found: &CardFound<'c>, event: &UsageEvent) -> Prices<'c> {
        let card = found.card.it;
        self.free = card.free.then_some(found.card.label);
        self.push(&card.rates, &card.when, &card.graduated, found.card.label, event);
        self
    }

    fn push(
        &mut self,
        rates: &'c Rates,
        when: &'c [Conditional],
        graduated: &'c [Slice],
        label: &'c Arc<str>,
        event: &UsageEvent,
    ) {
        let holds =
            when.iter().enumerate().filter(|(_, when)| when.holds_for(event)).fold(0, |bits, (place, _)| bits | 1 << place);
        self.tables.push(Table { rates, when, holds, graduated, label });
    }

    /// Whether any table asks about one request, which an event that stands for many cannot answer.
    pub fn ask_about_one_request(&self) -> bool {
        self.tables.iter().any(|table| !table.graduated.is_empty() || table.when.iter().any(Conditional::is_per_request))
    }

    /// The conditions that hold, in words.
    pub fn conditions(&self) -> impl Iterator<Item = String> + '_ {
        self.tables.iter().flat_map(|table| {
            let holds = |place: &usize| table.holds & 1 << place != 0;
            (0..table.when.len()).filter(holds).map(|place| format!("{}: {}", table.label, table.when[place]))
        })
    }

    pub fn of(&self, meter: Meter) -> Option<Priced<'c>> {
        let mut asked = meter;
        loop {
            for table in &self.tables {
                if let Some(rate) = table.rate(asked) {
                    let inherited_from = (asked != meter).then_some(asked);
                    let slices = table.graduated.iter().filter_map(|slice| Some((slice.over, slice.rates.get(asked)?))).collect();
                    return Some(Priced { rate, inherited_from, label: table.label, slices });
                }
            }
            match stands_in_for(asked, self.absent) {
                Some(other) => asked = other,
                // A request is counted by nobody in particular, so only a rate of its own makes it an item.
                None if meter == Meter::Request => return None,
                None => {
                    let label = self.free?;
                    return Some(Priced { rate: Rate::ZERO, inherited_from: None, label, slices: Vec::new() });
                }
            }
        }
    }
}

impl Table<'_> {
    /// Of the conditions that hold the later one wins, meter by meter; what none names comes from the card.
    fn rate(&self, meter: Meter) -> Option<Rate> {
        let mut bits = self.holds;
        while bits != 0 {
            let last = 63 - bits.leading_zeros();
            if let Some(rate) = self.when[last as usize].rates.get(meter) {
                return Some(rate);
            }
            bits &= !(1 << last);
        }
        self.rates.get(meter)
    }
}

/// The meter whose rate is charged where a meter has none of its own: reasoning is output everywhere; the rest only where
/// the source says that an absent rate is included in the side it belongs to.
pub(super) fn stands_in_for(meter: Meter, absent: Absent) -> Option<Meter> {
    match meter {
        Meter::Reasoning => Some(Meter::Output),
        _ if absent == Absent::Unknown => None,
        Meter::CacheRead | Meter::CacheWrite | Meter::AudioInput | Meter::ImageInput | Meter::VideoInput => Some(Meter::Input),
        Meter::CacheWrite1h => Some(Meter::CacheWrite),
        // A cached token without a cached price is charged as what it is: audio.
        Meter::AudioCacheRead => Some(Meter::AudioInput),
        Meter::AudioOutput | Meter::ImageOutput => Some(Meter::Output),
        _ => None,
    }
}

impl Conditional {
    fn holds_for(&self, event: &UsageEvent) -> bool {
        let asked = Asked::by(event);
        let prompt_tokens = || event.quantities().map_or(0, |quantities| quantities.prompt_tokens());
        // The day is that of the instant itself, also in a window that wraps past midnight.
        self.prompt_tokens_over.is_none_or(|over| prompt_tokens() > over)
            && self.window.is_none_or(|window| window.has(asked.at.minute_of_day()))
            && self.days.is_none_or(|days| days.has(asked.at.weekday()))
            && self.service_tier.as_ref().is_none_or(|tier| asked.tier == Some(tier))
            && self.region.as_ref().is_none_or(|region| event.product.region.as_ref() == Some(region))
    }
}

impl std::fmt::Display for Conditional {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.prompt_tokens_over.map(|over| format!("prompt tokens over {over}")));
        parts.extend(self.window.map(|window| format!("{window} UTC")));
        parts.extend(self.days.map(|days| match days.0 {
            0 => "on no day".to_owned(),
            _ => days.names().collect::<Vec<_>>().join(", "),
        }));
        parts.extend(self.service_tier.as_ref().map(|tier| format!("service tier {tier}")));
        parts.extend(self.region.as_ref().map(|region| format!("region {region}")));
        f.write_str(&parts.join(", "))
    }
}

impl NoCard {
    /// Neither here nor in the list of the provider's `pricing_provider_id`. A router's slug names the vendor first; the
    /// list of one vendor cannot have the models of the others.
    fn elsewhere(self, pricing_provider_id: &str, event: &UsageEvent, there: NoCard) -> NoCard {
        let vendor =
            event.product.model.split_once('/').map(|(vendor, _)| vendor).filter(|vendor| *vendor != pricing_provider_id);
        NoCard::NorElsewhere {
            here: Box::new(self),
            there: Box::new(there),
            pricing_provider_id: pricing_provider_id.to_owned(),
            vendor: vendor.map(str::to_owned),
        }
    }

    /// What has to be mended first.
    pub fn root(&self) -> &NoCard {
        match self {
            // A card that is there and doubtful says more than a list that does not know the model.
            NoCard::NorElsewhere { here, there, .. } => match **there {
                NoCard::DoubtfulZero { .. } | NoCard::PricedAsAnswered { .. } | NoCard::NoTier { .. } => there,
                _ => here,
            },
            other => other,
        }
    }
}

impl std::fmt::Display for NoCard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoCard::UnknownProvider { provider } => {
                write!(f, "no list for provider {provider}; publish one or check the spelling")
            }
            NoCard::UnknownModel { model, at } => {
                write!(f, "no rate card for {model} at {at}; publish one, set an override or add an alias")
            }
            NoCard::NotInForce { model, first, at } => {
                write!(
                    f,
                    "no rate card for {model} at {at}: the first is from {}; publish an earlier one",
                    first.as_date_or_instant()
                )
            }
            NoCard::NoTier { model, tier } => {
                write!(
                    f,
                    "no rate card for {model} in service tier {tier}; publish one, so that it is not charged as standard by mistake"
                )
            }
            NoCard::NoVariant { model, variant } => write!(f, "no rate card for {model} in variant {variant}; publish one"),
            NoCard::PricedAsAnswered { model } => {
                write!(f, "{model} picks a model and has no price of its own; send the model that answered")
            }
            NoCard::NorElsewhere { here, there, pricing_provider_id, vendor } => {
                let mended_there = !std::ptr::eq(self.root(), &**here);
                match (mended_there, vendor) {
                    (true, _) => write!(f, "{there} (looked up through pricing_provider_id {pricing_provider_id})"),
                    (false, Some(vendor)) => write!(
                        f,
                        "{here}; pricing_provider_id {pricing_provider_id} does not help, because its list has no models of \
                         {vendor}: for a router's slugs it should be the router's own list, such as openrouter"
                    ),
                    (false, None) => write!(f, "{here}; the list of pricing_provider_id {pricing_provider_id} has none either"),
                }
            }
            NoCard::DoubtfulZero { card } => {
                write!(
                    f,
                    "every rate of {card} is zero and nobody confirmed that it is free; publish it with `free: true` or with its rates"
                )
            }
        }
    }
}

impl Layer {
    pub const fn name(self) -> &'static str {
        match self {
            Layer::Outcome => "outcome",
            Layer::Override => "override",
            Layer::Endpoint => "endpoint",
            Layer::List => "list",
            Layer::PricingProvider => "pricing-provider",
            Layer::Reported => "reported",
            Layer::Decision => "decision",
        }
    }

    pub fn from_number(number: u8) -> Option<Layer> {
        use Layer::{Decision, Endpoint, List, Outcome, Override, PricingProvider, Reported};
        [Outcome, Override, Endpoint, List, PricingProvider, Reported, Decision].into_iter().find(|layer| *layer as u8 == number)
    }
}

impl CardFound<'_> {
    pub fn currency(&self) -> Currency {
        self.card.it.currency
    }
}
