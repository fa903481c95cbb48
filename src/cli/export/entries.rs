//! `export entries`: a directory of parts that can be gone on with, one file, or a stream on standard output.

use super::super::{Failure, Outcome, open, progress};
use crate::config::Settings;
use crate::export::accounting::{Grain, Manner};
use crate::export::manifest::Manifest;
use crate::export::{Format, Notation};
use crate::flow::export::files::{Wish, asked};
use crate::flow::export::{PARQUET, Prefix, Question};
use crate::id::BlockNumber;
use crate::report::{Clock, range};
use crate::time::Instant;
use chrono_tz::Tz;
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Entries {
    /// From this day or instant on
    #[arg(long)]
    from: Option<String>,
    /// Until before this day or instant
    #[arg(long)]
    until: Option<String>,
    /// Instead of the two: all that counts in this month, whenever it occurred, such as 2026-10
    #[arg(long, value_name = "MONTH", conflicts_with_all = ["from", "until"])]
    period: Option<String>,
    /// Which of an entry's instants counts: occurred or recorded
    #[arg(long, default_value = "occurred")]
    clock: String,
    /// The book up to this block instead of all of it
    #[arg(long, value_name = "N")]
    block: Option<i64>,
    /// csv, parquet, ndjson, beancount, ledger or hledger
    #[arg(long, default_value = "csv")]
    format: String,
    /// What becomes one transaction of a journal: a day between two accounts, or each entry
    #[arg(long, default_value = "day")]
    grain: String,
    /// Rows of each file of a directory
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows_per_part: u64,
    /// A directory for parts, a file (a name with an ending), or - for standard output
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
}

enum Place {
    Directory,
    File,
    /// What cannot be renamed to, such as a pipe.
    Stream,
    Output,
}

impl Entries {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let format = Format::named(&self.format).map_err(|why| Failure::Usage(format!("--format: {why}")))?;
        let grain = Grain::named(&self.grain).map_err(|why| Failure::Usage(format!("--grain: {why}")))?;
        let question = self.question()?;
        let place = self.place(format)?;
        let rows_per_part = matches!(place, Place::Directory).then_some(self.rows_per_part);
        let asked = asked(&settings.org, &question, format, grain, rows_per_part);
        let clock = question.clock;
        let instant = clock.name();
        format.notation(Manner::default(), PARQUET).map_err(Failure::Usage)?;
        let heading = |prefix: &Prefix| {
            format!("entries of {} up to block {}, hash {}, by when they were {instant}", settings.org, prefix.block, prefix.hash)
        };
        let notation = |prefix: &Prefix| -> Box<dyn Notation> {
            let manner = Manner { grain, clock, heading: heading(prefix) };
            format.notation(manner, PARQUET).expect("it was made before")
        };
        let wish = Wish { question, asked, extension: format.extension(), notation: &notation };

        let (farthing, org) = open(settings).await?;
        let bar = progress(Some(0), "{wide_bar} entry {human_pos} of {human_len}, {eta} left");
        let tell = |(read, all)| {
            bar.set_length(all);
            bar.set_position(read);
        };
        let manifest = match place {
            Place::Directory => farthing.export_to_directory(org, &wish, &self.output, tell).await,
            Place::File => farthing.export_to_file(org, &wish, &self.output, tell).await,
            Place::Output => farthing.export_to_writer(org, &wish, Box::new(std::io::stdout()), tell).await,
            Place::Stream => farthing.export_to_writer(org, &wish, Box::new(stream(&self.output)?), tell).await,
        };
        bar.finish_and_clear();
        farthing.store.close().await;
        eprintln!("{}", told(&manifest?));
        Ok(())
    }

    fn question(&self) -> Result<Question, Failure> {
        let end = |flag: &str, text: &Option<String>| -> Result<Option<Instant>, Failure> {
            let read = |text: &String| range::end(text, Tz::UTC).map_err(|why| Failure::Usage(format!("--{flag}: {why}")));
            text.as_ref().map(read).transpose()
        };
        let clock = Clock::named(&self.clock).map_err(|why| Failure::Usage(format!("--clock: {why}")))?;
        let block = self.block.map(BlockNumber);
        let period = self.period.as_deref().map(str::parse).transpose().map_err(|e| Failure::Usage(format!("--period: {e}")))?;
        Ok(Question { from: end("from", &self.from)?, until: end("until", &self.until)?, clock, period, team: None, block })
    }

    fn place(&self, format: Format) -> Result<Place, Failure> {
        let is_journal = matches!(format, Format::Journal(_));
        match &self.output {
            path if path == Path::new("-") => Ok(Place::Output),
            path if path.exists() && !path.is_dir() && !path.is_file() => Ok(Place::Stream),
            path if path.is_file() || (!path.is_dir() && path.extension().is_some()) => Ok(Place::File),
            path if is_journal => {
                let (path, extension) = (path.display(), format.extension());
                Err(Failure::Usage(format!("a journal is one file; name one, such as {path}/farthing.{extension}")))
            }
            _ => Ok(Place::Directory),
        }
    }
}

fn stream(path: &Path) -> Result<std::fs::File, Failure> {
    let opened = std::fs::File::options().write(true).open(path);
    opened.map_err(|e| Failure::Io(format!("cannot write to {}: {e}", path.display())))
}

/// What was exported, in words; beside the data, so that those can go into a pipe.
fn told(manifest: &Manifest) -> String {
    let mut told = format!("{} entries of the book up to block {}", manifest.rows, manifest.book.block);
    for sum in &manifest.sums {
        told += &format!("\n  {:<10} {} {} in {} entries, {} calls", sum.kind, sum.amount, sum.currency, sum.rows, sum.calls);
    }
    told
}
