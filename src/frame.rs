//! Tables as Parquet, written with polars: money as `DECIMAL(38, 24)`, so that no reader rounds it.

pub mod focus;

use crate::money::PLACES;
use crate::report::{Cell, ColumnKind, Table};
use polars::prelude::*;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes a table to a file. Minimum and maximum statistics are off: polars writes wrong ones for decimals of mixed sign,
/// and a reader that trusts them loses rows.
pub fn write_parquet(table: &Table, path: &Path) -> PolarsResult<()> {
    let options = ParquetWriteOptions {
        statistics: StatisticsOptions { min_value: false, max_value: false, ..StatisticsOptions::default() },
        ..ParquetWriteOptions::default()
    };
    let target = SinkDestination::File { target: SinkTarget::Path(PlRefPath::new(path.to_string_lossy())) };
    let format = FileWriteFormat::Parquet(Arc::new(options));
    data_frame(table)?.lazy().sink(target, format, UnifiedSinkArgs::default())?.collect()?;
    Ok(())
}

/// The same as bytes. The writer for files gives strings that every reader knows, so it is the only one that is used.
pub fn to_parquet(table: &Table) -> PolarsResult<Vec<u8>> {
    static FILES: AtomicU64 = AtomicU64::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("farthing-{}-{number}.parquet", std::process::id()));
    let written = write_parquet(table, &path).and_then(|()| Ok(std::fs::read(&path)?));
    let _ = std::fs::remove_file(&path);
    written
}

fn data_frame(table: &Table) -> PolarsResult<DataFrame> {
    let mut columns = Vec::with_capacity(table.columns.len());
    for (place, column) in table.columns.iter().enumerate() {
        let cells = table.rows.iter().map(|row| &row[place]);
        let name = column.name.as_str().into();
        columns.push(match column.kind {
            ColumnKind::Text => {
                let texts: Vec<Option<&str>> =
                    cells.map(|cell| if let Cell::Text(text) = cell { Some(&**text) } else { None }).collect();
                Column::new(name, texts)
            }
            ColumnKind::Count => {
                let counts: Vec<Option<i64>> =
                    cells.map(|cell| if let Cell::Count(count) = cell { Some(*count) } else { None }).collect();
                Column::new(name, counts)
            }
            ColumnKind::Money => {
                let amounts: Vec<Option<i128>> =
                    cells.map(|cell| if let Cell::Money(amount) = cell { Some(amount.units()) } else { None }).collect();
                decimals(name, &amounts, 38, PLACES as usize)?
            }
            ColumnKind::Percent => {
                let hundredths: Vec<Option<i128>> =
                    cells.map(|cell| if let Cell::Percent(share) = cell { Some(i128::from(*share)) } else { None }).collect();
                decimals(name, &hundredths, 38, 2)?
            }
        });
    }
    DataFrame::new(table.rows.len(), columns)
}

fn decimals(name: PlSmallStr, units: &[Option<i128>], digits: usize, places: usize) -> PolarsResult<Column> {
    Ok(Int128Chunked::from_slice_options(name, units).into_decimal(digits, places)?.into_column())
}
