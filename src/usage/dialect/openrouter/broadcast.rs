//! A span that OpenRouter's Broadcast pushes for every generation. Only the root counts: attempts at single providers are
//! spans of their own with `:attempt-` in their ids. A trace id may be the caller's own and stand over many generations, so an
//! event is named by its generation. Counts include their sub-counts. What was charged is a reported amount; with the caller's
//! own key it is the fee alone, and the upstream's charge stands beside it.

use crate::money::Currency;
use crate::usage::dialect::labels::{self, Labels};
use crate::usage::dialect::otlp::{self, Counts};
use crate::usage::dialect::{Context, Dialect, Told, litellm, names};
use crate::usage::otlp::{Span, Value};
use crate::usage::reading::{self, Object, Problem, Rejected};
use crate::usage::{Outcome, Owner, Reported, Text, UNKNOWN, Usage};

const DIALECT: Dialect = Dialect::Openrouter;
/// What is told where the destination may see costs.
const GENERATION: &str = "trace.metadata.openrouter_generation.";
const ROUTING: &str = "trace.metadata.openrouter.";

/// Whether OpenRouter itself sent the span.
pub fn is_one(span: &Span<'_>) -> bool {
    span.resource().plain("service.name") == Some("openrouter")
        || span.attributes.under(GENERATION).next().is_some()
        || span.attributes.under(ROUTING).next().is_some()
}

pub fn read(span: &Span<'_>, context: &Context) -> Result<Told, Rejected> {
    let attributes = &span.attributes;
    let id = attributes.plain("gen_ai.response.id").unwrap_or_default();
    let is_generation = match attributes.plain("span.type") {
        Some(kind) => kind.eq_ignore_ascii_case("generation"),
        None => span.name == "LLM Generation",
    };
    if !is_generation || id.contains(":attempt-") {
        return Ok(Told::Nothing("a part of a generation; the span `LLM Generation` is all of it"));
    }
    if id.is_empty() {
        return Err(Rejected::new("gen_ai.response.id", Problem::Missing));
    }
    let id = reading::text("gen_ai.response.id", id)?;
    let provider = Text::known("openrouter");
    let named = |name| attributes.plain(name).and_then(|model| names::model(model, &provider));
    let requested = named("gen_ai.request.model");
    let model = named("gen_ai.response.model").or_else(|| requested.clone()).unwrap_or(Text::known(UNKNOWN));

    let of_generation = |name: &str| attributes.get(&format!("{GENERATION}{name}"));
    let of_routing = |name: &str| attributes.plain(&format!("{ROUTING}{name}"));
    let mut event = context.event(DIALECT, id.clone(), span.started(context.received_at)?, provider.clone(), model);
    event.provider_request_id = Some(id);
    event.product.requested_model = requested.filter(|requested| *requested != event.product.model);
    event.product.served_by = of_routing("provider_name").or_else(|| of_routing("provider_slug")).and_then(labels::loose);
    let tier = of_generation("service_tier").or(attributes.get("gen_ai.response.service_tier")).and_then(Value::plain);
    event.product.service_tier = tier.and_then(labels::loose).filter(litellm::is_a_tier);
    event.outcome = outcome_of(span);
    event.estimated = of_generation("usage_is_estimated").is_some_and(Value::is_true);
    event.reported = reported(span)?;
    event.usage = match counts_of(span).read()? {
        Some(Usage::Counted(counts)) if counts.is_empty() => Usage::Missing,
        // What was charged is known, however it was counted.
        Some(Usage::Contradictory { .. }) if event.reported.is_some() => Usage::Missing,
        Some(usage) => usage,
        None => Usage::Missing,
    };
    event.session = attributes.first_plain(&["session.id", "trace.metadata.session_id"]).and_then(labels::loose);

    let mut labels = Labels::default();
    for (name, value) in attributes.under("trace.metadata.") {
        let is_own = name.starts_with("openrouter_generation.") || name.starts_with("openrouter.");
        if !is_own {
            labels.add(name, value.plain());
        }
    }
    labels.add("trace", attributes.plain("trace.name"));
    labels.add("creator_user_id", of_routing("creator_user_id"));
    event.labels = labels.into_sorted();
    event.extra = otlp::unread(span);
    let external_user = || of_generation("external_user").and_then(Value::plain);
    let app = ["app.title", "trace.metadata.openrouter.app_title", "http_referer", "HTTP-Referer"];
    let app = of_generation("app.title").and_then(Value::plain).or_else(|| attributes.first_plain(&app));
    let of_labels = otlp::owner_of(span);
    event.owner = Owner {
        user: attributes.plain("user.id").or_else(external_user).and_then(labels::loose),
        key: of_labels.key.or_else(|| of_routing("api_key_name").and_then(labels::loose)),
        // The service that sends is OpenRouter; the program is the one it names.
        app: app.and_then(labels::loose),
        ..of_labels
    };
    Ok(Told::event(event))
}

/// A generation that was broken off has no reason for its end.
fn outcome_of(span: &Span<'_>) -> Outcome {
    let finished = ["gen_ai.response.finish_reason", "gen_ai.response.finish_reasons"];
    if span.is_error || span.attributes.plain("gen_ai.response.finish_reason") == Some("error") {
        Outcome::Failed
    } else if span.attributes.plain("gen_ai.operation.name") == Some("chat") && !span.attributes.has_any(&finished) {
        Outcome::Cancelled
    } else {
        Outcome::Succeeded
    }
}

fn counts_of(span: &Span<'_>) -> Counts {
    let attributes = &span.attributes;
    let literal = |names: &[&str]| attributes.first(names).and_then(Value::literal);
    let (short, long) = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens");
    let by_ttl = |name| nested(span, "cache_creation", name);
    let whole = |literal: Option<String>| literal.and_then(|literal| literal.parse::<u64>().ok());
    let written = attributes.get(&format!("{GENERATION}cache_write_tokens")).and_then(Value::literal);
    let parts = whole(by_ttl(short)).zip(whole(by_ttl(long)));
    Counts {
        input: literal(&["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"]),
        output: literal(&["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"]),
        total: literal(&["gen_ai.usage.total_tokens"]),
        cache_read: literal(&["gen_ai.usage.input_tokens.cached", "gen_ai.usage.cache_read.input_tokens"]),
        cache_write: written.or_else(|| parts.map(|(short, long)| short.saturating_add(long).to_string())),
        cache_write_1h: by_ttl(long),
        reasoning: literal(&["gen_ai.usage.output_tokens.reasoning", "gen_ai.usage.reasoning.output_tokens"]),
        searches: nested(span, "native_server_tool_use", "web_search_requests"),
        ..Counts::default()
    }
}

/// A count inside another attribute, however that is written: by a longer name, as a map, or as JSON in a text.
fn nested(span: &Span<'_>, outer: &str, inner: &str) -> Option<String> {
    let outer = format!("{GENERATION}{outer}");
    if let Some(flat) = span.attributes.get(&format!("{outer}.{inner}")) {
        return flat.literal();
    }
    match span.attributes.get(&outer)? {
        Value::Text(json) => Object::parse(json, "").ok()?.take(inner).map(|value| value.get().to_owned()),
        map => map.entries()?.get(inner)?.literal(),
    }
}

fn reported(span: &Span<'_>) -> Result<Option<Reported>, Rejected> {
    let of_generation = |name: &str| span.attributes.plain(&format!("{GENERATION}{name}"));
    let byok = span.attributes.get(&format!("{GENERATION}is_byok")).is_some_and(Value::is_true);
    let total = span.attributes.plain("gen_ai.usage.total_cost");
    let charged = if byok { of_generation("usage").or(total) } else { total.or_else(|| of_generation("usage")) };
    let money = |name: &str, text: &str| match crate::money::Amount::parse_rounded(text) {
        Ok((amount, _)) if amount.is_negative() => Err(Rejected::new(name, Problem::Negative(text.to_owned()))),
        Ok(amount) => Ok(amount),
        Err(e) => Err(Rejected::new(name, Problem::Money(e))),
    };
    let Some((amount, rounded)) = charged.map(|text| money("gen_ai.usage.total_cost", text)).transpose()? else {
        return Ok(None);
    };
    let upstream = of_generation("byok_usage_inference").filter(|_| byok);
    let upstream = upstream.map(|text| money("byok_usage_inference", text)).transpose()?;
    Ok(Some(Reported {
        amount,
        currency: Currency::USD,
        byok,
        upstream_amount: upstream.map(|(amount, _)| amount),
        rounded: rounded || upstream.is_some_and(|(_, rounded)| rounded),
    }))
}
