//! A response as a program got it: chat completions, the Responses API, the Messages API or embeddings, whole or the last chunk
//! of a stream. Its `id` is the generation's. Who asked is not part of a response; a sender may add the dimensions beside it
//! (`user`, `team`, ...) and `session_id`, and the labels of `metadata`.

use crate::usage::dialect::labels::Labels;
use crate::usage::dialect::{Context, Dialect, Told, litellm, names, unknown};
use crate::usage::reading::{Object, Problem, Rejected};
use crate::usage::shape::{Read, Shape};
use crate::usage::{Outcome, Owner, Text, UNKNOWN, Usage};

pub fn read(mut response: Object<'_>, context: &Context) -> Result<Told, Rejected> {
    let is_chunk = response.loose("object").is_some_and(|object| object.ends_with(".chunk"));
    if is_chunk && !response.has("usage") {
        return Ok(Told::Nothing("a chunk of a stream; the last one has the usage"));
    }
    let id = response.required_text("id")?;
    let created = match response.moment("created", context.received_at)? {
        Some(created) => Some(created),
        None => response.moment("created_at", context.received_at)?,
    };
    let provider = Text::known("openrouter");
    let model = response.loose("model").and_then(|model| names::model(&model, &provider)).unwrap_or(Text::known(UNKNOWN));
    let mut event = context.event(Dialect::Openrouter, id.clone(), created, provider, model);
    event.source = context.source.clone().unwrap_or(Text::known("openrouter-response"));
    event.provider_request_id = Some(id);
    event.product.served_by = response.loose("provider");

    let read = response.take("usage").map(|usage| Shape::Openrouter.read(usage.get(), "usage")).transpose()?;
    let Read { usage, reported, service_tier, variant, region } = read.unwrap_or(Read::of(Usage::Missing));
    event.usage = match usage {
        Usage::Counted(counts) if counts.is_empty() => Usage::Missing,
        // What was charged is known, however it was counted.
        Usage::Contradictory { .. } if reported.is_some() => Usage::Missing,
        usage => usage,
    };
    event.reported = reported;
    event.product.variant = variant;
    event.product.region = region;
    event.product.service_tier = response.loose("service_tier").or(service_tier).filter(litellm::is_a_tier);
    let finished = response.array("choices").ok().flatten().and_then(|choices| {
        let mut choice = Object::parse(choices.first()?.get(), "").ok()?;
        choice.loose("finish_reason")
    });
    if response.has("error") || finished.as_deref() == Some("error") {
        event.outcome = Outcome::Failed;
    }
    event.session = response.loose("session_id");
    event.owner = Owner {
        user: response.loose("user"),
        team: response.loose("team"),
        project: response.loose("project"),
        key: response.loose("key"),
        app: response.loose("app"),
        agent: response.loose("agent"),
        environment: response.loose("environment"),
    };
    let mut labels = Labels::default();
    labels.add_all("", response.inner("metadata"));
    event.labels = labels.into_sorted();
    if event.usage == Usage::Missing && event.reported.is_none() && !response.has("usage") && event.outcome == Outcome::Succeeded
    {
        // Something with an id that is no response at all would be held for ever.
        let is_response = event.product.model.as_ref() != UNKNOWN;
        if !is_response {
            return Err(response.wrong("usage", Problem::Missing));
        }
    }
    event.extra = unknown::numbers(&response.rest());
    Ok(Told::event(event))
}
