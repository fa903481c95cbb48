//! What a provider claims, line by line. One small file per form that OpenRouter's books come in; each takes a text and
//! answers with a [`Statement`], or says which line and column is wrong and what to write instead. Nothing is guessed and
//! nothing is repaired: counts that are not told are flagged as untold, amounts keep the precision they were printed with.

pub mod activity;
pub mod analytics;
pub mod chart_csv;
pub mod generation;
pub mod generations_csv;
mod rows;
mod table;

use crate::money::{Amount, Currency};
use crate::reconcile::compact::{Compact, Decoder, Encoded, Encoder};
use crate::reconcile::texts::{Id, Ids, Name, Names};
use crate::time::{Instant, Period};
use crate::usage::{Meter, Quantities};
use std::cmp::Ordering;
pub use table::Table;

/// A provider's claim.
#[derive(Clone, Debug)]
pub struct Statement {
    pub form: Form,
    pub currency: Currency,
    pub names: Names,
    pub ids: Ids,
    /// In the order of their numbers, by which they are found.
    pub lines: Compact<Line>,
    /// Columns or fields that nobody here reads.
    pub unread: Vec<String>,
    /// The lines of single generations, in the order of their ids.
    by_id: Vec<(Id, u32)>,
}

/// Where a statement comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Form {
    /// The export of the activity page, one row a generation.
    GenerationsCsv,
    /// The export of a chart, one row a day and model or key.
    ChartCsv,
    /// `/activity`, one row a day, model and endpoint.
    Activity,
    /// `/generation`, one record each.
    Generation,
    /// `/analytics/query` by generation.
    Analytics,
}

/// One claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// The line of a file, its header being the first; the place of a row in an answer, from one.
    pub number: u32,
    pub grain: Grain,
    /// When the generation was made; the first instant of a day.
    pub at: Instant,
    pub model: Option<Name>,
    pub provider: Option<Name>,
    /// Which endpoint of the provider, where that is told.
    pub endpoint: Option<Name>,
    pub variant: Option<Name>,
    pub tier: Option<Name>,
    pub key: Option<Name>,
    pub requests: u64,
    pub tokens: Tokens,
    /// What was taken from the credits.
    pub amount: Amount,
    /// Of that, what searches, files and other tools cost.
    pub tools: Amount,
    /// What the owner of a key of their own owes the upstream: a reference that was not charged.
    pub upstream: Amount,
    pub flags: Flags,
    pub precision: Precision,
}

/// What one line stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grain {
    Generation(Id),
    /// All of a UTC day with this model, endpoint or provider, and key.
    Day,
}

/// How an amount was printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    Exact,
    /// Cut toward zero after six decimals, not rounded.
    Truncated,
}

/// Tokens in disjoint meters, as far as OpenRouter's books tell them apart: cache writes are in `input`, because no form of
/// them has a column for these; all that is generated and was not thought is `output`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Tokens {
    pub input: u64,
    pub cache_read: u64,
    pub output: u64,
    pub reasoning: u64,
}

/// What else is known of a line or an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags(u16);

impl Flags {
    pub const NONE: Flags = Flags(0);
    pub const CANCELLED: Flags = Flags(1);
    /// Somebody's own key at the upstream was used: the amount is OpenRouter's fee.
    pub const BYOK: Flags = Flags(2);
    /// It says that no key was used: the chat room of the web site.
    pub const WITHOUT_KEY: Flags = Flags(4);
    /// No counts are told, or they contradict each other.
    pub const COUNTS_UNTOLD: Flags = Flags(8);
    /// What was read from a cache is not told apart from the rest of the input.
    pub const CACHE_UNTOLD: Flags = Flags(16);
    /// The amount has an estimate of what upstreams charge in it.
    pub const WITH_UPSTREAM: Flags = Flags(32);
    /// Which part of the amount is for tools is not told.
    pub const TOOLS_UNTOLD: Flags = Flags(64);

    pub const fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    /// What either has.
    #[must_use]
    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    #[must_use]
    pub const fn with(self, flag: Flags, set: bool) -> Flags {
        if set { Flags(self.0 | flag.0) } else { self }
    }
}

impl Encoded for Line {
    const USUAL: usize = 64;

    fn write(&self, to: &mut Encoder<'_>) {
        to.number(self.number);
        to.id(match self.grain {
            Grain::Generation(id) => Some(id),
            Grain::Day => None,
        });
        to.signed(self.at.micros());
        for name in [self.model, self.provider, self.endpoint, self.variant, self.tier, self.key] {
            to.name(name);
        }
        to.number(self.requests);
        self.tokens.write(to);
        for amount in [self.amount, self.tools, self.upstream] {
            to.amount(amount);
        }
        self.flags.write(to);
        to.number(u8::from(self.precision == Precision::Truncated));
    }

    fn read(from: &mut Decoder<'_>) -> Line {
        Line {
            number: from.number() as u32,
            grain: from.id().map_or(Grain::Day, Grain::Generation),
            at: Instant::from_micros(from.signed()),
            model: from.name(),
            provider: from.name(),
            endpoint: from.name(),
            variant: from.name(),
            tier: from.name(),
            key: from.name(),
            requests: from.number(),
            tokens: Tokens::read(from),
            amount: from.amount(),
            tools: from.amount(),
            upstream: from.amount(),
            flags: Flags::read(from),
            precision: if from.number() == 1 { Precision::Truncated } else { Precision::Exact },
        }
    }
}

impl Encoded for Tokens {
    const USUAL: usize = 8;

    fn write(&self, to: &mut Encoder<'_>) {
        for count in [self.input, self.cache_read, self.output, self.reasoning] {
            to.number(count);
        }
    }

    fn read(from: &mut Decoder<'_>) -> Tokens {
        let [input, cache_read, output, reasoning] = std::array::from_fn(|_| from.number());
        Tokens { input, cache_read, output, reasoning }
    }
}

impl Encoded for Flags {
    const USUAL: usize = 2;

    fn write(&self, to: &mut Encoder<'_>) {
        to.number(self.0);
    }

    fn read(from: &mut Decoder<'_>) -> Flags {
        Flags(from.number() as u16)
    }
}

/// Why a text is no statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("there is no column {missing}; the columns are {found}")]
    NoColumn { missing: String, found: String },
    #[error("line {line}, column {column}: {why}")]
    Cell { line: u32, column: String, why: String },
    #[error("line {line}: {why}")]
    Line { line: u32, why: String },
    #[error("row {row}: {why}")]
    Row { row: u32, why: String },
    #[error("{0}")]
    Whole(String),
}

impl Tokens {
    /// Takes inclusive counts apart; nothing where a part is larger than its whole, as it is for replayed answers.
    pub fn disjoint(prompt: u64, cached: u64, completion: u64, reasoning: u64) -> Option<Tokens> {
        let (input, output) = (prompt.checked_sub(cached)?, completion.checked_sub(reasoning)?);
        Some(Tokens { input, cache_read: cached, output, reasoning })
    }

    /// The same of what was counted in finer meters.
    pub fn of(quantities: &Quantities) -> Tokens {
        let of = |meters: &[Meter]| meters.iter().map(|meter| quantities.get(*meter)).sum::<u64>();
        let cache_read = of(&[Meter::CacheRead, Meter::AudioCacheRead]);
        let output = of(&[Meter::Output, Meter::AudioOutput, Meter::ImageOutput]);
        Tokens { input: quantities.prompt_tokens() - cache_read, cache_read, output, reasoning: quantities.get(Meter::Reasoning) }
    }

    pub const fn prompt(self) -> u64 {
        self.input + self.cache_read
    }

    pub const fn completion(self) -> u64 {
        self.output + self.reasoning
    }

    pub const fn is_empty(self) -> bool {
        self.prompt() == 0 && self.completion() == 0
    }

    /// Nothing where the sum is beyond any count.
    pub fn checked_add(self, other: Tokens) -> Option<Tokens> {
        Some(Tokens {
            input: self.input.checked_add(other.input)?,
            cache_read: self.cache_read.checked_add(other.cache_read)?,
            output: self.output.checked_add(other.output)?,
            reasoning: self.reasoning.checked_add(other.reasoning)?,
        })
    }
}

/// An amount as a CSV export prints it: cut toward zero after six decimals.
pub const fn cut_to_micros(amount: Amount) -> Amount {
    const MICRO: i128 = 10_i128.pow(18);
    Amount::from_units(amount.units() / MICRO * MICRO)
}

impl Form {
    pub const fn name(self) -> &'static str {
        match self {
            Form::GenerationsCsv => "generations_csv",
            Form::ChartCsv => "chart_csv",
            Form::Activity => "activity",
            Form::Generation => "generation",
            Form::Analytics => "analytics",
        }
    }

    pub fn named(name: &str) -> Option<Form> {
        let all = [Form::GenerationsCsv, Form::ChartCsv, Form::Activity, Form::Generation, Form::Analytics];
        all.into_iter().find(|form| form.name() == name)
    }

    /// Whether its lines are single generations.
    pub const fn is_by_generation(self) -> bool {
        matches!(self, Form::GenerationsCsv | Form::Generation | Form::Analytics)
    }
}

impl Statement {
    /// What all its lines claim.
    pub fn total(&self) -> Amount {
        self.lines.iter().map(|line| line.amount).sum()
    }

    /// The shortest run of whole UTC days that has all its lines.
    pub fn days(&self) -> Option<Period> {
        let both = |(first, last): (Instant, Instant), at: Instant| (first.min(at), last.max(at));
        let (first, last) = self.lines.iter().map(|line| (line.at, line.at)).reduce(|ends, (at, _)| both(ends, at))?;
        Some(Period { from: first.day(), until: Instant::from_micros(last.day().micros() + DAY) })
    }

    /// The lines that are generations with their places, in the order of their ids.
    pub fn by_id(&self) -> &[(Id, u32)] {
        &self.by_id
    }

    pub fn line_numbered(&self, number: u32) -> Option<Line> {
        let (mut from, mut until) = (0, self.lines.len());
        while from < until {
            let middle = from.midpoint(until);
            let line = self.lines.get(middle);
            match line.number.cmp(&number) {
                Ordering::Less => from = middle + 1,
                Ordering::Equal => return Some(line),
                Ordering::Greater => until = middle,
            }
        }
        None
    }

    pub fn id_of(&self, line: &Line) -> Option<&str> {
        match line.grain {
            Grain::Generation(id) => Some(self.ids.text(id)),
            Grain::Day => None,
        }
    }
}

/// A UTC day in microseconds.
const DAY: i64 = 86_400_000_000;

/// A statement while it is read.
#[derive(Default)]
struct Draft {
    names: Names,
    ids: Ids,
    lines: Compact<Line>,
    /// The sum of all amounts without their signs: as long as a book could hold it, no sum of lines overflows.
    size: Amount,
}

impl Draft {
    fn with_room(lines: usize) -> Draft {
        Draft { lines: Compact::with_room(lines), ids: Ids::with_room(lines), ..Draft::default() }
    }

    fn add(&mut self, line: Line) -> Result<(), Unreadable> {
        let too_large = || Unreadable::Whole("the lines add up to more than a book holds; look for a wrong unit".to_owned());
        let sizes = [line.amount, line.tools, line.upstream].map(Amount::abs);
        let size = sizes.into_iter().try_fold(self.size, Amount::checked_add).filter(|size| size.fits());
        self.size = size.ok_or_else(too_large)?;
        self.lines.push(&line);
        Ok(())
    }

    /// The number of a name, unless it is too long to be one or has control characters.
    fn name(&mut self, text: &str) -> Result<Option<Name>, String> {
        if let Some(known) = self.names.find(text) {
            return Ok(Some(known));
        }
        if text.is_empty() {
            return Ok(None);
        }
        crate::usage::reading::text("name", text).map_err(|e| e.problem.to_string())?;
        Ok(Some(self.names.name(text)))
    }

    fn id(&mut self, text: &str) -> Result<Id, String> {
        match text {
            "" => Err("empty; every generation has an id".to_owned()),
            id if id.len() > crate::usage::MAX_TEXT => Err(format!("an id of {} bytes is none", id.len())),
            id if !id.bytes().all(|byte| byte.is_ascii_graphic()) => Err("an id has only visible ASCII characters".to_owned()),
            id => Ok(self.ids.keep(id)),
        }
    }

    fn finish(self, form: Form, unread: Vec<String>) -> Result<Statement, Unreadable> {
        let Draft { names, ids, lines, .. } = self;
        let mut by_id: Vec<(Id, u32)> = Vec::with_capacity(lines.len());
        by_id.extend(lines.iter().zip(0..).filter_map(|(line, place)| match line.grain {
            Grain::Generation(id) => Some((id, place)),
            Grain::Day => None,
        }));
        by_id.sort_unstable_by(|(a, first), (b, second)| ids.text(*a).cmp(ids.text(*b)).then(first.cmp(second)));
        if let Some(twice) = by_id.windows(2).find(|pair| ids.text(pair[0].0) == ids.text(pair[1].0)) {
            let [first, second] = [twice[0], twice[1]].map(|(_, place)| lines.get(place as usize).number);
            let why = format!("{} is on line {first} already; remove one of them", ids.text(twice[0].0));
            return Err(Unreadable::Line { line: second, why });
        }
        Ok(Statement { form, currency: Currency::USD, names, ids, lines, unread, by_id })
    }
}
