//! `rebuild`: what is derived from the book, made again from it.

use super::{Failure, Outcome, open, progress};
use crate::config::Settings;
use crate::flow::Farthing;
use crate::id::{BlockNumber, Org};
use crate::report::Table;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Rebuild {
    /// Delete the copies in columns, write them again, and prove that they say what those before them said, and what the book says;
    /// copies of what was taken out of the database stay
    Segments,
}

impl Rebuild {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let Rebuild::Segments = self;
        let (farthing, org) = open(settings).await?;
        let block = farthing.store.head(org).await?.block;
        let before = match farthing.segments_until(org, i64::MAX).await?.is_empty() {
            true => None,
            false => Some(answers(&farthing, org, block, false).await?),
        };
        let bar = progress(Some(0), "{wide_bar} entry {human_pos} of {human_len}, {eta} left");
        let copied = farthing.rebuild_segments(org, |until, head| {
            bar.set_length(head as u64);
            bar.set_position(until as u64);
        });
        let copied = copied.await?;
        bar.finish_and_clear();
        let proved = prove(&farthing, org, block).await;
        if proved.is_err() {
            // Nobody is to be told by what is wrong; the next copying makes them anew.
            farthing.drop_segments(org).await?;
        }
        farthing.store.close().await;
        let now = proved?;
        let lines: usize = now.iter().map(Table::len).sum();
        println!("{} segments of {} entries; they add up to the book in {lines} lines", copied.segments, copied.entries);
        match before {
            Some(before) if before != now => Err(Failure::Findings(
                "the copies that were there said something else than the book; these take their place".to_owned(),
            )),
            Some(_) => {
                println!("the copies that were there said the same");
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Asks copies and entries the same of one block; answers with what both said.
async fn prove(farthing: &Farthing, org: Org, block: BlockNumber) -> Result<Vec<Table>, Failure> {
    let there = farthing.segments_until(org, i64::MAX).await?.len();
    let (copies, entries) = (answers(farthing, org, block, false).await?, answers(farthing, org, block, true).await?);
    if copies != entries {
        return Err(Failure::Findings("what is in the segments is not what is in the book".to_owned()));
    }
    // One that cannot be read is not in the way of a report: the book would have been held against itself.
    match farthing.segments_until(org, i64::MAX).await?.len() == there {
        true => Ok(copies),
        false => Err(Failure::Findings("a segment could not be read back".to_owned())),
    }
}

/// What was taken out can be asked of nothing but copies.
async fn answers(farthing: &Farthing, org: Org, block: BlockNumber, scan: bool) -> Result<Vec<Table>, Failure> {
    let from = farthing.whole_since(org).await?;
    Ok(farthing.answers(org, from, block, scan).await?)
}
