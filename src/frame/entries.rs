//! Entries as Parquet, row group by row group, so that memory is bounded by one of them: money as `DECIMAL(38, 24)`, instants
//! in UTC, texts by a dictionary. Minimum and maximum statistics are off, because polars writes wrong ones for decimals. The
//! file carries no Arrow schema of polars' own, which would ask readers for a kind of string that not all of them know; its
//! Parquet types say everything.

use crate::export::manifest::Sums;
use crate::export::{Cells, ColumnKind, Notation, OWNER, PRODUCT, Row, Texts, columns};
use crate::id::{EventNumber, NameId, OwnerId, ProductId};
use crate::ledger::EntryKind;
use crate::ledger::seal::Dimensions;
use crate::money::{Amount, Currency, PLACES};
use crate::time::Instant;
use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{Column as PolarsColumn, *};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

/// Large enough for readers to skip and to scan, and about what they make themselves; small enough to be kept.
const ROW_GROUP: usize = 100_000;

pub fn notation() -> Box<dyn Notation> {
    Box::new(Parquet { columns: Columns::new(), writer: None, written: Buffer::default() })
}

struct Parquet {
    columns: Columns,
    writer: Option<BatchedWriter<Buffer>>,
    written: Buffer,
}

/// Where the writer puts its bytes until they are taken away.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn bytes(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Parquet {
    fn row_group(&mut self, texts: &Texts, to: &mut Vec<u8>) -> PolarsResult<()> {
        let frame = self.columns.take(texts)?;
        if let Some(writer) = &mut self.writer {
            writer.write_batch(&frame)?;
        }
        to.append(&mut self.written.bytes());
        Ok(())
    }
}

impl Notation for Parquet {
    fn begin(&mut self, _: &mut Vec<u8>) -> Result<(), String> {
        let schema = self.columns.take(&Texts::default()).map_err(|e| e.to_string())?.schema().clone();
        let statistics = StatisticsOptions { min_value: false, max_value: false, ..StatisticsOptions::default() };
        let writer = ParquetWriter::new(self.written.clone()).with_statistics(statistics);
        self.writer = Some(writer.batched(&schema).map_err(|e| e.to_string())?);
        Ok(())
    }

    fn rows(&mut self, rows: &[Row], texts: &Texts, to: &mut Vec<u8>) -> Result<(), String> {
        let mut left = rows;
        while !left.is_empty() {
            let (these, others) = left.split_at(left.len().min(ROW_GROUP - self.columns.height));
            these.iter().for_each(|row| self.columns.add(row, texts));
            left = others;
            if self.columns.height == ROW_GROUP {
                self.row_group(texts, to).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }

    fn end(&mut self, texts: &Texts, to: &mut Vec<u8>) -> Result<(), String> {
        if self.columns.height > 0 {
            self.row_group(texts, to).map_err(|e| e.to_string())?;
        }
        if let Some(writer) = self.writer.take() {
            let mut file = writer.get_writer().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // What would be said of the file besides its types: nothing.
            file.end(Some(Vec::new())).map_err(|e| e.to_string())?;
        }
        to.append(&mut self.written.bytes());
        Ok(())
    }
}

/// The rows of a row group, by column.
struct Columns {
    columns: Vec<Column>,
    height: usize,
    /// The column that is told next.
    place: usize,
    /// What the events of the rows are called.
    event_ids: Joined,
}

enum Column {
    Integer(&'static str, Sparse<i64>),
    Money(&'static str, Sparse<i128>),
    Instant(&'static str, Vec<i64>),
    Flag(&'static str, Vec<bool>),
    Word(&'static str, Words),
    EventId(&'static str),
    Name(&'static str, Numbers),
    Owner(Numbers),
    Product(Numbers),
}

/// Values of which there may be none at all: most meters never count anything, and cost nothing until they do.
#[derive(Default)]
struct Sparse<T> {
    /// Rows before the first that has a value.
    empty: usize,
    rows: Vec<Option<T>>,
}

impl<T: Copy> Sparse<T> {
    fn push(&mut self, value: Option<T>) {
        match value {
            None if self.rows.is_empty() => self.empty += 1,
            value => self.rows.push(value),
        }
    }

    /// Every row, or how many rows without a value there are.
    fn all(mut self) -> Result<Vec<Option<T>>, usize> {
        if self.rows.is_empty() {
            return Err(self.empty);
        }
        self.rows.splice(..0, std::iter::repeat_n(None, self.empty));
        Ok(self.rows)
    }
}

/// A few words, each by its place among them.
#[derive(Default)]
struct Words {
    words: Vec<Box<str>>,
    rows: Vec<IdxSize>,
}

impl Words {
    fn push(&mut self, word: &str) {
        let place = self.words.iter().position(|known| **known == *word).unwrap_or_else(|| {
            self.words.push(word.into());
            self.words.len() - 1
        });
        self.rows.push(place as IdxSize);
    }
}

/// Texts of which hardly one is like another, one after the other.
#[derive(Default)]
struct Joined {
    text: String,
    /// Where each ends; nothing where a row has none.
    ends: Vec<Option<usize>>,
}

impl Joined {
    fn push(&mut self, text: Option<&str>) {
        self.text.push_str(text.unwrap_or_default());
        self.ends.push(text.map(|_| self.text.len()));
    }

    fn all(&self) -> impl Iterator<Item = Option<&str>> {
        self.ends.iter().scan(0, |start, end| Some(end.map(|end| &self.text[std::mem::replace(start, end)..end])))
    }
}

/// Numbers of names, owners or products, each by its place among those of the row group.
#[derive(Default)]
struct Numbers {
    /// One more than its place, by number.
    places: Vec<IdxSize>,
    numbers: Vec<i64>,
    rows: Vec<IdxSize>,
}

impl Numbers {
    fn push(&mut self, number: i64) {
        let at = number as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, 0);
        }
        if self.places[at] == 0 {
            self.numbers.push(number);
            self.places[at] = self.numbers.len() as IdxSize;
        }
        self.rows.push(self.places[at] - 1);
    }

    /// The rows' texts, of which each is there once.
    fn column<'t>(&self, name: &str, text: impl Fn(i64) -> Option<&'t str>) -> PolarsResult<PolarsColumn> {
        let texts: Vec<Option<&str>> = self.numbers.iter().map(|number| text(*number)).collect();
        PolarsColumn::new(name.into(), texts).take_slice(&self.rows)
    }

    /// The seven columns of owners or products.
    fn columns<'t>(
        &self,
        names: [&str; 7],
        texts: &'t Texts,
        parts: impl Fn(i64) -> Option<&'t Dimensions>,
    ) -> PolarsResult<Vec<PolarsColumn>> {
        let text = |number: i64, place: usize| text(texts, parts(number).map_or(0, |parts| parts[place]));
        names.iter().enumerate().map(|(place, name)| self.column(name, |number| text(number, place))).collect()
    }
}

fn text(texts: &Texts, name: i64) -> Option<&str> {
    texts.name(NameId(name)).map(|text| &**text)
}

impl Columns {
    fn new() -> Columns {
        let mut new = Columns { columns: Vec::new(), height: 0, place: 0, event_ids: Joined::default() };
        for (name, kind) in columns() {
            let column = match kind {
                ColumnKind::Integer => Column::Integer(name, Sparse::default()),
                ColumnKind::Money => Column::Money(name, Sparse::default()),
                ColumnKind::Instant => Column::Instant(name, Vec::new()),
                ColumnKind::Flag => Column::Flag(name, Vec::new()),
                ColumnKind::Word => Column::Word(name, Words::default()),
                ColumnKind::Text => Column::EventId(name),
                ColumnKind::Name if name == OWNER[0] => Column::Owner(Numbers::default()),
                ColumnKind::Name if name == PRODUCT[0] => Column::Product(Numbers::default()),
                ColumnKind::Name if OWNER.contains(&name) || PRODUCT.contains(&name) => continue,
                ColumnKind::Name => Column::Name(name, Numbers::default()),
            };
            new.columns.push(column);
        }
        new
    }

    fn add(&mut self, row: &Row, texts: &Texts) {
        self.place = 0;
        self.event_ids.push(row.event.and_then(|event| texts.event_id(event)));
        row.tell(self);
        self.height += 1;
    }

    /// The rows as a frame; afterwards there are none.
    fn take(&mut self, texts: &Texts) -> PolarsResult<DataFrame> {
        let mut taken = Vec::new();
        let Columns { columns, event_ids, .. } = std::mem::replace(self, Columns::new());
        for column in columns {
            match column {
                Column::Integer(name, values) => taken.push(match values.all() {
                    Ok(values) => PolarsColumn::new(name.into(), values),
                    Err(rows) => Int64Chunked::full_null(name.into(), rows).into_column(),
                }),
                Column::Money(name, values) => {
                    let units = match values.all() {
                        Ok(values) => Int128Chunked::from_slice_options(name.into(), &values),
                        Err(rows) => Int128Chunked::full_null(name.into(), rows),
                    };
                    taken.push(units.into_decimal(38, PLACES as usize)?.into_column());
                }
                Column::Instant(name, micros) => {
                    let micros = Int64Chunked::from_vec(name.into(), micros);
                    taken.push(micros.into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)).into_column());
                }
                Column::Flag(name, values) => taken.push(PolarsColumn::new(name.into(), values)),
                Column::Word(name, Words { words, rows }) => {
                    let words: Vec<&str> = words.iter().map(|word| &**word).collect();
                    taken.push(PolarsColumn::new(name.into(), words).take_slice(&rows)?);
                }
                Column::EventId(name) => {
                    let texts: Vec<Option<&str>> = event_ids.all().collect();
                    taken.push(PolarsColumn::new(name.into(), texts));
                }
                Column::Name(name, numbers) => taken.push(numbers.column(name, |number| text(texts, number))?),
                Column::Owner(numbers) => {
                    taken.extend(numbers.columns(OWNER, texts, |number| texts.owner(OwnerId(number)))?);
                }
                Column::Product(numbers) => {
                    taken.extend(numbers.columns(PRODUCT, texts, |number| texts.product(ProductId(number)))?);
                }
            }
        }
        let height = taken.first().map_or(0, PolarsColumn::len);
        DataFrame::new(height, taken)
    }

    fn next(&mut self) -> &mut Column {
        self.place += 1;
        &mut self.columns[self.place - 1]
    }
}

impl Cells for Columns {
    fn integer(&mut self, _: &'static str, value: Option<i64>) {
        if let Column::Integer(_, values) = self.next() {
            values.push(value);
        }
    }

    fn money(&mut self, _: &'static str, value: Option<Amount>) {
        if let Column::Money(_, values) = self.next() {
            values.push(value.map(Amount::units));
        }
    }

    fn instant(&mut self, _: &'static str, at: Instant) {
        if let Column::Instant(_, values) = self.next() {
            values.push(at.micros());
        }
    }

    fn word(&mut self, _: &'static str, word: &str) {
        if let Column::Word(_, words) = self.next() {
            words.push(word);
        }
    }

    fn flag(&mut self, _: &'static str, value: bool) {
        if let Column::Flag(_, values) = self.next() {
            values.push(value);
        }
    }

    fn event_id(&mut self, _: &'static str, _: Option<EventNumber>) {
        self.next();
    }

    fn name(&mut self, _: &'static str, name: Option<NameId>) {
        if let Column::Name(_, numbers) = self.next() {
            numbers.push(name.map_or(0, |name| name.0));
        }
    }

    fn owner(&mut self, owner: OwnerId) {
        if let Column::Owner(numbers) = self.next() {
            numbers.push(owner.0);
        }
    }

    fn product(&mut self, product: ProductId) {
        if let Column::Product(numbers) = self.next() {
            numbers.push(product.0);
        }
    }
}

/// What the rows of a file come to, read a row group's worth at a time.
pub fn sums(path: &Path) -> Result<Sums, String> {
    let wrong = |e: PolarsError| e.to_string();
    let open = || File::open(path).map(ParquetReader::new).map_err(|e| e.to_string());
    let all = open()?.num_rows().map_err(wrong)?;
    let wanted = ["currency", "kind", "calls", "amount"].map(str::to_owned).to_vec();
    let mut sums = Sums::default();
    for start in (0..all).step_by(ROW_GROUP) {
        let some = open()?.with_columns(Some(wanted.clone())).with_slice(Some((start, ROW_GROUP)));
        add(&some.finish().map_err(wrong)?, &mut sums)?;
    }
    Ok(sums)
}

fn add(frame: &DataFrame, sums: &mut Sums) -> Result<(), String> {
    let column = |name: &str| frame.column(name).map_err(|e| e.to_string());
    let wrong = |e: PolarsError| e.to_string();
    let (currencies, kinds) = (column("currency")?.str().map_err(wrong)?, column("kind")?.str().map_err(wrong)?);
    let calls = column("calls")?.i64().map_err(wrong)?;
    let amounts = column("amount")?.decimal().map_err(wrong)?;
    if (amounts.precision(), amounts.scale()) != (38, PLACES as usize) {
        return Err(format!("its amounts are {}", column("amount")?.dtype()));
    }
    for (((currency, kind), calls), units) in currencies.iter().zip(kinds.iter()).zip(calls.iter()).zip(amounts.physical().iter())
    {
        let currency: Option<Currency> = currency.and_then(|currency| currency.parse().ok());
        let row = currency.zip(kind.and_then(EntryKind::named)).zip(calls.zip(units));
        let ((currency, kind), (calls, units)) = row.ok_or("a row has no currency, no kind, no calls or no amount")?;
        sums.add_cells(currency, kind, calls, Amount::from_units(units)).map_err(|e| e.to_string())?;
    }
    Ok(())
}
