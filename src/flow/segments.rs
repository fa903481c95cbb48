//! Segments: copies of sealed blocks in columns, for reports that would take long from rows. A segment holds the entries of
//! some blocks one after the other, sorted by hour and owner, in two files: whole entries, and their meters. Beside them
//! a manifest says which blocks they are of, what they add up to and what they hash to; it is written last, and a segment
//! without one does not exist. All of it can be deleted and is made again; the book is never read past what a segment says
//! of itself.

use crate::catalog::resolution::Layer;
use crate::export::{Row, Sealed};
use crate::flow::report::booked::{Booked, Facts, as_number};
use crate::flow::{Farthing, FlowError, in_background};
use crate::id::{BlockNumber, EventNumber, NameId, Org, OwnerId, ProductId, Sequence, Version};
use crate::ledger::EntryKind;
use crate::ledger::seal::BlockHash;
use crate::money::{Amount, Currency, Limbs};
use crate::report::fold::{Adding, Stretch};
use crate::report::{Addend, Clock, Dimension, Query};
use crate::segment::{self, SegmentError, Values};
use crate::store::{Line, Names, Store, StoreError, Wanted};
use crate::time::{Instant, Month};
use crate::usage::{Meter, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Where segments lie, and how large they become.
#[derive(Clone, Debug)]
pub struct SegmentPlan {
    pub directory: PathBuf,
    /// Entries that wait outside of any segment before one is written.
    pub tail: i64,
    /// Entries of the largest segment: a report over a month reads no more than twice as many too many.
    pub most: i64,
}

impl SegmentPlan {
    pub fn at(directory: PathBuf) -> SegmentPlan {
        SegmentPlan { directory, tail: 25_000, most: 250_000 }
    }
}

/// Small segments that are put together when there are so many at the end.
const TOGETHER: usize = 8;

/// The layout of the files; another one is not read but written anew.
const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// Its entries: from this sequence on, until before that one.
    pub from: i64,
    pub until: i64,
    /// The last block it holds, and the hash of that: a book that was restored and went on otherwise has another one.
    pub block: i64,
    pub hash: String,
    pub occurred_first: i64,
    pub occurred_last: i64,
    pub entries: u64,
    pub meters: u64,
    /// What its entries add up to, by currency.
    pub sums: BTreeMap<String, String>,
    files: Vec<FileMark>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct FileMark {
    name: String,
    bytes: u64,
    blake3: String,
}

/// A segment that a process knows of.
#[derive(Debug)]
pub struct Segment {
    pub manifest: Manifest,
    path: PathBuf,
    /// Whether its block is one of this book and its files are what they were: looked at once.
    is_of_the_book: OnceLock<bool>,
    is_whole: [OnceLock<bool>; 2],
}

/// The segments of an installation.
#[derive(Debug)]
pub struct Segments {
    pub plan: SegmentPlan,
    known: Mutex<HashMap<PathBuf, Arc<Segment>>>,
}

/// What a run of the copying did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub segments: u64,
    pub entries: u64,
}

impl Segments {
    pub fn new(plan: SegmentPlan) -> Segments {
        Segments { plan, known: Mutex::default() }
    }

    fn directory(&self, org: Org) -> PathBuf {
        self.plan.directory.join(org.to_string())
    }

    /// The segments of an org that lie one after the other; of those that overlap, the larger.
    fn listed(&self, org: Org) -> Vec<Arc<Segment>> {
        let Ok(files) = std::fs::read_dir(self.directory(org)) else { return Vec::new() };
        let paths = files.filter_map(|file| Some(file.ok()?.path()));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Arc<Segment>> = Vec::new();
        for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
            let segment = match known.get(&path) {
                Some(segment) => segment.clone(),
                None => {
                    let Some(manifest) = read_manifest(&path) else { continue };
                    let segment = Segment { manifest, path, is_of_the_book: OnceLock::new(), is_whole: Default::default() };
                    let segment = Arc::new(segment);
                    known.insert(segment.path.clone(), segment.clone());
                    segment
                }
            };
            found.push(segment);
        }
        found.sort_by_key(|segment| (segment.manifest.from, -segment.manifest.until));
        let mut place = 1;
        found.retain(|segment| {
            let follows = segment.manifest.from >= place;
            place = if follows { segment.manifest.until } else { place };
            follows
        });
        found
    }

    /// A segment that could not be read: the book can, and the next run of the copying writes the segment anew. One that was
    /// put together with others in between is not worth a word.
    pub fn distrust(&self, segment: &Segment, error: &SegmentError) {
        if !error.is_missing {
            tracing::error!(%error, "a segment cannot be believed; the book is read instead");
        }
        self.forget(segment);
    }

    /// Makes a segment that cannot be believed unknown, so that it is written anew.
    fn forget(&self, segment: &Segment) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&segment.path);
        segment.remove();
    }
}

fn read_manifest(path: &Path) -> Option<Manifest> {
    let manifest: Manifest = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (manifest.format == FORMAT && manifest.files.len() == 2 && manifest.from < manifest.until).then_some(manifest)
}

impl Segment {
    /// Tells of something between two instants.
    pub fn touches(&self, from: i64, until: i64) -> bool {
        self.manifest.occurred_first < until && self.manifest.occurred_last >= from
    }

    fn file(&self, of_meters: bool) -> PathBuf {
        self.path.with_file_name(&self.manifest.files[usize::from(of_meters)].name)
    }

    /// The manifest first: what has none does not exist.
    fn remove(&self) {
        let files = [self.path.clone(), self.file(false), self.file(true)];
        files.iter().for_each(|file| drop(std::fs::remove_file(file)));
    }

    /// Whether a file is the one that was written; its bytes are hashed the first time it is read.
    fn is_whole(&self, of_meters: bool) -> bool {
        let place = usize::from(of_meters);
        *self.is_whole[place].get_or_init(|| {
            let hash = std::fs::read(self.file(of_meters)).map(|bytes| blake3::hash(&bytes).to_string());
            hash.is_ok_and(|hash| hash == self.manifest.files[place].blake3)
        })
    }

    /// Columns of one of its files, if that is what was written.
    fn read(&self, of_meters: bool, wanted: &[String]) -> Result<Columns, SegmentError> {
        let file = self.file(of_meters);
        if !self.is_whole(of_meters) {
            let (file, is_missing) = (file.display().to_string(), !file.exists());
            return Err(SegmentError { file, why: "it is not what was written".to_owned(), is_missing });
        }
        let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
        Ok(Columns(wanted.iter().cloned().zip(segment::read(&file, &names)?).collect()))
    }

    /// What a query asks of it between two instants, in columns. What the manifest says of all its entries is not read.
    pub fn stretch(&self, query: &Query, (from, until): (i64, i64)) -> Result<Stretch, SegmentError> {
        let of_meters = query.is_of_meters();
        let folded = query.folded();
        let rows = if of_meters { self.manifest.meters } else { self.manifest.entries } as usize;
        let is_within = from <= self.manifest.occurred_first && self.manifest.occurred_last < until;
        let needs_no_time =
            query.clock == Clock::Occurred && is_within && !folded.iter().any(|dimension| dimension.is_of_the_clock());
        let only = match self.manifest.sums.len() {
            1 => self.manifest.sums.keys().next().and_then(|currency| currency.parse::<Currency>().ok()),
            _ => None,
        };
        let mut wanted: Vec<String> = Vec::new();
        wanted.extend((!needs_no_time).then(|| at_column(query).to_owned()));
        wanted.extend(only.is_none().then(|| "currency".to_owned()));
        wanted.extend(folded.iter().filter(|dimension| !dimension.is_of_the_clock()).map(|dimension| dimension.to_string()));
        wanted.extend(query.addends().iter().flat_map(|addend| columns_of(*addend, of_meters)));
        if query.counts_users() {
            wanted.extend(["user".to_owned(), "calls".to_owned()]);
        }
        let columns = self.read(of_meters, &wanted)?;
        let unknown = |letters: u32| {
            let (file, why) = (self.path.display().to_string(), format!("currency {letters} is none"));
            SegmentError { file, why, is_missing: false }
        };
        let currencies = match only {
            Some(only) => vec![only; rows],
            None => {
                let known = |letters: &u32| Currency::of_number(*letters).ok_or_else(|| unknown(*letters));
                columns.numbers("currency").iter().map(known).collect::<Result<_, _>>()?
            }
        };
        let numbers = |dimension: &&Dimension| match dimension.is_of_the_clock() {
            true => Vec::new(),
            false => columns.numbers(&dimension.to_string()).to_vec(),
        };
        Ok(Stretch {
            at: if needs_no_time {
                vec![self.manifest.occurred_first; rows]
            } else {
                columns.integers(at_column(query)).to_vec()
            },
            currencies,
            numbers: folded.iter().map(numbers).collect(),
            addends: query.addends().iter().map(|addend| columns.adding(*addend, of_meters, rows)).collect(),
            users: if query.counts_users() { columns.numbers("user").to_vec() } else { Vec::new() },
            calls: if query.counts_users() { columns.integers("calls").to_vec() } else { Vec::new() },
        })
    }
}

/// The entries of a segment as rows of an export, in the order in which they were booked.
pub struct SegmentRows {
    sequence: Vec<i64>,
    occurred_at: Vec<i64>,
    recorded_at: Vec<i64>,
    block: Vec<i64>,
    event: Vec<i64>,
    reverses: Vec<i64>,
    calls: Vec<i64>,
    numbers: [Vec<u32>; NUMBERS.len()],
    amount: Vec<i128>,
    list: Vec<i128>,
    rated: Vec<Option<i128>>,
    reported: Vec<Option<i128>>,
    meter: Vec<u32>,
    quantity: Vec<i64>,
    /// Entries in the order of their sequences, and of each which meters are its own.
    order: Vec<(u32, Range<u32>)>,
    next: usize,
}

const NUMBERS: [&str; 17] = [
    "rater",
    "currency",
    "kind",
    "period",
    "owner",
    "product",
    "source",
    "outcome",
    "layer",
    "card",
    "above",
    "reason",
    "estimated",
    "catalog_version",
    "turn",
    "debit",
    "credit",
];

impl Segment {
    pub fn rows(&self) -> Result<SegmentRows, SegmentError> {
        let integers = ["sequence", "occurred_at", "recorded_at", "block", "event", "reverses", "calls"];
        let mut wanted: Vec<String> = integers.into_iter().chain(NUMBERS).map(str::to_owned).collect();
        wanted.extend(["", "list", "rated", "reported"].iter().flat_map(|of| limbs(of)));
        let mut columns = self.read(false, &wanted)?;
        let mut meters = self.read(true, &["sequence", "meter", "quantity"].map(str::to_owned))?;
        // Both files are in one order, so the meters of an entry follow those of the entry before.
        let (sequence, of_meters) = (columns.take_integers("sequence"), meters.take_integers("sequence"));
        let mut place = 0;
        let mut order: Vec<(u32, Range<u32>)> = Vec::with_capacity(sequence.len());
        for (entry, sequence) in (0..).zip(&sequence) {
            let first = place;
            place += of_meters[place..].iter().take_while(|other| *other == sequence).count();
            order.push((entry, first as u32..place as u32));
        }
        if place != of_meters.len() {
            let (file, why) = (self.path.display().to_string(), "its meters are not those of its entries".to_owned());
            return Err(SegmentError { file, why, is_missing: false });
        }
        order.sort_unstable_by_key(|(entry, _)| sequence[*entry as usize]);
        let rows = sequence.len();
        let maybe = |columns: &Columns, of: &str| {
            let amounts = columns.money(of).into_iter().zip(columns.is_there(of, rows));
            amounts.map(|(amount, is_there)| is_there.then_some(amount)).collect()
        };
        Ok(SegmentRows {
            amount: columns.money(""),
            list: columns.money("list"),
            rated: maybe(&columns, "rated"),
            reported: maybe(&columns, "reported"),
            occurred_at: columns.take_integers("occurred_at"),
            recorded_at: columns.take_integers("recorded_at"),
            block: columns.take_integers("block"),
            event: columns.take_integers("event"),
            reverses: columns.take_integers("reverses"),
            calls: columns.take_integers("calls"),
            numbers: NUMBERS.map(|name| columns.take_numbers(name)),
            meter: meters.take_numbers("meter"),
            quantity: meters.take_integers("quantity"),
            sequence,
            order,
            next: 0,
        })
    }
}

impl SegmentRows {
    /// The next rows, so many at most; none at the end. A number that stands for nothing is damage.
    pub fn page(&mut self, most: usize) -> Result<Vec<Row>, StoreError> {
        let page = &self.order[self.next..self.order.len().min(self.next + most)];
        let rows = page.iter().map(|(entry, meters)| self.row(*entry as usize, meters)).collect::<Option<Vec<Row>>>();
        self.next += page.len();
        let why = "a number in it stands for nothing; `farthing rebuild segments` makes it again";
        rows.ok_or_else(|| StoreError::damaged("a segment", why))
    }

    fn row(&self, place: usize, meters: &Range<u32>) -> Option<Row> {
        let numbers: [u32; NUMBERS.len()] = std::array::from_fn(|column| self.numbers[column][place]);
        let [rater, currency, kind, period, owner, product, source, outcome, layer, rest @ ..] = numbers;
        let [card, above, reason, estimated, version, turn, debit, credit] = rest;
        let small = |number: u32| u8::try_from(number).ok();
        let name = |number: u32| NameId(i64::from(number));
        let maybe_name = |number: u32| (number != 0).then(|| name(number));
        let maybe = |number: i64| Some(number).filter(|number| *number != 0);
        let mut quantities = [0; Meter::COUNT];
        for meter in meters.start as usize..meters.end as usize {
            quantities[Meter::from_number(small(self.meter[meter])?)? as usize] += self.quantity[meter];
        }
        Some(Row {
            sequence: Sequence(self.sequence[place]),
            sealed: Sealed {
                block: BlockNumber(self.block[place]),
                recorded_at: Instant::from_micros(self.recorded_at[place]),
                version: Version(i64::from(version)),
                rater: u16::try_from(rater).ok()?,
            },
            kind: EntryKind::from_number(small(kind)?)?,
            event: maybe(self.event[place]).map(EventNumber),
            turn,
            reverses: maybe(self.reverses[place]).map(Sequence),
            occurred_at: Instant::from_micros(self.occurred_at[place]),
            period: Month::from_number(i32::try_from(period).ok()?),
            owner: OwnerId(i64::from(owner)),
            product: ProductId(i64::from(product)),
            source: name(source),
            debit: name(debit),
            credit: name(credit),
            amount: Amount::from_units(self.amount[place]),
            currency: Currency::of_number(currency)?,
            rated: self.rated[place].map(Amount::from_units),
            reported: self.reported[place].map(Amount::from_units),
            list: Amount::from_units(self.list[place]),
            calls: self.calls[place],
            quantities,
            outcome: Outcome::from_number(small(outcome)?)?,
            layer: Layer::from_number(small(layer)?)?,
            card: maybe_name(card),
            above: maybe_name(above),
            reason: maybe_name(reason),
            estimated: estimated != 0,
        })
    }
}

const fn at_column(query: &Query) -> &'static str {
    match query.clock {
        Clock::Occurred => "occurred_at",
        Clock::Recorded => "recorded_at",
    }
}

const LIMBS: [&str; 3] = ["micro", "femto", "yocto"];

fn limbs(of: &str) -> [String; 3] {
    LIMBS.map(|limb| if of.is_empty() { limb.to_owned() } else { format!("{of}_{limb}") })
}

/// The columns that an addend is read from.
fn columns_of(addend: Addend, of_meters: bool) -> Vec<String> {
    match addend {
        Addend::Amount => limbs("").to_vec(),
        // Calls and lists are of whole entries; a meter has none.
        Addend::Calls | Addend::List | Addend::Rated | Addend::Reported | Addend::Drift | Addend::CacheSavings if of_meters => {
            Vec::new()
        }
        Addend::CacheSavings => limbs("cache_savings").to_vec(),
        Addend::List => limbs("list").to_vec(),
        Addend::Rated => limbs("rated").to_vec(),
        Addend::Reported => limbs("reported").to_vec(),
        Addend::Drift => [limbs("reported"), limbs("rated")].concat(),
        Addend::Calls => vec!["calls".to_owned()],
        Addend::Tokens => vec!["tokens".to_owned()],
        Addend::Quantity if of_meters => vec!["quantity".to_owned()],
        Addend::Quantity | Addend::Entries => Vec::new(),
    }
}

/// Columns that were read.
struct Columns(HashMap<String, Values>);

impl Columns {
    fn numbers(&self, name: &str) -> &[u32] {
        if let Some(Values::Numbers(numbers)) = self.0.get(name) { numbers } else { &[] }
    }

    fn integers(&self, name: &str) -> &[i64] {
        match self.0.get(name) {
            Some(Values::Integers(integers) | Values::Instants(integers)) => integers,
            _ => &[],
        }
    }

    fn money(&self, of: &str) -> Vec<i128> {
        let [micro, femto, yocto] = limbs(of);
        let below = self.numbers(&femto).iter().zip(self.numbers(&yocto));
        let units = |micro: i64, (femto, yocto): (&u32, &u32)| {
            Amount::from_limbs(Limbs { micro, femto: i64::from(*femto), yocto: i64::from(*yocto) }).units()
        };
        match self.0.get(&micro) {
            Some(Values::Some(micros)) => {
                micros.iter().zip(below).map(|(micro, below)| micro.map_or(0, |micro| units(micro, below))).collect()
            }
            _ => self.integers(&micro).iter().zip(below).map(|(micro, below)| units(*micro, below)).collect(),
        }
    }

    fn take_numbers(&mut self, name: &str) -> Vec<u32> {
        if let Some(Values::Numbers(numbers)) = self.0.remove(name) { numbers } else { Vec::new() }
    }

    fn take_integers(&mut self, name: &str) -> Vec<i64> {
        match self.0.remove(name) {
            Some(Values::Integers(integers) | Values::Instants(integers)) => integers,
            _ => Vec::new(),
        }
    }

    /// Where there is one.
    fn is_there(&self, of: &str, rows: usize) -> Vec<bool> {
        match self.0.get(&limbs(of)[0]) {
            Some(Values::Some(micros)) => micros.iter().map(Option::is_some).collect(),
            _ => vec![true; rows],
        }
    }

    fn adding(&self, addend: Addend, of_meters: bool, rows: usize) -> Adding {
        match addend {
            Addend::Amount => Adding::Money(self.money("")),
            Addend::List | Addend::Rated | Addend::Reported | Addend::Drift | Addend::CacheSavings if of_meters => {
                Adding::Money(vec![0; rows])
            }
            Addend::CacheSavings => Adding::Money(self.money("cache_savings")),
            Addend::List => Adding::Money(self.money("list")),
            Addend::Rated => Adding::Money(self.money("rated")),
            Addend::Reported => Adding::Money(self.money("reported")),
            Addend::Drift => {
                let are_both = self.is_there("rated", rows).into_iter().zip(self.is_there("reported", rows));
                let amounts = self.money("reported").into_iter().zip(self.money("rated")).zip(are_both);
                let drift = |((reported, rated), are_both)| if are_both == (true, true) { reported - rated } else { 0 };
                Adding::Money(amounts.map(drift).collect())
            }
            Addend::Entries => Adding::Count(vec![i64::from(!of_meters); rows]),
            Addend::Calls if of_meters => Adding::Count(vec![0; rows]),
            Addend::Quantity if !of_meters => Adding::Count(vec![0; rows]),
            Addend::Calls => Adding::Count(self.integers("calls").to_vec()),
            Addend::Tokens => Adding::Count(self.integers("tokens").to_vec()),
            Addend::Quantity => Adding::Count(self.integers("quantity").to_vec()),
        }
    }
}

impl Farthing {
    /// The segments that hold nothing from a sequence on, in their order.
    pub async fn segments_until(&self, org: Org, until: i64) -> Result<Vec<Arc<Segment>>, StoreError> {
        let Some(segments) = &self.segments else { return Ok(Vec::new()) };
        let mut usable = Vec::new();
        for segment in segments.listed(org) {
            if segment.is_of_the_book.get().is_none() {
                let hash = self.store.block_hash(org, BlockNumber(segment.manifest.block)).await?;
                let is_ours = hash.is_some_and(|hash| hash.to_string() == segment.manifest.hash);
                if !is_ours {
                    tracing::warn!(segment = %segment.path.display(), "it is not of this book and is written anew");
                    segments.forget(&segment);
                }
                let _ = segment.is_of_the_book.set(is_ours);
            }
            if segment.is_of_the_book.get() == Some(&true) && segment.manifest.until <= until {
                usable.push(segment);
            }
        }
        Ok(usable)
    }

    /// Copies what is in no segment yet, once there is enough of it, and puts small ones together.
    pub async fn copy_to_segments(&self, org: Org, mut progress: impl FnMut(i64, i64)) -> Result<Copied, FlowError> {
        let mut copied = Copied::default();
        let Some(segments) = &self.segments else { return Ok(copied) };
        loop {
            let head = self.store.head(org).await?;
            let listed = self.segments_until(org, i64::MAX).await?;
            let Some((from, until, replaced)) = next(&segments.plan, &listed, head.next_sequence.0) else { return Ok(copied) };
            let Some((block, hash, until)) = self.store.block_that_ends(org, from, until).await? else { return Ok(copied) };
            let written = self.write_segment(segments, org, (from, until), (block, hash)).await?;
            replaced.iter().filter(|segment| segment.manifest.until <= until).for_each(|segment| segments.forget(segment));
            copied.segments += 1;
            copied.entries += written;
            progress(until, head.next_sequence.0);
        }
    }

    /// Deletes all segments of an org and makes them again.
    pub async fn rebuild_segments(&self, org: Org, progress: impl FnMut(i64, i64)) -> Result<Copied, FlowError> {
        let Some(segments) = &self.segments else {
            return Err(FlowError::Refused("there is no directory for segments; name one by --segments".to_owned()));
        };
        segments.listed(org).iter().for_each(|segment| segments.forget(segment));
        let _ = std::fs::remove_dir_all(segments.directory(org));
        self.copy_to_segments(org, progress).await
    }

    async fn write_segment(
        &self,
        segments: &Segments,
        org: Org,
        (from, until): (i64, i64),
        (block, hash): (BlockNumber, BlockHash),
    ) -> Result<u64, FlowError> {
        let copy = Copy::read(&self.store, org, from, until).await?;
        let directory = segments.directory(org);
        let entries = copy.entries.rows();
        let made = in_background(move || copy.write(&directory, (from, until), (block, hash))).await?;
        made.map_err(|why| FlowError::Refused(format!("cannot write a segment: {why}")))?;
        Ok(entries as u64)
    }
}

/// What to copy next, and which segments it takes the place of.
fn next(plan: &SegmentPlan, listed: &[Arc<Segment>], head: i64) -> Option<(i64, i64, Vec<Arc<Segment>>)> {
    let mut place = 1;
    for segment in listed {
        if segment.manifest.from > place {
            return Some((place, segment.manifest.from.min(place + plan.most), Vec::new()));
        }
        place = segment.manifest.until;
    }
    if head - place >= plan.tail {
        return Some((place, head.min(place + plan.most), Vec::new()));
    }
    let is_small = |segment: &&Arc<Segment>| segment.manifest.until - segment.manifest.from < plan.most / 2;
    let small: Vec<Arc<Segment>> = listed.iter().rev().take_while(is_small).cloned().collect();
    let (first, last) = (small.last()?, small.first()?);
    (small.len() >= TOGETHER)
        .then(|| (first.manifest.from, last.manifest.until.min(first.manifest.from + plan.most), small.clone()))
}

/// Entries on their way into a segment.
struct Copy {
    entries: Rows,
    meters: Rows,
    occurred: (i64, i64),
    sums: BTreeMap<String, Amount>,
}

/// The rows of a file: its columns, and what it is sorted by.
#[derive(Default)]
struct Rows {
    columns: Vec<(String, Values)>,
    order: Vec<(i64, i64, i64)>,
}

/// Entries that are read at once, and how many such pages ahead.
const PAGE: i64 = 10_000;
const PAGES_AHEAD: usize = 3;

impl Copy {
    async fn read(store: &Store, org: Org, from: i64, until: i64) -> Result<Copy, FlowError> {
        let margins = store.margins(org).await?;
        let (mut names, facts) = (Names::default(), Facts::default());
        let mut copy =
            Copy { entries: Rows::default(), meters: Rows::default(), occurred: (i64::MAX, i64::MIN), sums: BTreeMap::new() };
        let page = |place: i64| {
            let (store, until) = (store.clone(), until.min(place + PAGE));
            tokio::spawn(async move { store.lines_between(org, place, until, Wanted::ALL).await })
        };
        let mut places = (from..until).step_by(PAGE as usize);
        let mut ahead: VecDeque<_> = places.by_ref().take(PAGES_AHEAD).map(|place| (place, page(place))).collect();
        while let Some((place, lines)) = ahead.pop_front() {
            ahead.extend(places.next().map(|place| (place, page(place))));
            let (lines, after) = (lines.await.map_err(crate::flow::broke_off)??, place + PAGE);
            let spans = store.spans(org, place, until.min(after)).await?;
            let owners: Vec<OwnerId> = lines.iter().map(|line| line.owner).collect();
            let products: Vec<ProductId> = lines.iter().map(|line| line.product).collect();
            names.learn(store, org, &owners, &products, &[]).await?;
            let booked = Booked::all(&lines, &spans, &names, &facts, &margins, Clock::Occurred);
            copy.add(&booked, false)?;
            let meters: Vec<Booked> = booked.iter().flat_map(Booked::meters).collect();
            copy.add(&meters, true)?;
        }
        Ok(copy)
    }

    fn add(&mut self, booked: &[Booked], of_meters: bool) -> Result<(), FlowError> {
        let rows = if of_meters { &mut self.meters } else { &mut self.entries };
        let columns = columns(booked, of_meters)?;
        match rows.columns.is_empty() {
            true => rows.columns = columns,
            false => rows.columns.iter_mut().zip(columns).for_each(|((_, values), (_, more))| values.append(more)),
        }
        for booked in booked {
            let at = booked.line.occurred_at.micros();
            rows.order.push((at.div_euclid(3_600_000_000), booked.line.owner.0, booked.line.product.0));
            if !of_meters {
                self.occurred = (self.occurred.0.min(at), self.occurred.1.max(at));
                let sum = self.sums.entry(booked.line.currency.as_str().to_owned()).or_default();
                *sum = sum.checked_add(booked.money(Addend::Amount)).ok_or(crate::report::fold::TooLarge)?;
            }
        }
        Ok(())
    }

    /// Both files and then the manifest, each under another name until the disk has it.
    fn write(self, directory: &Path, (from, until): (i64, i64), (block, hash): (BlockNumber, BlockHash)) -> Result<(), String> {
        let said = |e: std::io::Error| e.to_string();
        std::fs::create_dir_all(directory).map_err(said)?;
        let mut random = [0; 8];
        let _ = getrandom::fill(&mut random);
        let temporary = |name: &str| directory.join(format!("{name}.{:016x}.tmp", u64::from_be_bytes(random)));
        let (entries, meters) = (self.entries.rows() as u64, self.meters.rows() as u64);
        let mut files = Vec::new();
        for (rows, what) in [(self.entries, "entries"), (self.meters, "meters")] {
            let name = format!("{from:012}-{until:012}.{what}.parquet");
            let path = temporary(&name);
            segment::write(&path, rows.sorted()).map_err(|e| e.to_string())?;
            let bytes = std::fs::read(&path).map_err(said)?;
            files.push(FileMark { blake3: blake3::hash(&bytes).to_string(), bytes: bytes.len() as u64, name });
        }
        // What was written is read again before anybody relies on it.
        let written = [0, 1].map(|place: usize| sums_of(&temporary(&files[place].name)));
        let sums: BTreeMap<String, String> =
            self.sums.iter().map(|(currency, sum)| (currency.clone(), sum.to_string())).collect();
        for sums_of_file in written {
            let sums_of_file = sums_of_file.map_err(|e| e.to_string())?;
            if sums_of_file != self.sums {
                return Err(format!("the files add up to {sums_of_file:?}, the book to {sums:?}"));
            }
        }
        for file in &files {
            std::fs::rename(temporary(&file.name), directory.join(&file.name)).map_err(said)?;
        }
        let manifest = Manifest {
            format: FORMAT,
            from,
            until,
            block: block.0,
            hash: hash.to_string(),
            occurred_first: self.occurred.0,
            occurred_last: self.occurred.1,
            entries,
            meters,
            sums,
            files,
        };
        let name = format!("{from:012}-{until:012}.json");
        let json = serde_json::to_vec_pretty(&manifest).map_err(|e| e.to_string())?;
        std::fs::write(temporary(&name), json).map_err(said)?;
        std::fs::rename(temporary(&name), directory.join(&name)).map_err(said)
    }
}

/// What a file adds up to.
fn sums_of(path: &Path) -> Result<BTreeMap<String, Amount>, SegmentError> {
    let names = ["currency", LIMBS[0], LIMBS[1], LIMBS[2]];
    let columns = Columns(names.map(str::to_owned).into_iter().zip(segment::read(path, &names)?).collect());
    let mut sums: BTreeMap<u32, i128> = BTreeMap::new();
    for (currency, amount) in columns.numbers("currency").iter().zip(columns.money("")) {
        *sums.entry(*currency).or_default() += amount;
    }
    let named =
        |(currency, sum): (u32, i128)| Some((Currency::of_number(currency)?.as_str().to_owned(), Amount::from_units(sum)));
    Ok(sums.into_iter().filter_map(named).collect())
}

impl Rows {
    fn rows(&self) -> usize {
        self.order.len()
    }

    /// By hour, owner and product, and then as they were booked: that is how they are compressed and read best.
    fn sorted(self) -> Vec<(String, Values)> {
        let mut order: Vec<u32> = (0..self.order.len() as u32).collect();
        order.sort_by_key(|place| self.order[*place as usize]);
        self.columns.into_iter().map(|(name, values)| (name, values.in_order(&order))).collect()
    }
}

/// The columns of a file. What is signed is what a report adds: a reversal is negative.
fn columns(booked: &[Booked], of_meters: bool) -> Result<Vec<(String, Values)>, FlowError> {
    let mut columns = Vec::with_capacity(64);
    let instants = |of: fn(&Booked) -> i64| Values::Instants(booked.iter().map(of).collect());
    let integers = |of: &dyn Fn(&Booked) -> i64| Values::Integers(booked.iter().map(of).collect());
    let numbers = |of: &dyn Fn(&Booked) -> i64| {
        let numbers = booked.iter().map(|booked| as_number(of(booked))).collect::<Result<_, FlowError>>();
        numbers.map(Values::Numbers)
    };
    columns.push(("sequence".to_owned(), integers(&|booked| booked.line.sequence.0)));
    columns.push(("occurred_at".to_owned(), instants(|booked| booked.line.occurred_at.micros())));
    columns.push(("recorded_at".to_owned(), instants(|booked| booked.span.map_or(0, |span| span.recorded_at.micros()))));
    columns.push(("block".to_owned(), integers(&|booked| booked.span.map_or(0, |span| span.block.0))));
    if !of_meters {
        columns.push(("owner".to_owned(), numbers(&|booked| booked.line.owner.0)?));
        columns.push(("product".to_owned(), numbers(&|booked| booked.line.product.0)?));
        columns.push(("rater".to_owned(), numbers(&|booked| booked.span.map_or(0, |span| i64::from(span.rater)))?));
    }
    columns.push(("currency".to_owned(), numbers(&|booked| i64::from(booked.line.currency.number()))?));
    for dimension in Dimension::of_entries().filter(|dimension| of_meters || *dimension != Dimension::Meter) {
        columns.push((dimension.to_string(), numbers(&|booked| booked.number(&dimension))?));
    }
    let mut money = |of: &str, amounts: Vec<Option<Amount>>, is_always: bool| {
        let [micro, femto, yocto] = limbs(of);
        let parts: Vec<Option<Limbs>> = amounts.into_iter().map(|amount| amount.map(Amount::limbs)).collect();
        let micros = parts.iter().map(|limbs| limbs.map(|limbs| limbs.micro));
        columns
            .push((micro, if is_always { Values::Integers(micros.flatten().collect()) } else { Values::Some(micros.collect()) }));
        let below = |limb: fn(Limbs) -> i64| Values::Numbers(parts.iter().map(|limbs| limbs.map_or(0, limb) as u32).collect());
        columns.push((femto, below(|limbs| limbs.femto)));
        columns.push((yocto, below(|limbs| limbs.yocto)));
    };
    money("", booked.iter().map(|booked| Some(booked.money(Addend::Amount))).collect(), true);
    if of_meters {
        money("rate", booked.iter().map(|booked| Some(Amount::from_units(booked.item?.rate?.units()))).collect(), false);
        columns.push(("quantity".to_owned(), integers(&|booked| booked.count(Addend::Quantity))));
        columns.push(("tokens".to_owned(), integers(&|booked| booked.count(Addend::Tokens))));
        let inherited = |booked: &Booked| booked.item.and_then(|item| item.inherited_from).map_or(0, |meter: Meter| meter as i64);
        columns.push(("inherited_from".to_owned(), numbers(&inherited)?));
        let card = |booked: &Booked| booked.item.and_then(|item| item.card).map_or(0, |card| card.0);
        columns.push(("item_card".to_owned(), numbers(&card)?));
    } else {
        money("list", booked.iter().map(|booked| Some(booked.money(Addend::List))).collect(), true);
        money("cache_savings", booked.iter().map(|booked| Some(booked.money(Addend::CacheSavings))).collect(), true);
        let signed = |addend: Addend, of: fn(&Line) -> Option<Amount>| {
            booked.iter().map(|booked| of(booked.line).map(|_| booked.money(addend))).collect()
        };
        money("rated", signed(Addend::Rated, |line| line.rated), false);
        money("reported", signed(Addend::Reported, |line| line.reported), false);
        columns.push(("calls".to_owned(), integers(&|booked| booked.count(Addend::Calls))));
        columns.push(("tokens".to_owned(), integers(&|booked| booked.count(Addend::Tokens))));
        columns.push(("event".to_owned(), integers(&|booked| booked.line.event.map_or(0, |event| event.0))));
        columns.push(("reverses".to_owned(), integers(&|booked| booked.line.reverses)));
        type OfLine = fn(&Line) -> i64;
        let more: [(&str, OfLine); 5] = [
            ("turn", |line| line.turn),
            ("debit", |line| line.debit.0),
            ("credit", |line| line.credit.0),
            ("above", |line| line.above),
            ("reason", |line| line.reason),
        ];
        for (name, of) in more {
            columns.push((name.to_owned(), numbers(&|booked| of(booked.line))?));
        }
    }
    Ok(columns)
}
