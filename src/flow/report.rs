//! Reports over the book: a range of its entries, folded under a query.

use crate::catalog::resolution::Layer;
use crate::flow::{Farthing, FlowError};
use crate::id::{BlockNumber, EventNumber, NameId, Org, OwnerId, ProductId, Version};
use crate::ledger::items::Item;
use crate::ledger::{EntryKind, adds};
use crate::money::{Amount, Currency};
use crate::rating::HeldReason;
use crate::report::answer;
use crate::report::fold::{Fold, Groups, Part, Sums};
use crate::report::named::{Named, shipped};
use crate::report::sheet::Sheet;
use crate::report::{AsOf, Clock, Dimension, Filter, Measure, Query, Table, range};
use crate::store::{EntryFilter, Line, Names, Span, StoreError, Wanted};
use crate::time::{Instant, Month};
use crate::usage::{Meter, Outcome};
use crate::yaml::Mistake;
use chrono_tz::Tz;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::Path;

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
        let groups = self.groups(org, query, &known).await?;
        let earlier = match (query.compare, query.from, query.until) {
            (true, Some(from), Some(until)) => {
                let (from, until) = range::before((from, until), query.zone);
                let earlier = Query { from: Some(from), until: Some(until), ..query.clone() };
                Some(self.groups(org, &earlier, &known).await?)
            }
            _ => None,
        };
        Ok(Answer {
            table: answer::table(query, groups, earlier)?,
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

    /// The entries of a query's range before a sequence, folded.
    async fn groups(&self, org: Org, query: &Query, known: &Known) -> Result<Groups, FlowError> {
        let (from, until) = match query.clock {
            Clock::Recorded => self.store.sequences_recorded(org, query.from, query.until).await?,
            Clock::Occurred => {
                let filter = EntryFilter { from: query.from, until: query.until, ..EntryFilter::default() };
                self.store.sequences_of(org, &filter).await?
            }
        };
        let until = until.min(known.sequence);
        let margins = self.store.margins(org).await?;
        let needs_blocks = query.clock == Clock::Recorded || query.asks_for(&Dimension::CatalogVersion);
        let wanted = wanted(query, &margins);
        let (mut names, mut facts) = (Names::default(), Facts::default());
        let mut fold = Fold::new(query);
        let mut place = from.max(1);
        // The database reads on while a page is folded.
        let mut ahead: VecDeque<_> =
            (0..PAGES_AHEAD).map(|number| self.page(org, place + number * PAGE, until, wanted)).collect();
        while place < until {
            let end = until.min(place + PAGE);
            let Some(page) = ahead.pop_front() else { break };
            let lines = page.await.map_err(|e| FlowError::Refused(format!("reading the book broke off: {e}")))??;
            ahead.push_back(self.page(org, place + PAGES_AHEAD * PAGE, until, wanted));
            let spans = if needs_blocks { self.store.spans(org, place, end).await? } else { Vec::new() };
            place = end;
            let owners: Vec<OwnerId> = lines.iter().filter(|_| wanted.owner).map(|line| line.owner).collect();
            let products: Vec<ProductId> = lines.iter().filter(|_| wanted.product).map(|line| line.product).collect();
            names.learn(&self.store, org, &owners, &products, &[]).await?;
            if query.needs_events() {
                facts.learn(self, org, query, &lines, known.record).await?;
            }
            let mut spans = spans.into_iter().peekable();
            for line in &lines {
                while spans.next_if(|span| span.until <= line.sequence).is_some() {}
                let booked = Booked {
                    margins: &margins,
                    line,
                    item: None,
                    span: spans.peek().copied(),
                    names: &names,
                    facts: &facts,
                    clock: query.clock,
                };
                let at = booked.at();
                if query.from.is_some_and(|from| at < from) || query.until.is_some_and(|until| at >= until) {
                    continue;
                }
                if !query.is_of_meters() {
                    fold.add(&booked)?;
                } else {
                    line.items.iter().try_for_each(|item| fold.add(&Booked { item: Some(item), ..booked }))?;
                }
            }
        }
        self.named(org, query, fold, names, &facts).await
    }

    /// A page of entries, read while the one before is folded.
    fn page(&self, org: Org, from: i64, until: i64, wanted: Wanted) -> tokio::task::JoinHandle<Result<Vec<Line>, StoreError>> {
        let (store, until) = (self.store.clone(), until.min(from + PAGE));
        tokio::spawn(
            async move { if from < until { store.lines_between(org, from, until, wanted).await } else { Ok(Vec::new()) } },
        )
    }

    /// Says what the numbers of a fold stand for.
    async fn named(&self, org: Org, query: &Query, fold: Fold<'_>, mut names: Names, facts: &Facts) -> Result<Groups, FlowError> {
        let asked = query.by.iter().chain(query.filters.iter().map(|filter| &filter.dimension));
        let others = asked.filter(|dimension| matches!(dimension, Dimension::Source | Dimension::Payee));
        let others: Vec<NameId> = others.flat_map(|dimension| fold.numbers_of(dimension)).map(NameId).collect();
        names.learn(&self.store, org, &[], &[], &others).await?;
        let groups = fold.finish(|dimension, number| text(dimension, number, &names, facts).map_err(FlowError::from))?;
        Ok(groups)
    }
}

/// Up to where the book is asked.
struct Known {
    block: BlockNumber,
    /// The first sequence and the first record after it.
    sequence: i64,
    record: i64,
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
}

impl Part for Booked<'_> {
    fn at(&self) -> Instant {
        match (self.clock, self.span) {
            (Clock::Recorded, Some(span)) => span.recorded_at,
            _ => self.line.occurred_at,
        }
    }

    fn currency(&self) -> Currency {
        self.line.currency
    }

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

    fn sums(&self) -> Sums {
        let line = self.line;
        // A reversal takes away what it mirrors. A margin that pays is money alone: it has no calls and no meters.
        let sign = if line.kind == EntryKind::Reversal { -1 } else { 1 };
        let adds = adds(line.kind, line.debit, line.credit, self.margins);
        let money = |amount: Amount| if adds { amount } else { -amount };
        let tokens = |item: &Item| if item.meter.is_token() { item.quantity as i64 } else { 0 };
        if let Some(item) = self.item {
            let (amount, quantity) = (money(item.amount), sign * item.quantity as i64);
            return Sums { amount, quantity, tokens: sign * tokens(item), ..Sums::default() };
        }
        let drift = line.reported.zip(line.rated).map_or(Amount::ZERO, |(reported, rated)| reported - rated);
        Sums {
            amount: money(line.amount),
            // A margin is what lies between the list and the owner.
            list: if self.of_margin() { Amount::ZERO } else { money(line.list.unwrap_or(line.amount)) },
            rated: money(line.rated.unwrap_or_default()),
            reported: money(line.reported.unwrap_or_default()),
            drift: money(drift),
            calls: sign * line.calls,
            entries: 1,
            tokens: sign * line.items.iter().map(tokens).sum::<i64>(),
            quantity: 0,
        }
    }

    fn user(&self) -> i64 {
        self.number(&Dimension::User)
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
                let number = match self.numbers.get(&**text) {
                    Some(number) => *number,
                    None => {
                        self.texts.push(text.to_string());
                        self.numbers.insert(text.to_string(), self.texts.len() as i64);
                        self.texts.len() as i64
                    }
                };
                self.of_events.entry(stored.row.event).or_default().push((dimension.clone(), number));
            }
        }
        Ok(())
    }

    fn number(&self, event: EventNumber, dimension: &Dimension) -> i64 {
        let facts = self.of_events.get(&event).map_or(&[][..], Vec::as_slice);
        facts.iter().find(|(other, _)| other == dimension).map_or(0, |(_, number)| *number)
    }
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
        Dimension::Session | Dimension::Label(_) => facts.texts.get((number - 1) as usize).cloned(),
        _ if number == 0 => None,
        _ => Some(names.text(NameId(number))?.to_owned()),
    })
}
