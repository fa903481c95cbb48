//! Reports that are written by themselves, on both databases: each time of a schedule once, whoever looks, whatever breaks
//! off, and however long nothing ran.

mod exports;
mod recurring;

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::service::{Request, Service};
use farthing::flow::deliver::{Job, Order, jobs};
use farthing::flow::publish::CatalogFiles;
use farthing::flow::runs::{ATTEMPTS, LEASE};
use farthing::flow::{Farthing, now};
use farthing::id::Org;
use farthing::report::named::Named;
use farthing::store::{JobRun, RunState};
use farthing::time::Instant;
use farthing::usage::dialect::{Context, native};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const ORG: Org = Org(1);
const MONTH: u32 = 35;

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn later(at: Instant, by: Duration) -> Instant {
    Instant::from_micros(at.micros() + by.as_micros() as i64)
}

/// A book, and a directory for what is made of it.
struct Case {
    farthing: Farthing,
    database: TestDatabase,
    root: PathBuf,
}

impl Case {
    async fn new(database: TestDatabase, name: &str) -> Case {
        let root = std::env::temp_dir().join(format!("farthing-jobs-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).unwrap();
        let farthing = Farthing::open(&database.options(), &CatalogFiles::Shipped).await.unwrap();
        Case { farthing, database, root }
    }

    /// A report by team, with these words on when it is asked and written.
    fn job(&self, words: &str) -> Job {
        self.job_to(words, &self.root)
    }

    fn job_to(&self, words: &str, root: &Path) -> Job {
        let text = format!("question: Who?\nby: [team]\ndestination: {}\n{words}\n", root.display());
        let named = Named::parse("teams", &text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        jobs(&[named]).remove(0)
    }

    /// One event of so many thousand input tokens of a model that costs 0.15 for a million.
    async fn spend(&self, team: &str, occurred_at: &str, thousands: u64) {
        let id = format!("{team} {occurred_at}");
        let sent = json!({"id": id, "source": "gw", "occurred_at": occurred_at, "provider": "openai", "model": "gpt-4o-mini",
                          "team": team, "usage": {"input": thousands * 1000}});
        let in_force = self.farthing.in_force(ORG).await.unwrap();
        let context = Context { received_at: now(), source: None, strict: true };
        let event = native::read(&sent.to_string(), &context).unwrap();
        let prepared = self.farthing.prepare(ORG, &in_force, event);
        self.farthing.commit_events(&[prepared], || false).await.unwrap();
    }

    /// What one look of a process at this instant comes to.
    async fn look(&self, job: &Job, now: Instant) -> Vec<(String, RunState)> {
        self.farthing.plan(ORG, job, MONTH, now).await.unwrap();
        let ended = self.farthing.run_due(ORG, "main", std::slice::from_ref(job), now).await.unwrap();
        ended.into_iter().map(|(claim, state)| (claim.time.local, state)).collect()
    }

    async fn run(&self, scheduled: &str) -> JobRun {
        self.farthing.store.job_run(ORG, "teams", scheduled).await.unwrap().unwrap()
    }

    /// The names in the directory of the report, hidden ones too.
    fn files(&self) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.root.join("main/teams")) else { return Vec::new() };
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.root.join("main/teams").join(name)).unwrap()
    }

    /// What the command line says, with what it was told in the environment.
    fn shell(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command.args(arguments).env("DATABASE_URL", &self.database.url).env("FARTHING_LOG", "error");
        let output = command.env("FARTHING_ALLOW_FSYNC_OFF", "true").output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Tells a story on both databases.
fn on_both(name: &str, story: impl AsyncFn(Case)) {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(async { story(Case::new(database, name).await).await });
    }
}

#[test]
fn after_three_days_without_a_process_each_day_is_written_as_it_would_have_been() {
    on_both("downtime", async |case| {
        let job = case.job("schedule: 0 6 * * *\ntz: Europe/Berlin\nrange: yesterday");
        for (day, thousands) in [("07", 1_000), ("08", 2_000), ("09", 4_000), ("10", 8_000)] {
            case.spend("search", &format!("2026-11-{day}T12:00:00Z"), thousands).await;
            case.spend("labs", &format!("2026-11-{day}T22:59:59Z"), thousands * 2).await;
        }
        // The schedule is seen on the 7th; the next look is on the 10th at noon.
        assert_eq!(case.look(&job, at("2026-11-07T12:00:00Z")).await, []);
        let made = case.look(&job, at("2026-11-10T11:00:00Z")).await;
        let scheduled = ["2026-11-08T06:00", "2026-11-09T06:00", "2026-11-10T06:00"];
        assert_eq!(made, scheduled.map(|local| (local.to_owned(), RunState::Done)));
        for (day, file) in [("07", "2026-11-08T0600"), ("08", "2026-11-09T0600"), ("09", "2026-11-10T0600")] {
            let range = format!("2026-11-{day}");
            let asked = ["report", "spend", "--by", "team", "--range", &range, "--tz", "Europe/Berlin", "--format", "csv"];
            let (code, printed, error) = case.shell(&asked);
            assert_eq!((code, error.as_str()), (Some(0), ""));
            assert!(printed.contains("labs"), "{printed}");
            assert_eq!(case.file(&format!("{file}.csv")), printed);
        }
        assert_eq!(case.file("2026-11-09T0600.csv"), "team,amount,currency,calls\r\nlabs,0.6,USD,1\r\nsearch,0.3,USD,1\r\n");
        assert_eq!(case.files().len(), 6);
        assert_eq!(case.look(&job, at("2026-11-10T11:00:00Z")).await, []);
    });
}

#[test]
fn what_was_missed_longer_ago_than_is_made_up_for_is_left_out() {
    on_both("long-ago", async |case| {
        let job = case.job("schedule: 0 6 * * *\nrange: yesterday");
        case.look(&job, at("2026-01-01T12:00:00Z")).await;
        case.farthing.plan(ORG, &job, 2, at("2026-11-10T11:00:00Z")).await.unwrap();
        let due = case.farthing.store.runs_due(ORG, at("2026-11-10T11:00:00Z")).await.unwrap();
        let due: Vec<_> = due.into_iter().map(|run| run.time.local).collect();
        assert_eq!(due, ["2026-11-09T06:00", "2026-11-10T06:00"]);
    });
}

#[test]
fn what_is_made_up_for_however_long_ago_is_all_made_up_for() {
    on_both("ever", async |case| {
        let job = case.job("schedule: 0 6 * * *\nrange: yesterday");
        case.look(&job, at("2026-11-07T12:00:00Z")).await;
        assert_eq!(case.farthing.plan(ORG, &job, u32::MAX, at("2026-11-10T11:00:00Z")).await.unwrap(), 3);
    });
}

/// What came due by a clock that was ahead was made then; the clock that is right again comes past it and goes on.
#[test]
fn a_clock_that_jumps_ahead_and_back_makes_each_run_once() {
    on_both("jumps", async |case| {
        let job = case.job("schedule: 0 6 * * *\nrange: yesterday");
        let run = |day: &str| (format!("2026-11-{day}T06:00"), RunState::Done);
        assert_eq!(case.look(&job, at("2026-11-07T12:00:00Z")).await, []);
        assert_eq!(case.look(&job, at("2026-11-09T12:00:00Z")).await, [run("08"), run("09")]);
        for right in ["2026-11-01T00:00:00Z", "2026-11-07T12:01:00Z", "2026-11-08T06:00:00Z", "2026-11-10T05:59:59Z"] {
            assert_eq!(case.look(&job, at(right)).await, [], "{right}");
        }
        assert_eq!(case.look(&job, at("2026-11-10T06:00:00Z")).await, [run("10")]);
        assert_eq!(case.look(&job, at("2026-11-11T06:00:00Z")).await, [run("11")]);
        assert_eq!(case.files().len(), 8, "a file and a note for each: {:?}", case.files());
    });
}

#[test]
fn a_schedule_begins_when_it_is_first_seen() {
    on_both("begins", async |case| {
        let start = at("2026-11-10T05:59:00Z");
        let job = case.job("schedule: 0 6 * * *\nrange: yesterday");
        assert_eq!(case.look(&job, start).await, []);
        assert_eq!(case.look(&job, at("2026-11-10T06:00:00Z")).await, [("2026-11-10T06:00".to_owned(), RunState::Done)]);
        // Another schedule of the same report is seen for the first time, whatever it would have meant this morning.
        let other = case.job("schedule: 0 7 * * *\nrange: yesterday");
        assert_eq!(case.look(&other, at("2026-11-10T08:00:00Z")).await, []);
        assert_eq!(case.look(&other, at("2026-11-11T07:00:00Z")).await, [("2026-11-11T07:00".to_owned(), RunState::Done)]);
    });
}

#[test]
fn a_run_is_made_by_one_process_of_many() {
    on_both("race", async |case| {
        let job = case.job("schedule: 0 * * * *\nrange: today");
        let (start, end) = (at("2026-11-10T00:30:00Z"), at("2026-11-11T00:30:00Z"));
        case.look(&job, start).await;
        let other = Farthing::open(&case.database.options(), &CatalogFiles::Shipped).await.unwrap();
        let jobs = std::slice::from_ref(&job);
        let process = async |farthing: &Farthing| {
            farthing.plan(ORG, &job, MONTH, end).await.unwrap();
            farthing.run_due(ORG, "main", jobs, end).await.unwrap().len()
        };
        let (mine, theirs) = tokio::join!(process(&case.farthing), process(&other));
        assert_eq!(mine + theirs, 24, "{mine} and {theirs}");
        let runs = case.farthing.store.runs(ORG, "teams", 100).await.unwrap();
        assert_eq!(runs.len(), 24);
        assert!(runs.iter().all(|run| run.state == RunState::Done && run.attempts == 1));
        assert_eq!(case.files().len(), 48);
    });
}

#[test]
fn a_run_whose_process_died_is_taken_over_when_its_lease_ends() {
    on_both("killed", async |case| {
        let job = case.job("schedule: 0 6 * * *\nrange: yesterday");
        let due = at("2026-11-10T06:00:00Z");
        case.look(&job, at("2026-11-10T05:00:00Z")).await;
        case.farthing.plan(ORG, &job, MONTH, due).await.unwrap();
        let run = case.farthing.store.runs_due(ORG, due).await.unwrap().remove(0);
        let dead = case.farthing.store.claim_run(ORG, "teams", &run.time, false, due, later(due, LEASE)).await.unwrap().unwrap();
        assert_eq!(case.look(&job, later(due, LEASE - Duration::from_secs(1))).await, []);
        assert_eq!(case.look(&job, later(due, LEASE)).await, [("2026-11-10T06:00".to_owned(), RunState::Done)]);
        // Should it only have been asleep, it has nothing to say any more.
        let said = case.farthing.store.end_run(ORG, &dead, RunState::Failed, "late", due, Some(due)).await.unwrap();
        assert!(!said && !case.farthing.store.renew_claim(ORG, &dead, due).await.unwrap());
        let run = case.run("2026-11-10T06:00").await;
        assert_eq!((run.state, run.attempts, run.next_at), (RunState::Done, 2, None));
    });
}

#[test]
fn a_run_that_broke_off_after_it_had_delivered_is_not_delivered_again() {
    on_both("delivered", async |case| {
        case.spend("search", "2026-11-09T12:00:00Z", 1_000).await;
        let job = case.job("schedule: 0 6 * * *\nrange: yesterday");
        let due = at("2026-11-10T06:00:00Z");
        case.look(&job, at("2026-11-10T05:00:00Z")).await;
        case.farthing.plan(ORG, &job, MONTH, due).await.unwrap();
        let run = case.farthing.store.runs_due(ORG, due).await.unwrap().remove(0);
        let claim = case.farthing.store.claim_run(ORG, "teams", &run.time, false, due, later(due, LEASE)).await.unwrap().unwrap();
        case.farthing.deliver(&Order { org: ORG, whose: "main", job: &job, claim: &claim }).await.unwrap();
        let before = case.file("2026-11-10T0600.csv");
        // More of that day is booked before somebody takes over.
        case.spend("search", "2026-11-09T13:00:00Z", 1_000).await;
        assert_eq!(case.look(&job, later(due, LEASE)).await, [("2026-11-10T06:00".to_owned(), RunState::Done)]);
        assert_eq!(case.file("2026-11-10T0600.csv"), before);
    });
}

#[test]
fn a_file_that_is_not_the_one_of_its_note_is_made_again() {
    on_both("half", async |case| {
        case.spend("search", "2026-11-09T12:00:00Z", 1_000).await;
        let job = case.job("schedule: 0 6 * * *\nrange: yesterday");
        let due = at("2026-11-10T06:00:00Z");
        case.look(&job, at("2026-11-10T05:00:00Z")).await;
        case.farthing.plan(ORG, &job, MONTH, due).await.unwrap();
        let run = case.farthing.store.runs_due(ORG, due).await.unwrap().remove(0);
        let claim = case.farthing.store.claim_run(ORG, "teams", &run.time, false, due, later(due, LEASE)).await.unwrap().unwrap();
        let order = Order { org: ORG, whose: "main", job: &job, claim: &claim };
        case.farthing.deliver(&order).await.unwrap();
        std::fs::write(case.root.join("main/teams/2026-11-10T0600.csv"), "half").unwrap();
        assert_eq!(case.look(&job, later(due, LEASE)).await, [("2026-11-10T06:00".to_owned(), RunState::Done)]);
        assert!(case.file("2026-11-10T0600.csv").contains("search,0.15,USD,1"));
        // Whoever had it before and wakes up only now writes nothing over it.
        case.spend("search", "2026-11-09T13:00:00Z", 1_000).await;
        assert_eq!(case.farthing.deliver(&order).await.unwrap_err(), "another process took it over");
        assert!(case.file("2026-11-10T0600.csv").contains("search,0.15,USD,1"));
    });
}

#[test]
fn a_destination_that_is_away_is_tried_again_until_it_is_back() {
    on_both("away", async |case| {
        let share = case.root.join("share");
        let job = case.job_to("schedule: 0 6 * * *\nrange: yesterday", &share);
        let due = at("2026-11-10T06:00:00Z");
        case.look(&job, at("2026-11-10T05:00:00Z")).await;
        assert_eq!(case.look(&job, due).await, [("2026-11-10T06:00".to_owned(), RunState::Failed)]);
        let failed = case.run("2026-11-10T06:00").await;
        assert!(
            failed.detail.contains("there is no directory") && failed.detail.contains("share; make or mount it"),
            "{failed:?}"
        );
        assert_eq!(case.look(&job, later(due, Duration::from_secs(59))).await, []);
        std::fs::create_dir(&share).unwrap();
        let next = failed.next_at.unwrap();
        assert!((60..70).contains(&((next.micros() - due.micros()) / 1_000_000)), "{next}");
        assert_eq!(case.look(&job, next).await, [("2026-11-10T06:00".to_owned(), RunState::Done)]);
        let run = case.run("2026-11-10T06:00").await;
        assert_eq!((run.attempts, run.detail.as_str()), (2, "main/teams/2026-11-10T0600.csv: 0 rows, the book up to block 0"));
        assert!(share.join("main/teams/2026-11-10T0600.csv").exists());
    });
}

#[test]
fn a_run_that_fails_for_good_is_given_up_and_a_person_is_told() {
    on_both("for-good", async |case| {
        let share = case.root.join("share");
        let job = case.job_to("schedule: 0 6 10 11 *\nrange: yesterday", &share);
        case.look(&job, at("2026-11-10T05:00:00Z")).await;
        let mut look = at("2026-11-10T06:00:00Z");
        for attempt in 1..=ATTEMPTS {
            let state = if attempt < ATTEMPTS { RunState::Failed } else { RunState::GivenUp };
            assert_eq!(case.look(&job, look).await, [("2026-11-10T06:00".to_owned(), state)], "attempt {attempt}");
            look = case.run("2026-11-10T06:00").await.next_at.unwrap_or(look);
        }
        assert_eq!(case.look(&job, later(look, Duration::from_secs(1_000_000))).await, []);
        let notices = case.farthing.store.notices(ORG, None, 10).await.unwrap();
        assert_eq!(notices.len(), 1);
        let told: Value = serde_json::from_str(&notices[0].body).unwrap();
        assert_eq!(
            (notices[0].kind.as_str(), &told["job"], &told["scheduled"]),
            ("job.failed", &json!("teams"), &json!("2026-11-10T06:00"))
        );
        // By hand it is made whenever it can be.
        let hand = async || {
            let (run, is_ours) = case.farthing.run_by_hand(ORG, "main", &job, None, later(look, LEASE)).await.unwrap();
            (run.state, run.attempts, is_ours)
        };
        assert_eq!(hand().await, (RunState::GivenUp, ATTEMPTS + 1, true));
        std::fs::create_dir(&share).unwrap();
        assert_eq!(hand().await, (RunState::Done, ATTEMPTS + 2, true));
        assert_eq!(hand().await, (RunState::Done, ATTEMPTS + 2, false));
    });
}

#[test]
fn a_run_that_ends_its_process_each_time_is_given_up_as_well() {
    on_both("ends-each-time", async |case| {
        let job = case.job("schedule: 0 6 * * *\nrange: yesterday");
        case.look(&job, at("2026-11-10T05:00:00Z")).await;
        let mut look = at("2026-11-10T06:00:00Z");
        case.farthing.plan(ORG, &job, MONTH, look).await.unwrap();
        for _ in 0..ATTEMPTS {
            let run = case.farthing.store.runs_due(ORG, look).await.unwrap().remove(0);
            case.farthing.store.claim_run(ORG, "teams", &run.time, false, look, later(look, LEASE)).await.unwrap().unwrap();
            look = later(look, LEASE);
        }
        assert_eq!(case.look(&job, look).await, [("2026-11-10T06:00".to_owned(), RunState::GivenUp)]);
        assert_eq!(case.run("2026-11-10T06:00").await.detail, "attempt 12 broke off with its process");
    });
}

#[test]
fn an_hour_that_comes_twice_is_written_once_and_one_that_never_came_is_not_left_out() {
    on_both("clocks", async |case| {
        let job = case.job("schedule: 0,30 2 * * *\ntz: Europe/Berlin\nrange: today");
        case.look(&job, at("2026-03-28T12:00:00Z")).await;
        let gap = case.look(&job, at("2026-03-29T01:00:00Z")).await;
        assert_eq!(gap, [("2026-03-29T02:00".to_owned(), RunState::Done), ("2026-03-29T02:30".to_owned(), RunState::Done)]);
        let late = case.job("schedule: 15 2 * * *\ntz: Europe/Berlin\nrange: today");
        case.look(&late, at("2026-10-24T12:00:00Z")).await;
        assert_eq!(case.look(&late, at("2026-10-25T00:15:00Z")).await, [("2026-10-25T02:15".to_owned(), RunState::Done)]);
        assert_eq!(case.look(&late, at("2026-10-25T03:00:00Z")).await, []);
        let csv: Vec<_> = case.files().into_iter().filter(|name| name.ends_with(".csv")).collect();
        assert_eq!(csv, ["2026-03-29T0200.csv", "2026-03-29T0230.csv", "2026-10-25T0215.csv"]);
    });
}

#[test]
fn the_note_beside_a_file_says_what_it_is() {
    on_both("note", async |case| {
        case.spend("search", "2026-10-09T12:00:00Z", 1_000).await;
        case.spend("labs", "2026-10-10T12:00:00Z", 3_000).await;
        let job = case.job("schedule: 0 6 1 * *\ntz: Europe/Berlin\nrange: last month\nformat: json");
        case.look(&job, at("2026-11-01T04:00:00Z")).await;
        case.look(&job, at("2026-11-01T05:00:00Z")).await;
        assert_eq!(case.files(), ["2026-11-01T0600.json", "2026-11-01T0600.note.json"]);
        let note: Value = serde_json::from_str(&case.file("2026-11-01T0600.note.json")).unwrap();
        let file = case.root.join("main/teams/2026-11-01T0600.json");
        let hash = Command::new("sha256sum").arg(&file).output().unwrap().stdout;
        let expected = json!({
            "org": "main", "report": "teams", "file": "2026-11-01T0600.json",
            "schedule": "0 6 1 * * Europe/Berlin", "scheduled": "2026-11-01T06:00", "scheduled_at": "2026-11-01T05:00:00Z",
            "from": "2026-09-30T22:00:00Z", "until": "2026-10-31T23:00:00Z", "zone": "Europe/Berlin",
            "block": 2, "rows": 2, "totals": [{"amount": "0.6", "calls": 2, "currency": "USD"}],
            "beside": {"held": {}, "conflicts": 0, "rejected": 0},
            "bytes": std::fs::metadata(&file).unwrap().len(), "sha256": String::from_utf8_lossy(&hash[..64]),
        });
        assert_eq!(note, expected);
        let (_, printed, _) =
            case.shell(&["report", "spend", "--by", "team", "--range", "2026-10", "--tz", "Europe/Berlin", "--format", "json"]);
        assert_eq!(case.file("2026-11-01T0600.json"), printed);
    });
}

#[test]
fn each_org_has_files_of_its_own() {
    on_both("orgs", async |case| {
        let other = case.farthing.create_org("labs/eu", &CatalogFiles::Shipped).await.unwrap();
        case.spend("search", "2026-11-09T12:00:00Z", 1_000).await;
        let job = case.job("schedule: 0 6 * * *\nrange: yesterday");
        for (org, name) in [(ORG, "main"), (other, "labs/eu")] {
            for look in ["2026-11-10T05:00:00Z", "2026-11-10T06:00:00Z"] {
                case.farthing.plan(org, &job, MONTH, at(look)).await.unwrap();
                case.farthing.run_due(org, name, std::slice::from_ref(&job), at(look)).await.unwrap();
            }
        }
        let theirs = std::fs::read_to_string(case.root.join("labs%2Feu/teams/2026-11-10T0600.csv")).unwrap();
        assert_eq!(theirs, "team,amount,currency,calls\r\n");
        assert!(case.file("2026-11-10T0600.csv").contains("search,0.15,USD,1"));
        assert_eq!(case.farthing.store.runs(other, "teams", 10).await.unwrap().len(), 1);
    });
}

/// A directory of definitions with one report in it.
fn definitions(case: &Case, words: &str) -> PathBuf {
    let directory = case.root.join("definitions");
    std::fs::create_dir_all(&directory).unwrap();
    let text = format!("question: Who?\nby: [team]\nrange: today\ndestination: {}\n{words}\n", case.root.display());
    std::fs::write(directory.join("teams.yaml"), text).unwrap();
    directory
}

#[test]
fn the_service_makes_up_for_what_was_missed_and_shows_it() {
    on_both("service", async |case| {
        let directory = definitions(&case, "schedule: 0 * * * *");
        let (start, job) = (now(), case.job("schedule: 0 * * * *"));
        let schedule = job.delivery.schedule.to_string();
        let planned = Instant::from_micros(start.micros() - 3 * 3_600_000_000);
        case.farthing.store.note_planned(ORG, "teams", &schedule, planned).await.unwrap();
        let service = Service::start_in(&case.database.url, &[], &[("FARTHING_REPORTS", &directory)]);
        let shown = || service.get("/v1/jobs").json()["items"][0].clone();
        let waited = std::time::Instant::now();
        let are_done = |job: &Value| {
            let runs = job["runs"].as_array().unwrap();
            runs.len() >= 3 && runs.iter().all(|run| run["state"] == "done")
        };
        while !are_done(&shown()) {
            assert!(waited.elapsed() < Duration::from_secs(60), "{}", shown());
            std::thread::sleep(Duration::from_millis(50));
        }
        let job = shown();
        assert_eq!((&job["job"], &job["schedule"], &job["zone"]), (&json!("teams"), &json!("0 * * * *"), &json!("UTC")));
        assert!(at(job["next_at"].as_str().unwrap()) > start);
        assert_eq!(case.files().iter().filter(|name| name.ends_with(".csv")).count(), job["runs"].as_array().unwrap().len());
        let runs = job["runs"].as_array().unwrap().len();
        let metrics = service.get("/metrics").text();
        assert!(metrics.contains(&format!("farthing_job_runs{{org=\"main\",job=\"teams\",state=\"done\"}} {runs}")), "{metrics}");
        // Of the whole org's money, so not for a key of one team.
        let key = service.new_key(r#"{"scopes":["read"],"team":"search"}"#);
        assert_eq!(service.send(Request::new("GET", "/v1/jobs").key(&key)).status, 403);
        service.stop();
    });
}

#[test]
fn the_command_line_lists_jobs_and_runs_one() {
    let case = block_on(Case::new(TestDatabase::sqlite(), "shell"));
    let directory = definitions(&case, "schedule: 0 6 1 1 *\nformat: table");
    let directory = directory.to_str().unwrap();
    let (code, listed, _) = case.shell(&["jobs", "list", "--reports", directory]);
    let headline = format!("teams  0 6 1 1 * UTC -> {} as table; next ", case.root.display());
    assert!(code == Some(0) && listed.starts_with(&headline) && listed.lines().count() == 1, "{listed}");
    let (code, made, error) = case.shell(&["jobs", "run", "teams", "--at", "2025-01-01T06:00", "--reports", directory]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert_eq!(made, "main/teams/2025-01-01T0600.txt: 0 rows, the book up to block 0\n");
    let (_, again, _) = case.shell(&["jobs", "run", "teams", "--at", "2025-01-01T06:00", "--reports", directory]);
    assert!(again.starts_with("nothing to do: 2025-01-01T06:00  done at "), "{again}");
    let (_, listed, _) = case.shell(&["jobs", "list", "--reports", directory]);
    assert!(listed.contains("\n  2025-01-01T06:00  done at "), "{listed}");
    let refused = |arguments: &[&str]| {
        let (code, _, error) = case.shell(&[arguments, &["--reports", directory]].concat());
        (code, error)
    };
    let (code, error) = refused(&["jobs", "run", "teams", "--at", "2025-01-01T07:00"]);
    assert_eq!(
        (code, error.as_str()),
        (Some(1), "farthing: teams (0 6 1 1 * UTC) has no time that is `2025-01-01T07:00` and has come\n")
    );
    let (code, error) = refused(&["jobs", "run", "users"]);
    assert_eq!(
        (code, error.as_str()),
        (Some(64), "farthing: no report or export with a schedule is called `users`; there are teams\n")
    );
    std::fs::write(case.root.join("main/teams/blocked"), "").unwrap();
    std::fs::create_dir_all(case.root.join("main/teams/2024-01-01T0600.txt")).unwrap();
    let (code, error) = refused(&["jobs", "run", "teams", "--at", "2024-01-01T06:00"]);
    assert!(code == Some(1) && error.contains("2024-01-01T06:00  failed 1 times, tried again at "), "{error}");
    assert!(error.contains("cannot write 2024-01-01T0600.txt below "), "{error}");
}

#[test]
fn a_bad_schedule_ends_the_start_with_its_file_line_and_field() {
    let case = block_on(Case::new(TestDatabase::sqlite(), "bad"));
    let directory = definitions(&case, "schedule: 0 6 L * *");
    let (code, _, error) = case.shell(&["serve", "--reports", directory.to_str().unwrap()]);
    assert_eq!(code, Some(64));
    assert!(error.contains("teams.yaml: line 5: schedule: `L` is no day of the month: the last day cannot be said"), "{error}");
}
