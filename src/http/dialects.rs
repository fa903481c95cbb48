//! Events in other people's words. Each producer has a route under `/v1/ingest`; those whose client has a path of its own
//! find that path here too, and are answered as they expect, so that an operator changes a URL and a key and nothing else.

use super::answer::Json;
use super::caller::Known;
use super::receive::{Post, Received, Wanted, one_by_one, reply};
use super::wire::{self, Counts};
use super::{App, Problem, Service, traces};
use crate::flow::ingest::Outcome;
use crate::flow::intake::{Framing, Taken};
use crate::usage::dialect::{Dialect, Piece};
use crate::usage::reading::Object;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;

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

/// `POST /v1/spend/log`, as Keeptrusts sends what a call cost.
pub async fn spend(State(service): App, known: Known, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    deliver(&service, known, &headers, body).await
}

/// The header by which a delivery of Keeptrusts' queue is told from everything else.
pub const DELIVERY_ID: &str = "x-verdictan-delivery-id";

/// Takes a delivery and acknowledges it: its client believes only a 2xx that repeats the delivery's id, sends again while it
/// gets a 5xx, and gives an event up for good at a 4xx. So whatever was understood is a 200 that says what became of it, a
/// conflict and a held event too, and only what can never be an event is refused.
pub async fn deliver(service: &Service, known: Known, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    let mut post = Post::receive(service, known, headers, body).await?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if let Some(key) = header("idempotency-key") {
        post.bytes = with_field(post.bytes, "idempotency_key", &key);
    }
    let deliveries = deliveries(&post.bytes);
    let received = post.take_in(service, Framing::Json, Dialect::Keeptrusts, false).await?;
    let counts = received.counts();
    let is_one = received.is_one;
    let acknowledge = |taken: Taken| {
        let said = deliveries.get(taken.index).cloned().flatten();
        Delivery::of(said.or_else(|| header(DELIVERY_ID).filter(|_| is_one)), taken)
    };
    refuse_one(&received)?;
    let mut results: Vec<Delivery> = received.taken.into_iter().map(acknowledge).collect();
    Ok(match results.pop() {
        Some(one) if is_one => Json(one).into_response(),
        last => {
            results.extend(last);
            Json(Deliveries { counts, results }).into_response()
        }
    })
}

/// An acknowledgement. The client reads no more than 4 kB of one, so what it looks for comes first and the rest is short.
#[derive(Serialize)]
struct Delivery {
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_id: Option<String>,
    #[serde(flatten)]
    result: wire::Result,
}

#[derive(Serialize)]
struct Deliveries {
    #[serde(flatten)]
    counts: Counts,
    results: Vec<Delivery>,
}

impl Delivery {
    fn of(delivery_id: Option<String>, taken: Taken) -> Delivery {
        let mut result = wire::Result::new(taken.index, taken.line, taken.id, &taken.outcome);
        result.detail = result.detail.map(|detail| detail.chars().take(500).collect());
        Delivery { delivery_id, result }
    }
}

/// The delivery ids of a body's pieces, in their order.
fn deliveries(body: &[u8]) -> Vec<Option<String>> {
    let pieces = std::str::from_utf8(body).ok().and_then(|body| Dialect::Keeptrusts.cut(body).ok()).unwrap_or_default();
    let id = |piece: &Piece<'_>| Object::parse(&piece.text(), "").ok()?.loose("delivery_id").map(|id| id.to_string());
    pieces.iter().map(id).collect()
}

/// `POST /api/v1/sessions/{id}/provider-calls`, as Omnia's runtime records a call; the session stands in the path.
pub async fn provider_calls(
    State(service): App,
    known: Known,
    Path(session): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut post = Post::receive(&service, known, &headers, body).await?;
    post.bytes = with_field(post.bytes, "sessionId", &session);
    record(&service, post).await
}

/// `POST /api/v1/provider-usage`, as Omnia records what embeddings, judges and ingestion use.
pub async fn provider_usage(State(service): App, known: Known, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    record(&service, Post::receive(&service, known, &headers, body).await?).await
}

/// Omnia's own service says 201 to whatever it took, and so is said here, also of a row that was there already.
async fn record(service: &Service, post: Post) -> Result<Response, Problem> {
    let received = post.take_in(service, Framing::Json, Dialect::Omnia, false).await?;
    refuse_one(&received)?;
    Ok((StatusCode::CREATED, one_by_one(received, None)).into_response())
}

/// A body that is one event and no event is refused as a whole.
fn refuse_one(received: &Received) -> Result<(), Problem> {
    match received.taken.as_slice() {
        [Taken { outcome: Outcome::Rejected(why), .. }] if received.is_one => {
            Err(Problem::from(why).with("outcome", "rejected".into()))
        }
        _ => Ok(()),
    }
}

/// Writes a field into each object of a body that has no such field, and leaves every other byte as it is.
fn with_field(body: Vec<u8>, name: &str, value: &str) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(&body) else { return body };
    let field = format!("\"{name}\":{}", serde_json::Value::from(value));
    let add = |json: &str| {
        let rest = json.trim_start().strip_prefix('{')?;
        let is_there = Object::parse(json, "").ok()?.names().any(|other| other == name);
        let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
        (!is_there).then(|| format!("{{{field}{comma}{rest}"))
    };
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(rows) => {
            let rows: Vec<_> = rows.iter().map(|row| add(row.get()).unwrap_or_else(|| row.get().to_owned())).collect();
            format!("[{}]", rows.join(",")).into_bytes()
        }
        Err(_) => add(text).map_or(body, String::into_bytes),
    }
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

/// `POST /custom/v1/log`: Helicone's custom logs. Its logger says who asked in headers of the post.
pub async fn helicone(State(service): App, known: Known, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let mut post = Post::receive(&service, known, &headers, body).await?;
    let said: Vec<(&str, &str)> = headers
        .iter()
        .filter(|(name, _)| HELICONE.contains(&name.as_str()) || name.as_str().starts_with("helicone-property-"))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    if let Some(folded) = std::str::from_utf8(&post.bytes).ok().and_then(|log| with_meta(log, &said)) {
        post.bytes = folded.into_bytes();
    }
    let received = post.take_in(&service, Framing::Json, Dialect::Helicone, false).await?;
    nothing_unless_all_are_rejected(&received, StatusCode::OK)
}

/// Headers that say whose a call was; any other may be a key.
const HELICONE: [&str; 4] = ["helicone-provider", "helicone-request-id", "helicone-session-id", "helicone-user-id"];

/// Writes headers into `providerRequest.meta` of a log, where they are not said yet, and leaves every other byte as it is.
fn with_meta(log: &str, headers: &[(&str, &str)]) -> Option<String> {
    let request = Object::parse(log, "").ok()?.take("providerRequest")?.get();
    let fields = Object::parse(request, "").ok()?.rest();
    let meta = fields.into_iter().find(|(name, _)| name == "meta").map(|(_, value)| value.get());
    let said = meta.and_then(|meta| Object::parse(meta, "").ok());
    let is_new = |name: &str| said.as_ref().is_none_or(|said| !said.names().any(|other| other.eq_ignore_ascii_case(name)));
    let new = headers.iter().filter(|(name, _)| is_new(name));
    let new: Vec<_> = new.map(|(name, value)| format!("\"{name}\":{}", serde_json::Value::from(*value))).collect();
    if new.is_empty() {
        return None;
    }
    let new = new.join(",");
    // Both are slices of the log, so where they stand in it is known.
    let place = |part: &str| part.as_ptr() as usize - log.as_ptr() as usize;
    let (start, end, written) = match meta {
        Some(meta) if said.as_ref().is_some_and(|said| said.names().next().is_some()) => {
            (place(meta), place(meta) + 1, format!("{{{new},"))
        }
        Some(meta) => (place(meta), place(meta) + meta.len(), format!("{{{new}}}")),
        None => {
            let comma = if Object::parse(request, "").ok()?.names().next().is_some() { "," } else { "" };
            (place(request), place(request) + 1, format!("{{\"meta\":{{{new}}}{comma}"))
        }
    };
    Some(format!("{}{written}{}", &log[..start], &log[end..]))
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
    // Most bodies are lists, and those can be large.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Framing::Json;
    }
    let lines = || body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let first_ends = lines().next().is_some_and(|line| line.starts_with(b"{") && line.ends_with(b"}"));
    let another_begins = lines().nth(1).is_some_and(|line| line.starts_with(b"{"));
    if first_ends && another_begins { Framing::Lines } else { Framing::Json }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_written_where_it_is_missing_and_nothing_else_changes() {
        let with = |body: &str| String::from_utf8(with_field(body.as_bytes().to_vec(), "s", "a\"b")).unwrap();
        assert_eq!(with(r#" {"p": {"x" : 1.0}}"#), r#"{"s":"a\"b","p": {"x" : 1.0}}"#);
        assert_eq!(with("{}"), r#"{"s":"a\"b"}"#);
        assert_eq!(with(r#"[{"s":"own"}, {"s":null,"p":1}, 7]"#), r#"[{"s":"own"},{"s":null,"p":1},7]"#);
        assert_eq!(with("{broken"), "{broken");
    }

    #[test]
    fn headers_are_written_into_meta_and_nothing_else_changes() {
        let headers = [("helicone-user-id", "ann"), ("helicone-property-plan", "p\"o")];
        let with = |log: &str| with_meta(log, &headers);
        let both = r#""helicone-user-id":"ann","helicone-property-plan":"p\"o""#;
        for (log, expected) in [
            (r#"{"a":1.0,"providerRequest": {"x":1}}"#, format!(r#"{{"a":1.0,"providerRequest": {{"meta":{{{both}}},"x":1}}}}"#)),
            (r#"{"providerRequest":{}}"#, format!(r#"{{"providerRequest":{{"meta":{{{both}}}}}}}"#)),
            (r#"{"providerRequest":{"meta":{ }}}"#, format!(r#"{{"providerRequest":{{"meta":{{{both}}}}}}}"#)),
            (r#"{"providerRequest":{"meta":null,"y":"ü"}}"#, format!(r#"{{"providerRequest":{{"meta":{{{both}}},"y":"ü"}}}}"#)),
            (
                r#"{"providerRequest":{"meta":{"Helicone-User-Id":"own"}}}"#,
                r#"{"providerRequest":{"meta":{"helicone-property-plan":"p\"o","Helicone-User-Id":"own"}}}"#.to_owned(),
            ),
        ] {
            assert_eq!(with(log), Some(expected), "{log}");
        }
        assert_eq!(with("{broken"), None);
        assert_eq!(with_meta(r#"{"providerRequest":{}}"#, &[]), None);
    }

    #[test]
    fn lines_are_told_from_json_by_looking() {
        assert_eq!(framing(b"{\"a\":1}\n{\"a\":2}\n"), Framing::Lines);
        assert_eq!(framing(b"\n{\"a\":1}\r\n\r\n{broken\n"), Framing::Lines);
        assert_eq!(framing(b"{\"a\":1}"), Framing::Json);
        assert_eq!(framing(b"[{\"a\":1},\n{\"a\":2}]"), Framing::Json);
        assert_eq!(framing(b"{\n  \"a\": {\"b\": 1}\n}"), Framing::Json);
    }
}
