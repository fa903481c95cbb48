//! Instants, months and the clock on the wall in UTC: all as plain numbers. An [`Instant`] counts microseconds since 1970;
//! a [`Month`] is the half-open period that books close by. Nothing in here asks what time it is: the shell passes `now`
//! in. Texts are RFC 3339 and nothing looser, because a date that can be read two ways bills the wrong day.

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, Utc};
use std::fmt;
use std::str::FromStr;

/// A moment, in whole microseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

/// A calendar month in UTC, `2026-02`: a half-open interval.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i32);

/// A half-open interval `[from, until)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Period {
    pub from: Instant,
    pub until: Instant,
}

impl Period {
    pub fn holds(self, at: Instant) -> bool {
        self.from <= at && at < self.until
    }
}

/// Days of the week as bits, Monday the lowest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Weekdays(pub u8);

/// A daily window on the UTC clock in minutes, `[from, until)`; it wraps past midnight when `until` is not after `from`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Window {
    pub from_minute: u16,
    pub until_minute: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("`{0}` is not an RFC 3339 instant; write it like 2026-02-03T10:00:00Z")]
    NotAnInstant(String),
    #[error("`{0}` is not a date; write it like 2026-02-03")]
    NotADate(String),
    #[error("`{0}` is not a month; write it like 2026-02")]
    NotAMonth(String),
    #[error("{0} is before 2020: no event of this kind is that old")]
    TooEarly(Instant),
    #[error("{0} is more than a day after it was received; check the producer's clock")]
    InTheFuture(Instant),
}

const MICROS_PER_MINUTE: i64 = 60_000_000;
const MICROS_PER_DAY: i64 = 24 * 60 * MICROS_PER_MINUTE;

impl Instant {
    /// Usage before this is refused: no provider sold tokens then, so the date is a mistake (often seconds read as
    /// milliseconds, or a zero).
    pub const EARLIEST_USAGE: Instant = Instant(1_577_836_800_000_000);

    pub const fn from_micros(micros: i64) -> Instant {
        Instant(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 with any offset; digits past the microsecond are cut, as every clock that prints them does.
    pub fn parse(text: &str) -> Result<Instant, TimeError> {
        DateTime::parse_from_rfc3339(text)
            .map(|instant| Instant(instant.timestamp_micros()))
            .map_err(|_| TimeError::NotAnInstant(text.chars().take(40).collect()))
    }

    /// Reads an instant as programs print it: RFC 3339, the same with a blank or without a zone (then UTC), or a number since
    /// 1970 whose size tells seconds from milli-, micro- and nanoseconds. Digits past the microsecond are cut.
    pub fn parse_any(text: &str) -> Result<Instant, TimeError> {
        match plain(text.as_bytes()) {
            Some(instant) => Ok(instant),
            None => Instant::parse_patiently(text),
        }
    }

    fn parse_patiently(text: &str) -> Result<Instant, TimeError> {
        let not_one = || TimeError::NotAnInstant(text.chars().take(40).collect());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !whole.is_empty() && whole.len() <= 19 && digits(whole) && digits(fraction) {
            let number = |digits: &str| digits.parse::<i128>().map_err(|_| not_one());
            let millionths = number(whole)? * 1_000_000 + number(&format!("{fraction:0<6}")[..6])?;
            let micros = match whole.len() {
                ..12 => millionths,
                12..15 => millionths / 1_000,
                15..18 => millionths / 1_000_000,
                _ => millionths / 1_000_000_000,
            };
            return i64::try_from(micros).map(Instant).map_err(|_| not_one());
        }
        let naive = |text: &str| {
            ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"].iter().find_map(|format| {
                chrono::NaiveDateTime::parse_from_str(text, format).ok().map(|time| time.and_utc().timestamp_micros())
            })
        };
        let zoned = |text: &str| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").ok().map(|at| at.timestamp_micros());
        match Instant::parse(text) {
            Ok(instant) => Ok(instant),
            Err(_) => naive(text).or_else(|| zoned(text)).map(Instant).ok_or_else(not_one),
        }
    }

    /// A date means its first instant in UTC; an instant means itself. For ranges and effective dates.
    pub fn parse_date_or_instant(text: &str) -> Result<Instant, TimeError> {
        match NaiveDate::from_str(text) {
            Ok(date) if text.len() == 10 => Ok(Instant::from_date(date)),
            _ if text.contains('T') => Instant::parse(text),
            _ => Err(TimeError::NotADate(text.chars().take(40).collect())),
        }
    }

    pub fn from_date(date: NaiveDate) -> Instant {
        Instant(date.and_hms_opt(0, 0, 0).expect("midnight exists").and_utc().timestamp_micros())
    }

    /// Refuses a date of usage that cannot be meant.
    pub fn as_usage_date(self, received_at: Instant) -> Result<Instant, TimeError> {
        if self < Instant::EARLIEST_USAGE {
            Err(TimeError::TooEarly(self))
        } else if self.0 > received_at.0.saturating_add(MICROS_PER_DAY) {
            Err(TimeError::InTheFuture(self))
        } else {
            Ok(self)
        }
    }

    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    pub fn month(self) -> Month {
        let date = self.to_utc().date_naive();
        Month(date.year() * 12 + date.month0() as i32)
    }

    /// The first instant of its UTC day.
    pub const fn day(self) -> Instant {
        Instant(self.0 - self.0.rem_euclid(MICROS_PER_DAY))
    }

    /// Minutes since midnight on the UTC clock.
    pub const fn minute_of_day(self) -> u16 {
        (self.0.rem_euclid(MICROS_PER_DAY) / MICROS_PER_MINUTE) as u16
    }

    pub const fn weekday(self) -> Weekdays {
        // 1970-01-01 was a Thursday, three days after a Monday.
        Weekdays(1 << (self.0.div_euclid(MICROS_PER_DAY) + 3).rem_euclid(7))
    }

    /// The day alone where it is midnight, as effective dates are written.
    pub fn as_date_or_instant(self) -> String {
        if self.0.rem_euclid(MICROS_PER_DAY) == 0 { self.to_utc().date_naive().to_string() } else { self.to_string() }
    }
}

impl Month {
    /// The number it is stored as: months since year zero, so that the next month is the next number.
    pub const fn number(self) -> i32 {
        self.0
    }

    pub const fn from_number(number: i32) -> Month {
        Month(number)
    }

    pub const fn next(self) -> Month {
        Month(self.0 + 1)
    }

    pub const fn previous(self) -> Month {
        Month(self.0 - 1)
    }

    pub fn period(self) -> Period {
        Period { from: self.first_instant(), until: Month(self.0 + 1).first_instant() }
    }

    fn first_instant(self) -> Instant {
        let (year, month0) = (self.0.div_euclid(12), self.0.rem_euclid(12));
        Instant::from_date(NaiveDate::from_ymd_opt(year, month0 as u32 + 1, 1).expect("a month of a year that an instant has"))
    }
}

impl FromStr for Month {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Month, TimeError> {
        let not_a_month = || TimeError::NotAMonth(text.chars().take(40).collect());
        let (year, month) = text.split_once('-').ok_or_else(not_a_month)?;
        if year.len() != 4 || month.len() != 2 {
            return Err(not_a_month());
        }
        let (year, month): (i32, i32) = (year.parse().map_err(|_| not_a_month())?, month.parse().map_err(|_| not_a_month())?);
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
            return Err(not_a_month());
        }
        Ok(Month(year * 12 + month - 1))
    }
}

impl Weekdays {
    pub const ALL: Weekdays = Weekdays(0b111_1111);
    pub const NAMES: [&'static str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

    pub fn named(name: &str) -> Option<Weekdays> {
        Weekdays::NAMES.iter().position(|day| *day == name).map(|day| Weekdays(1 << day))
    }

    pub const fn has(self, day: Weekdays) -> bool {
        self.0 & day.0 != 0
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Weekdays::NAMES.into_iter().enumerate().filter(move |(day, _)| self.0 & (1 << day) != 0).map(|(_, name)| name)
    }
}

impl Window {
    /// Reads `16:30-00:30`; midnight may be written `24:00` where a window ends.
    pub fn parse(text: &str) -> Option<Window> {
        let minute = |clock: &str| -> Option<u16> {
            let (hours, minutes) = clock.trim().split_once(':')?;
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            (hours <= 24 && minutes < 60 && hours * 60 + minutes <= 1440).then_some((hours * 60 + minutes) % 1440)
        };
        let (from, until) = text.split_once('-')?;
        Some(Window { from_minute: minute(from)?, until_minute: minute(until)? })
    }

    pub const fn has(self, minute: u16) -> bool {
        if self.from_minute < self.until_minute {
            self.from_minute <= minute && minute < self.until_minute
        } else {
            self.from_minute <= minute || minute < self.until_minute
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (self.from_minute, self.until_minute);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({self})")
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

impl fmt::Debug for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Month({self})")
    }
}

/// The spelling that most instants have, read in a tenth of the time: `2026-10-01 14:00:00.123`, with a `T` and a `Z` or not.
fn plain(text: &[u8]) -> Option<Instant> {
    let (whole, rest) = text.split_first_chunk::<19>()?;
    let number = |places: std::ops::Range<usize>| {
        let digit = |value: u32, byte: &u8| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0'));
        whole[places].iter().try_fold(0, digit)
    };
    let [.., b'-', _, _, b'-', _, _, b'T' | b' ', _, _, b':', _, _, b':', _, _] = whole else { return None };
    let rest = rest.strip_suffix(b"Z").unwrap_or(rest);
    let micros = match rest {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => {
            let places = digits.iter().chain(std::iter::repeat(&b'0'));
            places.take(6).fold(0, |value, byte| value * 10 + u32::from(byte - b'0'))
        }
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(number(0..4)?.try_into().ok()?, number(5..7)?, number(8..10)?)?;
    let time = date.and_hms_micro_opt(number(11..13)?, number(14..16)?, number(17..19)?, micros)?;
    Some(Instant(time.and_utc().timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offsets_are_one_instant() {
        let utc = Instant::parse("2026-02-03T10:00:00.123456Z").unwrap();
        assert_eq!(Instant::parse("2026-02-03T11:00:00.123456+01:00").unwrap(), utc);
        assert_eq!(Instant::parse("2026-02-03T10:00:00.123456789Z").unwrap(), utc);
        assert_eq!(utc.to_string(), "2026-02-03T10:00:00.123456Z");
        assert!(Instant::parse("2026-02-03 10:00:00").is_err());
    }

    #[test]
    fn every_program_prints_an_instant_its_own_way() {
        let expected = Instant::parse("2026-02-03T10:00:00.123456Z").unwrap();
        for text in [
            "2026-02-03T10:00:00.123456Z",
            "2026-02-03T10:00:00.123456",
            "2026-02-03 10:00:00.123456",
            "2026-02-03 11:00:00.123456+01:00",
            "2026-02-03 10:00:00.123456+00",
            "1770112800.123456",
            "1770112800.12345678",
            "1770112800123.456",
            "1770112800123456",
            "1770112800123456789",
        ] {
            assert_eq!(Instant::parse_any(text), Ok(expected), "{text}");
        }
        for text in ["", "yesterday", "12:00", "-1770112800", "1770112800.1.2", "99999999999999999999"] {
            assert!(Instant::parse_any(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_fast_is_read_the_same(text in "(19|20|99|00)[0-9]{2}-[01][0-9]-[0-3][0-9][T Z][0-2][0-9]:[0-6][0-9]:[0-6][0-9]([.][0-9]{0,10})?[Z+ ]?") {
            if let Some(fast) = plain(text.as_bytes()) {
                prop_assert_eq!(Instant::parse_patiently(&text), Ok(fast));
            }
        }

        #[test]
        fn most_instants_are_read_fast(micros in 0..4_102_444_800_000_000_i64, format in prop::sample::select(vec!["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.fZ"])) {
            let text = Instant(micros).to_utc().format(format).to_string();
            prop_assert_eq!(plain(text.as_bytes()), Some(Instant(micros)));
        }
    }

    #[test]
    fn months_are_half_open_and_follow_each_other() {
        let february: Month = "2026-02".parse().unwrap();
        let last = Instant::parse("2026-02-28T23:59:59.999999Z").unwrap();
        assert_eq!(last.month(), february);
        assert_eq!(february.period().until, Instant::parse("2026-03-01T00:00:00Z").unwrap());
        assert_eq!(february.period().until.month().number(), february.number() + 1);
        assert_eq!(february.to_string(), "2026-02");
        assert!("2026-13".parse::<Month>().is_err());
    }

    #[test]
    fn a_window_may_wrap_past_midnight() {
        let night = Window { from_minute: 16 * 60 + 30, until_minute: 30 };
        assert!(night.has(16 * 60 + 30) && night.has(23 * 60 + 59) && night.has(0) && night.has(29));
        assert!(!night.has(30) && !night.has(16 * 60 + 29));
        assert_eq!(night.to_string(), "16:30-00:30");
    }

    #[test]
    fn weekdays_count_from_monday() {
        let tuesday = Instant::parse("2026-02-03T00:00:00Z").unwrap();
        assert_eq!(tuesday.weekday(), Weekdays::named("tuesday").unwrap());
        assert_eq!(Weekdays(0b110_0000).names().collect::<Vec<_>>(), ["saturday", "sunday"]);
    }

    #[test]
    fn usage_dates_outside_sane_bounds_are_refused() {
        let now = Instant::parse("2026-02-03T10:00:00Z").unwrap();
        assert!(Instant::from_micros(0).as_usage_date(now).is_err());
        assert!(Instant::parse("2026-02-04T10:00:01Z").unwrap().as_usage_date(now).is_err());
        assert!(Instant::parse("2026-02-04T09:59:59Z").unwrap().as_usage_date(now).is_ok());
    }
}
