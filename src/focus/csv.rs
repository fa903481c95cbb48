//! Rows as CSV, by RFC 4180. A decimal always has a point and never an exponent: readers guess the type of a column from
//! its texts, and one in which everything looks whole would not be decimal. What is null is an empty field. A text that a
//! spreadsheet would run as a formula gets an apostrophe in front, as in every table that is written here.

use crate::focus::row::{Cell, Row};
use crate::focus::{Version, column};
use crate::money::print_decimal;
use crate::report::table::csv_text;

pub fn header(version: Version) -> String {
    let names: Vec<&str> = column::of(version).map(|column| column.name).collect();
    names.join(",") + "\r\n"
}

pub fn write(rows: &[Row], version: Version, to: &mut String) {
    for row in rows {
        for (place, cell) in row.cells(version).enumerate() {
            if place > 0 {
                to.push(',');
            }
            match &cell {
                Cell::Text(text) => to.push_str(&csv_text(text)),
                other => to.push_str(&other.plain()),
            }
        }
        to.push_str("\r\n");
    }
}

impl Cell {
    /// As it is written where nothing is quoted.
    pub fn plain(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Decimal { units, places } => {
                let plain = print_decimal(*units, *places);
                if plain.contains('.') { plain } else { plain + ".0" }
            }
            Cell::Time(at) => at.to_utc().format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            Cell::None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    #[test]
    fn decimals_have_a_point_and_every_digit() {
        let decimal = |units, places| Cell::Decimal { units, places }.plain();
        assert_eq!(decimal(1050, 0), "1050.0");
        assert_eq!(decimal(-1, 24), "-0.000000000000000000000001");
        assert_eq!(decimal(150_000, 6), "0.15");
    }

    #[test]
    fn times_are_utc_to_the_second() {
        let at = Instant::parse("2026-10-25T03:00:00+02:00").unwrap();
        assert_eq!(Cell::Time(at).plain(), "2026-10-25T01:00:00Z");
    }

    #[test]
    fn a_name_that_is_a_formula_is_a_text() {
        assert_eq!(csv_text("=HYPERLINK(\"x\",1)"), "\"'=HYPERLINK(\"\"x\"\",1)\"");
    }
}
