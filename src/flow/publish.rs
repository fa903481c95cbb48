//! Publishing: catalog files become the next version of an org's catalog. A version names its parts by hash, replaces
//! those that are given and carries the others over; identical content makes no version.

use crate::catalog::source::own;
use crate::catalog::{Catalog, Part, shipped};
use crate::flow::{Farthing, FlowError, now};
use crate::id::{Org, Version};
use crate::store::{ContentHash, PublishedVersion, StoredPart, VersionNote, Write};
use std::fmt;
use std::path::PathBuf;

/// Where catalog files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogFiles {
    /// Those in the program.
    Shipped,
    /// A file, or every `*.yaml` of a directory.
    At(PathBuf),
}

/// Who publishes and why.
#[derive(Clone, Debug)]
pub struct Note {
    pub author: String,
    pub note: String,
}

impl fmt::Display for CatalogFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CatalogFiles::Shipped => write!(f, "the catalogs that came with farthing {}", env!("CARGO_PKG_VERSION")),
            CatalogFiles::At(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Reads files into parts; every mistake of a file is told, and nothing of any file is used if one is broken.
pub fn read_files(files: &CatalogFiles) -> Result<Vec<Part>, FlowError> {
    let mut parts = Vec::new();
    for (file, text) in texts(files)? {
        parts.extend(own::read(&text).map_err(|mistakes| FlowError::CatalogFile { file, mistakes })?);
    }
    if parts.is_empty() {
        return Err(FlowError::NotThere(format!("{files} holds no catalog files (*.yaml)")));
    }
    // The parts must go together before any of them is kept.
    Catalog::build(parts.iter().cloned())?;
    Ok(parts)
}

fn texts(files: &CatalogFiles) -> Result<Vec<(String, String)>, FlowError> {
    let CatalogFiles::At(path) = files else {
        return Ok(shipped::FILES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect());
    };
    let unreadable = |path: &PathBuf, e: std::io::Error| FlowError::NotThere(format!("cannot read {}: {e}", path.display()));
    let mut paths = vec![path.clone()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|e| unreadable(path, e))?;
        paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
        paths.sort();
    }
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).map_err(|e| unreadable(&path, e))?;
            Ok((path.display().to_string(), text))
        })
        .collect()
}

/// Publishes parts over the version a transaction finds; the book's head carries the new one from its next commit on.
pub(crate) async fn publish_in(
    write: &mut Write,
    org: Org,
    base: Version,
    carried: &[(StoredPart, String)],
    parts: &[Part],
    note: &Note,
) -> Result<Option<Version>, FlowError> {
    let mut head = write.lock_heads(&[org]).await?.remove(0);
    if head.version != base {
        return Err(FlowError::BaseMoved { stated: base, newest: head.version });
    }
    let replaced: Vec<String> = parts.iter().map(Part::name).collect();
    let carried = carried.iter().filter(|(stored, _)| !replaced.contains(&stored.name));
    let mut contents: Vec<(StoredPart, String)> = carried.cloned().collect();
    for part in parts {
        let text = own::write(part);
        let hash = *blake3::hash(text.as_bytes()).as_bytes();
        contents.push((StoredPart { name: part.name(), hash }, text));
    }
    contents.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    fit_together(&contents)?;
    for (part, text) in &contents {
        write.insert_part(&part.hash, text).await?;
    }
    let contents: Vec<StoredPart> = contents.into_iter().map(|(part, _)| part).collect();
    if write.version_hash(org, base).await? == Some(hash_of(&contents)) {
        return Ok(None);
    }
    head.version = base.next();
    let published_at = now();
    let note = VersionNote { author: note.author.clone(), note: note.note.clone(), published_at };
    let version = PublishedVersion { version: head.version, hash: hash_of(&contents), note };
    write.insert_version(org, &version, &contents).await?;
    write.move_head(&head).await?;
    Ok(Some(head.version))
}

/// What is carried over and what is new must make one catalog.
fn fit_together(contents: &[(StoredPart, String)]) -> Result<(), FlowError> {
    let mut parts = Vec::with_capacity(contents.len());
    for (part, text) in contents {
        let file = part.name.clone();
        parts.extend(own::read(text).map_err(|mistakes| FlowError::CatalogFile { file, mistakes })?);
    }
    Catalog::build(parts)?;
    Ok(())
}

/// A version's hash covers the names and hashes of its parts.
pub(crate) fn hash_of(contents: &[StoredPart]) -> ContentHash {
    let mut hasher = blake3::Hasher::new();
    for part in contents {
        hasher.update(&(part.name.len() as u64).to_be_bytes());
        hasher.update(part.name.as_bytes());
        hasher.update(&part.hash);
    }
    *hasher.finalize().as_bytes()
}

impl Farthing {
    /// Publishes parts as the next version, over the one in force; nothing where nothing would change.
    pub async fn publish(&self, org: Org, base: Version, parts: &[Part], note: &Note) -> Result<Option<Version>, FlowError> {
        let carried = self.store.parts(org, base).await?;
        let _books = self.books.lock().await;
        let mut write = self.store.begin().await?;
        let version = publish_in(&mut write, org, base, &carried, parts, note).await?;
        if let Some(version) = version {
            write.commit().await?;
            self.load_version(org, version).await?;
        }
        Ok(version)
    }
}
