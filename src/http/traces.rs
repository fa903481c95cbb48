//! Trace exports as OpenTelemetry's exporters post them. The content type decides between JSON and protobuf, and everything is
//! answered in the same encoding, refusals too: an exporter reads a `google.rpc.Status`, not a problem document. An export is
//! taken as a whole; spans that are broken are counted in a partial success, which tells a client not to send them again.

use super::answer::typed;
use super::caller::Known;
use super::receive::{Post, Received};
use super::{App, Problem};
use crate::flow::ingest::Outcome;
use crate::flow::intake::Framing;
use crate::usage::dialect::Dialect;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Json,
    Protobuf,
}

pub async fn create(State(service): App, known: Result<Known, Problem>, headers: HeaderMap, body: Body) -> Response {
    let encoding = if is_protobuf(&headers) { Encoding::Protobuf } else { Encoding::Json };
    let taken = async {
        let post = Post::receive(&service, known?, &headers, body).await?;
        if is_empty(&post.bytes, encoding, &headers) {
            return Ok(None);
        }
        if encoding == Encoding::Json && !is_export(&post.bytes) {
            return Err(Problem::bad_request("the body is no trace export: it has no resourceSpans")
                .hint("point an OTLP/HTTP exporter for traces here; gRPC is not spoken"));
        }
        let framing = if encoding == Encoding::Protobuf { Framing::Protobuf } else { Framing::Json };
        post.take_in(&service, framing, Dialect::Otlp, false).await.map(Some)
    };
    match taken.await {
        Ok(received) => encoding.success(received.as_ref()),
        Err(problem) => encoding.refusal(problem),
    }
}

/// Whether a body is protobuf, by its content type.
pub fn is_protobuf(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(media_type.as_str(), "application/x-protobuf" | "application/protobuf")
}

/// Whether somebody only tries the connection, as OpenRouter does when a destination is set up.
pub fn is_trial(headers: &HeaderMap, body: &[u8]) -> bool {
    let says_so = headers.get("x-test-connection").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    says_so && !contains(body, b"\"spans\"")
}

/// An empty export is a success. No bytes are an empty message of protobuf, and no JSON.
fn is_empty(body: &[u8], encoding: Encoding, headers: &HeaderMap) -> bool {
    let nothing = body.trim_ascii();
    match encoding {
        Encoding::Protobuf => body.is_empty(),
        Encoding::Json => nothing == b"{}" || is_trial(headers, body),
    }
}

fn is_export(body: &[u8]) -> bool {
    // A body that cannot be read at all is told from one that is something else where it is read.
    contains(body, b"resourceSpans")
        || contains(body, b"resource_spans")
        || serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err()
}

fn contains(body: &[u8], word: &[u8]) -> bool {
    body.windows(word.len()).any(|window| window == word)
}

impl Encoding {
    fn success(self, received: Option<&Received>) -> Response {
        let rejected = received.into_iter().flat_map(|received| &received.taken).filter_map(|taken| match &taken.outcome {
            Outcome::Rejected(why) => Some((taken, why)),
            _ => None,
        });
        let mut rejected = rejected.peekable();
        let said = rejected.peek().map(|(taken, why)| format!("span {}: {why}", taken.id.as_deref().unwrap_or("without an id")));
        let (count, said) = (rejected.count() as u64, said.unwrap_or_default());
        match self {
            Encoding::Json if count == 0 => typed("{}", "application/json"),
            Encoding::Json => {
                let partial = json!({"partialSuccess": {"rejectedSpans": count.to_string(), "errorMessage": said}});
                typed(partial.to_string(), "application/json")
            }
            Encoding::Protobuf => {
                let mut partial = Vec::new();
                if count > 0 {
                    let mut fields = vec![0x08];
                    write_varint(count, &mut fields);
                    write_bytes(0x12, said.as_bytes(), &mut fields);
                    write_bytes(0x0a, &fields, &mut partial);
                }
                typed(partial, PROTOBUF)
            }
        }
    }

    /// A `google.rpc.Status`: its code is gRPC's, its message ours.
    fn refusal(self, problem: Problem) -> Response {
        let (status, message) = (problem.status(), problem.to_string());
        let code: u8 = match status {
            StatusCode::UNAUTHORIZED => 16,
            StatusCode::FORBIDDEN => 7,
            StatusCode::REQUEST_TIMEOUT => 4,
            StatusCode::PAYLOAD_TOO_LARGE => 8,
            StatusCode::SERVICE_UNAVAILABLE => 14,
            StatusCode::INTERNAL_SERVER_ERROR => 13,
            _ => 3,
        };
        let mut response = match self {
            Encoding::Json => typed(json!({"code": code, "message": message}).to_string(), "application/json"),
            Encoding::Protobuf => {
                let mut bytes = vec![0x08, code];
                write_bytes(0x12, message.as_bytes(), &mut bytes);
                typed(bytes, PROTOBUF)
            }
        };
        // Status, Retry-After and whatever else the problem says in its head stay.
        let told = problem.into_response();
        *response.status_mut() = status;
        if let Some(after) = told.headers().get(header::RETRY_AFTER) {
            response.headers_mut().insert(header::RETRY_AFTER, after.clone());
        }
        response
    }
}

const PROTOBUF: &str = "application/x-protobuf";

/// A field of bytes, with its tag before it.
fn write_bytes(tag: u8, bytes: &[u8], to: &mut Vec<u8>) {
    to.push(tag);
    write_varint(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}

fn write_varint(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}
