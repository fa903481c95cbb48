//! The life of a book: random events, replays, conflicts, late usage, price changes, decisions and restarts, in random
//! batches, on both databases. An [`auditor`] that shares no code with the ledger, the rating or the catalog predicts every
//! single answer, and in the end every account. The seed is printed; `FARTHING_BOOKS_SEED` tells the same life again, and
//! `FARTHING_BOOKS_STEPS` makes it longer.

mod auditor;

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::random::Random;
use auditor::{Answer, Auditor, Price, RANKED_FIRST, Sent};
use farthing::catalog::Part;
use farthing::catalog::source::own;
use farthing::flow::ingest::{Outcome, Prepared};
use farthing::flow::publish::{CatalogFiles, Note, Wish};
use farthing::flow::{Farthing, now};
use farthing::id::{Org, Sequence};
use farthing::report::{Dimension, Query};
use farthing::store::{EntryFilter, Names};
use farthing::usage::dialect::{Context, native};
use num_bigint::BigInt;
use std::collections::BTreeMap;

#[test]
fn every_answer_of_a_books_life_is_predicted_on_sqlite() {
    live(Kind::Sqlite);
}

#[test]
fn every_answer_of_a_books_life_is_predicted_on_postgres() {
    live(Kind::Postgres);
}

fn live(kind: Kind) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("FARTHING_BOOKS_SEED").unwrap_or_else(|| now().micros() as u64);
    let steps = number("FARTHING_BOOKS_STEPS").unwrap_or(250);
    println!("FARTHING_BOOKS_SEED={seed}");
    let database = TestDatabase::new(kind);
    block_on(async {
        let mut life = Life::begin(&database, seed).await;
        for step in 0..steps {
            life.step(step).await;
        }
        life.audit().await;
    });
}

const MODELS: [&str; 6] = ["haiku", "sonnet", "opus", "late", "later", "never"];
const USERS: [&str; 4] = ["ann", "bo", "cy", "d/e:f"];
const TEAMS: [&str; 3] = ["search", "labs", "-"];

struct Life<'d> {
    database: &'d TestDatabase,
    farthing: Farthing,
    org: Org,
    random: Random,
    auditor: Auditor,
    /// Everything that was ever sent, to send it again.
    sent: Vec<Sent>,
    next_id: u32,
    next_call: u32,
    seed: u64,
}

impl<'d> Life<'d> {
    async fn begin(database: &'d TestDatabase, seed: u64) -> Life<'d> {
        let mut life = Life {
            database,
            farthing: open(database).await,
            org: Org(1),
            random: Random::new(seed),
            auditor: Auditor::default(),
            sent: Vec::new(),
            next_id: 0,
            next_call: 0,
            seed,
        };
        for model in ["haiku", "sonnet", "opus"] {
            for provider in ["acme", "router"] {
                life.new_price(provider, model, None);
            }
        }
        life.publish().await;
        let ranking = own::read(&format!("ranking: [{RANKED_FIRST}]\n")).unwrap();
        life.farthing.publish(life.org, &Wish { parts: ranking, ..Wish::default() }).await.unwrap();
        life
    }

    async fn step(&mut self, step: u64) {
        match self.random.below(100) {
            0..=74 => self.send(step).await,
            75..=79 => {
                let (provider, model) = (*self.random.pick(&["acme", "router"]), *self.random.pick(&MODELS[..5]));
                // A card without a date for a model that has none, a dated one for a model that has.
                let day = self.auditor.knows(provider, model).then(|| 1 + self.random.below(28));
                if self.new_price(provider, model, day) {
                    self.publish().await;
                }
            }
            80..=85 => {
                let retried = self.farthing.retry_held(self.org, None).await.unwrap();
                let (tried, posted) = self.auditor.retry_held();
                assert_eq!((retried.tried, retried.posted), (tried, posted), "step {step} of seed {}", self.seed);
            }
            86..=93 => self.decide(step).await,
            _ => {
                self.farthing.store.close().await;
                self.farthing = open(self.database).await;
            }
        }
    }

    /// A price that nobody knows, unless one from the same day is there.
    fn new_price(&mut self, provider: &str, model: &str, day: Option<u64>) -> bool {
        let places = 6 + self.random.below(17) as usize;
        let mut rate = || (self.random.below(1_000_000) + 1, places);
        let mut price = Price::default();
        price.rates.insert("input", rate());
        price.rates.insert("output", rate());
        if self.random.below(2) == 0 {
            price.rates.insert("cache_read", (self.random.below(100_000) + 1, places));
        }
        self.auditor.add_price(provider, model, day, price)
    }

    async fn publish(&mut self) {
        let parts: Vec<Part> = self.auditor.catalog_files().iter().flat_map(|yaml| own::read(yaml).unwrap()).collect();
        let base = self.farthing.store.head(self.org).await.unwrap().version;
        let note = Note { author: "life".to_owned(), note: String::new() };
        let wish = Wish { base: Some(base), parts, accept: true, note, ..Wish::default() };
        let retried = self.farthing.publish(self.org, &wish).await.unwrap().retried;
        self.auditor.publish();
        assert_eq!((retried.tried, retried.posted), self.auditor.retry_held(), "publishing, seed {}", self.seed);
    }

    async fn send(&mut self, step: u64) {
        let size = *self.random.pick(&[1, 1, 2, 5, 20, 60]);
        let batch: Vec<Sent> = (0..size).map(|_| self.draw()).collect();
        let in_force = self.farthing.in_force(self.org).await.unwrap();
        let context = Context { received_at: now(), source: None, strict: true };
        let prepared: Vec<Prepared> = batch
            .iter()
            .map(|sent| self.farthing.prepare(self.org, &in_force, native::read(&sent.json(), &context).unwrap()))
            .collect();
        let outcomes = self.farthing.commit_events(&prepared, || false).await.unwrap();
        for (place, (sent, outcome)) in batch.iter().zip(&outcomes).enumerate() {
            let expected = self.auditor.receive(sent);
            let found = answer(outcome);
            assert_eq!(found, expected, "step {step}, event {place} of {size}, seed {}: {}", self.seed, sent.json());
        }
        self.sent.extend(batch);
    }

    /// A new event, an earlier one again, or an earlier one changed.
    fn draw(&mut self) -> Sent {
        match self.random.below(10) {
            0..=1 if !self.sent.is_empty() => self.random.pick(&self.sent).clone(),
            2 if !self.sent.is_empty() => {
                let mut changed = self.random.pick(&self.sent).clone();
                match self.random.below(3) {
                    0 => changed.user = Some((*self.random.pick(&USERS)).to_owned()),
                    1 => {
                        changed.usage =
                            Some(BTreeMap::from([("input", self.random.below(5_000)), ("output", self.random.below(500))]))
                    }
                    _ => changed.team = Some((*self.random.pick(&TEAMS)).to_owned()),
                }
                changed
            }
            _ => self.draw_new(),
        }
    }

    fn draw_new(&mut self) -> Sent {
        self.next_id += 1;
        let random = &mut self.random;
        let provider = *random.pick(&["acme", "acme", "router"]);
        let outcome = *random.pick(&["succeeded", "succeeded", "succeeded", "failed", "cache_hit"]);
        let mut usage = BTreeMap::from([("input", random.below(100_000)), ("output", random.below(5_000))]);
        if random.below(3) == 0 {
            usage.insert("cache_read", 1 + random.below(50_000));
        }
        let reported = (provider == "router" && random.below(2) == 0).then(|| random.below(1_000_000_000));
        let call = match random.below(6) {
            0 => {
                self.next_call += 1;
                Some(format!("call-{}", self.next_call))
            }
            1 if self.next_call > 0 => Some(format!("call-{}", 1 + random.below(u64::from(self.next_call)))),
            _ => None,
        };
        Sent {
            id: format!("e{}", self.next_id),
            source: (*random.pick(&["gateway", "broadcast"])).to_owned(),
            provider: provider.to_owned(),
            model: (*random.pick(&MODELS)).to_owned(),
            // The middle of a day, so that a price from a day is before or after it beyond doubt.
            day: 1 + random.below(28),
            usage: (outcome != "failed" || random.below(2) == 0).then_some(usage),
            outcome: outcome.to_owned(),
            reported,
            call,
            user: (random.below(4) > 0).then(|| (*random.pick(&USERS)).to_owned()),
            team: (random.below(4) > 0).then(|| (*random.pick(&TEAMS)).to_owned()),
        }
    }

    async fn decide(&mut self, step: u64) {
        let open = self.farthing.conflicts(self.org, true, 0, 1000).await.unwrap();
        assert_eq!(open.len(), self.auditor.open_conflicts(), "step {step} of seed {}", self.seed);
        if open.is_empty() {
            return;
        }
        let conflict = self.random.pick(&open);
        let (number, event) = (conflict.conflict.conflict, &conflict.contradicting.event);
        let contradicting = self.sent.iter().find(|sent| {
            let context = Context { received_at: now(), source: None, strict: true };
            native::read(&sent.json(), &context).unwrap().content_hash() == event.content_hash()
                && *sent.id == *event.id
                && *sent.source == *event.source
        });
        let contradicting = contradicting.unwrap().clone();
        if self.random.below(3) == 0 {
            self.farthing.dismiss_conflict(self.org, number, "life").await.unwrap();
            self.auditor.dismiss(&contradicting);
        } else {
            let accepted = self.farthing.accept_conflict(self.org, number, "life").await.is_ok();
            assert_eq!(accepted, self.auditor.accept(&contradicting), "step {step} of seed {}", self.seed);
        }
    }

    /// Every account, every report and every hash, against what the auditor says.
    async fn audit(&self) {
        let seed = self.seed;
        let mut booked = Vec::new();
        loop {
            let after = booked.last().map_or(Sequence(0), |entry: &farthing::store::BookedEntry| entry.entry.sequence);
            let page = self
                .farthing
                .store
                .entries(self.org, &EntryFilter { after: Some(after), limit: 500, ..EntryFilter::default() })
                .await
                .unwrap();
            if page.is_empty() {
                break;
            }
            booked.extend(page);
        }
        assert!(booked.iter().zip(1..).all(|(entry, number)| entry.entry.sequence.0 == number), "gapless, seed {seed}");

        let mut names = Names::default();
        let accounts: Vec<_> =
            booked.iter().flat_map(|booked| [booked.entry.posting.debit(), booked.entry.posting.credit()]).collect();
        names.learn(&self.farthing.store, self.org, &[], &[], &accounts).await.unwrap();
        let mut balances: BTreeMap<String, BigInt> = BTreeMap::new();
        for entry in booked.iter().map(|booked| &booked.entry) {
            let units = BigInt::from(entry.posting.amount().units());
            *balances.entry(names.text(entry.posting.debit()).unwrap().to_owned()).or_default() += &units;
            *balances.entry(names.text(entry.posting.credit()).unwrap().to_owned()).or_default() -= &units;
            let items: BigInt = entry.items.iter().map(|item| BigInt::from(item.amount.units())).sum();
            assert_eq!(items, units, "the items of entry {} add up, seed {seed}", entry.sequence);
        }
        assert_eq!(balances.values().sum::<BigInt>(), BigInt::ZERO, "the trial balance, seed {seed}");
        balances.retain(|_, balance| *balance != BigInt::ZERO);
        assert_eq!(balances, self.auditor.balances(), "seed {seed}");

        let held: i64 = self.farthing.store.held_counts(self.org).await.unwrap().iter().map(|(_, count)| count).sum();
        assert_eq!(held as usize, self.auditor.held(), "seed {seed}");

        let query = Query { by: vec![Dimension::User, Dimension::Model], ..Query::default() };
        let report = self.farthing.report(self.org, &query).await.unwrap();
        let total: BigInt = report.table.totals.iter().map(|total| BigInt::from(total.amount.units())).sum();
        assert_eq!(total, self.auditor.total(), "seed {seed}");
        let calls: i64 = report.table.totals.iter().map(|total| total.calls).sum();
        assert_eq!(calls as usize, self.auditor.charged_events(), "seed {seed}");

        let verified = self.farthing.verify_deep(self.org, |_, _| {}).await.unwrap();
        assert!(verified.is_ok(), "seed {seed}: {verified:?}");
    }
}

async fn open(database: &TestDatabase) -> Farthing {
    let nothing = std::env::temp_dir().join(format!("farthing-books-{}-{}.yaml", std::process::id(), now().micros()));
    std::fs::write(&nothing, "provider: nobody\nmodels:\n  - model: nothing\n    cards: [{input_per_1m: \"1\"}]\n").unwrap();
    let farthing = Farthing::open(&database.options(), &CatalogFiles::At(nothing.clone())).await.unwrap();
    std::fs::remove_file(nothing).unwrap();
    farthing
}

fn answer(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::Posted { amount, .. } => Answer::Posted(BigInt::from(amount.units())),
        Outcome::AlreadyPresent => Answer::AlreadyPresent,
        Outcome::Evidence { .. } => Answer::Evidence,
        Outcome::Held { .. } => Answer::Held,
        Outcome::Conflict { .. } => Answer::Conflict,
        Outcome::Rejected(rejected) => panic!("{rejected}"),
        Outcome::Ignored(why) => panic!("ignored: {why}"),
    }
}
