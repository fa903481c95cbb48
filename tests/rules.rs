//! The rules of an org: who bears what a source sends, and whose word counts where two sources tell of one call.

use crate::support::database::{Kind, TestDatabase, block_on};
use farthing::catalog::source::own;
use farthing::flow::ingest::{Outcome, Prepared};
use farthing::flow::publish::{CatalogFiles, Published, Wish};
use farthing::flow::{Farthing, now, rerate};
use farthing::id::{EventNumber, Org};
use farthing::ledger::EntryKind;
use farthing::report::{Cell, Dimension, Measure, Query};
use farthing::store::EntryFilter;
use farthing::usage::Text;
use farthing::usage::dialect::{Context, native};

const ACME: &str =
    "provider: acme\nabsent: unknown\nmodels:\n  - model: haiku\n    cards: [{input_per_1m: \"1\", output_per_1m: \"2\"}]\n";

async fn book(database: &TestDatabase) -> (Farthing, Org) {
    let unique = format!("farthing-rules-{}-{}.yaml", std::process::id(), now().micros());
    let file = std::env::temp_dir().join(unique);
    std::fs::write(&file, ACME).unwrap();
    let farthing = Farthing::open(&database.options(), &CatalogFiles::At(file.clone())).await.unwrap();
    std::fs::remove_file(file).unwrap();
    let org = farthing.store.org("main").await.unwrap();
    (farthing, org)
}

async fn publish(farthing: &Farthing, org: Org, yaml: &str) -> Published {
    let parts = own::read(yaml).unwrap_or_else(|mistakes| panic!("{}", mistakes[0]));
    farthing.publish(org, &Wish { parts, accept: true, ..Wish::default() }).await.unwrap()
}

/// An event of a source, with further fields.
async fn prepared(farthing: &Farthing, org: Org, source: &str, id: &str, fields: &str) -> Prepared {
    let context = Context { received_at: now(), source: None, strict: true };
    let json = format!(
        r#"{{"id":"{id}","source":"{source}","occurred_at":"2026-02-03T10:00:00Z","provider":"acme","model":"haiku",{fields}}}"#
    );
    let event = native::read(&json, &context).unwrap();
    farthing.prepare(org, &farthing.newest(org).await.unwrap(), event)
}

async fn send(farthing: &Farthing, org: Org, source: &str, id: &str, fields: &str) -> Outcome {
    let event = prepared(farthing, org, source, id, fields).await;
    farthing.commit_events(&[event], || false).await.unwrap().remove(0)
}

/// What every account owes or is owed, in words, and the number of entries.
async fn borne(farthing: &Farthing, org: Org) -> (Vec<String>, usize) {
    let booked = farthing.store.entries(org, &EntryFilter { limit: 1_000, ..EntryFilter::default() }).await.unwrap();
    let names = farthing.names_of(org, &booked).await.unwrap();
    let (mut sums, none) = (std::collections::BTreeMap::new(), farthing::ledger::Chart::new([]));
    for entry in booked.iter().map(|booked| &booked.entry) {
        let owner = if entry.kind == EntryKind::Reversal { entry.posting.credit() } else { entry.posting.debit() };
        *sums.entry(names.text(owner).unwrap().to_owned()).or_insert(farthing::money::Amount::ZERO) += entry.signed_amount(&none);
    }
    let sums = sums.into_iter().filter(|(_, sum)| !sum.is_zero()).map(|(owner, sum)| format!("{owner} {sum}"));
    (sums.collect(), booked.len())
}

fn both(test: impl AsyncFn(&TestDatabase)) {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(test(&database));
    }
}

const USED: &str = r#""usage":{"input":1000000,"output":0}"#;

#[test]
fn a_rule_decides_who_bears_an_event_and_the_producers_word_stays_on_record() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        publish(&farthing, org, "attribution:\n  - source: gw-*\n    team: [label:cost_center]\n    key: nobody\n").await;
        let labelled = format!(r#"{USED},"user":"ann","team":"x","labels":{{"cost_center":"cc/1"}}"#);
        send(&farthing, org, "gw-eu", "a", &labelled).await;
        send(&farthing, org, "gw-eu", "b", &format!(r#"{USED},"user":"ann","team":"x""#)).await;
        send(&farthing, org, "other", "c", &labelled).await;
        assert_eq!(borne(&farthing, org).await.0, ["cost:cc%2F1/ann 1", "cost:x/ann 2"]);

        let explained = farthing.explain(org, "gw-eu", "a").await.unwrap().unwrap();
        assert_eq!(explained.standing.event.owner.team.as_deref(), Some("x"), "what was said");
        assert_eq!(explained.owner().unwrap().team.as_deref(), Some("cc/1"), "what was ruled");
        assert!(explained.tried.iter().any(|step| step == "by rule it is borne by user ann, team cc/1"), "{:?}", explained.tried);
        // Sent again it is the same event: sameness is judged on what was said.
        assert_eq!(send(&farthing, org, "gw-eu", "a", &labelled).await, Outcome::AlreadyPresent);
        assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
    });
}

#[test]
fn a_chargeback_follows_the_owner_that_a_rule_names() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        publish(&farthing, org, "provider: acme\noverrides:\n  - {kind: chargeback, team: search, input_per_1m: \"3\"}\n").await;
        publish(&farthing, org, "attribution:\n  - team: label:feature\n").await;
        send(&farthing, org, "gw", "a", &format!(r#"{USED},"team":"x","labels":{{"feature":"search"}}"#)).await;
        // 1 USD is owed to the provider, and the two of the margin are borne on top.
        assert_eq!(borne(&farthing, org).await.0, ["cost:search/- 3"]);
    });
}

#[test]
fn a_rerating_attributes_again_when_rules_changed_and_only_then() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        for (id, team) in [("a", "search"), ("b", "ads"), ("c", "search")] {
            let fields = format!(r#"{USED},"user":"ann","labels":{{"feature":"{team}"}}"#);
            send(&farthing, org, "gw", id, &fields).await;
        }
        assert_eq!(borne(&farthing, org).await, (vec!["cost:-/ann 3".to_owned()], 3));

        let ruled = publish(&farthing, org, "attribution:\n  - team: label:feature\n").await;
        assert_eq!(
            ruled.changes.iter().map(|change| change.to_string()).collect::<Vec<_>>(),
            ["attribution of *: team from label:feature: added"]
        );
        let wish = |dry_run| rerate::Wish { dry_run, reason: "by feature".to_owned(), ..rerate::Wish::default() };
        let tried = farthing.rerate(org, &wish(true), |_| {}).await.unwrap();
        assert_eq!((tried.examined, tried.changed, tried.reattributed, tried.posted), (3, 3, 3, 0));
        assert_eq!(borne(&farthing, org).await.1, 3, "a dry run posts nothing");

        let done = farthing.rerate(org, &wish(false), |_| {}).await.unwrap();
        assert_eq!((done.changed, done.reattributed, done.posted), (3, 3, 6));
        // The money is the same; it is borne by others, and the way there can be seen.
        assert_eq!(borne(&farthing, org).await, (vec!["cost:ads/ann 1".to_owned(), "cost:search/ann 2".to_owned()], 9));
        let explained = farthing.explain(org, "gw", "a").await.unwrap().unwrap();
        let entries: Vec<_> = explained.booked.iter().map(|booked| (booked.entry.kind, booked.entry.turn)).collect();
        assert_eq!(entries, [(EntryKind::Charge, 0), (EntryKind::Reversal, 1), (EntryKind::Charge, 1)]);
        let reason = explained.names.text(explained.booked[2].entry.reason.unwrap()).unwrap();
        assert_eq!(reason, format!("version {}: by feature", ruled.version.unwrap()));

        let again = farthing.rerate(org, &wish(false), |_| {}).await.unwrap();
        assert_eq!((again.changed, again.reattributed, again.posted), (0, 0, 0));
        assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
    });
}

#[test]
fn a_held_event_is_attributed_by_the_rules_that_are_in_force_when_it_is_posted() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        let used = r#""usage":{"input":1000000,"cache_read":1},"labels":{"feature":"search"}"#;
        assert!(matches!(send(&farthing, org, "gw", "a", used).await, Outcome::Held { .. }));
        publish(&farthing, org, "attribution:\n  - team: label:feature\n").await;
        publish(&farthing, org, &ACME.replace("output_per_1m", "cache_read_per_1m")).await;
        let held = farthing.held(org, None, EventNumber(0), 10).await.unwrap();
        assert_eq!((held.len(), borne(&farthing, org).await.0), (0, vec!["cost:search/- 1.000002".to_owned()]));
    });
}

#[test]
fn rules_are_one_part_and_are_carried_over_by_other_publishes() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        publish(&farthing, org, "ranking: [broadcast]\n").await;
        publish(&farthing, org, &ACME.replace("\"2\"", "\"4\"")).await;
        let in_force = farthing.newest(org).await.unwrap();
        assert_eq!(in_force.catalog.rules().lines(), ["ranking: broadcast"]);
        let gone = Wish { remove: vec!["rules".to_owned()], accept: true, ..Wish::default() };
        let published = farthing.publish(org, &gone).await.unwrap();
        assert_eq!(
            published.changes.iter().map(|change| change.to_string()).collect::<Vec<_>>(),
            ["ranking: broadcast: removed"]
        );
        assert!(farthing.newest(org).await.unwrap().catalog.rules().is_empty());
    });
}

// ---- two sources, one call

/// A gateway's word on call c1: a million tokens, 1 USD.
const GATEWAY: &str = r#""usage":{"input":1000000},"provider_request_id":"c1","team":"search""#;
/// The router's own: two million, 2 USD.
const ROUTER: &str = r#""usage":{"input":2000000},"provider_request_id":"c1""#;
const RANKED: &str = "ranking: [router, gw]\n";

#[test]
fn the_call_of_two_sources_is_charged_once_on_the_word_that_is_ranked_first() {
    both(async |database| {
        for (org_name, order) in [("in-order", ["gw", "router"]), ("turned-round", ["router", "gw"])] {
            let (farthing, _) = book(database).await;
            let org = farthing.create_org(org_name, &CatalogFiles::Shipped).await.unwrap();
            publish(&farthing, org, ACME).await;
            publish(&farthing, org, RANKED).await;
            for source in order {
                let word = if source == "gw" { GATEWAY } else { ROUTER };
                send(&farthing, org, source, "e", word).await;
            }
            assert_eq!(borne(&farthing, org).await.0, ["cost:-/- 2"], "{org_name}");
            // Whoever is asked leads to the same entries.
            for (source, other) in [("gw", "router"), ("router", "gw")] {
                let explained = farthing.explain(org, source, "e").await.unwrap().unwrap();
                let sum = explained.borne;
                let together = explained.booked_with.as_ref().map(|stored| stored.event.source.to_string());
                if order == ["gw", "router"] {
                    assert_eq!((sum.to_string().as_str(), together.as_deref()), ("2", Some(other)), "{source}");
                }
            }
            // Nothing of it moves when everything comes again, in whatever order.
            for source in ["router", "gw", "gw", "router"] {
                let word = if source == "gw" { GATEWAY } else { ROUTER };
                assert_eq!(send(&farthing, org, source, "e", word).await, Outcome::AlreadyPresent);
            }
            assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
            let again =
                farthing.rerate(org, &rerate::Wish { reason: "again".into(), ..rerate::Wish::default() }, |_| {}).await.unwrap();
            assert_eq!((again.examined, again.changed), (1, 0), "{org_name}");
        }
    });
}

#[test]
fn without_a_ranking_the_first_word_stays_and_the_second_is_evidence() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        send(&farthing, org, "gw", "e", GATEWAY).await;
        assert!(matches!(send(&farthing, org, "router", "e", ROUTER).await, Outcome::Evidence { .. }));
        assert_eq!(borne(&farthing, org).await, (vec!["cost:search/- 1".to_owned()], 1));
    });
}

#[test]
fn a_promotion_is_a_correction_that_one_can_see() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        publish(&farthing, org, RANKED).await;
        send(&farthing, org, "gw", "e", GATEWAY).await;
        assert!(matches!(send(&farthing, org, "router", "r", ROUTER).await, Outcome::Posted { .. }));
        let explained = farthing.explain(org, "gw", "e").await.unwrap().unwrap();
        let entries: Vec<_> = explained
            .booked
            .iter()
            .map(|booked| (booked.entry.kind, booked.entry.turn, booked.entry.posting.amount().to_string()))
            .collect();
        let expected = [(EntryKind::Charge, 0, "1"), (EntryKind::Reversal, 1, "1"), (EntryKind::Charge, 1, "2")];
        assert_eq!(entries, expected.map(|(kind, turn, amount)| (kind, turn, amount.to_owned())));
        let reason = explained.names.text(explained.booked[1].entry.reason.unwrap()).unwrap();
        assert_eq!(reason, "the word of router counts for more than that of gw");
        // A rerating works on the word that is booked.
        publish(&farthing, org, &ACME.replace("\"1\"", "\"3\"")).await;
        let done =
            farthing.rerate(org, &rerate::Wish { reason: "dearer".into(), ..rerate::Wish::default() }, |_| {}).await.unwrap();
        assert_eq!((done.examined, done.changed), (1, 1));
        assert_eq!(borne(&farthing, org).await.0, ["cost:-/- 6"]);
        assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
    });
}

#[test]
fn the_only_word_that_has_a_price_is_booked_whoever_says_it() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        publish(&farthing, org, RANKED).await;
        // The router knows of the call and not what it used; the gateway, ranked below it, does.
        let silent = r#""outcome":"failed","provider_request_id":"c1""#;
        assert!(matches!(send(&farthing, org, "router", "r", silent).await, Outcome::Held { .. }));
        assert!(matches!(send(&farthing, org, "gw", "e", GATEWAY).await, Outcome::Posted { .. }));
        assert_eq!(borne(&farthing, org).await, (vec!["cost:search/- 1".to_owned()], 1));
        assert_eq!(farthing.held(org, None, EventNumber(0), 10).await.unwrap().len(), 0);
        // When the router learns what it used, its word counts for more again.
        assert!(matches!(send(&farthing, org, "router", "r", ROUTER).await, Outcome::Posted { .. }));
        assert_eq!(borne(&farthing, org).await.0, ["cost:-/- 2"]);
        // Ranked below, it would only have been evidence.
        let less = r#""outcome":"failed","provider_request_id":"c2""#;
        send(&farthing, org, "gw", "f", less).await;
        send(&farthing, org, "router", "s", &ROUTER.replace("c1", "c2")).await;
        let late = GATEWAY.replace("c1", "c2");
        assert!(matches!(send(&farthing, org, "gw", "f", &late).await, Outcome::Evidence { .. }));
        assert_eq!(borne(&farthing, org).await.0, ["cost:-/- 4"]);
        assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
    });
}

#[test]
fn both_words_in_one_group_or_at_the_same_instant_are_charged_once() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        publish(&farthing, org, RANKED).await;
        let mut expected = 0;
        // In one group, in both orders.
        for (call, order) in [("g1", ["gw", "router"]), ("g2", ["router", "gw"])] {
            let mut group = Vec::new();
            for source in order {
                let word = if source == "gw" { GATEWAY } else { ROUTER }.replace("c1", call);
                group.push(prepared(&farthing, org, source, call, &word).await);
            }
            farthing.commit_events(&group, || false).await.unwrap();
            expected += 2;
            assert_eq!(borne(&farthing, org).await.0, [format!("cost:-/- {expected}")], "{call}");
        }
        // From two connections at once, each with a farthing of its own.
        let other = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        for round in 0..40 {
            let call = format!("r{round}");
            let one = prepared(&farthing, org, "gw", &call, &GATEWAY.replace("c1", &call)).await;
            let two = prepared(&other, org, "router", &call, &ROUTER.replace("c1", &call)).await;
            let (one, two) = ([one], [two]);
            let (one, two) = tokio::join!(farthing.commit_events(&one, || true), other.commit_events(&two, || true));
            assert!(one.is_ok() && two.is_ok());
            expected += 2;
        }
        assert_eq!(borne(&farthing, org).await.0, [format!("cost:-/- {expected}")]);
        assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
    });
}

#[test]
fn one_source_with_two_ids_for_a_call_is_charged_twice_and_suspected() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        send(&farthing, org, "gw", "e", GATEWAY).await;
        assert!(matches!(send(&farthing, org, "gw", "f", GATEWAY).await, Outcome::Posted { .. }));
        // Also where both come in one group.
        let one = prepared(&farthing, org, "gw", "g", &GATEWAY.replace("c1", "c2")).await;
        let two = prepared(&farthing, org, "gw", "h", &GATEWAY.replace("c1", "c2")).await;
        farthing.commit_events(&[one, two], || false).await.unwrap();
        let suspects = farthing.suspects(org, true, 0, 10).await.unwrap();
        let pairs: Vec<_> = suspects.iter().map(|found| (&*found.event.event.id, &*found.about.event.id)).collect();
        assert_eq!(pairs, [("f", "e"), ("h", "g")]);
        assert_eq!(borne(&farthing, org).await.0, ["cost:search/- 4"]);

        farthing.accept_suspect(org, suspects[0].suspect.event, "ann").await.unwrap();
        farthing.dismiss_suspect(org, suspects[1].suspect.event, "ann").await.unwrap();
        assert_eq!(borne(&farthing, org).await.0, ["cost:search/- 3"]);
        assert!(farthing.suspects(org, true, 0, 10).await.unwrap().is_empty());
        assert!(farthing.accept_suspect(org, suspects[1].suspect.event, "bo").await.is_err(), "it is decided");
        // Neither sending it again nor rating it again brings the charge back.
        assert_eq!(send(&farthing, org, "gw", "f", GATEWAY).await, Outcome::AlreadyPresent);
        farthing.rerate(org, &rerate::Wish { reason: "again".into(), ..rerate::Wish::default() }, |_| {}).await.unwrap();
        assert_eq!(borne(&farthing, org).await.0, ["cost:search/- 3"]);
        assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
    });
}

#[test]
fn the_rules_on_the_page_are_rules() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/attribution.md")).unwrap();
    let yaml = page.split("```yaml").nth(1).unwrap().split("```").next().unwrap();
    let parts = own::read(yaml).unwrap_or_else(|mistakes| panic!("{}", mistakes[0]));
    let farthing::catalog::Part::Rules(rules) = &parts[0] else { panic!("the page has rules") };
    assert_eq!(
        rules.lines(),
        [
            "attribution of litellm-* in litellm: team from label:cost_center or label:team_id; app from label:user_agent",
            "attribution of batch-jobs: user from =nightly; key from nobody",
            "ranking: openrouter before oceans-* before litellm-*"
        ]
    );
}

// ---- what breaks such books

/// A model that nobody prices.
fn unpriced(word: &str) -> String {
    word.replace("\"usage\":{", "\"usage\":{\"cache_read\":1,")
}

#[test]
fn an_event_that_waits_for_a_later_pass_takes_its_repetition_along() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        // The router's word waits until the gateway's, which has no price, is in the book; it is in the group twice.
        let gateway = prepared(&farthing, org, "gw", "g", &unpriced(GATEWAY)).await;
        let router = prepared(&farthing, org, "router", "r", ROUTER).await;
        let outcomes = farthing.commit_events(&[gateway, router.clone(), router], || false).await.unwrap();
        assert!(matches!(outcomes[0], Outcome::Held { .. }), "{outcomes:?}");
        assert!(matches!(outcomes[1], Outcome::Posted { .. }), "{outcomes:?}");
        assert_eq!(outcomes[2], Outcome::AlreadyPresent);
        assert_eq!(borne(&farthing, org).await.0, ["cost:-/- 2"]);
    });
}

#[test]
fn a_held_call_is_charged_once_when_both_its_words_come_at_once() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        send(&farthing, org, "gw", "h", &unpriced(GATEWAY)).await;
        // The completing content does not name the call any more.
        let router = prepared(&farthing, org, "router", "r", ROUTER).await;
        let completed = prepared(&farthing, org, "gw", "h", r#""usage":{"input":1000000},"team":"search""#).await;
        farthing.commit_events(&[router, completed], || false).await.unwrap();
        assert_eq!(borne(&farthing, org).await, (vec!["cost:-/- 2".to_owned()], 1));
        assert_eq!(farthing.held(org, None, EventNumber(0), 10).await.unwrap().len(), 0);
    });
}

#[test]
fn evidence_that_says_more_may_become_the_word_that_is_booked() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        publish(&farthing, org, RANKED).await;
        send(&farthing, org, "gw", "e", GATEWAY).await;
        let silent = r#""outcome":"failed","provider_request_id":"c1""#;
        assert!(matches!(send(&farthing, org, "router", "r", silent).await, Outcome::Evidence { .. }));
        assert!(matches!(send(&farthing, org, "router", "r", ROUTER).await, Outcome::Posted { .. }));
        assert_eq!(borne(&farthing, org).await.0, ["cost:-/- 2"]);
        for (source, id) in [("gw", "e"), ("router", "r")] {
            let explained = farthing.explain(org, source, id).await.unwrap().unwrap();
            assert_eq!(explained.booked.len(), 3, "{source}");
            assert!(explained.booked_with.is_some(), "{source}");
        }
    });
}

#[test]
fn plain_evidence_leads_to_the_entries_of_its_call_too() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        send(&farthing, org, "gw", "e", GATEWAY).await;
        send(&farthing, org, "router", "r", ROUTER).await;
        let explained = farthing.explain(org, "router", "r").await.unwrap().unwrap();
        assert_eq!(explained.booked.len(), 1);
        assert_eq!(&*explained.booked_with.unwrap().event.source, "gw");
    });
}

#[test]
fn a_source_that_tells_of_a_call_twice_is_suspected_in_whatever_order_they_come() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        let told = [("gw", "a"), ("s2", "b1"), ("s2", "b2")];
        let orders = [[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 1, 0], [0, 2, 1], [2, 0, 1]];
        for (round, order) in orders.into_iter().enumerate() {
            for place in order {
                let (source, id) = told[place];
                send(&farthing, org, source, &format!("{id}-{round}"), &GATEWAY.replace("c1", &format!("c{round}"))).await;
            }
        }
        // One charge for what gw and s2 both tell of, and one for what s2 tells of beside it, each time.
        assert_eq!(borne(&farthing, org).await.0, ["cost:search/- 12"]);
        assert_eq!(farthing.suspects(org, true, 0, 100).await.unwrap().len(), 6);
    });
}

#[test]
fn a_part_that_comes_again_takes_nothing_back() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        let part = async |fields: &str| {
            let event = prepared(&farthing, org, "langfuse", "o1", fields).await;
            let in_force = farthing.newest(org).await.unwrap();
            let update = farthing.prepare_update(org, &in_force, event.event);
            farthing.commit_events(&[update], || false).await.unwrap().remove(0)
        };
        let (created, updated) =
            (r#""usage":{"input":1,"cache_read":1}"#, r#""usage":{"input":1000000,"cache_read":1},"session":"s""#);
        assert!(matches!(part(created).await, Outcome::Held { .. }));
        assert!(matches!(part(updated).await, Outcome::Held { .. }));
        assert_eq!(part(created).await, Outcome::AlreadyPresent);
        publish(&farthing, org, &ACME.replace("output_per_1m", "cache_read_per_1m")).await;
        assert_eq!(borne(&farthing, org).await.0, ["cost:-/- 1.000002"]);
        // Neither does it contradict what was posted since.
        for fields in [created, updated] {
            assert_eq!(part(fields).await, Outcome::AlreadyPresent);
        }
        assert_eq!(farthing.conflicts(org, true, 0, 10).await.unwrap().len(), 0);
    });
}

#[test]
fn a_call_whose_holder_tells_of_another_one_by_now_is_charged_to_whoever_tells_of_it() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        send(&farthing, org, "router", "e", &unpriced(ROUTER)).await;
        send(&farthing, org, "gw", "b", &GATEWAY.replace("c1", "c2")).await;
        // It was the other call all along, which the gateway has told of.
        assert!(matches!(send(&farthing, org, "router", "e", &ROUTER.replace("c1", "c2")).await, Outcome::Evidence { .. }));
        send(&farthing, org, "third", "f", &ROUTER.replace("2000000", "3000000")).await;
        assert_eq!(borne(&farthing, org).await.0, ["cost:-/- 3", "cost:search/- 1"]);
    });
}

#[test]
fn an_accepted_conflict_does_not_overrule_a_word_that_counts_for_more() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        publish(&farthing, org, RANKED).await;
        send(&farthing, org, "gw", "e", GATEWAY).await;
        let Outcome::Conflict { conflict, .. } = send(&farthing, org, "gw", "e", &GATEWAY.replace("1000000", "1500000")).await
        else {
            panic!("it says something else")
        };
        send(&farthing, org, "router", "r", ROUTER).await;
        farthing.accept_conflict(org, conflict, "ann").await.unwrap();
        assert_eq!(borne(&farthing, org).await.0, ["cost:-/- 2"]);
        assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
    });
}

#[test]
fn a_key_of_ones_own_at_the_provider_itself_is_one_charge() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        let fields =
            r#""usage":{"input":1000000},"served_by":"acme","reported":{"amount":"0.05","byok":true,"upstream_amount":"1"}"#;
        let outcome = send(&farthing, org, "gw", "e", fields).await;
        assert!(matches!(&outcome, Outcome::Posted { amount, .. } if amount.to_string() == "1.05"), "{outcome:?}");
        assert_eq!(borne(&farthing, org).await, (vec!["cost:-/- 1.05".to_owned()], 1));
    });
}

/// Who bears what, by owner's team and user, as reports say it; and the entries of the book.
async fn spend(farthing: &Farthing, org: Org, by: Dimension) -> Vec<(String, String, i64)> {
    let query = Query { by: vec![by], show: vec![Measure::Amount, Measure::Calls], ..Query::default() };
    let table = farthing.report(org, &query).await.unwrap().table;
    let mut rows: Vec<_> = table
        .rows()
        .map(|row| (row[0].plain(), row[1].plain(), if let Cell::Count(calls) = row[3] { calls } else { 0 }))
        .filter(|(_, amount, calls)| amount != "0" || *calls != 0)
        .collect();
    rows.sort();
    rows
}

fn told(rows: &[(&str, &str, i64)]) -> Vec<(String, String, i64)> {
    rows.iter().map(|(name, amount, calls)| ((*name).to_owned(), (*amount).to_owned(), *calls)).collect()
}

#[test]
fn a_shared_cost_is_divided_to_the_last_digit_and_each_owner_sees_its_own() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        let rule = "shares:\n  - source: gw-*\n    app: platform\n    among:\n      - {team: search, share: 1}\n      - {team: labs, project: p1, share: 1}\n      - {share: 1}\n";
        publish(&farthing, org, rule).await;
        let platform = r#""usage":{"input":1,"output":0},"app":"platform","team":"core","user":"ann""#;
        send(&farthing, org, "gw-eu", "a", platform).await;
        // A millionth of a dollar in three: what is left goes to the first of the largest.
        let third = "0.000000333333333333333333";
        let expected = told(&[("core", third, 0), ("labs", third, 0), ("search", "0.000000333333333333333334", 1)]);
        assert_eq!(spend(&farthing, org, Dimension::Team).await, expected);
        let by_meter = Query { by: vec![Dimension::Meter], show: vec![Measure::Amount, Measure::Quantity], ..Query::default() };
        let table = farthing.report(org, &by_meter).await.unwrap().table;
        let rows: Vec<Vec<String>> = table.rows().map(|row| row.iter().map(Cell::plain).collect()).collect();
        assert_eq!(rows, [["input", "0.000001", "USD", "1"]]);
        let (_, entries) = borne(&farthing, org).await;
        assert_eq!(entries, 3, "one charge each");
        // The same event again is there already; another one that the rule does not fit is borne by one.
        let again = send(&farthing, org, "gw-eu", "a", platform).await;
        assert!(matches!(again, Outcome::AlreadyPresent), "{again:?}");
        send(&farthing, org, "gw-eu", "b", r#""usage":{"input":1,"output":0},"app":"other","team":"core""#).await;
        assert_eq!(borne(&farthing, org).await.1, 4);
        farthing.verify(org, |_, _| {}).await.unwrap().unwrap();
    });
}

#[test]
fn another_rule_of_shares_moves_what_was_booked_when_it_is_rerated_and_only_then() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        let used = format!(r#"{USED},"team":"core","user":"ann""#);
        for id in ["a", "b"] {
            send(&farthing, org, "gw", id, &used).await;
        }
        let wish = |dry_run| rerate::Wish { dry_run, reason: "shared".to_owned(), ..rerate::Wish::default() };
        publish(&farthing, org, "shares:\n  - team: core\n    among: [{team: labs, share: 3}, {share: 1}]\n").await;
        assert_eq!(spend(&farthing, org, Dimension::Team).await, told(&[("core", "2", 2)]));
        let dry = farthing.rerate(org, &wish(true), |_| {}).await.unwrap();
        assert_eq!((dry.changed, dry.reattributed, dry.posted), (2, 2, 0));
        assert!(dry.changes.values().all(|moved| moved.before == moved.after), "the whole costs what it did");
        let done = farthing.rerate(org, &wish(false), |_| {}).await.unwrap();
        assert_eq!((done.changed, done.posted), (2, 6));
        assert_eq!(spend(&farthing, org, Dimension::Team).await, told(&[("core", "0.5", 0), ("labs", "1.5", 2)]));
        let again = farthing.rerate(org, &wish(false), |_| {}).await.unwrap();
        assert_eq!((again.examined, again.changed), (2, 0));
        // Parts of another size move it again; none at all gives it back.
        publish(&farthing, org, "shares:\n  - team: core\n    among: [{team: labs, share: 1}, {share: 1}]\n").await;
        farthing.rerate(org, &wish(false), |_| {}).await.unwrap();
        assert_eq!(spend(&farthing, org, Dimension::Team).await, told(&[("core", "1", 0), ("labs", "1", 2)]));
        publish(&farthing, org, "ranking: []\n").await;
        farthing.rerate(org, &wish(false), |_| {}).await.unwrap();
        assert_eq!(spend(&farthing, org, Dimension::Team).await, told(&[("core", "2", 2)]));
        farthing.verify(org, |_, _| {}).await.unwrap().unwrap();
    });
}

#[test]
fn accounts_are_made_as_the_rules_say_and_made_again_when_they_say_otherwise() {
    both(async |database| {
        let (farthing, org) = book(database).await;
        let used = format!(r#"{USED},"team":"core","user":"ann","project":"p/1""#);
        send(&farthing, org, "gw", "a", &used).await;
        publish(&farthing, org, "accounts:\n  cost: [project, team]\n").await;
        send(&farthing, org, "gw", "b", &used).await;
        assert_eq!(borne(&farthing, org).await.0, ["cost:core/ann 1", "cost:p%2F1/core 1"]);
        let dry = rerate::Wish { dry_run: true, ..rerate::Wish::default() };
        let dry = farthing.rerate(org, &dry, |_| {}).await.unwrap();
        assert_eq!((dry.examined, dry.changed, dry.reattributed), (2, 1, 0), "past events are looked at first");
        let wish = rerate::Wish { reason: "by project".to_owned(), ..rerate::Wish::default() };
        assert_eq!(farthing.rerate(org, &wish, |_| {}).await.unwrap().posted, 2);
        assert_eq!(borne(&farthing, org).await.0, ["cost:p%2F1/core 2"]);
        // An adjustment has to name an account of the same make.
        let adjustment = |debit: &str| farthing::flow::adjust::Wish {
            adjustment: farthing::ledger::decision::Adjustment {
                id: Text::known("fee"),
                amount: farthing::money::Amount::parse("1").unwrap(),
                currency: farthing::money::Currency::USD,
                debit: farthing::ledger::Account::parse(debit).unwrap(),
                credit: farthing::ledger::Account::parse("payable:acme").unwrap(),
                reason: Text::known("agreed"),
                author: Text::known("ann"),
                occurred_at: now(),
                about: farthing::ledger::decision::About::default(),
            },
            with_time: false,
        };
        let said = farthing.adjust(org, &adjustment("cost:core")).await.unwrap_err().to_string();
        assert!(said.contains("write cost:project/team"), "{said}");
        farthing.adjust(org, &adjustment("cost:p%2F1/core")).await.unwrap();
        assert_eq!(spend(&farthing, org, Dimension::Project).await, told(&[("p/1", "3", 2)]));
    });
}

#[test]
fn a_rule_that_cannot_be_meant_is_refused_with_its_line() {
    let said = |yaml: &str| own::read(yaml).unwrap_err()[0].to_string();
    assert!(said("shares:\n  - team: a\n    among: [{team: b, share: 1}]\n").contains("shared by two or more"));
    assert!(said("shares:\n  - among: [{team: b, share: 0}, {share: 1}]\n").contains("whole number from 1 to 1000000"));
    assert!(said("shares:\n  - among: [{team: b, share: 1}, {team: b, share: 1}]\n").contains("has two shares"));
    assert!(said("accounts:\n  cost: [team, teem]\n").contains("`teem` is unknown or there twice"));
    let rules = "shares:\n  - source: gw-*\n    app: x\n    among: [{team: b, share: 2}, {share: 1}]\n    note: agreed\naccounts: {cost: [team]}\n";
    let once = own::read(rules).unwrap().remove(0);
    let text = own::write(&once);
    assert_eq!(own::write(&own::read(&text).unwrap().remove(0)), text, "{text}");
    assert!(text.contains("{team: b, share: 2}"), "{text}");
}
