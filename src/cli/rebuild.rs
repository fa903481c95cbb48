//! `rebuild`: what is derived from the book, made again from it.

use super::{Failure, Outcome, open, progress};
use crate::config::Settings;
use crate::flow::Farthing;
use crate::id::Org;
use crate::report::{AsOf, Dimension, Measure, Query};
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Rebuild {
    /// Delete the copies in columns, write them again, and prove that they add up to the book
    Segments,
}

impl Rebuild {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let Rebuild::Segments = self;
        let (farthing, org) = open(settings).await?;
        let bar = progress(Some(0), "{wide_bar} entry {human_pos} of {human_len}, {eta} left");
        let copied = farthing.rebuild_segments(org, |until, head| {
            bar.set_length(head as u64);
            bar.set_position(until as u64);
        });
        let copied = copied.await?;
        bar.finish_and_clear();
        let proved = prove(&farthing, org).await;
        if proved.is_err() {
            // Nobody is to be told by what is wrong; the next copying makes them anew.
            farthing.drop_segments(org).await?;
        }
        farthing.store.close().await;
        let lines = proved?;
        println!("{} segments of {} entries; they add up to the book in {lines} lines", copied.segments, copied.entries);
        Ok(())
    }
}

/// Asks copies and entries the same of one block: by all that a whole entry has of numbers, and by meter.
async fn prove(farthing: &Farthing, org: Org) -> Result<usize, Failure> {
    use Dimension::{Kind, Meter, Model, Period, Team, User};
    use Measure::{Amount, CacheSavings, Calls, Drift, Entries, List, Quantity, Rated, Reported, Tokens};
    let as_of = Some(AsOf::Block(farthing.store.head(org).await?.block));
    let questions = [
        (vec![Kind, Period, Team, User, Model], vec![Amount, Calls, Entries, Tokens, List, Rated, Reported, Drift, CacheSavings]),
        (vec![Kind, Model, Meter], vec![Amount, Quantity, Tokens]),
    ];
    let there = farthing.segments_until(org, i64::MAX).await?.len();
    let mut lines = 0;
    for (by, show) in questions {
        let copies = Query { by, show, as_of, ..Query::default() };
        let entries = Query { scan: true, ..copies.clone() };
        let (copies, entries) = (farthing.report(org, &copies).await?, farthing.report(org, &entries).await?);
        if copies.table != entries.table {
            return Err(Failure::Findings("what is in the segments is not what is in the book".to_owned()));
        }
        lines += copies.table.len();
    }
    // One that cannot be read is not in the way of a report: the book would have been held against itself.
    match farthing.segments_until(org, i64::MAX).await?.len() == there {
        true => Ok(lines),
        false => Err(Failure::Findings("a segment could not be read back".to_owned())),
    }
}
