//! `export`: what the book holds, as files for other programs.

mod focus;

use super::Outcome;
use crate::config::Settings;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Export {
    /// Charges in the vocabulary of FOCUS, the FinOps Open Cost and Usage Specification
    Focus(focus::Focus),
}

impl Export {
    pub async fn run(self, settings: &Settings) -> Outcome {
        match self {
            Export::Focus(focus) => focus.run(settings).await,
        }
    }
}
