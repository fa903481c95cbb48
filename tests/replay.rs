//! A month sent again: shuffled, in other batches, over other connections at once. Nothing new is posted and no total moves.

use crate::support::database::{Kind, TestDatabase};
use crate::support::random::Random;
use crate::support::service::{Request, Service};
use serde_json::{Value, json};

#[test]
fn a_month_sent_twice_again_posts_nothing_new_on_sqlite() {
    replay(Kind::Sqlite);
}

#[test]
fn a_month_sent_twice_again_posts_nothing_new_on_postgres() {
    replay(Kind::Postgres);
}

fn replay(kind: Kind) {
    let database = TestDatabase::new(kind);
    let service = Service::start(&database);
    let mut random = Random::new(11);
    let mut month: Vec<Value> = (0..4_000)
        .map(|n| {
            // Some are held: they must stay so, too.
            let model = if n % 50 == 0 { "nobody-knows" } else { "gpt-4o-mini" };
            json!({"id": format!("m{n}"), "source": format!("gateway-{}", n % 3),
                   "occurred_at": format!("2026-10-{:02}T{:02}:00:00Z", 1 + random.below(31), random.below(24)),
                   "provider": "openai", "model": model, "usage": {"input": random.below(100_000), "output": random.below(5_000)},
                   "user": format!("user-{}", random.below(30))})
        })
        .collect();
    let first = send(&service, &month, 1_000, 1);
    assert_eq!(first, [3_920, 0, 80]);
    let before = service.get("/v1/reports/spend?group_by=user,day").json();
    let head = service.get("/v1/verify").json();

    for (size, connections) in [(37, 4), (1_500, 3)] {
        for place in (1..month.len()).rev() {
            month.swap(place, random.below(place as u64 + 1) as usize);
        }
        assert_eq!(send(&service, &month, size, connections), [0, 4_000, 0]);
    }
    assert_eq!(service.get("/v1/reports/spend?group_by=user,day").json(), before);
    assert_eq!(service.get("/v1/verify").json(), head, "not even a block was added");
}

/// How many were posted, present and held.
fn send(service: &Service, events: &[Value], size: usize, connections: usize) -> [u64; 3] {
    let batches: Vec<&[Value]> = events.chunks(size).collect();
    let shares = batches.chunks(batches.len().div_ceil(connections));
    std::thread::scope(|scope| {
        let threads: Vec<_> = shares
            .map(|share| {
                scope.spawn(move || {
                    let mut counts = [0; 3];
                    for batch in share {
                        let request = Request::new("POST", "/v1/events").key(&service.key).body(json!(batch).to_string());
                        let answer = request.send(&service.address).json();
                        for (count, name) in counts.iter_mut().zip(["posted", "already_present", "held"]) {
                            *count += answer[name].as_u64().unwrap();
                        }
                    }
                    counts
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .fold([0; 3], |sum, counts| [sum[0] + counts[0], sum[1] + counts[1], sum[2] + counts[2]])
    })
}
