//! Matching without an id: a call and a line of the same model, near in time, with the same counts or the same cost, one to
//! one. The best pairs are taken first. It stays a guess: how far the times lie apart is told, and how much farther the
//! next candidate was, so that a person can see what it is worth.

use super::{Booked, Findings, Line};
use crate::id::Sequence;
use crate::reconcile::statement::{Flags, Precision, cut_to_micros};
use crate::reconcile::texts::Name;
use crate::time::Instant;
use std::collections::VecDeque;

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

/// For each call the candidates that are best, all of them in the order from good to bad. Calls and lines are walked side by
/// side in the order of their models and times, so that each line is looked up once.
fn candidates(findings: &Findings<'_>, calls: &[u32], lines: &[u32]) -> Vec<Candidate> {
    let key_of_call = |place: &u32| {
        let call = findings.call(*place);
        Some((call.model?, call.at, *place))
    };
    let key_of_line = |place: &u32| {
        let line = findings.line(*place);
        Some((findings.translated(line.model)?, line.at, *place))
    };
    let mut calls: Vec<Key> = calls.iter().filter_map(key_of_call).collect();
    let mut lines: Vec<Key> = lines.iter().filter_map(key_of_line).collect();
    calls.sort_unstable();
    lines.sort_unstable();
    let window = findings.tolerance.window;
    let moved = |at: Instant, by: i64| Instant::from_micros(at.micros() + by);
    let (mut after, mut within): (_, VecDeque<(Key, Line)>) = (lines.into_iter().peekable(), VecDeque::new());
    let (mut candidates, mut near) = (Vec::new(), Vec::new());
    for (model, at, call) in calls {
        let booked = findings.call(call);
        while let Some(key) = after.next_if(|(other, line, _)| (*other, *line) <= (model, moved(at, window))) {
            within.push_back((key, findings.line(key.2)));
        }
        while within.pop_front_if(|((other, line, _), _)| (*other, *line) < (model, moved(at, -window))).is_some() {}
        near.clear();
        near.extend(within.iter().filter_map(|((.., line), claimed)| candidate((call, &booked), (*line, claimed))));
        if near.len() > NEAREST {
            near.select_nth_unstable(NEAREST);
            near.truncate(NEAREST);
        }
        candidates.extend_from_slice(&near);
    }
    candidates.sort_unstable();
    candidates
}

/// A model, a time and a place.
type Key = (Name, Instant, u32);

fn candidate((call, booked): (u32, &Booked), (line, claimed): (u32, &Line)) -> Option<Candidate> {
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
