//! Matching without an id: a call and a line of the same model, near in time, with the same counts or the same cost, one to
//! one. The best pairs are taken first. It stays a guess: how far the times lie apart is told, and how much farther the
//! next candidate was, so that a person can see what it is worth.

use super::Findings;
use crate::id::Sequence;
use crate::reconcile::statement::{Flags, Precision, cut_to_micros};
use crate::reconcile::texts::Name;
use crate::time::Instant;

/// A pair that was guessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Guess {
    pub sequence: Sequence,
    /// The statement's line.
    pub line: u32,
    /// Microseconds between the two.
    pub apart: i64,
    /// How much farther the nearest rival of either was; without one the guess is as good as sure.
    pub margin: Option<i64>,
}

pub(super) struct Guessed {
    pub pairs: Vec<(Guess, u32, u32)>,
    /// What nothing was found for.
    pub calls: Vec<u32>,
    pub lines: Vec<u32>,
}

/// Candidates of one call that are looked at in one round, and rounds: calls that are all alike and all at once have the same
/// few lines nearest to them, and whoever goes away empty is asked again about those that are left.
const NEAREST: usize = 16;
const ROUNDS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// 0: counts and cost agree, 1: counts do, 2: the cost does.
    level: u8,
    apart: i64,
    call: u32,
    line: u32,
}

pub(super) fn pairs(findings: &Findings<'_>, calls: &[u32], lines: &[u32]) -> Guessed {
    let mut guessed = Guessed { pairs: Vec::new(), calls: calls.to_vec(), lines: lines.to_vec() };
    for _ in 0..ROUNDS {
        let candidates = candidates(findings, &guessed.calls, &guessed.lines);
        if candidates.is_empty() {
            break;
        }
        guessed.take(findings, &candidates);
    }
    guessed
}

impl Guessed {
    /// Takes the best pairs first, and each call and line once.
    fn take(&mut self, findings: &Findings<'_>, candidates: &[Candidate]) {
        let rivals = Rivals::of(candidates);
        let mut calls = vec![false; findings.book.calls.len()];
        let mut lines = vec![false; findings.statement.lines.len()];
        for pair in candidates {
            let (call, line) = (&mut calls[pair.call as usize], &mut lines[pair.line as usize]);
            if *call || *line {
                continue;
            }
            (*call, *line) = (true, true);
            let guess = Guess {
                sequence: findings.call(pair.call).sequence,
                line: findings.line(pair.line).number,
                apart: pair.apart,
                margin: rivals.margin(pair),
            };
            self.pairs.push((guess, pair.call, pair.line));
        }
        self.calls.retain(|call| !calls[*call as usize]);
        self.lines.retain(|line| !lines[*line as usize]);
    }
}

/// For each call the candidates that are best, all of them in the order from good to bad.
fn candidates(findings: &Findings<'_>, calls: &[u32], lines: &[u32]) -> Vec<Candidate> {
    let key = |place: &u32| {
        let line = findings.line(*place);
        (findings.translated(line.model), line.at, *place)
    };
    let mut by_time: Vec<_> = lines.iter().map(key).collect();
    by_time.sort_unstable();
    let (mut candidates, mut near) = (Vec::new(), Vec::new());
    for call in calls {
        let booked = findings.call(*call);
        if booked.model.is_none() {
            continue;
        }
        let is_near = |(model, at, _): &&(Option<Name>, Instant, u32)| {
            *model == booked.model && (at.micros() - booked.at.micros()).abs() <= findings.tolerance.window
        };
        let middle = by_time.partition_point(|(model, at, _)| (*model, *at) < (booked.model, booked.at));
        let (before, after) = by_time.split_at(middle);
        let lines = before.iter().rev().take_while(is_near).chain(after.iter().take_while(is_near));
        near.clear();
        near.extend(lines.filter_map(|(.., line)| candidate(findings, *call, *line)));
        if near.len() > NEAREST {
            near.select_nth_unstable(NEAREST);
            near.truncate(NEAREST);
        }
        candidates.extend_from_slice(&near);
    }
    candidates.sort_unstable();
    candidates
}

fn candidate(findings: &Findings<'_>, call: u32, line: u32) -> Option<Candidate> {
    let (booked, claimed) = (findings.call(call), findings.line(line));
    let counted =
        !booked.flags.has(Flags::COUNTS_UNTOLD) && !claimed.flags.has(Flags::COUNTS_UNTOLD) && !booked.tokens.is_empty();
    let counts = counted && booked.tokens == claimed.tokens;
    let printed = if claimed.precision == Precision::Truncated { cut_to_micros(booked.amount) } else { booked.amount };
    let cost = !claimed.amount.is_zero() && printed == claimed.amount;
    let level = match (counts, cost) {
        (true, true) => 0,
        (true, false) => 1,
        (false, true) => 2,
        (false, false) => return None,
    };
    Some(Candidate { level, apart: (booked.at.micros() - claimed.at.micros()).abs(), call, line })
}

/// The candidates by either end, to see who else there was.
struct Rivals<'c> {
    by_call: Vec<&'c Candidate>,
    by_line: Vec<&'c Candidate>,
}

impl<'c> Rivals<'c> {
    fn of(candidates: &'c [Candidate]) -> Rivals<'c> {
        let sorted = |key: fn(&Candidate) -> u32| {
            let mut sorted: Vec<&Candidate> = candidates.iter().collect();
            sorted.sort_by_key(|candidate| key(candidate));
            sorted
        };
        Rivals { by_call: sorted(|candidate| candidate.call), by_line: sorted(|candidate| candidate.line) }
    }

    /// How much farther the nearest other candidate that agrees as well was; negative where it was nearer and had another.
    fn margin(&self, pair: &Candidate) -> Option<i64> {
        let of = |sorted: &[&Candidate], key: fn(&Candidate) -> u32| {
            let from = sorted.partition_point(|candidate| key(candidate) < key(pair));
            let same = sorted[from..].iter().take_while(|candidate| key(candidate) == key(pair));
            same.filter(|other| **other != pair && other.level <= pair.level).map(|other| other.apart - pair.apart).min()
        };
        let (one, other) = (of(&self.by_call, |candidate| candidate.call), of(&self.by_line, |candidate| candidate.line));
        one.into_iter().chain(other).min()
    }
}
