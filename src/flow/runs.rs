//! Running jobs: what has come due is written down as runs, once, whoever looks; each run is claimed by one process, made,
//! and done for ever. One that fails is tried again with longer pauses, so many times, and is then given up and told to a
//! person. One whose process died is taken over when its lease ends. What was missed while nothing ran is made up for: the
//! runs are counted on from where the plan ended, not from now.

use crate::flow::deliver::{Job, Order};
use crate::flow::notices::Kind;
use crate::flow::retention::days_before;
use crate::flow::{Farthing, FlowError, now};
use crate::id::Org;
use crate::schedule::{Schedule, ScheduledTime};
use crate::store::{Claim, JobRun, RunState, StoreError};
use crate::time::Instant;
use chrono::NaiveDateTime;
use serde_json::json;
use std::time::Duration;

/// A process that makes a run says so this often at least; one that does not is taken for dead.
pub const LEASE: Duration = Duration::from_secs(120);
/// So many attempts, the pauses between them doubling from the first to the longest: about six hours.
pub const ATTEMPTS: i64 = 12;
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// What the service does again and again. It makes up for nothing and is not tried again before its next time, so of its
/// runs only the last one counts; a few are kept to look at.
#[derive(Clone, Debug)]
pub struct Recurring {
    pub name: &'static str,
    pub schedule: Schedule,
    pub whose: Whose,
}

/// Whose a recurring job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Each org's, for itself.
    EachOrg,
    /// The org's that is called so.
    Org(String),
    /// The server's.
    Server,
}

/// The names of all of them; no report can be called so.
pub const REFRESH: &str = "refresh prices";
pub const RECONCILE: &str = "reconcile with openrouter";
pub const FORGET: &str = "forget what is not kept";
pub const RECURRING: [&str; 3] = [REFRESH, RECONCILE, FORGET];

/// Runs of each that are kept.
const KEPT: i64 = 50;

impl Farthing {
    /// Does what recurs for an org, and notes when and what came of it. What another process has done for the same time is not
    /// done again. Should the note fail, the work is done all the same.
    pub async fn noted(
        &self,
        org: Org,
        job: &str,
        time: &ScheduledTime,
        lease: Duration,
        work: impl Future<Output = Result<String, String>>,
    ) -> Result<String, String> {
        let claim = match self.begin_noted(org, job, time, lease).await {
            Ok(Some(claim)) => Some(claim),
            Ok(None) => return Ok("another process did it".to_owned()),
            Err(error) => {
                tracing::warn!(job, error = %error.in_full(), "a run could not be noted");
                None
            }
        };
        let ended = work.await;
        if let Some(claim) = claim {
            let (state, said) = match &ended {
                Ok(said) => (RunState::Done, said),
                Err(why) => (RunState::Failed, why),
            };
            let noted = async {
                self.store.end_run(org, &claim, state, said, now(), None).await?;
                self.store.forget_runs_but(org, job, KEPT).await
            };
            if let Err(error) = noted.await {
                tracing::warn!(job, error = %error.in_full(), "a run could not be noted");
            }
        }
        ended
    }

    async fn begin_noted(&self, org: Org, job: &str, time: &ScheduledTime, lease: Duration) -> Result<Option<Claim>, StoreError> {
        self.store.end_broken_runs(org, job, now()).await?;
        self.store.write_runs(org, job, std::slice::from_ref(time)).await?;
        self.store.claim_run(org, job, time, true, now(), later(now(), lease)).await
    }

    /// Writes down what has come due of a job since it was looked at last, by some days at most. A schedule that is seen for
    /// the first time begins now: what it would have meant before is nobody's wish.
    pub async fn plan(&self, org: Org, job: &Job, catch_up_days: u32, now: Instant) -> Result<u64, FlowError> {
        let schedule = job.delivery.schedule.to_string();
        let Some(planned) = self.store.planned_until(org, &job.name, &schedule).await? else {
            self.store.note_planned(org, &job.name, &schedule, now).await?;
            return Ok(0);
        };
        let earliest = days_before(now, catch_up_days);
        if let Some(missed) = job.delivery.schedule.between(planned, earliest).next() {
            tracing::warn!(job = job.name, org = org.0, from = missed.local, until = %earliest, "runs were missed too long ago");
            self.store.note_planned(org, &job.name, &schedule, earliest).await?;
        }
        let times: Vec<ScheduledTime> = job.delivery.schedule.between(planned.max(earliest), now).collect();
        let Some(last) = times.last() else { return Ok(0) };
        let written = self.store.write_runs(org, &job.name, &times).await?;
        self.store.note_planned(org, &job.name, &schedule, last.at).await?;
        Ok(written)
    }

    /// Makes every run that may be tried now and that nobody else has, the earliest first; answers what became of each.
    pub async fn run_due(&self, org: Org, whose: &str, jobs: &[Job], now: Instant) -> Result<Vec<(Claim, RunState)>, FlowError> {
        let started = std::time::Instant::now();
        let mut ended = Vec::new();
        for run in self.store.runs_due(org, now).await? {
            // A job that was taken away is not this process's to run; another may still know it.
            let Some(job) = jobs.iter().find(|job| job.name == run.job) else { continue };
            let now = later(now, started.elapsed());
            if let Some(claim) = self.store.claim_run(org, &job.name, &run.time, false, now, later(now, LEASE)).await?
                && let Some(state) = self.run_claimed(&Order { org, whose, job, claim: &claim }, now).await?
            {
                ended.push((claim, state));
            }
        }
        Ok(ended)
    }

    /// Makes a run because a person says so: the last one that has come due, or the one of a time. Answers the run as it is
    /// then, and whether it was made by this.
    pub async fn run_by_hand(
        &self,
        org: Org,
        whose: &str,
        job: &Job,
        scheduled: Option<&str>,
        now: Instant,
    ) -> Result<(JobRun, bool), FlowError> {
        let time = match scheduled {
            None => last_before(job, now),
            Some(text) => time_of(job, text).filter(|time| time.at <= now),
        };
        let time = time.ok_or_else(|| {
            let which = scheduled.map_or_else(String::new, |text| format!(" that is `{text}` and"));
            let schedule = &job.delivery.schedule;
            FlowError::NotThere(format!("{} ({schedule}) has no time{which} has come", job.name))
        })?;
        self.store.write_runs(org, &job.name, std::slice::from_ref(&time)).await?;
        let claim = self.store.claim_run(org, &job.name, &time, true, now, later(now, LEASE)).await?;
        if let Some(claim) = &claim {
            self.run_claimed(&Order { org, whose, job, claim }, now).await?;
        }
        let run = self.store.job_run(org, &job.name, &time.local).await?;
        let gone = || FlowError::NotThere(format!("the run {} of {} was forgotten meanwhile", time.local, job.name));
        Ok((run.ok_or_else(gone)?, claim.is_some()))
    }

    /// Makes a run that is ours and says how it ended; nothing if it turned out to be somebody else's by then.
    async fn run_claimed(&self, order: &Order<'_>, now: Instant) -> Result<Option<RunState>, FlowError> {
        let started = std::time::Instant::now();
        let Some(made) = self.make(order, now).await? else { return Ok(None) };
        let ended = later(now, started.elapsed());
        let Order { whose, claim, .. } = order;
        let (job, scheduled, attempt) = (&order.job.name, &claim.time.local, claim.attempt);
        let (state, said, next) = match made {
            Ok(said) => (RunState::Done, said, None),
            Err(why) if attempt >= ATTEMPTS => (RunState::GivenUp, why, None),
            Err(why) => (RunState::Failed, why, Some(later(ended, pause_after(attempt)))),
        };
        if state == RunState::GivenUp && self.store.is_claimed(order.org, claim).await? {
            // Before it is written down: told twice is better than never.
            let facts = json!({"job": job, "scheduled": scheduled, "attempts": attempt, "error": said});
            self.notice(order.org, Kind::JobFailed, &facts).await?;
        }
        let was_ours = self.store.end_run(order.org, claim, state, &said, ended, next).await?;
        match state {
            _ if !was_ours => tracing::warn!(job, org = whose, scheduled, attempt, said, "another process took a run over"),
            RunState::Done => tracing::info!(job, org = whose, scheduled, said, "a job ran"),
            _ => tracing::error!(job, org = whose, scheduled, attempt, error = said, "a job failed"),
        }
        Ok(was_ours.then_some(state))
    }

    /// Delivers, and says meanwhile that it is being worked on. Nothing if somebody else took it over: then it is theirs.
    async fn make(&self, order: &Order<'_>, now: Instant) -> Result<Option<Result<String, String>>, FlowError> {
        let claim = order.claim;
        if claim.attempt > ATTEMPTS && !claim.by_hand {
            // Whatever ends the process each time could not even be written down as a failure.
            return Ok(Some(Err(format!("attempt {} broke off with its process", claim.attempt - 1))));
        }
        let started = std::time::Instant::now();
        let made = self.deliver(order);
        tokio::pin!(made);
        loop {
            if let Ok(made) = tokio::time::timeout(LEASE / 4, &mut made).await {
                return Ok(Some(made));
            }
            if !self.store.renew_claim(order.org, claim, later(now, started.elapsed() + LEASE)).await? {
                return Ok(None);
            }
        }
    }
}

pub fn pause_after(attempt: i64) -> Duration {
    LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.saturating_pow(attempt.clamp(1, 16) as u32 - 1))
}

fn later(at: Instant, by: Duration) -> Instant {
    Instant::from_micros(at.micros() + by.as_micros() as i64)
}

/// The last time of a schedule that has come.
fn last_before(job: &Job, now: Instant) -> Option<ScheduledTime> {
    // Far enough for the 29th of February, but not at once: a schedule of minutes has millions of times in those years.
    [1, 10, 100, 1_000, 4_000].into_iter().find_map(|days: i64| {
        let from = Instant::from_micros(now.micros() - days * 86_400_000_000);
        job.delivery.schedule.between(from, now).last()
    })
}

/// The time of a schedule by what the clock was to show.
fn time_of(job: &Job, text: &str) -> Option<ScheduledTime> {
    let shown = NaiveDateTime::parse_from_str(text.trim_end_matches("-again"), "%Y-%m-%dT%H:%M").ok()?;
    let near = Instant::from_micros(shown.and_utc().timestamp_micros() - 2 * 86_400_000_000);
    let until = Instant::from_micros(near.micros() + 4 * 86_400_000_000);
    job.delivery.schedule.between(near, until).find(|time| time.local == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_all_attempts_take_six_hours() {
        assert_eq!(pause_after(1), Duration::from_secs(60));
        assert_eq!(pause_after(3), Duration::from_secs(240));
        assert_eq!(pause_after(40), LONGEST_PAUSE);
        let all: Duration = (1..ATTEMPTS).map(pause_after).sum();
        assert_eq!(all.as_secs() / 3_600, 6);
    }
}
