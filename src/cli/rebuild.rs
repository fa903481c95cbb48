//! `rebuild`: what is derived from the book, made again from it.

use super::{Failure, Outcome, open, progress};
use crate::config::Settings;
use crate::report::{Dimension, Measure, Query};
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
        // The same question to both, by all that decides a sum.
        let show = vec![Measure::Amount, Measure::Calls, Measure::Entries, Measure::Tokens, Measure::List, Measure::Drift];
        let copies = Query { by: vec![Dimension::Kind, Dimension::Period, Dimension::Model], show, ..Query::default() };
        let entries = Query { scan: true, ..copies.clone() };
        let (copies, entries) = (farthing.report(org, &copies).await?, farthing.report(org, &entries).await?);
        farthing.store.close().await;
        if copies.table != entries.table {
            return Err(Failure::Findings("what is in the segments is not what is in the book".to_owned()));
        }
        println!(
            "{} segments of {} entries; they add up to the book in {} lines",
            copied.segments,
            copied.entries,
            copies.table.len()
        );
        Ok(())
    }
}
