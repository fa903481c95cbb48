//! Statements as they were received, and what comparing the book with them came to.

use crate::id::{BlockNumber, Org};
use crate::store::sql::{Columns, on};
use crate::store::{Doing, Store, StoreError, Write};
use crate::time::Instant;
use std::collections::BTreeMap;

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

/// A generation that was asked of its provider because it is missing here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sought {
    pub generation: String,
    /// The statement that names it; nothing where a held event does.
    pub statement: Option<i64>,
    /// How often it was asked for, first and last when.
    pub asked: i64,
    pub first_at: Instant,
    pub last_at: Instant,
    /// What came of it in a word.
    pub answer: String,
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

    /// Notes that a generation was asked for, and what came of it.
    pub async fn note_sought(
        &self,
        org: Org,
        generation: &str,
        statement: Option<i64>,
        answer: &str,
        at: Instant,
    ) -> Result<(), StoreError> {
        let text = "INSERT INTO sought (org, generation, statement, asked, first_at, last_at, answer) VALUES ($1, $2, $3, 1, $4, $4, $5)
                    ON CONFLICT (org, generation) DO UPDATE
                       SET statement = excluded.statement, asked = sought.asked + 1, last_at = excluded.last_at, answer = excluded.answer";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(generation).bind(statement.unwrap_or(0)).bind(at.micros());
            query.bind(answer).execute(db).await.map(drop).doing("note a generation that was asked for")
        })
    }

    /// Notes that all that follows from a statement by itself is done.
    pub async fn note_followed(&self, org: Org, statement: i64, at: Instant) -> Result<(), StoreError> {
        let text = "INSERT INTO followed (org, statement, at) VALUES ($1, $2, $3)
                    ON CONFLICT (org, statement) DO UPDATE SET at = excluded.at";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(statement).bind(at.micros());
            query.execute(db).await.map(drop).doing("note what was compared")
        })
    }

    /// Notes that more is booked on the day of a statement, or was left open on it, so that what follows from it is to be done
    /// again, also on a day of which OpenRouter tells nothing more by then.
    pub async fn reopen_followed(&self, org: Org, statement: i64) -> Result<(), StoreError> {
        let text = "INSERT INTO followed (org, statement, at) VALUES ($1, $2, 0)
                    ON CONFLICT (org, statement) DO UPDATE SET at = excluded.at";
        on!(self.writer(), db => {
            sqlx::query(text).bind(org.0).bind(statement).execute(db).await.map(drop).doing("note what is to be compared again")
        })
    }

    /// The statements of which all that follows was done, and when; nothing where it is to be done again.
    pub async fn followed(&self, org: Org) -> Result<BTreeMap<i64, Option<Instant>>, StoreError> {
        let text = "SELECT statement, at FROM followed WHERE org = $1";
        on!(self.reader(), db => {
            let rows = sqlx::query(text).bind(org.0).fetch_all(db).await.doing("read what was compared")?;
            rows.iter().map(followed).collect::<Result<_, sqlx::Error>>().doing("read what was compared")
        })
    }

    /// All generations that were asked for and came to another answer than this.
    pub async fn sought_but(&self, org: Org, answer: &str) -> Result<Vec<Sought>, StoreError> {
        let text = "SELECT generation, statement, asked, first_at, last_at, answer FROM sought
                     WHERE org = $1 AND answer <> $2 ORDER BY generation";
        on!(self.reader(), db => {
            let rows = sqlx::query(text).bind(org.0).bind(answer).fetch_all(db).await.doing("read what was asked for")?;
            rows.iter().map(sought).collect::<Result<_, sqlx::Error>>().doing("read what was asked for")
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

fn followed(row: &impl Columns) -> Result<(i64, Option<Instant>), sqlx::Error> {
    Ok((row.int(0)?, Some(row.int(1)?).filter(|at| *at > 0).map(Instant::from_micros)))
}

fn sought(row: &impl Columns) -> Result<Sought, sqlx::Error> {
    Ok(Sought {
        generation: row.text(0)?,
        statement: Some(row.int(1)?).filter(|statement| *statement > 0),
        asked: row.int(2)?,
        first_at: Instant::from_micros(row.int(3)?),
        last_at: Instant::from_micros(row.int(4)?),
        answer: row.text(5)?,
    })
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
