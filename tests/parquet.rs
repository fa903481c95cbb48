//! Reports as Parquet, over the socket and from the command line, read back by a reader that knows nothing of ours: the
//! schema says `DECIMAL(38,24)`, every digit is there, and what has no value is null.

use crate::support::database::TestDatabase;
use crate::support::service::Service;
use polars::prelude::*;
use serde_json::json;

#[test]
fn a_report_as_parquet_has_every_digit_and_every_null() {
    let database = TestDatabase::sqlite();
    let service = Service::start(&database);
    let event = |id: &str, user: Option<&str>, input: u64| {
        json!({"id": id, "source": "gw", "occurred_at": "2026-10-01T12:00:00Z", "provider": "openai", "model": "gpt-4o-mini",
               "user": user, "usage": {"input": input}})
    };
    let events = json!([event("a", Some("ann"), 1), event("b", None, 7), event("c", Some("ann"), 2)]);
    assert_eq!(service.post("/v1/events", events.to_string()).status, 200);

    let answer = service.get("/v1/reports/spend?group_by=user,model&format=parquet");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.head.to_lowercase().contains("content-type: application/vnd.apache.parquet"), "{}", answer.head);
    holds_the_three_events(&answer.body);

    let file = database.directory().join("spend.parquet");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_farthing"));
    command.args(["report", "spend", "--by", "user,model", "--format", "parquet", "-o"]).arg(&file);
    assert!(command.env("DATABASE_URL", &database.url).status().unwrap().success());
    holds_the_three_events(&std::fs::read(&file).unwrap());
}

/// What polars would say of the pages of a file is wrong, and a reader that trusts it loses rows.
pub fn nothing_is_said_of_its_pages(parquet: &[u8]) {
    let mut reader = ParquetReader::new(std::io::Cursor::new(parquet));
    let groups = &reader.get_metadata().unwrap().row_groups;
    for column in groups.iter().flat_map(|group| group.parquet_columns()) {
        assert_eq!(column.column_index_offset(), None, "{:?}", column.descriptor().path_in_schema);
    }
}

/// At 0.15 USD per million tokens.
fn holds_the_three_events(parquet: &[u8]) {
    nothing_is_said_of_its_pages(parquet);
    let frame = ParquetReader::new(std::io::Cursor::new(parquet)).finish().unwrap();
    let columns: Vec<&str> = frame.columns().iter().map(|column| column.name().as_str()).collect();
    assert_eq!(columns, ["user", "model", "amount", "currency", "calls"]);
    assert_eq!(frame.column("amount").unwrap().dtype(), &DataType::Decimal(38, 24));
    let users = frame.column("user").unwrap().str().unwrap().clone();
    let models = frame.column("model").unwrap().str().unwrap().clone();
    let amounts = frame.column("amount").unwrap().decimal().unwrap().physical().clone();
    let calls = frame.column("calls").unwrap().i64().unwrap().clone();
    let rows: Vec<_> =
        (0..frame.height()).map(|row| (users.get(row), models.get(row), amounts.get(row), calls.get(row))).collect();
    let dollars_24 = |per_million_tokens: i128| Some(per_million_tokens * 10_i128.pow(24 - 2 - 6));
    assert_eq!(
        rows,
        [
            (None, Some("gpt-4o-mini"), dollars_24(15 * 7), Some(1)),
            (Some("ann"), Some("gpt-4o-mini"), dollars_24(15 * 3), Some(2)),
        ]
    );
}
