//! A sheet: what one team or one person used in a month, as a page that can be sent. It shows what was charged by model,
//! what was corrected since, and of which block of the book it tells, so that the same page can be made again.

use crate::report::html::Page;
use crate::report::table::{Cell, Table};

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
        if self.kinds.rows().any(|row| row[0] != Cell::text("charge")) {
            page.heading("Corrections");
            page.table(&self.kinds);
        }
        page.paragraph(&format!("From the book up to block {}. Amounts are exact.", self.block));
        page.end()
    }
}
