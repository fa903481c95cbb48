//! The account's balance beside the book: two looks at `/credits` say what was used and what was bought between them, also on a
//! day that is not over and by keys that nobody meters. `/keys`, asked in the same moment, says with which key. A look is kept as it
//! came, like every statement; what differs is said in words and posted nowhere, because a sum of everything names no call.

use super::money::credits;
use super::{Imported, PROVIDER, payable};
use crate::flow::notices::Kind;
use crate::flow::{Farthing, FlowError, now};
use crate::id::{BlockNumber, Org};
use crate::money::{Amount, Currency};
use crate::provider::openrouter::{Credits, Key, Openrouter};
use crate::reconcile::purchases::{Closing, Movement};
use crate::reconcile::statement::{Unreadable, analytics};
use crate::reconcile::{CREDITS, Stated};
use crate::report::{Cell, Dimension, Measure, Query};
use crate::store::{Body, StoreError};
use crate::time::{Instant, Month, Period};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What two looks at the balance say, and what the book says of the time between them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Balance {
    pub between: Period,
    /// The statements that were kept of them.
    pub looks: [i64; 2],
    pub block: BlockNumber,
    pub usage: Sides,
    pub credits: Sides,
    pub closing: Closing,
    pub undated: Undated,
    /// By their names, where both looks tell of keys and the book calls one of them the same.
    pub keys: Vec<OfKey>,
}

/// What one key used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfKey {
    pub name: String,
    pub usage: Sides,
    /// Whether anything was ever sent with it.
    pub is_metered: bool,
}

/// What was answered in one moment.
struct Look {
    credits: Credits,
    keys: Option<Vec<Key>>,
}

/// What the book says of the time between two looks.
struct Moved {
    used: Amount,
    used_by: HashMap<String, Amount>,
    movement: Movement,
    block: BlockNumber,
}

/// Purchases of the days of the looks that are written with a date alone. They count from 00:00 on, whenever on that day they
/// were made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Undated {
    /// Before the first look, and so not among what is expected.
    pub before: Amount,
    /// Between the looks, and so among it.
    pub between: Amount,
}

/// What the book has, and what the account has in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sides {
    pub expected: Amount,
    pub observed: Amount,
}

impl Sides {
    pub fn amount(self) -> Amount {
        self.observed - self.expected
    }
}

impl Farthing {
    /// Looks at the balance and keeps what it says.
    pub async fn fetch_balance(&self, org: Org, books: &Openrouter) -> Result<Imported, FlowError> {
        let answered = books.credits().await.map_err(|e| FlowError::Refused(e.to_string()))?;
        let received = answered.received.first().ok_or_else(|| FlowError::Refused("nothing was answered".to_owned()))?;
        // A look that cannot see the keys is one all the same.
        let keys = books.keys().await.map(|answered| answered.received).unwrap_or_else(|e| {
            tracing::warn!("what each key used cannot be looked at: {e}");
            Vec::new()
        });
        let texts: Vec<&str> = [received].into_iter().chain(&keys).map(|received| received.text.as_str()).collect();
        let text = analytics::joined(&texts);
        let at = received.fetched_at.to_string();
        let stated = Stated {
            statement: blake3::hash(text.as_bytes()).to_string(),
            provider: PROVIDER.to_owned(),
            form: CREDITS.to_owned(),
            account: String::new(),
            from: at.clone(),
            until: at.clone(),
            lines: 1,
            amount: answered.read.total_usage.to_string(),
            currency: Currency::USD.to_string(),
            asked: received.asked.clone(),
            received_at: at,
        };
        self.keep_statement(org, stated, &Body::of(text.into()), Some(received.fetched_at)).await
    }

    /// All looks at the balance, the last one last.
    pub async fn looks(&self, org: Org) -> Result<Vec<(i64, Stated)>, FlowError> {
        let mut looks = self.statements(org).await?;
        looks.retain(|(_, stated)| stated.is_a_look());
        Ok(looks)
    }

    /// The last two looks beside the book; nothing before there are two.
    pub async fn compare_balance(&self, org: Org) -> Result<Option<Balance>, FlowError> {
        let looks = self.looks(org).await?;
        let [.., first, second] = &looks[..] else { return Ok(None) };
        self.compare_looks(org, first, second).await.map(Some)
    }

    /// A month from the last look before it, or else the first in it, to the last in it; nothing where there are no two.
    pub async fn balance_of_month(&self, org: Org, month: Month) -> Result<Option<Balance>, FlowError> {
        let (looks, Period { from, until }) = (self.looks(org).await?, month.period());
        let at = |(number, stated): &(i64, Stated)| when(*number, stated);
        let times = looks.iter().map(at).collect::<Result<Vec<_>, _>>()?;
        let last_before = |end: Instant| times.iter().rposition(|time| *time < end);
        let first = last_before(Instant::from_micros(from.micros() + 1)).or_else(|| times.iter().position(|time| *time >= from));
        match first.zip(last_before(until)).filter(|(first, last)| first < last) {
            Some((first, last)) => self.compare_looks(org, &looks[first], &looks[last]).await.map(Some),
            None => Ok(None),
        }
    }

    /// Looks once more, beside the last look that a person was told of; tells what differs by more than this. A run that
    /// breaks off leaves its look to the next one, so no time between two looks is passed over.
    pub async fn look_at_balance(&self, org: Org, books: &Openrouter, tolerance: Amount) -> Result<String, FlowError> {
        let newest = self.fetch_balance(org, books).await?.statement;
        let (looks, followed) = (self.looks(org).await?, self.store.followed(org).await?);
        let is_told = |number: &i64| followed.get(number).is_some_and(Option::is_some);
        let Some(second) = looks.iter().find(|(number, _)| *number == newest) else {
            return Err(FlowError::NotThere(format!("statement {newest} is no look at the balance")));
        };
        let earlier = || looks.iter().filter(|(number, _)| *number < newest);
        let first = earlier().rev().find(|(number, _)| is_told(number)).or_else(|| earlier().next());
        let said = match first {
            None => "balance: the first look, beside which the next one is laid".to_owned(),
            Some(first) => {
                let balance = self.compare_looks(org, first, second).await?;
                let variances = balance.variances(tolerance);
                if !variances.is_empty() {
                    let facts = json!({"provider": PROVIDER, "block": balance.block.0, "looks": balance.looks,
                        "variances": variances});
                    self.notice(org, Kind::Variance, &facts).await?;
                }
                balance.said(variances.len())
            }
        };
        self.store.note_followed(org, newest, now()).await?;
        Ok(said)
    }

    async fn compare_looks(
        &self,
        org: Org,
        (first, earlier): &(i64, Stated),
        (second, later): &(i64, Stated),
    ) -> Result<Balance, FlowError> {
        let between = Period { from: when(*first, earlier)?, until: when(*second, later)? };
        let (before, after) = (self.look(org, *first).await?, self.look(org, *second).await?);
        let moved = self.moved_between(org, between).await?;
        let known = self.store.keys_before(org, self.book_until(org, Some(moved.block)).await?.name).await?;
        let Moved { used, movement, block, .. } = moved;
        let credits = [before.credits, after.credits];
        Ok(Balance {
            between,
            looks: [*first, *second],
            block,
            usage: Sides { expected: used, observed: credits[1].total_usage - credits[0].total_usage },
            credits: Sides { expected: movement.credits(), observed: credits[1].total_credits - credits[0].total_credits },
            closing: Closing { before: credits[0].balance(), movement, usage: used, after: credits[1].balance() },
            undated: self.undated(org, between).await?,
            keys: of_keys(&before, &after, &moved.used_by, &known.into_iter().collect()),
        })
    }

    async fn undated(&self, org: Org, between: Period) -> Result<Undated, FlowError> {
        let (first, last) = (between.from.day(), between.until.day());
        let is_between = first < last && last < between.until;
        let before = if first < between.from { self.bought_at(org, first).await? } else { Amount::ZERO };
        let between = if is_between { self.bought_at(org, last).await? } else { Amount::ZERO };
        Ok(Undated { before, between })
    }

    async fn bought_at(&self, org: Org, at: Instant) -> Result<Amount, FlowError> {
        let moved = self.moved_between(org, Period { from: at, until: Instant::from_micros(at.micros() + 1) }).await?;
        Ok(moved.movement.credits())
    }

    async fn look(&self, org: Org, number: i64) -> Result<Look, FlowError> {
        let (stated, body) = self.body(org, number).await?;
        let damaged = |why: String| StoreError::damaged(format!("statement {number}"), why);
        let text = body.text(&stated.statement).map_err(|e| damaged(e.to_string()))?;
        Ok(Look::read(&text).map_err(|e| damaged(e.to_string()))?)
    }

    /// What the provider was owed for usage in a time, what moved the credits, and the block up to which the book was asked.
    async fn moved_between(&self, org: Org, between: Period) -> Result<Moved, FlowError> {
        let query = Query {
            by: vec![Dimension::Debit, Dimension::Credit, Dimension::Key],
            show: vec![Measure::Posted],
            from: Some(between.from),
            until: Some(between.until),
            ..Query::default()
        };
        let answer = self.report(org, &query).await?;
        let place = |name: &str| answer.table.columns.iter().position(|column| column.name == name);
        let [Some(debit), Some(credit), Some(key), Some(currency), Some(posted)] =
            ["debit", "credit", "key", "currency", "posted"].map(place)
        else {
            return Err(StoreError::damaged("the report of accounts", "it has other columns than were asked for").into());
        };
        let (owed, prepaid) = (payable().as_str().to_owned(), credits().as_str().to_owned());
        let (used, used_by, movement, block) = (Amount::ZERO, HashMap::new(), Movement::default(), answer.block);
        let mut moved = Moved { used, used_by, movement, block };
        for row in answer.table.rows().filter(|row| row[currency].plain() == Currency::USD.as_str()) {
            let Cell::Money(amount) = row[posted] else { continue };
            let (debit, credit, key) = (row[debit].plain(), row[credit].plain(), row[key].plain());
            match () {
                () if credit == owed => moved.use_by(key, amount),
                // An invoice that was paid is no usage taken back.
                () if debit == owed && credit.starts_with("cash:") => moved.movement.invoices += amount,
                () if debit == owed => moved.use_by(key, -amount),
                () if debit == prepaid => moved.movement.add(&credit, amount),
                () if credit == prepaid => moved.movement.take(&debit, amount),
                () => {}
            }
        }
        Ok(moved)
    }
}

impl Moved {
    fn use_by(&mut self, key: String, amount: Amount) {
        self.used += amount;
        *self.used_by.entry(key).or_default() += amount;
    }
}

impl Look {
    fn read(text: &str) -> Result<Look, Unreadable> {
        if !text.trim_start().starts_with('[') {
            return Ok(Look { credits: Credits::read(text)?, keys: None });
        }
        let answers: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| Unreadable::Whole(e.to_string()))?;
        let (credits, pages) = answers.split_first().ok_or_else(|| Unreadable::Whole("nothing was answered".to_owned()))?;
        let pages = pages.iter().map(|page| Key::read_all(page.get())).collect::<Result<Vec<_>, _>>()?;
        Ok(Look { credits: Credits::read(credits.get())?, keys: Some(pages.concat()) })
    }
}

/// What each key used beside what is booked with its name. Whose key it is decides nothing until a gateway calls one of them as
/// the account does; and what a key used that was deleted since, no look tells.
fn of_keys(before: &Look, after: &Look, used_by: &HashMap<String, Amount>, known: &HashSet<String>) -> Vec<OfKey> {
    let (Some(earlier), Some(later)) = (&before.keys, &after.keys) else { return Vec::new() };
    let used_before: HashMap<_, _> = earlier.iter().map(|key| (&key.hash, key.usage)).collect();
    // A page that was answered twice tells of the same keys.
    let later: HashMap<_, _> = later.iter().map(|key| (&key.hash, key)).collect();
    let mut observed: BTreeMap<&str, Amount> = BTreeMap::new();
    for key in later.values() {
        let used = key.usage - used_before.get(&key.hash).copied().unwrap_or_default();
        *observed.entry(key.called().unwrap_or_default()).or_default() += used;
    }
    if !observed.keys().any(|name| known.contains(*name)) {
        return Vec::new();
    }
    let of_key = |(name, observed): (&str, Amount)| OfKey {
        name: name.to_owned(),
        usage: Sides { expected: used_by.get(name).copied().unwrap_or_default(), observed },
        is_metered: known.contains(name),
    };
    observed.into_iter().map(of_key).collect()
}

/// When a look was made.
fn when(number: i64, stated: &Stated) -> Result<Instant, StoreError> {
    Instant::parse(&stated.from).map_err(|e| StoreError::damaged(format!("statement {number}"), e))
}

impl Balance {
    /// From the balance before to the balance after, in signed steps that add up but for what is unexplained.
    pub fn steps(&self) -> Vec<(&'static str, Amount)> {
        let Closing { before, movement, usage, after } = self.closing;
        let Movement { top_ups, fees, taxes, refunds, expiries, transfers, .. } = movement;
        let moved = [
            ("top-ups", top_ups),
            ("fees", -fees),
            ("taxes", -taxes),
            ("refunds", -refunds),
            ("expiries", -expiries),
            ("transfers", transfers),
            ("usage", -usage),
        ];
        let steps = [("balance before", before)].into_iter().chain(moved.into_iter().filter(|(_, amount)| !amount.is_zero()));
        steps.chain([("unexplained", self.closing.unexplained()), ("balance after", after)]).collect()
    }

    pub fn to_json(&self) -> Value {
        let steps: Vec<Value> =
            self.steps().into_iter().map(|(name, amount)| json!({"step": name, "amount": amount.to_string()})).collect();
        json!({
            "from": self.between.from.to_string(),
            "until": self.between.until.to_string(),
            "block": self.block.0,
            "looks": self.looks,
            "steps": steps,
            "invoices": self.closing.movement.invoices.to_string(),
            "variances": self.variances(Amount::ZERO),
        })
    }

    fn said(&self, variances: usize) -> String {
        let Balance { between, usage, credits, .. } = self;
        format!(
            "balance from {} until {}: usage {} here, {} there; credits {} here, {} there; {variances} variances",
            between.from, between.until, usage.expected, usage.observed, credits.expected, credits.observed
        )
    }

    /// What differs by more than this, as variances of the level `balance`.
    pub fn variances(&self, tolerance: Amount) -> Vec<Value> {
        let of_all = [("usage", self.usage, self.usage_cause().to_owned()), ("credits", self.credits, self.credits_cause())];
        let of_all = of_all.into_iter().map(|(class, sides, cause)| (class, None, sides, cause));
        let of_keys = self.keys.iter().map(|key| (key.class(), Some(&key.name), key.usage, key.cause().to_owned()));
        let outside = of_all.chain(of_keys).filter(|(_, _, sides, _)| sides.amount().abs() > tolerance);
        let told = |(class, key, sides, cause): (&str, Option<&String>, Sides, String)| {
            json!({
                "level": "balance",
                "class": class,
                "key": key,
                "from": self.between.from.to_string(),
                "until": self.between.until.to_string(),
                "expected": sides.expected.to_string(),
                "observed": sides.observed.to_string(),
                "amount": sides.amount().to_string(),
                "cause": cause,
            })
        };
        outside.map(told).collect()
    }

    fn usage_cause(&self) -> &'static str {
        match self.usage.amount().is_negative() {
            true => "the book has more than was taken from the credits: calls that are billed later, insured, or booked twice",
            false => "more was taken from the credits than is booked: usage that came through no gateway, or is not told yet",
        }
    }

    fn credits_cause(&self) -> String {
        let cause = match self.credits.amount().is_negative() {
            true => {
                "the credits grew by less than was imported: a refund, an expiry or a transfer is not in the file of purchases"
            }
            false => "the credits grew by more than was imported: a top-up or a transfer is not in the file of purchases",
        };
        let Undated { before, between } = self.undated;
        let days = [(self.between.from, before, "before the first look"), (self.between.until, between, "before the last look")];
        let undated = days.into_iter().filter(|(_, bought, _)| !bought.is_zero()).map(|(look, bought, where_it_lies)| {
            let day = look.to_utc().date_naive();
            format!(
                "; or {bought} of {day}, written with the date alone, were not bought {where_it_lies}: write the time beside it"
            )
        });
        [cause.to_owned()].into_iter().chain(undated).collect()
    }
}

impl OfKey {
    const fn class(&self) -> &'static str {
        if self.is_metered { "usage" } else { "unmetered" }
    }

    fn cause(&self) -> &'static str {
        match (self.is_metered, self.usage.amount().is_negative()) {
            (false, _) => "this key never sent anything here: its calls go round every gateway that does",
            (true, true) => {
                "more is booked of this key than it used: calls that are billed later, insured, booked twice, or made with another key"
            }
            (true, false) => {
                "this key used more than is booked of it: calls that came through no gateway, are not told yet, or told of another key"
            }
        }
    }
}
