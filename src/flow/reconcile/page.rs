//! The page of a reconciliation: of one run as it was made, or of a range of days as the newest statements tell of them and
//! the book is. Nothing is written down of it; the same statements and block give the same page.

use super::{Asked, PROVIDER, Reconciled, Wish};
use crate::flow::{Farthing, FlowError};
use crate::id::{BlockNumber, Org};
use crate::reconcile::told_by;
use crate::report::reconciliation::{Compared, Page, Source};
use crate::time::{Instant, Period};

/// What a page is to be of.
#[derive(Clone, Debug)]
pub enum Shown {
    Run(String),
    Range(Range),
}

/// Whole UTC days.
#[derive(Clone, Debug)]
pub struct Range {
    pub period: Period,
    /// The key or account whose statements are read; those of all where nothing is said.
    pub account: Option<String>,
    /// The book up to this block; up to its head where nothing is said.
    pub block: Option<BlockNumber>,
    pub tolerance: Option<String>,
}

impl Shown {
    /// What is meant by these words: a run, a month, or the first day and the one after the last. A mistake begins with the
    /// name of the word that is wrong.
    pub fn asked(run: Option<String>, month: Option<&str>, ends: [Option<&str>; 2], rest: Range) -> Result<Shown, String> {
        let end = |name: &str, text: &str| {
            let at = Instant::parse_date_or_instant(text).map_err(|e| format!("{name}: {e}"))?;
            if at == at.day() { Ok(at) } else { Err(format!("{name}: {at} is no beginning of a UTC day")) }
        };
        let period = match (run, month, ends) {
            (Some(_), None, [None, None]) if rest.says_something() => {
                return Err("run: it has an account, a block and a tolerance of its own; leave these out".to_owned());
            }
            (Some(run), None, [None, None]) => return Ok(Shown::Run(run)),
            (None, Some(month), [None, None]) => {
                let month: crate::time::Month = month.parse().map_err(|e| format!("month: {e}"))?;
                month.period()
            }
            (None, None, [Some(from), Some(until)]) => Period { from: end("from", from)?, until: end("until", until)? },
            _ => return Err("month: name a run, a month such as 2026-11, or from and until, and one of them only".to_owned()),
        };
        if period.from >= period.until {
            return Err(format!("until: the range ends ({}) before it begins ({})", period.until, period.from));
        }
        if period.until.micros() - period.from.micros() > LONGEST {
            return Err("until: more than 400 days; ask for fewer at once".to_owned());
        }
        let asked = Asked { tolerance: rest.tolerance.clone(), ..Asked::default() };
        asked.tolerance()?;
        Ok(Shown::Range(Range { period, ..rest }))
    }
}

/// Each day of a range is looked up among all statements.
const LONGEST: i64 = 400 * 86_400_000_000;

impl Range {
    fn says_something(&self) -> bool {
        self.account.is_some() || self.block.is_some() || self.tolerance.is_some()
    }
}

impl Default for Range {
    /// No days yet.
    fn default() -> Range {
        let nothing = Instant::from_micros(0);
        Range { period: Period { from: nothing, until: nothing }, account: None, block: None, tolerance: None }
    }
}

impl Farthing {
    pub async fn reconciliation_page(&self, org: Org, shown: &Shown) -> Result<Page, FlowError> {
        match shown {
            Shown::Run(run) => Ok(page_of(&self.reconciled(org, run).await?)),
            Shown::Range(range) => self.page_of_range(org, range).await,
        }
    }

    async fn page_of_range(&self, org: Org, range: &Range) -> Result<Page, FlowError> {
        let statements = self.statements(org).await?;
        let (told, untold) = told_by(&statements, range.account.as_deref(), range.period).map_err(FlowError::Refused)?;
        if told.is_empty() {
            return Err(FlowError::NotThere(nothing_tells(range, &statements)));
        }
        // All comparisons are of one book, whatever is booked in between.
        let block = self.book_until(org, range.block).await?.block;
        let tolerance = Asked { tolerance: range.tolerance.clone(), ..Asked::default() };
        let mut page = Page::new(PROVIDER, range.period, block.0, tolerance.tolerance().map_err(FlowError::Refused)?);
        page.account.clone_from(&range.account);
        page.untold = untold;
        for (statement, period) in told {
            let ends = (Some(period.from.to_string()), Some(period.until.to_string()));
            let asked = Asked { from: ends.0, until: ends.1, tolerance: range.tolerance.clone() };
            let wish = Wish { statement, block: Some(block), asked };
            add(&mut page, &self.compare_with(org, &wish).await?);
        }
        Ok(page)
    }
}

/// The page of one comparison.
pub fn page_of(run: &Reconciled) -> Page {
    let mut page = Page::new(PROVIDER, run.comparison.period, run.kept.block.0, run.tolerance);
    page.account = Some(run.stated.account.clone()).filter(|account| !account.is_empty());
    page.run = Some(run.kept.run.clone());
    add(&mut page, run);
    page
}

fn add(page: &mut Page, run: &Reconciled) {
    page.currency = run.statement.currency;
    page.add(Compared {
        source: Source {
            statement: run.kept.statement,
            form: run.stated.form.clone(),
            asked: run.stated.asked.clone(),
            period: run.comparison.period,
            amount: run.comparison.statement_total,
        },
        statement: &run.statement,
        before: run.before.as_ref().unwrap_or(&run.comparison),
        now: &run.comparison,
        true_ups: run.true_ups,
        said: run.said,
    });
}

fn nothing_tells(range: &Range, statements: &[(i64, super::Stated)]) -> String {
    let Period { from, until } = range.period;
    let is_of_another = |stated: &super::Stated| range.account.as_deref().unwrap_or_default() != stated.account;
    let of_others = statements.iter().any(|(_, stated)| !stated.is_a_look() && is_of_another(stated));
    let hint =
        if of_others { "name the account whose statements are meant, or import one of all" } else { "import or fetch one first" };
    format!("no statement tells of the days from {from} until {until}; {hint}")
}
