//! Schedules as people write them: five fields of a crontab, on the clocks of a time zone. The `cron` library counts through
//! the calendar; what the fields mean and what happens when clocks change is decided here. A time of a schedule is known by
//! what the clock on the wall shows, so that whoever asks twice, or before and after a restart, asks about the same run.
//!
//! Where clocks jump forward, what was to be in the gap is due at the first instant after it. Where they go back, an hour
//! comes twice, and what is scheduled in it is due at its first coming. Only what runs in every hour of its days is about time
//! that passes and not about a time of day: it is due in both comings of that hour, and not at all in one that never was.

use crate::time::Instant;
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeZone};
use chrono_tz::{GapInfo, Tz};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Five fields: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    /// A time is in the schedule if it is in one of these.
    either: Vec<cron::Schedule>,
    every_hour: bool,
}

/// Five fields on the clocks of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub cron: Cron,
    pub zone: Tz,
}

/// One time of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScheduledTime {
    pub at: Instant,
    /// What the clock on the wall was to show, `2026-10-25T02:15`; with `-again` where it shows that for the second time.
    pub local: String,
}

/// What a field may say. A day of the week is a number of a cycle in which 7 comes back to 0.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", first: 0, last: 59, names: &[] };
const HOUR: Field = Field { name: "hour", first: 0, last: 23, names: &[] };
const DAY: Field = Field { name: "day of the month", first: 1, last: 31, names: &[] };
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const MONTH: Field = Field { name: "month", first: 1, last: 12, names: &MONTHS };
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const WEEKDAY: Field = Field { name: "day of the week", first: 0, last: 6, names: &DAYS };

impl Cron {
    pub fn parse(text: &str) -> Result<Cron, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!("`{text}` is not five fields: minute hour day month weekday, such as `17 * * * *`"));
        };
        let (minutes, hours, months) = (MINUTE.read(minute)?, HOUR.read(hour)?, MONTH.read(month)?);
        let (days, weekdays) = (DAY.read(day)?, WEEKDAY.read(weekday)?);
        let all_days = (1..=31).collect();
        // The 1st and Mondays: either is enough. But every second day and Mondays: what begins with a star only thins out.
        let either = match day.starts_with('*') || weekday.starts_with('*') {
            true => vec![(&days, weekdays)],
            false => vec![(&days, (0..=6).collect()), (&all_days, weekdays)],
        };
        let schedule = |(days, weekdays): (&BTreeSet<u32>, BTreeSet<u32>)| {
            // The library counts days of the week from 1, and of the month by both conditions.
            let weekdays: BTreeSet<u32> = weekdays.iter().map(|day| day + 1).collect();
            let fields = [&minutes, &hours, days, &months, &weekdays].map(listed).join(" ");
            cron::Schedule::from_str(&format!("0 {fields}")).map_err(|e| format!("`{text}` is no schedule: {e}"))
        };
        let either = either.into_iter().map(schedule).collect::<Result<_, _>>()?;
        let cron = Cron { text: fields.join(" "), either, every_hour: hours.len() == 24 };
        match cron.next(DateTime::UNIX_EPOCH.naive_utc()) {
            Some(_) => Ok(cron),
            None => Err(format!("`{text}` never comes; there is no such day")),
        }
    }

    /// What the clock shows at the next time after it shows this.
    fn next(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        // The library reckons with instants; on the clocks of UTC every local time is one.
        self.either.iter().filter_map(|schedule| schedule.after(&local.and_utc()).next()).min().map(|next| next.naive_utc())
    }
}

impl Schedule {
    /// Five fields on the clocks of UTC.
    pub fn in_utc(text: &str) -> Result<Schedule, String> {
        Ok(Schedule { cron: Cron::parse(text)?, zone: Tz::UTC })
    }

    /// The times after an instant, in their order.
    pub fn after(&self, after: Instant) -> impl Iterator<Item = ScheduledTime> + '_ {
        // No clock was ever set back by more than a day, so what comes for the second time now was not there before this.
        let mut local = after.to_utc().with_timezone(&self.zone).naive_local() - chrono::Duration::hours(26);
        let mut reached = Some(Instant::from_micros(i64::MIN));
        let mut waiting = BTreeSet::new();
        let mut next = move || {
            loop {
                // Nothing that the calendar is still to say comes before what it said last.
                let is_next = |time: &&ScheduledTime| reached.is_none_or(|reached| time.at <= reached);
                if waiting.first().filter(is_next).is_some() {
                    return waiting.pop_first();
                }
                reached?;
                reached = self.cron.next(local).map(|shown| {
                    local = shown;
                    self.place(shown, &mut waiting)
                });
            }
        };
        std::iter::from_fn(move || {
            loop {
                match next() {
                    Some(time) if time.at <= after => {}
                    next => return next,
                }
            }
        })
    }

    /// The times after one instant and not after the other.
    pub fn between(&self, after: Instant, until: Instant) -> impl Iterator<Item = ScheduledTime> + '_ {
        self.after(after).take_while(move |time| time.at <= until)
    }

    /// Puts what is due when the clock shows this beside what waits; answers the instant of its first coming.
    fn place(&self, shown: NaiveDateTime, waiting: &mut BTreeSet<ScheduledTime>) -> Instant {
        let local = shown.format("%Y-%m-%dT%H:%M").to_string();
        let instant = |at: DateTime<Tz>| Instant::from_micros(at.timestamp_micros());
        match self.zone.from_local_datetime(&shown) {
            MappedLocalTime::Single(at) => {
                waiting.insert(ScheduledTime { at: instant(at), local });
                instant(at)
            }
            MappedLocalTime::Ambiguous(first, second) => {
                if self.cron.every_hour {
                    waiting.insert(ScheduledTime { at: instant(second), local: format!("{local}-again") });
                }
                waiting.insert(ScheduledTime { at: instant(first), local });
                instant(first)
            }
            MappedLocalTime::None => {
                let gap = GapInfo::new(&shown, &self.zone).and_then(|gap| gap.end);
                let at = instant(gap.expect("a gap ends where the clock goes on"));
                if !self.cron.every_hour {
                    waiting.insert(ScheduledTime { at, local });
                }
                at
            }
        }
    }
}

impl ScheduledTime {
    /// As a part of the name of a file, on any system.
    pub fn in_a_file_name(&self) -> String {
        self.local.replace(':', "")
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cron, self.zone)
    }
}

impl Field {
    /// What a field means, number by number.
    fn read(&self, text: &str) -> Result<BTreeSet<u32>, String> {
        let mut numbers = BTreeSet::new();
        for part in text.split(',') {
            self.read_part(part, &mut numbers).map_err(|why| format!("`{text}` is no {}: {why}", self.name))?;
        }
        Ok(numbers)
    }

    /// `*`, `5`, `MON-FRI`, `*/15`, `22-4/2`: a range may go over the end and on from the beginning.
    fn read_part(&self, part: &str, numbers: &mut BTreeSet<u32>) -> Result<(), String> {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let count = self.last - self.first + 1;
        let (from, until) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.last),
            Some((from, until)) => (self.number(from)?, self.number(until)?),
            None if step.is_some() => return Err(format!("a step goes through a range; write {range}-{}/..", self.last)),
            None => (self.number(range)?, self.number(range)?),
        };
        let until = if until < from { until + count } else { until };
        let step = match step.map(str::parse) {
            None => 1,
            Some(Ok(step)) if (1..=count).contains(&step) => step,
            Some(_) => return Err(format!("a step here is a number from 1 to {count}")),
        };
        numbers.extend((from..=until).step_by(step as usize).map(|number| (number - self.first) % count + self.first));
        Ok(())
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        if let Some(place) = self.names.iter().position(|name| text.eq_ignore_ascii_case(name)) {
            return Ok(self.first + place as u32);
        }
        if text.eq_ignore_ascii_case("l") {
            return Err("the last day cannot be said; run on the day after it, with a range that ends before".to_owned());
        }
        // Sunday is 7 as well as 0.
        let last = if self.first == 0 && self.last == 6 { 7 } else { self.last };
        let number = text.parse().ok().filter(|number| (self.first..=last).contains(number) && !text.starts_with('+'));
        let names = if self.names.is_empty() { String::new() } else { format!(", or {}", self.names.join(" ")) };
        number.ok_or_else(|| format!("`{text}` is none of {} to {last}{names}", self.first))
    }
}

fn listed(numbers: &BTreeSet<u32>) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
