//! Rows of Oceans LLM's ledger `usage_cost_events`, pushed as JSON or read from its table (there the provider's raw usage is
//! text). Its three prompt buckets are disjoint and are trusted when they add up; the raw usage refines them (reasoning, cache
//! writes by time to live, audio) where it counts the same. `computed_cost_10000` is what Oceans computed, rounded per
//! component: a claim. Only a `cost` inside the raw usage was said by the provider.

use super::labels::Labels;
use super::{Context, Dialect, Told, names, unknown};
use crate::money::{Amount, Currency, PLACES};
use crate::usage::reading::{self, Object, Rejected, kind, string};
use crate::usage::shape::{Read, Shape, contradiction};
use crate::usage::{Claimed, Meter, Owner, Quantities, Text, Usage};
use serde_json::value::RawValue;
use std::borrow::Cow;

const DIALECT: Dialect = Dialect::Oceans;

/// A batch stands for many calls, and where the row does not say how many, for more than one: then no condition of a single
/// request is asked of the sum of them.
const MORE_THAN_ONE: u64 = 2;

pub fn read(json: &str, context: &Context) -> Result<Told, Rejected> {
    let mut row = Object::parse(json, "")?;
    let (request, scope) = (row.required_text("request_id")?, row.required_text("ownership_scope_key")?);
    let id = reading::text("request_id", &format!("{request}@{scope}"))?;
    let occurred_at = row.moment("occurred_at", context.received_at)?;
    let (key, written) = (row.required_text("provider_key")?, row.required_text("upstream_model")?);
    let priced_as = row.text("pricing_provider_id")?;
    let provider = sold_by(&key, priced_as.as_deref(), &written);
    let model = names::model(&written, &provider).unwrap_or(written);
    let mut event = context.event(DIALECT, id, occurred_at, provider, model);
    event.product.requested_model = row.text("model_key")?.filter(|asked| *asked != event.product.model);

    event.provider_request_id = row.loose("provider_request_id");
    let status = row.loose("pricing_status");
    let raw = ["provider_usage", "provider_usage_json"].into_iter().find_map(|name| row.take(name)).and_then(text_of);
    let raw = raw.and_then(|raw| read_raw(&raw));
    (event.usage, event.estimated) = match status.as_deref() {
        Some("usage_missing") => (Usage::Missing, false),
        _ => read_counts(&mut row, raw.as_ref(), json)?,
    };
    (event.reported, event.product.service_tier) = raw.map_or((None, None), |raw| (raw.reported, raw.service_tier));
    let computed = row.count("computed_cost_10000")?;
    let is_computed = matches!(status.as_deref(), Some("priced" | "legacy_estimated"));
    event.claimed =
        computed.filter(|_| is_computed).map(|amount| Claimed { amount: ten_thousandths(amount), currency: Currency::USD });
    if request.starts_with("batch:") {
        event.calls = row.count("item_count")?.unwrap_or(MORE_THAN_ONE).max(1);
        event.product.service_tier = event.product.service_tier.or(Some(Text::known("batch")));
    }

    let reason = row.loose("unpriced_reason");
    event.product.service_tier = unsupported(reason.as_deref()).or(event.product.service_tier);

    let mut labels = Labels::default();
    let service_account = row.loose("service_account_id");
    let actor = row.loose("actor_user_id");
    labels.add("oceans.pricing_status", status);
    labels.add("oceans.unpriced_reason", reason);
    labels
        .add("oceans.pricing_provider_id", priced_as.filter(|name| names::exact(name).as_ref() != Some(&event.product.provider)));
    labels.add("provider_key", Some(key).filter(|key| *key != event.product.provider));
    labels.add("service_account", service_account.as_deref());
    labels.add("actor", actor.as_deref());
    labels.add("component", row.loose("caller_component"));
    labels.add_all("", row.inner("tags"));
    event.labels = labels.into_sorted();
    event.owner = Owner {
        user: row.loose("user_id").or(actor),
        team: row.loose("team_id"),
        project: None,
        key: row.loose("api_key_id"),
        app: row.loose("caller_service").or(service_account),
        agent: row.loose("agent_harness_key"),
        environment: row.loose("caller_env"),
    };
    event.extra = unknown::fields(&row.rest());
    Ok(Told::event(event))
}

/// Who is paid: what Oceans looks its prices up under, where that is a provider; else the provider that the operator's key
/// begins with; else the key. A generic provider may be set to `openai` although it sells `vendor/model`, which OpenAI does
/// not have; Oceans then prices nothing, and here the key stands.
fn sold_by(key: &Text, priced_as: Option<&str>, model: &str) -> Text {
    let priced_as = priced_as.filter(|name| *name != "openai" || !model.contains('/'));
    priced_as.and_then(names::exact).or_else(|| names::begins(key)).unwrap_or_else(|| key.clone())
}

/// What Oceans refused to price a row for (`unsupported_billing_modifier:inference_geo`) makes the call dearer or cheaper than
/// the list says. As a tier that no list knows, it holds the row until one does.
fn unsupported(reason: Option<&str>) -> Option<Text> {
    let modifier = reason?.strip_prefix("unsupported_billing_modifier")?;
    let modifier = modifier.trim_start_matches(':');
    super::labels::loose(&format!("unsupported:{}", if modifier.is_empty() { "modifier" } else { modifier }))
}

/// The counts, and whether they are only an estimate: a prompt of which nobody knows how much came from the cache.
fn read_counts(row: &mut Object<'_>, raw: Option<&Read>, json: &str) -> Result<(Usage, bool), Rejected> {
    let (prompt, completion) = (row.count("prompt_tokens")?, row.count("completion_tokens")?);
    let total = row.count("total_tokens")?;
    let (uncached, read) = (row.count("uncached_input_tokens")?, row.count("cache_read_tokens")?);
    let written = row.count("cache_write_tokens")?;
    let output = completion.unwrap_or(0);
    let raw = raw.map(|raw| &raw.usage);
    if [uncached, read, written] == [None; 3] {
        return Ok(match (raw, prompt) {
            (Some(usage), _) => (usage.clone(), false),
            (None, Some(prompt)) => (Usage::Counted(Quantities::of(&[(Meter::Input, prompt), (Meter::Output, output)])), true),
            (None, None) => (Usage::Missing, false),
        });
    }
    let [uncached, read, written] = [uncached, read, written].map(Option::unwrap_or_default);
    let sum = uncached + read + written;
    if let Some(prompt) = prompt.filter(|prompt| *prompt != sum) {
        let detail = format!(
            "uncached_input_tokens {uncached} + cache_read_tokens {read} + cache_write_tokens {written} are not prompt_tokens {prompt}"
        );
        return Ok((contradiction(detail, json), false));
    }
    if let Some(total) = total.filter(|total| *total != sum + output) {
        let detail = format!("total_tokens is {total}, but the counts add up to {}", sum + output);
        return Ok((contradiction(detail, json), false));
    }
    let counts = Quantities::of(&[
        (Meter::Input, uncached),
        (Meter::CacheRead, read),
        (Meter::CacheWrite, written),
        (Meter::Output, output),
    ]);
    Ok(match raw {
        Some(Usage::Counted(finer)) if in_buckets(finer) == in_buckets(&counts) => (Usage::Counted(*finer), false),
        _ => (Usage::Counted(counts), false),
    })
}

/// Counts as Oceans counts them: uncached, read, written, out.
fn in_buckets(counts: &Quantities) -> [u64; 4] {
    use Meter::*;
    let sum = |meters: &[Meter]| meters.iter().map(|meter| counts.get(*meter)).sum();
    [
        sum(&[Input, AudioInput, ImageInput, VideoInput]),
        sum(&[CacheRead, AudioCacheRead]),
        sum(&[CacheWrite, CacheWrite1h]),
        sum(&[Output, Reasoning, AudioOutput, ImageOutput]),
    ]
}

/// The provider's block, if its keys leave no doubt what it is; anything else in its place is a remark.
fn read_raw(raw: &str) -> Option<Read> {
    let shape = Shape::evident(&Object::parse(raw, "provider_usage").ok()?)?;
    shape.read(raw, "provider_usage").ok()
}

fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    if kind(value.get()) == "a string" { string(value) } else { Some(Cow::Borrowed(value.get())) }
}

fn ten_thousandths(count: u64) -> Amount {
    Amount::from_units(i128::from(count) * 10_i128.pow(PLACES - 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::usage::UsageEvent;

    fn event(json: &str) -> UsageEvent {
        let received_at = Instant::parse("2026-10-03T12:00:00Z").unwrap();
        read(json, &Context { received_at, source: None, strict: false }).unwrap().into_event().unwrap()
    }

    // 1790000000 is 2026-09-21T14:13:20Z. Exact at 0.15/0.075/0.6 per million: 0.00015 + 0.0006 + 0.00042 = 0.00117.
    const ROW: &str = r#"{"usage_event_id":"6d0c","request_id":"req-77","ownership_scope_key":"service_account:1b2e",
        "api_key_id":"a7","service_account_id":"1b2e","provider_key":"openrouter","upstream_model":"openai/gpt-4o-mini",
        "model_key":"fast","prompt_tokens":9000,"uncached_input_tokens":1000,"cache_read_tokens":8000,"cache_write_tokens":0,
        "completion_tokens":700,"total_tokens":9700,"provider_usage":{"prompt_tokens":9000,"completion_tokens":700,
        "prompt_tokens_details":{"cached_tokens":8000},"completion_tokens_details":{"reasoning_tokens":50},"cost":0.00117},
        "pricing_status":"priced","unpriced_reason":null,"pricing_provider_id":"openrouter","computed_cost_10000":12,
        "occurred_at":1790000000}"#;

    #[test]
    fn a_row_is_read_with_its_claim_and_what_the_provider_said() {
        let event = event(ROW);
        assert_eq!(&*event.id, "req-77@service_account:1b2e");
        assert_eq!(event.occurred_at.to_string(), "2026-09-21T14:13:20Z");
        let counts = [(Meter::Input, 1000), (Meter::CacheRead, 8000), (Meter::Output, 650), (Meter::Reasoning, 50)];
        assert_eq!(event.usage, Usage::Counted(Quantities::of(&counts)));
        assert_eq!(event.claimed.unwrap().amount.to_string(), "0.0012");
        assert_eq!(event.reported.unwrap().amount.to_string(), "0.00117");
        assert_eq!(event.product.requested_model.as_deref(), Some("fast"));
        assert_eq!((event.owner.app.as_deref(), event.owner.key.as_deref()), (Some("1b2e"), Some("a7")));
        let labels: Vec<_> = event.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels, ["oceans.pricing_status=priced", "service_account=1b2e"]);
    }

    #[test]
    fn what_is_joined_to_a_row_is_read_too() {
        let joined = ROW.replace(
            "\"occurred_at\"",
            "\"provider_request_id\":\"gen-1\",\"caller_service\":\"search\",\"caller_env\":\"prod\",\"tags\":{\"feature\":\"answers\"},\"occurred_at\"",
        );
        let event = event(&joined);
        let of = |name: &Option<Text>| name.as_deref().unwrap_or_default().to_owned();
        let read = [of(&event.provider_request_id), of(&event.owner.app), of(&event.owner.environment)];
        assert_eq!(read, ["gen-1", "search", "prod"]);
        assert!(event.labels.iter().any(|(key, value)| (&**key, &**value) == ("feature", "answers")));
    }

    #[test]
    fn the_raw_table_row_says_the_same() {
        let start = ROW.find("\"provider_usage\":").unwrap();
        let end = ROW.find(",\n        \"pricing_status\"").unwrap();
        let object = &ROW[start + "\"provider_usage\":".len()..end];
        let text = format!("\"provider_usage_json\":{}", serde_json::to_string(object).unwrap());
        let raw = format!("{}{text}{}", &ROW[..start], &ROW[end..]);
        assert_eq!(event(&raw).content_hash(), event(ROW).content_hash());
    }

    #[test]
    fn buckets_that_do_not_add_up_are_a_contradiction() {
        let detail = |row: &str| match event(row).usage {
            Usage::Contradictory { detail, .. } => detail,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            detail(&ROW.replace("\"cache_read_tokens\":8000", "\"cache_read_tokens\":7000")),
            "uncached_input_tokens 1000 + cache_read_tokens 7000 + cache_write_tokens 0 are not prompt_tokens 9000"
        );
        assert_eq!(detail(&ROW.replace("9700", "9701")), "total_tokens is 9701, but the counts add up to 9700");
    }

    #[test]
    fn two_classes_of_cache_writes_are_told_apart_by_the_raw_usage() {
        let row = r#"{"request_id":"r","ownership_scope_key":"user:u7","user_id":"u7","provider_key":"claude",
            "upstream_model":"claude-sonnet-4-5","prompt_tokens":1000,"uncached_input_tokens":100,"cache_read_tokens":0,
            "cache_write_tokens":900,"completion_tokens":10,"total_tokens":1010,"pricing_status":"unpriced",
            "unpriced_reason":"unsupported_cache_token_usage:mixed_ttl_cache_write_classes","computed_cost_10000":0,
            "provider_usage":{"input_tokens":100,"output_tokens":10,"cache_creation_input_tokens":900,
              "cache_creation":{"ephemeral_5m_input_tokens":600,"ephemeral_1h_input_tokens":300}},"occurred_at":1790000000}"#;
        let counts = [(Meter::Input, 100), (Meter::CacheWrite, 600), (Meter::CacheWrite1h, 300), (Meter::Output, 10)];
        assert_eq!(event(row).usage, Usage::Counted(Quantities::of(&counts)));
        // What is unpriced there has a cost of 0 there, and that is no claim.
        assert_eq!(event(row).claimed, None);
        let reason = "unsupported_cache_token_usage:mixed_ttl_cache_write_classes";
        assert!(event(row).labels.iter().any(|(key, value)| &**key == "oceans.unpriced_reason" && &**value == reason));
        let without =
            row.replace("\"uncached_input_tokens\":100,\"cache_read_tokens\":0,", "").replace("\"cache_write_tokens\":900,", "");
        assert_eq!(event(&without).usage, Usage::Counted(Quantities::of(&counts)));
    }

    #[test]
    fn what_nobody_counted_is_missing_and_what_nobody_split_is_an_estimate() {
        let missing = r#"{"request_id":"r","ownership_scope_key":"user:u","provider_key":"openai","upstream_model":"gpt-4o",
            "pricing_status":"usage_missing","computed_cost_10000":0,"occurred_at":1790000000}"#;
        assert_eq!((event(missing).usage, event(missing).claimed), (Usage::Missing, None));
        let legacy = missing
            .replace("usage_missing", "legacy_estimated")
            .replace("\"computed", "\"prompt_tokens\":50,\"completion_tokens\":5,\"computed");
        let legacy = event(&legacy);
        assert_eq!(legacy.usage, Usage::Counted(Quantities::of(&[(Meter::Input, 50), (Meter::Output, 5)])));
        assert!(legacy.estimated && legacy.claimed.is_some());
    }

    #[test]
    fn a_batch_stands_for_many_calls_at_the_batch_tier() {
        let batch = event(&ROW.replace("req-77", "batch:b-1"));
        assert_eq!(
            (&*batch.id, batch.calls, batch.product.service_tier.as_deref()),
            ("batch:b-1@service_account:1b2e", 2, Some("batch"))
        );
        let counted = event(&ROW.replace("req-77", "batch:b-1").replace("\"occurred_at\"", "\"item_count\":40,\"occurred_at\""));
        assert_eq!(counted.calls, 40);
    }

    #[test]
    fn what_oceans_could_not_price_for_a_modifier_is_not_sold_at_the_standard_tier() {
        let tier = |reason: &str| {
            let reason = format!("\"unpriced_reason\":\"{reason}\"");
            event(&ROW.replace("\"unpriced_reason\":null", &reason)).product.service_tier.map(|tier| tier.to_string())
        };
        assert_eq!(tier("unsupported_billing_modifier:inference_geo").as_deref(), Some("unsupported:inference_geo"));
        assert_eq!(tier("unsupported_billing_modifier").as_deref(), Some("unsupported:modifier"));
        assert_eq!(tier("unknown_model"), None);
    }

    #[test]
    fn the_provider_is_named_by_its_price_list_or_by_the_operator() {
        for (key, priced_as, model, expected) in [
            ("openrouter-eu", None, "openai/gpt-4o", "openrouter"),
            ("hub", Some("openrouter"), "openai/gpt-4o", "openrouter"),
            ("hub", Some("google-vertex-anthropic"), "claude-sonnet-4-5", "vertex"),
            ("hub", Some("openai"), "gpt-4o", "openai"),
            ("hub", Some("openai"), "anthropic/claude-sonnet-4", "hub"),
            ("hub", None, "m", "hub"),
            ("anthropic-eu", Some("amazon-bedrock"), "claude-sonnet-4-5", "bedrock"),
            ("openrouter", Some("openai"), "openai/gpt-4o", "openrouter"),
            ("anthropic-bedrock", None, "claude-sonnet-4-5", "bedrock"),
        ] {
            assert_eq!(&*sold_by(&Text::new(key).unwrap(), priced_as, model), expected, "{key} {priced_as:?} {model}");
        }
    }
}
