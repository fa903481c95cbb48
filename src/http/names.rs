//! The names that people have in the book, and that they are erased.

use super::answer::{Json, to_the_end};
use super::caller::Known;
use super::{App, Problem};
use crate::flow::access::Scope;
use axum::extract::{Path, State};
use serde::Serialize;

#[derive(Serialize)]
pub struct ErasedBody {
    name: i64,
    accounts: Vec<i64>,
    rejected_bodies: u64,
    remains: RemainsBody,
}

#[derive(Serialize)]
struct RemainsBody {
    events: i64,
    names: i64,
    catalog_parts: i64,
    keys: i64,
    lists: i64,
}

pub async fn erase(
    State(service): App,
    known: Known,
    Path((kind, text)): Path<(String, String)>,
) -> Result<Json<ErasedBody>, Problem> {
    let caller = known.may_everywhere(Scope::Admin)?;
    let farthing = service.farthing.clone();
    let erased = to_the_end(async move { farthing.erase_name(caller.org, &kind, &text).await }).await?;
    let remains = erased.remains;
    Ok(Json(ErasedBody {
        name: erased.name.0,
        accounts: erased.accounts.iter().map(|account| account.0).collect(),
        rejected_bodies: erased.rejected,
        remains: RemainsBody {
            events: remains.events,
            names: remains.names,
            catalog_parts: remains.catalog_parts,
            keys: remains.keys,
            lists: remains.lists,
        },
    }))
}
