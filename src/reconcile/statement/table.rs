//! CSV (RFC 4180) with a header whose order does not matter. Cells are borrowed from the text unless they are quoted; every
//! complaint names the line and the column. A cell that is empty is one that is not told.

use super::Unreadable;
use crate::money::Amount;
use crate::time::Instant;
use crate::usage::MAX_COUNT;
use std::borrow::Cow;

/// A table that is read row by row.
pub struct Table<'a> {
    rest: &'a str,
    /// The line on which `rest` begins.
    next_line: u32,
    /// The line on which the current row begins.
    line: u32,
    columns: Vec<String>,
    cells: Vec<Cow<'a, str>>,
}

impl<'a> Table<'a> {
    pub fn new(text: &'a str) -> Result<Table<'a>, Unreadable> {
        let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut table = Table { rest, next_line: 1, line: 1, columns: Vec::new(), cells: Vec::new() };
        if !table.read_record()? {
            return Err(Unreadable::Whole("the file is empty; its first line names the columns".to_owned()));
        }
        table.columns = table.cells.iter().map(|cell| cell.trim().to_owned()).collect();
        let twice = table.columns.iter().enumerate().find(|(place, name)| table.columns[..*place].contains(name));
        match twice {
            Some((_, name)) => {
                Err(Unreadable::Line { line: table.line, why: format!("the column {} is there twice", shown(name)) })
            }
            None => Ok(table),
        }
    }

    /// The place of a column that may be absent.
    pub fn optional(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    pub fn column(&self, name: &str) -> Result<usize, Unreadable> {
        self.optional(name).ok_or_else(|| self.no_column(name))
    }

    pub fn no_column(&self, missing: &str) -> Unreadable {
        let found: Vec<_> = self.columns.iter().take(40).map(|column| shown(column)).collect();
        Unreadable::NoColumn { missing: missing.to_owned(), found: found.join(", ") }
    }

    /// The columns that are not among these.
    pub fn unread(&self, known: &[&str]) -> Vec<String> {
        self.columns.iter().filter(|column| !known.contains(&column.as_str())).map(|column| shown(column)).collect()
    }

    /// Goes to the next row; no, at the end.
    pub fn advance(&mut self) -> Result<bool, Unreadable> {
        if !self.read_record()? {
            return Ok(false);
        }
        match self.cells.len() == self.columns.len() {
            true => Ok(true),
            false => {
                let (found, columns) = (self.cells.len(), self.columns.len());
                let why = format!("it has {found} cells and the header {columns}; quote cells that have a comma in them");
                Err(Unreadable::Line { line: self.line, why })
            }
        }
    }

    pub const fn line(&self) -> u32 {
        self.line
    }

    pub fn cell(&self, place: usize) -> &str {
        self.cells[place].trim()
    }

    pub fn wrong(&self, place: usize, why: impl Into<String>) -> Unreadable {
        Unreadable::Cell { line: self.line, column: shown(&self.columns[place]), why: why.into() }
    }

    pub fn required(&self, place: usize) -> Result<&str, Unreadable> {
        match self.cell(place) {
            "" => Err(self.wrong(place, "empty")),
            text => Ok(text),
        }
    }

    /// A decimal of either sign; nothing where the cell is empty.
    pub fn amount(&self, place: usize) -> Result<Option<Amount>, Unreadable> {
        match self.cell(place) {
            "" => Ok(None),
            text => Amount::parse(text).map(Some).map_err(|e| self.wrong(place, e.to_string())),
        }
    }

    pub fn required_amount(&self, place: usize) -> Result<Amount, Unreadable> {
        let empty = || self.wrong(place, "empty; write the amount, or 0 where nothing was charged");
        self.amount(place)?.ok_or_else(empty)
    }

    pub fn count(&self, place: usize) -> Result<Option<u64>, Unreadable> {
        match self.cell(place) {
            "" => Ok(None),
            text => match text.parse() {
                Ok(count) if count <= MAX_COUNT => Ok(Some(count)),
                _ => Err(self.wrong(place, format!("`{}` is not a count of tokens or requests", shown(text)))),
            },
        }
    }

    pub fn flag(&self, place: usize) -> Result<bool, Unreadable> {
        match self.cell(place) {
            "" | "false" => Ok(false),
            "true" => Ok(true),
            text => Err(self.wrong(place, format!("`{}` is neither true nor false", shown(text)))),
        }
    }

    pub fn instant(&self, place: usize) -> Result<Instant, Unreadable> {
        let text = self.required(place)?;
        let instant = Instant::parse_any(text).map_err(|e| self.wrong(place, e.to_string()))?;
        if instant < Instant::EARLIEST_USAGE {
            return Err(self.wrong(place, format!("{instant} is before 2020")));
        }
        Ok(instant)
    }

    /// Reads one record into `cells`, skipping lines that are empty.
    fn read_record(&mut self) -> Result<bool, Unreadable> {
        self.cells.clear();
        loop {
            self.line = self.next_line;
            match self.rest.as_bytes().first() {
                None => return Ok(false),
                Some(b'\n') => self.skip_line(1),
                Some(b'\r') if self.rest.as_bytes().get(1) == Some(&b'\n') => self.skip_line(2),
                Some(_) => break,
            }
        }
        while self.read_cell()? {}
        Ok(true)
    }

    fn skip_line(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
        self.next_line += 1;
    }

    /// Reads one cell with what ends it; whether another one follows in this record.
    fn read_cell(&mut self) -> Result<bool, Unreadable> {
        let cell = match self.rest.strip_prefix('"') {
            Some(quoted) => Cow::Owned(self.read_quoted(quoted)?),
            None => {
                let end = self.rest.bytes().position(|byte| matches!(byte, b',' | b'\n')).unwrap_or(self.rest.len());
                let (cell, rest) = self.rest.split_at(end);
                self.rest = rest;
                Cow::Borrowed(cell.strip_suffix('\r').unwrap_or(cell))
            }
        };
        self.cells.push(cell);
        let after = self.rest.strip_prefix('\r').filter(|rest| rest.is_empty() || rest.starts_with('\n')).unwrap_or(self.rest);
        match after.as_bytes().first() {
            Some(b',') => {
                self.rest = &after[1..];
                Ok(true)
            }
            Some(b'\n') => {
                self.rest = after;
                self.skip_line(1);
                Ok(false)
            }
            None => {
                self.rest = after;
                Ok(false)
            }
            Some(_) => {
                let why =
                    format!("something follows a closing quote in cell {}; double the quotes inside a cell", self.cells.len());
                Err(Unreadable::Line { line: self.line, why })
            }
        }
    }

    fn read_quoted(&mut self, quoted: &'a str) -> Result<String, Unreadable> {
        let mut cell = String::new();
        let mut rest = quoted;
        loop {
            let Some((part, after)) = rest.split_once('"') else {
                let why = format!("the quote in cell {} is never closed", self.cells.len() + 1);
                return Err(Unreadable::Line { line: self.line, why });
            };
            self.next_line += part.bytes().filter(|byte| *byte == b'\n').count() as u32;
            cell.push_str(part);
            match after.strip_prefix('"') {
                Some(more) => {
                    cell.push('"');
                    rest = more;
                }
                None => {
                    self.rest = after;
                    return Ok(cell);
                }
            }
        }
    }
}

/// A piece of a file that goes into a message: short, and without what could break a line.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(text: &str) -> Result<Vec<(u32, Vec<String>)>, Unreadable> {
        let mut table = Table::new(text)?;
        let mut rows = Vec::new();
        while table.advance()? {
            rows.push((table.line(), (0..table.columns.len()).map(|place| table.cell(place).to_owned()).collect()));
        }
        Ok(rows)
    }

    #[test]
    fn quoted_cells_may_hold_commas_quotes_and_breaks() {
        let text = "\u{feff}a,b\r\n\"x, \"\"y\"\"\",1\r\n\r\n\"two\nlines\",2\n,";
        let read = cells(text).unwrap();
        let row = |line: u32, a: &str, b: &str| (line, vec![a.to_owned(), b.to_owned()]);
        assert_eq!(read, [row(2, "x, \"y\"", "1"), row(4, "two\nlines", "2"), row(6, "", "")]);
    }

    #[test]
    fn a_broken_table_names_its_line() {
        for (text, said) in [
            ("", "the file is empty; its first line names the columns"),
            ("a,a\n", "line 1: the column a is there twice"),
            ("a,b\n1,2\n3\n", "line 3: it has 1 cells and the header 2; quote cells that have a comma in them"),
            ("a,b\n1,\"2\n3", "line 2: the quote in cell 2 is never closed"),
            ("a,b\n\"1\"x,2", "line 2: something follows a closing quote in cell 1; double the quotes inside a cell"),
        ] {
            assert_eq!(cells(text).unwrap_err().to_string(), said);
        }
    }
}
