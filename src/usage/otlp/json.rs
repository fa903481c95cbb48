//! The export as JSON. The specification wants camel case and 64-bit numbers as strings; senders are met that write snake
//! case, plain numbers and names of enums, and all of that is read. Unknown keys are passed over. Numbers keep their literal
//! text. What is wrong is told without quoting what was sent, because that may be a prompt.

use super::{Around, Attributes, LONGEST_READ, MAX_SPANS, Nested, Raw, Span, Unread, Value};
use crate::usage::reading::{self, Problem, Rejected, kind};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// Cuts an export into spans; nothing where the text is no export.
pub fn cut(json: &str) -> Result<Option<Vec<Unread<'_>>>, Rejected> {
    if !may_be_one(json) {
        return Ok(None);
    }
    let Export { resource_spans: Present(Some(resources)) } = read_as(json, "resourceSpans")? else { return Ok(None) };
    let mut spans = Vec::new();
    for of_resource in resources.map_or(Vec::new(), |Few(resources)| resources) {
        let ResourceSpans { resource, scope_spans } = read_as(of_resource.get(), "resourceSpans")?;
        let Some(Few(scopes)) = scope_spans else { continue };
        let attributes = resource.and_then(|resource| resource.attributes);
        let resource = Arc::new(attributes.map_or(Ok(Attributes::default()), |Few(attributes)| attributes_of(attributes))?);
        for of_scope in scopes {
            let ScopeSpans { scope, spans: of_scope } = read_as(of_scope.get(), "resourceSpans.scopeSpans")?;
            let Some(Few(of_scope)) = of_scope else { continue };
            let name = scope.and_then(|scope| scope.name).and_then(reading::string).unwrap_or_default();
            let around = Arc::new(Around { resource: resource.clone(), scope: name });
            if spans.len() + of_scope.len() > MAX_SPANS {
                return Err(Rejected::new("resourceSpans", Problem::TooManyOf(MAX_SPANS)));
            }
            spans.extend(of_scope.iter().map(|span| Unread { raw: Raw::Json(span.get()), around: around.clone() }));
        }
    }
    Ok(Some(spans))
}

/// Whether the word is in there. Looking for it is much cheaper than reading, and every object that is posted is asked.
pub fn may_be_one(json: &str) -> bool {
    json.contains("resourceSpans") || json.contains("resource_spans")
}

pub(super) fn read<'a>(json: &'a str, around: Arc<Around<'a>>) -> Result<Span<'a>, Rejected> {
    let span: SpanBody = read_as(json, "span")?;
    let text = |value: Option<&'a RawValue>| value.and_then(reading::string).unwrap_or_default();
    let id = |value| match text(value) {
        id if id.bytes().any(|byte| byte.is_ascii_uppercase()) && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Cow::Owned(id.to_ascii_lowercase())
        }
        id => id,
    };
    let nanos = |value: Option<&'a RawValue>| value.and_then(plain).and_then(|text| text.parse().ok()).unwrap_or(0);
    let code = span.status.and_then(|status| status.code).and_then(plain);
    Ok(Span {
        trace_id: id(span.trace_id),
        span_id: id(span.span_id),
        parent_id: id(span.parent_id),
        name: text(span.name),
        start: nanos(span.start),
        end: nanos(span.end),
        is_error: matches!(code.as_deref(), Some("2" | "STATUS_CODE_ERROR")),
        attributes: span.attributes.map_or(Ok(Attributes::default()), |Few(attributes)| attributes_of(attributes))?,
        around,
    })
}

/// The values of an `arrayValue`.
pub(super) fn list(json: &str) -> Vec<Value<'_>> {
    let Ok(Values { values: Some(Few(values)) }) = serde_json::from_str::<Values<&RawValue>>(json) else { return Vec::new() };
    values.into_iter().filter_map(value_of).collect()
}

/// The entries of a `kvlistValue`.
pub(super) fn map(json: &str) -> Option<Attributes<'_>> {
    let Values { values: Some(Few(entries)) } = serde_json::from_str::<Values<KeyValue>>(json).ok()? else { return None };
    attributes_of(entries).ok()
}

fn attributes_of(pairs: Vec<KeyValue<'_>>) -> Result<Attributes<'_>, Rejected> {
    Attributes::of(pairs.into_iter().filter_map(pair_of).collect())
}

/// One without a name or a value is none.
fn pair_of(pair: KeyValue<'_>) -> Option<(Cow<'_, str>, Value<'_>)> {
    let name = reading::string(pair.key?).filter(|name| !name.is_empty())?;
    Some((name, value_of(pair.value?)?))
}

fn value_of(json: &RawValue) -> Option<Value<'_>> {
    if json.get().len() > 2 * LONGEST_READ {
        return None;
    }
    let value: AnyValue = serde_json::from_str(json.get()).ok()?;
    if let Some(text) = value.string {
        return reading::string(text).map(Value::Text);
    }
    if let Some(number) = value.int.or(value.double) {
        // `NaN` and the like are texts, and no number.
        return plain(number).filter(|literal| literal.parse::<serde_json::Number>().is_ok()).map(Value::Number);
    }
    match (value.flag.map(RawValue::get), value.list, value.map) {
        (Some("true"), ..) => Some(Value::Flag(true)),
        (Some("false"), ..) => Some(Value::Flag(false)),
        (_, Some(list), _) => Some(Value::List(Nested::Json(list.get()))),
        (_, _, Some(map)) => Some(Value::Map(Nested::Json(map.get()))),
        _ => None,
    }
}

/// A number or a number in quotes.
fn plain(value: &RawValue) -> Option<Cow<'_, str>> {
    match kind(value.get()) {
        "a number" => Some(Cow::Borrowed(value.get())),
        "a string" => reading::string(value),
        _ => None,
    }
}

fn read_as<'a, T: Deserialize<'a>>(json: &'a str, field: &'static str) -> Result<T, Rejected> {
    serde_json::from_str(json).map_err(|e| {
        let what = format!("not as OpenTelemetry writes it, at line {}, column {}", e.line(), e.column());
        Rejected::new(field, Problem::Syntax(what))
    })
}

#[derive(Deserialize)]
struct Export<'a> {
    #[serde(borrow, default, rename = "resourceSpans", alias = "resource_spans")]
    resource_spans: Present<Option<Few<&'a RawValue>>>,
}

#[derive(Deserialize)]
struct ResourceSpans<'a> {
    #[serde(borrow)]
    resource: Option<Resource<'a>>,
    #[serde(borrow, rename = "scopeSpans", alias = "scope_spans", alias = "instrumentationLibrarySpans")]
    scope_spans: Option<Few<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    attributes: Option<Few<KeyValue<'a>>>,
}

#[derive(Deserialize)]
struct ScopeSpans<'a> {
    #[serde(borrow, alias = "instrumentationLibrary")]
    scope: Option<Scope<'a>>,
    #[serde(borrow)]
    spans: Option<Few<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Scope<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct SpanBody<'a> {
    #[serde(borrow, rename = "traceId", alias = "trace_id")]
    trace_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "spanId", alias = "span_id")]
    span_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "parentSpanId", alias = "parent_span_id")]
    parent_id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow, rename = "startTimeUnixNano", alias = "start_time_unix_nano")]
    start: Option<&'a RawValue>,
    #[serde(borrow, rename = "endTimeUnixNano", alias = "end_time_unix_nano")]
    end: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<Status<'a>>,
    #[serde(borrow)]
    attributes: Option<Few<KeyValue<'a>>>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow)]
    code: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AnyValue<'a> {
    #[serde(borrow, rename = "stringValue", alias = "string_value")]
    string: Option<&'a RawValue>,
    #[serde(borrow, rename = "intValue", alias = "int_value")]
    int: Option<&'a RawValue>,
    #[serde(borrow, rename = "doubleValue", alias = "double_value")]
    double: Option<&'a RawValue>,
    #[serde(borrow, rename = "boolValue", alias = "bool_value")]
    flag: Option<&'a RawValue>,
    #[serde(borrow, rename = "arrayValue", alias = "array_value")]
    list: Option<&'a RawValue>,
    #[serde(borrow, rename = "kvlistValue", alias = "kvlist_value")]
    map: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct Values<T> {
    values: Option<Few<T>>,
}

/// Whether a key is there at all, also where its value is null.
#[derive(Default)]
struct Present<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Present<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(|value| Present(Some(value)))
    }
}

/// A list that is given up when it has more elements than any honest one: two bytes of a body can be an element.
struct Few<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = Few<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Few<T>, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    if elements.len() == MAX_SPANS {
                        return Err(A::Error::custom("too many"));
                    }
                    elements.push(element);
                }
                Ok(Few(elements))
            }
        }

        deserializer.deserialize_seq(Elements(PhantomData))
    }
}
