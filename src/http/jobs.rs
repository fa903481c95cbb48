//! What happens by itself: which reports and exports are written when and where to, what recurs, and what became of the last
//! times.

use super::answer::{Json, Page, Parameters};
use super::caller::Known;
use super::{App, Problem, Service};
use crate::flow::access::Scope;
use crate::flow::deliver::What;
use crate::flow::now;
use crate::flow::runs::{Recurring, Whose};
use crate::id::Org;
use crate::schedule::Schedule;
use crate::store::JobRun;
use axum::extract::{RawQuery, State};
use serde::Serialize;

#[derive(Serialize)]
pub struct JobBody {
    job: String,
    kind: &'static str,
    schedule: String,
    zone: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<String>,
    /// The newest run that failed, of those that are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<ErrorBody>,
    /// The newest first.
    runs: Vec<RunBody>,
}

#[derive(Serialize)]
struct ErrorBody {
    scheduled: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    error: String,
}

#[derive(Serialize)]
struct RunBody {
    /// What the clock on the wall was to show.
    scheduled: String,
    scheduled_at: String,
    state: &'static str,
    attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    detail: String,
}

/// The org's own jobs; what the server does for itself is shown to admins.
pub async fn list(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Page<JobBody>>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let limit = parameters.limit()?;
    parameters.nothing_else()?;
    let mut items = Vec::new();
    for job in &service.work.jobs {
        let kind = if matches!(job.what, What::Report(_)) { "report" } else { "export" };
        let body = JobBody::of(&service, caller.org, &job.name, &job.delivery.schedule, kind, limit).await?;
        let (destination, format) = (Some(job.delivery.destination.to_string()), Some(job.format()));
        items.push(JobBody { destination, format, ..body });
    }
    let org = service.farthing.store.org_name(caller.org).await?;
    for Recurring { name, schedule, whose } in &service.work.recurring {
        let (kind, is_shown) = match whose {
            Whose::EachOrg => ("org", true),
            Whose::Org(other) => ("org", *other == org),
            Whose::Server => ("server", caller.may(Scope::Admin)),
        };
        if is_shown {
            items.push(JobBody::of(&service, caller.org, name, schedule, kind, limit).await?);
        }
    }
    Ok(Json(Page { items, next: None }))
}

impl JobBody {
    async fn of(
        service: &Service,
        org: Org,
        job: &str,
        schedule: &Schedule,
        kind: &'static str,
        limit: i64,
    ) -> Result<JobBody, Problem> {
        let store = &service.farthing.store;
        let failed = store.last_failed(org, job).await?;
        Ok(JobBody {
            job: job.to_owned(),
            kind,
            schedule: schedule.cron.to_string(),
            zone: schedule.zone.name(),
            destination: None,
            format: None,
            next_at: schedule.after(now()).next().map(|time| time.at.to_string()),
            last_error: failed.map(|run| ErrorBody {
                scheduled: run.time.local,
                at: run.finished_at.map(|at| at.to_string()),
                error: run.detail,
            }),
            runs: store.runs(org, job, limit).await?.into_iter().map(RunBody::of).collect(),
        })
    }
}

impl RunBody {
    fn of(run: JobRun) -> RunBody {
        RunBody {
            scheduled: run.time.local,
            scheduled_at: run.time.at.to_string(),
            state: run.state.name(),
            attempts: run.attempts,
            started_at: run.started_at.map(|at| at.to_string()),
            finished_at: run.finished_at.map(|at| at.to_string()),
            next_attempt_at: run.next_at.map(|at| at.to_string()),
            detail: run.detail,
        }
    }
}
