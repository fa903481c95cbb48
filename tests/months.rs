//! Months on PostgreSQL: where rows lie is nobody's business but the operator's. A book is the same whichever partitions are
//! there, an older one is brought into them without a row being written again, and what is taken out is missed.

use crate::support::database::{TestDatabase, block_on};
use farthing::catalog::source::own;
use farthing::flow::archive::read::verify_with;
use farthing::flow::ingest::Outcome;
use farthing::flow::publish::{CatalogFiles, Wish as Publish};
use farthing::flow::{Farthing, now, periods};
use farthing::id::{EventNumber, Org};
use farthing::report::{Dimension, Filter, Measure, Query};
use farthing::time::Month;
use farthing::usage::dialect::{Context, native};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor, PgPool};
use std::path::Path;
use std::process::Command;

const ORG: Org = Org(1);
const PRICES: &str =
    "provider: acme\nabsent: unknown\nmodels:\n  - model: haiku\n    cards: [{input_per_1m: \"1\", output_per_1m: \"2\"}]\n";

async fn open(database: &TestDatabase) -> (Farthing, PgPool) {
    let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
    let wish = Publish { parts: own::read(PRICES).unwrap(), accept: true, ..Publish::default() };
    farthing.publish(ORG, &wish).await.unwrap();
    (farthing, PgPool::connect(&database.url).await.unwrap())
}

async fn send(farthing: &Farthing, id: &str, at: &str) -> Outcome {
    let context = Context { received_at: now(), source: None, strict: true };
    let sent = json!({"id": id, "source": "gw", "occurred_at": at, "provider": "acme", "model": "haiku",
        "usage": {"input": 1_000, "output": 5}, "user": "ann", "team": "search"});
    let event = farthing.prepare(ORG, &farthing.newest(ORG).await.unwrap(), native::read(&sent.to_string(), &context).unwrap());
    farthing.commit_events(&[event], || true).await.unwrap().remove(0)
}

/// How many rows lie in each partition that has any.
async fn lie(pool: &PgPool) -> Vec<(String, i64)> {
    let text = "SELECT tableoid::regclass::text, count(*) FROM entries GROUP BY 1
                UNION ALL SELECT tableoid::regclass::text, count(*) FROM events GROUP BY 1 ORDER BY 1";
    sqlx::query_as(text).fetch_all(pool).await.unwrap()
}

fn partition(table: &str, month: Month) -> String {
    format!("{table}_{}", month.to_string().replace('-', "_"))
}

/// Has the first partition end before a month, as if the step had been taken long ago: what is written now is of a later one.
async fn first_until(pool: &PgPool, month: Month) {
    for table in ["entries", "events"] {
        let until = month.number();
        let text = format!(
            "ALTER TABLE {table} DETACH PARTITION {table}_first;
             ALTER TABLE {table} ATTACH PARTITION {table}_first FOR VALUES FROM (MINVALUE) TO ({until})"
        );
        pool.execute(AssertSqlSafe(text)).await.unwrap();
    }
}

#[test]
fn rows_lie_in_the_month_in_which_their_block_was_sealed() {
    let database = TestDatabase::postgres();
    block_on(async {
        let (farthing, pool) = open(&database).await;
        first_until(&pool, now().month()).await;
        let month = now().month();
        assert_eq!(farthing.store.make_months(month, 2).await.unwrap(), 6);
        assert_eq!(farthing.store.make_months(month, 2).await.unwrap(), 0, "they are there");
        send(&farthing, "a", "2026-02-03T10:00:00Z").await;
        let expected = [(partition("entries", month), 1), (partition("events", month), 1)];
        assert_eq!(lie(&pool).await, expected);
        let names: Vec<String> =
            farthing.store.partitions().await.unwrap().into_iter().map(|partition| partition.table).collect();
        assert_eq!(names.len(), 10);
        assert!(names.contains(&partition("entries", month.next().next())), "{names:?}");
        pool.close().await;
    });
}

#[test]
fn a_month_without_a_partition_lies_with_the_rest_and_the_book_is_the_same() {
    let database = TestDatabase::postgres();
    block_on(async {
        let (farthing, pool) = open(&database).await;
        first_until(&pool, now().month()).await;
        for id in ["a", "b", "c"] {
            assert!(matches!(send(&farthing, id, "2026-02-03T10:00:00Z").await, Outcome::Posted { .. }));
        }
        assert_eq!(lie(&pool).await, [("entries_rest".to_owned(), 3), ("events_rest".to_owned(), 3)]);
        assert_eq!(farthing.store.make_months(now().month(), 0).await.unwrap(), 0, "its rows lie elsewhere and stay there");
        assert!(matches!(send(&farthing, "a", "2026-02-03T10:00:00Z").await, Outcome::AlreadyPresent));
        farthing.verify_deep(ORG, |_, _| {}).await.unwrap().unwrap();
        assert_eq!(farthing.store.entries_of(ORG, EventNumber(1)).await.unwrap().len(), 1);
        pool.close().await;
    });
}

#[test]
fn nothing_in_any_partition_is_changed_or_deleted() {
    let database = TestDatabase::postgres();
    block_on(async {
        let (farthing, pool) = open(&database).await;
        farthing.store.make_months(now().month(), 1).await.unwrap();
        send(&farthing, "a", "2026-02-03T10:00:00Z").await;
        let names: Vec<String> =
            farthing.store.partitions().await.unwrap().into_iter().map(|partition| partition.table).collect();
        assert_eq!(names.len(), 6, "{names:?}");
        for table in names.iter().map(String::as_str).chain(["entries", "events"]) {
            for text in [format!("UPDATE {table} SET org = org"), format!("DELETE FROM {table}"), format!("TRUNCATE {table}")] {
                let refused = pool.execute(AssertSqlSafe(text.clone())).await.unwrap_err().to_string();
                assert!(refused.contains("are never changed or deleted"), "{text}: {refused}");
            }
        }
        pool.close().await;
    });
}

#[test]
fn every_partition_has_the_keys_of_the_others() {
    let database = TestDatabase::postgres();
    block_on(async {
        let (farthing, pool) = open(&database).await;
        farthing.store.make_months(now().month(), 1).await.unwrap();
        let text = "SELECT regexp_replace(t.relname, '_.*', ''),
                           regexp_replace(pg_get_indexdef(x.indexrelid), '(INDEX|ON) \\S+', '\\1', 'g')
                      FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid WHERE t.relispartition
                     GROUP BY 1, 2 HAVING count(*) <> 3";
        let odd: Vec<(String, String)> = sqlx::query_as(text).fetch_all(&pool).await.unwrap();
        assert_eq!(odd, [], "an index that not all three partitions have");
        let indexes: i64 =
            sqlx::query_scalar("SELECT count(*) FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid WHERE t.relispartition")
                .fetch_one(&pool)
                .await
                .unwrap();
        assert_eq!(indexes, 3 * (2 + 4), "a key and another of entries, a key and three others of events");
        pool.close().await;
    });
}

#[test]
fn a_book_from_before_there_were_months_is_brought_into_them_as_it_is() {
    let database = TestDatabase::postgres();
    block_on(async {
        let (farthing, pool) = open(&database).await;
        for number in 0..20 {
            send(&farthing, &format!("e{number}"), "2026-02-03T10:00:00Z").await;
        }
        let head = farthing.store.head(ORG).await.unwrap();
        farthing.store.close().await;
        let view: String =
            sqlx::query_scalar("SELECT pg_get_viewdef('readable_entries'::regclass)").fetch_one(&pool).await.unwrap();
        // As the step before left it.
        let back = "DROP TABLE sought, followed; DROP VIEW readable_entries;
                    ALTER TABLE entries DETACH PARTITION entries_first; ALTER TABLE events DETACH PARTITION events_first;
                    DROP TABLE entries, events; DROP FUNCTION make_month(INTEGER);
                    ALTER TABLE entries_first DROP COLUMN sealed_in; ALTER TABLE events_first DROP COLUMN sealed_in;
                    ALTER TABLE entries_first RENAME TO entries; ALTER TABLE events_first RENAME TO events;
                    ALTER TABLE entries RENAME CONSTRAINT entries_first_pkey TO entries_pkey;
                    ALTER TABLE events RENAME CONSTRAINT events_first_pkey TO events_pkey;
                    ALTER INDEX entries_first_by_event RENAME TO entries_by_event;
                    ALTER INDEX events_first_by_revision RENAME TO events_by_revision;
                    ALTER INDEX events_first_about RENAME TO events_about;
                    ALTER INDEX events_first_decided RENAME TO events_decided;
                    DELETE FROM _sqlx_migrations
                     WHERE version >= (SELECT version FROM _sqlx_migrations WHERE description = 'months')";
        pool.execute(back).await.unwrap();
        let role = format!("farthing_months_{}", std::process::id());
        let rights = format!(
            "CREATE VIEW readable_entries AS {view}
             CREATE ROLE {role};
             GRANT SELECT, INSERT ON entries, events TO {role};
             GRANT SELECT ON readable_entries TO {role}"
        );
        pool.execute(AssertSqlSafe(rights)).await.unwrap();
        let files = "SELECT pg_relation_filenode('entries')::bigint, pg_relation_filenode('events')::bigint";
        let before: (i64, i64) = sqlx::query_as(files).fetch_one(&pool).await.unwrap();

        let (farthing, _) = open(&database).await;
        let after = files.replace("entries", "entries_first").replace("events", "events_first");
        let after: (i64, i64) = sqlx::query_as(AssertSqlSafe(after)).fetch_one(&pool).await.unwrap();
        assert_eq!(after, before, "the same files: nothing was written anew");
        assert_eq!(farthing.store.head(ORG).await.unwrap().hash, head.hash);
        assert!(matches!(send(&farthing, "e3", "2026-02-03T10:00:00Z").await, Outcome::AlreadyPresent));
        send(&farthing, "new", "2026-02-03T10:00:00Z").await;
        let verified = farthing.verify_deep(ORG, |_, _| {}).await.unwrap().unwrap();
        assert_eq!(verified.entries, 21);
        let kept = "SELECT has_table_privilege($1, 'entries', 'SELECT') AND has_table_privilege($1, 'entries', 'INSERT')
                       AND has_table_privilege($1, 'events', 'INSERT') AND has_table_privilege($1, 'readable_entries', 'SELECT')
                       AND has_function_privilege($1, 'make_month(integer)', 'EXECUTE')
                       AND NOT has_table_privilege($1, 'entries', 'UPDATE')";
        let kept: bool = sqlx::query_scalar(kept).bind(&role).fetch_one(&pool).await.unwrap();
        let gone = pool.execute(AssertSqlSafe(format!("DROP OWNED BY {role}; DROP ROLE {role}"))).await;
        assert!(kept, "rights are as they were");
        gone.unwrap();
        pool.close().await;
    });
}

#[test]
fn a_month_whose_rows_lie_with_the_rest_is_not_tried_again_and_nobody_is_waited_for() {
    let database = TestDatabase::postgres();
    block_on(async {
        let (farthing, pool) = open(&database).await;
        let mut reading = pool.begin().await.unwrap();
        reading.execute("SELECT count(*) FROM entries_rest, events_rest").await.unwrap();
        // The first partition has this month; to try all the same would wait for whoever reads, and others for that.
        assert_eq!(farthing.store.make_months(now().month(), 0).await.unwrap(), 0);
        reading.rollback().await.unwrap();

        first_until(&pool, now().month()).await;
        send(&farthing, "a", "2026-02-03T10:00:00Z").await;
        let mut reading = pool.begin().await.unwrap();
        reading.execute("SELECT count(*) FROM entries_rest, events_rest").await.unwrap();
        assert_eq!(farthing.store.make_months(now().month(), 0).await.unwrap(), 0);
        reading.rollback().await.unwrap();
        assert_eq!(farthing.store.make_months(now().month(), 1).await.unwrap(), 2, "the next one is made");
        pool.close().await;
    });
}

#[test]
fn only_months_that_somebody_may_need_get_partitions() {
    let database = TestDatabase::postgres();
    block_on(async {
        let (farthing, pool) = open(&database).await;
        let this = now().month().number();
        for month in ["NULL".to_owned(), "-1".to_owned(), i32::MAX.to_string(), (this + 121).to_string(), (this - 2).to_string()]
        {
            let refused = pool.execute(AssertSqlSafe(format!("SELECT make_month({month})"))).await.unwrap_err().to_string();
            assert!(refused.contains("gets no partition"), "{month}: {refused}");
        }
        assert_eq!(farthing.store.make_months(now().month(), u32::MAX).await.unwrap(), 2 * 120);
        pool.close().await;
    });
}

/// The program at a time that many days ago.
fn run_days_ago(days: i64, database: &TestDatabase, directory: &Path, arguments: &[&str]) {
    std::fs::create_dir_all(directory).unwrap();
    let library = directory.join("faults.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/faults.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(compiled.unwrap().success());
    std::fs::write(directory.join("clock"), (-days * 86_400).to_string()).unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_farthing"))
        .args(arguments)
        .args(["--allow-fsync-off", "--database", &database.url])
        .env("LD_PRELOAD", &library)
        .env("FARTHING_TEST_FAULTS", directory)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_month_stays_closed_when_the_closings_before_it_were_taken_out() {
    let database = TestDatabase::postgres();
    let place = std::env::temp_dir().join(format!("farthing-closings-test-{}", std::process::id()));
    let this = now().month();
    let ago = |months: i32| Month::from_number(this.number() - months);
    let days_since = |month: Month| (now().micros() - month.period().from.micros()) / 86_400_000_000 - 14;
    block_on(async {
        let sent = json!({"id": "e", "source": "gw", "occurred_at": format!("{}-10T10:00:00Z", ago(2)), "provider": "openai",
            "model": "gpt-4o-mini", "usage": {"input": 1_000, "output": 5}});
        std::fs::create_dir_all(&place).unwrap();
        let file = place.join("event.json");
        std::fs::write(&file, sent.to_string()).unwrap();
        run_days_ago(days_since(ago(2)), &database, &place.join("then"), &["ingest", &file.display().to_string()]);
        run_days_ago(days_since(ago(1)), &database, &place.join("later"), &["close", &ago(2).to_string()]);
        let (farthing, pool) = open(&database).await;
        first_until(&pool, this).await;
        assert!(farthing.store.make_months(this, 0).await.unwrap() > 0);
        send(&farthing, "late", &format!("{}-03T10:00:00Z", ago(1))).await;
        let wish = periods::Wish { month: ago(1), accept_held: false, note: String::new(), author: "ann".to_owned() };
        farthing.close_period(ORG, &wish, |_, _| {}).await.unwrap();
        for table in ["entries", "events"] {
            pool.execute(AssertSqlSafe(format!("ALTER TABLE {table} DETACH PARTITION {table}_first"))).await.unwrap();
        }
        let head = farthing.store.head(ORG).await.unwrap();
        for (month, what) in [(ago(1), "the closings before it"), (ago(2), "entries that may count in it")] {
            let refused = farthing.reopen_period(ORG, month, "an invoice", "ann").await.unwrap_err().to_string();
            assert!(refused.starts_with(&format!("{month} stays closed: {what} were taken out")), "{refused}");
        }
        assert_eq!(farthing.store.head(ORG).await.unwrap(), head);

        // Attached again they are as they were.
        for table in ["entries", "events"] {
            let until = this.number();
            let back = format!("ALTER TABLE {table} ATTACH PARTITION {table}_first FOR VALUES FROM (MINVALUE) TO ({until})");
            pool.execute(AssertSqlSafe(back)).await.unwrap();
        }
        assert_eq!(farthing.reopen_period(ORG, ago(1), "an invoice", "ann").await.unwrap(), [ago(1)]);
        assert_eq!(farthing.store.head(ORG).await.unwrap().first_open, ago(1));
        pool.close().await;
    });
    let _ = std::fs::remove_dir_all(place);
}

#[test]
fn months_go_on_being_closed_when_older_ones_were_taken_out() {
    let database = TestDatabase::postgres();
    let place = std::env::temp_dir().join(format!("farthing-months-test-{}", std::process::id()));
    let (archive, clock) = (place.join("archive"), place.join("clock"));
    let this = now().month();
    let ago = |months: i32| Month::from_number(this.number() - months);
    // The middle of the month before the last one.
    let then = ago(2).period().from.micros() + 14 * 86_400_000_000;
    let days = (now().micros() - then) / 86_400_000_000;
    block_on(async {
        let at = format!("{}-14T10:00:00Z", ago(2));
        let sent: Vec<String> = (0..10)
            .map(|number| {
                json!({"id": format!("e{number}"), "source": "gw", "occurred_at": at, "provider": "openai",
                    "model": "gpt-4o-mini", "usage": {"input": 1_000, "output": 5}, "user": "ann", "team": "search"})
                .to_string()
            })
            .collect();
        std::fs::create_dir_all(&place).unwrap();
        let file = place.join("events.ndjson");
        std::fs::write(&file, sent.join("\n")).unwrap();
        run_days_ago(days, &database, &clock, &["ingest", &file.display().to_string()]);
        let (farthing, pool) = open(&database).await;
        first_until(&pool, this).await;
        assert!(farthing.store.make_months(this, 0).await.unwrap() > 0);
        let wish = |month| periods::Wish { month, accept_held: false, note: String::new(), author: "ann".to_owned() };
        farthing.close_period(ORG, &wish(ago(2)), |_, _| {}).await.unwrap();
        farthing.archive(ORG, ago(2), &archive, |_, _| {}).await.unwrap();
        assert_eq!(lie(&pool).await[0], ("entries_first".to_owned(), 10));
        for table in ["entries", "events"] {
            pool.execute(AssertSqlSafe(format!("ALTER TABLE {table} DETACH PARTITION {table}_first"))).await.unwrap();
        }

        assert!(farthing.verify(ORG, |_, _| {}).await.unwrap().is_err());
        let archives = [archive.clone()];
        verify_with(&farthing, ORG, &archives, |_, _| {}).await.unwrap().unwrap();
        let refused = farthing.report(ORG, &Query::default()).await.unwrap_err().to_string();
        assert!(refused.contains("ask the archive of their month"), "{refused}");

        send(&farthing, "late", &format!("{}-03T10:00:00Z", ago(1))).await;
        let closing = farthing.close_period(ORG, &wish(ago(1)), |_, _| {}).await.unwrap();
        assert_eq!(closing.entries, 1);
        let filters = vec![Filter { dimension: Dimension::Period, values: vec![ago(1).to_string()] }];
        let query = Query { show: vec![Measure::Entries], filters, ..Query::default() };
        assert_eq!(farthing.report(ORG, &query).await.unwrap().table.totals.len(), 1);
        verify_with(&farthing, ORG, &archives, |_, _| {}).await.unwrap().unwrap();

        // What comes again of what is not there is not charged again.
        let context = Context { received_at: now(), source: None, strict: true };
        let again = native::read(&sent[3], &context).unwrap();
        let again = farthing.prepare(ORG, &farthing.newest(ORG).await.unwrap(), again);
        let before = farthing.store.head(ORG).await.unwrap();
        let outcome = farthing.commit_events(&[again], || true).await.unwrap().remove(0);
        let Outcome::Rejected(why) = outcome else { panic!("{outcome:?}") };
        assert!(why.to_string().contains("its month was taken out of this database"), "{why}");
        assert_eq!(farthing.store.head(ORG).await.unwrap(), before);
        pool.close().await;
    });
    let _ = std::fs::remove_dir_all(place);
}
