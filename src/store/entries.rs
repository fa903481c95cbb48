//! Entries: written once, read by sequence, by event, or folded into sums. An amount is three integer limbs in SQL, and a
//! sum of limbs is exact on both databases.

use crate::bytes::Writer;
use crate::catalog::resolution::Layer;
use crate::id::{BlockNumber, EventNumber, NameId, Org, OwnerId, ProductId, Sequence, Version};
use crate::ledger::items::{self, Item};
use crate::ledger::{Entry, EntryKind, Posting};
use crate::money::{Amount, Currency, Limbs};
use crate::store::sql::{Columns, Table, Value, big, bytes, int, on, rows_in, small};
use crate::store::{Doing, Store, StoreError, Write};
use crate::time::{Instant, Month};
use crate::usage::Outcome;
use sqlx::AssertSqlSafe;

/// Which entries a reader wants; everything it leaves out is open.
#[derive(Clone, Debug, Default)]
pub struct EntryFilter {
    pub from: Option<Instant>,
    pub until: Option<Instant>,
    pub after: Option<Sequence>,
    /// Only what the book held before this entry.
    pub before: Option<Sequence>,
    /// Only what this team bears.
    pub team: Option<String>,
    /// Only what is above a ceiling.
    pub above: bool,
    pub limit: i64,
}

/// An entry with the block it was sealed in.
#[derive(Clone, Debug)]
pub struct BookedEntry {
    pub entry: Entry,
    pub block: BlockNumber,
    pub recorded_at: Instant,
    pub version: Version,
    pub rater: u16,
}

const ENTRIES: Table<34> = Table {
    name: "entries",
    columns: [
        int("org"),
        big("sequence"),
        small("kind"),
        big("event"),
        int("turn"),
        big("reverses"),
        big("occurred_at"),
        int("period"),
        big("source"),
        big("owner"),
        big("product"),
        big("debit"),
        big("credit"),
        bytes("currency"),
        big("micro"),
        int("femto"),
        int("yocto"),
        big("rated_micro"),
        int("rated_femto"),
        int("rated_yocto"),
        big("reported_micro"),
        int("reported_femto"),
        int("reported_yocto"),
        big("list_micro"),
        int("list_femto"),
        int("list_yocto"),
        small("outcome"),
        big("calls"),
        small("estimated"),
        small("layer"),
        big("card"),
        big("above"),
        big("reason"),
        bytes("items"),
    ],
};

const ENTRY: &str =
    "SELECT e.sequence, e.kind, e.event, e.turn, e.reverses, e.occurred_at, e.period, e.source, e.owner, e.product,
                            e.debit, e.credit, e.currency, e.micro, e.femto, e.yocto, e.rated_micro, e.rated_femto, e.rated_yocto,
                            e.reported_micro, e.reported_femto, e.reported_yocto, e.list_micro, e.list_femto, e.list_yocto,
                            e.outcome, e.calls, e.estimated, e.layer, e.card, e.above, e.reason, e.items";

impl Write {
    pub async fn insert_entries(&mut self, org: Org, entries: &[Entry]) -> Result<(), StoreError> {
        let items: Vec<Vec<u8>> = entries.iter().map(|entry| bytes_of(&entry.items)).collect();
        let rows = entries.iter().zip(&items).map(|(entry, items)| values(org, entry, items));
        self.insert(&ENTRIES, rows).await.doing("write entries")
    }

    /// All entries of these events, in the order in which they were booked.
    pub async fn entries_of_events(&mut self, org: Org, events: &[EventNumber]) -> Result<Vec<Entry>, StoreError> {
        let numbers: Vec<i64> = events.iter().map(|event| event.0).collect();
        let text = of_events();
        let mut found = rows_in!(&mut self.db, db => &mut **db, text, org, &numbers, entry, "read entries").await?;
        found.sort_by_key(|entry| entry.sequence);
        Ok(found)
    }
}

impl Store {
    /// All entries of one event, in the order in which they were booked.
    pub async fn entries_of(&self, org: Org, event: EventNumber) -> Result<Vec<BookedEntry>, StoreError> {
        let text = format!("{ENTRY} FROM entries e WHERE e.org = $1 AND e.event = $2 ORDER BY e.sequence");
        let entries = on!(self.reader(), db => {
            let rows = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(event.0).fetch_all(db).await.doing("read entries")?;
            rows.iter().map(entry).collect::<Result<Vec<Entry>, sqlx::Error>>().doing("read entries")?
        });
        self.with_blocks(org, entries).await
    }

    /// All entries of these events, in the order in which they were booked.
    pub async fn entries_of_events(&self, org: Org, events: &[EventNumber]) -> Result<Vec<Entry>, StoreError> {
        let numbers: Vec<i64> = events.iter().map(|event| event.0).collect();
        let text = of_events();
        let mut found = rows_in!(self.reader(), db => db, text, org, &numbers, entry, "read entries").await?;
        found.sort_by_key(|entry| entry.sequence);
        Ok(found)
    }

    /// A page of events that were charged, and the last entry it reached; nothing where no charge is left.
    pub async fn charged_events(
        &self,
        org: Org,
        filter: &EntryFilter,
        limit: i64,
    ) -> Result<Option<(Vec<EventNumber>, Sequence)>, StoreError> {
        let (from, until) = self.sequences_of(org, filter).await?;
        let text = "SELECT sequence, event FROM entries
                     WHERE org = $1 AND sequence > $2 AND sequence >= $3 AND sequence < $4
                       AND occurred_at >= $5 AND occurred_at < $6 AND kind = 1 AND event IS NOT NULL
                     ORDER BY sequence
                     LIMIT $7";
        let page: Vec<(i64, i64)> = on!(self.reader(), db => {
            let rows = sqlx::query(text)
                .bind(org.0)
                .bind(filter.after.map_or(0, |after| after.0))
                .bind(from)
                .bind(until)
                .bind(filter.from.map_or(i64::MIN, Instant::micros))
                .bind(filter.until.map_or(i64::MAX, Instant::micros))
                .bind(limit)
                .fetch_all(db)
                .await
                .doing("read entries")?;
            rows.iter().map(|row| Ok((row.int(0)?, row.int(1)?))).collect::<Result<_, sqlx::Error>>().doing("read entries")?
        });
        let Some((last, _)) = page.last() else { return Ok(None) };
        let last = Sequence(*last);
        let mut events: Vec<EventNumber> = page.into_iter().map(|(_, event)| EventNumber(event)).collect();
        events.sort_unstable();
        events.dedup();
        Ok(Some((events, last)))
    }

    /// A page of entries by sequence.
    pub async fn entries(&self, org: Org, filter: &EntryFilter) -> Result<Vec<BookedEntry>, StoreError> {
        let (from, until) = self.sequences_of(org, filter).await?;
        let text = format!(
            "{ENTRY}
               FROM entries e
              WHERE e.org = $1 AND e.sequence > $2 AND e.sequence >= $3 AND e.sequence < $4
                AND e.occurred_at >= $5 AND e.occurred_at < $6
                AND ($7 = 0 OR EXISTS (SELECT 1 FROM owners o
                                         JOIN names n ON n.org = o.org AND n.name = o.team
                                        WHERE o.org = e.org AND o.owner = e.owner AND n.text = $8))
                AND ($9 = 0 OR e.above IS NOT NULL)
              ORDER BY e.sequence
              LIMIT $10"
        );
        let entries = on!(self.reader(), db => {
            let rows = sqlx::query(AssertSqlSafe(text))
                .bind(org.0)
                .bind(filter.after.map_or(0, |after| after.0))
                .bind(from)
                .bind(until)
                .bind(filter.from.map_or(i64::MIN, Instant::micros))
                .bind(filter.until.map_or(i64::MAX, Instant::micros))
                .bind(i64::from(filter.team.is_some()))
                .bind(filter.team.as_deref().unwrap_or(""))
                .bind(i64::from(filter.above))
                .bind(filter.limit)
                .fetch_all(db)
                .await
                .doing("read entries")?;
            rows.iter().map(entry).collect::<Result<Vec<Entry>, sqlx::Error>>().doing("read entries")?
        });
        self.with_blocks(org, entries).await
    }

    /// The sequences among which a filter's entries are: blocks that hold nothing of its range of time are left out at
    /// both ends. A book is mostly in order of time, so that is most of what need not be read.
    async fn sequences_of(&self, org: Org, filter: &EntryFilter) -> Result<(i64, i64), StoreError> {
        let before = filter.before.map_or(i64::MAX, |before| before.0);
        if filter.from.is_none() && filter.until.is_none() {
            return Ok((0, before));
        }
        let text = "SELECT COALESCE(MIN(sequence_from), 0), COALESCE(MAX(sequence_until), 0) FROM blocks
                     WHERE org = $1 AND occurred_last >= $2 AND occurred_first < $3";
        on!(self.reader(), db => {
            let query = sqlx::query(text).bind(org.0).bind(filter.from.map_or(i64::MIN, Instant::micros));
            let row = query.bind(filter.until.map_or(i64::MAX, Instant::micros)).fetch_one(db).await.doing("read blocks")?;
            row.int(0).and_then(|from| Ok((from, row.int(1)?.min(before)))).doing("read blocks")
        })
    }

    /// Entries in order, each with the block whose range it is in.
    async fn with_blocks(&self, org: Org, entries: Vec<Entry>) -> Result<Vec<BookedEntry>, StoreError> {
        let text = "SELECT block, sealed_at, catalog_version, rater, sequence_until FROM blocks
                     WHERE org = $1 AND sequence_until > $2 ORDER BY sequence_until, block LIMIT 1";
        let mut booked: Vec<BookedEntry> = Vec::with_capacity(entries.len());
        let mut until = 0;
        for entry in entries {
            match booked.last() {
                Some(last) if entry.sequence.0 < until => booked.push(BookedEntry { entry, ..last.clone() }),
                _ => {
                    let read = |row: &dyn Columns| {
                        Ok::<_, sqlx::Error>((row.int(0)?, row.int(1)?, row.int(2)?, row.int(3)?, row.int(4)?))
                    };
                    let (block, sealed_at, version, rater, sequence_until) = on!(self.reader(), db => {
                        let query = sqlx::query(text).bind(org.0).bind(entry.sequence.0);
                        read(&query.fetch_one(db).await.doing("read a block")?).doing("read a block")?
                    });
                    until = sequence_until;
                    let (block, recorded_at, version) = (BlockNumber(block), Instant::from_micros(sealed_at), Version(version));
                    booked.push(BookedEntry { entry, block, recorded_at, version, rater: rater as u16 });
                }
            }
        }
        Ok(booked)
    }

    /// The entries from one sequence up to another, in order: what a block covers.
    pub async fn entries_between(&self, org: Org, from: i64, until: i64) -> Result<Vec<Entry>, StoreError> {
        let text =
            format!("{ENTRY} FROM entries e WHERE e.org = $1 AND e.sequence >= $2 AND e.sequence < $3 ORDER BY e.sequence");
        on!(self.reader(), db => {
            let query = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(from).bind(until);
            let rows = query.fetch_all(db).await.doing("read entries")?;
            rows.iter().map(entry).collect::<Result<_, sqlx::Error>>().doing("read entries")
        })
    }
}

/// A group of entries, summed by the database: what one owner spent on one product in one quarter of an hour.
#[derive(Clone, Debug)]
pub struct SpendRow {
    /// Quarters of an hour since 1970, where time was asked for: every zone's day begins at one.
    pub quarter: Option<i64>,
    pub period: Month,
    pub source: NameId,
    pub owner: OwnerId,
    pub product: ProductId,
    pub payee: NameId,
    pub currency: Currency,
    pub kind: EntryKind,
    pub layer: Layer,
    pub outcome: Outcome,
    pub estimated: bool,
    pub amount: Amount,
    /// Sums over those entries that have one.
    pub rated: Amount,
    pub reported: Amount,
    pub calls: i64,
    pub entries: i64,
}

impl Store {
    /// Sums of entries by everything that is a column of theirs. `by_time` adds the quarter of an hour.
    pub async fn spend(&self, org: Org, filter: &EntryFilter, by_time: bool) -> Result<Vec<SpendRow>, StoreError> {
        let quarter = if by_time { "e.occurred_at / 900000000" } else { "0" };
        let sum = |column: &str| format!("CAST(COALESCE(SUM({column}), 0) AS BIGINT)");
        let limbs = |prefix: &str| {
            [format!("{prefix}micro"), format!("{prefix}femto"), format!("{prefix}yocto")].map(|limb| sum(&limb)).join(", ")
        };
        let text = format!(
            "SELECT {quarter} AS quarter, e.period, e.source, e.owner, e.product,
                    CASE e.kind WHEN 2 THEN e.debit ELSE e.credit END AS payee, e.currency, e.kind, e.layer, e.outcome, e.estimated,
                    {}, {}, {}, {}, COUNT(*)
               FROM entries e
              WHERE e.org = $1 AND e.sequence >= $2 AND e.sequence < $3 AND e.occurred_at >= $4 AND e.occurred_at < $5
              GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11",
            limbs("e."),
            limbs("e.rated_"),
            limbs("e.reported_"),
            sum("e.calls"),
        );
        let (from, until) = self.sequences_of(org, filter).await?;
        on!(self.reader(), db => {
            let rows = sqlx::query(AssertSqlSafe(text))
                .bind(org.0)
                .bind(from)
                .bind(until)
                .bind(filter.from.map_or(i64::MIN, Instant::micros))
                .bind(filter.until.map_or(i64::MAX, Instant::micros))
                .fetch_all(db)
                .await
                .doing("sum entries")?;
            rows.iter().map(|row| spend_row(row, by_time)).collect::<Result<_, sqlx::Error>>().doing("sum entries")
        })
    }
}

fn spend_row(row: &impl Columns, by_time: bool) -> Result<SpendRow, sqlx::Error> {
    let amount = |place| {
        let limbs = Limbs { micro: row.int(place)?, femto: row.int(place + 1)?, yocto: row.int(place + 2)? };
        Ok::<_, sqlx::Error>(Amount::from_limbs(limbs))
    };
    let unknown = |what: &str| sqlx::Error::Decode(format!("unknown {what}").into());
    Ok(SpendRow {
        quarter: by_time.then(|| row.int(0)).transpose()?,
        period: Month::from_number(row.int(1)? as i32),
        source: NameId(row.int(2)?),
        owner: OwnerId(row.int(3)?),
        product: ProductId(row.int(4)?),
        payee: NameId(row.int(5)?),
        currency: row.text(6)?.parse().map_err(|_| unknown("currency"))?,
        kind: EntryKind::from_number(row.int(7)? as u8).ok_or_else(|| unknown("kind of entry"))?,
        layer: Layer::from_number(row.int(8)? as u8).ok_or_else(|| unknown("layer"))?,
        outcome: Outcome::from_number(row.int(9)? as u8).ok_or_else(|| unknown("outcome"))?,
        estimated: row.int(10)? != 0,
        amount: amount(11)?,
        rated: amount(14)?,
        reported: amount(17)?,
        calls: row.int(20)?,
        entries: row.int(21)?,
    })
}

pub(super) fn of_events() -> String {
    format!("{ENTRY} FROM entries e WHERE e.org = $1 AND e.event IN (..)")
}

fn bytes_of(items: &[Item]) -> Vec<u8> {
    let mut bytes = Writer::with_capacity(48);
    items::write(items, &mut bytes);
    bytes.into_bytes()
}

fn values<'v>(org: Org, entry: &'v Entry, items: &'v [u8]) -> [Value<'v>; 34] {
    let posting = &entry.posting;
    let amount = posting.amount().limbs();
    let maybe = |amount: Option<Amount>| {
        let limbs = amount.map(Amount::limbs);
        [limbs.map(|limbs| limbs.micro), limbs.map(|limbs| limbs.femto), limbs.map(|limbs| limbs.yocto)].map(Value::MaybeInt)
    };
    let ([a, b, c], [d, e, f], [g, h, i]) = (maybe(entry.rated), maybe(entry.reported), maybe(entry.list));
    [
        Value::Int(org.0),
        Value::Int(entry.sequence.0),
        Value::Int(entry.kind as i64),
        Value::MaybeInt(entry.event.map(|event| event.0)),
        Value::Int(i64::from(entry.turn)),
        Value::MaybeInt(entry.reverses.map(|reversed| reversed.0)),
        Value::Int(entry.occurred_at.micros()),
        Value::Int(i64::from(entry.period.number())),
        Value::Int(entry.source.0),
        Value::Int(entry.owner.0),
        Value::Int(entry.product.0),
        Value::Int(posting.debit().0),
        Value::Int(posting.credit().0),
        Value::Text(posting.currency().as_str()),
        Value::Int(amount.micro),
        Value::Int(amount.femto),
        Value::Int(amount.yocto),
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        i,
        Value::Int(entry.outcome as i64),
        Value::Int(entry.calls as i64),
        Value::Int(i64::from(entry.estimated)),
        Value::Int(entry.layer as i64),
        Value::MaybeInt(entry.card.map(|card| card.0)),
        Value::MaybeInt(entry.above.map(|above| above.0)),
        Value::MaybeInt(entry.reason.map(|reason| reason.0)),
        Value::Blob(items),
    ]
}

/// Reads an entry and asserts what the ledger asserted when it was written.
fn entry(row: &impl Columns) -> Result<Entry, sqlx::Error> {
    let maybe = |place| match (row.maybe_int(place)?, row.maybe_int(place + 1)?, row.maybe_int(place + 2)?) {
        (Some(micro), Some(femto), Some(yocto)) => Ok(Some(Amount::from_limbs(Limbs { micro, femto, yocto }))),
        _ => Ok::<_, sqlx::Error>(None),
    };
    let sequence = Sequence(row.int(0)?);
    let wrong = |why: &str| sqlx::Error::Decode(format!("entry {sequence}: {why}").into());
    let amount = Amount::from_limbs(Limbs { micro: row.int(13)?, femto: row.int(14)?, yocto: row.int(15)? });
    let currency: Currency = row.text(12)?.parse().map_err(|_| wrong("its currency is unknown"))?;
    let posting =
        Posting::new(NameId(row.int(10)?), NameId(row.int(11)?), amount, currency).map_err(|e| wrong(&e.to_string()))?;
    Ok(Entry {
        sequence,
        kind: EntryKind::from_number(row.int(1)? as u8).ok_or_else(|| wrong("its kind is unknown"))?,
        event: row.maybe_int(2)?.map(EventNumber),
        turn: row.int(3)? as u32,
        reverses: row.maybe_int(4)?.map(Sequence),
        occurred_at: Instant::from_micros(row.int(5)?),
        period: Month::from_number(row.int(6)? as i32),
        source: NameId(row.int(7)?),
        owner: OwnerId(row.int(8)?),
        product: ProductId(row.int(9)?),
        posting,
        rated: maybe(16)?,
        reported: maybe(19)?,
        list: maybe(22)?,
        outcome: Outcome::from_number(row.int(25)? as u8).ok_or_else(|| wrong("its outcome is unknown"))?,
        calls: row.int(26)? as u64,
        estimated: row.int(27)? != 0,
        layer: Layer::from_number(row.int(28)? as u8).ok_or_else(|| wrong("its layer is unknown"))?,
        card: row.maybe_int(29)?.map(NameId),
        above: row.maybe_int(30)?.map(NameId),
        reason: row.maybe_int(31)?.map(NameId),
        items: items::read(&row.blob(32)?).map_err(|e| wrong(&e.to_string()))?,
    })
}
