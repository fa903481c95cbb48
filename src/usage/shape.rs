//! A shape is one provider's way of writing a usage block; it states which counts include which, and turns them into
//! disjoint meters. One small file per shape. Counts that do not fit into their totals are a contradiction: the event is
//! kept and held with that reason, because any repair would be a guess about money.

mod anthropic;
mod bedrock;
mod gemini;
mod litellm;
mod openai_chat;
mod openai_responses;
mod openrouter;

use crate::usage::reading::{Object, Problem, Rejected};
use crate::usage::{Meter, Quantities, Reported, Text, Usage, content};

/// The shapes, by the name a producer uses for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    OpenaiChat,
    OpenaiResponses,
    Anthropic,
    Gemini,
    Bedrock,
    Openrouter,
    Litellm,
}

/// What a usage block says: counts, and sometimes what the provider charged and which tier served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Read {
    pub usage: Usage,
    pub reported: Option<Reported>,
    pub service_tier: Option<Text>,
}

/// Why a block was not turned into meters.
#[derive(Debug)]
enum Unread {
    Rejected(Rejected),
    Contradiction(String),
}

type Counted = Result<Quantities, Unread>;

/// Keeps a contradictory block's numbers up to this size; a real one is a tenth of it.
const MAX_RAW: usize = 4_096;

impl Shape {
    pub const ALL: [(&'static str, Shape); 7] = [
        ("openai-chat", Shape::OpenaiChat),
        ("openai-responses", Shape::OpenaiResponses),
        ("anthropic", Shape::Anthropic),
        ("gemini", Shape::Gemini),
        ("bedrock", Shape::Bedrock),
        ("openrouter", Shape::Openrouter),
        ("litellm", Shape::Litellm),
    ];

    pub fn read(self, json: &str, at: &'static str) -> Result<Read, Rejected> {
        let block = Object::parse(json, at)?;
        let mut read = Read { usage: Usage::Missing, reported: None, service_tier: None };
        let counted = match self {
            Shape::OpenaiChat => openai_chat::read(block),
            Shape::OpenaiResponses => openai_responses::read(block),
            Shape::Anthropic => anthropic::read(block, &mut read),
            Shape::Gemini => gemini::read(block),
            Shape::Bedrock => bedrock::read(block),
            Shape::Openrouter => openrouter::read(block, &mut read),
            Shape::Litellm => litellm::read(block),
        };
        match counted {
            Ok(quantities) => read.usage = Usage::Counted(quantities),
            Err(Unread::Contradiction(detail)) => read.usage = contradiction(detail, json),
            Err(Unread::Rejected(rejected)) => return Err(rejected),
        }
        Ok(read)
    }

    /// The shape of a block whose keys leave no doubt.
    pub fn evident(block: &Object<'_>) -> Option<Shape> {
        let has = |names: &[&str]| names.iter().any(|name| block.has(name));
        // Others write an object under that name, or say what they computed elsewhere.
        let says_what_it_charged = block.is_scalar("cost") || has(&["is_byok", "cost_details"]);
        if says_what_it_charged && has(&["prompt_tokens", "input_tokens"]) {
            Some(Shape::Openrouter)
        } else if has(&["prompt_tokens"]) {
            Some(Shape::OpenaiChat)
        } else if has(&["promptTokenCount"]) {
            Some(Shape::Gemini)
        } else if has(&["inputTokens"]) {
            Some(Shape::Bedrock)
        } else if has(&["cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"]) {
            Some(Shape::Anthropic)
        } else if has(&["input_tokens"]) {
            // Without any sub-count the two that spell it like this mean the same.
            Some(Shape::OpenaiResponses)
        } else {
            None
        }
    }
}

impl From<Rejected> for Unread {
    fn from(rejected: Rejected) -> Unread {
        Unread::Rejected(rejected)
    }
}

/// Counts that do not fit together, with the numbers that were sent.
pub fn contradiction(detail: String, json: &str) -> Usage {
    let raw = content::numbers(json).filter(|raw| raw.len() <= MAX_RAW).unwrap_or_default().into();
    Usage::Contradictory { detail, raw }
}

/// A count that the block must have.
fn required(block: &mut Object<'_>, name: &str) -> Result<u64, Unread> {
    match block.count(name)? {
        Some(count) => Ok(count),
        None => Err(Unread::Rejected(block.wrong(name, Problem::Missing))),
    }
}

/// The rest of a total after its disjoint parts are taken out, or the contradiction in words.
fn remainder(total: (&str, u64), parts: &[(&str, u64)]) -> Result<u64, Unread> {
    let sum: u64 = parts.iter().map(|(_, count)| count).sum();
    total.1.checked_sub(sum).ok_or_else(|| {
        let parts: Vec<_> = parts.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}")).collect();
        Unread::Contradiction(format!("{} do not fit into {} {}", parts.join(" + "), total.0, total.1))
    })
}

/// Checks a grand total against the sums it may stand for.
fn agrees(name: &str, total: Option<u64>, sums: &[u64]) -> Result<(), Unread> {
    match total {
        Some(total) if !sums.contains(&total) => {
            Err(Unread::Contradiction(format!("{name} is {total}, but the counts add up to {}", sums[0])))
        }
        _ => Ok(()),
    }
}

/// The way OpenAI's APIs, and those that imitate them, nest: everything on the way in is inside one total, everything on
/// the way out inside another. `chat` and `responses` differ only in how they spell it.
struct Inclusive {
    prompt: (&'static str, u64),
    completion: (&'static str, u64),
    total: Option<u64>,
    cached: u64,
    cached_audio: u64,
    cache_write: u64,
    cache_write_1h: u64,
    audio_in: u64,
    image_in: u64,
    video_in: u64,
    reasoning: u64,
    audio_out: u64,
    image_out: u64,
}

impl Inclusive {
    fn disjoint(self) -> Counted {
        let text_cached = remainder(("cached_tokens", self.cached), &[("cached audio", self.cached_audio)])?;
        let audio_in = remainder(("audio_tokens", self.audio_in), &[("cached audio", self.cached_audio)])?;
        let input = remainder(
            self.prompt,
            &[
                ("cached_tokens", self.cached),
                ("cache_write_tokens", self.cache_write + self.cache_write_1h),
                ("audio_tokens", audio_in),
                ("image_tokens", self.image_in),
                ("video_tokens", self.video_in),
            ],
        )?;

        let both = self.prompt.1 + self.completion.1;
        // Some that imitate OpenAI count reasoning beside the completion instead of inside it; then their own total says so.
        let reasoning_is_beside = self.reasoning > 0 && self.total == Some(both + self.reasoning);
        agrees("total_tokens", self.total, &[both, both + self.reasoning])?;
        let reasoning_inside = if reasoning_is_beside { 0 } else { self.reasoning };
        let output = remainder(
            self.completion,
            &[("reasoning_tokens", reasoning_inside), ("audio_tokens", self.audio_out), ("image_tokens", self.image_out)],
        )?;

        Ok(Quantities::of(&[
            (Meter::Input, input),
            (Meter::CacheRead, text_cached),
            (Meter::CacheWrite, self.cache_write),
            (Meter::CacheWrite1h, self.cache_write_1h),
            (Meter::Output, output),
            (Meter::Reasoning, self.reasoning),
            (Meter::AudioInput, audio_in),
            (Meter::AudioCacheRead, self.cached_audio),
            (Meter::AudioOutput, self.audio_out),
            (Meter::ImageInput, self.image_in),
            (Meter::ImageOutput, self.image_out),
            (Meter::VideoInput, self.video_in),
        ]))
    }

    /// Reads a block under the spelling of one of the two APIs.
    fn read(mut block: Object<'_>, spelling: &Spelling) -> Counted {
        let prompt = (spelling.prompt, required(&mut block, spelling.prompt)?);
        // Embeddings have no completion.
        let completion = (spelling.completion, block.count(spelling.completion)?.unwrap_or(0));
        let total = block.count("total_tokens")?;
        let mut inside_prompt = block.object(spelling.prompt_details, spelling.prompt_details)?;
        let mut inside_completion = block.object(spelling.completion_details, spelling.completion_details)?;
        let mut cached_by_kind = match &mut inside_prompt {
            Some(details) => details.object("cached_tokens_details", "cached_tokens_details")?,
            None => None,
        };
        let count = |details: &mut Option<Object<'_>>, name| -> Result<u64, Unread> {
            Ok(match details {
                Some(details) => details.count(name)?.unwrap_or(0),
                None => 0,
            })
        };
        Inclusive {
            prompt,
            completion,
            total,
            cached: count(&mut inside_prompt, "cached_tokens")?,
            cached_audio: count(&mut cached_by_kind, "audio_tokens")?,
            cache_write: count(&mut inside_prompt, "cache_write_tokens")?,
            cache_write_1h: 0,
            audio_in: count(&mut inside_prompt, "audio_tokens")?,
            image_in: count(&mut inside_prompt, "image_tokens")?,
            video_in: count(&mut inside_prompt, "video_tokens")?,
            reasoning: count(&mut inside_completion, "reasoning_tokens")?,
            audio_out: count(&mut inside_completion, "audio_tokens")?,
            image_out: count(&mut inside_completion, "image_tokens")?,
        }
        .disjoint()
    }
}

/// How one of the two inclusive APIs names its totals and their details.
struct Spelling {
    prompt: &'static str,
    prompt_details: &'static str,
    completion: &'static str,
    completion_details: &'static str,
}
