//! What an endpoint seems to charge, learned from what was billed. Requests of one endpoint are equations: quantities times
//! unknown rates are the amount. Only simple ones are solved, by exact division: one unknown meter, or two of them in two
//! requests, and then what is left with these known. A rate counts when further requests agree with it and most of all
//! that can be judged do; otherwise the endpoint is left with the reason. Nothing here is a price until a person publishes it.

use crate::money::{Amount, Rate};
use crate::reconcile::compare::Tolerance;
use crate::time::Instant;
use crate::usage::{Meter, Quantities, Text};
use std::collections::BTreeMap;

/// Who answers a model, on which terms: what has a price of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Endpoint {
    pub model: Text,
    pub served_by: Text,
    pub variant: Option<Text>,
    pub tier: Option<Text>,
}

/// A request that both sides know, and what was billed for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Billed {
    pub generation: Text,
    pub at: Instant,
    pub quantities: Quantities,
    pub amount: Amount,
    /// What the catalog says that it costs, where it has a card for it.
    pub listed: Option<Amount>,
}

/// Rates that an endpoint seems to have, and what speaks for them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    pub endpoint: Endpoint,
    /// When the first request was made that agrees.
    pub from: Instant,
    pub rates: Vec<(Meter, Rate)>,
    /// The requests that agree, the earliest first.
    pub agree: Vec<Text>,
    /// How many these rates can judge, and how many there are.
    pub judged: usize,
    pub requests: usize,
    /// What was billed above these rates in all requests that they can judge.
    pub residual: Amount,
}

/// An endpoint whose price differs from the catalog's and that nothing is proposed for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsolved {
    pub endpoint: Endpoint,
    pub requests: usize,
    pub why: String,
}

/// Requests that have to agree with one rate, and with two that were solved together: one more than it takes to solve them.
const AGREE_ON_ONE: usize = 2;
const AGREE_ON_TWO: usize = 3;
/// Requests of an endpoint that are tried as pairs.
const PAIRED: usize = 24;

/// Proposes rates for every endpoint for which the catalog says something else than was billed, or nothing.
pub fn propose(requests: Vec<(Endpoint, Billed)>) -> (Vec<Proposal>, Vec<Unsolved>) {
    let mut endpoints: BTreeMap<Endpoint, Vec<Billed>> = BTreeMap::new();
    for (endpoint, billed) in requests {
        endpoints.entry(endpoint).or_default().push(billed);
    }
    let (mut proposals, mut unsolved) = (Vec::new(), Vec::new());
    for (endpoint, mut billed) in endpoints {
        billed.sort_by(|a, b| (a.at, &a.generation).cmp(&(b.at, &b.generation)));
        if billed.iter().all(Billed::is_as_listed) {
            continue;
        }
        let requests = billed.len();
        match solve(endpoint.clone(), &billed) {
            // What the list says of the requests that agree is what they cost: there is nothing to learn.
            Ok(proposal) if billed.iter().all(|one| !proposal.agree.contains(&one.generation) || one.is_as_listed()) => {}
            Ok(proposal) => proposals.push(proposal),
            Err(why) => unsolved.push(Unsolved { endpoint, requests, why }),
        }
    }
    (proposals, unsolved)
}

impl Billed {
    fn is_as_listed(&self) -> bool {
        self.listed.is_some_and(|listed| is_near(listed, self.amount))
    }

    /// What it counts, by what has a rate: thinking is charged as output everywhere but at one model.
    fn counts(&self) -> BTreeMap<Meter, i128> {
        let mut counts = BTreeMap::new();
        for (meter, count) in self.quantities.present() {
            let meter = if meter == Meter::Reasoning { Meter::Output } else { meter };
            *counts.entry(meter).or_default() += i128::from(count);
        }
        counts
    }
}

fn is_near(one: Amount, other: Amount) -> bool {
    (one - other).abs() <= Tolerance::default().noise
}

/// One request with the meters whose rate is not known yet, and what is left of the amount for them.
struct Equation {
    unknown: Vec<(Meter, i128)>,
    rest: i128,
}

fn solve(endpoint: Endpoint, billed: &[Billed]) -> Result<Proposal, String> {
    let mut rates: BTreeMap<Meter, i128> = BTreeMap::new();
    loop {
        let equations: Vec<Equation> = billed.iter().filter_map(|one| equation(one, &rates)).collect();
        let found = one_unknown(&equations).or_else(|| two_unknowns(&equations));
        match found {
            Some(found) => rates.extend(found),
            None => break,
        }
    }
    if rates.is_empty() {
        return Err(format!(
            "no rate divides the amounts of {AGREE_ON_ONE} requests that count one thing, or of {AGREE_ON_TWO} that count two"
        ));
    }
    judge(endpoint, billed, &rates)
}

fn equation(billed: &Billed, rates: &BTreeMap<Meter, i128>) -> Option<Equation> {
    let (mut unknown, mut rest) = (Vec::new(), billed.amount.units());
    for (meter, count) in billed.counts() {
        match rates.get(&meter) {
            Some(rate) => rest = rest.checked_sub(rate.checked_mul(count)?)?,
            None => unknown.push((meter, count)),
        }
    }
    (!unknown.is_empty()).then_some(Equation { unknown, rest })
}

/// An exact quotient that can be a rate.
fn divided(amount: i128, count: i128) -> Option<i128> {
    (amount >= 0 && count > 0 && amount % count == 0).then(|| amount / count)
}

/// The rate that most requests with one unknown meter give.
fn one_unknown(equations: &[Equation]) -> Option<Vec<(Meter, i128)>> {
    let mut votes: BTreeMap<(Meter, i128), usize> = BTreeMap::new();
    for equation in equations {
        if let [(meter, count)] = equation.unknown[..] {
            divided(equation.rest, count).into_iter().for_each(|rate| *votes.entry((meter, rate)).or_default() += 1);
        }
    }
    let (rate, agree) = votes.into_iter().max_by_key(|(rate, agree)| (*agree, std::cmp::Reverse(*rate)))?;
    (agree >= AGREE_ON_ONE).then(|| vec![rate])
}

/// The two rates that most requests with the same two unknown meters agree with.
fn two_unknowns(equations: &[Equation]) -> Option<Vec<(Meter, i128)>> {
    let mut of_pair: BTreeMap<[Meter; 2], Vec<([i128; 2], i128)>> = BTreeMap::new();
    for equation in equations {
        if let [(one, a), (other, b)] = equation.unknown[..] {
            of_pair.entry([one, other]).or_default().push(([a, b], equation.rest));
        }
    }
    let mut best: Option<(usize, [Meter; 2], [i128; 2])> = None;
    for (meters, equations) in &of_pair {
        for (place, one) in equations.iter().take(PAIRED).enumerate() {
            for rates in equations[place + 1..].iter().take(PAIRED).filter_map(|other| of_two(one, other)) {
                let fits = |(counts, amount): &&([i128; 2], i128)| {
                    let product = |place: usize| rates[place].checked_mul(counts[place]);
                    let sum = product(0).zip(product(1)).and_then(|(one, other)| one.checked_add(other));
                    sum.is_some_and(|sum| is_near(Amount::from_units(sum), Amount::from_units(*amount)))
                };
                let agree = equations.iter().filter(fits).count();
                if agree >= AGREE_ON_TWO && best.is_none_or(|(most, ..)| agree > most) {
                    best = Some((agree, *meters, rates));
                }
            }
        }
    }
    best.map(|(_, meters, rates)| meters.into_iter().zip(rates).collect())
}

/// Two requests with two unknown rates, by their determinant.
fn of_two(one: &([i128; 2], i128), other: &([i128; 2], i128)) -> Option<[i128; 2]> {
    let (([a, b], x), ([c, d], y)) = (one, other);
    let cross = |a: i128, d: i128, b: i128, c: i128| a.checked_mul(d)?.checked_sub(b.checked_mul(c)?);
    let (determinant, first, second) = (cross(*a, *d, *b, *c)?, cross(*x, *d, *b, *y)?, cross(*a, *y, *x, *c)?);
    let sign = determinant.signum();
    Some([divided(first * sign, determinant * sign)?, divided(second * sign, determinant * sign)?])
}

/// Whether most requests agree with the rates that some of them gave.
fn judge(endpoint: Endpoint, billed: &[Billed], rates: &BTreeMap<Meter, i128>) -> Result<Proposal, String> {
    let (mut judged, mut residual, mut agree) = (0, Amount::ZERO, Vec::new());
    for one in billed {
        let counts = one.counts();
        if !counts.keys().all(|meter| rates.contains_key(meter)) {
            continue;
        }
        let amounts = counts.iter().map(|(meter, count)| rates[meter].checked_mul(*count));
        let rated = amounts.sum::<Option<i128>>().map(Amount::from_units);
        let Some(rated) = rated.filter(|rated| rated.fits()) else { continue };
        judged += 1;
        residual += one.amount - rated;
        if is_near(rated, one.amount) {
            agree.push(one);
        }
    }
    match agree.first() {
        Some(first) if agree.len() * 2 > judged => Ok(Proposal {
            endpoint,
            from: first.at,
            rates: rates.iter().map(|(meter, rate)| (*meter, Rate::from_units(*rate))).collect(),
            agree: agree.iter().map(|one| one.generation.clone()).collect(),
            judged,
            requests: billed.len(),
            residual,
        }),
        _ => Err(format!("{} of {judged} requests agree: several prices at once, or a price that changed", agree.len())),
    }
}
