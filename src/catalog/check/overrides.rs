//! Overrides that price nothing, or in the wrong unit. A pattern that no name of the provider's list fits, nor of the list
//! it points to, is most likely misspelt; names that are near are told as a hint to a person, and never taken.

use super::cards::CORRECT_THE_UNIT;
use super::conditions;
use super::{Findings, Kind, Severity};
use crate::catalog::diff::{quoted, unit};
use crate::catalog::resolution::own_name;
use crate::catalog::sides::{Listed, Side};
use crate::catalog::{Model, Override, Pattern};
use std::collections::{BTreeMap, BTreeSet};

/// Names that are looked up when an override is matched: those of the provider's own list, and of the one it points to.
struct Known<'a> {
    names: BTreeSet<&'a str>,
    /// Whose name may stand in front of a model's.
    providers: Vec<&'a str>,
}

/// An operator's own rules that the next version would not have. Whoever publishes a part replaces all of it.
pub(super) fn gone(before: &Side<'_>, after: &Side<'_>, findings: &mut Findings) {
    const FIX: &str = "keep it in what is published, or accept that it goes";
    for (&provider, overrides) in &before.overrides {
        let kept: BTreeSet<String> = after.overrides.get(provider).into_iter().flatten().map(|it| it.label(provider)).collect();
        for label in overrides.iter().map(|it| it.label(provider)).filter(|label| !kept.contains(label)) {
            findings.warning(Kind::Gap, label, "the override is gone", FIX);
        }
    }
    for (&provider, ceilings) in &before.ceilings {
        let kept: BTreeSet<String> = after.ceilings.get(provider).into_iter().flatten().map(|it| it.label(provider)).collect();
        for label in ceilings.iter().map(|it| it.label(provider)).filter(|label| !kept.contains(label)) {
            findings.warning(Kind::Gap, label, "the ceiling is gone", FIX);
        }
    }
}

pub(super) fn judge(before: &Side<'_>, after: &Side<'_>, findings: &mut Findings) {
    for (&provider, overrides) in &after.overrides {
        let was: BTreeMap<String, &Override> =
            before.overrides.get(provider).into_iter().flatten().map(|it| (it.label(provider), *it)).collect();
        let fresh = |it: &Override| was.get(&it.label(provider)).is_none_or(|was| *was != it);
        for it in overrides.iter().filter(|it| fresh(it)) {
            for (condition, why) in conditions::dead(&it.when) {
                let subject = format!("{} when {condition}", it.label(provider));
                findings.warning(
                    Kind::Unreachable,
                    subject,
                    format!("the condition never decides: {why}"),
                    "reorder or remove it",
                );
            }
        }
        let list_before = before.lists.get(provider);
        let Some(listed) = after.lists.get(provider) else {
            if list_before.is_some() || overrides.iter().any(|it| fresh(it)) {
                let what = format!("overrides ({}) for a provider that has no list", overrides.len());
                findings.warning(Kind::Unreachable, provider.to_string(), what, "check the provider's name, or publish its list");
            }
            continue;
        };
        let known = Known::of(listed, after);
        let known_before = list_before.map(|listed| Known::of(listed, before));
        for it in overrides {
            let is_news = fresh(it);
            let worked = known_before.as_ref().is_some_and(|known| known.has(&it.model));
            if !known.has(&it.model) && (is_news || worked) {
                let what = format!("no model or alias of its list is {}{}", it.model, known.hint(&it.model));
                let fix = "correct the name, or accept that it waits for such a model";
                findings.warning(Kind::Unreachable, it.label(provider), what, fix);
            }
            if is_news {
                slips(it, provider, listed, after, findings);
            }
        }
    }
}

/// An operator may agree on any price; a thousand or a million times that of the list is a unit that was mistaken.
fn slips(it: &Override, provider: &str, listed: &Listed<'_>, after: &Side<'_>, findings: &mut Findings) {
    let Pattern::Exact(name) = &it.model else { return };
    let card = after.model(listed, name).and_then(Model::latest_ordinary).filter(|card| card.currency == it.currency);
    let Some(card) = card else { return };
    let severity = if it.origin.note.is_some() { Severity::Warning } else { Severity::Error };
    for (meter, rate) in it.rates.iter() {
        let Some(of_list) = card.rates.get(meter) else { continue };
        let Some(slip) = rate.slip_against(of_list) else { continue };
        let subject = format!("{} {}", it.label(provider), meter.name());
        let price = format!("{} {} {}", quoted(meter, rate), it.currency, unit(meter));
        let what = format!("{price}, {slip} what the list asks, {}", quoted(meter, of_list));
        findings.add(severity, Kind::UnitSlip, subject, what, CORRECT_THE_UNIT);
    }
}

impl<'a> Known<'a> {
    fn of(listed: &Listed<'a>, side: &Side<'a>) -> Known<'a> {
        let lists = || std::iter::once(listed).chain(side.elsewhere(listed.list));
        Known {
            names: lists().flat_map(Listed::names).collect(),
            providers: lists().map(|listed| &*listed.list.provider).collect(),
        }
    }

    /// Whether an event that some list prices could fit the pattern. Lists without names say nothing about any.
    fn has(&self, pattern: &Pattern) -> bool {
        self.names.is_empty()
            || match pattern {
                Pattern::Every => true,
                Pattern::Exact(name) => self.spellings(name).any(|name| self.has_name(name)),
                Pattern::Prefix(prefix) => {
                    let is_a_provider = |provider: &&str| provider.starts_with(&**prefix) || **prefix == format!("{provider}/");
                    self.providers.iter().any(is_a_provider) || self.spellings(prefix).any(|prefix| self.has_prefix(prefix))
                }
            }
    }

    /// As it is, and without a provider's name in front.
    fn spellings<'n>(&self, name: &'n str) -> impl Iterator<Item = &'n str> {
        std::iter::once(name).chain(self.providers.iter().filter_map(move |provider| own_name(name, provider)))
    }

    /// A suffix may be a variant, which the list has as a card and not as a name.
    fn has_name(&self, name: &str) -> bool {
        let stem = name.rsplit_once(':').map_or(name, |(stem, _)| stem);
        self.names.contains(name) || self.names.contains(stem)
    }

    fn has_prefix(&self, prefix: &str) -> bool {
        self.names.range(prefix..).next().is_some_and(|name| name.starts_with(prefix))
    }

    /// At most three names that are near: the same model of another vendor, or a few letters away.
    fn hint(&self, pattern: &Pattern) -> String {
        const NAMES: usize = 3;
        let Pattern::Exact(asked) = pattern else { return String::new() };
        let bare = |name: &str| name.rsplit('/').next() == asked.rsplit('/').next();
        let mut near: Vec<(usize, &str)> = Vec::new();
        for &name in &self.names {
            let distance = if bare(name) { Some(0) } else { distance(asked, name, 1 + asked.len() / 5) };
            near.extend(distance.map(|distance| (distance, name)));
        }
        near.sort_unstable();
        let names: Vec<&str> = near.into_iter().take(NAMES).map(|(_, name)| name).collect();
        if names.is_empty() { String::new() } else { format!(" (there is {})", names.join(", ")) }
    }
}

/// How many letters have to be put in, left out or changed to make one name the other, if no more than `most`. Rows are
/// given up as soon as none of their cells can lead to an answer, because a list has thousands of names.
fn distance(one: &str, other: &str, most: usize) -> Option<usize> {
    if one.len().abs_diff(other.len()) > most {
        return None;
    }
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, letter) in one.iter().enumerate() {
        let mut above_left = row[0];
        row[0] = place + 1;
        for column in 1..row.len() {
            let changed = above_left + usize::from(other[column - 1] != *letter);
            above_left = row[column];
            row[column] = changed.min(above_left + 1).min(row[column - 1] + 1);
        }
        if row.iter().all(|cell| *cell > most) {
            return None;
        }
    }
    row.last().copied().filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_counts_letters() {
        assert_eq!(distance("gpt-4o", "gpt-4o", 2), Some(0));
        assert_eq!(distance("gpt4o", "gpt-4o", 2), Some(1));
        assert_eq!(distance("gtp-4o", "gpt-4o", 2), Some(2));
        assert_eq!(distance("haiku", "opus", 2), None);
        assert_eq!(distance("a", "abcd", 2), None);
    }
}
