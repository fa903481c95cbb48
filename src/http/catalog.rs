//! The catalog: its versions, what changed between them, what a model costs and why, publishing and rolling back. Files are
//! sent as they are written (YAML; JSON is YAML too), other lists as they were fetched.

use super::answer::{Json, Parameters, number, to_the_end, typed};
use super::caller::Known;
use super::receive::read_text;
use super::{App, Problem, Service};
use crate::catalog::check::Finding;
use crate::catalog::diff::Change;
use crate::catalog::quoted::{self, Notation};
use crate::catalog::source::own;
use crate::catalog::{Card, Part, Rates};
use crate::flow::access::{Caller, Scope};
use crate::flow::import::{Import, Source};
use crate::flow::now;
use crate::flow::price::{Question, price};
use crate::flow::publish::{Note, Published, Wish};
use crate::id::Version;
use crate::store::PublishedVersion;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub struct VersionBody {
    version: i64,
    hash: String,
    author: String,
    note: String,
    published_at: String,
}

#[derive(Serialize)]
pub struct Versions {
    items: Vec<VersionBody>,
}

#[derive(Serialize)]
pub struct VersionWithParts {
    #[serde(flatten)]
    version: VersionBody,
    parts: Vec<PartBody>,
}

#[derive(Serialize)]
struct PartBody {
    name: String,
    hash: String,
    models: usize,
    cards: usize,
    overrides: usize,
}

#[derive(Serialize)]
struct FindingBody {
    severity: &'static str,
    kind: &'static str,
    subject: String,
    what: String,
    fix: String,
}

#[derive(Serialize)]
pub struct Changes {
    from: i64,
    until: i64,
    changes: Vec<String>,
}

#[derive(Serialize)]
struct PublishedBody {
    base: i64,
    /// Nothing where it was a dry run or would have changed nothing.
    version: Option<i64>,
    findings: Vec<FindingBody>,
    changes: Vec<String>,
    not_understood: Vec<String>,
    held: HeldBody,
}

#[derive(Serialize)]
struct HeldBody {
    tried: usize,
    posted: usize,
    still_held: usize,
}

/// A model's price.
#[derive(Serialize)]
struct PriceBody {
    provider: String,
    model: String,
    at: String,
    catalog_version: i64,
    layer: &'static str,
    card: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hides: Option<String>,
    currency: String,
    rates: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    when: Vec<ConditionBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chargeback: Option<ChargebackBody>,
    /// The price in another program's notation, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<String>>,
    tried: Vec<String>,
}

#[derive(Serialize)]
struct ConditionBody {
    condition: String,
    rates: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct ChargebackBody {
    card: String,
    rates: BTreeMap<String, String>,
}

pub async fn versions(State(service): App, known: Known) -> Result<Json<Versions>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let items = service.farthing.store.versions(caller.org).await?.iter().rev().map(VersionBody::new).collect();
    Ok(Json(Versions { items }))
}

pub async fn version(State(service): App, known: Known, Path(version): Path<String>) -> Result<Json<VersionWithParts>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let found = find(&service, &caller, &version).await?;
    let parts = service.farthing.parts_of(caller.org, found.version).await?;
    let parts = parts.into_iter().map(|(stored, part)| PartBody::new(stored.name, &stored.hash, &part)).collect();
    Ok(Json(VersionWithParts { version: VersionBody::new(&found), parts }))
}

/// A part as it would stand in a file.
pub async fn part(State(service): App, known: Known, Path((version, name)): Path<(String, String)>) -> Result<Response, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let found = find(&service, &caller, &version).await?;
    let parts = service.farthing.parts_of(caller.org, found.version).await?;
    let part = parts.into_iter().find(|(stored, _)| stored.name == name);
    let (_, part) = part.ok_or_else(|| Problem::not_found(format!("version {version} has no part `{name}`")))?;
    Ok(typed(own::write(&part), "application/yaml"))
}

pub async fn publish(
    State(service): App,
    known: Known,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let caller = known.may_everywhere(Scope::Catalog)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let remove = parameters.take("remove").map_or_else(Vec::new, |names| names.split(',').map(str::to_owned).collect());
    let wish = Wish { remove, ..wish(&mut parameters, &caller)? };
    parameters.nothing_else()?;
    let text = read_text(&service, &headers, body).await?;
    let parts = if text.trim().is_empty() { Vec::new() } else { own::read(&text).map_err(mistaken)? };
    if parts.is_empty() && wish.remove.is_empty() {
        return Err(
            Problem::bad_request("the body holds no part of a catalog").hint("send a catalog file, or name a part to remove")
        );
    }
    let farthing = service.farthing.clone();
    let published = to_the_end(async move { farthing.publish(caller.org, &Wish { parts, ..wish }).await }).await?;
    Ok(reply(&published, Vec::new()))
}

/// Another list, as it was fetched.
pub async fn import(
    State(service): App,
    known: Known,
    Path(source): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let caller = known.may_everywhere(Scope::Catalog)?;
    let source = Source::named(&source).map_err(|e| Problem::not_found(e.to_string()))?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let seen_at = parameters.instant("seen_at")?.unwrap_or_else(now);
    let since = parameters.instant("since")?;
    let providers = parameters.take("provider").map_or_else(Vec::new, |names| names.split(',').map(str::to_owned).collect());
    let prefix = parameters.take("as").unwrap_or_default();
    let wish = wish(&mut parameters, &caller)?;
    parameters.nothing_else()?;
    let text = read_text(&service, &headers, body).await?;
    let import = Import { since, providers, prefix, ..Import::new(source, seen_at) };
    let read = service.farthing.import(caller.org, &import, &text).await?;
    let wish = Wish { base: wish.base.or(Some(read.base)), parts: read.parts, ..wish };
    let farthing = service.farthing.clone();
    let published = to_the_end(async move { farthing.publish(caller.org, &wish).await }).await?;
    Ok(reply(&published, read.notes))
}

pub async fn roll_back(
    State(service): App,
    known: Known,
    Path(to): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let caller = known.may_everywhere(Scope::Catalog)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let mut wish = wish(&mut parameters, &caller)?;
    parameters.nothing_else()?;
    let to = find(&service, &caller, &to).await?.version;
    if wish.note.note.is_empty() {
        wish.note.note = format!("back to version {to}");
    }
    let farthing = service.farthing.clone();
    let published = to_the_end(async move { farthing.roll_back(caller.org, to, &wish).await }).await?;
    Ok(reply(&published, Vec::new()))
}

pub async fn diff(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Changes>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let newest = service.farthing.store.head(caller.org).await?.version.0;
    let until = version_parameter(&mut parameters, "to")?.unwrap_or(newest);
    let from = version_parameter(&mut parameters, "from")?.unwrap_or((until - 1).max(1));
    parameters.nothing_else()?;
    let changes = service.farthing.changes(caller.org, Version(from), Version(until)).await?;
    Ok(Json(Changes { from, until, changes: words(&changes) }))
}

pub async fn price_of(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let mut required = |name: &str| {
        let missing = || Problem::parameter(name, "it is missing").hint("ask as ?provider=openai&model=gpt-4o-mini");
        parameters.take(name).ok_or_else(missing)
    };
    let (provider, model) = (required("provider")?, required("model")?);
    let question = Question {
        at: parameters.instant("at")?,
        served_by: parameters.take("served_by"),
        variant: parameters.take("variant"),
        service_tier: parameters.take("service_tier"),
        region: parameters.take("region"),
        team: parameters.take("team"),
        project: parameters.take("project"),
        key: parameters.take("key"),
        provider,
        model,
    };
    let notation = parameters.take("as").map(|name| {
        let known = "known are omnia, oceans, litellm, models.dev";
        Notation::named(&name).ok_or_else(|| Problem::parameter("as", format!("`{name}` is no notation; {known}")))
    });
    let notation = notation.transpose()?;
    let version = version_parameter(&mut parameters, "version")?;
    parameters.nothing_else()?;
    let in_force = match version {
        Some(version) => service.farthing.published(caller.org, Version(version)).await?,
        None => service.farthing.newest(caller.org).await?,
    };
    let answer = price(&question, &in_force, now()).map_err(|e| Problem::from(&e))?;
    let found = answer.found.map_err(|why| {
        Problem::new(StatusCode::NOT_FOUND, "unpriced", "There is no price", why).with("tried", answer.tried.clone().into())
    })?;
    let written = notation.map(|notation| quoted::quote(&found.card, &question.provider, &question.model, notation));
    let when = found.card.when.iter();
    let body = PriceBody {
        at: answer.at.to_string(),
        catalog_version: answer.version.0,
        layer: found.layer.name(),
        card: found.label,
        hides: found.hidden,
        currency: found.card.currency.to_string(),
        rates: quoted_rates(&found.card.rates),
        when: when.map(|when| ConditionBody { condition: when.to_string(), rates: quoted_rates(&when.rates) }).collect(),
        from: found.card.from.map(|from| from.as_date_or_instant()),
        seen_after: found.card.seen_after.map(|at| at.as_date_or_instant()),
        source: source_of(&found.card),
        note: found.card.origin.note.as_deref().map(str::to_owned),
        remark: found.card.origin.remark.as_deref().map(str::to_owned),
        chargeback: found.chargeback.map(|(card, rates)| ChargebackBody { card, rates: quoted_rates(&rates) }),
        written: written.as_ref().map(|written| written.text.clone()),
        warnings: written.map(|written| written.warnings),
        tried: answer.tried,
        provider: question.provider,
        model: question.model,
    };
    Ok(Json(body).into_response())
}

/// What every way of publishing may say: its base, whether its warnings were seen, a note.
fn wish(parameters: &mut Parameters, caller: &Caller) -> Result<Wish, Problem> {
    Ok(Wish {
        base: version_parameter(parameters, "base")?.map(Version),
        accept: parameters.flag("accept")?,
        dry_run: parameters.flag("dry_run")?,
        note: Note { author: caller.key.clone(), note: parameters.take("note").unwrap_or_default() },
        ..Wish::default()
    })
}

async fn find(service: &Service, caller: &Caller, version: &str) -> Result<PublishedVersion, Problem> {
    let wanted = number(version, "version of the catalog")?;
    Ok(service.farthing.version(caller.org, Version(wanted)).await?)
}

pub fn version_parameter(parameters: &mut Parameters, name: &str) -> Result<Option<i64>, Problem> {
    let Some(value) = parameters.take(name) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| Problem::parameter(name, format!("`{value}` is no version of the catalog")))
}

fn mistaken(mistakes: Vec<crate::yaml::Mistake>) -> Problem {
    let lines: Vec<String> = mistakes.iter().map(|mistake| mistake.to_string()).collect();
    let first = mistakes.first().map(|mistake| mistake.field.clone()).unwrap_or_default();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "catalog", "The catalog does not hold together", lines.join("; "))
        .field(first)
        .with("mistakes", lines.into())
}

fn reply(published: &Published, not_understood: Vec<String>) -> Response {
    let retried = published.retried;
    let body = PublishedBody {
        base: published.base.0,
        version: published.version.map(|version| version.0),
        findings: published.findings.iter().map(FindingBody::new).collect(),
        changes: words(&published.changes),
        not_understood,
        held: HeldBody { tried: retried.tried, posted: retried.posted, still_held: retried.still_held },
    };
    let status = if published.version.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    (status, Json(body)).into_response()
}

fn words(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| change.to_string()).collect()
}

/// Rates as a catalog file would quote them.
fn quoted_rates(rates: &Rates) -> BTreeMap<String, String> {
    rates.iter().map(|(meter, rate)| own::quoted(meter, rate)).collect()
}

fn source_of(card: &Card) -> Option<String> {
    card.origin.source.as_deref().map(str::to_owned)
}

impl VersionBody {
    fn new(version: &PublishedVersion) -> VersionBody {
        VersionBody {
            version: version.version.0,
            hash: blake3::Hash::from_bytes(version.hash).to_string(),
            author: version.note.author.clone(),
            note: version.note.note.clone(),
            published_at: version.note.published_at.to_string(),
        }
    }
}

impl PartBody {
    fn new(name: String, hash: &[u8; 32], part: &Part) -> PartBody {
        let (models, cards, overrides) = part.counts();
        PartBody { name, hash: blake3::Hash::from_bytes(*hash).to_string(), models, cards, overrides }
    }
}

impl FindingBody {
    fn new(finding: &Finding) -> FindingBody {
        FindingBody {
            severity: finding.severity.name(),
            kind: finding.kind.name(),
            subject: finding.subject.clone(),
            what: finding.what.clone(),
            fix: finding.fix.clone(),
        }
    }
}
