//! Archives of closed months: they answer as the book does, they are proved by their files alone, and what an operator takes
//! out of a database afterwards is missed, not forgotten.

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::random::Random;
use farthing::catalog::source::own;
use farthing::export::manifest::Manifest;
use farthing::flow::archive::read::{Archive, Brought, verify, verify_with};
use farthing::flow::export::files::ExportError;
use farthing::flow::publish::{CatalogFiles, Wish as Publish};
use farthing::flow::{Farthing, adjust, now, periods, rerate};
use farthing::id::{BlockNumber, Org};
use farthing::ledger::Account;
use farthing::ledger::decision::{About, Adjustment};
use farthing::ledger::seal::name_hash;
use farthing::money::{Amount, Currency};
use farthing::report::{AsOf, Clock, Dimension, Filter, Measure, Query};
use farthing::signature::Signer;
use farthing::time::{Instant, Month};
use farthing::usage::Text;
use farthing::usage::dialect::{Context, native};
use serde_json::json;
use sqlx::{Executor, SqlitePool};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const ORG: Org = Org(1);
const PRICES: &str = "provider: acme\nabsent: unknown\nmodels:\n  - model: haiku\n    cards: [{input_per_token: \"0.0000000208333333333333\", output_per_1m: \"2\"}]\n  - model: opus\n    cards: [{input_per_1m: \"15\", output_per_1m: \"75\"}]\n";
const DEARER: &str = "provider: acme\nabsent: unknown\nmodels:\n  - model: haiku\n    cards: [{input_per_1m: \"3\", output_per_1m: \"2\"}]\n  - model: opus\n    cards: [{input_per_1m: \"15\", output_per_1m: \"75\"}]\n";

/// A directory that goes away with its test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("farthing-archive-test-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Place(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn both(test: impl AsyncFn(&TestDatabase, &Path)) {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (database, place) = (TestDatabase::new(kind), Place::new(&format!("{kind:?}-{}", now().micros())));
        block_on(test(&database, &place.0));
    }
}

async fn open(database: &TestDatabase) -> Farthing {
    let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
    publish(&farthing, PRICES).await;
    farthing
}

async fn publish(farthing: &Farthing, yaml: &str) {
    let parts = own::read(yaml).unwrap();
    farthing.publish(ORG, &Publish { parts, accept: true, ..Publish::default() }).await.unwrap();
}

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

async fn close(farthing: &Farthing, text: &str) {
    let wish = periods::Wish { month: month(text), accept_held: false, note: String::new(), author: "ann".to_owned() };
    farthing.close_period(ORG, &wish, |_, _| {}).await.unwrap();
}

async fn send(farthing: &Farthing, id: &str, at: &str, random: &mut Random) {
    let pick = |of: &[&'static str], random: &mut Random| of[random.below(of.len() as u64) as usize];
    let context = Context { received_at: now(), source: None, strict: true };
    let sent = json!({"id": id, "source": pick(&["gw", "other"], random), "occurred_at": at, "provider": "acme",
        "model": pick(&["haiku", "opus"], random), "team": pick(&["search", "labs"], random),
        "user": pick(&["ann", "bo", "cy"], random), "session": format!("s{}", random.below(4)),
        "labels": {"feature": pick(&["chat", "batch"], random)},
        "usage": {"input": random.below(3_000_000), "output": random.below(9_000)}});
    let in_force = farthing.newest(ORG).await.unwrap();
    let event = farthing.prepare(ORG, &in_force, native::read(&sent.to_string(), &context).unwrap());
    farthing.commit_events(&[event], || false).await.unwrap();
}

/// Events of three months, in the order of nothing.
async fn fill(farthing: &Farthing, events: u64, random: &mut Random) {
    for number in 0..events {
        let (month, day) = (1 + random.below(3), 1 + random.below(28));
        send(farthing, &format!("e{number}"), &format!("2026-{month:02}-{day:02}T10:00:00Z"), random).await;
    }
}

async fn credit(farthing: &Farthing) {
    let adjustment = Adjustment {
        id: Text::known("credit"),
        amount: Amount::parse("0.25").unwrap(),
        currency: Currency::USD,
        debit: Account::parse("payable:acme").unwrap(),
        credit: Account::parse("cost:search/ann").unwrap(),
        reason: Text::known("agreed"),
        author: Text::known("ann"),
        occurred_at: Instant::parse("2026-02-10T00:00:00Z").unwrap(),
        about: About::default(),
    };
    farthing.adjust(ORG, &adjust::Wish { adjustment, with_time: true }).await.unwrap();
}

async fn rerate(farthing: &Farthing) -> u64 {
    let wish = rerate::Wish { reason: "dearer".to_owned(), ..rerate::Wish::default() };
    farthing.rerate(ORG, &wish, |_| {}).await.unwrap().changed
}

/// Everything that a report can tell of entries, one way or another.
fn questions() -> Vec<Query> {
    use Dimension::{CatalogVersion, Day, Kind, Label, Meter, Model, Month, Payee, Session, Source, Team, User};
    use Measure::{Amount, Calls, Drift, Entries, List, Quantity, Rated, Tokens, Users};
    let all = vec![Amount, Calls, Entries, Tokens, List, Rated, Drift, Users];
    let by = |by: Vec<Dimension>| Query { by, show: all.clone(), ..Query::default() };
    vec![
        by(vec![]),
        by(vec![Team, User, Model]),
        by(vec![Kind, Month, Payee]),
        by(vec![Day, Source]),
        by(vec![CatalogVersion]),
        by(vec![Session, Label(Text::known("feature"))]),
        Query { by: vec![Meter, Model], show: vec![Amount, Quantity], ..Query::default() },
        Query { clock: Clock::Recorded, ..by(vec![Team, Day]) },
        Query { filters: vec![Filter { dimension: Team, values: vec!["labs".to_owned()] }], ..by(vec![User]) },
    ]
}

/// The same question, asked of the book about one month.
fn about(month: &str, query: Query) -> Query {
    let mut filters = query.filters.clone();
    filters.push(Filter { dimension: Dimension::Period, values: vec![month.to_owned()] });
    Query { filters, ..query }
}

async fn archive(farthing: &Farthing, text: &str, to: &Path) -> Result<Manifest, ExportError> {
    farthing.archive(ORG, month(text), to, |_, _| {}).await
}

#[test]
fn an_archive_answers_as_the_book_does_about_its_month() {
    both(async |database, place| {
        let mut random = Random::new(7);
        let farthing = open(database).await;
        fill(&farthing, 60, &mut random).await;
        close(&farthing, "2026-01").await;
        // Of January's usage this books again what counts in February from now on.
        publish(&farthing, DEARER).await;
        assert!(rerate(&farthing).await > 10);
        credit(&farthing).await;
        close(&farthing, "2026-02").await;
        fill(&farthing, 90, &mut random).await;

        for name in ["2026-01", "2026-02"] {
            let to = place.join(name);
            let manifest = archive(&farthing, name, &to).await.unwrap();
            assert!(manifest.rows > 15, "{name}: {}", manifest.rows);
            let archive = Archive::open(&to).await.unwrap();
            for query in questions() {
                // What was said of an event after the last block of the archive is in the book alone.
                let as_of = Some(AsOf::Block(BlockNumber(manifest.book.block)));
                let known_then = if query.needs_events() { Query { as_of, ..query.clone() } } else { query.clone() };
                let of_the_book = farthing.report(ORG, &about(name, known_then)).await.unwrap().table;
                let answer = archive.report(&query).await.unwrap();
                assert_eq!(answer.table, of_the_book, "{name}: {query:?}");
                assert!(!answer.table.is_empty(), "{name}: {query:?}");
            }
            archive.close().await;
        }
    });
}

#[test]
fn a_month_that_may_still_change_is_not_archived() {
    both(async |database, place| {
        let farthing = open(database).await;
        fill(&farthing, 12, &mut Random::new(1)).await;
        let refused = archive(&farthing, "2026-01", place).await.unwrap_err().to_string();
        assert_eq!(refused, "2026-01 is not closed, so it may still change; `farthing close 2026-01` proves and closes it");
        close(&farthing, "2026-01").await;
        farthing.reopen_period(ORG, month("2026-01"), "a late invoice", "ann").await.unwrap();
        let refused = archive(&farthing, "2026-01", place).await.unwrap_err().to_string();
        assert_eq!(refused, "2026-01 was opened again, so it may still change; close it, and then archive it");
        assert!(!place.exists(), "nothing was made");
    });
}

#[test]
fn the_same_archive_again_is_the_one_that_is_there() {
    both(async |database, place| {
        let farthing = open(database).await;
        fill(&farthing, 30, &mut Random::new(2)).await;
        close(&farthing, "2026-01").await;
        let made = archive(&farthing, "2026-01", place).await.unwrap();
        let mut names: Vec<String> =
            std::fs::read_dir(place).unwrap().map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        assert_eq!(names, ["_manifest.json", "book.db", "closing.json"]);
        assert_eq!(archive(&farthing, "2026-01", place).await.unwrap(), made);

        farthing.reopen_period(ORG, month("2026-01"), "a late invoice", "ann").await.unwrap();
        send(&farthing, "late", "2026-01-15T00:00:00Z", &mut Random::new(3)).await;
        close(&farthing, "2026-01").await;
        let refused = archive(&farthing, "2026-01", place).await.unwrap_err().to_string();
        assert!(refused.contains("of an earlier closing"), "{refused}");
    });
}

#[test]
fn an_archive_is_proved_by_its_files_and_nothing_else() {
    both(async |database, place| {
        let farthing = open(database).await.with_signer(Some(Arc::new(Signer::of(&"07".repeat(32)).unwrap())));
        fill(&farthing, 30, &mut Random::new(4)).await;
        close(&farthing, "2026-01").await;
        close(&farthing, "2026-02").await;
        let manifest = archive(&farthing, "2026-02", place).await.unwrap();
        farthing.store.close().await;
        let (found, closing, proved) = verify(place, |_, _| {}).await.unwrap();
        assert_eq!(found, manifest);
        assert_eq!(found.is_as_signed(), Some(true));
        assert_eq!((closing.closing.as_str(), closing.entries), ("2026-02", manifest.rows as i64));
        assert_eq!(proved.hash.to_string(), manifest.book.hash);
        assert!(proved.entries >= closing.entries);
    });
}

#[test]
fn whatever_is_changed_in_an_archive_is_found() {
    let (database, place) = (TestDatabase::sqlite(), Place::new("changed"));
    block_on(async {
        let farthing = open(&database).await;
        fill(&farthing, 30, &mut Random::new(5)).await;
        close(&farthing, "2026-01").await;
        archive(&farthing, "2026-01", &place.0).await.unwrap();
        let book = place.0.join("book.db");

        let whole = std::fs::read(&book).unwrap();
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        std::fs::write(&book, &changed).unwrap();
        let found = verify(&place.0, |_, _| {}).await.unwrap_err().to_string();
        assert!(found.contains("another hash than its manifest says"), "{found}");

        // Whoever writes the manifest anew still has to answer to the chain, and whoever writes the chain anew to the closing.
        std::fs::write(&book, &whole).unwrap();
        let pool = unprotected(&place.0).await;
        pool.execute("UPDATE entries SET micro = micro + 1 WHERE sequence = 3").await.unwrap();
        pool.close().await;
        believe(&place.0);
        let found = verify(&place.0, |_, _| {}).await.unwrap_err().to_string();
        assert!(found.contains("entry 3: its bytes are not those that were sealed"), "{found}");
    });
}

/// The database of an archive, with nothing to keep it from being changed.
async fn unprotected(directory: &Path) -> SqlitePool {
    let pool = SqlitePool::connect(&format!("sqlite://{}", directory.join("book.db").display())).await.unwrap();
    let triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
    for trigger in sqlx::query_scalar::<_, String>(triggers).fetch_all(&pool).await.unwrap() {
        pool.execute(sqlx::AssertSqlSafe(format!("DROP TRIGGER {trigger}"))).await.unwrap();
    }
    pool
}

/// Has the manifest say of the database what it is now.
fn believe(directory: &Path) {
    let manifest = directory.join("_manifest.json");
    let bytes = std::fs::read(directory.join("book.db")).unwrap();
    let mut told: Manifest = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    told.parts[0].bytes = bytes.len() as u64;
    told.parts[0].sha256 = sha256(&bytes);
    std::fs::write(&manifest, told.to_json()).unwrap();
}

#[test]
fn what_an_archive_brings_from_before_its_first_block_is_proved_with_the_book() {
    let (database, place) = (TestDatabase::sqlite(), Place::new("brought"));
    block_on(async {
        let farthing = open(&database).await;
        let mut random = Random::new(12);
        for number in 0..20 {
            send(&farthing, &format!("e{number}"), "2026-01-05T00:00:00Z", &mut random).await;
        }
        // February's archive begins with it, so that no block is between the two.
        send(&farthing, "february", "2026-02-05T00:00:00Z", &mut random).await;
        close(&farthing, "2026-01").await;
        // Of January's usage this books again what counts in February from now on: its events come along.
        publish(&farthing, DEARER).await;
        assert!(rerate(&farthing).await > 3);
        close(&farthing, "2026-02").await;
        let directories = ["2026-01", "2026-02"].map(|name| place.0.join(name));
        for (name, directory) in ["2026-01", "2026-02"].into_iter().zip(&directories) {
            archive(&farthing, name, directory).await.unwrap();
        }
        let second = &directories[1];
        let brought = verify(second, |_, _| {}).await.unwrap().2.brought;
        assert!(brought.names > 10 && brought.owners > 1 && brought.products > 1 && brought.events > 3, "{brought:?}");
        assert_eq!(verify(&directories[0], |_, _| {}).await.unwrap().2.brought, Brought::default());
        verify_with(&farthing, ORG, &directories, |_, _| {}).await.unwrap().unwrap();
        let (_, said) = run(&database, &["archive", "verify", &second.display().to_string()]);
        assert!(said.contains(&format!("not proved by these files alone: {} names, ", brought.names)), "{said}");

        let whole = std::fs::read(second.join("book.db")).unwrap();
        let user = "(SELECT MIN(name) FROM names WHERE kind = 8)";
        let hash = name_hash(&[7; 16], 8, "eve").iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let changes = [
            (format!("UPDATE names SET text = 'eve' WHERE name = {user}"), "its text does not have its hash", true),
            (
                format!("UPDATE names SET text = 'eve', salt = X'{}', hash = X'{hash}' WHERE name = {user}", "07".repeat(16)),
                "name",
                false,
            ),
            ("UPDATE owners SET team = user_name WHERE owner = 1".to_owned(), "owner 1", false),
            ("UPDATE products SET model = provider WHERE product = 1".to_owned(), "product 1", false),
            ("UPDATE events SET id = 'x' WHERE record = (SELECT MIN(record) FROM events)".to_owned(), "event record", false),
        ];
        for (change, expected, by_itself) in changes {
            let pool = unprotected(second).await;
            pool.execute(sqlx::AssertSqlSafe(change.clone())).await.unwrap();
            pool.close().await;
            believe(second);
            assert_eq!(verify(second, |_, _| {}).await.is_err(), by_itself, "{change}");
            let found = verify_with(&farthing, ORG, &directories, |_, _| {}).await.unwrap_err().to_string();
            assert!(found.contains(expected), "{change}: {found}");
            assert!(by_itself || found.ends_with("from before its first block, is not what the book says"), "{change}: {found}");
            std::fs::write(second.join("book.db"), &whole).unwrap();
            believe(second);
        }
        verify_with(&farthing, ORG, &directories, |_, _| {}).await.unwrap().unwrap();
    });
}

#[test]
fn a_copy_in_columns_that_the_manifest_does_not_name_is_refused() {
    let (database, place) = (TestDatabase::sqlite(), Place::new("unnamed"));
    block_on(async {
        let farthing = open(&database).await;
        fill(&farthing, 30, &mut Random::new(13)).await;
        close(&farthing, "2026-01").await;
        archive(&farthing, "2026-01", &place.0).await.unwrap();
        Archive::open(&place.0).await.unwrap().close().await;
        std::fs::create_dir_all(place.0.join("segments/1")).unwrap();
        std::fs::write(place.0.join("segments/1/000000000001-000000000010-00000000.json"), "{}").unwrap();
        let refused = verify(&place.0, |_, _| {}).await.unwrap_err().to_string();
        assert!(refused.ends_with("000000000001-000000000010-00000000.json: the manifest does not name it"), "{refused}");
        let refused = Archive::open(&place.0).await.err().unwrap().to_string();
        assert!(refused.ends_with("the manifest does not name it"), "{refused}");
        std::fs::remove_file(place.0.join("_manifest.json")).unwrap();
        let refused = Archive::open(&place.0).await.err().unwrap().to_string();
        assert!(refused.contains("holds no archive"), "one without a manifest is not complete: {refused}");
    });
}

/// Brings the database of an archive back to where it was before the last step of the schema.
async fn one_step_back(directory: &Path, but_the_tables: bool) {
    let pool = SqlitePool::connect(&format!("sqlite://{}", directory.join("book.db").display())).await.unwrap();
    if !but_the_tables {
        let back = "DROP TABLE sought; DROP TABLE followed; DELETE FROM sqlite_stat1 WHERE tbl IN ('sought', 'followed')";
        pool.execute(back).await.unwrap();
    }
    pool.execute("DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)").await.unwrap();
    pool.close().await;
}

#[test]
fn nothing_is_left_of_the_copy_of_an_archive_of_an_earlier_schema() {
    let (database, place) = (TestDatabase::sqlite(), Place::new("copy"));
    let (whole, broken) = (place.0.join("whole"), place.0.join("broken"));
    block_on(async {
        let farthing = open(&database).await;
        fill(&farthing, 30, &mut Random::new(14)).await;
        close(&farthing, "2026-01").await;
        for (directory, is_broken) in [(&whole, false), (&broken, true)] {
            archive(&farthing, "2026-01", directory).await.unwrap();
            one_step_back(directory, is_broken).await;
        }
    });
    let temporary = place.0.join("temporary");
    std::fs::create_dir_all(&temporary).unwrap();
    for (directory, code) in [(&whole, 0), (&broken, 74)] {
        let done = Command::new(env!("CARGO_BIN_EXE_farthing"))
            .args(["report", "spend", "--archive", &directory.display().to_string(), "--database", &database.url])
            .env("TMPDIR", &temporary)
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(code), "{}", String::from_utf8_lossy(&done.stderr));
        let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[cfg(unix)]
#[test]
fn the_copy_of_an_archive_is_read_by_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let (database, place) = (TestDatabase::sqlite(), Place::new("mode"));
    block_on(async {
        let farthing = open(&database).await;
        fill(&farthing, 30, &mut Random::new(15)).await;
        close(&farthing, "2026-01").await;
        archive(&farthing, "2026-01", &place.0).await.unwrap();
        one_step_back(&place.0, false).await;
        std::fs::set_permissions(place.0.join("book.db"), std::fs::Permissions::from_mode(0o444)).unwrap();
        let before = copies();
        let archive = Archive::open(&place.0).await.unwrap();
        // Other tests may have copies too, which come and go.
        let new = copies().into_iter().filter(|copy| !before.contains(copy));
        let modes: Vec<u32> = new.filter_map(|copy| Some(std::fs::metadata(copy).ok()?.permissions().mode() & 0o777)).collect();
        assert!(!modes.is_empty() && modes.iter().all(|mode| *mode == 0o600), "{modes:?}");
        archive.close().await;
    });
}

/// Copies of archives that lie in the directory for temporary files.
#[cfg(unix)]
fn copies() -> Vec<PathBuf> {
    let directories = std::fs::read_dir(std::env::temp_dir()).unwrap().filter_map(|file| Some(file.ok()?.path()));
    directories.map(|directory| directory.join("book.db")).filter(|copy| copy.exists()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_archive_that_broke_off_goes_on_where_it_was() {
    let (database, place) = (TestDatabase::sqlite(), Place::new("broke-off"));
    block_on(async {
        let farthing = open(&database).await;
        for number in 0..450 {
            send(&farthing, &format!("e{number}"), "2026-01-05T00:00:00Z", &mut Random::new(number)).await;
        }
        close(&farthing, "2026-01").await;
        let broke_off = Arc::new(tokio::sync::Notify::new());
        let told = broke_off.clone();
        tokio::select! {
            biased;
            () = broke_off.notified() => {}
            done = farthing.archive(ORG, month("2026-01"), &place.0, move |_, _| told.notify_one()) => drop(done),
        }
        assert!(!place.0.join("_manifest.json").exists());
        let first = std::sync::Mutex::new(None);
        let note = |block: BlockNumber, _| {
            first.lock().unwrap().get_or_insert(block);
        };
        farthing.archive(ORG, month("2026-01"), &place.0, note).await.unwrap();
        assert!(first.lock().unwrap().unwrap().0 > 200, "the first blocks were not copied again");
        let proved = verify(&place.0, |_, _| {}).await.unwrap().2;
        assert_eq!(proved.entries, 450);
        let hidden = std::fs::read_dir(&place.0)
            .unwrap()
            .filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
        assert_eq!(hidden.count(), 0, "nothing is left behind");
    });
}

#[test]
fn what_was_taken_out_of_a_book_is_missed_and_its_archive_proves_it() {
    let (database, place) = (TestDatabase::sqlite(), Place::new("taken"));
    block_on(async {
        let farthing = open(&database).await;
        let mut random = Random::new(6);
        for number in 0..20 {
            send(&farthing, &format!("e{number}"), "2026-01-05T00:00:00Z", &mut random).await;
        }
        close(&farthing, "2026-01").await;
        let manifest = archive(&farthing, "2026-01", &place.0).await.unwrap();
        for number in 0..20 {
            send(&farthing, &format!("f{number}"), "2026-02-05T00:00:00Z", &mut random).await;
        }
        let before = farthing.report(ORG, &about("2026-01", Query::default())).await.unwrap().table;
        let last = manifest.parts[0].last_sequence;
        let pool = SqlitePool::connect(&database.url).await.unwrap();
        let triggers: Vec<String> =
            sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetch_all(&pool).await.unwrap();
        for trigger in triggers {
            pool.execute(sqlx::AssertSqlSafe(format!("DROP TRIGGER {trigger}"))).await.unwrap();
        }
        pool.execute(sqlx::AssertSqlSafe(format!("DELETE FROM entries WHERE sequence <= {last}"))).await.unwrap();
        pool.close().await;

        let broken = farthing.verify(ORG, |_, _| {}).await.unwrap().unwrap_err();
        assert!(broken.why.contains("entries"), "{broken:?}");
        let refused = farthing.report(ORG, &Query::default()).await.unwrap_err().to_string();
        assert!(refused.contains("ask the archive of their month"), "{refused}");
        let directories = [place.0.clone()];
        let verified = verify_with(&farthing, ORG, &directories, |_, _| {}).await.unwrap().unwrap();
        assert_eq!(verified.entries, 40);
        let archive = Archive::open(&place.0).await.unwrap();
        assert_eq!(archive.report(&Query::default()).await.unwrap().table, before);
        archive.close().await;
        // What the range of time leaves out need not be there.
        let query = Query { from: Some(Instant::parse("2026-02-01T00:00:00Z").unwrap()), ..Query::default() };
        assert_eq!(farthing.report(ORG, &query).await.unwrap().table.totals.len(), 1);
    });
}

#[test]
fn an_archive_of_an_earlier_schema_is_read_and_stays_as_it_is() {
    let (database, place) = (TestDatabase::sqlite(), Place::new("earlier"));
    block_on(async {
        let farthing = open(&database).await;
        fill(&farthing, 30, &mut Random::new(8)).await;
        close(&farthing, "2026-01").await;
        archive(&farthing, "2026-01", &place.0).await.unwrap();
        let archive = Archive::open(&place.0).await.unwrap();
        let before = archive.report(&Query::default()).await.unwrap().table;
        archive.close().await;

        let book = place.0.join("book.db");
        one_step_back(&place.0, false).await;
        let bytes = std::fs::read(&book).unwrap();

        let archive = Archive::open(&place.0).await.unwrap();
        assert_eq!(archive.report(&Query::default()).await.unwrap().table, before);
        archive.prove(|_, _| {}).await.unwrap();
        archive.close().await;
        assert!(std::fs::read(&book).unwrap() == bytes, "it was read and not written");
    });
}

fn run(database: &TestDatabase, arguments: &[&str]) -> (Option<i32>, String) {
    let program = env!("CARGO_BIN_EXE_farthing");
    let done = Command::new(program).args(arguments).args(["--database", &database.url]).output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
}

#[test]
fn a_month_is_archived_and_asked_on_the_command_line() {
    let (database, place) = (TestDatabase::sqlite(), Place::new("command-line"));
    block_on(async {
        let farthing = open(&database).await;
        // Archives prove a book from its first block on.
        send(&farthing, "first", "2026-01-02T00:00:00Z", &mut Random::new(9)).await;
        fill(&farthing, 30, &mut Random::new(9)).await;
        farthing.store.close().await;
    });
    std::fs::create_dir_all(&place.0).unwrap();
    let (directory, key) = (place.0.join("2026-01").display().to_string(), place.0.join("key").display().to_string());
    let (code, said) = run(&database, &["archive", "--period", "2026-01", "--to", &directory]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("`farthing close 2026-01` proves and closes it"), "{said}");
    let (_, public) = run(&database, &["signing-key", &key]);
    assert_eq!(run(&database, &["close", "2026-01", "--signing-key-file", &key]).0, Some(0));
    let (code, said) = run(&database, &["archive", "--period", "2026-01", "--to", &directory, "--signing-key-file", &key]);
    assert_eq!(code, Some(0), "{said}");

    let (code, said) = run(&database, &["archive", "verify", &directory, "--signed-by", public.trim()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("signed by {}", public.trim())), "{said}");
    assert_eq!(run(&database, &["archive", "verify", &directory, "--signed-by", &"00".repeat(32)]).0, Some(2));
    assert_eq!(run(&database, &["verify", "--archive", &directory]).0, Some(0));
    let csv = |more: &[&str]| run(&database, &[&["report", "spend", "--by", "team,model", "--format", "csv"], more].concat());
    let (of_the_archive, of_the_book) = (csv(&["--archive", &directory]), csv(&["--filter", "period=2026-01"]));
    assert!(of_the_book.1.lines().count() > 2, "{of_the_book:?}");
    assert_eq!(of_the_archive, of_the_book);
    assert_eq!(csv(&["--archive", &place.0.display().to_string()]).0, Some(1), "no archive lies there");
}

/// Copies in columns come along, and are what reports are read from.
#[cfg(feature = "polars")]
#[test]
fn copies_in_columns_that_lie_within_a_month_are_a_part_of_its_archive() {
    use farthing::flow::segments::SegmentPlan;
    let (database, place) = (TestDatabase::sqlite(), Place::new("segments"));
    block_on(async {
        let plan = SegmentPlan { tail: 20, most: 60, ..SegmentPlan::at(database.directory().join("segments")) };
        let farthing = open(&database).await.with_segments(Some(plan));
        fill(&farthing, 200, &mut Random::new(10)).await;
        farthing.copy_to_segments(ORG, |_, _| {}).await.unwrap();
        close(&farthing, "2026-01").await;
        let manifest = archive(&farthing, "2026-01", &place.0).await.unwrap();
        let files: Vec<&str> = manifest.parts.iter().map(|part| part.file.as_str()).collect();
        assert!(files.iter().filter(|file| file.starts_with("segments/1/")).count() >= 6, "{files:?}");
        let archive = Archive::open(&place.0).await.unwrap();
        for query in questions().into_iter().filter(|query| !query.needs_events()) {
            let scanned = archive.report(&Query { scan: true, ..query.clone() }).await.unwrap().table;
            assert_eq!(archive.report(&query).await.unwrap().table, scanned, "{query:?}");
        }
        archive.close().await;
        verify(&place.0, |_, _| {}).await.unwrap();

        // One that was changed is found, is not believed, and stays where it is.
        let entries = manifest.parts.iter().find(|part| part.file.ends_with("entries.parquet")).unwrap();
        let file = place.0.join(&entries.file);
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert!(verify(&place.0, |_, _| {}).await.unwrap_err().to_string().contains("another hash"));
        let archive = Archive::open(&place.0).await.unwrap();
        let scanned = archive.report(&Query { scan: true, ..Query::default() }).await.unwrap().table;
        assert_eq!(archive.report(&Query::default()).await.unwrap().table, scanned);
        archive.close().await;
        assert!(file.exists());
    });
}

/// What fits its own manifest may still say something else than the entries.
#[cfg(feature = "polars")]
#[test]
fn copies_that_do_not_come_to_what_the_entries_come_to_are_not_archived() {
    use farthing::flow::segments::SegmentPlan;
    let (database, place) = (TestDatabase::sqlite(), Place::new("dearer"));
    block_on(async {
        let copies = database.directory().join("segments");
        let plan = SegmentPlan { tail: 20, most: 60, ..SegmentPlan::at(copies.clone()) };
        let farthing = open(&database).await.with_segments(Some(plan));
        fill(&farthing, 200, &mut Random::new(16)).await;
        farthing.copy_to_segments(ORG, |_, _| {}).await.unwrap();
        close(&farthing, "2026-01").await;
        for file in std::fs::read_dir(copies.join("1")).unwrap().map(|file| file.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "json") {
                crate::segments::make_dearer(&file, usize::MAX);
            }
        }
        let refused = archive(&farthing, "2026-01", &place.0).await.unwrap_err().to_string();
        assert_eq!(refused, "segments: the copies in columns do not come to what the entries come to");
        assert!(!place.0.join("_manifest.json").exists());
    });
}
