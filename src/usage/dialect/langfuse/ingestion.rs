//! Langfuse's batch of observations, as its SDKs sent them before they spoke OpenTelemetry. A generation is created when a call
//! begins and updated when it ends, in one batch or in two, and batches overtake each other: so every part is an update of what
//! was told before, whichever comes first. Users stand on the trace and not on the generation; what its `metadata` says of the
//! dimensions is taken.

use super::details;
use crate::usage::dialect::labels::{self, Labels};
use crate::usage::dialect::{Context, Dialect, Told, makers, names, unknown};
use crate::usage::reading::{Object, Problem, Rejected};
use crate::usage::{Outcome, Owner, Text, UNKNOWN, Usage};

pub fn read(json: &str, context: &Context) -> Result<Told, Rejected> {
    let mut part = Object::parse(json, "")?;
    let kind = part.required_text("type")?;
    let body = part.take("body").ok_or_else(|| part.wrong("body", Problem::Missing))?;
    let mut body = Object::parse(body.get(), "body")?;
    let creates = kind.ends_with("-create");
    let is_call = match &*kind {
        "generation-create" | "generation-update" | "embedding-create" => true,
        // The oldest way: the kind of observation stands inside.
        "observation-create" | "observation-update" => {
            body.loose("type").is_some_and(|kind| matches!(&*kind, "GENERATION" | "EMBEDDING"))
        }
        _ => false,
    };
    if !is_call {
        return Ok(Told::Nothing("an observation around generations; what was used is told by those"));
    }

    let id = body.required_text("id")?;
    let started = match body.moment("startTime", context.received_at)? {
        // An update that names no start says nothing about it; a creation began when it was told.
        None if creates => part.moment("timestamp", context.received_at)?,
        started => started,
    };
    let mut metadata = body.inner("metadata");
    let mut of_metadata = |names: &[&str]| names.iter().find_map(|name| metadata.as_mut()?.loose(name));
    let mut labels = Labels::default();
    let provider = of_metadata(&["provider", "ls_provider"]).and_then(|provider| names::provider(&provider));
    let model = body.text("model")?;
    // Only a creation assumes one: an update may not overrule a provider that was told before.
    let assumed_by = model.as_deref().filter(|_| creates);
    let provider = makers::or_maker(provider, assumed_by, &mut labels);
    let model = model.and_then(|model| names::model(&model, &provider)).unwrap_or(Text::known(UNKNOWN));
    let mut event = context.event(Dialect::Langfuse, id, started, provider, model);
    event.owner = Owner {
        user: of_metadata(&["user_id", "userId", "langfuse_user_id"]),
        team: of_metadata(&["team"]),
        project: of_metadata(&["project"]),
        key: None,
        app: of_metadata(&["app"]),
        agent: of_metadata(&["agent"]),
        environment: body.loose("environment"),
    };
    event.session = of_metadata(&["session_id", "sessionId", "langfuse_session_id"]);
    if body.loose("level").as_deref() == Some("ERROR") {
        event.outcome = Outcome::Failed;
    }

    let (older, newer) = (body.take("usage"), body.take("usageDetails"));
    let read = |details: Option<&serde_json::value::RawValue>| {
        details.map(|details| details::read_usage(details.get())).transpose().map(Option::flatten)
    };
    event.usage = match read(newer)? {
        Some(usage) => usage,
        None => read(older)?.unwrap_or(Usage::Missing),
    };
    let cost = body.take("costDetails").and_then(|cost| details::read_cost(cost.get()));
    event.claimed = cost.or_else(|| details::read_total_cost(older?.get()));

    for (name, value) in metadata.map(Object::rest).unwrap_or_default() {
        labels.add(&name, labels::plain(value).filter(|value| value.len() <= 256));
    }
    labels.add("version", body.loose("version"));
    event.labels = labels.into_sorted();
    event.extra = unknown::numbers(&body.rest());
    Ok(Told::Update(Box::new(event)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::usage::{Meter, Quantities};

    fn told(json: &str) -> Told {
        let received_at = Instant::parse("2026-10-02T00:00:00Z").unwrap();
        read(json, &Context { received_at, source: None, strict: false }).unwrap()
    }

    #[test]
    fn a_generation_is_told_in_parts_that_fit_together_in_any_order() {
        let create = r#"{"id":"e1","type":"generation-create","timestamp":"2026-10-01T00:00:01Z",
            "body":{"id":"g1","traceId":"t1","startTime":"2026-10-01T00:00:00Z","model":"gpt-4o","input":"secret","metadata":{"provider":"openai","user_id":"ann"}}}"#;
        let update = r#"{"id":"e2","type":"generation-update","timestamp":"2026-10-01T00:00:03Z",
            "body":{"id":"g1","endTime":"2026-10-01T00:00:02Z","output":"secret",
                    "usageDetails":{"input":100,"input_cached_tokens":900,"output":50},"costDetails":{"total":0.01}}}"#;
        let (Told::Update(create), Told::Update(update)) = (told(create), told(update)) else { panic!("not updates") };
        assert_eq!(create.usage, Usage::Missing);
        assert!(update.occurred_at_assumed);
        for whole in [create.updated_by(&update), update.updated_by(&create)] {
            assert_eq!((&*whole.id, &*whole.product.provider, &*whole.product.model), ("g1", "openai", "gpt-4o"));
            assert_eq!(whole.occurred_at.to_string(), "2026-10-01T00:00:00Z");
            let expected = [(Meter::Input, 100), (Meter::CacheRead, 900), (Meter::Output, 50)];
            assert_eq!(whole.usage, Usage::Counted(Quantities::of(&expected)));
            assert_eq!(whole.claimed.unwrap().amount.to_string(), "0.01");
            assert_eq!(whole.owner.user.as_deref(), Some("ann"));
        }
    }

    #[test]
    fn what_stands_around_generations_is_nothing() {
        for kind in ["trace-create", "span-create", "span-update", "event-create", "score-create", "sdk-log"] {
            let part = format!(r#"{{"id":"e","type":"{kind}","body":{{"id":"x","usage":{{"input":5}}}}}}"#);
            assert!(matches!(told(&part), Told::Nothing(_)), "{kind}");
        }
        let oldest = r#"{"id":"e","type":"observation-create","body":{"id":"x","type":"GENERATION","usage":{"promptTokens":5,"completionTokens":2,"totalTokens":7}}}"#;
        let Told::Update(event) = told(oldest) else { panic!("a generation is a call") };
        assert_eq!(event.usage, Usage::Counted(Quantities::of(&[(Meter::Input, 5), (Meter::Output, 2)])));
    }
}
