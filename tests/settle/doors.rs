//! The same over HTTP and by hand: who may, what is answered, and how it ends.

use super::{THEIR_NOON, call, export};
use crate::support::database::TestDatabase;
use crate::support::service::{Answer, Request, Service};
use serde_json::{Value, json};
use std::process::Command;

const NOON: &str = "2026-11-03T12:00:00Z";

/// A call of a model that is listed, with what its answer said that it cost.
fn reported(id: &str, amount: &str) -> Value {
    call(id, NOON, &json!({"model": "openai/gpt-4o-mini", "reported": {"by": "provider", "amount": amount}}))
}

fn their_export(costs: &[(&str, &str)]) -> String {
    let rows: Vec<_> = costs.iter().map(|(id, cost)| (*id, THEIR_NOON, *cost, 1_000, json!({}))).collect();
    export(&rows).replace("2026-02-03", "2026-11-03").replace("a/b-20260101", "openai/gpt-4o-mini")
}

fn import(service: &Service, key: &str, path: &str, body: &str) -> Answer {
    let request = Request::new("POST", path).key(key).header("Content-Type", "text/csv").body(body);
    request.send(&service.address)
}

#[test]
fn over_http_a_statement_is_imported_compared_and_trued_up() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    for (id, amount) in [("a", "0.5"), ("b", "0.25")] {
        let sent = service.post("/v1/events", reported(id, amount).to_string());
        assert_eq!(sent.status, 201, "{}", sent.text());
    }
    let csv = their_export(&[("a", "0.5"), ("b", "0.3"), ("c", "0.1")]);
    let made = import(&service, &service.key, "/v1/statements?name=november.csv", &csv);
    assert_eq!((made.status, made.json()["asked"].as_str().unwrap().to_owned()), (201, "november.csv".to_owned()));
    assert_eq!(import(&service, &service.key, "/v1/statements", &csv).status, 200);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(service.get("/v1/statements").json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(service.get(&format!("/v1/statements/{id}")).json()["amount"], "0.9");
    assert_eq!(service.get("/v1/statements/1000").status, 404);

    let order = json!({"statement": id, "tolerance": "0.01"}).to_string();
    let run = service.post("/v1/reconciliations", &order).json();
    assert_eq!((&run["summary"]["outside_tolerance"], &run["summary"]["residual"]), (&json!(2), &json!("0.15")));
    assert_eq!(service.post("/v1/reconciliations", &order).json()["id"], run["id"], "the same again is the same run");
    let path = format!("/v1/reconciliations/{}", run["id"].as_str().unwrap());
    assert_eq!(service.get(&path).json()["summary"], run["summary"]);
    let variances = service.get(&format!("{path}/variances")).json();
    let found: Vec<_> =
        variances["items"].as_array().unwrap().iter().map(|item| (&item["class"], &item["generations"])).collect();
    assert_eq!(found, [(&json!("missing_here"), &json!(["gen-c"])), (&json!("price"), &json!(["gen-b"]))]);

    let proposals = service.get(&format!("{path}/proposals")).json();
    assert_eq!((&proposals["items"], &proposals["unsolved"]), (&json!([]), &json!([])), "no event says who served it");
    assert!(proposals["yaml"].as_str().unwrap().contains("provider: openrouter"));

    let metric = |name: &str| {
        let text = service.get("/metrics").text();
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap_or_default().to_owned();
        line.rsplit_once(' ').map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    assert_eq!(metric("farthing_reconciliation_captured_ratio"), "0.888888");
    assert_eq!(metric("farthing_reconciliation_drift"), "0.15");
    assert_eq!(metric("farthing_reconciliation_variances"), "2");
    assert!(metric("farthing_reconciliation_timestamp_seconds").parse::<u64>().unwrap() > 1_700_000_000);

    let true_ups = |query: &str| service.post(&format!("{path}/true-ups{query}"), "").json();
    assert_eq!(true_ups("?within=0.07"), json!({"posted": 1, "already_present": 0, "left": 1, "amount": "0.05"}));
    assert_eq!(true_ups(""), json!({"posted": 1, "already_present": 0, "left": 0, "amount": "0.1"}));
    assert_eq!(true_ups(""), json!({"posted": 0, "already_present": 0, "left": 0, "amount": "0"}));
    assert_eq!((metric("farthing_reconciliation_drift"), metric("farthing_reconciliation_variances")), ("0".into(), "0".into()));
    assert_eq!(service.get("/v1/balances?account=payable:openrouter").json()["items"][0]["balance"], "-0.9");
    assert_eq!(service.get("/v1/reconciliations").json()["items"][0]["summary"]["residual"], "0");
}

#[test]
fn what_is_wrong_with_an_order_is_named_with_its_field() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    let broken = import(&service, &service.key, "/v1/statements", &their_export(&[("a", "much")]));
    let problem = broken.json();
    assert_eq!((broken.status, problem["field"].as_str().unwrap()), (400, "body"));
    assert!(problem["detail"].as_str().unwrap().contains("line 2, column cost_total"), "{problem}");
    let other = import(&service, &service.key, "/v1/statements?form=invoice", "x");
    assert_eq!((other.status, other.json()["field"].as_str().unwrap().to_owned()), (400, "form".to_owned()));

    let id = import(&service, &service.key, "/v1/statements", &their_export(&[("a", "0.5")])).json()["id"].clone();
    for (field, value) in [
        ("tolerance", json!("-1")),
        ("tolerance", json!("a bit")),
        ("from", json!("yesterday")),
        ("until", json!("2026-01-01")),
        ("block", json!(99)),
    ] {
        let mut order = json!({"statement": id});
        order[field] = value;
        let answer = service.post("/v1/reconciliations", order.to_string());
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some(field)), "{order}: {}", answer.text());
    }
    assert_eq!(service.post("/v1/reconciliations", r#"{"statement":"1","block":1,"tolerence":"1"}"#).status, 400);
    assert_eq!(service.get("/v1/reconciliations/nothing/variances").status, 404);
    let run = service.post("/v1/reconciliations", json!({"statement": id}).to_string()).json();
    let path = format!("/v1/reconciliations/{}/true-ups?within=much", run["id"].as_str().unwrap());
    assert_eq!(service.post(&path, "").json()["field"], "within");
}

#[test]
fn importing_and_posting_take_the_scope_and_reading_does_not_and_a_key_of_one_team_sees_nothing() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    let csv = their_export(&[("a", "0.5")]);
    let reader = service.new_key(r#"{"scopes": ["read"]}"#);
    let reconciler = service.new_key(r#"{"scopes": ["reconcile"]}"#);
    let of_team = service.new_key(r#"{"scopes": ["read"], "team": "search"}"#);
    assert_eq!(import(&service, &reader, "/v1/statements", &csv).status, 403);
    let made = import(&service, &reconciler, "/v1/statements", &csv);
    assert_eq!(made.status, 201);
    let order = json!({"statement": made.json()["id"]}).to_string();
    let send = |method: &'static str, path: &str, key: &str, body: &str| {
        Request::new(method, path).key(key).header("Content-Type", "application/json").body(body).send(&service.address)
    };
    assert_eq!(send("POST", "/v1/reconciliations", &reader, &order).status, 403);
    let run = send("POST", "/v1/reconciliations", &reconciler, &order).json()["id"].as_str().unwrap().to_owned();
    let paths = [
        "/v1/statements".to_owned(),
        "/v1/reconciliations".to_owned(),
        format!("/v1/reconciliations/{run}"),
        format!("/v1/reconciliations/{run}/variances"),
        format!("/v1/reconciliations/{run}/proposals"),
    ];
    for path in &paths {
        let found = [&reader, &reconciler, &of_team].map(|key| send("GET", path, key, "").status);
        assert_eq!(found, [200, 403, 403], "{path}");
    }
    let true_ups = format!("/v1/reconciliations/{run}/true-ups");
    assert_eq!([&reader, &of_team, &reconciler].map(|key| send("POST", &true_ups, key, "").status), [403, 403, 200]);
}

#[test]
fn by_hand_a_comparison_ends_with_2_as_long_as_something_is_outside_of_the_tolerance() {
    let database = TestDatabase::sqlite();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command.args(arguments).env("DATABASE_URL", &database.url).env("FARTHING_LOG", "error");
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let file = |name: &str, text: &str| {
        let file = database.directory().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let (code, _, said) = run(&["reconcile"]);
    assert!(code == Some(1) && said.contains("`statement import` or `statement fetch` first"), "{code:?} {said}");
    let events = file("events.jsonl", &format!("{}\n{}\n", reported("a", "0.5"), reported("b", "0.25")));
    assert_eq!(run(&["ingest", &events]).0, Some(0));
    let csv = file("november.csv", &their_export(&[("a", "0.5"), ("b", "0.3")]));
    let (code, said, _) = run(&["statement", "import", &csv]);
    assert!(code == Some(0) && said.contains("is kept: generations_csv from 2026-11-03"), "{said}");
    assert!(run(&["statement", "import", &csv]).1.contains("was there already"));
    assert!(run(&["statement", "list"]).1.contains("2 lines, 0.8 USD, november.csv"));

    let (code, page, said) = run(&["reconcile"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(page.contains("price") && page.contains("0.25 here, 0.3 there (0.05)"), "{page}");
    assert_eq!(run(&["reconcile", "--tolerance", "0.05"]).0, Some(0));
    let (_, json, _) = run(&["reconcile", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["variances"][0]["generations"], json!(["gen-b"]));
    assert_eq!(run(&["reconcile", "--post-true-ups", "--within", "0.01"]).0, Some(2));
    assert_eq!(run(&["reconcile", "--post-true-ups"]).0, Some(0));
    assert_eq!(run(&["reconcile"]).0, Some(0));
    let (code, _, said) = run(&["reconcile", "--provider", "acme"]);
    assert!(code == Some(64) && said.contains("--provider"), "{said}");
}

#[test]
fn no_door_takes_a_body_without_end() {
    let database = TestDatabase::sqlite();
    let service = Service::start_with(&database.url, &["--max-body-mb", "1", "--queue-mb", "2"]);
    let large = "x".repeat(1_500_000);
    for path in ["/v1/statements", "/v1/reconciliations", "/v1/adjustments", "/v1/keys"] {
        let request = service.request("POST", path).header("Idempotency-Key", "large").body(&large);
        let answer = service.send(request);
        assert_eq!(answer.status, 413, "{path}: {}", answer.text());
    }
}
