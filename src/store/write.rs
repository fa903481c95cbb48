//! One transaction on the books it locks. What it inserts waits until something is asked of it or it commits, and then goes
//! to the database in one piece: SQLite's driver works on a thread of its own, and going there and back costs a small
//! commit more than the rows do.

use crate::id::Org;
use crate::store::blocks::{HEAD, Head};
use crate::store::checkpoints::Checkpoints;
use crate::store::once::{self, OnceWork};
use crate::store::sql::{self, Either, Gathered, Table, Value};
use crate::store::{Doing, Store, StoreError};
use crate::time::Month;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Sqlite, SqliteConnection, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Dropped without [`Write::commit`], nothing happened.
pub struct Write {
    db: Either<OnSqlite, OnPostgres>,
}

struct OnPostgres {
    tx: Transaction<'static, Postgres>,
    gathered: Gathered<Postgres>,
}

struct OnSqlite {
    connection: PoolConnection<Sqlite>,
    once: OnceWork,
    gathered: Gathered<Sqlite>,
    unsettled: Arc<Unsettled>,
    number: u64,
    checkpoints: Option<Arc<Checkpoints>>,
    rows: usize,
}

/// Whether the writer's last transaction was seen to commit. After any other the connection is looked at: the transaction may
/// still be there, or SQLite may have ended it by itself, as it does for want of room.
#[derive(Default)]
pub(super) struct Unsettled {
    begun: AtomicU64,
    committed: AtomicU64,
}

impl Unsettled {
    fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn commit(&self, number: u64) {
        self.committed.fetch_max(number, Ordering::AcqRel);
    }

    /// Makes a connection fit to be used again; one that cannot be is closed.
    pub(super) async fn settle(&self, connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
        if self.committed.load(Ordering::Acquire) == self.begun.load(Ordering::Acquire) {
            return Ok(true);
        }
        // Waits for a statement that nobody waits for any more. It is refused where no transaction is left.
        let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
        // And this where one still is.
        sqlx::raw_sql("BEGIN; COMMIT").execute(&mut *connection).await.map(|_| true)
    }
}

impl Store {
    /// Starts a transaction that may write to books. On SQLite it begins with the first statement.
    pub async fn begin(&self) -> Result<Write, StoreError> {
        let db = match &*self.databases {
            Either::Sqlite(sqlite) => {
                let connection = sqlite.writer.acquire().await.doing("begin a transaction")?;
                let number = sqlite.unsettled.begin();
                let once = OnceWork::new(sqlite.once.clone().lock_owned().await);
                let mut gathered = Gathered::default();
                // Immediate: a transaction that reads first and writes later could not be retried by waiting.
                gathered.run("BEGIN IMMEDIATE", &[]);
                let (unsettled, checkpoints) = (sqlite.unsettled.clone(), sqlite.checkpoints.clone());
                Either::Sqlite(OnSqlite { connection, once, gathered, unsettled, number, checkpoints, rows: 0 })
            }
            Either::Postgres(pool) => {
                // What a commit looks for it looks up by an index. A plan that is made while the tables are still empty would
                // read all of them, and would be kept when they have grown.
                let begin = "BEGIN; SET LOCAL enable_seqscan = off";
                let tx = pool.begin_with(begin).await.doing("begin a transaction")?;
                Either::Postgres(OnPostgres { tx, gathered: Gathered::default() })
            }
        };
        Ok(Write { db })
    }
}

impl Write {
    pub fn is_sqlite(&self) -> bool {
        matches!(self.db, Either::Sqlite(_))
    }

    /// The database, which knows of everything that was inserted.
    pub(super) async fn db(&mut self) -> Result<Either<&mut SqliteConnection, &mut PgConnection>, StoreError> {
        Ok(match &mut self.db {
            Either::Sqlite(sqlite) => {
                sqlite.write_gathered().await?;
                Either::Sqlite(&mut sqlite.connection)
            }
            Either::Postgres(postgres) => {
                postgres.write_gathered().await?;
                Either::Postgres(&mut postgres.tx)
            }
        })
    }

    /// The database with the keys that live in memory on SQLite.
    pub(super) async fn db_and_keys(
        &mut self,
    ) -> Result<Either<(&mut SqliteConnection, &mut OnceWork), &mut PgConnection>, StoreError> {
        Ok(match &mut self.db {
            Either::Sqlite(sqlite) => {
                sqlite.write_gathered().await?;
                Either::Sqlite((&mut sqlite.connection, &mut sqlite.once))
            }
            Either::Postgres(postgres) => {
                postgres.write_gathered().await?;
                Either::Postgres(&mut postgres.tx)
            }
        })
    }

    /// On SQLite what will be written, with the keys that are to be remembered.
    pub(super) fn gathered(&mut self) -> Option<(&mut Gathered<Sqlite>, &mut OnceWork)> {
        match &mut self.db {
            Either::Sqlite(sqlite) => Some((&mut sqlite.gathered, &mut sqlite.once)),
            Either::Postgres(_) => None,
        }
    }

    /// Locks the head of a book until the transaction ends.
    pub(super) async fn lock_head(&mut self, org: Org) -> Result<Head, StoreError> {
        let doing = "lock the head of a book";
        match &mut self.db {
            Either::Sqlite(sqlite) => sqlite.lock_head(org).await.doing(doing),
            Either::Postgres(postgres) => {
                postgres.write_gathered().await?;
                let query = sqlx::query(AssertSqlSafe(format!("{HEAD} $1 FOR UPDATE"))).bind(org.0);
                query.fetch_one(&mut *postgres.tx).await.and_then(|row| Head::of(&row)).doing(doing)
            }
        }
    }

    /// Inserts rows with as few statements as possible.
    pub(super) async fn insert<'v, const N: usize>(
        &mut self,
        table: &Table<N>,
        mut rows: impl ExactSizeIterator<Item = [Value<'v>; N]> + Send,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        match &mut self.db {
            Either::Sqlite(sqlite) => {
                while rows.len() > 0 {
                    sqlite.gathered.insert(table, rows.by_ref().take(sql::MOST_ROWS));
                    if sqlite.gathered.is_large() {
                        sqlite.write_gathered().await?;
                    }
                }
            }
            Either::Postgres(postgres) if rows.len() >= sql::WORTH_COPYING => {
                postgres.write_gathered().await?;
                sql::copy(&mut postgres.tx, table, rows).await.doing(doing)?;
            }
            Either::Postgres(postgres) => postgres.gathered.insert(table, rows),
        }
        Ok(())
    }

    /// Inserts rows of a table that PostgreSQL keeps in months.
    pub(super) async fn insert_into_month<'v, const N: usize, const M: usize>(
        &mut self,
        table: &Table<N>,
        in_months: &Table<M>,
        month: Month,
        rows: impl ExactSizeIterator<Item = [Value<'v>; N]> + Send,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let with_month = |row: [Value<'v>; N]| -> [Value<'v>; M] {
            let sealed_in = Value::Int(i64::from(month.number()));
            std::array::from_fn(|place| row.get(place).copied().unwrap_or(sealed_in))
        };
        match self.is_sqlite() {
            true => self.insert(table, rows, doing).await,
            false => self.insert(in_months, rows.map(with_month), doing).await,
        }
    }

    /// Runs a statement whose parameters, written as `?`, are the values in their order.
    pub(super) async fn run(&mut self, text: &str, values: &[Value<'_>]) -> Result<(), StoreError> {
        match &mut self.db {
            Either::Sqlite(sqlite) => sqlite.gathered.run(text, values),
            Either::Postgres(postgres) => {
                // Parts of one statement do not see each other: of two changes of a row one would be lost.
                if postgres.gathered.has(text) {
                    postgres.write_gathered().await?;
                }
                postgres.gathered.run(text, values);
            }
        }
        Ok(())
    }

    /// Everything or nothing. After an error nobody knows which it was; the caller asks the book's head.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.db {
            Either::Sqlite(sqlite) => sqlite.commit().await,
            Either::Postgres(mut postgres) => {
                postgres.write_gathered().await?;
                postgres.tx.commit().await.doing("commit")
            }
        }
    }
}

impl OnPostgres {
    async fn write_gathered(&mut self) -> Result<(), StoreError> {
        let Some((text, arguments)) = self.gathered.take() else { return Ok(()) };
        let query = sqlx::query_with(AssertSqlSafe(text), arguments);
        query.execute(&mut *self.tx).await.map(drop).doing("write to a book")
    }
}

impl OnSqlite {
    async fn write_gathered(&mut self) -> Result<(), StoreError> {
        self.rows += self.gathered.rows();
        let Some((text, arguments)) = self.gathered.take() else { return Ok(()) };
        let query = sqlx::query_with(AssertSqlSafe(text), arguments);
        query.execute(&mut *self.connection).await.map(drop).doing("write to a book")
    }

    /// The head of a book, and in the same go how far the log of keys is.
    async fn lock_head(&mut self, org: Org) -> Result<Head, sqlx::Error> {
        // The transaction is immediate: it holds the only lock there is.
        self.gathered.run(&format!("{HEAD} ?"), &[Value::Int(org.0)]);
        self.gathered.run(once::ENDS, &[]);
        let (text, arguments) = self.gathered.take().unwrap_or_default();
        let rows = sqlx::query_with(AssertSqlSafe(text), arguments).fetch_all(&mut *self.connection).await?;
        let [head, ends] = rows.as_slice() else { return Err(sqlx::Error::RowNotFound) };
        self.once.saw(ends)?;
        Head::of(head)
    }

    async fn commit(mut self) -> Result<(), StoreError> {
        self.gathered.run("COMMIT", &[]);
        let committed = self.write_gathered().await;
        if committed.is_ok() {
            self.unsettled.commit(self.number);
            if let Some(checkpoints) = &self.checkpoints {
                checkpoints.committed(self.rows);
            }
        }
        // What is in memory follows the database, never the other way round.
        self.once.after_commit(committed.is_ok());
        committed
    }
}
