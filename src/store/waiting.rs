//! What waits for a rate, for usage or for a person: work lists over events. They are derived, so their rows come and go;
//! the events they point at stay.

use crate::id::{EventNumber, Org};
use crate::rating::HeldReason;
use crate::store::sql::{Columns, Table, Value, big, in_list, int, lists, narrow, on, rows_in, small, text};
use crate::store::{Doing, Store, StoreError, Write};
use crate::time::Instant;
use sqlx::AssertSqlSafe;

/// An event that cannot be posted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldEvent {
    pub event: EventNumber,
    /// The record that holds its newest content.
    pub record: i64,
    pub reason: HeldReason,
    pub detail: String,
    pub held_at: Instant,
}

/// Two contents under one id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The record that contradicts; also the conflict's own number.
    pub conflict: i64,
    pub event: EventNumber,
    /// The fields whose meaning differs.
    pub fields: Vec<String>,
    pub found_at: Instant,
    pub decision: Option<Decision>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub accepted: bool,
    pub decided_at: Instant,
    pub decided_by: String,
}

/// An event that looks like another one that is there already, under another id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    pub event: EventNumber,
    pub about: EventNumber,
    pub why: String,
    pub found_at: Instant,
    /// Accepted: it is the same, and what it was charged was taken back.
    pub decision: Option<Decision>,
}

impl Write {
    /// Puts events on the list, or their newer reason in place of the older one.
    pub async fn hold(&mut self, org: Org, held: &[HeldEvent]) -> Result<(), StoreError> {
        const HELD: Table<6> = Table {
            name: "held",
            columns: [int("org"), big("event"), big("record"), small("reason"), text("detail"), big("held_at")],
        };
        let rows = held.iter().map(|held| {
            let (event, record, reason) = (Value::Int(held.event.0), Value::Int(held.record), Value::Int(held.reason as i64));
            [Value::Int(org.0), event, record, reason, Value::Text(&held.detail), Value::Int(held.held_at.micros())]
        });
        self.insert(&HELD, rows, "write held events").await
    }

    pub async fn release(&mut self, org: Org, events: &[EventNumber]) -> Result<(), StoreError> {
        let numbers: Vec<i64> = events.iter().map(|event| event.0).collect();
        for list in lists(&numbers) {
            let text = format!("DELETE FROM held WHERE org = $1 AND event IN ({})", in_list(2, list.len()));
            on!(self.db().await?, db => {
                let query = list.iter().fold(sqlx::query(AssertSqlSafe(text)).bind(org.0), |query, event| query.bind(*event));
                query.execute(&mut *db).await.doing("release held events")?;
            });
        }
        Ok(())
    }

    /// Those of the events that are on the list.
    pub async fn held_among(&mut self, org: Org, events: &[EventNumber]) -> Result<Vec<HeldEvent>, StoreError> {
        let numbers: Vec<i64> = events.iter().map(|event| event.0).collect();
        rows_in!(self.db().await?, db => &mut *db, HELD_AMONG, org, &numbers, held_event, "read held events").await
    }

    pub async fn insert_conflicts(&mut self, org: Org, conflicts: &[Conflict]) -> Result<(), StoreError> {
        const CONFLICTS: Table<5> =
            Table { name: "conflicts", columns: [int("org"), big("conflict"), big("event"), text("fields"), big("found_at")] };
        let fields: Vec<String> = conflicts.iter().map(|conflict| conflict.fields.join(",")).collect();
        let rows = conflicts.iter().zip(&fields).map(|(conflict, fields)| {
            let (number, event) = (Value::Int(conflict.conflict), Value::Int(conflict.event.0));
            [Value::Int(org.0), number, event, Value::Text(fields), Value::Int(conflict.found_at.micros())]
        });
        self.insert(&CONFLICTS, rows, "write conflicts").await
    }

    /// Decides a conflict that is still open; says whether it was.
    pub async fn decide_conflict(&mut self, org: Org, conflict: i64, decision: &Decision) -> Result<bool, StoreError> {
        let text = "UPDATE conflicts SET decision = $3, decided_at = $4, decided_by = $5
                     WHERE org = $1 AND conflict = $2 AND decision IS NULL";
        self.decide(text, org, conflict, decision, "decide a conflict").await
    }

    async fn decide(
        &mut self,
        text: &'static str,
        org: Org,
        number: i64,
        decision: &Decision,
        doing: &'static str,
    ) -> Result<bool, StoreError> {
        let word = if decision.accepted { "accepted" } else { "dismissed" };
        on!(self.db().await?, db => {
            let query = sqlx::query(text).bind(org.0).bind(number).bind(word).bind(decision.decided_at.micros());
            query.bind(&decision.decided_by).execute(&mut *db).await.map(|done| done.rows_affected() == 1).doing(doing)
        })
    }
}

impl Write {
    pub async fn insert_suspects(&mut self, org: Org, suspects: &[Suspect]) -> Result<(), StoreError> {
        // An event may be met with the same suspicion again while it is completed.
        let text = "INSERT INTO suspects (org, event, about, why, found_at) VALUES ($1, $2, $3, $4, $5)
                    ON CONFLICT (org, event) DO NOTHING";
        for suspect in suspects {
            on!(self.db().await?, db => {
                let query = sqlx::query(text).bind(org.0).bind(suspect.event.0).bind(suspect.about.0).bind(&suspect.why);
                query.bind(suspect.found_at.micros()).execute(&mut *db).await.doing("write suspects")?;
            });
        }
        Ok(())
    }

    /// Decides on a suspect that is still open; says whether it was.
    pub async fn decide_suspect(&mut self, org: Org, event: EventNumber, decision: &Decision) -> Result<bool, StoreError> {
        let text = "UPDATE suspects SET decision = $3, decided_at = $4, decided_by = $5
                     WHERE org = $1 AND event = $2 AND decision IS NULL";
        self.decide(text, org, event.0, decision, "decide on a suspect").await
    }
}

const SUSPECT: &str = "SELECT event, about, why, found_at, decision, decided_at, decided_by FROM suspects WHERE org = $1";
const HELD_EVENT: &str = "SELECT event, record, reason, detail, held_at FROM held WHERE org = $1";
const HELD_AMONG: &str = "SELECT event, record, reason, detail, held_at FROM held WHERE org = $1 AND event IN (..)";
const CONFLICT: &str = "SELECT conflict, event, fields, found_at, decision, decided_at, decided_by FROM conflicts WHERE org = $1";
const CONFLICTS_AMONG: &str = "SELECT conflict, event FROM conflicts WHERE org = $1 AND conflict IN (..)";
#[cfg(test)]
pub(super) const LOOKED_UP: [&str; 2] = [HELD_AMONG, CONFLICTS_AMONG];

impl Store {
    /// A page of what is held, oldest event first; of one reason, or of any.
    pub async fn held(
        &self,
        org: Org,
        reason: Option<HeldReason>,
        after: EventNumber,
        limit: i64,
    ) -> Result<Vec<HeldEvent>, StoreError> {
        let text = format!("{HELD_EVENT} AND event > $2 AND (reason = $3 OR $3 = 0) ORDER BY event LIMIT $4");
        on!(self.reader(), db => {
            let query = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(after.0).bind(reason.map_or(0, |reason| reason as i64));
            let rows = query.bind(limit).fetch_all(db).await.doing("read held events")?;
            rows.iter().map(held_event).collect::<Result<_, sqlx::Error>>().doing("read held events")
        })
    }

    /// Those of the events that are on the list.
    pub async fn held_among(&self, org: Org, events: &[EventNumber]) -> Result<Vec<HeldEvent>, StoreError> {
        let numbers: Vec<i64> = events.iter().map(|event| event.0).collect();
        rows_in!(self.reader(), db => db, HELD_AMONG, org, &numbers, held_event, "read held events").await
    }

    /// Those of the records that are on the list of conflicts, each with the event that it contradicts.
    pub async fn conflicts_among(&self, org: Org, records: &[i64]) -> Result<Vec<(i64, EventNumber)>, StoreError> {
        rows_in!(self.reader(), db => db, CONFLICTS_AMONG, org, records, contradicted, "read conflicts").await
    }

    /// Whether a person said that this event tells of a call that another one was charged for.
    pub async fn is_accepted_suspect(&self, org: Org, event: EventNumber) -> Result<bool, StoreError> {
        let text = "SELECT COUNT(*) FROM suspects WHERE org = $1 AND event = $2 AND decision = 'accepted'";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(event.0).fetch_one(db).await.doing("read suspects")?;
            row.int(0).map(|count| count > 0).doing("read suspects")
        })
    }

    /// How many events are held, by reason.
    pub async fn held_counts(&self, org: Org) -> Result<Vec<(HeldReason, i64)>, StoreError> {
        let text = "SELECT reason, COUNT(*) FROM held WHERE org = $1 GROUP BY reason ORDER BY reason";
        on!(self.reader(), db => {
            let rows = sqlx::query(text).bind(org.0).fetch_all(db).await.doing("count held events")?;
            rows.iter().map(|row| Ok((reason(row, 0)?, row.int(1)?))).collect::<Result<_, sqlx::Error>>().doing("count held events")
        })
    }

    /// A page of conflicts, oldest first; the open ones, or all.
    pub async fn conflicts(&self, org: Org, open_only: bool, after: i64, limit: i64) -> Result<Vec<Conflict>, StoreError> {
        let text = format!("{CONFLICT} AND conflict > $2 AND (decision IS NULL OR $3 = 0) ORDER BY conflict LIMIT $4");
        on!(self.reader(), db => {
            let query = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(after).bind(i64::from(open_only)).bind(limit);
            let rows = query.fetch_all(db).await.doing("read conflicts")?;
            rows.iter().map(conflict).collect::<Result<_, sqlx::Error>>().doing("read conflicts")
        })
    }

    pub async fn conflict(&self, org: Org, number: i64) -> Result<Option<Conflict>, StoreError> {
        let text = format!("{CONFLICT} AND conflict = $2");
        on!(self.reader(), db => {
            let row = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(number).fetch_optional(db).await.doing("read a conflict")?;
            row.map(|row| conflict(&row)).transpose().doing("read a conflict")
        })
    }

    /// A page of suspects, oldest first; the open ones, or all.
    pub async fn suspects(&self, org: Org, open_only: bool, after: i64, limit: i64) -> Result<Vec<Suspect>, StoreError> {
        let text = format!("{SUSPECT} AND event > $2 AND (decision IS NULL OR $3 = 0) ORDER BY event LIMIT $4");
        on!(self.reader(), db => {
            let query = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(after).bind(i64::from(open_only)).bind(limit);
            let rows = query.fetch_all(db).await.doing("read suspects")?;
            rows.iter().map(suspect).collect::<Result<_, sqlx::Error>>().doing("read suspects")
        })
    }

    pub async fn open_suspects(&self, org: Org) -> Result<i64, StoreError> {
        let text = "SELECT COUNT(*) FROM suspects WHERE org = $1 AND decision IS NULL";
        on!(self.reader(), db => {
            sqlx::query(text).bind(org.0).fetch_one(db).await.and_then(|row| row.int(0)).doing("count suspects")
        })
    }

    pub async fn open_conflicts(&self, org: Org) -> Result<i64, StoreError> {
        let text = "SELECT COUNT(*) FROM conflicts WHERE org = $1 AND decision IS NULL";
        on!(self.reader(), db => {
            sqlx::query(text).bind(org.0).fetch_one(db).await.and_then(|row| row.int(0)).doing("count conflicts")
        })
    }
}

fn contradicted(row: &impl Columns) -> Result<(i64, EventNumber), sqlx::Error> {
    Ok((row.int(0)?, EventNumber(row.int(1)?)))
}

fn reason(row: &impl Columns, place: usize) -> Result<HeldReason, sqlx::Error> {
    let number = row.int(place)?;
    HeldReason::from_number(narrow(number)?).ok_or_else(|| sqlx::Error::Decode(format!("unknown reason {number}").into()))
}

fn held_event(row: &impl Columns) -> Result<HeldEvent, sqlx::Error> {
    Ok(HeldEvent {
        event: EventNumber(row.int(0)?),
        record: row.int(1)?,
        reason: reason(row, 2)?,
        detail: row.text(3)?,
        held_at: Instant::from_micros(row.int(4)?),
    })
}

/// A decision in the fifth to seventh column.
fn decision(row: &impl Columns) -> Result<Option<Decision>, sqlx::Error> {
    Ok(match (row.maybe_text(4)?, row.maybe_int(5)?, row.maybe_text(6)?) {
        (Some(decision), Some(decided_at), decided_by) => Some(Decision {
            accepted: decision == "accepted",
            decided_at: Instant::from_micros(decided_at),
            decided_by: decided_by.unwrap_or_default(),
        }),
        _ => None,
    })
}

fn suspect(row: &impl Columns) -> Result<Suspect, sqlx::Error> {
    Ok(Suspect {
        event: EventNumber(row.int(0)?),
        about: EventNumber(row.int(1)?),
        why: row.text(2)?,
        found_at: Instant::from_micros(row.int(3)?),
        decision: decision(row)?,
    })
}

fn conflict(row: &impl Columns) -> Result<Conflict, sqlx::Error> {
    Ok(Conflict {
        conflict: row.int(0)?,
        event: EventNumber(row.int(1)?),
        fields: row.text(2)?.split(',').map(str::to_owned).collect(),
        found_at: Instant::from_micros(row.int(3)?),
        decision: decision(row)?,
    })
}
