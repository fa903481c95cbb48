//! Where cards come from: one file per source, each turning a published list into [`List`]s. An importer takes over what
//! is stated, digit by digit, and says by name and count what it did not understand.

mod fields;
pub mod gateways;
pub mod genai_prices;
pub mod litellm;
pub mod models_dev;
pub mod notation;
pub mod openrouter;
pub mod own;
mod rules;

use crate::catalog::resolution::MAX_CONDITIONS;
use crate::catalog::{Card, List};
use crate::money::Rate;
use crate::usage::reading::{self, Problem, Rejected};
use crate::usage::{MAX_TEXT, Text};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// What an import gives: the source's lists as they stand today, and what was not understood, by name and count.
#[derive(Debug)]
pub struct Imported {
    pub lists: Vec<List>,
    pub notes: Vec<String>,
}

/// What was not understood, with the models it was seen on.
#[derive(Default, Debug)]
pub struct Notes(BTreeMap<String, BTreeSet<Text>>);

impl Notes {
    pub fn add(&mut self, what: &str, model: &Text) {
        self.0.entry(what.to_owned()).or_default().insert(model.clone());
    }

    /// A row that is wrong is left out and named; it does not lose the others.
    pub fn left_out(&mut self, why: &Rejected, model: &Text) {
        self.add(&format!("left out, {why}"), model);
    }

    pub fn into_lines(self) -> Vec<String> {
        let line = |(what, models): (String, BTreeSet<Text>)| {
            let first: Vec<_> = models.iter().take(3).map(|model| model.to_string()).collect();
            let more = if models.len() > 3 { ", ..." } else { "" };
            format!("{what}: on {} rows ({}{more})", models.len(), first.join(", "))
        };
        self.0.into_iter().map(line).collect()
    }
}

/// How notes name a row of a source that lists many providers. The name may be one that no list could carry.
fn row(provider: &str, model: &str) -> Text {
    printable(&format!("{provider}/{model}")).expect("a slash is printable")
}

/// A text of a source as we can keep it: one line, cut where it is too long.
fn printable(text: &str) -> Option<Text> {
    let words: Vec<_> = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    Text::new(&line[..line.floor_char_boundary(MAX_TEXT)])
}

/// A price that stands as a JSON number, quoted for so many units; whether it had to be rounded.
fn quoted(value: &RawValue, per: u64) -> Result<(Rate, bool), Problem> {
    match reading::kind(value.get()) {
        "a number" => Rate::parse_quoted(value.get(), per).map_err(Problem::Money),
        found => Err(Problem::WrongType { expected: "a number", found }),
    }
}

/// What stands beside a card's numbers: which of them were rounded, and what the source says of them.
fn note_on_card(rounded: &BTreeSet<&str>, said: Option<&str>) -> Option<Text> {
    let names: Vec<_> = rounded.iter().copied().collect();
    let rounded = (!names.is_empty()).then(|| format!("rounded half to even at the 24th decimal: {}.", names.join(", ")));
    let parts: Vec<_> = rounded.as_deref().into_iter().chain(said).collect();
    printable(&parts.join(" "))
}

/// Rating keeps the conditions of a card in one word of bits.
fn within_bounds(card: Card) -> Result<Card, Rejected> {
    match card.when.len() {
        0..=MAX_CONDITIONS => Ok(card),
        _ => Err(Rejected::new("conditions", Problem::TooManyOf(MAX_CONDITIONS))),
    }
}
