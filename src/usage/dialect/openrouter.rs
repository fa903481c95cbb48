//! OpenRouter. What it says of a call comes by three ways: a span of its Broadcast, the response itself, and the record of the
//! generation, asked for afterwards. All three name the generation, so all three are the same call; each is a source of its
//! own (unless the key says otherwise), so that where an operator collects more than one of them the first is booked and the
//! others are evidence. All of them say what was charged, and only native token counts are billed.

pub mod broadcast;
pub mod generation;
pub mod response;

use super::{Context, Told};
use crate::usage::reading::{Object, Rejected, kind};

/// Reads a response or a record, told apart by their fields.
pub fn read(json: &str, context: &Context) -> Result<Told, Rejected> {
    let mut whole = Object::parse(json, "")?;
    // The events of a Responses stream have the response inside; only that of an end is whole.
    let event = whole.loose("type").filter(|event| event.starts_with("response."));
    if let Some(event) = event {
        return match (&*event, whole.take("response")) {
            ("response.completed" | "response.incomplete" | "response.failed", Some(response)) => {
                response::read(Object::parse(response.get(), "response")?, context)
            }
            _ => Ok(Told::Nothing("an event of a stream; the one that ends it has the usage")),
        };
    }
    if whole.has("native_tokens_prompt") || whole.has("native_tokens_completion") || whole.has("upstream_inference_cost") {
        return generation::read(whole, context);
    }
    // `data` is a record in an answer to `/generation`, and a list of vectors in a response.
    let record = whole.take("data").filter(|data| !whole.has("usage") && kind(data.get()) == "an object");
    match record {
        Some(record) => generation::read(Object::parse(record.get(), "data")?, context),
        None => response::read(Object::parse(json, "")?, context),
    }
}
