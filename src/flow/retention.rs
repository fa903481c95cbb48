//! What is kept for a while: what was received and is no part of a book, as it came. Rejected bodies, bodies of fetched price lists,
//! notices that were told and runs of jobs are forgotten when they are old enough. Whatever a block covers stays: events and the
//! unknown fields in them, entries, and statements, whose hash is in the chain.

use crate::flow::{Farthing, FlowError};
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
        let days_ago = |days: u32| Instant::from_micros(now.micros() - i64::from(days) * 86_400_000_000);
        let mut forgotten = Forgotten {
            fetched: self.store.forget_fetched_before(days_ago(kept.fetched_days)).await?,
            notices: self.store.forget_notices_before(days_ago(NOTICE_DAYS)).await?,
            ..Forgotten::default()
        };
        for (org, _) in self.store.orgs().await? {
            forgotten.rejected += self.store.forget_rejected_before(org, days_ago(kept.rejected_days)).await?;
            forgotten.runs += self.store.forget_runs_before(org, days_ago(RUN_DAYS)).await?;
        }
        Ok(forgotten)
    }
}

impl std::fmt::Display for Forgotten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Forgotten { rejected, fetched, notices, runs } = self;
        write!(f, "{rejected} rejected bodies, {fetched} fetched lists, {notices} notices and {runs} runs of jobs forgotten")
    }
}
