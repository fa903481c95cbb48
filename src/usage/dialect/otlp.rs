//! OpenTelemetry spans under the GenAI conventions, old and new, and under what was there before them: OpenInference, the
//! Vercel AI SDK's own names, Traceloop's and PromptKit's. Only the call to a model is an event; agents, workflows, steps and
//! tools repeat the sums of the calls inside them and would be counted twice. A span is named by its trace and span ids,
//! because an export may be delivered again; the provider's own id of the call is the second key, by which a gateway's event
//! of the same call is recognised.
//!
//! Counts include each other: cache reads and writes are part of the input, reasoning is part of the output. What an SDK or a
//! gateway computed as the cost is a claimed amount. OpenRouter's Broadcast and Langfuse's attributes have files of their own.

use super::labels::{self, Labels};
use super::{Context, Dialect, Told, hosts, langfuse, litellm, makers, names, openrouter, status, unknown};
use crate::money::{Amount, Currency};
use crate::usage::otlp::Span;
use crate::usage::reading::{self, Object, Problem, Rejected};
use crate::usage::shape::{Read, Shape};
use crate::usage::{Claimed, Outcome, Owner, Reported, Text, UNKNOWN, Usage, UsageEvent};

const DIALECT: Dialect = Dialect::Otlp;

/// Reads a span by whoever's words it is in, whichever route it came by.
pub fn read(span: &Span<'_>, context: &Context) -> Result<Told, Rejected> {
    if openrouter::broadcast::is_one(span) {
        openrouter::broadcast::read(span, context)
    } else if langfuse::observation::is_one(span) {
        langfuse::observation::read(span, context)
    } else {
        read_genai(span, context)
    }
}

fn read_genai(span: &Span<'_>, context: &Context) -> Result<Told, Rejected> {
    if let Err(why) = is_a_call(span) {
        return Ok(Told::Nothing(why));
    }
    let mut event = event_of(span, context, DIALECT)?;
    let said = said_by_provider(span);
    let (counted, reported) = said.map_or((None, None), |said| (said.counted, said.reported));
    event.usage = match counted {
        Some(usage) => usage,
        None => counts_of(span).read()?.unwrap_or(Usage::Missing),
    };
    settle(&mut event);
    event.reported = reported;
    event.claimed = claimed(span, &COSTS);
    let mut labels = Labels::default();
    if &*event.product.provider == UNKNOWN {
        event.product.provider = makers::or_maker(None, Some(&event.product.model), &mut labels);
    }
    add_labels(span, &mut labels);
    labels.add("operation", operation(span));
    event.labels = labels.into_sorted();
    event.extra = unread(span);
    Ok(Told::event(event))
}

/// A model that answered used something: a count of nothing is one that nobody counted. And a call that used something was
/// not turned away.
pub(super) fn settle(event: &mut UsageEvent) {
    match &event.usage {
        Usage::Counted(counts) if counts.is_empty() => event.usage = Usage::Missing,
        Usage::Missing => {}
        _ if event.outcome == Outcome::Refused => event.outcome = Outcome::Failed,
        _ => {}
    }
}

const PROMPTKIT_COST: &str = "promptkit.provider.cost";
const COSTS: [&str; 5] = ["gen_ai.usage.cost", "gen_ai.usage.total_cost", "llm.cost.total", "operation.cost", PROMPTKIT_COST];
const CODES: [&str; 3] = ["http.response.status_code", "http.status_code", "error.type"];

/// Operations that ask a model something.
const CALLS: [&str; 15] = [
    "audio_generation",
    "chat",
    "completion",
    "embedding",
    "embeddings",
    "generate_content",
    "image_generation",
    "moderation",
    "rerank",
    "responses",
    "speech",
    "speech_to_text",
    "text_completion",
    "text_to_speech",
    "transcription",
];
/// Operations that stand around calls, or that are none.
const NO_CALLS: [&str; 11] = [
    "create_agent",
    "execute_tool",
    "handoff",
    "invoke_agent",
    "invoke_workflow",
    "plan",
    "retrieval",
    "search_memory",
    "step",
    "task",
    "workflow",
];

const AROUND: &str = "a span around model calls, whose counts it repeats; the calls are spans of their own";
const NO_CALL: &str = "a span that is no call to a model";

/// Whether a span is one call to a model. Where it names its operation that decides; older instrumentation is told by the
/// attribute that only it has; and a span that says nothing of itself is a call if it names a model and counts tokens, or
/// carries the id of a provider's answer.
fn is_a_call(span: &Span<'_>) -> Result<(), &'static str> {
    let has = |names: &[&str]| span.attributes.has_any(names);
    if let Some(operation) = span.attributes.plain("gen_ai.operation.name") {
        return match operation {
            _ if CALLS.binary_search(&operation).is_ok() => Ok(()),
            _ if NO_CALLS.binary_search(&operation).is_ok() => Err(AROUND),
            // Somebody's own word: only a provider's answer has an id.
            _ if has(&["gen_ai.response.id"]) => Ok(()),
            _ => Err(NO_CALL),
        };
    }
    if let Some(kind) = span.attributes.plain("openinference.span.kind") {
        return if matches!(kind, "LLM" | "EMBEDDING") { Ok(()) } else { Err(AROUND) };
    }
    // The Vercel AI SDK before 7: `ai.generateText` is around `ai.generateText.doGenerate`.
    if let Some(operation) = span.attributes.plain("ai.operationId") {
        let leaf = [".doGenerate", ".doStream", ".doEmbed", ".doRerank"].iter().any(|end| operation.ends_with(end));
        return if leaf { Ok(()) } else { Err(AROUND) };
    }
    if has(&["llm.request.type"]) {
        return Ok(());
    }
    if has(&["traceloop.span.kind", "promptkit.pipeline.cost"]) {
        return Err(AROUND);
    }
    let names_a_model = has(&REQUEST_MODEL) || has(&RESPONSE_MODEL);
    if has(&[PROMPTKIT_COST, "gen_ai.response.id"]) || names_a_model && (has(&INPUT) || has(&OUTPUT)) {
        Ok(())
    } else if has(&INPUT) || has(&OUTPUT) {
        Err(AROUND)
    } else {
        Err(NO_CALL)
    }
}

fn operation<'s>(span: &'s Span<'_>) -> Option<&'s str> {
    let kind = || span.attributes.plain("openinference.span.kind");
    span.attributes.first_plain(&["gen_ai.operation.name", "ai.operationId", "llm.request.type"]).or_else(kind)
}

const REQUEST_MODEL: [&str; 5] =
    ["gen_ai.request.model", "llm.request.model", "ai.model.id", "llm.model_name", "embedding.model_name"];
const RESPONSE_MODEL: [&str; 3] = ["gen_ai.response.model", "llm.response.model", "ai.response.model"];

/// What every span of a call says in the same way: ids, time, provider, model, outcome, owner.
pub(super) fn event_of(span: &Span<'_>, context: &Context, dialect: Dialect) -> Result<UsageEvent, Rejected> {
    let id = span.id().ok_or_else(|| Rejected::new("spanId", Problem::Missing))?;
    let id = reading::text("spanId", &id)?;
    let attributes = &span.attributes;
    let answered = attributes.first_plain(&RESPONSE_MODEL);
    let requested = attributes.first_plain(&REQUEST_MODEL);
    let provider = provider_of(span);
    let named = |model: Option<&str>| model.and_then(|model| names::model(model, &provider));
    let model = named(answered).or_else(|| named(requested)).unwrap_or(Text::known(UNKNOWN));

    let mut event = context.event(dialect, id, span.started(context.received_at)?, provider.clone(), model);
    event.product.requested_model = named(requested).filter(|requested| *requested != event.product.model);
    let tier = ["openai.response.service_tier", "gen_ai.openai.response.service_tier", "gen_ai.response.service_tier"];
    event.product.service_tier = attributes.first_plain(&tier).and_then(labels::loose).filter(litellm::is_a_tier);
    event.outcome = outcome_of(span);
    let call = attributes.first_plain(&["gen_ai.response.id", "ai.response.id"]).and_then(labels::loose);
    event.provider_request_id = call;
    event.session = attributes.first_plain(&SESSION).and_then(labels::loose);
    event.owner = owner_of(span);
    Ok(event)
}

/// What the operator says, else the address the call went to, which knows better than the library that made it.
fn provider_of(span: &Span<'_>) -> Text {
    let ours = span.attributes.plain("farthing.provider").or_else(|| span.resource().plain("farthing.provider"));
    if let Some(ours) = ours.and_then(names::provider) {
        return ours;
    }
    let seller = span.attributes.plain("server.address").and_then(hosts::seller).map(Text::known);
    let said = [
        "gen_ai.provider.name",
        "gen_ai.system",
        "llm.provider",
        "ai.model.provider",
        "llm.system",
        "llm.vendor",
        "langfuse.observation.metadata.ls_provider",
        "langfuse.observation.metadata.provider",
    ];
    let said = || span.attributes.first_plain(&said).filter(|name| *name != "_OTHER").and_then(names::provider);
    seller.or_else(said).unwrap_or(Text::known(UNKNOWN))
}

/// A failed call may have cost something, unless its status code says that the provider turned it away.
fn outcome_of(span: &Span<'_>) -> Outcome {
    if !span.is_error {
        return Outcome::Succeeded;
    }
    let code = span.attributes.first_plain(&CODES);
    match status::outcome(code.and_then(|code| code.parse().ok())) {
        // The code of a transfer that broke off later, or none at all.
        Outcome::Succeeded => Outcome::Failed,
        outcome => outcome,
    }
}

const USER: [&str; 8] = [
    "user.id",
    "enduser.id",
    "langfuse.user.id",
    "ai.telemetry.metadata.userId",
    "ai.telemetry.metadata.user_id",
    "traceloop.association.properties.user_id",
    "traceloop.association.properties.userId",
    "user_id",
];
const SESSION: [&str; 8] = [
    "session.id",
    "gen_ai.conversation.id",
    "langfuse.session.id",
    "ai.telemetry.metadata.sessionId",
    "ai.telemetry.metadata.session_id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.sessionId",
    "session_id",
];

/// Where callers attach what they like; a dimension's own name in there is that dimension.
const METADATA: [&str; 5] = [
    "ai.telemetry.metadata.",
    "langfuse.trace.metadata.",
    "promptkit.label.",
    "trace.metadata.",
    "traceloop.association.properties.",
];

/// Who bears it. `farthing.team` and its kin, on a span or once for a whole program on its resource, go before everything
/// else; the conventions have no team, no project and no key.
pub(super) fn owner_of(span: &Span<'_>) -> Owner {
    let dimension = |name: &str, of_span: &[&str], of_resource: &[&str]| {
        let ours = format!("farthing.{name}");
        let said = span.attributes.plain(&ours).or_else(|| span.resource().plain(&ours));
        let said = said.or_else(|| span.attributes.first_plain(of_span));
        let in_metadata = || METADATA.iter().find_map(|prefix| span.attributes.plain(&format!("{prefix}{name}")));
        let said = said.or_else(in_metadata).or_else(|| span.resource().first_plain(of_resource));
        // What an SDK writes when nobody named the program.
        said.filter(|name| !name.starts_with("unknown_service")).and_then(labels::loose)
    };
    Owner {
        user: dimension("user", &USER, &[]),
        team: dimension("team", &[], &[]),
        project: dimension("project", &[], &[]),
        key: dimension("key", &[], &[]),
        app: dimension("app", &[], &["service.name"]),
        agent: dimension("agent", &["gen_ai.agent.name", "ai.telemetry.functionId"], &[]),
        environment: dimension(
            "environment",
            &["langfuse.environment", "deployment.environment.name"],
            &["deployment.environment.name", "deployment.environment", "langfuse.environment"],
        ),
    }
}

/// What a caller attached to a call: plain values only.
fn add_labels(span: &Span<'_>, labels: &mut Labels) {
    for prefix in ["ai.telemetry.metadata.", "traceloop.association.properties.", "promptkit.label."] {
        add_labels_under(span, prefix, labels);
    }
    if let Some(metadata) = span.attributes.plain("metadata").and_then(|metadata| Object::parse(metadata, "").ok()) {
        labels.add_all("", Some(metadata));
    }
    labels.add("service_namespace", span.resource().plain("service.namespace"));
}

pub(super) fn add_labels_under(span: &Span<'_>, prefix: &str, labels: &mut Labels) {
    for (name, value) in span.attributes.under(prefix) {
        let is_dimension = matches!(name, "userId" | "user_id" | "sessionId" | "session_id");
        if !is_dimension {
            labels.add(name, value.plain());
        }
    }
}

pub(super) fn claimed(span: &Span<'_>, names: &[&str]) -> Option<Claimed> {
    let amount = amount(span.attributes.first_plain(names)?)?;
    Some(Claimed { amount, currency: Currency::USD })
}

/// An amount that somebody claims; one that is none is left out rather than refused, because nothing is posted by it.
pub(super) fn amount(text: &str) -> Option<Amount> {
    Amount::parse_rounded(text).ok().map(|(amount, _)| amount).filter(|amount| !amount.is_negative())
}

const INPUT: [&str; 8] = [
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
    "llm.usage.prompt_tokens",
    "ai.usage.inputTokens",
    "ai.usage.promptTokens",
    "ai.usage.tokens",
    "embedding.token_count.prompt",
];
const OUTPUT: [&str; 6] = [
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
    "llm.usage.completion_tokens",
    "ai.usage.outputTokens",
    "ai.usage.completionTokens",
];
const TOTAL: [&str; 4] = ["gen_ai.usage.total_tokens", "llm.token_count.total", "llm.usage.total_tokens", "ai.usage.totalTokens"];
const CACHED: [&str; 8] = [
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.input_tokens.cached",
    "gen_ai.usage.cache_read_tokens",
    "gen_ai.usage.details.cache_read_tokens",
    "llm.token_count.prompt_details.cache_read",
    "ai.usage.inputTokenDetails.cacheReadTokens",
    "ai.usage.cachedInputTokens",
];
const WRITTEN: [&str; 6] = [
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write_tokens",
    "gen_ai.usage.details.cache_write_tokens",
    "llm.token_count.prompt_details.cache_write",
    "ai.usage.inputTokenDetails.cacheWriteTokens",
];
const REASONING: [&str; 8] = [
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.output_tokens.reasoning",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.details.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
    "llm.usage.reasoning_tokens",
    "ai.usage.outputTokenDetails.reasoningTokens",
    "ai.usage.reasoningTokens",
];

pub(super) fn counts_of(span: &Span<'_>) -> Counts {
    let literal = |names: &[&str]| span.attributes.first(names).and_then(|value| value.literal());
    Counts {
        input: literal(&INPUT),
        output: literal(&OUTPUT),
        total: literal(&TOTAL),
        cache_read: literal(&CACHED),
        cache_write: literal(&WRITTEN),
        reasoning: literal(&REASONING),
        audio_in: literal(&["llm.token_count.prompt_details.audio", "gen_ai.usage.details.input_audio_tokens"]),
        audio_out: literal(&["llm.token_count.completion_details.audio", "gen_ai.usage.details.output_audio_tokens"]),
        // PromptKit's input is what was not cached, and it tells nothing else.
        exclusive: span.attributes.has_any(&[PROMPTKIT_COST]),
        ..Counts::default()
    }
}

/// What a span counts that is not understood.
pub(super) fn unread(span: &Span<'_>) -> Option<Box<str>> {
    unknown::attributes(span, &[&INPUT, &OUTPUT, &TOTAL, &CACHED, &WRITTEN, &REASONING, &COSTS, &CODES])
}

/// Counts as attributes have them, each as a JSON literal, on their way into the shape that checks and splits them.
#[derive(Default)]
pub(super) struct Counts {
    pub input: Option<String>,
    pub output: Option<String>,
    pub total: Option<String>,
    pub cache_read: Option<String>,
    pub cache_write: Option<String>,
    /// What of the cache writes lives for an hour.
    pub cache_write_1h: Option<String>,
    pub reasoning: Option<String>,
    pub audio_in: Option<String>,
    pub audio_out: Option<String>,
    pub searches: Option<String>,
    /// The cache's counts stand beside the input instead of inside it.
    pub exclusive: bool,
}

impl Counts {
    /// Disjoint counts, or nothing where there are none.
    pub fn read(self) -> Result<Option<Usage>, Rejected> {
        if [&self.input, &self.output, &self.total].into_iter().all(Option::is_none) {
            return Ok(None);
        }
        let object = |fields: &[(&str, &Option<String>)]| {
            let fields = fields.iter().filter_map(|(name, value)| Some(format!("\"{name}\":{}", value.as_ref()?)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        };
        if self.exclusive {
            let block = object(&[
                ("input_tokens", &self.input.or(Some("0".to_owned()))),
                ("cache_read_input_tokens", &self.cache_read),
                ("cache_creation_input_tokens", &self.cache_write),
                ("output_tokens", &self.output),
            ]);
            return Shape::Anthropic.read(&block, "usage").map(|read| Some(read.usage));
        }
        let by_ttl = object(&[("ephemeral_1h_input_tokens", &self.cache_write_1h)]);
        let of_input = object(&[
            ("cached_tokens", &self.cache_read),
            ("cache_creation_tokens", &self.cache_write),
            ("cache_creation_token_details", &Some(by_ttl)),
            ("audio_tokens", &self.audio_in),
            ("web_search_requests", &self.searches),
        ]);
        let of_output = object(&[("reasoning_tokens", &self.reasoning), ("audio_tokens", &self.audio_out)]);
        let block = object(&[
            ("prompt_tokens", &self.input),
            ("completion_tokens", &self.output),
            ("total_tokens", &self.total),
            ("prompt_tokens_details", &Some(of_input)),
            ("completion_tokens_details", &Some(of_output)),
        ]);
        Shape::Litellm.read(&block, "usage").map(|read| Some(read.usage))
    }
}

/// What the Vercel AI SDK passes on of a provider's own words.
struct Said {
    counted: Option<Usage>,
    reported: Option<Reported>,
}

/// Anthropic's own block leaves no doubt about what its input includes, and splits cache writes by time to live, so it goes
/// before the SDK's sums; OpenRouter's says what it charged. With the caller's own key that is only a fee, which shows in an
/// upstream cost above it, and then the amount is left out.
fn said_by_provider(span: &Span<'_>) -> Option<Said> {
    let mut metadata = Object::parse(span.attributes.plain("ai.response.providerMetadata")?, "").ok()?;
    let usage =
        |metadata: &mut Object<'_>, provider: &str| metadata.inner(provider)?.take("usage").map(|usage| usage.get().to_owned());
    let anthropic = usage(&mut metadata, "anthropic").and_then(|block| Shape::Anthropic.read(&block, "usage").ok());
    let counted = anthropic.map(|Read { usage, .. }| usage).filter(|usage| matches!(usage, Usage::Counted(_)));
    let reported = usage(&mut metadata, "openrouter").and_then(|block| {
        let mut block = Object::parse(&block, "usage").ok()?;
        let (cost, rounded) = block.amount("cost").ok()??;
        let upstream = block.inner("costDetails").and_then(|mut details| details.amount("upstreamInferenceCost").ok()?);
        let is_whole = upstream.is_none_or(|(upstream, _)| upstream <= cost);
        is_whole.then_some(Reported { amount: cost, currency: Currency::USD, byok: false, upstream_amount: None, rounded })
    });
    Some(Said { counted, reported })
}
