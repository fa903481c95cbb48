//! The way back from CSV and NDJSON to the sums of their rows, for whoever checks files against a manifest. It is fed a file
//! in portions of any size and keeps one row of it.

use crate::export::manifest::Sums;
use crate::ledger::EntryKind;
use crate::money::{Amount, Currency};
use serde::Deserialize;
use std::borrow::Cow;

/// The columns that sums are made of.
const WANTED: [&str; 4] = ["currency", "kind", "calls", "amount"];

#[derive(Default)]
pub struct CsvSums {
    sums: Sums,
    /// Where the wanted cells are, once the first record has said so.
    places: Option<[usize; 4]>,
    /// The cells of the record that is being read; those that nobody wants stay empty.
    cells: Vec<Vec<u8>>,
    place: usize,
    quoted: bool,
}

impl CsvSums {
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        for byte in bytes {
            match byte {
                b'"' => self.quoted = !self.quoted,
                b',' if !self.quoted => self.place += 1,
                b'\n' if !self.quoted => self.end_of_record()?,
                b'\r' if !self.quoted => {}
                byte => self.keep(*byte),
            }
        }
        Ok(())
    }

    fn keep(&mut self, byte: u8) {
        if self.places.is_none_or(|places| places.contains(&self.place)) {
            if self.cells.len() <= self.place {
                self.cells.resize(self.place + 1, Vec::new());
            }
            self.cells[self.place].push(byte);
        }
    }

    fn end_of_record(&mut self) -> Result<(), String> {
        let cell = |place: usize| self.cells.get(place).and_then(|cell| std::str::from_utf8(cell).ok()).unwrap_or_default();
        match self.places {
            None => {
                let place = |name: &str| (0..self.cells.len()).find(|place| cell(*place) == name);
                let missing = |name: &str| format!("it has no column {name}");
                let [currency, kind, calls, amount] = WANTED.map(|name| place(name).ok_or_else(|| missing(name)));
                self.places = Some([currency?, kind?, calls?, amount?]);
            }
            Some(places) => add(&mut self.sums, places.map(cell))?,
        }
        self.cells.iter_mut().for_each(Vec::clear);
        self.place = 0;
        Ok(())
    }

    pub fn finish(self) -> Result<Sums, String> {
        match self.quoted || self.place > 0 || self.places.is_none() {
            true => Err("it ends in the middle of a row".to_owned()),
            false => Ok(self.sums),
        }
    }
}

#[derive(Default)]
pub struct NdjsonSums {
    sums: Sums,
    line: Vec<u8>,
}

#[derive(Deserialize)]
struct Wanted<'a> {
    #[serde(borrow)]
    currency: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    calls: i64,
    #[serde(borrow)]
    amount: Cow<'a, str>,
}

impl NdjsonSums {
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let row: Wanted<'_> = serde_json::from_slice(&self.line).map_err(|e| format!("a line of it is no row: {e}"))?;
                add(&mut self.sums, [&row.currency, &row.kind, &row.calls.to_string(), &row.amount])?;
                self.line.clear();
            }
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Sums, String> {
        if self.line.is_empty() { Ok(self.sums) } else { Err("it ends in the middle of a row".to_owned()) }
    }
}

/// Adds a row by the texts of its [`WANTED`] cells.
fn add(sums: &mut Sums, [currency, kind, calls, amount]: [&str; 4]) -> Result<(), String> {
    let wrong = |what: &str, text: &str| format!("`{text}` is no {what}");
    let currency: Currency = currency.parse().map_err(|_| wrong("currency", currency))?;
    let kind = EntryKind::named(kind).ok_or_else(|| wrong("kind of entry", kind))?;
    let calls = calls.parse().map_err(|_| wrong("number of calls", calls))?;
    let amount = Amount::parse(amount).map_err(|_| wrong("amount", amount))?;
    sums.add_cells(currency, kind, calls, amount).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_back_from_portions_of_any_size() {
        let csv = b"kind,team,calls,amount,currency\r\ncharge,\"a,\"\"b\n\",1,0.5,USD\r\nreversal,,-1,-0.25,USD\r\ncharge,x,2,1,USD\r\n";
        let ndjson = b"{\"kind\":\"charge\",\"calls\":1,\"amount\":\"0.5\",\"currency\":\"USD\",\"team\":\"a\\\"\"}\n{\"kind\":\"reversal\",\"calls\":-1,\"amount\":\"-0.25\",\"currency\":\"USD\"}\n{\"kind\":\"charge\",\"calls\":2,\"amount\":\"1\",\"currency\":\"USD\"}\n";
        for size in 1..40 {
            let (mut of_csv, mut of_ndjson) = (CsvSums::default(), NdjsonSums::default());
            csv.chunks(size).for_each(|piece| of_csv.feed(piece).unwrap());
            ndjson.chunks(size).for_each(|piece| of_ndjson.feed(piece).unwrap());
            let (of_csv, of_ndjson) = (of_csv.finish().unwrap(), of_ndjson.finish().unwrap());
            assert_eq!(of_csv, of_ndjson);
            let told: Vec<String> =
                of_csv.told().iter().map(|sum| format!("{} {} {} {}", sum.kind, sum.rows, sum.calls, sum.amount)).collect();
            assert_eq!(told, ["charge 2 3 1.5", "reversal 1 -1 -0.25"]);
        }
        let mut cut = CsvSums::default();
        cut.feed(&csv[..csv.len() - 5]).unwrap();
        assert_eq!(cut.finish().unwrap_err(), "it ends in the middle of a row");
    }
}
