//! A shape is one provider's way of writing a usage block; it states which counts include which, and turns them into
//! disjoint meters. One small file per shape. Counts that do not fit into their totals are a contradiction, and so is a
//! count of tokens that the shape does not know, which would be billed at a wrong rate or not at all: the event is kept and
//! held with that reason, because any repair would be a guess about money.

mod ai_sdk;
mod anthropic;
mod bedrock;
mod gemini;
mod litellm;
mod openai_chat;
mod openai_responses;
mod openrouter;

use crate::usage::reading::{self, Object, Problem, Rejected};
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
    AiSdk,
}

/// What a usage block says: counts, and sometimes what the provider charged and what else the price depends on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Read {
    pub usage: Usage,
    pub reported: Option<Reported>,
    pub service_tier: Option<Text>,
    pub variant: Option<Text>,
    pub region: Option<Text>,
}

/// Why a block was not turned into meters.
#[derive(Debug)]
enum Unread {
    Rejected(Rejected),
    Contradiction(String),
}

/// Counts that tell how others came about and add nothing to them.
const REMARKS: [&str; 6] = [
    "accepted_prediction_tokens",
    "noCacheTokens",
    "prompt_cache_miss_tokens",
    "rejected_prediction_tokens",
    "text_tokens",
    "textTokens",
];
/// Parts of names of sums, limits and speeds.
const NO_COUNTS: [&str; 4] = ["total", "max_", "per_sec", "time_to"];

type Counted = Result<Quantities, Unread>;

/// Keeps a contradictory block's numbers up to this size; a real one is a tenth of it.
const MAX_RAW: usize = 4_096;

impl Shape {
    pub const ALL: [(&'static str, Shape); 8] = [
        ("openai-chat", Shape::OpenaiChat),
        ("openai-responses", Shape::OpenaiResponses),
        ("anthropic", Shape::Anthropic),
        ("gemini", Shape::Gemini),
        ("bedrock", Shape::Bedrock),
        ("openrouter", Shape::Openrouter),
        ("litellm", Shape::Litellm),
        ("ai-sdk", Shape::AiSdk),
    ];

    pub fn read(self, json: &str, at: &'static str) -> Result<Read, Rejected> {
        let block = Object::parse(json, at)?;
        let mut read = Read::of(Usage::Missing);
        let counted = match self {
            Shape::OpenaiChat => openai_chat::read(block),
            Shape::OpenaiResponses => openai_responses::read(block),
            Shape::Anthropic => anthropic::read(block, &mut read),
            Shape::Gemini => gemini::read(block, &mut read),
            Shape::Bedrock => bedrock::read(block),
            Shape::Openrouter => openrouter::read(block, &mut read),
            Shape::Litellm => litellm::read(block),
            Shape::AiSdk => ai_sdk::read(block),
        };
        match counted {
            // A charge for what is not counted in tokens: seconds of a video or of speech.
            Ok(quantities) if quantities.is_empty() && read.reported.is_some() => {}
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
            let is_ai_sdk = has(&["cachedInputTokens", "reasoningTokens", "inputTokenDetails", "outputTokenDetails"]);
            Some(if is_ai_sdk { Shape::AiSdk } else { Shape::Bedrock })
        } else if has(&["cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation", "server_tool_use"]) {
            Some(Shape::Anthropic)
        } else if has(&["input_tokens"]) {
            // Without any sub-count the two that spell it like this mean the same.
            Some(Shape::OpenaiResponses)
        } else {
            None
        }
    }
}

impl Read {
    /// A block that says nothing beside what was used.
    pub fn of(usage: Usage) -> Read {
        Read { usage, reported: None, service_tier: None, variant: None, region: None }
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

/// Whatever counts tokens must have been taken by now, or what it counts would be mispriced in silence.
fn all_taken(left: Object<'_>) -> Result<(), Unread> {
    for (name, value) in left.rest() {
        let is_remark = REMARKS.contains(&&*name) || NO_COUNTS.iter().any(|part| name.to_ascii_lowercase().contains(part));
        let counts_tokens = name.to_ascii_lowercase().contains("token") && !is_remark;
        if counts_tokens && matches!(reading::count(value), Ok(1..)) {
            let name: String = name.chars().take(60).collect();
            return Err(Unread::Contradiction(format!("nobody knows what {name} counts, or what it is part of")));
        }
    }
    Ok(())
}

/// Takes a count that may only say again what another one said.
fn repeats(block: &mut Object<'_>, name: &str, (other, count): (&str, u64)) -> Result<(), Unread> {
    match block.count(name)? {
        Some(again) if again > 0 && again != count => {
            Err(Unread::Contradiction(format!("{name} is {again}, but {other} is {count}")))
        }
        _ => Ok(()),
    }
}

/// A count inside details that may be absent, under the first of its names that is there.
fn of(details: &mut Option<Object<'_>>, names: &[&str]) -> Result<Option<u64>, Rejected> {
    let Some(details) = details else { return Ok(None) };
    let mut found = None;
    for name in names {
        found = found.or(details.count(name)?);
    }
    Ok(found)
}

/// The way OpenAI's APIs, and those that imitate them, nest: everything on the way in is inside one total, everything on
/// the way out inside another. `chat` and `responses` differ only in how they spell it.
#[derive(Default)]
struct Inclusive {
    prompt: (&'static str, u64),
    completion: (&'static str, u64),
    total: Option<u64>,
    cached: u64,
    cached_audio: u64,
    cached_image: u64,
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
        let image_in = remainder(("image_tokens", self.image_in), &[("cached images", self.cached_image)])?;
        let written = self.cache_write + self.cache_write_1h;
        // A picture may be counted where pictures are and where the cache is. Then what does not fit beside the cache was in
        // it; whether more of them were, nobody says.
        let over = (self.cached + written + audio_in + image_in + self.video_in).saturating_sub(self.prompt.1);
        let each_fits = self.cached + written + audio_in <= self.prompt.1 && audio_in + image_in + self.video_in <= self.prompt.1;
        let overlap = if each_fits && self.cached_image == 0 { over } else { 0 };
        let video_in = self.video_in - overlap.saturating_sub(image_in).min(self.video_in);
        let image_in = image_in - overlap.min(image_in);
        let input = remainder(
            self.prompt,
            &[
                ("cached_tokens", self.cached),
                ("cache_write_tokens", written),
                ("audio_tokens", audio_in),
                ("image_tokens", image_in),
                ("video_tokens", video_in),
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
            (Meter::ImageInput, image_in),
            (Meter::ImageOutput, self.image_out),
            (Meter::VideoInput, video_in),
        ]))
    }

    /// Reads a block under the spelling of one of the two APIs.
    fn read(mut block: Object<'_>, spelling: &Spelling) -> Counted {
        let prompt = (spelling.prompt, required(&mut block, spelling.prompt)?);
        // Embeddings have no completion.
        let completion = (spelling.completion, block.count(spelling.completion)?.unwrap_or(0));
        let total = block.count("total_tokens")?;
        // Some write their totals under the names of both APIs.
        repeats(&mut block, spelling.other_prompt, prompt)?;
        repeats(&mut block, spelling.other_completion, completion)?;
        let mut inside_prompt = either(&mut block, spelling.prompt_details)?;
        let mut inside_completion = either(&mut block, spelling.completion_details)?;
        let mut cached_by_kind = match &mut inside_prompt {
            Some(details) => details.object("cached_tokens_details", "cached_tokens_details")?,
            None => None,
        };

        // LangChain's names for the same stand beside OpenAI's.
        let cached = of(&mut inside_prompt, &["cached_tokens", "cache_read"])?;
        let written = of(&mut inside_prompt, &["cache_write_tokens", "cache_creation_tokens", "cache_creation"])?;
        let short = of(&mut inside_prompt, &["ephemeral_5m_input_tokens"])?.unwrap_or(0);
        let long = of(&mut inside_prompt, &["ephemeral_1h_input_tokens"])?.unwrap_or(0);
        let written = written.map(|written| written.max(short + long)).or((short + long > 0).then_some(short + long));
        let reasoning = of(&mut inside_completion, &["reasoning_tokens", "reasoning"])?.unwrap_or(0);
        repeats(&mut block, "reasoning_tokens", ("that of the details", reasoning))?;
        let cache = Cache { cached, written, long }.with_beside(&mut block, prompt, completion, reasoning, total)?;

        let inclusive = Inclusive {
            prompt: (prompt.0, prompt.1 + cache.outside),
            completion,
            total,
            cached: cache.cached,
            cached_audio: of(&mut cached_by_kind, &["audio_tokens"])?.unwrap_or(0),
            cached_image: of(&mut cached_by_kind, &["image_tokens"])?.unwrap_or(0),
            cache_write: remainder(("cache_write_tokens", cache.written), &[("ephemeral_1h_input_tokens", cache.long)])?,
            cache_write_1h: cache.long,
            audio_in: of(&mut inside_prompt, &["audio_tokens", "audio"])?.unwrap_or(0),
            image_in: of(&mut inside_prompt, &["image_tokens"])?.unwrap_or(0),
            video_in: of(&mut inside_prompt, &["video_tokens"])?.unwrap_or(0),
            reasoning,
            audio_out: of(&mut inside_completion, &["audio_tokens", "audio"])?.unwrap_or(0),
            image_out: of(&mut inside_completion, &["image_tokens"])?.unwrap_or(0),
        };
        for left in [Some(block), inside_prompt, inside_completion, cached_by_kind].into_iter().flatten() {
            all_taken(left)?;
        }
        inclusive.disjoint()
    }
}

/// What the details of a prompt say of the cache.
struct Cache {
    cached: Option<u64>,
    written: Option<u64>,
    long: u64,
}

/// What is known of the cache, and how much of it the prompt's count leaves out.
struct Known {
    cached: u64,
    written: u64,
    long: u64,
    outside: u64,
}

impl Cache {
    /// Adds what stands next to the totals instead of in the details: DeepSeek's and Moonshot's hits, which are inside the
    /// prompt, and Anthropic's counts, of which only the grand total says whether the prompt includes them.
    fn with_beside(
        self,
        block: &mut Object<'_>,
        prompt: (&str, u64),
        completion: (&str, u64),
        reasoning: u64,
        total: Option<u64>,
    ) -> Result<Known, Unread> {
        let mut cached = self.cached;
        for name in ["prompt_cache_hit_tokens", "cached_tokens"] {
            if let Some(said) = cached {
                repeats(block, name, ("that of the details", said))?;
            } else {
                cached = block.count(name)?;
            }
        }
        let read = block.count("cache_read_input_tokens")?.unwrap_or(0);
        let written = block.count("cache_creation_input_tokens")?.unwrap_or(0);
        let mut by_ttl = block.object("cache_creation", "cache_creation")?;
        let short = of(&mut by_ttl, &["ephemeral_5m_input_tokens"])?.unwrap_or(0);
        let long = of(&mut by_ttl, &["ephemeral_1h_input_tokens"])?.unwrap_or(0);
        let written = written.max(short + long);
        by_ttl.map_or(Ok(()), all_taken)?;

        let both = prompt.1 + completion.1;
        let is_repeated = (read > 0 && cached == Some(read)) || (written > 0 && self.written == Some(written));
        let is_inside = is_repeated || total == Some(both) || total == Some(both + reasoning);
        let is_outside = [both, both + reasoning].iter().any(|sum| total == Some(sum + read + written));
        let outside = match read + written {
            0 => 0,
            _ if is_inside => 0,
            beside if is_outside => beside,
            beside => {
                return Err(Unread::Contradiction(format!(
                    "{beside} tokens of the cache stand beside {} {}, and no total says whether it includes them",
                    prompt.0, prompt.1
                )));
            }
        };
        Ok(Known {
            cached: cached.unwrap_or(0).max(read),
            written: self.written.unwrap_or(0).max(written),
            long: self.long.max(long),
            outside,
        })
    }
}

/// Details under either of the names that are in use.
fn either<'a>(block: &mut Object<'a>, names: [&'static str; 2]) -> Result<Option<Object<'a>>, Rejected> {
    let [plural, singular] = names.map(|name| block.object(name, name));
    Ok(plural?.or(singular?))
}

/// How one of the two inclusive APIs names its totals and their details, and how the other one names the totals.
struct Spelling {
    prompt: &'static str,
    prompt_details: [&'static str; 2],
    other_prompt: &'static str,
    completion: &'static str,
    completion_details: [&'static str; 2],
    other_completion: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Service tier, variant, region.
    fn product(shape: Shape, block: &str) -> [Option<String>; 3] {
        let read = shape.read(block, "usage").unwrap();
        [read.service_tier, read.variant, read.region].map(|text| text.map(|text| text.to_string()))
    }

    #[test]
    fn what_a_price_depends_on_is_read_where_a_block_says_it() {
        let anthropic = |said: &str| product(Shape::Anthropic, &format!(r#"{{"input_tokens":1,"output_tokens":1,{said}}}"#));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            anthropic(r#""speed":"fast","inference_geo":"us","service_tier":"priority""#),
            [some("priority"), some("fast"), some("us")]
        );
        for nowhere in [r#""global""#, "null", r#""not_available""#] {
            assert_eq!(anthropic(&format!(r#""speed":"standard","inference_geo":{nowhere}"#)), [None, None, None]);
        }
        for (traffic, tier) in [
            ("ON_DEMAND", None),
            ("ON_DEMAND_FLEX", some("flex")),
            ("ON_DEMAND_PRIORITY", some("priority")),
            ("PROVISIONED_THROUGHPUT", some("provisioned")),
            ("MAGIC", some("magic")),
        ] {
            let block = format!(r#"{{"promptTokenCount":1,"totalTokenCount":1,"trafficType":"{traffic}"}}"#);
            assert_eq!(product(Shape::Gemini, &block)[0], tier, "{traffic}");
        }
    }

    #[test]
    fn a_count_that_nobody_took_is_a_contradiction_unless_it_adds_nothing() {
        let chat = |beside: &str| {
            let block = format!(r#"{{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,{beside}}}"#);
            matches!(Shape::OpenaiChat.read(&block, "usage").unwrap().usage, Usage::Contradictory { .. })
        };
        for held in [
            r#""citation_tokens":3"#,
            r#""completion_tokens_details":{"smell_tokens":"3"}"#,
            r#""prompt_tokens_details":{"cached_tokens":4},"cached_tokens":5"#,
            r#""input_tokens":11"#,
            r#""reasoning_tokens":3"#,
        ] {
            assert!(chat(held), "{held}");
        }
        for counted in [
            r#""citation_tokens":0"#,
            r#""completion_tokens_details":{"accepted_prediction_tokens":3,"rejected_prediction_tokens":1,"text_tokens":5}"#,
            r#""time_to_first_token":2,"completion_tokens_per_sec":120,"total_tokens_per_sec":0.5"#,
            r#""prompt_tokens_details":{"cached_tokens":4},"cached_tokens":4,"prompt_cache_miss_tokens":6"#,
            r#""input_tokens":0,"output_tokens":5"#,
        ] {
            assert!(!chat(counted), "{counted}");
        }
    }
}
