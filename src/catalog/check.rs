//! What a person should see before a catalog decides money. Two whole versions are laid side by side, the one in force and
//! the one to be published, and everything that looks like a mistake is told at once: an error refuses, a warning is to be
//! accepted. Only what the publish changes is judged, except where parts do not go together; a first publish changes
//! everything. Ratios are compared in whole numbers, and nothing here asks what time it is.

mod cards;
mod conditions;
mod neighbours;
mod overrides;
mod ratios;

use crate::catalog::diff::in_words;
use crate::catalog::sides::{Listed, Side, by_kind};
use crate::catalog::{CostBasis, List, Model, Override, Part, label};
use crate::usage::Text;
use neighbours::Neighbours;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Something that looks like a mistake, and what to do about it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    pub severity: Severity,
    /// The card, list or override, by the name that entries give it.
    pub subject: String,
    pub kind: Kind,
    pub what: String,
    pub fix: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Nothing is published.
    Error,
    /// Published when a person accepts it.
    Warning,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// What had a price has none any longer.
    Gap,
    /// Two cards or overrides that contradict each other.
    Overlap,
    /// A name that leads to two models, or a provider with two lists.
    NameClash,
    NoSource,
    /// A thousand or a million times off.
    UnitSlip,
    /// Ten times or more, up or down.
    Jump,
    /// What cost something is free now, or the other way round.
    ZeroCrossing,
    /// All zero, and nobody said that it is free.
    DoubtfulZero,
    /// A meter that had a rate of its own has none any longer.
    LostRate,
    /// Reading a cache costs more than not having one, or keeping it longer costs less.
    CacheRates,
    /// The list names far fewer models.
    Shrink,
    /// It is written down and can never decide anything.
    Unreachable,
    /// The list that a list points to.
    PricingProvider,
    /// The past costs something else now, and nobody said why.
    Rewritten,
}

/// Everything that is found, the errors first, each by its subject.
pub fn check(before: &[Part], after: &[Part]) -> Vec<Finding> {
    let mut findings = Findings::default();
    fit_together(after, &mut findings);
    let (before, after) = (Side::of(before), Side::of(after));
    pricing_providers(&before, &after, &mut findings);
    let neighbours = Neighbours::of(&after);
    for (provider, list) in &after.lists {
        let was = before.lists.get(provider);
        if was.is_none_or(|was| was.list != list.list) {
            size(was, list, &after, &mut findings);
            let judge = cards::Judge { list: list.list, neighbours: &neighbours };
            judge.changes(was, &mut findings);
        }
    }
    for (provider, was) in &before.lists {
        gaps(was, after.lists.get(provider), &after, &mut findings);
    }
    overrides::judge(&before, &after, &mut findings);
    overrides::gone(&before, &after, &mut findings);
    findings.0.sort();
    findings.0.dedup();
    findings.0
}

/// What is found, while it is being found.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, kind: Kind, subject: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Error, kind, subject, what, fix);
    }

    fn warning(&mut self, kind: Kind, subject: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Warning, kind, subject, what, fix);
    }

    fn add(
        &mut self,
        severity: Severity,
        kind: Kind,
        subject: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.0.push(Finding { severity, kind, subject: subject.into(), what: what.into(), fix: fix.into() });
    }
}

/// What no catalog can be built from, in every part and not only in the first that is wrong.
fn fit_together(parts: &[Part], findings: &mut Findings) {
    let mut providers = BTreeSet::new();
    let mut overrides: BTreeMap<String, Vec<&Override>> = BTreeMap::new();
    for part in parts {
        match part {
            Part::List(list) => {
                if !providers.insert(&list.provider) {
                    findings.error(Kind::NameClash, &*list.provider, "the provider has two lists", "put them into one");
                }
                names_lead_to_one_model(list, findings);
                list.models.iter().for_each(|model| one_card_from_each_instant(list, model, findings));
            }
            Part::Rules(_) => {}
            Part::Overrides(part) => {
                for it in &part.overrides {
                    overrides.entry(it.label(&part.provider)).or_default().push(it);
                }
            }
        }
    }
    for (label, twins) in overrides.into_iter().filter(|(_, twins)| twins.len() > 1) {
        let prices: Vec<_> = twins.iter().map(|it| in_words(&it.rates, it.currency)).collect();
        findings.error(Kind::Overlap, label, two_prices("overrides", &prices), "keep the one that is right");
    }
}

fn names_lead_to_one_model(list: &List, findings: &mut Findings) {
    let mut leads_to: BTreeMap<&str, &Model> = BTreeMap::new();
    for model in &list.models {
        for name in std::iter::once(&model.name).chain(&model.aliases) {
            if let Some(other) = leads_to.insert(name, model) {
                let what = match other.name == model.name {
                    true => format!("the name stands twice at {}", model.name),
                    false => format!("the name leads to {} and to {}", other.name, model.name),
                };
                findings.error(Kind::NameClash, format!("{}/{name}", list.provider), what, "keep one of them");
            }
        }
    }
}

fn one_card_from_each_instant(list: &List, model: &Model, findings: &mut Findings) {
    if model.cards.len() < 2 {
        return;
    }
    for cards in by_kind(&model.cards).values() {
        for twins in cards.chunk_by(|a, b| a.from == b.from).filter(|twins| twins.len() > 1) {
            let prices: Vec<_> = twins.iter().map(|card| in_words(&card.rates, card.currency)).collect();
            let label = label(&list.provider, &model.name, twins[0]);
            findings.error(Kind::Overlap, label, two_prices("cards", &prices), "keep the one that is right");
        }
    }
}

fn two_prices(of_what: &str, prices: &[String]) -> String {
    format!("{} {of_what} from the same instant: {}", prices.len(), prices.join(" against "))
}

/// A list may leave what it does not price to another list, which must be there and lead further, not back.
fn pricing_providers(before: &Side<'_>, after: &Side<'_>, findings: &mut Findings) {
    for (provider, listed) in &after.lists {
        let was = before.lists.get(provider).and_then(|was| was.list.pricing_provider_id.as_ref());
        let is = listed.list.pricing_provider_id.as_ref();
        if let Some(circle) = circle(provider, after).filter(|circle| circle.iter().all(|other| *provider <= *other)) {
            let circle: Vec<&str> = circle.iter().map(|provider| &***provider).collect();
            let what = format!("pricing_provider_id leads in a circle: {provider} -> {}", circle.join(" -> "));
            findings.error(Kind::PricingProvider, provider.to_string(), what, "name a provider whose own list has the prices");
        }
        let Some(is) = is else {
            if let Some(was) = was {
                let what = format!("pricing_provider_id {was} is gone, and with it every price that only the list of {was} has");
                findings.warning(Kind::PricingProvider, provider.to_string(), what, "name it again, or list those models here");
            }
            continue;
        };
        let is_news = was != Some(is) || before.lists.contains_key(is);
        if !after.lists.contains_key(is) && is_news {
            let what = format!("pricing_provider_id {is} has no list");
            findings.warning(Kind::PricingProvider, provider.to_string(), what, "publish that list too, or correct the name");
        }
    }
}

/// Where following `pricing_provider_id` from a provider leads, if that is back to it.
fn circle<'a>(start: &Text, side: &Side<'a>) -> Option<Vec<&'a Text>> {
    let mut path: Vec<&Text> = Vec::new();
    let mut at = start;
    loop {
        let next = side.lists.get(at)?.list.pricing_provider_id.as_ref()?;
        if path.contains(&next) {
            return None;
        }
        path.push(next);
        if next == start {
            return Some(path);
        }
        at = next;
    }
}

/// A list that names far fewer models than before, or none.
fn size(was: Option<&Listed<'_>>, is: &Listed<'_>, after: &Side<'_>, findings: &mut Findings) {
    let provider = &is.list.provider;
    let named: Vec<&Model> =
        was.map_or(Vec::new(), |was| was.list.models.iter().filter(|model| model.delisted.is_none()).collect());
    if is.list.models.is_empty() {
        let lost = was.is_some_and(|was| !was.list.models.is_empty());
        // Another list, what the provider reports, or an operator's own rates may be all the prices there are.
        let says_something = is.list.pricing_provider_id.is_some()
            || is.list.cost_basis == CostBasis::Reported
            || after.overrides.contains_key(provider);
        match (lost, says_something) {
            (true, _) => findings.error(
                Kind::Shrink,
                provider.to_string(),
                format!("the list is empty; it named {} models", named.len()),
                "fetch it again, or keep the models and mark them as delisted",
            ),
            (false, false) => findings.error(
                Kind::Shrink,
                provider.to_string(),
                "the list is empty and prices nothing",
                "list its models or leave it out",
            ),
            (false, true) => {}
        }
        return;
    }
    let still = named.iter().filter(|model| is.model(&model.name).is_some_and(|model| model.delisted.is_none())).count();
    if still * 5 < named.len() * 4 {
        let what = format!("of {} models that the list named it still names {still}", named.len());
        findings.warning(Kind::Shrink, provider.to_string(), what, "check that the list was read whole, then accept it");
    }
}

/// What a list priced and no list prices any longer. An empty list is one finding, not one for each of its models.
fn gaps(was: &Listed<'_>, is: Option<&Listed<'_>>, after: &Side<'_>, findings: &mut Findings) {
    let provider = &*was.list.provider;
    let Some(is) = is else {
        if !was.list.models.is_empty() {
            let what = format!("the list is gone with its {} models", was.list.models.len());
            findings.warning(Kind::Gap, provider, what, "keep the list and mark its models as delisted");
        }
        return;
    };
    if is.list == was.list || is.list.models.is_empty() {
        return;
    }
    if let (Some(was), Some(is)) = (&was.list.origin.source, &is.list.origin.source)
        && was != is
    {
        let what = format!("it was read from {was}, and is now from {is}, laid over the other's cards");
        let fix = "put the other source beside it with --as, or accept that it takes over";
        findings.warning(Kind::Rewritten, provider, what, fix);
    }
    for model in &was.list.models {
        let same = is.named(&model.name).is_some_and(|same| same == model);
        if !same {
            cards::gaps(was.list, model, is, after, findings);
        }
    }
}

impl Severity {
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

impl Kind {
    pub const ALL: [Kind; 14] = [
        Kind::Gap,
        Kind::Overlap,
        Kind::NameClash,
        Kind::NoSource,
        Kind::UnitSlip,
        Kind::Jump,
        Kind::ZeroCrossing,
        Kind::DoubtfulZero,
        Kind::LostRate,
        Kind::CacheRates,
        Kind::Shrink,
        Kind::Unreachable,
        Kind::PricingProvider,
        Kind::Rewritten,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Kind::Gap => "gap",
            Kind::Overlap => "overlap",
            Kind::NameClash => "name-clash",
            Kind::NoSource => "no-source",
            Kind::UnitSlip => "unit-slip",
            Kind::Jump => "jump",
            Kind::ZeroCrossing => "zero-crossing",
            Kind::DoubtfulZero => "doubtful-zero",
            Kind::LostRate => "lost-rate",
            Kind::CacheRates => "cache-rates",
            Kind::Shrink => "shrink",
            Kind::Unreachable => "unreachable",
            Kind::PricingProvider => "pricing-provider",
            Kind::Rewritten => "rewritten",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}: {}; {}", self.severity, self.kind, self.subject, self.what, self.fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::source::own;

    /// Parts of files that are written without what every one of them begins with.
    fn parts(files: &[&str]) -> Vec<Part> {
        let read = |file: &&str| own::read(file).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        files.iter().flat_map(read).collect()
    }

    fn acme(models: &str) -> String {
        format!("provider: acme\nsource: \"https://acme.example/prices\"\nmodels:\n{models}")
    }

    fn haiku(cards: &[&str]) -> String {
        let cards: String = cards.iter().map(|card| format!("      - {card}\n")).collect();
        acme(&format!("  - model: haiku\n    cards:\n{cards}"))
    }

    fn told(before: &[&str], after: &[&str]) -> String {
        let findings: Vec<String> = check(&parts(before), &parts(after)).iter().map(Finding::to_string).collect();
        findings.join("\n")
    }

    /// What is found where one card takes the place of another from a later day on.
    fn then(card: &str, next: &str) -> String {
        let next = format!("{{from: 2026-03-01, {next}}}");
        told(&[&haiku(&[&format!("{{{card}}}")])], &[&haiku(&[&format!("{{{card}}}"), &next])])
    }

    const THREE: &str = "{from: 2026-01-01, input_per_1m: \"3\"}";

    #[test]
    fn a_card_that_begins_later_leaves_a_gap() {
        let later = haiku(&["{from: 2026-02-01, input_per_1m: \"3\"}"]);
        insta::assert_snapshot!(
            told(&[&haiku(&[THREE])], &[&later]),
            @"warning: gap: acme/haiku: it was priced from 2026-01-01, now only from 2026-02-01; keep the earlier card beside the new one"
        );
        assert_eq!(told(&[&later], &[&haiku(&[THREE])]).matches("gap").count(), 0);
    }

    #[test]
    fn a_model_that_vanishes_leaves_a_gap_and_a_delisted_one_does_not() {
        let both = |more: &str| {
            acme(&format!(
                "  - model: haiku\n    cards: [{THREE}]\n  - model: opus\n    cards: [{{input_per_1m: \"15\"}}]\n{more}"
            ))
        };
        let only = acme(&format!("  - model: haiku\n    cards: [{THREE}]\n"));
        insta::assert_snapshot!(told(&[&both("")], &[&only]), @r"
        warning: shrink: acme: of 2 models that the list named it still names 1; check that the list was read whole, then accept it
        warning: gap: acme/opus: the model is gone; it was priced from the beginning; keep its cards and mark it as delisted
        ");
        assert!(!told(&[&both("")], &[&both("    delisted: 2026-02-01\n")]).contains("gap"));
        let renamed = only.replace("haiku\n", "haiku\n    aliases: [opus]\n");
        assert!(!told(&[&both("")], &[&renamed]).contains("gap: acme/opus: the model"));
    }

    #[test]
    fn an_alias_that_leads_nowhere_leaves_a_gap() {
        let card = haiku(&[THREE]);
        let with_alias = card.replace("haiku\n", "haiku\n    aliases: [haiku-latest]\n");
        insta::assert_snapshot!(
            told(&[&with_alias], &[&card]),
            @"warning: gap: acme/haiku-latest: the name was an alias of haiku and leads nowhere now; keep the alias"
        );
    }

    #[test]
    fn a_tier_may_move_from_its_own_card_into_a_condition() {
        let card = haiku(&[THREE, "{from: 2026-01-01, service_tier: flex, input_per_1m: \"1.5\"}"]);
        let condition = haiku(&[
            "{from: 2026-01-01, input_per_1m: \"3\", when: [{service_tier: flex, input_per_1m: \"1.5\"}], note: one card}",
        ]);
        assert_eq!(told(&[&card], &[&condition]), "");
        insta::assert_snapshot!(
            told(&[&card], &[&haiku(&[THREE])]),
            @"warning: gap: acme/haiku tier flex: it was priced from 2026-01-01 and has no card any longer; keep the earlier card beside the new one"
        );
    }

    #[test]
    fn a_model_may_be_left_to_the_list_of_another_provider() {
        let opus = "  - model: opus\n    cards: [{input_per_1m: \"15\"}]\n";
        let own = acme(&format!("  - model: haiku\n    cards: [{THREE}]\n{opus}"));
        let maker = format!("provider: maker\nsource: s\nmodels:\n{opus}");
        let points =
            acme(&format!("  - model: haiku\n    cards: [{THREE}]\n")).replace("models", "pricing_provider_id: maker\nmodels");
        assert!(!told(&[&own, &maker], &[&points, &maker]).contains("gap"));
    }

    #[test]
    fn a_list_that_goes_is_one_gap() {
        let other = "provider: other\nsource: s\nmodels:\n  - model: m\n    cards: [{input_per_1m: \"1\"}]\n";
        insta::assert_snapshot!(
            told(&[&haiku(&[THREE]), other], &[other]),
            @"warning: gap: acme: the list is gone with its 1 models; keep the list and mark its models as delisted"
        );
    }

    #[test]
    fn two_cards_from_one_instant_are_told_with_both_prices_even_where_nothing_changed() {
        let twins = haiku(&[THREE, "{from: 2026-01-01, input_per_1m: \"2.5\"}"]);
        insta::assert_snapshot!(
            told(&[&twins], &[&twins]),
            @"error: overlap: acme/haiku@2026-01-01: 2 cards from the same instant: input 3 USD per 1M against input 2.5 USD per 1M; keep the one that is right"
        );
        let overrides = "provider: acme\noverrides:
  - {kind: contract, model: haiku, input_per_1m: \"2\"}
  - {kind: contract, model: haiku, input_per_1m: \"1\"}\n";
        insta::assert_snapshot!(
            told(&[], &[&haiku(&[THREE]), overrides]),
            @"error: overlap: acme/haiku (contract for the org): 2 overrides from the same instant: input 2 USD per 1M against input 1 USD per 1M; keep the one that is right"
        );
    }

    #[test]
    fn every_name_that_leads_to_two_models_is_told() {
        let list = acme(
            "  - model: a\n    aliases: [b, x]\n    cards: [{input_per_1m: \"1\"}]
  - model: b\n    aliases: [x, b]\n    cards: [{input_per_1m: \"1\"}]\n",
        );
        insta::assert_snapshot!(told(&[], &[&list, &list]).lines().filter(|line| line.contains("clash")).collect::<Vec<_>>().join("\n"), @r"
        error: name-clash: acme: the provider has two lists; put them into one
        error: name-clash: acme/b: the name leads to a and to b; keep one of them
        error: name-clash: acme/b: the name stands twice at b; keep one of them
        error: name-clash: acme/x: the name leads to a and to b; keep one of them
        ");
    }

    #[test]
    fn a_new_card_needs_a_source_of_its_own_or_of_its_list() {
        let bare = haiku(&[THREE]).replace("source: \"https://acme.example/prices\"\n", "");
        insta::assert_snapshot!(
            told(&[], &[&bare]),
            @"warning: no-source: acme/haiku@2026-01-01: nothing says where its rates were read; add `source` and `checked`"
        );
        assert_eq!(told(&[&bare], &[&bare]), "");
        assert_eq!(told(&[], &[&bare.replace("\"3\"", "\"3\", source: the bill")]), "");
    }

    #[test]
    fn a_rate_a_thousand_or_a_million_times_off_the_one_before_is_refused() {
        insta::assert_snapshot!(
            then("input_per_1m: \"3\"", "input_per_1m: \"2500\""),
            @"error: unit-slip: acme/haiku@2026-03-01 input: 2500 USD per 1M, about 1,000 times what it was, 3; correct the unit, or say in a note beside it why it is right"
        );
        insta::assert_snapshot!(
            then("input_per_1m: \"3\"", "input_per_1m: \"0.000003\""),
            @"error: unit-slip: acme/haiku@2026-03-01 input: 0.000003 USD per 1M, about 1/1,000,000 of what it was, 3; correct the unit, or say in a note beside it why it is right"
        );
        assert!(then("input_per_1m: \"3\"", "input_per_1m: \"2500\", note: they mean it").starts_with("warning: unit-slip"));
    }

    #[test]
    fn a_rate_is_held_against_the_median_of_other_lists() {
        let list = |provider: &str, name: &str, rate: &str| {
            format!("provider: {provider}\nsource: s\nmodels:\n  - model: {name}\n    cards: [{{input_per_1m: \"{rate}\"}}]\n")
        };
        let (one, two, three) = (list("one", "v/haiku", "3"), list("two", "haiku", "3.3"), list("three", "haiku", "2700"));
        let mine = list("acme", "w/haiku", "0.003");
        insta::assert_snapshot!(
            told(&[&one, &two, &three], &[&one, &two, &three, &mine]),
            @"error: unit-slip: acme/w/haiku input: 0.003 USD per 1M, about 1/1,000 of what other lists ask, 3.3; correct the unit, or say in a note beside it why it is right"
        );
        // Of two that disagree nobody knows which is right.
        assert_eq!(told(&[&one, &three], &[&one, &three, &mine]), "");
        assert_eq!(told(&[&one, &two], &[&one, &two, &list("acme", "w/opus", "0.003")]), "");
    }

    #[test]
    fn mending_a_slip_that_got_in_is_a_warning() {
        let list = |provider: &str, card: &str| {
            format!("provider: {provider}\nsource: s\nmodels:\n  - model: haiku\n    cards: [{{{card}}}]\n")
        };
        let (other, wrong) = (list("other", "input_per_1m: \"3\""), list("acme", "input_per_1m: \"3000\""));
        let mended = list("acme", "input_per_1m: \"3\"");
        insta::assert_snapshot!(told(&[&other, &wrong], &[&other, &mended]), @r"
        warning: rewritten: acme/haiku: a correction without a note: input 3000 USD per 1M -> input 3 USD per 1M; say why in a note on the card, or publish a new card from the day of the change
        warning: unit-slip: acme/haiku input: 3 USD per 1M, about 1/1,000 of what it was, 3000; correct the unit, or say in a note beside it why it is right
        ");
    }

    #[test]
    fn a_rate_under_a_condition_is_held_against_the_card_it_stands_on() {
        let card = haiku(&["{input_per_1m: \"3\", when: [{prompt_tokens_over: 200000, input_per_1m: \"6000\"}]}"]);
        insta::assert_snapshot!(
            told(&[], &[&card]),
            @"error: unit-slip: acme/haiku input when prompt tokens over 200000: 6000 USD per 1M, about 1,000 times the rate without the condition, 3; correct the unit, or say in a note beside it why it is right"
        );
    }

    #[test]
    fn ten_times_is_a_jump_and_nine_times_is_not() {
        insta::assert_snapshot!(
            then("input_per_1m: \"3\", output_per_1m: \"15\"", "input_per_1m: \"30\", output_per_1m: \"1.5\""),
            @r"
        warning: jump: acme/haiku@2026-03-01 input: 3 -> 30 USD per 1M; check it against its source, then accept it
        warning: jump: acme/haiku@2026-03-01 output: 15 -> 1.5 USD per 1M; check it against its source, then accept it
        "
        );
        assert_eq!(then("input_per_1m: \"3\"", "input_per_1m: \"27\""), "");
        insta::assert_snapshot!(
            then("input_per_1m: \"3\"", "input_per_1m: \"27\", currency: EUR"),
            @"warning: jump: acme/haiku@2026-03-01: USD -> EUR, so that its rates cannot be compared; check it against its source, then accept it"
        );
    }

    #[test]
    fn crossing_zero_is_told_of_the_rate_or_of_the_whole_card() {
        insta::assert_snapshot!(
            then("input_per_1m: \"3\", web_search_each: \"0\"", "input_per_1m: \"3\", web_search_each: \"0.01\""),
            @"warning: zero-crossing: acme/haiku@2026-03-01 web_search: 0 -> 0.01 USD each; check it against its source, then accept it"
        );
        insta::assert_snapshot!(
            then("input_per_1m: \"3\", output_per_1m: \"15\"", "free: true, input_per_1m: \"0\", output_per_1m: \"0\""),
            @"warning: zero-crossing: acme/haiku@2026-03-01: it is free now; it was input 3 USD per 1M, output 15 USD per 1M; check it against its source, then accept it"
        );
        insta::assert_snapshot!(
            then("free: true, input_per_1m: \"0\"", "input_per_1m: \"3\""),
            @"warning: zero-crossing: acme/haiku@2026-03-01: it cost nothing and is input 3 USD per 1M now; check it against its source, then accept it"
        );
        insta::assert_snapshot!(
            then("input_per_1m: \"3\"", "free: true, input_per_1m: \"3\""),
            @"warning: zero-crossing: acme/haiku@2026-03-01: what it has no rate for is free now; check it against its source, then accept it"
        );
    }

    #[test]
    fn a_card_of_zeros_is_unpriced_until_somebody_says_that_it_is_free() {
        insta::assert_snapshot!(
            then("input_per_1m: \"3\"", "input_per_1m: \"0\""),
            @"warning: doubtful-zero: acme/haiku@2026-03-01: all of its rates are zero (it was input 3 USD per 1M) and nobody said that it is free: unpriced until confirmed; publish its rates, or `free: true`"
        );
        assert_eq!(told(&[&haiku(&["{input_per_1m: \"0\"}"])], &[&haiku(&["{free: true, input_per_1m: \"0\"}"])]), "");
    }

    #[test]
    fn a_rate_that_is_named_no_longer_is_told_with_what_is_charged_instead() {
        insta::assert_snapshot!(
            then("input_per_1m: \"3\", cache_read_per_1m: \"0.3\"", "input_per_1m: \"3\""),
            @"warning: lost-rate: acme/haiku@2026-03-01: cache_read was 0.3 USD per 1M and is unpriced now; give it the rate, or say in a note on the card why it has none"
        );
        let included = |cards: &[&str]| haiku(cards).replace("models", "absent: included\nmodels");
        let with = "{input_per_1m: \"3\", cache_read_per_1m: \"0.3\", cache_write_per_1m: \"3.75\", request_each: \"0.1\"}";
        insta::assert_snapshot!(
            told(&[&included(&[with])], &[&included(&[with, "{from: 2026-03-01, input_per_1m: \"3\"}"])]),
            @"warning: lost-rate: acme/haiku@2026-03-01: cache_read was 0.3 USD per 1M and is charged as input now, 3, request was 0.1 USD each and is not charged any longer; give it the rate, or say in a note on the card why it has none"
        );
        insta::assert_snapshot!(
            then("input_per_1m: \"3\"", "priced_as: the_model_that_answered"),
            @"warning: lost-rate: acme/haiku@2026-03-01: it was input 3 USD per 1M and is priced as the model that answers now; check it against its source, then accept it"
        );
    }

    #[test]
    fn a_cache_that_costs_more_than_none_is_told_once() {
        let odd = "input_per_1m: \"3\", cache_read_per_1m: \"3.1\", cache_write_per_1m: \"6\", cache_write_1h_per_1m: \"3.75\"";
        insta::assert_snapshot!(told(&[], &[&haiku(&[&format!("{{{odd}}}")])]), @r"
        warning: cache-rates: acme/haiku: cache_read 3.1 is dearer than input 3; check that they are not mixed up, then accept it
        warning: cache-rates: acme/haiku: cache_write 6 is dearer than cache_write_1h 3.75; check that they are not mixed up, then accept it
        ");
        assert_eq!(then(odd, &odd.replace("3.1", "3.2")), "");
    }

    #[test]
    fn a_list_that_shrinks_below_four_fifths_is_told() {
        let named = |count: usize, gone: usize| {
            let model = |it: usize| {
                let delisted = if it < gone { "    delisted: 2026-02-01\n" } else { "" };
                format!("  - model: m{it}\n{delisted}    cards: [{{input_per_1m: \"1\"}}]\n")
            };
            acme(&(0..count).map(model).collect::<String>())
        };
        assert_eq!(told(&[&named(10, 0)], &[&named(10, 2)]), "");
        insta::assert_snapshot!(
            told(&[&named(10, 0)], &[&named(10, 3)]),
            @"warning: shrink: acme: of 10 models that the list named it still names 7; check that the list was read whole, then accept it"
        );
        insta::assert_snapshot!(
            told(&[&named(10, 0)], &["provider: acme\nmodels: []\n"]),
            @"error: shrink: acme: the list is empty; it named 10 models; fetch it again, or keep the models and mark them as delisted"
        );
        insta::assert_snapshot!(
            told(&[], &["provider: acme\nmodels: []\n"]),
            @"error: shrink: acme: the list is empty and prices nothing; list its models or leave it out"
        );
        assert_eq!(told(&[], &["provider: acme\ncost_basis: reported\n"]), "");
    }

    #[test]
    fn a_condition_that_a_later_one_hides_is_unreachable() {
        let card = |when: &str| haiku(&[&format!("{{input_per_1m: \"3\", output_per_1m: \"15\", when: [{when}]}}")]);
        let over = |tokens: u32, rates: &str| format!("{{prompt_tokens_over: {tokens}, {rates}}}");
        let both = "input_per_1m: \"6\", output_per_1m: \"22\"";
        insta::assert_snapshot!(
            told(&[], &[&card(&format!("{}, {}", over(200, "input_per_1m: \"6\""), over(100, both)))]),
            @"warning: unreachable: acme/haiku when prompt tokens over 200: the condition never decides: what holds later (prompt tokens over 100) names all of its meters; reorder or remove it"
        );
        assert_eq!(told(&[], &[&card(&format!("{}, {}", over(100, both), over(200, both)))]), "");
        assert_eq!(told(&[], &[&card(&format!("{}, {}", over(200, both), over(100, "input_per_1m: \"6\"")))]), "");
        insta::assert_snapshot!(
            told(&[], &[&card("{service_tier: standard, input_per_1m: \"4\"}, {days: [], input_per_1m: \"4\"}")]),
            @r"
        warning: unreachable: acme/haiku when on no day: the condition never decides: it names no day, so it never holds; reorder or remove it
        warning: unreachable: acme/haiku when service tier standard: the condition never decides: the tier standard is the ordinary one, which no condition is asked for; reorder or remove it
        "
        );
    }

    #[test]
    fn a_card_of_the_ordinary_tier_or_of_a_suffix_that_steers_is_unreachable() {
        insta::assert_snapshot!(
            told(&[], &[&haiku(&["{service_tier: default, input_per_1m: \"3\"}", "{variant: nitro, input_per_1m: \"3\"}"])]),
            @r"
        warning: unreachable: acme/haiku tier default: no event is ever priced by it, because default is looked up as the ordinary card; leave default out
        warning: unreachable: acme/haiku:nitro: no event is ever priced by it, because nitro is looked up as the ordinary card; leave nitro out
        "
        );
    }

    #[test]
    fn an_override_that_no_model_fits_is_unreachable_and_near_names_are_a_hint() {
        let list = acme(
            "  - model: maker/haiku\n    aliases: [haiku-latest]\n    cards: [{input_per_1m: \"3\"}]
  - model: maker/opus\n    cards: [{input_per_1m: \"15\"}]\n",
        );
        let overrides = |models: &[&str]| {
            let one = |model: &&str| format!("  - {{kind: contract, model: \"{model}\", input_per_1m: \"2\"}}\n");
            format!("provider: acme\noverrides:\n{}", models.iter().map(one).collect::<String>())
        };
        let fitting =
            overrides(&["maker/haiku", "haiku-latest", "acme/maker/opus", "maker/*", "mak*", "acme/*", "*", "maker/haiku:batch"]);
        assert_eq!(told(&[], &[&list, &fitting]), "");
        let misspelt = overrides(&["maker/hiaku", "opus", "maker/sonnet-4", "maker/h.*"]);
        insta::assert_snapshot!(told(&[], &[&list, &misspelt]), @r"
        warning: unreachable: acme/maker/h.* (contract for the org): no model or alias of its list is maker/h.*; correct the name, or accept that it waits for such a model
        warning: unreachable: acme/maker/hiaku (contract for the org): no model or alias of its list is maker/hiaku (there is maker/haiku); correct the name, or accept that it waits for such a model
        warning: unreachable: acme/maker/sonnet-4 (contract for the org): no model or alias of its list is maker/sonnet-4; correct the name, or accept that it waits for such a model
        warning: unreachable: acme/opus (contract for the org): no model or alias of its list is opus (there is maker/opus); correct the name, or accept that it waits for such a model
        ");
        // Not judged again, until the list changes so that one of them is lost.
        assert_eq!(told(&[&list, &misspelt], &[&list, &misspelt]), "");
        let shorter = list.replace("maker/opus", "maker/opus-5");
        assert!(told(&[&list, &fitting], &[&shorter, &fitting]).contains("unreachable: acme/acme/maker/opus (contract"));
    }

    #[test]
    fn overrides_reach_the_models_of_the_list_that_is_pointed_to() {
        let maker = "provider: maker\nsource: s\nmodels:\n  - model: haiku\n    cards: [{input_per_1m: \"3\"}]\n";
        let points = "provider: acme\npricing_provider_id: maker\n";
        let overrides = "provider: acme\noverrides:
  - {kind: contract, model: haiku, input_per_1m: \"2\"}
  - {kind: contract, model: maker/haiku, input_per_1m: \"2\"}
  - {kind: contract, model: \"maker/*\", input_per_1m: \"2\"}\n";
        assert_eq!(told(&[], &[maker, points, overrides]), "");
        insta::assert_snapshot!(
            told(&[], &[maker, overrides]),
            @"warning: unreachable: acme: overrides (3) for a provider that has no list; check the provider's name, or publish its list"
        );
    }

    #[test]
    fn an_override_a_thousand_times_off_the_list_is_refused() {
        let overrides = "provider: acme\noverrides:\n  - {kind: contract, model: haiku, inputCostPer1K: \"3\"}\n";
        insta::assert_snapshot!(
            told(&[], &[&haiku(&[THREE]), overrides]),
            @"error: unit-slip: acme/haiku (contract for the org) input: 3000 USD per 1M, about 1,000 times what the list asks, 3; correct the unit, or say in a note beside it why it is right"
        );
    }

    #[test]
    fn a_pricing_provider_is_there_and_leads_further() {
        let points = |from: &str, to: &str| format!("provider: {from}\npricing_provider_id: {to}\n");
        insta::assert_snapshot!(told(&[], &[&points("a", "a"), &points("b", "c"), &points("c", "b"), &points("d", "nobody"), &points("e", "c")]), @r"
        error: pricing-provider: a: pricing_provider_id leads in a circle: a -> a; name a provider whose own list has the prices
        error: pricing-provider: b: pricing_provider_id leads in a circle: b -> c -> b; name a provider whose own list has the prices
        warning: pricing-provider: d: pricing_provider_id nobody has no list; publish that list too, or correct the name
        ");
        // A circle is refused as long as it is there; a missing list was accepted once.
        let again = told(&[&points("a", "a"), &points("d", "nobody")], &[&points("a", "a"), &points("d", "nobody")]);
        assert!(again.starts_with("error: pricing-provider: a:") && again.lines().count() == 1, "{again}");
        let alone = haiku(&[THREE]);
        insta::assert_snapshot!(
            told(&[&alone.replace("models", "pricing_provider_id: maker\nmodels")], &[&alone]),
            @"warning: pricing-provider: acme: pricing_provider_id maker is gone, and with it every price that only the list of maker has; name it again, or list those models here"
        );
    }

    #[test]
    fn the_past_is_corrected_with_a_note_that_says_why() {
        let corrected = |note: &str| haiku(&[&format!("{{from: 2026-01-01, input_per_1m: \"2.5\"{note}}}")]);
        insta::assert_snapshot!(
            told(&[&haiku(&[THREE])], &[&corrected("")]),
            @"warning: rewritten: acme/haiku@2026-01-01: a correction without a note: input 3 USD per 1M -> input 2.5 USD per 1M; say why in a note on the card, or publish a new card from the day of the change"
        );
        assert_eq!(told(&[&haiku(&[THREE])], &[&corrected(", note: read from the wrong column")]), "");
        // A note that was there before explains something else.
        let noted = "{from: 2026-01-01, input_per_1m: \"3\", note: x}";
        assert!(told(&[&haiku(&[noted])], &[&corrected(", note: x")]).contains("rewritten"));
    }

    #[test]
    fn a_card_that_is_taken_out_of_the_past_rewrites_it() {
        let second = "{from: 2026-02-01, input_per_1m: \"2\"}";
        insta::assert_snapshot!(
            told(&[&haiku(&[THREE, second])], &[&haiku(&[THREE])]),
            @"warning: rewritten: acme/haiku@2026-02-01: the card is gone, so that its time costs input 3 USD per 1M instead of input 2 USD per 1M; keep it, or correct it and say why in a note on the card"
        );
    }

    #[test]
    fn only_what_changes_is_judged() {
        let odd = "{input_per_1m: \"3\", cache_read_per_1m: \"4\", when: [{service_tier: standard, input_per_1m: \"4\"}]}";
        let before = haiku(&[odd]);
        assert_ne!(told(&[], &[&before]), "");
        assert_eq!(told(&[&before], &[&before]), "");
        let another_model = format!("{before}  - model: opus\n    cards: [{{input_per_1m: \"15\"}}]\n");
        assert_eq!(told(&[&before], &[&another_model]), "");
    }

    #[test]
    fn errors_come_first_and_then_the_order_is_that_of_the_subjects() {
        let list = acme("  - model: a\n    cards: [{input_per_1m: \"0\"}]\n  - model: b\n    cards: [{input_per_1m: \"3\", when: [{region: eu, input_per_1m: \"3000\"}]}]
  - model: c\n    cards: [{input_per_1m: \"1\", cache_read_per_1m: \"2\"}]\n");
        let findings = check(&[], &parts(&[&list]));
        let order: Vec<_> = findings.iter().map(|it| (it.severity.name(), it.kind.name(), &*it.subject)).collect();
        assert_eq!(
            order,
            [
                ("error", "unit-slip", "acme/b input when region eu"),
                ("warning", "doubtful-zero", "acme/a"),
                ("warning", "cache-rates", "acme/c")
            ]
        );
    }
}
