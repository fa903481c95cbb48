//! Ranges of time as people say them: `this month`, `last 7 days`, a date, an instant. A date is the zone's: the day that
//! begins there, which is 23 or 25 hours long when the clocks change.

use crate::time::Instant;
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;

/// From the first instant on, up to and without the second.
pub type Range = (Instant, Instant);

/// The first instant of a zone's day. Where the clocks jump over midnight it is the first that there is.
pub fn start_of(day: NaiveDate, zone: Tz) -> Instant {
    let midnight = day.and_hms_opt(0, 0, 0).expect("every day has a midnight");
    // No zone has ever left out more than a day.
    let first = (0..=24 * 4).find_map(|quarters| {
        let local = midnight + chrono::Duration::minutes(15 * quarters);
        zone.from_local_datetime(&local).earliest()
    });
    let first: DateTime<Utc> = first.map_or_else(|| midnight.and_utc(), |first| first.to_utc());
    Instant::from_micros(first.timestamp_micros())
}

/// The zone's day in which an instant lies.
pub fn day_of(at: Instant, zone: Tz) -> NaiveDate {
    at.to_utc().with_timezone(&zone).date_naive()
}

/// One end of a range: a date of the zone, or an instant.
pub fn end(text: &str, zone: Tz) -> Result<Instant, String> {
    match day(text) {
        Some(day) => Ok(start_of(day, zone)),
        None => Instant::parse_date_or_instant(text).map_err(|e| e.to_string()),
    }
}

/// `2026-02-03`. Years are those of four digits: others can be read, but not counted with.
fn day(text: &str) -> Option<NaiveDate> {
    let is_plain = text.len() == 10 && text.as_bytes()[0].is_ascii_digit();
    text.parse().ok().filter(|day: &NaiveDate| is_plain && (1900..=9998).contains(&day.year()))
}

/// `2026-02`, by its first day.
fn month(text: &str) -> Option<NaiveDate> {
    day(&format!("{text}-01")).filter(|_| text.len() == 7)
}

/// The range of a month that is written `2026-02`.
pub fn of_month(text: &str, zone: Tz) -> Option<Range> {
    month(text).map(|first| (start_of(first, zone), start_of(first + Months::new(1), zone)))
}

const WORDS: &str = "today, yesterday, this week, last week, this month, last month, this year, last 7 days (any number), \
                     2026-02 (a month) or 2026-02-03 (a day)";

/// A range in words, seen from now.
pub fn in_words(text: &str, zone: Tz, now: Instant) -> Result<Range, String> {
    let today = day_of(now, zone);
    let days = |from: NaiveDate, until: NaiveDate| (start_of(from, zone), start_of(until, zone));
    let first_of = |day: NaiveDate| day.with_day(1).expect("every month has a first day");
    let monday = today - Days::new(u64::from(today.weekday().num_days_from_monday()));
    let this_month = first_of(today);
    let next = |day: NaiveDate| day + Days::new(1);
    let range = match text {
        "today" => days(today, next(today)),
        "yesterday" => days(today - Days::new(1), today),
        "this week" => days(monday, monday + Days::new(7)),
        "last week" => days(monday - Days::new(7), monday),
        "this month" => days(this_month, this_month + Months::new(1)),
        "last month" => days(this_month - Months::new(1), this_month),
        "this year" => {
            let year = |year| NaiveDate::from_ymd_opt(year, 1, 1).expect("every year has a first day");
            days(year(today.year()), year(today.year() + 1))
        }
        text => {
            let count =
                text.strip_prefix("last ").and_then(|rest| rest.strip_suffix(" days")).and_then(|count| count.parse().ok());
            if let Some(count) = count.filter(|count| (1..=3_660).contains(count)) {
                days(today - Days::new(count), today)
            } else if let Some(day) = day(text) {
                days(day, next(day))
            } else if let Some(range) = of_month(text, zone) {
                range
            } else {
                return Err(format!("`{text}` is no range; write {WORDS}"));
            }
        }
    };
    Ok(range)
}

/// The range before, of the same length as people count it: before whole months as many months, else as many days, and as
/// many microseconds only where no day is whole.
pub fn before((from, until): Range, zone: Tz) -> Range {
    let (first, last) = (day_of(from, zone), day_of(until, zone));
    let whole_days = start_of(first, zone) == from && start_of(last, zone) == until;
    if whole_days && first.day() == 1 && last.day() == 1 {
        let months = (last.year() - first.year()) * 12 + last.month() as i32 - first.month() as i32;
        return (start_of(first - Months::new(months.unsigned_abs()), zone), from);
    }
    if whole_days {
        let days = (last - first).num_days().unsigned_abs();
        return (start_of(first - Days::new(days), zone), from);
    }
    (Instant::from_micros(from.micros() - (until.micros() - from.micros())), from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, zone: Tz) -> String {
        let now = Instant::parse("2026-03-29T10:00:00Z").unwrap();
        in_words(text, zone, now).map_or_else(|e| e, |(from, until)| format!("{from} {until}"))
    }

    #[test]
    fn words_are_ranges_of_the_zone() {
        let utc = |text| said(text, Tz::UTC);
        assert_eq!(utc("today"), "2026-03-29T00:00:00Z 2026-03-30T00:00:00Z");
        assert_eq!(utc("last 7 days"), "2026-03-22T00:00:00Z 2026-03-29T00:00:00Z");
        assert_eq!(utc("this week"), "2026-03-23T00:00:00Z 2026-03-30T00:00:00Z");
        assert_eq!(utc("last month"), "2026-02-01T00:00:00Z 2026-03-01T00:00:00Z");
        assert_eq!(utc("this year"), "2026-01-01T00:00:00Z 2027-01-01T00:00:00Z");
        assert_eq!(utc("2024-02"), "2024-02-01T00:00:00Z 2024-03-01T00:00:00Z");
        // The day on which Berlin's clocks go forward has 23 hours, and its month two offsets.
        assert_eq!(said("today", Tz::Europe__Berlin), "2026-03-28T23:00:00Z 2026-03-29T22:00:00Z");
        assert_eq!(said("this month", Tz::Europe__Berlin), "2026-02-28T23:00:00Z 2026-03-31T22:00:00Z");
        assert_eq!(said("yesterday", Tz::Asia__Kolkata), "2026-03-27T18:30:00Z 2026-03-28T18:30:00Z");
        for absurd in ["+262142-12-31", "+262142-12", "-262143-01-01", "9999-12", "2026-2", "2026-02-30"] {
            assert!(utc(absurd).contains("is no range"), "{absurd}");
            assert!(end(absurd, Tz::UTC).is_err(), "{absurd}");
        }
        assert!(utc("soon").starts_with("`soon` is no range; write today,"));
        // Beirut's clocks jump from midnight to one: the day begins at one.
        let day = NaiveDate::from_ymd_opt(2026, 3, 29).unwrap();
        assert_eq!(start_of(day, Tz::Asia__Beirut).to_string(), "2026-03-28T22:00:00Z");
    }

    #[test]
    fn what_was_before_is_as_long_as_people_count_it() {
        let before = |from: &str, until: &str, zone| {
            let at = |text| end(text, zone).unwrap();
            let (from, until) = before((at(from), at(until)), zone);
            format!("{from} {until}")
        };
        assert_eq!(before("2026-03-01", "2026-04-01", Tz::UTC), "2026-02-01T00:00:00Z 2026-03-01T00:00:00Z");
        assert_eq!(before("2026-03-08", "2026-03-15", Tz::UTC), "2026-03-01T00:00:00Z 2026-03-08T00:00:00Z");
        assert_eq!(before("2026-03-29", "2026-03-30", Tz::Europe__Berlin), "2026-03-27T23:00:00Z 2026-03-28T23:00:00Z");
        assert_eq!(before("2026-03-08T06:00:00Z", "2026-03-08T09:00:00Z", Tz::UTC), "2026-03-08T03:00:00Z 2026-03-08T06:00:00Z");
    }
}
