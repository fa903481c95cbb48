//! What is never stored: what people wrote to a model and what it answered. JSON is copied here without it, literal by
//! literal, so that numbers keep their text. A field is content by its name; a number under such a name is a count (a
//! meter is called `input` too) and stays.

use crate::usage::reading::{Object, kind};
use serde_json::value::RawValue;

/// Names under which gateways and SDKs carry content, in lower case and with `_`, `-` and `.` left out.
const CONTENT: [&str; 49] = [
    "answer",
    "arguments",
    "candidates",
    "choices",
    "completion",
    "completions",
    "content",
    "contents",
    "context",
    "delta",
    "document",
    "documents",
    "embedding",
    "embeddings",
    "errorstr",
    "guardrailinformation",
    "guardrailrequest",
    "guardrailresponse",
    "history",
    "image",
    "images",
    "input",
    "inputs",
    "instruction",
    "instructions",
    "mcptoolcallmetadata",
    "message",
    "messages",
    "output",
    "outputs",
    "parts",
    "prompt",
    "prompts",
    "promptvariables",
    "query",
    "question",
    "raw",
    "reasoning",
    "reasoningcontent",
    "stacktrace",
    "stop",
    "system",
    "systemprompt",
    "text",
    "thinking",
    "toolcalls",
    "tools",
    "traceback",
    "vectorstorerequestmetadata",
];

/// Names of what wraps content together with counts worth keeping, a response with its usage: their texts go, and so do those
/// of whatever headers there are.
const CONTAINERS: [&str; 7] = ["body", "data", "error", "request", "requestbody", "response", "responses"];

/// Ends of names under which clients pass what opens doors; a body may hold it beside what people wrote.
const CREDENTIALS: [&str; 17] = [
    "accesskey",
    "apikey",
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "secretkey",
    "secrets",
    "token",
];

/// Longest single text that is kept of something nobody understood; prose is longer than an identifier.
const LONGEST_TEXT: usize = 256;
const DEEPEST: usize = 12;

#[derive(Clone, Copy, PartialEq)]
enum Keep {
    /// Everything but content.
    Facts,
    /// Numbers, and no content: inside a container.
    Numbers,
    /// Numbers under any name: inside a usage block, where `prompt` is a count.
    Counts,
}

/// A field's value without content, or nothing if it is content itself.
pub fn strip_field(name: &str, value: &RawValue) -> Option<String> {
    let mut kept = String::new();
    copy_field(name, value.get(), &mut kept, 0, Keep::Facts).then_some(kept)
}

/// JSON without content, or nothing if none is left (or it is not JSON).
pub fn strip(json: &str) -> Option<String> {
    kept_of(json, Keep::Facts)
}

/// Only the numbers of a usage block, with their names.
pub fn numbers(json: &str) -> Option<String> {
    kept_of(json, Keep::Counts)
}

fn kept_of(json: &str, keep: Keep) -> Option<String> {
    let value: &RawValue = serde_json::from_str(json).ok()?;
    let mut kept = String::new();
    copy(value.get(), &mut kept, 0, keep).then_some(kept)
}

fn copy_field(name: &str, json: &str, kept: &mut String, depth: usize, keep: Keep) -> bool {
    if name.len() > LONGEST_TEXT {
        return false;
    }
    let scalar = matches!(kind(json), "a number" | "true or false");
    if keep == Keep::Counts || scalar {
        return copy(json, kept, depth, keep);
    }
    let plain = plain_name(name);
    let is_container = CONTAINERS.binary_search(&plain.as_str()).is_ok() || plain.ends_with("headers");
    let keep = if is_container { Keep::Numbers } else { keep };
    !is_content(name) && copy(json, kept, depth, keep)
}

/// Whether a text under this name is something that people wrote, or a credential: by the whole name, or by any segment of
/// it, because what is nested is often sent flat (`input.text`, `headers/cookie`).
pub fn is_content(name: &str) -> bool {
    names_content(&plain_name(name)) || name.split(['.', '/', ':']).any(|segment| names_content(&plain_name(segment)))
}

fn plain_name(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' ')).flat_map(char::to_lowercase).collect()
}

fn names_content(plain: &str) -> bool {
    CONTENT.binary_search(&plain).is_ok()
        || ["prompt", "completion", "message", "content"].iter().chain(&CREDENTIALS).any(|word| plain.ends_with(word))
}

/// Copies `json` to the end of `kept`; leaves `kept` as it was and says no where nothing of it may stay.
fn copy(json: &str, kept: &mut String, depth: usize, keep: Keep) -> bool {
    match kind(json) {
        _ if depth > DEEPEST => false,
        "a string" if keep != Keep::Facts || json.len() > LONGEST_TEXT => false,
        "an object" => {
            let Ok(object) = Object::parse(json, "") else { return false };
            copy_all(object.rest(), ['{', '}'], kept, |(name, value), kept| {
                kept.push_str(&serde_json::to_string(name).expect("text is always JSON"));
                kept.push(':');
                copy_field(name, value.get(), kept, depth + 1, keep)
            })
        }
        "an array" => {
            let Ok(values) = serde_json::from_str::<Vec<&RawValue>>(json) else { return false };
            copy_all(values, ['[', ']'], kept, |value, kept| copy(value.get(), kept, depth + 1, keep))
        }
        _ => {
            kept.push_str(json);
            true
        }
    }
}

fn copy_all<T>(parts: Vec<T>, [open, close]: [char; 2], kept: &mut String, copy: impl Fn(&T, &mut String) -> bool) -> bool {
    kept.push(open);
    let start = kept.len();
    for part in parts {
        let before = kept.len();
        if before > start {
            kept.push(',');
        }
        if !copy(&part, kept) {
            kept.truncate(before);
        }
    }
    kept.push(close);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_for_the_search() {
        assert!(CONTENT.is_sorted() && CONTAINERS.is_sorted());
    }

    #[test]
    fn content_goes_and_counts_stay_with_their_literals() {
        let sent = r#"{"id":"a","response":{"id":"secret","usage":{"total":9},"choices":[1]},"messages":[{"role":"user","content":"secret"}],"usage":{"input":12,"cost":3E-7,"prompt_tokens":5},
            "system-prompt":"secret","user_prompt":"secret","meta":{"inputs":"secret","region":"eu","list":["x",1,{"text":"secret"}]}}"#;
        let kept = strip(sent).unwrap();
        assert_eq!(
            kept,
            r#"{"id":"a","response":{"usage":{"total":9}},"usage":{"input":12,"cost":3E-7,"prompt_tokens":5},"meta":{"region":"eu","list":["x",1,{}]}}"#
        );
    }

    #[test]
    fn long_texts_and_deep_nests_go_whatever_their_name() {
        let prose = format!(r#"{{"note":"{}","a":1}}"#, "word ".repeat(100));
        assert_eq!(strip(&prose).unwrap(), r#"{"a":1}"#);
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        assert!(!strip(&deep).unwrap().contains('1'));
        assert_eq!(strip("not json"), None);
    }

    #[test]
    fn credentials_go_too() {
        let sent = r#"{"meta":{"Helicone-Auth":"Bearer secret","x-api-key":"secret","Helicone-User-Id":"ann"},"headers":{"cookie":"secret"}}"#;
        assert_eq!(strip(sent).unwrap(), r#"{"meta":{"Helicone-User-Id":"ann"},"headers":{}}"#);
    }

    #[test]
    fn a_name_is_content_by_any_of_its_segments() {
        for name in ["input.text", "prompt.v1", "app.Messages.0", "http/cookie", "user-token", "db.passwd", "x.private_key"] {
            assert!(is_content(name), "{name}");
        }
        for name in ["tenant", "prompt_id", "max_tokens", "user.id", "tokens", "oceans.pricing_status", "keyboard"] {
            assert!(!is_content(name), "{name}");
        }
    }

    #[test]
    fn numbers_of_a_usage_block_are_all_that_is_left() {
        assert_eq!(numbers(r#"{"prompt":{"text":5},"note":"secret","x":[1,"y"]}"#).unwrap(), r#"{"prompt":{"text":5},"x":[1]}"#);
    }
}
