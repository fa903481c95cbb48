//! `reconcile show`: a reconciliation on one page, of a run, a month or any days, to read, to send or to load.

use super::super::{Failure, Outcome, open};
use crate::config::Settings;
use crate::flow::reconcile::page::{Range, Shown};
use crate::id::BlockNumber;
use crate::report::reconciliation::Page;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

#[derive(Args)]
pub struct Show {
    /// A run, as `farthing reconcile` names it
    run: Option<String>,
    /// Or all days of a month that statements tell of, such as 2026-11
    #[arg(long)]
    month: Option<String>,
    /// Or from this UTC day on
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Before this UTC day
    #[arg(long, value_name = "DAY")]
    until: Option<String>,
    /// The key or account whose statements are read [default: those of all]
    #[arg(long)]
    account: Option<String>,
    /// The book up to this block instead of all of it
    #[arg(long, value_name = "N")]
    block: Option<i64>,
    /// A difference up to this amount is nothing to act upon
    #[arg(long, value_name = "AMOUNT")]
    tolerance: Option<String>,
    /// table, html, json, csv or parquet; the last two have every difference
    #[arg(long, default_value = "table")]
    format: String,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Show {
    pub async fn run(self, settings: &Settings) -> Outcome {
        if !matches!(self.format.as_str(), "table" | "html" | "json" | "csv" | "parquet") {
            let why = format!("--format: `{}` is no format; known are table, html, json, csv and parquet", self.format);
            return Err(Failure::Usage(why));
        }
        let rest = Range {
            account: self.account.clone(),
            block: self.block.map(BlockNumber),
            tolerance: self.tolerance.clone(),
            ..Range::default()
        };
        let ends = [self.from.as_deref(), self.until.as_deref()];
        let shown = Shown::asked(self.run.clone(), self.month.as_deref(), ends, rest);
        let shown = shown.map_err(|why| Failure::Usage(format!("--{why}")))?;
        let (farthing, org) = open(settings).await?;
        let page = farthing.reconciliation_page(org, &shown).await;
        farthing.store.close().await;
        self.write(&page?)
    }

    fn write(&self, page: &Page) -> Outcome {
        let text = match self.format.as_str() {
            "html" => page.to_html(),
            "json" => format!("{:#}\n", page.to_json()),
            "csv" => page.to_table().to_csv(),
            "parquet" => return self.write_parquet(page),
            _ => page.to_text(),
        };
        match &self.output {
            Some(path) => std::fs::write(path, text).map_err(|e| Failure::Io(format!("cannot write {}: {e}", path.display()))),
            None => std::io::stdout().write_all(text.as_bytes()).map_err(|e| Failure::Io(format!("cannot write: {e}"))),
        }
    }

    #[cfg(feature = "polars")]
    fn write_parquet(&self, page: &Page) -> Outcome {
        let Some(path) = &self.output else { return Err(Failure::Usage("Parquet goes to a file; name one with -o".to_owned())) };
        let written = crate::frame::write_parquet(&page.to_table(), path);
        written.map_err(|e| Failure::Io(format!("cannot write {}: {e}", path.display())))
    }

    #[cfg(not(feature = "polars"))]
    fn write_parquet(&self, _: &Page) -> Outcome {
        Err(Failure::Usage("this farthing was built without Parquet (the feature polars)".to_owned()))
    }
}
