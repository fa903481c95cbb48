//! Our own way to write a usage event, one JSON object. Everything optional may be absent or null; usage is disjoint
//! meters, or a provider's usage block with its shape named, or such a block whose keys leave no doubt.

use super::{Context, Dialect, unknown};
use crate::money::Currency;
use crate::time::Instant;
use crate::usage::reading::{self, Object, Problem, Rejected, string};
use crate::usage::shape::{Read, Shape};
use crate::usage::{Claimed, MAX_LABELS, Meter, Outcome, Owner, Product, Quantities, Reported, Text, Usage, UsageEvent};
use serde_json::value::RawValue;
use std::borrow::Cow;

pub fn read(json: &str, context: &Context) -> Result<UsageEvent, Rejected> {
    read_in(json, context, Envelope { dialect: Dialect::Native, id: None, source: None, occurred_at: None })
}

/// What an envelope around an event says already; the event's own fields win.
pub struct Envelope {
    pub dialect: Dialect,
    pub id: Option<Text>,
    pub source: Option<Text>,
    pub occurred_at: Option<Instant>,
}

pub fn read_in(json: &str, context: &Context, envelope: Envelope) -> Result<UsageEvent, Rejected> {
    let mut event = Object::parse(json, "")?;
    let id = match envelope.id.filter(|_| !event.has("id")) {
        Some(id) => id,
        None => event.required_text("id")?,
    };
    let source = event.text("source")?.or(envelope.source).or_else(|| context.source.clone());
    let source = source.ok_or_else(|| event.wrong("source", Problem::Missing))?;
    let occurred_at = event.instant("occurred_at", context.received_at)?.or(envelope.occurred_at);
    let provider = event.required_text("provider")?;
    let model = event.required_text("model")?;
    let outcome = event.word("outcome", &Outcome::ALL.map(|outcome| (outcome.name(), outcome)))?;
    let outcome = outcome.unwrap_or(Outcome::Succeeded);

    let read = match event.take("usage") {
        Some(usage) => read_usage(usage)?,
        // A call that nobody worked on used nothing; one that broke off may have used something that is not known yet.
        None if outcome.is_free() => Read::of(Usage::Counted(Quantities::NONE)),
        None if outcome != Outcome::Succeeded => Read::of(Usage::Missing),
        None => return Err(event.wrong("usage", Problem::Missing)),
    };
    let (reported, claimed) = match event.object("reported", "reported")? {
        Some(money) => read_reported(money)?,
        None => (None, None),
    };
    let calls = event.count("calls")?.unwrap_or(1);
    if calls == 0 {
        return Err(event.wrong("calls", Problem::NotACount("0".to_owned())));
    }

    let product = Product {
        provider,
        model,
        requested_model: event.text("requested_model")?,
        served_by: event.text("served_by")?,
        variant: event.text("variant")?.or(read.variant),
        service_tier: event.text("service_tier")?.or(read.service_tier),
        region: event.text("region")?.or(read.region),
    };
    let owner = Owner {
        user: event.text("user")?,
        team: event.text("team")?,
        project: event.text("project")?,
        key: event.text("key")?,
        app: event.text("app")?,
        agent: event.text("agent")?,
        environment: event.text("environment")?,
    };
    let estimated = event.flag("estimated")?.unwrap_or(false);
    let provider_request_id = event.text("provider_request_id")?;
    let session = event.text("session")?;
    let labels = event.object("labels", "labels")?.map(read_labels).transpose()?.unwrap_or_default();

    let mut unknown = event.inner("unknown").map(Object::rest).unwrap_or_default();
    let of_event = event.rest();
    if let Some((name, _)) = of_event.first().filter(|_| context.strict) {
        return Err(Rejected::new(name.chars().take(60).collect::<String>(), Problem::UnknownField));
    }
    unknown.extend(of_event);
    Ok(UsageEvent {
        id,
        source,
        dialect: envelope.dialect,
        occurred_at: occurred_at.unwrap_or(context.received_at),
        occurred_at_assumed: occurred_at.is_none(),
        product,
        owner,
        usage: read.usage,
        outcome,
        reported: reported.or(read.reported),
        claimed,
        calls,
        estimated,
        provider_request_id,
        session,
        labels,
        extra: unknown::fields(&unknown),
    })
}

/// Usage as disjoint meters, as a provider's block with its shape named, or as one whose keys leave no doubt.
pub(super) fn read_usage(usage: &RawValue) -> Result<Read, Rejected> {
    let mut block = Object::parse(usage.get(), "usage")?;
    if block.has("shape") {
        let shape = block.word("shape", &Shape::ALL)?.expect("it was there a line ago");
        let raw = block.take("raw").ok_or_else(|| block.wrong("raw", Problem::Missing))?;
        return shape.read(raw.get(), "usage.raw");
    }
    if let Some(shape) = Shape::evident(&block) {
        return shape.read(usage.get(), "usage");
    }

    let mut quantities = Quantities::NONE;
    for meter in Meter::ALL {
        if let Some(count) = block.count(meter.name())? {
            quantities.set(meter, count);
        }
    }
    if let Some(name) = block.names().next().map(str::to_owned) {
        let known = Meter::ALL.map(Meter::name).to_vec();
        return Err(Rejected::new("usage", Problem::UnknownWord { found: name.chars().take(60).collect(), known }));
    }
    Ok(Read::of(Usage::Counted(quantities)))
}

/// An amount is the provider's unless it says that a gateway computed it.
fn read_reported(mut money: Object<'_>) -> Result<(Option<Reported>, Option<Claimed>), Rejected> {
    let by_gateway = money.word("by", &[("provider", false), ("gateway", true)])?.unwrap_or(false);
    let (amount, rounded) = money.amount("amount")?.ok_or_else(|| money.wrong("amount", Problem::Missing))?;
    let currency = match money.text("currency")? {
        Some(code) => code.parse::<Currency>().map_err(|e| money.wrong("currency", Problem::Money(e)))?,
        None => Currency::USD,
    };
    let byok = money.flag("byok")?.unwrap_or(false);
    let upstream = money.amount("upstream_amount")?;
    if by_gateway {
        return Ok((None, Some(Claimed { amount, currency })));
    }
    let reported = Reported {
        amount,
        currency,
        byok,
        // Without the caller's own key the upstream's figure is the same money again.
        upstream_amount: upstream.filter(|_| byok).map(|(amount, _)| amount),
        rounded: rounded || upstream.is_some_and(|(_, rounded)| rounded),
    };
    Ok((Some(reported), None))
}

fn read_labels(labels: Object<'_>) -> Result<Vec<(Text, Text)>, Rejected> {
    let pairs = labels.rest();
    if pairs.len() > MAX_LABELS {
        return Err(Rejected::new("labels", Problem::TooManyOf(MAX_LABELS)));
    }
    let mut read = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let value = match reading::kind(value.get()) {
            "null" => continue,
            "a string" => string(value).unwrap_or_default(),
            "a number" | "true or false" => Cow::Borrowed(value.get()),
            found => {
                let field = format!("labels.{}", key.chars().take(60).collect::<String>());
                return Err(Rejected::new(field, Problem::WrongType { expected: "a text", found }));
            }
        };
        if !value.is_empty() {
            read.push((reading::text("labels", &key)?, reading::text(&format!("labels.{key}"), &value)?));
        }
    }
    read.sort();
    Ok(read)
}

/// An event as one would send it.
pub fn write(event: &UsageEvent) -> String {
    let mut fields: Vec<String> = Vec::new();
    let json = |text: &str| serde_json::to_string(text).expect("text is always JSON");
    let mut add = |name: &str, value: Option<String>| fields.extend(value.map(|value| format!("{}:{value}", json(name))));
    let text = |text: &str| Some(json(text));
    add("id", text(&event.id));
    add("source", text(&event.source));
    add("occurred_at", text(&event.occurred_at.to_string()));
    for (name, value) in event.product.dimensions() {
        add(name, value.and_then(|value| text(value)));
    }
    add(
        "usage",
        match &event.usage {
            Usage::Counted(quantities) => {
                let counts: Vec<_> =
                    quantities.present().map(|(meter, count)| format!("{}:{count}", json(meter.name()))).collect();
                Some(format!("{{{}}}", counts.join(",")))
            }
            Usage::Contradictory { raw, .. } if !raw.is_empty() => Some(raw.to_string()),
            Usage::Contradictory { .. } | Usage::Missing => None,
        },
    );
    let money = |by: &str, amount: String, currency: Currency, more: String| {
        format!("{{\"by\":\"{by}\",\"amount\":\"{amount}\",\"currency\":\"{currency}\"{more}}}")
    };
    add(
        "reported",
        match (&event.reported, event.claimed) {
            (Some(reported), _) => {
                let upstream =
                    reported.upstream_amount.map_or(String::new(), |amount| format!(",\"upstream_amount\":\"{amount}\""));
                let byok = if reported.byok { format!(",\"byok\":true{upstream}") } else { String::new() };
                Some(money("provider", reported.amount.to_string(), reported.currency, byok))
            }
            (None, Some(claimed)) => Some(money("gateway", claimed.amount.to_string(), claimed.currency, String::new())),
            (None, None) => None,
        },
    );
    add("calls", Some(event.calls.to_string()).filter(|_| event.calls != 1));
    add("estimated", Some("true".to_owned()).filter(|_| event.estimated));
    add("provider_request_id", event.provider_request_id.as_ref().and_then(|id| text(id)));
    for (name, value) in event.owner.dimensions() {
        add(name, value.and_then(|value| text(value)));
    }
    add("session", event.session.as_ref().and_then(|session| text(session)));
    let labels: Vec<_> = event.labels.iter().map(|(key, value)| format!("{}:{}", json(key), json(value))).collect();
    add("labels", Some(format!("{{{}}}", labels.join(","))).filter(|_| !labels.is_empty()));
    add("outcome", text(event.outcome.name()));
    add("unknown", event.extra.as_ref().map(|extra| extra.to_string()));
    format!("{{{}}}", fields.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::record::{Record, write_record};

    fn context() -> Context {
        Context { received_at: Instant::parse("2026-02-03T12:00:00Z").unwrap(), source: None, strict: false }
    }

    fn said(json: &str) -> String {
        read(json, &context()).unwrap_err().to_string()
    }

    const WHOLE: &str = r#"{"id":"req-1","source":"oceans-prod","occurred_at":"2026-02-03T10:00:00.123Z",
        "provider":"openrouter","model":"openai/gpt-4o-mini","requested_model":"fast","served_by":"Azure","service_tier":null,
        "usage":{"input":1000,"cache_read":8000,"output":700,"reasoning":0},
        "reported":{"by":"provider","amount":"0.00117","currency":"USD","byok":false,"upstream_amount":null},
        "calls":1,"estimated":false,"provider_request_id":"gen-1788000000-abc",
        "user":"u7","team":"search","project":"rag","key":"key-3","app":"ide","agent":"triage","environment":"prod",
        "session":"s-41","labels":{"feature":"answers","attempt":2},"outcome":"succeeded","region":"eu","new":{"a":1.50},"messages":["secret"]}"#;

    #[test]
    fn every_field_of_the_native_event_is_read() {
        let event = read(WHOLE, &context()).unwrap();
        assert_eq!(event.occurred_at.to_string(), "2026-02-03T10:00:00.123Z");
        assert_eq!(
            event.quantities().unwrap().present().collect::<Vec<_>>(),
            [(Meter::Input, 1000), (Meter::CacheRead, 8000), (Meter::Output, 700)]
        );
        assert_eq!(event.reported.as_ref().unwrap().amount.to_string(), "0.00117");
        assert_eq!(event.labels.len(), 2);
        assert_eq!(event.extra.as_deref(), Some(r#"{"new":{"a":1.50}}"#));
    }

    #[test]
    fn what_is_stored_reads_back_the_same() {
        use crate::id::{NameId, OwnerId, ProductId};
        let event = read(WHOLE, &context()).unwrap();
        let mut bytes = crate::bytes::Writer::new();
        write_record(&event, NameId(1), ProductId(2), OwnerId(3), &mut bytes);
        let record = Record::read(bytes.as_slice()).unwrap();
        assert_eq!((record.source, record.product, record.owner), (NameId(1), ProductId(2), OwnerId(3)));
        let back = record.into_event(event.id.clone(), event.source.clone(), event.product.clone(), event.owner.clone());
        assert_eq!(back, event);
    }

    #[test]
    fn the_order_of_keys_nulls_and_unknown_fields_change_no_meaning() {
        let other = r#"{"labels":{"attempt":"2","feature":"answers"},"region":"eu","session":"s-41","outcome":null,"variant":null,
            "environment":"prod","agent":"triage","app":"ide","key":"key-3","project":"rag","team":"search","user":"u7",
            "provider_request_id":"gen-1788000000-abc","reported":{"amount":1.17e-3},"other":"noise",
            "usage":{"output":700.0,"cache_read":"8000","input":1000},"served_by":"Azure","requested_model":"fast",
            "model":"openai/gpt-4o-mini","provider":"openrouter","occurred_at":"2026-02-03T11:00:00.123+01:00","source":"oceans-prod","id":"req-1"}"#;
        let (one, two) = (read(WHOLE, &context()).unwrap(), read(other, &context()).unwrap());
        assert_eq!(one.content_hash(), two.content_hash());
        assert_eq!(one.differences(&two), Vec::<&str>::new());
    }

    #[test]
    fn what_is_written_means_what_was_read() {
        let event = read(WHOLE, &context()).unwrap();
        let again = read(&write(&event), &context()).unwrap();
        assert_eq!(event.content_hash(), again.content_hash());
        let own_key = WHOLE.replace("\"byok\":false,\"upstream_amount\":null", "\"byok\":true,\"upstream_amount\":\"0.5\"");
        let event = read(&own_key, &context()).unwrap();
        assert_eq!(read(&write(&event), &context()).unwrap().reported, event.reported);
    }

    #[test]
    fn a_difference_is_named() {
        let other = WHOLE.replace("\"output\":700", "\"output\":7").replace("\"u7\"", "\"u8\"");
        let (one, two) = (read(WHOLE, &context()).unwrap(), read(&other, &context()).unwrap());
        assert_ne!(one.content_hash(), two.content_hash());
        assert_eq!(one.differences(&two), ["output", "user"]);
    }

    #[test]
    fn a_missing_time_is_the_time_of_receipt_and_no_part_of_the_meaning() {
        let event = r#"{"id":"a","source":"s","provider":"p","model":"m","usage":{"input":1}}"#;
        let later = Context { received_at: Instant::parse("2026-02-03T13:00:00Z").unwrap(), ..context() };
        let (one, two) = (read(event, &context()).unwrap(), read(event, &later).unwrap());
        assert!(one.occurred_at_assumed && one.occurred_at != two.occurred_at);
        assert_eq!(one.content_hash(), two.content_hash());
        assert!(one.differences(&two).is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(said("[]"), "event: expected an object, found an array");
        assert_eq!(said(r#"{"id":"a"}"#), "source: missing");
        assert_eq!(said(r#"{"source":"s"}"#), "id: missing");
        assert_eq!(said(r#"{"id":"","source":"s"}"#), "id: empty");
        let with = |fields: &str| format!(r#"{{"id":"a","source":"s","provider":"p","model":"m",{fields}}}"#);
        assert_eq!(said(&with(r#""x":1"#)), "usage: missing");
        assert_eq!(said(&with(r#""usage":{"input":-1}"#)), "usage.input: -1 is negative; it cannot be");
        assert!(said(&with(r#""usage":{"tokens":5}"#)).starts_with("usage: `tokens` is unknown; known are input, cache_read"));
        assert!(
            said(&with(r#""usage":{"shape":"x","raw":{}}"#)).starts_with("usage.shape: `x` is unknown; known are openai-chat")
        );
        assert_eq!(said(&with(r#""usage":{"input":1},"calls":0"#)), "calls: `0` is not a whole number");
        assert_eq!(
            said(&with(r#""usage":{"input":1},"reported":{"amount":-1}"#)),
            "reported.amount: -1 is negative; it cannot be"
        );
        assert_eq!(
            said(&with(r#""usage":{"input":1},"occurred_at":"1970-01-01T00:00:00Z""#)),
            "occurred_at: 1970-01-01T00:00:00Z is before 2020: no event of this kind is that old"
        );
        let strict = Context { strict: true, ..context() };
        assert_eq!(
            read(&with(r#""usage":{"input":1},"colour":"red""#), &strict).unwrap_err().to_string(),
            "colour: unknown field"
        );
    }

    #[test]
    fn a_call_that_broke_off_may_have_no_usage_yet() {
        let with = |outcome: &str| format!(r#"{{"id":"a","source":"s","provider":"p","model":"m","outcome":"{outcome}"}}"#);
        assert_eq!(read(&with("failed"), &context()).unwrap().usage, Usage::Missing);
        assert_eq!(read(&with("cancelled"), &context()).unwrap().usage, Usage::Missing);
        assert_eq!(read(&with("blocked"), &context()).unwrap().usage, Usage::Counted(Quantities::NONE));
        assert_eq!(said(&with("succeeded")), "usage: missing");
    }
}
