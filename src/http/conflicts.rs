//! Conflicts: listed with both contents, accepted or dismissed.

use super::answer::{Json, Page, Parameters, next_page, number};
use super::caller::Known;
use super::{App, Problem, wire};
use crate::flow::access::Scope;
use crate::flow::conflicts::ConflictWithEvents;
use axum::extract::{Path, RawQuery, State};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
pub struct ConflictBody {
    conflict: String,
    source: String,
    id: String,
    /// The fields whose meaning differs.
    fields: Vec<String>,
    found_at: String,
    standing: Box<RawValue>,
    contradicting: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<wire::DecisionBody>,
}

#[derive(Serialize)]
pub struct Decided {
    conflict: String,
    accepted: bool,
    /// The event's entries after the decision.
    entries: Vec<String>,
}

pub async fn list(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Page<ConflictBody>>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let all = parameters.flag("decided")?;
    let (after, limit) = (parameters.cursor()?, parameters.limit()?);
    parameters.nothing_else()?;
    let conflicts = service.farthing.conflicts(caller.org, !all, after, limit).await?;
    let items: Vec<ConflictBody> = conflicts.iter().map(body).collect();
    let next = next_page(&items, limit, |item| item.conflict.clone());
    Ok(Json(Page { items, next }))
}

pub async fn accept(State(service): App, known: Known, Path(id): Path<String>) -> Result<Json<Decided>, Problem> {
    let caller = known.may_everywhere(Scope::Admin)?;
    let conflict = number(&id, "conflict")?;
    let booked = service.farthing.accept_conflict(caller.org, conflict, &caller.key).await?;
    let entries = booked.iter().map(|booked| booked.entry.sequence.to_string()).collect();
    Ok(Json(Decided { conflict: id, accepted: true, entries }))
}

pub async fn dismiss(State(service): App, known: Known, Path(id): Path<String>) -> Result<Json<Decided>, Problem> {
    let caller = known.may_everywhere(Scope::Admin)?;
    service.farthing.dismiss_conflict(caller.org, number(&id, "conflict")?, &caller.key).await?;
    Ok(Json(Decided { conflict: id, accepted: false, entries: Vec::new() }))
}

fn body(found: &ConflictWithEvents) -> ConflictBody {
    ConflictBody {
        conflict: found.conflict.conflict.to_string(),
        source: found.standing.event.source.to_string(),
        id: found.standing.event.id.to_string(),
        fields: found.conflict.fields.clone(),
        found_at: found.conflict.found_at.to_string(),
        standing: wire::event(&found.standing.event),
        contradicting: wire::event(&found.contradicting.event),
        decision: found.conflict.decision.as_ref().map(wire::DecisionBody::of),
    }
}
