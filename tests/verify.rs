//! Tampering: whatever is changed behind the book's back, `verify` finds it and names the block, and the record where it
//! can. The triggers that would refuse the change are taken away first, as somebody who tampers would.

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::service::{Request, Service};
use crate::support::small;
use farthing::flow::ingest::Outcome;
use farthing::flow::publish::CatalogFiles;
use farthing::flow::verify::{Broken, Verified};
use farthing::flow::{Farthing, now};
use farthing::id::{BlockNumber, Org, OwnerId, ProductId, Version};
use farthing::ledger::EntryKind;
use farthing::ledger::seal::{BlockHash, Header, Sealer};
use farthing::report::{Dimension, Query};
use farthing::store::{EntryFilter, RejectedBody, Remains};
use farthing::usage::dialect::{Context, native};
use sqlx::{AssertSqlSafe, Connection, Executor};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
        let done = tampering(&database).await.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
        assert!(done.rows_affected() > 0, "{statement} changed nothing");
        farthing.verify(org, |_, _| {}).await.unwrap().map(drop)
    })
}

/// A connection to which nothing is refused.
async fn tampering(database: &TestDatabase) -> sqlx::SqliteConnection {
    let mut connection = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
    connection.execute("PRAGMA foreign_keys = OFF").await.unwrap();
    for table in ["entries", "events", "blocks"] {
        for way in ["changed", "deleted"] {
            connection.execute(AssertSqlSafe(format!("DROP TRIGGER {table}_are_not_{way}"))).await.unwrap();
        }
    }
    connection
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

/// A small book in which a statement changed the last block, sealed anew so that every hash fits: what somebody could do who
/// writes his own program. What a deep look says of it.
fn sealed_anew(statement: &str) -> Result<Verified, Broken> {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = book(&database).await;
        let mut tamper = tampering(&database).await;
        tamper.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
        let blocks = farthing.store.blocks_after(org, BlockNumber(0), 10).await.unwrap();
        let mut previous = BlockHash::of_empty_book("main");
        let catalog = farthing.store.version_hash(org, Version(1)).await.unwrap();
        let mut from = (1, 1, 1);
        for block in blocks {
            let mut sealer = Sealer::new(&Header { previous, catalog, ..block.header.clone() });
            for name in farthing.store.names_between(org, from.0, block.name_until).await.unwrap() {
                sealer.name(name.name, name.kind, &name.hash);
            }
            for (owner, dimensions) in farthing.store.owners_between(org, from.1, block.owner_until).await.unwrap() {
                sealer.owner(OwnerId(owner), &dimensions);
            }
            for (product, dimensions) in farthing.store.products_between(org, from.2, block.product_until).await.unwrap() {
                sealer.product(ProductId(product), &dimensions);
            }
            let events = farthing.store.records_between(org, block.records.0, block.records.1).await.unwrap();
            events.iter().for_each(|event| sealer.event(event));
            let entries = farthing.store.entries_between(org, block.sequences.0, block.sequences.1).await.unwrap();
            entries.iter().for_each(|entry| sealer.entry(entry));
            let (hash, marks) = sealer.finish();
            from = (block.name_until, block.owner_until, block.product_until);
            previous = hash;
            let text = "UPDATE blocks SET hash = $1, marks = $2 WHERE block = $3";
            let query = sqlx::query(text).bind(hash.0.to_vec()).bind(marks).bind(block.header.block.0);
            query.execute(&mut tamper).await.unwrap();
        }
        sqlx::query("UPDATE books SET hash = $1").bind(previous.0.to_vec()).execute(&mut tamper).await.unwrap();
        assert!(farthing.verify(org, |_, _| {}).await.unwrap().is_ok(), "{statement}: every hash fits");
        farthing.verify_deep(org, |_, _| {}).await.unwrap()
    })
}

#[test]
fn what_was_sealed_wrong_is_told_apart_from_what_was_changed_afterwards() {
    for (statement, why) in [
        ("UPDATE entries SET rated_micro = rated_micro + 1 WHERE sequence = 3", "another rated amount"),
        ("UPDATE entries SET calls = 2 WHERE sequence = 3", "another count of calls"),
        ("UPDATE entries SET owner = 1 WHERE sequence = 3", "another owner"),
        ("UPDATE entries SET layer = 2 WHERE sequence = 3", "another layer"),
        ("UPDATE entries SET card = NULL WHERE sequence = 3", "another card"),
        (
            "UPDATE entries SET occurred_at = occurred_at + 1 WHERE sequence = 3; UPDATE blocks SET occurred_first = occurred_first + 1, occurred_last = occurred_last + 1 WHERE block = 2",
            "another time",
        ),
        ("UPDATE entries SET micro = micro + 1 WHERE sequence = 3", "its line items come to"),
        ("UPDATE entries SET period = period - 1 WHERE sequence = 3", "before it occurred"),
        ("UPDATE entries SET reverses = 1, kind = 2, turn = 1 WHERE sequence = 3", "it reverses what is no charge that stands"),
        ("UPDATE entries SET event = 4 WHERE sequence = 3", "it books event 4, which is not there"),
    ] {
        let broken = sealed_anew(statement).expect_err(statement);
        assert_eq!((broken.block.0, broken.record.as_deref()), (2, Some("entry 3")), "{statement}: {broken:?}");
        assert!(broken.why.contains(why), "{statement}: {broken:?}");
    }
}

#[test]
fn what_another_rater_made_otherwise_is_told_and_is_no_finding() {
    let verified = sealed_anew("UPDATE entries SET calls = 2 WHERE sequence = 3; UPDATE blocks SET rater = 7").unwrap();
    let deepened = verified.deep.unwrap();
    let told: Vec<_> = deepened.otherwise.iter().map(|other| (other.block.0, other.entry.0, other.rater)).collect();
    assert_eq!((deepened.rated, deepened.otherwise_in_all, told), (3, 1, vec![(2, 3, 7)]));
}

#[test]
fn lists_and_keys_that_do_not_fit_the_book_are_found() {
    for (statement, why) in [
        ("DELETE FROM held", "it waits and is not on the list"),
        ("UPDATE held SET record = 1", "another record of it"),
        ("INSERT INTO held VALUES (1, 2, 2, 1, '', 0)", "does not wait"),
        ("INSERT INTO conflicts (org, conflict, event, fields, found_at) VALUES (1, 2, 2, 'usage', 0)", "no event in the book"),
        ("DELETE FROM once_log", "its key leads to another event or to none"),
        ("UPDATE books SET erased_names = 1", "counts 1 erased names and 0 are there"),
        ("INSERT INTO names VALUES (1, 900, 8, 'x', zeroblob(16), zeroblob(32))", "no block covers it"),
        ("INSERT INTO owners VALUES (1, -1, 1, 1, 1, 1, 1, 1, 1)", "no block covers it"),
    ] {
        let database = TestDatabase::sqlite();
        block_on(async {
            drop(book(&database).await);
            tampering(&database).await.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
            // Whoever only reads: its memory of keys is what the database says.
            let reader = Farthing::open_read_only(&database.options()).await.unwrap();
            let org = reader.store.org("main").await.unwrap();
            let broken = reader.verify_deep(org, |_, _| {}).await.unwrap().expect_err(statement);
            assert!(broken.why.contains(why), "{statement}: {broken:?}");
        });
    }
}

#[test]
fn a_damaged_run_of_keys_is_found() {
    for statement in [
        "UPDATE once_run SET keys = keys + 1 WHERE run = 1",
        "UPDATE once_run SET filter = zeroblob(length(filter)) WHERE run = 1",
        "UPDATE once_page SET data = substr(data, 25) WHERE page = 4294967296",
        "DELETE FROM once_page WHERE page = 4294967297",
    ] {
        let database = TestDatabase::sqlite();
        block_on(async {
            let (farthing, org) = book(&database).await;
            let keys = |from: i64| {
                (from..from + 200).map(move |n| {
                    let key = farthing::store::Store::event_key;
                    (n, key)
                })
            };
            // Enough keys that a run of five hundred is full and written.
            for batch in 0..20 {
                let mut write = farthing.store.begin().await.unwrap();
                write.lock_heads(&[org]).await.unwrap();
                let new: Vec<_> = keys(1_000 + batch * 200)
                    .map(|(n, key)| (org, key(&farthing.store, org, "made up", &n.to_string()), n))
                    .collect();
                write.remember_once(&new).await.unwrap();
                write.commit().await.unwrap();
            }
            assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
            let done = tampering(&database).await.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
            assert!(done.rows_affected() > 0, "{statement}");
            let broken = farthing.verify_deep(org, |_, _| {}).await.unwrap().expect_err(statement);
            // One of the lost keys may be that of an event of the book, which is looked for first.
            let found = ["run 1 of keys", "its key leads to another event or to none"].iter().any(|why| broken.why.contains(why));
            assert!(found, "{statement}: {broken:?}");
        });
    }
}

/// Reports need no memory of keys, so it is not read for them; what takes events needs it from the start.
#[test]
fn a_book_whose_keys_cannot_be_read_still_tells() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = book(&database).await;
        let before = farthing.report(org, &Query::default()).await.unwrap().table;
        farthing.store.close().await;
        let unreadable = "INSERT INTO once_run (run, log_until, keys, sealed) VALUES (1, 0, 9, 1)";
        tampering(&database).await.execute(unreadable).await.unwrap();
        let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        assert_eq!(farthing.report(org, &Query::default()).await.unwrap().table, before);
        let refused = farthing.store.know_keys().await.unwrap_err().to_string();
        assert_eq!(refused, "run 1 of keys is damaged: it is sealed without a filter");
    });
}

#[test]
fn a_file_that_is_damaged_outside_of_the_book_is_found() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = book(&database).await;
        let mut tamper = tampering(&database).await;
        // An index that does not have what its table has.
        tamper.execute("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE INDEX conflicts_by_event ON conflicts (org, conflict)' WHERE name = 'conflicts_by_event'; INSERT INTO conflicts (org, conflict, event, fields, found_at) VALUES (9, 7, 8, '', 0); PRAGMA writable_schema = RESET").await.unwrap();
        drop(farthing);
        let reader = Farthing::open_read_only(&database.options()).await.unwrap();
        let broken = reader.verify_deep(org, |_, _| {}).await.unwrap().unwrap_err();
        assert!(broken.why.contains("conflicts_by_event"), "{broken:?}");
    });
}

/// On both databases, over everything that a book can hold.
#[test]
fn a_deep_look_finds_nothing_wrong_with_what_is_right() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(async {
            let (farthing, org) = small::book(&database.options()).await;
            let reader = Farthing::open_read_only(&database.options()).await.unwrap();
            let verified = reader.verify_deep(org, |_, _| {}).await.unwrap().unwrap();
            let charges = farthing.store.entries(org, &EntryFilter { limit: 1_000, ..EntryFilter::default() }).await.unwrap();
            let charges = charges.iter().filter(|booked| booked.entry.kind == EntryKind::Charge).count();
            assert_eq!(verified.deep.unwrap().rated, charges as i64);
        });
    }
}

#[test]
fn whoever_only_reads_makes_no_database() {
    let database = TestDatabase::sqlite();
    block_on(async {
        assert!(Farthing::open_read_only(&database.options()).await.is_err());
        assert_eq!(std::fs::read_dir(database.directory()).unwrap().count(), 0);
    });
}

/// Personal data can go: the name and the accounts that are called after it. Its number stays and every hash fits.
#[test]
fn an_erased_name_is_gone_and_breaks_nothing() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(async {
            let (farthing, org) = book(&database).await;
            // Another process, which has the names in memory.
            let other = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
            send(&other, org, "x", "user-b").await;
            let before = spend(&farthing, org).await;
            let erased = farthing.erase_name(org, "user", "user-b").await.unwrap();
            assert_eq!((erased.accounts.len(), erased.remains), (1, Remains::default()));

            let shown = format!("erased #{}", erased.name);
            let after: Vec<_> = before.iter().map(|line| line.replace("user-b", &shown)).collect();
            let mut said = spend(&farthing, org).await;
            said.sort();
            let mut expected = after.clone();
            expected.sort();
            assert_eq!(said, expected);
            let verified = farthing.verify_deep(org, |_, _| {}).await.unwrap().unwrap();
            assert_eq!(verified.deep.unwrap().erased, 2, "what user-b was charged can be rated and not compared");

            // Sent again it is somebody new, whichever process takes it.
            send(&other, org, "y", "user-b").await;
            send(&farthing, org, "z", "user-b").await;
            let said = spend(&farthing, org).await;
            assert_eq!(said.iter().filter(|line| line.starts_with(&shown)).count(), 1, "{said:?}");
            assert_eq!(said.iter().filter(|line| line.starts_with("user-b")).count(), 1, "{said:?}");
            assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
            let again = farthing.erase_name(org, "user", "nobody").await.unwrap_err();
            assert_eq!(again.to_string(), "no user is called `nobody`");
            assert!(farthing.erase_name(org, "model", "gpt-4o").await.unwrap_err().to_string().contains("what can is user"));
        });
    }
}

/// An erased text is in no file of the database, and what is sealed elsewhere is counted.
#[test]
fn an_erased_name_leaves_no_bytes_behind() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = book(&database).await;
        send(&farthing, org, "x", "canary-person").await;
        let kept = RejectedBody {
            rejected: "r".to_owned(),
            dialect: "native".to_owned(),
            source: None,
            event_id: None,
            field: "id".to_owned(),
            detail: "expected a text".to_owned(),
            body: Some(r#"{"user":"canary-person","id":7}"#.to_owned()),
            size: 31,
            times: 1,
            received_at: now(),
        };
        farthing.store.keep_rejected(org, &[kept]).await.unwrap();
        let files = || -> usize {
            let files = std::fs::read_dir(database.directory()).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
            files.map(|bytes| bytes.windows(13).filter(|window| window == b"canary-person").count()).sum()
        };
        assert!(files() > 0);
        let erased = farthing.erase_name(org, "user", "canary-person").await.unwrap();
        assert_eq!((erased.rejected, erased.remains), (1, Remains::default()));
        assert_eq!(files(), 0);

        send_fields(&farthing, org, "s1", r#""session":"of other-person","user":"other-person""#).await;
        let erased = farthing.erase_name(org, "user", "other-person").await.unwrap();
        assert_eq!(erased.remains, Remains { events: 1, ..Remains::default() });
    });
}

#[test]
fn an_erased_name_leaves_no_bytes_behind_while_others_bring_the_log_into_the_file() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = book(&database).await;
        let pool = sqlx::SqlitePool::connect(&database.url).await.unwrap();
        let others = tokio::spawn(async move {
            loop {
                sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&pool).await.unwrap();
            }
        });
        for number in 0..20 {
            let name = format!("canary-person-{number}");
            send(&farthing, org, &name.replace("person", "event"), &name).await;
            farthing.erase_name(org, "user", &name).await.unwrap();
            let files = std::fs::read_dir(database.directory()).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
            let left: usize = files.map(|bytes| bytes.windows(13).filter(|window| window == b"canary-person").count()).sum();
            assert_eq!(left, 0, "{name}");
        }
        others.abort();
    });
}

async fn send(farthing: &Farthing, org: Org, id: &str, user: &str) {
    send_fields(farthing, org, id, &format!(r#""user":"{user}","team":"t""#)).await;
}

async fn send_fields(farthing: &Farthing, org: Org, id: &str, fields: &str) {
    let context = Context { received_at: now(), source: None, strict: true };
    let json = format!(
        r#"{{"id":"{id}","source":"s","occurred_at":"2026-10-01T00:00:00Z","provider":"openai","model":"gpt-4o-mini",
            "usage":{{"input":1000}},{fields}}}"#
    );
    let prepared = farthing.prepare(org, &farthing.newest(org).await.unwrap(), native::read(&json, &context).unwrap());
    let outcome = farthing.commit_events(&[prepared], || false).await.unwrap().remove(0);
    assert!(matches!(outcome, Outcome::Posted { .. }), "{outcome:?}");
}

/// Spend by user, a line each.
async fn spend(farthing: &Farthing, org: Org) -> Vec<String> {
    let query = Query { by: vec![Dimension::User], ..Query::default() };
    let report = farthing.report(org, &query).await.unwrap();
    report.table.to_csv().lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_name_is_erased_over_http_by_an_admin_alone() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    let event = r#"{"id":"a","source":"s","occurred_at":"2026-10-01T00:00:00Z","provider":"openai","model":"gpt-4o-mini",
                    "usage":{"input":1},"user":"ann/a b","team":"t"}"#;
    assert_eq!(service.post("/v1/events", event).status, 201);
    let erase = |key: &str, text: &str| service.send(Request::new("DELETE", &format!("/v1/names/user/{text}")).key(key));
    for wish in [r#"{"scopes":["ingest","read","catalog"]}"#, r#"{"scopes":["read"],"team":"t"}"#] {
        assert_eq!(erase(&service.new_key(wish), "ann%2Fa%20b").status, 403);
    }
    let erased = erase(&service.key, "ann%2Fa%20b");
    assert_eq!(erased.status, 200, "{}", erased.text());
    assert_eq!(erased.json()["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(erase(&service.key, "ann%2Fa%20b").status, 404);
    let shown = service.get("/v1/events/s/a").text();
    assert!(!shown.contains("ann") && shown.contains("erased #"), "{shown}");
    assert_eq!(service.get("/v1/verify?deep=true").json()["deep"]["erased"], 1);
    assert_eq!(service.get("/v1/verify?deep=perhaps").status, 400);
}

/// From a process of its own, which only reads, while clients send: no lock is waited for and nothing is found that was only
/// on its way.
#[test]
fn a_deep_look_beside_a_server_finds_nothing_that_is_only_on_its_way() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        let service = Service::start(&database);
        let enough = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..3)
            .map(|client| {
                let (enough, address, key) = (enough.clone(), service.address.clone(), service.key.clone());
                std::thread::spawn(move || {
                    for round in 0.. {
                        if enough.load(Ordering::SeqCst) {
                            break;
                        }
                        // Some wait for a rate, some of them are completed later, some contradict what was said.
                        let batch = (0..10).map(|n| {
                            let (id, model) = (round / 2 * 10 + n, if n % 3 == 0 { "nobody-knows" } else { "gpt-4o-mini" });
                            let reported =
                                if n % 3 == 0 && round % 2 == 1 { r#","reported":{"by":"provider","amount":"1"}"# } else { "" };
                            let input = 1 + n + u32::from(n == 7) * (round % 2);
                            format!(
                                r#"{{"id":"{client}-{id}","source":"s","occurred_at":"2026-10-01T00:00:00Z","provider":"openai",
                                    "model":"{model}","usage":{{"input":{input}}},"user":"u{n}"{reported}}}"#
                            )
                        });
                        let body = format!("[{}]", batch.collect::<Vec<_>>().join(","));
                        let request = Request::new("POST", "/v1/events").key(&key).body(body);
                        assert!(matches!(request.send(&address).status, 200 | 207));
                    }
                })
            })
            .collect();
        let mut last = 0;
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(100));
            let output =
                Command::new(env!("CARGO_BIN_EXE_farthing")).args(["verify", "--deep", "--database", &database.url]).output();
            let output = output.unwrap();
            let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{said}");
            let blocks: u64 = said.split_whitespace().next().unwrap().parse().unwrap();
            assert!(blocks >= last, "{said}");
            last = blocks;
        }
        enough.store(true, Ordering::SeqCst);
        clients.into_iter().for_each(|client| client.join().unwrap());
        assert!(last > 3, "hardly anything was written meanwhile: {last} blocks");
        assert_eq!(service.get("/v1/verify?deep=true").json()["ok"], true);
    }
}

/// Damage of several kinds at once: the first block is the one that is named, whatever is wrong with those after it.
#[test]
fn of_several_broken_blocks_the_first_is_named() {
    let in_the_first = "UPDATE entries SET micro = micro + 1 WHERE sequence = 1";
    for later in [
        "UPDATE blocks SET sequence_until = 90 WHERE block = 2",
        "DELETE FROM blocks WHERE block = 2",
        "UPDATE blocks SET occurred_last = NULL WHERE block = 2",
        "UPDATE events SET state = 9 WHERE record = 3",
        "UPDATE entries SET kind = 9 WHERE sequence = 3",
        "UPDATE books SET next_record = 90",
    ] {
        let broken = after(&format!("{in_the_first}; {later}")).expect_err(later);
        assert_eq!((broken.block.0, broken.record.as_deref()), (1, Some("entry 1")), "{later}: {broken:?}");
    }
}
