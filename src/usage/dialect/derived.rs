//! An id for an event that comes without one, made of everything it says, so that the same event sent twice is one event. It
//! does not depend on the order of keys, on white space, or on how a number is spelled (`1`, `1.0`, `1e0`); null is absent, and
//! content is left out because it is never kept. Two calls that differ in nothing are one event, so a producer whose
//! calls may be alike in everything, to its clock's last digit, has to number them.

use crate::bytes::Writer;
use crate::money::Amount;
use crate::usage::content;
use crate::usage::reading::{Object, kind, string};
use serde_json::value::RawValue;

/// `prefix:` and the first 32 hexadecimal digits of the BLAKE3 hash of the event's facts. A fact is the path of a plain value
/// (`usage.cost`, `tags.0`), a letter for its kind (s, n, b) and the value; facts are sorted by path, and each of the three texts
/// stands after its length in bytes, seven bits a byte, the lowest first.
pub fn id(prefix: &str, json: &str, left_out: &[&str]) -> String {
    let kept = content::strip(json).unwrap_or_default();
    let mut facts = Vec::new();
    gather(String::new(), &kept, &mut facts);
    facts.retain(|(path, ..)| !left_out.contains(&path.as_str()));
    facts.sort();
    let mut bytes = Writer::new();
    for (path, kind, value) in &facts {
        bytes.text(path);
        bytes.text(kind);
        bytes.text(value);
    }
    format!("{prefix}:{}", &blake3::hash(bytes.as_slice()).to_hex()[..32])
}

fn gather(path: String, json: &str, facts: &mut Vec<(String, &'static str, String)>) {
    let under = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match kind(json) {
        "an object" => {
            for (name, value) in Object::parse(json, "").map(Object::rest).unwrap_or_default() {
                gather(under(&name), value.get(), facts);
            }
        }
        "an array" => {
            for (place, value) in serde_json::from_str::<Vec<&RawValue>>(json).unwrap_or_default().iter().enumerate() {
                gather(under(&place.to_string()), value.get(), facts);
            }
        }
        "a string" => {
            let text = serde_json::from_str::<&RawValue>(json).ok().and_then(|value| string(value).map(|text| text.into_owned()));
            facts.extend(text.map(|text| (path, "s", text)));
        }
        "a number" => {
            let number = Amount::parse_rounded(json).map_or_else(|_| json.to_owned(), |(number, _)| number.to_string());
            facts.push((path, "n", number));
        }
        "true or false" => facts.push((path, "b", json.to_owned())),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_is_the_one_that_is_written_down() {
        // a.b = 1 and c = "x", each text after its length.
        let written = b"\x03a.b\x01n\x011\x01c\x01s\x01x";
        let expected = format!("pai:{}", &blake3::hash(written).to_hex()[..32]);
        assert_eq!(id("pai", r#"{"c":"x","a":{"b":1.0}}"#, &[]), expected);
    }

    #[test]
    fn spelling_changes_nothing_and_meaning_does() {
        let of = |json: &str| id("p", json, &["event_id"]);
        let one = of(r#"{"event_id":null,"t":"x","usage":{"cost":0.0016,"n":12},"messages":["hello"]}"#);
        assert_eq!(of(r#"{ "usage":{"n":12.0, "cost":1.6e-3}, "t":"x", "gone":null, "event_id":"7" }"#), one);
        assert_ne!(of(r#"{"t":"x","usage":{"cost":0.0016,"n":13}}"#), one);
        assert_ne!(of(r#"{"t":"x","usage":{"cost":"0.0016","n":12}}"#), one);
    }
}
