//! What a person should know: notices, told by the webhook or not yet; and what was fetched of public lists.

use super::answer::{Json, Page, Parameters};
use super::caller::Known;
use super::{App, Problem};
use crate::flow::access::Scope;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
pub struct NoticeBody {
    notice: String,
    #[serde(rename = "type")]
    kind: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<String>,
    attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    data: Option<Box<RawValue>>,
}

#[derive(Serialize)]
pub struct FetchBody {
    fetch: String,
    source: String,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    size: i64,
    first_at: String,
    last_at: String,
    looks: i64,
    outcome: &'static str,
    detail: String,
}

pub async fn list(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Page<NoticeBody>>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let (kind, limit) = (parameters.take("type"), parameters.limit()?);
    parameters.nothing_else()?;
    let notices = service.farthing.store.notices(caller.org, kind.as_deref(), limit).await?;
    let items = notices.into_iter().map(|notice| NoticeBody {
        notice: notice.notice.to_string(),
        kind: notice.kind,
        created_at: notice.created_at.to_string(),
        delivered_at: notice.delivered_at.map(|at| at.to_string()),
        attempts: notice.attempts,
        last_error: notice.last_error,
        data: RawValue::from_string(notice.body).ok(),
    });
    Ok(Json(Page { items: items.collect(), next: None }))
}

pub async fn fetches(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Page<FetchBody>>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let (source, limit) = (parameters.take("source"), parameters.limit()?);
    parameters.nothing_else()?;
    let fetches = service.farthing.store.fetches(caller.org, source.as_deref(), limit).await?;
    let items = fetches.into_iter().map(|fetch| FetchBody {
        fetch: fetch.fetch.to_string(),
        source: fetch.source,
        url: fetch.url,
        hash: fetch.hash.map(|hash| blake3::Hash::from_bytes(hash).to_string()),
        size: fetch.size,
        first_at: fetch.first_at.to_string(),
        last_at: fetch.last_at.to_string(),
        looks: fetch.looks,
        outcome: fetch.outcome.name(),
        detail: fetch.detail,
    });
    Ok(Json(Page { items: items.collect(), next: None }))
}
