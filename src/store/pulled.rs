//! Somebody else's table, read and never written: the ledger `usage_cost_events` that Oceans LLM keeps in SQLite (or libsql,
//! whose files are the same) or in PostgreSQL; and our own note of how far it was read.

use crate::id::Org;
use crate::store::sql::{Columns, Either, on};
use crate::store::{Doing, Store, StoreError, without_password};
use crate::time::Instant;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool, SqlitePool};
use std::str::FromStr;
use std::time::Duration;

/// A place in the table: rows are in the order of their second, then of their id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    pub at: i64,
    pub id: String,
}

/// A row as JSON under the names of its columns, every number as it stands there.
#[derive(Clone, Debug)]
pub struct PulledRow {
    pub place: Place,
    pub json: String,
}

pub struct OceansTable {
    pool: Either<SqlitePool, PgPool>,
    page: String,
}

impl OceansTable {
    pub async fn open(url: &str) -> Result<OceansTable, StoreError> {
        let bad = || StoreError::Url(without_password(url));
        if url.starts_with("postgres") {
            let options = PgConnectOptions::from_str(url).map_err(|_| bad())?;
            let options = options.application_name("farthing pull").options([("default_transaction_read_only", "on")]);
            let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(10));
            let pool = pool.connect_with(options.disable_statement_logging()).await.doing("connect to Oceans' database")?;
            let page = "SELECT CAST(occurred_at AS BIGINT), CAST(usage_event_id AS TEXT), CAST(row_to_json(t) AS TEXT)
                          FROM usage_cost_events t
                         WHERE (CAST(occurred_at AS BIGINT), CAST(usage_event_id AS TEXT)) > ($1, $2)
                         ORDER BY occurred_at, CAST(usage_event_id AS TEXT) LIMIT $3";
            return Ok(OceansTable { pool: Either::Postgres(pool), page: page.to_owned() });
        }
        let options = SqliteConnectOptions::from_str(url).map_err(|_| bad())?;
        // Their gateway writes meanwhile; a reader of ours must neither make the file nor hold it up.
        let options = options.create_if_missing(false).read_only(true).busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options.disable_statement_logging()).await;
        let pool = pool.doing("open Oceans' database")?;
        let columns = sqlx::query("SELECT name FROM pragma_table_info('usage_cost_events')").fetch_all(&pool).await;
        let columns: Vec<String> =
            columns.and_then(|rows| rows.iter().map(|row| row.text(0)).collect()).doing("look at Oceans' table")?;
        let pairs: Vec<_> =
            columns.iter().map(|name| format!("'{}', \"{}\"", name.replace('\'', "''"), name.replace('"', "\"\""))).collect();
        let page = format!(
            "SELECT occurred_at, usage_event_id, json_object({}) FROM usage_cost_events
              WHERE (occurred_at, usage_event_id) > ($1, $2) ORDER BY occurred_at, usage_event_id LIMIT $3",
            pairs.join(", ")
        );
        Ok(OceansTable { pool: Either::Sqlite(pool), page })
    }

    /// The rows after a place, in order.
    pub async fn page(&self, after: &Place, limit: i64) -> Result<Vec<PulledRow>, StoreError> {
        let text = AssertSqlSafe(self.page.clone());
        on!(&self.pool, pool => {
            let rows = sqlx::query(text).bind(after.at).bind(&after.id).bind(limit).fetch_all(pool).await;
            let rows = rows.doing("read Oceans' table")?;
            let read = |row| pulled_row(row).doing("read Oceans' table");
            rows.iter().map(read).collect()
        })
    }
}

fn pulled_row(row: &impl Columns) -> Result<PulledRow, sqlx::Error> {
    Ok(PulledRow { place: Place { at: row.int(0)?, id: row.text(1)? }, json: row.text(2)? })
}

impl Store {
    /// How far a source's table was read.
    pub async fn pulled(&self, org: Org, source: &str) -> Result<Option<Place>, StoreError> {
        let text = "SELECT at, id FROM pulls WHERE org = $1 AND source = $2";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(source).fetch_optional(db).await.doing("read a pull")?;
            row.map(|row| Ok(Place { at: row.int(0)?, id: row.text(1)? })).transpose().doing("read a pull")
        })
    }

    pub async fn note_pulled(&self, org: Org, source: &str, place: &Place, rows: i64, now: Instant) -> Result<(), StoreError> {
        let text = "INSERT INTO pulls (org, source, at, id, rows_read, pulled_at) VALUES ($1, $2, $3, $4, $5, $6)
                    ON CONFLICT (org, source) DO UPDATE
                       SET at = excluded.at, id = excluded.id, rows_read = pulls.rows_read + excluded.rows_read,
                           pulled_at = excluded.pulled_at";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(source).bind(place.at).bind(&place.id).bind(rows);
            query.bind(now.micros()).execute(db).await.map(drop).doing("note a pull")
        })
    }
}
