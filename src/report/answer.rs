//! From groups to a table: which come first, what is left of the top ones, shares that add up, what a token cost, and what
//! was there before.

use crate::money::{Amount, Currency, PLACES, round_half_even};
use crate::report::fold::{Group, Groups, Sums, TooLarge, Value, label};
use crate::report::query::{Measure, Query};
use crate::report::table::{Cell, Column, ColumnKind, Table, Total};
use std::collections::BTreeMap;

/// What stands in the place of a value in the line of what is left.
pub const THE_REST: &str = "(the rest)";

/// Unit costs are divisions, the only numbers in here that are rounded: half to even, to this many decimals.
const PLACES_OF_UNIT_COSTS: u32 = 12;

/// A group with what it was before.
#[derive(Default)]
struct Line {
    values: Vec<Value>,
    group: Group,
    before: Option<Box<Sums>>,
    /// How many groups it is of: more than one only in the line of the rest, and in a total.
    groups: usize,
}

impl Line {
    fn amount_before(&self) -> Amount {
        self.before.as_ref().map_or(Amount::ZERO, |before| before.amount)
    }
}

pub fn table(query: &Query, groups: Groups, before: Option<Groups>) -> Result<Table, TooLarge> {
    let mut by_currency: BTreeMap<Currency, Vec<Line>> = BTreeMap::new();
    let mut before = before.unwrap_or_default();
    for (key, group) in groups {
        let before = before.remove(&key).map(|group| Box::new(group.sums));
        by_currency.entry(key.0).or_default().push(Line { values: key.1, group, before, groups: 1 });
    }
    // What is gone has its line too, or the change would not add up.
    for ((currency, values), group) in before {
        let gone = Line { values, before: Some(Box::new(group.sums)), groups: 1, ..Line::default() };
        by_currency.entry(currency).or_default().push(gone);
    }

    let in_order_of_time = query.by.first().is_some_and(|first| first.is_of_time());
    let mut lines: Vec<(Currency, Line)> = Vec::new();
    let mut totals = Vec::new();
    for (currency, mut of_currency) in by_currency {
        of_currency.sort_by(|one, other| {
            let size = |line: &Line| {
                if query.compare { line.group.sums.amount.abs().max(line.amount_before().abs()) } else { line.group.sums.amount }
            };
            size(other).cmp(&size(one)).then_with(|| one.values.cmp(&other.values))
        });
        if let Some(top) = query.top.filter(|top| *top < of_currency.len()) {
            let mut left = of_currency.split_off(top).into_iter();
            let first = left.next().map(|first| left.try_fold(first, together)).transpose()?;
            of_currency.extend(first);
        }
        let mut total = Line::default();
        of_currency.iter().try_for_each(|line| add(&mut total, line))?;
        totals.push((currency, total));
        lines.extend(of_currency.into_iter().map(|line| (currency, line)));
    }
    if in_order_of_time {
        // Time first, and then the currencies of each time; the rest stays at the end.
        lines.sort_by(|(one_currency, one), (other_currency, other)| {
            let key = |line: &Line| line.groups > 1;
            key(one).cmp(&key(other)).then_with(|| one.values.cmp(&other.values)).then_with(|| one_currency.cmp(other_currency))
        });
    }

    let columns = columns(query);
    let shares = shares(&lines, &totals);
    let rows = lines.iter().zip(&shares).map(|((currency, line), share)| row(query, *currency, line, *share));
    let rows = rows.collect::<Result<_, _>>()?;
    let shared = |currency: Currency| lines.iter().zip(&shares).any(|((other, _), share)| *other == currency && share.is_some());
    let totals = totals
        .into_iter()
        .map(|(currency, total)| {
            let mut cells = row(query, currency, &total, shared(currency).then_some(10_000))?;
            cells[..query.by.len()].fill(Cell::None);
            Ok(Total { currency, amount: total.group.sums.amount, calls: total.group.sums.calls, cells })
        })
        .collect::<Result<_, TooLarge>>()?;
    Ok(Table { columns, rows, totals })
}

/// Of two groups nothing can be said but their sums.
fn together(mut one: Line, other: Line) -> Result<Line, TooLarge> {
    one.values.fill(Value::Text(None));
    add(&mut one, &other)?;
    Ok(one)
}

fn add(to: &mut Line, line: &Line) -> Result<(), TooLarge> {
    to.group.sums.add(&line.group.sums)?;
    to.group.users.extend(&line.group.users);
    to.groups += line.groups;
    if let Some(before) = &line.before {
        to.before.get_or_insert_default().add(before)?;
    }
    Ok(())
}

fn columns(query: &Query) -> Vec<Column> {
    let mut columns: Vec<Column> =
        query.by.iter().map(|dimension| Column::new(dimension.to_string(), ColumnKind::Text)).collect();
    for measure in &query.show {
        columns.push(Column::new(measure.name(), kind(*measure)));
        if *measure == Measure::Amount {
            columns.push(Column::new("currency", ColumnKind::Text));
            if query.compare {
                columns.push(Column::new("before", ColumnKind::Money));
                columns.push(Column::new("change", ColumnKind::Money));
                columns.push(Column::new("change_percent", ColumnKind::Percent));
            }
        }
    }
    if query.top.is_some() {
        columns.push(Column::new("groups", ColumnKind::Count));
    }
    columns
}

const fn kind(measure: Measure) -> ColumnKind {
    match measure {
        Measure::Calls | Measure::Entries | Measure::Quantity | Measure::Tokens | Measure::Users => ColumnKind::Count,
        Measure::Share => ColumnKind::Percent,
        Measure::Amount
        | Measure::List
        | Measure::Rated
        | Measure::Reported
        | Measure::Drift
        | Measure::PerMillionTokens
        | Measure::PerCall
        | Measure::PerUser => ColumnKind::Money,
    }
}

fn row(query: &Query, currency: Currency, line: &Line, share: Option<i64>) -> Result<Vec<Cell>, TooLarge> {
    let group = &line.group;
    let values = query.by.iter().zip(&line.values).enumerate();
    let mut cells: Vec<Cell> = values
        .map(|(place, (dimension, value))| match value {
            _ if line.groups > 1 && place == 0 => Cell::text(THE_REST),
            Value::Time(begins) => Cell::text(label(dimension, *begins, query.zone)),
            Value::Text(Some(text)) => Cell::Text(text.clone()),
            Value::Text(None) => Cell::None,
        })
        .collect();
    cells.resize(query.by.len(), Cell::None);
    let sums = &group.sums;
    let users = group.users.count();
    for measure in &query.show {
        cells.push(match measure {
            Measure::Amount => Cell::Money(sums.amount),
            Measure::Calls => Cell::Count(sums.calls),
            Measure::Entries => Cell::Count(sums.entries),
            // Tokens and pages have no sum.
            Measure::Quantity if line.groups > 1 && !query.is_of_one_meter() => Cell::None,
            Measure::Quantity => Cell::Count(sums.quantity),
            Measure::Tokens => Cell::Count(sums.tokens),
            Measure::List => Cell::Money(sums.list),
            Measure::Rated => Cell::Money(sums.rated),
            Measure::Reported => Cell::Money(sums.reported),
            Measure::Drift => Cell::Money(sums.drift),
            Measure::Share => share.map_or(Cell::None, Cell::Percent),
            Measure::PerMillionTokens => unit_cost(sums.amount, sums.tokens, 1_000_000),
            Measure::PerCall => unit_cost(sums.amount, sums.calls, 1),
            Measure::PerUser => unit_cost(sums.amount, users, 1),
            Measure::Users => Cell::Count(users),
        });
        if *measure == Measure::Amount {
            cells.push(Cell::text(currency.as_str()));
            if query.compare {
                let before = line.amount_before();
                let change = sums.amount.checked_add(-before).ok_or(TooLarge)?;
                cells.extend([Cell::Money(before), Cell::Money(change), change_percent(change, before)]);
            }
        }
    }
    if query.top.is_some() {
        cells.push(Cell::Count(line.groups as i64));
    }
    Ok(cells)
}

/// What so many units cost; nothing where there are none.
fn unit_cost(amount: Amount, units: i64, of: i128) -> Cell {
    let step = 10_i128.pow(PLACES - PLACES_OF_UNIT_COSTS);
    if units <= 0 {
        return Cell::None;
    }
    // An amount beyond a hundred million is cut at the places that are shown first, or the product would not fit.
    let (dividend, divisor) = match amount.units().checked_mul(of) {
        Some(product) => (product, i128::from(units) * step),
        None => (amount.units() / step * of, i128::from(units)),
    };
    let units = round_half_even(dividend, divisor).checked_mul(step);
    units.map_or(Cell::None, |units| Cell::Money(Amount::from_units(units)))
}

/// In hundredths of a percent, toward the nearest; nothing where there was nothing before.
fn change_percent(change: Amount, before: Amount) -> Cell {
    let cut = cut_to_multiply(change.abs().max(before.abs()));
    let (change, before) = (change.units() / cut, before.abs().units() / cut);
    let hundredths = (before != 0).then(|| round_half_even(change * 10_000, before));
    hundredths.and_then(|hundredths| i64::try_from(hundredths).ok()).map_or(Cell::None, Cell::Percent)
}

/// Takes digits off sums so large that ten thousand times them would not fit; no share shows those digits.
const fn cut_to_multiply(largest: Amount) -> i128 {
    if largest.units() > i128::MAX / 10_000 { 1_000_000 } else { 1 }
}

/// Each line's share of its currency in hundredths of a percent. They add up to 100: what rounding leaves over goes to the
/// lines that lost most of it. Where something is negative, or nothing was spent, no line has a share.
fn shares(lines: &[(Currency, Line)], totals: &[(Currency, Line)]) -> Vec<Option<i64>> {
    let mut shares = vec![None; lines.len()];
    for (currency, total) in totals {
        let places: Vec<usize> = (0..lines.len()).filter(|&place| lines[place].0 == *currency).collect();
        let cut = cut_to_multiply(total.group.sums.amount);
        let (total, amount) =
            (total.group.sums.amount.units() / cut, |place: usize| lines[place].1.group.sums.amount.units() / cut);
        if total <= 0 || places.iter().any(|&place| amount(place) < 0) {
            continue;
        }
        let mut left = 10_000;
        let mut remainders: Vec<(i128, usize)> = Vec::with_capacity(places.len());
        for &place in &places {
            let (whole, remainder) = (amount(place) * 10_000 / total, amount(place) * 10_000 % total);
            shares[place] = Some(whole as i64);
            left -= whole as i64;
            remainders.push((remainder, place));
        }
        remainders.sort_by(|(one, first), (other, second)| other.cmp(one).then(first.cmp(second)));
        for (_, place) in remainders.into_iter().take(usize::try_from(left).unwrap_or(0)) {
            shares[place] = shares[place].map(|share| share + 1);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::query::Dimension;

    fn groups(amounts: &[(&str, &str)]) -> Groups {
        let group = |(user, amount): &(&str, &str)| {
            let values = vec![Value::Text(Some((*user).into()))];
            let sums = Sums { amount: Amount::parse(amount).unwrap(), calls: 2, tokens: 3_000, ..Sums::default() };
            ((Currency::USD, values), Group { sums, ..Group::default() })
        };
        amounts.iter().map(group).collect()
    }

    fn query(show: &[Measure]) -> Query {
        Query { by: vec![Dimension::User], show: show.to_vec(), ..Query::default() }
    }

    #[test]
    fn what_is_left_of_the_top_is_one_line() {
        let query = Query { top: Some(2), ..query(&[Measure::Amount, Measure::Calls]) };
        let table = table(&query, groups(&[("a", "1"), ("b", "5"), ("c", "0.25"), ("d", "3")]), None).unwrap();
        assert_eq!(
            table.to_csv(),
            "user,amount,currency,calls,groups\r\nb,5,USD,2,1\r\nd,3,USD,2,1\r\n(the rest),1.25,USD,4,2\r\n"
        );
        assert_eq!(table.totals[0].amount.to_string(), "9.25");
        assert_eq!(table.totals_to_json(), r#"[{"amount":"9.25","currency":"USD","calls":8,"groups":4}]"#);
    }

    #[test]
    fn shares_add_up_to_a_hundred() {
        let query = query(&[Measure::Share]);
        let thirds = table(&query, groups(&[("a", "1"), ("b", "1"), ("c", "1")]), None).unwrap();
        assert_eq!(thirds.to_csv(), "user,share\r\na,33.34\r\nb,33.33\r\nc,33.33\r\n");
        let negative = table(&query, groups(&[("a", "1"), ("b", "-0.5")]), None).unwrap();
        assert_eq!(negative.to_csv(), "user,share\r\na,\r\nb,\r\n");
        for count in 1..200_i64 {
            let amounts: Vec<(String, String)> =
                (0..count).map(|n| (n.to_string(), format!("0.{:07}", n * n * 7919 % 9973 + 1))).collect();
            let amounts: Vec<(&str, &str)> = amounts.iter().map(|(user, amount)| (&**user, &**amount)).collect();
            let table = table(&query, groups(&amounts), None).unwrap();
            let sum: i64 = table.rows.iter().map(|row| if let Cell::Percent(share) = row[1] { share } else { 0 }).sum();
            assert_eq!(sum, 10_000, "{count} lines");
        }
    }

    #[test]
    fn a_comparison_has_what_is_new_and_what_is_gone() {
        let query = Query { compare: true, ..query(&[Measure::Amount]) };
        let table = table(&query, groups(&[("a", "1.5"), ("new", "1")]), Some(groups(&[("a", "1"), ("gone", "2")]))).unwrap();
        assert_eq!(
            table.to_csv(),
            "user,amount,currency,before,change,change_percent\r\n\
             gone,0,USD,2,-2,-100.00\r\n\
             a,1.5,USD,1,0.5,50.00\r\n\
             new,1,USD,0,1,\r\n"
        );
        assert_eq!(
            table.totals_to_json(),
            r#"[{"amount":"2.5","currency":"USD","before":"3","change":"-0.5","change_percent":"-16.67"}]"#
        );
    }

    #[test]
    fn a_sum_that_cannot_be_shown_is_told_and_not_wrapped() {
        let mut sums = Sums { tokens: i64::MAX, ..Sums::default() };
        assert_eq!(sums.add(&Sums { tokens: 1, ..Sums::default() }), Err(TooLarge));
        let most = Amount::from_units(i128::MAX - 1);
        let one = |user: &str| {
            let sums = Sums { amount: most, tokens: 1, ..Sums::default() };
            ((Currency::USD, vec![Value::Text(Some(user.into()))]), Group { sums, ..Group::default() })
        };
        let query = query(&[Measure::PerMillionTokens]);
        assert_eq!(table(&query, Groups::from([one("a"), one("b")]), None), Err(TooLarge));
        assert_eq!(table(&query, Groups::from([one("a")]), None).unwrap().to_csv(), "user,per_million_tokens\r\na,\r\n");
    }

    #[test]
    fn a_unit_costs_what_all_cost_over_their_number() {
        let query = query(&[Measure::PerMillionTokens, Measure::PerCall, Measure::PerUser]);
        let table = table(&query, groups(&[("a", "0.000000000000000001"), ("b", "10")]), None).unwrap();
        assert_eq!(table.to_csv(), "user,per_million_tokens,per_call,per_user\r\nb,3333.333333333333,5,\r\na,0,0,\r\n");
    }
}
