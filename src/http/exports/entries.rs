//! `GET /v1/exports/entries`: the entries themselves. What is read waits for whoever takes it, so memory stays what a few
//! pages need, and no snapshot is open meanwhile.

use super::{PIECE, Pieces, Taker, place};
use crate::export::accounting::{Grain, Manner};
use crate::export::{Format, Notation, Row};
use crate::flow::access::Scope;
use crate::flow::export::{PARQUET, Question, Rows};
use crate::http::answer::Parameters;
use crate::http::caller::Known;
use crate::http::{App, Problem, Service};
use crate::id::{BlockNumber, Sequence};
use crate::report::{Clock, Wrong};
use axum::extract::{RawQuery, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::OwnedSemaphorePermit;

pub async fn show(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let caller = known.may(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let wrong = |name: &'static str| move |why: String| Problem::parameter(name, why);
    let clock = parameters.take("clock").map_or(Ok(Clock::default()), |name| Clock::named(&name)).map_err(wrong("clock"))?;
    let format = parameters.take("format").map_or(Ok(Format::Csv), |name| Format::named(&name)).map_err(wrong("format"))?;
    let grain = parameters.take("grain").map_or(Ok(Grain::Day), |name| Grain::named(&name)).map_err(wrong("grain"))?;
    let number =
        |text: String| text.parse().map_err(|_| Problem::parameter("block", format!("`{text}` is no number of a block")));
    let block = parameters.take("block").map(number).transpose()?.map(BlockNumber);
    let (from, until) = (parameters.instant("from")?, parameters.instant("until")?);
    let month = |text: String| text.parse().map_err(|e: crate::time::TimeError| Problem::parameter("period", e.to_string()));
    let period = parameters.take("period").map(month).transpose()?;
    let team = caller.team.as_ref().map(|team| team.to_string());
    parameters.nothing_else()?;

    let question = Question { from, until, clock, period, team, block };
    question.check().map_err(|Wrong { parameter, why }| Problem::parameter(parameter, why))?;
    let place = place(&service)?;
    let mut rows = service.farthing.export_rows(caller.org, &question, Sequence(0)).await?;
    let heading = format!("entries up to block {}, hash {}", rows.prefix.block, rows.prefix.hash);
    let notation = format.notation(Manner { grain, clock, heading }, PARQUET).map_err(wrong("format"))?;
    // What fails at once is still a problem that says so.
    let first = rows.next().await?.unwrap_or_default();
    let block = HeaderValue::from(rows.prefix.block.0);
    let (taker, body) = Pieces::body();
    tokio::spawn(Writing { service, rows, notation, taker, place }.write(first));

    let mut response = body.into_response();
    let name = format!("attachment; filename=\"entries.{}\"", format.extension());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_str(&name).expect("an ending is ASCII"));
    headers.insert("farthing-block", block);
    Ok(response)
}

/// What is written on one side while it is taken on the other.
struct Writing {
    service: Arc<Service>,
    rows: Rows,
    notation: Box<dyn Notation>,
    taker: Taker,
    place: OwnedSemaphorePermit,
}

impl Writing {
    async fn write(mut self, first: Vec<Row>) {
        let written = self.pieces(first).await;
        // Whoever is handed the end may come again at once.
        drop(self.place);
        match written {
            Ok(()) => self.taker.end(Ok(())).await,
            Err(why) => tracing::warn!(error = why, "an export broke off"),
        }
    }

    async fn pieces(&mut self, first: Vec<Row>) -> Result<(), String> {
        let mut buffer = Vec::with_capacity(PIECE);
        self.notation.begin(&mut buffer)?;
        let mut page = Some(first);
        while let Some(rows) = page {
            for some in rows.chunks(500) {
                // A notation may compress, which other requests should not wait for.
                tokio::task::block_in_place(|| self.notation.rows(some, &self.rows.texts, &mut buffer))?;
                if buffer.len() >= PIECE {
                    self.send(&mut buffer).await?;
                }
            }
            if self.service.closing.load(Ordering::Relaxed) {
                return Err("the service is shutting down".to_owned());
            }
            page = self.rows.next().await.map_err(|e| e.to_string())?;
        }
        tokio::task::block_in_place(|| self.notation.end(&self.rows.texts, &mut buffer))?;
        self.send(&mut buffer).await
    }

    async fn send(&mut self, buffer: &mut Vec<u8>) -> Result<(), String> {
        let piece = std::mem::replace(buffer, Vec::with_capacity(PIECE));
        self.taker.hand_on(piece.into()).await
    }
}
