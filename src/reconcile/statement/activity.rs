//! `/activity`: one row a UTC day, model and endpoint. `usage` is what left the credits, so fees for keys of one's own are in
//! it and what the upstream charged is not. Days come in two forms, counts as numbers or strings, fields that the schema does
//! not know are there and named. To tell keys apart one asks once for each, and says here which one was asked for.

use super::{Draft, Flags, Form, Grain, Line, Precision, Statement, Tokens, Unreadable, rows};
use crate::money::Amount;
use crate::reconcile::texts::Name;
use crate::usage::reading::{Object, Problem, Rejected};

/// Reads an answer; `key` is the hash of the key that was asked for, if one was.
pub fn read(text: &str, key: Option<&str>) -> Result<Statement, Unreadable> {
    let mut draft = Draft::default();
    let key = key.map_or(Ok(None), |key| draft.name(key)).map_err(Unreadable::Whole)?;
    let mut unread = Vec::new();
    for (place, json) in rows::of_data(text)?.into_iter().enumerate() {
        let mut row = rows::in_row(place, Object::parse(json.get(), ""))?;
        let line = rows::in_row(place, line(&mut row, &mut draft, place as u32 + 1, key))?;
        rows::note_unread(&mut unread, &row);
        draft.add(line)?;
    }
    draft.finish(Form::Activity, unread)
}

fn line(row: &mut Object<'_>, draft: &mut Draft, number: u32, key: Option<Name>) -> Result<Line, Rejected> {
    let date = row.required_text("date")?;
    let at = rows::day(&date).map_err(|why| row.wrong("date", Problem::Contradiction(why)))?;
    let mut name = |row: &mut Object<'_>, field: &str| Ok::<_, Rejected>(row.text(field)?.map(|text| draft.names.name(&text)));
    let slug = name(row, "model_permaslug")?;
    let model = name(row, "model")?;
    let model = slug.or(model).ok_or_else(|| row.wrong("model_permaslug", Problem::Missing))?;
    let (provider, endpoint) = (name(row, "provider_name")?, name(row, "endpoint_id")?);
    let amount = rows::required_amount(row, "usage")?;
    let upstream = rows::amount(row, "byok_usage_inference")?.unwrap_or_default();
    let byok_requests = row.count("byok_requests")?;
    let cached = row.count("cached_tokens")?;
    let reasoning = row.count("reasoning_tokens")?.unwrap_or(0);
    let tokens = match (row.count("prompt_tokens")?, row.count("completion_tokens")?) {
        (Some(prompt), Some(completion)) => Tokens::disjoint(prompt, cached.unwrap_or(0), completion, reasoning),
        _ => None,
    };
    Ok(Line {
        number,
        grain: Grain::Day,
        at,
        model: Some(model),
        provider,
        endpoint,
        variant: None,
        tier: None,
        key,
        requests: row.count("requests")?.ok_or_else(|| row.wrong("requests", Problem::Missing))?,
        tokens: tokens.unwrap_or_default(),
        amount,
        tools: Amount::ZERO,
        upstream,
        flags: Flags::TOOLS_UNTOLD
            .with(Flags::COUNTS_UNTOLD, tokens.is_none())
            .with(Flags::CACHE_UNTOLD, cached.is_none())
            .with(Flags::BYOK, !upstream.is_zero() || byok_requests.is_some_and(|requests| requests > 0)),
        precision: Precision::Exact,
    })
}
