//! An archive, read from its files alone: reports are asked of it as of the book, and it is proved as the book is. The chain
//! is walked from the block before the excerpt to its end, and what the month comes to is held against its closing. What it
//! brings along from before its first block is proved together with the book alone.

use super::{BOOK, CLOSING, SEGMENTS, against, options};
use crate::export::manifest::{Manifest, Sum};
use crate::flow::accounts::Wanted;
use crate::flow::export::files::{COMPLETE, ExportError, Named, check, read_manifest};
use crate::flow::report::Answer;
use crate::flow::segments::SegmentPlan;
use crate::flow::verify::{Broken, Verified};
use crate::flow::{Farthing, FlowError};
use crate::id::{BlockNumber, Org, Sequence};
use crate::ledger::decision::{Closing, hash_of_balances};
use crate::ledger::seal::BlockHash;
use crate::report::{Cell, Dimension, Filter, Measure, Of, Query, Table};
use crate::scratch::Scratch;
use crate::store::{Store, StoreError};
use crate::time::Month;
use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A month of a book, by itself.
pub struct Archive {
    farthing: Farthing,
    org: Org,
    pub month: Month,
    pub closing: Closing,
    directory: PathBuf,
    /// Where a copy lies that was brought to this program's schema; it goes with the archive.
    _converted: Option<Scratch>,
}

/// What lies in an archive and is of blocks before its first one. Its own hashes do not prove that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    pub names: i64,
    pub owners: i64,
    pub products: i64,
    pub events: i64,
}

/// What an archive was proved to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// Its blocks: the first and the last one, and the hash of that.
    pub blocks: (BlockNumber, BlockNumber),
    pub hash: BlockHash,
    pub events: i64,
    pub entries: i64,
    /// The hash that its first block chains to.
    pub follows: BlockHash,
    pub brought: Brought,
    /// What counts in the month.
    pub sums: Vec<Sum>,
}

impl Archive {
    /// An archive that is complete.
    pub async fn open(directory: &Path) -> Result<Archive, ExportError> {
        let manifest = read_manifest(&directory.join(COMPLETE))?.ok_or_else(|| no_archive(directory))?;
        every_copy_is_named(directory, &manifest)?;
        let file = directory.join(CLOSING);
        let bytes = std::fs::read(&file).map_err(|_| no_archive(directory))?;
        let closing = Closing::read(&bytes).map_err(|why| differs(CLOSING, why))?;
        Archive::look_at(directory, closing).await
    }

    /// The archive of a closing.
    pub(super) async fn look_at(directory: &Path, closing: Closing) -> Result<Archive, ExportError> {
        let month = closing.month().map_err(|why| differs(CLOSING, why))?;
        let book = directory.join(BOOK);
        if !book.exists() {
            return Err(no_archive(directory));
        }
        let (opened, converted) = match Farthing::open_read_only(&options(&book, "?immutable=1")).await {
            Err(FlowError::Store(StoreError::OtherSchema { applied, known })) if applied < known => {
                let scratch = converted(&book).await?;
                (Farthing::open_read_only(&options(&scratch.file(BOOK), "?immutable=1")).await?, Some(scratch))
            }
            opened => (opened?, None),
        };
        let plan = SegmentPlan::of_an_archive(directory.join(SEGMENTS));
        let farthing = opened.with_segments(cfg!(feature = "polars").then_some(plan));
        let orgs = farthing.store.orgs().await?;
        let [(org, _)] = orgs[..] else { return Err(differs(BOOK, format!("it holds {} books and not one", orgs.len()))) };
        Ok(Archive { farthing, org, month, closing, directory: directory.to_owned(), _converted: converted })
    }

    /// Asks what counts in its month; the book, asked for the same month, answers the same.
    pub async fn report(&self, query: &Query) -> Result<Answer, FlowError> {
        if query.of == Of::Held {
            let why = "an archive holds what was booked; usage that had no amount stands in its closing";
            return Err(FlowError::Refused(why.to_owned()));
        }
        let mut query = query.clone();
        query.filters.push(Filter { dimension: Dimension::Period, values: vec![self.month.to_string()] });
        self.farthing.report(self.org, &query).await
    }

    pub(super) fn store(&self) -> &Store {
        &self.farthing.store
    }

    /// The number of its org, in its own database.
    pub(super) fn org(&self) -> Org {
        self.org
    }

    pub(super) fn differs(&self, why: String) -> ExportError {
        differs(&self.directory.join(BOOK).display().to_string(), why)
    }

    /// Whether every hash of its blocks fits, its month comes to what it was closed with, and its copies say the same.
    pub async fn prove(&self, progress: impl Fn(BlockNumber, BlockNumber)) -> Result<Proved, ExportError> {
        let (store, org) = (&self.farthing.store, self.org);
        let before = store.follows(org).await?;
        let verified = self.farthing.verify_excerpt(org, before, progress).await?.map_err(told)?;
        let head = store.head(org).await?;
        let (follows, records, sequences, brought) = match self.before().await? {
            Some(block) => {
                self.farthing.verify_names_until(org, block.name_until).await?.map_err(told)?;
                let events = store.records_before(org, block.records.1).await?;
                let [names, owners, products] = [block.name_until, block.owner_until, block.product_until].map(|next| next - 1);
                (block.hash, block.records.1, block.sequences.1, Brought { names, owners, products, events })
            }
            None => (BlockHash::of_empty_book(&store.org_name(org).await?), 1, 1, Brought::default()),
        };
        let sums = self.sums(true).await?;
        self.is_as_closed(before, &sums).await?;
        self.is_as_copied(&sums).await?;
        Ok(Proved {
            blocks: (before.next(), head.block),
            hash: head.hash,
            events: verified.events - (records - 1),
            entries: verified.entries - (sequences - 1),
            follows,
            brought,
            sums,
        })
    }

    /// Holds the month against what its closing says.
    async fn is_as_closed(&self, before: BlockNumber, sums: &[Sum]) -> Result<(), ExportError> {
        let closing = &self.closing;
        if closing.is_as_signed() == Some(false) {
            return Err(differs(CLOSING, "it is not what was signed"));
        }
        let balances = self.farthing.summed(self.org, self.month, Sequence(i64::MAX)).await?;
        if hash_of_balances(&balances) != closing.balances || balances.len() as u64 != closing.accounts {
            return Err(differs(BOOK, format!("the balances of {} are not those that it was closed with", self.month)));
        }
        let entries: u64 = sums.iter().map(|sum| sum.rows).sum();
        if i64::try_from(entries) != Ok(closing.entries) {
            let why = format!("{entries} entries count in {} and it was closed with {}", self.month, closing.entries);
            return Err(differs(BOOK, why));
        }
        // A book goes on after the month; the block up to which it was proved may lie beyond its end.
        let hash = self.farthing.store.block_hash(self.org, BlockNumber(closing.block)).await?;
        match hash {
            Some(hash) if closing.block > before.0 && hash.to_string() != closing.hash => {
                Err(differs(BOOK, format!("block {} has another hash than the closing says", closing.block)))
            }
            _ => Ok(()),
        }
    }

    /// Holds what the copies in columns come to against what the entries come to.
    async fn is_as_copied(&self, sums: &[Sum]) -> Result<(), ExportError> {
        if self.farthing.segments.is_none() {
            return Ok(());
        }
        let wanted = |scan| Wanted { period: Some(self.month), scan, ..Wanted::default() };
        let (of_copies, _) = self.farthing.balances(self.org, &wanted(false)).await?;
        let (of_entries, _) = self.farthing.balances(self.org, &wanted(true)).await?;
        if of_copies != of_entries || self.sums(false).await? != sums {
            return Err(differs(SEGMENTS, "the copies in columns do not come to what the entries come to"));
        }
        Ok(())
    }

    /// What counts in the month, by currency and kind: from the entries themselves, or from copies where there are any.
    async fn sums(&self, scan: bool) -> Result<Vec<Sum>, FlowError> {
        let (by, show) = (vec![Dimension::Kind], vec![Measure::Amount, Measure::Calls, Measure::Entries]);
        let query = Query { by, show, scan, ..Query::default() };
        let mut sums = sums_of(&self.report(&query).await?.table)?;
        sums.sort_by(|one, other| (&one.currency, &one.kind).cmp(&(&other.currency, &other.kind)));
        Ok(sums)
    }

    /// Lets go of its files.
    pub async fn close(self) {
        self.farthing.store.close().await;
    }
}

/// Whether the files of a directory are what their manifest says, and prove what their closing says.
pub async fn verify(
    directory: &Path,
    progress: impl Fn(BlockNumber, BlockNumber),
) -> Result<(Manifest, Closing, Proved), ExportError> {
    if !directory.is_dir() {
        return Err(no_archive(directory));
    }
    let manifest = check(directory, &|_| Ok(None))?;
    if manifest.asked.what != "archive" {
        let (directory, what) = (directory.display(), &manifest.asked.what);
        return Err(ExportError::Refused(format!("{directory} holds an export of {what}; `farthing export verify` checks it")));
    }
    let archive = Archive::open(directory).await?;
    let (proved, closing) = (archive.prove(progress).await, archive.closing.clone());
    archive.close().await;
    let proved = proved?;
    let told = manifest.parts.iter().find(|part| part.file == BOOK).map(|part| &part.sums);
    if told != Some(&proved.sums) || manifest.book.hash != proved.hash.to_string() {
        return Err(differs(BOOK, "it is not what the manifest says"));
    }
    Ok((manifest, closing, proved))
}

/// Proves a book of which rows were taken away: archives prove its blocks from the first one on, and it proves the rest itself.
/// What holds them together are the hashes of its blocks, which are all there, and what else is there of those blocks is held
/// against the archives.
pub async fn verify_with(
    book: &Farthing,
    org: Org,
    directories: &[PathBuf],
    progress: impl Fn(BlockNumber, BlockNumber),
) -> Result<Result<Verified, Broken>, ExportError> {
    let mut proved = Vec::with_capacity(directories.len());
    for directory in directories {
        proved.push((verify(directory, &progress).await?.2, directory));
    }
    proved.sort_by_key(|(proved, _)| proved.blocks);
    let mut reached = BlockNumber(0);
    for (proved, directory) in &proved {
        let (first, last) = proved.blocks;
        let refused = |why: String| Err(ExportError::Refused(format!("{}: {why}", directory.display())));
        if first > reached.next() {
            return refused(format!("it begins at block {first}, and no archive proves block {}", reached.next()));
        }
        let before = BlockNumber(first.0 - 1);
        let follows = match before.0 {
            0 => Some(BlockHash::of_empty_book(&book.store.org_name(org).await?)),
            _ => book.store.block_hash(org, before).await?,
        };
        if follows != Some(proved.follows) || book.store.block_hash(org, last).await? != Some(proved.hash) {
            return refused("it is of another book".to_owned());
        }
        reached = reached.max(last);
    }
    let mut archives = Vec::with_capacity(directories.len());
    for (_, directory) in &proved {
        archives.push(Archive::open(directory).await?);
    }
    let held = hold(&archives, book, org, reached, progress).await;
    for archive in archives {
        archive.close().await;
    }
    held
}

async fn hold(
    archives: &[Archive],
    book: &Farthing,
    org: Org,
    reached: BlockNumber,
    progress: impl Fn(BlockNumber, BlockNumber),
) -> Result<Result<Verified, Broken>, ExportError> {
    if let Some(broken) = against::hold(archives, &book.store, org).await? {
        return Ok(Err(broken));
    }
    // Rows that are there all the same are proved like any others.
    let gone = book.store.taken_out(org).await?.unwrap_or(BlockNumber(0));
    let verified = match book.verify_what_is_left(org, gone.min(reached), progress).await? {
        Ok(verified) => verified,
        Err(broken) => return Ok(Err(broken)),
    };
    Ok(against::decided(archives, &book.store, org).await?.map_or(Ok(verified), Err))
}

fn told(broken: Broken) -> ExportError {
    let block = (broken.block.0 > 0).then(|| format!("block {}", broken.block));
    let place: Vec<String> = block.into_iter().chain(broken.record).collect();
    differs(BOOK, if place.is_empty() { broken.why } else { format!("{}: {}", place.join(", "), broken.why) })
}

/// Copies are found by looking into their directory; one that the manifest does not know was put there by somebody else.
fn every_copy_is_named(directory: &Path, manifest: &Manifest) -> Result<(), ExportError> {
    let named: HashSet<PathBuf> = manifest.parts.iter().map(|part| directory.join(&part.file)).collect();
    let mut places = vec![directory.join(SEGMENTS)];
    while let Some(place) = places.pop().filter(|place| place.exists()) {
        for file in std::fs::read_dir(&place).named("read the directory", &place)? {
            let path = file.named("read the directory", &place)?.path();
            if path.is_dir() {
                places.push(path);
            } else if !named.contains(&path) {
                return Err(differs(&path.display().to_string(), "the manifest does not name it"));
            }
        }
    }
    Ok(())
}

fn sums_of(table: &Table) -> Result<Vec<Sum>, FlowError> {
    let place = |name: &str| table.columns.iter().position(|column| column.name == name);
    let places = ["kind", "currency", "entries", "calls", "amount"].map(place);
    let [Some(kind), Some(currency), Some(entries), Some(calls), Some(amount)] = places else {
        return Err(StoreError::damaged("the report of kinds", "it has other columns than were asked for").into());
    };
    let count = |cell: &Cell| if let Cell::Count(count) = cell { *count } else { 0 };
    let sum = |row: Vec<Cell>| Sum {
        currency: row[currency].plain(),
        kind: row[kind].plain(),
        rows: count(&row[entries]).unsigned_abs(),
        calls: count(&row[calls]),
        amount: row[amount].plain(),
    };
    Ok(table.rows().map(sum).collect())
}

/// A copy of a database that an earlier version wrote, as this one reads it. The archive itself stays as it is.
async fn converted(book: &Path) -> Result<Scratch, ExportError> {
    let scratch = Scratch::new().named("make a directory in", &std::env::temp_dir())?;
    let copy = scratch.file(BOOK);
    super::make_private(&copy).named("write", &copy)?;
    // Its bytes alone: the file of an archive may be one that nobody writes, or that everybody reads.
    let mut to = File::options().write(true).open(&copy).named("write", &copy)?;
    let mut from = File::open(book).named("read", book)?;
    std::io::copy(&mut from, &mut to).named("copy the archive to", &copy)?;
    // To open it is to bring its schema up to date; closed it has no log beside it.
    Store::open(&options(&copy, "")).await?.close().await;
    Ok(scratch)
}

fn differs(file: &str, why: impl Into<String>) -> ExportError {
    ExportError::Differs { file: file.to_owned(), why: why.into() }
}

fn no_archive(directory: &Path) -> ExportError {
    ExportError::Refused(format!(
        "{} holds no archive; `farthing archive --period MONTH --to DIR` makes one",
        directory.display()
    ))
}
