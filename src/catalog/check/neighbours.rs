//! What other providers ask for the same model. Models are the same where the last segment of a name or an alias is, letter
//! for letter; a median of the others says what is usual, and of two middles that disagree neither is taken for it.

use crate::catalog::sides::{Side, bare};
use crate::catalog::{Card, Model};
use crate::money::{Currency, Rate};
use crate::usage::Meter;
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// The latest ordinary card of every model of a catalog, by its bare name.
pub(super) struct Neighbours<'a>(HashMap<&'a str, Vec<Sold<'a>>>);

#[derive(Clone, Copy)]
struct Sold<'a> {
    by: &'a str,
    card: &'a Card,
}

/// The middle of what others ask, twice where there is one: between two middles no rate is invented.
pub(super) struct Usual(BTreeMap<(Meter, Currency), (Rate, Rate)>);

impl<'a> Neighbours<'a> {
    pub fn of(side: &Side<'a>) -> Neighbours<'a> {
        let mut by_name: HashMap<&str, Vec<Sold<'_>>> = HashMap::new();
        for (&by, listed) in &side.lists {
            for model in &listed.list.models {
                let Some(card) = model.latest_ordinary() else { continue };
                for name in bare_names(model) {
                    by_name.entry(name).or_default().push(Sold { by, card });
                }
            }
        }
        Neighbours(by_name)
    }

    pub fn usual(&self, provider: &str, model: &Model) -> Usual {
        let mut sold: Vec<Sold<'_>> = Vec::new();
        for name in bare_names(model) {
            sold.extend(self.0.get(name).into_iter().flatten().filter(|sold| sold.by != provider));
        }
        // One card counts once, by however many names it was found.
        sold.sort_by_key(|sold| std::ptr::from_ref(sold.card));
        sold.dedup_by_key(|sold| std::ptr::from_ref(sold.card));

        let mut rates: BTreeMap<(Meter, Currency), Vec<Rate>> = BTreeMap::new();
        for card in sold.iter().map(|sold| sold.card) {
            for (meter, rate) in card.rates.iter().filter(|(_, rate)| !rate.is_zero()) {
                rates.entry((meter, card.currency)).or_default().push(rate);
            }
        }
        Usual(rates.into_iter().map(|(of, rates)| (of, middles(rates))).collect())
    }
}

impl Usual {
    pub fn get(&self, meter: Meter, currency: Currency) -> Option<(Rate, Rate)> {
        self.0.get(&(meter, currency)).copied()
    }
}

fn bare_names(model: &Model) -> Vec<&str> {
    let mut names: Vec<&str> = std::iter::once(&model.name).chain(&model.aliases).map(bare).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn middles(mut rates: Vec<Rate>) -> (Rate, Rate) {
    rates.sort_unstable();
    (rates[(rates.len() - 1) / 2], rates[rates.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_a_rate_that_somebody_asks() {
        let middles = |rates: &[i128]| middles(rates.iter().map(|units| Rate::from_units(*units)).collect());
        assert_eq!(middles(&[7]), (Rate::from_units(7), Rate::from_units(7)));
        assert_eq!(middles(&[9, 1, 5]), (Rate::from_units(5), Rate::from_units(5)));
        assert_eq!(middles(&[3000, 3]), (Rate::from_units(3), Rate::from_units(3000)));
    }
}
