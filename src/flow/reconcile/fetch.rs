//! What the provider billed and the book does not have is asked of the provider: the record of each generation that is missing
//! here, and of each held event whose usage is. A record is an event of a source of its own, known by its generation: of
//! whatever a gateway tells of the same call, before or after, one is charged and the other is evidence, by the published
//! ranking, in which this source is the last unless it is named. So fetching may break off, be repeated and run twice at once.
//! What is not known there yet is asked for again by a later run; it is never taken for free.

use super::{Imported, Origin, PROVIDER, Reconciled, Wish};
use crate::catalog::Catalog;
use crate::catalog::rules::FETCHED;
use crate::flow::ingest::Outcome;
use crate::flow::intake::{Received as Piecewise, Taken};
use crate::flow::{Farthing, FlowError, now};
use crate::id::{EventNumber, Org, Sequence};
use crate::money::Amount;
use crate::provider::openrouter::{Openrouter, OpenrouterError, Received};
use crate::rating::HeldReason;
use crate::reconcile::Asked;
use crate::reconcile::compare::{Class, Comparison, Tolerance, Variance};
use crate::reconcile::statement::{Form, analytics};
use crate::store::Sought;
use crate::time::{Instant, Period};
use crate::usage::dialect::{Context, Dialect, Piece, Told};
use crate::usage::{OwnerDimension, Text, UsageEvent};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What is fetched without asking a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetching {
    Never,
    /// At most so many generations a run; the dearest first, and those that were asked for least.
    UpTo(usize),
}

/// What came of fetching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    pub asked: u64,
    /// Generations that are in the book now.
    pub posted: u64,
    /// Held events that are posted now.
    pub completed: u64,
    /// Somebody told of it before the answer came.
    pub known: u64,
    /// The record has no price either.
    pub held: u64,
    /// Of those posted, how many nobody bears: neither the record nor the statement names anyone.
    pub unowned: u64,
    /// Unknown there; asked for again by a later run.
    pub not_yet: u64,
    /// An event without an id may tell of the same call, so a person decides.
    pub doubtful: u64,
    /// What the provider or the book would not take, in words.
    pub refused: Vec<String>,
    /// More than one run asks for, and nobody asked for yet.
    pub left: u64,
    /// What could not be compared, so that nobody knows what it is missing; the others are asked for all the same.
    pub failed: Vec<String>,
    /// Why no more was asked.
    pub stopped: Option<String>,
}

/// What of all that is missing is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// What nothing in the book stands for, also what was asked for in vain before.
    Missing,
    /// What nobody asked for yet, also where a true-up stands for it because a night did not come to it. The rest is left to
    /// [`Farthing::fetch_again`].
    New,
}

/// What may be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    pub most: usize,
    pub what: What,
}

/// A generation to ask for.
struct Wanted {
    generation: String,
    statement: Option<i64>,
    /// The key that the statement names.
    key: Option<Text>,
    amount: Amount,
    /// The held event that tells of it.
    held: Option<UsageEvent>,
}

/// Questions that are open at once.
const AT_ONCE: usize = 4;
/// Generations that are asked for between two commits.
const PAGE: usize = 32;
/// Held events that are read at once.
const HELD_PAGE: i64 = 500;
/// Days for which the provider tells of generations.
const TOLD: i64 = 31;
const DAY: i64 = 86_400_000_000;

impl Fetching {
    pub const USUAL: usize = 1_000;

    pub fn named(text: &str) -> Result<Fetching, String> {
        match text {
            "never" => Ok(Fetching::Never),
            "always" => Ok(Fetching::UpTo(Fetching::USUAL)),
            number => number
                .parse()
                .ok()
                .filter(|most| *most > 0)
                .map(Fetching::UpTo)
                .ok_or_else(|| format!("`{number}` is neither never, always nor how many generations a run fetches at most")),
        }
    }

    /// How many a run may ask for.
    pub fn most(self) -> usize {
        match self {
            Fetching::Never => 0,
            Fetching::UpTo(most) => most,
        }
    }

    /// How many it may ask for still.
    pub fn left(self, done: &Fetched) -> usize {
        self.most().saturating_sub(done.asked as usize)
    }
}

impl Farthing {
    /// Fetches what a run found to be missing. Where the statement is of days, the list of their generations is asked for and
    /// compared first; a day whose list cannot be had or compared keeps no other from it.
    pub async fn fetch_for(
        &self,
        org: Org,
        books: &Openrouter,
        run: &Reconciled,
        allowed: Allowance,
    ) -> Result<Fetched, FlowError> {
        let days: BTreeSet<Instant> = missing(run, allowed.what).map(|variance| variance.day).collect();
        if run.statement.form.is_by_generation() {
            return self.fetch_missing(org, books, run, allowed).await;
        }
        let mut done = Fetched::default();
        for day in days {
            if !run.stated.account.is_empty() || now().micros() - day.micros() > TOLD * DAY {
                let why = "its generations are not told any more, or not by key; import the export of generations";
                done.refused.push(format!("{}: {why}", day.to_utc().date_naive()));
                continue;
            }
            let allowed = allowed.less(&done);
            if allowed.most == 0 {
                // Nothing may be asked for, so its list need not be either.
                done.left += 1;
                continue;
            }
            match self.fetch_for_day(org, books, day, allowed).await {
                Ok(of_day) => done.add(of_day),
                Err(why) => done.failed.push(format!("the generations of {}: {why}", day.to_utc().date_naive())),
            }
            if done.stopped.is_some() {
                break;
            }
        }
        Ok(done)
    }

    async fn fetch_for_day(&self, org: Org, books: &Openrouter, day: Instant, allowed: Allowance) -> Result<Fetched, FlowError> {
        let answered = match books.generations(from_day(day)).await {
            Ok(answered) => answered,
            Err(error) if error.is_of_the_question() => return Err(FlowError::Refused(error.to_string())),
            Err(error) => return Ok(Fetched::stopped_by(error.to_string())),
        };
        let imported = self.keep_list(org, day, &answered.received).await?;
        let wish = Wish { statement: imported.statement, block: None, asked: Asked::default() };
        let listed = self.reconcile(org, &wish).await?;
        self.fetch_missing(org, books, &listed, allowed).await
    }

    /// Fetches the list of a day's generations and imports it.
    pub async fn fetch_list(&self, org: Org, books: &Openrouter, day: Instant) -> Result<Imported, FlowError> {
        let answered = books.generations(from_day(day)).await.map_err(|e| FlowError::Refused(e.to_string()))?;
        self.keep_list(org, day, &answered.received).await
    }

    async fn keep_list(&self, org: Org, day: Instant, received: &[Received]) -> Result<Imported, FlowError> {
        let texts: Vec<&str> = received.iter().map(|received| received.text.as_str()).collect();
        let asked = received.first().map(|received| format!("{} {day}", received.asked));
        let said_at = received.first().map(|received| received.fetched_at);
        let (form, days) = (Some(Form::Analytics), Some(from_day(day)));
        let origin = Origin { form, account: None, asked: asked.unwrap_or_default(), days, said_at };
        self.import_statement(org, analytics::joined(&texts), &origin).await
    }

    /// Fetches the generations that a run by generation found to be missing here.
    pub async fn fetch_missing(
        &self,
        org: Org,
        books: &Openrouter,
        run: &Reconciled,
        allowed: Allowance,
    ) -> Result<Fetched, FlowError> {
        let mut wanted = all_wanted(run, allowed.what);
        self.find_what_is_held(org, &mut wanted).await?;
        if wanted.is_empty() {
            return Ok(Fetched::default());
        }
        let nameless = self.nameless(org, run, allowed.what).await?;
        self.fetch(org, books, wanted, &nameless, allowed).await
    }

    /// Fetches the usage that held events are missing.
    pub async fn fetch_for_held(&self, org: Org, books: &Openrouter, most: usize) -> Result<Fetched, FlowError> {
        let (mut wanted, mut after) = (Vec::new(), EventNumber(0));
        loop {
            let page = self.held(org, Some(HeldReason::UsageMissing), after, HELD_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.held.event;
            wanted.extend(page.into_iter().filter_map(|held| {
                let event = held.stored.event;
                let generation = event.provider_request_id.as_ref().filter(|_| &*event.product.provider == PROVIDER)?;
                let generation = generation.to_string();
                Some(Wanted { generation, statement: None, key: None, amount: Amount::ZERO, held: Some(event) })
            }));
        }
        let nameless = Nameless { calls: Vec::new(), catalog: self.newest(org).await?.catalog };
        self.fetch(org, books, wanted, &nameless, Allowance::of(most)).await
    }

    /// Compares again what earlier runs asked for in vain, and asks for what is missing still.
    pub async fn fetch_again(&self, org: Org, books: &Openrouter, most: usize) -> Result<Fetched, FlowError> {
        let mut open: BTreeMap<i64, Vec<Sought>> = BTreeMap::new();
        for sought in self.store.sought_but(org, POSTED).await?.into_iter().filter(is_in_vain) {
            if let Some(statement) = sought.statement.filter(|_| !is_given_up(&sought)) {
                open.entry(statement).or_default().push(sought);
            }
        }
        let mut open: Vec<(i64, Vec<Sought>)> = open.into_iter().collect();
        // One that is never answered must not keep the others from it.
        open.sort_by_key(|(_, sought)| sought.iter().map(|sought| sought.asked).min());
        let mut done = Fetched::default();
        for (statement, sought) in open {
            let generations = sought.into_iter().map(|sought| sought.generation).collect();
            match self.fetch_again_for(org, books, statement, generations, Allowance::of(most).less(&done)).await {
                Ok(of_statement) => done.add(of_statement),
                Err(why) => done.failed.push(format!("statement {statement}: {why}")),
            }
            if done.stopped.is_some() {
                break;
            }
        }
        Ok(done)
    }

    async fn fetch_again_for(
        &self,
        org: Org,
        books: &Openrouter,
        statement: i64,
        mut generations: BTreeSet<String>,
        allowed: Allowance,
    ) -> Result<Fetched, FlowError> {
        let run = self.reconcile(org, &Wish { statement, block: None, asked: Asked::default() }).await?;
        for wanted in all_wanted(&run, allowed.what) {
            generations.remove(&wanted.generation);
        }
        for generation in generations {
            self.store.note_sought(org, &generation, Some(statement), KNOWN, now()).await?;
        }
        self.fetch_missing(org, books, &run, allowed).await
    }

    /// Takes out what is booked by now, and adds to what waits here the event that told of it.
    async fn find_what_is_held(&self, org: Org, wanted: &mut Vec<Wanted>) -> Result<(), FlowError> {
        let keys: Vec<_> = wanted.iter().map(|wanted| self.store.call_key(org, PROVIDER, &wanted.generation)).collect();
        let holders: Vec<Option<EventNumber>> =
            self.store.once_all(org, &keys).await?.into_iter().map(|holder| holder.map(EventNumber)).collect();
        let known: Vec<EventNumber> = holders.iter().flatten().copied().collect();
        let held: BTreeSet<i64> = self.store.held_among(org, &known).await?.into_iter().map(|held| held.event.0).collect();
        let waiting: Vec<EventNumber> = known.into_iter().filter(|event| held.contains(&event.0)).collect();
        let events = self.store.standing_events(org, &waiting).await?;
        let mut events: HashMap<_, _> = events.into_iter().map(|stored| (stored.row.event, stored.event)).collect();
        let mut holders = holders.into_iter();
        wanted.retain_mut(|wanted| match holders.next().flatten() {
            None => true,
            Some(holder) => {
                wanted.held = events.remove(&holder);
                wanted.held.is_some()
            }
        });
        Ok(())
    }

    /// What names no generation and may be one that seems to be missing: calls of a run that no line was found for, and events
    /// that are held.
    async fn nameless(&self, org: Org, run: &Reconciled, what: What) -> Result<Nameless, FlowError> {
        let sequences: Vec<Sequence> = beside(run, what).nameless.iter().chain(&run.elsewhere).copied().collect();
        let entries = self.store.entries_numbered(org, &sequences).await?;
        let events: Vec<EventNumber> = entries.iter().filter_map(|entry| entry.event).collect();
        let booked = self.store.standing_events(org, &events).await?.into_iter().map(|stored| stored.event);
        let mut calls: Vec<_> = booked.map(|event| (event.product.model, event.occurred_at)).collect();
        let mut after = EventNumber(0);
        loop {
            let page = self.held(org, None, after, HELD_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.held.event;
            let held = page.into_iter().map(|held| held.stored.event);
            let nameless = held.filter(|event| event.provider_request_id.is_none() && &*event.product.provider == PROVIDER);
            calls.extend(nameless.map(|event| (event.product.model, event.occurred_at)));
        }
        Ok(Nameless { calls, catalog: self.newest(org).await?.catalog })
    }

    async fn fetch(
        &self,
        org: Org,
        books: &Openrouter,
        mut wanted: Vec<Wanted>,
        nameless: &Nameless,
        Allowance { most, what }: Allowance,
    ) -> Result<Fetched, FlowError> {
        let sought = self.store.sought_but(org, POSTED).await?;
        let sought: HashMap<&str, &Sought> = sought.iter().map(|sought| (sought.generation.as_str(), sought)).collect();
        let of = |wanted: &Wanted| sought.get(wanted.generation.as_str()).copied();
        wanted
            .retain(|wanted| !of(wanted).is_some_and(|sought| is_given_up(sought) || (what == What::New && is_in_vain(sought))));
        // What is never answered must not keep the others from being asked for.
        wanted.sort_by_key(|wanted| (of(wanted).map_or(0, |sought| sought.asked), Reverse(wanted.amount.abs())));
        let left = wanted.iter().skip(most).filter(|wanted| of(wanted).is_none()).count() as u64;
        let mut done = Fetched { left, ..Fetched::default() };
        wanted.truncate(most);
        for page in wanted.chunks(PAGE) {
            let answers = ask_all(books, page).await;
            self.take_in(org, page, answers, nameless, &mut done).await?;
            if done.stopped.is_some() {
                break;
            }
        }
        Ok(done)
    }

    /// Books what was answered, in one commit, and notes what was asked for.
    async fn take_in(
        &self,
        org: Org,
        page: &[Wanted],
        answers: Vec<(usize, Result<Option<Received>, OpenrouterError>)>,
        nameless: &Nameless,
        done: &mut Fetched,
    ) -> Result<(), FlowError> {
        let rules = self.newest(org).await?.catalog;
        let (mut events, mut notes) = (Vec::new(), Vec::new());
        for (place, answer) in &answers {
            let wanted = &page[*place];
            let read = match answer {
                Ok(Some(received)) => event_of(received, wanted, &rules),
                Ok(None) => {
                    done.not_yet += 1;
                    notes.push((wanted, NOT_YET));
                    continue;
                }
                Err(error) if error.is_of_the_question() => Err(error.to_string()),
                Err(error) => {
                    done.stopped = Some(error.to_string());
                    continue;
                }
            };
            match read {
                Ok(event) if wanted.held.is_none() && nameless.may_be(&event) => {
                    done.doubtful += 1;
                    notes.push((wanted, DOUBTFUL));
                }
                Ok(event) => events.push((wanted, event)),
                Err(why) => {
                    done.refused.push(format!("{}: {why}", wanted.generation));
                    notes.push((wanted, REFUSED));
                }
            }
        }
        let days = events.iter().map(|(_, event)| event.occurred_at.to_utc().date_naive()).collect();
        self.reopen_days(org, &days).await?;
        let unowned: Vec<bool> = events.iter().map(|(_, event)| is_unowned(event)).collect();
        let (asked_for, events): (Vec<&Wanted>, Vec<UsageEvent>) = events.into_iter().unzip();
        let taken = self.commit_fetched(org, events).await?;
        // A night may have come to the end of one of these days in between, without what was booked just now.
        self.reopen_days(org, &days).await?;
        for ((wanted, taken), unowned) in asked_for.into_iter().zip(taken).zip(unowned) {
            notes.push((wanted, done.count(wanted, taken.outcome, unowned)));
        }
        done.asked += answers.len() as u64;
        for (wanted, answer) in notes {
            self.store.note_sought(org, &wanted.generation, wanted.statement, answer, now()).await?;
        }
        Ok(())
    }

    async fn commit_fetched(&self, org: Org, events: Vec<UsageEvent>) -> Result<Vec<Taken>, FlowError> {
        let context = Context { received_at: now(), source: Some(Text::known(FETCHED)), strict: false };
        let piece = |(index, event)| Piecewise { index, line: None, piece: Piece::Json("{}"), told: Ok(Told::event(event)) };
        let pieces = events.into_iter().enumerate().map(piece).collect();
        let sorted = self.sort(org, pieces, Dialect::Openrouter, &context, None).await?;
        sorted.commit_by(self).await.map_err(crate::flow::held::refused)
    }
}

/// Asked for in vain for as long as the provider tells of generations.
fn is_given_up(sought: &Sought) -> bool {
    now().micros() - sought.first_at.micros() > TOLD * DAY
}

/// It may be answered another time.
fn is_in_vain(sought: &Sought) -> bool {
    matches!(sought.answer.as_str(), NOT_YET | REFUSED)
}

fn from_day(day: Instant) -> Period {
    Period { from: day, until: Instant::from_micros(day.micros() + DAY) }
}

/// What became of a generation, as it is noted.
const NOT_YET: &str = "not_yet";
const DOUBTFUL: &str = "doubtful";
const REFUSED: &str = "refused";
const KNOWN: &str = "known";
const POSTED: &str = "posted";
const HELD: &str = "held";

impl Allowance {
    pub fn of(most: usize) -> Allowance {
        Allowance { most, what: What::Missing }
    }

    /// What may be asked for still.
    fn less(self, done: &Fetched) -> Allowance {
        Allowance { most: self.most.saturating_sub(done.asked as usize), ..self }
    }
}

impl Fetched {
    pub(super) fn stopped_by(why: String) -> Fetched {
        Fetched { stopped: Some(why), ..Fetched::default() }
    }

    fn count(&mut self, wanted: &Wanted, outcome: Outcome, unowned: bool) -> &'static str {
        match outcome {
            Outcome::Posted { .. } => {
                *(if wanted.held.is_some() { &mut self.completed } else { &mut self.posted }) += 1;
                self.unowned += u64::from(unowned);
                POSTED
            }
            Outcome::AlreadyPresent | Outcome::Evidence { .. } | Outcome::Conflict { .. } => {
                self.known += 1;
                KNOWN
            }
            Outcome::Held { .. } => {
                self.held += 1;
                HELD
            }
            Outcome::Rejected(why) => {
                self.refused.push(format!("{}: {why}", wanted.generation));
                REFUSED
            }
            Outcome::Ignored(why) => {
                self.refused.push(format!("{}: {why}", wanted.generation));
                REFUSED
            }
        }
    }

    pub fn add(&mut self, other: Fetched) {
        let Fetched { asked, posted, completed, known, held, unowned, not_yet, doubtful, refused, left, failed, stopped } = other;
        self.asked += asked;
        self.posted += posted;
        self.completed += completed;
        self.known += known;
        self.held += held;
        self.unowned += unowned;
        self.not_yet += not_yet;
        self.doubtful += doubtful;
        self.refused.extend(refused);
        self.left += left;
        self.failed.extend(failed);
        self.stopped = self.stopped.take().or(stopped);
    }

    /// Whether the book is another one than before.
    pub fn has_booked(&self) -> bool {
        self.posted + self.completed > 0
    }
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} generations asked for, {} posted", self.asked, self.posted)?;
        let counted = [
            (self.unowned, "of them nobody's"),
            (self.completed, "held events completed"),
            (self.known, "told by somebody else meanwhile"),
            (self.held, "held"),
            (self.not_yet, "not known there yet, asked for again by a later run"),
            (self.doubtful, "left to a person: an event without an id may tell of them"),
            (self.refused.len() as u64, "refused"),
            (self.left, "left for a later run"),
        ];
        for (count, what) in counted.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        for why in self.refused.iter().chain(&self.failed) {
            write!(f, "; {why}")?;
        }
        if let Some(why) = &self.stopped {
            write!(f, "; stopped: {why}")?;
        }
        Ok(())
    }
}

/// What a run found to be missing here and is worth asking for.
pub(super) fn missing(run: &Reconciled, what: What) -> impl Iterator<Item = &Variance> {
    beside(run, what).outside(&run.tolerance).filter(|variance| variance.class == Class::MissingHere)
}

/// The book with its true-ups, or without them.
fn beside(run: &Reconciled, what: What) -> &Comparison {
    match what {
        What::Missing => &run.comparison,
        What::New => run.before.as_ref().unwrap_or(&run.comparison),
    }
}

fn all_wanted(run: &Reconciled, what: What) -> Vec<Wanted> {
    let wanted = |variance: &Variance| {
        let line = beside(run, what).lines_of(variance).first().and_then(|number| run.statement.line_numbered(*number))?;
        Some(Wanted {
            generation: run.statement.id_of(&line)?.to_owned(),
            statement: Some(run.kept.statement),
            key: line.key.and_then(|key| Text::new(run.statement.names.text(key))),
            amount: line.amount,
            held: None,
        })
    };
    missing(run, what).filter_map(wanted).collect()
}

/// Asks a few at once, until one answer says that no other would come. The answers have the places of their questions.
async fn ask_all(books: &Openrouter, page: &[Wanted]) -> Vec<(usize, Result<Option<Received>, OpenrouterError>)> {
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let ask = || ask_some(books, page, &next, &stopped);
    const { assert!(AT_ONCE == 4, "as many as are joined here") };
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    let mut answers: Vec<_> = [a, b, c, d].into_iter().flatten().collect();
    answers.sort_by_key(|(place, _)| *place);
    answers
}

async fn ask_some(
    books: &Openrouter,
    page: &[Wanted],
    next: &AtomicUsize,
    stopped: &AtomicBool,
) -> Vec<(usize, Result<Option<Received>, OpenrouterError>)> {
    let mut answers = Vec::new();
    while !stopped.load(Ordering::Relaxed) {
        let place = next.fetch_add(1, Ordering::Relaxed);
        let Some(wanted) = page.get(place) else { break };
        let answer = books.record(&wanted.generation).await;
        if matches!(&answer, Err(error) if !error.is_of_the_question()) {
            stopped.store(true, Ordering::Relaxed);
        }
        answers.push((place, answer));
    }
    answers
}

/// The record as an event. Who bears it is what the held event says, then the record, then the key that the statement names.
fn event_of(received: &Received, wanted: &Wanted, catalog: &Catalog) -> Result<UsageEvent, String> {
    let context = Context { received_at: received.fetched_at, source: Some(Text::known(FETCHED)), strict: false };
    let told = Dialect::Openrouter.read(&Piece::Json(&received.text), &context).map_err(|e| e.to_string())?;
    let Told::Event(event) = told else { return Err("the answer is no record of a generation".to_owned()) };
    let mut event = *event;
    if event.provider_request_id.as_deref() != Some(&wanted.generation) {
        return Err(format!("the answer is of {}", event.id));
    }
    if let Some(held) = &wanted.held {
        let ruled = catalog.rules().attribute(held).unwrap_or_else(|| held.owner.clone());
        for dimension in OwnerDimension::ALL {
            if let Some(name) = ruled.get(dimension) {
                event.owner.set(dimension, Some(name.clone()));
            }
        }
        event.session = held.session.clone().or(event.session);
        event.product.requested_model = held.product.requested_model.clone().or(event.product.requested_model);
        let labels: BTreeMap<Text, Text> = event.labels.into_iter().chain(held.labels.iter().cloned()).collect();
        event.labels = labels.into_iter().collect();
    }
    event.owner.key = event.owner.key.or_else(|| wanted.key.clone());
    Ok(event)
}

/// An app is no one who bears anything.
fn is_unowned(event: &UsageEvent) -> bool {
    let of = |dimension| event.owner.get(dimension).is_some();
    ![OwnerDimension::User, OwnerDimension::Team, OwnerDimension::Project, OwnerDimension::Key].into_iter().any(of)
}

/// Calls that are booked and name no generation: any of them may be one that seems to be missing.
struct Nameless {
    calls: Vec<(Text, Instant)>,
    catalog: Arc<Catalog>,
}

impl Nameless {
    fn may_be(&self, event: &UsageEvent) -> bool {
        let window = Tolerance::default().window;
        let is_near = |at: Instant| (at.micros() - event.occurred_at.micros()).abs() <= window;
        self.calls.iter().any(|(model, at)| is_near(*at) && self.is_same(model, &event.product.model))
    }

    fn is_same(&self, one: &str, other: &str) -> bool {
        let place = |model: &str| {
            let (provider, _) = self.catalog.provider(PROVIDER)?;
            self.catalog.model(provider, model).map(|(place, _)| place)
        };
        one == other || place(one).is_some_and(|one| place(other) == Some(one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_never_always_or_a_number() {
        let named = |text| Fetching::named(text).map(Fetching::most);
        assert_eq!((named("never"), named("always"), named("7")), (Ok(0), Ok(1_000), Ok(7)));
        for wrong in ["", "0", "-1", "some"] {
            assert!(named(wrong).is_err_and(|why| why.contains("how many")), "{wrong}");
        }
    }
}
