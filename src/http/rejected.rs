//! Rejected bodies: what was sent and is no event, listed without its content and tried again.

use super::answer::{Json, Page, Parameters, next_page};
use super::caller::Known;
use super::{App, Problem};
use crate::flow::access::Scope;
use crate::store::RejectedBody;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
pub struct RejectedItem {
    rejected: String,
    dialect: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    field: String,
    detail: String,
    /// What was sent, without content; absent where it was not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    size: i64,
    times: i64,
    received_at: String,
}

#[derive(Serialize)]
pub struct MendedBody {
    tried: usize,
    accepted: usize,
    still_rejected: usize,
}

pub async fn list(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Page<RejectedItem>>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let (after, limit) = (parameters.take("cursor").unwrap_or_default(), parameters.limit()?);
    parameters.nothing_else()?;
    let bodies = service.farthing.store.rejected(caller.org, &after, limit).await?;
    let items: Vec<RejectedItem> = bodies.into_iter().map(item).collect();
    let next = next_page(&items, limit, |item| item.rejected.clone());
    Ok(Json(Page { items, next }))
}

pub async fn retry(State(service): App, known: Known) -> Result<Json<MendedBody>, Problem> {
    let caller = known.may_everywhere(Scope::Ingest)?;
    let mended = service.farthing.retry_rejected(caller.org).await?;
    Ok(Json(MendedBody { tried: mended.tried, accepted: mended.accepted, still_rejected: mended.still_rejected }))
}

fn item(body: RejectedBody) -> RejectedItem {
    RejectedItem {
        rejected: body.rejected,
        dialect: body.dialect,
        source: body.source,
        id: body.event_id,
        field: body.field,
        detail: body.detail,
        body: body.body.and_then(|json| RawValue::from_string(json).ok()),
        size: body.size,
        times: body.times,
        received_at: body.received_at.to_string(),
    }
}
