//! Anthropic's messages: `input_tokens` *excludes* what was read from or written to the cache, so the counts are disjoint
//! as they come. Cache writes are split by time to live where the API says so; without the split they are five-minute
//! ones. Thinking is inside `output_tokens` and priced like it. A fast answer, and one bound to a place, have prices of their own.

use super::{Counted, Read, Unread, all_taken, required};
use crate::usage::reading::Object;
use crate::usage::{Meter, Quantities};

pub(super) fn read(mut block: Object<'_>, also: &mut Read) -> Counted {
    let mut quantities = Quantities::of(&[
        (Meter::Input, required(&mut block, "input_tokens")?),
        (Meter::CacheRead, block.count("cache_read_input_tokens")?.unwrap_or(0)),
        (Meter::Output, block.count("output_tokens")?.unwrap_or(0)),
    ]);

    let written = block.count("cache_creation_input_tokens")?;
    let mut split = block.object("cache_creation", "cache_creation")?;
    let (short, long) = match &mut split {
        Some(split) => (split.count("ephemeral_5m_input_tokens")?, split.count("ephemeral_1h_input_tokens")?),
        None => (None, None),
    };
    let (short, long) = match (short, long) {
        (None, None) => (written.unwrap_or(0), 0),
        (short, long) => {
            let (short, long) = (short.unwrap_or(0), long.unwrap_or(0));
            if let Some(written) = written.filter(|&written| written != short + long) {
                let detail =
                    format!("cache_creation_input_tokens is {written}, but its parts by time to live add up to {}", short + long);
                return Err(Unread::Contradiction(detail));
            }
            (short, long)
        }
    };
    quantities.set(Meter::CacheWrite, short);
    quantities.set(Meter::CacheWrite1h, long);

    if let Some(mut tools) = block.object("server_tool_use", "server_tool_use")? {
        quantities.set(Meter::WebSearch, tools.count("web_search_requests")?.unwrap_or(0));
        quantities.set(Meter::WebFetch, tools.count("web_fetch_requests")?.unwrap_or(0));
    }
    also.service_tier = block.text("service_tier")?.filter(|tier| &**tier != "standard");
    also.variant = block.text("speed")?.filter(|speed| &**speed != "standard");
    also.region = block.text("inference_geo")?.filter(|geo| !matches!(&**geo, "global" | "not_available"));
    split.map_or(Ok(()), all_taken)?;
    all_taken(block)?;
    Ok(quantities)
}
