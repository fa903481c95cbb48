//! Recorded events. A record is written once; new content for the same event is another record with a higher revision.

use crate::id::{EventNumber, NameId, Org};
use crate::ledger::seal::{EventRow, State, decides};
use crate::store::names::Names;
use crate::store::sql::{Columns, MOST_IN_A_LIST, Table, Value, big, bytes, exactly, in_list, int, lists, on, small};
use crate::store::{Doing, Store, StoreError, Write};
use crate::usage::record::Record;
use crate::usage::{UsageEvent, reading};
use sqlx::AssertSqlSafe;
use std::collections::{BTreeMap, HashMap};

/// A recorded event with its dimensions read back.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub row: EventRow,
    pub event: UsageEvent,
}

const EVENT: &str = "SELECT record, event, revision, state, about, source, id, content, body FROM events WHERE org = $1 AND";

impl Write {
    pub async fn insert_events(&mut self, org: Org, events: &[EventRow]) -> Result<(), StoreError> {
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
                bytes("id"),
                bytes("content"),
                bytes("body"),
            ],
        };
        self.insert(&EVENTS, events.iter().map(|event| values(org, event))).await.doing("write events")
    }

    /// All revisions of these events, the first ones first.
    pub async fn revisions(&mut self, org: Org, events: &[EventNumber]) -> Result<Vec<EventRow>, StoreError> {
        let numbers: Vec<i64> = events.iter().map(|event| event.0).collect();
        let mut found = Vec::with_capacity(numbers.len());
        for list in lists(&numbers) {
            let numbers = in_list(2, list.len());
            for choice in [format!("{EVENT} record IN ({numbers})"), format!("{EVENT} event IN ({numbers}) AND revision > 0")] {
                on!(&mut self.db, db => {
                    let query = list.iter().fold(sqlx::query(AssertSqlSafe(choice)).bind(org.0), |query, number| query.bind(*number));
                    for row in query.fetch_all(&mut **db).await.doing("read events")? {
                        found.push(event_row(&row).doing("read events")?);
                    }
                });
            }
        }
        found.sort_by_key(|row| (row.event, row.revision));
        Ok(found)
    }

    /// What other sources say of the calls that these events hold.
    pub async fn told_of(&mut self, org: Org, events: &[EventNumber]) -> Result<Vec<EventRow>, StoreError> {
        self.about(org, events, "").await
    }

    /// The records of others on whose word the calls that these events hold are booked.
    pub async fn promoted(&mut self, org: Org, events: &[EventNumber]) -> Result<Vec<EventRow>, StoreError> {
        self.about(org, events, " AND state = 5").await
    }

    async fn about(&mut self, org: Org, events: &[EventNumber], which: &str) -> Result<Vec<EventRow>, StoreError> {
        let mut found = Vec::new();
        for list in lists(events) {
            let text = format!("{EVENT} about IN ({}){which}", in_list(2, list.len()));
            on!(&mut self.db, db => {
                let query = list.iter().fold(sqlx::query(AssertSqlSafe(text)).bind(org.0), |query, event| query.bind(event.0));
                for row in query.fetch_all(&mut **db).await.doing("read events")? {
                    found.push(event_row(&row).doing("read events")?);
                }
            });
        }
        Ok(found)
    }

    /// Of these events what stands, and what says exactly one of these things; the first revisions first. An id under which
    /// thousands of things were said is read as fast as any other. Beside it each event's newest revision.
    pub async fn revisions_saying(
        &mut self,
        org: Org,
        events: &[(EventNumber, [u8; 16])],
    ) -> Result<(Vec<EventRow>, HashMap<EventNumber, u32>), StoreError> {
        let numbers: Vec<i64> = events.iter().map(|(event, _)| event.0).collect();
        let mut found = Vec::with_capacity(events.len());
        let mut newest = HashMap::new();
        for (list, of_list) in lists(&numbers).zip(events.chunks(MOST_IN_A_LIST)) {
            let numbers = in_list(2, list.len());
            let firsts = format!("{EVENT} record IN ({numbers})");
            let stand = format!("{EVENT} event IN ({numbers}) AND revision > 0 AND state <> 4");
            let last = format!(
                "SELECT event, MAX(revision) FROM events WHERE org = $1 AND event IN ({numbers}) AND revision > 0 GROUP BY event"
            );
            on!(&mut self.db, db => {
                for choice in [firsts, stand] {
                    let query = list.iter().fold(sqlx::query(AssertSqlSafe(choice)).bind(org.0), |query, number| query.bind(*number));
                    for row in query.fetch_all(&mut **db).await.doing("read events")? {
                        found.push(event_row(&row).doing("read events")?);
                    }
                }
                let query = list.iter().fold(sqlx::query(AssertSqlSafe(last)).bind(org.0), |query, number| query.bind(*number));
                for row in query.fetch_all(&mut **db).await.doing("read events")? {
                    newest.insert(EventNumber(row.int(0).doing("read events")?), row.int(1).doing("read events")? as u32);
                }
            });
            for (event, content) in of_list.iter().filter(|(event, _)| newest.contains_key(event)) {
                let text = format!("{EVENT} event = $2 AND revision > 0 AND state = 4 AND content = $3");
                on!(&mut self.db, db => {
                    let query = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(event.0).bind(&content[..]);
                    for row in query.fetch_all(&mut **db).await.doing("read events")? {
                        found.push(event_row(&row).doing("read events")?);
                    }
                });
            }
        }
        found.sort_by_key(|row| (row.event, row.revision));
        Ok((found, newest))
    }
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
        let mut rows = Vec::with_capacity(records.len());
        for list in lists(records) {
            let text = format!("{EVENT} record IN ({})", in_list(2, list.len()));
            on!(self.reader(), db => {
                let query = list.iter().fold(sqlx::query(AssertSqlSafe(text)).bind(org.0), |query, record| query.bind(*record));
                for row in query.fetch_all(db).await.doing("read events")? {
                    rows.push(event_row(&row).doing("read events")?);
                }
            });
        }
        rows.sort_by_key(|row| row.record);
        self.with_names(org, rows).await
    }

    /// All revisions of one event, the first one first.
    pub async fn revisions_of(&self, org: Org, event: EventNumber) -> Result<Vec<StoredEvent>, StoreError> {
        let text = format!("{EVENT} (record = $2 OR (event = $2 AND revision > 0)) ORDER BY revision");
        let rows: Vec<EventRow> = on!(self.reader(), db => {
            let rows = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(event.0).fetch_all(db).await.doing("read an event")?;
            rows.iter().map(event_row).collect::<Result<_, sqlx::Error>>().doing("read an event")?
        });
        self.with_names(org, rows).await
    }

    /// What each of these events is booked on now: its newest revision that is not a contradiction, or the better word of another
    /// source on the same call. The answer has the number of the event asked for.
    pub async fn standing_events(&self, org: Org, events: &[EventNumber]) -> Result<Vec<StoredEvent>, StoreError> {
        let numbers: Vec<i64> = events.iter().map(|event| event.0).collect();
        let mut standing: BTreeMap<EventNumber, Vec<EventRow>> = BTreeMap::new();
        for list in lists(&numbers) {
            let numbers = in_list(2, list.len());
            let promoted = format!("{EVENT} about IN ({numbers}) AND state = 5");
            let own = [format!("{EVENT} record IN ({numbers})"), format!("{EVENT} event IN ({numbers}) AND revision > 0")];
            for choice in own.into_iter().chain([promoted]) {
                on!(self.reader(), db => {
                    let query = list.iter().fold(sqlx::query(AssertSqlSafe(choice)).bind(org.0), |query, number| query.bind(*number));
                    for row in query.fetch_all(db).await.doing("read events")? {
                        let row = event_row(&row).doing("read events")?;
                        let asked = [Some(row.event), row.about].into_iter().flatten().filter(|event| events.contains(event));
                        asked.for_each(|event| standing.entry(event).or_default().push(row.clone()));
                    }
                });
            }
        }
        let decide = |(event, rows): (EventNumber, Vec<EventRow>)| Some(EventRow { event, ..decides(event, &rows)?.clone() });
        self.with_names(org, standing.into_iter().filter_map(decide).collect()).await
    }

    /// The records from one number up to another, in order: what a block covers.
    pub async fn records_between(&self, org: Org, from: i64, until: i64) -> Result<Vec<EventRow>, StoreError> {
        let text = format!("{EVENT} record >= $2 AND record < $3 ORDER BY record");
        on!(self.reader(), db => {
            let rows = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(from).bind(until).fetch_all(db).await.doing("read events")?;
            rows.iter().map(event_row).collect::<Result<_, sqlx::Error>>().doing("read events")
        })
    }

    pub async fn with_names(&self, org: Org, rows: Vec<EventRow>) -> Result<Vec<StoredEvent>, StoreError> {
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            records
                .push(Record::read(&row.body).map_err(|why| StoreError::damaged(format!("event record {}", row.record), why))?);
        }
        let owners: Vec<_> = records.iter().map(|record| record.owner).collect();
        let products: Vec<_> = records.iter().map(|record| record.product).collect();
        let sources: Vec<_> = records.iter().map(|record| record.source).collect();
        let mut names = Names::default();
        names.learn(self, org, &owners, &products, &sources).await?;
        rows.into_iter().zip(records).map(|(row, record)| stored_event(row, record, &names)).collect()
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

fn event_row(row: &impl Columns) -> Result<EventRow, sqlx::Error> {
    let state = row.int(3)?;
    Ok(EventRow {
        record: row.int(0)?,
        event: EventNumber(row.int(1)?),
        revision: row.int(2)? as u32,
        state: State::from_number(state as u8).ok_or_else(|| sqlx::Error::Decode(format!("unknown state {state}").into()))?,
        about: row.maybe_int(4)?.map(EventNumber),
        source: NameId(row.int(5)?),
        id: row.text(6)?,
        content: exactly(row.blob(7)?)?,
        body: row.blob(8)?,
    })
}
