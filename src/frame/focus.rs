//! The FOCUS export as Parquet: texts, UTC timestamps and `DECIMAL(38, ..)`. Rows are written in parts of bounded size, and the
//! parts are put together by the streaming engine when there are no more, so a large export needs no more memory than a part.
//! Statistics are off, because those of polars would make readers lose rows.

use crate::focus::column::{self, Kind};
use crate::focus::metadata::{PRECISION, scale};
use crate::focus::row::Cell;
use crate::focus::{Column, Row, Version};
use polars::prelude::{
    Column as Series, DataFrame, FileWriteFormat, Int64Chunked, Int128Chunked, IntoColumn, IntoLazy, LazyFrame, NewChunkedArray,
    ParquetWriteOptions, PlRefPath, PolarsError, PolarsResult, ScanArgsParquet, SinkDestination, SinkTarget, StatisticsOptions,
    TimeUnit, TimeZone, UnifiedSinkArgs, UnionArgs, concat,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

const PART: usize = 50_000;

pub struct Writer {
    path: PathBuf,
    version: Version,
    /// Rows of a part.
    part: usize,
    rows: Vec<Row>,
    parts: Vec<PathBuf>,
}

/// Writes what is received until there is no more. For a thread of its own and never inside of a task: polars waits by the
/// same means as the runtime does, and on one thread takes wake-ups that were not meant for it.
pub fn write_received(mut rows: mpsc::Receiver<Vec<Row>>, mut to: Writer) -> PolarsResult<()> {
    while let Some(some) = rows.blocking_recv() {
        to.add(&some)?;
    }
    to.finish()
}

impl Writer {
    pub fn new(path: &Path, version: Version) -> PolarsResult<Writer> {
        Writer::in_parts_of(PART, path, version)
    }

    pub fn in_parts_of(part: usize, path: &Path, version: Version) -> PolarsResult<Writer> {
        // Said now and not after the book was read.
        std::fs::File::create(path)?;
        Ok(Writer { path: path.to_owned(), version, part, rows: Vec::new(), parts: Vec::new() })
    }

    fn add(&mut self, rows: &[Row]) -> PolarsResult<()> {
        self.rows.extend_from_slice(rows);
        if self.rows.len() >= self.part { self.write_part() } else { Ok(()) }
    }

    fn write_part(&mut self) -> PolarsResult<()> {
        let part = self.path.with_added_extension(self.parts.len().to_string());
        self.parts.push(part.clone());
        write(data_frame(&self.rows, self.version)?.lazy(), &part)?;
        self.rows.clear();
        Ok(())
    }

    fn finish(mut self) -> PolarsResult<()> {
        if self.parts.is_empty() {
            return write(data_frame(&self.rows, self.version)?.lazy(), &self.path);
        }
        if !self.rows.is_empty() {
            self.write_part()?;
        }
        let scan = |part: &PathBuf| LazyFrame::scan_parquet(place(part), ScanArgsParquet::default());
        let parts = self.parts.iter().map(scan).collect::<PolarsResult<Vec<LazyFrame>>>()?;
        write(concat(parts, UnionArgs { maintain_order: true, ..UnionArgs::default() })?, &self.path)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        for part in &self.parts {
            let _ = std::fs::remove_file(part);
        }
    }
}

fn place(path: &Path) -> PlRefPath {
    PlRefPath::new(path.to_string_lossy())
}

fn write(frame: LazyFrame, path: &Path) -> PolarsResult<()> {
    let options = ParquetWriteOptions { statistics: StatisticsOptions::empty(), ..ParquetWriteOptions::default() };
    let target = SinkDestination::File { target: SinkTarget::Path(place(path)) };
    frame.sink(target, FileWriteFormat::Parquet(Arc::new(options)), UnifiedSinkArgs::default())?.collect()?;
    Ok(())
}

fn data_frame(rows: &[Row], version: Version) -> PolarsResult<DataFrame> {
    let columns = column::of(version).map(|column| series(column, rows)).collect::<PolarsResult<Vec<Series>>>()?;
    DataFrame::new(rows.len(), columns)
}

fn series(column: &Column, rows: &[Row]) -> PolarsResult<Series> {
    let name = column.name.into();
    let cells = rows.iter().map(column.of);
    match column.kind {
        Kind::Text | Kind::Json => {
            let texts: Vec<Option<String>> =
                cells.map(|cell| if let Cell::Text(text) = cell { Some(text) } else { None }).collect();
            Ok(Series::new(name, texts))
        }
        Kind::Time => {
            let times: Vec<Option<i64>> =
                cells.map(|cell| if let Cell::Time(at) = cell { Some(at.micros()) } else { None }).collect();
            let times = Int64Chunked::from_slice_options(name, &times);
            Ok(times.into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)).into_column())
        }
        Kind::Decimal => {
            let places = scale(column.name);
            let units = cells.map(|cell| units(column.name, cell, places)).collect::<PolarsResult<Vec<Option<i128>>>>()?;
            Ok(Int128Chunked::from_slice_options(name, &units).into_decimal(PRECISION, places as usize)?.into_column())
        }
    }
}

/// A decimal at the places of its column; no digit is lost, or it is not written.
fn units(column: &str, cell: Cell, places: u32) -> PolarsResult<Option<i128>> {
    let Cell::Decimal { units, places: has } = cell else { return Ok(None) };
    let spare = places.checked_sub(has).map(|spare| 10_i128.pow(spare));
    let fits =
        spare.and_then(|spare| units.checked_mul(spare)).filter(|units| units.unsigned_abs() < 10_u128.pow(PRECISION as u32));
    let too_large = || {
        PolarsError::ComputeError(
            format!("{column}: {} has no room in a decimal of {PRECISION} digits; write CSV", cell.plain()).into(),
        )
    };
    fits.ok_or_else(too_large).map(Some)
}
