//! Exports that are written by themselves: the bytes that a person would get for the same question, once each, whatever breaks
//! off; and a month only when it is closed.

use super::{Case, LEASE, MONTH, ORG, at, definitions, later, on_both};
use crate::support::database::{TestDatabase, block_on};
use crate::support::service::Service;
use farthing::export::scheduled::Scheduled;
use farthing::flow::deliver::{Job, Order, all_jobs};
use farthing::flow::periods;
use farthing::flow::report::Definitions;
use farthing::store::RunState;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A definition called `teams`, as the reports of the other tests are.
fn job(case: &Case, words: &str) -> Job {
    job_to(words, &case.root)
}

fn job_to(words: &str, root: &Path) -> Job {
    let text = format!("{words}\ndestination: {}\n", root.display());
    let export = Scheduled::parse("teams", &text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    all_jobs(&Definitions { reports: Vec::new(), exports: vec![export] }).remove(0)
}

/// What the command line exports, and nothing else.
fn by_hand(case: &Case, arguments: &[&str]) -> String {
    let file = case.root.join("by-hand.txt");
    let (code, _, error) = case.shell(&[&["export"], arguments, &["-o", file.to_str().unwrap()]].concat());
    assert_eq!(code, Some(0), "{error}");
    std::fs::read_to_string(file).unwrap()
}

async fn close(case: &Case, month: &str) {
    let wish = periods::Wish { month: month.parse().unwrap(), accept_held: false, note: String::new(), author: "ann".to_owned() };
    case.farthing.close_period(ORG, &wish, |_, _| {}).await.unwrap();
}

#[test]
fn the_entries_of_yesterday_are_those_that_a_person_would_export() {
    on_both("export-entries", async |case| {
        for (team, occurred_at) in
            [("search", "2026-11-08T23:00:00Z"), ("labs", "2026-11-09T22:59:59Z"), ("labs", "2026-11-10T00:00:00Z")]
        {
            case.spend(team, occurred_at, 1_000).await;
        }
        let job = job(&case, "export: entries\nrange: yesterday\ntz: Europe/Berlin\nschedule: 0 6 * * *");
        assert_eq!(case.look(&job, at("2026-11-10T04:00:00Z")).await, []);
        assert_eq!(case.look(&job, at("2026-11-10T05:00:00Z")).await, [("2026-11-10T06:00".to_owned(), RunState::Done)]);
        let expected = ["2026-11-10T0600.csv", "2026-11-10T0600.csv.manifest.json", "2026-11-10T0600.note.json"];
        assert_eq!(case.files(), expected);
        let file = case.file("2026-11-10T0600.csv");
        let range = ["entries", "--from", "2026-11-08T23:00:00Z", "--until", "2026-11-09T23:00:00Z"];
        assert!(file == by_hand(&case, &range) && file.lines().count() == 3, "{file}");

        let note: Value = serde_json::from_str(&case.file("2026-11-10T0600.note.json")).unwrap();
        let path = case.root.join("main/teams/2026-11-10T0600.csv");
        let hash = Command::new("sha256sum").arg(&path).output().unwrap().stdout;
        let facts = json!({
            "org": "main", "name": "teams", "export": "entries", "file": "2026-11-10T0600.csv", "clock": "occurred",
            "from": "2026-11-08T23:00:00Z", "until": "2026-11-09T23:00:00Z", "zone": "Europe/Berlin", "block": 3, "rows": 2,
            "scheduled": "2026-11-10T06:00", "bytes": file.len(), "sha256": String::from_utf8_lossy(&hash[..64]),
            "beside": {"held": {}, "conflicts": 0, "rejected": 0},
        });
        for (name, fact) in facts.as_object().unwrap() {
            assert_eq!(note[name], *fact, "{name} of {note:#}");
        }
        assert_eq!((&note["totals"][0]["amount"], &note["totals"][0]["rows"]), (&json!("0.3"), &json!(2)));
        let (code, said, error) = case.shell(&["export", "verify", path.to_str().unwrap()]);
        assert!(code == Some(0) && said.contains("2 entries in 1 files are what was exported"), "{said}{error}");
    });
}

#[test]
fn what_counts_in_a_month_is_exported_when_it_is_closed_and_not_before() {
    on_both("export-month", async |case| {
        case.spend("search", "2026-10-09T12:00:00Z", 1_000).await;
        case.spend("search", "2026-11-01T12:00:00Z", 2_000).await;
        let words = "export: entries\nrange: last closed month\nformat: hledger\nschedule: 0 6 2 * *";
        let job = job(&case, words);
        let due = at("2026-11-02T06:00:00Z");
        case.look(&job, at("2026-11-02T05:00:00Z")).await;
        assert_eq!(case.look(&job, due).await, [("2026-11-02T06:00".to_owned(), RunState::Failed)]);
        let failed = case.run("2026-11-02T06:00").await;
        assert_eq!(failed.detail, "2026-10 is not closed; `farthing close 2026-10` closes it, and then this is made");
        assert!(case.files().is_empty());

        close(&case, "2026-10").await;
        // What comes late counts in the month that is open, and is in none of October's files.
        case.spend("late", "2026-10-31T12:00:00Z", 4_000).await;
        assert_eq!(case.look(&job, failed.next_at.unwrap()).await, [("2026-11-02T06:00".to_owned(), RunState::Done)]);
        let journal = case.file("2026-11-02T0600.journal");
        assert!(journal.contains("cost:search") && !journal.contains("cost:late"), "{journal}");
        assert!(journal.contains("2026-10-09") && !journal.contains("2026-11-01 "), "{journal}");
        assert_eq!(journal, by_hand(&case, &["entries", "--period", "2026-10", "--format", "hledger"]));
        let note: Value = serde_json::from_str(&case.file("2026-11-02T0600.note.json")).unwrap();
        assert_eq!((&note["period"], &note["rows"]), (&json!("2026-10"), &json!(1)));
    });
}

#[test]
fn charges_of_a_closed_month_are_those_that_are_billed_in_it() {
    on_both("export-focus", async |case| {
        case.spend("search", "2026-10-09T12:00:00Z", 1_000).await;
        close(&case, "2026-10").await;
        case.spend("late", "2026-10-31T12:00:00Z", 4_000).await;
        let job = job(&case, "export: focus\nrange: last closed month\nversion: \"1.3\"\nschedule: 0 6 2 * *");
        case.look(&job, at("2026-11-02T05:00:00Z")).await;
        assert_eq!(case.look(&job, at("2026-11-02T06:00:00Z")).await, [("2026-11-02T06:00".to_owned(), RunState::Done)]);
        let expected = ["2026-11-02T0600.csv", "2026-11-02T0600.focus-metadata.json", "2026-11-02T0600.note.json"];
        assert_eq!(case.files(), expected);
        let file = case.file("2026-11-02T0600.csv");
        assert!(file.lines().count() == 2 && file.contains("search") && !file.contains("late"), "{file}");
        assert_eq!(file, by_hand(&case, &["focus", "--billing-period", "2026-10", "--focus-version", "1.3"]));
        let note: Value = serde_json::from_str(&case.file("2026-11-02T0600.note.json")).unwrap();
        assert_eq!((&note["rows"], &note["version"], &note["period"]), (&json!(1), &json!("1.3"), &json!("2026-10")));
    });
}

#[test]
fn an_export_of_one_team_has_that_team_and_its_note_tells_nothing_of_others() {
    block_on(async {
        let case = Case::new(TestDatabase::sqlite(), "export-team").await;
        case.spend("search", "2026-11-09T12:00:00Z", 1_000).await;
        case.spend("labs", "2026-11-09T12:00:00Z", 1_000).await;
        let job = job(&case, "export: entries\nrange: yesterday\nteam: labs\nformat: ndjson\nschedule: 0 6 * * *");
        case.look(&job, at("2026-11-10T05:00:00Z")).await;
        case.look(&job, at("2026-11-10T06:00:00Z")).await;
        let file = case.file("2026-11-10T0600.ndjson");
        assert!(file.lines().count() == 1 && file.contains("\"team\":\"labs\""), "{file}");
        let note: Value = serde_json::from_str(&case.file("2026-11-10T0600.note.json")).unwrap();
        assert_eq!((&note["team"], &note["beside"]), (&json!("labs"), &Value::Null));
    });
}

#[test]
fn an_export_that_was_delivered_is_not_delivered_again_and_what_broke_off_leaves_nothing() {
    on_both("export-again", async |case| {
        case.spend("search", "2026-11-09T12:00:00Z", 1_000).await;
        let job = job(&case, "export: entries\nrange: yesterday\nschedule: 0 6 * * *");
        let due = at("2026-11-10T06:00:00Z");
        case.look(&job, at("2026-11-10T05:00:00Z")).await;
        case.farthing.plan(ORG, &job, MONTH, due).await.unwrap();
        let run = case.farthing.store.runs_due(ORG, due).await.unwrap().remove(0);
        let claimed =
            async |at| case.farthing.store.claim_run(ORG, "teams", &run.time, false, at, later(at, LEASE)).await.unwrap();
        // The first attempt was killed while it wrote.
        claimed(due).await.unwrap();
        let directory = case.root.join("main/teams");
        std::fs::create_dir_all(&directory).unwrap();
        for name in [".2026-11-10T0600.csv.1", ".2026-11-10T0600.csv.1.0"] {
            std::fs::write(directory.join(name), "half").unwrap();
        }
        // The second one delivers, and is killed before it can say so.
        let claim = claimed(later(due, LEASE)).await.unwrap();
        case.farthing.deliver(&Order { org: ORG, whose: "main", job: &job, claim: &claim }).await.unwrap();
        assert_eq!(case.files().len(), 3, "{:?}", case.files());
        let before = case.file("2026-11-10T0600.csv");
        case.spend("search", "2026-11-09T13:00:00Z", 1_000).await;
        assert_eq!(case.look(&job, later(due, 2 * LEASE)).await, [("2026-11-10T06:00".to_owned(), RunState::Done)]);
        assert_eq!(case.file("2026-11-10T0600.csv"), before);
        // Whoever had it before and wakes up only now writes nothing over it, and leaves nothing.
        assert!(case.farthing.deliver(&Order { org: ORG, whose: "main", job: &job, claim: &claim }).await.is_ok());
        std::fs::remove_file(directory.join("2026-11-10T0600.note.json")).unwrap();
        let late = case.farthing.deliver(&Order { org: ORG, whose: "main", job: &job, claim: &claim }).await;
        assert_eq!(late.unwrap_err(), "another process took it over");
        assert_eq!((case.file("2026-11-10T0600.csv"), case.files().len()), (before, 2));
    });
}

#[test]
fn a_place_that_is_away_is_tried_again_until_it_is_back() {
    on_both("export-away", async |case| {
        let share = case.root.join("share");
        let job = job_to("export: entries\nrange: yesterday\nschedule: 0 6 * * *", &share);
        let due = at("2026-11-10T06:00:00Z");
        case.look(&job, at("2026-11-10T05:00:00Z")).await;
        assert_eq!(case.look(&job, due).await, [("2026-11-10T06:00".to_owned(), RunState::Failed)]);
        let failed = case.run("2026-11-10T06:00").await;
        assert!(failed.detail.contains("share; make or mount it"), "{failed:?}");
        std::fs::create_dir(&share).unwrap();
        let next = failed.next_at.unwrap();
        assert_eq!(case.look(&job, next).await, [("2026-11-10T06:00".to_owned(), RunState::Done)]);
        assert!(share.join("main/teams/2026-11-10T0600.csv").exists());
        let two_hours = later(next, Duration::from_secs(7_200));
        assert_eq!(case.look(&job, two_hours).await, []);
    });
}

#[test]
fn exports_stand_beside_reports_in_one_directory_of_definitions() {
    let case = block_on(Case::new(TestDatabase::sqlite(), "export-shell"));
    let directory = definitions(&case, "schedule: 0 6 1 1 *");
    let books = format!(
        "export: entries\nrange: last month\nformat: ndjson\nschedule: 0 6 1 1 *\ndestination: {}\n",
        case.root.display()
    );
    std::fs::write(directory.join("books.yaml"), &books).unwrap();
    let shown = directory.to_str().unwrap();
    let (code, listed, _) = case.shell(&["jobs", "list", "--reports", shown]);
    let headline = format!("books  0 6 1 1 * UTC -> {} as ndjson; next ", case.root.display());
    assert!(code == Some(0) && listed.contains(&headline) && listed.starts_with("teams  "), "{listed}");
    let (code, made, error) = case.shell(&["jobs", "run", "books", "--at", "2025-01-01T06:00", "--reports", shown]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert_eq!(made, "main/books/2025-01-01T0600.ndjson: 0 rows, the book up to block 0\n");
    // It is no report, and cannot be asked as one.
    assert!(!case.shell(&["report", "--reports", shown]).1.contains("books"));

    let service = Service::start_in(&case.database.url, &[], &[("FARTHING_REPORTS", &directory)]);
    let jobs = service.get("/v1/jobs").json();
    let export = jobs["items"].as_array().unwrap().iter().find(|job| job["job"] == "books").unwrap();
    assert_eq!(
        (&export["kind"], &export["format"], &export["runs"][0]["state"]),
        (&json!("export"), &json!("ndjson"), &json!("done"))
    );
    service.stop();

    std::fs::write(directory.join("books.yaml"), books.replace("last month", "the other day")).unwrap();
    let (code, _, error) = case.shell(&["serve", "--reports", shown]);
    assert_eq!(code, Some(64));
    assert!(error.contains("books.yaml: line 2: range: `the other day` is no range"), "{error}");
}
