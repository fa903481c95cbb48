//! Faults of the machine, made real: a library between the program and the C library lets writes fail, turns the clock and
//! says what is mounted, while the program runs. Each fault has a clear answer, loses nothing, and is over as soon as its
//! cause is gone, without anybody's hands. `docs/faults.md` says the same in words.

#![cfg(target_os = "linux")]

use crate::support::database::{TestDatabase, block_on};
use crate::support::service::Service;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A machine on which things go wrong.
struct Machine {
    database: TestDatabase,
    library: PathBuf,
    faults: PathBuf,
}

impl Machine {
    fn new() -> Machine {
        let database = TestDatabase::sqlite();
        let faults = database.directory().join("faults");
        std::fs::create_dir(&faults).unwrap();
        let library = faults.join("faults.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/faults.c");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").status();
        assert!(compiled.unwrap().success(), "a C compiler is what SQLite is built with");
        Machine { database, library, faults }
    }

    fn begin(&self, fault: &str, what: &str) {
        // It appears whole.
        std::fs::write(self.faults.join("new"), what).unwrap();
        std::fs::rename(self.faults.join("new"), self.faults.join(fault)).unwrap();
    }

    fn end(&self, fault: &str) {
        std::fs::remove_file(self.faults.join(fault)).unwrap();
    }

    fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("FARTHING_TEST_FAULTS", &self.faults)]
    }

    fn service(&self) -> Service {
        Service::start_in(&self.database.url, &[], &self.environment())
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command.args(arguments).args(["--database", &self.database.url]).envs(self.environment()).output().unwrap()
    }

    fn file(&self) -> PathBuf {
        self.database.directory().join("farthing.db")
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn events(ids: std::ops::Range<u32>) -> String {
    let event = |id| {
        json!({"id": format!("e{id}"), "source": "s", "occurred_at": "2026-10-01T00:00:00Z", "provider": "openai",
               "model": "gpt-4o-mini", "usage": {"input": 1000}})
    };
    Value::from(ids.map(event).collect::<Vec<_>>()).to_string()
}

/// What became of events: how many have which outcome.
fn outcomes(answer: &Value) -> Vec<(String, usize)> {
    let mut counted = std::collections::BTreeMap::new();
    for result in answer["results"].as_array().unwrap() {
        *counted.entry(result["outcome"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    counted.into_iter().collect()
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_is_over_when_there_is_room() {
    a_disk_that_does_not_write(28, "disk is full");
}

#[test]
fn a_disk_that_became_read_only_refuses_loses_nothing_and_is_over_when_it_is_not() {
    a_disk_that_does_not_write(30, "disk I/O error");
}

fn a_disk_that_does_not_write(error: u32, told: &str) {
    let machine = Machine::new();
    let service = machine.service();
    assert_eq!(service.post("/v1/events", events(0..50)).status, 200);
    machine.begin("disk", &error.to_string());
    for _ in 0..3 {
        let refused = service.post("/v1/events", events(50..100));
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(refused.text().contains(told), "{}", refused.text());
        assert!(refused.header("Retry-After").is_some());
    }
    // What is in the book can be read meanwhile.
    assert_eq!(service.get("/v1/verify").json()["entries"], 50);
    machine.end("disk");

    let answer = service.post("/v1/events?results=all", events(0..100)).json();
    assert_eq!(outcomes(&answer), [("already_present".to_owned(), 50), ("posted".to_owned(), 50)]);
    let verified = service.get("/v1/verify?deep=true").json();
    assert_eq!((&verified["ok"], &verified["entries"]), (&json!(true), &json!(100)), "{verified}");
}

#[test]
fn a_backup_without_room_leaves_nothing_behind() {
    let machine = Machine::new();
    let service = machine.service();
    assert_eq!(service.post("/v1/events", events(0..50)).status, 200);
    machine.begin("disk", "28");
    let copy = machine.database.directory().join("copy.db");
    let output = machine.run(&["backup", copy.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
    assert!(said(&output).contains("disk is full"), "{}", said(&output));
    let left = std::fs::read_dir(machine.database.directory()).unwrap().map(|file| file.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("copy")).collect();
    assert!(left.is_empty(), "{left:?}");
    machine.end("disk");
    assert!(machine.run(&["backup", copy.to_str().unwrap()]).status.success());
}

#[test]
fn a_database_that_cannot_be_written_is_said_at_the_start() {
    let machine = Machine::new();
    drop(machine.service());
    machine.begin("readonly", "");
    let output = machine.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
    assert!(said(&output).contains("readonly database") || said(&output).contains("unable to open"), "{}", said(&output));
    machine.end("readonly");
    assert_eq!(machine.service().get("/readyz").status, 200);
}

#[test]
fn a_place_on_the_network_is_refused_before_anything_is_written() {
    let machine = Machine::new();
    machine.begin("mounts", "1 0 0:1 / / rw,noatime shared:1 - nfs4 server:/export rw,vers=4.2\n");
    let output = machine.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("on a file system of the network (nfs4)"), "{}", said(&output));
    assert!(!machine.file().exists());
    machine.end("mounts");
    assert_eq!(machine.service().get("/readyz").status, 200);
}

#[test]
fn a_clock_that_jumps_back_changes_no_order() {
    let machine = Machine::new();
    let service = machine.service();
    let mut expected = 0;
    for jump in [0, 86_400, -864_000, 0] {
        machine.begin("clock", &jump.to_string());
        assert_eq!(service.post("/v1/events", events(expected..expected + 5)).status, 200);
        expected += 5;
    }
    let entries = service.get("/v1/entries?limit=1000").json();
    let recorded: Vec<&str> =
        entries["items"].as_array().unwrap().iter().map(|entry| entry["recorded_at"].as_str().unwrap()).collect();
    assert_eq!(recorded.len(), expected as usize);
    assert!(recorded.is_sorted(), "{recorded:?}");
    let mut blocks = recorded.clone();
    blocks.dedup();
    assert_eq!(blocks.len(), 4, "no two blocks have the same time: {blocks:?}");
    assert_eq!(service.get("/v1/verify?deep=true").json()["ok"], true);
    // Keys go on too: whoever asked before is let in, and a fresh start finds its book. What jobs do is in `tests/jobs.rs`.
    let key = service.key.clone();
    drop(service);
    let service = machine.service();
    let answer = service.send(crate::support::service::Request::new("GET", "/v1/verify").key(&key)).json();
    assert_eq!((&answer["ok"], &answer["entries"]), (&json!(true), &json!(20)));
}

#[test]
fn a_damaged_file_is_named_as_such_and_not_written_to() {
    let machine = Machine::new();
    let service = machine.service();
    assert_eq!(service.post("/v1/events", events(0..500)).status, 200);
    assert!(service.stop().success());
    let whole = std::fs::read(machine.file()).unwrap();

    // Pages in the middle, one after the other: whatever they hold, some of it is missed.
    let pages = whole.len() / 4096;
    for page in [2, pages / 4, pages / 2, pages - 2] {
        let mut damaged = whole.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xa5);
        std::fs::write(machine.file(), &damaged).unwrap();
        let output = machine.run(&["verify", "--deep"]);
        assert_eq!(output.status.code(), Some(2), "page {page}: {}", said(&output));
        assert!(std::fs::read(machine.file()).unwrap() == damaged, "page {page}: the file was written to");
    }
    for (what, bytes) in [("no header", [&[0xa5; 100], &whole[100..]].concat()), ("half", whole[..whole.len() / 2].to_vec())] {
        std::fs::write(machine.file(), &bytes).unwrap();
        for arguments in [&["verify"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let output = machine.run(arguments);
            assert_eq!(output.status.code(), Some(2), "{what}, {arguments:?}: {}", said(&output));
            assert!(said(&output).contains("damaged") || said(&output).contains("malformed"), "{what}: {}", said(&output));
            assert!(std::fs::read(machine.file()).unwrap() == bytes, "{what}, {arguments:?}: the file was written to");
        }
    }
    std::fs::write(machine.file(), &whole).unwrap();
    assert!(machine.run(&["verify", "--deep"]).status.success());
}

/// Another program that holds the only lock there is.
#[test]
fn a_database_that_somebody_else_holds_is_waited_for() {
    let machine = Machine::new();
    let service = machine.service();
    let (started, held) = (Instant::now(), Duration::from_secs(3));
    block_on(async {
        let mut other = SqliteConnection::connect(&machine.database.url).await.unwrap();
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        let address = service.address.clone();
        let request = service.request("POST", "/v1/events").header("Content-Type", "application/json").body(events(0..10));
        let waits = std::thread::spawn(move || request.send(&address).status);
        tokio::time::sleep(held).await;
        assert!(!waits.is_finished(), "nothing is acknowledged that is not on disk");
        other.execute("ROLLBACK").await.unwrap();
        assert_eq!(waits.join().unwrap(), 200);
    });
    assert!(started.elapsed() >= held);
    assert_eq!(service.get("/v1/verify").json()["entries"], 10);
}

/// The lock is not let go of for longer than SQLite waits for it, and more is sent than there is room for.
#[test]
fn a_database_that_is_held_for_longer_than_it_is_waited_for_loses_nothing() {
    let machine = Machine::new();
    // SQLite's half a minute passes in a third of a second.
    machine.begin("hurry", "100");
    let service = Service::start_in(&machine.database.url, &LITTLE_ROOM, &machine.environment());
    block_on(async {
        let mut other = SqliteConnection::connect(&machine.database.url).await.unwrap();
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        send_while_held(&service, async { assert!(other.execute("ROLLBACK").await.is_ok()) }).await;
    });
    let waited = service.log.lock().unwrap().matches("the database is away; events wait").count();
    assert!(waited > 1, "SQLite never gave up: {}", service.log.lock().unwrap());
    everything_is_in_the_book(&service);
}

/// The same with the head of the book on PostgreSQL.
#[test]
fn a_head_that_is_held_for_long_on_postgres_loses_nothing() {
    let database = TestDatabase::postgres();
    let service = Service::start_with(&database.url, &LITTLE_ROOM);
    block_on(async {
        let mut other = PgConnection::connect(&database.url).await.unwrap();
        other.execute("BEGIN").await.unwrap();
        other.execute("SELECT * FROM books FOR UPDATE").await.unwrap();
        send_while_held(&service, async { assert!(other.execute("ROLLBACK").await.is_ok()) }).await;
    });
    everything_is_in_the_book(&service);
}

/// Room for one body and a half, so that the others wait for it, in vain after five seconds.
const LITTLE_ROOM: [&str; 4] = ["--queue-mb", "1", "--max-body-mb", "1"];
const HELD: Duration = Duration::from_secs(8);
const CLIENTS: u32 = 4;
const EVENTS: u32 = 5_000;

/// Sends while somebody else holds the database, and for as long as it takes after it was let go of.
async fn send_while_held(service: &Service, let_go: impl Future<Output = ()>) {
    let clients = clients(service);
    tokio::time::sleep(HELD).await;
    assert!(clients.iter().all(|client| !client.is_finished()), "nothing is acknowledged that is not on disk");
    assert_eq!(service.get("/v1/verify").json()["entries"], 0, "reading goes on");
    let_go.await;
    let refused: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(refused > 0, "there was room for everything");
}

/// Each sends its own events, and sends them again for as long as it is told to; answers with how often it was.
fn clients(service: &Service) -> Vec<std::thread::JoinHandle<usize>> {
    let client = |client: u32| {
        let body = events(client * EVENTS..(client + 1) * EVENTS);
        assert!(body.len() > 600_000, "two of them must not have room");
        let request = service.request("POST", "/v1/events").header("Content-Type", "application/json").body(body);
        let address = service.address.clone();
        std::thread::spawn(move || {
            for refused in 0.. {
                let answer = request.clone().send(&address);
                match answer.status {
                    200 => return refused,
                    503 => assert!(answer.header("Retry-After").is_some(), "{}", answer.head),
                    other => panic!("{other}: {}", answer.text()),
                }
            }
            unreachable!()
        })
    };
    (0..CLIENTS).map(client).collect()
}

fn everything_is_in_the_book(service: &Service) {
    let verified = service.get("/v1/verify?deep=true").json();
    assert_eq!((&verified["ok"], &verified["entries"]), (&json!(true), &json!(CLIENTS * EVENTS)), "{verified}");
}
