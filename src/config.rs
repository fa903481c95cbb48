//! Settings: where and how fast, never who or how much (that is published with the catalog). A flag beats an environment
//! variable beats the configuration file beats the default; a name the file has and nobody knows is a mistake.

use crate::flow::import::Source;
use crate::flow::notices::Webhook;
use crate::flow::publish::CatalogFiles;
use crate::flow::reconcile::fetch::Fetching;
use crate::flow::reconcile::figures::Alerts;
use crate::flow::reconcile::scheduled::{self, TrueUps};
use crate::flow::refresh::{Policy, Refresh};
use crate::flow::retention::Kept;
use crate::flow::segments::SegmentPlan;
use crate::http::Limits;
use crate::jobs::{Plan, Reconcile};
use crate::provider::openrouter;
use crate::reconcile::Asked;
use crate::schedule::Schedule;
use crate::signature::Signer;
use crate::store::{RUN_KEYS, StoreOptions};
use clap::Args;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Flags that every command takes.
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// The database: sqlite://farthing.db or postgres://user@host/database [default: sqlite://farthing.db]
    #[arg(long, global = true, env = "FARTHING_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    /// Settings in a file
    #[arg(long, global = true, env = "FARTHING_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Catalog files to publish at the first start, instead of those that come with the program
    #[arg(long, global = true, env = "FARTHING_CATALOGS", value_name = "DIR")]
    catalogs: Option<PathBuf>,
    /// A directory of your own report definitions, beside those that come with the program
    #[arg(long, global = true, env = "FARTHING_REPORTS", value_name = "DIR")]
    reports: Option<PathBuf>,
    /// Where the book's copies in columns lie, which reports are read from, or off [default: beside an SQLite database; off for
    /// PostgreSQL]
    #[arg(long, global = true, env = "FARTHING_SEGMENTS", value_name = "DIR")]
    segments: Option<PathBuf>,
    /// Entries that wait outside of any segment before they are copied; for tests, which have fewer of them
    #[arg(long, global = true, hide = true, value_name = "N")]
    segments_tail: Option<i64>,
    /// A file with the key that closings and the manifests of exports are signed with (or the key itself in
    /// FARTHING_SIGNING_KEY); `farthing signing-key FILE` makes one
    #[arg(long, global = true, env = "FARTHING_SIGNING_KEY_FILE", value_name = "FILE")]
    signing_key_file: Option<PathBuf>,
    /// The org whose book it is [default: main]
    #[arg(long, global = true, env = "FARTHING_ORG", value_name = "NAME")]
    org: Option<String>,
    /// What is logged: error, warn, info, debug, or by module [default: info]
    #[arg(long, global = true, env = "FARTHING_LOG", value_name = "LEVEL")]
    log: Option<String>,
    /// How it is logged: text or json [default: text]
    #[arg(long, global = true, env = "FARTHING_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<String>,
    /// Connections to the database for reading [default: 8 of a service, 4 of any other command]
    #[arg(long, global = true, env = "FARTHING_CONNECTIONS", value_name = "N")]
    connections: Option<u32>,
    /// Accept a PostgreSQL that loses what it acknowledged when its machine stops
    #[arg(long, global = true, env = "FARTHING_ALLOW_FSYNC_OFF")]
    allow_fsync_off: bool,
}

/// Flags of the service.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeFlags {
    /// Where to listen; port 0 picks one [default: 127.0.0.1:8787]
    #[arg(long, env = "FARTHING_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Largest body of a request, compressed or not [default: 32]
    #[arg(long, env = "FARTHING_MAX_BODY_MB", value_name = "MB")]
    max_body_mb: Option<usize>,
    /// Bodies that may be in memory at once [default: 48]
    #[arg(long, env = "FARTHING_QUEUE_MB", value_name = "MB")]
    queue_mb: Option<usize>,
    /// Seconds a body may take to arrive [default: 60]
    #[arg(long, env = "FARTHING_BODY_TIMEOUT_S", value_name = "S")]
    body_timeout_s: Option<u64>,
    /// Exports that are written over HTTP at once; the next one is told to come again [default: 4]
    #[arg(long, env = "FARTHING_MAX_EXPORTS", value_name = "N")]
    max_exports: Option<usize>,
    /// Days that rejected bodies are kept [default: 30]
    #[arg(long, env = "FARTHING_REJECTED_DAYS", value_name = "DAYS")]
    rejected_days: Option<u32>,
    /// Days that bodies of fetched price lists are kept after the last look that saw them [default: 400]
    #[arg(long, env = "FARTHING_FETCHED_DAYS", value_name = "DAYS")]
    fetched_days: Option<u32>,
    /// Months to come for which PostgreSQL gets partitions; 0 makes none, and everything lies together [default: 3]
    #[arg(long, env = "FARTHING_MONTHS_AHEAD", value_name = "MONTHS")]
    months_ahead: Option<u32>,
    /// Days for which scheduled reports are made up for that were missed while nothing ran [default: 35]
    #[arg(long, env = "FARTHING_CATCH_UP_DAYS", value_name = "DAYS")]
    catch_up_days: Option<u32>,
    /// What happens with new prices of OpenRouter's list: auto (published when the checks have nothing against them),
    /// review (a person publishes them) or off [default: off]
    #[arg(long, env = "FARTHING_REFRESH", value_name = "POLICY")]
    refresh: Option<String>,
    /// When the list is fetched, as minute hour day month weekday in UTC [default: 17 * * * *]
    #[arg(long, env = "FARTHING_REFRESH_SCHEDULE", value_name = "CRON")]
    refresh_schedule: Option<String>,
    /// Where the list is fetched from [default: where OpenRouter publishes it]
    #[arg(long, env = "FARTHING_REFRESH_URL", hide_env_values = true, value_name = "URL")]
    refresh_url: Option<String>,
    /// When days of OpenRouter's own books are fetched and compared, in UTC; needs OPENROUTER_MANAGEMENT_KEY, or
    /// OPENROUTER_MANAGEMENT_KEY_FILE [default: 30 2 * * *]
    #[arg(long, env = "FARTHING_RECONCILE_SCHEDULE", value_name = "CRON")]
    reconcile_schedule: Option<String>,
    /// A variance up to this amount is nothing to act upon [default: 0]
    #[arg(long, env = "FARTHING_RECONCILE_TOLERANCE", value_name = "AMOUNT")]
    reconcile_tolerance: Option<String>,
    /// How many generations that are missing here are fetched and posted a run: never, always (up to 1000), or at most so many;
    /// needs OPENROUTER_API_KEY too [default: never]
    #[arg(long, env = "FARTHING_FETCH_MISSING", value_name = "POLICY")]
    fetch_missing: Option<String>,
    /// Which true-ups are posted without asking: never, always, or those up to an amount [default: never]
    #[arg(long, env = "FARTHING_TRUE_UPS", value_name = "POLICY")]
    true_ups: Option<String>,
    /// Look at OpenRouter's balance in every run too, and tell of what it differs by from the book where that is more than this
    /// amount [default: do not look]
    #[arg(long, env = "FARTHING_BALANCE_TOLERANCE", value_name = "AMOUNT")]
    balance_tolerance: Option<String>,
    /// Tell of a day of which a smaller share than this, such as 0.99, was booked by itself [default: never]
    #[arg(long, env = "FARTHING_CAPTURE_ALERT", value_name = "SHARE")]
    capture_alert: Option<String>,
    /// Tell of a day on which OpenRouter's books and this one are apart by more than this amount [default: never]
    #[arg(long, env = "FARTHING_DRIFT_ALERT", value_name = "AMOUNT")]
    drift_alert: Option<String>,
    /// Where OpenRouter's API is [default: where it is]
    #[arg(long, env = "FARTHING_OPENROUTER_URL", hide_env_values = true, value_name = "URL")]
    openrouter_url: Option<String>,
    /// Where notices are posted to
    #[arg(long, env = "FARTHING_WEBHOOK_URL", hide_env_values = true, value_name = "URL")]
    webhook_url: Option<String>,
    /// A file with the secret that notices are signed with (or the secret itself in FARTHING_WEBHOOK_SECRET)
    #[arg(long, env = "FARTHING_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
}

/// The same names in a file.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    database: Option<String>,
    catalogs: Option<PathBuf>,
    reports: Option<PathBuf>,
    segments: Option<PathBuf>,
    signing_key_file: Option<PathBuf>,
    org: Option<String>,
    log: Option<String>,
    log_format: Option<String>,
    connections: Option<u32>,
    allow_fsync_off: Option<bool>,
    listen: Option<SocketAddr>,
    max_body_mb: Option<usize>,
    queue_mb: Option<usize>,
    body_timeout_s: Option<u64>,
    max_exports: Option<usize>,
    rejected_days: Option<u32>,
    fetched_days: Option<u32>,
    months_ahead: Option<u32>,
    catch_up_days: Option<u32>,
    refresh: Option<String>,
    refresh_schedule: Option<String>,
    refresh_url: Option<String>,
    reconcile_schedule: Option<String>,
    reconcile_tolerance: Option<String>,
    fetch_missing: Option<String>,
    true_ups: Option<String>,
    balance_tolerance: Option<String>,
    capture_alert: Option<String>,
    drift_alert: Option<String>,
    openrouter_url: Option<String>,
    webhook_url: Option<String>,
    webhook_secret_file: Option<PathBuf>,
}

impl Flags {
    /// The database that was named, and the same flags with another one in its place.
    pub fn with_database(&self, database: Option<String>) -> (Option<String>, Flags) {
        (self.database.clone(), Flags { database, ..self.clone() })
    }
}

/// What holds in the end.
#[derive(Clone, Debug)]
pub struct Settings {
    pub store: StoreOptions,
    pub catalogs: CatalogFiles,
    /// Where an operator's own reports are defined.
    pub reports: Option<PathBuf>,
    /// Where segments lie; nowhere, if there are to be none.
    pub segments: Option<SegmentPlan>,
    pub signer: Option<Arc<Signer>>,
    pub org: String,
    pub log: String,
    pub log_json: bool,
    pub listen: SocketAddr,
    pub limits: Limits,
    pub queue_bytes: usize,
    pub jobs: Plan,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {file}: {why}")]
    Unreadable { file: String, why: String },
    #[error("{file}: {why}")]
    File { file: String, why: String },
    #[error("{name}: {why}")]
    Value { name: &'static str, why: String },
}

impl Settings {
    /// The settings of a command, which are a service's where there are flags of one.
    pub fn gather(flags: &Flags, service: Option<&ServeFlags>) -> Result<Settings, ConfigError> {
        let serve = &service.cloned().unwrap_or_default();
        // Many ask a service at once; a command reads a few pages ahead, and each connection keeps some megabytes.
        let usual_connections = if service.is_some() { 8 } else { 4 };
        let file = flags.config.as_deref().map_or_else(|| Ok(File::default()), read)?;
        let database = flags.database.clone().or(std::env::var("DATABASE_URL").ok()).or(file.database);
        let log_format = flags.log_format.clone().or(file.log_format).unwrap_or_else(|| "text".to_owned());
        if !matches!(log_format.as_str(), "text" | "json") {
            return Err(ConfigError::Value { name: "log_format", why: format!("`{log_format}` is neither text nor json") });
        }
        let max_body_mb = serve.max_body_mb.or(file.max_body_mb).unwrap_or(32);
        let queue_mb = serve.queue_mb.or(file.queue_mb).unwrap_or(48);
        if max_body_mb == 0 || queue_mb < max_body_mb {
            let why = format!("a queue of {queue_mb} MB has no room for a body of {max_body_mb} MB");
            return Err(ConfigError::Value { name: "queue_mb", why });
        }
        let url = database.unwrap_or_else(|| "sqlite://farthing.db".to_owned());
        let org = flags.org.clone().or(file.org).unwrap_or_else(|| crate::flow::FIRST_ORG.to_owned());
        let reconcile = Reconcile {
            org: org.clone(),
            url: serve.openrouter_url.clone().or(file.openrouter_url).unwrap_or_else(|| openrouter::BASE.to_owned()),
            schedule: schedule("reconcile_schedule", serve.reconcile_schedule.clone().or(file.reconcile_schedule), "30 2 * * *")?,
            policy: policy(
                serve.reconcile_tolerance.clone().or(file.reconcile_tolerance),
                serve.fetch_missing.clone().or(file.fetch_missing),
                serve.true_ups.clone().or(file.true_ups),
                serve.balance_tolerance.clone().or(file.balance_tolerance),
                [serve.capture_alert.clone().or(file.capture_alert), serve.drift_alert.clone().or(file.drift_alert)],
            )?,
        };
        Ok(Settings {
            segments: segments(flags.segments.clone().or(file.segments), &url, flags.segments_tail),
            store: StoreOptions {
                url,
                allow_fsync_off: flags.allow_fsync_off || file.allow_fsync_off.unwrap_or(false),
                connections: flags.connections.or(file.connections).unwrap_or(usual_connections).max(1),
                run_keys: RUN_KEYS,
            },
            catalogs: flags.catalogs.clone().or(file.catalogs).map_or(CatalogFiles::Shipped, CatalogFiles::At),
            reports: flags.reports.clone().or(file.reports),
            signer: signer(flags.signing_key_file.clone().or(file.signing_key_file))?,
            org,
            log: flags.log.clone().or(file.log).unwrap_or_else(|| "info".to_owned()),
            log_json: log_format == "json",
            listen: serve.listen.or(file.listen).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8787))),
            limits: Limits {
                body: max_body_mb << 20,
                body_timeout: Duration::from_secs(serve.body_timeout_s.or(file.body_timeout_s).unwrap_or(60).max(1)),
                exports: serve.max_exports.or(file.max_exports).unwrap_or(4).max(1),
            },
            queue_bytes: queue_mb << 20,
            jobs: Plan {
                kept: Kept {
                    rejected_days: serve.rejected_days.or(file.rejected_days).unwrap_or(Kept::default().rejected_days),
                    fetched_days: serve.fetched_days.or(file.fetched_days).unwrap_or(Kept::default().fetched_days),
                },
                months_ahead: serve.months_ahead.or(file.months_ahead).unwrap_or(3),
                // A month and some, so that a monthly report survives whatever happens on its day.
                catch_up_days: serve.catch_up_days.or(file.catch_up_days).unwrap_or(35),
                refresh: refresh(serve.refresh.clone().or(file.refresh), serve.refresh_url.clone().or(file.refresh_url))?,
                refresh_schedule: schedule(
                    "refresh_schedule",
                    serve.refresh_schedule.clone().or(file.refresh_schedule),
                    "17 * * * *",
                )?,
                reconcile,
                webhook: webhook(
                    serve.webhook_url.clone().or(file.webhook_url),
                    serve.webhook_secret_file.clone().or(file.webhook_secret_file),
                )?,
            },
        })
    }
}

fn signer(file: Option<PathBuf>) -> Result<Option<Arc<Signer>>, ConfigError> {
    let seed = match (std::env::var("FARTHING_SIGNING_KEY").ok(), file) {
        (Some(seed), _) => seed,
        (None, Some(file)) => std::fs::read_to_string(&file)
            .map_err(|e| ConfigError::Unreadable { file: file.display().to_string(), why: e.to_string() })?,
        (None, None) => return Ok(None),
    };
    let signer = Signer::of(&seed).map_err(|why| ConfigError::Value { name: "signing_key", why })?;
    Ok(Some(Arc::new(signer)))
}

/// Without the feature for their files there are none.
fn segments(named: Option<PathBuf>, database: &str, tail: Option<i64>) -> Option<SegmentPlan> {
    let beside = || {
        let path = database.strip_prefix("sqlite://")?.split('?').next()?;
        (!path.is_empty() && path != ":memory:").then(|| PathBuf::from(format!("{path}.segments")))
    };
    let directory = named.or_else(beside).filter(|named| named.as_os_str() != "off");
    let plan = SegmentPlan::at(directory.filter(|_| cfg!(feature = "polars"))?);
    Some(SegmentPlan { tail: tail.unwrap_or(plan.tail).max(1), ..plan })
}

fn refresh(policy: Option<String>, url: Option<String>) -> Result<Refresh, ConfigError> {
    let name = policy.unwrap_or_else(|| "off".to_owned());
    let unknown = || ConfigError::Value { name: "refresh", why: format!("`{name}` is none of auto, review and off") };
    let source = Source::Openrouter;
    let url = url.or(source.url().map(str::to_owned)).unwrap_or_default();
    Ok(Refresh { source, url, policy: Policy::named(&name).ok_or_else(unknown)? })
}

fn schedule(name: &'static str, cron: Option<String>, default: &str) -> Result<Schedule, ConfigError> {
    Schedule::in_utc(cron.as_deref().unwrap_or(default)).map_err(|why| ConfigError::Value { name, why })
}

fn policy(
    tolerance: Option<String>,
    fetch_missing: Option<String>,
    true_ups: Option<String>,
    balance_tolerance: Option<String>,
    [capture_alert, drift_alert]: [Option<String>; 2],
) -> Result<scheduled::Policy, ConfigError> {
    let asked = Asked { tolerance, ..Asked::default() };
    asked.tolerance().map_err(|why| ConfigError::Value { name: "reconcile_tolerance", why })?;
    let wrong = |name| move |why| ConfigError::Value { name, why };
    let fetching = Fetching::named(fetch_missing.as_deref().unwrap_or("never")).map_err(wrong("fetch_missing"))?;
    let true_ups = TrueUps::named(true_ups.as_deref().unwrap_or("never")).map_err(wrong("true_ups"))?;
    let accepted = |text: String| Asked { tolerance: Some(text), ..Asked::default() }.tolerance();
    let balance = balance_tolerance.map(accepted).transpose().map_err(wrong("balance_tolerance"))?;
    let drift = drift_alert.map(accepted).transpose().map_err(wrong("drift_alert"))?;
    let captured = capture_alert.as_deref().map(Alerts::share).transpose().map_err(wrong("capture_alert"))?;
    let alerts = Alerts { captured, drift: drift.map(|drift| drift.accepted) };
    Ok(scheduled::Policy { asked, fetching, true_ups, balance: balance.map(|tolerance| tolerance.accepted), alerts })
}

/// An address without a secret would tell whoever listens, and nobody could tell who spoke.
fn webhook(url: Option<String>, secret_file: Option<PathBuf>) -> Result<Option<Webhook>, ConfigError> {
    let Some(url) = url else { return Ok(None) };
    let secret = match (std::env::var("FARTHING_WEBHOOK_SECRET").ok(), secret_file) {
        (Some(secret), _) => secret,
        (None, Some(file)) => std::fs::read_to_string(&file)
            .map_err(|e| ConfigError::Unreadable { file: file.display().to_string(), why: e.to_string() })?,
        (None, None) => String::new(),
    };
    match secret.trim() {
        "" => {
            let why = "a webhook needs a secret to sign with; name a file with webhook_secret_file";
            Err(ConfigError::Value { name: "webhook_url", why: why.to_owned() })
        }
        secret => Ok(Some(Webhook { url, secret: secret.to_owned() })),
    }
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Unreadable { file: file.clone(), why: e.to_string() })?;
    toml::from_str(&text).map_err(|e| ConfigError::File { file, why: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    #[test]
    fn openrouters_days_are_compared_every_night_unless_somebody_says_otherwise() {
        let next = |serve: &ServeFlags| {
            let settings = Settings::gather(&Flags::default(), Some(serve)).unwrap();
            let after = Instant::parse("2026-02-03T02:29:59Z").unwrap();
            let times = settings.jobs.reconcile.schedule.after(after).take(2);
            times.map(|time| time.at.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(next(&ServeFlags::default()), ["2026-02-03T02:30:00Z", "2026-02-04T02:30:00Z"]);
        let hourly = ServeFlags { reconcile_schedule: Some("5 * * * *".to_owned()), ..ServeFlags::default() };
        assert_eq!(next(&hourly), ["2026-02-03T03:05:00Z", "2026-02-03T04:05:00Z"]);
    }

    #[test]
    fn a_limit_that_is_none_is_refused_by_its_name() {
        let said = |serve: ServeFlags| Settings::gather(&Flags::default(), Some(&serve)).unwrap_err().to_string();
        let captured = ServeFlags { capture_alert: Some("99%".to_owned()), ..ServeFlags::default() };
        assert!(said(captured).contains("capture_alert: `99%` is no share; write one like 0.99"));
        let drift = ServeFlags { drift_alert: Some("-1".to_owned()), ..ServeFlags::default() };
        assert!(said(drift).contains("drift_alert"));
    }
}
