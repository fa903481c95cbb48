//! Statements, and what comparing the book with them comes to.

pub mod page;

use super::answer::{Json, Page, Parameters, next_page, number, to_the_end};
use super::caller::Known;
use super::receive::read_text;
use super::{App, Problem};
use crate::flow::FlowError;
use crate::flow::access::Scope;
use crate::flow::reconcile::page::Shown;
use crate::flow::reconcile::{Origin, Reconciled, TruedUp, Wish, told};
use crate::id::BlockNumber;
use crate::money::Amount;
use crate::reconcile::statement::Form;
use crate::reconcile::{Asked, Stated};
use crate::store::Reconciliation;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize)]
pub struct StatementBody {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_by: Option<String>,
    #[serde(flatten)]
    stated: Stated,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    statement: String,
    block: Option<i64>,
    from: Option<String>,
    until: Option<String>,
    tolerance: Option<String>,
}

#[derive(Serialize)]
pub struct RunBody {
    id: String,
    statement: String,
    block: i64,
    asked: Value,
    summary: Value,
    made_at: String,
}

#[derive(Serialize)]
pub struct TruedUpBody {
    posted: u64,
    already_present: u64,
    left: u64,
    amount: String,
}

pub async fn import(
    State(service): App,
    known: Known,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<StatementBody>), Problem> {
    let caller = known.may_everywhere(Scope::Reconcile)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let unknown = |name: String| Problem::parameter("form", format!("`{name}` is no form of a statement"));
    let form = parameters.take("form").map(|name| Form::named(&name).ok_or_else(|| unknown(name))).transpose()?;
    let origin = Origin {
        form,
        account: parameters.take("account"),
        asked: parameters.take("name").unwrap_or_else(|| format!("sent by {}", caller.key)),
        days: None,
        said_at: None,
    };
    parameters.nothing_else()?;
    let body = read_text(&service, &headers, body).await?;
    let farthing = service.farthing.clone();
    let imported = to_the_end(async move { Ok(farthing.import_statement(caller.org, body, &origin).await) }).await?;
    let imported = imported.map_err(|e| match e {
        FlowError::Refused(why) => {
            Problem::bad_request(why).field("body").hint("mend it or name another form; nothing was kept of it")
        }
        other => other.into(),
    })?;
    let status = if imported.was_there { StatusCode::OK } else { StatusCode::CREATED };
    let superseded_by = imported.superseded_by.map(|newer| newer.to_string());
    Ok((status, Json(StatementBody { id: imported.statement.to_string(), superseded_by, stated: imported.stated })))
}

pub async fn statements(
    State(service): App,
    known: Known,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<StatementBody>>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let (after, limit) = (parameters.cursor()?, parameters.limit()?);
    parameters.nothing_else()?;
    let statements = service.farthing.statements_after(caller.org, after, limit).await?;
    let body = |(number, stated): (i64, Stated)| StatementBody { id: number.to_string(), superseded_by: None, stated };
    let items: Vec<StatementBody> = statements.into_iter().map(body).collect();
    let next = next_page(&items, limit, |item| item.id.clone());
    Ok(Json(Page { items, next }))
}

pub async fn statement(State(service): App, known: Known, Path(id): Path<String>) -> Result<Json<StatementBody>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let stated = service.farthing.stated(caller.org, number(&id, "statement")?).await?;
    Ok(Json(StatementBody { id, superseded_by: None, stated }))
}

pub async fn create(State(service): App, known: Known, headers: HeaderMap, body: Body) -> Result<Json<RunBody>, Problem> {
    let caller = known.may_everywhere(Scope::Reconcile)?;
    let body = read_text(&service, &headers, body).await?;
    let order: Order = serde_json::from_str(&body).map_err(|e| Problem::bad_request(e.to_string()))?;
    let statement = number(&order.statement, "statement")?;
    let asked = Asked { from: order.from, until: order.until, tolerance: order.tolerance };
    let wish = Wish { statement, block: order.block.map(BlockNumber), asked };
    let farthing = service.farthing.clone();
    let run = to_the_end(async move { Ok(farthing.reconcile(caller.org, &wish).await) }).await?;
    Ok(Json(RunBody::of(&run.map_err(wrong_order)?.kept)))
}

/// What is refused of an order begins with its field.
fn wrong_order(e: FlowError) -> Problem {
    match &e {
        FlowError::Refused(why) => match why.split_once(": ") {
            Some((field @ ("block" | "from" | "until" | "tolerance"), why)) => Problem::parameter(field, why),
            _ => e.into(),
        },
        _ => e.into(),
    }
}

pub async fn list(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Page<RunBody>>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let limit = parameters.limit()?;
    parameters.nothing_else()?;
    let runs = service.farthing.store.reconciliations(caller.org, limit).await?;
    Ok(Json(Page { items: runs.iter().map(RunBody::of).collect(), next: None }))
}

/// What a run came to, as it was written down; in any form but JSON the page of it.
pub async fn show(
    State(service): App,
    known: Known,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let form = page::Form::wanted(&mut parameters, &headers)?;
    parameters.nothing_else()?;
    if form != page::Form::Json {
        let page = service.farthing.reconciliation_page(caller.org, &Shown::Run(id)).await?;
        return page::answered(&page, form).await;
    }
    let run = service.farthing.store.reconciliation(caller.org, &id).await?;
    let run = run.ok_or_else(|| Problem::not_found(format!("there is no reconciliation {id}")))?;
    Ok(Json(RunBody::of(&run)).into_response())
}

pub async fn variances(
    State(service): App,
    known: Known,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<Value>>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let (after, limit) = (parameters.cursor()?, parameters.limit()?);
    parameters.nothing_else()?;
    let run = service.farthing.reconciled(caller.org, &id).await?;
    let rest = run.comparison.variances.iter().skip(usize::try_from(after).unwrap_or(0));
    let items: Vec<Value> = rest.take(limit as usize).map(|variance| told(&run, variance)).collect();
    let next = next_page(&items, limit, |_| (after + limit).to_string());
    Ok(Json(Page { items, next }))
}

/// Cards learned from what was billed; a person publishes them or does not.
pub async fn proposals(State(service): App, known: Known, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let run = service.farthing.reconciled(caller.org, &id).await?;
    Ok(Json(service.farthing.propose(caller.org, &run).await?.to_json()))
}

pub async fn true_ups(
    State(service): App,
    known: Known,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<TruedUpBody>, Problem> {
    let caller = known.may_everywhere(Scope::Reconcile)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let within = parameters.take("within").map(|amount| Amount::parse(&amount)).transpose();
    let within = within.map_err(|e| Problem::parameter("within", e.to_string()))?;
    parameters.nothing_else()?;
    let farthing = service.farthing.clone();
    let done = to_the_end(async move {
        let run: Reconciled = farthing.reconciled(caller.org, &id).await?;
        farthing.true_up(caller.org, &run, within, &caller.key).await
    });
    let TruedUp { posted, were_there, amount, left } = done.await?;
    Ok(Json(TruedUpBody { posted, already_present: were_there, left, amount: amount.to_string() }))
}

impl RunBody {
    fn of(run: &Reconciliation) -> RunBody {
        let value = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
        RunBody {
            id: run.run.clone(),
            statement: run.statement.to_string(),
            block: run.block.0,
            asked: value(&run.asked),
            summary: value(&run.summary),
            made_at: run.made_at.to_string(),
        }
    }
}
