//! OpenTelemetry's trace export, `ExportTraceServiceRequest`, as JSON and as protobuf: both are cut into the same spans, and
//! a span is read only when its turn comes, so a body of many is never in memory twice. What surrounds a span (resource and
//! scope) is shared by all spans under it. Nothing here knows what a model call is; `dialect/otlp` does.
//!
//! Values keep their literal text, so that no amount passes through a float that was not one on the wire.

mod double;
pub mod json;
pub mod protobuf;

use crate::time::Instant;
use crate::usage::content;
use crate::usage::reading::{Problem, Rejected};
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

/// A span of an export, unread.
#[derive(Clone, Debug)]
pub struct Unread<'a> {
    raw: Raw<'a>,
    around: Arc<Around<'a>>,
}

#[derive(Clone, Copy, Debug)]
enum Raw<'a> {
    Json(&'a str),
    Protobuf(protobuf::Message<'a>),
}

/// What stands around spans: who made them.
#[derive(Debug, Default)]
struct Around<'a> {
    resource: Arc<Attributes<'a>>,
    scope: Cow<'a, str>,
}

/// One operation that somebody traced.
#[derive(Clone, Debug)]
pub struct Span<'a> {
    /// In hexadecimal digits; empty where it is missing.
    pub trace_id: Cow<'a, str>,
    pub span_id: Cow<'a, str>,
    pub parent_id: Cow<'a, str>,
    pub name: Cow<'a, str>,
    /// Nanoseconds since 1970; 0 where it is missing.
    pub start: u64,
    pub end: u64,
    /// Its status says so. The message beside the status may quote a prompt and is never read.
    pub is_error: bool,
    pub attributes: Attributes<'a>,
    around: Arc<Around<'a>>,
}

/// Attributes by name, sorted; of twins the first counts.
#[derive(Clone, Debug, Default)]
pub struct Attributes<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

#[derive(Clone, Debug)]
pub enum Value<'a> {
    Text(Cow<'a, str>),
    /// As it was written.
    Number(Cow<'a, str>),
    Flag(bool),
    List(Nested<'a>),
    Map(Nested<'a>),
}

/// A value with values inside, unread.
#[derive(Clone, Copy, Debug)]
pub enum Nested<'a> {
    Json(&'a str),
    Protobuf(protobuf::Message<'a>),
}

/// Spans of one export: far more than any client puts into one, and few enough that a body of empty ones stays small.
pub const MAX_SPANS: usize = 200_000;
/// Attributes of one span or resource; SDKs stop at 128 unless told otherwise.
pub const MAX_ATTRIBUTES: usize = 4_096;
/// A longer text is never a name, a count or a usage block, so it is not even kept in memory.
const LONGEST_READ: usize = 16_384;
/// Longest text that is kept of a span that could not be understood.
const LONGEST_KEPT: usize = 256;

impl<'a> Unread<'a> {
    pub fn read(&self) -> Result<Span<'a>, Rejected> {
        match self.raw {
            Raw::Json(span) => json::read(span, self.around.clone()),
            Raw::Protobuf(span) => protobuf::read(span, self.around.clone()).map_err(Rejected::from),
        }
    }

    /// How many bytes it came in.
    pub fn size(&self) -> usize {
        match self.raw {
            Raw::Json(span) => span.len(),
            Raw::Protobuf(span) => span.len(),
        }
    }
}

impl<'a> Attributes<'a> {
    fn of(mut attributes: Vec<(Cow<'a, str>, Value<'a>)>) -> Result<Attributes<'a>, Rejected> {
        if attributes.len() > MAX_ATTRIBUTES {
            return Err(Rejected::new("attributes", Problem::TooManyOf(MAX_ATTRIBUTES)));
        }
        attributes.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Attributes(attributes))
    }

    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let place = self.0.partition_point(|(other, _)| &**other < name);
        self.0.get(place).filter(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// The first of some names that has a value.
    pub fn first(&self, names: &[&str]) -> Option<&Value<'a>> {
        names.iter().find_map(|name| self.get(name))
    }

    /// A text, a number or a flag as text.
    pub fn plain(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::plain).filter(|text| !text.is_empty())
    }

    pub fn first_plain(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.plain(name))
    }

    pub fn has_any(&self, names: &[&str]) -> bool {
        self.first(names).is_some()
    }

    /// All whose names begin with a prefix, by the rest of their names.
    pub fn under<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = (&'s str, &'s Value<'a>)> {
        let start = self.0.partition_point(|(name, _)| &**name < prefix);
        self.0[start..].iter().map_while(move |(name, value)| Some((name.strip_prefix(prefix)?, value)))
    }
}

impl<'a> Value<'a> {
    pub fn plain(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Number(text) => Some(text),
            Value::Flag(true) => Some("true"),
            Value::Flag(false) => Some("false"),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// As a JSON literal: a number bare, a text in quotes.
    pub fn literal(&self) -> Option<String> {
        match self {
            Value::Number(literal) => Some(literal.to_string()),
            Value::Text(text) => Some(quoted(text)),
            Value::Flag(flag) => Some(flag.to_string()),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    pub fn is_true(&self) -> bool {
        matches!(self, Value::Flag(true)) || matches!(self, Value::Text(text) if text.eq_ignore_ascii_case("true"))
    }

    /// The plain values of a list; nothing where it is none.
    pub fn texts(&self) -> Vec<String> {
        let Value::List(list) = self else { return Vec::new() };
        let values = match list {
            Nested::Json(list) => json::list(list),
            Nested::Protobuf(list) => protobuf::list(*list),
        };
        values.iter().filter_map(Value::plain).map(str::to_owned).collect()
    }

    /// The entries of a map, one level of them.
    pub fn entries(&self) -> Option<Attributes<'a>> {
        let Value::Map(map) = self else { return None };
        match map {
            Nested::Json(map) => json::map(map),
            Nested::Protobuf(map) => protobuf::map(*map),
        }
    }
}

impl<'a> Span<'a> {
    /// Two ids that name it for good: an export may be delivered again, and then brings the same ones.
    pub fn id(&self) -> Option<String> {
        (!self.trace_id.is_empty() && !self.span_id.is_empty()).then(|| format!("{}/{}", self.trace_id, self.span_id))
    }

    pub fn resource(&self) -> &Attributes<'a> {
        &self.around.resource
    }

    /// The library that made the span.
    pub fn scope(&self) -> &str {
        &self.around.scope
    }

    /// When it began. A span without a time has none.
    pub fn started(&self, received_at: Instant) -> Result<Option<Instant>, Rejected> {
        if self.start == 0 {
            return Ok(None);
        }
        let micros = i64::try_from(self.start / 1_000).expect("a thousandth of 2^64 is less than 2^63");
        let wrong = |e| Rejected::new("startTimeUnixNano", Problem::Date(e));
        Instant::from_micros(micros).as_usage_date(received_at).map(Some).map_err(wrong)
    }

    /// The span as it may be kept: ids, times, names, numbers, and the texts of attributes that are known to hold no content.
    /// It is an export of one span again, so what reads the one reads the other.
    pub fn without_content(&self) -> String {
        let mut kept = String::from("{\"resourceSpans\":[{\"resource\":{\"attributes\":");
        write_kept(self.resource(), &mut kept);
        let scope = quoted(short(self.scope()));
        let _ = write!(kept, "}},\"scopeSpans\":[{{\"scope\":{{\"name\":{scope}}},\"spans\":[{{");
        for (name, text) in
            [("traceId", &self.trace_id), ("spanId", &self.span_id), ("parentSpanId", &self.parent_id), ("name", &self.name)]
        {
            let _ = write!(kept, "\"{name}\":{},", quoted(short(text)));
        }
        let code = if self.is_error { 2 } else { 0 };
        let _ = write!(kept, "\"startTimeUnixNano\":\"{}\",\"endTimeUnixNano\":\"{}\",", self.start, self.end);
        let _ = write!(kept, "\"status\":{{\"code\":{code}}},\"attributes\":");
        write_kept(&self.attributes, &mut kept);
        kept.push_str("}]}]}]}");
        kept
    }
}

fn short(text: &str) -> &str {
    if text.len() <= LONGEST_KEPT { text } else { "" }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is always JSON")
}

fn write_kept(attributes: &Attributes<'_>, kept: &mut String) {
    let mut written: Vec<String> = Vec::new();
    for (name, value) in attributes.0.iter().filter(|(name, _)| name.len() <= LONGEST_KEPT) {
        if let Some(value) = kept_value(name, value) {
            written.push(format!("{{\"key\":{},\"value\":{value}}}", quoted(name)));
        }
    }
    let _ = write!(kept, "[{}]", written.join(","));
}

fn kept_value(name: &str, value: &Value<'_>) -> Option<String> {
    match value {
        Value::Number(literal) => Some(format!("{{\"doubleValue\":{literal}}}")),
        Value::Flag(flag) => Some(format!("{{\"boolValue\":{flag}}}")),
        Value::Text(text) if USAGE_BLOCKS.contains(&name) => {
            content::numbers(text).map(|numbers| format!("{{\"stringValue\":{}}}", quoted(&numbers)))
        }
        Value::Text(text) if text.len() <= LONGEST_KEPT && is_known(name) => {
            Some(format!("{{\"stringValue\":{}}}", quoted(text)))
        }
        Value::Map(_) => {
            let entries = value.entries()?;
            let numbers = entries.0.iter().filter_map(|(name, value)| match value {
                Value::Number(literal) => Some(format!("{{\"key\":{},\"value\":{{\"doubleValue\":{literal}}}}}", quoted(name))),
                _ => None,
            });
            let numbers: Vec<String> = numbers.collect();
            Some(format!("{{\"kvlistValue\":{{\"values\":[{}]}}}}", numbers.join(",")))
        }
        Value::Text(_) | Value::List(_) => None,
    }
}

/// JSON in a text: counts and amounts, of which the numbers are kept.
const USAGE_BLOCKS: [&str; 5] = [
    "ai.response.providerMetadata",
    "langfuse.observation.cost_details",
    "langfuse.observation.usage_details",
    "trace.metadata.openrouter_generation.cache_creation",
    "trace.metadata.openrouter_generation.native_server_tool_use",
];

/// Whether a short text under this name is an identifier rather than something people wrote.
fn is_known(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    KNOWN.binary_search(&name).is_ok()
        || LABELS.iter().any(|prefix| name.starts_with(prefix)) && !content::is_content(last) && !content::is_content(name)
}

/// Namespaces of labels that a caller chose.
pub const LABELS: [&str; 7] = [
    "ai.telemetry.metadata.",
    "farthing.",
    "langfuse.trace.metadata.",
    "openrouter.",
    "promptkit.label.",
    "trace.metadata.",
    "traceloop.association.properties.",
];

const KNOWN: [&str; 68] = [
    "HTTP-Referer",
    "ai.model.id",
    "ai.model.provider",
    "ai.operationId",
    "ai.response.id",
    "ai.response.model",
    "ai.telemetry.functionId",
    "app.title",
    "deployment.environment",
    "deployment.environment.name",
    "embedding.model_name",
    "enduser.id",
    "error.type",
    "gen_ai.agent.id",
    "gen_ai.agent.name",
    "gen_ai.conversation.id",
    "gen_ai.openai.response.service_tier",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.finish_reason",
    "gen_ai.response.id",
    "gen_ai.response.model",
    "gen_ai.response.service_tier",
    "gen_ai.system",
    "gen_ai.usage.completion_tokens",
    "gen_ai.usage.cost",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.prompt_tokens",
    "gen_ai.usage.total_cost",
    "gen_ai.usage.total_tokens",
    "http.response.status_code",
    "http.status_code",
    "http_referer",
    "langfuse.environment",
    "langfuse.observation.level",
    "langfuse.observation.model.name",
    "langfuse.observation.type",
    "langfuse.release",
    "langfuse.session.id",
    "langfuse.trace.name",
    "langfuse.user.id",
    "langfuse.version",
    "llm.cost.total",
    "llm.model_name",
    "llm.provider",
    "llm.request.type",
    "llm.system",
    "openai.response.service_tier",
    "openinference.span.kind",
    "operation.cost",
    "promptkit.provider.cost",
    "promptkit.provider.source",
    "promptkit.run.id",
    "server.address",
    "service.name",
    "service.namespace",
    "service.version",
    "session.id",
    "session_id",
    "span.type",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "trace.name",
    "traceloop.span.kind",
    "user.id",
    "user_id",
];
