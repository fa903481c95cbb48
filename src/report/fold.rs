//! The fold from stretches of a book to groups. A stretch has a column for each thing that a query asks for, and in a column
//! a number for each value, so that entries are told apart by integers alone; texts are asked for once a value. Sums are
//! integer sums: the parts of any grouping add up to the whole.

use crate::money::{Amount, Currency, Limbs};
use crate::report::query::{Addend, Dimension, Query};
use chrono::{DateTime, Datelike, NaiveDate, Offset, Timelike};
use chrono_tz::Tz;
use hashbrown::{HashMap, HashSet};
use std::cmp::Ordering;
use std::sync::Arc;

/// Entries that are folded together, or the meters of entries: one property a column, all of the same length.
#[derive(Clone, Debug, Default)]
pub struct Stretch {
    pub rows: usize,
    /// When, on the clock that the query asks for, in microseconds.
    pub at: Column<i64>,
    pub currencies: Column<Currency>,
    /// For each of [`Query::folded`] what stands for its value, 0 where it has none; empty for those of the clock.
    pub numbers: Vec<Vec<u32>>,
    /// For each of [`Query::addends`] what it adds.
    pub addends: Vec<Adding>,
    /// Who used it, and how often, where users are counted.
    pub users: Vec<u32>,
    pub calls: Vec<i64>,
}

/// A column, or the one value that stands in all of its rows as far as the query can tell.
#[derive(Clone, Debug)]
pub enum Column<T> {
    Same(T),
    Each(Vec<T>),
}

impl<T: Copy> Column<T> {
    fn at(&self, row: usize) -> T {
        match self {
            Column::Same(value) => *value,
            Column::Each(values) => values[row],
        }
    }
}

impl<T> Default for Column<T> {
    fn default() -> Column<T> {
        Column::Each(Vec::new())
    }
}

/// A column of what adds up: money in its smallest units or in limbs, or a count.
#[derive(Clone, Debug)]
pub enum Adding {
    Money(Vec<i128>),
    Limbs { micro: Vec<i64>, femto: Vec<u32>, yocto: Vec<u32> },
    Count(Vec<i64>),
}

/// A sum that no column can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sum of these entries is larger than what can be shown; ask for a shorter range, or filter out what is absurd")]
pub struct TooLarge;

/// What a filter lets through.
#[derive(Clone, Debug)]
pub enum Keep {
    /// What has one of these numbers.
    Numbers(HashSet<u32>),
    /// What has one of these labels on the clock.
    Labels(Vec<String>),
}

/// Which of two ranges a stretch is of, where two are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Asked = 0,
    Before = 1,
}

/// Stretches by the values of all dimensions that the query groups by.
pub struct Fold {
    query: Arc<Query>,
    folded: Vec<Dimension>,
    keeps: Vec<(usize, Keep)>,
    /// Currencies, and then what each dimension makes of them.
    levels: Vec<Level>,
    /// By side and addend, a sum for each group; of the range before only where two are compared.
    sums: [Vec<Vec<i128>>; 2],
    addends: Vec<Addend>,
    users: Option<HashMap<(u32, u32), i64>>,
    clock: Clock,
}

/// No group.
const NONE: u32 = u32::MAX;

/// The groups of one dimension more: each is one of the level before and a number.
#[derive(Default)]
struct Level {
    known: HashMap<(u32, u32), u32>,
    /// What each is made of.
    made_of: Vec<(u32, u32)>,
}

impl Level {
    fn group(&mut self, before: u32, number: u32) -> u32 {
        let next = self.made_of.len() as u32;
        let known = *self.known.entry((before, number)).or_insert(next);
        if known == next {
            self.made_of.push((before, number));
        }
        known
    }

    /// Divides the groups of the level before, of which there are so many.
    fn divide(&mut self, groups: Column<u32>, before: usize, numbers: Numbers<'_>) -> Column<u32> {
        match (groups, numbers) {
            (Column::Same(NONE), _) => Column::Same(NONE),
            (Column::Same(group), Numbers::Same(number)) => Column::Same(self.group(group, number)),
            (Column::Same(group), Numbers::Each(numbers)) => {
                let mut groups = vec![0; numbers.len()];
                self.divide_each(&mut groups, 1, numbers, |level, _, number| level.group(group, number));
                Column::Each(groups)
            }
            (Column::Each(mut groups), Numbers::Same(number)) => {
                let mut known = vec![NONE; before];
                for group in groups.iter_mut().filter(|group| **group != NONE) {
                    let place = *group as usize;
                    if known[place] == NONE {
                        known[place] = self.group(*group, number);
                    }
                    *group = known[place];
                }
                Column::Each(groups)
            }
            (Column::Each(mut groups), Numbers::Each(numbers)) => {
                self.divide_each(&mut groups, before, numbers, Level::group);
                Column::Each(groups)
            }
        }
    }

    /// What is known of a number and a group lies in a table of its own, as long as that is not much larger than what is
    /// divided: few numbers come together in one stretch, and looking them up in all that is known takes longer.
    fn divide_each(
        &mut self,
        groups: &mut [u32],
        before: usize,
        numbers: &[u32],
        group_of: impl Fn(&mut Level, u32, u32) -> u32,
    ) {
        let most = 4 * groups.len() + 1_024;
        let (least, last) = numbers.iter().fold((u32::MAX, 0), |(least, last), number| (least.min(*number), last.max(*number)));
        let width = (last as usize + 1).saturating_sub(least as usize);
        let mut places: Vec<u32> = vec![NONE; if width <= most { width } else { 0 }];
        let mut known: Vec<u32> = Vec::new();
        // What has no place there often has the group of the one before: entries lie in the order of their owners and models.
        let mut last = (NONE, 0, NONE);
        for (group, number) in groups.iter_mut().zip(numbers).filter(|(group, _)| **group != NONE) {
            let place = places.get_mut((number - least) as usize);
            let first = match place {
                Some(first) if *first != NONE => *first as usize,
                Some(first) if known.len() + before <= most => {
                    let end = known.len();
                    known.resize(end + before, NONE);
                    *first = end as u32;
                    end
                }
                _ => {
                    if (last.0, last.1) != (*group, *number) {
                        last = (*group, *number, group_of(self, *group, *number));
                    }
                    *group = last.2;
                    continue;
                }
            };
            let place = first + *group as usize;
            if known[place] == NONE {
                known[place] = group_of(self, *group, *number);
            }
            *group = known[place];
        }
    }
}

/// What stands for the values of a dimension.
#[derive(Clone, Copy)]
enum Numbers<'s> {
    Same(u32),
    Each(&'s [u32]),
}

impl Fold {
    /// `keeps` are what the filters of the query let through, in their order.
    pub fn new(query: Arc<Query>, keeps: Vec<Keep>) -> Fold {
        let folded: Vec<Dimension> = query.folded().into_iter().cloned().collect();
        let place = |dimension: &Dimension| folded.iter().position(|other| other == dimension).expect("a filter is folded too");
        let keeps = query.filters.iter().map(|filter| place(&filter.dimension)).zip(keeps).collect();
        let addends = query.addends();
        let before = if query.compare { addends.len() } else { 0 };
        Fold {
            keeps,
            levels: (0..=query.by.len()).map(|_| Level::default()).collect(),
            sums: [vec![Vec::new(); addends.len()], vec![Vec::new(); before]],
            users: query.counts_users().then(HashMap::new),
            clock: Clock::new(query.zone),
            folded,
            addends,
            query,
        }
    }

    /// Adds what lies from one instant on and before another.
    pub fn add(&mut self, stretch: &Stretch, side: Side, from: i64, until: i64) -> Result<(), TooLarge> {
        let within = |at: &i64| if (from..until).contains(at) { 0 } else { NONE };
        let times: Vec<Option<Column<u32>>> =
            self.folded.iter().map(|dimension| self.clock.column(dimension, &stretch.at)).collect();
        let numbers = |place: usize| match &times[place] {
            Some(Column::Same(number)) => Numbers::Same(*number),
            Some(Column::Each(numbers)) => Numbers::Each(numbers),
            None => Numbers::Each(&stretch.numbers[place]),
        };
        let mut groups: Column<u32> = match &stretch.at {
            Column::Same(at) => Column::Same(within(at)),
            Column::Each(at) => Column::Each(at.iter().map(within).collect()),
        };
        for (place, keep) in &self.keeps {
            let lets_through = |number: &u32| match keep {
                Keep::Numbers(numbers) => numbers.contains(number),
                Keep::Labels(labels) => labels.contains(&self.clock.label(&self.folded[*place], *number)),
            };
            groups = match numbers(*place) {
                Numbers::Same(number) => {
                    if lets_through(&number) {
                        groups
                    } else {
                        Column::Same(NONE)
                    }
                }
                Numbers::Each(numbers) => {
                    let mut passes: HashMap<u32, bool> = HashMap::new();
                    let mut passes = |number: &u32| *passes.entry(*number).or_insert_with(|| lets_through(number));
                    let kept = (0..).zip(numbers).map(|(row, number)| if passes(number) { groups.at(row) } else { NONE });
                    Column::Each(kept.collect())
                }
            };
        }
        let (currencies, levels) = self.levels.split_first_mut().expect("currencies are always there");
        let letters: Vec<u32>;
        let of_currencies = match &stretch.currencies {
            Column::Same(currency) => Numbers::Same(currency.number()),
            Column::Each(each) => {
                letters = each.iter().map(|currency| currency.number()).collect();
                Numbers::Each(&letters)
            }
        };
        groups = currencies.divide(groups, 1, of_currencies);
        let mut before = currencies.made_of.len();
        for (place, level) in levels.iter_mut().enumerate() {
            groups = level.divide(groups, before, numbers(place));
            before = level.made_of.len();
        }

        for (sums, adding) in self.sums[side as usize].iter_mut().zip(&stretch.addends) {
            sums.resize(before, 0);
            match adding {
                Adding::Money(amounts) => sum(sums, &groups, amounts.iter().copied())?,
                Adding::Limbs { micro, femto, yocto } => {
                    let limbs = micro.iter().zip(femto.iter().zip(yocto));
                    let units = |(micro, (femto, yocto)): (&i64, (&u32, &u32))| {
                        Amount::from_limbs(Limbs { micro: *micro, femto: i64::from(*femto), yocto: i64::from(*yocto) }).units()
                    };
                    sum(sums, &groups, limbs.map(units))?;
                }
                Adding::Count(counts) => sum(sums, &groups, counts.iter().map(|count| i128::from(*count)))?,
            }
        }
        if let Some(users) = self.users.as_mut().filter(|_| side == Side::Asked) {
            let of_groups = stretch.users.iter().zip(&stretch.calls).enumerate().map(|(row, used)| (groups.at(row), used));
            for (group, (user, calls)) in of_groups.filter(|(group, _)| *group != NONE) {
                let known = users.entry((group, *user)).or_default();
                *known = known.saturating_add(*calls);
            }
        }
        Ok(())
    }

    /// The numbers that stand for values of the dimension in this place of the query.
    fn numbers_of(&self, place: usize) -> HashSet<u32> {
        let mut numbers = HashSet::new();
        // One by one and not collected: the groups are many more than what they have in one dimension.
        for (_, number) in &self.levels[place + 1].made_of {
            numbers.insert(*number);
        }
        numbers
    }

    /// The numbers of all dimensions that somebody else has the texts of.
    pub fn numbers(&self) -> Vec<(Dimension, HashSet<u32>)> {
        let by = self.query.by.iter().enumerate().filter(|(_, dimension)| !dimension.is_of_the_clock());
        by.map(|(place, dimension)| (dimension.clone(), self.numbers_of(place))).collect()
    }

    /// The groups, by their values; `text` says what a number stands for, and is asked once.
    pub fn finish<E>(self, mut text: impl FnMut(&Dimension, u32) -> Result<Option<String>, E>) -> Result<Groups, E> {
        let currency = |(_, letters): &(u32, u32)| Currency::of_number(*letters).expect("it was a currency");
        let mut currencies: Vec<Currency> = self.levels[0].made_of.iter().map(currency).collect();
        let mut values: Vec<Values> = Vec::with_capacity(self.query.by.len());
        for (place, dimension) in self.query.by.iter().enumerate() {
            let mut known = Vec::new();
            for number in self.numbers_of(place) {
                let said = match dimension.is_of_the_clock() {
                    // In the order of time, and not of what the label says.
                    true => (Some(begin_of(number)), Some(self.clock.label(dimension, number))),
                    false => (None, text(dimension, number)?),
                };
                known.push((said, number));
            }
            known.sort_unstable();
            let places = known.iter().zip(0..).map(|((_, number), place)| (*number, place)).collect::<HashMap<u32, u32>>();
            let texts = known.into_iter().map(|((_, text), _)| text.map(Into::into)).collect();
            // What a group had before it was divided, each of its parts has.
            let made_of = &self.levels[place + 1].made_of;
            currencies = made_of.iter().map(|(before, _)| currencies[*before as usize]).collect();
            for Values { of_groups, .. } in &mut values {
                *of_groups = made_of.iter().map(|(before, _)| of_groups[*before as usize]).collect();
            }
            values.push(Values { texts, of_groups: made_of.iter().map(|(_, number)| places[number]).collect() });
        }
        let mut sums = self.sums;
        sums.iter_mut().flatten().for_each(|sums| sums.resize(currencies.len(), 0));
        Ok(Groups { currencies, values, addends: self.addends, sums, users: self.users.unwrap_or_default() })
    }
}

fn sum(sums: &mut [i128], groups: &Column<u32>, adding: impl Iterator<Item = i128>) -> Result<(), TooLarge> {
    let mut is_too_large = false;
    let mut add = |sum: &mut i128, amount: i128| {
        let (added, overflows) = sum.overflowing_add(amount);
        *sum = added;
        is_too_large |= overflows;
    };
    match groups {
        Column::Same(group) => {
            if let Some(sum) = sums.get_mut(*group as usize) {
                adding.for_each(|amount| add(sum, amount));
            }
        }
        // What is of no group has no sum.
        Column::Each(groups) => {
            for (group, amount) in groups.iter().zip(adding) {
                if let Some(sum) = sums.get_mut(*group as usize) {
                    add(sum, amount);
                }
            }
        }
    }
    if is_too_large { Err(TooLarge) } else { Ok(()) }
}

/// What groups are called in one dimension.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// In the order in which rows are sorted.
    pub texts: Vec<Option<Arc<str>>>,
    /// For each group which of them.
    pub of_groups: Vec<u32>,
}

/// All groups of an answer. A group is its place.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    pub currencies: Vec<Currency>,
    pub values: Vec<Values>,
    addends: Vec<Addend>,
    sums: [Vec<Vec<i128>>; 2],
    users: HashMap<(u32, u32), i64>,
}

impl Groups {
    pub fn sum(&self, addend: Addend, side: Side, group: u32) -> i128 {
        self.sums(addend, side).get(group as usize).copied().unwrap_or(0)
    }

    /// A column of sums, by group; empty where none were asked for.
    pub fn sums(&self, addend: Addend, side: Side) -> &[i128] {
        let place = self.addends.iter().position(|other| *other == addend);
        place.and_then(|place| self.sums[side as usize].get(place)).map_or(&[], Vec::as_slice)
    }

    /// Makes one group more, of several; of their values nothing can be said.
    pub fn together(&mut self, several: &[u32]) -> Result<u32, TooLarge> {
        let next = self.currencies.len() as u32;
        let currency = several.first().map_or(Currency::USD, |first| self.currencies[*first as usize]);
        for sums in self.sums.iter_mut().flatten() {
            let sum = several.iter().try_fold(0_i128, |sum, group| sum.checked_add(sums[*group as usize]));
            sums.push(sum.ok_or(TooLarge)?);
        }
        self.currencies.push(currency);
        if !self.users.is_empty() {
            let several: HashSet<u32> = several.iter().copied().collect();
            let mut all: HashMap<(u32, u32), i64> = HashMap::new();
            for ((_, user), calls) in self.users.iter().filter(|((group, _), _)| several.contains(group)) {
                let known = all.entry((next, *user)).or_default();
                *known = known.saturating_add(*calls);
            }
            self.users.extend(all);
        }
        Ok(next)
    }

    /// How many different users each group has that are left with a call; what has no user is none.
    pub fn users(&self) -> Vec<i64> {
        let mut counts = vec![0; self.currencies.len()];
        for ((group, user), calls) in &self.users {
            counts[*group as usize] += i64::from(*user != 0 && *calls != 0);
        }
        counts
    }

    /// The order of two groups by their values.
    pub fn by_values(&self, one: u32, other: u32) -> Ordering {
        let places = self.values.iter().map(|values| values.of_groups[one as usize].cmp(&values.of_groups[other as usize]));
        places.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

/// Hours, days, weeks and months of a zone. No zone's begins inside a quarter of an hour, so a quarter is looked at once.
struct Clock {
    zone: Tz,
    known: HashMap<(u8, i64), u32>,
}

const QUARTER: i64 = 900_000_000;
/// Twelve years of them are few enough for a table.
const MOST_QUARTERS: i64 = 420_000;

impl Clock {
    fn new(zone: Tz) -> Clock {
        Clock { zone, known: HashMap::new() }
    }

    /// Where each begins, as a number; nothing for a dimension that is not of the clock.
    fn column(&mut self, dimension: &Dimension, at: &Column<i64>) -> Option<Column<u32>> {
        let unit = match dimension {
            Dimension::Hour => 0,
            Dimension::Day => 1,
            Dimension::Week => 2,
            Dimension::Month => 3,
            _ => return None,
        };
        let mut number = |quarter: i64| {
            let begins = || number_of(begin(dimension, &local(quarter * (QUARTER / 1_000_000), self.zone)));
            *self.known.entry((unit, quarter)).or_insert_with(begins)
        };
        let at = match at {
            Column::Same(at) => return Some(Column::Same(number(at.div_euclid(QUARTER)))),
            Column::Each(at) => at,
        };
        let quarters = || at.iter().map(|at| at.div_euclid(QUARTER));
        let ends = at.iter().min().zip(at.iter().max());
        let (first, last) = ends.map_or((0, 0), |(first, last)| (first.div_euclid(QUARTER), last.div_euclid(QUARTER)));
        if last - first >= MOST_QUARTERS {
            return Some(Column::Each(quarters().map(number).collect()));
        }
        // Owner by owner the same days come again and again, so what is known of them lies in their order.
        let mut known: Vec<Option<u32>> = vec![None; (last - first) as usize + 1];
        let number = |quarter: i64| *known[(quarter - first) as usize].get_or_insert_with(|| number(quarter));
        Some(Column::Each(quarters().map(number).collect()))
    }

    /// As people read it: `2026-02-03T10:00+01:00`, `2026-02-03`, `2026-W06`, `2026-02`.
    fn label(&self, dimension: &Dimension, number: u32) -> String {
        let begins = begin_of(number);
        if *dimension == Dimension::Hour {
            return local(begins * (QUARTER / 1_000_000), self.zone).format("%Y-%m-%dT%H:%M%:z").to_string();
        }
        let day = NaiveDate::from_num_days_from_ce_opt(begins as i32).unwrap_or_default();
        match dimension {
            Dimension::Week => format!("{:04}-W{:02}", day.iso_week().year(), day.iso_week().week()),
            Dimension::Month => format!("{:04}-{:02}", day.year(), day.month()),
            _ => day.to_string(),
        }
    }
}

/// Quarters and days of both sides of the year 1970 as numbers of their order.
fn number_of(begins: i64) -> u32 {
    (begins + (1 << 31)) as u32
}

fn begin_of(number: u32) -> i64 {
    i64::from(number) - (1 << 31)
}

fn local(timestamp: i64, zone: Tz) -> DateTime<Tz> {
    DateTime::from_timestamp(timestamp, 0).unwrap_or_default().with_timezone(&zone)
}

/// Where the hour, day, week or month begins in which an instant lies: an hour as a quarter of an hour since 1970, because a
/// zone may have the same one twice, everything else as a day.
fn begin(dimension: &Dimension, local: &DateTime<Tz>) -> i64 {
    let day = local.date_naive();
    match dimension {
        Dimension::Hour => begin_of_hour(local),
        Dimension::Week => i64::from(day.num_days_from_ce()) - i64::from(day.weekday().num_days_from_monday()),
        Dimension::Month => i64::from(day.with_day(1).expect("every month has a first day").num_days_from_ce()),
        _ => i64::from(day.num_days_from_ce()),
    }
}

/// The first quarter of an hour with the same hour and the same offset: clocks may also be set back by half an hour.
fn begin_of_hour(at: &DateTime<Tz>) -> i64 {
    let quarter = at.timestamp().div_euclid(900);
    let is_same = |other: &DateTime<Tz>| other.hour() == at.hour() && other.offset().fix() == at.offset().fix();
    let earlier = (1..4).map(|quarters| quarter - quarters).take_while(|begin| is_same(&local(begin * 900, at.timezone())));
    earlier.last().unwrap_or(quarter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use std::collections::BTreeMap;

    const DAY: i64 = 86_400_000_000;

    fn by(dimension: Dimension, zone: Tz, at: &[&str]) -> Vec<String> {
        let query = Arc::new(Query { by: vec![dimension], zone, ..Query::default() });
        let mut fold = Fold::new(query.clone(), Vec::new());
        let calls = vec![1; at.len()];
        let stretch = Stretch {
            rows: at.len(),
            at: Column::Each(at.iter().map(|at| Instant::parse(at).unwrap().micros()).collect()),
            currencies: Column::Same(Currency::USD),
            numbers: vec![Vec::new()],
            addends: vec![Adding::Money(vec![0; at.len()]), Adding::Count(calls)],
            ..Stretch::default()
        };
        assert_eq!(query.addends(), [Addend::Amount, Addend::Calls]);
        fold.add(&stretch, Side::Asked, i64::MIN, i64::MAX).unwrap();
        let groups = fold.finish(|_, _| Ok::<_, TooLarge>(None)).unwrap();
        let values = &groups.values[0];
        let mut order: Vec<u32> = (0..values.of_groups.len() as u32).collect();
        order.sort_by(|one, other| groups.by_values(*one, *other));
        let said = |group: u32| {
            let text = values.texts[values.of_groups[group as usize] as usize].as_deref().unwrap();
            format!("{text} {}", groups.sum(Addend::Calls, Side::Asked, group))
        };
        order.into_iter().map(said).collect()
    }

    /// Whatever is known beforehand of a column, whether its numbers lie close together or far apart, in groups that are few or
    /// many: each row is added to the group of its values.
    #[test]
    fn rows_are_added_to_the_group_of_their_values() {
        let mut random = 7_u64;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        let by = vec![Dimension::User, Dimension::Model, Dimension::Day];
        let query = Arc::new(Query { by, ..Query::default() });
        for round in 0..60 {
            let mut fold = Fold::new(query.clone(), Vec::new());
            let mut expected: BTreeMap<(u32, u32, i64, u32), (i128, i128)> = BTreeMap::new();
            for _ in 0..3 {
                let rows = 1 + below(3_000) as usize;
                let (users, spread) = (1 + below(400), [1, 1 << 20, u64::from(u32::MAX) / 400][round % 3]);
                let mut column =
                    |kinds: u64, spread: u64| (0..rows).map(|_| (below(kinds) * spread) as u32).collect::<Vec<u32>>();
                let numbers = vec![column(users, spread), column(1 + round as u64 % 40, 1), Vec::new()];
                let micro: Vec<i64> = (0..rows).map(|_| below(1 << 30) as i64 - (1 << 29)).collect();
                let femto: Vec<u32> = (0..rows).map(|_| below(1_000_000_000) as u32).collect();
                let yocto: Vec<u32> = (0..rows).map(|_| below(1_000_000_000) as u32).collect();
                let days: Vec<i64> = (0..rows).map(|_| below(5) as i64).collect();
                let currencies: Vec<Currency> =
                    (0..rows).map(|_| if below(9) > 0 { Currency::USD } else { "EUR".parse().unwrap() }).collect();
                let (same_day, same_currency) = (below(2) == 0, below(2) == 0);
                let day = |row: usize| if same_day { days[0] } else { days[row] };
                let currency = |row: usize| if same_currency { currencies[0] } else { currencies[row] };
                // The first day is not asked for.
                for row in (0..rows).filter(|row| day(*row) > 0) {
                    let key = (numbers[0][row], numbers[1][row], day(row), currency(row).number());
                    let sum = expected.entry(key).or_default();
                    sum.0 += i128::from(micro[row]) * 10_i128.pow(18)
                        + i128::from(femto[row]) * 10_i128.pow(9)
                        + i128::from(yocto[row]);
                    sum.1 += 1;
                }
                let stretch = Stretch {
                    rows,
                    at: if same_day {
                        Column::Same(days[0] * DAY)
                    } else {
                        Column::Each(days.iter().map(|day| day * DAY).collect())
                    },
                    currencies: if same_currency { Column::Same(currencies[0]) } else { Column::Each(currencies.clone()) },
                    numbers: numbers.clone(),
                    addends: vec![Adding::Limbs { micro, femto, yocto }, Adding::Count(vec![1; rows])],
                    ..Stretch::default()
                };
                fold.add(&stretch, Side::Asked, DAY, i64::MAX).unwrap();
            }
            let groups = fold.finish(|_, number| Ok::<_, TooLarge>(Some(number.to_string()))).unwrap();
            let text = |place: usize, group: usize| {
                let values = &groups.values[place];
                values.texts[values.of_groups[group] as usize].clone().unwrap()
            };
            let found: BTreeMap<(u32, u32, i64, u32), (i128, i128)> = (0..groups.currencies.len())
                .map(|group| {
                    let day = text(2, group)["1970-01-0".len()..].parse::<i64>().unwrap() - 1;
                    let key = (
                        text(0, group).parse().unwrap(),
                        text(1, group).parse().unwrap(),
                        day,
                        groups.currencies[group].number(),
                    );
                    let sum = |addend| groups.sum(addend, Side::Asked, group as u32);
                    (key, (sum(Addend::Amount), sum(Addend::Calls)))
                })
                .collect();
            assert_eq!(found, expected, "round {round}");
        }
    }

    #[test]
    fn a_sum_that_no_column_can_show_is_no_sum() {
        let query = Arc::new(Query { by: vec![Dimension::User], ..Query::default() });
        for numbers in [vec![1, 1], vec![1, 2]] {
            let is_one_group = numbers == [1, 1];
            let mut fold = Fold::new(query.clone(), Vec::new());
            let stretch = Stretch {
                rows: 2,
                at: Column::Same(0),
                currencies: Column::Same(Currency::USD),
                numbers: vec![numbers],
                addends: vec![Adding::Money(vec![i128::MAX, 1]), Adding::Count(vec![1, 1])],
                ..Stretch::default()
            };
            assert_eq!(fold.add(&stretch, Side::Asked, i64::MIN, i64::MAX).is_err(), is_one_group);
        }
    }

    #[test]
    fn a_day_is_the_zones_day_also_where_it_has_23_or_25_hours() {
        let fall = ["2026-10-24T22:00:00Z", "2026-10-25T22:45:00Z", "2026-10-25T23:00:00Z"];
        assert_eq!(by(Dimension::Day, Tz::Europe__Berlin, &fall), ["2026-10-25 2", "2026-10-26 1"]);
        let spring = ["2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z", "2026-03-29T22:00:00Z"];
        assert_eq!(by(Dimension::Day, Tz::Europe__Berlin, &spring), ["2026-03-29 2", "2026-03-30 1"]);
        assert_eq!(
            by(Dimension::Day, Tz::Asia__Kolkata, &["2026-02-03T18:29:59Z", "2026-02-03T18:30:00Z"]),
            ["2026-02-03 1", "2026-02-04 1"]
        );
        assert_eq!(
            by(Dimension::Day, Tz::Asia__Kathmandu, &["2026-02-03T18:14:00Z", "2026-02-03T18:15:00Z"]),
            ["2026-02-03 1", "2026-02-04 1"]
        );
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_in_their_order() {
        let at = ["2026-10-25T01:30:00Z", "2026-10-25T00:30:00Z"];
        assert_eq!(by(Dimension::Hour, Tz::Europe__Berlin, &at), ["2026-10-25T02:00+02:00 1", "2026-10-25T02:00+01:00 1"]);
        assert_eq!(by(Dimension::Hour, Tz::Asia__Kolkata, &["2026-02-03T10:20:00Z"]), ["2026-02-03T15:00+05:30 1"]);
        // Lord Howe's clocks go back by half an hour.
        let at = ["2026-04-04T14:50:00Z", "2026-04-04T15:10:00Z"];
        assert_eq!(by(Dimension::Hour, Tz::Australia__Lord_Howe, &at), ["2026-04-05T01:00+11:00 1", "2026-04-05T01:30+10:30 1"]);
    }

    #[test]
    fn weeks_are_those_of_the_year_that_has_most_of_them() {
        let at = ["2026-12-31T12:00:00Z", "2027-01-03T12:00:00Z", "2027-01-04T12:00:00Z"];
        assert_eq!(by(Dimension::Week, Tz::UTC, &at), ["2026-W53 2", "2027-W01 1"]);
        assert_eq!(by(Dimension::Month, Tz::UTC, &at), ["2026-12 1", "2027-01 2"]);
    }
}
