//! What happens by itself: which reports are written when and where to, and what became of the last times.

use super::answer::{Json, Page, Parameters};
use super::caller::Known;
use super::{App, Problem};
use crate::flow::access::Scope;
use crate::flow::deliver::jobs;
use crate::flow::now;
use crate::store::JobRun;
use axum::extract::{RawQuery, State};
use serde::Serialize;

#[derive(Serialize)]
pub struct JobBody {
    job: String,
    schedule: String,
    zone: &'static str,
    destination: String,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<String>,
    /// The newest first.
    runs: Vec<RunBody>,
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

pub async fn list(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Page<JobBody>>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let limit = parameters.limit()?;
    parameters.nothing_else()?;
    let mut items = Vec::new();
    for job in jobs(&service.reports) {
        let (delivery, runs) = (&job.delivery, service.farthing.store.runs(caller.org, &job.name, limit).await?);
        items.push(JobBody {
            schedule: delivery.schedule.cron.to_string(),
            zone: delivery.schedule.zone.name(),
            destination: delivery.destination.to_string(),
            format: delivery.format.name(),
            next_at: delivery.schedule.after(now()).next().map(|time| time.at.to_string()),
            runs: runs.into_iter().map(RunBody::of).collect(),
            job: job.name,
        });
    }
    Ok(Json(Page { items, next: None }))
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
