//! The books of earlier releases, each as the SQL that makes it: whatever a later version changes, it must open every one of
//! them, bring it up to date and find that every hash fits and every charge is what it was. A book is written once, by the
//! program of its release, and never again: with `FARTHING_WRITE_BOOK=1` the last test here writes the one for the version in
//! Cargo.toml from `support/small.rs` and prints its head, which belongs into the list below.

use crate::support::database::{TestDatabase, block_on};
use crate::support::small;
use farthing::flow::Farthing;
use farthing::flow::publish::CatalogFiles;
use farthing::ledger::EntryKind;
use farthing::ledger::seal::State;
use farthing::store::EntryFilter;
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Release, hash of its book's head, blocks, events, entries.
const BOOKS: &[(&str, &str, [i64; 3])] =
    &[("0.1.0", "a718b77dd00fe8255768e8716d755a62564e6dc24fcff6c8c78e182b3a1caecb", [30, 27, 35])];

fn file(release: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/books/{release}.sql"))
}

/// The book that some SQL makes, brought up to date.
async fn opened(database: &TestDatabase, sql: &str) -> Farthing {
    let made = sqlx::sqlite::SqliteConnectOptions::new().filename(database.directory().join("farthing.db"));
    let mut connection = SqliteConnection::connect_with(&made.create_if_missing(true)).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap()
}

#[test]
fn the_book_of_every_release_opens_and_every_hash_fits() {
    for (release, head, counts) in BOOKS {
        let database = TestDatabase::sqlite();
        block_on(async {
            let farthing = opened(&database, &std::fs::read_to_string(file(release)).unwrap()).await;
            let org = farthing.store.org("main").await.unwrap();
            let verified = farthing.verify_deep(org, |_, _| {}).await.unwrap().unwrap_or_else(|e| panic!("{release}: {e:?}"));
            assert_eq!(
                (verified.head.to_string().as_str(), [verified.blocks, verified.events, verified.entries]),
                (*head, *counts)
            );
            // A later rater may make a charge otherwise, and says so; it may not lose one.
            assert!(verified.deep.unwrap().rated > 0);

            let records = farthing.store.records_between(org, 1, i64::MAX).await.unwrap();
            let states: BTreeSet<State> = records.iter().map(|row| row.state).collect();
            assert_eq!(states.len(), 9, "{release} has events that are {states:?}");
            let entries = farthing.store.entries(org, &EntryFilter { limit: 1_000, ..EntryFilter::default() }).await.unwrap();
            let kinds: BTreeSet<EntryKind> = entries.iter().map(|booked| booked.entry.kind).collect();
            assert!(kinds.len() == EntryKind::ALL.len(), "{release} has {kinds:?}");
            // What it knows it knows still: its keys are found, so nothing is booked twice.
            let key = farthing.store.event_key(org, "s", "a");
            assert_eq!(farthing.store.once(org, key).await.unwrap(), Some(1), "{release} forgot its first event");
        });
    }
}

#[test]
fn a_book_that_is_written_down_is_the_same_book() {
    let (database, again) = (TestDatabase::sqlite(), TestDatabase::sqlite());
    block_on(async {
        let (farthing, org) = small::book(&database.options()).await;
        let verified = farthing.verify(org, |_, _| {}).await.unwrap().unwrap();
        farthing.store.close().await;
        let sql = dump(&database.url).await;
        let farthing = opened(&again, &sql).await;
        let read = farthing.verify_deep(org, |_, _| {}).await.unwrap().unwrap();
        assert_eq!((read.head, read.blocks, read.entries), (verified.head, verified.blocks, verified.entries));
        if std::env::var_os("FARTHING_WRITE_BOOK").is_none() {
            return;
        }
        std::fs::write(file(env!("CARGO_PKG_VERSION")), sql).unwrap();
        println!(
            "(\"{}\", \"{}\", {:?}),",
            env!("CARGO_PKG_VERSION"),
            verified.head,
            [verified.blocks, verified.events, verified.entries]
        );
    });
}

/// A database as the SQL that makes it again, apart from what SQLite keeps for itself.
async fn dump(url: &str) -> String {
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    let text = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid";
    let schema = sqlx::query(text).fetch_all(&mut connection).await.unwrap();
    let made = |kind: &str| -> Vec<(String, String)> {
        schema.iter().filter(|row| row.get::<String, _>(0) == kind).map(|row| (row.get(1), row.get(2))).collect()
    };
    let mut sql = String::from("BEGIN;\n");
    for (table, create) in made("table") {
        sql.push_str(&format!("{create};\n"));
        let columns = sqlx::query(AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')")));
        let columns = columns.fetch_all(&mut connection).await.unwrap();
        let quoted: Vec<String> = columns.iter().map(|row| format!("quote({})", row.get::<String, _>(0))).collect();
        let rows = format!("SELECT {} FROM {table}", quoted.join(" || ', ' || "));
        for row in sqlx::query(AssertSqlSafe(rows)).fetch_all(&mut connection).await.unwrap() {
            sql.push_str(&format!("INSERT INTO {table} VALUES ({});\n", row.get::<String, _>(0)));
        }
    }
    for kind in ["index", "trigger", "view"] {
        made(kind).iter().for_each(|(_, create)| sql.push_str(&format!("{create};\n")));
    }
    sql + "COMMIT;\n"
}
