//! The service over a real socket: what it answers, to whom, and what it keeps to itself. Every JSON answer is also held
//! against the service's description of itself.

use crate::support::database::{TestDatabase, block_on};
use crate::support::description::DESCRIPTION;
use crate::support::service::{Answer, Request, Service};
use farthing::flow::Farthing;
use farthing::flow::publish::CatalogFiles;
use farthing::id::Org;
use farthing::store::RejectedBody;
use farthing::time::Instant as Moment;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn event(id: &str) -> Value {
    json!({"id": id, "source": "gateway", "occurred_at": "2026-10-01T00:00:00Z", "provider": "openai", "model": "gpt-4o-mini",
           "usage": {"input": 1000, "output": 200}, "user": "ann", "team": "search"})
}

fn with(id: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut event = event(id);
    change(&mut event);
    event
}

fn started() -> (TestDatabase, Service) {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    (database, service)
}

#[test]
fn the_printed_line_works_as_printed() {
    let (_database, service) = started();
    let printed = service.printed.lock().unwrap().clone();
    for line in printed.lines().filter(|line| line.trim().starts_with("curl")) {
        let output = std::process::Command::new("sh").args(["-c", line]).output().unwrap();
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(answer.contains("\"posted\"") || answer.contains("gpt-4o-mini"), "{line}: {answer}");
    }
    assert_eq!(printed.matches("far_").count(), 3, "the key and two lines that use it");
    assert!(!service.log.lock().unwrap().contains("far_"), "a key in the log");
}

#[test]
fn one_event_is_answered_by_its_status() {
    let (_database, service) = started();
    let post = |event: &Value| service.post("/v1/events", event.to_string());
    let posted = post(&event("e1"));
    assert_eq!((posted.status, posted.json()["amount"].as_str()), (201, Some("0.00027")));
    assert_eq!((post(&event("e1")).status, post(&event("e1")).json()["outcome"].as_str()), (200, Some("already_present")));

    let held = post(&with("e2", |event| event["model"] = json!("nobody-knows")));
    assert_eq!((held.status, held.json()["reason"].as_str()), (202, Some("no_rate_card")));

    let conflict = post(&with("e1", |event| event["usage"]["output"] = json!(7)));
    assert_eq!((conflict.status, &conflict.json()["fields"]), (409, &json!(["output"])));
    assert_eq!(conflict.header("content-type"), Some("application/problem+json"));

    let rejected = post(&with("e3", |event| event["usage"]["input"] = json!(-5)));
    assert_eq!((rejected.status, rejected.json()["field"].as_str()), (422, Some("usage.input")));
    assert!(rejected.json()["hint"].is_string());
}

#[test]
fn many_events_are_answered_one_by_one() {
    let (_database, service) = started();
    let batch = json!([event("a"), event("a"), with("b", |event| event["model"] = json!("x")), {"id": "c"}, with("a", |event| event["user"] = json!("bo"))]);
    let answer = service.post("/v1/events", batch.to_string());
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    let outcomes: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|result| result["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["posted", "already_present", "held", "rejected", "conflict"]);
    for (count, expected) in
        [("received", 5), ("posted", 1), ("already_present", 1), ("held", 1), ("rejected", 1), ("conflict", 1), ("evidence", 0)]
    {
        assert_eq!(answer[count], expected, "{count}");
    }
    assert_eq!(answer["results"][3]["field"], "source");

    let problems = service.post("/v1/events?results=problems", json!([event("d"), {"id": "c"}]).to_string()).json();
    assert_eq!((problems["posted"].as_u64(), problems["results"].as_array().unwrap().len()), (Some(1), 1));
    let many: Vec<Value> = (0..1001).map(|n| event(&format!("many-{n}"))).collect();
    let many = service.post("/v1/events", Value::from(many).to_string()).json();
    assert_eq!((many["posted"].as_u64(), many["results"].as_array().unwrap().len()), (Some(1001), 0));
    assert_eq!(service.post("/v1/events", "[]").json()["received"], 0);
}

#[test]
fn lines_and_gzip_and_cloudevents_are_read() {
    let (_database, service) = started();
    let lines = format!("{}\n{{oops\n\n{}\n", event("l1"), event("l2"));
    let request = service.request("POST", "/v1/events").header("Content-Type", "application/x-ndjson");
    let answer = service.send(request.clone().body(&lines)).json();
    assert_eq!((answer["posted"].as_u64(), answer["rejected"].as_u64()), (Some(2), Some(1)));
    let broken = &answer["results"][1];
    assert_eq!((broken["line"].as_u64(), broken["field"].as_str()), (Some(2), Some("line 2")));

    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(event("z1").to_string().as_bytes()).unwrap();
    let zipped = zipped.finish().unwrap();
    let gzip = service.request("POST", "/v1/events").header("Content-Encoding", "gzip");
    assert_eq!(service.send(gzip.clone().body(&zipped)).status, 201);
    assert_eq!(service.send(gzip.body("not gzip")).status, 400);

    let mut data = event("unused");
    for field in ["id", "source", "occurred_at"] {
        data.as_object_mut().unwrap().remove(field);
    }
    let cloud = json!({"specversion": "1.0", "type": "usage", "id": "c1", "source": "cloud", "time": "2026-10-01T00:00:00Z", "data": data});
    let request = service.request("POST", "/v1/events");
    assert_eq!(
        service.send(request.clone().header("Content-Type", "application/cloudevents+json").body(cloud.to_string())).status,
        201
    );
    let batch =
        service.send(request.header("Content-Type", "application/cloudevents-batch+json").body(json!([cloud]).to_string()));
    assert_eq!(batch.json()["already_present"], 1);
    assert_eq!(service.get("/v1/events/cloud/c1").json()["entries"][0]["amount"], "0.00027");
}

#[test]
fn a_syntax_error_says_where_and_posts_nothing() {
    let (_database, service) = started();
    let broken = service.post("/v1/events", format!("[{},\n  {{\"id\": \"b\" \"x\"}}]", event("a")));
    assert_eq!(broken.status, 400);
    assert_eq!((broken.json()["line"].as_u64(), broken.json()["column"].as_u64()), (Some(2), Some(14)));
    assert_eq!(service.get("/v1/events/gateway/a").status, 404);
    assert_eq!(service.get("/v1/entries").json()["items"], json!([]));
}

/// Each of these is answered clearly, and the service goes on.
#[test]
fn bad_input_gets_an_answer_that_helps() {
    let (_database, service) = started();
    let rejected = |event: Value| service.post("/v1/events", event.to_string());
    let long = "x".repeat(600);
    for (change, field) in [
        (("usage", json!({"input": -1})), "usage.input"),
        (("usage", json!({"input": 1.5})), "usage.input"),
        (("usage", json!({"input": 1e30})), "usage.input"),
        (("usage", json!("many")), "usage"),
        (("usage", json!({"prompt_tokens": "lots"})), "usage.prompt_tokens"),
        (("occurred_at", json!("yesterday")), "occurred_at"),
        (("occurred_at", json!("1999-01-01T00:00:00Z")), "occurred_at"),
        (("occurred_at", json!("2999-01-01T00:00:00Z")), "occurred_at"),
        (("occurred_at", json!(1_790_000_000)), "occurred_at"),
        (("model", json!(7)), "model"),
        (("user", json!(long)), "user"),
        (("user", json!("a\u{0}b")), "user"),
        (("team", json!(["search"])), "team"),
        (("labels", json!({"a": {"b": 1}})), "labels.a"),
        (("outcome", json!("maybe")), "outcome"),
        (("calls", json!(0)), "calls"),
        (("estimated", json!("yes")), "estimated"),
        (("reported", json!({"amount": "1,50"})), "reported.amount"),
        (("reported", json!({"amount": "9".repeat(40)})), "reported.amount"),
        (("reported", json!({"amount": "1", "currency": "dollars"})), "reported.currency"),
        (("id", json!("")), "id"),
    ] {
        let answer = rejected(with("bad", |event| event[change.0] = change.1.clone()));
        assert_eq!((answer.status, answer.json()["field"].as_str()), (422, Some(field)), "{change:?}: {}", answer.text());
    }
    // Counts that contradict each other are an event, which is held.
    let contradiction = with("held", |event| {
        event["usage"] = json!({"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 11}});
    });
    assert_eq!(rejected(contradiction).json()["reason"], "contradictory_usage");

    let deep = "[".repeat(50_000) + &"]".repeat(50_000);
    assert_eq!(service.post("/v1/events", &deep).json()["rejected"], 1);
    let deep_inside = with("deep", |event| event["x"] = json!(1)).to_string().replace("\"x\":1", &format!("\"x\":{deep}"));
    assert_eq!(service.post("/v1/events", deep_inside).status, 201, "what is unknown is left out, however deep");
    assert_eq!(service.post("/v1/events", "").status, 400);
    assert_eq!(service.post("/v1/events", "7").status, 422);
    assert_eq!(service.post("/v1/events", b"{\"id\":\"\xff\"}").status, 400);
    let twice = "{\"id\":\"a\",\"id\":\"b\"}";
    assert_eq!(service.post("/v1/events", twice).json()["field"], "id");

    let strict = service.post("/v1/events?strict=true", with("strict", |event| event["colour"] = json!("red")).to_string());
    assert_eq!((strict.status, strict.json()["field"].as_str()), (422, Some("colour")));
    assert_eq!(service.post("/v1/events?results=some", event("a").to_string()).status, 400);
    assert_eq!(service.post("/v1/events?unknown=1", event("a").to_string()).json()["field"], "unknown");
    let xml = service.request("POST", "/v1/events").header("Content-Type", "text/xml").body("<event/>");
    assert_eq!(service.send(xml).status, 415);
    let brotli = service.request("POST", "/v1/events").header("Content-Encoding", "br").body("x");
    assert_eq!(service.send(brotli).status, 415);
    assert_eq!(service.post("/v1/events", event("good").to_string()).status, 201);
}

#[test]
fn bodies_over_the_limit_are_refused_before_they_fill_the_memory() {
    let (_database, service) = started();
    // It says that it is 100 MB, and none of it is read.
    let large = service.request("POST", "/v1/events").header("Content-Length", "104857600").body("[");
    assert_eq!(service.send(large).status, 413);

    // It says nothing and goes on for ever.
    let mut stream = TcpStream::connect(&service.address).unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        service.key
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    for _ in 0..100 {
        if stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");

    // It is small and becomes large.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..100 {
        bomb.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let request = service.request("POST", "/v1/events").header("Content-Encoding", "gzip").body(&bomb);
    assert_eq!(service.send(request).status, 413);

    // Many at once: each has to wait for room.
    let body = format!("[{}{}]", event("one"), " ".repeat(20 << 20));
    std::thread::scope(|scope| {
        for _ in 0..12 {
            let request = service.request("POST", "/v1/events").body(&body);
            scope.spawn(|| {
                let status = request.send(&service.address).status;
                assert!(matches!(status, 200 | 503), "{status}");
            });
        }
    });
    assert!(service.megabytes() < 400, "{} MB", service.megabytes());
    assert_eq!(service.post("/v1/events", event("after").to_string()).status, 201);
}

#[test]
fn a_key_opens_its_own_doors_only() {
    let (database, service) = started();
    assert_eq!(service.send(Request::new("GET", "/v1/entries")).status, 401);
    assert_eq!(service.send(Request::new("GET", "/v1/entries").key("far_0000000000000000_00")).status, 401);
    let tampered = service.key[..service.key.len() - 1].to_owned() + if service.key.ends_with('0') { "1" } else { "0" };
    assert_eq!(service.send(Request::new("GET", "/v1/entries").key(&tampered)).status, 401);

    let ingest = service.new_key(r#"{"scopes":["ingest"],"source":"gateway"}"#);
    let as_ingest = |method, path: &str| Request::new(method, path).key(&ingest);
    let own = with("own", |event| drop(event.as_object_mut().unwrap().remove("source")));
    assert_eq!(service.send(as_ingest("POST", "/v1/events").body(own.to_string())).status, 201);
    let other = with("other", |event| event["source"] = json!("somebody"));
    assert_eq!(service.send(as_ingest("POST", "/v1/events").body(other.to_string())).json()["field"], "source");
    assert_eq!(service.send(as_ingest("GET", "/v1/entries")).status, 403);
    assert_eq!(service.send(as_ingest("GET", "/v1/keys")).status, 403);

    let read = service.new_key(r#"{"scopes":["read"]}"#);
    assert_eq!(service.send(Request::new("GET", "/v1/entries").key(&read)).json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(service.send(Request::new("POST", "/v1/events").key(&read).body(event("x").to_string())).status, 403);

    // Another org sees nothing of this one.
    let farthing = env!("CARGO_BIN_EXE_farthing");
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(farthing).args(["--database", &database.url]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["orgs", "create", "beta"]);
    let beta = run(&["keys", "create", "--org", "beta", "--scope", "admin"]);
    let beta = |method, path: &str| Request::new(method, path).key(beta.trim());
    assert_eq!(service.send(beta("GET", "/v1/entries")).json()["items"], json!([]));
    assert_eq!(service.send(beta("GET", "/v1/events/gateway/own")).status, 404);
    assert_eq!(service.send(beta("GET", "/v1/reports/spend")).json()["rows"], json!([]));
    assert_eq!(service.send(beta("GET", "/v1/entries/1")).status, 404);
    assert_eq!(
        service.send(beta("POST", "/v1/events").body(own_source("own").to_string())).status,
        201,
        "the same id in another book"
    );
    assert_eq!(service.send(beta("GET", "/v1/keys")).json()["items"].as_array().unwrap().len(), 1);
}

fn own_source(id: &str) -> Value {
    event(id)
}

#[test]
fn a_teams_key_sees_that_team_and_nothing_else() {
    let (_database, service) = started();
    let batch =
        json!([event("s1"), with("l1", |event| event["team"] = json!("labs")), with("n1", |event| event["team"] = Value::Null)]);
    service.post("/v1/events", batch.to_string());
    let held = |id: &str, team: &str| {
        with(id, |event| {
            event["team"] = json!(team);
            event["model"] = json!("nobody-knows");
        })
    };
    assert_eq!(service.post("/v1/events", json!([held("h1", "labs"), held("h2", "search")]).to_string()).json()["held"], 2);
    let key = service.new_key(r#"{"scopes":["read"],"team":"labs"}"#);
    let get = |path: &str| service.send(Request::new("GET", path).key(&key));
    let entries = get("/v1/entries").json();
    assert_eq!(entries["items"].as_array().unwrap().len(), 1);
    assert_eq!(entries["items"][0]["team"], "labs");
    assert_eq!(get("/v1/reports/spend?group_by=team").json()["totals"][0]["amount"], "0.00027");
    assert_eq!(get("/v1/reports/spend?group_by=team&filter.team=search").json()["rows"], json!([]));
    for report in service.get("/v1/reports").json()["items"].as_array().unwrap() {
        let name = report["name"].as_str().unwrap();
        // What a time that has not ended will come to is another number a moment later.
        let until = if name == "month-to-date" { "2026-11-01" } else { "2100-01-01" };
        let path = format!("/v1/reports/{name}?from=2026-01-01&until={until}");
        let (own, whole) = (get(&path).json(), service.get(&path).json());
        assert_ne!(own["totals"], whole["totals"], "{path}");
        assert_eq!(own["totals"], service.get(&format!("{path}&filter.team=labs")).json()["totals"], "{path}");
        assert_eq!((&own["beside"], &own["occurred"]), (&json!({}), &Value::Null), "{path}");
    }
    assert_eq!(get("/v1/events/gateway/l1").status, 200);
    assert_eq!(get("/v1/events/gateway/s1").status, 404);
    assert_eq!(get("/v1/entries/1").status, 404);
    for path in ["/v1/held", "/v1/conflicts", "/v1/rejected", "/v1/verify"] {
        assert_eq!(get(path).status, 403, "{path}");
    }
}

#[test]
fn a_revoked_key_is_out_at_once() {
    let (_database, service) = started();
    let key = service.new_key(r#"{"scopes":["read"],"note":"for a while"}"#);
    assert_eq!(service.send(Request::new("GET", "/v1/entries").key(&key)).status, 200);
    let id = key.split('_').nth(1).unwrap();
    assert_eq!(service.send(service.request("DELETE", &format!("/v1/keys/{id}"))).status, 204);
    assert_eq!(service.send(Request::new("GET", "/v1/entries").key(&key)).status, 401);
    assert_eq!(service.send(service.request("DELETE", &format!("/v1/keys/{id}"))).status, 404);
    assert_eq!(service.post("/v1/keys", r#"{"scopes":["everything"]}"#).json()["field"], "scopes");
}

#[test]
fn what_waits_can_be_seen_and_decided() {
    let (_database, service) = started();
    service.post("/v1/events", json!([event("a"), with("h", |event| event["model"] = json!("x"))]).to_string());
    service.post("/v1/events", with("a", |event| event["usage"]["output"] = json!(100)).to_string());
    service.post("/v1/events", with("r", |event| event["usage"]["input"] = json!(-1)).to_string());

    let held = service.get("/v1/held?reason=no_rate_card").json();
    assert_eq!((held["items"][0]["id"].as_str(), held["items"].as_array().unwrap().len()), (Some("h"), 1));
    assert_eq!(service.get("/v1/held?reason=usage_missing").json()["items"], json!([]));
    assert_eq!(service.get("/v1/held?reason=boredom").status, 400);
    assert_eq!(service.post("/v1/held/retry", "").json(), json!({"tried": 1, "posted": 0, "still_held": 1}));

    let conflicts = service.get("/v1/conflicts").json();
    let conflict = conflicts["items"][0]["conflict"].as_str().unwrap();
    assert_eq!(conflicts["items"][0]["fields"], json!(["output"]));
    assert_eq!(service.post("/v1/conflicts/999/accept", "").status, 404);
    let accepted = service.post(&format!("/v1/conflicts/{conflict}/accept"), "").json();
    assert_eq!(accepted["entries"].as_array().unwrap().len(), 3);
    assert_eq!(service.post(&format!("/v1/conflicts/{conflict}/accept"), "").status, 409);
    assert_eq!(service.get("/v1/conflicts").json()["items"], json!([]));
    assert_eq!(service.get("/v1/conflicts?decided=true").json()["items"][0]["decision"]["accepted"], true);
    assert_eq!(service.get("/v1/reports/spend").json()["totals"][0]["amount"], "0.00021");

    let rejected = service.get("/v1/rejected").json();
    assert_eq!((rejected["items"][0]["id"].as_str(), rejected["items"][0]["field"].as_str()), (Some("r"), Some("usage.input")));
    assert_eq!(service.post("/v1/rejected/retry", "").json(), json!({"tried": 1, "accepted": 0, "still_rejected": 1}));
    let story = service.get("/v1/events/gateway/a").json();
    assert_eq!((story["entries"].as_array().unwrap().len(), story["revisions"].as_array().unwrap().len()), (3, 2));
    assert!(service.get("/v1/verify").json()["ok"].as_bool().unwrap());
}

/// Puts a body among the rejected, as a reader did that was less able than this one.
fn keep_as_rejected(database: &TestDatabase, id: &str, body: &Value) {
    let body = RejectedBody {
        rejected: id.to_owned(),
        dialect: "native".to_owned(),
        source: None,
        event_id: Some(id.to_owned()),
        field: "usage".to_owned(),
        detail: "is in words that nobody knew".to_owned(),
        body: Some(body.to_string()),
        size: 200,
        times: 1,
        received_at: Moment::parse("2026-10-01T00:00:01Z").unwrap(),
    };
    block_on(async {
        let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        farthing.store.keep_rejected(Org(1), &[body]).await.unwrap();
        farthing.store.close().await;
    });
}

#[test]
fn what_was_rejected_is_booked_once_when_its_reader_has_been_mended() {
    let (database, service) = started();
    let key = service.key.clone();
    let figures = |service: &Service| service.send(Request::new("GET", "/metrics").key(&key)).text();
    let waiting = |service: &Service| {
        let metrics = figures(service);
        let line = metrics.lines().find(|line| line.starts_with("farthing_waiting{") && line.contains("what=\"rejected\""));
        line.unwrap().rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let listed = |service: &Service| {
        let items = service.get("/v1/rejected").json()["items"].clone();
        items.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(waiting(&service), 0);
    keep_as_rejected(&database, "mended", &event("mended"));
    keep_as_rejected(&database, "not-mended", &with("not-mended", |event| event["usage"]["input"] = json!(-1)));
    assert_eq!((waiting(&service), listed(&service)), (2, vec!["mended".to_owned(), "not-mended".to_owned()]));

    let retry = || service.post("/v1/rejected/retry", "").json();
    assert_eq!(retry(), json!({"tried": 2, "accepted": 1, "still_rejected": 1}));
    assert_eq!((waiting(&service), listed(&service)), (1, vec!["not-mended".to_owned()]));
    let entries = || service.get("/v1/entries").json()["items"].clone();
    // 1,000 at 0.15 and 200 at 0.60 per million.
    assert_eq!((entries()[0]["amount"].as_str(), entries().as_array().unwrap().len()), (Some("0.00027"), 1));
    assert_eq!(service.get("/v1/events/gateway/mended").json()["event"]["team"], "search");
    assert_eq!(retry(), json!({"tried": 1, "accepted": 0, "still_rejected": 1}));
    // What its sender has sent again meanwhile is booked by then, and stays booked once.
    keep_as_rejected(&database, "mended", &event("mended"));
    assert_eq!(retry(), json!({"tried": 2, "accepted": 1, "still_rejected": 1}));
    assert_eq!((entries().as_array().unwrap().len(), waiting(&service)), (1, 1));

    // The same by the command line.
    keep_as_rejected(&database, "later", &event("later"));
    assert_eq!(waiting(&service), 2);
    service.stop();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_farthing"));
    let command = command.args(["rejected", "retry"]).env("DATABASE_URL", &database.url);
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert_eq!(said, "2 tried, 1 accepted, 1 still rejected\n");
    let service = Service::start(&database);
    assert_eq!(waiting(&service), 1);
    let metrics = figures(&service);
    assert!(metrics.contains("farthing_book_entries{org=\"main\"} 2\n"), "{metrics}");
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition() {
    let (_database, service) = started();
    let batch: Vec<Value> = (0..25).map(|n| event(&format!("p{n}"))).collect();
    service.post("/v1/events", Value::from(batch).to_string());
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = service.get(&format!("/v1/entries?limit=10{cursor}")).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["entry"].as_str().unwrap().parse::<u32>().unwrap()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (1..=25).collect::<Vec<_>>());
    assert_eq!(service.get("/v1/entries?limit=0").json()["field"], "limit");
    assert_eq!(service.get("/v1/entries?cursor=x").json()["field"], "cursor");
    assert_eq!(service.get("/v1/entries?from=2026-11-01").json()["items"], json!([]));
}

#[test]
fn what_has_no_amount_yet_is_a_report_of_its_own() {
    let (_database, service) = started();
    let unknown = |id: &str, team: &str| {
        with(id, |event| {
            event["model"] = json!("nobody-knows");
            event["team"] = json!(team);
        })
    };
    let missing = with("m", |event| {
        event["outcome"] = json!("failed");
        event.as_object_mut().unwrap().remove("usage");
    });
    let events = json!([event("e"), unknown("a", "search"), unknown("b", "labs"), missing]);
    assert_eq!(service.post("/v1/events", events.to_string()).json()["held"], 3);
    let rows = |path: &str| service.get(path).json()["rows"].clone();
    let held = rows("/v1/reports/held");
    assert_eq!(
        held[0],
        json!({"reason": "no_rate_card", "provider": "openai", "model": "nobody-knows", "calls": 2, "tokens": 2400, "users": 1})
    );
    assert_eq!((held.as_array().unwrap().len(), held[1]["calls"].as_i64()), (2, Some(1)));
    let of_labs = rows("/v1/reports/held?group_by=team,day&filter.team=labs&filter.reason=no_rate_card");
    assert_eq!(of_labs, json!([{"team": "labs", "day": "2026-10-01", "calls": 1, "tokens": 1200, "users": 1}]));
    assert_eq!(rows("/v1/reports/held?until=2026-01-01"), json!([]));
    for (wrong, field) in
        [("of=held&show=amount", "show"), ("of=held&group_by=card", "group_by"), ("group_by=reason", "group_by"), ("of=x", "of")]
    {
        let answer = service.get(&format!("/v1/reports/spend?{wrong}"));
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some(field)), "{wrong}: {}", answer.text());
    }
    let key = service.new_key(r#"{"scopes":["read"],"team":"labs"}"#);
    let theirs = service.send(Request::new("GET", "/v1/reports/held?group_by=team").key(&key));
    assert_eq!(theirs.json()["rows"], json!([{"team": "labs", "calls": 1, "tokens": 1200, "users": 1}]));
}

/// gpt-4o-mini reads a cache at 0.075 per million, and plain input at 0.15.
#[test]
fn what_caching_saved_is_told_beside_what_it_cost() {
    let (_database, service) = started();
    let cached = with("c", |event| event["usage"] = json!({"input": 1, "cache_read": 8_000_000, "output": 10}));
    let cached_whole = with("w", |event| event["usage"] = json!({"cache_read": 1_000_000}));
    let events = json!([event("e"), cached, cached_whole]);
    assert_eq!(service.post("/v1/events", events.to_string()).json()["posted"], 3);
    let row = service.get("/v1/reports/cache-savings?range=2026-10").json()["rows"][0].clone();
    // 8 M x (0.15 - 0.075); of the call that had no plain input nothing is said.
    assert_eq!((row["cache_savings"].as_str(), row["calls"].as_i64()), (Some("0.6"), Some(3)), "{row}");
    let cards = service.get("/v1/reports/price-changes?range=2026-10").json()["rows"].clone();
    let card = cards[0]["card"].as_str().unwrap();
    assert!(card.contains("gpt-4o-mini"), "{cards}");
    let of_card = service.get(&format!("/v1/reports/spend?group_by=model&filter.card={card}")).json();
    assert_eq!(of_card["rows"][0]["calls"], 3, "{of_card}");
}

#[test]
fn reports_are_asked_and_answered_in_the_askers_terms() {
    let (_database, service) = started();
    service.post("/v1/events", json!([event("a"), with("b", |event| event["user"] = json!("=SUM(A1)"))]).to_string());
    let spend = service.get("/v1/reports/spend?group_by=user,model").json();
    assert_eq!(spend["rows"].as_array().unwrap().len(), 2);
    assert_eq!(spend["totals"], json!([{"currency": "USD", "amount": "0.00054", "calls": 2}]));
    let csv = service.get("/v1/reports/spend?group_by=user&format=csv").text();
    assert!(csv.contains("'=SUM(A1),0.00027,USD,1\r\n"), "{csv}");
    let wrong = service.get("/v1/reports/spend?group_by=colour").json();
    assert!(wrong["detail"].as_str().unwrap().contains("known are hour, day"));
    let backwards = service.get("/v1/reports/spend?from=2026-02-01&until=2026-01-01");
    assert_eq!((backwards.status, backwards.json()["field"].as_str()), (400, Some("until")));
    for path in ["/v1/exports/entries", "/v1/exports/focus", "/v1/reports/spend"] {
        for (range, why) in [
            (
                "from=2026-02-02&until=2026-02-01",
                "the range ends (2026-02-01T00:00:00Z) before it begins (2026-02-02T00:00:00Z); turn it around",
            ),
            ("from=2026-02-02&until=2026-02-02", "the range ends where it begins (2026-02-02T00:00:00Z)"),
        ] {
            let refused = service.get(&format!("{path}?{range}"));
            let said = refused.json();
            assert_eq!((refused.status, said["field"].as_str()), (400, Some("until")), "{path} {said}");
            assert!(said["detail"].as_str().unwrap().contains(why), "{path}: {said}");
        }
    }
    let rows = |query: &str| service.get(&format!("/v1/reports/spend?{query}")).json()["rows"].clone();
    let by_meter = json!([{"meter": "input", "amount": "0.0003", "currency": "USD", "quantity": 2000},
                          {"meter": "output", "amount": "0.00024", "currency": "USD", "quantity": 400}]);
    assert_eq!(rows("group_by=meter"), by_meter);
    let top = rows("group_by=user&top=1&show=amount,share");
    assert_eq!(top[1], json!({"user": "ann", "amount": "0.00027", "currency": "USD", "share": "50.00", "groups": 1}));
    assert_eq!(rows("group_by=day&range=2026-10-01&tz=Asia/Kolkata")[0]["day"], "2026-10-01");
    assert_eq!(rows("range=2026-02&compare=previous&group_by=user"), json!([]));
    let none = service.get("/v1/reports/spend?range=2020-01").json();
    assert_eq!((&none["rows"], &none["occurred"]["first"]), (&json!([]), &json!("2026-10-01T00:00:00Z")));
    assert_eq!(service.get("/v1/reports/spend?as_of=block:0").json()["rows"], json!([]));
    assert_eq!(service.get("/v1/reports/users-models?range=2026-10").json()["rows"][0]["share"], "50.00");
    let unknown = service.get("/v1/reports/users");
    assert_eq!(unknown.status, 404);
    assert!(unknown.json()["detail"].as_str().unwrap().contains("known are spend, apps"));
    for (wrong, field) in [
        ("show=cost", "show"),
        ("group_by=meter&show=calls", "show"),
        ("range=soon", "range"),
        ("top=0", "top"),
        ("compare=previous", "compare"),
        ("clock=wall", "clock"),
        ("as_of=block:x", "as_of"),
        ("colour=red", "colour"),
    ] {
        let answer = service.get(&format!("/v1/reports/spend?{wrong}"));
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some(field)), "{wrong}");
    }
    assert_eq!(service.get("/v1/reports/spend?tz=Mars/Olympus").json()["field"], "tz");
    assert_eq!(service.get("/v1/reports/spend?format=xls").json()["field"], "format");
}

#[test]
fn a_sheet_is_a_page_that_can_be_sent() {
    let (_database, service) = started();
    let batch = json!([
        event("s1"),
        with("s2", |event| event["user"] = json!("<b>bo</b>")),
        with("l1", |event| event["team"] = json!("labs"))
    ]);
    service.post("/v1/events", batch.to_string());
    let answer = service.get("/v1/sheets?month=2026-10&team=search");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let page = answer.text();
    for said in
        ["<h1>LLM usage of team search</h1>", "2026-10, days of UTC", "<td>gpt-4o-mini</td>", ">0.00054</td>", "up to block 1."]
    {
        assert!(page.contains(said), "{said} is not in {page}");
    }
    assert!(!page.contains("Corrections"), "nothing was corrected");
    let csv = service.get("/v1/sheets?month=2026-10&team=search&format=csv").text();
    assert_eq!(
        csv,
        "line,provider,model,calls,tokens,entries,amount,currency\r\n\
         model,openai,gpt-4o-mini,2,2400,,0.00054,USD\r\n\
         total,,,2,2400,,0.00054,USD\r\n"
    );
    let of_a_user = service.get("/v1/sheets?month=2026-10&user=%3Cb%3Ebo%3C%2Fb%3E").text();
    assert!(of_a_user.contains("usage of user &lt;b&gt;bo&lt;/b&gt;") && !of_a_user.contains("<b>"), "{of_a_user}");
    assert!(service.get("/v1/sheets?month=2026-09&team=search").text().contains("Nothing was charged."));

    let key = service.new_key(r#"{"scopes":["read"],"team":"labs"}"#);
    let own = |path: &str| service.send(Request::new("GET", path).key(&key)).text();
    assert!(own("/v1/sheets?month=2026-10").contains(">0.00027</td>"));
    assert!(own("/v1/sheets?month=2026-10&team=search").contains("Nothing was charged."));
    for (wrong, field) in [
        ("team=a", "month"),
        ("month=2026-10", "team"),
        ("month=2026-10&team=a&tz=x", "tz"),
        ("month=2026-10&team=a&format=pdf", "format"),
    ] {
        assert_eq!(service.get(&format!("/v1/sheets?{wrong}")).json()["field"], field, "{wrong}");
    }
    assert_eq!(service.get("/v1/sheets?month=October&team=a").status, 409);
}

#[test]
fn a_sheet_has_its_totals_and_corrections_as_a_page_and_as_csv() {
    let (_database, service) = started();
    let larger = with("s2", |event| event["model"] = json!("gpt-4o"));
    service.post("/v1/events", json!([event("s1"), larger]).to_string());
    let contract =
        "provider: openai\noverrides:\n  - {kind: contract, model: gpt-4o, input_per_1m: \"1.25\", output_per_1m: \"5\"}\n";
    let publish =
        service.request("POST", "/v1/catalog/versions?accept=true&note=contract").header("Content-Type", "application/yaml");
    let published = service.send(publish.body(contract));
    assert_eq!(published.status, 201, "{}", published.text());
    assert_eq!(service.post("/v1/rerate?dry_run=false&reason=contract", "").status, 200);

    // 0.0025 and 0.002 were charged at first, then the half of both.
    let csv = service.get("/v1/sheets?month=2026-10&team=search&format=csv").text();
    assert_eq!(
        csv,
        "line,provider,model,calls,tokens,entries,amount,currency\r\n\
         model,openai,gpt-4o,1,1200,,0.00225,USD\r\n\
         model,openai,gpt-4o-mini,1,1200,,0.00027,USD\r\n\
         total,,,2,2400,,0.00252,USD\r\n\
         charge,,,,,3,0.00702,USD\r\n\
         reversal,,,,,1,-0.0045,USD\r\n"
    );
    let page = service.get("/v1/sheets?month=2026-10&team=search").text();
    let (lines, corrections) = page.split_once("<h2>Corrections</h2>").expect("something was corrected");
    let totals = |table: &str| {
        let foot = table.split_once("<tfoot>").expect("it has totals").1.split_once("</tfoot>").unwrap().0.to_owned();
        foot.replace(" class=\"n\"", "").trim().to_owned()
    };
    let expected = "<tr><td>total</td><td></td><td>2</td><td>2 400</td><td>0.00252</td><td>USD</td></tr>";
    assert_eq!(totals(lines), expected);
    assert_eq!(totals(corrections), "<tr><td>total</td><td>4</td><td>0.00252</td><td>USD</td></tr>");
    for said in ["<td>charge</td>", "0.00702", "<td>reversal</td>", "-0.0045"] {
        assert!(corrections.contains(said), "{said} is not in {corrections}");
    }
}

#[test]
fn a_quote_posts_nothing_and_explains_itself() {
    let (_database, service) = started();
    let answer = service
        .post("/v1/quote", json!([event("q"), {"id": "w"}, with("u", |event| event["model"] = json!("x"))]).to_string())
        .json();
    let quote = &answer["results"][0];
    assert_eq!(
        (quote["outcome"].as_str(), quote["amount"].as_str(), quote["layer"].as_str()),
        (Some("rated"), Some("0.00027"), Some("list"))
    );
    assert_eq!(quote["charges"], json!([{"owner": "cost:search/ann", "payee": "payable:openai", "amount": "0.00027"}]));
    assert_eq!(quote["line_items"][0], json!({"meter": "input", "quantity": 1000, "rate": "0.00000015", "amount": "0.00015"}));
    assert!(quote["tried"].as_array().unwrap().iter().any(|step| step.as_str().unwrap().contains("in force")));
    assert_eq!(answer["results"][1]["outcome"], "rejected");
    assert_eq!(
        (answer["results"][2]["outcome"].as_str(), answer["results"][2]["reason"].as_str()),
        (Some("unpriced"), Some("no_rate_card"))
    );
    assert_eq!(service.get("/v1/entries").json()["items"], json!([]));
}

/// A prompt is nowhere: not in the database, not in the log, whatever route it came by and whatever became of the event.
#[test]
fn what_people_wrote_is_stored_nowhere() {
    let database = TestDatabase::sqlite();
    let service = Service::start_with(&database.url, &["--log", "trace"]);
    const CANARY: &str = "zebra-crossing-at-midnight";
    let prompt = json!({
        "messages": [{"role": "user", "content": CANARY}], "prompt": CANARY, "input": CANARY, "inputs": [CANARY], "system": CANARY,
        "response": {"choices": [{"message": {"content": CANARY}}], "text": CANARY, "id": CANARY}, "output": {"text": CANARY},
        "completion": CANARY, "data": {"anything": CANARY}, "request": {"body": CANARY}, "tools": [{"name": CANARY}], "note": CANARY.repeat(20)
    });
    let canary = |id: &str, change: &dyn Fn(&mut Value)| {
        let mut event = event(id);
        event.as_object_mut().unwrap().extend(prompt.as_object().unwrap().clone());
        change(&mut event);
        event
    };
    type Change<'c> = &'c dyn Fn(&mut Value);
    let kinds: [(&str, Change<'_>); 5] = [
        ("posted", &|_| {}),
        ("held", &|event| event["model"] = json!("x")),
        ("rejected", &|event| event["usage"]["input"] = json!(-1)),
        ("contradictory", &|event| {
            event["usage"] = json!({"prompt_tokens": 1, "total_tokens": 9, "messages": [CANARY], "prompt": CANARY})
        }),
        ("posted", &|event| event["usage"]["output"] = json!(3)),
    ];
    for (kind, change) in kinds {
        let event = canary(kind, change);
        for body in [event.to_string(), json!([event]).to_string()] {
            service.post("/v1/events", &body);
            service.post("/v1/quote", &body);
        }
        let lines = service.request("POST", "/v1/events").header("Content-Type", "application/x-ndjson");
        service.send(lines.body(format!("{event}\n{{\"prompt\":\"{CANARY}\",\n")));
        let cloud = json!({"specversion": "1.0", "id": kind, "source": "c", "data": event});
        let request = service.request("POST", "/v1/events").header("Content-Type", "application/cloudevents+json");
        service.send(request.body(cloud.to_string()));
    }
    service.post("/v1/events", format!("{{\"prompt\":\"{CANARY}"));
    service.post("/v1/rejected/retry", "");
    let log = service.log.clone();
    service.stop();
    assert!(!log.lock().unwrap().contains(CANARY), "in the log");
    let folder = std::path::PathBuf::from(database.url.trim_start_matches("sqlite://")).parent().unwrap().to_owned();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "in {}", file.display());
    }
}

#[test]
fn a_full_queue_says_come_back_and_loses_nothing() {
    let database = TestDatabase::sqlite();
    let service = Service::start_with(&database.url, &["--queue-mb", "1", "--max-body-mb", "1"]);
    assert_eq!(service.post("/v1/events", event("before").to_string()).status, 201);
    // Somebody else holds the database, so nothing can be committed and the queue fills.
    let holder = std::process::Command::new("python3")
        .args(["-c", "import sqlite3,sys,time\nc=sqlite3.connect(sys.argv[1],isolation_level=None)\nc.execute('BEGIN IMMEDIATE')\nprint('held',flush=True)\nsys.stdin.read()\nc.execute('ROLLBACK')"])
        .arg(database.url.trim_start_matches("sqlite://"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut holder = holder.expect("python3 holds the lock of the database");
    let mut says = holder.stdout.take().unwrap();
    says.read_exact(&mut [0; 5]).unwrap();

    let body = |id: &str| format!("[{}{}]", event(id), " ".repeat(300 << 10));
    let started = Instant::now();
    let answers: Vec<(String, Answer)> = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..8)
            .map(|n| {
                let id = format!("q{n}");
                let request = service.request("POST", "/v1/events").body(body(&id));
                let address = &service.address;
                scope.spawn(move || (id, request.send(address)))
            })
            .collect();
        // Long enough for those without room to be sent away, short enough for those with room to be committed.
        std::thread::sleep(Duration::from_secs(7));
        drop(holder.stdin.take());
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    });
    holder.wait().unwrap();
    assert!(started.elapsed() < Duration::from_secs(40));
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(_, answer)| answer.status == 200);
    assert!(!taken.is_empty() && !refused.is_empty(), "{} taken, {} refused", taken.len(), refused.len());
    for (_, answer) in &refused {
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    }
    for (id, _) in &taken {
        assert_eq!(service.get(&format!("/v1/events/gateway/{id}")).status, 200);
    }
    for (id, _) in &refused {
        assert_eq!(service.post("/v1/events", event(id).to_string()).status, 201);
    }
}

#[test]
fn shutting_down_answers_everything_that_was_taken() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    let (address, key) = (service.address.clone(), service.key.clone());
    let count = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let (address, key, count) = (address.clone(), key.clone(), count.clone());
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    let id = format!("c{client}-{n}");
                    match Request::new("POST", "/v1/events").key(&key).body(event(&id).to_string()).try_send(&address) {
                        Ok(answer) if answer.status == 201 => {
                            acknowledged.push(id);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    while count.load(Ordering::Relaxed) < 50 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(service.stop().success());
    let acknowledged: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let again = Service::start(&database);
    let (mut found, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page = again.send(Request::new("GET", &format!("/v1/entries?limit=1000{cursor}")).key(&key)).json();
        found.extend(page["items"].as_array().unwrap().iter().map(|item| item["event"]["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    for id in acknowledged {
        assert!(found.contains(&id), "{id} was acknowledged and is not in the book");
    }
}

#[test]
fn the_service_says_how_it_is() {
    let (_database, service) = started();
    service.post("/v1/events", event("a").to_string());
    let open = |path: &str| service.send(Request::new("GET", path));
    assert_eq!(open("/healthz").text(), "ok\n");
    assert_eq!(open("/readyz").text(), "ready\n");
    // What the process counts is open, what a book knows is for those who may read it.
    let without_key = open("/metrics").text();
    assert!(without_key.contains("farthing_events_total{dialect=\"native\",outcome=\"posted\"} 1"), "{without_key}");
    assert!(!without_key.contains("main") && !without_key.contains("farthing_book"), "{without_key}");
    assert_eq!(service.send(Request::new("GET", "/metrics").key("far_0000000000000000_x")).status, 401);
    let metrics = service.get("/metrics").text();
    for line in [
        "farthing_events_total{dialect=\"native\",outcome=\"posted\"} 1",
        "farthing_book_entries{org=\"main\"} 1",
        "farthing_catalog_version{org=\"main\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    let head = service.get("/v1/verify").json()["head"].as_str().unwrap().to_owned();
    let first_digits = u64::from_str_radix(&head[..13], 16).unwrap();
    assert!(metrics.contains(&format!("farthing_book_head{{org=\"main\"}} {first_digits}\n")), "the head is among the figures");
    assert!(open("/docs").text().contains("/v1/events/{source}/{id}"));
    assert_eq!(open("/openapi.json").json()["openapi"], "3.1.0");
    assert_eq!(open("/nothing").status, 404);
    assert_eq!(service.send(service.request("PUT", "/v1/events")).status, 405);
}

/// The router and the description name the same routes with the same methods.
#[test]
fn the_description_and_the_router_agree() {
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http.rs")).unwrap();
    let mut routed = BTreeSet::new();
    for line in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
        let (path, handlers) = line.split_once("\", ").unwrap();
        for method in ["get", "post", "delete", "put", "patch"] {
            if handlers.starts_with(&format!("{method}(")) || handlers.contains(&format!(").{method}(")) {
                routed.insert(format!("{method} {path}"));
            }
        }
    }
    let mut described = BTreeSet::new();
    for (path, methods) in DESCRIPTION["paths"].as_object().unwrap() {
        described.extend(methods.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
    }
    assert!(routed.len() > 15);
    assert_eq!(routed, described);
    // Every kind of problem that the program gives is explained.
    let problems = DESCRIPTION["x-problems"].as_object().unwrap();
    let mut files = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http"))];
    while let Some(file) = files.pop() {
        if file.is_dir() {
            files.extend(std::fs::read_dir(file).unwrap().map(|file| file.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(file).unwrap();
        for kind in text.split("Problem::new(").skip(1).filter_map(|rest| rest.split(", \"").nth(1)?.split('"').next()) {
            assert!(problems.contains_key(kind), "the problem {kind} is not described");
        }
    }
}

#[test]
fn prices_are_published_compared_asked_for_and_rolled_back() {
    let (_database, service) = started();
    let held = with("waits", |event| event["model"] = json!("house-model"));
    assert_eq!(service.post("/v1/events", held.to_string()).status, 202);
    let contract = |rate: &str| {
        format!(
            "provider: openai\noverrides:\n  - kind: contract\n    model: house-model\n    source: our contract\n    pricing: {{inputCostPer1K: \"{rate}\", outputCostPer1K: \"0.02\"}}\n"
        )
    };
    let publish = |query: &str, yaml: &str| {
        let request =
            service.request("POST", &format!("/v1/catalog/versions?{query}")).header("Content-Type", "application/yaml");
        service.send(request.body(yaml))
    };

    // An override of a model that no list has is doubtful: it may be a typing mistake.
    let doubtful = publish("base=1", &contract("0.01"));
    assert_eq!((doubtful.status, doubtful.json()["type"].as_str().unwrap().to_owned()), (422, "/docs#doubtful".to_owned()));
    let dry = publish("base=1&dry_run=true", &contract("0.01"));
    assert_eq!((dry.status, dry.json()["version"].clone()), (200, Value::Null));
    assert!(!dry.json()["changes"].as_array().unwrap().is_empty());
    let published = publish("base=1&accept=true&note=our+own", &contract("0.01"));
    assert_eq!(published.status, 201, "{}", published.text());
    assert_eq!((published.json()["version"].clone(), published.json()["held"]["posted"].clone()), (json!(2), json!(1)));
    assert_eq!(publish("base=2&accept=true", &contract("0.01")).status, 200, "identical content makes no version");
    let moved = publish("base=1&accept=true", &contract("0.03"));
    assert_eq!(moved.status, 409);
    assert!(moved.json()["hint"].as_str().unwrap().contains("version 2"), "{}", moved.text());
    let broken = publish("", "provider: openai\nmodels:\n  - model: x\n    cards: [{input_per_1m: 3}]\n");
    assert_eq!((broken.status, broken.json()["field"].clone()), (422, json!("models.x.cards.input_per_1m")));
    assert!(broken.json()["mistakes"][0].as_str().unwrap().starts_with("line 4"));

    let versions = service.get("/v1/catalog/versions").json();
    assert_eq!((versions["items"][0]["version"].clone(), versions["items"][0]["note"].clone()), (json!(2), json!("our own")));
    let version = service.get("/v1/catalog/versions/2").json();
    assert!(version["parts"].as_array().unwrap().iter().any(|part| part["name"] == "openai.overrides" && part["overrides"] == 1));
    let part = service.get("/v1/catalog/versions/2/parts/openai.overrides").text();
    assert!(part.contains("input_per_1m: \"10\""), "{part}");
    let diff = service.get("/v1/catalog/diff?from=1&to=2").json();
    assert!(diff["changes"][0].as_str().unwrap().contains("house-model"), "{diff}");

    let price = service.get("/v1/catalog/price?provider=openai&model=house-model&as=omnia").json();
    assert_eq!((price["layer"].clone(), price["rates"]["input_per_1m"].clone()), (json!("override"), json!("10")));
    assert!(price["written"].as_str().unwrap().contains("inputCostPer1K: \"0.01\""), "{price}");
    let unpriced = service.get("/v1/catalog/price?provider=openai&model=gtp-4o");
    assert_eq!((unpriced.status, unpriced.json()["type"].as_str().unwrap().to_owned()), (404, "/docs#unpriced".to_owned()));
    assert!(!unpriced.json()["tried"].as_array().unwrap().is_empty());
    assert_eq!(service.get("/v1/catalog/price?provider=openai").status, 400);
    assert_eq!(service.get("/v1/catalog/price?provider=openai&model=gpt-4o&as=latin").status, 400);
    let oceans = service.get("/v1/catalog/price?provider=openai&model=gpt-4o-mini&at=2026-10-01&as=oceans").json();
    assert!(oceans["written"].as_str().unwrap().contains("input_usd_per_million_tokens: \"0.15\""), "{oceans}");

    // The event was charged 1,000 at 0.01 and 200 at 0.02 per thousand; the contract becomes dearer.
    let dearer = publish("accept=true", &contract("0.02"));
    assert_eq!(dearer.status, 201, "{}", dearer.text());
    let dry = service.post("/v1/rerate?model=house-model", "").json();
    assert_eq!(
        (dry["dry_run"].clone(), dry["changed"].clone(), dry["changes"][0]["change"].clone()),
        (json!(true), json!(1), json!("0.01"))
    );
    let done = service.post("/v1/rerate?model=house-model&dry_run=false&reason=new+contract", "").json();
    assert_eq!((done["posted"].clone(), done["changes"][0]["after"].clone()), (json!(2), json!("0.024")));
    let event = service.get("/v1/events/gateway/waits").json();
    let entries = event["entries"].as_array().unwrap();
    assert_eq!(entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["charge", "reversal", "charge"]);
    assert_eq!(entries[2]["reason"], "version 3: new contract");
    assert_eq!(service.post("/v1/rerate?dry_run=perhaps", "").status, 400);

    let back = service.post("/v1/catalog/rollback/2", "");
    assert_eq!((back.status, back.json()["version"].clone()), (201, json!(4)), "{}", back.text());
    assert_eq!(service.post("/v1/catalog/rollback/9", "").status, 404);
    assert_eq!(publish("remove=nothing", "").status, 404);
    assert_eq!(publish("remove=openai.overrides&accept=true", "").status, 201);

    let list = r#"{"data":[{"id":"a/one","pricing":{"prompt":"0.000001","completion":"0.000004","per_smile":"1"}}]}"#;
    let imported = service.post("/v1/catalog/import/openrouter?as=test/&seen_at=2026-11-01", list);
    assert_eq!(imported.status, 201, "{}", imported.text());
    assert_eq!(imported.json()["not_understood"], json!(["per_smile: on 1 rows (a/one)"]));
    let price = service.get("/v1/catalog/price?provider=test/openrouter&model=a/one").json();
    assert_eq!((price["from"].clone(), price["rates"]["output_per_1m"].clone()), (json!("2026-11-01"), json!("4")));
    assert_eq!(service.post("/v1/catalog/import/nobody", list).status, 404);
    assert_eq!(service.post("/v1/catalog/import/openrouter", "<html>").status, 409);
    assert_eq!(service.get("/v1/notices").json()["items"], json!([]));
    assert_eq!(service.get("/v1/catalog/fetches").json()["items"], json!([]));

    let ingest = service.new_key(r#"{"scopes":["ingest"]}"#);
    for (method, path) in [
        ("GET", "/v1/catalog/versions"),
        ("POST", "/v1/catalog/versions"),
        ("POST", "/v1/catalog/rollback/1"),
        ("POST", "/v1/rerate"),
    ] {
        assert_eq!(Request::new(method, path).key(&ingest).send(&service.address).status, 403, "{method} {path}");
    }
}

#[test]
fn one_id_for_everything_is_no_id_and_holds_nobody_up() {
    let (_database, service) = started();
    let events: Vec<Value> = (0..500).map(|count| with("same", |event| event["usage"]["input"] = json!(count))).collect();
    let answer = service.post("/v1/events", json!(events).to_string()).json();
    // The first is posted, 63 contradict it, and the rest are told what is wrong with them.
    assert_eq!((&answer["posted"], &answer["conflict"], &answer["rejected"]), (&json!(1), &json!(63), &json!(436)));
    let told = answer["results"][499]["detail"].as_str().unwrap();
    assert!(told.contains("one id for more than 64 different events of a body is no id"), "{told}");
    assert_eq!(service.get("/v1/rejected?limit=500").json()["items"].as_array().unwrap().len(), 436);
}
