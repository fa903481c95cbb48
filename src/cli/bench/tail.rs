//! How much of a book lies outside of its segments while a service books and copies: looked at again and again from beside it,
//! because what is left once everybody is done says nothing of what a report had to read in between.

use super::{Outcome, io};
use crate::cli::Failure;
use crate::flow::segments::SegmentPlan;
use crate::flow::{FIRST_ORG, Farthing};
use crate::id::Org;
use crate::store::StoreOptions;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Looks at the tail of a book until it is asked for the largest that it saw.
pub struct Tail {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Result<i64, Failure>>,
}

impl Tail {
    const PAUSE: Duration = Duration::from_millis(50);

    /// Begins to look; nothing where a database has no segments beside it.
    pub fn watch(database: &StoreOptions) -> Option<Tail> {
        let (directory, database) = (segments_of(database)?, database.clone());
        let ended = Arc::new(AtomicBool::new(false));
        let stop = ended.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
            runtime.block_on(async {
                // A reader of somebody else's segments removes none of them.
                let farthing = Farthing::open_read_only(&database).await?;
                let farthing = farthing.with_segments(Some(SegmentPlan::of_an_archive(directory)));
                let org = farthing.store.org(FIRST_ORG).await?;
                let mut largest = 0;
                while !stop.load(Ordering::Relaxed) {
                    largest = largest.max(outside(&farthing, org).await?);
                    tokio::time::sleep(Self::PAUSE).await;
                }
                farthing.store.close().await;
                Ok(largest)
            })
        });
        Some(Tail { ended, thread })
    }

    pub fn largest(self) -> Result<i64, Failure> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::Io("the look at what is in no segment broke off".to_owned()))?
    }
}

/// Brings a book into segments that was filled without a service.
pub async fn copy(database: &StoreOptions, farthing: Farthing, org: Org) -> Outcome {
    if let Some(directory) = segments_of(database) {
        let farthing = farthing.with_segments(Some(SegmentPlan::at(directory)));
        farthing.copy_to_segments(org, |_, _| {}).await?;
        farthing.store.close().await;
    }
    Ok(())
}

/// Where a service puts the segments of a database.
fn segments_of(database: &StoreOptions) -> Option<PathBuf> {
    let path = database.url.strip_prefix("sqlite://").filter(|_| cfg!(feature = "polars"))?;
    Some(PathBuf::from(format!("{path}.segments")))
}

/// Entries that are in no segment.
async fn outside(farthing: &Farthing, org: Org) -> Result<i64, Failure> {
    let segments = farthing.segments_until(org, i64::MAX).await?;
    let covered: i64 = segments.iter().map(|segment| segment.manifest.until - segment.manifest.from).sum();
    Ok(farthing.store.head(org).await?.next_sequence.0 - 1 - covered)
}
