//! `sheet`: what one team or one person used in a month, as a page that can be sent.

use super::{Failure, Outcome, open};
use crate::config::Settings;
use crate::report::{Dimension, Filter};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

#[derive(Args)]
pub struct Sheet {
    /// Whose team it is about
    #[arg(long, required_unless_present = "user")]
    team: Option<String>,
    /// Whom it is about
    #[arg(long)]
    user: Option<String>,
    /// Which month, such as 2026-10
    #[arg(long)]
    month: String,
    /// The time zone whose month it is, such as Europe/Berlin
    #[arg(long, default_value = "UTC")]
    tz: String,
    /// html or csv
    #[arg(long, default_value = "html")]
    format: String,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Sheet {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let zone = self.tz.parse();
        let zone =
            zone.map_err(|_| Failure::Usage(format!("--tz: `{}` is no IANA time zone, such as Europe/Berlin", self.tz)))?;
        let filter = |dimension, value: &Option<String>| value.clone().map(|value| Filter { dimension, values: vec![value] });
        let filters = [filter(Dimension::Team, &self.team), filter(Dimension::User, &self.user)];
        let (farthing, org) = open(settings).await?;
        let sheet = farthing.sheet(org, &self.month, zone, filters.into_iter().flatten().collect()).await?;
        farthing.store.close().await;
        let page = match self.format.as_str() {
            "html" => sheet.to_html(),
            "csv" => sheet.to_csv(),
            other => return Err(Failure::Usage(format!("--format: `{other}` is no format; known are html and csv"))),
        };
        match &self.output {
            Some(path) => std::fs::write(path, page).map_err(|e| Failure::Io(format!("cannot write {}: {e}", path.display()))),
            None => std::io::stdout().write_all(page.as_bytes()).map_err(|e| Failure::Io(format!("cannot write: {e}"))),
        }
    }
}
