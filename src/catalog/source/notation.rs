//! How rates are spelled: a key names a meter and the unit that its number is quoted in. Our own keys are regular, a meter's
//! name and a unit; every gateway has a few fixed ones, each a row here with its power of ten. The same rows read a
//! gateway's file, our own files that were written in its words, and write a price back.

use crate::usage::Meter;
use crate::usage::dialect::promptkit;

/// A key, the meter it names, and the power of ten of the unit it is quoted in.
pub type Spelling = (&'static str, Meter, u32);

pub const OMNIA: &[Spelling] =
    &[("inputCostPer1K", Meter::Input, 3), ("outputCostPer1K", Meter::Output, 3), ("cachedCostPer1K", Meter::CacheRead, 3)];

pub const OCEANS: &[Spelling] = &[
    ("input_usd_per_million_tokens", Meter::Input, 6),
    ("output_usd_per_million_tokens", Meter::Output, 6),
    ("cache_read_usd_per_million_tokens", Meter::CacheRead, 6),
    ("cache_write_usd_per_million_tokens", Meter::CacheWrite, 6),
];

/// The gateway's targets are per million, the control plane's rows per thousand.
pub const KEEPTRUSTS: &[Spelling] = &[
    ("input_price_per_million", Meter::Input, 6),
    ("output_price_per_million", Meter::Output, 6),
    ("cached_input_price_per_million", Meter::CacheRead, 6),
    ("input_cost_per_1k_tokens", Meter::Input, 3),
    ("output_cost_per_1k_tokens", Meter::Output, 3),
];

pub const LLM_PROXY: &[Spelling] = &[
    ("input_cost_per_1k", Meter::Input, 3),
    ("output_cost_per_1k", Meter::Output, 3),
    ("cached_input_cost_per_1k", Meter::CacheRead, 3),
    ("cost_per_request", Meter::Request, 0),
];

/// PromptKit's names of units. An item quotes one of them; the key `per_1m_<unit>` a million.
pub const PROMPTKIT: &[(&str, Meter)] = promptkit::UNITS;

pub const LITELLM: &[Spelling] = &[
    ("input_cost_per_token", Meter::Input, 0),
    ("output_cost_per_token", Meter::Output, 0),
    ("cache_read_input_token_cost", Meter::CacheRead, 0),
    ("cache_creation_input_token_cost", Meter::CacheWrite, 0),
    ("cache_creation_input_token_cost_above_1hr", Meter::CacheWrite1h, 0),
    ("output_cost_per_reasoning_token", Meter::Reasoning, 0),
    ("input_cost_per_audio_token", Meter::AudioInput, 0),
    ("cache_read_input_audio_token_cost", Meter::AudioCacheRead, 0),
    ("output_cost_per_audio_token", Meter::AudioOutput, 0),
    ("input_cost_per_image_token", Meter::ImageInput, 0),
    ("output_cost_per_image_token", Meter::ImageOutput, 0),
    ("input_cost_per_video_token", Meter::VideoInput, 0),
    ("input_cost_per_character", Meter::Character, 0),
    ("input_cost_per_request", Meter::Request, 0),
    ("ocr_cost_per_page", Meter::Page, 0),
];

pub const MODELS_DEV: &[Spelling] = &[
    ("input", Meter::Input, 6),
    ("output", Meter::Output, 6),
    ("cache_read", Meter::CacheRead, 6),
    ("cache_write", Meter::CacheWrite, 6),
    ("reasoning", Meter::Reasoning, 6),
    ("input_audio", Meter::AudioInput, 6),
    ("output_audio", Meter::AudioOutput, 6),
];

/// A `max_price` has no unit in its keys: it means what its author means by it. An amount for the whole call is a rate of
/// [`Meter::Whole`] here.
pub const MAX_PRICE: &[(&str, &[Spelling])] = &[
    (
        "openrouter",
        &[
            ("prompt", Meter::Input, 6),
            ("completion", Meter::Output, 6),
            ("request", Meter::Request, 0),
            ("image", Meter::Image, 0),
        ],
    ),
    ("keeptrusts", &[("input", Meter::Input, 6), ("output", Meter::Output, 6)]),
    ("cost-guard", &[("max_cost_per_request_usd", Meter::Whole, 0)]),
];

/// The units of our own keys, with the power of ten of each.
const UNITS: [(&str, u32); 4] = [("_per_token", 0), ("_per_1k", 3), ("_per_1m", 6), ("_each", 0)];

/// What may stand in our own files, for the message that refuses something else.
pub const OURS: &str = "<meter>_per_token|_per_1k|_per_1m|_each";

/// The meter and the power of ten that a key names in our own files: ours, or exactly as a gateway spells it.
pub fn meter_and_power(key: &str) -> Option<(Meter, u32)> {
    our_own(key)
        .or_else(|| promptkit(key))
        .or_else(|| [OMNIA, OCEANS, KEEPTRUSTS, LLM_PROXY].iter().find_map(|of| spelled(key, of)))
}

/// The same for a ceiling, which may also bound a call as a whole.
pub fn of_ceiling(key: &str) -> Option<(Meter, u32)> {
    if key == "amount_per_request" { Some((Meter::Whole, 0)) } else { meter_and_power(key) }
}

pub fn spelled(key: &str, spellings: &[Spelling]) -> Option<(Meter, u32)> {
    spellings.iter().find(|(spelling, ..)| *spelling == key).map(|(_, meter, power)| (*meter, *power))
}

/// `per_1m_input_token`
pub fn promptkit(key: &str) -> Option<(Meter, u32)> {
    Some((promptkit_unit(key.strip_prefix("per_1m_")?)?, 6))
}

pub fn promptkit_unit(unit: &str) -> Option<Meter> {
    PROMPTKIT.iter().find(|(name, _)| *name == unit).map(|(_, meter)| *meter)
}

fn our_own(key: &str) -> Option<(Meter, u32)> {
    UNITS.iter().find_map(|(unit, power)| {
        let meter = Meter::named(key.strip_suffix(unit)?)?;
        let fits = if *unit == "_per_token" { meter.is_token() } else { *unit != "_each" || !meter.is_token() };
        (fits && meter != Meter::Whole).then_some((meter, *power))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_means_one_thing_whoever_wrote_it() {
        let fixed = [OMNIA, OCEANS, KEEPTRUSTS, LLM_PROXY].concat();
        for (key, meter, power) in &fixed {
            assert_eq!(meter_and_power(key), Some((*meter, *power)), "{key}");
            assert_eq!(fixed.iter().filter(|(other, ..)| other == key).count(), 1, "{key}");
        }
        for (unit, meter) in PROMPTKIT {
            assert_eq!(meter_and_power(&format!("per_1m_{unit}")), Some((*meter, 6)));
        }
    }

    #[test]
    fn a_unit_belongs_to_what_it_counts() {
        assert_eq!(meter_and_power("cache_write_1h_per_1k"), Some((Meter::CacheWrite1h, 3)));
        assert_eq!(meter_and_power("page_each"), Some((Meter::Page, 0)));
        for no_rate in ["input_each", "page_per_token", "whole_each", "amount_per_request", "input", "per_1m_smile"] {
            assert_eq!(meter_and_power(no_rate), None, "{no_rate}");
        }
        assert_eq!(of_ceiling("amount_per_request"), Some((Meter::Whole, 0)));
    }
}
