//! Booking again under the catalog in force: first as a dry run, which is what happens unless `dry_run=false` is said.

use super::answer::{Json, Parameters, to_the_end};
use super::caller::Known;
use super::catalog::version_parameter;
use super::{App, Problem};
use crate::flow::access::Scope;
use crate::flow::rerate::{Rerated, Wish};
use crate::id::Version;
use axum::extract::{RawQuery, State};
use serde::Serialize;

#[derive(Serialize)]
pub struct RerateBody {
    dry_run: bool,
    catalog_version: i64,
    examined: u64,
    changed: u64,
    posted: u64,
    unpriced: u64,
    reattributed: u64,
    changes: Vec<ChangeBody>,
    left: Vec<LeftBody>,
}

#[derive(Serialize)]
struct ChangeBody {
    provider: String,
    model: String,
    currency: String,
    events: u64,
    before: String,
    after: String,
    change: String,
}

#[derive(Serialize)]
struct LeftBody {
    source: String,
    id: String,
    detail: String,
}

pub async fn create(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<RerateBody>, Problem> {
    let caller = known.may_everywhere(Scope::Catalog)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let dry_run = match parameters.take("dry_run").as_deref() {
        None | Some("true" | "1") => true,
        Some("false" | "0") => false,
        Some(other) => return Err(Problem::parameter("dry_run", format!("`{other}` is neither true nor false"))),
    };
    let wish = Wish {
        from: parameters.instant("from")?,
        until: parameters.instant("until")?,
        provider: parameters.take("provider"),
        model: parameters.take("model"),
        dry_run,
        under: version_parameter(&mut parameters, "version")?.map(Version),
        reason: parameters.take("reason").unwrap_or_else(|| format!("rated again by {}", caller.key)),
    };
    parameters.nothing_else()?;
    let farthing = service.farthing.clone();
    let rerated = to_the_end(async move { farthing.rerate(caller.org, &wish, |_| {}).await }).await?;
    Ok(Json(RerateBody::new(&rerated, dry_run)))
}

impl RerateBody {
    fn new(rerated: &Rerated, dry_run: bool) -> RerateBody {
        let changes = rerated.changes.iter().map(|(bought, moved)| ChangeBody {
            provider: bought.provider.clone(),
            model: bought.model.clone(),
            currency: bought.currency.to_string(),
            events: moved.events,
            before: moved.before.to_string(),
            after: moved.after.to_string(),
            change: (moved.after - moved.before).to_string(),
        });
        let left = rerated.left.iter();
        RerateBody {
            dry_run,
            catalog_version: rerated.version.0,
            examined: rerated.examined,
            changed: rerated.changed,
            posted: rerated.posted,
            unpriced: rerated.unpriced,
            reattributed: rerated.reattributed,
            changes: changes.collect(),
            left: left
                .map(|left| LeftBody { source: left.source.clone(), id: left.id.clone(), detail: left.why.clone() })
                .collect(),
        }
    }
}
