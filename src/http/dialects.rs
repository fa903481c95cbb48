//! Events in other people's words. Each producer has a route under `/v1/ingest`; those whose client has a path of its own
//! find that path here too, and are answered as they expect, so that an operator changes a URL and a key and nothing else.

use super::answer::Json;
use super::caller::Known;
use super::receive::{Post, Received, Wanted, reply};
use super::{App, Problem, traces};
use crate::flow::ingest::Outcome;
use crate::flow::intake::Framing;
use crate::usage::dialect::Dialect;
use crate::usage::reading::Object;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// `POST /v1/ingest/{dialect}`
pub async fn create(
    State(service): App,
    known: Known,
    Path(dialect): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let dialect = Dialect::named(&dialect).ok_or_else(|| {
        let known = Dialect::ALL.map(Dialect::name).join(", ");
        Problem::not_found(format!("`{}` is no dialect", dialect.chars().take(60).collect::<String>()))
            .hint(format!("known are {known}"))
    })?;
    let wanted = Wanted::of(query.as_deref())?;
    let post = Post::receive(&service, known, &headers, body).await?;
    if traces::is_trial(&headers, &post.bytes) {
        return Ok(reply(Received::nothing(), &wanted));
    }
    let framing = if traces::is_protobuf(&headers) { Framing::Protobuf } else { framing(&post.bytes) };
    Ok(reply(post.take_in(&service, framing, dialect, wanted.strict).await?, &wanted))
}

/// `POST /api/public/ingestion`: Langfuse's batch. Every part is answered under the batch's own id for it.
pub async fn langfuse(State(service): App, known: Known, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let post = Post::receive(&service, known, &headers, body).await?;
    let ids = batch_ids(&post.bytes)?;
    let received = post.take_in(&service, Framing::Json, Dialect::Langfuse, false).await?;
    let (mut successes, mut errors) = (Vec::new(), Vec::new());
    for taken in received.taken {
        let id = ids.get(taken.index).cloned().flatten().unwrap_or_default();
        match taken.outcome {
            Outcome::Rejected(why) => errors.push(Failure { id, status: 400, message: why.to_string() }),
            _ => successes.push(Success { id, status: 201 }),
        }
    }
    Ok((StatusCode::MULTI_STATUS, Json(Ingested { successes, errors })).into_response())
}

#[derive(Serialize)]
struct Ingested {
    successes: Vec<Success>,
    errors: Vec<Failure>,
}

#[derive(Serialize)]
struct Success {
    id: String,
    status: u16,
}

#[derive(Serialize)]
struct Failure {
    id: String,
    status: u16,
    message: String,
}

/// The ids of the parts of a batch, in their order; they are not those of the observations.
fn batch_ids(body: &[u8]) -> Result<Vec<Option<String>>, Problem> {
    let no_batch =
        || Problem::bad_request("the body has no batch").hint("send {\"batch\":[{\"id\",\"type\",\"timestamp\",\"body\"}]}");
    let body = std::str::from_utf8(body).map_err(|_| no_batch())?;
    let parts = Object::parse(body, "").and_then(|mut body| body.array("batch")).ok().flatten().ok_or_else(no_batch)?;
    Ok(parts.into_iter().map(|part| Some(Object::parse(part.get(), "").ok()?.loose("id")?.to_string())).collect())
}

/// `POST /api/v1/events`: OpenMeter's events, answered by nothing at all when they are taken.
pub async fn openmeter(State(service): App, known: Known, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let post = Post::receive(&service, known, &headers, body).await?;
    let received = post.take_in(&service, Framing::Json, Dialect::Openmeter, false).await?;
    nothing_unless_all_are_rejected(&received, StatusCode::NO_CONTENT)
}

/// `POST /custom/v1/log`: Helicone's custom logs.
pub async fn helicone(State(service): App, known: Known, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let post = Post::receive(&service, known, &headers, body).await?;
    let received = post.take_in(&service, Framing::Json, Dialect::Helicone, false).await?;
    nothing_unless_all_are_rejected(&received, StatusCode::OK)
}

/// For clients that know one answer for all of a body: what is broken among others is kept and listed under `/v1/rejected`.
fn nothing_unless_all_are_rejected(received: &Received, success: StatusCode) -> Result<Response, Problem> {
    let mut outcomes = received.taken.iter().map(|taken| &taken.outcome);
    match outcomes.clone().next() {
        Some(Outcome::Rejected(first)) if outcomes.all(|outcome| matches!(outcome, Outcome::Rejected(_))) => {
            Err(Problem::from(first))
        }
        _ => Ok(success.into_response()),
    }
}

/// Whether a body is JSON or lines of it. Some clients send lines and call them `application/json`, so the body is asked:
/// an object that ends on a line on which another begins is one of several.
fn framing(body: &[u8]) -> Framing {
    let lines = || body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let first_ends = lines().next().is_some_and(|line| line.starts_with(b"{") && line.ends_with(b"}"));
    let another_begins = lines().nth(1).is_some_and(|line| line.starts_with(b"{"));
    if first_ends && another_begins { Framing::Lines } else { Framing::Json }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_from_json_by_looking() {
        assert_eq!(framing(b"{\"a\":1}\n{\"a\":2}\n"), Framing::Lines);
        assert_eq!(framing(b"\n{\"a\":1}\r\n\r\n{broken\n"), Framing::Lines);
        assert_eq!(framing(b"{\"a\":1}"), Framing::Json);
        assert_eq!(framing(b"[{\"a\":1},\n{\"a\":2}]"), Framing::Json);
        assert_eq!(framing(b"{\n  \"a\": {\"b\": 1}\n}"), Framing::Json);
    }
}
