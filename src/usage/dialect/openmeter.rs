//! OpenMeter's events: CloudEvents whose `data` is whatever the sender meters. Three kinds are understood. A native event in
//! `data` is read as one. Totals of a call (`prompt_tokens`, `input_tokens`, ...) are what LiteLLM's exporter sends; its `cost` is
//! LiteLLM's own sum, so it is claimed. And `tokens` with a `type` is one kind of a call's tokens, an event for each. What is
//! understood as none of them, or of an unknown model, is held: it may be spend.
//!
//! The name of an event is its source with its id, as CloudEvents has it; the subject is the user.

use super::labels::{self, Labels};
use super::native::{self, Envelope};
use super::{Context, Dialect, Told, makers, names, unknown};
use crate::money::Currency;
use crate::usage::reading::{Object, Rejected, kind, string};
use crate::usage::shape::{self, Shape};
use crate::usage::{Claimed, Meter, Owner, Quantities, Text, UNKNOWN, Usage};
use serde_json::value::RawValue;
use std::borrow::Cow;

const DIALECT: Dialect = Dialect::Openmeter;

pub fn read(json: &str, context: &Context) -> Result<Told, Rejected> {
    let mut envelope = Object::parse(json, "")?;
    let id = envelope.required_text("id")?;
    let source = envelope.required_text("source")?;
    let occurred_at = envelope.moment("time", context.received_at)?;
    let data: Cow<'_, str> = match envelope.take("data") {
        // Some senders put their JSON into a text.
        Some(data) if kind(data.get()) == "a string" => string(data).unwrap_or_default(),
        Some(data) => Cow::Borrowed(data.get()),
        None => Cow::Borrowed("{}"),
    };
    let mut event_data = Object::parse(&data, "data")?;
    if event_data.has("usage") && event_data.has("provider") && event_data.has("model") {
        let envelope = Envelope { dialect: DIALECT, id: Some(id), source: Some(source), occurred_at };
        let event = native::read_in(&data, context, envelope);
        return event.map(Told::event).map_err(|e| Rejected { field: format!("data.{}", e.field), ..e });
    }

    let mut labels = Labels::default();
    let (provider, model) = sold_by(&mut event_data, &mut labels);
    let mut event = context.event(DIALECT, id, occurred_at, provider, model);
    event.source = source;
    let cost = event_data.amount("cost").ok().flatten();
    event.claimed = cost.map(|(amount, _)| Claimed { amount, currency: Currency::USD });
    event.usage = read_usage(&data, &mut event_data)?;
    event.provider_request_id = event_data.loose("response_id").or(event_data.loose("provider_request_id"));
    event.session = event_data.loose("session").or(event_data.loose("session_id"));
    event.owner = Owner {
        user: envelope.loose("subject"),
        team: event_data.loose("team"),
        project: event_data.loose("project"),
        key: event_data.loose("key"),
        app: event_data.loose("app"),
        agent: event_data.loose("agent"),
        environment: event_data.loose("environment"),
    };
    labels.add("event_type", envelope.loose("type"));
    // Texts are labels; of the numbers those with tokens in their names were counted.
    let is_text = |value: &RawValue| matches!(kind(value.get()), "a string" | "true or false");
    let (texts, others): (Vec<_>, Vec<_>) = event_data.rest().into_iter().partition(|(_, value)| is_text(value));
    for (name, value) in texts.iter().filter(|(name, _)| !name.contains("tokens")) {
        labels.add(name, labels::plain(value).filter(|value| value.len() <= 256));
    }
    event.labels = labels.into_sorted();
    let others: Vec<_> = others.into_iter().filter(|(name, _)| !name.contains("tokens")).collect();
    event.extra = unknown::fields(&[others, envelope.rest()].concat());
    Ok(Told::event(event))
}

/// LiteLLM writes the provider in front of the model, others beside it, and many not at all.
fn sold_by(data: &mut Object<'_>, labels: &mut Labels) -> (Text, Text) {
    let said = data.loose("provider").or(data.loose("custom_llm_provider"));
    let model = data.loose("model");
    let in_front = || model.as_deref().and_then(|model| model.split_once('/')).map(|(front, _)| front);
    let provider = said.as_deref().or_else(in_front).and_then(names::provider);
    let provider = makers::or_maker(provider, model.as_deref(), labels);
    let model = model.as_deref().and_then(|model| names::model(model, &provider)).unwrap_or(Text::known(UNKNOWN));
    (provider, model)
}

fn read_usage(json: &str, data: &mut Object<'_>) -> Result<Usage, Rejected> {
    if data.has("tokens") {
        let tokens = data.count("tokens")?.unwrap_or(0);
        let kind = data.loose("type");
        let meter = match kind.as_deref() {
            Some("input" | "prompt" | "system" | "user") => Meter::Input,
            Some("output" | "completion" | "assistant") => Meter::Output,
            Some("cached" | "cached_input" | "cache_read") => Meter::CacheRead,
            Some("cache_write" | "cache_creation") => Meter::CacheWrite,
            Some("reasoning") => Meter::Reasoning,
            kind => {
                let kind = kind.map_or("no type".to_owned(), |kind| format!("the type {kind}"));
                return Ok(shape::contradiction(format!("{tokens} tokens of {kind} have no meter"), json));
            }
        };
        return Ok(if tokens == 0 { Usage::Missing } else { Usage::Counted(Quantities::of(&[(meter, tokens)])) });
    }
    // `cost` beside the counts would make it OpenRouter's block, where it is the provider's word.
    let shape = match Shape::evident(data) {
        Some(Shape::Openrouter) if data.has("prompt_tokens") => Shape::OpenaiChat,
        Some(Shape::Openrouter) => Shape::OpenaiResponses,
        Some(shape) => shape,
        None => return Ok(Usage::Missing),
    };
    match shape.read(json, "data")?.usage {
        Usage::Counted(counts) if counts.is_empty() => Ok(Usage::Missing),
        usage => Ok(usage),
    }
}
