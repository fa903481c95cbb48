//! Heads and blocks: what a book continues from, and what each of its commits sealed. A transaction locks the heads of the
//! books it writes to before it reads anything else of them, so that all commits of a book are one after the other.

use crate::id::{BlockNumber, NameId, Org, OwnerId, ProductId, Sequence, Version};
use crate::ledger::seal::{BlockHash, Header};
use crate::store::sql::{Columns, Table, Value, big, both, bytes, exactly, int, narrow, on, small};
use crate::store::{Doing, Store, StoreError, Write};
use crate::time::{Instant, Month};

/// Where a book stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    pub org: Org,
    pub block: BlockNumber,
    pub hash: BlockHash,
    pub sealed_at: Instant,
    pub next_record: i64,
    pub next_sequence: Sequence,
    pub next_name: NameId,
    pub next_owner: OwnerId,
    pub next_product: ProductId,
    pub version: Version,
    pub first_open: Month,
    /// How many of its names were erased.
    pub erased_names: i64,
}

/// A sealed block: its header, its hash and the ranges of rows it covers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    pub header: Header,
    pub hash: BlockHash,
    pub records: (i64, i64),
    pub sequences: (i64, i64),
    pub name_until: i64,
    pub owner_until: i64,
    pub product_until: i64,
    /// The earliest and latest occurrence among its entries.
    pub occurred: Option<(Instant, Instant)>,
    pub marks: Vec<u8>,
}

/// A book's head; which book it is comes after it.
pub(super) const HEAD: &str =
    "SELECT org, block, hash, sealed_at, next_record, next_sequence, next_name, next_owner, next_product,
                           catalog_version, first_open_period, erased_names
                      FROM books WHERE org =";

impl Write {
    /// Locks the heads of these books, in the order of their orgs so that two transactions never wait for each other.
    pub async fn lock_heads(&mut self, orgs: &[Org]) -> Result<Vec<Head>, StoreError> {
        let mut orgs = orgs.to_vec();
        orgs.sort_unstable();
        orgs.dedup();
        let mut heads = Vec::with_capacity(orgs.len());
        for org in orgs {
            heads.push(self.lock_head(org).await?);
        }
        Ok(heads)
    }

    pub async fn insert_block(&mut self, org: Org, block: &Block) -> Result<(), StoreError> {
        const BLOCKS: Table<17> = Table {
            name: "blocks",
            columns: [
                int("org"),
                big("block"),
                small("format"),
                bytes("hash"),
                big("sealed_at"),
                big("catalog_version"),
                small("rater"),
                big("record_from"),
                big("record_until"),
                big("sequence_from"),
                big("sequence_until"),
                big("name_until"),
                big("owner_until"),
                big("product_until"),
                big("occurred_first"),
                big("occurred_last"),
                bytes("marks"),
            ],
        };
        let row = [
            Value::Int(org.0),
            Value::Int(block.header.block.0),
            Value::Int(i64::from(block.header.format)),
            Value::Blob(&block.hash.0),
            Value::Int(block.header.sealed_at.micros()),
            Value::Int(block.header.version.0),
            Value::Int(i64::from(block.header.rater)),
            Value::Int(block.records.0),
            Value::Int(block.records.1),
            Value::Int(block.sequences.0),
            Value::Int(block.sequences.1),
            Value::Int(block.name_until),
            Value::Int(block.owner_until),
            Value::Int(block.product_until),
            Value::MaybeInt(block.occurred.map(|(first, _)| first.micros())),
            Value::MaybeInt(block.occurred.map(|(_, last)| last.micros())),
            Value::Blob(&block.marks),
        ];
        self.insert(&BLOCKS, std::iter::once(row), "write a block").await
    }

    pub async fn move_head(&mut self, head: &Head) -> Result<(), StoreError> {
        let text = "UPDATE books
                       SET block = ?, hash = ?, sealed_at = ?, next_record = ?, next_sequence = ?, next_name = ?, next_owner = ?,
                           next_product = ?, catalog_version = ?, first_open_period = ?
                     WHERE org = ?";
        let values = [
            Value::Int(head.block.0),
            Value::Blob(&head.hash.0),
            Value::Int(head.sealed_at.micros()),
            Value::Int(head.next_record),
            Value::Int(head.next_sequence.0),
            Value::Int(head.next_name.0),
            Value::Int(head.next_owner.0),
            Value::Int(head.next_product.0),
            Value::Int(head.version.0),
            Value::Int(head.first_open.number().into()),
            Value::Int(head.org.0),
        ];
        self.run(text, &values).await
    }

    /// Makes an org with an empty book, under the next number.
    pub async fn insert_org(&mut self, name: &str, created_at: Instant) -> Result<Org, StoreError> {
        let org = on!(self.db().await?, db => {
            let row = sqlx::query("SELECT COALESCE(MAX(org), 0) FROM orgs").fetch_one(&mut *db).await.doing("make an org")?;
            Org(row.int(0).doing("make an org")? + 1)
        });
        self.insert_book(org, name, created_at).await?;
        Ok(org)
    }

    /// The same under a number that is known.
    pub async fn insert_book(&mut self, org: Org, name: &str, created_at: Instant) -> Result<(), StoreError> {
        let doing = "make an org";
        on!(self.db().await?, db => {
            let made = sqlx::query("INSERT INTO orgs (org, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING")
                .bind(org.0)
                .bind(name)
                .bind(created_at.micros())
                .execute(&mut *db)
                .await
                .doing(doing)?;
            if made.rows_affected() == 0 {
                return Err(StoreError::OrgExists(name.to_owned()));
            }
            let text = "INSERT INTO books (org, block, hash, sealed_at, next_record, next_sequence, next_name, next_owner,
                                           next_product, catalog_version, first_open_period)
                        VALUES ($1, 0, $2, $3, 1, 1, 1, 1, 1, 0, 0)";
            let hash = BlockHash::of_empty_book(name);
            let book = sqlx::query(text).bind(org.0).bind(&hash.0[..]).bind(created_at.micros());
            book.execute(&mut *db).await.map(drop).doing(doing)
        })
    }
}

const BLOCK: &str = "SELECT block, format, hash, sealed_at, catalog_version, rater, record_from, record_until, sequence_from,
                            sequence_until, name_until, owner_until, product_until, occurred_first, occurred_last, marks
                       FROM blocks WHERE org = $1";

impl Store {
    pub async fn head(&self, org: Org) -> Result<Head, StoreError> {
        let doing = "read the head of a book";
        let text = format!("{HEAD} $1");
        on!(self.reader(), db => {
            let row = sqlx::query(sqlx::AssertSqlSafe(text)).bind(org.0).fetch_one(db).await.doing(doing)?;
            Head::of(&row).doing(doing)
        })
    }

    /// A run of blocks in order. The hashes of the block before and of the catalog version are left empty: they are not a
    /// block's own, and whoever checks it has to bring them.
    pub async fn blocks_after(&self, org: Org, after: BlockNumber, count: i64) -> Result<Vec<Block>, StoreError> {
        let text = format!("{BLOCK} AND block > $2 ORDER BY block LIMIT $3");
        on!(self.reader(), db => {
            let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(org.0).bind(after.0).bind(count);
            let rows = query.fetch_all(db).await.doing("read blocks")?;
            rows.iter().map(block).collect::<Result<_, sqlx::Error>>().doing("read blocks")
        })
    }

    /// The block that covers a record; 0 where none does.
    pub async fn block_of_record(&self, org: Org, record: i64) -> Result<BlockNumber, StoreError> {
        let text = "SELECT COALESCE(MIN(block), 0) FROM blocks WHERE org = $1 AND record_from <= $2 AND record_until > $2";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(record).fetch_one(db).await.doing("read blocks")?;
            row.int(0).map(BlockNumber).doing("read blocks")
        })
    }

    /// Of each kind of row that a book covers the first and the last number there is.
    pub async fn ends(&self, org: Org) -> Result<[(&'static str, Option<i64>, Option<i64>); 6], StoreError> {
        // Each by itself: only a lone MIN or MAX is looked up by the key.
        let tables = [
            ("event record", "events", "record"),
            ("entry", "entries", "sequence"),
            ("name", "names", "name"),
            ("owner", "owners", "owner"),
            ("product", "products", "product"),
            ("block", "blocks", "block"),
        ];
        let mut ends = tables.map(|(what, ..)| (what, None, None));
        for ((_, first, last), (_, table, number)) in ends.iter_mut().zip(tables) {
            for (end, which) in [(first, "MIN"), (last, "MAX")] {
                let text = format!("SELECT {which}({number}) FROM {table} WHERE org = $1");
                *end = on!(self.reader(), db => {
                    let row = sqlx::query(sqlx::AssertSqlSafe(text)).bind(org.0).fetch_one(db).await.doing("look for the ends")?;
                    row.maybe_int(0).doing("look for the ends")?
                });
            }
        }
        Ok(ends)
    }

    /// The last block that was sealed by then.
    pub async fn block_at(&self, org: Org, at: Instant) -> Result<Option<BlockNumber>, StoreError> {
        let text = "SELECT MAX(block) FROM blocks WHERE org = $1 AND sealed_at <= $2";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(at.micros()).fetch_one(db).await.doing("read blocks")?;
            row.maybe_int(0).map(|block| block.map(BlockNumber)).doing("read blocks")
        })
    }

    /// The hash of one block, if there is such a block.
    pub async fn block_hash(&self, org: Org, number: BlockNumber) -> Result<Option<BlockHash>, StoreError> {
        let doing = "read a block";
        on!(self.reader(), db => {
            let query = sqlx::query("SELECT hash FROM blocks WHERE org = $1 AND block = $2").bind(org.0).bind(number.0);
            let row = query.fetch_optional(db).await.doing(doing)?;
            row.map(|row| row.blob(0).and_then(exactly).map(BlockHash)).transpose().doing(doing)
        })
    }
}

impl Head {
    pub(super) fn of(row: &impl Columns) -> Result<Head, sqlx::Error> {
        Ok(Head {
            org: Org(row.int(0)?),
            block: BlockNumber(row.int(1)?),
            hash: BlockHash(exactly(row.blob(2)?)?),
            sealed_at: Instant::from_micros(row.int(3)?),
            next_record: row.int(4)?,
            next_sequence: Sequence(row.int(5)?),
            next_name: NameId(row.int(6)?),
            next_owner: OwnerId(row.int(7)?),
            next_product: ProductId(row.int(8)?),
            version: Version(row.int(9)?),
            first_open: Month::from_number(narrow(row.int(10)?)?),
            erased_names: row.int(11)?,
        })
    }
}

fn block(row: &impl Columns) -> Result<Block, sqlx::Error> {
    let first_last = both(row.maybe_int(13)?, row.maybe_int(14)?)?;
    Ok(Block {
        header: Header {
            block: BlockNumber(row.int(0)?),
            previous: BlockHash([0; 32]),
            format: narrow(row.int(1)?)?,
            sealed_at: Instant::from_micros(row.int(3)?),
            version: Version(row.int(4)?),
            catalog: [0; 32],
            rater: narrow(row.int(5)?)?,
        },
        hash: BlockHash(exactly(row.blob(2)?)?),
        records: (row.int(6)?, row.int(7)?),
        sequences: (row.int(8)?, row.int(9)?),
        name_until: row.int(10)?,
        owner_until: row.int(11)?,
        product_until: row.int(12)?,
        occurred: first_last.map(|(first, last)| (Instant::from_micros(first), Instant::from_micros(last))),
        marks: row.blob(15)?,
    })
}
