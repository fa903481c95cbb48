//! Held events: listed, and tried again under the catalog that is in force now.

use crate::flow::booking::Booking;
use crate::flow::ingest::{NotCommitted, post};
use crate::flow::{Farthing, Filling, FlowError, now};
use crate::id::{EventNumber, Org};
use crate::rating::{HeldReason, Rating, rate};
use crate::store::{Fault, HeldEvent, StoredEvent};

/// What a retry came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    pub tried: usize,
    pub posted: usize,
    pub still_held: usize,
}

/// A held event with what was sent.
#[derive(Clone, Debug)]
pub struct HeldWithEvent {
    pub held: HeldEvent,
    pub stored: StoredEvent,
}

/// Events that one transaction tries.
const PAGE: i64 = 500;

impl Farthing {
    pub async fn held(
        &self,
        org: Org,
        reason: Option<HeldReason>,
        after: EventNumber,
        limit: i64,
    ) -> Result<Vec<HeldWithEvent>, FlowError> {
        let mut page = Filling::after(after, limit);
        while let Some(room) = page.room {
            let held = self.store.held(org, reason, page.after, room).await?;
            let records: Vec<i64> = held.iter().map(|held| held.record).collect();
            let stored = self.store.events_by_record(org, &records).await?;
            let find = |held: &HeldEvent| stored.iter().find(|stored| stored.row.record == held.record).cloned();
            let shown = held.into_iter().map(|held| (held.event, find(&held).map(|stored| HeldWithEvent { held, stored })));
            page.add(shown.collect());
        }
        Ok(page.shown())
    }

    /// Rates held events again and posts those that have a price now. Running it twice posts nothing twice.
    pub async fn retry_held(&self, org: Org, reason: Option<HeldReason>) -> Result<Retried, FlowError> {
        let mut total = Retried::default();
        let mut after = EventNumber(0);
        loop {
            let page = self.held(org, reason, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(total) };
            after = last.held.event;
            let posted = match self.retry_page(org, &page).await {
                // One of them cannot be written; it must not keep the others of its page from being posted.
                Err(FlowError::Store(e)) if e.fault() == Fault::Data && page.len() > 1 => {
                    let mut posted = 0;
                    for one in &page {
                        posted += match self.retry_page(org, std::slice::from_ref(one)).await {
                            Err(FlowError::Store(e)) if e.fault() == Fault::Data => {
                                tracing::error!(event = %one.held.event, error = %e.in_full(), "a held event cannot be written");
                                0
                            }
                            posted => posted?,
                        };
                    }
                    posted
                }
                posted => posted?,
            };
            total.tried += page.len();
            total.posted += posted;
            total.still_held += page.len() - posted;
        }
    }

    async fn retry_page(&self, org: Org, page: &[HeldWithEvent]) -> Result<usize, FlowError> {
        let mut books = self.books.lock().await;
        let cache = books.entry(org).or_default();
        let result = async {
            let mut write = self.store.begin().await?;
            let head = write.lock_heads(&[org]).await?.remove(0);
            let in_force = self.load_version(org, head.version).await?;
            // Under the lock the list may be shorter, or an event may have new content, than when the page was read.
            let events: Vec<EventNumber> = page.iter().map(|held| held.held.event).collect();
            let still = write.held_among(org, &events).await?;
            let page: Vec<&HeldWithEvent> = page.iter().filter(|held| still.contains(&held.held)).collect();

            let ratings: Vec<Rating> = page.iter().map(|held| rate(&held.stored.event, &in_force.catalog)).collect();
            let mut booking = Booking::new(head, in_force, cache);
            let rated = |rating| match rating {
                Rating::Rated(rated) => Some(rated),
                Rating::Unpriced(_) => None,
            };
            let named =
                page.iter().zip(&ratings).filter_map(|(held, rating)| Some((&held.stored.event, Some(rated(rating.clone())?))));
            let named: Vec<_> = named.collect();
            booking.intern(&mut write, named.iter().map(|(event, rated)| (*event, rated.as_ref()))).await?;
            let mut posted = 0;
            for (held, rating) in page.iter().zip(ratings) {
                let event = held.held.event;
                match rating {
                    Rating::Rated(rated) => {
                        booking.release(event);
                        post(&mut booking, event, &held.stored.event, &rated).map_err(refused)?;
                        posted += 1;
                    }
                    Rating::Unpriced(unpriced) if unpriced.to_string() != held.held.detail => {
                        booking.release(event);
                        let (reason, detail) = (unpriced.reason(), unpriced.to_string());
                        booking.hold(HeldEvent { reason, detail, ..held.held.clone() });
                    }
                    Rating::Unpriced(_) => {}
                }
            }
            if booking.changes_nothing() {
                write.commit().await?;
                return Ok(posted);
            }
            let (sealed, keys) = booking.seal(&mut write, now()).await?;
            write.remember_once(&keys).await?;
            write.commit().await?;
            self.was_committed(&sealed);
            Ok(posted)
        }
        .await;
        if result.is_ok() {
            cache.settle();
        }
        result
    }
}

pub(crate) fn refused(e: NotCommitted) -> FlowError {
    let (NotCommitted::Data(why) | NotCommitted::Away(why) | NotCommitted::Lasting(why)) = e;
    FlowError::Refused(why)
}
