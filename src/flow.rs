//! One file per thing that Farthing does: read, let the core decide, write in one transaction. The command line, the HTTP
//! service and the jobs all come through here, so a verb means the same behind every door.

pub mod access;
pub mod booking;
pub mod conflicts;
pub mod held;
pub mod ingest;
pub mod intake;
pub mod publish;
pub mod quote;
pub mod rejected;
pub mod report;
pub mod verify;

use crate::catalog::{Catalog, Clash, Part, source};
use crate::flow::booking::NameCache;
use crate::id::{Org, Version};
use crate::store::{ContentHash, Store, StoreError, StoreOptions};
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
    #[error("{file}: {}", .mistakes.iter().map(|mistake| mistake.to_string()).collect::<Vec<_>>().join("\n  "))]
    CatalogFile { file: String, mistakes: Vec<Mistake> },
    #[error("the catalog does not fit together: {0}")]
    Clash(#[from] Clash),
    #[error("another version was published in between: the base is {stated}, the newest is {newest}")]
    BaseMoved { stated: Version, newest: Version },
    #[error("{0}")]
    NotThere(String),
    #[error("{0}")]
    Refused(String),
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
        let farthing = Farthing { store, catalogs: Mutex::default(), books: tokio::sync::Mutex::default() };
        if farthing.store.orgs().await?.is_empty() {
            match farthing.create_org(FIRST_ORG, catalogs).await {
                // Two processes may start at once on an empty database; one of them is first.
                Ok(_) | Err(FlowError::Store(StoreError::OrgExists(_))) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(farthing)
    }

    /// Makes an org with an empty book and the catalogs as its version 1.
    pub async fn create_org(&self, name: &str, catalogs: &publish::CatalogFiles) -> Result<Org, FlowError> {
        let parts = publish::read_files(catalogs)?;
        let mut write = self.store.begin().await?;
        let org = write.insert_org(name, now()).await?;
        let note = publish::Note { author: "farthing".to_owned(), note: catalogs.to_string() };
        publish::publish_in(&mut write, org, Version(0), &[], &parts, &note).await?;
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

    /// Makes a version the one in force in this process: the head of the book says so.
    pub async fn load_version(&self, org: Org, version: Version) -> Result<InForce, FlowError> {
        let known = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner).in_force.get(&org).cloned();
        if let Some(known) = known.filter(|known| known.version == version) {
            return Ok(known);
        }
        let hash = self.store.version_hash(org, version).await?;
        let catalog = Arc::new(self.catalog_of(org, version).await?);
        let in_force = InForce { version, hash, catalog };
        let mut catalogs = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner);
        catalogs.in_force.insert(org, in_force.clone());
        Ok(in_force)
    }

    /// Any version of an org's catalog, as it was published.
    pub async fn catalog_of(&self, org: Org, version: Version) -> Result<Catalog, FlowError> {
        let mut parts = Vec::new();
        for (part, text) in self.store.parts(org, version).await? {
            let known = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner).parts.get(&part.hash).cloned();
            let part = match known {
                Some(known) => known,
                None => {
                    if blake3::hash(text.as_bytes()) != part.hash {
                        return Err(StoreError::damaged(
                            format!("catalog part {}", part.name),
                            "its text does not have its hash",
                        )
                        .into());
                    }
                    let read = source::own::read(&text).ok().and_then(|mut parts| parts.pop());
                    let read =
                        read.ok_or_else(|| StoreError::damaged(format!("catalog part {}", part.name), "it cannot be read"))?;
                    let mut catalogs = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner);
                    catalogs.parts.insert(part.hash, read.clone());
                    read
                }
            };
            parts.push(part);
        }
        Ok(Catalog::build(parts)?)
    }
}
