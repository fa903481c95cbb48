//! The books: adjustments, balances, and months that are closed and opened again.

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::random::Random;
use crate::support::service::Service;
use farthing::catalog::source::own;
use farthing::flow::accounts::Wanted;
use farthing::flow::ingest::Prepared;
use farthing::flow::publish::{CatalogFiles, Wish as Publish};
use farthing::flow::{Farthing, FlowError, adjust, now, periods, rerate};
use farthing::id::Org;
use farthing::ledger::decision::{About, Adjustment, Closing, trial};
use farthing::ledger::{Account, EntryKind};
use farthing::money::{Amount, Currency};
use farthing::report::{Cell, Dimension, Measure, Query};
use farthing::store::EntryFilter;
use farthing::time::{Instant, Month};
use farthing::usage::Text;
use farthing::usage::dialect::{Context, native};
use num_bigint::BigInt;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use std::collections::BTreeMap;
use std::sync::Arc;

const ACME: &str =
    "provider: acme\nabsent: unknown\nmodels:\n  - model: haiku\n    cards: [{input_per_1m: \"1\", output_per_1m: \"2\"}]\n";
const DEARER: &str =
    "provider: acme\nabsent: unknown\nmodels:\n  - model: haiku\n    cards: [{input_per_1m: \"3\", output_per_1m: \"2\"}]\n";

async fn open(database: &TestDatabase) -> Farthing {
    let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
    publish(&farthing, ACME).await;
    farthing
}

async fn publish(farthing: &Farthing, yaml: &str) {
    let parts = own::read(yaml).unwrap();
    farthing.publish(ORG, &Publish { parts, accept: true, ..Publish::default() }).await.unwrap();
}

const ORG: Org = Org(1);

async fn prepared(farthing: &Farthing, id: &str, at: &str, model: &str, user: &str, input: u64) -> Prepared {
    let context = Context { received_at: now(), source: None, strict: true };
    let sent = json!({"id": id, "source": "gw", "occurred_at": at, "provider": "acme", "model": model,
        "usage": {"input": input, "output": 0}, "team": "search", "user": user});
    farthing.prepare(ORG, &farthing.newest(ORG).await.unwrap(), native::read(&sent.to_string(), &context).unwrap())
}

async fn send(farthing: &Farthing, id: &str, at: &str, model: &str) {
    let event = prepared(farthing, id, at, model, "ann", 1_000_000).await;
    farthing.commit_events(&[event], || false).await.unwrap();
}

fn both(test: impl AsyncFn(&TestDatabase)) {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(test(&database));
    }
}

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

fn wish(text: &str) -> periods::Wish {
    periods::Wish { month: month(text), accept_held: false, note: String::new(), author: "ann".to_owned() }
}

async fn close(farthing: &Farthing, text: &str) -> Result<Closing, FlowError> {
    farthing.close_period(ORG, &wish(text), |_, _| {}).await
}

fn adjustment(id: &str, amount: &str, debit: &str, credit: &str) -> adjust::Wish {
    let adjustment = Adjustment {
        id: Text::new(id).unwrap(),
        amount: Amount::parse(amount).unwrap(),
        currency: Currency::USD,
        debit: Account::parse(debit).unwrap(),
        credit: Account::parse(credit).unwrap(),
        reason: Text::known("agreed"),
        author: Text::known("ann"),
        occurred_at: Instant::parse("2026-02-10T00:00:00Z").unwrap(),
        about: About::default(),
    };
    adjust::Wish { adjustment, with_time: true }
}

/// What each of these dimensions comes to.
async fn spend(farthing: &Farthing, by: Dimension) -> BTreeMap<String, String> {
    let query = Query { by: vec![by], show: vec![Measure::Amount], ..Query::default() };
    let table = farthing.report(ORG, &query).await.unwrap().table;
    let place = table.columns.iter().position(|column| column.name == "amount").unwrap();
    let of_row = |row: Vec<Cell>| (row[0].plain(), row[place].plain());
    table.rows().map(of_row).filter(|(_, amount)| amount != "0").collect()
}

async fn balance(farthing: &Farthing, account: &str) -> String {
    let (balances, _) = farthing.balances(ORG, &Wanted::default()).await.unwrap();
    balances.get(&(account.to_owned(), Currency::USD)).map_or("-".to_owned(), |balance| balance.amount().to_string())
}

async fn whole(farthing: &Farthing) {
    farthing.verify(ORG, |_, _| {}).await.unwrap().unwrap();
}

#[test]
fn an_adjustment_is_posted_once_per_id_and_stands_where_it_was_decided() {
    both(async |database| {
        let farthing = open(database).await;
        send(&farthing, "a", "2026-02-03T10:00:00Z", "haiku").await;
        let fee = adjustment("fee-1", "0.25", "cost:search/ann", "payable:acme");
        let adjusted = farthing.adjust(ORG, &fee).await.unwrap();
        assert!(!adjusted.was_there);
        assert_eq!(adjusted.entries.len(), 1);
        assert_eq!(adjusted.entries[0].entry.kind, EntryKind::Adjustment);
        let again = farthing.adjust(ORG, &fee).await.unwrap();
        assert!(again.was_there);
        assert_eq!(again.entries[0].entry.sequence, adjusted.entries[0].entry.sequence);

        let other = farthing.adjust(ORG, &adjustment("fee-1", "0.26", "cost:search/ann", "payable:acme")).await.unwrap_err();
        assert!(other.to_string().contains("fee-1 is there already with another amount"), "{other}");

        assert_eq!(spend(&farthing, Dimension::User).await, BTreeMap::from([("ann".to_owned(), "1.25".to_owned())]));
        assert_eq!(spend(&farthing, Dimension::Provider).await, BTreeMap::from([("acme".to_owned(), "1.25".to_owned())]));
        let by_meter: Vec<String> = spend(&farthing, Dimension::Meter).await.into_values().collect();
        assert_eq!(by_meter, ["1", "0.25"], "the parts are the whole");
        assert_eq!(balance(&farthing, "payable:acme").await, "-1.25");
        let listed = farthing.adjustments(ORG, 0, 10).await.unwrap();
        assert_eq!(listed.iter().map(|(_, adjustment)| &*adjustment.id).collect::<Vec<_>>(), ["fee-1"]);
        whole(&farthing).await;
    });
}

#[test]
fn a_credit_takes_away_and_money_between_other_accounts_is_nobodys_cost() {
    both(async |database| {
        let farthing = open(database).await;
        send(&farthing, "a", "2026-02-03T10:00:00Z", "haiku").await;
        farthing.adjust(ORG, &adjustment("credit", "0.4", "payable:acme", "cost:search/ann")).await.unwrap();
        farthing.adjust(ORG, &adjustment("top-up", "100", "prepaid:acme", "cash:bank")).await.unwrap();
        farthing.adjust(ORG, &adjustment("moved", "0.1", "cost:labs/bo", "cost:search/ann")).await.unwrap();
        let users = spend(&farthing, Dimension::User).await;
        assert_eq!(users, BTreeMap::from([("ann".to_owned(), "0.5".to_owned()), ("bo".to_owned(), "0.1".to_owned())]));
        assert_eq!(spend(&farthing, Dimension::Team).await["labs"], "0.1");
        for (account, expected) in
            [("prepaid:acme", "100"), ("cash:bank", "-100"), ("cost:search/ann", "0.5"), ("transfer:cost", "0")]
        {
            assert_eq!(balance(&farthing, account).await, expected, "{account}");
        }
        // In SQL too an entry takes away where it takes away from a cost.
        let text = "SELECT CAST(amount AS TEXT) FROM readable_entries WHERE debit LIKE 'cost:%' OR credit LIKE 'cost:%'";
        let rows: Vec<(String,)> = match database.url.starts_with("sqlite") {
            true => sqlx::query_as(text).fetch_all(&sqlx::SqlitePool::connect(&database.url).await.unwrap()).await.unwrap(),
            false => sqlx::query_as(text).fetch_all(&sqlx::PgPool::connect(&database.url).await.unwrap()).await.unwrap(),
        };
        let sum: Amount = rows.iter().map(|(amount,)| Amount::parse(amount).unwrap()).sum();
        assert_eq!(sum.to_string(), "0.6");
        whole(&farthing).await;
    });
}

#[test]
fn a_month_that_is_closed_before_anything_was_booked_verifies() {
    both(async |database| {
        let farthing = open(database).await;
        assert_eq!(close(&farthing, "2026-01").await.unwrap().entries, 0);
        send(&farthing, "late", "2026-01-10T00:00:00Z", "haiku").await;
        let verified = farthing.verify_deep(ORG, |_, _| {}).await.unwrap();
        assert!(verified.is_ok(), "{verified:?}");
        assert_eq!(spend(&farthing, Dimension::Period).await, BTreeMap::from([("2026-02".to_owned(), "1".to_owned())]));
    });
}

#[test]
fn a_credit_from_a_provider_takes_away_where_nothing_but_costs_and_payables_was_ever_booked() {
    both(async |database| {
        let farthing = open(database).await;
        send(&farthing, "a", "2026-02-03T10:00:00Z", "haiku").await;
        farthing.adjust(ORG, &adjustment("credit", "0.4", "payable:acme", "cost:search/ann")).await.unwrap();
        assert_eq!(spend(&farthing, Dimension::User).await, BTreeMap::from([("ann".to_owned(), "0.6".to_owned())]));
        assert_eq!(close(&farthing, "2026-02").await.unwrap().amounts["USD"], "0.6");
    });
}

#[test]
fn every_balance_is_what_a_recount_of_the_entries_says_and_all_of_them_together_are_nothing() {
    both(async |database| {
        let plan = crate::reports::small_segments(41);
        let farthing = open(database).await.with_segments(Some(plan.clone()));
        let mut random = Random::new(41);
        for batch in 0..5 {
            let mut events = Vec::new();
            for number in 0..40 {
                let at = format!("2026-0{}-{:02}T10:00:00Z", 1 + random.below(3), 1 + random.below(28));
                let user = *random.pick(&["ann", "bo", "cy"]);
                events.push(prepared(&farthing, &format!("e{batch}-{number}"), &at, "haiku", user, random.below(1 << 40)).await);
            }
            farthing.commit_events(&events, || false).await.unwrap();
            let accounts = ["cost:search/ann", "cost:labs/bo", "payable:acme", "prepaid:acme", "expense:fees"];
            for number in 0..6 {
                let (debit, credit) = (*random.pick(&accounts), *random.pick(&accounts));
                let amount = format!("{}.{:024}", random.below(5), 1 + random.below(1 << 60));
                if debit != credit {
                    farthing.adjust(ORG, &adjustment(&format!("a{batch}-{number}"), &amount, debit, credit)).await.unwrap();
                }
            }
            if cfg!(feature = "polars") {
                farthing.copy_to_segments(ORG, |_, _| {}).await.unwrap();
            }
        }
        publish(&farthing, DEARER).await;
        farthing.rerate(ORG, &rerate::Wish { reason: "dearer".to_owned(), ..rerate::Wish::default() }, |_| {}).await.unwrap();

        let booked = farthing.store.entries(ORG, &EntryFilter { limit: 10_000, ..EntryFilter::default() }).await.unwrap();
        let names = farthing.names_of(ORG, &booked).await.unwrap();
        let recount = |keep: &dyn Fn(&farthing::ledger::Entry) -> bool| {
            let mut sums: BTreeMap<String, BigInt> = BTreeMap::new();
            for entry in booked.iter().map(|booked| &booked.entry).filter(|entry| keep(entry)) {
                let posting = &entry.posting;
                *sums.entry(names.text(posting.debit()).unwrap().to_owned()).or_default() += posting.amount().units();
                *sums.entry(names.text(posting.credit()).unwrap().to_owned()).or_default() -= posting.amount().units();
            }
            sums
        };
        assert!(booked.iter().any(|booked| booked.entry.kind == EntryKind::Reversal));
        let at = Instant::parse("2026-02-15T00:00:00Z").unwrap();
        type Keep = Box<dyn Fn(&farthing::ledger::Entry) -> bool>;
        let questions: [(Wanted, Keep); 3] = [
            (Wanted::default(), Box::new(|_| true)),
            (Wanted { until: Some(at), ..Wanted::default() }, Box::new(move |entry| entry.occurred_at < at)),
            (Wanted { period: Some(month("2026-02")), ..Wanted::default() }, Box::new(|entry| entry.period == month("2026-02"))),
        ];
        for (wanted, keep) in questions {
            let expected = recount(&keep);
            for scan in [false, true] {
                let (balances, _) = farthing.balances(ORG, &Wanted { scan, ..wanted.clone() }).await.unwrap();
                let found: BTreeMap<String, BigInt> = balances
                    .iter()
                    .map(|((account, _), balance)| (account.clone(), BigInt::from(balance.amount().units())))
                    .collect();
                assert_eq!(found, expected, "{wanted:?}");
                assert!(trial(&balances).unwrap().values().all(|sum| sum.debit == sum.credit && !sum.debit.is_zero()));
            }
        }
        let _ = std::fs::remove_dir_all(plan.directory);
    });
}

/// Closing proves the whole chain, also what was booked after the month.
#[test]
fn a_month_of_a_book_that_was_changed_is_not_closed_and_the_first_broken_block_is_named() {
    let changes = [
        ("UPDATE entries SET micro = micro + 1 WHERE sequence = 2", "block 2, entry 2: its bytes are not those that were sealed"),
        ("UPDATE entries SET micro = micro - 1 WHERE sequence = 3", "block 3, entry 3: its bytes are not those that were sealed"),
        ("UPDATE events SET id = 'x' WHERE record = 1", "block 1, event record 1: its bytes are not those that were sealed"),
        ("UPDATE blocks SET sealed_at = sealed_at + 1 WHERE block = 2", "block 2: its header or its hash is not what was sealed"),
        ("DELETE FROM entries WHERE sequence = 2", "block 2: it covers 1 entries and 0 are there"),
    ];
    for (change, why) in changes {
        both(async |database| {
            let farthing = open(database).await;
            for (id, at) in [("a", "2026-01-10T00:00:00Z"), ("b", "2026-01-20T00:00:00Z"), ("c", "2026-02-10T00:00:00Z")] {
                send(&farthing, id, at, "haiku").await;
            }
            let head = farthing.store.head(ORG).await.unwrap();
            behind_the_book(database, change).await;
            let refused = close(&farthing, "2026-01").await.unwrap_err().to_string();
            assert_eq!(refused, format!("the book is broken in {why}"), "{change}");
            assert_eq!(farthing.store.head(ORG).await.unwrap(), head, "nothing was sealed");
            assert_eq!(farthing.periods(ORG).await.unwrap(), []);
            let late = prepared(&farthing, "d", "2026-01-25T00:00:00Z", "haiku", "ann", 1).await;
            farthing.commit_events(&[late], || false).await.unwrap();
            assert!(farthing.store.booked_until(ORG, month("2026-01"), head.next_sequence).await.unwrap(), "January is open");
        });
    }
}

/// Changes something as somebody would who may do everything.
async fn behind_the_book(database: &TestDatabase, change: &str) {
    if database.url.starts_with("sqlite") {
        let mut connection = sqlx::SqliteConnection::connect(&database.url).await.unwrap();
        let triggers = "SELECT 'DROP TRIGGER ' || name FROM sqlite_schema WHERE type = 'trigger'";
        for row in connection.fetch_all(triggers).await.unwrap() {
            connection.execute(AssertSqlSafe(row.get::<String, _>(0))).await.unwrap();
        }
        assert_eq!(connection.execute(AssertSqlSafe(change.to_owned())).await.unwrap().rows_affected(), 1, "{change}");
    } else {
        let mut connection = sqlx::PgConnection::connect(&database.url).await.unwrap();
        connection.execute("SET session_replication_role = replica").await.unwrap();
        assert_eq!(connection.execute(AssertSqlSafe(change.to_owned())).await.unwrap().rows_affected(), 1, "{change}");
    }
}

#[test]
fn what_is_late_or_corrected_lands_in_the_first_month_that_is_open_and_keeps_its_own_time() {
    both(async |database| {
        let farthing = open(database).await;
        for (id, at) in [("jan", "2026-01-10T00:00:00Z"), ("feb", "2026-02-10T00:00:00Z"), ("mar", "2026-03-10T00:00:00Z")] {
            send(&farthing, id, at, "haiku").await;
        }
        let closing = close(&farthing, "2026-01").await.unwrap();
        assert_eq!((closing.entries, closing.amounts["USD"].as_str(), closing.accounts), (1, "1", 2));
        close(&farthing, "2026-02").await.unwrap();

        send(&farthing, "late", "2026-01-31T23:59:59Z", "haiku").await;
        let periods = spend(&farthing, Dimension::Period).await;
        let told = |told: [(&str, &str); 3]| told.map(|(month, sum)| (month.to_owned(), sum.to_owned())).into_iter().collect();
        assert_eq!(periods, told([("2026-01", "1"), ("2026-02", "1"), ("2026-03", "2")]));
        assert_eq!(spend(&farthing, Dimension::Month).await, told([("2026-01", "2"), ("2026-02", "1"), ("2026-03", "1")]));

        publish(&farthing, DEARER).await;
        farthing.rerate(ORG, &rerate::Wish { reason: "dearer".to_owned(), ..rerate::Wish::default() }, |_| {}).await.unwrap();
        let periods = spend(&farthing, Dimension::Period).await;
        assert_eq!(periods, told([("2026-01", "1"), ("2026-02", "1"), ("2026-03", "10")]), "closed months do not move");
        assert_eq!(spend(&farthing, Dimension::Month).await, told([("2026-01", "6"), ("2026-02", "3"), ("2026-03", "3")]));
        farthing.adjust(ORG, &adjustment("fee", "0.5", "cost:search/ann", "payable:acme")).await.unwrap();
        assert_eq!(spend(&farthing, Dimension::Period).await["2026-03"], "10.5");
        whole(&farthing).await;
    });
}

#[test]
fn a_closing_is_signed_where_there_is_a_key() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let signer = Arc::new(farthing::signature::Signer::of(&"7".repeat(64)).unwrap());
        let farthing = open(&database).await.with_signer(Some(signer.clone()));
        send(&farthing, "jan", "2026-01-10T00:00:00Z", "haiku").await;
        let closing = close(&farthing, "2026-01").await.unwrap();
        assert_eq!(closing.signature.as_ref().unwrap().key, signer.public_key());
        assert_eq!(closing.is_as_signed(), Some(true));
        let stored = farthing.periods(ORG).await.unwrap().remove(0).closing;
        assert_eq!(stored, closing);
        assert_eq!(Closing { entries: 2, ..closing }.is_as_signed(), Some(false));
    });
}

#[test]
fn months_close_in_order_when_they_are_over_and_everything_has_an_amount() {
    both(async |database| {
        let farthing = open(database).await;
        send(&farthing, "jan", "2026-01-10T00:00:00Z", "haiku").await;
        send(&farthing, "mar", "2026-03-10T00:00:00Z", "haiku").await;
        let said = close(&farthing, "2026-03").await.unwrap_err().to_string();
        assert!(said.starts_with("2026-01 has entries and is open"), "{said}");
        let this_month = now().month().to_string();
        let said = close(&farthing, &this_month).await.unwrap_err().to_string();
        assert!(said.contains("is not over; it can be closed from"), "{said}");

        send(&farthing, "what", "2026-01-11T00:00:00Z", "unheard-of").await;
        let said = close(&farthing, "2026-01").await.unwrap_err().to_string();
        assert!(said.contains("has no amount yet: 1 no_rate_card"), "{said}");
        let accepted = periods::Wish { accept_held: true, note: "price is asked for".to_owned(), ..wish("2026-01") };
        let closing = farthing.close_period(ORG, &accepted, |_, _| {}).await.unwrap();
        assert_eq!(closing.held, BTreeMap::from([("no_rate_card".to_owned(), 1)]));
        let said = close(&farthing, "2026-01").await.unwrap_err().to_string();
        assert!(said.starts_with("2026-01 is closed already"), "{said}");
        // Nothing was booked in February, so March may follow; what is held from January lands after it.
        let accepted = periods::Wish { accept_held: true, ..wish("2026-03") };
        farthing.close_period(ORG, &accepted, |_, _| {}).await.unwrap();
        publish(&farthing, "provider: acme\nmodels:\n  - model: unheard-of\n    cards: [{input_per_1m: \"5\", output_per_1m: \"2\"}]\n  - model: haiku\n    cards: [{input_per_1m: \"1\", output_per_1m: \"2\"}]\n").await;
        assert_eq!(spend(&farthing, Dimension::Period).await["2026-04"], "5");
        whole(&farthing).await;
    });
}

#[test]
fn a_month_is_opened_again_with_those_after_it_and_both_stand_in_the_book() {
    both(async |database| {
        let farthing = open(database).await;
        for (id, at) in [("jan", "2026-01-10T00:00:00Z"), ("feb", "2026-02-10T00:00:00Z"), ("mar", "2026-03-10T00:00:00Z")] {
            send(&farthing, id, at, "haiku").await;
        }
        for text in ["2026-01", "2026-02", "2026-03"] {
            close(&farthing, text).await.unwrap();
        }
        let said = farthing.reopen_period(ORG, month("2026-05"), "why", "ann").await.unwrap_err().to_string();
        assert_eq!(said, "2026-05 is not closed");
        let opened = farthing.reopen_period(ORG, month("2026-02"), "an invoice came late", "ann").await.unwrap();
        assert_eq!(opened, [month("2026-02"), month("2026-03")]);
        send(&farthing, "late", "2026-01-20T00:00:00Z", "haiku").await;
        assert_eq!(spend(&farthing, Dimension::Period).await["2026-02"], "2", "January stays closed");
        let closing = close(&farthing, "2026-02").await.unwrap();
        assert_eq!((closing.turn, closing.entries), (2, 2));
        let standing: Vec<_> = farthing
            .periods(ORG)
            .await
            .unwrap()
            .into_iter()
            .map(|standing| (standing.month.to_string(), standing.is_closed))
            .collect();
        assert_eq!(standing, [("2026-01".to_owned(), true), ("2026-02".to_owned(), true), ("2026-03".to_owned(), false)]);
        // Another process knows the same, from the book.
        let other = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        assert_eq!(other.store.head(ORG).await.unwrap().first_open, month("2026-03"));
        whole(&other).await;
    });
}

#[test]
fn a_closing_says_what_the_month_holds_also_while_two_processes_book_into_it() {
    both(async |database| {
        let farthing = Arc::new(open(database).await);
        let other = Arc::new(Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap());
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut writers = Vec::new();
        for (who, farthing) in [("one", farthing.clone()), ("two", other.clone())] {
            let stop = stop.clone();
            writers.push(tokio::spawn(async move {
                let mut number = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) || number < 20 {
                    send(&farthing, &format!("{who}-{number}"), "2026-01-15T00:00:00Z", "haiku").await;
                    number += 1;
                }
                number
            }));
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let closing = close(&farthing, "2026-01").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let mut sent = 0;
        for writer in writers {
            sent += writer.await.unwrap();
        }
        let periods = spend(&farthing, Dimension::Period).await;
        assert_eq!(periods["2026-01"], closing.amounts["USD"], "nothing landed after it was closed");
        assert_eq!(closing.amounts["USD"], closing.entries.to_string());
        assert!(closing.entries > 0 && closing.entries < sent, "{} of {sent}", closing.entries);
        assert_eq!(periods["2026-02"], (sent - closing.entries).to_string());
        whole(&farthing).await;
    });
}

#[test]
fn over_http_an_adjustment_needs_a_key_and_a_month_is_opened_by_an_admin_alone() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    let event = json!({"id": "a", "source": "gw", "occurred_at": "2026-02-03T10:00:00Z", "provider": "openai",
        "model": "gpt-4o-mini", "usage": {"input": 1_000_000, "output": 0}, "user": "ann", "team": "search"});
    assert_eq!(service.post("/v1/events", event.to_string()).status, 201);
    let fee = json!({"amount": "0.25", "debit": "cost:search/ann", "credit": "payable:openai", "reason": "agreed",
        "occurred_at": "2026-02-05"});
    let nameless = service.post("/v1/adjustments", fee.to_string());
    assert_eq!((nameless.status, nameless.json()["field"].as_str().unwrap().to_owned()), (400, "Idempotency-Key".to_owned()));
    let post = |id: &str, body: &serde_json::Value| {
        service.send(service.request("POST", "/v1/adjustments").header("Idempotency-Key", id).body(body.to_string()))
    };
    let made = post("fee-1", &fee);
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(post("fee-1", &fee).status, 200);
    let mut other = fee.clone();
    other["amount"] = json!("0.26");
    assert_eq!(post("fee-1", &other).status, 409);
    other["debit"] = json!("costs:search/ann");
    assert_eq!(post("fee-2", &other).json()["field"], "debit");

    let accounts = service.get("/v1/accounts").json();
    assert_eq!(accounts["trial"][0]["balance"], "0");
    let balance = service.get("/v1/balances?account=payable:openai").json();
    assert_eq!(balance["items"][0]["balance"], "-0.4");
    let entry = made.json()["entries"][0].as_str().unwrap().to_owned();
    assert_eq!(service.get(&format!("/v1/entries/{entry}")).json()["event"]["id"], "fee-1");

    assert_eq!(service.post("/v1/periods/2026-02/close", "").status, 200);
    let key = service.new_key(r#"{"scopes": ["reconcile", "read"]}"#);
    let reopen = |key: Option<&str>| {
        let request = service.request("POST", "/v1/periods/2026-02/reopen?reason=late");
        service.send(match key {
            Some(key) => request.key(key),
            None => request,
        })
    };
    assert_eq!(reopen(Some(&key)).status, 403);
    assert_eq!(service.get("/v1/periods").json()["first_open"], "2026-03");
    assert_eq!(reopen(None).json()["periods"], json!(["2026-02"]));
    assert_eq!(service.get("/v1/periods").json()["items"][0]["state"], "open");
}
