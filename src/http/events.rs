//! Events: posted one at a time, in arrays or line by line; and one of them shown with its entries and the reason of its
//! price. The whole journey of a post is here: room, body, events, commit, reply.

use super::answer::{Json, Parameters};
use super::caller::Known;
use super::wire::{self, Counts, EntryBody, EventRef};
use super::{App, Problem, Service};
use crate::flow::access::{Caller, Scope};
use crate::flow::ingest::{Outcome, Prepared};
use crate::flow::intake::{self, Framing, Room};
use crate::flow::now;
use crate::flow::rejected::{Piece, id_of};
use crate::ledger::seal::State as Standing;
use crate::store::{RejectedBody, StoredEvent};
use crate::usage::dialect::{Context, Dialect};
use crate::usage::reading::{Problem as Trouble, Rejected};
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde::Serialize;
use std::io::Read;

/// Beyond this many events only those that were not posted are listed, unless the caller asks for all.
const LISTED: usize = 1_000;

#[derive(Serialize)]
struct Batch {
    #[serde(flatten)]
    counts: Counts,
    results: Vec<wire::Result>,
}

pub async fn create(
    State(service): App,
    known: Known,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let caller = known.may(Scope::Ingest)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let strict = parameters.flag("strict")?;
    let list_all = match parameters.take("results").as_deref() {
        None => None,
        Some("all") => Some(true),
        Some("problems") => Some(false),
        Some(other) => return Err(Problem::parameter("results", format!("`{other}` is neither all nor problems"))),
    };
    parameters.nothing_else()?;
    let (framing, dialect) = content_type(&headers)?;
    let (bytes, room) = read_body(&service, &headers, body).await?;
    let context = Context { received_at: now(), source: caller.source.clone(), strict };
    let outcomes = take_in(&service, &caller, &bytes, framing, dialect, &context, room).await?;

    let is_one = framing == Framing::Json && bytes.trim_ascii_start().first() != Some(&b'[');
    if let (true, [one]) = (is_one, outcomes.as_slice()) {
        return Ok(reply_to_one(one));
    }
    let mut counts = Counts::default();
    outcomes.iter().for_each(|taken| counts.add(&taken.outcome));
    let all = list_all.unwrap_or(outcomes.len() <= LISTED);
    let listed = outcomes.into_iter().filter(|taken| all || !matches!(taken.outcome, Outcome::Posted { .. }));
    let results = listed.map(|taken| wire::Result::new(taken.index, taken.line, taken.id, &taken.outcome)).collect();
    Ok(Json(Batch { counts, results }).into_response())
}

/// An event of a request with what became of it.
struct Taken {
    index: usize,
    line: Option<usize>,
    id: Option<String>,
    outcome: Outcome,
}

/// Reads a body's events, commits those that are events and keeps those that are not.
async fn take_in(
    service: &Service,
    caller: &Caller,
    bytes: &[u8],
    framing: Framing,
    dialect: Dialect,
    context: &Context,
    room: Room,
) -> Result<Vec<Taken>, Problem> {
    let in_force = service.farthing.in_force(caller.org).await?;
    let received = intake::read(bytes, framing, dialect, context)?;
    let mut taken: Vec<Taken> = Vec::with_capacity(received.len());
    let mut prepared: Vec<Prepared> = Vec::with_capacity(received.len());
    let mut kept: Vec<RejectedBody> = Vec::new();
    // Where in `taken` each prepared event's answer goes.
    let mut places: Vec<usize> = Vec::with_capacity(received.len());
    for (count, piece) in received.into_iter().enumerate() {
        // A large body must not keep the others from being served.
        if count % 256 == 255 {
            tokio::task::yield_now().await;
        }
        let (index, line) = (piece.index, piece.line);
        match piece.event.and_then(|event| from_own_source(event, caller)) {
            Ok(event) => {
                places.push(taken.len());
                taken.push(Taken { index, line, id: Some(event.id.to_string()), outcome: Outcome::AlreadyPresent });
                prepared.push(service.farthing.prepare(caller.org, &in_force, event));
            }
            Err(why) => {
                let source = caller.source.as_deref();
                kept.push(RejectedBody::of(&Piece { dialect, json: piece.json, why: &why }, source, context.received_at));
                taken.push(Taken { index, line, id: id_of(piece.json), outcome: Outcome::Rejected(why) });
            }
        }
    }
    if !kept.is_empty() {
        service.farthing.store.keep_rejected(caller.org, &kept).await?;
    }
    for (place, outcome) in places.into_iter().zip(service.intake.submit(prepared, room).await?) {
        taken[place].outcome = outcome;
    }
    taken.iter().for_each(|taken| service.metrics.event(&taken.outcome));
    Ok(taken)
}

/// A key that is bound to a source cannot speak for another.
fn from_own_source(event: crate::usage::UsageEvent, caller: &Caller) -> Result<crate::usage::UsageEvent, Rejected> {
    match &caller.source {
        Some(own) if event.source != *own => {
            let why = format!("this key sends as {own}, not as {}", event.source);
            Err(Rejected::new("source", Trouble::Contradiction(why)))
        }
        _ => Ok(event),
    }
}

fn reply_to_one(taken: &Taken) -> Response {
    let result = wire::Result::new(taken.index, taken.line, taken.id.clone(), &taken.outcome);
    let status = match &taken.outcome {
        Outcome::Posted { .. } => StatusCode::CREATED,
        Outcome::AlreadyPresent | Outcome::Evidence { .. } => StatusCode::OK,
        Outcome::Held { .. } => StatusCode::ACCEPTED,
        Outcome::Conflict { fields, conflict } => {
            let title = "The same id means something else already";
            let detail = result.detail.unwrap_or_default();
            return Problem::new(StatusCode::CONFLICT, "conflict", title, detail)
                .hint("both are kept; POST /v1/conflicts/{id}/accept books the later one, /dismiss keeps the earlier")
                .with("outcome", "conflict".into())
                .with("id", taken.id.clone().into())
                .with("fields", fields.clone().into())
                .with("conflict", conflict.to_string().into())
                .into_response();
        }
        Outcome::Rejected(rejected) => {
            return Problem::from(rejected)
                .with("outcome", "rejected".into())
                .with("id", taken.id.clone().into())
                .into_response();
        }
    };
    (status, Json(result)).into_response()
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

/// Reads a whole body within the limits, waiting for room before each part of it.
pub async fn read_body(service: &Service, headers: &HeaderMap, body: Body) -> Result<(Vec<u8>, Room), Problem> {
    let limit = service.limits.body;
    let said: Option<usize> = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if said.is_some_and(|said| said > limit) {
        return Err(too_large(limit));
    }
    let zipped = match headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default()) {
        None | Some("identity") => false,
        Some("gzip" | "x-gzip") => true,
        Some(other) => {
            let detail = format!("the encoding `{}` is not read here", other.chars().take(60).collect::<String>());
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "encoding",
                "The content encoding is not supported",
                detail,
            )
            .hint("send gzip, or no encoding"));
        }
    };
    let mut room = service.intake.room(said.unwrap_or(0)).await?;
    let mut bytes: Vec<u8> = Vec::with_capacity(said.unwrap_or(0));
    let collect = async {
        let mut body = body;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::bad_request("the body broke off"))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > limit {
                return Err(too_large(limit));
            }
            if said.is_none() {
                room.merge(service.intake.room(data.len()).await?);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(())
    };
    tokio::time::timeout(service.limits.body_timeout, collect).await.map_err(|_| {
        let detail = format!("the body took longer than {} s", service.limits.body_timeout.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", "The body came too slowly", detail)
    })??;
    if zipped {
        bytes = unzip(service, &bytes, &mut room).await?;
    }
    Ok((bytes, room))
}

/// Decompresses piece by piece, so that a small body that claims to be a huge one is stopped at the limit.
async fn unzip(service: &Service, zipped: &[u8], room: &mut Room) -> Result<Vec<u8>, Problem> {
    let limit = service.limits.body;
    let mut reader = flate2::read::MultiGzDecoder::new(zipped);
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 256 * 1024]);
    loop {
        let read = reader.read(&mut piece).map_err(|_| Problem::bad_request("the body is not gzip although it says so"))?;
        if read == 0 {
            return Ok(bytes);
        }
        if bytes.len() + read > limit {
            return Err(too_large(limit));
        }
        room.merge(service.intake.room(read).await?);
        bytes.extend_from_slice(&piece[..read]);
        tokio::task::yield_now().await;
    }
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("a body may have {} MB, compressed or not", limit >> 20);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
        .hint("send the events in several requests")
}

#[derive(Serialize)]
struct EventBody {
    source: String,
    id: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// What holds today.
    event: Box<serde_json::value::RawValue>,
    /// Earlier and contradicting contents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revisions: Vec<RevisionBody>,
    entries: Vec<EntryBody>,
    /// How its price was found, under the catalog version it was booked with.
    explanation: Explanation,
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
    if caller.team.is_some() && standing.event.owner.team != caller.team {
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
        outcome,
        reason: explained.held.as_ref().map(|held| held.reason.name()),
        detail: explained.held.map(|held| held.detail),
        event: wire::event(&standing.event),
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
