//! The export of the activity page: one row a generation, in columns whose order changes between months. Its token counts are
//! the billed ones and inclusive; every amount is cut toward zero after six decimals. It has no cache writes, endpoint or
//! service tier, so it can be compared but not rated again. Exports of 2025 lack two columns.

use super::{Draft, Flags, Form, Grain, Line, Precision, Statement, Table, Tokens, Unreadable};
use crate::money::Amount;
use std::io::BufRead;

/// Everything such an export has been seen to have.
const COLUMNS: [&str; 24] = [
    "generation_id",
    "created_at",
    "cost_total",
    "cost_web_search",
    "cost_cache",
    "cost_file_processing",
    "byok_usage_inference",
    "tokens_prompt",
    "tokens_completion",
    "tokens_reasoning",
    "tokens_cached",
    "model_permaslug",
    "provider_name",
    "variant",
    "cancelled",
    "streamed",
    "user",
    "finish_reason_raw",
    "finish_reason_normalized",
    "generation_time_ms",
    "time_to_first_token_ms",
    "app_name",
    "api_key_name",
    "api_key_disabled",
];

pub fn read(text: &str) -> Result<Statement, Unreadable> {
    read_from(text.as_bytes(), lines(text))
}

/// For how many lines of a text there should be room: few have less than a hundred bytes, and a list that is too short grows.
pub fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count().min(text.len() / 100)
}

/// The same of what need not be in memory, with room for so many lines.
pub fn read_from(from: impl BufRead, lines: usize) -> Result<Statement, Unreadable> {
    let mut table = Table::new(from)?;
    let columns = Columns::find(&table)?;
    let unread = table.unread(&COLUMNS);
    let mut draft = Draft::with_room(lines);
    while table.advance()? {
        let line = columns.line(&table, &mut draft)?;
        draft.add(line)?;
    }
    draft.finish(Form::GenerationsCsv, unread)
}

/// Where the columns are that a line is made of.
struct Columns {
    id: usize,
    created_at: usize,
    total: usize,
    model: usize,
    prompt: usize,
    completion: usize,
    reasoning: Option<usize>,
    cached: Option<usize>,
    web_search: Option<usize>,
    files: Option<usize>,
    upstream: Option<usize>,
    provider: Option<usize>,
    variant: Option<usize>,
    cancelled: Option<usize>,
    key: Option<usize>,
}

impl Columns {
    fn find(table: &Table<'_>) -> Result<Columns, Unreadable> {
        Ok(Columns {
            id: table.column("generation_id")?,
            created_at: table.column("created_at")?,
            total: table.column("cost_total")?,
            model: table.column("model_permaslug")?,
            prompt: table.column("tokens_prompt")?,
            completion: table.column("tokens_completion")?,
            reasoning: table.optional("tokens_reasoning"),
            cached: table.optional("tokens_cached"),
            web_search: table.optional("cost_web_search"),
            files: table.optional("cost_file_processing"),
            upstream: table.optional("byok_usage_inference"),
            provider: table.optional("provider_name"),
            variant: table.optional("variant"),
            cancelled: table.optional("cancelled"),
            key: table.optional("api_key_name"),
        })
    }

    fn line(&self, table: &Table<'_>, draft: &mut Draft) -> Result<Line, Unreadable> {
        let amount = |place: Option<usize>| match place {
            Some(place) => table.amount(place).map(Option::unwrap_or_default),
            None => Ok(Amount::ZERO),
        };
        let mut name = |place: Option<usize>| match place {
            Some(place) => draft.name(table.cell(place)).map_err(|why| table.wrong(place, why)),
            None => Ok(None),
        };
        let (model, provider, key) = (name(Some(self.model))?, name(self.provider)?, name(self.key)?);
        // `standard` is what a model without a variant is called here.
        let variant = name(self.variant.filter(|place| table.cell(*place) != "standard"))?;
        let id = draft.id(table.cell(self.id)).map_err(|why| table.wrong(self.id, why))?;
        let upstream = amount(self.upstream)?;
        let tokens = self.tokens(table)?;
        Ok(Line {
            number: table.line(),
            grain: Grain::Generation(id),
            at: table.instant(self.created_at)?,
            model,
            provider,
            endpoint: None,
            variant,
            tier: None,
            key,
            requests: 1,
            tokens: tokens.unwrap_or_default(),
            amount: table.required_amount(self.total)?,
            tools: amount(self.web_search)? + amount(self.files)?,
            upstream,
            flags: Flags::NONE
                .with(Flags::COUNTS_UNTOLD, tokens.is_none())
                .with(Flags::CACHE_UNTOLD, self.cached.is_none())
                .with(Flags::TOOLS_UNTOLD, self.web_search.is_none())
                .with(Flags::BYOK, !upstream.is_zero())
                .with(Flags::CANCELLED, self.cancelled.map_or(Ok(false), |place| table.flag(place))?)
                .with(Flags::WITHOUT_KEY, self.key.is_some() && key.is_none()),
            precision: Precision::Truncated,
        })
    }

    /// Nothing where the counts of prompt and completion are not told, or a part is larger than its whole.
    fn tokens(&self, table: &Table<'_>) -> Result<Option<Tokens>, Unreadable> {
        let part = |place: Option<usize>| place.map_or(Ok(None), |place| table.count(place)).map(Option::unwrap_or_default);
        let (cached, reasoning) = (part(self.cached)?, part(self.reasoning)?);
        let (Some(prompt), Some(completion)) = (table.count(self.prompt)?, table.count(self.completion)?) else {
            return Ok(None);
        };
        Ok(Tokens::disjoint(prompt, cached, completion, reasoning))
    }
}
