//! A query as people write it: words that are not yet understood, and which of them was wrong.

use crate::id::BlockNumber;
use crate::report::query::{AsOf, Clock, Dimension, Filter, Measure, Of, Query, Wrong};
use crate::report::range;
use crate::time::Instant;
use chrono_tz::Tz;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub by: Vec<String>,
    pub show: Vec<String>,
    pub from: Option<String>,
    pub until: Option<String>,
    /// Instead of the two: `this month`.
    pub range: Option<String>,
    pub clock: Option<String>,
    pub tz: Option<String>,
    /// A dimension and a value; values of the same dimension are alternatives.
    pub filters: Vec<(String, String)>,
    pub as_of: Option<String>,
    pub compare: Option<String>,
    pub top: Option<String>,
    /// What is counted: `spend` or `held`.
    pub of: Option<String>,
    /// Read entries one by one: `true`.
    pub scan: Option<String>,
}

impl Asked {
    /// What is meant, seen from now.
    pub fn query(&self, now: Instant) -> Result<Query, Wrong> {
        let wrong = |parameter| move |why: String| Wrong { parameter, why };
        let zone: Tz = match &self.tz {
            None => Tz::UTC,
            Some(zone) => {
                zone.parse().map_err(|_| wrong("tz")(format!("`{zone}` is no IANA time zone, such as Europe/Berlin")))?
            }
        };
        let named = |name: &String| Dimension::named(name.trim());
        let by = self.by.iter().map(named).collect::<Result<Vec<_>, _>>().map_err(wrong("group_by"))?;
        let mut filters: Vec<Filter> = Vec::new();
        for (name, value) in &self.filters {
            let dimension = named(name).map_err(wrong("filter"))?;
            match filters.iter_mut().find(|filter| filter.dimension == dimension) {
                Some(filter) => filter.values.push(value.clone()),
                None => filters.push(Filter { dimension, values: vec![value.clone()] }),
            }
        }
        let show = match self.show.as_slice() {
            [] if by.contains(&Dimension::Meter) => vec![Measure::Amount, Measure::Quantity],
            [] if filters.iter().any(|filter| filter.dimension == Dimension::Meter) => vec![Measure::Amount, Measure::Tokens],
            [] if self.of.as_deref() == Some("held") => vec![Measure::Calls, Measure::Tokens],
            [] => vec![Measure::Amount, Measure::Calls],
            names => names.iter().map(|name| Measure::named(name.trim())).collect::<Result<_, _>>().map_err(wrong("show"))?,
        };
        let end = |parameter, text: &Option<String>| {
            text.as_ref().map(|text| range::end(text, zone).map_err(wrong(parameter))).transpose()
        };
        let (from, until) = match &self.range {
            Some(_) if self.from.is_some() || self.until.is_some() => {
                return Err(wrong("range")("a range in words stands instead of from and until".to_owned()));
            }
            Some(words) => {
                let (from, until) = range::in_words(words, zone, now).map_err(wrong("range"))?;
                (Some(from), Some(until))
            }
            None => (end("from", &self.from)?, end("until", &self.until)?),
        };
        let clock = self.clock.as_deref().map_or(Ok(Clock::default()), Clock::named).map_err(wrong("clock"))?;
        let as_of = self.as_of.as_ref().map(|text| as_of(text, zone).map_err(wrong("as_of"))).transpose()?;
        let compare = match self.compare.as_deref() {
            None => false,
            Some("previous") => true,
            Some(other) => return Err(wrong("compare")(format!("`{other}` is no comparison; known is previous"))),
        };
        let number = |text: &String| text.parse().map_err(|_| wrong("top")(format!("`{text}` is no number of groups")));
        let top = self.top.as_ref().map(number).transpose()?;
        let of = match self.of.as_deref() {
            None | Some("spend") => Of::Spend,
            Some("held") => Of::Held,
            Some(other) => return Err(wrong("of")(format!("`{other}` cannot be counted; known are spend and held"))),
        };
        let scan = match self.scan.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(wrong("scan")(format!("`{other}` is neither true nor false"))),
        };
        let query = Query { by, show, from, until, clock, zone, filters, as_of, compare, top, of, asked_at: Some(now), scan };
        query.check()?;
        Ok(query)
    }
}

/// `block:12`, or an instant or a date of the zone.
pub fn as_of(text: &str, zone: Tz) -> Result<AsOf, String> {
    match text.strip_prefix("block:") {
        Some(number) => match number.parse() {
            Ok(number @ 0..) => Ok(AsOf::Block(BlockNumber(number))),
            _ => Err(format!("`{number}` is no number of a block")),
        },
        None => range::end(text, zone).map(AsOf::Instant),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_what_its_words_mean() {
        let now = Instant::parse("2026-03-15T10:00:00Z").unwrap();
        let words = |words: &str| words.split_whitespace().map(str::to_owned).collect();
        let asked = Asked {
            by: words("team label:feature"),
            range: Some("last month".to_owned()),
            tz: Some("Europe/Berlin".to_owned()),
            filters: vec![
                ("model".to_owned(), "a".to_owned()),
                ("team".to_owned(), String::new()),
                ("model".to_owned(), "b".to_owned()),
            ],
            as_of: Some("block:7".to_owned()),
            ..Asked::default()
        };
        let query = asked.query(now).unwrap();
        assert_eq!(query.from.unwrap().to_string(), "2026-01-31T23:00:00Z");
        assert_eq!(query.as_of, Some(AsOf::Block(BlockNumber(7))));
        assert_eq!(query.filters.len(), 2);
        assert_eq!(query.filters[0].values, ["a", "b"]);
        let said = |change: fn(&mut Asked)| {
            let mut asked = asked.clone();
            change(&mut asked);
            let Wrong { parameter, why } = asked.query(now).unwrap_err();
            format!("{parameter}: {why}")
        };
        assert_eq!(said(|asked| asked.tz = Some("Berlin".into())), "tz: `Berlin` is no IANA time zone, such as Europe/Berlin");
        assert_eq!(said(|asked| asked.from = Some("2026".into())), "range: a range in words stands instead of from and until");
        assert_eq!(said(|asked| asked.top = Some("many".into())), "top: `many` is no number of groups");
        assert!(said(|asked| asked.as_of = Some("soon".into())).starts_with("as_of: "));
        assert!(said(|asked| asked.show = vec!["cost".into()]).starts_with("show: `cost` is no column"));
    }
}
