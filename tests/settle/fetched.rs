//! What is missing here is asked of the provider and booked once, whoever else tells of it and when; what is held for want of
//! its usage is completed; and whatever comes between them, a line ends at the settled amount with whoever made the call.

use super::*;
use crate::support::provider::{Provider, Say, json as answer, status};
use farthing::flow::reconcile::Fetched;
use farthing::flow::reconcile::fetch::Allowance;
use farthing::provider::openrouter::{Keys, Openrouter, Patience};
use farthing::provider::secret::Secret;
use farthing::rating::HeldReason;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The record of a generation as `/generation` answers it: a thousand tokens in, unless its fields say otherwise.
pub(super) fn record(id: &str, cost: &str, fields: &Value) -> String {
    let mut data = json!({"id": format!("gen-{id}"), "created_at": "2026-02-03T12:00:00.000Z", "model": "a/b-20260101",
        "native_tokens_prompt": 1_000, "native_tokens_completion": 0, "is_byok": false, "origin": ""});
    for (name, value) in fields.as_object().unwrap() {
        data[name] = value.clone();
    }
    // A number as it is printed, which need not be what a double makes of it.
    let cost = format!(r#"{{"data":{{"total_cost":{cost},"#);
    data.to_string().replacen('{', &cost, 1) + "}"
}

pub(super) fn asked_for(request: &str) -> Option<String> {
    let id = request.strip_prefix("GET /api/v1/generation?id=gen-")?;
    Some(id.split_whitespace().next()?.to_owned())
}

/// Books that know the records of these generations and of no others.
pub(super) fn knowing(records: Vec<(&'static str, String)>) -> Provider {
    Provider::answering(move |request| {
        let id = asked_for(request);
        let known = records.iter().find(|(known, _)| id.as_deref() == Some(known));
        known.map_or(status(404), |(_, record)| answer(record.as_str()))
    })
}

pub(super) fn books(provider: &Provider) -> Openrouter {
    let secret = Secret::of("KEY", "sk-or-canary").unwrap();
    let keys = Keys { management: secret.clone(), inference: secret };
    let patience =
        Patience { timeout: Duration::from_secs(5), first_pause: Duration::from_millis(1), record: Duration::from_millis(1) };
    Openrouter::new(&format!("{}/api/v1", provider.url), keys, patience).unwrap()
}

async fn fetch(farthing: &Farthing, provider: &Provider, run: &Reconciled) -> Fetched {
    farthing.fetch_missing(ORG, &books(provider), run, Allowance::of(100)).await.unwrap()
}

fn generations(provider: &Provider) -> Vec<String> {
    let mut ids: Vec<String> = provider.asked().iter().filter_map(|request| asked_for(request)).collect();
    ids.sort();
    ids
}

pub(super) fn rows<'a>(ids: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str, &'a str, u64, Value)> {
    ids.iter().map(|(id, cost)| (*id, THEIR_NOON, *cost, 1_000, json!({}))).collect()
}

/// A book in which what the provider says it charged is what is booked.
pub(super) async fn opened(database: &TestDatabase) -> Farthing {
    let farthing = open(database).await;
    publish(&farthing, &prices(1).replace("absent:", "cost_basis: reported\nabsent:")).await;
    farthing
}

#[test]
fn what_is_missing_here_is_fetched_and_booked_once() {
    both(async |database| {
        let farthing = opened(database).await;
        send(&farthing, &call("here", NOON, &json!({}))).await;
        let ids = [("here", "0.001"), ("lost", "0.25"), ("ours", "0.5"), ("unknown", "0.125")];
        let statement = import(&farthing, &export(&rows(&ids))).await;
        let provider = knowing(vec![
            ("lost", record("lost", "0.25", &json!({}))),
            ("ours", record("ours", "0.5", &json!({"external_user": "bo"}))),
        ]);
        let run = compare(&farthing, statement).await;
        let fetched = fetch(&farthing, &provider, &run).await;
        assert_eq!(fetched, Fetched { asked: 3, posted: 2, not_yet: 1, ..Fetched::default() });
        assert_eq!(generations(&provider), ["lost", "ours", "unknown"], "what is here is not asked for");
        assert_eq!(findings(&compare(&farthing, statement).await), ["missing_here 0.125 gen-unknown"]);
        assert_eq!(balance(&farthing, "cost:-/bo").await, "0.5");

        // It says where it comes from, and the same run again asks only for what is not known yet.
        assert_eq!(spend(&farthing, Dimension::Source).await["openrouter-reconciliation"], "0.75");
        assert_eq!(fetch(&farthing, &provider, &run).await, Fetched { asked: 1, not_yet: 1, ..Fetched::default() });
        whole(&farthing).await;
    });
}

#[test]
fn the_key_that_a_statement_names_is_kept_and_what_is_nobodys_says_so() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = opened(&database).await;
        let statement = import(&farthing, &export(&rows(&[("keyed", "0.25")]))).await;
        let provider = knowing(vec![("keyed", record("keyed", "0.25", &json!({})))]);
        let fetched = fetch(&farthing, &provider, &compare(&farthing, statement).await).await;
        assert_eq!((fetched.posted, fetched.unowned), (1, 0));
        assert_eq!(spend(&farthing, Dimension::Key).await["prod"], "0.25");

        // An answer of the API, kept as a statement, names no key.
        let text = record("alone", "0.125", &json!({}));
        let statement = import(&farthing, &text).await;
        let fetched = fetch(&farthing, &knowing(vec![("alone", text)]), &compare(&farthing, statement).await).await;
        assert_eq!(fetched.to_string(), "1 generations asked for, 1 posted, 1 of them nobody's");
        assert_eq!(balance(&farthing, "cost:-/-").await, "0.375");
        whole(&farthing).await;
    });
}

#[test]
fn a_gateway_that_tells_of_it_before_or_after_is_charged_once_and_bears_it() {
    both(async |database| {
        let farthing = opened(database).await;
        let told = |id: &str| {
            call(id, NOON, &json!({"reported": {"by": "provider", "amount": "0.25"}, "provider_request_id": "gen-lost"}))
        };
        let statement = import(&farthing, &export(&rows(&[("lost", "0.25")]))).await;
        let provider = knowing(vec![("lost", record("lost", "0.25", &json!({})))]);
        let run = compare(&farthing, statement).await;
        assert_eq!(fetch(&farthing, &provider, &run).await.posted, 1);
        assert_eq!(balance(&farthing, "cost:-/-").await, "0.25");
        send(&farthing, &told("late")).await;
        assert_eq!(
            (balance(&farthing, "cost:-/-").await, balance(&farthing, "cost:search/ann").await),
            ("0".into(), "0.25".into())
        );
        assert_eq!(findings(&compare(&farthing, statement).await), [""; 0]);

        // An older run does not ask for what is booked by now, and an answer that was under way is evidence.
        assert_eq!(fetch(&farthing, &provider, &run).await, Fetched::default());
        let other = open_again(database).await;
        let slow = Arc::new(provider_that_waits("slow", &record("slow", "0.25", &json!({}))));
        let statement = import(&farthing, &export(&rows(&[("slow", "0.25")]))).await;
        let run = compare(&farthing, statement).await;
        let asked = slow.clone();
        let (fetched, ()) = tokio::join!(fetch(&farthing, &asked, &run), async {
            while slow.asked().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let mut event = told("quick");
            event["provider_request_id"] = json!("gen-slow");
            send(&other, &event).await;
        });
        assert_eq!(fetched, Fetched { asked: 1, known: 1, ..Fetched::default() });
        assert_eq!(balance(&farthing, "payable:openrouter").await, "-0.5");
        whole(&farthing).await;
    });
}

async fn open_again(database: &TestDatabase) -> Farthing {
    Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap()
}

fn provider_that_waits(id: &'static str, record: &str) -> Provider {
    let record = record.to_owned();
    Provider::answering(move |request| {
        std::thread::sleep(Duration::from_millis(500));
        if asked_for(request).as_deref() == Some(id) { answer(record.as_str()) } else { status(404) }
    })
}

#[test]
fn two_processes_that_fetch_at_once_book_once() {
    both(async |database| {
        let farthing = opened(database).await;
        let other = open_again(database).await;
        let ids: Vec<(&'static str, String)> = (0..40).map(|n| (&*format!("n{n}").leak(), format!("0.{:03}", n + 1))).collect();
        let lines: Vec<_> = ids.iter().map(|(id, cost)| (*id, cost.as_str())).collect();
        let statement = import(&farthing, &export(&rows(&lines))).await;
        let provider = knowing(ids.iter().map(|(id, cost)| (*id, record(id, cost, &json!({})))).collect());
        let run = compare(&farthing, statement).await;
        let (one, two) = tokio::join!(fetch(&farthing, &provider, &run), fetch(&other, &provider, &run));
        assert_eq!((one.posted + two.posted, one.known + two.known), (40, 40), "{one} {two}");
        assert_eq!(findings(&compare(&farthing, statement).await), [""; 0]);
        assert_eq!(balance(&farthing, "payable:openrouter").await, "-0.82");
        whole(&farthing).await;
    });
}

#[test]
fn a_run_asks_for_so_many_and_what_was_asked_least_comes_first() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = opened(&database).await;
        let ids = [("a", "0.4"), ("b", "0.3"), ("c", "0.2"), ("d", "0.1")];
        let statement = import(&farthing, &export(&rows(&ids))).await;
        let provider = knowing(vec![("d", record("d", "0.1", &json!({})))]);
        let books = books(&provider);
        let run = compare(&farthing, statement).await;
        let two = farthing.fetch_missing(ORG, &books, &run, Allowance::of(2)).await.unwrap();
        assert_eq!((two.asked, two.not_yet, two.left), (2, 2, 2));
        assert_eq!(generations(&provider), ["a", "b"], "the dearest first");
        let two = farthing.fetch_missing(ORG, &books, &run, Allowance::of(2)).await.unwrap();
        assert_eq!((two.posted, two.not_yet), (1, 1), "what is never known keeps nothing else waiting");
    });
}

#[test]
fn what_is_not_known_there_yet_is_asked_for_again_by_a_later_run() {
    both(async |database| {
        let farthing = opened(database).await;
        let statement = import(&farthing, &export(&rows(&[("soon", "0.25"), ("told", "0.5"), ("never", "0.125")]))).await;
        let nothing = knowing(Vec::new());
        assert_eq!(fetch(&farthing, &nothing, &compare(&farthing, statement).await).await.not_yet, 3);
        // Its gateway tells of one of them meanwhile.
        send(&farthing, &call("told", NOON, &json!({"reported": {"by": "provider", "amount": "0.5"}}))).await;
        let provider = knowing(vec![("soon", record("soon", "0.25", &json!({})))]);
        let again = farthing.fetch_again(ORG, &books(&provider), 100).await.unwrap();
        assert_eq!(again, Fetched { asked: 2, posted: 1, not_yet: 1, unowned: 0, ..Fetched::default() });
        assert_eq!(generations(&provider), ["never", "soon"]);
        assert_eq!(findings(&compare(&farthing, statement).await), ["missing_here 0.125 gen-never"]);
        let last = farthing.fetch_again(ORG, &books(&provider), 100).await.unwrap();
        assert_eq!((last.asked, last.not_yet), (1, 1));
    });
}

#[test]
fn an_event_without_an_id_may_be_what_seems_to_be_missing_so_a_person_decides() {
    both(async |database| {
        let farthing = opened(database).await;
        // Counted otherwise and priced otherwise, so no line resembles it.
        let nameless = json!({"provider_request_id": null, "usage": {"input": 700, "output": 0}});
        send(&farthing, &call("nameless", "2026-02-03T12:01:00Z", &nameless)).await;
        let lines = [("x", THEIR_NOON, "0.25", 1_000, json!({})), ("y", "2026-02-03 15:00:00.000", "0.5", 1_000, json!({}))];
        let statement = import(&farthing, &export(&lines)).await;
        let later = json!({"created_at": "2026-02-03T15:00:00.000Z"});
        let provider = knowing(vec![("x", record("x", "0.25", &json!({}))), ("y", record("y", "0.5", &later))]);
        let fetched = fetch(&farthing, &provider, &compare(&farthing, statement).await).await;
        assert_eq!((fetched.posted, fetched.doubtful), (1, 1));
        assert_eq!(findings(&compare(&farthing, statement).await), ["missing_here 0.25 gen-x", "missing_there -0.0007"]);
    });
}

#[test]
fn an_event_without_an_id_is_that_wherever_it_stands() {
    both(async |database| {
        let farthing = opened(database).await;
        let nameless = |fields: Value| {
            let mut all = json!({"provider_request_id": null, "usage": {"input": 700, "output": 0}});
            all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            all
        };
        // On the day before, held for want of its usage, booked for nothing, and without the key of the statement.
        send(&farthing, &call("before", "2026-02-02T23:58:00Z", &nameless(json!({})))).await;
        send(&farthing, &call("held", "2026-02-03T06:00:00Z", &nameless(json!({"usage": null, "outcome": "cancelled"})))).await;
        let for_nothing = nameless(json!({"reported": {"by": "provider", "amount": "0"}}));
        send(&farthing, &call("free", "2026-02-03T09:00:00Z", &for_nothing)).await;
        send(&farthing, &call("keyed", "2026-02-04T12:00:00Z", &nameless(json!({"key": "hash-of-prod"})))).await;
        let at = [("a", "03 00:01"), ("b", "03 06:02"), ("c", "03 09:02"), ("d", "03 15:00")];
        let ids = at.map(|(id, at)| (id, format!("2026-02-{at}:00")));
        let records =
            ids.iter().map(|(id, at)| (*id, record(id, "0.25", &json!({"created_at": format!("{}Z", at.replace(' ', "T"))}))));
        let provider = knowing(records.collect());
        let lines: Vec<_> = ids.iter().map(|(id, at)| (*id, at.as_str(), "0.25", 1_000, json!({}))).collect();
        let statement = import(&farthing, &export(&lines)).await;
        let fetched = fetch(&farthing, &provider, &compare(&farthing, statement).await).await;
        assert_eq!((fetched.posted, fetched.doubtful), (1, 3), "{fetched}");

        let of_prod = Origin { account: Some("prod".to_owned()), ..Origin::default() };
        let line = [("e", "2026-02-04 12:01:00", "0.25", 1_000, json!({}))];
        let statement = farthing.import_statement(ORG, &export(&line), &of_prod).await.unwrap().statement;
        let provider = knowing(vec![("e", record("e", "0.25", &json!({"created_at": "2026-02-04T12:01:00Z"})))]);
        let fetched = fetch(&farthing, &provider, &compare(&farthing, statement).await).await;
        assert_eq!((fetched.posted, fetched.doubtful), (0, 1), "{fetched}");
    });
}

#[test]
fn a_provider_that_is_away_is_not_asked_further_and_what_it_said_before_is_booked() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = opened(&database).await;
        let ids: Vec<(&'static str, String)> =
            (0..60).map(|n| (&*format!("n{n:02}").leak(), format!("0.{:02}", 99 - n))).collect();
        let lines: Vec<_> = ids.iter().map(|(id, cost)| (*id, cost.as_str())).collect();
        let statement = import(&farthing, &export(&rows(&lines))).await;
        let answered = Arc::new(Mutex::new(BTreeSet::new()));
        let records: BTreeMap<String, String> =
            ids.iter().map(|(id, cost)| ((*id).to_owned(), record(id, cost, &json!({})))).collect();
        let provider = Provider::answering({
            let answered = answered.clone();
            move |request| {
                let mut answered = answered.lock().unwrap();
                let id = asked_for(request).unwrap();
                if answered.len() == 40 {
                    return Say::HangUp;
                }
                answered.insert(id.clone());
                answer(records[&id].as_str())
            }
        });
        let run = compare(&farthing, statement).await;
        let fetched = fetch(&farthing, &provider, &run).await;
        assert_eq!(fetched.posted, 40);
        assert!(fetched.stopped.as_deref().is_some_and(|why| why.starts_with("cannot reach")), "{fetched}");
        assert!(provider.asked().len() < 60, "{}", provider.asked().len());
        let missing = compare(&farthing, statement).await.comparison.variances.len();
        assert_eq!(missing, 20);
        whole(&farthing).await;
    });
}

#[test]
fn what_is_held_for_want_of_its_usage_is_completed_from_the_record_and_stays_with_its_owner() {
    both(async |database| {
        let farthing = opened(database).await;
        publish(&farthing, "attribution:\n  - {source: gw, project: \"label:cost_center\"}\n").await;
        let cut = json!({"usage": null, "outcome": "cancelled", "labels": {"cost_center": "r7"}, "session": "s"});
        for id in ["cut", "never"] {
            send(&farthing, &call(id, NOON, &cut)).await;
        }
        assert_eq!(held(&farthing).await, 2);
        let provider = knowing(vec![("cut", record("cut", "0.25", &json!({"external_user": "somebody"})))]);
        let completed = farthing.fetch_for_held(ORG, &books(&provider), 100).await.unwrap();
        assert_eq!(completed, Fetched { asked: 2, completed: 1, not_yet: 1, ..Fetched::default() });
        assert_eq!((held(&farthing).await, balance(&farthing, "cost:search/ann").await), (1, "0.25".to_owned()));
        assert_eq!(spend(&farthing, Dimension::Project).await["r7"], "0.25");
        let explained = farthing.explain(ORG, "gw", "cut").await.unwrap().unwrap();
        assert_eq!(&*explained.booked_with.unwrap().event.source, "openrouter-reconciliation");

        // Its own gateway has its usage after all: one charge, on the gateway's word.
        let late = json!({"labels": {"cost_center": "r7"}, "session": "s", "reported": {"by": "provider", "amount": "0.26"}});
        send(&farthing, &call("cut", NOON, &late)).await;
        assert_eq!(balance(&farthing, "payable:openrouter").await, "-0.26");
        assert_eq!(farthing.store.open_conflicts(ORG).await.unwrap(), 0);
        whole(&farthing).await;
    });
}

async fn held(farthing: &Farthing) -> usize {
    farthing.held(ORG, Some(HeldReason::UsageMissing), farthing::id::EventNumber(0), 100).await.unwrap().len()
}

#[test]
fn a_true_up_that_was_posted_already_goes_back_and_who_made_the_call_bears_it() {
    both(async |database| {
        let farthing = opened(database).await;
        let statement = import(&farthing, &export(&rows(&[("lost", "0.25")]))).await;
        let run = compare(&farthing, statement).await;
        farthing.true_up(ORG, &run, None, "ann").await.unwrap();
        assert_eq!(balance(&farthing, "cost:-/-").await, "0.25");
        let provider = knowing(vec![("lost", record("lost", "0.2", &json!({"external_user": "bo"})))]);
        assert_eq!(fetch(&farthing, &provider, &run).await.posted, 1);
        farthing.true_up(ORG, &run, None, "ann").await.unwrap();
        assert_eq!(balances(&farthing, ["cost:-/-", "cost:-/bo", "payable:openrouter"]).await, ["0", "0.25", "-0.25"]);
        assert_eq!(findings(&compare(&farthing, statement).await), [""; 0]);
        whole(&farthing).await;
    });
}

#[test]
fn what_was_trued_up_by_its_generation_goes_back_to_whoever_bore_it_when_its_day_is_settled() {
    both(async |database| {
        let farthing = opened(database).await;
        let by_generation = import(&farthing, &export(&rows(&[("lost", "0.25")]))).await;
        farthing.true_up(ORG, &compare(&farthing, by_generation).await, None, "ann").await.unwrap();
        send(&farthing, &call("lost", NOON, &json!({"user": "bo", "team": null}))).await;
        let of_day = format!(
            r#"{{"data":[{{"date":"{} 00:00:00","model_permaslug":"a/b-20260101","usage":0.3,"requests":1,"prompt_tokens":1000,"completion_tokens":0}}]}}"#,
            &NOON[..10]
        );
        let of_day = import(&farthing, &of_day).await;
        let done = farthing.true_up(ORG, &compare(&farthing, of_day).await, None, "ann").await.unwrap();
        assert_eq!((done.posted, done.were_there, done.left), (1, 0, 0));
        assert_eq!(balances(&farthing, ["cost:-/-", "cost:-/bo", "payable:openrouter"]).await, ["0", "0.3", "-0.3"]);
        whole(&farthing).await;
    });
}

#[test]
fn what_was_guessed_to_be_a_call_goes_back_to_whoever_bore_it_when_the_call_is_told_of() {
    both(async |database| {
        let farthing = opened(database).await;
        let reported = |id: &str, fields: Value| {
            let mut event = call(id, NOON, &json!({"team": null, "reported": {"by": "provider", "amount": "0.2"}}));
            event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            event
        };
        send(&farthing, &reported("nameless", json!({"user": null, "provider_request_id": null}))).await;
        let statement = import(&farthing, &export(&rows(&[("known", "0.25")]))).await;
        let run = compare(&farthing, statement).await;
        assert_eq!(run.comparison.guesses.len(), 1);
        farthing.true_up(ORG, &run, None, "ann").await.unwrap();
        assert_eq!(balance(&farthing, "cost:-/-").await, "0.25");
        send(&farthing, &reported("known", json!({"user": "bo"}))).await;
        farthing.true_up(ORG, &compare(&farthing, statement).await, None, "ann").await.unwrap();
        assert_eq!(findings(&compare(&farthing, statement).await), [""; 0]);
        assert_eq!(balances(&farthing, ["cost:-/-", "cost:-/bo", "payable:openrouter"]).await, ["0", "0.25", "-0.25"]);
        whole(&farthing).await;
    });
}

#[test]
fn fetches_late_events_corrections_and_true_ups_in_any_order_end_at_the_settled_amount() {
    for seed in 0..12 {
        let database = TestDatabase::new(if seed % 4 == 0 { Kind::Postgres } else { Kind::Sqlite });
        block_on(async {
            let farthing = open(&database).await;
            let mut random = Random::new(seed);
            let ids = ["a", "b", "c", "d", "e"];
            let costs: Vec<String> = ids.iter().map(|_| format!("0.{:06}", 1 + random.below(9_999))).collect();
            let lines: Vec<_> = ids.iter().zip(&costs).map(|(id, cost)| (*id, cost.as_str())).collect();
            let statement = import(&farthing, &export(&rows(&lines))).await;
            // What the provider says of one of them is not what it billed in the end, and one it never knows.
            let records = lines[..4].iter().enumerate();
            let records = records.map(|(n, (id, cost))| (*id, record(id, if n == 0 { "0.5" } else { cost }, &json!({}))));
            let provider = knowing(records.collect());
            let mut runs = vec![compare(&farthing, statement).await];
            for _ in 0..14 {
                match random.below(5) {
                    0 => {
                        let id = random.pick::<&str>(&ids);
                        let usage = if random.below(3) == 0 { json!({"usage": null, "outcome": "cancelled"}) } else { json!({}) };
                        send(&farthing, &call(id, NOON, &usage)).await;
                    }
                    1 => correct(&farthing, 1 + random.below(3)).await,
                    2 => runs.push(compare(&farthing, statement).await),
                    3 => drop(fetch(&farthing, &provider, random.pick(&runs)).await),
                    _ => drop(farthing.true_up(ORG, random.pick(&runs), None, "ann").await.unwrap()),
                }
            }
            farthing.true_up(ORG, &runs[0], None, "ann").await.unwrap();
            let last = compare(&farthing, statement).await;
            assert!(last.comparison.outside(&last.tolerance).next().is_none(), "seed {seed}: {:?}", findings(&last));
            let sum: Amount = costs.iter().map(|cost| money(cost)).sum();
            assert_eq!(balance(&farthing, "payable:openrouter").await, (-sum).to_string(), "seed {seed}");
            whole(&farthing).await;
        });
    }
}
