//! Usage as providers really write it, priced to the last digit. The numbers of the OpenRouter objects are real ones; the
//! rates beside them are those that hold for them. Whoever prices the same call differently in another spelling counts a
//! token twice, or loses one.

use farthing::catalog::Catalog;
use farthing::catalog::source::own;
use farthing::flow::InForce;
use farthing::flow::quote::quote;
use farthing::id::Version;
use farthing::money::Amount;
use farthing::rating::Rating;
use farthing::time::Instant;
use farthing::usage::dialect::{Context, native};
use farthing::usage::{Meter, Usage};
use serde_json::{Value, json};
use std::sync::Arc;

fn context() -> Context {
    Context { received_at: Instant::parse("2026-11-01T00:00:00Z").unwrap(), source: None, strict: false }
}

fn in_force(yaml: &str) -> InForce {
    let parts = own::read(yaml).unwrap_or_else(|mistakes| panic!("{}", mistakes[0]));
    let catalog = Catalog::build(parts).unwrap();
    InForce { version: Version(1), hash: [0; 32], catalog: Arc::new(catalog) }
}

fn event(provider: &str, usage: Value) -> Value {
    json!({"id": "e", "source": "s", "occurred_at": "2026-10-01T00:00:00Z", "provider": provider, "model": "m", "usage": usage})
}

fn priced(event: &Value, in_force: &InForce) -> Amount {
    let event = native::read(&event.to_string(), &context()).unwrap();
    match quote(event, in_force).rating {
        Rating::Rated(rated) => rated.amount,
        Rating::Unpriced(unpriced) => panic!("{unpriced}"),
    }
}

/// A card with OpenRouter's names of rates, per token.
fn card(rates: &[(&str, &str)]) -> String {
    let meters = [("prompt", "input"), ("completion", "output"), ("read", "cache_read"), ("write", "cache_write")];
    let named = |name: &str| meters.iter().find(|(theirs, _)| *theirs == name).unwrap().1;
    let rates: Vec<_> = rates.iter().map(|(name, rate)| format!("{}_per_token: \"{rate}\"", named(name))).collect();
    format!("provider: router\nabsent: included\nmodels:\n  - model: m\n    cards: [{{free: true, {}}}]\n", rates.join(", "))
}

/// A usage object of OpenRouter's chat API: prompt, of these cached and written, completion, of these reasoned.
struct Chat {
    what: &'static str,
    rates: &'static [(&'static str, &'static str)],
    prompt: u64,
    cached: u64,
    written: Option<u64>,
    completion: u64,
    reasoning: u64,
    cost: &'static str,
    byok: bool,
    upstream: &'static str,
}

impl Chat {
    fn usage(&self) -> Value {
        let mut details = json!({"cached_tokens": self.cached, "audio_tokens": 0});
        if let Some(written) = self.written {
            details["cache_write_tokens"] = json!(written);
        }
        // Costs are JSON numbers in the literal text that arrived, so they are written as text here.
        let text = format!(
            r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"cost":{},"is_byok":{},"prompt_tokens_details":{details},
                "cost_details":{{"upstream_inference_cost":{}}},
                "completion_tokens_details":{{"reasoning_tokens":{},"image_tokens":0,"audio_tokens":0}}}}"#,
            self.prompt,
            self.completion,
            self.prompt + self.completion,
            self.cost,
            self.byok,
            self.upstream,
            self.reasoning
        );
        serde_json::from_str(&text).unwrap()
    }
}

const OBSERVED: [Chat; 8] = [
    Chat {
        what: "gpt-5.6-sol with a cache written, 2026-09-17, list rates",
        rates: &[("prompt", "0.000002"), ("completion", "0.00001"), ("read", "0.0000002"), ("write", "0.0000025")],
        prompt: 24_794,
        cached: 0,
        written: Some(24_791),
        completion: 7_493,
        reasoning: 3_723,
        cost: "0.1369135",
        byok: false,
        upstream: "0.1369135",
    },
    Chat {
        what: "a cache written at 1.25 of 2.5 USD per million, rates fitted",
        rates: &[("prompt", "0.0000025"), ("completion", "0.000015"), ("write", "0.000003125")],
        prompt: 20_243,
        cached: 0,
        written: Some(20_240),
        completion: 1_270,
        reasoning: 516,
        cost: "0.0823075",
        byok: false,
        upstream: "0.0823075",
    },
    Chat {
        what: "mistral-large-2512, 2026-05-27, list rates",
        rates: &[("prompt", "0.0000005"), ("completion", "0.0000015")],
        prompt: 423,
        cached: 0,
        written: Some(0),
        completion: 2_600,
        reasoning: 0,
        cost: "0.0041115",
        byok: false,
        upstream: "0.0041115",
    },
    Chat {
        what: "claude-opus-4.8, list rates",
        rates: &[("prompt", "0.000005"), ("completion", "0.000025")],
        prompt: 95,
        cached: 0,
        written: Some(0),
        completion: 790,
        reasoning: 0,
        cost: "0.020225",
        byok: false,
        upstream: "0.020225",
    },
    Chat {
        what: "the last chunk of a stream of qwen3-coder-next, 2026-08-17, list rates",
        rates: &[("prompt", "0.00000012"), ("completion", "0.0000008")],
        prompt: 20,
        cached: 0,
        written: Some(0),
        completion: 2,
        reasoning: 0,
        cost: "0.000004",
        byok: false,
        upstream: "0.000004",
    },
    Chat {
        what: "a caller's own key within the allowance, rates fitted",
        rates: &[("prompt", "0.000002"), ("completion", "0.000008")],
        prompt: 9_745,
        cached: 0,
        written: Some(0),
        completion: 1_939,
        reasoning: 0,
        cost: "0",
        byok: true,
        upstream: "0.035002",
    },
    Chat {
        what: "a free variant, 2026-10-07",
        rates: &[("prompt", "0"), ("completion", "0")],
        prompt: 19_888,
        cached: 0,
        written: Some(0),
        completion: 3_831,
        reasoning: 3_726,
        cost: "0",
        byok: false,
        upstream: "0",
    },
    Chat {
        what: "a caller's own key in 2025, which hides its cache writes, rates fitted",
        rates: &[("prompt", "0.000003"), ("completion", "0.000015"), ("write", "0.00000375")],
        prompt: 9_171,
        cached: 0,
        written: None,
        completion: 113,
        reasoning: 55,
        cost: "0",
        byok: true,
        upstream: "0.0360795",
    },
];

#[test]
fn real_openrouter_usage_prices_to_the_upstream_cost() {
    for chat in &OBSERVED[..7] {
        let usage = chat.usage();
        assert_eq!(priced_by_list(&usage, &card(chat.rates)).to_string(), chat.upstream, "{}", chat.what);
    }
    // The ninth object came from the responses API, with other names for the same nesting.
    let responses: Value = serde_json::from_str(
        r#"{"input_tokens":101,"input_tokens_details":{"cached_tokens":0},"output_tokens":4,"output_tokens_details":{"reasoning_tokens":0},
            "total_tokens":105,"cost":0.0000468,"is_byok":false,"cost_details":{"upstream_inference_cost":0.0000468}}"#,
    )
    .unwrap();
    let rates = card(&[("prompt", "0.0000004"), ("completion", "0.0000016")]);
    assert_eq!(priced_by_list(&responses, &rates).to_string(), "0.0000468");
}

/// The 2025 object was charged with 9,162 of its 9,171 prompt tokens as cache writes, and does not say so. Priced as it
/// stands it is short by exactly those writes' surcharge; nothing in the object could tell.
#[test]
fn usage_that_hides_its_cache_writes_is_short_by_their_surcharge() {
    let chat = &OBSERVED[7];
    let short = Amount::parse(chat.upstream).unwrap() - priced_by_list(&chat.usage(), &card(chat.rates));
    let surcharge_per_token = Amount::parse("0.00000375").unwrap() - Amount::parse("0.000003").unwrap();
    assert_eq!(short.units(), surcharge_per_token.units() * 9_162);
    assert_eq!(short.to_string(), "0.0068715");
}

/// What the catalog says of a usage object, whatever the provider reported.
fn priced_by_list(usage: &Value, yaml: &str) -> Amount {
    let event = native::read(&event("router", usage.clone()).to_string(), &context()).unwrap();
    let event = farthing::usage::UsageEvent { reported: None, ..event };
    match quote(event, &in_force(yaml)).rating {
        Rating::Rated(rated) => rated.amount,
        Rating::Unpriced(unpriced) => panic!("{unpriced}"),
    }
}

#[test]
fn reported_amounts_are_read_in_every_notation() {
    let yaml = "provider: router\ncost_basis: reported\nmodels:\n  - model: m\n    cards: [{input_per_1m: \"1\"}]\n";
    for (literal, amount) in [
        ("3E-7", "0.0000003"),
        ("8e-06", "0.000008"),
        ("0.0000117000000000000001243449787580175325274467468261718750", "0.000011700000000000000124"),
        ("1.17e-3", "0.00117"),
    ] {
        let event = format!(
            r#"{{"id":"e","source":"s","occurred_at":"2026-10-01T00:00:00Z","provider":"router","model":"m",
                "usage":{{"prompt_tokens":1,"completion_tokens":0,"cost":{literal},"is_byok":false}}}}"#
        );
        let event = native::read(&event, &context()).unwrap();
        let Rating::Rated(rated) = quote(event, &in_force(yaml)).rating else { panic!("{literal} was refused") };
        assert_eq!(rated.amount.to_string(), amount);
    }
}

/// One call: 1,000 fresh text tokens, 8,000 read from the cache, 500 written to it, 700 of visible output, 300 of thought.
#[test]
fn the_same_call_costs_the_same_in_every_shape() {
    let card = "cards: [{input_per_1m: \"3\", output_per_1m: \"15\", cache_read_per_1m: \"0.3\", cache_write_per_1m: \"3.75\"}]";
    let yaml = format!("provider: p\nmodels:\n  - model: m\n    {card}\n");
    let spellings = [
        ("native", json!({"input": 1000, "cache_read": 8000, "cache_write": 500, "output": 700, "reasoning": 300})),
        (
            "openai-chat",
            json!({"prompt_tokens": 9500, "completion_tokens": 1000, "total_tokens": 10500,
                   "prompt_tokens_details": {"cached_tokens": 8000, "cache_write_tokens": 500},
                   "completion_tokens_details": {"reasoning_tokens": 300}}),
        ),
        (
            "openai-responses",
            json!({"input_tokens": 9500, "output_tokens": 1000, "total_tokens": 10500,
                   "input_tokens_details": {"cached_tokens": 8000, "cache_write_tokens": 500},
                   "output_tokens_details": {"reasoning_tokens": 300}}),
        ),
        (
            "anthropic",
            json!({"input_tokens": 1000, "output_tokens": 1000, "cache_read_input_tokens": 8000, "cache_creation_input_tokens": 500,
                   "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 0}}),
        ),
        (
            "bedrock",
            json!({"inputTokens": 1000, "outputTokens": 1000, "totalTokens": 2000, "cacheReadInputTokens": 8000, "cacheWriteInputTokens": 500}),
        ),
        (
            "openrouter",
            json!({"prompt_tokens": 9500, "completion_tokens": 1000, "total_tokens": 10500, "cost": 0.025275, "is_byok": false,
                   "prompt_tokens_details": {"cached_tokens": 8000, "cache_write_tokens": 500},
                   "completion_tokens_details": {"reasoning_tokens": 300}}),
        ),
    ];
    let in_force_now = in_force(&yaml);
    for (shape, usage) in &spellings {
        assert_eq!(priced(&event("p", usage.clone()), &in_force_now).to_string(), "0.022275", "{shape} by its keys");
        if *shape != "native" {
            let named = json!({"shape": shape, "raw": usage});
            assert_eq!(priced(&event("p", named), &in_force_now).to_string(), "0.022275", "{shape} by its name");
        }
    }
    // Gemini has no cache writes to report; the same call without them, there and in a shape that has them.
    let gemini = json!({"promptTokenCount": 9000, "cachedContentTokenCount": 8000, "candidatesTokenCount": 700, "thoughtsTokenCount": 300,
                        "totalTokenCount": 10000});
    let without = json!({"prompt_tokens": 9000, "completion_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 8000}});
    assert_eq!(priced(&event("p", gemini), &in_force_now), priced(&event("p", without), &in_force_now));
}

/// Shapes that are easy to read wrong, each with the disjoint meters that are right.
#[test]
fn usage_blocks_become_disjoint_meters() {
    use Meter::{
        AudioCacheRead, AudioInput, AudioOutput, CacheRead, CacheWrite, CacheWrite1h, ImageInput, Input, Output, Reasoning,
        WebSearch,
    };
    type Row = (&'static str, Value, &'static [(Meter, u64)]);
    let table: [Row; 9] = [
        (
            "openai: cached inside the prompt, audio on both sides",
            json!({"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 20},
                   "completion_tokens_details": {"reasoning_tokens": 10, "audio_tokens": 5}}),
            &[(Input, 50), (CacheRead, 30), (Output, 35), (Reasoning, 10), (AudioInput, 20), (AudioOutput, 5)],
        ),
        (
            "openai realtime: cached audio is both cached and audio",
            json!({"input_tokens": 100, "output_tokens": 0, "input_tokens_details": {"cached_tokens": 60, "audio_tokens": 70,
                   "cached_tokens_details": {"text_tokens": 20, "audio_tokens": 40}}}),
            &[(Input, 10), (CacheRead, 20), (AudioInput, 30), (AudioCacheRead, 40)],
        ),
        (
            "an imitation that counts reasoning beside the completion, as its total says",
            json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 170, "completion_tokens_details": {"reasoning_tokens": 50}}),
            &[(Input, 100), (Output, 20), (Reasoning, 50)],
        ),
        (
            "anthropic: two times to live in one response",
            json!({"input_tokens": 5, "output_tokens": 7, "cache_creation_input_tokens": 30,
                   "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                   "server_tool_use": {"web_search_requests": 2}}),
            &[(Input, 5), (CacheWrite, 10), (CacheWrite1h, 20), (Output, 7), (WebSearch, 2)],
        ),
        (
            "gemini: thoughts beside the candidates, audio partly cached",
            json!({"promptTokenCount": 100, "candidatesTokenCount": 10, "thoughtsTokenCount": 5, "cachedContentTokenCount": 40,
                   "totalTokenCount": 115, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 60}, {"modality": "AUDIO", "tokenCount": 30},
                   {"modality": "IMAGE", "tokenCount": 10}], "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 30},
                   {"modality": "AUDIO", "tokenCount": 10}]}),
            &[
                (Input, 30),
                (CacheRead, 30),
                (Output, 10),
                (Reasoning, 5),
                (AudioInput, 20),
                (AudioCacheRead, 10),
                (ImageInput, 10),
            ],
        ),
        (
            "bedrock: the total may count the cache",
            json!({"inputTokens": 10, "outputTokens": 5, "totalTokens": 65, "cacheReadInputTokens": 20, "cacheWriteInputTokens": 30,
                   "cacheDetails": [{"ttl": "1h", "inputTokens": 12}, {"ttl": "5m", "inputTokens": 18}]}),
            &[(Input, 10), (CacheRead, 20), (CacheWrite, 18), (CacheWrite1h, 12), (Output, 5)],
        ),
        (
            "openrouter in the messages API: disjoint, with a cost",
            json!({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 20, "cost": 0.1, "is_byok": false}),
            &[(Input, 10), (CacheRead, 20), (Output, 5)],
        ),
        ("openai embeddings: no completion", json!({"prompt_tokens": 8, "total_tokens": 8}), &[(Input, 8)]),
        (
            "counts as strings and null details",
            json!({"prompt_tokens": "8", "completion_tokens": 2.0, "prompt_tokens_details": null}),
            &[(Input, 8), (Output, 2)],
        ),
    ];
    for (what, usage, meters) in table {
        let event = native::read(&event("p", usage).to_string(), &context()).unwrap_or_else(|e| panic!("{what}: {e}"));
        let Usage::Counted(quantities) = &event.usage else { panic!("{what}: {:?}", event.usage) };
        assert_eq!(quantities.present().collect::<Vec<_>>(), meters, "{what}");
    }
}

/// Counts that cannot all be true: held with the reason, never repaired.
#[test]
fn contradictions_are_told_and_not_repaired() {
    for (usage, why) in [
        (
            json!({"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 20}}),
            "cached_tokens 20 do not fit into prompt_tokens 10",
        ),
        (
            json!({"prompt_tokens": 10, "completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 5}}),
            "reasoning_tokens 5 do not fit into completion_tokens 1",
        ),
        (
            json!({"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 40}),
            "total_tokens is 40, but the counts add up to 11",
        ),
        (
            json!({"input_tokens": 1, "cache_creation_input_tokens": 10, "cache_creation": {"ephemeral_1h_input_tokens": 4}}),
            "add up to 4",
        ),
        (
            json!({"promptTokenCount": 10, "cachedContentTokenCount": 11}),
            "cachedContentTokenCount 11 do not fit into promptTokenCount 10",
        ),
        (json!({"inputTokens": 10, "outputTokens": 5, "totalTokens": 99}), "totalTokens is 99"),
    ] {
        let event = native::read(&event("p", usage).to_string(), &context()).unwrap();
        let Usage::Contradictory { detail, .. } = &event.usage else { panic!("{why}: {:?}", event.usage) };
        assert!(detail.contains(why), "{detail}");
    }
}
