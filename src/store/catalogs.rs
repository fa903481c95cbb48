//! Published catalog versions. A part is stored once under the hash of its text, whoever publishes it; a version is a list
//! of parts by name and hash, and never changes.

use crate::id::{Org, Version};
use crate::store::sql::{Columns, exactly, in_list, lists, on};
use crate::store::{Doing, Store, StoreError, Write};
use crate::time::Instant;
use sqlx::AssertSqlSafe;

/// The hash of a part's text, or of a version's list of parts.
pub type ContentHash = [u8; 32];

/// A part of a version: its name and the text it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPart {
    pub name: String,
    pub hash: ContentHash,
}

/// Who published a version, when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionNote {
    pub author: String,
    pub note: String,
    pub published_at: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedVersion {
    pub version: Version,
    pub hash: ContentHash,
    pub note: VersionNote,
}

impl Write {
    pub async fn insert_part(&mut self, hash: &ContentHash, part: &str) -> Result<(), StoreError> {
        let text = "INSERT INTO catalog_parts (hash, text) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING";
        on!(self.db().await?, db => sqlx::query(text).bind(&hash[..]).bind(part).execute(&mut *db).await.map(drop))
            .doing("write a catalog part")
    }

    pub async fn version_hash(&mut self, org: Org, version: Version) -> Result<Option<ContentHash>, StoreError> {
        on!(self.db().await?, db => {
            let row = sqlx::query(VERSION_HASH).bind(org.0).bind(version.0).fetch_optional(&mut *db).await;
            let row = row.doing("read a catalog version")?;
            row.map(|row| row.blob(0).and_then(exactly)).transpose().doing("read a catalog version")
        })
    }

    pub async fn insert_version(&mut self, org: Org, version: &PublishedVersion, parts: &[StoredPart]) -> Result<(), StoreError> {
        let doing = "publish a catalog version";
        on!(self.db().await?, db => {
            let text = "INSERT INTO catalog_versions (org, version, hash, author, note, published_at, seal)
                        VALUES ($1, $2, $3, $4, $5, $6, $7)";
            sqlx::query(text)
                .bind(org.0)
                .bind(version.version.0)
                .bind(&version.hash[..])
                .bind(&version.note.author)
                .bind(&version.note.note)
                .bind(version.note.published_at.micros())
                .bind(&version.seal()[..])
                .execute(&mut *db)
                .await
                .doing(doing)?;
            for part in parts {
                let text = "INSERT INTO catalog_contents (org, version, part, hash) VALUES ($1, $2, $3, $4)";
                let query = sqlx::query(text).bind(org.0).bind(version.version.0).bind(&part.name).bind(&part.hash[..]);
                query.execute(&mut *db).await.doing(doing)?;
            }
        });
        Ok(())
    }
}

impl PublishedVersion {
    /// What stands for all that was published with it, so that nobody is credited with it who did not do it.
    pub fn seal(&self) -> ContentHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"farthing catalog version 1\0");
        hasher.update(&self.version.0.to_be_bytes());
        hasher.update(&self.hash);
        hasher.update(&self.note.published_at.micros().to_be_bytes());
        for text in [&self.note.author, &self.note.note] {
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

const VERSIONS: &str = "SELECT version, hash, author, note, published_at FROM catalog_versions WHERE org = $1 ORDER BY version";
const VERSION_HASH: &str = "SELECT hash FROM catalog_versions WHERE org = $1 AND version = $2";

impl Store {
    pub async fn version_hash(&self, org: Org, version: Version) -> Result<ContentHash, StoreError> {
        on!(self.reader(), db => {
            let row = sqlx::query(VERSION_HASH).bind(org.0).bind(version.0).fetch_one(db).await;
            row.and_then(|row| row.blob(0)).and_then(exactly).doing("read a catalog version")
        })
    }

    pub async fn versions(&self, org: Org) -> Result<Vec<PublishedVersion>, StoreError> {
        on!(self.reader(), db => {
            let rows = sqlx::query(VERSIONS).bind(org.0).fetch_all(db).await.doing("list catalog versions")?;
            let read = |row| published_version(row);
            rows.iter().map(read).collect::<Result<_, sqlx::Error>>().doing("list catalog versions")
        })
    }

    /// The same where some of it may be unreadable: why it is.
    pub async fn versions_one_by_one(&self, org: Org) -> Result<Vec<(Version, Result<PublishedVersion, String>)>, StoreError> {
        let read = |row: &dyn Columns, version: Result<PublishedVersion, sqlx::Error>| {
            Ok::<_, sqlx::Error>((Version(row.int(0)?), version.map_err(|e| e.to_string())))
        };
        on!(self.reader(), db => {
            let rows = sqlx::query(VERSIONS).bind(org.0).fetch_all(db).await.doing("list catalog versions")?;
            let versions = rows.iter().map(|row| read(row, published_version(row)));
            versions.collect::<Result<_, sqlx::Error>>().doing("list catalog versions")
        })
    }

    /// The seal that each version was published with; those of before there were seals have none.
    pub async fn version_seals(&self, org: Org) -> Result<Vec<(Version, Option<ContentHash>)>, StoreError> {
        let text = "SELECT version, seal FROM catalog_versions WHERE org = $1";
        let read = |row: &dyn Columns| {
            let seal = row.maybe_blob(1)?.map(exactly).transpose()?;
            Ok::<_, sqlx::Error>((Version(row.int(0)?), seal))
        };
        on!(self.reader(), db => {
            let rows = sqlx::query(text).bind(org.0).fetch_all(db).await.doing("list catalog versions")?;
            rows.iter().map(|row| read(row)).collect::<Result<_, sqlx::Error>>().doing("list catalog versions")
        })
    }

    /// The parts of a version, by name.
    pub async fn contents(&self, org: Org, version: Version) -> Result<Vec<StoredPart>, StoreError> {
        let text = "SELECT part, hash FROM catalog_contents WHERE org = $1 AND version = $2 ORDER BY part";
        on!(self.reader(), db => {
            let rows = sqlx::query(text).bind(org.0).bind(version.0).fetch_all(db).await.doing("read a catalog version")?;
            let read = |row| stored_part(row);
            rows.iter().map(read).collect::<Result<_, sqlx::Error>>().doing("read a catalog version")
        })
    }

    /// The texts of parts.
    pub async fn part_texts(&self, hashes: &[ContentHash]) -> Result<Vec<(ContentHash, String)>, StoreError> {
        let mut texts = Vec::with_capacity(hashes.len());
        for list in lists(hashes) {
            let text = format!("SELECT hash, text FROM catalog_parts WHERE hash IN ({})", in_list(1, list.len()));
            on!(self.reader(), db => {
                let query = list.iter().fold(sqlx::query(AssertSqlSafe(text)), |query, hash| query.bind(&hash[..]));
                for row in query.fetch_all(db).await.doing("read catalog parts")? {
                    texts.push((row.blob(0).and_then(exactly).doing("read catalog parts")?, row.text(1).doing("read catalog parts")?));
                }
            });
        }
        Ok(texts)
    }
}

fn published_version(row: &impl Columns) -> Result<PublishedVersion, sqlx::Error> {
    let published_at = Instant::from_micros(row.int(4)?);
    let note = VersionNote { author: row.text(2)?, note: row.text(3)?, published_at };
    Ok(PublishedVersion { version: Version(row.int(0)?), hash: exactly(row.blob(1)?)?, note })
}

fn stored_part(row: &impl Columns) -> Result<StoredPart, sqlx::Error> {
    Ok(StoredPart { name: row.text(0)?, hash: exactly(row.blob(1)?)? })
}
