//! Money is exact: what a quote says is compared with a computation in big integers that shares no code with the program,
//! down to reading the rates out of the shipped file's text.

use farthing::catalog::Catalog;
use farthing::catalog::source::own;
use farthing::flow::InForce;
use farthing::flow::quote::quote;
use farthing::id::Version;
use farthing::money::{Amount, Limbs, Rate};
use farthing::rating::Rating;
use farthing::time::Instant;
use farthing::usage::dialect::{Context, native};
use num_bigint::BigInt;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A number as an integer and how many decimals it has.
#[derive(Clone, Debug, PartialEq)]
struct Decimal {
    digits: BigInt,
    places: usize,
}

impl Decimal {
    fn parse(text: &str) -> Decimal {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        Decimal { digits: format!("{whole}{fraction}").parse().unwrap(), places: fraction.len() }
    }

    fn times(&self, factor: u64) -> Decimal {
        Decimal { digits: &self.digits * factor, places: self.places }
    }

    fn scaled(&self, places: usize) -> BigInt {
        &self.digits * BigInt::from(10).pow((places - self.places) as u32)
    }

    fn plus(&self, other: &Decimal) -> Decimal {
        let places = self.places.max(other.places);
        Decimal { digits: self.scaled(places) + other.scaled(places), places }
    }

    /// A millionth of it.
    fn per_million(&self) -> Decimal {
        Decimal { digits: self.digits.clone(), places: self.places + 6 }
    }
}

/// One model of the shipped file, read by lines: nothing of the program's reader is used.
#[derive(Default, Debug)]
struct Listed {
    model: String,
    rates: BTreeMap<String, Decimal>,
    /// Thresholds with the rates above them, in the order of the file.
    over: Vec<(u64, BTreeMap<String, Decimal>)>,
    /// Priced by the clock: windows in minutes of the day, with their rates.
    windows: Vec<(u32, u32, BTreeMap<String, Decimal>)>,
}

fn listed(yaml: &str) -> Vec<Listed> {
    enum In {
        Card,
        Over,
        Window,
    }
    let mut models: Vec<Listed> = Vec::new();
    let mut place = In::Card;
    for line in yaml.lines() {
        let text = line.trim().trim_start_matches("- ");
        let Some((key, value)) = text.split_once(": ") else { continue };
        let value = value.trim_matches('"');
        let Some(model) = models.last_mut().filter(|_| key != "model") else {
            if key == "model" {
                models.push(Listed { model: value.to_owned(), ..Listed::default() });
                place = In::Card;
            }
            continue;
        };
        match key {
            "prompt_tokens_over" => {
                model.over.push((value.parse().unwrap(), BTreeMap::new()));
                place = In::Over;
            }
            "utc" => {
                let minute = |clock: &str| {
                    clock.split_once(':').map(|(h, m)| h.parse::<u32>().unwrap() * 60 + m.parse::<u32>().unwrap()).unwrap()
                };
                let (from, until) = value.split_once('-').unwrap();
                model.windows.push((minute(from), minute(until), BTreeMap::new()));
                place = In::Window;
            }
            _ => {
                let (meter, rate) = match (key.strip_suffix("_per_1m"), key.strip_suffix("_each")) {
                    (Some(meter), _) => (meter, Decimal::parse(value).per_million()),
                    (None, Some(meter)) => (meter, Decimal::parse(value)),
                    _ => continue,
                };
                let rates = match place {
                    In::Card => &mut model.rates,
                    In::Over => &mut model.over.last_mut().unwrap().1,
                    In::Window => &mut model.windows.last_mut().unwrap().2,
                };
                rates.insert(meter.to_owned(), rate);
            }
        }
    }
    models
}

const METERS: [(&str, bool); 10] = [
    ("input", true),
    ("cache_read", true),
    ("cache_write", true),
    ("cache_write_1h", true),
    ("output", false),
    ("reasoning", false),
    ("audio_input", true),
    ("image_input", true),
    ("image_output", false),
    ("web_search", false),
];

/// The meter whose rate stands in where a list has none of its own.
fn instead(meter: &str) -> &'static str {
    match meter {
        "cache_write_1h" => "cache_write",
        "reasoning" | "image_output" => "output",
        _ => "input",
    }
}

/// The price of a request by the rules of the list, in big integers.
fn expected(model: &Listed, counts: &[u64], minute: u32) -> Decimal {
    let prompt: u64 = METERS.iter().zip(counts).filter(|((_, of_prompt), _)| *of_prompt).map(|(_, count)| count).sum();
    let rate = |meter: &str| -> Option<Decimal> {
        let mut found = model.rates.get(meter).cloned();
        for (over, rates) in &model.over {
            if prompt > *over {
                found = rates.get(meter).cloned().or(found);
            }
        }
        for (from, until, rates) in &model.windows {
            let inside = if from < until { (*from..*until).contains(&minute) } else { minute >= *from || minute < *until };
            if inside {
                found = rates.get(meter).cloned().or(found);
            }
        }
        found
    };
    let mut sum = Decimal::parse("0");
    for ((meter, _), count) in METERS.iter().zip(counts).filter(|(_, count)| **count > 0) {
        let mut name = *meter;
        let of_meter = loop {
            match rate(name) {
                Some(rate) => break rate,
                None => name = instead(name),
            }
        };
        sum = sum.plus(&of_meter.times(*count));
    }
    sum
}

#[test]
fn every_listed_model_is_quoted_as_big_integers_say() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/catalogs/openrouter.yaml")).unwrap();
    let models = listed(&text);
    assert!(models.len() >= 400, "{} models", models.len());
    let longest = models.iter().flat_map(|model| model.rates.values()).map(|rate| rate.places).max().unwrap();
    assert!(longest >= 22, "the list has rates of 22 decimals, the longest read is {longest}");

    let parts = own::read(&text).unwrap();
    let in_force = InForce { version: Version(1), hash: [0; 32], catalog: Arc::new(Catalog::build(parts).unwrap()) };
    let context = Context { received_at: Instant::parse("2026-11-01T00:00:00Z").unwrap(), source: None, strict: false };
    let counts = prop::collection::vec(prop_oneof![Just(0_u64), 1..1_000_u64, 1_000..3_000_000_u64], METERS.len());
    let mut runner = TestRunner::new(Config { cases: 12, ..Config::default() });
    let (mut priced, mut without_price) = (0, Vec::new());
    for model in &models {
        if model.rates.is_empty() {
            without_price.push(model.model.as_str());
            continue;
        }
        runner
            .run(&(counts.clone(), 0..1440_u32), |(mut counts, minute)| {
                // What a list has no rate for and no side that would stand in is held, which another test shows.
                if !model.rates.contains_key("web_search") {
                    counts[9] = 0;
                }
                let usage: Vec<String> = METERS.iter().zip(&counts).map(|((meter, _), count)| format!("\"{meter}\":{count}")).collect();
                let event = format!(
                    r#"{{"id":"e","source":"s","occurred_at":"2026-10-01T{:02}:{:02}:00Z","provider":"openrouter","model":"{}","usage":{{{}}}}}"#,
                    minute / 60,
                    minute % 60,
                    model.model,
                    usage.join(",")
                );
                let quote = quote(native::read(&event, &context).unwrap(), &in_force);
                let doubtful = model.rates.values().all(|rate| rate.digits == BigInt::ZERO);
                match quote.rating {
                    Rating::Rated(rated) => {
                        prop_assert_eq!(BigInt::from(rated.amount.units()), expected(model, &counts, minute).scaled(24), "{}", &model.model);
                    }
                    Rating::Unpriced(_) => prop_assert!(doubtful, "{}: {:?}", &model.model, quote.tried),
                }
                Ok(())
            })
            .unwrap();
        priced += 1;
    }
    assert!(priced >= 390, "{priced} models were priced");
    assert!(without_price.iter().all(|model| model.starts_with("openrouter/")), "{without_price:?}");
}

proptest! {
    /// Any decimal text becomes the integer that big integers make of it, or is refused for the reason it deserves.
    #[test]
    fn decimal_text_is_read_exactly(whole in "[0-9]{1,13}", fraction in "[0-9]{0,24}", negative: bool, exponent in -12_i32..12) {
        let sign = if negative { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        let text = format!("{sign}{whole}{point}{fraction}e{exponent}");
        let digits: BigInt = format!("{sign}{whole}{fraction}").parse().unwrap();
        let places = fraction.len() as i32 - exponent;
        let limit = BigInt::from(9_200_000_000_000_i64) * BigInt::from(10).pow(24);
        let fine = places > 24 && &digits % BigInt::from(10).pow((places - 24) as u32) != BigInt::ZERO;
        let units = if places <= 24 { digits * BigInt::from(10).pow((24 - places) as u32) } else { digits / BigInt::from(10).pow((places - 24) as u32) };
        match Amount::parse(&text) {
            Ok(amount) => {
                prop_assert!(!fine);
                prop_assert_eq!(BigInt::from(amount.units()), units);
            }
            Err(_) => prop_assert!(fine || units.magnitude() > limit.magnitude(), "{} was refused", text),
        }
    }

    #[test]
    fn a_product_is_the_product(digits in 0_i64..i64::MAX, quantity in 0_u64..1_000_000_000_000_000) {
        let exact = BigInt::from(digits) * quantity;
        let limit = BigInt::from(9_200_000_000_000_i64) * BigInt::from(10).pow(24);
        match Rate::from_units(i128::from(digits)).times(quantity) {
            Some(amount) => prop_assert_eq!(BigInt::from(amount.units()), exact),
            None => prop_assert!(exact > limit),
        }
    }

    /// The three limbs of an amount are the amount, and sums of limbs are sums of amounts.
    #[test]
    fn limbs_add_up(units in prop::collection::vec(-(10_i128.pow(34))..10_i128.pow(34), 1..50)) {
        let mut sums = Limbs::ZERO;
        for &units in &units {
            let limbs = Amount::from_units(units).limbs();
            prop_assert!((0..1_000_000_000).contains(&limbs.femto) && (0..1_000_000_000).contains(&limbs.yocto));
            sums = Limbs { micro: sums.micro + limbs.micro, femto: sums.femto + limbs.femto, yocto: sums.yocto + limbs.yocto };
        }
        let exact: BigInt = units.iter().map(|units| BigInt::from(*units)).sum();
        prop_assert_eq!(BigInt::from(Amount::from_limbs(sums).units()), exact);
    }

    #[test]
    fn what_is_printed_reads_back(units in -(10_i128.pow(36))..10_i128.pow(36)) {
        let amount = Amount::from_units(units);
        prop_assert_eq!(Amount::parse(&amount.to_string()).unwrap(), amount);
    }
}
