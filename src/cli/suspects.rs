//! `suspects`: what may have been charged twice, and the decision on it.

use super::{Outcome, open};
use crate::config::Settings;
use crate::id::EventNumber;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Suspects {
    /// List events that look like one that is there already, under another id
    List {
        /// Decided ones too
        #[arg(long)]
        all: bool,
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
    /// It is the same call: take back what the later event was charged
    Accept { suspect: i64 },
    /// They are two calls: keep both charges
    Dismiss { suspect: i64 },
}

impl Suspects {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let (farthing, org) = open(settings).await?;
        match self {
            Suspects::List { all, limit } => {
                for found in farthing.suspects(org, !all, 0, limit).await? {
                    let (event, about) = (&found.event.event, &found.about.event);
                    println!("{}: {} {} looks like {} {}", found.suspect.event, event.source, event.id, about.source, about.id);
                    println!("  {}; {} at {}", found.suspect.why, event.product.model, event.occurred_at);
                }
            }
            Suspects::Accept { suspect } => {
                let entries = farthing.accept_suspect(org, EventNumber(suspect), "command line").await?;
                println!("suspect {suspect} accepted; its event has {} entries now", entries.len());
            }
            Suspects::Dismiss { suspect } => {
                farthing.dismiss_suspect(org, EventNumber(suspect), "command line").await?;
                println!("suspect {suspect} dismissed; the book is as it was");
            }
        }
        farthing.store.close().await;
        Ok(())
    }
}
