//! Shared costs: what one event costs is borne by several owners in fixed shares. Every amount is divided by itself and what a
//! division leaves over goes to the largest share, so the portions are the whole to the last digit. A call is counted where
//! the largest share is, once.

use crate::money::Amount;
use crate::rating::{Charge, LineItem, Rated};
use crate::usage::{Owner, UsageEvent};
use std::borrow::Cow;

/// What one owner bears of a rating.
pub struct Portion<'r> {
    pub owner: &'r Owner,
    pub rated: Cow<'r, Rated>,
    pub calls: u64,
}

impl Rated {
    /// What each owner bears, the largest share first; all of it where nobody shares.
    pub fn portions<'r>(&'r self, event: &'r UsageEvent) -> Vec<Portion<'r>> {
        if self.shares.is_empty() {
            return vec![Portion { owner: self.owner(event), rated: Cow::Borrowed(self), calls: event.calls }];
        }
        let divided = divide(self, &self.shares.iter().map(|share| share.parts).collect::<Vec<_>>());
        let mut portions: Vec<(u32, Portion<'_>)> = self
            .shares
            .iter()
            .zip(divided)
            .map(|(share, rated)| (share.parts, Portion { owner: &share.owner, rated: Cow::Owned(rated), calls: 0 }))
            .collect();
        portions.sort_by_key(|(parts, _)| std::cmp::Reverse(*parts));
        let mut portions: Vec<Portion<'_>> = portions.into_iter().map(|(_, portion)| portion).collect();
        for (place, portion) in portions.iter_mut().enumerate() {
            if place == 0 {
                portion.calls = event.calls;
            } else {
                portion.rated.to_mut().above = None;
            }
        }
        portions
    }
}

/// A rating for each of the shares.
fn divide(rated: &Rated, parts: &[u32]) -> Vec<Rated> {
    let amounts = |amount: Option<Amount>| match amount {
        Some(amount) => in_parts(amount.units(), parts).map(|units| Some(Amount::from_units(units))).collect(),
        None => vec![None; parts.len()],
    };
    let (by_catalog, reported, list) = (amounts(rated.rated), amounts(rated.reported), amounts(rated.list));
    let mut portions: Vec<Rated> = (0..parts.len())
        .map(|place| Rated {
            amount: Amount::ZERO,
            rated: by_catalog[place],
            reported: reported[place],
            list: list[place],
            shares: Vec::new(),
            charges: Vec::new(),
            ..rated.clone()
        })
        .collect();
    for (portion, amount) in portions.iter_mut().zip(in_parts(rated.amount.units(), parts)) {
        portion.amount = Amount::from_units(amount);
    }
    for charge in &rated.charges {
        for (portion, charge) in portions.iter_mut().zip(divide_charge(charge, parts)) {
            portion.charges.push(charge);
        }
    }
    portions
}

/// A charge's amount is divided as a whole. Its items are divided one by one; where that comes to another amount, the item
/// that costs most takes the difference in every portion, so that each meter still adds up to what it was.
fn divide_charge(charge: &Charge, parts: &[u32]) -> Vec<Charge> {
    let mut portions: Vec<Charge> = in_parts(charge.amount.units(), parts)
        .map(|units| Charge { amount: Amount::from_units(units), items: Vec::with_capacity(charge.items.len()), ..*charge })
        .collect();
    for item in &charge.items {
        let quantities = in_parts(i128::from(item.quantity), parts);
        let amounts = in_parts(item.amount.units(), parts);
        for (portion, (quantity, units)) in portions.iter_mut().zip(quantities.zip(amounts)) {
            // A rate times a part of a quantity is not the part of the amount.
            let (quantity, amount) = (quantity as u64, Amount::from_units(units));
            portion.items.push(LineItem { quantity, amount, rate: None, ..item.clone() });
        }
    }
    let dearest = (0..charge.items.len()).max_by_key(|place| charge.items[*place].amount.abs());
    for portion in &mut portions {
        let difference = portion.amount - portion.items.iter().map(|item| item.amount).sum();
        if let Some(place) = dearest {
            portion.items[place].amount += difference;
        }
        portion.items.retain(|item| item.quantity > 0 || !item.amount.is_zero());
    }
    portions
}

/// A number in parts, each rounded down, and what is left for the largest.
fn in_parts(number: i128, parts: &[u32]) -> impl Iterator<Item = i128> {
    let all: i128 = parts.iter().map(|parts| i128::from(*parts)).sum();
    // Divided first, so that nothing overflows.
    let (whole, rest) = (number.div_euclid(all), number.rem_euclid(all));
    let mut divided: Vec<i128> = parts.iter().map(|parts| whole * i128::from(*parts) + rest * i128::from(*parts) / all).collect();
    let left = number - divided.iter().sum::<i128>();
    let largest = parts.iter().enumerate().max_by_key(|(place, parts)| (**parts, std::cmp::Reverse(*place)));
    if let Some((place, _)) = largest {
        divided[place] += left;
    }
    divided.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rating::Party;
    use crate::usage::Meter;
    use num_bigint::BigInt;

    /// Numbers that repeat, from nowhere in particular.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 16) % below
        }
    }

    #[test]
    fn parts_are_rounded_down_and_what_is_left_goes_to_the_largest() {
        let mut below = numbers(7);
        for _ in 0..2_000 {
            let parts: Vec<u32> = (0..2 + below(4)).map(|_| 1 + below(1_000_000) as u32).collect();
            let number = i128::from(below(u64::MAX)) * i128::from(below(1 << 60)) * if below(3) == 0 { -1 } else { 1 };
            let divided: Vec<i128> = in_parts(number, &parts).collect();
            assert_eq!(divided.iter().sum::<i128>(), number);
            let (all, largest) =
                (BigInt::from(parts.iter().map(|parts| u64::from(*parts)).sum::<u64>()), parts.iter().max().unwrap());
            let largest = parts.iter().position(|parts| parts == largest).unwrap();
            for (place, (found, parts)) in divided.iter().zip(&parts).enumerate().filter(|(place, _)| *place != largest) {
                // Rounded down: the remainder is not negative, and less than one whole.
                let left = BigInt::from(number) * *parts - BigInt::from(*found) * &all;
                assert!(left >= BigInt::ZERO && left < all, "{number} x {parts} of {all} at {place}");
            }
        }
    }

    #[test]
    fn the_portions_of_a_charge_add_up_by_meter_and_none_is_negative() {
        let mut below = numbers(11);
        for _ in 0..500 {
            let meters = [Meter::Input, Meter::Output, Meter::Whole];
            let mut items: Vec<LineItem> = meters
                .into_iter()
                .map(|meter| LineItem {
                    meter,
                    quantity: below(50),
                    rate: None,
                    amount: Amount::from_units(i128::from(below(1_000))),
                    inherited_from: None,
                    card: None,
                })
                .collect();
            // What a provider charged less than the rates say stands as a negative amount, up to all of it.
            let positive: i128 = items[..2].iter().map(|item| item.amount.units()).sum();
            items[2].amount = Amount::from_units(-(positive * i128::from(below(11)) / 10));
            let amount: Amount = items.iter().map(|item| item.amount).sum();
            let charge = Charge { debit: Party::Owner, credit: Party::Provider, amount, items };
            let parts: Vec<u32> = (0..2 + below(3)).map(|_| 1 + below(9) as u32).collect();
            let portions = divide_charge(&charge, &parts);
            assert_eq!(portions.iter().map(|portion| portion.amount).sum::<Amount>(), charge.amount);
            for meter in meters {
                let of = |charge: &Charge| {
                    let items = charge.items.iter().filter(|item| item.meter == meter);
                    items.fold((0, Amount::ZERO), |sum, item| (sum.0 + item.quantity, sum.1 + item.amount))
                };
                let sum = portions.iter().map(of).fold((0, Amount::ZERO), |sum, one| (sum.0 + one.0, sum.1 + one.1));
                assert_eq!(sum, of(&charge), "{meter:?} of {parts:?}");
            }
            for portion in &portions {
                assert!(!portion.amount.is_negative());
                assert_eq!(portion.items.iter().map(|item| item.amount).sum::<Amount>(), portion.amount);
            }
        }
    }
}
