//! `ingest`: events from a file into the book, through the same committer as the service. Lines are read, rated and
//! committed side by side, so the file is never in memory as a whole; only a JSON array is.

use super::{Failure, Outcome, copy_what_was_booked, open, open_input, progress};
use crate::config::Settings;
use crate::flow::ingest::Outcome as Became;
use crate::flow::intake::{self, Framing, Intake, Received, Taken};
use crate::flow::{Farthing, now};
use crate::http::wire::{Counts, name_of};
use crate::id::Org;
use crate::usage::dialect::{Context, Dialect};
use crate::usage::reading;
use clap::Args;
use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::Arc;
use tokio::task::JoinHandle;

#[derive(Args)]
pub struct Ingest {
    /// A file of JSON or NDJSON, gzip or not; - is standard input
    file: String,
    /// How the events are written: native, litellm, otlp, ...; docs/gateways has a page for each
    #[arg(long, default_value = "native")]
    dialect: String,
    /// The source of events that name none
    #[arg(long, default_value = "cli")]
    source: String,
    /// Refuse unknown fields instead of keeping them
    #[arg(long)]
    strict: bool,
}

/// Events that are handed to the committer at once, and how many such batches may be under way.
const BATCH: usize = 2_000;
const UNDER_WAY: usize = 4;
/// Problems that are told one by one; the rest are only counted.
const TOLD: usize = 20;

impl Ingest {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let dialect = Dialect::named(&self.dialect).ok_or_else(|| {
            let known = Dialect::ALL.map(Dialect::name).join(", ");
            Failure::Usage(format!("`{}` is no dialect; known are {known}", self.dialect))
        })?;
        let source = reading::text("source", &self.source).map_err(|e| Failure::Usage(e.to_string()))?;
        let (farthing, org) = open(settings).await?;
        let context = Context { received_at: now(), source: Some(source), strict: self.strict };
        let run =
            Run { intake: Arc::new(Intake::start(farthing.clone(), settings.queue_bytes)), farthing, org, dialect, context };

        let mut input = open_input(&self.file)?;
        let bar = progress(None, "{spinner} {human_pos} events, {per_sec}, {elapsed}");
        let mut tally = Tally::default();
        if is_one_text(input.as_mut(), &self.file)? {
            let mut bytes = Vec::new();
            input.read_to_end(&mut bytes).map_err(|e| Failure::Io(format!("cannot read {}: {e}", self.file)))?;
            let received = intake::read(&bytes, Framing::Json, dialect, &run.context);
            let mut received = received.map_err(|e| Failure::Refused(format!("{}: {e}; nothing was posted", self.file)))?;
            while !received.is_empty() {
                let rest = received.split_off(received.len().min(BATCH));
                run.submit(received, &mut tally, &bar).await?;
                received = rest;
            }
        } else {
            run.lines(input.as_mut(), &self.file, &mut tally, &bar).await?;
        }
        tally.finish(&bar).await?;
        run.intake.drain().await;
        copy_what_was_booked(&run.farthing, org).await;
        run.farthing.store.close().await;
        bar.finish_and_clear();
        tally.report()
    }
}

/// What every batch needs.
struct Run {
    farthing: Arc<Farthing>,
    intake: Arc<Intake>,
    org: Org,
    dialect: Dialect,
    context: Context,
}

impl Run {
    async fn lines(
        &self,
        input: &mut (dyn BufRead + Send),
        file: &str,
        tally: &mut Tally,
        bar: &indicatif::ProgressBar,
    ) -> Outcome {
        let mut number = 0;
        loop {
            let mut lines: Vec<(usize, Vec<u8>)> = Vec::with_capacity(BATCH);
            while lines.len() < BATCH {
                let mut line = Vec::new();
                let read = input.read_until(b'\n', &mut line).map_err(|e| Failure::Io(format!("cannot read {file}: {e}")))?;
                if read == 0 {
                    break;
                }
                number += 1;
                if !line.trim_ascii().is_empty() {
                    lines.push((number, line));
                }
            }
            if lines.is_empty() {
                return Ok(());
            }
            let mut received = Vec::with_capacity(lines.len());
            for (number, line) in &lines {
                intake::read_line(*number, line.trim_ascii(), self.dialect, &self.context, &mut received);
            }
            self.submit(received, tally, bar).await?;
        }
    }

    /// Hands a batch to the committer; waits only when enough batches are under way.
    async fn submit(&self, received: Vec<Received<'_>>, tally: &mut Tally, bar: &indicatif::ProgressBar) -> Outcome {
        let size = received.iter().map(|received| received.piece.text().len()).sum();
        let sorted = self.farthing.sort(self.org, received, self.dialect, &self.context, None).await?;
        let intake = self.intake.clone();
        tally.under_way.push_back(tokio::spawn(async move {
            let room = intake.room(size).await.map_err(|e| e.to_string())?;
            sorted.commit(&intake, room).await.map_err(|e| e.to_string())
        }));
        while tally.under_way.len() >= UNDER_WAY {
            tally.next(bar).await?;
        }
        Ok(())
    }
}

/// What became of everything so far.
#[derive(Default)]
struct Tally {
    counts: Counts,
    told: Vec<Taken>,
    under_way: VecDeque<JoinHandle<Result<Vec<Taken>, String>>>,
}

impl Tally {
    fn add(&mut self, told: Taken) {
        self.counts.add(&told.outcome);
        let worth_telling = matches!(told.outcome, Became::Held { .. } | Became::Conflict { .. } | Became::Rejected(_));
        if worth_telling && self.told.len() < TOLD {
            self.told.push(told);
        }
    }

    async fn next(&mut self, bar: &indicatif::ProgressBar) -> Outcome {
        let Some(batch) = self.under_way.pop_front() else { return Ok(()) };
        let batch = batch.await.map_err(|e| Failure::Io(e.to_string()))?;
        let batch =
            batch.map_err(|why| Failure::Io(format!("{why}; run it again, what is in the book already is recognised")))?;
        bar.inc(batch.len() as u64);
        batch.into_iter().for_each(|told| self.add(told));
        Ok(())
    }

    async fn finish(&mut self, bar: &indicatif::ProgressBar) -> Outcome {
        while !self.under_way.is_empty() {
            self.next(bar).await?;
        }
        Ok(())
    }

    fn report(&self) -> Outcome {
        for told in &self.told {
            let id = told.id.as_ref().map_or(String::new(), |id| format!(" ({id})"));
            let why = match &told.outcome {
                Became::Held { detail, .. } => detail.clone(),
                Became::Conflict { fields, .. } => {
                    format!("this id means something else already; it differs in {}", fields.join(", "))
                }
                Became::Rejected(rejected) => rejected.to_string(),
                _ => String::new(),
            };
            let place = told.line.map_or_else(|| format!("event {}", told.index + 1), |line| format!("line {line}"));
            eprintln!("{place}{id}: {}: {why}", name_of(&told.outcome));
        }
        let counts = &self.counts;
        let lines = [
            ("posted", counts.posted),
            ("already present", counts.already_present),
            ("evidence", counts.evidence),
            ("held", counts.held),
            ("conflict", counts.conflict),
            ("rejected", counts.rejected),
            ("ignored", counts.ignored),
        ];
        println!("received         {}", counts.received);
        for (name, count) in lines.into_iter().filter(|(_, count)| *count > 0) {
            println!("{name:<16} {count}");
        }
        if counts.rejected > 0 { Err(Failure::Refused(format!("{} events were rejected", counts.rejected))) } else { Ok(()) }
    }
}

/// Whether a file is one JSON text: an array, or an object that goes on after its first line.
fn is_one_text(input: &mut (dyn BufRead + Send), file: &str) -> Result<bool, Failure> {
    let start = input.fill_buf().map_err(|e| Failure::Io(format!("cannot read {file}: {e}")))?.trim_ascii_start();
    let Some(end) = start.iter().position(|byte| *byte == b'\n') else { return Ok(start.first() == Some(&b'[')) };
    let goes_on = serde_json::from_slice::<&serde_json::value::RawValue>(&start[..end]).is_err_and(|e| e.is_eof());
    Ok(start.first() == Some(&b'[') || (start.first() == Some(&b'{') && goes_on))
}
