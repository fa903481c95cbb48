//! `held`: what cannot be posted yet, why, and another try.

use super::{Failure, Outcome, open};
use crate::config::Settings;
use crate::id::EventNumber;
use crate::rating::HeldReason;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Held {
    /// List held events with their reasons
    List {
        /// Only this reason
        #[arg(long)]
        reason: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
    /// Rate held events again and post those that have a price now
    Retry {
        /// Only this reason
        #[arg(long)]
        reason: Option<String>,
    },
}

impl Held {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let (farthing, org) = open(settings).await?;
        match self {
            Held::List { reason, limit } => {
                let reason = named(reason.as_deref())?;
                for held in farthing.held(org, reason, EventNumber(0), limit).await? {
                    let event = &held.stored.event;
                    println!("{} {} ({}): {}", event.source, event.id, held.held.reason.name(), held.held.detail);
                }
                let counts = farthing.store.held_counts(org).await?;
                let all: i64 = counts.iter().map(|(_, count)| count).sum();
                let by_reason: Vec<_> = counts.iter().map(|(reason, count)| format!("{count} {}", reason.name())).collect();
                println!("{all} held{}{}", if all > 0 { ": " } else { "" }, by_reason.join(", "));
            }
            Held::Retry { reason } => {
                let retried = farthing.retry_held(org, named(reason.as_deref())?).await?;
                println!("{} tried, {} posted, {} still held", retried.tried, retried.posted, retried.still_held);
            }
        }
        farthing.store.close().await;
        Ok(())
    }
}

fn named(reason: Option<&str>) -> Result<Option<HeldReason>, Failure> {
    let Some(name) = reason else { return Ok(None) };
    let known = HeldReason::ALL.map(HeldReason::name).join(", ");
    HeldReason::named(name).map(Some).ok_or_else(|| Failure::Usage(format!("`{name}` is no reason; known are {known}")))
}
