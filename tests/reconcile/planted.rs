//! Synthetic books of a known set of calls with every class of difference planted: each is found with its amount, entries and
//! lines, nothing else is, and the identity holds in big integers that are summed here and not there. A failing test names
//! its seed.

use super::{at, money, november};
use crate::support::random::Random;
use farthing::id::Sequence;
use farthing::money::Amount;
use farthing::reconcile::compare::{Book, Booked, Class, Comparison, Tolerance, Variance, compare};
use farthing::reconcile::statement::{Flags, Statement, Tokens, activity, generations_csv};
use farthing::time::Instant;
use num_bigint::BigInt;
use std::fmt::Write;

/// What is wrong with a call.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Plant {
    Nothing,
    MissingHere,
    CancelledAndMissingHere,
    FreeThere,
    MissingThere,
    TwiceHere,
    AnotherPrice,
    MoreTokens,
    CancelledButBilled,
    HalfTheTier,
    LessCached,
    UpstreamAdded,
    ByokThereOnly,
    FeeThere,
    Searches,
    BookedTheDayBefore,
    BilledTheMonthAfter,
    ChatRoom,
    Laptop,
}

const PLANTS: [Plant; 19] = [
    Plant::Nothing,
    Plant::MissingHere,
    Plant::CancelledAndMissingHere,
    Plant::FreeThere,
    Plant::MissingThere,
    Plant::TwiceHere,
    Plant::AnotherPrice,
    Plant::MoreTokens,
    Plant::CancelledButBilled,
    Plant::HalfTheTier,
    Plant::LessCached,
    Plant::UpstreamAdded,
    Plant::ByokThereOnly,
    Plant::FeeThere,
    Plant::Searches,
    Plant::BookedTheDayBefore,
    Plant::BilledTheMonthAfter,
    Plant::ChatRoom,
    Plant::Laptop,
];

/// A row of the export, before it is printed.
struct Row {
    at: Instant,
    cost: Amount,
    prompt: u64,
    cached: u64,
    completion: u64,
    searches: Amount,
    upstream: Amount,
    cancelled: bool,
    key: &'static str,
}

/// A class, its amount in units, the entries and the lines.
type Finding = (Class, BigInt, Vec<i64>, Vec<u32>);

#[derive(Default)]
struct World {
    book: Book,
    csv: String,
    lines: u32,
    expected: Vec<Finding>,
    matched: u64,
    truncated: u64,
}

fn units(amount: Amount) -> BigInt {
    BigInt::from(amount.units())
}

/// Six decimals, the rest cut off: on the text, as whoever prints it does.
fn printed(amount: Amount) -> String {
    let plain = amount.to_string();
    match plain.split_once('.') {
        Some((whole, decimals)) if decimals.len() > 6 => format!("{whole}.{}", &decimals[..6]),
        _ => plain,
    }
}

fn as_printed(amount: Amount) -> Amount {
    money(&printed(amount))
}

impl World {
    fn new() -> World {
        let mut world = World { lines: 1, ..World::default() };
        world.csv = "byok_usage_inference,generation_id,created_at,model_permaslug,cost_total,tokens_prompt,tokens_cached,tokens_completion,cost_web_search,cancelled,api_key_name,provider_name\n".to_owned();
        world.book.metered = Some(vec![world.book.names.name("prod")]);
        world
    }

    fn print(&mut self, id: &str, row: &Row) -> u32 {
        self.lines += 1;
        let at = row.at.to_utc().format("%Y-%m-%d %H:%M:%S%.3f");
        let Row { prompt, cached, completion, cancelled, key, .. } = row;
        let (cost, searches, upstream) = (printed(row.cost), printed(row.searches), printed(row.upstream));
        writeln!(self.csv, "{upstream},{id},{at},a/b,{cost},{prompt},{cached},{completion},{searches},{cancelled},{key},Azure")
            .unwrap();
        self.lines
    }

    fn expect(&mut self, class: Class, amount: Amount, entries: &[i64], lines: &[u32]) {
        self.expected.push((class, units(amount), entries.to_vec(), lines.to_vec()));
    }

    /// The line says what was booked, as far as it is printed.
    fn expect_same(&mut self, booked: Amount) {
        *(if as_printed(booked) == booked { &mut self.matched } else { &mut self.truncated }) += 1;
    }

    fn plant(&mut self, random: &mut Random, number: i64, plant: Plant) {
        let id = format!("gen-{:016x}", random.next());
        // From a cent to a dollar, most with more decimals than are printed.
        let fine = if random.below(4) == 0 { 0 } else { random.below(1_000_000_000) };
        let exact =
            Amount::from_units(i128::from(10_000 + random.below(990_000)) * 10_i128.pow(18) + i128::from(fine) * 10_i128.pow(9));
        let prompt = 500 + random.below(5_000);
        let (cached, completion) = (random.below(400), 1 + random.below(900));
        let within = Instant::from_micros(at("2026-11-02T00:00:00Z").micros() + random.below(27 * 86_400_000) as i64 * 1_000);
        let mut booked = Booked {
            sequence: Sequence(number),
            generation: Some(self.book.ids.keep(&id)),
            at: within,
            model: Some(self.book.names.name("a/b")),
            served_by: Some(self.book.names.name("Azure")),
            tier: None,
            requests: 1,
            tokens: Tokens { input: prompt - cached, cache_read: cached, output: completion, reasoning: 0 },
            amount: exact,
            tools: Amount::ZERO,
            rated: None,
            reported: None,
            upstream: Amount::ZERO,
            flags: Flags::NONE,
        };
        let (searches, upstream) = (Amount::ZERO, Amount::ZERO);
        let mut row =
            Row { at: within, cost: exact, prompt, cached, completion, searches, upstream, cancelled: false, key: "prod" };
        let (mut is_here, mut is_there) = (true, true);
        let mut class = None;
        match plant {
            Plant::Nothing => {}
            Plant::MissingHere => (is_here, class) = (false, Some(Class::MissingHere)),
            Plant::CancelledAndMissingHere => (is_here, row.cancelled, class) = (false, true, Some(Class::MissingHere)),
            Plant::FreeThere => {
                (row.prompt, row.cached, row.completion, row.cost) = (0, 0, 0, Amount::ZERO);
                (is_here, class) = (false, Some(Class::MissingHere));
            }
            Plant::MissingThere => (is_there, class) = (false, Some(Class::MissingThere)),
            Plant::TwiceHere => {
                self.book.calls.push(&Booked { sequence: Sequence(number + 1_000_000), ..booked });
                self.expect(Class::DuplicateHere, -exact, &[number + 1_000_000, number], &[]);
            }
            Plant::AnotherPrice => (row.cost, class) = (exact + Amount::from_units(exact.units() / 10), Some(Class::Price)),
            Plant::MoreTokens => {
                row.prompt += 1 + random.below(50);
                (row.cost, class) = (exact + money("0.000123"), Some(Class::Quantity));
            }
            Plant::CancelledButBilled => {
                (booked.amount, booked.tokens, booked.flags) = (Amount::ZERO, Tokens::default(), Flags::COUNTS_UNTOLD);
                (row.cancelled, class) = (true, Some(Class::Quantity));
            }
            Plant::HalfTheTier => (row.cost, class) = (Amount::from_units(exact.units() / 2), Some(Class::Tier)),
            Plant::LessCached => {
                row.cached = cached + 1;
                (row.cost, class) = (exact + money("0.000321"), Some(Class::CacheSplit));
            }
            Plant::UpstreamAdded => {
                row.upstream = exact;
                (row.cost, booked.flags, class) = (money("0.0015"), Flags::BYOK, Some(Class::Byok));
                booked.amount = row.cost + exact;
            }
            Plant::ByokThereOnly => {
                (row.cost, row.upstream, class) = (money("0.000777"), exact + money("0.1"), Some(Class::Byok));
            }
            Plant::FeeThere => {
                (row.upstream, booked.flags, booked.amount) = (exact + exact, Flags::BYOK, Amount::ZERO);
                class = Some(Class::Fee);
            }
            Plant::Searches => {
                row.searches = money("0.0140009");
                (row.cost, class) = (exact + row.searches, Some(Class::ToolCharge));
            }
            Plant::BookedTheDayBefore => {
                (booked.at, row.at) = (at("2026-10-31T23:59:59.999Z"), at("2026-11-01T00:00:00Z"));
                let line = self.print(&id, &row);
                self.book.calls.push(&booked);
                self.expect(Class::Timing, exact, &[number], &[line]);
                return self.expect_same(exact);
            }
            Plant::BilledTheMonthAfter => {
                (booked.at, row.at) = (at("2026-11-30T23:59:59.999Z"), at("2026-12-01T00:00:00Z"));
                let line = self.print(&id, &row);
                self.book.calls.push(&booked);
                return self.expect(Class::Timing, -exact, &[number], &[line]);
            }
            Plant::ChatRoom => (is_here, row.key, class) = (false, "", Some(Class::Unmetered)),
            Plant::Laptop => (is_here, row.key, class) = (false, "laptop", Some(Class::Unmetered)),
        }
        let line = is_there.then(|| self.print(&id, &row));
        if is_here {
            self.book.calls.push(&booked);
        }
        let here = if is_here { booked.amount } else { Amount::ZERO };
        let there = if is_there { as_printed(row.cost) } else { Amount::ZERO };
        let entries: Vec<i64> = is_here.then_some(number).into_iter().collect();
        match class {
            Some(class) => self.expect(class, there - here, &entries, &Vec::from_iter(line)),
            None => self.expect_same(exact),
        }
    }
}

fn findings(comparison: &Comparison) -> Vec<Finding> {
    let finding = |variance: &Variance| {
        let Variance { class, expected, observed, .. } = variance;
        let entries = comparison.entries_of(variance).iter().map(|sequence| sequence.0).collect();
        (*class, units(*observed) - units(*expected), entries, comparison.lines_of(variance).to_vec())
    };
    let mut findings: Vec<Finding> = comparison.variances.iter().map(finding).collect();
    findings.sort();
    findings
}

/// Both totals and what lies between them, in big integers.
fn assert_identity(book: &Book, statement: &Statement, comparison: &Comparison, seed: u64) {
    let november = november();
    let within = |at: Instant| november.from <= at && at < november.until;
    let theirs: BigInt = statement.lines.iter().filter(|line| within(line.at)).map(|line| units(line.amount)).sum();
    let ours: BigInt = book.calls.iter().filter(|call| within(call.at)).map(|call| units(call.amount)).sum();
    let listed: BigInt = findings(comparison).iter().map(|(_, amount, ..)| amount).sum();
    let printing = [Class::Truncated, Class::Rounding].map(|class| units(comparison.of(class).amount));
    assert_eq!(theirs, ours + listed + printing.iter().sum::<BigInt>(), "seed {seed}");
    assert_eq!(units(comparison.statement_total), theirs, "seed {seed}");
}

#[test]
fn every_planted_difference_is_found_and_nothing_else_is() {
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let mut world = World::new();
        for number in 0..200 {
            let plant = if random.below(2) == 0 { Plant::Nothing } else { *random.pick(&PLANTS) };
            world.plant(&mut random, number, plant);
        }
        // The order of the book tells nothing.
        let mut calls: Vec<Booked> = world.book.calls.iter().collect();
        for place in (1..calls.len()).rev() {
            calls.swap(place, random.below(place as u64 + 1) as usize);
        }
        world.book.calls = calls.into_iter().collect();
        let statement = generations_csv::read(&world.csv).unwrap();
        let comparison = compare(&world.book, &statement, november(), &Tolerance::default()).unwrap();
        world.expected.sort();
        assert_eq!(findings(&comparison), world.expected, "seed {seed}");
        assert_eq!(
            (comparison.matched.count, comparison.of(Class::Truncated).count),
            (world.matched, world.truncated),
            "seed {seed}"
        );
        assert!(comparison.guesses.is_empty() && comparison.of(Class::Rounding).count == 0, "seed {seed}");
        assert_identity(&world.book, &statement, &comparison, seed);
        let again = compare(&world.book, &statement, november(), &Tolerance::default()).unwrap();
        assert_eq!(format!("{:?}", again.variances), format!("{:?}", comparison.variances), "seed {seed}");
    }
}

/// What is wrong with a day of a model.
#[derive(Clone, Copy, PartialEq, Debug)]
enum DayPlant {
    Nothing,
    Floats,
    OneMissingHere,
    AllMissingHere,
    OneMissingThere,
    AllMissingThere,
    TwiceHere,
    AnotherPrice,
    MoreTokens,
    LessCached,
    HalfTheTier,
    FreeHits,
    ADayLate,
}

const DAY_PLANTS: [DayPlant; 13] = [
    DayPlant::Nothing,
    DayPlant::Floats,
    DayPlant::OneMissingHere,
    DayPlant::AllMissingHere,
    DayPlant::OneMissingThere,
    DayPlant::AllMissingThere,
    DayPlant::TwiceHere,
    DayPlant::AnotherPrice,
    DayPlant::MoreTokens,
    DayPlant::LessCached,
    DayPlant::HalfTheTier,
    DayPlant::FreeHits,
    DayPlant::ADayLate,
];

#[derive(Clone, Copy, Default)]
struct Day {
    cost: Amount,
    requests: u64,
    prompt: u64,
    cached: u64,
    completion: u64,
}

#[test]
fn every_planted_difference_of_a_day_is_found_and_nothing_else_is() {
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let (mut book, mut rows, mut expected) = (Book::default(), Vec::new(), Vec::new());
        let (mut rounding, mut sequence) = (0, 0);
        for (model, plant) in DAY_PLANTS.into_iter().enumerate() {
            let day = 5 + random.below(15);
            let mut late = Day::default();
            for date in [day - 5, day, day + 1] {
                let (mut told, mut booked) = (Day::default(), Vec::new());
                for _ in 0..3 + random.below(5) {
                    sequence += 1;
                    booked.push(call(&mut book, &mut random, model, date, sequence));
                }
                for call in &booked {
                    told.add(call);
                }
                let (calls, all) = (booked.len(), told);
                let entries: Vec<i64> = booked.iter().map(|call| call.sequence.0).collect();
                let line = || rows.len() as u32 + 1;
                let mut expect = |class: Class, amount: Amount, entries: &[i64], lines: &[u32]| {
                    expected.push((class, units(amount), entries.to_vec(), lines.to_vec()));
                };
                let mut is_there = true;
                match plant {
                    _ if date == day - 5 => {}
                    DayPlant::ADayLate if date == day => {
                        late.add(&booked[0]);
                        told.take(&booked[0]);
                        expect(Class::Timing, -booked[0].amount, &entries, &[line()]);
                    }
                    DayPlant::ADayLate => {
                        told.cost += late.cost;
                        told.requests += 1;
                        expect(Class::Timing, late.cost, &entries, &[line()]);
                    }
                    _ if date != day => {}
                    DayPlant::Nothing => {}
                    DayPlant::Floats => {
                        told.cost += Amount::from_units(told.cost.units() / 5_000_000_000);
                        rounding += 1;
                    }
                    DayPlant::OneMissingHere => {
                        let missing = booked.pop().unwrap();
                        expect(Class::MissingHere, missing.amount, &entries[..calls - 1], &[line()]);
                    }
                    DayPlant::AllMissingHere => {
                        booked.clear();
                        expect(Class::MissingHere, told.cost, &[], &[line()]);
                    }
                    DayPlant::OneMissingThere => {
                        told.take(&booked[0]);
                        expect(Class::MissingThere, -booked[0].amount, &entries, &[line()]);
                    }
                    DayPlant::AllMissingThere => {
                        is_there = false;
                        expect(Class::MissingThere, -told.cost, &entries, &[]);
                    }
                    DayPlant::TwiceHere => {
                        let twice = Booked { sequence: Sequence(booked[0].sequence.0 + 1_000_000), ..booked[0] };
                        expect(Class::DuplicateHere, -twice.amount, &[twice.sequence.0, booked[0].sequence.0], &[]);
                        booked.push(twice);
                    }
                    DayPlant::AnotherPrice => {
                        told.cost += Amount::from_units(told.cost.units() / 10);
                        expect(Class::Price, told.cost - all.cost, &entries, &[line()]);
                    }
                    DayPlant::MoreTokens => {
                        (told.prompt, told.cost) = (told.prompt + 100, told.cost + money("0.000123"));
                        expect(Class::Quantity, money("0.000123"), &entries, &[line()]);
                    }
                    DayPlant::LessCached => {
                        (told.cached, told.cost) = (told.cached - 1, told.cost + money("0.000123"));
                        expect(Class::CacheSplit, money("0.000123"), &entries, &[line()]);
                    }
                    DayPlant::HalfTheTier => {
                        told.cost = Amount::from_units(told.cost.units() / 2);
                        expect(Class::Tier, told.cost - all.cost, &entries, &[line()]);
                    }
                    DayPlant::FreeHits => told.requests += 3,
                }
                booked.iter().for_each(|booked| book.calls.push(booked));
                if is_there {
                    rows.push(told.row(model, date));
                }
            }
        }
        let statement = activity::read(&format!(r#"{{"data":[{}]}}"#, rows.join(",")), None).unwrap();
        let comparison = compare(&book, &statement, november(), &Tolerance::default()).unwrap();
        expected.sort();
        let mut found = findings(&comparison);
        for (.., entries, _) in found.iter_mut().filter(|(class, ..)| *class != Class::DuplicateHere) {
            entries.sort_unstable();
        }
        found.sort();
        assert_eq!(found, expected, "seed {seed}");
        assert_eq!(comparison.of(Class::Rounding).count, rounding, "seed {seed}");
        assert_identity(&book, &statement, &comparison, seed);
    }
}

fn call(book: &mut Book, random: &mut Random, model: usize, date: u64, sequence: i64) -> Booked {
    let prompt = 500 + random.below(5_000);
    let (cached, output) = (1 + random.below(400), 1 + random.below(900));
    let amount = Amount::from_units(
        i128::from(10_000 + random.below(990_000)) * 10_i128.pow(18) + i128::from(random.below(1_000_000)) * 10_i128.pow(12),
    );
    let midnight = at("2026-11-01T00:00:00Z").micros() + date as i64 * 86_400_000_000;
    Booked {
        sequence: Sequence(sequence),
        generation: Some(book.ids.keep(&format!("gen-{sequence}"))),
        at: Instant::from_micros(midnight + random.below(86_400_000_000) as i64),
        model: Some(book.names.name(&format!("a/{model}"))),
        served_by: Some(book.names.name("Azure")),
        tier: None,
        requests: 1,
        tokens: Tokens { input: prompt - cached, cache_read: cached, output, reasoning: 0 },
        amount,
        tools: Amount::ZERO,
        rated: None,
        reported: None,
        upstream: Amount::ZERO,
        flags: Flags::NONE,
    }
}

impl Day {
    fn add(&mut self, call: &Booked) {
        self.cost += call.amount;
        self.requests += 1;
        self.prompt += call.tokens.prompt();
        self.cached += call.tokens.cache_read;
        self.completion += call.tokens.completion();
    }

    fn take(&mut self, call: &Booked) {
        self.cost += -call.amount;
        self.requests -= 1;
        self.prompt -= call.tokens.prompt();
        self.cached -= call.tokens.cache_read;
        self.completion -= call.tokens.completion();
    }

    fn row(&self, model: usize, date: u64) -> String {
        let Day { cost, requests, prompt, cached, completion } = self;
        format!(
            r#"{{"date":"2026-11-{:02}","model_permaslug":"a/{model}","provider_name":"Azure","usage":{cost},"requests":"{requests}",
                "prompt_tokens":"{prompt}","cached_tokens":{cached},"completion_tokens":{completion},"reasoning_tokens":0}}"#,
            date + 1
        )
    }
}
