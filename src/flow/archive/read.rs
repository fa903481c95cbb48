//! An archive, read from its files alone: reports are asked of it as of the book, and it is proved as the book is. The chain
//! is walked from the block before the excerpt to its end, and what the month comes to is held against its closing.

use super::{BOOK, CLOSING, SEGMENTS, options};
use crate::export::manifest::{Manifest, Sum};
use crate::flow::export::files::{ExportError, Named, check};
use crate::flow::report::Answer;
use crate::flow::segments::SegmentPlan;
use crate::flow::verify::{Broken, Verified};
use crate::flow::{Farthing, FlowError, now};
use crate::id::{BlockNumber, Org, Sequence};
use crate::ledger::decision::{Closing, hash_of_balances};
use crate::ledger::seal::BlockHash;
use crate::report::{Cell, Dimension, Filter, Measure, Of, Query, Table};
use crate::store::{Store, StoreError};
use crate::time::Month;
use std::path::{Path, PathBuf};

/// A month of a book, by itself.
pub struct Archive {
    farthing: Farthing,
    org: Org,
    pub month: Month,
    pub closing: Closing,
    /// A copy that was brought to this program's schema; it goes away again.
    converted: Option<PathBuf>,
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
    /// What counts in the month.
    pub sums: Vec<Sum>,
}

impl Archive {
    /// An archive that is complete.
    pub async fn open(directory: &Path) -> Result<Archive, ExportError> {
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
                let copy = converted(&book).await?;
                (Farthing::open_read_only(&options(&copy, "?immutable=1")).await?, Some(copy))
            }
            opened => (opened?, None),
        };
        let plan = SegmentPlan::of_an_archive(directory.join(SEGMENTS));
        let farthing = opened.with_segments(cfg!(feature = "polars").then_some(plan));
        let orgs = farthing.store.orgs().await?;
        let [(org, _)] = orgs[..] else { return Err(differs(BOOK, format!("it holds {} books and not one", orgs.len()))) };
        Ok(Archive { farthing, org, month, closing, converted })
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

    /// Whether every hash of its blocks fits, and its month comes to what it was closed with.
    pub async fn prove(&self, progress: impl Fn(BlockNumber, BlockNumber)) -> Result<Proved, ExportError> {
        let (store, org) = (&self.farthing.store, self.org);
        let before = store.follows(org).await?;
        let walked = self.farthing.verify_excerpt(org, before, progress).await?;
        let verified = walked.map_err(|broken| {
            let record = broken.record.map_or(String::new(), |record| format!(", {record}"));
            differs(BOOK, format!("block {}{record}: {}", broken.block, broken.why))
        })?;
        let head = store.head(org).await?;
        let (follows, records, sequences) = match store.blocks_after(org, BlockNumber(before.0 - 1), 1).await?.pop() {
            Some(block) if before.0 > 0 => (block.hash, block.records.1, block.sequences.1),
            _ => (BlockHash::of_empty_book(&store.org_name(org).await?), 1, 1),
        };
        let sums = self.sums().await?;
        self.is_as_closed(before, &sums).await?;
        Ok(Proved {
            blocks: (before.next(), head.block),
            hash: head.hash,
            events: verified.events - (records - 1),
            entries: verified.entries - (sequences - 1),
            follows,
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

    /// What counts in the month, by currency and kind.
    async fn sums(&self) -> Result<Vec<Sum>, FlowError> {
        let (by, show) = (vec![Dimension::Kind], vec![Measure::Amount, Measure::Calls, Measure::Entries]);
        let query = Query { by, show, scan: true, ..Query::default() };
        let mut sums = sums_of(&self.report(&query).await?.table)?;
        sums.sort_by(|one, other| (&one.currency, &one.kind).cmp(&(&other.currency, &other.kind)));
        Ok(sums)
    }

    /// Lets go of its files.
    pub async fn close(self) {
        self.farthing.store.close().await;
        if let Some(copy) = self.converted {
            let _ = std::fs::remove_file(copy);
        }
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
/// What holds them together are the hashes of its blocks, which are all there.
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
    for (proved, directory) in proved {
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
    Ok(book.verify_after(org, reached, progress).await?)
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
async fn converted(book: &Path) -> Result<PathBuf, ExportError> {
    let copy = std::env::temp_dir().join(format!("farthing-archive-{}-{}.db", std::process::id(), now().micros()));
    super::make_private(&copy).named("write", &copy)?;
    std::fs::copy(book, &copy).named("copy the archive to", &copy)?;
    // To open it is to bring its schema up to date; closed it has no log beside it.
    Store::open(&options(&copy, "")).await?.close().await;
    Ok(copy)
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
