//! `report`: a named question of `reports/`, or spend by whatever dimensions. Without a name it says what there is.

use super::{Failure, Outcome, open};
use crate::config::Settings;
use crate::flow::archive::read::Archive;
use crate::flow::now;
use crate::flow::report::{Answer, named_reports};
use crate::report::named::{self, Named};
use crate::report::{Asked, Query, Wrong};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Report {
    /// Which report: spend, or a name that `farthing report` lists
    name: Option<String>,
    /// What to group by, such as user,model or day or label:feature
    #[arg(long, value_delimiter = ',')]
    by: Vec<String>,
    /// What to show, such as amount,share,calls,tokens,per_million_tokens,drift
    #[arg(long, value_delimiter = ',')]
    show: Vec<String>,
    /// From this day or instant on
    #[arg(long)]
    from: Option<String>,
    /// Until before this day or instant
    #[arg(long)]
    until: Option<String>,
    /// Instead of the two: today, last week, this month, last 7 days, 2026-02
    #[arg(long)]
    range: Option<String>,
    /// By when it was booked instead of when it occurred
    #[arg(long)]
    recorded: bool,
    /// The time zone of days and hours, such as Europe/Berlin [default: UTC]
    #[arg(long)]
    tz: Option<String>,
    /// Only what has this value, such as team=search; several of one dimension are alternatives
    #[arg(long = "filter", value_name = "DIMENSION=VALUE")]
    filters: Vec<String>,
    /// The book as it was known then: a day, an instant, or block:N
    #[arg(long)]
    as_of: Option<String>,
    /// Beside each group what it was in the range of the same length before
    #[arg(long)]
    compare: bool,
    /// So many groups; what is left is one line
    #[arg(long, value_name = "N")]
    top: Option<String>,
    /// What is counted: spend, or held (what has no amount yet)
    #[arg(long, value_name = "WHAT")]
    of: Option<String>,
    /// Read the entries one by one, and not the copies of them that are faster to read
    #[arg(long)]
    scan: bool,
    /// Ask the archive of a closed month instead of the database
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// table, json, csv or parquet
    #[arg(long, default_value = "table")]
    format: String,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Report {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let reports = named_reports(settings.reports.as_deref()).map_err(|e| Failure::Usage(e.to_string()))?;
        let Some(name) = &self.name else {
            let print = |report: &Named| println!("{:<16} {}", report.name, report.question);
            std::iter::once(&named::spend()).chain(&reports).for_each(print);
            return Ok(());
        };
        let report = named::find(&reports, name).map_err(Failure::Usage)?;
        let query = report.query(&self.asked()?, now()).map_err(refused)?;
        let answer = self.answer(settings, &query).await?;
        match self.format.as_str() {
            "table" if self.output.is_none() && shows_colours() => self.write(answer.table.to_terminal().as_bytes())?,
            "table" => self.write(answer.table.to_text().as_bytes())?,
            "csv" => self.write(answer.table.to_csv().as_bytes())?,
            "json" => self.write((answer.table.to_json() + "\n").as_bytes())?,
            "parquet" => self.parquet(&answer)?,
            other => return Err(Failure::Usage(format!("`{other}` is no format; known are table, json, csv and parquet"))),
        }
        if self.format == "table" && self.output.is_none() {
            footer(&answer);
            report.caveats.iter().for_each(|caveat| println!("note: {caveat}"));
        }
        Ok(())
    }

    async fn answer(&self, settings: &Settings, query: &Query) -> Result<Answer, Failure> {
        if let Some(directory) = &self.archive {
            let archive = Archive::open(directory).await?;
            let answer = archive.report(query).await;
            archive.close().await;
            return Ok(answer?);
        }
        let (farthing, org) = open(settings).await?;
        let answer = farthing.report(org, query).await;
        farthing.store.close().await;
        Ok(answer?)
    }

    fn asked(&self) -> Result<Asked, Failure> {
        let mut filters = Vec::new();
        for filter in &self.filters {
            let (name, value) = filter.split_once('=').ok_or_else(|| Failure::Usage(format!("write --filter {filter}=VALUE")))?;
            filters.push((name.to_owned(), value.to_owned()));
        }
        Ok(Asked {
            by: self.by.clone(),
            show: self.show.clone(),
            from: self.from.clone(),
            until: self.until.clone(),
            range: self.range.clone(),
            clock: self.recorded.then(|| "recorded".to_owned()),
            tz: self.tz.clone(),
            filters,
            as_of: self.as_of.clone(),
            compare: self.compare.then(|| "previous".to_owned()),
            top: self.top.clone(),
            of: self.of.clone(),
            scan: self.scan.then(|| "true".to_owned()),
        })
    }

    fn write(&self, bytes: &[u8]) -> Outcome {
        use std::io::Write;
        match &self.output {
            Some(path) => std::fs::write(path, bytes).map_err(|e| Failure::Io(format!("cannot write {}: {e}", path.display()))),
            None => match std::io::stdout().write_all(bytes) {
                // Whoever reads has seen enough.
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
                written => written.map_err(|e| Failure::Io(format!("cannot write: {e}"))),
            },
        }
    }

    #[cfg(feature = "polars")]
    fn parquet(&self, answer: &Answer) -> Outcome {
        let Some(path) = &self.output else { return Err(Failure::Usage("Parquet goes to a file; name one with -o".to_owned())) };
        crate::frame::write_parquet(&answer.table, path).map_err(|e| Failure::Io(format!("cannot write {}: {e}", path.display())))
    }

    #[cfg(not(feature = "polars"))]
    fn parquet(&self, _: &Answer) -> Outcome {
        Err(Failure::Usage("this farthing was built without Parquet (the feature polars)".to_owned()))
    }
}

fn shows_colours() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// In the words of the command line.
fn refused(wrong: Wrong) -> Failure {
    let flag = match wrong.parameter {
        "group_by" => "by",
        "as_of" => "as-of",
        other => other,
    };
    Failure::Usage(format!("--{flag}: {}", wrong.why))
}

/// Totals, and what has no amount yet: a table of amounts must not hide it.
fn footer(answer: &Answer) {
    println!();
    for total in &answer.table.totals {
        println!("total {} {} in {} calls", total.amount.with_places(2), total.currency, total.calls);
    }
    if let (true, Some((first, last))) = (answer.table.is_empty(), answer.occurred) {
        println!("nothing was spent there; the book tells of {first} to {last}");
    }
    let held: Vec<_> = answer.held.iter().map(|(reason, count)| format!("{count} {}", reason.name())).collect();
    if !held.is_empty() {
        println!("held and not in these amounts: {}", held.join(", "));
    }
    if answer.conflicts + answer.rejected > 0 {
        println!("{} open conflicts, {} rejected bodies", answer.conflicts, answer.rejected);
    }
    println!("the book up to block {}", answer.block);
}
