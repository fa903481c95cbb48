//! What happens by itself: a name, a schedule and a flow verb; it takes no input and doing it twice does no harm. Where
//! several processes serve one database, a lease lets one of them do the work that need not be done twice. What is delivered
//! is done exactly once: its runs are written down one by one (`flow/runs.rs`), and this only looks whether one is due.

use crate::flow::deliver::Job;
use crate::flow::notices::Webhook;
use crate::flow::reconcile::scheduled;
use crate::flow::refresh::{Policy, Refresh, Refreshed};
use crate::flow::retention::Kept;
use crate::flow::runs::{FORGET, RECONCILE, REFRESH, Recurring, Whose};
use crate::flow::segments::Work;
use crate::flow::{Farthing, FlowError, now};
use crate::id::{Org, Version};
use crate::provider::openrouter::{Keys, Openrouter, Patience};
use crate::provider::{self, Client};
use crate::schedule::{Schedule, ScheduledTime};
use crate::store::StoreError;
use crate::time::Instant;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// What the jobs are to do, and when.
#[derive(Clone, Debug)]
pub struct Plan {
    pub kept: Kept,
    /// Months for which PostgreSQL has partitions before they begin; none are made where it is 0.
    pub months_ahead: u32,
    pub refresh: Refresh,
    pub refresh_schedule: Schedule,
    pub reconcile: Reconcile,
    pub webhook: Option<Webhook>,
    /// Days for which missed runs are made up for.
    pub catch_up_days: u32,
}

/// Whose book is compared with OpenRouter's, and how. Without a management key nothing is.
#[derive(Clone, Debug)]
pub struct Reconcile {
    pub org: String,
    pub url: String,
    pub schedule: Schedule,
    pub policy: scheduled::Policy,
}

/// Starts every job on its schedule; answers those that recur, and all that are at work until they are shut down.
pub fn start(farthing: &Arc<Farthing>, plan: Plan, jobs: &[Job]) -> (Vec<Recurring>, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let nightly = Schedule::in_utc("10 3 * * *").expect("the schedule is written here");
    let mut recurring = vec![Recurring { name: FORGET, schedule: nightly.clone(), whose: Whose::Server }];
    tasks.spawn(forget(farthing.clone(), plan.kept, nightly));
    if plan.months_ahead > 0 {
        tasks.spawn(make_months(farthing.clone(), plan.months_ahead));
    }
    tasks.spawn(look_for_unpriced(farthing.clone()));
    tasks.spawn(copy_to_segments(farthing.clone()));
    tasks.spawn(put_together(farthing.clone()));
    if plan.refresh.policy != Policy::Off {
        recurring.push(Recurring { name: REFRESH, schedule: plan.refresh_schedule.clone(), whose: Whose::EachOrg });
        tasks.spawn(refresh(farthing.clone(), plan.refresh, plan.refresh_schedule));
    }
    match Keys::gather(|name| std::env::var(name).ok()) {
        Ok(keys) if keys.management.is_some() => {
            let Reconcile { schedule, org, .. } = &plan.reconcile;
            recurring.push(Recurring { name: RECONCILE, schedule: schedule.clone(), whose: Whose::Org(org.clone()) });
            tasks.spawn(reconcile(farthing.clone(), plan.reconcile, keys));
        }
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "the book is not compared with OpenRouter's"),
    }
    if !jobs.is_empty() {
        tasks.spawn(deliver(farthing.clone(), jobs.into(), plan.catch_up_days));
    }
    if let Some(webhook) = plan.webhook {
        tasks.spawn(tell(farthing.clone(), webhook));
    }
    (recurring, tasks)
}

/// Runs of other processes that broke off, and attempts whose pause is over, are looked for this often.
const LOOK: Duration = Duration::from_secs(10);

/// Makes the partitions of the months to come, at the start and once a day. Nothing needs them, so that a role without the right
/// to make them is no failure: what no month takes lies with the rest.
async fn make_months(farthing: Arc<Farthing>, ahead: u32) {
    loop {
        match farthing.store.make_months(now().month(), ahead).await {
            Ok(0) => {}
            Ok(made) => tracing::info!(made, "partitions of the months to come were made"),
            Err(error) => {
                let error = error.in_full();
                tracing::warn!(
                    error,
                    "partitions could not be made; `farthing partitions` makes them as the owner of the tables"
                );
            }
        }
        tokio::time::sleep(Duration::from_secs(86_400)).await;
    }
}

/// Forgets what is older than it is kept for, once a night.
async fn forget(farthing: Arc<Farthing>, kept: Kept, nightly: Schedule) {
    run_on(&nightly, FORGET, |time| {
        let farthing = farthing.clone();
        async move { forget_at(&farthing, kept, &time).await }
    })
    .await;
}

/// Forgets for every org, and what is of no org with the first one, so that it too is done by one process and its failure
/// noted. One that fails does not keep the others from it.
pub async fn forget_at(farthing: &Farthing, kept: Kept, time: &ScheduledTime) -> Result<String, String> {
    let (mut done, mut failed) = (Vec::new(), false);
    for (place, (org, name)) in farthing.store.orgs().await.map_err(|e| e.in_full())?.into_iter().enumerate() {
        let work = async {
            let shared = if place == 0 { forget_shared(farthing, kept).await } else { Ok(()) };
            let of_org = farthing.forget_of(org, kept, now()).await.map_err(|e| e.to_string());
            match (of_org, shared) {
                (Ok(forgotten), Ok(())) => Ok(forgotten.to_string()),
                (Ok(_), Err(why)) | (Err(why), Ok(())) => Err(why),
                (Err(why), Err(other)) => Err(format!("{why}; {other}")),
            }
        };
        let ended = farthing.noted(org, FORGET, time, Duration::from_secs(600), work).await;
        failed |= ended.is_err();
        done.push(format!("{name}: {}", ended.unwrap_or_else(|why| why)));
    }
    if failed { Err(done.join("; ")) } else { Ok(done.join("; ")) }
}

/// How much that was is in the log alone: it is of all orgs, and none reads of another's.
async fn forget_shared(farthing: &Farthing, kept: Kept) -> Result<(), String> {
    let forgotten = farthing.forget_shared(kept, now()).await.map_err(|e| format!("what is of no org: {e}"))?;
    tracing::info!(%forgotten, "what is of no org was looked through");
    Ok(())
}

/// Tries held events again under a version they were not tried under, should whoever published it not have come to the end;
/// and writes a notice where usage waits for a price that nobody knows of.
async fn look_for_unpriced(farthing: Arc<Farthing>) {
    let mut tried: HashMap<Org, Version> = HashMap::new();
    loop {
        tokio::time::sleep(Duration::from_secs(30)).await;
        let looked = async {
            for (org, _) in farthing.store.orgs().await? {
                let version = farthing.store.head(org).await?.version;
                if tried.get(&org) != Some(&version) {
                    farthing.retry_held(org, None).await?;
                    tried.insert(org, version);
                }
                // A lease is a write, so it is asked for only where there is something to do.
                let is_news = farthing.unpriced_news(org, now()).await?.is_some();
                if is_news && leased(&farthing, "tell of unpriced usage", Duration::from_secs(10)).await {
                    farthing.notice_unpriced(org, now()).await?;
                }
            }
            Ok::<_, FlowError>(())
        };
        if let Err(error) = looked.await {
            tracing::error!(%error, "could not look for unpriced usage");
        }
    }
}

/// Segments are looked at this often, though nobody says that there is something to do.
const LOOK_AT_SEGMENTS: Duration = Duration::from_secs(5);

/// What keeps a segment from being written is not gone in seconds.
const AFTER_A_FAILURE: Duration = Duration::from_secs(300);

/// Keeps what reports have to read row by row short: looks now and then, and at once where much was booked since.
async fn copy_to_segments(farthing: Arc<Farthing>) {
    loop {
        match copy_all(&farthing, Work::Tail).await {
            // What was told while it worked, it may have copied already.
            true => drop(tokio::time::timeout(LOOK_AT_SEGMENTS, farthing.copying_is_due()).await),
            false => tokio::time::sleep(AFTER_A_FAILURE).await,
        }
    }
}

/// Puts small segments together, which takes longer than what is new may wait.
async fn put_together(farthing: Arc<Farthing>) {
    loop {
        let pause = if copy_all(&farthing, Work::Together).await { LOOK_AT_SEGMENTS } else { AFTER_A_FAILURE };
        tokio::time::sleep(pause).await;
    }
}

/// Every org has its own segments; one that cannot be copied does not keep the others from it.
async fn copy_all(farthing: &Farthing, work: Work) -> bool {
    let orgs = match farthing.store.orgs().await {
        Ok(orgs) => orgs,
        Err(error) => {
            tracing::error!(error = %error.in_full(), "entries could not be copied to segments");
            return false;
        }
    };
    let mut all = true;
    for (org, name) in orgs {
        match farthing.copy(org, work, |_, _| {}).await {
            Ok(copied) if copied.segments > 0 => {
                tracing::info!(org = %name, segments = copied.segments, entries = copied.entries, "copied to segments");
            }
            Ok(_) => {}
            Err(error) => {
                all = false;
                tracing::error!(org = %name, %error, "entries could not be copied to segments; reports read them from the book");
            }
        }
    }
    all
}

/// Fetches the list on its schedule, for every org.
async fn refresh(farthing: Arc<Farthing>, refresh: Refresh, schedule: Schedule) {
    let client = match Client::new(provider::TIMEOUT, provider::FIRST_PAUSE) {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "lists cannot be fetched"),
    };
    run_on(&schedule, REFRESH, |time| {
        let (farthing, client, refresh) = (farthing.clone(), client.clone(), refresh.clone());
        async move { alone(&farthing, REFRESH, refresh_orgs(&farthing, &client, &refresh, &time)).await }
    })
    .await;
}

/// Compares the book with OpenRouter's: once at the start, for what was missed while nothing ran, and then on its schedule.
async fn reconcile(farthing: Arc<Farthing>, plan: Reconcile, keys: Keys) {
    let books = match Openrouter::new(&plan.url, keys, Patience::default()) {
        Ok(books) => Arc::new(books),
        Err(error) => return tracing::error!(%error, "the book is not compared with OpenRouter's"),
    };
    let work = |time: ScheduledTime| {
        let (farthing, plan, books) = (farthing.clone(), plan.clone(), books.clone());
        async move {
            let compared = async {
                let org = farthing.store.org(&plan.org).await.map_err(|e| e.in_full())?;
                let days = async {
                    let done = farthing.reconcile_days(org, &books, &plan.policy).await;
                    done.map(|lines| lines.join("; ")).map_err(|e| e.to_string())
                };
                farthing.noted(org, RECONCILE, &time, TAKEN_OVER_AFTER, days).await
            };
            alone(&farthing, RECONCILE, compared).await
        }
    };
    let started = now();
    // To the microsecond: who is stopped and started again at once has a run of its own.
    let local = started.to_utc().format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
    match work(ScheduledTime { at: started, local }).await {
        Ok(done) => tracing::info!(done, "the book was compared with OpenRouter's"),
        Err(error) => tracing::error!(error, "the book could not be compared with OpenRouter's"),
    }
    run_on(&plan.schedule, RECONCILE, work).await;
}

/// Every org has its own catalog; one that fails does not keep the others from being refreshed.
async fn refresh_orgs(farthing: &Farthing, client: &Client, refresh: &Refresh, time: &ScheduledTime) -> Result<String, String> {
    let (mut done, mut failed) = (Vec::new(), false);
    for (org, name) in farthing.store.orgs().await.map_err(|e| e.in_full())? {
        let work = async { said(&farthing.refresh(org, client, refresh).await.map_err(|e| e.to_string())?) };
        match farthing.noted(org, REFRESH, time, TAKEN_OVER_AFTER, work).await {
            Ok(said) => done.push(format!("{name}: {said}")),
            Err(why) => {
                failed = true;
                done.push(format!("{name}: {why}"));
            }
        }
    }
    if failed { Err(done.join("; ")) } else { Ok(done.join("; ")) }
}

/// What a refresh came to in words, or why it brought no prices.
fn said(refreshed: &Refreshed) -> Result<String, String> {
    match refreshed {
        Refreshed::Off => Ok("off".to_owned()),
        Refreshed::Unchanged => Ok("nothing new".to_owned()),
        Refreshed::Published(published) => {
            let version = published.version.map_or(published.base, |version| version);
            Ok(format!("{} changes published as version {version}", published.changes.len()))
        }
        Refreshed::ToReview(published) => Ok(format!("{} changes wait for review", published.changes.len())),
        Refreshed::Refused(why) => Err(format!("refused: {}", why.lines().next().unwrap_or_default())),
        Refreshed::Failed(why) => Err(format!("failed, the prices in force stay: {why}")),
    }
}

/// Makes what is written by itself, for every org, at each time of its schedule.
async fn deliver(farthing: Arc<Farthing>, jobs: Arc<[Job]>, catch_up_days: u32) {
    let next = |job: &Job| job.delivery.schedule.after(now()).next();
    for (job, time) in jobs.iter().filter_map(|job| Some((job, next(job)?))) {
        tracing::info!(job = job.name, schedule = %job.delivery.schedule, next = %time.at, "a report is written by itself");
    }
    loop {
        // As a task of its own: one that panics is tried again like one whose process died.
        match tokio::spawn(work(farthing.clone(), jobs.clone(), catch_up_days)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "could not look for what is due"),
            Err(ended) => tracing::error!(error = %ended, "a job ended in a panic"),
        }
        let first = jobs.iter().filter_map(next).map(|time| time_until(time.at)).min();
        tokio::time::sleep(first.unwrap_or(LOOK).min(LOOK)).await;
    }
}

async fn work(farthing: Arc<Farthing>, jobs: Arc<[Job]>, catch_up_days: u32) -> Result<(), FlowError> {
    for (org, name) in farthing.store.orgs().await? {
        for job in &*jobs {
            farthing.plan(org, job, catch_up_days, now()).await?;
        }
        farthing.run_due(org, &name, &jobs, now()).await?;
    }
    Ok(())
}

/// Posts what is due to the webhook.
async fn tell(farthing: Arc<Farthing>, webhook: Webhook) {
    let http = reqwest::Client::new();
    loop {
        let told = async {
            if !farthing.store.notices_due(now(), 1).await?.is_empty()
                && leased(&farthing, "tell notices", Duration::from_secs(15)).await
            {
                farthing.tell(&http, &webhook).await?;
            }
            Ok::<_, FlowError>(())
        };
        if let Err(error) = told.await {
            tracing::error!(%error, "notices could not be told");
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// How often it is asked whether another process works before the work is given up: a database that is restarted is there by then.
const LOOKS_IN_VAIN: u32 = 40;

/// How long a process that died keeps others from its work.
const TAKEN_OVER_AFTER: Duration = Duration::from_secs(10);

/// Does a long work unless another process does. One that dies over it is taken over; one that comes to its end did it. A
/// database that cannot say at first whether another does it is no other process: the work is then not done, and this says so.
pub async fn alone(farthing: &Farthing, job: &str, work: impl Future<Output = Result<String, String>>) -> Result<String, String> {
    let look = TAKEN_OVER_AFTER / 4;
    let unknown = |error: StoreError| format!("whether another process does it is not known: {}", error.in_full());
    let mut is_ours = take_lease(farthing, job, TAKEN_OVER_AFTER).await.map_err(unknown)?;
    if !is_ours {
        tracing::info!(job, "another process does it");
    }
    let mut in_vain = 0;
    while !is_ours {
        tokio::time::sleep(look).await;
        // A database that is away for a while may be what the other one ends over.
        let looked = async {
            let has_ended = farthing.store.has_ended(job).await?;
            Ok::<_, StoreError>((has_ended, !has_ended && take_lease(farthing, job, TAKEN_OVER_AFTER).await?))
        };
        match looked.await {
            Ok((true, _)) => return Ok("another process did it".to_owned()),
            Ok((_, taken)) => (is_ours, in_vain) = (taken, 0),
            Err(error) if in_vain >= LOOKS_IN_VAIN => return Err(unknown(error)),
            Err(error) => {
                in_vain += 1;
                tracing::warn!(job, "{}; it is asked for again", unknown(error));
            }
        }
    }
    let renewed = async {
        loop {
            tokio::time::sleep(look).await;
            leased(farthing, job, TAKEN_OVER_AFTER).await;
        }
    };
    let done = tokio::select! {
        done = work => done,
        () = renewed => unreachable!("it is renewed for as long as the work takes"),
    };
    if let Err(error) = farthing.store.end_lease(job, &HOLDER).await {
        tracing::warn!(job, error = %error.in_full(), "a lease could not be given back; it ends by itself");
    }
    done
}

/// What this process is called where only one may work.
static HOLDER: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    let mut random = [0; 8];
    let _ = getrandom::fill(&mut random);
    format!("{}-{:016x}", std::process::id(), u64::from_be_bytes(random))
});

/// Whether this process holds the lease of a job, now and for a while.
pub async fn leased(farthing: &Farthing, job: &str, long: Duration) -> bool {
    match take_lease(farthing, job, long).await {
        Ok(is_ours) => is_ours,
        Err(error) => {
            tracing::warn!(job, error = %error.in_full(), "a lease could not be asked for");
            false
        }
    }
}

async fn take_lease(farthing: &Farthing, job: &str, long: Duration) -> Result<bool, StoreError> {
    let now = now();
    let until = Instant::from_micros(now.micros() + long.as_micros() as i64);
    farthing.store.take_lease(job, &HOLDER, now, until).await
}

fn time_until(at: Instant) -> Duration {
    Duration::from_micros(at.micros().saturating_sub(now().micros()).max(0) as u64)
}

/// Runs a job at each instant of its schedule, as long as the process lives.
async fn run_on<F>(schedule: &Schedule, name: &str, job: impl Fn(ScheduledTime) -> F)
where
    F: Future<Output = Result<String, String>>,
{
    let mut last = now();
    while let Some(next) = schedule.after(last.max(now())).next() {
        last = next.at;
        tokio::time::sleep(time_until(next.at)).await;
        match job(next).await {
            Ok(done) => tracing::info!(job = name, done, "a job ran"),
            Err(error) => tracing::error!(job = name, error, "a job failed; it runs again at its next time"),
        }
    }
}
