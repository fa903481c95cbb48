//! Crashes under load: the service killed at random moments, PostgreSQL stopped under it, a COMMIT cut off from its answer.
//! Afterwards every acknowledged event is in the book exactly once, every block verifies, and sending everything again
//! completes the book. The seed is printed; `FARTHING_CRASH_SEED` repeats it as far as time allows, and `FARTHING_KILLS`
//! says how often.

use crate::support::database::TestDatabase;
use crate::support::postgres::{Cluster, Proxy};
use crate::support::random::Random;
use crate::support::service::{Request, Service};
use farthing::flow::now;
use farthing::money::Amount;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn killed_at_any_moment_sqlite_has_what_was_acknowledged_once() {
    let database = TestDatabase::sqlite();
    killed_again_and_again(&database);
}

#[test]
fn killed_at_any_moment_postgres_has_what_was_acknowledged_once() {
    let database = TestDatabase::postgres();
    killed_again_and_again(&database);
}

fn killed_again_and_again(database: &TestDatabase) {
    let seed = seed();
    let kills: u32 = std::env::var("FARTHING_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(5);
    let mut random = Random::new(seed);
    let storm = Storm::new(seed);
    let mut key = String::new();
    for kill in 0..kills {
        let service = Service::start_with(&database.url, &[]);
        if key.is_empty() {
            key.clone_from(&service.key);
        }
        let clients = storm.rage(&service.address, &key);
        std::thread::sleep(Duration::from_millis(20 + random.below(700)));
        if kill + 1 == kills {
            // However slow the machine is: there must be something to lose.
            storm.wait_until_acknowledged(50);
        }
        service.kill();
        clients.end();
    }
    let service = Service::start_with(&database.url, &[]);
    storm.settle(&service, &key);
}

/// A disk that stops to confirm writes, once the file that `FARTHING_TEST_FAILING_DISK` names exists.
#[cfg(target_os = "linux")]
const FAILING_DISK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int sync_or_fail(const char *name, int fd) {
  const char *broken = getenv("FARTHING_TEST_FAILING_DISK");
  if (broken && access(broken, F_OK) == 0) { errno = EIO; return -1; }
  return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return sync_or_fail("fsync", fd); }
int fdatasync(int fd) { return sync_or_fail("fdatasync", fd); }
"#;

#[cfg(target_os = "linux")]
#[test]
fn after_a_failed_fsync_the_process_ends_and_a_fresh_one_has_what_was_acknowledged() {
    let database = TestDatabase::sqlite();
    let directory = database.directory();
    let (source, library, broken) = (directory.join("disk.c"), directory.join("disk.so"), directory.join("broken"));
    std::fs::write(&source, FAILING_DISK).unwrap();
    let compiled =
        std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
    assert!(compiled.unwrap().success(), "a C compiler is what SQLite is built with");

    let storm = Storm::new(seed());
    let disk = [("LD_PRELOAD", library.as_path()), ("FARTHING_TEST_FAILING_DISK", broken.as_path())];
    let service = Service::start_in(&database.url, &[], &disk);
    let key = service.key.clone();
    let clients = storm.rage(&service.address, &key);
    storm.wait_until_acknowledged(50);
    std::fs::write(&broken, "").unwrap();
    let log = service.log.clone();
    assert_eq!(service.ended().code(), Some(74), "{}", log.lock().unwrap());
    clients.end();
    assert!(log.lock().unwrap().contains("the disk did not confirm a write"), "{}", log.lock().unwrap());

    let service = Service::start_with(&database.url, &[]);
    storm.settle(&service, &key);
}

#[test]
fn postgres_stopped_under_the_service_loses_and_doubles_nothing() {
    let cluster = Cluster::start();
    let storm = Storm::new(seed());
    let service = Service::start_with(&cluster.url(), &[]);
    let key = service.key.clone();
    let clients = storm.rage(&service.address, &key);
    for mode in ["immediate", "fast", "immediate"] {
        std::thread::sleep(Duration::from_millis(400));
        cluster.down(mode);
        std::thread::sleep(Duration::from_millis(300));
        cluster.up();
    }
    // It goes on by itself: something new is acknowledged after the last restart.
    storm.wait_until_acknowledged(storm.acknowledged() + 50);
    clients.end();
    storm.settle(&service, &key);
}

#[test]
fn a_commit_cut_off_from_its_answer_is_neither_lost_nor_doubled() {
    let database = TestDatabase::postgres();
    let seed = seed();
    let (start, options) = database.url.split_once('?').expect("the server of the tests is on a Unix socket");
    let name = start.rsplit('/').next().unwrap();
    let socket = options.split("host=").nth(1).expect("the server of the tests is on a Unix socket");
    let proxy = Proxy::start(&std::path::Path::new(socket).join(".s.PGSQL.5432"), seed);
    let url = format!("postgres://farthing@127.0.0.1:{}/{name}?sslmode=disable", proxy.port);

    let storm = Storm::new(seed);
    let service = Service::start_with(&url, &[]);
    let key = service.key.clone();
    proxy.cutting.store(true, Ordering::SeqCst);
    let clients = storm.rage(&service.address, &key);
    let started = Instant::now();
    while proxy.cuts.load(Ordering::SeqCst) < 30 && started.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    clients.end();
    proxy.cutting.store(false, Ordering::SeqCst);
    assert!(proxy.cuts.load(Ordering::SeqCst) >= 10, "{} commits were cut", proxy.cuts.load(Ordering::SeqCst));
    assert!(service.log.lock().unwrap().contains("asking the book"));
    storm.settle(&service, &key);
}

fn seed() -> u64 {
    let seed =
        std::env::var("FARTHING_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| now().micros() as u64);
    println!("FARTHING_CRASH_SEED={seed}");
    seed
}

/// Clients that send without end, and what they know.
struct Storm {
    known: Arc<Mutex<Known>>,
    seed: u64,
    clients: AtomicU32,
}

#[derive(Default)]
struct Known {
    /// Everything that was sent, answered or not.
    sent: BTreeMap<String, Value>,
    acknowledged: BTreeSet<String>,
    posted: BTreeSet<String>,
}

struct Clients {
    threads: Vec<std::thread::JoinHandle<()>>,
    enough: Arc<AtomicBool>,
}

impl Clients {
    fn end(self) {
        self.enough.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

impl Storm {
    fn new(seed: u64) -> Storm {
        Storm { known: Arc::default(), seed, clients: AtomicU32::new(0) }
    }

    fn acknowledged(&self) -> usize {
        self.known.lock().unwrap().acknowledged.len()
    }

    fn wait_until_acknowledged(&self, count: usize) {
        let started = Instant::now();
        while self.acknowledged() < count {
            assert!(started.elapsed() < Duration::from_secs(60), "only {} events are acknowledged", self.acknowledged());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Four clients send small batches, one in five events for a second time.
    fn rage(&self, address: &str, key: &str) -> Clients {
        let enough = Arc::new(AtomicBool::new(false));
        let threads = (0..4).map(|_| {
            let number = self.clients.fetch_add(1, Ordering::SeqCst);
            let (known, enough, address, key) = (self.known.clone(), enough.clone(), address.to_owned(), key.to_owned());
            let mut random = Random::new(self.seed ^ u64::from(number) << 32);
            std::thread::spawn(move || {
                for round in 0.. {
                    if enough.load(Ordering::SeqCst) {
                        break;
                    }
                    let batch: Vec<Value> = (0..1 + random.below(12))
                        .map(|n| {
                            let known = known.lock().unwrap();
                            if random.below(5) == 0 && !known.sent.is_empty() {
                                let old = random.below(known.sent.len() as u64) as usize;
                                return known.sent.values().nth(old).unwrap().clone();
                            }
                            event(&format!("{number}-{round}-{n}"), &mut random)
                        })
                        .collect();
                    {
                        let mut known = known.lock().unwrap();
                        known.sent.extend(batch.iter().map(|event| (id(event), event.clone())));
                    }
                    let request = Request::new("POST", "/v1/events?results=all").key(&key).body(Value::from(batch).to_string());
                    match request.try_send(&address) {
                        Ok(answer) if answer.status == 200 => {
                            let mut known = known.lock().unwrap();
                            for result in answer.json()["results"].as_array().unwrap() {
                                let id = result["id"].as_str().unwrap().to_owned();
                                let outcome = result["outcome"].as_str().unwrap();
                                assert!(matches!(outcome, "posted" | "already_present"), "{result}");
                                if outcome == "posted" {
                                    assert!(known.posted.insert(id.clone()), "{id} was posted twice");
                                }
                                known.acknowledged.insert(id);
                            }
                        }
                        // Away or in doubt: it is sent again later.
                        Ok(answer) => assert!(matches!(answer.status, 500 | 503), "{}", answer.text()),
                        Err(_) => std::thread::sleep(Duration::from_millis(20)),
                    }
                }
            })
        });
        Clients { threads: threads.collect(), enough }
    }

    /// Sends everything again and holds the book against what is known.
    fn settle(&self, service: &Service, key: &str) {
        let known = self.known.lock().unwrap();
        let seed = self.seed;
        assert!(known.acknowledged.len() > 20, "hardly anything was acknowledged: {}", known.acknowledged.len());
        println!("{} sent, {} acknowledged", known.sent.len(), known.acknowledged.len());
        let events: Vec<&Value> = known.sent.values().collect();
        for batch in events.chunks(500) {
            let request = Request::new("POST", "/v1/events?results=all").key(key).body(json!(batch).to_string());
            let answer = service.send(request);
            assert_eq!(answer.status, 200, "{}", answer.text());
            for result in answer.json()["results"].as_array().unwrap() {
                let (id, outcome) = (result["id"].as_str().unwrap(), result["outcome"].as_str().unwrap());
                let expected =
                    if known.acknowledged.contains(id) { &["already_present"][..] } else { &["already_present", "posted"][..] };
                assert!(expected.contains(&outcome), "seed {seed}: {id} is {outcome}");
            }
        }
        let (mut found, mut cursor, mut total) = (BTreeSet::new(), String::new(), Amount::ZERO);
        loop {
            let page = service.send(Request::new("GET", &format!("/v1/entries?limit=1000{cursor}")).key(key)).json();
            for item in page["items"].as_array().unwrap() {
                let id = item["event"]["id"].as_str().unwrap().to_owned();
                assert!(found.insert(id.clone()), "seed {seed}: {id} was charged twice");
                total += Amount::parse(item["amount"].as_str().unwrap()).unwrap();
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found, known.sent.keys().cloned().collect::<BTreeSet<_>>(), "seed {seed}");
        let expected: u64 = known.sent.values().map(|event| event["usage"]["input"].as_u64().unwrap()).sum();
        // 0.15 USD per million tokens.
        assert_eq!(total, Amount::from_units(i128::from(expected) * 150_000_000_000_000_000), "seed {seed}");
        let verified = service.send(Request::new("GET", "/v1/verify").key(key)).json();
        assert_eq!(verified["ok"], true, "seed {seed}: {verified}");
        assert_eq!(verified["entries"].as_u64(), Some(found.len() as u64));
    }
}

fn event(id: &str, random: &mut Random) -> Value {
    json!({"id": id, "source": "storm", "occurred_at": "2026-10-01T00:00:00Z", "provider": "openai", "model": "gpt-4o-mini",
           "usage": {"input": 1 + random.below(100_000)}, "user": format!("user-{}", random.below(50))})
}

fn id(event: &Value) -> String {
    event["id"].as_str().unwrap().to_owned()
}
