//! Quotes: the body of a post to `/v1/events`, rated without posting.

use super::answer::{Json, Parameters};
use super::caller::Known;
use super::receive::read_body;
use super::wire::QuoteBody;
use super::{App, Problem};
use crate::flow::access::Scope;
use crate::flow::intake::{self, Framing};
use crate::flow::now;
use crate::flow::quote::quote;
use crate::flow::rejected::id_of;
use crate::usage::dialect::{Context, Dialect, Told};
use crate::usage::reading;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use serde::Serialize;

#[derive(Serialize)]
pub struct Quotes {
    results: Vec<QuoteBody>,
}

pub async fn create(
    State(service): App,
    known: Known,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Quotes>, Problem> {
    // Whoever sends events may ask what they would cost, and so may whoever reads the book.
    let caller = if known.0.may(Scope::Ingest) { known.0 } else { known.may(Scope::Read)? };
    Parameters::of(query.as_deref())?.nothing_else()?;
    let (bytes, _room) = read_body(&service, &headers, body).await?;
    let lines = headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().windows(6).any(|part| part == b"ndjson"));
    let framing = if lines { Framing::Lines } else { Framing::Json };
    let in_force = service.farthing.newest(caller.org).await?;
    // A quote needs no source: nothing is recorded under it.
    let source = caller.source.clone().or_else(|| reading::text("source", "quote").ok());
    let context = Context { received_at: now(), source, strict: false };
    let received = intake::read(&bytes, framing, Dialect::Native, &context)?;
    let results = received.into_iter().filter_map(|piece| {
        let (index, line, version) = (piece.index, piece.line, in_force.version.0);
        Some(match piece.told.map(Told::into_event) {
            Ok(event) => QuoteBody::new(index, line, version, Ok(&quote(event?, &in_force))),
            Err(why) => QuoteBody::new(index, line, version, Err((&why, id_of(&piece.piece)))),
        })
    });
    Ok(Json(Quotes { results: results.collect() }))
}
