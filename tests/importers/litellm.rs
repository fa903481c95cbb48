//! LiteLLM's price list. What the real file says is read here a second time, from its literal text and in big integers,
//! by code that shares nothing with the importer.

use crate::support::random::Random;
use farthing::catalog::source::{Imported, litellm, own};
use farthing::catalog::{Catalog, List, Model, Part};
use farthing::flow::now;
use farthing::money::Rate;
use farthing::rating::{self, Rating};
use farthing::time::Instant;
use farthing::usage::Meter;
use farthing::usage::dialect::{Context, native};
use num_bigint::BigInt;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

fn real() -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/litellm_model_prices_1.109.1.json");
    let json = std::fs::read_to_string(path).ok();
    if json.is_none() {
        eprintln!("the list of LiteLLM 1.109.1 is not on this machine; it was not compared");
    }
    json
}

fn list_of<'l>(imported: &'l Imported, provider: &str) -> &'l List {
    imported.lists.iter().find(|list| &*list.provider == provider).unwrap()
}

fn yaml_of(imported: &Imported, provider: &str) -> String {
    own::write(&Part::List(Arc::new(list_of(imported, provider).clone())))
}

/// A list with each of LiteLLM's habits once.
const HABITS: &str = r#"{
    "sample_spec": {"litellm_provider": "one of the routes", "input_cost_per_token": "USD per token"},
    "acme/clash": {"litellm_provider": "acme", "input_cost_per_token": 1e-06, "input_cost_per_image": 0.01, "output_cost_per_image": 0.02},
    "acme/films": {"litellm_provider": "acme", "output_cost_per_second": 0.3, "output_cost_per_second_480p": 0.1},
    "acme/limits": {"litellm_provider": "acme", "max_input_tokens": 8192, "mode": "chat", "supports_vision": true},
    "acme/night": {"litellm_provider": "acme", "input_cost_per_token": 3e-07, "output_cost_per_token": 6e-07, "off_peak_pricing": {
        "input_cost_per_token": 1.5e-07,
        "windows": [{"hours_utc": ["04:00-06:00", "22:00-00:00"], "weekdays": [1, 5]}, {"hours_utc": "00:00-00:00", "weekdays": [6, 7]}]}},
    "acme/noise": {"litellm_provider": "acme", "input_cost_per_token": 2.0000000000000002e-07, "output_cost_per_token": 0.0000004},
    "acme/odd": {"litellm_provider": "acme", "input_cost_per_token": 1e-06, "input_cost_per_smile": 1,
        "cache_creation_input_token_cost_above_12hr": 2e-06,
        "search_context_cost_per_query": {"search_context_size_low": 0.005, "search_context_size_medium": 0.008, "search_context_size_high": 0.012}},
    "acme/plain": {"litellm_provider": "acme", "source": "https://acme.example/prices", "deprecation_date": "2027-01-01",
        "input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07, "output_cost_per_reasoning_token": 7e-07,
        "cache_read_input_token_cost": 0, "input_cost_per_token_cache_hit": 0.0, "cache_creation_input_token_cost": 1.875e-07,
        "cache_creation_input_token_cost_above_1hr": 3E-7, "input_cost_per_audio_token": null, "web_search_billing_unit": "per_query",
        "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_medium": 1e-2, "search_context_size_high": 0.010}},
    "acme/ranges": {"litellm_provider": "acme", "tiered_pricing": [
        {"range": [0, 32000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06},
        {"range": [32000.0, 128000.0], "input_cost_per_token": 1.8e-06, "output_cost_per_token": 9e-06},
        {"range": [128000.0, 1000000.0], "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05}]},
    "acme/regions": {"litellm_provider": "acme", "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1.5e-05,
        "input_cost_per_token_above_272k_tokens": 5e-06, "input_cost_per_request": 0.001,
        "regional_processing_uplift_multiplier_eu": 1.1, "provider_specific_entry": {"us": 1.25, "fast": 2.0, "mood": "good"}},
    "acme/seconds": {"litellm_provider": "acme", "input_cost_per_second": 0.00010278, "output_cost_per_second": 0.0},
    "acme/tiers": {"litellm_provider": "acme", "input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06,
        "cache_read_input_token_cost": 2e-07, "input_cost_per_token_above_200k_tokens": 4e-06,
        "input_cost_per_token_priority": 3e-06, "output_cost_per_token_priority": 1.2e-05, "input_cost_per_token_above_200k_tokens_priority": 6e-06,
        "input_cost_per_token_batches": 1e-06, "output_cost_per_token_batches": 4e-06, "input_cost_per_token_decisions": 1e-09,
        "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_medium": 0.01, "search_context_size_high": 0.01}},
    "acme/upper": {"litellm_provider": "acme", "input_cost_per_token": 1e-06, "input_cost_per_token_above_200k_tokens_flex": 1e-06},
    "acme/zero": {"litellm_provider": "acme", "input_cost_per_token": 0, "output_cost_per_token": 0.0},
    "acme/word": {"litellm_provider": "acme", "input_cost_per_token": "cheap"},
    "acme/negative": {"litellm_provider": "acme", "input_cost_per_token": -1e-06},
    "acme/gap": {"litellm_provider": "acme", "tiered_pricing": [{"range": [0, 10], "input_cost_per_token": 1}, {"range": [20, 30], "input_cost_per_token": 2}]},
    "acme/nobody": {"input_cost_per_token": 1e-06},
    "acme/nothing": [],
    "vertex_ai/gemini-x": {"litellm_provider": "vertex_ai", "input_cost_per_token": 9e-06},
    "gemini-x": {"litellm_provider": "vertex_ai-language-models", "input_cost_per_token": 1e-06, "regional_endpoint_uplift_multiplier": 1.1},
    "vertex_ai/gemini-y": {"litellm_provider": "vertex_ai", "input_cost_per_token": 1e-06},
    "gemini-y": {"litellm_provider": "vertex_ai-language-models", "input_cost_per_token": 0.000001},
    "gemini/gemini-x": {"litellm_provider": "gemini", "input_cost_per_token": 1e-06},
    "azure/eu/gpt-x": {"litellm_provider": "azure", "input_cost_per_token": 1e-06},
    "azure/gpt-y": {"litellm_provider": "azure_text", "input_cost_per_token": 1e-06},
    "us.anthropic.claude-x": {"litellm_provider": "bedrock_converse", "input_cost_per_token": 1e-06},
    "bedrock/us-east-1/claude-x": {"litellm_provider": "bedrock", "input_cost_per_token": 1e-06}
}"#;

#[test]
fn the_importer_understands_each_habit_of_the_list() {
    let imported = litellm::read(HABITS).unwrap();
    insta::assert_snapshot!(yaml_of(&imported, "acme"), @r#"
    provider: acme
    absent: unknown
    source: "LiteLLM model_prices_and_context_window.json"
    note: "per unit in USD, as listed"
    models:
      - model: clash
        cards:
          - input_per_1m: "1"
      - model: night
        cards:
          - input_per_1m: "0.3"
            output_per_1m: "0.6"
            when:
              - utc: "04:00-06:00"
                days: [monday, friday]
                input_per_1m: "0.15"
              - utc: "22:00-00:00"
                days: [monday, friday]
                input_per_1m: "0.15"
              - days: [saturday, sunday]
                input_per_1m: "0.15"
      - model: noise
        cards:
          - input_per_1m: "0.20000000000000002"
            output_per_1m: "0.4"
            remark: "float noise in the source: input_cost_per_token 2.0000000000000002e-07"
      - model: odd
        cards:
          - input_per_1m: "1"
      - model: plain
        cards:
          - input_per_1m: "0.15"
            cache_read_per_1m: "0"
            cache_write_per_1m: "0.1875"
            cache_write_1h_per_1m: "0.3"
            output_per_1m: "0.6"
            reasoning_per_1m: "0.7"
            web_search_each: "0.01"
            source: "https://acme.example/prices"
      - model: ranges
        cards:
          - input_per_1m: "1"
            output_per_1m: "5"
            when:
              - prompt_tokens_over: 32000
                input_per_1m: "1.8"
                output_per_1m: "9"
              - prompt_tokens_over: 128000
                input_per_1m: "3"
                output_per_1m: "15"
      - model: regions
        cards:
          - input_per_1m: "2.5"
            output_per_1m: "15"
            request_each: "0.001"
            when:
              - prompt_tokens_over: 272000
                input_per_1m: "5"
              - region: eu
                input_per_1m: "2.75"
                output_per_1m: "16.5"
              - prompt_tokens_over: 272000
                region: eu
                input_per_1m: "5.5"
              - region: us
                input_per_1m: "3.125"
                output_per_1m: "18.75"
              - prompt_tokens_over: 272000
                region: us
                input_per_1m: "6.25"
          - service_tier: fast
            input_per_1m: "5"
            output_per_1m: "30"
            request_each: "0.001"
            when:
              - prompt_tokens_over: 272000
                input_per_1m: "10"
              - region: eu
                input_per_1m: "5.5"
                output_per_1m: "33"
              - prompt_tokens_over: 272000
                region: eu
                input_per_1m: "11"
              - region: us
                input_per_1m: "6.25"
                output_per_1m: "37.5"
              - prompt_tokens_over: 272000
                region: us
                input_per_1m: "12.5"
      - model: seconds
        cards:
          - millisecond_each: "0.00000010278"
      - model: tiers
        cards:
          - input_per_1m: "2"
            cache_read_per_1m: "0.2"
            output_per_1m: "8"
            web_search_each: "0.01"
            when:
              - prompt_tokens_over: 200000
                input_per_1m: "4"
          - service_tier: batch
            input_per_1m: "1"
            output_per_1m: "4"
            web_search_each: "0.01"
          - service_tier: priority
            input_per_1m: "3"
            output_per_1m: "12"
            web_search_each: "0.01"
            when:
              - prompt_tokens_over: 200000
                input_per_1m: "6"
      - model: upper
        cards:
          - input_per_1m: "1"
      - model: zero
        cards:
          - input_per_1m: "0"
            output_per_1m: "0"
    "#);
}

#[test]
fn what_is_not_understood_is_said_by_name_and_loses_no_other_row() {
    let imported = litellm::read(HABITS).unwrap();
    insta::assert_snapshot!(imported.notes.join("\n"), @r#"
    cache_creation_input_token_cost_above_12hr: on 1 rows (acme/odd)
    float noise, taken as written: on 1 rows (acme/noise)
    input_cost_per_image: another rate for the same meter is beside it, so neither is taken: on 1 rows (acme/clash)
    input_cost_per_smile: on 1 rows (acme/odd)
    input_cost_per_token_above_200k_tokens_flex: its tier has no rate below a threshold, so it is not taken: on 1 rows (acme/upper)
    input_cost_per_token_decisions: on 1 rows (acme/tiers)
    listed twice at different prices, not taken: on 1 rows (vertex_ai/gemini-x)
    no price: on 2 rows (acme/films, acme/limits)
    not taken, input_cost_per_token: `-1e-06` is negative; a rate cannot be: on 1 rows (acme/negative)
    not taken, input_cost_per_token: expected a number, found a string: on 1 rows (acme/word)
    not taken, row.litellm_provider: missing: on 1 rows (acme/nobody)
    not taken, row: expected an object, found an array: on 1 rows (acme/nothing)
    not taken, tiered_pricing.range: 20-30 does not follow a range that ends at 10: on 1 rows (acme/gap)
    output_cost_per_image: another rate for the same meter is beside it, so neither is taken: on 1 rows (acme/clash)
    output_cost_per_second: it depends on more than an event says, so it is not taken: on 1 rows (acme/films)
    output_cost_per_second_480p: on 1 rows (acme/films)
    provider_specific_entry.mood: on 1 rows (acme/regions)
    regional_endpoint_uplift_multiplier: it is for every region but the global one, so it is not taken: on 1 rows (gemini-x)
    search_context_cost_per_query: it depends on the size of the context, so it is not taken: on 1 rows (acme/odd)
    "#);
}

#[test]
fn routes_of_one_seller_are_one_provider() {
    let imported = litellm::read(HABITS).unwrap();
    let names: Vec<String> = imported
        .lists
        .iter()
        .flat_map(|list| list.models.iter().map(move |model| format!("{}: {}", list.provider, model.name)))
        .filter(|name| !name.starts_with("acme"))
        .collect();
    let expected = [
        "azure: eu/gpt-x",
        "azure: gpt-y",
        "bedrock: us-east-1/claude-x",
        "bedrock: us.anthropic.claude-x",
        "google: gemini-x",
        "vertex: gemini-x",
        "vertex: gemini-y",
    ];
    assert_eq!(names, expected);
    // The bare name is kept, whichever comes first.
    let [gemini, _] = &list_of(&imported, "vertex").models[..] else { panic!() };
    assert_eq!(gemini.cards[0].rates.get(Meter::Input), Some(Rate::parse("0.000001").unwrap()));
    assert_eq!(gemini.cards[0].origin.remark.as_deref(), Some("not modelled: regional endpoints cost 1.1 times as much"));
}

#[test]
fn a_rate_that_is_not_finite_per_unit_is_rounded_and_says_so() {
    let list = r#"{"acme/ear": {"litellm_provider": "acme", "input_cost_per_second": 0.000166666666666666666666},
                   "acme/fine": {"litellm_provider": "acme", "input_cost_per_token": 1e-23, "regional_processing_uplift_multiplier_eu": 1.25}}"#;
    let imported = litellm::read(list).unwrap();
    let [ear, fine] = &list_of(&imported, "acme").models[..] else { panic!() };
    assert_eq!(ear.cards[0].rates.get(Meter::Millisecond), Some(Rate::parse("0.000000166666666666666667").unwrap()));
    let note = "float noise in the source: input_cost_per_second 0.000166666666666666666666; \
                rounded to 24 decimals: input_cost_per_second 0.000166666666666666666666";
    assert_eq!(ear.cards[0].origin.remark.as_deref(), Some(note));
    // 12.5 of the smallest unit, half to even.
    assert_eq!(fine.cards[0].when[0].rates.get(Meter::Input), Some(Rate::parse("1.2e-23").unwrap()));
    assert_eq!(fine.cards[0].origin.remark.as_deref(), Some("rounded to 24 decimals: input times 1.25"));
    assert_eq!(
        imported.notes,
        ["float noise, taken as written: on 1 rows (acme/ear)", "rounded to 24 decimals: on 1 rows (acme/ear)"]
    );
}

#[test]
fn a_list_that_is_none_changes_nothing() {
    for (json, why) in [
        ("<html>", "list: expected an object, found no JSON"),
        ("[]", "list: expected an object, found an array"),
        ("{\"a\": {", "list: broken JSON"),
        ("{}", "list: none of its 0 rows has a price"),
        ("{\"error\": {\"message\": \"rate limited\"}}", "list: none of its 1 rows has a price"),
        ("{\"sample_spec\": {\"litellm_provider\": \"x\", \"input_cost_per_token\": 1}}", "none of its 1 rows has a price"),
    ] {
        let said = litellm::read(json).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
}

/// A number as its digits and the power of ten they are to be taken by.
#[derive(Debug)]
struct Decimal {
    digits: BigInt,
    power: i64,
}

impl Decimal {
    fn parse(literal: &str) -> Decimal {
        let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let power = exponent.parse::<i64>().unwrap() - fraction.len() as i64;
        Decimal { digits: format!("{whole}{fraction}").parse().unwrap(), power }
    }

    /// Whether a rate per 10^`per` units is this number.
    fn is(&self, rate: Rate, per: i64) -> bool {
        let ten = |power: i64| BigInt::from(10).pow(power.try_into().unwrap());
        let (mine, theirs) = (self.power + 24 - per, 0);
        let lowest = mine.min(theirs);
        &self.digits * ten(mine - lowest) == BigInt::from(rate.units()) * ten(theirs - lowest)
    }
}

type Fields = BTreeMap<String, Box<RawValue>>;

fn fields(json: &str) -> Fields {
    serde_json::from_str(json).unwrap()
}

/// A row of the file, and the model it became.
struct Row<'i> {
    key: String,
    fields: Fields,
    model: Option<&'i Model>,
}

/// The rows of the file. Of those that lead to one model only the one whose prices it has.
fn rows_of<'i>(json: &str, imported: &'i Imported) -> Vec<Row<'i>> {
    let models: BTreeMap<(&str, &str), &Model> = imported
        .lists
        .iter()
        .flat_map(|list| list.models.iter().map(move |model| ((&*list.provider, &*model.name), model)))
        .collect();
    let mut rows: BTreeMap<(String, String), Row> = BTreeMap::new();
    for (key, row) in fields(json).into_iter().filter(|(key, _)| key != "sample_spec") {
        let row = fields(row.get());
        let route: String =
            row.get("litellm_provider").map_or_else(String::new, |route| serde_json::from_str(route.get()).unwrap());
        let provider = match route.as_str() {
            "gemini" => "google",
            "bedrock_converse" => "bedrock",
            "azure_text" => "azure",
            "cohere_chat" => "cohere",
            "text-completion-openai" => "openai",
            "text-completion-codestral" => "codestral",
            "text-completion-inception" => "inception",
            "fireworks_ai-embedding-models" => "fireworks_ai",
            vertex if vertex.starts_with("vertex_ai") => "vertex",
            other => other,
        };
        let behind = key.split_once('/').filter(|(head, _)| [&*route, provider, "vertex_ai"].contains(head));
        let name = behind.map_or(&*key, |(_, name)| name).to_owned();
        let model = models.get(&(provider, &*name)).copied();
        let is_bare = behind.is_none();
        let place = (provider.to_owned(), name);
        if is_bare || !rows.contains_key(&place) {
            rows.insert(place, Row { key, fields: row, model });
        }
    }
    rows.into_values().collect()
}

/// Every number of a value by its path, and every word that stands where one would.
fn numbers(path: &str, value: &RawValue, found: &mut Vec<(String, String)>) {
    match value.get().as_bytes()[0] {
        b'{' => {
            for (key, value) in fields(value.get()).iter().filter(|(key, _)| *key != "range" && *key != "windows") {
                numbers(&format!("{path}.{key}"), value, found);
            }
        }
        b'[' => {
            serde_json::from_str::<Vec<Box<RawValue>>>(value.get()).unwrap().iter().for_each(|value| numbers(path, value, found))
        }
        _ => found.push((path.to_owned(), value.get().to_owned())),
    }
}

/// Whether some card of the model has what stands under a path.
fn is_on_a_card(model: &Model, path: &str, literal: &str) -> bool {
    if let Some(region) =
        path.strip_prefix("regional_processing_uplift_multiplier_").or(path.ends_with("_entry.us").then_some("us"))
    {
        return model.cards.iter().all(|card| card.when.iter().any(|when| when.region.as_deref() == Some(region)));
    }
    if path.ends_with("_entry.fast") {
        return model.cards.iter().any(|card| card.service_tier.as_deref() == Some("fast"));
    }
    if !literal.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let price = Decimal::parse(literal);
    let per = if path.contains("per_second") { 3 } else { 0 };
    // A side that costs nothing needs no rate beside one that does.
    let free_side = price.digits == BigInt::ZERO && !path.contains("token");
    let mut rates =
        model.cards.iter().flat_map(|card| card.rates.iter().chain(card.when.iter().flat_map(|when| when.rates.iter())));
    free_side || rates.any(|(_, rate)| price.is(rate, per))
}

/// How many rows the notes under a name speak of.
fn noted(imported: &Imported, name: &str) -> usize {
    let rows = |line: &String| line.rsplit_once(": on ")?.1.split_once(" rows")?.0.parse::<usize>().ok();
    imported.notes.iter().filter(|line| line.split([':', ',']).next() == Some(name)).filter_map(rows).sum()
}

/// The name under which notes speak of a path: its own or that of what it is in.
fn named_in_notes(imported: &Imported, path: &str) -> String {
    let mut name = path;
    while noted(imported, name) == 0 {
        match name.rsplit_once('.') {
            Some((whole, _)) => name = whole,
            None => return path.to_owned(),
        }
    }
    name.to_owned()
}

/// Every key that speaks of money is on a card, number by number, or in the notes as often as it is not.
#[test]
fn nothing_of_the_real_file_is_lost() {
    let Some(json) = real() else { return };
    let imported = litellm::read(&json).unwrap();
    let words = ["cost", "price", "pricing", "uplift", "multiplier", "tier", "free", "billing", "provider_specific"];
    let mut missing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut without_model, mut on_cards) = (0, 0);
    for Row { key, fields, model } in rows_of(&json, &imported) {
        let Some(model) = model else {
            without_model += 1;
            continue;
        };
        // That a search is counted by the query is what its price means anyway.
        fields
            .iter()
            .filter(|(name, _)| words.iter().any(|word| name.contains(word)) && *name != "web_search_billing_unit")
            .for_each(|(name, value)| {
                let mut stated = Vec::new();
                numbers(name, value, &mut stated);
                for (path, literal) in stated {
                    if is_on_a_card(model, &path, &literal) {
                        on_cards += 1;
                    } else {
                        missing.entry(named_in_notes(&imported, &path)).or_default().insert(key.clone());
                    }
                }
            });
    }
    for (name, rows) in &missing {
        let noted = noted(&imported, name);
        assert!(rows.len() <= noted, "{name}: missing on {} rows, noted on {noted}: {rows:?}", rows.len());
    }
    assert_eq!(without_model, noted(&imported, "no price") + noted(&imported, "not taken"));
    assert!(on_cards > 15_000, "only {on_cards} prices were found on cards");
}

/// Where on a card the rates of a few keys belong, said once more.
const SLOTS: [(&str, Meter); 7] = [
    ("input_cost_per_token", Meter::Input),
    ("output_cost_per_token", Meter::Output),
    ("cache_read_input_token_cost", Meter::CacheRead),
    ("cache_creation_input_token_cost", Meter::CacheWrite),
    ("cache_creation_input_token_cost_above_1hr", Meter::CacheWrite1h),
    ("output_cost_per_reasoning_token", Meter::Reasoning),
    ("input_cost_per_audio_token", Meter::AudioInput),
];
const OVER: [(&str, Option<u64>); 6] = [
    ("", None),
    ("_above_100k_tokens", Some(100_000)),
    ("_above_128k_tokens", Some(128_000)),
    ("_above_200k_tokens", Some(200_000)),
    ("_above_272k_tokens", Some(272_000)),
    ("_above_512k_tokens", Some(512_000)),
];
const TIERS: [(&str, Option<&str>); 6] = [
    ("", None),
    ("_priority", Some("priority")),
    ("_flex", Some("flex")),
    ("_batches", Some("batch")),
    ("_balanced", Some("balanced")),
    ("_ultrafast", Some("ultrafast")),
];

/// The rate in one place, without anything that would stand in for it.
fn rate_at(model: &Model, tier: Option<&str>, over: Option<u64>, meter: Meter) -> Option<Rate> {
    let card = model.cards.iter().find(|card| card.service_tier.as_deref() == tier)?;
    match over {
        None => card.rates.get(meter),
        Some(_) => card
            .when
            .iter()
            .find(|when| when.prompt_tokens_over == over && when.region.is_none())
            .and_then(|when| when.rates.get(meter)),
    }
}

/// 500 models: what the file says is there to the last digit, and what it does not say is not there.
#[test]
fn rates_are_those_of_the_real_file() {
    let Some(json) = real() else { return };
    let imported = litellm::read(&json).unwrap();
    let seed =
        std::env::var("FARTHING_IMPORT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| now().micros() as u64);
    println!("FARTHING_IMPORT_SEED={seed}");
    let mut random = Random::new(seed);
    let rows: Vec<Row> = rows_of(&json, &imported)
        .into_iter()
        .filter(|row| row.fields.contains_key("input_cost_per_token") && !row.fields.contains_key("tiered_pricing"))
        .collect();
    let mut compared = 0;
    for _ in 0..500 {
        let Row { key, fields, model } = random.pick(&rows);
        let model = model.unwrap_or_else(|| panic!("{key} is not there"));
        // Cached pictures, or what was cached on request, at another rate than other cached input: no event tells them apart.
        let withheld = |meter| {
            meter == Meter::CacheRead
                && (fields.contains_key("cache_read_input_image_token_cost")
                    || fields.contains_key("explicit_cache_read_input_token_cost"))
        };
        for ((base, meter), (above, over), (end, tier)) in
            SLOTS.iter().flat_map(|slot| OVER.iter().flat_map(move |over| TIERS.iter().map(move |tier| (*slot, *over, *tier))))
        {
            let name = format!("{base}{above}{end}");
            let rate = rate_at(model, tier, over, meter).map(|rate| (rate, &name));
            // A tier that is priced above a threshold only is no card.
            let is_based = SLOTS.iter().any(|(base, _)| fields.contains_key(&format!("{base}{end}")));
            match (fields.get(&name).filter(|_| is_based && !withheld(meter)), rate) {
                (Some(literal), Some((rate, _))) => {
                    assert!(Decimal::parse(literal.get()).is(rate, 0), "{key}: {name} is {literal} there and {rate} here");
                    compared += 1;
                }
                (None, None) => {}
                (there, here) => panic!("{key}: {name} is {there:?} there and {here:?} here"),
            }
        }
    }
    assert!(compared > 1_000, "only {compared} rates were compared");
}

/// The import goes through the door that every catalog goes through, and survives our own file format.
#[test]
fn the_real_file_makes_a_catalog() {
    let Some(json) = real() else { return };
    let imported = litellm::read(&json).unwrap();
    for list in &imported.lists {
        let part = Part::List(Arc::new(list.clone()));
        let written = own::write(&part);
        assert_eq!(own::read(&written).unwrap_or_else(|mistakes| panic!("{}: {mistakes:?}", list.provider)), [part]);
    }
    catalog(imported);
}

fn catalog(imported: Imported) -> Catalog {
    Catalog::build(imported.lists.into_iter().map(|list| Part::List(Arc::new(list)))).unwrap()
}

/// What an event costs, or why it has no price.
fn price(catalog: &Catalog, product: &str, usage: &str) -> String {
    let event = format!(r#"{{"id":"e","source":"s","occurred_at":"2026-11-12T12:00:00Z",{product},"usage":{{{usage}}}}}"#);
    let context = Context { received_at: Instant::parse("2026-11-13T00:00:00Z").unwrap(), source: None, strict: true };
    match rating::rate(&native::read(&event, &context).unwrap(), catalog) {
        Rating::Rated(rated) => rated.amount.to_string(),
        Rating::Unpriced(why) => why.to_string(),
    }
}

/// Cases of which each is answered wrongly, or not exactly, by some tool that prices from this very list.
#[test]
fn calls_are_priced_as_the_list_means_it() {
    let Some(json) = real() else { return };
    let catalog = catalog(litellm::read(&json).unwrap());
    let gpt = r#""provider":"openai","model":"gpt-5.4""#;
    let gemini = r#""provider":"google","model":"gemini-2.5-pro""#;
    let claude = r#""provider":"anthropic","model":"claude-sonnet-4-5""#;
    let tier = |product: &str, tier: &str| format!(r#"{product},"service_tier":"{tier}""#);
    let region = |product: &str, region: &str| format!(r#"{product},"region":"{region}""#);
    for (product, usage, cost) in [
        // LiteLLM says 0.14250000000000002.
        (r#""provider":"openai","model":"gpt-4o""#.to_owned(), r#""input":10000,"cache_read":90000,"output":500"#, "0.1425"),
        // The whole request at the upper rate; LiteLLM says 1.5225000000000002.
        (gpt.to_owned(), r#""input":300000,"output":1000"#, "1.5225"),
        (gpt.to_owned(), r#""input":272000"#, "0.68"),
        (gpt.to_owned(), r#""input":272001"#, "1.360005"),
        // Exactly at the threshold is still below it; cached tokens count towards it.
        (gemini.to_owned(), r#""input":200000,"output":1000"#, "0.26"),
        (gemini.to_owned(), r#""input":200000,"cache_read":100000,"output":2000"#, "0.555"),
        (claude.to_owned(), r#""cache_read":90000,"cache_write":10000,"input":10000,"output":1000"#, "0.1095"),
        (claude.to_owned(), r#""cache_read":90000,"cache_write_1h":10000,"input":10000,"output":1000"#, "0.132"),
        (tier(gpt, "flex"), r#""input":100000,"output":1000"#, "0.1325"),
        (tier(gpt, "priority"), r#""input":100000,"output":1000"#, "0.53"),
        // LiteLLM charges both as standard, 0.265, without a word.
        (tier(gpt, "batch"), r#""input":100000,"output":1000"#, "0.1325"),
        (
            tier(gpt, "nonsense"),
            r#""input":100000,"output":1000"#,
            "no rate card for openai/gpt-5.4 in service tier nonsense; publish one, so that it is not charged as standard by mistake",
        ),
        // A tenth more in a region, below and above the threshold and in a tier.
        (region(gpt, "eu"), r#""input":100000,"output":1000"#, "0.2915"),
        (region(gpt, "eu"), r#""input":300000,"output":1000"#, "1.67475"),
        (region(&tier(gpt, "flex"), "us"), r#""input":300000,"output":1000"#, "0.837375"),
        // Twice the rates in the fast mode, and a tenth more on top in the US.
        (
            region(&tier(r#""provider":"anthropic","model":"claude-opus-5-5""#, "fast"), "us"),
            r#""input":1000000,"output":100000"#,
            "13.2",
        ),
        // The family has rules but no price: LiteLLM says 0.0 and no error.
        (
            r#""provider":"anthropic","model":"claude-newfamily-9""#.to_owned(),
            r#""input":1000"#,
            "no rate card for anthropic/claude-newfamily-9 at 2026-11-12T12:00:00Z; publish one, set an override or add an alias",
        ),
    ] {
        assert_eq!(price(&catalog, &product, usage), cost, "{product} {usage}");
    }
}

/// The hours in which few call are half price, and no window is open at both of its ends.
#[test]
fn the_clock_decides_where_the_list_says_so() {
    let imported = litellm::read(HABITS).unwrap();
    let catalog = catalog(imported);
    let context = Context { received_at: Instant::parse("2026-11-30T00:00:00Z").unwrap(), source: None, strict: true };
    // 2026-11-13 is a Friday.
    for (at, cost) in [
        ("2026-11-13T03:59:59Z", "0.3"),
        ("2026-11-13T04:00:00Z", "0.15"),
        ("2026-11-13T06:00:00Z", "0.3"),
        ("2026-11-13T23:59:59Z", "0.15"),
        ("2026-11-14T12:00:00Z", "0.15"),
        ("2026-11-12T05:00:00Z", "0.3"),
    ] {
        let event = format!(
            r#"{{"id":"e","source":"s","occurred_at":"{at}","provider":"acme","model":"night","usage":{{"input":1000000}}}}"#
        );
        let Rating::Rated(rated) = rating::rate(&native::read(&event, &context).unwrap(), &catalog) else { panic!("{at}") };
        assert_eq!(rated.amount.to_string(), cost, "{at}");
    }
}
