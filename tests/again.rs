//! Booking a whole book again: a run that is killed on its way has done what it has done, and the next one does the rest.

use crate::support::database::{Kind, TestDatabase, block_on};
use farthing::catalog::source::own;
use farthing::flow::publish::{CatalogFiles, Wish as Publish};
use farthing::flow::rerate::{Reached, Wish};
use farthing::flow::{Farthing, now};
use farthing::id::Org;
use farthing::usage::dialect::{Context, native};
use serde_json::json;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const ORG: Org = Org(1);
const EVENTS: i64 = 4_000;

fn prices(input: &str) -> String {
    format!(
        "provider: acme\nabsent: unknown\nmodels:\n  - model: haiku\n    cards: [{{input_per_1m: \"{input}\", output_per_1m: \"2\"}}]\n"
    )
}

async fn publish(farthing: &Farthing, input: &str) {
    let wish = Publish { parts: own::read(&prices(input)).unwrap(), accept: true, ..Publish::default() };
    farthing.publish(ORG, &wish).await.unwrap();
}

async fn fill(farthing: &Farthing) {
    let context = Context { received_at: now(), source: None, strict: true };
    let in_force = farthing.newest(ORG).await.unwrap();
    let prepared: Vec<_> = (0..EVENTS)
        .map(|number| {
            let sent = json!({"id": format!("e{number}"), "source": "gw", "occurred_at": "2026-02-03T10:00:00Z", "provider": "acme",
                "model": "haiku", "usage": {"input": 1_000 + number, "output": 5}, "user": "ann", "team": "search"});
            farthing.prepare(ORG, &in_force, native::read(&sent.to_string(), &context).unwrap())
        })
        .collect();
    for group in prepared.chunks(500) {
        farthing.commit_events(group, || false).await.unwrap();
    }
}

#[test]
fn a_rerating_that_was_killed_is_finished_by_the_next_one() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(async {
            let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
            publish(&farthing, "1").await;
            fill(&farthing).await;
            publish(&farthing, "3").await;
            let first = farthing.store.head(ORG).await.unwrap().next_sequence.0;
            let posted = async || farthing.store.head(ORG).await.unwrap().next_sequence.0 - first;

            let mut process = Command::new(env!("CARGO_BIN_EXE_farthing"))
                .args(["rerate", "--allow-fsync-off", "--database", &database.url])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let started = Instant::now();
            while posted().await == 0 {
                assert!(started.elapsed() < Duration::from_secs(120), "it books nothing");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            process.kill().unwrap();
            process.wait().unwrap();
            let corrected = posted().await / 2;
            assert!((1..EVENTS).contains(&corrected), "{corrected} events were corrected before it was killed");

            let reached: Mutex<Vec<Reached>> = Mutex::default();
            let wish = Wish { reason: "dearer".to_owned(), ..Wish::default() };
            let rerated = farthing.rerate(ORG, &wish, |step| reached.lock().unwrap().push(step)).await.unwrap();
            assert_eq!(rerated.examined as i64, EVENTS);
            assert_eq!(rerated.changed as i64, EVENTS - corrected, "what was corrected is not corrected again");
            assert_eq!(posted().await, 2 * EVENTS, "each event has one reversal and one new charge");
            let reached = reached.into_inner().unwrap();
            assert!(reached.is_sorted_by_key(|step| (step.examined, step.entry)), "{reached:?}");
            assert!(reached.iter().all(|step| step.entry < step.end), "{reached:?}");
            farthing.verify_deep(ORG, |_, _| {}).await.unwrap().unwrap();
        });
    }
}
