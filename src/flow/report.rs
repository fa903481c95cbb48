//! Reports over the book: a range of its entries, folded under a query.

use crate::catalog::resolution::Layer;
use crate::flow::{Farthing, FlowError};
use crate::id::{BlockNumber, EventNumber, NameId, Org, OwnerId, ProductId, Version};
use crate::ledger::items::Item;
use crate::ledger::{EntryKind, adds};
use crate::money::Amount;
use crate::rating::HeldReason;
use crate::report::answer;
use crate::report::fold::{Adding, Fold, Groups, Keep, Side, Stretch};
use crate::report::named::{Named, shipped};
use crate::report::sheet::Sheet;
use crate::report::{Addend, AsOf, Clock, Dimension, Filter, Measure, Query, Table, range};
use crate::store::{EntryFilter, Line, Names, Span, StoreError, Wanted};
use crate::time::{Instant, Month};
use crate::usage::{Meter, Outcome};
use crate::yaml::Mistake;
use chrono_tz::Tz;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// An answer, and what stands beside it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub table: Table,
    /// The book up to this block was asked.
    pub block: BlockNumber,
    /// The first and the last instant of which the book tells, whatever was asked.
    pub occurred: Option<(Instant, Instant)>,
    /// Usage that has no amount yet, by reason.
    pub held: Vec<(HeldReason, i64)>,
    pub conflicts: i64,
    pub rejected: i64,
}

/// Why a directory of reports cannot be used: a file, and all that is wrong in it.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {why}")]
pub struct BadReport {
    pub file: String,
    pub why: String,
}

/// The shipped reports and those of a directory, by name; an operator's own goes before a shipped one of its name.
pub fn named_reports(directory: Option<&Path>) -> Result<Vec<Named>, BadReport> {
    let mut all: BTreeMap<String, Named> = shipped().into_iter().map(|named| (named.name.clone(), named)).collect();
    let Some(directory) = directory else { return Ok(all.into_values().collect()) };
    let bad = |file: &Path, why: String| BadReport { file: file.display().to_string(), why };
    for file in std::fs::read_dir(directory).map_err(|e| bad(directory, e.to_string()))? {
        let path = file.map_err(|e| bad(directory, e.to_string()))?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).map_err(|e| bad(&path, e.to_string()))?;
        let named = Named::parse(&name, &text)
            .map_err(|mistakes| bad(&path, mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; ")))?;
        all.insert(name, named);
    }
    Ok(all.into_values().collect())
}

/// Entries that are read at once, and how often that is ahead of where the fold is.
const PAGE: i64 = 10_000;
const PAGES_AHEAD: i64 = 3;

impl Farthing {
    pub async fn report(&self, org: Org, query: &Query) -> Result<Answer, FlowError> {
        query.check().map_err(|wrong| FlowError::Refused(wrong.why))?;
        let known = self.known_at(org, query.as_of).await?;
        let mut asking = Asking::new(self, org, query, &known).await?;
        asking.read(Side::Asked, query.from, query.until).await?;
        if let (true, Some(from), Some(until)) = (query.compare, query.from, query.until) {
            let (from, until) = range::before((from, until), query.zone);
            asking.read(Side::Before, Some(from), Some(until)).await?;
        }
        let groups = asking.finish().await?;
        let query = query.clone();
        let table = tokio::task::spawn_blocking(move || answer::table(&query, groups)).await;
        Ok(Answer {
            table: table.map_err(broke_off)??,
            block: known.block,
            occurred: self.store.occurred(org).await?,
            held: self.store.held_counts(org).await?,
            conflicts: self.store.open_conflicts(org).await?,
            rejected: self.store.rejected_count(org).await?,
        })
    }

    /// What those that the filters let through used in a month.
    pub async fn sheet(&self, org: Org, month: &str, zone: Tz, filters: Vec<Filter>) -> Result<Sheet, FlowError> {
        let Some((from, until)) = range::of_month(month, zone) else {
            return Err(FlowError::Refused(format!("`{month}` is no month; write it as 2026-10")));
        };
        // Both tables tell of the same book, whatever is booked in between.
        let block = self.store.head(org).await?.block;
        let whose: Vec<String> =
            filters.iter().map(|filter| format!("{} {}", filter.dimension, filter.values.join(" and "))).collect();
        let query = |by: &[Dimension], show: &[Measure]| Query {
            by: by.to_vec(),
            show: show.to_vec(),
            from: Some(from),
            until: Some(until),
            zone,
            filters: filters.clone(),
            as_of: Some(AsOf::Block(block)),
            ..Query::default()
        };
        let lines = query(&[Dimension::Provider, Dimension::Model], &[Measure::Calls, Measure::Tokens, Measure::Amount]);
        let kinds = query(&[Dimension::Kind], &[Measure::Entries, Measure::Amount]);
        Ok(Sheet {
            whose: whose.join(", "),
            month: month.to_owned(),
            zone: zone.to_string(),
            lines: self.report(org, &lines).await?.table,
            kinds: self.report(org, &kinds).await?.table,
            block: block.0,
        })
    }

    /// Up to where the book is asked: to its end, or to where it was then.
    async fn known_at(&self, org: Org, as_of: Option<AsOf>) -> Result<Known, FlowError> {
        let head = self.store.head(org).await?;
        let block = match as_of {
            None => return Ok(Known { block: head.block, sequence: head.next_sequence.0, record: head.next_record }),
            Some(AsOf::Block(block)) if block > head.block => {
                return Err(FlowError::Refused(format!("there is no block {block} yet; the last one is {}", head.block)));
            }
            Some(AsOf::Block(block)) => block,
            Some(AsOf::Instant(at)) => self.store.block_at(org, at).await?.unwrap_or(BlockNumber(0)),
        };
        let found = self.store.blocks_after(org, BlockNumber(block.0 - 1), 1).await?;
        let found = found.first().filter(|found| found.header.block == block);
        let (sequence, record) = found.map_or((0, 0), |found| (found.sequences.1, found.records.1));
        Ok(Known { block, sequence, record })
    }
}

/// Up to where the book is asked.
struct Known {
    block: BlockNumber,
    /// The first sequence and the first record after it.
    sequence: i64,
    record: i64,
}

/// One question on its way through the book.
struct Asking<'f> {
    farthing: &'f Farthing,
    org: Org,
    query: Arc<Query>,
    known: &'f Known,
    wanted: Wanted,
    margins: HashSet<NameId>,
    names: Names,
    facts: Facts,
    /// Elsewhere while it works.
    fold: Option<Fold>,
}

impl<'f> Asking<'f> {
    async fn new(farthing: &'f Farthing, org: Org, query: &Query, known: &'f Known) -> Result<Asking<'f>, FlowError> {
        let margins = farthing.store.margins(org).await?;
        let mut facts = Facts::default();
        let mut keeps = Vec::new();
        for filter in &query.filters {
            keeps.push(keep(farthing, org, filter, &mut facts).await?);
        }
        let query = Arc::new(query.clone());
        let fold = Some(Fold::new(query.clone(), keeps));
        Ok(Asking {
            farthing,
            org,
            wanted: wanted(&query, &margins),
            known,
            margins,
            names: Names::default(),
            facts,
            fold,
            query,
        })
    }

    /// Folds what lies in a range.
    async fn read(&mut self, side: Side, from: Option<Instant>, until: Option<Instant>) -> Result<(), FlowError> {
        let store = &self.farthing.store;
        let (first, last) = match self.query.clock {
            Clock::Recorded => store.sequences_recorded(self.org, from, until).await?,
            Clock::Occurred => store.sequences_of(self.org, &EntryFilter { from, until, ..EntryFilter::default() }).await?,
        };
        let (mut place, last) = (first.max(1), last.min(self.known.sequence));
        let range = (from.map_or(i64::MIN, Instant::micros), until.map_or(i64::MAX, Instant::micros));
        // The database reads on while a page is folded.
        let mut ahead: VecDeque<_> = (0..PAGES_AHEAD).map(|number| self.page(place + number * PAGE, last)).collect();
        while place < last {
            let Some(page) = ahead.pop_front() else { break };
            let lines = page.await.map_err(broke_off)??;
            ahead.push_back(self.page(place + PAGES_AHEAD * PAGE, last));
            let stretch = self.stretch(&lines, place, last.min(place + PAGE)).await?;
            self.fold(stretch, side, range).await?;
            place += PAGE;
        }
        Ok(())
    }

    /// A page of entries, read while the one before is folded.
    fn page(&self, from: i64, until: i64) -> JoinHandle<Result<Vec<Line>, StoreError>> {
        let (store, org, wanted, until) = (self.farthing.store.clone(), self.org, self.wanted, until.min(from + PAGE));
        tokio::spawn(
            async move { if from < until { store.lines_between(org, from, until, wanted).await } else { Ok(Vec::new()) } },
        )
    }

    /// Folding keeps a processor busy for a while, so it is done where nobody waits for one.
    async fn fold(&mut self, stretch: Stretch, side: Side, (from, until): (i64, i64)) -> Result<(), FlowError> {
        let Some(mut fold) = self.fold.take() else { return Err(FlowError::Refused("a fold broke off".to_owned())) };
        let folded = move || fold.add(&stretch, side, from, until).map(|()| fold);
        self.fold = Some(tokio::task::spawn_blocking(folded).await.map_err(broke_off)??);
        Ok(())
    }

    /// The columns of entries that lie one after the other.
    async fn stretch(&mut self, lines: &[Line], from: i64, until: i64) -> Result<Stretch, FlowError> {
        let store = &self.farthing.store;
        let needs_blocks = self.query.clock == Clock::Recorded || self.query.asks_for(&Dimension::CatalogVersion);
        let spans = if needs_blocks { store.spans(self.org, from, until).await? } else { Vec::new() };
        let owners: Vec<OwnerId> = lines.iter().filter(|_| self.wanted.owner).map(|line| line.owner).collect();
        let products: Vec<ProductId> = lines.iter().filter(|_| self.wanted.product).map(|line| line.product).collect();
        self.names.learn(store, self.org, &owners, &products, &[]).await?;
        if self.query.needs_events() {
            self.facts.learn(self.farthing, self.org, &self.query, lines, self.known.record).await?;
        }
        let mut booked = Vec::with_capacity(lines.len());
        let mut spans = spans.into_iter().peekable();
        for line in lines {
            while spans.next_if(|span| span.until <= line.sequence).is_some() {}
            let (names, facts, margins) = (&self.names, &self.facts, &self.margins);
            let entry = Booked { margins, line, item: None, span: spans.peek().copied(), names, facts, clock: self.query.clock };
            match self.query.is_of_meters() {
                true => booked.extend(line.items.iter().map(|item| Booked { item: Some(item), ..entry })),
                false => booked.push(entry),
            }
        }
        let numbers = |dimension: &Dimension| match dimension.is_of_the_clock() {
            true => Ok(Vec::new()),
            false => booked.iter().map(|booked| as_number(booked.number(dimension))).collect::<Result<_, FlowError>>(),
        };
        let counts_users = self.query.counts_users();
        let users = booked.iter().filter(|_| counts_users).map(|booked| as_number(booked.number(&Dimension::User)));
        Ok(Stretch {
            at: booked.iter().map(|booked| booked.at().micros()).collect(),
            currencies: booked.iter().map(|booked| booked.line.currency).collect(),
            numbers: self.query.folded().into_iter().map(numbers).collect::<Result<_, _>>()?,
            addends: self.query.addends().into_iter().map(|addend| adding(addend, &booked)).collect(),
            users: users.collect::<Result<_, _>>()?,
            calls: booked.iter().filter(|_| counts_users).map(|booked| booked.count(Addend::Calls)).collect(),
        })
    }

    /// Says what the numbers of the fold stand for.
    async fn finish(mut self) -> Result<Groups, FlowError> {
        let Some(fold) = self.fold.take() else { return Err(FlowError::Refused("a fold broke off".to_owned())) };
        let names = fold.numbers().into_iter().filter(|(dimension, _)| is_of_names(dimension));
        let names: Vec<NameId> = names.flat_map(|(_, numbers)| numbers).map(|number| NameId(i64::from(number))).collect();
        self.names.learn(&self.farthing.store, self.org, &[], &[], &names).await?;
        let (names, facts) = (self.names, self.facts);
        let said =
            move || fold.finish(|dimension, number| text(dimension, i64::from(number), &names, &facts).map_err(FlowError::from));
        tokio::task::spawn_blocking(said).await.map_err(broke_off)?
    }
}

fn broke_off(e: tokio::task::JoinError) -> FlowError {
    FlowError::Refused(format!("reading the book broke off: {e}"))
}

/// Values are told apart by numbers that are given one after the other, so four thousand million of them never come.
fn as_number(number: i64) -> Result<u32, FlowError> {
    u32::try_from(number).map_err(|_| StoreError::damaged(format!("number {number}"), "it is beyond what a report counts").into())
}

/// What a filter lets through, in numbers.
async fn keep(farthing: &Farthing, org: Org, filter: &Filter, facts: &mut Facts) -> Result<Keep, FlowError> {
    let (dimension, values) = (&filter.dimension, &filter.values);
    if dimension.is_of_the_clock() {
        return Ok(Keep::Labels(values.clone()));
    }
    let mut numbers = HashSet::new();
    if values.iter().any(String::is_empty) {
        numbers.insert(0);
    }
    match dimension {
        Dimension::Session | Dimension::Label(_) => {
            let known = values.iter().filter(|value| !value.is_empty()).map(|value| facts.number_of(value));
            numbers.extend(known.map(as_number).collect::<Result<Vec<u32>, _>>()?);
        }
        Dimension::Period => {
            numbers.extend(values.iter().filter_map(|value| value.parse::<Month>().ok()).map(|month| month.number() as u32))
        }
        Dimension::CatalogVersion => numbers.extend(values.iter().filter_map(|value| value.parse::<u32>().ok())),
        dimension if is_of_names(dimension) => {
            let named = farthing.store.names_called(org, values).await?;
            numbers.extend(named.into_iter().map(|name| as_number(name.0)).collect::<Result<Vec<u32>, _>>()?);
        }
        // What is left are words of our own, a few of each.
        _ => {
            let none = (Names::default(), Facts::default());
            for number in 0..=u8::MAX {
                let said = text(dimension, i64::from(number), &none.0, &none.1)?;
                numbers.extend(said.filter(|said| values.contains(said)).map(|_| u32::from(number)));
            }
        }
    }
    Ok(Keep::Numbers(numbers.into_iter().collect()))
}

/// What of an entry a query needs.
fn wanted(query: &Query, margins: &HashSet<NameId>) -> Wanted {
    let asks = |dimensions: &[Dimension]| dimensions.iter().any(|dimension| query.asks_for(dimension));
    let shows = |measures: &[Measure]| measures.iter().any(|measure| query.show.contains(measure));
    let counts_users = shows(&[Measure::Users, Measure::PerUser]);
    let of_owners = [Dimension::User, Dimension::Team, Dimension::Project, Dimension::Key, Dimension::App, Dimension::Agent];
    let of_products = [Dimension::Provider, Dimension::Model, Dimension::RequestedModel, Dimension::ServedBy, Dimension::Variant];
    Wanted {
        owner: counts_users || asks(&of_owners) || asks(&[Dimension::Environment]),
        product: asks(&of_products) || asks(&[Dimension::ServiceTier, Dimension::Region]),
        source: asks(&[Dimension::Source]),
        accounts: asks(&[Dimension::Payee]) || !margins.is_empty(),
        period: asks(&[Dimension::Period]),
        layer: asks(&[Dimension::Layer]),
        outcome: asks(&[Dimension::Outcome]),
        estimated: asks(&[Dimension::Estimated]),
        event: query.needs_events(),
        list: shows(&[Measure::List]),
        rated: shows(&[Measure::Rated, Measure::Drift]),
        reported: shows(&[Measure::Reported, Measure::Drift]),
        items: query.is_of_meters() || shows(&[Measure::Tokens, Measure::PerMillionTokens]),
    }
}

/// An entry, or one meter of it, with what is known beside it.
#[derive(Clone, Copy)]
struct Booked<'a> {
    line: &'a Line,
    item: Option<&'a Item>,
    span: Option<Span>,
    names: &'a Names,
    facts: &'a Facts,
    margins: &'a HashSet<NameId>,
    clock: Clock,
}

impl Booked<'_> {
    /// Whether it is of what an owner bears beside what the provider is owed.
    fn of_margin(&self) -> bool {
        self.margins.contains(&self.line.debit) || self.margins.contains(&self.line.credit)
    }

    fn at(&self) -> Instant {
        match (self.clock, self.span) {
            (Clock::Recorded, Some(span)) => span.recorded_at,
            _ => self.line.occurred_at,
        }
    }

    /// What stands for its value of a dimension that is not of the clock; 0 where it has none.
    fn number(&self, dimension: &Dimension) -> i64 {
        let line = self.line;
        // Owners and products were learned with their page.
        let of_owner = |place: usize| self.names.of_owner(line.owner).map_or(0, |names| names[place]);
        let of_product = |place: usize| self.names.of_product(line.product).map_or(0, |names| names[place]);
        match dimension {
            Dimension::User => of_owner(0),
            Dimension::Team => of_owner(1),
            Dimension::Project => of_owner(2),
            Dimension::Key => of_owner(3),
            Dimension::App => of_owner(4),
            Dimension::Agent => of_owner(5),
            Dimension::Environment => of_owner(6),
            Dimension::Provider => of_product(0),
            Dimension::Model => of_product(1),
            Dimension::RequestedModel => of_product(2),
            Dimension::ServedBy => of_product(3),
            Dimension::Variant => of_product(4),
            Dimension::ServiceTier => of_product(5),
            Dimension::Region => of_product(6),
            Dimension::Period => i64::from(line.period.number()),
            Dimension::Source => line.source.0,
            // Whoever is not the owner: of a reversal, who was paid.
            Dimension::Payee if self.margins.contains(&line.debit) || line.kind == EntryKind::Reversal && !self.of_margin() => {
                line.debit.0
            }
            Dimension::Payee => line.credit.0,
            Dimension::Meter => self.item.map_or(Meter::Whole, |item| item.meter) as i64,
            Dimension::Layer => line.layer,
            Dimension::Kind => line.kind as i64,
            Dimension::Outcome => line.outcome,
            Dimension::Estimated => i64::from(line.estimated),
            Dimension::CatalogVersion => self.span.map_or(0, |span| span.version.0),
            Dimension::Session | Dimension::Label(_) => line.event.map_or(0, |event| self.facts.number(event, dimension)),
            Dimension::Hour | Dimension::Day | Dimension::Week | Dimension::Month => 0,
        }
    }

    /// A reversal takes away what it mirrors; where a margin pays, it takes away from its owner.
    fn money(&self, addend: Addend) -> Amount {
        let line = self.line;
        let amount = match (addend, self.item) {
            (Addend::Amount, Some(item)) => item.amount,
            (Addend::Amount, None) => line.amount,
            // A margin is what lies between the list and the owner.
            (Addend::List, _) if self.of_margin() => Amount::ZERO,
            (Addend::List, _) => line.list.unwrap_or(line.amount),
            (Addend::Rated, _) => line.rated.unwrap_or_default(),
            (Addend::Reported, _) => line.reported.unwrap_or_default(),
            _ => line.reported.zip(line.rated).map_or(Amount::ZERO, |(reported, rated)| reported - rated),
        };
        if adds(line.kind, line.debit, line.credit, self.margins) { amount } else { -amount }
    }

    /// A margin that pays is money alone: it has no calls and no meters.
    fn count(&self, addend: Addend) -> i64 {
        let tokens = |item: &Item| if item.meter.is_token() { item.quantity as i64 } else { 0 };
        let count = match (addend, self.item) {
            (Addend::Entries, None) => return 1,
            (Addend::Calls, None) => self.line.calls,
            (Addend::Tokens, None) => self.line.items.iter().map(tokens).sum(),
            (Addend::Tokens, Some(item)) => tokens(item),
            (Addend::Quantity, Some(item)) => item.quantity as i64,
            _ => 0,
        };
        if self.line.kind == EntryKind::Reversal { -count } else { count }
    }
}

fn adding(addend: Addend, booked: &[Booked]) -> Adding {
    match addend {
        Addend::Amount | Addend::List | Addend::Rated | Addend::Reported | Addend::Drift => {
            Adding::Money(booked.iter().map(|booked| booked.money(addend).units()).collect())
        }
        Addend::Calls | Addend::Entries | Addend::Tokens | Addend::Quantity => {
            Adding::Count(booked.iter().map(|booked| booked.count(addend)).collect())
        }
    }
}

/// What only events know: sessions and labels, each text as a number.
#[derive(Default)]
struct Facts {
    texts: Vec<String>,
    numbers: HashMap<String, i64>,
    of_events: HashMap<EventNumber, Vec<(Dimension, i64)>>,
}

impl Facts {
    async fn learn(
        &mut self,
        farthing: &Farthing,
        org: Org,
        query: &Query,
        lines: &[Line],
        before: i64,
    ) -> Result<(), FlowError> {
        let mut events: Vec<EventNumber> = lines.iter().filter_map(|line| line.event).collect();
        events.sort_unstable();
        events.dedup();
        // An event is nearly always booked on the page on which it is met; keeping those of others would keep the whole book.
        self.of_events.clear();
        for stored in farthing.store.standing_events_before(org, &events, before).await? {
            let event = &stored.event;
            let asked = query.by.iter().chain(query.filters.iter().map(|filter| &filter.dimension));
            for dimension in asked.filter(|dimension| dimension.is_of_the_event()) {
                let text = match dimension {
                    Dimension::Label(key) => event.labels.iter().find(|(other, _)| other == key).map(|(_, value)| value),
                    _ => event.session.as_ref(),
                };
                let Some(text) = text else { continue };
                let number = self.number_of(text);
                self.of_events.entry(stored.row.event).or_default().push((dimension.clone(), number));
            }
        }
        Ok(())
    }

    fn number_of(&mut self, text: &str) -> i64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), self.texts.len() as i64);
        self.texts.len() as i64
    }

    fn number(&self, event: EventNumber, dimension: &Dimension) -> i64 {
        let facts = self.of_events.get(&event).map_or(&[][..], Vec::as_slice);
        facts.iter().find(|(other, _)| other == dimension).map_or(0, |(_, number)| *number)
    }
}

/// Stands for a name of the book, by its number.
fn is_of_names(dimension: &Dimension) -> bool {
    !matches!(
        dimension,
        Dimension::Hour
            | Dimension::Day
            | Dimension::Week
            | Dimension::Month
            | Dimension::Period
            | Dimension::Meter
            | Dimension::Layer
            | Dimension::Kind
            | Dimension::Outcome
            | Dimension::Estimated
            | Dimension::CatalogVersion
            | Dimension::Session
            | Dimension::Label(_)
    )
}

/// What a number stands for.
fn text(dimension: &Dimension, number: i64, names: &Names, facts: &Facts) -> Result<Option<String>, StoreError> {
    let small = u8::try_from(number).unwrap_or(u8::MAX);
    Ok(match dimension {
        Dimension::Period => i32::try_from(number).ok().map(|number| Month::from_number(number).to_string()),
        Dimension::Meter => Meter::from_number(small).map(|meter| meter.name().to_owned()),
        Dimension::Layer => Layer::from_number(small).map(|layer| layer.name().to_owned()),
        Dimension::Kind => EntryKind::from_number(small).map(|kind| kind.name().to_owned()),
        Dimension::Outcome => Outcome::from_number(small).map(|outcome| outcome.name().to_owned()),
        Dimension::Estimated => Some((number != 0).to_string()),
        Dimension::CatalogVersion => Some(Version(number).to_string()),
        _ if number == 0 && !matches!(dimension, Dimension::Estimated) => None,
        Dimension::Session | Dimension::Label(_) => facts.texts.get((number - 1) as usize).cloned(),
        _ => Some(names.text(NameId(number))?.to_owned()),
    })
}
