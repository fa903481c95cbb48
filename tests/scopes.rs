//! Who sees what: everything in one org, or of one team, is called by names that stand nowhere else, and then every page that
//! the service describes is asked for with keys that must not see them. The pages are read from the description, so that
//! none can be forgotten.

use crate::reports::dimensions;
use crate::support::database::TestDatabase;
use crate::support::description::DESCRIPTION;
use crate::support::service::{Request, Service};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

/// Names and numbers of the one org, each of which is nobody else's.
const CANARIES: [&str; 26] = [
    "canary-source",
    "canary-onlooker",
    "canary-event",
    "canary-waiting",
    "canary-broken",
    "canary-user",
    "canary-team",
    "canary-project",
    "canary-key",
    "canary-app",
    "canary-agent",
    "canary-environment",
    "canary-session",
    "canary-label",
    "canary-call",
    "canary-requested",
    "canary-host",
    "canary-unpriced",
    "canary-reason",
    "canary-adjustment",
    "canarygeneration",
    "canary-statement",
    "canary-account",
    "canary-keyname",
    // What a thousand tokens cost, and what was posted by decision.
    "0.0777123",
    "77.700077",
];

/// Of its catalog, which any key of the org may read.
const CATALOG: [&str; 4] = ["canary-provider", "canary-model", "canary-publishing", "77.7123"];

const LIST: &str = "provider: canary-provider
models:
  - model: canary-model
    cards:
      - {from: 2026-01-01, input_per_1m: \"77.7123\", output_per_1m: \"77.7123\"}
";

fn event(id: &str) -> Value {
    json!({"id": id, "source": "canary-source", "occurred_at": "2026-10-01T00:00:00Z", "provider": "canary-provider",
           "model": "canary-model", "requested_model": "canary-requested", "served_by": "canary-host",
           "usage": {"input": 1000}, "user": "canary-user", "team": "canary-team",
           "project": "canary-project", "key": "canary-key", "app": "canary-app", "agent": "canary-agent",
           "environment": "canary-environment", "session": "canary-session", "labels": {"feature": "canary-label"},
           "provider_request_id": "canary-call"})
}

fn with(id: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut event = event(id);
    change(&mut event);
    event
}

/// What a provider says of a call that nobody told of.
const STATEMENT: &str =
    "created_at,generation_id,cost_total,tokens_prompt,tokens_completion,tokens_reasoning,tokens_cached,cost_cache,\
cost_web_search,cost_file_processing,byok_usage_inference,model_permaslug,provider_name,variant,cancelled,streamed,user,\
finish_reason_raw,finish_reason_normalized,generation_time_ms,time_to_first_token_ms,app_name,api_key_name,api_key_disabled
2026-10-31 08:00:00.000,gen-1793433600-canarygeneration,0.014,10,5,0,90,,0.01,0.002,0,acme/large-20260101,Azure,standard,false,\
false,canary-user,stop,stop,100,10,canary-app,canary-keyname,false
";

/// The org with something of everything in it, and the ids of its statement and its comparison.
fn fill(service: &Service) -> (String, String) {
    let posted = |request: Request, status: u16| {
        let answer = service.send(request);
        assert_eq!(answer.status, status, "{}", answer.text());
        answer
    };
    let post = |path: &str| service.request("POST", path);
    let list = post("/v1/catalog/versions?accept=true&note=canary-publishing").header("Content-Type", "application/yaml");
    posted(list.body(LIST), 201);
    let events = json!([
        event("canary-event"),
        with("canary-event", |event| event["usage"]["input"] = json!(7)),
        with("canary-second", |event| {
            event["source"] = json!("canary-witness");
            event["agent"] = json!("canary-onlooker");
        }),
        with("canary-waiting", |event| {
            event["model"] = json!("canary-unpriced");
            event["provider_request_id"] = Value::Null;
        }),
        with("canary-broken", |event| event["usage"]["input"] = json!(-5)),
    ]);
    let answer = posted(post("/v1/events").header("Content-Type", "application/json").body(events.to_string()), 200).json();
    for outcome in ["posted", "conflict", "evidence", "held", "rejected"] {
        assert_eq!(answer[outcome], 1, "{outcome}: {answer}");
    }
    let fee = json!({"amount": "77.700077", "debit": "cost:canary-team/canary-user", "credit": "payable:canary-provider",
                     "reason": "canary-reason", "occurred_at": "2026-10-01T00:00:00Z"});
    let fee = post("/v1/adjustments").header("Idempotency-Key", "canary-adjustment").body(fee.to_string());
    posted(fee.header("Content-Type", "application/json"), 201);
    let statement = post("/v1/statements?name=canary-statement&account=canary-account").header("Content-Type", "text/csv");
    let statement = posted(statement.body(STATEMENT), 201).json()["id"].as_str().unwrap().to_owned();
    let order = json!({"statement": statement}).to_string();
    let run = posted(post("/v1/reconciliations").header("Content-Type", "application/json").body(order), 200).json();
    service.new_key(r#"{"scopes":["read"],"team":"canary-team","note":"canary-keyname"}"#);
    (statement, run["id"].as_str().unwrap().to_owned())
}

/// Ways to ask for a page, each with what it cannot be asked without. A new one has to be put in here.
fn asked(page: &str, (statement, run): &(String, String)) -> Vec<String> {
    let one = |path: &str| vec![path.to_owned()];
    let numbered = |path: &str| (1..=4).map(|number| path.replace("{}", &number.to_string())).collect::<Vec<_>>();
    match page {
        "/v1/events/{source}/{id}" => {
            ["canary-source/canary-event", "canary-witness/canary-second"].map(|event| format!("/v1/events/{event}")).to_vec()
        }
        "/v1/entries/{id}" => numbered("/v1/entries/{}"),
        "/v1/reports/{name}" => {
            let dimensions = dimensions().into_iter().filter(|name| name != "meter" && name != "reason");
            let mut questions: Vec<String> =
                dimensions.map(|name| format!("/v1/reports/spend?group_by={name}&show=amount,entries")).collect();
            questions.extend(
                ["group_by=meter&show=amount", "group_by=user,model,day", "of=held&group_by=user,model,reason", "range=2026-10"]
                    .map(|question| format!("/v1/reports/spend?{question}")),
            );
            let named = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/reports")).unwrap();
            let names = named.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned());
            questions.extend(names.map(|name| format!("/v1/reports/{name}?range=2026-10")));
            questions
        }
        "/v1/exports/focus" => one("/v1/exports/focus?billing_period=2026-10"),
        "/v1/sheets" => ["team=canary-team", "user=canary-user"].map(|of| format!("/v1/sheets?month=2026-10&{of}")).to_vec(),
        "/v1/catalog/versions/{version}" => numbered("/v1/catalog/versions/{}"),
        "/v1/catalog/versions/{version}/parts/{part}" => numbered("/v1/catalog/versions/{}/parts/canary-provider"),
        "/v1/catalog/diff" => one("/v1/catalog/diff?from=1&to=2"),
        "/v1/catalog/price" => one("/v1/catalog/price?provider=canary-provider&model=canary-model"),
        "/v1/statements/{id}" => one(&format!("/v1/statements/{statement}")),
        "/v1/reconciliations/page" => {
            vec![format!("/v1/reconciliations/page?run={run}"), "/v1/reconciliations/page?month=2026-10".to_owned()]
        }
        "/v1/reconciliations/{id}" => one(&format!("/v1/reconciliations/{run}")),
        "/v1/reconciliations/{id}/variances" => one(&format!("/v1/reconciliations/{run}/variances")),
        "/v1/reconciliations/{id}/proposals" => one(&format!("/v1/reconciliations/{run}/proposals")),
        other => {
            assert!(!other.contains('{'), "say above with what {other} is asked for");
            one(other)
        }
    }
}

/// Every page in every way: as it is, and with each word of each parameter that has only certain words.
fn questions(ids: &(String, String)) -> Vec<String> {
    let mut questions = Vec::new();
    for (page, operations) in DESCRIPTION["paths"].as_object().unwrap() {
        let Some(get) = operations.get("get") else { continue };
        for path in asked(page, ids) {
            let separator = if path.contains('?') { '&' } else { '?' };
            for parameter in get["parameters"].as_array().into_iter().flatten() {
                let parameter = match parameter["$ref"].as_str() {
                    Some(reference) => DESCRIPTION.pointer(reference.trim_start_matches('#')).unwrap(),
                    None => parameter,
                };
                let name = parameter["name"].as_str().unwrap();
                let words = parameter["schema"]["enum"].as_array().into_iter().flatten().map(|word| word.as_str().unwrap());
                let switch = if parameter["schema"]["type"] == "boolean" { vec!["true", "false"] } else { Vec::new() };
                questions.extend(words.chain(switch).map(|word| format!("{path}{separator}{name}={word}")));
            }
            questions.push(path);
        }
    }
    questions
}

/// What is told of those canaries that nobody named in the question.
fn told<'c>(service: &Service, key: &str, question: &str, canaries: &[&'c str]) -> Vec<&'c str> {
    // Journals begin their accounts with capitals.
    let text = service.send(Request::new("GET", question).key(key)).text().to_lowercase();
    canaries.iter().filter(|canary| text.contains(*canary) && !question.contains(*canary)).copied().collect()
}

#[test]
fn no_page_tells_another_org_anything() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    let ids = fill(&service);
    let run = |arguments: &[&str]| {
        let program = Command::new(env!("CARGO_BIN_EXE_farthing")).args(["--database", &database.url]).args(arguments).output();
        let output = program.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    run(&["orgs", "create", "beta"]);
    let reads = run(&["keys", "create", "--org", "beta", "--scope", "read"]);
    let does_all = run(&["keys", "create", "--org", "beta", "--scope", "ingest,read,catalog,reconcile,admin"]);
    let canaries = [&CANARIES[..], &CATALOG[..]].concat();
    let questions = questions(&ids);
    for question in &questions {
        for key in [&reads, &does_all] {
            let told = told(&service, key, question, &canaries);
            assert!(told.is_empty(), "{question} tells beta of {told:?}");
        }
    }
    // The org's own key sees all of them, or nothing would have been proved.
    let own = service.new_key(r#"{"scopes":["read","admin"]}"#);
    let seen: BTreeSet<&str> = questions.iter().flat_map(|question| told(&service, &own, question, &canaries)).collect();
    let unseen: Vec<&&str> = canaries.iter().filter(|canary| !seen.contains(**canary)).collect();
    assert!(unseen.is_empty(), "nobody sees {unseen:?}");
}

#[test]
fn reports_exports_sheets_and_lists_tell_their_own_org() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    fill(&service);
    let own = service.new_key(r#"{"scopes":["read"]}"#);
    for (question, expected) in [
        ("/v1/reports/spend?group_by=user,team,model,key", ["canary-user", "canary-team", "canary-model", "canary-key"]),
        ("/v1/reports/users-models?range=2026-10", ["canary-user", "canary-model", "0.0777123", "canary-user"]),
        ("/v1/exports/entries?format=ndjson", ["canary-event", "canary-user", "canary-key", "0.0777123"]),
        ("/v1/exports/entries?format=csv", ["canary-event", "canary-user", "canary-key", "0.0777123"]),
        ("/v1/exports/entries?format=beancount", ["canary-team", "canary-user", "canary-provider", "77.7777893"]),
        ("/v1/exports/focus?billing_period=2026-10", ["canary-user", "canary-team", "canary-model", "0.0777123"]),
        ("/v1/sheets?month=2026-10&team=canary-team", ["canary-provider", "canary-model", "0.0777123", "0.0777123"]),
        ("/v1/entries", ["canary-user", "canary-team", "canary-model", "0.0777123"]),
        ("/v1/events/canary-source/canary-event", ["canary-session", "canary-label", "canary-call", "canary-key"]),
        ("/v1/accounts", ["canary-team", "canary-user", "canary-provider", "cost:"]),
        ("/v1/balances", ["canary-team", "canary-user", "canary-provider", "77.7777893"]),
    ] {
        let answer = service.send(Request::new("GET", question).key(&own));
        assert_eq!(answer.status, 200, "{question}: {}", answer.text());
        for name in expected {
            assert!(answer.text().to_lowercase().contains(name), "{question} does not tell of {name}: {}", answer.text());
        }
    }
}

#[test]
fn no_page_tells_a_team_of_another() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    let ids = fill(&service);
    let other = service.new_key(r#"{"scopes":["ingest","read","catalog","reconcile","admin"],"team":"labs"}"#);
    let reads = service.new_key(r#"{"scopes":["read"],"team":"labs"}"#);
    for question in questions(&ids) {
        for key in [&other, &reads] {
            let told = told(&service, key, &question, &CANARIES);
            assert!(told.is_empty(), "{question} tells labs of {told:?}");
        }
    }
    // Nor does it make itself a key that sees more, or decide what is everybody's.
    for path in [
        "/v1/keys",
        "/v1/held/retry",
        "/v1/rejected/retry",
        "/v1/conflicts/1/accept",
        "/v1/conflicts/1/dismiss",
        "/v1/suspects/1/accept",
        "/v1/suspects/1/dismiss",
    ] {
        let asked = Request::new("POST", path).key(&other).body(r#"{"scopes":["read"]}"#);
        assert_eq!(service.send(asked.header("Content-Type", "application/json")).status, 403, "{path}");
    }
}
