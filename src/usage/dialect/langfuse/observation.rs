//! A span of Langfuse's own SDKs. Its type says what it is: a generation or an embedding is a call, and everything else (span,
//! agent, chain, tool, retriever, ...) stands around calls. Usage and cost are JSON in a text. Langfuse does not know
//! providers, only models; the provider is what the instrumentation under it says, or what the operator says once, or the
//! model's maker.

use super::details;
use crate::usage::dialect::labels::{self, Labels};
use crate::usage::dialect::{Context, Dialect, Told, makers, names, otlp};
use crate::usage::otlp::{Span, Value};
use crate::usage::reading::Rejected;
use crate::usage::{Outcome, UNKNOWN, Usage};

const DIALECT: Dialect = Dialect::Langfuse;
const TYPE: &str = "langfuse.observation.type";
const MODEL: &str = "langfuse.observation.model.name";
const USAGE: &str = "langfuse.observation.usage_details";
const COST: &str = "langfuse.observation.cost_details";

/// Whether Langfuse's SDK described it; other libraries' spans pass through it too, with a few of its attributes on them.
pub fn is_one(span: &Span<'_>) -> bool {
    span.attributes.has_any(&[TYPE, MODEL, USAGE])
}

pub fn read(span: &Span<'_>, context: &Context) -> Result<Told, Rejected> {
    let attributes = &span.attributes;
    match attributes.plain(TYPE) {
        Some("generation" | "embedding") => {}
        None if attributes.has_any(&[USAGE]) => {}
        _ => return Ok(Told::Nothing("an observation around generations; what was used is told by those")),
    }
    let mut event = otlp::event_of(span, context, DIALECT)?;
    let mut labels = Labels::default();
    let said = Some(event.product.provider.clone()).filter(|provider| &**provider != UNKNOWN);
    let model = attributes.plain(MODEL).or(Some(&*event.product.model));
    event.product.provider = makers::or_maker(said, model, &mut labels);
    if let Some(model) = attributes.plain(MODEL).and_then(|model| names::model(model, &event.product.provider)) {
        event.product.requested_model = event.product.requested_model.filter(|requested| *requested != model);
        event.product.model = model;
    }
    if attributes.plain("langfuse.observation.level") == Some("ERROR") && event.outcome == Outcome::Succeeded {
        event.outcome = Outcome::Failed;
    }
    let counted = match attributes.plain(USAGE) {
        Some(usage) => details::read_usage(usage)?,
        None => otlp::counts_of(span).read()?,
    };
    event.usage = counted.unwrap_or(Usage::Missing);
    otlp::settle(&mut event);
    event.claimed = attributes.plain(COST).and_then(details::read_cost);

    otlp::add_labels_under(span, "langfuse.trace.metadata.", &mut labels);
    for tag in attributes.get("langfuse.trace.tags").map(Value::texts).unwrap_or_default() {
        labels.add(format!("tag.{tag}"), Some("true"));
    }
    labels.add("trace", attributes.plain("langfuse.trace.name"));
    let release = || span.resource().plain("langfuse.release");
    labels.add("release", attributes.plain("langfuse.release").or_else(release).and_then(labels::loose));
    event.labels = labels.into_sorted();
    event.extra = otlp::unread(span);
    Ok(Told::event(event))
}
