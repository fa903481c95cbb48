//! Events in our own words: posted one at a time, in arrays or line by line; and one of them shown with its entries and the
//! reason of its price. Other people's words have a file of their own, [`dialects`](super::dialects).

use super::answer::Json;
use super::caller::Known;
use super::dialects::{self, DELIVERY_ID};
use super::receive::{Post, Wanted, reply};
use super::wire::{self, EntryBody, EventRef};
use super::{App, Problem};
use crate::flow::access::Scope;
use crate::flow::intake::Framing;
use crate::ledger::seal::State as Standing;
use crate::store::StoredEvent;
use crate::usage::dialect::Dialect;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub async fn create(
    State(service): App,
    known: Known,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // Keeptrusts has a route of this name too, and its deliveries say what they are.
    if headers.contains_key(DELIVERY_ID) {
        return dialects::deliver(&service, known, &headers, body).await;
    }
    let (framing, dialect) = content_type(&headers)?;
    let wanted = Wanted::of(query.as_deref())?;
    let post = Post::receive(&service, known, &headers, body).await?;
    Ok(reply(post.take_in(&service, framing, dialect, wanted.strict).await?, &wanted))
}

fn content_type(headers: &HeaderMap) -> Result<(Framing, Dialect), Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok((Framing::Json, Dialect::Native)) };
    let value = value.to_str().unwrap_or_default();
    match value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        // What curl says when nobody says anything.
        "application/json" | "text/json" | "application/x-www-form-urlencoded" => Ok((Framing::Json, Dialect::Native)),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok((Framing::Lines, Dialect::Native)),
        "application/cloudevents+json" | "application/cloudevents-batch+json" => Ok((Framing::Json, Dialect::CloudEvents)),
        other => {
            let detail = format!("`{}` is not read here", other.chars().take(60).collect::<String>());
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "The content type is not supported", detail)
                .hint("send application/json, application/x-ndjson or application/cloudevents+json"))
        }
    }
}

#[derive(Serialize)]
struct EventBody {
    source: String,
    id: String,
    /// How it was written.
    dialect: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// What holds today.
    event: Box<serde_json::value::RawValue>,
    /// What its gateway computed by itself: kept, never booked.
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed: Option<ClaimedBody>,
    /// The event of another source on whose word its call is booked, or that holds the call which is booked on its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    booked_with: Option<EventRef>,
    /// Earlier and contradicting contents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revisions: Vec<RevisionBody>,
    entries: Vec<EntryBody>,
    /// How its price was found, under the catalog version it was booked with.
    explanation: Explanation,
}

#[derive(Serialize)]
struct ClaimedBody {
    amount: String,
    currency: String,
    /// What it is above what is booked.
    drift: String,
}

#[derive(Serialize)]
struct RevisionBody {
    revision: u32,
    state: &'static str,
    event: Box<serde_json::value::RawValue>,
}

#[derive(Serialize)]
struct Explanation {
    catalog_version: i64,
    tried: Vec<String>,
    /// Where the card that decided was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

pub async fn show(State(service): App, known: Known, Path((source, id)): Path<(String, String)>) -> Result<Response, Problem> {
    let caller = known.may(Scope::Read)?;
    let missing = || Problem::not_found(format!("no event {id} of {source}"));
    let explained = service.farthing.explain(caller.org, &source, &id).await?.ok_or_else(missing)?;
    let standing = &explained.standing;
    if caller.team.is_some() && explained.owner()?.team != caller.team {
        return Err(missing());
    }
    let reference = EventRef { source: source.clone(), id: id.clone() };
    let entries = explained.booked.iter().map(|booked| EntryBody::new(booked, Some(reference.clone()), &explained.names));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let revision = |stored: &StoredEvent| RevisionBody {
        revision: stored.row.revision,
        state: stored.row.state.name(),
        event: wire::event(&stored.event),
    };
    let outcome = match (&explained.held, standing.row.state) {
        (Some(_), _) => "held",
        (None, Standing::Evidence) => "evidence",
        (None, _) => "posted",
    };
    let body = EventBody {
        source,
        id,
        dialect: standing.event.dialect.name(),
        outcome,
        reason: explained.held.as_ref().map(|held| held.reason.name()),
        detail: explained.held.map(|held| held.detail),
        event: wire::event(&standing.event),
        claimed: standing.event.claimed.map(|claimed| ClaimedBody {
            amount: claimed.amount.to_string(),
            currency: claimed.currency.to_string(),
            drift: (claimed.amount - explained.borne).to_string(),
        }),
        booked_with: explained
            .booked_with
            .as_ref()
            .map(|other| EventRef { source: other.event.source.to_string(), id: other.event.id.to_string() }),
        revisions: explained.revisions.iter().map(revision).collect(),
        entries,
        explanation: Explanation {
            catalog_version: explained.version.0,
            tried: explained.tried,
            source: explained.origin.and_then(|origin| origin.source).map(|source| source.to_string()),
        },
    };
    Ok(Json(body).into_response())
}
