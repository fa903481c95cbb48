//! Bodies of a kind that grow: whatever is large about them, many events, many fields, many labels or long texts, four times as
//! much is read in about four times the time. What grows with the square of it would take sixteen times as long. Time is the
//! processor's own, of the thread that reads, so that a busy machine does not count.

use super::{of_the_gateways, pages, protobuf};
use farthing::flow::intake::{self, Framing};
use farthing::store::RejectedBody;
use farthing::time::Instant;
use farthing::usage::dialect::{Context, Dialect};
use serde_json::{Value, json};
use std::time::Duration;

/// Large enough for a square to take seconds, small enough for an unoptimised reader.
const SMALL: usize = 256 << 10;
const TIMES: usize = 4;
/// Less than this says nothing of how it grows.
const SHORTEST: Duration = Duration::from_millis(8);

/// One event as a producer sends it, in every dialect.
fn samples() -> Vec<(Dialect, Value)> {
    let mut samples = of_the_gateways("posted");
    let pages = [
        (Dialect::Openrouter, "openrouter", 1),
        (Dialect::Helicone, "helicone", 0),
        (Dialect::Otlp, "opentelemetry", 0),
        (Dialect::Langfuse, "langfuse", 1),
        (Dialect::Openmeter, "openmeter", 0),
    ];
    samples.extend(pages.map(|(dialect, page, place)| (dialect, pages::samples(page).remove(place))));
    let dialects: Vec<Dialect> = samples.iter().map(|(dialect, _)| *dialect).collect();
    assert!(Dialect::ALL.iter().all(|dialect| dialects.contains(dialect)), "{dialects:?}");
    samples
}

/// What is large about a body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Large {
    Events,
    Fields,
    SameField,
    Labels,
    Texts,
    Depth,
}

const ALL: [Large; 6] = [Large::Events, Large::Fields, Large::SameField, Large::Labels, Large::Texts, Large::Depth];

/// Stands where the many are written, because a tree of them would take longer to make than the body to read.
const MARK: &str = "many";

fn body(dialect: Dialect, sample: &Value, large: Large, size: usize) -> String {
    let mut sample = sample.clone();
    match large {
        Large::Events => {
            let list = match dialect {
                Dialect::LlmProxy => sample.pointer_mut("/records").unwrap(),
                Dialect::Langfuse => sample.pointer_mut("/batch").unwrap(),
                Dialect::Otlp => sample.pointer_mut("/resourceSpans/0/scopeSpans/0/spans").unwrap(),
                _ => {
                    sample = json!([sample]);
                    &mut sample
                }
            };
            let one = list[0].take().to_string();
            *list = json!([MARK]);
            let many = vec![one.as_str(); size / one.len() + 1].join(",");
            sample.to_string().replace(&format!("\"{MARK}\""), &many)
        }
        Large::Texts => {
            let texts = lengthen(&mut sample);
            sample.to_string().replace(MARK, &"x".repeat(size / texts))
        }
        _ => {
            let objects = mark(&mut sample, large == Large::Labels);
            let share = size / objects;
            let many: String = match large {
                Large::Fields => (0..share / 12).map(|number| format!("\"f{number:06}\":1,")).collect(),
                Large::SameField => "\"field\":\"x\",".repeat(share / 12),
                Large::Labels => (0..share / 20).map(|number| format!("\"label{number:06}\":\"x\",")).collect(),
                _ => format!("\"deep\":{}{},", "[".repeat(share / 2), "]".repeat(share / 2)),
            };
            sample.to_string().replace(&format!("\"{MARK}\":0"), &format!("{many}\"last\":0"))
        }
    }
}

/// Marks every object, or only those that hold what callers attach; the number of them.
fn mark(sent: &mut Value, only_labels: bool) -> usize {
    fn walk(sent: &mut Value, name: &str, only_labels: bool) -> usize {
        let holds_labels =
            ["metadata", "label", "tags", "meta", "properties"].iter().any(|word| name.to_lowercase().ends_with(word));
        match sent {
            Value::Object(fields) => {
                let inside: usize = fields.iter_mut().map(|(name, value)| walk(value, name, only_labels)).sum();
                let is_marked = !only_labels || holds_labels;
                if is_marked {
                    fields.insert(MARK.to_owned(), json!(0));
                }
                inside + usize::from(is_marked)
            }
            Value::Array(parts) => parts.iter_mut().map(|part| walk(part, "", only_labels)).sum(),
            _ => 0,
        }
    }
    if only_labels && let Some(fields) = sent.as_object_mut() {
        fields.entry("metadata").or_insert_with(|| json!({}));
        fields.entry("labels").or_insert_with(|| json!({}));
    }
    walk(sent, "", only_labels)
}

/// Puts the mark at the end of every text; the number of them.
fn lengthen(sent: &mut Value) -> usize {
    match sent {
        Value::String(text) => {
            text.push_str(MARK);
            1
        }
        Value::Object(fields) => fields.values_mut().map(lengthen).sum(),
        Value::Array(parts) => parts.iter_mut().map(lengthen).sum(),
        _ => 0,
    }
}

/// What this thread has used of a processor.
fn used() -> Duration {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says what a thread has used");
    Duration::from_nanos(said.split_whitespace().next().unwrap().parse().unwrap())
}

/// Reads a body as the service does, with what it keeps of what it rejects.
fn time_to_read(body: &[u8], framing: Framing, dialect: Dialect) -> Duration {
    let context = Context { received_at: Instant::parse("2026-11-21T00:00:00Z").unwrap(), source: None, strict: false };
    let before = used();
    for piece in intake::read(body, framing, dialect, &context).into_iter().flatten() {
        if let Err(why) = &piece.told {
            RejectedBody::of(dialect, &piece.piece, why, &context);
        }
    }
    used() - before
}

/// Fails where four times as much takes more than eight times as long: twice of what it should, half of a square. The best of
/// three, if it needs them.
fn must_grow_evenly(what: &str, framing: Framing, dialect: Dialect, write: impl Fn(usize) -> Vec<u8>) {
    let (small, large) = (write(SMALL), write(SMALL * TIMES));
    assert!(small.len() >= SMALL / 2 && large.len() >= SMALL * TIMES / 2, "{what}: {} and {} bytes", small.len(), large.len());
    let (mut less, mut more) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        less = less.min(time_to_read(&small, framing, dialect));
        more = more.min(time_to_read(&large, framing, dialect));
        if more <= less.max(SHORTEST) * 8 {
            return;
        }
    }
    panic!("{what}: {less:?}, and {more:?} for {TIMES} times as much");
}

#[test]
fn four_times_as_much_is_read_in_about_four_times_the_time() {
    for (dialect, sample) in samples() {
        for large in ALL {
            let write = |size: usize| body(dialect, &sample, large, size).into_bytes();
            must_grow_evenly(&format!("{dialect:?} {large:?}"), Framing::Json, dialect, write);
        }
    }
}

#[test]
fn four_times_as_much_protobuf_is_read_in_about_four_times_the_time() {
    let span = |attributes: &[u8]| {
        let times =
            [7, 8].map(|field: u8| [&[field * 8 + 1][..], &1_790_812_800_000_000_000_u64.to_le_bytes()].concat()).concat();
        [protobuf::bytes(1, &[7; 16]), protobuf::bytes(2, &[8; 8]), times, attributes.to_vec()].concat()
    };
    let text = |text: &str| protobuf::bytes(1, text.as_bytes());
    let pair = |name: &str, value: &[u8]| protobuf::bytes(9, &[text(name), protobuf::bytes(2, value)].concat());
    let in_export = |spans: Vec<u8>| protobuf::bytes(1, &protobuf::bytes(2, &spans));
    let call = [
        pair("gen_ai.operation.name", &text("chat")),
        pair("gen_ai.response.model", &text("gpt-4o")),
        pair("gen_ai.usage.input_tokens", &protobuf::number(3, 10)),
    ]
    .concat();
    let one = |attributes: Vec<u8>| in_export(protobuf::bytes(2, &span(&[call.clone(), attributes].concat())));
    type Write<'w> = &'w dyn Fn(usize) -> Vec<u8>;
    let kinds: [(&str, Write<'_>); 6] = [
        ("spans", &|size| {
            let span = protobuf::bytes(2, &span(&call));
            in_export(span.repeat(size / span.len()))
        }),
        ("attributes", &|size| {
            one((0..size / 24).flat_map(|number| pair(&format!("attribute{number:06}"), &text("x"))).collect())
        }),
        ("labels", &|size| {
            one((0..size / 40).flat_map(|number| pair(&format!("ai.telemetry.metadata.label{number:06}"), &text("x"))).collect())
        }),
        ("a text", &|size| one(pair("user.id", &text(&"x".repeat(size))))),
        ("a list", &|size| one(pair("list", &protobuf::bytes(5, &protobuf::bytes(1, &text("x")).repeat(size / 5))))),
        ("depth", &|size| {
            let mut deep = text("x");
            // A level is some bytes; to write this many takes longer than to read them.
            while deep.len() < size / 64 {
                deep = protobuf::bytes(5, &protobuf::bytes(1, &deep));
            }
            one([pair("deep", &deep), pair("wide", &text(&"x".repeat(size)))].concat())
        }),
    ];
    for (kind, write) in kinds {
        must_grow_evenly(kind, Framing::Protobuf, Dialect::Otlp, write);
    }
}
