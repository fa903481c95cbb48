//! Columns and rows, whatever they are printed as: aligned text, CSV or JSON. Sums stand below the rows, one line for each
//! currency, folded from the same entries and not from what is printed.

use crate::money::{Amount, Currency};
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

/// What stands in the place of a value in the line of what is left.
pub const THE_REST: &str = "(the rest)";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<Column>,
    pub totals: Vec<Total>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub cells: Cells,
}

/// The cells of a column. An answer may have a million rows: a text that many of them have is kept once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cells {
    /// For each row which of the texts it has; one of them may be none.
    Text {
        texts: Vec<Option<Arc<str>>>,
        places: Vec<u32>,
    },
    Count(Vec<Option<i64>>),
    Money(Vec<Option<Amount>>),
    /// Hundredths of a percent.
    Percent(Vec<Option<i64>>),
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
    pub fn new(name: impl Into<String>, cells: Cells) -> Column {
        Column { name: name.into(), cells }
    }
}

impl Cells {
    /// Texts that are not known to repeat.
    pub fn texts(all: impl IntoIterator<Item = Option<Arc<str>>>) -> Cells {
        let texts: Vec<Option<Arc<str>>> = all.into_iter().collect();
        Cells::Text { places: (0..texts.len() as u32).collect(), texts }
    }

    fn len(&self) -> usize {
        match self {
            Cells::Text { places, .. } => places.len(),
            Cells::Money(amounts) => amounts.len(),
            Cells::Count(numbers) | Cells::Percent(numbers) => numbers.len(),
        }
    }

    pub fn cell(&self, row: usize) -> Cell {
        match self {
            Cells::Text { texts, places } => texts[places[row] as usize].clone().map_or(Cell::None, Cell::Text),
            Cells::Count(counts) => counts[row].map_or(Cell::None, Cell::Count),
            Cells::Money(amounts) => amounts[row].map_or(Cell::None, Cell::Money),
            Cells::Percent(shares) => shares[row].map_or(Cell::None, Cell::Percent),
        }
    }

    /// Texts stand on the left of their column, numbers on the right.
    pub const fn is_text(&self) -> bool {
        matches!(self, Cells::Text { .. })
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
    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, |column| column.cells.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn row(&self, row: usize) -> Vec<Cell> {
        self.columns.iter().map(|column| column.cells.cell(row)).collect()
    }

    pub fn rows(&self) -> impl Iterator<Item = Vec<Cell>> {
        (0..self.len()).map(|row| self.row(row))
    }

    /// Aligned for reading: texts to the left, numbers to the right, money on its point.
    pub fn to_text(&self) -> String {
        self.aligned(|text, _| text)
    }

    /// The same for a terminal that shows colours: names of columns stand out, what is negative is red, the rest is dim.
    pub fn to_terminal(&self) -> String {
        self.aligned(|text, shade| match shade {
            Shade::Name => format!("\x1b[1m{text}\x1b[0m"),
            Shade::Negative => format!("\x1b[31m{text}\x1b[0m"),
            Shade::Dim => format!("\x1b[2m{text}\x1b[0m"),
            Shade::Plain => text,
        })
    }

    fn aligned(&self, paint: impl Fn(String, Shade) -> String) -> String {
        let places: Vec<usize> = self.columns.iter().map(|column| decimals(&column.cells).max(2)).collect();
        let shown = |(cell, places): (Cell, &usize)| match cell {
            Cell::None => "-".to_owned(),
            Cell::Count(count) => grouped(count),
            Cell::Money(amount) => padded(amount, *places),
            other => other.plain(),
        };
        let shades: Vec<Vec<Shade>> = self.rows().map(|row| row.iter().map(Shade::of).collect()).collect();
        let rows: Vec<Vec<String>> = self.rows().map(|row| row.into_iter().zip(&places).map(shown).collect()).collect();
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.name.chars().count()).collect();
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        let header: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let of_header = vec![Shade::Name; header.len()];
        for (row, shades) in std::iter::once((&header, &of_header)).chain(rows.iter().zip(&shades)) {
            let mut line = String::new();
            for (((cell, shade), width), column) in row.iter().zip(shades).zip(&widths).zip(&self.columns) {
                let space = " ".repeat(width - cell.chars().count());
                let cell = paint(cell.clone(), *shade);
                let _ = match column.cells.is_text() {
                    true => write!(line, "{cell}{space}  "),
                    false => write!(line, "{space}{cell}  "),
                };
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// RFC 4180. A cell that a spreadsheet would run as a formula gets an apostrophe in front.
    pub fn to_csv(&self) -> String {
        let header: Vec<Cow<str>> = self.columns.iter().map(|column| csv_text(&column.name)).collect();
        let mut csv = header.join(",");
        csv.push_str("\r\n");
        for row in 0..self.len() {
            for (place, column) in self.columns.iter().enumerate() {
                csv.push_str(if place == 0 { "" } else { "," });
                csv.push_str(&csv_cell(&column.cells.cell(row)));
            }
            csv.push_str("\r\n");
        }
        csv
    }

    /// An array of objects; money and percentages are strings.
    pub fn to_json(&self) -> String {
        let names = self.json_names();
        let mut json = "[".to_owned();
        for (place, row) in self.rows().enumerate() {
            json.push_str(if place == 0 { "" } else { ",\n " });
            write_object(&names, &row, |_| true, &mut json);
        }
        json + "]"
    }

    /// The sums by currency; dimensions have none.
    pub fn totals_to_json(&self) -> String {
        let names = self.json_names();
        let mut json = "[".to_owned();
        for (place, total) in self.totals.iter().enumerate() {
            json.push_str(if place == 0 { "" } else { "," });
            write_object(&names, &total.cells, |cell| *cell != Cell::None, &mut json);
        }
        json + "]"
    }

    fn json_names(&self) -> Vec<String> {
        let string = |column: &Column| serde_json::to_string(&column.name).expect("text is always JSON");
        self.columns.iter().map(string).collect()
    }
}

/// How a cell stands out where there are colours.
#[derive(Clone, Copy)]
enum Shade {
    Name,
    Negative,
    Dim,
    Plain,
}

impl Shade {
    fn of(cell: &Cell) -> Shade {
        match cell {
            Cell::Money(amount) if amount.is_negative() => Shade::Negative,
            Cell::Percent(share) if *share < 0 => Shade::Negative,
            Cell::None => Shade::Dim,
            Cell::Text(text) if &**text == THE_REST => Shade::Dim,
            _ => Shade::Plain,
        }
    }
}

fn write_object(names: &[String], row: &[Cell], wanted: impl Fn(&Cell) -> bool, to: &mut String) {
    to.push('{');
    let mut is_first = true;
    for (name, cell) in names.iter().zip(row).filter(|(_, cell)| wanted(cell)) {
        let _ = write!(to, "{}{name}:{}", if is_first { "" } else { "," }, cell.json());
        is_first = false;
    }
    to.push('}');
}

pub(super) fn csv_cell(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Text(text) => csv_text(text),
        other => other.plain().into(),
    }
}

/// A text as a cell of CSV. What a spreadsheet would run as a formula gets an apostrophe in front.
pub fn csv_text(text: &str) -> Cow<'_, str> {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let safe = if formula { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) };
    if safe.contains([',', '"', '\n', '\r']) { format!("\"{}\"", safe.replace('"', "\"\"")).into() } else { safe }
}

/// `12.34`, of hundredths of a percent.
fn percent(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.unsigned_abs() / 100, hundredths.unsigned_abs() % 100)
}

fn decimals(cells: &Cells) -> usize {
    let of = |amount: &Amount| amount.to_string().split_once('.').map_or(0, |(_, decimals)| decimals.len());
    match cells {
        Cells::Money(amounts) => amounts.iter().flatten().map(of).max().unwrap_or(0),
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
        let money = |text: &str| Some(Amount::parse(text).unwrap());
        let text = |text: &str| Some(text.into());
        let table = Table {
            columns: vec![
                Column::new("user", Cells::texts([None, text("bo")])),
                Column::new("amount", Cells::Money(vec![money("1234.00117"), money("0.5")])),
                Column::new("currency", Cells::texts([text("USD"), text("USD")])),
                Column::new("calls", Cells::Count(vec![Some(1), Some(1)])),
                Column::new("share", Cells::Percent(vec![Some(9996), Some(4)])),
            ],
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
    fn colours_change_nothing_but_colours() {
        let money = |text: &str| Some(Amount::parse(text).unwrap());
        let table = Table {
            columns: vec![
                Column::new("user", Cells::texts([Some("bo".into()), None])),
                Column::new("amount", Cells::Money(vec![money("-0.125"), money("7")])),
            ],
            totals: Vec::new(),
        };
        let painted = table.to_terminal();
        assert!(painted.contains("\x1b[31m-0.125\x1b[0m") && painted.contains("\x1b[1muser\x1b[0m"), "{painted:?}");
        let plain = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m"].iter().fold(painted, |text, code| text.replace(code, ""));
        assert_eq!(plain, table.to_text());
    }

    #[test]
    fn a_formula_in_a_cell_is_text() {
        let text = |text: &str| csv_cell(&Cell::text(text)).into_owned();
        assert_eq!(text("=cmd|' /C calc'!A0,\"x\""), "\"'=cmd|' /C calc'!A0,\"\"x\"\"\"");
        assert_eq!((text("-1+1"), text("@sum"), text("\tx")), ("'-1+1".to_owned(), "'@sum".to_owned(), "'\tx".to_owned()));
        assert_eq!(csv_cell(&Cell::Money(Amount::parse("-1.5").unwrap())), "-1.5", "a number is one");
        assert_eq!(percent(-5), "-0.05");
    }
}
