//! The books of earlier releases, each as the SQL that makes it: whatever a later version changes, it must open every one of
//! them, bring it up to date and find that every hash fits and every charge is what it was. A book is written once, by the
//! program of its release, and never again: `cargo test write_the_book_of_this_release -- --ignored` writes the one for the
//! version in Cargo.toml from `support/small.rs` and prints its head, which belongs into the list below.

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
    &[("0.1.0", "1090021d1ab16b6374c026c1f6afc7a31e06f25ee825a6aa1ea826bcc2ffa763", [21, 18, 28])];

fn file(release: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/books/{release}.sql"))
}

#[test]
fn the_book_of_every_release_opens_and_every_hash_fits() {
    for (release, head, counts) in BOOKS {
        let database = TestDatabase::sqlite();
        block_on(async {
            let sql = std::fs::read_to_string(file(release)).unwrap();
            let made = sqlx::sqlite::SqliteConnectOptions::new().filename(database.directory().join("farthing.db"));
            let mut connection = SqliteConnection::connect_with(&made.create_if_missing(true)).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();

            let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
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
            assert_eq!(states.len(), 5, "{release} has events that are {states:?}");
            let entries = farthing.store.entries(org, &EntryFilter { limit: 1_000, ..EntryFilter::default() }).await.unwrap();
            let kinds: BTreeSet<EntryKind> = entries.iter().map(|booked| booked.entry.kind).collect();
            assert!(kinds.is_superset(&BTreeSet::from([EntryKind::Charge, EntryKind::Reversal])), "{release} has {kinds:?}");
            // What it knows it knows still: its keys are found, so nothing is booked twice.
            let key = farthing.store.event_key(org, "s", "a");
            assert_eq!(farthing.store.once(org, key).await.unwrap(), Some(1), "{release} forgot its first event");
        });
    }
}

#[test]
#[ignore = "writes a file of this checkout: once for each release"]
fn write_the_book_of_this_release() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = small::book(&database.options()).await;
        let verified = farthing.verify(org, |_, _| {}).await.unwrap().unwrap();
        farthing.store.close().await;
        std::fs::write(file(env!("CARGO_PKG_VERSION")), dump(&database.url).await).unwrap();
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
