//! A large catalog: five thousand models with ten dated cards each, as a long-lived installation that imports every public
//! list would have after some years of price changes.

use super::sample::Random;
use crate::catalog::{Card, Conditional, List, Model, Origin, Part, Rates};
use crate::money::Rate;
use crate::time::Instant;
use crate::usage::{Meter, Text};
use std::sync::Arc;

const PROVIDERS: u64 = 20;
const MODELS: u64 = 250;
const CARDS: u64 = 10;

/// Ten-to-the-minus-twelfth of a currency unit per token: a millionth of a unit per million tokens.
const STEP: i128 = 1_000_000_000_000;

pub fn lists() -> Vec<Part> {
    let mut random = Random::new(5);
    (0..PROVIDERS).map(|provider| Part::List(Arc::new(list(provider, &mut random)))).collect()
}

/// A model of the catalog, by number.
pub fn model(number: u64) -> (String, String) {
    let (provider, model) = (number % PROVIDERS, number / PROVIDERS % MODELS);
    (format!("vendor-{provider:02}"), format!("family/model-{model:03}"))
}

fn list(provider: u64, random: &mut Random) -> List {
    let text = |text: String| Text::new(text).expect("a short name");
    let models = (0..MODELS).map(|model| Model {
        name: text(format!("family/model-{model:03}")),
        aliases: vec![text(format!("family/model-{model:03}-20260101"))],
        delisted: None,
        cards: (0..CARDS).map(|card| self::card(card, random)).collect(),
    });
    let origin = Origin { source: Some(Text::known("measured, not real")), ..Origin::default() };
    List { origin, models: models.collect(), ..List::empty(text(format!("vendor-{provider:02}"))) }
}

fn card(number: u64, random: &mut Random) -> Card {
    let year = 2016 + number;
    let from = Instant::parse_date_or_instant(&format!("{year}-03-01")).expect("a date");
    // Prices move by some percent a year, as real ones do: what the checks would refuse is not what is measured.
    let input = i128::from(3_000 + random.below(2_000));
    let rate = |units: i128| Rate::from_units(units * STEP * 1_000);
    let rates = |factor: i128| {
        Rates::new(vec![
            (Meter::Input, rate(input * factor)),
            (Meter::Output, rate(input * 4 * factor)),
            (Meter::CacheRead, Rate::from_units(input * factor * STEP * 100)),
            (Meter::WebSearch, Rate::from_units(10_000_000_000 * STEP)),
        ])
    };
    let long = Conditional { prompt_tokens_over: Some(200_000), rates: rates(2), ..Conditional::default() };
    let when = if number % 4 == 3 { vec![long] } else { Vec::new() };
    Card { from: Some(from), when, ..Card::of(rates(1)) }
}
