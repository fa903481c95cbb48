//! Bearer keys as they are kept: by their public part, with a hash of the whole.

use crate::id::Org;
use crate::store::sql::{Columns, exactly, on};
use crate::store::{Doing, Store, StoreError};
use crate::time::Instant;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    pub org: Org,
    pub key: String,
    pub hash: [u8; 32],
    pub scopes: String,
    pub source: Option<String>,
    pub team: Option<String>,
    pub note: Option<String>,
    pub created_at: Instant,
    pub revoked_at: Option<Instant>,
}

const KEY: &str = "SELECT org, key, hash, scopes, source, team, note, created_at, revoked_at FROM access_keys";

impl Store {
    pub async fn insert_key(&self, key: &AccessKey) -> Result<(), StoreError> {
        let text = "INSERT INTO access_keys (org, key, hash, scopes, source, team, note, created_at)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        on!(self.writer(), db => {
            sqlx::query(text)
                .bind(key.org.0)
                .bind(&key.key)
                .bind(&key.hash[..])
                .bind(&key.scopes)
                .bind(&key.source)
                .bind(&key.team)
                .bind(&key.note)
                .bind(key.created_at.micros())
                .execute(db)
                .await
                .map(drop)
        })
        .doing("write a key")
    }

    /// The keys with this public part; it is random, so there is at most one over all orgs.
    pub async fn key_by_name(&self, key: &str) -> Result<Option<AccessKey>, StoreError> {
        let text = format!("{KEY} WHERE key = $1");
        on!(self.reader(), db => {
            let row = sqlx::query(sqlx::AssertSqlSafe(text)).bind(key).fetch_optional(db).await.doing("read a key")?;
            row.map(|row| access_key(&row)).transpose().doing("read a key")
        })
    }

    pub async fn keys(&self, org: Org) -> Result<Vec<AccessKey>, StoreError> {
        let text = format!("{KEY} WHERE org = $1 ORDER BY created_at, key");
        on!(self.reader(), db => {
            let rows = sqlx::query(sqlx::AssertSqlSafe(text)).bind(org.0).fetch_all(db).await.doing("list keys")?;
            rows.iter().map(access_key).collect::<Result<_, sqlx::Error>>().doing("list keys")
        })
    }

    /// Whether any key was ever made, in any org.
    pub async fn has_keys(&self) -> Result<bool, StoreError> {
        on!(self.reader(), db => {
            let row = sqlx::query("SELECT 1 FROM access_keys LIMIT 1").fetch_optional(db).await;
            row.map(|row| row.is_some()).doing("look for keys")
        })
    }

    /// Revokes a key for good; says whether there was one to revoke.
    pub async fn revoke_key(&self, org: Org, key: &str, at: Instant) -> Result<bool, StoreError> {
        let text = "UPDATE access_keys SET revoked_at = $3 WHERE org = $1 AND key = $2 AND revoked_at IS NULL";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(key).bind(at.micros());
            query.execute(db).await.map(|done| done.rows_affected() == 1).doing("revoke a key")
        })
    }
}

fn access_key(row: &impl Columns) -> Result<AccessKey, sqlx::Error> {
    Ok(AccessKey {
        org: Org(row.int(0)?),
        key: row.text(1)?,
        hash: exactly(row.blob(2)?)?,
        scopes: row.text(3)?,
        source: row.maybe_text(4)?,
        team: row.maybe_text(5)?,
        note: row.maybe_text(6)?,
        created_at: Instant::from_micros(row.int(7)?),
        revoked_at: row.maybe_int(8)?.map(Instant::from_micros),
    })
}
