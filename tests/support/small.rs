//! A small book that has one of everything a book can hold: each state of an event and each kind of an entry, several
//! catalog versions, and what waits or was decided.

use farthing::catalog::source::own;
use farthing::flow::ingest::Outcome;
use farthing::flow::publish::{CatalogFiles, Note, Wish};
use farthing::flow::reconcile::Origin;
use farthing::flow::{Farthing, adjust, now, periods, rerate};
use farthing::id::{EventNumber, Org};
use farthing::ledger::Account;
use farthing::ledger::decision::{About, Adjustment};
use farthing::money::{Amount, Currency};
use farthing::store::StoreOptions;
use farthing::time::Instant;
use farthing::usage::Text;
use farthing::usage::dialect::{Context, native};

const ACME: &str = "provider: acme
absent: unknown
models:
  - model: haiku
    cards:
      - {from: 2026-01-01, input_per_1m: \"0.25\", output_per_1m: \"1.25\"}
ceilings:
  - {model: haiku, input_per_1m: \"0.4\"}
";
const OVERRIDES: &str = "provider: acme
overrides:
  - {kind: chargeback, team: labs, input_per_1m: \"0.5\"}
  - {kind: contract, model: haiku, from: 2026-02-10, output_per_1m: \"1.0000000000000001\"}
";
const RULES: &str = "attribution:
  - source: gw-*
    team: [label:cost_center]
ranking: [best]
";
const DEARER: &str = "provider: acme
absent: unknown
models:
  - model: haiku
    cards:
      - {from: 2026-01-01, input_per_1m: \"0.5\", output_per_1m: \"1.25\"}
  - model: unknown-yet
    cards:
      - {from: 2026-01-01, input_per_1m: \"7\"}
ceilings:
  - {model: haiku, input_per_1m: \"0.4\"}
";

const SHARES: &str = "attribution:
  - source: gw-*
    team: [label:cost_center]
shares:
  - app: platform
    among: [{team: search, share: 2}, {team: labs, project: p, share: 1}]
ranking: [best]
";
const ACTIVITY: &str = r#"{"data":[{"date":"2026-02-03","model":"acme/haiku","model_permaslug":"acme/haiku","endpoint_id":"e","provider_name":"Acme","usage":0.015,"byok_usage_inference":0,"requests":2,"prompt_tokens":50,"completion_tokens":125,"reasoning_tokens":25}]}"#;

/// Makes the book in an empty database.
pub async fn book(options: &StoreOptions) -> (Farthing, Org) {
    let file = std::env::temp_dir().join(format!("farthing-small-{}-{}.yaml", std::process::id(), now().micros()));
    std::fs::write(&file, ACME).unwrap();
    let farthing = Farthing::open(options, &CatalogFiles::At(file.clone())).await.unwrap();
    std::fs::remove_file(file).unwrap();
    let org = farthing.store.org("main").await.unwrap();
    let book = Small { farthing, org };

    book.posted("a", r#""user":"ann","team":"search","session":"s1","labels":{"k":"v"},"x_extra":1"#).await;
    book.posted("b", r#""user":"bob","team":"labs","outcome":"failed","provider_request_id":"call-b""#).await;
    book.posted("c", r#""user":"ann","estimated":true,"calls":3,"reported":{"by":"gateway","amount":"0.1"}"#).await;
    book.publish(OVERRIDES, "what labs bears").await;
    book.posted("d", r#""user":"bob","team":"labs","occurred_at":"2026-02-11T00:00:00.000001Z""#).await;
    book.posted("r", r#""user":"eve","outcome":"refused""#).await;
    book.publish(RULES, "by cost center").await;
    book.posted_by(
        "gw-eu",
        "a",
        r#""user":"ann","labels":{"cost_center":"cc/1"},"key":"k","app":"x","agent":"y","environment":"e""#,
    )
    .await;

    // Held, by several reasons; one of them is completed, one gets its price later.
    for (id, fields) in [
        ("h1", r#""model":"unknown-yet","usage":{"input":1000}"#),
        ("h2", r#""model":"nobody-knows","usage":{"input":1}"#),
        ("h3", r#""outcome":"failed","usage":null"#),
        ("h4", r#""usage":{"cache_read":5}"#),
    ] {
        assert!(matches!(book.send("s", id, fields).await, Outcome::Held { .. }), "{id}");
    }
    book.posted("h3", r#""outcome":"failed","user":"ann""#).await;

    // Contradictions: one is accepted, one is dismissed, one is open.
    for (id, input) in [("a", 7), ("d", 8), ("c", 9)] {
        let fields = format!(r#""usage":{{"input":{input}}},"user":"ann""#);
        let Outcome::Conflict { conflict, .. } = book.send("s", id, &fields).await else { panic!("{id}") };
        match id {
            "a" => drop(book.farthing.accept_conflict(org, conflict, "ann").await.unwrap()),
            "d" => book.farthing.dismiss_conflict(org, conflict, "ann").await.unwrap(),
            _ => {}
        }
    }

    // Two sources tell of one call: evidence, and then a better word; and one source twice.
    let evidence = book.send("other", "e", r#""usage":{"input":5},"provider_request_id":"call-b""#).await;
    assert!(matches!(evidence, Outcome::Evidence { .. }), "{evidence:?}");
    book.posted_by("best", "e", r#""usage":{"input":6},"provider_request_id":"call-b""#).await;
    book.posted("b2", r#""usage":{"input":1},"provider_request_id":"call-b""#).await;
    let suspects = book.farthing.suspects(org, true, 0, 10).await.unwrap();
    book.farthing.accept_suspect(org, EventNumber(suspects[0].suspect.event.0), "ann").await.unwrap();

    // Dearer from the beginning: what was held is posted, and what was charged is corrected.
    book.publish(DEARER, "a wrong number").await;
    let wish = rerate::Wish { reason: "a wrong number".to_owned(), ..rerate::Wish::default() };
    let rerated = book.farthing.rerate(org, &wish, |_| {}).await.unwrap();
    assert!(rerated.posted > 0, "{rerated:?}");

    // What people decide: money that moves, a cost that is shared, what the provider claims, and months.
    book.adjusted("fee", "0.25", "cost:search/ann", "payable:acme").await;
    book.adjusted("top-up", "10", "prepaid:acme", "cash:bank").await;
    book.adjusted("moved", "0.000000000000000000000001", "cost:labs/-", "cost:search/ann").await;
    book.publish(SHARES, "shared").await;
    book.posted_by("gw-eu", "shared", r#""user":"ann","app":"platform""#).await;
    let origin = Origin { asked: "activity.json".to_owned(), ..Origin::default() };
    book.farthing.import_statement(org, ACTIVITY, &origin).await.unwrap();
    let month = "2026-02".parse().unwrap();
    let close = periods::Wish { month, accept_held: true, note: "n".to_owned(), author: "ann".to_owned() };
    book.farthing.close_period(org, &close, |_, _| {}).await.unwrap();
    book.posted("late", r#""user":"ann""#).await;
    book.farthing.reopen_period(org, close.month, "an invoice", "ann").await.unwrap();
    book.farthing.close_period(org, &close, |_, _| {}).await.unwrap();
    (book.farthing, org)
}

struct Small {
    farthing: Farthing,
    org: Org,
}

impl Small {
    async fn publish(&self, yaml: &str, note: &str) {
        let parts = own::read(yaml).unwrap_or_else(|mistakes| panic!("{}", mistakes[0]));
        let note = Note { author: "ann".to_owned(), note: note.to_owned() };
        let published = self.farthing.publish(self.org, &Wish { parts, accept: true, note, ..Wish::default() }).await.unwrap();
        assert!(published.version.is_some(), "{note}", note = yaml);
    }

    async fn adjusted(&self, id: &str, amount: &str, debit: &str, credit: &str) {
        let adjustment = Adjustment {
            id: Text::new(id).unwrap(),
            amount: Amount::parse(amount).unwrap(),
            currency: Currency::USD,
            debit: Account::parse(debit).unwrap(),
            credit: Account::parse(credit).unwrap(),
            reason: Text::known("agreed"),
            author: Text::known("ann"),
            occurred_at: Instant::parse("2026-02-05T00:00:00Z").unwrap(),
            about: About::default(),
        };
        self.farthing.adjust(self.org, &adjust::Wish { adjustment, with_time: true }).await.unwrap();
    }

    async fn posted(&self, id: &str, fields: &str) {
        self.posted_by("s", id, fields).await;
    }

    async fn posted_by(&self, source: &str, id: &str, fields: &str) {
        let outcome = self.send(source, id, fields).await;
        assert!(matches!(outcome, Outcome::Posted { .. }), "{source} {id}: {outcome:?}");
    }

    /// An event of a thousand tokens in and a hundred out, unless its fields say otherwise.
    async fn send(&self, source: &str, id: &str, fields: &str) -> Outcome {
        let mut event = serde_json::json!({
            "id": id, "source": source, "occurred_at": "2026-02-03T10:00:00Z", "provider": "acme", "model": "haiku",
            "usage": {"input": 1000, "output": 100},
        });
        let fields: serde_json::Value = serde_json::from_str(&format!("{{{fields}}}")).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            event[name] = value.clone();
        }
        let context = Context { received_at: now(), source: None, strict: false };
        let event = native::read(&event.to_string(), &context).unwrap();
        let in_force = self.farthing.newest(self.org).await.unwrap();
        let prepared = self.farthing.prepare(self.org, &in_force, event);
        self.farthing.commit_events(&[prepared], || false).await.unwrap().remove(0)
    }
}
