//! Runs of jobs: which times of a schedule were written down, who runs one, and what became of it. A run is claimed by one
//! statement, so of many processes that see it one gets it; and whoever claimed it may say how it ended only as long as
//! nobody else has claimed it since, which the number of its attempt tells.

use crate::id::Org;
use crate::schedule::ScheduledTime;
use crate::store::sql::{Columns, on};
use crate::store::{Doing, Store, StoreError};
use crate::time::Instant;
use std::fmt;

/// A run of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRun {
    pub job: String,
    pub time: ScheduledTime,
    pub state: RunState,
    pub attempts: i64,
    /// The end of the lease while it runs, else when it may be tried.
    pub next_at: Option<Instant>,
    pub started_at: Option<Instant>,
    pub finished_at: Option<Instant>,
    /// What was written, or why not.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Its time has come.
    Due,
    Running,
    Done,
    /// It is tried again by itself.
    Failed,
    /// It is tried again if a person says so.
    GivenUp,
}

/// A run that is ours, and which attempt this is.
#[derive(Clone, Debug)]
pub struct Claim {
    pub job: String,
    pub time: ScheduledTime,
    pub attempt: i64,
    pub by_hand: bool,
}

impl RunState {
    pub const ALL: [RunState; 5] = [RunState::Due, RunState::Running, RunState::Done, RunState::Failed, RunState::GivenUp];

    pub const fn name(self) -> &'static str {
        match self {
            RunState::Due => "due",
            RunState::Running => "running",
            RunState::Done => "done",
            RunState::Failed => "failed",
            RunState::GivenUp => "given up",
        }
    }

    fn named(name: &str) -> Option<RunState> {
        RunState::ALL.into_iter().find(|state| state.name() == name)
    }
}

const RUN: &str = "SELECT job, scheduled, scheduled_at, state, attempts, next_at, started_at, finished_at, detail
                     FROM job_runs WHERE org = $1";

impl Store {
    /// Up to when the times of a schedule were written down.
    pub async fn planned_until(&self, org: Org, job: &str, schedule: &str) -> Result<Option<Instant>, StoreError> {
        let text = "SELECT planned_until FROM job_plans WHERE org = $1 AND job = $2 AND schedule = $3";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(job).bind(schedule).fetch_optional(db).await.doing("read a plan")?;
            row.map(|row| row.int(0).map(Instant::from_micros)).transpose().doing("read a plan")
        })
    }

    /// Writes times down as runs that are due, and answers how many there were to write; those that are known stay what they
    /// are.
    pub async fn write_runs(&self, org: Org, job: &str, times: &[ScheduledTime]) -> Result<u64, StoreError> {
        let text = "INSERT INTO job_runs (org, job, scheduled, scheduled_at, state, attempts, next_at, detail)
                    VALUES ($1, $2, $3, $4, 'due', 0, $4, '')
                    ON CONFLICT (org, job, scheduled) DO NOTHING";
        on!(self.writer(), db => {
            let (mut tx, mut written) = (db.begin().await.doing("write runs down")?, 0);
            for time in times {
                let query = sqlx::query(text).bind(org.0).bind(job).bind(&time.local).bind(time.at.micros());
                written += query.execute(&mut *tx).await.doing("write runs down")?.rows_affected();
            }
            tx.commit().await.doing("write runs down")?;
            Ok(written)
        })
    }

    /// Notes up to when the times of a schedule were written down.
    pub async fn note_planned(&self, org: Org, job: &str, schedule: &str, until: Instant) -> Result<(), StoreError> {
        // Whoever looked at an earlier clock does not bring back what is behind.
        let text = "INSERT INTO job_plans (org, job, schedule, planned_until) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (org, job, schedule) DO UPDATE SET planned_until = excluded.planned_until
                     WHERE job_plans.planned_until < excluded.planned_until";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(job).bind(schedule).bind(until.micros());
            query.execute(db).await.map(drop).doing("note a plan")
        })
    }

    /// Runs of any job that may be tried now, by the time for which they were scheduled.
    pub async fn runs_due(&self, org: Org, now: Instant) -> Result<Vec<JobRun>, StoreError> {
        let text = format!("{RUN} AND next_at <= $2 ORDER BY scheduled_at, scheduled, job");
        on!(self.reader(), db => {
            let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(org.0).bind(now.micros());
            let rows = query.fetch_all(db).await.doing("read runs")?;
            rows.iter().map(run).collect::<Result<_, sqlx::Error>>().doing("read runs")
        })
    }

    /// The newest runs of a job, the newest first.
    pub async fn runs(&self, org: Org, job: &str, limit: i64) -> Result<Vec<JobRun>, StoreError> {
        let text = format!("{RUN} AND job = $2 ORDER BY scheduled_at DESC, scheduled DESC LIMIT $3");
        on!(self.reader(), db => {
            let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(org.0).bind(job).bind(limit);
            let rows = query.fetch_all(db).await.doing("read runs")?;
            rows.iter().map(run).collect::<Result<_, sqlx::Error>>().doing("read runs")
        })
    }

    pub async fn job_run(&self, org: Org, job: &str, scheduled: &str) -> Result<Option<JobRun>, StoreError> {
        let text = format!("{RUN} AND job = $2 AND scheduled = $3");
        on!(self.reader(), db => {
            let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(org.0).bind(job).bind(scheduled);
            let row = query.fetch_optional(db).await.doing("read a run")?;
            row.map(|row| run(&row)).transpose().doing("read a run")
        })
    }

    /// How many runs there are, by job and state.
    pub async fn run_counts(&self, org: Org) -> Result<Vec<(String, RunState, i64)>, StoreError> {
        let text = "SELECT job, state, COUNT(*) FROM job_runs WHERE org = $1 GROUP BY job, state ORDER BY job, state";
        on!(self.reader(), db => {
            let rows = sqlx::query(text).bind(org.0).fetch_all(db).await.doing("count runs")?;
            let counts = rows.iter().map(|row| Ok((row.text(0)?, state(row, 1)?, row.int(2)?)));
            counts.collect::<Result<_, sqlx::Error>>().doing("count runs")
        })
    }

    /// Takes a run that may be tried, or one that is over without success if a person wants it; nothing if it is somebody
    /// else's, or done.
    pub async fn claim_run(
        &self,
        org: Org,
        job: &str,
        time: &ScheduledTime,
        by_hand: bool,
        now: Instant,
        until: Instant,
    ) -> Result<Option<Claim>, StoreError> {
        let text =
            "UPDATE job_runs SET state = 'running', attempts = attempts + 1, started_at = $5, finished_at = NULL, next_at = $6
                     WHERE org = $1 AND job = $2 AND scheduled = $3
                       AND (next_at <= $5 OR ($4 = 1 AND state IN ('due', 'failed', 'given up')))
                    RETURNING attempts";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(job).bind(&time.local).bind(i64::from(by_hand)).bind(now.micros());
            let row = query.bind(until.micros()).fetch_optional(db).await.doing("claim a run")?;
            let attempt = row.map(|row| row.int(0)).transpose().doing("claim a run")?;
            Ok(attempt.map(|attempt| Claim { job: job.to_owned(), time: time.clone(), attempt, by_hand }))
        })
    }

    /// Whether nobody else has claimed a run since.
    pub async fn is_claimed(&self, org: Org, claim: &Claim) -> Result<bool, StoreError> {
        let run = self.job_run(org, &claim.job, &claim.time.local).await?;
        Ok(run.is_some_and(|run| run.state == RunState::Running && run.attempts == claim.attempt))
    }

    /// Keeps a claim for longer; says whether it still was ours.
    pub async fn renew_claim(&self, org: Org, claim: &Claim, until: Instant) -> Result<bool, StoreError> {
        let text = "UPDATE job_runs SET next_at = $5
                     WHERE org = $1 AND job = $2 AND scheduled = $3 AND attempts = $4 AND state = 'running'";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(&claim.job).bind(&claim.time.local).bind(claim.attempt);
            query.bind(until.micros()).execute(db).await.map(|done| done.rows_affected() == 1).doing("renew a claim")
        })
    }

    /// Says how a claimed run ended; nothing happens if somebody else has claimed it since.
    pub async fn end_run(
        &self,
        org: Org,
        claim: &Claim,
        state: RunState,
        detail: &str,
        at: Instant,
        next_at: Option<Instant>,
    ) -> Result<bool, StoreError> {
        let text = "UPDATE job_runs SET state = $5, detail = $6, finished_at = $7, next_at = $8
                     WHERE org = $1 AND job = $2 AND scheduled = $3 AND attempts = $4 AND state = 'running'";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(&claim.job).bind(&claim.time.local).bind(claim.attempt);
            let query = query.bind(state.name()).bind(detail).bind(at.micros()).bind(next_at.map(Instant::micros));
            query.execute(db).await.map(|done| done.rows_affected() == 1).doing("end a run")
        })
    }

    /// The newest run of a job that failed, or was given up.
    pub async fn last_failed(&self, org: Org, job: &str) -> Result<Option<JobRun>, StoreError> {
        let text =
            format!("{RUN} AND job = $2 AND state IN ('failed', 'given up') ORDER BY scheduled_at DESC, scheduled DESC LIMIT 1");
        on!(self.reader(), db => {
            let row = sqlx::query(sqlx::AssertSqlSafe(text)).bind(org.0).bind(job).fetch_optional(db).await.doing("read a run")?;
            row.map(|row| run(&row)).transpose().doing("read a run")
        })
    }

    /// Writes down that runs of a job ended with their process: those whose lease is over.
    pub async fn end_broken_runs(&self, org: Org, job: &str, now: Instant) -> Result<u64, StoreError> {
        let text =
            "UPDATE job_runs SET state = 'failed', detail = 'it broke off with its process', finished_at = $3, next_at = NULL
                     WHERE org = $1 AND job = $2 AND next_at <= $3";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(job).bind(now.micros());
            query.execute(db).await.map(|done| done.rows_affected()).doing("end runs")
        })
    }

    /// Forgets all but the newest runs of a job.
    pub async fn forget_runs_but(&self, org: Org, job: &str, kept: i64) -> Result<u64, StoreError> {
        let text = "DELETE FROM job_runs WHERE org = $1 AND job = $2 AND scheduled_at <
                      (SELECT MIN(scheduled_at) FROM
                         (SELECT scheduled_at FROM job_runs WHERE org = $1 AND job = $2 ORDER BY scheduled_at DESC LIMIT $3) AS newest)";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(job).bind(kept);
            query.execute(db).await.map(|done| done.rows_affected()).doing("forget runs")
        })
    }

    /// Forgets runs of long ago, however they ended.
    pub async fn forget_runs_before(&self, org: Org, before: Instant) -> Result<u64, StoreError> {
        let text = "DELETE FROM job_runs WHERE org = $1 AND scheduled_at < $2";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(before.micros());
            query.execute(db).await.map(|done| done.rows_affected()).doing("forget runs")
        })
    }
}

fn run(row: &impl Columns) -> Result<JobRun, sqlx::Error> {
    Ok(JobRun {
        job: row.text(0)?,
        time: ScheduledTime { local: row.text(1)?, at: Instant::from_micros(row.int(2)?) },
        state: state(row, 3)?,
        attempts: row.int(4)?,
        next_at: row.maybe_int(5)?.map(Instant::from_micros),
        started_at: row.maybe_int(6)?.map(Instant::from_micros),
        finished_at: row.maybe_int(7)?.map(Instant::from_micros),
        detail: row.text(8)?,
    })
}

fn state(row: &impl Columns, place: usize) -> Result<RunState, sqlx::Error> {
    let name = row.text(place)?;
    RunState::named(&name).ok_or_else(|| sqlx::Error::Decode(format!("`{name}` is no state of a run").into()))
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
