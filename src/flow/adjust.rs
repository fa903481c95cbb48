//! Adjustments: fees, credits and decisions, each once per id. The same one again is already there; another one under the same
//! id is refused with the fields that differ.

use crate::flow::booking::Booking;
use crate::flow::{Farthing, FlowError};
use crate::id::{EventNumber, Org};
use crate::ledger::decision::{Adjustment, what_was_decided};
use crate::ledger::seal::{EventRow, State};
use crate::store::BookedEntry;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Adjusted {
    pub was_there: bool,
    pub adjustment: Adjustment,
    pub entries: Vec<BookedEntry>,
}

/// What is asked for, and whether it says when it occurred; otherwise the time of asking stands in.
#[derive(Clone, Debug)]
pub struct Wish {
    pub adjustment: Adjustment,
    pub with_time: bool,
}

impl Farthing {
    pub async fn adjust(&self, org: Org, wish: &Wish) -> Result<Adjusted, FlowError> {
        self.adjust_once(org, wish).await?.ok_or_else(|| {
            FlowError::Conflict(format!(
                "adjustment {} is booked already, and what it says was taken out of this database with its month; nothing is booked \
                 again, take another id for a further one",
                wish.adjustment.id
            ))
        })
    }

    /// Nothing where it was booked and what it says was taken out of this database with its month.
    pub(crate) async fn adjust_once(&self, org: Org, wish: &Wish) -> Result<Option<Adjusted>, FlowError> {
        let Wish { adjustment, with_time } = wish;
        adjustment.check().map_err(|wrong| FlowError::Refused(format!("{}: {}", wrong.field, wrong.why)))?;
        let key = self.store.decision_key(org, what_was_decided(State::Adjusted), &adjustment.id);
        let mut books = self.books.lock().await;
        let cache = books.entry(org).or_default();
        let result: Result<_, FlowError> = async {
            let mut write = self.store.begin().await?;
            let head = write.lock_heads(&[org]).await?.remove(0);
            if let Some(known) = write.find_once(org, &[key]).await?[0] {
                return Ok((true, EventNumber(known)));
            }
            let in_force = self.load_version(org, head.version).await?;
            let cost = in_force.catalog.rules().cost();
            adjustment.fits(cost).map_err(|wrong| FlowError::Refused(format!("{}: {}", wrong.field, wrong.why)))?;
            let mut booking = Booking::new(head, in_force, cache);
            let number = booking.decide(&mut write, State::Adjusted, &adjustment.id, adjustment.body(), key).await?;
            booking.adjust(&mut write, adjustment, number).await?;
            booking.commit(write, &self.store).await?;
            Ok((false, number))
        }
        .await;
        drop(books);
        let (was_there, number) = result?;
        let standing = match self.adjustment(org, number).await {
            Err(FlowError::NotThere(_)) if was_there => return Ok(None),
            standing => standing?,
        };
        let differs = standing.differs(adjustment, *with_time);
        if was_there && !differs.is_empty() {
            return Err(FlowError::Conflict(format!(
                "adjustment {} is there already with another {}; what is booked stays, take another id for a further one",
                adjustment.id,
                differs.join(", ")
            )));
        }
        let entries = self.store.entries_of(org, number).await?;
        Ok(Some(Adjusted { was_there, adjustment: standing, entries }))
    }

    async fn adjustment(&self, org: Org, number: EventNumber) -> Result<Adjustment, FlowError> {
        let rows = self.store.records_between(org, number.0, number.0 + 1).await?;
        let row = rows.first().ok_or_else(|| FlowError::NotThere(format!("there is no record {number}")))?;
        read(row)
    }

    /// A page of adjustments in the order in which they were made, and where each is recorded.
    pub async fn adjustments(&self, org: Org, after: i64, limit: i64) -> Result<Vec<(i64, Adjustment)>, FlowError> {
        let rows = self.store.decisions(org, State::Adjusted, after, limit).await?;
        rows.iter().map(|row| Ok((row.record, read(row)?))).collect()
    }
}

fn read(row: &EventRow) -> Result<Adjustment, FlowError> {
    Adjustment::read(&row.body).map_err(|why| crate::store::StoreError::damaged(format!("record {}", row.record), why).into())
}
