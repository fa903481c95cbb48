//! `GET /v1/exports/focus`: charges in the vocabulary of FOCUS.

use crate::flow::access::Scope;
use crate::flow::focus::Wish;
use crate::flow::{FlowError, now};
use crate::focus::{Row, Version, csv, metadata};
use crate::http::answer::{Parameters, typed};
use crate::http::caller::Known;
use crate::http::exports::{Pieces, place};
use crate::http::{App, Problem, Service};
use crate::id::Org;
use crate::report::Wrong;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub async fn show(State(service): App, known: Known, RawQuery(text): RawQuery) -> Result<Response, Problem> {
    let caller = known.may(Scope::Read)?;
    let mut parameters = Parameters::of(text.as_deref())?;
    let wish = Wish {
        from: parameters.instant("from")?,
        until: parameters.instant("until")?,
        billed_in: parsed(&mut parameters, "billing_period")?,
        grain: parsed(&mut parameters, "grain")?.unwrap_or_default(),
        team: caller.team.as_ref().map(|team| team.to_string()),
    };
    wish.check().map_err(|Wrong { parameter, why }| Problem::parameter(parameter, why))?;
    let version: Version = parsed(&mut parameters, "version")?.unwrap_or_default();
    let format = parameters.take("format").unwrap_or_else(|| "csv".to_owned());
    parameters.nothing_else()?;
    match format.as_str() {
        "csv" => as_csv(&service, caller.org, wish, version).await,
        "parquet" => as_parquet(&service, caller.org, wish, version).await,
        "metadata" => Ok(typed(metadata::metadata(version, now()), "application/json")),
        other => Err(Problem::parameter("format", format!("`{other}` is no format; known are csv, parquet and metadata"))),
    }
}

fn parsed<T: std::str::FromStr>(parameters: &mut Parameters, name: &str) -> Result<Option<T>, Problem>
where
    T::Err: ToString,
{
    let read = |value: String| value.parse().map_err(|e: T::Err| Problem::parameter(name, e.to_string()));
    parameters.take(name).map(read).transpose()
}

type Reading = JoinHandle<Result<crate::flow::focus::Exported, FlowError>>;

fn read(service: &Arc<Service>, org: Org, wish: Wish) -> (mpsc::Receiver<Vec<Row>>, Reading) {
    let (to, rows) = mpsc::channel(4);
    let service = service.clone();
    (rows, tokio::spawn(async move { service.farthing.focus(org, &wish, to).await }))
}

/// How a reading ended that hands on no more rows.
async fn ended(reading: Reading) -> Result<(), Problem> {
    match reading.await {
        Ok(exported) => exported.map(|_| ()).map_err(Problem::from),
        Err(e) => Err(failed(e.to_string())),
    }
}

fn failed(why: String) -> Problem {
    tracing::error!(error = why, "an export broke off");
    Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "export", "The export broke off", why)
}

async fn as_csv(service: &Arc<Service>, org: Org, wish: Wish, version: Version) -> Result<Response, Problem> {
    let place = place(service)?;
    let (mut rows, reading) = read(service, org, wish);
    // What fails before the first row can still be said in words.
    let Some(first) = rows.recv().await else {
        ended(reading).await?;
        return Ok(as_body(Body::from(csv::header(version))));
    };
    let (mut taker, body) = Pieces::body();
    tokio::spawn(async move {
        let mut some = Some(first);
        let mut text = csv::header(version);
        while let Some(rows_now) = some {
            csv::write(&rows_now, version, &mut text);
            if let Err(why) = taker.hand_on(Bytes::from(std::mem::take(&mut text))).await {
                return tracing::warn!(error = why, "an export broke off");
            }
            some = rows.recv().await;
        }
        drop(place);
        taker.end(ended(reading).await.map_err(|problem| io::Error::other(problem.to_string()))).await;
    });
    Ok(as_body(body))
}

fn as_body(body: Body) -> Response {
    typed(body, "text/csv; charset=utf-8; header=present")
}

/// Written to a file first, because a Parquet file is read from its end; on a thread that may wait, where even a panic of
/// polars ends nothing but this answer. Its place is kept while it is written, also for somebody who hung up meanwhile.
#[cfg(feature = "polars")]
async fn as_parquet(service: &Arc<Service>, org: Org, wish: Wish, version: Version) -> Result<Response, Problem> {
    use crate::frame::focus::{Writer, write_received};
    use crate::scratch::Scratch;
    let place = place(service)?;
    let (rows, reading) = read(service, org, wish);
    let writing = tokio::task::spawn_blocking(move || {
        let scratch = Scratch::new()?;
        let file = scratch.file("focus.parquet");
        write_received(rows, Writer::new(&file, version)?)?;
        polars::prelude::PolarsResult::Ok((place, std::fs::File::open(file)?, scratch))
    });
    // If writing broke off, that is why reading did.
    let (place, file, scratch) = writing.await.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))?;
    ended(reading).await?;
    let length = file.metadata().map_err(|e| failed(e.to_string()))?.len();
    let (taker, body) = Pieces::body();
    tokio::spawn(async move {
        send(file, taker).await;
        drop((place, scratch));
    });
    let mut response = typed(body, "application/vnd.apache.parquet");
    response.headers_mut().insert(axum::http::header::CONTENT_LENGTH, length.into());
    Ok(response)
}

/// Sends a file piece by piece, so that memory does not hold it.
#[cfg(feature = "polars")]
async fn send(mut file: std::fs::File, mut taker: crate::http::exports::Taker) {
    use crate::http::exports::PIECE;
    use std::io::Read;
    let end = loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = tokio::task::block_in_place(|| (&mut file).take(PIECE as u64).read_to_end(&mut piece));
        match read {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(e) => break Err(e),
        }
        if let Err(why) = taker.hand_on(piece.into()).await {
            return tracing::warn!(error = why, "an export broke off");
        }
    };
    taker.end(end).await;
}

#[cfg(not(feature = "polars"))]
async fn as_parquet(_: &Arc<Service>, _: Org, _: Wish, _: Version) -> Result<Response, Problem> {
    Err(Problem::parameter("format", "this farthing was built without Parquet (the feature polars)"))
}
