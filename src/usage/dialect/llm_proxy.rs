//! Usage records of the LLM Interactive Proxy, as its `/v1/usage/export` wraps them and as its table has them. One call is two
//! rows with the same reported usage, one for the client's leg and one for the backend's; only the backend's (`PTB`) is charged. Its
//! own token columns are a local tokenizer's estimates and are never priced: the usage that the backend reported is, or the
//! event is held until somebody knows it.

use super::labels::Labels;
use super::{Context, Dialect, Told, names, native, status, unknown};
use crate::usage::reading::{self, Object, Problem, Rejected, kind, string};
use crate::usage::shape::Read;
use crate::usage::{Owner, Reported, Text, Usage};
use serde_json::value::RawValue;
use std::borrow::Cow;

const DIALECT: Dialect = Dialect::LlmProxy;

pub fn read(json: &str, context: &Context) -> Result<Told, Rejected> {
    let mut row = Object::parse(json, "")?;
    // Without its leg a row may be either of two that say the same.
    let leg = row.required_text("leg")?;
    if &*leg != "PTB" {
        return Ok(Told::Nothing("not the leg from the proxy to the backend; that one is charged"));
    }
    let id = row.required_text("id")?;
    let occurred_at = row.moment("timestamp", context.received_at)?;
    let (backend, instance) = (row.text("backend_type")?, row.text("backend_instance_id")?);
    let target = Target::of(&row.required_text("model")?, backend.as_deref(), instance.as_deref())?;
    let provider = target.provider.ok_or_else(|| row.wrong("backend_type", Problem::Missing))?;
    let mut event = context.event(DIALECT, id, occurred_at, provider, target.model);

    let block = ["backend_reported_usage", "backend_reported_usage_json"].into_iter().find_map(|name| row.take(name));
    let read = block.and_then(text_of).map(|block| read_usage(&block)).transpose()?.flatten();
    let is_reported = read.is_some();
    let (outcome, read) = status::settle(status::outcome(row.count("http_status_code")?), read);
    event.outcome = outcome;
    event.usage = read.usage;
    event.reported = read.reported;
    event.product.service_tier = read.service_tier;

    let mut labels = Labels::default();
    let instance = instance.or(target.instance);
    labels.add("instance", instance.as_deref());
    labels.add("call_purpose", row.loose("call_purpose"));
    labels.add("frontend", row.loose("frontend_type"));
    labels.add("selector", target.is_selector.then_some("unresolved"));
    labels.add("usage", (!is_reported).then_some("not reported by the backend"));
    event.labels = labels.into_sorted();
    event.owner = Owner { user: row.loose("proxy_user"), app: row.loose("app_title"), key: instance, ..Owner::default() };
    event.session = row.loose("session_id");
    event.extra = unknown::fields(&row.rest());
    Ok(Told::event(event))
}

/// What was called: who is paid, under which of the proxy's credentials, and the model without what only steers the proxy.
struct Target {
    provider: Option<Text>,
    instance: Option<Text>,
    model: Text,
    is_selector: bool,
}

impl Target {
    /// Takes a model apart. Parameters after `?` never change a price. A backend in front (`openrouter:`, `openrouter.2:` for its
    /// second credential) goes; a variant behind (`:free`) is part of the name. A selector (`a|b`, `x^y`, `x!y`,
    /// `hybrid:[a,b]`, `[first]`) names no model that was called, so nothing is made of it: it finds no price and is held.
    fn of(written: &str, backend: Option<&str>, instance: Option<&str>) -> Result<Target, Rejected> {
        let text = |name: &str| reading::text("model", name);
        if written.contains(['|', '^', '!', '[']) {
            return Ok(Target { provider: backend.and_then(sold_by), instance: None, model: text(written)?, is_selector: true });
        }
        let bare = written.split_once('?').map_or(written, |(model, _)| model);
        let is_backend = |front: &str| {
            let stem = stem(front);
            [backend, instance].contains(&Some(front))
                || backend == Some(stem)
                || (backend.is_none() && sold_by(stem).is_some_and(|_| names::exact(stem).is_some()))
        };
        let (front, model) = match bare.split_once(':') {
            Some((front, model)) if !model.is_empty() && is_backend(front) => (Some(front), model),
            _ => (None, bare),
        };
        let backend = backend.or(front.map(stem));
        let provider = backend.and_then(sold_by);
        let model = match &provider {
            Some(provider) => names::model(model, provider).map_or_else(|| text(model), Ok)?,
            None => text(model)?,
        };
        Ok(Target {
            provider,
            instance: front.filter(|front| stem(front) != *front).and_then(Text::new),
            model,
            is_selector: false,
        })
    }
}

/// The backend of an instance: `openrouter` of `openrouter.2`.
fn stem(instance: &str) -> &str {
    let numbered = instance.rsplit_once('.').filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
    numbered.map_or(instance, |(stem, _)| stem)
}

/// A backend is a provider only under its exact name. Several backends (`gemini-oauth-plan`, `openai-codex`) use a subscription with
/// a provider, whose prices by the token are not theirs; they keep their names, and are held until somebody says what they cost.
fn sold_by(backend: &str) -> Option<Text> {
    match backend {
        "openai-responses" => Some(Text::known("openai")),
        _ => names::exact(backend).or_else(|| Text::new(backend)),
    }
}

/// The reported usage, if it is a block with counts.
fn read_usage(block: &str) -> Result<Option<Read>, Rejected> {
    if kind(block) != "an object" {
        return Ok(None);
    }
    let value: &RawValue = match serde_json::from_str(block) {
        Ok(value) => value,
        Err(e) => return Err(Rejected::new("backend_reported_usage", Problem::Syntax(e.to_string()))),
    };
    let fields = Object::parse(block, "backend_reported_usage")?;
    if !["prompt_tokens", "input_tokens", "promptTokenCount", "inputTokens"].into_iter().any(|name| fields.has(name)) {
        return Ok(None);
    }
    let mut read = native::read_usage(value)?;
    let answered = matches!(&read.usage, Usage::Counted(counts) if counts.has_output());
    if let Some(reported) = read.reported.take() {
        read.reported = Some(if fields.has("is_byok") { reported } else { with_own_key(reported, fields, answered) });
    }
    Ok(Some(read))
}

/// The proxy drops OpenRouter's `is_byok`. But with the caller's own key `cost` is only a small fee, or nothing, and the upstream's
/// charge is more than it, which is so otherwise only where OpenRouter takes nothing for a call without an answer.
fn with_own_key(reported: Reported, mut usage: Object<'_>, answered: bool) -> Reported {
    let mut details = usage.inner("cost_details");
    let upstream = details.as_mut().and_then(|details| details.amount("upstream_inference_cost").ok().flatten());
    match upstream {
        Some((upstream, rounded)) if upstream > reported.amount && (answered || !reported.amount.is_zero()) => {
            Reported { byok: true, upstream_amount: Some(upstream), rounded: rounded || reported.rounded, ..reported }
        }
        _ => reported,
    }
}

fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    if kind(value.get()) == "a string" { string(value) } else { Some(Cow::Borrowed(value.get())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::usage::{Meter, Outcome, Quantities, UsageEvent};

    fn told(json: &str) -> Result<Told, Rejected> {
        let received_at = Instant::parse("2026-09-03T12:00:00Z").unwrap();
        read(json, &Context { received_at, source: None, strict: false })
    }

    fn event(json: &str) -> UsageEvent {
        told(json).unwrap().into_event().unwrap()
    }

    const ROW: &str = r#"{"id":"u-9","timestamp":"2026-09-02T08:00:03","session_id":"cli-7","turn_number":4,
        "backend_type":"openrouter","backend_instance_id":"openrouter.2","model":"anthropic/claude-sonnet-4",
        "frontend_type":"anthropic","leg":"PTB","verbatim_prompt_tokens":2050,"mutated_prompt_tokens":2210,
        "mutated_completion_tokens":180,"total_tokens":2390,"backend_reported_usage":{"prompt_tokens":2304,
        "completion_tokens":191,"total_tokens":2495,"prompt_tokens_details":{"cached_tokens":1024},
        "completion_tokens_details":{"reasoning_tokens":64},"cost":0.0070122,"cost_details":{"upstream_inference_cost":null}},
        "http_status_code":200,"proxy_user":"dora","app_title":"ide","call_purpose":"quality_verifier"}"#;

    #[test]
    fn what_the_backend_reported_is_the_usage() {
        let event = event(ROW);
        let counts = [(Meter::Input, 1280), (Meter::CacheRead, 1024), (Meter::Output, 127), (Meter::Reasoning, 64)];
        assert_eq!(event.usage, Usage::Counted(Quantities::of(&counts)));
        assert_eq!(event.reported.as_ref().unwrap().amount.to_string(), "0.0070122");
        assert!(!event.reported.as_ref().unwrap().byok);
        let owner = &event.owner;
        assert_eq!([&owner.user, &owner.app, &owner.key].map(|name| name.as_deref().unwrap()), ["dora", "ide", "openrouter.2"]);
        let labels: Vec<_> = event.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels, ["call_purpose=quality_verifier", "frontend=anthropic", "instance=openrouter.2"]);
        assert_eq!(
            event.extra.as_deref().unwrap(),
            r#"{"turn_number":4,"verbatim_prompt_tokens":2050,"mutated_prompt_tokens":2210,"mutated_completion_tokens":180,"total_tokens":2390}"#
        );
    }

    #[test]
    fn only_the_leg_to_the_backend_is_charged() {
        for leg in ["CTP", "BTP", "PTC"] {
            assert!(matches!(told(&ROW.replace("PTB", leg)), Ok(Told::Nothing(_))), "{leg}");
        }
        assert_eq!(told(&ROW.replace("\"leg\":\"PTB\",", "")).unwrap_err().to_string(), "leg: missing");
    }

    #[test]
    fn the_tables_text_says_the_same_as_the_exports_object() {
        let start = ROW.find("\"backend_reported_usage\":").unwrap();
        let end = ROW.find(",\n        \"http_status_code\"").unwrap();
        let object = &ROW[start + "\"backend_reported_usage\":".len()..end];
        let text = format!("\"backend_reported_usage_json\":{}", serde_json::to_string(object).unwrap());
        let table = format!("{}{text}{}", &ROW[..start], &ROW[end..]);
        assert_eq!(event(&table).content_hash(), event(ROW).content_hash());
    }

    #[test]
    fn estimates_are_never_priced() {
        let start = ROW.find("\"backend_reported_usage\":").unwrap();
        let end = ROW.find("\"http_status_code\"").unwrap();
        let estimated = format!("{}{}", &ROW[..start], &ROW[end..]);
        assert_eq!(event(&estimated).usage, Usage::Missing);
        let label = event(&estimated).labels.into_iter().find(|(key, _)| &**key == "usage").unwrap().1;
        assert_eq!(&*label, "not reported by the backend");
        let refused = event(&estimated.replace("\"http_status_code\":200", "\"http_status_code\":429"));
        assert_eq!((refused.outcome, refused.usage), (Outcome::Refused, Usage::Counted(Quantities::NONE)));
    }

    #[test]
    fn with_the_callers_own_key_the_upstreams_charge_is_a_second_amount() {
        let own_key =
            ROW.replace("0.0070122", "0.00035").replace("\"upstream_inference_cost\":null", "\"upstream_inference_cost\":0.007");
        let reported = event(&own_key).reported.unwrap();
        assert!(reported.byok);
        assert_eq!(
            (reported.amount.to_string(), reported.upstream_amount.unwrap().to_string()),
            ("0.00035".into(), "0.007".into())
        );
        // Without it the upstream's figure is the same money again.
        let same = ROW.replace("\"upstream_inference_cost\":null", "\"upstream_inference_cost\":0.0070122");
        assert_eq!(event(&same).reported, event(ROW).reported);
        // Nothing answered, nothing taken: the zero holds, whatever the upstream asks of the router.
        let empty =
            own_key.replace("0.00035", "0").replace("\"completion_tokens\":191,\"total_tokens\":2495", "\"completion_tokens\":0");
        let empty = empty.replace("\"reasoning_tokens\":64", "\"reasoning_tokens\":0");
        assert!(!event(&empty).reported.unwrap().byok);
        assert!(event(&own_key.replace("0.00035", "0")).reported.unwrap().byok);
    }

    #[test]
    fn a_model_loses_what_only_steers_the_proxy() {
        for (backend, instance, written, expected) in [
            (
                "openrouter",
                "openrouter.2",
                "openrouter:anthropic/claude-3-5-sonnet?temperature=0.7&top_p=0.9",
                "openrouter anthropic/claude-3-5-sonnet",
            ),
            ("openrouter", "openrouter.2", "openrouter.2:openai/gpt-4o", "openrouter openai/gpt-4o"),
            ("openrouter", "", "openai/gpt-4o-mini:free", "openrouter openai/gpt-4o-mini:free"),
            ("openrouter", "", "openrouter:openai/gpt-4o-mini:nitro?reasoning_effort=low", "openrouter openai/gpt-4o-mini:nitro"),
            ("", "", "openrouter.2:openai/gpt-4o", "openrouter openai/gpt-4o"),
            ("ollama", "", "llama3:8b", "ollama llama3:8b"),
            ("openai-responses", "", "gpt-4o", "openai gpt-4o"),
            ("gemini-oauth-plan", "", "gemini-2.5-pro", "gemini-oauth-plan gemini-2.5-pro"),
            ("openrouter", "", "openai/gpt-4o|anthropic/claude-sonnet-4", "openrouter openai/gpt-4o|anthropic/claude-sonnet-4"),
            ("openrouter", "", "hybrid:[a/b,c/d]", "openrouter hybrid:[a/b,c/d]"),
        ] {
            let given = |text: &'static str| Some(text).filter(|text| !text.is_empty());
            let target = Target::of(written, given(backend), given(instance)).unwrap();
            assert_eq!(format!("{} {}", target.provider.unwrap(), target.model), expected);
        }
    }

    #[test]
    fn a_selector_is_kept_as_it_is_and_said_to_be_unresolved() {
        for selector in ["a/x|b/y", "[weight=3]a/x^b/y", "a/x!b/y", "hybrid:[a/x,b/y]", "[thinker]a/x?temperature=1"] {
            let event = event(&ROW.replace("anthropic/claude-sonnet-4", selector));
            assert_eq!(&*event.product.model, selector);
            assert!(event.labels.iter().any(|(key, value)| (&**key, &**value) == ("selector", "unresolved")));
        }
    }
}
