//! LiteLLM's standard logging payload, as its `generic_api` callback posts it for every call. An event is named by
//! `litellm_call_id`, because `id` is the provider's and comes back for cached answers; failed attempts of one call share
//! the call id, so each is named by its start as well. What LiteLLM computed stays a claimed amount; only what a provider
//! itself said it charged (OpenRouter, inside the usage block) is a reported one.

use super::labels::Labels;
use super::{Context, Dialect, Told, names};
use crate::money::Currency;
use crate::usage::reading::{Object, Problem, Rejected, kind, string};
use crate::usage::shape::{Read, Shape};
use crate::usage::{Claimed, Outcome, Owner, Text, Usage};
use serde_json::value::RawValue;

const DIALECT: Dialect = Dialect::Litellm;

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
    let id = match (failed, started) {
        (true, Some(started)) => super::labels::loose(&format!("{call}/failed@{started}")).unwrap_or(call.clone()),
        (true, None) => super::labels::loose(&format!("{call}/failed")).unwrap_or(call.clone()),
        (false, _) => call.clone(),
    };

    let mut hidden = payload.inner("hidden_params");
    let mut metadata = payload.inner("metadata");
    let mut response = payload.inner("response");
    let model_name = payload.text("model")?;
    let answered = response.as_mut().and_then(|response| response.loose("model"));
    let (provider, model) = sold_by(payload.loose("custom_llm_provider"), model_name, answered)
        .ok_or_else(|| payload.wrong("model", Problem::Missing))?;

    let mut event = context.event(DIALECT, id, started, provider, model);
    event.product.requested_model = payload.loose("model_group").filter(|group| *group != event.product.model);
    event.product.served_by = response.as_mut().and_then(|response| response.loose("provider"));
    event.outcome = outcome;

    let counted = read_usage(&mut payload, metadata.as_mut(), response.as_mut(), hidden.as_mut(), &event.product.provider)?;
    event.usage = match counted.usage {
        Usage::Counted(counts) if counts.is_empty() && !outcome.is_free() && (failed || uses_tokens(&mut payload)) => {
            Usage::Missing
        }
        usage => usage,
    };
    event.reported = counted.reported;
    let claimed = payload.amount("response_cost").ok().flatten().filter(|_| !failed);
    event.claimed = claimed.map(|(amount, _)| Claimed { amount, currency: Currency::USD });
    let mut breakdown = payload.inner("cost_breakdown");
    let of_breakdown = |name, breakdown: &mut Option<Object<'_>>| breakdown.as_mut().and_then(|breakdown| breakdown.loose(name));
    let served_tier = response.as_mut().and_then(|response| response.loose("service_tier"));
    event.product.service_tier =
        [counted.service_tier, served_tier, of_breakdown("service_tier", &mut breakdown)].into_iter().flatten().find(is_a_tier);
    event.product.region = of_breakdown("data_residency", &mut breakdown).or(of_breakdown("vertex_location", &mut breakdown));

    // The provider's own id of the call: LiteLLM makes one up where there is none, and repeats it for cached answers.
    event.provider_request_id = provider_id.filter(|id| *id != call && outcome != Outcome::CacheHit);
    event.session = payload.loose("session_id").or(payload.loose("trace_id"));
    let mut labels = Labels::default();
    event.owner = attribute(&mut payload, metadata, &mut labels);
    labels.add("call_type", payload.loose("call_type"));
    labels.add("error", error.as_mut().and_then(|error| error.loose("error_class")));
    event.labels = labels.into_sorted();
    Ok(Told::event(event))
}

pub(super) fn is_a_tier(tier: &Text) -> bool {
    !matches!(&**tier, "default" | "standard" | "auto")
}

/// What a failure was: one that the provider turned away cost nothing, one that broke off may have.
fn outcome_of_failure(error: Option<&mut Object<'_>>) -> Outcome {
    let code = error.and_then(|error| error.loose("error_code"));
    match code.and_then(|code| code.parse::<u16>().ok()) {
        // 408 and 499 are calls that somebody gave up waiting for; the provider may have worked on them.
        Some(408 | 499) => Outcome::Cancelled,
        Some(400..=498) => Outcome::Refused,
        _ => Outcome::Failed,
    }
}

/// Whether a call of this kind uses tokens: those about files, batches or models have no count because they use nothing.
fn uses_tokens(payload: &mut Object<'_>) -> bool {
    const KINDS: [&str; 5] = ["completion", "embedding", "responses", "anthropic", "generate_content"];
    payload.loose("call_type").is_none_or(|call| KINDS.iter().any(|kind| call.contains(kind)))
}

/// Provider and model as price lists name them. A router's name is never a price: what answered is.
fn sold_by(provider: Option<Text>, model: Option<Text>, answered: Option<Text>) -> Option<(Text, Text)> {
    let model = model.or_else(|| answered.clone())?;
    let provider = match provider.and_then(|provider| names::provider(&provider)) {
        Some(provider) => provider,
        None => names::provider(model.split_once('/').map_or("unknown", |(front, _)| front))?,
    };
    let router = model.rsplit('/').next().is_some_and(|name| name == "auto" || name.starts_with("auto-"));
    let model = answered.filter(|_| router).unwrap_or(model);
    Some((provider.clone(), names::model(&model, &provider)?))
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
    let mut read = match Shape::evident(&keys) {
        // LiteLLM passes the Responses and Messages APIs through in their own words.
        Some(Shape::OpenaiResponses) => Shape::OpenaiResponses.read(block.get(), "usage_object")?,
        Some(Shape::Anthropic) if !keys.has("prompt_tokens") => Shape::Anthropic.read(block.get(), "usage_object")?,
        _ => Shape::Litellm.read(block.get(), "usage_object")?,
    };
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

    #[test]
    fn what_is_about_files_or_models_uses_nothing() {
        let nothing = r#""prompt_tokens":0,"completion_tokens":0,"total_tokens":0"#;
        assert_eq!(event(nothing).usage, Usage::Missing);
        let payload = format!(
            r#"{{"litellm_call_id":"c","custom_llm_provider":"openai","model":"gpt-4o-mini","call_type":"afile_list",{nothing}}}"#
        );
        assert_eq!(read(&payload, &context()).unwrap().into_event().unwrap().usage, Usage::Counted(Quantities::NONE));
    }

    #[test]
    fn what_is_missing_is_named() {
        let said = |payload: &str| read(payload, &context()).unwrap_err().to_string();
        assert_eq!(said(r#"{"model":"m"}"#), "litellm_call_id: missing");
        assert_eq!(said(r#"{"litellm_call_id":"c"}"#), "model: missing");
        assert_eq!(
            said(r#"{"litellm_call_id":"c","model":"m","startTime":"soon"}"#),
            "startTime: `soon` is not an RFC 3339 instant; write it like 2026-02-03T10:00:00Z"
        );
    }
}
