//! CSV (RFC 4180) with a header whose order does not matter, of which one row is in memory at a time; every complaint names the
//! line and the column. A cell that is empty is one that is not told.

use super::Unreadable;
use crate::money::Amount;
use crate::time::Instant;
use crate::usage::MAX_COUNT;
use std::io::BufRead;

/// A table that is read row by row.
pub struct Table<'a> {
    from: Box<dyn BufRead + 'a>,
    next_line: u32,
    /// The line on which the current row begins, the row as it is written, and its cells one after the other.
    line: u32,
    row: String,
    cells: String,
    ends: Vec<usize>,
    columns: Vec<String>,
}

impl<'a> Table<'a> {
    pub fn new(from: impl BufRead + 'a) -> Result<Table<'a>, Unreadable> {
        let (row, cells, ends, columns) = (String::new(), String::new(), Vec::new(), Vec::new());
        let mut table = Table { from: Box::new(from), next_line: 1, line: 1, row, cells, ends, columns };
        if !table.read_record()? {
            return Err(Unreadable::Whole("the file is empty; its first line names the columns".to_owned()));
        }
        table.columns = (0..table.ends.len()).map(|place| table.cell(place).to_owned()).collect();
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
        match self.ends.len() == self.columns.len() {
            true => Ok(true),
            false => {
                let (found, columns) = (self.ends.len(), self.columns.len());
                let why = format!("it has {found} cells and the header {columns}; quote cells that have a comma in them");
                Err(Unreadable::Line { line: self.line, why })
            }
        }
    }

    pub const fn line(&self) -> u32 {
        self.line
    }

    pub fn cell(&self, place: usize) -> &str {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.cells[start..self.ends[place]].trim()
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
        loop {
            self.row.clear();
            self.line = self.next_line;
            if !self.read_line()? {
                return Ok(false);
            }
            if self.line == 1 && self.row.starts_with('\u{feff}') {
                self.row.remove(0);
            }
            if !matches!(self.row.as_str(), "" | "\n" | "\r\n") {
                break;
            }
        }
        self.cells.clear();
        self.ends.clear();
        let mut next = Some(0);
        while let Some(from) = next {
            next = self.read_cell(from)?;
        }
        Ok(true)
    }

    /// Adds the next line to the row; no, at the end.
    fn read_line(&mut self) -> Result<bool, Unreadable> {
        let why = |e: std::io::Error| Unreadable::Line { line: self.next_line, why: e.to_string() };
        let bytes = self.from.read_line(&mut self.row).map_err(why)?;
        self.next_line += 1;
        Ok(bytes > 0)
    }

    /// Reads the cell that begins there; answers where the next one of this record does.
    fn read_cell(&mut self, from: usize) -> Result<Option<usize>, Unreadable> {
        let end = if self.row[from..].starts_with('"') {
            self.read_quoted(from + 1)?
        } else {
            let rest = &self.row[from..];
            let (cell, _) = rest.split_at(rest.bytes().position(|byte| matches!(byte, b',' | b'\n')).unwrap_or(rest.len()));
            self.cells.push_str(cell.strip_suffix('\r').unwrap_or(cell));
            from + cell.len()
        };
        self.ends.push(self.cells.len());
        match &self.row.as_bytes()[end..] {
            [b',', ..] => Ok(Some(end + 1)),
            b"" | b"\n" | b"\r" | b"\r\n" => Ok(None),
            _ => {
                let why =
                    format!("something follows a closing quote in cell {}; double the quotes inside a cell", self.ends.len());
                Err(Unreadable::Line { line: self.line, why })
            }
        }
    }

    /// Reads up to the closing quote, which may be on a later line; answers what it is followed by.
    fn read_quoted(&mut self, mut from: usize) -> Result<usize, Unreadable> {
        loop {
            let rest = &self.row[from..];
            match rest.split_once('"') {
                Some((part, after)) => {
                    self.cells.push_str(part);
                    from += part.len() + 1;
                    if !after.starts_with('"') {
                        return Ok(from);
                    }
                    self.cells.push('"');
                    from += 1;
                }
                None => {
                    self.cells.push_str(rest);
                    from = self.row.len();
                    if !self.read_line()? {
                        let why = format!("the quote in cell {} is never closed", self.ends.len() + 1);
                        return Err(Unreadable::Line { line: self.line, why });
                    }
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
        let mut table = Table::new(text.as_bytes())?;
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
