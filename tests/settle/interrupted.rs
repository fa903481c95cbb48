//! A scheduled run that is cut off anywhere, again and again: by the end of its process, or of its database. Whoever runs it
//! next takes up what was left, and in the end everything is there once.

use super::call;
use super::scheduled::{day, wait_for};
use crate::support::database::{TestDatabase, block_on};
use crate::support::postgres::Cluster;
use crate::support::provider::{Provider, Say, json as answer, status};
use crate::support::random::Random;
use crate::support::service::Service;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const MODEL: &str = "openai/gpt-4o-mini";

/// What was billed: generation, days ago, cost, and whether its record is known.
const BILLED: [(&str, u64, &str, bool); 6] = [
    ("a", 1, "0.5", true),
    ("lost", 1, "0.25", true),
    ("lost-too", 1, "0.125", true),
    ("unknown", 1, "0.1", false),
    ("dearer", 2, "0.75", true),
    ("cut", 3, "0.05", true),
];

/// The provider's books, slow enough that a run can be cut off between any two answers.
fn provider() -> Provider {
    Provider::answering(|request| {
        std::thread::sleep(Duration::from_millis(30));
        let line = request.lines().next().unwrap_or_default();
        if let Some((_, rest)) = line.split_once("date=") {
            return activity(&rest[..10]);
        }
        if line.starts_with("POST /api/v1/analytics/query") {
            let start = request.split_once(r#""start":""#).map(|(_, rest)| rest[..10].to_owned());
            return generations(&start.unwrap_or_default());
        }
        let known = BILLED.iter().find(|(id, .., known)| *known && line.contains(&format!("id=gen-{id} ")));
        known.map_or(status(404), |(id, ago, cost, _)| {
            answer(format!(
                r#"{{"data":{{"id":"gen-{id}","created_at":"{}T12:00:00Z","model":"{MODEL}","total_cost":{cost},"native_tokens_prompt":1000,"native_tokens_completion":0,"external_user":"bo"}}}}"#,
                day(*ago)
            ))
        })
    })
}

fn billed_on(date: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let date = date.to_owned();
    BILLED.into_iter().filter(move |(_, ago, ..)| day(*ago) == date).map(|(id, _, cost, _)| (id, cost))
}

fn activity(date: &str) -> Say {
    let costs: Vec<_> = billed_on(date).map(|(_, cost)| super::money(cost)).collect();
    let sum: farthing::money::Amount = costs.iter().copied().sum();
    let rows = if costs.is_empty() {
        String::new()
    } else {
        format!(
            r#"{{"date":"{date} 00:00:00","model":"{MODEL}","model_permaslug":"{MODEL}","provider_name":"OpenAI","usage":{sum},"requests":{},"prompt_tokens":{},"completion_tokens":0,"reasoning_tokens":0}}"#,
            costs.len(),
            costs.len() * 1_000
        )
    };
    answer(format!(r#"{{"data":[{rows}]}}"#))
}

fn generations(date: &str) -> Say {
    let row = |(id, cost)| {
        format!(
            r#"{{"created_at__minute":"{date}T12:00:00Z","generation_id":"gen-{id}","api_key_id":"prod","credits_usage":{cost}}}"#
        )
    };
    let rows: Vec<String> = billed_on(date).map(row).collect();
    answer(format!(r#"{{"data":{{"data":[{}],"metadata":{{"truncated":false}}}}}}"#, rows.join(",")))
}

/// What the gateway told of: one call as it was billed, one cheaper, and one whose usage it lost.
fn fill(service: &Service) {
    let reported = |amount: &str| json!({"model": MODEL, "reported": {"by": "provider", "amount": amount}});
    let cut = json!({"model": MODEL, "usage": null, "outcome": "cancelled"});
    for (id, ago, fields, status) in [("a", 1, reported("0.5"), 201), ("dearer", 2, reported("0.5"), 201), ("cut", 3, cut, 202)] {
        let sent = service.post("/v1/events", call(id, &format!("{}T12:00:00Z", day(ago)), &fields).to_string());
        assert_eq!(sent.status, status, "{}", sent.text());
    }
}

fn start(url: &str, provider: &Provider, key: &str) -> Service {
    let books = format!("{}/api/v1", provider.url);
    let environment = [
        ("OPENROUTER_MANAGEMENT_KEY", "sk-or-management"),
        ("OPENROUTER_API_KEY", "sk-or-inference"),
        ("FARTHING_OPENROUTER_URL", &books),
        ("FARTHING_FETCH_MISSING", "always"),
        ("FARTHING_TRUE_UPS", "always"),
    ]
    .map(|(name, value)| (name, Path::new(value)));
    let mut service = Service::start_in(url, &[], &environment);
    if !key.is_empty() {
        service.key = key.to_owned();
    }
    service
}

/// What was found for each statement, compared once more; true-ups with their accounts; and who bears what.
fn outcome(service: &Service) -> (BTreeMap<String, Value>, Vec<String>, BTreeMap<String, String>) {
    let statements = service.get("/v1/statements?limit=1000").json()["items"].as_array().unwrap().clone();
    let mut found = BTreeMap::new();
    for statement in &statements {
        let run = service.post("/v1/reconciliations", json!({"statement": statement["id"]}).to_string()).json();
        let name = format!("{} {}", statement["form"].as_str().unwrap(), statement["from"].as_str().unwrap());
        assert_eq!(found.insert(name, run["summary"].clone()), None, "a statement is kept once");
    }
    let adjustments = service.get("/v1/adjustments?limit=1000").json()["items"].as_array().unwrap().clone();
    let said = |adjustment: &Value| {
        let text = |name: &str| adjustment[name].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", text("amount"), text("debit"), text("credit"))
    };
    let mut true_ups: Vec<String> = adjustments.iter().map(said).collect();
    true_ups.sort();
    let balances = service.get("/v1/balances").json()["items"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let balances = balances.iter().map(|row| (text(&row["account"]), text(&row["balance"]))).collect();
    (found, true_ups, balances)
}

fn settled(url: &str, provider: &Provider, key: &str) -> (BTreeMap<String, Value>, Vec<String>, BTreeMap<String, String>) {
    let service = start(url, provider, key);
    wait_for(&service, "the book was compared with OpenRouter's");
    let outcome = outcome(&service);
    assert_eq!(service.get("/v1/verify").json()["ok"], true);
    assert_eq!(service.get("/v1/held").json()["items"], json!([]));
    service.stop();
    outcome
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_one_that_was_not() {
    let provider = provider();
    let undisturbed = TestDatabase::sqlite();
    let service = Service::start(&undisturbed);
    fill(&service);
    let key = service.key.clone();
    service.stop();
    let expected = settled(&undisturbed.url, &provider, &key);
    assert_eq!(expected.1, ["0.1 cost:-/- payable:openrouter", "0.25 cost:search/ann payable:openrouter"]);
    assert_eq!(expected.2["payable:openrouter"], "-1.775");
    assert_eq!((expected.2["cost:-/bo"].as_str(), expected.2["cost:search/ann"].as_str()), ("0.375", "1.3"));

    let killed = TestDatabase::sqlite();
    let service = Service::start(&killed);
    fill(&service);
    let key = service.key.clone();
    service.stop();
    let mut random = Random::new(u64::from(std::process::id()));
    let mut in_the_middle = 0;
    for round in 0..12 {
        let service = start(&killed.url, &provider, &key);
        // Thirty days take thirty answers, so the first rounds come to the end of none; of the others some do.
        std::thread::sleep(Duration::from_millis(random.below(if round < 6 { 300 } else { 1_200 })));
        in_the_middle += u32::from(!service.log.lock().unwrap().contains("the book was compared"));
        service.kill();
        // The last one that is killed keeps the next from it until its lease runs out.
        if round < 11 {
            block_on(async {
                let pool = sqlx::SqlitePool::connect(&killed.url).await.unwrap();
                sqlx::raw_sql("DELETE FROM leases").execute(&pool).await.unwrap();
                pool.close().await;
            });
        }
    }
    assert!(in_the_middle >= 4, "only {in_the_middle} of 12 were cut off in the middle");
    assert_eq!(settled(&killed.url, &provider, &key), expected);
}

#[test]
fn a_run_whose_database_ends_under_it_is_made_up_for() {
    let (provider, cluster) = (provider(), Cluster::start());
    let service = Service::start_with(&cluster.url(), &[]);
    fill(&service);
    let key = service.key.clone();
    service.stop();
    let mut random = Random::new(u64::from(std::process::id()));
    for round in 0..6 {
        let service = start(&cluster.url(), &provider, &key);
        std::thread::sleep(Duration::from_millis(random.below(1_200)));
        cluster.down(if round % 2 == 0 { "immediate" } else { "fast" });
        std::thread::sleep(Duration::from_millis(200));
        cluster.up();
        service.kill();
    }
    let (found, true_ups, balances) = settled(&cluster.url(), &provider, &key);
    assert_eq!(found.len(), 31, "thirty days, and the generations of one of them");
    assert_eq!(true_ups, ["0.1 cost:-/- payable:openrouter", "0.25 cost:search/ann payable:openrouter"]);
    assert_eq!(balances["payable:openrouter"], "-1.775");
}
