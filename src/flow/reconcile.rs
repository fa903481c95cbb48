//! The book against the provider's books. A statement is imported once, as it was received, and recorded in the chain. A run
//! compares it with the book as of a block under stated tolerances: the same three give the same answer, whatever is booked
//! later. What the book has is gathered in `book`, what is posted about the difference in `true_up`.

pub mod balance;
mod book;
pub mod fetch;
pub mod figures;
pub mod money;
pub mod page;
pub mod propose;
pub mod scheduled;
mod true_up;

use crate::flow::booking::Booking;
use crate::flow::{Farthing, FlowError, in_background, now};
use crate::id::{BlockNumber, Org, Sequence};
use crate::ledger::decision::{canonical, what_was_decided};
use crate::ledger::seal::State;
use crate::ledger::{Account, PAYABLE};
use crate::money::Amount;
use crate::reconcile::compare::{CannotCompare, Class, Comparison, Said, Tally, Tolerance, Variance, compare};
use crate::reconcile::statement::{Form, Statement, activity, analytics, chart_csv, generation, generations_csv};
use crate::reconcile::{Asked, Stated};
use crate::store::{Body, Reconciliation, StoreError};
use crate::time::{Instant, Period};
pub use fetch::Fetched;
use serde_json::{Value, json};
use std::borrow::Cow;
pub use true_up::TruedUp;

/// Whose books are read.
pub const PROVIDER: &str = "openrouter";

/// What came of importing.
#[derive(Clone, Debug)]
pub struct Imported {
    pub statement: i64,
    pub was_there: bool,
    /// What took its place since.
    pub superseded_by: Option<i64>,
    pub stated: Stated,
}

/// Where a statement comes from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub form: Option<Form>,
    /// The key or account it is of; nothing where it is of all.
    pub account: Option<String>,
    /// The file or the question it answers.
    pub asked: String,
    /// The days it is about, where its lines alone do not say: a day without usage has no lines.
    pub days: Option<Period>,
    /// When the provider said it, where it was asked. A file may be an old one.
    pub said_at: Option<Instant>,
}

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Wish {
    pub statement: i64,
    /// The book up to this block; up to its head where nothing is said.
    pub block: Option<BlockNumber>,
    pub asked: Asked,
}

/// A run with all that was found.
#[derive(Debug)]
pub struct Reconciled {
    pub kept: Reconciliation,
    pub stated: Stated,
    pub statement: Statement,
    pub comparison: Comparison,
    /// The same statement beside the book as it was without true-ups, where there are any.
    pub before: Option<Comparison>,
    pub true_ups: Tally,
    pub said: Said,
    pub tolerance: Tolerance,
    /// Calls without an id that were not compared because the statement is of a key, and these may have been made with it.
    pub elsewhere: Vec<Sequence>,
}

/// Statements and adjustments of an org that are read.
const MOST: i64 = 1_000_000;

impl Farthing {
    /// A text that is handed over is let go of as soon as it is packed: it may be too large to be there twice.
    pub async fn import_statement(
        &self,
        org: Org,
        text: impl Into<Cow<'_, str>>,
        origin: &Origin,
    ) -> Result<Imported, FlowError> {
        let text = text.into();
        let (hash, body, statement) = tokio::task::block_in_place(|| {
            let form = origin.form.unwrap_or_else(|| form_of(&text));
            let (hash, lines) = (blake3::hash(text.as_bytes()).to_string(), generations_csv::lines(&text));
            let body = Body::of(text);
            let statement = read(&body, &hash, form, origin.account.as_deref(), lines)?;
            Ok((hash, body, statement))
        })
        .map_err(FlowError::Refused)?;
        let days = origin.days.or_else(|| statement.days());
        let Some(days) = days else {
            return Err(FlowError::Refused("the statement has no lines, and nothing says which days it is of".to_owned()));
        };
        let stated = Stated {
            statement: hash,
            provider: PROVIDER.to_owned(),
            form: statement.form.name().to_owned(),
            account: origin.account.clone().unwrap_or_default(),
            from: days.from.to_string(),
            until: days.until.to_string(),
            lines: statement.lines.len() as u64,
            amount: statement.total().to_string(),
            currency: statement.currency.to_string(),
            asked: origin.asked.clone(),
            received_at: origin.said_at.unwrap_or_else(now).to_string(),
        };
        drop(statement);
        self.keep_statement(org, stated, &body, origin.said_at).await
    }

    /// Keeps what was received, once; and once more where the provider says again what it had taken back.
    async fn keep_statement(
        &self,
        org: Org,
        stated: Stated,
        body: &Body,
        said_at: Option<Instant>,
    ) -> Result<Imported, FlowError> {
        // The same bytes may be the answer for two days on which nothing was used.
        let mut id = format!("{}/{}/{}/{}", stated.account, stated.from, stated.until, stated.statement);
        let mut key = self.store.decision_key(org, what_was_decided(State::Stated), &id);
        let mut books = self.books.lock().await;
        let cache = books.entry(org).or_default();
        let mut write = self.store.begin().await?;
        let head = write.lock_heads(&[org]).await?.remove(0);
        if let Some(known) = write.find_once(org, &[key]).await?[0] {
            let words = self.words_at(org, stated.place()).await?;
            // It took back only what it said in the same form: an export of a day's generations is no other answer.
            let said = words.iter().rfind(|(_, other)| other.form == stated.form);
            let (number, last) = said.ok_or_else(|| taken_out(known))?;
            let is_same = last.statement == stated.statement;
            let is_later = Instant::parse(&last.received_at).is_ok_and(|last| said_at.is_some_and(|said| said > last));
            if *number == known || is_same || !is_later {
                let same = if is_same { *number } else { known };
                let kept = words.iter().find(|(number, _)| *number == same).ok_or_else(|| taken_out(known))?;
                let superseded_by = words.last().map(|(number, _)| *number).filter(|newest| *newest > same);
                return Ok(Imported { statement: same, was_there: true, superseded_by, stated: kept.1.clone() });
            }
            id = format!("{id}/{number}");
            key = self.store.decision_key(org, what_was_decided(State::Stated), &id);
        }
        let in_force = self.load_version(org, head.version).await?;
        let mut booking = Booking::new(head, in_force, cache);
        let number = booking.decide(&mut write, State::Stated, &id, canonical(&stated), key).await?;
        write.insert_statement(org, number.0, body).await?;
        booking.commit(write, &self.store).await?;
        Ok(Imported { statement: number.0, was_there: false, superseded_by: None, stated })
    }

    /// What a statement says of itself.
    pub async fn stated(&self, org: Org, statement: i64) -> Result<Stated, FlowError> {
        let rows = self.store.records_between(org, statement, statement + 1).await?;
        let row = rows.first().filter(|row| row.state == State::Stated);
        let row = row.ok_or_else(|| FlowError::NotThere(format!("there is no statement {statement}")))?;
        Stated::read(&row.body).map_err(|why| StoreError::damaged(format!("record {statement}"), why).into())
    }

    /// All statements in the order in which they were imported; a later one of the same days and account takes the place of an
    /// earlier one, and both stay.
    pub async fn statements(&self, org: Org) -> Result<Vec<(i64, Stated)>, FlowError> {
        self.statements_after(org, 0, MOST).await
    }

    /// The statements that have one place, of which each takes that of the one before; the newest last.
    async fn words_at(&self, org: Org, place: (&str, &str, &str, bool)) -> Result<Vec<(i64, Stated)>, FlowError> {
        let mut words = self.statements(org).await?;
        words.retain(|(_, stated)| stated.place() == place);
        Ok(words)
    }

    /// A page of them.
    pub async fn statements_after(&self, org: Org, after: i64, limit: i64) -> Result<Vec<(i64, Stated)>, FlowError> {
        let rows = self.store.decisions(org, State::Stated, after, limit).await?;
        let read = |row: &crate::ledger::seal::EventRow| {
            let stated = Stated::read(&row.body).map_err(|why| StoreError::damaged(format!("record {}", row.record), why))?;
            Ok((row.record, stated))
        };
        rows.iter().map(read).collect()
    }

    async fn statement(&self, org: Org, number: i64) -> Result<(Stated, Statement), FlowError> {
        let (stated, body) = self.body(org, number).await?;
        if stated.is_a_look() {
            let why =
                format!("statement: {number} is a look at the balance, which names no usage; take one of days or generations");
            return Err(FlowError::Refused(why));
        }
        in_background(move || {
            let account = Some(stated.account.as_str()).filter(|account| !account.is_empty());
            let form = Form::named(&stated.form).ok_or_else(|| format!("its form `{}` is unknown", stated.form));
            // No line takes less than a byte, however it is packed.
            let lines = body.bytes().min(stated.lines as usize);
            let read = form.and_then(|form| read(&body, &stated.statement, form, account, lines));
            let statement = read.map_err(|why| StoreError::damaged(format!("statement {number}"), why))?;
            Ok((stated, statement))
        })
        .await?
    }

    /// What a statement says of itself, and what was received.
    async fn body(&self, org: Org, number: i64) -> Result<(Stated, Body), FlowError> {
        let stated = self.stated(org, number).await?;
        let body = self.store.statement_body(org, number).await?;
        let missing = || StoreError::damaged(format!("statement {number}"), "its body is missing");
        Ok((stated, body.ok_or_else(missing)?))
    }

    /// Compares, and writes down what was found.
    pub async fn reconcile(&self, org: Org, wish: &Wish) -> Result<Reconciled, FlowError> {
        let run = self.compare_with(org, wish).await?;
        self.store.keep_reconciliation(org, &run.kept).await?;
        Ok(run)
    }

    async fn compare_with(&self, org: Org, wish: &Wish) -> Result<Reconciled, FlowError> {
        let (stated, statement) = self.statement(org, wish.statement).await?;
        let period = wish.asked.period(&stated).map_err(FlowError::Refused)?;
        let tolerance = wish.asked.tolerance().map_err(FlowError::Refused)?;
        let until = self.book_until(org, wish.block).await?;
        let book::Against { book, before, true_ups, elsewhere } =
            self.book_against(org, &until, period, &stated, &statement).await?;
        let asked = canonical(&wish.asked);
        let compared = in_background(move || {
            let said = before.as_ref().unwrap_or(&book).said(period);
            let before = before.map(|before| compare(&before, &statement, period, &tolerance)).transpose()?;
            let comparison = compare(&book, &statement, period, &tolerance)?;
            Ok::<_, CannotCompare>((comparison, before, said, statement))
        });
        let (comparison, before, said, statement) = compared.await?.map_err(|e| FlowError::Refused(e.to_string()))?;
        let earlier = before.as_ref().map_or(comparison.book_total, |before| before.book_total);
        let true_ups = Tally { count: true_ups, amount: comparison.book_total - earlier };
        let identity = format!("{}\n{}\n{}\n{asked}", stated.statement, wish.statement, until.block);
        let run = blake3::hash(identity.as_bytes()).to_hex()[..16].to_owned();
        let summary = summary(&comparison, &tolerance).to_string();
        let kept = Reconciliation { run, statement: wish.statement, block: until.block, asked, summary, made_at: now() };
        Ok(Reconciled { kept, stated, statement, comparison, before, true_ups, said, tolerance, elsewhere })
    }

    /// A run made again from what was written down of it.
    pub async fn reconciled(&self, org: Org, run: &str) -> Result<Reconciled, FlowError> {
        let kept = self.store.reconciliation(org, run).await?;
        let kept = kept.ok_or_else(|| FlowError::NotThere(format!("there is no reconciliation {run}")))?;
        let asked = kept.asked()?;
        let again = self.compare_with(org, &Wish { statement: kept.statement, block: Some(kept.block), asked }).await?;
        Ok(Reconciled { kept, ..again })
    }
}

impl Reconciliation {
    fn asked(&self) -> Result<Asked, StoreError> {
        serde_json::from_str(&self.asked).map_err(|e| StoreError::damaged(format!("reconciliation {}", self.run), e))
    }
}

fn taken_out(statement: i64) -> FlowError {
    FlowError::Conflict(format!(
        "the same was imported as statement {statement}, which was taken out of this database with its month; compare its days where \
         their entries are"
    ))
}

/// The account of what the provider is owed.
fn payable() -> Account {
    Account::parse(&format!("{PAYABLE}{PROVIDER}")).expect("it is spelled here")
}

/// The form of a statement where nobody names it.
fn form_of(text: &str) -> Form {
    if text.trim_start().starts_with(['{', '[']) {
        return match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(fields)) if fields.get("data").is_some_and(Value::is_object) => Form::Generation,
            _ => Form::Activity,
        };
    }
    match text.lines().next().is_some_and(|header| header.contains("generation_id")) {
        true => Form::GenerationsCsv,
        false => Form::ChartCsv,
    }
}

/// Reads what was received, if it is what has this hash, with room for so many lines. A large export is never in memory as it
/// was written: that is more than all that is read of it.
fn read(body: &Body, hash: &str, form: Form, account: Option<&str>, lines: usize) -> Result<Statement, String> {
    let whole = || body.text(hash).map_err(|e| e.to_string());
    let read = match form {
        Form::GenerationsCsv => {
            let mut received = body.received().map_err(|e| e.to_string())?;
            let read = generations_csv::read_from(&mut received, lines);
            received.has_hash(hash).map_err(|e| e.to_string())?;
            read
        }
        Form::ChartCsv => chart_csv::read(&whole()?),
        Form::Activity => activity::read(&whole()?, account),
        Form::Generation => generation::read(&[&whole()?]),
        Form::Analytics => analytics::read_kept(&whole()?),
    };
    read.map_err(|e| format!("as {} it cannot be read: {e}", form.name()))
}

/// What a run came to, on one page.
pub fn summary(comparison: &Comparison, tolerance: &Tolerance) -> Value {
    let tally = |count: u64, amount: Amount| json!({"count": count, "amount": amount.to_string()});
    let classes: serde_json::Map<String, Value> = Class::ALL
        .into_iter()
        .map(|class| (class, comparison.of(class)))
        .filter(|(_, found)| found.count > 0)
        .map(|(class, found)| (class.name().to_owned(), tally(found.count, found.amount)))
        .collect();
    let outside: Vec<&Variance> = comparison.outside(tolerance).collect();
    let residual: Amount = outside.iter().map(|variance| variance.amount()).sum();
    json!({
        "from": comparison.period.from.to_string(),
        "until": comparison.period.until.to_string(),
        "statement": comparison.statement_total.to_string(),
        "book": comparison.book_total.to_string(),
        "matched": tally(comparison.matched.count, comparison.matched.amount),
        "classes": classes,
        "guesses": comparison.guesses.len(),
        "outside_tolerance": outside.len(),
        "residual": residual.to_string(),
    })
}

/// A variance with all that is known of it.
pub fn told(run: &Reconciled, variance: &Variance) -> Value {
    let comparison = &run.comparison;
    let name = |name: Option<_>| name.map(|name| comparison.names.text(name).to_owned());
    let lines = comparison.lines_of(variance);
    let generations: Vec<&str> = lines
        .iter()
        .filter_map(|number| run.statement.line_numbered(*number))
        .filter_map(|line| run.statement.id_of(&line))
        .collect();
    json!({
        "class": variance.class.name(),
        "day": variance.day.to_string(),
        "model": name(variance.model),
        "provider": name(variance.provider),
        "expected": variance.expected.to_string(),
        "observed": variance.observed.to_string(),
        "amount": variance.amount().to_string(),
        "entries": comparison.entries_of(variance).iter().map(|sequence| sequence.to_string()).collect::<Vec<_>>(),
        "lines": lines,
        "generations": generations,
        "cause": variance.cause.in_words(),
        "next_step": variance.cause.next_step(),
    })
}
