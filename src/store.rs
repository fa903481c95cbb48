//! The store: the only place that speaks SQL. A [`Store`] is SQLite or PostgreSQL, a plain enum of two; statements stand
//! once wherever the two agree, rows beside the statement that reads them. All writing to a book happens inside a
//! [`Write`]: one transaction that holds the heads of the books it touches.
//!
//! There is no statement in here that changes or deletes an entry, an event or a block, and none without its org.

mod access;
mod archive;
mod backup;
mod blocks;
mod catalogs;
mod checkpoints;
mod entries;
mod erasing;
mod events;
mod fetches;
mod names;
mod notices;
mod months;
mod once;
mod packed;
mod place;
mod pulled;
mod rejected;
mod runs;
mod sql;
mod statements;
mod waiting;
mod write;

pub use access::AccessKey;
pub use blocks::{Block, Head};
pub use catalogs::{ContentHash, PublishedVersion, StoredPart, VersionNote};
pub use entries::{BookedEntry, EntryFilter, Line, Span, Wanted};
pub use erasing::Remains;
pub use events::StoredEvent;
pub use fetches::{Fetch, FetchOutcome};
pub use months::{MOST_MONTHS_AHEAD, Partition};
pub use names::{NameKind, Names, NewName, OWNER_KINDS, PRODUCT_KINDS, StoredName};
pub use notices::Notice;
pub use once::OnceKey;
pub use pulled::{OceansTable, Place, PulledRow};
pub use rejected::RejectedBody;
pub use runs::{Claim, JobRun, RunState};
pub use statements::{Body, Received, Reconciliation, Sought};
pub use waiting::{Conflict, Decision, HeldEvent, Suspect};
pub use write::Write;

use crate::id::Org;
use crate::store::checkpoints::Checkpoints;
use crate::store::once::OnceIndex;
use crate::store::sql::{Columns, Either, on};
use crate::store::write::Unsettled;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, PgPool, SqlSafeStr, SqlitePool};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub struct Store {
    databases: Arc<Databases>,
    secret: once::Secret,
}

type Databases = Either<SqliteStore, PgPool>;

struct SqliteStore {
    /// One connection: SQLite has one writer.
    writer: SqlitePool,
    readers: SqlitePool,
    once: Arc<tokio::sync::Mutex<OnceIndex>>,
    unsettled: Arc<Unsettled>,
    /// None where nothing is written.
    checkpoints: Option<Arc<Checkpoints>>,
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    pub url: String,
    /// PostgreSQL with `fsync = off` loses what it acknowledged when the machine stops; it is refused unless told.
    pub allow_fsync_off: bool,
    pub connections: u32,
    /// Keys of a run of the uniqueness index on SQLite; only tests want small ones.
    pub run_keys: usize,
}

/// A run of this many keys fills its map in memory to the point where it would have to grow.
pub const RUN_KEYS: usize = 900_000;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("`{0}` is not a database URL; write sqlite://farthing.db or postgres://user@host/database")]
    Url(String),
    #[error("cannot {doing}")]
    Database {
        doing: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("cannot bring the schema up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error(
        "PostgreSQL runs with fsync = off and would lose what it acknowledged; turn it on, or allow it by FARTHING_ALLOW_FSYNC_OFF=true"
    )]
    FsyncOff,
    #[error(
        "the schema has {applied} steps and this program knows {known}; whoever only reads does not change that: start \
         `farthing serve` of this version once"
    )]
    OtherSchema { applied: usize, known: usize },
    #[error(
        "{path} is on a file system of the network ({kind}), where SQLite loses what two processes write; name a place on a \
         local disk, or use PostgreSQL"
    )]
    NetworkFile { path: String, kind: String },
    #[error("only SQLite has a file that can be copied")]
    NotAFile,
    #[error("{what} is damaged: {why}")]
    Damaged { what: String, why: String },
    #[error("no org is called `{0}`; `farthing orgs create` makes one")]
    NoOrg(String),
    #[error("an org called `{0}` exists already")]
    OrgExists(String),
}

/// What an error means for whoever was writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A row could not be written whatever happens; the others can.
    Data,
    /// The database is away or asks to try again.
    Transient,
    /// Something that trying again will not mend: a full disk, a damaged file.
    Lasting,
}

impl Store {
    pub async fn open(options: &StoreOptions) -> Result<Store, StoreError> {
        let databases = match options.url.split_once(':') {
            Some(("sqlite", _)) => Either::Sqlite(open_sqlite(options).await?),
            Some(("postgres" | "postgresql", _)) => Either::Postgres(open_postgres(options).await?),
            _ => return Err(StoreError::Url(without_password(&options.url))),
        };
        let secret = match &databases {
            Either::Sqlite(sqlite) => once::sqlite_secret(&sqlite.writer).await?,
            Either::Postgres(pool) => once::postgres_secret(pool).await?,
        };
        Ok(Store { databases: Arc::new(databases), secret })
    }

    /// Opens a database that is there, only to look: nothing is made, migrated or written, and whoever writes is not waited
    /// for. On PostgreSQL every statement is a read-only transaction of its own.
    pub async fn open_read_only(options: &StoreOptions) -> Result<Store, StoreError> {
        let databases = match options.url.split_once(':') {
            Some(("sqlite", _)) => Either::Sqlite(look_at_sqlite(options).await?),
            Some(("postgres" | "postgresql", _)) => Either::Postgres(look_at_postgres(options).await?),
            _ => return Err(StoreError::Url(without_password(&options.url))),
        };
        let secret = match &databases {
            Either::Sqlite(sqlite) => once::known_sqlite_secret(&sqlite.readers).await?,
            Either::Postgres(pool) => once::known_postgres_secret(pool).await?,
        };
        Ok(Store { databases: Arc::new(databases), secret })
    }

    /// Makes an empty database on a PostgreSQL server and answers its URL.
    pub async fn create_postgres_database(server: &str, name: &str) -> Result<String, StoreError> {
        let options = PgConnectOptions::from_str(server).map_err(|_| StoreError::Url(without_password(server)))?;
        let mut connection = options.connect().await.doing("connect to PostgreSQL")?;
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.doing("create a database")?;
        let (start, options) = server.split_once('?').unwrap_or((server, ""));
        let place = start.rsplit_once('/').map_or(start, |(place, _)| place);
        Ok(format!("{place}/{name}{}{options}", if options.is_empty() { "" } else { "?" }))
    }

    pub fn is_sqlite(&self) -> bool {
        matches!(&*self.databases, Either::Sqlite(_))
    }

    /// Where to read from, outside of any transaction.
    fn reader(&self) -> Either<&SqlitePool, &PgPool> {
        match &*self.databases {
            Either::Sqlite(sqlite) => Either::Sqlite(&sqlite.readers),
            Either::Postgres(pool) => Either::Postgres(pool),
        }
    }

    /// Where single statements that touch no book are written.
    fn writer(&self) -> Either<&SqlitePool, &PgPool> {
        match &*self.databases {
            Either::Sqlite(sqlite) => Either::Sqlite(&sqlite.writer),
            Either::Postgres(pool) => Either::Postgres(pool),
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(self.reader(), db => sqlx::query("SELECT 1").execute(db).await.map(drop)).doing("reach the database")
    }

    /// How many bytes the database takes on disk; on SQLite without what is still in its write-ahead log.
    pub async fn bytes_on_disk(&self) -> Result<i64, StoreError> {
        const OF_SQLITE: &str = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        const OF_POSTGRES: &str = "SELECT pg_database_size(current_database())";
        let sql = if self.is_sqlite() { OF_SQLITE } else { OF_POSTGRES };
        on!(self.reader(), db => {
            let row = sqlx::query(sql).fetch_one(db).await.doing("measure the database")?;
            row.int(0).doing("measure the database")
        })
    }

    /// The orgs, by number.
    pub async fn orgs(&self) -> Result<Vec<(Org, String)>, StoreError> {
        on!(self.reader(), db => {
            let rows = sqlx::query("SELECT org, name FROM orgs ORDER BY org").fetch_all(db).await.doing("list the orgs")?;
            rows.iter().map(|row| Ok((Org(row.int(0)?), row.text(1)?))).collect::<Result<_, sqlx::Error>>().doing("list the orgs")
        })
    }

    pub async fn org(&self, name: &str) -> Result<Org, StoreError> {
        let orgs = self.orgs().await?;
        orgs.into_iter().find(|(_, other)| other == name).map(|(org, _)| org).ok_or_else(|| StoreError::NoOrg(name.to_owned()))
    }

    pub async fn org_name(&self, org: Org) -> Result<String, StoreError> {
        let orgs = self.orgs().await?;
        let name = orgs.into_iter().find(|(other, _)| *other == org).map(|(_, name)| name);
        name.ok_or_else(|| StoreError::NoOrg(org.to_string()))
    }

    /// Closes the connections; on SQLite the write-ahead log is folded into the file.
    pub async fn close(&self) {
        match &*self.databases {
            Either::Sqlite(sqlite) => {
                sqlite.readers.close().await;
                if let Some(checkpoints) = &sqlite.checkpoints {
                    checkpoints.close().await;
                }
                sqlite.writer.close().await;
            }
            Either::Postgres(pool) => pool.close().await,
        }
    }
}

/// Pages after which the writer begins the write-ahead log anew: 64 MB, which are read again in a moment after a crash.
const LONGEST_LOG: &str = "16000";

async fn open_sqlite(options: &StoreOptions) -> Result<SqliteStore, StoreError> {
    let sqlite = SqliteConnectOptions::from_str(&options.url).map_err(|_| StoreError::Url(options.url.clone()))?;
    place::must_be_local(sqlite.get_filename())?;
    let sqlite = sqlite
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(30))
        .pragma("temp_store", "memory")
        .pragma("wal_autocheckpoint", LONGEST_LOG)
        .statement_cache_capacity(512)
        .disable_statement_logging();
    let unsettled = Arc::new(Unsettled::default());
    let of_writer = unsettled.clone();
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_release(move |connection, _| {
            let unsettled = of_writer.clone();
            Box::pin(async move { unsettled.settle(connection).await })
        })
        .connect_with(sqlite.clone().pragma("cache_size", "-65536").thread_name(|_| "sqlite-writer".to_owned()))
        .await
        .doing("open the database")?;
    migrations(SQLITE).run(&writer).await.map_err(StoreError::Migrate)?;

    let checkpoints = Some(Arc::new(Checkpoints::start(sqlite.clone())));
    let readers = SqlitePoolOptions::new()
        .max_connections(options.connections)
        .connect_with(
            sqlite
                .pragma("cache_size", CACHE_OF_A_READER)
                .pragma("query_only", "on")
                .thread_name(|n| format!("sqlite-reader-{n}")),
        )
        .await
        .doing("open the database")?;
    let once = OnceIndex::unread(options.run_keys);
    Ok(SqliteStore { writer, readers, once: Arc::new(tokio::sync::Mutex::new(once)), unsettled, checkpoints })
}

/// In kB, negative as SQLite wants it. What reads much reads it once, and there are several of them.
const CACHE_OF_A_READER: &str = "-4096";

/// The same file through connections that cannot write.
async fn look_at_sqlite(options: &StoreOptions) -> Result<SqliteStore, StoreError> {
    let sqlite = SqliteConnectOptions::from_str(&options.url).map_err(|_| StoreError::Url(options.url.clone()))?;
    // What nobody writes needs no locks, and those are what a network has not.
    if !options.url.contains("immutable=1") {
        place::must_be_local(sqlite.get_filename())?;
    }
    let sqlite = sqlite
        .read_only(true)
        .create_if_missing(false)
        .busy_timeout(Duration::from_secs(30))
        .pragma("temp_store", "memory")
        .pragma("cache_size", CACHE_OF_A_READER)
        .pragma("query_only", "on")
        .statement_cache_capacity(512)
        .disable_statement_logging();
    let readers = SqlitePoolOptions::new().max_connections(options.connections).connect_with(sqlite).await;
    let readers = readers.doing("open the database to read")?;
    must_be_current(applied(Either::Sqlite(&readers)).await?, SQLITE.len())?;
    let once = Arc::new(tokio::sync::Mutex::new(OnceIndex::unread(options.run_keys)));
    Ok(SqliteStore { writer: readers.clone(), readers, once, unsettled: Arc::default(), checkpoints: None })
}

/// A hint to the planner on which nothing depends: a statement is planned once for all of its parameters. Each leads by an index to
/// few rows, whatever they are; to plan it for every look-up anew costs more than the look-up, and with partitions many times as
/// much.
const ONE_PLAN: (&str, &str) = ("plan_cache_mode", "force_generic_plan");

async fn look_at_postgres(options: &StoreOptions) -> Result<PgPool, StoreError> {
    let postgres = PgConnectOptions::from_str(&options.url).map_err(|_| StoreError::Url(without_password(&options.url)))?;
    let postgres = postgres
        .application_name("farthing, reading")
        .options([("default_transaction_read_only", "on"), ONE_PLAN])
        .statement_cache_capacity(512)
        .disable_statement_logging();
    let pool = PgPoolOptions::new().max_connections(options.connections.max(2)).acquire_timeout(Duration::from_secs(10));
    let pool = pool.connect_with(postgres).await.doing("connect to PostgreSQL")?;
    must_be_current(applied(Either::Postgres(&pool)).await?, POSTGRES.len())?;
    Ok(pool)
}

/// How many steps of the schema a database has.
async fn applied(db: Either<&SqlitePool, &PgPool>) -> Result<usize, StoreError> {
    const APPLIED: &str = "SELECT COUNT(*) FROM _sqlx_migrations";
    on!(db, db => {
        let row = sqlx::query(APPLIED).fetch_one(db).await.doing("read which schema the database has")?;
        row.int(0).map(|steps| steps as usize).doing("read which schema the database has")
    })
}

/// Whoever only looks cannot bring a schema up to date.
fn must_be_current(applied: usize, known: usize) -> Result<(), StoreError> {
    if applied == known { Ok(()) } else { Err(StoreError::OtherSchema { applied, known }) }
}

async fn open_postgres(options: &StoreOptions) -> Result<PgPool, StoreError> {
    let postgres = PgConnectOptions::from_str(&options.url).map_err(|_| StoreError::Url(without_password(&options.url)))?;
    let postgres = postgres
        .application_name("farthing")
        // Whatever must not change under a transaction it locks first, by the head of its book.
        .options([("synchronous_commit", "on"), ("default_transaction_isolation", "read committed"), ONE_PLAN])
        .statement_cache_capacity(512)
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(options.connections.max(2))
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(postgres)
        .await
        .doing("connect to PostgreSQL")?;
    let (fsync,): (String,) = sqlx::query_as("SHOW fsync").fetch_one(&pool).await.doing("ask PostgreSQL for its settings")?;
    if fsync != "on" && !options.allow_fsync_off {
        return Err(StoreError::FsyncOff);
    }
    migrate_postgres(&pool).await?;
    Ok(pool)
}

/// Brings the schema up to date. Several processes may begin at once, and none takes a lock that outlives a transaction: each step
/// and the row that says that it is there are one transaction, so of two that make the same step one is rolled back by the
/// server, and looks again.
async fn migrate_postgres(pool: &PgPool) -> Result<(), StoreError> {
    let mut migrations = migrations(POSTGRES);
    migrations.set_locking(false);
    // Whoever loses has seen another one come further, so it loses a few times for each step at most.
    let mut tries = 3 * POSTGRES.len() as u32 + 10;
    while !is_migrated(pool, &migrations).await {
        match migrations.run(pool).await {
            Err(e) if tries > 0 && may_be_somebody_else(&e) => {
                tries -= 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            done => return done.map_err(StoreError::Migrate),
        }
    }
    Ok(())
}

/// Whether a step may have failed because another process makes it too: what it makes is there already or gone already, it waited
/// in a circle, or the server's own tables were changed under it.
fn may_be_somebody_else(e: &MigrateError) -> bool {
    let (MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _)) = e else { return false };
    let code = e.as_database_error().and_then(|e| e.code()).unwrap_or_default();
    // 42501 is a right that is missing.
    matches!(code.get(..2), Some("23" | "40" | "42" | "55" | "XX")) && code != "42501"
}

/// Whether every step of the schema is there as this program knows it. Then nothing needs to be locked, and a role that may
/// not change a schema is good enough to serve.
async fn is_migrated(pool: &PgPool, known: &Migrator) -> bool {
    let text = "SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version";
    // Where the table is not there yet, or may not be read, the migration itself says what is wrong.
    let Ok(applied) = sqlx::query_as::<_, (i64, Vec<u8>, bool)>(text).fetch_all(pool).await else { return false };
    let known = known.iter().map(|step| (step.version, &*step.checksum, true));
    applied.iter().map(|(version, checksum, success)| (*version, checksum.as_slice(), *success)).eq(known)
}

const SQLITE: &[(&str, &str)] = &[
    ("the book", include_str!("../migrations/sqlite/0001_the_book.sql")),
    ("who tells of a call", include_str!("../migrations/sqlite/0002_who_tells_of_a_call.sql")),
    ("what was pulled", include_str!("../migrations/sqlite/0003_what_was_pulled.sql")),
    ("what the planner is told", include_str!("../migrations/sqlite/0004_what_the_planner_is_told.sql")),
    ("what jobs did", include_str!("../migrations/sqlite/0005_what_jobs_did.sql")),
    ("what people decided", include_str!("../migrations/sqlite/0006_what_people_decided.sql")),
    ("what providers claim", include_str!("../migrations/sqlite/0007_what_providers_claim.sql")),
    ("what is proved", include_str!("../migrations/sqlite/0010_what_is_proved.sql")),
    ("what is sought", include_str!("../migrations/sqlite/0012_what_is_sought.sql")),
];
const POSTGRES: &[(&str, &str)] = &[
    ("the book", include_str!("../migrations/postgres/0001_the_book.sql")),
    ("who tells of a call", include_str!("../migrations/postgres/0002_who_tells_of_a_call.sql")),
    ("what was pulled", include_str!("../migrations/postgres/0003_what_was_pulled.sql")),
    ("what jobs did", include_str!("../migrations/postgres/0004_what_jobs_did.sql")),
    ("what people decided", include_str!("../migrations/postgres/0005_what_people_decided.sql")),
    ("what providers claim", include_str!("../migrations/postgres/0006_what_providers_claim.sql")),
    ("what is proved", include_str!("../migrations/postgres/0010_what_is_proved.sql")),
    ("months", include_str!("../migrations/postgres/0011_months.sql")),
    ("what is sought", include_str!("../migrations/postgres/0012_what_is_sought.sql")),
    ("which months are made", include_str!("../migrations/postgres/0013_which_months_are_made.sql")),
];

/// The steps of a schema in order; they are only ever added to.
fn migrations(steps: &'static [(&'static str, &'static str)]) -> Migrator {
    let numbered = steps.iter().zip(1..);
    let migrations = numbered
        .map(|(&(name, sql), number)| Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false))
        .collect();
    Migrator::with_migrations(migrations)
}

/// A database URL as it may be shown.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((login, place)) => {
            let user = login.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{place}")
        }
        None => url.to_owned(),
    }
}

/// Says what was being done when the database refused.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| {
            if is_failed_fsync(&source) {
                end_after_failed_fsync(doing, &source);
            }
            match source {
                sqlx::Error::RowNotFound => StoreError::damaged(format!("what it takes to {doing}"), "it is not there"),
                // A row that was written whole and cannot be read back has been changed since.
                sqlx::Error::Decode(why) | sqlx::Error::ColumnDecode { source: why, .. } => {
                    StoreError::damaged(format!("what it takes to {doing}"), why)
                }
                // The file itself is not what SQLite wrote.
                source if is_damaged_file(&source) => {
                    StoreError::damaged(format!("the database file, as it shows when asked to {doing},"), source)
                }
                source => StoreError::Database { doing, source },
            }
        })
    }
}

/// SQLite's codes for a write that the disk did not confirm: of a file, of its directory.
fn is_failed_fsync(e: &sqlx::Error) -> bool {
    let code = e.as_database_error().and_then(|e| e.code());
    matches!(code.as_deref(), Some("1034" | "1290"))
}

/// SQLite's codes for a file whose structure does not fit, by their primary code: corrupt, no database.
fn is_damaged_file(e: &sqlx::Error) -> bool {
    let code = e.as_database_error().and_then(|e| e.code());
    // PostgreSQL's codes have five places.
    let code = code.filter(|code| code.len() < 5).and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 11 | 26))
}

/// A kernel that could not write a page may drop it and say nothing the next time. So this process can neither believe what
/// it reads back nor write after it: later commits would stand behind a hole. Only a fresh start reads what is on the disk.
fn end_after_failed_fsync(doing: &str, e: &sqlx::Error) -> ! {
    tracing::error!(error = %e, doing, "the disk did not confirm a write; ending, because nothing after it could be believed");
    std::process::exit(74)
}

impl StoreError {
    pub fn damaged(what: impl Into<String>, why: impl std::fmt::Display) -> StoreError {
        StoreError::Damaged { what: what.into(), why: why.to_string() }
    }

    pub fn fault(&self) -> Fault {
        let StoreError::Database { source, .. } = self else { return Fault::Lasting };
        match source {
            sqlx::Error::Encode(_) => Fault::Data,
            sqlx::Error::Database(e) => match e.code().as_deref() {
                // PostgreSQL: data exceptions and constraint violations; then serialization, deadlock, shutdown, resources.
                Some(code) if code.len() == 5 => match &code[..2] {
                    "22" | "23" => Fault::Data,
                    "40" | "57" | "08" | "53" => Fault::Transient,
                    _ => Fault::Lasting,
                },
                // SQLite, by its primary code: constraint, mismatch, too big; then busy, locked.
                Some(code) => match code.parse::<u32>().map(|code| code & 0xff) {
                    Ok(18..=20) => Fault::Data,
                    Ok(5 | 6) => Fault::Transient,
                    _ => Fault::Lasting,
                },
                None => Fault::Lasting,
            },
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                Fault::Transient
            }
            _ => Fault::Lasting,
        }
    }

    /// The error with its causes, on one line.
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_password("postgres://me:p@ss@host/db"), "postgres://me@host/db");
        assert_eq!(without_password("sqlite://farthing.db"), "sqlite://farthing.db");
    }

    async fn plan(pool: &SqlitePool, text: &str) -> Vec<String> {
        let explained = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(explained).fetch_all(pool).await.unwrap();
        plan.into_iter().map(|(.., step)| step).collect()
    }

    async fn empty_database() -> SqlitePool {
        let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        migrations(SQLITE).run(&pool).await.unwrap();
        pool
    }

    /// Whoever reads a book page by page would otherwise look at all the blocks after each of them.
    #[tokio::test]
    async fn the_blocks_of_some_entries_are_looked_for_between_two_bounds() {
        let plan = plan(&empty_database().await, entries::SPANS).await;
        assert!(plan[0].ends_with("(org=? AND sequence_until>? AND sequence_until<?)"), "{plan:?}");
        assert!(plan.iter().skip(1).all(|step| !step.starts_with("SCAN")), "{plan:?}");
    }

    /// An org is most of a database: a statement that uses no more than the org of an index reads the whole book.
    #[tokio::test]
    async fn what_is_looked_up_is_found_by_more_than_its_org() {
        let pool = empty_database().await;
        let texts = [&events::LOOKED_UP[..], &waiting::LOOKED_UP].concat().into_iter().map(str::to_owned);
        for text in texts.chain(names::looked_up()).chain([entries::of_events()]) {
            let lists = sql::LISTS.map(|list| text.replace("(..)", &format!("({})", sql::in_list(2, list))));
            // What is counted for each of them is asked by lists only.
            let ranges = (text.contains("(..)") && !text.contains("GROUP BY")).then(|| packed::in_ranges(&text));
            for text in lists.into_iter().chain(ranges) {
                let plan = plan(&pool, &text).await;
                assert!(!plan.is_empty());
                let of_the_list = |step: &str| {
                    ["LIST SUBQUERY", "SCAN json_each", "CREATE BLOOM FILTER"].iter().any(|begin| step.starts_with(begin))
                };
                for step in plan.into_iter().filter(|step| !of_the_list(step)) {
                    assert!(step.starts_with("SEARCH") && step.contains("(org=? AND "), "{text}\nis done by {step}");
                }
            }
        }
    }
}
