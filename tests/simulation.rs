//! Years of a book in seconds: usage that comes late, again or contradicted, prices that appear and are corrected, adjustments,
//! months that are closed and opened again; and again and again what is being done is dropped between two statements, with
//! the process or without it, and done once more. An [`Auditor`] that shares no code with the ledger predicts every closing
//! and, after every season, what each user bears and what each month and account holds. `FARTHING_SIMULATION_SEED` lives the
//! same life again, as far as the places of the drops allow; `FARTHING_SIMULATION_S` says for how many seconds. A life in which too
//! little happened, a year at least, proves nothing and is a failure.

use crate::support::database::{Kind, TestDatabase, block_on};
use crate::support::random::Random;
use farthing::catalog::source::own;
use farthing::flow::accounts::Wanted;
use farthing::flow::ingest::{Outcome, Prepared};
use farthing::flow::publish::{CatalogFiles, Wish as Publish};
use farthing::flow::{Farthing, FlowError, adjust, now, periods, rerate};
use farthing::id::Org;
use farthing::ledger::Account;
use farthing::ledger::decision::{About, Adjustment};
use farthing::money::{Amount, Currency};
use farthing::report::{Dimension, Measure, Query};
use farthing::time::{Instant, Month};
use farthing::usage::Text;
use farthing::usage::dialect::{Context, native};
use num_bigint::BigInt;
use serde_json::json;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

#[test]
fn years_of_a_book_that_is_dropped_between_statements_are_predicted_on_sqlite() {
    live(Kind::Sqlite);
}

#[test]
fn years_of_a_book_that_is_dropped_between_statements_are_predicted_on_postgres() {
    live(Kind::Postgres);
}

fn live(kind: Kind) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("FARTHING_SIMULATION_SEED").unwrap_or_else(|| now().micros() as u64);
    let seconds = Duration::from_secs(number("FARTHING_SIMULATION_S").unwrap_or(5));
    println!("FARTHING_SIMULATION_SEED={seed}");
    let database = TestDatabase::new(kind);
    block_on(async {
        let started = std::time::Instant::now();
        let mut life = Life::begin(&database, seed).await;
        // A busy machine gets further in more time, and must not get by with less.
        while started.elapsed() < seconds || (life.has_missed().is_some() && started.elapsed() < seconds + PATIENCE) {
            for _ in 0..25 {
                life.step().await;
            }
            life.audit().await;
        }
        let verified = life.farthing.verify_deep(ORG, |_, _| {}).await.unwrap();
        assert!(verified.is_ok(), "seed {seed}: {verified:?}");
        println!("{} steps, {} drops, {} events, {:?}", life.steps, life.drops, life.auditor.events.len(), life.auditor.counted);
        assert_eq!(life.has_missed(), None, "seed {seed}: {:?}", life.auditor.counted);
    });
}

/// How much longer than asked a life may take to have seen everything.
const PATIENCE: Duration = Duration::from_secs(120);

const ORG: Org = Org(1);
const MODELS: [&str; 3] = ["haiku", "sonnet", "opus"];
const USERS: [&str; 3] = ["ann", "bo", "cy"];
/// Months are counted from year zero. It begins in January 2020 and ends before anybody's clock.
const FIRST: u32 = 2020 * 12;
const LAST: u32 = 2026 * 12;

struct Life<'d> {
    database: &'d TestDatabase,
    farthing: Farthing,
    random: Random,
    auditor: Auditor,
    seed: u64,
    steps: u32,
    drops: u32,
    adjustments: u32,
}

impl<'d> Life<'d> {
    /// What this life has seen too little of, by what the auditor predicted and the book confirmed.
    fn has_missed(&self) -> Option<&'static str> {
        let Counted { replayed, held, retried, late, conflicts, adjusted, corrected, closed, reopened } = self.auditor.counted;
        let floors = [
            ("events", self.auditor.events.len() as u64, 200),
            ("drops", self.drops.into(), 20),
            ("replays", replayed, 20),
            ("events without a price", held, 10),
            ("held events that got one", retried, 5),
            ("late facts", late, 10),
            ("conflicts", conflicts, 5),
            ("adjustments", adjusted, 5),
            ("charges that were corrected", corrected, 20),
            ("closings", closed, 12),
            ("reopenings", reopened, 2),
            ("months", u64::from(self.auditor.today - FIRST), 12),
        ];
        floors.into_iter().find(|(_, seen, floor)| seen < floor).map(|(what, ..)| what)
    }

    async fn begin(database: &'d TestDatabase, seed: u64) -> Life<'d> {
        let (random, auditor) = (Random::new(seed), Auditor::new());
        let farthing = open(database).await;
        let mut life = Life { database, farthing, random, auditor, seed, steps: 0, drops: 0, adjustments: 0 };
        life.new_price("haiku", FIRST).await;
        life
    }

    async fn step(&mut self) {
        self.steps += 1;
        match self.random.below(100) {
            0..=59 => self.send().await,
            60..=66 => self.contradict().await,
            67..=75 => self.adjust().await,
            76..=82 => {
                let model = *self.random.pick(&MODELS);
                let from = FIRST + self.random.below(u64::from(self.auditor.today - FIRST + 1)) as u32;
                self.new_price(model, from).await;
            }
            83..=87 => self.rerate().await,
            // Months are closed far more often than they are opened again, so that years go by.
            88..=97 => self.close().await,
            _ => self.reopen().await,
        }
    }

    /// Does something, now and then only up to some point; then it is done again, by this process or by a fresh one. Says
    /// whether it was dropped on the way.
    async fn surely<T, E: std::fmt::Debug>(&mut self, work: impl AsyncFn(&Farthing) -> Result<T, E>) -> (Result<T, E>, bool) {
        let mut was_dropped = false;
        while self.random.below(3) == 0 {
            let most = *self.random.pick(&[4, 12, 40]);
            let polls = 1 + self.random.below(most);
            if let Some(done) = up_to(work(&self.farthing), polls).await {
                return (done, was_dropped);
            }
            was_dropped = true;
            self.drops += 1;
            if self.random.below(2) == 0 {
                self.farthing = open(self.database).await;
            }
        }
        (work(&self.farthing).await, was_dropped)
    }

    async fn send(&mut self) {
        let today = self.auditor.today;
        let mut batch = Vec::new();
        for _ in 0..1 + self.random.below(12) {
            if self.random.below(5) == 0 && !self.auditor.events.is_empty() {
                let old = self.random.below(self.auditor.events.len() as u64) as usize;
                batch.push(self.auditor.events.values().nth(old).unwrap().sent.clone());
                continue;
            }
            let back = if self.random.below(6) == 0 { self.random.below(30) } else { self.random.below(3) } as u32;
            let number = self.auditor.events.len() + batch.len();
            batch.push(Sent {
                id: format!("e{number}-{}", self.steps),
                month: today.saturating_sub(back).max(FIRST),
                model: self.random.pick::<&str>(&MODELS),
                user: self.random.pick::<&str>(&USERS),
                input: 1 + self.random.below(1_000_000),
                output: self.random.below(100_000),
            });
        }
        let (outcomes, was_dropped) = self.surely(async |farthing| commit(farthing, &batch).await).await;
        for (sent, outcome) in batch.iter().zip(outcomes.unwrap()) {
            let expected = self.auditor.receive(sent);
            let found = match &outcome {
                Outcome::Posted { .. } => Answer::Posted,
                Outcome::Held { .. } => Answer::Held,
                Outcome::AlreadyPresent => Answer::Present,
                other => panic!("seed {}: {other:?}", self.seed),
            };
            let fits = found == expected || (was_dropped && found == Answer::Present);
            assert!(fits, "step {} of seed {}: {found:?} is not {expected:?}: {}", self.steps, self.seed, sent.json());
        }
    }

    /// Another meaning under an id that is booked moves nothing.
    async fn contradict(&mut self) {
        let booked: Vec<&Sent> =
            self.auditor.events.values().filter(|event| event.cost.is_some()).map(|event| &event.sent).collect();
        if booked.is_empty() {
            return;
        }
        let mut sent = (*self.random.pick(&booked)).clone();
        sent.input += 1 + self.random.below(5);
        let (outcomes, _) = self.surely(async |farthing| commit(farthing, std::slice::from_ref(&sent)).await).await;
        let outcome = &outcomes.unwrap()[0];
        assert!(matches!(outcome, Outcome::Conflict { .. }), "step {} of seed {}: {outcome:?}", self.steps, self.seed);
        self.auditor.counted.conflicts += 1;
    }

    async fn adjust(&mut self) {
        self.adjustments += 1;
        let (user, amount, adds) = (*self.random.pick(&USERS), 1 + self.random.below(1 << 50), self.random.below(3) > 0);
        let month = self.auditor.today.saturating_sub(self.random.below(12) as u32).max(FIRST);
        let (cost, payable) = (format!("cost:search/{user}"), "payable:acme".to_owned());
        let (debit, credit) = if adds { (cost, payable) } else { (payable, cost) };
        let adjustment = Adjustment {
            id: Text::new(format!("a{}", self.adjustments)).unwrap(),
            amount: Amount::parse(&format!("0.{amount:024}")).unwrap(),
            currency: Currency::USD,
            debit: Account::parse(&debit).unwrap(),
            credit: Account::parse(&credit).unwrap(),
            reason: Text::known("agreed"),
            author: Text::known("life"),
            occurred_at: Instant::parse(&middle_of(month)).unwrap(),
            about: About::default(),
        };
        let wish = adjust::Wish { adjustment, with_time: true };
        let (adjusted, was_dropped) = self.surely(async |farthing| farthing.adjust(ORG, &wish).await).await;
        assert!(!adjusted.unwrap().was_there || was_dropped, "step {} of seed {}", self.steps, self.seed);
        self.auditor.adjust(user, month, BigInt::from(amount) * if adds { 1 } else { -1 });
    }

    async fn new_price(&mut self, model: &'static str, from: u32) {
        let price = (1 + self.random.below(1 << 60), 1 + self.random.below(1 << 60));
        self.auditor.prices.entry(model).or_default().insert(from, price);
        let yaml = self.auditor.price_file();
        let publish = async |farthing: &Farthing| {
            let wish = Publish { parts: own::read(&yaml).unwrap(), accept: true, ..Publish::default() };
            farthing.publish(ORG, &wish).await
        };
        let (published, was_dropped) = self.surely(publish).await;
        published.unwrap();
        if was_dropped {
            // The version was in force, and nobody tried what was held.
            let (retried, _) = self.surely(async |farthing| farthing.retry_held(ORG, None).await).await;
            retried.unwrap();
        }
        self.auditor.retry_held();
    }

    async fn rerate(&mut self) {
        let wish = rerate::Wish { reason: "corrected".to_owned(), ..rerate::Wish::default() };
        let (rerated, was_dropped) = self.surely(async |farthing| farthing.rerate(ORG, &wish, |_| {}).await).await;
        let (rerated, changed) = (rerated.unwrap(), self.auditor.rerate());
        let fits = rerated.changed == changed || (was_dropped && rerated.changed < changed);
        assert!(fits, "step {} of seed {}: {} and not {changed} changed", self.steps, self.seed, rerated.changed);
    }

    /// Closes the month after the last closed one, and lets time go on.
    async fn close(&mut self) {
        let number = self.auditor.first_open;
        if number > self.auditor.today || number == LAST {
            return;
        }
        let month = month(number);
        let wish = periods::Wish { month, accept_held: true, note: String::new(), author: "life".to_owned() };
        let close = async |farthing: &Farthing| match farthing.close_period(ORG, &wish, |_, _| {}).await {
            Err(FlowError::Refused(why)) if why.contains("is closed already") => Ok(None),
            closed => closed.map(Some),
        };
        let (closing, was_dropped) = self.surely(close).await;
        let closing = match closing.unwrap() {
            Some(closing) => closing,
            None => {
                assert!(was_dropped, "step {} of seed {}", self.steps, self.seed);
                let standing = self.farthing.periods(ORG).await.unwrap();
                standing.into_iter().find(|standing| standing.month == month && standing.is_closed).unwrap().closing
            }
        };
        let (entries, sum) = self.auditor.months.get(&number).cloned().unwrap_or_default();
        let amount = closing.amounts.get("USD").map_or(BigInt::ZERO, |amount| units(amount));
        assert_eq!((closing.entries, amount), (entries, sum), "{month}, step {} of seed {}", self.steps, self.seed);
        self.auditor.counted.closed += 1;
        self.auditor.first_open = number + 1;
        self.auditor.today = self.auditor.today.max(number + 1);
    }

    async fn reopen(&mut self) {
        let closed = self.auditor.first_open - FIRST;
        if closed == 0 {
            return;
        }
        let number = self.auditor.first_open - 1 - self.random.below(u64::from(closed.min(3))) as u32;
        let reopen = async |farthing: &Farthing| match farthing.reopen_period(ORG, month(number), "why", "life").await {
            Err(FlowError::Refused(why)) if why.contains("is not closed") => Ok(None),
            opened => opened.map(Some),
        };
        let (opened, was_dropped) = self.surely(reopen).await;
        let expected: Vec<Month> = (number..self.auditor.first_open).map(month).collect();
        match opened.unwrap() {
            Some(opened) => assert_eq!(opened, expected, "step {} of seed {}", self.steps, self.seed),
            None => assert!(was_dropped, "step {} of seed {}", self.steps, self.seed),
        }
        self.auditor.counted.reopened += 1;
        self.auditor.first_open = number;
    }

    /// What each user bears, what each month and each account holds, and how much waits.
    async fn audit(&self) {
        let (auditor, seed) = (&self.auditor, self.seed);
        assert_eq!(self.spend(Dimension::User).await, without_nothing(&auditor.users), "users, seed {seed}");
        let months = auditor.months.iter().map(|(number, (_, sum))| (month(*number).to_string(), sum.clone())).collect();
        assert_eq!(self.spend(Dimension::Period).await, without_nothing(&months), "months, seed {seed}");

        let mut accounts: BTreeMap<String, BigInt> = BTreeMap::new();
        for (user, sum) in &auditor.users {
            accounts.insert(format!("cost:search/{user}"), sum.clone());
            *accounts.entry("payable:acme".to_owned()).or_default() -= sum;
        }
        let (balances, _) = self.farthing.balances(ORG, &Wanted::default()).await.unwrap();
        let found =
            balances.iter().map(|((account, _), balance)| (account.clone(), BigInt::from(balance.amount().units()))).collect();
        assert_eq!(without_nothing(&found), without_nothing(&accounts), "accounts, seed {seed}");

        let held: i64 = self.farthing.store.held_counts(ORG).await.unwrap().iter().map(|(_, count)| count).sum();
        assert_eq!(held as usize, auditor.events.values().filter(|event| event.cost.is_none()).count(), "held, seed {seed}");
    }

    async fn spend(&self, by: Dimension) -> BTreeMap<String, BigInt> {
        let query = Query { by: vec![by], show: vec![Measure::Amount], ..Query::default() };
        let table = self.farthing.report(ORG, &query).await.unwrap().table;
        let place = table.columns.iter().position(|column| column.name == "amount").unwrap();
        let rows = table.rows().map(|row| (row[0].plain(), units(&row[place].plain()))).collect();
        without_nothing(&rows)
    }
}

/// Polls a future so many times and lets go of it then, wherever it stands.
async fn up_to<F: Future>(work: F, polls: u64) -> Option<F::Output> {
    let (mut work, mut left) = (Box::pin(work), polls);
    poll_fn(move |context| match left {
        0 => Poll::Ready(None),
        _ => {
            left -= 1;
            work.as_mut().poll(context).map(Some)
        }
    })
    .await
}

async fn open(database: &TestDatabase) -> Farthing {
    // The shipped catalogs would be read anew by every process that begins here.
    let nothing = std::env::temp_dir().join(format!("farthing-simulation-{}-{}.yaml", std::process::id(), now().micros()));
    std::fs::write(&nothing, "provider: nobody\nmodels:\n  - model: nothing\n    cards: [{input_per_1m: \"1\"}]\n").unwrap();
    let farthing = Farthing::open(&database.options(), &CatalogFiles::At(nothing.clone())).await.unwrap();
    std::fs::remove_file(nothing).unwrap();
    farthing
}

async fn commit(farthing: &Farthing, batch: &[Sent]) -> Result<Vec<Outcome>, farthing::flow::ingest::NotCommitted> {
    // As it stands in memory, which may be older than what is in force.
    let in_force = farthing.in_force(ORG).await?;
    let context = Context { received_at: now(), source: None, strict: true };
    let prepared: Vec<Prepared> =
        batch.iter().map(|sent| farthing.prepare(ORG, &in_force, native::read(&sent.json(), &context).unwrap())).collect();
    farthing.commit_events(&prepared, || true).await
}

fn month(number: u32) -> Month {
    format!("{:04}-{:02}", number / 12, number % 12 + 1).parse().unwrap()
}

fn middle_of(month: u32) -> String {
    format!("{:04}-{:02}-15T12:00:00Z", month / 12, month % 12 + 1)
}

/// A decimal text as a count of 10^-24.
fn units(text: &str) -> BigInt {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    format!("{whole}{part:0<24}").parse::<BigInt>().unwrap() * sign
}

fn without_nothing<K: Ord + ToString>(sums: &BTreeMap<K, BigInt>) -> BTreeMap<String, BigInt> {
    let some = sums.iter().filter(|(_, sum)| **sum != BigInt::ZERO);
    some.map(|(name, sum)| (name.to_string(), sum.clone())).collect()
}

#[derive(Clone)]
struct Sent {
    id: String,
    month: u32,
    model: &'static str,
    user: &'static str,
    input: u64,
    output: u64,
}

impl Sent {
    fn json(&self) -> String {
        json!({"id": self.id, "source": "gw", "occurred_at": middle_of(self.month), "provider": "acme", "model": self.model,
            "usage": {"input": self.input, "output": self.output}, "user": self.user, "team": "search"})
        .to_string()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Posted,
    Held,
    Present,
}

/// What a person with a pencil would say: usage times the price of its month, in its own month or the first open one.
struct Auditor {
    /// What a token in and a token out cost from a month on, in counts of 10^-24.
    prices: BTreeMap<&'static str, BTreeMap<u32, (u64, u64)>>,
    events: BTreeMap<String, Event>,
    users: BTreeMap<&'static str, BigInt>,
    /// Entries of each month, and what they come to.
    months: BTreeMap<u32, (i64, BigInt)>,
    first_open: u32,
    today: u32,
    counted: Counted,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    replayed: u64,
    held: u64,
    retried: u64,
    /// Booked in a later month than their own.
    late: u64,
    conflicts: u64,
    adjusted: u64,
    corrected: u64,
    closed: u64,
    reopened: u64,
}

struct Event {
    sent: Sent,
    /// What it is booked with; nothing while it is held.
    cost: Option<BigInt>,
}

impl Auditor {
    fn new() -> Auditor {
        let (prices, events, users, months) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Auditor { prices, events, users, months, first_open: FIRST, today: FIRST + 3, counted: Counted::default() }
    }

    fn price_file(&self) -> String {
        let mut text = "provider: acme\nabsent: unknown\nmodels:\n".to_owned();
        for (model, cards) in &self.prices {
            text += &format!("  - model: {model}\n    cards:\n");
            for (from, (input, output)) in cards {
                let (year, month) = (from / 12, from % 12 + 1);
                // Prices by chance look like slips of a unit now and then; the note says that they are none.
                text += &format!(
                    "      - {{from: {year:04}-{month:02}-01, note: \"{input} by lot\", input_per_token: \"0.{input:024}\", \
                     output_per_token: \"0.{output:024}\"}}\n"
                );
            }
        }
        text
    }

    fn cost(&self, sent: &Sent) -> Option<BigInt> {
        let (_, (input, output)) = self.prices.get(sent.model)?.range(..=sent.month).next_back()?;
        Some(BigInt::from(*input) * sent.input + BigInt::from(*output) * sent.output)
    }

    fn receive(&mut self, sent: &Sent) -> Answer {
        if self.events.contains_key(&sent.id) {
            self.counted.replayed += 1;
            return Answer::Present;
        }
        let cost = self.cost(sent);
        self.events.insert(sent.id.clone(), Event { sent: sent.clone(), cost: cost.clone() });
        match cost {
            None => {
                self.counted.held += 1;
                Answer::Held
            }
            Some(cost) => {
                self.counted.late += u64::from(sent.month < self.first_open);
                self.book(sent.user, sent.month, cost);
                Answer::Posted
            }
        }
    }

    fn retry_held(&mut self) {
        self.counted.retried += self.book_anew(|event| event.cost.is_none());
    }

    /// How many events cost something else now.
    fn rerate(&mut self) -> u64 {
        let changed = self.book_anew(|event| event.cost.is_some());
        self.counted.corrected += changed;
        changed
    }

    fn book_anew(&mut self, which: impl Fn(&Event) -> bool) -> u64 {
        let mut changed = 0;
        let some: Vec<String> = self.events.iter().filter(|(_, event)| which(event)).map(|(id, _)| id.clone()).collect();
        for id in some {
            let event = &self.events[&id];
            let (sent, before, after) = (event.sent.clone(), event.cost.clone(), self.cost(&event.sent));
            if after.is_none() || before == after {
                continue;
            }
            changed += 1;
            before.into_iter().for_each(|before| self.book(sent.user, sent.month, -before));
            after.iter().for_each(|after| self.book(sent.user, sent.month, after.clone()));
            self.events.get_mut(&id).unwrap().cost = after;
        }
        changed
    }

    fn adjust(&mut self, user: &'static str, month: u32, amount: BigInt) {
        self.counted.adjusted += 1;
        self.book(user, month, amount);
    }

    /// One entry: in its own month, or in the first open one.
    fn book(&mut self, user: &'static str, month: u32, amount: BigInt) {
        let (entries, sum) = self.months.entry(month.max(self.first_open)).or_default();
        *entries += 1;
        *sum += &amount;
        *self.users.entry(user).or_default() += amount;
    }
}
