//! The rule book: what a model costs at a provider, from when, under which conditions, and whose own rates override it.
//! It is made of parts, one list and one set of overrides per provider; a published edition names its parts by hash and
//! never changes. Which card decides an event is [`resolution`]'s question; what comes out of the multiplication is
//! `rating`'s.

pub mod check;
pub mod diff;
pub mod history;
pub mod quoted;
pub mod resolution;
pub mod rules;
pub mod shipped;
mod sides;
pub mod source;

use crate::money::{Amount, Currency, Rate};
use crate::time::{Instant, Weekdays, Window};
use crate::usage::{Meter, Owner, Text};
use hashbrown::{Equivalent, HashMap};
use rules::Rules;
use sides::CardKind;
use std::fmt;
use std::sync::Arc;

/// What one file states about one provider. Public lists and an operator's overrides are separate parts, because lists
/// are shared between orgs and overrides are private.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    List(Arc<List>),
    Overrides(Arc<Overrides>),
    Rules(Arc<Rules>),
}

/// A provider's list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    pub provider: Text,
    /// Where to look when this list has no card for a model.
    pub pricing_provider_id: Option<Text>,
    pub cost_basis: CostBasis,
    pub absent: Absent,
    pub insured: Insured,
    pub origin: Origin,
    pub models: Vec<Model>,
}

/// What an operator adds to the lists: own rates, and ceilings that rates are held against.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Overrides {
    /// [`EVERYWHERE`] stands for every provider, and has ceilings only.
    pub provider: Text,
    pub overrides: Vec<Override>,
    pub ceilings: Vec<Ceiling>,
}

/// The provider of a part whose ceilings hold at every provider.
pub const EVERYWHERE: &str = "*";

/// Which amount is booked when the provider said what it charged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CostBasis {
    Rated,
    Reported,
}

/// What it means that a card has no rate for a meter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Absent {
    /// No separate rate: the meter is charged as the side it belongs to.
    Included,
    /// Nobody knows: usage of that meter is unpriced.
    Unknown,
}

/// Calls that a provider does not charge although they used something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Insured {
    /// The call failed.
    pub error: bool,
    /// The call broke off before any output.
    pub empty: bool,
}

/// Where a number was read, and when.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    pub source: Option<Text>,
    pub checked: Option<Text>,
    /// What a person has to say of it, which a check takes for an explanation.
    pub note: Option<Text>,
    /// What an importer had to say of it.
    pub remark: Option<Text>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    pub name: Text,
    /// Other names of the same model; exact, audited, never guessed.
    pub aliases: Vec<Text>,
    /// When the source was first seen without it. Its cards stay: what was used before is still priced.
    pub delisted: Option<Instant>,
    /// By effective date, the earliest first.
    pub cards: Vec<Card>,
}

/// All rates of one model, in force from an instant until the next card of the same kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Card {
    /// Without one the card reaches as far back as its source.
    pub from: Option<Instant>,
    /// The last look at the source that still saw another price: the change lies between it and `from`.
    pub seen_after: Option<Instant>,
    /// The upstream whose rates these are.
    pub endpoint: Option<Text>,
    /// One of several ways to the same upstream, as the source names it.
    pub route: Option<Text>,
    pub variant: Option<Text>,
    pub service_tier: Option<Text>,
    /// A router without a price of its own: the model that answered has one.
    pub priced_as_answered: bool,
    pub currency: Currency,
    /// The source says that it costs nothing, or a person accepted that; without it an all-zero card prices nothing.
    pub free: bool,
    pub rates: Rates,
    pub when: Vec<Conditional>,
    pub graduated: Vec<Slice>,
    pub origin: Origin,
}

/// Rates that hold when all its conditions do. Of several that hold, the later one wins, meter by meter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conditional {
    /// Strictly greater: a prompt of exactly this many tokens is still charged at the base rate.
    pub prompt_tokens_over: Option<u64>,
    pub window: Option<Window>,
    pub days: Option<Weekdays>,
    pub service_tier: Option<Text>,
    pub region: Option<Text>,
    pub rates: Rates,
}

/// A graduated rate: what a meter counts beyond `over` is charged at these rates, what it counts up to there is not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    pub over: u64,
    pub rates: Rates,
}

/// An operator's own rates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Override {
    pub kind: OverrideKind,
    pub scope: Scope,
    pub model: Pattern,
    pub from: Option<Instant>,
    pub currency: Currency,
    pub rates: Rates,
    pub when: Vec<Conditional>,
    pub origin: Origin,
}

/// The dearest that may be charged. It prices nothing and stops nothing: what lies above it is said, not changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ceiling {
    pub scope: Scope,
    pub model: Pattern,
    pub from: Option<Instant>,
    pub currency: Currency,
    pub rates: Rates,
    /// What one call may cost as a whole.
    pub per_request: Option<Amount>,
    pub origin: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum OverrideKind {
    /// What the provider charges us: org-wide.
    Contract,
    /// What an owner bears: for a team, project or key. The provider is still owed its own price.
    Chargeback,
}

/// Whom an override is for; the most specific one wins.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Scope {
    Org,
    Team(Text),
    Project(Text),
    Key(Text),
}

#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Pattern {
    Every,
    /// `anthropic/*`
    Prefix(Text),
    Exact(Text),
}

/// Rates by meter, sorted. Most cards have three or four, so a list beats a table of twenty-two.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rates(Box<[(Meter, Rate)]>);

/// All parts of one edition, ready to be asked.
pub struct Catalog {
    providers: Vec<Provider>,
    by_name: HashMap<Box<str>, usize>,
    models: HashMap<ModelKey, Entry>,
    /// The ceilings that hold at every provider, in the same order as a provider's own.
    ceilings_everywhere: Vec<(Ceiling, Arc<str>)>,
    rules: Arc<Rules>,
}

/// One provider's parts.
pub(crate) struct Provider {
    pub list: Arc<List>,
    /// The most specific first, and the latest first among equals.
    pub overrides: Vec<(Override, Arc<str>)>,
    /// In the same order.
    pub ceilings: Vec<(Ceiling, Arc<str>)>,
    /// What has to be known of every card to choose among them, by model and card.
    pub cards: Vec<Box<[CardMark]>>,
}

/// What decides between the cards of a model, side by side: choosing one must not touch all of them.
pub(crate) struct CardMark {
    pub label: Arc<str>,
    /// In force from; without a date from as early as can be.
    from: Instant,
    /// For ordinary calls: no endpoint, variant or tier.
    is_ordinary: bool,
    pub is_doubtful_zero: bool,
}

/// Where a name leads.
#[derive(Clone, Copy)]
struct Entry {
    model: usize,
    is_alias: bool,
}

#[derive(PartialEq, Eq, Hash)]
struct ModelKey {
    provider: usize,
    name: Box<str>,
}

#[derive(Hash)]
struct ModelName<'a> {
    provider: usize,
    name: &'a str,
}

impl Equivalent<ModelKey> for ModelName<'_> {
    fn equivalent(&self, key: &ModelKey) -> bool {
        self.provider == key.provider && self.name == &*key.name
    }
}

/// Parts that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    #[error("provider {0} has two lists; put them into one file")]
    TwoLists(Text),
    #[error("provider {0} has overrides in two files; put them into one")]
    TwoOverrides(Text),
    #[error("there are two files of rules; put them into one")]
    TwoRules,
    #[error("{provider} names `{name}` twice, as a model or an alias; keep one")]
    TwoModels { provider: Text, name: Text },
    #[error("{card} has two cards from the same instant; keep the one that is right")]
    TwoCards { card: String },
}

impl Part {
    /// The name under which a part is replaced by its next edition.
    pub fn name(&self) -> String {
        match self {
            Part::List(list) => list.provider.to_string(),
            Part::Overrides(overrides) => format!("{}.overrides", overrides.provider),
            Part::Rules(_) => "rules".to_owned(),
        }
    }

    /// How many models, cards and overrides it has.
    pub fn counts(&self) -> (usize, usize, usize) {
        match self {
            Part::List(list) => (list.models.len(), list.models.iter().map(|model| model.cards.len()).sum(), 0),
            Part::Overrides(part) => (0, 0, part.overrides.len()),
            Part::Rules(_) => (0, 0, 0),
        }
    }
}

impl List {
    /// A provider of which nothing is known but its name.
    pub fn empty(provider: Text) -> List {
        List {
            provider,
            pricing_provider_id: None,
            cost_basis: CostBasis::Rated,
            absent: Absent::Unknown,
            insured: Insured::default(),
            origin: Origin::default(),
            models: Vec::new(),
        }
    }
}

impl Rates {
    pub fn new(mut rates: Vec<(Meter, Rate)>) -> Rates {
        rates.sort_by_key(|(meter, _)| *meter);
        Rates(rates.into())
    }

    pub fn get(&self, meter: Meter) -> Option<Rate> {
        self.0.iter().find(|(other, _)| *other == meter).map(|(_, rate)| *rate)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Meter, Rate)> + '_ {
        self.0.iter().copied()
    }

    /// These rates, and what they do not name from those below.
    pub fn over(&self, below: &Rates) -> Rates {
        let below = below.iter().filter(|(meter, _)| self.get(*meter).is_none());
        Rates::new(self.iter().chain(below).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn all_zero(&self) -> bool {
        self.0.iter().all(|(_, rate)| rate.is_zero())
    }
}

impl Conditional {
    /// Asks about one request, so it cannot be asked of an event that stands for many.
    pub fn is_per_request(&self) -> bool {
        self.prompt_tokens_over.is_some() || self.window.is_some() || self.days.is_some()
    }
}

impl Card {
    /// A card of these rates for ordinary calls, without a date.
    pub fn of(rates: Rates) -> Card {
        Card {
            from: None,
            seen_after: None,
            endpoint: None,
            route: None,
            variant: None,
            service_tier: None,
            priced_as_answered: false,
            currency: Currency::USD,
            free: false,
            rates,
            when: Vec::new(),
            graduated: Vec::new(),
            origin: Origin::default(),
        }
    }

    /// Nothing on it costs anything, yet nobody said that it is free.
    pub fn is_doubtful_zero(&self) -> bool {
        !self.free
            && !self.priced_as_answered
            && self.rates.all_zero()
            && self.when.iter().all(|when| when.rates.all_zero())
            && self.graduated.is_empty()
    }
}

impl Catalog {
    pub fn build(parts: impl IntoIterator<Item = Part>) -> Result<Catalog, Clash> {
        let mut catalog = Catalog {
            providers: Vec::new(),
            by_name: HashMap::new(),
            models: HashMap::new(),
            ceilings_everywhere: Vec::new(),
            rules: Arc::default(),
        };
        let mut overrides: Vec<Arc<Overrides>> = Vec::new();
        for part in parts {
            match part {
                Part::List(list) => catalog.add_list(list)?,
                Part::Overrides(part) => overrides.push(part),
                Part::Rules(_) if !catalog.rules.is_empty() => return Err(Clash::TwoRules),
                Part::Rules(rules) => catalog.rules = rules,
            }
        }
        overrides.sort_by(|a, b| a.provider.cmp(&b.provider));
        if let Some(pair) = overrides.windows(2).find(|pair| pair[0].provider == pair[1].provider) {
            return Err(Clash::TwoOverrides(pair[0].provider.clone()));
        }
        for part in overrides {
            catalog.add_overrides(&part)?;
        }
        Ok(catalog)
    }

    fn add_list(&mut self, list: Arc<List>) -> Result<(), Clash> {
        let provider = self.providers.len();
        if self.by_name.insert((&*list.provider).into(), provider).is_some() {
            return Err(Clash::TwoLists(list.provider.clone()));
        }
        let mut cards = Vec::with_capacity(list.models.len());
        for (place, model) in list.models.iter().enumerate() {
            for (name, is_alias) in std::iter::once((&model.name, false)).chain(model.aliases.iter().map(|alias| (alias, true))) {
                let key = ModelKey { provider, name: (&**name).into() };
                if self.models.insert(key, Entry { model: place, is_alias }).is_some() {
                    return Err(Clash::TwoModels { provider: list.provider.clone(), name: name.clone() });
                }
            }
            debug_assert!(model.cards.is_sorted_by_key(|card| card.from), "whoever makes a list sorts its cards");
            let marks: Box<[CardMark]> = model.cards.iter().map(|card| CardMark::of(card, &list.provider, &model.name)).collect();
            refuse_twins(marks.iter().map(|mark| &mark.label))?;
            cards.push(marks);
        }
        self.providers.push(Provider { list, overrides: Vec::new(), ceilings: Vec::new(), cards });
        Ok(())
    }

    fn add_overrides(&mut self, part: &Overrides) -> Result<(), Clash> {
        let ceilings = part.ceilings.iter().map(|ceiling| (ceiling.clone(), ceiling.label(&part.provider).into()));
        if &*part.provider == EVERYWHERE {
            return add_ranked(&mut self.ceilings_everywhere, ceilings, Ceiling::rank);
        }
        let place = match self.by_name.get(&*part.provider) {
            Some(&place) => place,
            // A provider that nobody lists may still have an operator's own rates.
            None => {
                self.add_list(Arc::new(List::empty(part.provider.clone())))?;
                self.providers.len() - 1
            }
        };
        let provider = &mut self.providers[place];
        let overrides = part.overrides.iter().map(|rates| (rates.clone(), rates.label(&part.provider).into()));
        add_ranked(&mut provider.overrides, overrides, Override::rank)?;
        add_ranked(&mut provider.ceilings, ceilings, Ceiling::rank)
    }

    pub(crate) fn provider(&self, name: &str) -> Option<(usize, &Provider)> {
        let place = *self.by_name.get(name)?;
        Some((place, &self.providers[place]))
    }

    /// A model by its name or an alias, and whether it was an alias.
    pub(crate) fn model(&self, provider: usize, name: &str) -> Option<(usize, bool)> {
        let entry = self.models.get(&ModelName { provider, name })?;
        Some((entry.model, entry.is_alias))
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(crate) fn ceilings_everywhere(&self) -> &[(Ceiling, Arc<str>)] {
        &self.ceilings_everywhere
    }

    /// Where the card or override of this label was read: what it says itself, else what its list says.
    pub fn origin_of(&self, label: &str) -> Option<Origin> {
        self.providers.iter().find_map(|provider| {
            let own = provider.overrides.iter().find(|(_, other)| **other == *label).map(|(it, _)| it.origin.clone());
            own.or_else(|| {
                let cards = provider.list.models.iter().zip(&provider.cards);
                let mut marked = cards.flat_map(|(model, marks)| model.cards.iter().zip(marks.iter()));
                let (card, _) = marked.find(|(_, mark)| *mark.label == *label)?;
                let mut origin = card.origin.clone();
                origin.inherit(&provider.list.origin);
                Some(origin)
            })
        })
    }

    pub fn lists(&self) -> impl Iterator<Item = &List> {
        self.providers.iter().map(|provider| &*provider.list)
    }

    pub fn provider_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.lists().map(|list| &*list.provider).collect();
        names.sort_unstable();
        names
    }
}

/// Sorts the most specific last: scope, then model, then date.
type Rank = (Specificity, Option<Instant>);

/// How narrowly a rule says whom and what it is about.
pub(crate) type Specificity = (u8, u8, usize);

fn specificity(scope: &Scope, model: &Pattern) -> Specificity {
    let scope = match scope {
        Scope::Org => 0,
        Scope::Team(_) => 1,
        Scope::Project(_) => 2,
        Scope::Key(_) => 3,
    };
    let (model, length) = match model {
        Pattern::Every => (0, 0),
        Pattern::Prefix(prefix) => (1, prefix.len()),
        Pattern::Exact(_) => (2, 0),
    };
    (scope, model, length)
}

impl Override {
    fn rank(&self) -> Rank {
        (specificity(&self.scope, &self.model), self.from)
    }

    fn label(&self, provider: &str) -> String {
        let kind = match self.kind {
            OverrideKind::Contract => "contract",
            OverrideKind::Chargeback => "chargeback",
        };
        format!("{provider}/{}{} ({kind} for {})", self.model, since(self.from), self.scope)
    }
}

impl Ceiling {
    fn rank(&self) -> Rank {
        (self.specificity(), self.from)
    }

    pub(crate) fn specificity(&self) -> Specificity {
        specificity(&self.scope, &self.model)
    }

    fn label(&self, provider: &str) -> String {
        format!("{provider}/{}{} ceiling for {}", self.model, since(self.from), self.scope)
    }

    /// `output at most 15 USD per 1M, at most 0.5 USD per request`
    fn in_words(&self) -> String {
        let rates = self.rates.iter().map(|(meter, rate)| {
            let (unit, power) = if meter.is_token() { ("per 1M", 6) } else { ("each", 0) };
            format!("{} at most {} {} {unit}", meter.name(), rate.quoted_per(power), self.currency)
        });
        let whole = self.per_request.map(|amount| format!("at most {amount} {} per request", self.currency));
        rates.chain(whole).collect::<Vec<_>>().join(", ")
    }
}

impl Scope {
    pub fn has(&self, owner: &Owner) -> bool {
        match self {
            Scope::Org => true,
            Scope::Team(team) => owner.team.as_ref() == Some(team),
            Scope::Project(project) => owner.project.as_ref() == Some(project),
            Scope::Key(key) => owner.key.as_ref() == Some(key),
        }
    }
}

impl Pattern {
    /// Reads `*`, `anthropic/*` or a name.
    pub fn of(name: Text) -> Pattern {
        match name.strip_suffix('*').map(Text::new) {
            None => Pattern::Exact(name),
            Some(None) => Pattern::Every,
            Some(Some(prefix)) => Pattern::Prefix(prefix),
        }
    }

    pub fn fits(&self, model: &str) -> bool {
        match self {
            Pattern::Every => true,
            Pattern::Prefix(prefix) => model.starts_with(&**prefix),
            Pattern::Exact(name) => model == &**name,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Org => f.write_str("the org"),
            Scope::Team(team) => write!(f, "team {team}"),
            Scope::Project(project) => write!(f, "project {project}"),
            Scope::Key(key) => write!(f, "key {key}"),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Every => f.write_str("*"),
            Pattern::Prefix(prefix) => write!(f, "{prefix}*"),
            Pattern::Exact(model) => f.write_str(model),
        }
    }
}

impl CardMark {
    fn of(card: &Card, provider: &str, model: &str) -> CardMark {
        CardMark {
            label: label(provider, model, card).into(),
            from: card.from.unwrap_or(Instant::from_micros(i64::MIN)),
            is_ordinary: card.endpoint.is_none() && card.variant.is_none() && card.service_tier.is_none(),
            is_doubtful_zero: card.is_doubtful_zero(),
        }
    }
}

/// A label says whom and from when; two cards that share one contradict each other.
fn refuse_twins<'a>(labels: impl Iterator<Item = &'a Arc<str>>) -> Result<(), Clash> {
    let mut sorted: Vec<_> = labels.collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Clash::TwoCards { card: pair[0].to_string() }),
        None => Ok(()),
    }
}

/// Adds rules and their labels to those there are, and keeps the most specific first.
fn add_ranked<T>(
    rules: &mut Vec<(T, Arc<str>)>,
    more: impl Iterator<Item = (T, Arc<str>)>,
    rank: impl Fn(&T) -> Rank,
) -> Result<(), Clash> {
    rules.extend(more);
    rules.sort_by_key(|(rule, _)| std::cmp::Reverse(rank(rule)));
    refuse_twins(rules.iter().map(|(_, label)| label))
}

/// `@2026-01-01`, where there is a date.
fn since(from: Option<Instant>) -> String {
    from.map_or(String::new(), |from| format!("@{}", from.as_date_or_instant()))
}

/// How entries and explanations name a card: `openrouter/anthropic/claude-sonnet-4.5@2025-09-29`.
fn label(provider: &str, model: &str, card: &Card) -> String {
    label_of_kind(provider, model, card.kind()) + &since(card.from)
}

/// What all cards of one kind are called, whenever they begin.
fn label_of_kind(provider: &str, model: &str, kind: CardKind<'_>) -> String {
    let mut label = format!("{provider}/{model}");
    for (mark, part) in [(":", kind.variant), (" at ", kind.endpoint), (" via ", kind.route), (" tier ", kind.service_tier)] {
        if let Some(part) = part {
            label.push_str(mark);
            label.push_str(part);
        }
    }
    label
}
