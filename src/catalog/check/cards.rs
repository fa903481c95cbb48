//! One card against the card it replaces, against itself and against what others ask for the same model. A rate that is a
//! thousand or a million times off one of these is a slip of the unit; where it agrees with another of them, or a note on
//! the card says why, a person decides.

use super::conditions;
use super::neighbours::{Neighbours, Usual};
use super::{Findings, Kind, Severity};
use crate::catalog::diff::{in_words, quoted, unit};
use crate::catalog::resolution::{is_ordinary, is_ordinary_variant, stands_in_for};
use crate::catalog::sides::{CardChange, CardKind, Listed, Place, Side, card_changes};
use crate::catalog::{Card, List, Model, Rates, label, label_of_kind};
use crate::money::Rate;
use crate::time::Instant;
use crate::usage::Meter;
use std::collections::BTreeMap;

const ASK_THE_SOURCE: &str = "check it against its source, then accept it";
pub(super) const CORRECT_THE_UNIT: &str = "correct the unit, or say in a note beside it why it is right";

/// Judges the cards of one list.
pub(super) struct Judge<'a> {
    pub list: &'a List,
    pub neighbours: &'a Neighbours<'a>,
}

/// A card that is new, or that says something else than it did.
struct Judged<'a> {
    list: &'a List,
    label: String,
    card: &'a Card,
    /// What it takes over from: its own earlier text, else the card before it.
    replaces: Option<&'a Card>,
    usual: &'a Usual,
}

impl Judge<'_> {
    pub fn changes(&self, was: Option<&Listed<'_>>, findings: &mut Findings) {
        for model in &self.list.models {
            let earlier = was.and_then(|was| was.earlier(model));
            if earlier == Some(model) {
                continue;
            }
            let usual = self.neighbours.usual(&self.list.provider, model);
            let judged = |card, replaces| Judged {
                list: self.list,
                label: label(&self.list.provider, &model.name, card),
                card,
                replaces,
                usual: &usual,
            };
            for change in card_changes(earlier.map_or(&[], |earlier| &earlier.cards), &model.cards) {
                match change {
                    CardChange::New { card, replaces } => judged(card, replaces).judge(findings),
                    CardChange::Corrected { card, was } => {
                        let judged = judged(card, Some(was));
                        judged.correction(was, findings);
                        judged.judge(findings);
                    }
                    CardChange::Gone { was, instead: Some(instead) } if !was.is_same_price(instead) => {
                        let what = format!(
                            "the card is gone, so that its time costs {} instead of {}",
                            in_words(&instead.rates, instead.currency),
                            in_words(&was.rates, was.currency)
                        );
                        let fix = "keep it, or correct it and say why in a note on the card";
                        findings.warning(Kind::Rewritten, label(&self.list.provider, &model.name, was), what, fix);
                    }
                    CardChange::Reread | CardChange::Gone { .. } => {}
                }
            }
        }
    }
}

impl Judged<'_> {
    fn judge(&self, findings: &mut Findings) {
        self.source(findings);
        self.use_of_it(findings);
        self.zeros(findings);
        self.rates(findings);
        self.lost_rates(findings);
        self.cache_rates(findings);
    }

    /// The note on the card, where it is not the one that was there before.
    fn is_explained(&self) -> bool {
        let earlier = self.replaces.and_then(|was| was.origin.note.as_ref());
        self.card.origin.note.as_ref().is_some_and(|note| Some(note) != earlier)
    }

    fn correction(&self, was: &Card, findings: &mut Findings) {
        let card = self.card;
        let is_same =
            card.rates == was.rates && card.when == was.when && card.graduated == was.graduated && card.currency == was.currency;
        if !is_same && !self.is_explained() {
            let what = format!("a correction without a note: {}", self.was_and_is(was));
            let fix = "say why in a note on the card, or publish a new card from the day of the change";
            findings.warning(Kind::Rewritten, &self.label, what, fix);
        }
    }

    fn was_and_is(&self, was: &Card) -> String {
        let (old, new) = (in_words(&was.rates, was.currency), in_words(&self.card.rates, self.card.currency));
        match old == new {
            true => "its conditions are others".to_owned(),
            false => format!("{old} -> {new}"),
        }
    }

    fn source(&self, findings: &mut Findings) {
        if self.card.origin.source.is_none() && self.list.origin.source.is_none() {
            findings.warning(Kind::NoSource, &self.label, "nothing says where its rates were read", "add `source` and `checked`");
        }
    }

    /// Cards and conditions that no event ever asks for.
    fn use_of_it(&self, findings: &mut Findings) {
        if let Some(name) = never_asked(self.card) {
            let what = format!("no event is ever priced by it, because {name} is looked up as the ordinary card");
            findings.warning(Kind::Unreachable, &self.label, what, format!("leave {name} out"));
        }
        if self.replaces.is_some_and(|was| was.when == self.card.when) {
            return;
        }
        for (condition, why) in conditions::dead(&self.card.when) {
            let subject = format!("{} when {condition}", self.label);
            findings.warning(Kind::Unreachable, subject, format!("the condition never decides: {why}"), "reorder or remove it");
        }
    }

    /// All of a card at once: free now, not free any longer, or zero without a word.
    fn zeros(&self, findings: &mut Findings) {
        let card = self.card;
        let now = in_words(&card.rates, card.currency);
        if card.is_doubtful_zero() {
            let before = self.replaces.filter(|was| was.costs()).map(|was| in_words(&was.rates, was.currency));
            let before = before.map_or(String::new(), |before| format!(" (it was {before})"));
            let what = format!("all of its rates are zero{before} and nobody said that it is free: unpriced until confirmed");
            findings.warning(Kind::DoubtfulZero, &self.label, what, "publish its rates, or `free: true`");
            return;
        }
        let Some(was) = self.replaces.filter(|was| !was.priced_as_answered && !card.priced_as_answered) else { return };
        let what = match (was.costs(), card.costs()) {
            (true, false) => format!("it is free now; it was {}", in_words(&was.rates, was.currency)),
            (false, true) => format!("it cost nothing and is {now} now"),
            (true, true) if !was.free && card.free => "what it has no rate for is free now".to_owned(),
            (true, true) if was.free && !card.free => "what it has no rate for was free and is not any longer".to_owned(),
            _ => return,
        };
        findings.warning(Kind::ZeroCrossing, &self.label, what, ASK_THE_SOURCE);
    }

    fn rates(&self, findings: &mut Findings) {
        let card = self.card;
        let same_currency = self.replaces.filter(|was| was.currency == card.currency);
        if let Some(was) = self.replaces.filter(|was| was.currency != card.currency) {
            let what = format!("{} -> {}, so that its rates cannot be compared", was.currency, card.currency);
            findings.warning(Kind::Jump, &self.label, what, ASK_THE_SOURCE);
        }
        for (place, meter, rate) in card.rates_with_places() {
            let was = same_currency.and_then(|was| was.rates_at(place)?.get(meter));
            if was != Some(rate) {
                self.rate(place, meter, rate, was, findings);
            }
        }
    }

    fn rate(&self, place: Place<'_>, meter: Meter, rate: Rate, was: Option<Rate>, findings: &mut Findings) {
        let subject = match place {
            Place::Base => format!("{} {}", self.label, meter.name()),
            Place::When(when) => format!("{} {} when {when}", self.label, meter.name()),
            Place::Over(over) => format!("{} {} beyond {over}", self.label, meter.name()),
        };
        let price = format!("{} {} {}", quoted(meter, rate), self.card.currency, unit(meter));
        let references = self.references(place, meter, was);
        if let Some((slip, reference)) = references.iter().find_map(|reference| Some((reference.slip(rate)?, reference))) {
            let is_backed = references.iter().any(|other| other.agrees(rate)) || self.is_explained();
            let severity = if is_backed { Severity::Warning } else { Severity::Error };
            let what = format!("{price}, {slip} {}, {}", reference.what, quoted(meter, reference.low));
            findings.add(severity, Kind::UnitSlip, subject, what, CORRECT_THE_UNIT);
            return;
        }
        let Some(was) = was else { return };
        // Where the whole card crossed, that was said of the card.
        let crossed_as_a_whole = self.replaces.is_some_and(|was| was.costs() != self.card.costs());
        let kind = match rate.is_zero() != was.is_zero() {
            true if crossed_as_a_whole => return,
            true => Kind::ZeroCrossing,
            false if rate.is_off(was, 10) => Kind::Jump,
            false => return,
        };
        findings.warning(kind, subject, format!("{} -> {price}", quoted(meter, was)), ASK_THE_SOURCE);
    }

    /// What a rate can be held against: itself before, the same card without the condition, what others ask.
    fn references(&self, place: Place<'_>, meter: Meter, was: Option<Rate>) -> Vec<Reference> {
        let is_base = matches!(place, Place::Base);
        let base = self.card.rates.get(meter).filter(|_| !is_base);
        let usual = self.usual.get(meter, self.card.currency).filter(|_| is_base);
        let known = [
            (was.map(|was| (was, was)), "what it was"),
            (base.map(|base| (base, base)), "the rate without the condition"),
            (usual, "what other lists ask"),
        ];
        known.into_iter().filter_map(|(rates, what)| rates.map(|(low, high)| Reference { low, high, what })).collect()
    }

    /// A meter without a rate of its own is charged as another one, or not at all: seldom what was meant.
    fn lost_rates(&self, findings: &mut Findings) {
        let Some(was) = self.replaces.filter(|_| !self.card.free && !self.is_explained()) else { return };
        if self.card.priced_as_answered && !was.priced_as_answered {
            let what = format!("it was {} and is priced as the model that answers now", in_words(&was.rates, was.currency));
            findings.warning(Kind::LostRate, &self.label, what, ASK_THE_SOURCE);
            return;
        }
        let lost = was.rates.iter().filter(|(meter, rate)| !rate.is_zero() && self.card.rates.get(*meter).is_none());
        let lost: Vec<String> = lost.filter_map(|(meter, rate)| self.without(meter, rate, was)).collect();
        if !lost.is_empty() {
            let fix = "give it the rate, or say in a note on the card why it has none";
            findings.warning(Kind::LostRate, &self.label, lost.join(", "), fix);
        }
    }

    /// What becomes of a meter that is not named any longer, where that is far from what it was.
    fn without(&self, meter: Meter, rate: Rate, was: &Card) -> Option<String> {
        let now = match self.stand_in(meter) {
            Some((_, instead)) if was.currency == self.card.currency && !rate.is_off(instead, 2) => return None,
            Some((other, instead)) => format!("charged as {} now, {}", other.name(), quoted(meter, instead)),
            None if meter == Meter::Request => "not charged any longer".to_owned(),
            None => "unpriced now".to_owned(),
        };
        Some(format!("{} was {} {} {} and is {now}", meter.name(), quoted(meter, rate), was.currency, unit(meter)))
    }

    fn stand_in(&self, meter: Meter) -> Option<(Meter, Rate)> {
        let mut asked = stands_in_for(meter, self.list.absent)?;
        loop {
            match self.card.rates.get(asked) {
                Some(rate) => return Some((asked, rate)),
                None => asked = stands_in_for(asked, self.list.absent)?,
            }
        }
    }

    fn cache_rates(&self, findings: &mut Findings) {
        let tables = std::iter::once((Place::Base, &self.card.rates))
            .chain(self.card.when.iter().map(|when| (Place::When(when), &when.rates)));
        for (place, rates) in tables {
            let before = self.replaces.and_then(|was| was.rates_at(place));
            for (cheap, dear) in [
                (Meter::CacheRead, Meter::Input),
                (Meter::AudioCacheRead, Meter::AudioInput),
                (Meter::CacheWrite, Meter::CacheWrite1h),
            ] {
                let was_so = before.is_some_and(|rates| upside_down(rates, cheap, dear).is_some());
                let Some((high, low)) = upside_down(rates, cheap, dear).filter(|_| !was_so) else { continue };
                let (high, low) = (quoted(cheap, high), quoted(dear, low));
                let what = format!("{} {high} is dearer than {} {low}", cheap.name(), dear.name());
                findings.warning(Kind::CacheRates, &self.label, what, "check that they are not mixed up, then accept it");
            }
        }
    }
}

/// The variant or tier of a card by which no event asks for it.
fn never_asked(card: &Card) -> Option<&str> {
    let tier = card.service_tier.as_deref().filter(|tier| is_ordinary(tier));
    tier.or(card.variant.as_deref().filter(|variant| is_ordinary_variant(variant)))
}

/// Both rates, where the one that should not be dearer is.
fn upside_down(rates: &Rates, cheap: Meter, dear: Meter) -> Option<(Rate, Rate)> {
    let (cheap, dear) = (rates.get(cheap)?, rates.get(dear)?);
    (cheap > dear).then_some((cheap, dear))
}

/// What a model's cards priced, and the cards that have its names now do not.
pub(super) fn gaps(list: &List, model: &Model, is: &Listed<'_>, after: &Side<'_>, findings: &mut Findings) {
    let prices = reach(model.cards.iter().filter(|card| !card.is_doubtful_zero() && never_asked(card).is_none()));
    let Some(first) = prices.values().min() else { return };
    let Some(instead) = after.model(is, &model.name) else {
        let what = format!("the model is gone; it was priced {}", since(*first));
        let fix = "keep its cards and mark it as delisted";
        findings.warning(Kind::Gap, format!("{}/{}", list.provider, model.name), what, fix);
        return;
    };
    let still = reach(instead.cards.iter());
    for (kind, from) in &prices {
        let what = match still.get(kind) {
            Some(now) if now <= from => continue,
            Some(now) => format!("it was priced {}, now only {}", since(*from), since(*now)),
            None => format!("it was priced {} and has no card any longer", since(*from)),
        };
        let fix = "keep the earlier card beside the new one";
        findings.warning(Kind::Gap, label_of_kind(&list.provider, &model.name, *kind), what, fix);
    }
    for alias in &model.aliases {
        let subject = format!("{}/{alias}", list.provider);
        match after.model(is, alias) {
            None => {
                let what = format!("the name was an alias of {} and leads nowhere now", model.name);
                findings.warning(Kind::Gap, subject, what, "keep the alias");
            }
            // A name has no dates: usage of before that is rated again is rated as what the name leads to now.
            Some(now) if now.name != model.name && now.name != *alias && now.name != instead.name => {
                let what = format!("the name led to {} and leads to {} now, also for usage of before", model.name, now.name);
                findings.warning(Kind::Rewritten, subject, what, "accept it if no usage is sent under that name");
            }
            Some(_) => {}
        }
    }
}

/// From when each question has an answer: by a card of its own, or by one whose conditions know the tier.
fn reach<'a>(cards: impl Iterator<Item = &'a Card>) -> BTreeMap<CardKind<'a>, Option<Instant>> {
    let mut reach = BTreeMap::new();
    for card in cards {
        let mut answers = |kind| {
            let first = reach.entry(kind).or_insert(card.from);
            *first = card.from.min(*first);
        };
        answers(card.kind());
        if card.service_tier.is_none() {
            for tier in card.when.iter().filter_map(|when| when.service_tier.as_deref()) {
                answers(CardKind { service_tier: Some(tier), ..card.kind() });
            }
        }
    }
    reach
}

fn since(from: Option<Instant>) -> String {
    from.map_or("from the beginning".to_owned(), |from| format!("from {}", from.as_date_or_instant()))
}

impl Card {
    /// Whether anything on it has a price above zero.
    fn costs(&self) -> bool {
        self.rates_with_places().any(|(_, _, rate)| !rate.is_zero())
    }
}

/// What a rate is held against; where two middles of a median disagree, both.
struct Reference {
    low: Rate,
    high: Rate,
    what: &'static str,
}

impl Reference {
    fn slip(&self, rate: Rate) -> Option<&'static str> {
        let slip = rate.slip_against(self.low)?;
        (rate.slip_against(self.high) == Some(slip)).then_some(slip)
    }

    fn agrees(&self, rate: Rate) -> bool {
        let agree = |other: Rate| !rate.is_zero() && !other.is_zero() && !rate.is_off(other, 10);
        agree(self.low) && agree(self.high)
    }
}
