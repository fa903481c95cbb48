//! Entries as Parquet, row group by row group, so that memory is bounded by one of them: money as `DECIMAL(38, 24)`, instants
//! in UTC, names and words by dictionaries. Statistics are off, because those of polars would make readers lose rows. The file
//! carries no Arrow schema of polars' own, which would ask readers for a kind of string that not all of them know; its
//! Parquet types say everything, and its encodings are the two that every reader knows.

mod columns;

use crate::export::manifest::Sums;
use crate::export::{Notation, Row, Texts};
use crate::ledger::EntryKind;
use crate::money::{Amount, Currency, PLACES};
use columns::{Columns, Encoded, schema};
use polars::prelude::*;
use polars_parquet::parquet::error::ParquetError;
use polars_parquet::write::{
    CompressionOptions, Compressor, DynIter, DynStreamingIterator, FallibleStreamingIterator, FileWriter, ParquetType, Version,
    WriteOptions, ZstdLevel, array_to_columns,
};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::thread::{Builder, JoinHandle};

/// Large enough for readers to skip and to scan, and about what they make themselves; small enough to be kept.
const ROW_GROUP: usize = 100_000;

/// The next levels take twice as long for files that are a twentieth smaller.
const LEVEL: i32 = 1;

pub fn notation() -> Box<dyn Notation> {
    Box::new(Parquet::of_row_groups(ROW_GROUP))
}

/// A file in the making.
pub struct Parquet {
    row_group: usize,
    columns: Columns,
    /// Nothing before it was begun and after it broke off.
    encoder: Option<Encoder>,
    written: Buffer,
}

enum Encoder {
    Waits(Writer),
    /// Encodes the row group before while this one is filled, and hands the writer on.
    Works(JoinHandle<PolarsResult<Writer>>),
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

type Writer = Box<FileWriter<Buffer>>;

impl Parquet {
    /// With so many rows to a row group.
    pub fn of_row_groups(rows: usize) -> Parquet {
        Parquet { row_group: rows, columns: Columns::new(rows), encoder: None, written: Buffer::default() }
    }

    /// Begins to encode the rows, as soon as those before are encoded.
    fn encode(&mut self, texts: &Texts, to: &mut Vec<u8>) -> PolarsResult<()> {
        let (rows, columns) = (self.columns.height(), self.columns.take(texts)?);
        let mut writer = self.writer(to)?;
        let encode = move || row_group(&mut writer, rows, columns).map(|()| writer);
        self.encoder = Some(Encoder::Works(Builder::new().name("parquet".to_owned()).spawn(encode)?));
        Ok(())
    }

    /// The writer, and all that it has written by then.
    fn writer(&mut self, to: &mut Vec<u8>) -> PolarsResult<Writer> {
        let broke_off = || polars_err!(ComputeError: "the thread that encodes broke off");
        let writer = match self.encoder.take().ok_or_else(broke_off)? {
            Encoder::Waits(writer) => writer,
            Encoder::Works(thread) => thread.join().map_err(|_| broke_off())??,
        };
        to.append(&mut self.written.bytes());
        Ok(writer)
    }
}

fn options() -> PolarsResult<WriteOptions> {
    let compression = CompressionOptions::Zstd(Some(ZstdLevel::try_new(LEVEL)?));
    Ok(WriteOptions { statistics: StatisticsOptions::empty(), compression, version: Version::V1, data_page_size: None })
}

/// Encodes and compresses column by column, and lets go of each that is written.
fn row_group(writer: &mut FileWriter<Buffer>, rows: usize, columns: Vec<Encoded>) -> PolarsResult<()> {
    let (options, types) = (writer.options(), writer.parquet_schema().fields().to_vec());
    let pages = move |(Encoded { array, encoding }, of): (Encoded, ParquetType)| {
        let pages = array_to_columns(array, of, options, &[encoding])?.into_iter().flatten();
        let pages = pages.map(|page| page.map_err(|e| ParquetError::FeatureNotSupported(e.to_string())));
        let pages = Compressor::new(pages, options.compression, Vec::new());
        Ok(DynStreamingIterator::new(pages.map_err(PolarsError::from)))
    };
    writer.write(rows as u64, DynIter::new(columns.into_iter().zip(types).map(pages)))
}

impl Notation for Parquet {
    fn begin(&mut self, _: &mut Vec<u8>) -> Result<(), String> {
        let writer = options().and_then(|options| FileWriter::try_new(self.written.clone(), schema(), options));
        self.encoder = Some(Encoder::Waits(Box::new(writer.map_err(|e| e.to_string())?)));
        Ok(())
    }

    fn rows(&mut self, rows: &[Row], texts: &Texts, to: &mut Vec<u8>) -> Result<(), String> {
        let mut left = rows;
        while !left.is_empty() {
            let (these, others) = left.split_at(left.len().min(self.row_group - self.columns.height()));
            these.iter().for_each(|row| self.columns.add(row, texts));
            left = others;
            if self.columns.height() == self.row_group {
                self.encode(texts, to).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }

    fn end(&mut self, texts: &Texts, to: &mut Vec<u8>) -> Result<(), String> {
        if self.columns.height() > 0 {
            self.encode(texts, to).map_err(|e| e.to_string())?;
        }
        let mut writer = self.writer(to).map_err(|e| e.to_string())?;
        // What would be said of the file besides its types: nothing.
        writer.end(Some(Vec::new())).map_err(|e| e.to_string())?;
        to.append(&mut self.written.bytes());
        Ok(())
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
