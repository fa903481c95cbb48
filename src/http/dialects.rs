//! Events in other people's words. Each producer has a route under `/v1/ingest`; those whose client has a path of its own
//! find that path here too, and are answered as they expect, so that an operator changes a URL and a key and nothing else.

use super::caller::Known;
use super::receive::{Post, Received, Wanted, reply};
use super::{App, Problem, traces};
use crate::flow::intake::Framing;
use crate::usage::dialect::Dialect;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

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
