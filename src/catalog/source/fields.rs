//! The fields of one YAML map, taken out by name as the type they must have. Whatever is wrong with one becomes a mistake with
//! its line and its path in the file, and reading goes on, so that a person mends a file once and not line by line. Rates
//! are read here for our own files and for every gateway's: the same digits, under other names.

use super::notation::{self, Spelling};
use crate::catalog::Rates;
use crate::money::{Currency, Rate};
use crate::time::{Instant, Weekdays, Window};
use crate::usage::{Meter, Text, reading};
use crate::yaml::{Key, Mistake, Node, Value};

/// Which literals are rates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Literals {
    Quoted,
    /// Also a bare number, which is read from its text and not as a float.
    Any,
}

/// The fields of one map, taken out by name; what is left over is a mistake.
pub(super) struct Fields<'a> {
    /// The path of this map in the file, for messages.
    pub at: String,
    pub line: usize,
    left: Vec<&'a (Key<'a>, Node<'a>)>,
}

impl<'a> Fields<'a> {
    pub fn of(node: &'a Node<'a>, at: &str, mistakes: &mut Vec<Mistake>) -> Option<Fields<'a>> {
        match &node.value {
            Value::Map(pairs) => {
                let left = pairs.iter().filter(|(_, value)| !value.is_null()).collect();
                Some(Fields { at: at.to_owned(), line: node.line, left })
            }
            _ => {
                mistakes.push(Mistake {
                    line: node.line,
                    field: at.to_owned(),
                    what: format!("expected a map, found {}", node.kind()),
                });
                None
            }
        }
    }

    pub fn take(&mut self, name: &str) -> Option<(&'a Key<'a>, &'a Node<'a>)> {
        let place = self.left.iter().position(|(key, _)| key.name == name)?;
        let (key, value) = self.left.remove(place);
        Some((key, value))
    }

    pub fn has(&self, name: &str) -> bool {
        self.left.iter().any(|(key, _)| key.name == name)
    }

    pub fn line_of(&self, name: &str) -> usize {
        self.left.iter().find(|(key, _)| key.name == name).map_or(0, |(key, _)| key.line)
    }

    pub fn wrong(&self, line: usize, name: &str, what: String, mistakes: &mut Vec<Mistake>) {
        mistakes.push(Mistake { line, field: self.path(name), what });
    }

    /// The path of a field of this map.
    pub fn path(&self, name: &str) -> String {
        let dot = if self.at.is_empty() || name.is_empty() { "" } else { "." };
        format!("{}{dot}{name}", self.at)
    }

    pub fn required<T>(
        &mut self,
        name: &str,
        mistakes: &mut Vec<Mistake>,
        read: impl FnOnce(&mut Self, &mut Vec<Mistake>) -> Option<T>,
    ) -> Option<T> {
        if !self.has(name) {
            self.wrong(self.line, name, "missing".to_owned(), mistakes);
            return None;
        }
        read(self, mistakes)
    }

    pub fn required_text(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<Text> {
        self.required(name, mistakes, |fields, mistakes| fields.text(name, mistakes))
    }

    pub fn scalar(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<(usize, &'a str)> {
        let (key, node) = self.take(name)?;
        if node.scalar().is_none() {
            self.wrong(key.line, name, format!("expected one value, found {}", node.kind()), mistakes);
        }
        Some((key.line, node.scalar()?))
    }

    pub fn text(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<Text> {
        let (line, text) = self.scalar(name, mistakes)?;
        reading::text(name, text).map_err(|e| self.wrong(line, name, e.problem.to_string(), mistakes)).ok()
    }

    pub fn word<T: Copy>(&mut self, name: &str, known: &[(&str, T)], mistakes: &mut Vec<Mistake>) -> Option<T> {
        let (line, text) = self.scalar(name, mistakes)?;
        let meaning = known.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if meaning.is_none() {
            let known: Vec<_> = known.iter().map(|(word, _)| *word).collect();
            self.wrong(line, name, format!("`{text}` is unknown; known are {}", known.join(", ")), mistakes);
        }
        meaning
    }

    pub fn flag(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<bool> {
        self.word(name, &[("true", true), ("false", false)], mistakes)
    }

    pub fn count(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<u64> {
        let (line, text) = self.scalar(name, mistakes)?;
        let digits: String = text.chars().filter(|c| *c != '_').collect();
        digits.parse().map_err(|_| self.wrong(line, name, format!("`{text}` is not a whole number"), mistakes)).ok()
    }

    pub fn instant(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<Instant> {
        let (line, text) = self.scalar(name, mistakes)?;
        Instant::parse_date_or_instant(text).map_err(|e| self.wrong(line, name, e.to_string(), mistakes)).ok()
    }

    pub fn currency(&mut self, mistakes: &mut Vec<Mistake>) -> Option<Currency> {
        let (line, code) = self.scalar("currency", mistakes)?;
        code.parse().map_err(|e| self.wrong(line, "currency", format!("{e}"), mistakes)).ok()
    }

    /// `16:30-00:30`
    pub fn window(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<Window> {
        let (line, text) = self.scalar(name, mistakes)?;
        let window = Window::parse(text);
        if window.is_none() {
            self.wrong(line, name, format!("`{text}` is not a window of the UTC clock; write it like \"16:30-00:30\""), mistakes);
        }
        window
    }

    pub fn days(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<Weekdays> {
        self.left.iter().find(|(key, _)| key.name == name)?;
        let mut days = Weekdays(0);
        for (line, word) in self.words(name, mistakes) {
            match Weekdays::named(&word) {
                Some(day) => days.0 |= day.0,
                None => {
                    self.wrong(line, name, format!("`{word}` is unknown; known are {}", Weekdays::NAMES.join(", ")), mistakes)
                }
            }
        }
        Some(days)
    }

    pub fn list(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<&'a [Node<'a>]> {
        let (key, node) = self.take(name)?;
        match &node.value {
            Value::List(nodes) => Some(nodes),
            _ => {
                self.wrong(key.line, name, format!("expected a list, found {}", node.kind()), mistakes);
                None
            }
        }
    }

    pub fn words(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Vec<(usize, String)> {
        let nodes = self.list(name, mistakes).unwrap_or_default();
        nodes.iter().filter_map(|node| Some((node.line, node.scalar()?.to_owned()))).collect()
    }

    pub fn texts(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Vec<Text> {
        let mut texts = Vec::new();
        for (line, word) in self.words(name, mistakes) {
            match reading::text(name, &word) {
                Ok(text) => texts.push(text),
                Err(e) => self.wrong(line, name, e.problem.to_string(), mistakes),
            }
        }
        texts
    }

    /// Everything that is left is a rate as our own files write it, or a mistake.
    pub fn rates(&mut self, mistakes: &mut Vec<Mistake>) -> Rates {
        self.rates_by(notation::meter_and_power, notation::OURS, Literals::Quoted, mistakes)
    }

    /// Everything that is left is a rate under one of these keys, or a mistake.
    pub fn rates_spelled(&mut self, spellings: &[Spelling], literals: Literals, mistakes: &mut Vec<Mistake>) -> Rates {
        let known: Vec<_> = spellings.iter().map(|(key, ..)| *key).collect();
        self.rates_by(|key| notation::spelled(key, spellings), &known.join(", "), literals, mistakes)
    }

    /// The same with any way to tell the meter and the power of ten of a key.
    pub fn rates_by(
        &mut self,
        meter_and_power: impl Fn(&str) -> Option<(Meter, u32)>,
        known: &str,
        literals: Literals,
        mistakes: &mut Vec<Mistake>,
    ) -> Rates {
        let mut rates: Vec<(Meter, Rate)> = Vec::new();
        for (key, node) in std::mem::take(&mut self.left) {
            let Some((meter, power)) = meter_and_power(&key.name) else {
                self.wrong(key.line, &key.name, format!("unknown field; rates are {known}"), mistakes);
                continue;
            };
            let Some(rate) = self.rate(key, node, power, literals, mistakes) else { continue };
            if rates.iter().any(|(other, _)| *other == meter) {
                self.wrong(key.line, &key.name, format!("{} has two rates here", meter.name()), mistakes);
            } else {
                rates.push((meter, rate));
            }
        }
        Rates::new(rates)
    }

    /// One rate, quoted per 10^`power` units.
    pub fn rate(&self, key: &Key, node: &Node, power: u32, literals: Literals, mistakes: &mut Vec<Mistake>) -> Option<Rate> {
        let what = match &node.value {
            Value::Scalar { text, quoted } if *quoted || literals == Literals::Any => match Rate::parse_per(text, power) {
                Ok(rate) => return Some(rate),
                Err(e) => e.to_string(),
            },
            Value::Scalar { text, .. } => {
                format!("a rate is a quoted decimal, so that no reader rounds it; write {}: \"{text}\"", key.name)
            }
            _ => format!("expected a quoted decimal, found {}", node.kind()),
        };
        self.wrong(key.line, &key.name, what, mistakes);
        None
    }

    /// The names of the fields still in here.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.left.iter().map(|(key, _)| &*key.name)
    }

    /// A nested map.
    pub fn inside(&mut self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<Fields<'a>> {
        let (_, node) = self.take(name)?;
        Fields::of(node, &self.path(name), mistakes)
    }

    pub fn nothing_else(&mut self, mistakes: &mut Vec<Mistake>) {
        for (key, _) in std::mem::take(&mut self.left) {
            self.wrong(key.line, &key.name, "unknown field".to_owned(), mistakes);
        }
    }
}
