//! Where cards come from: one file per source, each turning a published list into [`List`]s. An importer takes over what
//! is stated, digit by digit, and says by name and count what it did not understand.

mod fields;
pub mod gateways;
pub mod notation;
pub mod openrouter;
pub mod own;

use crate::catalog::List;
use crate::usage::Text;
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

    pub fn into_lines(self) -> Vec<String> {
        let line = |(what, models): (String, BTreeSet<Text>)| {
            let first: Vec<_> = models.iter().take(3).map(|model| model.to_string()).collect();
            let more = if models.len() > 3 { ", ..." } else { "" };
            format!("{what}: on {} rows ({}{more})", models.len(), first.join(", "))
        };
        self.0.into_iter().map(line).collect()
    }
}
