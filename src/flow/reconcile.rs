//! The book against the provider's books. A statement is imported once, as it was received, and recorded in the chain. A run
//! compares it with the book as of a block under stated tolerances: the same three give the same answer. What lies outside of
//! the tolerance can be trued up: posted as an adjustment toward what the statement says, once for each line, target and
//! amount that was booked, so that any order of true-ups, late facts and corrections ends at the settled amount.

pub mod money;
pub mod scheduled;

use crate::flow::adjust::Wish as Adjust;
use crate::flow::booking::{Booking, has_happened};
use crate::flow::conflicts::standing;
use crate::flow::{Farthing, FlowError, in_background, now};
use crate::id::{BlockNumber, EventNumber, Org, Sequence};
use crate::ledger::decision::{About, Adjustment, canonical, what_was_decided};
use crate::ledger::seal::State;
use crate::ledger::{Account, Entry, PAYABLE};
use crate::money::{Amount, Currency};
use crate::reconcile::compare::{Book, Booked, Class, Comparison, Tolerance, Variance, compare};
use crate::reconcile::statement::{Flags, Form, Grain, Statement, Tokens, activity, chart_csv, generation, generations_csv};
use crate::reconcile::{Asked, Stated};
use crate::store::{EntryFilter, Names, Reconciliation, StoreError, StoredEvent};
use crate::time::{Instant, Period};
use crate::usage::{Meter, Outcome, Text, Usage};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Whose books are read.
pub const PROVIDER: &str = "openrouter";

/// What came of importing.
#[derive(Clone, Debug)]
pub struct Imported {
    pub statement: i64,
    pub was_there: bool,
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
    pub tolerance: Tolerance,
}

/// What was done about a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TruedUp {
    pub posted: u64,
    pub were_there: u64,
    pub amount: Amount,
    /// Variances that no adjustment mends: what was booked twice is for a person to decide.
    pub left: u64,
}

/// Events that are read at once, and statements of an org that are listed.
const PAGE: i64 = 2_000;
const MOST: i64 = 1_000_000;
/// How much of the book around the days is looked at, to tell what is missing from what is on another day.
const AROUND: i64 = 2 * 86_400_000_000;

impl Farthing {
    pub async fn import_statement(&self, org: Org, text: &str, origin: &Origin) -> Result<Imported, FlowError> {
        let (owned, form, account) = (text.to_owned(), origin.form, origin.account.clone());
        let read = in_background(move || read(&owned, form, account.as_deref())).await?;
        let statement = read.map_err(FlowError::Refused)?;
        let days = origin.days.or_else(|| statement.days());
        let Some(days) = days else {
            return Err(FlowError::Refused("the statement has no lines, and nothing says which days it is of".to_owned()));
        };
        let stated = Stated {
            statement: blake3::Hash::from_bytes(statement.hash).to_string(),
            provider: PROVIDER.to_owned(),
            form: statement.form.name().to_owned(),
            account: origin.account.clone().unwrap_or_default(),
            from: days.from.to_string(),
            until: days.until.to_string(),
            lines: statement.lines.len() as u64,
            amount: statement.total().to_string(),
            currency: statement.currency.to_string(),
            asked: origin.asked.clone(),
            received_at: now().to_string(),
        };
        // The same bytes may be the answer for two days on which nothing was used.
        let id = format!("{}/{}/{}/{}", stated.account, stated.from, stated.until, stated.statement);
        let key = self.store.decision_key(org, what_was_decided(State::Stated), &id);
        let mut books = self.books.lock().await;
        let cache = books.entry(org).or_default();
        let mut write = self.store.begin().await?;
        let head = write.lock_heads(&[org]).await?.remove(0);
        if let Some(known) = write.find_once(org, &[key]).await?[0] {
            drop(write);
            let stated = self.stated(org, known).await?;
            return Ok(Imported { statement: known, was_there: true, stated });
        }
        let in_force = self.load_version(org, head.version).await?;
        let mut booking = Booking::new(head, in_force, cache);
        let number = booking.decide(&mut write, State::Stated, &id, canonical(&stated), key).await?;
        write.insert_statement(org, number.0, text).await?;
        let (sealed, keys) = booking.seal(&mut write, now()).await?;
        write.remember_once(&keys).await?;
        if let Err(e) = write.commit().await
            && !has_happened(&self.store, &[sealed]).await
        {
            return Err(e.into());
        }
        cache.settle();
        Ok(Imported { statement: number.0, was_there: false, stated })
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
        let rows = self.store.decisions(org, State::Stated, 0, MOST).await?;
        let read = |row: &crate::ledger::seal::EventRow| {
            let stated = Stated::read(&row.body).map_err(|why| StoreError::damaged(format!("record {}", row.record), why))?;
            Ok((row.record, stated))
        };
        rows.iter().map(read).collect()
    }

    async fn statement(&self, org: Org, number: i64) -> Result<(Stated, Statement), FlowError> {
        let stated = self.stated(org, number).await?;
        let damaged = |why: String| FlowError::from(StoreError::damaged(format!("statement {number}"), why));
        let body = self.store.statement_body(org, number).await?.ok_or_else(|| damaged("its body is missing".to_owned()))?;
        let text = String::from_utf8(body).map_err(|e| damaged(e.to_string()))?;
        if blake3::hash(text.as_bytes()).to_string() != stated.statement {
            return Err(damaged("it is not what was received".to_owned()));
        }
        let (form, account) = (Form::named(&stated.form), Some(stated.account.clone()).filter(|account| !account.is_empty()));
        let statement = in_background(move || read(&text, form, account.as_deref())).await?.map_err(damaged)?;
        Ok((stated, statement))
    }

    /// Compares, and writes down what was found.
    pub async fn reconcile(&self, org: Org, wish: &Wish) -> Result<Reconciled, FlowError> {
        let (stated, statement) = self.statement(org, wish.statement).await?;
        let period = wish.asked.period(&stated).map_err(FlowError::Refused)?;
        let tolerance = wish.asked.tolerance().map_err(FlowError::Refused)?;
        let known = self.up_to(org, wish.block).await?;
        let book = self.book_against(org, period, &known, &stated.account).await?;
        let asked = canonical(&wish.asked);
        let compared = in_background(move || {
            let compared = compare(&book, &statement, period, &tolerance);
            compared.map(|comparison| (comparison, statement))
        });
        let (comparison, statement) = compared.await?.map_err(|e| FlowError::Refused(e.to_string()))?;
        let identity = format!("{}\n{}\n{}\n{asked}", stated.statement, wish.statement, known.0);
        let run = blake3::hash(identity.as_bytes()).to_hex()[..16].to_owned();
        let summary = summary(&comparison, &tolerance).to_string();
        let kept = Reconciliation { run, statement: wish.statement, block: known.0, asked, summary, made_at: now() };
        self.store.keep_reconciliation(org, &kept).await?;
        Ok(Reconciled { kept, stated, statement, comparison, tolerance })
    }

    /// A run made again from what was written down of it.
    pub async fn reconciled(&self, org: Org, run: &str) -> Result<Reconciled, FlowError> {
        let kept = self.store.reconciliation(org, run).await?;
        let kept = kept.ok_or_else(|| FlowError::NotThere(format!("there is no reconciliation {run}")))?;
        let asked = serde_json::from_str(&kept.asked).map_err(|e| StoreError::damaged(format!("reconciliation {run}"), e))?;
        let again = self.reconcile(org, &Wish { statement: kept.statement, block: Some(kept.block), asked }).await?;
        Ok(Reconciled { kept, ..again })
    }

    /// The block a run is of, and the first sequence and record after it.
    async fn up_to(&self, org: Org, block: Option<BlockNumber>) -> Result<(BlockNumber, i64, i64), FlowError> {
        let head = self.store.head(org).await?;
        match block {
            None => Ok((head.block, head.next_sequence.0, head.next_record)),
            Some(block) if block > head.block => {
                Err(FlowError::Refused(format!("there is no block {block} yet; the last one is {}", head.block)))
            }
            Some(block) => {
                let found = self.store.blocks_after(org, BlockNumber(block.0 - 1), 1).await?;
                Ok(found.first().map_or((block, 1, 1), |found| (block, found.sequences.1, found.records.1)))
            }
        }
    }

    /// What the book owes the provider for calls around these days.
    async fn book_against(
        &self,
        org: Org,
        period: Period,
        (_, sequence, record): &(BlockNumber, i64, i64),
        account: &str,
    ) -> Result<Book, FlowError> {
        let mut gathered = Gathered { book: Book::default(), by_call: HashMap::new(), by_event: HashMap::new() };
        if !account.is_empty() {
            gathered.book.metered = Some(vec![gathered.book.names.name(account)]);
        }
        let (from, until) = (period.from.micros() - AROUND, period.until.micros() + AROUND);
        let (from, until) = (Instant::from_micros(from), Instant::from_micros(until));
        let before = Some(Sequence(*sequence));
        let mut filter = EntryFilter { from: Some(from), until: Some(until), before, ..EntryFilter::default() };
        while let Some((events, last)) = self.store.charged_events(org, &filter, PAGE).await? {
            let after = filter.after.replace(last);
            let mut entries: HashMap<EventNumber, Vec<Entry>> = HashMap::with_capacity(events.len());
            for entry in self.store.entries_of_events(org, &events).await? {
                if let Some(event) = entry.event.filter(|_| entry.sequence.0 < *sequence) {
                    entries.entry(event).or_default().push(entry);
                }
            }
            entries.values_mut().for_each(|entries| *entries = standing(entries));
            let accounts: Vec<_> =
                entries.values().flatten().flat_map(|entry| [entry.posting.debit(), entry.posting.credit()]).collect();
            let mut names = Names::default();
            names.learn(&self.store, org, &[], &[], &accounts).await?;
            for stored in self.store.standing_events_before(org, &events, *record).await? {
                let Some(standing) = entries.remove(&stored.row.event).filter(|standing| !standing.is_empty()) else { continue };
                // An event is met with each of its charges; it counts where it stands.
                let first = standing[0].sequence;
                if after.is_none_or(|after| after < first) && first <= last && &*stored.event.product.provider == PROVIDER {
                    gathered.call(&stored, &standing, &names)?;
                }
            }
        }
        // True-ups belong to the call whose amount they correct.
        for row in self.store.decisions(org, State::Adjusted, 0, MOST).await?.iter().filter(|row| row.record < *record) {
            let adjustment =
                Adjustment::read(&row.body).map_err(|why| StoreError::damaged(format!("record {}", row.record), why))?;
            let is_near = adjustment.occurred_at >= from && adjustment.occurred_at < until;
            let Some(amount) = owed_by(&adjustment).filter(|_| is_near) else { continue };
            let corrected = match adjustment.about.entry {
                Some(entry) => self.store.entries_between(org, entry.0, entry.0 + 1).await?.first().and_then(|entry| entry.event),
                None => None,
            };
            let entries = self.store.entries_of(org, EventNumber(row.record)).await?;
            let own = entries.first().map_or(Sequence(0), |booked| booked.entry.sequence);
            gathered.adjustment(&adjustment, amount, corrected, own);
        }
        Ok(gathered.book)
    }

    /// Posts what a run found outside of its tolerance. The same run twice posts nothing twice.
    pub async fn true_up(&self, org: Org, run: &Reconciled, within: Option<Amount>, author: &str) -> Result<TruedUp, FlowError> {
        let mut done = TruedUp::default();
        for variance in run.comparison.outside(&run.tolerance).filter(|variance| !variance.amount().is_zero()) {
            let is_allowed = within.is_none_or(|within| variance.amount().abs() <= within);
            if !is_allowed || matches!(variance.class, Class::DuplicateHere | Class::Timing) {
                done.left += 1;
                continue;
            }
            let adjustment = self.true_up_of(org, run, variance, author).await?;
            let adjusted = self.adjust(org, &Adjust { adjustment, with_time: true }).await?;
            done.posted += u64::from(!adjusted.was_there);
            done.were_there += u64::from(adjusted.was_there);
            done.amount += variance.amount();
        }
        Ok(done)
    }

    async fn true_up_of(&self, org: Org, run: &Reconciled, variance: &Variance, author: &str) -> Result<Adjustment, FlowError> {
        let (entries, lines) = (run.comparison.entries_of(variance), run.comparison.lines_of(variance));
        let line = lines.first().and_then(|number| run.statement.lines.iter().find(|line| line.number == *number));
        let call = line.and_then(|line| run.statement.id_of(line)).filter(|_| lines.len() == 1);
        let name = |name| Text::new(run.comparison.names.text(name));
        let entry = entries.first().copied().filter(|_| entries.len() == 1);
        // Whose cost it is where it is of one call; else nobody's in particular.
        let mut owner = None;
        if let Some(entry) = entry
            && let Some(found) = self.store.entries_between(org, entry.0, entry.0 + 1).await?.first()
        {
            let mut names = Names::default();
            names.learn(&self.store, org, &[], &[], &[found.posting.debit()]).await?;
            owner = Account::parse(names.text(found.posting.debit())?).ok().filter(Account::is_a_cost);
        }
        let head = self.store.head(org).await?;
        let parts = self.load_version(org, head.version).await?.catalog.rules().cost().len();
        let nobody = || Account::parse(&format!("cost:{}", vec!["-"; parts].join("/"))).expect("it is spelled here");
        let (cost, payable) = (owner.unwrap_or_else(nobody), payable());
        let amount = variance.amount();
        let (debit, credit) = if amount.is_negative() { (payable, cost) } else { (cost, payable) };
        let model = variance.model.and_then(name);
        let (served_by, what) = (variance.provider.and_then(name), variance.cause.in_words());
        // The line, where it should end, and where it stands: as long as these are the same it is the same true-up.
        let whose = match (call, entry) {
            (Some(call), _) => call.to_owned(),
            (None, Some(entry)) => format!("entry {}", entry.0),
            (None, None) => format!("{} {model:?} {served_by:?} {}", variance.day, variance.class.name()),
        };
        let identity = format!("{whose}\n{}\n{}", variance.observed, variance.expected);
        let id = format!("true-up/{}", &blake3::hash(identity.as_bytes()).to_hex()[..32]);
        let reason = format!("{}: {what}; reconciliation {}", variance.class.name(), run.kept.run);
        let text = |text: &str| Text::new(text).ok_or_else(|| FlowError::Refused(format!("`{text}` is no text")));
        Ok(Adjustment {
            id: text(&id)?,
            amount: amount.abs(),
            currency: Currency::USD,
            debit,
            credit,
            reason: text(&reason)?,
            author: text(author)?,
            occurred_at: match line {
                Some(line) if call.is_some() => line.at,
                _ => variance.day,
            },
            about: About { model, served_by, call: call.and_then(Text::new), entry },
        })
    }
}

/// The account of what the provider is owed.
fn payable() -> Account {
    Account::parse(&format!("{PAYABLE}{PROVIDER}")).expect("it is spelled here")
}

/// What an adjustment makes the provider be owed, if it is about that.
fn owed_by(adjustment: &Adjustment) -> Option<Amount> {
    let payable = payable();
    match (adjustment.credit == payable, adjustment.debit == payable) {
        (true, _) => Some(adjustment.amount),
        (_, true) if adjustment.credit.is_a_cost() => Some(-adjustment.amount),
        _ => None,
    }
}

/// The book on its way into a comparison.
struct Gathered {
    book: Book,
    /// The place of a call by its generation, and by its event.
    by_call: HashMap<String, usize>,
    by_event: HashMap<EventNumber, usize>,
}

impl Gathered {
    fn call(&mut self, stored: &StoredEvent, standing: &[Entry], names: &Names) -> Result<(), FlowError> {
        let event = &stored.event;
        let generation = event.provider_request_id.as_ref();
        if event.outcome.is_free() && generation.is_none() {
            return Ok(());
        }
        let (mut amount, mut upstream, mut tools) = (Amount::ZERO, Amount::ZERO, Amount::ZERO);
        let owed = format!("{PAYABLE}{PROVIDER}");
        for entry in standing {
            let (debit, credit) = (names.text(entry.posting.debit())?, names.text(entry.posting.credit())?);
            match () {
                () if credit == owed => amount += entry.posting.amount(),
                () if debit == owed => amount = amount - entry.posting.amount(),
                () if credit.starts_with(PAYABLE) => upstream += entry.posting.amount(),
                () => {}
            }
            let is_tool = |meter: Meter| matches!(meter, Meter::WebSearch | Meter::WebFetch | Meter::ToolCall) && credit == owed;
            tools += entry.items.iter().filter(|item| is_tool(item.meter)).map(|item| item.amount).sum();
        }
        let first = &standing[0];
        let sum = |of: fn(&Entry) -> Option<Amount>| {
            let amounts: Vec<Amount> = standing.iter().filter_map(of).collect();
            (!amounts.is_empty()).then(|| amounts.into_iter().sum())
        };
        let byok = event.reported.as_ref().is_some_and(|reported| reported.byok);
        let flags = Flags::NONE
            .with(Flags::CANCELLED, event.outcome == Outcome::Cancelled)
            .with(Flags::BYOK, byok)
            .with(Flags::COUNTS_UNTOLD, !matches!(event.usage, Usage::Counted(_)));
        let book = &mut self.book;
        let product = &event.product;
        self.by_event.insert(stored.row.event, book.calls.len());
        if let Some(generation) = generation {
            self.by_call.insert(generation.to_string(), book.calls.len());
        }
        book.calls.push(Booked {
            sequence: first.sequence,
            generation: generation.map(|id| book.ids.keep(id)),
            at: event.occurred_at,
            model: Some(book.names.name(&product.model)),
            served_by: product.served_by.as_ref().map(|name| book.names.name(name)),
            tier: product.service_tier.as_ref().map(|name| book.names.name(name)),
            requests: event.calls,
            tokens: event.quantities().map_or_else(Tokens::default, Tokens::of),
            amount,
            tools,
            rated: sum(|entry| entry.rated),
            reported: sum(|entry| entry.reported),
            upstream,
            flags,
        });
        Ok(())
    }

    fn adjustment(&mut self, adjustment: &Adjustment, amount: Amount, corrected: Option<EventNumber>, own: Sequence) {
        let by_call = adjustment.about.call.as_ref().and_then(|call| self.by_call.get(&**call));
        let place = corrected.and_then(|event| self.by_event.get(&event)).or(by_call).copied();
        if let Some(place) = place {
            self.book.calls[place].amount += amount;
            return;
        }
        let book = &mut self.book;
        let About { model, served_by, call, .. } = &adjustment.about;
        if let Some(call) = call {
            self.by_call.insert(call.to_string(), book.calls.len());
        }
        book.calls.push(Booked {
            sequence: own,
            generation: call.as_ref().map(|call| book.ids.keep(call)),
            at: adjustment.occurred_at,
            model: model.as_ref().map(|model| book.names.name(model)),
            served_by: served_by.as_ref().map(|name| book.names.name(name)),
            tier: None,
            requests: 0,
            tokens: Tokens::default(),
            amount,
            tools: Amount::ZERO,
            rated: None,
            reported: None,
            upstream: Amount::ZERO,
            flags: Flags::COUNTS_UNTOLD,
        });
    }
}

/// Reads a statement in the form that was named, or in the one that it has.
fn read(text: &str, form: Option<Form>, account: Option<&str>) -> Result<Statement, String> {
    let form = match form {
        Some(form) => form,
        None if text.trim_start().starts_with(['{', '[']) => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(fields)) if fields.get("data").is_some_and(Value::is_object) => Form::Generation,
            _ => Form::Activity,
        },
        None if text.lines().next().is_some_and(|header| header.contains("generation_id")) => Form::GenerationsCsv,
        None => Form::ChartCsv,
    };
    let read = match form {
        Form::GenerationsCsv => generations_csv::read(text),
        Form::ChartCsv => chart_csv::read(text),
        Form::Activity => activity::read(text, account),
        Form::Generation => generation::read(&[text]),
        Form::Analytics => crate::reconcile::statement::analytics::read(&[text]),
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
        .filter_map(|number| run.statement.lines.iter().find(|line| line.number == *number))
        .filter(|line| matches!(line.grain, Grain::Generation(_)))
        .filter_map(|line| run.statement.id_of(line))
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
