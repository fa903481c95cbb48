//! Publishing: parts become the next version of an org's catalog. A version names its parts by hash, replaces those that
//! are given and carries the others over; identical content makes no version. It states the version it was made from: if
//! another was published in between it is refused, with what that one changed. Everything suspicious is told at once;
//! mistakes refuse, and what may be right after all a person has to accept. What waits for a rate is tried again at once.

use crate::catalog::check::{self, Finding, Severity};
use crate::catalog::diff::{self, Change};
use crate::catalog::source::own;
use crate::catalog::{Catalog, Part, shipped};
use crate::flow::held::Retried;
use crate::flow::{Farthing, FlowError, in_parallel, now};
use crate::id::{Org, Version};
use crate::store::{ContentHash, Head, PublishedVersion, StoredPart, VersionNote, Write};
use std::collections::BTreeSet;
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
#[derive(Clone, Debug, Default)]
pub struct Note {
    pub author: String,
    pub note: String,
}

/// What is to be published.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The version it was made from; without one whichever is in force.
    pub base: Option<Version>,
    pub parts: Vec<Part>,
    /// Parts that are to go, by name.
    pub remove: Vec<String>,
    /// A person has seen the warnings.
    pub accept: bool,
    /// Only says what would be found and what would change.
    pub dry_run: bool,
    pub note: Note,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Published {
    pub base: Version,
    /// The new version; none in a dry run, or where nothing would change.
    pub version: Option<Version>,
    pub findings: Vec<Finding>,
    pub changes: Vec<Change>,
    /// What the new version did to what was held.
    pub retried: Retried,
}

impl fmt::Display for CatalogFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CatalogFiles::Shipped => write!(f, "the catalogs that came with farthing {}", env!("CARGO_PKG_VERSION")),
            CatalogFiles::At(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Reads files into parts; every mistake of every file is told, and nothing of any file is used if one is broken.
pub fn read_files(files: &CatalogFiles) -> Result<Vec<Part>, FlowError> {
    let (mut parts, mut mistakes) = (Vec::new(), Vec::new());
    for (file, text) in texts(files)? {
        match own::read(&text) {
            Ok(read) => parts.extend(read),
            Err(of_file) => mistakes.push((file, of_file)),
        }
    }
    if !mistakes.is_empty() {
        return Err(FlowError::CatalogFiles(mistakes));
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

/// The content of a version: its parts by name, and the texts of those that are not stored yet.
pub(crate) struct Contents {
    parts: Vec<StoredPart>,
    texts: Vec<(ContentHash, String)>,
}

impl Contents {
    /// New parts in place of those that they replace, beside those that are carried over.
    pub fn new(carried: Vec<StoredPart>, parts: &[Part]) -> Result<Contents, FlowError> {
        let written = in_parallel(parts, |part| {
            let text = own::write(part);
            // What is stored is the text, so it must say what is meant: nothing is published that cannot be read back.
            match own::read(&text).as_deref() {
                Ok([read]) if read == part => Ok((*blake3::hash(text.as_bytes()).as_bytes(), text)),
                Ok(_) => Err(format!("{} would be read back as something else; nothing was published", part.name())),
                Err(mistakes) => Err(format!("{} could not be read back ({}); nothing was published", part.name(), mistakes[0])),
            }
        });
        let texts = written.into_iter().collect::<Result<Vec<_>, _>>().map_err(FlowError::Refused)?;
        let new = parts.iter().zip(&texts).map(|(part, (hash, _))| StoredPart { name: part.name(), hash: *hash });
        let mut parts: Vec<StoredPart> = carried.into_iter().chain(new).collect();
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Contents { parts, texts })
    }

    /// Writes them as the version after a head's, and moves the head to it.
    pub async fn write(&self, write: &mut Write, mut head: Head, note: &Note) -> Result<Version, FlowError> {
        for (hash, text) in &self.texts {
            write.insert_part(hash, text).await?;
        }
        head.version = head.version.next();
        let note = VersionNote { author: note.author.clone(), note: note.note.clone(), published_at: now() };
        let version = PublishedVersion { version: head.version, hash: hash_of(&self.parts), note };
        write.insert_version(head.org, &version, &self.parts).await?;
        write.move_head(&head).await?;
        Ok(head.version)
    }
}

impl Farthing {
    /// Publishes parts as the next version, over the one they were made from.
    pub async fn publish(&self, org: Org, wish: &Wish) -> Result<Published, FlowError> {
        let newest = self.store.head(org).await?.version;
        let base = wish.base.unwrap_or(newest);
        self.must_be_newest(org, base, newest).await?;
        let before = self.parts_of(org, base).await?;
        let replaced: BTreeSet<String> = wish.parts.iter().map(Part::name).chain(wish.remove.iter().cloned()).collect();
        if let Some(name) = wish.remove.iter().find(|name| !before.iter().any(|(part, _)| part.name == **name)) {
            return Err(FlowError::NotThere(format!("version {base} has no part `{name}`")));
        }
        let carried: Vec<(StoredPart, Part)> =
            before.iter().filter(|(part, _)| !replaced.contains(&part.name)).cloned().collect();

        let before: Vec<Part> = before.into_iter().map(|(_, part)| part).collect();
        let after: Vec<Part> = carried.iter().map(|(_, part)| part.clone()).chain(wish.parts.iter().cloned()).collect();
        Catalog::build(after.iter().cloned())?;
        let (findings, changes) = (check::check(&before, &after), diff::diff(&before, &after));
        let published = Published { base, version: None, findings, changes, retried: Retried::default() };
        if wish.dry_run {
            return Ok(published);
        }
        let refuses = |finding: &Finding| finding.severity == Severity::Error || !wish.accept;
        if published.findings.iter().any(refuses) {
            return Err(FlowError::Doubtful(published.findings));
        }
        let contents = Contents::new(carried.into_iter().map(|(part, _)| part).collect(), &wish.parts)?;
        self.put_in_force(org, published, &contents, &wish.note).await
    }

    /// Publishes what an earlier version said as a new version; of the wish its base, its note and whether it is a dry run.
    pub async fn roll_back(&self, org: Org, to: Version, wish: &Wish) -> Result<Published, FlowError> {
        let newest = self.store.head(org).await?.version;
        let base = wish.base.unwrap_or(newest);
        self.must_be_newest(org, base, newest).await?;
        self.version(org, to).await?;
        let (before, after) = (self.parts(org, base).await?, self.parts(org, to).await?);
        // What was published once was judged then; whoever goes back to it wants exactly that.
        let (findings, changes) = (check::check(&before, &after), diff::diff(&before, &after));
        let published = Published { base, version: None, findings, changes, retried: Retried::default() };
        if wish.dry_run {
            return Ok(published);
        }
        let contents = Contents { parts: self.store.contents(org, to).await?, texts: Vec::new() };
        self.put_in_force(org, published, &contents, &wish.note).await
    }

    /// What changed from one version to another.
    pub async fn changes(&self, org: Org, from: Version, until: Version) -> Result<Vec<Change>, FlowError> {
        self.version(org, from).await?;
        self.version(org, until).await?;
        Ok(diff::diff(&self.parts(org, from).await?, &self.parts(org, until).await?))
    }

    /// Somebody else's publish in between is not overwritten unseen.
    async fn must_be_newest(&self, org: Org, stated: Version, newest: Version) -> Result<(), FlowError> {
        if stated == newest {
            return Ok(());
        }
        let changes = self.changes(org, stated, newest).await?;
        Err(FlowError::BaseMoved { stated, newest, changes })
    }

    async fn put_in_force(
        &self,
        org: Org,
        mut published: Published,
        contents: &Contents,
        note: &Note,
    ) -> Result<Published, FlowError> {
        {
            let _books = self.books.lock().await;
            let mut write = self.store.begin().await?;
            let head = write.lock_heads(&[org]).await?.remove(0);
            if head.version != published.base {
                let newest = head.version;
                drop(write);
                self.must_be_newest(org, published.base, newest).await?;
                return Ok(published);
            }
            if write.version_hash(org, published.base).await? == Some(hash_of(&contents.parts)) {
                return Ok(published);
            }
            let version = contents.write(&mut write, head, note).await?;
            write.commit().await?;
            published.version = Some(version);
            self.load_version(org, version).await?;
        }
        // Whatever this version prices posts by itself. If that breaks off, a job does it: the version is in force.
        match self.retry_held(org, None).await {
            Ok(retried) => published.retried = retried,
            Err(error) => tracing::warn!(%error, "held events could not be tried again yet"),
        }
        Ok(published)
    }
}
