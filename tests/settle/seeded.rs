//! Books of random calls and an export that differs from each in ways that were planted: every plant is found and classed,
//! nothing else is, and after true-ups nothing is left, whatever is told late and however prices move. What each plant is to come
//! to is counted here in whole millionths of a dollar.

use super::*;
use crate::support::random::Random;

const PLANTS: [&str; 17] = [
    "same", "cut", "lost", "insured", "dearer", "more", "half", "cached", "own", "fee", "byok", "search", "stopped", "chat",
    "laptop", "twice", "edge",
];

/// What is sent and what is billed so far, in millionths.
#[derive(Default)]
struct World {
    events: Vec<Value>,
    rows: Vec<(String, String, String, u64, Value)>,
    expected: Vec<String>,
    billed: i64,
    /// The events of what was lost, which may still be told.
    late: Vec<Value>,
}

fn dollars(millionths: i64) -> String {
    format!("{}{}.{:06}", if millionths < 0 { "-" } else { "" }, millionths.abs() / 1_000_000, millionths.abs() % 1_000_000)
}

impl World {
    fn tell(&mut self, id: &str, at: &str, tokens: u64, fields: &Value) {
        let mut event = call(id, at, fields);
        event["key"] = json!("prod");
        if event["usage"].is_object() {
            event["usage"]["input"] = json!(tokens);
        }
        self.events.push(event);
    }

    fn bill(&mut self, id: &str, millionths: i64, tokens: u64, fields: Value) {
        self.bill_at(id, THEIR_NOON, millionths, tokens, fields);
    }

    fn bill_at(&mut self, id: &str, at: &str, millionths: i64, tokens: u64, fields: Value) {
        self.billed += millionths;
        self.rows.push((id.to_owned(), at.to_owned(), dollars(millionths), tokens, fields));
    }

    fn expect(&mut self, class: &str, millionths: i64, generation: &str) {
        let amount = money(&dollars(millionths));
        let generation = if generation.is_empty() { String::new() } else { format!("gen-{generation}") };
        self.expected.push(format!("{class} {amount} {generation}").trim().to_owned());
    }

    /// One call that was made, and what each side says of it. A token costs a millionth here.
    fn plant(&mut self, random: &mut Random, plant: &str, id: &str) {
        let tokens = 2 * (500 + random.below(4_000));
        let cost = tokens as i64;
        let more = 1 + random.below(97) as i64;
        let nothing = || json!({});
        let of_own =
            |amount: &str| json!({"reported": {"by": "provider", "amount": amount, "byok": true, "upstream_amount": "0.1"}});
        match plant {
            "same" => {
                self.tell(id, NOON, tokens, &nothing());
                self.bill(id, cost, tokens, nothing());
            }
            "cut" => {
                let told = format!("{}{}", dollars(cost), 1_000 + random.below(8_999));
                self.tell(id, NOON, tokens, &json!({"reported": {"by": "provider", "amount": told}}));
                self.bill(id, cost, tokens, nothing());
            }
            "lost" => {
                self.bill(id, cost, tokens, nothing());
                self.expect("missing_here", cost, id);
                let events = self.events.len();
                self.tell(id, NOON, tokens, &nothing());
                self.late.extend(self.events.drain(events..));
            }
            "insured" => {
                self.tell(id, NOON, tokens, &nothing());
                self.expect("missing_there", -cost, "");
            }
            "dearer" => {
                self.tell(id, NOON, tokens, &nothing());
                self.bill(id, cost + more, tokens, nothing());
                self.expect("price", more, id);
            }
            "more" => {
                self.tell(id, NOON, tokens, &nothing());
                self.bill(id, cost + more, tokens + more as u64, nothing());
                self.expect("quantity", more, id);
            }
            "half" => {
                self.tell(id, NOON, tokens, &nothing());
                self.bill(id, cost / 2, tokens, nothing());
                self.expect("tier", -cost / 2, id);
            }
            "cached" => {
                self.tell(id, NOON, tokens, &nothing());
                self.bill(id, cost - more, tokens, json!({"tokens_cached": "400"}));
                self.expect("cache_split", -more, id);
            }
            "own" => {
                self.tell(id, NOON, tokens, &of_own("0.005"));
                self.bill(id, 5_000, tokens, json!({"byok_usage_inference": "0.1"}));
            }
            "fee" => {
                self.tell(id, NOON, tokens, &of_own("0.005"));
                self.bill(id, 5_000 + more, tokens, json!({"byok_usage_inference": "0.1"}));
                self.expect("fee", more, id);
            }
            "byok" => {
                self.tell(id, NOON, tokens, &nothing());
                self.bill(id, cost / 20, tokens, json!({"byok_usage_inference": "0.1"}));
                self.expect("byok", cost / 20 - cost, id);
            }
            "search" => {
                self.tell(id, NOON, tokens, &nothing());
                self.bill(id, cost + 14_000, tokens, json!({"cost_web_search": "0.014"}));
                self.expect("tool_charge", 14_000, id);
            }
            "stopped" => {
                let fields = json!({"usage": null, "outcome": "cancelled", "reported": {"by": "provider", "amount": "0"}});
                self.tell(id, NOON, tokens, &fields);
                self.bill(id, cost, tokens, json!({"cancelled": "true"}));
                self.expect("quantity", cost, id);
            }
            "chat" | "laptop" => {
                let key = if plant == "chat" { "" } else { plant };
                self.bill(id, cost, tokens, json!({"api_key_name": key}));
                self.expect("unmetered", cost, id);
            }
            "twice" => {
                self.tell(id, NOON, tokens, &nothing());
                self.tell(&format!("{id}-again"), NOON, tokens, &json!({"provider_request_id": format!("gen-{id}")}));
                self.bill(id, cost, tokens, nothing());
                self.expect("duplicate_here", -cost, "");
            }
            // On two sides of midnight, of which the statement tells both.
            _ => {
                self.tell(id, "2026-02-04T00:00:00Z", tokens, &nothing());
                self.bill_at(id, "2026-02-03 23:59:59.999", cost, tokens, nothing());
            }
        }
    }
}

/// Every plant at least once, and some of them again.
fn planted(random: &mut Random) -> World {
    let mut world = World::default();
    let again: Vec<&str> = (0..25).map(|_| *random.pick(&PLANTS)).collect();
    for (number, plant) in PLANTS.into_iter().chain(again).enumerate() {
        world.plant(random, plant, &format!("{plant}-{number}"));
    }
    // Something on the second day too, so that the statement is of both.
    world.tell("next", "2026-02-04T12:00:00Z", 1_000, &json!({}));
    world.bill_at("next", "2026-02-04 12:00:00.000", 1_000, 1_000, json!({}));
    world.expected.sort();
    world
}

async fn settled(database: &TestDatabase, seed: u64) {
    let farthing = open(database).await;
    let mut random = Random::new(seed);
    let World { events, rows, expected, billed, mut late } = planted(&mut random);
    for event in &events {
        send(&farthing, event).await;
    }
    let rows: Vec<_> =
        rows.iter().map(|(id, at, cost, tokens, fields)| (&**id, &**at, &**cost, *tokens, fields.clone())).collect();
    let statement = import(&farthing, &export(&rows)).await;
    let run = compare(&farthing, statement).await;
    assert_eq!(findings(&run), expected, "seed {seed}");
    let comparison = &run.comparison;
    assert_eq!(comparison.statement_total, money(&dollars(billed)), "seed {seed}");
    let explained: Amount = Class::ALL.into_iter().map(|class| comparison.of(class).amount).sum();
    assert_eq!(comparison.book_total + explained, comparison.statement_total, "seed {seed}");

    // What is told late and prices that move, in any order: each time all of it ends at what was billed.
    for turn in 0..4 {
        for _ in 0..2 {
            farthing.true_up(ORG, &compare(&farthing, statement).await, None, "ann").await.unwrap();
        }
        assert_eq!(findings(&compare(&farthing, statement).await), [""; 0], "seed {seed}, turn {turn}");
        assert_eq!(balance(&farthing, "payable:openrouter").await, money(&dollars(-billed)).to_string(), "seed {seed}");
        match random.below(2) {
            0 => correct(&farthing, 1 + random.below(9)).await,
            _ => {
                for event in late.drain(..late.len().div_ceil(2)) {
                    send(&farthing, &event).await;
                }
            }
        }
    }
    whole(&farthing).await;
    farthing.store.close().await;
}

#[test]
fn whatever_is_planted_is_found_classed_and_settled() {
    for seed in 1..=3 {
        for kind in [Kind::Sqlite, Kind::Postgres] {
            let database = TestDatabase::new(kind);
            block_on(settled(&database, seed));
        }
    }
}
