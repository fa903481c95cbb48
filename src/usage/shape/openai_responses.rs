//! OpenAI's Responses API: the same nesting as chat completions under other names.

use super::{Counted, Inclusive, Spelling};
use crate::usage::reading::Object;

const SPELLING: Spelling = Spelling {
    prompt: "input_tokens",
    prompt_details: "input_tokens_details",
    completion: "output_tokens",
    completion_details: "output_tokens_details",
};

pub(super) fn read(block: Object<'_>) -> Counted {
    Inclusive::read(block, &SPELLING)
}
