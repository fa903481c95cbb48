//! The keys of a row. A price's key is put together, `<base>[_above_<N>k_tokens][_<tier>]`, and every month brings
//! combinations that were not there before; so keys are taken apart, and only the bases with their units are a table.
//! A key that speaks of money and is none of these is an unknown price, never nothing.

use crate::usage::Meter;

/// What a key is.
#[derive(PartialEq, Eq, Debug)]
pub enum Key {
    Rate {
        meter: Meter,
        /// The rate is per 10^`power` of what the meter counts.
        power: u32,
        /// Strictly greater, and then for the whole request.
        over: Option<u64>,
        tier: Option<&'static str>,
    },
    /// A price of something that no meter counts. Where it refines the price of one, as `output_cost_per_second_480p`
    /// does, that one depends on what no event says.
    UnknownPrice { refines: Option<Meter> },
    /// Limits, abilities, modes, addresses.
    NoPrice,
}

/// What a key may end in, and what we call that service tier.
const TIERS: [(&str, &str); 5] =
    [("_priority", "priority"), ("_flex", "flex"), ("_batches", "batch"), ("_balanced", "balanced"), ("_ultrafast", "ultrafast")];

/// Bases, and per 10^n of which meter they are. Several may lead to one meter: an event counts tokens that were read from
/// a cache, but not how they got there, and seconds or pixels, but not of which side.
const BASES: [(&str, Meter, u32); 28] = [
    ("input_cost_per_token", Meter::Input, 0),
    ("cache_read_input_token_cost", Meter::CacheRead, 0),
    ("cache_read_input_image_token_cost", Meter::CacheRead, 0),
    ("explicit_cache_read_input_token_cost", Meter::CacheRead, 0),
    ("input_cost_per_token_cache_hit", Meter::CacheRead, 0),
    ("cache_creation_input_token_cost", Meter::CacheWrite, 0),
    ("cache_creation_input_token_cost_above_1hr", Meter::CacheWrite1h, 0),
    ("output_cost_per_token", Meter::Output, 0),
    ("output_cost_per_reasoning_token", Meter::Reasoning, 0),
    ("input_cost_per_audio_token", Meter::AudioInput, 0),
    ("cache_read_input_audio_token_cost", Meter::AudioCacheRead, 0),
    ("output_cost_per_audio_token", Meter::AudioOutput, 0),
    ("input_cost_per_image_token", Meter::ImageInput, 0),
    ("output_cost_per_image_token", Meter::ImageOutput, 0),
    ("input_cost_per_video_token", Meter::VideoInput, 0),
    ("input_cost_per_request", Meter::Request, 0),
    ("input_cost_per_query", Meter::Request, 0),
    ("input_cost_per_image", Meter::Image, 0),
    ("output_cost_per_image", Meter::Image, 0),
    ("input_cost_per_pixel", Meter::Pixel, 0),
    ("output_cost_per_pixel", Meter::Pixel, 0),
    ("ocr_cost_per_page", Meter::Page, 0),
    ("input_cost_per_character", Meter::Character, 0),
    ("output_cost_per_character", Meter::Character, 0),
    ("cost_per_second", Meter::Millisecond, 3),
    ("input_cost_per_second", Meter::Millisecond, 3),
    ("output_cost_per_second", Meter::Millisecond, 3),
    ("output_cost_per_video_per_second", Meter::Millisecond, 3),
];

/// A key with one of these in it speaks of money.
const MONEY: [&str; 9] = ["cost", "pric", "uplift", "multiplier", "tier", "discount", "surcharge", "free", "billing"];

impl Key {
    pub fn read(key: &str) -> Key {
        let (rest, tier) = cut_tier(key);
        let (base, over) = cut_threshold(rest);
        if let Some((_, meter, power)) = BASES.into_iter().find(|(known, ..)| *known == base) {
            return Key::Rate { meter, power, over, tier };
        }
        match MONEY.iter().any(|word| key.contains(word)) {
            true => Key::UnknownPrice { refines: refined(base) },
            false => Key::NoPrice,
        }
    }
}

fn cut_tier(key: &str) -> (&str, Option<&'static str>) {
    TIERS.into_iter().find_map(|(end, tier)| Some((key.strip_suffix(end)?, Some(tier)))).unwrap_or((key, None))
}

/// `input_cost_per_token_above_272k_tokens`: over 272 000.
fn cut_threshold(key: &str) -> (&str, Option<u64>) {
    let cut = || {
        let (base, bound) = key.strip_suffix("k_tokens")?.rsplit_once("_above_")?;
        Some((base, Some(u64::from(bound.parse::<u32>().ok()?) * 1_000)))
    };
    cut().unwrap_or((key, None))
}

/// The meter whose price a longer key splits up. Only where something else than tokens is sold: the ends of token keys
/// are tiers and times to live, beside which the plain price still holds.
fn refined(key: &str) -> Option<Meter> {
    let splits = |base: &str| key.strip_prefix(base).is_some_and(|rest| rest.starts_with('_'));
    BASES.into_iter().find(|(base, meter, _)| !meter.is_token() && splits(base)).map(|(_, meter, _)| meter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_apart_from_the_end() {
        let rate = |meter, power, over, tier| Key::Rate { meter, power, over, tier };
        for (key, meaning) in [
            ("input_cost_per_token", rate(Meter::Input, 0, None, None)),
            ("output_cost_per_token_above_200k_tokens", rate(Meter::Output, 0, Some(200_000), None)),
            ("cache_read_input_token_cost_above_272k_tokens_flex", rate(Meter::CacheRead, 0, Some(272_000), Some("flex"))),
            ("cache_creation_input_token_cost_above_1hr", rate(Meter::CacheWrite1h, 0, None, None)),
            (
                "cache_creation_input_token_cost_above_1hr_above_100k_tokens_batches",
                rate(Meter::CacheWrite1h, 0, Some(100_000), Some("batch")),
            ),
            ("input_cost_per_second", rate(Meter::Millisecond, 3, None, None)),
            ("output_cost_per_image_token", rate(Meter::ImageOutput, 0, None, None)),
        ] {
            assert_eq!(Key::read(key), meaning, "{key}");
        }
    }

    #[test]
    fn what_speaks_of_money_is_a_price_even_when_it_is_unknown() {
        let unknown = |refines| Key::UnknownPrice { refines };
        for (key, meaning) in [
            ("cache_creation_input_token_cost_above_12hr_priority", unknown(None)),
            ("input_cost_per_token_decisions", unknown(None)),
            ("input_cost_per_token_priority_above_200k_tokens", unknown(None)),
            ("input_cost_per_token_above_manyk_tokens", unknown(None)),
            ("output_cost_per_second_480p", unknown(Some(Meter::Millisecond))),
            ("output_cost_per_image_0.5K", unknown(Some(Meter::Image))),
            ("search_free_requests", unknown(None)),
            ("supports_vision", Key::NoPrice),
            ("max_input_tokens", Key::NoPrice),
        ] {
            assert_eq!(Key::read(key), meaning, "{key}");
        }
    }
}
