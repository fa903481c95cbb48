//! What became of a call, by the HTTP status it was answered with. A 4xx was turned away before any work, so nothing is owed
//! for it; but a gateway may also pass on a 4xx for a call that had begun, and what such a call used is owed all the same.

use crate::usage::shape::Read;
use crate::usage::{Outcome, Quantities, Usage};

/// The outcome that a status tells of; without a status the call is taken to have succeeded.
pub fn outcome(status: Option<u64>) -> Outcome {
    match status {
        None | Some(100..=399) => Outcome::Succeeded,
        // 408 and 499 are calls that somebody gave up waiting for; the provider may have worked on them.
        Some(408 | 499) => Outcome::Cancelled,
        Some(400..=498) => Outcome::Refused,
        Some(_) => Outcome::Failed,
    }
}

/// Lays an outcome and what is known of the usage together: nothing known is nothing used only where nobody worked.
pub fn settle(outcome: Outcome, read: Option<Read>) -> (Outcome, Read) {
    let used_something = |read: &Read| match &read.usage {
        Usage::Counted(counts) => !counts.is_empty() || read.reported.as_ref().is_some_and(|reported| !reported.amount.is_zero()),
        Usage::Contradictory { .. } => true,
        Usage::Missing => false,
    };
    match read {
        Some(read) if used_something(&read) => (if outcome == Outcome::Refused { Outcome::Failed } else { outcome }, read),
        read => {
            let usage = if outcome.is_free() { Usage::Counted(Quantities::NONE) } else { Usage::Missing };
            (outcome, Read { usage, ..read.unwrap_or(Read::of(Usage::Missing)) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Meter;

    fn used(tokens: u64) -> Option<Read> {
        let usage = Usage::Counted(Quantities::of(&[(Meter::Input, tokens)]));
        Some(Read::of(usage))
    }

    #[test]
    fn a_status_says_whether_anybody_worked() {
        let outcomes = [None, Some(200), Some(302), Some(402), Some(429), Some(408), Some(499), Some(500), Some(0)].map(outcome);
        use Outcome::*;
        assert_eq!(outcomes, [Succeeded, Succeeded, Succeeded, Refused, Refused, Cancelled, Cancelled, Failed, Failed]);
    }

    #[test]
    fn what_a_call_used_is_owed_whatever_its_status() {
        let (outcome, read) = settle(Outcome::Refused, used(5));
        assert_eq!((outcome, read.usage), (Outcome::Failed, Usage::Counted(Quantities::of(&[(Meter::Input, 5)]))));
        let of = |outcome, read| settle(outcome, read).1.usage;
        assert_eq!(of(Outcome::Refused, None), Usage::Counted(Quantities::NONE));
        assert_eq!(of(Outcome::Succeeded, None), Usage::Missing);
        assert_eq!(of(Outcome::Failed, used(0)), Usage::Missing);
    }
}
