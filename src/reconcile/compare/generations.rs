//! Lines that are single generations. Both sides are walked in the order of their ids, so nothing is looked up; what is booked
//! twice is told apart from what is booked once by how near it is to the line. What has no id here is guessed afterwards,
//! among the lines that nobody has claimed.

use super::class::{Cause, Class};
use super::guess;
use super::weigh::{Scales, Side};
use super::{Findings, Found};
use crate::money::Amount;
use crate::reconcile::statement::Flags;
use crate::reconcile::texts::Id;
use std::cmp::Ordering;

pub(super) fn compare(findings: &mut Findings<'_>) {
    let (calls, nameless) = by_id(findings);
    let lines = findings.statement.by_id();
    let mut unclaimed = Vec::new();
    let (mut call, mut line) = (0, 0);
    while call < calls.len() || line < lines.len() {
        match order(findings, calls.get(call), lines.get(line)) {
            Ordering::Less => {
                let same = &calls[call..][..same_generation(findings, &calls[call..])];
                without_line(findings, same);
                call += same.len();
            }
            Ordering::Equal => {
                let same = &calls[call..][..same_generation(findings, &calls[call..])];
                with_line(findings, same, lines[line].1);
                (call, line) = (call + same.len(), line + 1);
            }
            Ordering::Greater => {
                unclaimed.push(lines[line].1);
                line += 1;
            }
        }
    }
    let guessed = guess::pairs(findings, &nameless, &unclaimed);
    for (guess, call, line) in guessed.pairs {
        findings.guesses.push(guess);
        pair(findings, call, line);
    }
    for call in guessed.calls {
        findings.nameless.push(findings.call(call).sequence);
        not_there(findings, call, Cause::NoIdHere);
    }
    for line in guessed.lines {
        without_call(findings, line);
    }
}

/// The calls with an id and their places, in its order, and the places of those without one.
pub(super) fn by_id(findings: &Findings<'_>) -> (Vec<(Id, u32)>, Vec<u32>) {
    let (book, mut without) = (findings.book, Vec::new());
    let mut with: Vec<(Id, u32)> = Vec::with_capacity(book.calls.len());
    for (call, place) in book.calls.iter().zip(0..) {
        match call.generation {
            Some(id) => with.push((id, place)),
            None => without.push(place),
        }
    }
    with.sort_unstable_by(|(a, first), (b, second)| {
        let sequence = |place: &u32| findings.call(*place).sequence;
        book.ids.text(*a).cmp(book.ids.text(*b)).then_with(|| sequence(first).cmp(&sequence(second)))
    });
    (with, without)
}

fn order(findings: &Findings<'_>, call: Option<&(Id, u32)>, line: Option<&(Id, u32)>) -> Ordering {
    match (call, line) {
        (Some((ours, _)), Some((theirs, _))) => findings.book.ids.text(*ours).cmp(findings.statement.ids.text(*theirs)),
        (Some(_), None) => Ordering::Less,
        _ => Ordering::Greater,
    }
}

/// How many of the first calls are of one generation.
fn same_generation(findings: &Findings<'_>, calls: &[(Id, u32)]) -> usize {
    let text = |id: Id| findings.book.ids.text(id);
    calls.iter().take_while(|(id, _)| text(*id) == text(calls[0].0)).count()
}

fn places(calls: &[(Id, u32)]) -> impl Iterator<Item = u32> {
    calls.iter().map(|(_, place)| *place)
}

/// The call that is nearest to the line stands for it; any other is a duplicate.
fn with_line(findings: &mut Findings<'_>, calls: &[(Id, u32)], line: u32) {
    let claimed = findings.line(line).amount;
    let distance = |call: &u32| {
        let booked = findings.call(*call);
        ((booked.amount - claimed).abs(), booked.sequence)
    };
    let kept = places(calls).min_by_key(distance).expect("a generation has a call");
    pair(findings, kept, line);
    duplicates(findings, places(calls), kept);
}

fn without_line(findings: &mut Findings<'_>, calls: &[(Id, u32)]) {
    let kept = calls[0].1;
    not_there(findings, kept, Cause::NotClaimed);
    duplicates(findings, places(calls), kept);
}

fn not_there(findings: &mut Findings<'_>, call: u32, cause: Cause) {
    let booked = findings.call(call);
    // What costs nothing is claimed by nobody.
    if findings.counts(booked.at) && !booked.amount.is_zero() {
        findings.find(&Found {
            class: Class::MissingThere,
            cause,
            expected: booked.amount,
            observed: Amount::ZERO,
            calls: &[call],
            lines: &[],
        });
    }
}

pub(super) fn duplicates(findings: &mut Findings<'_>, calls: impl Iterator<Item = u32>, kept: u32) {
    for call in calls.filter(|call| *call != kept) {
        let booked = findings.call(call);
        if findings.counts(booked.at) && !booked.amount.is_zero() {
            findings.find(&Found {
                class: Class::DuplicateHere,
                cause: Cause::SameGeneration,
                expected: booked.amount,
                observed: Amount::ZERO,
                calls: &[call, kept],
                lines: &[],
            });
        }
    }
}

fn without_call(findings: &mut Findings<'_>, place: u32) {
    let line = findings.line(place);
    if !findings.counts(line.at) {
        return;
    }
    let other_key = || {
        let metered = findings.book.metered.as_ref()?;
        let key = findings.translated(line.key)?;
        Some(!metered.contains(&key))
    };
    let (class, cause) = if line.flags.has(Flags::WITHOUT_KEY) {
        (Class::Unmetered, Cause::WithoutKey)
    } else if other_key() == Some(true) {
        (Class::Unmetered, Cause::AnotherKey)
    } else if line.amount.is_zero() {
        (Class::MissingHere, Cause::FreeThere)
    } else if line.flags.has(Flags::CANCELLED) {
        (Class::MissingHere, Cause::CancelledThere)
    } else {
        (Class::MissingHere, Cause::NeverSent)
    };
    findings.find(&Found { class, cause, expected: Amount::ZERO, observed: line.amount, calls: &[], lines: &[place] });
}

/// One call and its line: first whether they are on the same side of the period's edge, then what they say.
fn pair(findings: &mut Findings<'_>, call: u32, line: u32) {
    let (booked, claimed) = (findings.call(call), findings.line(line));
    let (here, there) = (findings.counts(booked.at), findings.counts(claimed.at));
    let (calls, lines) = ([call], [line]);
    if here != there && !booked.amount.is_zero() {
        let (expected, observed) = if here { (booked.amount, Amount::ZERO) } else { (Amount::ZERO, booked.amount) };
        let (class, cause) = (Class::Timing, Cause::AnotherDay);
        findings.find(&Found { class, cause, expected, observed, calls: &calls, lines: &lines });
    }
    if !there {
        return;
    }
    let (ours, theirs) = (Side::of_call(&booked), Side::of_line(findings, &claimed));
    match Scales::new(findings, &ours, &theirs).weigh() {
        None => findings.match_up(claimed.amount),
        Some((class, cause)) => {
            let (expected, observed) = (booked.amount, claimed.amount);
            findings.find(&Found { class, cause, expected, observed, calls: &calls, lines: &lines });
        }
    }
}
