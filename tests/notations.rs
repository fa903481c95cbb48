//! Prices in other people's notations, in both directions: what each gateway writes is the same rate, what is handed back is
//! the same price or warns of what it is not, and ceilings mean what they say. Expectations are worked out by hand.

use farthing::catalog::quoted::{self, Notation, Quoted};
use farthing::catalog::source::gateways::{self, About, Gateway};
use farthing::catalog::source::{notation, own};
use farthing::catalog::{
    Card, Catalog, Ceiling, Conditional, Origin, Override, OverrideKind, Overrides, Part, Pattern, Rates, Scope, Slice, shipped,
};
use farthing::money::{Amount, Currency, Rate};
use farthing::rating::Rating;
use farthing::time::Instant;
use farthing::usage::dialect::{Context, native};
use farthing::usage::{Meter, Text};
use farthing::yaml::Mistake;
use proptest::prelude::*;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

fn text(text: &str) -> Text {
    Text::new(text).unwrap()
}

/// Rates per single unit.
fn rates(of: &[(Meter, &str)]) -> Rates {
    Rates::new(of.iter().map(|(meter, rate)| (*meter, Rate::parse(rate).unwrap())).collect())
}

fn said(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| mistake.to_string()).collect::<Vec<_>>().join("\n")
}

fn own_parts(yaml: &str) -> Vec<Part> {
    own::read(yaml).unwrap_or_else(|mistakes| panic!("{}\n{yaml}", said(&mistakes)))
}

fn mistakes_of_own(yaml: &str) -> String {
    said(&own::read(yaml).unwrap_err())
}

fn read(gateway: Gateway, file: &str) -> Result<Vec<Part>, Vec<Mistake>> {
    let about = About { provider: Some(text("openrouter")), model: Some(text("openai/gpt-4o-mini")) };
    gateways::read(gateway, file, &about)
}

fn mistakes_of(gateway: Gateway, file: &str) -> String {
    said(&read(gateway, file).unwrap_err())
}

/// The overrides of a text that states one provider's.
fn overrides(parts: Vec<Part>) -> Overrides {
    let mut overrides = parts.into_iter().filter_map(|part| if let Part::Overrides(it) = part { Some(it) } else { None });
    let only = overrides.next().unwrap();
    assert!(overrides.next().is_none(), "one provider");
    Arc::unwrap_or_clone(only)
}

fn ceilings(yaml: &str) -> Vec<Ceiling> {
    overrides(own_parts(yaml)).ceilings
}

/// 0.15 in and 0.60 out per million, so 0.00015 and 0.0006 per thousand; with 0.075 for what was cached where that can be said.
#[test]
fn one_price_in_every_notation_is_one_rate() {
    let plain = rates(&[(Meter::Input, "0.00000015"), (Meter::Output, "0.0000006")]);
    let cached = rates(&[(Meter::Input, "0.00000015"), (Meter::CacheRead, "0.000000075"), (Meter::Output, "0.0000006")]);
    let in_our_files = [
        (r#"input_per_token: "0.00000015", output_per_token: "6e-7""#, &plain),
        (r#"input_per_1k: "0.00015", cache_read_per_1k: "0.000075", output_per_1k: "0.0006""#, &cached),
        (r#"input_per_1m: "0.15", cache_read_per_1m: "0.075", output_per_1m: "0.60""#, &cached),
        (r#"pricing: {inputCostPer1K: "0.00015", outputCostPer1K: "0.0006", cachedCostPer1K: "0.000075"}"#, &cached),
        (
            r#"input_usd_per_million_tokens: "0.15", output_usd_per_million_tokens: "0.6", cache_read_usd_per_million_tokens: "0.075""#,
            &cached,
        ),
        (
            r#"pricing: {input_price_per_million: "0.15", output_price_per_million: "0.6", cached_input_price_per_million: "0.075"}"#,
            &cached,
        ),
        (r#"pricing: {input_cost_per_1k_tokens: "0.00015", output_cost_per_1k_tokens: "0.0006"}"#, &plain),
        (
            r#"pricing: {input_cost_per_1k: "0.00015", output_cost_per_1k: "0.0006", cached_input_cost_per_1k: "0.000075"}"#,
            &cached,
        ),
        (r#"pricing: {per_1m_input_token: "0.15", per_1m_output_token: "0.6", per_1m_cache_read_token: "0.075"}"#, &cached),
    ];
    for (pricing, wanted) in in_our_files {
        let yaml = format!("provider: openrouter\noverrides: [{{kind: contract, model: openai/gpt-4o-mini, {pricing}}}]\n");
        assert_eq!(overrides(own_parts(&yaml)).overrides[0].rates, *wanted, "{pricing}");
    }

    let in_theirs = [
        (
            Gateway::Omnia,
            r#"
apiVersion: omnia.altairalabs.ai/v1alpha1
kind: Provider
metadata: {name: openrouter, namespace: agents}
spec:
  type: openai
  model: openai/gpt-4o-mini
  baseURL: https://openrouter.ai/api/v1
  pricing: {inputCostPer1K: "0.00015", outputCostPer1K: "0.0006", cachedCostPer1K: "0.000075"}
"#,
            &cached,
        ),
        (
            Gateway::Omnia,
            r#"{"kind": "Provider", "metadata": {"name": "or"}, "spec": {"type": "openrouter", "model": "openai/gpt-4o-mini",
            "pricing": {"inputCostPer1K": "0.00015", "outputCostPer1K": "0.0006"}}}"#,
            &plain,
        ),
        (
            Gateway::Promptkit,
            "
source: inline
correct_at: 2026-08-01
currency: usd
items:
  - {unit: input_token, rate: 0.00000015}
  - {unit: output_token, rate: 6e-07}
  - {unit: cache_read_token, rate: 7.5e-08}
",
            &cached,
        ),
        (Gateway::Promptkit, "per_1m_input_token: 0.15\nitems: [{per_1m_output_token: 0.6}]\n", &plain),
        (
            Gateway::Oceans,
            r#"
models:
  - id: fast
    routes:
      - provider: openrouter
        upstream_model: openai/gpt-4o-mini
        pricing_override:
          input_usd_per_million_tokens: "0.15"
          output_usd_per_million_tokens: "0.6000"
          cache_read_usd_per_million_tokens: "0.0750"
"#,
            &cached,
        ),
        (
            Gateway::Keeptrusts,
            "
providers:
  targets:
    - id: openrouter-mini
      provider: openrouter:chat:openai/gpt-4o-mini
      pricing: {input_price_per_million: 0.15, output_price_per_million: 0.6, cached_input_price_per_million: 0.075}
",
            &cached,
        ),
        (
            Gateway::Keeptrusts,
            r#"[{"model":"openai/gpt-4o-mini","provider":"openrouter","input_cost_per_1k_tokens":0.00015,
            "output_cost_per_1k_tokens":6e-4}]"#,
            &plain,
        ),
    ];
    for (gateway, file, wanted) in in_theirs {
        let read = overrides(read(gateway, file).unwrap_or_else(|mistakes| panic!("{}\n{file}", said(&mistakes))));
        let [only] = <[Override; 1]>::try_from(read.overrides).unwrap();
        assert_eq!((&*read.provider, &only.model), ("openrouter", &Pattern::Exact(text("openai/gpt-4o-mini"))), "{file}");
        assert_eq!((&only.rates, only.kind, &only.scope), (wanted, OverrideKind::Contract, &Scope::Org), "{file}");
    }
}

#[test]
fn every_unit_of_a_gateway_is_read() {
    let yaml = r#"provider: acme
overrides:
  - kind: contract
    pricing:
      per_1m_cache_write_token: "3.75"
      per_1m_reasoning_token: "15"
      per_1m_audio_input_token: "40"
      per_1m_audio_output_token: "80"
      per_1m_character: "16"
      cost_per_request: "0.005"
"#;
    let wanted = rates(&[
        (Meter::CacheWrite, "0.00000375"),
        (Meter::Reasoning, "0.000015"),
        (Meter::AudioInput, "0.00004"),
        (Meter::AudioOutput, "0.00008"),
        (Meter::Character, "0.000016"),
        (Meter::Request, "0.005"),
    ]);
    assert_eq!(overrides(own_parts(yaml)).overrides[0].rates, wanted);
}

#[test]
fn rates_finer_than_a_ten_thousandth_of_a_dollar_survive_in_and_out() {
    // 0.083333 and 0.003625 per million are 0.000083333 and 0.000003625 per thousand.
    let fine = rates(&[(Meter::Input, "0.000000083333"), (Meter::CacheRead, "0.000000003625"), (Meter::Output, "0.000001")]);
    let quoted = |notation| quoted::quote(&Card::of(fine.clone()), "openrouter", "a/x", notation);

    insta::assert_snapshot!(quoted(Notation::Omnia).text, @r#"
    pricing:
      inputCostPer1K: "0.000083333"
      outputCostPer1K: "0.001"
      cachedCostPer1K: "0.000003625"
    "#);
    insta::assert_snapshot!(quoted(Notation::Litellm).text, @r#"
    {
      "model_info": {
        "input_cost_per_token": 0.000000083333,
        "output_cost_per_token": 0.000001,
        "cache_read_input_token_cost": 0.000000003625
      }
    }
    "#);
    insta::assert_snapshot!(quoted(Notation::ModelsDev).text, @r#"
    {
      "cost": {
        "input": 0.083333,
        "output": 1,
        "cache_read": 0.003625
      }
    }
    "#);
    for notation in [Notation::Litellm, Notation::ModelsDev] {
        assert_eq!(quoted(notation).warnings, Vec::<String>::new());
    }

    let oceans = quoted(Notation::Oceans);
    insta::assert_snapshot!(oceans.text, @r#"
    pricing_override:
      input_usd_per_million_tokens: "0.0833"
      output_usd_per_million_tokens: "1"
      cache_read_usd_per_million_tokens: "0.0036"
    "#);
    insta::assert_snapshot!(oceans.warnings.join("\n"), @r#"
    openrouter/a/x: input_usd_per_million_tokens 0.083333 is written as 0.0833, because oceans keeps 4 decimals
    openrouter/a/x: cache_read_usd_per_million_tokens 0.003625 is written as 0.0036, because oceans keeps 4 decimals
    "#);
}

#[test]
fn a_half_of_a_ten_thousandth_is_rounded_to_the_even_one() {
    let rounded = |per_million: &str| {
        let rates = Rates::new(vec![(Meter::Input, Rate::parse_per(per_million, 6).unwrap()), (Meter::Output, Rate::ZERO)]);
        let text = quoted::quote(&Card::of(rates), "p", "m", Notation::Oceans).text;
        text.lines().nth(1).unwrap().split('"').nth(1).unwrap().to_owned()
    };
    let halves = ["0.00005", "0.00015", "0.00025", "0.000050000000001", "12.34565"].map(rounded);
    assert_eq!(halves, ["0", "0.0002", "0.0002", "0.0001", "12.3456"]);
}

#[test]
fn what_a_notation_cannot_carry_is_warned_of_by_name() {
    let card = Card {
        variant: Some(text("batch")),
        when: vec![
            Conditional {
                prompt_tokens_over: Some(128_000),
                rates: rates(&[(Meter::Input, "0.000004")]),
                ..Conditional::default()
            },
            Conditional {
                prompt_tokens_over: Some(200_000),
                rates: rates(&[(Meter::Input, "0.000006"), (Meter::Output, "0.0000225"), (Meter::WebSearch, "0.02")]),
                ..Conditional::default()
            },
            Conditional {
                prompt_tokens_over: Some(272_500),
                rates: rates(&[(Meter::Input, "0.000007")]),
                ..Conditional::default()
            },
            Conditional { prompt_tokens_over: Some(1000), rates: rates(&[(Meter::Input, "0.000008")]), ..Conditional::default() },
            Conditional { region: Some(text("eu")), rates: rates(&[(Meter::Input, "0.0000033")]), ..Conditional::default() },
        ],
        graduated: vec![Slice { over: 100, rates: rates(&[(Meter::Page, "0.001")]) }],
        ..Card::of(rates(&[
            (Meter::Input, "0.000003"),
            (Meter::CacheRead, "0.0000003"),
            (Meter::CacheWrite1h, "0.000006"),
            (Meter::Output, "0.000015"),
            (Meter::Reasoning, "0.000015"),
            (Meter::WebSearch, "0.01"),
        ]))
    };
    let said = |notation| {
        let Quoted { text, warnings } = quoted::quote(&card, "openrouter", "a/x", notation);
        format!("{text}{}", warnings.join("\n").replace("openrouter/a/x: ", ""))
    };
    insta::assert_snapshot!(said(Notation::Omnia), @r#"
    pricing:
      inputCostPer1K: "0.003"
      outputCostPer1K: "0.015"
      cachedCostPer1K: "0.0003"
    holds for variant batch only, and omnia takes it for every call
    omnia has no graduated rates (over 100)
    omnia has no rate for cache_write_1h
    omnia has no rate for web_search
    omnia has no rates for prompt tokens over 128000
    omnia has no rates for prompt tokens over 200000
    omnia has no rates for prompt tokens over 272500
    omnia has no rates for prompt tokens over 1000
    omnia has no rates for region eu
    omnia keeps cachedCostPer1K without using it, so the costs it computes leave cache reads out
    "#);
    insta::assert_snapshot!(said(Notation::Oceans), @r#"
    pricing_override:
      input_usd_per_million_tokens: "3"
      output_usd_per_million_tokens: "15"
      cache_read_usd_per_million_tokens: "0.3"
    holds for variant batch only, and oceans takes it for every call
    oceans has no graduated rates (over 100)
    oceans has no rate for cache_write_1h
    oceans has no rate for web_search
    oceans has no rates for prompt tokens over 128000
    oceans has no rates for prompt tokens over 200000
    oceans has no rates for prompt tokens over 272500
    oceans has no rates for prompt tokens over 1000
    oceans has no rates for region eu
    "#);
    insta::assert_snapshot!(said(Notation::Litellm), @r#"
    {
      "model_info": {
        "input_cost_per_token": 0.000003,
        "output_cost_per_token": 0.000015,
        "cache_read_input_token_cost": 0.0000003,
        "cache_creation_input_token_cost_above_1hr": 0.000006,
        "output_cost_per_reasoning_token": 0.000015,
        "input_cost_per_token_above_128k_tokens": 0.000004,
        "output_cost_per_token_above_128k_tokens": 0.000015,
        "cache_read_input_token_cost_above_128k_tokens": 0.0000003,
        "cache_creation_input_token_cost_above_1hr_above_128k_tokens": 0.000006,
        "input_cost_per_token_above_200k_tokens": 0.000006,
        "output_cost_per_token_above_200k_tokens": 0.0000225,
        "cache_read_input_token_cost_above_200k_tokens": 0.0000003,
        "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 0.000006
      }
    }
    holds for variant batch only, and litellm takes it for every call
    litellm has no graduated rates (over 100)
    litellm has no rate for web_search
    litellm has no rates for prompt tokens over 1000
    litellm has no rates for region eu
    litellm has no rate for web_search above 200k tokens
    litellm has thresholds in whole thousands only, so none at 272500 prompt tokens
    "#);
    insta::assert_snapshot!(said(Notation::ModelsDev), @r#"
    {
      "cost": {
        "input": 3,
        "output": 15,
        "cache_read": 0.3,
        "reasoning": 15,
        "tiers": [
          {"input": 4, "output": 15, "cache_read": 0.3, "reasoning": 15, "tier": {"type": "context", "size": 128000}},
          {"input": 6, "output": 22.5, "cache_read": 0.3, "reasoning": 15, "tier": {"type": "context", "size": 200000}},
          {"input": 7, "output": 22.5, "cache_read": 0.3, "reasoning": 15, "tier": {"type": "context", "size": 272500}}
        ],
        "context_over_200k": {"input": 6, "output": 22.5, "cache_read": 0.3, "reasoning": 15}
      }
    }
    holds for variant batch only, and models.dev takes it for every call
    models.dev has no graduated rates (over 100)
    models.dev has no rate for cache_write_1h
    models.dev has no rate for web_search
    models.dev has no rates for prompt tokens over 1000
    models.dev has no rates for region eu
    "#);
}

#[test]
fn a_free_card_is_handed_back_with_its_zeros() {
    let free = Card { free: true, ..Card::of(Rates::default()) };
    let said = |notation| quoted::quote(&free, "openrouter", "a/x:free", notation);
    insta::assert_snapshot!(said(Notation::ModelsDev).text, @r#"
    {
      "cost": {
        "input": 0,
        "output": 0
      }
    }
    "#);
    insta::assert_snapshot!(said(Notation::Omnia).warnings.join("\n"), @r#"
    openrouter/a/x:free: omnia uses a price only where input and output are both above zero, so it will not use this one
    "#);
    let router = Card { priced_as_answered: true, ..Card::of(Rates::default()) };
    let said = quoted::quote(&router, "openrouter", "openrouter/auto", Notation::Litellm);
    insta::assert_snapshot!(said.text + &said.warnings.join("\n"), @r#"
    {
      "model_info": {}
    }
    openrouter/openrouter/auto: is priced as the model that answered and has no price of its own
    "#);
}

#[test]
fn more_digits_than_a_double_has_are_warned_of_where_readers_use_one() {
    // 17 digits: a double reads 1e-7 instead.
    let card = Card::of(rates(&[(Meter::Input, "0.00000010000000000000001"), (Meter::Output, "0.0000000208333333333333")]));
    let warnings = |notation| quoted::quote(&card, "openrouter", "a/x", notation).warnings;
    assert_eq!(warnings(Notation::Omnia), Vec::<String>::new());
    let of_input = "openrouter/a/x: input_cost_per_token 0.00000010000000000000001 has more digits than a double, and a reader that uses one rounds it";
    assert_eq!(warnings(Notation::Litellm), [of_input]);
}

/// Every shipped card: without a warning its rates come back from Omnia's and Oceans' notation as they were, and a JSON
/// literal is always the card's own decimal.
#[test]
fn what_is_handed_back_reads_as_the_rates_it_was() {
    let parts = shipped::FILES.iter().flat_map(|(_, text)| own_parts(text));
    let lists: Vec<_> = parts.filter_map(|part| if let Part::List(list) = part { Some(list) } else { None }).collect();
    let mut unchanged = BTreeMap::new();
    for (list, model) in lists.iter().flat_map(|list| list.models.iter().map(move |model| (list, model))) {
        for card in &model.cards {
            let quoted = |notation| quoted::quote(card, &list.provider, &model.name, notation);
            for notation in [Notation::Omnia, Notation::Oceans] {
                let Quoted { text, warnings } = quoted(notation);
                if warnings.is_empty() {
                    let (_, rates) = text.split_once('\n').unwrap();
                    let yaml = format!("provider: acme\noverrides:\n- kind: contract\n{rates}");
                    assert_eq!(overrides(own_parts(&yaml)).overrides[0].rates, card.rates, "{}", model.name);
                    *unchanged.entry(notation.name()).or_insert(0) += 1;
                }
            }
            for (notation, spellings) in [(Notation::Litellm, notation::LITELLM), (Notation::ModelsDev, notation::MODELS_DEV)] {
                let text = quoted(notation).text;
                let whole: BTreeMap<&str, BTreeMap<String, &RawValue>> = serde_json::from_str(&text).unwrap();
                let (_, fields) = whole.first_key_value().unwrap();
                for (key, meter, power) in spellings {
                    let back = fields.get(*key).map(|literal| Rate::parse_per(literal.get(), *power).unwrap());
                    let implied = card.free && card.rates.is_empty();
                    assert!(back == card.rates.get(*meter) || implied, "{} {key}: {text}", model.name);
                }
            }
        }
    }
    assert!(unchanged["omnia"] > 100 && unchanged["oceans"] > 100, "{unchanged:?}");
}

#[test]
fn zero_is_a_price_and_input_alone_is_one() {
    let free = "{kind: Provider, metadata: {name: local}, spec: {type: ollama, model: llama, pricing: {inputCostPer1K: \"0\", outputCostPer1K: \"0\"}}}";
    let embedding =
        "{kind: Provider, metadata: {name: e}, spec: {type: openai, model: embed, pricing: {inputCostPer1K: \"0.00002\"}}}";
    let parts = read(Gateway::Omnia, &format!("{free}\n---\n{embedding}\n---\n{{kind: Secret}}\n")).unwrap();
    let catalog = Catalog::build(parts).unwrap();
    assert_eq!(amount(&catalog, "ollama", "llama", r#"{"input":5,"output":7}"#), Ok(Amount::ZERO));
    // 1000 tokens at 0.00002 per thousand.
    assert_eq!(amount(&catalog, "openai", "embed", r#"{"input":1000}"#), Ok(Amount::parse("0.00002").unwrap()));
}

/// What an event costs, or why that is not known.
fn amount(catalog: &Catalog, provider: &str, model: &str, usage: &str) -> Result<Amount, String> {
    let context = Context { received_at: Instant::parse("2026-11-01T00:00:00Z").unwrap(), source: None, strict: false };
    let event = format!(
        r#"{{"id":"e","source":"s","occurred_at":"2026-10-01T00:00:00Z","provider":"{provider}","model":"{model}","usage":{usage}}}"#
    );
    match farthing::rating::rate(&native::read(&event, &context).unwrap(), catalog) {
        Rating::Rated(rated) => Ok(rated.amount),
        Rating::Unpriced(unpriced) => Err(unpriced.to_string()),
    }
}

#[test]
fn where_oceans_looks_for_prices_is_taken_as_it_is_written() {
    let config = r#"
providers:
  - id: openrouter
    pricing_provider_id: openai
  - {id: gcp, pricing_provider_id: google-vertex-anthropic}
  - {id: bedrock, pricing_provider_id: amazon-bedrock}
routes:
  - {provider: openrouter, upstream_model: a/x, pricing_override: {input_usd_per_million_tokens: "0", output_usd_per_million_tokens: "0"}}
  - {provider: openrouter, upstream_model: b/y}
"#;
    let parts = read(Gateway::Oceans, config).unwrap();
    let looks: Vec<_> = parts
        .iter()
        .filter_map(|part| {
            if let Part::List(list) = part { Some((&*list.provider, list.pricing_provider_id.as_deref().unwrap())) } else { None }
        })
        .collect();
    // What has its own list under its own name needs nothing said.
    assert_eq!(looks, [("openrouter", "openai"), ("gcp", "vertex")]);

    let openai = own_parts("provider: openai\nmodels:\n  - model: gpt\n    cards: [{input_per_1m: \"1\"}]\n");
    let catalog = Catalog::build(parts.into_iter().chain(openai)).unwrap();
    assert_eq!(amount(&catalog, "openrouter", "a/x", r#"{"input":1}"#), Ok(Amount::ZERO));
    assert!(amount(&catalog, "openrouter", "openai/gpt", r#"{"input":1}"#).is_ok());
    let why = amount(&catalog, "openrouter", "b/y", r#"{"input":1}"#).unwrap_err();
    assert!(why.contains("pricing_provider_id openai does not help, because its list has no models of b"), "{why}");
}

#[test]
fn providers_and_routes_of_oceans_may_be_maps_by_name() {
    let config = r#"
providers: {azure-eu: {pricing_provider_id: openai}}
models:
  fast:
    provider: azure-eu
    upstream_model: gpt
    pricing_override: {input_usd_per_million_tokens: "1", output_usd_per_million_tokens: "2"}
"#;
    let parts = read(Gateway::Oceans, config).unwrap();
    assert!(matches!(&parts[0], Part::List(list) if &*list.provider == "azure-eu"));
    assert_eq!(&*overrides(parts).provider, "azure-eu");
}

#[test]
fn a_dimension_of_promptkit_is_a_condition_where_there_is_one() {
    let descriptor = "
items:
  - {unit: input_token, rate: 0.000003, dimensions: {service_tier: priority, region: eu}}
  - {unit: input_token, rate: 0.000002, dimensions: {service_tier: priority}}
  - {unit: input_token, rate: 0.000001}
";
    let read = overrides(read(Gateway::Promptkit, descriptor).unwrap());
    assert_eq!(read.overrides[0].rates, rates(&[(Meter::Input, "0.000001")]));
    // The narrower one comes later, because the later one wins.
    let tiers: Vec<_> = read.overrides[0].when.iter().map(|when| when.to_string()).collect();
    assert_eq!(tiers, ["service tier priority", "service tier priority, region eu"]);
}

#[test]
fn what_a_gateway_says_wrongly_is_told_with_its_line() {
    insta::assert_snapshot!(mistakes_of(Gateway::Omnia, r#"kind: Provider
metadata: {name: x}
spec:
  model: m
  pricing:
    inputCostPer1K: 0.003
    outputCostPer1M: "3"
    cachedCostPer1K: "-1"
"#), @r#"
    line 4: spec.type: missing
    line 6: spec.pricing.inputCostPer1K: a rate is a quoted decimal, so that no reader rounds it; write inputCostPer1K: "0.003"
    line 7: spec.pricing.outputCostPer1M: unknown field; rates are inputCostPer1K, outputCostPer1K, cachedCostPer1K
    line 8: spec.pricing.cachedCostPer1K: `-1` is negative; a rate cannot be
    "#);
    insta::assert_snapshot!(mistakes_of(Gateway::Promptkit, "source: remote
currency: dollars
items:
  - {unit: input_token, rate: cheap}
  - {unit: smile, rate: 1}
  - {unit: output_token, rate: 1, dimensions: {quality: hd}}
  - {unit: output_token}
  - {unit: output_token, rate: 1}
  - {unit: output_token, rate: 2}
"), @r#"
    line 1: source: `remote` names a price that stands elsewhere; write the items here
    line 2: currency: `DOLLARS` is not a currency: three capital letters, such as USD
    line 4: items.rate: `cheap` is not a decimal number
    line 5: items.unit: `smile` is unknown; known are input_token, output_token, cache_read_token, cache_write_token, reasoning_token, audio_input_token, audio_output_token, character
    line 6: items.dimensions.quality: no rate here depends on this dimension; known are service_tier, region
    line 7: items.rate: missing
    line 9: items: output has two rates for the same calls
    "#);
    insta::assert_snapshot!(mistakes_of(Gateway::Oceans, "providers:
  - {id: x, pricing_provider_id: mistral}
models:
  - routes:
      - provider: x
        pricing_override:
          input_usd_per_million_tokens: 0.15
          output_usd_per_million_tokens: \"1\"
      - {provider: x, upstream_model: m, pricing_override: {input_usd_per_million_tokens: \"1\"}}
"), @r#"
    line 2: providers.pricing_provider_id: `mistral` is unknown; known are openai, openrouter, google-vertex, google-vertex-anthropic, amazon-bedrock
    line 5: models.routes.upstream_model: missing
    line 7: models.routes.pricing_override.input_usd_per_million_tokens: a rate is a quoted decimal, so that no reader rounds it; write input_usd_per_million_tokens: "0.15"
    line 9: models.routes.pricing_override.output_usd_per_million_tokens: missing; Oceans takes input and output or neither
    "#);
    insta::assert_snapshot!(mistakes_of(Gateway::Keeptrusts, "providers:
  targets:
    - {id: a, provider: openrouter, pricing: {input_price_per_million: 1}}
    - {id: b, provider: \"openrouter:chat:a/x\", pricing: {input_price_per_million: 1, output_price_multiplier: 2}}
    - {id: c, provider: openrouter, model: a/x, pricing: {input_price_per_million: 1}}
    - {id: d, provider: \"openrouter:chat:a/x\", pricing: {input_price_per_million: 2}}
"), @r#"
    line 3: providers.targets.provider: does not say what is called; write provider:operation:model here, or a provider here and `model` beside it
    line 4: providers.targets.pricing.output_price_multiplier: unknown field; rates are input_price_per_million, output_price_per_million, cached_input_price_per_million, input_cost_per_1k_tokens, output_cost_per_1k_tokens
    line 6: providers.targets.pricing: openrouter/a/x has another price above; keep the one that is right
    "#);
    insta::assert_snapshot!(mistakes_of(Gateway::Keeptrusts, r#"[{"model": "a/x", "provider": "openrouter", "input": 1},
 {"provider": "openrouter", "input_cost_per_1k_tokens": 1}]"#), @r#"
    line 1: input: unknown field; rates are input_price_per_million, output_price_per_million, cached_input_price_per_million, input_cost_per_1k_tokens, output_cost_per_1k_tokens
    line 2: model: missing
    "#);
}

#[test]
fn a_text_without_a_price_is_not_taken_for_one() {
    for (gateway, file) in [
        (Gateway::Omnia, "kind: Provider\nspec: {type: openai}\n"),
        (Gateway::Promptkit, "source: inline\n"),
        (Gateway::Oceans, "models: []\n"),
        (Gateway::Keeptrusts, "[]"),
    ] {
        assert_eq!(mistakes_of(gateway, file), format!("line 1: states no price as {} writes it", gateway.name()));
    }
    insta::assert_snapshot!(said(&gateways::read(Gateway::Promptkit, "per_1m_character: 1\n", &About::default()).unwrap_err()), @r#"
    line 1: provider: missing; a PromptKit descriptor does not say which provider it prices, so name it beside the file
    line 1: model: missing; a PromptKit descriptor does not say which model it prices, so name it beside the file
    "#);
    assert_eq!(Gateway::named("oceans"), Some(Gateway::Oceans));
    assert_eq!((Notation::named("models.dev"), Notation::named("promptkit")), (Some(Notation::ModelsDev), None));
}

#[test]
fn a_max_price_means_what_its_author_means_by_it() {
    let in_units = ceilings(
        r#"provider: "*"
ceilings:
  - {input_per_1m: "5", output_per_1m: "20", request_each: "0.01", image_each: "0.02"}
  - {team: search, model: anthropic/*, from: 2026-01-01, input_per_1m: "5", output_per_1m: "20"}
  - {key: k, amount_per_request: "0.50"}
"#,
    );
    let in_their_words = ceilings(
        r#"provider: "*"
ceilings:
  - max_price: {notation: openrouter, prompt: "5", completion: "20", request: "0.01", image: "0.02"}
  - {team: search, model: anthropic/*, from: 2026-01-01, max_price: {notation: keeptrusts, input: "5", output: "20"}}
  - {key: k, max_price: {notation: cost-guard, max_cost_per_request_usd: "0.5"}}
"#,
    );
    assert_eq!(in_units, in_their_words);
    assert_eq!(in_units[2].per_request, Some(Amount::parse("0.5").unwrap()));
    assert!(in_units[2].rates.is_empty());
}

#[test]
fn a_ceiling_that_could_mean_two_things_is_refused() {
    insta::assert_snapshot!(mistakes_of_own(r#"provider: openrouter
ceilings:
  - max_price: {prompt: "5", completion: "20"}
  - max_price: {notation: ours, prompt: "5"}
  - max_price: {notation: keeptrusts, prompt: "5"}
  - {currency: EUR, max_price: {notation: keeptrusts, input: "5"}}
  - {team: a, key: b, input_per_1m: "5"}
  - {model: a/x}
  - {amount_per_request: 0.5, input: "5"}
  - {max_price: {notation: keeptrusts, input: "5"}, amount_per_request: "1"}
"#), @r#"
    line 3: ceilings.max_price: three systems mean three things by it: openrouter USD per million prompt and completion tokens, keeptrusts USD per million input and output tokens, cost-guard USD per request; say whose it is with `notation`, or write the unit instead: input_per_1m, amount_per_request
    line 4: ceilings.max_price.notation: `ours` is unknown; known are openrouter, keeptrusts, cost-guard
    line 5: ceilings.max_price.prompt: unknown field; rates are input, output
    line 6: ceilings.currency: a max_price is in USD; for another currency write the unit, such as input_per_1m
    line 7: ceilings: there is one scope: a team, a project or a key
    line 8: ceilings: a ceiling bounds something, such as output_per_1m: "20" or amount_per_request: "0.50"
    line 9: ceilings.amount_per_request: a rate is a quoted decimal, so that no reader rounds it; write amount_per_request: "0.5"
    line 9: ceilings.input: unknown field; rates are <meter>_per_token|_per_1k|_per_1m|_each and amount_per_request
    line 10: ceilings.amount_per_request: unknown field
    "#);
    insta::assert_snapshot!(mistakes_of_own(r#"provider: "*"
absent: included
overrides: [{kind: contract, input_per_1m: "5"}]
ceilings: [{input_per_1m: "5"}]
"#), @r#"
    line 1: provider: `*` stands for every provider and has ceilings only; rates name their provider
    "#);
    let twice = own_parts("provider: acme\nceilings: [{team: a, input_per_1m: \"5\"}, {team: a, output_per_1m: \"5\"}]\n");
    let clash = Catalog::build(twice).err().unwrap().to_string();
    assert!(clash.starts_with("acme/* ceiling for team a has two"), "{clash}");
}

fn any_text() -> impl Strategy<Value = Text> {
    prop_oneof!["[a-z]{1,6}(/[a-z0-9.:-]{1,8})?", "[ -~]{1,12}"].prop_map(|word| text(&word))
}

fn any_rates() -> impl Strategy<Value = Rates> {
    let meters: Vec<Meter> = Meter::ALL.into_iter().filter(|meter| *meter != Meter::Whole).collect();
    let rate = prop_oneof![Just(0_i128), 1..10_i128.pow(6), 1..10_i128.pow(26)].prop_map(Rate::from_units);
    prop::collection::btree_map(prop::sample::select(meters), rate, 0..5)
        .prop_map(|rates| Rates::new(rates.into_iter().collect()))
}

fn any_scope() -> impl Strategy<Value = Scope> {
    let named = (any_text(), prop::sample::select(vec![Scope::Team as fn(Text) -> Scope, Scope::Project, Scope::Key]));
    prop_oneof![Just(Scope::Org), named.prop_map(|(name, scope)| scope(name))]
}

/// Whom, what, from when, in which currency, and where it was read.
fn any_reach() -> impl Strategy<Value = (Scope, Pattern, Option<Instant>, Currency, Origin)> {
    let model = prop_oneof![Just(text("*")), any_text(), any_text().prop_map(|prefix| text(&format!("{prefix}*")))];
    let from = prop::option::of((0..4_000_000_000_000_000_i64).prop_map(Instant::from_micros));
    let currency = prop::sample::select(vec!["USD", "EUR"]).prop_map(|code| code.parse().unwrap());
    let origin = (prop::option::of(any_text()), prop::option::of(any_text()), prop::option::of(any_text()));
    let origin = origin.prop_map(|(source, checked, note)| Origin { remark: note.clone(), source, checked, note });
    (any_scope(), model.prop_map(Pattern::of), from, currency, origin)
}

fn any_override() -> impl Strategy<Value = Override> {
    let when = (any_text(), any_rates()).prop_map(|(region, rates)| Conditional {
        region: Some(region),
        rates,
        ..Conditional::default()
    });
    let when = when.prop_filter("a condition has rates", |when| !when.rates.is_empty());
    let any = (any_reach(), any_rates(), prop::collection::vec(when, 0..3)).prop_map(
        |((scope, model, from, currency, origin), rates, when)| {
            let kind = if scope == Scope::Org { OverrideKind::Contract } else { OverrideKind::Chargeback };
            Override { kind, scope, model, from, currency, rates, when, origin }
        },
    );
    any.prop_filter("an override has rates", |it| !it.rates.is_empty() || !it.when.is_empty())
}

fn any_ceiling() -> impl Strategy<Value = Ceiling> {
    let per_request = (0..10_i128.pow(26)).prop_map(Amount::from_units);
    let any = (any_reach(), any_rates(), prop::option::of(per_request)).prop_map(
        |((scope, model, from, currency, origin), rates, per_request)| Ceiling {
            scope,
            model,
            from,
            currency,
            rates,
            per_request,
            origin,
        },
    );
    any.prop_filter("a ceiling bounds something", |it| !it.rates.is_empty() || it.per_request.is_some())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_canonically_reads_as_it_was(
        provider in any_text(),
        overrides in prop::collection::vec(any_override(), 0..3),
        ceilings in prop::collection::vec(any_ceiling(), 0..3),
    ) {
        prop_assume!(!overrides.is_empty() || !ceilings.is_empty());
        prop_assume!(&*provider != "*");
        let part = Part::Overrides(Arc::new(Overrides { provider, overrides, ceilings }));
        let written = own::write(&part);
        let back = own::read(&written);
        prop_assert_eq!(back, Ok(vec![part]), "{}", written);
    }
}

#[test]
fn ceilings_alone_are_a_part_in_one_hand() {
    let yaml = r#"provider: "*"
ceilings:
  - input_per_1m: "5"
    amount_per_request: "0.5"
    note: "since the audit"
  - team: search
    model: "anthropic/*"
    from: 2026-01-01
    amount_per_request: "0"
"#;
    assert_eq!(own::write(&own_parts(yaml)[0]), yaml);
}
