//! Where two sources disagree at one moment. The ordinary card of each is laid beside the other, meter by meter, with what
//! only one of them has; nothing is averaged, and neither is taken to be right. Models meet by their exact names or
//! aliases.

use super::MeterChange;
use super::words::Step;
use crate::catalog::sides::{Listed, joined};
use crate::catalog::{Card, List, Model};
use crate::time::Instant;
use crate::usage::Text;
use hashbrown::HashSet;
use std::collections::BTreeMap;
use std::fmt;

/// What two sources say of the same providers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Comparison {
    /// By provider and model.
    pub disagreements: Vec<Disagreement>,
    /// One for each provider that either source has.
    pub coverage: Vec<Coverage>,
}

/// A model that does not cost the same in both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disagreement {
    pub provider: Text,
    /// As the first source calls it.
    pub model: Text,
    /// As the second does.
    pub other_name: Text,
    /// The meters they disagree on: `before` is the first source's rate, `after` the second's.
    pub meters: Vec<MeterChange>,
    /// They ask other rates under conditions, or under other conditions.
    pub other_conditions: bool,
    /// `input 3 -> 2.5 USD per 1M (-16.7 %), cache_read 0.3 USD per 1M -> none`
    pub what: String,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.coverage.iter().map(Coverage::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// How many of a provider's models have a price in which source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Coverage {
    pub provider: Text,
    pub agreeing: usize,
    pub disagreeing: usize,
    pub only_first: usize,
    pub only_second: usize,
}

/// Compares what two sources say of the providers that are asked about, as of one moment.
pub fn compare(first: &[List], second: &[List], at: Instant, among: impl Fn(&str) -> bool) -> Comparison {
    let by_provider = |lists: &[List]| -> BTreeMap<Text, usize> {
        let asked = lists.iter().enumerate().filter(|(_, list)| among(&list.provider));
        asked.map(|(place, list)| (list.provider.clone(), place)).collect()
    };
    let mut comparison = Comparison::default();
    for (provider, one, other) in joined(by_provider(first), by_provider(second)) {
        let lists = (one.map(|place| &first[place]), other.map(|place| &second[place]));
        comparison.provider(provider, lists, at);
    }
    comparison
}

impl Comparison {
    fn provider(&mut self, provider: Text, (one, other): (Option<&List>, Option<&List>), at: Instant) {
        let mut coverage = Coverage { provider, agreeing: 0, disagreeing: 0, only_first: 0, only_second: 0 };
        let listed = other.map(Listed::of);
        let mut met: HashSet<&str> = HashSet::new();
        for (model, card) in priced(one, at) {
            let partner = listed.as_ref().and_then(|listed| partner(listed, model)).and_then(|it| Some((it, in_force(it, at)?)));
            let Some((other, other_card)) = partner else {
                coverage.only_first += 1;
                continue;
            };
            met.insert(&other.name);
            match Disagreement::between(&coverage.provider, (model, card), (other, other_card)) {
                Some(disagreement) => {
                    coverage.disagreeing += 1;
                    self.disagreements.push(disagreement);
                }
                None => coverage.agreeing += 1,
            }
        }
        coverage.only_second = priced(other, at).filter(|(model, _)| !met.contains(&*model.name)).count();
        self.coverage.push(coverage);
    }
}

impl Disagreement {
    fn between(provider: &Text, (model, card): (&Model, &Card), (other, other_card): (&Model, &Card)) -> Option<Disagreement> {
        let step = Step { was: Some(card.table()), is: Some(other_card.table()) };
        let other_conditions = card.when != other_card.when || card.graduated != other_card.graduated;
        let mut what = step.in_words();
        if other_conditions {
            what.push_str(if what.is_empty() { "other conditions" } else { ", other conditions" });
        }
        (!what.is_empty()).then(|| Disagreement {
            provider: provider.clone(),
            model: model.name.clone(),
            other_name: other.name.clone(),
            meters: step.meters(),
            other_conditions,
            what,
        })
    }
}

/// The models that have an ordinary card at a moment, with it.
fn priced(list: Option<&List>, at: Instant) -> impl Iterator<Item = (&Model, &Card)> {
    list.into_iter().flat_map(|list| &list.models).filter_map(move |model| Some((model, in_force(model, at)?)))
}

fn in_force(model: &Model, at: Instant) -> Option<&Card> {
    model.cards.iter().rfind(|card| card.is_ordinary() && card.from.is_none_or(|from| from <= at))
}

/// The same model in another list: by its name there, else by an alias here or there.
fn partner<'a>(listed: &Listed<'a>, model: &Model) -> Option<&'a Model> {
    std::iter::once(&model.name).chain(&model.aliases).find_map(|name| listed.model(name))
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}: ", self.provider, self.model)?;
        if self.other_name != self.model {
            write!(f, "(there {}) ", self.other_name)?;
        }
        f.write_str(&self.what)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Coverage { provider, agreeing, disagreeing, only_first, only_second } = self;
        write!(
            f,
            "{provider}: {agreeing} agree, {disagreeing} disagree, {only_first} only in the first, {only_second} only in the second"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Part;
    use crate::catalog::source::own;

    fn lists(files: &[&str]) -> Vec<List> {
        let parts = files.iter().flat_map(|file| own::read(file).unwrap());
        parts.filter_map(|part| if let Part::List(list) = part { Some((*list).clone()) } else { None }).collect()
    }

    const ONE: &str = "provider: acme
models:
  - model: haiku
    cards:
      - {input_per_1m: \"1\"}
      - {from: 2026-02-01, input_per_1m: \"3\", cache_read_per_1m: \"0\"}
      - {from: 2026-09-01, input_per_1m: \"9\"}
      - {service_tier: batch, input_per_1m: \"1.5\"}
  - {model: opus, aliases: [opus-latest], cards: [{input_per_1m: \"15\"}]}
  - {model: sonnet, cards: [{input_per_1m: \"3\", when: [{region: eu, input_per_1m: \"4\"}]}]}
  - {model: mine, cards: [{input_per_1m: \"1\"}]}
  - {model: later, cards: [{from: 2027-01-01, input_per_1m: \"1\"}]}
";
    const OTHER: &str = "provider: acme
models:
  - {model: haiku, cards: [{input_per_1m: \"2.5\", output_per_1m: \"12\"}]}
  - {model: opus-4, aliases: [opus-latest], cards: [{input_per_1m: \"15\"}]}
  - {model: sonnet, cards: [{input_per_1m: \"3\"}]}
  - {model: later, cards: [{input_per_1m: \"1\"}]}
  - {model: tiered, cards: [{service_tier: batch, input_per_1m: \"1\"}]}
";

    #[test]
    fn two_sources_are_laid_side_by_side_meter_by_meter() {
        let at = Instant::parse_date_or_instant("2026-03-01").unwrap();
        let elsewhere = "provider: nobody\nmodels:\n  - {model: m, cards: [{input_per_1m: \"1\"}]}\n";
        let comparison = compare(&lists(&[ONE]), &lists(&[OTHER, elsewhere]), at, |_| true);
        let disagreements: Vec<String> = comparison.disagreements.iter().map(Disagreement::to_string).collect();
        insta::assert_snapshot!(disagreements.join("\n"), @r"
        acme/haiku: input 3 -> 2.5 USD per 1M (-16.7 %), cache_read 0 USD per 1M -> none, output none -> 12 USD per 1M
        acme/sonnet: other conditions
        ");
        let coverage: Vec<String> = comparison.coverage.iter().map(Coverage::to_string).collect();
        insta::assert_snapshot!(coverage.join("\n"), @r"
        acme: 1 agree, 2 disagree, 1 only in the first, 1 only in the second
        nobody: 0 agree, 0 disagree, 0 only in the first, 1 only in the second
        ");
    }

    #[test]
    fn only_the_providers_that_are_asked_about_are_compared() {
        let at = Instant::parse_date_or_instant("2026-03-01").unwrap();
        assert_eq!(compare(&lists(&[ONE]), &lists(&[OTHER]), at, |provider| provider == "other"), Comparison::default());
    }
}
