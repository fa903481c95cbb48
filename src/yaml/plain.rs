//! The plain style in which this program writes its own files, read several times as fast as YAML at large: one `key: value`
//! or `- item` a line, lists in brackets, strings in double quotes without escapes. It answers with the same tree as the
//! general reader, or with nothing where it meets anything else; then the general reader is asked, which also says what
//! is wrong. A catalog of fifty thousand cards is loaded at a start, and it is written in this style.

use super::{DEEPEST, Key, Node, Value};
use std::borrow::Cow;

/// The tree of a document in the plain style.
pub(super) fn read(text: &str) -> Option<Node<'_>> {
    // Other breaks between lines than the ordinary one, and a mark that is not text.
    if text.contains(['\t', '\r', '\u{85}', '\u{2028}', '\u{2029}', '\u{feff}']) {
        return None;
    }
    let mut lines = Lines { rest: text, number: 0, line: None };
    lines.advance();
    let indent = lines.line?.indent;
    let tree = lines.block(indent, 0)?;
    lines.line.is_none().then_some(tree)
}

#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    indent: usize,
    text: &'a str,
}

struct Lines<'a> {
    rest: &'a str,
    number: usize,
    /// The line to be read next.
    line: Option<Line<'a>>,
}

impl<'a> Lines<'a> {
    fn advance(&mut self) {
        self.line = None;
        if self.rest.is_empty() {
            return;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.number += 1;
        let text = line.trim_start_matches(' ');
        self.line = Some(Line { number: self.number, indent: line.len() - text.len(), text });
    }

    /// A list or a map whose lines begin at this indent.
    fn block(&mut self, indent: usize, depth: usize) -> Option<Node<'a>> {
        let line = self.line.filter(|line| line.indent == indent && depth <= DEEPEST)?;
        let value = match line.text.starts_with("- ") {
            true => Value::List(self.items(indent, depth)?),
            false => Value::Map(self.pairs(indent, depth)?),
        };
        // Whatever comes next belongs to what this is inside of.
        self.line.is_none_or(|next| next.indent < indent).then_some(Node { line: line.number, value })
    }

    fn items(&mut self, indent: usize, depth: usize) -> Option<Vec<Node<'a>>> {
        let mut nodes = Vec::new();
        while let Some(line) = self.line.filter(|line| line.indent == indent) {
            let item = line.text.strip_prefix("- ")?;
            nodes.push(if key(item).is_some() {
                // The dash stands where the indent of its first key would be.
                self.line = Some(Line { indent: indent + 2, text: item, ..line });
                self.block(indent + 2, depth + 1)?
            } else {
                self.advance();
                value(item, line.number)?
            });
        }
        Some(nodes)
    }

    fn pairs(&mut self, indent: usize, depth: usize) -> Option<Vec<(Key<'a>, Node<'a>)>> {
        let mut pairs: Vec<(Key<'a>, Node<'a>)> = Vec::new();
        while let Some(line) = self.line.filter(|line| line.indent == indent) {
            let (name, rest) = key(line.text)?;
            if pairs.iter().any(|(earlier, _)| earlier.name == name) {
                return None;
            }
            self.advance();
            let node = match rest {
                "" => {
                    let inner = self.line.filter(|next| next.indent > indent)?;
                    self.block(inner.indent, depth + 1)?
                }
                rest => value(rest, line.number)?,
            };
            pairs.push((Key { name: Cow::Borrowed(name), line: line.number }, node));
        }
        Some(pairs)
    }
}

/// The key at the start of a line, and what comes after it.
fn key(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || byte == b'_')).filter(|end| *end > 0)?;
    let (name, rest) = (&text[..end], text[end..].strip_prefix(':')?);
    match rest {
        "" => Some((name, "")),
        rest => rest.strip_prefix(' ').filter(|value| !value.is_empty()).map(|value| (name, value)),
    }
}

fn value(text: &str, line: usize) -> Option<Node<'_>> {
    let value = match text.strip_prefix('[').map(|text| text.strip_suffix(']')) {
        None => scalar(text, false)?,
        Some(None) => return None,
        Some(Some("")) => Value::List(Vec::new()),
        Some(Some(items)) => {
            let item = |item| Some(Node { line, value: scalar(item, true)? });
            Value::List(items.split(", ").map(item).collect::<Option<_>>()?)
        }
    };
    Some(Node { line, value })
}

/// One value; inside of brackets a comma ends it.
fn scalar(text: &str, in_brackets: bool) -> Option<Value<'_>> {
    let scalar = |text, quoted| Some(Value::Scalar { text: Cow::Borrowed(text), quoted });
    if let Some(text) = text.strip_prefix('"') {
        let inside = text.strip_suffix('"')?;
        return if inside.contains(['"', '\\']) { None } else { scalar(inside, true) };
    }
    let bytes = text.as_bytes();
    let starts_plainly = bytes.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_'));
    // Much else means something in YAML; a colon does not where a letter or a digit follows it at once.
    let plain = |(place, byte): (usize, &u8)| match byte {
        b'_' | b'-' | b'.' | b'/' | b'+' | b'@' | b'(' | b')' => true,
        b' ' => !in_brackets,
        b':' => bytes.get(place + 1).is_some_and(u8::is_ascii_alphanumeric),
        byte => byte.is_ascii_alphanumeric(),
    };
    let is_plain = bytes.iter().enumerate().all(plain) && !text.ends_with(' ');
    if starts_plainly && is_plain { scalar(text, false) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::shipped;
    use crate::catalog::source::own;
    use proptest::prelude::*;

    fn agrees(text: &str) -> bool {
        let general = Node::parse_general(text);
        match read(text) {
            None => false,
            Some(tree) => {
                assert_eq!(Ok(tree), general, "{text}");
                true
            }
        }
    }

    #[test]
    fn what_this_program_writes_is_read_like_the_general_reader_reads_it() {
        let mut read = 0;
        for (_, text) in shipped::FILES {
            for part in own::read(text).unwrap() {
                read += usize::from(agrees(&own::write(&part)));
            }
        }
        assert!(read >= 5, "only {read} of the shipped lists are in the plain style");
    }

    #[test]
    fn anything_else_is_left_to_the_general_reader() {
        for text in [
            "",
            "a",
            "a:",
            "a: ",
            "a: 'x'",
            "a: {b: c}",
            "a: \"x\\n\"",
            "a: b # c",
            "a: b: c",
            "a: &x b",
            "a: |\n  b",
            "a: b\n c",
            "- a",
            "a:\n- b",
            "a: 1\na: 2",
            "a:\n  b: 1\n c: 2",
            "# a\na: b",
            "---\na: b",
            "a:\tb",
            "\"a\": b",
            "a: [b",
            "a: [b,c]",
            "a: [{b: c}]",
        ] {
            if read(text).is_some() {
                assert!(agrees(text), "{text}");
            }
        }
        assert!(read("a: {b: c}").is_none() && read("a: 1\na: 2").is_none() && read("a: b # c").is_none());
    }

    proptest! {
        /// Whatever it takes, it takes as the general reader does.
        #[test]
        fn both_readers_agree_on_anything_that_looks_alike(text in r#"([ ]{0,4}(- )?([a-c_]{1,2}:)?( )?("?[a-z0-9.#:/ \-]{0,4}"?|\[[a-z, "]{0,6}\])?\n){1,6}"#) {
            if let Some(tree) = read(&text) {
                prop_assert_eq!(Ok(tree), Node::parse_general(&text));
            }
        }
    }
}
