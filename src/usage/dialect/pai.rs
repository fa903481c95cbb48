//! Pai publishes no record of its own, so this is a neutral event that an operator makes of its gateway's log; the shape is ours.
//! Models are written with the provider in front (`openrouter/anthropic/claude-3-haiku`), and usage is the provider's own block,
//! with OpenRouter's `cost` where it said one. An event without `event_id` is named by everything it says
//! ([`derived`]), so that a file that is read twice is booked once.

use super::labels::{Labels, plain};
use super::{Context, Dialect, Told, derived, names, native, status, unknown};
use crate::usage::Owner;
use crate::usage::Text;
use crate::usage::reading::{self, Object, Problem, Rejected};

const DIALECT: Dialect = Dialect::Pai;

pub fn read(json: &str, context: &Context) -> Result<Told, Rejected> {
    let mut body = Object::parse(json, "")?;
    let id = match body.text("event_id")? {
        Some(id) => id,
        None => reading::text("event_id", &derived::id("pai", json, &["event_id"]))?,
    };
    let source = body.text("source")?;
    let occurred_at = body.moment("occurred_at", context.received_at)?;
    let sold_at = body.text("model_provider")?;
    let asked = body.text("requested_model")?;
    let answered = body.text("model")?;
    let written = answered.clone().or(asked.clone()).ok_or_else(|| body.wrong("requested_model", Problem::Missing))?;
    let (provider, model) = sold_by(sold_at.as_ref(), &written).ok_or_else(|| body.wrong("model_provider", Problem::Missing))?;

    let mut event = context.event(DIALECT, id, occurred_at, provider, model);
    if let (None, Some(source)) = (&context.source, source) {
        event.source = source;
    }
    event.provider_request_id = body.loose("provider_request_id");
    event.product.requested_model = asked.filter(|asked| *asked != event.product.model);
    let usage = body.take("usage").map(native::read_usage).transpose()?;
    let (outcome, usage) = status::settle(status::outcome(body.count("http_status")?), usage);
    event.outcome = outcome;
    event.usage = usage.usage;
    event.reported = usage.reported;
    event.product.service_tier = usage.service_tier;

    let workspace = body.loose("workspace");
    let mut labels = Labels::default();
    labels.add("model_provider", sold_at.filter(|name| *name != event.product.provider));
    for name in ["fallback_index", "external"] {
        labels.add(name, body.take(name).and_then(plain));
    }
    labels.add_all("", body.inner("labels"));
    event.labels = labels.into_sorted();
    event.owner = Owner {
        user: body.loose("user"),
        project: workspace,
        agent: body.loose("agent"),
        key: body.loose("access_key").map(|key| named(&key)),
        ..Owner::default()
    };
    event.session = body.loose("session");
    event.extra = unknown::fields(&body.rest());
    Ok(Told::event(event))
}

/// A key's name as it is; of a key itself only as much of a hash as tells it from the others. It opens a door, and a book is read
/// by many.
fn named(access_key: &Text) -> Text {
    const SECRET: &str = "pak_";
    match access_key.starts_with(SECRET) {
        true => {
            let hash = blake3::hash(access_key.as_bytes()).to_hex();
            Text::new(format!("{SECRET}{}", &hash[..12])).expect("sixteen letters and digits are a text")
        }
        false => access_key.clone(),
    }
}

/// Provider and model as price lists name them. A segment in front is taken off a model only where it names the ModelProvider
/// or its kind, and before `vendor/model` also where it is any provider's name: `openai/gpt-4o` at a ModelProvider that
/// nobody knows may be anybody's.
fn sold_by(sold_at: Option<&Text>, written: &Text) -> Option<(Text, Text)> {
    let known = sold_at.and_then(|name| names::begins(name));
    if let Some(provider) = known {
        let model = names::model(written, &provider)?;
        return Some((provider, model));
    }
    let (front, rest) = written.split_once('/').unwrap_or(("", written));
    let model = Text::new(rest)?;
    match sold_at {
        Some(own) if **own == *front => Some((own.clone(), model)),
        _ if rest.contains('/') && names::exact(front).is_some() => Some((names::exact(front)?, model)),
        Some(own) => Some((own.clone(), written.clone())),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::usage::{Meter, Outcome, Quantities, Usage, UsageEvent};

    fn event(json: &str) -> UsageEvent {
        let received_at = Instant::parse("2026-09-03T12:00:00Z").unwrap();
        read(json, &Context { received_at, source: None, strict: false }).unwrap().into_event().unwrap()
    }

    const CALL: &str = r#"{"source":"pai","event_id":null,"occurred_at":"2026-09-02T23:59:58Z","workspace":"team-a",
        "agent":"triage","session":"s-41","model_provider":"openrouter","requested_model":"openrouter/anthropic/claude-3-haiku",
        "fallback_index":1,"access_key":"pak_7","external":false,"http_status":200,
        "usage":{"prompt_tokens":5100,"completion_tokens":260,"total_tokens":5360,"cost":0.0016}}"#;

    #[test]
    fn a_call_at_openrouter_is_read_with_what_openrouter_charged() {
        let event = event(CALL);
        assert_eq!((&*event.product.provider, &*event.product.model), ("openrouter", "anthropic/claude-3-haiku"));
        assert_eq!(event.product.requested_model.as_deref(), Some("openrouter/anthropic/claude-3-haiku"));
        assert_eq!(event.usage, Usage::Counted(Quantities::of(&[(Meter::Input, 5100), (Meter::Output, 260)])));
        assert_eq!(event.reported.unwrap().amount.to_string(), "0.0016");
        assert_eq!((event.owner.project.as_deref(), event.owner.key.as_deref()), (Some("team-a"), Some("pak_9edff48de7fd")));
        let labels: Vec<_> = event.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels, ["external=false", "fallback_index=1"]);
    }

    #[test]
    fn a_key_is_not_kept_but_its_name_is() {
        // printf %s pak_7 | b3sum | cut -c 1-12
        assert_eq!(&*named(&Text::known("pak_7")), "pak_9edff48de7fd");
        assert_eq!(&*named(&Text::known("ci of team-a")), "ci of team-a");
        assert!(!format!("{:?}", event(CALL)).contains("pak_7"));
    }

    #[test]
    fn an_event_without_an_id_is_named_by_what_it_says() {
        let one = event(CALL);
        assert!(one.id.starts_with("pai:") && one.id.len() == 36, "{}", one.id);
        let again = CALL.replace("5100", "5.1e3").replace("\"event_id\":null,", "").replace("\"external\":false,", "");
        let again = again.replace("\"usage\"", "\"external\": false, \"prompt\":\"hello\", \"usage\"");
        assert_eq!(event(&again).id, one.id);
        assert_ne!(event(&CALL.replace("260", "261").replace("5360", "5361")).id, one.id);
        assert_eq!(&*event(&CALL.replace("\"event_id\":null", "\"event_id\":\"e-1\"")).id, "e-1");
        let named = event(&CALL.replace("\"event_id\":null", "\"provider_request_id\":\"gen-1\""));
        assert_eq!(named.provider_request_id.as_deref(), Some("gen-1"));
    }

    #[test]
    fn only_a_providers_name_is_taken_off_a_model() {
        for (sold_at, written, expected) in [
            ("openrouter", "openrouter/anthropic/claude-3-haiku", "openrouter anthropic/claude-3-haiku"),
            ("openrouter", "anthropic/claude-3-haiku", "openrouter anthropic/claude-3-haiku"),
            ("openrouter-eu", "openrouter/openai/gpt-4o:free", "openrouter openai/gpt-4o:free"),
            ("anthropic", "anthropic/claude-haiku-4-5", "anthropic claude-haiku-4-5"),
            ("our-llm", "our-llm/openai/gpt-4o", "our-llm openai/gpt-4o"),
            ("our-llm", "openrouter/openai/gpt-4o", "openrouter openai/gpt-4o"),
            ("our-llm", "openai/gpt-4o", "our-llm openai/gpt-4o"),
        ] {
            let (provider, model) = sold_by(Text::new(sold_at).as_ref(), &Text::new(written).unwrap()).unwrap();
            assert_eq!(format!("{provider} {model}"), expected);
        }
    }

    #[test]
    fn a_refused_call_costs_nothing_and_one_that_answered_without_usage_is_unknown() {
        let without = CALL.split("\"usage\"").next().unwrap().to_owned() + "\"cost_known\":false}";
        let refused = event(&without.replace("\"http_status\":200", "\"http_status\":429"));
        assert_eq!((refused.outcome, refused.usage), (Outcome::Refused, Usage::Counted(Quantities::NONE)));
        assert_eq!(event(&without).usage, Usage::Missing);
    }

    #[test]
    fn the_model_that_answered_is_priced_and_the_one_asked_for_is_kept() {
        let routed = CALL.replace("\"fallback_index\"", "\"model\":\"openrouter/openai/gpt-4o-mini\",\"fallback_index\"");
        let product = event(&routed.replace("anthropic/claude-3-haiku", "auto")).product;
        assert_eq!((&*product.model, product.requested_model.as_deref()), ("openai/gpt-4o-mini", Some("openrouter/auto")));
    }
}
