//! The checks before publishing and the diff, over the catalogs that are shipped and over two years of real prices.

use farthing::catalog::check::{Finding, Kind, Severity, check};
use farthing::catalog::diff::{compare, diff};
use farthing::catalog::history::Look;
use farthing::catalog::source::{openrouter, own};
use farthing::catalog::{List, Part, shipped};
use farthing::time::Instant;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

fn shipped_parts() -> Vec<Part> {
    shipped::FILES.iter().flat_map(|(_, text)| own::read(text).unwrap()).collect()
}

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(Finding::to_string).collect()
}

#[test]
fn the_shipped_catalogs_may_be_published_first_and_their_oddities_are_known() {
    let shipped = shipped_parts();
    let findings = check(&[], &shipped);
    insta::assert_snapshot!(told(&findings).join("\n"), @r"
    warning: jump: deepseek/deepseek-chat@2026-04-24 cache_read: 0.028 -> 0.0028 USD per 1M; check it against its source, then accept it
    warning: jump: deepseek/deepseek-reasoner@2026-04-24 cache_read: 0.028 -> 0.0028 USD per 1M; check it against its source, then accept it
    warning: lost-rate: google/gemini-robotics-er-2-preview@2027-01-01: audio_input was 1 USD per 1M and is unpriced now, web_search was 0.014 USD each and is unpriced now; give it the rate, or say in a note on the card why it has none
    warning: lost-rate: google/gemini-robotics-er-2-streaming-preview@2027-01-01: audio_input was 1 USD per 1M and is unpriced now, web_search was 0.014 USD each and is unpriced now; give it the rate, or say in a note on the card why it has none
    warning: doubtful-zero: openrouter/google/lyria-3-clip-preview@2026-08-22: all of its rates are zero and nobody said that it is free: unpriced until confirmed; publish its rates, or `free: true`
    warning: doubtful-zero: openrouter/google/lyria-3-pro-preview@2026-08-22: all of its rates are zero and nobody said that it is free: unpriced until confirmed; publish its rates, or `free: true`
    warning: doubtful-zero: openrouter/stealth/ox-alpha@2026-08-22: all of its rates are zero and nobody said that it is free: unpriced until confirmed; publish its rates, or `free: true`
    warning: lost-rate: vertex/gemini-robotics-er-2-preview@2027-01-01: audio_input was 1 USD per 1M and is unpriced now, web_search was 0.014 USD each and is unpriced now; give it the rate, or say in a note on the card why it has none
    warning: jump: xai/grok-code-fast-1@2026-05-15 cache_read: 0.02 -> 0.2 USD per 1M; check it against its source, then accept it
    ");
}

#[test]
fn the_shipped_catalogs_change_nothing_over_themselves() {
    let shipped = shipped_parts();
    assert_eq!(check(&shipped, &shipped), []);
    assert_eq!(diff(&shipped, &shipped), []);
}

/// What OpenRouter's list said over two years: for every model its revisions, and nothing where it had left the list.
struct PriceHistory(Vec<(String, Vec<Revision>)>);

#[derive(serde::Deserialize)]
struct Revision {
    seen_at: String,
    canonical_slug: Option<String>,
    pricing: Option<Box<RawValue>>,
}

impl PriceHistory {
    fn on_this_machine() -> Option<PriceHistory> {
        #[derive(serde::Deserialize)]
        struct Line {
            id: String,
            revisions: Vec<Revision>,
        }
        let path = "../shared/data/openrouter_price_history_2024-09_2026-08.jsonl";
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()?;
        let models = text.lines().map(|line| serde_json::from_str::<Line>(line).unwrap());
        Some(PriceHistory(models.map(|line| (line.id, line.revisions)).collect()))
    }

    /// The list as it was served at a moment.
    fn served_at(&self, at: Instant) -> String {
        let mut rows = Vec::new();
        for (id, revisions) in &self.0 {
            let said = revisions.iter().rfind(|revision| Instant::parse(&revision.seen_at).unwrap() <= at);
            let Some(Revision { canonical_slug, pricing: Some(pricing), .. }) = said else { continue };
            let slug = canonical_slug.as_ref().map_or(String::new(), |slug| format!(r#""canonical_slug":"{slug}","#));
            rows.push(format!(r#"{{"id":"{id}",{slug}"pricing":{pricing}}}"#));
        }
        format!(r#"{{"data":[{}]}}"#, rows.join(","))
    }
}

impl PriceHistory {
    /// The lists of some days, each laid over the one before, as a refresh does it.
    fn published_on(&self, days: &[Instant]) -> Vec<Vec<Part>> {
        let mut versions: Vec<Vec<Part>> = Vec::new();
        let mut before = None;
        for &at in days {
            let [served] = <[List; 1]>::try_from(openrouter::read(&self.served_at(at)).unwrap().lists).unwrap();
            let earlier = versions.last().map(|parts| match &parts[0] {
                Part::List(list) => &**list,
                Part::Overrides(_) | Part::Rules(_) => unreachable!("a history has no overrides"),
            });
            let list = served.seen(earlier, Look::at(at, before));
            versions.push(vec![Part::List(Arc::new(list))]);
            before = Some(at);
        }
        versions
    }
}

fn date(text: &str) -> Instant {
    Instant::parse_date_or_instant(text).unwrap()
}

/// A price history that is not on this machine leaves nothing to look at.
fn price_history() -> Option<PriceHistory> {
    let history = PriceHistory::on_this_machine();
    if history.is_none() {
        eprintln!("the price history is not on this machine; nothing was checked");
    }
    history
}

#[test]
fn two_years_of_weekly_publishes_ask_for_a_look_now_and_then() {
    const WEEK: i64 = 7 * 24 * 60 * 60 * 1_000_000;
    let Some(history) = price_history() else { return };
    let first = date("2024-09-22").micros();
    let weeks: Vec<Instant> = (0..100).map(|week| Instant::from_micros(first + week * WEEK)).collect();
    let versions = history.published_on(&weeks);

    let mut counts: BTreeMap<(Severity, Kind), usize> = BTreeMap::new();
    let mut silent = 0;
    for pair in versions.windows(2) {
        let findings = check(&pair[0], &pair[1]);
        silent += usize::from(findings.is_empty());
        for finding in findings {
            *counts.entry((finding.severity, finding.kind)).or_default() += 1;
        }
    }
    let mut told = format!("silent weeks: {silent}\n");
    for ((severity, kind), count) in counts {
        writeln!(told, "{severity} {kind}: {count}").unwrap();
    }
    insta::assert_snapshot!(told, @r"
    silent weeks: 29
    warning jump: 62
    warning zero-crossing: 142
    warning doubtful-zero: 32
    warning lost-rate: 114
    warning rewritten: 1
    ");
}

/// An image was listed at a millionth of what it was listed at the day after.
#[test]
fn a_real_slip_of_the_unit_is_refused() {
    let Some(history) = price_history() else { return };
    let versions = history.published_on(&[date("2024-09-24T12:00:00Z"), date("2024-09-25T12:00:00Z")]);
    let errors: Vec<Finding> =
        check(&versions[0], &versions[1]).into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    insta::assert_snapshot!(
        told(&errors).join("\n"),
        @"error: unit-slip: openrouter/mistralai/pixtral-12b:free@2024-09-25T12:00:00Z image: 0.0001445 USD each, about 1,000,000 times what it was, 0.0000000001384083045; correct the unit, or say in a note beside it why it is right"
    );
}

#[test]
fn a_real_week_is_told() {
    let Some(history) = price_history() else { return };
    let versions = history.published_on(&[date("2026-08-08"), date("2026-08-15")]);
    insta::assert_snapshot!(told(&check(&versions[0], &versions[1])).join("\n"), @r"
    warning: jump: openrouter/deepseek/deepseek-v4-pro@2026-08-15 cache_read: 0.003625 -> 0.09855 USD per 1M; check it against its source, then accept it
    warning: lost-rate: openrouter/qwen/qwen3-vl-235b-a22b-instruct@2026-08-15: cache_read was 0.1 USD per 1M and is charged as input now, 0.26; give it the rate, or say in a note on the card why it has none
    ");
    let changes = diff(&versions[0], &versions[1]);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    changes.iter().for_each(|change| *kinds.entry(change.kind.name()).or_default() += 1);
    let expected = [("condition-changed", 1), ("model-added", 13), ("model-delisted", 2), ("new-price", 29), ("setting", 1)];
    assert_eq!(kinds, BTreeMap::from(expected));
    let some: Vec<String> = changes.iter().map(|change| change.to_string()).filter(|change| change.contains("x-ai/")).collect();
    insta::assert_snapshot!(some.join("\n"), @r"
    openrouter/x-ai/grok-4.6: added: input 2 USD per 1M, cache_read 0.5 USD per 1M, output 6 USD per 1M, web_search 0.005 USD each from 2026-08-15
    openrouter/~x-ai/grok-latest: cache_read 0.3 -> 0.5 USD per 1M (+66.7 %) from 2026-08-15
    openrouter/~x-ai/grok-latest when prompt tokens over 200000: cache_read 0.6 -> 1 USD per 1M (+66.7 %) from 2026-08-15
    ");
}

#[test]
fn a_source_agrees_with_itself_about_every_model() {
    let shipped = shipped_parts();
    let lists: Vec<List> =
        shipped.iter().filter_map(|part| if let Part::List(list) = part { Some((**list).clone()) } else { None }).collect();
    let comparison = compare(&lists, &lists, date("2026-11-20"), |_| true);
    assert_eq!(comparison.disagreements, []);
    assert_eq!(comparison.coverage.len(), lists.len());
    assert!(comparison.coverage.iter().all(|it| it.agreeing > 0 && it.only_first + it.only_second == 0));
}
