//! The export of a chart: what was spent, or how many tokens or requests, by day and by model, key or creator. It is made for
//! eyes: its spend has an *estimate* of what upstreams charge for keys of one's own, and which columns it has depends on the
//! chart. A column of days and one of spend are needed under one of the names below; anything else is refused by naming
//! what is missing.

use super::{Draft, Flags, Form, Grain, Line, Precision, Statement, Table, Tokens, Unreadable, rows};
use crate::money::Amount;

const DAYS: [&str; 4] = ["date", "day", "date__day", "created_at__day"];
const MODELS: [&str; 2] = ["model_permaslug", "model"];
const KEYS: [&str; 3] = ["api_key_name", "api_key_id", "api_key"];
/// What was charged to credits, which is the figure to compare; the others have upstream charges in them.
const CREDITS: [&str; 1] = ["credits_usage"];
const SPEND: [&str; 3] = ["total_usage", "spend", "usage"];
const REQUESTS: [&str; 2] = ["request_count", "requests"];

pub fn read(text: &str) -> Result<Statement, Unreadable> {
    let mut table = Table::new(text.as_bytes())?;
    let first = |table: &Table<'_>, names: &[&str]| names.iter().find_map(|name| table.optional(name));
    let day = first(&table, &DAYS).ok_or_else(|| table.no_column("date"))?;
    let credits = first(&table, &CREDITS);
    let spend = credits.or_else(|| first(&table, &SPEND)).ok_or_else(|| table.no_column("credits_usage"))?;
    let (model, key, requests) = (first(&table, &MODELS), first(&table, &KEYS), first(&table, &REQUESTS));
    if model.is_none() && key.is_none() {
        return Err(table.no_column("model_permaslug"));
    }
    let read: Vec<&str> = [&DAYS[..], &MODELS, &KEYS, &CREDITS, &SPEND, &REQUESTS].concat();
    let unread = table.unread(&read);

    let mut draft = Draft::default();
    while table.advance()? {
        let mut name = |place: Option<usize>| match place {
            Some(place) => draft.name(table.cell(place)).map_err(|why| table.wrong(place, why)),
            None => Ok(None),
        };
        let (model, by_key) = (name(model)?, name(key)?);
        let line = Line {
            number: table.line(),
            grain: Grain::Day,
            at: rows::day(table.required(day)?).map_err(|why| table.wrong(day, why))?,
            model,
            provider: None,
            endpoint: None,
            variant: None,
            tier: None,
            key: by_key,
            requests: requests.map_or(Ok(None), |place| table.count(place))?.unwrap_or(0),
            tokens: Tokens::default(),
            amount: table.required_amount(spend)?,
            tools: Amount::ZERO,
            upstream: Amount::ZERO,
            flags: Flags::COUNTS_UNTOLD
                .with(Flags::TOOLS_UNTOLD, true)
                .with(Flags::WITH_UPSTREAM, credits.is_none())
                .with(Flags::WITHOUT_KEY, key.is_some() && by_key.is_none()),
            precision: Precision::Exact,
        };
        draft.add(line)?;
    }
    draft.finish(Form::ChartCsv, unread)
}
