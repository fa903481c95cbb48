//! The same rows as Parquet, read back: every cell is the one of the CSV, whether the file was written at once or in parts.

use super::{Book, Row};
use crate::support::database::{TestDatabase, block_on};
use crate::support::service::Service;
use farthing::flow::focus::Wish;
use farthing::focus::Version;
use farthing::frame::focus::{Writer, write_received};
use polars::prelude::*;

#[test]
fn a_parquet_file_has_the_cells_of_the_csv() {
    let database = TestDatabase::sqlite();
    block_on(async {
        let book = Book::random(&database, 17).await;
        let everything = Wish::default();
        let (expected, _) = book.export(&everything, Version::V1_4).await;
        let file = database.directory().join("focus.parquet");
        for part in [usize::MAX, 100] {
            let (to, rows) = tokio::sync::mpsc::channel(4);
            let writer = Writer::in_parts_of(part, &file, Version::V1_4).unwrap();
            let writing = tokio::task::spawn_blocking(move || write_received(rows, writer));
            book.farthing.focus(book.org, &everything, to).await.unwrap();
            writing.await.unwrap().unwrap();
            let written = std::fs::read(&file).unwrap();
            crate::parquet::nothing_is_said_of_its_pages(&written);
            let frame = ParquetReader::new(std::io::Cursor::new(written)).finish().unwrap();
            assert_eq!(read(&frame), expected);
            let left = std::fs::read_dir(database.directory()).unwrap().filter_map(Result::ok);
            assert_eq!(left.filter(|file| file.file_name().to_string_lossy().contains("parquet")).count(), 1, "no part is left");
        }
    });
    // The doors write the same.
    let service = Service::start(&database);
    let sent = service.get("/v1/exports/focus?format=parquet");
    assert_eq!(sent.header("content-type"), Some("application/vnd.apache.parquet"), "{}", sent.text());
    let file = database.directory().join("cli.parquet");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_farthing"));
    command.args(["export", "focus", "--format", "parquet", "-o"]).arg(&file).env("DATABASE_URL", &database.url);
    assert!(command.status().unwrap().success());
    let [sent, written] = [sent.body, std::fs::read(&file).unwrap()]
        .map(|bytes| read(&ParquetReader::new(std::io::Cursor::new(bytes)).finish().unwrap()));
    assert!(sent == written && sent.len() > 100);
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
