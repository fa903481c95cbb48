//! models.dev's `api.json` as lists of ours, one per provider. Prices are JSON numbers in USD per million tokens and are
//! taken over digit by digit. It states no dates, so neither do the cards. A price that is not there is one that nobody
//! wrote down: the lists are `absent: unknown`, and a row of zeros is not taken as free. `context_over_200k` repeats a tier
//! under a name that is often wrong about its size; the tiers are imported and it is not.

use crate::catalog::source::{Imported, Notes, note_on_card, quoted, row, within_bounds};
use crate::catalog::{Card, Conditional, List, Model, Origin, Rates};
use crate::usage::reading::{self, Object, Problem, Rejected};
use crate::usage::{Meter, Text};
use serde_json::value::RawValue;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

const KEYS: [(&str, Meter); 7] = [
    ("input", Meter::Input),
    ("output", Meter::Output),
    ("cache_read", Meter::CacheRead),
    ("cache_write", Meter::CacheWrite),
    ("reasoning", Meter::Reasoning),
    ("input_audio", Meter::AudioInput),
    ("output_audio", Meter::AudioOutput),
];

const PER: u64 = 1_000_000;

/// Providers that our catalogs name otherwise.
const PROVIDERS: [(&str, &str); 3] =
    [("amazon-bedrock", "bedrock"), ("google-vertex", "vertex"), ("google-vertex-anthropic", "vertex")];

/// Models by provider and name, as the lists will have them.
type Lists = BTreeMap<Text, BTreeMap<Text, Model>>;

/// Reads the whole file as it was served.
pub fn read(json: &str) -> Result<Imported, Rejected> {
    let mut notes = Notes::default();
    let mut lists = Lists::new();
    for (id, provider) in Object::parse(json, "")?.rest() {
        if let Err(rejected) = read_provider(&id, provider, &mut lists, &mut notes) {
            notes.left_out(&rejected, &row(&id, "*"));
        }
    }
    lists.retain(|_, models| !models.is_empty());
    if lists.is_empty() {
        return Err(Rejected::new("models", Problem::Empty));
    }
    let list = |(provider, models): (Text, BTreeMap<Text, Model>)| List {
        origin: Origin {
            source: Some(Text::known("https://models.dev/api.json")),
            checked: None,
            note: Some(Text::known("per million tokens in USD, as listed; without dates")),
            remark: None,
        },
        models: models.into_values().collect(),
        ..List::empty(provider)
    };
    Ok(Imported { lists: lists.into_iter().map(list).collect(), notes: notes.into_lines() })
}

fn read_provider(id: &str, json: &RawValue, lists: &mut Lists, notes: &mut Notes) -> Result<(), Rejected> {
    let mut provider = Object::parse(json.get(), "provider")?;
    let models = provider.object("models", "provider.models")?.ok_or_else(|| provider.wrong("models", Problem::Missing))?;
    let ours = PROVIDERS.iter().find(|(theirs, _)| *theirs == id).map_or(id, |(_, ours)| ours);
    let list = lists.entry(reading::text("provider", ours)?).or_default();
    for (name, json) in models.rest() {
        let row = row(id, &name);
        match read_model(&name, json, &row, notes) {
            Err(rejected) => notes.left_out(&rejected, &row),
            Ok(model) if model.cards.is_empty() => notes.add("no price", &row),
            Ok(model) => match list.entry(model.name.clone()) {
                Entry::Vacant(place) => {
                    place.insert(model);
                }
                Entry::Occupied(_) => notes.add("a second row of one model, left out", &row),
            },
        }
    }
    Ok(())
}

fn read_model(name: &str, json: &RawValue, row: &Text, notes: &mut Notes) -> Result<Model, Rejected> {
    let mut model = Object::parse(json.get(), "model")?;
    let mut cards = Vec::new();
    if let Some(cost) = model.object("cost", "model.cost")? {
        cards.extend(read_cost(cost, row, notes)?);
    }
    // A mere `experimental: true` is no price.
    if let Some(json) = model.take("experimental").filter(|json| reading::kind(json.get()) == "an object") {
        let mut experimental = Object::parse(json.get(), "model.experimental")?;
        if let Some(modes) = experimental.object("modes", "model.experimental.modes")? {
            read_modes(modes, &mut cards, row, notes)?;
        }
        for key in experimental.names() {
            notes.add(&format!("experimental.{key}"), row);
        }
    }
    if cards.first().is_some_and(|card| card.service_tier.is_some()) {
        notes.add("no price but that of a mode", row);
    }
    Ok(Model { name: reading::text("model", name)?, aliases: Vec::new(), delisted: None, cards })
}

/// A card of what a model costs, if anything says so.
fn read_cost(mut cost: Object<'_>, row: &Text, notes: &mut Notes) -> Result<Option<Card>, Rejected> {
    let mut rounded = BTreeSet::new();
    let rates = read_rates(&mut cost, &mut rounded)?;
    let tiers = cost.array("tiers")?.unwrap_or_default();
    if cost.take("context_over_200k").is_some() && tiers.is_empty() {
        notes.add("context_over_200k without tiers", row);
    }
    let mut when = Vec::with_capacity(tiers.len());
    for tier in tiers {
        when.extend(read_tier(tier, &mut rounded, row, notes)?);
    }
    // The highest tier that a prompt reaches is the one that holds.
    when.sort_by_key(|tier| tier.prompt_tokens_over);
    for key in cost.names() {
        notes.add(key, row);
    }
    if rates.is_empty() {
        return Ok(None);
    }
    let origin = Origin { remark: note_on_card(&rounded, None), ..Origin::default() };
    within_bounds(Card { when, origin, ..Card::of(rates) }).map(Some)
}

fn read_rates(cost: &mut Object<'_>, rounded: &mut BTreeSet<&'static str>) -> Result<Rates, Rejected> {
    let mut rates = Vec::with_capacity(4);
    for (key, meter) in KEYS {
        let Some(value) = cost.take(key) else { continue };
        let (rate, was_rounded) = quoted(value, PER).map_err(|problem| cost.wrong(key, problem))?;
        if was_rounded {
            rounded.insert(key);
        }
        rates.push((meter, rate));
    }
    Ok(Rates::new(rates))
}

fn read_tier(
    json: &RawValue,
    rounded: &mut BTreeSet<&'static str>,
    row: &Text,
    notes: &mut Notes,
) -> Result<Option<Conditional>, Rejected> {
    let mut entry = Object::parse(json.get(), "model.cost.tiers")?;
    let mut tier = entry.object("tier", "model.cost.tiers.tier")?.ok_or_else(|| entry.wrong("tier", Problem::Missing))?;
    let kind = tier.required_text("type")?;
    if &*kind != "context" {
        notes.add(&format!("a tier of type {kind}"), row);
        return Ok(None);
    }
    let over = tier.count("size")?.ok_or_else(|| tier.wrong("size", Problem::Missing))?;
    let rates = read_rates(&mut entry, rounded)?;
    for key in entry.names() {
        notes.add(&format!("tiers.{key}"), row);
    }
    let conditional = Conditional { prompt_tokens_over: Some(over), rates, ..Conditional::default() };
    Ok((!conditional.rates.is_empty()).then_some(conditional))
}

/// A mode is a service tier. A provider that is asked for it in other words (`fast` is `service_tier: priority` at OpenAI)
/// answers in those words too, so they lead to the same rates.
fn read_modes(modes: Object<'_>, cards: &mut Vec<Card>, row: &Text, notes: &mut Notes) -> Result<(), Rejected> {
    for (name, json) in modes.rest() {
        let mut mode = Object::parse(json.get(), "model.experimental.modes")?;
        let mut tiers = vec![reading::text("mode", &name)?];
        if let Some(mut provider) = mode.object("provider", "model.experimental.modes.provider")? {
            let body = provider.object("body", "model.experimental.modes.provider.body")?;
            tiers.extend(body.map_or(Ok(None), |mut body| body.text("service_tier"))?);
        }
        let cost = mode.object("cost", "model.experimental.modes.cost")?;
        if let Some(card) = cost.map_or(Ok(None), |cost| read_cost(cost, row, notes))? {
            for tier in tiers {
                let card = Card { service_tier: Some(tier), ..card.clone() };
                match cards.iter().find(|other| other.is_same_kind(&card)) {
                    None => cards.push(card),
                    Some(same) if same.is_same_price(&card) => {}
                    Some(_) => notes.add(&format!("experimental.modes.{name} at another price than its tier"), row),
                }
            }
        }
        for key in mode.names() {
            notes.add(&format!("experimental.modes.{key}"), row);
        }
    }
    Ok(())
}
