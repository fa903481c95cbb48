//! Conflicts: one id, two meanings. Both are kept; a person accepts the later one, which books the event again, or
//! dismisses it.

use crate::flow::booking::Booking;
use crate::flow::{Farthing, Filling, FlowError, now};
use crate::id::{EventNumber, Org};
use crate::ledger::seal::{State, decides};
use crate::ledger::{Entry, EntryKind, book_again};
use crate::rating::{Rating, rate};
use crate::store::{BookedEntry, Conflict, Decision, Head, StoredEvent, Write};

/// A conflict with what stands and what contradicts it.
#[derive(Clone, Debug)]
pub struct ConflictWithEvents {
    pub conflict: Conflict,
    pub standing: StoredEvent,
    pub contradicting: StoredEvent,
}

impl Farthing {
    pub async fn conflicts(
        &self,
        org: Org,
        open_only: bool,
        after: i64,
        limit: i64,
    ) -> Result<Vec<ConflictWithEvents>, FlowError> {
        let mut page = Filling::after(after, limit);
        while let Some(room) = page.room {
            let mut found = Vec::new();
            for conflict in self.store.conflicts(org, open_only, page.after, room).await? {
                found.push((conflict.conflict, self.with_events(org, conflict).await?));
            }
            page.add(found);
        }
        Ok(page.shown())
    }

    /// Nothing where one of them went with its month.
    async fn with_events(&self, org: Org, conflict: Conflict) -> Result<Option<ConflictWithEvents>, FlowError> {
        let revisions = self.store.revisions_of(org, conflict.event).await?;
        let standing = revisions.iter().rev().find(|stored| stored.row.state.stands()).cloned();
        let contradicting = revisions.into_iter().find(|stored| stored.row.record == conflict.conflict);
        let both = standing.zip(contradicting);
        Ok(both.map(|(standing, contradicting)| ConflictWithEvents { conflict, standing, contradicting }))
    }

    /// Books the event again with the contradicting content: a reversal of what stands and a new charge, in one block.
    pub async fn accept_conflict(&self, org: Org, number: i64, by: &str) -> Result<Vec<BookedEntry>, FlowError> {
        let mut books = self.books.lock().await;
        let cache = books.entry(org).or_default();
        let result = async {
            let mut write = self.store.begin().await?;
            let head = write.lock_heads(&[org]).await?.remove(0);
            let conflict = self.open_conflict(org, number).await?;
            let event = conflict.event;
            let gone = || FlowError::NotThere(format!("the events of conflict {number} are not there"));
            let accepted = self.with_events(org, conflict).await?.ok_or_else(gone)?.contradicting;
            let in_force = self.load_version(org, head.version).await?;
            let revisions = write.revisions(org, &[event]).await?;
            let revises = Some((event, revisions.last().map_or(0, |row| row.revision) + 1));
            let standing_row = revisions.iter().rev().find(|row| row.state.stands()).cloned();
            // What tells of a call that another event holds is booked there, if it is the word that the call is booked on.
            let holder = standing_row.as_ref().and_then(|row| row.about);
            let booked_as = holder.unwrap_or(event);
            let mut rows = write.revisions(org, &[booked_as]).await?;
            rows.extend(write.promoted(org, &[booked_as]).await?);
            let booked_as = decides(booked_as, &rows).filter(|row| row.event == event).map(|_| booked_as);
            let decision = Decision { accepted: true, decided_at: now(), decided_by: by.to_owned() };
            let Some(booked_as) = booked_as else {
                let mut booking = Booking::new(head, in_force, cache);
                booking.intern(&mut write, std::iter::once((&accepted.event, None))).await?;
                booking.record(&accepted.event, accepted.row.content, State::Evidence, revises, holder.or(Some(event)));
                write.decide_conflict(org, number, &decision).await?;
                booking.seal(&mut write, now()).await?;
                write.commit().await?;
                return Ok(event);
            };
            must_be_there(&mut write, &head, booked_as).await?;
            let rated = match rate(&accepted.event, &in_force.catalog) {
                Rating::Rated(rated) => rated,
                Rating::Unpriced(unpriced) => return Err(FlowError::Refused(format!("it has no price yet: {unpriced}"))),
            };

            let mut booking = Booking::new(head, in_force, cache);
            booking.intern(&mut write, std::iter::once((&accepted.event, Some(&rated)))).await?;
            let state = if holder.is_some() { State::Promoted } else { State::Posted };
            booking.record(&accepted.event, accepted.row.content, state, revises, holder);
            let booked = write.entries_of_events(org, &[booked_as]).await?;
            let turn = booked.iter().map(|entry| entry.turn + 1).max().unwrap_or(0);
            let charges =
                booking.charges(booked_as, &accepted.event, &rated, turn).map_err(|e| FlowError::Refused(e.to_string()))?;
            let reason = booking.intern_reason(&mut write, &format!("conflict {number} was accepted by {by}")).await?;
            let entries = book_again(&standing(&booked), charges, turn, booking.head.first_open, reason);
            booking.post(entries);
            // What is accepted may name a call that nobody holds yet.
            let call = accepted.event.provider_request_id.as_ref().filter(|_| !accepted.event.outcome.is_free());
            if let Some(call) = call.map(|call| self.store.call_key(org, &accepted.event.product.provider, call))
                && write.find_once(org, &[call]).await?[0].is_none()
            {
                booking.remember(call, booked_as);
            }
            write.decide_conflict(org, number, &decision).await?;
            let (_, keys) = booking.seal(&mut write, now()).await?;
            write.remember_once(&keys).await?;
            write.commit().await?;
            Ok(booked_as)
        }
        .await;
        if result.is_ok() {
            cache.settle();
        }
        drop(books);
        Ok(self.store.entries_of(org, result?).await?)
    }

    /// Leaves the book as it is; the contradicting content stays on record.
    pub async fn dismiss_conflict(&self, org: Org, number: i64, by: &str) -> Result<(), FlowError> {
        let mut write = self.store.begin().await?;
        write.lock_heads(&[org]).await?;
        self.open_conflict(org, number).await?;
        let decision = Decision { accepted: false, decided_at: now(), decided_by: by.to_owned() };
        write.decide_conflict(org, number, &decision).await?;
        Ok(write.commit().await?)
    }

    async fn open_conflict(&self, org: Org, number: i64) -> Result<Conflict, FlowError> {
        let conflict = self.store.conflict(org, number).await?;
        let conflict = conflict.ok_or_else(|| FlowError::NotThere(format!("there is no conflict {number}")))?;
        undecided(&format!("conflict {number}"), conflict.decision.as_ref())?;
        Ok(conflict)
    }
}

/// What was booked for an event can only be taken back where it is.
pub(crate) async fn must_be_there(write: &mut Write, head: &Head, event: EventNumber) -> Result<(), FlowError> {
    if event.0 >= write.whole_from(head).await? {
        return Ok(());
    }
    Err(FlowError::Refused(format!(
        "what was booked for event {event} was taken out of this database with its month; attach that again, or adjust in a month \
         that is open"
    )))
}

/// A decision is made once.
pub(crate) fn undecided(what: &str, decision: Option<&Decision>) -> Result<(), FlowError> {
    let Some(decision) = decision else { return Ok(()) };
    let how = if decision.accepted { "accepted" } else { "dismissed" };
    Err(FlowError::Refused(format!("{what} was {how} at {} already", decision.decided_at)))
}

/// The charges among an event's entries that no reversal has taken back.
pub fn standing(entries: &[Entry]) -> Vec<Entry> {
    let reversed: Vec<_> = entries.iter().filter_map(|entry| entry.reverses).collect();
    let stands = |entry: &&Entry| entry.kind == EntryKind::Charge && !reversed.contains(&entry.sequence);
    entries.iter().filter(stands).cloned().collect()
}
