//! Prices in words: as lists quote them, tokens by the million and everything else each, and how one became another. The
//! percentage is a long division in whole numbers, rounded half to even to one digit.

use super::MeterChange;
use crate::catalog::sides::joined;
use crate::catalog::{Absent, Card, CostBasis, Insured, Rates};
use crate::money::{Currency, Rate};
use crate::time::Instant;
use crate::usage::Meter;
use std::collections::BTreeMap;

/// Rates with their currency.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub rates: &'a Rates,
    pub currency: Currency,
}

/// How one table of rates became another; a side that is missing was or is not there at all.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub was: Option<Table<'a>>,
    pub is: Option<Table<'a>>,
}

impl Step<'_> {
    /// The meters that are not as they were.
    pub fn meters(&self) -> Vec<MeterChange> {
        let rates = |table: Option<Table<'_>>| -> BTreeMap<Meter, Rate> {
            table.map_or_else(BTreeMap::new, |table| table.rates.iter().collect())
        };
        let same_currency = self.was.zip(self.is).is_none_or(|(was, is)| was.currency == is.currency);
        joined(rates(self.was), rates(self.is))
            .into_iter()
            .filter(|(_, before, after)| before != after || !same_currency)
            .map(|(meter, before, after)| {
                let percent = before.zip(after).filter(|_| same_currency).and_then(|(before, after)| percent(before, after));
                MeterChange { meter, before, after, percent }
            })
            .collect()
    }

    /// `input 3 -> 2.5 USD per 1M (-16.7 %), output 15 USD per 1M -> none`
    pub fn in_words(&self) -> String {
        let words: Vec<String> = self.meters().iter().map(|change| self.meter_in_words(change)).collect();
        words.join(", ")
    }

    fn meter_in_words(&self, change: &MeterChange) -> String {
        let (name, unit) = (change.meter.name(), unit(change.meter));
        let price = |rate: Option<Rate>, table: Option<Table<'_>>| {
            rate.zip(table).map(|(rate, table)| (quoted(change.meter, rate), table.currency))
        };
        match (price(change.before, self.was), price(change.after, self.is)) {
            (Some((before, was)), Some((after, is))) if was == is => {
                let percent = change.percent.as_ref().map_or(String::new(), |percent| format!(" ({percent})"));
                format!("{name} {before} -> {after} {is} {unit}{percent}")
            }
            (Some((before, was)), Some((after, is))) => format!("{name} {before} {was} -> {after} {is} {unit}"),
            (None, Some((after, is))) if self.was.is_some() => format!("{name} none -> {after} {is} {unit}"),
            (Some((before, was)), None) if self.is.is_some() => format!("{name} {before} {was} {unit} -> none"),
            (Some((rate, currency)), None) | (None, Some((rate, currency))) => format!("{name} {rate} {currency} {unit}"),
            (None, None) => name.to_owned(),
        }
    }
}

/// `input 3 USD per 1M, output 15 USD per 1M`
pub(in crate::catalog) fn in_words(rates: &Rates, currency: Currency) -> String {
    if rates.is_empty() {
        return "no rates".to_owned();
    }
    Step { was: None, is: Some(Table { rates, currency }) }.in_words()
}

/// A rate as it is quoted in its [`unit`].
pub(in crate::catalog) fn quoted(meter: Meter, rate: Rate) -> String {
    rate.quoted_per(if meter.is_token() { 6 } else { 0 })
}

pub(in crate::catalog) fn unit(meter: Meter) -> &'static str {
    if meter.is_token() { "per 1M" } else { "each" }
}

/// ` from 2026-10-01`
pub(super) fn since(from: Option<Instant>) -> String {
    from.map_or(" from the beginning".to_owned(), |from| format!(" from {}", from.as_date_or_instant()))
}

impl Card {
    pub(super) fn in_words(&self) -> String {
        match (self.priced_as_answered, self.free && self.rates.all_zero()) {
            (true, _) => "priced as the model that answers".to_owned(),
            (_, true) => "free".to_owned(),
            _ => in_words(&self.rates, self.currency),
        }
    }
}

impl CostBasis {
    pub(super) fn name(self) -> &'static str {
        match self {
            CostBasis::Rated => "rated",
            CostBasis::Reported => "reported",
        }
    }
}

impl Absent {
    pub(super) fn name(self) -> &'static str {
        match self {
            Absent::Included => "included",
            Absent::Unknown => "unknown",
        }
    }
}

impl Insured {
    pub(super) fn name(self) -> &'static str {
        match (self.error, self.empty) {
            (false, false) => "none",
            (true, false) => "error",
            (false, true) => "empty",
            (true, true) => "error, empty",
        }
    }
}

/// `-16.7 %`; nothing where there is none: from zero, or by more than a number can hold.
fn percent(before: Rate, after: Rate) -> Option<String> {
    let (old, new) = (before.units(), after.units());
    if old == 0 {
        return None;
    }
    let difference = new.abs_diff(old);
    let old = old.unsigned_abs();
    // Tenths of a percent are thousandths, one digit at a time: a remainder is below a rate, and ten of those still fit.
    let (mut thousandths, mut rest) = (difference / old, difference % old);
    for _ in 0..3 {
        thousandths = thousandths.checked_mul(10)?.checked_add(rest * 10 / old)?;
        rest = rest * 10 % old;
    }
    let is_odd = thousandths % 2 == 1;
    if rest * 2 > old || (rest * 2 == old && is_odd) {
        thousandths += 1;
    }
    let sign = if new < old.cast_signed() { '-' } else { '+' };
    Some(format!("{sign}{}.{} %", thousandths / 10, thousandths % 10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::LARGEST;

    fn percent_of(before: &str, after: &str) -> Option<String> {
        percent(Rate::parse(before).unwrap(), Rate::parse(after).unwrap())
    }

    #[test]
    fn a_percentage_has_one_digit_and_rounds_half_to_even() {
        assert_eq!(percent_of("3", "2.5").as_deref(), Some("-16.7 %"));
        assert_eq!(percent_of("8", "9").as_deref(), Some("+12.5 %"));
        assert_eq!(percent_of("0.5", "5").as_deref(), Some("+900.0 %"));
        assert_eq!(percent_of("3", "0").as_deref(), Some("-100.0 %"));
        // 1/2000 is 0.05 %, 3/2000 is 0.15 %: the even digit is 0 and 2.
        assert_eq!(percent_of("2000", "2001").as_deref(), Some("+0.0 %"));
        assert_eq!(percent_of("2000", "2003").as_deref(), Some("+0.2 %"));
        assert_eq!(percent_of("2000", "1997").as_deref(), Some("-0.2 %"));
    }

    #[test]
    fn there_is_no_percentage_from_zero_and_none_that_overflows() {
        assert_eq!(percent_of("0", "3"), None);
        let largest = LARGEST.to_string();
        assert_eq!(percent_of("1e-24", &largest), None);
        assert_eq!(percent_of(&largest, "0").as_deref(), Some("-100.0 %"));
        assert_eq!(percent_of(&largest, "4600000000000").as_deref(), Some("-50.0 %"));
    }
}
