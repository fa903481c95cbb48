//! What real clients send, over a real socket: trace exports, observations, CloudEvents and logs, each in its own words. The
//! numbers are worked out by hand; the prices are those of the shipped catalogs.

mod protobuf;

use crate::support::database::TestDatabase;
use crate::support::service::{Answer, Service};
use serde_json::{Value, json};

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
