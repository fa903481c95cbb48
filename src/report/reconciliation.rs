//! A reconciliation on one page: what is booked and every difference by its class, which add up to what the provider's
//! statements say; what true-ups made of it and what is left; what was settled beside what was reported and rated; and the
//! largest differences with their likely cause and what to do. A page is of one run or of all days of a range, and adds up
//! from comparisons that each hold their own identity. Like them it says nothing of when it was made.

mod printed;

use crate::id::Sequence;
use crate::money::{Amount, Currency};
use crate::reconcile::compare::{Cause, Class, Comparison, Said, Tally, Tolerance, Variance};
use crate::reconcile::statement::Statement;
use crate::time::{Instant, Period};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Page {
    pub provider: String,
    /// The key or account that the statements are of; all where nothing is said.
    pub account: Option<String>,
    pub currency: Currency,
    pub period: Period,
    /// The book up to this block.
    pub block: i64,
    pub tolerance: Tolerance,
    /// The run that this is the page of, where it is of a single one.
    pub run: Option<String>,
    pub sources: Vec<Source>,
    /// Days that no statement tells of; nothing on the page is of these.
    pub untold: Vec<Period>,
    /// What is said of the calls, before any true-up.
    pub said: Said,
    /// What the statements say, and of how many requests.
    pub settled: Tally,
    pub matched: Tally,
    /// Every class with what it explains between the book without true-ups and the statements.
    pub classes: [Tally; Class::COUNT],
    pub guesses: u64,
    pub true_ups: Tally,
    pub left: Left,
    /// By day, class and size within each statement.
    pub differences: Vec<Difference>,
}

/// A statement, and the days for which its word counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub statement: i64,
    pub form: String,
    /// The file or the question it answers.
    pub asked: String,
    pub period: Period,
    pub amount: Amount,
}

/// What the statements have more than the book with its true-ups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// How amounts are printed and summed.
    pub printing: Tally,
    pub within_tolerance: Tally,
    /// What both sides have, each on a day of its own: as much is left, with the other sign, of the days beside these.
    pub on_another_day: Tally,
    /// What a person should look at.
    pub residual: Tally,
}

impl Left {
    pub fn amount(self) -> Amount {
        [self.printing, self.within_tolerance, self.on_another_day, self.residual].iter().map(|left| left.amount).sum()
    }
}

/// One difference, as it was and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub statement: i64,
    pub class: Class,
    pub cause: Cause,
    pub day: Instant,
    pub model: Option<Arc<str>>,
    pub provider: Option<Arc<str>>,
    /// What the book has without true-ups, and what the statement has in its place.
    pub expected: Amount,
    pub observed: Amount,
    /// What true-ups left of it.
    pub left: Amount,
    pub entries: Vec<Sequence>,
    pub lines: Vec<u32>,
    pub generations: Vec<String>,
}

impl Difference {
    /// What the statement has more than the book.
    pub fn amount(&self) -> Amount {
        self.observed - self.expected
    }
}

/// One statement beside the book, without its true-ups and with them.
pub struct Compared<'c> {
    pub source: Source,
    pub statement: &'c Statement,
    pub before: &'c Comparison,
    pub now: &'c Comparison,
    pub true_ups: Tally,
    pub said: Said,
}

impl Page {
    /// A page of these days on which nothing stands yet.
    pub fn new(provider: &str, period: Period, block: i64, tolerance: Tolerance) -> Page {
        Page {
            provider: provider.to_owned(),
            account: None,
            currency: Currency::USD,
            period,
            block,
            tolerance,
            run: None,
            sources: Vec::new(),
            untold: Vec::new(),
            said: Said::default(),
            settled: Tally::default(),
            matched: Tally::default(),
            classes: [Tally::default(); Class::COUNT],
            guesses: 0,
            true_ups: Tally::default(),
            left: Left::default(),
            differences: Vec::new(),
        }
    }

    /// Takes a comparison in; days that were taken in already must not be among its own.
    pub fn add(&mut self, compared: Compared<'_>) {
        let Compared { source, statement, before, now, true_ups, said } = compared;
        let lines = statement.lines.iter().filter(|line| before.period.holds(line.at));
        self.settled.add(lines.map(|line| line.requests).sum(), before.statement_total);
        self.matched.add(before.matched.count, before.matched.amount);
        self.guesses += before.guesses.len() as u64;
        self.true_ups.add(true_ups.count, true_ups.amount);
        for (sum, more) in
            [(&mut self.said.booked, said.booked), (&mut self.said.rated, said.rated), (&mut self.said.reported, said.reported)]
        {
            sum.add(more.count, more.amount);
        }
        for class in Class::ALL {
            let (found, left) = (before.of(class), now.of(class));
            self.classes[class as usize].add(found.count, found.amount);
            if class.is_of_printing() {
                self.left.printing.add(left.count, left.amount);
            }
        }
        for variance in &now.variances {
            let sum = match variance.class {
                class if class.is_on_both_sides() => &mut self.left.on_another_day,
                class if self.tolerance.accepts(class, variance.amount()) => &mut self.left.within_tolerance,
                _ => &mut self.left.residual,
            };
            sum.add(1, variance.amount());
        }
        self.differences.append(&mut differences(&source, statement, before, now));
        self.sources.push(source);
        assert!(self.holds(), "what is booked, every class and what is left are not what the statements say");
    }

    /// *Statement = booked + differences*, and *statement = booked + true-ups + what is left*.
    fn holds(&self) -> bool {
        let explained: Amount = self.classes.iter().map(|found| found.amount).sum();
        let booked = self.said.booked.amount;
        self.settled.amount == booked + explained && self.settled.amount == booked + self.true_ups.amount + self.left.amount()
    }

    /// The differences that should be looked at first.
    pub fn largest(&self) -> impl Iterator<Item = &Difference> {
        let mut outside: Vec<&Difference> = self.differences.iter().filter(|found| self.is_outside(found)).collect();
        outside.sort_by_key(|found| std::cmp::Reverse(found.amount().abs().max(found.left.abs())));
        outside.into_iter().take(SHOWN)
    }

    fn is_outside(&self, found: &Difference) -> bool {
        [found.amount(), found.left].into_iter().any(|amount| !self.tolerance.accepts(found.class, amount))
    }

    /// What probably made the differences, the dearest first; each cause is told once.
    fn causes(&self) -> Vec<Caused> {
        let mut causes: BTreeMap<(Class, Cause), Caused> = BTreeMap::new();
        for found in self.differences.iter().filter(|found| self.is_outside(found)) {
            let nothing = Caused {
                class: found.class,
                cause: found.cause,
                found: Tally::default(),
                size: Amount::ZERO,
                left: Amount::ZERO,
            };
            let caused = causes.entry((found.class, found.cause)).or_insert(nothing);
            caused.found.add(1, found.amount());
            caused.size += found.amount().abs().max(found.left.abs());
            caused.left += found.left;
        }
        let mut causes: Vec<Caused> = causes.into_values().collect();
        causes.sort_by_key(|caused| std::cmp::Reverse(caused.size));
        causes
    }

    fn outside(&self) -> usize {
        self.differences.iter().filter(|found| self.is_outside(found)).count()
    }
}

/// Differences that are shown on a page; files have them all.
const SHOWN: usize = 20;

struct Caused {
    class: Class,
    cause: Cause,
    found: Tally,
    size: Amount,
    left: Amount,
}

/// What a difference is known by, whatever is booked about it: the statement's lines, or the first entry where there are none.
fn known_by<'c>(comparison: &'c Comparison, variance: &Variance) -> (&'c [u32], Option<Sequence>) {
    let lines = comparison.lines_of(variance);
    (lines, comparison.entries_of(variance).first().copied().filter(|_| lines.is_empty()))
}

/// Every difference from before true-ups with what is left of it, and whatever came up only since.
fn differences(source: &Source, statement: &Statement, before: &Comparison, now: &Comparison) -> Vec<Difference> {
    let mut left: HashMap<_, Amount> = HashMap::new();
    for variance in &now.variances {
        *left.entry(known_by(now, variance)).or_default() += variance.amount();
    }
    let mut found = Vec::with_capacity(before.variances.len());
    for variance in &before.variances {
        let left = left.remove(&known_by(before, variance)).unwrap_or_default();
        found.push(Difference { left, ..difference(source, statement, before, variance) });
    }
    for variance in &now.variances {
        if let Some(left) = left.remove(&known_by(now, variance)) {
            found.push(Difference { left, expected: variance.observed, ..difference(source, statement, now, variance) });
        }
    }
    found
}

fn difference(source: &Source, statement: &Statement, comparison: &Comparison, variance: &Variance) -> Difference {
    let name = |name: Option<_>| name.map(|name| comparison.names.text(name).into());
    let lines = comparison.lines_of(variance);
    let generation = |number: &u32| statement.id_of(&statement.line_numbered(*number)?).map(str::to_owned);
    let generations = lines.iter().filter_map(generation);
    Difference {
        statement: source.statement,
        class: variance.class,
        cause: variance.cause,
        day: variance.day,
        model: name(variance.model),
        provider: name(variance.provider),
        expected: variance.expected,
        observed: variance.observed,
        left: variance.amount(),
        entries: comparison.entries_of(variance).to_vec(),
        lines: lines.to_vec(),
        generations: generations.collect(),
    }
}
