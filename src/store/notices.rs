//! Notices: what a person should know, kept until it was told; and leases, by which one of several processes runs a job.

use crate::id::Org;
use crate::store::sql::{Columns, on};
use crate::store::{Doing, Fault, Store, StoreError};
use crate::time::Instant;

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub org: Org,
    pub notice: i64,
    pub kind: String,
    /// A JSON object.
    pub body: String,
    pub created_at: Instant,
    pub delivered_at: Option<Instant>,
    pub attempts: i64,
    pub last_error: Option<String>,
}

const NOTICE: &str = "SELECT org, notice, kind, body, created_at, delivered_at, attempts, last_error FROM notices WHERE";

impl Store {
    pub async fn notify(&self, org: Org, kind: &str, body: &str, now: Instant) -> Result<(), StoreError> {
        // Two processes may take the same number at the same moment; one of them takes the next.
        for _ in 0..5 {
            match self.try_notify(org, kind, body, now).await {
                Err(e) if e.fault() == Fault::Data => {}
                done => return done,
            }
        }
        self.try_notify(org, kind, body, now).await
    }

    async fn try_notify(&self, org: Org, kind: &str, body: &str, now: Instant) -> Result<(), StoreError> {
        let text = "INSERT INTO notices (org, notice, kind, body, created_at, attempts, next_at)
                    SELECT CAST($1 AS BIGINT), COALESCE(MAX(notice), 0) + 1, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), 0,
                           CAST($4 AS BIGINT)
                      FROM notices WHERE org = $1";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(kind).bind(body).bind(now.micros());
            query.execute(db).await.map(drop).doing("write a notice")
        })
    }

    /// The newest notices of an org, the newest first; of one kind, or of any.
    pub async fn notices(&self, org: Org, kind: Option<&str>, limit: i64) -> Result<Vec<Notice>, StoreError> {
        let text = format!("{NOTICE} org = $1 AND (kind = $2 OR $2 = '') ORDER BY notice DESC LIMIT $3");
        on!(self.reader(), db => {
            let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(org.0).bind(kind.unwrap_or("")).bind(limit);
            let rows = query.fetch_all(db).await.doing("read notices")?;
            rows.iter().map(notice).collect::<Result<_, sqlx::Error>>().doing("read notices")
        })
    }

    /// Notices of every org that are to be told now, the oldest first.
    pub async fn notices_due(&self, now: Instant, limit: i64) -> Result<Vec<Notice>, StoreError> {
        let text = format!("{NOTICE} delivered_at IS NULL AND next_at <= $1 ORDER BY created_at, org, notice LIMIT $2");
        on!(self.reader(), db => {
            let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(now.micros()).bind(limit);
            let rows = query.fetch_all(db).await.doing("read notices")?;
            rows.iter().map(notice).collect::<Result<_, sqlx::Error>>().doing("read notices")
        })
    }

    /// What became of telling a notice: it was taken at an instant, or is to be tried again at one.
    pub async fn told(&self, notice: &Notice, at: Result<Instant, (String, Instant)>) -> Result<(), StoreError> {
        let text =
            "UPDATE notices SET attempts = attempts + 1, delivered_at = $3, last_error = $4, next_at = COALESCE($5, next_at)
                     WHERE org = $1 AND notice = $2";
        let (delivered_at, error, next_at) = match at {
            Ok(at) => (Some(at.micros()), None, None),
            Err((error, next)) => (None, Some(error), Some(next.micros())),
        };
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(notice.org.0).bind(notice.notice).bind(delivered_at).bind(error).bind(next_at);
            query.execute(db).await.map(drop).doing("mark a notice")
        })
    }

    pub async fn forget_notices_before(&self, before: Instant) -> Result<u64, StoreError> {
        on!(self.writer(), db => {
            let query = sqlx::query("DELETE FROM notices WHERE created_at < $1
                             AND notice < (SELECT MAX(newest.notice) FROM notices newest WHERE newest.org = notices.org)").bind(before.micros());
            query.execute(db).await.map(|done| done.rows_affected()).doing("forget notices")
        })
    }

    /// Takes or renews the lease of a job; says whether it is ours.
    pub async fn take_lease(&self, lease: &str, holder: &str, now: Instant, until: Instant) -> Result<bool, StoreError> {
        let text = "INSERT INTO leases (lease, holder, until) VALUES ($1, $2, $3)
                    ON CONFLICT (lease) DO UPDATE SET holder = excluded.holder, until = excluded.until
                     WHERE leases.until <= $4 OR leases.holder = excluded.holder";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(lease).bind(holder).bind(until.micros()).bind(now.micros());
            query.execute(db).await.map(|done| done.rows_affected() == 1).doing("take a lease")
        })
    }
}

impl Store {
    /// Gives a lease back because the work is done. One that is not given back ran out with whoever held it.
    pub async fn end_lease(&self, lease: &str, holder: &str) -> Result<(), StoreError> {
        let text = "UPDATE leases SET until = 0 WHERE lease = $1 AND holder = $2";
        on!(self.writer(), db => {
            sqlx::query(text).bind(lease).bind(holder).execute(db).await.map(drop).doing("give a lease back")
        })
    }

    /// Whether whoever held a lease last gave it back.
    pub async fn has_ended(&self, lease: &str) -> Result<bool, StoreError> {
        let text = "SELECT COUNT(*) FROM leases WHERE lease = $1 AND until = 0";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(lease).fetch_one(db).await.doing("look at a lease")?;
            row.int(0).map(|count| count > 0).doing("look at a lease")
        })
    }
}

fn notice(row: &impl Columns) -> Result<Notice, sqlx::Error> {
    Ok(Notice {
        org: Org(row.int(0)?),
        notice: row.int(1)?,
        kind: row.text(2)?,
        body: row.text(3)?,
        created_at: Instant::from_micros(row.int(4)?),
        delivered_at: row.maybe_int(5)?.map(Instant::from_micros),
        attempts: row.int(6)?,
        last_error: row.maybe_text(7)?,
    })
}
