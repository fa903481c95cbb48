//! What can be asked of a book and what an answer is. A [`ReportQuery`] names dimensions to group by, a range and filters;
//! a [`Table`] is typed columns and rows, whatever it is printed as afterwards. Sums are integer sums, so the parts of any
//! grouping add up to the whole.

use crate::money::{Amount, Currency};
use crate::time::Instant;
use chrono::{DateTime, Datelike, TimeZone, Timelike};
use chrono_tz::Tz;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Something to group by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dimension {
    Hour,
    Day,
    Month,
    Period,
    User,
    Team,
    Project,
    Key,
    App,
    Agent,
    Environment,
    Provider,
    Payee,
    Model,
    RequestedModel,
    ServedBy,
    Variant,
    ServiceTier,
    Region,
    Source,
    Layer,
    Kind,
    Outcome,
    Estimated,
}

#[derive(Clone, Debug)]
pub struct ReportQuery {
    pub by: Vec<Dimension>,
    pub from: Option<Instant>,
    pub until: Option<Instant>,
    pub zone: Tz,
    pub filters: Vec<(Dimension, String)>,
}

/// One group of entries before it is folded: its value for every dimension, and its sums.
#[derive(Clone, Debug)]
pub struct Group {
    /// Where the group lies in time, to within a quarter of an hour: no zone's day begins inside of one.
    pub at: Option<Instant>,
    pub values: Vec<(Dimension, Option<String>)>,
    pub currency: Currency,
    pub sums: Sums,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub amount: Amount,
    pub calls: i64,
}

/// Columns and rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Cell>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: ColumnKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    Text,
    Count,
    Money,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Text(Option<String>),
    Count(i64),
    Money(Amount),
}

impl Dimension {
    pub const ALL: [Dimension; 24] = [
        Dimension::Hour,
        Dimension::Day,
        Dimension::Month,
        Dimension::Period,
        Dimension::User,
        Dimension::Team,
        Dimension::Project,
        Dimension::Key,
        Dimension::App,
        Dimension::Agent,
        Dimension::Environment,
        Dimension::Provider,
        Dimension::Payee,
        Dimension::Model,
        Dimension::RequestedModel,
        Dimension::ServedBy,
        Dimension::Variant,
        Dimension::ServiceTier,
        Dimension::Region,
        Dimension::Source,
        Dimension::Layer,
        Dimension::Kind,
        Dimension::Outcome,
        Dimension::Estimated,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Dimension::Hour => "hour",
            Dimension::Day => "day",
            Dimension::Month => "month",
            Dimension::Period => "period",
            Dimension::User => "user",
            Dimension::Team => "team",
            Dimension::Project => "project",
            Dimension::Key => "key",
            Dimension::App => "app",
            Dimension::Agent => "agent",
            Dimension::Environment => "environment",
            Dimension::Provider => "provider",
            Dimension::Payee => "payee",
            Dimension::Model => "model",
            Dimension::RequestedModel => "requested_model",
            Dimension::ServedBy => "served_by",
            Dimension::Variant => "variant",
            Dimension::ServiceTier => "service_tier",
            Dimension::Region => "region",
            Dimension::Source => "source",
            Dimension::Layer => "layer",
            Dimension::Kind => "kind",
            Dimension::Outcome => "outcome",
            Dimension::Estimated => "estimated",
        }
    }

    pub fn named(name: &str) -> Result<Dimension, String> {
        let known = Dimension::ALL.into_iter().find(|dimension| dimension.name() == name);
        known.ok_or_else(|| format!("`{name}` is no dimension; known are {}", Dimension::ALL.map(Dimension::name).join(", ")))
    }

    /// Depends on the hour, and so on a time zone.
    pub const fn is_of_the_clock(self) -> bool {
        matches!(self, Dimension::Hour | Dimension::Day | Dimension::Month)
    }
}

impl ReportQuery {
    pub fn needs_time(&self) -> bool {
        self.by.iter().chain(self.filters.iter().map(|(dimension, _)| dimension)).any(|dimension| dimension.is_of_the_clock())
    }

    /// Folds groups into an answer: time first and in order, otherwise the largest amount first.
    pub fn fold(&self, groups: impl IntoIterator<Item = Group>) -> Table {
        let mut folded: BTreeMap<(Currency, Vec<Option<String>>), Sums> = BTreeMap::new();
        for group in groups {
            if !self.filters.iter().all(|(dimension, wanted)| self.value(*dimension, &group).as_deref() == Some(wanted)) {
                continue;
            }
            let key = self.by.iter().map(|dimension| self.value(*dimension, &group)).collect();
            let sums = folded.entry((group.currency, key)).or_default();
            sums.amount += group.sums.amount;
            sums.calls += group.sums.calls;
        }
        let mut folded: Vec<_> = folded.into_iter().collect();
        if !self.by.first().is_some_and(|first| first.is_of_the_clock() || *first == Dimension::Period) {
            folded.sort_by(|(a_key, a), (b_key, b)| b.amount.cmp(&a.amount).then_with(|| a_key.cmp(b_key)));
        }

        let text = |name| Column { name, kind: ColumnKind::Text };
        let mut columns: Vec<Column> = self.by.iter().map(|dimension| text(dimension.name())).collect();
        columns.extend([
            Column { name: "amount", kind: ColumnKind::Money },
            text("currency"),
            Column { name: "calls", kind: ColumnKind::Count },
        ]);
        let rows = folded.into_iter().map(|((currency, key), sums)| {
            let mut row: Vec<Cell> = key.into_iter().map(Cell::Text).collect();
            row.extend([Cell::Money(sums.amount), Cell::Text(Some(currency.to_string())), Cell::Count(sums.calls)]);
            row
        });
        Table { columns, rows: rows.collect() }
    }

    fn value(&self, dimension: Dimension, group: &Group) -> Option<String> {
        if !dimension.is_of_the_clock() {
            return group.values.iter().find(|(other, _)| *other == dimension).and_then(|(_, value)| value.clone());
        }
        let local: DateTime<Tz> = self.zone.from_utc_datetime(&group.at?.to_utc().naive_utc());
        Some(match dimension {
            Dimension::Hour => format!("{}T{:02}:00{}", local.date_naive(), local.hour(), local.format("%:z")),
            Dimension::Day => local.date_naive().to_string(),
            _ => format!("{:04}-{:02}", local.year(), local.month()),
        })
    }
}

impl Table {
    /// The sum of a column of money, per currency where the table has such a column.
    pub fn totals(&self) -> Vec<(String, Amount, i64)> {
        let place = |name: &str| self.columns.iter().position(|column| column.name == name);
        let (Some(amount), Some(currency), Some(calls)) = (place("amount"), place("currency"), place("calls")) else {
            return Vec::new();
        };
        let mut totals: BTreeMap<String, (Amount, i64)> = BTreeMap::new();
        for row in &self.rows {
            if let (Cell::Money(amount), Cell::Text(Some(currency)), Cell::Count(calls)) =
                (&row[amount], &row[currency], &row[calls])
            {
                let total = totals.entry(currency.clone()).or_default();
                total.0 += *amount;
                total.1 += calls;
            }
        }
        totals.into_iter().map(|(currency, (amount, calls))| (currency, amount, calls)).collect()
    }

    /// Aligned for reading: texts to the left, numbers to the right, money on its point.
    pub fn to_text(&self) -> String {
        let places = self.rows.iter().flatten().map(decimals).max().unwrap_or(0).max(2);
        let shown = |cell: &Cell| match cell {
            Cell::Text(text) => text.clone().unwrap_or_else(|| "-".to_owned()),
            Cell::Count(count) => grouped(*count),
            Cell::Money(amount) => padded(*amount, places),
        };
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.name.chars().count()).collect();
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        let header: Vec<String> = self.columns.iter().map(|column| column.name.to_owned()).collect();
        for row in std::iter::once(&header).chain(&rows) {
            let mut line = String::new();
            for ((cell, width), column) in row.iter().zip(&widths).zip(&self.columns) {
                let space = " ".repeat(width - cell.chars().count());
                let _ = match column.kind {
                    ColumnKind::Text => write!(line, "{cell}{space}  "),
                    ColumnKind::Count | ColumnKind::Money => write!(line, "{space}{cell}  "),
                };
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// RFC 4180. A cell that a spreadsheet would run as a formula gets an apostrophe in front.
    pub fn to_csv(&self) -> String {
        let header: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        let mut csv = header.join(",");
        csv.push_str("\r\n");
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(csv_cell).collect();
            csv.push_str(&cells.join(","));
            csv.push_str("\r\n");
        }
        csv
    }

    /// An array of objects; money is a string.
    pub fn to_json(&self) -> String {
        let string = |text: &str| serde_json::to_string(text).expect("text is always JSON");
        let rows: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let fields = self.columns.iter().zip(row).map(|(column, cell)| {
                    let value = match cell {
                        Cell::Text(Some(text)) => string(text),
                        Cell::Text(None) => "null".to_owned(),
                        Cell::Count(count) => count.to_string(),
                        Cell::Money(amount) => string(&amount.to_string()),
                    };
                    format!("{}:{value}", string(column.name))
                });
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            })
            .collect();
        format!("[{}]", rows.join(",\n "))
    }
}

fn csv_cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(None) => String::new(),
        Cell::Text(Some(text)) => {
            let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
            let safe = if formula { format!("'{text}") } else { text.clone() };
            if safe.contains([',', '"', '\n', '\r']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
        }
        Cell::Count(count) => count.to_string(),
        Cell::Money(amount) => amount.to_string(),
    }
}

fn decimals(cell: &Cell) -> usize {
    match cell {
        Cell::Money(amount) => amount.to_string().split_once('.').map_or(0, |(_, decimals)| decimals.len()),
        Cell::Text(_) | Cell::Count(_) => 0,
    }
}

/// Money on its point: short amounts are filled with spaces after two decimals, no digit is added or lost.
fn padded(amount: Amount, places: usize) -> String {
    let plain = amount.with_places(2);
    let decimals = plain.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    format!("{plain}{}", " ".repeat(places.saturating_sub(decimals)))
}

/// `1 234 567`
fn grouped(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let sign = if count < 0 { "-" } else { "" };
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits are ASCII")).collect();
    format!("{sign}{}", groups.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(at: &str, user: Option<&str>, amount: &str) -> Group {
        Group {
            at: Some(Instant::parse(at).unwrap()),
            values: vec![(Dimension::User, user.map(str::to_owned))],
            currency: Currency::USD,
            sums: Sums { amount: Amount::parse(amount).unwrap(), calls: 1 },
        }
    }

    fn query(by: &[Dimension], zone: Tz) -> ReportQuery {
        ReportQuery { by: by.to_vec(), from: None, until: None, zone, filters: Vec::new() }
    }

    #[test]
    fn a_table_reads_well() {
        let groups = [group("2026-02-03T10:00:00Z", Some("bo"), "0.5"), group("2026-02-03T10:00:00Z", None, "1234.00117")];
        let table = query(&[Dimension::User], Tz::UTC).fold(groups);
        assert_eq!(
            table.to_text(),
            "user      amount  currency  calls\n\
             -     1234.00117  USD           1\n\
             bo       0.50     USD           1\n"
        );
        assert_eq!(
            table.to_json(),
            "[{\"user\":null,\"amount\":\"1234.00117\",\"currency\":\"USD\",\"calls\":1},\n {\"user\":\"bo\",\"amount\":\"0.5\",\"currency\":\"USD\",\"calls\":1}]"
        );
        assert_eq!(table.totals(), [("USD".to_owned(), Amount::parse("1234.50117").unwrap(), 2)]);
    }

    #[test]
    fn a_day_is_the_zones_day_also_where_it_has_25_hours() {
        let groups = ["2026-10-24T22:00:00Z", "2026-10-25T22:45:00Z", "2026-10-25T23:00:00Z"].map(|at| group(at, None, "1"));
        let table = query(&[Dimension::Day], Tz::Europe__Berlin).fold(groups);
        assert_eq!(table.to_csv(), "day,amount,currency,calls\r\n2026-10-25,2,USD,2\r\n2026-10-26,1,USD,1\r\n");
        let half_hour = query(&[Dimension::Day], Tz::Asia__Kolkata).fold([group("2026-02-03T18:30:00Z", None, "1")]);
        assert_eq!(half_hour.rows[0][0], Cell::Text(Some("2026-02-04".to_owned())));
    }

    #[test]
    fn a_formula_in_a_cell_is_text() {
        let table =
            query(&[Dimension::User], Tz::UTC).fold([group("2026-02-03T10:00:00Z", Some("=cmd|' /C calc'!A0,\"x\""), "1")]);
        assert!(table.to_csv().contains("\"'=cmd|' /C calc'!A0,\"\"x\"\"\",1,USD"));
    }
}
