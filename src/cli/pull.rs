//! `pull`: follows the ledger of a gateway that pushes nothing.

use super::{Failure, Outcome, copy_what_was_booked, open};
use crate::config::{Flags, Settings};
use crate::flow::ingest::Outcome as Became;
use crate::flow::intake::Taken;
use crate::http::wire::{Counts, name_of};
use crate::money::Amount;
use crate::store::OceansTable;
use crate::usage::reading;
use clap::{Args, Subcommand};
use std::time::Duration;

#[derive(Subcommand)]
pub enum Pull {
    /// The table usage_cost_events of Oceans LLM: --database names theirs (sqlite://path or postgres://...), which is only read
    Oceans(Oceans),
}

#[derive(Args)]
pub struct Oceans {
    /// The book's own database [default: FARTHING_DATABASE, DATABASE_URL, or sqlite://farthing.db]
    #[arg(long, value_name = "URL")]
    into: Option<String>,
    /// The source that the rows become events of; each table has a source of its own
    #[arg(long, default_value = "oceans")]
    source: String,
    /// Look again every so many seconds, for as long as it runs
    #[arg(long, value_name = "SECONDS")]
    every: Option<u64>,
}

/// Problems that are told one by one in a round; the rest are only counted.
const TOLD: usize = 20;

impl Pull {
    pub async fn run(self, flags: &Flags) -> Outcome {
        let Pull::Oceans(oceans) = self;
        oceans.run(flags).await
    }
}

impl Oceans {
    async fn run(self, flags: &Flags) -> Outcome {
        let own = self.into.clone().or_else(|| std::env::var("FARTHING_DATABASE").ok());
        let (theirs, flags) = flags.with_database(own.clone());
        let theirs = theirs.filter(|theirs| Some(theirs) != own.as_ref()).ok_or_else(|| {
            Failure::Usage(
                "--database names Oceans' database, such as sqlite:///var/lib/oceans/gateway.db; the book is --into".to_owned(),
            )
        })?;
        let settings = Settings::gather(&flags, None)?;
        let source = reading::text("source", &self.source).map_err(|e| Failure::Usage(e.to_string()))?;
        let (farthing, org) = open(&settings).await?;
        let table = OceansTable::open(&theirs).await?;
        let counts = loop {
            let (mut counts, mut told) = (Counts::default(), 0);
            let (mut computed, mut booked) = (Amount::ZERO, Amount::ZERO);
            let done = farthing.pull_oceans(org, &table, &source, |taken| {
                for taken in taken {
                    counts.add(&taken.outcome);
                    if let (Became::Posted { amount, .. }, Some(claimed)) = (&taken.outcome, taken.claimed) {
                        computed += claimed.amount;
                        booked += *amount;
                    }
                    if told < TOLD && tell(&taken) {
                        told += 1;
                    }
                }
            });
            let done = done.await;
            let new = counts.received - counts.already_present;
            if new > 0 || self.every.is_none() {
                println!(
                    "{} rows: {} posted, {} held, {} evidence, {} in conflict, {} rejected; {} were there already",
                    counts.received,
                    counts.posted,
                    counts.held,
                    counts.evidence,
                    counts.conflict,
                    counts.rejected,
                    counts.already_present
                );
                if computed != booked {
                    println!(
                        "Oceans computed {computed} where {booked} is booked: its roundings and prices come to {}",
                        computed - booked
                    );
                }
            }
            copy_what_was_booked(&farthing, org).await;
            match (self.every, done) {
                // Whoever follows a table waits for a database that is away.
                (Some(_), Err(e)) => eprintln!("farthing: {e}; trying again"),
                (None, done) => {
                    done?;
                    break counts;
                }
                (Some(_), Ok(())) => {}
            }
            tokio::time::sleep(Duration::from_secs(self.every.unwrap_or(30).max(1))).await;
        };
        farthing.store.close().await;
        match counts.rejected {
            0 => Ok(()),
            some => Err(Failure::Refused(format!("{some} rows are no events; farthing rejected list shows them"))),
        }
    }
}

/// Says what is wrong with a row, if something is.
fn tell(taken: &Taken) -> bool {
    let why = match &taken.outcome {
        Became::Held { detail, .. } => detail.clone(),
        Became::Conflict { fields, .. } => format!("it differs in {}", fields.join(", ")),
        Became::Rejected(rejected) => rejected.to_string(),
        _ => return false,
    };
    eprintln!("{}: {}: {why}", taken.id.as_deref().unwrap_or("a row without an id"), name_of(&taken.outcome));
    true
}
