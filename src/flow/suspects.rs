//! Suspects: events that look like one that is there already, under another id. Both are charged, because two equal calls
//! are possible and a lost one is worse; a person says whether it was one call, and then the later charge is taken back.

use crate::flow::booking::Booking;
use crate::flow::conflicts::{must_be_there, standing, undecided};
use crate::flow::{Farthing, Filling, FlowError, now};
use crate::id::{EventNumber, Org};
use crate::ledger::book_again;
use crate::store::{BookedEntry, Decision, StoredEvent, Suspect};

/// A suspect with what it looks like.
#[derive(Clone, Debug)]
pub struct SuspectWithEvents {
    pub suspect: Suspect,
    pub event: StoredEvent,
    pub about: StoredEvent,
}

impl Farthing {
    pub async fn suspects(&self, org: Org, open_only: bool, after: i64, limit: i64) -> Result<Vec<SuspectWithEvents>, FlowError> {
        let mut page = Filling::after(after, limit);
        while let Some(room) = page.room {
            let mut found = Vec::new();
            for suspect in self.store.suspects(org, open_only, page.after, room).await? {
                let mut events = self.store.standing_events(org, &[suspect.event, suspect.about]).await?.into_iter();
                let mut take = |number| events.find(|stored| stored.row.event == number);
                // They come by number, and whatever looks like another comes after it.
                let (about, event) = (take(suspect.about), take(suspect.event));
                let shown = event.zip(about).map(|(event, about)| SuspectWithEvents { suspect: suspect.clone(), event, about });
                found.push((suspect.event.0, shown));
            }
            page.add(found);
        }
        Ok(page.shown())
    }

    /// It is the same call: what the suspect was charged is reversed, and the book shows that it was.
    pub async fn accept_suspect(&self, org: Org, event: EventNumber, by: &str) -> Result<Vec<BookedEntry>, FlowError> {
        let mut books = self.books.lock().await;
        let cache = books.entry(org).or_default();
        let result = async {
            let mut write = self.store.begin().await?;
            let head = write.lock_heads(&[org]).await?.remove(0);
            let suspect = self.open_suspect(org, event).await?;
            must_be_there(&mut write, &head, event).await?;
            let in_force = self.load_version(org, head.version).await?;
            let mut booking = Booking::new(head, in_force, cache);
            let reason = format!("the same call as event {}, says {by}", suspect.about);
            let reason = booking.intern_reason(&mut write, &reason).await?;
            let booked = write.entries_of_events(org, &[event]).await?;
            let turn = booked.iter().map(|entry| entry.turn + 1).max().unwrap_or(0);
            let reversals = book_again(&standing(&booked), Vec::new(), turn, booking.head.first_open, reason);
            booking.post(reversals);
            booking.release(event);
            let decision = Decision { accepted: true, decided_at: now(), decided_by: by.to_owned() };
            write.decide_suspect(org, event, &decision).await?;
            booking.seal(&mut write, now()).await?;
            write.commit().await?;
            Ok::<_, FlowError>(())
        }
        .await;
        if result.is_ok() {
            cache.settle();
        }
        drop(books);
        result?;
        Ok(self.store.entries_of(org, event).await?)
    }

    /// They are two calls; the book stays as it is.
    pub async fn dismiss_suspect(&self, org: Org, event: EventNumber, by: &str) -> Result<(), FlowError> {
        let mut write = self.store.begin().await?;
        write.lock_heads(&[org]).await?;
        self.open_suspect(org, event).await?;
        let decision = Decision { accepted: false, decided_at: now(), decided_by: by.to_owned() };
        write.decide_suspect(org, event, &decision).await?;
        Ok(write.commit().await?)
    }

    async fn open_suspect(&self, org: Org, event: EventNumber) -> Result<Suspect, FlowError> {
        let suspect = self.store.suspects(org, false, event.0 - 1, 1).await?.into_iter().find(|found| found.event == event);
        let suspect = suspect.ok_or_else(|| FlowError::NotThere(format!("event {event} is no suspect")))?;
        undecided(&format!("suspect {event}"), suspect.decision.as_ref())?;
        Ok(suspect)
    }
}
