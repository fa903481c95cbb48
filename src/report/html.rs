//! Pages that need nothing but themselves: no script, nothing that is fetched, and on paper they look as they do on a screen.

use crate::report::table::{Cell, Column, Table, grouped};
use std::fmt::Write;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#1a1a1a;max-width:52rem;margin:3rem auto;padding:0 1rem}\
h1{font-size:1.4rem;margin:0}p{color:#555;margin:.3rem 0 1.5rem}table{border-collapse:collapse;width:100%;margin:1rem 0 2rem}\
th,td{padding:.35rem .6rem;border-bottom:1px solid #ddd;text-align:left}th{font-weight:600;border-bottom:2px solid #999}\
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}tfoot td{font-weight:600;border-bottom:0;border-top:2px solid #999}\
h2{font-size:1rem;margin:2rem 0 0}@media print{body{margin:0}tr{break-inside:avoid}thead{display:table-header-group}}";

/// A page in the making.
pub struct Page(String);

impl Page {
    /// A page with its title, a heading, and a line below it.
    pub fn new(title: &str, heading: &str, below: &str) -> Page {
        let (title, heading, below) = (escaped(title), escaped(heading), escaped(below));
        Page(format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>{title}</title><style>{STYLE}</style></head>\n<body>\n<h1>{heading}</h1>\n<p>{below}</p>\n"
        ))
    }

    pub fn heading(&mut self, text: &str) {
        let _ = writeln!(self.0, "<h2>{}</h2>", escaped(text));
    }

    pub fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.0, "<p>{}</p>", escaped(text));
    }

    /// A table with its totals; one that says nothing of itself is called so.
    pub fn table(&mut self, table: &Table) {
        let page = &mut self.0;
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
            if cells[0] == Cell::None {
                cells[0] = Cell::text("total");
            }
            cells
        });
        for (place, cells) in totals.enumerate() {
            row(if place == 0 { "</tbody><tfoot>" } else { "" }, "td", &cells, "\n");
        }
        page.push_str(if table.totals.is_empty() { "</tbody></table>\n" } else { "</tfoot></table>\n" });
    }

    pub fn end(mut self) -> String {
        self.0.push_str("</body></html>\n");
        self.0
    }
}

/// Names are what callers made them: none of them is markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
