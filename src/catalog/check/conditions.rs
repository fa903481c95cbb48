//! Conditions that can never decide anything. Of those that hold the later one wins, meter by meter, so a condition is dead
//! where later ones that hold whenever it does name all of its meters.

use crate::catalog::Conditional;
use crate::catalog::resolution::is_ordinary;
use crate::time::{Weekdays, Window};

/// The conditions that never decide, each with the reason.
pub(super) fn dead(when: &[Conditional]) -> impl Iterator<Item = (&Conditional, String)> + '_ {
    when.iter().enumerate().filter_map(|(place, it)| Some((it, why_dead(it, &when[place + 1..])?)))
}

fn why_dead(it: &Conditional, later: &[Conditional]) -> Option<String> {
    if it.days == Some(Weekdays(0)) {
        return Some("it names no day, so it never holds".to_owned());
    }
    if let Some(tier) = it.service_tier.as_ref().filter(|tier| is_ordinary(tier)) {
        return Some(format!("the tier {tier} is the ordinary one, which no condition is asked for"));
    }
    let stronger: Vec<&Conditional> = later.iter().filter(|later| later.holds_whenever(it)).collect();
    let is_hidden = it.rates.iter().all(|(meter, _)| stronger.iter().any(|later| later.rates.get(meter).is_some()));
    let first = stronger.first().filter(|_| is_hidden)?;
    Some(format!("what holds later ({first}) names all of its meters"))
}

impl Conditional {
    fn holds_whenever(&self, other: &Conditional) -> bool {
        let is_met = |mine: Option<u64>, theirs: Option<u64>| mine.is_none_or(|mine| theirs.is_some_and(|theirs| mine <= theirs));
        is_met(self.prompt_tokens_over, other.prompt_tokens_over)
            && self.window.is_none_or(|mine| is_within(other.window, mine))
            && self.days.is_none_or(|mine| other.days.unwrap_or(Weekdays::ALL).0 & !mine.0 == 0)
            && (self.service_tier.is_none() || self.service_tier == other.service_tier)
            && (self.region.is_none() || self.region == other.region)
    }
}

/// Whether every minute of the inner window, or of the day, is one of the outer.
fn is_within(inner: Option<Window>, outer: Window) -> bool {
    const DAY: u16 = 1440;
    let length = |window: Window| match (window.until_minute + DAY - window.from_minute) % DAY {
        0 => DAY,
        minutes => minutes,
    };
    let Some(inner) = inner else { return length(outer) == DAY };
    let starts_after = (inner.from_minute + DAY - outer.from_minute) % DAY;
    length(outer) == DAY || starts_after + length(inner) <= length(outer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: u16, until: u16) -> Window {
        Window { from_minute: from * 60, until_minute: until * 60 }
    }

    #[test]
    fn a_window_is_within_another_also_past_midnight() {
        assert!(is_within(Some(window(23, 1)), window(22, 2)));
        assert!(is_within(Some(window(0, 1)), window(22, 2)));
        assert!(is_within(Some(window(22, 2)), window(22, 2)));
        assert!(!is_within(Some(window(21, 1)), window(22, 2)));
        assert!(!is_within(Some(window(1, 3)), window(22, 2)));
        assert!(!is_within(Some(window(2, 22)), window(22, 2)));
        assert!(is_within(None, window(5, 5)) && !is_within(None, window(22, 2)));
        assert!(is_within(Some(window(3, 2)), window(5, 5)));
    }
}
