//! Omnia's provider calls and provider usage, as its session API writes them (camel case) and as its tables hold them (snake
//! case). `inputTokens` is without what came from the cache and `outputTokens` without reasoning; cache writes and reasoning
//! are in no row, though their money is in `costUsd`, a float that Omnia computed itself: claimed and never posted, least of
//! all the 0 of a model it does not know. A call is written as pending first and later, under the same id, as completed.

use super::labels::Labels;
use super::{Context, Dialect, Told, names, unknown};
use crate::money::Currency;
use crate::usage::reading::{Object, Problem, Rejected};
use crate::usage::{Claimed, Meter, Outcome, Owner, Quantities, Text, Usage};

const DIALECT: Dialect = Dialect::Omnia;

pub fn read(json: &str, context: &Context) -> Result<Told, Rejected> {
    let mut row = Object::parse(json, "")?;
    let id = row.required_text("id")?;
    let occurred_at = {
        let name = spelled(&row, "createdAt", "created_at");
        row.moment(name, context.received_at)?
    };
    let (kind, named) = (row.loose("provider"), loose(&mut row, "providerName", "provider_name"));
    let model = row.required_text("model")?;
    let provider = sold_by(named.as_ref(), kind.as_ref(), &model);
    let provider = provider.ok_or_else(|| row.wrong("provider", Problem::Missing))?;
    let model = names::model(&model, &provider).unwrap_or(model);
    let mut event = context.event(DIALECT, id, occurred_at, provider, model);

    let status = row.loose("status");
    let is_pending = status.as_deref() == Some("pending");
    event.outcome = if status.as_deref() == Some("failed") { Outcome::Failed } else { Outcome::Succeeded };
    let counts = Quantities::of(&[
        (Meter::Input, count(&mut row, "inputTokens", "input_tokens")?),
        (Meter::CacheRead, count(&mut row, "cachedTokens", "cached_tokens")?),
        (Meter::Output, count(&mut row, "outputTokens", "output_tokens")?),
    ]);
    // A failed call carries no tokens although it may have been billed, and no call that succeeded used nothing.
    event.usage = if is_pending || counts.is_empty() { Usage::Missing } else { Usage::Counted(counts) };
    event.calls = count(&mut row, "callCount", "call_count")?.max(1);
    let cost = {
        let name = spelled(&row, "costUsd", "cost_usd");
        row.amount(name).ok().flatten()
    };
    event.claimed = cost.filter(|_| !is_pending).map(|(amount, _)| Claimed { amount, currency: Currency::USD });

    let namespace = row.loose("namespace");
    let mut labels = Labels::default();
    labels.add("namespace", namespace.as_deref());
    labels.add("workspace", loose(&mut row, "workspaceName", "workspace_name"));
    labels.add("provider_name", named);
    labels.add("source", row.loose("source"));
    let mut theirs = row.inner("labels");
    // Nothing in a row names the provider's call; whoever can label a call may do it here.
    event.provider_request_id = theirs.as_mut().and_then(|labels| labels.loose("provider_request_id"));
    labels.add_all("", theirs);
    event.labels = labels.into_sorted();
    event.owner = Owner { project: namespace, agent: loose(&mut row, "agentName", "agent_name"), ..Owner::default() };
    event.session = loose(&mut row, "sessionId", "session_id");
    event.extra = unknown::fields(&row.rest());
    // A pending row that arrives after the completed one, as a poller may send it, takes nothing back.
    Ok(if is_pending { Told::Update(Box::new(event)) } else { Told::event(event) })
}

/// Who is paid. `provider` is a type, and a type that names a provider is believed; only `openai` is also the type of whatever
/// imitates OpenAI's API, OpenRouter first of all, and there what the operator called the endpoint is the better clue. So, where
/// the type is `openai` or missing: the provider that the endpoint's name begins with; the endpoint's name itself where the model
/// is a `vendor/model` that OpenAI does not have (no list knows such a name, and the event is held under it); the type; the name.
fn sold_by(named: Option<&Text>, kind: Option<&Text>, model: &str) -> Option<Text> {
    let by_kind = kind.and_then(|kind| names::provider(kind));
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("openai")) {
        return by_kind;
    }
    let by_name = named.and_then(|name| names::begins(name));
    by_name.or_else(|| named.filter(|_| model.contains('/')).cloned()).or(by_kind).or_else(|| named.cloned())
}

/// What a field is called in this row.
fn spelled(row: &Object<'_>, camel: &'static str, snake: &'static str) -> &'static str {
    if row.has(snake) { snake } else { camel }
}

fn loose(row: &mut Object<'_>, camel: &'static str, snake: &'static str) -> Option<Text> {
    row.loose(spelled(row, camel, snake))
}

fn count(row: &mut Object<'_>, camel: &'static str, snake: &'static str) -> Result<u64, Rejected> {
    Ok(row.count(spelled(row, camel, snake))?.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::usage::UsageEvent;

    fn told(json: &str) -> Told {
        let received_at = Instant::parse("2026-09-03T12:00:00Z").unwrap();
        read(json, &Context { received_at, source: None, strict: false }).unwrap()
    }

    fn event(json: &str) -> UsageEvent {
        told(json).into_event().unwrap()
    }

    const CALL: &str = r#"{"id":"pc-1","sessionId":"s-1","namespace":"agents","agentName":"support","provider":"openai",
        "providerName":"openrouter","model":"anthropic/claude-sonnet-4","status":"completed","inputTokens":1200,
        "outputTokens":340,"cachedTokens":800,"costUsd":0.00894,"durationMs":2110,"finishReason":"stop","toolCallCount":0,
        "errorMessage":"nothing","labels":{"run":"r9"},"source":"judge","createdAt":"2026-09-02T10:11:12Z"}"#;

    #[test]
    fn the_api_and_the_table_say_the_same() {
        let row = r#"{"id":"pc-1","session_id":"s-1","namespace":"agents","agent_name":"support","provider":"openai",
            "provider_name":"openrouter","model":"anthropic/claude-sonnet-4","status":"completed","input_tokens":1200,
            "output_tokens":340,"cached_tokens":800,"cost_usd":0.00894,"duration_ms":2110,"labels":{"run":"r9"},
            "source":"judge","created_at":"2026-09-02 10:11:12+00"}"#;
        let (call, row) = (event(CALL), event(row));
        assert_eq!(call.content_hash(), row.content_hash(), "{:?}", call.differences(&row));
        assert_eq!((&*call.product.provider, &*call.product.model), ("openrouter", "anthropic/claude-sonnet-4"));
        let counts = [(Meter::Input, 1200), (Meter::CacheRead, 800), (Meter::Output, 340)];
        assert_eq!(call.usage, Usage::Counted(Quantities::of(&counts)));
        assert_eq!(call.claimed.unwrap().amount.to_string(), "0.00894");
        assert_eq!(call.reported, None);
        assert_eq!((call.owner.project.as_deref(), call.owner.agent.as_deref()), (Some("agents"), Some("support")));
        let labels: Vec<_> = call.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels, ["namespace=agents", "provider_name=openrouter", "run=r9", "source=judge"]);
        assert_eq!(call.extra.as_deref(), Some(r#"{"durationMs":2110,"finishReason":"stop","toolCallCount":0}"#));
    }

    #[test]
    fn a_label_may_name_the_providers_call() {
        let named = event(&CALL.replace("\"run\":\"r9\"", "\"provider_request_id\":\"gen-1\""));
        assert_eq!(named.provider_request_id.as_deref(), Some("gen-1"));
        assert!(named.labels.iter().all(|(key, _)| &**key != "provider_request_id"));
    }

    #[test]
    fn the_endpoints_name_says_who_is_paid_where_the_type_cannot() {
        for (kind, name, model, expected) in [
            ("openai", "openrouter", "anthropic/claude-sonnet-4", "openrouter anthropic/claude-sonnet-4"),
            ("openai", "openrouter-prod", "meta-llama/llama-3.3-70b-instruct", "openrouter meta-llama/llama-3.3-70b-instruct"),
            ("openai", "llm-hub", "anthropic/claude-sonnet-4", "llm-hub anthropic/claude-sonnet-4"),
            ("openai", "llm-hub", "gpt-4o", "openai gpt-4o"),
            ("openai", "", "gpt-4o", "openai gpt-4o"),
            ("claude", "team-model", "claude-sonnet-4-5", "anthropic claude-sonnet-4-5"),
            ("gemini", "", "gemini-2.5-pro", "google gemini-2.5-pro"),
            ("", "llm-hub", "m", "llm-hub m"),
            ("bedrock", "claude-eu", "anthropic.claude-sonnet-4-5", "bedrock anthropic.claude-sonnet-4-5"),
            ("claude", "openai-replacement", "claude-sonnet-4-5", "anthropic claude-sonnet-4-5"),
            ("openai", "openai-azure", "gpt-4o", "azure gpt-4o"),
        ] {
            let row = format!(r#"{{"id":"a","provider":"{kind}","providerName":"{name}","model":"{model}","inputTokens":1}}"#);
            let product = event(&row).product;
            assert_eq!(format!("{} {}", product.provider, product.model), expected);
        }
    }

    #[test]
    fn a_pending_call_says_nothing_of_usage_and_takes_nothing_back() {
        let pending = CALL.replace("completed", "pending").replace("0.00894", "0");
        let Told::Update(pending) = told(&pending) else { panic!("a pending row is an update") };
        assert_eq!((&pending.usage, pending.claimed), (&Usage::Missing, None));
        let completed = event(CALL);
        assert_eq!(completed.differences(&completed.updated_by(&pending)), Vec::<&str>::new());
        assert_eq!(pending.differences(&completed), ["usage", "claimed"]);
    }

    #[test]
    fn no_tokens_are_unknown_tokens_and_a_zero_is_no_price() {
        let failed = CALL.replace("completed", "failed").replace("1200", "0").replace("340", "0").replace("800", "0");
        let failed = event(&failed);
        assert_eq!((failed.outcome, failed.usage), (Outcome::Failed, Usage::Missing));
        let unknown = event(&CALL.replace("0.00894", "0"));
        assert!(unknown.claimed.unwrap().amount.is_zero() && unknown.reported.is_none());
    }

    #[test]
    fn workspace_usage_stands_for_many_calls() {
        let row = r#"{"id":"pu-1","namespace":"agents","workspaceName":"acme","provider":"openai","providerName":"embed",
            "model":"text-embedding-3-small","source":"embedding","inputTokens":5000,"outputTokens":0,"cachedTokens":0,
            "costUsd":0,"callCount":25,"createdAt":"2026-09-02T10:00:00Z"}"#;
        let row = event(row);
        assert_eq!((row.calls, &*row.product.provider), (25, "openai"));
        assert_eq!(row.usage, Usage::Counted(Quantities::of(&[(Meter::Input, 5000)])));
        let labels: Vec<_> = row.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels, ["namespace=agents", "provider_name=embed", "source=embedding", "workspace=acme"]);
    }
}
