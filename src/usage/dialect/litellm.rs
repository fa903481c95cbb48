//! LiteLLM's standard logging payload, as its `generic_api` callback posts it for every call. An event is named by
//! `litellm_call_id`, because `id` is the provider's and comes back for cached answers; failed attempts of one call share
//! the call id, so each is named by its start as well; a batch is told anew by every poll, so it is named by the provider's
//! id of it. What LiteLLM computed stays a claimed amount; only what a provider
//! itself said it charged (OpenRouter, inside the usage block) is a reported one.

use super::labels::Labels;
use super::{Context, Dialect, Told, names, status, unknown};
use crate::money::Currency;
use crate::time::Instant;
use crate::usage::reading::{Object, Problem, Rejected, kind, string};
use crate::usage::shape::{Read, Shape};
use crate::usage::{Claimed, Outcome, Owner, Quantities, Text, UNKNOWN, Usage};
use serde_json::value::RawValue;

const DIALECT: Dialect = Dialect::Litellm;

/// A batch stands for many calls, and where nobody says how many, for more than one: then no condition of a single request is
/// asked of the sum of them.
const MORE_THAN_ONE: u64 = 2;

pub fn read(json: &str, context: &Context) -> Result<Told, Rejected> {
    let mut payload = Object::parse(json, "")?;
    let failed = payload.loose("status").is_some_and(|status| &*status == "failure");
    let provider_id = payload.loose("id");
    let call = payload.text("litellm_call_id")?.or_else(|| provider_id.clone());
    let call = call.ok_or_else(|| payload.wrong("litellm_call_id", Problem::Missing))?;
    let started = payload.moment("startTime", context.received_at)?;
    let mut error = payload.inner("error_information");
    let outcome = match payload.flag("cache_hit").unwrap_or_default() {
        Some(true) => Outcome::CacheHit,
        _ if failed => outcome_of_failure(error.as_mut()),
        _ => Outcome::Succeeded,
    };
    let mut hidden = payload.inner("hidden_params");
    let mut metadata = payload.inner("metadata");
    let mut response = payload.inner("response");
    let call_type = payload.loose("call_type");
    let is_poll = !failed && call_type.as_deref().is_some_and(|call| words(call) == ["retrieve", "batch"]);
    let batch = is_poll.then(|| {
        Batch::read(response.as_mut(), hidden.as_mut(), provider_id.as_ref().filter(|id| **id != call), context.received_at)
    });
    let id = match (&batch, failed, started) {
        (Some(Batch { id: Some(id), .. }), ..) => super::labels::loose(&format!("batch:{id}")).unwrap_or(call.clone()),
        (_, true, Some(started)) => super::labels::loose(&format!("{call}/failed@{started}")).unwrap_or(call.clone()),
        (_, true, None) => super::labels::loose(&format!("{call}/failed")).unwrap_or(call.clone()),
        (_, false, _) => call.clone(),
    };
    let occurred_at = batch.as_ref().map_or(started, |batch| batch.ended_at);

    let written = match &batch {
        Some(batch) => batch.model(payload.text("model")?),
        None => payload.text("model")?,
    };
    let answered = response.as_mut().and_then(|response| response.loose("model"));
    let sold = sold_by(payload.loose("custom_llm_provider"), written, answered);
    let group = payload.loose("model_group");

    let mut event = context.event(DIALECT, id, occurred_at, sold.provider, sold.model);
    event.product.requested_model = sold.asked.or(group).filter(|asked| *asked != event.product.model);
    event.product.served_by = response.as_mut().and_then(|response| response.loose("provider"));

    let counted = read_usage(&mut payload, metadata.as_mut(), response.as_mut(), hidden.as_mut(), &event.product.provider)?;
    let cost = payload.amount("response_cost").ok().flatten().map(|(amount, _)| amount);
    let cost_nothing = cost.is_none_or(|cost| cost.is_zero());
    let (outcome, counted) = match outcome {
        Outcome::CacheHit => (outcome, counted),
        // What had a cost was not turned away before any work.
        Outcome::Refused if !cost_nothing => status::settle(Outcome::Failed, Some(counted)),
        _ => status::settle(outcome, Some(counted)),
    };
    let used_nothing = match &batch {
        Some(batch) if counted.usage == Usage::Missing && cost_nothing && !batch.has_ended => {
            return Ok(Told::Nothing("a batch that is not done; the poll that finds it done says what it used"));
        }
        Some(batch) => batch.answered == Some(0),
        None => call_type.as_deref().is_some_and(uses_nothing),
    };
    event.outcome = outcome;
    event.usage = match counted.usage {
        Usage::Missing if used_nothing && cost_nothing => Usage::Counted(Quantities::NONE),
        usage => usage,
    };
    event.reported = counted.reported;
    event.claimed = cost.filter(|_| !failed).map(|amount| Claimed { amount, currency: Currency::USD });
    let mut breakdown = payload.inner("cost_breakdown");
    let of_breakdown = |name, breakdown: &mut Option<Object<'_>>| breakdown.as_mut().and_then(|breakdown| breakdown.loose(name));
    let served_tier = response.as_mut().and_then(|response| response.loose("service_tier"));
    // Who says `default` says which tier it was; `auto` only asks for one, and whoever is asked next may know.
    let tiers = [counted.service_tier, served_tier, of_breakdown("service_tier", &mut breakdown)];
    event.product.service_tier = tiers.into_iter().flatten().find(|tier| &**tier != "auto").filter(is_a_tier);
    event.product.region = of_breakdown("data_residency", &mut breakdown).or(of_breakdown("vertex_location", &mut breakdown));

    // The provider's own id of the call: LiteLLM makes one up where there is none, and repeats it for cached answers.
    // What used nothing (a look at a video, the creation of a batch) has the id of what did, and must not stand for it.
    event.provider_request_id =
        provider_id.filter(|id| *id != call && outcome != Outcome::CacheHit && !used_nothing && batch.is_none());
    // Each poll of a batch is a trace of its own.
    event.session = payload.loose("session_id").or(payload.loose("trace_id")).filter(|_| batch.is_none());
    if let Some(batch) = batch {
        event.calls = batch.answered.filter(|calls| *calls > 0).unwrap_or(MORE_THAN_ONE);
        event.product.service_tier = Some(Text::known("batch"));
    }
    let mut labels = Labels::default();
    event.owner = attribute(&mut payload, metadata, &mut labels);
    labels.add("call_type", call_type);
    labels.add("error", error.as_mut().and_then(|error| error.loose("error_class")));
    event.labels = labels.into_sorted();
    let mut unknown = payload.rest();
    unknown.retain(|(name, _)| SAYS_NOTHING_MORE.binary_search(&&**name).is_err());
    event.extra = unknown::fields(&unknown);
    Ok(Told::event(event))
}

/// Fields that every payload has and that say nothing of what was used, or say it again; all else that is unknown is kept.
const SAYS_NOTHING_MORE: [&str; 31] = [
    "api_base",
    "autorouter_baseline_observation",
    "autorouter_savings",
    "autorouter_savings_estimate",
    "cache_hit",
    "cache_key",
    "completionStartTime",
    "completion_tokens",
    "endTime",
    "error_str",
    "guardrail_information",
    "id",
    "messages",
    "model_id",
    "model_map_information",
    "prompt_tokens",
    "request_model_access_groups",
    "requester_ip_address",
    "response_cost",
    "response_cost_failure_debug_info",
    "response_time",
    "saved_cache_cost",
    "session_id",
    "standard_built_in_tools_params",
    "status",
    "status_fields",
    "stream",
    "total_tokens",
    "trace_id",
    "user_agent",
    "zero_cost_diagnostic",
];

pub(super) fn is_a_tier(tier: &Text) -> bool {
    !matches!(&**tier, "default" | "standard" | "auto")
}

/// What a failure was: one that the provider turned away cost nothing, one that broke off may have.
fn outcome_of_failure(error: Option<&mut Object<'_>>) -> Outcome {
    let code = error.and_then(|error| error.loose("error_code")).and_then(|code| code.parse::<u64>().ok());
    match status::outcome(code) {
        Outcome::Succeeded => Outcome::Failed,
        outcome => outcome,
    }
}

/// Whether a call of this kind uses nothing that anybody charges for: it is about a file, a batch, an assistant or what was made
/// before. Everything else uses something, and where no count came along (speech, pictures, moderation, whatever is only passed
/// through) nobody knows how much.
fn uses_nothing(call_type: &str) -> bool {
    const WORKS: [&str; 3] = ["generate", "run", "search"];
    const LOOKS: [&str; 6] = ["cancel", "content", "delete", "get", "list", "retrieve"];
    const KEEPS: [&str; 7] = ["assistant", "assistants", "file", "files", "message", "store", "thread"];
    let words = words(call_type);
    let has = |of: &[&str]| words.iter().any(|word| of.contains(word));
    match words[..] {
        ["send", "message"] => false,
        ["create", "batch"] => true,
        _ => !has(&WORKS) && (has(&LOOKS) || has(&KEEPS)),
    }
}

/// The words of a call type, without the `a` that LiteLLM puts before those of its asynchronous API.
fn words(call_type: &str) -> Vec<&str> {
    const FIRST: [&str; 11] =
        ["cancel", "create", "delete", "file", "generate", "get", "list", "retrieve", "run", "send", "video"];
    let bare = call_type.strip_prefix('a').map(|bare| bare.strip_prefix('_').unwrap_or(bare));
    let is_known = |bare: &&str| FIRST.contains(&bare.split('_').next().unwrap_or_default());
    bare.filter(is_known).unwrap_or(call_type).split('_').collect()
}

/// What a poll tells of a batch, beside its counts: only what the next poll will tell as well.
struct Batch {
    id: Option<Text>,
    ended_at: Option<Instant>,
    /// It will do no more, though it may not have got to all of its requests.
    has_ended: bool,
    /// How many of its requests were answered.
    answered: Option<u64>,
    models: Vec<Text>,
}

impl Batch {
    fn read(
        response: Option<&mut Object<'_>>,
        hidden: Option<&mut Object<'_>>,
        provider_id: Option<&Text>,
        received_at: Instant,
    ) -> Batch {
        let mut batch = Batch { id: provider_id.cloned(), ended_at: None, has_ended: false, answered: None, models: Vec::new() };
        if let Some(response) = response {
            batch.id = response.loose("id").or(batch.id);
            let mut moment = |name| response.moment(name, received_at).ok().flatten();
            let (completed, created) = (moment("completed_at"), moment("created_at"));
            batch.ended_at = completed.or(created);
            batch.has_ended = matches!(response.loose("status").as_deref(), Some("completed" | "expired" | "cancelled"));
        }
        if let Some(hidden) = hidden {
            batch.answered = hidden.count("batch_successful_requests").ok().flatten();
            let models = hidden.array("batch_models").ok().flatten().unwrap_or_default();
            batch.models = models.into_iter().filter_map(string).filter_map(|model| super::labels::loose(&model)).collect();
            batch.models.sort();
            batch.models.dedup();
        }
        batch
    }

    /// The one model that answered. The sum of what several used has no price.
    fn model(&self, written: Option<Text>) -> Option<Text> {
        match &self.models[..] {
            [] => written,
            [model] => written.or_else(|| Some(model.clone())),
            _ => Some(Text::known(UNKNOWN)),
        }
    }
}

/// Provider and model as price lists name them, and the model that was asked for where another one answered.
struct Sold {
    provider: Text,
    model: Text,
    asked: Option<Text>,
}

/// A router's name is never a price: what answered is. OpenRouter also falls back to another model and says which. A call of which
/// nobody says the model (one about files, one that was turned away) has none, and is held if it used anything.
fn sold_by(provider: Option<Text>, written: Option<Text>, answered: Option<Text>) -> Sold {
    let unknown = || Text::known(UNKNOWN);
    let written = written.or_else(|| answered.clone()).unwrap_or_else(unknown);
    let by_model = || names::provider(written.split_once('/').map_or(UNKNOWN, |(front, _)| front));
    let provider = provider.and_then(|provider| names::provider(&provider)).or_else(by_model).unwrap_or_else(unknown);
    let bare = |name: &Text| names::model(name, &provider).unwrap_or_else(|| name.clone());
    let model = bare(&written);
    let is_router = written.rsplit('/').next().is_some_and(|name| name == "auto" || name.starts_with("auto-"));
    // The answer leaves a variant such as `:nitro` out, and that is no other model; nor is an alias without a vendor.
    let stem = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
    let fell_back = |other: &Text| &*provider == "openrouter" && other.contains('/') && stem(other) != stem(&model);
    let other = answered.map(|answered| bare(&answered)).filter(|other| *other != model && (is_router || fell_back(other)));
    match other {
        Some(other) => Sold { provider, model: other, asked: Some(model) },
        None => Sold { provider, model, asked: None },
    }
}

/// The most detailed block there is. LiteLLM's own object says the most; redaction may have taken the response away.
fn read_usage(
    payload: &mut Object<'_>,
    metadata: Option<&mut Object<'_>>,
    response: Option<&mut Object<'_>>,
    hidden: Option<&mut Object<'_>>,
    provider: &str,
) -> Result<Read, Rejected> {
    let raw = response.and_then(|response| response.take("usage"));
    let own = metadata.and_then(|metadata| metadata.take("usage_object"));
    let hidden = hidden.and_then(|hidden| hidden.take("usage_object"));
    let block = [own, raw, hidden].into_iter().flatten().find(|block| kind(block.get()) == "an object");
    let Some(block) = block else {
        let totals = ["prompt_tokens", "completion_tokens", "total_tokens"];
        let counts = totals.map(|name| payload.take(name).map_or("0", RawValue::get));
        let [prompt, completion, total] = counts;
        let block = format!(r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}}}"#);
        return Shape::Litellm.read(&block, "usage");
    };
    let keys = Object::parse(block.get(), "usage_object")?;
    // LiteLLM passes the Responses and Messages APIs through in their own words, and may add a `cost` of its own to them.
    let is_passed_through = keys.has("input_tokens") && !keys.has("prompt_tokens");
    let says_of_cache =
        ["cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"].iter().any(|name| keys.has(name));
    let shape = match (is_passed_through, says_of_cache) {
        (false, _) => Shape::Litellm,
        (true, false) => Shape::OpenaiResponses,
        (true, true) => Shape::Anthropic,
    };
    let mut read = shape.read(block.get(), "usage_object")?;
    // OpenRouter writes what it charged into its usage block; every other cost in there is LiteLLM's own sum.
    if provider == "openrouter" && read.reported.is_none() {
        let with_cost = [raw, Some(block)].into_iter().flatten().find_map(|block| {
            let shape = Shape::evident(&Object::parse(block.get(), "usage").ok()?)?;
            (shape == Shape::Openrouter).then(|| shape.read(block.get(), "usage").ok())?
        });
        read.reported = with_cost.and_then(|read| read.reported);
    }
    Ok(read)
}

/// Who bears it by default: the end user where there is one, else the key's user; the key's team and project by their names.
/// All ids stay as labels, for rules that prefer another.
fn attribute(payload: &mut Object<'_>, metadata: Option<Object<'_>>, labels: &mut Labels) -> Owner {
    let mut parameters = payload.inner("model_parameters");
    let in_parameters = parameters.as_mut().and_then(|parameters| parameters.loose("user"));
    let mut end_user = payload.loose("end_user");
    if let Some(tags) = payload.take("request_tags") {
        read_tags(tags, labels);
    }
    let Some(mut metadata) = metadata else {
        return Owner { user: end_user.or(in_parameters), ..Owner::default() };
    };
    let mut of_key = |name: &str| {
        let value = metadata.loose(&format!("user_api_key_{name}"));
        labels.add(name, value.as_deref());
        value
    };
    let (team, team_alias) = (of_key("team_id"), of_key("team_alias"));
    let (project, project_alias) = (of_key("project_id"), of_key("project_alias"));
    let (hash, alias) = (of_key("hash"), of_key("alias"));
    let (user, _email, _org) = (of_key("user_id"), of_key("user_email"), of_key("org_id"));
    end_user = end_user.or(of_key("end_user_id")).or(in_parameters);
    labels.add("end_user", end_user.as_deref());
    labels.add_all("", metadata.inner("spend_logs_metadata"));
    labels.add_all("", metadata.inner("requester_metadata"));
    Owner {
        user: end_user.or(user),
        team: team_alias.or(team),
        project: project_alias.or(project),
        key: alias.or(hash),
        ..Owner::default()
    }
}

/// Tags are labels: `feature:search` under its own key, a plain word under `tag.`, and the proxy's remark on the caller's
/// program under `user_agent`.
fn read_tags(tags: &RawValue, labels: &mut Labels) {
    for tag in serde_json::from_str::<Vec<&RawValue>>(tags.get()).unwrap_or_default() {
        let Some(tag) = string(tag) else { continue };
        match tag.split_once(':') {
            Some(("User-Agent", agent)) => labels.add("user_agent", Some(agent)),
            Some((key, value)) if !key.trim().is_empty() => labels.add(key.trim(), Some(value)),
            _ => labels.add(format!("tag.{tag}"), Some("true")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::usage::{Meter, Quantities, UsageEvent};

    fn context() -> Context {
        Context { received_at: Instant::parse("2026-11-01T00:00:00Z").unwrap(), source: None, strict: false }
    }

    /// An event of a payload with these fields beside what every payload has.
    fn event(fields: &str) -> UsageEvent {
        let payload = format!(
            r#"{{"litellm_call_id":"call-1","id":"chatcmpl-9","custom_llm_provider":"openai","model":"gpt-4o-mini",
                "startTime":1790000000.5,"call_type":"acompletion","status":"success",{fields}}}"#
        );
        read(&payload, &context()).unwrap().into_event().unwrap()
    }

    const COUNTED: &str = r#""prompt_tokens":10,"completion_tokens":2,"total_tokens":12"#;

    #[test]
    fn the_most_detailed_counts_are_taken_and_totals_only_where_there_is_nothing_else() {
        let detailed = format!(
            r#"{COUNTED},"metadata":{{"usage_object":{{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"prompt_tokens_details":{{"cached_tokens":4}}}}}},
               "response":{{"usage":{{"prompt_tokens":10,"completion_tokens":2}}}}"#
        );
        let expected = Quantities::of(&[(Meter::Input, 6), (Meter::CacheRead, 4), (Meter::Output, 2)]);
        assert_eq!(event(&detailed).usage, Usage::Counted(expected));
        let plain = Quantities::of(&[(Meter::Input, 10), (Meter::Output, 2)]);
        assert_eq!(event(COUNTED).usage, Usage::Counted(plain));
        // Redaction leaves a text where the response was.
        assert_eq!(event(&format!(r#"{COUNTED},"response":"redacted-by-litellm""#)).usage, Usage::Counted(plain));
    }

    #[test]
    fn an_event_is_named_by_its_call_and_a_failed_attempt_by_its_start_too() {
        let said = event(&format!(r#"{COUNTED},"response_cost":0.00051"#));
        assert_eq!((&*said.id, said.provider_request_id.as_deref(), &*said.source), ("call-1", Some("chatcmpl-9"), "litellm"));
        assert_eq!(said.occurred_at.to_string(), "2026-09-21T14:13:20.500Z");
        assert_eq!((said.reported, said.claimed.unwrap().amount.to_string()), (None, "0.00051".to_owned()));

        let payload = |code: &str| {
            format!(
                r#"{{"litellm_call_id":"call-1","custom_llm_provider":"openai","model":"gpt-4o-mini","startTime":1790000000.5,"status":"failure",
                    "prompt_tokens":0,"completion_tokens":0,"response_cost":0,"error_information":{{"error_code":"{code}","error_class":"X"}}}}"#
            )
        };
        let read_failed = |code: &str| read(&payload(code), &context()).unwrap().into_event().unwrap();
        assert_eq!(&*read_failed("429").id, "call-1/failed@2026-09-21T14:13:20.500Z");
        let outcomes = ["401", "429", "408", "499", "500", ""].map(|code| read_failed(code).outcome.name());
        assert_eq!(outcomes, ["refused", "refused", "cancelled", "cancelled", "failed", "failed"]);
        // Nobody knows what a call used that broke off; one that was turned away used nothing.
        assert_eq!(read_failed("500").usage, Usage::Missing);
        assert_eq!(read_failed("429").usage, Usage::Counted(Quantities::NONE));
        assert_eq!(read_failed("500").claimed, None);
    }

    #[test]
    fn an_answer_from_litellms_own_cache_costs_nothing_and_holds_no_call() {
        let hit = event(&format!(r#"{COUNTED},"cache_hit":true,"response_cost":0.0"#));
        assert_eq!((hit.outcome, hit.provider_request_id), (Outcome::CacheHit, None));
    }

    #[test]
    fn a_provider_is_named_as_price_lists_name_it_and_a_router_by_what_answered() {
        let sold = |provider: &str, model: &str, more: &str| {
            let payload = format!(
                r#"{{"litellm_call_id":"c","custom_llm_provider":{provider},"model":"{model}","startTime":1790000000,{COUNTED}{more}}}"#
            );
            let event = read(&payload, &context()).unwrap().into_event().unwrap();
            format!("{} {}", event.product.provider, event.product.model)
        };
        assert_eq!(sold("\"vertex_ai\"", "gemini-2.5-pro", ""), "vertex gemini-2.5-pro");
        assert_eq!(sold("\"gemini\"", "gemini/gemini-2.5-pro", ""), "google gemini-2.5-pro");
        assert_eq!(
            sold("\"bedrock\"", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", ""),
            "bedrock us.anthropic.claude-sonnet-4-5-20250929-v1:0"
        );
        assert_eq!(sold("null", "openrouter/anthropic/claude-sonnet-4.5", ""), "openrouter anthropic/claude-sonnet-4.5");
        let answered = r#","response":{"model":"openai/gpt-4o-mini"}"#;
        assert_eq!(sold("\"openrouter\"", "openrouter/auto", answered), "openrouter openai/gpt-4o-mini");
        assert_eq!(sold("null", "gpt-4o-mini", ""), "unknown gpt-4o-mini", "it is held with that name");
    }

    #[test]
    fn only_what_openrouter_said_it_charged_is_reported() {
        let usage = r#""response":{"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"cost":0.0000123,"is_byok":false}}"#;
        assert_eq!(event(usage).reported, None);
        let payload = format!(
            r#"{{"litellm_call_id":"c","custom_llm_provider":"openrouter","model":"openai/gpt-4o-mini","startTime":1790000000,"response_cost":0.1,{usage}}}"#
        );
        let routed = read(&payload, &context()).unwrap().into_event().unwrap();
        assert_eq!(routed.reported.unwrap().amount.to_string(), "0.0000123");
    }

    #[test]
    fn the_end_user_goes_before_the_keys_user_and_every_id_is_a_label() {
        let metadata = r#""metadata":{"user_api_key_user_id":"u7","user_api_key_team_id":"t1","user_api_key_team_alias":"search","user_api_key_alias":"ci",
            "user_api_key_hash":"88dc","user_api_key_end_user_id":"ann","spend_logs_metadata":{"feature":"answers","deep":{"x":1}}},
            "request_tags":["User-Agent: curl","tier:gold","nightly"]"#;
        let event = event(&format!("{COUNTED},{metadata}"));
        assert_eq!(event.owner.in_words(), "user ann, team search, key ci");
        let labels: Vec<_> = event.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            labels,
            [
                "alias=ci",
                "call_type=acompletion",
                "end_user=ann",
                "end_user_id=ann",
                "feature=answers",
                "hash=88dc",
                "tag.nightly=true",
                "team_alias=search",
                "team_id=t1",
                "tier=gold",
                "user_agent=curl",
                "user_id=u7"
            ]
        );
    }

    fn of_payload(fields: &str) -> Told {
        let payload = format!(r#"{{"litellm_call_id":"c","custom_llm_provider":"openai","startTime":1790000000,{fields}}}"#);
        read(&payload, &context()).unwrap()
    }

    const UNCOUNTED: &str = r#""model":"gpt-4o-mini","prompt_tokens":0,"completion_tokens":0,"total_tokens":0"#;

    #[test]
    fn only_what_uses_nothing_is_nothing_and_the_rest_is_unknown() {
        let usage = |call_type: &str, cost: &str| {
            let fields = format!(r#"{UNCOUNTED},"id":"video_1","call_type":"{call_type}","response_cost":{cost}"#);
            let event = of_payload(&fields).into_event().unwrap();
            (event.usage, event.provider_request_id)
        };
        let nothing = Usage::Counted(Quantities::NONE);
        for call_type in [
            "afile_list",
            "file_content",
            "acreate_file",
            "acreate_batch",
            "cancel_batch",
            "alist_batches",
            "acreate_assistants",
            "a_add_message",
            "get_messages",
            "acreate_thread",
            "avector_store_create",
            "vector_store_file_update",
            "aretrieve_container",
            "avideo_content",
            "avideo_retrieve",
            "video_delete",
            "acancel_fine_tuning_job",
            "alist_input_items",
        ] {
            assert_eq!(usage(call_type, "0"), (nothing.clone(), None), "{call_type}");
            assert_eq!(usage(call_type, "0.001").0, Usage::Missing, "{call_type} had a price");
        }
        for call_type in [
            "",
            "acompletion",
            "pass_through_endpoint",
            "amoderation",
            "aimage_generation",
            "aspeech",
            "atranscription",
            "arerank",
            "acreate_video",
            "agenerate_content",
            "anthropic_messages",
            "asend_message",
            "arun_thread_stream",
            "vector_store_search",
            "create_container",
            "acreate_fine_tuning_job",
            "a_name_of_a_later_release",
        ] {
            assert_eq!(usage(call_type, "0").0, Usage::Missing, "{call_type}");
        }
    }

    /// A poll of one batch: which call it was, when, and what the provider and LiteLLM said of the batch.
    fn poll(call: &str, started: u64, response: &str, hidden: &str) -> Told {
        let payload = format!(
            r#"{{"litellm_call_id":"{call}","id":"batch_7","trace_id":"trace-{call}","custom_llm_provider":"openai","model":"gpt-4o-mini",
                "startTime":{started},"call_type":"aretrieve_batch","status":"success","prompt_tokens":0,"completion_tokens":0,
                "response":{{"id":"batch_7","created_at":1790000000{response}}},"hidden_params":{{{hidden}}}}}"#
        );
        read(&payload, &context()).unwrap()
    }

    #[test]
    fn a_batch_is_one_event_however_often_it_is_asked_for() {
        let done = r#","status":"completed","completed_at":1790003600,"usage":{"prompt_tokens":1000,"completion_tokens":200,"total_tokens":1200}"#;
        let polled = |call: &str, started| poll(call, started, done, "").into_event().unwrap();
        let (first, second) = (polled("a", 1_790_003_700), polled("b", 1_790_009_000));
        assert_eq!((&*first.id, &*second.id), ("batch:batch_7", "batch:batch_7"));
        assert_eq!(first.content_hash(), second.content_hash(), "{:?}", first.differences(&second));
        assert_eq!(first.occurred_at.to_string(), "2026-09-21T15:13:20Z");
        assert_eq!((first.calls, first.product.service_tier.as_deref()), (2, Some("batch")));
        assert_eq!(first.usage, Usage::Counted(Quantities::of(&[(Meter::Input, 1000), (Meter::Output, 200)])));
        let counted = poll("a", 1_790_003_700, done, r#""batch_successful_requests":40,"batch_models":["gpt-4o-mini"]"#);
        assert_eq!(counted.into_event().unwrap().calls, 40);
        let mixed = poll("a", 1_790_003_700, done, r#""batch_models":["gpt-4o-mini","gpt-4o"]"#).into_event().unwrap();
        assert_eq!(&*mixed.product.model, UNKNOWN, "the sum of two models has no price");
    }

    #[test]
    fn a_batch_without_a_time_is_not_told_apart_by_when_it_was_asked_for() {
        let redacted = |call: &str, started: u64| {
            let fields = format!(
                r#""litellm_call_id":"{call}","id":"batch_7","model":"m","startTime":{started},"call_type":"retrieve_batch",
                   "response":"redacted-by-litellm",{COUNTED}"#
            );
            read(&format!("{{{fields}}}"), &context()).unwrap().into_event().unwrap()
        };
        let (first, second) = (redacted("a", 1_790_003_700), redacted("b", 1_790_009_000));
        assert!(first.occurred_at_assumed);
        assert_eq!((first.id.clone(), first.content_hash()), (second.id.clone(), second.content_hash()));
    }

    #[test]
    fn a_batch_that_is_not_done_is_nothing_and_one_that_is_has_used_something() {
        assert!(matches!(poll("a", 1_790_000_100, r#","status":"in_progress""#, ""), Told::Nothing(_)));
        let done = |hidden: &str| poll("a", 1_790_003_700, r#","status":"completed""#, hidden).into_event().unwrap().usage;
        assert_eq!(done(""), Usage::Missing);
        assert_eq!(done(r#""batch_successful_requests":0"#), Usage::Counted(Quantities::NONE));
        let failed = of_payload(&format!(r#"{UNCOUNTED},"call_type":"aretrieve_batch","status":"failure""#));
        assert_eq!(failed.into_event().unwrap().usage, Usage::Counted(Quantities::NONE), "a poll that failed is no batch");
    }

    #[test]
    fn the_first_tier_that_is_said_decides() {
        let tier = |served: &str, computed: &str| {
            let fields =
                format!(r#"{COUNTED},"response":{{"service_tier":{served}}},"cost_breakdown":{{"service_tier":{computed}}}"#);
            event(&fields).product.service_tier.map(|tier| tier.to_string())
        };
        assert_eq!(tier("\"default\"", "\"priority\""), None, "flex was asked for and not given");
        assert_eq!(tier("\"auto\"", "\"flex\"").as_deref(), Some("flex"));
        assert_eq!(tier("null", "\"flex\"").as_deref(), Some("flex"));
        assert_eq!(tier("\"priority\"", "\"default\"").as_deref(), Some("priority"));
    }

    #[test]
    fn what_a_call_used_is_owed_although_it_was_turned_away_in_the_end() {
        let fields = format!(r#"{COUNTED},"model":"gpt-4o-mini","status":"failure","error_information":{{"error_code":"400"}}"#);
        let late = of_payload(&fields).into_event().unwrap();
        let counts = Quantities::of(&[(Meter::Input, 10), (Meter::Output, 2)]);
        assert_eq!((late.outcome, late.usage), (Outcome::Failed, Usage::Counted(counts)));
        let costly = r#""model":"m","status":"failure","error_information":{"error_code":"400"},"response_cost":0.1"#;
        let costly = of_payload(costly).into_event().unwrap();
        assert_eq!((costly.outcome, costly.usage), (Outcome::Failed, Usage::Missing));
        let cached = of_payload(&format!(r#"{fields},"cache_hit":true"#)).into_event().unwrap();
        assert_eq!(cached.outcome, Outcome::CacheHit);
    }

    #[test]
    fn a_call_without_a_model_is_taken_and_held_if_it_used_anything() {
        for model in ["\"\"", "null"] {
            let of = |more: &str| of_payload(&format!(r#""model":{model},{more}"#)).into_event().unwrap();
            let refused = of(r#""status":"failure","error_information":{"error_code":"401"}"#);
            assert_eq!((&*refused.product.model, refused.outcome), (UNKNOWN, Outcome::Refused));
            assert_eq!(refused.usage, Usage::Counted(Quantities::NONE));
            assert_eq!(of(r#""call_type":"afile_delete""#).usage, Usage::Counted(Quantities::NONE));
            assert_eq!(of(r#""call_type":"aspeech""#).usage, Usage::Missing);
            assert_eq!(&*of(COUNTED).product.model, UNKNOWN, "no list has it");
        }
    }

    #[test]
    fn what_openrouter_fell_back_to_is_priced_and_what_was_asked_for_is_kept() {
        let sold = |asked: &str, answered: &str| {
            let fields = format!(
                r#"{{"litellm_call_id":"c","custom_llm_provider":"openrouter","model":"{asked}","model_group":"small",{COUNTED},
                   "response":{{"model":"{answered}"}}}}"#
            );
            let product = read(&fields, &context()).unwrap().into_event().unwrap().product;
            format!("{} for {}", product.model, product.requested_model.unwrap())
        };
        assert_eq!(
            sold("openrouter/anthropic/claude-sonnet-4.5", "openai/gpt-4o-mini"),
            "openai/gpt-4o-mini for anthropic/claude-sonnet-4.5"
        );
        assert_eq!(sold("openai/gpt-4o-mini", "openai/gpt-4o-mini"), "openai/gpt-4o-mini for small");
        assert_eq!(sold("openai/gpt-4o-mini:nitro", "openai/gpt-4o-mini"), "openai/gpt-4o-mini:nitro for small");
        assert_eq!(sold("openai/gpt-4o-mini", "small"), "openai/gpt-4o-mini for small");
    }

    #[test]
    fn a_cost_beside_the_counts_does_not_change_whose_words_they_are() {
        let usage = |block: &str| event(&format!(r#""response":{{"usage":{block}}}"#)).usage;
        // OpenAI's 10 have the 4 cached ones in them, Anthropic's have not.
        let openai =
            r#"{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":2,"total_tokens":12,"cost":0.1}"#;
        let anthropic =
            r#"{"input_tokens":6,"cache_read_input_tokens":4,"cache_creation_input_tokens":0,"output_tokens":2,"cost":0.1}"#;
        let counts = Usage::Counted(Quantities::of(&[(Meter::Input, 6), (Meter::CacheRead, 4), (Meter::Output, 2)]));
        assert_eq!([usage(openai), usage(anthropic)], [counts.clone(), counts]);
    }

    #[test]
    fn what_nobody_knows_is_kept_and_what_everybody_sends_is_not() {
        assert!(SAYS_NOTHING_MORE.is_sorted());
        let event = event(&format!(
            r#"{COUNTED},"response_time":1.5,"user_agent":"x","model_map_information":{{"a":1}},"new_field":{{"why":"so"}},"messages":[{{"content":"secret"}}]"#
        ));
        assert_eq!(event.extra.as_deref(), Some(r#"{"new_field":{"why":"so"}}"#));
    }

    #[test]
    fn what_is_missing_is_named() {
        let said = |payload: &str| read(payload, &context()).unwrap_err().to_string();
        assert_eq!(said(r#"{"model":"m"}"#), "litellm_call_id: missing");
        assert_eq!(
            said(r#"{"litellm_call_id":"c","model":"m","startTime":"soon"}"#),
            "startTime: `soon` is not an RFC 3339 instant; write it like 2026-02-03T10:00:00Z"
        );
    }
}
