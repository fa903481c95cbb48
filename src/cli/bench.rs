//! `bench`: how fast this machine rates, ingests and answers, each beside the raw ceiling measured in the same run. It works
//! in a directory of its own, over loopback only, for a bounded time.

mod again;
mod large;
mod load;
mod provider;
mod reports;
mod sample;
mod tail;
mod wire;

use super::{Failure, Outcome};
use crate::catalog::{Catalog, resolution};
use crate::config::Settings;
use crate::flow::Farthing;
use crate::flow::ingest::Prepared;
use crate::flow::publish::{CatalogFiles, Note, Wish, read_files};
use crate::id::Org;
use crate::ledger::Entry;
use crate::ledger::seal::EventRow;
use crate::rating::{Rating, rate};
use crate::store::{Store, StoreOptions};
use crate::time::Instant as Moment;
use crate::usage::dialect::{Context, native};
use clap::Args;
use load::{Load, Measured, Target};
pub use sample::Random;
use sample::Sample;
use serde::Serialize;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tail::Tail;
use wire::Wire;

#[derive(Args)]
pub struct Bench {
    /// A PostgreSQL server to measure too; its user must be allowed to create databases
    #[arg(long, value_name = "URL", env = "FARTHING_BENCH_POSTGRES_URL", hide_env_values = true)]
    postgres: Option<String>,
    /// Events that are in the book before its rates are measured again
    #[arg(long, default_value_t = 0, value_name = "N")]
    existing: u64,
    /// Seconds that each load over HTTP runs
    #[arg(long, default_value_t = 5, value_name = "S")]
    seconds: u64,
    /// Measure only what has this in its name; rerate, which books everything again, has to be asked for
    #[arg(long, default_value = "", value_name = "TEXT")]
    only: String,
    /// Where to work [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Events of the book that reports are asked of, or that are rated again
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    events: u64,
    /// The SQLite database that reports are asked of, filled if it has fewer events [default: a temporary one]
    #[arg(long, value_name = "FILE")]
    book: Option<PathBuf>,
    /// A Python that has DuckDB, to ask the same of it
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Also write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One measured figure.
#[derive(Serialize, Clone, Debug)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    /// The ceiling it is to be seen beside, and the share of it that is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_ceiling: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_ms: Option<f64>,
}

/// Events that the library ingests and the ceiling inserts.
const EVENTS: usize = 200_000;
/// Events per commit of both.
const COMMIT: usize = 1_000;

impl Bench {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let directory =
            self.directory.clone().unwrap_or_else(std::env::temp_dir).join(format!("farthing-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory).map_err(io)?;
        let mut run = Run {
            bench: &self,
            settings,
            directory: directory.clone(),
            figures: Vec::new(),
            catalog: shipped()?,
            fsync_p99_ms: None,
        };
        let done = run.all().await;
        let _ = std::fs::remove_dir_all(directory);
        done?;
        if let Some(path) = &self.json {
            let json = serde_json::to_string_pretty(&run.figures).expect("figures are always JSON");
            std::fs::write(path, json + "\n").map_err(io)?;
        }
        Ok(())
    }
}

struct Run<'a> {
    bench: &'a Bench,
    settings: &'a Settings,
    directory: PathBuf,
    figures: Vec<Figure>,
    catalog: Arc<Catalog>,
    /// How long the disk took in this run.
    fsync_p99_ms: Option<f64>,
}

impl Run<'_> {
    async fn all(&mut self) -> Outcome {
        println!("{:<58} {:>12} {:<10} {:>8} {:>9} {:>9}", "", "", "", "ceiling", "p50 ms", "p99 ms");
        if self.wants("rating") {
            self.rating();
        }
        if self.wants("fsync") || self.wants("sqlite") || self.wants("postgres") {
            self.fsync()?;
        }
        if self.wants("catalog") {
            self.large_catalog().await?;
        }
        if cfg!(feature = "polars") && (self.wants("report") || self.wants("segments") || self.wants("export")) {
            self.reports().await?;
        }
        if self.wants("reconcile") {
            self.provider().await?;
        }
        // It takes minutes, so it has to be asked for.
        if self.bench.only.contains("rerate") {
            return self.again().await;
        }
        if self.wants("sqlite") {
            self.database("sqlite").await?;
        }
        if self.bench.postgres.is_some() && self.wants("postgres") {
            self.database("postgres").await?;
        }
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        let only = &self.bench.only;
        only.is_empty() || name.contains(only.as_str()) || only.contains(name)
    }

    fn say(&mut self, figure: Figure) {
        let maybe = |value: Option<f64>, places: usize| value.map_or(String::new(), |value| format!("{value:.places$}"));
        println!(
            "{:<58} {:>12} {:<10} {:>8} {:>9} {:>9}",
            figure.name,
            if figure.value < 20.0 { format!("{:.1}", figure.value) } else { format!("{:.0}", figure.value) },
            figure.unit,
            maybe(figure.of_ceiling, 2),
            maybe(figure.p50_ms, 2),
            maybe(figure.p99_ms, 2)
        );
        self.figures.push(figure);
    }

    fn figure(&mut self, name: &str, value: f64, unit: &'static str, ceiling: Option<f64>) {
        let of_ceiling = ceiling.map(|ceiling| value / ceiling);
        self.say(Figure { name: name.to_owned(), value, unit, of_ceiling, p50_ms: None, p99_ms: None });
    }

    fn load(&mut self, name: &str, measured: &Measured, ceiling: Option<f64>) {
        let value = measured.events_per_second();
        let of_ceiling = ceiling.map(|ceiling| value / ceiling);
        let (p50_ms, p99_ms) = (Some(measured.p50_ms), Some(measured.p99_ms));
        self.say(Figure { name: name.to_owned(), value, unit: "events/s", of_ceiling, p50_ms, p99_ms });
        if measured.errors > 0 {
            println!("  {} requests were not answered as expected", measured.errors);
        }
    }

    fn rating(&mut self) {
        let events = events(&self.catalog, 1, 20_000);
        let mut best = f64::MAX;
        for _ in 0..5 {
            let started = Instant::now();
            for event in &events {
                assert!(matches!(black_box(rate(event, &self.catalog)), Rating::Rated(_)));
            }
            best = best.min(started.elapsed().as_nanos() as f64 / events.len() as f64);
        }
        self.figure("rating: one event under the shipped catalogs", best, "ns", None);
    }

    /// A catalog of 5,000 models and 50,000 cards: published, read back by a process that has not seen it, asked.
    async fn large_catalog(&mut self) -> Outcome {
        let database = self.fresh("sqlite", "catalog").await?;
        let (farthing, org) = self.open(&database).await?;
        let base = farthing.store.head(org).await?.version;
        let mut service = Service::start(&database)?;
        let before = service.megabytes_after_an_event()?;
        service.stop()?;

        let note = Note { author: "bench".to_owned(), note: "a large catalog".to_owned() };
        let started = Instant::now();
        let wish = Wish { base: Some(base), parts: large::lists(), accept: true, note, ..Wish::default() };
        farthing.publish(org, &wish).await?;
        self.figure("catalog of 50,000 cards: publish", started.elapsed().as_secs_f64() * 1e3, "ms", None);
        farthing.store.close().await;

        let (farthing, org) = self.open(&database).await?;
        let started = Instant::now();
        let in_force = farthing.in_force(org).await?;
        self.figure("catalog of 50,000 cards: load", started.elapsed().as_secs_f64() * 1e3, "ms", None);

        let events = large_events();
        let mut best = f64::MAX;
        for _ in 0..5 {
            let started = Instant::now();
            for event in &events {
                assert!(black_box(resolution::find(&in_force.catalog, event, &mut ())).card.is_ok());
            }
            best = best.min(started.elapsed().as_nanos() as f64 / events.len() as f64);
        }
        self.figure("catalog of 50,000 cards: resolve", best, "ns", None);
        farthing.store.close().await;

        let mut service = Service::start(&database)?;
        let after = service.megabytes_after_an_event()?;
        self.figure("catalog of 50,000 cards: memory beside the shipped one", after - before, "MB", None);
        service.stop()
    }

    fn fsync(&mut self) -> Outcome {
        let mut disk = Disk::open(&self.directory)?;
        (0..1_000).try_for_each(|_| disk.append())?;
        let name = "fsync: append 4 KiB and wait for the disk".to_owned();
        let (value, p50_ms, p99_ms) = (1e3 / disk.percentile(0.50), disk.percentile(0.50), disk.percentile(0.99));
        self.fsync_p99_ms = Some(p99_ms);
        self.say(Figure { name, value, unit: "1/s", of_ceiling: None, p50_ms: Some(p50_ms), p99_ms: Some(p99_ms) });
        Ok(())
    }

    async fn database(&mut self, kind: &'static str) -> Outcome {
        let ceiling = match self.wants(&format!("{kind}: ingest through the library, {COMMIT} a commit")) {
            true => Some(self.library(kind).await?),
            false => None,
        };
        let served = self.fresh(kind, "served").await?;
        self.http(kind, "", &served, ceiling).await?;
        if self.bench.existing > 0 {
            self.fill(&served, self.bench.existing).await?;
            let with = format!(" at {}", self.bench.existing);
            self.disk(&format!("{kind}{with}"), &served).await?;
            self.http(kind, &with, &served, ceiling).await?;
        }
        Ok(())
    }

    /// Ingest without a service, and its ceiling: what the database takes of the same rows.
    async fn library(&mut self, kind: &'static str) -> Result<f64, Failure> {
        let database = self.fresh(kind, "library").await?;
        let (farthing, org) = self.open(&database).await?;
        let in_force = farthing.in_force(org).await?;
        let prepared: Vec<Prepared> =
            events(&self.catalog, 7, EVENTS).into_iter().map(|event| farthing.prepare(org, &in_force, event)).collect();
        // The first commits intern names and fill caches; they are not what is measured.
        let (warm, measured) = prepared.split_at(EVENTS / 10);
        commit(&farthing, warm).await?;
        let started = Instant::now();
        commit(&farthing, measured).await?;
        let library = measured.len() as f64 / started.elapsed().as_secs_f64();

        let bytes = farthing.store.bytes_on_disk().await? as f64 / EVENTS as f64;
        let rows = Rows::read(&farthing, org).await?;
        farthing.store.close().await;
        let raw = self.fresh(kind, "raw").await?;
        let ceiling = self.ceiling(&raw, &rows).await?;
        self.figure(&format!("{kind}: raw bulk insert of the same rows, {COMMIT} a commit"), ceiling, "events/s", None);
        self.figure(&format!("{kind}: ingest through the library, {COMMIT} a commit"), library, "events/s", Some(ceiling));
        self.figure(&format!("{kind}: disk for an event, its entry and its key"), bytes, "bytes", None);
        Ok(ceiling)
    }

    /// The loads over HTTP against a service of its own.
    async fn http(&mut self, kind: &str, with: &str, database: &StoreOptions, ceiling: Option<f64>) -> Outcome {
        let started = Instant::now();
        let mut service = Service::start(database)?;
        self.figure(&format!("{kind}{with}: start until ready"), started.elapsed().as_secs_f64() * 1e3, "ms", None);
        self.figure(&format!("{kind}{with}: memory when idle"), service.megabytes(), "MB", None);
        let seconds = self.bench.seconds;
        let native = |connections, batch| Load { wire: Wire::Native, connections, batch, seconds, pace: None, again: false };
        let unhurried = Load { pace: Some(Duration::from_millis(50)), ..native(64, 1) };
        let loads = [
            ("single posts, 1 client", native(1, 1)),
            ("single posts, 64 clients", native(64, 1)),
            ("single posts, 64 clients, 20 a second each", unhurried),
            ("single posts, 256 clients", native(256, 1)),
            ("batches of 100, 8 clients", native(8, 100)),
            ("batches of 1,000, 8 clients", native(8, 1_000)),
            ("replays of 100, 8 clients", Load { again: true, ..native(8, 100) }),
            // As many as LiteLLM posts at once, and as many as an exporter does.
            ("LiteLLM, batches of 512, 4 clients", Load { wire: Wire::Litellm, ..native(4, 512) }),
            ("OTLP protobuf, 512 spans, 8 clients", Load { wire: Wire::Otlp, ..native(8, 512) }),
        ];
        let mut highest: f64 = 0.0;
        let tail = Tail::watch(database);
        for (place, (what, load)) in loads.into_iter().enumerate() {
            if !self.wants(&format!("{kind}{with}: {what}")) {
                continue;
            }
            let catalog = self.catalog.clone();
            let seed = 1_000 * (place as u64 + 1) + u64::from(!with.is_empty()) * 1_000_000;
            let beside = (load.connections == 64).then(|| Beside::start(&self.directory)).transpose()?;
            let measured = load::run(&service.target, load, seed, move |seed| Sample::new(seed, &catalog)).map_err(io)?;
            self.load(&format!("{kind}{with}: {what}"), &measured, ceiling.filter(|_| load.batch > 1));
            if let (Some(beside), Some(alone)) = (beside, self.fsync_p99_ms) {
                let how = if load.pace.is_some() { ", 20 a second each," } else { "" };
                let name = format!("{kind}{with}: p99 of 64 clients{how} over that of an fsync");
                let beside = beside.p99_ms()?;
                self.figure(&format!("{name} alone"), measured.p99_ms / alone, "times", None);
                self.figure(&format!("{name} beside it"), measured.p99_ms / beside, "times", None);
            }
            highest = highest.max(service.megabytes());
        }
        self.figure(&format!("{kind}{with}: memory under load"), highest, "MB", None);
        if let Some(tail) = tail {
            let largest = tail.largest()? as f64;
            self.figure(&format!("{kind}{with}: most entries in no segment under load"), largest, "entries", None);
        }
        service.stop()
    }

    /// Brings a book to the wanted number of events, their ids random.
    async fn fill(&mut self, database: &StoreOptions, events: u64) -> Outcome {
        let (farthing, org) = self.open(database).await?;
        let in_force = farthing.in_force(org).await?;
        let mut sample = Sample::new(99, &self.catalog);
        let started = Instant::now();
        let mut there = farthing.store.head(org).await?.next_record as u64 - 1;
        while there < events {
            let wanted = (events - there).min(20_000) as usize;
            let events = read_events(&mut sample, wanted);
            let prepared: Vec<Prepared> = events.into_iter().map(|event| farthing.prepare(org, &in_force, event)).collect();
            for group in prepared.chunks(5_000) {
                farthing.commit_events(group, || false).await.map_err(|e| Failure::Io(format!("{e:?}")))?;
            }
            there += wanted as u64;
            eprint!("\r{there} events, {:.0} a second ", there as f64 / started.elapsed().as_secs_f64());
        }
        eprintln!();
        farthing.store.close().await;
        tail::copy(database, Farthing::open(database, &CatalogFiles::Shipped).await?, org).await
    }

    /// What each event of a book takes on disk.
    async fn disk(&mut self, of: &str, database: &StoreOptions) -> Outcome {
        let (farthing, org) = self.open(database).await?;
        let events = farthing.store.head(org).await?.next_record - 1;
        let bytes = farthing.store.bytes_on_disk().await? as f64 / events as f64;
        farthing.store.close().await;
        self.figure(&format!("{of}: disk for an event, its entry and its key"), bytes, "bytes", None);
        Ok(())
    }

    /// What sqlx and the database allow: the same rows, keys included, inserted without anything around it.
    async fn ceiling(&self, database: &StoreOptions, rows: &Rows) -> Result<f64, Failure> {
        let store = Store::open(database).await?;
        let mut write = store.begin().await?;
        let org = write.insert_org("raw", crate::flow::now()).await?;
        write.commit().await?;
        let keys: Vec<_> =
            rows.events.iter().map(|event| (org, store.event_key(org, "gateway-eu", &event.id), event.record)).collect();
        let mut entries = rows.entries.as_slice();
        let mut taken = 0;
        let mut started = Instant::now();
        for (events, keys) in rows.events.chunks(COMMIT).zip(keys.chunks(COMMIT)) {
            if taken == EVENTS / 10 {
                started = Instant::now();
            }
            let until = events.last().map_or(0, |event| event.record);
            let count = entries.partition_point(|entry| entry.event.is_some_and(|event| event.0 <= until));
            let (of_commit, rest) = entries.split_at(count);
            entries = rest;
            let mut write = store.begin().await?;
            let sealed_in = crate::flow::now().month();
            write.insert_events(org, events, sealed_in).await?;
            write.insert_entries(org, of_commit, sealed_in).await?;
            write.remember_once(keys).await?;
            write.commit().await?;
            taken += events.len();
        }
        let rate = (taken - EVENTS / 10) as f64 / started.elapsed().as_secs_f64();
        store.close().await;
        Ok(rate)
    }

    async fn open(&self, database: &StoreOptions) -> Result<(Arc<Farthing>, Org), Failure> {
        let farthing = Arc::new(Farthing::open(database, &CatalogFiles::Shipped).await?);
        let org = farthing.store.org(crate::flow::FIRST_ORG).await?;
        Ok((farthing, org))
    }

    /// An empty database of a kind.
    async fn fresh(&self, kind: &str, name: &str) -> Result<StoreOptions, Failure> {
        let options = |url| StoreOptions { url, ..self.settings.store.clone() };
        match (kind, &self.bench.postgres) {
            ("postgres", Some(server)) => {
                let name = format!("farthing_bench_{}_{name}", std::process::id());
                Ok(options(Store::create_postgres_database(server, &name).await?))
            }
            _ => Ok(options(format!("sqlite://{}", self.directory.join(format!("{name}.db")).display()))),
        }
    }
}

/// A file that is appended to, and how long the disk takes to have each piece.
struct Disk {
    file: std::fs::File,
    took: Vec<Duration>,
}

impl Disk {
    fn open(directory: &Path) -> Result<Disk, Failure> {
        Ok(Disk { file: std::fs::File::create(directory.join("fsync")).map_err(io)?, took: Vec::new() })
    }

    fn append(&mut self) -> Outcome {
        let started = Instant::now();
        self.file.write_all(&[0; 4096]).and_then(|()| self.file.sync_data()).map_err(io)?;
        self.took.push(started.elapsed());
        Ok(())
    }

    /// In milliseconds.
    fn percentile(&mut self, share: f64) -> f64 {
        self.took.sort_unstable();
        self.took.get((self.took.len() as f64 * share) as usize).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    }
}

/// An fsync now and then while a load runs: what the disk and the two processors allow anybody at that moment.
struct Beside {
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<Disk, Failure>>,
}

impl Beside {
    const PAUSE: Duration = Duration::from_millis(10);

    fn start(directory: &Path) -> Result<Beside, Failure> {
        let ended = Arc::new(AtomicBool::new(false));
        let (mut disk, stop) = (Disk::open(directory)?, ended.clone());
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                disk.append()?;
                std::thread::sleep(Self::PAUSE);
            }
            Ok(disk)
        });
        Ok(Beside { ended, thread })
    }

    fn p99_ms(self) -> Result<f64, Failure> {
        self.ended.store(true, Ordering::Relaxed);
        let disk = self.thread.join().map_err(|_| Failure::Io("the fsync beside the load broke off".to_owned()))?;
        Ok(disk?.percentile(0.99))
    }
}

/// The rows that a run of the library wrote.
struct Rows {
    events: Vec<EventRow>,
    entries: Vec<Entry>,
}

impl Rows {
    async fn read(farthing: &Farthing, org: Org) -> Result<Rows, Failure> {
        let head = farthing.store.head(org).await?;
        Ok(Rows {
            events: farthing.store.records_between(org, 1, head.next_record).await?,
            entries: farthing.store.entries_between(org, 1, head.next_sequence.0).await?,
        })
    }
}

async fn commit(farthing: &Farthing, prepared: &[Prepared]) -> Outcome {
    for group in prepared.chunks(COMMIT) {
        farthing.commit_events(group, || false).await.map_err(|e| Failure::Io(format!("{e:?}")))?;
    }
    Ok(())
}

fn shipped() -> Result<Arc<Catalog>, Failure> {
    let parts = read_files(&CatalogFiles::Shipped)?;
    let catalog = Catalog::build(parts).map_err(|e| Failure::Refused(e.to_string()))?;
    Ok(Arc::new(catalog))
}

fn events(catalog: &Catalog, seed: u64, count: usize) -> Vec<crate::usage::UsageEvent> {
    read_events(&mut Sample::new(seed, catalog), count)
}

/// Usage of any model of the large catalog at any time of its life.
fn large_events() -> Vec<crate::usage::UsageEvent> {
    let context = Context { received_at: crate::flow::now(), source: None, strict: false };
    let mut random = Random::new(3);
    let event = |number: u64| {
        let (provider, model) = large::model(random.next());
        let (year, month) = (2020 + random.below(6), 1 + random.below(12));
        let json = format!(
            r#"{{"id":"{number}","source":"s","occurred_at":"{year}-{month:02}-15T12:00:00Z","provider":"{provider}","model":"{model}","usage":{{"input":9,"output":5}}}}"#
        );
        native::read(&json, &context).expect("it is an event")
    };
    (0..20_000).map(event).collect()
}

fn read_events(sample: &mut Sample, count: usize) -> Vec<crate::usage::UsageEvent> {
    let context =
        Context { received_at: Moment::parse("2026-11-01T00:00:00Z").expect("an instant"), source: None, strict: false };
    let mut json = Vec::new();
    let read = |_| {
        json.clear();
        sample.write(&mut json);
        native::read(std::str::from_utf8(&json).expect("a sample is text"), &context).expect("a sample is an event")
    };
    (0..count).map(read).collect()
}

/// How long a command of this program takes, in seconds, and how much memory at most, in MB. It ends with this code.
fn process(arguments: &[&str], code: i32) -> Result<(f64, f64), Failure> {
    let program = std::env::current_exe().map_err(io)?;
    let started = Instant::now();
    let mut process = Command::new(program).args(arguments).stdout(Stdio::null()).spawn().map_err(io)?;
    let status = format!("/proc/{}/status", process.id());
    let mut most: f64 = 0.0;
    loop {
        let ended = process.try_wait().map_err(io)?;
        if let Some(ended) = ended {
            let took = started.elapsed().as_secs_f64();
            let as_expected = ended.code() == Some(code);
            return if as_expected { Ok((took, most)) } else { Err(io(format!("{} ended with {ended}", arguments.join(" ")))) };
        }
        most = most.max(megabytes(&status, "VmHWM:"));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a process says of its memory.
fn megabytes(status: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(f64::NAN) / 1024.0
}

/// This program serving a database, as a process of its own.
struct Service {
    process: Child,
    target: Target,
}

impl Service {
    fn start(database: &StoreOptions) -> Result<Service, Failure> {
        let program = std::env::current_exe().map_err(io)?;
        let flags = ["--listen", "127.0.0.1:0", "--log", "warn", "--database", &database.url];
        let mut command = Command::new(program);
        command.arg("serve").args(flags).stdout(Stdio::piped());
        if database.allow_fsync_off {
            command.arg("--allow-fsync-off");
        }
        let mut process = command.spawn().map_err(io)?;
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let mut address = String::new();
        let mut key = None;
        while let Some(Ok(line)) = lines.next() {
            if let Some(rest) = line.split("http://").nth(1).filter(|_| address.is_empty()) {
                rest.split_whitespace().next().unwrap_or_default().clone_into(&mut address);
            }
            if line.trim().starts_with("far_") {
                key = Some(line.trim().to_owned());
            }
            // The last line of the greeting, or of a service that has keys already.
            if line.contains("spend?group_by") || (key.is_none() && !address.is_empty() && kept(database).is_some()) {
                break;
            }
        }
        let key = match key {
            Some(key) => {
                std::fs::write(key_file(database), &key).map_err(io)?;
                key
            }
            None => kept(database).ok_or_else(|| Failure::Io("the service did not start".to_owned()))?,
        };
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Service { process, target: Target { address, key } })
    }

    /// Memory once the catalog in force was needed.
    fn megabytes_after_an_event(&self) -> Result<f64, Failure> {
        let Target { address, key } = &self.target;
        let body = r#"{"id":"m","source":"s","provider":"nobody","model":"none","usage":{"input":1}}"#;
        let mut stream = std::net::TcpStream::connect(address).map_err(io)?;
        let length = body.len();
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes()).map_err(io)?;
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).map_err(io)?;
        match answer.starts_with("HTTP/1.1 20") {
            true => Ok(self.megabytes()),
            false => Err(Failure::Io(format!("an event was answered with {answer}"))),
        }
    }

    fn megabytes(&self) -> f64 {
        megabytes(&format!("/proc/{}/status", self.process.id()), "VmRSS:")
    }

    fn stop(&mut self) -> Outcome {
        let stopped = Command::new("kill").arg(self.process.id().to_string()).status().map_err(io)?;
        if !stopped.success() {
            let _ = self.process.kill();
        }
        self.process.wait().map_err(io).map(drop)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn key_file(database: &StoreOptions) -> PathBuf {
    let name: String = database.url.chars().filter(char::is_ascii_alphanumeric).collect();
    std::env::temp_dir().join(format!("farthing-bench-{}-{name}.key", std::process::id()))
}

fn kept(database: &StoreOptions) -> Option<String> {
    std::fs::read_to_string(key_file(database)).ok()
}

fn io(e: impl std::fmt::Display) -> Failure {
    Failure::Io(e.to_string())
}
