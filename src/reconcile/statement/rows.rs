//! Rows of JSON answers: amounts from their literal text, counts as numbers or as strings, days in both forms that they come
//! in. What is wrong is said with the row's place and the field's name.

use super::Unreadable;
use crate::money::Amount;
use crate::time::{Instant, TimeError};
use crate::usage::reading::{Object, Problem, Rejected, kind, string};
use serde_json::value::RawValue;
use std::str::FromStr;

/// The rows of `{"data":[...]}`.
pub(super) fn of_data(text: &str) -> Result<Vec<&RawValue>, Unreadable> {
    let mut whole = answer(text)?;
    whole.array("data").map_err(in_whole)?.ok_or_else(|| Unreadable::Whole("data: missing; this is no list of rows".to_owned()))
}

/// An answer that is no error.
pub(super) fn answer(text: &str) -> Result<Object<'_>, Unreadable> {
    let whole = Object::parse(text, "").map_err(|e| Unreadable::Whole(format!("the answer: {}", e.problem)))?;
    match whole.has("error") && !whole.has("data") {
        true => Err(Unreadable::Whole("this is the answer to a request that was refused; ask again".to_owned())),
        false => Ok(whole),
    }
}

pub(super) fn in_whole(rejected: Rejected) -> Unreadable {
    Unreadable::Whole(rejected.to_string())
}

/// Reads a row with its place, counted from one.
pub(super) fn in_row<T>(place: usize, read: Result<T, Rejected>) -> Result<T, Unreadable> {
    read.map_err(|e| Unreadable::Row { row: place as u32 + 1, why: e.to_string() })
}

/// An amount of either sign, digits past the 24th rounded: a float may be printed to 58.
pub(super) fn amount(row: &mut Object<'_>, name: &str) -> Result<Option<Amount>, Rejected> {
    let Some(value) = row.take(name) else { return Ok(None) };
    let wrong_type = |row: &Object<'_>| row.wrong(name, Problem::WrongType { expected: "a decimal", found: kind(value.get()) });
    let literal = match kind(value.get()) {
        "a number" => value.get().to_owned(),
        "a string" => string(value).ok_or_else(|| wrong_type(row))?.into_owned(),
        _ => return Err(wrong_type(row)),
    };
    let (amount, _) = Amount::parse_rounded(&literal).map_err(|e| row.wrong(name, Problem::Money(e)))?;
    Ok(Some(amount))
}

pub(super) fn required_amount(row: &mut Object<'_>, name: &str) -> Result<Amount, Rejected> {
    amount(row, name)?.ok_or_else(|| row.wrong(name, Problem::Missing))
}

/// An instant in any of the ways that programs print one, when there was something to pay for.
pub(super) fn instant(row: &mut Object<'_>, name: &str) -> Result<Instant, Rejected> {
    let text = row.required_text(name)?;
    let at =
        Instant::parse_any(&text).and_then(|at| if at < Instant::EARLIEST_USAGE { Err(TimeError::TooEarly(at)) } else { Ok(at) });
    at.map_err(|e| row.wrong(name, Problem::Date(e)))
}

/// `2026-06-12` as the schema says, or `2026-06-12 00:00:00` as it comes.
pub(super) fn day(text: &str) -> Result<Instant, String> {
    let wrong = || {
        let text: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
        format!("`{text}` is not a UTC day; write it like 2026-02-03")
    };
    let (date, clock) = text.split_at_checked(10).ok_or_else(wrong)?;
    let midnight = clock.trim_start_matches([' ', 'T']).trim_end_matches('Z').trim_end_matches("+00:00");
    if !matches!(midnight, "" | "00:00:00" | "00:00:00.000") {
        return Err(wrong());
    }
    let date = chrono::NaiveDate::from_str(date).map_err(|_| wrong())?;
    Some(Instant::from_date(date)).filter(|at| *at >= Instant::EARLIEST_USAGE).ok_or_else(wrong)
}

/// The fields that nobody took, each once.
pub(super) fn note_unread(unread: &mut Vec<String>, row: &Object<'_>) {
    for name in row.names() {
        let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
        if unread.len() < 40 && !unread.contains(&name) {
            unread.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_in_two_forms_and_no_third() {
        let expected = Instant::parse("2026-06-12T00:00:00Z").unwrap();
        for text in ["2026-06-12", "2026-06-12 00:00:00", "2026-06-12T00:00:00.000Z"] {
            assert_eq!(day(text), Ok(expected), "{text}");
        }
        for text in ["", "2026-06-12 10:00:00", "12.06.2026", "2026-13-01", "1970-01-01", "2026-06-1é"] {
            assert!(day(text).is_err(), "{text}");
        }
    }
}
