//! What gateways write, and what it comes to. Each case is a body as a gateway sends it, invented but for its field names, with
//! the disjoint counts and the amount that a person gets with pencil and paper; beside it stands the trap it is there for.

use crate::support::database::TestDatabase;
use crate::support::service::{Answer, Service};
use farthing::catalog::Catalog;
use farthing::catalog::source::own;
use farthing::rating::{Rating, rate};
use farthing::time::Instant;
use farthing::usage::dialect::{Context, Dialect, Told};
use farthing::usage::{Usage, UsageEvent};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The same model at two sellers, one that is free, and one at a batch tier. Rates per million: 3 in, 0.3 read, 3.75 written,
/// 6 written for an hour, 15 out.
const PRICES: [&str; 3] = [
    r#"
provider: openrouter
cost_basis: reported
absent: included
models:
  - model: anthropic/claude-sonnet-4
    cards: [{input_per_1m: "3", cache_read_per_1m: "0.3", cache_write_per_1m: "3.75", output_per_1m: "15"}]
  - model: openai/gpt-4o-mini
    cards: [{input_per_1m: "0.15", cache_read_per_1m: "0.075", output_per_1m: "0.6"}]
  - model: "meta-llama/llama-3.3-70b-instruct:free"
    cards: [{input_per_1m: "0", output_per_1m: "0", free: true}]
"#,
    r#"
provider: anthropic
absent: included
models:
  - model: claude-sonnet-4-5
    cards: [{input_per_1m: "3", cache_read_per_1m: "0.3", cache_write_per_1m: "3.75", cache_write_1h_per_1m: "6", output_per_1m: "15"}]
"#,
    r#"
provider: openai
absent: included
models:
  - model: text-embedding-3-small
    cards: [{input_per_1m: "0.02"}]
"#,
];

fn prices() -> Catalog {
    Catalog::build(PRICES.iter().flat_map(|yaml| own::read(yaml).unwrap_or_else(|mistakes| panic!("{mistakes:?}")))).unwrap()
}

/// Everything a body tells, one line each: `provider/model: meter count, .. = amount`.
fn says(dialect: Dialect, body: &str, catalog: &Catalog) -> Vec<String> {
    let context = Context { received_at: Instant::parse("2026-11-21T00:00:00Z").unwrap(), source: None, strict: false };
    let pieces = dialect.cut(body).unwrap();
    let told = pieces.iter().map(|piece| dialect.read(piece, &context).unwrap_or_else(|e| panic!("{e}: {body}")));
    told.map(|told| match told {
        Told::Nothing(_) => "nothing".to_owned(),
        Told::Event(event) | Told::Update(event) => comes_to(&event, catalog),
    })
    .collect()
}

fn comes_to(event: &UsageEvent, catalog: &Catalog) -> String {
    let counts = match &event.usage {
        Usage::Counted(counts) if counts.is_empty() => vec!["nothing used".to_owned()],
        Usage::Counted(counts) => counts.present().map(|(meter, count)| format!("{} {count}", meter.name())).collect(),
        Usage::Contradictory { .. } => vec!["contradiction".to_owned()],
        Usage::Missing => vec!["missing".to_owned()],
    };
    let amount = match rate(event, catalog) {
        Rating::Rated(rated) => rated.amount.to_string(),
        Rating::Unpriced(unpriced) => format!("held: {}", unpriced.reason().name()),
    };
    format!("{}/{}: {} = {amount}", event.product.provider, event.product.model, counts.join(", "))
}

struct Case {
    trap: &'static str,
    from: Dialect,
    body: &'static str,
    says: &'static [&'static str],
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    // 1,200 at 3, 800 at 0.3, 340 at 15: 0.0036 + 0.00024 + 0.0051 = 0.00894, whoever counts the cache where.
    Case {
        trap: "cached tokens inside the prompt, as OpenAI's APIs count them",
        from: Dialect::LlmProxy,
        body: r#"{"id":"1","leg":"PTB","backend_type":"openrouter","model":"anthropic/claude-sonnet-4","backend_reported_usage":
            {"prompt_tokens":2000,"completion_tokens":340,"total_tokens":2340,"prompt_tokens_details":{"cached_tokens":800}}}"#,
        says: &["openrouter/anthropic/claude-sonnet-4: input 1200, cache_read 800, output 340 = 0.00894"],
    },
    Case {
        trap: "cached tokens beside the prompt, as Anthropic's API counts them",
        from: Dialect::Keeptrusts,
        body: r#"{"event_id":"1","provider":"anthropic","model":"claude-sonnet-4-5","prompt_tokens":1200,"completion_tokens":340,
            "cached_input_tokens":800,"total_tokens":1540}"#,
        says: &["anthropic/claude-sonnet-4-5: input 1200, cache_read 800, output 340 = 0.00894"],
    },
    Case {
        trap: "an Anthropic model through OpenRouter is counted as OpenAI counts",
        from: Dialect::Keeptrusts,
        body: r#"{"event_id":"1","provider":"openrouter:chat:anthropic/claude-sonnet-4","prompt_tokens":2000,"completion_tokens":340,
            "cached_input_tokens":800,"total_tokens":2340}"#,
        says: &["openrouter/anthropic/claude-sonnet-4: input 1200, cache_read 800, output 340 = 0.00894"],
    },
    Case {
        trap: "tokens that are disjoint as they come",
        from: Dialect::Omnia,
        body: r#"{"id":"1","provider":"openai","providerName":"openrouter","model":"anthropic/claude-sonnet-4","status":"completed",
            "inputTokens":1200,"outputTokens":340,"cachedTokens":800,"costUsd":0.00894}"#,
        says: &["openrouter/anthropic/claude-sonnet-4: input 1200, cache_read 800, output 340 = 0.00894"],
    },
    Case {
        trap: "buckets and a prompt that holds them",
        from: Dialect::Oceans,
        body: r#"{"request_id":"1","ownership_scope_key":"user:u","provider_key":"openrouter","upstream_model":"anthropic/claude-sonnet-4",
            "prompt_tokens":2000,"uncached_input_tokens":1200,"cache_read_tokens":800,"cache_write_tokens":0,"completion_tokens":340,
            "total_tokens":2340,"pricing_status":"priced","computed_cost_10000":89}"#,
        says: &["openrouter/anthropic/claude-sonnet-4: input 1200, cache_read 800, output 340 = 0.00894"],
    },
    // Of the 340 going out 100 are reasoning; both cost 15.
    Case {
        trap: "reasoning inside the completion is not billed twice",
        from: Dialect::LlmProxy,
        body: r#"{"id":"1","leg":"PTB","backend_type":"openrouter","model":"anthropic/claude-sonnet-4","backend_reported_usage":
            {"prompt_tokens":2000,"completion_tokens":340,"total_tokens":2340,"prompt_tokens_details":{"cached_tokens":800},
            "completion_tokens_details":{"reasoning_tokens":100}}}"#,
        says: &["openrouter/anthropic/claude-sonnet-4: input 1200, cache_read 800, output 240, reasoning 100 = 0.00894"],
    },
    Case {
        trap: "reasoning beside the output is not dropped where it is told",
        from: Dialect::Promptkit,
        body: r#"{"type":"provider.call.completed","timestamp":"2026-11-02T10:00:00Z","sequence":1,"session_id":"s","data":{"Provider":"claude",
            "Model":"claude-sonnet-4-5","InputTokens":1200,"OutputTokens":240,"CachedTokens":800,"Cost":{"total_cost_usd":0.00894,
            "quantities":{"input_token":1200,"output_token":240,"cache_read_token":800,"reasoning_token":100}}}}"#,
        says: &["anthropic/claude-sonnet-4-5: input 1200, cache_read 800, output 240, reasoning 100 = 0.00894"],
    },
    // 0.0036 + 0.00024 + 240 at 15 = 0.0036: what is lost is not made up, and the claim of 0.00894 shows it.
    Case {
        trap: "reasoning that the runtime lost stays lost",
        from: Dialect::Promptkit,
        body: r#"{"type":"provider.call.completed","timestamp":"2026-11-02T10:00:00Z","sequence":1,"session_id":"s","data":{"Provider":"claude",
            "Model":"claude-sonnet-4-5","InputTokens":1200,"OutputTokens":240,"CachedTokens":800,"Cost":0.00894}}"#,
        says: &["anthropic/claude-sonnet-4-5: input 1200, cache_read 800, output 240 = 0.00744"],
    },
    // 1,000 at 0.15 and 100 at 0.6: 0.00015 + 0.00006.
    Case {
        trap: "two legs of one call are one charge, and the loser of a race is another",
        from: Dialect::LlmProxy,
        body: r#"{"version":"1.0","record_count":3,"records":[
            {"id":"a","leg":"CTP","backend_type":"openrouter","model":"openai/gpt-4o-mini","backend_reported_usage":{"prompt_tokens":1000,"completion_tokens":100}},
            {"id":"b","leg":"PTB","backend_type":"openrouter","model":"openai/gpt-4o-mini","backend_reported_usage":{"prompt_tokens":1000,"completion_tokens":100}},
            {"id":"c","leg":"PTB","backend_type":"openrouter","model":"anthropic/claude-sonnet-4","backend_reported_usage":{"prompt_tokens":1000,"completion_tokens":0}}]}"#,
        says: &[
            "nothing",
            "openrouter/openai/gpt-4o-mini: input 1000, output 100 = 0.00021",
            "openrouter/anthropic/claude-sonnet-4: input 1000 = 0.003",
        ],
    },
    Case {
        trap: "a retry under a new id is not merged in silence",
        from: Dialect::Omnia,
        body: r#"[{"id":"r1","provider":"claude","model":"claude-sonnet-4-5","inputTokens":1000,"createdAt":"2026-11-02T10:00:00Z"},
            {"id":"r2","provider":"claude","model":"claude-sonnet-4-5","inputTokens":1000,"createdAt":"2026-11-02T10:00:00Z"}]"#,
        says: &["anthropic/claude-sonnet-4-5: input 1000 = 0.003", "anthropic/claude-sonnet-4-5: input 1000 = 0.003"],
    },
    Case {
        trap: "a price of zero is a price",
        from: Dialect::Omnia,
        body: r#"{"id":"1","provider":"openai","providerName":"openrouter","model":"meta-llama/llama-3.3-70b-instruct:free","inputTokens":900,"costUsd":0}"#,
        says: &["openrouter/meta-llama/llama-3.3-70b-instruct:free: input 900 = 0"],
    },
    Case {
        trap: "the zero of a model that the gateway does not know is none",
        from: Dialect::Omnia,
        body: r#"{"id":"1","provider":"openai","providerName":"openrouter","model":"who/knows","inputTokens":900,"costUsd":0}"#,
        says: &["openrouter/who/knows: input 900 = held: no_rate_card"],
    },
    Case {
        trap: "so is the zero that a table without the model computed",
        from: Dialect::Oceans,
        body: r#"{"request_id":"1","ownership_scope_key":"user:u","provider_key":"hub","pricing_provider_id":"openai","upstream_model":"openai/gpt-4o-mini",
            "prompt_tokens":9,"uncached_input_tokens":9,"cache_read_tokens":0,"cache_write_tokens":0,"completion_tokens":0,
            "pricing_status":"unpriced","unpriced_reason":"model_not_found","computed_cost_10000":0}"#,
        says: &["hub/openai/gpt-4o-mini: input 9 = held: no_rate_card"],
    },
    Case {
        trap: "what a provider charged is read from its text",
        from: Dialect::Pai,
        body: r#"{"model_provider":"openrouter","requested_model":"openrouter/openai/gpt-4o-mini","http_status":200,
            "usage":{"prompt_tokens":5,"completion_tokens":1,"cost":1.234567890123456789e-3}}"#,
        says: &["openrouter/openai/gpt-4o-mini: input 5, output 1 = 0.001234567890123456789"],
    },
    // 100 at 3, 600 at 3.75, 300 at 6, 10 at 15: 0.0003 + 0.00225 + 0.0018 + 0.00015.
    Case {
        trap: "two classes of cache writes in one answer are priced apart",
        from: Dialect::Oceans,
        body: r#"{"request_id":"1","ownership_scope_key":"user:u","provider_key":"claude","upstream_model":"claude-sonnet-4-5","prompt_tokens":1000,
            "uncached_input_tokens":100,"cache_read_tokens":0,"cache_write_tokens":900,"completion_tokens":10,"total_tokens":1010,"pricing_status":"unpriced",
            "unpriced_reason":"unsupported_cache_token_usage:mixed_ttl_cache_write_classes","provider_usage_json":"{\"input_tokens\":100,\"output_tokens\":10,\"cache_creation_input_tokens\":900,\"cache_creation\":{\"ephemeral_5m_input_tokens\":600,\"ephemeral_1h_input_tokens\":300}}"}"#,
        says: &["anthropic/claude-sonnet-4-5: input 100, cache_write 600, cache_write_1h 300, output 10 = 0.0045"],
    },
    Case {
        trap: "a router is priced as the model that answered",
        from: Dialect::Pai,
        body: r#"{"model_provider":"openrouter","requested_model":"openrouter/auto","model":"openai/gpt-4o-mini","usage":{"prompt_tokens":1000,"completion_tokens":100}}"#,
        says: &["openrouter/openai/gpt-4o-mini: input 1000, output 100 = 0.00021"],
    },
    Case {
        trap: "a selector that nothing resolved has no price",
        from: Dialect::LlmProxy,
        body: r#"{"id":"1","leg":"PTB","backend_type":"openrouter","model":"openai/gpt-4o-mini|anthropic/claude-sonnet-4","backend_reported_usage":{"prompt_tokens":10,"completion_tokens":1}}"#,
        says: &["openrouter/openai/gpt-4o-mini|anthropic/claude-sonnet-4: input 10, output 1 = held: no_rate_card"],
    },
    Case {
        trap: "parameters, a backend and its instance in front change no price",
        from: Dialect::LlmProxy,
        body: r#"{"id":"1","leg":"PTB","backend_type":"openrouter","backend_instance_id":"openrouter.2","model":"openrouter.2:openai/gpt-4o-mini?temperature=0.7",
            "backend_reported_usage":{"prompt_tokens":1000,"completion_tokens":100}}"#,
        says: &["openrouter/openai/gpt-4o-mini: input 1000, output 100 = 0.00021"],
    },
    Case {
        trap: "an answer from the gateway's cache costs nothing, priced or not",
        from: Dialect::Keeptrusts,
        body: r#"{"event_id":"1","provider":"openrouter","model":"who/knows","prompt_tokens":800,"completion_tokens":120,"total_cost":0.5,"metadata":{"cache_hit":true}}"#,
        says: &["openrouter/who/knows: input 800, output 120 = 0"],
    },
    Case {
        trap: "nor does a call that a policy stopped",
        from: Dialect::Keeptrusts,
        body: r#"{"id":"1","provider":"openrouter","model":"who/knows","decision":"block","input_tokens":40,"output_tokens":0,"cost":0}"#,
        says: &["openrouter/who/knows: input 40 = 0"],
    },
    // The router's fee is 0.00035, and the upstream's charge of 0.007 is another amount beside it.
    Case {
        trap: "with the caller's own key there are two amounts",
        from: Dialect::LlmProxy,
        body: r#"{"id":"1","leg":"PTB","backend_type":"openrouter","model":"anthropic/claude-sonnet-4","backend_reported_usage":{"prompt_tokens":2000,
            "completion_tokens":340,"prompt_tokens_details":{"cached_tokens":800},"cost":0.00035,"cost_details":{"upstream_inference_cost":0.007}}}"#,
        says: &["openrouter/anthropic/claude-sonnet-4: input 1200, cache_read 800, output 340 = 0.00735"],
    },
    Case {
        trap: "without it the upstream's figure is the same money again",
        from: Dialect::LlmProxy,
        body: r#"{"id":"1","leg":"PTB","backend_type":"openrouter","model":"anthropic/claude-sonnet-4","backend_reported_usage":{"prompt_tokens":2000,
            "completion_tokens":340,"prompt_tokens_details":{"cached_tokens":800},"cost":0.00894,"cost_details":{"upstream_inference_cost":0.00894}}}"#,
        says: &["openrouter/anthropic/claude-sonnet-4: input 1200, cache_read 800, output 340 = 0.00894"],
    },
    Case {
        trap: "a failed call with usage is charged",
        from: Dialect::LlmProxy,
        body: r#"{"id":"1","leg":"PTB","backend_type":"anthropic","model":"claude-sonnet-4-5","http_status_code":502,"backend_reported_usage":{"prompt_tokens":1000,"completion_tokens":0}}"#,
        says: &["anthropic/claude-sonnet-4-5: input 1000 = 0.003"],
    },
    Case {
        trap: "a failed call without usage is held until somebody knows",
        from: Dialect::Omnia,
        body: r#"{"id":"1","provider":"claude","model":"claude-sonnet-4-5","status":"failed","inputTokens":0,"outputTokens":0,"costUsd":0,"errorMessage":"broke off"}"#,
        says: &["anthropic/claude-sonnet-4-5: missing = held: usage_missing"],
    },
    Case {
        trap: "a call that was turned away costs nothing",
        from: Dialect::Pai,
        body: r#"{"model_provider":"openrouter","requested_model":"openrouter/openai/gpt-4o-mini","http_status":429}"#,
        says: &["openrouter/openai/gpt-4o-mini: nothing used = 0"],
    },
    Case {
        trap: "a proxy's own estimates are no usage",
        from: Dialect::LlmProxy,
        body: r#"{"id":"1","leg":"PTB","backend_type":"openrouter","model":"openai/gpt-4o-mini","verbatim_prompt_tokens":2050,"total_tokens":2390,"http_status_code":200}"#,
        says: &["openrouter/openai/gpt-4o-mini: missing = held: usage_missing"],
    },
    // 5,000 at 0.02.
    Case {
        trap: "embeddings that a runtime records with a cost of 0",
        from: Dialect::Omnia,
        body: r#"[{"id":"1","namespace":"n","workspaceName":"w","provider":"openai","providerName":"embed","model":"text-embedding-3-small","source":"embedding","inputTokens":5000,"costUsd":0,"callCount":25}]"#,
        says: &["openai/text-embedding-3-small: input 5000 = 0.0001"],
    },
];

#[test]
fn every_gateways_trap_comes_to_what_a_person_works_out() {
    let catalog = prices();
    for Case { trap, from, body, says: expected } in CASES {
        assert_eq!(says(*from, body, &catalog), *expected, "{}: {trap}", from.name());
    }
}

fn started() -> (TestDatabase, Service) {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    (database, service)
}

/// The envelope of Keeptrusts' queue around what a call cost.
fn envelope(delivery: &str, event: &str, payload: &Value) -> Value {
    let sha256: String = Sha256::digest(payload.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"delivery_id": delivery, "event_id": event, "event_kind": "spend", "org_id": "o1", "team_id": "t4", "request_id": "rq-88",
           "created_at": "2026-09-02T12:00:00Z", "payload_sha256": sha256, "payload": payload})
}

// 800 at 2.5 and 120 at 10 per million.
fn spend() -> Value {
    json!({"provider": "openrouter", "model": "openai/gpt-4o", "prompt_tokens": 800, "completion_tokens": 120, "total_tokens": 920,
           "cached_input_tokens": 0, "total_cost": 0.0032, "currency": "USD", "user_id": "u7", "pricing_source": "upstream"})
}

fn outcome(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["outcome"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_delivery_is_acknowledged_whatever_became_of_it() {
    let (_database, service) = started();
    let deliver = |envelope: &Value| {
        let answer = service.post("/v1/spend/log", envelope.to_string());
        // The client reads the first 4,096 bytes and looks for its id there.
        assert!(answer.body.len() < 4_096 && answer.json()["delivery_id"] == envelope["delivery_id"], "{}", answer.text());
        answer
    };
    let posted = deliver(&envelope("d-1", "ev-1", &spend()));
    assert_eq!((outcome(&posted), posted.json()["amount"].as_str()), ((200, "posted".to_owned()), Some("0.0032")));
    assert_eq!(outcome(&deliver(&envelope("d-1", "ev-1", &spend()))), (200, "already_present".to_owned()));
    assert_eq!(outcome(&deliver(&envelope("d-2", "ev-1", &spend()))), (200, "already_present".to_owned()));

    let mut other = spend();
    other["completion_tokens"] = json!(121);
    other["total_tokens"] = json!(921);
    let conflict = deliver(&envelope("d-3", "ev-1", &other));
    assert_eq!((outcome(&conflict), &conflict.json()["fields"]), ((200, "conflict".to_owned()), &json!(["output"])));

    let mut unknown = spend();
    unknown["model"] = json!("who/knows");
    unknown["pricing_source"] = json!("default_fallback");
    let held = deliver(&envelope("d-4", "ev-2", &unknown));
    assert_eq!((outcome(&held), held.json()["reason"].as_str()), ((200, "held".to_owned()), Some("no_rate_card")));

    let mut decision = envelope("d-5", "ev-3", &json!({"decision": "allow"}));
    decision["event_kind"] = json!("decision");
    let request = service.request("POST", "/v1/events").header("X-Verdictan-Delivery-Id", "d-5").body(decision.to_string());
    let ignored = service.send(request);
    assert_eq!((outcome(&ignored), &ignored.json()["delivery_id"]), ((200, "ignored".to_owned()), &json!("d-5")));
}

#[test]
fn only_what_can_never_be_an_event_is_refused() {
    let (_database, service) = started();
    let mut changed = envelope("d-1", "ev-1", &spend());
    changed["payload"]["total_cost"] = json!(0.0001);
    let refused = service.post("/v1/spend/log", changed.to_string());
    assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some("payload_sha256")));
    assert_eq!(service.get("/v1/entries").json()["items"], json!([]));

    let batch = json!([changed, envelope("d-2", "ev-2", &spend())]);
    let answer = service.post("/v1/spend/log", batch.to_string());
    let results = answer.json()["results"].clone();
    let said: Vec<_> = [0, 1].iter().map(|place| (&results[*place]["delivery_id"], &results[*place]["outcome"])).collect();
    assert_eq!((answer.status, said), (200, vec![(&json!("d-1"), &json!("rejected")), (&json!("d-2"), &json!("posted"))]));
}

#[test]
fn a_bare_post_is_named_by_its_header() {
    let (_database, service) = started();
    let request = service.request("POST", "/v1/spend/log").header("Idempotency-Key", "spend:rq-9").body(spend().to_string());
    let posted = service.send(request.clone());
    assert_eq!((outcome(&posted), posted.json()["id"].as_str()), ((200, "posted".to_owned()), Some("spend:rq-9")));
    assert_eq!(outcome(&service.send(request)), (200, "already_present".to_owned()));
    let nameless = service.post("/v1/spend/log", spend().to_string());
    assert_eq!((nameless.status, nameless.json()["field"].as_str()), (422, Some("event_id")));
}

#[test]
fn a_pending_call_is_completed_and_the_session_stands_in_the_path() {
    let (_database, service) = started();
    // 1,200 at 3, 800 at 0.3 and 340 at 15 per million; what Omnia computed is off by the reasoning it does not count.
    let call = |status: &str| {
        json!({"id": "pc-1", "namespace": "agents", "agentName": "support", "provider": "openai", "providerName": "openrouter",
               "model": "anthropic/claude-sonnet-4", "status": status, "inputTokens": 1200, "outputTokens": 340, "cachedTokens": 800,
               "costUsd": 0.01, "createdAt": "2026-09-02T10:11:12Z"})
    };
    let record = |call: Value| {
        let answer = service.post("/api/v1/sessions/s-1/provider-calls", call.to_string());
        assert_eq!(answer.status, 201);
        let result = answer.json()["results"][0].clone();
        (result["outcome"].as_str().unwrap().to_owned(), result["amount"].as_str().map(str::to_owned))
    };
    assert_eq!(record(call("pending")), ("held".to_owned(), None));
    assert_eq!(record(call("completed")), ("posted".to_owned(), Some("0.00894".to_owned())));
    // A poller that comes late with the pending row takes nothing back.
    assert_eq!(record(call("pending")), ("already_present".to_owned(), None));
    let story = service.get("/v1/events/omnia/pc-1").json();
    assert_eq!((&story["event"]["session"], &story["event"]["project"]), (&json!("s-1"), &json!("agents")));
    assert_eq!(story["outcome"], "posted");

    let refused = service.post("/api/v1/sessions/s-1/provider-calls", json!({"id": "pc-2", "model": "m"}).to_string());
    assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some("provider")));
    let rows = json!([
        {"id": "pu-1", "namespace": "agents", "provider": "openai", "model": "gpt-4o-mini", "source": "judge", "inputTokens": 1000, "createdAt": "2026-09-02T10:00:00Z"},
        {"id": "pu-2", "namespace": "agents", "provider": "openai", "model": "gpt-4o-mini", "inputTokens": -1}
    ]);
    let answer = service.post("/api/v1/provider-usage", rows.to_string());
    let outcomes = ["posted", "rejected"].map(|outcome| answer.json()[outcome].as_u64());
    assert_eq!((answer.status, outcomes), (201, [Some(1), Some(1)]));
}

/// A prompt is nowhere: not in the database, not in the log, whichever gateway told of it and whatever became of the event.
#[test]
fn what_people_wrote_is_stored_nowhere_whichever_gateway_sends_it() {
    const CANARY: &str = "heron-over-the-marsh";
    let database = TestDatabase::sqlite();
    let service = Service::start_with(&database.url, &["--log", "trace"]);
    let content = json!({
        "messages": [{"role": "user", "content": CANARY}], "prompt": CANARY, "prompts": [CANARY], "input": CANARY, "inputs": [CANARY],
        "output": {"text": CANARY}, "outputs": [CANARY], "completion": CANARY, "system": CANARY, "systemPrompt": CANARY,
        "errorMessage": CANARY, "error_message": CANARY, "Error": {"Message": CANARY}, "query": CANARY, "question": CANARY,
        "answer": CANARY, "arguments": CANARY, "toolCalls": [{"arguments": CANARY}], "reasoning": CANARY, "note": CANARY.repeat(20),
        "response": {"choices": [{"message": {"content": CANARY}}], "text": CANARY, "id": CANARY}, "request": {"body": CANARY}
    });
    let omnia = json!({"id": "o", "sessionId": "s", "provider": "openai", "model": "gpt-4o-mini", "inputTokens": 10});
    let call = json!({"Provider": "openai", "Model": "gpt-4o-mini", "InputTokens": 10, "CallID": "c"});
    let promptkit =
        json!({"type": "provider.call.completed", "timestamp": "2026-09-02T10:00:00Z", "session_id": "s", "data": call});
    let pai = json!({"model_provider": "openai", "requested_model": "openai/gpt-4o-mini", "usage": {"prompt_tokens": 10, "completion_tokens": 1}});
    let oceans = json!({"request_id": "r", "ownership_scope_key": "user:u", "provider_key": "openai", "upstream_model": "gpt-4o-mini",
        "prompt_tokens": 10, "completion_tokens": 1, "provider_usage": {"prompt_tokens": 10, "completion_tokens": 1}});
    let proxy = json!({"id": "p", "leg": "PTB", "backend_type": "openai", "model": "gpt-4o-mini",
        "backend_reported_usage": {"prompt_tokens": 10, "completion_tokens": 1}});
    let keeptrusts = json!({"event_id": "k", "provider": "openai", "model": "gpt-4o-mini", "prompt_tokens": 10, "metadata": {}});
    // For each dialect: an event, where in it its fields are, its model, and a count that can be broken.
    let gateways: [(&str, &Value, &str, &str, &str); 6] = [
        ("omnia", &omnia, "", "/model", "/inputTokens"),
        ("promptkit", &promptkit, "/data", "/data/Model", "/data/InputTokens"),
        ("pai", &pai, "", "/requested_model", "/usage/prompt_tokens"),
        ("oceans", &oceans, "", "/upstream_model", "/prompt_tokens"),
        ("llm-proxy", &proxy, "", "/model", "/backend_reported_usage/prompt_tokens"),
        ("keeptrusts", &keeptrusts, "", "/model", "/prompt_tokens"),
    ];
    let with_content = |event: &Value, places: &[&str]| {
        let mut event = event.clone();
        for place in places {
            let fields = event.pointer_mut(place).unwrap().as_object_mut().unwrap();
            for (name, value) in content.as_object().unwrap() {
                fields.entry(name).or_insert(value.clone());
            }
        }
        event
    };
    for (dialect, event, fields, model, count) in gateways {
        let path = format!("/v1/ingest/{dialect}");
        let places: &[&str] = if fields.is_empty() { &[""] } else { &["", fields] };
        let plain = with_content(event, places);
        let changed = |place: &str, value: Value| {
            let mut event = plain.clone();
            *event.pointer_mut(place).unwrap() = value;
            event
        };
        let held = changed(model, json!("nobody-knows"));
        let rejected = changed(count, json!(-1));
        for (event, became) in [(&held, "held"), (&plain, "posted"), (&rejected, "rejected")] {
            let answer = service.post(&path, event.to_string());
            let is = answer.json()["outcome"].as_str().unwrap().to_owned();
            assert_eq!(is, became, "{dialect}: {}", answer.text());
            service.post(&path, json!([event]).to_string());
            service.post(&path, format!("{event}\n{{\"prompt\":\"{CANARY}\",\n"));
        }
    }
    let in_envelope = envelope("d", "in-envelope", &with_content(&keeptrusts, &["", "/metadata"]));
    assert_eq!(service.post("/v1/spend/log", in_envelope.to_string()).json()["outcome"], "posted");
    let broken = json!({"event_kind": "spend", "payload_sha256": "00", "payload": with_content(&keeptrusts, &["", "/metadata"])});
    assert_eq!(service.post("/v1/spend/log", broken.to_string()).status, 422);
    assert_eq!(service.post("/api/v1/sessions/s/provider-calls", with_content(&omnia, &[""]).to_string()).status, 201);
    service.post("/v1/rejected/retry", "");
    let log = service.log.clone();
    service.stop();
    assert!(!log.lock().unwrap().contains(CANARY), "in the log");
    let mut kept = Vec::new();
    for file in std::fs::read_dir(database.directory()).unwrap() {
        kept.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let has = |text: &str| kept.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("nobody-knows"), "what was sent beside it is there");
    assert!(!has(CANARY), "in the database");
}

/// The example on each gateway's page is what its dialect reads.
#[test]
fn the_examples_in_the_papers_are_events() {
    let gateways = [Dialect::Omnia, Dialect::Promptkit, Dialect::Pai, Dialect::Oceans, Dialect::LlmProxy, Dialect::Keeptrusts];
    let expected = [
        "openrouter/anthropic/claude-sonnet-4: input 1200, cache_read 800, output 340 = 0.00894",
        "anthropic/claude-sonnet-4-5: input 1200, cache_read 800, output 300 = 0.00834",
        "openrouter/openai/gpt-4o-mini: input 1000, cache_read 8000, output 700 = 0.00117",
        "openrouter/openai/gpt-4o-mini: input 1000, cache_read 8000, output 650, reasoning 50 = 0.00117",
        "openrouter/anthropic/claude-sonnet-4: input 1200, cache_read 800, output 240, reasoning 100 = 0.00894",
        "openrouter/openai/gpt-4o: input 800, output 120 = 0.0032",
    ];
    for (dialect, expected) in gateways.into_iter().zip(expected) {
        let path = format!("{}/docs/gateways/{}.md", env!("CARGO_MANIFEST_DIR"), dialect.name());
        let page = std::fs::read_to_string(path).unwrap();
        let examples: Vec<&str> = page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert_eq!(examples.len(), 1, "{}", dialect.name());
        assert_eq!(says(dialect, examples[0], &prices()), [expected], "{}", dialect.name());
    }
}

#[test]
fn an_omnia_call_that_comes_again_under_another_id_is_flagged_and_not_merged() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    let call = |id: &str| {
        format!(
            r#"{{"id":"{id}","sessionId":"s1","namespace":"agents","agentName":"support","provider":"openai","providerName":"openai",
                "model":"gpt-4o-mini","status":"completed","inputTokens":1000000,"outputTokens":0,"cachedTokens":0,"costUsd":0.15,
                "createdAt":"2026-09-02T10:11:12Z"}}"#
        )
    };
    for id in ["made-up-1", "made-up-2"] {
        assert_eq!(service.post("/v1/ingest/omnia", call(id)).status, 201);
    }
    // The same call a second later is another one, and so is the same id again.
    service.post("/v1/ingest/omnia", call("made-up-3").replace("10:11:12", "10:11:13"));
    service.post("/v1/ingest/omnia", call("made-up-1"));
    let suspects = service.get("/v1/suspects").json();
    assert_eq!(suspects["items"].as_array().unwrap().len(), 1, "{suspects}");
    let suspect = &suspects["items"][0];
    assert_eq!((suspect["event"]["id"].as_str(), suspect["looks_like"]["id"].as_str()), (Some("made-up-2"), Some("made-up-1")));
    assert!(service.get("/metrics").text().contains("farthing_waiting{org=\"main\",what=\"suspect\",reason=\"\"} 1"));

    // 0.15 USD each: three are charged, and a person takes one back.
    let spent = |service: &Service| service.get("/v1/reports/spend").json()["totals"][0]["amount"].as_str().unwrap().to_owned();
    assert_eq!(spent(&service), "0.45");
    let accept = format!("/v1/suspects/{}/accept", suspect["suspect"].as_str().unwrap());
    assert_eq!(service.post(&accept, "").json()["accepted"], true);
    assert_eq!(spent(&service), "0.3");
    assert_eq!(service.post(&accept, "").status, 409);
    assert_eq!(service.get("/v1/suspects").json()["items"].as_array().unwrap().len(), 0);
}
