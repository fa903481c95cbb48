//! What recurs, such as the refresh of prices: its last run is noted for each org, what another process did is not done again, and
//! whoever asks sees what is theirs.

use super::{Case, ORG, at, later, on_both};
use crate::support::database::{TestDatabase, block_on};
use crate::support::provider::{Provider, status};
use crate::support::service::{Request, Service};
use farthing::flow::access::{KeyWish, Scope};
use farthing::flow::now;
use farthing::flow::publish::CatalogFiles;
use farthing::flow::retention::Kept;
use farthing::flow::runs::{FORGET, RECONCILE, REFRESH};
use farthing::id::Org;
use farthing::jobs::{alone, forget_at};
use farthing::schedule::ScheduledTime;
use farthing::store::{RejectedBody, RunState};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const TEN_MINUTES: Duration = Duration::from_secs(600);

fn time(local: &str) -> ScheduledTime {
    ScheduledTime { at: at(&format!("{local}:00Z")), local: local.to_owned() }
}

/// Notes a run that came to this.
async fn noted(case: &Case, org: Org, local: &str, ended: Result<&str, &str>) -> Result<String, String> {
    let work = async { ended.map(str::to_owned).map_err(str::to_owned) };
    case.farthing.noted(org, REFRESH, &time(local), TEN_MINUTES, work).await
}

#[test]
fn a_run_is_noted_with_what_came_of_it_and_not_made_twice() {
    on_both("noted", async |case| {
        assert_eq!(noted(&case, ORG, "2026-11-10T06:17", Err("no answer")).await, Err("no answer".to_owned()));
        assert_eq!(noted(&case, ORG, "2026-11-10T07:17", Ok("nothing new")).await, Ok("nothing new".to_owned()));
        // Another process comes to the same time when the work is done.
        let same = time("2026-11-10T07:17");
        let again = case.farthing.noted(ORG, REFRESH, &same, TEN_MINUTES, async { panic!("done twice") }).await;
        assert_eq!(again, Ok("another process did it".to_owned()));
        let runs = case.farthing.store.runs(ORG, REFRESH, 10).await.unwrap();
        let told: Vec<_> =
            runs.iter().map(|run| (run.time.local.as_str(), run.state, run.detail.as_str(), run.next_at)).collect();
        assert_eq!(
            told,
            [
                ("2026-11-10T07:17", RunState::Done, "nothing new", None),
                ("2026-11-10T06:17", RunState::Failed, "no answer", None)
            ]
        );
        assert_eq!(case.farthing.store.last_failed(ORG, REFRESH).await.unwrap().unwrap().detail, "no answer");
    });
}

#[test]
fn a_run_whose_process_died_is_told_as_broken_off_by_the_next_one() {
    on_both("noted-died", async |case| {
        let (begun, store) = (time("2026-11-10T06:17"), &case.farthing.store);
        store.write_runs(ORG, REFRESH, std::slice::from_ref(&begun)).await.unwrap();
        let now = at("2026-11-10T06:17:00Z");
        store.claim_run(ORG, REFRESH, &begun, true, now, later(now, TEN_MINUTES)).await.unwrap().unwrap();
        noted(&case, ORG, "2026-11-10T07:17", Ok("nothing new")).await.unwrap();
        let broken = store.job_run(ORG, REFRESH, "2026-11-10T06:17").await.unwrap().unwrap();
        assert_eq!((broken.state, broken.detail.as_str()), (RunState::Failed, "it broke off with its process"));
    });
}

#[test]
fn of_what_recurs_only_a_few_runs_are_kept() {
    on_both("noted-kept", async |case| {
        for minute in 0..60 {
            noted(&case, ORG, &format!("2026-11-10T06:{minute:02}"), Ok("")).await.unwrap();
        }
        let runs = case.farthing.store.runs(ORG, REFRESH, 100).await.unwrap();
        let (newest, oldest) = (&runs[0].time.local, &runs.last().unwrap().time.local);
        assert_eq!((runs.len(), newest.as_str(), oldest.as_str()), (50, "2026-11-10T06:59", "2026-11-10T06:10"));
    });
}

/// The jobs that a key is shown, by name.
fn shown(service: &Service, key: &str) -> Vec<(String, Value)> {
    let answer = service.send(Request::new("GET", "/v1/jobs").key(key));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.into_iter().map(|item| (item["job"].as_str().unwrap().to_owned(), item)).collect()
}

#[test]
fn each_org_sees_its_own_runs_and_what_the_server_does_is_for_admins() {
    let (case, reader, other) = block_on(async {
        let case = Case::new(TestDatabase::sqlite(), "noted-shown").await;
        let labs = case.farthing.create_org("labs", &CatalogFiles::Shipped).await.unwrap();
        noted(&case, ORG, "2026-11-10T06:17", Err("no answer")).await.unwrap_err();
        noted(&case, ORG, "2026-11-10T07:17", Ok("nothing new")).await.unwrap();
        noted(&case, labs, "2026-11-10T07:17", Ok("3 changes published as version 2")).await.unwrap();
        let wish = KeyWish { scopes: vec![Scope::Read], ..KeyWish::default() };
        let reader = case.farthing.create_key(ORG, &wish).await.unwrap();
        let admin = KeyWish { scopes: vec![Scope::Admin], ..KeyWish::default() };
        let other = case.farthing.create_key(labs, &admin).await.unwrap();
        (case, reader, other)
    });
    let flags = ["--refresh", "auto", "--refresh-schedule", "0 0 1 1 *", "--refresh-url", "http://127.0.0.1:9/models"];
    let service = Service::start_in(&case.database.url, &flags, &[]);
    let jobs = shown(&service, &reader);
    assert_eq!(jobs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), [REFRESH]);
    let refresh = &jobs[0].1;
    assert_eq!(
        (&refresh["kind"], &refresh["schedule"], &refresh["runs"][0]["detail"]),
        (&json!("org"), &json!("0 0 1 1 *"), &json!("nothing new"))
    );
    assert_eq!(
        (&refresh["last_error"]["error"], &refresh["last_error"]["scheduled"]),
        (&json!("no answer"), &json!("2026-11-10T06:17"))
    );
    assert!(refresh["next_at"].as_str().unwrap().ends_with("-01-01T00:00:00Z"), "{refresh}");
    let jobs = shown(&service, &other);
    assert_eq!(jobs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), [FORGET, REFRESH]);
    assert_eq!((&jobs[0].1["kind"], jobs[1].1["runs"].as_array().unwrap().len()), (&json!("server"), 1));
    assert_eq!(jobs[1].1["runs"][0]["detail"], "3 changes published as version 2");
    // An hour that failed is over when the next one did not.
    for key in [&reader, &other] {
        let metrics = service.send(Request::new("GET", "/metrics").key(key)).text();
        let of_refresh: Vec<_> = metrics.lines().filter(|line| line.contains("job=\"refresh prices\"")).collect();
        assert!(matches!(of_refresh[..], [one] if one.ends_with("state=\"done\"} 1")), "{of_refresh:?}");
    }
    let (_, listed, _) = case.shell(&["jobs", "list"]);
    assert!(listed.contains("refresh prices, by the service\n  2026-11-10T07:17  done at "), "{listed}");
    service.stop();
}

#[test]
fn a_comparison_that_fails_is_seen_among_the_jobs_of_its_org() {
    let (case, of_labs, of_main) = block_on(async {
        let case = Case::new(TestDatabase::sqlite(), "noted-reconcile").await;
        let labs = case.farthing.create_org("labs", &CatalogFiles::Shipped).await.unwrap();
        let wish = KeyWish { scopes: vec![Scope::Read], ..KeyWish::default() };
        let of_labs = case.farthing.create_key(labs, &wish).await.unwrap();
        let of_main = case.farthing.create_key(ORG, &wish).await.unwrap();
        (case, of_labs, of_main)
    });
    let provider = Provider::start();
    provider.will_say((0..40).map(|_| status(401)));
    let url = format!("{}/api/v1", provider.url);
    let environment = [("OPENROUTER_MANAGEMENT_KEY", Path::new("sk-or-canary")), ("FARTHING_OPENROUTER_URL", Path::new(&url))];
    let service = Service::start_in(&case.database.url, &[], &environment);
    let waited = Instant::now();
    loop {
        let jobs = shown(&service, &of_main);
        let job = jobs.iter().find(|(name, _)| name == RECONCILE).map(|(_, job)| job.clone()).unwrap();
        if job["runs"][0]["state"] == "failed" {
            assert_eq!(job["last_error"]["error"], job["runs"][0]["detail"]);
            assert!(!job.to_string().contains("sk-or-canary") && job["next_at"].is_string(), "{job}");
            break;
        }
        assert!(waited.elapsed() < Duration::from_secs(60), "{job}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(shown(&service, &of_labs).is_empty(), "whose book is compared is nothing that another org sees");
    service.stop();
}

/// Lets a database refuse something, as one that is out of order does.
async fn refusing(case: &Case, what: &str) {
    let pool = sqlx::SqlitePool::connect(&case.database.url).await.unwrap();
    let text = format!("CREATE TRIGGER refusing BEFORE {what} BEGIN SELECT RAISE(ABORT, 'out of order'); END");
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&pool).await.unwrap();
    pool.close().await;
}

#[test]
fn a_database_that_cannot_say_who_works_is_no_other_process() {
    block_on(async {
        let case = Case::new(TestDatabase::sqlite(), "alone-unknown").await;
        let work = || async { Ok("compared".to_owned()) };
        assert_eq!(alone(&case.farthing, RECONCILE, work()).await, Ok("compared".to_owned()));
        // The night before came to its end, so that the lease is free.
        refusing(&case, "INSERT ON leases").await;
        let said = alone(&case.farthing, RECONCILE, work()).await.unwrap_err();
        assert!(said.starts_with("whether another process does it is not known: ") && said.contains("out of order"), "{said}");
    });
}

#[test]
fn what_was_done_is_told_also_where_its_lease_cannot_be_given_back() {
    block_on(async {
        let case = Case::new(TestDatabase::sqlite(), "alone-kept").await;
        refusing(&case, "UPDATE ON leases WHEN NEW.until = 0").await;
        for done in [Ok("compared".to_owned()), Err("2026-11-03: no answer".to_owned())] {
            assert_eq!(alone(&case.farthing, RECONCILE, async { done.clone() }).await, done);
        }
    });
}

#[test]
fn an_org_whose_rejects_cannot_be_forgotten_keeps_no_other_from_it_and_what_is_of_no_org_is_noted_too() {
    block_on(async {
        let case = Case::new(TestDatabase::sqlite(), "forget").await;
        let labs = case.farthing.create_org("labs", &CatalogFiles::Shipped).await.unwrap();
        let long_ago = at("2020-01-01T00:00:00Z");
        let body = RejectedBody {
            rejected: "old".to_owned(),
            dialect: "native".to_owned(),
            source: None,
            event_id: None,
            field: "id".to_owned(),
            detail: "missing".to_owned(),
            body: Some("{}".to_owned()),
            size: 2,
            times: 1,
            received_at: long_ago,
        };
        for org in [ORG, labs] {
            case.farthing.store.keep_rejected(org, std::slice::from_ref(&body)).await.unwrap();
            case.farthing.store.notify(org, "usage.unpriced", "{}", long_ago).await.unwrap();
            case.farthing.store.notify(org, "usage.unpriced", "{}", now()).await.unwrap();
        }
        refusing(&case, "DELETE ON rejected WHEN OLD.org = 1").await;
        let failed = forget_at(&case.farthing, Kept::default(), &time("2026-11-10T03:10")).await.unwrap_err();
        assert!(failed.starts_with("main: cannot forget rejected bodies"), "{failed}");
        assert!(failed.ends_with("; labs: 1 rejected bodies forgotten"), "{failed}");
        let mut runs = Vec::new();
        for org in [ORG, labs] {
            assert_eq!(case.farthing.store.notices(org, None, 10).await.unwrap().len(), 1, "what is of no org went all the same");
            runs.push(case.farthing.store.runs(org, FORGET, 10).await.unwrap().remove(0).state);
        }
        assert_eq!(runs, [RunState::Failed, RunState::Done]);
    });
}
