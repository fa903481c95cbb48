//! Scheduled jobs. A job is a name, a schedule in UTC and a flow verb; it takes no input and running it twice does no harm.
//! Where several processes serve one database, a lease lets one of them do the work that need not be done twice.

use crate::flow::notices::Webhook;
use crate::flow::refresh::{Policy, Refresh, Refreshed};
use crate::flow::{Farthing, now};
use crate::id::{Org, Version};
use crate::provider::{self, Client};
use crate::time::Instant;
use chrono::{DateTime, Utc};
use cron::Schedule;
use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// What the jobs are to do, and when.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rejected_days: u32,
    pub refresh: Refresh,
    pub refresh_schedule: Cron,
    pub webhook: Option<Webhook>,
}

/// Starts every job on its schedule.
pub fn start(farthing: &Arc<Farthing>, plan: Plan) {
    tokio::spawn(forget(farthing.clone(), plan.rejected_days));
    tokio::spawn(look_for_unpriced(farthing.clone()));
    tokio::spawn(copy_to_segments(farthing.clone()));
    if plan.refresh.policy != Policy::Off {
        tokio::spawn(refresh(farthing.clone(), plan.refresh, plan.refresh_schedule));
    }
    if let Some(webhook) = plan.webhook {
        tokio::spawn(tell(farthing.clone(), webhook));
    }
}

/// Days that notices are kept.
const NOTICE_DAYS: i64 = 90;

/// Forgets rejected bodies and notices that are older than they are kept for, once a night.
async fn forget(farthing: Arc<Farthing>, days: u32) {
    let nightly = Cron::parse("10 3 * * *").expect("the schedule is written here");
    run_on(&nightly, "forget what is not kept", || {
        let farthing = farthing.clone();
        async move {
            let days_ago = |days: i64| Instant::from_micros(now().micros() - days * 86_400_000_000);
            let mut rejected = 0;
            for (org, _) in farthing.store.orgs().await.map_err(|e| e.in_full())? {
                let before = days_ago(i64::from(days));
                rejected += farthing.store.forget_rejected_before(org, before).await.map_err(|e| e.in_full())?;
            }
            let notices = farthing.store.forget_notices_before(days_ago(NOTICE_DAYS)).await.map_err(|e| e.in_full())?;
            Ok(format!("{rejected} rejected bodies and {notices} notices forgotten"))
        }
    })
    .await;
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
            Ok::<_, crate::flow::FlowError>(())
        };
        if let Err(error) = looked.await {
            tracing::error!(%error, "could not look for unpriced usage");
        }
    }
}

/// Keeps what reports have to read row by row short.
async fn copy_to_segments(farthing: Arc<Farthing>) {
    loop {
        let copied = async {
            for (org, name) in farthing.store.orgs().await? {
                let copied = farthing.copy_to_segments(org, |_, _| {}).await?;
                if copied.segments > 0 {
                    tracing::info!(org = %name, segments = copied.segments, entries = copied.entries, "copied to segments");
                }
            }
            Ok::<_, crate::flow::FlowError>(())
        };
        if let Err(error) = copied.await {
            tracing::error!(%error, "entries could not be copied to segments; reports read them from the book");
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// Fetches the list on its schedule, for every org.
async fn refresh(farthing: Arc<Farthing>, refresh: Refresh, schedule: Cron) {
    let client = match Client::new(provider::TIMEOUT, provider::FIRST_PAUSE) {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "lists cannot be fetched"),
    };
    run_on(&schedule, REFRESH, || {
        let (farthing, client, refresh) = (farthing.clone(), client.clone(), refresh.clone());
        async move {
            if !leased(&farthing, REFRESH, Duration::from_secs(600)).await {
                return Ok("another process does it".to_owned());
            }
            let done = refresh_orgs(&farthing, &client, &refresh).await;
            // Whoever starts next need not wait until the lease ends by itself.
            leased(&farthing, REFRESH, Duration::ZERO).await;
            done
        }
    })
    .await;
}

const REFRESH: &str = "refresh prices";

/// Every org has its own catalog; one that fails does not keep the others from being refreshed.
async fn refresh_orgs(farthing: &Farthing, client: &Client, refresh: &Refresh) -> Result<String, String> {
    let (mut done, mut failed) = (Vec::new(), false);
    for (org, name) in farthing.store.orgs().await.map_err(|e| e.in_full())? {
        match farthing.refresh(org, client, refresh).await {
            Ok(refreshed) => done.push(format!("{name}: {}", said(&refreshed))),
            Err(e) => {
                failed = true;
                done.push(format!("{name}: {e}"));
            }
        }
    }
    if failed { Err(done.join("; ")) } else { Ok(done.join("; ")) }
}

fn said(refreshed: &Refreshed) -> String {
    match refreshed {
        Refreshed::Off => "off".to_owned(),
        Refreshed::Unchanged => "nothing new".to_owned(),
        Refreshed::Published(published) => {
            let version = published.version.map_or(published.base, |version| version);
            format!("{} changes published as version {version}", published.changes.len())
        }
        Refreshed::ToReview(published) => format!("{} changes wait for review", published.changes.len()),
        Refreshed::Refused(why) => format!("refused: {}", why.lines().next().unwrap_or_default()),
        Refreshed::Failed(why) => format!("failed, the prices in force stay: {why}"),
    }
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
            Ok::<_, crate::flow::FlowError>(())
        };
        if let Err(error) = told.await {
            tracing::error!(%error, "notices could not be told");
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Whether this process holds the lease of a job, now and for a while.
async fn leased(farthing: &Farthing, job: &str, long: Duration) -> bool {
    static HOLDER: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let mut random = [0; 8];
        let _ = getrandom::fill(&mut random);
        format!("{}-{:016x}", std::process::id(), u64::from_be_bytes(random))
    });
    let now = now();
    let until = Instant::from_micros(now.micros() + long.as_micros() as i64);
    match farthing.store.take_lease(job, &HOLDER, now, until).await {
        Ok(is_ours) => is_ours,
        Err(error) => {
            tracing::warn!(job, error = %error.in_full(), "a lease could not be asked for");
            false
        }
    }
}

/// Runs a job at each instant of its schedule, as long as the process lives.
async fn run_on<F>(schedule: &Cron, name: &str, job: impl Fn() -> F)
where
    F: Future<Output = Result<String, String>>,
{
    while let Some(next) = schedule.after(Utc::now()) {
        let pause = (next - Utc::now()).to_std().unwrap_or_default();
        tokio::time::sleep(pause).await;
        match job().await {
            Ok(done) => tracing::info!(job = name, done, "a job ran"),
            Err(error) => tracing::error!(job = name, error, "a job failed; it runs again at its next time"),
        }
    }
}

/// Five fields as everybody writes them: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday). Where
/// both days are restricted, either is enough.
#[derive(Clone, Debug)]
pub struct Cron {
    schedules: Vec<Schedule>,
}

impl Cron {
    pub fn parse(text: &str) -> Result<Cron, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!("`{text}` is not five fields: minute hour day month weekday, such as `17 * * * *`"));
        };
        let weekdays = weekdays(weekday).ok_or_else(|| format!("`{weekday}` is no day of the week; write 0-7, MON-FRI or *"))?;
        let either = match (day, weekdays.as_str()) {
            ("*", _) | (_, "*") => vec![(day, weekdays.as_str())],
            (day, weekdays) => vec![(day, "*"), ("*", weekdays)],
        };
        let schedule = |(day, weekdays): (&str, &str)| Schedule::from_str(&format!("0 {minute} {hour} {day} {month} {weekdays}"));
        let schedules = either.into_iter().map(schedule).collect::<Result<_, _>>();
        let cron = schedules.map(|schedules| Cron { schedules }).map_err(|e| format!("`{text}` is no schedule: {e}"))?;
        match cron.after(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(cron),
            None => Err(format!("`{text}` never comes; there is no such day")),
        }
    }

    /// The first instant of the schedule after this one.
    pub fn after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.schedules.iter().filter_map(|schedule| schedule.after(&instant).next()).min()
    }
}

/// Days of the week as the library numbers them, Sunday first with 1.
fn weekdays(field: &str) -> Option<String> {
    const NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    if field == "*" || field == "?" {
        return Some("*".to_owned());
    }
    let day = |text: &str| match NAMES.iter().position(|name| text.eq_ignore_ascii_case(name)) {
        Some(place) => Some(place),
        None => text.parse().ok().filter(|number| *number <= 7),
    };
    let mut days = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').map_or((part, Some(1)), |(range, step)| (range, step.parse().ok()));
        let (from, until) = match range.split_once('-') {
            _ if range == "*" => (0, 6),
            Some((from, until)) => (day(from)?, day(until)?),
            None => (day(range)?, day(range)?),
        };
        // Friday to Sunday is written 5-7, or FRI-SUN.
        let until = if until < from { until + 7 } else { until };
        days.extend((from..=until).step_by(step.filter(|step| *step > 0)?).map(|day| day % 7 + 1));
    }
    Some(days.iter().map(usize::to_string).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(cron: &str, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::parse(cron).unwrap();
        let mut at: DateTime<Utc> = after.parse().unwrap();
        let next = |_| {
            at = cron.after(at).unwrap();
            at.format("%a %d %H:%M").to_string()
        };
        (0..count).map(next).collect()
    }

    /// 2026-11-21 is a Saturday.
    #[test]
    fn five_fields_mean_what_everybody_means() {
        assert_eq!(times("17 * * * *", "2026-11-21T10:17:00Z", 2), ["Sat 21 11:17", "Sat 21 12:17"]);
        assert_eq!(times("0 3 * * 1", "2026-11-21T00:00:00Z", 2), ["Mon 23 03:00", "Mon 30 03:00"]);
        assert_eq!(times("0 3 * * 0", "2026-11-21T00:00:00Z", 1), times("0 3 * * 7", "2026-11-21T00:00:00Z", 1));
        assert_eq!(times("0 0 * * 5-7", "2026-11-21T00:00:00Z", 3), ["Sun 22 00:00", "Fri 27 00:00", "Sat 28 00:00"]);
        assert_eq!(times("0 0 * * MON-FRI/2", "2026-11-21T00:00:00Z", 3), ["Mon 23 00:00", "Wed 25 00:00", "Fri 27 00:00"]);
        // The first of the month or a Monday: either is enough.
        assert_eq!(times("0 0 1 * 1", "2026-11-24T00:00:00Z", 3), ["Mon 30 00:00", "Tue 01 00:00", "Mon 07 00:00"]);
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for wrong in ["", "* * * *", "0 0 * * * *", "61 * * * *", "0 0 * * 8", "0 0 * * nosuchday", "0 0 * * 1/0", "0 0 30 2 *"] {
            assert!(Cron::parse(wrong).is_err(), "{wrong}");
        }
    }
}
