//! Exports that are written by themselves: a definition that says `export`, beside the reports that have a schedule. It says what
//! is exported, of which time, when, where to and as what; the same fields mean the same as in a report.

use crate::export::{Format, accounting};
use crate::focus;
use crate::report::delivery::{Delivery, Words};
use crate::report::{Clock, range};
use crate::time::{Instant, Month, Period};
use crate::yaml::{Mistake, Node, Value};
use chrono_tz::Tz;

/// A definition as it is written in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    pub name: String,
    pub what: What,
    pub time: Time,
    /// Whose days the range is of, and whose clocks the schedule's.
    pub zone: Tz,
    /// Only what this team bears.
    pub team: Option<String>,
    pub delivery: Delivery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Entries, or a journal of them.
    Entries {
        format: Format,
        grain: accounting::Grain,
        clock: Clock,
    },
    Focus {
        format: Table,
        grain: focus::Grain,
        version: focus::Version,
    },
}

/// What charges are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Csv,
    Parquet,
}

/// Of which time something is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Time {
    /// In words, seen from the time for which a run was scheduled.
    Range(String),
    /// All that counts in the month before the one for which a run was scheduled, once that is closed: it never changes again.
    LastClosedMonth,
}

/// The same for one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Range(Period),
    ClosedMonth(Month),
}

const LAST_CLOSED_MONTH: &str = "last closed month";
const FIELDS: &str = "export, range, clock, tz, team, grain, version, schedule, destination, format";

/// The fields of a definition, as they are written.
#[derive(Default)]
struct Fields {
    export: Option<String>,
    range: Option<String>,
    clock: Option<String>,
    tz: Option<String>,
    team: Option<String>,
    grain: Option<String>,
    version: Option<String>,
    words: Words,
}

/// A field that is wrong, and why.
type Wrong = (&'static str, String);

impl Scheduled {
    /// Whether a definition is meant to be one of an export.
    pub fn is_meant(text: &str) -> bool {
        let fields = Node::parse(text).ok().and_then(|node| match node.value {
            Value::Map(fields) => Some(fields.into_iter().any(|(key, _)| key.name == "export")),
            _ => None,
        });
        fields.unwrap_or(false)
    }

    /// Reads a definition; every mistake in it is told with its line.
    pub fn parse(name: &str, text: &str) -> Result<Scheduled, Vec<Mistake>> {
        let node = Node::parse(text).map_err(|mistake| vec![mistake])?;
        let Value::Map(written) = &node.value else {
            return Err(vec![mistake(node.line, "", format!("an export is a map of {FIELDS}, not {}", node.kind()))]);
        };
        let (mut fields, mut mistakes) = (Fields::default(), Vec::new());
        for (key, value) in written {
            let one = value.scalar().map(str::to_owned).ok_or_else(|| format!("write one text, not {}", value.kind()));
            if let Err(why) = one.and_then(|text| fields.take(&key.name, text)) {
                mistakes.push(mistake(value.line.max(key.line), &key.name, why));
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        fields.understood(name).map_err(|(field, why)| {
            let line = written.iter().find(|(key, _)| key.name == field).map_or(node.line, |(key, _)| key.line);
            vec![mistake(line, field, why)]
        })
    }

    pub const fn format(&self) -> &'static str {
        match self.what {
            What::Entries { format, .. } => format.name(),
            What::Focus { format, .. } => format.name(),
        }
    }

    /// How its files end.
    pub const fn ending(&self) -> &'static str {
        match self.what {
            What::Entries { format, .. } => format.extension(),
            What::Focus { format, .. } => format.name(),
        }
    }

    /// Of which time a run is that was scheduled for this instant.
    pub fn settled(&self, scheduled: Instant) -> Result<Settled, String> {
        match &self.time {
            Time::Range(words) => {
                let (from, until) = range::in_words(words, self.zone, scheduled)?;
                Ok(Settled::Range(Period { from, until }))
            }
            // The month of the clock that the schedule is on: midnight in Berlin is the evening before in UTC.
            Time::LastClosedMonth => {
                let day = range::day_of(scheduled, self.zone);
                Ok(Settled::ClosedMonth(range::start_of(day, Tz::UTC).month().previous()))
            }
        }
    }
}

impl Table {
    pub const fn name(self) -> &'static str {
        match self {
            Table::Csv => "csv",
            Table::Parquet => "parquet",
        }
    }

    fn named(name: &str) -> Result<Table, String> {
        let found = [Table::Csv, Table::Parquet].into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| format!("`{name}` is no format of FOCUS; known are csv and parquet"))
    }
}

impl Fields {
    fn take(&mut self, field: &str, text: String) -> Result<(), String> {
        let place = match field {
            "export" => &mut self.export,
            "range" => &mut self.range,
            "clock" => &mut self.clock,
            "tz" => &mut self.tz,
            "team" => &mut self.team,
            "grain" => &mut self.grain,
            "version" => &mut self.version,
            "schedule" => &mut self.words.schedule,
            "destination" => &mut self.words.destination,
            "format" => &mut self.words.format,
            other => return Err(format!("`{other}` is no field of an export; known are {FIELDS}")),
        };
        *place = Some(text);
        Ok(())
    }

    fn understood(self, name: &str) -> Result<Scheduled, Wrong> {
        let what = match self.export.as_deref() {
            Some("entries") => self.entries()?,
            Some("focus") => self.focus()?,
            other => {
                return Err(("export", format!("`{}` is no export; known are entries and focus", other.unwrap_or_default())));
            }
        };
        let zone = self.tz.as_deref().unwrap_or("UTC");
        let zone: Tz = zone.parse().map_err(|_| ("tz", format!("`{zone}` is no IANA time zone, such as Europe/Berlin")))?;
        let time = self.time(zone)?;
        let is_of_days = matches!((&what, &time), (What::Focus { .. }, Time::Range(_)));
        if is_of_days && zone != Tz::UTC {
            return Err(("tz", "charge periods of FOCUS are days of UTC; leave the zone out".to_owned()));
        }
        let delivery = Delivery::read(name, &self.words, zone)?;
        let delivery = delivery.ok_or_else(|| ("export", "say when and where to: schedule and destination".to_owned()))?;
        Ok(Scheduled { name: name.to_owned(), what, time, zone, team: self.team, delivery })
    }

    fn entries(&self) -> Result<What, Wrong> {
        if self.version.is_some() {
            return Err(("version", "this is for export: focus".to_owned()));
        }
        let format = self.words.format.as_deref().map_or(Ok(Format::Csv), Format::named).map_err(|why| ("format", why))?;
        if format == Format::Parquet && !crate::HAS_PARQUET {
            return Err(("format", WITHOUT_PARQUET.to_owned()));
        }
        if self.grain.is_some() && !matches!(format, Format::Journal(_)) {
            return Err(("grain", "this is for journals; entries are one a row".to_owned()));
        }
        let grain = self.grain.as_deref().map_or(Ok(accounting::Grain::Day), accounting::Grain::named);
        let is_of_month = self.range.as_deref() == Some(LAST_CLOSED_MONTH);
        if self.clock.is_some() && is_of_month {
            return Err(("clock", "what counts in a month counts there whenever it occurred; leave the clock out".to_owned()));
        }
        let clock = self.clock.as_deref().map_or(Ok(Clock::Occurred), Clock::named);
        Ok(What::Entries { format, grain: grain.map_err(|why| ("grain", why))?, clock: clock.map_err(|why| ("clock", why))? })
    }

    fn focus(&self) -> Result<What, Wrong> {
        if self.clock.is_some() {
            return Err(("clock", "charges of FOCUS are of when they occurred; leave the clock out".to_owned()));
        }
        let format = self.words.format.as_deref().map_or(Ok(Table::Csv), Table::named).map_err(|why| ("format", why))?;
        if format == Table::Parquet && !crate::HAS_PARQUET {
            return Err(("format", WITHOUT_PARQUET.to_owned()));
        }
        let grain = self.grain.as_deref().map_or(Ok(focus::Grain::Day), str::parse).map_err(|why| ("grain", why))?;
        let version =
            self.version.as_deref().map_or(Ok(focus::Version::default()), str::parse).map_err(|why| ("version", why))?;
        Ok(What::Focus { format, grain, version })
    }

    fn time(&self, zone: Tz) -> Result<Time, Wrong> {
        match self.range.as_deref() {
            None => Err(("export", format!("say of which time: range: yesterday, last month or {LAST_CLOSED_MONTH}"))),
            Some(LAST_CLOSED_MONTH) => Ok(Time::LastClosedMonth),
            Some(words) => {
                // Whether words make sense does not depend on the day.
                let any = Instant::from_micros(1_770_000_000_000_000);
                range::in_words(words, zone, any).map_err(|why| ("range", format!("{why}, or {LAST_CLOSED_MONTH}")))?;
                Ok(Time::Range(words.to_owned()))
            }
        }
    }
}

const WITHOUT_PARQUET: &str = "this farthing was built without Parquet";

fn mistake(line: usize, field: &str, what: String) -> Mistake {
    Mistake { line, field: field.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_SIX: &str = "schedule: 0 6 2 * *\ndestination: /var/books\n";

    #[test]
    fn a_definition_says_what_is_exported_and_of_which_time() {
        let read = |text: &str| Scheduled::parse("books", &format!("{text}{AT_SIX}")).unwrap();
        let entries =
            read("export: entries\nrange: yesterday\nclock: recorded\ntz: Europe/Berlin\nformat: hledger\ngrain: entry\n");
        assert_eq!((entries.format(), entries.ending()), ("hledger", "journal"));
        let at = |text: &str| Instant::parse(text).unwrap();
        let Settled::Range(yesterday) = entries.settled(at("2026-11-10T05:00:00Z")).unwrap() else { panic!() };
        assert_eq!((yesterday.from, yesterday.until), (at("2026-11-08T23:00:00Z"), at("2026-11-09T23:00:00Z")));
        let charges = read("export: focus\nrange: last closed month\nversion: \"1.3\"\n");
        assert_eq!((charges.format(), charges.ending()), ("csv", "csv"));
        let month = charges.settled(at("2027-01-02T06:00:00Z")).unwrap();
        assert_eq!(month, Settled::ClosedMonth("2026-12".parse().unwrap()));
        let there = |zone: &str, scheduled: &str| {
            let export = read(&format!("export: focus\nrange: last closed month\ntz: {zone}\n"));
            export.settled(at(scheduled)).unwrap()
        };
        let october = Settled::ClosedMonth("2026-10".parse().unwrap());
        // Both are the first hours of the first of November where they are.
        assert_eq!(there("Europe/Berlin", "2026-10-31T23:00:00Z"), october);
        assert_eq!(there("America/Los_Angeles", "2026-11-01T07:00:00Z"), october);
        assert_eq!(there("America/Los_Angeles", "2026-12-01T07:00:00Z"), october, "where it is still November");
    }

    #[test]
    fn a_bad_definition_is_refused_with_its_line_and_field() {
        let said = |text: &str| {
            let mistakes = Scheduled::parse("x", &format!("{text}{AT_SIX}")).unwrap_err();
            mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(
            said("export: books\nrange: yesterday\n"),
            "line 1: export: `books` is no export; known are entries and focus"
        );
        assert!(said("export: entries\n").starts_with("line 1: export: say of which time: range: yesterday"));
        assert!(said("export: entries\nrange: soon\n").starts_with("line 2: range: `soon` is no range"));
        assert!(said("export: entries\nrange: today\nby: team\n").starts_with("line 3: by: `by` is no field of an export"));
        assert!(said("export: entries\nrange: today\nformat: xlsx\n").starts_with("line 3: format: `xlsx` is no format"));
        assert!(said("export: entries\nrange: today\ngrain: day\n").starts_with("line 3: grain: this is for journals"));
        assert!(
            said("export: entries\nrange: today\nversion: \"1.2\"\n").starts_with("line 3: version: this is for export: focus")
        );
        assert!(said("export: entries\nrange: today\nclock: wall\n").starts_with("line 3: clock: `wall` is no clock"));
        assert!(
            said("export: entries\nclock: recorded\nrange: last closed month\n").starts_with("line 2: clock: what counts in a")
        );
        assert!(
            said("export: focus\nrange: today\nformat: ndjson\n").starts_with("line 3: format: `ndjson` is no format of FOCUS")
        );
        assert!(said("export: focus\nrange: today\nversion: \"2\"\n").starts_with("line 3: version: `2` is no version of FOCUS"));
        assert!(
            said("export: focus\nrange: today\ntz: Europe/Berlin\n").starts_with("line 3: tz: charge periods of FOCUS are days")
        );
        assert!(said("export: focus\nrange: [today]\n").starts_with("line 2: range: write one text"));
        let without = Scheduled::parse("x", "export: entries\nrange: today\n").unwrap_err();
        assert_eq!(without[0].to_string(), "line 1: export: say when and where to: schedule and destination");
        let elsewhere =
            Scheduled::parse("x", "export: entries\nrange: today\nschedule: 0 6 * * *\ndestination: x\n").unwrap_err();
        assert!(elsewhere[0].to_string().starts_with("line 4: destination: `x` is no whole path"));
    }

    #[cfg(not(feature = "polars"))]
    #[test]
    fn parquet_is_refused_in_words_by_a_program_without_it() {
        let text = format!("export: entries\nrange: today\nformat: parquet\n{AT_SIX}");
        let said = Scheduled::parse("x", &text).unwrap_err()[0].to_string();
        assert_eq!(said, "line 3: format: this farthing was built without Parquet");
    }
}
