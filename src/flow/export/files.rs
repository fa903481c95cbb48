//! Exports into files. A directory gets parts of so many rows, each written under another name, synced and renamed, and then
//! told to `_manifest.partial.json`; `_manifest.json` is last, so where it is everything is. The same command after a crash
//! checks the parts that are told of and goes on after them, at the same block, to the same bytes. A file is written whole,
//! with its manifest beside it. Checking needs nothing but the files.

use crate::export::accounting::Grain;
use crate::export::manifest::{Asked, Book, Manifest, Part, Sums};
use crate::export::readback::{CsvSums, NdjsonSums};
use crate::export::{Format, Notation, Row, Texts, columns};
use crate::flow::export::outlet::{Outlet, Written};
use crate::flow::export::{Prefix, Question, Rows};
use crate::flow::whole::{alone, appear};
use crate::flow::{Farthing, FlowError};
use crate::id::{BlockNumber, Org, Sequence};
use crate::store::StoreError;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What is to be written, and as what.
pub struct Wish<'w> {
    pub question: Question,
    pub asked: Asked,
    /// How the files of a directory end.
    pub extension: &'static str,
    pub notation: &'w (dyn Fn(&Prefix) -> Box<dyn Notation> + Sync),
}

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Flow(#[from] FlowError),
    #[error("cannot {doing} {}: {source}{}", path.display(), hint(source))]
    File { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Refused(String),
    /// A file is not what its manifest says.
    #[error("{file}: {why}")]
    Differs { file: String, why: String },
}

impl From<StoreError> for ExportError {
    fn from(e: StoreError) -> ExportError {
        ExportError::Flow(e.into())
    }
}

fn hint(e: &std::io::Error) -> &'static str {
    match e.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "; parts that are complete stay: make room and run the same command again"
        }
        _ => "",
    }
}

pub(crate) trait Named<T> {
    fn named(self, doing: &'static str, path: &Path) -> Result<T, ExportError>;
}

impl<T> Named<T> for std::io::Result<T> {
    fn named(self, doing: &'static str, path: &Path) -> Result<T, ExportError> {
        self.map_err(|source| ExportError::File { doing, path: path.to_owned(), source })
    }
}

/// Readers that are given a directory pass over what begins with a line or a point.
pub(crate) const COMPLETE: &str = "_manifest.json";
pub(crate) const PARTIAL: &str = "_manifest.partial.json";

impl Farthing {
    /// Writes parts into a directory, or goes on with what a run of the same question left there.
    pub async fn export_to_directory(
        &self,
        org: Org,
        wish: &Wish<'_>,
        directory: &Path,
        progress: impl Fn((u64, u64)),
    ) -> Result<Manifest, ExportError> {
        std::fs::create_dir_all(directory).named("make the directory", directory)?;
        let lock = File::open(directory).named("open the directory", directory)?;
        if lock.try_lock().is_err() {
            return Err(ExportError::Refused(format!("somebody else exports to {} right now", directory.display())));
        }
        if let Some(complete) = read_manifest(&directory.join(COMPLETE))? {
            return self.complete_already(org, wish, directory, complete).await;
        }
        let mut manifest = match read_manifest(&directory.join(PARTIAL))? {
            Some(partial) => {
                self.is_of_this_book(org, wish, directory, &partial).await?;
                if let Some(other) = wish.question.block.filter(|block| block.0 != partial.book.block) {
                    return Err(ExportError::Refused(format!(
                        "{} holds a part of an export up to block {} and not {other}; name another directory",
                        directory.display(),
                        partial.book.block
                    )));
                }
                with_whole_parts(directory, partial)?
            }
            None => {
                is_empty(directory)?;
                let prefix = self.prefix(org, wish.question.block).await?;
                Manifest::new(wish.asked.clone(), book(&prefix))
            }
        };
        write_manifest(&directory.join(PARTIAL), &manifest)?;

        let question = Question { block: Some(BlockNumber(manifest.book.block)), ..wish.question.clone() };
        let after = manifest.parts.last().map_or(0, |part| part.last_sequence);
        let mut rows = self.export_rows(org, &question, Sequence(after)).await?;
        let most = wish.asked.rows_per_part.unwrap_or(u64::MAX);
        let mut part: Option<Writing> = None;
        while let Some(page) = rows.next().await? {
            let mut left = &page[..];
            while !left.is_empty() {
                let writing = match &mut part {
                    Some(writing) => writing,
                    None => part.insert(Writing::begin(part_path(directory, &manifest, wish), wish, &rows.prefix)?),
                };
                let room = usize::try_from(most - writing.sums.rows()).unwrap_or(usize::MAX);
                let (these, others) = left.split_at(left.len().min(room));
                tokio::task::block_in_place(|| writing.rows(these, &rows))?;
                left = others;
                if writing.sums.rows() == most {
                    finish_part(directory, &mut manifest, part.take(), &rows.texts)?;
                }
            }
            progress(rows.place());
        }
        finish_part(directory, &mut manifest, part.take(), &rows.texts)?;
        self.sign_manifest(&mut manifest);
        write_manifest(&directory.join(COMPLETE), &manifest)?;
        std::fs::remove_file(directory.join(PARTIAL)).named("remove", &directory.join(PARTIAL))?;
        Ok(manifest)
    }

    /// A directory that is complete stays what it is. Asked again, it is good as long as the book has not gone on.
    async fn complete_already(
        &self,
        org: Org,
        wish: &Wish<'_>,
        directory: &Path,
        complete: Manifest,
    ) -> Result<Manifest, ExportError> {
        self.is_of_this_book(org, wish, directory, &complete).await?;
        let head = self.store.head(org).await?;
        let wanted = wish.question.block.unwrap_or(head.block);
        if wanted.0 != complete.book.block {
            return Err(ExportError::Refused(format!(
                "{} holds all of the book up to block {}, which is at block {wanted} by now; name another directory",
                directory.display(),
                complete.book.block
            )));
        }
        match complete.parts.iter().find_map(|part| differs(&directory.join(&part.file), part).transpose()) {
            None => Ok(complete),
            Some(Ok(why)) => Err(ExportError::Refused(why)),
            Some(Err(e)) => Err(e),
        }
    }

    pub(crate) fn sign_manifest(&self, manifest: &mut Manifest) {
        if let Some(signer) = &self.signer {
            manifest.sign(signer);
        }
    }

    /// Refuses to mix the answers of two questions, or two books.
    async fn is_of_this_book(&self, org: Org, wish: &Wish<'_>, directory: &Path, found: &Manifest) -> Result<(), ExportError> {
        let refused = |why: String| Err(ExportError::Refused(format!("{} {why}; name another directory", directory.display())));
        if let Some(what) = difference(&found.asked, &wish.asked) {
            return refused(format!("holds an export of something else: {what}"));
        }
        let hash = self.store.block_hash(org, BlockNumber(found.book.block)).await?;
        match hash {
            Some(hash) if hash.to_string() == found.book.hash => Ok(()),
            // Nothing is sealed in an empty book.
            None if found.book.block == 0 => Ok(()),
            _ => refused(format!("holds an export of another book: block {} is not the same", found.book.block)),
        }
    }

    /// Writes a file whole, and its manifest beside it.
    pub async fn export_to_file(
        &self,
        org: Org,
        wish: &Wish<'_>,
        path: &Path,
        progress: impl Fn((u64, u64)),
    ) -> Result<Manifest, ExportError> {
        let rows = self.export_rows(org, &wish.question, Sequence(0)).await?;
        let writing = Writing::begin(path.to_owned(), wish, &rows.prefix)?;
        let mut manifest = self.export_whole(wish, rows, writing, progress).await?;
        self.sign_manifest(&mut manifest);
        write_manifest(&manifest_beside(path), &manifest)?;
        Ok(manifest)
    }

    /// Writes everything to somewhere that is no file.
    pub async fn export_to_writer(
        &self,
        org: Org,
        wish: &Wish<'_>,
        to: Box<dyn Write + Send>,
        progress: impl Fn((u64, u64)),
    ) -> Result<Manifest, ExportError> {
        let rows = self.export_rows(org, &wish.question, Sequence(0)).await?;
        let writing = Writing::to(to, PathBuf::from("standard output"), wish, &rows.prefix)?;
        self.export_whole(wish, rows, writing, progress).await
    }

    /// Writes everything to somewhere that is to be a file of this name; its manifest is signed.
    pub async fn export_as(
        &self,
        org: Org,
        wish: &Wish<'_>,
        to: Box<dyn Write + Send>,
        name: &str,
    ) -> Result<Manifest, ExportError> {
        let rows = self.export_rows(org, &wish.question, Sequence(0)).await?;
        let writing = Writing::to(to, PathBuf::from(name), wish, &rows.prefix)?;
        let mut manifest = self.export_whole(wish, rows, writing, |_| {}).await?;
        self.sign_manifest(&mut manifest);
        Ok(manifest)
    }

    async fn export_whole(
        &self,
        wish: &Wish<'_>,
        mut rows: Rows,
        mut writing: Writing,
        progress: impl Fn((u64, u64)),
    ) -> Result<Manifest, ExportError> {
        while let Some(page) = rows.next().await? {
            // A notation may compress and a disk may be slow, which others should not wait for.
            tokio::task::block_in_place(|| writing.rows(&page, &rows))?;
            progress(rows.place());
        }
        let mut manifest = Manifest::new(wish.asked.clone(), book(&rows.prefix));
        add(&mut manifest, tokio::task::block_in_place(|| writing.end(&rows.texts))?)?;
        Ok(manifest)
    }
}

/// What is asked of the entries of an org, in the words of a manifest.
pub fn asked(org: &str, question: &Question, format: Format, grain: Grain, rows_per_part: Option<u64>) -> Asked {
    let is_journal = matches!(format, Format::Journal(_));
    let of_columns = || columns().into_iter().map(|(name, _)| name.to_owned()).collect();
    Asked {
        org: org.to_owned(),
        what: "entries".to_owned(),
        format: format.name().to_owned(),
        from: question.from.map(|from| from.to_string()),
        until: question.until.map(|until| until.to_string()),
        period: question.period.map(|month| month.to_string()),
        clock: question.clock.name().to_owned(),
        grain: is_journal.then(|| grain.name().to_owned()),
        rows_per_part,
        columns: if is_journal { Vec::new() } else { of_columns() },
    }
}

fn book(prefix: &Prefix) -> Book {
    Book { block: prefix.block.0, hash: prefix.hash.to_string() }
}

fn part_path(directory: &Path, manifest: &Manifest, wish: &Wish<'_>) -> PathBuf {
    directory.join(format!("entries-{:05}.{}", manifest.parts.len() + 1, wish.extension))
}

fn finish_part(directory: &Path, manifest: &mut Manifest, part: Option<Writing>, texts: &Texts) -> Result<(), ExportError> {
    let Some(part) = part else { return Ok(()) };
    add(manifest, tokio::task::block_in_place(|| part.end(texts))?)?;
    write_manifest(&directory.join(PARTIAL), manifest)
}

fn add(manifest: &mut Manifest, part: Part) -> Result<(), ExportError> {
    manifest.add(part).map_err(|e| ExportError::Refused(e.to_string()))
}

/// A file in the making.
struct Writing {
    outlet: Outlet<To>,
    path: PathBuf,
    /// Where the bytes go, in words for whoever reads that they could not.
    place: (&'static str, PathBuf),
    notation: Box<dyn Notation>,
    buffer: Vec<u8>,
    sums: Sums,
    sequences: Option<(Sequence, Sequence)>,
}

enum To {
    /// Under another name until it is complete, and how many bytes of it came since memory was told to forget it.
    File(File, usize),
    Writer(Box<dyn Write + Send>),
}

/// Bytes of a file after which memory may forget it: hardly anybody here reads it again, and everybody reads the database.
const REMEMBERED: usize = 16 << 20;

impl Write for To {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let (file, held) = match self {
            To::File(file, held) => (file, held),
            To::Writer(writer) => return writer.write(bytes),
        };
        let written = file.write(bytes)?;
        *held += written;
        if *held >= REMEMBERED {
            *held = 0;
            forget(file);
        }
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            To::File(file, _) => file.flush(),
            To::Writer(writer) => writer.flush(),
        }
    }
}

/// What is on disk by now need not stay in memory, and what is not should be on its way. It is advice, so nothing can fail.
fn forget(file: &File) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 20;

impl Writing {
    fn begin(path: PathBuf, wish: &Wish<'_>, prefix: &Prefix) -> Result<Writing, ExportError> {
        let partial = unfinished(&path);
        let file = alone(&partial).named("write", &partial)?;
        Writing::start(To::File(file, 0), ("write", partial), path, wish, prefix)
    }

    fn to(writer: Box<dyn Write + Send>, path: PathBuf, wish: &Wish<'_>, prefix: &Prefix) -> Result<Writing, ExportError> {
        Writing::start(To::Writer(writer), ("write to", path.clone()), path, wish, prefix)
    }

    fn start(
        to: To,
        place: (&'static str, PathBuf),
        path: PathBuf,
        wish: &Wish<'_>,
        prefix: &Prefix,
    ) -> Result<Writing, ExportError> {
        let outlet = Outlet::new(to).named(place.0, &place.1)?;
        let (notation, buffer) = ((wish.notation)(prefix), Vec::with_capacity(2 * BUFFER));
        let mut writing = Writing { outlet, path, place, notation, buffer, sums: Sums::default(), sequences: None };
        let begun = writing.notation.begin(&mut writing.buffer);
        begun.map_err(|why| writing.unwritable(why))?;
        Ok(writing)
    }

    fn unwritable(&self, why: String) -> ExportError {
        ExportError::Refused(format!("cannot write {}: {why}", self.path.display()))
    }

    fn rows(&mut self, rows: &[Row], from: &Rows) -> Result<(), ExportError> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        self.sequences = Some((self.sequences.map_or(first.sequence, |(first, _)| first), last.sequence));
        rows.iter().try_for_each(|row| self.sums.add(row)).map_err(|e| self.unwritable(e.to_string()))?;
        // Little by little, so that the buffer stays small.
        for some in rows.chunks(2_000) {
            self.notation.rows(some, &from.texts, &mut self.buffer).map_err(|why| self.unwritable(why))?;
            if self.buffer.len() >= BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        self.outlet.send(&mut self.buffer).named(self.place.0, &self.place.1)
    }

    /// Makes it complete: on disk under its own name, or handed on to the last byte.
    fn end(mut self, texts: &Texts) -> Result<Part, ExportError> {
        let ended = self.notation.end(texts, &mut self.buffer);
        ended.map_err(|why| self.unwritable(why))?;
        self.flush()?;
        let Writing { outlet, path, place: (doing, place), sums, sequences, .. } = self;
        let Written { to, sha256, bytes } = outlet.end().named(doing, &place)?;
        if let To::File(file, _) = to {
            appear(&file, &place, &path).named("write", &path)?;
            forget(&file);
        }
        let (first, last) = sequences.unwrap_or((Sequence(0), Sequence(0)));
        Ok(Part {
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            rows: sums.rows(),
            bytes,
            sha256,
            first_sequence: first.0,
            last_sequence: last.0,
            sums: sums.told(),
        })
    }
}

/// What a file is called until it is complete.
fn unfinished(path: &Path) -> PathBuf {
    beside(path, ".", ".partial")
}

/// A name in the same directory.
fn beside(path: &Path, before: &str, after: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{before}{name}{after}"))
}

pub fn manifest_beside(path: &Path) -> PathBuf {
    beside(path, "", ".manifest.json")
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn write_manifest(path: &Path, manifest: &Manifest) -> Result<(), ExportError> {
    let partial = unfinished(path);
    let mut file = File::create(&partial).named("write", &partial)?;
    file.write_all(manifest.to_json().as_bytes()).named("write", &partial)?;
    appear(&file, &partial, path).named("write", path)
}

pub(crate) fn read_manifest(path: &Path) -> Result<Option<Manifest>, ExportError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ExportError::File { doing: "read", path: path.to_owned(), source }),
    };
    let unreadable = |e: serde_json::Error| ExportError::Refused(format!("{} is no manifest: {e}", path.display()));
    serde_json::from_str(&text).map(Some).map_err(unreadable)
}

/// What was asked otherwise, in the words of the manifest.
pub(crate) fn difference(found: &Asked, wanted: &Asked) -> Option<String> {
    let told = |asked: &Asked| serde_json::to_value(asked).expect("what was asked is always JSON");
    let (found, wanted) = (told(found), told(wanted));
    let fields = [&wanted, &found].into_iter().flat_map(|asked| asked.as_object().expect("it is an object").keys());
    let other = fields.into_iter().find(|field| found[*field] != wanted[*field])?;
    if other == "columns" {
        return Some("it has other columns".to_owned());
    }
    Some(format!("its {other} is {}, not {}", found[other], wanted[other]))
}

/// Hidden files are what a broken run left behind before it could say so.
pub(crate) fn is_empty(directory: &Path) -> Result<(), ExportError> {
    for file in std::fs::read_dir(directory).named("read the directory", directory)? {
        let name = file.named("read the directory", directory)?.file_name();
        if !name.to_string_lossy().starts_with('.') {
            let (directory, name) = (directory.display(), name.display());
            let why = format!("{directory} holds {name} and no export; name an empty directory or a new one");
            return Err(ExportError::Refused(why));
        }
    }
    Ok(())
}

/// The parts before the first one that is not what it should be; that one and those after it are written again.
fn with_whole_parts(directory: &Path, partial: Manifest) -> Result<Manifest, ExportError> {
    let mut manifest = Manifest::new(partial.asked, partial.book);
    for part in partial.parts {
        let path = directory.join(&part.file);
        if !path.exists() || differs(&path, &part)?.is_some() {
            break;
        }
        add(&mut manifest, part)?;
    }
    Ok(manifest)
}

/// Why a file is not the part that it should be, if it is not.
pub(crate) fn differs(path: &Path, part: &Part) -> Result<Option<String>, ExportError> {
    let (bytes, sha256) = read_through(path, |_| Ok(()))?;
    if bytes != part.bytes {
        return Ok(Some(format!("{} has {bytes} bytes and not {}", path.display(), part.bytes)));
    }
    Ok((sha256 != part.sha256).then(|| format!("{} has another hash than its manifest says", path.display())))
}

/// Reads a file in portions; how many bytes it has, and its hash.
pub(crate) fn read_through(path: &Path, mut each: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(u64, String), ExportError> {
    let mut file = File::open(path).named("read", path)?;
    let (mut hash, mut bytes, mut portion) = (Sha256::new(), 0, vec![0; BUFFER]);
    loop {
        let read = file.read(&mut portion).named("read", path)?;
        if read == 0 {
            return Ok((bytes, hexadecimal(&hash.finalize())));
        }
        hash.update(&portion[..read]);
        each(&portion[..read]).map_err(|why| ExportError::Differs { file: path.display().to_string(), why })?;
        bytes += read as u64;
    }
}

/// Checks a directory, or a file with its manifest beside it. `parquet` reads the sums of a Parquet file, where that is built in.
pub fn check(path: &Path, parquet: &dyn Fn(&Path) -> Result<Option<Sums>, String>) -> Result<Manifest, ExportError> {
    let is_directory = path.is_dir();
    let manifest_path = if is_directory { path.join(COMPLETE) } else { manifest_beside(path) };
    let manifest = read_manifest(&manifest_path)?.ok_or_else(|| {
        let partial = path.join(PARTIAL).exists();
        let why = if partial { "; it is not complete, run the same export again" } else { "" };
        ExportError::Refused(format!("there is no {}{why}", manifest_path.display()))
    })?;
    let directory = if is_directory { path } else { path.parent().unwrap_or(Path::new("")) };
    let mut whole = Manifest::new(manifest.asked.clone(), manifest.book.clone());
    let mut last = 0;
    for part in &manifest.parts {
        let wrong = |why: String| Err(ExportError::Differs { file: part.file.clone(), why });
        let path = directory.join(&part.file);
        if let Some(why) = differs(&path, part)? {
            return Err(ExportError::Differs { file: part.file.clone(), why });
        }
        if let Some(sums) = sums_of(&path, &manifest.asked.format, parquet)?
            && sums.told() != part.sums
        {
            return wrong(format!("its rows come to {:?} and not to {:?}", sums.told(), part.sums));
        }
        if part.rows > 0 && part.first_sequence <= last {
            return wrong("it begins before the part before it ends".to_owned());
        }
        last = part.last_sequence;
        add(&mut whole, part.clone())?;
    }
    let file = manifest_path.display().to_string();
    if manifest.is_as_signed() == Some(false) {
        return Err(ExportError::Differs { file, why: "it is not what was signed".to_owned() });
    }
    whole.signature = manifest.signature.clone();
    if whole != manifest {
        return Err(ExportError::Differs { file, why: "its rows or its sums are not those of its parts".to_owned() });
    }
    Ok(manifest)
}

/// What a file's rows come to, where its format lets that be read.
fn sums_of(
    path: &Path,
    format: &str,
    parquet: &dyn Fn(&Path) -> Result<Option<Sums>, String>,
) -> Result<Option<Sums>, ExportError> {
    let differs = |why: String| ExportError::Differs { file: path.display().to_string(), why };
    match format {
        "csv" => {
            let mut sums = CsvSums::default();
            read_through(path, |portion| sums.feed(portion))?;
            sums.finish().map(Some).map_err(differs)
        }
        "ndjson" => {
            let mut sums = NdjsonSums::default();
            read_through(path, |portion| sums.feed(portion))?;
            sums.finish().map(Some).map_err(differs)
        }
        "parquet" => parquet(path).map_err(differs),
        // A journal is checked by the program that it is for.
        _ => Ok(None),
    }
}
