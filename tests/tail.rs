//! What is in no segment yet, while a server takes events and after a command booked many. How much that is, is counted from
//! the manifests that lie beside the database and from its entries, without a line of the program.

use crate::support::database::{TestDatabase, block_on};
use crate::support::service::Service;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// Entries that wait before a segment is written; in earnest it is ten times as many.
const WAIT: i64 = 2_000;
/// What may be outside of all segments at any time, also of a slow build. Looked at every five seconds alone,
/// it would be twice as much.
const LIMIT: i64 = 15_000;
const EVENTS: usize = 50_000;

fn events(from: usize, until: usize) -> String {
    let event = |number| {
        let event = json!({"id": format!("e{number}"), "source": "gateway", "occurred_at": "2026-10-01T00:00:00Z",
                           "provider": "openai", "model": "gpt-4o-mini", "usage": {"input": number + 1, "output": 5},
                           "user": format!("user-{}", number % 50)});
        event.to_string() + "\n"
    };
    (from..until).map(event).collect()
}

/// Up to which entry segments lie one after the other; nothing if one went while it was looked at, into a larger one.
fn copied(database: &TestDatabase) -> Option<i64> {
    let Ok(files) = std::fs::read_dir(database.directory().join("farthing.db.segments/1")) else { return Some(1) };
    let paths = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
    let mut ranges = Vec::new();
    for path in paths {
        let manifest: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        ranges.push((manifest["from"].as_i64().unwrap(), manifest["until"].as_i64().unwrap()));
    }
    ranges.sort_unstable();
    Some(ranges.into_iter().fold(1, |end, (from, until)| if from <= end { end.max(until) } else { end }))
}

async fn outside(database: &TestDatabase, pool: &sqlx::SqlitePool) -> i64 {
    let end = loop {
        if let Some(end) = copied(database) {
            break end;
        }
    };
    let last: Option<i64> = sqlx::query_scalar("SELECT MAX(sequence) FROM entries WHERE org = 1").fetch_one(pool).await.unwrap();
    last.unwrap_or(0) + 1 - end
}

#[test]
fn what_is_in_no_segment_stays_little_while_a_server_takes_events() {
    let database = TestDatabase::sqlite();
    let wait = WAIT.to_string();
    let service = Service::start_with(&database.url, &["--segments-tail", &wait]);
    std::thread::scope(|scope| {
        let posts: Vec<_> = (0..2)
            .map(|half| {
                let service = &service;
                scope.spawn(move || {
                    let from = half * EVENTS / 2;
                    for place in (from..from + EVENTS / 2).step_by(1_000) {
                        let post = service.request("POST", "/v1/events").header("Content-Type", "application/x-ndjson");
                        let answer = service.send(post.body(events(place, place + 1_000)));
                        assert_eq!(answer.json()["posted"], 1_000, "{}", answer.text());
                    }
                })
            })
            .collect();
        block_on(async {
            let pool = sqlx::SqlitePool::connect(&database.url).await.unwrap();
            let mut largest = 0;
            while !posts.iter().all(|post| post.is_finished()) {
                largest = largest.max(outside(&database, &pool).await);
                assert!(largest < LIMIT, "{largest} entries were in no segment");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(largest > 0, "nobody looked while there was something to see");
            // It is not only while more comes that it is copied.
            let mut left = outside(&database, &pool).await;
            for _ in 0..200 {
                left = outside(&database, &pool).await;
                if left < WAIT {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert!(left < WAIT, "{left} entries were left");
            pool.close().await;
        });
    });
}

#[test]
fn what_a_command_books_is_in_segments_when_it_ends() {
    let run = |database: &TestDatabase, arguments: &[&str]| {
        let wait = ["--segments-tail", "500", "--database", &database.url];
        let ran = Command::new(env!("CARGO_BIN_EXE_farthing")).args(arguments).args(wait).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    let (filled, demo) = (TestDatabase::sqlite(), TestDatabase::sqlite());
    let file = filled.directory().join("events.ndjson");
    std::fs::write(&file, events(0, 3_000)).unwrap();
    run(&filled, &["ingest", file.to_str().unwrap()]);
    run(&demo, &["demo"]);
    block_on(async {
        for database in [&filled, &demo] {
            let pool = sqlx::SqlitePool::connect(&database.url).await.unwrap();
            let left = outside(database, &pool).await;
            assert!(copied(database).unwrap() > 2_000 && left < 500, "{left} entries were left");
            pool.close().await;
        }
    });
}
