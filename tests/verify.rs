//! Tampering: whatever is changed behind the book's back, `verify` finds it and names the block, and the record where it
//! can. The triggers that would refuse the change are taken away first, as somebody who tampers would.

use crate::support::database::{TestDatabase, block_on};
use farthing::flow::publish::CatalogFiles;
use farthing::flow::verify::Broken;
use farthing::flow::{Farthing, now};
use farthing::id::Org;
use farthing::usage::dialect::{Context, native};
use sqlx::{AssertSqlSafe, Connection, Executor};

/// A book of three blocks: two events, one event, one that is held.
async fn book(database: &TestDatabase) -> (Farthing, Org) {
    let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
    let org = farthing.store.org("main").await.unwrap();
    let in_force = farthing.in_force(org).await.unwrap();
    let context = Context { received_at: now(), source: None, strict: true };
    for (ids, model) in [(&["a", "b"][..], "gpt-4o-mini"), (&["c"], "gpt-4o"), (&["d"], "nobody-knows")] {
        let prepared: Vec<_> = ids
            .iter()
            .map(|id| {
                let json = format!(
                    r#"{{"id":"{id}","source":"s","occurred_at":"2026-10-01T00:00:00Z","provider":"openai","model":"{model}",
                        "usage":{{"input":1000}},"user":"user-{id}","team":"t"}}"#
                );
                farthing.prepare(org, &in_force, native::read(&json, &context).unwrap())
            })
            .collect();
        farthing.commit_events(&prepared, || false).await.unwrap();
    }
    (farthing, org)
}

/// What `verify` says after a statement was run behind the book's back.
fn after(statement: &str) -> Result<(), Broken> {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = book(&database).await;
        assert!(farthing.verify(org, |_, _| {}).await.unwrap().is_ok());
        let mut connection = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
        for table in ["entries", "events", "blocks"] {
            for way in ["changed", "deleted"] {
                connection.execute(AssertSqlSafe(format!("DROP TRIGGER {table}_are_not_{way}"))).await.unwrap();
            }
        }
        let done = connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
        assert!(done.rows_affected() > 0, "{statement} changed nothing");
        farthing.verify(org, |_, _| {}).await.unwrap().map(drop)
    })
}

#[test]
fn whatever_is_changed_is_found_and_named() {
    for (statement, block, record) in [
        ("UPDATE entries SET micro = micro + 1 WHERE sequence = 2", 1, Some("entry 2")),
        ("UPDATE entries SET yocto = 1 WHERE sequence = 3", 2, Some("entry 3")),
        ("UPDATE entries SET owner = 1 WHERE sequence = 2", 1, Some("entry 2")),
        ("UPDATE entries SET occurred_at = occurred_at + 1 WHERE sequence = 1", 1, Some("entry 1")),
        ("UPDATE entries SET rated_micro = 5 WHERE sequence = 1", 1, Some("entry 1")),
        ("UPDATE entries SET calls = 2 WHERE sequence = 1", 1, Some("entry 1")),
        ("UPDATE entries SET debit = credit, credit = debit WHERE sequence = 1", 1, Some("entry 1")),
        ("UPDATE events SET id = 'x' WHERE record = 2", 1, Some("event record 2")),
        ("UPDATE events SET content = zeroblob(16) WHERE record = 4", 3, Some("event record 4")),
        ("UPDATE events SET state = 1 WHERE record = 4", 3, Some("event record 4")),
        ("UPDATE events SET body = CAST(body || x'00' AS BLOB) WHERE record = 3", 2, Some("event record 3")),
        ("UPDATE names SET text = 'somebody' WHERE text = 'user-b'", 1, None),
        ("UPDATE names SET salt = zeroblob(16) WHERE text = 'user-c'", 2, None),
        ("UPDATE names SET hash = zeroblob(32) WHERE text = 'user-c'", 2, None),
        ("UPDATE owners SET team = 0 WHERE owner = 1", 1, Some("owner 1")),
        ("UPDATE products SET model = provider WHERE product = 2", 2, Some("product 2")),
        ("UPDATE blocks SET sealed_at = sealed_at + 1 WHERE block = 2", 2, None),
        ("UPDATE blocks SET catalog_version = 2 WHERE block = 2", 2, None),
        ("UPDATE blocks SET rater = 2 WHERE block = 2", 2, None),
        ("UPDATE blocks SET hash = zeroblob(32) WHERE block = 2", 2, None),
        ("UPDATE blocks SET marks = x'00' WHERE block = 2", 2, None),
        ("UPDATE blocks SET marks = zeroblob(length(marks)) WHERE block = 2", 2, None),
        ("UPDATE blocks SET occurred_last = occurred_last + 1 WHERE block = 2", 2, None),
        ("UPDATE blocks SET record_until = record_until + 1 WHERE block = 1", 1, None),
        ("DELETE FROM entries WHERE sequence = 3", 2, None),
        ("DELETE FROM events WHERE record = 4", 3, None),
        ("DELETE FROM names WHERE text = 'user-d'", 3, None),
        ("DELETE FROM blocks WHERE block = 2", 3, None),
        ("DELETE FROM blocks WHERE block = 3", 3, None),
        ("UPDATE books SET hash = zeroblob(32)", 3, None),
        ("UPDATE books SET next_sequence = 9", 3, None),
        ("UPDATE books SET block = 2, hash = (SELECT hash FROM blocks WHERE block = 2)", 2, None),
        (
            "UPDATE catalog_parts SET text = replace(text, '0.15', '0.16') WHERE text LIKE 'provider: openai%'",
            1,
            Some("catalog version 1"),
        ),
        ("UPDATE catalog_versions SET hash = zeroblob(32)", 1, Some("catalog version 1")),
        ("UPDATE catalog_contents SET part = 'other' WHERE part = 'openai'", 1, Some("catalog version 1")),
    ] {
        let broken = after(statement).expect_err(statement);
        assert_eq!(broken.block.0, block, "{statement}: {broken:?}");
        if let Some(record) = record {
            assert_eq!(broken.record.as_deref(), Some(record), "{statement}: {broken:?}");
        }
    }
}

/// Personal data can go: the text of a name is erased, its salted hash stays and the chain is whole.
#[test]
fn an_erased_name_breaks_nothing() {
    assert_eq!(after("UPDATE names SET text = NULL, salt = zeroblob(16) WHERE text = 'user-b'"), Ok(()));
}
