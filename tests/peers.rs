//! Calls that other tools price wrongly, with the right answer. Who gets it wrong is said beside each case; the numbers are
//! worked out by hand from the providers' published prices, which the shipped catalogs carry.

use farthing::catalog::source::own;
use farthing::catalog::{Catalog, shipped};
use farthing::rating::{Rating, rate};
use farthing::time::Instant;
use farthing::usage::dialect::{Context, native};

fn shipped() -> Catalog {
    Catalog::build(shipped::FILES.iter().flat_map(|(_, text)| own::read(text).unwrap())).unwrap()
}

/// What a call costs under a catalog, or why it has no price.
fn costs(catalog: &Catalog, call: &str) -> String {
    let event = format!(
        r#"{{"id":"x","source":"s",{}{call}}}"#,
        if call.contains("occurred_at") { "" } else { r#""occurred_at":"2026-11-20T12:00:00Z","# }
    );
    let context = Context { received_at: Instant::parse("2026-11-21T00:00:00Z").unwrap(), source: None, strict: true };
    match rate(&native::read(&event, &context).unwrap_or_else(|e| panic!("{event}: {e}")), catalog) {
        Rating::Rated(rated) => rated.amount.to_string(),
        Rating::Unpriced(unpriced) => format!("unpriced: {unpriced}"),
    }
}

fn all_cost(catalog: &Catalog, cases: &[(&str, &str)]) {
    for (call, expected) in cases {
        assert_eq!(costs(catalog, call), *expected, "{call}");
    }
}

#[test]
fn a_token_is_counted_once_however_a_provider_nests_its_counts() {
    all_cost(
        &shipped(),
        &[
            // LiteLLM answers 0.14250000000000002; langfuse counted the cached tokens twice, bifrost at the full price.
            (
                r#""provider":"openai","model":"gpt-4o","usage":{"prompt_tokens":100000,"completion_tokens":500,"total_tokens":100500,"prompt_tokens_details":{"cached_tokens":90000}}"#,
                "0.1425",
            ),
            // LiteLLM charged Gemini's cache hits at both rates: 10,000 at 1.25, 90,000 at 0.125, 1,000 at 10.
            (
                r#""provider":"google","model":"gemini-2.5-pro","usage":{"promptTokenCount":100000,"cachedContentTokenCount":90000,"candidatesTokenCount":1000,"totalTokenCount":101000}"#,
                "0.03375",
            ),
            // LiteLLM dropped the visible output where reasoning tokens are reported; others added them on top. 1,000 at 8.
            (
                r#""provider":"openai","model":"o3","usage":{"prompt_tokens":0,"completion_tokens":1000,"total_tokens":1000,"completion_tokens_details":{"reasoning_tokens":600}}"#,
                "0.008",
            ),
            // latitude added cached and reasoning tokens on top of both totals: 2,000 at 2.5, 8,000 at 1.25, 1,000 at 10.
            (
                r#""provider":"openai","model":"gpt-4o","usage":{"input_tokens":10000,"input_tokens_details":{"cached_tokens":8000},"output_tokens":1000,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":11000}"#,
                "0.025",
            ),
        ],
    );
    // LiteLLM prices a cached count that does not fit into the prompt; it is a contradiction, and held.
    let said = costs(
        &shipped(),
        r#""provider":"openai","model":"gpt-4o","usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":20}}"#,
    );
    assert!(said.starts_with("unpriced: cached_tokens 20 do not fit into prompt_tokens 10"), "{said}");
}

/// LiteLLM and new-api charge the image part of a cache hit again: a cached token is in one meter, not in two.
#[test]
fn a_cached_picture_is_charged_as_cached_and_as_nothing_else() {
    let yaml = "provider: p\nabsent: unknown\nmodels:\n  - model: m\n    cards: [{input_per_1m: \"2\", cache_read_per_1m: \"0.5\", image_input_per_1m: \"4\"}]\n";
    let catalog = Catalog::build(own::read(yaml).unwrap()).unwrap();
    all_cost(&catalog, &[(r#""provider":"p","model":"m","usage":{"input":600,"cache_read":400,"image_input":0}"#, "0.0014")]);
}

#[test]
fn thresholds_are_strictly_greater_and_price_the_whole_request() {
    all_cost(
        &shipped(),
        &[
            // LiteLLM answers 1.5225000000000002; claude-code-hub charges only what is beyond 272,000 at the higher rate.
            (
                r#""provider":"openai","model":"gpt-5.4","usage":{"prompt_tokens":300000,"completion_tokens":1000,"total_tokens":301000}"#,
                "1.5225",
            ),
            (
                r#""provider":"google","model":"gemini-2.5-pro","usage":{"promptTokenCount":200000,"candidatesTokenCount":1000,"totalTokenCount":201000}"#,
                "0.26",
            ),
            (
                r#""provider":"google","model":"gemini-2.5-pro","usage":{"promptTokenCount":200001,"candidatesTokenCount":0,"totalTokenCount":200001}"#,
                "0.5000025",
            ),
            // opik and ruby_llm drop the long-context rates on import: 200,000 at 2.5, 100,000 cached at 0.25, 2,000 at 15.
            (
                r#""provider":"google","model":"gemini-2.5-pro","usage":{"promptTokenCount":300000,"cachedContentTokenCount":100000,"candidatesTokenCount":2000,"totalTokenCount":302000}"#,
                "0.555",
            ),
        ],
    );
}

#[test]
fn a_cache_write_costs_what_its_time_to_live_costs() {
    all_cost(
        &shipped(),
        &[
            (
                r#""provider":"anthropic","model":"claude-sonnet-4-5","usage":{"input_tokens":10000,"cache_read_input_tokens":90000,"cache_creation_input_tokens":10000,"output_tokens":1000}"#,
                "0.1095",
            ),
            // pi and daiv price the hour as five minutes; LiteLLM's streamed tool calls do so in part.
            (
                r#""provider":"anthropic","model":"claude-sonnet-4-5","usage":{"input_tokens":10000,"cache_read_input_tokens":90000,"cache_creation_input_tokens":10000,"cache_creation":{"ephemeral_1h_input_tokens":10000,"ephemeral_5m_input_tokens":0},"output_tokens":1000}"#,
                "0.132",
            ),
            // Oceans gives up where one answer has both: 10,000 at 3.75 and 10,000 at 6.
            (
                r#""provider":"anthropic","model":"claude-sonnet-4-5","usage":{"input_tokens":0,"cache_creation_input_tokens":20000,"cache_creation":{"ephemeral_1h_input_tokens":10000,"ephemeral_5m_input_tokens":10000},"output_tokens":0}"#,
                "0.0975",
            ),
        ],
    );
    // Helicone leaves cache writes above the threshold at the lower rate.
    let yaml = "provider: p\nmodels:\n  - model: m\n    cards:\n      - {input_per_1m: \"3\", cache_write_per_1m: \"3.75\", when: [{prompt_tokens_over: 200000, input_per_1m: \"6\", cache_write_per_1m: \"7.5\"}]}\n";
    let catalog = Catalog::build(own::read(yaml).unwrap()).unwrap();
    all_cost(&catalog, &[(r#""provider":"p","model":"m","usage":{"input":150000,"cache_write":100000}"#, "1.65")]);
}

#[test]
fn the_tier_that_served_decides_and_an_unknown_one_is_not_standard() {
    let catalog = shipped();
    let call = |tier: &str| {
        format!(r#""provider":"openai","model":"gpt-5.4","service_tier":"{tier}","usage":{{"input":100000,"output":1000}}"#)
    };
    for (tier, expected) in [
        ("default", "0.265"),
        // Ignored elsewhere, which is twice too much; and charged although the provider served it as default.
        ("flex", "0.1325"),
        ("priority", "0.53"),
        // LiteLLM answers the standard price, silently.
        ("batch", "0.1325"),
    ] {
        assert_eq!(costs(&catalog, &call(tier)), expected, "{tier}");
    }
    assert!(costs(&catalog, &call("nonsense")).starts_with("unpriced: no rate card for openai/gpt-5.4 in service tier nonsense"));
    // LiteLLM charges a dated id in the priority tier at the ordinary price: here an alias has every card of its model.
    let yaml = "provider: p\nmodels:\n  - model: m\n    aliases: [m-2026-01-01]\n    cards: [{input_per_1m: \"1\"}, {service_tier: priority, input_per_1m: \"2\"}]\n";
    let dated = Catalog::build(own::read(yaml).unwrap()).unwrap();
    all_cost(&dated, &[(r#""provider":"p","model":"m-2026-01-01","service_tier":"priority","usage":{"input":1000000}"#, "2")]);
}

#[test]
fn what_nobody_knows_costs_nothing_nowhere() {
    let catalog = shipped();
    // LiteLLM answers 0.0 and no error for both: its map has no OpenRouter rows, and a rule for the family has no prices.
    assert_eq!(
        costs(&catalog, r#""provider":"openrouter","model":"anthropic/claude-sonnet-4.5","usage":{"input":10000,"output":1000}"#),
        "0.045"
    );
    let unknown = costs(&catalog, r#""provider":"anthropic","model":"claude-newfamily-9","usage":{"input":10000,"output":1000}"#);
    assert!(unknown.starts_with("unpriced: no rate card for anthropic/claude-newfamily-9"), "{unknown}");
    // Not mapped at all there.
    assert_eq!(
        costs(&catalog, r#""provider":"openrouter","model":"openai/gpt-4o-mini","usage":{"input":10000,"output":1000}"#),
        "0.0021"
    );
}

#[test]
fn a_price_is_that_of_its_day() {
    // LiteLLM knows only the price of today; ccusage and langfuse rewrite a closed week with it.
    let call = |day: &str| {
        format!(r#""occurred_at":"{day}T12:00:00Z","provider":"openai","model":"o3","usage":{{"input":1000000,"output":100000}}"#)
    };
    assert_eq!(costs(&shipped(), &call("2025-06-09")), "14");
    assert_eq!(costs(&shipped(), &call("2025-06-10")), "2.8");
}
