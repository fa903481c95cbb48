//! Scheduled jobs. A job is a name, a schedule in UTC and a flow verb; it takes no input and running it twice does no harm.

use crate::flow::{Farthing, now};
use crate::time::Instant;
use chrono::Utc;
use cron::Schedule;
use std::str::FromStr;
use std::sync::Arc;

/// Starts every job on its schedule.
pub fn start(farthing: &Arc<Farthing>, rejected_days: u32) {
    tokio::spawn(forget_rejected(farthing.clone(), rejected_days));
}

/// Forgets rejected bodies that are older than they are kept for, once a night.
async fn forget_rejected(farthing: Arc<Farthing>, days: u32) {
    run_on("0 10 3 * * *", "forget rejected bodies", || {
        let farthing = farthing.clone();
        async move {
            let before = Instant::from_micros(now().micros() - i64::from(days) * 86_400_000_000);
            let mut forgotten = 0;
            for (org, _) in farthing.store.orgs().await.map_err(|e| e.in_full())? {
                forgotten += farthing.store.forget_rejected_before(org, before).await.map_err(|e| e.in_full())?;
            }
            Ok(format!("{forgotten} forgotten"))
        }
    })
    .await;
}

/// Runs a job at each instant of its schedule, as long as the process lives.
async fn run_on<F>(schedule: &str, name: &str, job: impl Fn() -> F)
where
    F: Future<Output = Result<String, String>>,
{
    let schedule = Schedule::from_str(schedule).expect("the schedules are written in this file");
    while let Some(next) = schedule.upcoming(Utc).next() {
        let pause = (next - Utc::now()).to_std().unwrap_or_default();
        tokio::time::sleep(pause).await;
        match job().await {
            Ok(done) => tracing::info!(job = name, done, "a job ran"),
            Err(error) => tracing::error!(job = name, error, "a job failed; it runs again at its next time"),
        }
    }
}
