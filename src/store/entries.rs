//! Entries: written once, read by sequence, by event, or folded into sums. An amount is three integer limbs in SQL, and a
//! sum of limbs is exact on both databases.

use crate::bytes::Writer;
use crate::catalog::resolution::Layer;
use crate::id::{BlockNumber, EventNumber, NameId, Org, OwnerId, ProductId, Sequence, Version};
use crate::ledger::items::{self, Item};
use crate::ledger::seal::BlockHash;
use crate::ledger::{Entry, EntryKind, Posting};
use crate::money::{Amount, Currency, Limbs};
use crate::store::months::SEALED_IN;
use crate::store::packed::{JsonRow, many_in, packed};
use crate::store::sql::{Columns, Either, Table, Value, big, bytes, exactly, int, narrow, on, reference, rows_in, small, text};
use crate::store::{Doing, Store, StoreError, Write};
use crate::time::{Instant, Month};
use crate::usage::Outcome;
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;

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
        text("currency"),
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
    /// Entries of blocks that were sealed in a month.
    pub async fn insert_entries(&mut self, org: Org, entries: &[Entry], sealed_in: Month) -> Result<(), StoreError> {
        const IN_MONTHS: Table<35> = ENTRIES.and(int(SEALED_IN));
        let items: Vec<Vec<u8>> = entries.iter().map(|entry| bytes_of(&entry.items)).collect();
        let rows = entries.iter().zip(&items).map(|(entry, items)| values(org, entry, items));
        self.insert_into_month(&ENTRIES, &IN_MONTHS, sealed_in, rows, "write entries").await
    }

    /// All entries of these events, in the order in which they were booked.
    pub async fn entries_of_events(&mut self, org: Org, events: &[EventNumber]) -> Result<Vec<Entry>, StoreError> {
        let numbers: Vec<i64> = events.iter().map(|event| event.0).collect();
        let text = of_events();
        let mut found = rows_in!(self.db().await?, db => &mut *db, text, org, &numbers, entry, "read entries").await?;
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
        let mut found = many_in!(self.reader(), &packed_entry(), &text, org, &numbers, entry, "read entries").await?;
        found.sort_by_key(|entry| entry.sequence);
        Ok(found)
    }

    /// The entries with these numbers, in their order.
    pub async fn entries_numbered(&self, org: Org, numbers: &[Sequence]) -> Result<Vec<Entry>, StoreError> {
        let numbers: Vec<i64> = numbers.iter().map(|number| number.0).collect();
        let text = format!("{ENTRY} FROM entries e WHERE e.org = $1 AND e.sequence IN (..)");
        let mut found = rows_in!(self.reader(), db => db, text, org, &numbers, entry, "read entries").await?;
        found.sort_by_key(|entry| entry.sequence);
        Ok(found)
    }

    /// What was moved between accounts in a month before an entry, as the database adds it up.
    pub async fn moved_in(
        &self,
        org: Org,
        month: Month,
        before: Sequence,
    ) -> Result<Vec<(NameId, NameId, Currency, Amount)>, StoreError> {
        let text =
            "SELECT debit, credit, currency, CAST(SUM(micro) AS BIGINT), CAST(SUM(femto) AS BIGINT), CAST(SUM(yocto) AS BIGINT)
                      FROM entries WHERE org = $1 AND sequence < $2 AND period = $3 GROUP BY debit, credit, currency";
        let sum = |row: &dyn Columns| {
            let currency: Currency = row.text(2)?.parse().map_err(|_| sqlx::Error::Decode("a currency is unknown".into()))?;
            let limbs = Limbs { micro: row.int(3)?, femto: row.int(4)?, yocto: row.int(5)? };
            Ok::<_, sqlx::Error>((NameId(row.int(0)?), NameId(row.int(1)?), currency, Amount::from_limbs(limbs)))
        };
        on!(self.reader(), db => {
            let query = sqlx::query(text).bind(org.0).bind(before.0).bind(month.number());
            let rows = query.fetch_all(db).await.doing("add entries up")?;
            rows.iter().map(|row| sum(row)).collect::<Result<_, sqlx::Error>>().doing("add entries up")
        })
    }

    /// What was moved in all before an entry, by currency, as the database adds the limbs up.
    pub async fn sums_before(&self, org: Org, before: Sequence) -> Result<BTreeMap<Currency, Amount>, StoreError> {
        let text = "SELECT currency, CAST(SUM(micro) AS BIGINT), CAST(SUM(femto) AS BIGINT), CAST(SUM(yocto) AS BIGINT)
                      FROM entries WHERE org = $1 AND sequence < $2 GROUP BY currency";
        let sum = |row: &dyn Columns| {
            let currency: Currency = row.text(0)?.parse().map_err(|_| sqlx::Error::Decode("a currency is unknown".into()))?;
            // Sums of limbs may be larger than a limb.
            let limbs = Limbs { micro: row.int(1)?, femto: row.int(2)?, yocto: row.int(3)? };
            Ok::<_, sqlx::Error>((currency, Amount::from_limbs(limbs)))
        };
        on!(self.reader(), db => {
            let rows = sqlx::query(text).bind(org.0).bind(before.0).fetch_all(db).await.doing("add entries up")?;
            rows.iter().map(|row| sum(row)).collect::<Result<_, sqlx::Error>>().doing("add entries up")
        })
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
        macro_rules! rows {
            ($db:expr, $text:expr) => {
                sqlx::query($text)
                    .bind(org.0)
                    .bind(filter.after.map_or(0, |after| after.0))
                    .bind(from)
                    .bind(until)
                    .bind(filter.from.map_or(i64::MIN, Instant::micros))
                    .bind(filter.until.map_or(i64::MAX, Instant::micros))
                    .bind(limit)
                    .fetch_all($db)
                    .await
                    .doing("read entries")?
            };
        }
        let mut page: Vec<(i64, i64)> = match self.reader() {
            Either::Sqlite(db) => {
                let text = format!("SELECT json_group_array(json_array(sequence, event)) FROM ({text})");
                let rows = rows!(db, AssertSqlSafe(text));
                let packed = rows.first().map_or(Ok(String::new()), |row| row.text(0)).doing("read entries")?;
                serde_json::from_str(&packed).map_err(|e| sqlx::Error::Decode(e.into())).doing("read entries")?
            }
            Either::Postgres(db) => {
                let rows = rows!(db, text);
                let pairs = rows.iter().map(|row| Ok((row.int(0)?, row.int(1)?)));
                pairs.collect::<Result<_, sqlx::Error>>().doing("read entries")?
            }
        };
        page.sort_unstable();
        let Some((last, _)) = page.last() else { return Ok(None) };
        let last = Sequence(*last);
        let mut events: Vec<EventNumber> = page.into_iter().map(|(_, event)| EventNumber(event)).collect();
        events.sort_unstable();
        events.dedup();
        Ok(Some((events, last)))
    }

    /// Whether anything was booked in a month or before it from a sequence on.
    pub async fn booked_until(&self, org: Org, month: Month, from: Sequence) -> Result<bool, StoreError> {
        let text = "SELECT COUNT(*) FROM entries WHERE org = $1 AND sequence >= $2 AND period <= $3";
        on!(self.reader(), db => {
            let query = sqlx::query(text).bind(org.0).bind(from.0).bind(month.number());
            query.fetch_one(db).await.and_then(|row| row.int(0)).map(|count| count > 0).doing("look for entries")
        })
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
    pub async fn sequences_of(&self, org: Org, filter: &EntryFilter) -> Result<(i64, i64), StoreError> {
        let before = filter.before.map_or(i64::MAX, |before| before.0);
        let after = filter.after.map_or(0, |after| after.0);
        if filter.from.is_none() && filter.until.is_none() {
            return Ok((after + 1, before));
        }
        let text = "SELECT COALESCE(MIN(sequence_from), 0), COALESCE(MAX(sequence_until), 0) FROM blocks
                     WHERE org = $1 AND sequence_until > $4 AND occurred_last >= $2 AND occurred_first < $3";
        on!(self.reader(), db => {
            let query = sqlx::query(text).bind(org.0).bind(filter.from.map_or(i64::MIN, Instant::micros));
            let query = query.bind(filter.until.map_or(i64::MAX, Instant::micros)).bind(after + 1);
            let row = query.fetch_one(db).await.doing("read blocks")?;
            row.int(0).and_then(|from| Ok((from.max(after + 1), row.int(1)?.min(before)))).doing("read blocks")
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

    /// Has the driver hand over every column of the entries from one sequence up to another, row by row, and says how many
    /// they were: no copy of them can be made faster.
    pub async fn touch_entries(&self, org: Org, from: i64, until: i64) -> Result<usize, StoreError> {
        let text = format!("{ENTRY} FROM entries e WHERE e.org = $1 AND e.sequence >= $2 AND e.sequence < $3");
        on!(self.reader(), db => {
            let query = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(from).bind(until);
            let rows = query.fetch_all(db).await.doing("read entries")?;
            for row in &rows {
                let touched = (0..32).filter(|place| *place != 12).try_for_each(|place| row.maybe_int(place).map(drop));
                touched.and_then(|()| row.text(12)).and_then(|_| row.blob(32)).doing("read entries")?;
            }
            Ok(rows.len())
        })
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

impl Store {
    /// The same for whoever reads all of a book.
    pub async fn entries_at_once(&self, org: Org, from: i64, until: i64) -> Result<Vec<Entry>, StoreError> {
        let Either::Sqlite(db) = self.reader() else { return self.entries_between(org, from, until).await };
        let query = sqlx::query(AssertSqlSafe(packed(&packed_entry(), "entries", "sequence"))).bind(org.0).bind(from).bind(until);
        let mut entries: Vec<Entry> = Vec::with_capacity((until - from) as usize);
        for row in query.fetch_all(db).await.doing("read entries")? {
            let packed = row.text(0).and_then(|packed| JsonRow::unpack(&packed, |row| entry(row)));
            entries.append(&mut packed.doing("read entries")?);
        }
        // SQLite promises the order of the groups, not that of the rows in them.
        entries.sort_unstable_by_key(|entry| entry.sequence);
        Ok(entries)
    }
}

/// What of an entry a reader asks for; whatever is left out costs nothing to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pub owner: bool,
    pub product: bool,
    pub source: bool,
    pub accounts: bool,
    pub period: bool,
    pub layer: bool,
    pub outcome: bool,
    pub estimated: bool,
    pub event: bool,
    pub list: bool,
    pub rated: bool,
    pub reported: bool,
    pub items: bool,
    /// Its turn, what it reverses, by which card, above which ceiling and for which reason.
    pub provenance: bool,
}

/// As much of an entry as was wanted.
#[derive(Clone, Debug)]
pub struct Line {
    pub sequence: Sequence,
    pub kind: EntryKind,
    pub occurred_at: Instant,
    pub currency: Currency,
    pub amount: Amount,
    pub calls: i64,
    pub owner: OwnerId,
    pub product: ProductId,
    pub source: NameId,
    pub debit: NameId,
    pub credit: NameId,
    pub period: Month,
    pub layer: i64,
    pub outcome: i64,
    pub estimated: bool,
    pub event: Option<EventNumber>,
    pub turn: i64,
    /// Numbers; 0 where there is none.
    pub reverses: i64,
    pub card: i64,
    pub above: i64,
    pub reason: i64,
    pub list: Option<Amount>,
    pub rated: Option<Amount>,
    pub reported: Option<Amount>,
    pub items: Vec<Item>,
}

impl Store {
    /// As much as is wanted of the entries from one sequence up to another, in order.
    pub async fn lines_between(&self, org: Org, from: i64, until: i64, wanted: Wanted) -> Result<Vec<Line>, StoreError> {
        let more = wanted.columns().into_iter().filter(|(_, wanted)| *wanted).map(|(column, _)| column);
        let columns: Vec<&str> = ALWAYS.into_iter().chain(more).collect();
        let range = "FROM entries WHERE org = $1 AND sequence >= $2 AND sequence < $3";
        match self.reader() {
            Either::Sqlite(db) => {
                let columns = columns.join(", ").replace("items", "hex(items)");
                let query =
                    sqlx::query(AssertSqlSafe(packed(&columns, "entries", "sequence"))).bind(org.0).bind(from).bind(until);
                let mut lines = Vec::new();
                for row in query.fetch_all(db).await.doing("read entries")? {
                    let packed = row.text(0).and_then(|packed| JsonRow::unpack(&packed, |row| line(row, wanted)));
                    lines.append(&mut packed.doing("read entries")?);
                }
                // SQLite promises the order of the groups, not that of the rows in them.
                lines.sort_unstable_by_key(|line| line.sequence);
                Ok(lines)
            }
            Either::Postgres(db) => {
                let text = format!("SELECT {} {range} ORDER BY sequence", columns.join(", "));
                let query = sqlx::query(AssertSqlSafe(text)).bind(org.0).bind(from).bind(until);
                let rows = query.fetch_all(db).await.doing("read entries")?;
                rows.iter().map(|row| line(row, wanted)).collect::<Result<_, sqlx::Error>>().doing("read entries")
            }
        }
    }
}

/// Blocks follow one another without gaps, so those of a range end with the first one that ends where the range does or after.
/// Without that bound all of the book after it would be looked at.
pub(super) const SPANS: &str = "SELECT sequence_until, block, sealed_at, catalog_version, rater FROM blocks
     WHERE org = $1 AND sequence_until > $2 AND sequence_from < $3 AND sequence_from < sequence_until
       AND sequence_until <= COALESCE((SELECT MIN(sequence_until) FROM blocks WHERE org = $1 AND sequence_until >= $3), $3)
     ORDER BY sequence_until";

/// The columns of an entry as SQLite packs them.
fn packed_entry() -> String {
    ENTRY.trim_start_matches("SELECT ").replace("e.items", "hex(e.items)")
}

/// What is read of every entry.
const ALWAYS: [&str; 8] = ["sequence", "kind", "occurred_at", "currency", "micro", "femto", "yocto", "calls"];

impl Wanted {
    pub const ALL: Wanted = Wanted {
        owner: true,
        product: true,
        source: true,
        accounts: true,
        period: true,
        layer: true,
        outcome: true,
        estimated: true,
        event: true,
        list: true,
        rated: true,
        reported: true,
        items: true,
        provenance: true,
    };

    /// The columns beyond those that are always read, in the order in which [`line`] reads them.
    const fn columns(self) -> [(&'static str, bool); 19] {
        [
            ("owner", self.owner),
            ("product", self.product),
            ("source", self.source),
            ("debit", self.accounts),
            ("credit", self.accounts),
            ("period", self.period),
            ("layer", self.layer),
            ("outcome", self.outcome),
            ("estimated", self.estimated),
            ("event", self.event),
            ("turn", self.provenance),
            ("reverses", self.provenance),
            ("card", self.provenance),
            ("above", self.provenance),
            ("reason", self.provenance),
            ("list_micro, list_femto, list_yocto", self.list),
            ("rated_micro, rated_femto, rated_yocto", self.rated),
            ("reported_micro, reported_femto, reported_yocto", self.reported),
            ("items", self.items),
        ]
    }
}

fn line(row: &impl Columns, wanted: Wanted) -> Result<Line, sqlx::Error> {
    let wrong = |why: &str| sqlx::Error::Decode(why.into());
    let mut place = 7;
    let mut int = |wanted: bool| {
        place += i64::from(wanted);
        if wanted { row.maybe_int(place as usize).map(|number| number.unwrap_or(0)) } else { Ok(0) }
    };
    let (owner, product) = (OwnerId(int(wanted.owner)?), ProductId(int(wanted.product)?));
    let source = NameId(int(wanted.source)?);
    let (debit, credit) = (NameId(int(wanted.accounts)?), NameId(int(wanted.accounts)?));
    let (period, layer, outcome) = (int(wanted.period)?, int(wanted.layer)?, int(wanted.outcome)?);
    let (estimated, event) = (int(wanted.estimated)? != 0, int(wanted.event)?);
    let (turn, reverses) = (int(wanted.provenance)?, int(wanted.provenance)?);
    let (card, above, reason) = (int(wanted.provenance)?, int(wanted.provenance)?, int(wanted.provenance)?);
    let mut place = place as usize + 1;
    let mut money = |wanted: bool| {
        if !wanted {
            return Ok(None);
        }
        place += 3;
        maybe_amount(row, place - 3)
    };
    let (list, rated, reported) = (money(wanted.list)?, money(wanted.rated)?, money(wanted.reported)?);
    let items = match wanted.items {
        true => items::read(&row.blob(place)?).map_err(|e| wrong(&e.to_string()))?,
        false => Vec::new(),
    };
    Ok(Line {
        sequence: Sequence(row.int(0)?),
        kind: EntryKind::from_number(narrow(row.int(1)?)?).ok_or_else(|| wrong("a kind of entry is unknown"))?,
        occurred_at: Instant::from_micros(row.int(2)?),
        currency: row.text(3)?.parse().map_err(|_| wrong("a currency is unknown"))?,
        amount: amount(row.int(4)?, row.int(5)?, row.int(6)?)?,
        calls: row.int(7)?,
        owner,
        product,
        source,
        debit,
        credit,
        period: Month::from_number(period as i32),
        layer,
        outcome,
        estimated,
        event: (event != 0).then_some(EventNumber(event)),
        turn,
        reverses,
        card,
        above,
        reason,
        list,
        rated,
        reported,
        items,
    })
}

/// Three limbs that are all there, or none of them.
fn maybe_amount(row: &impl Columns, place: usize) -> Result<Option<Amount>, sqlx::Error> {
    match (row.maybe_int(place)?, row.maybe_int(place + 1)?, row.maybe_int(place + 2)?) {
        (Some(micro), Some(femto), Some(yocto)) => amount(micro, femto, yocto).map(Some),
        (None, None, None) => Ok(None),
        _ => Err(sqlx::Error::Decode("an amount has lost a part".into())),
    }
}

/// Three limbs that each are in their range: the same amount is never written in two ways.
fn amount(micro: i64, femto: i64, yocto: i64) -> Result<Amount, sqlx::Error> {
    let limbs = Limbs { micro, femto, yocto };
    let amount = Amount::from_limbs(limbs);
    if amount.limbs() == limbs { Ok(amount) } else { Err(sqlx::Error::Decode("a limb of an amount is out of its range".into())) }
}

/// Entries of one block that lie one after the other: up to which sequence, and what they have from their block.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub until: Sequence,
    pub block: BlockNumber,
    pub recorded_at: Instant,
    pub version: Version,
    pub rater: u16,
}

impl Store {
    /// The last block that ends after one sequence and by another, or else the first that ends after the latter: where a
    /// copy of entries may end.
    pub async fn block_that_ends(
        &self,
        org: Org,
        after: i64,
        by: i64,
    ) -> Result<Option<(BlockNumber, BlockHash, i64)>, StoreError> {
        let within =
            "SELECT block, hash, sequence_until FROM blocks WHERE org = $1 AND sequence_until > $2 AND sequence_until <= $3
                       ORDER BY sequence_until DESC, block DESC LIMIT 1";
        let beyond =
            "SELECT block, hash, sequence_until FROM blocks WHERE org = $1 AND sequence_until > $2 AND sequence_until > $3
                       ORDER BY sequence_until, block LIMIT 1";
        for text in [within, beyond] {
            let found = on!(self.reader(), db => {
                let row = sqlx::query(text).bind(org.0).bind(after).bind(by).fetch_optional(db).await.doing("read blocks")?;
                let read = |row: &dyn Columns| {
                    Ok::<_, sqlx::Error>((BlockNumber(row.int(0)?), BlockHash(exactly(row.blob(1)?)?), row.int(2)?))
                };
                row.as_ref().map(|row| read(row)).transpose().doing("read blocks")?
            });
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The blocks that hold the entries from one sequence up to another, in order.
    pub async fn spans(&self, org: Org, from: i64, until: i64) -> Result<Vec<Span>, StoreError> {
        on!(self.reader(), db => {
            let rows = sqlx::query(SPANS).bind(org.0).bind(from).bind(until).fetch_all(db).await.doing("read blocks")?;
            rows.iter().map(span).collect::<Result<_, sqlx::Error>>().doing("read blocks")
        })
    }

    /// The runs of entries among which are all that occurred from one instant on and before another, in order.
    pub async fn runs_of(&self, org: Org, from: Instant, until: Instant) -> Result<Vec<(i64, i64)>, StoreError> {
        let text = "SELECT sequence_from, sequence_until FROM blocks
                     WHERE org = $1 AND occurred_last >= $2 AND occurred_first < $3 AND sequence_from < sequence_until
                     ORDER BY sequence_from";
        let blocks: Vec<(i64, i64)> = on!(self.reader(), db => {
            let query = sqlx::query(text).bind(org.0).bind(from.micros()).bind(until.micros());
            let rows = query.fetch_all(db).await.doing("read blocks")?;
            rows.iter().map(|row| Ok((row.int(0)?, row.int(1)?))).collect::<Result<_, sqlx::Error>>().doing("read blocks")?
        });
        let mut runs: Vec<(i64, i64)> = Vec::new();
        for (from, until) in blocks {
            match runs.last_mut() {
                Some(last) if last.1 == from => last.1 = until,
                _ => runs.push((from, until)),
            }
        }
        Ok(runs)
    }

    /// Up to which sequence entries were booked under which catalog version, in order.
    pub async fn versions_booked(&self, org: Org) -> Result<Vec<(i64, Version)>, StoreError> {
        let text = "SELECT MAX(sequence_until), catalog_version FROM blocks
                     WHERE org = $1 AND sequence_from < sequence_until GROUP BY catalog_version ORDER BY 1";
        on!(self.reader(), db => {
            let rows = sqlx::query(text).bind(org.0).fetch_all(db).await.doing("read blocks")?;
            rows.iter().map(|row| Ok((row.int(0)?, Version(row.int(1)?)))).collect::<Result<_, sqlx::Error>>().doing("read blocks")
        })
    }

    /// The sequences of what was booked from one instant on and before another.
    pub async fn sequences_recorded(
        &self,
        org: Org,
        from: Option<Instant>,
        until: Option<Instant>,
    ) -> Result<(i64, i64), StoreError> {
        let text = "SELECT COALESCE(MIN(sequence_from), 0), COALESCE(MAX(sequence_until), 0) FROM blocks
                     WHERE org = $1 AND sealed_at >= $2 AND sealed_at < $3";
        on!(self.reader(), db => {
            let query = sqlx::query(text).bind(org.0).bind(from.map_or(i64::MIN, Instant::micros));
            let row = query.bind(until.map_or(i64::MAX, Instant::micros)).fetch_one(db).await.doing("read blocks")?;
            row.int(0).and_then(|from| Ok((from, row.int(1)?))).doing("read blocks")
        })
    }

    /// The first and the last instant of which an entry from this sequence on tells.
    pub async fn occurred(&self, org: Org, from: i64) -> Result<Option<(Instant, Instant)>, StoreError> {
        let text = "SELECT MIN(occurred_first), MAX(occurred_last) FROM blocks WHERE org = $1 AND sequence_until > $2";
        on!(self.reader(), db => {
            let row = sqlx::query(text).bind(org.0).bind(from).fetch_one(db).await.doing("read blocks")?;
            let ends = row.maybe_int(0).and_then(|first| Ok((first, row.maybe_int(1)?))).doing("read blocks")?;
            Ok(ends.0.zip(ends.1).map(|(first, last)| (Instant::from_micros(first), Instant::from_micros(last))))
        })
    }
}

fn span(row: &impl Columns) -> Result<Span, sqlx::Error> {
    Ok(Span {
        until: Sequence(row.int(0)?),
        block: BlockNumber(row.int(1)?),
        recorded_at: Instant::from_micros(row.int(2)?),
        version: Version(row.int(3)?),
        rater: row.int(4)? as u16,
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
    let sequence = Sequence(row.int(0)?);
    let wrong = |why: &str| sqlx::Error::Decode(format!("entry {sequence}: {why}").into());
    let amount = amount(row.int(13)?, row.int(14)?, row.int(15)?)?;
    let currency: Currency = row.text(12)?.parse().map_err(|_| wrong("its currency is unknown"))?;
    let posting =
        Posting::new(NameId(row.int(10)?), NameId(row.int(11)?), amount, currency).map_err(|e| wrong(&e.to_string()))?;
    Ok(Entry {
        sequence,
        kind: EntryKind::from_number(narrow(row.int(1)?)?).ok_or_else(|| wrong("its kind is unknown"))?,
        event: reference(row.maybe_int(2)?, EventNumber)?,
        turn: narrow(row.int(3)?)?,
        reverses: reference(row.maybe_int(4)?, Sequence)?,
        occurred_at: Instant::from_micros(row.int(5)?),
        period: Month::from_number(narrow(row.int(6)?)?),
        source: NameId(row.int(7)?),
        owner: OwnerId(row.int(8)?),
        product: ProductId(row.int(9)?),
        posting,
        rated: maybe_amount(row, 16)?,
        reported: maybe_amount(row, 19)?,
        list: maybe_amount(row, 22)?,
        outcome: Outcome::from_number(narrow(row.int(25)?)?).ok_or_else(|| wrong("its outcome is unknown"))?,
        calls: row.int(26)? as u64,
        estimated: match row.int(27)? {
            0 => false,
            1 => true,
            _ => return Err(wrong("whether it is estimated is neither 0 nor 1")),
        },
        layer: Layer::from_number(narrow(row.int(28)?)?).ok_or_else(|| wrong("its layer is unknown"))?,
        card: reference(row.maybe_int(29)?, NameId)?,
        above: reference(row.maybe_int(30)?, NameId)?,
        reason: reference(row.maybe_int(31)?, NameId)?,
        items: items::read(&row.blob(32)?).map_err(|e| wrong(&e.to_string()))?,
    })
}
