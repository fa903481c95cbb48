//! The export as protobuf, read by hand: the five messages that matter have a dozen fields between them. Texts are borrowed
//! from the body; nothing recurses, because a message inside another is only looked into by whoever wants its fields. Any
//! bytes are either read or refused with the place that is wrong.

use super::{Around, Attributes, LONGEST_READ, MAX_SPANS, Nested, Raw, Span, Unread, Value, double};
use crate::usage::reading::{Problem, Rejected};
use std::borrow::Cow;
use std::sync::Arc;

/// A message, unread: the fields one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    rest: &'a [u8],
    /// Where in the body the rest begins.
    at: usize,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Field<'a> {
    Varint(u64),
    Eight(u64),
    Bytes(Message<'a>),
    Four,
}

/// Bytes that are no protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("broken protobuf: {what}, at byte {at}")]
pub struct Malformed {
    pub what: &'static str,
    pub at: usize,
}

impl From<Malformed> for Rejected {
    fn from(malformed: Malformed) -> Rejected {
        Rejected::new("span", Problem::Contradiction(malformed.to_string()))
    }
}

/// Cuts an export into spans.
pub fn cut(body: &[u8]) -> Result<Vec<Unread<'_>>, Malformed> {
    let mut spans = Vec::new();
    let export = Message { rest: body, at: 0 };
    for resource_spans in export.messages(1) {
        let resource_spans = resource_spans?;
        let mut attributes = Vec::new();
        for resource in resource_spans.messages(1) {
            read_attributes(resource?, 1, &mut attributes)?;
        }
        let at = resource_spans.at;
        let resource = Arc::new(Attributes::of(attributes).map_err(|_| Malformed { what: "too many attributes", at })?);
        for scope_spans in resource_spans.messages(2) {
            let scope_spans = scope_spans?;
            let mut scope = Cow::Borrowed("");
            for of_scope in scope_spans.messages(1) {
                for name in of_scope?.messages(1) {
                    scope = name?.text();
                }
            }
            let around = Arc::new(Around { resource: resource.clone(), scope });
            for span in scope_spans.messages(2) {
                let span = span?;
                if spans.len() == MAX_SPANS {
                    return Err(Malformed { what: "too many spans", at: span.at });
                }
                spans.push(Unread { raw: Raw::Protobuf(span), around: around.clone() });
            }
        }
    }
    Ok(spans)
}

pub(super) fn read<'a>(message: Message<'a>, around: Arc<Around<'a>>) -> Result<Span<'a>, Malformed> {
    let none = Cow::Borrowed("");
    let mut span = Span {
        trace_id: none.clone(),
        span_id: none.clone(),
        parent_id: none.clone(),
        name: none,
        start: 0,
        end: 0,
        is_error: false,
        attributes: Attributes::default(),
        around,
    };
    let mut attributes = Vec::new();
    for field in message {
        match field? {
            (1, Field::Bytes(id)) => span.trace_id = Cow::Owned(id.hex()),
            (2, Field::Bytes(id)) => span.span_id = Cow::Owned(id.hex()),
            (4, Field::Bytes(id)) => span.parent_id = Cow::Owned(id.hex()),
            (5, Field::Bytes(name)) => span.name = name.text(),
            (7, Field::Eight(nanos)) => span.start = nanos,
            (8, Field::Eight(nanos)) => span.end = nanos,
            (9, Field::Bytes(pair)) => attributes.extend(read_pair(pair)?),
            (15, Field::Bytes(status)) => {
                for field in status {
                    if let (3, Field::Varint(code)) = field? {
                        span.is_error = code == 2;
                    }
                }
            }
            _ => {}
        }
    }
    let too_many = |_| Malformed { what: "too many attributes", at: message.at };
    span.attributes = Attributes::of(attributes).map_err(too_many)?;
    Ok(span)
}

/// The values of an `ArrayValue`.
pub(super) fn list(message: Message<'_>) -> Vec<Value<'_>> {
    message.messages(1).filter_map(|value| read_value(value.ok()?).ok().flatten()).collect()
}

/// The entries of a `KeyValueList`.
pub(super) fn map(message: Message<'_>) -> Option<Attributes<'_>> {
    let mut entries = Vec::new();
    read_attributes(message, 1, &mut entries).ok()?;
    Attributes::of(entries).ok()
}

type Pair<'a> = (Cow<'a, str>, Value<'a>);

fn read_attributes<'a>(message: Message<'a>, number: u32, attributes: &mut Vec<Pair<'a>>) -> Result<(), Malformed> {
    for pair in message.messages(number) {
        attributes.extend(read_pair(pair?)?);
    }
    Ok(())
}

/// A `KeyValue`; one without a name or a value is none.
fn read_pair(pair: Message<'_>) -> Result<Option<Pair<'_>>, Malformed> {
    let (mut name, mut value) = (Cow::Borrowed(""), None);
    for field in pair {
        match field? {
            (1, Field::Bytes(key)) => name = key.text(),
            (2, Field::Bytes(any)) => value = read_value(any)?,
            _ => {}
        }
    }
    Ok(value.map(|value| (name, value)).filter(|(name, _)| !name.is_empty()))
}

/// An `AnyValue`. Of several kinds in one the last counts, as protobuf has it.
fn read_value(any: Message<'_>) -> Result<Option<Value<'_>>, Malformed> {
    let mut value = None;
    for field in any {
        value = match field? {
            (1, Field::Bytes(text)) if text.len() > LONGEST_READ => None,
            (1, Field::Bytes(text)) => Some(Value::Text(text.text())),
            (2, Field::Varint(flag)) => Some(Value::Flag(flag != 0)),
            // A negative number is written as its two's complement.
            (3, Field::Varint(number)) => Some(Value::Number(Cow::Owned(number.cast_signed().to_string()))),
            (4, Field::Eight(bits)) => double::shortest(bits).map(|literal| Value::Number(Cow::Owned(literal))),
            (5, Field::Bytes(list)) => Some(Value::List(Nested::Protobuf(list))),
            (6, Field::Bytes(map)) => Some(Value::Map(Nested::Protobuf(map))),
            _ => value,
        };
    }
    Ok(value)
}

impl<'a> Message<'a> {
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The messages (or texts) under one number.
    fn messages(self, number: u32) -> impl Iterator<Item = Result<Message<'a>, Malformed>> {
        self.filter_map(move |field| match field {
            Ok((found, Field::Bytes(message))) if found == number => Some(Ok(message)),
            Ok(_) => None,
            Err(malformed) => Some(Err(malformed)),
        })
    }

    fn text(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.rest)
    }

    /// An id of a span or a trace; what is longer than those is none.
    fn hex(self) -> String {
        self.rest.iter().take(32).map(|byte| format!("{byte:02x}")).collect()
    }

    fn take(&mut self, count: usize) -> Result<Message<'a>, Malformed> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or(Malformed { what: "a field runs past the end", at: self.at })?;
        let taken = Message { rest: taken, at: self.at };
        (self.rest, self.at) = (rest, self.at + count);
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let at = self.at;
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?.rest[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed { what: "a number of more than ten bytes", at })
    }

    fn field(&mut self) -> Result<(u32, Field<'a>), Malformed> {
        let at = self.at;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or(Malformed { what: "no field has this number", at })?;
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?.rest;
                Field::Eight(u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes were taken")))
            }
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => {
                self.take(4)?;
                Field::Four
            }
            _ => return Err(Malformed { what: "a field of a kind that traces do not have", at }),
        };
        Ok((number, field))
    }
}

/// Field after field; the first that is broken is the last.
impl<'a> Iterator for Message<'a> {
    type Item = Result<(u32, Field<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}
