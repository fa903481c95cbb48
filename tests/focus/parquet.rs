//! The same rows as Parquet, read back: every cell is the one of the CSV, whether the file was written at once or in parts.

use super::{Book, Row};
use crate::support::database::{TestDatabase, block_on};
use farthing::flow::focus::Wish;
use farthing::focus::Version;
use farthing::frame::focus::Writer;
use polars::prelude::*;

#[test]
fn a_parquet_file_has_the_cells_of_the_csv() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let book = Book::random(&database, 17).await;
        let (expected, _) = book.export(&Wish::default(), Version::V1_4).await;
        let file = database.directory().join("focus.parquet");
        for part in [usize::MAX, 100] {
            let (to, mut rows) = tokio::sync::mpsc::channel(4);
            let mut writer = Writer::in_parts_of(part, &file, Version::V1_4).unwrap();
            let write = async {
                while let Some(some) = rows.recv().await {
                    // Fewer at a time than the flow hands on.
                    some.chunks(64).for_each(|some| writer.add(some).unwrap());
                }
            };
            let (exported, ()) = tokio::join!(book.farthing.focus(book.org, &Wish::default(), to), write);
            exported.unwrap();
            tokio::task::block_in_place(|| writer.finish()).unwrap();
            let frame = tokio::task::block_in_place(|| ParquetReader::new(std::fs::File::open(&file).unwrap()).finish()).unwrap();
            assert_eq!(read(&frame), expected);
            let left = std::fs::read_dir(database.directory()).unwrap().filter_map(Result::ok);
            assert_eq!(left.filter(|file| file.file_name().to_string_lossy().contains("parquet")).count(), 1, "no part is left");
        }
    });
}

fn read(frame: &DataFrame) -> Vec<Row> {
    let row = |place: usize| frame.columns().iter().map(|column| (column.name().to_string(), text(column, place))).collect();
    (0..frame.height()).map(row).collect()
}

fn text(column: &Column, place: usize) -> String {
    match column.get(place).unwrap() {
        AnyValue::Null => String::new(),
        // In CSV it has an apostrophe in front.
        AnyValue::String(text) if text.starts_with('=') => format!("'{text}"),
        AnyValue::String(text) => text.to_owned(),
        AnyValue::Decimal(units, 38, places) => decimal(units, places),
        AnyValue::Datetime(micros, TimeUnit::Microseconds, Some(zone)) => {
            assert_eq!(zone.as_str(), "UTC");
            chrono::DateTime::from_timestamp_micros(micros).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string()
        }
        other => panic!("{}: {other:?}", column.name()),
    }
}

/// With at least one decimal and no zeros after it.
fn decimal(units: i128, places: usize) -> String {
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = places + 1);
    let (whole, decimals) = digits.split_at(digits.len() - places);
    let decimals = decimals.trim_end_matches('0');
    format!("{}{whole}.{}", if units < 0 { "-" } else { "" }, if decimals.is_empty() { "0" } else { decimals })
}
