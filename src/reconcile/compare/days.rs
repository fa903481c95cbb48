//! Lines that are sums of a day. Both sides are added up by day and model, and by provider too where both name the same ones.
//! Whether something is missing shows in the count of requests; what is missing on one day and too much on another, in the
//! same number and for the same money, is only late.

use super::class::{Cause, Class};
use super::weigh::{Scales, Side};
use super::{Findings, Found, generations};
use crate::money::Amount;
use crate::reconcile::statement::Flags;
use crate::reconcile::texts::Name;
use crate::time::Instant;

/// Days by which a batch may be late.
const LATEST: i64 = 4;
const DAY: i64 = 86_400_000_000;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    model: Option<Name>,
    day: Instant,
    provider: Option<Name>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Call(u32),
    Line(u32),
}

/// One day of a model, with what both sides say of it.
struct Group {
    key: Key,
    ours: Side,
    theirs: Side,
    calls: Vec<u32>,
    lines: Vec<u32>,
    late: bool,
}

pub(super) fn compare(findings: &mut Findings<'_>) {
    let calls = once_each(findings);
    let mut groups = groups(findings, &calls);
    find_what_is_late(findings, &mut groups);
    groups.sort_by_key(|group| (group.key.day, group.key));
    groups.retain(|group| findings.counts(group.key.day));
    for group in &groups {
        tell(findings, group);
    }
}

/// The calls without those that are booked twice, which become variances of their own.
fn once_each(findings: &mut Findings<'_>) -> Vec<u32> {
    let (calls, mut once) = generations::by_id(findings);
    let ids = &findings.book.ids;
    for same in calls.chunk_by(|(a, _), (b, _)| ids.text(*a) == ids.text(*b)) {
        let (_, kept) = same[0];
        generations::duplicates(findings, same.iter().map(|(_, place)| *place), kept);
        // A duplicate that costs nothing is no variance and has nothing to add either.
        once.push(kept);
    }
    once
}

fn groups(findings: &Findings<'_>, calls: &[u32]) -> Vec<Group> {
    // A chart by key has no models, so there is only the day to compare by.
    let by_model = findings.statement.lines.iter().any(|line| line.model.is_some());
    let of_call = |place: &u32| {
        let call = findings.call(*place);
        (Key { model: call.model.filter(|_| by_model), day: call.at.day(), provider: call.served_by }, Part::Call(*place))
    };
    let of_line = |place: u32| {
        let line = findings.line(place);
        let (model, provider) = (findings.translated(line.model), findings.translated(line.provider));
        (Key { model, day: line.at.day(), provider }, Part::Line(place))
    };
    let mut parts: Vec<(Key, Part)> = calls.iter().map(of_call).collect();
    parts.extend((0..findings.statement.lines.len() as u32).map(of_line));
    parts.sort_unstable();
    let mut groups = Vec::new();
    for day in parts.chunk_by(|(a, _), (b, _)| (a.model, a.day) == (b.model, b.day)) {
        if names_the_same_providers(day) {
            groups.extend(day.chunk_by(|(a, _), (b, _)| a == b).map(|parts| group(findings, parts, parts[0].0)));
        } else {
            groups.push(group(findings, day, Key { provider: None, ..day[0].0 }));
        }
    }
    groups
}

/// Where one side is silent about the day there is nothing that could be called otherwise.
fn names_the_same_providers(parts: &[(Key, Part)]) -> bool {
    let (is_call, is_line) = (|part: &Part| matches!(part, Part::Call(_)), |part: &Part| matches!(part, Part::Line(_)));
    let has = |parts: &[(Key, Part)], is: fn(&Part) -> bool| parts.iter().any(|(_, part)| is(part));
    let has_both = |parts: &[(Key, Part)]| has(parts, is_call) && has(parts, is_line);
    !has_both(parts) || parts.chunk_by(|(a, _), (b, _)| a.provider == b.provider).all(has_both)
}

fn group(findings: &Findings<'_>, parts: &[(Key, Part)], key: Key) -> Group {
    let mut group =
        Group { key, ours: Side::default(), theirs: Side::default(), calls: Vec::new(), lines: Vec::new(), late: false };
    for (_, part) in parts {
        match part {
            Part::Call(place) => {
                group.ours = group.ours.and(Side::of_call(&findings.call(*place)));
                group.calls.push(*place);
            }
            Part::Line(place) => {
                group.theirs = group.theirs.and(Side::of_line(findings, &findings.line(*place)));
                group.lines.push(*place);
            }
        }
    }
    group
}

impl Group {
    fn difference(&self) -> Amount {
        self.theirs.amount - self.ours.amount
    }

    /// How many requests more there are there; nothing where the statement does not count them.
    fn more_requests(&self) -> Option<i128> {
        let told = self.lines.is_empty() || self.theirs.requests > 0;
        told.then(|| i128::from(self.theirs.requests) - i128::from(self.ours.requests))
    }

    fn is_opposite(&self, other: &Group, noise: Amount) -> bool {
        let requests = self.more_requests().zip(other.more_requests());
        requests.is_some_and(|(one, other)| one != 0 && one == -other)
            && !self.difference().is_zero()
            && (self.difference() + other.difference()).abs() <= noise
    }
}

/// Marks pairs of days of which one has what the other lacks.
fn find_what_is_late(findings: &Findings<'_>, groups: &mut [Group]) {
    groups.sort_by_key(|group| (group.key.model, group.key.provider, group.key.day));
    for place in 0..groups.len() {
        if groups[place].late {
            continue;
        }
        let key = groups[place].key;
        let near = |other: &Group| {
            (other.key.model, other.key.provider) == (key.model, key.provider)
                && other.key.day.micros() - key.day.micros() <= LATEST * DAY
        };
        let noise = findings.tolerance.noise;
        let after = groups[place + 1..].iter().take_while(|other| near(other));
        let found = after.enumerate().find(|(_, other)| !other.late && groups[place].is_opposite(other, noise));
        if let Some((offset, _)) = found {
            groups[place].late = true;
            groups[place + 1 + offset].late = true;
        }
    }
}

fn tell(findings: &mut Findings<'_>, group: &Group) {
    let weighed = Scales::new(findings, &group.ours, &group.theirs).weigh();
    let Some(weighed) = weighed else {
        return findings.match_up(group.theirs.amount);
    };
    let (class, cause) = match weighed {
        printed if printed.0.is_of_printing() => printed,
        _ if group.late => (Class::Timing, Cause::AnotherDay),
        _ if group.calls.is_empty() => not_here(findings, group),
        _ if group.lines.is_empty() => (Class::MissingThere, Cause::NotClaimed),
        explained @ (Class::Byok | Class::Fee, _) => explained,
        explained => match group.more_requests() {
            Some(1..) if !group.difference().is_negative() => (Class::MissingHere, Cause::MoreThere),
            Some(..=-1) if group.difference().is_negative() => (Class::MissingThere, Cause::FewerThere),
            Some(0) | None => explained,
            Some(_) => (Class::Price, Cause::SeveralAtOnce),
        },
    };
    let (expected, observed) = (group.ours.amount, group.theirs.amount);
    findings.find(&Found { class, cause, expected, observed, calls: &group.calls, lines: &group.lines });
}

fn not_here(findings: &Findings<'_>, group: &Group) -> (Class, Cause) {
    let lines = || group.lines.iter().map(|place| findings.line(*place));
    let metered = findings.book.metered.as_ref();
    let is_other = |key: Option<Name>| key.zip(metered).is_some_and(|(key, metered)| !metered.contains(&key));
    if lines().all(|line| line.flags.has(Flags::WITHOUT_KEY)) {
        (Class::Unmetered, Cause::WithoutKey)
    } else if lines().all(|line| is_other(findings.translated(line.key))) {
        (Class::Unmetered, Cause::AnotherKey)
    } else {
        (Class::MissingHere, Cause::NeverSent)
    }
}
