//! OpenRouter speaks three APIs and writes usage as each of them does: chat and responses nest like OpenAI's, messages
//! are disjoint like Anthropic's. All three carry what it charged. `cost` is what leaves the credits; with the caller's
//! own key that is only the router's fee, and the upstream's charge stands in `cost_details`. Otherwise the upstream
//! figure is the same money again and must not be added. Videos and speech have a cost and no tokens.

use super::{Counted, Read, all_taken, anthropic, openai_chat, openai_responses};
use crate::money::Currency;
use crate::usage::reading::Object;
use crate::usage::{Meter, Quantities, Reported};

pub(super) fn read(mut block: Object<'_>, also: &mut Read) -> Counted {
    let cost = block.amount("cost")?;
    let byok = block.flag("is_byok")?.unwrap_or(false);
    let upstream = match block.object("cost_details", "cost_details")? {
        Some(mut details) => details.amount("upstream_inference_cost")?,
        None => None,
    };
    also.reported = cost.map(|(amount, rounded)| {
        let upstream = upstream.filter(|_| byok);
        Reported {
            amount,
            currency: Currency::USD,
            byok,
            upstream_amount: upstream.map(|(amount, _)| amount),
            rounded: rounded || upstream.is_some_and(|(_, rounded)| rounded),
        }
    });

    let counts_tokens =
        ["prompt_tokens", "input_tokens", "completion_tokens", "output_tokens"].iter().any(|name| block.has(name));
    if also.reported.is_some() && !counts_tokens {
        all_taken(block)?;
        return Ok(Quantities::NONE);
    }
    let like_messages = block.has("input_tokens")
        && ["cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"].iter().any(|name| block.has(name));
    if like_messages {
        return anthropic::read(block, also);
    }

    let mut searches = 0;
    for tools in ["server_tool_use_details", "server_tool_use"] {
        if let Some(mut tools) = block.object(tools, tools)? {
            searches = tools.count("web_search_requests")?.unwrap_or(0);
        }
    }
    let mut quantities = if block.has("input_tokens") { openai_responses::read(block) } else { openai_chat::read(block) }?;
    quantities.set(Meter::WebSearch, searches);
    Ok(quantities)
}
