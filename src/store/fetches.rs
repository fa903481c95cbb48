//! What was fetched of public lists: one row for as long as an answer stayed the same, with its first and last look, so
//! that a price change lies between the last look of one row and the first of the next. Bodies are kept as they came.

use crate::id::Org;
use crate::store::catalogs::ContentHash;
use crate::store::sql::{Columns, exactly, on};
use crate::store::{Doing, Store, StoreError};
use crate::time::Instant;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use sqlx::AssertSqlSafe;
use std::io::{Read, Write as _};

/// An answer, or the lack of one, for as long as it stayed the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    pub fetch: i64,
    pub source: String,
    pub url: String,
    pub etag: Option<String>,
    /// The hash of the body; none where there was no answer.
    pub hash: Option<ContentHash>,
    pub size: i64,
    pub first_at: Instant,
    pub last_at: Instant,
    pub looks: i64,
    pub outcome: FetchOutcome,
    pub detail: String,
}

/// What was done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    /// It is in a version, or changes nothing.
    Published,
    /// It waits for a person.
    ToReview,
    /// The checks refused it.
    Refused,
    Failed,
}

impl FetchOutcome {
    const NAMES: [(FetchOutcome, &'static str); 4] = [
        (FetchOutcome::Published, "published"),
        (FetchOutcome::ToReview, "to_review"),
        (FetchOutcome::Refused, "refused"),
        (FetchOutcome::Failed, "failed"),
    ];

    pub fn name(self) -> &'static str {
        FetchOutcome::NAMES.iter().find(|(outcome, _)| *outcome == self).expect("every outcome has a name").1
    }

    fn named(name: &str) -> Option<FetchOutcome> {
        FetchOutcome::NAMES.iter().find(|(_, known)| *known == name).map(|(outcome, _)| *outcome)
    }
}

const FETCH: &str = "SELECT number, source, url, etag, hash, size, first_at, last_at, looks, outcome, detail
                       FROM catalog_fetches WHERE org = $1 AND";

impl Store {
    /// The newest fetches, the newest first; of one source, or of any.
    pub async fn fetches(&self, org: Org, source: Option<&str>, limit: i64) -> Result<Vec<Fetch>, StoreError> {
        let text = format!("{FETCH} (source = $2 OR $2 = '') ORDER BY number DESC LIMIT $3");
        on!(self.reader(), db => {
            let query = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(source.unwrap_or("")).bind(limit);
            let rows = query.fetch_all(db).await.doing("read fetches")?;
            rows.iter().map(fetch).collect::<Result<_, sqlx::Error>>().doing("read fetches")
        })
    }

    /// The last answer of a source; attempts without one are not answers.
    pub async fn last_answer(&self, org: Org, source: &str) -> Result<Option<Fetch>, StoreError> {
        let text = format!("{FETCH} source = $2 AND hash IS NOT NULL ORDER BY number DESC LIMIT 1");
        on!(self.reader(), db => {
            let row = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(source).fetch_optional(db).await.doing("read fetches")?;
            row.map(|row| fetch(&row)).transpose().doing("read fetches")
        })
    }

    /// Keeps a fetch under the next number, with its body. Two processes may ask for the same number at once: whoever comes
    /// second takes the one after it.
    pub async fn keep_fetch(&self, org: Org, new: &Fetch, body: Option<&str>) -> Result<(), StoreError> {
        let doing = "keep a fetch";
        if let (Some(hash), Some(body)) = (new.hash, body) {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            let zipped = encoder.write_all(body.as_bytes()).and_then(|()| encoder.finish());
            let zipped = zipped.expect("writing to memory does not fail");
            let text = "INSERT INTO catalog_bodies (hash, body) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING";
            on!(self.writer(), db => sqlx::query(text).bind(&hash[..]).bind(zipped).execute(db).await.map(drop).doing(doing)?);
        }
        let text = "INSERT INTO catalog_fetches (org, number, source, url, etag, hash, size, first_at, last_at, looks, outcome, detail)
                    SELECT CAST($1 AS BIGINT), COALESCE(MAX(number), 0) + 1, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), $5,
                           CAST($6 AS BIGINT), CAST($7 AS BIGINT), CAST($8 AS BIGINT), 1, CAST($9 AS TEXT), CAST($10 AS TEXT)
                      FROM catalog_fetches WHERE org = $1
                        ON CONFLICT (org, number) DO NOTHING";
        loop {
            let kept = on!(self.writer(), db => {
                let query = sqlx::query(text)
                    .bind(org.0)
                    .bind(&new.source)
                    .bind(&new.url)
                    .bind(&new.etag)
                    .bind(new.hash.map(|hash| hash.to_vec()))
                    .bind(new.size)
                    .bind(new.first_at.micros())
                    .bind(new.last_at.micros())
                    .bind(new.outcome.name())
                    .bind(&new.detail);
                query.execute(db).await.doing(doing)?.rows_affected()
            });
            if kept > 0 {
                return Ok(());
            }
        }
    }

    /// Another look saw the same.
    pub async fn seen_again(&self, org: Org, seen: i64, at: Instant) -> Result<(), StoreError> {
        let text = "UPDATE catalog_fetches SET last_at = $3, looks = looks + 1 WHERE org = $1 AND number = $2";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(seen).bind(at.micros());
            query.execute(db).await.map(drop).doing("keep a fetch")
        })
    }

    /// A person or a later look decided what was to be reviewed or refused.
    pub async fn decide_fetch(&self, org: Org, decided: i64, outcome: FetchOutcome, detail: &str) -> Result<(), StoreError> {
        let text = "UPDATE catalog_fetches SET outcome = $3, detail = $4 WHERE org = $1 AND number = $2";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(decided).bind(outcome.name()).bind(detail);
            query.execute(db).await.map(drop).doing("keep a fetch")
        })
    }

    /// Forgets bodies that no look has seen since an instant; says how many. The newest answer of a source stays, and what waits
    /// for a person; the rows say what was fetched all the same.
    pub async fn forget_fetched_before(&self, before: Instant) -> Result<u64, StoreError> {
        let text = "DELETE FROM catalog_bodies WHERE hash IN (SELECT hash FROM catalog_fetches WHERE hash IS NOT NULL)
                       AND hash NOT IN (
                           SELECT f.hash FROM catalog_fetches f
                            WHERE f.hash IS NOT NULL
                              AND (f.last_at >= $1 OR f.outcome = 'to_review'
                                   OR f.number = (SELECT MAX(n.number) FROM catalog_fetches n
                                                   WHERE n.org = f.org AND n.source = f.source AND n.hash IS NOT NULL)))";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(before.micros());
            query.execute(db).await.map(|done| done.rows_affected()).doing("forget fetched bodies")
        })
    }

    /// A fetched body as it came.
    pub async fn fetched_body(&self, hash: &ContentHash) -> Result<Option<String>, StoreError> {
        let doing = "read a fetched body";
        let zipped: Option<Vec<u8>> = on!(self.reader(), db => {
            let row = sqlx::query("SELECT body FROM catalog_bodies WHERE hash = $1").bind(&hash[..]).fetch_optional(db).await;
            row.doing(doing)?.map(|row| row.blob(0)).transpose().doing(doing)?
        });
        let Some(zipped) = zipped else { return Ok(None) };
        let mut body = String::new();
        let read = ZlibDecoder::new(zipped.as_slice()).read_to_string(&mut body);
        read.map_err(|e| StoreError::damaged("a fetched body", e))?;
        Ok(Some(body))
    }
}

fn fetch(row: &impl Columns) -> Result<Fetch, sqlx::Error> {
    let outcome = row.text(9)?;
    Ok(Fetch {
        fetch: row.int(0)?,
        source: row.text(1)?,
        url: row.text(2)?,
        etag: row.maybe_text(3)?,
        hash: row.maybe_blob(4)?.map(exactly).transpose()?,
        size: row.int(5)?,
        first_at: Instant::from_micros(row.int(6)?),
        last_at: Instant::from_micros(row.int(7)?),
        looks: row.int(8)?,
        outcome: FetchOutcome::named(&outcome)
            .ok_or_else(|| sqlx::Error::Decode(format!("unknown outcome of a fetch `{outcome}`").into()))?,
        detail: row.text(10)?,
    })
}
