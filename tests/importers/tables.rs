//! models.dev, genai-prices and OpenRouter's endpoints. The real files are walked a second time by code that shares nothing
//! with the importers: every price key is on a card or in a note, every rate equals its literal in big integers, and what a
//! call costs at some moment is what a plain reading of the data set's own rules says.

use crate::support::random::Random;
use farthing::catalog::resolution::NoCard;
use farthing::catalog::source::{Imported, genai_prices, models_dev, openrouter, own};
use farthing::catalog::{Absent, Card, Catalog, List, Model, Part};
use farthing::money::{Amount, Rate};
use farthing::rating::{Rating, Unpriced, rate};
use farthing::time::Instant;
use farthing::usage::Meter;
use farthing::usage::dialect::{Context, native};
use farthing::usage::reading::Rejected;
use num_bigint::BigInt;
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

const MODELS_DEV: &str = "models_dev_api_2026-06-13.json";
const GENAI_PRICES: [&str; 2] = ["genai_prices_v2_data_2026-08-21.json", "genai_prices_0.2.3.converted.json"];

/// A file of the shared folder, where there is one.
fn real(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name)).ok();
    if text.is_none() {
        eprintln!("{name} is not on this machine; nothing was compared with it");
    }
    text
}

fn catalog(imported: Imported) -> Catalog {
    Catalog::build(imported.lists.into_iter().map(|list| Part::List(Arc::new(list)))).unwrap()
}

fn written(imported: Imported) -> String {
    imported.lists.into_iter().map(|list| own::write(&Part::List(Arc::new(list)))).collect()
}

/// What a call costs: provider, model, when, and the counts.
fn rated(catalog: &Catalog, provider: &str, model: &str, at: &str, more: serde_json::Value) -> Result<Amount, Unpriced> {
    let mut event = json!({"id": "e", "source": "s", "occurred_at": at, "provider": provider, "model": model});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let context = Context { received_at: Instant::parse("2027-12-01T00:00:00Z").unwrap(), source: None, strict: true };
    match rate(&native::read(&event.to_string(), &context).unwrap(), catalog) {
        Rating::Rated(rated) => Ok(rated.amount),
        Rating::Unpriced(why) => Err(why),
    }
}

fn amount(text: &str) -> Result<Amount, Unpriced> {
    Ok(Amount::parse(text).unwrap())
}

// Reading JSON without the importers and without a float.

fn object(json: &RawValue) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(json.get()).unwrap()
}

fn list(json: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(json.get()).unwrap()
}

fn text(json: &RawValue) -> String {
    serde_json::from_str(json.get()).unwrap()
}

fn whole(json: &str) -> &RawValue {
    serde_json::from_str(json).unwrap()
}

/// A decimal literal as a number of 10^-30.
fn decimal(literal: &str) -> BigInt {
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let places = 30 + exponent.parse::<i64>().unwrap() - after.len() as i64;
    format!("{before}{after}").parse::<BigInt>().unwrap() * BigInt::from(10).pow(u32::try_from(places).unwrap())
}

/// Whether a rate is the literal's quotient to the last of its 24 decimals.
fn is_exactly(rate: Rate, literal: &str, per: u64) -> bool {
    BigInt::from(rate.units()) * BigInt::from(1_000_000) * per == decimal(literal)
}

#[test]
fn models_dev_has_each_habit_once() {
    let file = r#"{
        "amazon-bedrock":{"id":"amazon-bedrock","models":{
            "all":{"cost":{"input":0.049999999999999996,"output":3E-1,"cache_read":0.1,"cache_write":0.2,"reasoning":4,"input_audio":1.269,"output_audio":5}},
            "too-fine":{"cost":{"input":1.5e-18,"output":1}}}},
        "google-vertex":{"models":{"claude@1":{"cost":{"input":3,"output":15}}}},
        "google-vertex-anthropic":{"models":{"claude@1":{"cost":{"input":4,"output":15}},"claude@2":{"cost":{"input":5,"output":25}}}},
        "no-models":{"models":{}},
        "no-object":7,
        "openai":{"models":{
            "broken":{"cost":{"input":"1","output":2}},
            "fast":{"cost":{"input":1,"output":2},"experimental":{"modes":{"fast":{"cost":{"input":2,"output":4},"provider":{"body":{"service_tier":"priority"}}}}}},
            "mirror-only":{"cost":{"input":1,"output":2,"context_over_200k":{"input":2,"output":4}}},
            "negative":{"cost":{"input":-1,"output":2}},
            "mode-only":{"experimental":{"modes":{"fast":{"cost":{"input":6}}}}},
            "odd":{"cost":{"input":1,"output":2,"per_smile":9,"tiers":[{"tier":{"type":"moon","size":1},"input":3}]},"experimental":{"modes":{"slow":{"price":1}},"other":1}},
            "tiered":{"cost":{"input":2,"output":8,"context_over_200k":{"input":99},
                "tiers":[{"tier":{"type":"context","size":128000},"input":8,"seats":1},{"tier":{"type":"context","size":32000},"input":4,"output":16}]}},
            "unpriced":{"experimental":true},
            "zero":{"cost":{"input":0,"output":0}}}}
    }"#;
    let imported = models_dev::read(file).unwrap();
    assert_eq!(
        imported.notes,
        [
            "a second row of one model, left out: on 1 rows (google-vertex-anthropic/claude@1)",
            "a tier of type moon: on 1 rows (openai/odd)",
            "context_over_200k without tiers: on 1 rows (openai/mirror-only)",
            "experimental.modes.price: on 1 rows (openai/odd)",
            "experimental.other: on 1 rows (openai/odd)",
            "left out, model.cost.input: `-1` is negative; a rate cannot be: on 1 rows (openai/negative)",
            "left out, model.cost.input: expected a number, found a string: on 1 rows (openai/broken)",
            "left out, provider: expected an object, found a number: on 1 rows (no-object/*)",
            "no price: on 1 rows (openai/unpriced)",
            "no price but that of a mode: on 1 rows (openai/mode-only)",
            "per_smile: on 1 rows (openai/odd)",
            "tiers.seats: on 1 rows (openai/tiered)",
        ]
    );
    insta::assert_snapshot!(written(imported), @r#"
    provider: bedrock
    absent: unknown
    source: "https://models.dev/api.json"
    note: "per million tokens in USD, as listed; without dates"
    models:
      - model: all
        cards:
          - input_per_1m: "0.049999999999999996"
            cache_read_per_1m: "0.1"
            cache_write_per_1m: "0.2"
            output_per_1m: "0.3"
            reasoning_per_1m: "4"
            audio_input_per_1m: "1.269"
            audio_output_per_1m: "5"
      - model: too-fine
        cards:
          - input_per_1m: "0.000000000000000002"
            output_per_1m: "1"
            remark: "rounded half to even at the 24th decimal: input."
    provider: openai
    absent: unknown
    source: "https://models.dev/api.json"
    note: "per million tokens in USD, as listed; without dates"
    models:
      - model: fast
        cards:
          - input_per_1m: "1"
            output_per_1m: "2"
          - service_tier: fast
            input_per_1m: "2"
            output_per_1m: "4"
          - service_tier: priority
            input_per_1m: "2"
            output_per_1m: "4"
      - model: mirror-only
        cards:
          - input_per_1m: "1"
            output_per_1m: "2"
      - model: mode-only
        cards:
          - service_tier: fast
            input_per_1m: "6"
      - model: odd
        cards:
          - input_per_1m: "1"
            output_per_1m: "2"
      - model: tiered
        cards:
          - input_per_1m: "2"
            output_per_1m: "8"
            when:
              - prompt_tokens_over: 32000
                input_per_1m: "4"
                output_per_1m: "16"
              - prompt_tokens_over: 128000
                input_per_1m: "8"
      - model: zero
        cards:
          - input_per_1m: "0"
            output_per_1m: "0"
    provider: vertex
    absent: unknown
    source: "https://models.dev/api.json"
    note: "per million tokens in USD, as listed; without dates"
    models:
      - model: claude@1
        cards:
          - input_per_1m: "3"
            output_per_1m: "15"
      - model: claude@2
        cards:
          - input_per_1m: "5"
            output_per_1m: "25"
    "#);
}

/// Prices of a model in the small data set below.
fn genai_models() -> String {
    let models = [
        r#"{"id":"plain","match":{"or":[{"equals":"plain"},{"equals":"plain-2026"},{"or":[{"equals":"plainest"}]},{"starts_with":"plain-"}]},
            "price_comments":"two\nlines","prices":{"input_mtok":0.15,"output_mtok":6e-1,"cache_read_mtok":0.075,"web_searches_kcount":10}}"#,
        r#"{"id":"dated","match":{"or":[{"equals":"plainest"},{"equals":"zero"}]},"prices":[{"prices":{"input_mtok":10,"output_mtok":40}},
            {"constraint":{"start_date":"2025-06-10"},"prices":{"input_mtok":2,"output_mtok":8}}]}"#,
        r#"{"id":"clocked","match":{"equals":"clocked"},"prices":[{"prices":{"input_mtok":1,"output_mtok":2}},
            {"constraint":{"start_date":"2026-03-01"},"prices":{"input_mtok":3,"output_mtok":4}},
            {"constraint":{"start_time":"16:30:00Z","end_time":"02:30:00+02:00"},"prices":{"input_mtok":5,"output_mtok":6}}]}"#,
        r#"{"id":"tiered","match":{"equals":"tiered"},"prices":{"input_mtok":{"base":1,"tiers":[{"start":199999,"price":2},{"start":32000,"price":1.5}]},
            "output_mtok":{"base":3,"tiers":[{"start":199999,"price":4}]}}}"#,
        r#"{"id":"varied","match":{"equals":"varied"},"prices":[{"prices":{"input_mtok":4,"output_mtok":{"base":8,"tiers":[{"start":1000,"price":9}]}}},
                {"constraint":{"start_date":"2027-01-01"},"prices":{"input_mtok":6,"output_mtok":12}}],
            "price_variants":[{"when":{"service_tier":"default"},"prices":{}},
                {"when":{"processing":"batch"},"constraint":{"start_date":"2027-01-01"},"prices":{"input_mtok":3}},
                {"when":{"processing":"batch"},"constraint":{"start_date":"2026-10-14"},"prices":{"input_mtok":2,"output_mtok":5}},
                {"when":{"speed":"fast"},"prices":{"input_mtok":40}},
                {"when":{"service_tier":"fast"},"prices":{"input_mtok":41}},
                {"when":{"route":"acme/eu"},"prices":{"input_mtok":7}}]}"#,
        r#"{"id":"spoken","match":{"equals":"spoken"},"prices":{"audio_hours":3,"input_audio_hours":3,"input_text_messages_kcount":4}}"#,
        r#"{"id":"heard","match":{"equals":"heard"},"prices":{"input_mtok":1,"cache_read_mtok":0.1,"input_audio_mtok":5,"cache_audio_read_mtok":0.5,"output_mtok":2}}"#,
        r#"{"id":"gift:free","match":{"equals":"gift:free"},"prices":{}}"#,
        r#"{"id":"zero","match":{"equals":"zero"},"prices":{}}"#,
        r#"{"id":"holiday","match":{"equals":"holiday"},"prices":[{"prices":{"input_mtok":1}},{"constraint":{"weekday":6},"prices":{"input_mtok":0.5}}]}"#,
        r#"{"id":"ending","match":{"equals":"ending"},"prices":[{"prices":{"input_mtok":1}},{"constraint":{"start_date":"2026-01-01"},"prices":{}}]}"#,
        r#"{"id":"partly","match":{"equals":"partly"},"prices":[{"prices":{"input_mtok":1,"output_mtok":2}},
            {"constraint":{"start_time":"01:00:00Z","end_time":"02:00:00Z"},"prices":{"input_mtok":2}}]}"#,
        r#"{"id":"text","match":{"equals":"text"},"prices":{"input_mtok":"1"}}"#,
    ];
    format!("[{}]", models.join(","))
}

#[test]
fn genai_prices_has_each_habit_once() {
    let feed = format!(
        r#"[{{"id":"x-ai","name":"xAI","pricing_urls":["https://x.ai/pricing","https://x.ai/other"],"price_comments":"of the provider",
             "fallback_model_providers":["openai"],"models":{}}}, {{"id":"empty","models":[]}}, 7]"#,
        genai_models()
    );
    let imported = genai_prices::read(&feed).unwrap();
    assert_eq!(
        imported.notes,
        [
            // `plainest` is claimed twice, and `zero` is the name of another model, if one without a price.
            "an alias of several models, dropped: on 2 rows (x-ai/dated, x-ai/plain)",
            "fallback_model_providers: on 1 rows (x-ai/*)",
            "input_text_messages_kcount: on 1 rows (x-ai/spoken)",
            "left out, prices.constraint.weekday: unknown field: on 1 rows (x-ai/holiday)",
            "left out, prices.input_mtok: expected a number, found a string: on 1 rows (x-ai/text)",
            "left out, prices: a price ends and none follows: on 1 rows (x-ai/ending)",
            "left out, prices: the price of 01:00-02:00 has other keys than the one it interrupts: on 1 rows (x-ai/partly)",
            "left out, providers: expected an object, found a number: on 1 rows (providers/2)",
            "match by a pattern: on 1 rows (x-ai/plain)",
            "no price: on 1 rows (x-ai/zero)",
            r#"price_variants {"route":"acme/eu"}: on 1 rows (x-ai/varied)"#,
            r#"price_variants {"service_tier":"fast"}: on 1 rows (x-ai/varied)"#,
        ]
    );
    insta::assert_snapshot!(written(imported), @r#"
    provider: xai
    absent: included
    source: "genai-prices by pydantic"
    note: "of the provider"
    models:
      - model: clocked
        cards:
          - input_per_1m: "1"
            output_per_1m: "2"
            when:
              - utc: "16:30-00:30"
                input_per_1m: "5"
                output_per_1m: "6"
            source: "https://x.ai/pricing"
          - from: 2026-03-01
            input_per_1m: "3"
            output_per_1m: "4"
            when:
              - utc: "16:30-00:30"
                input_per_1m: "5"
                output_per_1m: "6"
            source: "https://x.ai/pricing"
      - model: dated
        cards:
          - input_per_1m: "10"
            output_per_1m: "40"
            source: "https://x.ai/pricing"
          - from: 2025-06-10
            input_per_1m: "2"
            output_per_1m: "8"
            source: "https://x.ai/pricing"
      - model: "gift:free"
        cards:
          - free: true
            source: "https://x.ai/pricing"
      - model: heard
        cards:
          - input_per_1m: "1"
            cache_read_per_1m: "0.1"
            output_per_1m: "2"
            audio_input_per_1m: "5"
            audio_cache_read_per_1m: "0.5"
            source: "https://x.ai/pricing"
      - model: plain
        aliases: [plain-2026]
        cards:
          - input_per_1m: "0.15"
            cache_read_per_1m: "0.075"
            output_per_1m: "0.6"
            audio_cache_read_per_1m: "0.075"
            web_search_each: "0.01"
            source: "https://x.ai/pricing"
            remark: "two lines"
      - model: spoken
        cards:
          - millisecond_each: "0.000000833333333333333333"
            source: "https://x.ai/pricing"
            remark: "rounded half to even at the 24th decimal: audio_hours."
      - model: tiered
        cards:
          - input_per_1m: "1"
            output_per_1m: "3"
            when:
              - prompt_tokens_over: 32000
                input_per_1m: "1.5"
              - prompt_tokens_over: 199999
                input_per_1m: "2"
                output_per_1m: "4"
            source: "https://x.ai/pricing"
      - model: varied
        cards:
          - input_per_1m: "4"
            output_per_1m: "8"
            when:
              - prompt_tokens_over: 1000
                output_per_1m: "9"
            source: "https://x.ai/pricing"
          - service_tier: fast
            input_per_1m: "40"
            output_per_1m: "8"
            when:
              - prompt_tokens_over: 1000
                output_per_1m: "9"
            source: "https://x.ai/pricing"
          - from: 2026-10-14
            service_tier: batch
            input_per_1m: "2"
            output_per_1m: "5"
            source: "https://x.ai/pricing"
          - from: 2027-01-01
            input_per_1m: "6"
            output_per_1m: "12"
            source: "https://x.ai/pricing"
          - from: 2027-01-01
            service_tier: batch
            input_per_1m: "3"
            output_per_1m: "5"
            source: "https://x.ai/pricing"
          - from: 2027-01-01
            service_tier: fast
            input_per_1m: "40"
            output_per_1m: "12"
            source: "https://x.ai/pricing"
    "#);
}

#[test]
fn the_package_says_how_many_units_a_price_is_for() {
    let file = |per: u64| {
        format!(
            r#"{{"units":{{"input_tokens":{{"per":{per},"price_key":"input_mtok","dimensions":{{}}}}}},
                "providers":[{{"id":"acme","models":[{{"id":"m","match":{{"equals":"m"}},"prices":{{"input_mtok":3,"output_mtok":4}}}}]}}]}}"#
        )
    };
    let rates = |per| genai_prices::read(&file(per)).unwrap().lists[0].models[0].cards[0].rates.clone();
    assert_eq!(rates(1_000_000).get(Meter::Input), Some(Rate::parse("0.000003").unwrap()));
    assert_eq!(rates(1_000).get(Meter::Input), Some(Rate::parse("0.003").unwrap()));
    // The table of this file says nothing of output.
    assert_eq!(rates(1_000).get(Meter::Output), Some(Rate::parse("0.000004").unwrap()));
    assert!(genai_prices::read(&file(0)).is_err());
}

#[test]
fn a_long_comment_is_cut_between_characters() {
    let comment = "é".repeat(300);
    let file = format!(r#"[{{"id":"acme","models":[{{"id":"m","prices":{{"input_mtok":1}},"price_comments":"x{comment}"}}]}}]"#);
    let imported = genai_prices::read(&file).unwrap();
    // One byte and then two for each: 255 of them fit into 512.
    assert_eq!(imported.lists[0].models[0].cards[0].origin.remark.as_deref(), Some(&*format!("x{}", "é".repeat(255))));
}

#[test]
fn endpoints_are_cards_of_their_own() {
    let body = r#"{"data":{"id":"z-ai/glm","name":"GLM","endpoints":[
        {"provider_name":"Google","tag":"google-vertex/global","service_tier":null,"pricing":{"prompt":"0.0000002","completion":"0.0000008","discount":0.25,
            "overrides":[{"min_prompt_tokens":200000,"prompt":"0.0000004"}]}},
        {"provider_name":"Google","tag":"google-vertex/global/flex","pricing":{"prompt":"0.0000001","completion":"0.0000004"}},
        {"provider_name":"OpenAI","tag":"openai/quick","service_tier":"ultrafast","pricing":{"prompt":"0.0000009","completion":"0.0000009"}},
        {"provider_name":"OpenAI","tag":"openai","service_tier":"default","pricing":{"prompt":"0.0000003","completion":"0.0000009","per_smile":"1"}},
        {"provider_name":"OpenAI","tag":"openai","pricing":{"prompt":"0.0000005","completion":"0.0000009"}},
        {"provider_name":"Parasail","pricing":{"prompt":"0.0000005","completion":"0.0000009"}}
    ]}}"#;
    let imported = openrouter::read_endpoints(body).unwrap();
    assert_eq!(
        imported.notes,
        [
            "a second row of openai, left out: on 1 rows (z-ai/glm)",
            "left out, data.endpoints.tag: missing: on 1 rows (z-ai/glm)",
            "per_smile: on 1 rows (z-ai/glm)",
        ]
    );
    insta::assert_snapshot!(written(openrouter::read_endpoints(body).unwrap()), @r#"
    provider: openrouter
    cost_basis: reported
    absent: included
    insured: [error, empty]
    source: "https://openrouter.ai/api/v1/models/z-ai/glm/endpoints"
    note: "per unit in USD, as listed; an image rate equal to the prompt rate is taken as per token"
    models:
      - model: z-ai/glm
        cards:
          - endpoint: Google
            route: google-vertex/global
            input_per_1m: "0.2"
            output_per_1m: "0.8"
            when:
              - prompt_tokens_over: 200000
                input_per_1m: "0.4"
            remark: "discount 0.25 listed; not applied"
          - endpoint: Google
            route: google-vertex/global/flex
            service_tier: flex
            input_per_1m: "0.1"
            output_per_1m: "0.4"
          - endpoint: OpenAI
            route: openai/quick
            service_tier: ultrafast
            input_per_1m: "0.9"
            output_per_1m: "0.9"
          - endpoint: OpenAI
            route: openai
            input_per_1m: "0.3"
            output_per_1m: "0.9"
    "#);

    let catalog = catalog(imported);
    let cost = |more| rated(&catalog, "openrouter", "z-ai/glm", "2026-09-01T00:00:00Z", more);
    let usage = json!({"input": 1_000_000, "output": 1_000_000});
    // Over 200,000 tokens, and the discount is not taken off. Taking the first row of the provider, as tokscale did, charges
    // flex prices for ordinary calls or the other way round.
    assert_eq!(cost(json!({"served_by": "Google", "usage": usage})), amount("1.2"));
    assert_eq!(cost(json!({"served_by": "Google", "service_tier": "flex", "usage": usage})), amount("0.5"));
    assert_eq!(cost(json!({"served_by": "OpenAI", "usage": usage})), amount("1.2"));
    assert_eq!(cost(json!({"served_by": "OpenAI", "service_tier": "default", "usage": usage})), amount("1.2"));
    assert!(cost(json!({"usage": usage})).is_err(), "no upstream is named and there is no card of the router itself");
}

#[test]
fn a_table_that_is_none_changes_nothing() {
    type Reader = fn(&str) -> Result<Imported, Rejected>;
    let readers: [(&str, Reader); 3] =
        [("models.dev", models_dev::read), ("genai-prices", genai_prices::read), ("endpoints", openrouter::read_endpoints)];
    let nothing = ["", "<html>", "7", "{", "[", "{}", "[]", "{\"a\":{\"models\":{\"b\":", r#"{"error":{"message":"no"}}"#];
    let also = ["[{}]", r#"{"providers":{}}"#, r#"{"data":{"id":"a/b","endpoints":[]}}"#, r#"{"data":{"endpoints":[{}]}}"#];
    for (name, read) in readers {
        for json in nothing.iter().chain(&also) {
            assert!(read(json).is_err(), "{name} took {json}");
        }
    }
    let said = |result: Result<Imported, Rejected>| result.unwrap_err().to_string();
    assert_eq!(said(models_dev::read("<html>")), "event: expected an object, found no JSON");
    assert_eq!(said(genai_prices::read("{}")), "providers: missing");
    assert_eq!(said(openrouter::read_endpoints(r#"{"data":{"id":"a/b","endpoints":[]}}"#)), "data.endpoints: empty");
}

#[test]
fn more_conditions_than_a_card_can_have_cost_the_row() {
    let tiers: Vec<String> = (0..65).map(|size| format!(r#"{{"tier":{{"type":"context","size":{size}}},"input":2}}"#)).collect();
    let file = format!(
        r#"{{"acme":{{"models":{{"deep":{{"cost":{{"input":1,"tiers":[{}]}}}},"flat":{{"cost":{{"input":1}}}}}}}}}}"#,
        tiers.join(",")
    );
    let imported = models_dev::read(&file).unwrap();
    assert_eq!(imported.notes, ["left out, conditions: more than 64 of them: on 1 rows (acme/deep)"]);
    assert_eq!(imported.lists[0].models.len(), 1);
}

/// What every imported file must be: in order, without dates of ours, fit to be published and read back.
fn check_whole(imported: Imported, absent: Absent) {
    assert!(imported.lists.is_sorted_by_key(|list| list.provider.clone()));
    for list in &imported.lists {
        assert_eq!(list.absent, absent);
        assert!(list.origin.source.is_some() && list.origin.checked.is_none());
        assert!(list.models.is_sorted_by_key(|model| model.name.clone()));
        for model in &list.models {
            assert!(!model.cards.is_empty() && model.cards.is_sorted_by_key(|card| card.from), "{}", model.name);
        }
        let part = Part::List(Arc::new(list.clone()));
        let read = own::read(&own::write(&part)).unwrap_or_else(|mistakes| panic!("{}: {}", list.provider, mistakes[0]));
        assert_eq!(read, [part]);
    }
    catalog(imported);
}

#[test]
fn all_real_tables_are_catalogs() {
    if let Some(json) = real(MODELS_DEV) {
        check_whole(models_dev::read(&json).unwrap(), Absent::Unknown);
    }
    for json in GENAI_PRICES.iter().filter_map(|name| real(name)) {
        check_whole(genai_prices::read(&json).unwrap(), Absent::Included);
    }
}

/// Notes as name and number of rows.
fn counted(notes: &[String]) -> BTreeMap<String, usize> {
    let count = |note: &String| {
        let (what, rows) = note.rsplit_once(": on ").unwrap();
        (what.to_owned(), rows.split_once(' ').unwrap().0.parse().unwrap())
    };
    notes.iter().map(count).collect()
}

/// Rows by what a second reading finds that the importer has to say of them.
#[derive(Default)]
struct Expected(BTreeMap<String, BTreeSet<String>>);

impl Expected {
    fn note(&mut self, what: &str, row: &str) {
        self.0.entry(what.to_owned()).or_default().insert(row.to_owned());
    }

    fn counts(self) -> BTreeMap<String, usize> {
        self.0.into_iter().map(|(what, rows)| (what, rows.len())).collect()
    }
}

/// Our name of a provider.
fn ours(provider: &str) -> &str {
    match provider {
        "amazon-bedrock" | "aws" => "bedrock",
        "google-vertex" | "google-vertex-anthropic" => "vertex",
        "x-ai" => "xai",
        other => other,
    }
}

fn find<'l>(lists: &'l [List], provider: &str, model: &str) -> Option<&'l Model> {
    lists.iter().find(|list| *list.provider == *ours(provider))?.models.iter().find(|it| *it.name == *model)
}

fn models_dev_meter(key: &str) -> Option<Meter> {
    Some(match key {
        "input" => Meter::Input,
        "output" => Meter::Output,
        "cache_read" => Meter::CacheRead,
        "cache_write" => Meter::CacheWrite,
        "reasoning" => Meter::Reasoning,
        "input_audio" => Meter::AudioInput,
        "output_audio" => Meter::AudioOutput,
        _ => return None,
    })
}

/// Checks a cost object against the card it became, and returns the keys that no card can hold.
fn check_models_dev_cost(cost: &RawValue, card: &Card, row: &str) -> Vec<String> {
    let mut unknown = Vec::new();
    for (key, value) in object(cost) {
        match (key.as_str(), models_dev_meter(&key)) {
            (_, Some(meter)) => assert!(is_exactly(card.rates.get(meter).unwrap(), value.get(), 1_000_000), "{row} {key}"),
            ("tiers", _) => {
                let tiers = list(value);
                assert_eq!(card.when.len(), tiers.len(), "{row}");
                for tier in tiers.into_iter().map(object) {
                    let size: u64 = object(tier["tier"])["size"].get().parse().unwrap();
                    assert_eq!(text(object(tier["tier"])["type"]), "context");
                    let when = card.when.iter().find(|when| when.prompt_tokens_over == Some(size)).unwrap();
                    for (key, value) in tier.iter().filter(|(key, _)| *key != "tier") {
                        let rate = when.rates.get(models_dev_meter(key).unwrap()).unwrap();
                        assert!(is_exactly(rate, value.get(), 1_000_000), "{row} tier {size} {key}");
                    }
                }
            }
            ("context_over_200k", _) if object(cost).contains_key("tiers") => {}
            ("context_over_200k", _) => unknown.push("context_over_200k without tiers".to_owned()),
            _ => unknown.push(key.clone()),
        }
    }
    unknown
}

#[test]
fn every_price_of_models_dev_is_on_a_card_or_in_a_note() {
    let Some(json) = real(MODELS_DEV) else { return };
    let imported = models_dev::read(&json).unwrap();
    let mut expected = Expected::default();
    let mut listed = BTreeSet::new();
    for (provider, json) in object(whole(&json)) {
        for (name, json) in object(object(json)["models"]) {
            let row = format!("{provider}/{name}");
            let model = object(json);
            let modes = model.get("experimental").map(|json| object(object(json)["modes"])).unwrap_or_default();
            match (model.contains_key("cost"), modes.is_empty()) {
                (false, true) => {
                    expected.note("no price", &row);
                    continue;
                }
                (false, false) => expected.note("no price but that of a mode", &row),
                (true, _) => {}
            }
            if !listed.insert((ours(&provider).to_owned(), name.clone())) {
                expected.note("a second row of one model, left out", &row);
                continue;
            }
            let cards = &find(&imported.lists, &provider, &name).unwrap().cards;
            assert!(cards.iter().all(|card| card.from.is_none() && !card.free));
            let card_of = |tier: Option<&str>| cards.iter().find(|card| card.service_tier.as_deref() == tier);
            assert_eq!(card_of(None).is_some(), model.contains_key("cost"), "{row}");
            if let Some(cost) = model.get("cost") {
                for key in check_models_dev_cost(cost, card_of(None).unwrap(), &row) {
                    expected.note(&key, &row);
                }
            }
            for (mode, json) in modes {
                let json = object(json);
                assert!(json.keys().all(|key| key == "cost" || key == "provider"));
                assert!(check_models_dev_cost(json["cost"], card_of(Some(&mode)).unwrap(), &row).is_empty());
            }
        }
    }
    assert_eq!(counted(&imported.notes), expected.counts());
    assert_eq!(imported.lists.iter().map(|list| list.models.len()).sum::<usize>(), listed.len());
}

#[test]
fn random_models_of_models_dev_cost_what_is_written() {
    let Some(json) = real(MODELS_DEV) else { return };
    let catalog = catalog(models_dev::read(&json).unwrap());
    let mut rows = Vec::new();
    for (provider, json) in object(whole(&json)) {
        let models = object(object(json)["models"]);
        rows.extend(models.into_iter().map(|(name, json)| (provider.clone(), name, object(json))));
    }
    let mut random = Random::new(20_260_613);
    for _ in 0..500 {
        let (provider, name, row) = random.pick(&rows);
        let tokens = *random.pick(&[1_u64, 31_999, 32_000, 128_001, 200_000, 200_001, 272_001, 600_000]);
        let got = rated(&catalog, ours(provider), name, "2026-07-01T00:00:00Z", json!({"usage": {"input": tokens, "output": 7}}));
        let Some(cost) = row.get("cost").map(|cost| object(cost)) else {
            assert!(matches!(got, Err(Unpriced::NoCard(_))), "{provider}/{name}: {got:?}");
            continue;
        };
        let mut holds = cost.clone();
        let tiers = cost.get("tiers").map(|tiers| list(tiers)).unwrap_or_default();
        let size = |tier: &BTreeMap<String, &RawValue>| object(tier["tier"])["size"].get().parse::<u64>().unwrap();
        let mut tiers: Vec<_> = tiers.into_iter().map(object).filter(|tier| tokens > size(tier)).collect();
        tiers.sort_by_key(size);
        tiers.into_iter().for_each(|tier| holds.extend(tier));
        let expected = decimal(holds["input"].get()) * tokens + decimal(holds["output"].get()) * 7_u32;
        if object_is_zero(&cost) {
            assert!(matches!(got, Err(Unpriced::NoCard(NoCard::DoubtfulZero { .. }))), "{provider}/{name}: {got:?}");
        } else {
            let got = BigInt::from(got.unwrap().units()) * BigInt::from(10).pow(12);
            assert_eq!(got, expected, "{provider}/{name} with {tokens} tokens");
        }
    }
}

/// All that is asked is free, and nobody said that it is.
fn object_is_zero(cost: &BTreeMap<String, &RawValue>) -> bool {
    cost.iter().filter(|(key, _)| models_dev_meter(key).is_some()).all(|(_, value)| decimal(value.get()) == BigInt::ZERO)
}

/// The meter of a key of genai-prices, and for how many of that meter its price is.
fn genai_meter(key: &str) -> Option<(Meter, u64)> {
    Some(match key {
        "input_mtok" => (Meter::Input, 1_000_000),
        "output_mtok" => (Meter::Output, 1_000_000),
        "cache_read_mtok" => (Meter::CacheRead, 1_000_000),
        "cache_write_mtok" => (Meter::CacheWrite, 1_000_000),
        "cache_write_1h_mtok" => (Meter::CacheWrite1h, 1_000_000),
        "output_reasoning_mtok" => (Meter::Reasoning, 1_000_000),
        "input_audio_mtok" => (Meter::AudioInput, 1_000_000),
        "cache_audio_read_mtok" => (Meter::AudioCacheRead, 1_000_000),
        "output_audio_mtok" => (Meter::AudioOutput, 1_000_000),
        "input_image_mtok" => (Meter::ImageInput, 1_000_000),
        "output_image_mtok" => (Meter::ImageOutput, 1_000_000),
        "input_video_mtok" => (Meter::VideoInput, 1_000_000),
        "requests_kcount" => (Meter::Request, 1_000),
        "web_searches_kcount" => (Meter::WebSearch, 1_000),
        "input_document_kpages" => (Meter::Page, 1_000),
        "input_mchars" => (Meter::Character, 1_000_000),
        "audio_hours" | "input_audio_hours" => (Meter::Millisecond, 3_600_000),
        _ => return None,
    })
}

/// The rows of a data set: provider, model, and the fields of the row.
fn genai_rows(json: &str) -> Vec<(String, String, BTreeMap<String, &RawValue>)> {
    let root = whole(json);
    let providers = if json.starts_with('[') { list(root) } else { list(object(root)["providers"]) };
    let mut rows = Vec::new();
    for provider in providers.into_iter().map(object) {
        let models = list(provider["models"]).into_iter().map(object);
        rows.extend(models.map(|model| (text(provider["id"]), text(model["id"]), model)));
    }
    rows
}

/// All price objects of a row: those of its prices, then those of its variants.
fn genai_prices_of<'j>(row: &BTreeMap<String, &'j RawValue>) -> Vec<BTreeMap<String, &'j RawValue>> {
    let mut prices = Vec::new();
    match row["prices"].get().starts_with('{') {
        true => prices.push(object(row["prices"])),
        false => prices.extend(list(row["prices"]).into_iter().map(|entry| object(object(entry)["prices"]))),
    }
    let variants = row.get("price_variants").map(|variants| list(variants)).unwrap_or_default();
    prices.extend(variants.into_iter().map(|variant| object(object(variant)["prices"])));
    prices
}

/// The literals of one price: the base, and each threshold's.
fn literals(price: &RawValue) -> Vec<(Option<u64>, &str)> {
    if !price.get().starts_with('{') {
        return vec![(None, price.get())];
    }
    let price = object(price);
    let tiers = list(price["tiers"]).into_iter().map(object);
    let tiers = tiers.map(|tier| (Some(tier["start"].get().parse().unwrap()), tier["price"].get()));
    std::iter::once((None, price["base"].get())).chain(tiers).collect()
}

/// Whether some card of a model carries a literal, exactly or rounded to the last decimal with a note.
fn is_on_a_card(model: &Model, meter: Meter, start: Option<u64>, literal: &str, per: u64) -> bool {
    let is_right = |rate: Rate, card: &Card| {
        let distance = BigInt::from(rate.units()) * BigInt::from(1_000_000) * per - decimal(literal);
        let half: BigInt = BigInt::from(1_000_000) * per / 2_u64;
        let noted = card.origin.remark.as_deref().is_some_and(|note| note.starts_with("rounded half to even"));
        distance == BigInt::ZERO || (noted && distance >= -half.clone() && distance <= half)
    };
    model.cards.iter().any(|card| {
        let conditional =
            card.when.iter().filter(|when| when.prompt_tokens_over == start).filter_map(|when| when.rates.get(meter));
        let base = card.rates.get(meter).filter(|_| start.is_none());
        conditional.chain(base).any(|rate| is_right(rate, card))
    })
}

/// Whether a match rule has anything but exact names.
fn has_a_pattern(rule: &RawValue) -> bool {
    object(rule).into_iter().any(|(key, value)| match key.as_str() {
        "equals" => false,
        "or" => list(value).into_iter().any(has_a_pattern),
        _ => true,
    })
}

#[test]
fn every_price_of_genai_prices_is_on_a_card_or_in_a_note() {
    for json in GENAI_PRICES.iter().filter_map(|name| real(name)) {
        let imported = genai_prices::read(&json).unwrap();
        let mut expected = Expected::default();
        for provider in imported.lists.iter().filter(|list| ["azure", "google"].contains(&&*list.provider)) {
            expected.note("fallback_model_providers", &provider.provider);
        }
        for (provider, name, row) in genai_rows(&json) {
            let id = format!("{provider}/{name}");
            if has_a_pattern(row["match"]) {
                expected.note("match by a pattern", &id);
            }
            for variant in row.get("price_variants").map(|variants| list(variants)).unwrap_or_default() {
                let when = object(variant)["when"].get();
                if when.contains("route") || when.contains("search_type") {
                    expected.note(&format!("price_variants {when}"), &id);
                }
            }
            let prices = genai_prices_of(&row);
            let is_mapped = prices.iter().flat_map(|prices| prices.keys()).any(|key| genai_meter(key).is_some());
            let model = find(&imported.lists, &provider, &name);
            if !is_mapped && !name.ends_with(":free") {
                expected.note("no price", &id);
                assert!(model.is_none());
            }
            for (key, price) in prices.into_iter().flatten() {
                let Some((meter, per)) = genai_meter(&key) else {
                    expected.note(&key, &id);
                    continue;
                };
                let of_a_noted_variant = provider == "perplexity" || name == "mistralai/mistral-large-4-0";
                for (start, literal) in literals(price) {
                    let found = is_on_a_card(model.unwrap(), meter, start, literal, per);
                    assert!(found || of_a_noted_variant, "{id}: {key} {literal}");
                }
            }
        }
        assert_eq!(counted(&imported.notes), expected.counts());
    }
}

/// A plain reading of the data set's own rules, entry by entry and key by key, for one moment and one wish.
struct Naive<'j> {
    row: &'j BTreeMap<String, &'j RawValue>,
    /// `2026-02-03T10:00:00Z`
    at: &'j str,
}

impl<'j> Naive<'j> {
    fn holds(&self, entry: &BTreeMap<String, &RawValue>) -> bool {
        let Some(constraint) = entry.get("constraint").map(|constraint| object(constraint)) else { return true };
        if let Some(date) = constraint.get("start_date") {
            return self.at[..10] >= *text(date);
        }
        let (from, until) = (text(constraint["start_time"]), text(constraint["end_time"]));
        assert!(from.ends_with("Z") || from.ends_with("+00:00"));
        let (from, until, now) = (&from[..5], &until[..5], &self.at[11..16]);
        if from < until { from <= now && now < until } else { from <= now || now < until }
    }

    /// The last entry that holds, else the first.
    fn prices(&self) -> BTreeMap<String, &'j RawValue> {
        if self.row["prices"].get().starts_with('{') {
            return object(self.row["prices"]);
        }
        let entries: Vec<_> = list(self.row["prices"]).into_iter().map(object).collect();
        object(entries.iter().rfind(|entry| self.holds(entry)).unwrap_or(&entries[0])["prices"])
    }

    /// The prices for a wish, or nothing where none is stated for it yet.
    fn prices_for(&self, wish: Option<&str>) -> Option<BTreeMap<String, &'j RawValue>> {
        let mut prices = self.prices();
        let Some(wish) = wish else { return Some(prices) };
        let variants = self.variants().into_iter().filter(|(about, variant)| about == wish && self.holds(variant));
        let variants: Vec<_> = variants.map(|(_, variant)| object(variant["prices"])).collect();
        // The first one that has a key has the say, so it is laid on last.
        variants.iter().rev().for_each(|variant| prices.extend(variant.clone()));
        (!variants.is_empty()).then_some(prices)
    }

    fn variants(&self) -> Vec<(String, BTreeMap<String, &'j RawValue>)> {
        let variants = self.row.get("price_variants").map(|variants| list(variants)).unwrap_or_default();
        let mut by_wish = Vec::new();
        for variant in variants.into_iter().map(object) {
            let (about, word) = object(variant["when"]).pop_first().unwrap();
            if ["processing", "service_tier", "speed"].contains(&&*about) {
                by_wish.push((text(word), variant));
            }
        }
        by_wish
    }
}

/// What may be used, and the keys that price it: its own first, then those of the units that include it.
const USES: [(&str, bool, &[&str]); 14] = [
    ("input", true, &["input_mtok"]),
    ("output", false, &["output_mtok"]),
    ("cache_read", true, &["cache_read_mtok", "input_mtok"]),
    ("cache_write", true, &["cache_write_mtok", "input_mtok"]),
    ("cache_write_1h", true, &["cache_write_1h_mtok", "cache_write_mtok", "input_mtok"]),
    ("reasoning", false, &["output_reasoning_mtok", "output_mtok"]),
    ("audio_input", true, &["input_audio_mtok", "input_mtok"]),
    ("audio_cache_read", true, &["cache_audio_read_mtok", "input_audio_mtok", "cache_read_mtok", "input_mtok"]),
    ("audio_output", false, &["output_audio_mtok", "output_mtok"]),
    ("image_input", true, &["input_image_mtok", "input_mtok"]),
    ("image_output", false, &["output_image_mtok", "output_mtok"]),
    ("video_input", true, &["input_video_mtok", "input_mtok"]),
    ("web_search", false, &["web_searches_kcount"]),
    ("page", false, &["input_document_kpages"]),
];

/// The cost in 10^-30, or nothing where a use has no price.
fn naive_cost(prices: &BTreeMap<String, &RawValue>, usage: &BTreeMap<&str, u64>) -> Option<BigInt> {
    let prompt: u64 = USES.iter().filter(|(_, is_prompt, _)| *is_prompt).filter_map(|(name, ..)| usage.get(name)).sum();
    let mut charged: Vec<(&str, u64)> = Vec::new();
    for (name, count) in usage {
        let keys = USES.iter().find(|(other, ..)| other == name).unwrap().2;
        charged.push((keys.iter().find(|key| prices.contains_key(**key))?, *count));
    }
    charged.extend(prices.contains_key("requests_kcount").then_some(("requests_kcount", 1)));
    let mut total = BigInt::ZERO;
    for (key, count) in charged {
        let in_force = literals(prices[key]).into_iter().filter(|(start, _)| start.is_none_or(|start| prompt > start));
        let (_, literal) = in_force.max_by_key(|(start, _)| *start).unwrap();
        total += decimal(literal) * count / genai_meter(key).unwrap().1;
    }
    Some(total)
}

#[test]
fn random_calls_cost_what_a_plain_reading_of_genai_prices_says() {
    for json in GENAI_PRICES.iter().filter_map(|name| real(name)) {
        let catalog = catalog(genai_prices::read(&json).unwrap());
        let rows = genai_rows(&json);
        let eventful: Vec<_> =
            rows.iter().filter(|(.., row)| row["prices"].get().starts_with('[') || row.contains_key("price_variants")).collect();
        let mut random = Random::new(20_261_110);
        let (mut priced, mut unpriced) = (0, 0);
        for turn in 0..2_000 {
            // Those whose price depends on something are few, so they get half of the turns.
            let (provider, name, row) = if turn % 2 == 0 { random.pick(&rows) } else { *random.pick(&eventful) };
            let at = moment(&mut random, row);
            let naive = Naive { row, at: &at };
            let mut wishes: Vec<_> = naive.variants().into_iter().map(|(wish, _)| Some(wish)).collect();
            wishes.push(None);
            let wish = random.pick(&wishes).clone();
            let usage = usage(&mut random);

            let more = json!({"service_tier": wish, "usage": usage});
            let got = rated(&catalog, ours(provider), name, &at, more);
            let prices = naive.prices_for(wish.as_deref());
            let is_gift = name.ends_with(":free") && row["prices"].get() == "{}";
            let expected = prices.and_then(|prices| if is_gift { Some(BigInt::ZERO) } else { naive_cost(&prices, &usage) });
            let got = got.map(|amount| BigInt::from(amount.units()) * BigInt::from(1_000_000));
            assert_eq!(got.clone().ok(), expected, "{provider}/{name} at {at} for {wish:?} with {usage:?}: {got:?}");
            *(if got.is_ok() { &mut priced } else { &mut unpriced }) += 1;
        }
        assert!(priced > 500 && unpriced > 50, "{priced} priced, {unpriced} not: the draw proves little");
    }
}

/// Any minute of two and a half years, or the last second before a date of the row, or the first one of it.
fn moment(random: &mut Random, row: &BTreeMap<String, &RawValue>) -> String {
    let all: String = row.values().map(|value| value.get()).collect();
    let dates: Vec<&str> = all.split("\"start_date\"").skip(1).map(|rest| rest.split('"').nth(1).unwrap()).collect();
    let second = match dates.is_empty() || random.below(2) == 0 {
        true => Instant::parse("2025-01-01T00:00:00Z").unwrap().micros() + random.below(1_300_000) as i64 * 60_000_000,
        false => {
            let midnight = Instant::parse(&format!("{}T00:00:00Z", random.pick(&dates))).unwrap();
            midnight.micros() - random.below(2) as i64 * 1_000_000
        }
    };
    Instant::from_micros(second).to_string()
}

/// Some counts, the prompt below, at or above the usual thresholds.
fn usage(random: &mut Random) -> BTreeMap<&'static str, u64> {
    let input = *random.pick(&[1, 99_999, 128_000, 199_999, 200_000, 200_001, 272_000, 272_001, 600_000]);
    let mut usage = BTreeMap::from([("input", input)]);
    for (name, ..) in USES.iter().skip(1).filter(|(name, ..)| *name != "page") {
        if random.below(4) == 0 {
            usage.insert(name, 1 + random.below(1_000));
        }
    }
    usage
}

#[test]
fn o3_costs_what_it_cost_on_that_day() {
    for json in GENAI_PRICES.iter().filter_map(|name| real(name)) {
        let catalog = catalog(genai_prices::read(&json).unwrap());
        let cost = |at, model| rated(&catalog, "openai", model, at, json!({"usage": {"input": 1_000_000, "output": 100_000}}));
        // 1M x 10/M + 0.1M x 40/M, then 1M x 2/M + 0.1M x 8/M. A table without dates, such as LiteLLM's, has the second only.
        assert_eq!(cost("2025-06-09T23:59:59.999999Z", "o3"), amount("14.0"));
        assert_eq!(cost("2025-06-10T00:00:00Z", "o3"), amount("2.8"));
        assert_eq!(cost("2025-06-10T00:00:00Z", "o3-2025-04-16"), amount("2.8"));
    }
}

#[test]
fn the_cases_that_peers_disagree_about() {
    let Some(json) = real(GENAI_PRICES[1]) else { return };
    let catalog = catalog(genai_prices::read(&json).unwrap());
    let at = "2026-11-01T02:00:00Z";
    let cost = |provider, model, usage| rated(&catalog, provider, model, at, json!({"usage": usage}));

    // 10k x 2.5/M + 90k x 1.25/M + 500 x 10/M. LiteLLM's float says 0.14250000000000002.
    assert_eq!(cost("openai", "gpt-4o", json!({"input": 10_000, "cache_read": 90_000, "output": 500})), amount("0.1425"));
    // Beyond 272,000 all of it is at 5/M and 22.5/M: 1.5 + 0.0225. LiteLLM: 1.5225000000000002.
    assert_eq!(cost("openai", "gpt-5.4", json!({"input": 300_000, "output": 1_000})), amount("1.5225"));
    // Exactly at the threshold the base holds: 0.25 + 0.01. A tool that tests with >= doubles it.
    assert_eq!(cost("google", "gemini-2.5-pro", json!({"input": 200_000, "output": 1_000})), amount("0.26"));
    // Cached tokens count towards the threshold: 200k x 2.5/M + 100k x 0.25/M + 2k x 15/M.
    assert_eq!(
        cost("google", "gemini-2.5-pro", json!({"input": 200_000, "cache_read": 100_000, "output": 2_000})),
        amount("0.555")
    );
    // 10k x 3/M + 90k x 0.3/M + 1k x 15/M, and 10k written at 3.75/M for five minutes or 6/M for an hour. Who knows one
    // price of writing is wrong once.
    let written = |meter: &str| json!({"input": 10_000, "cache_read": 90_000, meter: 10_000, "output": 1_000});
    assert_eq!(cost("anthropic", "claude-sonnet-4-5", written("cache_write")), amount("0.1095"));
    assert_eq!(cost("anthropic", "claude-sonnet-4-5", written("cache_write_1h")), amount("0.132"));
    // 250k x 6/M + 1k x 22.5/M by this table; LiteLLM's says 0.765.
    assert_eq!(cost("anthropic", "claude-sonnet-4-5", json!({"input": 250_000, "output": 1_000})), amount("1.5225"));
    // At two in the morning UTC the dear hours: 2k x 0.27/M + 8k x 0.07/M + 1k x 1.1/M.
    assert_eq!(
        cost("deepseek", "deepseek-chat", json!({"input": 2_000, "cache_read": 8_000, "output": 1_000})),
        amount("0.0022")
    );
    // 10k x 3/M + 1k x 15/M; LiteLLM answers 0.0 without an error, and for a model that does not exist as well.
    assert_eq!(cost("openrouter", "anthropic/claude-sonnet-4.5", json!({"input": 10_000, "output": 1_000})), amount("0.045"));
    assert!(matches!(cost("anthropic", "claude-newfamily-9", json!({"input": 1})), Err(Unpriced::NoCard(_))));

    // 100k x 1.25/M + 1k x 7.5/M. LiteLLM charges the standard 0.265 for batch, and for a tier that does not exist.
    let tier = |tier, at| {
        let more = json!({"service_tier": tier, "usage": {"input": 100_000, "output": 1_000}});
        rated(&catalog, "openai", "gpt-5.4", at, more)
    };
    assert_eq!(tier("batch", at), amount("0.1325"));
    assert_eq!(tier("priority", at), amount("0.53"));
    assert_eq!(tier("default", at), amount("0.265"));
    assert!(matches!(tier("nonsense", at), Err(Unpriced::NoCard(NoCard::NoTier { .. }))));
    // The table states batch prices from 2026-10-14 only; the standard price before that would be an invention.
    assert!(matches!(tier("batch", "2026-10-13T23:59:59Z"), Err(Unpriced::NoCard(NoCard::NotInForce { .. }))));
}
