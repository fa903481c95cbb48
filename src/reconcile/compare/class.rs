//! The kinds of differences, and what a person is told about each: the likely cause in words, and what to do next.

/// A kind of difference. The set is closed; what fits none of the others is a price.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Class {
    /// The statement was printed with six decimals, cut toward zero.
    Truncated,
    /// Less than anybody could charge for.
    Rounding,
    MissingHere,
    MissingThere,
    Price,
    Quantity,
    Tier,
    CacheSplit,
    Byok,
    ToolCharge,
    Fee,
    Timing,
    /// Usage that does not come through here: of another key, or of none.
    Unmetered,
    DuplicateHere,
}

/// What probably made a difference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cause {
    Printed,
    Summed,
    NeverSent,
    CancelledThere,
    FreeThere,
    MoreThere,
    FewerThere,
    NotClaimed,
    NoIdHere,
    EndpointPrice,
    AnotherProvider,
    ReportedWasNotBooked,
    SeveralAtOnce,
    CountsDiffer,
    CountsDifferForNothing,
    CancelledButBilled,
    TierDiffers,
    HalfOrDouble,
    CachedDiffers,
    UpstreamWasAdded,
    UpstreamInStatement,
    ByokHereOrThere,
    FeeDiffers,
    ToolsDiffer,
    AnotherDay,
    AnotherKey,
    WithoutKey,
    SameGeneration,
}

impl Class {
    pub const COUNT: usize = 14;

    pub const ALL: [Class; Class::COUNT] = [
        Class::Truncated,
        Class::Rounding,
        Class::MissingHere,
        Class::MissingThere,
        Class::Price,
        Class::Quantity,
        Class::Tier,
        Class::CacheSplit,
        Class::Byok,
        Class::ToolCharge,
        Class::Fee,
        Class::Timing,
        Class::Unmetered,
        Class::DuplicateHere,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Class::Truncated => "truncated",
            Class::Rounding => "rounding",
            Class::MissingHere => "missing_here",
            Class::MissingThere => "missing_there",
            Class::Price => "price",
            Class::Quantity => "quantity",
            Class::Tier => "tier",
            Class::CacheSplit => "cache_split",
            Class::Byok => "byok",
            Class::ToolCharge => "tool_charge",
            Class::Fee => "fee",
            Class::Timing => "timing",
            Class::Unmetered => "unmetered",
            Class::DuplicateHere => "duplicate_here",
        }
    }

    /// Whether it comes of how numbers are printed and summed; there may be one for each line, so they are only counted.
    pub const fn is_of_printing(self) -> bool {
        matches!(self, Class::Truncated | Class::Rounding)
    }

    /// Whether both sides have it, each on a day of its own: nobody owes anything for that.
    pub const fn is_on_both_sides(self) -> bool {
        matches!(self, Class::Timing)
    }
}

impl Cause {
    pub const fn in_words(self) -> &'static str {
        match self {
            Cause::Printed => "the export cuts amounts after six decimals",
            Cause::Summed => "the provider added floats",
            Cause::NeverSent => "the gateway sent no event: a lost usage chunk, a retry, or a call that went around it",
            Cause::CancelledThere => "the stream was cancelled and billed, and the gateway sent no event",
            Cause::FreeThere => "it cost nothing: a free model, a replay from a cache, or less than is printed",
            Cause::MoreThere => "the provider counted more requests: events are missing here",
            Cause::FewerThere => "the provider counted fewer requests: something here was not billed, or will be later",
            Cause::NotClaimed => "the provider claims nothing: insured, failed, or a batch whose line comes days later",
            Cause::NoIdHere => "the event has no generation id, and no line resembles it",
            Cause::EndpointPrice => "the endpoint that answered has another price than the card",
            Cause::AnotherProvider => "another provider answered than the one it was rated for",
            Cause::ReportedWasNotBooked => "the response said what was charged, and something else was booked",
            Cause::SeveralAtOnce => "requests and money differ in opposite directions: several causes in one sum",
            Cause::CountsDiffer => "the token counts differ: estimated or normalised counts were sent, or some were lost",
            Cause::CountsDifferForNothing => "the token counts differ and the money does not",
            Cause::CancelledButBilled => "the stream was cancelled, and billed all the same",
            Cause::TierDiffers => "another service tier was billed than was rated",
            Cause::HalfOrDouble => "exactly half or twice: another tier or batch, or the upstream's cost added to the same cost",
            Cause::CachedDiffers => "as many tokens in sum, but more or fewer of them were read from a cache",
            Cause::UpstreamWasAdded => "the upstream's charge for a key of one's own was booked to the router too",
            Cause::UpstreamInStatement => "the chart adds an estimate of what upstreams charge for keys of one's own",
            Cause::ByokHereOrThere => "a key of one's own was used by one account of it, and credits by the other",
            Cause::FeeDiffers => "the fee for keys of one's own: the monthly allowance was used up, or had begun anew",
            Cause::ToolsDiffer => {
                "searches, files or other tools were charged that the event does not count, or the other way round"
            }
            Cause::AnotherDay => "booked on one day and billed on another: a day's edge, a batch, or a late event",
            Cause::AnotherKey => "usage of a key that sends nothing here",
            Cause::WithoutKey => "usage without a key: the chat room of the web site",
            Cause::SameGeneration => "the same generation was booked twice, from two sources or under two ids",
        }
    }

    pub const fn next_step(self) -> &'static str {
        match self {
            Cause::Printed | Cause::Summed => "nothing",
            Cause::NeverSent | Cause::CancelledThere => {
                "fetch the generation and post it (`--fetch-missing`); then find out why its gateway was silent"
            }
            Cause::FreeThere | Cause::CountsDifferForNothing => "nothing is owed; look if it happens often",
            Cause::MoreThere => "import the export of generations of that day, which names the missing ones",
            Cause::FewerThere | Cause::NotClaimed => "compare again after four days; then true up",
            Cause::NoIdHere => "have the gateway send provider_request_id",
            Cause::EndpointPrice | Cause::AnotherProvider => "publish a card for the endpoint, or book what is reported",
            Cause::ReportedWasNotBooked => "set cost_basis to reported for this provider and re-rate",
            Cause::SeveralAtOnce => "import the export of generations of that day and compare that",
            Cause::CountsDiffer | Cause::CancelledButBilled => {
                "fetch the generation, and complete the event with its native counts"
            }
            Cause::TierDiffers | Cause::HalfOrDouble => "send the service tier that was served, and publish a card for it",
            Cause::CachedDiffers => "check which counts the gateway's shape includes in which",
            Cause::UpstreamWasAdded => "send the upstream's charge as upstream_amount",
            Cause::UpstreamInStatement => "compare credits_usage, which has no estimates in it",
            Cause::ByokHereOrThere => "send byok as the response said it",
            Cause::FeeDiffers => "true up; the fee is only known from the statement",
            Cause::ToolsDiffer => "send the tool counts, and publish their rates",
            Cause::AnotherDay => "nothing: both days together agree",
            Cause::AnotherKey | Cause::WithoutKey => "let the usage come through a gateway, or accept it as not metered",
            Cause::SameGeneration => "rank the two sources, so that one is evidence for the other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_stands_at_its_own_place() {
        assert!(Class::ALL.iter().enumerate().all(|(place, class)| *class as usize == place));
    }
}
