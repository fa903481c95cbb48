//! Two accounts of the same calls on the scales: are they the same, and if not, which class explains the difference best? Each
//! hypothesis ("our amount without the upstream's charge is theirs") is tested on the amounts themselves; the first that
//! holds, in the order from special to general, is the answer.

use super::class::{Cause, Class};
use super::{Booked, Findings, Line};
use crate::money::Amount;
use crate::reconcile::statement::{Flags, Form, Grain, Precision, Tokens, cut_to_micros};
use crate::reconcile::texts::Name;

/// What one side says of one call or of a day.
#[derive(Clone, Copy, Default)]
pub(super) struct Side {
    pub requests: u64,
    pub tokens: Tokens,
    pub amount: Amount,
    tools: Amount,
    upstream: Amount,
    reported: Option<Amount>,
    flags: Flags,
    tier: Option<Name>,
    provider: Option<Name>,
    /// The tier is told: nothing means the ordinary one.
    tells_tier: bool,
    truncated: bool,
    is_sum: bool,
    /// How many were added up.
    pub parts: u64,
}

impl Side {
    pub(super) fn of_call(call: &Booked) -> Side {
        Side {
            requests: call.requests,
            tokens: call.tokens,
            amount: call.amount,
            tools: call.tools,
            upstream: call.upstream,
            reported: call.reported,
            flags: call.flags,
            tier: call.tier,
            provider: call.served_by,
            tells_tier: true,
            truncated: false,
            is_sum: false,
            parts: 1,
        }
    }

    pub(super) fn of_line(findings: &Findings<'_>, line: &Line) -> Side {
        Side {
            requests: line.requests,
            tokens: line.tokens,
            amount: line.amount,
            tools: line.tools,
            upstream: line.upstream,
            reported: None,
            flags: line.flags,
            tier: findings.translated(line.tier),
            provider: findings.translated(line.provider),
            tells_tier: findings.statement.form == Form::Generation,
            truncated: line.precision == Precision::Truncated,
            is_sum: line.grain == Grain::Day,
            parts: 1,
        }
    }

    /// Both together. What only one of them tells is told of neither, and a tier or provider holds for all or for none.
    pub(super) fn and(self, other: Side) -> Side {
        if self.parts == 0 {
            return other;
        }
        let tokens = self.tokens.checked_add(other.tokens);
        Side {
            requests: self.requests.saturating_add(other.requests),
            tokens: tokens.unwrap_or_default(),
            amount: self.amount + other.amount,
            tools: self.tools + other.tools,
            upstream: self.upstream + other.upstream,
            reported: self.reported.zip(other.reported).map(|(one, other)| one + other),
            flags: self.flags.or(other.flags).with(Flags::COUNTS_UNTOLD, tokens.is_none()),
            tier: self.tier.filter(|tier| Some(*tier) == other.tier),
            provider: self.provider.filter(|provider| Some(*provider) == other.provider),
            tells_tier: self.tells_tier && other.tells_tier && self.tier == other.tier,
            truncated: self.truncated || other.truncated,
            is_sum: true,
            parts: self.parts + other.parts,
        }
    }
}

/// The scales of one comparison.
pub(super) struct Scales<'s> {
    pub ours: &'s Side,
    pub theirs: &'s Side,
    noise: Amount,
}

impl<'s> Scales<'s> {
    pub(super) fn new(findings: &Findings<'_>, ours: &'s Side, theirs: &'s Side) -> Scales<'s> {
        let tolerance = findings.tolerance;
        let of_sum = theirs.amount.abs().units() / 1_000_000_000 * i128::from(tolerance.billionths);
        let noise = if theirs.is_sum { tolerance.noise.max(Amount::from_units(of_sum)) } else { tolerance.noise };
        Scales { ours, theirs, noise }
    }

    /// The class of the difference, or nothing where there is none.
    pub(super) fn weigh(&self) -> Option<(Class, Cause)> {
        let (ours, theirs) = (self.ours, self.theirs);
        if ours.amount == theirs.amount {
            // A sum may have free requests in it; a single call has one count.
            let counts_differ = !theirs.is_sum && self.counts().is_some();
            return counts_differ.then_some((Class::Quantity, Cause::CountsDifferForNothing));
        }
        if theirs.truncated && cut_to_micros(ours.amount) == theirs.amount {
            return Some((Class::Truncated, Cause::Printed));
        }
        if self.is_near(ours.amount, self.noise) {
            return Some((Class::Rounding, Cause::Summed));
        }
        let by_counts = || self.counts().filter(|_| !ours.amount.is_zero() || !theirs.amount.is_zero());
        Some(self.byok().or_else(|| self.tools()).or_else(by_counts).or_else(|| self.tier()).unwrap_or_else(|| self.price()))
    }

    /// Whether the difference would be gone if our amount were this one.
    fn explains(&self, amount: Amount) -> bool {
        (self.theirs.truncated && cut_to_micros(amount) == self.theirs.amount) || self.is_near(amount, self.noise)
    }

    /// What is lost where so many amounts were cut.
    fn slack(&self, cut: i128) -> Amount {
        if self.theirs.truncated { Amount::from_units(cut * 10_i128.pow(18)) } else { self.noise }
    }

    fn is_near(&self, amount: Amount, slack: Amount) -> bool {
        (amount - self.theirs.amount).abs() <= slack
    }

    fn byok(&self) -> Option<(Class, Cause)> {
        let (ours, theirs) = (self.ours, self.theirs);
        let with_upstream = theirs.flags.has(Flags::WITH_UPSTREAM) && !ours.upstream.is_zero();
        if with_upstream && self.explains(ours.amount + ours.upstream) {
            return Some((Class::Byok, Cause::UpstreamInStatement));
        }
        // An export cuts the upstream's charge too.
        let slack = self.slack(2);
        let added = |upstream: Amount| upstream.abs() > slack && self.is_near(ours.amount - upstream, slack);
        if added(ours.upstream) || added(theirs.upstream) {
            return Some((Class::Byok, Cause::UpstreamWasAdded));
        }
        match (ours.flags.has(Flags::BYOK), theirs.flags.has(Flags::BYOK)) {
            // A day has calls of both kinds in it, and whatever else may be wrong with those.
            _ if theirs.is_sum => None,
            (true, true) => Some((Class::Fee, Cause::FeeDiffers)),
            (false, false) => None,
            _ => Some((Class::Byok, Cause::ByokHereOrThere)),
        }
    }

    fn tools(&self) -> Option<(Class, Cause)> {
        let (ours, theirs) = (self.ours, self.theirs);
        let told = !theirs.flags.has(Flags::TOOLS_UNTOLD);
        // Three amounts are cut in an export: the sum, the searches and the files.
        let slack = self.slack(3);
        let explains = match told {
            true => ours.tools != theirs.tools && self.is_near(ours.amount - ours.tools + theirs.tools, slack),
            false => !ours.tools.is_zero() && self.is_near(ours.amount - ours.tools, slack),
        };
        explains.then_some((Class::ToolCharge, Cause::ToolsDiffer))
    }

    fn counts(&self) -> Option<(Class, Cause)> {
        let (ours, theirs) = (self.ours, self.theirs);
        if ours.flags.has(Flags::COUNTS_UNTOLD) || theirs.flags.has(Flags::COUNTS_UNTOLD) {
            let billed = theirs.flags.has(Flags::CANCELLED) && ours.amount.is_zero() && !theirs.amount.is_zero();
            return billed.then_some((Class::Quantity, Cause::CancelledButBilled));
        }
        let totals = |tokens: Tokens| (tokens.prompt(), tokens.completion());
        if totals(ours.tokens) != totals(theirs.tokens) {
            let cause = if theirs.flags.has(Flags::CANCELLED) { Cause::CancelledButBilled } else { Cause::CountsDiffer };
            return Some((Class::Quantity, cause));
        }
        let cache_told = !theirs.flags.has(Flags::CACHE_UNTOLD) && !ours.flags.has(Flags::CACHE_UNTOLD);
        (cache_told && ours.tokens.cache_read != theirs.tokens.cache_read).then_some((Class::CacheSplit, Cause::CachedDiffers))
    }

    fn tier(&self) -> Option<(Class, Cause)> {
        let (ours, theirs) = (self.ours, self.theirs);
        if theirs.tells_tier && ours.tells_tier && ours.tier != theirs.tier {
            return Some((Class::Tier, Cause::TierDiffers));
        }
        let half = Amount::from_units(ours.amount.units() / 2);
        // Of a tiny amount nearly everything is half or twice something.
        let large = ours.amount.abs().units() > 100 * self.slack(1).units();
        let exactly = self.explains(ours.amount + ours.amount) || self.explains(half);
        (large && exactly).then_some((Class::Tier, Cause::HalfOrDouble))
    }

    fn price(&self) -> (Class, Cause) {
        let (ours, theirs) = (self.ours, self.theirs);
        if ours.flags.has(Flags::BYOK) && theirs.flags.has(Flags::BYOK) {
            return (Class::Fee, Cause::FeeDiffers);
        }
        let another = ours.provider.zip(theirs.provider).is_some_and(|(ours, theirs)| ours != theirs);
        let cause = match ours.reported {
            Some(reported) if reported != ours.amount && self.explains(reported) => Cause::ReportedWasNotBooked,
            _ if another => Cause::AnotherProvider,
            _ => Cause::EndpointPrice,
        };
        (Class::Price, cause)
    }
}
