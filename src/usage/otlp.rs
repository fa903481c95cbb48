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
    fn of(mut attributes: Vec<(Cow<'a, str>, Value<'a>)>) -> Attributes<'a> {
        attributes.sort_by(|(one, _), (other, _)| one.cmp(other));
        Attributes(attributes)
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
    KNOWN.binary_search(&name).is_ok()
        || !name.starts_with("trace.metadata.openrouter")
            && LABELS.iter().any(|prefix| name.starts_with(prefix))
            && !content::is_content(name)
}

/// Namespaces of labels that a caller chose.
const LABELS: [&str; 6] = [
    "ai.telemetry.metadata.",
    "farthing.",
    "langfuse.trace.metadata.",
    "promptkit.label.",
    "trace.metadata.",
    "traceloop.association.properties.",
];

const KNOWN: [&str; 81] = [
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
    "langfuse.observation.metadata.ls_provider",
    "langfuse.observation.metadata.provider",
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
    "openrouter.trace.id",
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
    "trace.metadata.openrouter.api_key_name",
    "trace.metadata.openrouter.app_title",
    "trace.metadata.openrouter.creator_user_id",
    "trace.metadata.openrouter.provider_name",
    "trace.metadata.openrouter.provider_slug",
    "trace.metadata.openrouter_generation.app.title",
    "trace.metadata.openrouter_generation.byok_usage_inference",
    "trace.metadata.openrouter_generation.external_user",
    "trace.metadata.openrouter_generation.service_tier",
    "trace.metadata.openrouter_generation.usage",
    "trace.name",
    "traceloop.span.kind",
    "user.id",
    "user_id",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::dialect::{Context, otlp};
    use proptest::prelude::*;

    fn context() -> Context {
        Context { received_at: Instant::parse("2026-10-02T00:00:00Z").unwrap(), source: None, strict: false }
    }

    fn attribute(name: &str, value: &str) -> String {
        format!(r#"{{"key":"{name}","value":{value}}}"#)
    }

    fn text(name: &str, value: &str) -> String {
        attribute(name, &format!(r#"{{"stringValue":{}}}"#, quoted(value)))
    }

    fn export(resource: &[String], span: &[String]) -> String {
        format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{}]}},"scopeSpans":[{{"scope":{{"name":"test"}},"spans":[
               {{"traceId":"0A","spanId":"01","name":"LLM Generation","startTimeUnixNano":"1790812800000000000","attributes":[{}]}}]}}]}}]}}"#,
            resource.join(","),
            span.join(",")
        )
    }

    fn only(json: &str) -> Unread<'_> {
        let [span] = <[Unread<'_>; 1]>::try_from(json::cut(json).unwrap().unwrap()).unwrap();
        span
    }

    #[test]
    fn names_are_sorted_for_the_search() {
        assert!(KNOWN.is_sorted());
    }

    #[test]
    fn both_spellings_and_numbers_in_quotes_are_read() {
        let json = r#"{"resource_spans":[{"resource":null,"scope_spans":[{"spans":[{"trace_id":"0a","span_id":"01","extra":{"a":1},
            "start_time_unix_nano":1790812800000000000,"status":{"code":"STATUS_CODE_ERROR"},"attributes":[
            {"key":"a","value":{"int_value":"13"}},{"key":"b","value":{"intValue":14}},{"key":"c","value":{"doubleValue":3E-7}},
            {"key":"d","value":{"doubleValue":"NaN"}},{"key":"e","value":{"bool_value":true}},{"key":"f"},{"value":{"intValue":1}},
            {"key":"g","value":{"arrayValue":{"values":[{"stringValue":"x"},{"intValue":2}]}}},
            {"key":"h","value":{"kvlist_value":{"values":[{"key":"i","value":{"intValue":5}}]}}}]}]}]}]}"#;
        let unread = only(json);
        let span = unread.read().unwrap();
        let plain = |name: &str| span.attributes.plain(name);
        assert_eq!(
            (plain("a"), plain("b"), plain("c"), plain("d"), plain("e")),
            (Some("13"), Some("14"), Some("3E-7"), None, Some("true"))
        );
        assert_eq!(span.attributes.get("g").unwrap().texts(), ["x", "2"]);
        assert_eq!(span.attributes.get("h").unwrap().entries().unwrap().plain("i"), Some("5"));
        assert_eq!((span.id().as_deref(), span.is_error, span.start), (Some("0a/01"), true, 1_790_812_800_000_000_000));
    }

    /// What is kept of a span that is rejected must tell the same once the reader is mended.
    #[test]
    fn what_is_kept_reads_back_as_the_same_event() {
        let number = |name: &str, value: &str| attribute(name, &format!("{{\"doubleValue\":{value}}}"));
        let spans = [
            export(
                &[text("service.name", "ide"), text("farthing.team", "search"), text("process.command_line", "secret")],
                &[
                    text("gen_ai.operation.name", "chat"),
                    text("gen_ai.provider.name", "openai"),
                    text("gen_ai.response.model", "gpt-4o"),
                    text("gen_ai.prompt", "secret"),
                    text("ai.telemetry.metadata.plan", "pro"),
                    text("ai.telemetry.metadata.prompt", "secret"),
                    text("user.id", "ann"),
                    number("gen_ai.usage.input_tokens", "1000"),
                    number("gen_ai.usage.output_tokens", "10"),
                    number("gen_ai.usage.cost", "0.00000885"),
                ],
            ),
            export(
                &[],
                &[
                    text("langfuse.observation.type", "generation"),
                    text("langfuse.observation.model.name", "gpt-4o"),
                    text("langfuse.observation.metadata.ls_provider", "openai"),
                    text("langfuse.observation.input", "secret"),
                    text("langfuse.observation.usage_details", r#"{"input":5,"input_cached_tokens":3,"note":"secret"}"#),
                    text("langfuse.observation.cost_details", r#"{"total":0.5}"#),
                ],
            ),
            export(
                &[text("service.name", "openrouter")],
                &[
                    text("gen_ai.response.id", "gen-1"),
                    text("gen_ai.response.model", "openai/gpt-4o"),
                    text("trace.input", "secret"),
                    text("trace.metadata.tenant", "acme"),
                    text("trace.metadata.openrouter.provider_name", "Azure"),
                    text("trace.metadata.openrouter_generation.upstream_raw_response_usage", "secret"),
                    text(
                        "trace.metadata.openrouter_generation.cache_creation",
                        r#"{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":2}"#,
                    ),
                    number("gen_ai.usage.input_tokens", "10"),
                    number("gen_ai.usage.total_cost", "1.5e-3"),
                ],
            ),
        ];
        for sent in spans {
            let unread = only(&sent);
            let span = unread.read().unwrap();
            let kept = span.without_content();
            assert!(!kept.contains("secret"), "{kept}");
            let again = only(&kept);
            let again = otlp::read(&again.read().unwrap(), &context()).unwrap().into_event().unwrap();
            let first = otlp::read(&span, &context()).unwrap().into_event().unwrap();
            assert_eq!(first, again);
        }
    }

    #[test]
    fn broken_bytes_are_told_with_their_place() {
        let said = |bytes: &[u8]| protobuf::cut(bytes).unwrap_err().to_string();
        assert_eq!(said(&[0x0a, 0x05, 0x12]), "broken protobuf: a field runs past the end, at byte 2");
        assert_eq!(said(&[0x0b]), "broken protobuf: a field of a kind that traces do not have, at byte 0");
        assert_eq!(said(&[0x00, 0x00]), "broken protobuf: no field has this number, at byte 0");
        assert_eq!(said(&[0xff; 11]), "broken protobuf: a number of more than ten bytes, at byte 0");
        let endless = [&[0x0a][..], &[0xff; 9], &[0x01]].concat();
        assert_eq!(said(&endless), "broken protobuf: a field runs past the end, at byte 11");
        // Fields that nobody knows are passed over: a varint, eight bytes, four bytes, a text.
        let unknown = [0x98, 0x06, 0x05, 0x91, 0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0x95, 0x06, 0, 0, 0, 0, 0x9a, 0x06, 0x01, 0x78];
        assert!(protobuf::cut(&unknown).unwrap().is_empty());
    }

    #[test]
    fn a_body_of_empty_spans_is_given_up() {
        let many = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}{{}}]}}]}}]}}"#, "{},".repeat(MAX_SPANS));
        assert!(json::cut(&many).is_err());
        let spans = [0x12, 0x00].repeat(MAX_SPANS + 1);
        let field = |tag: u8, inner: &[u8]| {
            let mut bytes = vec![tag];
            let mut length = inner.len();
            while length >= 128 {
                bytes.push((length % 128) as u8 + 128);
                length /= 128;
            }
            bytes.push(length as u8);
            [bytes, inner.to_vec()].concat()
        };
        let body = field(0x0a, &field(0x12, &spans));
        assert!(protobuf::cut(&body).unwrap_err().to_string().starts_with("broken protobuf: too many spans"));
    }

    #[test]
    fn a_span_of_too_many_attributes_is_refused() {
        let of = |count: usize| export(&[], &vec![text("a", "b"); count]);
        assert!(only(&of(MAX_ATTRIBUTES)).read().is_ok());
        assert_eq!(only(&of(MAX_ATTRIBUTES + 1)).read().unwrap_err().to_string(), "attributes: more than 4096 of them");
    }

    proptest! {
        /// No bytes make the reader panic; what can be cut can be asked everything.
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(prop_oneof![Just(0x0a_u8), Just(0x12), Just(0x4a), Just(0x05), Just(0x32), any::<u8>()], 0..200),
        ) {
            for unread in protobuf::cut(&bytes).unwrap_or_default() {
                if let Ok(span) = unread.read() {
                    let _ = (span.without_content(), otlp::read(&span, &context()));
                }
            }
            // The same bytes as the inside of a span.
            let length = [(bytes.len() % 128) as u8 | 128, (bytes.len() / 128) as u8];
            let outer = |tag: u8, length: &[u8], inner: &[u8]| [&[tag], length, inner].concat();
            let scope = outer(0x12, &length, &bytes);
            let two = |inner: &[u8]| [(inner.len() % 128) as u8 | 128, (inner.len() / 128) as u8];
            let resource = outer(0x12, &two(&scope), &scope);
            let body = outer(0x0a, &two(&resource), &resource);
            let [unread] = <[Unread<'_>; 1]>::try_from(protobuf::cut(&body).unwrap()).unwrap();
            if let Ok(span) = unread.read() {
                let kept = span.without_content();
                prop_assert!(json::cut(&kept).unwrap().is_some(), "{kept}");
                let _ = otlp::read(&span, &context());
            }
        }
    }
}
