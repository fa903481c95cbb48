//! Held events: listed with their reasons, tried again.

use super::answer::{Json, Page, Parameters, next_page, to_the_end};
use super::caller::Known;
use super::{App, Problem, wire};
use crate::flow::access::Scope;
use crate::flow::held::HeldWithEvent;
use crate::id::EventNumber;
use crate::rating::HeldReason;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
pub struct HeldBody {
    source: String,
    id: String,
    reason: &'static str,
    detail: String,
    held_at: String,
    event: Box<RawValue>,
    #[serde(skip)]
    number: i64,
}

#[derive(Serialize)]
pub struct RetriedBody {
    tried: usize,
    posted: usize,
    still_held: usize,
}

pub async fn list(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Page<HeldBody>>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let reason = reason(&mut parameters)?;
    let (after, limit) = (parameters.cursor()?, parameters.limit()?);
    parameters.nothing_else()?;
    let held = service.farthing.held(caller.org, reason, EventNumber(after), limit).await?;
    let items: Vec<HeldBody> = held.iter().map(body).collect();
    let next = next_page(&items, limit, |item| item.number.to_string());
    Ok(Json(Page { items, next }))
}

pub async fn retry(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<RetriedBody>, Problem> {
    let caller = known.may_everywhere(Scope::Ingest)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let reason = reason(&mut parameters)?;
    parameters.nothing_else()?;
    let farthing = service.farthing.clone();
    let retried = to_the_end(async move { farthing.retry_held(caller.org, reason).await }).await?;
    Ok(Json(RetriedBody { tried: retried.tried, posted: retried.posted, still_held: retried.still_held }))
}

fn reason(parameters: &mut Parameters) -> Result<Option<HeldReason>, Problem> {
    let Some(name) = parameters.take("reason") else { return Ok(None) };
    match HeldReason::named(&name) {
        Some(reason) => Ok(Some(reason)),
        None => {
            let known = HeldReason::ALL.map(HeldReason::name).join(", ");
            Err(Problem::parameter("reason", format!("`{name}` is no reason; known are {known}")))
        }
    }
}

fn body(held: &HeldWithEvent) -> HeldBody {
    HeldBody {
        source: held.stored.event.source.to_string(),
        id: held.stored.event.id.to_string(),
        reason: held.held.reason.name(),
        detail: held.held.detail.clone(),
        held_at: held.held.held_at.to_string(),
        event: wire::event(&held.stored.event),
        number: held.held.event.0,
    }
}
