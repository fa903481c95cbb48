//! Segments: copies of sealed blocks in columns, for reports that would take long from rows. A segment holds the entries of
//! some blocks one after the other, sorted by hour and owner, in two files: whole entries, and their meters. Beside them
//! a manifest says which blocks they are of, what they add up to and what they hash to; it is written last, and a segment
//! without one does not exist. All of it can be deleted and is made again; the book is never read past what a segment says
//! of itself. What is in none yet is kept short: whoever books tells when enough of it waits.

mod proof;
mod read;
mod write;

use crate::flow::booking::Sealed;
use crate::flow::{Farthing, FlowError, broke_off, in_background};
use crate::id::{BlockNumber, Org};
use crate::ledger::seal::BlockHash;
use crate::segment::{Fault, SegmentError};
use crate::time::Instant;
pub use read::SegmentRows;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::Notify;
use write::Copy;

/// Where segments lie, and how large they become.
#[derive(Clone, Debug)]
pub struct SegmentPlan {
    pub directory: PathBuf,
    /// Entries that wait outside of any segment before one is written.
    pub tail: i64,
    /// Entries of the largest segment: a report over a month reads no more than twice as many too many.
    pub most: i64,
    /// Nothing is removed or written anew, whatever is found: they are a part of an archive.
    pub is_kept: bool,
}

impl SegmentPlan {
    pub fn at(directory: PathBuf) -> SegmentPlan {
        SegmentPlan { directory, tail: TAIL, most: 250_000, is_kept: false }
    }

    pub fn of_an_archive(directory: PathBuf) -> SegmentPlan {
        SegmentPlan { is_kept: true, ..SegmentPlan::at(directory) }
    }
}

/// As many again are booked at most while these are copied, wherever copying is the faster of the two: reports find less than
/// 50,000 to read row by row.
const TAIL: i64 = 20_000;

/// Small segments that are put together when there are so many at the end.
const TOGETHER: usize = 8;

/// The layout of the files; another one is not read but written anew.
const FORMAT: u32 = 2;

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
    /// The hash of all of the above.
    seal: String,
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
    /// Its block was found in this book, and its files were what was written. No name is used twice, so a file that was
    /// hashed once need not be hashed again.
    is_of_the_book: OnceLock<()>,
    is_whole: [OnceLock<()>; 2],
}

/// The segments of an installation.
#[derive(Debug)]
pub struct Segments {
    pub plan: SegmentPlan,
    known: Mutex<HashMap<PathBuf, Arc<Segment>>>,
    /// The first entry of each org that was in no segment when that was last looked at.
    tails: Mutex<HashMap<Org, i64>>,
    /// Enough entries wait to be copied.
    due: Notify,
}

/// Which copying is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// What is in no segment yet.
    Tail,
    /// Small segments, into larger ones.
    Together,
    /// The one and then the other.
    All,
}

/// What a run of the copying did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub segments: u64,
    pub entries: u64,
}

impl Segments {
    pub fn new(plan: SegmentPlan) -> Segments {
        Segments { plan, known: Mutex::default(), tails: Mutex::default(), due: Notify::new() }
    }

    fn directory(&self, org: Org) -> PathBuf {
        self.plan.directory.join(org.to_string())
    }

    /// The segments of an org that lie one after the other, and those that lie beneath larger ones.
    fn listed(&self, org: Org) -> (Vec<Arc<Segment>>, Vec<Arc<Segment>>) {
        let Ok(files) = std::fs::read_dir(self.directory(org)) else { return Default::default() };
        let paths = files.filter_map(|file| Some(file.ok()?.path()));
        let mut found: Vec<Arc<Segment>> = Vec::new();
        for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
            let known = self.known().get(&path).cloned();
            let Some(segment) = known.or_else(|| Some(Arc::new(self.found(path)?))) else { continue };
            self.known().insert(segment.path.clone(), segment.clone());
            found.push(segment);
        }
        let directory = self.directory(org);
        self.known().retain(|path, _| !path.starts_with(&directory) || found.iter().any(|segment| segment.path == *path));
        found.sort_by_key(|segment| (segment.manifest.from, -segment.manifest.until));
        let mut place = 1;
        found.into_iter().partition(|segment| {
            let follows = segment.manifest.from >= place;
            place = if follows { segment.manifest.until } else { place };
            follows
        })
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Arc<Segment>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tails(&self) -> std::sync::MutexGuard<'_, HashMap<Org, i64>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The book of an org goes up to an entry now: whoever copies is told once enough of it waits.
    fn booked(&self, org: Org, until: i64) {
        let tail = self.tails().get(&org).copied().unwrap_or(1);
        if until - tail >= self.plan.tail {
            self.due.notify_one();
        }
    }

    /// A segment that could not be read: the book can. What is not what was written is written anew by the next run of the
    /// copying; what was put together with others in between is not worth a word, and what may be read later stays.
    pub fn distrust(&self, segment: &Segment, error: &SegmentError) {
        if error.fault != Fault::Missing {
            tracing::error!(%error, "a segment cannot be read; the book is read instead");
        }
        if error.fault != Fault::Away {
            self.forget(segment);
        }
    }

    /// Makes a segment that cannot be believed unknown, so that it is written anew.
    fn forget(&self, segment: &Segment) {
        self.known().remove(&segment.path);
        if !self.plan.is_kept {
            segment.remove();
        }
    }

    /// Deletes the segments of an org that hold nothing from before an entry; from the first one on that is all there is.
    fn drop_from(&self, org: Org, first: i64) {
        let (listed, beneath) = self.listed(org);
        let can_be_made = listed.iter().filter(|segment| segment.manifest.from >= first);
        can_be_made.chain(&beneath).for_each(|segment| self.forget(segment));
        if first == 1 {
            let _ = std::fs::remove_dir_all(self.directory(org));
        }
    }

    /// The segment of a manifest. One of another format is somebody else's; one that was changed is removed.
    fn found(&self, path: PathBuf) -> Option<Segment> {
        let manifest: Manifest = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
        if manifest.format != FORMAT || manifest.files.len() != 2 {
            return None;
        }
        let is_itself = manifest.seal == manifest.hashed();
        let segment = Segment { manifest, path, is_of_the_book: OnceLock::new(), is_whole: Default::default() };
        if !is_itself {
            tracing::error!(segment = %segment.path.display(), "it was changed, and is written anew");
            self.forget(&segment);
        }
        is_itself.then_some(segment)
    }

    /// What a copying left behind that broke off.
    fn sweep(&self, org: Org) {
        let Ok(files) = std::fs::read_dir(self.directory(org)) else { return };
        let is_old = |path: &Path| {
            let written = path.metadata().and_then(|metadata| metadata.modified());
            written.is_ok_and(|written| written.elapsed().is_ok_and(|elapsed| elapsed > LEFT_BEHIND))
        };
        let temporary =
            files.filter_map(|file| Some(file.ok()?.path())).filter(|path| path.extension().is_some_and(|e| e == "tmp"));
        temporary.filter(|path| is_old(path)).for_each(|path| drop(std::fs::remove_file(path)));
    }
}

/// No copying takes as long.
const LEFT_BEHIND: std::time::Duration = std::time::Duration::from_secs(3_600);

impl Manifest {
    fn hashed(&self) -> String {
        let unsealed = Manifest { seal: String::new(), ..self.clone() };
        blake3::hash(&serde_json::to_vec(&unsealed).unwrap_or_default()).to_string()
    }
}

impl Segment {
    /// Tells of something between two instants.
    pub fn touches(&self, from: i64, until: i64) -> bool {
        self.manifest.occurred_first < until && self.manifest.occurred_last >= from
    }

    fn file(&self, of_meters: bool) -> PathBuf {
        self.path.with_file_name(&self.manifest.files[usize::from(of_meters)].name)
    }

    /// Its files, the manifest last: what has none does not exist.
    pub fn paths(&self) -> [PathBuf; 3] {
        [self.file(false), self.file(true), self.path.clone()]
    }

    fn remove(&self) {
        self.paths().iter().rev().for_each(|file| drop(std::fs::remove_file(file)));
    }

    /// Makes sure that a file is the one that was written; its bytes are hashed the first time it is read.
    fn is_whole(&self, of_meters: bool) -> Result<(), SegmentError> {
        let (place, file) = (usize::from(of_meters), self.file(of_meters));
        if self.is_whole[place].get().is_some() {
            return Ok(());
        }
        let bytes = std::fs::read(&file).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => SegmentError::new(&file, e, Fault::Missing),
            _ => SegmentError::new(&file, e, Fault::Away),
        })?;
        if blake3::hash(&bytes).to_string() != self.manifest.files[place].blake3 {
            return Err(SegmentError::new(&file, "it is not what was written", Fault::Changed));
        }
        let _ = self.is_whole[place].set(());
        Ok(())
    }
}

const LIMBS: [&str; 3] = ["micro", "femto", "yocto"];

fn limbs(of: &str) -> [String; 3] {
    LIMBS.map(|limb| if of.is_empty() { limb.to_owned() } else { format!("{of}_{limb}") })
}

/// A segment on its way to the disk.
struct Writing {
    until: i64,
    entries: u64,
    /// What it takes the place of.
    replaced: Vec<Arc<Segment>>,
    task: tokio::task::JoinHandle<Result<(), String>>,
}

impl Writing {
    fn begin(
        copy: Copy,
        directory: PathBuf,
        range: (i64, i64),
        last: (BlockNumber, BlockHash),
        replaced: Vec<Arc<Segment>>,
    ) -> Writing {
        let entries = copy.entries.rows() as u64;
        let task = tokio::task::spawn_blocking(move || copy.write(&directory, range, last));
        Writing { until: range.1, entries, replaced, task }
    }

    /// How many entries it has once it is there, and what is needed no more.
    async fn end(self) -> Result<(u64, Vec<Arc<Segment>>), FlowError> {
        let written = self.task.await.map_err(broke_off)?;
        written.map_err(|why| FlowError::Refused(format!("cannot write a segment: {why}")))?;
        Ok((self.entries, self.replaced))
    }
}

impl Farthing {
    /// The segments that hold nothing from a sequence on, in their order.
    pub async fn segments_until(&self, org: Org, until: i64) -> Result<Vec<Arc<Segment>>, FlowError> {
        let Some(segments) = self.segments.clone() else { return Ok(Vec::new()) };
        let (listed, _) = in_background(move || segments.listed(org)).await?;
        let mut of_the_book = Vec::with_capacity(listed.len());
        // A database may be put back under a running service. The last segment is looked up every time: where its block is in
        // the book, so are those before it that once were.
        let mut last_is = false;
        for segment in listed.into_iter().rev() {
            if !last_is || segment.is_of_the_book.get().is_none() {
                let hash = self.store.block_hash(org, BlockNumber(segment.manifest.block)).await?;
                if hash.is_none_or(|hash| hash.to_string() != segment.manifest.hash) {
                    tracing::warn!(segment = %segment.path.display(), "it is not of this book and is written anew");
                    self.forget_segments(vec![segment]).await?;
                    continue;
                }
                let _ = segment.is_of_the_book.set(());
            }
            last_is = true;
            of_the_book.push(segment);
        }
        of_the_book.retain(|segment| segment.manifest.until <= until);
        of_the_book.reverse();
        Ok(of_the_book)
    }

    async fn forget_segments(&self, those: Vec<Arc<Segment>>) -> Result<(), FlowError> {
        let Some(segments) = self.segments.clone() else { return Ok(()) };
        in_background(move || those.iter().for_each(|segment| segments.forget(segment))).await
    }

    /// Entries were committed.
    pub(crate) fn was_committed(&self, sealed: &Sealed) {
        if let Some(segments) = &self.segments {
            segments.booked(sealed.org, sealed.until.0);
        }
    }

    /// Waits until enough was booked to be copied; where there are no segments, for ever.
    pub async fn copying_is_due(&self) {
        match &self.segments {
            Some(segments) => segments.due.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Copies what is in no segment yet, once there is enough of it, and puts small ones together.
    pub async fn copy_to_segments(&self, org: Org, progress: impl FnMut(i64, i64)) -> Result<Copied, FlowError> {
        self.copy(org, Work::All, progress).await
    }

    /// A part of that. Whoever puts small ones together may do it while another copies what is new, which does not wait for it.
    pub async fn copy(&self, org: Org, work: Work, mut progress: impl FnMut(i64, i64)) -> Result<Copied, FlowError> {
        let mut copied = Copied::default();
        let Some(segments) = self.segments.clone() else { return Ok(copied) };
        let sweeping = segments.clone();
        in_background(move || {
            sweeping.sweep(org);
            sweeping.listed(org).1.iter().for_each(|beneath| sweeping.forget(beneath));
        })
        .await?;
        let first = self.first_to_copy(org).await?;
        let mut writing: Option<Writing> = None;
        loop {
            let head = self.store.head(org).await?.next_sequence.0;
            let listed = self.segments_until(org, i64::MAX).await?;
            // While one is written the next one is read.
            let there = (writing.as_ref().map_or(first, |writing| writing.until), head);
            let next = match next(&segments.plan, &listed, there, work) {
                None => None,
                Some((from, until, replaced)) => {
                    let ends = self.store.block_that_ends(org, from, until).await?;
                    ends.map(|(block, hash, until)| (from, until, (block, hash), replaced))
                }
            };
            let read = match next {
                None => None,
                Some((from, until, last, replaced)) => {
                    Some((Copy::read(&self.store, org, from, until).await?, (from, until), last, replaced))
                }
            };
            if let Some(written) = writing.take() {
                let until = written.until;
                let (entries, replaced) = written.end().await?;
                self.forget_segments(replaced).await?;
                copied.segments += 1;
                copied.entries += entries;
                progress(until, head);
            } else if read.is_none() {
                segments.tails().insert(org, end_of(&listed, first));
                return Ok(copied);
            }
            if let Some((copy, range, last, mut replaced)) = read {
                replaced.retain(|segment| segment.manifest.until <= range.1);
                writing = Some(Writing::begin(copy, segments.directory(org), range, last, replaced));
            }
        }
    }

    /// The first entry of this database that can be copied: those before it were taken out.
    async fn first_to_copy(&self, org: Org) -> Result<i64, FlowError> {
        Ok(self.store.last_taken_out(org).await?.map_or(1, |block| block.sequences.1))
    }

    /// When the first block was sealed of which everything is in this database, where rows of others were taken out.
    pub async fn whole_since(&self, org: Org) -> Result<Option<Instant>, FlowError> {
        let Some(block) = self.store.taken_out(org).await? else { return Ok(None) };
        let after = self.store.blocks_after(org, block, 1).await?;
        let head = self.store.head(org).await?;
        Ok(Some(after.first().map_or(Instant::from_micros(head.sealed_at.micros() + 1), |block| block.header.sealed_at)))
    }

    /// Deletes the segments of an org. Those of entries that were taken out of the database stay: nothing could make them again.
    pub async fn drop_segments(&self, org: Org) -> Result<(), FlowError> {
        let Some(segments) = self.segments.clone() else {
            return Err(FlowError::Refused("there is no directory for segments; name one by --segments".to_owned()));
        };
        let first = self.first_to_copy(org).await?;
        in_background(move || segments.drop_from(org, first)).await
    }

    /// Deletes the segments of an org that can be made again, and makes them again.
    pub async fn rebuild_segments(&self, org: Org, progress: impl FnMut(i64, i64)) -> Result<Copied, FlowError> {
        self.drop_segments(org).await?;
        self.copy_to_segments(org, progress).await
    }
}

/// What to copy next of the entries that are there, from the first one up to the head, and which segments it takes the place of.
fn next(
    plan: &SegmentPlan,
    listed: &[Arc<Segment>],
    (first, head): (i64, i64),
    work: Work,
) -> Option<(i64, i64, Vec<Arc<Segment>>)> {
    if work != Work::Together {
        let place = end_of(listed, first);
        if let Some(segment) = listed.iter().find(|segment| segment.manifest.from > place) {
            return Some((place, segment.manifest.from.min(place + plan.most), Vec::new()));
        }
        if head - place >= plan.tail {
            return Some((place, head.min(place + plan.most), Vec::new()));
        }
    }
    if work == Work::Tail {
        return None;
    }
    let is_small = |segment: &&Arc<Segment>| {
        segment.manifest.from >= first && segment.manifest.until - segment.manifest.from < plan.most / 2
    };
    let small: Vec<Arc<Segment>> = listed.iter().rev().take_while(is_small).cloned().collect();
    let (first, last) = (small.last()?, small.first()?);
    (small.len() >= TOGETHER)
        .then(|| (first.manifest.from, last.manifest.until.min(first.manifest.from + plan.most), small.clone()))
}

/// Where the segments end that lie one after the other from an entry on.
fn end_of(listed: &[Arc<Segment>], first: i64) -> i64 {
    listed.iter().fold(first, |place, segment| match segment.manifest.from > place {
        true => place,
        false => place.max(segment.manifest.until),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn plan(directory: PathBuf) -> SegmentPlan {
        SegmentPlan { tail: 10, most: 100, ..SegmentPlan::at(directory) }
    }

    fn manifest(from: i64, until: i64) -> Manifest {
        let file = |of: &str| FileMark { name: format!("{from}.{of}"), bytes: 0, blake3: String::new() };
        let mut manifest = Manifest {
            format: FORMAT,
            from,
            until,
            block: until,
            hash: String::new(),
            occurred_first: 0,
            occurred_last: 0,
            entries: 0,
            meters: 0,
            sums: BTreeMap::new(),
            files: vec![file("entries"), file("meters")],
            seal: String::new(),
        };
        manifest.seal = manifest.hashed();
        manifest
    }

    /// Segments of an org that lie in a directory; nobody reads more of them than their manifests.
    fn lie(segments: &Segments, ends: &[(i64, i64)]) -> Vec<Arc<Segment>> {
        let directory = segments.directory(Org(1));
        std::fs::create_dir_all(&directory).unwrap();
        for (from, until) in ends {
            let path = directory.join(format!("{from}.json"));
            std::fs::write(path, serde_json::to_vec(&manifest(*from, *until)).unwrap()).unwrap();
        }
        segments.listed(Org(1)).0
    }

    #[test]
    fn copying_begins_where_the_entries_do() {
        let scratch = Scratch::new().unwrap();
        let segments = Segments::new(plan(scratch.file("none")));
        let ends = |next: Option<(i64, i64, Vec<Arc<Segment>>)>| next.map(|(from, until, _)| (from, until));
        let next = |segments: &Segments, listed: &[Arc<Segment>], first| {
            ends(super::next(&segments.plan, listed, (first, 300), Work::All))
        };
        assert_eq!(next(&segments, &[], 1), Some((1, 101)));
        assert_eq!(next(&segments, &[], 51), Some((51, 151)), "those before it were taken out");

        let segments = Segments::new(plan(scratch.file("some")));
        let listed = lie(&segments, &[(1, 40), (200, 295)]);
        assert_eq!(next(&segments, &listed, 1), Some((40, 140)));
        assert_eq!(next(&segments, &listed, 51), Some((51, 151)), "what is between has gone");
        assert_eq!(next(&segments, &listed, 200), None, "all that is there is copied");
    }

    #[test]
    fn small_copies_of_what_was_taken_out_are_not_put_together() {
        let scratch = Scratch::new().unwrap();
        let segments = Segments::new(plan(scratch.file("small")));
        let listed = lie(&segments, &(0..9).map(|place| (1 + 10 * place, 11 + 10 * place)).collect::<Vec<_>>());
        let next = |first| {
            super::next(&segments.plan, &listed, (first, 91), Work::All)
                .map(|(from, until, replaced)| (from, until, replaced.len()))
        };
        assert_eq!(next(1), Some((1, 91, 9)));
        assert_eq!(next(11), Some((11, 91, 8)));
        assert_eq!(next(21), None, "too few are left");
    }

    #[test]
    fn what_is_new_is_copied_without_putting_others_together() {
        let scratch = Scratch::new().unwrap();
        let segments = Segments::new(plan(scratch.file("both")));
        let listed = lie(&segments, &(0..9).map(|place| (1 + 10 * place, 11 + 10 * place)).collect::<Vec<_>>());
        let next = |head, work| {
            super::next(&segments.plan, &listed, (1, head), work).map(|(from, until, replaced)| (from, until, replaced.len()))
        };
        assert_eq!(next(101, Work::Tail), Some((91, 101, 0)));
        assert_eq!(next(100, Work::Tail), None, "too little is new");
        assert_eq!(next(101, Work::Together), Some((1, 91, 9)));
        assert_eq!(next(101, Work::All), Some((91, 101, 0)), "what is new goes first");
    }

    #[test]
    fn whoever_copies_is_told_once_enough_waits() {
        let scratch = Scratch::new().unwrap();
        let segments = Segments::new(plan(scratch.file("told")));
        let is_told = || {
            let mut told = std::pin::pin!(segments.due.notified());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            told.as_mut().poll(&mut context).is_ready()
        };
        // Ten entries are enough; the first nine, one by one, are not.
        (2..=10).for_each(|until| segments.booked(Org(1), until));
        assert!(!is_told());
        segments.booked(Org(1), 11);
        assert!(is_told());
        assert!(!is_told(), "once");
        // What was left when it was last looked at counts too, and each org has its own.
        segments.tails().insert(Org(1), 5);
        segments.booked(Org(1), 14);
        segments.booked(Org(2), 10);
        assert!(!is_told());
        segments.booked(Org(1), 15);
        assert!(is_told());
    }

    #[test]
    fn copies_of_what_was_taken_out_are_not_deleted() {
        let scratch = Scratch::new().unwrap();
        let segments = Segments::new(plan(scratch.file("kept")));
        let ends = [(1, 40), (40, 60), (60, 90)];
        lie(&segments, &ends);
        segments.drop_from(Org(1), 50);
        let left: Vec<i64> = lie(&segments, &[]).iter().map(|segment| segment.manifest.from).collect();
        assert_eq!(left, [1, 40], "one of them holds both");
        segments.drop_from(Org(1), 1);
        assert!(!segments.directory(Org(1)).exists());
    }
}
