//! What the specification wants to be told beside a file: by whom it was made, which version it is of, and how each column is
//! to be read.

use crate::focus::Version;
use crate::focus::column::{self, Kind};
use crate::time::Instant;
use serde_json::{Value, json};

/// How many digits a decimal has, and how many of them are behind the point.
pub const PRECISION: usize = 38;

/// Counts of tokens are larger than amounts of money and need fewer places.
pub fn scale(column: &str) -> u32 {
    if matches!(column, "ConsumedQuantity" | "CommitmentDiscountQuantity" | "x_Calls") { 6 } else { crate::money::PLACES }
}

pub fn metadata(version: Version, created: Instant) -> String {
    let columns: Vec<Value> = column::of(version)
        .map(|column| match column.kind {
            Kind::Text => json!({"ColumnName": column.name, "DataType": "String", "StringEncoding": "UTF-8"}),
            Kind::Json => json!({"ColumnName": column.name, "DataType": "JSON", "StringEncoding": "UTF-8"}),
            Kind::Time => json!({"ColumnName": column.name, "DataType": "Date/Time"}),
            Kind::Decimal => json!({"ColumnName": column.name, "DataType": "Decimal",
                                    "NumericPrecision": PRECISION, "NumberScale": scale(column.name)}),
        })
        .collect();
    // The same columns are the same schema, whenever they were written.
    let text = Value::Array(columns.clone()).to_string();
    let id = blake3::hash(text.as_bytes()).to_hex();
    let created = created.to_utc().format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let metadata = json!({
        "DataGenerator": {"DataGenerator": "Farthing", "DataGeneratorVersion": env!("CARGO_PKG_VERSION")},
        "Schema": [{
            "SchemaId": format!("{version}-{}", &id[..16]),
            "FocusVersion": version.name(),
            "CreationDate": created,
            "ColumnDefinition": columns,
        }],
    });
    serde_json::to_string_pretty(&metadata).expect("texts and numbers are always JSON") + "\n"
}
