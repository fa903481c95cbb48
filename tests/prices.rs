//! Prices over time: two years of a real list walked through import, publish and question; versions that are published over
//! each other, compared and rolled back; what was charged, charged again.

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::random::Random;
use farthing::catalog::Part;
use farthing::catalog::check::Severity;
use farthing::catalog::source::{openrouter, own};
use farthing::flow::import::{Import, Source};
use farthing::flow::price::{Price, Question, price};
use farthing::flow::publish::{CatalogFiles, Note, Wish};
use farthing::flow::{Farthing, FlowError, InForce, now, rerate};
use farthing::id::{EventNumber, Org};
use farthing::money::Amount;
use farthing::report::{AsOf, Dimension, Query};
use farthing::time::Instant;
use farthing::usage::dialect::{Context, native};
use farthing::usage::{Meter, Text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// A book whose first version is this file.
async fn book(database: &TestDatabase, yaml: &str) -> (Farthing, Org) {
    let file =
        std::env::temp_dir().join(format!("farthing-prices-{}-{:?}.yaml", std::process::id(), std::thread::current().id()));
    std::fs::write(&file, yaml).unwrap();
    let farthing = Farthing::open(&database.options(), &CatalogFiles::At(file.clone())).await.unwrap();
    std::fs::remove_file(file).unwrap();
    let org = farthing.store.org("main").await.unwrap();
    (farthing, org)
}

fn wish(yaml: &str) -> Wish {
    let parts = own::read(yaml).unwrap_or_else(|mistakes| panic!("{}", mistakes[0]));
    Wish { parts, accept: true, ..Wish::default() }
}

fn asked(in_force: &InForce, model: &str, at: Instant) -> Price {
    let question = Question { provider: "openrouter".to_owned(), model: model.to_owned(), at: Some(at), ..Question::default() };
    price(&question, in_force, at).unwrap()
}

// ---- two years of OpenRouter's list

/// A decimal as a count of 10^-24, read digit by digit and by nothing of Farthing's.
fn units(literal: &str) -> i128 {
    let (whole, decimals) = literal.split_once('.').unwrap_or((literal, ""));
    let (whole, negative) = whole.strip_prefix('-').map_or((whole, false), |whole| (whole, true));
    assert!(decimals.len() <= 24 && !decimals.contains(['e', 'E']), "{literal}");
    assert!(!negative || literal == "-0", "{literal}");
    format!("{whole}{decimals:0<24}").parse().unwrap()
}

/// What a revision charges for one small token at an instant, as the interface is documented: later entries of `overrides`
/// win, key by key, where all their conditions hold.
fn charged(pricing: &Value, key: &str, at: chrono::DateTime<chrono::Utc>) -> Option<String> {
    use chrono::{Datelike, Timelike};
    let clock = u64::from(at.hour() * 100 + at.minute());
    let day = at.weekday().to_string();
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let today = days.iter().find(|name| day.to_lowercase().starts_with(**name)).unwrap();
    let mut found = pricing[key].as_str().map(str::to_owned);
    for entry in pricing["overrides"].as_array().into_iter().flatten() {
        let in_window = match (entry["utc_start"].as_u64(), entry["utc_end"].as_u64()) {
            (Some(from), Some(until)) if from <= until => (from..until).contains(&clock),
            (Some(from), Some(until)) => clock >= from || clock < until,
            _ => true,
        };
        let on_day =
            entry["utc_days"].as_array().is_none_or(|days| days.iter().any(|day| day.as_str().unwrap().starts_with(today)));
        if in_window && on_day && entry["min_prompt_tokens"].is_null() {
            found = entry[key].as_str().map(str::to_owned).or(found);
        }
    }
    found
}

/// A note on every card of the model that a finding is about.
fn note_on(parts: &mut [Part], subject: &str) {
    let Part::List(list) = &mut parts[0] else { panic!("the first part is the list") };
    let model = std::sync::Arc::make_mut(list).models.iter_mut().filter(|model| subject.contains(&*model.name));
    let model = model.max_by_key(|model| model.name.len()).unwrap();
    model.cards.iter_mut().for_each(|card| card.origin.note = Text::new(format!("it was listed like that from {:?}", card.from)));
}

#[test]
fn two_years_of_a_real_list_come_back_as_they_were_at_every_instant() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/openrouter_price_history_2024-09_2026-08.jsonl");
    let Ok(lines) = std::fs::read_to_string(file) else {
        eprintln!("the price history is not on this machine; it was not walked");
        return;
    };
    let models: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut looks: BTreeMap<Instant, Vec<(&str, &Value)>> = BTreeMap::new();
    for model in &models {
        for revision in model["revisions"].as_array().unwrap() {
            let at = Instant::parse(revision["seen_at"].as_str().unwrap()).unwrap();
            looks.entry(at).or_default().push((model["id"].as_str().unwrap(), revision));
        }
    }

    let database = TestDatabase::sqlite();
    let start = "provider: openrouter\nabsent: included\nsource: https://openrouter.ai/api/v1/models\nmodels: []\n";
    let (in_force, versions) = block_on(async {
        let (farthing, org) = book(&database, start).await;
        let mut listed: BTreeMap<&str, &Value> = BTreeMap::new();
        let mut parts: Vec<Part> = own::read(start).unwrap();
        let mut before = None;
        let count = looks.len();
        let mut noted = 0;
        for (place, (at, revisions)) in looks.iter().enumerate() {
            for (id, revision) in revisions {
                match revision["pricing"].is_null() {
                    true => listed.remove(id),
                    false => listed.insert(id, revision),
                };
            }
            let row = |(id, revision): (&&str, &&Value)| match &revision["canonical_slug"] {
                Value::Null => json!({"id": id, "pricing": revision["pricing"]}),
                slug => json!({"id": id, "canonical_slug": slug, "pricing": revision["pricing"]}),
            };
            let body = json!({"data": listed.iter().map(row).collect::<Vec<_>>()}).to_string();
            let import = Import { before, ..Import::new(Source::Openrouter, *at) };
            (parts, _) = import.lay_over(&body, &parts).unwrap_or_else(|e| panic!("{at}: {e}"));
            before = Some(*at);
            // Every few weeks, and in the end, what was seen is published and read back.
            if place % 43 == 42 || place + 1 == count {
                let note = Note { author: "history".to_owned(), note: at.to_string() };
                let mut wish = Wish { parts: parts.clone(), accept: true, note, ..Wish::default() };
                // What the checks take for a mistake a person looks at, and says in a note that it was listed so.
                let published = match farthing.publish(org, &wish).await {
                    Err(FlowError::Doubtful(findings)) => {
                        let slips = findings.iter().filter(|finding| finding.severity == Severity::Error);
                        noted += slips.map(|slip| note_on(&mut parts, &slip.subject)).count();
                        wish.parts.clone_from(&parts);
                        farthing.publish(org, &wish).await
                    }
                    published => published,
                };
                let published = published.unwrap_or_else(|e| panic!("{at}: {e}"));
                assert!(published.version.is_some(), "{at}");
            }
        }
        assert!(noted < 5, "{noted} prices were taken for mistakes");
        let version = farthing.store.head(org).await.unwrap().version;
        (farthing.published(org, version).await.unwrap(), version)
    });
    assert!(versions.0 > 20, "{versions}");

    let (mut compared, mut zeros, mut routers) = (0, 0, 0);
    for model in &models {
        let id = model["id"].as_str().unwrap();
        let revisions: Vec<(Instant, &Value)> = model["revisions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|revision| (Instant::parse(revision["seen_at"].as_str().unwrap()).unwrap(), &revision["pricing"]))
            .collect();
        let second = 1_000_000;
        let first = revisions[0].0;
        let early = asked(&in_force, id, Instant::from_micros(first.micros() - second));
        // A suffix that only steers routing leads to the model itself where it has no row of its own.
        let steers = [":nitro", ":floor", ":online", ":exacto"].iter().any(|suffix| id.ends_with(suffix));
        assert!(early.found.is_err() || steers, "{id} has a price before it was ever listed");
        for (place, (from, pricing)) in revisions.iter().enumerate().filter(|(_, (_, pricing))| !pricing.is_null()) {
            // The price holds until the next price; leaving the list is not one.
            let until = revisions[place + 1..].iter().find(|(_, next)| !next.is_null()).map(|(until, _)| *until);
            let last = until.map(|until| until.micros() - second).filter(|last| *last > from.micros());
            let moments =
                [Some(from.micros()), last, Some(from.micros() + second).filter(|at| last.is_none_or(|last| *at < last))];
            for at in moments.into_iter().flatten().map(Instant::from_micros) {
                let answer = asked(&in_force, id, at);
                if pricing["prompt"] == "-1" {
                    assert!(answer.found.as_ref().is_err_and(|why| why.contains("picks a model")), "{id} at {at}: {answer:?}");
                    routers += 1;
                    continue;
                }
                let wanted = ["prompt", "completion", "input_cache_read", "input_cache_write"];
                let wanted = wanted.map(|key| charged(pricing, key, at.to_utc()));
                let found = match answer.found {
                    Ok(found) => found,
                    Err(why) => {
                        let is_zero = |literal: &Option<String>| literal.as_ref().is_none_or(|literal| units(literal) == 0);
                        assert!(why.contains("zero") && wanted.iter().all(is_zero), "{id} at {at}: {why}");
                        zeros += 1;
                        continue;
                    }
                };
                let meters = [Meter::Input, Meter::Output, Meter::CacheRead, Meter::CacheWrite];
                for (literal, meter) in wanted.iter().zip(meters) {
                    let in_window = |when: &&farthing::catalog::Conditional| {
                        when.prompt_tokens_over.is_none()
                            && when.window.is_none_or(|window| window.has(at.minute_of_day()))
                            && when.days.is_none_or(|days| days.has(at.weekday()))
                    };
                    let conditional = found.card.when.iter().rev().filter(in_window).find_map(|when| when.rates.get(meter));
                    let rate = conditional.or(found.card.rates.get(meter)).map(|rate| rate.units());
                    assert_eq!(rate, literal.as_deref().map(units), "{id} {} at {at}", meter.name());
                }
                compared += 1;
            }
        }
    }
    println!("{compared} prices compared, {zeros} unconfirmed zeros, {routers} routers");
    assert!(compared > 9_000, "{compared}");
}

// ---- versions

const ACME: &str =
    "provider: acme\nsource: a test\nmodels:\n  - model: haiku\n    cards: [{input_per_1m: \"1\", output_per_1m: \"4\"}]\n";
const OTHER: &str = "provider: other\nsource: a test\nmodels:\n  - model: bard\n    cards: [{input_per_1m: \"2\"}]\n";

#[test]
fn a_version_replaces_what_it_names_carries_the_rest_over_and_rolls_back() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(async {
            let (farthing, org) = book(&database, ACME).await;
            let parts = async |version| {
                let parts = farthing.parts_of(org, farthing::id::Version(version)).await.unwrap();
                parts.into_iter().map(|(stored, _)| stored.name).collect::<Vec<_>>()
            };
            let two = farthing.publish(org, &wish(OTHER)).await.unwrap();
            assert_eq!(two.version.unwrap().0, 2);
            assert_eq!(parts(2).await, ["acme", "other"]);
            // The same again makes no version.
            assert_eq!(farthing.publish(org, &wish(OTHER)).await.unwrap().version, None);

            let dearer =
                ACME.replace("\"4\"", "\"5\"").replace("haiku\n    cards: [{", "haiku\n    cards: [{note: mistyped before, ");
            let dry = Wish { dry_run: true, ..wish(&dearer) };
            let dry = farthing.publish(org, &dry).await.unwrap();
            assert_eq!((dry.version, dry.changes.len()), (None, 1), "{:?}", dry.changes);
            assert!(dry.changes[0].to_string().contains("output 4 -> 5"), "{}", dry.changes[0]);
            assert!(dry.changes[0].to_string().contains("+25.0 %"), "{}", dry.changes[0]);
            assert_eq!(farthing.publish(org, &wish(&dearer)).await.unwrap().version.unwrap().0, 3);

            // Somebody who made his change from version 2 is told what version 3 did.
            let stale = Wish { base: Some(farthing::id::Version(2)), ..wish(&ACME.replace("\"4\"", "\"6\"")) };
            match farthing.publish(org, &stale).await {
                Err(FlowError::BaseMoved { stated, newest, changes }) => {
                    assert_eq!((stated.0, newest.0), (2, 3));
                    assert!(changes.iter().any(|change| change.to_string().contains("output 4 -> 5")));
                }
                other => panic!("{other:?}"),
            }

            let without = Wish { remove: vec!["other".to_owned()], ..Wish { accept: true, ..Wish::default() } };
            assert_eq!(farthing.publish(org, &without).await.unwrap().version.unwrap().0, 4);
            assert_eq!(parts(4).await, ["acme"]);
            let back = farthing.roll_back(org, farthing::id::Version(2), &Wish::default()).await.unwrap();
            assert_eq!(back.version.unwrap().0, 5);
            assert_eq!(parts(5).await, ["acme", "other"]);
            let hashes: Vec<_> = farthing.store.versions(org).await.unwrap().iter().map(|version| version.hash).collect();
            assert_eq!((hashes.len(), hashes[1] == hashes[4]), (5, true));
            assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
        });
    }
}

#[test]
fn a_published_version_prices_what_was_held_without_being_asked() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = book(&database, ACME).await;
        send(&farthing, org, &[("e1", "other", "bard", 1_000_000, 0)]).await;
        assert_eq!(farthing.store.held_counts(org).await.unwrap().len(), 1);
        let published = farthing.publish(org, &wish(OTHER)).await.unwrap();
        assert_eq!((published.retried.tried, published.retried.posted), (1, 1));
        assert_eq!(farthing.store.held_counts(org).await.unwrap().len(), 0);
        assert_eq!(spent(&farthing, org).await, "2");
    });
}

/// What one publishes while another commits is in force from the next commit on, and one commit never uses two versions.
#[test]
fn no_event_is_rated_with_two_versions_while_they_change_under_it() {
    let database = TestDatabase::postgres();
    block_on(async {
        let (one, org) = book(&database, ACME).await;
        let two = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        let publishing = async {
            for price in 5..25 {
                let dearer = ACME.replace("\"4\"", &format!("\"{price}\"")).replace("[{", "[{note: again, ");
                one.publish(org, &wish(&dearer)).await.unwrap();
            }
        };
        let sending = async {
            for n in 0..60 {
                send(&two, org, &[(format!("e{n}").as_str(), "acme", "haiku", 0, 1_000_000)]).await;
            }
        };
        tokio::join!(publishing, sending);
        let filter = farthing::store::EntryFilter { limit: 100, ..Default::default() };
        let booked = one.store.entries(org, &filter).await.unwrap();
        assert_eq!(booked.len(), 60);
        for entry in booked {
            // Version 1 says 4, version 2 says 5, and so on: the amount is that of the version the block names.
            let said = entry.version.0 + 3;
            assert_eq!(entry.entry.posting.amount(), Amount::parse(&said.to_string()).unwrap());
        }
        assert!(one.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
    });
}

// ---- booked again

async fn send(farthing: &Farthing, org: Org, events: &[(&str, &str, &str, u64, u64)]) {
    let context = Context { received_at: now(), source: None, strict: true };
    let in_force = farthing.in_force(org).await.unwrap();
    let prepared: Vec<_> = events
        .iter()
        .map(|(id, provider, model, input, output)| {
            let json = json!({"id": id, "source": "s", "occurred_at": "2026-10-01T00:00:00Z", "provider": provider, "model": model,
                              "usage": {"input": input, "output": output}, "user": "ann"});
            farthing.prepare(org, &in_force, native::read(&json.to_string(), &context).unwrap())
        })
        .collect();
    farthing.commit_events(&prepared, || false).await.unwrap();
}

async fn spent(farthing: &Farthing, org: Org) -> String {
    let query = Query { by: vec![Dimension::User], ..Query::default() };
    let totals = farthing.report(org, &query).await.unwrap().table.totals;
    totals.iter().map(|total| total.amount.to_string()).collect::<Vec<_>>().join(" ")
}

/// Many events under random prices, a random new price list, and an independent sum of what should hold in the end; rated
/// again by two processes at once, of which one is broken off and starts again.
#[test]
fn what_was_charged_is_charged_again_once_whoever_does_it() {
    for (kind, seed) in [(Kind::Sqlite, 11), (Kind::Postgres, 12)] {
        let database = TestDatabase::new(kind);
        block_on(async {
            let mut random = Random::new(seed);
            let list = |prices: &[u64]| {
                let cards = prices.iter().enumerate().map(|(n, price)| {
                    format!(
                        "  - model: m{n}\n    cards: [{{note: {price}, input_per_1m: \"{price}\", output_per_1m: \"{}\"}}]\n",
                        price * 3
                    )
                });
                format!("provider: acme\nsource: a test\nmodels:\n{}", cards.collect::<String>())
            };
            let before: Vec<u64> = (0..20).map(|_| 10 + random.below(20)).collect();
            // Half of the models keep their price.
            let after: Vec<u64> =
                before.iter().map(|price| if random.below(2) == 0 { *price } else { 10 + random.below(20) }).collect();
            let (farthing, org) = book(&database, &list(&before)).await;
            let mut usage = Vec::new();
            for n in 0..3_000 {
                usage.push((format!("e{n}"), format!("m{}", random.below(20)), random.below(5_000), random.below(900)));
            }
            for group in usage.chunks(700) {
                let events: Vec<_> = group
                    .iter()
                    .map(|(id, model, input, output)| (id.as_str(), "acme", model.as_str(), *input, *output))
                    .collect();
                send(&farthing, org, &events).await;
            }
            let total = |prices: &[u64]| -> i128 {
                let cost = |(_, model, input, output): &(String, String, u64, u64)| {
                    let price = i128::from(prices[model[1..].parse::<usize>().unwrap()]);
                    price * i128::from(*input) + 3 * price * i128::from(*output)
                };
                // Prices are per million, so a product counts millionths.
                usage.iter().map(cost).sum()
            };
            let millionths = |amount: &str| units(amount) / 10i128.pow(18);
            assert_eq!(millionths(&spent(&farthing, org).await), total(&before));
            let yesterday = farthing.store.head(org).await.unwrap();

            farthing.publish(org, &wish(&list(&after))).await.unwrap();
            let dry = rerate::Wish { dry_run: true, reason: "dry".to_owned(), ..Default::default() };
            let dry = farthing.rerate(org, &dry, |_| {}).await.unwrap();
            assert_eq!((dry.examined, dry.posted), (3_000, 0));
            let change: i128 = dry.changes.values().map(|moved| moved.after.units() - moved.before.units()).sum();
            assert_eq!(change / 10i128.pow(18), total(&after) - total(&before));
            assert_eq!(farthing.store.head(org).await.unwrap().block, yesterday.block, "a dry run writes nothing");

            let other = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
            let wanted = rerate::Wish { reason: "new prices".to_owned(), ..Default::default() };
            // The first try is dropped somewhere in the middle.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(30), farthing.rerate(org, &wanted, |_| {})).await;
            let (one, two) = tokio::join!(farthing.rerate(org, &wanted, |_| {}), other.rerate(org, &wanted, |_| {}));
            let (one, two) = (one.unwrap(), two.unwrap());
            assert_eq!(millionths(&spent(&farthing, org).await), total(&after), "seed {seed}: {one:?} {two:?}");
            let again = farthing.rerate(org, &wanted, |_| {}).await.unwrap();
            assert_eq!((again.changed, again.posted), (0, 0));

            // Each event that changed has one reversal that points at its charge, in the same block as the new charge.
            let mut corrected = 0;
            for number in 1..=3_000 {
                let booked = farthing.store.entries_of(org, EventNumber(number)).await.unwrap();
                match booked.as_slice() {
                    [_] => {}
                    [charge, reversal, corrected_charge] => {
                        assert_eq!(reversal.entry.reverses, Some(charge.entry.sequence));
                        assert_eq!(reversal.block, corrected_charge.block);
                        assert_eq!((reversal.entry.turn, corrected_charge.entry.turn), (1, 1));
                        assert!(reversal.entry.reason.is_some() && corrected_charge.entry.reason.is_some());
                        corrected += 1;
                    }
                    other => panic!("event {number} has {} entries", other.len()),
                }
            }
            assert_eq!(corrected, dry.changed);
            // The book as it was known before is what it was.
            let as_of = Some(AsOf::Block(yesterday.block));
            let then = farthing.report(org, &Query { as_of, ..Query::default() }).await.unwrap();
            let then: i128 = then.table.totals.iter().map(|total| total.amount.units()).sum();
            assert_eq!(then / 10i128.pow(18), total(&before));
            assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
        });
    }
}

#[test]
fn an_event_that_has_no_price_any_more_keeps_the_one_it_has_and_is_listed() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = book(&database, &format!("{ACME}  - model: opus\n    cards: [{{input_per_1m: \"10\"}}]\n")).await;
        send(&farthing, org, &[("e1", "acme", "opus", 1_000_000, 0), ("e2", "acme", "haiku", 1_000_000, 0)]).await;
        farthing.publish(org, &wish(&ACME.replace("\"1\"", "\"2\"").replace("[{", "[{note: raised, "))).await.unwrap();
        let wanted = rerate::Wish { reason: "prices".to_owned(), ..Default::default() };
        let rerated = farthing.rerate(org, &wanted, |_| {}).await.unwrap();
        assert_eq!((rerated.examined, rerated.changed, rerated.unpriced), (2, 1, 1));
        assert_eq!((rerated.left[0].id.as_str(), rerated.left.len()), ("e1", 1));
        assert!(rerated.left[0].why.contains("no rate card for acme/opus"), "{}", rerated.left[0].why);
        assert_eq!(spent(&farthing, org).await, "12");
    });
}

#[test]
fn what_loses_its_price_while_a_rerating_runs_is_listed_too() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let opus = |price: u64| format!("{ACME}  - model: opus\n    cards: [{{note: \"{price}\", input_per_1m: \"{price}\"}}]\n");
        let (farthing, org) = book(&database, &opus(10)).await;
        // The last ones come to a page of their own.
        let ids: Vec<String> = (0..600).map(|id| format!("e{id}")).collect();
        let events: Vec<_> = ids.iter().map(|id| (id.as_str(), "acme", "opus", 1_000_000, 0)).collect();
        send(&farthing, org, &events).await;
        farthing.publish(org, &wish(&opus(11))).await.unwrap();

        let is_first = std::cell::Cell::new(true);
        let wanted = rerate::Wish { reason: "prices".to_owned(), ..Default::default() };
        let rerated = farthing.rerate(org, &wanted, |_| {
            if is_first.replace(false) {
                tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(farthing.publish(org, &wish(ACME))).unwrap();
                });
            }
        });
        let rerated = rerated.await.unwrap();
        assert_eq!(rerated.version, farthing::id::Version(3));
        assert_eq!((rerated.examined, rerated.changed + rerated.unpriced), (600, 600));
        assert!(rerated.changed > 0 && rerated.unpriced > 0, "{rerated:?}");
        assert_eq!(spent(&farthing, org).await, (6_000 + rerated.changed).to_string());
    });
}

#[test]
fn a_rerating_can_be_kept_to_a_model_and_a_range_of_time() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = book(&database, &format!("{ACME}  - model: opus\n    cards: [{{input_per_1m: \"10\"}}]\n")).await;
        send(&farthing, org, &[("e1", "acme", "opus", 1_000_000, 0), ("e2", "acme", "haiku", 1_000_000, 0)]).await;
        let dearer = format!("{ACME}  - model: opus\n    cards: [{{note: raised, input_per_1m: \"11\"}}]\n")
            .replace("[{input_per_1m: \"1\"", "[{note: raised, input_per_1m: \"2\"");
        farthing.publish(org, &wish(&dearer)).await.unwrap();
        let at = |text: &str| Some(Instant::parse_date_or_instant(text).unwrap());
        let dry = |wish: rerate::Wish| rerate::Wish { dry_run: true, ..wish };
        for (wish, changed) in [
            (rerate::Wish::default(), 2),
            (rerate::Wish { model: Some("opus".to_owned()), ..Default::default() }, 1),
            (rerate::Wish { provider: Some("other".to_owned()), ..Default::default() }, 0),
            (rerate::Wish { from: at("2026-10-02"), ..Default::default() }, 0),
            (rerate::Wish { from: at("2026-10-01"), until: at("2026-10-02"), ..Default::default() }, 2),
            (rerate::Wish { until: at("2026-10-01"), ..Default::default() }, 0),
        ] {
            assert_eq!(farthing.rerate(org, &dry(wish.clone()), |_| {}).await.unwrap().changed, changed, "{wish:?}");
        }
        let under = rerate::Wish { under: Some(farthing::id::Version(1)), dry_run: false, ..Default::default() };
        let said = farthing.rerate(org, &under, |_| {}).await.unwrap_err().to_string();
        assert!(said.contains("version 2 is in force, not version 1"), "{said}");
        let newest = rerate::Wish { under: Some(farthing::id::Version(2)), dry_run: false, ..Default::default() };
        assert_eq!(farthing.rerate(org, &newest, |_| {}).await.unwrap().changed, 2);
    });
}

#[test]
fn a_catalog_file_tells_all_its_mistakes_at_once_and_changes_nothing() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = book(&database, ACME).await;
        let directory = database.directory().join("catalogs");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("a.yaml"), ACME.replace("\"1\"", "1.5")).unwrap();
        std::fs::write(directory.join("b.yaml"), "provider: b\nmodels:\n  - model: x\n    cards: [{inptu_per_1m: \"1\"}]\n")
            .unwrap();
        let files = CatalogFiles::At(directory.clone());
        let said = farthing::flow::publish::read_files(&files).unwrap_err().to_string();
        for part in [
            "a.yaml: line 5: models.haiku.cards.input_per_1m: a rate is a quoted decimal",
            "b.yaml: line 4",
            "inptu_per_1m: unknown field",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(farthing.store.head(org).await.unwrap().version.0, 1);
    });
}

// ---- what an import must not do

/// Lists of one source, seen one after the other, and what a model costs at an instant under what came of it.
async fn laid(database: &TestDatabase, start: &str, source: Source, looks: &[(&str, &str)]) -> Result<InForce, FlowError> {
    let (farthing, org) = book(database, start).await;
    for (at, text) in looks {
        let import = Import::new(source, Instant::parse_date_or_instant(at).unwrap());
        let read = farthing.import(org, &import, text).await?;
        let wish = Wish { base: Some(read.base), parts: read.parts, accept: true, ..Wish::default() };
        farthing.publish(org, &wish).await?;
    }
    farthing.newest(org).await
}

fn costs(in_force: &InForce, provider: &str, model: &str, at: &str) -> String {
    let at = Instant::parse_date_or_instant(at).unwrap();
    let question = Question { provider: provider.to_owned(), model: model.to_owned(), at: Some(at), ..Question::default() };
    match price(&question, in_force, at).unwrap().found {
        Ok(found) => own::quoted(Meter::Input, found.card.rates.get(Meter::Input).unwrap()).1,
        Err(why) => why,
    }
}

#[test]
fn an_alias_that_becomes_a_row_of_its_own_keeps_its_past() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let start = "provider: acme\nsource: a test\nmodels:\n  - model: m\n    aliases: [m-2026]\n    cards: [{from: 2026-01-01, input_per_1m: \"2\"}]\n";
        let row = |price: &str| {
            format!(
                r#"{{"litellm_provider":"acme","mode":"chat","input_cost_per_token":{price},"output_cost_per_token":{price}}}"#
            )
        };
        let list = format!(r#"{{"m":{},"m-2026":{}}}"#, row("2e-06"), row("3e-06"));
        let in_force = laid(&database, start, Source::Litellm, &[("2026-11-01", &list)]).await.unwrap();
        assert_eq!(costs(&in_force, "acme", "m-2026", "2026-10-01"), "2");
        assert_eq!(costs(&in_force, "acme", "m-2026", "2026-11-01"), "3");
    });
}

#[test]
fn an_older_look_is_not_laid_over_a_newer_one() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let list = |price: &str| {
            format!(
                r#"{{"m":{{"litellm_provider":"acme","mode":"chat","input_cost_per_token":{price},"output_cost_per_token":1e-06}}}}"#
            )
        };
        let looks = [("2026-11-01", list("1e-06")), ("2026-10-01", list("3e-06"))];
        let looks: Vec<(&str, &str)> = looks.iter().map(|(at, list)| (*at, list.as_str())).collect();
        let said = laid(&database, ACME, Source::Litellm, &looks).await.err().unwrap().to_string();
        assert!(said.contains("is older and cannot be laid over it"), "{said}");
    });
}

#[test]
fn a_price_that_was_announced_and_is_withdrawn_does_not_come() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let list = |prices: &str| {
            format!(r#"[{{"id":"acme","name":"Acme","models":[{{"id":"m","match":{{"equals":"m"}},"prices":{prices}}}]}}]"#)
        };
        let announced =
            list(r#"[{"prices":{"input_mtok":3}},{"constraint":{"start_date":"2026-12-01"},"prices":{"input_mtok":1.5}}]"#);
        let withdrawn = list(r#"{"input_mtok":3}"#);
        let in_force = laid(&database, ACME, Source::GenaiPrices, &[("2026-10-01", &announced)]).await.unwrap();
        assert_eq!(costs(&in_force, "acme", "m", "2026-12-15"), "1.5");
        let database = TestDatabase::sqlite();
        let looks = [("2026-10-01", announced.as_str()), ("2026-11-01", withdrawn.as_str())];
        let in_force = laid(&database, ACME, Source::GenaiPrices, &looks).await.unwrap();
        assert_eq!(costs(&in_force, "acme", "m", "2026-12-15"), "3");
    });
}

#[test]
fn a_list_that_could_not_be_read_back_is_not_published() {
    let start = "provider: openrouter\nabsent: included\nsource: https://openrouter.ai/api/v1/models\nmodels: []\n";
    for (conditions, noted) in [
        (r#"{"min_prompt_tokens":200000,"input_video":"0.000002"}"#, "input_video"),
        (r#"{"max_prompt_tokens":1000,"prompt":"0.000002"}"#, "max_prompt_tokens"),
        (r#"{"min_video_seconds":1000,"video":"0.1"}"#, "min_video_seconds"),
    ] {
        let database = TestDatabase::sqlite();
        block_on(async {
            let list = format!(
                r#"{{"data":[{{"id":"a/x","pricing":{{"prompt":"0.000001","completion":"0.000002","overrides":[{conditions}]}}}}]}}"#
            );
            let (farthing, org) = book(&database, start).await;
            let import = Import::new(Source::Openrouter, Instant::parse_date_or_instant("2026-11-01").unwrap());
            let read = farthing.import(org, &import, &list).await.unwrap();
            assert!(read.notes.iter().any(|note| note.contains(noted)), "{:?}", read.notes);
            assert!(read.notes.iter().any(|note| note.contains("conditional price left out")), "{:?}", read.notes);
            farthing.publish(org, &Wish { parts: read.parts, accept: true, ..Wish::default() }).await.unwrap();
            // What is stored is read by a process that has not seen it.
            let fresh = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
            assert_eq!(costs(&fresh.newest(org).await.unwrap(), "openrouter", "a/x", "2026-11-01"), "1");
        });
    }
}

#[test]
fn a_gateways_file_leaves_the_rules_that_are_there() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let start = format!(
            "{ACME}overrides:\n  - {{kind: contract, model: haiku, pricing: {{inputCostPer1K: \"0.0009\"}}}}\n  - {{kind: chargeback, team: t, pricing: {{inputCostPer1K: \"0.002\"}}}}\nceilings:\n  - {{model: haiku, input_per_1m: \"5\"}}\n"
        );
        let (farthing, org) = book(&database, &start).await;
        let said = "provider: acme\npricing_provider_id: other\noverrides:\n  - {kind: contract, model: haiku, pricing: {inputCostPer1K: \"0.0008\"}}\n";
        let from = Instant::parse_date_or_instant("2026-11-01").unwrap();
        let laid = farthing.contracts(org, own::read(said).unwrap(), from).await.unwrap();
        farthing.publish(org, &Wish { parts: laid.parts, accept: true, ..Wish::default() }).await.unwrap();
        let in_force = farthing.newest(org).await.unwrap();
        assert_eq!(costs(&in_force, "acme", "haiku", "2026-10-01"), "0.9", "the past stays as it was");
        assert_eq!(costs(&in_force, "acme", "haiku", "2026-11-01"), "0.8");
        let parts = farthing.parts_of(org, in_force.version).await.unwrap();
        let text: String = parts.iter().map(|(_, part)| own::write(part)).collect();
        assert!(
            text.contains("kind: chargeback") && text.contains("ceilings:") && text.contains("pricing_provider_id: other"),
            "{text}"
        );
        assert!(text.contains("model: haiku\n    cards:"), "the list keeps its models: {text}");

        // Whoever publishes a part by hand that has less in it is asked whether that is meant.
        let less =
            own::read("provider: acme\noverrides:\n  - {kind: contract, model: haiku, pricing: {inputCostPer1K: \"0.0009\"}}\n")
                .unwrap();
        let less = less.into_iter().filter(|part| matches!(part, Part::Overrides(_))).collect();
        match farthing.publish(org, &Wish { parts: less, ..Wish::default() }).await {
            Err(FlowError::Doubtful(findings)) => {
                let said: Vec<String> = findings.iter().map(|finding| finding.to_string()).collect();
                assert_eq!(
                    said.iter().filter(|line| line.contains("override is gone") || line.contains("ceiling is gone")).count(),
                    3,
                    "{said:?}"
                );
            }
            other => panic!("{other:?}"),
        }
    });
}

/// A dry run counts an event once, however often it was corrected before, and wherever a page ends.
#[test]
fn a_corrected_event_is_counted_once() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = book(&database, ACME).await;
        let ids: Vec<String> = (0..1_200).map(|n| format!("e{n}")).collect();
        let events: Vec<_> = ids.iter().map(|id| (id.as_str(), "acme", "haiku", 1_000_000, 0)).collect();
        send(&farthing, org, &events).await;
        for price in ["2", "3", "4"] {
            let dearer = ACME.replace("[{input_per_1m: \"1\"", &format!("[{{note: to {price}, input_per_1m: \"{price}\""));
            farthing.publish(org, &wish(&dearer)).await.unwrap();
            let dry = farthing.rerate(org, &rerate::Wish { dry_run: true, ..Default::default() }, |_| {}).await.unwrap();
            assert_eq!((dry.examined, dry.changed), (1_200, 1_200), "to {price}");
            let done =
                farthing.rerate(org, &rerate::Wish { reason: "dearer".to_owned(), ..Default::default() }, |_| {}).await.unwrap();
            assert_eq!((done.examined, done.changed, done.posted), (1_200, 1_200, 2_400), "to {price}");
        }
        assert_eq!(spent(&farthing, org).await, "4800");
    });
}

/// Whoever asked for a correction may be gone before it is committed: the numbers that it made up for names must not be
/// taken for those of the next commit.
#[test]
fn a_correction_that_nobody_waits_for_leaves_no_names_behind() {
    use sqlx::{Connection, Executor};
    let database = TestDatabase::postgres();
    block_on(async {
        let (farthing, org) = book(&database, ACME).await;
        send(&farthing, org, &[("e1", "acme", "haiku", 1_000_000, 0)]).await;
        // A card of another name, which the correction has to give a number.
        let dearer = ACME.replace("[{input_per_1m: \"1\"", "[{from: 2026-09-01, note: raised, input_per_1m: \"2\"");
        farthing.publish(org, &wish(&dearer)).await.unwrap();
        // Entries cannot be written for a while, so the correction stands still between its names and its commit.
        let mut other = sqlx::PgConnection::connect(&database.url).await.unwrap();
        other.execute("BEGIN; LOCK TABLE entries IN SHARE MODE").await.unwrap();
        let wanted = rerate::Wish { reason: "raised".to_owned(), ..Default::default() };
        let patience = std::time::Duration::from_millis(700);
        assert!(tokio::time::timeout(patience, farthing.rerate(org, &wanted, |_| {})).await.is_err(), "it did not stand still");
        other.execute("ROLLBACK").await.unwrap();

        let context = Context { received_at: now(), source: None, strict: true };
        let json = json!({"id": "new", "source": "s", "occurred_at": "2026-10-02T00:00:00Z", "provider": "acme", "model": "haiku",
                          "usage": {"input": 1}, "user": "somebody", "team": "t"});
        let in_force = farthing.newest(org).await.unwrap();
        let prepared = [farthing.prepare(org, &in_force, native::read(&json.to_string(), &context).unwrap())];
        farthing.commit_events(&prepared, || false).await.unwrap();
        assert_eq!(farthing.rerate(org, &wanted, |_| {}).await.unwrap().changed, 1);

        // Every name that an entry bears is one of its kind, and every owner's account is its own.
        let filter = farthing::store::EntryFilter { limit: 100, ..Default::default() };
        let booked = farthing.store.entries(org, &filter).await.unwrap();
        let names = farthing.names_of(org, &booked).await.unwrap();
        for entry in booked.iter().map(|booked| &booked.entry) {
            let sides = [names.text(entry.posting.debit()).unwrap(), names.text(entry.posting.credit()).unwrap()];
            let owner = names.owner(entry.owner).unwrap();
            let account = format!("cost:{}/{}", owner.team.as_deref().unwrap_or("-"), owner.user.as_deref().unwrap());
            assert!(sides.contains(&account.as_str()) && sides.contains(&"payable:acme"), "{sides:?} is not of {account}");
            let card = entry.card.map(|card| names.text(card).unwrap());
            assert!(card.is_none_or(|card| card.starts_with("acme/haiku")), "{card:?} is no card");
            let reason = entry.reason.map(|reason| names.text(reason).unwrap());
            assert!(reason.is_none_or(|reason| reason.starts_with("version ")), "{reason:?} is no reason");
        }
        assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
    });
}

#[test]
fn a_rollback_that_is_only_tried_changes_nothing() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = book(&database, ACME).await;
        farthing.publish(org, &wish(OTHER)).await.unwrap();
        let dry = Wish { dry_run: true, ..Wish::default() };
        let tried = farthing.roll_back(org, farthing::id::Version(1), &dry).await.unwrap();
        assert!(tried.version.is_none() && !tried.changes.is_empty());
        assert_eq!(farthing.store.head(org).await.unwrap().version.0, 2);
    });
}

/// What an importer remarks (float noise, rounding) is nobody's word that a price is meant so.
#[test]
fn an_importers_remark_explains_no_slip_of_the_unit() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, org) = book(&database, ACME).await;
        for (said, is_refused) in [("remark", true), ("note", false)] {
            let slip = ACME
                .replace("[{input_per_1m: \"1\"", &format!("[{{from: 2026-05-01, {said}: float noise, input_per_1m: \"1000\""));
            let tried = farthing.publish(org, &Wish { dry_run: true, ..wish(&slip) }).await.unwrap();
            let slips = tried.findings.iter().filter(|finding| finding.kind.name() == "unit-slip");
            assert_eq!(slips.clone().count(), 1, "{:?}", tried.findings);
            assert_eq!(slips.clone().any(|finding| finding.severity == Severity::Error), is_refused, "{said}");
        }
    });
}

/// Many requests at once may be the first that need the catalog.
#[test]
fn a_catalog_that_many_ask_for_at_once_is_there_for_all_of_them() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let org = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap().store.org("main").await.unwrap();
        for _ in 0..5 {
            let fresh = std::sync::Arc::new(Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap());
            // Some come while the first are still reading.
            let asking: Vec<_> = (0..40)
                .map(|place| {
                    let farthing = fresh.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(std::time::Duration::from_millis(place * 7)).await;
                        farthing.in_force(org).await.map(|in_force| in_force.version)
                    })
                })
                .collect();
            for asked in asking {
                assert_eq!(asked.await.unwrap().unwrap().0, 1);
            }
        }
    });
}

/// The second conditional price of a row is not kept because the first one's unknown condition was named already.
#[test]
fn every_conditional_price_with_an_unknown_condition_is_left_out() {
    let list = r#"{"data":[{"id":"a/x","pricing":{"prompt":"0.000001","completion":"0.000002","overrides":[
        {"min_prompt_tokens":1000,"max_prompt_tokens":2000,"prompt":"0.000003"},
        {"min_prompt_tokens":2000,"max_prompt_tokens":4000,"prompt":"0.000004"},
        {"min_prompt_tokens":9000,"prompt":"0.000005"}]}}]}"#;
    let imported = openrouter::read(list).unwrap();
    let when = &imported.lists[0].models[0].cards[0].when;
    assert_eq!(when.iter().map(|when| when.prompt_tokens_over).collect::<Vec<_>>(), [Some(9000)]);
    assert!(imported.notes.iter().any(|note| note.starts_with("max_prompt_tokens")), "{:?}", imported.notes);
}

/// A price that follows the clock shows at the top of its row what holds at the moment of the look.
#[test]
fn a_schedule_of_prices_is_one_card_however_often_it_is_looked_at() {
    let start = "provider: openrouter\nabsent: included\nsource: https://openrouter.ai/api/v1/models\nmodels: []\n";
    let list = |now: &str| {
        format!(
            r#"{{"data":[{{"id":"a/clocked","pricing":{{"prompt":"{now}","completion":"0.000003","overrides":[
                {{"utc_start":1630,"utc_end":30,"prompt":"0.000001"}},{{"utc_start":30,"utc_end":1630,"prompt":"0.000002"}}]}}}}]}}"#
        )
    };
    let (cheap, dear) = (list("0.000001"), list("0.000002"));
    let database = TestDatabase::sqlite();
    block_on(async {
        let looks =
            [("2026-11-01T20:00:00Z", cheap.as_str()), ("2026-11-02T08:00:00Z", dear.as_str()), ("2026-11-02T20:00:00Z", &cheap)];
        let in_force = laid(&database, start, Source::Openrouter, &looks).await.unwrap();
        assert_eq!(in_force.catalog.lists().next().unwrap().models[0].cards.len(), 1);
        assert_eq!(in_force.version.0, 2, "the later looks are no versions");
    });
}

#[test]
fn a_row_of_zeros_is_unpriced_until_somebody_says_that_it_is_free() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let zeros = r#"{"m":{"litellm_provider":"acme","mode":"chat","input_cost_per_token":0,"output_cost_per_token":0}}"#;
        let in_force = laid(&database, OTHER, Source::Litellm, &[("2026-11-01", zeros)]).await.unwrap();
        assert!(costs(&in_force, "acme", "m", "2026-11-02").contains("nobody confirmed that it is free"));
        let (farthing, org) = (Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap(), Org(1));
        send(&farthing, org, &[("e1", "acme", "m", 5, 5)]).await;
        assert_eq!(farthing.store.held_counts(org).await.unwrap().len(), 1);
        let part = farthing.parts(org, in_force.version).await.unwrap().remove(0);
        let free = own::write(&part).replace("from: 2026-11-01", "from: 2026-09-01\n        free: true");
        let published = farthing.publish(org, &wish(&free)).await.unwrap();
        assert_eq!(published.retried.posted, 1);
        assert_eq!(spent(&farthing, org).await, "0");
    });
}

#[test]
fn lists_are_stored_once_for_all_orgs_and_an_orgs_own_rules_are_its_own() {
    use sqlx::{Connection, Row};
    let database = TestDatabase::sqlite();
    block_on(async {
        let (farthing, one) = book(&database, ACME).await;
        let file = database.directory().join("acme.yaml");
        std::fs::write(&file, ACME).unwrap();
        let two = farthing.create_org("two", &CatalogFiles::At(file)).await.unwrap();
        let mut connection = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
        let mut stored = async || -> i64 {
            sqlx::query("SELECT COUNT(*) FROM catalog_parts").fetch_one(&mut connection).await.unwrap().get(0)
        };
        assert_eq!(stored().await, 1, "both orgs have the same list");

        let contract = "provider: acme\noverrides:\n  - {kind: contract, model: haiku, pricing: {inputCostPer1K: \"0.0005\"}}\n";
        farthing.publish(one, &wish(contract)).await.unwrap();
        assert_eq!(stored().await, 2);
        assert_eq!(costs(&farthing.newest(one).await.unwrap(), "acme", "haiku", "2026-10-01"), "0.5");
        assert_eq!(costs(&farthing.newest(two).await.unwrap(), "acme", "haiku", "2026-10-01"), "1");
        let versions = (farthing.newest(one).await.unwrap().version.0, farthing.newest(two).await.unwrap().version.0);
        assert_eq!(versions, (2, 1));
    });
}
