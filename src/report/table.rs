//! Columns and rows, whatever they are printed as: aligned text, CSV or JSON. Sums stand below the rows, one line for each
//! currency, folded from the same entries and not from what is printed.

use crate::money::{Amount, Currency};
use std::fmt::Write;
use std::sync::Arc;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Cell>>,
    pub totals: Vec<Total>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: ColumnKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    Text,
    Count,
    Money,
    /// Hundredths of a percent.
    Percent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Text(Arc<str>),
    Count(i64),
    Money(Amount),
    Percent(i64),
    /// There is none: a dimension without a value, a part of nothing.
    None,
}

/// The sums of all rows of a currency, in the columns of the rows; where a column has no sum, nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    pub currency: Currency,
    pub amount: Amount,
    pub calls: i64,
    pub cells: Vec<Cell>,
}

impl Column {
    pub fn new(name: impl Into<String>, kind: ColumnKind) -> Column {
        Column { name: name.into(), kind }
    }
}

impl Cell {
    pub fn text(text: impl Into<Arc<str>>) -> Cell {
        Cell::Text(text.into())
    }

    /// As it is written where nothing is aligned.
    pub fn plain(&self) -> String {
        match self {
            Cell::Text(text) => text.to_string(),
            Cell::Count(count) => count.to_string(),
            Cell::Money(amount) => amount.to_string(),
            Cell::Percent(hundredths) => percent(*hundredths),
            Cell::None => String::new(),
        }
    }

    fn json(&self) -> String {
        match self {
            Cell::Count(count) => count.to_string(),
            Cell::None => "null".to_owned(),
            other => serde_json::to_string(&other.plain()).expect("text is always JSON"),
        }
    }
}

impl Table {
    /// Aligned for reading: texts to the left, numbers to the right, money on its point.
    pub fn to_text(&self) -> String {
        let places: Vec<usize> = (0..self.columns.len())
            .map(|column| self.rows.iter().map(|row| decimals(&row[column])).max().unwrap_or(0).max(2))
            .collect();
        let shown = |(cell, places): (&Cell, &usize)| match cell {
            Cell::None => "-".to_owned(),
            Cell::Count(count) => grouped(*count),
            Cell::Money(amount) => padded(*amount, *places),
            other => other.plain(),
        };
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().zip(&places).map(shown).collect()).collect();
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.name.chars().count()).collect();
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        let header: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        for row in std::iter::once(&header).chain(&rows) {
            let mut line = String::new();
            for ((cell, width), column) in row.iter().zip(&widths).zip(&self.columns) {
                let space = " ".repeat(width - cell.chars().count());
                let _ = match column.kind {
                    ColumnKind::Text => write!(line, "{cell}{space}  "),
                    ColumnKind::Count | ColumnKind::Money | ColumnKind::Percent => write!(line, "{space}{cell}  "),
                };
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// RFC 4180. A cell that a spreadsheet would run as a formula gets an apostrophe in front.
    pub fn to_csv(&self) -> String {
        let header: Vec<String> = self.columns.iter().map(|column| csv_text(&column.name)).collect();
        let mut csv = header.join(",");
        csv.push_str("\r\n");
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(csv_cell).collect();
            csv.push_str(&cells.join(","));
            csv.push_str("\r\n");
        }
        csv
    }

    /// An array of objects; money and percentages are strings.
    pub fn to_json(&self) -> String {
        let rows: Vec<String> = self.rows.iter().map(|row| self.json_row(row, |_| true)).collect();
        format!("[{}]", rows.join(",\n "))
    }

    /// The sums by currency; dimensions have none.
    pub fn totals_to_json(&self) -> String {
        let totals: Vec<String> =
            self.totals.iter().map(|total| self.json_row(&total.cells, |cell| *cell != Cell::None)).collect();
        format!("[{}]", totals.join(","))
    }

    fn json_row(&self, row: &[Cell], wanted: impl Fn(&Cell) -> bool) -> String {
        let string = |text: &str| serde_json::to_string(text).expect("text is always JSON");
        let cells = self.columns.iter().zip(row).filter(|(_, cell)| wanted(cell));
        let fields: Vec<String> = cells.map(|(column, cell)| format!("{}:{}", string(&column.name), cell.json())).collect();
        format!("{{{}}}", fields.join(","))
    }
}

fn csv_cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => csv_text(text),
        other => other.plain(),
    }
}

fn csv_text(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let safe = if formula { format!("'{text}") } else { text.to_owned() };
    if safe.contains([',', '"', '\n', '\r']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

/// `12.34`, of hundredths of a percent.
fn percent(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.unsigned_abs() / 100, hundredths.unsigned_abs() % 100)
}

fn decimals(cell: &Cell) -> usize {
    match cell {
        Cell::Money(amount) => amount.to_string().split_once('.').map_or(0, |(_, decimals)| decimals.len()),
        _ => 0,
    }
}

/// Money on its point: short amounts are filled with spaces after two decimals, no digit is added or lost.
fn padded(amount: Amount, places: usize) -> String {
    let plain = amount.with_places(2);
    let decimals = plain.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    format!("{plain}{}", " ".repeat(places.saturating_sub(decimals)))
}

/// `1 234 567`
pub fn grouped(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let sign = if count < 0 { "-" } else { "" };
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits are ASCII")).collect();
    format!("{sign}{}", groups.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_well() {
        let money = |text: &str| Cell::Money(Amount::parse(text).unwrap());
        let row = |user: Cell, amount: &str, share: i64| {
            vec![user, money(amount), Cell::text("USD"), Cell::Count(1), Cell::Percent(share)]
        };
        let table = Table {
            columns: vec![
                Column::new("user", ColumnKind::Text),
                Column::new("amount", ColumnKind::Money),
                Column::new("currency", ColumnKind::Text),
                Column::new("calls", ColumnKind::Count),
                Column::new("share", ColumnKind::Percent),
            ],
            rows: vec![row(Cell::None, "1234.00117", 9996), row(Cell::text("bo"), "0.5", 4)],
            totals: Vec::new(),
        };
        assert_eq!(
            table.to_text(),
            "user      amount  currency  calls  share\n\
             -     1234.00117  USD           1  99.96\n\
             bo       0.50     USD           1   0.04\n"
        );
        assert_eq!(
            table.to_json(),
            "[{\"user\":null,\"amount\":\"1234.00117\",\"currency\":\"USD\",\"calls\":1,\"share\":\"99.96\"},\n \
             {\"user\":\"bo\",\"amount\":\"0.5\",\"currency\":\"USD\",\"calls\":1,\"share\":\"0.04\"}]"
        );
    }

    #[test]
    fn a_formula_in_a_cell_is_text() {
        let text = |text: &str| csv_cell(&Cell::text(text));
        assert_eq!(text("=cmd|' /C calc'!A0,\"x\""), "\"'=cmd|' /C calc'!A0,\"\"x\"\"\"");
        assert_eq!((text("-1+1"), text("@sum"), text("\tx")), ("'-1+1".to_owned(), "'@sum".to_owned(), "'\tx".to_owned()));
        assert_eq!(csv_cell(&Cell::Money(Amount::parse("-1.5").unwrap())), "-1.5", "a number is one");
        assert_eq!(percent(-5), "-0.05");
    }
}
