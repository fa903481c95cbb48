//! `partitions`: the months in which PostgreSQL keeps entries and events; those of the months to come are made where they are not
//! there.

use super::{Failure, Outcome, open};
use crate::config::Settings;
use crate::flow::now;
use crate::store::MOST_MONTHS_AHEAD;
use clap::Args;

#[derive(Args)]
pub struct Partitions {
    /// Months after this one for which there are to be partitions
    #[arg(long, default_value_t = 3, value_name = "MONTHS", value_parser = clap::value_parser!(u32).range(..=i64::from(MOST_MONTHS_AHEAD)))]
    ahead: u32,
}

impl Partitions {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let (farthing, _) = open(settings).await?;
        if farthing.store.is_sqlite() {
            return Err(Failure::Refused("an embedded database is one file and has no partitions".to_owned()));
        }
        let made = farthing.store.make_months(now().month(), self.ahead).await;
        let partitions = farthing.store.partitions().await;
        farthing.store.close().await;
        let (made, partitions) = (made?, partitions?);
        for partition in partitions {
            println!("{:<20} {:>14} bytes {:>12} rows  {}", partition.table, partition.bytes, partition.rows, partition.bounds);
        }
        println!("{made} partitions were made");
        Ok(())
    }
}
