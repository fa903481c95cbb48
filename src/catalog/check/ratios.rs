//! How far one rate is from another. The larger is divided and never the smaller multiplied, so no product of rates is
//! formed and none can overflow.

use crate::money::Rate;

impl Rate {
    /// At least so many times more or less, neither of them being zero.
    pub(super) fn is_off(self, other: Rate, times: i128) -> bool {
        let (low, high) = (self.min(other).units(), self.max(other).units());
        low > 0 && high / times >= low
    }

    /// In words, where it is a thousand or a million times more or less: these are the units that rates are quoted in.
    /// Within a factor of two either way, because the price may have changed as well.
    pub(super) fn slip_against(self, other: Rate) -> Option<&'static str> {
        let (low, high) = (self.min(other).units(), self.max(other).units());
        let about = |times: i128| low > 0 && high / (times / 2) >= low && (high - 1) / (times * 2) < low;
        match (self > other, about(1_000), about(1_000_000)) {
            (true, true, _) => Some("about 1,000 times"),
            (true, _, true) => Some("about 1,000,000 times"),
            (false, true, _) => Some("about 1/1,000 of"),
            (false, _, true) => Some("about 1/1,000,000 of"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::LARGEST;

    fn rate(text: &str) -> Rate {
        Rate::parse(text).unwrap()
    }

    #[test]
    fn ten_times_is_off_and_a_little_less_is_not() {
        assert!(rate("30").is_off(rate("3"), 10) && rate("3").is_off(rate("30"), 10));
        assert!(!rate("29.999999999999999999999999").is_off(rate("3"), 10));
        assert!(!rate("0").is_off(rate("3"), 10) && !rate("3").is_off(rate("0"), 10));
    }

    #[test]
    fn a_slip_is_within_a_factor_of_two_of_a_thousand_or_a_million() {
        let slip = |one: &str, other: &str| rate(one).slip_against(rate(other));
        assert_eq!(slip("500", "1"), Some("about 1,000 times"));
        assert_eq!(slip("2000", "1"), Some("about 1,000 times"));
        assert_eq!(slip("1", "2000"), Some("about 1/1,000 of"));
        assert_eq!(slip("1500000", "1"), Some("about 1,000,000 times"));
        assert_eq!(slip("0.000003", "3"), Some("about 1/1,000,000 of"));
        assert_eq!(slip("499.9", "1"), None);
        assert_eq!(slip("2000.000000000000000000000001", "1"), None);
        assert_eq!(slip("0", "1"), None);
    }

    #[test]
    fn the_largest_rates_are_compared_like_any() {
        let largest = rate(&LARGEST.to_string());
        assert!(largest.is_off(rate("1e-24"), 10));
        assert_eq!(largest.slip_against(rate("9200000000")), Some("about 1,000 times"));
        assert_eq!(largest.slip_against(largest), None);
    }
}
