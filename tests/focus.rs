//! The FOCUS export of random books on both databases: contracts, chargebacks, reported amounts, keys of one's own, tiers,
//! closed months. Each row is counted again from the entries, with big integers and without a line of the program's fold;
//! costs add up to the book's, prices times quantities are costs, and a correction is what was booked after its month.

#[cfg(feature = "polars")]
mod parquet;

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::random::Random;
use crate::support::service::{Answer, Service};
use chrono::{DateTime, Datelike, Utc};
use farthing::catalog::source::own;
use farthing::flow::focus::{Exported, Wish};
use farthing::flow::publish::{self, CatalogFiles, Note};
use farthing::flow::{Farthing, now, periods, rerate};
use farthing::focus::{self, Grain, Version, csv};
use farthing::id::{NameId, Org};
use farthing::ledger::{Entry, EntryKind};
use farthing::store::Names;
use farthing::usage::Meter;
use farthing::usage::dialect::{Context, native};
use num_bigint::BigInt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const LISTS: [&str; 3] = [
    r#"
provider: acme
models:
  - model: haiku
    cards:
      - input_per_1m: "1"
        output_per_1m: "5"
        cache_read_per_1m: "0.1"
        web_search_each: "0.01"
        when: [{prompt_tokens_over: 5000, input_per_1m: "2", output_per_1m: "7.5"}]
  - model: steps
    cards: [{input_per_1m: "3", output_per_1m: "0.3333333333", graduated: [{over: 4000, input_per_1m: "2"}]}]
"#,
    "provider: euro\ncurrency: EUR\nmodels:\n  - model: haiku\n    cards: [{input_per_1m: \"1.5\", output_per_1m: \"4\"}]\n",
    "provider: router\ncost_basis: reported\nmodels:\n  - model: known\n    cards: [{input_per_1m: \"1\", output_per_1m: \"2\"}]\n",
];
const CONTRACT: &str = r#"
provider: acme
overrides:
  - {kind: contract, input_per_1m: "0.9", request_each: "0.0001", note: signed}
  - {kind: chargeback, team: labs, input_per_1m: "1.2", output_per_1m: "4"}
"#;

struct Book {
    farthing: Farthing,
    org: Org,
    random: Random,
    sent: u64,
}

type Row = BTreeMap<String, String>;

impl Book {
    async fn open(database: &TestDatabase, seed: u64) -> Book {
        let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        let book = Book { farthing, org: Org(1), random: Random::new(seed), sent: 0 };
        book.publish(&LISTS).await;
        book
    }

    /// Charges at list price, a contract that corrects them, a month that is closed, and what comes in late.
    async fn random(database: &TestDatabase, seed: u64) -> Book {
        let mut book = Book::open(database, seed).await;
        book.send_some(150).await;
        book.publish(&[CONTRACT]).await;
        book.rerate().await;
        book.send_some(150).await;
        book.close("2026-03").await;
        book.send_some(150).await;
        book.publish(&[&CONTRACT.replace("0.9", "0.85")]).await;
        book.rerate().await;
        book
    }

    async fn publish(&self, files: &[&str]) {
        let parts = files.iter().flat_map(|yaml| own::read(yaml).unwrap_or_else(|wrong| panic!("{}", wrong[0]))).collect();
        let note = Note { author: "test".to_owned(), note: "test".to_owned() };
        let wish = publish::Wish { parts, accept: true, note, ..publish::Wish::default() };
        self.farthing.publish(self.org, &wish).await.unwrap();
    }

    async fn rerate(&self) {
        let wish = rerate::Wish { reason: "other prices".to_owned(), ..rerate::Wish::default() };
        self.farthing.rerate(self.org, &wish, |_| {}).await.unwrap();
    }

    /// Nothing lands in this month or before it any more.
    async fn close(&self, month: &str) {
        let (note, author) = (String::new(), "ann".to_owned());
        let wish = periods::Wish { month: month.parse().unwrap(), accept_held: true, note, author };
        self.farthing.close_period(self.org, &wish, |_, _| {}).await.unwrap();
    }

    async fn send(&mut self, events: &[Value]) {
        let in_force = self.farthing.newest(self.org).await.unwrap();
        let context = Context { received_at: now(), source: None, strict: true };
        let prepare =
            |event: &Value| self.farthing.prepare(self.org, &in_force, native::read(&event.to_string(), &context).unwrap());
        let prepared: Vec<_> = events.iter().map(prepare).collect();
        self.farthing.commit_events(&prepared, || false).await.unwrap();
    }

    async fn send_some(&mut self, count: u64) {
        let mut events = Vec::new();
        for _ in 0..count {
            self.sent += 1;
            let random = &mut self.random;
            // March and April 2026, many of them around midnights.
            let day = 1_772_323_200 + 86_400 * random.below(61);
            let at = if random.below(3) == 0 { day + random.below(3) } else { day + random.below(86_400) };
            let (provider, model) = *random.pick(&[
                ("acme", "haiku"),
                ("acme", "haiku"),
                ("acme", "steps"),
                ("euro", "haiku"),
                ("router", "known"),
                ("router", "new"),
            ]);
            let mut event = json!({
                "id": format!("e{}", self.sent), "source": "gw", "occurred_at": DateTime::from_timestamp(at as i64, 0).unwrap().to_rfc3339(),
                "provider": provider, "model": model,
                "usage": {"input": random.below(10_000), "output": random.below(3_000)},
                "user": random.pick(&["ann", "=SUM(1)", "b,\"o\""]), "outcome": random.pick(&["succeeded", "succeeded", "failed", "cache_hit"]),
            });
            if random.below(3) > 0 {
                event["team"] = json!(random.pick(&["search", "labs"]));
            }
            if (provider, model) == ("acme", "haiku") {
                event["usage"]["cache_read"] = json!(random.below(2) * random.below(9_000));
                event["usage"]["web_search"] = json!(random.below(3));
            }
            if provider == "router" {
                let micro = random.below(20_000);
                event["reported"] = json!({"by": "provider", "amount": format!("0.{micro:06}1"), "currency": "USD"});
                if random.below(4) == 0 {
                    event["served_by"] = json!("up stream/1");
                    event["reported"]["byok"] = json!(true);
                    event["reported"]["upstream_amount"] = json!("0.0123");
                }
            }
            events.push(event);
        }
        self.send(&events).await;
    }

    async fn entries(&self) -> (Vec<Entry>, Names) {
        let head = self.farthing.store.head(self.org).await.unwrap();
        let entries = self.farthing.store.entries_between(self.org, 1, head.next_sequence.0).await.unwrap();
        let mut names = Names::default();
        let (owners, products): (Vec<_>, Vec<_>) = entries.iter().map(|entry| (entry.owner, entry.product)).unzip();
        let accounts: Vec<NameId> = entries.iter().flat_map(|entry| [entry.posting.debit(), entry.posting.credit()]).collect();
        names.learn(&self.farthing.store, self.org, &owners, &products, &accounts).await.unwrap();
        (entries, names)
    }

    async fn export(&self, wish: &Wish, version: Version) -> (Vec<Row>, Exported) {
        let (to, mut rows) = tokio::sync::mpsc::channel::<Vec<focus::Row>>(1);
        let mut text = csv::header(version);
        let write = async {
            while let Some(some) = rows.recv().await {
                csv::write(&some, version, &mut text);
            }
        };
        let (exported, ()) = tokio::join!(self.farthing.focus(self.org, wish, to), write);
        (table(&text), exported.unwrap())
    }
}

/// A CSV file by its header.
fn table(text: &str) -> Vec<Row> {
    let mut records: Vec<Vec<String>> = vec![vec![String::new()]];
    let (mut letters, mut quoted) = (text.chars().peekable(), false);
    while let Some(letter) = letters.next() {
        let record = records.last_mut().unwrap();
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => record.last_mut().unwrap().push(letters.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(String::new()),
            '\r' if !quoted => assert_eq!(letters.peek(), Some(&'\n')),
            '\n' if !quoted => records.push(vec![String::new()]),
            other => record.last_mut().unwrap().push(other),
        }
    }
    assert_eq!(records.pop(), Some(vec![String::new()]), "the last line ends");
    let names = records.remove(0);
    let row = |record: Vec<String>| {
        assert_eq!(record.len(), names.len());
        names.iter().cloned().zip(record).collect()
    };
    records.into_iter().map(row).collect()
}

/// A decimal in units of 10^-24.
fn units(text: &str) -> BigInt {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, decimals) = digits.split_once('.').unwrap_or_else(|| panic!("{text} has no point"));
    assert!(!decimals.is_empty() && decimals.len() <= 24, "{text}");
    format!("{whole}{decimals:0<24}").parse::<BigInt>().unwrap() * sign
}

/// Billed, contracted and listed costs, calls, and units of meters.
type Counted = [BigInt; 5];

/// By charge day, billing month, team, model, currency, kind, meter.
type Key = [String; 7];

fn add(to: &mut BTreeMap<Key, Counted>, key: Key, counted: Counted) {
    let known = to.entry(key).or_default();
    known.iter_mut().zip(counted).for_each(|(known, more)| *known += more);
}

/// The same from the entries. Of a list's amount an entry knows only the total, so it stands beside no meter.
fn recounted(entries: &[Entry], names: &Names) -> BTreeMap<Key, Counted> {
    let mut sums = BTreeMap::new();
    let zero = || BigInt::ZERO;
    for entry in entries {
        let account = |name| names.text(name).unwrap();
        let margin = |name| account(name).starts_with("margin:");
        let (debit, credit) = (entry.posting.debit(), entry.posting.credit());
        let of_margin = margin(debit) || margin(credit);
        let borne_by_owner = account(debit).starts_with("cost:");
        let sign = BigInt::from(if borne_by_owner { 1 } else { -1 });
        let counts = BigInt::from(if entry.kind == EntryKind::Reversal { -1 } else { 1 });
        let at: DateTime<Utc> = DateTime::from_timestamp_micros(entry.occurred_at.micros()).unwrap();
        let team = names.owner(entry.owner).unwrap().team.map_or(String::new(), |team| team.to_string());
        let model = names.product(entry.product).unwrap().model.to_string();
        let key = |meter: &str| -> Key {
            let (day, currency) = (at.format("%Y-%m-%d").to_string(), entry.posting.currency().to_string());
            [day, entry.period.to_string(), team.clone(), model.clone(), currency, entry.kind.name().to_owned(), meter.to_owned()]
        };
        let amount = &sign * entry.posting.amount().units();
        let (contracted, listed) = match of_margin {
            true => (zero(), zero()),
            false => (amount.clone(), &sign * entry.list.unwrap_or(entry.posting.amount()).units()),
        };
        add(&mut sums, key("all"), [amount, contracted, listed, &counts * entry.calls, zero()]);
        if !of_margin {
            for item in entry.items.iter().filter(|item| item.meter != Meter::Whole) {
                let amount = &sign * item.amount.units();
                add(&mut sums, key(item.meter.name()), [amount.clone(), amount, zero(), zero(), &counts * item.quantity]);
            }
        }
    }
    sums
}

fn counted(rows: &[Row]) -> BTreeMap<Key, Counted> {
    let mut sums = BTreeMap::new();
    let one = BigInt::from(10).pow(24);
    for row in rows {
        let key = |meter: &str| -> Key {
            let (day, month) = (row["ChargePeriodStart"][..10].to_owned(), row["BillingPeriodStart"][..7].to_owned());
            let (team, model) = (row["SubAccountId"].clone(), row["x_Model"].clone());
            [day, month, team, model, row["BillingCurrency"].clone(), row["x_EntryKind"].clone(), meter.to_owned()]
        };
        let [billed, contracted, listed, calls] =
            ["BilledCost", "ContractedCost", "ListCost", "x_Calls"].map(|name| units(&row[name]));
        add(&mut sums, key("all"), [billed.clone(), contracted.clone(), listed, calls / &one, BigInt::ZERO]);
        if !["", "whole"].contains(&row["x_Meter"].as_str()) {
            let quantity = units(&row["ConsumedQuantity"]) / &one;
            add(&mut sums, key(&row["x_Meter"]), [billed, contracted, BigInt::ZERO, BigInt::ZERO, quantity]);
        }
    }
    sums
}

fn total(rows: &[Row], column: &str) -> BTreeMap<String, BigInt> {
    let mut totals = BTreeMap::new();
    for row in rows {
        *totals.entry(row["BillingCurrency"].clone()).or_default() += units(&row[column]);
    }
    totals
}

fn both(test: impl AsyncFn(&TestDatabase, u64)) {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        let seed = now().micros() as u64;
        println!("seed {seed}");
        block_on(test(&database, seed));
    }
}

#[test]
fn a_recount_of_the_entries_finds_every_cost_and_every_unit() {
    both(async |database, seed| {
        let book = Book::random(database, seed).await;
        let (rows, exported) = book.export(&Wish::default(), Version::V1_2).await;
        let (entries, names) = book.entries().await;
        assert_eq!((exported.rows, exported.entries), (rows.len() as u64, entries.len() as u64));
        // Zero rows on either side say nothing.
        let some = |sums: BTreeMap<Key, Counted>| -> BTreeMap<Key, Counted> {
            sums.into_iter().filter(|(_, counted)| counted.iter().any(|sum| *sum != BigInt::ZERO)).collect()
        };
        assert_eq!(some(counted(&rows)), some(recounted(&entries, &names)), "seed {seed}");
        let natures: BTreeSet<&str> = rows.iter().map(|row| row["x_Nature"].as_str()).collect();
        assert_eq!(natures, BTreeSet::from(["counted", "lump", "margin", "metered"]), "all of a list is known in such a book");
        assert_eq!(total(&rows, "BilledCost").len(), 2, "two currencies");
    });
}

#[test]
fn prices_times_quantities_are_costs_in_every_row() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let book = Book::random(&database, 11).await;
        let (rows, _) = book.export(&Wish::default(), Version::V1_2).await;
        let one = BigInt::from(10).pow(24);
        let mut contracted_differently = 0;
        for row in rows.iter().filter(|row| row["ChargeCategory"] == "Usage") {
            let quantity = units(&row["PricingQuantity"]);
            for (price, cost) in [("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")] {
                let price = units(&row[price]);
                assert!(price >= BigInt::ZERO);
                assert_eq!(price * &quantity, units(&row[cost]) * &one, "{row:?}");
            }
            contracted_differently += i32::from(row["ListUnitPrice"] != row["ContractedUnitPrice"]);
        }
        assert!(contracted_differently > 50);
        // The contract asks 0.9 where the list asks 1, or 2 for long prompts; and for requests, which no list does.
        let prices: BTreeSet<(&str, &str, &str)> = rows
            .iter()
            .filter(|row| row["x_Model"] == "haiku" && row["ContractedUnitPrice"] == "0.9" || row["x_Meter"] == "request")
            .map(|row| (row["x_Meter"].as_str(), row["ContractedUnitPrice"].as_str(), row["ListUnitPrice"].as_str()))
            .collect();
        assert_eq!(prices, BTreeSet::from([("input", "0.9", "1.0"), ("input", "0.9", "2.0"), ("request", "0.0001", "0.0")]));
        let steps: BTreeSet<&str> = rows
            .iter()
            .filter(|row| row["x_Model"] == "steps" && row["x_Meter"] == "input" && row["ContractedUnitPrice"] == "0.9")
            .map(|row| row["ListUnitPrice"].as_str())
            .collect();
        assert_eq!(steps, BTreeSet::from(["2.0", "3.0"]), "one contracted rate is cut where the list's slices meet");
    });
}

#[test]
fn no_two_rows_say_the_same_of_themselves() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let book = Book::random(&database, 12).await;
        let (rows, _) = book.export(&Wish::default(), Version::V1_4).await;
        let sums = ["Cost", "Quantity", "x_Calls"];
        let itself = |row: &Row| -> Vec<String> {
            row.iter().filter(|(name, _)| !sums.iter().any(|sum| name.ends_with(sum))).map(|(_, value)| value.clone()).collect()
        };
        let different: BTreeSet<Vec<String>> = rows.iter().map(itself).collect();
        assert_eq!(different.len(), rows.len());
        assert!(rows.iter().map(|row| &row["ChargePeriodStart"]).is_sorted());
    });
}

#[test]
fn a_row_is_a_correction_exactly_where_its_month_was_closed_when_it_was_booked() {
    both(async |database, _| {
        let mut book = Book::open(database, 1).await;
        let event = |id: &str, at: &str, input: u64| json!({"id": id, "source": "gw", "occurred_at": at, "provider": "acme", "model": "haiku", "usage": {"input": input, "output": 0}});
        book.send(&[event("march", "2026-03-31T23:59:59.999Z", 1_000)]).await;
        book.publish(&[CONTRACT]).await;
        book.rerate().await;
        book.close("2026-03").await;
        book.send(&[event("late", "2026-03-31T10:00:00Z", 2_000), event("april", "2026-04-01T00:00:00Z", 3_000)]).await;
        book.publish(&[&CONTRACT.replace("0.9", "0.8")]).await;
        book.rerate().await;
        let (rows, _) = book.export(&Wish::default(), Version::V1_2).await;
        let mut said: Vec<[&str; 6]> = rows
            .iter()
            .filter(|row| row["x_Meter"] == "input")
            .map(|row| {
                let (charged, billed) = (&row["ChargePeriodStart"][..10], &row["BillingPeriodStart"][..7]);
                let (class, kind) = (row["ChargeClass"].as_str(), row["x_EntryKind"].as_str());
                [charged, billed, class, kind, &row["PricingQuantity"], &row["ContractedUnitPrice"]]
            })
            .collect();
        said.sort_unstable();
        assert_eq!(
            said,
            [
                // While March was open its correction is an ordinary row, in full: what was booked, and its reversal.
                ["2026-03-31", "2026-03", "", "charge", "0.001", "0.9"],
                ["2026-03-31", "2026-03", "", "charge", "0.001", "1.0"],
                ["2026-03-31", "2026-03", "", "reversal", "-0.001", "1.0"],
                // Afterwards whatever is of March is billed in April and says so, the late event too.
                ["2026-03-31", "2026-04", "Correction", "charge", "0.002", "0.9"],
                ["2026-03-31", "2026-04", "Correction", "charge", "0.003", "0.8"],
                ["2026-03-31", "2026-04", "Correction", "reversal", "-0.003", "0.9"],
                ["2026-04-01", "2026-04", "", "charge", "0.003", "0.8"],
                ["2026-04-01", "2026-04", "", "charge", "0.003", "0.9"],
                ["2026-04-01", "2026-04", "", "reversal", "-0.003", "0.9"],
            ]
        );
        // Whoever delivers by month has the corrections in the file of the month after, and none in that of the closed one.
        for (month, corrections) in [("2026-03", 0), ("2026-04", 3)] {
            let wish = Wish { billed_in: Some(month.parse().unwrap()), ..Wish::default() };
            let (delivered, _) = book.export(&wish, Version::V1_2).await;
            let of_meter = delivered.iter().filter(|row| row["x_Meter"] == "input");
            assert_eq!(of_meter.filter(|row| row["ChargeClass"] == "Correction").count(), corrections, "{month}");
            assert!(delivered.iter().all(|row| row["BillingPeriodStart"].starts_with(month)));
            assert!(
                delivered.iter().all(|row| (row["ChargeClass"] == "Correction") != row["ChargePeriodStart"].starts_with(month))
            );
        }
    });
}

#[test]
fn hours_teams_and_billing_months_are_parts_of_the_whole() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let book = Book::random(&database, 13).await;
        let (rows, _) = book.export(&Wish::default(), Version::V1_2).await;
        let whole = total(&rows, "BilledCost");
        let (hours, _) = book.export(&Wish { grain: Grain::Hour, ..Wish::default() }, Version::V1_2).await;
        assert_eq!(counted(&hours), counted(&rows));
        assert!(hours.len() > rows.len());
        for row in &hours {
            let [start, end] =
                ["ChargePeriodStart", "ChargePeriodEnd"].map(|name| DateTime::parse_from_rfc3339(&row[name]).unwrap());
            assert_eq!(end - start, chrono::TimeDelta::hours(1));
        }

        let mut of_months = Vec::new();
        for month in ["2026-03", "2026-04"] {
            let wish = Wish { billed_in: Some(month.parse().unwrap()), ..Wish::default() };
            of_months.extend(book.export(&wish, Version::V1_2).await.0);
        }
        assert_eq!(total(&of_months, "BilledCost"), whole);
        assert!(of_months.iter().any(|row| row["ChargeClass"] == "Correction"));

        let at = |text: &str| Some(farthing::time::Instant::parse_date_or_instant(text).unwrap());
        let first = book.export(&Wish { until: at("2026-03-17"), ..Wish::default() }, Version::V1_2).await.0;
        let second = book.export(&Wish { from: at("2026-03-17"), ..Wish::default() }, Version::V1_2).await.0;
        assert_eq!(counted(&first.into_iter().chain(second).collect::<Vec<_>>()), counted(&rows));

        for team in ["search", "labs"] {
            let (of_team, _) = book.export(&Wish { team: Some(team.to_owned()), ..Wish::default() }, Version::V1_2).await;
            let theirs: Vec<Row> = rows.iter().filter(|row| row["SubAccountId"] == team).cloned().collect();
            assert_eq!(of_team, theirs);
        }
    });
}

#[test]
fn each_version_says_the_same_in_its_own_columns() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let book = Book::random(&database, 14).await;
        let mut of_versions = Vec::new();
        for version in [Version::V1_2, Version::V1_3, Version::V1_4] {
            of_versions.push(book.export(&Wish::default(), version).await.0);
        }
        let names = |rows: &[Row]| -> BTreeSet<String> { rows[0].keys().cloned().collect() };
        let common = &names(&of_versions[0]) & &names(&of_versions[2]);
        let only = |rows: &[Row]| -> Vec<Row> {
            let cut =
                |row: &Row| row.iter().filter(|(name, _)| common.contains(*name)).map(|(n, v)| (n.clone(), v.clone())).collect();
            rows.iter().map(cut).collect()
        };
        assert_eq!(only(&of_versions[0]), only(&of_versions[1]));
        assert_eq!(only(&of_versions[0]), only(&of_versions[2]));
        let upstream =
            of_versions[2].iter().find(|row| row["x_ServedBy"] == "up stream/1" && row["x_Payee"].ends_with("up%20stream%2F1"));
        let upstream = upstream.expect("a call on a key of our own");
        assert_eq!(upstream["ServiceName"], "router");
        for name in ["ServiceProviderName", "HostProviderName", "InvoiceIssuerName"] {
            assert_eq!(upstream[name], "up stream/1", "what is bought with a key of our own its upstream sells");
        }
    });
}

#[test]
fn an_export_is_of_the_book_as_it_was_when_it_began() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let mut book = Book::open(&database, 15).await;
        book.send_some(300).await;
        let (to, mut rows) = tokio::sync::mpsc::channel::<Vec<focus::Row>>(1);
        let before = book.farthing.store.head(book.org).await.unwrap();
        let wish = Wish { grain: Grain::Hour, ..Wish::default() };
        // It waits for somebody to take its rows, and meanwhile more is booked.
        let mut text = csv::header(Version::V1_2);
        let export = book.farthing.focus(book.org, &wish, to);
        tokio::pin!(export);
        let first = tokio::select! { first = rows.recv() => first, _ = &mut export => panic!("it ended before anybody read") };
        csv::write(&first.unwrap(), Version::V1_2, &mut text);
        let event = |id: u32| {
            json!({"id": format!("more{id}"), "source": "gw", "occurred_at": "2026-04-30T12:00:00Z", "provider": "acme",
                                     "model": "haiku", "user": "newcomer", "usage": {"input": 5, "output": 0}})
        };
        let more: Vec<Value> = (0..20).map(event).collect();
        let in_force = book.farthing.newest(book.org).await.unwrap();
        let context = Context { received_at: now(), source: None, strict: true };
        let prepared: Vec<_> = more
            .iter()
            .map(|event| book.farthing.prepare(book.org, &in_force, native::read(&event.to_string(), &context).unwrap()))
            .collect();
        book.farthing.commit_events(&prepared, || false).await.unwrap();
        let rest = async {
            while let Some(some) = rows.recv().await {
                csv::write(&some, Version::V1_2, &mut text);
            }
        };
        let (exported, ()) = tokio::join!(export, rest);
        assert_eq!(exported.unwrap().block, before.block);
        assert!(!text.contains("newcomer"));
        let (all, _) = book.export(&wish, Version::V1_2).await;
        assert!(all.iter().any(|row| row["x_User"] == "newcomer"));
    });
}

#[test]
fn the_service_sends_what_the_command_line_writes_and_a_team_sees_its_own() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    let event = |id: &str, team: &str| {
        json!({"id": id, "source": "gw", "occurred_at": "2026-10-01T12:00:00Z", "provider": "openai", "model": "gpt-4o-mini",
               "team": team, "user": format!("=of {team}"), "usage": {"input": 1_000, "output": 7}})
    };
    let events = json!([event("a", "search"), event("b", "labs"), event("c", "search")]);
    assert_eq!(service.post("/v1/events", events.to_string()).status, 200);

    let answer = service.get("/v1/exports/focus?version=1.4&from=2026-10-01&until=2026-10-02");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let file = database.directory().join("focus.csv");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_farthing"));
    command.args(["export", "focus", "--focus-version", "1.4", "-o"]).arg(&file).env("DATABASE_URL", &database.url);
    let said = command.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let sent = table(&body_of(&answer));
    assert_eq!(sent, table(&std::fs::read_to_string(&file).unwrap()));
    assert_eq!(sent.len(), 4);
    assert!(sent.iter().all(|row| row["x_User"].starts_with("'=of ")), "no spreadsheet runs a name");
    assert!(!database.directory().join("focus.csv.part").exists());

    let metadata = std::fs::read_to_string(database.directory().join("focus-metadata.json")).unwrap();
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["Schema"][0]["FocusVersion"], "1.4");
    let names: BTreeSet<&str> = metadata["Schema"][0]["ColumnDefinition"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["ColumnName"].as_str().unwrap())
        .collect();
    assert_eq!(names, sent[0].keys().map(String::as_str).collect());
    let answered = service.get("/v1/exports/focus?version=1.4&format=metadata").json();
    assert_eq!(answered["Schema"][0]["SchemaId"], metadata["Schema"][0]["SchemaId"]);

    let key = service.new_key(r#"{"scopes":["read"],"team":"search"}"#);
    let theirs = service.send(service.request("GET", "/v1/exports/focus?version=1.4").key(&key));
    assert_eq!(table(&body_of(&theirs)), sent.iter().filter(|row| row["x_Team"] == "search").cloned().collect::<Vec<_>>());
    let key = service.new_key(r#"{"scopes":["ingest"]}"#);
    assert_eq!(service.send(service.request("GET", "/v1/exports/focus").key(&key)).status, 403);
}

#[test]
fn what_cannot_be_exported_is_said_before_the_first_row() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    for (query, field) in [
        ("version=1.1", "version"),
        ("grain=week", "grain"),
        ("format=xlsx", "format"),
        ("billing_period=october", "billing_period"),
        ("from=2026-10-01T12:00:00Z", "from"),
        ("grain=hour&until=2026-10-01T12:30:00Z", "until"),
        ("team=labs", "team"),
    ] {
        let answer = service.get(&format!("/v1/exports/focus?{query}"));
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some(field)), "{query}: {}", answer.text());
    }
    let empty = service.get("/v1/exports/focus");
    assert_eq!((empty.status, table(&body_of(&empty)).len()), (200, 0));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_farthing"));
    let file = database.directory().join("focus.csv");
    command.args(["export", "focus", "--from", "2026-10-01T12:00:00Z", "-o"]).arg(&file).env("DATABASE_URL", &database.url);
    let said = command.output().unwrap();
    assert_eq!(said.status.code(), Some(64));
    let why = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(why.contains("--from") && why.contains("not the beginning of a day"), "{why}");
    assert!(!file.exists());
}

/// The body of an answer whose length may not have been known when it began.
fn body_of(answer: &Answer) -> String {
    if answer.header("transfer-encoding").is_none() {
        return answer.text();
    }
    let body = answer.text();
    let (mut text, mut rest) = (String::new(), &*body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return text;
        }
        text.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    panic!("the last chunk is missing")
}

#[test]
fn a_month_begins_where_its_rows_say() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let book = Book::random(&database, 16).await;
        let (rows, _) = book.export(&Wish::default(), Version::V1_2).await;
        let at = |row: &Row, name: &str| DateTime::parse_from_rfc3339(&row[name]).unwrap().to_utc();
        for row in &rows {
            let [billed, until] = ["BillingPeriodStart", "BillingPeriodEnd"].map(|name| at(row, name));
            assert_eq!((billed.day(), until), (1, billed + chrono::Months::new(1)));
            let [start, end] = ["ChargePeriodStart", "ChargePeriodEnd"].map(|name| at(row, name));
            assert_eq!(end - start, chrono::TimeDelta::days(1));
            // Only a correction is billed in another month than its own.
            assert_eq!(row["ChargeClass"] == "Correction", end <= billed);
            assert!(end <= until);
        }
    });
}
