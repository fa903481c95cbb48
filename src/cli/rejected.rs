//! `rejected`: what was sent and is no event, and another try.

use super::{Outcome, open};
use crate::config::Settings;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Rejected {
    /// List rejected bodies with what is wrong with them
    List {
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
    /// Read rejected bodies again
    Retry,
}

impl Rejected {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let (farthing, org) = open(settings).await?;
        match self {
            Rejected::List { limit } => {
                for body in farthing.store.rejected(org, "", limit).await? {
                    let id = body.event_id.map_or(String::new(), |id| format!(" ({id})"));
                    println!(
                        "{}{id}: {}: {} [{} times, {} bytes]",
                        body.received_at, body.field, body.detail, body.times, body.size
                    );
                }
                println!("{} rejected", farthing.store.rejected_count(org).await?);
            }
            Rejected::Retry => {
                let mended = farthing.retry_rejected(org).await?;
                println!("{} tried, {} accepted, {} still rejected", mended.tried, mended.accepted, mended.still_rejected);
            }
        }
        farthing.store.close().await;
        Ok(())
    }
}
