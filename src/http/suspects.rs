//! Suspects: what may have been charged twice, listed with what it looks like, accepted or dismissed.

use super::answer::{Json, Page, Parameters, next_page, number};
use super::caller::Known;
use super::wire::{DecisionBody, EventRef};
use super::{App, Problem};
use crate::flow::access::Scope;
use crate::flow::suspects::SuspectWithEvents;
use crate::id::EventNumber;
use axum::extract::{Path, RawQuery, State};
use serde::Serialize;

#[derive(Serialize)]
pub struct SuspectBody {
    suspect: String,
    event: EventRef,
    looks_like: EventRef,
    why: String,
    found_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<DecisionBody>,
}

#[derive(Serialize)]
pub struct Decided {
    suspect: String,
    accepted: bool,
    /// The event's entries after the decision.
    entries: Vec<String>,
}

pub async fn list(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Page<SuspectBody>>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let all = parameters.flag("decided")?;
    let (after, limit) = (parameters.cursor()?, parameters.limit()?);
    parameters.nothing_else()?;
    let suspects = service.farthing.suspects(caller.org, !all, after, limit).await?;
    let items: Vec<SuspectBody> = suspects.iter().map(body).collect();
    let next = next_page(&items, limit, |item| item.suspect.clone());
    Ok(Json(Page { items, next }))
}

pub async fn accept(State(service): App, known: Known, Path(id): Path<String>) -> Result<Json<Decided>, Problem> {
    let caller = known.may_everywhere(Scope::Admin)?;
    let event = EventNumber(number(&id, "suspect")?);
    let booked = service.farthing.accept_suspect(caller.org, event, &caller.key).await?;
    let entries = booked.iter().map(|booked| booked.entry.sequence.to_string()).collect();
    Ok(Json(Decided { suspect: id, accepted: true, entries }))
}

pub async fn dismiss(State(service): App, known: Known, Path(id): Path<String>) -> Result<Json<Decided>, Problem> {
    let caller = known.may_everywhere(Scope::Admin)?;
    service.farthing.dismiss_suspect(caller.org, EventNumber(number(&id, "suspect")?), &caller.key).await?;
    Ok(Json(Decided { suspect: id, accepted: false, entries: Vec::new() }))
}

fn body(found: &SuspectWithEvents) -> SuspectBody {
    let reference = |event: &crate::usage::UsageEvent| EventRef { source: event.source.to_string(), id: event.id.to_string() };
    SuspectBody {
        suspect: found.suspect.event.to_string(),
        event: reference(&found.event.event),
        looks_like: reference(&found.about.event),
        why: found.suspect.why.clone(),
        found_at: found.suspect.found_at.to_string(),
        decision: found.suspect.decision.as_ref().map(DecisionBody::of),
    }
}
