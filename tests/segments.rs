//! Copies of the book in columns, held against the book: by `verify --deep`, by `rebuild segments` and before a month is closed.

use crate::support::database::{TestDatabase, block_on};
use farthing::catalog::source::own;
use farthing::flow::periods;
use farthing::flow::publish::{CatalogFiles, Wish};
use farthing::flow::segments::SegmentPlan;
use farthing::flow::{Farthing, now};
use farthing::id::Org;
use farthing::usage::dialect::{Context, native};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ORG: Org = Org(1);

/// A book and its copies, which lie where the program looks for them by itself.
struct Book {
    database: TestDatabase,
    farthing: Farthing,
}

impl Book {
    /// Posts so many events, each of which is borne by so many users, and copies them.
    async fn new(events: usize, users: usize, plan: impl Fn(SegmentPlan) -> SegmentPlan) -> Book {
        let database = TestDatabase::sqlite();
        let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        let plan = plan(SegmentPlan::at(directory(&database)));
        let farthing = farthing.with_segments(Some(plan));
        let among: Vec<String> = (0..users).map(|user| format!("{{user: u{user}, share: {}}}", user + 1)).collect();
        let yaml = format!("shares:\n  - app: platform\n    among: [{}]\n", among.join(", "));
        let wish = Wish { parts: own::read(&yaml).unwrap(), accept: true, ..Wish::default() };
        farthing.publish(ORG, &wish).await.unwrap();
        let in_force = farthing.newest(ORG).await.unwrap();
        let context = Context { received_at: now(), source: None, strict: true };
        let event = |number: usize| {
            let at = format!("2026-01-{:02}T10:00:00Z", 1 + number % 28);
            let sent = json!({"id": format!("e{number}"), "source": "gw", "occurred_at": at, "provider": "openai",
                "model": "gpt-4o-mini", "app": "platform", "usage": {"input": 1_000_003 + number}});
            farthing.prepare(ORG, &in_force, native::read(&sent.to_string(), &context).unwrap())
        };
        for group in (0..events).collect::<Vec<_>>().chunks(20) {
            let prepared: Vec<_> = group.iter().map(|number| event(*number)).collect();
            farthing.commit_events(&prepared, || false).await.unwrap();
        }
        farthing.copy_to_segments(ORG, |_, _| {}).await.unwrap();
        Book { database, farthing }
    }

    fn manifests(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(directory(&self.database).join("1")).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
        files.sort();
        files
    }

    /// Runs the program; answers its exit code and all that it said.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        let Output { status, stdout, stderr } =
            command.args(arguments).args(["--database", &self.database.url]).output().unwrap();
        (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
    }
}

fn directory(database: &TestDatabase) -> PathBuf {
    PathBuf::from(format!("{}.segments", database.url.strip_prefix("sqlite://").unwrap()))
}

fn name(manifest: &Path) -> String {
    manifest.file_name().unwrap().to_string_lossy().into_owned()
}

/// What fits its own manifest may still say something else than the entries.
#[test]
fn one_changed_amount_in_a_segment_is_found_by_a_deep_look_and_the_segment_named() {
    block_on(async {
        let book = Book::new(60, 3, |plan| SegmentPlan { tail: 20, most: 60, ..plan }).await;
        let there = book.manifests();
        assert!(there.len() >= 3, "{there:?}");
        let verified = book.farthing.verify_deep(ORG, |_, _| {}).await.unwrap();
        assert_eq!(verified.unwrap().entries, 180);
        assert_eq!(book.run(&["verify", "--deep"]).0, Some(0));

        make_dearer(&there[1], 1);
        // One that comes later is broken more plainly, and is not the first.
        let meters = there[2].with_extension("meters.parquet");
        std::fs::remove_file(&meters).unwrap();
        let (code, said) = book.run(&["verify", "--deep"]);
        assert_eq!(code, Some(2), "{said}");
        let why = "it does not say what its entries say; `farthing rebuild segments` makes it anew";
        assert!(said.contains(&format!("segment {}: {why}", name(&there[1]))), "{said}");
        assert_eq!(book.manifests(), there, "whoever looks takes nothing away");
        assert_eq!(book.run(&["verify"]).0, Some(0), "the book itself is whole");
        let broken = book.farthing.verify_deep(ORG, |_, _| {}).await.unwrap().unwrap_err();
        assert_eq!(broken.record, Some(format!("segment {}", name(&there[1]))));

        there[1..2].iter().flat_map(|manifest| [manifest.clone(), manifest.with_extension("entries.parquet")]).for_each(|file| {
            std::fs::remove_file(file).unwrap();
        });
        let (code, said) = book.run(&["verify", "--deep"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&format!("segment {}: ", name(&there[2]))), "{said}");

        // What was damaged is told before what lies behind it.
        let entries = there[0].with_extension("entries.parquet");
        let mut bytes = std::fs::read(&entries).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&entries, bytes).unwrap();
        let (code, said) = book.run(&["verify", "--deep"]);
        assert_eq!(code, Some(2), "{said}");
        let named = format!("segment {}: ", name(&there[0]));
        assert!(said.contains(&named) && said.contains("it is not what was written"), "{said}");
        assert_eq!(book.run(&["verify", "--deep", "--segments", "off"]).0, Some(0), "without them there is nothing to compare");
    });
}

#[test]
fn a_month_is_not_closed_while_a_segment_says_something_else_than_its_entries() {
    block_on(async {
        let book = Book::new(60, 3, |plan| SegmentPlan { tail: 20, most: 60, ..plan }).await;
        let head = book.farthing.store.head(ORG).await.unwrap();
        make_dearer(&book.manifests()[1], 1);
        // Another process, which has read none of them yet.
        let other = Farthing::open(&book.database.options(), &CatalogFiles::Shipped).await.unwrap();
        let other = other.with_segments(Some(SegmentPlan::at(directory(&book.database))));
        let month = "2026-01".parse().unwrap();
        let wish = periods::Wish { month, accept_held: false, note: String::new(), author: "ann".to_owned() };
        let refused = other.close_period(ORG, &wish, |_, _| {}).await.unwrap_err().to_string();
        assert_eq!(refused, "the segments do not say what the entries say; `farthing rebuild segments` makes them anew");
        assert_eq!(other.store.head(ORG).await.unwrap(), head, "nothing was sealed");
        assert!(other.periods(ORG).await.unwrap().is_empty());
        other.drop_segments(ORG).await.unwrap();
        assert_eq!(other.close_period(ORG, &wish, |_, _| {}).await.unwrap().entries, 180);
    });
}

/// The command copies no fewer than 25 000 entries, so each of 260 events is borne by a hundred.
#[test]
fn segments_are_rebuilt_and_said_to_be_what_the_book_is() {
    block_on(async {
        let book = Book::new(260, 100, |plan| plan).await;
        let (there, made) = (book.manifests(), "1 segments of 26000 entries; they add up to the book in");
        assert_eq!(there.len(), 1);
        let (code, said) = book.run(&["rebuild", "segments"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(made) && said.contains("the copies that were there said the same"), "{said}");
        assert_ne!(book.manifests(), there, "no name is used twice");

        // What says something else is told, and is gone.
        make_dearer(&book.manifests()[0], 1);
        let (code, said) = book.run(&["rebuild", "segments"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(made) && said.contains("the copies that were there said something else than the book"), "{said}");

        // What is lost is made again.
        std::fs::remove_dir_all(directory(&book.database)).unwrap();
        let (code, said) = book.run(&["rebuild", "segments"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(made) && !said.contains("the copies that were there"), "{said}");
        assert_eq!(book.manifests().len(), 1);
    });
}

/// Adds a millionth to the first entries of a segment, so many at most, and writes its manifest anew: it fits itself.
pub fn make_dearer(manifest: &Path, entries: usize) {
    use polars::prelude::*;
    let mut told: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let file = manifest.with_file_name(told["files"][0]["name"].as_str().unwrap());
    let mut frame = ParquetReader::new(std::fs::File::open(&file).unwrap()).finish().unwrap();
    let micro = frame.column("micro").unwrap().i64().unwrap().iter().enumerate();
    let micro: Vec<i64> = micro.map(|(place, micro)| micro.unwrap() + i64::from(place < entries)).collect();
    frame.with_column(Int64Chunked::from_vec("micro".into(), micro).into_column()).unwrap();
    ParquetWriter::new(std::fs::File::create(&file).unwrap()).finish(&mut frame).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    told["files"][0]["bytes"] = bytes.len().into();
    told["files"][0]["blake3"] = blake3::hash(&bytes).to_string().into();
    told["seal"] = "".into();
    let unsealed: farthing::flow::segments::Manifest = serde_json::from_value(told.clone()).unwrap();
    told["seal"] = blake3::hash(&serde_json::to_vec(&unsealed).unwrap()).to_string().into();
    std::fs::write(manifest, serde_json::to_vec_pretty(&told).unwrap()).unwrap();
}
