//! A sheet: what one team or one person used in a month, as a page that can be sent. It shows what was charged by model,
//! what was corrected since, and of which block of the book it tells, so that the same page can be made again.

use crate::report::table::{Cell, Column, Table, grouped};
use std::fmt::Write;

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

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#1a1a1a;max-width:52rem;margin:3rem auto;padding:0 1rem}\
h1{font-size:1.4rem;margin:0}p{color:#555;margin:.3rem 0 1.5rem}table{border-collapse:collapse;width:100%;margin:1rem 0 2rem}\
th,td{padding:.35rem .6rem;border-bottom:1px solid #ddd;text-align:left}th{font-weight:600;border-bottom:2px solid #999}\
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}tfoot td{font-weight:600;border-bottom:0;border-top:2px solid #999}\
h2{font-size:1rem;margin:2rem 0 0}@media print{body{margin:0}}";

impl Sheet {
    /// A page that needs nothing but itself.
    pub fn to_html(&self) -> String {
        let (whose, month) = (escaped(&self.whose), escaped(&self.month));
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>{whose}, {month}</title><style>{STYLE}</style></head>\n<body>\n<h1>LLM usage of {whose}</h1>\n\
             <p>{month}, days of {}</p>\n",
            escaped(&self.zone)
        );
        if self.lines.is_empty() {
            page.push_str("<p>Nothing was charged.</p>\n");
        } else {
            write_table(&self.lines, &mut page);
        }
        if self.kinds.rows().any(|row| row[0] != Cell::text("charge")) {
            page.push_str("<h2>Corrections</h2>\n");
            write_table(&self.kinds, &mut page);
        }
        let _ = write!(page, "<p>From the book up to block {}. Amounts are exact.</p>\n</body></html>\n", self.block);
        page
    }
}

fn write_table(table: &Table, page: &mut String) {
    let class = |column: &Column| if column.cells.is_text() { "" } else { " class=\"n\"" };
    let mut row = |open: &str, tag: &str, cells: &[Cell], close: &str| {
        page.push_str(open);
        page.push_str("<tr>");
        for (cell, column) in cells.iter().zip(&table.columns) {
            let text = if let Cell::Count(count) = cell { grouped(*count) } else { cell.plain() };
            let _ = write!(page, "<{tag}{}>{}</{tag}>", class(column), escaped(&text));
        }
        page.push_str("</tr>");
        page.push_str(close);
    };
    let names: Vec<Cell> = table.columns.iter().map(|column| Cell::text(column.name.replace('_', " "))).collect();
    row("<table><thead>", "th", &names, "</thead>\n<tbody>\n");
    table.rows().for_each(|cells| row("", "td", &cells, "\n"));
    let totals = table.totals.iter().map(|total| {
        let mut cells = total.cells.clone();
        cells[0] = Cell::text("total");
        cells
    });
    for (place, cells) in totals.enumerate() {
        row(if place == 0 { "</tbody><tfoot>" } else { "" }, "td", &cells, "\n");
    }
    page.push_str("</tfoot></table>\n");
}

/// Names are what callers made them: none of them is markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
