//! Reports over a large book: how fast it is copied to segments beside a plain SELECT of the same columns, how long the
//! questions take that people ask most, beside DuckDB on the same files where a Python that has it is named, and how much
//! memory all of it takes.

use super::{Outcome, Run, Sample, io, process};
use crate::cli::Failure;
use crate::flow::Farthing;
use crate::flow::ingest::Prepared;
use crate::flow::publish::CatalogFiles;
use crate::flow::segments::SegmentPlan;
use crate::id::Org;
use crate::report::{Dimension, Measure, Query};
use crate::store::StoreOptions;
use crate::time::Instant as Moment;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Days that the usage is spread over.
const DAYS: u64 = 45;
/// Those of the short range that they begin with: as much of them as a month is of fifteen.
const FEW_DAYS: u64 = 3;
/// How often a question is asked; the median counts.
const TIMES: usize = 5;

struct Book {
    url: String,
    farthing: Farthing,
    org: Org,
    segments: PathBuf,
}

impl Run<'_> {
    pub(super) async fn reports(&mut self) -> Outcome {
        let events = self.bench.events;
        let database = match &self.bench.book {
            Some(file) => StoreOptions { url: format!("sqlite://{}", file.display()), ..self.settings.store.clone() },
            None => self.fresh("sqlite", "reports").await?,
        };
        let book = self.book(&database).await?;
        self.spread(&book, events, None).await?;
        if self.wants("segments") {
            self.copying(&book).await?;
        } else {
            book.farthing.copy_to_segments(book.org, |_, _| {}).await?;
        }
        if self.wants("report") {
            self.questions(&book).await?;
            self.a_few_days(&book).await?;
        }
        if self.wants("export") {
            self.exports(&book)?;
        }
        book.farthing.store.close().await;
        Ok(())
    }

    async fn book(&self, database: &StoreOptions) -> Result<Book, Failure> {
        let farthing = Farthing::open(database, &CatalogFiles::Shipped).await?;
        let org = farthing.store.org(crate::flow::FIRST_ORG).await?;
        let segments = PathBuf::from(format!("{}.segments", database.url.trim_start_matches("sqlite://")));
        let farthing = farthing.with_segments(Some(SegmentPlan::at(segments.clone())));
        Ok(Book { url: database.url.clone(), farthing, org, segments })
    }

    /// Usage of 2,000 users and 20 models, in order of time, the same in every book; or what of it occurred before an instant.
    async fn spread(&self, book: &Book, events: u64, until: Option<Moment>) -> Outcome {
        let in_force = book.farthing.in_force(book.org).await?;
        let mut sample = Sample::spread(99, &self.catalog, DAYS * 86_400_000 * 2 / self.bench.events);
        let mut there = book.farthing.store.head(book.org).await?.next_record as u64 - 1;
        while there < events {
            let wanted = (events - there).min(20_000) as usize;
            let mut events = super::read_events(&mut sample, wanted);
            events.retain(|event| until.is_none_or(|until| event.occurred_at < until));
            if events.is_empty() {
                break;
            }
            let prepared: Vec<Prepared> =
                events.into_iter().map(|event| book.farthing.prepare(book.org, &in_force, event)).collect();
            for group in prepared.chunks(2_000) {
                book.farthing.commit_events(group, || false).await.map_err(|e| Failure::Io(format!("{e:?}")))?;
            }
            there += wanted as u64;
            eprint!("\r{there} events ");
        }
        eprintln!();
        Ok(())
    }

    async fn copying(&mut self, book: &Book) -> Outcome {
        let head = book.farthing.store.head(book.org).await?.next_sequence.0;
        let some = head.min(1_000_000);
        let started = Instant::now();
        let mut read = 0;
        for place in (1..some).step_by(10_000) {
            read += book.farthing.store.touch_entries(book.org, place, some.min(place + 10_000)).await?;
        }
        let ceiling = read as f64 / started.elapsed().as_secs_f64();
        self.figure("segments: a plain SELECT of the same columns", ceiling, "entries/s", None);
        let started = Instant::now();
        let copied = book.farthing.rebuild_segments(book.org, |_, _| {}).await?;
        let rate = copied.entries as f64 / started.elapsed().as_secs_f64();
        self.figure("segments: all of the book copied", rate, "entries/s", Some(ceiling));
        let (_, memory) = process(&["--database", &book.url, "rebuild", "segments"], 0)?;
        self.figure("segments: memory of a process that copies them all", memory, "MB", None);
        let bytes: u64 = files(&book.segments, "")?.iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum();
        self.figure("segments: disk for an entry and its meters", bytes as f64 / head as f64, "bytes", None);
        Ok(())
    }

    async fn questions(&mut self, book: &Book) -> Outcome {
        let questions = [
            ("user", vec![Dimension::User], "\"user\""),
            ("user x model x day", vec![Dimension::User, Dimension::Model, Dimension::Day], "\"user\", model, occurred_at::DATE"),
        ];
        for (name, by, in_sql) in questions {
            let query = Query { by, show: vec![Measure::Amount, Measure::Calls], ..Query::default() };
            let (took, rows) = self.ask(book, &query).await?;
            self.figure(&format!("report: by {name}, {rows} rows"), took, "ms", None);
            let (_, memory) = process(&["--database", &book.url, "report", "spend", "--by", &name.replace(" x ", ",")], 0)?;
            self.figure(&format!("report: memory of a process that tells it by {name}"), memory, "MB", None);
            if let Some(duckdb) = self.duckdb(book, in_sql)? {
                self.figure(&format!("report: DuckDB by {name}, on the same files"), duckdb, "ms", None);
                self.figure(&format!("report: by {name}, over DuckDB"), took / duckdb, "times", None);
            }
        }
        let by_meter = Query {
            by: vec![Dimension::Model, Dimension::Meter],
            show: vec![Measure::Amount, Measure::Quantity],
            ..Query::default()
        };
        let (took, rows) = self.ask(book, &by_meter).await?;
        self.figure(&format!("report: by model x meter, {rows} rows"), took, "ms", None);
        Ok(())
    }

    /// All entries into files, by a process of its own.
    fn exports(&mut self, book: &Book) -> Outcome {
        for (format, file) in [("csv", "entries.csv"), ("parquet", "entries.parquet")] {
            let path = self.directory.join(file);
            let to = path.to_string_lossy();
            let export = ["--database", &book.url, "export", "entries", "--format", format, "-o", &to];
            let (took, memory) = process(&export, 0)?;
            let manifest = std::fs::read(format!("{to}.manifest.json")).map_err(io)?;
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).map_err(io)?;
            let rows = manifest["rows"].as_u64().unwrap_or_default();
            let _ = std::fs::remove_file(&path);
            self.figure(&format!("export: {rows} entries as {format}"), rows as f64 / took, "rows/s", None);
            self.figure(&format!("export: memory of that, as {format}"), memory, "MB", None);
        }
        Ok(())
    }

    /// The first days of the book, which goes on for fifteen times as long, and the same in a book that holds nothing else.
    async fn a_few_days(&mut self, book: &Book) -> Outcome {
        let day = |day| Moment::parse(&Sample::first_day(day)).map_err(io);
        let (from, until) = (day(0)?, day(FEW_DAYS)?);
        let by = vec![Dimension::User, Dimension::Model];
        let query = Query { by, from: Some(from), until: Some(until), ..Query::default() };
        let (in_all, rows) = self.ask(book, &query).await?;
        let alone = self.book(&self.fresh("sqlite", "days").await?).await?;
        let head = book.farthing.store.head(book.org).await?.next_record as u64 - 1;
        self.spread(&alone, head, Some(until)).await?;
        alone.farthing.rebuild_segments(alone.org, |_, _| {}).await?;
        let (by_itself, rows_alone) = self.ask(&alone, &query).await?;
        alone.farthing.store.close().await;
        self.figure(&format!("report: {FEW_DAYS} of {DAYS} days, {rows} rows"), in_all, "ms", None);
        self.figure(&format!("report: the same days in a book of them alone, {rows_alone} rows"), by_itself, "ms", None);
        self.figure("report: days in the whole book over a book of them alone", in_all / by_itself, "times", None);
        Ok(())
    }

    /// The median of some times, in milliseconds, and how many rows the answer has. The first time hashes the files.
    async fn ask(&self, book: &Book, query: &Query) -> Result<(f64, usize), Failure> {
        let mut took = Vec::new();
        let mut rows = book.farthing.report(book.org, query).await?.table.len();
        for _ in 0..TIMES {
            let started = Instant::now();
            rows = book.farthing.report(book.org, query).await?.table.len();
            took.push(started.elapsed().as_secs_f64() * 1e3);
        }
        took.sort_by(f64::total_cmp);
        Ok((took[TIMES / 2], rows))
    }

    /// The same question to DuckDB, in milliseconds.
    fn duckdb(&self, book: &Book, by: &str) -> Result<Option<f64>, Failure> {
        let Some(python) = &self.bench.python else { return Ok(None) };
        let files: Vec<String> =
            files(&book.segments, ".entries.parquet")?.iter().map(|path| format!("'{}'", path.display())).collect();
        let program = format!(
            "import duckdb, time\n\
             c = duckdb.connect()\n\
             q = '''SELECT {by}, sum(micro), sum(femto), sum(yocto), sum(calls) FROM read_parquet([{files}]) GROUP BY ALL \
             ORDER BY sum(micro) DESC'''\n\
             took = []\n\
             for _ in range({times} + 1):\n\
             \x20   start = time.perf_counter(); c.execute(q).fetchnumpy(); took.append(time.perf_counter() - start)\n\
             print(sorted(took[1:])[{times} // 2] * 1e3)\n",
            files = files.join(","),
            times = TIMES,
        );
        let ran = Command::new(python).args(["-c", &program]).output().map_err(io)?;
        let said = String::from_utf8_lossy(&ran.stdout);
        let took = said.trim().parse().map_err(|_| Failure::Io(String::from_utf8_lossy(&ran.stderr).into_owned()))?;
        Ok(Some(took))
    }
}

fn files(directory: &Path, end: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for org in std::fs::read_dir(directory).map_err(io)? {
        for file in std::fs::read_dir(org.map_err(io)?.path()).map_err(io)? {
            found.push(file.map_err(io)?.path());
        }
    }
    found.retain(|path| path.to_string_lossy().ends_with(end));
    Ok(found)
}
