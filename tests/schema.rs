//! What the schema and the statements promise, so that a book may be spread over servers by its org and served by a role that
//! cannot change it: keys, rights, and what a server does that ends a transaction for reasons of its own. The databases
//! themselves are asked wherever they can answer.

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::service::Service;
use crate::tidy::{code, sources};
use farthing::flow::publish::CatalogFiles;
use farthing::flow::{Farthing, now};
use farthing::id::Org;
use farthing::store::StoreOptions;
use farthing::usage::dialect::{Context, native};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor, PgPool, SqlitePool};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ORG: Org = Org(1);

/// Tables that are not of one org, and why that is meant.
const OF_NO_ORG: [(&str, &str); 8] = [
    ("_sqlx_migrations", "steps of the schema"),
    ("catalog_bodies", "public lists as they came, by their hash; many orgs share one"),
    ("catalog_parts", "parts of catalogs by their hash; many orgs share one"),
    ("facts", "about the whole database"),
    ("leases", "which process runs a job that is for all orgs"),
    ("once_log", "SQLite has no other server to spread to; its keys are hashed with their org"),
    ("once_page", "the same"),
    ("once_run", "the same"),
];

fn of_no_org(table: &str) -> bool {
    OF_NO_ORG.iter().any(|(name, _)| *name == table)
}

async fn open(options: &StoreOptions) -> Farthing {
    Farthing::open(options, &CatalogFiles::Shipped).await.unwrap()
}

/// Asks a PostgreSQL that has the schema.
fn on_postgres(test: impl AsyncFnOnce(&TestDatabase, &PgPool)) {
    let database = TestDatabase::postgres();
    block_on(async {
        open(&database.options()).await.store.close().await;
        let pool = PgPool::connect(&database.url).await.unwrap();
        test(&database, &pool).await;
        pool.close().await;
    });
}

#[test]
fn every_index_of_a_book_begins_with_its_org() {
    on_postgres(async |_, pool| {
        let text = "SELECT t.relname::text, i.relname::text, a.attname::text
                      FROM pg_index x
                      JOIN pg_class t ON t.oid = x.indrelid AND t.relnamespace = 'public'::regnamespace
                      JOIN pg_class i ON i.oid = x.indexrelid
                      LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = x.indkey[0]";
        let indexes: Vec<(String, String, Option<String>)> = sqlx::query_as(text).fetch_all(pool).await.unwrap();
        assert!(indexes.len() > 25, "{indexes:?}");
        for (table, index, first) in indexes.iter().filter(|(table, ..)| !of_no_org(table)) {
            let is_name_of_org = index == "orgs_name_key";
            assert!(first.as_deref() == Some("org") || is_name_of_org, "{index} of {table} begins with {first:?}");
        }

        let database = TestDatabase::sqlite();
        open(&database.options()).await.store.close().await;
        let pool = SqlitePool::connect(&database.url).await.unwrap();
        let text = "SELECT t.name, i.name, c.name FROM sqlite_schema t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
                     WHERE t.type = 'table' AND c.seqno = 0";
        let indexes: Vec<(String, String, Option<String>)> = sqlx::query_as(text).fetch_all(&pool).await.unwrap();
        assert!(indexes.len() > 25, "{indexes:?}");
        for (table, index, first) in indexes.iter().filter(|(table, ..)| !of_no_org(table)) {
            let is_name_of_org = table == "orgs";
            assert!(first.as_deref() == Some("org") || is_name_of_org, "{index} of {table} begins with {first:?}");
        }
    });
}

#[test]
fn nothing_is_numbered_by_the_database_and_no_key_leads_to_another_org() {
    on_postgres(async |_, pool| {
        let count = async |text: &'static str| sqlx::query_scalar::<_, i64>(text).fetch_one(pool).await.unwrap();
        assert_eq!(count("SELECT count(*) FROM pg_class WHERE relkind = 'S'").await, 0, "sequences");
        let identity = "SELECT count(*) FROM information_schema.columns
                         WHERE table_schema = 'public' AND (is_identity = 'YES' OR column_default LIKE '%nextval%')";
        assert_eq!(count(identity).await, 0, "columns that number themselves");
        let text = "SELECT k.conrelid::regclass::text, a.attname::text
                      FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
                     WHERE k.contype = 'f'";
        let foreign: Vec<(String, String)> = sqlx::query_as(text).fetch_all(pool).await.unwrap();
        assert_eq!(foreign, [("books".to_owned(), "org".to_owned())], "a book belongs to its own org");
    });
    for (path, text) in migrations() {
        assert!(!text.to_uppercase().contains("AUTOINCREMENT"), "{path}");
    }
}

#[test]
fn no_statement_leaves_anything_in_a_session() {
    let of_a_session = [
        "pg_advisory",
        "pg_try_advisory",
        "listen ",
        "notify ",
        "temp table",
        "temporary",
        "declare ",
        "with hold",
        "set session",
        "lock table",
        "prepare ",
        "discard ",
    ];
    for (path, text) in statements().chain(migrations()) {
        let text = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        for word in of_a_session {
            assert!(!text.contains(word), "{path} says {word}: {text}");
        }
        let sets = text.split(';').map(str::trim).find(|part| part.starts_with("set ") && !part.starts_with("set local "));
        assert_eq!(sets, None, "{path}");
    }
}

/// What a connection is opened with: none of it is changed later on. The plan of a statement is a hint to the planner, and nothing
/// depends on it; a server without that setting refuses the connection instead of doing something else.
const OF_A_CONNECTION: [(&str, &str); 4] = [
    ("default_transaction_read_only", "on"),
    ("synchronous_commit", "on"),
    ("default_transaction_isolation", "read committed"),
    ("plan_cache_mode", "force_generic_plan"),
];

#[test]
fn a_connection_is_opened_with_known_settings_and_nothing_else() {
    on_postgres(async |_, pool| {
        let (_, store) = sources("src").into_iter().find(|(path, _)| path == "src/store.rs").unwrap();
        // A pair of texts that PostgreSQL knows as a setting and its value is one.
        let text = "SELECT name::text FROM pg_settings WHERE context IN ('user', 'superuser')";
        let known: BTreeSet<String> = sqlx::query_scalar(text).fetch_all(pool).await.unwrap().into_iter().collect();
        let code = code(&store);
        let texts: Vec<&str> = code.split('"').skip(1).step_by(2).collect();
        let found: BTreeSet<(&str, &str)> =
            texts.windows(2).filter(|pair| known.contains(pair[0])).map(|pair| (pair[0], pair[1])).collect();
        assert_eq!(found, OF_A_CONNECTION.into_iter().collect());
    });
}

#[test]
fn many_that_start_at_once_make_one_schema_and_take_no_lock_of_a_session() {
    let database = TestDatabase::postgres();
    block_on(async {
        let pool = PgPool::connect(&database.url).await.unwrap();
        let (watched, over) = (pool.clone(), Arc::new(AtomicBool::new(false)));
        let is_over = over.clone();
        let watcher = tokio::spawn(async move {
            let (mut looks, mut locks) = (0, 0);
            while !is_over.load(Ordering::Relaxed) {
                let text = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'
                               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
                locks += sqlx::query_scalar::<_, i64>(text).fetch_one(&watched).await.unwrap();
                looks += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (looks, locks)
        });
        let starts = (0..8).map(|_| {
            let options = database.options();
            tokio::spawn(async move { Farthing::open(&options, &CatalogFiles::Shipped).await.map_err(|e| e.to_string()) })
        });
        let mut started = Vec::new();
        for start in starts.collect::<Vec<_>>() {
            started.push(start.await.unwrap().unwrap());
        }
        over.store(true, Ordering::Relaxed);
        let (looks, locks) = watcher.await.unwrap();
        assert!(looks > 20 && locks == 0, "in {looks} looks {locks} locks of a session were seen");
        let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres")).unwrap().count() as i64;
        let text = "SELECT version, success FROM _sqlx_migrations ORDER BY version";
        let steps: Vec<(i64, bool)> = sqlx::query_as(text).fetch_all(&pool).await.unwrap();
        assert_eq!(steps, (1..=files).map(|step| (step, true)).collect::<Vec<_>>());
        let orgs: Vec<String> = sqlx::query_scalar("SELECT name FROM orgs").fetch_all(&pool).await.unwrap();
        assert_eq!(orgs, ["main"]);
        for (number, farthing) in started.iter().enumerate() {
            send(farthing, &format!("by {number}")).await;
        }
        assert_eq!(started[0].verify_deep(ORG, |_, _| {}).await.unwrap().unwrap().entries, 8);
        pool.close().await;
    });
}

/// Whoever sweeps what is old, or looks for a key before the org is known, asks over all orgs.
const OVER_ALL_ORGS: [&str; 1] = ["DELETE FROM notices WHERE created_at < $1"];

#[test]
fn every_change_of_a_row_names_its_org() {
    on_postgres(async |_, pool| {
        let text =
            "SELECT table_name::text FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'org'";
        let tables: BTreeSet<String> = sqlx::query_scalar(text).fetch_all(pool).await.unwrap().into_iter().collect();
        assert!(tables.len() > 20, "{tables:?}");
        let mut changes = 0;
        for (path, text) in statements() {
            let words: Vec<&str> = text.split_whitespace().collect();
            let table = match words.as_slice() {
                ["UPDATE", table, ..] | ["DELETE", "FROM", table, ..] => *table,
                _ => continue,
            };
            if tables.contains(table) && !OVER_ALL_ORGS.iter().any(|known| words.join(" ").starts_with(known)) {
                changes += 1;
                let text = words.join(" ");
                assert!(text.contains("WHERE org = $1") || text.ends_with("WHERE org = ?"), "{path}: {text}");
            }
        }
        assert!(changes > 10, "only {changes} statements were found");
    });
}

/// The texts between quotation marks in the code of the store.
fn statements() -> impl Iterator<Item = (String, String)> {
    let of_the_store = sources("src").into_iter().filter(|(path, _)| path.starts_with("src/store"));
    of_the_store.flat_map(|(path, text)| {
        let texts: Vec<String> = code(&text).split('"').skip(1).step_by(2).map(str::to_owned).collect();
        texts.into_iter().map(move |text| (path.clone(), text))
    })
}

fn migrations() -> impl Iterator<Item = (String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    ["sqlite", "postgres"].into_iter().flat_map(move |kind| std::fs::read_dir(root.join(kind)).unwrap()).map(|entry| {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let plain: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        // The body of the function that refuses is a program, not a statement.
        (path.display().to_string(), plain.join("\n").replace("DECLARE", ""))
    })
}

/// Tables and views as statements name them: no statement names a partition.
const TABLES: &str = "SELECT relname::text FROM pg_class
                       WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition";

/// The rights of the documentation, as it stands there.
fn grants(role: &str) -> String {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/postgres.md")).unwrap();
    let block = page.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    block.replace("farthing_service", role)
}

/// What the service's role may do to each table.
async fn rights(pool: &PgPool, role: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = "SELECT t.table_name::text, p.privilege::text
                  FROM information_schema.tables t,
                       unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) p(privilege)
                 WHERE t.table_schema = 'public' AND has_table_privilege($1, quote_ident(t.table_name), p.privilege)";
    let rows: Vec<(String, String)> = sqlx::query_as(text).bind(role).fetch_all(pool).await.unwrap();
    let mut rights: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (table, right) in rows {
        rights.entry(table).or_default().insert(right);
    }
    rights
}

#[test]
fn a_role_without_the_right_to_change_a_book_serves_all_that_there_is() {
    let database = TestDatabase::postgres();
    let name = format!("farthing_service_{}", std::process::id());
    let url = database.url.replace("://farthing@", &format!("://{name}@"));
    let role = Role { owner: database.url.clone(), name, url };
    block_on(async {
        open(&database.options()).await.store.close().await;
        let pool = PgPool::connect(&database.url).await.unwrap();
        pool.execute(AssertSqlSafe(grants(&role.name))).await.unwrap();
        let rights = rights(&pool, &role.name).await;
        let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&pool).await.unwrap();
        let forgotten: Vec<&String> = tables.iter().filter(|table| !rights.contains_key(*table)).collect();
        assert_eq!(forgotten, Vec::<&String>::new(), "tables that the documentation forgets");
        for table in ["entries", "events", "blocks", "statements"] {
            assert_eq!(rights[table].iter().map(String::as_str).collect::<Vec<_>>(), ["INSERT", "SELECT"], "{table}");
        }
    });

    let service = Service::start_with(&role.url, &[]);
    let event = json!({"id": "a", "source": "gw", "occurred_at": "2026-02-03T10:00:00Z", "provider": "openai",
        "model": "gpt-4o-mini", "usage": {"input": 1_000_000, "output": 0}, "user": "ann", "team": "search"});
    let mut other = event.clone();
    other["usage"]["input"] = json!(5);
    let mut unknown = event.clone();
    (unknown["id"], unknown["model"]) = (json!("b"), json!("late"));
    for (body, status) in [(&event, 201), (&event, 200), (&other, 409), (&unknown, 202)] {
        assert_eq!(service.post("/v1/events", body.to_string()).status, status);
    }
    let rejected = service.post("/v1/events", r#"{"id": "c", "usage": {"input": -1}}"#);
    assert_eq!(rejected.status, 422);
    let many: Vec<_> = (0..400)
        .map(|number| {
            let mut event = event.clone();
            event["id"] = json!(format!("copied {number}"));
            event
        })
        .collect();
    assert_eq!(service.post("/v1/events?results=problems", json!(many).to_string()).json()["posted"], 400);

    let conflict = service.get("/v1/conflicts").json()["items"][0]["conflict"].as_str().unwrap().to_owned();
    assert_eq!(service.post(&format!("/v1/conflicts/{conflict}/accept"), "").status, 200);
    let yaml = "provider: openai\nmodels:\n  - model: late\n    cards: [{input_per_1m: \"1\"}]\n  - model: gpt-4o-mini\n    cards: [{input_per_1m: \"0.3\", output_per_1m: \"1\"}]\n";
    let published = service.request("POST", "/v1/catalog/versions?accept=true").header("Content-Type", "application/yaml");
    let published = service.send(published.body(yaml));
    assert_eq!(published.status, 201, "{}", published.text());
    assert_eq!(service.get("/v1/held").json()["items"], json!([]));
    let rerated = service.post("/v1/rerate?dry_run=false", "");
    assert_eq!((rerated.status, rerated.json()["changed"].as_u64()), (200, Some(401)), "{}", rerated.text());
    let fee = json!({"amount": "0.25", "debit": "cost:search/ann", "credit": "payable:openai", "reason": "agreed",
        "occurred_at": "2026-02-05"});
    let fee = service.request("POST", "/v1/adjustments").header("Idempotency-Key", "fee").body(fee.to_string());
    assert_eq!(service.send(fee).status, 201);

    assert_eq!(service.post("/v1/periods/2026-02/close", "").status, 200);
    assert_eq!(service.post("/v1/periods/2026-02/reopen?reason=late", "").status, 200);
    let claimed = r#"{"data":[{"date":"2026-02-03","model_permaslug":"a/b","usage":0.5,"requests":1}]}"#;
    let statement = service.post("/v1/statements", claimed);
    assert_eq!(statement.status, 201, "{}", statement.text());
    let order = json!({"statement": statement.json()["id"]}).to_string();
    for _ in 0..2 {
        let run = service.post("/v1/reconciliations", &order);
        assert_eq!(run.status, 200, "{}", run.text());
    }
    assert_eq!(service.get("/v1/reports/spend?group_by=user").status, 200);
    let key = service.new_key(r#"{"scopes": ["read"]}"#);
    let name = key.split('_').nth(1).unwrap().to_owned();
    assert_eq!(service.request("DELETE", &format!("/v1/keys/{name}")).send(&service.address).status / 100, 2);
    assert_eq!(service.get("/v1/verify").json()["ok"], true);
    let denied = ["permission denied", "42501"].into_iter().find(|word| service.log.lock().unwrap().contains(word));
    assert_eq!(denied, None, "{}", service.log.lock().unwrap());
    assert!(service.stop().success());

    block_on(async {
        let as_service = PgPool::connect(&role.url).await.unwrap();
        for table in ["entries", "events", "blocks", "statements"] {
            for text in [format!("UPDATE {table} SET org = org"), format!("DELETE FROM {table}"), format!("TRUNCATE {table}")] {
                let refused = as_service.execute(AssertSqlSafe(text.clone())).await.unwrap_err();
                let code = refused.as_database_error().and_then(|e| e.code().map(|code| code.into_owned()));
                assert_eq!(code.as_deref(), Some("42501"), "{text}: {refused}");
            }
        }
        as_service.close().await;
    });
}

/// A role outlives the database of a test unless it is dropped with its rights.
struct Role {
    owner: String,
    name: String,
    url: String,
}

impl Drop for Role {
    fn drop(&mut self) {
        let (owner, name) = (self.owner.clone(), self.name.clone());
        // A test may panic inside of a runtime, and a runtime cannot be started inside of another.
        let dropped = std::thread::spawn(move || {
            block_on(async {
                if let Ok(pool) = PgPool::connect(&owner).await {
                    let _ = pool.execute(AssertSqlSafe(format!("DROP OWNED BY {name}; DROP ROLE {name}"))).await;
                }
            });
        });
        let _ = dropped.join();
    }
}

async fn send(farthing: &Farthing, id: &str) {
    let context = Context { received_at: now(), source: None, strict: true };
    let sent = json!({"id": id, "source": "gw", "occurred_at": "2026-02-03T10:00:00Z", "provider": "openai",
        "model": "gpt-4o-mini", "usage": {"input": 1_000_000, "output": 0}, "user": id, "team": "search"});
    let in_force = farthing.newest(ORG).await.unwrap();
    let event = farthing.prepare(ORG, &in_force, native::read(&sent.to_string(), &context).unwrap());
    let outcome = farthing.commit_events(&[event], || true).await.unwrap().remove(0);
    assert!(matches!(outcome, farthing::flow::ingest::Outcome::Posted { .. }), "{id}: {outcome:?}");
}

/// Two processes write 30 events each, all at once.
async fn two_write(database: &TestDatabase) -> Arc<Farthing> {
    let (one, two) = (Arc::new(open(&database.options()).await), Arc::new(open(&database.options()).await));
    let writers = [("one", one.clone()), ("two", two)].map(|(who, farthing)| {
        tokio::spawn(async move {
            for number in 0..30 {
                send(&farthing, &format!("{who}-{number}")).await;
            }
        })
    });
    for writer in writers {
        writer.await.unwrap();
    }
    let verified = one.verify(ORG, |_, _| {}).await.unwrap().unwrap();
    assert_eq!(verified.entries, 60);
    one
}

#[test]
fn a_server_that_isolates_more_than_it_has_to_changes_nothing() {
    on_postgres(async |database, pool| {
        let name = database.url.split('?').next().unwrap().rsplit('/').next().unwrap();
        let text = format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'");
        pool.execute(AssertSqlSafe(text)).await.unwrap();
        two_write(database).await;
    });
}

#[test]
fn a_transaction_that_the_server_ends_with_a_serialization_failure_is_done_again() {
    on_postgres(async |database, pool| {
        // Every third block is refused when it is written, every fifth when it is committed, half of the time.
        let text = "CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN
                      IF random() < 0.5 THEN
                        RAISE EXCEPTION 'could not serialize access' USING ERRCODE = CASE WHEN NEW.block % 2 = 0 THEN '40001' ELSE '40P01' END;
                      END IF;
                      RETURN NEW;
                    END $$;
                    CREATE TRIGGER not_now BEFORE INSERT ON blocks FOR EACH ROW WHEN (NEW.block % 3 = 0) EXECUTE FUNCTION not_now();
                    CREATE CONSTRAINT TRIGGER not_now_either AFTER INSERT ON blocks DEFERRABLE INITIALLY DEFERRED
                      FOR EACH ROW WHEN (NEW.block % 5 = 0) EXECUTE FUNCTION not_now();";
        pool.execute(text).await.unwrap();
        let farthing = two_write(database).await;
        assert_eq!(farthing.store.head(ORG).await.unwrap().block.0, 60);
    });
}

#[test]
fn both_databases_have_the_same_tables() {
    on_postgres(async |_, pool| {
        let on_postgres: BTreeSet<String> = sqlx::query_scalar(TABLES).fetch_all(pool).await.unwrap().into_iter().collect();
        let database = TestDatabase::new(Kind::Sqlite);
        open(&database.options()).await.store.close().await;
        let pool = SqlitePool::connect(&database.url).await.unwrap();
        let text = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'";
        let on_sqlite: BTreeSet<String> = sqlx::query_scalar(text).fetch_all(&pool).await.unwrap().into_iter().collect();
        let only: Vec<&String> = on_postgres.symmetric_difference(&on_sqlite).collect();
        assert_eq!(only, ["once", "once_log", "once_page", "once_run"], "how what must happen once is kept, and nothing else");
    });
}
