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
use polars::polars_utils::compression::ZstdLevel;
use polars::prelude::{Column as PolarsColumn, *};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::thread::JoinHandle;

/// Large enough for readers to skip and to scan, and about what they make themselves; small enough to be kept.
const ROW_GROUP: usize = 100_000;

/// The next levels take twice as long for files that are a twentieth smaller.
const LEVEL: i32 = 1;

pub fn notation() -> Box<dyn Notation> {
    Box::new(Parquet { columns: Columns::new(), encoding: None, written: Buffer::default() })
}

struct Parquet {
    columns: Columns,
    /// The row group before, which is encoded while this one is filled; it hands the writer on.
    encoding: Option<JoinHandle<PolarsResult<Writer>>>,
    written: Buffer,
}

type Writer = BatchedWriter<Buffer>;

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
    /// Begins to encode the rows, as soon as those before are.
    fn row_group(&mut self, texts: &Texts, to: &mut Vec<u8>) -> PolarsResult<()> {
        let (group, mut writer) = (self.columns.take(texts), self.encoded(to)?);
        self.encoding = Some(std::thread::spawn(move || {
            writer.write_batch(&group.into_frame()?)?;
            Ok(writer)
        }));
        Ok(())
    }

    /// The writer, and all that it has written by then.
    fn encoded(&mut self, to: &mut Vec<u8>) -> PolarsResult<Writer> {
        let broke_off = || polars_err!(ComputeError: "the thread that encodes broke off");
        let writer = self.encoding.take().ok_or_else(broke_off)?.join().map_err(|_| broke_off())??;
        to.append(&mut self.written.bytes());
        Ok(writer)
    }
}

impl Notation for Parquet {
    fn begin(&mut self, _: &mut Vec<u8>) -> Result<(), String> {
        let frame = self.columns.take(&Texts::default()).into_frame().map_err(|e| e.to_string())?;
        let statistics = StatisticsOptions { min_value: false, max_value: false, ..StatisticsOptions::default() };
        let level = ZstdLevel::try_new(LEVEL).map_err(|e| e.to_string())?;
        let writer = ParquetWriter::new(self.written.clone()).with_statistics(statistics);
        let writer = writer.with_compression(ParquetCompression::Zstd(Some(level))).batched(frame.schema());
        let writer = writer.map_err(|e| e.to_string())?;
        self.encoding = Some(std::thread::spawn(|| Ok(writer)));
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
        let writer = self.encoded(to).map_err(|e| e.to_string())?;
        let mut file = writer.get_writer().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // What would be said of the file besides its types: nothing.
        file.end(Some(Vec::new())).map_err(|e| e.to_string())?;
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
    fn texts(&self, name: &'static str, rows: &Arc<[IdxSize]>, text: impl Fn(i64) -> Option<Arc<str>>) -> Filled {
        Filled::Texts(name, self.numbers.iter().map(|number| text(*number)).collect(), rows.clone())
    }

    /// The seven columns of owners or products.
    fn parts<'t>(self, names: [&'static str; 7], texts: &'t Texts, parts: impl Fn(i64) -> Option<&'t Dimensions>) -> Vec<Filled> {
        let text = |number: i64, place: usize| text(texts, parts(number).map_or(0, |parts| parts[place]));
        let rows = self.rows.as_slice().into();
        names.iter().enumerate().map(|(place, name)| self.texts(name, &rows, |number| text(number, place))).collect()
    }
}

fn text(texts: &Texts, name: i64) -> Option<Arc<str>> {
    texts.name(NameId(name)).cloned()
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

    /// The rows with their texts; afterwards there are none.
    fn take(&mut self, texts: &Texts) -> Group {
        let Columns { columns, event_ids, height, .. } = std::mem::replace(self, Columns::new());
        let mut group = Group { columns: Vec::new(), height };
        let mut event_ids = Some(event_ids);
        for column in columns {
            let filled = match column {
                Column::Integer(name, values) => Filled::Integers(name, values),
                Column::Money(name, values) => Filled::Money(name, values),
                Column::Instant(name, micros) => Filled::Instants(name, micros),
                Column::Flag(name, values) => Filled::Flags(name, values),
                Column::Word(name, Words { words, rows }) => {
                    Filled::Texts(name, words.into_iter().map(|word| Some(word.into())).collect(), rows.into())
                }
                Column::EventId(name) => Filled::Each(name, event_ids.take().unwrap_or_default()),
                Column::Name(name, numbers) => numbers.texts(name, &numbers.rows.as_slice().into(), |number| text(texts, number)),
                Column::Owner(numbers) => {
                    group.columns.extend(numbers.parts(OWNER, texts, |number| texts.owner(OwnerId(number))));
                    continue;
                }
                Column::Product(numbers) => {
                    group.columns.extend(numbers.parts(PRODUCT, texts, |number| texts.product(ProductId(number))));
                    continue;
                }
            };
            group.columns.push(filled);
        }
        group
    }

    fn next(&mut self) -> &mut Column {
        self.place += 1;
        &mut self.columns[self.place - 1]
    }
}

/// A row group that stands for itself.
struct Group {
    columns: Vec<Filled>,
    height: usize,
}

enum Filled {
    Integers(&'static str, Sparse<i64>),
    Money(&'static str, Sparse<i128>),
    Instants(&'static str, Vec<i64>),
    Flags(&'static str, Vec<bool>),
    /// Texts, and of each row the place of its own among them.
    Texts(&'static str, Vec<Option<Arc<str>>>, Arc<[IdxSize]>),
    Each(&'static str, Joined),
}

impl Group {
    fn into_frame(self) -> PolarsResult<DataFrame> {
        DataFrame::new(self.height, self.columns.into_iter().map(Filled::into_column).collect::<PolarsResult<_>>()?)
    }
}

impl Filled {
    fn into_column(self) -> PolarsResult<PolarsColumn> {
        Ok(match self {
            Filled::Integers(name, values) => match values.all() {
                Ok(values) => PolarsColumn::new(name.into(), values),
                Err(rows) => Int64Chunked::full_null(name.into(), rows).into_column(),
            },
            Filled::Money(name, values) => {
                let units = match values.all() {
                    Ok(values) => Int128Chunked::from_slice_options(name.into(), &values),
                    Err(rows) => Int128Chunked::full_null(name.into(), rows),
                };
                units.into_decimal(38, PLACES as usize)?.into_column()
            }
            Filled::Instants(name, micros) => {
                let micros = Int64Chunked::from_vec(name.into(), micros);
                micros.into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)).into_column()
            }
            Filled::Flags(name, values) => PolarsColumn::new(name.into(), values),
            Filled::Texts(name, texts, rows) => {
                let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
                PolarsColumn::new(name.into(), texts).take_slice(&rows)?
            }
            Filled::Each(name, texts) => PolarsColumn::new(name.into(), texts.all().collect::<Vec<Option<&str>>>()),
        })
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
