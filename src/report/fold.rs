//! The fold from parts of a book to groups. A part says a number for each dimension, so that two parts are compared by
//! integers alone; texts are asked for once a group. Sums are integer sums: the parts of any grouping add up to the whole.

use crate::money::{Amount, Currency};
use crate::report::query::{Dimension, Measure, Query};
use crate::time::Instant;
use chrono::{DateTime, Datelike, NaiveDate, Offset, Timelike};
use chrono_tz::Tz;
use std::collections::HashMap;
use std::sync::Arc;

/// What is folded: an entry, or one meter of it.
pub trait Part {
    /// On the clock that the query asks for.
    fn at(&self) -> Instant;
    fn currency(&self) -> Currency;
    /// A number that stands for its value of a dimension, none of those of the clock; 0 where it has none.
    fn number(&self, dimension: &Dimension) -> i64;
    fn sums(&self) -> Sums;
    /// Who used it, to count different ones.
    fn user(&self) -> i64;
}

/// What adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub amount: Amount,
    pub list: Amount,
    pub rated: Amount,
    pub reported: Amount,
    /// Reported less rated, of those that are both.
    pub drift: Amount,
    pub calls: i64,
    pub entries: i64,
    pub tokens: i64,
    pub quantity: i64,
}

/// A sum that no column can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sum of these entries is larger than what can be shown; ask for a shorter range, or filter out what is absurd")]
pub struct TooLarge;

impl Sums {
    pub fn add(&mut self, other: &Sums) -> Result<(), TooLarge> {
        let money = |one: Amount, other: Amount| one.checked_add(other).ok_or(TooLarge);
        let count = |one: i64, other: i64| one.checked_add(other).ok_or(TooLarge);
        *self = Sums {
            amount: money(self.amount, other.amount)?,
            list: money(self.list, other.list)?,
            rated: money(self.rated, other.rated)?,
            reported: money(self.reported, other.reported)?,
            drift: money(self.drift, other.drift)?,
            calls: count(self.calls, other.calls)?,
            entries: count(self.entries, other.entries)?,
            tokens: count(self.tokens, other.tokens)?,
            quantity: count(self.quantity, other.quantity)?,
        };
        Ok(())
    }
}

/// A dimension's value as groups are told apart and sorted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// On the clock: where it begins.
    Time(i64),
    /// Shared by all groups that have it.
    Text(Option<Arc<str>>),
}

/// All groups of an answer, by currency and values.
pub type Groups = HashMap<(Currency, Vec<Value>), Group>;

/// All parts that have the same values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub sums: Sums,
    pub users: Users,
}

/// Who is in a group, where users are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::box_collection, reason = "most answers count nobody, and there may be a million groups")]
pub struct Users(Option<Box<HashMap<i64, i64>>>);

impl Users {
    /// Somebody made calls, or they turned out to be another's.
    fn insert(&mut self, user: i64, calls: i64) {
        let known = self.0.get_or_insert_default().entry(user).or_default();
        *known = known.saturating_add(calls);
    }

    pub fn extend(&mut self, others: &Users) {
        if let Some(others) = &others.0 {
            others.iter().for_each(|(user, calls)| self.insert(*user, *calls));
        }
    }

    /// How many different ones are left with a call; what has no user is none.
    pub fn count(&self) -> i64 {
        self.0.as_ref().map_or(0, |users| users.iter().filter(|(user, calls)| **user != 0 && **calls != 0).count() as i64)
    }
}

/// Parts by the numbers of all dimensions that the query names, those of its filters too.
pub struct Fold<'q> {
    query: &'q Query,
    dimensions: Vec<&'q Dimension>,
    counts_users: bool,
    groups: HashMap<(Currency, Box<[i64]>), Group>,
    key: Vec<i64>,
    /// Parts come nearly in order of time, so most lie in the same quarter of an hour as the one before; no zone's day begins
    /// inside of one.
    quarter: (i64, Vec<i64>),
}

const QUARTER: i64 = 900_000_000;

impl<'q> Fold<'q> {
    pub fn new(query: &'q Query) -> Fold<'q> {
        let mut dimensions: Vec<&Dimension> = query.by.iter().collect();
        dimensions.extend(query.filters.iter().map(|filter| &filter.dimension));
        let counts_users = query.show.iter().any(|measure| matches!(measure, Measure::Users | Measure::PerUser));
        Fold { query, dimensions, counts_users, groups: HashMap::new(), key: Vec::new(), quarter: (i64::MIN, Vec::new()) }
    }

    pub fn add(&mut self, part: &impl Part) -> Result<(), TooLarge> {
        let at = part.at();
        let quarter = at.micros().div_euclid(QUARTER);
        if self.quarter.0 != quarter {
            let local = at.to_utc().with_timezone(&self.query.zone);
            let begins = |dimension: &&Dimension| dimension.is_of_the_clock().then(|| begin(dimension, &local));
            self.quarter = (quarter, self.dimensions.iter().filter_map(begins).collect());
        }
        let mut times = self.quarter.1.iter();
        self.key.clear();
        self.key.extend(self.dimensions.iter().map(|dimension| match dimension.is_of_the_clock() {
            true => *times.next().expect("every dimension of the clock has its beginning"),
            false => part.number(dimension),
        }));
        let key = (part.currency(), std::mem::take(&mut self.key).into_boxed_slice());
        let group = self.groups.entry(key).or_default();
        let sums = part.sums();
        if self.counts_users {
            group.users.insert(part.user(), sums.calls);
        }
        group.sums.add(&sums)
    }

    /// The numbers that stand for values of a dimension.
    pub fn numbers_of(&self, dimension: &Dimension) -> Vec<i64> {
        let places: Vec<usize> = (0..self.dimensions.len()).filter(|&place| self.dimensions[place] == dimension).collect();
        let mut numbers: Vec<i64> = self.groups.keys().flat_map(|(_, key)| places.iter().map(|&place| key[place])).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The groups that the filters let through, by their values; `text` says what a number stands for, and is asked once.
    pub fn finish<E: From<TooLarge>>(
        self,
        mut text: impl FnMut(&Dimension, i64) -> Result<Option<String>, E>,
    ) -> Result<Groups, E> {
        let mut texts: HashMap<(usize, i64), Option<Arc<str>>> = HashMap::new();
        let mut text_of = |place: usize, number: i64| {
            if let Some(known) = texts.get(&(place, number)) {
                return Ok::<_, E>(known.clone());
            }
            let said = match self.dimensions[place].is_of_the_clock() {
                true => Some(label(self.dimensions[place], number, self.query.zone)),
                false => text(self.dimensions[place], number)?,
            };
            let said: Option<Arc<str>> = said.map(Into::into);
            texts.insert((place, number), said.clone());
            Ok(said)
        };
        let asked = self.query.by.len();
        let mut groups = Groups::new();
        'groups: for ((currency, key), group) in self.groups {
            for (place, filter) in (asked..).zip(&self.query.filters) {
                let value = text_of(place, key[place])?;
                if !filter.values.iter().any(|wanted| *wanted == value.as_deref().unwrap_or_default()) {
                    continue 'groups;
                }
            }
            let mut values = Vec::with_capacity(asked);
            for (place, dimension) in self.query.by.iter().enumerate() {
                values.push(match dimension.is_of_the_clock() {
                    true => Value::Time(key[place]),
                    false => Value::Text(text_of(place, key[place])?),
                });
            }
            let known = groups.entry((currency, values)).or_default();
            known.sums.add(&group.sums)?;
            known.users.extend(&group.users);
        }
        Ok(groups)
    }
}

/// Where the hour, day, week or month begins in which an instant lies: an hour as an instant, because a zone may have the
/// same one twice, everything else as a day.
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
fn begin_of_hour(local: &DateTime<Tz>) -> i64 {
    let quarter = local.timestamp().div_euclid(900) * 900;
    let at = |timestamp| DateTime::from_timestamp(timestamp, 0).unwrap_or_default().with_timezone(&local.timezone());
    let is_same = |other: &DateTime<Tz>| other.hour() == local.hour() && other.offset().fix() == local.offset().fix();
    let earlier = (1..4).map(|quarters| quarter - 900 * quarters).take_while(|&begin| is_same(&at(begin)));
    earlier.last().unwrap_or(quarter)
}

/// As people read it: `2026-02-03T10:00+01:00`, `2026-02-03`, `2026-W06`, `2026-02`.
pub fn label(dimension: &Dimension, begins: i64, zone: Tz) -> String {
    if *dimension == Dimension::Hour {
        let local = DateTime::from_timestamp(begins, 0).unwrap_or_default().with_timezone(&zone);
        return local.format("%Y-%m-%dT%H:%M%:z").to_string();
    }
    let day = NaiveDate::from_num_days_from_ce_opt(i32::try_from(begins).unwrap_or(0)).unwrap_or_default();
    match dimension {
        Dimension::Week => format!("{:04}-W{:02}", day.iso_week().year(), day.iso_week().week()),
        Dimension::Month => format!("{:04}-{:02}", day.year(), day.month()),
        _ => day.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(&'static str);

    impl Part for At {
        fn at(&self) -> Instant {
            Instant::parse(self.0).unwrap()
        }
        fn currency(&self) -> Currency {
            Currency::USD
        }
        fn number(&self, _: &Dimension) -> i64 {
            0
        }
        fn sums(&self) -> Sums {
            Sums { calls: 1, ..Sums::default() }
        }
        fn user(&self) -> i64 {
            0
        }
    }

    fn by(dimension: Dimension, zone: Tz, at: &[&'static str]) -> Vec<String> {
        let query = Query { by: vec![dimension.clone()], zone, ..Query::default() };
        let mut fold = Fold::new(&query);
        at.iter().for_each(|at| fold.add(&At(at)).unwrap());
        let groups = fold.finish(|_, _| Ok::<_, TooLarge>(None)).unwrap();
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by(|((_, one), _), ((_, other), _)| one.cmp(other));
        let said = |((_, values), group): &((Currency, Vec<Value>), Group)| match values[0] {
            Value::Time(begins) => format!("{} {}", label(&dimension, begins, zone), group.sums.calls),
            Value::Text(_) => panic!("it is of the clock"),
        };
        groups.iter().map(said).collect()
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
