//! `report`: spend by any of the book's dimensions.

use super::{Failure, Outcome, open};
use crate::config::Settings;
use crate::flow::report::Answer;
use crate::report::{Dimension, ReportQuery};
use crate::time::Instant;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Report {
    /// Which report: spend
    name: String,
    /// What to group by, such as user,model or day
    #[arg(long, default_value = "model", value_delimiter = ',')]
    by: Vec<String>,
    /// From this day or instant on
    #[arg(long)]
    from: Option<String>,
    /// Until before this day or instant
    #[arg(long)]
    until: Option<String>,
    /// The time zone of days and hours, such as Europe/Berlin
    #[arg(long, default_value = "UTC")]
    tz: String,
    /// Only what has this value, such as team=search
    #[arg(long = "filter", value_name = "DIMENSION=VALUE")]
    filters: Vec<String>,
    /// table, json, csv or parquet
    #[arg(long, default_value = "table")]
    format: String,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Report {
    pub async fn run(self, settings: &Settings) -> Outcome {
        if self.name != "spend" {
            return Err(Failure::Usage(format!("there is no report `{}`; known is spend", self.name)));
        }
        let query = self.query()?;
        let (farthing, org) = open(settings).await?;
        let answer = farthing.report(org, &query).await?;
        farthing.store.close().await;
        match self.format.as_str() {
            "table" => self.write(answer.table.to_text().as_bytes())?,
            "csv" => self.write(answer.table.to_csv().as_bytes())?,
            "json" => self.write((answer.table.to_json() + "\n").as_bytes())?,
            "parquet" => self.parquet(&answer)?,
            other => return Err(Failure::Usage(format!("`{other}` is no format; known are table, json, csv and parquet"))),
        }
        if self.format == "table" {
            footer(&answer);
        }
        Ok(())
    }

    fn query(&self) -> Result<ReportQuery, Failure> {
        let dimension = |name: &str| Dimension::named(name.trim()).map_err(Failure::Usage);
        let instant = |text: &Option<String>| {
            let read = |text: &String| Instant::parse_date_or_instant(text).map_err(|e| Failure::Usage(e.to_string()));
            text.as_ref().map(read).transpose()
        };
        let mut filters = Vec::new();
        for filter in &self.filters {
            let (name, value) = filter.split_once('=').ok_or_else(|| Failure::Usage(format!("write --filter {filter}=VALUE")))?;
            filters.push((dimension(name)?, value.to_owned()));
        }
        let no_zone = |_| Failure::Usage(format!("`{}` is no IANA time zone, such as Europe/Berlin", self.tz));
        Ok(ReportQuery {
            by: self.by.iter().map(|name| dimension(name)).collect::<Result<_, _>>()?,
            from: instant(&self.from)?,
            until: instant(&self.until)?,
            zone: self.tz.parse().map_err(no_zone)?,
            filters,
        })
    }

    fn write(&self, bytes: &[u8]) -> Outcome {
        use std::io::Write;
        match &self.output {
            Some(path) => std::fs::write(path, bytes).map_err(|e| Failure::Io(format!("cannot write {}: {e}", path.display()))),
            None => std::io::stdout().write_all(bytes).map_err(|e| Failure::Io(format!("cannot write: {e}"))),
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

/// Totals, and what has no amount yet: a table of amounts must not hide it.
fn footer(answer: &Answer) {
    println!();
    for (currency, amount, calls) in answer.table.totals() {
        println!("total {} {currency} in {calls} calls", amount.with_places(2));
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
