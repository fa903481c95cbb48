//! Exports of entries. What is exported is the book up to its head at the beginning: a book is only ever added to, so its prefix
//! is a snapshot that nobody has to keep open. Rows are read in order by pages, some of them ahead of whoever writes; [`files`]
//! puts them into files.

pub mod files;
mod outlet;

use crate::export::{MakeParquet, Row, Sealed, Texts};
use crate::flow::report::all_are_there;
use crate::flow::segments::{Segment, SegmentRows, Segments};
use crate::flow::{Farthing, FlowError, broke_off};
use crate::id::{BlockNumber, EventIds, NameId, Org, OwnerId, ProductId, Sequence};
use crate::ledger::seal::BlockHash;
use crate::ledger::{Chart, Entry};
use crate::report::{Clock, Wrong, goes_forward};
use crate::segment::SegmentError;
use crate::store::{EntryFilter, Names, Span, Store, StoreError};
use crate::time::{Instant, Month, Period};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// How entries become Parquet, where this was built with it.
#[cfg(feature = "polars")]
pub const PARQUET: MakeParquet = Some(crate::frame::entries::notation);
#[cfg(not(feature = "polars"))]
pub const PARQUET: MakeParquet = None;

/// Which entries are wanted.
#[derive(Clone, Debug, Default)]
pub struct Question {
    pub from: Option<Instant>,
    pub until: Option<Instant>,
    pub clock: Clock,
    /// Only what counts in this month, whenever it occurred.
    pub period: Option<Month>,
    /// Only what this team bears.
    pub team: Option<String>,
    /// The book up to this block instead of its head.
    pub block: Option<BlockNumber>,
}

/// The book up to a block.
#[derive(Clone, Copy, Debug)]
pub struct Prefix {
    pub block: BlockNumber,
    pub hash: BlockHash,
    /// The first sequence that is not in it.
    until: i64,
}

/// Entries that are read at once, and how many pages are read ahead of where the writer is.
const PAGE: i64 = 10_000;
const PAGES_AHEAD: usize = 3;

/// Rows that are made of a segment at once: so few that they are still near when they are written.
const ROWS: usize = 2_500;

/// The rows that answer a question, in order.
pub struct Rows {
    segments: Option<Arc<Segments>>,
    store: Store,
    org: Org,
    question: Question,
    chart: Chart,
    names: Names,
    /// What the numbers of all rows so far stand for.
    pub texts: Texts,
    pub prefix: Prefix,
    /// What is still to be read, and what is being read.
    pieces: VecDeque<Piece>,
    ahead: VecDeque<(Piece, JoinHandle<Result<Read, StoreError>>)>,
    /// The segment of which not all was handed on, and pages of it that are being made.
    segment: Option<(Arc<SegmentRows>, usize)>,
    making: VecDeque<JoinHandle<Result<Page, StoreError>>>,
    /// Rows of a segment that are handed on at once.
    page: usize,
    next: i64,
    until: i64,
}

/// What is read at once.
#[derive(Clone)]
enum Piece {
    /// Entries, from this sequence on until before that one.
    Entries(i64, i64),
    Segment(Arc<Segment>),
}

enum Read {
    Entries(Vec<Entry>, Vec<Span>, EventIds),
    Segment(Arc<SegmentRows>),
    /// The segment is not what it was.
    Damaged(SegmentError),
}

/// Rows of a segment, and what their events were called.
struct Page(Vec<Row>, EventIds);

fn pages(from: i64, until: i64) -> impl Iterator<Item = Piece> {
    (from..until).step_by(PAGE as usize).map(move |place| Piece::Entries(place, until.min(place + PAGE)))
}

impl Question {
    pub fn check(&self) -> Result<(), Wrong> {
        goes_forward(self.from, self.until)
    }
}

impl Farthing {
    /// The rows after a sequence that answer a question.
    pub async fn export_rows(&self, org: Org, question: &Question, after: Sequence) -> Result<Rows, FlowError> {
        question.check().map_err(|wrong| FlowError::Refused(wrong.why))?;
        let prefix = self.prefix(org, question.block).await?;
        let (from, until) = match question.clock {
            Clock::Recorded => self.store.sequences_recorded(org, question.from, question.until).await?,
            Clock::Occurred => {
                let filter = EntryFilter { from: question.from, until: question.until, ..EntryFilter::default() };
                self.store.sequences_of(org, &filter).await?
            }
        };
        let (from, until) = match question.period {
            Some(month) => (from.max(self.first_of_period(org, month).await?), until),
            None => (from, until),
        };
        let (next, until) = (from.max(1).max(after.0 + 1), until.min(prefix.until));
        let mut rows = Rows {
            segments: self.segments.clone(),
            store: self.store.clone(),
            org,
            question: question.clone(),
            chart: self.store.chart(org).await?,
            names: Names::default(),
            texts: Texts::default(),
            prefix,
            pieces: self.export_pieces(org, next, until).await?,
            ahead: VecDeque::new(),
            segment: None,
            making: VecDeque::new(),
            page: ROWS,
            next,
            until,
        };
        rows.read_ahead();
        Ok(rows)
    }

    /// Before this sequence nothing counts in a month: what occurred in it counts there, and what occurred before it only where it
    /// was booked after a closing, which cannot be before the month began.
    async fn first_of_period(&self, org: Org, month: Month) -> Result<i64, FlowError> {
        let Period { from, until } = month.period();
        let occurred = EntryFilter { from: Some(from), until: Some(until), ..EntryFilter::default() };
        let (occurred, _) = self.store.sequences_of(org, &occurred).await?;
        let (recorded, _) = self.store.sequences_recorded(org, Some(from), None).await?;
        Ok([occurred, recorded].into_iter().filter(|first| *first > 0).min().unwrap_or(i64::MAX - 1))
    }

    /// Segments that lie in a range, and the entries that are in none of them.
    async fn export_pieces(&self, org: Org, from: i64, until: i64) -> Result<VecDeque<Piece>, FlowError> {
        let (mut pieces, mut place) = (VecDeque::new(), from);
        for segment in self.segments_until(org, until).await? {
            if segment.manifest.from >= place {
                pieces.extend(pages(place, segment.manifest.from));
                place = segment.manifest.until;
                pieces.push_back(Piece::Segment(segment));
            }
        }
        pieces.extend(pages(place, until));
        Ok(pieces)
    }

    async fn prefix(&self, org: Org, block: Option<BlockNumber>) -> Result<Prefix, FlowError> {
        let head = self.store.head(org).await?;
        let block = block.unwrap_or(head.block);
        if block == head.block {
            return Ok(Prefix { block, hash: head.hash, until: head.next_sequence.0 });
        }
        let found = self.store.blocks_after(org, BlockNumber(block.0 - 1), 1).await?.pop();
        let found = found.filter(|found| found.header.block == block);
        let found =
            found.ok_or_else(|| FlowError::Refused(format!("there is no block {block}; the last one is {}", head.block)))?;
        Ok(Prefix { block, hash: found.hash, until: found.sequences.1 })
    }
}

impl Rows {
    /// Those of a segment in other pages than usual; they are the same rows.
    pub fn in_pages_of(self, page: usize) -> Rows {
        Rows { page: page.max(1), ..self }
    }

    fn read_ahead(&mut self) {
        // A segment is as large as many pages, so only one is in memory beside the one that is written.
        let has_room = |piece: &Piece, ahead: usize| match piece {
            Piece::Entries(..) => ahead < PAGES_AHEAD,
            Piece::Segment(_) => ahead == 0,
        };
        while let Some(piece) = self.pieces.pop_front_if(|piece| has_room(piece, self.ahead.len())) {
            let (store, org) = (self.store.clone(), self.org);
            let reading = match piece.clone() {
                Piece::Entries(from, until) => tokio::spawn(async move {
                    let (entries, spans) = tokio::join!(store.entries_at_once(org, from, until), store.spans(org, from, until));
                    let entries = entries?;
                    let ids = store.ids_of_events(org, entries.iter().filter_map(|entry| entry.event)).await?;
                    Ok(Read::Entries(entries, spans?, ids))
                }),
                Piece::Segment(segment) => tokio::task::spawn_blocking(move || {
                    Ok(segment.rows().map_or_else(Read::Damaged, |rows| Read::Segment(Arc::new(rows))))
                }),
            };
            self.ahead.push_back((piece, reading));
        }
    }

    /// The next rows, of which there may be none on a page; nothing when all were read.
    pub async fn next(&mut self) -> Result<Option<Vec<Row>>, FlowError> {
        loop {
            self.make_ahead();
            if let Some(page) = self.making.pop_front() {
                let Page(rows, ids) = page.await.map_err(broke_off)??;
                self.next = rows.last().map_or(self.next, |last| last.sequence.0 + 1);
                return self.known(rows, ids).await.map(Some);
            }
            let Some((piece, reading)) = self.ahead.pop_front() else { return Ok(None) };
            let read = reading.await.map_err(broke_off)??;
            self.read_ahead();
            match (read, piece) {
                (Read::Segment(rows), _) => self.segment = Some((rows, 0)),
                (Read::Entries(entries, spans, ids), Piece::Entries(from, until)) => {
                    all_are_there(entries.len(), from, until)?;
                    self.next = until;
                    let rows = self.rows_of(&entries, &spans)?;
                    return self.known(rows, ids).await.map(Some);
                }
                (Read::Damaged(error), Piece::Segment(segment)) => {
                    if let Some(segments) = &self.segments {
                        segments.distrust(&segment, &error);
                    }
                    self.instead_of(&segment);
                }
                _ => {}
            }
        }
    }

    /// The next pages of a segment, made while those before are written.
    fn make_ahead(&mut self) {
        while self.making.len() < PAGES_AHEAD {
            let Some((segment, next)) = self.segment.take() else { return };
            let places = next..segment.len().min(next + self.page);
            self.segment = Some((segment.clone(), places.end)).filter(|(segment, next)| *next < segment.len());
            let (store, org) = (self.store.clone(), self.org);
            self.making.push_back(tokio::spawn(async move {
                let ids = store.ids_of_events(org, segment.events(places.clone())).await?;
                Ok(Page(segment.page(places), ids))
            }));
        }
    }

    /// The book holds what a segment should; what was being read after it waits.
    fn instead_of(&mut self, segment: &Segment) {
        let (pieces, readings): (Vec<Piece>, Vec<_>) = self.ahead.drain(..).unzip();
        readings.iter().for_each(JoinHandle::abort);
        pieces.into_iter().rev().for_each(|piece| self.pieces.push_front(piece));
        let pages: Vec<Piece> = pages(segment.manifest.from, segment.manifest.until).collect();
        pages.into_iter().rev().for_each(|piece| self.pieces.push_front(piece));
        self.read_ahead();
    }

    fn rows_of(&self, entries: &[Entry], spans: &[Span]) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::with_capacity(entries.len());
        let mut spans = spans.iter().peekable();
        for entry in entries {
            while spans.next_if(|span| span.until <= entry.sequence).is_some() {}
            let span = spans.peek().ok_or_else(|| {
                StoreError::damaged(format!("entry {}", entry.sequence), "no block covers it; `farthing verify` says where")
            })?;
            let (block, recorded_at, version, rater) = (span.block, span.recorded_at, span.version, span.rater);
            rows.push(Row::new(entry, Sealed { block, recorded_at, version, rater }, &self.chart));
        }
        Ok(rows)
    }

    /// Those that are wanted, with all that their numbers stand for.
    async fn known(&mut self, mut rows: Vec<Row>, ids: EventIds) -> Result<Vec<Row>, FlowError> {
        self.learn(&rows).await?;
        self.texts.learn_event_ids(ids);
        rows.retain(|row| self.is_wanted(row));
        Ok(rows)
    }

    /// Where it is: sequences that were read, and all there are to read.
    pub fn place(&self) -> (u64, u64) {
        (self.next.min(self.until) as u64, self.until as u64)
    }

    fn is_wanted(&self, row: &Row) -> bool {
        let at = if self.question.clock == Clock::Recorded { row.sealed.recorded_at } else { row.occurred_at };
        let in_range = self.question.from.is_none_or(|from| at >= from) && self.question.until.is_none_or(|until| at < until);
        let counts = self.question.period.is_none_or(|month| row.period == month);
        let of_team = |team: &String| {
            let parts = self.texts.owner(row.owner);
            let name = parts.and_then(|parts| self.texts.name(NameId(parts[TEAM])));
            name.is_some_and(|name| **name == **team)
        };
        in_range && counts && self.question.team.as_ref().is_none_or(of_team)
    }

    /// Reads what the numbers of these rows stand for, as far as that is not known yet.
    async fn learn(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let (mut owners, mut products, mut names) = (HashSet::new(), HashSet::new(), HashSet::new());
        for row in rows {
            if self.texts.owner(row.owner).is_none() {
                owners.insert(row.owner);
            }
            if self.texts.product(row.product).is_none() {
                products.insert(row.product);
            }
            let always = [row.source, row.debit, row.credit];
            let sometimes = [row.card, row.above, row.reason];
            let of_row = always.into_iter().chain(sometimes.into_iter().flatten());
            names.extend(of_row.filter(|name| self.texts.name(*name).is_none()));
        }
        let (owners, products): (Vec<OwnerId>, Vec<ProductId>) = (owners.into_iter().collect(), products.into_iter().collect());
        let mut names: Vec<NameId> = names.into_iter().collect();
        self.names.learn(&self.store, self.org, &owners, &products, &names).await?;
        for owner in owners {
            let parts = *self.names.of_owner(owner)?;
            self.texts.learn_owner(owner, parts);
            names.extend(parts.map(NameId));
        }
        for product in products {
            let parts = *self.names.of_product(product)?;
            self.texts.learn_product(product, parts);
            names.extend(parts.map(NameId));
        }
        for name in names.into_iter().filter(|name| name.0 != 0) {
            if self.texts.name(name).is_none() {
                self.texts.learn_name(name, self.names.text(name)?);
            }
        }
        Ok(())
    }
}

/// The place of the team among an owner's names.
const TEAM: usize = 1;
