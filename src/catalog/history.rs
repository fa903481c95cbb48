//! How a list grows. A source says what a price is, seldom since when; looking at it again and again makes a history: a
//! card holds from the look that first saw it, and names the look before, between which two the change lies. Nothing that
//! was ever listed goes away: a model that is gone keeps its cards, because what was used before must stay priced.

use crate::catalog::{Card, List, Model, Origin, Override, Overrides};
use crate::time::Instant;
use crate::usage::Text;
use std::collections::{BTreeMap, BTreeSet};

/// One look at a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    pub at: Instant,
    /// The look before, which saw what the earlier list says.
    pub before: Option<Instant>,
    /// From when that holds which was never seen before; without one as far back as the source goes.
    pub since: Option<Instant>,
    /// Only these models were looked at; of the others nothing is said.
    pub is_partial: bool,
    /// The source says itself from when its prices hold, also those to come.
    pub has_dates: bool,
}

impl Look {
    /// What is new holds from the moment it was seen.
    pub fn at(at: Instant, before: Option<Instant>) -> Look {
        Look { at, before, since: Some(at), is_partial: false, has_dates: false }
    }
}

impl List {
    /// When its source was looked at last.
    pub fn looked_at(&self) -> Option<Instant> {
        Instant::parse_date_or_instant(self.origin.checked.as_deref()?).ok()
    }

    /// Both say the same, whenever they were looked at.
    pub fn says_the_same(&self, other: &List) -> bool {
        let checked = |list: &List| Origin { checked: None, ..list.origin.clone() };
        self.models == other.models
            && self.provider == other.provider
            && self.pricing_provider_id == other.pricing_provider_id
            && (self.cost_basis, self.absent, self.insured) == (other.cost_basis, other.absent, other.insured)
            && checked(self) == checked(other)
    }

    /// What a source says now, laid over what it said before.
    pub fn seen(mut self, earlier: Option<&List>, look: Look) -> List {
        let mut models: BTreeMap<Text, Model> = BTreeMap::new();
        if look.is_partial {
            // The list stays whose it was; what was looked at names its own source.
            let origin = std::mem::take(&mut self.origin);
            self.models.iter_mut().flat_map(|model| &mut model.cards).for_each(|card| card.origin.inherit(&origin));
            self.origin = earlier.map_or(origin, |earlier| earlier.origin.clone());
        }
        if let Some(earlier) = earlier {
            let same_source = earlier.origin.source == self.origin.source;
            let now_listed: BTreeSet<Text> = self.models.iter().map(|model| model.name.clone()).collect();
            for model in &earlier.models {
                let mut model = model.clone();
                if same_source && !look.is_partial && !now_listed.contains(&model.name) {
                    model.delisted = model.delisted.or(Some(look.at));
                }
                if !same_source {
                    // The list as a whole will name the other source.
                    model.cards.iter_mut().for_each(|card| card.origin.inherit(&earlier.origin));
                }
                models.insert(model.name.clone(), model);
            }
            self.pricing_provider_id = earlier.pricing_provider_id.clone().or(self.pricing_provider_id);
            self.cost_basis = earlier.cost_basis;
            self.absent = earlier.absent;
            self.insured = earlier.insured;
        }

        let mut names: BTreeSet<Text> = BTreeSet::new();
        for seen in std::mem::take(&mut self.models) {
            names.insert(seen.name.clone());
            names.extend(seen.aliases.iter().cloned());
            // A name that was an alias goes on with the prices of the model that it led to.
            let before = models.remove(&seen.name).or_else(|| {
                let led_to = models.values().find(|model| model.aliases.contains(&seen.name))?;
                Some(Model { aliases: Vec::new(), ..led_to.clone() })
            });
            let (cards, aliases) = before.map_or_else(Default::default, |model| (model.cards, model.aliases));
            let cards = lay_over(cards, seen.cards, look);
            let kept = aliases.into_iter().filter(|alias| !seen.aliases.contains(alias)).collect::<Vec<_>>();
            let aliases = seen.aliases.into_iter().chain(kept).collect();
            models.insert(seen.name.clone(), Model { name: seen.name, aliases, delisted: None, cards });
        }
        // A name leads where the source says now, not where it led before.
        let listed: BTreeMap<Text, usize> = places(&models, &names);
        for (place, model) in models.values_mut().enumerate() {
            model.aliases.retain(|alias| listed.get(alias).is_none_or(|owner| *owner == place));
        }

        self.models = models.into_values().collect();
        if !look.is_partial || earlier.is_none() {
            self.origin.checked = Text::new(look.at.as_date_or_instant());
        }
        self
    }
}

impl Overrides {
    /// New contracts beside the overrides there are. One that says something else than its predecessor holds from an instant
    /// on, so that what was before stays as it was; the rest of an operator's rules is not touched.
    pub fn with(&self, new: &Overrides, from: Instant) -> Overrides {
        let mut all = self.clone();
        for contract in &new.overrides {
            let same = |it: &&Override| (it.kind, &it.scope, &it.model) == (contract.kind, &contract.scope, &contract.model);
            let latest = all.overrides.iter().filter(same).max_by_key(|it| it.from);
            let says = |it: &Override| (it.rates.clone(), it.when.clone(), it.currency);
            match latest {
                Some(latest) if says(latest) == says(contract) => {}
                Some(_) => all.overrides.push(Override { from: Some(from), ..contract.clone() }),
                None => all.overrides.push(contract.clone()),
            }
        }
        all
    }
}

/// Which model each of these names leads to: a model of that name before an alias, and of several aliases the one that
/// the source states now.
fn places(models: &BTreeMap<Text, Model>, stated: &BTreeSet<Text>) -> BTreeMap<Text, usize> {
    let mut places = BTreeMap::new();
    for now in [false, true] {
        for (place, model) in models.values().enumerate() {
            if stated.contains(&model.name) == now {
                places.extend(model.aliases.iter().map(|alias| (alias.clone(), place)));
            }
        }
    }
    places.extend(models.keys().enumerate().map(|(place, name)| (name.clone(), place)));
    places
}

/// Cards of a source without dates hold from this look where they differ from what held until now; cards with dates are
/// what the source says of them.
fn lay_over(mut cards: Vec<Card>, seen: Vec<Card>, look: Look) -> Vec<Card> {
    let dated: Vec<Card> = seen.iter().filter(|card| card.from.is_some()).cloned().collect();
    if look.has_dates {
        // A price that was announced and is not any more will not come.
        let is_announced = |card: &Card| dated.iter().any(|other| other.is_same_kind(card) && other.from == card.from);
        cards.retain(|card| card.from.is_none_or(|from| from <= look.at) || is_announced(card));
    }
    for card in seen {
        let states_dates = dated.iter().any(|other| other.is_same_kind(&card));
        if states_dates {
            match cards.iter_mut().find(|other| other.is_same_kind(&card) && other.from == card.from) {
                Some(same) if same.is_same_price(&card) => {}
                Some(wrong) => *wrong = card,
                None => cards.push(card),
            }
            continue;
        }
        let in_force = cards
            .iter_mut()
            .filter(|other| other.is_same_kind(&card) && other.from.is_none_or(|from| from <= look.at))
            .max_by_key(|other| other.from);
        match in_force {
            Some(same) if same.is_same_price(&card) || same.confirms(&card) => {}
            Some(wrong) if wrong.from == Some(look.at) => {
                *wrong = Card { from: wrong.from, seen_after: wrong.seen_after, ..card }
            }
            Some(_) => cards.push(Card { from: Some(look.at), seen_after: look.before, ..card }),
            None => {
                let seen_after = look.before.filter(|_| look.since == Some(look.at));
                cards.push(Card { from: look.since, seen_after, ..card });
            }
        }
    }
    cards.sort_by_key(|card| card.from);
    cards
}

impl Card {
    /// Both answer the same question, at one time or another.
    pub fn is_same_kind(&self, other: &Card) -> bool {
        self.endpoint == other.endpoint
            && self.route == other.route
            && self.variant == other.variant
            && self.service_tier == other.service_tier
    }

    /// A person said of these zeros that they are meant; seeing them again changes nothing.
    fn confirms(&self, seen: &Card) -> bool {
        self.free && !seen.free && self.rates.all_zero() && self.is_same_price(&Card { free: true, ..seen.clone() })
    }

    /// Both say the same, wherever they have it from.
    pub fn is_same_price(&self, other: &Card) -> bool {
        self.rates == other.rates
            && self.when == other.when
            && self.graduated == other.graduated
            && self.currency == other.currency
            && self.free == other.free
            && self.priced_as_answered == other.priced_as_answered
    }
}

impl Origin {
    /// Takes from the whole list what is not said here.
    pub(crate) fn inherit(&mut self, whole: &Origin) {
        if self.source.is_none() {
            self.source = whole.source.clone();
            self.checked = self.checked.take().or(whole.checked.clone());
        }
    }
}
