//! Langfuse's usage details: counts under free names, disjoint by its rule (`input` is what no other `input_...` counts). A
//! provider's own block is taken too and read by its shape. A count under a name that no meter stands for is a contradiction,
//! and so is a total that the counts do not add up to: such events are held, because leaving a count out, or counting it
//! twice, would be a wrong price. Costs are what Langfuse's client computed, so they are claimed.

use crate::money::{Amount, Currency};
use crate::usage::reading::{self, Object, Rejected};
use crate::usage::shape::{self, Shape};
use crate::usage::{Claimed, Meter, Quantities, Usage};

/// The names that clients use, in the order of the alphabet.
const METERS: [(&str, Meter); 32] = [
    ("cache_creation_input_tokens", Meter::CacheWrite),
    ("cache_read_input_tokens", Meter::CacheRead),
    ("cached_tokens", Meter::CacheRead),
    ("completion", Meter::Output),
    ("completionTokens", Meter::Output),
    ("input", Meter::Input),
    ("input_audio", Meter::AudioInput),
    ("input_audio_tokens", Meter::AudioInput),
    ("input_cache_creation", Meter::CacheWrite),
    ("input_cache_creation_1h", Meter::CacheWrite1h),
    ("input_cache_creation_5m", Meter::CacheWrite),
    ("input_cache_creation_tokens", Meter::CacheWrite),
    ("input_cache_read", Meter::CacheRead),
    ("input_cache_read_tokens", Meter::CacheRead),
    ("input_cache_write_tokens", Meter::CacheWrite),
    ("input_cached", Meter::CacheRead),
    ("input_cached_tokens", Meter::CacheRead),
    ("input_image", Meter::ImageInput),
    ("input_image_tokens", Meter::ImageInput),
    ("input_text_tokens", Meter::Input),
    ("input_video_tokens", Meter::VideoInput),
    ("output", Meter::Output),
    ("output_audio", Meter::AudioOutput),
    ("output_audio_tokens", Meter::AudioOutput),
    ("output_image_tokens", Meter::ImageOutput),
    ("output_reasoning", Meter::Reasoning),
    ("output_reasoning_tokens", Meter::Reasoning),
    ("output_text_tokens", Meter::Output),
    ("prompt", Meter::Input),
    ("promptTokens", Meter::Input),
    ("reasoning_tokens", Meter::Reasoning),
    ("web_search_requests", Meter::WebSearch),
];

/// Details that say how other counts came about, and count nothing more.
const REMARKS: [&str; 2] = ["accepted_prediction_tokens", "output_accepted_prediction_tokens"];

pub fn read_usage(json: &str) -> Result<Option<Usage>, Rejected> {
    let mut details = Object::parse(json, "usage")?;
    // An empty one and one of nulls says nothing.
    if details.says_nothing() {
        return Ok(None);
    }
    if !details.has("input")
        && !details.has("output")
        && let Some(shape) = Shape::evident(&details)
    {
        return shape.read(json, "usage").map(|read| Some(read.usage));
    }
    let mut counts = Quantities::NONE;
    let contradiction = |detail: String| shape::contradiction(detail, json);
    if let Some(unit) = details.loose("unit").filter(|unit| !unit.eq_ignore_ascii_case("tokens")) {
        return Ok(Some(contradiction(format!("the counts are in {unit}, and which meter that is depends on the model"))));
    }
    let total = match details.count("total")? {
        Some(total) => Some(total),
        None => details.count("totalTokens")?,
    };
    // Names are free, so there may be any number of them: each is looked at once, and none is looked for.
    for (name, value) in details.rest() {
        if value.get() == "null" || REMARKS.contains(&&*name) || name.ends_with("Cost") {
            continue;
        }
        let count = reading::count(value);
        let Ok(place) = METERS.binary_search_by_key(&&*name, |(name, _)| name) else {
            // A text under a free name is a remark.
            if !matches!(count, Ok(1..)) {
                continue;
            }
            let name: String = name.chars().take(60).collect();
            return Ok(Some(contradiction(format!("nobody knows what {name} counts, or what it is part of"))));
        };
        let count = count.map_err(|problem| Rejected::new(format!("usage.{name}"), problem))?;
        let meter = METERS[place].1;
        counts.set(meter, counts.get(meter).saturating_add(count));
    }
    let sum: u64 = counts.present().filter(|(meter, _)| meter.is_token()).map(|(_, count)| count).sum();
    // Where the total is short of exactly the cache writes, they were counted inside the input as well.
    let (input, written) =
        (counts.get(Meter::Input), counts.get(Meter::CacheWrite).saturating_add(counts.get(Meter::CacheWrite1h)));
    let is_inside = written > 0 && written <= input && total == Some(sum - written);
    if is_inside {
        counts.set(Meter::Input, input - written);
    }
    if let Some(total) = total.filter(|total| *total > 0 && *total != sum && !is_inside) {
        // A total alone cannot be split into what costs what.
        return Ok(Some(match sum {
            0 => contradiction(format!("total is {total}, and nothing says how much of it is input")),
            _ => contradiction(format!("total is {total}, but the counts add up to {sum}")),
        }));
    }
    Ok(Some(Usage::Counted(counts)).filter(|_| !counts.is_empty()))
}

/// The cost inside a usage object, where the oldest clients put it.
pub fn read_total_cost(json: &str) -> Option<Claimed> {
    let (amount, _) = Object::parse(json, "usage").ok()?.amount("totalCost").ok()??;
    Some(Claimed { amount, currency: Currency::USD })
}

/// The total of the costs, or the sum of its parts.
pub fn read_cost(json: &str) -> Option<Claimed> {
    let mut details = Object::parse(json, "cost").ok()?;
    let amount = match details.amount("total").ok()? {
        Some((total, _)) => total,
        None => {
            let parts = details.rest().into_iter().filter_map(|(_, value)| reading::amount(value).ok());
            parts.map(|(part, _)| part).reduce(|one, other| one.checked_add(other).unwrap_or(Amount::ZERO))?
        }
    };
    Some(Claimed { amount, currency: Currency::USD })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(json: &str) -> Usage {
        read_usage(json).unwrap().unwrap_or(Usage::Missing)
    }

    #[test]
    fn names_are_sorted_for_the_search() {
        assert!(METERS.is_sorted_by_key(|(name, _)| name));
    }

    #[test]
    fn the_input_is_what_the_cache_does_not_count() {
        // 10,000 on the way in: 9,000 from the cache, 900 into it, 100 plain.
        let anthropic =
            r#"{"input":100,"cache_read_input_tokens":9000,"cache_creation_input_tokens":900,"output":50,"total":10050}"#;
        let expected = [(Meter::Input, 100), (Meter::CacheRead, 9000), (Meter::CacheWrite, 900), (Meter::Output, 50)];
        assert_eq!(usage(anthropic), Usage::Counted(Quantities::of(&expected)));
        let langchain = r#"{"input":100,"input_cache_read":9000,"output":20,"output_reasoning":30}"#;
        let expected = [(Meter::Input, 100), (Meter::CacheRead, 9000), (Meter::Output, 20), (Meter::Reasoning, 30)];
        assert_eq!(usage(langchain), Usage::Counted(Quantities::of(&expected)));
    }

    #[test]
    fn writes_inside_the_input_are_taken_out_where_the_total_says_so() {
        // 1,000 on the way in, of which 900 were written: 100 plain. The total counts them once.
        let details = r#"{"input":1000,"cache_creation_input_tokens":900,"output":50,"total":1050}"#;
        let expected = [(Meter::Input, 100), (Meter::CacheWrite, 900), (Meter::Output, 50)];
        assert_eq!(usage(details), Usage::Counted(Quantities::of(&expected)));
    }

    #[test]
    fn a_providers_own_block_is_read_by_its_shape() {
        let openai =
            r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":80}}"#;
        let expected = [(Meter::Input, 20), (Meter::CacheRead, 80), (Meter::Output, 20)];
        assert_eq!(usage(openai), Usage::Counted(Quantities::of(&expected)));
    }

    #[test]
    fn what_cannot_be_split_is_held() {
        for (details, said) in [
            // A client that counted the cache inside the input as well: the total gives it away.
            (
                r#"{"input":10000,"cache_read_input_tokens":9000,"output":500,"total":10500}"#,
                "total is 10500, but the counts add up to 19500",
            ),
            (r#"{"total":70}"#, "total is 70, and nothing says how much of it is input"),
            (r#"{"input":5,"input_smells":2}"#, "nobody knows what input_smells counts, or what it is part of"),
        ] {
            assert!(matches!(usage(details), Usage::Contradictory { detail, .. } if detail == said), "{details}");
        }
        assert_eq!(usage("{}"), Usage::Missing);
        assert_eq!(usage(r#"{"input":0,"output":0,"total":0}"#), Usage::Missing);
    }

    #[test]
    fn costs_are_claims() {
        let total = |json: &str| read_cost(json).map(|claimed| claimed.amount.to_string());
        assert_eq!(total(r#"{"input":0.001,"output":0.002,"total":0.003}"#).as_deref(), Some("0.003"));
        assert_eq!(total(r#"{"input":0.001,"output":2e-3}"#).as_deref(), Some("0.003"));
        assert_eq!(total("{}"), None);
    }
}
