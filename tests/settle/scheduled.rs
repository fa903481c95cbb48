//! What a service does by itself once it has a management key: days are fetched before they are forgotten, missed ones are
//! made up for, a finding is told once, and the key is nowhere.

use super::call;
use crate::support::database::TestDatabase;
use crate::support::provider::{Provider, Say, json as answer, status};
use crate::support::service::Service;
use farthing::flow::now;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MANAGEMENT: &str = "sk-or-management-canary";

/// The UTC day that was so many days ago.
pub(super) fn day(ago: u64) -> String {
    (now().to_utc().date_naive() - chrono::Days::new(ago)).to_string()
}

/// What `/activity` says of a day: nothing, but yesterday a call that cost more than is booked, and one that is not.
fn activity(ago: u64) -> Say {
    let row = |requests: u64, cost: &str| {
        format!(
            r#"{{"data":[{{"date":"{} 00:00:00","model":"openai/gpt-4o-mini","model_permaslug":"openai/gpt-4o-mini","provider_name":"OpenAI","usage":{cost},"requests":"{requests}","prompt_tokens":2000,"completion_tokens":0,"reasoning_tokens":0}}]}}"#,
            day(ago)
        )
    };
    match ago {
        1 => answer(row(2, "0.75")),
        2 => answer(row(1, "0.5")),
        _ => answer(r#"{"data":[]}"#),
    }
}

struct World {
    database: TestDatabase,
    provider: Provider,
}

impl World {
    /// A book with a call yesterday and one the day before.
    fn new() -> (World, String) {
        let world = World { database: TestDatabase::sqlite(), provider: Provider::start() };
        let service = Service::start(&world.database);
        for (id, ago) in [("a", 1), ("b", 2)] {
            let fields = json!({"model": "openai/gpt-4o-mini", "reported": {"by": "provider", "amount": "0.5"}});
            let sent = service.post("/v1/events", call(id, &format!("{}T12:00:00Z", day(ago)), &fields).to_string());
            assert_eq!(sent.status, 201, "{}", sent.text());
        }
        let key = service.key.clone();
        service.stop();
        (world, key)
    }

    fn start(&self, key: &str, further: &[(&str, &str)]) -> Service {
        let url = format!("{}/api/v1", self.provider.url);
        let mut environment: Vec<(&str, &Path)> =
            vec![("OPENROUTER_MANAGEMENT_KEY", Path::new(MANAGEMENT)), ("FARTHING_OPENROUTER_URL", Path::new(&url))];
        environment.extend(further.iter().map(|(name, value)| (*name, Path::new(*value))));
        let mut service = Service::start_in(&self.database.url, &[], &environment);
        service.key = key.to_owned();
        service
    }

    fn asked_days(&self) -> Vec<String> {
        let day = |asked: &String| asked.split_once("date=").map(|(_, rest)| rest[..10].to_owned()).unwrap_or_default();
        self.provider.asked().iter().map(day).collect()
    }
}

pub(super) fn wait_for(service: &Service, said: &str) {
    let started = Instant::now();
    while !service.log.lock().unwrap().contains(said) {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", service.log.lock().unwrap());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn variances_told(service: &Service) -> Vec<serde_json::Value> {
    service.get("/v1/notices?type=reconciliation.variance").json()["items"].as_array().unwrap().clone()
}

#[test]
fn every_day_that_is_still_told_of_is_fetched_and_what_is_found_is_told_once() {
    let (world, key) = World::new();
    let days = |agos: &[u64]| agos.iter().map(|ago| day(*ago)).collect::<Vec<_>>();

    // The last ten days cannot be had at first.
    world.provider.will_say((11..=30).rev().map(activity).chain(std::iter::repeat_n(status(400), 10)));
    let service = world.start(&key, &[]);
    wait_for(&service, "the book could not be compared with OpenRouter's");
    assert_eq!(world.asked_days(), days(&(1..=30).rev().collect::<Vec<_>>()));
    assert_eq!(service.get("/v1/statements").json()["items"].as_array().unwrap().len(), 20);
    let failed = service.get("/v1/notices?type=reconciliation.failed").json();
    assert!(failed["items"][0].to_string().contains("answered 400"), "{failed}");
    let mut log = service.log.lock().unwrap().clone();
    service.stop();

    // Started again it makes up for them, and looks again at a day that is soon forgotten.
    let again: Vec<u64> = [29].into_iter().chain((1..=10).rev()).collect();
    world.provider.will_say(again.iter().map(|ago| activity(*ago)));
    let service = world.start(&key, &[]);
    wait_for(&service, "the book was compared with OpenRouter's");
    assert_eq!(world.asked_days()[30..], days(&again));
    assert_eq!(service.get("/v1/statements").json()["items"].as_array().unwrap().len(), 30);
    let told = variances_told(&service);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].to_string().contains("missing_here") && told[0].to_string().contains(&day(1)), "{}", told[0]);
    let metrics = service.get("/metrics").text();
    assert!(metrics.contains("farthing_reconciliation_captured_ratio{org=\"main\"} 0.666666\n"), "{metrics}");
    log += &service.log.lock().unwrap();
    service.stop();

    // The same again tells nobody, until a policy settles it.
    world.provider.will_say([29, 3, 1, 29, 3, 1].map(activity));
    let service = world.start(&key, &[]);
    wait_for(&service, "the book was compared with OpenRouter's");
    assert_eq!((variances_told(&service).len(), world.asked_days().len()), (1, 44));
    service.stop();
    let service = world.start(&key, &[("FARTHING_TRUE_UPS", "always")]);
    wait_for(&service, "the book was compared with OpenRouter's");
    assert_eq!(service.get("/v1/balances?account=payable:openrouter").json()["items"][0]["balance"], "-1.25");
    assert!(service.get("/metrics").text().contains("farthing_reconciliation_variances{org=\"main\"} 0\n"));
    assert_eq!(variances_told(&service).len(), 1);

    for path in ["/v1/statements", "/v1/reconciliations", "/v1/notices", "/metrics"] {
        assert!(!service.get(path).text().contains("canary"), "{path}");
    }
    log += &service.log.lock().unwrap();
    log += &service.printed.lock().unwrap();
    assert!(!log.contains("canary"), "{log}");
    service.stop();
    let files: Vec<PathBuf> = std::fs::read_dir(world.database.directory()).unwrap().map(|file| file.unwrap().path()).collect();
    for file in files.iter().filter(|file| file.is_file()) {
        let bytes = std::fs::read(file).unwrap();
        assert!(!bytes.windows(6).any(|part| part == b"canary"), "{}", file.display());
    }
    assert!(world.provider.asked()[0].contains(MANAGEMENT), "the provider alone hears it");
}

#[test]
fn of_two_processes_one_asks() {
    let (world, key) = World::new();
    // As long as the first question is open the other process comes up.
    world.provider.will_say([Say::Silence(Duration::from_secs(4))].into_iter().chain((1..=30).rev().map(activity)));
    let one = world.start(&key, &[]);
    let other = world.start(&key, &[]);
    wait_for(&other, "another process does it");
    wait_for(&one, "the book was compared with OpenRouter's");
    assert_eq!(world.asked_days().len(), 31);
    assert_eq!(other.get("/v1/statements").json()["items"].as_array().unwrap().len(), 30);
    assert_eq!(variances_told(&other).len(), 1);
}

#[test]
fn after_its_start_a_service_goes_on_by_its_schedule() {
    let (world, key) = World::new();
    let provider = Provider::answering(|request| match request.contains("/credits") {
        true => answer(r#"{"data":{"total_credits":100,"total_usage":1}}"#),
        false => answer(r#"{"data":[]}"#),
    });
    let world = World { provider, ..world };
    let looks = || world.provider.asked().iter().filter(|request| request.contains("/credits")).count();
    let service = world.start(&key, &[("FARTHING_RECONCILE_SCHEDULE", "* * * * *"), ("FARTHING_BALANCE_TOLERANCE", "1000")]);
    wait_for(&service, "the book was compared with OpenRouter's");
    let (started, first) = (Instant::now(), looks());
    // Every minute, so the next look comes within one.
    while looks() == first {
        assert!(started.elapsed() < Duration::from_secs(120), "{}", service.log.lock().unwrap());
        std::thread::sleep(Duration::from_millis(100));
    }
    service.stop();
}
