//! The book against OpenRouter's books, as a whole: statements that are kept, differences that are found in what real events
//! came to, true-ups that end at the settled amount whatever comes between them, and what happens by itself.

mod balance;
mod doors;
mod fetched;
mod interrupted;
mod nights;
mod page;
mod proposed;
mod purchases;
mod sample;
mod scheduled;
mod seeded;

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::random::Random;
use farthing::catalog::source::own;
use farthing::flow::accounts::Wanted;
use farthing::flow::publish::{CatalogFiles, Wish as Publish};
use farthing::flow::reconcile::{Origin, Reconciled, Wish, told};
use farthing::flow::{Farthing, now, periods, rerate};
use farthing::id::{BlockNumber, Org};
use farthing::money::{Amount, Currency};
use farthing::reconcile::Asked;
use farthing::reconcile::compare::Class;
use farthing::report::{Cell, Dimension, Measure, Query};
use farthing::usage::dialect::{Context, native};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

const ORG: Org = Org(1);

/// A million tokens in cost this many dollars; the statement knows the model by its alias.
fn prices(input: u64) -> String {
    format!(
        "provider: openrouter\nabsent: included\nmodels:\n  - model: a/b\n    aliases: [a/b-20260101]\n    cards: [{{input_per_1m: \"{input}\", output_per_1m: \"2\"}}]\n"
    )
}

async fn open(database: &TestDatabase) -> Farthing {
    let file = std::env::temp_dir().join(format!("farthing-settle-{}-{}.yaml", std::process::id(), now().micros()));
    std::fs::write(&file, prices(1)).unwrap();
    let farthing = Farthing::open(&database.options(), &CatalogFiles::At(file.clone())).await.unwrap();
    std::fs::remove_file(file).unwrap();
    farthing
}

fn money(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

fn both(test: impl AsyncFn(&TestDatabase)) {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(test(&database));
    }
}

async fn publish(farthing: &Farthing, yaml: &str) {
    let parts = own::read(yaml).unwrap_or_else(|mistakes| panic!("{}", mistakes[0]));
    farthing.publish(ORG, &Publish { parts, accept: true, ..Publish::default() }).await.unwrap();
}

async fn correct(farthing: &Farthing, input: u64) {
    publish(farthing, &prices(input)).await;
    farthing.rerate(ORG, &rerate::Wish { reason: "a wrong price".to_owned(), ..rerate::Wish::default() }, |_| {}).await.unwrap();
}

/// A call of a thousand tokens in and none out, unless its fields say otherwise.
fn call(id: &str, at: &str, fields: &Value) -> Value {
    let mut event = json!({"id": id, "source": "gw", "occurred_at": at, "provider": "openrouter", "model": "a/b",
        "provider_request_id": format!("gen-{id}"), "usage": {"input": 1_000, "output": 0}, "team": "search", "user": "ann"});
    for (name, value) in fields.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

async fn send(farthing: &Farthing, event: &Value) {
    let context = Context { received_at: now(), source: None, strict: true };
    let event = native::read(&event.to_string(), &context).unwrap();
    let prepared = farthing.prepare(ORG, &farthing.newest(ORG).await.unwrap(), event);
    farthing.commit_events(&[prepared], || false).await.unwrap();
}

/// An export, row by row: id, time, cost, tokens in, and further columns by name.
fn export(rows: &[(&str, &str, &str, u64, Value)]) -> String {
    let further = ["tokens_cached", "byok_usage_inference", "cost_web_search", "cancelled", "api_key_name"];
    let mut csv = "generation_id,created_at,cost_total,tokens_prompt,tokens_completion,model_permaslug".to_owned();
    further.iter().for_each(|name| write!(csv, ",{name}").unwrap());
    csv.push('\n');
    for (id, at, cost, tokens, fields) in rows {
        write!(csv, "gen-{id},{at},{cost},{tokens},0,a/b-20260101").unwrap();
        for (name, usual) in further.iter().zip(["0", "0", "0", "false", "prod"]) {
            write!(csv, ",{}", fields[*name].as_str().unwrap_or(usual)).unwrap();
        }
        csv.push('\n');
    }
    csv
}

async fn import(farthing: &Farthing, text: &str) -> i64 {
    farthing.import_statement(ORG, text, &Origin { asked: "a test".to_owned(), ..Origin::default() }).await.unwrap().statement
}

async fn compare(farthing: &Farthing, statement: i64) -> Reconciled {
    farthing.reconcile(ORG, &Wish { statement, block: None, asked: Asked::default() }).await.unwrap()
}

/// What was found outside of the tolerance, in short: class, amount, and which generations.
fn findings(run: &Reconciled) -> Vec<String> {
    let short = |variance| {
        let told = told(run, variance);
        let generations: Vec<_> = told["generations"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        let (class, amount) = (told["class"].as_str().unwrap(), told["amount"].as_str().unwrap());
        format!("{class} {amount} {}", generations.join(" ")).trim().to_owned()
    };
    let mut findings: Vec<String> = run.comparison.outside(&run.tolerance).map(short).collect();
    findings.sort();
    findings
}

fn everything(run: &Reconciled) -> String {
    let variances: Vec<Value> = run.comparison.variances.iter().map(|variance| told(run, variance)).collect();
    format!("{} {}", run.kept.summary, json!(variances))
}

async fn balance(farthing: &Farthing, account: &str) -> String {
    let (balances, _) = farthing.balances(ORG, &Wanted::default()).await.unwrap();
    balances.get(&(account.to_owned(), Currency::USD)).map_or("-".to_owned(), |balance| balance.amount().to_string())
}

async fn balances<const N: usize>(farthing: &Farthing, accounts: [&str; N]) -> [String; N] {
    let mut found = Vec::new();
    for account in accounts {
        found.push(balance(farthing, account).await);
    }
    found.try_into().unwrap()
}

/// What each of these dimensions comes to.
async fn spend(farthing: &Farthing, by: Dimension) -> BTreeMap<String, String> {
    let query = Query { by: vec![by], show: vec![Measure::Amount], ..Query::default() };
    let table = farthing.report(ORG, &query).await.unwrap().table;
    let place = table.columns.iter().position(|column| column.name == "amount").unwrap();
    let of_row = |row: Vec<Cell>| (row[0].plain(), row[place].plain());
    table.rows().map(of_row).filter(|(_, amount)| amount != "0").collect()
}

async fn whole(farthing: &Farthing) {
    farthing.verify_deep(ORG, |_, _| {}).await.unwrap().unwrap();
}

const NOON: &str = "2026-02-03T12:00:00Z";
const THEIR_NOON: &str = "2026-02-03 12:00:00.000";

#[test]
fn a_statement_is_kept_once_and_a_later_one_takes_its_place_beside_it() {
    both(async |database| {
        let farthing = open(database).await;
        send(&farthing, &call("a", NOON, &json!({}))).await;
        let first = export(&[("a", THEIR_NOON, "0.001", 1_000, json!({}))]);
        let number = import(&farthing, &first).await;
        let after = farthing.store.head(ORG).await.unwrap();
        let again = farthing.import_statement(ORG, &first, &Origin::default()).await.unwrap();
        assert!(again.was_there && again.statement == number);
        assert_eq!(farthing.store.head(ORG).await.unwrap().hash, after.hash, "nothing was written");

        let later = export(&[("a", THEIR_NOON, "0.003", 1_000, json!({}))]);
        let newer = import(&farthing, &later).await;
        let kept: Vec<_> = farthing.statements(ORG).await.unwrap().into_iter().map(|(n, stated)| (n, stated.amount)).collect();
        assert_eq!(kept, [(number, "0.001".to_owned()), (newer, "0.003".to_owned())]);
        let old = compare(&farthing, number).await;
        let said = farthing.true_up(ORG, &old, None, "ann").await.unwrap_err().to_string();
        assert_eq!(
            said,
            format!("statement: {newer} took the place of {number}; compare the book with that one and true up to it")
        );
        whole(&farthing).await;
    });
}

#[test]
fn a_statement_of_more_than_a_megabyte_says_the_same() {
    both(async |database| {
        let farthing = open(database).await;
        send(&farthing, &call("00007", NOON, &json!({"reported": {"by": "provider", "amount": "0.000007"}}))).await;
        let (lines, filler) = (6_000, "x".repeat(120));
        let ids: Vec<(String, String)> = (1..=lines).map(|number| (format!("{number:05}"), format!("0.{number:06}"))).collect();
        let rows: Vec<_> = ids
            .iter()
            .map(|(id, cost)| (id.as_str(), THEIR_NOON, cost.as_str(), 1_000, json!({"api_key_name": filler})))
            .collect();
        let text = export(&rows);
        assert!(text.len() > 1 << 20, "{} bytes", text.len());
        let number = import(&farthing, &text).await;
        let run = compare(&farthing, number).await;
        assert_eq!(run.comparison.statement_total, money("18.003"), "the sum of 1 to 6000 millionths");
        let missing = run.comparison.of(Class::MissingHere);
        assert_eq!((missing.count, missing.amount), (lines - 1, money("18.002993")));
        let again = farthing.import_statement(ORG, &text, &Origin::default()).await.unwrap();
        assert!(again.was_there && again.statement == number);
        whole(&farthing).await;
    });
}

#[test]
fn what_the_provider_says_again_after_it_said_something_else_counts_and_an_old_file_does_not() {
    both(async |database| {
        let farthing = open(database).await;
        send(&farthing, &call("a", NOON, &json!({}))).await;
        let [first, other] = ["0.005", "0.003"].map(|cost| export(&[("a", THEIR_NOON, cost, 1_000, json!({}))]));
        let mut numbers = Vec::new();
        for (text, is_new) in
            [(&first, true), (&first, false), (&other, true), (&first, true), (&first, false), (&other, true), (&first, true)]
        {
            let said = Origin { asked: "a question".to_owned(), said_at: Some(now()), ..Origin::default() };
            let imported = farthing.import_statement(ORG, text, &said).await.unwrap();
            assert_eq!(imported.was_there, !is_new);
            let newest = farthing.statements(ORG).await.unwrap().pop().unwrap();
            assert_eq!((imported.statement, &imported.stated), (newest.0, &newest.1), "the newest word is what was said last");
            numbers.push(imported.statement);
        }
        assert!(numbers.is_sorted(), "{numbers:?}");
        let done = farthing.true_up(ORG, &compare(&farthing, numbers[6]).await, None, "ann").await.unwrap();
        assert_eq!(done.posted, 1, "what is said again is settled");

        let file = farthing.import_statement(ORG, &other, &Origin::default()).await.unwrap();
        assert_eq!((file.was_there, file.statement, file.superseded_by), (true, numbers[2], Some(numbers[6])));
        // Nor does an answer that was asked for before the one that counts, whenever it comes.
        let late = Origin { said_at: Some(farthing::time::Instant::parse("2026-02-04T00:00:00Z").unwrap()), ..Origin::default() };
        let late = farthing.import_statement(ORG, &other, &late).await.unwrap();
        assert_eq!((late.was_there, late.statement, late.superseded_by), (true, numbers[2], Some(numbers[6])));
        assert_eq!(farthing.statements(ORG).await.unwrap().len(), 5);

        // What a person imported of the day is not undone by the same answer again.
        let of_day = format!(
            r#"{{"data":[{{"date":"{} 00:00:00","model_permaslug":"a/b-20260101","usage":0.3,"requests":1}}]}}"#,
            &NOON[..10]
        );
        let asked = async || {
            let said = Origin { said_at: Some(now()), ..Origin::default() };
            farthing.import_statement(ORG, &of_day, &said).await.unwrap()
        };
        let answer = asked().await;
        let file = import(&farthing, &export(&[("a", THEIR_NOON, "0.3", 1_000, json!({}))])).await;
        let again = asked().await;
        assert_eq!((again.was_there, again.statement, again.superseded_by), (true, answer.statement, Some(file)));
        whole(&farthing).await;
    });
}

#[test]
fn a_file_that_cannot_be_read_is_refused_with_its_line_and_column_and_nothing_is_kept() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = open(&database).await;
        let broken = export(&[("a", THEIR_NOON, "0.001", 1_000, json!({})), ("b", THEIR_NOON, "", 1_000, json!({}))]);
        let said = farthing.import_statement(ORG, &broken, &Origin::default()).await.unwrap_err().to_string();
        assert!(said.contains("line 3, column cost_total: empty; write the amount"), "{said}");
        let said = farthing.import_statement(ORG, r#"{"data":[]}"#, &Origin::default()).await.unwrap_err().to_string();
        assert_eq!(said, "the statement has no lines, and nothing says which days it is of");
        assert!(farthing.statements(ORG).await.unwrap().is_empty());
    });
}

#[test]
fn a_flipped_byte_of_a_statement_is_found_and_not_compared_with() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = open(&database).await;
        let number = import(&farthing, &export(&[("a", THEIR_NOON, "0.001", 1_000, json!({}))])).await;
        whole(&farthing).await;
        let pool = sqlx::SqlitePool::connect(&database.url).await.unwrap();
        let flip = "UPDATE statements SET body = CAST(replace(CAST(body AS TEXT), '0.001', '0.002') AS BLOB)";
        let triggers: Vec<(String,)> =
            sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'statements'")
                .fetch_all(&pool)
                .await
                .unwrap();
        for (trigger,) in triggers {
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP TRIGGER {trigger}"))).execute(&pool).await.unwrap();
        }
        sqlx::raw_sql(flip).execute(&pool).await.unwrap();
        let broken = farthing.verify_deep(ORG, |_, _| {}).await.unwrap().unwrap_err();
        assert_eq!(broken.why, "it is not what was received");
        let said = farthing.reconcile(ORG, &Wish { statement: number, block: None, asked: Asked::default() }).await;
        assert!(said.unwrap_err().to_string().contains("it is not what was received"));
    });
}

/// A book of calls of every sort, and an export of them that differs wherever its rows say so.
async fn planted(farthing: &Farthing) -> i64 {
    let mut rows = Vec::new();
    let mut plant = async |id: &'static str, sent: Option<Value>, row: Option<(&'static str, u64, Value)>| {
        if let Some(fields) = sent {
            send(farthing, &call(id, NOON, &fields)).await;
        }
        rows.extend(row.map(|(cost, tokens, fields)| (id, THEIR_NOON, cost, tokens, fields)));
    };
    let byok = |fee: &str| json!({"reported": {"by": "provider", "amount": fee, "byok": true, "upstream_amount": "0.1"}});
    plant("same", Some(json!({})), Some(("0.003", 1_000, json!({})))).await;
    plant("labs", Some(json!({"team": "labs"})), Some(("0.003", 1_000, json!({})))).await;
    plant("free", Some(json!({"usage": null, "outcome": "failed"})), None).await;
    plant("lost", None, Some(("0.25", 1_000, json!({})))).await;
    plant("insured", Some(json!({})), None).await;
    plant("dearer", Some(json!({})), Some(("0.0041", 1_000, json!({})))).await;
    plant("more", Some(json!({})), Some(("0.00303", 1_010, json!({})))).await;
    plant("half", Some(json!({})), Some(("0.0015", 1_000, json!({})))).await;
    plant("cached", Some(json!({})), Some(("0.0027", 1_000, json!({"tokens_cached": "400"})))).await;
    plant("own", Some(byok("0.005")), Some(("0.005", 1_000, json!({"byok_usage_inference": "0.1"})))).await;
    plant("fee", Some(byok("0.005")), Some(("0.006", 1_000, json!({"byok_usage_inference": "0.1"})))).await;
    plant("byok", Some(json!({})), Some(("0.0002", 1_000, json!({"byok_usage_inference": "0.1"})))).await;
    plant("search", Some(json!({})), Some(("0.017", 1_000, json!({"cost_web_search": "0.014"})))).await;
    let cancelled = json!({"usage": null, "outcome": "cancelled", "reported": {"by": "provider", "amount": "0"}});
    plant("stopped", Some(cancelled), Some(("0.002", 700, json!({"cancelled": "true"})))).await;
    plant("chat", None, Some(("0.5", 9_000, json!({"api_key_name": ""})))).await;
    plant("twice", Some(json!({})), Some(("0.003", 1_000, json!({})))).await;
    send(farthing, &call("twice-again", NOON, &json!({"provider_request_id": "gen-twice"}))).await;
    send(farthing, &call("edge", "2026-02-04T00:00:00Z", &json!({}))).await;
    rows.push(("edge", "2026-02-03 23:59:59.999", "0.003", 1_000, json!({})));
    publish(farthing, "provider: openrouter\noverrides:\n  - {kind: chargeback, team: labs, input_per_1m: \"7\"}\n").await;
    // Everything was booked at a wrong price at first.
    correct(farthing, 3).await;
    import(farthing, &export(&rows)).await
}

#[test]
fn what_real_events_came_to_is_compared_with_an_export_and_every_difference_is_classed() {
    both(async |database| {
        let farthing = open(database).await;
        let statement = planted(&farthing).await;
        let run = compare(&farthing, statement).await;
        assert_eq!(
            findings(&run),
            [
                "byok -0.0028 gen-byok",
                "cache_split -0.0003 gen-cached",
                "duplicate_here -0.003",
                "fee 0.001 gen-fee",
                "missing_here 0.25 gen-lost",
                "missing_there -0.003",
                "price 0.0011 gen-dearer",
                "quantity 0.00003 gen-more",
                "quantity 0.002 gen-stopped",
                "tier -0.0015 gen-half",
                "tool_charge 0.014 gen-search",
                "unmetered 0.5 gen-chat",
            ]
        );
        assert_eq!(run.comparison.matched.count, 5, "same, labs, own, twice and edge");
        assert_eq!(balance(&farthing, "cost:labs/ann").await, "0.007", "what labs bears is not what the provider is owed");

        // Whatever is booked later, the same run is the same.
        let was = everything(&run);
        send(&farthing, &call("late", NOON, &json!({}))).await;
        correct(&farthing, 5).await;
        farthing.true_up(ORG, &run, None, "ann").await.unwrap();
        let again = farthing.reconciled(ORG, &run.kept.run).await.unwrap();
        assert_eq!(everything(&again), was);
        let wish = Wish { statement, block: Some(run.kept.block), asked: Asked::default() };
        assert_eq!(farthing.reconcile(ORG, &wish).await.unwrap().kept.run, run.kept.run);
        whole(&farthing).await;
    });
}

#[test]
fn usage_of_a_key_that_sends_nothing_here_is_unmetered_as_soon_as_gateways_tell_keys() {
    both(async |database| {
        let farthing = open(database).await;
        let row = |id, cost, key: &str| (id, THEIR_NOON, cost, 1_000, json!({"api_key_name": key}));
        let rows = [row("a", "0.001", "prod"), row("lost", "0.2", "prod"), row("laptop", "0.4", "laptop")];
        let statement = import(&farthing, &export(&rows)).await;
        send(&farthing, &call("a", NOON, &json!({}))).await;
        let untold = compare(&farthing, statement).await;
        assert_eq!(findings(&untold), ["missing_here 0.2 gen-lost", "missing_here 0.4 gen-laptop"], "nobody tells of keys");
        // A gateway may have keys of its own, which are called otherwise.
        send(&farthing, &call("b", "2026-02-03T18:00:00Z", &json!({"key": "virtual-7", "provider": "acme"}))).await;
        send(&farthing, &call("c", "2026-02-01T18:00:00Z", &json!({"key": "virtual-8"}))).await;
        assert_eq!(findings(&compare(&farthing, statement).await), findings(&untold));

        send(&farthing, &call("d", "2026-02-02T18:00:00Z", &json!({"key": "prod"}))).await;
        let told = compare(&farthing, statement).await;
        assert_eq!(findings(&told), ["missing_here 0.2 gen-lost", "unmetered 0.4 gen-laptop"]);
        // One that sent something once is silent only today.
        send(&farthing, &call("e", "2025-12-01T18:00:00Z", &json!({"key": "laptop"}))).await;
        assert_eq!(findings(&compare(&farthing, statement).await), findings(&untold));
        // Of an earlier block nothing else is said than then.
        let again = farthing.reconciled(ORG, &told.kept.run).await.unwrap();
        assert_eq!(everything(&again), everything(&told));
        whole(&farthing).await;
    });
}

#[test]
fn a_block_that_is_not_there_is_named() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = open(&database).await;
        let statement = import(&farthing, &export(&[("a", THEIR_NOON, "0.001", 1_000, json!({}))])).await;
        for block in [-1, 0, 2, i64::MAX, i64::MIN] {
            let wish = Wish { statement, block: Some(BlockNumber(block)), asked: Asked::default() };
            let said = farthing.reconcile(ORG, &wish).await.unwrap_err().to_string();
            assert_eq!(said, format!("block: there is no block {block}; the last one is 1"));
        }
    });
}

/// An answer of `/activity`: day, requests, tokens in, and cost.
fn activity(rows: &[(&str, u64, u64, &str)]) -> String {
    let rows: Vec<String> = rows
        .iter()
        .map(|(day, requests, tokens, cost)| {
            format!(
                r#"{{"date":"2026-02-{day}","model":"a/b","model_permaslug":"a/b-20260101","provider_name":"P","usage":{cost},"requests":{requests},"prompt_tokens":{tokens},"completion_tokens":0,"reasoning_tokens":0}}"#
            )
        })
        .collect();
    format!(r#"{{"data":[{}]}}"#, rows.join(","))
}

/// Two calls on each of four days, and the provider's days: one the same, one dearer, one with a call more, one with none.
async fn planted_days(farthing: &Farthing) -> i64 {
    for day in ["03", "05", "10", "16"] {
        for id in ["x", "y"] {
            send(farthing, &call(&format!("{day}{id}"), &format!("2026-02-{day}T12:00:00Z"), &json!({}))).await;
        }
    }
    import(
        farthing,
        &activity(&[("03", 2, 2_000, "0.002"), ("05", 2, 2_000, "0.0023"), ("10", 3, 3_500, "0.0035"), ("22", 1, 1_000, "0.7")]),
    )
    .await
}

#[test]
fn days_are_compared_and_every_difference_is_classed() {
    both(async |database| {
        let farthing = open(database).await;
        let statement = planted_days(&farthing).await;
        let run = compare(&farthing, statement).await;
        assert_eq!(findings(&run), ["missing_here 0.0015", "missing_here 0.7", "missing_there -0.002", "price 0.0003"]);
        assert_eq!(run.comparison.matched.count, 1);
    });
}

#[test]
fn a_day_that_was_not_asked_for_is_not_late() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = open(&database).await;
        for (id, at) in [("a", NOON), ("b", "2026-02-04T12:00:00Z")] {
            send(&farthing, &call(id, at, &json!({}))).await;
        }
        // One call more on the third, and nothing said of the fourth, where a call of the same amount is booked.
        let statement = import(&farthing, &activity(&[("03", 2, 2_000, "0.002")])).await;
        assert_eq!(findings(&compare(&farthing, statement).await), ["missing_here 0.001"]);
    });
}

#[test]
fn a_statement_of_one_key_leaves_what_other_keys_used_alone() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = open(&database).await;
        for (id, key) in [("a", "prod"), ("b", "prod-eu"), ("c", "hash-of-prod")] {
            send(&farthing, &call(id, NOON, &json!({"key": key}))).await;
        }
        let of_prod = async |text: &str| {
            let origin = Origin { account: Some("prod".to_owned()), ..Origin::default() };
            let statement = farthing.import_statement(ORG, text, &origin).await.unwrap().statement;
            compare(&farthing, statement).await
        };
        // What the statement names is of its key, whatever the event calls that.
        let rows = [("a", "0.0023"), ("c", "0.001"), ("lost", "0.5")].map(|(id, cost)| (id, THEIR_NOON, cost, 1_000, json!({})));
        let run = of_prod(&export(&rows)).await;
        assert_eq!(findings(&run), ["missing_here 0.5 gen-lost", "price 0.0013 gen-a"]);
        assert_eq!(farthing.true_up(ORG, &run, None, "ann").await.unwrap().posted, 2);
        assert_eq!(balance(&farthing, "payable:openrouter").await, "-0.5043");

        // A day's sum of one key is nothing that could be found again; nobody else's day is changed for it.
        let run = of_prod(&activity(&[("04", 1, 1_000, "0.25")])).await;
        assert_eq!(findings(&run), ["missing_here 0.25"]);
        let done = farthing.true_up(ORG, &run, None, "ann").await.unwrap();
        assert_eq!((done.posted, done.left), (0, 1));
        whole(&farthing).await;
    });
}

#[test]
fn a_true_up_is_posted_once_and_leaves_nothing_outside_of_the_tolerance() {
    both(async |database| {
        let farthing = open(database).await;
        let statement = planted(&farthing).await;
        let run = compare(&farthing, statement).await;
        let small = farthing.true_up(ORG, &run, Some(money("0.002")), "ann").await.unwrap();
        assert_eq!((small.posted, small.left), (6, 6));
        // Two processes go on from there at the same time, and one of them again.
        let other = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        let (one, two) = tokio::join!(farthing.true_up(ORG, &run, None, "ann"), other.true_up(ORG, &run, None, "reconciliation"));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one.posted + two.posted, 6, "{one:?} {two:?}");
        let again = farthing.true_up(ORG, &run, None, "ann").await.unwrap();
        assert_eq!((again.posted, again.were_there, again.left), (0, 0, 0));
        let after = compare(&farthing, statement).await;
        assert_eq!(findings(&after), [""; 0]);
        let on_another_day = after.comparison.of(Class::Timing);
        assert_eq!(
            (on_another_day.count, on_another_day.amount),
            (1, money("0.003")),
            "the statement of the next day has it less"
        );
        whole(&farthing).await;
    });
}

#[test]
fn what_was_booked_twice_ends_at_the_settled_amount_however_prices_move_under_it() {
    both(async |database| {
        let farthing = open(database).await;
        for (id, team) in [("first", "one"), ("second", "two")] {
            send(&farthing, &call(id, NOON, &json!({"provider_request_id": "gen-both", "team": team}))).await;
        }
        let statement = import(&farthing, &export(&[("both", THEIR_NOON, "0.0015", 1_000, json!({}))])).await;
        assert_eq!(findings(&compare(&farthing, statement).await), ["duplicate_here -0.001", "price 0.0005 gen-both"]);
        let all = ["payable:openrouter", "cost:one/ann", "cost:two/ann"];
        assert_eq!(balances(&farthing, all).await, ["-0.002", "0.001", "0.001"]);
        for price in [1, 7, 1] {
            correct(&farthing, price).await;
            for _ in 0..3 {
                farthing.true_up(ORG, &compare(&farthing, statement).await, None, "ann").await.unwrap();
            }
            assert_eq!(findings(&compare(&farthing, statement).await), [""; 0], "at {price}");
            assert_eq!(balance(&farthing, "payable:openrouter").await, "-0.0015", "at {price}");
        }
        let borne = balances(&farthing, all).await;
        assert_eq!(money(&borne[1]) + money(&borne[2]), money("0.0015"), "{borne:?}");
        whole(&farthing).await;
    });
}

#[test]
fn days_end_at_the_settled_amount_too() {
    both(async |database| {
        let farthing = open(database).await;
        let statement = planted_days(&farthing).await;
        let run = compare(&farthing, statement).await;
        assert_eq!(farthing.true_up(ORG, &run, None, "ann").await.unwrap().posted, 4);
        assert_eq!(findings(&compare(&farthing, statement).await), [""; 0]);
        assert_eq!(balance(&farthing, "payable:openrouter").await, "-0.7078");
        // What lands late is in the settled amount already.
        send(&farthing, &call("late", "2026-02-10T13:00:00Z", &json!({}))).await;
        correct(&farthing, 3).await;
        farthing.true_up(ORG, &run, None, "ann").await.unwrap();
        assert_eq!(findings(&compare(&farthing, statement).await), [""; 0]);
        assert_eq!(balance(&farthing, "payable:openrouter").await, "-0.7078");
        whole(&farthing).await;
    });
}

#[test]
fn who_made_a_call_bears_its_true_up_and_what_is_of_no_call_is_nobodys() {
    both(async |database| {
        let farthing = open(database).await;
        publish(&farthing, "provider: openrouter\noverrides:\n  - {kind: chargeback, team: labs, input_per_1m: \"7\"}\n").await;
        for (id, team) in [("a", "search"), ("b", "labs"), ("shared", "core")] {
            send(&farthing, &call(id, NOON, &json!({"team": team}))).await;
        }
        let rows = ["a", "b", "shared", "lost"].map(|id| (id, THEIR_NOON, "0.101", 1_000, json!({})));
        let statement = import(&farthing, &export(&rows)).await;
        let run = compare(&farthing, statement).await;
        assert_eq!(farthing.true_up(ORG, &run, None, "ann").await.unwrap().posted, 4);
        let borne = ["cost:search/ann", "cost:labs/ann", "cost:core/ann", "cost:-/-"];
        let mut found = Vec::new();
        for account in borne {
            found.push(balance(&farthing, account).await);
        }
        assert_eq!(found, ["0.101", "0.107", "0.101", "0.101"]);

        // Another rule of accounts: what was booked under the old one is trued up under the new one.
        publish(&farthing, "accounts:\n  cost: [team]\n").await;
        let rows = ["a", "b", "shared", "lost"].map(|id| (id, THEIR_NOON, "0.201", 1_000, json!({})));
        let statement = import(&farthing, &export(&rows)).await;
        let run = compare(&farthing, statement).await;
        assert_eq!(farthing.true_up(ORG, &run, None, "ann").await.unwrap().posted, 4);
        let teams = spend(&farthing, Dimension::Team).await;
        assert_eq!((teams["search"].as_str(), teams["labs"].as_str()), ("0.201", "0.207"));
        assert_eq!(balance(&farthing, "cost:-").await, "0.1");
        whole(&farthing).await;
    });
}

#[test]
fn a_closed_month_stays_as_it_was_closed_and_its_true_ups_land_in_the_next() {
    both(async |database| {
        let farthing = open(database).await;
        send(&farthing, &call("a", NOON, &json!({}))).await;
        let month = "2026-02".parse().unwrap();
        let wish = periods::Wish { month, accept_held: false, note: String::new(), author: "ann".to_owned() };
        farthing.close_period(ORG, &wish, |_, _| {}).await.unwrap();
        let statement = import(&farthing, &export(&[("a", THEIR_NOON, "0.005", 1_000, json!({}))])).await;
        let run = compare(&farthing, statement).await;
        farthing.true_up(ORG, &run, None, "ann").await.unwrap();
        let periods = spend(&farthing, Dimension::Period).await;
        assert_eq!((periods["2026-02"].as_str(), periods["2026-03"].as_str()), ("0.001", "0.004"));
        assert_eq!(spend(&farthing, Dimension::Month).await["2026-02"], "0.005");
        assert_eq!(findings(&compare(&farthing, statement).await), [""; 0]);
        whole(&farthing).await;
    });
}

#[test]
fn late_facts_corrections_and_true_ups_in_any_order_end_at_the_settled_amount() {
    for seed in 0..16 {
        let database = TestDatabase::new(if seed % 4 == 0 { Kind::Postgres } else { Kind::Sqlite });
        block_on(async {
            let farthing = open(&database).await;
            let mut random = Random::new(seed);
            let ids = ["a", "b", "c", "d", "e"];
            let costs: Vec<String> = ids.iter().map(|_| format!("0.{:06}", 1 + random.below(9_999))).collect();
            let by_day = random.below(2) == 0;
            let sum: Amount = costs.iter().map(|cost| money(cost)).sum();
            let text = match by_day {
                true => activity(&[("03", 5, 5_000, &sum.to_string())]),
                false => {
                    let rows: Vec<_> =
                        ids.iter().zip(&costs).map(|(id, cost)| (*id, THEIR_NOON, cost.as_str(), 1_000, json!({}))).collect();
                    export(&rows)
                }
            };
            let statement = import(&farthing, &text).await;
            let mut runs = vec![compare(&farthing, statement).await];
            for _ in 0..14 {
                match random.below(4) {
                    0 => send(&farthing, &call(random.pick::<&str>(&ids), NOON, &json!({}))).await,
                    // The same few prices again and again, so that a line comes back to amounts that it had.
                    1 => correct(&farthing, 1 + random.below(3)).await,
                    2 => runs.push(compare(&farthing, statement).await),
                    _ => drop(farthing.true_up(ORG, random.pick(&runs), None, "ann").await.unwrap()),
                }
            }
            for id in ids {
                send(&farthing, &call(id, NOON, &json!({}))).await;
            }
            farthing.true_up(ORG, &runs[0], None, "ann").await.unwrap();
            let last = compare(&farthing, statement).await;
            assert!(last.comparison.outside(&last.tolerance).next().is_none(), "seed {seed}: {:?}", findings(&last));
            assert_eq!(balance(&farthing, "payable:openrouter").await, (-sum).to_string(), "seed {seed}");
            whole(&farthing).await;
        });
    }
}
