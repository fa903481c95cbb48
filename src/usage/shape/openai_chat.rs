//! OpenAI's chat completions, and the many that imitate them: `prompt_tokens` includes cached, cache-write, audio and
//! image tokens, `completion_tokens` includes reasoning and audio.

use super::{Counted, Inclusive, Spelling};
use crate::usage::reading::Object;

const SPELLING: Spelling = Spelling {
    prompt: "prompt_tokens",
    prompt_details: ["prompt_tokens_details", "prompt_token_details"],
    other_prompt: "input_tokens",
    completion: "completion_tokens",
    completion_details: ["completion_tokens_details", "completion_token_details"],
    other_completion: "output_tokens",
};

pub(super) fn read(block: Object<'_>) -> Counted {
    Inclusive::read(block, &SPELLING)
}
