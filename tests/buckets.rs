//! Reports that are written into a bucket of an S3-compatible store, by the program itself, over a real socket.

use crate::support::bucket::Bucket;
use crate::support::database::{TestDatabase, block_on};
use serde_json::Value;
use sqlx::Connection;
use std::process::{Command, Stdio};
use std::time::Duration;

const SECRET: &str = "canary-secret-4711";

struct Case {
    database: TestDatabase,
    bucket: Bucket,
}

impl Case {
    fn new() -> Case {
        let (database, bucket) = (TestDatabase::sqlite(), Bucket::start());
        let text = "question: Who?\nby: [team]\nrange: last month\nschedule: 0 6 1 1 *\ndestination: s3://books/a/b\n";
        std::fs::write(database.directory().join("teams.yaml"), text).unwrap();
        Case { database, bucket }
    }

    /// The job as a process of its own, with a log that leaves nothing out.
    fn command(&self) -> Command {
        self.command_of("teams")
    }

    fn command_of(&self, job: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command.args(["jobs", "run", job, "--at", "2026-01-01T06:00", "--reports"]).arg(self.database.directory());
        command.env("DATABASE_URL", &self.database.url).env("FARTHING_LOG", "debug");
        command.env("AWS_ENDPOINT_URL", &self.bucket.url).env("AWS_ALLOW_HTTP", "true").env("AWS_REGION", "eu-north-1");
        command.env("AWS_ACCESS_KEY_ID", "farthing").env("AWS_SECRET_ACCESS_KEY", SECRET);
        command
    }

    fn run(&self) -> (Option<i32>, String) {
        let output = self.command().output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!said.contains(SECRET), "{said}");
        (output.status.code(), said)
    }

    fn change_runs(&self, change: &'static str) {
        block_on(async {
            let mut database = sqlx::SqliteConnection::connect(&self.database.url).await.unwrap();
            sqlx::query(change).execute(&mut database).await.unwrap();
        });
    }
}

#[test]
fn a_report_and_its_note_are_put_into_the_bucket_once() {
    let case = Case::new();
    let (code, said) = case.run();
    assert!(code == Some(0) && said.contains("main/teams/2026-01-01T0600.csv: 0 rows, the book up to block 0"), "{said}");
    let objects = case.bucket.objects();
    assert_eq!(
        objects.keys().collect::<Vec<_>>(),
        ["/books/a/b/main/teams/2026-01-01T0600.csv", "/books/a/b/main/teams/2026-01-01T0600.note.json"]
    );
    assert_eq!(objects["/books/a/b/main/teams/2026-01-01T0600.csv"], "team,amount,currency,calls\r\n");
    let note: Value = serde_json::from_str(&objects["/books/a/b/main/teams/2026-01-01T0600.note.json"]).unwrap();
    assert_eq!((&note["from"], &note["bytes"]), (&"2025-12-01T00:00:00Z".into(), &28.into()));
    let asked = case.bucket.asked();
    assert!(asked.len() == 2 && asked[0].contains("content-type: text/csv"), "{asked:?}");
    assert!(!asked.concat().contains(SECRET));
    // What is there is found and left alone.
    case.change_runs("UPDATE job_runs SET state = 'failed', next_at = 0");
    assert_eq!(case.run().0, Some(0));
    let more: Vec<_> = case.bucket.asked()[2..].iter().map(|head| head[..4].to_owned()).collect();
    assert_eq!(more, ["GET ", "HEAD", "GET "]);
}

#[test]
fn a_bucket_that_is_busy_is_asked_again() {
    let case = Case::new();
    case.bucket.is_busy(2);
    let (code, said) = case.run();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((case.bucket.asked().len(), case.bucket.objects().len()), (4, 2));
}

#[test]
fn a_bucket_that_stays_busy_fails_the_run_until_it_is_not() {
    let case = Case::new();
    case.bucket.is_busy(1_000);
    let (code, said) = case.run();
    assert!(code == Some(1) && said.contains("2026-01-01T06:00  failed 1 times"), "{said}");
    assert!(said.contains("cannot write s3://books/a/b/main/teams/2026-01-01T0600.csv: "), "{said}");
    case.bucket.is_busy(0);
    let (code, said) = case.run();
    assert_eq!((code, case.bucket.objects().len()), (Some(0), 2), "{said}");
}

#[test]
fn a_process_that_is_killed_while_it_writes_leaves_its_run_to_the_next_one() {
    let case = Case::new();
    case.bucket.is_silent(true);
    let mut process = case.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while case.bucket.asked().is_empty() {
        assert!(process.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    case.bucket.is_silent(false);
    // As long as it may be alive nobody else writes.
    let (code, said) = case.run();
    assert!(code == Some(1) && said.contains("2026-01-01T06:00  running since "), "{said}");
    case.change_runs("UPDATE job_runs SET next_at = 0");
    let (code, said) = case.run();
    assert_eq!((code, case.bucket.objects().len()), (Some(0), 2), "{said}");
}

#[test]
fn a_large_export_is_sent_in_parts_and_is_whole_in_the_bucket() {
    use std::fmt::Write;
    let case = Case::new();
    let directory = case.database.directory();
    let (mut events, user) = (String::new(), "u".repeat(400));
    for number in 0..16_000 {
        let event = serde_json::json!({"id": format!("e{number}"), "source": "gw", "occurred_at": "2025-12-03T10:00:00Z",
            "provider": "openai", "model": "gpt-4o-mini", "user": user, "usage": {"input": number}});
        writeln!(events, "{event}").unwrap();
    }
    std::fs::write(directory.join("events.ndjson"), events).unwrap();
    let definition = "export: entries\nrange: last month\nschedule: 0 6 1 1 *\ndestination: s3://books\n";
    std::fs::write(directory.join("books.yaml"), definition).unwrap();
    let farthing = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command.args(arguments).env("DATABASE_URL", &case.database.url).env("FARTHING_LOG", "error").current_dir(directory);
        assert!(command.stdout(Stdio::null()).status().unwrap().success(), "{arguments:?}");
    };
    farthing(&["ingest", "events.ndjson"]);
    let output = case.command_of("books").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    farthing(&["export", "entries", "-o", "by-hand.csv", "--from", "2025-12-01", "--until", "2026-01-01"]);
    let by_hand = std::fs::read_to_string(directory.join("by-hand.csv")).unwrap();
    assert!(by_hand.len() > 8 << 20, "{}", by_hand.len());
    let objects = case.bucket.objects();
    assert_eq!(objects.keys().filter(|name| name.starts_with("/books/main/books/2026-01-01T0600.")).count(), 3);
    assert!(objects["/books/main/books/2026-01-01T0600.csv"] == by_hand);
    let parts = case.bucket.asked().iter().filter(|head| head.contains("partNumber=")).count();
    assert_eq!(parts, by_hand.len().div_ceil(8 << 20));
    // Whoever comes after an attempt that delivered reads what is there and leaves it.
    case.change_runs("UPDATE job_runs SET state = 'failed', next_at = 0");
    let asked = case.bucket.asked().len();
    assert!(case.command_of("books").status().unwrap().success());
    let again = &case.bucket.asked()[asked..];
    assert!(again.iter().all(|head| head.starts_with("GET ") || head.starts_with("HEAD ")), "{again:?}");
    // No answer brings more than a part, so that none takes longer than an answer may.
    let ranges = again.iter().filter(|head| head.to_ascii_lowercase().contains("range: bytes=")).count();
    assert_eq!(ranges, parts);
}
