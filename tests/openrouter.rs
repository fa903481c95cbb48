//! OpenRouter's books over a real socket: a server on loopback that is slow, stops half-way, turns away, cuts off and does
//! not know yet, as the real one does; and keys that nobody gets to see.

use crate::support::database::block_on;
use crate::support::provider::{Provider, Say, json, status};
use farthing::money::Amount;
use farthing::provider::openrouter::{Keys, Openrouter, OpenrouterError, Patience};
use farthing::provider::secret::Secret;
use farthing::time::{Instant, Period};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MANAGEMENT: &str = "sk-or-management-canary";
const INFERENCE: &str = "sk-or-inference-canary";

fn client_of(provider: &Provider) -> Openrouter {
    let secret = |text: &str| Secret::of("KEY", text).unwrap();
    let keys = Keys { management: secret(MANAGEMENT), inference: secret(INFERENCE) };
    let patience = Patience {
        timeout: Duration::from_millis(400),
        first_pause: Duration::from_millis(1),
        record: Duration::from_millis(300),
    };
    Openrouter::new(&format!("{}/api/v1", provider.url), keys, patience).unwrap()
}

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn day(text: &str) -> chrono::NaiveDate {
    text.parse().unwrap()
}

fn money(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

const NOW: &str = "2026-11-21T10:00:00Z";
const ACTIVITY: &str = r#"{"data":[{"date":"2026-11-20 00:00:00","model_permaslug":"a/b","endpoint_id":"e","provider_name":"P","usage":0.5,"requests":"2","prompt_tokens":3,"completion_tokens":4,"reasoning_tokens":0}]}"#;
const RECORD: &str = r#"{"data":{"id":"gen-1","created_at":"2026-11-20T10:00:00.123Z","model":"a/b","total_cost":0.00003452,"native_tokens_prompt":64,"native_tokens_completion":98}}"#;

#[test]
fn a_days_activity_is_kept_as_it_came_and_read() {
    block_on(async {
        let provider = Provider::start();
        provider.will_say([json(ACTIVITY)]);
        let answered = client_of(&provider).activity(day("2026-11-20"), Some("hash1"), at(NOW)).await.unwrap();
        let received = &answered.received[0];
        assert_eq!((received.text.as_str(), received.hash), (ACTIVITY, *blake3::hash(ACTIVITY.as_bytes()).as_bytes()));
        assert_eq!(received.asked, "/api/v1/activity?date=2026-11-20&api_key_hash=hash1");
        assert!(received.fetched_at > at("2026-01-01T00:00:00Z"));
        assert_eq!((answered.read.lines.len(), answered.read.total()), (1, money("0.5")));
        let asked = &provider.asked()[0];
        assert!(asked.starts_with("GET /api/v1/activity?date=2026-11-20&api_key_hash=hash1 "), "{asked}");
        assert!(asked.contains(&format!("authorization: Bearer {MANAGEMENT}")), "{asked}");
    });
}

#[test]
fn a_day_that_is_not_over_or_forgotten_is_not_asked_for() {
    block_on(async {
        let provider = Provider::start();
        let client = client_of(&provider);
        let said = async |asked: &str| client.activity(day(asked), None, at(NOW)).await.unwrap_err().to_string();
        assert_eq!(said("2026-11-21").await, "2026-11-21 is not over in UTC; its activity is told from the next day on");
        assert!(said("2026-10-21").await.contains("import the activity export"));
        assert!(provider.asked().is_empty());
        provider.will_say([json(ACTIVITY)]);
        let other = said("2026-11-19").await;
        assert!(other.contains("row 1: date: 2026-11-20T00:00:00Z was not asked for, but 2026-11-19"), "{other}");
    });
}

#[test]
fn a_generation_that_is_not_known_yet_is_asked_for_again_and_never_free() {
    block_on(async {
        let provider = Provider::start();
        let client = client_of(&provider);
        provider.will_say([status(404), status(404), status(503), json(RECORD)]);
        let answered = client.generation("gen-1").await.unwrap();
        assert_eq!((answered.read.total(), provider.asked().len()), (money("0.00003452"), 4));
        assert!(provider.asked()[0].contains(&format!("Bearer {INFERENCE}")));
        provider.will_say(std::iter::repeat_n(status(404), 100));
        let never = client.generation("gen-2").await.unwrap_err();
        assert!(matches!(&never, OpenrouterError::NotYet { id, .. } if id == "gen-2"), "{never}");
    });
}

#[test]
fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    block_on(async {
        let provider = Provider::start();
        let client = client_of(&provider);
        let ask = async || client.activity(day("2026-11-20"), None, at(NOW)).await;
        let later = Say::Answer(429, vec![("retry-after", "1".to_owned())], String::new());
        provider.will_say([later, Say::Half(ACTIVITY.to_owned()), status(408), json(ACTIVITY)]);
        let started = std::time::Instant::now();
        assert_eq!(ask().await.unwrap().read.total(), money("0.5"));
        assert!(started.elapsed() >= Duration::from_secs(1), "Retry-After was not honoured");

        for (say, attempts, told) in [
            (Say::Silence(Duration::from_millis(900)), 4, "did not answer within"),
            (Say::HangUp, 4, "cannot reach"),
            (Say::Half(ACTIVITY.to_owned()), 4, "broke off"),
            (status(500), 4, "answered 500"),
            (status(400), 1, "answered 400"),
            (json("<html>"), 1, "instead of JSON"),
            (json("{\"data\":[{\"date\":"), 1, "broken JSON"),
        ] {
            let before = provider.asked().len();
            provider.will_say(std::iter::repeat_n(say, attempts));
            let said = ask().await.unwrap_err().to_string();
            assert!(said.contains(told), "{said}");
            assert_eq!(provider.asked().len() - before, attempts, "{said}");
        }
    });
}

#[test]
fn an_answer_that_was_cut_off_is_asked_for_in_halves() {
    let answer = |ids: &[&str], truncated: bool| {
        let row =
            |id: &&str| format!(r#"{{"created_at__minute":"2026-11-20T10:00:00Z","generation_id":"{id}","credits_usage":0.1}}"#);
        let rows: Vec<String> = ids.iter().map(row).collect();
        json(format!(r#"{{"data":{{"data":[{}],"metadata":{{"truncated":{truncated}}}}}}}"#, rows.join(",")))
    };
    block_on(async {
        let provider = Provider::start();
        let client = client_of(&provider);
        // The one in the middle belongs to both halves.
        provider.will_say([answer(&["g1", "g2"], true), answer(&["g1", "g2"], false), answer(&["g2", "g3"], false)]);
        let period = Period { from: at("2026-11-20T10:00:00Z"), until: at("2026-11-20T11:00:00Z") };
        let answered = client.generations(period).await.unwrap();
        assert_eq!((answered.received.len(), answered.read.total()), (2, money("0.3")));
        let windows: Vec<bool> = provider
            .asked()
            .iter()
            .zip([("10:00:00Z", "11:00:00Z"), ("10:00:00Z", "10:30:00Z"), ("10:30:00Z", "11:00:00Z")])
            .map(|(asked, (from, until))| {
                asked.contains(&format!(r#"{{"end":"2026-11-20T{until}","start":"2026-11-20T{from}"}}"#))
            })
            .collect();
        assert_eq!(windows, [true; 3], "{:?}", provider.asked());

        provider.will_say(std::iter::repeat_n(answer(&["g1"], true), 20));
        let second = Period { from: at("2026-11-20T10:00:00Z"), until: at("2026-11-20T10:00:02Z") };
        assert!(matches!(client.generations(second).await, Err(OpenrouterError::TooMany { .. })));
    });
}

#[test]
fn the_account_tells_its_credits_and_all_its_keys() {
    block_on(async {
        let provider = Provider::start();
        let client = client_of(&provider);
        provider.will_say([
            json(r#"{"data":{"total_credits":100.5,"total_usage":25.75000000000001,"new":1}}"#),
            json(r#"{"data":{"label":"sk-or-v1-abc...def","usage":1.5,"usage_daily":0.25,"byok_usage":0,"is_management_key":false,"limit":null}}"#),
            json(r#"{"data":[{"hash":"h1","name":"prod","disabled":false,"usage":1},{"hash":"h2","name":"old","disabled":true,"usage":2}]}"#),
            json(r#"{"data":[{"hash":"h3","name":"new","usage":"0.1"}]}"#),
            json(r#"{"data":[]}"#),
            json(r#"{"data":[]}"#),
            json(r#"{"data":[]}"#),
        ]);
        assert_eq!(client.credits().await.unwrap().read.balance(), money("74.74999999999999"));
        let key = client.key().await.unwrap().read;
        assert_eq!((key.usage, key.usage_daily, key.is_management), (money("1.5"), Some(money("0.25")), false));
        let keys = client.keys().await.unwrap();
        let hashes: Vec<_> = keys.read.iter().map(|key| (key.hash.as_deref().unwrap(), key.disabled)).collect();
        assert_eq!((hashes, keys.received.len()), (vec![("h1", false), ("h2", true), ("h3", false)], 3));
        assert!(provider.asked()[3].contains("offset=2"), "{:?}", provider.asked());
        client.models().await.unwrap();
        client.endpoints("a/b c:free").await.unwrap();
        let asked = provider.asked();
        assert!(
            asked[5].starts_with("GET /api/v1/models?output_modalities=all ") && !asked[5].contains("canary"),
            "{}",
            asked[5]
        );
        assert!(asked[6].starts_with("GET /api/v1/models/a/b%20c:free/endpoints "), "{}", asked[6]);
    });
}

#[test]
fn a_key_is_sent_to_no_other_host_and_over_no_plain_connection() {
    block_on(async {
        let (provider, elsewhere) = (Provider::start(), Provider::start());
        provider.will_say([Say::Answer(302, vec![("location", format!("{}/activity", elsewhere.url))], String::new())]);
        let redirected = client_of(&provider).activity(day("2026-11-20"), None, at(NOW)).await.unwrap_err();
        assert!(matches!(redirected, OpenrouterError::Redirected { .. }), "{redirected}");
        assert!(elsewhere.asked().is_empty());
    });
    let plain = Openrouter::new("http://openrouter.example/api/v1", Keys::default(), Patience::default()).unwrap_err();
    assert!(matches!(plain, OpenrouterError::Plain { .. }), "{plain}");
}

#[test]
fn a_missing_or_wrong_key_is_told_by_its_name() {
    block_on(async {
        let provider = Provider::start();
        let without = Openrouter::new(&provider.url, Keys::default(), Patience::default()).unwrap();
        assert_eq!(
            without.credits().await.unwrap_err().to_string(),
            "no management key; set OPENROUTER_MANAGEMENT_KEY, or OPENROUTER_MANAGEMENT_KEY_FILE to a file that has it"
        );
        provider.will_say([status(403)]);
        let refused = client_of(&provider).credits().await.unwrap_err().to_string();
        assert!(refused.ends_with("answered 403: the management key is unknown or may not; check OPENROUTER_MANAGEMENT_KEY"));
        assert_eq!(provider.asked().len(), 1);
    });
}

#[test]
fn keys_are_found_in_the_environment_or_in_a_file_that_it_names() {
    let file = std::env::temp_dir().join(format!("farthing-management-{}", std::process::id()));
    std::fs::write(&file, format!("{MANAGEMENT}\n")).unwrap();
    let variable = |name: &str| match name {
        "OPENROUTER_MANAGEMENT_KEY_FILE" => Some(file.display().to_string()),
        "OPENROUTER_API_KEY" => Some(INFERENCE.to_owned()),
        _ => None,
    };
    let keys = Keys::gather(variable).unwrap();
    std::fs::remove_file(&file).unwrap();
    block_on(async {
        let provider = Provider::start();
        let client = Openrouter::new(&provider.url, keys, Patience::default()).unwrap();
        provider.will_say([json(r#"{"data":{"total_credits":1,"total_usage":0}}"#), json(r#"{"data":{"usage":0}}"#)]);
        client.credits().await.unwrap();
        client.key().await.unwrap();
        let sent: Vec<bool> =
            provider.asked().iter().zip([MANAGEMENT, INFERENCE]).map(|(asked, key)| asked.contains(key)).collect();
        assert_eq!(sent, [true, true]);
    });
}

/// Everything that is logged while something is done, at every level.
fn logged(act: impl FnOnce()) -> String {
    #[derive(Clone)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines(Arc::new(Mutex::new(Vec::new())));
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, act);
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn each_pause_is_about_twice_as_long_as_the_last_and_never_quite_the_same() {
    let provider = Provider::answering(|_| status(503));
    let patience = Patience { first_pause: Duration::from_millis(20), ..Patience::default() };
    let keys = Keys { management: Secret::of("KEY", MANAGEMENT).unwrap(), inference: None };
    let client = Openrouter::new(&format!("{}/api/v1", provider.url), keys, patience).unwrap();
    let log = logged(|| {
        block_on(async {
            for _ in 0..6 {
                client.activity(day("2026-11-20"), None, at(NOW)).await.unwrap_err();
            }
        });
    });
    let number = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().unwrap();
    let pauses: Vec<u64> = log.split("pause_ms=").skip(1).map(number).collect();
    assert_eq!((pauses.len(), provider.asked().len()), (18, 24), "{log}");
    for round in pauses.chunks(3) {
        for (pause, first) in round.iter().zip([20, 40, 80]) {
            assert!((first..=first * 3 / 2).contains(pause), "{pauses:?}");
        }
    }
    assert!(pauses.chunks(3).any(|round| round != &pauses[..3]), "{pauses:?}");
}

#[test]
fn no_key_is_ever_logged_or_told() {
    let mut told = String::new();
    let log = logged(|| {
        block_on(async {
            let provider = Provider::start();
            let client = client_of(&provider);
            told.push_str(&format!("{client:?}"));
            for say in [status(500), Say::HangUp, Say::Half(ACTIVITY.to_owned()), status(403), json("x"), json(ACTIVITY)] {
                provider.will_say(std::iter::repeat_n(say, 4));
                let answer = client.activity(day("2026-11-20"), None, at(NOW)).await;
                told.push_str(&format!("{answer:?}"));
                let answer = client.generation("gen-1").await;
                told.push_str(&format!("{answer:?}"));
            }
        });
    });
    assert!(log.contains("openrouter did not answer yet"), "{log}");
    assert!(!log.contains("canary") && !told.contains("canary"), "{log}{told}");
}
