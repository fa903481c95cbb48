//! An excerpt of a book in a database of its own: which blocks it takes to hold a month, and how rows of one book are written
//! into another file with the numbers they have.

use crate::id::{BlockNumber, Org, Sequence};
use crate::store::names::NAMES;
use crate::store::sql::{Columns, Value, on};
use crate::store::{Block, Doing, Head, Store, StoreError, StoredName, Write};
use crate::time::Month;

impl Store {
    /// The first and the last block that a month takes: those that hold an entry that counts in it, and all that were sealed
    /// while it lasted. Nothing where there are none.
    pub async fn blocks_of(&self, org: Org, month: Month) -> Result<Option<(BlockNumber, BlockNumber)>, StoreError> {
        let sealed = "SELECT MIN(block), MAX(block) FROM blocks WHERE org = $1 AND sealed_at >= $2 AND sealed_at < $3";
        let period = month.period();
        let mut ends = on!(self.reader(), db => {
            let query = sqlx::query(sealed).bind(org.0).bind(period.from.micros()).bind(period.until.micros());
            let row = query.fetch_one(db).await.doing("read blocks")?;
            let ends = row.maybe_int(0).and_then(|first| Ok(first.zip(row.maybe_int(1)?)));
            ends.doing("read blocks")?
        });
        for sequence in self.sequences_in(org, month).await? {
            let block = self.block_of(org, sequence).await?.0;
            ends = Some(ends.map_or((block, block), |(first, last)| (first.min(block), last.max(block))));
        }
        Ok(ends.map(|(first, last)| (BlockNumber(first), BlockNumber(last))))
    }

    /// The first and the last entry that counts in a month.
    async fn sequences_in(&self, org: Org, month: Month) -> Result<Vec<Sequence>, StoreError> {
        let text = "SELECT MIN(sequence), MAX(sequence) FROM entries WHERE org = $1 AND period = $2";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(month.number()).fetch_one(db).await.doing("look for entries")?;
            let ends = row.maybe_int(0).and_then(|first| Ok([first, row.maybe_int(1)?]));
            Ok(ends.doing("look for entries")?.into_iter().flatten().map(Sequence).collect())
        })
    }

    /// The block that an entry is in.
    async fn block_of(&self, org: Org, sequence: Sequence) -> Result<BlockNumber, StoreError> {
        let text = "SELECT block FROM blocks WHERE org = $1 AND sequence_until > $2 ORDER BY sequence_until, block LIMIT 1";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(sequence.0).fetch_one(db).await.doing("read blocks")?;
            row.int(0).map(BlockNumber).doing("read blocks")
        })
    }

    /// Among which sequences entries lie that count in some months in a row. They occurred in one of these, or earlier and landed
    /// there because everything before was closed, and a month is closed when it is over.
    pub async fn sequences_of_months(&self, org: Org, first: Month, last: Month) -> Result<(i64, i64), StoreError> {
        let text = "SELECT COALESCE(MIN(sequence_from), 0), COALESCE(MAX(sequence_until), 0) FROM blocks
                     WHERE org = $1 AND (occurred_last >= $2 OR sealed_at >= $2) AND occurred_first < $3";
        let (from, until) = (first.period().from.micros(), last.period().until.micros());
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(from).bind(until).fetch_one(db).await.doing("read blocks")?;
            row.int(0).and_then(|from| Ok((from, row.int(1)?))).doing("read blocks")
        })
    }

    /// How many records there are before one.
    pub async fn records_before(&self, org: Org, record: i64) -> Result<i64, StoreError> {
        let text = "SELECT COUNT(*) FROM events WHERE org = $1 AND record < $2";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(record).fetch_one(db).await.doing("count records")?;
            row.int(0).doing("count records")
        })
    }

    /// The last block whose rows were taken out of this database with all those before it, if there is one.
    pub async fn taken_out(&self, org: Org) -> Result<Option<BlockNumber>, StoreError> {
        let mut first = [i64::MAX; 2];
        for (first, text) in first
            .iter_mut()
            .zip(["SELECT MIN(record) FROM events WHERE org = $1", "SELECT MIN(sequence) FROM entries WHERE org = $1"])
        {
            *first = on!(self.reader(), db => {
                let row = sqlx::query(text).bind(org.0).fetch_one(db).await.doing("look for the ends")?;
                row.maybe_int(0).doing("look for the ends")?.unwrap_or(i64::MAX)
            });
        }
        // Nearly always everything is there, and no block needs to be looked at.
        if first == [1, 1] {
            return Ok(None);
        }
        let text = "SELECT MAX(block) FROM blocks
                     WHERE org = $1 AND ((record_from < record_until AND record_from < $2)
                                      OR (sequence_from < sequence_until AND sequence_from < $3))";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(first[0]).bind(first[1]).fetch_one(db).await.doing("read blocks")?;
            row.maybe_int(0).map(|block| block.map(BlockNumber)).doing("read blocks")
        })
    }

    /// The same block with what it covers: whatever comes after it is all there.
    pub async fn last_taken_out(&self, org: Org) -> Result<Option<Block>, StoreError> {
        let Some(block) = self.taken_out(org).await? else { return Ok(None) };
        Ok(self.blocks_after(org, BlockNumber(block.0 - 1), 1).await?.pop())
    }

    /// The block that the first one of this database follows: none, or, of an excerpt, the one before it, which is there
    /// without its rows.
    pub async fn follows(&self, org: Org) -> Result<BlockNumber, StoreError> {
        let first = on!(self.reader(), db => {
            let row = sqlx::query("SELECT COALESCE(MIN(block), 1) FROM blocks WHERE org = $1").bind(org.0).fetch_one(db).await;
            row.and_then(|row| row.int(0)).doing("read blocks")?
        });
        // An excerpt never begins with the second block, so that this one is always there with its rows.
        Ok(BlockNumber(if first == 1 { 0 } else { first }))
    }

    /// The first sequence of this database.
    pub async fn begins_at(&self, org: Org) -> Result<Sequence, StoreError> {
        let before = self.follows(org).await?;
        if before.0 == 0 {
            return Ok(Sequence(1));
        }
        let found = self.blocks_after(org, BlockNumber(before.0 - 1), 1).await?;
        Ok(Sequence(found.first().map_or(1, |block| block.sequences.1)))
    }
}

impl Write {
    /// The first record of which everything is in this database: rows of those before it were taken out. It is 1 where nothing
    /// was. The head is the one that this transaction holds.
    pub async fn whole_from(&mut self, head: &Head) -> Result<i64, StoreError> {
        let text = "SELECT (SELECT MIN(record) FROM events WHERE org = $1), (SELECT MIN(sequence) FROM entries WHERE org = $1),
                           (SELECT record_from FROM blocks
                             WHERE org = $1 AND sequence_until > (SELECT MIN(sequence) FROM entries WHERE org = $1)
                             ORDER BY sequence_until, block LIMIT 1)";
        let lowest = on!(self.db().await?, db => {
            let row = sqlx::query(text).bind(head.org.0).fetch_one(&mut *db).await.doing("look for the ends")?;
            (0..3).map(|place| row.maybe_int(place)).collect::<Result<Vec<_>, _>>().doing("look for the ends")
        })?;
        let record = lowest[0].unwrap_or(head.next_record);
        Ok(match lowest[1] {
            Some(1) => record,
            None if head.next_sequence.0 == 1 => record,
            None => head.next_record,
            Some(_) => lowest[2].map_or(record, |of_block| of_block.max(record)),
        })
    }

    /// Names as another book has them, also those whose text was erased.
    pub async fn copy_names(&mut self, org: Org, names: &[StoredName]) -> Result<(), StoreError> {
        let rows = names.iter().map(|name| {
            // Nothing is of no type.
            let text = name.text.as_deref().map_or(Value::MaybeInt(None), Value::Text);
            let (number, kind) = (Value::Int(name.name.0), Value::Int(i64::from(name.kind)));
            [Value::Int(org.0), number, kind, text, Value::Blob(&name.salt), Value::Blob(&name.hash)]
        });
        self.insert(&NAMES, rows, "write names").await
    }
}
