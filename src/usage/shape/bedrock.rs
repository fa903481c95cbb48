//! Amazon Bedrock's Converse API: camel case, cache counts beside `inputTokens` (excluded from it), one-hour cache writes
//! listed by time to live. Whether `totalTokens` counts the cache differs between models; both sums are accepted.

use super::{Counted, Unread, agrees, all_taken, remainder, required};
use crate::usage::reading::Object;
use crate::usage::{Meter, Quantities};
use serde_json::value::RawValue;

pub(super) fn read(mut block: Object<'_>) -> Counted {
    let input = required(&mut block, "inputTokens")?;
    let output = block.count("outputTokens")?.unwrap_or(0);
    let cache_read = either(&mut block, "cacheReadInputTokens", "cacheReadInputTokenCount")?;
    let cache_write = either(&mut block, "cacheWriteInputTokens", "cacheWriteInputTokenCount")?;
    let total = block.count("totalTokens")?;
    agrees("totalTokens", total, &[input + output, input + output + cache_read + cache_write])?;

    let mut one_hour = 0;
    if let Some(details) = block.take("cacheDetails") {
        for (place, entry) in serde_json::from_str::<Vec<&RawValue>>(details.get()).unwrap_or_default().into_iter().enumerate() {
            let mut entry = Object::parse(entry.get(), "cacheDetails")?;
            let ttl = entry.required_text("ttl")?;
            let tokens = entry.count("inputTokens")?.unwrap_or(0);
            match &*ttl {
                "5m" => {}
                "1h" => one_hour += tokens,
                other => {
                    return Err(Unread::Contradiction(format!(
                        "cacheDetails[{place}] has a time to live of {other}, which has no meter"
                    )));
                }
            }
        }
    }
    all_taken(block)?;
    let five_minutes = remainder(("cacheWriteInputTokens", cache_write), &[("cacheDetails 1h", one_hour)])?;

    Ok(Quantities::of(&[
        (Meter::Input, input),
        (Meter::CacheRead, cache_read),
        (Meter::CacheWrite, five_minutes),
        (Meter::CacheWrite1h, one_hour),
        (Meter::Output, output),
    ]))
}

/// The same count under its newer or its older name.
fn either(block: &mut Object<'_>, newer: &str, older: &str) -> Result<u64, Unread> {
    let (newer, older) = (block.count(newer)?, block.count(older)?);
    Ok(newer.or(older).unwrap_or(0))
}
