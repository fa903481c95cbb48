//! Reading what a producer wrote: fields are taken out of a JSON object one by one, by name, and whatever is wrong with
//! one is said with that name. Numbers are read from their literal text, counts and money alike; no float is involved.
//! A field that is null is a field that is absent, as every producer means it.

use crate::money::{Amount, MoneyError};
use crate::time::{Instant, TimeError};
use crate::usage::dialect::labels;
use crate::usage::{MAX_COUNT, MAX_TEXT, Text};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Why something is not an event: the field and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Rejected {
    pub field: String,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("missing")]
    Missing,
    #[error("expected {expected}, found {found}")]
    WrongType { expected: &'static str, found: &'static str },
    #[error("broken JSON: {0}")]
    Syntax(String),
    #[error("named twice")]
    Twice,
    #[error("empty")]
    Empty,
    #[error("longer than {max} bytes ({found})")]
    TooLong { max: usize, found: usize },
    #[error("holds the control character U+{0:04X}")]
    ControlCharacter(u32),
    #[error("{0} is negative; it cannot be")]
    Negative(String),
    #[error("`{0}` is not a whole number")]
    NotACount(String),
    #[error("{0} is more than one event can have used ({MAX_COUNT})")]
    TooMany(String),
    #[error("`{found}` is unknown; known are {}", .known.join(", "))]
    UnknownWord { found: String, known: Vec<&'static str> },
    #[error("unknown field")]
    UnknownField,
    #[error("more than {0} of them")]
    TooManyOf(usize),
    #[error(transparent)]
    Date(TimeError),
    #[error(transparent)]
    Money(MoneyError),
    #[error("{0}")]
    Contradiction(String),
}

impl Rejected {
    pub fn new(field: impl Into<String>, problem: Problem) -> Rejected {
        Rejected { field: field.into(), problem }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.problem {
            Problem::Missing if self.field == "usage" => {
                "send disjoint meters ({\"input\":10,\"output\":2}), a provider's usage block, or {\"shape\":\"openai-chat\",\"raw\":{...}}"
            }
            Problem::Missing if self.field == "source" => {
                "name the gateway that sends this, or use a key that is bound to a source"
            }
            Problem::UnknownField => "without strict=true unknown fields are kept (1 kB) and ignored",
            Problem::Negative(_) => "corrections of usage are not negative events: send the event again with its new counts",
            Problem::WrongType { found: "a number", expected: "a string" } => "put it in quotes",
            _ => return None,
        })
    }
}

/// A JSON object whose fields are taken out one by one; what is left over was not understood.
pub struct Object<'a> {
    /// The path of this object in what was sent, for messages: `usage.prompt_tokens_details`.
    at: &'static str,
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    pub fn parse(json: &'a str, at: &'static str) -> Result<Object<'a>, Rejected> {
        let found = kind(json);
        if found != "an object" {
            return Err(Rejected::new(whole(at), Problem::WrongType { expected: "an object", found }));
        }
        let fields: Fields = serde_json::from_str(json).map_err(|e| Rejected::new(whole(at), Problem::Syntax(e.to_string())))?;
        if let Some(twice) = fields.twice {
            return Err(Rejected::new(join(at, &twice), Problem::Twice));
        }
        Ok(Object { at, fields: fields.pairs })
    }

    /// Takes a field out; null counts as absent.
    pub fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let place = self.fields.iter().position(|(field, _)| field == name)?;
        let (_, value) = self.fields.remove(place);
        (value.get() != "null").then_some(value)
    }

    /// Whether there is nothing in here but nulls.
    pub fn says_nothing(&self) -> bool {
        self.fields.iter().all(|(_, value)| value.get() == "null")
    }

    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, value)| field == name && value.get() != "null")
    }

    /// Whether there is a plain value of that name.
    pub fn is_scalar(&self, name: &str) -> bool {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.is_some_and(|(_, value)| matches!(kind(value.get()), "a number" | "a string" | "true or false"))
    }

    /// A text that may be absent; an empty one is absent.
    pub fn text(&mut self, name: &str) -> Result<Option<Text>, Rejected> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let content = string(value).ok_or_else(|| self.wrong_type(name, "a string", value))?;
        if content.is_empty() {
            return Ok(None);
        }
        text(name, &content).map(Some).map_err(|e| self.under(e))
    }

    pub fn required_text(&mut self, name: &str) -> Result<Text, Rejected> {
        let was_there = self.has(name);
        self.text(name)?.ok_or_else(|| self.wrong(name, if was_there { Problem::Empty } else { Problem::Missing }))
    }

    /// One of a closed set of words.
    pub fn word<T>(&mut self, name: &str, known: &[(&'static str, T)]) -> Result<Option<T>, Rejected>
    where
        T: Copy,
    {
        let Some(value) = self.take(name) else { return Ok(None) };
        let found = string(value).ok_or_else(|| self.wrong_type(name, "a string", value))?;
        match known.iter().find(|(word, _)| *word == found) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(self.wrong(
                name,
                Problem::UnknownWord {
                    found: found.chars().take(60).collect(),
                    known: known.iter().map(|(word, _)| *word).collect(),
                },
            )),
        }
    }

    pub fn count(&mut self, name: &str) -> Result<Option<u64>, Rejected> {
        self.take(name).map(count).transpose().map_err(|problem| self.wrong(name, problem))
    }

    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, Rejected> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.get() {
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => Err(self.wrong_type(name, "true or false", value)),
            },
        }
    }

    /// Money that was reported: a number or a string, not negative, rounded (and flagged) past 24 decimals.
    pub fn amount(&mut self, name: &str) -> Result<Option<(Amount, bool)>, Rejected> {
        self.take(name).map(amount).transpose().map_err(|problem| self.wrong(name, problem))
    }

    pub fn instant(&mut self, name: &str, received_at: Instant) -> Result<Option<Instant>, Rejected> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let text = string(value).ok_or_else(|| self.wrong_type(name, "a string", value))?;
        let instant = Instant::parse(&text).and_then(|instant| instant.as_usage_date(received_at));
        instant.map(Some).map_err(|e| self.wrong(name, Problem::Date(e)))
    }

    /// A name or a remark, mended where it could not be stored as it is; anything but a string or a number is none.
    pub fn loose(&mut self, name: &str) -> Option<Text> {
        labels::loose(&labels::plain(self.take(name)?)?)
    }

    /// An instant however it is written: RFC 3339 with or without a zone (then UTC), or a number of seconds,
    /// milliseconds, microseconds or nanoseconds since 1970, told apart by their size.
    pub fn moment(&mut self, name: &str, received_at: Instant) -> Result<Option<Instant>, Rejected> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let text = labels::plain(value).ok_or_else(|| self.wrong_type(name, "an instant", value))?;
        if text.is_empty() {
            return Ok(None);
        }
        let instant = Instant::parse_any(&text).and_then(|instant| instant.as_usage_date(received_at));
        instant.map(Some).map_err(|e| self.wrong(name, Problem::Date(e)))
    }

    /// A nested object that only has remarks in it; anything else in its place is none.
    pub fn inner(&mut self, name: &str) -> Option<Object<'a>> {
        Object::parse(self.take(name)?.get(), "").ok()
    }

    /// A nested object; `at` is its whole path.
    pub fn object(&mut self, name: &str, at: &'static str) -> Result<Option<Object<'a>>, Rejected> {
        self.take(name).map(|value| Object::parse(value.get(), at)).transpose()
    }

    /// The elements of an array, unread.
    pub fn array(&mut self, name: &str) -> Result<Option<Vec<&'a RawValue>>, Rejected> {
        let Some(value) = self.take(name) else { return Ok(None) };
        serde_json::from_str(value.get()).map(Some).map_err(|_| self.wrong_type(name, "an array", value))
    }

    pub fn wrong(&self, name: &str, problem: Problem) -> Rejected {
        Rejected::new(join(self.at, name), problem)
    }

    fn wrong_type(&self, name: &str, expected: &'static str, value: &RawValue) -> Rejected {
        self.wrong(name, Problem::WrongType { expected, found: kind(value.get()) })
    }

    fn under(&self, rejected: Rejected) -> Rejected {
        Rejected { field: join(self.at, &rejected.field), problem: rejected.problem }
    }

    /// What nobody took.
    pub fn rest(self) -> Vec<(Cow<'a, str>, &'a RawValue)> {
        self.fields
    }

    /// The names of the fields still in here.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| &**name)
    }
}

/// Checks a text that is going to be stored.
pub fn text(field: &str, content: &str) -> Result<Text, Rejected> {
    if content.is_empty() {
        return Err(Rejected::new(field, Problem::Empty));
    }
    if content.len() > MAX_TEXT {
        return Err(Rejected::new(field, Problem::TooLong { max: MAX_TEXT, found: content.len() }));
    }
    // A NUL cannot be stored by PostgreSQL, and no other control character belongs in a name either.
    if let Some(control) = content.chars().find(|c| c.is_control()) {
        return Err(Rejected::new(field, Problem::ControlCharacter(control as u32)));
    }
    Ok(Text::checked(content))
}

/// Money as a number or a string, not negative; whether it was rounded past 24 decimals.
pub fn amount(value: &RawValue) -> Result<(Amount, bool), Problem> {
    let wrong_type = || Problem::WrongType { expected: "a decimal", found: kind(value.get()) };
    let literal = match kind(value.get()) {
        "a number" => Cow::Borrowed(value.get()),
        "a string" => string(value).ok_or_else(wrong_type)?,
        _ => return Err(wrong_type()),
    };
    let (amount, rounded) = Amount::parse_rounded(&literal).map_err(Problem::Money)?;
    if amount.is_negative() {
        return Err(Problem::Negative(literal.into_owned()));
    }
    Ok((amount, rounded))
}

/// A whole number, not negative: `12`, `"12"`, `12.0`; some clients print counts through a float or as a string.
pub fn count(value: &RawValue) -> Result<u64, Problem> {
    let json = value.get();
    let literal = match kind(json) {
        "a number" => Cow::Borrowed(json),
        "a string" => string(value).unwrap_or_default(),
        found => return Err(Problem::WrongType { expected: "a whole number", found }),
    };
    // Messages are stored, and what stands here instead of a number may be anything that somebody wrote.
    if literal.is_empty() || !literal.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        return Err(Problem::WrongType { expected: "a whole number", found: "a text" });
    }
    let (amount, rounded) = Amount::parse_rounded(&literal).map_err(|e| match e {
        MoneyError::TooLarge(text) => Problem::TooMany(text),
        _ => Problem::NotACount(literal.chars().take(60).collect()),
    })?;
    let whole = Amount::from_units(10_i128.pow(crate::money::PLACES));
    if amount.is_negative() {
        return Err(Problem::Negative(literal.into_owned()));
    }
    if rounded || amount.units() % whole.units() != 0 {
        return Err(Problem::NotACount(literal.into_owned()));
    }
    match u64::try_from(amount.units() / whole.units()) {
        Ok(count) if count <= MAX_COUNT => Ok(count),
        _ => Err(Problem::TooMany(literal.into_owned())),
    }
}

/// The content of a JSON string; nothing where it is none.
pub fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Borrowed>(value.get()).ok().map(|Borrowed(content)| content)
}

/// What a piece of JSON is, by its first character.
pub fn kind(json: &str) -> &'static str {
    match json.trim_start().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        Some(b'-' | b'0'..=b'9') => "a number",
        Some(_) | None => "no JSON",
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn whole(at: &str) -> &str {
    if at.is_empty() { "event" } else { at }
}

struct Fields<'a> {
    pairs: Vec<(Cow<'a, str>, &'a RawValue)>,
    twice: Option<String>,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields { pairs: Vec::with_capacity(16), twice: None };
                while let Some(Name(name)) = map.next_key()? {
                    if fields.twice.is_some() {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if fields.pairs.len() < SEEN_EXACTLY && fields.pairs.iter().any(|(field, _)| *field == name) {
                        fields.twice = Some(name.chars().take(60).collect());
                    }
                    let value = map.next_value()?;
                    fields.pairs.push((name, value));
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// Looking for a name among all earlier ones is quadratic, so an object with absurdly many fields is only checked for
/// twins among its first ones; every known field of every dialect comes from an object far smaller than this.
const SEEN_EXACTLY: usize = 256;

/// A key, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;

        impl<'de> Visitor<'de> for Borrow {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a field name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(Borrow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> Object<'_> {
        Object::parse(json, "usage").unwrap()
    }

    #[test]
    fn counts_come_as_numbers_strings_and_whole_floats() {
        let mut usage = object(r#"{"a":12,"b":"1523","c":7.0,"d":1e3,"e":null}"#);
        assert_eq!(usage.count("a"), Ok(Some(12)));
        assert_eq!(usage.count("b"), Ok(Some(1523)));
        assert_eq!(usage.count("c"), Ok(Some(7)));
        assert_eq!(usage.count("d"), Ok(Some(1000)));
        assert_eq!(usage.count("e"), Ok(None));
        assert_eq!(usage.count("f"), Ok(None));
    }

    #[test]
    fn a_bad_count_names_its_field_and_its_value() {
        let mut usage = object(r#"{"a":-5,"b":1.5,"c":"many","d":[1],"e":1e40,"f":1000000000000001}"#);
        let said = |result: Result<Option<u64>, Rejected>| result.unwrap_err().to_string();
        assert_eq!(said(usage.count("a")), "usage.a: -5 is negative; it cannot be");
        assert_eq!(said(usage.count("b")), "usage.b: `1.5` is not a whole number");
        assert_eq!(said(usage.count("c")), "usage.c: expected a whole number, found a text");
        assert_eq!(said(usage.count("d")), "usage.d: expected a whole number, found an array");
        assert!(said(usage.count("e")).contains("more than one event can have used"));
        assert!(said(usage.count("f")).contains("more than one event can have used"));
    }

    #[test]
    fn texts_are_bounded_and_printable() {
        assert!(text("user", &"x".repeat(MAX_TEXT)).is_ok());
        assert!(matches!(text("user", &"x".repeat(MAX_TEXT + 1)).unwrap_err().problem, Problem::TooLong { .. }));
        let mut event = object(r#"{"user":"a\u0000b","team":7,"app":""}"#);
        assert_eq!(event.text("user").unwrap_err().to_string(), "usage.user: holds the control character U+0000");
        assert_eq!(event.text("team").unwrap_err().hint(), Some("put it in quotes"));
        assert_eq!(event.text("app"), Ok(None));
    }

    #[test]
    fn a_field_named_twice_is_refused() {
        let rejected = Object::parse(r#"{"id":"a","id":"b"}"#, "").err().unwrap();
        assert_eq!(rejected.to_string(), "id: named twice");
    }

    #[test]
    fn amounts_are_read_from_their_literal_text() {
        let mut usage = object(r#"{"a":3E-7,"b":"8e-06","c":-1,"d":0.1}"#);
        assert_eq!(usage.amount("a").unwrap().unwrap().0.to_string(), "0.0000003");
        assert_eq!(usage.amount("b").unwrap().unwrap().0.to_string(), "0.000008");
        assert!(usage.amount("c").is_err());
        assert_eq!(usage.amount("d").unwrap().unwrap().0.to_string(), "0.1");
    }
}
