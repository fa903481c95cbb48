//! Events of PromptKit's runtime, as it emits and as it stores them (`{"seq":..,"event":{..}}`). Only completed and failed calls
//! to a provider are usage; a pipeline's totals and a message's cost say the same money again. `InputTokens` is without the
//! cache and `OutputTokens` without reasoning. Cache writes and reasoning are lost unless a `CostInfo` with its
//! `quantities` comes along; their money is in `Cost`, which PromptKit computed and which is a claim. Events have no id of their own.

use super::labels::Labels;
use super::{Context, Dialect, Told, names, unknown};
use crate::money::Currency;
use crate::time::Instant;
use crate::usage::reading::{self, Object, Problem, Rejected, kind};
use crate::usage::{Claimed, Meter, Outcome, Owner, Quantities, Text, Usage, shape};
use serde_json::value::RawValue;

const DIALECT: Dialect = Dialect::Promptkit;

pub fn read(json: &str, context: &Context) -> Result<Told, Rejected> {
    let mut envelope = Object::parse(json, "")?;
    let stored_as = envelope.count("seq")?;
    if let Some(event) = envelope.take("event") {
        envelope = Object::parse(event.get(), "event")?;
    }
    let outcome = match &*envelope.required_text("type")? {
        "provider.call.completed" => Outcome::Succeeded,
        "provider.call.failed" => Outcome::Failed,
        "provider.call.started" => return Ok(Told::Nothing("a call that begins; the event of its end follows")),
        _ => return Ok(Told::Nothing("not the end of a call to a provider")),
    };
    let mut data = envelope.object("data", "data")?.ok_or_else(|| envelope.wrong("data", Problem::Missing))?;
    let occurred_at = envelope.moment("timestamp", context.received_at)?;
    let sequence = envelope.count("sequence")?.or(stored_as);
    let session = envelope.loose("session_id");
    let execution = envelope.loose("execution_id").or(envelope.loose("run_id"));
    let scope = session.clone().or(execution.clone()).ok_or_else(|| envelope.wrong("session_id", Problem::Missing))?;
    let id = id(&scope, data.text("CallID")?, sequence, occurred_at)?;

    let (provider, model) = (data.required_text("Provider")?, data.required_text("Model")?);
    let provider = names::begins(&provider).unwrap_or(provider);
    let model = names::model(&model, &provider).unwrap_or(model);
    let mut event = context.event(DIALECT, id, occurred_at, provider, model);
    event.outcome = outcome;

    let info = ["CostInfo", "Cost"].into_iter().find(|name| data.has(name)).and_then(|name| data.take(name));
    let (cost, counted) = match info {
        Some(info) if kind(info.get()) == "an object" => read_cost_info(info)?,
        Some(cost) => (amount(cost), None),
        None => (None, None),
    };
    let mut count = |name| data.count(name).map(Option::unwrap_or_default);
    let of_call = [
        (Meter::Input, count("InputTokens")?),
        (Meter::CacheRead, count("CachedTokens")?),
        (Meter::Output, count("OutputTokens")?),
    ];
    event.usage = match counted {
        Some(usage) => usage,
        None => Usage::Counted(Quantities::of(&of_call)),
    };
    if event.quantities().is_some_and(Quantities::is_empty) {
        event.usage = Usage::Missing;
    }
    event.claimed = cost;

    let mut labels = Labels::default();
    labels.add("source", data.loose("Source"));
    labels.add("execution_id", execution);
    labels.add("conversation_id", envelope.loose("conversation_id"));
    let mut theirs = data.inner("Labels");
    event.provider_request_id = theirs.as_mut().and_then(|labels| labels.loose("provider_request_id"));
    labels.add_all("", theirs);
    event.labels = labels.into_sorted();
    event.owner = Owner { user: envelope.loose("user_id"), ..Owner::default() };
    event.session = session;
    // Neither how long it took nor what went wrong is about money, and an error may quote what people wrote.
    data.take("Duration");
    data.take("Error");
    event.extra = unknown::fields(&data.rest());
    Ok(Told::event(event))
}

/// `<session>/<call>` where the runtime names its calls, `<session>/<sequence>@<instant>` where it only counts its events; the
/// execution stands in for a missing session. The instant is in there because the count begins anew with the process.
fn id(scope: &str, call: Option<Text>, sequence: Option<u64>, at: Option<Instant>) -> Result<Text, Rejected> {
    let id = match (call, sequence, at) {
        (Some(call), ..) => format!("{scope}/{call}"),
        (None, Some(sequence), Some(at)) => format!("{scope}/{sequence}@{at}"),
        (None, Some(_), None) => return Err(Rejected::new("timestamp", Problem::Missing)),
        (None, None, _) => return Err(Rejected::new("sequence", Problem::Missing)),
    };
    reading::text("session_id", &id)
}

/// A `CostInfo`: the claim, and the counts where it has them. Its `quantities` by unit are disjoint and lose nothing.
fn read_cost_info(info: &RawValue) -> Result<(Option<Claimed>, Option<Usage>), Rejected> {
    let mut fields = Object::parse(info.get(), "CostInfo")?;
    let cost = fields.take("total_cost_usd").and_then(amount);
    if let Some(quantities) = fields.object("quantities", "quantities")?
        && let Some(usage) = by_unit(quantities, info.get())?
    {
        return Ok((cost, Some(usage)));
    }
    let mut count = |name| fields.count(name).map(Option::unwrap_or_default);
    let counts = Quantities::of(&[
        (Meter::Input, count("input_tokens")?),
        (Meter::CacheRead, count("cached_tokens")?),
        (Meter::Output, count("output_tokens")?),
    ]);
    Ok((cost, Some(Usage::Counted(counts)).filter(|_| !counts.is_empty())))
}

/// The runtime's units, and the meters that count the same; its prices are quoted for them too.
pub const UNITS: &[(&str, Meter)] = &[
    ("input_token", Meter::Input),
    ("output_token", Meter::Output),
    ("cache_read_token", Meter::CacheRead),
    ("cache_write_token", Meter::CacheWrite),
    ("reasoning_token", Meter::Reasoning),
    ("audio_input_token", Meter::AudioInput),
    ("audio_output_token", Meter::AudioOutput),
    ("character", Meter::Character),
];

/// Nothing where nothing is counted: then the event's own counts are all there is.
fn by_unit(mut quantities: Object<'_>, info: &str) -> Result<Option<Usage>, Rejected> {
    let mut counts = Quantities::NONE;
    for &(unit, meter) in UNITS {
        counts.set(meter, quantities.count(unit)?.unwrap_or(0));
    }
    // Of a unit that nobody knows, none were used, or it is a contradiction.
    let is_none = |value: &RawValue| value.get() == "null" || reading::count(value) == Ok(0);
    let strange = quantities.rest().into_iter().find(|(_, value)| !is_none(value));
    Ok(match strange {
        None => Some(Usage::Counted(counts)).filter(|_| !counts.is_empty()),
        Some((unit, _)) => {
            Some(shape::contradiction(format!("the unit {} has no meter", unit.chars().take(60).collect::<String>()), info))
        }
    })
}

fn amount(value: &RawValue) -> Option<Claimed> {
    let json = format!(r#"{{"cost":{}}}"#, value.get());
    let (amount, _) = Object::parse(&json, "").ok()?.amount("cost").ok()??;
    Some(Claimed { amount, currency: Currency::USD })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::UsageEvent;

    fn told(json: &str) -> Result<Told, Rejected> {
        let received_at = Instant::parse("2026-09-03T12:00:00Z").unwrap();
        read(json, &Context { received_at, source: None, strict: false })
    }

    fn event(json: &str) -> UsageEvent {
        told(json).unwrap().into_event().unwrap()
    }

    const COMPLETED: &str = r#"{"type":"provider.call.completed","timestamp":"2026-09-02T10:11:12.5Z","sequence":17,
        "execution_id":"x-1","session_id":"s-1","conversation_id":"c-1","user_id":"ann","data_type":"*events.ProviderCallCompletedData",
        "data":{"Provider":"claude","Model":"claude-sonnet-4-5","Duration":2110000000,"InputTokens":1200,"OutputTokens":340,
        "CachedTokens":800,"Cost":0.00894,"FinishReason":"stop","ToolCallCount":0,"Source":"judge","Labels":{"run":"r9"}}}"#;

    #[test]
    fn a_completed_call_is_read_in_the_runtimes_own_names() {
        let event = event(COMPLETED);
        assert_eq!(&*event.id, "s-1/17@2026-09-02T10:11:12.500Z");
        assert_eq!((&*event.product.provider, &*event.product.model), ("anthropic", "claude-sonnet-4-5"));
        let counts = [(Meter::Input, 1200), (Meter::CacheRead, 800), (Meter::Output, 340)];
        assert_eq!(event.usage, Usage::Counted(Quantities::of(&counts)));
        assert_eq!(event.claimed.unwrap().amount.to_string(), "0.00894");
        assert_eq!((event.owner.user.as_deref(), event.session.as_deref()), (Some("ann"), Some("s-1")));
        let labels: Vec<_> = event.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels, ["conversation_id=c-1", "execution_id=x-1", "run=r9", "source=judge"]);
        assert_eq!(event.extra.as_deref(), Some(r#"{"FinishReason":"stop","ToolCallCount":0}"#));
    }

    #[test]
    fn what_is_stored_is_the_event_in_a_wrapper() {
        let stored = format!(r#"{{"seq":40,"parent_id":39,"event":{COMPLETED}}}"#);
        assert_eq!(event(&stored).content_hash(), event(COMPLETED).content_hash());
        assert_eq!(event(&stored).id, event(COMPLETED).id);
        let older = stored.replace("\"sequence\":17,", "").replace("execution_id", "run_id");
        assert_eq!(&*event(&older).id, "s-1/40@2026-09-02T10:11:12.500Z");
    }

    #[test]
    fn an_id_is_made_of_what_there_is() {
        let named = COMPLETED.replace("\"Source\"", "\"CallID\":\"call-9\",\"Source\"");
        assert_eq!(&*event(&named).id, "s-1/call-9");
        let sessionless = COMPLETED.replace("\"session_id\":\"s-1\",", "");
        assert_eq!(&*event(&sessionless).id, "x-1/17@2026-09-02T10:11:12.500Z");
        let traced = event(&COMPLETED.replace("\"run\":\"r9\"", "\"provider_request_id\":\"gen-1\""));
        assert_eq!(traced.provider_request_id.as_deref(), Some("gen-1"));
        let nameless = COMPLETED.replace("\"sequence\":17,", "");
        assert_eq!(told(&nameless).unwrap_err().to_string(), "sequence: missing");
    }

    #[test]
    fn only_the_end_of_a_call_is_usage() {
        for kind in ["provider.call.started", "pipeline.completed", "message.created", "tool.call.completed"] {
            assert!(matches!(told(&COMPLETED.replace("provider.call.completed", kind)), Ok(Told::Nothing(_))), "{kind}");
        }
        let failed = r#"{"type":"provider.call.failed","timestamp":"2026-09-02T10:11:12Z","sequence":18,"session_id":"s-1",
            "data":{"Provider":"openai","Model":"gpt-4o","Error":{},"Duration":5}}"#;
        let failed = event(failed);
        assert_eq!((failed.outcome, failed.usage, failed.claimed), (Outcome::Failed, Usage::Missing, None));
    }

    #[test]
    fn a_cost_info_brings_what_the_event_loses() {
        let info = r#"{"total_cost_usd":0.0113,"input_cost_usd":0.0036,"quantities":{"input_token":1200,"output_token":300,
            "cache_read_token":800,"cache_write_token":500.0,"reasoning_token":40}}"#;
        let with = |info: &str| event(&COMPLETED.replace("\"Cost\":0.00894", &format!("\"Cost\":{info}")));
        let counts = [
            (Meter::Input, 1200),
            (Meter::CacheRead, 800),
            (Meter::CacheWrite, 500),
            (Meter::Output, 300),
            (Meter::Reasoning, 40),
        ];
        assert_eq!(with(info).usage, Usage::Counted(Quantities::of(&counts)));
        assert_eq!(with(info).claimed.unwrap().amount.to_string(), "0.0113");
        let strange = info.replace("reasoning_token", "second");
        assert!(matches!(with(&strange).usage, Usage::Contradictory { detail, .. } if detail == "the unit second has no meter"));
        let of_none = info.replace("\"reasoning_token\"", "\"second\":0,\"reasoning_token\"");
        assert_eq!(with(&of_none).usage, Usage::Counted(Quantities::of(&counts)));
        let of_event = [(Meter::Input, 1200), (Meter::CacheRead, 800), (Meter::Output, 340)];
        for empty in [r#"{"total_cost_usd":0.1,"quantities":{}}"#, r#"{"total_cost_usd":0.1,"quantities":{"second":0}}"#] {
            assert_eq!(with(empty).usage, Usage::Counted(Quantities::of(&of_event)), "{empty}");
        }
        let plain = r#"{"total_cost_usd":0.1,"input_tokens":7,"output_tokens":3,"cached_tokens":2}"#;
        let counts = [(Meter::Input, 7), (Meter::CacheRead, 2), (Meter::Output, 3)];
        assert_eq!(with(plain).usage, Usage::Counted(Quantities::of(&counts)));
    }
}
