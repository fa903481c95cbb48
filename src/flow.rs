//! One file per thing that Farthing does: read, let the core decide, write in one transaction. The command line, the HTTP
//! service and the jobs all come through here, so a verb means the same behind every door.

pub mod access;
pub mod accounts;
pub mod adjust;
pub mod archive;
pub mod backup;
pub mod booking;
pub mod conflicts;
pub mod deliver;
pub mod erase;
pub mod explain;
pub mod export;
pub mod focus;
pub mod held;
pub mod import;
pub mod ingest;
pub mod intake;
pub mod notices;
pub mod price;
pub mod publish;
pub mod periods;
pub mod pull;
pub mod quote;
pub mod reconcile;
pub mod refresh;
pub mod rejected;
pub mod report;
pub mod rerate;
pub mod retention;
pub mod runs;
pub mod segments;
pub mod suspects;
pub mod verify;
pub mod whole;

use crate::catalog::check::Finding;
use crate::catalog::diff::Change;
use crate::catalog::{Catalog, Clash, Part, source};
use crate::flow::booking::NameCache;
use crate::id::{Org, Version};
use crate::signature::Signer;
use crate::store::{ContentHash, PublishedVersion, Store, StoreError, StoreOptions, StoredPart};
use crate::time::Instant;
use crate::yaml::Mistake;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// An opened installation: a store, what is kept in memory of it, and the verbs.
pub struct Farthing {
    pub store: Store,
    catalogs: Mutex<Catalogs>,
    /// Whoever holds it writes to books; within a process commits are one after the other.
    books: tokio::sync::Mutex<HashMap<Org, NameCache>>,
    /// Copies of the book in columns, where there is a place for them.
    segments: Option<Arc<segments::Segments>>,
    /// Signs closings and manifests, where there is a key.
    pub signer: Option<Arc<Signer>>,
}

/// A catalog version in memory.
#[derive(Clone)]
pub struct InForce {
    pub version: Version,
    pub hash: ContentHash,
    pub catalog: Arc<Catalog>,
}

#[derive(Default)]
struct Catalogs {
    in_force: HashMap<Org, InForce>,
    /// Parts by hash: public lists are read once, however many orgs and versions name them.
    parts: HashMap<ContentHash, Part>,
}

#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}", told(.0))]
    CatalogFiles(Vec<(String, Vec<Mistake>)>),
    #[error(transparent)]
    TooLarge(#[from] crate::report::fold::TooLarge),
    #[error("the catalog does not fit together: {0}")]
    Clash(#[from] Clash),
    #[error("another version was published in between: the base is {stated}, the newest is {newest}{}", listed(.changes))]
    BaseMoved { stated: Version, newest: Version, changes: Vec<Change> },
    #[error("the catalog was not published{}", listed(.0))]
    Doubtful(Vec<Finding>),
    #[error("{0}")]
    NotThere(String),
    #[error("{0}")]
    Refused(String),
    /// The same id stands for something else already.
    #[error("{0}")]
    Conflict(String),
}

fn told(mistakes: &[(String, Vec<Mistake>)]) -> String {
    let lines = mistakes.iter().flat_map(|(file, mistakes)| mistakes.iter().map(move |mistake| format!("{file}: {mistake}")));
    lines.collect::<Vec<_>>().join("\n  ")
}

/// The first lines; whoever wants all of many thousand asks `catalog check`, or for the diff.
fn listed(lines: &[impl ToString]) -> String {
    const SHOWN: usize = 100;
    let more = lines.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("\n  ... and {more} more") } else { String::new() };
    lines.iter().take(SHOWN).map(|line| format!("\n  {}", line.to_string())).collect::<String>() + &more
}

/// What time it is; the only clock there is, read by the flows and handed to the core.
pub fn now() -> Instant {
    Instant::from_micros(chrono::Utc::now().timestamp_micros())
}

/// The org that a new installation starts with.
pub const FIRST_ORG: &str = "main";

impl Farthing {
    /// Opens a store. The very first start makes an org and publishes the catalogs as its version 1.
    pub async fn open(options: &StoreOptions, catalogs: &publish::CatalogFiles) -> Result<Farthing, FlowError> {
        let store = Store::open(options).await?;
        let farthing =
            Farthing { store, catalogs: Mutex::default(), books: tokio::sync::Mutex::default(), segments: None, signer: None };
        if farthing.store.orgs().await?.is_empty()
            && let Err(e) = farthing.create_org(FIRST_ORG, catalogs).await
        {
            // Two processes may start at once on an empty database; one of them is first, and then its org is there.
            if farthing.store.orgs().await?.is_empty() {
                return Err(e);
            }
        }
        Ok(farthing)
    }

    /// Opens a store that is there, only to look at it; whoever writes to it meanwhile is not disturbed.
    pub async fn open_read_only(options: &StoreOptions) -> Result<Farthing, FlowError> {
        let store = Store::open_read_only(options).await?;
        Ok(Farthing { store, catalogs: Mutex::default(), books: tokio::sync::Mutex::default(), segments: None, signer: None })
    }

    /// Signs closings and the manifests of exports from now on.
    pub fn with_signer(self, signer: Option<Arc<Signer>>) -> Farthing {
        Farthing { signer, ..self }
    }

    /// The same, with a place for segments.
    pub fn with_segments(self, plan: Option<segments::SegmentPlan>) -> Farthing {
        Farthing { segments: plan.map(|plan| Arc::new(segments::Segments::new(plan))), ..self }
    }

    /// Makes an org with an empty book and the catalogs as its version 1.
    pub async fn create_org(&self, name: &str, catalogs: &publish::CatalogFiles) -> Result<Org, FlowError> {
        let contents = publish::Contents::new(Vec::new(), &publish::read_files(catalogs)?)?;
        let mut write = self.store.begin().await?;
        let org = write.insert_org(name, now()).await?;
        let head = write.lock_heads(&[org]).await?.remove(0);
        let note = publish::Note { author: "farthing".to_owned(), note: catalogs.to_string() };
        contents.write(&mut write, head, &note).await?;
        write.commit().await?;
        Ok(org)
    }

    /// The catalog that holds for an org now.
    pub async fn in_force(&self, org: Org) -> Result<InForce, FlowError> {
        let known = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner).in_force.get(&org).cloned();
        match known {
            Some(known) => Ok(known),
            None => self.load_version(org, self.store.head(org).await?.version).await,
        }
    }

    /// The catalog of the newest version, also where another process published it a moment ago.
    pub async fn newest(&self, org: Org) -> Result<InForce, FlowError> {
        self.load_version(org, self.store.head(org).await?.version).await
    }

    /// Makes a version the one in force in this process: the head of the book says so.
    pub async fn load_version(&self, org: Org, version: Version) -> Result<InForce, FlowError> {
        let known = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner).in_force.get(&org).cloned();
        if let Some(known) = known.filter(|known| known.version == version) {
            return Ok(known);
        }
        let hash = self.store.version_hash(org, version).await?;
        let catalog = Arc::new(Catalog::build(self.parts(org, version).await?)?);
        let in_force = InForce { version, hash, catalog };
        self.catalogs.lock().unwrap_or_else(PoisonError::into_inner).in_force.insert(org, in_force.clone());
        self.let_go_of_lists();
        Ok(in_force)
    }

    /// Lists that no catalog in memory is made of any more need not be kept; they can be read again.
    pub(crate) fn let_go_of_lists(&self) {
        let mut catalogs = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner);
        catalogs.parts.retain(|_, part| match part {
            Part::List(list) => Arc::strong_count(list) > 1,
            Part::Overrides(_) | Part::Rules(_) => true,
        });
    }

    /// Who published a version, when and why; an error where there is no such version.
    pub async fn version(&self, org: Org, version: Version) -> Result<PublishedVersion, FlowError> {
        let known = self.store.versions(org).await?.into_iter().find(|known| known.version == version);
        known.ok_or_else(|| FlowError::NotThere(format!("there is no catalog version {version}")))
    }

    /// A version that may not be the one in force.
    pub async fn published(&self, org: Org, version: Version) -> Result<InForce, FlowError> {
        let in_force = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner).in_force.get(&org).cloned();
        if let Some(in_force) = in_force.filter(|in_force| in_force.version == version) {
            return Ok(in_force);
        }
        let hash = self.version(org, version).await?.hash;
        Ok(InForce { version, hash, catalog: Arc::new(Catalog::build(self.parts(org, version).await?)?) })
    }

    /// What a version says, part by part.
    pub async fn parts(&self, org: Org, version: Version) -> Result<Vec<Part>, FlowError> {
        Ok(self.parts_of(org, version).await?.into_iter().map(|(_, part)| part).collect())
    }

    /// The parts of a version by name. What was read before is not read again, whichever version it is in.
    pub async fn parts_of(&self, org: Org, version: Version) -> Result<Vec<(StoredPart, Part)>, FlowError> {
        let stored = self.store.contents(org, version).await?;
        let mut parts: HashMap<ContentHash, Part> = {
            let catalogs = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner);
            stored.iter().filter_map(|part| Some((part.hash, catalogs.parts.get(&part.hash)?.clone()))).collect()
        };
        let unknown: Vec<ContentHash> = stored.iter().map(|part| part.hash).filter(|hash| !parts.contains_key(hash)).collect();
        // A few at a time: their texts need not all be in memory at once.
        for some in unknown.chunks(8) {
            let texts = self.store.part_texts(some).await?;
            let read = in_parallel(&texts, |(hash, text)| read_part(hash, text));
            for ((hash, _), part) in texts.iter().zip(read) {
                parts.insert(*hash, part?);
            }
        }
        self.catalogs.lock().unwrap_or_else(PoisonError::into_inner).parts.extend(parts.clone());
        let missing = |part: &StoredPart| StoreError::damaged(format!("catalog part {}", part.name), "its text is not there");
        stored.into_iter().map(|part| Ok((part.clone(), parts.get(&part.hash).cloned().ok_or_else(|| missing(&part))?))).collect()
    }
}

/// A page of what can be shown. What was sent may have gone with its month, and then others take its place: a short page is
/// the last one.
pub(crate) struct Filling<K, T> {
    /// Where the next ones are to be looked for.
    pub after: K,
    limit: usize,
    shown: Vec<T>,
    /// How many are to be looked for; nothing once it is full, or nothing is left.
    pub room: Option<i64>,
}

impl<K: Copy, T> Filling<K, T> {
    pub fn after(after: K, limit: i64) -> Filling<K, T> {
        Filling { after, limit: limit.max(0) as usize, shown: Vec::new(), room: Some(limit).filter(|limit| *limit > 0) }
    }

    /// Adds what was found, each with its key and nothing where it cannot be shown.
    pub fn add(&mut self, found: Vec<(K, Option<T>)>) {
        let is_over = self.room.is_none_or(|room| (found.len() as i64) < room);
        for (key, shown) in found {
            if self.shown.len() == self.limit {
                break;
            }
            self.after = key;
            self.shown.extend(shown);
        }
        // Where much is gone, little would be found at a time.
        let more = (self.limit - self.shown.len()).max(100) as i64;
        self.room = (!is_over && self.shown.len() < self.limit).then_some(more);
    }

    pub fn shown(self) -> Vec<T> {
        self.shown
    }
}

/// Does what keeps a processor busy for a while where nobody waits for one.
async fn in_background<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, FlowError> {
    tokio::task::spawn_blocking(work).await.map_err(broke_off)
}

fn broke_off(e: tokio::task::JoinError) -> FlowError {
    FlowError::Refused(format!("reading the book broke off: {e}"))
}

/// Does the same to many things, on as many threads as there are processors; the answers are in their order.
fn in_parallel<T: Sync, R: Send>(things: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    if things.len() < 2 || threads < 2 {
        return things.iter().map(work).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(thing) = things.get(place) else { return done };
            done.push((place, work(thing)));
        }
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(things.len())).map(|_| scope.spawn(take)).collect();
        let mine = take();
        let others = others.into_iter().flat_map(|other| other.join().expect("the work does not panic"));
        mine.into_iter().chain(others).collect()
    });
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

fn read_part(hash: &ContentHash, text: &str) -> Result<Part, StoreError> {
    let damaged = |why: &str| StoreError::damaged(format!("catalog part {}", blake3::Hash::from_bytes(*hash)), why);
    if blake3::hash(text.as_bytes()) != *hash {
        return Err(damaged("its text does not have its hash"));
    }
    let part = source::own::read(text).ok().and_then(|mut parts| parts.pop());
    part.ok_or_else(|| damaged("it cannot be read"))
}
