//! Tables as Parquet, written with polars: money as `DECIMAL(38, 24)`, so that no reader rounds it.

pub mod entries;
pub mod focus;

use crate::money::{Amount, PLACES};
use crate::report::{Cells, Table};
use crate::scratch::Scratch;
use polars::prelude::*;
use std::path::Path;

/// Writes a table to a file, without statistics as every file here: of decimals of mixed sign polars writes wrong bounds, and
/// where it is only to count what is missing it says of every page that nothing is on it. A reader that trusts either loses rows.
pub fn write_parquet(table: &Table, path: &Path) -> PolarsResult<()> {
    let options = ParquetWriteOptions { statistics: StatisticsOptions::empty(), ..ParquetWriteOptions::default() };
    let target = SinkDestination::File { target: SinkTarget::Path(PlRefPath::new(path.to_string_lossy())) };
    let format = FileWriteFormat::Parquet(Arc::new(options));
    data_frame(table)?.lazy().sink(target, format, UnifiedSinkArgs::default())?.collect()?;
    Ok(())
}

/// The same as bytes. The writer for files gives strings that every reader knows, so it is the only one that is used.
pub fn to_parquet(table: &Table) -> PolarsResult<Vec<u8>> {
    let scratch = Scratch::new()?;
    let file = scratch.file("table.parquet");
    write_parquet(table, &file)?;
    Ok(std::fs::read(file)?)
}

fn data_frame(table: &Table) -> PolarsResult<DataFrame> {
    let mut columns = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let name = column.name.as_str().into();
        columns.push(match &column.cells {
            Cells::Text { texts, places } => {
                let text = |place: &u32| texts[*place as usize].as_deref();
                Column::new(name, places.iter().map(text).collect::<Vec<Option<&str>>>())
            }
            Cells::Count(counts) => Column::new(name, counts),
            Cells::Money(amounts) => {
                let units: Vec<Option<i128>> = amounts.iter().map(|amount| amount.map(Amount::units)).collect();
                decimals(name, &units, 38, PLACES as usize)?
            }
            Cells::Percent(shares) => {
                let hundredths: Vec<Option<i128>> = shares.iter().map(|share| share.map(i128::from)).collect();
                decimals(name, &hundredths, 38, 2)?
            }
        });
    }
    DataFrame::new(table.len(), columns)
}

fn decimals(name: PlSmallStr, units: &[Option<i128>], digits: usize, places: usize) -> PolarsResult<Column> {
    Ok(Int128Chunked::from_slice_options(name, units).into_decimal(digits, places)?.into_column())
}
