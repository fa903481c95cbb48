//! OpenAI's Responses API: the same nesting as chat completions under other names. Its realtime API, and LangChain,
//! write the details in the singular.

use super::{Counted, Inclusive, Spelling};
use crate::usage::reading::Object;

const SPELLING: Spelling = Spelling {
    prompt: "input_tokens",
    prompt_details: ["input_tokens_details", "input_token_details"],
    other_prompt: "prompt_tokens",
    completion: "output_tokens",
    completion_details: ["output_tokens_details", "output_token_details"],
    other_completion: "completion_tokens",
};

pub(super) fn read(block: Object<'_>) -> Counted {
    Inclusive::read(block, &SPELLING)
}
