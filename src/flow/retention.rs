//! What is kept for a while: what was received and is no part of a book, as it came. Rejected bodies, bodies of fetched price lists,
//! notices that were told and runs of jobs are forgotten when they are old enough. Whatever a block covers stays: events and the
//! unknown fields in them, entries, and statements, whose hash is in the chain.

use crate::flow::{Farthing, FlowError};
use crate::id::Org;
use crate::time::Instant;

/// For how many days what was received is kept as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Bodies of what was no event, from the last time they were sent.
    pub rejected_days: u32,
    /// Bodies of price lists, from the last look that saw them.
    pub fetched_days: u32,
}

impl Default for Kept {
    fn default() -> Kept {
        // Over a year, so that a list can be held against that of a year ago.
        Kept { rejected_days: 30, fetched_days: 400 }
    }
}

/// Days that notices are kept, and runs of jobs.
const NOTICE_DAYS: u32 = 90;
const RUN_DAYS: u32 = 400;

/// How much was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    pub rejected: u64,
    pub fetched: u64,
    pub notices: u64,
    pub runs: u64,
}

impl Farthing {
    /// Forgets what is older than it is kept for. Who comes second finds nothing left to do.
    pub async fn forget(&self, kept: Kept, now: Instant) -> Result<Forgotten, FlowError> {
        let mut forgotten = self.forget_shared(kept, now).await?;
        for (org, _) in self.store.orgs().await? {
            let of_org = self.forget_of(org, kept, now).await?;
            forgotten.rejected += of_org.rejected;
            forgotten.runs += of_org.runs;
        }
        Ok(forgotten)
    }

    /// What an org was sent, and what was done for it.
    pub async fn forget_of(&self, org: Org, kept: Kept, now: Instant) -> Result<Forgotten, FlowError> {
        Ok(Forgotten {
            rejected: self.store.forget_rejected_before(org, days_before(now, kept.rejected_days)).await?,
            runs: self.store.forget_runs_before(org, days_before(now, RUN_DAYS)).await?,
            ..Forgotten::default()
        })
    }

    /// What is of no org.
    pub async fn forget_shared(&self, kept: Kept, now: Instant) -> Result<Forgotten, FlowError> {
        Ok(Forgotten {
            fetched: self.store.forget_fetched_before(days_before(now, kept.fetched_days)).await?,
            notices: self.store.forget_notices_before(days_before(now, NOTICE_DAYS)).await?,
            ..Forgotten::default()
        })
    }
}

/// So many days before an instant; however many they are, the answer is one that can be written.
pub(crate) fn days_before(now: Instant, days: u32) -> Instant {
    // A hundred centuries: nothing is as old, and whatever prints an instant or looks it up on a clock knows it.
    let days = i64::from(days.min(MOST_DAYS));
    Instant::from_micros(now.micros().saturating_sub(days * 86_400_000_000))
}

const MOST_DAYS: u32 = 3_652_500;

impl std::fmt::Display for Forgotten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Forgotten { rejected, fetched, notices, runs } = self;
        let counts = [(rejected, "rejected bodies"), (fetched, "fetched lists"), (notices, "notices"), (runs, "runs of jobs")];
        let said: Vec<String> =
            counts.into_iter().filter(|(count, _)| **count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if said.is_empty() { f.write_str("nothing was old enough") } else { write!(f, "{} forgotten", said.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_days_than_there_ever_were_are_before_everything() {
        let now = Instant::parse("2026-10-05T06:00:00Z").unwrap();
        assert_eq!(days_before(now, 5).to_string(), "2026-09-30T06:00:00Z");
        assert!(days_before(now, u32::MAX) < Instant::parse("0001-01-01T00:00:00Z").unwrap());
        assert!(!days_before(now, u32::MAX).to_string().is_empty());
    }
}
