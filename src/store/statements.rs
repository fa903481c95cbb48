//! Statements as they were received, and what comparing the book with them came to.

use crate::id::{BlockNumber, Org};
use crate::store::sql::{Columns, on};
use crate::store::{Doing, Store, StoreError, Write};
use crate::time::Instant;

/// A comparison of the book with a statement. The statement, the block and what was asked beside decide everything else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reconciliation {
    pub run: String,
    pub statement: i64,
    pub block: BlockNumber,
    /// Tolerances and days, as JSON.
    pub asked: String,
    /// What was found, as JSON.
    pub summary: String,
    pub made_at: Instant,
}

impl Write {
    pub async fn insert_statement(&mut self, org: Org, statement: i64, body: &str) -> Result<(), StoreError> {
        let text = "INSERT INTO statements (org, statement, body) VALUES ($1, $2, $3)";
        on!(self.db().await?, db => {
            let query = sqlx::query(text).bind(org.0).bind(statement).bind(body.as_bytes());
            query.execute(&mut *db).await.map(drop).doing("write a statement")
        })
    }
}

impl Store {
    pub async fn statement_body(&self, org: Org, statement: i64) -> Result<Option<Vec<u8>>, StoreError> {
        let text = "SELECT body FROM statements WHERE org = $1 AND statement = $2";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(statement).fetch_optional(db).await.doing("read a statement")?;
            row.map(|row| row.blob(0)).transpose().doing("read a statement")
        })
    }

    /// Writes a comparison down; the same one again has found the same, later.
    pub async fn keep_reconciliation(&self, org: Org, found: &Reconciliation) -> Result<(), StoreError> {
        let text = "INSERT INTO reconciliations (org, run, statement, block, asked, summary, made_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
                    ON CONFLICT (org, run) DO UPDATE SET made_at = excluded.made_at";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(&found.run).bind(found.statement).bind(found.block.0);
            let query = query.bind(&found.asked).bind(&found.summary).bind(found.made_at.micros());
            query.execute(db).await.map(drop).doing("write a reconciliation")
        })
    }

    /// The newest comparisons first.
    pub async fn reconciliations(&self, org: Org, limit: i64) -> Result<Vec<Reconciliation>, StoreError> {
        let text = "SELECT run, statement, block, asked, summary, made_at FROM reconciliations
                     WHERE org = $1 ORDER BY made_at DESC, run LIMIT $2";
        on!(self.reader(), db => {
            let rows = sqlx::query(text).bind(org.0).bind(limit).fetch_all(db).await.doing("read reconciliations")?;
            rows.iter().map(reconciliation).collect::<Result<_, sqlx::Error>>().doing("read reconciliations")
        })
    }

    pub async fn reconciliation(&self, org: Org, run: &str) -> Result<Option<Reconciliation>, StoreError> {
        let text = "SELECT run, statement, block, asked, summary, made_at FROM reconciliations WHERE org = $1 AND run = $2";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(run).fetch_optional(db).await.doing("read a reconciliation")?;
            row.map(|row| reconciliation(&row)).transpose().doing("read a reconciliation")
        })
    }
}

fn reconciliation(row: &impl Columns) -> Result<Reconciliation, sqlx::Error> {
    Ok(Reconciliation {
        run: row.text(0)?,
        statement: row.int(1)?,
        block: BlockNumber(row.int(2)?),
        asked: row.text(3)?,
        summary: row.text(4)?,
        made_at: Instant::from_micros(row.int(5)?),
    })
}
