//! The columns of a segment as Parquet. No statistics are written of them: whoever reads a file knows from elsewhere which range
//! it is of.

use super::Values;
use polars::prelude::*;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

/// Writes columns to a new file, and waits until the disk has it.
pub fn write(path: &Path, columns: Vec<(String, Values)>) -> PolarsResult<()> {
    let rows = columns.first().map_or(0, |(_, values)| values.len());
    let columns = columns.into_iter().map(|(name, values)| {
        let name = PlSmallStr::from_string(name);
        match values {
            Values::Numbers(numbers) => Ok(UInt32Chunked::from_vec(name, numbers).into_column()),
            Values::Integers(integers) => Ok(Int64Chunked::from_vec(name, integers).into_column()),
            Values::Instants(integers) => {
                let utc = DataType::Datetime(TimeUnit::Microseconds, None);
                Int64Chunked::from_vec(name, integers).into_column().cast(&utc)
            }
            Values::Some(integers) => Ok(Int64Chunked::from_slice_options(name, &integers).into_column()),
        }
    });
    let mut frame = DataFrame::new(rows, columns.collect::<PolarsResult<_>>()?)?;
    let file = File::create_new(path)?;
    let writer = ParquetWriter::new(&file).with_statistics(StatisticsOptions::empty());
    writer.with_row_group_size(Some(rows.max(1))).finish(&mut frame)?;
    Ok(file.sync_all()?)
}

/// Some columns of a file, each once, in the order in which they are asked for.
pub fn read(path: &Path, names: &[&str]) -> PolarsResult<Vec<Values>> {
    let wanted: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let reader = ParquetReader::new(File::open(path)?).with_columns(Some(wanted)).read_parallel(ParallelStrategy::None);
    let frame = reader.finish()?;
    let mut columns: HashMap<String, Column> =
        frame.into_columns().into_iter().map(|column| (column.name().to_string(), column)).collect();
    let mut column = |name: &&str| columns.remove(*name).ok_or_else(|| polars_err!(ColumnNotFound: "{name}")).and_then(values);
    names.iter().map(&mut column).collect()
}

fn values(column: Column) -> PolarsResult<Values> {
    let has_all = column.null_count() == 0;
    Ok(match column.dtype() {
        DataType::UInt32 => Values::Numbers(all(column.u32()?.clone(), column)),
        DataType::Int64 if has_all => Values::Integers(all(column.i64()?.clone(), column)),
        DataType::Int64 => Values::Some(column.i64()?.iter().collect()),
        DataType::Datetime(TimeUnit::Microseconds, _) => Values::Instants(all(column.datetime()?.physical().clone(), column)),
        other => polars_bail!(SchemaMismatch: "column {} is of {other}, which no column of a segment is", column.name()),
    })
}

/// The numbers of a column. Once nobody shares them, those of one that was read in one piece are not copied.
fn all<T: PolarsNumericType>(numbers: ChunkedArray<T>, column: Column) -> Vec<T::Native> {
    drop(column);
    let mut all = Vec::new();
    for chunk in numbers.downcast_into_iter() {
        let (_, buffer, _) = chunk.into_inner();
        let more = buffer.into_mut().either(|shared| shared.to_vec(), |own| own);
        if all.is_empty() {
            all = more;
        } else {
            all.extend(more);
        }
    }
    all
}
