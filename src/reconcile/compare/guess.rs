//! Matching without an id: a call and a line of the same model, near in time, with the same counts or the same cost, one to
//! one. The best pairs are taken first. It stays a guess: how far the times lie apart is told, and how much farther the
//! next candidate was, so that a person can see what it is worth.

use super::Findings;
use super::weigh::{Scales, Side};
use crate::id::Sequence;
use crate::reconcile::statement::Flags;
use std::collections::HashSet;

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

/// Neighbours in time that are looked at on either side: enough for any real density, and an end for any other.
const NEIGHBOURS: usize = 256;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// 0: counts and cost agree, 1: counts do, 2: the cost does.
    level: u8,
    apart: i64,
    call: u32,
    line: u32,
}

pub(super) fn pairs(findings: &Findings<'_>, calls: &[u32], lines: &[u32]) -> Guessed {
    let candidates = candidates(findings, calls, lines);
    let (mut taken_calls, mut taken_lines) = (HashSet::new(), HashSet::new());
    let mut pairs = Vec::new();
    for candidate in &candidates {
        if taken_calls.contains(&candidate.call) || taken_lines.contains(&candidate.line) {
            continue;
        }
        taken_calls.insert(candidate.call);
        taken_lines.insert(candidate.line);
        pairs.push(*candidate);
    }
    let rivals = Rivals::of(&candidates);
    let pairs = pairs.into_iter().map(|pair| {
        let guess = Guess {
            sequence: findings.call(pair.call).sequence,
            line: findings.line(pair.line).number,
            apart: pair.apart,
            margin: rivals.margin(&pair),
        };
        (guess, pair.call, pair.line)
    });
    Guessed {
        pairs: pairs.collect(),
        calls: calls.iter().copied().filter(|call| !taken_calls.contains(call)).collect(),
        lines: lines.iter().copied().filter(|line| !taken_lines.contains(line)).collect(),
    }
}

fn candidates(findings: &Findings<'_>, calls: &[u32], lines: &[u32]) -> Vec<Candidate> {
    let key = |line: u32| {
        let line = findings.line(line);
        (findings.translated(line.model), line.at)
    };
    let mut by_time = lines.to_vec();
    by_time.sort_unstable_by_key(|line| (key(*line), *line));
    let mut candidates = Vec::new();
    for call in calls {
        let booked = findings.call(*call);
        if booked.model.is_none() {
            continue;
        }
        let middle = by_time.partition_point(|line| key(*line) < (booked.model, booked.at));
        let near = middle.saturating_sub(NEIGHBOURS)..(middle + NEIGHBOURS).min(by_time.len());
        candidates.extend(by_time[near].iter().filter_map(|line| candidate(findings, *call, *line)));
    }
    candidates.sort_unstable();
    candidates
}

fn candidate(findings: &Findings<'_>, call: u32, line: u32) -> Option<Candidate> {
    let (booked, claimed) = (findings.call(call), findings.line(line));
    let apart = (booked.at.micros() - claimed.at.micros()).abs();
    if apart > findings.tolerance.window || findings.translated(claimed.model) != booked.model {
        return None;
    }
    let (ours, theirs) = (Side::of_call(booked), Side::of_line(findings, claimed));
    let counted =
        !booked.flags.has(Flags::COUNTS_UNTOLD) && !claimed.flags.has(Flags::COUNTS_UNTOLD) && !booked.tokens.is_empty();
    let counts = counted && booked.tokens == claimed.tokens;
    let cost = !claimed.amount.is_zero() && Scales::new(findings, &ours, &theirs).same_amount();
    let level = match (counts, cost) {
        (true, true) => 0,
        (true, false) => 1,
        (false, true) => 2,
        (false, false) => return None,
    };
    Some(Candidate { level, apart, call, line })
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
