//! Two accounts of the same usage side by side: `compare(book, statement)` is pure and deterministic, so the same two give the
//! same answer. Where lines are generations they are matched by their ids, and what has no id by a guess that says that it is
//! one; otherwise by day, model and provider. Every difference becomes a [`Variance`] of one class, except those of printing
//! (truncated, rounding), which are tested row by row and kept as sums. *Statement = book + all differences* is an
//! invariant of a [`Comparison`], to the last digit.

mod class;
mod days;
mod generations;
mod guess;
mod weigh;

use crate::id::Sequence;
use crate::money::Amount;
use crate::reconcile::compact::{Compact, Decoder, Encoded, Encoder};
use crate::reconcile::statement::{Flags, Line, Statement, Tokens};
use crate::reconcile::texts::{Id, Ids, Name, Names, Translation};
use crate::time::{Instant, Period};
pub use class::{Cause, Class};
pub use guess::Guess;
use std::ops::Range;

/// What is booked to the payee whose statement it is, in the words of this comparison.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub names: Names,
    pub ids: Ids,
    pub calls: Compact<Booked>,
    /// The keys whose usage comes into this book, if that is known: usage of any other is nothing that was lost.
    pub metered: Option<Vec<Name>>,
}

/// What stands in the book for one call: its charge with every correction and true-up added up. Two of the same
/// generation are a duplicate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Booked {
    /// The entry that stands for it.
    pub sequence: Sequence,
    pub generation: Option<Id>,
    pub at: Instant,
    /// As the statement names models: aliases are translated by the catalog before, never guessed here.
    pub model: Option<Name>,
    pub served_by: Option<Name>,
    pub tier: Option<Name>,
    pub requests: u64,
    pub tokens: Tokens,
    /// What is owed to the payee, and of that, what is for tools.
    pub amount: Amount,
    pub tools: Amount,
    pub rated: Option<Amount>,
    pub reported: Option<Amount>,
    /// What is owed to the upstream instead, for a key of one's own.
    pub upstream: Amount,
    pub flags: Flags,
}

impl Encoded for Booked {
    const USUAL: usize = 96;

    fn write(&self, to: &mut Encoder<'_>) {
        to.signed(self.sequence.0);
        to.id(self.generation);
        to.signed(self.at.micros());
        for name in [self.model, self.served_by, self.tier] {
            to.name(name);
        }
        to.number(self.requests);
        self.tokens.write(to);
        to.amount(self.amount);
        to.amount(self.tools);
        to.optional(self.rated);
        to.optional(self.reported);
        to.amount(self.upstream);
        self.flags.write(to);
    }

    fn read(from: &mut Decoder<'_>) -> Booked {
        Booked {
            sequence: Sequence(from.signed()),
            generation: from.id(),
            at: Instant::from_micros(from.signed()),
            model: from.name(),
            served_by: from.name(),
            tier: from.name(),
            requests: from.number(),
            tokens: Tokens::read(from),
            amount: from.amount(),
            tools: from.amount(),
            rated: from.optional(),
            reported: from.optional(),
            upstream: from.amount(),
            flags: Flags::read(from),
        }
    }
}

/// What is said of the calls of some days, as sums over those of which it is said: what was booked beside what the list and
/// the provider's answers said of the same calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Said {
    pub booked: Tally,
    /// Without the calls with a key of one's own: what is rated and reported of these is the upstream's.
    pub rated: Tally,
    pub reported: Tally,
}

impl Book {
    pub fn said(&self, period: Period) -> Said {
        let mut said = Said::default();
        for call in self.calls.iter().filter(|call| period.holds(call.at)) {
            said.booked.add(call.requests, call.amount);
            for (tally, amount) in [(&mut said.rated, call.rated), (&mut said.reported, call.reported)] {
                if let Some(amount) = amount.filter(|_| !call.flags.has(Flags::BYOK)) {
                    tally.add(call.requests, amount);
                }
            }
        }
        said
    }
}

/// What is still the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tolerance {
    /// A difference of one line up to this is rounding.
    pub noise: Amount,
    /// The same for sums that were made in binary floats, in billionths of the sum.
    pub billionths: u32,
    /// How far the times of a guess may lie apart, in microseconds.
    pub window: i64,
    /// A variance up to this is nothing to act upon.
    pub accepted: Amount,
}

impl Tolerance {
    /// Whether a difference asks nobody to do anything.
    pub fn accepts(&self, class: Class, difference: Amount) -> bool {
        class.is_on_both_sides() || difference.abs() <= self.accepted
    }
}

impl Default for Tolerance {
    /// A millionth of a millionth, a billionth of a sum, five minutes, and nothing.
    fn default() -> Tolerance {
        Tolerance { noise: Amount::from_units(10_i128.pow(12)), billionths: 1, window: 300_000_000, accepted: Amount::ZERO }
    }
}

/// One difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variance {
    pub class: Class,
    pub cause: Cause,
    /// What the book has, and what the statement has in its place.
    pub expected: Amount,
    pub observed: Amount,
    /// The first instant of the UTC day that it is about.
    pub day: Instant,
    pub model: Option<Name>,
    pub provider: Option<Name>,
    entries: Range<u32>,
    lines: Range<u32>,
}

/// How often, and how much in sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    pub count: u64,
    pub amount: Amount,
}

impl Tally {
    pub fn add(&mut self, count: u64, amount: Amount) {
        *self = Tally { count: self.count + count, amount: self.amount + amount };
    }
}

/// What a comparison found.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub period: Period,
    pub statement_total: Amount,
    pub book_total: Amount,
    /// What both say alike; its amount is the statement's.
    pub matched: Tally,
    /// Every class with what it explains, in their order.
    pub classes: [Tally; Class::COUNT],
    /// In the order of days, classes and sizes; without those of printing.
    pub variances: Vec<Variance>,
    /// What was matched without an id.
    pub guesses: Vec<Guess>,
    /// What has no id and was matched with nothing, also where it lies outside of the period or cost nothing: any of it may be
    /// a line that seems to be missing.
    pub nameless: Vec<Sequence>,
    /// The book's names and the statement's.
    pub names: Names,
    entries: Vec<Sequence>,
    lines: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotCompare {
    #[error("what is booked adds up to more than a book holds")]
    TooLarge,
    #[error("more than four billion entries; compare fewer days at once")]
    TooMany,
    #[error("from {from} until {until} are no whole UTC days, and this statement tells nothing finer")]
    NoWholeDays { from: Instant, until: Instant },
}

/// Compares what both sides say of a period. What lies outside of it is looked at too, to tell what is missing from what is
/// only on another day, and adds nothing to any sum.
pub fn compare(book: &Book, statement: &Statement, period: Period, tolerance: &Tolerance) -> Result<Comparison, CannotCompare> {
    let sizes = book
        .calls
        .iter()
        .flat_map(|call| [call.amount, call.tools, call.upstream, call.reported.unwrap_or_default()])
        .map(Amount::abs);
    let mut size = Amount::ZERO;
    for amount in sizes {
        size = size.checked_add(amount).filter(|size| size.fits()).ok_or(CannotCompare::TooLarge)?;
    }
    if u32::try_from(book.calls.len()).is_err() {
        return Err(CannotCompare::TooMany);
    }
    let Period { from, until } = period;
    if !statement.form.is_by_generation() && (from, until) != (from.day(), until.day()) {
        return Err(CannotCompare::NoWholeDays { from, until });
    }
    let mut findings = Findings::new(book, statement, period, tolerance);
    match statement.form.is_by_generation() {
        true => generations::compare(&mut findings),
        false => days::compare(&mut findings),
    }
    Ok(findings.finish())
}

/// A comparison while it is made.
struct Findings<'a> {
    book: &'a Book,
    statement: &'a Statement,
    period: Period,
    tolerance: &'a Tolerance,
    names: Names,
    /// What the statement's names are called in `names`; the book's are called the same.
    translation: Translation,
    matched: Tally,
    classes: [Tally; Class::COUNT],
    variances: Vec<Variance>,
    guesses: Vec<Guess>,
    nameless: Vec<Sequence>,
    entries: Vec<Sequence>,
    lines: Vec<u32>,
}

/// A difference that was found, by places in the book and the statement.
struct Found<'f> {
    class: Class,
    cause: Cause,
    expected: Amount,
    observed: Amount,
    calls: &'f [u32],
    lines: &'f [u32],
}

impl<'a> Findings<'a> {
    fn new(book: &'a Book, statement: &'a Statement, period: Period, tolerance: &'a Tolerance) -> Findings<'a> {
        let mut names = book.names.clone();
        let translation = names.take_in(&statement.names);
        Findings {
            book,
            statement,
            period,
            tolerance,
            names,
            translation,
            matched: Tally::default(),
            classes: [Tally::default(); Class::COUNT],
            variances: Vec::new(),
            guesses: Vec::new(),
            nameless: Vec::new(),
            entries: Vec::new(),
            lines: Vec::new(),
        }
    }

    fn call(&self, place: u32) -> Booked {
        self.book.calls.get(place as usize)
    }

    fn line(&self, place: u32) -> Line {
        self.statement.lines.get(place as usize)
    }

    fn counts(&self, at: Instant) -> bool {
        self.period.holds(at)
    }

    fn translated(&self, name: Option<Name>) -> Option<Name> {
        name.map(|name| self.translation.get(name))
    }

    /// Both sides say the same.
    fn match_up(&mut self, amount: Amount) {
        self.matched = Tally { count: self.matched.count + 1, amount: self.matched.amount + amount };
    }

    fn find(&mut self, found: &Found<'_>) {
        let tally = &mut self.classes[found.class as usize];
        *tally = Tally { count: tally.count + 1, amount: tally.amount + (found.observed - found.expected) };
        if found.class.is_of_printing() {
            return;
        }
        let (entries_from, lines_from) = (self.entries.len() as u32, self.lines.len() as u32);
        self.entries.extend(found.calls.iter().map(|place| self.book.calls.get(*place as usize).sequence));
        self.lines.extend(found.lines.iter().map(|place| self.statement.lines.get(*place as usize).number));
        let line = found.lines.first().map(|place| self.line(*place));
        let call = found.calls.first().map(|place| self.call(*place));
        let at = line.map(|line| line.at).or(call.map(|call| call.at)).unwrap_or(self.period.from);
        self.variances.push(Variance {
            class: found.class,
            cause: found.cause,
            expected: found.expected,
            observed: found.observed,
            day: at.day(),
            model: line.and_then(|line| self.translated(line.model)).or(call.and_then(|call| call.model)),
            provider: line.and_then(|line| self.translated(line.provider)).or(call.and_then(|call| call.served_by)),
            entries: entries_from..self.entries.len() as u32,
            lines: lines_from..self.lines.len() as u32,
        });
    }

    fn finish(mut self) -> Comparison {
        let lines = &self.statement.lines;
        let (entries, numbers) = (&self.entries, &self.lines);
        let first = |variance: &Variance| {
            let (entry, line) = (variance.entries.start as usize, variance.lines.start as usize);
            (
                numbers.get(line).filter(|_| !variance.lines.is_empty()),
                entries.get(entry).filter(|_| !variance.entries.is_empty()),
            )
        };
        self.variances.sort_by(|a, b| {
            let size = |variance: &Variance| std::cmp::Reverse(variance.amount().abs());
            (a.day, a.class, size(a)).cmp(&(b.day, b.class, size(b))).then_with(|| first(a).cmp(&first(b)))
        });
        let counts = |at: Instant| self.period.holds(at);
        let comparison = Comparison {
            period: self.period,
            statement_total: lines.iter().filter(|line| counts(line.at)).map(|line| line.amount).sum(),
            book_total: self.book.calls.iter().filter(|call| counts(call.at)).map(|call| call.amount).sum(),
            matched: self.matched,
            classes: self.classes,
            variances: self.variances,
            guesses: self.guesses,
            nameless: self.nameless,
            names: self.names,
            entries: self.entries,
            lines: self.lines,
        };
        comparison.balanced()
    }
}

impl Variance {
    /// What the statement has more than the book.
    pub fn amount(&self) -> Amount {
        self.observed - self.expected
    }
}

impl Comparison {
    /// The entries that a variance is about.
    pub fn entries_of(&self, variance: &Variance) -> &[Sequence] {
        &self.entries[variance.entries.start as usize..variance.entries.end as usize]
    }

    /// The numbers of the statement's lines that a variance is about.
    pub fn lines_of(&self, variance: &Variance) -> &[u32] {
        &self.lines[variance.lines.start as usize..variance.lines.end as usize]
    }

    pub const fn of(&self, class: Class) -> Tally {
        self.classes[class as usize]
    }

    /// The variances that somebody should look at.
    pub fn outside<'c>(&'c self, tolerance: &'c Tolerance) -> impl Iterator<Item = &'c Variance> {
        self.variances.iter().filter(|variance| !tolerance.accepts(variance.class, variance.amount()))
    }

    /// The books are asserted here: nobody gets a comparison whose differences do not explain everything.
    fn balanced(self) -> Comparison {
        let explained: Amount = self.classes.iter().map(|tally| tally.amount).sum();
        assert!(
            self.statement_total == self.book_total + explained,
            "{} of the statement are not {} of the book and {explained} of differences",
            self.statement_total,
            self.book_total
        );
        for class in Class::ALL.into_iter().filter(|class| !class.is_of_printing()) {
            let listed: Amount = self.variances.iter().filter(|v| v.class == class).map(Variance::amount).sum();
            assert!(listed == self.of(class).amount, "the variances of {} are not their sum", class.name());
        }
        self
    }
}
