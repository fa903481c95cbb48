//! What is kept for a while goes when it is old enough, and nothing that a block covers ever does.

use crate::support::database::{Kind, TestDatabase, block_on};
use farthing::flow::publish::CatalogFiles;
use farthing::flow::retention::{Forgotten, Kept};
use farthing::flow::{Farthing, now};
use farthing::id::Org;
use farthing::store::{Fetch, FetchOutcome, RejectedBody};
use farthing::time::Instant;
use farthing::usage::dialect::{Context, native};
use serde_json::json;

const ORG: Org = Org(1);
const DAY: i64 = 86_400_000_000;

fn both(test: impl AsyncFn(Farthing)) {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(async { test(Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap()).await });
    }
}

fn days_ago(days: i64) -> Instant {
    Instant::from_micros(now().micros() - days * DAY)
}

fn rejected(name: &str, days: i64) -> RejectedBody {
    RejectedBody {
        rejected: name.to_owned(),
        dialect: "native".to_owned(),
        source: None,
        event_id: None,
        field: "id".to_owned(),
        detail: "missing".to_owned(),
        body: Some("{}".to_owned()),
        size: 2,
        times: 1,
        received_at: days_ago(days),
    }
}

async fn fetched(farthing: &Farthing, source: &str, body: &str, days: i64, outcome: FetchOutcome) {
    let fetch = Fetch {
        fetch: 0,
        source: source.to_owned(),
        url: "http://127.0.0.1/".to_owned(),
        etag: None,
        hash: Some(*blake3::hash(body.as_bytes()).as_bytes()),
        size: body.len() as i64,
        first_at: days_ago(days),
        last_at: days_ago(days),
        looks: 1,
        outcome,
        detail: String::new(),
    };
    farthing.store.keep_fetch(ORG, &fetch, Some(body)).await.unwrap();
}

async fn is_kept(farthing: &Farthing, body: &str) -> bool {
    farthing.store.fetched_body(blake3::hash(body.as_bytes()).as_bytes()).await.unwrap().is_some()
}

#[test]
fn what_is_kept_for_ever_stays() {
    both(async |farthing| {
        farthing.store.keep_rejected(ORG, &[rejected("old", 800)]).await.unwrap();
        let kept = Kept { rejected_days: u32::MAX, fetched_days: u32::MAX };
        assert_eq!(farthing.forget(kept, now()).await.unwrap(), Forgotten::default());
        assert_eq!(farthing.store.rejected(ORG, "", 10).await.unwrap().len(), 1);
    });
}

#[test]
fn lists_that_two_processes_fetch_at_once_are_both_kept() {
    both(async |farthing| {
        let farthing = std::sync::Arc::new(farthing);
        let fetch = |number: u32| {
            let farthing = farthing.clone();
            tokio::spawn(async move { fetched(&farthing, "list", &number.to_string(), 0, FetchOutcome::Published).await })
        };
        for fetching in (0..40).map(fetch).collect::<Vec<_>>() {
            fetching.await.unwrap();
        }
        let mut numbers: Vec<i64> = farthing.store.fetches(ORG, None, 100).await.unwrap().iter().map(|kept| kept.fetch).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=40).collect::<Vec<i64>>());
    });
}

#[test]
fn rejected_bodies_are_kept_for_as_long_as_was_asked() {
    both(async |farthing| {
        farthing.store.keep_rejected(ORG, &[rejected("old", 8), rejected("young", 6)]).await.unwrap();
        let kept = Kept { rejected_days: 7, ..Kept::default() };
        assert_eq!(farthing.forget(kept, now()).await.unwrap(), Forgotten { rejected: 1, ..Forgotten::default() });
        let left = farthing.store.rejected(ORG, "", 10).await.unwrap();
        assert_eq!(left.iter().map(|body| body.rejected.as_str()).collect::<Vec<_>>(), ["young"]);
        assert_eq!(farthing.forget(kept, now()).await.unwrap(), Forgotten::default(), "a second time does nothing");
    });
}

#[test]
fn fetched_lists_go_but_the_newest_one_of_a_source_and_those_that_wait_for_a_person() {
    both(async |farthing| {
        fetched(&farthing, "openrouter", "long ago", 40, FetchOutcome::Published).await;
        fetched(&farthing, "openrouter", "long ago, to review", 39, FetchOutcome::ToReview).await;
        fetched(&farthing, "openrouter", "refused", 38, FetchOutcome::Refused).await;
        fetched(&farthing, "openrouter", "lately", 5, FetchOutcome::Published).await;
        fetched(&farthing, "models.dev", "the only one", 50, FetchOutcome::Published).await;
        let kept = Kept { fetched_days: 30, ..Kept::default() };
        assert_eq!(farthing.forget(kept, now()).await.unwrap().fetched, 2);
        for (body, expected) in
            [("long ago", false), ("refused", false), ("long ago, to review", true), ("lately", true), ("the only one", true)]
        {
            assert_eq!(is_kept(&farthing, body).await, expected, "{body}");
        }
        assert_eq!(farthing.store.fetches(ORG, None, 10).await.unwrap().len(), 5, "that they were fetched stays known");
        // The same list again is kept again.
        fetched(&farthing, "openrouter", "long ago", 0, FetchOutcome::Published).await;
        assert!(is_kept(&farthing, "long ago").await);
    });
}

#[test]
fn what_a_block_covers_is_never_forgotten() {
    both(async |farthing| {
        let context = Context { received_at: now(), source: None, strict: false };
        let sent = json!({"id": "a", "source": "gw", "occurred_at": "2020-01-01T00:00:00Z", "provider": "openai",
            "model": "gpt-4o-mini", "usage": {"input": 10, "output": 0}, "something_else": "kept beside it"});
        let in_force = farthing.newest(ORG).await.unwrap();
        let event = farthing.prepare(ORG, &in_force, native::read(&sent.to_string(), &context).unwrap());
        farthing.commit_events(&[event], || false).await.unwrap();
        let before = farthing.store.records_between(ORG, 1, 10).await.unwrap();
        farthing.forget(Kept { rejected_days: 0, fetched_days: 0 }, days_ago(-5_000)).await.unwrap();
        assert_eq!(farthing.store.records_between(ORG, 1, 10).await.unwrap(), before);
        farthing.verify_deep(ORG, |_, _| {}).await.unwrap().unwrap();
    });
}
