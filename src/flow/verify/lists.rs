//! What is derived from a book, held against it: the list of what waits, the list of contradictions, the keys of what must
//! happen once, its copies in columns, and on SQLite the structure of the file. A book may be written to meanwhile; what seems
//! not to fit is looked at again before it is told.

use super::{Rows, Stop, broken};
use crate::flow::Farthing;
use crate::id::{BlockNumber, EventNumber, Org};
use crate::ledger::decision::what_was_decided;
use crate::ledger::seal::{EventRow, State};
use crate::store::{Block, Names, StoreError};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Rows of a list that are held against the book at once.
const PAGE: i64 = 500;
/// How often something is looked at again that a commit in between may have moved.
const LOOKS: u32 = 4;

impl Farthing {
    /// What lists and keys say of the records of a run of blocks.
    pub(super) async fn verify_lists_of(&self, org: Org, run: &[Block], rows: &Rows, names: &mut Names) -> Result<(), Stop> {
        let block_of = |record: i64| {
            let block = run.iter().find(|block| record < block.records.1);
            block.map_or(BlockNumber(0), |block| block.header.block)
        };
        if let Some(row) = rows.events.iter().find(|row| (row.revision == 0) != (row.event.0 == row.record)) {
            return broken(
                block_of(row.record),
                named(row),
                "it is the first of its event and has another number, or the other way round",
            );
        }
        let held: HashMap<EventNumber, i64> =
            rows.events.iter().filter(|row| row.state == State::Held).map(|row| (row.event, row.record)).collect();
        if let Some((event, why)) = self.misplaced(org, held.keys().copied().collect()).await? {
            let record = held.get(&event).copied().unwrap_or(event.0);
            return broken(block_of(record), Some(format!("event record {record}")), why);
        }
        let conflicts: Vec<&EventRow> = rows.events.iter().filter(|row| row.state == State::Conflict).collect();
        let numbers: Vec<i64> = conflicts.iter().map(|row| row.record).collect();
        let listed: HashSet<(i64, EventNumber)> = self.store.conflicts_among(org, &numbers).await?.into_iter().collect();
        if let Some(row) = conflicts.into_iter().find(|row| !listed.contains(&(row.record, row.event))) {
            return broken(block_of(row.record), named(row), "it is a conflict and not on the list of conflicts");
        }
        if let Some(row) = self.without_key(org, rows, names).await? {
            return broken(block_of(row.record), named(row), "its key leads to another event or to none");
        }
        Ok(())
    }

    /// Whatever the lists and the keys of a book say beyond what its records say of them.
    pub(super) async fn verify_lists(&self, org: Org) -> Result<(), Stop> {
        self.verify_held(org).await?;
        self.verify_conflicts(org).await?;
        self.verify_erased(org).await?;
        let damage = self.store.damage().await?;
        if damage.is_empty() { Ok(()) } else { broken(BlockNumber(0), None, damage.join("; ")) }
    }

    /// Copies in columns say what the entries say, where there are any.
    pub(super) async fn verify_segments(&self, org: Org) -> Result<(), Stop> {
        match self.wrong_segment(org).await? {
            Some((file, why)) => broken(BlockNumber(0), Some(format!("segment {file}")), why),
            None => Ok(()),
        }
    }

    /// Statements are what was received, and closings say what their months still say.
    pub(super) async fn verify_decisions(&self, org: Org) -> Result<(), Stop> {
        for (number, stated) in self.statements(org).await? {
            let is_as_received = match self.store.statement_body(org, number).await {
                Err(StoreError::Damaged { .. }) => false,
                body => body?.is_some_and(|body| body.received().and_then(|all| all.has_hash(&stated.statement)).is_ok()),
            };
            if !is_as_received {
                let block = self.store.block_of_record(org, number).await?;
                return broken(block, Some(format!("statement {number}")), "it is not what was received");
            }
        }
        match self.wrong_closing(org).await? {
            Some((record, why)) => {
                let block = self.store.block_of_record(org, record).await?;
                broken(block, Some(format!("event record {record}")), why)
            }
            None => Ok(()),
        }
    }

    async fn verify_held(&self, org: Org) -> Result<(), Stop> {
        let mut after = EventNumber(0);
        loop {
            let page = self.store.held(org, None, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.event;
            if let Some((event, why)) = self.misplaced(org, page.iter().map(|held| held.event).collect()).await? {
                let block = self.store.block_of_record(org, event.0).await?;
                return broken(block, Some(format!("held event {event}")), why);
            }
        }
    }

    async fn verify_conflicts(&self, org: Org) -> Result<(), Stop> {
        let mut after = 0;
        loop {
            let page = self.store.conflicts(org, false, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.conflict;
            let records: Vec<i64> = page.iter().map(|conflict| conflict.conflict).collect();
            let rows = self.store.records(org, &records).await?;
            let fits = |number: i64, event| {
                rows.iter().any(|row| (row.record, row.event, row.state) == (number, event, State::Conflict))
            };
            if let Some(conflict) = page.iter().find(|conflict| !fits(conflict.conflict, conflict.event)) {
                let (block, record) = (self.store.block_of_record(org, conflict.conflict).await?, conflict.conflict);
                return broken(block, Some(format!("conflict {record}")), "no event in the book contradicts another so");
            }
        }
    }

    /// The head counts the names that were erased, so that every process learns of one.
    async fn verify_erased(&self, org: Org) -> Result<(), Stop> {
        // It is asked before and after: there may be an erasure in between.
        let (before, erased) = (self.store.head(org).await?.erased_names, self.store.erased_names(org).await?);
        let head = self.store.head(org).await?;
        let now = head.erased_names;
        if !(before..=now).contains(&erased) {
            let why = format!("the head of the book counts {now} erased names and {erased} are there");
            return broken(head.block, None, why);
        }
        Ok(())
    }

    /// The first of these events that is on the list of what waits and should not be, or the other way round.
    async fn misplaced(&self, org: Org, events: Vec<EventNumber>) -> Result<Option<(EventNumber, &'static str)>, Stop> {
        let mut doubtful = events;
        let mut misplaced = Vec::new();
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            misplaced = self.misplaced_now(org, &doubtful).await?;
            doubtful = misplaced.iter().map(|(event, _)| *event).collect();
            if doubtful.is_empty() {
                return Ok(None);
            }
        }
        misplaced.sort_unstable();
        Ok(misplaced.into_iter().next())
    }

    async fn misplaced_now(&self, org: Org, events: &[EventNumber]) -> Result<Vec<(EventNumber, &'static str)>, Stop> {
        let listed: HashMap<EventNumber, i64> =
            self.store.held_among(org, events).await?.into_iter().map(|held| (held.event, held.record)).collect();
        let booked = self.store.entries_of_events(org, events).await?;
        let booked: HashSet<EventNumber> = booked.into_iter().filter_map(|entry| entry.event).collect();
        let mut newest: HashMap<EventNumber, EventRow> = HashMap::with_capacity(events.len());
        for row in self.store.words_on(org, events).await?.into_iter().filter(|row| row.state.stands()) {
            if newest.get(&row.event).is_none_or(|known| known.revision < row.revision) {
                newest.insert(row.event, row);
            }
        }
        let mut misplaced = Vec::new();
        for event in events {
            let waits = newest.get(event).filter(|row| row.state == State::Held && !booked.contains(event));
            let why = match (waits, listed.get(event)) {
                (Some(row), Some(record)) if row.record != *record => "the list of what waits has another record of it",
                (None, Some(_)) => "it is on the list of what waits and does not wait",
                // Whatever was said to be the same call as another waits for nothing any more.
                (Some(_), None) if !self.store.is_accepted_suspect(org, *event).await? => {
                    "it waits and is not on the list of what waits"
                }
                _ => continue,
            };
            misplaced.push((*event, why));
        }
        Ok(misplaced)
    }

    /// The first record of a run that its own key does not lead to. Of a source whose name was erased no key can be made.
    async fn without_key<'r>(&self, org: Org, rows: &'r Rows, names: &mut Names) -> Result<Option<&'r EventRow>, Stop> {
        let first: Vec<&EventRow> = rows.events.iter().filter(|row| row.revision == 0).collect();
        let sources: Vec<_> = first.iter().map(|row| row.source).collect();
        names.learn(&self.store, org, &[], &[], &sources).await?;
        for page in first.chunks(PAGE as usize) {
            let mut keyed = Vec::with_capacity(page.len());
            for row in page.iter().filter(|row| !names.is_erased(row.source)) {
                let key = match row.state.is_a_decision() {
                    true => self.store.decision_key(org, what_was_decided(row.state), &row.id),
                    false => self.store.event_key(org, names.text(row.source)?, &row.id),
                };
                keyed.push((*row, key));
            }
            let keys: Vec<_> = keyed.iter().map(|(_, key)| *key).collect();
            let found = self.store.once_all(org, &keys).await?;
            if let Some(((row, _), _)) = keyed.into_iter().zip(found).find(|((row, _), found)| *found != Some(row.event.0)) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

fn named(row: &EventRow) -> Option<String> {
    Some(format!("event record {}", row.record))
}
