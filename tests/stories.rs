//! Stories: each is a text file in `stories/`, a life of one small book. A line is a call, an arrow is an assertion. Every
//! story is told on SQLite and on PostgreSQL.
//!
//! ```text
//! catalog acme from 2026-01-01    haiku  input 0.25/M  output 1.25/M
//! event   e1 2026-02-03T10:00:00Z team:search haiku  input 1_000_000  output 200_000
//!   -> posted 0.5
//!   -> posts  cost:search/- <- payable:acme  0.5
//! event   e1 (again)          -> already present
//! event   e1 with output 7    -> conflict: output
//! ```
//!
//! `catalog` adds a model's card, `yaml` a whole file in the lines below it that begin with `|`; both are published before
//! the next event. In an event `name:value` is a field, a meter with a number is usage, and the one word left is the model.

use crate::support::database::{Kind, TestDatabase, block_on};
use farthing::catalog::Part;
use farthing::catalog::source::own;
use farthing::flow::ingest::Outcome;
use farthing::flow::publish::{CatalogFiles, Note, Wish};
use farthing::flow::quote::quote;
use farthing::flow::rerate;
use farthing::flow::{Farthing, now};
use farthing::id::{EventNumber, Org};
use farthing::ledger::Entry;
use farthing::money::Amount;
use farthing::rating::Rating;
use farthing::report::{Dimension, Filter, Query};
use farthing::store::Names;
use farthing::usage::Meter;
use farthing::usage::dialect::{Context, native};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

macro_rules! stories {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[test] fn $name() { super::tell(stringify!($name), super::Kind::Sqlite); })*
        }
        mod postgres {
            $(#[test] fn $name() { super::tell(stringify!($name), super::Kind::Postgres); })*
        }
        const TOLD: &[&str] = &[$(stringify!($name)),*];
    };
}

include!("stories/list.rs");

#[test]
fn every_story_in_the_folder_is_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".story").map(str::to_owned))
        .collect();
    files.sort();
    let mut told: Vec<String> = TOLD.iter().map(|name| (*name).to_owned()).collect();
    told.sort();
    assert_eq!(files, told);
    assert!(files.len() >= 30);
}

fn tell(name: &str, kind: Kind) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/stories/{name}.story"));
    let text = std::fs::read_to_string(path).unwrap();
    let database = TestDatabase::new(kind);
    block_on(async {
        let mut teller = Teller::start(&database).await;
        let mut lines = text.lines().zip(1..).peekable();
        while let Some((line, number)) = lines.next() {
            let mut block = Vec::new();
            while let Some((more, _)) = lines.next_if(|(more, _)| more.trim_start().starts_with('|')) {
                block.push(more.trim_start().trim_start_matches('|').strip_prefix(' ').unwrap_or("").to_owned());
            }
            teller.at = format!("{name}.story:{number}: {line}");
            teller.line(line.split(" # ").next().unwrap(), &block).await;
        }
        teller.verify().await;
    });
}

/// The state of a story.
struct Teller {
    farthing: Farthing,
    org: Org,
    /// What is published already, and what waits to be.
    parts: BTreeMap<String, String>,
    unpublished: bool,
    provider: String,
    sent: BTreeMap<String, Map<String, Value>>,
    /// The event that arrows speak of, and what became of it.
    id: String,
    outcome: Option<Outcome>,
    refused: Option<String>,
    answer: String,
    at: String,
}

impl Teller {
    async fn start(database: &TestDatabase) -> Teller {
        // Every org needs a catalog; this one prices nothing that a story asks for.
        let nothing = std::env::temp_dir().join(format!("farthing-story-{}-{}.yaml", std::process::id(), now().micros()));
        std::fs::write(&nothing, "provider: nobody\nmodels:\n  - model: nothing\n    cards: [{input_per_1m: \"1\"}]\n").unwrap();
        let farthing = Farthing::open(&database.options(), &CatalogFiles::At(nothing.clone())).await.unwrap();
        std::fs::remove_file(nothing).unwrap();
        let org = farthing.store.org("main").await.unwrap();
        Teller {
            farthing,
            org,
            parts: BTreeMap::new(),
            unpublished: false,
            provider: String::new(),
            sent: BTreeMap::new(),
            id: String::new(),
            outcome: None,
            refused: None,
            answer: String::new(),
            at: String::new(),
        }
    }

    async fn line(&mut self, line: &str, block: &[String]) {
        let (call, arrow) = match line.split_once("->") {
            Some((call, arrow)) => (call.trim(), Some(arrow.trim())),
            None => (line.trim(), None),
        };
        if !call.is_empty() {
            let (verb, rest) = call.split_once(char::is_whitespace).unwrap_or((call, ""));
            (self.outcome, self.refused) = (None, None);
            self.call(verb, rest.trim(), block).await;
        }
        if let Some(arrow) = arrow {
            self.arrow(arrow).await;
        }
    }

    async fn call(&mut self, verb: &str, rest: &str, block: &[String]) {
        match verb {
            "catalog" => self.catalog(rest),
            "yaml" => self.yaml(&block.join("\n")),
            "event" => {
                self.publish().await;
                self.event(rest).await;
            }
            "raw" => {
                self.publish().await;
                let event: Map<String, Value> = serde_json::from_str(rest).unwrap_or_else(|e| panic!("{}: {e}", self.at));
                let id = event["id"].as_str().unwrap().to_owned();
                self.send(&id, event).await;
            }
            "retry" => {
                self.publish().await;
                let retried = self.farthing.retry_held(self.org, None).await.unwrap();
                self.answer = format!("posted {}, still held {}", retried.posted, retried.still_held);
            }
            "publish" => self.publish().await,
            "rerate" => self.rerate(rest).await,
            "accept" | "dismiss" => self.decide(verb, rest).await,
            "spend" => self.spend(rest).await,
            "held" => {
                let counts = self.farthing.store.held_counts(self.org).await.unwrap();
                let counts: Vec<_> = counts.iter().map(|(reason, count)| format!("{count} {}", reason.name())).collect();
                self.answer = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
            }
            "verify" => self.verify().await,
            "#" => {}
            _ => panic!("{}: what is `{verb}`?", self.at),
        }
    }

    /// `acme from 2026-01-01 [absent included] [basis reported] haiku input 0.25/M output 1.25/M [over 200000 input 0.5/M]`
    fn catalog(&mut self, rest: &str) {
        let mut words = rest.split_whitespace().peekable();
        self.provider = words.next().unwrap().to_owned();
        let mut head = format!("provider: {}\n", self.provider);
        let mut from = None;
        while let Some(word) = words.peek().copied() {
            match word {
                "from" => from = words.by_ref().nth(1),
                "absent" => head.push_str(&format!("absent: {}\n", words.by_ref().nth(1).unwrap())),
                "basis" => head.push_str(&format!("cost_basis: {}\n", words.by_ref().nth(1).unwrap())),
                "fallback" => head.push_str(&format!("pricing_provider_id: {}\n", words.by_ref().nth(1).unwrap())),
                "insured" => head.push_str(&format!("insured: [{}]\n", words.by_ref().nth(1).unwrap())),
                _ => break,
            }
        }
        let model = words.next().unwrap();
        let mut card = Vec::new();
        card.extend(from.map(|from| format!("from: {from}")));
        let mut when = Vec::new();
        while let Some(word) = words.next() {
            match word {
                "free" => card.push("free: true".to_owned()),
                "over" => when.push(format!("{{prompt_tokens_over: {}", words.next().unwrap())),
                meter => {
                    let rate = words.next().unwrap();
                    let (rate, unit) = rate.strip_suffix("/M").map_or((rate, "_each"), |rate| (rate, "_per_1m"));
                    let rate = format!("{meter}{unit}: \"{rate}\"");
                    match when.last_mut() {
                        Some(when) => when.push_str(&format!(", {rate}")),
                        None => card.push(rate),
                    }
                }
            }
        }
        if !when.is_empty() {
            let when: Vec<_> = when.into_iter().map(|when| when + "}").collect();
            card.push(format!("when: [{}]", when.join(", ")));
        }
        let card = format!("      - {{{}}}\n", card.join(", "));
        let file = self.parts.entry(self.provider.clone()).or_default();
        if file.is_empty() {
            *file = format!("{head}models:\n");
        }
        let of_model = format!("  - model: {model}\n    cards:\n");
        match file.find(&of_model) {
            Some(place) => file.insert_str(place + of_model.len(), &card),
            None => file.push_str(&(of_model + &card)),
        }
        self.unpublished = true;
    }

    fn yaml(&mut self, yaml: &str) {
        let provider = yaml.lines().find_map(|line| line.strip_prefix("provider: ")).unwrap();
        self.provider = provider.to_owned();
        let what = if yaml.contains("models:") { provider.to_owned() } else { format!("{provider} overrides") };
        self.parts.insert(what, yaml.to_owned());
        self.unpublished = true;
    }

    async fn publish(&mut self) {
        if !std::mem::take(&mut self.unpublished) {
            return;
        }
        let mut parts: Vec<Part> = Vec::new();
        for yaml in self.parts.values() {
            parts.extend(own::read(yaml).unwrap_or_else(|mistakes| panic!("{}: {}", self.at, mistakes[0])));
        }
        let base = self.farthing.store.head(self.org).await.unwrap().version;
        let note = Note { author: "story".to_owned(), note: String::new() };
        let wish = Wish { base: Some(base), parts, accept: true, note, ..Wish::default() };
        let published = self.farthing.publish(self.org, &wish).await.unwrap_or_else(|e| panic!("{}: {e}", self.at));
        self.answer = format!("posted {}, still held {}", published.retried.posted, published.retried.still_held);
    }

    /// `rerate` or `rerate dry`: how many events change, and by how much.
    async fn rerate(&mut self, rest: &str) {
        self.publish().await;
        let wish = rerate::Wish { dry_run: rest == "dry", reason: "story".to_owned(), ..rerate::Wish::default() };
        let rerated = self.farthing.rerate(self.org, &wish, |_| {}).await.unwrap_or_else(|e| panic!("{}: {e}", self.at));
        let moved = rerated.changes.values().fold(Amount::ZERO, |sum, moved| sum + moved.after - moved.before);
        self.answer = format!("{} changed by {moved}, {} posted, {} unpriced", rerated.changed, rerated.posted, rerated.unpriced);
    }

    async fn event(&mut self, rest: &str) {
        let (id, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let event = match rest.trim() {
            "(again)" => self.sent[id].clone(),
            changed if changed.starts_with("with ") => {
                let mut event = self.sent[id].clone();
                apply(&mut event, &changed["with ".len()..], &self.at);
                event
            }
            new => {
                let mut event = Map::new();
                event.insert("id".to_owned(), json!(id));
                event.insert("source".to_owned(), json!("gateway"));
                event.insert("occurred_at".to_owned(), json!("2026-02-03T10:00:00Z"));
                event.insert("provider".to_owned(), json!(self.provider));
                apply(&mut event, new, &self.at);
                event
            }
        };
        self.sent.entry(id.to_owned()).or_insert_with(|| event.clone());
        self.send(id, event).await;
    }

    async fn send(&mut self, id: &str, event: Map<String, Value>) {
        self.id = id.to_owned();
        let context = Context { received_at: now(), source: None, strict: false };
        match native::read(&Value::Object(event).to_string(), &context) {
            Err(rejected) => self.refused = Some(rejected.to_string()),
            Ok(event) => {
                let in_force = self.farthing.in_force(self.org).await.unwrap();
                let prepared = self.farthing.prepare(self.org, &in_force, event);
                self.outcome = Some(self.farthing.commit_events(&[prepared], || false).await.unwrap().remove(0));
            }
        }
    }

    async fn decide(&mut self, verb: &str, rest: &str) {
        let id = rest.strip_prefix("conflict of ").unwrap();
        let open = self.farthing.conflicts(self.org, true, 0, 100).await.unwrap();
        let conflict =
            open.iter().find(|conflict| &*conflict.standing.event.id == id).unwrap_or_else(|| panic!("{}: none", self.at));
        self.id = id.to_owned();
        let number = conflict.conflict.conflict;
        let done = match verb {
            "accept" => self.farthing.accept_conflict(self.org, number, "teller").await.map(drop),
            _ => self.farthing.dismiss_conflict(self.org, number, "teller").await,
        };
        self.answer = done.map_or_else(|e| e.to_string(), |()| "done".to_owned());
    }

    /// `by team,model [from T] [until T] [zone Z] [where user=x]` answers `search haiku 0.5, - haiku 1`.
    async fn spend(&mut self, rest: &str) {
        let mut query = Query::default();
        let mut words = rest.split_whitespace();
        while let (Some(word), Some(value)) = (words.next(), words.next()) {
            let instant = || farthing::time::Instant::parse_date_or_instant(value).unwrap();
            match word {
                "by" => query.by = value.split(',').map(|name| Dimension::named(name).unwrap()).collect(),
                "from" => query.from = Some(instant()),
                "until" => query.until = Some(instant()),
                "zone" => query.zone = value.parse().unwrap(),
                "where" => {
                    let (name, value) = value.split_once('=').unwrap();
                    query.filters.push(Filter { dimension: Dimension::named(name).unwrap(), values: vec![value.to_owned()] });
                }
                _ => panic!("{}: what is `{word}`?", self.at),
            }
        }
        let answer = self.farthing.report(self.org, &query).await.unwrap();
        let csv = answer.table.to_csv();
        let rows = csv.lines().skip(1).map(|row| {
            let cells: Vec<&str> = row.split(',').collect();
            let (dimensions, sums) = cells.split_at(cells.len() - 3);
            let dimensions = dimensions.iter().map(|cell| if cell.is_empty() { "-" } else { *cell });
            dimensions.chain([sums[0]]).collect::<Vec<_>>().join(" ")
        });
        let rows: Vec<String> = rows.collect();
        self.answer = if rows.is_empty() { "nothing".to_owned() } else { rows.join(", ") };
    }

    async fn verify(&mut self) {
        let verified = self.farthing.verify_deep(self.org, |_, _| {}).await.unwrap();
        assert!(verified.is_ok(), "{}: {verified:?}", self.at);
        self.answer = "ok".to_owned();
    }

    async fn arrow(&mut self, arrow: &str) {
        let (word, rest) = arrow.split_once([' ', ':']).unwrap_or((arrow, ""));
        let rest = rest.trim_start_matches(':').trim();
        let at = self.at.clone();
        match (word, &self.outcome) {
            ("posts", _) => self.posts(rest).await,
            ("and", _) => self.posts(rest).await,
            ("because", _) => self.because(rest).await,
            ("line", _) => self.items(rest).await,
            ("above", _) => self.above(rest).await,
            ("posted", Some(Outcome::Posted { amount, .. })) => assert_eq!(amount.to_string(), plain(rest), "{at}"),
            ("already", Some(outcome)) => assert_eq!(*outcome, Outcome::AlreadyPresent, "{at}"),
            ("evidence", Some(outcome)) => assert!(matches!(outcome, Outcome::Evidence { .. }), "{at}: {outcome:?}"),
            ("held", Some(Outcome::Held { reason, detail })) => {
                let (code, text) = rest.split_once(':').unwrap_or((rest, ""));
                assert_eq!(reason.name(), code.trim(), "{at}: {detail}");
                assert!(detail.contains(text.trim()), "{at}: {detail}");
            }
            ("conflict", Some(Outcome::Conflict { fields, .. })) => assert_eq!(fields.join(", "), rest, "{at}"),
            (_, Some(outcome)) => panic!("{at}: {outcome:?}"),
            (_, None) if self.refused.is_some() => {
                let said = format!("rejected {}", self.refused.as_deref().unwrap_or_default());
                assert!(said.starts_with(arrow), "{at}: {said}");
            }
            _ => assert_eq!(self.answer, arrow, "{at}"),
        }
    }

    /// The ceiling that the last entry of the event is above, or `nothing`.
    async fn above(&self, expected: &str) {
        let (entries, names) = self.entries().await;
        let above = entries.last().and_then(|entry| entry.above).map_or("nothing", |above| names.text(above).unwrap());
        assert!(above.contains(expected), "{}: {above}", self.at);
    }

    async fn entries(&self) -> (Vec<Entry>, Names) {
        let sources: Vec<&str> =
            self.sent.get(&self.id).and_then(|event| event["source"].as_str()).into_iter().chain(["gateway"]).collect();
        let key = self.farthing.store.event_key(self.org, sources[0], &self.id);
        let number =
            self.farthing.store.once(self.org, key).await.unwrap().unwrap_or_else(|| panic!("{}: no such event", self.at));
        let booked = self.farthing.store.entries_of(self.org, EventNumber(number)).await.unwrap();
        let entries: Vec<Entry> = booked.into_iter().map(|booked| booked.entry).collect();
        let mut names = Names::default();
        let accounts: Vec<_> = entries.iter().flat_map(|entry| [entry.posting.debit(), entry.posting.credit()]).collect();
        let accounts: Vec<_> = accounts.into_iter().chain(entries.iter().filter_map(|entry| entry.above)).collect();
        names.learn(&self.farthing.store, self.org, &[], &[], &accounts).await.unwrap();
        (entries, names)
    }

    /// `cost:search/- <- payable:acme 0.5`: one of the event's entries.
    async fn posts(&self, rest: &str) {
        let (entries, names) = self.entries().await;
        let said: Vec<String> = entries
            .iter()
            .map(|entry| {
                let (debit, credit) = (names.text(entry.posting.debit()).unwrap(), names.text(entry.posting.credit()).unwrap());
                format!("{debit} <- {credit} {}", entry.posting.amount())
            })
            .collect();
        if rest == "nothing" {
            assert!(said.is_empty(), "{}: {said:?}", self.at);
            return;
        }
        let words: Vec<&str> = rest.split_whitespace().collect();
        let wanted = format!("{} <- {} {}", words[0], words[2], plain(words[3]));
        assert!(said.contains(&wanted), "{}: {said:?}", self.at);
    }

    /// `input 1000 x 0.25/M`, `output 7 x 1/M as reasoning`, `whole 0.02`: a line item of the event's last charge.
    async fn items(&self, rest: &str) {
        let (entries, _) = self.entries().await;
        let items = entries.iter().flat_map(|entry| &entry.items).map(|item| {
            let rate = item.rate.map_or(String::new(), |rate| {
                let quoted = if item.meter.is_token() { rate.quoted_per(6) + "/M" } else { rate.to_string() };
                format!(" {} x {quoted}", item.quantity)
            });
            let inherited = item.inherited_from.map_or(String::new(), |meter| format!(" as {}", meter.name()));
            let amount = if item.rate.is_none() { format!(" {}", item.amount) } else { String::new() };
            format!("{}{rate}{amount}{inherited}", item.meter.name())
        });
        let items: Vec<String> = items.collect();
        let wanted = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(items.contains(&wanted), "{}: {items:?}", self.at);
    }

    /// A step of the explanation of the event's price.
    async fn because(&self, rest: &str) {
        let context = Context { received_at: now(), source: None, strict: false };
        let event = native::read(&Value::Object(self.sent[&self.id].clone()).to_string(), &context).unwrap();
        let in_force = self.farthing.in_force(self.org).await.unwrap();
        let quote = quote(event, &in_force);
        let mut steps = quote.tried;
        if let Rating::Rated(rated) = &quote.rating {
            steps.push(format!("layer {}", rated.layer.name()));
        }
        assert!(steps.iter().any(|step| step.contains(rest)), "{}: {steps:#?}", self.at);
    }
}

/// Applies `team:search haiku input 1_000 ...` to an event.
fn apply(event: &mut Map<String, Value>, text: &str, at: &str) {
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        if let Some(meter) = Meter::named(word) {
            let count: u64 =
                words.next().unwrap().replace('_', "").parse().unwrap_or_else(|_| panic!("{at}: {word} counts what?"));
            let usage = event.entry("usage").or_insert_with(|| json!({}));
            usage[meter.name()] = json!(count);
        } else if word.len() > 10 && word.as_bytes()[4] == b'-' && word.as_bytes()[10] == b'T' {
            event.insert("occurred_at".to_owned(), json!(word));
        } else if let Some((name, value)) = word.split_once('=').filter(|(name, _)| *name == "usage") {
            event.insert(name.to_owned(), serde_json::from_str(value).unwrap());
        } else if let Some((name, value)) = word.split_once(':').filter(|(name, _)| !name.contains('/')) {
            match name {
                "reported" | "claimed" => {
                    let by = if name == "reported" { "provider" } else { "gateway" };
                    event.insert("reported".to_owned(), json!({"by": by, "amount": value, "currency": "USD"}));
                }
                "upstream" => {
                    event["reported"]["byok"] = json!(true);
                    event["reported"]["upstream_amount"] = json!(value);
                }
                "call" => drop(event.insert("provider_request_id".to_owned(), json!(value))),
                "tier" => drop(event.insert("service_tier".to_owned(), json!(value))),
                "calls" => drop(event.insert(name.to_owned(), json!(value.parse::<u64>().unwrap()))),
                "model" | "source" | "provider" | "user" | "team" | "project" | "key" | "app" | "agent" | "environment"
                | "outcome" | "variant" | "served_by" | "requested_model" | "region" | "session" => {
                    drop(event.insert(name.to_owned(), json!(value)))
                }
                _ => drop(event.insert("model".to_owned(), json!(word))),
            }
        } else {
            event.insert("model".to_owned(), json!(word));
        }
    }
}

/// `0.50 USD` as the plain text of an amount.
fn plain(text: &str) -> String {
    Amount::parse(text.trim_end_matches("USD").trim()).unwrap().to_string()
}
