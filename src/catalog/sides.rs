//! Two versions of a catalog side by side: which list, model and card of the one answers for which of the other. Both the
//! checks before publishing and the diff begin here, so that they agree on what a change is. A model is found by its name
//! or an alias, as an event finds it; cards of one kind replace each other in time.

use crate::catalog::resolution::own_name;
use crate::catalog::{Card, Ceiling, Conditional, List, Model, Override, Part, Rates};
use crate::money::Rate;
use crate::time::Instant;
use crate::usage::{Meter, Text};
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// All parts of one version, by provider.
pub(super) struct Side<'a> {
    pub lists: BTreeMap<&'a Text, Listed<'a>>,
    pub overrides: BTreeMap<&'a Text, Vec<&'a Override>>,
    pub ceilings: BTreeMap<&'a Text, Vec<&'a Ceiling>>,
    /// In words, in their order.
    pub rules: Vec<String>,
}

/// A list that is asked by name.
pub(super) struct Listed<'a> {
    pub list: &'a List,
    by_name: HashMap<&'a str, &'a Model>,
}

/// The question that a card answers, at one time or another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct CardKind<'a> {
    pub endpoint: Option<&'a str>,
    pub route: Option<&'a str>,
    pub variant: Option<&'a str>,
    pub service_tier: Option<&'a str>,
}

/// What became of a card.
pub(super) enum CardChange<'a> {
    /// Nothing of its kind began at its instant; what it takes over from.
    New { card: &'a Card, replaces: Option<&'a Card> },
    /// Another price from the same instant.
    Corrected { card: &'a Card, was: &'a Card },
    /// The same price, read elsewhere or at another time.
    Reread,
    /// It is no more, and its time belongs to an earlier one, if there is any.
    Gone { was: &'a Card, instead: Option<&'a Card> },
}

/// Where on a card a rate stands.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Base,
    When(&'a Conditional),
    Over(u64),
}

impl<'a> Side<'a> {
    /// Of two lists of one provider, which no catalog is built from, the first counts.
    pub fn of(parts: &'a [Part]) -> Side<'a> {
        let mut side = Side { lists: BTreeMap::new(), overrides: BTreeMap::new(), ceilings: BTreeMap::new(), rules: Vec::new() };
        for part in parts {
            match part {
                Part::List(list) => {
                    side.lists.entry(&list.provider).or_insert_with(|| Listed::of(list));
                }
                Part::Rules(rules) => side.rules.extend(rules.lines()),
                Part::Overrides(part) => {
                    side.overrides.entry(&part.provider).or_default().extend(&part.overrides);
                    side.ceilings.entry(&part.provider).or_default().extend(&part.ceilings);
                }
            }
        }
        side
    }

    /// The list that prices what this one does not.
    pub fn elsewhere(&self, list: &List) -> Option<&Listed<'a>> {
        self.lists.get(list.pricing_provider_id.as_ref()?)
    }

    /// The model of a name in a list, or in the one that the list points to.
    pub fn model(&self, listed: &Listed<'a>, name: &str) -> Option<&'a Model> {
        listed.model(name).or_else(|| {
            let elsewhere = self.elsewhere(listed.list)?;
            elsewhere.model(own_name(name, &elsewhere.list.provider).unwrap_or(name))
        })
    }
}

impl<'a> Listed<'a> {
    pub fn of(list: &'a List) -> Listed<'a> {
        let aliases = list.models.iter().flat_map(|model| model.aliases.iter().map(move |alias| (&**alias, model)));
        let names = list.models.iter().map(|model| (&*model.name, model));
        // A model's own name goes before another's alias.
        Listed { list, by_name: aliases.chain(names).collect() }
    }

    /// The model of a name or an alias.
    pub fn model(&self, name: &str) -> Option<&'a Model> {
        self.by_name.get(name).copied()
    }

    /// The model of exactly this name.
    pub fn named(&self, name: &str) -> Option<&'a Model> {
        self.model(name).filter(|model| &*model.name == name)
    }

    /// The model of this name, or the one that was renamed and whose name is an alias now.
    pub fn earlier(&self, model: &Model) -> Option<&'a Model> {
        self.named(&model.name).or_else(|| model.aliases.iter().find_map(|alias| self.named(alias)))
    }

    pub fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.by_name.keys().copied()
    }
}

impl Model {
    /// What an ordinary call costs by the last word on it.
    pub(super) fn latest_ordinary(&self) -> Option<&Card> {
        self.cards.iter().rfind(|card| card.is_ordinary())
    }
}

impl Card {
    pub(super) fn kind(&self) -> CardKind<'_> {
        CardKind {
            endpoint: self.endpoint.as_deref(),
            route: self.route.as_deref(),
            variant: self.variant.as_deref(),
            service_tier: self.service_tier.as_deref(),
        }
    }

    /// What an ordinary call asks for: no upstream, variant or tier in particular.
    pub(super) fn is_ordinary(&self) -> bool {
        self.kind() == CardKind::default()
    }

    /// Every rate on the card with its place.
    pub(super) fn rates_with_places(&self) -> impl Iterator<Item = (Place<'_>, Meter, Rate)> + '_ {
        let tables = std::iter::once((Place::Base, &self.rates))
            .chain(self.when.iter().map(|when| (Place::When(when), &when.rates)))
            .chain(self.graduated.iter().map(|slice| (Place::Over(slice.over), &slice.rates)));
        tables.flat_map(|(place, rates)| rates.iter().map(move |(meter, rate)| (place, meter, rate)))
    }

    /// The rates that this card has at the same place.
    pub(super) fn rates_at(&self, place: Place<'_>) -> Option<&Rates> {
        match place {
            Place::Base => Some(&self.rates),
            Place::When(when) => self.when.iter().find(|other| other.asks_as(when)).map(|other| &other.rates),
            Place::Over(over) => self.graduated.iter().find(|slice| slice.over == over).map(|slice| &slice.rates),
        }
    }
}

impl Conditional {
    /// Both hold for the same events, whatever they ask for them.
    pub(super) fn asks_as(&self, other: &Conditional) -> bool {
        self.prompt_tokens_over == other.prompt_tokens_over
            && self.window == other.window
            && self.days == other.days
            && self.service_tier == other.service_tier
            && self.region == other.region
    }
}

/// Cards by the question they answer, each kind by its dates.
pub(super) fn by_kind(cards: &[Card]) -> BTreeMap<CardKind<'_>, Vec<&Card>> {
    let mut kinds: BTreeMap<CardKind<'_>, Vec<&Card>> = BTreeMap::new();
    for card in cards {
        kinds.entry(card.kind()).or_default().push(card);
    }
    kinds
}

/// What became of every card between two lists of one model; those that are as they were are left out.
pub(super) fn card_changes<'a>(before: &'a [Card], after: &'a [Card]) -> Vec<CardChange<'a>> {
    let mut changes = Vec::new();
    for (_, was, is) in joined(by_kind(before), by_kind(after)) {
        let (was, is) = (was.unwrap_or_default(), is.unwrap_or_default());
        for &card in &is {
            match from_instant(&was, card.from) {
                Some(old) if old == card => {}
                Some(old) if old.is_same_price(card) => changes.push(CardChange::Reread),
                Some(old) => changes.push(CardChange::Corrected { card, was: old }),
                None => {
                    let replaces = before_instant(&is, card.from).or(was.first().copied());
                    changes.push(CardChange::New { card, replaces });
                }
            }
        }
        for old in was.into_iter().filter(|old| from_instant(&is, old.from).is_none()) {
            changes.push(CardChange::Gone { was: old, instead: before_instant(&is, old.from) });
        }
    }
    changes
}

fn from_instant<'a>(cards: &[&'a Card], from: Option<Instant>) -> Option<&'a Card> {
    let place = cards.partition_point(|card| card.from < from);
    cards.get(place).copied().filter(|card| card.from == from)
}

fn before_instant<'a>(cards: &[&'a Card], from: Option<Instant>) -> Option<&'a Card> {
    cards[..cards.partition_point(|card| card.from < from)].last().copied()
}

/// Two tables as one, in the order of their keys.
pub(super) fn joined<K: Ord, T>(before: BTreeMap<K, T>, after: BTreeMap<K, T>) -> Vec<(K, Option<T>, Option<T>)> {
    let mut both: BTreeMap<K, (Option<T>, Option<T>)> = before.into_iter().map(|(key, was)| (key, (Some(was), None))).collect();
    for (key, is) in after {
        both.entry(key).or_default().1 = Some(is);
    }
    both.into_iter().map(|(key, (was, is))| (key, was, is)).collect()
}

/// `gpt-4o` of `openai/gpt-4o`: what a model is called whoever sells it.
pub(super) fn bare(name: &Text) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
