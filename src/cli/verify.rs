//! `verify`: every block against its hash. What it finds broken it names, and ends with 2.

use super::{Failure, Outcome, open, progress};
use crate::config::Settings;
use clap::Args;

#[derive(Args)]
pub struct Verify {}

impl Verify {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let (farthing, org) = open(settings).await?;
        let bar = progress(Some(0), "{wide_bar} block {human_pos} of {human_len}, {eta} left");
        let verified = farthing.verify(org, |block, head| {
            bar.set_length(head.0 as u64);
            bar.set_position(block.0 as u64);
        });
        let verified = verified.await?;
        bar.finish_and_clear();
        farthing.store.close().await;
        match verified {
            Ok(verified) => {
                println!("{} blocks, {} events, {} entries: every hash fits", verified.blocks, verified.events, verified.entries);
                println!("head {}", verified.head);
                Ok(())
            }
            Err(broken) => {
                let record = broken.record.map_or(String::new(), |record| format!(", {record}"));
                Err(Failure::Findings(format!("block {}{record}: {}", broken.block, broken.why)))
            }
        }
    }
}
