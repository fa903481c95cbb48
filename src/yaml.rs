//! YAML as a tree that remembers its lines and whether a scalar was quoted, so that every mistake in a file can be told
//! with its place and so that `3` and `"3"` can be told apart. Anchors, aliases and tags are refused: a file that people
//! are billed by says everything where it stands.

mod plain;

use saphyr_parser::{Event, Parser, ScalarStyle};
use std::borrow::Cow;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<'a> {
    pub line: usize,
    pub value: Value<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    Scalar { text: Cow<'a, str>, quoted: bool },
    List(Vec<Node<'a>>),
    Map(Vec<(Key<'a>, Node<'a>)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key<'a> {
    pub name: Cow<'a, str>,
    pub line: usize,
}

/// One mistake in a file: where, what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub line: usize,
    pub field: String,
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.what)
    }
}

const DEEPEST: usize = 32;
/// A list of fifty thousand cards has eight; the limit is against files that are not what they seem.
const LARGEST_MB: usize = 64;

impl<'a> Node<'a> {
    /// The one document of a file.
    pub fn parse(text: &'a str) -> Result<Node<'a>, Mistake> {
        let in_plain_style = if text.len() > LARGEST_MB << 20 { None } else { plain::read(text) };
        in_plain_style.map_or_else(|| Node::parse_general(text), Ok)
    }

    fn parse_general(text: &'a str) -> Result<Node<'a>, Mistake> {
        let mut documents = Node::parse_all(text)?.into_iter();
        match (documents.next(), documents.next()) {
            (Some(node), None) => Ok(node),
            (None, _) => Err(mistake(1, "the file is empty".to_owned())),
            (_, Some(second)) => Err(mistake(second.line, "a second document begins; put it into a file of its own".to_owned())),
        }
    }

    /// Every document of a file in which `---` stands between them, without the empty ones.
    pub fn parse_all(text: &'a str) -> Result<Vec<Node<'a>>, Mistake> {
        if text.len() > LARGEST_MB << 20 {
            return Err(mistake(1, format!("larger than {LARGEST_MB} MB")));
        }
        let mut tree = Tree { events: Parser::new_from_str(text), line: 1 };
        let mut documents = Vec::new();
        loop {
            match tree.next()? {
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                first => documents.push(tree.node(first, 0)?),
            }
        }
        documents.retain(|document| !document.is_null());
        Ok(documents)
    }

    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Nothing was written: `key:` or `key: null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, quoted: false } if matches!(&**text, "" | "~" | "null"))
    }

    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar { quoted: true, .. } => "a string",
            Value::Scalar { .. } => "a plain value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The same tree as JSON text: plain numbers, true, false and null as such, everything else as strings.
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.write_json(&mut json);
        json
    }

    fn write_json(&self, json: &mut String) {
        let string = |text: &str| serde_json::to_string(text).expect("text is always JSON");
        match &self.value {
            Value::Scalar { text, quoted } => match &**text {
                _ if self.is_null() => json.push_str("null"),
                "true" | "false" if !quoted => json.push_str(text),
                number if !quoted && number.parse::<i64>().is_ok() => json.push_str(number),
                _ => json.push_str(&string(text)),
            },
            Value::List(nodes) => {
                json.push('[');
                for (place, node) in nodes.iter().enumerate() {
                    json.push_str(if place > 0 { "," } else { "" });
                    node.write_json(json);
                }
                json.push(']');
            }
            Value::Map(pairs) => {
                json.push('{');
                for (place, (key, node)) in pairs.iter().enumerate() {
                    json.push_str(if place > 0 { "," } else { "" });
                    json.push_str(&string(&key.name));
                    json.push(':');
                    node.write_json(json);
                }
                json.push('}');
            }
        }
    }
}

struct Tree<'a> {
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
    line: usize,
}

impl<'a> Tree<'a> {
    fn next(&mut self) -> Result<Event<'a>, Mistake> {
        match self.events.next_event() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(event)
            }
            Some(Err(e)) => Err(mistake(e.marker().line(), format!("not YAML: {}", e.info()))),
            None => Err(mistake(self.line, "the file ends early".to_owned())),
        }
    }

    fn node(&mut self, first: Event<'a>, depth: usize) -> Result<Node<'a>, Mistake> {
        let line = self.line;
        let refused = |what: &str| Err(mistake(line, format!("{what} are not read here; write the value out")));
        if depth > DEEPEST {
            return Err(mistake(line, "nested too deeply".to_owned()));
        }
        let value = match first {
            Event::Scalar(text, style, 0, None) => Value::Scalar { text, quoted: style != ScalarStyle::Plain },
            Event::SequenceStart(0, None) => {
                let mut nodes = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break Value::List(nodes),
                        event => nodes.push(self.node(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(0, None) => {
                let mut pairs: Vec<(Key<'a>, Node<'a>)> = Vec::new();
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => break Value::Map(pairs),
                        Event::Scalar(name, _, 0, None) => Key { name, line: self.line },
                        _ => return Err(mistake(self.line, "a key is a plain word".to_owned())),
                    };
                    if pairs.iter().any(|(earlier, _)| earlier.name == key.name) {
                        return Err(mistake(key.line, format!("`{}` is named twice", key.name)));
                    }
                    let event = self.next()?;
                    let node = self.node(event, depth + 1)?;
                    pairs.push((key, node));
                }
            }
            Event::Alias(_) => return refused("aliases"),
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                return refused(if anchor > 0 { "anchors" } else { "tags" });
            }
            _ => return Err(mistake(line, "a value is missing".to_owned())),
        };
        Ok(Node { line, value })
    }
}

fn mistake(line: usize, what: String) -> Mistake {
    Mistake { line, field: String::new(), what }
}

/// A scalar as it is written in our files: quoted where YAML would read something else into it.
pub fn written(text: &str) -> String {
    let plain_start = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let plain = plain_start
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./@+".contains(c))
        && !matches!(text, "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "Null" | "True" | "False");
    if plain { text.to_owned() } else { serde_json::to_string(text).expect("text is always JSON") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_quotes_are_remembered() {
        let tree = Node::parse("a: 3\nb:\n  - \"3\"\n  - {c: x}\n").unwrap();
        let Value::Map(pairs) = &tree.value else { panic!() };
        assert_eq!(pairs[0].1, Node { line: 1, value: Value::Scalar { text: "3".into(), quoted: false } });
        let Value::List(list) = &pairs[1].1.value else { panic!() };
        assert_eq!(list[0], Node { line: 3, value: Value::Scalar { text: "3".into(), quoted: true } });
        assert_eq!(tree.to_json(), r#"{"a":3,"b":["3",{"c":"x"}]}"#);
    }

    #[test]
    fn what_hides_or_repeats_is_refused_with_its_line() {
        let said = |text: &str| Node::parse(text).unwrap_err().to_string();
        assert_eq!(said("a: &x 1\nb: *x\n"), "line 1: anchors are not read here; write the value out");
        assert_eq!(said("a: 1\na: 2\n"), "line 2: `a` is named twice");
        assert_eq!(said("a: !!str 1\n"), "line 1: tags are not read here; write the value out");
        assert!(said("a: [1, 2\nb: 3\n").starts_with("line 2: not YAML"));
        assert_eq!(said(""), "line 1: the file is empty");
        assert_eq!(said(&"[".repeat(100)), "line 1: nested too deeply");
    }

    #[test]
    fn a_second_document_is_never_lost_in_silence() {
        let text = "a: 1\n---\n---\nb: 2\n";
        assert_eq!(Node::parse(text).unwrap_err().to_string(), "line 4: a second document begins; put it into a file of its own");
        assert_eq!(Node::parse_all(text).unwrap().len(), 2);
        assert!(Node::parse("---\na: 1\n---\n").is_ok());
    }

    #[test]
    fn json_is_yaml() {
        let json = "{\"a\":1.5e-07,\n\t\"b\": [\"\\u00e9\\/\", null, true],\n\t\"c\": {}}\n";
        assert_eq!(Node::parse(json).unwrap().to_json(), r#"{"a":"1.5e-07","b":["é/",null,true],"c":{}}"#);
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in
            ["anthropic/claude-sonnet-4.5", "~x/latest", "a:free", "3", "no", "", "- x", "é", "a\nb", "https://x/y", "2026-01-01"]
        {
            let yaml = format!("k: {}\n", written(text));
            let tree = Node::parse(&yaml).unwrap();
            let Value::Map(pairs) = &tree.value else { panic!() };
            assert_eq!(pairs[0].1.scalar(), Some(text));
        }
    }
}
