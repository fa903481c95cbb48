//! Statements as they were received, and what comparing the book with them came to.

use crate::id::{BlockNumber, Org};
use crate::store::sql::{Columns, on};
use crate::store::{Doing, Store, StoreError, Write};
use crate::time::Instant;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write as _};

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
    pub async fn insert_statement(&mut self, org: Org, statement: i64, body: &Body) -> Result<(), StoreError> {
        let text = "INSERT INTO statements (org, statement, body) VALUES ($1, $2, $3)";
        on!(self.db().await?, db => {
            let query = sqlx::query(text).bind(org.0).bind(statement).bind(&body.0[..]);
            query.execute(&mut *db).await.map(drop).doing("write a statement")
        })
    }
}

impl Store {
    pub async fn statement_body(&self, org: Org, statement: i64) -> Result<Option<Body>, StoreError> {
        let text = "SELECT body FROM statements WHERE org = $1 AND statement = $2";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(statement).fetch_optional(db).await.doing("read a statement")?;
            row.map(|row| row.blob(0).map(Body)).transpose().doing("read a statement")
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

    /// Notes that what follows from a statement is being done since then: the time stands there as a negative number until the end,
    /// and whatever reopens it in between takes that away.
    pub async fn begin_following(&self, org: Org, statement: i64, began: Instant) -> Result<(), StoreError> {
        self.note_followed(org, statement, Instant::from_micros(-began.micros())).await
    }

    /// Notes that it is done, unless more was booked meanwhile.
    pub async fn end_following(&self, org: Org, statement: i64, began: Instant) -> Result<(), StoreError> {
        let text = "UPDATE followed SET at = $3 WHERE org = $1 AND statement = $2 AND at = -$3";
        on!(self.writer(), db => {
            let query = sqlx::query(text).bind(org.0).bind(statement).bind(began.micros());
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

/// A body of this many bytes is kept packed: a statement of a million lines would be in memory several times over otherwise.
const LARGE: usize = 1 << 20;
/// How a packed one begins; no statement does. Its length follows, and the hash of all of that is at its end, so that none of its
/// bytes can be another.
const PACKED: &[u8] = b"\0zlib\n";

/// The body of a statement as it is kept.
pub struct Body(Vec<u8>);

/// What was received, from its beginning, which is hashed on the way.
pub struct Received<'b> {
    from: BufReader<Hashing<'b>>,
}

struct Hashing<'b> {
    from: Box<dyn Read + 'b>,
    hasher: blake3::Hasher,
}

impl Body {
    /// Packs it if it is large; the text is let go of then.
    pub fn of(text: Cow<'_, str>) -> Body {
        if text.len() < LARGE {
            return Body(text.into_owned().into_bytes());
        }
        let mut begin = Vec::with_capacity(text.len() / 2);
        begin.extend_from_slice(PACKED);
        begin.extend_from_slice(&(text.len() as u64).to_le_bytes());
        let mut to = ZlibEncoder::new(begin, Compression::fast());
        let mut packed = to.write_all(text.as_bytes()).and_then(|()| to.finish()).expect("memory takes what is written to it");
        let hash = blake3::hash(&packed);
        packed.extend_from_slice(hash.as_bytes());
        Body(packed)
    }

    /// How many bytes are kept.
    pub const fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Unpacks it bit by bit, for whoever need not have all of it at once.
    pub fn received(&self) -> io::Result<Received<'_>> {
        let from: Box<dyn Read> = match self.0.strip_prefix(PACKED) {
            None => Box::new(&self.0[..]),
            Some(_) => Box::new(unpacked(&self.0).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?),
        };
        Ok(Received { from: BufReader::with_capacity(1 << 16, Hashing { from, hasher: blake3::Hasher::new() }) })
    }

    /// All of it at once, if it is what has this hash.
    pub fn text(&self, hash: &str) -> io::Result<String> {
        let (mut text, mut received) = (String::new(), self.received()?);
        received.read_to_string(&mut text)?;
        received.has_hash(hash)?;
        Ok(text)
    }
}

impl Received<'_> {
    /// Reads it to its end: whether what was read is what was received.
    pub fn has_hash(mut self, hash: &str) -> io::Result<()> {
        io::copy(&mut self.from, &mut io::sink())?;
        match self.from.get_ref().hasher.finalize().to_string() == hash {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::InvalidData, "it is not what was received")),
        }
    }
}

impl Read for Received<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.from.read(to)
    }
}

impl BufRead for Received<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.from.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.from.consume(bytes);
    }
}

impl Read for Hashing<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let bytes = self.from.read(to)?;
        self.hasher.update(&to[..bytes]);
        Ok(bytes)
    }
}

fn unpacked(body: &[u8]) -> Result<impl Read, &'static str> {
    let (packed, hash) = body.split_last_chunk::<32>().ok_or("its end is missing")?;
    if blake3::hash(packed) != *hash {
        return Err("it is not what was written");
    }
    let (length, packed) =
        packed.get(PACKED.len()..).and_then(<[u8]>::split_first_chunk::<8>).ok_or("its beginning is missing")?;
    Ok(ZlibDecoder::new(packed).take(u64::from_le_bytes(*length)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_body_is_packed_and_no_byte_of_it_can_be_another() {
        let small = "date,usage\n2026-02-03,0.5\n";
        assert_eq!(Body::of(small.into()).0, small.as_bytes());
        let large: String = (0..100_000).map(|line| format!("2026-02-03,{line},0.5\n")).collect();
        let Body(kept) = Body::of(large.as_str().into());
        assert!(kept.len() < large.len() / 3, "{} of {}", kept.len(), large.len());
        let text = |kept: &[u8]| Body(kept.to_vec()).text(&blake3::hash(large.as_bytes()).to_string());
        assert_eq!(text(&kept).unwrap(), large);
        let whole = kept.len();
        for place in (0..PACKED.len() + 8).chain((PACKED.len()..whole).step_by(997)).chain(whole - 40..whole) {
            let mut other = kept.clone();
            other[place] ^= 1;
            assert!(text(&other).is_err(), "byte {place}");
        }
        assert!(text(&kept[..whole - 1]).is_err());
    }
}
