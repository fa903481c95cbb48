//! What a dialect did not understand of an event, kept beside it as far as it fits: a field that a producer invents today may
//! be what explains a bill next year. What people wrote is left out, whatever it is called.

use crate::usage::otlp::{Span, Value};
use crate::usage::{MAX_EXTRA, content};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Unknown fields as one JSON object, as many as fit, in the order in which they came.
pub fn fields(unknown: &[(Cow<'_, str>, &RawValue)]) -> Option<Box<str>> {
    let short = unknown.iter().filter(|(name, value)| name.len() + value.get().len() <= MAX_EXTRA);
    as_many_as_fit(short.filter_map(|(name, value)| Some((&**name, content::strip_field(name, value)?))))
}

/// The numbers among unknown fields, for what stands beside prompts and answers and is named by whoever wrote those.
pub fn numbers(unknown: &[(Cow<'_, str>, &RawValue)]) -> Option<Box<str>> {
    let short = unknown.iter().filter(|(name, value)| name.len() + value.get().len() <= MAX_EXTRA);
    let numbers = short.filter_map(|(name, value)| Some((&**name, content::numbers(value.get())?)));
    as_many_as_fit(numbers.filter(|(_, kept)| kept.bytes().any(|byte| byte.is_ascii_digit())))
}

/// The numbers and flags among a span's attributes, but for those that were read. Anybody may write anything into a text of a
/// span, and no name tells which of them is a prompt.
pub fn attributes(span: &Span<'_>, read: &[&[&str]]) -> Option<Box<str>> {
    let unread = span.attributes.under("").filter(|(name, _)| !read.iter().any(|names| names.contains(name)));
    as_many_as_fit(unread.filter_map(|(name, value)| match value {
        Value::Number(_) | Value::Flag(_) => Some((name, value.literal()?)),
        Value::Text(_) | Value::List(_) | Value::Map(_) => None,
    }))
}

fn as_many_as_fit<'n>(fields: impl Iterator<Item = (&'n str, String)>) -> Option<Box<str>> {
    let mut kept = String::new();
    for (name, value) in fields {
        let field = format!("{}:{value}", serde_json::to_string(name).expect("text is always JSON"));
        if kept.len() + field.len() + 2 <= MAX_EXTRA {
            kept.push(if kept.is_empty() { '{' } else { ',' });
            kept.push_str(&field);
        }
    }
    if kept.is_empty() {
        return None;
    }
    kept.push('}');
    Some(kept.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::reading::Object;

    #[test]
    fn as_many_fields_as_fit_are_kept_in_their_order() {
        let long = "x".repeat(250);
        let sent = format!(
            r#"{{"a":{{"b":1.50}},"long":"{long}","more":"{long}","third":"{long}","fourth":"{long}","prompt":"x","z":true}}"#
        );
        let kept = fields(&Object::parse(&sent, "").unwrap().rest()).unwrap();
        assert!(kept.len() <= MAX_EXTRA, "{}", kept.len());
        assert_eq!(*kept, format!(r#"{{"a":{{"b":1.50}},"long":"{long}","more":"{long}","third":"{long}","z":true}}"#));
        assert_eq!(fields(&[]), None);
    }

    #[test]
    fn of_what_people_name_only_numbers_are_kept() {
        let sent = r#"{"name":"x","topK":40,"inner":{"say":"x","n":[1,"x"]},"empty":{"say":"x"},"flag":true}"#;
        let kept = numbers(&Object::parse(sent, "").unwrap().rest()).unwrap();
        assert_eq!(&*kept, r#"{"topK":40,"inner":{"n":[1]}}"#);
    }
}
