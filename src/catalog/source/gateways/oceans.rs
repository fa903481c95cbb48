//! Oceans LLM prices a route by its `pricing_override`, quoted decimals per million of which input and output are demanded,
//! and otherwise by the list that its provider's `pricing_provider_id` names. Both are taken as written, also the `openai`
//! that one of its pages gives to an OpenRouter provider: no slug is found there, and resolution says so when it looks.

use super::{Stated, contract};
use crate::catalog::List;
use crate::catalog::source::fields::{Fields, Literals};
use crate::catalog::source::notation::OCEANS;
use crate::usage::{Meter, Text};
use crate::yaml::{Mistake, Node, Value};

/// What Oceans calls a list, and the provider whose list that is here.
const LISTS: [(&str, &str); 5] = [
    ("openai", "openai"),
    ("openrouter", "openrouter"),
    ("google-vertex", "vertex"),
    ("google-vertex-anthropic", "vertex"),
    ("amazon-bedrock", "bedrock"),
];

pub fn read(config: &Node, stated: &mut Stated, mistakes: &mut Vec<Mistake>) {
    let Some(mut config) = Fields::of(config, "", mistakes) else { return };
    for provider in entries(&mut config, "providers", mistakes) {
        read_provider(provider, stated, mistakes);
    }
    read_routes(&mut config, stated, mistakes);
}

fn read_provider((key, mut provider): (Option<&str>, Fields<'_>), stated: &mut Stated, mistakes: &mut Vec<Mistake>) {
    let Some(elsewhere) = provider.word("pricing_provider_id", &LISTS, mistakes) else { return };
    let name = match key {
        Some(key) => Text::new(key),
        None => ["id", "name", "key"].into_iter().find_map(|field| provider.text(field, mistakes)),
    };
    match name {
        // Its own list is where it looks first anyway.
        Some(name) if &*name == elsewhere => {}
        Some(name) => stated.lists.push(List { pricing_provider_id: Text::new(elsewhere), ..List::empty(name) }),
        None => provider.wrong(provider.line, "id", "missing".to_owned(), mistakes),
    }
}

/// Routes stand below their model or by themselves; a model that has only one may be it.
fn read_routes(fields: &mut Fields<'_>, stated: &mut Stated, mistakes: &mut Vec<Mistake>) {
    for section in ["models", "routes"] {
        for (_, mut entry) in entries(fields, section, mistakes) {
            read_override(&mut entry, stated, mistakes);
            read_routes(&mut entry, stated, mistakes);
        }
    }
}

fn read_override(route: &mut Fields<'_>, stated: &mut Stated, mistakes: &mut Vec<Mistake>) {
    let Some(mut pricing) = route.inside("pricing_override", mistakes) else { return };
    let provider = route.required_text("provider", mistakes);
    let model = route.required_text("upstream_model", mistakes);
    let mistakes_before = mistakes.len();
    let rates = pricing.rates_spelled(OCEANS, Literals::Quoted, mistakes);
    for (key, meter, _) in OCEANS.iter().filter(|(_, meter, _)| matches!(meter, Meter::Input | Meter::Output)) {
        if rates.get(*meter).is_none() && mistakes.len() == mistakes_before {
            pricing.wrong(pricing.line, key, "missing; Oceans takes input and output or neither".to_owned(), mistakes);
        }
    }
    let (Some(provider), Some(model)) = (provider, model) else { return };
    stated.contract(provider, contract(model, rates, "Oceans pricing_override"), &pricing, mistakes);
}

/// The maps of a section, which is a list or a map by name.
fn entries<'a>(fields: &mut Fields<'a>, name: &str, mistakes: &mut Vec<Mistake>) -> Vec<(Option<&'a str>, Fields<'a>)> {
    let Some((key, section)) = fields.take(name) else { return Vec::new() };
    let at = fields.path(name);
    let mut entry = |key: Option<&'a str>, node: &'a Node| {
        let at = key.map_or_else(|| at.clone(), |key| format!("{at}.{key}"));
        Some((key, Fields::of(node, &at, mistakes)?))
    };
    match &section.value {
        Value::List(nodes) => nodes.iter().filter_map(|node| entry(None, node)).collect(),
        Value::Map(pairs) => pairs.iter().filter_map(|(key, node)| entry(Some(&key.name), node)).collect(),
        Value::Scalar { .. } => {
            fields.wrong(key.line, name, format!("expected a list, found {}", section.kind()), mistakes);
            Vec::new()
        }
    }
}
