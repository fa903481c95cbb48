//! An archive held against the book that it is of. Of its own blocks it proves every row, so where the book says otherwise the
//! book is wrong. What it brings along from before its first block no hash of its own proves: names, owners and products
//! that its rows use, and what was said earlier of events. That is proved by what the archives of those blocks and the
//! book say of it.

use super::read::Archive;
use crate::flow::export::files::ExportError;
use crate::flow::periods::MOST;
use crate::flow::verify::{BLOCKS_AT_ONCE, Broken, ROWS_AT_ONCE};
use crate::id::{BlockNumber, Org};
use crate::ledger::decision::Closed;
use crate::ledger::seal::{EventRow, State};
use crate::store::{Block, Store, StoreError};
use std::collections::{BTreeMap, HashMap};

/// Something that an archive and a book do not have alike: `name 7`.
struct Other {
    what: &'static str,
    number: i64,
}

/// Holds archives, the first one first, against their book. The first thing that is wrong in the book is answered; what is
/// wrong in an archive is an error.
pub(super) async fn hold(archives: &[Archive], book: &Store, org: Org) -> Result<Option<Broken>, ExportError> {
    for archive in archives {
        if let Some(block) = archive.other_block(book, org).await? {
            return Ok(Some(broken(block, None)));
        }
        let starts = archive.starts().await?;
        for (other, first) in archive.other_rows(book, org).await?.into_iter().zip(starts) {
            match other {
                Some(Other { what, number }) if number >= first => {
                    return Ok(Some(broken(BlockNumber(0), Some(format!("{what} {number}")))));
                }
                Some(other) => return Err(archive.is_wrong_in(&other)),
                None => {}
            }
        }
        if let Some(other) = archive.other_words(archives, book, org).await? {
            return Err(archive.is_wrong_in(&other));
        }
    }
    Ok(None)
}

/// Whether the head of a book has the first open month that was decided: closings that were taken out of it are in archives.
pub(super) async fn decided(archives: &[Archive], book: &Store, org: Org) -> Result<Option<Broken>, ExportError> {
    // Whatever is decided from here on is beyond this head.
    let head = book.head(org).await?;
    let mut rows: BTreeMap<i64, EventRow> = BTreeMap::new();
    for (store, org) in archives.iter().map(|archive| (archive.store(), archive.org())).chain([(book, org)]) {
        for state in [State::Closed, State::Reopened] {
            rows.extend(store.decisions(org, state, 0, MOST).await?.into_iter().map(|row| (row.record, row)));
        }
    }
    let mut closed = Closed::default();
    for row in rows.range(..head.next_record).map(|(_, row)| row) {
        let damaged = |why| StoreError::damaged(format!("record {}", row.record), why);
        closed.learn(row.state, &row.body).map_err(damaged)?;
    }
    let why = || format!("its first open month is {} and by what was closed {}", head.first_open, closed.first_open());
    Ok((closed.first_open() != head.first_open).then(|| Broken {
        block: head.block,
        record: None,
        why: format!("the head of the book is not what was decided: {}", why()),
    }))
}

fn broken(block: BlockNumber, record: Option<String>) -> Broken {
    Broken { block, record, why: "it is not what its archive proves".to_owned() }
}

impl Archive {
    fn is_wrong_in(&self, other: &Other) -> ExportError {
        let why = format!("{} {}, from before its first block, is not what the book says", other.what, other.number);
        self.differs(why)
    }

    /// The first block that the book has otherwise, of those of the archive and the one before them.
    async fn other_block(&self, book: &Store, org: Org) -> Result<Option<BlockNumber>, StoreError> {
        let (before, last) = (self.store().follows(self.org()).await?, self.store().head(self.org()).await?.block);
        let mut reached = BlockNumber((before.0 - 1).max(0));
        while reached < last {
            let ours = self.store().blocks_after(self.org(), reached, BLOCKS_AT_ONCE).await?;
            let theirs = book.blocks_after(org, reached, BLOCKS_AT_ONCE).await?;
            let mut pairs = ours.iter().enumerate().map(|(place, block)| (block, theirs.get(place)));
            if let Some((block, _)) = pairs.find(|(block, other)| *other != Some(*block)) {
                return Ok(Some(block.header.block));
            }
            reached = ours.last().map_or(last, |block| block.header.block);
        }
        Ok(None)
    }

    /// The first names, owners and products that its own blocks cover.
    async fn starts(&self) -> Result<[i64; 3], StoreError> {
        let before = self.before().await?;
        Ok(before.map_or([1; 3], |before| [before.name_until, before.owner_until, before.product_until]))
    }

    /// Of names, owners and products each the first one that the book has otherwise, from the first one of the book on.
    async fn other_rows(&self, book: &Store, org: Org) -> Result<[Option<Other>; 3], StoreError> {
        let head = self.store().head(self.org()).await?;
        let (ours, here) = (self.store(), self.org());
        let mut others = [None, None, None];
        for (first, until) in pages(head.next_name.0) {
            // The text of a name may have been erased since; its hash stays.
            let named = |names: Vec<crate::store::StoredName>| -> Vec<(i64, (u8, [u8; 32]))> {
                names.into_iter().map(|name| (name.name.0, (name.kind, name.hash))).collect()
            };
            let names = (ours.names_between(here, first, until).await?, book.names_between(org, first, until).await?);
            note("name", named(names.0), named(names.1), &mut others[0]);
        }
        for (first, until) in pages(head.next_owner.0) {
            let owners = (ours.owners_between(here, first, until).await?, book.owners_between(org, first, until).await?);
            note("owner", owners.0, owners.1, &mut others[1]);
        }
        for (first, until) in pages(head.next_product.0) {
            let products = (ours.products_between(here, first, until).await?, book.products_between(org, first, until).await?);
            note("product", products.0, products.1, &mut others[2]);
        }
        Ok(others)
    }

    /// The first record from before its blocks that is not the one of the archive, or else of the book, that has it.
    async fn other_words(&self, archives: &[Archive], book: &Store, org: Org) -> Result<Option<Other>, StoreError> {
        let first_record = self.first_record().await?;
        for (first, until) in pages(first_record) {
            let ours = self.store().records_between(self.org(), first, until).await?;
            let numbers: Vec<i64> = ours.iter().map(|row| row.record).collect();
            let mut known = rows_of(book, org, &numbers, 1).await?;
            for archive in archives {
                known.extend(rows_of(archive.store(), archive.org(), &numbers, archive.first_record().await?).await?);
            }
            if let Some(row) = ours.iter().find(|row| known.get(&row.record) != Some(row)) {
                return Ok(Some(Other { what: "event record", number: row.record }));
            }
        }
        Ok(None)
    }

    async fn first_record(&self) -> Result<i64, StoreError> {
        Ok(self.before().await?.map_or(1, |before| before.records.1))
    }

    /// The block that its first one follows.
    pub(super) async fn before(&self) -> Result<Option<Block>, StoreError> {
        let before = self.store().follows(self.org()).await?;
        if before.0 == 0 {
            return Ok(None);
        }
        Ok(self.store().blocks_after(self.org(), BlockNumber(before.0 - 1), 1).await?.pop())
    }
}

async fn rows_of(store: &Store, org: Org, numbers: &[i64], from: i64) -> Result<HashMap<i64, EventRow>, StoreError> {
    let numbers: Vec<i64> = numbers.iter().copied().filter(|number| *number >= from).collect();
    Ok(store.records(org, &numbers).await?.into_iter().map(|row| (row.record, row)).collect())
}

fn pages(until: i64) -> impl Iterator<Item = (i64, i64)> {
    (1..until).step_by(ROWS_AT_ONCE as usize).map(move |first| (first, until.min(first + ROWS_AT_ONCE)))
}

/// Notes the first number that is not there in both, or is not the same, unless one is known.
fn note<T: PartialEq>(what: &'static str, ours: Vec<(i64, T)>, theirs: Vec<(i64, T)>, first: &mut Option<Other>) {
    if first.is_some() || ours == theirs {
        return;
    }
    let place = ours.iter().zip(&theirs).position(|(one, other)| one != other).unwrap_or(ours.len().min(theirs.len()));
    let number = [ours.get(place), theirs.get(place)].into_iter().flatten().map(|(number, _)| *number).min();
    *first = number.map(|number| Other { what, number });
}
