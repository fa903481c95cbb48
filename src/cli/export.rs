//! `export`: what is in the book, for other programs; and whether files are still what was exported.

mod entries;
mod focus;
mod verify;

use super::{Failure, Outcome};
use crate::config::Settings;
use crate::flow::export::files::ExportError;
use clap::Subcommand;
pub use verify::say_who_signed;

#[derive(Subcommand)]
pub enum Export {
    /// The entries themselves, every one, as CSV, Parquet, NDJSON or a plain-text accounting journal
    Entries(entries::Entries),
    /// Charges in the vocabulary of FOCUS, the FinOps Open Cost and Usage Specification
    Focus(focus::Focus),
    /// Check exported files against their manifest; no database is needed
    Verify(verify::Verify),
}

impl Export {
    pub async fn run(self, settings: &Settings) -> Outcome {
        match self {
            Export::Entries(entries) => entries.run(settings).await,
            Export::Focus(focus) => focus.run(settings).await,
            Export::Verify(verify) => verify.run(),
        }
    }
}

impl From<ExportError> for Failure {
    fn from(e: ExportError) -> Failure {
        match e {
            ExportError::Flow(e) => e.into(),
            ExportError::File { .. } => Failure::Io(e.to_string()),
            ExportError::Refused(why) => Failure::Refused(why),
            ExportError::Differs { .. } => Failure::Findings(e.to_string()),
        }
    }
}
