//! LiteLLM's price list (`model_prices_and_context_window.json`) as lists of ours, one for each seller. Rates are JSON
//! numbers in USD per unit and are taken over from their literal text, float noise included; a `key` says what each of
//! them prices, and a row becomes one card for ordinary calls and one for each service tier. A row that cannot be read
//! is left out and named, and so is every key that speaks of money and was not understood: neither costs the other rows.
//! The list has no dates and no word for *free*, so its cards have no `from` and a row of zeros is a doubtful one.

mod key;
mod row;

use crate::catalog::source::{Imported, Notes};
use crate::catalog::{Absent, Card, CostBasis, Insured, List, Model, Origin};
use crate::usage::reading::{self, Object, Problem, Rejected};
use crate::usage::{MAX_TEXT, Text};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// LiteLLM names the route by which it calls a seller, and some sellers have several. Routes to one seller are one
/// provider here, under the name that the shipped lists have for it; all others keep LiteLLM's name. `azure_ai` and
/// `bedrock_mantle` stay apart from `azure` and `bedrock`: most models that they share are priced differently there.
const ROUTES: [(&str, &str); 9] = [
    ("azure_text", "azure"),
    ("bedrock_converse", "bedrock"),
    ("cohere_chat", "cohere"),
    ("fireworks_ai", "fireworks_ai"),
    ("gemini", "google"),
    ("text-completion-codestral", "codestral"),
    ("text-completion-inception", "inception"),
    ("text-completion-openai", "openai"),
    ("vertex_ai", "vertex"),
];

/// Documents the format; its values are words.
const SPECIMEN: &str = "sample_spec";

/// Reads a list as it was published: cards without a date for each of its rows.
pub fn read(json: &str) -> Result<Imported, Rejected> {
    let rows = Object::parse(json, "list")?.rest();
    let mut notes = Notes::default();
    let mut sellers = Sellers::default();
    for (key, value) in rows.iter().filter(|(key, _)| key != SPECIMEN) {
        let label = label(key);
        match read_row(key, &label, value, &mut notes) {
            Ok(row) if row.cards.is_empty() => notes.add("no price", &label),
            Ok(row) => sellers.add(row, &mut notes),
            Err(why) => notes.add(&format!("not taken, {why}"), &label),
        }
    }
    match sellers.0.is_empty() {
        true => Err(Rejected::new("list", Problem::Contradiction(format!("none of its {} rows has a price", rows.len())))),
        false => Ok(Imported { lists: sellers.into_lists(), notes: notes.into_lines() }),
    }
}

/// A row with the names that it has here.
struct Row {
    provider: Text,
    model: Text,
    /// The row's own key, as notes name it.
    label: Text,
    cards: Vec<Card>,
}

fn read_row(key: &str, label: &Text, value: &RawValue, notes: &mut Notes) -> Result<Row, Rejected> {
    let mut fields = Object::parse(value.get(), "row")?;
    let route = fields.required_text("litellm_provider")?;
    let (family, provider) = provider_of(&route);
    let model = [&*route, family, provider].iter().find_map(|name| key.strip_prefix(name)?.strip_prefix('/')).unwrap_or(key);
    Ok(Row {
        provider: reading::text("litellm_provider", provider)?,
        model: reading::text("model", model)?,
        label: label.clone(),
        cards: row::read(label, fields, notes)?,
    })
}

/// The name that begins a route's keys, and the provider it leads to. `vertex_ai-llama_models` is a part of `vertex_ai`.
fn provider_of(route: &str) -> (&str, &str) {
    let is_part = |family: &str| route.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    ROUTES.into_iter().find(|(family, _)| is_part(family)).unwrap_or((route, route))
}

/// A row's key as a text that can be shown, whatever was sent.
fn label(key: &str) -> Text {
    let printable: String = key.escape_default().take(MAX_TEXT).collect();
    Text::new(printable).unwrap_or(Text::known("a row without a name"))
}

/// Rows by provider and model.
#[derive(Default)]
struct Sellers(BTreeMap<Text, BTreeMap<Text, Row>>);

impl Sellers {
    /// Several rows may name one model, with its route in front and without; the bare one stays, else the first.
    fn add(&mut self, row: Row, notes: &mut Notes) {
        match self.0.entry(row.provider.clone()).or_default().entry(row.model.clone()) {
            Entry::Vacant(place) => {
                place.insert(row);
            }
            Entry::Occupied(mut kept) => {
                let dropped = match row.is_bare() && !kept.get().is_bare() {
                    true => kept.insert(row),
                    false => row,
                };
                if !kept.get().is_same_price(&dropped) {
                    notes.add("listed twice at different prices, not taken", &dropped.label);
                }
            }
        }
    }

    fn into_lists(self) -> Vec<List> {
        self.0.into_iter().map(|(provider, models)| list(provider, models)).collect()
    }
}

impl Row {
    fn is_bare(&self) -> bool {
        self.label == self.model
    }

    fn is_same_price(&self, other: &Row) -> bool {
        self.cards.len() == other.cards.len()
            && self.cards.iter().zip(&other.cards).all(|(a, b)| a.is_same_kind(b) && a.is_same_price(b))
    }
}

fn list(provider: Text, models: BTreeMap<Text, Row>) -> List {
    let model = |(name, row): (Text, Row)| Model { name, aliases: Vec::new(), delisted: None, cards: row.cards };
    List {
        provider,
        pricing_provider_id: None,
        cost_basis: CostBasis::Rated,
        absent: Absent::Unknown,
        insured: Insured::default(),
        origin: Origin {
            source: Some(Text::known("LiteLLM model_prices_and_context_window.json")),
            checked: None,
            note: Some(Text::known("per unit in USD, as listed")),
            remark: None,
        },
        models: models.into_iter().map(model).collect(),
    }
}
