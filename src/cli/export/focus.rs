//! `export focus`: a file of charges, and beside it what the specification wants to be told about the file. It appears under
//! its name when it is complete; until then it is called `.part`.

use crate::cli::{Failure, Outcome, open, progress};
use crate::config::Settings;
use crate::flow::focus::Wish;
use crate::flow::{now, whole};
use crate::focus::{Grain, Version, metadata};
use crate::time::{Instant, Month};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Focus {
    /// Charges from this day or instant on
    #[arg(long)]
    from: Option<String>,
    /// Charges until before this day or instant
    #[arg(long)]
    until: Option<String>,
    /// Only what is billed in this month, such as 2026-10; corrections of closed months are billed later than they occurred
    #[arg(long, value_name = "MONTH")]
    billing_period: Option<String>,
    /// Only what this team bears
    #[arg(long)]
    team: Option<String>,
    /// Which version of FOCUS: 1.2, 1.3 or 1.4
    #[arg(long, default_value = "1.2")]
    focus_version: String,
    /// How long charge periods are: hour or day
    #[arg(long, default_value = "day")]
    grain: String,
    /// csv or parquet
    #[arg(long, default_value = "csv")]
    format: String,
    /// The file to write; focus-metadata.json is written beside it
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
}

impl Focus {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let wish = self.wish()?;
        let version: Version = self.focus_version.parse().map_err(|e| Failure::Usage(format!("--focus-version: {e}")))?;
        let part = self.output.with_added_extension("part");
        let (farthing, org) = open(settings).await?;
        let file = whole::alone(&part).map_err(|e| unwritable(&part, e))?;
        let bar = progress(None, "{spinner} {human_pos} rows in {elapsed}");
        let written = match self.format.as_str() {
            "csv" => farthing.focus_as_csv(org, &wish, version, &part, |rows| bar.inc(rows)).await.map_err(Failure::from),
            "parquet" if !crate::HAS_PARQUET => {
                Err(Failure::Usage("this farthing was built without Parquet (the feature polars)".to_owned()))
            }
            "parquet" => farthing.focus_as_parquet(org, &wish, version, &part).await.map_err(Failure::from),
            other => Err(Failure::Usage(format!("--format: `{other}` is no format; known are csv and parquet"))),
        };
        bar.finish_and_clear();
        farthing.store.close().await;
        let exported = match written {
            Ok(exported) => exported,
            Err(failure) => {
                let _ = std::fs::remove_file(&part);
                return Err(failure);
            }
        };
        whole::appear(&file, &part, &self.output).map_err(|e| unwritable(&self.output, e))?;
        let beside = self.output.with_file_name("focus-metadata.json");
        std::fs::write(&beside, metadata::metadata(version, now())).map_err(|e| unwritable(&beside, e))?;
        println!(
            "{} rows of {} entries, the book up to block {}, in {} (FOCUS {version})",
            exported.rows,
            exported.entries,
            exported.block,
            self.output.display()
        );
        Ok(())
    }

    fn wish(&self) -> Result<Wish, Failure> {
        let usage = |flag: &str, e: String| Failure::Usage(format!("--{flag}: {e}"));
        let instant = |flag: &str, text: &Option<String>| {
            let read = text.as_deref().map(Instant::parse_date_or_instant).transpose();
            read.map_err(|e| usage(flag, e.to_string()))
        };
        let month = self.billing_period.as_deref().map(str::parse::<Month>).transpose();
        let grain: Grain = self.grain.parse().map_err(|e| usage("grain", e))?;
        let wish = Wish {
            from: instant("from", &self.from)?,
            until: instant("until", &self.until)?,
            billed_in: month.map_err(|e| usage("billing-period", e.to_string()))?,
            grain,
            team: self.team.clone(),
        };
        wish.check().map_err(|wrong| usage(wrong.parameter, wrong.why))?;
        Ok(wish)
    }
}

fn unwritable(path: &Path, e: impl std::fmt::Display) -> Failure {
    Failure::Io(format!("cannot write {}: {e}", path.display()))
}
