//! Backup and restore of an embedded database while clients send.

use crate::support::database::{TestDatabase, block_on};
use crate::support::service::{Request, Service};
use farthing::flow::Farthing;
use farthing::flow::publish::CatalogFiles;
use farthing::store::StoreOptions;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn backup(url: &str, to: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_farthing")).args(["backup", "--database", url]).arg(to).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn event(id: &str) -> Value {
    json!({"id": id, "source": "s", "occurred_at": "2026-10-01T00:00:00Z", "provider": "openai", "model": "gpt-4o-mini",
           "usage": {"input": 1000}})
}

#[test]
fn a_backup_under_load_is_a_prefix_of_the_book_and_has_what_was_acknowledged_before() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    let (enough, slowest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let acknowledged: Arc<Mutex<Vec<String>>> = Arc::default();
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (enough, acknowledged, slowest) = (enough.clone(), acknowledged.clone(), slowest.clone());
            let (address, key) = (service.address.clone(), service.key.clone());
            std::thread::spawn(move || {
                for round in 0.. {
                    if enough.load(Ordering::SeqCst) {
                        break;
                    }
                    let ids: Vec<String> = (0..20).map(|n| format!("{client}-{round}-{n}")).collect();
                    let batch: Vec<Value> = ids.iter().map(|id| event(id)).collect();
                    let started = Instant::now();
                    let request = Request::new("POST", "/v1/events").key(&key).body(Value::from(batch).to_string());
                    assert_eq!(request.send(&address).status, 200);
                    slowest.fetch_max(started.elapsed().as_millis() as u64, Ordering::SeqCst);
                    acknowledged.lock().unwrap().extend(ids);
                }
            })
        })
        .collect();
    let mut backups = Vec::new();
    for number in 0..3 {
        while acknowledged.lock().unwrap().len() < (number + 1) * 500 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let before = acknowledged.lock().unwrap().clone();
        let path = database.directory().join(format!("backup-{number}.db"));
        let output = backup(&database.url, &path);
        assert!(output.status.success(), "{}", said(&output));
        backups.push((path, before));
    }
    enough.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(slowest.load(Ordering::SeqCst) < 20_000, "a post took {slowest:?} ms while a backup ran");
    drop(service);

    block_on(async {
        let original = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        for (path, before) in backups {
            let options = StoreOptions { url: format!("sqlite://{}", path.display()), ..database.options() };
            let copy = Farthing::open(&options, &CatalogFiles::Shipped).await.unwrap();
            let org = copy.store.org("main").await.unwrap();
            let verified = copy.verify_deep(org, |_, _| {}).await.unwrap().unwrap();
            let head = copy.store.head(org).await.unwrap();
            assert_eq!(original.store.block_hash(org, head.block).await.unwrap(), Some(head.hash));
            assert!(verified.events >= before.len() as i64);
            for id in before {
                let key = copy.store.event_key(org, "s", &id);
                assert!(copy.store.once(org, key).await.unwrap().is_some(), "{id} was acknowledged and is not in the backup");
            }
        }
        let left = std::fs::read_dir(database.directory()).unwrap().map(|file| file.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("partial")).collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn a_restored_backup_serves_and_books_nothing_twice() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    assert_eq!(service.post("/v1/events", event("a").to_string()).status, 201);
    let key = service.key.clone();
    let path = database.directory().join("backup.db");
    assert!(backup(&database.url, &path).status.success());
    drop(service);

    let restored = Service::start_with(&format!("sqlite://{}", path.display()), &[]);
    let batch = json!([event("a"), event("b")]).to_string();
    let answer = restored.send(Request::new("POST", "/v1/events?results=all").key(&key).body(batch)).json();
    let outcomes: Vec<_> = answer["results"].as_array().unwrap().iter().map(|result| result["outcome"].clone()).collect();
    assert_eq!(outcomes, ["already_present", "posted"]);
    let verified = restored.send(Request::new("GET", "/v1/verify?deep=true").key(&key)).json();
    assert_eq!((&verified["ok"], &verified["deep"]["rated"]), (&json!(true), &json!(2)), "{verified}");
}

#[test]
fn a_backup_overwrites_nothing_and_is_for_its_owner_alone() {
    let database = TestDatabase::sqlite();
    drop(Service::start(&database));
    let path = database.directory().join("backup.db");
    std::fs::write(&path, "something else").unwrap();
    let output = backup(&database.url, &path);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("is there already and is not overwritten"), "{}", said(&output));
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");

    std::fs::remove_file(&path).unwrap();
    assert!(backup(&database.url, &path).status.success());
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let nowhere = backup(&database.url, Path::new("/nowhere/backup.db"));
    assert!(said(&nowhere).contains("cannot write /nowhere"), "{}", said(&nowhere));
}

#[test]
fn on_postgres_the_command_to_run_is_told_without_the_password() {
    let output = backup("postgres://me:hunter2@host/books", Path::new("b.dump"));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "a script must not believe that there is a backup now");
    assert!(said.contains("pg_dump --format=custom --no-owner --file='b.dump' 'postgres://me@host/books'"), "{said}");
    assert!(!said.contains("hunter2"));
}
