//! Recorded events. A record is written once; new content for the same event is another record with a higher revision.

use crate::id::{EventIds, EventNumber, NameId, Org};
use crate::ledger::seal::{EventRow, State, decides};
use crate::store::months::SEALED_IN;
use crate::store::names::Names;
use crate::store::packed::{many_in, packed};
use crate::store::sql::{Columns, Either, Table, Value, big, bytes, exactly, int, narrow, on, reference, rows_in, small, text};
use crate::store::{Doing, Store, StoreError, Write};
use crate::time::Month;
use crate::usage::record::Record;
use crate::usage::{UsageEvent, reading};
use serde::Deserialize;
use sqlx::AssertSqlSafe;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A recorded event with its dimensions read back.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub row: EventRow,
    pub event: UsageEvent,
}

macro_rules! events {
    ($which:literal) => {
        concat!("SELECT record, event, revision, state, about, source, id, content, body FROM events WHERE org = $1 AND ", $which)
    };
}

/// The columns of an event as SQLite packs them.
const PACKED_EVENT: &str = "record, event, revision, state, about, source, id, hex(content), hex(body)";
const RECORDS: &str = events!("record IN (..)");
const REVISIONS: &str = events!("event IN (..) AND revision > 0");
const CLAIMS: &str = events!("event IN (..) AND revision > 0 AND state <> 4");
const NEWEST: &str = "SELECT event, MAX(revision) FROM events WHERE org = $1 AND event IN (..) AND revision > 0 GROUP BY event";
const SAME: &str = events!("event = $2 AND revision > 0 AND state = 4 AND content = $3");
const TOLD: &str = events!("about IN (..)");
const IDS: &str = "SELECT record, id FROM events WHERE org = $1 AND record IN (..)";
const IDS_BETWEEN: &str = "SELECT record, id FROM events WHERE org = $1 AND record >= $2 AND record < $3";
const PROMOTED: &str = events!("about IN (..) AND state = 5");
const DECIDED: &str = events!("state >= 6 AND state = $2 AND record > $3 ORDER BY record LIMIT $4");
const BETWEEN: &str = events!("record >= $2 AND record < $3 ORDER BY record");
#[cfg(test)]
pub(super) const LOOKED_UP: [&str; 11] =
    [RECORDS, REVISIONS, CLAIMS, NEWEST, SAME, TOLD, IDS, IDS_BETWEEN, PROMOTED, DECIDED, BETWEEN];

impl Write {
    /// Events of blocks that were sealed in a month.
    pub async fn insert_events(&mut self, org: Org, events: &[EventRow], sealed_in: Month) -> Result<(), StoreError> {
        const EVENTS: Table<10> = Table {
            name: "events",
            columns: [
                int("org"),
                big("record"),
                big("event"),
                int("revision"),
                small("state"),
                big("about"),
                big("source"),
                text("id"),
                bytes("content"),
                bytes("body"),
            ],
        };
        const IN_MONTHS: Table<11> = EVENTS.and(int(SEALED_IN));
        let rows = events.iter().map(|event| values(org, event));
        self.insert_into_month(&EVENTS, &IN_MONTHS, sealed_in, rows, "write events").await
    }

    /// All revisions of these events, the first ones first.
    pub async fn revisions(&mut self, org: Org, events: &[EventNumber]) -> Result<Vec<EventRow>, StoreError> {
        let mut found = self.events(org, RECORDS, events).await?;
        found.append(&mut self.events(org, REVISIONS, events).await?);
        found.sort_by_key(|row| (row.event, row.revision));
        Ok(found)
    }

    /// What other sources say of the calls that these events hold.
    pub async fn told_of(&mut self, org: Org, events: &[EventNumber]) -> Result<Vec<EventRow>, StoreError> {
        self.events(org, TOLD, events).await
    }

    /// The records of others on whose word the calls that these events hold are booked.
    pub async fn promoted(&mut self, org: Org, events: &[EventNumber]) -> Result<Vec<EventRow>, StoreError> {
        self.events(org, PROMOTED, events).await
    }

    async fn events(&mut self, org: Org, which: &str, numbers: &[EventNumber]) -> Result<Vec<EventRow>, StoreError> {
        let numbers: Vec<i64> = numbers.iter().map(|event| event.0).collect();
        rows_in!(self.db().await?, db => &mut *db, which, org, &numbers, event_row, "read events").await
    }

    /// Of these events what stands, and what says exactly one of these things; the first revisions first. An id under which
    /// thousands of things were said is read as fast as any other. Beside it each event's newest revision.
    pub async fn revisions_saying(
        &mut self,
        org: Org,
        events: &[(EventNumber, [u8; 16])],
    ) -> Result<(Vec<EventRow>, HashMap<EventNumber, u32>), StoreError> {
        let numbers: Vec<EventNumber> = events.iter().map(|(event, _)| *event).collect();
        let mut found = self.events(org, RECORDS, &numbers).await?;
        found.append(&mut self.events(org, CLAIMS, &numbers).await?);
        let numbers: Vec<i64> = numbers.iter().map(|event| event.0).collect();
        let newest: HashMap<EventNumber, u32> =
            rows_in!(self.db().await?, db => &mut *db, NEWEST, org, &numbers, newest, "read events").await?.into_iter().collect();
        for (event, content) in events.iter().filter(|(event, _)| newest.contains_key(event)) {
            on!(self.db().await?, db => {
                let query = sqlx::query(SAME).bind(org.0).bind(event.0).bind(&content[..]);
                for row in query.fetch_all(&mut *db).await.doing("read events")? {
                    found.push(event_row(&row).doing("read events")?);
                }
            });
        }
        found.sort_by_key(|row| (row.event, row.revision));
        Ok((found, newest))
    }
}

fn newest(row: &impl Columns) -> Result<(EventNumber, u32), sqlx::Error> {
    Ok((EventNumber(row.int(0)?), row.int(1)? as u32))
}

fn values(org: Org, event: &EventRow) -> [Value<'_>; 10] {
    [
        Value::Int(org.0),
        Value::Int(event.record),
        Value::Int(event.event.0),
        Value::Int(i64::from(event.revision)),
        Value::Int(event.state as i64),
        Value::MaybeInt(event.about.map(|about| about.0)),
        Value::Int(event.source.0),
        Value::Text(&event.id),
        Value::Blob(&event.content),
        Value::Blob(&event.body),
    ]
}

impl Store {
    /// Events by record, with their names.
    pub async fn events_by_record(&self, org: Org, records: &[i64]) -> Result<Vec<StoredEvent>, StoreError> {
        let mut rows = self.events(org, RECORDS, records).await?;
        rows.sort_by_key(|row| row.record);
        self.with_names(org, rows).await
    }

    /// What these events were called by whoever sent them; what was decided has an id as well.
    pub async fn ids_of_events(&self, org: Org, events: impl IntoIterator<Item = EventNumber>) -> Result<EventIds, StoreError> {
        let mut numbers: Vec<i64> = events.into_iter().map(|event| event.0).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return Ok(EventIds::default()) };
        // Events that were booked one after the other mostly have numbers one after the other.
        if last - first >= 2 * numbers.len() as i64 {
            let read = rows_in!(self.reader(), db => db, IDS, org, &numbers, called, "read the ids of events").await?;
            return Ok(EventIds::of(read.iter().map(|(event, id)| (*event, id.as_str()))));
        }
        match self.reader() {
            Either::Sqlite(db) => {
                let text = packed("record, id", "events", "record");
                let query = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(first).bind(last + 1);
                let rows = query.fetch_all(db).await.doing("read the ids of events")?;
                let pages = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>().doing("read the ids of events")?;
                let read = pages.iter().map(|page| serde_json::from_str::<Vec<Called>>(page)).collect::<Result<Vec<_>, _>>();
                let read = read.map_err(|e| sqlx::Error::Decode(e.into())).doing("read the ids of events")?;
                Ok(EventIds::of(read.iter().flatten().map(|Called(event, id)| (*event, &**id))))
            }
            Either::Postgres(db) => {
                let rows = sqlx::query(IDS_BETWEEN).bind(org.0).bind(first).bind(last + 1).fetch_all(db).await;
                let read = rows.and_then(|rows| rows.iter().map(called).collect::<Result<Vec<_>, _>>());
                let read = read.doing("read the ids of events")?;
                Ok(EventIds::of(read.iter().map(|(event, id)| (*event, id.as_str()))))
            }
        }
    }

    /// All revisions of one event, the first one first.
    pub async fn revisions_of(&self, org: Org, event: EventNumber) -> Result<Vec<StoredEvent>, StoreError> {
        let mut rows = self.events(org, RECORDS, &[event.0]).await?;
        rows.append(&mut self.events(org, REVISIONS, &[event.0]).await?);
        rows.sort_by_key(|row| row.revision);
        self.with_names(org, rows).await
    }

    async fn events(&self, org: Org, which: &str, numbers: &[i64]) -> Result<Vec<EventRow>, StoreError> {
        many_in!(self.reader(), PACKED_EVENT, which, org, numbers, event_row, "read events").await
    }

    /// What each of these events is booked on now: its newest revision that is not a contradiction, or the better word of another
    /// source on the same call. The answer has the number of the event asked for.
    pub async fn standing_events(&self, org: Org, events: &[EventNumber]) -> Result<Vec<StoredEvent>, StoreError> {
        self.standing_events_before(org, events, i64::MAX, &mut Names::default()).await
    }

    /// The same, as it was known before a record; what is known of names is not read again.
    pub async fn standing_events_before(
        &self,
        org: Org,
        events: &[EventNumber],
        before: i64,
        names: &mut Names,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let wanted: HashSet<EventNumber> = events.iter().copied().collect();
        let numbers: Vec<i64> = events.iter().map(|event| event.0).collect();
        let mut standing: BTreeMap<EventNumber, EventRow> = BTreeMap::new();
        let mut weigh = |event: EventNumber, row: EventRow| {
            let both = standing.get(&event).into_iter().chain([&row]);
            if decides(event, both).is_some_and(|decides| decides.record == row.record) {
                standing.insert(event, row);
            }
        };
        for which in [RECORDS, REVISIONS, PROMOTED] {
            for row in self.events(org, which, &numbers).await?.into_iter().filter(|row| row.record < before) {
                if let Some(about) = row.about.filter(|about| wanted.contains(about)) {
                    weigh(about, row.clone());
                }
                if wanted.contains(&row.event) {
                    weigh(row.event, row);
                }
            }
        }
        let standing = standing.into_iter().map(|(event, row)| EventRow { event, ..row });
        self.stored_with(org, standing.collect(), names).await
    }

    /// A page of what was decided, in order.
    pub async fn decisions(&self, org: Org, state: State, after: i64, limit: i64) -> Result<Vec<EventRow>, StoreError> {
        on!(self.reader(), db => {
            let query = sqlx::query(DECIDED).bind(org.0).bind(state as i64).bind(after).bind(limit);
            let rows = query.fetch_all(db).await.doing("read decisions")?;
            rows.iter().map(event_row).collect::<Result<_, sqlx::Error>>().doing("read decisions")
        })
    }

    /// All that was ever said of these events, by their own sources and by others on whose word they were booked.
    pub async fn words_on(&self, org: Org, events: &[EventNumber]) -> Result<Vec<EventRow>, StoreError> {
        let numbers: Vec<i64> = events.iter().map(|event| event.0).collect();
        let mut rows = Vec::with_capacity(events.len());
        for which in [RECORDS, REVISIONS, PROMOTED] {
            rows.append(&mut self.events(org, which, &numbers).await?);
        }
        rows.sort_unstable_by_key(|row| row.record);
        rows.dedup_by_key(|row| row.record);
        Ok(rows)
    }

    /// Records by number, as they are stored.
    pub async fn records(&self, org: Org, records: &[i64]) -> Result<Vec<EventRow>, StoreError> {
        self.events(org, RECORDS, records).await
    }

    /// The records from one number up to another, in order: what a block covers.
    pub async fn records_between(&self, org: Org, from: i64, until: i64) -> Result<Vec<EventRow>, StoreError> {
        on!(self.reader(), db => {
            let rows = sqlx::query(BETWEEN).bind(org.0).bind(from).bind(until).fetch_all(db).await.doing("read events")?;
            rows.iter().map(event_row).collect::<Result<_, sqlx::Error>>().doing("read events")
        })
    }

    pub async fn with_names(&self, org: Org, rows: Vec<EventRow>) -> Result<Vec<StoredEvent>, StoreError> {
        self.stored_with(org, rows, &mut Names::default()).await
    }

    /// The same for whoever reads many of them: what is known of their names is not read again.
    pub async fn stored_with(&self, org: Org, rows: Vec<EventRow>, names: &mut Names) -> Result<Vec<StoredEvent>, StoreError> {
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            records
                .push(Record::read(&row.body).map_err(|why| StoreError::damaged(format!("event record {}", row.record), why))?);
        }
        let owners: Vec<_> = records.iter().map(|record| record.owner).collect();
        let products: Vec<_> = records.iter().map(|record| record.product).collect();
        let sources: Vec<_> = records.iter().map(|record| record.source).collect();
        names.learn(self, org, &owners, &products, &sources).await?;
        rows.into_iter().zip(records).map(|(row, record)| stored_event(row, record, names)).collect()
    }
}

fn stored_event(row: EventRow, record: Record, names: &Names) -> Result<StoredEvent, StoreError> {
    let damaged = |why: &dyn std::fmt::Display| StoreError::damaged(format!("event record {}", row.record), why);
    let id = reading::text("id", &row.id).map_err(|why| damaged(&why))?;
    let source = reading::text("source", names.text(record.source)?).map_err(|why| damaged(&why))?;
    let (product, owner) = (names.product(record.product)?, names.owner(record.owner)?);
    let event = record.into_event(id, source, product, owner);
    Ok(StoredEvent { row, event })
}

/// An event and its id, as SQLite packs them.
#[derive(Deserialize)]
struct Called<'a>(i64, #[serde(borrow)] Cow<'a, str>);

fn called(row: &impl Columns) -> Result<(i64, String), sqlx::Error> {
    Ok((row.int(0)?, row.text(1)?))
}

fn event_row(row: &impl Columns) -> Result<EventRow, sqlx::Error> {
    let state = row.int(3)?;
    Ok(EventRow {
        record: row.int(0)?,
        event: EventNumber(row.int(1)?),
        revision: narrow(row.int(2)?)?,
        state: State::from_number(narrow(state)?).ok_or_else(|| sqlx::Error::Decode(format!("unknown state {state}").into()))?,
        about: reference(row.maybe_int(4)?, EventNumber)?,
        source: NameId(row.int(5)?),
        id: row.text(6)?,
        content: exactly(row.blob(7)?)?,
        body: row.blob(8)?,
    })
}
