//! Google's Gemini and Vertex: `promptTokenCount` includes cached content, `candidatesTokenCount` *excludes* thoughts, tool
//! use prompts stand beside the prompt, and lists by modality split each of them. Cached tokens without their own list by
//! modality are taken from the text, as long as the text holds that many.

use super::{Counted, Read, Unread, agrees, all_taken, remainder, required};
use crate::usage::reading::{Object, Problem, Rejected};
use crate::usage::{Meter, Quantities, Text};
use serde_json::value::RawValue;

pub(super) fn read(mut block: Object<'_>, also: &mut Read) -> Counted {
    let prompt = required(&mut block, "promptTokenCount")?;
    // The Live API calls the answer a response.
    let (candidates, response) = (block.count("candidatesTokenCount")?, block.count("responseTokenCount")?);
    let candidates = candidates.or(response).unwrap_or(0);
    let thoughts = block.count("thoughtsTokenCount")?.unwrap_or(0);
    let tool_prompts = block.count("toolUsePromptTokenCount")?.unwrap_or(0);
    let cached = block.count("cachedContentTokenCount")?.unwrap_or(0);
    let total = block.count("totalTokenCount")?;
    let sum = prompt + candidates + thoughts + tool_prompts;
    agrees("totalTokenCount", total, &[sum])?;

    let of_prompt = by_modality(&mut block, "promptTokensDetails")?;
    let of_cache = by_modality(&mut block, "cacheTokensDetails")?;
    let of_tools = by_modality(&mut block, "toolUsePromptTokensDetails")?;
    let of_answer = match block.has("candidatesTokensDetails") {
        true => by_modality(&mut block, "candidatesTokensDetails")?,
        false => by_modality(&mut block, "responseTokensDetails")?,
    };
    also.service_tier = block.text("trafficType")?.and_then(|traffic| tier(&traffic));
    all_taken(block)?;

    // What is cached of a modality is taken out of it; the rest of the cache is text.
    let audio = remainder(("AUDIO of promptTokensDetails", of_prompt.audio), &[("cached AUDIO", of_cache.audio)])?;
    let image = remainder(("IMAGE of promptTokensDetails", of_prompt.image), &[("cached IMAGE", of_cache.image)])?;
    let video = remainder(("VIDEO of promptTokensDetails", of_prompt.video), &[("cached VIDEO", of_cache.video)])?;
    let cache_read = remainder(("cachedContentTokenCount", cached), &[("cached AUDIO", of_cache.audio)])?;
    let text = remainder(
        ("promptTokenCount", prompt),
        &[("cachedContentTokenCount", cached), ("AUDIO", audio), ("IMAGE", image), ("VIDEO", video)],
    )?;
    let tool_text = remainder(
        ("toolUsePromptTokenCount", tool_prompts),
        &[("AUDIO", of_tools.audio), ("IMAGE", of_tools.image), ("VIDEO", of_tools.video)],
    )?;
    let output = remainder(("candidatesTokenCount", candidates), &[("AUDIO", of_answer.audio), ("IMAGE", of_answer.image)])?;

    Ok(Quantities::of(&[
        (Meter::Input, text + tool_text),
        (Meter::CacheRead, cache_read),
        (Meter::Output, output),
        (Meter::Reasoning, thoughts),
        (Meter::AudioInput, audio + of_tools.audio),
        (Meter::AudioCacheRead, of_cache.audio),
        (Meter::AudioOutput, of_answer.audio),
        (Meter::ImageInput, image + of_tools.image),
        (Meter::ImageOutput, of_answer.image),
        (Meter::VideoInput, video + of_tools.video),
    ]))
}

/// The tier by which a kind of traffic is priced. One that is not known is a tier too, so that no card of another one fits.
fn tier(traffic: &str) -> Option<Text> {
    match traffic {
        "ON_DEMAND" | "TRAFFIC_TYPE_UNSPECIFIED" => None,
        "PROVISIONED_THROUGHPUT" => Some(Text::known("provisioned")),
        "ON_DEMAND_FLEX" => Some(Text::known("flex")),
        "ON_DEMAND_PRIORITY" => Some(Text::known("priority")),
        other => Text::new(other.to_ascii_lowercase()),
    }
}

#[derive(Default)]
struct Modalities {
    audio: u64,
    image: u64,
    video: u64,
}

/// A list such as `[{"modality":"AUDIO","tokenCount":12}]`; text and documents stay with the total.
fn by_modality(block: &mut Object<'_>, name: &'static str) -> Result<Modalities, Unread> {
    let mut modalities = Modalities::default();
    let Some(list) = block.take(name) else { return Ok(modalities) };
    let entries: Vec<&RawValue> = serde_json::from_str(list.get())
        .map_err(|_| Rejected::new(name, Problem::WrongType { expected: "an array", found: "something else" }))?;
    for entry in entries {
        let mut entry = Object::parse(entry.get(), name)?;
        let tokens = entry.count("tokenCount")?.unwrap_or(0);
        match entry.text("modality")?.as_deref() {
            Some("AUDIO") => modalities.audio += tokens,
            Some("IMAGE") => modalities.image += tokens,
            Some("VIDEO") => modalities.video += tokens,
            _ => {}
        }
    }
    Ok(modalities)
}
