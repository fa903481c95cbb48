//! Figures for Prometheus. Counters are counted as things happen; what a database knows better is asked when somebody
//! scrapes. No label is a user, a request or a key. What the process counts is open; what a book knows is for a key of its org.

use super::answer::typed;
use super::caller::Known;
use super::{App, Problem, Service};
use crate::flow::access::Scope;
use crate::flow::ingest::Outcome;
use crate::flow::runs::RECURRING;
use crate::http::wire::name_of;
use crate::id::Org;
use crate::usage::dialect::Dialect;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Metrics {
    events: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    /// How many requests took at most as long as each bound, and how long all took together.
    durations: [AtomicU64; BOUNDS.len()],
    longer: AtomicU64,
    micros: AtomicU64,
}

/// Bounds of the histogram of request durations, in microseconds.
const BOUNDS: [u64; 9] = [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000];

impl Metrics {
    pub fn event(&self, dialect: Dialect, outcome: &Outcome) {
        let key = (dialect.name(), name_of(outcome));
        *self.events.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
    }

    fn request(&self, route: &str, status: u16, took: Duration) {
        let micros = took.as_micros() as u64;
        let bound = BOUNDS.iter().position(|bound| micros <= *bound);
        bound.map_or(&self.longer, |bound| &self.durations[bound]).fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        match requests.get_mut(&(route.to_owned(), status)) {
            Some(count) => *count += 1,
            None => drop(requests.insert((route.to_owned(), status), 1)),
        }
    }
}

/// Counts a request under its route.
pub async fn measure(State(service): App, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", |path| path.as_str()).to_owned();
    let started = Instant::now();
    let response = next.run(request).await;
    service.metrics.request(&route, response.status().as_u16(), started.elapsed());
    response
}

pub async fn show(State(service): App, known: Option<Known>) -> Result<Response, Problem> {
    let caller = known.map(|known| known.may_everywhere(Scope::Read)).transpose()?;
    let mut text = String::new();
    write_counted(&service, &mut text);
    if let Some(caller) = caller {
        write_book(&service, caller.org, &mut text).await?;
    }
    Ok(typed(text, "text/plain; version=0.0.4; charset=utf-8"))
}

fn describe(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn write_counted(service: &Service, text: &mut String) {
    let metrics = &service.metrics;
    describe(text, "farthing_events_total", "counter", "Events received, by dialect and by what became of them.");
    for ((dialect, outcome), count) in metrics.events.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let _ = writeln!(text, "farthing_events_total{{dialect=\"{dialect}\",outcome=\"{outcome}\"}} {count}");
    }
    describe(text, "farthing_http_requests_total", "counter", "Requests, by route and status.");
    for ((route, status), count) in metrics.requests.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let _ = writeln!(text, "farthing_http_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}");
    }
    describe(text, "farthing_http_request_duration_seconds", "histogram", "How long requests took.");
    let mut so_far = 0;
    for (bound, count) in BOUNDS.iter().zip(&metrics.durations) {
        so_far += count.load(Ordering::Relaxed);
        let _ = writeln!(text, "farthing_http_request_duration_seconds_bucket{{le=\"{}\"}} {so_far}", seconds(*bound));
    }
    so_far += metrics.longer.load(Ordering::Relaxed);
    let _ = writeln!(text, "farthing_http_request_duration_seconds_bucket{{le=\"+Inf\"}} {so_far}");
    let _ = writeln!(text, "farthing_http_request_duration_seconds_sum {}", seconds(metrics.micros.load(Ordering::Relaxed)));
    let _ = writeln!(text, "farthing_http_request_duration_seconds_count {so_far}");

    let figures = &service.intake.figures;
    let counters = [
        ("farthing_commits_total", "Commits of queued events.", &figures.commits),
        ("farthing_committed_events_total", "Events that commits answered.", &figures.events),
        ("farthing_commit_failures_total", "Commits that failed for good.", &figures.failures),
    ];
    for (name, help, counter) in counters {
        describe(text, name, "counter", help);
        let _ = writeln!(text, "{name} {}", counter.load(Ordering::Relaxed));
    }
    describe(text, "farthing_queue_free_bytes", "gauge", "Bytes of bodies that may still come.");
    let _ = writeln!(text, "farthing_queue_free_bytes {}", service.intake.free_room());
    if let Some(bytes) = resident_bytes() {
        describe(text, "process_resident_memory_bytes", "gauge", "Memory of this process.");
        let _ = writeln!(text, "process_resident_memory_bytes {bytes}");
    }
}

/// What is asked of a book.
const BOOK: [(&str, &str); 10] = [
    ("farthing_book_blocks", "Blocks in the book."),
    ("farthing_book_entries", "Entries in the book."),
    ("farthing_book_head", "The first 13 hexadecimal digits of the head's hash, as a number: a series of heads kept elsewhere."),
    ("farthing_catalog_version", "The catalog version in force."),
    (
        "farthing_waiting",
        "What waits for a price or a person: held for a reason, in conflict, charged twice perhaps, or rejected.",
    ),
    ("farthing_job_runs", "Runs of jobs, by job and by what became of them; of what recurs only the last."),
    ("farthing_reconciliation_timestamp_seconds", "When the book was last compared with the provider's."),
    (
        "farthing_reconciliation_captured_ratio",
        "The share of what the provider billed that is not missing here, in the newest run.",
    ),
    (
        "farthing_reconciliation_drift",
        "What the provider's statement has more than the book, in the newest run, in its currency.",
    ),
    ("farthing_reconciliation_variances", "Differences outside of the tolerance, in the newest run."),
];

async fn write_book(service: &Service, org: Org, text: &mut String) -> Result<(), Problem> {
    let store = &service.farthing.store;
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut samples: BTreeMap<&str, String> = BTreeMap::new();
    let org_label = format!("org=\"{}\"", quoted(&store.org_name(org).await?));
    let mut sample = |name: &'static str, labels: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(samples.entry(name).or_default(), "{name}{{{org_label}{labels}}} {value}");
    };
    let head = store.head(org).await?;
    sample("farthing_book_blocks", "", &head.block);
    sample("farthing_book_entries", "", &(head.next_sequence.0 - 1));
    sample("farthing_book_head", "", &head.hash.first_52_bits());
    sample("farthing_catalog_version", "", &head.version);
    for (reason, count) in store.held_counts(org).await? {
        sample("farthing_waiting", &format!(",what=\"held\",reason=\"{}\"", reason.name()), &count);
    }
    sample("farthing_waiting", ",what=\"conflict\",reason=\"\"", &store.open_conflicts(org).await?);
    sample("farthing_waiting", ",what=\"suspect\",reason=\"\"", &store.open_suspects(org).await?);
    sample("farthing_waiting", ",what=\"rejected\",reason=\"\"", &store.rejected_count(org).await?);
    // Of what recurs the last run counts: an hour that failed is over when the next one did not.
    for job in RECURRING {
        if let Some(run) = store.runs(org, job, 1).await?.first() {
            sample("farthing_job_runs", &format!(",job=\"{job}\",state=\"{}\"", run.state), &1);
        }
    }
    let counts = store.run_counts(org).await?;
    for (job, state, count) in counts.into_iter().filter(|(job, ..)| !RECURRING.contains(&job.as_str())) {
        sample("farthing_job_runs", &format!(",job=\"{}\",state=\"{state}\"", quoted(&job)), &count);
    }
    if let Some(figures) = service.farthing.figures(org).await? {
        sample("farthing_reconciliation_timestamp_seconds", "", &(figures.made_at.micros() / 1_000_000));
        sample("farthing_reconciliation_captured_ratio", "", &figures.captured_share());
        sample("farthing_reconciliation_drift", "", &figures.drift);
        sample("farthing_reconciliation_variances", "", &figures.outside);
    }
    for (name, help) in BOOK {
        describe(text, name, "gauge", help);
        text.push_str(&samples.remove(name).unwrap_or_default());
    }
    Ok(())
}

fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Resident memory, where the system tells it in a file.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
