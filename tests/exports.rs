//! Exports over random books on both databases, read back by readers that share nothing with the writers: every entry is
//! there once with what was sent, and every sum is counted again with big integers. An export is a prefix of the book
//! whatever is booked meanwhile; a killed one goes on to the same bytes; what cannot be written is said.

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::random::Random;
use crate::support::service::{Answer, Service};
use farthing::catalog::source::own;
use farthing::export::accounting::{Grain, Manner, Program};
use farthing::export::{Format, Notation, Row};
use farthing::flow::export::Question;
use farthing::flow::publish::{CatalogFiles, Note, Wish};
use farthing::flow::{Farthing, now, rerate};
use farthing::id::{BlockNumber, Org, Sequence};
use farthing::ledger::{Entry, EntryKind};
use farthing::report::{Clock, Query};
use farthing::store::Names;
use farthing::usage::dialect::{Context, native};
use num_bigint::BigInt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const ORG: Org = Org(1);

/// Names that somebody has to escape.
const USERS: [&str; 8] = ["ann", "=SUM(1)", "@cf", "a,\"b\"", "-", "Zoë 中", "0x-AB", "x;y  z"];

struct Book {
    farthing: Farthing,
    random: Random,
    /// What was sent, by its number.
    sent: BTreeMap<i64, Value>,
}

impl Book {
    async fn empty(database: &TestDatabase, seed: u64) -> Book {
        let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        Book { farthing, random: Random::new(seed), sent: BTreeMap::new() }
    }

    /// Charges, a chargeback with its margin, and corrections under other prices.
    async fn random(database: &TestDatabase, seed: u64) -> Book {
        let mut book = Book::empty(database, seed).await;
        book.publish().await;
        for _ in 0..4 {
            book.send(60).await;
        }
        book.publish().await;
        let wish = rerate::Wish { reason: "=other prices, \"new\"".to_owned(), ..rerate::Wish::default() };
        book.farthing.rerate(ORG, &wish, |_| {}).await.unwrap();
        book.send(60).await;
        book
    }

    async fn publish(&mut self) {
        // All of one order of magnitude: prices a thousand times apart are taken for a slip of the unit.
        let mut rate = || format!("0.{:024}", 100_000_000_000_000_000 + self.random.below(900_000_000_000_000_000));
        let (a, b, c, d) = (rate(), rate(), rate(), rate());
        let yaml = format!(
            "provider: acme\nmodels:\n  - model: a\n    cards: [{{note: random, input_per_token: \"{a}\", output_per_token: \"{b}\"}}]\n  - model: \"@b,c\"\n    cards: [{{note: random, input_per_token: \"{c}\", output_per_token: \"{b}\"}}]\noverrides:\n  - {{kind: chargeback, team: labs, note: random, model: a, input_per_token: \"{d}\"}}\n"
        );
        let note = Note { author: "test".to_owned(), note: "random".to_owned() };
        let wish = Wish { parts: own::read(&yaml).unwrap(), accept: true, note, ..Wish::default() };
        self.farthing.publish(ORG, &wish).await.unwrap();
    }

    async fn send(&mut self, count: u64) {
        let in_force = self.farthing.in_force(ORG).await.unwrap();
        let context = Context { received_at: now(), source: None, strict: true };
        let first = self.farthing.store.head(ORG).await.unwrap().next_record;
        let mut prepared = Vec::new();
        for number in first..first + count as i64 {
            let random = &mut self.random;
            let mut event = json!({
                "id": format!("{}e{number}{}", random.pick(&["", "=", "\"", "é"]), random.pick(&["", ", x", "\\", "😀"])), "source": random.pick(&["one", "+two"]), "provider": "acme",
                "occurred_at": format!("2026-03-{:02}T{:02}:00:00.{:06}Z", 1 + random.below(28), random.below(24), random.below(1_000_000)),
                "model": random.pick(&["a", "@b,c"]), "outcome": random.pick(&["succeeded", "failed", "cache_hit"]),
                "usage": {"input": 1 + random.below(1 << 40), "output": 1 + random.below(1 << 20)},
            });
            for (name, values) in [("user", &USERS[..]), ("team", &["search", "labs", "labs"]), ("app", &["ide"])] {
                if random.below(4) > 0 {
                    event[name] = json!(random.pick(values));
                }
            }
            let read = native::read(&event.to_string(), &context).unwrap();
            prepared.push(self.farthing.prepare(ORG, &in_force, read));
            self.sent.insert(number, event);
        }
        self.farthing.commit_events(&prepared, || false).await.unwrap();
    }

    async fn entries(&self) -> Vec<Entry> {
        let head = self.farthing.store.head(ORG).await.unwrap();
        self.farthing.store.entries_between(ORG, 1, head.next_sequence.0).await.unwrap()
    }

    /// The accounts of every entry, as the book says them.
    async fn accounts(&self, entries: &[Entry]) -> Names {
        let accounts: Vec<_> = entries.iter().flat_map(|entry| [entry.posting.debit(), entry.posting.credit()]).collect();
        let mut names = Names::default();
        names.learn(&self.farthing.store, ORG, &[], &[], &accounts).await.unwrap();
        names
    }

    async fn export(&self, format: Format, manner: Manner, question: &Question) -> String {
        let mut notation = format.notation(manner, None).unwrap();
        String::from_utf8(self.export_with(&mut *notation, question).await).unwrap()
    }

    async fn export_with(&self, notation: &mut dyn Notation, question: &Question) -> Vec<u8> {
        self.export_in_pages_of(10_000, notation, question).await
    }

    async fn export_in_pages_of(&self, page: usize, notation: &mut dyn Notation, question: &Question) -> Vec<u8> {
        let rows = self.farthing.export_rows(ORG, question, Sequence(0)).await.unwrap();
        let mut rows = rows.in_pages_of(page);
        let mut written = Vec::new();
        notation.begin(&mut written).unwrap();
        while let Some(page) = rows.next().await.unwrap() {
            notation.rows(&page, &rows.texts, &mut written).unwrap();
        }
        notation.end(&rows.texts, &mut written).unwrap();
        written
    }
}

/// A reader of RFC 4180 that keeps to its grammar, letter by letter.
fn read_csv(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut records: Vec<Vec<String>> = Vec::new();
    let (mut record, mut letters) = (Vec::new(), text.chars().peekable());
    while letters.peek().is_some() {
        let mut cell = String::new();
        if letters.next_if_eq(&'"').is_some() {
            loop {
                match letters.next().expect("a quoted cell ends") {
                    '"' if letters.next_if_eq(&'"').is_some() => cell.push('"'),
                    '"' => break,
                    letter => cell.push(letter),
                }
            }
        } else {
            while let Some(letter) = letters.next_if(|letter| !matches!(letter, ',' | '\r' | '\n' | '"')) {
                cell.push(letter);
            }
        }
        record.push(cell);
        match letters.next() {
            Some(',') => {}
            Some('\r') => {
                assert_eq!(letters.next(), Some('\n'));
                records.push(std::mem::take(&mut record));
            }
            other => panic!("{other:?} after a cell"),
        }
    }
    assert!(record.is_empty(), "the last line has no end");
    let names = records.remove(0);
    let with_names = |record: Vec<String>| {
        assert_eq!(record.len(), names.len());
        names.iter().cloned().zip(record).collect()
    };
    records.into_iter().map(with_names).collect()
}

fn read_ndjson(text: &str) -> Vec<BTreeMap<String, String>> {
    let cells = |line: &str| {
        let row: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
        let plain = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        row.into_iter().map(|(name, value)| (name, plain(value))).collect()
    };
    text.lines().map(cells).collect()
}

/// A decimal in units of 10^-24.
fn units(text: &str) -> BigInt {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    format!("{whole}{decimals:0<24}").parse::<BigInt>().unwrap() * sign
}

#[test]
fn every_entry_is_there_once_with_what_was_sent_and_sums_to_what_a_report_says() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let seed = now().micros() as u64;
        println!("seed {seed}");
        let database = TestDatabase::new(kind);
        block_on(async {
            let book = Book::random(&database, seed).await;
            let entries = book.entries().await;
            assert!(entries.iter().any(|entry| entry.kind == EntryKind::Reversal));
            let question = Question::default();
            let csv = read_csv(&book.export(Format::Csv, Manner::default(), &question).await);
            let ndjson = read_ndjson(&book.export(Format::Ndjson, Manner::default(), &question).await);
            assert_eq!((csv.len(), ndjson.len()), (entries.len(), entries.len()));
            let spend = book.farthing.report(ORG, &Query::default()).await.unwrap().table;
            for rows in [&csv, &ndjson] {
                let total: BigInt = rows.iter().map(|row| units(&row["amount"])).sum();
                assert_eq!(total, BigInt::from(spend.totals[0].amount.units()), "seed {seed}");
                let calls: i64 = rows.iter().map(|row| row["calls"].parse::<i64>().unwrap()).sum();
                assert_eq!(calls, spend.totals[0].calls);
            }
            for ((csv, ndjson), entry) in csv.iter().zip(&ndjson).zip(&entries) {
                let sent = &book.sent[&entry.event.unwrap().0];
                row_says_the_entry(csv, entry, sent, |text| {
                    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() }
                });
                row_says_the_entry(ndjson, entry, sent, str::to_owned);
            }
        });
    }
}

fn row_says_the_entry(row: &BTreeMap<String, String>, entry: &Entry, sent: &Value, written: impl Fn(&str) -> String) {
    let cell = |name: &str| row.get(name).map_or("", String::as_str);
    assert_eq!(cell("sequence"), entry.sequence.to_string());
    assert_eq!(cell("event"), entry.event.unwrap().to_string());
    assert_eq!(cell("event_id"), written(sent["id"].as_str().unwrap()));
    assert_eq!(cell("kind"), if entry.kind == EntryKind::Reversal { "reversal" } else { "charge" });
    for name in ["user", "team", "app", "model", "source"] {
        assert_eq!(cell(name), sent[name].as_str().map_or(String::new(), &written), "{name}");
    }
    assert_eq!(cell("outcome"), sent["outcome"].as_str().unwrap());
    let occurred = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap();
    assert_eq!(occurred(cell("occurred_at")), occurred(sent["occurred_at"].as_str().unwrap()));
    let moved = units(cell("amount"));
    let magnitude = if moved < BigInt::ZERO { -moved } else { moved };
    assert_eq!(magnitude, BigInt::from(entry.posting.amount().units()));
    if entry.calls == 1 && sent["outcome"] == "succeeded" {
        let sign = if entry.kind == EntryKind::Reversal { "-" } else { "" };
        assert_eq!(cell("output"), format!("{sign}{}", sent["usage"]["output"]));
    }
}

#[test]
fn a_journal_moves_what_the_book_moved_and_asserts_what_that_comes_to() {
    let seed = now().micros() as u64;
    println!("seed {seed}");
    let database = TestDatabase::sqlite();
    block_on(async {
        let book = Book::random(&database, seed).await;
        let entries = book.entries().await;
        let names = book.accounts(&entries).await;
        let mut expected: BTreeMap<&str, BigInt> = BTreeMap::new();
        for entry in &entries {
            let amount = BigInt::from(entry.posting.amount().units());
            *expected.entry(names.text(entry.posting.debit()).unwrap()).or_default() += &amount;
            *expected.entry(names.text(entry.posting.credit()).unwrap()).or_default() -= amount;
        }
        let mut expected: Vec<BigInt> = expected.into_values().collect();
        expected.sort();
        for program in [Program::Beancount, Program::Ledger, Program::Hledger] {
            for grain in [Grain::Day, Grain::Entry] {
                let manner = Manner { grain, clock: Clock::Occurred, heading: "two\nlines".to_owned() };
                let journal = book.export(Format::Journal(program), manner, &Question::default()).await;
                assert!(journal.starts_with("; two\n; lines\n"), "{journal}");
                let (moved, asserted, transactions) = read_journal(&journal, program);
                assert_eq!(moved, asserted, "{journal}");
                let mut sums: Vec<BigInt> = moved.into_values().collect();
                sums.sort();
                assert_eq!(sums, expected, "seed {seed}: {program:?} {grain:?}");
                assert!(if grain == Grain::Entry { transactions == entries.len() } else { transactions < entries.len() });
            }
        }
    });
}

/// What the postings of each account come to, what is asserted of it, and how many transactions move something.
fn read_journal(journal: &str, program: Program) -> (BTreeMap<String, BigInt>, BTreeMap<String, BigInt>, usize) {
    let (mut moved, mut asserted, mut transactions): (BTreeMap<String, BigInt>, BTreeMap<_, _>, usize) = Default::default();
    for line in journal.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (&words[..], program) {
            ([_, "balance", account, amount, "~", _, "USD"], Program::Beancount) => {
                asserted.insert((*account).to_owned(), units(amount));
            }
            ([account, "USD", "0", "=", "USD", amount], Program::Ledger | Program::Hledger) => {
                asserted.insert((*account).to_owned(), units(amount));
            }
            ([account, amount, "USD"], Program::Beancount) | ([account, "USD", amount], _) if line.starts_with("  ") => {
                *moved.entry((*account).to_owned()).or_default() += units(amount);
            }
            ([date, "*", ..], _) if date.starts_with("2026-") && !line.ends_with("* balances") => transactions += 1,
            _ => {}
        }
    }
    (moved, asserted, transactions)
}

#[test]
fn a_range_is_of_the_clock_that_was_asked_and_its_parts_are_the_whole() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let book = Book::random(&database, 11).await;
        let sequences = async |question: Question| -> Vec<i64> {
            let rows = read_csv(&book.export(Format::Csv, Manner::default(), &question).await);
            rows.iter().map(|row| row["sequence"].parse().unwrap()).collect()
        };
        let all = sequences(Question::default()).await;
        let blocks = book.farthing.store.blocks_after(ORG, BlockNumber(0), 100).await.unwrap();
        let (middle, march) = (&blocks[2], farthing::time::Instant::parse("2026-03-15T00:00:00Z").unwrap());
        for (clock, at) in [(Clock::Recorded, middle.header.sealed_at), (Clock::Occurred, march)] {
            let before = sequences(Question { until: Some(at), clock, ..Question::default() }).await;
            let after = sequences(Question { from: Some(at), clock, ..Question::default() }).await;
            assert!(!before.is_empty() && !after.is_empty());
            let mut both = [before.clone(), after].concat();
            both.sort_unstable();
            assert_eq!(both, all);
            if clock == Clock::Recorded {
                assert_eq!(*before.last().unwrap(), middle.sequences.0 - 1);
            }
        }
        let until = sequences(Question { block: Some(middle.header.block), ..Question::default() }).await;
        assert_eq!(until, (1..middle.sequences.1).collect::<Vec<_>>());
    });
}

/// The cells of a Parquet file as NDJSON would write them, and how many rows each row group has.
#[cfg(feature = "polars")]
fn read_parquet(parquet: &[u8]) -> (Vec<BTreeMap<String, String>>, Vec<usize>) {
    use polars::prelude::*;
    let reader = || ParquetReader::new(std::io::Cursor::new(parquet));
    let frame = reader().finish().unwrap();
    let mut rows = vec![BTreeMap::new(); frame.height()];
    for column in frame.columns() {
        let cell = |row: usize| match column.get(row).unwrap() {
            AnyValue::Null => None,
            AnyValue::Int64(number) => Some(number.to_string()),
            AnyValue::Boolean(flag) => Some(flag.to_string()),
            AnyValue::String(text) => Some(text.to_owned()),
            AnyValue::Decimal(units, 38, 24) => Some(units.to_string()),
            AnyValue::Datetime(micros, TimeUnit::Microseconds, Some(zone)) if zone.as_str() == "+00:00" => {
                Some(micros.to_string())
            }
            other => panic!("{} is {other:?}", column.name()),
        };
        for (place, row) in rows.iter_mut().enumerate() {
            row.extend(cell(place).map(|cell| (column.name().to_string(), cell)));
        }
    }
    crate::parquet::nothing_is_said_of_its_pages(parquet);
    let groups = reader().get_metadata().unwrap().row_groups.iter().map(|group| group.num_rows()).collect();
    (rows, groups)
}

/// A row of NDJSON with money in units and instants in microseconds.
#[cfg(feature = "polars")]
fn as_parquet_has_it(mut row: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (name, cell) in &mut row {
        if name.ends_with("amount") || name == "posted" {
            *cell = units(cell).to_string();
        }
        if name.ends_with("_at") {
            *cell = chrono::DateTime::parse_from_rfc3339(cell).unwrap().timestamp_micros().to_string();
        }
    }
    row
}

/// However rows are divided into row groups, also where the last is full, and where there are none at all.
#[cfg(feature = "polars")]
#[test]
fn a_parquet_file_has_every_cell_of_every_row() {
    use farthing::frame::entries::Parquet;
    let database = TestDatabase::sqlite();
    block_on(async {
        let book = Book::random(&database, 29).await;
        let nobody = Question { team: Some("nobody".to_owned()), ..Question::default() };
        for question in [Question::default(), nobody] {
            let rows = read_ndjson(&book.export(Format::Ndjson, Manner::default(), &question).await);
            let rows: Vec<_> = rows.into_iter().map(as_parquet_has_it).collect();
            for most in [7, 100, rows.len() / 2, rows.len(), rows.len() + 1].into_iter().filter(|most| *most > 0) {
                let (found, groups) = read_parquet(&book.export_with(&mut Parquet::of_row_groups(most), &question).await);
                assert_eq!(found, rows, "{most}");
                let (full, left) = (rows.len() / most, rows.len() % most);
                assert_eq!(groups, [vec![most; full], vec![left; usize::from(left > 0)]].concat());
            }
        }
    });
}

/// Whatever is asked, and also where a copy was damaged.
#[cfg(feature = "polars")]
#[test]
fn from_the_copies_in_columns_an_export_is_the_same_to_the_byte() {
    use farthing::flow::segments::SegmentPlan;
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        let directory = std::env::temp_dir().join(format!("farthing-rows-{}-{kind:?}", std::process::id()));
        block_on(async {
            let book = Book::random(&database, 23).await;
            let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
            let plan = SegmentPlan { tail: 50, most: 130, ..SegmentPlan::at(directory.clone()) };
            let copied = Book { farthing: farthing.with_segments(Some(plan)), random: Random::new(1), sent: BTreeMap::new() };
            assert!(copied.farthing.copy_to_segments(ORG, |_, _| {}).await.unwrap().segments > 2);
            let block = book.farthing.store.blocks_after(ORG, BlockNumber(0), 100).await.unwrap()[3].header.block;
            let march = farthing::time::Instant::parse("2026-03-15T00:00:00Z").unwrap();
            let questions = [
                Question::default(),
                Question { from: Some(march), ..Question::default() },
                Question { team: Some("labs".to_owned()), until: Some(march), ..Question::default() },
                Question { block: Some(block), ..Question::default() },
            ];
            for format in [Format::Csv, Format::Ndjson, Format::named("hledger").unwrap()] {
                for question in &questions {
                    let (from_rows, from_copies) = (
                        book.export(format, Manner::default(), question).await,
                        copied.export(format, Manner::default(), question).await,
                    );
                    assert_eq!(from_rows, from_copies, "{kind:?} {question:?}");
                    assert!(from_rows.lines().count() > 20);
                }
            }
            for page in [1, 43, 65, 130, 131] {
                let mut notation = Format::Csv.notation(Manner::default(), None).unwrap();
                let in_pages = copied.export_in_pages_of(page, &mut *notation, &questions[2]).await;
                let all = book.export(Format::Csv, Manner::default(), &questions[2]).await;
                assert_eq!(String::from_utf8(in_pages).unwrap(), all, "{kind:?} {page}");
            }
            for from in [&book, &copied] {
                let mut notation = farthing::flow::export::PARQUET.unwrap()();
                let parquet = from.export_with(&mut *notation, &questions[1]).await;
                let rows = read_ndjson(&from.export(Format::Ndjson, Manner::default(), &questions[1]).await);
                assert_eq!(read_parquet(&parquet).0, rows.into_iter().map(as_parquet_has_it).collect::<Vec<_>>(), "{kind:?}");
            }
            let entries = std::fs::read_dir(directory.join("1")).unwrap().map(|file| file.unwrap().path());
            let mut entries: Vec<_> = entries.filter(|path| path.to_string_lossy().ends_with("entries.parquet")).collect();
            entries.sort();
            std::fs::write(&entries[1], b"PAR1").unwrap();
            // A process that has read it keeps what it has seen; another one finds out.
            let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
            let plan = SegmentPlan { tail: 50, most: 130, ..SegmentPlan::at(directory.clone()) };
            let other = Book { farthing: farthing.with_segments(Some(plan)), random: Random::new(1), sent: BTreeMap::new() };
            let question = &questions[0];
            assert_eq!(
                book.export(Format::Csv, Manner::default(), question).await,
                other.export(Format::Csv, Manner::default(), question).await
            );
            assert!(!entries[1].exists(), "what was damaged is gone");
        });
        std::fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn an_export_is_the_book_at_its_beginning_whatever_is_booked_meanwhile() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(async {
            let mut book = Book::random(&database, 5).await;
            let before = book.farthing.store.head(ORG).await.unwrap();
            let mut rows = book.farthing.export_rows(ORG, &Question::default(), Sequence(0)).await.unwrap();
            book.send(200).await;
            let mut read: Vec<Row> = Vec::new();
            while let Some(mut page) = rows.next().await.unwrap() {
                read.append(&mut page);
            }
            let read: Vec<i64> = read.iter().map(|row| row.sequence.0).collect();
            assert_eq!(read, (1..before.next_sequence.0).collect::<Vec<_>>());
            assert_eq!((rows.prefix.block, rows.prefix.hash), (before.block, before.hash));
            let later = Question { block: Some(before.block), ..Question::default() };
            let again = read_csv(&book.export(Format::Csv, Manner::default(), &later).await);
            assert_eq!(again.len(), read.len());
        });
    }
}

/// The command line over a book of so many events.
struct Shell {
    database: TestDatabase,
}

impl Shell {
    fn new(events: u64) -> Shell {
        let database = TestDatabase::sqlite();
        block_on(async {
            let mut book = Book::empty(&database, 3).await;
            book.publish().await;
            for _ in 0..events / 1_000 {
                book.send(1_000).await;
            }
            book.farthing.store.close().await;
        });
        Shell { database }
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.database.directory().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command.args(arguments).env("DATABASE_URL", &self.database.url).env("FARTHING_LOG", "error");
        command
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let Output { status, stderr, .. } = self.command(arguments).output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    }

    fn export(&self, to: &Path, more: &[&str]) -> (Option<i32>, String) {
        self.run(&[&["export", "entries", "--rows-per-part", "700", "-o", to.to_str().unwrap()], more].concat())
    }
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
}

#[test]
fn killed_at_any_moment_an_export_goes_on_to_the_same_bytes() {
    let shell = Shell::new(8_000);
    let whole = shell.at("whole");
    assert_eq!(shell.export(&whole, &[]).0, Some(0));
    let expected = files(&whole);
    // Some events have a margin beside their charge.
    assert!(expected.len() > 8_000 / 700 + 2, "{:?}", expected.keys());
    let mut random = Random::new(now().micros() as u64);
    let mut in_the_middle = 0;
    for round in 0..6 {
        let directory = shell.at(&format!("killed-{round}"));
        let arguments = ["export", "entries", "--rows-per-part", "700", "-o", directory.to_str().unwrap()];
        let mut export = shell.command(&arguments).spawn().unwrap();
        let started = Instant::now();
        let after = 1 + random.below(10);
        while !directory.join(format!("entries-{after:05}.csv")).exists() && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_micros(200));
        }
        export.kill().unwrap();
        export.wait().unwrap();
        in_the_middle += u32::from(!directory.join("_manifest.json").exists());
        if round % 2 == 1 {
            // A part that is not what it was is written again, with those after it.
            std::fs::write(directory.join("entries-00001.csv"), "sequence\r\n1\r\n").unwrap();
            let _ = std::fs::rename(directory.join("_manifest.json"), directory.join("_manifest.partial.json"));
        }
        let (code, said) = shell.export(&directory, &[]);
        assert_eq!(code, Some(0), "{said}");
        let found = files(&directory);
        let names =
            |files: &BTreeMap<String, Vec<u8>>| files.keys().filter(|name| !name.starts_with('.')).cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&expected));
        for (name, bytes) in &expected {
            assert_eq!(found[name], *bytes, "{name}");
        }
    }
    assert!(in_the_middle > 0, "no export was killed before it was complete");
}

#[test]
fn a_directory_holds_the_answer_of_one_question() {
    let shell = Shell::new(2_000);
    let directory = shell.at("export");
    assert_eq!(shell.export(&directory, &[]).0, Some(0));
    let (code, said) = shell.export(&directory, &["--until", "2026-03-15"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("holds an export of something else: its until is null"), "{said}");
    assert!(shell.export(&directory, &["--format", "ndjson"]).1.contains("its format is \"csv\", not \"ndjson\""));

    block_on(async {
        let mut book = Book::empty(&shell.database, 9).await;
        book.send(10).await;
        book.farthing.store.close().await;
    });
    let (code, said) = shell.export(&directory, &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("name another directory"), "{said}");

    // Neither is one that broke off gone on with up to another block than it was begun for.
    std::fs::rename(directory.join("_manifest.json"), directory.join("_manifest.partial.json")).unwrap();
    let (code, said) = shell.export(&directory, &["--block", "1"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("holds a part of an export up to block"), "{said}");

    let mine = shell.at("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("thesis.txt"), "").unwrap();
    let (code, said) = shell.export(&mine, &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("holds thesis.txt and no export"), "{said}");

    let elsewhere = Shell::new(2_000);
    let (code, said) = elsewhere.export(&directory, &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("another book"), "{said}");
}

/// Nobody who has the files and the public key can be told another story, however well it fits the files.
#[test]
fn a_signed_manifest_is_of_one_key_and_no_change_of_it_goes_unseen() {
    let shell = Shell::new(2_000);
    let key = |name: &str| {
        let made = shell.command(&["signing-key", shell.at(name).to_str().unwrap()]).output().unwrap();
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    };
    let (ours, theirs) = (key("ours"), key("theirs"));
    assert_eq!(key("ours"), ours, "a key that is there stays");
    assert_ne!(ours, theirs);
    let directory = shell.at("export");
    assert_eq!(shell.export(&directory, &["--signing-key-file", shell.at("ours").to_str().unwrap()]).0, Some(0));
    let verify = |by: &str| shell.run(&["export", "verify", directory.to_str().unwrap(), "--signed-by", by]);
    assert_eq!(verify(&ours), (Some(0), String::new()));
    assert_eq!(verify(&theirs).0, Some(2));

    let manifest = directory.join("_manifest.json");
    let whole = std::fs::read_to_string(&manifest).unwrap();
    let told: Value = serde_json::from_str(&whole).unwrap();
    let changed = |pointer: &str, to: Value| {
        let mut told = told.clone();
        *told.pointer_mut(pointer).unwrap() = to;
        std::fs::write(&manifest, told.to_string()).unwrap();
        verify(&ours)
    };
    for (pointer, to) in
        [("/book/hash", json!("0".repeat(64))), ("/asked/org", json!("other")), ("/asked/until", json!("2026-01-01"))]
    {
        let (code, said) = changed(pointer, to);
        assert_eq!(code, Some(2), "{pointer}");
        assert!(said.contains("it is not what was signed"), "{said}");
    }
    let (code, said) = changed("/signature", Value::Null);
    assert_eq!((code, said.contains("it is not signed")), (Some(2), true), "{said}");
    std::fs::write(&manifest, whole).unwrap();
    assert_eq!(verify(&ours).0, Some(0));
}

#[test]
fn verify_names_the_first_file_that_differs() {
    let shell = Shell::new(3_000);
    let directory = shell.at("export");
    let verify = |path: &Path| shell.run(&["export", "verify", path.to_str().unwrap()]);
    for format in ["csv", "ndjson"] {
        let _ = std::fs::remove_dir_all(&directory);
        assert_eq!(shell.export(&directory, &["--format", format]).0, Some(0));
        assert_eq!(verify(&directory), (Some(0), String::new()));
        let part = directory.join(format!("entries-00002.{format}"));
        let mut bytes = std::fs::read(&part).unwrap();
        let place = bytes.iter().rposition(|byte| byte.is_ascii_digit()).unwrap();
        bytes[place] ^= 1;
        std::fs::write(&part, bytes).unwrap();
        let (code, said) = verify(&directory);
        assert_eq!(code, Some(2));
        assert!(said.contains(&format!("entries-00002.{format}")) && said.contains("another hash"), "{said}");
    }
    // A manifest that was made to fit a file is still found: the rows come to something else.
    let path = shell.at("one.csv");
    assert_eq!(shell.export(&path, &[]).0, Some(0));
    assert_eq!(verify(&path), (Some(0), String::new()));
    let manifest = shell.at("one.csv.manifest.json");
    let mut told: Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    for sums in ["/sums/0/amount", "/parts/0/sums/0/amount"] {
        *told.pointer_mut(sums).unwrap() = json!("1");
    }
    std::fs::write(&manifest, told.to_string()).unwrap();
    let (code, said) = verify(&path);
    assert_eq!(code, Some(2));
    assert!(said.contains("one.csv: its rows come to"), "{said}");
}

#[test]
fn what_cannot_be_written_is_said_and_what_is_complete_stays() {
    let shell = Shell::new(3_000);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = shell.command(&["export", "entries", "-o", "-"]).stdout(full).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(74));
    assert!(said.contains("cannot write to standard output: No space left on device"), "{said}");

    std::fs::write(shell.at("file"), "").unwrap();
    let (code, said) = shell.export(&shell.at("file/export"), &[]);
    assert_eq!(code, Some(74));
    assert!(said.contains("cannot make the directory") && said.contains("file/export"), "{said}");

    // A part of 700 rows is some 200 kB. Files may have no more than 100 kB, so the first one breaks off.
    let directory = shell.at("export");
    let limited = |blocks: u32| {
        let program = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut command = Command::new("bash");
        command.args(["-c", &program, env!("CARGO_BIN_EXE_farthing"), "export", "entries", "--rows-per-part", "700", "-o"]);
        command.arg(&directory).env("DATABASE_URL", &shell.database.url).env("FARTHING_LOG", "error").arg0("bash");
        command.output().unwrap()
    };
    let output = limited(100);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(74), "{said}");
    assert!(said.contains("entries-00001.csv.partial: File too large"), "{said}");
    assert!(!directory.join("entries-00001.csv").exists() && !directory.join("_manifest.json").exists());
    assert_eq!(shell.export(&directory, &[]).0, Some(0));
    assert_eq!(shell.run(&["export", "verify", directory.to_str().unwrap()]).0, Some(0));
}

/// A body that comes in chunks, and whether it came to its end.
fn unchunked(answer: &Answer) -> (Vec<u8>, bool) {
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let (mut body, mut left) = (Vec::new(), &answer.body[..]);
    loop {
        let Some(end) = left.windows(2).position(|two| two == b"\r\n") else { return (body, false) };
        let size = usize::from_str_radix(std::str::from_utf8(&left[..end]).unwrap(), 16).unwrap();
        left = &left[end + 2..];
        if size == 0 {
            return (body, true);
        }
        if left.len() < size + 2 {
            return (body, false);
        }
        body.extend_from_slice(&left[..size]);
        left = &left[size + 2..];
    }
}

#[test]
fn a_key_of_one_team_gets_that_team_and_every_format_is_a_stream() {
    let database = TestDatabase::postgres();
    let entries = block_on(async {
        let book = Book::random(&database, 21).await;
        let entries = book.entries().await.len();
        book.farthing.store.close().await;
        entries
    });
    let service = Service::start(&database);
    let get = |path: &str, key: &str| service.send(crate::support::service::Request::new("GET", path).key(key));
    let rows = |path: &str, key: &str| {
        let answer = get(path, key);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let (body, ended) = unchunked(&answer);
        assert!(ended);
        String::from_utf8(body).unwrap()
    };
    let all = read_csv(&rows("/v1/exports/entries", &service.key));
    assert_eq!(all.len(), entries);
    let key = service.new_key(r#"{"scopes":["read"],"team":"labs"}"#);
    let labs = read_csv(&rows("/v1/exports/entries?from=2026-03-01&until=2026-04-01", &key));
    assert!(labs.iter().all(|row| row["team"] == "labs"));
    assert_eq!(labs.len(), all.iter().filter(|row| row["team"] == "labs").count());
    assert_eq!(read_ndjson(&rows("/v1/exports/entries?format=ndjson", &key)).len(), labs.len());
    for program in ["beancount", "ledger", "hledger"] {
        let journal = rows(&format!("/v1/exports/entries?grain=entry&format={program}"), &key);
        let accounts = journal.to_lowercase();
        assert!(accounts.contains("cost:labs") && !accounts.contains("cost:search"), "{journal}");
    }
    let recorded = get("/v1/exports/entries?clock=recorded&until=2020-01-01", &key);
    assert_eq!(read_csv(&String::from_utf8(unchunked(&recorded).0).unwrap()).len(), 0);
    assert!(recorded.header("content-disposition").unwrap().contains("entries.csv"));
    assert!(recorded.header("farthing-block").unwrap().parse::<i64>().unwrap() > 5);

    for (wrong, field) in [("format=xls", "format"), ("clock=wall", "clock"), ("from=soon", "from"), ("team=search", "team")] {
        let answer = get(&format!("/v1/exports/entries?{wrong}"), &key);
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some(field)));
    }
    assert_eq!(get("/v1/exports/entries?block=999", &service.key).status, 409);
    let sender = service.new_key(r#"{"scopes":["ingest"]}"#);
    assert_eq!(get("/v1/exports/entries", &sender).status, 403);
}

#[test]
fn an_export_that_breaks_off_does_not_look_like_a_complete_one() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let mut book = Book::empty(&database, 3).await;
        book.publish().await;
        for _ in 0..11 {
            book.send(1_000).await;
        }
        // On the second page somebody new is met, whose owner is then taken away behind the book's back.
        let in_force = book.farthing.in_force(ORG).await.unwrap();
        let context = Context { received_at: now(), source: None, strict: true };
        let event = json!({"id": "last", "source": "one", "provider": "acme", "model": "a", "user": "the last one",
                           "occurred_at": "2026-03-01T00:00:00Z", "usage": {"input": 1}});
        let read = native::read(&event.to_string(), &context).unwrap();
        book.farthing.commit_events(&[book.farthing.prepare(ORG, &in_force, read)], || false).await.unwrap();
        book.farthing.store.close().await;
        let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&database.url).await.unwrap();
        let taken =
            sqlx::query("DELETE FROM owners WHERE owner = (SELECT MAX(owner) FROM owners)").execute(&mut connection).await;
        assert_eq!(taken.unwrap().rows_affected(), 1);
    });
    let service = Service::start(&database);
    let answer = service.get("/v1/exports/entries?format=ndjson");
    let (body, ended) = unchunked(&answer);
    assert!(!ended, "the stream ended as if it were complete");
    assert!(body.len() > 1_000_000 && answer.status == 200);
    // Where it fails before anything was sent, the answer says so.
    let answer = service.get("/v1/exports/entries?from=2026-03-01&until=2026-03-02&clock=recorded");
    assert_eq!(answer.status, 200, "nothing was recorded then, so nothing is read");
}

#[test]
fn only_so_many_exports_are_written_at_once_and_the_next_one_is_told_to_come_again() {
    use std::io::{Read, Write};
    let shell = Shell::new(25_000);
    let service = Service::start_with(&shell.database.url, &["--max-exports", "1"]);
    let nothing = "/v1/exports/entries?until=2020-01-01";
    assert_eq!(service.get(nothing).status, 200);
    // Somebody asks for everything, and takes only the beginning of it.
    let mut idle = std::net::TcpStream::connect(&service.address).unwrap();
    let (address, key) = (&service.address, &service.key);
    write!(idle, "GET /v1/exports/entries?format=ndjson HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\r\n")
        .unwrap();
    let mut begun = [0; 15];
    idle.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200 OK");
    let busy = service.get(nothing);
    assert_eq!((busy.status, busy.header("retry-after")), (503, Some("10")));
    assert_eq!(busy.json()["type"], "/docs#exports-busy");
    assert_eq!(busy.json()["detail"], "1 exports are being written, which is as many as there may be at once");
    assert_eq!(service.get("/v1/exports/focus").status, 503, "it is the same book that is read");
    assert_eq!(service.get("/v1/exports/focus?format=metadata").status, 200, "what reads no book needs no place");
    assert_eq!(service.get("/v1/reports/spend").status, 200);
    drop(idle);
    let gone = std::time::Instant::now();
    while service.get(nothing).status != 200 {
        assert!(gone.elapsed() < std::time::Duration::from_secs(60));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
