//! The usage of the Vercel AI SDK: camel case like Bedrock's, but nested like OpenAI's, so `inputTokens` includes what was read
//! from and written to the cache, and `outputTokens` the reasoning. Version 6 says the parts in details, version 5 beside.

use super::{Counted, Inclusive, all_taken, of, repeats, required};
use crate::usage::reading::Object;

pub(super) fn read(mut block: Object<'_>) -> Counted {
    let prompt = ("inputTokens", required(&mut block, "inputTokens")?);
    let completion = ("outputTokens", block.count("outputTokens")?.unwrap_or(0));
    let total = block.count("totalTokens")?;
    let mut inside_input = block.object("inputTokenDetails", "inputTokenDetails")?;
    let mut inside_output = block.object("outputTokenDetails", "outputTokenDetails")?;
    let cached = match of(&mut inside_input, &["cacheReadTokens"])? {
        Some(cached) => {
            repeats(&mut block, "cachedInputTokens", ("cacheReadTokens", cached))?;
            cached
        }
        None => block.count("cachedInputTokens")?.unwrap_or(0),
    };
    let reasoning = match of(&mut inside_output, &["reasoningTokens"])? {
        Some(reasoning) => {
            repeats(&mut block, "reasoningTokens", ("that of the details", reasoning))?;
            reasoning
        }
        None => block.count("reasoningTokens")?.unwrap_or(0),
    };
    let cache_write = of(&mut inside_input, &["cacheWriteTokens"])?.unwrap_or(0);
    for left in [Some(block), inside_input, inside_output].into_iter().flatten() {
        all_taken(left)?;
    }
    Inclusive { prompt, completion, total, cached, cache_write, reasoning, ..Inclusive::default() }.disjoint()
}
