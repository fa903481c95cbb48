//! Lines that are single generations. Both sides are walked in the order of their ids, so nothing is looked up; what is booked
//! twice is told apart from what is booked once by how near it is to the line. What has no id here is guessed afterwards,
//! among the lines that nobody has claimed.

use super::class::{Cause, Class};
use super::guess;
use super::weigh::{Scales, Side};
use super::{Findings, Found};
use crate::money::Amount;
use crate::reconcile::statement::Flags;
use std::cmp::Ordering;

pub(super) fn compare(findings: &mut Findings<'_>) {
    let (calls, nameless) = by_id(findings);
    let lines = findings.statement.by_id();
    let mut unclaimed = Vec::new();
    let (mut call, mut line) = (0, 0);
    while call < calls.len() || line < lines.len() {
        match order(findings, calls.get(call), lines.get(line)) {
            Ordering::Less => {
                let same = run(findings, &calls[call..]);
                without_line(findings, &calls[call..call + same], Cause::NotClaimed);
                call += same;
            }
            Ordering::Equal => {
                let same = run(findings, &calls[call..]);
                with_line(findings, &calls[call..call + same], lines[line]);
                (call, line) = (call + same, line + 1);
            }
            Ordering::Greater => {
                unclaimed.push(lines[line]);
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
        without_line(findings, &[call], Cause::NoIdHere);
    }
    for line in guessed.lines {
        without_call(findings, line);
    }
}

/// Places of the calls with an id, in its order, and of those without one.
fn by_id(findings: &Findings<'_>) -> (Vec<u32>, Vec<u32>) {
    let places = 0..findings.book.calls.len() as u32;
    let (mut with, without): (Vec<u32>, Vec<u32>) = places.partition(|place| findings.call(*place).generation.is_some());
    let key = |place: &u32| (id(findings, *place), findings.call(*place).sequence);
    with.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    (with, without)
}

fn id<'a>(findings: &Findings<'a>, call: u32) -> &'a str {
    let book = findings.book;
    book.calls[call as usize].generation.map_or("", |id| book.ids.text(id))
}

fn order(findings: &Findings<'_>, call: Option<&u32>, line: Option<&u32>) -> Ordering {
    match (call, line) {
        (Some(call), Some(line)) => {
            let theirs = findings.statement.id_of(findings.line(*line)).unwrap_or_default();
            id(findings, *call).cmp(theirs)
        }
        (Some(_), None) => Ordering::Less,
        _ => Ordering::Greater,
    }
}

/// How many of the first calls are of the same generation.
fn run(findings: &Findings<'_>, calls: &[u32]) -> usize {
    calls.iter().take_while(|call| id(findings, **call) == id(findings, calls[0])).count()
}

/// The call that is nearest to the line stands for it; any other is a duplicate.
fn with_line(findings: &mut Findings<'_>, calls: &[u32], line: u32) {
    let distance = |call: &u32| {
        let booked = findings.call(*call);
        ((booked.amount - findings.line(line).amount).abs(), booked.sequence)
    };
    let kept = calls.iter().copied().min_by_key(distance).expect("a generation has a call");
    pair(findings, kept, line);
    duplicates(findings, calls, kept);
}

fn without_line(findings: &mut Findings<'_>, calls: &[u32], cause: Cause) {
    let kept = calls[0];
    let booked = findings.call(kept);
    // What costs nothing is claimed by nobody.
    if findings.counts(booked.at) && !booked.amount.is_zero() {
        findings.find(&Found {
            class: Class::MissingThere,
            cause,
            expected: booked.amount,
            observed: Amount::ZERO,
            calls: &[kept],
            lines: &[],
        });
    }
    duplicates(findings, calls, kept);
}

pub(super) fn duplicates(findings: &mut Findings<'_>, calls: &[u32], kept: u32) {
    for call in calls.iter().copied().filter(|call| *call != kept) {
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
    let (ours, theirs) = (Side::of_call(booked), Side::of_line(findings, claimed));
    match Scales::new(findings, &ours, &theirs).weigh() {
        None => findings.match_up(claimed.amount),
        Some((class, cause)) => {
            let (expected, observed) = (booked.amount, claimed.amount);
            findings.find(&Found { class, cause, expected, observed, calls: &calls, lines: &lines });
        }
    }
}
