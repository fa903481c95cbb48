//! The service about itself: alive, ready, verified, described.

use super::answer::{Json, Parameters, typed};
use super::caller::Known;
use super::{App, Problem};
use crate::flow::access::Scope;
use crate::flow::verify::Deepened;
use crate::yaml::Node;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

/// The description of the routes, as it is written.
pub const OPENAPI: &str = include_str!("openapi.yaml");

static OPENAPI_JSON: LazyLock<String> = LazyLock::new(|| Node::parse(OPENAPI).expect("a test reads the description").to_json());

/// The process runs.
pub async fn healthz() -> Response {
    typed("ok\n", "text/plain; charset=utf-8")
}

/// The service takes events: the database answers and nothing is shutting down.
pub async fn readyz(State(service): App) -> Response {
    let closing = service.closing.load(Ordering::Relaxed);
    match service.farthing.store.ping().await {
        Ok(()) if !closing => typed("ready\n", "text/plain; charset=utf-8"),
        Ok(()) => (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response(),
    }
}

#[derive(Serialize)]
pub struct VerifiedBody {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deep: Option<DeepBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broken_block: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broken_record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Serialize)]
struct DeepBody {
    rated: i64,
    erased: i64,
    rated_differently: i64,
    examples: Vec<OtherwiseBody>,
}

#[derive(Serialize)]
struct OtherwiseBody {
    block: i64,
    entry: i64,
    rater: u16,
    why: String,
}

pub async fn verify(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<VerifiedBody>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let deep = parameters.flag("deep")?;
    parameters.nothing_else()?;
    let nothing = VerifiedBody {
        ok: false,
        blocks: None,
        events: None,
        entries: None,
        head: None,
        deep: None,
        broken_block: None,
        broken_record: None,
        why: None,
    };
    let verified = match deep {
        true => service.farthing.verify_deep(caller.org, |_, _| {}).await?,
        false => service.farthing.verify(caller.org, |_, _| {}).await?,
    };
    Ok(Json(match verified {
        Ok(verified) => VerifiedBody {
            ok: true,
            blocks: Some(verified.blocks),
            events: Some(verified.events),
            entries: Some(verified.entries),
            head: Some(verified.head.to_string()),
            deep: verified.deep.map(DeepBody::of),
            ..nothing
        },
        Err(broken) => VerifiedBody {
            broken_block: Some(broken.block.0).filter(|block| *block > 0),
            broken_record: broken.record,
            why: Some(broken.why),
            ..nothing
        },
    }))
}

impl DeepBody {
    fn of(deepened: Deepened) -> DeepBody {
        let examples = deepened.otherwise.into_iter().map(|otherwise| OtherwiseBody {
            block: otherwise.block.0,
            entry: otherwise.entry.0,
            rater: otherwise.rater,
            why: otherwise.why,
        });
        let (rated, erased) = (deepened.rated, deepened.erased);
        DeepBody { rated, erased, rated_differently: deepened.otherwise_in_all, examples: examples.collect() }
    }
}

pub async fn openapi() -> Response {
    typed(OPENAPI_JSON.as_str(), "application/json")
}
