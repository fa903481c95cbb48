//! The archive of a closed month: a directory that tells of it without the database it came from. In it lies an excerpt of the
//! book, with every block that holds an entry of the month and every block that was sealed while it lasted, as a database
//! of its own with the rows, numbers and hashes they have in the book; beside it the closing, the copies in columns that
//! lie within, and a manifest, which is written last and signed where there is a key. Nothing is taken out of the book.
//!
//! What is copied is proved before the manifest says that it is there, and can be proved again from the files alone
//! ([`read`]), or together with the book ([`read::verify_with`]).

mod against;
pub mod read;

use crate::export::manifest::{Asked, Book, Manifest, Part, Sum};
use crate::flow::Farthing;
use crate::flow::export::files::{COMPLETE, ExportError, Named, PARTIAL};
use crate::flow::export::files::{difference, differs, is_empty, read_manifest, read_through, write_manifest};
use crate::flow::verify::{BLOCKS_AT_ONCE, ROWS_AT_ONCE};
use crate::flow::whole::{alone, appear};
use crate::id::{BlockNumber, EventNumber, NameId, Org, OwnerId, ProductId, Sequence, Version};
use crate::ledger::Entry;
use crate::ledger::decision::{Closing, canonical};
use crate::ledger::seal::EventRow;
use crate::report::Clock;
use crate::store::{Block, ContentHash, Head, RUN_KEYS, Store, StoreError, StoreOptions, Write};
use crate::time::Month;
use read::Archive;
use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What lies in the directory of an archive, beside its manifest.
const BOOK: &str = "book.db";
const CLOSING: &str = "closing.json";
const SEGMENTS: &str = "segments";

/// The blocks of an archive, and the one that they follow.
struct Excerpt {
    before: Option<Block>,
    first: Block,
    last: Block,
}

impl Farthing {
    /// Copies a closed month into a directory, or goes on with what a run left there that broke off. `progress` is told the
    /// block that it has reached, and the last one.
    pub async fn archive(
        &self,
        org: Org,
        month: Month,
        directory: &Path,
        progress: impl Fn(BlockNumber, BlockNumber),
    ) -> Result<Manifest, ExportError> {
        let closing = self.closing_in_force(org, month).await?;
        let excerpt = self.excerpt_of(org, month).await?;
        std::fs::create_dir_all(directory).named("make the directory", directory)?;
        let lock = File::open(directory).named("open the directory", directory)?;
        if lock.try_lock().is_err() {
            return Err(ExportError::Refused(format!("somebody else writes to {} right now", directory.display())));
        }
        let book = Book { block: excerpt.last.header.block.0, hash: excerpt.last.hash.to_string() };
        let wanted = Manifest::new(asked(self.store.org_name(org).await?, month), book);
        if let Some(complete) = read_manifest(&directory.join(COMPLETE))? {
            return archived_already(directory, &wanted, &closing, complete);
        }
        match read_manifest(&directory.join(PARTIAL))? {
            Some(partial) => is_of_the_same(directory, &wanted, &partial)?,
            None => is_empty(directory)?,
        }
        write_manifest(&directory.join(PARTIAL), &wanted)?;
        if !directory.join(BOOK).exists() {
            self.copy_excerpt(org, &excerpt, directory, progress).await?;
        }
        write_whole(&directory.join(CLOSING), canonical(&closing).as_bytes())?;
        let segments = self.copy_segments(org, &excerpt, directory).await?;
        let archive = Archive::look_at(directory, closing).await?;
        let proved = archive.prove(|_, _| {}).await;
        archive.close().await;
        let mut manifest = complete(directory, wanted, &excerpt, proved?.sums, segments)?;
        self.sign_manifest(&mut manifest);
        write_manifest(&directory.join(COMPLETE), &manifest)?;
        std::fs::remove_file(directory.join(PARTIAL)).named("remove", &directory.join(PARTIAL))?;
        Ok(manifest)
    }

    /// The closing of a month that is closed now.
    async fn closing_in_force(&self, org: Org, month: Month) -> Result<Closing, ExportError> {
        let known = self.periods(org).await?.into_iter().find(|standing| standing.month == month);
        match known {
            Some(standing) if standing.is_closed => Ok(standing.closing),
            Some(_) => Err(ExportError::Refused(format!(
                "{month} was opened again, so it may still change; close it, and then archive it"
            ))),
            None if month < self.store.head(org).await?.first_open && self.store.taken_out(org).await?.is_some() => {
                Err(ExportError::Refused(format!(
                    "the closing of {month} is not in this database any more, or there never was one; what was taken out of it is in \
                     the archives that were made before"
                )))
            }
            None => Err(ExportError::Refused(format!(
                "{month} is not closed, so it may still change; `farthing close {month}` proves and closes it"
            ))),
        }
    }

    async fn excerpt_of(&self, org: Org, month: Month) -> Result<Excerpt, ExportError> {
        let Some((first, last)) = self.store.blocks_of(org, month).await? else {
            return Err(ExportError::Refused(format!("nothing was booked in {month}; there is nothing to archive")));
        };
        // The number of the first block in a database says whether its rows are there too: that of the second would not.
        let first = if first.0 == 2 { BlockNumber(1) } else { first };
        let before = if first.0 > 1 { Some(self.block(org, BlockNumber(first.0 - 1)).await?) } else { None };
        Ok(Excerpt { before, first: self.block(org, first).await?, last: self.block(org, last).await? })
    }

    async fn block(&self, org: Org, number: BlockNumber) -> Result<Block, StoreError> {
        let found = self.store.blocks_after(org, BlockNumber(number.0 - 1), 1).await?.pop();
        let found = found.filter(|block| block.header.block == number);
        found.ok_or_else(|| StoreError::damaged(format!("block {number}"), "it is missing; `farthing verify` says more"))
    }

    /// The database of an archive. It grows under a name of its own, by as many whole blocks at a time as fit into memory, so
    /// that whoever comes after a run that broke off goes on where that stopped.
    async fn copy_excerpt(
        &self,
        org: Org,
        excerpt: &Excerpt,
        directory: &Path,
        progress: impl Fn(BlockNumber, BlockNumber),
    ) -> Result<(), ExportError> {
        let growing = directory.join(".book.db.partial");
        let whole = directory.join(".book.db.whole");
        make_private(&growing).named("write", &growing)?;
        let store = Store::open(&options(&growing, "")).await?;
        if store.orgs().await?.is_empty() {
            self.begin_excerpt(org, excerpt, &store).await?;
        }
        let mut copy =
            Copying { from: &self.store, to: &store, org, first_record: excerpt.first.records.0, parts: HashSet::new() };
        while let Some(reached) = copy.next_blocks(excerpt.last.header.block).await? {
            progress(reached, excerpt.last.header.block);
        }
        // Without the log beside it, and without what a broken run left in between.
        remove(&whole)?;
        make_private(&whole).named("write", &whole)?;
        store.copy_into(&whole).await?;
        store.close().await;
        let file = File::open(&whole).named("read", &whole)?;
        appear(&file, &whole, &directory.join(BOOK)).named("write", &directory.join(BOOK))?;
        for left in [".book.db.partial", ".book.db.partial-wal", ".book.db.partial-shm"] {
            remove(&directory.join(left))?;
        }
        Ok(())
    }

    /// What comes before the first block: its predecessor's row, and every name that a block of the excerpt may use.
    async fn begin_excerpt(&self, org: Org, excerpt: &Excerpt, to: &Store) -> Result<(), StoreError> {
        let name = self.store.org_name(org).await?;
        let mut write = to.begin().await?;
        write.insert_book(org, &name, excerpt.first.header.sealed_at).await?;
        if let Some(before) = &excerpt.before {
            let head = write.lock_heads(&[org]).await?.remove(0);
            copy_dimensions(&self.store, org, &head, before, &mut write).await?;
            write.insert_block(org, before).await?;
            write.move_head(&head_after(head, before)).await?;
        }
        write.commit().await
    }

    /// Copies of entries in columns that lie within the excerpt: files of the archive from now on.
    async fn copy_segments(&self, org: Org, excerpt: &Excerpt, directory: &Path) -> Result<Vec<String>, ExportError> {
        let to = directory.join(SEGMENTS).join(org.to_string());
        // Those of a run that broke off may have been put together with others since.
        if to.exists() {
            std::fs::remove_dir_all(&to).named("remove", &to)?;
        }
        let mut names = Vec::new();
        for segment in self.segments_until(org, excerpt.last.sequences.1).await? {
            if segment.manifest.from < excerpt.first.sequences.0 {
                continue;
            }
            std::fs::create_dir_all(&to).named("make the directory", &to)?;
            // The manifest comes last, as where they were written.
            for file in segment.paths() {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let bytes = std::fs::read(&file).named("read", &file)?;
                write_whole(&to.join(&name), &bytes)?;
                names.push(format!("{SEGMENTS}/{org}/{name}"));
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Rows of one book on their way into the database of an archive.
struct Copying<'c> {
    from: &'c Store,
    to: &'c Store,
    org: Org,
    /// The first record of the excerpt.
    first_record: i64,
    /// Parts of catalog versions that are there already; most of them are in most versions.
    parts: HashSet<ContentHash>,
}

impl Copying<'_> {
    /// Copies the next blocks, and says how far it came; nothing where the last one is there.
    async fn next_blocks(&mut self, last: BlockNumber) -> Result<Option<BlockNumber>, StoreError> {
        let head = self.to.head(self.org).await?;
        if head.block >= last {
            return Ok(None);
        }
        let blocks = self.from.blocks_after(self.org, head.block, BLOCKS_AT_ONCE.min(last.0 - head.block.0)).await?;
        let blocks = as_many_as_fit(&head, &blocks);
        let Some(end) = blocks.last() else {
            return Err(StoreError::damaged(format!("block {}", head.block.next()), "it is missing"));
        };
        let (from, org) = (self.from, self.org);
        let events = from.records_between(org, head.next_record, end.records.1).await?;
        let entries = from.entries_at_once(org, head.next_sequence.0, end.sequences.1).await?;
        let words = self.earlier_words(&entries).await?;
        let mut write = self.to.begin().await?;
        for version in blocks.iter().map(|block| block.header.version) {
            self.copy_version(version, &mut write).await?;
        }
        copy_dimensions(from, org, &head, end, &mut write).await?;
        let sealed_in = end.header.sealed_at.month();
        write.insert_events(org, &words, sealed_in).await?;
        write.insert_events(org, &events, sealed_in).await?;
        write.insert_entries(org, &entries, sealed_in).await?;
        for block in blocks {
            write.insert_block(org, block).await?;
        }
        let reached = end.header.block;
        write.move_head(&head_after(head, end)).await?;
        write.commit().await?;
        Ok(Some(reached))
    }

    /// What was said before the excerpt of events that are booked again in it: their labels and sessions are asked for.
    async fn earlier_words(&self, entries: &[Entry]) -> Result<Vec<EventRow>, StoreError> {
        let is_earlier = |event: &EventNumber| event.0 < self.first_record;
        let mut events: Vec<EventNumber> = entries.iter().filter_map(|entry| entry.event).filter(is_earlier).collect();
        events.sort_unstable();
        events.dedup();
        let mut words = self.from.words_on(self.org, &events).await?;
        words.retain(|word| word.record < self.first_record);
        let numbers: Vec<i64> = words.iter().map(|word| word.record).collect();
        let there: HashSet<i64> = self.to.records(self.org, &numbers).await?.iter().map(|word| word.record).collect();
        words.retain(|word| !there.contains(&word.record));
        Ok(words)
    }

    /// The prices under which a block was booked, unless they are there.
    async fn copy_version(&mut self, version: Version, write: &mut Write) -> Result<(), StoreError> {
        if write.version_hash(self.org, version).await?.is_some() {
            return Ok(());
        }
        let versions = self.from.versions(self.org).await?;
        let Some(published) = versions.into_iter().find(|published| published.version == version) else {
            return Err(StoreError::damaged(format!("catalog version {version}"), "a block names it and it is missing"));
        };
        let parts = self.from.contents(self.org, version).await?;
        let new: Vec<ContentHash> = parts.iter().map(|part| part.hash).filter(|hash| self.parts.insert(*hash)).collect();
        for some in new.chunks(8) {
            for (hash, text) in self.from.part_texts(some).await? {
                write.insert_part(&hash, &text).await?;
            }
        }
        write.insert_version(self.org, &published, &parts).await
    }
}

/// Names, owners and products from where a book stands up to the end of a block.
async fn copy_dimensions(store: &Store, org: Org, from: &Head, until: &Block, to: &mut Write) -> Result<(), StoreError> {
    for first in (from.next_name.0..until.name_until).step_by(ROWS_AT_ONCE as usize) {
        let names = store.names_between(org, first, until.name_until.min(first + ROWS_AT_ONCE)).await?;
        to.copy_names(org, &names).await?;
    }
    for first in (from.next_owner.0..until.owner_until).step_by(ROWS_AT_ONCE as usize) {
        let owners = store.owners_between(org, first, until.owner_until.min(first + ROWS_AT_ONCE)).await?;
        let owners: Vec<_> = owners.into_iter().map(|(owner, dimensions)| (OwnerId(owner), dimensions)).collect();
        to.insert_owners(org, &owners).await?;
    }
    for first in (from.next_product.0..until.product_until).step_by(ROWS_AT_ONCE as usize) {
        let products = store.products_between(org, first, until.product_until.min(first + ROWS_AT_ONCE)).await?;
        let products: Vec<_> = products.into_iter().map(|(product, dimensions)| (ProductId(product), dimensions)).collect();
        to.insert_products(org, &products).await?;
    }
    Ok(())
}

/// The first of some blocks whose rows may be in memory at once; one block always.
fn as_many_as_fit<'b>(head: &Head, blocks: &'b [Block]) -> &'b [Block] {
    let rows = |block: &Block| block.records.1 - head.next_record + block.sequences.1 - head.next_sequence.0;
    let fit = blocks.iter().take_while(|block| rows(block) <= ROWS_AT_ONCE).count();
    &blocks[..fit.max(1).min(blocks.len())]
}

/// Where a book stands after a block.
fn head_after(head: Head, block: &Block) -> Head {
    Head {
        block: block.header.block,
        hash: block.hash,
        sealed_at: block.header.sealed_at,
        next_record: block.records.1,
        next_sequence: Sequence(block.sequences.1),
        next_name: NameId(block.name_until),
        next_owner: OwnerId(block.owner_until),
        next_product: ProductId(block.product_until),
        version: block.header.version,
        ..head
    }
}

fn asked(org: String, month: Month) -> Asked {
    let period = month.period();
    Asked {
        org,
        what: "archive".to_owned(),
        format: "sqlite".to_owned(),
        from: Some(period.from.to_string()),
        until: Some(period.until.to_string()),
        period: Some(month.to_string()),
        clock: Clock::Occurred.name().to_owned(),
        grain: None,
        rows_per_part: None,
        columns: Vec::new(),
    }
}

/// Refuses to go on with what was begun for something else.
fn is_of_the_same(directory: &Path, wanted: &Manifest, found: &Manifest) -> Result<(), ExportError> {
    let why = match difference(&found.asked, &wanted.asked) {
        Some(what) => format!("holds something else: {what}"),
        None if found.book != wanted.book => "holds an archive of another book, or of an earlier closing".to_owned(),
        None => return Ok(()),
    };
    Err(ExportError::Refused(format!("{} {why}; name another directory", directory.display())))
}

/// What is there is what would be written; its files are looked at, and stay.
fn archived_already(directory: &Path, wanted: &Manifest, closing: &Closing, complete: Manifest) -> Result<Manifest, ExportError> {
    is_of_the_same(directory, wanted, &complete)?;
    let file = directory.join(CLOSING);
    if std::fs::read(&file).named("read", &file)? != canonical(closing).as_bytes() {
        let (directory, month) = (directory.display(), &closing.closing);
        return Err(ExportError::Refused(format!(
            "{directory} holds the archive of an earlier closing of {month}; name another directory"
        )));
    }
    match complete.parts.iter().find_map(|part| differs(&directory.join(&part.file), part).transpose()) {
        None => Ok(complete),
        Some(Ok(why)) => Err(ExportError::Refused(why)),
        Some(Err(e)) => Err(e),
    }
}

/// The manifest of what is there. The rows that it counts are the entries of the month; the database holds some more.
fn complete(
    directory: &Path,
    wanted: Manifest,
    excerpt: &Excerpt,
    sums: Vec<Sum>,
    segments: Vec<String>,
) -> Result<Manifest, ExportError> {
    let mut manifest = wanted;
    let rows = sums.iter().map(|sum| sum.rows).sum();
    let sequences = (excerpt.first.sequences.0, excerpt.last.sequences.1 - 1);
    let files = std::iter::once((BOOK.to_owned(), rows, sequences, sums));
    let others = std::iter::once(CLOSING.to_owned()).chain(segments).map(|file| (file, 0, (0, 0), Vec::new()));
    for (file, rows, (first_sequence, last_sequence), sums) in files.chain(others) {
        let (bytes, sha256) = read_through(&directory.join(&file), |_| Ok(()))?;
        let part = Part { file, rows, bytes, sha256, first_sequence, last_sequence, sums };
        manifest.add(part).map_err(|e| ExportError::Refused(e.to_string()))?;
    }
    Ok(manifest)
}

/// A database in a file of its own.
fn options(path: &Path, how: &str) -> StoreOptions {
    StoreOptions { url: format!("sqlite://{}{how}", path.display()), allow_fsync_off: false, connections: 4, run_keys: RUN_KEYS }
}

/// A file that nobody else is to read, unless it is there.
fn make_private(file: &Path) -> std::io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop)
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial: PathBuf = path.with_file_name(format!(".{name}.partial"));
    let mut file = alone(&partial).named("write", &partial)?;
    file.write_all(bytes).named("write", &partial)?;
    appear(&file, &partial, path).named("write", path)
}

fn remove(path: &Path) -> Result<(), ExportError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).named("remove", path),
        _ => Ok(()),
    }
}
