//! `/generation`: the record of one generation, or several of them fetched one by one. The native counts are the billed ones;
//! `tokens_prompt` and `tokens_completion` are another tokenizer's estimate and are never read. The endpoint that was billed is
//! the last attempt that succeeded. The dashboard's *Raw JSON* of the same record is read too.

use super::{Draft, Flags, Form, Grain, Line, Precision, Statement, Tokens, Unreadable, rows};
use crate::money::Amount;
use crate::reconcile::texts::Name;
use crate::usage::reading::{Object, Problem, Rejected};

/// Reads records, each as it was answered.
pub fn read(texts: &[&str]) -> Result<Statement, Unreadable> {
    let mut draft = Draft::default();
    for (place, text) in texts.iter().enumerate() {
        let mut whole = rows::answer(text)?;
        let record = whole.object("data", "data").map_err(rows::in_whole)?;
        let line = rows::in_row(place, line(&mut record.unwrap_or(whole), &mut draft, place as u32 + 1))?;
        draft.add(line)?;
    }
    draft.finish(Form::Generation, Vec::new())
}

fn line(record: &mut Object<'_>, draft: &mut Draft, number: u32) -> Result<Line, Rejected> {
    let id = match record.text("generation_id")? {
        Some(id) => id,
        None => record.required_text("id")?,
    };
    let at = rows::instant(record, "created_at")?;
    let served = served(record, draft);
    let mut name = |record: &mut Object<'_>, field: &str| record.loose(field).map(|text| draft.names.name(&text));
    let (model, provider, tier) = (name(record, "model"), name(record, "provider_name"), name(record, "service_tier"));
    let amount = match rows::amount(record, "total_cost")? {
        Some(amount) => amount,
        None => rows::required_amount(record, "usage")?,
    };
    let byok_reference = rows::amount(record, "byok_usage_inference")?.filter(|amount| !amount.is_zero());
    let byok = record.flag("is_byok")?.unwrap_or(byok_reference.is_some());
    let upstream = rows::amount(record, "upstream_inference_cost")?.or(byok_reference).filter(|_| byok);
    let tools = ["usage_web", "usage_web_fetch", "usage_file"].map(|name| rows::amount(record, name));
    let mut told: Vec<Amount> = Vec::new();
    for amount in tools {
        told.extend(amount?);
    }
    let tokens = tokens(record)?;
    let id = draft.id(&id).map_err(|why| record.wrong("id", Problem::Contradiction(why)))?;
    Ok(Line {
        number,
        grain: Grain::Generation(id),
        at,
        model: model.or(served.model),
        provider: served.provider.or(provider),
        endpoint: served.endpoint,
        variant: None,
        tier: served.tier.or(tier).filter(|tier| !matches!(draft.names.text(*tier), "default" | "standard")),
        key: None,
        requests: 1,
        tokens: tokens.unwrap_or_default(),
        amount,
        tools: told.iter().copied().sum(),
        upstream: upstream.unwrap_or_default(),
        flags: Flags::NONE
            .with(Flags::COUNTS_UNTOLD, tokens.is_none())
            .with(Flags::TOOLS_UNTOLD, told.is_empty())
            .with(Flags::BYOK, byok)
            .with(Flags::CANCELLED, record.flag("cancelled")?.unwrap_or(false)),
        precision: Precision::Exact,
    })
}

fn tokens(record: &mut Object<'_>) -> Result<Option<Tokens>, Rejected> {
    let (prompt, completion) = (record.count("native_tokens_prompt")?, record.count("native_tokens_completion")?);
    let cached = record.count("native_tokens_cached")?.unwrap_or(0);
    let reasoning = record.count("native_tokens_reasoning")?.unwrap_or(0);
    let (Some(prompt), Some(completion)) = (prompt, completion) else { return Ok(None) };
    Ok(Tokens::disjoint(prompt, cached, completion, reasoning))
}

/// Who answered in the end.
#[derive(Default)]
struct Served {
    model: Option<Name>,
    provider: Option<Name>,
    endpoint: Option<Name>,
    tier: Option<Name>,
}

fn served(record: &mut Object<'_>, draft: &mut Draft) -> Served {
    let attempts = record.array("provider_responses").ok().flatten().unwrap_or_default();
    let answered = attempts.into_iter().rev().find_map(|attempt| {
        let mut attempt = Object::parse(attempt.get(), "").ok()?;
        (attempt.count("status").ok().flatten() == Some(200)).then_some(attempt)
    });
    let Some(mut attempt) = answered else { return Served::default() };
    let mut name = |field: &str| attempt.loose(field).map(|text| draft.names.name(&text));
    Served {
        model: name("model_permaslug"),
        provider: name("provider_name"),
        endpoint: name("endpoint_id"),
        tier: name("routed_service_tier"),
    }
}
