//! What was sent and is no event: kept without its content, so that it can be mended and sent again. The same body that is
//! sent again and again is one row with a count.

use crate::id::Org;
use crate::store::sql::{Columns, on};
use crate::store::{Doing, Store, StoreError};
use crate::time::Instant;
use sqlx::AssertSqlSafe;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedBody {
    /// From the hash of the body, so that the same one is the same row.
    pub rejected: String,
    pub dialect: String,
    pub source: Option<String>,
    pub event_id: Option<String>,
    pub field: String,
    pub detail: String,
    /// What was sent, without content; nothing where it was not JSON.
    pub body: Option<String>,
    pub size: i64,
    pub times: i64,
    pub received_at: Instant,
}

const REJECTED: &str = "SELECT rejected, dialect, source, event_id, field, detail, body, size, times, received_at
                          FROM rejected WHERE org = $1";

impl Store {
    pub async fn keep_rejected(&self, org: Org, bodies: &[RejectedBody]) -> Result<(), StoreError> {
        let text =
            "INSERT INTO rejected (org, rejected, dialect, source, event_id, field, detail, body, size, times, received_at)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10)
                    ON CONFLICT (org, rejected) DO UPDATE SET times = rejected.times + 1, received_at = excluded.received_at";
        on!(self.writer(), pool => {
            let mut tx = pool.begin().await.doing("keep rejected bodies")?;
            for body in bodies {
                sqlx::query(text)
                    .bind(org.0)
                    .bind(&body.rejected)
                    .bind(&body.dialect)
                    .bind(&body.source)
                    .bind(&body.event_id)
                    .bind(&body.field)
                    .bind(&body.detail)
                    .bind(&body.body)
                    .bind(body.size)
                    .bind(body.received_at.micros())
                    .execute(&mut *tx)
                    .await
                    .doing("keep rejected bodies")?;
            }
            tx.commit().await.doing("keep rejected bodies")
        })
    }

    /// A page of rejected bodies, by their id.
    pub async fn rejected(&self, org: Org, after: &str, limit: i64) -> Result<Vec<RejectedBody>, StoreError> {
        let text = format!("{REJECTED} AND rejected > $2 ORDER BY rejected LIMIT $3");
        on!(self.reader(), db => {
            let query = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(after).bind(limit);
            let rows = query.fetch_all(db).await.doing("read rejected bodies")?;
            rows.iter().map(rejected_body).collect::<Result<_, sqlx::Error>>().doing("read rejected bodies")
        })
    }

    pub async fn rejected_count(&self, org: Org) -> Result<i64, StoreError> {
        on!(self.reader(), db => {
            let row = sqlx::query("SELECT COUNT(*) FROM rejected WHERE org = $1").bind(org.0).fetch_one(db).await;
            row.and_then(|row| row.int(0)).doing("count rejected bodies")
        })
    }

    /// Forgets a body that has become an event.
    pub async fn forget_rejected(&self, org: Org, rejected: &str) -> Result<(), StoreError> {
        on!(self.writer(), db => {
            let query = sqlx::query("DELETE FROM rejected WHERE org = $1 AND rejected = $2").bind(org.0).bind(rejected);
            query.execute(db).await.map(drop).doing("forget a rejected body")
        })
    }

    /// Forgets bodies that were last received before an instant; says how many.
    pub async fn forget_rejected_before(&self, org: Org, before: Instant) -> Result<u64, StoreError> {
        on!(self.writer(), db => {
            let query = sqlx::query("DELETE FROM rejected WHERE org = $1 AND received_at < $2").bind(org.0).bind(before.micros());
            query.execute(db).await.map(|done| done.rows_affected()).doing("forget rejected bodies")
        })
    }
}

fn rejected_body(row: &impl Columns) -> Result<RejectedBody, sqlx::Error> {
    Ok(RejectedBody {
        rejected: row.text(0)?,
        dialect: row.text(1)?,
        source: row.maybe_text(2)?,
        event_id: row.maybe_text(3)?,
        field: row.text(4)?,
        detail: row.text(5)?,
        body: row.maybe_text(6)?,
        size: row.int(7)?,
        times: row.int(8)?,
        received_at: Instant::from_micros(row.int(9)?),
    })
}
