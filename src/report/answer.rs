//! From groups to a table: which come first, what is left of the top ones, shares that add up, what a token cost, and what
//! was there before.

use crate::money::{Amount, Currency, PLACES, round_half_even};
use crate::report::fold::{Groups, Side, TooLarge};
use crate::report::query::{Addend, Measure, Of, Query};
use crate::report::table::{Cell, Cells, Column, THE_REST, Table, Total};
use std::collections::BTreeMap;

/// Unit costs are divisions, the only numbers in here that are rounded: half to even, to this many decimals.
const PLACES_OF_UNIT_COSTS: u32 = 12;

/// Which groups are lines, in which order. A line of several groups is a group that was made of them.
struct Lines {
    groups: Groups,
    lines: Vec<u32>,
    /// Per currency, in the order of their letters.
    totals: Vec<(Currency, u32)>,
    /// How many groups there were before some were put together, and how many each of the others is of.
    single: u32,
    together: BTreeMap<u32, i64>,
    users: Vec<i64>,
}

pub fn table(query: &Query, groups: Groups) -> Result<Table, TooLarge> {
    let lines = lines(query, groups)?;
    let shares = if query.show.contains(&Measure::Share) { lines.shares() } else { Vec::new() };
    let totals = lines.totals.clone();
    let table = Table { columns: columns(query, &lines, &lines.lines, &shares)?, totals: Vec::new() };
    let shared = |currency: Currency| {
        let mut of_currency =
            lines.lines.iter().zip(&shares).filter(|(line, _)| lines.groups.currencies[**line as usize] == currency);
        of_currency.any(|(_, share)| share.is_some())
    };
    let sums = totals.into_iter().map(|(currency, total)| {
        let share = shared(currency).then_some(10_000);
        let mut cells: Vec<Cell> =
            columns(query, &lines, &[total], &[share])?.iter().map(|column| column.cells.cell(0)).collect();
        cells[..query.by.len()].fill(Cell::None);
        let calls = lines.groups.sum(Addend::Calls, Side::Asked, total);
        let calls = i64::try_from(calls).map_err(|_| TooLarge)?;
        Ok(Total { currency, amount: lines.amount(total, Side::Asked), calls, cells })
    });
    Ok(Table { totals: sums.collect::<Result<_, TooLarge>>()?, ..table })
}

fn lines(query: &Query, mut groups: Groups) -> Result<Lines, TooLarge> {
    let single = groups.currencies.len() as u32;
    let (mut lines, mut totals, mut together) = (Vec::with_capacity(single as usize), Vec::new(), BTreeMap::new());
    for (currency, mut of_currency) in largest_first(query, &groups) {
        let total = groups.together(&of_currency)?;
        together.insert(total, of_currency.len() as i64);
        totals.push((currency, total));
        if let Some(top) = query.top.filter(|top| *top < of_currency.len()) {
            let left = of_currency.split_off(top);
            let rest = if let [only] = left[..] { only } else { groups.together(&left)? };
            if left.len() > 1 {
                together.insert(rest, left.len() as i64);
            }
            of_currency.push(rest);
        }
        lines.extend(of_currency);
    }
    if query.by.first().is_some_and(|first| first.is_of_time()) {
        // Time first, and then the currencies of each time; the rest stays at the end.
        lines.sort_by(|one, other| {
            let (rest, currency) = (|line: &u32| *line >= single, |line: &u32| groups.currencies[*line as usize]);
            let by_values = || if rest(one) { std::cmp::Ordering::Equal } else { groups.by_values(*one, *other) };
            rest(one).cmp(&rest(other)).then_with(by_values).then_with(|| currency(one).cmp(&currency(other)))
        });
    }
    let users = if query.counts_users() { groups.users() } else { Vec::new() };
    Ok(Lines { groups, lines, totals, single, together, users })
}

/// The groups of each currency in the order of their size, and of their values where that is the same.
fn largest_first(query: &Query, groups: &Groups) -> BTreeMap<Currency, Vec<u32>> {
    let (amounts, before) = (groups.sums(Addend::Amount, Side::Asked), groups.sums(Addend::Amount, Side::Before));
    let size = |group: u32| match query.of {
        Of::Held => groups.sum(Addend::Calls, Side::Asked, group),
        Of::Spend if query.compare => amounts[group as usize].abs().max(before[group as usize].abs()),
        Of::Spend => amounts[group as usize],
    };
    // Few sizes are alike in their leading digits, so those are what is sorted, side by side.
    let leading_digits = |size: i128| i64::try_from(size >> 44).unwrap_or(if size < 0 { i64::MIN } else { i64::MAX });
    let mut by_currency: BTreeMap<Currency, Vec<(i64, u32)>> = BTreeMap::new();
    for (group, currency) in (0..).zip(&groups.currencies) {
        let of_currency = by_currency.entry(*currency).or_insert_with(|| Vec::with_capacity(groups.currencies.len()));
        of_currency.push((leading_digits(size(group)), group));
    }
    let in_order = |mut of_currency: Vec<(i64, u32)>| {
        of_currency.sort_unstable_by(|(one_leads, one), (other_leads, other)| {
            let by_size = other_leads.cmp(one_leads).then_with(|| size(*other).cmp(&size(*one)));
            by_size.then_with(|| groups.by_values(*one, *other))
        });
        of_currency.into_iter().map(|(_, group)| group).collect()
    };
    by_currency.into_iter().map(|(currency, of_currency)| (currency, in_order(of_currency))).collect()
}

impl Lines {
    fn amount(&self, line: u32, side: Side) -> Amount {
        Amount::from_units(self.groups.sum(Addend::Amount, side, line))
    }

    /// How many groups a line is of.
    fn groups_in(&self, line: u32) -> i64 {
        self.together.get(&line).copied().unwrap_or(1)
    }

    /// Each line's share of its currency in hundredths of a percent. They add up to 100: what rounding leaves over goes to
    /// the lines that lost most of it. Where something is negative, or nothing was spent, no line has a share.
    fn shares(&self) -> Vec<Option<i64>> {
        let mut shares = vec![None; self.lines.len()];
        for (currency, total) in &self.totals {
            let is_of = |place: &usize| self.groups.currencies[self.lines[*place] as usize] == *currency;
            let places: Vec<usize> = (0..self.lines.len()).filter(is_of).collect();
            let total = self.amount(*total, Side::Asked);
            let cut = cut_to_multiply(total);
            let amount = |place: usize| self.amount(self.lines[place], Side::Asked).units() / cut;
            let total = total.units() / cut;
            if total <= 0 || places.iter().any(|&place| amount(place) < 0) {
                continue;
            }
            let mut left = 10_000;
            let mut remainders: Vec<(i128, usize)> = Vec::with_capacity(places.len());
            for &place in &places {
                let parts = amount(place) * 10_000;
                let whole = parts / total;
                shares[place] = Some(whole as i64);
                left -= whole as i64;
                remainders.push((parts - whole * total, place));
            }
            // What is left over is less than one for each line.
            let left = usize::try_from(left).unwrap_or(0);
            if left > 0 {
                let most_lost =
                    |(one, first): &(i128, usize), (other, second): &(i128, usize)| other.cmp(one).then(first.cmp(second));
                remainders.select_nth_unstable_by(left - 1, most_lost);
            }
            for (_, place) in remainders.into_iter().take(left) {
                shares[place] = shares[place].map(|share| share + 1);
            }
        }
        shares
    }

    /// The texts of one dimension; of several groups nothing can be said but that they are the rest.
    fn values(&self, place: usize, of: &[u32]) -> Cells {
        let values = &self.groups.values[place];
        let rest = values.texts.len() as u32;
        let mut texts = values.texts.clone();
        texts.push((place == 0).then(|| THE_REST.into()));
        let of = of.iter().map(|line| values.of_groups.get(*line as usize).copied().unwrap_or(rest));
        Cells::Text { places: of.collect(), texts }
    }

    fn currencies(&self, of: &[u32]) -> Cells {
        let texts = self.totals.iter().map(|(currency, _)| Some(currency.as_str().into())).collect();
        let place = |line: &u32| {
            let currency = self.groups.currencies[*line as usize];
            self.totals.iter().position(|(other, _)| *other == currency).expect("every currency has a total") as u32
        };
        Cells::Text { texts, places: of.iter().map(place).collect() }
    }
}

fn columns(query: &Query, lines: &Lines, of: &[u32], shares: &[Option<i64>]) -> Result<Vec<Column>, TooLarge> {
    let mut columns: Vec<Column> = query
        .by
        .iter()
        .enumerate()
        .map(|(place, dimension)| Column::new(dimension.to_string(), lines.values(place, of)))
        .collect();
    let sum = |addend: Addend, line: u32| lines.groups.sum(addend, Side::Asked, line);
    let count = |addend: Addend, line: u32| i64::try_from(sum(addend, line)).map_err(|_| TooLarge);
    let counts =
        |addend: Addend| Ok(Cells::Count(of.iter().map(|line| count(addend, *line).map(Some)).collect::<Result<_, _>>()?));
    let money = |addend: Addend| Cells::Money(of.iter().map(|line| Some(Amount::from_units(sum(addend, *line)))).collect());
    let unit_costs = |units: &dyn Fn(u32) -> Result<i64, TooLarge>, per: i128| {
        let cost = |line: &u32| Ok(unit_cost(lines.amount(*line, Side::Asked), units(*line)?, per));
        Ok(Cells::Money(of.iter().map(cost).collect::<Result<_, TooLarge>>()?))
    };
    let users = |line: u32| Ok(lines.users[line as usize]);
    for measure in &query.show {
        let cells = match measure {
            Measure::Amount => money(Addend::Amount),
            Measure::Posted => money(Addend::Posted),
            Measure::Calls => counts(Addend::Calls)?,
            Measure::Entries => counts(Addend::Entries)?,
            // Tokens and pages have no sum.
            Measure::Quantity if !query.is_of_one_meter() => {
                let quantity =
                    |line: &u32| if *line < lines.single { count(Addend::Quantity, *line).map(Some) } else { Ok(None) };
                Cells::Count(of.iter().map(quantity).collect::<Result<_, _>>()?)
            }
            Measure::Quantity => counts(Addend::Quantity)?,
            Measure::Tokens => counts(Addend::Tokens)?,
            Measure::List => money(Addend::List),
            Measure::Rated => money(Addend::Rated),
            Measure::Reported => money(Addend::Reported),
            Measure::Drift => money(Addend::Drift),
            Measure::Forecast => {
                let (elapsed, all) = query.elapsed().unwrap_or((0, 0));
                unit_costs(&|_| Ok(elapsed), i128::from(all))?
            }
            Measure::CacheSavings => money(Addend::CacheSavings),
            Measure::Share => Cells::Percent(shares.to_vec()),
            Measure::PerMillionTokens => unit_costs(&|line| count(Addend::Tokens, line), 1_000_000)?,
            Measure::PerCall => unit_costs(&|line| count(Addend::Calls, line), 1)?,
            Measure::PerUser => unit_costs(&users, 1)?,
            Measure::Users => Cells::Count(of.iter().map(|line| Some(lines.users[*line as usize])).collect()),
        };
        columns.push(Column::new(measure.name(), cells));
        if *measure == Measure::Amount || *measure == Measure::Posted && !query.show.contains(&Measure::Amount) {
            columns.push(Column::new("currency", lines.currencies(of)));
            if query.compare {
                columns.extend(changes(lines, of)?);
            }
        }
    }
    if query.top.is_some() {
        columns.push(Column::new("groups", Cells::Count(of.iter().map(|line| Some(lines.groups_in(*line))).collect())));
    }
    Ok(columns)
}

/// What each was before, and the difference.
fn changes(lines: &Lines, of: &[u32]) -> Result<[Column; 3], TooLarge> {
    let (mut befores, mut changes, mut percents) = (Vec::new(), Vec::new(), Vec::new());
    for line in of {
        let before = lines.amount(*line, Side::Before);
        let change = lines.amount(*line, Side::Asked).checked_add(-before).ok_or(TooLarge)?;
        befores.push(Some(before));
        changes.push(Some(change));
        percents.push(change_percent(change, before));
    }
    Ok([
        Column::new("before", Cells::Money(befores)),
        Column::new("change", Cells::Money(changes)),
        Column::new("change_percent", Cells::Percent(percents)),
    ])
}

/// What so many units cost; nothing where there are none.
fn unit_cost(amount: Amount, units: i64, of: i128) -> Option<Amount> {
    let step = 10_i128.pow(PLACES - PLACES_OF_UNIT_COSTS);
    if units <= 0 {
        return None;
    }
    // An amount beyond a hundred million is cut at the places that are shown first, or the product would not fit.
    let (dividend, divisor) = match amount.units().checked_mul(of) {
        Some(product) => (product, i128::from(units) * step),
        None => (amount.units() / step * of, i128::from(units)),
    };
    let units = round_half_even(dividend, divisor).checked_mul(step);
    units.map(Amount::from_units)
}

/// In hundredths of a percent, toward the nearest; nothing where there was nothing before.
fn change_percent(change: Amount, before: Amount) -> Option<i64> {
    let cut = cut_to_multiply(change.abs().max(before.abs()));
    let (change, before) = (change.units() / cut, before.abs().units() / cut);
    let hundredths = (before != 0).then(|| round_half_even(change * 10_000, before));
    hundredths.and_then(|hundredths| i64::try_from(hundredths).ok())
}

/// Takes digits off sums so large that ten thousand times them would not fit; no share shows those digits.
const fn cut_to_multiply(largest: Amount) -> i128 {
    if largest.units() > i128::MAX / 10_000 { 1_000_000 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fold::{Adding, Column, Fold, Stretch};
    use crate::report::query::Dimension;
    use std::sync::Arc;

    /// Users with an amount each, two calls and 3,000 tokens.
    fn groups(query: &Query, asked: &[(&str, Amount)], before: &[(&str, Amount)]) -> Result<Groups, TooLarge> {
        let mut fold = Fold::new(Arc::new(query.clone()), Vec::new());
        let mut users: Vec<&str> = asked.iter().chain(before).map(|(user, _)| *user).collect();
        users.sort_unstable();
        users.dedup();
        for (side, all) in [(Side::Asked, asked), (Side::Before, before)] {
            let column = |addend: &Addend| match addend {
                Addend::Amount => Adding::Money(all.iter().map(|(_, amount)| amount.units()).collect()),
                Addend::Calls => Adding::Count(vec![2; all.len()]),
                Addend::Tokens => Adding::Count(vec![3_000; all.len()]),
                other => panic!("{other:?} is not asked for"),
            };
            let stretch = Stretch {
                rows: all.len(),
                at: Column::Same(0),
                currencies: Column::Same(Currency::USD),
                numbers: vec![all.iter().map(|(user, _)| users.iter().position(|other| other == user).unwrap() as u32).collect()],
                addends: query.addends().iter().map(column).collect(),
                users: vec![0; all.len()],
                calls: vec![2; all.len()],
            };
            fold.add(&stretch, side, i64::MIN, i64::MAX)?;
        }
        fold.finish(|_, number| Ok(Some(users[number as usize].to_owned())))
    }

    fn amounts<'t>(amounts: &[(&'t str, &str)]) -> Vec<(&'t str, Amount)> {
        amounts.iter().map(|(user, amount)| (*user, Amount::parse(amount).unwrap())).collect()
    }

    fn asked(query: &Query, of: &[(&str, &str)]) -> Table {
        table(query, groups(query, &amounts(of), &[]).unwrap()).unwrap()
    }

    fn query(show: &[Measure]) -> Query {
        Query { by: vec![Dimension::User], show: show.to_vec(), ..Query::default() }
    }

    #[test]
    fn what_is_left_of_the_top_is_one_line() {
        let query = Query { top: Some(2), ..query(&[Measure::Amount, Measure::Calls]) };
        let table = asked(&query, &[("a", "1"), ("b", "5"), ("c", "0.25"), ("d", "3")]);
        assert_eq!(
            table.to_csv(),
            "user,amount,currency,calls,groups\r\nb,5,USD,2,1\r\nd,3,USD,2,1\r\n(the rest),1.25,USD,4,2\r\n"
        );
        assert_eq!(table.totals[0].amount.to_string(), "9.25");
        assert_eq!(table.totals_to_json(), r#"[{"amount":"9.25","currency":"USD","calls":8,"groups":4}]"#);
    }

    /// Also where only the last digit tells them apart, or their first ones are more than what is looked at first.
    #[test]
    fn lines_come_by_size_and_then_by_their_values() {
        let units: Vec<i128> = [0, 1, 1 << 44, 1 << 63, 1 << 106, 1 << 107, 1 << 110]
            .into_iter()
            .flat_map(|near: i128| [near - 1, near, near + 1, 1 - near, -near, -near - 1])
            .collect();
        let names: Vec<String> = (0..units.len()).map(|n| format!("{:02}", n * 7919 % 41)).collect();
        let of: Vec<(&str, Amount)> =
            names.iter().zip(&units).map(|(name, units)| (&**name, Amount::from_units(*units))).collect();
        let mut summed: BTreeMap<&str, i128> = BTreeMap::new();
        of.iter().for_each(|(name, amount)| *summed.entry(name).or_default() += amount.units());
        let mut expected: Vec<(&str, i128)> = summed.into_iter().collect();
        expected.sort_by_key(|(_, units)| std::cmp::Reverse(*units));
        let query = query(&[Measure::Amount]);
        let table = table(&query, groups(&query, &of, &[]).unwrap()).unwrap();
        let shown = |row: Vec<Cell>| match &row[..2] {
            [Cell::Text(name), Cell::Money(amount)] => (name.to_string(), amount.units()),
            other => panic!("{other:?}"),
        };
        let expected: Vec<(String, i128)> = expected.into_iter().map(|(name, units)| (name.to_owned(), units)).collect();
        assert_eq!(table.rows().map(shown).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn shares_add_up_to_a_hundred() {
        let query = query(&[Measure::Share]);
        let thirds = asked(&query, &[("a", "1"), ("b", "1"), ("c", "1")]);
        assert_eq!(thirds.to_csv(), "user,share\r\na,33.34\r\nb,33.33\r\nc,33.33\r\n");
        let negative = asked(&query, &[("a", "1"), ("b", "-0.5")]);
        assert_eq!(negative.to_csv(), "user,share\r\na,\r\nb,\r\n");
        for count in 1..200_i64 {
            let amounts: Vec<(String, String)> =
                (0..count).map(|n| (n.to_string(), format!("0.{:07}", n * n * 7919 % 9973 + 1))).collect();
            let amounts: Vec<(&str, &str)> = amounts.iter().map(|(user, amount)| (&**user, &**amount)).collect();
            let table = asked(&query, &amounts);
            let sum: i64 = table.rows().map(|row| if let Cell::Percent(share) = row[1] { share } else { 0 }).sum();
            assert_eq!(sum, 10_000, "{count} lines");
        }
    }

    #[test]
    fn a_comparison_has_what_is_new_and_what_is_gone() {
        let query = Query { compare: true, ..query(&[Measure::Amount]) };
        let (now, before) = (amounts(&[("a", "1.5"), ("new", "1")]), amounts(&[("a", "1"), ("gone", "2")]));
        let table = table(&query, groups(&query, &now, &before).unwrap()).unwrap();
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
        let query = query(&[Measure::PerMillionTokens]);
        let most = Amount::from_units(i128::MAX - 1);
        let two_of_a_group = groups(&query, &[("a", most), ("a", most)], &[]);
        assert_eq!(two_of_a_group.map(|_| ()), Err(TooLarge));
        let two_groups = groups(&query, &[("a", most), ("b", most)], &[]).unwrap();
        assert_eq!(table(&query, two_groups), Err(TooLarge));
        let one = table(&query, groups(&query, &[("a", most)], &[]).unwrap()).unwrap();
        assert_eq!(one.to_csv(), "user,per_million_tokens\r\na,\r\n");
    }

    #[test]
    fn a_forecast_goes_on_as_it_went_until_now() {
        let at = |text: &str| Some(crate::time::Instant::parse(text).unwrap());
        let month = Query { from: at("2026-11-01T00:00:00Z"), until: at("2026-12-01T00:00:00Z"), ..query(&[Measure::Forecast]) };
        let forecast = |now: &str| {
            let query = Query { asked_at: at(now), ..month.clone() };
            query.check().map(|()| asked(&query, &[("a", "7"), ("b", "0.000000000001")]).to_csv())
        };
        assert_eq!(forecast("2026-11-08T00:00:00Z").unwrap(), "user,forecast\r\na,30\r\nb,0.000000000004\r\n");
        assert_eq!(forecast("2027-02-01T00:00:00Z").unwrap(), "user,forecast\r\na,7\r\nb,0.000000000001\r\n");
        assert_eq!(forecast("2026-11-01T00:00:00Z").unwrap(), "user,forecast\r\na,\r\nb,\r\n");
        let open = Query { until: None, ..month.clone() };
        assert!(open.check().unwrap_err().why.starts_with("a forecast needs a range"));
    }

    #[test]
    fn a_unit_costs_what_all_cost_over_their_number() {
        let query = query(&[Measure::PerMillionTokens, Measure::PerCall, Measure::PerUser]);
        let table = asked(&query, &[("a", "0.000000000000000001"), ("b", "10")]);
        assert_eq!(table.to_csv(), "user,per_million_tokens,per_call,per_user\r\nb,3333.333333333333,5,\r\na,0,0,\r\n");
        // What two used, one of them in vain, and somebody whom nobody knows.
        let mut fold = Fold::new(Arc::new(query.clone()), Vec::new());
        let stretch = Stretch {
            rows: 5,
            at: Column::Same(0),
            currencies: Column::Same(Currency::USD),
            numbers: vec![vec![7; 5]],
            addends: vec![
                Adding::Money([1, 2, 3, 1, 0].map(|units| Amount::parse(&units.to_string()).unwrap().units()).to_vec()),
                Adding::Count(vec![1_000; 5]),
                Adding::Count(vec![1, 1, 1, 1, -1]),
            ],
            users: vec![1, 2, 1, 0, 2],
            calls: vec![1, 1, 1, 1, -1],
        };
        assert_eq!(query.addends(), [Addend::Amount, Addend::Tokens, Addend::Calls]);
        fold.add(&stretch, Side::Asked, i64::MIN, i64::MAX).unwrap();
        let users = super::table(&query, fold.finish(|_, _| Ok::<_, TooLarge>(Some("x".to_owned()))).unwrap()).unwrap();
        assert_eq!(users.to_csv(), "user,per_million_tokens,per_call,per_user\r\nx,1400,2.333333333333,7\r\n");
    }
}
