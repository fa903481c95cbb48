//! Labels gathered from what a producer says beside the counts. A label is a remark, so one that is too long or holds a
//! line break is mended rather than refused: no event is lost for the sake of a label. Callers write into metadata whatever
//! they like, a prompt or a key too; what is called like one is no label.

use crate::usage::reading::{Object, kind, string};
use crate::usage::{MAX_LABELS, MAX_TEXT, Text, content};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Default, Debug)]
pub struct Labels(BTreeMap<Text, Text>);

impl Labels {
    /// Adds a label, unless there is nothing to say, the key is taken, or its name says that somebody wrote the value or that
    /// it opens a door. A flag is neither, so a tag may be called as it likes.
    pub fn add(&mut self, key: impl AsRef<str>, value: Option<impl AsRef<str>>) {
        let Some((key, value)) = loose(key.as_ref()).zip(value.and_then(|value| loose(value.as_ref()))) else { return };
        let is_flag = matches!(&*value, "true" | "false");
        if self.0.len() < MAX_LABELS && (is_flag || !content::is_content(&key)) {
            self.0.entry(key).or_insert(value);
        }
    }

    /// Takes every plain value of an object for a label, under its own name after `prefix`; nested ones are left out.
    pub fn add_all(&mut self, prefix: &str, object: Option<Object<'_>>) {
        for (name, value) in object.map(Object::rest).unwrap_or_default() {
            self.add(format!("{prefix}{name}"), plain(value));
        }
    }

    pub fn into_sorted(self) -> Vec<(Text, Text)> {
        self.0.into_iter().collect()
    }
}

/// A string, a number or a flag as text.
pub fn plain(value: &RawValue) -> Option<Cow<'_, str>> {
    match kind(value.get()) {
        "a string" => string(value),
        "a number" | "true or false" => Some(Cow::Borrowed(value.get())),
        _ => None,
    }
}

/// A text as it can be stored: control characters become spaces, and what is too long is cut.
pub fn loose(text: &str) -> Option<Text> {
    let cut = &text[..text.floor_char_boundary(MAX_TEXT)];
    let cleaned: Cow<'_, str> = match cut.contains(char::is_control) {
        true => Cow::Owned(cut.replace(char::is_control, " ")),
        false => Cow::Borrowed(cut),
    };
    Text::new(cleaned.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_mended_and_never_costs_the_event() {
        let mut labels = Labels::default();
        labels.add("a", Some("two\nlines"));
        labels.add("b", Some("x".repeat(2_000)));
        labels.add("c", Some(""));
        labels.add("a", Some("again"));
        labels.add("d", None::<&str>);
        let labels = labels.into_sorted();
        assert_eq!(labels.len(), 2);
        assert_eq!((&*labels[0].1, labels[1].1.len()), ("two lines", MAX_TEXT));
    }

    #[test]
    fn what_people_wrote_and_what_opens_doors_is_no_label() {
        let mut labels = Labels::default();
        let written = ["prompt", "input.text", "prompt.v1", "system_prompt", "Messages", "answer", "tool-calls"];
        let opening =
            ["token", "access_token", "Cookie", "x.bearer", "credentials", "passwd", "db.password", "private-key", "api_key"];
        for key in written.into_iter().chain(opening) {
            labels.add(key, Some("canary"));
            let object = format!(r#"{{"{key}":"canary"}}"#);
            labels.add_all("m.", Object::parse(&object, "").ok());
        }
        labels.add("tag.image", Some("true"));
        labels.add("prompt_id", Some("p-1"));
        let labels: Vec<_> = labels.into_sorted().iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels, ["prompt_id=p-1", "tag.image=true"]);
    }

    #[test]
    fn an_object_gives_its_plain_values() {
        let mut labels = Labels::default();
        labels.add_all("m.", Object::parse(r#"{"a":"x","b":7,"c":true,"d":{"e":1},"f":null}"#, "").ok());
        let labels: Vec<_> = labels.into_sorted().iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels, ["m.a=x", "m.b=7", "m.c=true"]);
    }
}
