//! Reports over the book: a range of its entries, folded under a query.

pub mod booked;

use crate::export::scheduled::Scheduled;
use crate::flow::segments::{Manifest, Segment};
use crate::flow::{Farthing, FlowError, broke_off, in_background};
use crate::id::{BlockNumber, EventNumber, NameId, Org, OwnerId, ProductId, Sequence};
use crate::ledger::Chart;
use crate::rating::HeldReason;
use crate::report::answer;
use crate::report::fold::{Column, Fold, Groups, Side, Stretch};
use crate::report::named::{Named, shipped};
use crate::report::sheet::Sheet;
use crate::report::{Addend, AsOf, Clock, Dimension, Filter, Measure, Of, Query, Table, range};
use crate::segment::SegmentError;
use crate::store::{EntryFilter, Line, Names, StoreError, Wanted};
use crate::time::Instant;
use crate::yaml::Mistake;
use booked::{Booked, Facts, adding, as_number, is_of_names, keep, text, wanted};
use chrono_tz::Tz;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
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

/// What is defined in files: reports, and exports that are written by themselves.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    pub reports: Vec<Named>,
    pub exports: Vec<Scheduled>,
}

/// The shipped reports and those of a directory, by name; an operator's own goes before a shipped one of its name.
pub fn named_reports(directory: Option<&Path>) -> Result<Vec<Named>, BadReport> {
    definitions(directory).map(|definitions| definitions.reports)
}

/// The same with the exports that are defined beside them.
pub fn definitions(directory: Option<&Path>) -> Result<Definitions, BadReport> {
    let mut reports: BTreeMap<String, Named> = shipped().into_iter().map(|named| (named.name.clone(), named)).collect();
    let mut exports: BTreeMap<String, Scheduled> = BTreeMap::new();
    for path in directory.map_or(Ok(Vec::new()), yaml_files)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).map_err(|e| bad(&path, e.to_string()))?;
        let wrong = |mistakes: Vec<Mistake>| bad(&path, mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; "));
        if Scheduled::is_meant(&text) {
            exports.insert(name.clone(), Scheduled::parse(&name, &text).map_err(wrong)?);
        } else {
            reports.insert(name.clone(), Named::parse(&name, &text).map_err(wrong)?);
        }
    }
    Ok(Definitions { reports: reports.into_values().collect(), exports: exports.into_values().collect() })
}

fn bad(file: &Path, why: String) -> BadReport {
    BadReport { file: file.display().to_string(), why }
}

fn yaml_files(directory: &Path) -> Result<Vec<PathBuf>, BadReport> {
    let unreadable = |e: std::io::Error| bad(directory, e.to_string());
    let files = std::fs::read_dir(directory).map_err(unreadable)?;
    let paths = files.map(|file| file.map(|file| file.path())).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect())
}

/// Entries that are read at once, and how many pieces are ahead of where the fold is.
const PAGE: i64 = 10_000;
const PIECES_AHEAD: usize = 3;

impl Farthing {
    pub async fn report(&self, org: Org, query: &Query) -> Result<Answer, FlowError> {
        query.check().map_err(|wrong| FlowError::Refused(wrong.why))?;
        let known = self.known_at(org, query.as_of).await?;
        let mut asking = Asking::new(self, org, query, &known).await?;
        match query.of {
            Of::Spend => asking.read(Side::Asked, query.from, query.until).await?,
            Of::Held => asking.read_held().await?,
        }
        if let (true, Some(from), Some(until)) = (query.compare, query.from, query.until) {
            let (from, until) = range::before((from, until), query.zone);
            asking.read(Side::Before, Some(from), Some(until)).await?;
        }
        let groups = asking.finish().await?;
        let query = query.clone();
        Ok(Answer {
            table: in_background(move || answer::table(&query, groups)).await??,
            block: known.block,
            occurred: self.occurred(org).await?,
            held: self.store.held_counts(org).await?,
            conflicts: self.store.open_conflicts(org).await?,
            rejected: self.store.rejected_count(org).await?,
        })
    }

    /// The first and the last instant of which the book tells.
    pub async fn occurred(&self, org: Org) -> Result<Option<(Instant, Instant)>, FlowError> {
        let segments = self.segments_until(org, i64::MAX).await?;
        // Up to the first gap segments know it, after that the blocks do.
        let mut place = self.store.begins_at(org).await?.0;
        let mut ends: Option<(Instant, Instant)> = None;
        for Manifest { from, until, occurred_first, occurred_last, .. } in segments.iter().map(|segment| &segment.manifest) {
            if *from != place {
                break;
            }
            place = *until;
            let (first, last) = (Instant::from_micros(*occurred_first), Instant::from_micros(*occurred_last));
            ends = Some(ends.map_or((first, last), |ends| (ends.0.min(first), ends.1.max(last))));
        }
        let tail = self.store.occurred(org, place).await?;
        Ok(match (ends, tail) {
            (Some(ends), Some(tail)) => Some((ends.0.min(tail.0), ends.1.max(tail.1))),
            (ends, tail) => ends.or(tail),
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
        let (head, first) = (self.store.head(org).await?, self.store.begins_at(org).await?.0);
        let block = match as_of {
            None => {
                let (sequence, record) = (head.next_sequence.0, head.next_record);
                return Ok(Known { block: head.block, first, sequence, record });
            }
            Some(AsOf::Block(block)) if block > head.block => {
                return Err(FlowError::Refused(format!("there is no block {block} yet; the last one is {}", head.block)));
            }
            Some(AsOf::Block(block)) => block,
            Some(AsOf::Instant(at)) => self.store.block_at(org, at).await?.unwrap_or(BlockNumber(0)),
        };
        let found = self.store.blocks_after(org, BlockNumber(block.0 - 1), 1).await?;
        let found = found.first().filter(|found| found.header.block == block);
        let (sequence, record) = found.map_or((0, 0), |found| (found.sequences.1, found.records.1));
        Ok(Known { block, first, sequence, record })
    }
}

/// Up to where the book is asked.
struct Known {
    block: BlockNumber,
    /// The first sequence there is: an archive is not of all that was before it.
    first: i64,
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
    chart: Chart,
    names: Names,
    facts: Facts,
    /// Elsewhere while it works.
    fold: Option<Fold>,
}

impl<'f> Asking<'f> {
    async fn new(farthing: &'f Farthing, org: Org, query: &Query, known: &'f Known) -> Result<Asking<'f>, FlowError> {
        let chart = farthing.store.chart(org).await?;
        let mut facts = Facts::default();
        let mut keeps = Vec::new();
        for filter in &query.filters {
            keeps.push(keep(farthing, org, query.of, filter, &mut facts).await?);
        }
        let query = Arc::new(query.clone());
        let fold = Some(Fold::new(query.clone(), keeps));
        Ok(Asking { farthing, org, wanted: wanted(&query, &chart), known, chart, names: Names::default(), facts, fold, query })
    }

    /// Folds what lies in a range.
    async fn read(&mut self, side: Side, from: Option<Instant>, until: Option<Instant>) -> Result<(), FlowError> {
        let mut pieces: VecDeque<Piece> = self.pieces(from, until).await?.into();
        let range = (from.map_or(i64::MIN, Instant::micros), until.map_or(i64::MAX, Instant::micros));
        // What comes next is read while a piece is folded.
        let mut ahead = VecDeque::new();
        loop {
            while let Some(piece) = pieces.pop_front_if(|_| ahead.len() < PIECES_AHEAD) {
                ahead.push_back((self.reading(&piece, range), piece));
            }
            let Some((reading, piece)) = ahead.pop_front() else { return Ok(()) };
            match (reading.await.map_err(broke_off)??, piece) {
                (Read::Lines(lines), Piece::Lines(from, until)) => {
                    all_are_there(lines.len(), from, until)?;
                    let stretch = self.stretch(&lines, from, until).await?;
                    self.fold(stretch, side, range).await?;
                }
                (Read::Stretch(stretch), _) => self.fold(stretch, side, range).await?,
                (Read::Damaged(error), Piece::Segment(segment)) => {
                    if let Some(segments) = &self.farthing.segments {
                        segments.distrust(&segment, &error);
                    }
                    pieces.extend(pages(segment.manifest.from, segment.manifest.until));
                }
                _ => {}
            }
        }
    }

    /// Folds what has no amount yet.
    async fn read_held(&mut self) -> Result<(), FlowError> {
        let range = (self.query.from.map_or(i64::MIN, Instant::micros), self.query.until.map_or(i64::MAX, Instant::micros));
        let mut after = EventNumber(0);
        loop {
            let held = self.farthing.held(self.org, None, after, PAGE).await?;
            let Some(last) = held.last() else { return Ok(()) };
            after = last.held.event;
            let stretch = booked::held_stretch(&self.query, &held, &mut self.facts)?;
            self.fold(stretch, Side::Asked, range).await?;
        }
    }

    /// What has to be read for a range: segments, and the entries that are in none.
    async fn pieces(&self, from: Option<Instant>, until: Option<Instant>) -> Result<Vec<Piece>, FlowError> {
        let (store, org, occurred) = (&self.farthing.store, self.org, self.query.clock == Clock::Occurred);
        let (first, last) = match occurred {
            true => (self.known.first, self.known.sequence),
            false => store.sequences_recorded(org, from, until).await?,
        };
        let (first, last) = match self.query.months() {
            Some((one, other)) => {
                let within = store.sequences_of_months(org, one, other).await?;
                (first.max(within.0), last.min(within.1))
            }
            None => (first, last),
        };
        let (mut place, last) = (first.max(self.known.first), last.min(self.known.sequence));
        let micros = (from.map_or(i64::MIN, Instant::micros), until.map_or(i64::MAX, Instant::micros));
        // What only events know is in no segment.
        let segments = match self.query.scan || self.query.needs_events() {
            true => Vec::new(),
            false => self.farthing.segments_until(org, last).await?,
        };
        let mut pieces = Vec::new();
        for segment in segments.into_iter().filter(|segment| segment.manifest.from >= first) {
            pieces.extend(self.pages_of(place, segment.manifest.from, from, until).await?);
            place = segment.manifest.until;
            if !occurred || segment.touches(micros.0, micros.1) {
                pieces.push(Piece::Segment(segment));
            }
        }
        pieces.extend(self.pages_of(place, last, from, until).await?);
        Ok(pieces)
    }

    /// Pages of entries in no segment, without the blocks at both ends that tell of nothing in the range.
    async fn pages_of(
        &self,
        from: i64,
        until: i64,
        first: Option<Instant>,
        last: Option<Instant>,
    ) -> Result<Vec<Piece>, FlowError> {
        let (mut from, mut until) = (from, until);
        if from < until && self.query.clock == Clock::Occurred {
            let (after, before) = (Some(Sequence(from - 1)), Some(Sequence(until)));
            let filter = EntryFilter { from: first, until: last, after, before, ..EntryFilter::default() };
            (from, until) = self.farthing.store.sequences_of(self.org, &filter).await?;
        }
        Ok(pages(from, until))
    }

    fn reading(&self, piece: &Piece, range: (i64, i64)) -> JoinHandle<Result<Read, StoreError>> {
        match piece {
            Piece::Lines(from, until) => {
                let (store, org, wanted, from, until) = (self.farthing.store.clone(), self.org, self.wanted, *from, *until);
                tokio::spawn(async move { store.lines_between(org, from, until, wanted).await.map(Read::Lines) })
            }
            Piece::Segment(segment) => {
                let (segment, query) = (segment.clone(), self.query.clone());
                tokio::task::spawn_blocking(move || Ok(segment.stretch(&query, range).map_or_else(Read::Damaged, Read::Stretch)))
            }
        }
    }

    /// Folding keeps a processor busy for a while, so it is done where nobody waits for one.
    async fn fold(&mut self, stretch: Stretch, side: Side, (from, until): (i64, i64)) -> Result<(), FlowError> {
        let Some(mut fold) = self.fold.take() else { return Err(FlowError::Refused("a fold broke off".to_owned())) };
        let folded = in_background(move || fold.add(&stretch, side, from, until).map(|()| fold));
        self.fold = Some(folded.await??);
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
        let mut booked = Booked::all(lines, &spans, &self.names, &self.facts, &self.chart, self.query.clock);
        if self.query.is_of_meters() {
            booked = booked.iter().flat_map(Booked::meters).collect();
        }
        let numbers = |dimension: &Dimension| match dimension.is_of_the_clock() {
            true => Ok(Vec::new()),
            false => booked.iter().map(|booked| as_number(booked.number(dimension))).collect::<Result<_, FlowError>>(),
        };
        let counts_users = self.query.counts_users();
        let users = booked.iter().filter(|_| counts_users).map(|booked| as_number(booked.number(&Dimension::User)));
        Ok(Stretch {
            rows: booked.len(),
            at: Column::Each(booked.iter().map(|booked| booked.at().micros()).collect()),
            currencies: Column::Each(booked.iter().map(|booked| booked.line.currency).collect()),
            numbers: self.query.folded().into_iter().map(numbers).collect::<Result<_, _>>()?,
            addends: self.query.addends().into_iter().map(|addend| adding(addend, &booked)).collect(),
            users: users.collect::<Result<_, _>>()?,
            calls: booked.iter().filter(|_| counts_users).map(|booked| booked.count(Addend::Calls)).collect(),
        })
    }

    /// Says what the numbers of the fold stand for.
    async fn finish(mut self) -> Result<Groups, FlowError> {
        let Some(fold) = self.fold.take() else { return Err(FlowError::Refused("a fold broke off".to_owned())) };
        let of_spend = self.query.of == Of::Spend;
        let names = fold.numbers().into_iter().filter(|(dimension, _)| of_spend && is_of_names(dimension));
        let names: Vec<NameId> = names.flat_map(|(_, numbers)| numbers).map(|number| NameId(i64::from(number))).collect();
        self.names.learn(&self.farthing.store, self.org, &[], &[], &names).await?;
        let (names, facts) = (self.names, self.facts);
        let said = move || {
            fold.finish(|dimension, number| match !of_spend && is_of_names(dimension) {
                true => Ok(facts.text(number)),
                false => text(dimension, i64::from(number), &names, &facts).map_err(FlowError::from),
            })
        };
        in_background(said).await?
    }
}

/// What is read at once.
enum Piece {
    /// Entries, from this sequence on until before that one.
    Lines(i64, i64),
    Segment(Arc<Segment>),
}

/// What was read.
enum Read {
    Lines(Vec<Line>),
    Stretch(Stretch),
    /// The segment is not what it was.
    Damaged(SegmentError),
}

/// Sequences have no gaps, so what is not there was taken away, and must not become nothing in an answer.
pub(crate) fn all_are_there(found: usize, from: i64, until: i64) -> Result<(), StoreError> {
    if found as i64 == (until - from).max(0) {
        return Ok(());
    }
    let why = "some are not in this database; ask the archive of their month, or `farthing verify` what is missing";
    Err(StoreError::damaged(format!("entries {from} to {}", until - 1), why))
}

fn pages(from: i64, until: i64) -> Vec<Piece> {
    (from..until).step_by(PAGE as usize).map(|place| Piece::Lines(place, until.min(place + PAGE))).collect()
}
