//! What a schedule means, beside a model that knows neither the library nor what a gap is: it looks at the clock on the wall
//! minute by minute.

use super::*;
use chrono::{Datelike, Timelike};
use proptest::prelude::*;
use std::collections::HashSet;

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

/// The next times of a schedule: what the clock was to show, and when in UTC.
fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule { cron: Cron::parse(cron).unwrap(), zone: zone.parse().unwrap() };
    schedule.after(at(after)).take(count).map(|time| format!("{} {}", time.local, time.at)).collect()
}

/// 2026-11-21 is a Saturday.
#[test]
fn five_fields_mean_what_everybody_means() {
    let times = |cron: &str, after: &str, count| {
        let schedule = Schedule::in_utc(cron).unwrap();
        let said = |time: ScheduledTime| time.at.to_utc().format("%a %d %H:%M").to_string();
        schedule.after(at(after)).take(count).map(said).collect::<Vec<_>>()
    };
    assert_eq!(times("17 * * * *", "2026-11-21T10:17:00Z", 2), ["Sat 21 11:17", "Sat 21 12:17"]);
    assert_eq!(times("*/20 9-10 * * *", "2026-11-21T09:30:00Z", 3), ["Sat 21 09:40", "Sat 21 10:00", "Sat 21 10:20"]);
    assert_eq!(times("0 3 * * 1", "2026-11-21T00:00:00Z", 2), ["Mon 23 03:00", "Mon 30 03:00"]);
    assert_eq!(times("0 3 * * 0", "2026-11-21T00:00:00Z", 1), times("0 3 * * 7", "2026-11-21T00:00:00Z", 1));
    assert_eq!(times("0 0 * * 5-7", "2026-11-21T00:00:00Z", 3), ["Sun 22 00:00", "Fri 27 00:00", "Sat 28 00:00"]);
    assert_eq!(times("0 0 * * Fri-mon", "2026-11-21T00:00:00Z", 3), ["Sun 22 00:00", "Mon 23 00:00", "Fri 27 00:00"]);
    assert_eq!(times("0 0 * * MON-FRI/2", "2026-11-21T00:00:00Z", 3), ["Mon 23 00:00", "Wed 25 00:00", "Fri 27 00:00"]);
    assert_eq!(
        times("0 22-4/2 * * *", "2026-11-21T01:00:00Z", 4),
        ["Sat 21 02:00", "Sat 21 04:00", "Sat 21 22:00", "Sun 22 00:00"]
    );
    assert_eq!(
        times("0 0 1 NOV-feb *", "2026-11-21T00:00:00Z", 4),
        ["Tue 01 00:00", "Fri 01 00:00", "Mon 01 00:00", "Mon 01 00:00"]
    );
    assert_eq!(times("0 0 29 2 *", "2026-11-21T00:00:00Z", 1), ["Tue 29 00:00"]);
}

#[test]
fn of_two_days_either_is_enough_unless_one_begins_with_a_star() {
    let days = |cron: &str, count| times(cron, "UTC", "2026-11-24T00:00:00Z", count);
    let first = [
        "2026-11-30T00:00 2026-11-30T00:00:00Z",
        "2026-12-01T00:00 2026-12-01T00:00:00Z",
        "2026-12-07T00:00 2026-12-07T00:00:00Z",
    ];
    assert_eq!(days("0 0 1 * 1", 3), first);
    // Every second day of the month that is a Monday.
    assert_eq!(days("0 0 */2 * 1", 1), ["2026-12-07T00:00 2026-12-07T00:00:00Z"]);
}

#[test]
fn what_is_no_schedule_is_refused_in_words() {
    let refused = |cron: &str| Cron::parse(cron).unwrap_err();
    for wrong in ["", "* * * *", "0 0 * * * *", "@daily"] {
        assert!(refused(wrong).contains("is not five fields: minute hour day month weekday"), "{wrong}");
    }
    assert_eq!(refused("60 * * * *"), "`60` is no minute: `60` is none of 0 to 59");
    assert_eq!(refused("0 24 * * *"), "`24` is no hour: `24` is none of 0 to 23");
    assert_eq!(refused("0 0 0 * *"), "`0` is no day of the month: `0` is none of 1 to 31");
    assert_eq!(refused("0 0 * * 1,8"), "`1,8` is no day of the week: `8` is none of 0 to 7, or sun mon tue wed thu fri sat");
    assert!(refused("0 0 * Janvier *").contains("`Janvier` is none of 1 to 12, or jan feb"));
    assert!(refused("0 0 L * *").contains("the last day cannot be said; run on the day after it"));
    assert_eq!(refused("*/90 * * * *"), "`*/90` is no minute: a step here is a number from 1 to 60");
    assert!(refused("0 0 * * 1-5/0").contains("a step here is a number from 1 to 7"));
    assert_eq!(refused("5/15 * * * *"), "`5/15` is no minute: a step goes through a range; write 5-59/..");
    assert_eq!(refused("0 0 30 2 *"), "`0 0 30 2 *` never comes; there is no such day");
    for wrong in ["+5 * * * *", "-5 * * * *", "1,, * * * *", "? * * * *", "0 0 15W * *", "0 0 * * 1#2", "0-99999999999 * * * *"] {
        assert!(Cron::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_time_in_the_gap_is_due_at_the_first_instant_after_it() {
    // Berlin goes from 02:00 to 03:00, Lord Howe from 02:00 to 02:30, Beirut from 00:00 to 01:00.
    let berlin = times("0,30 2-3 29 3 *", "Europe/Berlin", "2026-01-01T00:00:00Z", 4);
    let expected = [
        "2026-03-29T02:00 2026-03-29T01:00:00Z",
        "2026-03-29T02:30 2026-03-29T01:00:00Z",
        "2026-03-29T03:00 2026-03-29T01:00:00Z",
        "2026-03-29T03:30 2026-03-29T01:30:00Z",
    ];
    assert_eq!(berlin, expected);
    let york = times("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2);
    assert_eq!(york, ["2026-03-08T02:30 2026-03-08T07:00:00Z", "2026-03-09T02:30 2026-03-09T06:30:00Z"]);
    let howe = times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 1);
    assert_eq!(howe, ["2026-10-04T02:15 2026-10-03T15:30:00Z"]);
    let beirut = times("0 0 * * *", "Asia/Beirut", "2026-03-28T12:00:00Z", 1);
    assert_eq!(beirut, ["2026-03-29T00:00 2026-03-28T22:00:00Z"]);
}

#[test]
fn a_time_that_comes_twice_is_due_the_first_time() {
    let berlin = times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
    assert_eq!(berlin, ["2026-10-25T02:30 2026-10-25T00:30:00Z", "2026-10-26T02:30 2026-10-26T01:30:00Z"]);
    // Between its two comings there is none to wait for.
    let between = times("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", 1);
    assert_eq!(between, ["2026-10-26T02:30 2026-10-26T01:30:00Z"]);
    let york = times("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2);
    assert_eq!(york, ["2026-11-01T01:30 2026-11-01T05:30:00Z", "2026-11-02T01:30 2026-11-02T06:30:00Z"]);
    let howe = times("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 2);
    assert_eq!(howe, ["2026-04-05T01:45 2026-04-04T14:45:00Z", "2026-04-06T01:45 2026-04-05T15:15:00Z"]);
    let kathmandu = times("0 6 * * *", "Asia/Kathmandu", "2026-10-24T12:00:00Z", 1);
    assert_eq!(kathmandu, ["2026-10-25T06:00 2026-10-25T00:15:00Z"]);
}

#[test]
fn what_runs_in_every_hour_goes_by_the_time_that_passes() {
    let twice = times("30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 3);
    let expected = [
        "2026-10-25T02:30 2026-10-25T00:30:00Z",
        "2026-10-25T02:30-again 2026-10-25T01:30:00Z",
        "2026-10-25T03:30 2026-10-25T02:30:00Z",
    ];
    assert_eq!(twice, expected);
    let quarters = Schedule { cron: Cron::parse("*/15 * * * *").unwrap(), zone: Tz::Europe__Berlin };
    for (from, until) in [("2026-03-28T23:00:00Z", "2026-03-29T04:00:00Z"), ("2026-10-24T23:00:00Z", "2026-10-25T04:00:00Z")] {
        let found: Vec<i64> = quarters.between(at(from), at(until)).map(|time| time.at.micros()).collect();
        assert_eq!(found.len(), ((at(until).micros() - at(from).micros()) / 900_000_000) as usize);
        assert!(found.windows(2).all(|pair| pair[1] - pair[0] == 900_000_000));
    }
}

#[test]
fn a_name_of_a_file_is_one_on_any_system() {
    let schedule = Schedule { cron: Cron::parse("15 * * * *").unwrap(), zone: Tz::Europe__Berlin };
    let second = schedule.after(at("2026-10-25T01:00:00Z")).next().unwrap();
    assert_eq!(second.in_a_file_name(), "2026-10-25T0215-again");
}

/// A field as text, and the numbers that it is about.
fn field(first: u32, last: u32) -> impl Strategy<Value = (String, Vec<u32>)> {
    let number = move || first..=last;
    let whole = Just(("*".to_owned(), (first..=last).collect::<Vec<_>>()));
    let stepped = (2..=7_u32).prop_map(move |step| (format!("*/{step}"), (first..=last).step_by(step as usize).collect()));
    let list = proptest::collection::vec(number(), 1..4)
        .prop_map(|numbers| (numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(","), numbers));
    let range = (number(), number()).prop_map(move |(from, until)| {
        let numbers = if from <= until { (from..=until).collect() } else { (from..=last).chain(first..=until).collect() };
        (format!("{from}-{until}"), numbers)
    });
    prop_oneof![3 => whole, 1 => stepped, 3 => list, 2 => range]
}

/// Mostly any, for else a schedule is hardly ever due around the days that are looked at.
fn month() -> impl Strategy<Value = (String, Vec<u32>)> {
    prop_oneof![4 => Just(("*".to_owned(), (1..=12).collect::<Vec<_>>())), 1 => field(1, 12)]
}

/// Walks a zone's clock minute by minute, and says what is due when.
fn model(fields: &[(String, Vec<u32>); 5], zone: Tz, from: i64, minutes: i64) -> Vec<(String, Instant)> {
    let shown = |minute: i64| Instant::from_micros(minute * 60_000_000).to_utc().with_timezone(&zone).naive_local();
    let has = |field: usize, number: u32| fields[field].1.contains(&number);
    let matches = |local: NaiveDateTime| {
        let (day, weekday) = (has(2, local.day()), has(4, local.weekday().num_days_from_sunday()));
        let both = fields[2].0.starts_with('*') || fields[4].0.starts_with('*');
        has(0, local.minute())
            && has(1, local.hour())
            && has(3, local.month())
            && if both { day && weekday } else { day || weekday }
    };
    let every_hour = (0..24).all(|hour| has(1, hour));
    let (mut seen, mut due) = (HashSet::new(), Vec::new());
    let mut local = shown(from - 300);
    // Far enough back to have seen the first coming of an hour that comes again.
    for minute in from - 299..=from + minutes {
        let before = std::mem::replace(&mut local, shown(minute));
        let mut now = Vec::new();
        let mut skipped = before + chrono::Duration::minutes(1);
        while skipped < local {
            if matches(skipped) && !every_hour {
                now.push(skipped.format("%Y-%m-%dT%H:%M").to_string());
            }
            skipped += chrono::Duration::minutes(1);
        }
        let is_first = seen.insert(local);
        if matches(local) && (is_first || every_hour) {
            now.push(format!("{}{}", local.format("%Y-%m-%dT%H:%M"), if is_first { "" } else { "-again" }));
        }
        if minute > from {
            due.extend(now.into_iter().map(|local| (local, Instant::from_micros(minute * 60_000_000))));
        }
    }
    due
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_schedule_is_due_when_the_clock_on_the_wall_says_so(
        fields in (field(0, 59), field(0, 23), field(1, 31), month(), field(0, 6)),
        place in 0..6_usize,
        hours in 0..72_i64,
        offset in 0..60_i64,
    ) {
        // Within three days before each of these clocks change, or never do.
        let (zone, change) = [
            (Tz::Europe__Berlin, "2026-03-29T01:00:00Z"),
            (Tz::Europe__Berlin, "2026-10-25T01:00:00Z"),
            (Tz::America__New_York, "2026-11-01T06:00:00Z"),
            (Tz::Australia__Lord_Howe, "2026-04-04T15:00:00Z"),
            (Tz::Australia__Lord_Howe, "2026-10-03T15:30:00Z"),
            (Tz::Asia__Kathmandu, "2026-10-25T01:00:00Z"),
        ][place];
        let from = at(change).micros() / 60_000_000 - hours * 60 - offset;
        let fields = [fields.0, fields.1, fields.2, fields.3, fields.4];
        let text = fields.each_ref().map(|(text, _)| text.as_str()).join(" ");
        let Ok(cron) = Cron::parse(&text) else { return Err(TestCaseError::reject("there is no such day")) };
        let schedule = Schedule { cron, zone };
        let (after, until) = (Instant::from_micros(from * 60_000_000), Instant::from_micros((from + 4 * 1440) * 60_000_000));
        let found: Vec<_> = schedule.between(after, until).map(|time| (time.local, time.at)).collect();
        prop_assert_eq!(found, model(&fields, zone, from, 4 * 1440), "{}", text);
    }
}
