//! Reports over the book.

use super::answer::{Parameters, typed};
use super::caller::Known;
use super::{App, Problem};
use crate::flow::access::Scope;
use crate::flow::report::Answer;
use crate::report::{Dimension, ReportQuery};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde_json::json;

pub async fn spend(
    State(service): App,
    known: Known,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = known.may(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let dimension = |parameter: &str, name: &str| Dimension::named(name).map_err(|e| Problem::parameter(parameter, e));
    let by = parameters.take("group_by").unwrap_or_else(|| "model".to_owned());
    let by = by.split(',').map(|name| dimension("group_by", name.trim())).collect::<Result<Vec<_>, _>>()?;
    let mut filters = Vec::new();
    for (name, value) in parameters.take_all("filter.") {
        filters.push((dimension(&format!("filter.{name}"), &name)?, value));
    }
    // A key of one team asks about that team, whatever else it asks.
    filters.extend(caller.team.as_ref().map(|team| (Dimension::Team, team.to_string())));
    let zone = parameters.take("tz").unwrap_or_else(|| "UTC".to_owned());
    let zone =
        zone.parse().map_err(|_| Problem::parameter("tz", format!("`{zone}` is no IANA time zone, such as Europe/Berlin")))?;
    let query = ReportQuery { by, from: parameters.instant("from")?, until: parameters.instant("until")?, zone, filters };
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

/// Written on a thread that may wait, where even a panic of polars ends nothing but this answer.
#[cfg(feature = "polars")]
async fn to_parquet(table: crate::report::Table) -> Result<Vec<u8>, Problem> {
    let failed = |why: String| {
        tracing::error!(error = why, "cannot write Parquet");
        Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "parquet", "The table could not be written as Parquet", why)
    };
    match tokio::task::spawn_blocking(move || crate::frame::to_parquet(&table)).await {
        Ok(written) => written.map_err(|e| failed(e.to_string())),
        Err(ended) => Err(failed(ended.to_string())),
    }
}

/// The rows, their totals, and what has no amount yet.
fn to_json(answer: &Answer, whole_org: bool) -> String {
    let totals: Vec<_> = answer
        .table
        .totals()
        .into_iter()
        .map(|(currency, amount, calls)| json!({"currency": currency, "amount": amount.to_string(), "calls": calls}))
        .collect();
    let held: serde_json::Map<String, serde_json::Value> =
        answer.held.iter().map(|(reason, count)| (reason.name().to_owned(), (*count).into())).collect();
    let beside = match whole_org {
        true => json!({"held": held, "conflicts": answer.conflicts, "rejected": answer.rejected}),
        false => json!({}),
    };
    format!("{{\"block\":{},\"rows\":{},\"totals\":{},\"beside\":{beside}}}", answer.block, answer.table.to_json(), json!(totals))
}
