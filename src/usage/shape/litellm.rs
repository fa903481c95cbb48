//! LiteLLM's own usage object, into which it turns every provider's: spelled and nested like OpenAI's chat completions, so
//! `prompt_tokens` includes what was read from and written to a cache, also where the provider's own count excludes it.
//! What it has beside that: cache writes, inside the details or under Anthropic's names next to the totals, split by
//! time to live where the provider says so; and the searches of a server tool.

use super::{Counted, Inclusive, all_taken, of, repeats};
use crate::usage::Meter;
use crate::usage::reading::{Object, Rejected};

pub(super) fn read(mut block: Object<'_>) -> Counted {
    let prompt = ("prompt_tokens", block.count("prompt_tokens")?.unwrap_or(0));
    let completion = ("completion_tokens", block.count("completion_tokens")?.unwrap_or(0));
    let total = block.count("total_tokens")?;
    let (read, written) = (block.count("cache_read_input_tokens")?, block.count("cache_creation_input_tokens")?);
    let tools = block.object("server_tool_use", "server_tool_use")?;
    let mut inside_prompt = block.object("prompt_tokens_details", "prompt_tokens_details")?;
    let mut inside_completion = block.object("completion_tokens_details", "completion_tokens_details")?;
    let mut by_ttl = match &mut inside_prompt {
        Some(details) => details.object("cache_creation_token_details", "cache_creation_token_details")?,
        None => None,
    };

    let beside = [block.count("prompt_cache_hit_tokens")?, block.count("cached_tokens")?];
    let cached = of(&mut inside_prompt, &["cached_tokens"])?.or(read).or(beside.into_iter().flatten().max()).unwrap_or(0);
    let written =
        [of(&mut inside_prompt, &["cache_creation_tokens"])?, of(&mut inside_prompt, &["cache_write_tokens"])?, written];
    let written = written.into_iter().flatten().max().unwrap_or(0);
    let long = of(&mut by_ttl, &["ephemeral_1h_input_tokens"])?.unwrap_or(0);
    // What is left of the writes lives for five minutes.
    of(&mut by_ttl, &["ephemeral_5m_input_tokens"])?;
    let short = super::remainder(("cache_creation_tokens", written), &[("ephemeral_1h_input_tokens", long)])?;
    let reasoning = of(&mut inside_completion, &["reasoning_tokens"])?.unwrap_or(0);
    repeats(&mut block, "reasoning_tokens", ("that of the details", reasoning))?;
    repeats(&mut block, "input_tokens", prompt)?;
    repeats(&mut block, "output_tokens", completion)?;
    let inclusive = Inclusive {
        prompt,
        completion,
        // A total of nothing is one that nobody counted.
        total: total.filter(|total| *total > 0),
        cached,
        cached_audio: 0,
        cached_image: 0,
        cache_write: short,
        cache_write_1h: long,
        audio_in: of(&mut inside_prompt, &["audio_tokens"])?.unwrap_or(0),
        image_in: of(&mut inside_prompt, &["image_tokens"])?.unwrap_or(0),
        video_in: of(&mut inside_prompt, &["video_tokens"])?.unwrap_or(0),
        reasoning,
        audio_out: of(&mut inside_completion, &["audio_tokens"])?.unwrap_or(0),
        image_out: of(&mut inside_completion, &["image_tokens"])?.unwrap_or(0),
    };
    let searches = [of(&mut inside_prompt, &["web_search_requests"])?, searches(tools)?];
    for left in [Some(block), inside_prompt, inside_completion, by_ttl].into_iter().flatten() {
        all_taken(left)?;
    }
    let mut quantities = inclusive.disjoint()?;
    quantities.set(Meter::WebSearch, searches.into_iter().flatten().max().unwrap_or(0));
    Ok(quantities)
}

fn searches(tools: Option<Object<'_>>) -> Result<Option<u64>, Rejected> {
    tools.map_or(Ok(None), |mut tools| tools.count("web_search_requests"))
}

#[cfg(test)]
mod tests {
    use super::super::Shape;
    use crate::usage::{Meter, Quantities, Usage};

    fn counts(block: &str) -> Usage {
        Shape::Litellm.read(block, "usage").unwrap().usage
    }

    #[test]
    fn an_anthropic_call_through_litellm_is_inclusive() {
        // 10,000 on the way in: 9,000 read, 900 written (300 of them for an hour), 100 plain.
        let block = r#"{"prompt_tokens":10000,"completion_tokens":50,"total_tokens":10050,
            "prompt_tokens_details":{"cached_tokens":9000,"cache_creation_tokens":900,
              "cache_creation_token_details":{"ephemeral_5m_input_tokens":600,"ephemeral_1h_input_tokens":300}},
            "cache_creation_input_tokens":900,"cache_read_input_tokens":9000,"server_tool_use":{"web_search_requests":2}}"#;
        let expected = [
            (Meter::Input, 100),
            (Meter::CacheRead, 9000),
            (Meter::CacheWrite, 600),
            (Meter::CacheWrite1h, 300),
            (Meter::Output, 50),
            (Meter::WebSearch, 2),
        ];
        assert_eq!(counts(block), Usage::Counted(Quantities::of(&expected)));
    }

    #[test]
    fn counts_that_do_not_fit_are_a_contradiction() {
        let block = r#"{"prompt_tokens":10,"completion_tokens":5,"cache_read_input_tokens":20}"#;
        assert!(matches!(counts(block), Usage::Contradictory { .. }));
    }
}
