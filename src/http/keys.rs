//! Access keys: made, listed, revoked.

use super::answer::{Json, Page};
use super::caller::Known;
use super::receive::read_text;
use super::{App, Problem};
use crate::flow::access::{KeyWish, Scope};
use crate::flow::now;
use crate::store::AccessKey;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    scopes: Vec<String>,
    source: Option<String>,
    team: Option<String>,
    note: Option<String>,
}

#[derive(Serialize)]
pub struct Made {
    /// The only time it is seen.
    key: String,
}

#[derive(Serialize)]
pub struct KeyBody {
    id: String,
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

pub async fn list(State(service): App, known: Known) -> Result<Json<Page<KeyBody>>, Problem> {
    let caller = known.may_everywhere(Scope::Admin)?;
    let keys = service.farthing.store.keys(caller.org).await?;
    Ok(Json(Page { items: keys.into_iter().map(body).collect(), next: None }))
}

pub async fn create(
    State(service): App,
    known: Known,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let caller = known.may_everywhere(Scope::Admin)?;
    let wish = read_text(&service, &headers, body).await?;
    let wish: Wish = serde_json::from_str(&wish).map_err(|e| Problem::bad_request(e.to_string()))?;
    let scopes = wish.scopes.iter().map(|scope| scope.parse()).collect::<Result<Vec<Scope>, String>>();
    let scopes = scopes.map_err(|e| Problem::bad_request(e).field("scopes"))?;
    let wish = KeyWish { scopes, source: wish.source, team: wish.team, note: wish.note };
    let key = service.farthing.create_key(caller.org, &wish).await?;
    Ok((StatusCode::CREATED, Json(Made { key })))
}

pub async fn revoke(State(service): App, known: Known, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let caller = known.may_everywhere(Scope::Admin)?;
    let revoked = service.farthing.store.revoke_key(caller.org, &id, now()).await?;
    service.callers.forget();
    if revoked { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found(format!("no key {id} that could be revoked"))) }
}

fn body(key: AccessKey) -> KeyBody {
    KeyBody {
        id: key.key,
        scopes: key.scopes.split(',').map(str::to_owned).collect(),
        source: key.source,
        team: key.team,
        note: key.note,
        created_at: key.created_at.to_string(),
        revoked_at: key.revoked_at.map(|at| at.to_string()),
    }
}
