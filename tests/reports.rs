//! Reports over random books on both databases. Every row is counted again from the entries and from what was sent, with
//! big integers and without a line of the program's fold; and the parts of a range, or of a dimension, are the whole.
//! `FARTHING_REPORTS_QUERIES` asks more of them.

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::random::Random;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use farthing::catalog::source::own;
use farthing::flow::publish::{CatalogFiles, Note, Wish};
use farthing::flow::rerate;
use farthing::flow::segments::SegmentPlan;
use farthing::flow::{Farthing, now};
use farthing::id::{BlockNumber, Org};
use farthing::ledger::{Entry, EntryKind};
use farthing::report::{AsOf, Asked, Cell, Clock, Dimension, Filter, Measure, Query, Table};
use farthing::time::Instant;
use farthing::usage::Meter;
#[cfg(feature = "polars")]
use farthing::usage::Text;
use farthing::usage::dialect::{Context, native};
use num_bigint::BigInt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

const ZONES: [Tz; 6] =
    [Tz::UTC, Tz::Europe__Berlin, Tz::Asia__Kolkata, Tz::Asia__Kathmandu, Tz::America__St_Johns, Tz::Australia__Lord_Howe];
/// All that can be grouped by, as a question is told that names none of them; so that none is forgotten here.
pub fn dimensions() -> Vec<String> {
    let told = Dimension::named("nothing").unwrap_err();
    let known = told.split("known are ").nth(1).unwrap().split(" and label:KEY").next().unwrap();
    let known: Vec<String> = known.split(", ").map(str::to_owned).collect();
    assert!(known.len() > 30, "{told}");
    known
}

/// Those by which whole entries can be told apart. Meters have a recount of their own, and only what is held has a reason.
static DIMENSIONS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let plain = dimensions().into_iter().filter(|name| !["meter", "reason"].contains(&name.as_str()));
    plain.chain(["label:feature".to_owned()]).collect()
});

struct Book {
    farthing: Farthing,
    segments: PathBuf,
    org: Org,
    random: Random,
    /// What was sent, by its number.
    sent: BTreeMap<i64, Value>,
    entries: Vec<Entry>,
}

fn acme(random: &mut Random) -> String {
    // All of one order of magnitude: prices a thousand times apart are taken for a slip of the unit and are not published.
    let rate = |random: &mut Random| format!("0.{:018}", 100_000_000_000 + random.below(900_000_000_000));
    let models: Vec<String> = ["a", "b", "c"]
        .iter()
        .map(|model| {
            let (input, output, cached) = (rate(random), rate(random), rate(random));
            format!(
                "  - model: {model}\n    cards: [{{note: random, input_per_token: \"{input}\", output_per_token: \"{output}\", cache_read_per_token: \"{cached}\"}}]\n"
            )
        })
        .collect();
    format!("provider: acme\nmodels:\n{}", models.concat())
}

pub fn small_segments(seed: u64) -> SegmentPlan {
    let directory = std::env::temp_dir().join(format!("farthing-segments-{}-{seed}", std::process::id()));
    SegmentPlan { tail: 20, most: 150, ..SegmentPlan::at(directory) }
}

impl Drop for Book {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.segments);
    }
}

impl Book {
    async fn random(database: &TestDatabase, seed: u64) -> Book {
        let mut random = Random::new(seed);
        let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        let farthing = farthing.with_segments(Some(small_segments(seed)));
        let org = Org(1);
        let segments = small_segments(seed).directory;
        let mut book =
            Book { farthing, segments, org, random: Random::new(seed + 1), sent: BTreeMap::new(), entries: Vec::new() };
        book.publish(&acme(&mut random)).await;
        for batch in 0..6 {
            book.send(batch).await;
            book.copy().await;
        }
        book.publish(&acme(&mut random)).await;
        let wish = rerate::Wish { reason: "other prices".to_owned(), ..rerate::Wish::default() };
        book.farthing.rerate(org, &wish, |_| {}).await.unwrap();
        book.copy().await;
        book.send(6).await;
        let head = book.farthing.store.head(org).await.unwrap();
        book.entries = book.farthing.store.entries_between(org, 1, head.next_sequence.0).await.unwrap();
        assert!(book.entries.iter().any(|entry| entry.kind == EntryKind::Reversal));
        book
    }

    async fn publish(&self, yaml: &str) {
        let parts = own::read(yaml).unwrap();
        let note = Note { author: "test".to_owned(), note: "random".to_owned() };
        let wish = Wish { parts, accept: true, note, ..Wish::default() };
        self.farthing.publish(self.org, &wish).await.unwrap();
    }

    async fn send(&mut self, batch: u64) {
        let in_force = self.farthing.in_force(self.org).await.unwrap();
        let context = Context { received_at: now(), source: None, strict: true };
        let mut events = Vec::new();
        for number in 0..60 {
            let random = &mut self.random;
            // Around the hours at which clocks change, in Berlin and on Lord Howe, and anywhere in two months.
            let at = match random.below(3) {
                0 => 1_775_309_000 + random.below(12_000),
                1 => 1_774_740_000 + random.below(14_400),
                _ => 1_772_000_000 + random.below(5_000_000),
            };
            let maybe = |random: &mut Random, things: &[&str]| {
                Some(*random.pick(things)).filter(|thing| !thing.is_empty()).map(str::to_owned)
            };
            let mut sent = json!({
                "id": format!("e{batch}-{number}"), "source": random.pick(&["one", "two"]),
                "occurred_at": DateTime::from_timestamp(at as i64, 0).unwrap().to_rfc3339(),
                "provider": "acme", "model": random.pick(&["a", "b", "c"]),
                "usage": {"input": random.below(1 << 40), "output": random.below(1 << 20), "cache_read": random.below(3) * random.below(1 << 30)},
                "outcome": random.pick(&["succeeded", "succeeded", "failed", "cancelled"]),
                "user": maybe(random, &["ann", "bo", "cy", ""]), "team": maybe(random, &["search", "labs", ""]),
                "app": maybe(random, &["ide", ""]), "session": maybe(random, &["s1", "s2", ""]),
                "labels": match maybe(random, &["answers", "=SUM(1)", ""]) { Some(feature) => json!({"feature": feature}), None => json!({}) },
                "estimated": random.below(4) == 0,
            });
            // Whatever else tells calls apart; none of it changes a price.
            for (name, words) in [
                ("project", ["p1", "p2", ""]),
                ("key", ["k1", "", ""]),
                ("agent", ["crawler", "coder", ""]),
                ("environment", ["prod", "test", ""]),
                ("requested_model", ["fast", "smart", ""]),
                ("served_by", ["Azure", "", ""]),
                ("variant", ["standard", "nitro", ""]),
                ("service_tier", ["default", "standard", ""]),
                ("region", ["eu", "us", ""]),
            ] {
                sent[name] = json!(maybe(random, &words));
            }
            events.push(sent);
        }
        let prepared: Vec<_> = events
            .iter()
            .map(|sent| self.farthing.prepare(self.org, &in_force, native::read(&sent.to_string(), &context).unwrap()))
            .collect();
        let first = self.farthing.store.head(self.org).await.unwrap().next_record;
        self.farthing.commit_events(&prepared, || false).await.unwrap();
        self.sent.extend((first..).zip(events));
    }

    fn query(&mut self) -> Query {
        let random = &mut self.random;
        let mut by = Vec::new();
        for _ in 0..random.below(4) {
            let dimension = Dimension::named(random.pick::<String>(&DIMENSIONS)).unwrap();
            if !by.contains(&dimension) {
                by.push(dimension);
            }
        }
        let (one, other) = (1_772_000_000 + random.below(5_000_000) as i64, 1_772_000_000 + random.below(5_000_000) as i64);
        let (from, until) = (one.min(other), one.max(other) + 1);
        let end = |random: &mut Random, at: i64| (random.below(4) > 0).then_some(Instant::from_micros(at * 1_000_000));
        Query {
            by,
            show: vec![Measure::Amount, Measure::Calls, Measure::Entries, Measure::Tokens],
            from: end(random, from),
            until: end(random, until),
            zone: *random.pick(&ZONES),
            ..Query::default()
        }
    }

    /// The same from the copies in columns as from the entries.
    async fn ask(&self, query: &Query) -> Table {
        let table = self.farthing.report(self.org, query).await.unwrap().table;
        let scanned = self.farthing.report(self.org, &Query { scan: true, ..query.clone() }).await.unwrap().table;
        assert_eq!(table, scanned, "{query:?}");
        the_formats_agree(query, &table);
        table
    }

    /// Into segments, where they are built in.
    async fn copy(&self) {
        if cfg!(feature = "polars") {
            self.farthing.copy_to_segments(self.org, |_, _| {}).await.unwrap();
        }
    }

    /// Every row again: amount, calls, entries and tokens by what the row is called.
    fn recount(&self, query: &Query, entries: &[Entry]) -> BTreeMap<Vec<String>, [BigInt; 4]> {
        let mut rows: BTreeMap<Vec<String>, [BigInt; 4]> = BTreeMap::new();
        for entry in entries {
            let sent = &self.sent[&entry.event.unwrap().0];
            let at: DateTime<Utc> = DateTime::parse_from_rfc3339(sent["occurred_at"].as_str().unwrap()).unwrap().to_utc();
            let micros = at.timestamp_micros();
            if query.from.is_some_and(|from| micros < from.micros()) || query.until.is_some_and(|until| micros >= until.micros())
            {
                continue;
            }
            let local = at.with_timezone(&query.zone);
            let word = |name: &str| sent[name].as_str().unwrap_or_default().to_owned();
            let is_reversal = entry.kind == EntryKind::Reversal;
            let part = |name: &str| sent[name].as_str().unwrap_or("-").to_owned();
            let (cost, payable) = (format!("cost:{}/{}", part("team"), part("user")), "payable:acme".to_owned());
            let name = |dimension: &Dimension| match dimension.to_string().as_str() {
                "hour" => hour_of(at, query.zone),
                "day" => local.format("%Y-%m-%d").to_string(),
                "week" => local.format("%G-W%V").to_string(),
                "month" => local.format("%Y-%m").to_string(),
                "period" => at.format("%Y-%m").to_string(),
                "kind" => if is_reversal { "reversal" } else { "charge" }.to_owned(),
                // A reversal turns the accounts around.
                "debit" => if is_reversal { &payable } else { &cost }.clone(),
                "credit" => if is_reversal { &cost } else { &payable }.clone(),
                "payee" => payable.clone(),
                "layer" => "list".to_owned(),
                "card" => format!("acme/{}", word("model")),
                "estimated" => sent["estimated"].to_string(),
                // The second prices came into force after the sixth batch, and everything before was charged again.
                "catalog_version" => if entry.turn > 0 || word("id").starts_with("e6-") { "3" } else { "2" }.to_owned(),
                "label:feature" => sent["labels"]["feature"].as_str().unwrap_or_default().to_owned(),
                other => word(other),
            };
            let sign = if is_reversal { -1 } else { 1 };
            let tokens: u64 = sent["usage"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
            let row = rows.entry(query.by.iter().map(name).collect()).or_default();
            row[0] += BigInt::from(entry.posting.amount().units()) * sign;
            row[1] += sign;
            row[2] += 1;
            row[3] += BigInt::from(tokens) * sign;
        }
        rows
    }
}

/// The first minute before an instant, and up to it, that has the same hour on the same offset.
fn hour_of(at: DateTime<Utc>, zone: Tz) -> String {
    let same = |at: DateTime<Utc>| at.with_timezone(&zone).format("%d %H %z").to_string();
    let mut minute = at - chrono::Duration::seconds(at.timestamp() % 60);
    while same(minute - chrono::Duration::minutes(1)) == same(at) {
        minute -= chrono::Duration::minutes(1);
    }
    minute.with_timezone(&zone).format("%Y-%m-%dT%H:%M%:z").to_string()
}

fn counted(query: &Query, table: &Table) -> BTreeMap<Vec<String>, [BigInt; 4]> {
    let number = |cell: &Cell| match cell {
        Cell::Money(amount) => BigInt::from(amount.units()),
        Cell::Count(count) => BigInt::from(*count),
        other => panic!("{other:?} is no number"),
    };
    let rows = table.rows().map(|row| {
        let (names, rest) = row.split_at(query.by.len());
        let numbers = [number(&rest[0]), number(&rest[2]), number(&rest[3]), number(&rest[4])];
        (names.iter().map(Cell::plain).collect(), numbers)
    });
    rows.collect()
}

/// The same digits in each row of each format, in the row of the same values.
fn the_formats_agree(query: &Query, table: &Table) {
    if query.show[0] != Measure::Amount {
        return;
    }
    let place = query.by.len();
    let rows: Vec<(Vec<Cell>, BigInt)> = table
        .rows()
        .map(|row| match &row[place] {
            Cell::Money(amount) => (row[..place].to_vec(), BigInt::from(amount.units())),
            other => panic!("{other:?} is no amount"),
        })
        .collect();
    let csv = table.to_csv();
    assert_eq!(csv.lines().count(), rows.len() + 1);
    for (line, (values, amount)) in csv.lines().skip(1).zip(&rows) {
        let cells = cells(line);
        assert_eq!(units(cells[place]), *amount, "{line}");
        for (cell, value) in cells.iter().zip(values) {
            assert_eq!(cell.strip_prefix('\'').unwrap_or(cell), value.plain(), "{line}");
        }
    }
    let json: Vec<Value> = serde_json::from_str(&table.to_json()).unwrap();
    assert_eq!(json.len(), rows.len());
    for (object, (values, amount)) in json.iter().zip(&rows) {
        assert_eq!(units(object["amount"].as_str().unwrap()), *amount, "{object}");
        for (dimension, value) in query.by.iter().zip(values) {
            assert_eq!(object[dimension.to_string()].as_str().unwrap_or_default(), value.plain(), "{object}");
        }
    }
    #[cfg(feature = "polars")]
    assert!(units_in_parquet(table).into_iter().map(BigInt::from).eq(rows.into_iter().map(|(_, amount)| amount)));
}

fn sum<'r>(rows: impl Iterator<Item = &'r [BigInt; 4]>) -> [BigInt; 4] {
    rows.fold(Default::default(), |sum: [BigInt; 4], row| std::array::from_fn(|place| &sum[place] + &row[place]))
}

fn merged(parts: Vec<BTreeMap<Vec<String>, [BigInt; 4]>>) -> BTreeMap<Vec<String>, [BigInt; 4]> {
    let mut whole: BTreeMap<Vec<String>, [BigInt; 4]> = BTreeMap::new();
    for (name, row) in parts.into_iter().flatten() {
        let known = whole.entry(name).or_default();
        *known = sum([&*known, &row].into_iter());
    }
    whole
}

#[test]
fn every_row_is_what_a_recount_says_and_the_parts_are_the_whole() {
    let wanted = std::env::var("FARTHING_REPORTS_QUERIES").ok().and_then(|wanted| wanted.parse().ok()).unwrap_or(30);
    for (kind, queries) in [(Kind::Sqlite, wanted), (Kind::Postgres, wanted / 3)] {
        let seed = now().micros() as u64;
        println!("seed {seed}");
        let database = TestDatabase::new(kind);
        block_on(async {
            let mut book = Book::random(&database, seed).await;
            for number in 0..queries {
                let query = book.query();
                let table = book.ask(&query).await;
                let rows = counted(&query, &table);
                assert_eq!(rows, book.recount(&query, &book.entries), "seed {seed}, query {number}: {query:?}");
                let total = sum(rows.values());
                let of_table: BigInt = table.totals.iter().map(|total| BigInt::from(total.amount.units())).sum();
                assert_eq!(of_table, total[0]);

                // Cut anywhere in time, and by any dimension.
                let middle = Instant::from_micros((1_772_000_000 + book.random.below(5_000_000) as i64) * 1_000_000);
                if query.from.is_none_or(|from| from < middle) && query.until.is_none_or(|until| middle < until) {
                    let first = book.ask(&Query { until: Some(middle), ..query.clone() }).await;
                    let second = book.ask(&Query { from: Some(middle), ..query.clone() }).await;
                    assert_eq!(merged(vec![counted(&query, &first), counted(&query, &second)]), rows, "cut at {middle}");
                }
                let dimension = Dimension::named(book.random.pick::<String>(&DIMENSIONS)).unwrap();
                let values = book.ask(&Query { by: vec![dimension.clone()], ..query.clone() }).await;
                let mut parts = Vec::new();
                for value in values.rows() {
                    let filter = Filter { dimension: dimension.clone(), values: vec![value[0].plain()] };
                    let part = book.ask(&Query { filters: vec![filter], ..query.clone() }).await;
                    parts.push(counted(&query, &part));
                }
                assert_eq!(merged(parts), rows, "by {dimension}");
                // The top of them and the rest.
                let top = Query { top: Some(1 + book.random.below(3) as usize), ..query.clone() };
                let top = book.ask(&top).await;
                assert_eq!(
                    top.totals[..].iter().map(|total| total.amount.units()).collect::<Vec<_>>(),
                    table.totals.iter().map(|total| total.amount.units()).collect::<Vec<_>>()
                );
                let of_rows: i128 =
                    top.rows().map(|row| if let Cell::Money(amount) = row[query.by.len()] { amount.units() } else { 0 }).sum();
                assert_eq!(BigInt::from(of_rows), total[0]);
            }
            book.meters_add_up().await;
            book.the_view_says_the_same(&database).await;
            book.the_book_as_it_was_known().await;
        });
    }
}

/// What a reader finds in the file, as it is there.
#[cfg(feature = "polars")]
fn units_in_parquet(table: &Table) -> Vec<i128> {
    use polars::prelude::*;
    let file = farthing::frame::to_parquet(table).unwrap();
    let frame = ParquetReader::new(std::io::Cursor::new(file)).finish().unwrap();
    let amounts = frame.column("amount").unwrap().decimal().unwrap().physical().clone();
    amounts.iter().map(|amount| amount.unwrap()).collect()
}

/// Cells of a line of CSV, as far as these tests need it: only names are in quotes, and they hold no line ends.
fn cells(line: &str) -> Vec<&str> {
    let mut cells = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (place, letter) in line.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                cells.push(&line[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    cells.push(&line[start..]);
    cells
}

/// A decimal in units of 10^-24.
fn units(text: &str) -> BigInt {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    format!("{whole}{decimals:0<24}").parse::<BigInt>().unwrap() * sign
}

impl Book {
    async fn meters_add_up(&mut self) {
        let show = vec![Measure::Amount, Measure::Quantity];
        let query = Query { by: vec![Dimension::Model, Dimension::Meter], show, ..Query::default() };
        let table = self.ask(&query).await;
        let mut expected: BTreeMap<(String, String), [BigInt; 2]> = BTreeMap::new();
        for entry in &self.entries {
            let sent = &self.sent[&entry.event.unwrap().0];
            let sign = if entry.kind == EntryKind::Reversal { -1 } else { 1 };
            let amount: BigInt = entry.items.iter().map(|item| BigInt::from(item.amount.units())).sum();
            assert_eq!(amount, BigInt::from(entry.posting.amount().units()));
            for (meter, count) in sent["usage"].as_object().unwrap().iter().filter(|(_, count)| count.as_u64() > Some(0)) {
                let item = entry.items.iter().find(|item| item.meter == Meter::named(meter).unwrap()).unwrap();
                let row = expected.entry((sent["model"].as_str().unwrap().to_owned(), meter.clone())).or_default();
                row[0] += BigInt::from(item.rate.unwrap().units()) * count.as_u64().unwrap() * sign;
                row[1] += BigInt::from(count.as_u64().unwrap()) * sign;
            }
        }
        let found: BTreeMap<(String, String), [BigInt; 2]> = table
            .rows()
            .map(|row| match &row[..] {
                [model, meter, Cell::Money(amount), _, Cell::Count(count)] => {
                    ((model.plain(), meter.plain()), [BigInt::from(amount.units()), BigInt::from(*count)])
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(found, expected);
    }

    /// What people read in SQL: a decimal on PostgreSQL, a text on SQLite, each exact.
    async fn the_view_says_the_same(&mut self, database: &TestDatabase) {
        let text = "SELECT COALESCE(team, ''), CAST(amount AS TEXT) FROM readable_entries WHERE org = 1";
        let rows: Vec<(String, String)> = match database.url.starts_with("sqlite") {
            true => sqlx::query_as(text).fetch_all(&sqlx::SqlitePool::connect(&database.url).await.unwrap()).await.unwrap(),
            false => sqlx::query_as(text).fetch_all(&sqlx::PgPool::connect(&database.url).await.unwrap()).await.unwrap(),
        };
        let mut sums: BTreeMap<String, BigInt> = BTreeMap::new();
        for (team, amount) in rows {
            *sums.entry(team).or_default() += units(&amount);
        }
        let table = self.ask(&Query { by: vec![Dimension::Team], show: vec![Measure::Amount], ..Query::default() }).await;
        let of_table = table.rows().map(|row| (row[0].plain(), units(&row[1].plain())));
        assert_eq!(of_table.collect::<BTreeMap<_, _>>(), sums);
    }

    /// At each block the book is what its entries up to there add up to, and the clock of the book sorts by that.
    async fn the_book_as_it_was_known(&mut self) {
        let head = self.farthing.store.head(self.org).await.unwrap();
        let blocks = self.farthing.store.blocks_after(self.org, BlockNumber(0), 1_000).await.unwrap();
        assert!(blocks.len() > 5 && blocks.last().unwrap().header.block == head.block);
        for block in &blocks {
            let query = Query { as_of: Some(AsOf::Block(block.header.block)), ..self.query() };
            let known: Vec<Entry> = self.entries.iter().filter(|entry| entry.sequence.0 < block.sequences.1).cloned().collect();
            assert_eq!(counted(&query, &self.ask(&query).await), self.recount(&query, &known), "block {}", block.header.block);
            let by_instant = Query { as_of: Some(AsOf::Instant(block.header.sealed_at)), ..query.clone() };
            assert_eq!(self.ask(&by_instant).await, self.ask(&query).await);
            // What was booked in this block is what was recorded at its instant.
            let sealed = block.header.sealed_at;
            let recorded = Query {
                from: Some(sealed),
                until: Some(Instant::from_micros(sealed.micros() + 1)),
                clock: Clock::Recorded,
                show: vec![Measure::Entries],
                ..Query::default()
            };
            let entries =
                self.ask(&recorded).await.rows().next().map_or(0, |row| if let Cell::Count(count) = row[0] { count } else { -1 });
            assert_eq!(entries, block.sequences.1 - block.sequences.0, "block {}", block.header.block);
        }
        let beyond = Query { as_of: Some(AsOf::Block(BlockNumber(head.block.0 + 1))), ..Query::default() };
        let said = self.farthing.report(self.org, &beyond).await.unwrap_err().to_string();
        assert!(said.contains("there is no block"), "{said}");
    }
}

/// Each by itself, whatever is drawn by lot: as it is counted again, and its parts are the whole.
#[test]
fn every_dimension_by_itself_is_what_a_recount_says_from_segments_and_from_entries() {
    let database = TestDatabase::sqlite();
    let seed = now().micros() as u64;
    println!("seed {seed}");
    block_on(async {
        let book = Book::random(&database, seed).await;
        for name in &*DIMENSIONS {
            let dimension = Dimension::named(name).unwrap();
            let show = vec![Measure::Amount, Measure::Calls, Measure::Entries, Measure::Tokens];
            let query = Query { by: vec![dimension.clone()], show, zone: Tz::Asia__Kolkata, ..Query::default() };
            let rows = counted(&query, &book.ask(&query).await);
            assert_eq!(rows, book.recount(&query, &book.entries), "seed {seed}, by {name}");
            let differs = !["provider", "layer", "payee"].contains(&name.as_str());
            assert!(rows.len() > 1 || !differs, "seed {seed}: all have the same {name}: {rows:?}");
            for (value, expected) in &rows {
                let filter = Filter { dimension: dimension.clone(), values: value.clone() };
                let part = Query { filters: vec![filter], ..query.clone() };
                let part = counted(&part, &book.ask(&part).await);
                assert_eq!(part, BTreeMap::from([(value.clone(), expected.clone())]), "seed {seed}, {name} {value:?}");
            }
        }
    });
}

/// Where a provider charged something else than the list says, by hand; and what nobody reported has no drift.
#[test]
fn drift_is_what_was_reported_less_what_the_list_says_of_calls_that_have_both() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let plan = SegmentPlan { tail: 1, ..small_segments(14) };
        let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        let farthing = farthing.with_segments(Some(plan.clone()));
        let (segments, org) = (plan.directory, Org(1));
        let book = Book { farthing, segments, org, random: Random::new(0), sent: BTreeMap::new(), entries: Vec::new() };
        let rates = ["dear", "cheap"].map(|model| format!("  - {{model: {model}, cards: [{{input_per_1m: \"3.5\"}}]}}\n"));
        book.publish(&format!("provider: acme\nmodels:\n{}", rates.concat())).await;
        let in_force = book.farthing.in_force(org).await.unwrap();
        let context = Context { received_at: now(), source: None, strict: true };
        let event = |id: &str, model: &str, reported: Option<&str>| {
            let reported = reported.map(|amount| json!({"by": "provider", "amount": amount, "currency": "USD"}));
            let sent = json!({"id": id, "source": "one", "occurred_at": "2026-03-01T10:00:00Z", "provider": "acme",
                              "model": model, "usage": {"input": 1000}, "reported": reported});
            book.farthing.prepare(org, &in_force, native::read(&sent.to_string(), &context).unwrap())
        };
        let events = [
            event("e1", "dear", Some("0.0041")),
            event("e2", "cheap", Some("0.003")),
            event("e3", "cheap", Some("0.0033")),
            event("e4", "cheap", None),
        ];
        book.farthing.commit_events(&events, || false).await.unwrap();
        let query = Query {
            by: vec![Dimension::Model],
            show: vec![Measure::Rated, Measure::Reported, Measure::Drift, Measure::Calls],
            ..Query::default()
        };
        let expected = [["dear", "0.0035", "0.0041", "0.0006", "1"], ["cheap", "0.0105", "0.0063", "-0.0007", "3"]];
        let sorted = |mut rows: Vec<Vec<String>>| {
            rows.sort();
            rows
        };
        let expected = sorted(expected.map(|row| row.map(str::to_owned).to_vec()).to_vec());
        let scanned = Query { scan: true, ..query.clone() };
        for query in [&scanned, &query] {
            let table = book.farthing.report(org, query).await.unwrap().table;
            let rows = table.rows().map(|row| row.iter().map(Cell::plain).collect()).collect();
            assert_eq!(sorted(rows), expected, "{query:?}");
            // What has been scanned is copied before it is asked again.
            book.copy().await;
        }
        if cfg!(feature = "polars") {
            assert_eq!(book.farthing.segments_until(org, i64::MAX).await.unwrap().len(), 1, "it was read from the entries");
        }
    });
}

/// Whatever is done to the copies, reports are of the book.
#[cfg(feature = "polars")]
#[test]
fn a_segment_that_was_changed_or_lost_is_found_and_made_again() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let book = Book::random(&database, 11).await;
        let manifests = || -> Vec<PathBuf> {
            let files = std::fs::read_dir(book.segments.join("1")).unwrap().map(|file| file.unwrap().path());
            let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
            files.sort();
            files
        };
        let there = manifests();
        assert!(there.len() > 3, "{there:?}");
        let query = Query { by: vec![Dimension::Model, Dimension::Meter], show: vec![Measure::Amount], ..Query::default() };
        let expected = book.ask(&query).await;
        let of = |manifest: &PathBuf, what: &str| manifest.with_extension(format!("{what}.parquet"));

        let mut bytes = std::fs::read(of(&there[0], "meters")).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(of(&there[0], "meters"), bytes).unwrap();
        std::fs::remove_file(of(&there[1], "meters")).unwrap();
        let stale = std::fs::read_to_string(&there[2]).unwrap();
        let hash = stale.lines().find(|line| line.contains("\"hash\"")).unwrap().to_owned();
        std::fs::write(&there[2], stale.replace(&hash, &format!("  \"hash\": \"{:064}\",", 0))).unwrap();

        // Another process, which has seen none of them yet.
        let other = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        let other = other.with_segments(Some(small_segments(11)));
        assert_eq!(other.report(book.org, &query).await.unwrap().table, expected);
        assert_eq!(manifests(), there[3..], "those that were touched are gone");
        let copied = other.copy_to_segments(book.org, |_, _| {}).await.unwrap();
        assert!(copied.segments > 0);
        assert_eq!(other.report(book.org, &query).await.unwrap().table, expected);
        assert_eq!(book.ask(&query).await, expected);
    });
}

/// A database that was put back, or another book altogether, lies beside copies that are not of it.
#[cfg(feature = "polars")]
#[test]
fn the_segments_of_another_book_are_not_believed() {
    let (database, elsewhere) = (TestDatabase::sqlite(), TestDatabase::sqlite());
    block_on(async {
        let book = Book::random(&database, 12).await;
        let other = Farthing::open(&elsewhere.options(), &CatalogFiles::Shipped).await.unwrap();
        let other = other.with_segments(Some(small_segments(12)));
        let query = Query { by: vec![Dimension::Model], show: vec![Measure::Amount], ..Query::default() };
        assert_eq!(other.report(book.org, &query).await.unwrap().table.len(), 0, "nothing was sent to this one");
        assert_eq!(other.copy_to_segments(book.org, |_, _| {}).await.unwrap().segments, 0);
    });
}

/// A refused call costs nothing and has no meters; neither have a whole run of them.
#[cfg(feature = "polars")]
#[test]
fn entries_without_items_are_copied_as_well() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let plan = small_segments(13);
        let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        let farthing = farthing.with_segments(Some(plan.clone()));
        let in_force = farthing.in_force(Org(1)).await.unwrap();
        let context = Context { received_at: now(), source: Text::new("gateway"), strict: true };
        let event = |number: i32| {
            let sent = json!({"id": format!("e{number}"), "occurred_at": "2026-03-01T10:00:00Z", "provider": "openai",
                "model": "gpt-4o-mini", "usage": {}, "outcome": "refused", "user": "ann"});
            farthing.prepare(Org(1), &in_force, native::read(&sent.to_string(), &context).unwrap())
        };
        farthing.commit_events(&(0..30).map(event).collect::<Vec<_>>(), || false).await.unwrap();
        assert_eq!(farthing.copy_to_segments(Org(1), |_, _| {}).await.unwrap().entries, 30);
        let query = Query { by: vec![Dimension::User], show: vec![Measure::Entries, Measure::Amount], ..Query::default() };
        let table = farthing.report(Org(1), &query).await.unwrap().table;
        let row: Vec<String> = table.rows().next().unwrap().iter().map(Cell::plain).collect();
        assert_eq!(row[..2], ["ann", "30"]);
        std::fs::remove_dir_all(plan.directory).unwrap();
    });
}

#[test]
fn a_comparison_is_the_two_ranges_side_by_side() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let book = Book::random(&database, 7).await;
        let asked = Asked {
            by: vec!["user".to_owned()],
            range: Some("2026-04".to_owned()),
            compare: Some("previous".to_owned()),
            tz: Some("Europe/Berlin".to_owned()),
            ..Asked::default()
        };
        let both = book.ask(&asked.query(now()).unwrap()).await;
        let alone = |month: &str| Asked { range: Some(month.to_owned()), compare: None, ..asked.clone() };
        let april = book.ask(&alone("2026-04").query(now()).unwrap()).await;
        let march = book.ask(&alone("2026-03").query(now()).unwrap()).await;
        let amounts = |table: &Table, place: usize| -> BTreeMap<String, BigInt> {
            table
                .rows()
                .map(|row| (row[0].plain(), units(&row[place].plain())))
                .filter(|(_, amount)| *amount != BigInt::ZERO)
                .collect()
        };
        assert_eq!(amounts(&both, 1), amounts(&april, 1));
        assert_eq!(amounts(&both, 3), amounts(&march, 1));
        for row in both.rows() {
            assert_eq!(units(&row[1].plain()) - units(&row[3].plain()), units(&row[4].plain()));
        }
    });
}
