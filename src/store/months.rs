//! Months on PostgreSQL: entries and events lie in a partition for each month in which blocks were sealed. They are there so that
//! an operator can take an old month out; no other statement knows of them. SQLite has none.

use crate::store::sql::{Columns, Either};
use crate::store::{Doing, Store, StoreError};
use crate::time::Month;

/// The column that says in which month a row's block was sealed.
pub(super) const SEALED_IN: &str = "sealed_in";

/// Nobody plans further ahead; the database refuses it too.
pub const MOST_MONTHS_AHEAD: u32 = 120;

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub table: String,
    /// Which months it is for, as PostgreSQL says it.
    pub bounds: String,
    pub bytes: i64,
    /// As many rows as PostgreSQL believes that there are.
    pub rows: i64,
}

impl Store {
    /// Makes the partitions of a month and of so many after it, at most [`MOST_MONTHS_AHEAD`], as far as they are not there; says
    /// how many were made.
    pub async fn make_months(&self, from: Month, ahead: u32) -> Result<u64, StoreError> {
        let Either::Postgres(pool) = self.writer() else { return Ok(0) };
        let mut made = 0;
        for month in (from.number()..).take(ahead.min(MOST_MONTHS_AHEAD) as usize + 1) {
            let row = sqlx::query("SELECT make_month($1)").bind(month).fetch_one(pool).await.doing("make a partition")?;
            made += row.int(0).doing("make a partition")?.unsigned_abs();
        }
        Ok(made)
    }

    /// The partitions there are.
    pub async fn partitions(&self) -> Result<Vec<Partition>, StoreError> {
        let Either::Postgres(pool) = self.reader() else { return Ok(Vec::new()) };
        let text = "SELECT c.relname::TEXT, pg_get_expr(c.relpartbound, c.oid), pg_total_relation_size(c.oid),
                           CAST(GREATEST(c.reltuples, 0) AS BIGINT)
                      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                     WHERE i.inhparent IN (to_regclass('entries'), to_regclass('events'))
                     ORDER BY c.relname";
        let rows = sqlx::query(text).fetch_all(pool).await.doing("list partitions")?;
        let partition = |row: &sqlx::postgres::PgRow| {
            Ok(Partition { table: row.text(0)?, bounds: row.text(1)?, bytes: row.int(2)?, rows: row.int(3)? })
        };
        rows.iter().map(partition).collect::<Result<_, sqlx::Error>>().doing("list partitions")
    }
}
