//! The shipped catalogs, and the importer that one of them comes from.

use farthing::catalog::history::Look;
use farthing::catalog::source::{Imported, openrouter, own};
use farthing::catalog::{Catalog, List, Part, shipped};
use farthing::time::Instant;
use std::path::Path;
use std::sync::Arc;

fn read(name: &str, text: &str) -> Vec<Part> {
    own::read(text)
        .unwrap_or_else(|mistakes| panic!("{name}: {}", mistakes.iter().map(|m| m.to_string()).collect::<Vec<_>>().join("\n")))
}

/// The one list of an import as it was first seen on a day.
fn seen_on(date: &str, imported: Imported) -> Part {
    let [list] = <[List; 1]>::try_from(imported.lists).unwrap();
    Part::List(Arc::new(list.seen(None, Look::at(Instant::parse_date_or_instant(date).unwrap(), None))))
}

#[test]
fn every_file_in_the_folder_is_shipped_and_all_fit_together() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogs");
    let mut files: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let mut shipped: Vec<&str> = shipped::FILES.iter().map(|(name, _)| *name).collect();
    shipped.sort_unstable();
    assert_eq!(files, shipped);

    let parts = shipped::FILES.iter().flat_map(|(name, text)| read(name, text));
    let catalog = Catalog::build(parts).unwrap();
    let models: usize = catalog.lists().map(|list| list.models.len()).sum();
    assert!(models > 900, "{models} models");
}

#[test]
fn every_number_has_a_source_and_a_date() {
    for (name, text) in shipped::FILES {
        for part in read(name, text) {
            let Part::List(list) = part else { panic!("{name} ships overrides") };
            let whole = list.origin.source.is_some() && list.origin.checked.is_some();
            for model in &list.models {
                let of_card = model.cards.iter().all(|card| card.origin.source.is_some() && card.origin.checked.is_some());
                assert!(whole || of_card, "{name}: {} has numbers without a source", model.name);
            }
        }
    }
}

#[test]
fn reading_and_writing_a_file_changes_nothing() {
    for (name, text) in shipped::FILES {
        for part in read(name, text) {
            let written = own::write(&part);
            assert_eq!(read(name, &written), [part], "{name}");
        }
    }
}

/// The shipped OpenRouter list is what the importer makes of the list of its day. Where that list is at hand they are
/// compared; everywhere the shipped file must at least be in the importer's own hand.
#[test]
fn the_openrouter_list_is_the_importers_output() {
    let (_, shipped) = shipped::FILES.iter().find(|(name, _)| *name == "openrouter.yaml").unwrap();
    assert_eq!(own::write(&read("openrouter.yaml", shipped)[0]), *shipped);

    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/openrouter_models_2026-08-22.json");
    let Ok(json) = std::fs::read_to_string(fetched) else {
        eprintln!("the fetched list of 2026-08-22 is not on this machine; it was not compared");
        return;
    };
    let imported = openrouter::read(&json).unwrap();
    assert_eq!(imported.notes, Vec::<String>::new());
    assert_eq!(own::write(&seen_on("2026-08-22", imported)), *shipped);
}

/// A list with each of OpenRouter's habits once.
#[test]
fn the_importer_understands_each_habit_of_the_list() {
    let list = r#"{"data":[
        {"id":"a/plain","canonical_slug":"a/plain-20260101","pricing":{"prompt":"0.0000000208333333333333","completion":"0.00000010000000000000001","input_cache_read":"0"}},
        {"id":"a/plain:batch","canonical_slug":"a/plain-20260101","pricing":{"prompt":"0.00000001","completion":"0.00000005"}},
        {"id":"a/plain:free","canonical_slug":"a/plain-20260101","pricing":{"prompt":"0","completion":"0"}},
        {"id":"~a/latest","canonical_slug":"a/plain-20260101","alias_target":{"slug":"a/plain"},"pricing":{"prompt":"1","completion":"1"}},
        {"id":"a/tiered","pricing":{"prompt":"0.000002","completion":"0.000004","overrides":[{"min_prompt_tokens":272000,"prompt":"0.000004"}]}},
        {"id":"a/clocked","pricing":{"prompt":"0.000001","completion":"0.000003","overrides":[
            {"utc_start":1630,"utc_end":30,"prompt":"0.000001"},{"utc_start":30,"utc_end":1630,"prompt":"0.000002"},
            {"utc_start":1630,"utc_end":30,"utc_days":["saturday","sunday"],"prompt":"0.0000005"}]}},
        {"id":"a/pictures","pricing":{"prompt":"0.000001","completion":"0.000002","image":"0.000001","image_output":"0.00003"}},
        {"id":"a/per-picture","pricing":{"prompt":"0.000001","completion":"0.000002","image":"0.0048"}},
        {"id":"openrouter/auto","pricing":{"prompt":"-1","completion":"-1"}},
        {"id":"a/odd","pricing":{"prompt":"0.000001","completion":"0.000002","per_smile":"1","discount":0.5}}
    ]}"#;
    let imported = openrouter::read(list).unwrap();
    assert_eq!(imported.notes, ["discount: on 1 rows (a/odd)", "per_smile: on 1 rows (a/odd)"]);
    insta::assert_snapshot!(own::write(&seen_on("2026-08-22", imported)), @r#"
    provider: openrouter
    cost_basis: reported
    absent: included
    insured: [error, empty]
    source: "https://openrouter.ai/api/v1/models"
    checked: 2026-08-22
    note: "per unit in USD, as listed; an image rate equal to the prompt rate is taken as per token"
    models:
      - model: a/clocked
        cards:
          - from: 2026-08-22
            input_per_1m: "2"
            output_per_1m: "3"
            when:
              - utc: "16:30-00:30"
                input_per_1m: "1"
              - utc: "00:30-16:30"
                input_per_1m: "2"
              - utc: "16:30-00:30"
                days: [saturday, sunday]
                input_per_1m: "0.5"
      - model: a/odd
        cards:
          - from: 2026-08-22
            input_per_1m: "1"
            output_per_1m: "2"
      - model: a/per-picture
        cards:
          - from: 2026-08-22
            input_per_1m: "1"
            output_per_1m: "2"
            image_each: "0.0048"
      - model: a/pictures
        cards:
          - from: 2026-08-22
            input_per_1m: "1"
            output_per_1m: "2"
            image_input_per_1m: "1"
            image_output_per_1m: "30"
      - model: a/plain
        aliases: [a/plain-20260101, "~a/latest"]
        cards:
          - from: 2026-08-22
            input_per_1m: "0.0208333333333333"
            cache_read_per_1m: "0"
            output_per_1m: "0.10000000000000001"
      - model: "a/plain:batch"
        aliases: ["a/plain-20260101:batch"]
        cards:
          - from: 2026-08-22
            input_per_1m: "0.01"
            output_per_1m: "0.05"
      - model: "a/plain:free"
        aliases: ["a/plain-20260101:free"]
        cards:
          - from: 2026-08-22
            free: true
            input_per_1m: "0"
            output_per_1m: "0"
      - model: a/tiered
        cards:
          - from: 2026-08-22
            input_per_1m: "2"
            output_per_1m: "4"
            when:
              - prompt_tokens_over: 272000
                input_per_1m: "4"
      - model: openrouter/auto
        cards:
          - from: 2026-08-22
            priced_as: the_model_that_answered
    "#);
}

#[test]
fn a_list_that_is_none_changes_nothing() {
    for (json, why) in [
        ("<html>", "event: expected an object"),
        ("{\"data\":[]}", "data: empty"),
        ("{\"error\":{}}", "data: missing"),
        (
            "{\"data\":[{\"id\":\"x\",\"pricing\":{\"prompt\":1,\"completion\":\"1\"}}]}",
            "data.pricing.prompt: expected a decimal string, found a number",
        ),
        ("{\"data\":[{\"id\":\"x\",\"pricing\":{\"prompt\":\"cheap\"}}]}", "`cheap` is not a decimal number"),
    ] {
        let said = openrouter::read(json).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_broken_catalog_file_tells_every_mistake_with_its_line() {
    let yaml = "provider: acme
absent: maybe
models:
  - model: haiku
    cards:
      - from: yesterday
        input_per_1m: 0.25
        output_per_1m: \"-1\"
        thinking_per_1m: \"3\"
      - input_per_1m: \"1\"
        input_per_token: \"2\"
  - model: opus
overrides:
  - kind: contract
    team: search
    input_per_1m: \"1\"
  - kind: chargeback
    input_per_1m: \"1\"
";
    let mistakes = own::read(yaml).unwrap_err();
    let said: Vec<String> = mistakes.iter().map(|mistake| mistake.to_string()).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    line 2: absent: `maybe` is unknown; known are included, unknown
    line 6: models.haiku.cards.from: `yesterday` is not a date; write it like 2026-02-03
    line 7: models.haiku.cards.input_per_1m: a rate is a quoted decimal, so that no reader rounds it; write input_per_1m: "0.25"
    line 8: models.haiku.cards.output_per_1m: `-1` is negative; a rate cannot be
    line 9: models.haiku.cards.thinking_per_1m: unknown field; rates are <meter>_per_token|_per_1k|_per_1m|_each
    line 11: models.haiku.cards.input_per_token: input has two rates here
    line 12: models.opus.cards: missing; a model has at least one card
    line 14: overrides.kind: a contract is what the provider charges the whole org; for one owner write `kind: chargeback`
    line 17: overrides.kind: a chargeback names whom it is for: team, project or key
    "#);
}
