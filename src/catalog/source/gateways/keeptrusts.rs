//! Keeptrusts prices a target of its gateway by `pricing`, per million, and its control plane keeps rows per thousand
//! (`/v1/model-pricing`). Both are bare numbers, read from their text. A target names what it calls in one text,
//! `openrouter:chat:vendor/model`, or in two fields.

use super::{Stated, contract};
use crate::catalog::source::fields::{Fields, Literals};
use crate::catalog::source::notation::KEEPTRUSTS;
use crate::usage::Text;
use crate::yaml::{Mistake, Node, Value};

/// What the control plane writes beside the price of a row.
const BOOKKEEPING: [&str; 4] = ["id", "org_id", "created_at", "updated_at"];

pub fn read(tree: &Node, stated: &mut Stated, mistakes: &mut Vec<Mistake>) {
    if let Value::List(rows) = &tree.value {
        return rows.iter().for_each(|row| read_row(row, stated, mistakes));
    }
    let Some(mut config) = Fields::of(tree, "", mistakes) else { return };
    if !config.has("providers") {
        return read_row(tree, stated, mistakes);
    }
    let Some(mut providers) = config.inside("providers", mistakes) else { return };
    for target in providers.list("targets", mistakes).unwrap_or_default() {
        if let Some(target) = Fields::of(target, "providers.targets", mistakes) {
            read_target(target, stated, mistakes);
        }
    }
}

fn read_row(row: &Node, stated: &mut Stated, mistakes: &mut Vec<Mistake>) {
    let Some(mut row) = Fields::of(row, "", mistakes) else { return };
    let provider = row.required_text("provider", mistakes);
    let model = row.required_text("model", mistakes);
    for field in BOOKKEEPING {
        row.take(field);
    }
    price(provider.zip(model), &mut row, "Keeptrusts /v1/model-pricing", stated, mistakes);
}

fn read_target(mut target: Fields<'_>, stated: &mut Stated, mistakes: &mut Vec<Mistake>) {
    let Some(mut pricing) = target.inside("pricing", mistakes) else { return };
    let id = target.text("id", mistakes);
    let line = target.line_of("provider");
    let provider = target.required_text("provider", mistakes);
    let model = target.text("model", mistakes);
    let called = provider.as_ref().and_then(|provider| called(provider, model));
    if provider.is_some() && called.is_none() {
        let what = "does not say what is called; write provider:operation:model here, or a provider here and `model` beside it";
        target.wrong(line, "provider", what.to_owned(), mistakes);
    }
    let source = format!("Keeptrusts target {}", id.as_deref().unwrap_or("without an id"));
    price(called, &mut pricing, &source, stated, mistakes);
}

/// The provider and the model of `openrouter:chat:vendor/model`, or of two fields; a model may have colons of its own.
fn called(provider: &Text, model: Option<Text>) -> Option<(Text, Text)> {
    let words: Vec<&str> = provider.splitn(3, ':').collect();
    match (words.as_slice(), model) {
        ([_], Some(model)) => Some((provider.clone(), model)),
        ([provider, _, model], None) => Some((Text::new(provider)?, Text::new(model)?)),
        _ => None,
    }
}

fn price(called: Option<(Text, Text)>, pricing: &mut Fields<'_>, source: &str, stated: &mut Stated, mistakes: &mut Vec<Mistake>) {
    let rates = pricing.rates_spelled(KEEPTRUSTS, Literals::Any, mistakes);
    if let (Some((provider, model)), false) = (called, rates.is_empty()) {
        stated.contract(provider, contract(model, rates, source), pricing, mistakes);
    }
}
