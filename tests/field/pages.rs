//! The samples on the pages under docs/gateways are read as the pages say: each gives an event, and counts it as written.

use super::{export, span};
use farthing::time::Instant;
use farthing::usage::dialect::{Context, Dialect, Told};
use farthing::usage::{Usage, UsageEvent};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub fn samples(page: &str) -> Vec<Value> {
    let path = format!("{}/docs/gateways/{page}.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.filter(|block| !block.contains("{…}")).map(|block| serde_json::from_str(&block).unwrap()).collect()
}

fn events(dialect: Dialect, sent: &Value) -> Vec<UsageEvent> {
    let context = Context { received_at: Instant::parse("2026-11-21T00:00:00Z").unwrap(), source: None, strict: false };
    let sent = sent.to_string();
    let pieces = dialect.cut(&sent).unwrap();
    pieces.iter().filter_map(|piece| dialect.read(piece, &context).map(Told::into_event).unwrap()).collect()
}

fn meters(event: &UsageEvent) -> String {
    match &event.usage {
        Usage::Counted(counts) => {
            counts.present().map(|(meter, count)| format!("{} {count}", meter.name())).collect::<Vec<_>>().join(", ")
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn the_samples_are_read_as_the_pages_say() {
    let expected: [(&str, Dialect, &[&str]); 7] = [
        ("opentelemetry", Dialect::Otlp, &["input 2000, cache_read 8000, output 1000"]),
        // The agent's span around the call counts the same again, and is none.
        ("vercel-ai-sdk", Dialect::Otlp, &["input 2000, cache_read 8000, output 1000"]),
        ("openrouter", Dialect::Openrouter, &["input 13, output 5", "input 3, cache_write 24791, output 3770, reasoning 3723"]),
        (
            "langfuse",
            Dialect::Langfuse,
            &["input 1000, cache_read 8000, output 200", "Missing", "input 1000, cache_read 8000, output 200"],
        ),
        ("openmeter", Dialect::Openmeter, &["input 1000, output 200"]),
        ("helicone", Dialect::Helicone, &["input 1000, output 100"]),
        (
            "provider-usage",
            Dialect::Native,
            &[
                "input 2000, cache_read 8000, output 400, reasoning 600",
                "input 100, cache_read 9000, cache_write 600, cache_write_1h 300, output 50, web_search 2",
                "input 10000, cache_read 90000, output 600, reasoning 400",
                "input 100, cache_read 9000, cache_write 600, cache_write_1h 300, output 50",
                "input 2000, cache_read 8000, output 400, reasoning 600",
            ],
        ),
    ];
    for (page, dialect, counted) in expected {
        let whole = |sample: Value| match page {
            "provider-usage" => json!({"id": "x", "source": "s", "provider": "p", "model": "m", "usage": sample}),
            "langfuse" if sample.get("batch").is_none() => export(json!({}), &[span(1, "answer", sample)]),
            _ => sample,
        };
        let found: Vec<String> =
            samples(page).into_iter().flat_map(|sample| events(dialect, &whole(sample))).map(|event| meters(&event)).collect();
        assert_eq!(found, counted, "{page}");
    }
}

#[test]
fn the_sample_of_the_vercel_ai_sdk_says_whose_it_is() {
    let [event] = events(Dialect::Otlp, &samples("vercel-ai-sdk")[0]).try_into().unwrap();
    let owner = [&event.owner.agent, &event.owner.team, &event.owner.app].map(|name| name.as_deref().unwrap().to_owned());
    assert_eq!(owner, ["triage", "search", "answers"]);
    let product = (&*event.product.provider, &*event.product.model, event.provider_request_id.as_deref());
    assert_eq!(product, ("openai", "gpt-4o-mini-2024-07-18", Some("chatcmpl-7")));
}

/// Writes a number that nobody has heard of into everything that is sent, at every depth; what counts has a rule of its own.
fn with_something_new(sent: &mut Value) {
    match sent {
        Value::Object(fields) => {
            let inside = fields.iter_mut().filter(|(name, _)| !name.to_lowercase().contains("usage"));
            inside.for_each(|(_, value)| with_something_new(value));
            if let Some(Value::Array(attributes)) = fields.get_mut("attributes") {
                attributes.push(json!({"key": "brand_new", "value": {"intValue": "7"}}));
            } else if !fields.contains_key("key") {
                fields.insert("brand_new".to_owned(), json!(7));
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(with_something_new),
        _ => {}
    }
}

#[test]
fn what_no_dialect_has_heard_of_is_kept_beside_its_event() {
    let native = json!({"id": "x", "source": "s", "provider": "p", "model": "m", "usage": {"input": 1}});
    let cloud = json!({"specversion": "1.0", "id": "x", "source": "s", "type": "t", "data": native});
    let of_page = |dialect, page: &str| samples(page).into_iter().map(move |sample| (dialect, sample)).collect::<Vec<_>>();
    let sent = [
        vec![(Dialect::Native, native), (Dialect::CloudEvents, cloud)],
        of_page(Dialect::Litellm, "litellm"),
        of_page(Dialect::Omnia, "omnia"),
        of_page(Dialect::Promptkit, "promptkit"),
        of_page(Dialect::Pai, "pai"),
        of_page(Dialect::Oceans, "oceans"),
        of_page(Dialect::LlmProxy, "llm-proxy"),
        of_page(Dialect::Keeptrusts, "keeptrusts"),
        of_page(Dialect::Openrouter, "openrouter"),
        of_page(Dialect::Helicone, "helicone"),
        of_page(Dialect::Otlp, "opentelemetry"),
        of_page(Dialect::Otlp, "vercel-ai-sdk"),
        of_page(Dialect::Langfuse, "langfuse"),
        of_page(Dialect::Openmeter, "openmeter"),
    ];
    let mut kept_by = BTreeSet::new();
    for (dialect, mut sample) in sent.concat() {
        if dialect == Dialect::Langfuse && sample.get("batch").is_none() {
            sample = export(json!({}), &[span(1, "answer", sample)]);
        }
        with_something_new(&mut sample);
        for event in events(dialect, &sample) {
            let kept = event.extra.as_deref().unwrap_or_default();
            assert!(kept.contains(r#""brand_new":7"#) && kept.len() <= 1_024, "{dialect:?} keeps {kept:?} of {sample}");
            kept_by.insert(dialect as u8);
        }
    }
    assert_eq!(kept_by.len(), Dialect::ALL.len());
}
