//! Refreshing a list from a real HTTP server: what it may answer, and that nothing bad of it reaches the prices in force.
//! Also the webhook that tells a person.

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::provider::{Provider, Say, json, json_with_etag, status};
use farthing::flow::import::Source;
use farthing::flow::notices::{Webhook, signature};
use farthing::flow::price::{Question, price};
use farthing::flow::publish::{CatalogFiles, Wish};
use farthing::flow::refresh::{Policy, Refresh, Refreshed};
use farthing::flow::{Farthing, now};
use farthing::id::{Org, Version};
use farthing::provider::Client;
use farthing::store::FetchOutcome;
use farthing::usage::Meter;
use std::time::Duration;

/// A list of three models; the price of the first is given.
fn list(input: &str) -> String {
    format!(
        r#"{{"data":[
            {{"id":"a/one","pricing":{{"prompt":"{input}","completion":"0.000004"}}}},
            {{"id":"a/two","pricing":{{"prompt":"0.000001","completion":"0.000002"}}}},
            {{"id":"a/three","pricing":{{"prompt":"0.000001","completion":"0.000002"}}}}]}}"#
    )
}

struct Case<'d> {
    farthing: Farthing,
    org: Org,
    provider: Provider,
    refresh: Refresh,
    client: Client,
    database: &'d TestDatabase,
}

impl<'d> Case<'d> {
    /// A book whose OpenRouter list is the one above, fetched once.
    async fn new(database: &'d TestDatabase, policy: Policy) -> Case<'d> {
        let nothing =
            std::env::temp_dir().join(format!("farthing-refresh-{}-{:?}.yaml", std::process::id(), std::thread::current().id()));
        let start = "provider: openrouter\nabsent: included\nsource: https://openrouter.ai/api/v1/models\nmodels: []\n";
        std::fs::write(&nothing, start).unwrap();
        let farthing = Farthing::open(&database.options(), &CatalogFiles::At(nothing.clone())).await.unwrap();
        std::fs::remove_file(nothing).unwrap();
        let org = farthing.store.org("main").await.unwrap();
        let provider = Provider::start();
        let refresh = Refresh { source: Source::Openrouter, url: format!("{}/models", provider.url), policy };
        let client = Client::new(Duration::from_millis(400), Duration::from_millis(1)).unwrap();
        let case = Case { farthing, org, provider, refresh, client, database };
        case.provider.will_say([json_with_etag(list("0.000001"), "\"one\"")]);
        let auto = Refresh { policy: Policy::Auto, ..case.refresh.clone() };
        let first = case.farthing.refresh(org, &case.client, &auto).await.unwrap();
        assert!(matches!(first, Refreshed::Published(_)), "{first:?}");
        case
    }

    async fn refreshed(&self, say: impl IntoIterator<Item = Say>) -> Refreshed {
        self.provider.will_say(say);
        self.farthing.refresh(self.org, &self.client, &self.refresh).await.unwrap()
    }

    async fn version(&self) -> Version {
        self.farthing.store.head(self.org).await.unwrap().version
    }

    async fn notices(&self) -> Vec<String> {
        let notices = self.farthing.store.notices(self.org, None, 100).await.unwrap();
        notices.into_iter().map(|notice| notice.kind).collect()
    }

    /// What an input token of the first model costs now, in millionths of a millionth.
    async fn price_now(&self) -> String {
        let in_force = self.farthing.newest(self.org).await.unwrap();
        let question = Question { provider: "openrouter".to_owned(), model: "a/one".to_owned(), ..Question::default() };
        let found = price(&question, &in_force, now()).unwrap().found.unwrap();
        found.card.rates.get(Meter::Input).unwrap().to_string()
    }
}

#[test]
fn a_new_price_is_published_with_the_looks_between_which_it_changed() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(async {
            let case = Case::new(&database, Policy::Auto).await;
            let base = case.version().await;
            // Two more looks see the same: by its ETag, then by its content.
            assert!(matches!(case.refreshed([status(304)]).await, Refreshed::Unchanged));
            assert!(matches!(case.refreshed([json(list("0.000001"))]).await, Refreshed::Unchanged));
            let last_look = case.farthing.store.fetches(case.org, None, 9).await.unwrap();
            assert_eq!((last_look.len(), last_look[0].looks), (1, 3));
            assert!(case.provider.asked()[1].contains("if-none-match: \"one\""));

            let Refreshed::Published(published) = case.refreshed([json(list("0.0000015"))]).await else { panic!() };
            assert_eq!(published.version, Some(base.next()));
            assert_eq!(case.price_now().await, "0.0000015");
            let fetches = case.farthing.store.fetches(case.org, None, 9).await.unwrap();
            let in_force = case.farthing.in_force(case.org).await.unwrap();
            let list = in_force.catalog.lists().next().unwrap();
            let cards = &list.models.iter().find(|model| &*model.name == "a/one").unwrap().cards;
            assert_eq!(cards.len(), 2);
            assert_eq!(cards[1].from, Some(fetches[0].first_at));
            assert_eq!(cards[1].seen_after, Some(last_look[0].last_at));
            // The body is kept as it came.
            let body = case.farthing.store.fetched_body(&fetches[0].hash.unwrap()).await.unwrap();
            assert_eq!(body.as_deref(), Some(list_text().as_str()));
            assert_eq!(case.notices().await, Vec::<String>::new());
        });
    }

    fn list_text() -> String {
        list("0.0000015")
    }
}

#[test]
fn whatever_goes_wrong_changes_nothing_and_is_told_once() {
    let database = TestDatabase::new(Kind::Sqlite);
    block_on(async {
        let case = Case::new(&database, Policy::Auto).await;
        let base = case.version().await;
        let html = || Say::Answer(200, vec![("content-type", "text/html".to_owned())], "<html>maintenance</html>".to_owned());
        let four = |say: Say| vec![say.clone(), say.clone(), say.clone(), say];
        let silence = || Say::Silence(Duration::from_millis(900));
        for (what, says, told) in [
            ("silence", four(silence()), "did not answer within"),
            ("a page", vec![html()], "text/html"),
            ("half a body", four(Say::Half(list("0.000002"))), "broke off"),
            ("no list", vec![json("{\"data\":[]}")], "empty"),
            ("another thing", vec![json("{\"error\":\"x\"}")], "data: missing"),
            ("nothing", vec![json("")], "nothing"),
            ("broken JSON", vec![json("{\"data\":[{\"id\":")], "broken JSON"),
            ("errors", four(status(503)), "503"),
            ("a refusal", vec![status(403)], "403"),
            ("a hang-up", four(Say::HangUp), "cannot reach"),
        ] {
            let before = case.notices().await.len();
            let Refreshed::Failed(why) = case.refreshed(says.clone()).await else { panic!("{what} did not fail") };
            assert!(why.contains(told), "{what}: {why}");
            // The same again is not told again.
            assert!(matches!(case.refreshed(says).await, Refreshed::Failed(_)), "{what}");
            assert_eq!(case.notices().await.len(), before + 1, "{what}");
            assert_eq!(case.version().await, base, "{what}");
        }
        assert_eq!(case.price_now().await, "0.000001");
        assert!(case.notices().await.iter().all(|kind| kind == "refresh.failed"));
    });
}

#[test]
fn a_price_ten_times_as_high_waits_for_a_person() {
    let database = TestDatabase::new(Kind::Sqlite);
    block_on(async {
        let case = Case::new(&database, Policy::Auto).await;
        let base = case.version().await;
        let Refreshed::Refused(why) = case.refreshed([json(list("0.00001"))]).await else { panic!() };
        assert!(why.contains("a/one") && why.contains("jump"), "{why}");
        let Refreshed::Refused(why) = case.refreshed([json(list("1"))]).await else { panic!() };
        assert!(why.contains("unit"), "{why}");
        // A list that lost most of its rows.
        let short = r#"{"data":[{"id":"a/two","pricing":{"prompt":"0.000001","completion":"0.000002"}}]}"#;
        let Refreshed::Refused(why) = case.refreshed([json(short)]).await else { panic!() };
        assert!(why.contains("shrink"), "{why}");
        assert_eq!(case.version().await, base);
        assert_eq!(case.price_now().await, "0.000001");
        assert_eq!(case.notices().await, ["prices.refused"; 3]);
        let fetches = case.farthing.store.fetches(case.org, None, 9).await.unwrap();
        assert!(fetches[..3].iter().all(|fetch| fetch.outcome == FetchOutcome::Refused && fetch.hash.is_some()));
    });
}

#[test]
fn what_is_to_be_reviewed_is_told_and_not_published() {
    let database = TestDatabase::new(Kind::Sqlite);
    block_on(async {
        let case = Case::new(&database, Policy::Review).await;
        let base = case.version().await;
        let reviewed = case.refreshed([json(list("0.0000012"))]).await;
        assert!(matches!(reviewed, Refreshed::ToReview(_)), "{reviewed:?}");
        assert_eq!(case.version().await, base);
        assert_eq!(case.notices().await, ["prices.to_review"]);
        let off = Refresh { policy: Policy::Off, ..case.refresh.clone() };
        assert!(matches!(case.farthing.refresh(case.org, &case.client, &off).await.unwrap(), Refreshed::Off));
        assert_eq!(case.provider.asked().len(), 2, "a policy of off fetches nothing");
    });
}

#[test]
fn what_was_reviewed_holds_from_the_look_that_saw_it() {
    let database = TestDatabase::new(Kind::Sqlite);
    block_on(async {
        let case = Case::new(&database, Policy::Review).await;
        case.refreshed([json(list("0.0000012"))]).await;
        let seen = case.farthing.store.fetches(case.org, None, 9).await.unwrap();
        let (confirmed, reviewed) = (seen[1].clone(), seen[0].clone());
        let (dry_run, accepted) = (Wish { dry_run: true, ..Wish::default() }, Wish { accept: true, ..Wish::default() });
        let dry = case.farthing.review(case.org, reviewed.fetch, &dry_run).await.unwrap();
        assert!(dry.version.is_none() && !dry.changes.is_empty());
        let published = case.farthing.review(case.org, reviewed.fetch, &Wish::default()).await.unwrap();
        assert!(published.version.is_some());
        let in_force = case.farthing.newest(case.org).await.unwrap();
        let list = in_force.catalog.lists().next().unwrap();
        let card = list.models.iter().find(|model| &*model.name == "a/one").unwrap().cards.last().unwrap();
        assert_eq!((card.from, card.seen_after), (Some(reviewed.first_at), Some(confirmed.last_at)));
        let seen = case.farthing.store.fetches(case.org, None, 9).await.unwrap();
        assert_eq!(seen[0].outcome, FetchOutcome::Published);
        assert!(case.farthing.review(case.org, reviewed.fetch, &accepted).await.is_err(), "it is published already");
    });
}

/// Ten times the price: refused, looked at by a person, accepted.
#[test]
fn what_was_refused_can_be_accepted() {
    let database = TestDatabase::new(Kind::Sqlite);
    block_on(async {
        let case = Case::new(&database, Policy::Auto).await;
        assert!(matches!(case.refreshed([json(list("0.00001"))]).await, Refreshed::Refused(_)));
        let refused = case.farthing.store.fetches(case.org, None, 1).await.unwrap().remove(0);
        let accepted = Wish { accept: true, ..Wish::default() };
        assert!(case.farthing.review(case.org, refused.fetch, &Wish::default()).await.is_err());
        assert!(case.farthing.review(case.org, refused.fetch, &accepted).await.unwrap().version.is_some());
        assert_eq!(case.price_now().await, "0.00001");
    });
}

#[test]
fn addresses_are_told_without_what_is_secret_in_them() {
    let shown = farthing::provider::shown("https://user:pa55@host.example/list?token=canary");
    assert_eq!(shown, "https://host.example/list?...");
    block_on(async {
        let client = Client::new(Duration::from_millis(300), Duration::from_millis(1)).unwrap();
        let said = client.get("http://user:pa55@127.0.0.1:1/list?token=canary", None).await.unwrap_err().to_string();
        assert!(!said.contains("pa55") && !said.contains("canary"), "{said}");
    });
}

#[test]
fn usage_without_a_price_is_told_of_also_when_as_much_was_told_of_before() {
    let database = TestDatabase::new(Kind::Sqlite);
    block_on(async {
        let case = Case::new(&database, Policy::Off).await;
        let send = async |id: &str| {
            let context = farthing::usage::dialect::Context { received_at: now(), source: None, strict: true };
            let json = format!(r#"{{"id":"{id}","source":"s","provider":"openrouter","model":"a/four","usage":{{"input":1}}}}"#);
            let event = farthing::usage::dialect::native::read(&json, &context).unwrap();
            let in_force = case.farthing.newest(case.org).await.unwrap();
            let prepared = [case.farthing.prepare(case.org, &in_force, event)];
            case.farthing.commit_events(&prepared, || false).await.unwrap();
        };
        send("e1").await;
        assert!(case.farthing.notice_unpriced(case.org, now()).await.unwrap());
        assert!(!case.farthing.notice_unpriced(case.org, now()).await.unwrap(), "it is told once");
        send("e2").await;
        assert!(!case.farthing.notice_unpriced(case.org, now()).await.unwrap(), "more of a known reason waits an hour");
        let later = farthing::time::Instant::from_micros(now().micros() + 3_601_000_000);
        assert!(case.farthing.notice_unpriced(case.org, later).await.unwrap());
        let told = case.farthing.store.notices(case.org, None, 1).await.unwrap().remove(0);
        assert!(told.body.contains("e2") && !told.body.contains("\"e1\""), "{}", told.body);
    });
}

#[test]
fn what_may_pass_is_tried_again_and_as_late_as_the_other_side_wishes() {
    let database = TestDatabase::new(Kind::Sqlite);
    block_on(async {
        let case = Case::new(&database, Policy::Auto).await;
        let wait = Say::Answer(429, vec![("retry-after", "1".to_owned())], String::new());
        let started = std::time::Instant::now();
        let refreshed = case.refreshed([status(502), wait, Say::Half(list("0.000003")), json(list("0.000003"))]).await;
        assert!(matches!(refreshed, Refreshed::Published(_)), "{refreshed:?}");
        assert!(started.elapsed() >= Duration::from_secs(1), "Retry-After was not honoured");
        assert_eq!(case.provider.asked().len(), 5);
    });
}

#[test]
fn two_processes_that_refresh_at_once_publish_once() {
    let database = TestDatabase::new(Kind::Postgres);
    block_on(async {
        let case = Case::new(&database, Policy::Auto).await;
        let other = Farthing::open(&case.database.options(), &CatalogFiles::Shipped).await.unwrap();
        let base = case.version().await;
        case.provider.will_say([json(list("0.0000011")), json(list("0.0000011"))]);
        let one = case.farthing.refresh(case.org, &case.client, &case.refresh);
        let two = other.refresh(case.org, &case.client, &case.refresh);
        let (one, two) = tokio::join!(one, two);
        let published = [&one, &two].iter().filter(|refreshed| matches!(refreshed, Ok(Refreshed::Published(_)))).count();
        assert!(published >= 1, "{one:?} {two:?}");
        let head = case.version().await;
        // Whoever comes second sees another base, or finds its own prices there already.
        assert!(head == base.next() || head == base.next().next(), "{head}");
        assert_eq!(case.price_now().await, "0.0000011");
    });
}

#[test]
fn a_lease_is_one_holders_until_it_ends() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(async {
            let case = Case::new(&database, Policy::Off).await;
            let store = &case.farthing.store;
            let at = |seconds: i64| farthing::time::Instant::from_micros(seconds * 1_000_000);
            assert!(store.take_lease("job", "one", at(100), at(200)).await.unwrap());
            assert!(!store.take_lease("job", "two", at(150), at(250)).await.unwrap());
            assert!(store.take_lease("job", "one", at(150), at(250)).await.unwrap(), "its holder may renew it");
            assert!(store.take_lease("job", "two", at(250), at(350)).await.unwrap(), "it has ended");
        });
    }
}

#[test]
fn the_webhook_is_signed_and_told_until_it_takes_it() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(async {
            let case = Case::new(&database, Policy::Auto).await;
            assert!(matches!(case.refreshed([status(404)]).await, Refreshed::Failed(_)));
            let receiver = Provider::start();
            let webhook = Webhook { url: format!("{}/hook?token=canary", receiver.url), secret: "s3cret".to_owned() };
            assert!(!format!("{webhook:?}").contains("s3cret"));
            receiver.will_say([status(500)]);
            let http = reqwest_client();
            assert_eq!(case.farthing.tell(&http, &webhook).await.unwrap(), (0, 1));
            // It is not due again at once.
            assert_eq!(case.farthing.tell(&http, &webhook).await.unwrap(), (0, 0));
            let failed = case.farthing.store.notices(case.org, None, 1).await.unwrap().remove(0);
            assert_eq!((failed.attempts, failed.last_error.as_deref()), (1, Some("the webhook answered 500")));

            let later = farthing::time::Instant::from_micros(now().micros() + 10_000_000);
            let due = case.farthing.store.notices_due(later, 10).await.unwrap();
            assert_eq!(due.len(), 1);
            case.farthing.store.told(&due[0], Err((String::new(), now()))).await.unwrap();
            receiver.will_say([status(204)]);
            assert_eq!(case.farthing.tell(&http, &webhook).await.unwrap(), (1, 0));
            assert!(case.farthing.store.notices_due(later, 10).await.unwrap().is_empty());

            let request = receiver.asked().pop().unwrap();
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            let signed = head.lines().find_map(|line| line.strip_prefix("farthing-signature: ")).unwrap();
            let seconds = signed.split(['=', ',']).nth(1).unwrap().parse().unwrap();
            assert_eq!(signed, signature("s3cret", seconds, body));
            let told: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!((told["type"].as_str(), told["org"].as_str()), (Some("refresh.failed"), Some("main")));
            assert!(told["data"]["why"].as_str().unwrap().contains("404"), "{told}");
        });
    }
}

fn reqwest_client() -> reqwest::Client {
    reqwest::Client::new()
}

#[test]
fn notices_that_are_written_at_once_are_all_written() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::new(kind);
        block_on(async {
            let case = Case::new(&database, Policy::Off).await;
            let store = &case.farthing.store;
            let written = (0..12).map(|n| {
                let (store, org) = (store.clone(), case.org);
                tokio::spawn(async move { store.notify(org, "usage.unpriced", &format!("{{\"n\":{n}}}"), now()).await })
            });
            for written in written.collect::<Vec<_>>() {
                written.await.unwrap().unwrap();
            }
            let notices = store.notices(case.org, None, 100).await.unwrap();
            let mut numbers: Vec<i64> = notices.iter().map(|notice| notice.notice).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
        });
    }
}

/// A list that can be read and not be stored: an image has two rates per token.
#[test]
fn a_list_that_could_not_be_read_back_is_told_like_one_that_cannot_be_read() {
    let database = TestDatabase::new(Kind::Sqlite);
    block_on(async {
        let case = Case::new(&database, Policy::Auto).await;
        let base = case.version().await;
        let twice = list("0.000001").replace(
            "\"prompt\":\"0.000001\",\"completion\":\"0.000004\"",
            "\"prompt\":\"0.000001\",\"completion\":\"0.000004\",\"image\":\"0.000001\",\"image_token\":\"0.000009\"",
        );
        let Refreshed::Failed(why) = case.refreshed([json(twice)]).await else { panic!("it was not refused") };
        assert!(why.contains("could not be read back") && why.contains("image_input_per_1m"), "{why}");
        assert_eq!(case.version().await, base);
        assert_eq!(case.notices().await, ["refresh.failed"]);
    });
}
