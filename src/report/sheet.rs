//! A sheet: what one team or one person used in a month, as a page that can be sent. It shows what was charged by model,
//! what was corrected since, and of which block of the book it tells, so that the same page can be made again.

use crate::report::html::Page;
use crate::report::table::{Cell, Table, csv_cell};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// `team search`
    pub whose: String,
    /// `2026-10`
    pub month: String,
    pub zone: String,
    /// By what was bought.
    pub lines: Table,
    /// Charges, what was taken back, and what was booked by decision.
    pub kinds: Table,
    pub block: i64,
}

impl Sheet {
    /// A page that needs nothing but itself.
    pub fn to_html(&self) -> String {
        let Sheet { whose, month, zone, .. } = self;
        let below = format!("{month}, days of {zone}");
        let mut page = Page::new(&format!("{whose}, {month}"), &format!("LLM usage of {whose}"), &below);
        if self.lines.is_empty() {
            page.paragraph("Nothing was charged.");
        } else {
            page.table(&self.lines);
        }
        if self.is_corrected() {
            page.heading("Corrections");
            page.table(&self.kinds);
        }
        page.paragraph(&format!("From the book up to block {}. Amounts are exact.", self.block));
        page.end()
    }

    /// The same for a spreadsheet, in one table, whose first column says what a line is: what was spent on a model, a total, and,
    /// where something was corrected, what was booked of each kind. So nobody adds sums to what they are made of.
    pub fn to_csv(&self) -> String {
        let mut csv = COLUMNS.join(",") + "\r\n";
        let mut line = |of: Cell, table: &Table, cells: &[Cell]| {
            let cell = |name: &str| match table.columns.iter().position(|column| column.name == name) {
                Some(place) => cells[place].clone(),
                None if name == COLUMNS[0] => of.clone(),
                None => Cell::None,
            };
            csv.push_str(&(COLUMNS.map(|name| csv_cell(&cell(name)).into_owned()).join(",") + "\r\n"));
        };
        self.lines.rows().for_each(|row| line(Cell::text("model"), &self.lines, &row));
        self.lines.totals.iter().for_each(|total| line(Cell::text("total"), &self.lines, &total.cells));
        if self.is_corrected() {
            self.kinds.rows().for_each(|row| line(row[0].clone(), &self.kinds, &row));
        }
        csv
    }

    /// Something else was booked than charges.
    fn is_corrected(&self) -> bool {
        self.kinds.rows().any(|row| row[0] != Cell::text("charge"))
    }
}

const COLUMNS: [&str; 8] = ["line", "provider", "model", "calls", "tokens", "entries", "amount", "currency"];
