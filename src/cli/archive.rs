//! `archive`: a closed month as files that tell of it without the database; and whether such files still prove it.

use super::{Failure, Outcome, open, progress};
use crate::config::Settings;
use crate::flow::archive::read;
use crate::id::BlockNumber;
use crate::time::Month;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Archive {
    /// The month, which must be closed, such as 2026-10
    #[arg(long, value_name = "MONTH", required = true)]
    period: Option<Month>,
    /// The directory of this month's archive
    #[arg(long, value_name = "DIR", required = true)]
    to: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Check an archive against its manifest, its chain of blocks and its closing; no database is needed
    Verify(Verify),
}

#[derive(Args)]
struct Verify {
    /// The directory of one month's archive
    directory: PathBuf,
    /// The public key that must have signed it, in hexadecimal
    #[arg(long, value_name = "KEY")]
    signed_by: Option<String>,
}

impl Archive {
    pub async fn run(self, settings: &Settings) -> Outcome {
        match (self.command, self.period, self.to) {
            (Some(Command::Verify(verify)), ..) => verify.run().await,
            (None, Some(month), Some(directory)) => {
                let (farthing, org) = open(settings).await?;
                let bar = progress(Some(0), "{wide_bar} block {human_pos} of {human_len}, {eta} left");
                let archived = farthing.archive(org, month, &directory, |block, last| {
                    bar.set_length(last.0 as u64);
                    bar.set_position(block.0 as u64);
                });
                let archived = archived.await;
                bar.finish_and_clear();
                farthing.store.close().await;
                let manifest = archived?;
                let (entries, block) = (manifest.rows, manifest.book.block);
                println!("{month}: {entries} entries in {}, up to block {block}", directory.display());
                Ok(())
            }
            _ => Err(Failure::Usage("write archive --period MONTH --to DIR, or archive verify DIR".to_owned())),
        }
    }
}

impl Verify {
    async fn run(self) -> Outcome {
        let bar = progress(Some(0), "{wide_bar} block {human_pos} of {human_len}, {eta} left");
        let verified = read::verify(&self.directory, |block: BlockNumber, last: BlockNumber| {
            bar.set_length(last.0 as u64);
            bar.set_position(block.0 as u64);
        });
        let verified = verified.await;
        bar.finish_and_clear();
        let (manifest, closing, proved) = verified?;
        let (first, last) = proved.blocks;
        println!("{} events and {} entries in blocks {first} to {last}: every hash fits", proved.events, proved.entries);
        println!("the first block follows {}", proved.follows);
        println!("the last one is {}", proved.hash);
        let read::Brought { names, owners, products, events } = proved.brought;
        if proved.blocks.0.0 > 1 {
            println!(
                "not proved by these files alone: {names} names, {owners} owners, {products} products and {events} events of blocks before \
                 the first one; `farthing verify --archive` holds them against the book"
            );
        }
        println!(
            "{}: {} entries, as it was closed by {} at {}",
            closing.closing, manifest.rows, closing.author, closing.closed_at
        );
        for sum in &proved.sums {
            println!("{} {}s: {} {}", sum.rows, sum.kind, sum.amount, sum.currency);
        }
        super::export::say_who_signed(manifest.signature.as_ref(), self.signed_by.as_deref())
    }
}
