//! One table of what is met in the field: each row names where it comes from, and says which disjoint meters it is and what it
//! costs by the shipped prices, both worked out by hand. Who gets it wrong elsewhere stands beside it. Numbers behind # are
//! public issues of the program named.

use super::{export, span};
use farthing::catalog::source::own;
use farthing::catalog::{Catalog, shipped};
use farthing::money::Currency;
use farthing::rating::{Rating, rate};
use farthing::time::Instant;
use farthing::usage::dialect::{Context, Dialect, Told};
use farthing::usage::{Usage, UsageEvent};
use serde_json::{Value, json};

/// Where it is from, how it is written, what was sent, the meters, the price.
type Row = (&'static str, Dialect, Value, &'static str, &'static str);

fn native(product: Value, usage: Value) -> Value {
    let mut event = json!({"id": "x", "source": "s", "occurred_at": "2026-11-20T12:00:00Z", "usage": usage});
    event.as_object_mut().unwrap().extend(product.as_object().unwrap().clone());
    event
}

fn openai(usage: Value) -> Value {
    native(json!({"provider": "openai", "model": "gpt-4o"}), usage)
}

fn gemini(usage: Value) -> Value {
    native(json!({"provider": "google", "model": "gemini-2.5-pro"}), usage)
}

fn anthropic(usage: Value) -> Value {
    native(json!({"provider": "anthropic", "model": "claude-sonnet-4-5"}), usage)
}

fn traced(of: Value) -> Value {
    export(json!({}), &[span(1, "a span", of)])
}

fn failed(of: Value) -> Value {
    let mut span = span(1, "a span", of);
    span["status"] = json!({"code": 2});
    export(json!({}), &[span])
}

fn rows() -> Vec<Row> {
    use Dialect::{Helicone, Langfuse, Litellm, Native, Openmeter, Openrouter, Otlp};
    vec![
        // --- counts that include each other, or do not ---
        (
            "litellm#14849: Gemini's cache hits at both rates, four times too much",
            Native,
            gemini(json!({"promptTokenCount": 100_000, "cachedContentTokenCount": 90_000, "candidatesTokenCount": 1_000,
                          "totalTokenCount": 101_000})),
            "input 10000, cache_read 90000, output 1000",
            // 10,000 at 1.25, 90,000 at 0.125, 1,000 at 10.
            "0.03375",
        ),
        (
            "litellm#37407: cached pictures counted as pictures and as cached, 72% too much",
            Native,
            native(
                json!({"provider": "google", "model": "gemini-2.5-pro"}),
                json!({"prompt_tokens": 1_000, "completion_tokens": 10, "total_tokens": 1_010,
                          "prompt_tokens_details": {"text_tokens": 300, "image_tokens": 700, "cached_tokens": 900}}),
            ),
            "cache_read 900, output 10, image_input 100",
            // 900 at 0.125, 100 at 1.25, 10 at 10: of 700 in pictures 600 do not fit beside the cache, so they were in it.
            "0.0003375",
        ),
        (
            "litellm#18599: visible output dropped where reasoning is counted",
            Native,
            native(
                json!({"provider": "openai", "model": "o3"}),
                json!({"prompt_tokens": 500, "completion_tokens": 1_000, "total_tokens": 1_500,
                          "completion_tokens_details": {"reasoning_tokens": 600}}),
            ),
            "input 500, output 400, reasoning 600",
            // 500 at 2, 1,000 at 8.
            "0.009",
        ),
        (
            "langfuse#10592: OpenAI's input shown and priced with its cache inside, twice",
            Otlp,
            traced(json!({"langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-4o",
                          "gen_ai.system": "openai", "langfuse.observation.usage_details":
                          r#"{"prompt_tokens":10000,"completion_tokens":1000,"total_tokens":11000,"prompt_tokens_details":{"cached_tokens":8000}}"#})),
            "input 2000, cache_read 8000, output 1000",
            // 2,000 at 2.5, 8,000 at 1.25, 1,000 at 10.
            "0.025",
        ),
        (
            "langfuse#5568: OpenRouter's cache inside the input although Langfuse's rule says beside it; its total gives it away",
            Otlp,
            traced(json!({"langfuse.observation.type": "generation", "langfuse.observation.model.name": "openai/gpt-4o",
                          "gen_ai.system": "openrouter", "langfuse.observation.usage_details":
                          r#"{"input":10000,"cache_read_input_tokens":9000,"output":500,"total":10500}"#})),
            "total is 10500, but the counts add up to 19500",
            "held",
        ),
        (
            "bifrost#904: cached tokens at the full price, five times too much",
            Native,
            openai(json!({"prompt_tokens": 100_000, "completion_tokens": 500, "total_tokens": 100_500,
                          "prompt_tokens_details": {"cached_tokens": 90_000}})),
            "input 10000, cache_read 90000, output 500",
            // 10,000 at 2.5, 90,000 at 1.25, 500 at 10.
            "0.1425",
        ),
        (
            "latitude#4051: cached and reasoning added on top of their totals, 0.178 and 0.248 instead of 0.108",
            Native,
            openai(json!({"input_tokens": 10_000, "input_tokens_details": {"cached_tokens": 8_000}, "output_tokens": 1_000,
                          "output_tokens_details": {"reasoning_tokens": 800}, "total_tokens": 11_000})),
            "input 2000, cache_read 8000, output 200, reasoning 800",
            "0.025",
        ),
        (
            "new-api#7229: the pictures of a cache hit billed again at the full rate",
            Native,
            gemini(json!({"promptTokenCount": 1_000, "cachedContentTokenCount": 800, "totalTokenCount": 1_000,
                          "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 400}, {"modality": "IMAGE", "tokenCount": 600}],
                          "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 300}, {"modality": "IMAGE", "tokenCount": 500}]})),
            "input 100, cache_read 800, image_input 100",
            // 100 and 100 at 1.25, 800 at 0.125.
            "0.00035",
        ),
        (
            "DeepSeek, Moonshot and those that imitate them: the cache's hits next to the prompt that includes them",
            Native,
            openai(json!({"prompt_tokens": 10_000, "completion_tokens": 1_000, "total_tokens": 11_000,
                          "prompt_cache_hit_tokens": 8_000, "prompt_cache_miss_tokens": 2_000})),
            "input 2000, cache_read 8000, output 1000",
            "0.025",
        ),
        (
            "the same as a bare count, with the totals under both names",
            Native,
            openai(json!({"prompt_tokens": 10_000, "completion_tokens": 1_000, "total_tokens": 11_000, "cached_tokens": 8_000,
                          "input_tokens": 10_000, "output_tokens": 1_000})),
            "input 2000, cache_read 8000, output 1000",
            "0.025",
        ),
        (
            "Anthropic behind an imitation of OpenAI: the total includes the cache once, so it is inside the prompt",
            Native,
            anthropic(json!({"prompt_tokens": 10_000, "completion_tokens": 100, "total_tokens": 10_100,
                             "cache_read_input_tokens": 9_000, "cache_creation_input_tokens": 900})),
            "input 100, cache_read 9000, cache_write 900, output 100",
            "0.007875",
        ),
        (
            "the same with a total that has the cache beside the prompt",
            Native,
            anthropic(json!({"prompt_tokens": 100, "completion_tokens": 100, "total_tokens": 10_100,
                             "cache_read_input_tokens": 9_000, "cache_creation_input_tokens": 900})),
            "input 100, cache_read 9000, cache_write 900, output 100",
            "0.007875",
        ),
        (
            "the same without a total: either could be meant",
            Native,
            anthropic(json!({"prompt_tokens": 10_000, "completion_tokens": 100, "cache_read_input_tokens": 9_000})),
            "9000 tokens of the cache stand beside prompt_tokens 10000, and no total says whether it includes them",
            "held",
        ),
        (
            "OpenAI's realtime API, whose details are in the singular",
            Native,
            openai(json!({"input_tokens": 10_000, "input_token_details": {"text_tokens": 10_000, "cached_tokens": 8_000},
                          "output_tokens": 1_000, "output_token_details": {"text_tokens": 1_000}, "total_tokens": 11_000})),
            "input 2000, cache_read 8000, output 1000",
            "0.025",
        ),
        (
            "LangChain's usage metadata: the cache is inside the input",
            Native,
            anthropic(json!({"input_tokens": 10_000, "output_tokens": 100, "total_tokens": 10_100,
                             "input_token_details": {"cache_read": 9_000, "cache_creation": 900}})),
            "input 100, cache_read 9000, cache_write 900, output 100",
            "0.007875",
        ),
        (
            "the usage of Vercel's AI SDK 5, spelled like Bedrock's and nested like OpenAI's",
            Native,
            openai(json!({"inputTokens": 10_000, "outputTokens": 1_000, "totalTokens": 11_000, "cachedInputTokens": 8_000,
                          "reasoningTokens": 600})),
            "input 2000, cache_read 8000, output 400, reasoning 600",
            "0.025",
        ),
        (
            "the usage of Vercel's AI SDK 6",
            Native,
            anthropic(json!({"inputTokens": 10_000, "outputTokens": 100, "totalTokens": 10_100,
                             "inputTokenDetails": {"noCacheTokens": 100, "cacheReadTokens": 9_000, "cacheWriteTokens": 900},
                             "outputTokenDetails": {"textTokens": 100, "reasoningTokens": 0}, "cachedInputTokens": 9_000})),
            "input 100, cache_read 9000, cache_write 900, output 100",
            "0.007875",
        ),
        (
            "Anthropic without a cache, known by its server tools",
            Native,
            anthropic(json!({"input_tokens": 1_000, "output_tokens": 100, "server_tool_use": {"web_search_requests": 2}})),
            "input 1000, output 100, web_search 2",
            // 1,000 at 3, 100 at 15, two at 0.01.
            "0.0245",
        ),
        (
            "a sub-count that nobody here knows: billed as text it would be a guess",
            Native,
            openai(json!({"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100,
                          "prompt_tokens_details": {"smell_tokens": 500, "text_tokens": 500}})),
            "nobody knows what smell_tokens counts, or what it is part of",
            "held",
        ),
        (
            "the same beside Anthropic's counts",
            Native,
            anthropic(json!({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 0, "cache_creation":
                             {"ephemeral_5m_input_tokens": 0, "ephemeral_24h_input_tokens": 900}})),
            "nobody knows what ephemeral_24h_input_tokens counts, or what it is part of",
            "held",
        ),
        (
            "the same beside Gemini's",
            Native,
            gemini(json!({"promptTokenCount": 10, "totalTokenCount": 10, "audioTokenCount": 7})),
            "nobody knows what audioTokenCount counts, or what it is part of",
            "held",
        ),
        (
            "the same beside Bedrock's",
            Native,
            anthropic(json!({"inputTokens": 10, "outputTokens": 5, "smellTokens": 7})),
            "nobody knows what smellTokens counts, or what it is part of",
            "held",
        ),
        // --- dimensions of a price, by what served ---
        (
            "litellm#42663: a streamed call with server tools priced by its first cache write, 20 to 60% too little",
            Native,
            anthropic(json!({"input_tokens": 10, "output_tokens": 500, "cache_creation_input_tokens": 3_000,
                             "cache_creation": {"ephemeral_5m_input_tokens": 2_000, "ephemeral_1h_input_tokens": 1_000},
                             "server_tool_use": {"web_search_requests": 2}})),
            "input 10, cache_write 2000, cache_write_1h 1000, output 500, web_search 2",
            // 10 at 3, 2,000 at 3.75, 1,000 at 6, 500 at 15, two at 0.01.
            "0.04103",
        ),
        (
            "Helicone#5766: cache writes beyond 200,000 at the lower rate, half of the price",
            Helicone,
            json!({"providerRequest": {"url": "https://api.anthropic.com/v1/messages", "json": {"model": "claude-sonnet-4-5"}, "meta": {}},
                   "providerResponse": {"status": 200, "json": {"id": "msg_1", "model": "claude-sonnet-4-5-20250929",
                       "usage": {"input_tokens": 150_000, "cache_creation_input_tokens": 100_000, "output_tokens": 1_000}}},
                   "timing": {"startTime": {"seconds": 1_769_904_000, "milliseconds": 5}}}),
            "input 150000, cache_write 100000, output 1000",
            // In February 2026: 150,000 at 6, 100,000 at 7.5, 1,000 at 22.5.
            "1.6725",
        ),
        (
            "litellm#37046: the priority tier of a dated model billed as the default one",
            Otlp,
            traced(
                json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.response.model": "gpt-4o-2024-08-06",
                          "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100, "openai.response.service_tier": "priority"}),
            ),
            "input 1000, output 100",
            // 1,000 at 4.25, 100 at 17.
            "0.00595",
        ),
        (
            "litellm#31837: priority asked for, default served, priority billed",
            Otlp,
            traced(json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.response.model": "gpt-4o",
                          "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100,
                          "openai.request.service_tier": "priority", "openai.response.service_tier": "default"})),
            "input 1000, output 100",
            "0.0035",
        ),
        (
            "litellm#13810: flex ignored, twice too much",
            Native,
            native(
                json!({"provider": "openai", "model": "gpt-5.4", "service_tier": "flex"}),
                json!({"input": 100_000, "output": 1_000}),
            ),
            "input 100000, output 1000",
            "0.1325",
        ),
        (
            "opik#6982, ruby_llm#859: the long-context rates dropped on import",
            Native,
            gemini(json!({"promptTokenCount": 300_000, "cachedContentTokenCount": 100_000, "candidatesTokenCount": 2_000,
                          "totalTokenCount": 302_000})),
            "input 200000, cache_read 100000, output 2000",
            // 200,000 at 2.5, 100,000 at 0.25, 2,000 at 15.
            "0.555",
        ),
        (
            "claude-code-hub#869: only what is beyond the threshold at the higher rate, where the whole request has it",
            Native,
            native(
                json!({"provider": "openai", "model": "gpt-5.4"}),
                json!({"prompt_tokens": 300_000, "completion_tokens": 1_000, "total_tokens": 301_000}),
            ),
            "input 300000, output 1000",
            "1.5225",
        ),
        (
            "pi#5603, daiv#1159: an hour's cache write at the price of five minutes",
            Native,
            anthropic(json!({"input_tokens": 10_000, "cache_read_input_tokens": 90_000, "cache_creation_input_tokens": 10_000,
                             "cache_creation": {"ephemeral_1h_input_tokens": 10_000, "ephemeral_5m_input_tokens": 0}, "output_tokens": 1_000})),
            "input 10000, cache_read 90000, cache_write_1h 10000, output 1000",
            "0.132",
        ),
        (
            "Anthropic's fast answers at the ordinary price, a sixth of theirs",
            Native,
            anthropic(json!({"input_tokens": 1_000, "output_tokens": 100, "cache_read_input_tokens": 0, "speed": "fast",
                             "inference_geo": "not_available"})),
            "input 1000, output 100",
            "no rate card for anthropic/claude-sonnet-4-5 in variant fast; publish one",
        ),
        (
            "Anthropic's inference in one country, of a model that costs the same everywhere",
            Native,
            anthropic(json!({"input_tokens": 1_000, "output_tokens": 100, "cache_read_input_tokens": 0, "speed": "standard",
                             "inference_geo": "us"})),
            "input 1000, output 100",
            // 1,000 at 3, 100 at 15.
            "0.0045",
        ),
        (
            "Vertex's provisioned throughput, which is paid already, at the price on demand",
            Native,
            gemini(json!({"promptTokenCount": 1_000, "candidatesTokenCount": 100, "totalTokenCount": 1_100,
                          "trafficType": "PROVISIONED_THROUGHPUT"})),
            "input 1000, output 100",
            "no rate card for google/gemini-2.5-pro in service tier provisioned; publish one, so that it is not charged as standard by mistake",
        ),
        (
            "Vertex on demand",
            Native,
            gemini(
                json!({"promptTokenCount": 1_000, "candidatesTokenCount": 100, "totalTokenCount": 1_100, "trafficType": "ON_DEMAND"}),
            ),
            "input 1000, output 100",
            // 1,000 at 1.25, 100 at 10.
            "0.00225",
        ),
        // --- what clients send ---
        (
            "LiteLLM's callback: prompt_tokens includes the cache also where Anthropic's own count does not",
            Litellm,
            json!({"id": "msg_1", "litellm_call_id": "c1", "call_type": "acompletion", "status": "success", "custom_llm_provider": "anthropic",
                   "model": "claude-sonnet-4-5", "startTime": 1_790_812_800.25, "response_cost": 0.99,
                   "metadata": {"usage_object": {"prompt_tokens": 10_000, "completion_tokens": 100, "total_tokens": 10_100,
                       "cache_read_input_tokens": 9_000, "cache_creation_input_tokens": 900}}}),
            "input 100, cache_read 9000, cache_write 900, output 100",
            // 100 at 3, 9,000 at 0.3, 900 at 3.75, 100 at 15.
            "0.007875",
        ),
        (
            "LiteLLM's exporter for OpenMeter: totals only, and its own cost",
            Openmeter,
            json!({"specversion": "1.0", "id": "c1", "type": "litellm_tokens", "source": "litellm-proxy", "subject": "ann",
                   "time": "2026-10-01T00:00:00Z", "data": {"model": "gpt-4o-mini", "cost": 7.5, "prompt_tokens": 1_000,
                   "completion_tokens": 200, "total_tokens": 1_200}}),
            "input 1000, output 200",
            // 1,000 at 0.15, 200 at 0.6; the cost is a claim.
            "0.00027",
        ),
        (
            "OpenMeter's own example: an event for every kind of tokens",
            Openmeter,
            json!({"specversion": "1.0", "id": "c2", "type": "prompt", "source": "app", "time": "2026-10-01T00:00:00Z",
                   "data": {"tokens": "1000", "model": "gpt-4o", "provider": "openai", "type": "output"}}),
            "output 1000",
            "0.01",
        ),
        (
            "a CloudEvent to OpenMeter of something that is no call",
            Openmeter,
            json!({"specversion": "1.0", "id": "c3", "type": "workflow", "source": "app", "data": {"tokens": 7, "type": "magic"}}),
            "7 tokens of the type magic have no meter",
            "held",
        ),
        (
            "a native event as the data of a CloudEvent to OpenMeter",
            Openmeter,
            json!({"specversion": "1.0", "id": "c4", "type": "usage", "source": "app", "time": "2026-10-01T00:00:00Z",
                   "data": {"provider": "openai", "model": "gpt-4o", "usage": {"input": 100, "output": 10}}}),
            "input 100, output 10",
            "0.00035",
        ),
        (
            "Langfuse's older batch, in which the input excludes what its other keys count",
            Langfuse,
            json!({"batch": [{"id": "e1", "type": "generation-create", "timestamp": "2026-10-01T00:00:00Z", "body": {"id": "g1",
                   "startTime": "2026-10-01T00:00:00Z", "model": "gpt-4o", "metadata": {"provider": "openai"},
                   "usageDetails": {"input": 2_000, "input_cached_tokens": 8_000, "output": 400, "output_reasoning_tokens": 600, "total": 11_000}}}]}),
            "input 2000, cache_read 8000, output 400, reasoning 600",
            "0.025",
        ),
        (
            "Helicone's log of a stream of Anthropic's: the input at its beginning, the output at its end",
            Helicone,
            json!({"providerRequest": {"url": "https://api.anthropic.com/v1/messages", "json": {"model": "claude-sonnet-4-5"}, "meta": {}},
                   "providerResponse": {"status": 200, "textBody": concat!(
                       "event: message_start\n",
                       r#"data: {"type":"message_start","message":{"id":"msg_2","model":"claude-sonnet-4-5","usage":{"input_tokens":100,"cache_read_input_tokens":9000,"output_tokens":1}}}"#,
                       "\n\nevent: message_delta\n",
                       r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":50}}"#,
                       "\n\ndata: [DONE]\n")},
                   "timing": {"startTime": {"seconds": 1_790_812_800, "milliseconds": 0}}}),
            "input 100, cache_read 9000, output 50",
            // 100 at 3, 9,000 at 0.3, 50 at 15.
            "0.00375",
        ),
        (
            "Helicone's own logger of a stream: `json` without fields, and the chunks as lines of a text",
            Helicone,
            json!({"providerRequest": {"url": "custom-model-nopath", "json": {"model": "gpt-4o", "stream": true}, "meta": {}},
                   "providerResponse": {"status": 200, "headers": {}, "json": {}, "textBody": concat!(
                       r#"{"id":"chatcmpl-8","object":"chat.completion.chunk","model":"gpt-4o","choices":[{"delta":{"content":"x"}}],"usage":null}"#,
                       "\n",
                       r#"{"id":"chatcmpl-8","object":"chat.completion.chunk","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}"#)},
                   "timing": {"startTime": {"seconds": 1_790_812_800, "milliseconds": 0}}}),
            "input 1000, output 100",
            "0.0035",
        ),
        (
            "Helicone's own logger, which writes no address",
            Helicone,
            json!({"providerRequest": {"url": "custom-model-nopath", "json": {"model": "gpt-4o"}, "meta": {}},
                   "providerResponse": {"status": 200, "json": {"id": "chatcmpl-9", "usage": {"prompt_tokens": 1_000, "completion_tokens": 100}}},
                   "timing": {"startTime": {"seconds": 1_790_812_800, "milliseconds": 0}}}),
            "input 1000, output 100",
            "0.0035",
        ),
        (
            "Helicone's log of Gemini, whose model is in the address",
            Helicone,
            json!({"providerRequest": {"url": "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent", "json": {}, "meta": {}},
                   "providerResponse": {"status": 200, "json": {"responseId": "r1", "usageMetadata": {"promptTokenCount": 1_000,
                       "candidatesTokenCount": 100, "thoughtsTokenCount": 400, "totalTokenCount": 1_500}}},
                   "timing": {"startTime": {"seconds": 1_790_812_800, "milliseconds": 0}}}),
            "input 1000, output 100, reasoning 400",
            // 1,000 at 1.25, 500 at 10.
            "0.00625",
        ),
        (
            "Langfuse's SDK, which sends no provider: a bare name is its maker's",
            Otlp,
            traced(json!({"langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-4o-mini",
                          "langfuse.observation.usage_details": r#"{"input":1000,"output":200,"cache_read_input_tokens":8000}"#,
                          "langfuse.observation.cost_details": r#"{"total":0.5}"#})),
            "input 1000, cache_read 8000, output 200",
            // 1,000 at 0.15, 8,000 at 0.075, 200 at 0.6.
            "0.00087",
        ),
        (
            "Vercel's AI SDK 7: the input includes what was read from and written to the cache",
            Otlp,
            traced(
                json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5",
                          "gen_ai.response.id": "msg_3", "gen_ai.usage.input_tokens": 10_000, "gen_ai.usage.output_tokens": 100,
                          "gen_ai.usage.cache_read.input_tokens": 9_000, "gen_ai.usage.cache_creation.input_tokens": 900}),
            ),
            "input 100, cache_read 9000, cache_write 900, output 100",
            "0.007875",
        ),
        (
            "Vercel's AI SDK 5 with Anthropic, whose own block it passes on: the cache beside the input, an hour's writes apart",
            Otlp,
            traced(
                json!({"ai.operationId": "ai.streamText.doStream", "ai.model.provider": "anthropic.messages", "ai.model.id": "claude-sonnet-4-5",
                          "ai.usage.inputTokens": 100, "ai.usage.outputTokens": 100, "ai.usage.cachedInputTokens": 9_000,
                          "ai.response.providerMetadata": r#"{"anthropic":{"usage":{"input_tokens":100,"cache_read_input_tokens":9000,"cache_creation_input_tokens":900,"cache_creation":{"ephemeral_1h_input_tokens":900,"ephemeral_5m_input_tokens":0},"output_tokens":100}}}"#}),
            ),
            "input 100, cache_read 9000, cache_write_1h 900, output 100",
            // 100 at 3, 9,000 at 0.3, 900 at 6, 100 at 15.
            "0.0099",
        ),
        (
            "Vercel's AI SDK 5 without that block: the sub-count is larger than the count",
            Otlp,
            traced(
                json!({"ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "anthropic.messages", "ai.model.id": "claude-sonnet-4-5",
                          "ai.usage.inputTokens": 100, "ai.usage.outputTokens": 100, "ai.usage.cachedInputTokens": 9_000}),
            ),
            "cached_tokens 9000 do not fit into prompt_tokens 100",
            "held",
        ),
        (
            "Vercel's AI SDK 4",
            Otlp,
            traced(
                json!({"ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "openai.chat", "ai.model.id": "gpt-4o",
                          "gen_ai.system": "openai.chat", "ai.usage.promptTokens": 1_000, "ai.usage.completionTokens": 100}),
            ),
            "input 1000, output 100",
            "0.0035",
        ),
        (
            "Vercel's AI SDK, embeddings",
            Otlp,
            traced(
                json!({"ai.operationId": "ai.embedMany.doEmbed", "ai.model.provider": "openai.embedding", "ai.model.id": "text-embedding-3-small",
                          "ai.usage.tokens": 1_000_000}),
            ),
            "input 1000000",
            "0.02",
        ),
        (
            "OpenInference",
            Otlp,
            traced(
                json!({"openinference.span.kind": "LLM", "llm.provider": "openai", "llm.model_name": "gpt-4o", "llm.token_count.prompt": 10_000,
                          "llm.token_count.prompt_details.cache_read": 8_000, "llm.token_count.completion": 1_000, "llm.token_count.total": 11_000}),
            ),
            "input 2000, cache_read 8000, output 1000",
            "0.025",
        ),
        (
            "OpenInference before it named providers; a call that was answered 429 after it had begun is owed all the same",
            Otlp,
            failed(
                json!({"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.token_count.prompt": 1_000, "error.type": "429"}),
            ),
            "input 1000",
            "0.0025",
        ),
        (
            "a call that was turned away",
            Otlp,
            failed(
                json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o", "error.type": "429"}),
            ),
            "missing",
            "0",
        ),
        (
            "Traceloop, whose spans name no operation but a kind of request",
            Otlp,
            traced(
                json!({"llm.request.type": "chat", "gen_ai.system": "OpenAI", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.prompt_tokens": 1_000,
                          "gen_ai.usage.completion_tokens": 100, "llm.usage.total_tokens": 1_100}),
            ),
            "input 1000, output 100",
            "0.0035",
        ),
        (
            "PromptKit: its input is what was not cached, its cost a claim",
            Otlp,
            traced(json!({"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o",
                          "gen_ai.usage.input_tokens": 400, "gen_ai.usage.output_tokens": 340, "promptkit.provider.cost": 0.99})),
            "input 400, output 340",
            // 400 at 2.5, 340 at 10.
            "0.0044",
        ),
        (
            "the OpenAI SDK pointed at OpenRouter: the address knows better than the library",
            Otlp,
            traced(json!({"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "server.address": "openrouter.ai",
                          "gen_ai.response.model": "openai/gpt-4o", "gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 100})),
            "input 1000, output 100",
            "0.0035",
        ),
        (
            "lean-ctx#746, freebuff#1164, PageSpace#1561: OpenRouter's cost and upstream cost added together, twice",
            Openrouter,
            json!({"id": "gen-1788000000-abc", "model": "openai/gpt-5.6-sol", "provider": "OpenAI", "created": 1_790_812_800, "service_tier": null,
                   "usage": {"prompt_tokens": 24_794, "completion_tokens": 7_493, "total_tokens": 32_287, "cost": 0.1369135, "is_byok": false,
                       "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 24_791},
                       "cost_details": {"upstream_inference_cost": 0.1369135}, "completion_tokens_details": {"reasoning_tokens": 3_723}}}),
            "input 3, cache_write 24791, output 3770, reasoning 3723",
            "0.1369135",
        ),
        (
            "forgecode#1641: with the caller's own key OpenRouter's cost is 0, and the upstream's charge is the money",
            Openrouter,
            json!({"id": "gen-2", "model": "openai/gpt-4o", "created": 1_790_812_800, "usage": {"prompt_tokens": 1_000, "completion_tokens": 100,
                   "total_tokens": 1_100, "cost": 0, "is_byok": true, "cost_details": {"upstream_inference_cost": 0.0035}}}),
            "input 1000, output 100",
            "0.0035",
        ),
        (
            "litellm#38507: the cost in a usage block of the Responses API, read nowhere: 760 rows of 0",
            Openrouter,
            json!({"id": "gen-3", "object": "response", "model": "openai/gpt-4o", "created_at": 1_790_812_800, "usage": {"input_tokens": 1_000,
                   "input_tokens_details": {"cached_tokens": 400}, "output_tokens": 100, "output_tokens_details": {"reasoning_tokens": 0},
                   "total_tokens": 1_100, "cost": 0.0041}}),
            "input 600, cache_read 400, output 100",
            "0.0041",
        ),
        (
            "OpenRouter's Messages API is disjoint where its others are not",
            Openrouter,
            json!({"id": "gen-4", "type": "message", "model": "anthropic/claude-sonnet-4.5", "usage": {"input_tokens": 100,
                   "cache_creation_input_tokens": 900, "cache_read_input_tokens": 9_000, "output_tokens": 100, "cost": 0.01}}),
            "input 100, cache_read 9000, cache_write 900, output 100",
            "0.01",
        ),
        (
            "OpenRouter's video, which has a cost and no tokens",
            Openrouter,
            json!({"id": "gen-10", "model": "google/veo-3.1", "created": 1_790_812_800, "usage": {"cost": 0.5, "is_byok": false}}),
            "missing",
            "0.5",
        ),
        (
            "OpenRouter's speech, by the second",
            Openrouter,
            json!({"id": "gen-11", "model": "openai/whisper-1", "created": 1_790_812_800, "usage": {"seconds": 30, "cost": 0.003}}),
            "missing",
            "0.003",
        ),
        (
            "a response of OpenRouter's whose counts do not fit: what was charged decides",
            Openrouter,
            json!({"id": "gen-12", "model": "openai/gpt-4o", "created": 1_790_812_800, "usage": {"prompt_tokens": 10, "completion_tokens": 5,
                   "total_tokens": 99, "cost": 0.25}}),
            "missing",
            "0.25",
        ),
        (
            "the event that ends a Responses stream, with the response inside",
            Openrouter,
            json!({"type": "response.completed", "sequence_number": 9, "response": {"id": "gen-13", "object": "response", "model": "openai/gpt-4o",
                   "created_at": 1_790_812_800, "usage": {"input_tokens": 1_000, "input_tokens_details": {"cached_tokens": 400}, "output_tokens": 100,
                   "total_tokens": 1_100, "cost": 0.0041}}}),
            "input 600, cache_read 400, output 100",
            "0.0041",
        ),
        (
            "a Broadcast whose counts do not fit: what was charged decides",
            Otlp,
            export(
                json!({"service.name": "openrouter"}),
                &[span(
                    1,
                    "LLM Generation",
                    json!({"gen_ai.response.id": "gen-14", "gen_ai.response.model": "openai/gpt-4o", "gen_ai.usage.input_tokens": 10,
                           "gen_ai.usage.input_tokens.cached": 20, "gen_ai.usage.output_tokens": 5, "gen_ai.usage.total_cost": 0.25}),
                )],
            ),
            "missing",
            "0.25",
        ),
        (
            "OpenRouter's record of a stream that was broken off and charged all the same; its normalised counts are an estimate",
            Openrouter,
            json!({"data": {"id": "gen-5", "created_at": "2026-10-01T00:00:00.000Z", "model": "mistralai/mistral-small", "total_cost": 0.00003452,
                   "usage": 0.00003452, "is_byok": false, "tokens_prompt": 57, "tokens_completion": 80, "native_tokens_prompt": 64,
                   "native_tokens_completion": 98, "native_tokens_reasoning": 0, "native_tokens_cached": 0, "cancelled": true, "finish_reason": null}}),
            "input 64, output 98",
            // 64 at 0.08 and 98 at 0.30 per million.
            "0.00003452",
        ),
        (
            "a record of OpenRouter's whose counts do not fit: what was charged decides",
            Openrouter,
            json!({"id": "gen-6", "created_at": "2026-10-01T00:00:00.000000+00:00", "model": "openai/gpt-4o", "total_cost": "0.5", "is_byok": false,
                   "native_tokens_prompt": 10, "native_tokens_cached": 20, "native_tokens_completion": 5}),
            "missing",
            "0.5",
        ),
        (
            "OpenRouter's Broadcast, as documented",
            Otlp,
            export(
                json!({"service.name": "openrouter"}),
                &[span(
                    1,
                    "LLM Generation",
                    json!({"gen_ai.response.id": "gen-7",
                   "gen_ai.response.model": "openai/gpt-5.4-nano", "gen_ai.usage.input_tokens": 13, "gen_ai.usage.output_tokens": 5,
                   "gen_ai.usage.total_cost": 0.00000885, "trace.metadata.tenant": "acme", "trace.metadata.openrouter_generation.usage_cache": 0}),
                )],
            ),
            "input 13, output 5",
            // 13 at 0.2, 5 at 1.25.
            "0.00000885",
        ),
        (
            "Broadcast with cache writes by time to live, searches, and the caller's own key",
            Openrouter,
            export(
                json!({"service.name": "openrouter"}),
                &[span(
                    1,
                    "LLM Generation",
                    json!({"span.type": "generation", "gen_ai.response.id": "gen-8",
                   "gen_ai.response.model": "anthropic/claude-sonnet-4.5", "gen_ai.usage.input_tokens": 10_000,
                   "gen_ai.usage.input_tokens.cached": 9_000, "gen_ai.usage.output_tokens": 100, "gen_ai.usage.output_tokens.reasoning": 30,
                   "gen_ai.usage.total_cost": 0.002, "trace.metadata.openrouter_generation.cache_write_tokens": 900,
                   "trace.metadata.openrouter_generation.cache_creation": r#"{"ephemeral_5m_input_tokens":600,"ephemeral_1h_input_tokens":300}"#,
                   "trace.metadata.openrouter_generation.native_server_tool_use": r#"{"web_search_requests":2}"#,
                   "trace.metadata.openrouter_generation.is_byok": true, "trace.metadata.openrouter_generation.usage": 0.002,
                   "trace.metadata.openrouter_generation.byok_usage_inference": 0.04}),
                )],
            ),
            "input 100, cache_read 9000, cache_write 600, cache_write_1h 300, output 70, reasoning 30, web_search 2",
            // The upstream's charge and the router's fee.
            "0.042",
        ),
        (
            "OpenRouter's response to a question for embeddings, which has no output and no time",
            Openrouter,
            json!({"id": "gen-emb-1", "object": "list", "model": "openai/text-embedding-3-small", "provider": "OpenAI",
                   "data": [{"object": "embedding", "index": 0, "embedding": [0.01, -0.02]}],
                   "usage": {"prompt_tokens": 8_000, "total_tokens": 8_000, "cost": 0.00016}}),
            "input 8000",
            // 8,000 at 0.02.
            "0.00016",
        ),
        (
            "the same where a part of it was in pictures",
            Openrouter,
            json!({"id": "gen-emb-2", "object": "list", "model": "openai/text-embedding-3-small", "data": [],
                   "usage": {"prompt_tokens": 1_000, "total_tokens": 1_000, "prompt_tokens_details": {"image_tokens": 400}, "cost": 0.00005}}),
            "input 600, image_input 400",
            "0.00005",
        ),
        // --- spellings of the same in spans, as langfuse's mapper has seen them ---
        (
            "gen_ai.usage.cost is what an SDK computed, 250 times too much here; it is claimed and never booked",
            Otlp,
            traced(json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.response.model": "gpt-4o",
                          "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100, "gen_ai.usage.cost": 0.875})),
            "input 1000, output 100",
            // 1,000 at 2.5, 100 at 10.
            "0.0035",
        ),
        (
            "llm.cost.total beside OpenInference's counts",
            Otlp,
            traced(json!({"openinference.span.kind": "LLM", "llm.provider": "openai", "llm.model_name": "gpt-4o",
                          "llm.token_count.prompt": 10_000, "llm.token_count.prompt_details.cache_read": 8_000,
                          "llm.token_count.completion": 1_000, "llm.token_count.total": 11_000, "llm.cost.total": 0.035})),
            "input 2000, cache_read 8000, output 1000",
            "0.025",
        ),
        (
            "cache_read_tokens and cache_write_tokens, inside of the input",
            Otlp,
            traced(
                json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.response.model": "claude-sonnet-4-5",
                          "gen_ai.usage.input_tokens": 10_000, "gen_ai.usage.cache_read_tokens": 9_000,
                          "gen_ai.usage.cache_write_tokens": 900, "gen_ai.usage.output_tokens": 100}),
            ),
            "input 100, cache_read 9000, cache_write 900, output 100",
            // 100 at 3, 9,000 at 0.3, 900 at 3.75, 100 at 15.
            "0.007875",
        ),
        (
            "details.*, as pydantic-ai writes what the conventions have no name for",
            Otlp,
            traced(
                json!({"gen_ai.operation.name": "chat", "gen_ai.system": "anthropic", "gen_ai.response.model": "claude-sonnet-4-5",
                          "gen_ai.usage.input_tokens": 10_000, "gen_ai.usage.details.cache_read_tokens": 9_000,
                          "gen_ai.usage.details.cache_write_tokens": 900, "gen_ai.usage.output_tokens": 100,
                          "gen_ai.usage.details.reasoning_tokens": 60}),
            ),
            "input 100, cache_read 9000, cache_write 900, output 40, reasoning 60",
            "0.007875",
        ),
        (
            "details.* of speech",
            Otlp,
            traced(
                json!({"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.response.model": "gpt-4o-audio-preview",
                          "gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.details.input_audio_tokens": 400,
                          "gen_ai.usage.output_tokens": 300, "gen_ai.usage.details.output_audio_tokens": 250}),
            ),
            "input 600, output 50, audio_input 400, audio_output 250",
            // 600 at 2.5, 50 at 10, 400 at 40, 250 at 80.
            "0.038",
        ),
    ]
}

#[test]
fn every_block_is_taken_apart_and_priced() {
    let catalog = Catalog::build(shipped::FILES.iter().flat_map(|(_, text)| own::read(text).unwrap())).unwrap();
    let received_at = Instant::parse("2026-11-21T00:00:00Z").unwrap();
    let context = Context { received_at, source: None, strict: false };
    let mut wrong = Vec::new();
    for (from, dialect, sent, meters, price) in rows() {
        let sent = sent.to_string();
        let pieces = dialect.cut(&sent).unwrap();
        let told: Vec<Told> =
            pieces.iter().map(|piece| dialect.read(piece, &context).unwrap_or_else(|e| panic!("{from}: {e}"))).collect();
        let [event] = told.into_iter().filter_map(Told::into_event).collect::<Vec<_>>().try_into().unwrap();
        let found = match &event.usage {
            Usage::Counted(counts) => {
                counts.present().map(|(meter, count)| format!("{} {count}", meter.name())).collect::<Vec<_>>().join(", ")
            }
            Usage::Contradictory { detail, .. } => detail.clone(),
            Usage::Missing => "missing".to_owned(),
        };
        let costs = match rate(&event, &catalog) {
            Rating::Rated(rated) => rated.amount.to_string(),
            Rating::Unpriced(_) if matches!(event.usage, Usage::Contradictory { .. }) => "held".to_owned(),
            Rating::Unpriced(unpriced) => unpriced.to_string(),
        };
        if (found.as_str(), costs.as_str()) != (meters, price) {
            wrong.push(format!("{from}\n  expected {meters} = {price}\n  found    {found} = {costs}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What one span says, without its price.
fn told_of(of: Value) -> UsageEvent {
    let context = Context { received_at: Instant::parse("2026-11-21T00:00:00Z").unwrap(), source: None, strict: false };
    let sent = traced(of).to_string();
    let [piece] = Dialect::Otlp.cut(&sent).unwrap().try_into().unwrap();
    Dialect::Otlp.read(&piece, &context).unwrap().into_event().unwrap()
}

/// Ten thousand tokens in and a thousand out, each under every name that an instrumentation has for it.
#[test]
fn every_spelling_of_a_count_means_the_same() {
    let read = [
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "gen_ai.usage.cache_read_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
    ];
    let written = [
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "llm.token_count.prompt_details.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
    ];
    let reasoning = [
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "llm.usage.reasoning_tokens",
        "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
    ];
    let heard = ["llm.token_count.prompt_details.audio", "gen_ai.usage.details.input_audio_tokens"];
    let spoken = ["llm.token_count.completion_details.audio", "gen_ai.usage.details.output_audio_tokens"];
    let families: [(&[&str], &str); 5] = [
        (&read, "input 3000, cache_read 7000, output 1000"),
        (&written, "input 3000, cache_write 7000, output 1000"),
        (&reasoning, "input 10000, output 400, reasoning 600"),
        (&heard, "input 3000, output 1000, audio_input 7000"),
        (&spoken, "input 10000, output 400, audio_output 600"),
    ];
    let meters = |event: &UsageEvent| {
        let counts = event.quantities().unwrap_or_else(|| panic!("{:?}", event.usage));
        counts.present().map(|(meter, count)| format!("{} {count}", meter.name())).collect::<Vec<_>>().join(", ")
    };
    for (names, expected) in families {
        let count = if expected.contains("7000") { 7_000 } else { 600 };
        for name in names {
            let mut of = json!({"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 10_000, "gen_ai.usage.output_tokens": 1_000});
            of[name] = json!(count);
            assert_eq!(meters(&told_of(of)), expected, "{name}");
        }
    }
    let sums = [
        ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.total_tokens"],
        ["gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens", "gen_ai.usage.total_tokens"],
        ["llm.token_count.prompt", "llm.token_count.completion", "llm.token_count.total"],
        ["llm.usage.prompt_tokens", "llm.usage.completion_tokens", "llm.usage.total_tokens"],
        ["ai.usage.inputTokens", "ai.usage.outputTokens", "ai.usage.totalTokens"],
        ["ai.usage.promptTokens", "ai.usage.completionTokens", "ai.usage.totalTokens"],
    ];
    for [input, output, total] in sums {
        let mut of = json!({"gen_ai.operation.name": "chat"});
        (of[input], of[output], of[total]) = (json!(10_000), json!(1_000), json!(11_000));
        assert_eq!(meters(&told_of(of)), "input 10000, output 1000", "{input}");
    }
    for input in ["ai.usage.tokens", "embedding.token_count.prompt"] {
        let mut of = json!({"gen_ai.operation.name": "embeddings"});
        of[input] = json!(10_000);
        assert_eq!(meters(&told_of(of)), "input 10000", "{input}");
    }
}

#[test]
fn every_spelling_of_a_cost_is_claimed_and_none_is_reported() {
    for name in ["gen_ai.usage.cost", "gen_ai.usage.total_cost", "llm.cost.total", "operation.cost"] {
        let mut of = json!({"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1_000});
        of[name] = json!(0.875);
        let event = told_of(of);
        let claimed = event.claimed.map(|claimed| (claimed.amount.to_string(), claimed.currency));
        assert_eq!((claimed, event.reported), (Some(("0.875".to_owned(), Currency::USD)), None), "{name}");
    }
}

/// Spans that repeat what the calls inside them count, or that are no calls: summed up they are twice the money
/// (langfuse#14808, pydantic-ai#3995, semantic-conventions-genai#19).
#[test]
fn what_stands_around_calls_is_nothing() {
    let context = Context { received_at: Instant::parse("2026-11-21T00:00:00Z").unwrap(), source: None, strict: false };
    let counts = json!({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5, "gen_ai.request.model": "gpt-4o"});
    for around in [
        json!({"gen_ai.operation.name": "invoke_agent"}),
        json!({"gen_ai.operation.name": "create_agent", "gen_ai.response.id": "r"}),
        json!({"gen_ai.operation.name": "execute_tool"}),
        json!({"gen_ai.operation.name": "invoke_workflow"}),
        json!({"gen_ai.operation.name": "our own word"}),
        json!({"openinference.span.kind": "AGENT"}),
        json!({"openinference.span.kind": "CHAIN", "llm.token_count.prompt": 10}),
        json!({"ai.operationId": "ai.generateText", "ai.usage.inputTokens": 10}),
        json!({"ai.operationId": "ai.toolCall"}),
        json!({"traceloop.span.kind": "workflow"}),
        json!({"promptkit.pipeline.cost": 0.5}),
        json!({"langfuse.observation.type": "agent", "langfuse.observation.usage_details": "{\"input\":10}"}),
        // An agent's run of pydantic-ai before it named operations: counts, and no model under a name of the conventions.
        json!({"gen_ai.request.model": null, "model_name": "gpt-4o", "agent_name": "triage"}),
        json!({"http.request.method": "GET", "gen_ai.request.model": null, "gen_ai.usage.input_tokens": null, "gen_ai.usage.output_tokens": null}),
    ] {
        let mut of = counts.as_object().unwrap().clone();
        of.extend(around.as_object().unwrap().clone());
        of.retain(|_, value| !value.is_null());
        let sent = traced(Value::Object(of)).to_string();
        let [piece] = Dialect::Otlp.cut(&sent).unwrap().try_into().unwrap();
        let told = Dialect::Otlp.read(&piece, &context).unwrap();
        assert!(matches!(told, Told::Nothing(_)), "{around}: {told:?}");
    }
    // Somebody's own word, on a span that has what only a provider's answer has.
    let sent =
        traced(json!({"gen_ai.operation.name": "our own word", "gen_ai.response.id": "r", "gen_ai.usage.input_tokens": 1}))
            .to_string();
    let [piece] = Dialect::Otlp.cut(&sent).unwrap().try_into().unwrap();
    assert!(matches!(Dialect::Otlp.read(&piece, &context).unwrap(), Told::Event(_)));
}
