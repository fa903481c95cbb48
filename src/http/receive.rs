//! A post on its way in, whoever's words it is in: room, body, pieces, commit, reply. Nobody is answered before what was
//! sent is on disk, and a request waits for room before it brings anything.

use super::answer::{Json, Parameters};
use super::caller::Known;
use super::wire::{self, Counts};
use super::{Problem, Service};
use crate::flow::access::{Caller, Scope};
use crate::flow::ingest::Outcome;
use crate::flow::intake::{self, Framing, Room, Taken};
use crate::flow::now;
use crate::usage::dialect::{Context, Dialect, Piece};
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde::Serialize;
use std::io::Read;

/// Beyond this many events only those that were not posted are listed, unless the caller asks for all.
const LISTED: usize = 1_000;

/// What a caller wants of a post and of its answer.
pub struct Wanted {
    pub strict: bool,
    list_all: Option<bool>,
}

impl Wanted {
    pub fn of(query: Option<&str>) -> Result<Wanted, Problem> {
        let mut parameters = Parameters::of(query)?;
        let strict = parameters.flag("strict")?;
        let list_all = match parameters.take("results").as_deref() {
            None => None,
            Some("all") => Some(true),
            Some("problems") => Some(false),
            Some(other) => return Err(Problem::parameter("results", format!("`{other}` is neither all nor problems"))),
        };
        parameters.nothing_else()?;
        Ok(Wanted { strict, list_all })
    }
}

/// A body that has arrived, from somebody who may send events.
pub struct Post {
    pub caller: Caller,
    pub bytes: Vec<u8>,
    room: Room,
}

/// What became of a post.
pub struct Received {
    /// The body was one object, not a list of them.
    pub is_one: bool,
    pub taken: Vec<Taken>,
}

impl Post {
    pub async fn receive(service: &Service, known: Known, headers: &HeaderMap, body: Body) -> Result<Post, Problem> {
        let caller = known.may(Scope::Ingest)?;
        let (bytes, room) = read_body(service, headers, body).await?;
        Ok(Post { caller, bytes, room })
    }

    /// Reads a body's events, commits those that are events and keeps those that are not.
    pub async fn take_in(self, service: &Service, framing: Framing, dialect: Dialect, strict: bool) -> Result<Received, Problem> {
        let Post { caller, bytes, room } = self;
        let context = Context { received_at: now(), source: caller.source.clone(), strict };
        let received = intake::read(&bytes, framing, dialect, &context)?;
        let is_list =
            bytes.trim_ascii_start().first() == Some(&b'[') || received.iter().any(|one| matches!(one.piece, Piece::Span(_)));
        let is_one = framing == Framing::Json && !is_list && received.len() == 1;
        let sorted = service.farthing.sort(caller.org, received, dialect, &context, caller.source.as_ref()).await?;
        let taken = sorted.commit(&service.intake, room).await?;
        taken.iter().for_each(|taken| service.metrics.event(dialect, &taken.outcome));
        Ok(Received { is_one, taken })
    }
}

impl Received {
    /// Of a request that only tried the connection.
    pub fn nothing() -> Received {
        Received { is_one: false, taken: Vec::new() }
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.taken.iter().for_each(|taken| counts.add(&taken.outcome));
        counts
    }
}

/// The answer to many events.
#[derive(Serialize)]
pub struct Batch {
    #[serde(flatten)]
    counts: Counts,
    results: Vec<wire::Result>,
}

/// One event is answered by its status, many are answered one by one.
pub fn reply(received: Received, wanted: &Wanted) -> Response {
    if let (true, [one]) = (received.is_one, received.taken.as_slice()) {
        return reply_to_one(one);
    }
    one_by_one(received, wanted.list_all).into_response()
}

/// What became of each event; of very many only those that were not posted are listed, unless `all` says otherwise.
pub fn one_by_one(received: Received, all: Option<bool>) -> Json<Batch> {
    let counts = received.counts();
    let all = all.unwrap_or(received.taken.len() <= LISTED);
    let listed = received.taken.into_iter().filter(|taken| all || !matches!(taken.outcome, Outcome::Posted { .. }));
    let results = listed.map(|taken| wire::Result::new(taken.index, taken.line, taken.id, &taken.outcome)).collect();
    Json(Batch { counts, results })
}

fn reply_to_one(taken: &Taken) -> Response {
    let result = wire::Result::new(taken.index, taken.line, taken.id.clone(), &taken.outcome);
    let status = match &taken.outcome {
        Outcome::Posted { .. } => StatusCode::CREATED,
        Outcome::AlreadyPresent | Outcome::Evidence { .. } | Outcome::Ignored(_) => StatusCode::OK,
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

/// The same where it is a text that nobody has to wait for once it is read.
pub async fn read_text(service: &Service, headers: &HeaderMap, body: Body) -> Result<String, Problem> {
    let (bytes, _room) = read_body(service, headers, body).await?;
    String::from_utf8(bytes).map_err(|_| Problem::bad_request("the body is no text in UTF-8"))
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
