//! Verification: every block's hash is computed again from the rows it covers, and every block must chain to the one
//! before, up to the head. The first thing that does not fit is named: the block, and the record in it. `deep` also asks
//! whether what was sealed is right: every charge is rated again, every correction held against what it corrects, and
//! `lists` holds everything that is derived from the book against it.
//!
//! Rows are read in runs of bounded size and nothing is locked, so a book is verified while others write to it: up to the
//! head that it had at the beginning.

mod deep;
mod left;
mod lists;

pub use deep::{Deepened, Otherwise};

use crate::flow::publish::hash_of;
use crate::flow::{Farthing, FlowError};
use crate::id::{BlockNumber, Org, Sequence, Version};
use crate::ledger::Entry;
use crate::ledger::decision::Closed;
use crate::ledger::seal::{BlockHash, Dimensions, EventRow, FORMAT, Header, MARK, Sealer, name_hash};
use crate::store::{Block, ContentHash, Head, PublishedVersion, StoreError, StoredName};
use deep::Deep;
use left::Left;
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;

/// What a book holds, if everything fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub blocks: i64,
    pub events: i64,
    pub entries: i64,
    pub head: BlockHash,
    /// What a look beyond the hashes came to, where one was asked for.
    pub deep: Option<Deepened>,
}

/// The first thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// 0 where it is in no block.
    pub block: BlockNumber,
    /// The record, where it can be told apart from the rest of its block.
    pub record: Option<String>,
    pub why: String,
}

/// Why a walk through a book ends early.
enum Stop {
    Broken(Broken),
    Failed(FlowError),
}

/// Where the next block begins.
#[derive(Clone, Copy)]
struct Place {
    record: i64,
    sequence: i64,
    name: i64,
    owner: i64,
    product: i64,
}

const START: Place = Place { record: 1, sequence: 1, name: 1, owner: 1, product: 1 };

/// Rows of a run of blocks, read at once: most blocks are small.
struct Rows {
    names: Vec<StoredName>,
    owners: Vec<(i64, Dimensions)>,
    products: Vec<(i64, Dimensions)>,
    events: Vec<EventRow>,
    entries: Vec<Entry>,
}

/// The hash of every catalog version, or what is wrong with it.
type Versions = HashMap<Version, Result<ContentHash, String>>;

/// Which part of a book is walked through, up to its head.
#[derive(Clone, Copy)]
enum Walk {
    Whole,
    /// What follows a block.
    After(BlockNumber),
    /// The same where nothing else is there, and of the catalog versions only those that its blocks name.
    Excerpt(BlockNumber),
}

pub(crate) const BLOCKS_AT_ONCE: i64 = 200;
/// Rows that are in memory at once, unless one block alone has more.
pub(crate) const ROWS_AT_ONCE: i64 = 20_000;

impl Farthing {
    /// Whether every hash fits. `progress` is told how far the walk is, and how far the book goes.
    pub async fn verify(
        &self,
        org: Org,
        progress: impl Fn(BlockNumber, BlockNumber),
    ) -> Result<Result<Verified, Broken>, FlowError> {
        told(self.walk(org, Walk::Whole, None, progress).await)
    }

    /// Whether the hashes of the newest blocks fit.
    pub async fn verify_newest(&self, org: Org, blocks: i64) -> Result<Result<Verified, Broken>, FlowError> {
        let head = self.store.head(org).await?;
        self.verify_after(org, BlockNumber((head.block.0 - blocks).max(0)), |_, _| {}).await
    }

    /// Whether the hashes of what follows a block fit; what comes before it is proved elsewhere.
    pub async fn verify_after(
        &self,
        org: Org,
        block: BlockNumber,
        progress: impl Fn(BlockNumber, BlockNumber),
    ) -> Result<Result<Verified, Broken>, FlowError> {
        told(self.walk(org, Walk::After(block), None, progress).await)
    }

    /// The same of a database that holds an excerpt of a book and the block before it.
    pub async fn verify_excerpt(
        &self,
        org: Org,
        after: BlockNumber,
        progress: impl Fn(BlockNumber, BlockNumber),
    ) -> Result<Result<Verified, Broken>, FlowError> {
        told(self.walk(org, Walk::Excerpt(after), None, progress).await)
    }

    /// Whether every hash fits, and whether what was sealed is what the catalog and the events say.
    pub async fn verify_deep(
        &self,
        org: Org,
        progress: impl Fn(BlockNumber, BlockNumber),
    ) -> Result<Result<Verified, Broken>, FlowError> {
        let walk = async {
            let mut deep = Deep::new(self, org);
            let verified = self.walk(org, Walk::Whole, Some(&mut deep), progress).await?;
            self.verify_lists(org).await?;
            self.verify_decisions(org).await?;
            let deepened = deep.finish(verified.entries).await?;
            self.verify_segments(org).await?;
            Ok(Verified { deep: Some(deepened), ..verified })
        };
        told(walk.await)
    }

    async fn walk(
        &self,
        org: Org,
        which: Walk,
        mut deep: Option<&mut Deep<'_>>,
        progress: impl Fn(BlockNumber, BlockNumber),
    ) -> Result<Verified, Stop> {
        let name = self.store.org_name(org).await?;
        let (head, versions) = self.settled(org).await?;
        let versions = self.verify_catalogs(org, versions).await?;
        let (mut before, mut place) = ((BlockNumber(0), BlockHash::of_empty_book(&name)), START);
        let (from, is_excerpt) = (which.from(), matches!(which, Walk::Excerpt(_)));
        if from > before.0 {
            let start = self.blocks_before(org, BlockNumber(from.0 - 1), &head).await?.remove(0);
            (before, place) = ((start.header.block, start.hash), after(&start));
        }
        let (mut sealed_at, mut judged) = (None, None);
        // Which months are closed is known from the beginning or not at all.
        let mut closed = (from.0 == 0 && !is_excerpt).then(Closed::default);
        while before.0 < head.block {
            let blocks = self.blocks_before(org, before.0, &head).await?;
            let (mut runs, ends) = runs(&blocks, place, before.0);
            while let Some(run) = runs.pop_front() {
                let Some(rows) = self.rows_of(org, place, &blocks[run.clone()]).await? else {
                    // One of them cannot be read; those before it are checked first.
                    run.rev().for_each(|one| runs.push_front(one..one + 1));
                    continue;
                };
                let (run, from) = (&blocks[run], place);
                for block in run {
                    let here = place;
                    check(block, before, &mut place, &rows, &versions)?;
                    if let Some(closed) = &mut closed {
                        check_months(block, here, &rows, closed)?;
                    }
                    before = (block.header.block, block.hash);
                    sealed_at = Some(block.header.sealed_at);
                }
                if let (Some(deep), None) = (deep.as_deref_mut(), &judged) {
                    // A deep look reads what is said of an event later on too: whether that is whole shows first.
                    judged = deep.look_at(run, from, &rows).await.err();
                }
                progress(before.0, head.block);
            }
            ends?;
        }
        check_head(&head, before, place, closed.as_ref())?;
        if sealed_at.is_some_and(|sealed_at| sealed_at != head.sealed_at) {
            return broken(head.block, None, "the head of the book was sealed at another time than its last block");
        }
        if !is_excerpt {
            check_versions(&head, &versions)?;
        }
        self.verify_ends(org).await?;
        if let Some(stop) = judged {
            return Err(stop);
        }
        Ok(Verified { blocks: head.block.0, events: place.record - 1, entries: place.sequence - 1, head: head.hash, deep: None })
    }

    /// The head and the versions that are there with it; others may be published at any moment.
    async fn settled(&self, org: Org) -> Result<(Head, Vec<(Version, Result<PublishedVersion, String>)>), Stop> {
        loop {
            let before = self.store.head(org).await?;
            let versions = self.store.versions_one_by_one(org).await?;
            let head = self.store.head(org).await?;
            if before.version == head.version {
                return Ok((head, versions));
            }
        }
    }

    /// The next blocks, up to the head that is verified. One that cannot even be read is reached by itself, and named.
    async fn blocks_before(&self, org: Org, after: BlockNumber, head: &Head) -> Result<Vec<Block>, Stop> {
        let blocks = match self.store.blocks_after(org, after, BLOCKS_AT_ONCE).await {
            Err(StoreError::Damaged { .. }) => match self.store.blocks_after(org, after, 1).await {
                Err(StoreError::Damaged { why, .. }) => return broken(after.next(), None, why),
                blocks => blocks?,
            },
            blocks => blocks?,
        };
        let blocks: Vec<Block> = blocks.into_iter().take_while(|block| block.header.block <= head.block).collect();
        if blocks.is_empty() { broken(after.next(), None, "the block is missing") } else { Ok(blocks) }
    }

    /// The rows that a run of blocks covers; nothing where one of them cannot even be read and it may be in any of several.
    async fn rows_of(&self, org: Org, from: Place, run: &[Block]) -> Result<Option<Rows>, Stop> {
        let last = &run[run.len() - 1];
        match self.rows_between(org, from, after(last)).await {
            Err(StoreError::Damaged { .. }) if run.len() > 1 => Ok(None),
            Err(StoreError::Damaged { why, .. }) => broken(last.header.block, record_in(&why), why),
            rows => Ok(Some(rows?)),
        }
    }

    async fn rows_between(&self, org: Org, from: Place, until: Place) -> Result<Rows, StoreError> {
        Ok(Rows {
            names: self.store.names_between(org, from.name, until.name).await?,
            owners: self.store.owners_between(org, from.owner, until.owner).await?,
            products: self.store.products_between(org, from.product, until.product).await?,
            events: self.store.records_between(org, from.record, until.record).await?,
            entries: self.store.entries_at_once(org, from.sequence, until.sequence).await?,
        })
    }

    /// Every version's parts have the hashes it names, and the version has the hash of those.
    async fn verify_catalogs(
        &self,
        org: Org,
        versions: Vec<(Version, Result<PublishedVersion, String>)>,
    ) -> Result<Versions, Stop> {
        let mut hashes = HashMap::new();
        // Most parts are in most versions; each is looked at once.
        let mut whole: HashSet<ContentHash> = HashSet::new();
        let seals: HashMap<_, _> = self.store.version_seals(org).await?.into_iter().collect();
        for (number, version) in versions {
            let seal = seals.get(&number).copied().flatten();
            let verdict = match version {
                Ok(version) => self.verify_version(org, &version, seal, &mut whole).await?,
                Err(why) => Err(why),
            };
            hashes.insert(number, verdict);
        }
        Ok(hashes)
    }

    async fn verify_version(
        &self,
        org: Org,
        version: &PublishedVersion,
        seal: Option<ContentHash>,
        whole: &mut HashSet<ContentHash>,
    ) -> Result<Result<ContentHash, String>, Stop> {
        let parts = match self.store.contents(org, version.version).await {
            Err(StoreError::Damaged { why, .. }) => return Ok(Err(why)),
            parts => parts?,
        };
        for part in &parts {
            if !whole.contains(&part.hash) && !self.has_its_hash(&part.hash).await? {
                return Ok(Err(format!("part {} does not have its hash", part.name)));
            }
            whole.insert(part.hash);
        }
        Ok(if hash_of(&parts) != version.hash {
            Err("its parts are not those that it was published with".to_owned())
        } else if seal.is_some_and(|seal| seal != version.seal()) {
            // Versions of before there were such seals have none.
            Err("who published it, when or why is not what was written down then".to_owned())
        } else {
            Ok(version.hash)
        })
    }

    async fn has_its_hash(&self, hash: &ContentHash) -> Result<bool, Stop> {
        let text = match self.store.part_texts(&[*hash]).await {
            Err(StoreError::Damaged { .. }) => return Ok(false),
            texts => texts?.pop(),
        };
        Ok(text.is_some_and(|(_, text)| blake3::hash(text.as_bytes()) == *hash))
    }

    /// Nothing lies outside of what the blocks cover. Whatever is there when it is asked is covered by a head that is read
    /// afterwards.
    async fn verify_ends(&self, org: Org) -> Result<(), Stop> {
        let ends = self.store.ends(org).await?;
        let head = self.store.head(org).await?;
        let next =
            [head.next_record, head.next_sequence.0, head.next_name.0, head.next_owner.0, head.next_product.0, head.block.0 + 1];
        for ((what, first, last), next) in ends.into_iter().zip(next) {
            if let Some(stray) = first.filter(|first| *first < 1).or(last.filter(|last| *last >= next)) {
                return broken(BlockNumber(0), Some(format!("{what} {stray}")), "no block covers it");
            }
        }
        Ok(())
    }
}

impl Walk {
    /// The block that the first one to be walked through follows.
    fn from(self) -> BlockNumber {
        match self {
            Walk::Whole => BlockNumber(0),
            Walk::After(block) | Walk::Excerpt(block) => block,
        }
    }
}

fn told<T>(walk: Result<T, Stop>) -> Result<Result<T, Broken>, FlowError> {
    match walk {
        Ok(verified) => Ok(Ok(verified)),
        // Whatever cannot be read where it is not said more exactly is a finding too, not a failure.
        Err(Stop::Failed(FlowError::Store(StoreError::Damaged { what, why }))) => {
            Ok(Err(Broken { block: BlockNumber(0), record: None, why: format!("{what} is damaged: {why}") }))
        }
        Err(Stop::Broken(broken)) => Ok(Err(broken)),
        Err(Stop::Failed(e)) => Err(e),
    }
}

fn broken<T>(block: BlockNumber, record: Option<String>, why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Broken(Broken { block, record, why: why.into() }))
}

impl<E: Into<FlowError>> From<E> for Stop {
    fn from(e: E) -> Stop {
        Stop::Failed(e.into())
    }
}

/// The record that an unreadable row says it is: `entry 7: its kind is unknown`.
fn record_in(why: &str) -> Option<String> {
    let (record, _) = why.split_once(": ")?;
    record.starts_with("entry ").then(|| record.to_owned())
}

fn after(block: &Block) -> Place {
    Place {
        record: block.records.1,
        sequence: block.sequences.1,
        name: block.name_until,
        owner: block.owner_until,
        product: block.product_until,
    }
}

/// How many rows there are from one place to another; nothing where they are not in order.
fn rows_from(from: Place, until: Place) -> Option<i64> {
    let steps = [
        until.record.checked_sub(from.record)?,
        until.sequence.checked_sub(from.sequence)?,
        until.name.checked_sub(from.name)?,
        until.owner.checked_sub(from.owner)?,
        until.product.checked_sub(from.product)?,
    ];
    steps.into_iter().try_fold(0_i64, |sum, step| if step < 0 { None } else { sum.checked_add(step) })
}

/// Cuts blocks into runs of bounded size, and says whether they end before a block that does not fit. A block says how many
/// rows it covers twice, by its ranges and by its marks; one that contradicts itself must not decide how much is read.
fn runs(blocks: &[Block], mut place: Place, mut before: BlockNumber) -> (VecDeque<Range<usize>>, Result<(), Stop>) {
    let (mut runs, mut rows): (VecDeque<Range<usize>>, i64) = (VecDeque::new(), 0);
    for (number, block) in blocks.iter().enumerate() {
        let covered = match covered(block, place, before) {
            Ok(covered) => covered,
            Err(stop) => return (runs, Err(stop)),
        };
        rows += covered;
        match runs.back_mut() {
            Some(run) if rows <= ROWS_AT_ONCE => run.end = number + 1,
            _ => {
                runs.push_back(number..number + 1);
                rows = covered;
            }
        }
        (place, before) = (after(block), block.header.block);
    }
    (runs, Ok(()))
}

/// How many rows a block covers after the one before.
fn covered(block: &Block, place: Place, before: BlockNumber) -> Result<i64, Stop> {
    let at = block.header.block;
    if at != before.next() {
        return broken(at, None, format!("it follows block {before}; the blocks between are missing"));
    }
    if (block.records.0, block.sequences.0) != (place.record, place.sequence) {
        return broken(at, None, "its rows do not follow those of the block before");
    }
    match rows_from(place, after(block)).filter(|covered| usize::try_from(*covered).ok() == marks_of(block)) {
        Some(covered) => Ok(covered),
        None => broken(at, None, "its ranges do not cover as many rows as were sealed"),
    }
}

fn marks_of(block: &Block) -> Option<usize> {
    block.marks.len().is_multiple_of(MARK).then_some(block.marks.len() / MARK)
}

/// Those of rows in order whose numbers are from one up to another.
fn between<T>(rows: &[T], from: i64, until: i64, number: impl Fn(&T) -> i64) -> &[T] {
    let start = rows.partition_point(|row| number(row) < from);
    let end = rows.partition_point(|row| number(row) < until);
    &rows[start..end]
}

/// Seals a block again and compares.
fn check(
    block: &Block,
    before: (BlockNumber, BlockHash),
    place: &mut Place,
    rows: &Rows,
    versions: &Versions,
) -> Result<(), Stop> {
    let number = block.header.block;
    let wrong = |record: Option<String>, why: &str| broken(number, record, why);
    if block.header.format != FORMAT {
        return wrong(None, &format!("its format is {}; this version knows {FORMAT}", block.header.format));
    }
    let version = block.header.version;
    let catalog = match versions.get(&version) {
        Some(Ok(catalog)) => *catalog,
        Some(Err(why)) => return wrong(Some(format!("catalog version {version}")), why),
        None => return wrong(None, &format!("its catalog version {version} does not exist")),
    };

    let until = after(block);
    let left = Left::of(&rows.names, &rows.owners, &rows.products, *place, until);
    let events = between(&rows.events, place.record, until.record, |event| event.record);
    let entries = between(&rows.entries, place.sequence, until.sequence, |entry| entry.sequence.0);
    let counts = [
        ("events", events.len() as i64, until.record - place.record),
        ("entries", entries.len() as i64, until.sequence - place.sequence),
    ];
    for (what, found, expected) in left.counts(*place, until).into_iter().chain(counts) {
        if found != expected {
            return wrong(None, &format!("it covers {expected} {what} and {found} are there"));
        }
    }

    let header = Header { previous: before.1, catalog, ..block.header.clone() };
    let mut sealer = Sealer::new(&header);
    let mut records = left.seal(number, &mut sealer)?;
    for event in events {
        sealer.event(event);
        records.push(("event record", event.record));
    }
    let occurred = entries.iter().map(|entry| entry.occurred_at);
    let occurred = occurred.clone().min().zip(occurred.max());
    for entry in entries {
        sealer.entry(entry);
        records.push(("entry", entry.sequence.0));
    }
    let (hash, marks) = sealer.finish();
    if let Some(first) = marks.chunks(MARK).zip(block.marks.chunks(MARK)).position(|(ours, theirs)| ours != theirs) {
        let record = records.get(first).map(|(what, number)| format!("{what} {number}"));
        return wrong(record, "its bytes are not those that were sealed");
    }
    if hash != block.hash {
        return wrong(None, "its header or its hash is not what was sealed");
    }
    if occurred != block.occurred {
        return wrong(None, "its range of time is not that of its entries");
    }
    *place = until;
    Ok(())
}

/// A name has the hash of its text. One that was erased has lost its salt too, so that nobody can test a guess against it.
fn not_its_hash(name: &StoredName) -> Option<&'static str> {
    match &name.text {
        Some(text) if name_hash(&name.salt, name.kind, text) != name.hash => Some("its text does not have its hash"),
        None if name.salt != [0; 16] => Some("its text was erased and its salt is still there"),
        _ => None,
    }
}

/// No entry lands in a month that is closed, and a block that closes one says it.
fn check_months(block: &Block, from: Place, rows: &Rows, closed: &mut Closed) -> Result<(), Stop> {
    let (number, until) = (block.header.block, after(block));
    let first_open = closed.first_open();
    let entries = between(&rows.entries, from.sequence, until.sequence, |entry| entry.sequence.0);
    if let Some(entry) = entries.iter().find(|entry| entry.period < first_open) {
        let why = format!("it counts in {}, which is closed", entry.period);
        return broken(number, Some(format!("entry {}", entry.sequence)), why);
    }
    for event in between(&rows.events, from.record, until.record, |event| event.record) {
        let learned = closed.learn(event.state, &event.body);
        learned.or_else(|why| broken(number, Some(format!("event record {}", event.record)), why))?;
    }
    Ok(())
}

fn check_head(head: &Head, before: (BlockNumber, BlockHash), place: Place, closed: Option<&Closed>) -> Result<(), Stop> {
    if head.hash != before.1 {
        return broken(head.block, None, "the head of the book carries another hash");
    }
    if let Some(first_open) = closed.map(Closed::first_open).filter(|first_open| *first_open != head.first_open) {
        let why = format!("its first open month is {} and by what was closed {first_open}", head.first_open);
        return broken(head.block, None, format!("the head of the book is not what was decided: {why}"));
    }
    let ends = (head.next_record, head.next_sequence, head.next_name.0, head.next_owner.0, head.next_product.0);
    if ends != (place.record, Sequence(place.sequence), place.name, place.owner, place.product) {
        return broken(head.block, None, "the head of the book continues elsewhere than its last block ends");
    }
    Ok(())
}

/// The versions are counted from one up to the one in force, and none of them is damaged, whether a block names it or not.
fn check_versions(head: &Head, versions: &Versions) -> Result<(), Stop> {
    let mut damaged: Vec<(Version, &String)> =
        versions.iter().filter_map(|(version, verdict)| Some((*version, verdict.as_ref().err()?))).collect();
    damaged.sort_unstable();
    if let Some((version, why)) = damaged.first() {
        return broken(BlockNumber(0), Some(format!("catalog version {version}")), (*why).clone());
    }
    let newest = head.version.0;
    if versions.len() as i64 != newest || !(1..=newest).all(|version| versions.contains_key(&Version(version))) {
        let why = format!("the head of the book names catalog version {newest} and {} are there", versions.len());
        return broken(head.block, None, why);
    }
    Ok(())
}
