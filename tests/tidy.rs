//! Meaning, not size: which code may know what, and that nothing on the way of money is a float.

use farthing::flow::intake::{self, Framing};
use farthing::time::Instant;
use farthing::usage::dialect::{Context, Dialect};
use farthing::usage::shape::Shape;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, with its text, by its path from the root.
pub fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| (path.strip_prefix(root()).unwrap().display().to_string(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

/// The program without its tests and comments.
pub fn code(text: &str) -> String {
    let program = text.split("#[cfg(test)]").next().unwrap();
    program.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules of `lib.rs`, in their order, up to where the code that waits begins.
const CORE: [&str; 15] = [
    "money",
    "time",
    "schedule",
    "id",
    "bytes",
    "signature",
    "yaml",
    "usage",
    "catalog",
    "rating",
    "ledger",
    "reconcile",
    "report",
    "focus",
    "export",
];

fn module(path: &str) -> &str {
    path.trim_start_matches("src/").split(['/', '.']).next().unwrap()
}

#[test]
fn the_core_knows_nothing_of_the_world() {
    let worldly = [
        "sqlx",
        "axum",
        "tokio",
        "polars",
        "std::fs",
        "std::env",
        "std::net",
        "std::process",
        "Utc::now",
        "SystemTime",
        "Instant::now",
    ];
    for (path, text) in sources("src").iter().filter(|(path, _)| CORE.contains(&module(path))) {
        for word in worldly {
            assert!(!code(text).contains(word), "{path} knows {word}");
        }
    }
}

#[test]
fn modules_import_only_from_those_above_them() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let order: Vec<&str> = lib.lines().filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(order.starts_with(&CORE), "{order:?}");
    let place = |module: &str| order.iter().position(|other| *other == module);
    for (path, text) in sources("src") {
        let Some(mine) = place(module(&path)) else { continue };
        for imported in code(&text).split("crate::").skip(1) {
            let name: String = imported.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if let Some(theirs) = place(&name) {
                assert!(theirs <= mine, "{path} imports from {name}, which comes after it");
            }
        }
    }
}

#[test]
fn no_money_passes_through_a_float() {
    let on_the_way = [
        "money",
        "bytes",
        "usage",
        "catalog",
        "rating",
        "ledger",
        "reconcile",
        "report",
        "export",
        "focus",
        "store",
        "flow",
        "frame",
        "http",
    ];
    // Where a sender's binary double becomes a decimal text; nothing is computed there.
    let met_once = "src/usage/otlp/double.rs";
    for (path, text) in sources("src").iter().filter(|(path, _)| on_the_way.contains(&module(path)) && path != met_once) {
        for float in ["f64", "f32"] {
            let found = code(text).split(|c: char| !c.is_alphanumeric()).any(|word| word == float);
            assert!(!found, "{path} has an {float}");
        }
    }
}

#[test]
fn nothing_changes_or_deletes_what_is_in_a_book() {
    for (path, text) in sources("src") {
        let sql = code(&text).to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        for table in ["entries", "events", "blocks"] {
            for statement in [format!("update {table} "), format!("delete from {table} ")] {
                assert!(!sql.contains(&statement), "{path} says {statement}");
            }
        }
        // Only the store speaks SQL, and the tests that look behind its back.
        if module(&path) != "store" {
            assert!(!text.contains("sqlx::"), "{path} speaks SQL");
        }
    }
}

#[test]
fn every_statement_on_a_book_names_its_org() {
    let of_a_book = [
        "entries",
        "events",
        "blocks",
        "names",
        "owners",
        "products",
        "held",
        "conflicts",
        "suspects",
        "rejected",
        "books",
        "catalog_versions",
        "job_plans",
        "job_runs",
    ];
    for (path, text) in sources("src/store") {
        let text = code(&text);
        for statement in text.split('"').filter(|part| {
            part.trim_start().starts_with("SELECT")
                || part.trim_start().starts_with("UPDATE")
                || part.trim_start().starts_with("DELETE")
        }) {
            let words: Vec<&str> = statement.split_whitespace().collect();
            let table = words.iter().position(|word| matches!(*word, "FROM" | "UPDATE")).and_then(|place| words.get(place + 1));
            if table.is_some_and(|table| of_a_book.contains(table)) {
                assert!(statement.contains("org"), "{path}: {statement}");
            }
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    for (path, text) in sources("src").into_iter().chain(sources("tests")) {
        if path.ends_with("list.rs") {
            continue;
        }
        assert!(text.starts_with("//! "), "{path} has no head");
        assert!(!text.contains("TODO") || path.ends_with("tidy.rs"), "{path} has something to do");
    }
}

#[test]
fn the_papers_are_there() {
    for paper in [
        "README.md",
        "ARCHITECTURE.md",
        "DECISIONS.md",
        "GLOSSARY.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "Makefile",
        "docker-compose.yml",
        "Dockerfile",
        "clippy.toml",
        "deny.toml",
        "rustfmt.toml",
        ".ci/run",
    ] {
        assert!(root().join(paper).exists(), "{paper} is missing");
    }
}

/// Every dialect and every shape is fuzzed, from seeds that its reader understands.
#[test]
fn every_dialect_and_every_shape_has_a_fuzz_target_and_seeds_that_are_read() {
    let dialects = Dialect::ALL.map(|dialect| dialect.name().to_owned());
    let shapes = Shape::ALL.map(|(name, _)| format!("shape-{name}"));
    let expected: BTreeSet<String> = dialects.into_iter().chain(shapes).chain(["otlp-protobuf".to_owned()]).collect();
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let targets = manifest.split("[[bin]]").skip(1).map(|bin| bin.split('"').nth(1).unwrap().to_owned());
    assert_eq!(targets.collect::<BTreeSet<_>>(), expected);
    let seeds =
        |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().map(|seed| seed.unwrap().path()).collect::<Vec<_>>();
    let folders = seeds(&root().join("fuzz/seeds"));
    assert_eq!(folders.iter().map(|path| path.file_name().unwrap().display().to_string()).collect::<BTreeSet<_>>(), expected);
    let context = Context { received_at: Instant::parse("2026-11-21T00:00:00Z").unwrap(), source: None, strict: false };
    for target in expected {
        let of_target = seeds(&root().join("fuzz/seeds").join(&target));
        assert!(!of_target.is_empty(), "{target} has no seed");
        let is_read = |seed: &PathBuf| {
            let bytes = std::fs::read(seed).unwrap();
            if let Some((_, shape)) = Shape::ALL.into_iter().find(|(name, _)| target.strip_prefix("shape-") == Some(name)) {
                return shape.read(std::str::from_utf8(&bytes).unwrap(), "usage").is_ok();
            }
            let framing = if target == "otlp-protobuf" { Framing::Protobuf } else { Framing::Json };
            let dialect = Dialect::named(target.trim_end_matches("-protobuf")).unwrap();
            intake::read(&bytes, framing, dialect, &context).is_ok_and(|received| received.iter().any(|piece| piece.told.is_ok()))
        };
        assert!(of_target.iter().any(is_read), "nothing of the seeds of {target} is read");
    }
}
