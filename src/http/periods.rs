//! Periods: months that were closed, closing one, and opening one again.

use super::answer::{Json, Parameters, to_the_end};
use super::caller::Known;
use super::{App, Problem};
use crate::flow::access::Scope;
use crate::flow::periods::{Standing, Wish};
use crate::ledger::decision::{Closing, Reopening};
use crate::time::Month;
use axum::extract::{Path, RawQuery, State};
use serde::Serialize;

#[derive(Serialize)]
pub struct Periods {
    /// What occurs earlier lands in this month; nothing was ever closed where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_open: Option<String>,
    items: Vec<PeriodBody>,
}

#[derive(Serialize)]
struct PeriodBody {
    period: String,
    state: &'static str,
    closing: Closing,
    #[serde(skip_serializing_if = "Option::is_none")]
    reopening: Option<Reopening>,
}

#[derive(Serialize)]
pub struct Reopened {
    /// Months that were closed and are open now.
    periods: Vec<String>,
}

pub async fn list(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Periods>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    Parameters::of(query.as_deref())?.nothing_else()?;
    let head = service.farthing.store.head(caller.org).await?;
    let first_open = Some(head.first_open).filter(|month| month.number() > 0).map(|month| month.to_string());
    let items = service.farthing.periods(caller.org).await?.into_iter().map(PeriodBody::of).collect();
    Ok(Json(Periods { first_open, items }))
}

pub async fn close(
    State(service): App,
    known: Known,
    Path(period): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Closing>, Problem> {
    let caller = known.may_everywhere(Scope::Reconcile)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let wish = Wish {
        month: month(&period)?,
        accept_held: parameters.flag("accept_held")?,
        note: parameters.take("note").unwrap_or_default(),
        author: caller.key.clone(),
    };
    parameters.nothing_else()?;
    let farthing = service.farthing.clone();
    Ok(Json(to_the_end(async move { farthing.close_period(caller.org, &wish, |_, _| {}).await }).await?))
}

pub async fn reopen(
    State(service): App,
    known: Known,
    Path(period): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Reopened>, Problem> {
    let caller = known.may_everywhere(Scope::Admin)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let (month, reason) = (month(&period)?, parameters.take("reason"));
    parameters.nothing_else()?;
    let reason = reason.ok_or_else(|| Problem::parameter("reason", "say why the month is opened again"))?;
    let farthing = service.farthing.clone();
    let opened = to_the_end(async move { farthing.reopen_period(caller.org, month, &reason, &caller.key).await }).await?;
    Ok(Json(Reopened { periods: opened.iter().map(Month::to_string).collect() }))
}

fn month(text: &str) -> Result<Month, Problem> {
    text.parse().map_err(|e: crate::time::TimeError| Problem::not_found(e.to_string()))
}

impl PeriodBody {
    fn of(standing: Standing) -> PeriodBody {
        let state = if standing.is_closed { "closed" } else { "open" };
        PeriodBody { period: standing.month.to_string(), state, closing: standing.closing, reopening: standing.reopened }
    }
}
