//! Erasing: the only change to what a block covers. The text of a name goes and its salt with it, so that its hash keeps the
//! chain whole and nobody can test a guess against it. Whatever else holds the text is counted, because it cannot be taken
//! out of what is sealed.

use crate::id::{NameId, Org};
use crate::store::names::NameKind;
use crate::store::sql::{Columns, Either, on};
use crate::store::{Doing, Store, StoreError, Write};
use std::time::{Duration, Instant};

/// Where a text still is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Records whose id, session, labels or unknown fields have it.
    pub events: i64,
    /// Labels of cards and ceilings, and reasons.
    pub names: i64,
    /// Published parts of the catalog.
    pub catalog_parts: i64,
    /// Access keys that are bound to it or say it in their note.
    pub keys: i64,
    /// Reasons on work lists and decisions.
    pub lists: i64,
}

impl Write {
    /// The names of a kind, with their texts.
    pub async fn names_of_kind(&mut self, org: Org, kind: NameKind) -> Result<Vec<(NameId, String)>, StoreError> {
        let text = "SELECT name, text FROM names WHERE org = $1 AND kind = $2 AND text IS NOT NULL ORDER BY name";
        on!(self.db().await?, db => {
            let rows = sqlx::query(text).bind(org.0).bind(kind as i64).fetch_all(&mut *db).await.doing("read names")?;
            rows.iter().map(|row| Ok((NameId(row.int(0)?), row.text(1)?))).collect::<Result<_, sqlx::Error>>().doing("read names")
        })
    }

    /// Takes the texts of names away, and says so in the head of the book.
    pub async fn erase_names(&mut self, org: Org, names: &[NameId]) -> Result<(), StoreError> {
        let doing = "erase names";
        for name in names {
            on!(self.db().await?, db => {
                let query = sqlx::query("UPDATE names SET text = NULL, salt = $3 WHERE org = $1 AND name = $2 AND text IS NOT NULL");
                query.bind(org.0).bind(name.0).bind(&[0_u8; 16][..]).execute(&mut *db).await.doing(doing)?;
            });
        }
        on!(self.db().await?, db => {
            let query = sqlx::query("UPDATE books SET erased_names = erased_names + $2 WHERE org = $1");
            query.bind(org.0).bind(names.len() as i64).execute(&mut *db).await.map(drop).doing(doing)
        })
    }

    /// Takes the bodies away that were no events and have a text, and the sources that they named.
    pub async fn erase_from_rejected(&mut self, org: Org, erased: &str) -> Result<u64, StoreError> {
        // As a whole text of the JSON that was sent: a short name is part of many words.
        let quoted = serde_json::to_string(erased).unwrap_or_default();
        let place = if self.is_sqlite() { "instr(body, $2)" } else { "position($2 in body)" };
        let text = format!(
            "UPDATE rejected SET body = NULL, source = NULLIF(source, $3), event_id = NULLIF(event_id, $3)
              WHERE org = $1 AND (source = $3 OR event_id = $3 OR (body IS NOT NULL AND {place} > 0))"
        );
        on!(self.db().await?, db => {
            let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(org.0).bind(&quoted).bind(erased);
            query.execute(&mut *db).await.map(|done| done.rows_affected()).doing("erase from what was rejected")
        })
    }
}

/// How long the log is tried to be emptied while others use it; nobody commits meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

impl Store {
    /// How many names of a book have no text any more.
    pub async fn erased_names(&self, org: Org) -> Result<i64, StoreError> {
        let text = "SELECT COUNT(*) FROM names WHERE org = $1 AND text IS NULL";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).fetch_one(db).await.doing("count erased names")?;
            row.int(0).doing("count erased names")
        })
    }

    /// Where a text still is, of all that a book and its surroundings hold. It reads the whole book.
    pub async fn remains(&self, org: Org, erased: &str) -> Result<Remains, StoreError> {
        let sqlite = self.is_sqlite();
        let has =
            |column: &str| if sqlite { format!("instr({column}, $2) > 0") } else { format!("position($2 in {column}) > 0") };
        let in_bytes = if sqlite { "instr(body, CAST($2 AS BLOB)) > 0" } else { "position(convert_to($2, 'UTF8') in body) > 0" };
        let count = async |from: String| -> Result<i64, StoreError> {
            let text = format!("SELECT COUNT(*) FROM {from}");
            on!(self.reader(), db => {
                let row = sqlx::query(sqlx::AssertSqlSafe(text)).bind(org.0).bind(erased).fetch_one(db).await;
                row.and_then(|row| row.int(0)).doing("look for what remains of a name")
            })
        };
        let lists = [
            ("held", "detail"),
            ("suspects", "why"),
            ("notices", "body"),
            ("rejected", "detail"),
            ("conflicts", "COALESCE(decided_by, '')"),
        ];
        let mut on_lists = 0;
        for (table, column) in lists {
            on_lists += count(format!("{table} WHERE org = $1 AND {}", has(column))).await?;
        }
        let part_of_a_version = format!(
            "catalog_parts p WHERE EXISTS (SELECT 1 FROM catalog_contents c WHERE c.org = $1 AND c.hash = p.hash) AND {}",
            has("p.text")
        );
        let keys = "access_keys WHERE org = $1 AND (source = $2 OR team = $2";
        Ok(Remains {
            events: count(format!("events WHERE org = $1 AND ({} OR {in_bytes})", has("id"))).await?,
            names: count(format!("names WHERE org = $1 AND text IS NOT NULL AND kind > 15 AND {}", has("text"))).await?,
            catalog_parts: count(part_of_a_version).await?,
            keys: count(format!("{keys} OR {})", has("COALESCE(note, '')"))).await?,
            lists: on_lists,
        })
    }

    /// Makes what was erased unreadable in the file too, as far as SQLite does that: the pages that held it are overwritten,
    /// and the write-ahead log that still has them is emptied.
    pub async fn overwrite_erased(&self) -> Result<(), StoreError> {
        let Either::Sqlite(sqlite) = &*self.databases else { return Ok(()) };
        let (doing, began) = ("empty the write-ahead log", Instant::now());
        while began.elapsed() < PATIENCE {
            let busy = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&sqlite.writer).await;
            if busy.and_then(|busy| busy.int(0)).doing(doing)? == 0 {
                return Ok(());
            }
            // Another checkpoint is on its way, or somebody still reads what lies in the log.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let why = "somebody reads from it all the time; erase the name once more when it is quiet".to_owned();
        Err(StoreError::Database { doing, source: sqlx::Error::Protocol(why) })
    }

    /// Whether the writer's connection overwrites what it deletes with zeros.
    pub async fn overwrite_what_is_deleted(&self, overwrite: bool) -> Result<(), StoreError> {
        let Either::Sqlite(sqlite) = &*self.databases else { return Ok(()) };
        let pragma = if overwrite { "PRAGMA secure_delete = ON" } else { "PRAGMA secure_delete = OFF" };
        sqlx::query(pragma).execute(&sqlite.writer).await.map(drop).doing("overwrite what is deleted")
    }
}
