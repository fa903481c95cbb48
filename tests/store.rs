//! The conformance suite of the store: every promise it makes, on both databases.

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::random::Random;
use farthing::catalog::source::own;
use farthing::flow::accounts::Wanted;
use farthing::flow::ingest::{Outcome, Prepared};
use farthing::flow::publish::{CatalogFiles, Note, Wish};
use farthing::flow::{Farthing, now};
use farthing::id::{BlockNumber, EventNumber, Org, Sequence};
use farthing::ledger::decision::Balances;
use farthing::ledger::{Chart, Entry};
use farthing::money::Amount;
use farthing::rating::Rating;
use farthing::report::Query;
use farthing::store::{EntryFilter, Fault, OnceKey, Store};
use farthing::usage::dialect::{Context, native};
use farthing::usage::{Meter, Usage, UsageEvent};
use sqlx::{Connection, Executor, Row};
use std::collections::HashMap;
use std::time::Duration;

macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[test] fn $name() { super::block_on(super::$name(&super::TestDatabase::new(super::Kind::Sqlite))); })*
        }
        mod postgres {
            $(#[test] fn $name() { super::block_on(super::$name(&super::TestDatabase::new(super::Kind::Postgres))); })*
        }
    };
}

on_both! {
    what_is_written_is_read
    a_key_is_remembered_for_ever_and_only_after_a_commit
    two_processes_share_one_memory_of_keys
    entries_events_and_blocks_cannot_be_changed
    a_charge_cannot_be_posted_twice_even_by_mistake
    the_readable_view_adds_up
    a_locked_head_makes_others_wait
    the_last_move_of_a_head_counts
    a_row_that_cannot_be_written_is_alone_in_being_rejected
    ranges_of_time_read_what_is_in_them
    a_name_is_interned_once_whoever_comes_first
    blocks_of_a_range_are_those_that_have_entries_of_it
}

const CATALOG: &str = "provider: acme
models:
  - model: haiku
    cards: [{input_per_1m: \"0.25\", output_per_1m: \"1.25\", cache_read_per_1m: \"0.03\"}]
";

async fn open(database: &TestDatabase) -> (Farthing, Org) {
    let file = std::env::temp_dir().join(format!("farthing-store-{}-{}.yaml", std::process::id(), now().micros()));
    std::fs::write(&file, CATALOG).unwrap();
    let farthing = Farthing::open(&database.options(), &CatalogFiles::At(file.clone())).await.unwrap();
    std::fs::remove_file(file).unwrap();
    let org = farthing.store.org("main").await.unwrap();
    (farthing, org)
}

fn event(number: u64, random: &mut Random) -> UsageEvent {
    let json = format!(
        r#"{{"id":"event-{number}","source":"source-{}","occurred_at":"2026-02-{:02}T10:00:00.{:06}Z","provider":"acme","model":"haiku",
            "usage":{{"input":{},"output":{},"cache_read":{}}},"user":"user-{}","team":"team-{}","session":"s{number}",
            "labels":{{"n":"{number}"}},"reported":{{"by":"gateway","amount":"0.00{number}"}}}}"#,
        random.below(3),
        1 + random.below(28),
        random.below(1_000_000),
        random.below(100_000),
        random.below(10_000),
        random.below(2) * random.below(1000),
        random.below(200),
        random.below(20),
    );
    let context = Context { received_at: now(), source: None, strict: true };
    native::read(&json, &context).unwrap()
}

async fn prepare(farthing: &Farthing, org: Org, events: impl IntoIterator<Item = UsageEvent>) -> Vec<Prepared> {
    let in_force = farthing.in_force(org).await.unwrap();
    events.into_iter().map(|event| farthing.prepare(org, &in_force, event)).collect()
}

/// Every way of inserting is used: alone, in chunks, as a stream.
async fn what_is_written_is_read(database: &TestDatabase) {
    let (farthing, org) = open(database).await;
    let mut random = Random::new(1);
    let mut number = 0;
    let mut all = Vec::new();
    for size in [1, 2, 15, 16, 17, 64, 65, 300, 1] {
        let events: Vec<UsageEvent> = (0..size).map(|n| event(number + n, &mut random)).collect();
        number += size;
        let prepared = prepare(&farthing, org, events).await;
        let outcomes = farthing.commit_events(&prepared, || false).await.unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Posted { .. })));
        all.extend(prepared);
    }
    let records: Vec<i64> = (1..=all.len() as i64).collect();
    let stored = farthing.store.events_by_record(org, &records).await.unwrap();
    for (stored, prepared) in stored.iter().zip(&all) {
        assert_eq!(stored.event, prepared.event);
        assert_eq!(stored.row.content, prepared.content);
    }
    let entries = farthing.store.entries_between(org, 1, all.len() as i64 + 1).await.unwrap();
    assert_eq!(entries.len(), all.len());
    for (entry, prepared) in entries.iter().zip(&all) {
        let Rating::Rated(rated) = &prepared.rating else { unreachable!() };
        assert_eq!(entry.posting.amount(), rated.amount);
        assert_eq!(entry.items.iter().map(|item| item.amount).sum::<Amount>(), rated.amount);
        assert_eq!(entry.occurred_at, prepared.event.occurred_at);
    }
    assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
}

/// Small and large blocks, and some without an entry; every range is compared with all blocks, looked at one by one.
async fn blocks_of_a_range_are_those_that_have_entries_of_it(database: &TestDatabase) {
    let (farthing, org) = open(database).await;
    let mut random = Random::new(29);
    let mut number = 0;
    for _ in 0..24 {
        let size = [1, 1, 2, 7][random.below(4) as usize];
        let mut events: Vec<UsageEvent> = (0..size).map(|n| event(number + n, &mut random)).collect();
        number += size;
        // A model that is called like its event has no price and is held, and its block may have nothing else.
        let held = random.below(3);
        events.iter_mut().filter(|_| held == 0).for_each(|event| event.product.model = event.id.clone());
        let prepared = prepare(&farthing, org, events).await;
        farthing.commit_events(&prepared, || false).await.unwrap();
    }
    let blocks = farthing.store.blocks_after(org, BlockNumber(0), 1_000).await.unwrap();
    let end = farthing.store.head(org).await.unwrap().next_sequence.0;
    assert!(blocks.iter().any(|block| block.sequences.0 == block.sequences.1) && end > 20);
    for from in 0..=end + 1 {
        for until in from + 1..=end + 2 {
            let has_some = |(first, end): &(i64, i64)| (*first..*end).any(|place| (from..until).contains(&place));
            let expected = blocks.iter().map(|block| block.sequences).filter(has_some).map(|(_, end)| end);
            let spans = farthing.store.spans(org, from, until).await.unwrap();
            let found: Vec<i64> = spans.iter().map(|span| span.until.0).collect();
            assert_eq!(found, expected.collect::<Vec<_>>(), "{from} to {until}");
        }
    }
}

/// Runs are tiny in tests, so a few thousand keys pass through the log, the frozen set and sealed runs.
async fn a_key_is_remembered_for_ever_and_only_after_a_commit(database: &TestDatabase) {
    let mut random = Random::new(2);
    let mut store = Store::open(&database.options()).await.unwrap();
    let mut known: HashMap<u64, i64> = HashMap::new();
    let (mut next, mut value) = (0_u64, 0_i64);
    for round in 0..160 {
        let org = Org(1);
        let keys_of = |store: &Store, ids: &[u64]| -> Vec<OnceKey> {
            ids.iter().map(|id| store.event_key(org, "s", &id.to_string())).collect()
        };
        let fresh: Vec<u64> = (0..1 + random.below(60)).map(|n| next + n).collect();
        next += fresh.len() as u64;
        let old: Vec<u64> = (0..20).map(|_| random.below(next)).filter(|id| known.contains_key(id)).collect();

        let mut write = store.begin().await.unwrap();
        let found = write.find_once(org, &keys_of(&store, &fresh)).await.unwrap();
        assert!(found.iter().all(Option::is_none), "round {round}: a new key was found");
        let found = write.find_once(org, &keys_of(&store, &old)).await.unwrap();
        let expected: Vec<Option<i64>> = old.iter().map(|id| known.get(id).copied()).collect();
        assert_eq!(found, expected, "round {round}");
        let new: Vec<(Org, OnceKey, i64)> = keys_of(&store, &fresh)
            .into_iter()
            .map(|key| {
                value += 1;
                (org, key, value)
            })
            .collect();
        write.remember_once(&new).await.unwrap();
        match random.below(10) {
            // What was not committed never happened: these ids are never used again.
            0 => drop(write),
            _ => {
                write.commit().await.unwrap();
                known.extend(fresh.iter().zip(&new).map(|(id, (_, _, value))| (*id, *value)));
            }
        }
        if random.below(12) == 0 {
            store.close().await;
            store = Store::open(&database.options()).await.unwrap();
        }
    }
    if database.url.starts_with("sqlite") {
        let mut connection = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
        let sealed = sqlx::query("SELECT COUNT(*) FROM once_run WHERE sealed = 1").fetch_one(&mut connection).await.unwrap();
        assert!(sealed.get::<i64, _>(0) >= 3, "the test is to pass through sealed runs");
    }
    for (id, value) in known {
        let key = store.event_key(Org(1), "s", &id.to_string());
        assert_eq!(store.once(Org(1), key).await.unwrap(), Some(value), "{id}");
        let of_another = store.event_key(Org(2), "s", &id.to_string());
        assert_eq!(store.once(Org(2), of_another).await.unwrap(), None);
    }
}

async fn two_processes_share_one_memory_of_keys(database: &TestDatabase) {
    let (one, org) = open(database).await;
    let (two, _) = open(database).await;
    let mut random = Random::new(3);
    let mut sent: Vec<UsageEvent> = Vec::new();
    let mut total = Amount::ZERO;
    for round in 0..80_u64 {
        let farthing = if random.below(2) == 0 { &one } else { &two };
        let mut events: Vec<UsageEvent> = (0..random.below(40)).map(|n| event(round * 100 + n, &mut random)).collect();
        let fresh = events.len();
        events.extend((0..5).filter(|_| !sent.is_empty()).map(|_| random.pick(&sent).clone()).collect::<Vec<_>>());
        let prepared = prepare(farthing, org, events.clone()).await;
        for (place, outcome) in farthing.commit_events(&prepared, || false).await.unwrap().iter().enumerate() {
            match outcome {
                Outcome::Posted { amount, .. } if place < fresh => total += *amount,
                Outcome::AlreadyPresent if place >= fresh => {}
                other => panic!("round {round}, event {place} of {fresh}: {other:?}"),
            }
        }
        sent.extend(events.into_iter().take(fresh));
    }
    let head = two.store.head(org).await.unwrap();
    assert_eq!(head.next_record, sent.len() as i64 + 1);
    let entries = one.store.entries_between(org, 1, head.next_sequence.0).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.posting.amount()).sum::<Amount>(), total);
    assert!(two.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
}

/// One transaction for several orgs is what each org's own would have been, in whatever order: a database that is spread over
/// servers by org may commit them one by one.
#[test]
fn a_group_of_several_orgs_makes_the_books_that_each_org_alone_would_make() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let orders: [&[&[Org]]; 3] = [&[&ORGS], &[&ORGS[..1], &ORGS[1..2], &ORGS[2..]], &[&ORGS[2..], &[Org(2), Org(1)]]];
        let books = orders.map(|order| {
            let database = TestDatabase::new(kind);
            block_on(committed_by(&database, order))
        });
        assert_eq!(books[0], books[1]);
        assert_eq!(books[0], books[2]);
    }
}

const ORGS: [Org; 3] = [Org(1), Org(2), Org(3)];

/// What became of each event, and the entries and balances of each org.
type Books = (Vec<Outcome>, Vec<(Vec<Entry>, Balances)>);

/// Commits the same events in groups of these orgs.
async fn committed_by(database: &TestDatabase, groups: &[&[Org]]) -> Books {
    let (farthing, _) = open(database).await;
    let file = std::env::temp_dir().join(format!("farthing-orgs-{}-{}.yaml", std::process::id(), now().micros()));
    std::fs::write(&file, CATALOG).unwrap();
    for name in ["two", "three"] {
        farthing.create_org(name, &CatalogFiles::At(file.clone())).await.unwrap();
    }
    std::fs::remove_file(file).unwrap();
    // The same ids in every org, some of them twice: as they were, or as something else.
    let mut random = Random::new(8);
    let mut sent: Vec<(Org, UsageEvent)> = Vec::new();
    for number in 0..120 {
        let org = *random.pick(&ORGS);
        let known = (number > 20 && random.below(6) == 0).then(|| random.pick(&sent).clone());
        sent.push(known.unwrap_or_else(|| (org, event(random.below(60), &mut random))));
    }
    let mut prepared = Vec::new();
    for (org, event) in &sent {
        prepared.extend(prepare(&farthing, *org, [event.clone()]).await);
    }
    let mut outcomes: Vec<Option<Outcome>> = vec![None; sent.len()];
    for orgs in groups {
        let places: Vec<usize> = (0..sent.len()).filter(|place| orgs.contains(&sent[*place].0)).collect();
        let group: Vec<Prepared> = places.iter().map(|place| prepared[*place].clone()).collect();
        for (place, outcome) in places.into_iter().zip(farthing.commit_events(&group, || false).await.unwrap()) {
            outcomes[place] = Some(outcome);
        }
    }
    let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    assert!(count(|outcome| matches!(outcome, Outcome::AlreadyPresent)) > 3);
    assert!(count(|outcome| matches!(outcome, Outcome::Conflict { .. })) > 3);

    let mut books = Vec::new();
    for org in ORGS {
        let mut ids = std::collections::HashSet::new();
        let first = sent.iter().filter(|(of, event)| *of == org && ids.insert((event.source.clone(), event.id.clone())));
        // A quarter of a dollar per million in, five quarters out, three cents from the cache, in units of 10^-24.
        let prices = [(Meter::Input, 25), (Meter::Output, 125), (Meter::CacheRead, 3)];
        let cost = |event: &UsageEvent| -> i128 {
            let Usage::Counted(counts) = &event.usage else { panic!("{event:?}") };
            prices.iter().map(|(meter, cents)| i128::from(counts.get(*meter)) * cents * 10_i128.pow(24 - 2 - 6)).sum()
        };
        let expected: i128 = first.map(|(_, event)| cost(event)).sum();
        let next = farthing.store.head(org).await.unwrap().next_sequence.0;
        let entries = farthing.store.entries_between(org, 1, next).await.unwrap();
        assert!(entries.len() > 10);
        assert_eq!(entries.iter().map(|entry| entry.posting.amount().units()).sum::<i128>(), expected);
        assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
        books.push((entries, farthing.balances(org, &Wanted::default()).await.unwrap().0));
    }
    (outcomes, books)
}

/// Runs a statement behind the store's back.
async fn behind_its_back(database: &TestDatabase, statement: &'static str) -> Result<u64, sqlx::Error> {
    if database.url.starts_with("sqlite") {
        let mut connection = sqlx::SqliteConnection::connect(&database.url).await?;
        connection.execute(statement).await.map(|done| done.rows_affected())
    } else {
        let mut connection = sqlx::PgConnection::connect(&database.url).await?;
        connection.execute(statement).await.map(|done| done.rows_affected())
    }
}

async fn entries_events_and_blocks_cannot_be_changed(database: &TestDatabase) {
    let (farthing, org) = open(database).await;
    let prepared = prepare(&farthing, org, [event(1, &mut Random::new(4))]).await;
    farthing.commit_events(&prepared, || false).await.unwrap();
    for statement in [
        "UPDATE entries SET micro = 0",
        "DELETE FROM entries",
        "UPDATE events SET id = 'other'",
        "DELETE FROM events",
        "UPDATE blocks SET hash = marks",
        "DELETE FROM blocks",
    ] {
        let refused = behind_its_back(database, statement).await.unwrap_err().to_string();
        assert!(refused.contains("are never"), "{statement}: {refused}");
    }
    assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
}

async fn a_charge_cannot_be_posted_twice_even_by_mistake(database: &TestDatabase) {
    let (farthing, org) = open(database).await;
    let prepared = prepare(&farthing, org, [event(1, &mut Random::new(5))]).await;
    farthing.commit_events(&prepared, || false).await.unwrap();
    let mut entry = farthing.store.entries_between(org, 1, 2).await.unwrap().remove(0);
    entry.sequence = Sequence(2);
    let mut write = farthing.store.begin().await.unwrap();
    // On SQLite rows go in with what comes after them.
    let refused = match write.insert_entries(org, &[entry], farthing::flow::now().month()).await {
        Ok(()) => write.commit().await.unwrap_err(),
        Err(refused) => refused,
    };
    assert_eq!(refused.fault(), Fault::Data, "{refused:?}");
}

async fn the_readable_view_adds_up(database: &TestDatabase) {
    let (farthing, org) = open(database).await;
    let mut random = Random::new(6);
    let prepared = prepare(&farthing, org, (0..50).map(|n| event(n, &mut random)).collect::<Vec<_>>()).await;
    farthing.commit_events(&prepared, || false).await.unwrap();
    // A correction, so that the view has something to take away.
    let changed = {
        let json = native::write(&prepared[0].event).replace("\"output\":", "\"reasoning\":1,\"output\":");
        native::read(&json, &Context { received_at: now(), source: None, strict: true }).unwrap()
    };
    let again = prepare(&farthing, org, [changed]).await;
    assert!(matches!(farthing.commit_events(&again, || false).await.unwrap()[0], Outcome::Conflict { .. }));
    let conflict = farthing.conflicts(org, true, 0, 10).await.unwrap()[0].conflict.conflict;
    farthing.accept_conflict(org, conflict, "test").await.unwrap();

    let entries = farthing.store.entries_between(org, 1, 100).await.unwrap();
    let expected: Amount = entries.iter().map(|entry| entry.signed_amount(&Chart::new([]))).sum();
    let shown: Amount = if database.url.starts_with("sqlite") {
        let mut connection = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
        let rows = sqlx::query("SELECT amount FROM readable_entries").fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| Amount::parse(row.get::<&str, _>(0)).unwrap()).sum()
    } else {
        let mut connection = sqlx::PgConnection::connect(&database.url).await.unwrap();
        let row = sqlx::query("SELECT CAST(SUM(amount) AS TEXT) FROM readable_entries").fetch_one(&mut connection).await.unwrap();
        Amount::parse(row.get::<&str, _>(0)).unwrap()
    };
    assert_eq!(shown, expected);
}

async fn the_last_move_of_a_head_counts(database: &TestDatabase) {
    let (farthing, org) = open(database).await;
    let mut write = farthing.store.begin().await.unwrap();
    let mut head = write.lock_heads(&[org]).await.unwrap().remove(0);
    for month in ["2026-02", "2026-03"] {
        head.first_open = month.parse().unwrap();
        write.move_head(&head).await.unwrap();
    }
    let key = farthing.store.event_key(org, "gw", "a");
    write.remember_once(&[(org, key, 1)]).await.unwrap();
    // Who asks within the transaction sees it, and whoever comes later.
    assert_eq!(write.lock_heads(&[org]).await.unwrap(), [head.clone()]);
    write.commit().await.unwrap();
    assert_eq!(farthing.store.head(org).await.unwrap(), head);
}

async fn a_locked_head_makes_others_wait(database: &TestDatabase) {
    let (farthing, org) = open(database).await;
    let other = Store::open(&database.options()).await.unwrap();
    let mut holder = farthing.store.begin().await.unwrap();
    holder.lock_heads(&[org]).await.unwrap();
    let waiting = tokio::spawn(async move {
        let mut write = other.begin().await.unwrap();
        write.lock_heads(&[org]).await.unwrap();
    });
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(!waiting.is_finished(), "two transactions held one head");
    drop(holder);
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap().unwrap();
}

/// The keys say that an id is new, and the book disagrees: the event is refused, the others are posted.
async fn a_row_that_cannot_be_written_is_alone_in_being_rejected(database: &TestDatabase) {
    let (farthing, org) = open(database).await;
    let mut random = Random::new(7);
    let events: Vec<UsageEvent> = (0..40).map(|n| event(n, &mut random)).collect();
    let mut prepared = prepare(&farthing, org, events).await;
    // Its key leads to an event that is another one.
    let first = prepare(&farthing, org, [event(1_000, &mut random)]).await;
    farthing.commit_events(&first, || false).await.unwrap();
    prepared[17].key = first[0].key;
    let outcomes = farthing.commit_events(&prepared, || false).await.unwrap();
    for (place, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Rejected(why) if place == 17 => assert!(why.to_string().contains("cannot be written"), "{why}"),
            Outcome::Posted { .. } if place != 17 => {}
            other => panic!("event {place}: {other:?}"),
        }
    }
    assert!(farthing.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
}

async fn ranges_of_time_read_what_is_in_them(database: &TestDatabase) {
    let (farthing, org) = open(database).await;
    let mut random = Random::new(8);
    for group in 0..12_u64 {
        let events: Vec<UsageEvent> = (0..25).map(|n| event(group * 25 + n, &mut random)).collect();
        let prepared = prepare(&farthing, org, events).await;
        farthing.commit_events(&prepared, || false).await.unwrap();
    }
    let all = farthing.store.entries_between(org, 1, 301).await.unwrap();
    for (from, until) in [(5, 9), (1, 2), (27, 30), (12, 12)] {
        let instant = |day: u64| farthing::time::Instant::parse(&format!("2026-02-{:02}T00:00:00Z", day.min(28))).unwrap();
        let (from, until) = (instant(from), instant(until));
        let expected: Vec<Sequence> = all
            .iter()
            .filter(|entry| entry.occurred_at >= from && entry.occurred_at < until)
            .map(|entry| entry.sequence)
            .collect();
        let mut found = Vec::new();
        loop {
            let filter = EntryFilter {
                from: Some(from),
                until: Some(until),
                after: found.last().copied(),
                limit: 7,
                ..EntryFilter::default()
            };
            let page = farthing.store.entries(org, &filter).await.unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page.iter().map(|booked| booked.entry.sequence));
        }
        assert_eq!(found, expected);
        let query = Query { from: Some(from), until: Some(until), ..Query::default() };
        if from == until {
            assert!(farthing.report(org, &query).await.unwrap_err().to_string().contains("ends where it begins"));
            continue;
        }
        let answer = farthing.report(org, &query).await.unwrap();
        let expected: Amount =
            all.iter().filter(|entry| expected.contains(&entry.sequence)).map(|entry| entry.posting.amount()).sum();
        assert_eq!(answer.table.totals.iter().map(|total| total.amount).sum::<Amount>(), expected);
    }
}

/// A catalog version published by one process holds for the other from its next commit, and both use the same numbers.
async fn a_name_is_interned_once_whoever_comes_first(database: &TestDatabase) {
    let (one, org) = open(database).await;
    let (two, _) = open(database).await;
    let mut random = Random::new(9);
    let of_one = prepare(&one, org, (0..30).map(|n| event(n, &mut random)).collect::<Vec<_>>()).await;
    let of_two = prepare(&two, org, (30..60).map(|n| event(n, &mut random)).collect::<Vec<_>>()).await;
    one.commit_events(&of_one[..15], || false).await.unwrap();
    two.commit_events(&of_two[..15], || false).await.unwrap();

    let dearer = own::read(&CATALOG.replace("0.25", "2.5")).unwrap();
    let note = Note { author: "test".to_owned(), note: String::new() };
    let base = one.store.head(org).await.unwrap().version;
    let wish = Wish { base: Some(base), parts: dearer, accept: true, note, ..Wish::default() };
    let published = one.publish(org, &wish).await.unwrap().version.unwrap();
    // The second process prepared these under the old version.
    let outcomes = two.commit_events(&of_two[15..], || false).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Posted { version, .. } if *version == published)));
    one.commit_events(&of_one[15..], || false).await.unwrap();

    let head = one.store.head(org).await.unwrap();
    let names = one.store.names_between(org, 1, head.next_name.0).await.unwrap();
    let mut texts: Vec<_> = names.iter().map(|name| (name.kind, name.text.clone())).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), names.len());
    let booked = one.store.entries_of(org, EventNumber(31)).await.unwrap();
    assert_eq!(booked[0].version, published);
    assert!(two.verify_deep(org, |_, _| {}).await.unwrap().is_ok());
}
