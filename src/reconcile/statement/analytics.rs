//! `/analytics/query` by generation: the one way to learn of generations whose ids nobody here knows. Each row has an id, a
//! minute and what it cost; its key, where that was the second dimension. The figure that is compared is `credits_usage`, because
//! `total_usage` is more than was billed. An answer that says it was truncated is half a statement, and none.

use super::{Draft, Flags, Form, Grain, Line, Precision, Statement, Tokens, Unreadable, rows};
use crate::money::Amount;
use crate::time::Instant;
use crate::usage::reading::{Object, Problem, Rejected};
use serde_json::value::RawValue;
use std::collections::HashSet;

/// Reads the pieces of one window, each as it was answered.
pub fn read(texts: &[&str]) -> Result<Statement, Unreadable> {
    let (mut draft, mut unread) = (Draft::default(), Vec::new());
    // Whether the end of a window belongs to it is told nowhere, so two pieces may both have what lies between them.
    let mut seen = HashSet::new();
    for text in texts {
        for (place, json) in whole(text)?.into_iter().enumerate() {
            if !seen.insert(json.get()) {
                continue;
            }
            let number = draft.lines.len() as u32 + 1;
            let mut row = rows::in_row(place, Object::parse(json.get(), ""))?;
            let line = rows::in_row(place, line(&mut row, &mut draft, number))?;
            rows::note_unread(&mut unread, &row);
            draft.add(line)?;
        }
    }
    draft.finish(Form::Analytics, unread)
}

/// Answers as one text to keep, each as it came.
pub fn joined(texts: &[&str]) -> String {
    match texts {
        [only] => (*only).to_owned(),
        several => format!("[{}]", several.join(",")),
    }
}

/// Reads a text that was kept: an answer, or those of the parts of a window.
pub fn read_kept(text: &str) -> Result<Statement, Unreadable> {
    if !text.trim_start().starts_with('[') {
        return read(&[text]);
    }
    let parts: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| Unreadable::Whole(e.to_string()))?;
    read(&parts.iter().map(|part| part.get()).collect::<Vec<_>>())
}

/// Whether there is more than what an answer has.
pub fn is_truncated(text: &str) -> Result<bool, Unreadable> {
    let missing = |what: &str| Unreadable::Whole(format!("{what}: missing; nobody can tell whether the answer is whole"));
    let mut data = rows::answer(text)?.object("data", "data").map_err(rows::in_whole)?.ok_or_else(|| missing("data"))?;
    let metadata = data.object("metadata", "data.metadata").map_err(rows::in_whole)?;
    let truncated = metadata.ok_or_else(|| missing("data.metadata"))?.flag("truncated").map_err(rows::in_whole)?;
    truncated.ok_or_else(|| missing("data.metadata.truncated"))
}

fn whole(text: &str) -> Result<Vec<&RawValue>, Unreadable> {
    if is_truncated(text)? {
        return Err(Unreadable::Whole("data.metadata.truncated: the answer was cut off; ask for a shorter window".to_owned()));
    }
    let data = rows::answer(text)?.object("data", "data").map_err(rows::in_whole)?;
    let rows = data.map_or(Ok(None), |mut data| data.array("data")).map_err(rows::in_whole)?;
    rows.ok_or_else(|| Unreadable::Whole("data.data: missing; this is no list of rows".to_owned()))
}

fn line(row: &mut Object<'_>, draft: &mut Draft, number: u32) -> Result<Line, Rejected> {
    let id = row.required_text("generation_id")?;
    let at = at(row)?;
    let asks_for_keys = row.names().any(|name| name == "api_key_id");
    let key = row.text("api_key_id")?.map(|text| draft.names.name(&text));
    let amount = rows::required_amount(row, "credits_usage")?;
    let byok = rows::amount(row, "byok_usage")?.unwrap_or_default();
    let id = draft.id(&id).map_err(|why| row.wrong("generation_id", Problem::Contradiction(why)))?;
    let model = row.text("model")?.map(|text| draft.names.name(&text));
    Ok(Line {
        number,
        grain: Grain::Generation(id),
        at,
        model,
        provider: None,
        endpoint: None,
        variant: None,
        tier: None,
        key,
        requests: row.count("request_count")?.unwrap_or(1),
        tokens: Tokens::default(),
        amount,
        tools: Amount::ZERO,
        upstream: byok,
        // Whether its counts of tokens are the billed ones is told nowhere, so they are not read.
        flags: Flags::TOOLS_UNTOLD
            .with(Flags::COUNTS_UNTOLD, true)
            .with(Flags::BYOK, !byok.is_zero())
            .with(Flags::WITHOUT_KEY, asks_for_keys && key.is_none()),
        precision: Precision::Exact,
    })
}

/// The column of time is named after the granularity that was asked for.
fn at(row: &mut Object<'_>) -> Result<Instant, Rejected> {
    let is_time = |name: &&str| name.starts_with("created_at__") || name.starts_with("date__");
    let Some(name) = row.names().find(is_time).map(str::to_owned) else {
        return Err(row.wrong("created_at__minute", Problem::Missing));
    };
    rows::instant(row, &name)
}
