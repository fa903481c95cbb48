//! Everything that must happen once, for ever: events by source and id, calls by the provider's id. A key is sixteen
//! bytes of a hash under a secret of this database, so that nobody can prepare two ids that collide; a hit is believed
//! only after the full id was compared, which is the caller's part.
//!
//! On PostgreSQL the keys are a table with a primary key. On SQLite they are the structure of [`index`], whose rules are
//! easy to get wrong: memory changes only after COMMIT; a transaction that ends any other way makes the memory reload; a
//! log that another process has written to is read on from where we left it.

mod index;

use crate::id::Org;
use crate::store::sql::{Columns, Either, Gathered, Table, Value, big, bytes, exactly, in_list, int, lists, one_by_one};
use crate::store::{Doing, Store, StoreError, Write};
use index::{Filter, Frozen, Hot, Index, Look, Run};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, SqliteConnection, SqlitePool};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

/// The hash that stands for something that must happen once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OnceKey(index::Key);

/// What kind of thing a key stands for. The numbers are part of every key ever stored.
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum Kind {
    /// A source's event id.
    Event = 1,
    /// A provider's id of a call.
    Call = 2,
    /// What a source says, whatever id it says it under.
    Likeness = 3,
    /// An update as it was sent; what is stored is what it made of its event.
    Update = 4,
    /// What a person decided.
    Decision = 5,
}

/// The secret under which a database hashes its keys.
#[derive(Clone)]
pub(crate) struct Secret([u8; 32]);

impl Store {
    pub fn event_key(&self, org: Org, source: &str, id: &str) -> OnceKey {
        self.secret.key(org, Kind::Event, source, id)
    }

    pub fn call_key(&self, org: Org, provider: &str, call: &str) -> OnceKey {
        self.secret.key(org, Kind::Call, provider, call)
    }

    pub fn update_key(&self, org: Org, source: &str, id: &str, content: &[u8; 16]) -> OnceKey {
        self.secret.key(org, Kind::Update, source, &format!("{}/{id}", u128::from_be_bytes(*content)))
    }

    /// `what` was decided: an adjustment, a closing.
    pub fn decision_key(&self, org: Org, what: &str, id: &str) -> OnceKey {
        self.secret.key(org, Kind::Decision, what, id)
    }

    pub fn likeness_key(&self, org: Org, source: &str, content: &[u8; 16]) -> OnceKey {
        self.secret.key(org, Kind::Likeness, source, &u128::from_be_bytes(*content).to_string())
    }
}

impl Store {
    /// What a key stands for, read outside of any transaction on a book.
    pub async fn once(&self, org: Org, key: OnceKey) -> Result<Option<i64>, StoreError> {
        match &*self.databases {
            Either::Sqlite(sqlite) => {
                let mut work = OnceWork::new(sqlite.once.clone().lock_owned().await);
                let mut reader = sqlite.readers.acquire().await.doing("look for keys")?;
                work.find(&mut reader, &[key]).await.map(|found| found[0])
            }
            Either::Postgres(pool) => {
                let query = sqlx::query("SELECT value FROM once WHERE org = $1 AND key = $2").bind(org.0).bind(&key.0[..]);
                let row = query.fetch_optional(pool).await.doing("look for keys")?;
                row.map(|row| row.int(0)).transpose().doing("look for keys")
            }
        }
    }
}

impl Store {
    /// The same for many keys.
    pub async fn once_all(&self, org: Org, keys: &[OnceKey]) -> Result<Vec<Option<i64>>, StoreError> {
        match &*self.databases {
            Either::Sqlite(sqlite) => {
                let mut work = OnceWork::new(sqlite.once.clone().lock_owned().await);
                let mut reader = sqlite.readers.acquire().await.doing("look for keys")?;
                work.find(&mut reader, keys).await
            }
            Either::Postgres(pool) => found_in_table(&mut *pool.acquire().await.doing("look for keys")?, org, keys).await,
        }
    }

    /// Reads what is needed to look for keys, so that the first events do not wait for it.
    pub async fn know_keys(&self) -> Result<(), StoreError> {
        let Either::Sqlite(sqlite) = &*self.databases else { return Ok(()) };
        let mut work = OnceWork::new(sqlite.once.clone().lock_owned().await);
        let mut reader = sqlite.readers.acquire().await.doing("read the key log")?;
        work.catch_up(&mut reader).await
    }

    /// What is wrong with the file on SQLite: with its structure, as SQLite itself checks it, and with the runs of keys. On
    /// PostgreSQL that is the server's own business.
    pub async fn damage(&self) -> Result<Vec<String>, StoreError> {
        let Either::Sqlite(sqlite) = &*self.databases else { return Ok(Vec::new()) };
        let rows = sqlx::query("PRAGMA integrity_check(20)").fetch_all(&sqlite.readers).await.doing("check the database file")?;
        let said = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<String>, _>>().doing("check the database file")?;
        let mut damage: Vec<String> = said.into_iter().filter(|line| line != "ok").collect();
        let mut reader = sqlite.readers.acquire().await.doing("read the runs of keys")?;
        damage.extend(damaged_runs(&mut reader).await?);
        Ok(damage)
    }
}

/// Sealed runs that have not as many keys as they say, or keys in the wrong place, or that their filter does not let pass.
async fn damaged_runs(db: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    let doing = "read the runs of keys";
    let rows = sqlx::query("SELECT run, keys, filter FROM once_run WHERE sealed = 1 ORDER BY run").fetch_all(&mut *db).await;
    let mut damaged = Vec::new();
    for row in rows.doing(doing)? {
        let (run, keys) = row.int(0).and_then(|run| Ok((run, row.int(1)?))).doing(doing)?;
        let filter = row.maybe_blob(2).doing(doing)?.and_then(Filter::from_bytes);
        let mut checked = index::Checked::of(keys, filter);
        // A few at a time: a run has twenty megabytes of pages.
        let (first, until) = (index::page_number(run, 0), index::page_number(run + 1, 0));
        let mut after = first - 1;
        loop {
            let text = "SELECT page, data FROM once_page WHERE page > $1 AND page < $2 ORDER BY page LIMIT 256";
            let pages = sqlx::query(text).bind(after).bind(until).fetch_all(&mut *db).await.doing(doing)?;
            for page in &pages {
                let (number, data) = page.int(0).and_then(|number| Ok((number, page.blob(1)?))).doing(doing)?;
                checked.page((number - first) as usize, &data);
                after = number;
            }
            if pages.is_empty() {
                break;
            }
        }
        damaged.extend(checked.damage().map(|why| format!("run {run} of keys: {why}")));
    }
    Ok(damaged)
}

async fn found_in_table(db: &mut PgConnection, org: Org, keys: &[OnceKey]) -> Result<Vec<Option<i64>>, StoreError> {
    let wanted: Vec<&[u8]> = keys.iter().map(|key| &key.0[..]).collect();
    let text = one_by_one("SELECT key, value FROM once WHERE org = $1 AND key IN (..)");
    let query = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(wanted);
    let rows = query.fetch_all(db).await.doing("look for keys")?;
    let found: Result<HashMap<index::Key, i64>, sqlx::Error> =
        rows.iter().map(|row| Ok((exactly(row.blob(0)?)?, row.int(1)?))).collect();
    let found = found.doing("look for keys")?;
    Ok(keys.iter().map(|key| found.get(&key.0).copied()).collect())
}

impl Secret {
    fn key(&self, org: Org, kind: Kind, source: &str, id: &str) -> OnceKey {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&org.0.to_be_bytes());
        hasher.update(&[kind as u8]);
        for part in [source, id] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        OnceKey(crate::usage::first_16(hasher.finalize()))
    }
}

impl Write {
    /// What each key stands for already.
    pub async fn find_once(&mut self, org: Org, keys: &[OnceKey]) -> Result<Vec<Option<i64>>, StoreError> {
        match self.db_and_keys().await? {
            Either::Sqlite((db, work)) => work.find(db, keys).await,
            Either::Postgres(tx) => found_in_table(tx, org, keys).await,
        }
    }

    /// Remembers keys that [`Write::find_once`] did not find; at most once in a transaction, with all of its keys.
    pub async fn remember_once(&mut self, keys: &[(Org, OnceKey, i64)]) -> Result<(), StoreError> {
        const ONCE: Table<3> = Table { name: "once", columns: [int("org"), bytes("key"), big("value")] };
        if keys.is_empty() {
            return Ok(());
        }
        if self.gathered().is_some_and(|(_, work)| work.guard.stale)
            && let Either::Sqlite((db, work)) = self.db_and_keys().await?
        {
            work.catch_up(db).await?;
        }
        if let Some((gathered, work)) = self.gathered() {
            work.remember(gathered, keys);
            return Ok(());
        }
        let rows = keys.iter().map(|(org, key, value)| [Value::Int(org.0), Value::Blob(&key.0), Value::Int(*value)]);
        self.insert(&ONCE, rows, "remember keys").await
    }
}

/// The index in memory, and how far into the database's log it has read.
#[derive(Default)]
pub(crate) struct OnceIndex {
    index: Index,
    /// The last row of the log that is in memory.
    last_log: i64,
    last_run: i64,
    sealed: i64,
    /// Rows of the log that are not folded into one yet.
    tail: Tail,
    /// Nothing was read yet, or a transaction ended in doubt: what is in memory is not believed.
    stale: bool,
    /// Keys of a full run.
    run_keys: usize,
}

/// The newest log rows. Commits of one event each would leave a row each, and starting would read a million of them.
#[derive(Default)]
struct Tail {
    after: i64,
    rows: usize,
    keys: Vec<u8>,
}

/// Log rows that are folded into one.
const TAIL_ROWS: usize = 256;

impl OnceIndex {
    /// It is read when the first key is looked for: who only reads a book has no use for it.
    pub(crate) fn unread(run_keys: usize) -> OnceIndex {
        OnceIndex { run_keys, stale: true, ..OnceIndex::default() }
    }
}

/// How far the database's log and runs go.
#[derive(Clone, Copy)]
struct Ends {
    last_log: i64,
    last_run: i64,
    sealed: i64,
}

pub(crate) const ENDS: &str = "SELECT COALESCE((SELECT MAX(log) FROM once_log), 0), COALESCE((SELECT MAX(run) FROM once_run), 0),
                                      (SELECT COUNT(*) FROM once_run WHERE sealed = 1)";

impl Ends {
    fn of(row: &impl Columns) -> Result<Ends, sqlx::Error> {
        Ok(Ends { last_log: row.int(0)?, last_run: row.int(1)?, sealed: row.int(2)? })
    }
}

/// One transaction's share of the index: it holds the lock, and what will be true if it commits.
pub(crate) struct OnceWork {
    guard: OwnedMutexGuard<OnceIndex>,
    /// Where the log ended when the transaction locked its book; nobody else can have written to it since.
    seen: Option<Ends>,
    pending: Pending,
}

#[derive(Default)]
struct Pending {
    keys: Vec<(index::Key, i64)>,
    log: i64,
    tail: Option<Tail>,
    freezes: Option<i64>,
    next_bucket: Option<usize>,
    seals: bool,
}

impl OnceWork {
    pub(crate) fn new(guard: OwnedMutexGuard<OnceIndex>) -> OnceWork {
        OnceWork { guard, seen: None, pending: Pending::default() }
    }

    pub(crate) fn saw(&mut self, ends: &SqliteRow) -> Result<(), sqlx::Error> {
        self.seen = Some(Ends::of(ends)?);
        Ok(())
    }

    pub(crate) fn after_commit(mut self, committed: bool) {
        let OnceIndex { index, last_log, last_run, sealed, tail, stale, .. } = &mut *self.guard;
        let pending = self.pending;
        if !committed {
            *stale = true;
            return;
        }
        if pending.keys.is_empty() {
            return;
        }
        index.hot.extend(pending.keys);
        *last_log = pending.log;
        if let Some(pending) = pending.tail {
            *tail = pending;
        }
        if let (Some(frozen), Some(next_bucket)) = (&mut index.frozen, pending.next_bucket) {
            frozen.next_bucket = next_bucket;
        }
        if pending.seals {
            index.seal();
            *sealed += 1;
        }
        if let Some(run) = pending.freezes {
            index.freeze(run);
            *last_run = run;
        }
    }

    async fn find(&mut self, db: &mut SqliteConnection, keys: &[OnceKey]) -> Result<Vec<Option<i64>>, StoreError> {
        self.catch_up(db).await?;
        let mut found = vec![None; keys.len()];
        let mut doubtful: Vec<(usize, Vec<i64>)> = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            match self.guard.index.look(&key.0) {
                Look::Here(value) => found[place] = Some(value),
                Look::Nowhere => {}
                Look::In(pages) => doubtful.push((place, pages)),
            }
        }
        if doubtful.is_empty() {
            return Ok(found);
        }
        let mut numbers: Vec<i64> = doubtful.iter().flat_map(|(_, pages)| pages.iter().copied()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut pages: HashMap<i64, Vec<u8>> = HashMap::with_capacity(numbers.len());
        for list in lists(&numbers) {
            let text = format!("SELECT page, data FROM once_page WHERE page IN ({})", in_list(1, list.len()));
            let query = list.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, page| query.bind(*page));
            for row in query.fetch_all(&mut *db).await.doing("read key pages")? {
                let page = row.int(0).and_then(|number| Ok((number, row.blob(1)?))).doing("read key pages")?;
                pages.insert(page.0, page.1);
            }
        }
        for (place, candidates) in doubtful {
            let key = &keys[place].0;
            found[place] = candidates.iter().find_map(|page| index::find_in_page(pages.get(page)?, key));
        }
        Ok(found)
    }

    /// Reads on where another process has written, or everything anew where its runs are not ours.
    async fn catch_up(&mut self, db: &mut SqliteConnection) -> Result<(), StoreError> {
        let doing = "compare the key log";
        let Ends { last_log, last_run, sealed } = match self.seen {
            Some(seen) => seen,
            None => Ends::of(&sqlx::query(ENDS).fetch_one(&mut *db).await.doing(doing)?).doing(doing)?,
        };
        let ours = &mut *self.guard;
        if ours.stale || (last_run, sealed) != (ours.last_run, ours.sealed) || last_log < ours.last_log {
            *ours = load(db, ours.run_keys).await?;
        } else if last_log > ours.last_log {
            for (log, keys) in log_after(db, ours.last_log).await? {
                ours.index.hot.extend(index::read_keys(&keys));
                ours.last_log = log;
            }
            // The rows of two processes are not folded together.
            ours.tail = Tail { after: ours.last_log, ..Tail::default() };
        }
        Ok(())
    }

    fn remember(&mut self, gathered: &mut Gathered<sqlx::Sqlite>, keys: &[(Org, OnceKey, i64)]) {
        let ours = &mut *self.guard;
        let log = ours.last_log + 1;
        self.pending.keys = keys.iter().map(|(_, key, value)| (key.0, *value)).collect();
        self.pending.log = log;

        let mut bytes = Vec::with_capacity(keys.len() * index::WIDTH);
        index::write_keys(&self.pending.keys, &mut bytes);
        if ours.tail.rows + 1 >= TAIL_ROWS {
            let between = [Value::Int(ours.tail.after), Value::Int(log)];
            gathered.run("DELETE FROM once_log WHERE log > ? AND log < ?", &between);
            let folded = [&ours.tail.keys[..], &bytes].concat();
            insert_log(gathered, log, &folded);
            self.pending.tail = Some(Tail { after: log, ..Tail::default() });
        } else {
            insert_log(gathered, log, &bytes);
            let tail = &ours.tail;
            // Large rows need no folding; they only end the row of small ones.
            self.pending.tail = Some(if keys.len() > 16 {
                Tail { after: log, ..Tail::default() }
            } else {
                Tail { after: tail.after, rows: tail.rows + 1, keys: [&tail.keys[..], &bytes].concat() }
            });
        }

        if ours.index.frozen.is_some() {
            self.write_pages(gathered, keys.len());
        } else if ours.index.hot.len() + keys.len() >= ours.run_keys {
            self.freeze(gathered, log);
        } else if ours.sealed > 0 {
            // The log of sealed runs goes bit by bit.
            let sealed_until = "SELECT COALESCE(MAX(log_until), 0) FROM once_run WHERE sealed = 1";
            let oldest = format!("SELECT log FROM once_log WHERE log <= ({sealed_until}) ORDER BY log LIMIT 4");
            gathered.run(&format!("DELETE FROM once_log WHERE log IN ({oldest})"), &[]);
        }
    }

    fn freeze(&mut self, gathered: &mut Gathered<sqlx::Sqlite>, log: i64) {
        let run = self.guard.last_run + 1;
        let keys = (self.guard.index.hot.len() + self.pending.keys.len()) as i64;
        self.pending.freezes = Some(run);
        self.pending.tail = Some(Tail { after: log, ..Tail::default() });
        let values = [Value::Int(run), Value::Int(log), Value::Int(keys)];
        gathered.run("INSERT INTO once_run (run, log_until, keys, sealed) VALUES (?, ?, ?, 0)", &values);
    }

    /// Writes the next pages of the frozen run: four keys for every new one, so that it is done long before the hot map is
    /// full again.
    fn write_pages(&mut self, gathered: &mut Gathered<sqlx::Sqlite>, new_keys: usize) {
        const PAGES: Table<2> = Table { name: "once_page", columns: [big("page"), bytes("data")] };

        let Some(frozen) = &mut self.guard.index.frozen else { return };
        let (run, from) = (frozen.run, frozen.next_bucket);
        let Some(sorted) = frozen.sorted() else { return };
        let until = sorted.buckets().min(from + (new_keys / 16).max(8));
        let pages: Vec<(i64, Vec<u8>)> =
            (from..until).map(|bucket| (index::page_number(run, bucket), sorted.page(bucket))).collect();
        gathered.insert(&PAGES, pages.iter().map(|(page, data)| [Value::Int(*page), Value::Blob(data)]));
        if until == sorted.buckets() {
            let filter = Value::Blob(sorted.filter.bytes());
            gathered.run("UPDATE once_run SET sealed = 1, filter = ? WHERE run = ?", &[filter, Value::Int(run)]);
            self.pending.seals = true;
        }
        self.pending.next_bucket = Some(until);
    }
}

fn insert_log(gathered: &mut Gathered<sqlx::Sqlite>, log: i64, keys: &[u8]) {
    gathered.run("INSERT INTO once_log (log, keys) VALUES (?, ?)", &[Value::Int(log), Value::Blob(keys)]);
}

async fn log_after(db: &mut SqliteConnection, log: i64) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    let rows = sqlx::query("SELECT log, keys FROM once_log WHERE log > $1 ORDER BY log").bind(log).fetch_all(db).await;
    let rows = rows.doing("read the key log")?;
    rows.iter().map(|row| Ok((row.int(0)?, row.blob(1)?))).collect::<Result<_, sqlx::Error>>().doing("read the key log")
}

/// Everything from the database: the filters of sealed runs, the keys of an unfinished one, and the hot ones.
async fn load(db: &mut SqliteConnection, run_keys: usize) -> Result<OnceIndex, StoreError> {
    let mut ours = OnceIndex { run_keys, ..OnceIndex::default() };
    let rows = sqlx::query("SELECT run, log_until, keys, sealed, filter FROM once_run ORDER BY run").fetch_all(&mut *db).await;
    let (mut sealed_until, mut unfinished) = (0, None::<(i64, i64, usize)>);
    for row in rows.doing("read the runs of keys")? {
        let read =
            || Ok::<_, sqlx::Error>((row.int(0)?, row.int(1)?, row.int(2)? as usize, row.int(3)? == 1, row.maybe_blob(4)?));
        let (run, log_until, keys, sealed, filter) = read().doing("read the runs of keys")?;
        ours.last_run = run;
        match filter.and_then(Filter::from_bytes).filter(|_| sealed) {
            Some(filter) => {
                ours.index.runs.push(Run { run, buckets: index::buckets(keys), filter });
                ours.sealed += 1;
                sealed_until = log_until;
            }
            None if sealed => return Err(StoreError::damaged(format!("run {run} of keys"), "it is sealed without a filter")),
            None => unfinished = Some((run, log_until, keys)),
        }
    }
    ours.last_log = sealed_until;
    let mut frozen = Hot::default();
    for (log, keys) in log_after(db, sealed_until).await? {
        let in_run = unfinished.is_some_and(|(_, log_until, _)| log <= log_until);
        let keys_of = if in_run { &mut frozen } else { &mut ours.index.hot };
        keys_of.extend(index::read_keys(&keys));
        ours.last_log = log;
    }
    if let Some((run, _, keys)) = unfinished {
        if frozen.len() != keys {
            let why = format!("its log holds {} keys and should hold {keys}", frozen.len());
            return Err(StoreError::damaged(format!("run {run} of keys"), why));
        }
        let row = sqlx::query("SELECT COUNT(*) FROM once_page WHERE page >= $1 AND page < $2")
            .bind(index::page_number(run, 0))
            .bind(index::page_number(run + 1, 0))
            .fetch_one(db)
            .await
            .doing("read the runs of keys")?;
        let written = row.int(0).doing("read the runs of keys")?;
        ours.index.frozen = Some(Frozen::new(run, Arc::new(frozen), written as usize));
    }
    ours.tail = Tail { after: ours.last_log, ..Tail::default() };
    Ok(ours)
}

/// The secret of this database, made on first use.
pub(crate) async fn sqlite_secret(pool: &SqlitePool) -> Result<Secret, StoreError> {
    sqlx::query(MAKE_SECRET).bind(random().as_slice()).execute(pool).await.doing("make the key secret")?;
    known_sqlite_secret(pool).await
}

/// The secret of a database that is only read.
pub(crate) async fn known_sqlite_secret(pool: &SqlitePool) -> Result<Secret, StoreError> {
    let row = sqlx::query(READ_SECRET).fetch_one(pool).await.doing("read the key secret")?;
    row.blob(0).and_then(exactly).map(Secret).doing("read the key secret")
}

pub(crate) async fn known_postgres_secret(pool: &PgPool) -> Result<Secret, StoreError> {
    let row = sqlx::query(READ_SECRET).fetch_one(pool).await.doing("read the key secret")?;
    row.blob(0).and_then(exactly).map(Secret).doing("read the key secret")
}

pub(crate) async fn postgres_secret(pool: &PgPool) -> Result<Secret, StoreError> {
    // A role that may only read facts serves a database that has one.
    if let Ok(known) = known_postgres_secret(pool).await {
        return Ok(known);
    }
    sqlx::query(MAKE_SECRET).bind(random().as_slice()).execute(pool).await.doing("make the key secret")?;
    known_postgres_secret(pool).await
}

const MAKE_SECRET: &str = "INSERT INTO facts (name, value) VALUES ('key secret', $1) ON CONFLICT (name) DO NOTHING";
const READ_SECRET: &str = "SELECT value FROM facts WHERE name = 'key secret'";

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    bytes
}
