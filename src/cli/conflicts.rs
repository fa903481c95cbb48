//! `conflicts`: ids that mean two things, and the decision between them.

use super::{Outcome, open};
use crate::config::Settings;
use crate::usage::dialect::native;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Conflicts {
    /// List open conflicts with both contents
    List {
        /// Decided ones too
        #[arg(long)]
        all: bool,
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
    /// Book the later content in place of the earlier one
    Accept { conflict: i64 },
    /// Keep the earlier content
    Dismiss { conflict: i64 },
}

impl Conflicts {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let (farthing, org) = open(settings).await?;
        match self {
            Conflicts::List { all, limit } => {
                for found in farthing.conflicts(org, !all, 0, limit).await? {
                    let event = &found.standing.event;
                    println!(
                        "{}: {} {} differs in {}",
                        found.conflict.conflict,
                        event.source,
                        event.id,
                        found.conflict.fields.join(", ")
                    );
                    println!("  stands      {}", native::write(event));
                    println!("  contradicts {}", native::write(&found.contradicting.event));
                }
            }
            Conflicts::Accept { conflict } => {
                let entries = farthing.accept_conflict(org, conflict, "command line").await?;
                println!("conflict {conflict} accepted; its event has {} entries now", entries.len());
            }
            Conflicts::Dismiss { conflict } => {
                farthing.dismiss_conflict(org, conflict, "command line").await?;
                println!("conflict {conflict} dismissed; the book is as it was");
            }
        }
        farthing.store.close().await;
        Ok(())
    }
}
