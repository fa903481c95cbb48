//! Questions with a name: files of `reports/`, the shipped ones and an operator's own. A file says its question in words,
//! what it is asked with, and what to mind when reading the answer.

use crate::report::asked::Asked;
use crate::report::delivery::{Delivery, Format, Words};
use crate::report::query::Query;
use crate::time::Instant;
use crate::yaml::{Mistake, Node, Value};

/// A definition as it is written in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    /// In words, with a question mark.
    pub question: String,
    pub asked: Asked,
    pub caveats: Vec<String>,
    /// When it is written by itself, and where to.
    pub delivery: Option<Delivery>,
    /// What it is written as then.
    pub format: Format,
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        const SHIPPED: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../reports/", $name, ".yaml")))),*];
    };
}
shipped![
    "apps",
    "cache-savings",
    "corrections",
    "drift",
    "features",
    "held",
    "meters",
    "month-to-date",
    "movers",
    "price-changes",
    "team-days",
    "unit-costs",
    "users-models"
];

/// The reports that come with the program, by name.
pub fn shipped() -> Vec<Named> {
    let read = |(name, text): &(&str, &str)| Named::parse(name, text).expect("a test reads every shipped report");
    SHIPPED.iter().map(read).collect()
}

/// The report that asks nothing of its own: by model, unless something else is said.
pub fn spend() -> Named {
    Named {
        name: "spend".to_owned(),
        question: "whatever you ask it, by any dimensions".to_owned(),
        asked: Asked { by: vec!["model".to_owned()], ..Asked::default() },
        caveats: Vec::new(),
        delivery: None,
        format: Format::Csv,
    }
}

/// A report by its name, `spend` too; or which there are.
pub fn find(reports: &[Named], name: &str) -> Result<Named, String> {
    let spend = spend();
    let found = reports.iter().chain([&spend]).find(|report| report.name == name).cloned();
    found.ok_or_else(|| {
        let known: Vec<&str> = std::iter::once(&spend).chain(reports).map(|report| &*report.name).collect();
        format!("there is no report `{name}`; known are {}", known.join(", "))
    })
}

const FIELDS: &str =
    "question, by, show, range, clock, tz, filters, as_of, compare, top, of, caveats, schedule, destination, format";

impl Named {
    /// Reads a definition; every mistake in it is told with its line.
    pub fn parse(name: &str, text: &str) -> Result<Named, Vec<Mistake>> {
        let node = Node::parse(text).map_err(|mistake| vec![of_a_star(text, mistake)])?;
        let Value::Map(fields) = &node.value else {
            return Err(vec![mistake(node.line, "", format!("a report is a map of {FIELDS}, not {}", node.kind()))]);
        };
        let (question, asked, caveats) = (String::new(), Asked::default(), Vec::new());
        let mut named = Named { name: name.to_owned(), question, asked, caveats, delivery: None, format: Format::Csv };
        let (mut words, mut mistakes) = (Words::default(), Vec::new());
        for (key, value) in fields {
            if let Err(why) = named.read(&key.name, value, &mut words) {
                mistakes.push(mistake(value.line.max(key.line), &key.name, why));
            }
        }
        if named.question.is_empty() && mistakes.is_empty() {
            mistakes.push(mistake(node.line, "question", "say in words what the report answers".to_owned()));
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        match named.understood(&words) {
            Ok((delivery, format)) => Ok(Named { delivery, format, ..named }),
            Err((field, why)) => {
                let line = fields.iter().find(|(key, _)| key.name == field).map_or(node.line, |(key, _)| key.line);
                Err(vec![mistake(line, field, why)])
            }
        }
    }

    /// Whether it makes sense, which does not depend on the day; or the field that does not, and why.
    fn understood(&self, words: &Words) -> Result<(Option<Delivery>, Format), (&'static str, String)> {
        let query = self.asked.query(Instant::from_micros(1_770_000_000_000_000)).map_err(|wrong| match wrong.parameter {
            "group_by" => ("by", wrong.why),
            "filter" => ("filters", wrong.why),
            field => (field, wrong.why),
        })?;
        Ok((Delivery::read(&self.name, words, query.zone)?, words.format()?))
    }

    fn read(&mut self, field: &str, value: &Node<'_>, words: &mut Words) -> Result<(), String> {
        let asked = &mut self.asked;
        match field {
            "question" => self.question = one(value)?,
            "by" => asked.by = many(value)?,
            "show" => asked.show = many(value)?,
            "range" => asked.range = Some(one(value)?),
            "clock" => asked.clock = Some(one(value)?),
            "tz" => asked.tz = Some(one(value)?),
            "of" => asked.of = Some(one(value)?),
            "as_of" => asked.as_of = Some(one(value)?),
            "compare" => asked.compare = Some(one(value)?),
            "top" => asked.top = Some(one(value)?),
            "caveats" => self.caveats = many(value)?,
            "schedule" => words.schedule = Some(one(value)?),
            "destination" => words.destination = Some(one(value)?),
            "format" => words.format = Some(one(value)?),
            "filters" => {
                let Value::Map(filters) = &value.value else {
                    return Err("write dimension: value, or a list of values".to_owned());
                };
                for (dimension, values) in filters {
                    asked.filters.extend(many(values)?.into_iter().map(|value| (dimension.name.to_string(), value)));
                }
            }
            other => return Err(format!("`{other}` is no field of a report; known are {FIELDS}")),
        }
        Ok(())
    }

    /// What is asked; words said besides go before those of the definition.
    pub fn query(&self, besides: &Asked, now: Instant) -> Result<Query, crate::report::Wrong> {
        let mut asked = self.asked.clone();
        let list = |own: &mut Vec<String>, other: &[String]| {
            if !other.is_empty() {
                *own = other.to_vec();
            }
        };
        list(&mut asked.by, &besides.by);
        list(&mut asked.show, &besides.show);
        if besides.range.is_some() || besides.from.is_some() || besides.until.is_some() {
            (asked.range, asked.from, asked.until) = (besides.range.clone(), besides.from.clone(), besides.until.clone());
        }
        let is_said = |dimension: &str| besides.filters.iter().any(|(other, _)| other.trim() == dimension.trim());
        asked.filters.retain(|(dimension, _)| !is_said(dimension));
        asked.filters.extend(besides.filters.iter().cloned());
        for (own, other) in [
            (&mut asked.clock, &besides.clock),
            (&mut asked.tz, &besides.tz),
            (&mut asked.as_of, &besides.as_of),
            (&mut asked.compare, &besides.compare),
            (&mut asked.of, &besides.of),
            (&mut asked.scan, &besides.scan),
            (&mut asked.top, &besides.top),
        ] {
            if other.is_some() {
                own.clone_from(other);
            }
        }
        asked.query(now)
    }
}

/// YAML takes a star for the name of something that was said before, and says so in its own words.
fn of_a_star(text: &str, other: Mistake) -> Mistake {
    let line = text.lines().nth(other.line.saturating_sub(1)).unwrap_or_default();
    match line.trim_start().strip_prefix("schedule:").is_some_and(|schedule| schedule.trim_start().starts_with('*')) {
        true => mistake(other.line, "schedule", "what begins with a star has to be in quotes: \"*/15 * * * *\"".to_owned()),
        false => other,
    }
}

fn mistake(line: usize, field: &str, what: String) -> Mistake {
    Mistake { line, field: field.to_owned(), what }
}

fn one(value: &Node<'_>) -> Result<String, String> {
    value.scalar().map(str::to_owned).ok_or_else(|| format!("write one text, not {}", value.kind()))
}

fn many(value: &Node<'_>) -> Result<Vec<String>, String> {
    match &value.value {
        Value::List(values) => values.iter().map(one).collect(),
        _ => Ok(vec![one(value)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_report_is_a_question() {
        let directory = format!("{}/reports", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
        let mut names: Vec<_> = files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        assert_eq!(shipped().iter().map(|named| named.name.clone()).collect::<Vec<_>>(), names);
        for named in shipped() {
            assert!(named.question.ends_with('?'), "{}", named.name);
            let now = Instant::parse("2026-11-21T00:00:00Z").unwrap();
            assert!(named.query(&Asked::default(), now).is_ok(), "{}", named.name);
        }
    }

    #[test]
    fn a_bad_definition_is_refused_with_its_lines_and_fields() {
        let said = |text: &str| {
            let mistakes = Named::parse("x", text).unwrap_err();
            mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; ")
        };
        assert!(said("question: Who?\nby: [team, teams]\n").starts_with("line 2: by: `teams` is no dimension; known are hour,"));
        assert!(said("question: Who?\ngroup: team\nmore: 1\n").contains("line 2: group: `group` is no field of a report"));
        assert!(said("question: Who?\ngroup: team\nmore: 1\n").contains("line 3: more: "));
        assert_eq!(said("by: team\n"), "line 1: question: say in words what the report answers");
        assert!(said("question: Who?\nby: user\nrange: soon\n").starts_with("line 3: range: `soon` is no range"));
        assert!(said("- team\n").starts_with("line 1: a report is a map of"));
    }

    #[test]
    fn a_report_may_say_when_and_where_to_it_is_written() {
        let text = "question: Who?\nby: [team]\nrange: last month\ntz: Europe/Berlin\n\
                    schedule: 0 6 1 * *\ndestination: /var/reports\n";
        let named = Named::parse("teams", text).unwrap();
        let delivery = named.delivery.unwrap();
        assert_eq!(delivery.schedule.to_string(), "0 6 1 * * Europe/Berlin");
        assert_eq!((delivery.destination.to_string().as_str(), named.format.ending()), ("/var/reports", "csv"));
        assert_eq!(Named::parse("teams", "question: Who?\nby: [team]\n").unwrap().delivery, None);
    }

    #[test]
    fn a_bad_delivery_is_refused_with_its_line_and_field() {
        let said = |name: &str, text: &str| {
            let mistakes = Named::parse(name, &format!("question: Who?\nby: [team]\n{text}")).unwrap_err();
            mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; ")
        };
        let at_six = "schedule: 0 6 * * *\ndestination: /var/reports\n";
        assert_eq!(
            said("x", "destination: /x\nschedule: 0 6 32 * *\n"),
            "line 4: schedule: `32` is no day of the month: `32` is none of 1 to 31"
        );
        assert!(said("x", "schedule: 0 6 * * *\n").starts_with("line 3: schedule: say where it is written to"));
        assert!(said("x", "destination: /x\n").starts_with("line 3: destination: this is for what is written by itself"));
        assert!(said("x", "format: csv\n").starts_with("line 3: format: this is for what is written by itself"));
        assert!(said("x", "schedule: 0 6 * * *\ndestination: x\n").starts_with("line 4: destination: `x` is no whole path"));
        assert!(said("x", &format!("{at_six}format: xlsx\n")).starts_with("line 5: format: `xlsx` is no format"));
        assert!(said("x", &format!("{at_six}tz: Berlin\n")).starts_with("line 5: tz: `Berlin` is no IANA time zone"));
        assert_eq!(
            said("x", "destination: /x\nschedule: */15 * * * *\n"),
            "line 4: schedule: what begins with a star has to be in quotes: \"*/15 * * * *\""
        );
        assert!(said("my teams", at_six).starts_with("line 3: schedule: files are named after the definition"));
        assert!(said("..", at_six).starts_with("line 3: schedule: files are named after the definition"));
    }

    #[test]
    fn what_is_said_besides_goes_before_the_definition() {
        let named = Named::parse("x", "question: Who?\nby: [team]\nrange: last month\nfilters: {provider: [a, b]}\n").unwrap();
        let besides = Asked {
            from: Some("2026-02-01".to_owned()),
            filters: vec![("team".to_owned(), "search".to_owned())],
            ..Asked::default()
        };
        let query = named.query(&besides, Instant::parse("2026-03-15T10:00:00Z").unwrap()).unwrap();
        assert_eq!((query.from.unwrap().to_string(), query.until), ("2026-02-01T00:00:00Z".to_owned(), None));
        assert_eq!(query.filters.len(), 2);
    }
}
