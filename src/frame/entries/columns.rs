//! The rows of a row group, by column: what they are encoded from. Names, owners and products stay numbers until then, so a
//! text is looked at once a row group and not once a row.

use crate::export::{Cells, ColumnKind, OWNER, PRODUCT, Row, Texts, columns};
use crate::id::{EventNumber, NameId, OwnerId, ProductId};
use crate::ledger::seal::Dimensions;
use crate::money::{Amount, PLACES};
use crate::time::Instant;
use polars::prelude::{ArrowDataType, ArrowField, ArrowSchema, ArrowTimeUnit, PlSmallStr, PolarsResult};
use polars_arrow::array::{Array, BooleanArray, DictionaryArray, PrimitiveArray, Utf8Array, Utf8ViewArray};
use polars_arrow::bitmap::MutableBitmap;
use polars_arrow::datatypes::IntegerType;
use polars_arrow::types::NativeType;
use polars_parquet::write::Encoding;
use std::collections::HashMap;

/// What the columns of a file are called, and of which types they are.
pub fn schema() -> ArrowSchema {
    let field = |(name, kind): (&'static str, ColumnKind)| ArrowField::new(name.into(), of_kind(kind), true);
    columns().into_iter().map(field).collect()
}

fn of_kind(kind: ColumnKind) -> ArrowDataType {
    match kind {
        ColumnKind::Integer => ArrowDataType::Int64,
        ColumnKind::Money => ArrowDataType::Decimal(38, PLACES as usize),
        ColumnKind::Instant => ArrowDataType::Timestamp(ArrowTimeUnit::Microsecond, Some(PlSmallStr::from_static("UTC"))),
        ColumnKind::Flag => ArrowDataType::Boolean,
        ColumnKind::Word | ColumnKind::Text | ColumnKind::Name => ArrowDataType::Utf8View,
    }
}

/// A column, and how it is best encoded.
pub struct Encoded {
    pub array: Box<dyn Array>,
    pub encoding: Encoding,
}

fn plain(array: impl Array + 'static) -> Encoded {
    Encoded { array: Box::new(array), encoding: Encoding::Plain }
}

pub struct Columns {
    columns: Vec<Column>,
    /// How many rows there are, and for how many there should be room.
    height: usize,
    most: usize,
    /// The column that is told next.
    place: usize,
    /// What the events of the rows are called.
    event_ids: Joined,
}

enum Column {
    Integer(Sparse<i64>),
    Money(Sparse<i128>),
    Instant(Vec<i64>),
    Flag(MutableBitmap),
    Word(Words),
    EventId,
    Name(Numbers),
    Owner(Numbers),
    Product(Numbers),
}

impl Columns {
    pub fn new(most: usize) -> Columns {
        let column = |(name, kind): (&'static str, ColumnKind)| {
            Some(match kind {
                ColumnKind::Integer => Column::Integer(Sparse::default()),
                ColumnKind::Money => Column::Money(Sparse::default()),
                ColumnKind::Instant => Column::Instant(Vec::new()),
                ColumnKind::Flag => Column::Flag(MutableBitmap::new()),
                ColumnKind::Word => Column::Word(Words::default()),
                ColumnKind::Text => Column::EventId,
                ColumnKind::Name if name == OWNER[0] => Column::Owner(Numbers::default()),
                ColumnKind::Name if name == PRODUCT[0] => Column::Product(Numbers::default()),
                // The others of an owner or of a product are told with the first.
                ColumnKind::Name if OWNER.contains(&name) || PRODUCT.contains(&name) => return None,
                ColumnKind::Name => Column::Name(Numbers::default()),
            })
        };
        let columns = columns().into_iter().filter_map(column).collect();
        Columns { columns, height: 0, most, place: 0, event_ids: Joined::default() }
    }

    pub fn height(&self) -> usize {
        self.height
    }

    pub fn add(&mut self, row: &Row, texts: &Texts) {
        self.place = 0;
        self.event_ids.push(row.event.and_then(|event| texts.event_id(event)));
        row.tell(self);
        self.height += 1;
    }

    /// The columns with their texts; afterwards there are no rows.
    pub fn take(&mut self, texts: &Texts) -> PolarsResult<Vec<Encoded>> {
        let Columns { columns, height, mut event_ids, .. } = std::mem::replace(self, Columns::new(self.most));
        let mut encoded = Vec::new();
        for column in columns {
            match column {
                Column::Integer(values) => encoded.push(values.integers(height)),
                Column::Money(values) => encoded.push(plain(values.array(ColumnKind::Money, height))),
                Column::Instant(micros) => {
                    encoded.push(plain(PrimitiveArray::new(of_kind(ColumnKind::Instant), micros.into(), None)));
                }
                Column::Flag(values) => encoded.push(plain(BooleanArray::new(ArrowDataType::Boolean, values.into(), None))),
                Column::Word(words) => encoded.push(words.dictionary()?),
                Column::EventId => encoded.push(plain(std::mem::take(&mut event_ids).array()?)),
                Column::Name(numbers) => encoded.push(numbers.dictionary(texts, |number| number)?),
                Column::Owner(numbers) => numbers.parts(texts, |owner| texts.owner(OwnerId(owner)), &mut encoded)?,
                Column::Product(numbers) => numbers.parts(texts, |product| texts.product(ProductId(product)), &mut encoded)?,
            }
        }
        Ok(encoded)
    }

    fn next(&mut self) -> &mut Column {
        self.place += 1;
        &mut self.columns[self.place - 1]
    }
}

/// Values of which there may be none at all: most meters never count anything, and cost nothing until they do.
#[derive(Default)]
struct Sparse<T> {
    /// Until the last row that has one.
    values: Vec<T>,
    are_there: MutableBitmap,
}

impl<T: NativeType> Sparse<T> {
    /// The value of a row, after so many others.
    fn put(&mut self, value: T, row: usize, most: usize) {
        if self.values.is_empty() {
            self.values.reserve_exact(most);
        }
        self.fill(row);
        self.values.push(value);
        self.are_there.push(true);
    }

    fn fill(&mut self, rows: usize) {
        self.are_there.extend_constant(rows - self.values.len(), false);
        self.values.resize(rows, T::default());
    }

    fn array(mut self, kind: ColumnKind, rows: usize) -> PrimitiveArray<T> {
        if self.values.is_empty() {
            return PrimitiveArray::new_null(of_kind(kind), rows);
        }
        self.fill(rows);
        PrimitiveArray::new(of_kind(kind), self.values.into(), self.are_there.into())
    }
}

/// Integers farther apart (rows without one count as 0) would be counted by hashing them, which takes longer than compressing.
const NEAR: u64 = 0xffff;

impl Sparse<i64> {
    fn integers(self, rows: usize) -> Encoded {
        let bounds = self.values.iter().fold((i64::MAX, i64::MIN), |(least, most), value| (least.min(*value), most.max(*value)));
        let are_near = !self.values.is_empty() && bounds.0.abs_diff(bounds.1) <= NEAR;
        let encoding = if are_near { Encoding::RleDictionary } else { Encoding::Plain };
        Encoded { array: Box::new(self.array(ColumnKind::Integer, rows)), encoding }
    }
}

/// A few words, each by its place among them.
#[derive(Default)]
struct Words {
    words: Vec<Box<str>>,
    rows: Vec<u32>,
}

impl Words {
    fn push(&mut self, word: &str) {
        let place = self.words.iter().position(|known| **known == *word).unwrap_or_else(|| {
            self.words.push(word.into());
            self.words.len() - 1
        });
        self.rows.push(place as u32);
    }

    fn dictionary(self) -> PolarsResult<Encoded> {
        dictionary(PrimitiveArray::from_vec(self.rows), &self.words)
    }
}

/// Each row's text by its place among texts that are there once.
fn dictionary(rows: PrimitiveArray<u32>, texts: &[impl AsRef<str>]) -> PolarsResult<Encoded> {
    let of = ArrowDataType::Dictionary(IntegerType::UInt32, Box::new(ArrowDataType::Utf8View), false);
    let array = DictionaryArray::try_new(of, rows, Utf8ViewArray::from_slice_values(texts).boxed())?;
    Ok(Encoded { array: Box::new(array), encoding: Encoding::RleDictionary })
}

/// Texts of which hardly one is like another, one after the other.
struct Joined {
    text: Vec<u8>,
    /// Where each begins, and where the last one ends.
    bounds: Vec<i64>,
    are_there: MutableBitmap,
}

impl Default for Joined {
    fn default() -> Joined {
        Joined { text: Vec::new(), bounds: vec![0], are_there: MutableBitmap::new() }
    }
}

impl Joined {
    fn push(&mut self, text: Option<&str>) {
        self.text.extend_from_slice(text.unwrap_or_default().as_bytes());
        self.bounds.push(self.text.len() as i64);
        self.are_there.push(text.is_some());
    }

    fn array(self) -> PolarsResult<Utf8Array<i64>> {
        Utf8Array::try_new(ArrowDataType::LargeUtf8, self.bounds.try_into()?, self.text.into(), self.are_there.into())
    }
}

/// Numbers of names, owners or products, each by its place among those of the row group.
#[derive(Default)]
struct Numbers {
    /// One more than its place, by number.
    places: Vec<u32>,
    numbers: Vec<i64>,
    rows: Vec<u32>,
}

impl Numbers {
    fn push(&mut self, number: i64) {
        let at = number as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, 0);
        }
        if self.places[at] == 0 {
            self.numbers.push(number);
            self.places[at] = self.numbers.len() as u32;
        }
        self.rows.push(self.places[at] - 1);
    }

    /// The texts of the rows, of which each is there once: that of the name which each number stands for, if it is one.
    fn dictionary(&self, texts: &Texts, name: impl Fn(i64) -> i64) -> PolarsResult<Encoded> {
        let (mut known, mut there) = (HashMap::new(), Vec::new());
        let mut key = |number: &i64| {
            let name = name(*number);
            let text = texts.name(NameId(name))?;
            Some(*known.entry(name).or_insert_with(|| {
                there.push(text);
                there.len() as u32 - 1
            }))
        };
        let keys: Vec<Option<u32>> = self.numbers.iter().map(&mut key).collect();
        let rows = if keys.iter().all(Option::is_some) {
            let keys: Vec<u32> = keys.into_iter().flatten().collect();
            PrimitiveArray::from_vec(self.rows.iter().map(|row| keys[*row as usize]).collect())
        } else {
            PrimitiveArray::from_trusted_len_iter(self.rows.iter().map(|row| keys[*row as usize]))
        };
        dictionary(rows, &there)
    }

    /// The seven columns of owners or products.
    fn parts<'t>(&self, texts: &Texts, parts: impl Fn(i64) -> Option<&'t Dimensions>, to: &mut Vec<Encoded>) -> PolarsResult<()> {
        for place in 0..OWNER.len() {
            to.push(self.dictionary(texts, |number| parts(number).map_or(0, |parts| parts[place]))?);
        }
        Ok(())
    }
}

impl Cells for Columns {
    fn integer(&mut self, _: &'static str, value: Option<i64>) {
        let (height, most) = (self.height, self.most);
        if let (Column::Integer(values), Some(value)) = (self.next(), value) {
            values.put(value, height, most);
        }
    }

    fn money(&mut self, _: &'static str, value: Option<Amount>) {
        let (height, most) = (self.height, self.most);
        if let (Column::Money(values), Some(value)) = (self.next(), value) {
            values.put(value.units(), height, most);
        }
    }

    fn instant(&mut self, _: &'static str, at: Instant) {
        if let Column::Instant(values) = self.next() {
            values.push(at.micros());
        }
    }

    fn word(&mut self, _: &'static str, word: &str) {
        if let Column::Word(words) = self.next() {
            words.push(word);
        }
    }

    fn flag(&mut self, _: &'static str, value: bool) {
        if let Column::Flag(values) = self.next() {
            values.push(value);
        }
    }

    fn event_id(&mut self, _: &'static str, _: Option<EventNumber>) {
        self.next();
    }

    fn name(&mut self, _: &'static str, name: Option<NameId>) {
        if let Column::Name(numbers) = self.next() {
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
