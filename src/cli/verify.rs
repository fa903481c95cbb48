//! `verify`: every block against its hash, and with `--deep` everything that was sealed against what it should be. What it
//! finds broken it names, and ends with 2. It only reads, so it runs beside a server.

use super::{Failure, Outcome, open_read_only, progress};
use crate::config::Settings;
use crate::flow::archive::read::verify_with;
use crate::flow::verify::{Broken, Deepened};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Verify {
    /// Rate every charge again, hold corrections, lists, keys and segments against the book, and check the database file
    #[arg(long)]
    deep: bool,
    /// The archive of a month whose rows were taken out of the database; name those of all such months
    #[arg(long, value_name = "DIR", conflicts_with = "deep")]
    archive: Vec<PathBuf>,
}

impl Verify {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let (farthing, org) = open_read_only(settings).await?;
        let bar = progress(Some(0), "{wide_bar} block {human_pos} of {human_len}, {eta} left");
        let show = |block: crate::id::BlockNumber, head: crate::id::BlockNumber| {
            bar.set_length(head.0 as u64);
            bar.set_position(block.0 as u64);
        };
        let verified = match (self.deep, self.archive.is_empty()) {
            (true, _) => farthing.verify_deep(org, show).await?,
            (false, true) => farthing.verify(org, show).await?,
            (false, false) => verify_with(&farthing, org, &self.archive, show).await?,
        };
        bar.finish_and_clear();
        farthing.store.close().await;
        let verified = verified.map_err(|broken| Failure::Findings(told(&broken)))?;
        println!("{} blocks, {} events, {} entries: every hash fits", verified.blocks, verified.events, verified.entries);
        if let Some(deepened) = &verified.deep {
            tell(deepened);
        }
        println!("head {}", verified.head);
        Ok(())
    }
}

fn told(broken: &Broken) -> String {
    let block = (broken.block.0 > 0).then(|| format!("block {}", broken.block));
    let place: Vec<String> = block.into_iter().chain(broken.record.clone()).collect();
    if place.is_empty() { broken.why.clone() } else { format!("{}: {}", place.join(", "), broken.why) }
}

fn tell(deepened: &Deepened) {
    println!("{} charges rated again: all as they were booked", deepened.rated - deepened.otherwise_in_all - deepened.erased);
    if deepened.erased > 0 {
        println!("{} charges cannot be compared: a name that decided was erased", deepened.erased);
    }
    for otherwise in &deepened.otherwise {
        let (entry, block) = (otherwise.entry, otherwise.block);
        println!("block {block}, entry {entry}: rated differently by rater {}: {}", otherwise.rater, otherwise.why);
    }
    let more = deepened.otherwise_in_all - deepened.otherwise.len() as i64;
    if more > 0 {
        println!("... and {more} more that other raters made otherwise");
    }
    for (currency, amount) in &deepened.moved {
        println!("{amount} {currency} moved; all accounts together hold 0");
    }
}
