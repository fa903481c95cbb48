//! Entries, in the order of the book.

use super::answer::{Json, Page, Parameters, next_page, number};
use super::caller::Known;
use super::wire::{EntryBody, EventRef};
use super::{App, Problem, Service};
use crate::flow::access::Scope;
use crate::id::{Org, Sequence};
use crate::ledger::EntryKind;
use crate::ledger::decision::SOURCE;
use crate::store::{BookedEntry, EntryFilter};
use axum::extract::{Path, RawQuery, State};
use std::collections::HashMap;

pub async fn list(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Page<EntryBody>>, Problem> {
    let caller = known.may(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let filter = EntryFilter {
        from: parameters.instant("from")?,
        until: parameters.instant("until")?,
        after: Some(Sequence(parameters.cursor()?)),
        before: None,
        team: caller.team.as_ref().map(|team| team.to_string()),
        above: parameters.flag("above")?,
        limit: parameters.limit()?,
    };
    parameters.nothing_else()?;
    let booked = service.farthing.store.entries(caller.org, &filter).await?;
    let items = bodies(&service, caller.org, &booked).await?;
    let next = next_page(&items, filter.limit, |item| item.entry.clone());
    Ok(Json(Page { items, next }))
}

pub async fn show(State(service): App, known: Known, Path(id): Path<String>) -> Result<Json<EntryBody>, Problem> {
    let caller = known.may(Scope::Read)?;
    let sequence = number(&id, "entry")?;
    let filter = EntryFilter {
        after: Some(Sequence(sequence - 1)),
        before: Some(Sequence(sequence + 1)),
        team: caller.team.as_ref().map(|team| team.to_string()),
        limit: 1,
        ..EntryFilter::default()
    };
    let booked = service.farthing.store.entries(caller.org, &filter).await?;
    let body = bodies(&service, caller.org, &booked).await?.pop();
    body.map(Json).ok_or_else(|| Problem::not_found(format!("no entry {sequence}")))
}

async fn bodies(service: &Service, org: Org, booked: &[BookedEntry]) -> Result<Vec<EntryBody>, Problem> {
    let names = service.farthing.names_of(org, booked).await?;
    let (decided, charged): (Vec<&BookedEntry>, _) = booked.iter().partition(|booked| booked.entry.kind == EntryKind::Adjustment);
    let numbers: Vec<i64> = charged.iter().filter_map(|booked| booked.entry.event).map(|event| event.0).collect();
    let events = service.farthing.store.events_by_record(org, &numbers).await?;
    let mut events: HashMap<i64, EventRef> = events
        .iter()
        .map(|stored| (stored.row.record, EventRef { source: stored.event.source.to_string(), id: stored.event.id.to_string() }))
        .collect();
    for record in decided.iter().filter_map(|booked| booked.entry.event) {
        for row in service.farthing.store.records_between(org, record.0, record.0 + 1).await? {
            events.insert(row.record, EventRef { source: SOURCE.to_owned(), id: row.id });
        }
    }
    let body = |booked: &BookedEntry| {
        let event = booked.entry.event.and_then(|event| events.get(&event.0).cloned());
        EntryBody::new(booked, event, &names)
    };
    Ok(booked.iter().map(body).collect::<Result<_, _>>()?)
}
