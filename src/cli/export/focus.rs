//! `export focus`: a file of charges, and beside it what the specification wants to be told about the file. It appears under
//! its name when it is complete; until then it is called `.part`.

use crate::cli::{Failure, Outcome, open, progress};
use crate::config::Settings;
use crate::flow::focus::{Exported, Wish};
use crate::flow::{Farthing, now, whole};
use crate::focus::{Grain, Row, Version, csv, metadata};
use crate::id::Org;
use crate::time::{Instant, Month};
use clap::Args;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

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
        let written = match self.format.as_str() {
            "csv" => write_csv(&farthing, org, &wish, version, (&file, &part)).await,
            "parquet" => write_parquet(&farthing, org, &wish, version, &part).await,
            other => Err(Failure::Usage(format!("--format: `{other}` is no format; known are csv and parquet"))),
        };
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

/// Reads the book and writes what it says, at the same time.
async fn written(
    farthing: &Farthing,
    org: Org,
    wish: &Wish,
    mut write: impl FnMut(&[Row]) -> Result<(), Failure>,
) -> Result<Exported, Failure> {
    let bar = progress(None, "{spinner} {human_pos} rows in {elapsed}");
    let (to, mut rows) = mpsc::channel::<Vec<Row>>(4);
    let writing = async {
        while let Some(some) = rows.recv().await {
            write(&some)?;
            bar.inc(some.len() as u64);
        }
        Ok::<(), Failure>(())
    };
    let reading = async { farthing.focus(org, wish, to).await.map_err(Failure::from) };
    let (exported, ()) = tokio::try_join!(reading, writing)?;
    bar.finish_and_clear();
    Ok(exported)
}

async fn write_csv(
    farthing: &Farthing,
    org: Org,
    wish: &Wish,
    version: Version,
    (file, path): (&File, &Path),
) -> Result<Exported, Failure> {
    let mut file = BufWriter::with_capacity(1 << 20, file);
    file.write_all(csv::header(version).as_bytes()).map_err(|e| unwritable(path, e))?;
    let mut text = String::new();
    let exported = written(farthing, org, wish, |rows| {
        text.clear();
        csv::write(rows, version, &mut text);
        file.write_all(text.as_bytes()).map_err(|e| unwritable(path, e))
    });
    let exported = exported.await?;
    file.flush().map_err(|e| unwritable(path, e))?;
    Ok(exported)
}

#[cfg(feature = "polars")]
async fn write_parquet(farthing: &Farthing, org: Org, wish: &Wish, version: Version, path: &Path) -> Result<Exported, Failure> {
    use crate::frame::focus::{Writer, write_received};
    let writer = Writer::new(path, version).map_err(|e| unwritable(path, e))?;
    let (to, rows) = mpsc::channel(4);
    let writing = tokio::task::spawn_blocking(move || write_received(rows, writer));
    let exported = farthing.focus(org, wish, to).await;
    // If writing broke off, that is why reading did.
    writing.await.map_err(|e| unwritable(path, e))?.map_err(|e| unwritable(path, e))?;
    Ok(exported?)
}

#[cfg(not(feature = "polars"))]
async fn write_parquet(_: &Farthing, _: Org, _: &Wish, _: Version, _: &Path) -> Result<Exported, Failure> {
    Err(Failure::Usage("this farthing was built without Parquet (the feature polars)".to_owned()))
}

fn unwritable(path: &Path, e: impl std::fmt::Display) -> Failure {
    Failure::Io(format!("cannot write {}: {e}", path.display()))
}
