//! Reports over the book: what has a name, and spend by any dimensions.

use super::answer::{Parameters, typed};
use super::caller::Known;
use super::{App, Problem};
use crate::flow::access::{Caller, Scope};
use crate::flow::now;
use crate::flow::report::Answer;
use crate::report::{Asked, Dimension, Filter, Wrong, named};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde_json::json;

/// The reports that have a name, and what they answer.
pub async fn list(State(service): App, known: Known) -> Result<Response, Problem> {
    known.may(Scope::Read)?;
    let items: Vec<_> = service
        .work
        .reports
        .iter()
        .map(|report| json!({"name": report.name, "question": report.question, "caveats": report.caveats}))
        .collect();
    Ok(typed(json!({"items": items}).to_string(), "application/json"))
}

pub async fn show(
    State(service): App,
    known: Known,
    Path(name): Path<String>,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = known.may(Scope::Read)?;
    let mut parameters = Parameters::of(text.as_deref())?;
    let report = named::find(&service.work.reports, &name).map_err(Problem::not_found)?;
    let query = report.query(&asked(&mut parameters), now());
    let mut query = query.map_err(|Wrong { parameter, why }| Problem::parameter(parameter, why))?;
    query.filters.extend(own_team(&caller));
    let wants_csv = headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/csv"));
    let format = parameters.take("format").unwrap_or_else(|| if wants_csv { "csv" } else { "json" }.to_owned());
    parameters.nothing_else()?;
    let answer = service.farthing.report(caller.org, &query).await?;
    match format.as_str() {
        "csv" => Ok(typed(answer.table.to_csv(), "text/csv; charset=utf-8; header=present")),
        "json" => Ok(typed(to_json(&answer, caller.team.is_none()), "application/json")),
        #[cfg(feature = "polars")]
        "parquet" => Ok(typed(to_parquet(answer.table).await?, "application/vnd.apache.parquet")),
        #[cfg(not(feature = "polars"))]
        "parquet" => Err(Problem::parameter("format", "this farthing was built without Parquet (the feature polars)")),
        other => Err(Problem::parameter("format", format!("`{other}` is no format; known are json, csv and parquet"))),
    }
}

/// What a team or a person used in a month, as a page.
pub async fn sheet(State(service): App, known: Known, RawQuery(text): RawQuery) -> Result<Response, Problem> {
    let caller = known.may(Scope::Read)?;
    let mut parameters = Parameters::of(text.as_deref())?;
    let month = parameters.take("month").ok_or_else(|| Problem::parameter("month", "name one, such as 2026-10".to_owned()))?;
    let zone = parameters.take("tz").unwrap_or_else(|| "UTC".to_owned());
    let zone = zone.parse().map_err(|_| Problem::parameter("tz", format!("`{zone}` is no IANA time zone")))?;
    let mut filters = Vec::new();
    for (name, dimension) in [("team", Dimension::Team), ("user", Dimension::User)] {
        filters.extend(parameters.take(name).map(|value| Filter { dimension, values: vec![value] }));
    }
    filters.extend(own_team(&caller));
    if filters.is_empty() {
        return Err(Problem::parameter("team", "a sheet is of a team or of a user; name one".to_owned()));
    }
    filters.dedup();
    let format = parameters.take("format").unwrap_or_else(|| "html".to_owned());
    parameters.nothing_else()?;
    let sheet = service.farthing.sheet(caller.org, &month, zone, filters).await?;
    match format.as_str() {
        "html" => Ok(typed(sheet.to_html(), "text/html; charset=utf-8")),
        "csv" => Ok(typed(sheet.to_csv(), "text/csv; charset=utf-8; header=present")),
        other => Err(Problem::parameter("format", format!("`{other}` is no format; known are html and csv"))),
    }
}

/// A key of one team asks about that team, whatever else it asks.
fn own_team(caller: &Caller) -> Option<Filter> {
    let team = caller.team.as_ref()?;
    Some(Filter { dimension: Dimension::Team, values: vec![team.to_string()] })
}

fn asked(parameters: &mut Parameters) -> Asked {
    let mut list = |name: &str| {
        parameters.take(name).map_or_else(Vec::new, |list| list.split(',').map(|name| name.trim().to_owned()).collect())
    };
    let (by, show) = (list("group_by"), list("show"));
    Asked {
        by,
        show,
        from: parameters.take("from"),
        until: parameters.take("until"),
        range: parameters.take("range"),
        clock: parameters.take("clock"),
        tz: parameters.take("tz"),
        filters: parameters.take_all("filter."),
        as_of: parameters.take("as_of"),
        compare: parameters.take("compare"),
        top: parameters.take("top"),
        of: parameters.take("of"),
        scan: parameters.take("scan"),
    }
}

/// Written on a thread that may wait, where even a panic of polars ends nothing but this answer.
#[cfg(feature = "polars")]
pub async fn to_parquet(table: crate::report::Table) -> Result<Vec<u8>, Problem> {
    let failed = |why: String| {
        tracing::error!(error = why, "cannot write Parquet");
        Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "parquet", "The table could not be written as Parquet", why)
    };
    match tokio::task::spawn_blocking(move || crate::frame::to_parquet(&table)).await {
        Ok(written) => written.map_err(|e| failed(e.to_string())),
        Err(ended) => Err(failed(ended.to_string())),
    }
}

/// The rows, their totals, and what has no amount yet. A key of one team learns nothing of the rest of the org.
fn to_json(answer: &Answer, whole_org: bool) -> String {
    let held: serde_json::Map<String, serde_json::Value> =
        answer.held.iter().map(|(reason, count)| (reason.name().to_owned(), (*count).into())).collect();
    let beside = match whole_org {
        true => json!({"held": held, "conflicts": answer.conflicts, "rejected": answer.rejected}),
        false => json!({}),
    };
    let occurred = answer.occurred.filter(|_| whole_org);
    let occurred = occurred.map(|(first, last)| json!({"first": first.to_string(), "last": last.to_string()}));
    format!(
        "{{\"block\":{},\"rows\":{},\"totals\":{},\"occurred\":{},\"beside\":{beside}}}",
        answer.block,
        answer.table.to_json(),
        answer.table.totals_to_json(),
        json!(occurred)
    )
}
