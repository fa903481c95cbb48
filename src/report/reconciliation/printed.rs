//! A reconciliation as it is printed: HTML that can be sent and put on paper, text, JSON, and a table of every difference for
//! files. All but the JSON are made of the same few tables.

use super::{Caused, Difference, Left, Page, Source};
use crate::id::Sequence;
use crate::money::Amount;
use crate::reconcile::compare::{Cause, Class, Tally};
use crate::report::html;
use crate::report::table::{Cell, Cells, Column, Table, Total};
use crate::time::{Instant, Period};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// The page as tables, which every form of it is made of.
impl Page {
    fn title(&self) -> String {
        let account = self.account.as_deref().map_or_else(String::new, |account| format!(", {account}"));
        format!("{}{account}, {}", self.provider, days(self.period))
    }

    fn total(&self, cells: Vec<Cell>) -> Vec<Total> {
        let Tally { count, amount } = self.settled;
        vec![Total { currency: self.currency, amount, calls: count as i64, cells }]
    }

    /// *Booked* and every class; their total is the statement.
    fn sums(&self) -> Table {
        let classes = Class::ALL.into_iter().map(|class| (class.name(), self.classes[class as usize]));
        let found = classes.filter(|(_, found)| found.count > 0);
        let table = tallies(std::iter::once(("booked", self.said.booked)).chain(found));
        let Tally { count, amount } = self.settled;
        Table { totals: self.total(vec![Cell::text("statement"), Cell::Count(count as i64), Cell::Money(amount)]), ..table }
    }

    /// What became of the differences; again the total is the statement.
    fn trued_up(&self) -> Table {
        let Left { printing, within_tolerance, on_another_day, residual } = self.left;
        let rows = [
            ("booked", self.said.booked),
            ("true-ups posted", self.true_ups),
            ("left by printing", printing),
            ("left within the tolerance", within_tolerance),
            ("left on another day", on_another_day),
            ("residual", residual),
        ];
        let Tally { count, amount } = self.settled;
        let totals = self.total(vec![Cell::text("statement"), Cell::Count(count as i64), Cell::Money(amount)]);
        Table { totals, ..tallies(rows) }
    }

    /// What each side says of the calls.
    fn sides(&self) -> Table {
        tallies([
            ("settled: the statement", self.settled),
            ("booked, before true-ups", self.said.booked),
            ("reported by the provider", self.said.reported),
            ("rated by the catalog", self.said.rated),
        ])
    }

    fn causes_table(&self) -> Table {
        let causes = self.causes();
        let column = |name: &str, cells: Cells| Column::new(name, cells);
        let text = |of: fn(&Caused) -> &'static str| Cells::texts(causes.iter().map(|caused| Some(of(caused).into())));
        Table {
            columns: vec![
                column("class", text(|caused| caused.class.name())),
                column("count", Cells::Count(causes.iter().map(|caused| Some(caused.found.count as i64)).collect())),
                column("amount", Cells::Money(causes.iter().map(|caused| Some(caused.found.amount)).collect())),
                column("left", Cells::Money(causes.iter().map(|caused| Some(caused.left)).collect())),
                column("likely_cause", text(|caused| caused.cause.in_words())),
                column("next_step", text(|caused| caused.cause.next_step())),
            ],
            totals: Vec::new(),
        }
    }

    fn largest_table(&self) -> Table {
        let largest: Vec<&Difference> = self.largest().collect();
        let money = |of: fn(&Difference) -> Amount| Cells::Money(largest.iter().map(|found| Some(of(found))).collect());
        let text = |of: fn(&Difference) -> Option<Arc<str>>| Cells::texts(largest.iter().map(|found| of(found)));
        Table {
            columns: vec![
                Column::new("day", text(|found| Some(found.day.to_utc().date_naive().to_string().into()))),
                Column::new("model", text(|found| found.model.clone())),
                Column::new("class", text(|found| Some(found.class.name().into()))),
                Column::new("here", money(|found| found.expected)),
                Column::new("there", money(|found| found.observed)),
                Column::new("difference", money(Difference::amount)),
                Column::new("left", money(|found| found.left)),
            ],
            totals: Vec::new(),
        }
    }

    fn sources_table(&self) -> Table {
        let text = |of: fn(&Source) -> String| Cells::texts(self.sources.iter().map(|source| Some(of(source).into())));
        Table {
            columns: vec![
                Column::new("statement", text(|source| source.statement.to_string())),
                Column::new("days", text(|source| days(source.period))),
                Column::new("form", text(|source| source.form.clone())),
                Column::new("received_as", text(|source| source.asked.clone())),
                Column::new("amount", Cells::Money(self.sources.iter().map(|source| Some(source.amount)).collect())),
            ],
            totals: Vec::new(),
        }
    }

    /// Every difference, a row each: what files of the page have.
    pub fn to_table(&self) -> Table {
        let all = &self.differences;
        let text = |of: &dyn Fn(&Difference) -> Option<String>| Cells::texts(all.iter().map(|found| of(found).map(Into::into)));
        let money = |of: fn(&Difference) -> Amount| Cells::Money(all.iter().map(|found| Some(of(found))).collect());
        let many = |list: Vec<String>| Some(list.join(" ")).filter(|text| !text.is_empty());
        Table {
            columns: vec![
                Column::new("statement", Cells::Count(all.iter().map(|found| Some(found.statement)).collect())),
                Column::new("class", text(&|found| Some(found.class.name().to_owned()))),
                Column::new("day", text(&|found| Some(found.day.to_string()))),
                Column::new("model", text(&|found| found.model.as_deref().map(str::to_owned))),
                Column::new("provider", text(&|found| found.provider.as_deref().map(str::to_owned))),
                Column::new("expected", money(|found| found.expected)),
                Column::new("observed", money(|found| found.observed)),
                Column::new("amount", money(Difference::amount)),
                Column::new("left", money(|found| found.left)),
                Column::new("currency", text(&|_| Some(self.currency.to_string()))),
                Column::new("entries", text(&|found| many(found.entries.iter().map(Sequence::to_string).collect()))),
                Column::new("lines", text(&|found| many(found.lines.iter().map(u32::to_string).collect()))),
                Column::new("generations", text(&|found| many(found.generations.clone()))),
                Column::new("cause", text(&|found| Some(found.cause.in_words().to_owned()))),
                Column::new("next_step", text(&|found| Some(found.cause.next_step().to_owned()))),
            ],
            totals: Vec::new(),
        }
    }
}

fn tallies(rows: impl IntoIterator<Item = (&'static str, Tally)>) -> Table {
    let rows: Vec<(&'static str, Tally)> = rows.into_iter().collect();
    Table {
        columns: vec![
            Column::new("what", Cells::texts(rows.iter().map(|(name, _)| Some((*name).into())))),
            Column::new("count", Cells::Count(rows.iter().map(|(_, tally)| Some(tally.count as i64)).collect())),
            Column::new("amount", Cells::Money(rows.iter().map(|(_, tally)| Some(tally.amount)).collect())),
        ],
        totals: Vec::new(),
    }
}

/// What the page is printed as.
impl Page {
    /// A page that needs nothing but itself.
    pub fn to_html(&self) -> String {
        let title = format!("Reconciliation of {}", self.title());
        let below = format!("What is booked beside what the provider claims, in {}. Amounts are exact.", self.currency);
        let mut page = html::Page::new(&title, &title, &below);
        self.remarks().iter().for_each(|remark| page.paragraph(remark));
        page.heading("From the book to the statement");
        page.table(&self.sums());
        page.heading("After true-ups");
        page.table(&self.trued_up());
        page.heading("What each side says of the calls");
        page.table(&self.sides());
        if self.outside() > 0 {
            page.heading("Why");
            page.table(&self.causes_table());
            page.heading("The largest differences");
            page.table(&self.largest_table());
            page.paragraph(&self.of_how_many());
        }
        page.heading("Statements");
        page.table(&self.sources_table());
        page.paragraph(&self.made_of());
        page.end()
    }

    /// The same for a terminal.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}, in {}; {}\n", self.title(), self.currency, self.made_of());
        for Source { statement, form, asked, period, .. } in &self.sources {
            let _ = writeln!(text, "  statement {statement} ({form}) {}: {asked}", days(*period));
        }
        self.remarks().iter().for_each(|remark| text += &format!("  {remark}\n"));
        for table in [self.sums(), self.trued_up(), self.sides()] {
            text += &format!("\n{}", indented(&with_totals(table).to_text()));
        }
        let mut by_cause: BTreeMap<(Class, Cause), Vec<&Difference>> = BTreeMap::new();
        self.largest().for_each(|found| by_cause.entry((found.class, found.cause)).or_default().push(found));
        for Caused { class, cause, found, left, .. } in self.causes() {
            let (class_name, words) = (class.name(), cause.in_words());
            let _ = writeln!(text, "\n  {class_name}: {} of {}, {left} left: {words}", found.count, found.amount);
            let _ = writeln!(text, "    next: {}", cause.next_step());
            for found in by_cause.remove(&(class, cause)).unwrap_or_default() {
                let (day, model) = (found.day.to_utc().date_naive(), found.model.as_deref().unwrap_or("-"));
                let (here, there, amount) = (found.expected, found.observed, found.amount());
                let _ = writeln!(text, "    {day} {model}: {here} here, {there} there ({amount})");
            }
        }
        if self.outside() > 0 {
            let _ = writeln!(text, "\n  {}", self.of_how_many());
        }
        let Tally { count, amount } = self.left.residual;
        let run = self.run.as_deref().map_or_else(String::new, |run| format!("; run {run}"));
        let _ = writeln!(text, "  outside of the tolerance: {count} variances, {amount}{run}");
        text
    }

    pub fn to_json(&self) -> Value {
        let tally = |tally: Tally| json!({"count": tally.count, "amount": tally.amount.to_string()});
        let period = |period: &Period| json!({"from": period.from.to_string(), "until": period.until.to_string()});
        let classes = Class::ALL.into_iter().map(|class| (class, self.classes[class as usize]));
        let classes = classes.filter(|(_, found)| found.count > 0).map(|(class, found)| (class.name().to_owned(), tally(found)));
        let source = |source: &Source| {
            json!({"statement": source.statement.to_string(), "form": source.form, "asked": source.asked,
                   "from": source.period.from.to_string(), "until": source.period.until.to_string(),
                   "amount": source.amount.to_string()})
        };
        let cause = |caused: &Caused| {
            json!({"class": caused.class.name(), "count": caused.found.count, "amount": caused.found.amount.to_string(),
                   "left": caused.left.to_string(), "cause": caused.cause.in_words(), "next_step": caused.cause.next_step()})
        };
        let Left { printing, within_tolerance, on_another_day, residual } = self.left;
        json!({
            "provider": self.provider,
            "account": self.account,
            "currency": self.currency.to_string(),
            "from": self.period.from.to_string(),
            "until": self.period.until.to_string(),
            "block": self.block,
            "tolerance": self.tolerance.accepted.to_string(),
            "run": self.run,
            "statements": self.sources.iter().map(source).collect::<Vec<_>>(),
            "untold": self.untold.iter().map(period).collect::<Vec<_>>(),
            "booked": tally(self.said.booked),
            "classes": classes.collect::<serde_json::Map<_, _>>(),
            "statement": tally(self.settled),
            "matched": tally(self.matched),
            "guesses": self.guesses,
            "true_ups": tally(self.true_ups),
            "left": {
                "amount": self.left.amount().to_string(),
                "printing": tally(printing),
                "within_tolerance": tally(within_tolerance),
                "on_another_day": tally(on_another_day),
                "residual": tally(residual),
            },
            "reported": tally(self.said.reported),
            "rated": tally(self.said.rated),
            "causes": self.causes().iter().map(cause).collect::<Vec<_>>(),
            "largest": self.largest().map(told).collect::<Vec<_>>(),
        })
    }

    /// What a reader has to know before the numbers.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.untold.is_empty() {
            let untold: Vec<String> = self.untold.iter().map(|period| days(*period)).collect();
            remarks.push(format!("No statement tells of {}: nothing here is of these days.", untold.join(", ")));
        }
        let Tally { count, amount } = self.matched;
        remarks.push(format!("{count} calls or lines are the same on both sides, which are {amount} of the statement."));
        if self.guesses > 0 {
            remarks.push(format!(
                "{} calls have no generation id and were matched by model, time and tokens: a guess.",
                self.guesses
            ));
        }
        remarks
    }

    fn of_how_many(&self) -> String {
        let (shown, all) = (self.largest().count(), self.outside());
        format!(
            "{shown} of {all} differences outside of the tolerance of {}; CSV and Parquet have them all.",
            self.tolerance.accepted
        )
    }

    fn made_of(&self) -> String {
        format!("the book up to block {}", self.block)
    }
}

fn told(found: &Difference) -> Value {
    json!({
        "statement": found.statement.to_string(),
        "class": found.class.name(),
        "day": found.day.to_string(),
        "model": found.model.as_deref(),
        "provider": found.provider.as_deref(),
        "expected": found.expected.to_string(),
        "observed": found.observed.to_string(),
        "amount": found.amount().to_string(),
        "left": found.left.to_string(),
        "entries": found.entries.iter().map(Sequence::to_string).collect::<Vec<_>>(),
        "lines": found.lines,
        "generations": found.generations,
        "cause": found.cause.in_words(),
        "next_step": found.cause.next_step(),
    })
}

/// The totals as last rows, where a table is only text.
fn with_totals(mut table: Table) -> Table {
    for total in std::mem::take(&mut table.totals) {
        for (column, cell) in table.columns.iter_mut().zip(total.cells) {
            match (&mut column.cells, cell) {
                (Cells::Text { texts, places }, cell) => {
                    places.push(texts.len() as u32);
                    texts.push(if let Cell::Text(text) = cell { Some(text) } else { None });
                }
                (Cells::Count(counts) | Cells::Percent(counts), Cell::Count(count) | Cell::Percent(count)) => {
                    counts.push(Some(count))
                }
                (Cells::Count(counts) | Cells::Percent(counts), _) => counts.push(None),
                (Cells::Money(amounts), Cell::Money(amount)) => amounts.push(Some(amount)),
                (Cells::Money(amounts), _) => amounts.push(None),
            }
        }
    }
    table
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Whole UTC days as people name them, else the two instants.
fn days(period: Period) -> String {
    let Period { from, until } = period;
    let day = |at: Instant| at.to_utc().date_naive();
    let last = Instant::from_micros(until.micros() - 1);
    match () {
        () if (from, until) != (from.day(), until.day()) => format!("from {from} until {until}"),
        () if from.month().period() == period => from.month().to_string(),
        () if day(from) == day(last) => day(from).to_string(),
        () => format!("{} to {}", day(from), day(last)),
    }
}
