//! What real clients send, over a real socket: trace exports, observations, CloudEvents and logs, each in its own words. The
//! numbers are worked out by hand; the prices are those of the shipped catalogs.

mod blocks;
mod large;
mod pages;
mod protobuf;

use crate::support::database::TestDatabase;
use crate::support::service::{Answer, Service};
use farthing::usage::dialect::Dialect;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn started() -> (TestDatabase, Service) {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    (database, service)
}

fn attribute(name: &str, value: &Value) -> Value {
    let value = match value {
        Value::String(text) => json!({"stringValue": text}),
        Value::Bool(flag) => json!({"boolValue": flag}),
        Value::Number(number) if number.is_u64() => json!({"intValue": number.to_string()}),
        Value::Number(number) => json!({"doubleValue": number}),
        Value::Array(texts) => {
            let texts: Vec<Value> = texts.iter().map(|text| json!({"stringValue": text})).collect();
            json!({"arrayValue": {"values": texts}})
        }
        other => panic!("no attribute is {other}"),
    };
    json!({"key": name, "value": value})
}

fn attributes(of: &Value) -> Vec<Value> {
    of.as_object().unwrap().iter().map(|(name, value)| attribute(name, value)).collect()
}

/// A span of 2026-10-01, its id from a number.
fn span(number: u64, name: &str, of: Value) -> Value {
    json!({"traceId": format!("{:032x}", 0xabc), "spanId": format!("{number:016x}"), "name": name, "kind": 3,
           "startTimeUnixNano": "1790812800000000000", "endTimeUnixNano": "1790812801000000000", "attributes": attributes(&of)})
}

fn export(resource: Value, spans: &[Value]) -> Value {
    json!({"resourceSpans": [{"resource": {"attributes": attributes(&resource)},
                              "scopeSpans": [{"scope": {"name": "test"}, "spans": spans}]}]})
}

fn post_protobuf(service: &Service, path: &str, body: &[u8]) -> Answer {
    service.send(service.request("POST", path).header("Content-Type", "application/x-protobuf").body(body))
}

fn entries(service: &Service) -> Vec<Value> {
    service.get("/v1/entries?limit=1000").json()["items"].as_array().unwrap().clone()
}

fn chat(number: u64) -> Value {
    let of = json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
                    "gen_ai.response.model": "gpt-4o", "gen_ai.response.id": format!("chatcmpl-{number}"),
                    "gen_ai.usage.input_tokens": 10000, "gen_ai.usage.cache_read.input_tokens": 8000,
                    "gen_ai.usage.output_tokens": 1000, "user.id": "ann"});
    span(number, "chat gpt-4o", of)
}

#[test]
fn an_agents_span_is_not_counted_beside_the_calls_inside_it() {
    let (_database, service) = started();
    let agent = json!({"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai",
                       "gen_ai.usage.input_tokens": 10000, "gen_ai.usage.output_tokens": 1000});
    let body = export(json!({"service.name": "ide", "farthing.team": "search"}), &[span(1, "invoke_agent", agent), chat(2)]);
    assert_eq!(service.post("/v1/traces", body.to_string()).text(), "{}");
    assert_eq!(service.post("/v1/traces", body.to_string()).text(), "{}", "delivered again");
    let entries = entries(&service);
    // 2,000 at 2.5, 8,000 at 1.25 and 1,000 at 10 per million. langfuse and logfire sum the agent's span too: 0.05.
    assert_eq!(entries.iter().map(|entry| entry["amount"].as_str().unwrap()).collect::<Vec<_>>(), ["0.025"]);
    let event = service.get(&format!("/v1/events/otlp/{:032x}%2F{:016x}", 0xabc, 2)).json();
    for (field, expected) in [("user", "ann"), ("app", "ide"), ("team", "search"), ("provider_request_id", "chatcmpl-2")] {
        assert_eq!(event["event"][field], expected, "{field}");
    }
    assert_eq!(event["event"]["usage"], json!({"input": 2000, "cache_read": 8000, "output": 1000}));
}

#[test]
fn protobuf_and_json_are_the_same_event() {
    let (_database, service) = started();
    let body = export(json!({"service.name": "ide"}), &[chat(1), chat(2)]);
    let answer = post_protobuf(&service, "/v1/traces", &protobuf::export(&body));
    assert_eq!((answer.status, answer.body.len(), answer.header("content-type")), (200, 0, Some("application/x-protobuf")));
    assert_eq!(service.post("/v1/ingest/otlp", body.to_string()).json()["already_present"], 2);
    assert_eq!(entries(&service).len(), 2);
}

#[test]
fn broken_spans_are_a_partial_success() {
    let (_database, service) = started();
    let mut broken = chat(1);
    broken["startTimeUnixNano"] = json!("1000000000");
    let body = export(json!({}), &[broken, chat(2)]);
    let answer = service.post("/v1/traces", body.to_string()).json();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "1");
    let said = answer["partialSuccess"]["errorMessage"].as_str().unwrap();
    assert!(said.contains("startTimeUnixNano: 1970-01-01T00:00:01Z is before 2020"), "{said}");
    let answer = post_protobuf(&service, "/v1/traces", &protobuf::export(&body));
    let expected = protobuf::bytes(1, &[protobuf::number(1, 1), protobuf::bytes(2, said.as_bytes())].concat());
    assert_eq!((answer.status, answer.body), (200, expected));
    assert_eq!(service.get("/v1/rejected").json()["items"][0]["times"], 2, "the same broken span, whatever it was written in");
    assert_eq!(entries(&service).len(), 1);
}

#[test]
fn what_cannot_be_read_is_refused_in_the_words_of_the_request() {
    let (_database, service) = started();
    let json = |body: &str| service.post("/v1/traces", body);
    assert_eq!((json("{}").status, json("{\"resourceSpans\":[]}").text().as_str()), (200, "{}"));
    for broken in ["", "[", "{\"resourceSpans\":[{]}", "{\"spans\":[]}", "\u{0}"] {
        let answer = json(broken);
        assert_eq!((answer.status, answer.json()["code"].as_u64()), (400, Some(3)), "{broken}");
    }
    assert_eq!(post_protobuf(&service, "/v1/traces", b"").status, 200);
    let answer = post_protobuf(&service, "/v1/traces", &[0x0a, 0x05, 0x12]);
    assert_eq!((answer.status, &answer.body[..2]), (400, &[0x08, 3][..]));
    assert!(answer.text().contains("a field runs past the end"), "{}", answer.text());
    let stranger = crate::support::service::Request::new("POST", "/v1/traces").body("{}");
    assert_eq!((service.send(stranger.clone()).status, service.send(stranger).json()["code"].as_u64()), (401, Some(16)));
    let trial = service.request("POST", "/v1/traces").header("X-Test-Connection", "true");
    for body in ["", "{}", "{\"resourceSpans\":[]}"] {
        assert_eq!(service.send(trial.clone().body(body)).status, 200, "{body}");
    }
    let trial = service.request("POST", "/v1/ingest/openrouter").header("X-Test-Connection", "true");
    assert_eq!(service.send(trial).json()["received"], 0);
}

fn broadcast() -> Value {
    let root = json!({"span.type": "generation", "gen_ai.response.id": "gen-1", "gen_ai.request.model": "openai/gpt-4o",
        "gen_ai.response.model": "openai/gpt-4o", "gen_ai.operation.name": "chat", "gen_ai.response.finish_reason": "stop",
        "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100, "gen_ai.usage.total_cost": 0.0041, "user.id": "ann",
        "trace.metadata.team": "search", "trace.metadata.tenant": "acme", "trace.metadata.openrouter.provider_name": "Azure",
        "trace.metadata.openrouter.api_key_name": "key-3", "app.title": "ide"});
    let attempt = json!({"gen_ai.response.id": "gen-1:attempt-0", "gen_ai.usage.input_tokens": 1000});
    let inner = json!({"span.name": "generation"});
    export(
        json!({"service.name": "openrouter", "openrouter.trace.id": "gen-1"}),
        &[span(1, "LLM Generation", root), span(2, "provider attempt 0: Azure", attempt), span(3, "generation", inner)],
    )
}

#[test]
fn a_broadcast_is_one_event_however_often_and_wherever_it_arrives() {
    let (_database, service) = started();
    let body = broadcast();
    assert_eq!(service.post("/v1/traces", body.to_string()).text(), "{}");
    let again = service.post("/v1/ingest/openrouter", body.to_string()).json();
    assert_eq!((again["already_present"].clone(), again["ignored"].clone()), (json!(1), json!(2)));
    let entries = entries(&service);
    // What OpenRouter says it charged, which is more than its list price of 0.0035.
    assert_eq!(entries.iter().map(|entry| entry["amount"].as_str().unwrap()).collect::<Vec<_>>(), ["0.0041"]);
    let event = service.get("/v1/events/openrouter/gen-1").json()["event"].clone();
    for (field, expected) in [
        ("user", "ann"),
        ("team", "search"),
        ("key", "key-3"),
        ("app", "ide"),
        ("served_by", "Azure"),
        ("provider_request_id", "gen-1"),
        ("provider", "openrouter"),
    ] {
        assert_eq!(event[field], expected, "{field}");
    }
    assert_eq!(event["labels"]["tenant"], "acme");
}

/// A webhook of OpenRouter may be set to PUT.
#[test]
fn what_is_put_is_taken_as_what_is_posted() {
    let (_database, service) = started();
    let put = |path: &str| service.request("PUT", path).header("Content-Type", "application/json");
    let trial = put("/v1/traces").header("X-Test-Connection", "true").body("{}");
    assert_eq!((service.send(trial).status, entries(&service).len()), (200, 0));
    let answer = service.send(put("/v1/traces").body(broadcast().to_string()));
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    let again = service.send(put("/v1/ingest/openrouter").body(broadcast().to_string())).json();
    assert_eq!((&again["posted"], &again["already_present"], &again["ignored"]), (&json!(0), &json!(1), &json!(2)));
    let charged: Vec<Value> = entries(&service).iter().map(|entry| entry["amount"].clone()).collect();
    assert_eq!(charged, ["0.0041"]);
    let stranger = crate::support::service::Request::new("PUT", "/v1/traces").body(broadcast().to_string());
    assert_eq!(service.send(stranger).status, 401);
}

#[test]
fn a_gateways_event_and_openrouters_word_on_the_same_call_are_charged_once() {
    let gateway = json!({"id": "req-1", "source": "gateway", "occurred_at": "2026-10-01T00:00:00Z", "provider": "openrouter",
                         "model": "openai/gpt-4o", "provider_request_id": "gen-1", "usage": {"input": 1000, "output": 100}});
    let response = json!({"id": "gen-1", "model": "openai/gpt-4o", "created": 1_790_812_800,
                          "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "cost": 0.0041}});
    let record = json!({"data": {"id": "gen-1", "created_at": "2026-10-01T00:00:00Z", "model": "openai/gpt-4o", "total_cost": 0.0041,
                                 "is_byok": false, "native_tokens_prompt": 1000, "native_tokens_completion": 100}});
    let all = [
        ("/v1/events", gateway),
        ("/v1/ingest/openrouter", broadcast()),
        ("/v1/ingest/openrouter", response),
        ("/v1/ingest/openrouter", record),
    ];
    for first in 0..all.len() {
        let (_database, service) = started();
        for place in 0..all.len() {
            let (path, body) = &all[(first + place) % all.len()];
            let answer = service.post(path, body.to_string()).json();
            let counts = |outcome: &str| answer["outcome"] == outcome || answer[outcome] == 1;
            assert!(counts(if place == 0 { "posted" } else { "evidence" }), "{first} {place}: {answer}");
        }
        assert_eq!(entries(&service).len(), 1);
    }
}

/// A program names itself to OpenRouter by `X-Title` and `HTTP-Referer`. Both come back, and the title goes before the address.
#[test]
fn a_programs_title_or_else_its_address_is_the_app() {
    let (_database, service) = started();
    let (title, address, origin) = ("The IDE", "https://ide.example.com/", "https://plain.example.com/");
    let broadcasts = [
        (json!({"app.title": title}), Some(title)),
        (json!({"trace.metadata.openrouter_generation.app.title": title}), Some(title)),
        (json!({"http_referer": address}), Some(address)),
        (json!({"HTTP-Referer": address}), Some(address)),
        (json!({"http_referer": address, "app.title": title}), Some(title)),
        // The service that sends is OpenRouter, and no program.
        (json!({}), None),
    ];
    let records = [
        (json!({"app_title": title, "http_referer": address, "origin": origin}), Some(title)),
        (json!({"http_referer": address, "origin": origin}), Some(address)),
        (json!({"app_title": null, "http_referer": null, "origin": origin}), Some(origin)),
        (json!({"origin": ""}), None),
    ];
    let mut number = 0;
    let mut app_of = |source: &str, write: &dyn Fn(&str) -> Value| {
        number += 1;
        let id = format!("gen-app-{number}");
        let answer = service.post("/v1/ingest/openrouter", write(&id).to_string());
        assert!(answer.status < 300, "{}", answer.text());
        let event = service.get(&format!("/v1/events/{source}/{id}")).json();
        event["event"]["app"].as_str().map(str::to_owned)
    };
    for (more, app) in &broadcasts {
        let found = app_of("openrouter", &|id| {
            let mut of = json!({"span.type": "generation", "gen_ai.response.id": id, "gen_ai.response.model": "openai/gpt-4o",
                                "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.total_cost": 0.0025});
            of.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            export(json!({"service.name": "openrouter"}), &[span(1, "LLM Generation", of)])
        });
        assert_eq!(found.as_deref(), *app, "{more}");
    }
    for (more, app) in &records {
        let found = app_of("openrouter-generation", &|id| {
            let mut of = json!({"id": id, "created_at": "2026-10-01T00:00:00Z", "model": "openai/gpt-4o", "total_cost": 0.0025,
                                "is_byok": false, "native_tokens_prompt": 1000, "native_tokens_completion": 0});
            of.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"data": of})
        });
        assert_eq!(found.as_deref(), *app, "{more}");
    }
    let spend = service.get("/v1/reports/spend?group_by=app").json();
    let rows = spend["rows"].as_array().unwrap();
    let of_app = |app: &str| rows.iter().find(|row| row["app"] == app).map(|row| row["amount"].as_str().unwrap().to_owned());
    // Four calls under the title, three under the address, one under the origin, each of 0.0025.
    assert_eq!([of_app(title), of_app(address), of_app(origin)].map(Option::unwrap), ["0.01", "0.0075", "0.0025"]);
}

#[test]
fn a_langfuse_generation_is_charged_when_its_parts_are_there_in_whichever_order() {
    let create = json!({"id": "e1", "type": "generation-create", "timestamp": "2026-10-01T00:00:00Z", "body": {"id": "g1", "traceId": "t1",
        "startTime": "2026-10-01T00:00:00Z", "model": "gpt-4o", "metadata": {"provider": "openai", "team": "search"}}});
    let update = json!({"id": "e2", "type": "generation-update", "timestamp": "2026-10-01T00:00:05Z", "body": {"id": "g1",
        "endTime": "2026-10-01T00:00:04Z", "usage": {"input": 1000, "output": 100, "unit": "TOKENS"}}});
    let trace =
        json!({"id": "e0", "type": "trace-create", "timestamp": "2026-10-01T00:00:00Z", "body": {"id": "t1", "userId": "ann"}});
    let broken =
        json!({"id": "e9", "type": "generation-create", "timestamp": "2026-10-01T00:00:00Z", "body": {"model": "gpt-4o"}});
    let basic = "Basic ".to_owned();
    let orders: [Vec<Vec<&Value>>; 4] = [
        vec![vec![&trace, &create, &update, &broken]],
        vec![vec![&update, &create]],
        vec![vec![&create], vec![&update]],
        vec![vec![&update], vec![&create, &create]],
    ];
    for batches in orders {
        let (_database, service) = started();
        let password = format!("{basic}{}", base64_of(&format!("pk-lf-anything:{}", service.key)));
        for batch in batches {
            let request = service.request("POST", "/api/public/ingestion").header("Authorization", &password);
            let answer = service.send(request.body(json!({"batch": batch, "metadata": {}}).to_string()));
            assert_eq!(answer.status, 207);
            let (sent, broken) = (batch.len(), batch.iter().filter(|part| part["id"] == "e9").count());
            assert_eq!(answer.json()["successes"].as_array().unwrap().len(), sent - broken);
            assert_eq!(answer.json()["successes"][0], json!({"id": batch[0]["id"], "status": 201}));
            if broken > 0 {
                assert_eq!(answer.json()["errors"], json!([{"id": "e9", "status": 400, "message": "body.id: missing"}]));
            }
        }
        let entries = entries(&service);
        // 1,000 at 2.5 and 100 at 10.
        assert_eq!(entries.iter().map(|entry| entry["amount"].as_str().unwrap()).collect::<Vec<_>>(), ["0.0035"]);
        assert_eq!(entries[0]["team"], "search");
    }
}

fn base64_of(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = text.as_bytes().chunks(3).map(|group| {
        let bits = group.iter().chain([0, 0].iter()).take(3).fold(0_u32, |bits, byte| bits * 256 + u32::from(*byte));
        let digit =
            |place: usize| if place <= group.len() { DIGITS[(bits >> (18 - 6 * place)) as usize % 64] as char } else { '=' };
        (0..4).map(digit).collect::<String>()
    });
    groups.collect()
}

#[test]
fn openmeters_clients_are_answered_by_nothing() {
    let (_database, service) = started();
    let event = |id: &str, model: &str| {
        json!({"specversion": "1.0", "id": id, "source": "litellm-proxy", "type": "litellm_tokens", "subject": "ann", "time": "2026-10-01T00:00:00Z",
               "data": {"model": model, "cost": 0.5, "prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}})
    };
    let send = |content_type: &str, body: Value| {
        let request = service.request("POST", "/api/v1/events").header("Content-Type", content_type);
        service.send(request.body(body.to_string())).status
    };
    assert_eq!(send("application/cloudevents+json", event("a", "openai/gpt-4o-mini")), 204);
    assert_eq!(
        send("application/cloudevents-batch+json", json!([event("a", "openai/gpt-4o-mini"), event("b", "nobody-knows")])),
        204
    );
    assert_eq!(send("application/json", json!([{"id": "c"}, event("d", "openai/gpt-4o-mini")])), 204);
    assert_eq!(send("application/json", json!({"id": "c"})), 422);
    assert_eq!(entries(&service).len(), 2);
    let held = service.get("/v1/held").json();
    assert_eq!((held["items"][0]["id"].clone(), held["items"][0]["reason"].clone()), (json!("b"), json!("no_rate_card")));
    let charged = service.get("/v1/events/litellm-proxy/a").json();
    assert_eq!((charged["event"]["user"].clone(), charged["entries"][0]["amount"].clone()), (json!("ann"), json!("0.00027")));
}

/// Helicone's own logger writes an empty `meta`, and what it knows of the caller into headers.
#[test]
fn the_headers_of_a_helicone_log_say_whose_it_is() {
    let (_database, service) = started();
    let log = json!({"providerRequest": {"url": "custom-model-nopath", "json": {"model": "gpt-4o"}, "meta": {}},
        "providerResponse": {"status": 200, "headers": {}, "json": {}, "textBody": r#"{"usage":{"prompt_tokens":1000,"completion_tokens":100}}"#},
        "timing": {"startTime": {"seconds": 1_790_812_800, "milliseconds": 250}, "endTime": {"seconds": 1_790_812_801, "milliseconds": 0}}});
    let mut request = service.request("POST", "/custom/v1/log").header("Content-Type", "application/json");
    for (name, value) in [
        ("Helicone-User-Id", "ann"),
        ("Helicone-Session-Id", "s1"),
        ("Helicone-Request-Id", "r1"),
        ("Helicone-Property-Team", "search"),
        ("Helicone-Property-Plan", "pro"),
        ("Helicone-Property-Token", "canary"),
        ("Helicone-Auth", "Bearer canary"),
    ] {
        request = request.header(name, value);
    }
    assert_eq!(service.send(request.body(log.to_string().as_bytes())).status, 200);
    let event = service.get("/v1/events/helicone/r1").json()["event"].clone();
    assert_eq!(
        [&event["user"], &event["session"], &event["team"], &event["labels"]["plan"]],
        [&json!("ann"), &json!("s1"), &json!("search"), &json!("pro")]
    );
    assert!(!event.to_string().contains("canary"), "{event}");
    assert_eq!(entries(&service)[0]["amount"], "0.0035");
}

#[test]
fn a_helicone_log_has_a_name_of_its_own_where_nobody_gave_it_one() {
    let (_database, service) = started();
    let log = json!({"providerRequest": {"url": "https://api.openai.com/v1/chat/completions", "json": {"model": "gpt-4o", "messages": []},
            "meta": {"Helicone-User-Id": "ann", "Helicone-Session-Id": "s1", "Helicone-Property-Team": "search", "Helicone-Property-Plan": "pro", "Helicone-Auth": "Bearer x"}},
        "providerResponse": {"status": 200, "headers": {}, "json": {"model": "gpt-4o", "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}}},
        "timing": {"startTime": {"seconds": 1_790_812_800, "milliseconds": 250}, "endTime": {"seconds": 1_790_812_801, "milliseconds": 0}}});
    for _ in 0..2 {
        assert_eq!(service.post("/custom/v1/log", log.to_string()).status, 200);
    }
    let mut refused = log.clone();
    refused["providerResponse"] = json!({"status": 429, "headers": {}, "json": {"error": {"message": "slow down"}}});
    assert_eq!(service.post("/custom/v1/log", refused.to_string()).status, 200);
    let entries = entries(&service);
    assert_eq!(entries.iter().map(|entry| entry["amount"].as_str().unwrap()).collect::<Vec<_>>(), ["0.0035", "0"]);
    let id = entries[0]["event"]["id"].as_str().unwrap();
    assert!(id.starts_with("log-") && id.len() == 28, "{id}");
    let event = service.get(&format!("/v1/events/helicone/{id}")).json()["event"].clone();
    assert_eq!(
        (event["user"].clone(), event["team"].clone(), event["session"].clone()),
        (json!("ann"), json!("search"), json!("s1"))
    );
    assert_eq!(
        (event["labels"].clone(), event["occurred_at"].clone()),
        (json!({"Plan": "pro"}), json!("2026-10-01T00:00:00.250Z"))
    );
    // Another answer at the same moment, with the same counts.
    let mut other = log.clone();
    other["providerResponse"]["json"]["choices"] = json!([]);
    assert_eq!(service.post("/custom/v1/log", other.to_string()).status, 200);
    assert_eq!(service.post("/custom/v1/log", other.to_string()).status, 200);
    assert_eq!(self::entries(&service).len(), 3);
    assert_eq!(service.post("/custom/v1/log", "{}").status, 422);
}

const CANARY: &str = "canary-7f3a9c-never-store-this";

/// Puts what people wrote into everything that is sent, under each name that is known for it; counts are left alone.
fn with_content(sent: &mut Value) {
    const NAMES: [&str; 16] = [
        "messages",
        "prompt",
        "completion",
        "input",
        "output",
        "content",
        "text",
        "system",
        "question",
        "instructions",
        "arguments",
        "tool_calls",
        "thinking",
        "error_message",
        "Content",
        "x-api-key",
    ];
    match sent {
        Value::Object(fields) => {
            let inside = fields.iter_mut().filter(|(name, _)| !name.to_lowercase().contains("usage"));
            inside.for_each(|(_, value)| with_content(value));
            for name in NAMES {
                fields.entry(name).or_insert_with(|| json!(CANARY));
            }
            fields
                .entry("choices")
                .or_insert_with(|| json!([{"message": {"role": "assistant", "content": CANARY}, "text": CANARY}]));
            fields
                .entry("request")
                .or_insert_with(|| json!({"body": {"messages": [{"role": "user", "content": CANARY}]}, "said": CANARY}));
        }
        Value::Array(parts) => parts.iter_mut().for_each(with_content),
        _ => {}
    }
}

/// What the gateways' pages show, and what is written in our own words: a name for each kind, and what makes it that kind.
fn of_the_gateways(kind: &str) -> Vec<(Dialect, Value)> {
    let native = json!({"id": "x", "source": "s", "provider": "openai", "model": "gpt-4o", "usage": {"input": 10}});
    let cloud = json!({"specversion": "1.0", "id": "x", "source": "cloud", "type": "t", "data": {"provider": "openai", "model": "gpt-4o",
                       "usage": {"input": 10}}});
    let of_page = |page: &str| pages::samples(page).remove(0);
    type Places = &'static [&'static str];
    // Where its names, its models and a count stand.
    let all: [(Dialect, Value, Places, Places, Places); 9] = [
        (Dialect::Native, native, &["/id"], &["/model"], &["/usage/input"]),
        (Dialect::CloudEvents, cloud, &["/id"], &["/data/model"], &["/data/usage/input"]),
        (
            Dialect::Litellm,
            of_page("litellm"),
            &["/id", "/litellm_call_id"],
            &["/model", "/response/model"],
            &["/metadata/usage_object/prompt_tokens"],
        ),
        (Dialect::Omnia, of_page("omnia"), &["/id"], &["/model"], &["/inputTokens"]),
        (Dialect::Promptkit, of_page("promptkit"), &["/execution_id", "/session_id"], &["/data/Model"], &["/data/InputTokens"]),
        (Dialect::Pai, of_page("pai"), &["/event_id"], &["/requested_model"], &["/usage/prompt_tokens"]),
        (Dialect::Oceans, of_page("oceans"), &["/request_id"], &["/upstream_model"], &["/prompt_tokens"]),
        (
            Dialect::LlmProxy,
            of_page("llm-proxy"),
            &["/records/0/id"],
            &["/records/0/model"],
            &["/records/0/backend_reported_usage/prompt_tokens"],
        ),
        (
            Dialect::Keeptrusts,
            of_page("keeptrusts"),
            &["/event_id", "/request_id", "/payload/metadata/request_id"],
            &["/payload/model"],
            &["/payload/prompt_tokens"],
        ),
    ];
    let written = all.map(|(dialect, mut sent, names, models, counts)| {
        let mut set =
            |places: &[&str], value: Value| places.iter().for_each(|place| *sent.pointer_mut(place).unwrap() = value.clone());
        set(names, json!(format!("{}-{kind}", dialect.name())));
        match kind {
            "held" => set(models, json!("openrouter/nobody/knows-it")),
            "rejected" => set(counts, json!(-1)),
            // No total is this much.
            "contradictory" => set(counts, json!(1)),
            _ => {}
        }
        if dialect == Dialect::Litellm {
            as_the_stock_callback(&mut sent);
        }
        with_content(&mut sent);
        (dialect, sent)
    });
    written.into()
}

/// What LiteLLM's own callback sends along: the conversation, and what its guardrails, tools and errors quote of it.
fn as_the_stock_callback(sent: &mut Value) {
    let more = json!({
        "messages": [{"role": "user", "content": CANARY}, {"role": "user", "content": [{"type": "text", "text": CANARY}]}],
        "error_str": format!("BadRequestError: {CANARY}"),
        "error_information": {"error_class": "", "error_code": "", "error_message": CANARY, "traceback": format!("raised at {CANARY}")},
        "guardrail_information": [{"guardrail_name": "pii", "guardrail_request": {"said": CANARY}, "guardrail_response": CANARY}],
        "model_parameters": {"user": "ann", "stop": CANARY, "tools": [{"function": {"description": CANARY}}]},
        "hidden_params": {"additional_headers": {"llm_provider-x-echo": CANARY}},
    });
    sent.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let more = json!({
        "requester_metadata": {"prompt": CANARY, "messages": [CANARY], "ticket": "t-812"},
        "spend_logs_metadata": {"last_message": CANARY, "api_key": CANARY},
        "prompt_management_metadata": {"prompt_id": "p", "prompt_variables": {"city": CANARY}},
        "mcp_tool_call_metadata": {"name": "search", "arguments": {"city": CANARY}, "result": {"city": CANARY}},
        "vector_store_request_metadata": [{"query": CANARY, "vector_store_search_response": {"search_query": CANARY, "found": [CANARY]}}],
        "requester_custom_headers": {"x-said": CANARY},
    });
    sent["metadata"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let response =
        json!({"choices": [{"message": {"role": "assistant", "content": CANARY, "reasoning_content": CANARY}}], "said": CANARY});
    sent["response"].as_object_mut().unwrap().extend(response.as_object().unwrap().clone());
}

/// Every dialect with what people wrote in all places that are known for it, as something posted, held and rejected.
#[test]
fn what_people_wrote_is_nowhere() {
    let (database, service) = started();
    let spans = |more: Value| {
        let content = [
            "gen_ai.prompt",
            "gen_ai.completion",
            "gen_ai.input.messages",
            "gen_ai.output.messages",
            "gen_ai.system_instructions",
            "gen_ai.prompt.0.content",
            "gen_ai.tool.call.arguments",
            "input.value",
            "output.value",
            "llm.input_messages.0.message.content",
            "ai.prompt",
            "ai.prompt.messages",
            "ai.response.text",
            "ai.response.toolCalls",
            "ai.telemetry.metadata.prompt",
            "ai.telemetry.metadata.prompt.v1",
            "ai.telemetry.metadata.input.text",
            "ai.telemetry.metadata.cookie",
            "langfuse.trace.metadata.access_token",
            "trace.metadata.http.bearer",
            "traceloop.association.properties.db.password",
            "trace.input",
            "trace.output",
            "span.input",
            "span.output",
            "trace.metadata.question",
            "langfuse.observation.input",
            "langfuse.observation.output",
            "langfuse.trace.input",
            "langfuse.trace.metadata.prompt",
            "langfuse.observation.status_message",
            "exception.message",
            "exception.stacktrace",
            "db.statement",
        ];
        let mut of = more.as_object().unwrap().clone();
        of.extend(content.map(|name| (name.to_owned(), json!(CANARY))));
        of.insert(
            "metadata".to_owned(),
            json!(json!({"prompt": CANARY, "messages": [CANARY], "input.text": CANARY, "cookie": CANARY}).to_string()),
        );
        of.insert("ai.response.providerMetadata".to_owned(), json!(json!({"openai": {"text": CANARY}}).to_string()));
        of.insert("langfuse.trace.tags".to_owned(), json!(["ok"]));
        Value::Object(of)
    };
    let genai = json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"});
    let langfuse = json!({"langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-4o", "gen_ai.system": "openai"});
    let openrouter = json!({"span.type": "generation", "gen_ai.response.model": "openai/gpt-4o", "trace.metadata.openrouter.x": CANARY, "trace.metadata.openrouter_generation.upstream_raw_response_usage": CANARY});
    let mut number = 0;
    for (kind, count) in [("posted", json!(10)), ("held", Value::Null), ("rejected", json!(-1)), ("contradictory", json!(5))] {
        for words in [&genai, &langfuse, &openrouter] {
            number += 1;
            let mut of = words.clone();
            of["gen_ai.response.id"] = json!(format!("{kind}-{number}"));
            if !count.is_null() {
                of["gen_ai.usage.input_tokens"] = count.clone();
                of["gen_ai.usage.input_tokens.cached"] = json!(if kind == "contradictory" { 9 } else { 0 });
            }
            let mut span = span(number, "chat", spans(of));
            span["status"] = json!({"code": 2, "message": CANARY});
            span["events"] = json!([{"name": CANARY, "attributes": [attribute("gen_ai.message.content", &json!(CANARY))]}]);
            let mut body =
                export(json!({"service.name": "ide", "process.command_args": [CANARY], "process.command_line": CANARY}), &[span]);
            service.post("/v1/traces", body.to_string());
            post_protobuf(&service, "/v1/traces", &protobuf::export(&body));
            // A structure that is none, with content where it should be.
            body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"] = json!(CANARY);
            service.post("/v1/traces", body.to_string());
            service.post("/v1/traces", json!({"resourceSpans": CANARY}).to_string());
        }
        let usage = json!({"prompt_tokens": count, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": if kind == "contradictory" { 9 } else { 0 }},
                           "prompt": CANARY});
        let answer = json!({"id": format!("gen-{kind}"), "model": "openai/gpt-4o", "usage": usage, "choices": [{"message": {"content": CANARY},
            "finish_reason": "stop"}], "output": [{"content": CANARY}], "content": [{"text": CANARY}], "error": {"message": CANARY},
            "metadata": {"prompt": CANARY, "note": "fine"}});
        service.post("/v1/ingest/openrouter", answer.to_string());
        let body = json!({"id": format!("g-{kind}"), "model": "gpt-4o", "name": CANARY, "input": CANARY, "output": {"text": CANARY}, "statusMessage": CANARY,
            "modelParameters": {"system": CANARY}, "metadata": {"prompt": CANARY, "prompt.v1": CANARY, "token": CANARY}, "usageDetails": {"input": count, "input_smells": if kind == "contradictory" { 9 } else { 0 }}});
        let part = json!({"id": "e", "type": "generation-create", "timestamp": "2026-10-01T00:00:00Z", "body": body});
        service.post("/api/public/ingestion", json!({"batch": [part], "metadata": {"prompt": CANARY}}).to_string());
        let cloud = json!({"specversion": "1.0", "id": format!("c-{kind}"), "source": "app", "type": "prompt", "subject": "ann", "data": {"model": "gpt-4o",
            "provider": "openai", "prompt": CANARY, "completion": CANARY, "messages": [CANARY], "prompt_tokens": count,
            "prompt_tokens_details": {"cached_tokens": if kind == "contradictory" { 9 } else { 0 }}}});
        service.post("/api/v1/events", cloud.to_string());
        let log = json!({"providerRequest": {"url": format!("https://api.openai.com/v1/{kind}"), "json": {"model": "gpt-4o", "messages": [{"content": CANARY}]},
            "meta": {"Helicone-Property-Prompt": CANARY, "Helicone-Auth": CANARY}}, "providerResponse": {"status": 200, "json": answer, "headers": {"x": CANARY}},
            "timing": {"startTime": {"seconds": 1_790_812_800, "milliseconds": 0}}});
        service.post("/custom/v1/log", log.to_string());
        let mut text = log.clone();
        text["providerResponse"] =
            json!({"status": 200, "textBody": format!("data: {answer}\n\ndata: {CANARY}\n"), "headers": {}});
        text["providerRequest"]["meta"]["Helicone-Request-Id"] = json!(format!("r-{kind}"));
        service.post("/custom/v1/log", text.to_string());
    }
    for kind in ["posted", "held", "rejected", "contradictory"] {
        for (dialect, sent) in of_the_gateways(kind) {
            for body in [sent.to_string(), json!([sent]).to_string(), format!("{sent}\n{sent}\n{{\"prompt\":\"{CANARY}\",\n")] {
                service.post(&format!("/v1/ingest/{}", dialect.name()), body);
            }
        }
    }
    // It did arrive, each way and in every dialect: what is looked for below could have been stored.
    let metrics = service.get("/metrics").text();
    for dialect in Dialect::ALL.map(Dialect::name) {
        for outcome in ["posted", "held", "rejected"] {
            let counted = format!("farthing_events_total{{dialect=\"{dialect}\",outcome=\"{outcome}\"}} ");
            assert!(metrics.contains(&counted), "nothing in the words of {dialect} was {outcome}");
        }
    }
    let listed = service.get("/v1/rejected?limit=1000").json()["items"].as_array().unwrap().clone();
    let rejected: BTreeSet<&str> = listed.iter().filter_map(|body| body["dialect"].as_str()).collect();
    assert_eq!(rejected, Dialect::ALL.map(Dialect::name).into_iter().collect());
    service.post("/v1/rejected/retry", "");
    let log = service.log.clone();
    service.stop();
    assert!(!log.lock().unwrap().contains(CANARY), "in the log");
    for file in std::fs::read_dir(database.directory()).unwrap() {
        let file = file.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        let place = bytes.windows(CANARY.len()).position(|window| window == CANARY.as_bytes());
        let around = place.map(|place| String::from_utf8_lossy(&bytes[place.saturating_sub(300)..place + 60]).into_owned());
        assert!(place.is_none(), "in {}: {}", file.display(), around.unwrap_or_default());
    }
}
