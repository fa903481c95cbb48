//! Exact money. An [`Amount`] is a whole number of 10^-24 of one currency and a [`Rate`] is such an amount per *one* unit
//! of a meter, both in `i128`: every price in every public list is a whole number of these, quantities are whole, so a
//! rate times a quantity is exact and sums are integer sums. Nothing in here rounds unless its name or its answer says so.
//!
//! Decimal text (a JSON literal, a YAML string) becomes money only through [`Amount::parse`] and its neighbours, which
//! read the digits themselves; no value ever passes through a float. `rust_decimal` is the currency of other programs:
//! it converts at this door and is not the arithmetic, because its products round in silence past 28 digits.

use rust_decimal::Decimal;
use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub};
use std::str::FromStr;

/// Decimal places of the unit everything is counted in.
pub const PLACES: u32 = 24;

const ONE: i128 = 10_i128.pow(PLACES);
const MICRO: i128 = 10_i128.pow(18);
const LIMB: i128 = 10_i128.pow(9);

/// The largest amount a book accepts, in whole currency units: what the first limb can hold of micro-units.
pub const LARGEST: i128 = 9_200_000_000_000;

/// An exact amount of one currency; the currency travels beside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(i128);

/// Money per one unit of one meter; never negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rate(i128);

/// What rates are multiplied by, such as `1.1` for a region; never negative. Kept in as few digits as it has, so that the
/// product with a rate stays within `i128`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Factor {
    digits: i128,
    places: u32,
}

/// Three capital letters, `USD`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// An amount as three integers that a database can sum: whole micro-units, then two remainders of nine digits each.
/// The remainders are never negative (the first limb is the floor), so `-0.5` micro is `-1` and half a million femto.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Limbs {
    pub micro: i64,
    pub femto: i64,
    pub yocto: i64,
}

/// What was wrong with a piece of decimal text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("`{0}` is not a decimal number")]
    NotANumber(String),
    #[error("`{0}` has more than {PLACES} decimals; nothing is rounded on the way in")]
    TooFine(String),
    #[error("`{0}` is beyond {LARGEST} currency units")]
    TooLarge(String),
    #[error("`{0}` is negative; a rate cannot be")]
    NegativeRate(String),
    #[error("`{0}` is not a currency: three capital letters, such as USD")]
    NotACurrency(String),
}

impl Amount {
    pub const ZERO: Amount = Amount(0);

    /// Reads `12.5`, `3E-7`, `8e-06`; refuses what does not fit 24 decimals.
    ///
    /// ```
    /// use farthing::money::Amount;
    /// assert_eq!(Amount::parse("3E-7").unwrap(), Amount::parse("0.0000003").unwrap());
    /// assert!(Amount::parse("1e-25").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Amount, MoneyError> {
        match Amount::parse_rounded(text)? {
            (amount, false) => Ok(amount),
            (_, true) => Err(MoneyError::TooFine(shown(text))),
        }
    }

    /// Like [`Amount::parse`], but digits past the 24th are rounded half to even and the flag says that it happened: what
    /// others report may be a float printed to 58 digits, and that must not fail an event.
    pub fn parse_rounded(text: &str) -> Result<(Amount, bool), MoneyError> {
        let (units, rounded) = read_decimal(text)?;
        let amount = Amount(units);
        if amount.fits() { Ok((amount, rounded)) } else { Err(MoneyError::TooLarge(shown(text))) }
    }

    /// How many 10^-24 this is.
    pub const fn units(self) -> i128 {
        self.0
    }

    pub const fn from_units(units: i128) -> Amount {
        Amount(units)
    }

    /// Whether a book can hold it.
    pub const fn fits(self) -> bool {
        self.0.unsigned_abs() <= (LARGEST * ONE) as u128
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    pub const fn abs(self) -> Amount {
        Amount(self.0.abs())
    }

    pub fn checked_add(self, other: Amount) -> Option<Amount> {
        self.0.checked_add(other.0).map(Amount)
    }

    pub fn limbs(self) -> Limbs {
        let below_micro = self.0.rem_euclid(MICRO);
        Limbs { micro: self.0.div_euclid(MICRO) as i64, femto: (below_micro / LIMB) as i64, yocto: (below_micro % LIMB) as i64 }
    }

    /// Also right for limbs that are sums: the remainders may then be larger than nine digits.
    pub const fn from_limbs(limbs: Limbs) -> Amount {
        Amount(limbs.micro as i128 * MICRO + limbs.femto as i128 * LIMB + limbs.yocto as i128)
    }

    /// Rounded half to even for a display; the ledger never sees the result.
    pub fn rounded_for_display(self, places: u32) -> Amount {
        if places >= PLACES {
            return self;
        }
        let step = 10_i128.pow(PLACES - places);
        Amount(round_half_even(self.0, step) * step)
    }

    /// At least `places` decimals, more if there are more: columns of money line up on the point.
    pub fn with_places(self, places: usize) -> String {
        let plain = self.to_string();
        let decimals = plain.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let point = if decimals == 0 && places > 0 { "." } else { "" };
        format!("{plain}{point}{}", "0".repeat(places.saturating_sub(decimals)))
    }
}

impl Rate {
    pub const ZERO: Rate = Rate(0);

    /// Reads a rate per one unit; refuses what does not fit 24 decimals.
    pub fn parse(text: &str) -> Result<Rate, MoneyError> {
        Rate::parse_per(text, 0)
    }

    /// Reads a rate quoted per 10^`power` units (3 for `_per_1k`, 6 for `_per_1m`): the point moves, no digit is lost.
    ///
    /// ```
    /// use farthing::money::Rate;
    /// assert_eq!(Rate::parse_per("0.003625", 6).unwrap(), Rate::parse("0.000000003625").unwrap());
    /// ```
    pub fn parse_per(text: &str, power: u32) -> Result<Rate, MoneyError> {
        match Rate::parse_per_rounded(text, power)? {
            (rate, false) => Ok(rate),
            (_, true) => Err(MoneyError::TooFine(shown(text))),
        }
    }

    /// Like [`Rate::parse_per`], but digits past the 24th are rounded half to even and the flag says that it happened: a
    /// rate per second need not be finite per millisecond.
    pub fn parse_per_rounded(text: &str, power: u32) -> Result<(Rate, bool), MoneyError> {
        let (units, rounded) = read_shifted(text, -i64::from(power))?;
        // `-0` has been seen in a public list, and is zero; what only rounds to zero is negative all the same.
        if units < 0 || (rounded && text.starts_with('-')) {
            return Err(MoneyError::NegativeRate(shown(text)));
        }
        if !Amount(units).fits() {
            return Err(MoneyError::TooLarge(shown(text)));
        }
        Ok((Rate(units), rounded))
    }

    /// Reads a price quoted for `per` units, such as an hour for 3,600,000 milliseconds. A quotient that is not finite at
    /// 24 decimals is rounded half to even there, and the flag says that it happened.
    ///
    /// ```
    /// use farthing::money::Rate;
    /// assert_eq!(Rate::parse_quoted("0.36", 3_600_000).unwrap(), (Rate::parse("0.0000001").unwrap(), false));
    /// let (rate, rounded) = Rate::parse_quoted("3", 3_600_000).unwrap();
    /// assert_eq!((rate.to_string().as_str(), rounded), ("0.000000833333333333333333", true));
    /// ```
    pub fn parse_quoted(text: &str, per: u64) -> Result<(Rate, bool), MoneyError> {
        let quoted = Rate::parse(text)?;
        let per = i128::from(per.max(1));
        Ok((Rate(round_half_even(quoted.0, per)), quoted.0 % per != 0))
    }

    pub const fn units(self) -> i128 {
        self.0
    }

    pub const fn from_units(units: i128) -> Rate {
        Rate(units)
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The exact product, or nothing when a book could not hold it.
    pub fn times(self, quantity: u64) -> Option<Amount> {
        let amount = Amount(self.0.checked_mul(i128::from(quantity))?);
        amount.fits().then_some(amount)
    }

    /// The rate under a published multiplier, and whether it had more than 24 decimals and was rounded half to even;
    /// nothing when a book could not hold it.
    pub fn multiplied(self, factor: Factor) -> Option<(Rate, bool)> {
        let product = self.0.checked_mul(factor.digits)?;
        let step = 10_i128.pow(factor.places);
        let rate = Rate(round_half_even(product, step));
        Amount(rate.0).fits().then_some((rate, product % step != 0))
    }

    /// The rate per 10^`power` units, as text: how lists quote it.
    pub fn quoted_per(self, power: u32) -> String {
        print_decimal(self.0, PLACES - power)
    }
}

impl Factor {
    /// Reads `1.1`, `2`, `2.0`; refuses what does not fit 24 decimals.
    pub fn parse(text: &str) -> Result<Factor, MoneyError> {
        let mut factor = Factor { digits: Rate::parse(text)?.units(), places: PLACES };
        while factor.places > 0 && factor.digits % 10 == 0 {
            factor = Factor { digits: factor.digits / 10, places: factor.places - 1 };
        }
        Ok(factor)
    }
}

impl Limbs {
    pub const ZERO: Limbs = Limbs { micro: 0, femto: 0, yocto: 0 };
}

impl Currency {
    pub const USD: Currency = Currency(*b"USD");

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("three ASCII letters were checked when it was made")
    }

    pub const fn bytes(self) -> [u8; 3] {
        self.0
    }

    /// Its letters as a number, in the same order as they are.
    pub const fn number(self) -> u32 {
        u32::from_be_bytes([0, self.0[0], self.0[1], self.0[2]])
    }

    pub fn of_number(number: u32) -> Option<Currency> {
        let [zero, letters @ ..] = number.to_be_bytes();
        (zero == 0 && letters.iter().all(u8::is_ascii_uppercase)).then_some(Currency(letters))
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Currency, MoneyError> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(letters) if letters.iter().all(u8::is_ascii_uppercase) => Ok(Currency(letters)),
            _ => Err(MoneyError::NotACurrency(shown(text))),
        }
    }
}

impl Add for Amount {
    type Output = Amount;

    /// Amounts a book holds are below 10^37 units, so only a sum of more than ten of the very largest could overflow;
    /// where many are summed use [`Amount::checked_add`].
    fn add(self, other: Amount) -> Amount {
        Amount(self.0.checked_add(other.0).expect("a sum of amounts that a book holds stays within i128"))
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        *self = *self + other;
    }
}

impl Sub for Amount {
    type Output = Amount;

    fn sub(self, other: Amount) -> Amount {
        self + -other
    }
}

impl Neg for Amount {
    type Output = Amount;

    fn neg(self) -> Amount {
        Amount(-self.0)
    }
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Amount>>(amounts: I) -> Amount {
        amounts.fold(Amount::ZERO, Add::add)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print_decimal(self.0, PLACES))
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Amount({self})")
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print_decimal(self.0, PLACES))
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rate({self})")
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print_decimal(self.digits, self.places))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<Decimal> for Amount {
    type Error = MoneyError;

    fn try_from(decimal: Decimal) -> Result<Amount, MoneyError> {
        let spare = i64::from(PLACES) - i64::from(decimal.scale());
        let units = if spare >= 0 {
            decimal.mantissa().checked_mul(10_i128.pow(spare as u32))
        } else {
            let step = 10_i128.pow(spare.unsigned_abs() as u32);
            if decimal.mantissa() % step != 0 {
                return Err(MoneyError::TooFine(decimal.to_string()));
            }
            Some(decimal.mantissa() / step)
        };
        match units.map(Amount) {
            Some(amount) if amount.fits() => Ok(amount),
            _ => Err(MoneyError::TooLarge(decimal.to_string())),
        }
    }
}

impl TryFrom<Amount> for Decimal {
    type Error = MoneyError;

    /// Refuses rather than rounds: a `Decimal` has 28 digits, an amount may have 37.
    fn try_from(amount: Amount) -> Result<Decimal, MoneyError> {
        let text = amount.to_string();
        Decimal::from_str_exact(&text).map_err(|_| MoneyError::TooFine(text))
    }
}

/// Decimal text as a number of 10^-24, rounded half to even where it is finer; whether it was.
fn read_decimal(text: &str) -> Result<(i128, bool), MoneyError> {
    read_shifted(text, 0)
}

/// The same with the point moved `shift` places to the right first.
fn read_shifted(text: &str, shift: i64) -> Result<(i128, bool), MoneyError> {
    let not_a_number = || MoneyError::NotANumber(shown(text));
    let too_large = || MoneyError::TooLarge(shown(text));
    if text.len() > 1_100 {
        return Err(not_a_number());
    }

    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, read_exponent(exponent).ok_or_else(not_a_number)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return Err(not_a_number()),
        Some((whole, fraction)) => (whole, fraction),
        None => (mantissa, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(not_a_number());
    }

    // The digits without their leading zeros, and how many of them stand before the 24th decimal.
    let digits = || whole.bytes().chain(fraction.bytes()).skip_while(|&b| b == b'0').map(|b| i128::from(b - b'0'));
    let significant = digits().count() as i64;
    if significant == 0 {
        return Ok((0, false));
    }
    let kept = significant - fraction.len() as i64 + exponent + shift + i64::from(PLACES);
    if kept > 38 {
        return Err(too_large());
    }

    let mut units: i128 = 0;
    for digit in digits().chain(std::iter::repeat(0)).take(kept.max(0) as usize) {
        units = units.checked_mul(10).and_then(|units| units.checked_add(digit)).ok_or_else(too_large)?;
    }
    let mut cut = digits().skip(kept.max(0) as usize);
    // With fewer than no digits kept, a zero stands where the first cut digit would.
    let first_cut = if kept < 0 { 0 } else { cut.next().unwrap_or(0) };
    let more = cut.any(|digit| digit != 0);
    let rounded = first_cut != 0 || more;
    if first_cut > 5 || (first_cut == 5 && (more || units % 2 == 1)) {
        units += 1;
    }
    Ok((if negative { -units } else { units }, rounded))
}

fn read_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: i64 = digits.parse().ok()?;
    Some(if negative { -value } else { value })
}

/// `units` of 10^-`places` as plain decimal text: no exponent, no trailing zero, no point without decimals.
pub(crate) fn print_decimal(units: i128, places: u32) -> String {
    let one = 10_u128.pow(places);
    let magnitude = units.unsigned_abs();
    let sign = if units < 0 { "-" } else { "" };
    let (whole, fraction) = (magnitude / one, magnitude % one);
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = format!("{fraction:0width$}", width = places as usize);
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

pub(crate) fn round_half_even(value: i128, step: i128) -> i128 {
    let (quotient, remainder) = (value.div_euclid(step), value.rem_euclid(step));
    let twice = remainder * 2;
    if twice > step || (twice == step && quotient % 2 != 0) { quotient + 1 } else { quotient }
}

/// Enough of an offending text to recognise it.
fn shown(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        Amount::parse(text).unwrap()
    }

    #[test]
    fn literals_are_read_to_the_last_digit() {
        assert_eq!(amount("0.0000000208333333333333").units(), 20_833_333_333_333_300);
        assert_eq!(amount("0.00000010000000000000001").units(), 100_000_000_000_000_010);
        assert_eq!(amount("3E-7").to_string(), "0.0000003");
        assert_eq!(amount("8e-06").to_string(), "0.000008");
        assert_eq!(amount("1.5e+2").to_string(), "150");
        assert_eq!(amount("-0.00382743").to_string(), "-0.00382743");
        assert_eq!(amount("000.10").to_string(), "0.1");
    }

    #[test]
    fn a_float_printed_to_58_digits_is_rounded_and_says_so() {
        let printed = "0.0000117000000000000001243449787580175325274467468261718750";
        let (read, rounded) = Amount::parse_rounded(printed).unwrap();
        assert!(rounded);
        assert_eq!(read.to_string(), "0.000011700000000000000124");
        assert!(matches!(Amount::parse(printed), Err(MoneyError::TooFine(_))));
    }

    #[test]
    fn rounding_is_half_to_even() {
        let read = |text| Amount::parse_rounded(text).unwrap();
        assert_eq!(read("0.5e-24"), (Amount(0), true));
        assert_eq!(read("1.5e-24"), (Amount(2), true));
        assert_eq!(read("2.5e-24"), (Amount(2), true));
        assert_eq!(read("2.50001e-24"), (Amount(3), true));
        assert_eq!(read("5e-26"), (Amount(0), true));
        assert_eq!(read("-1.5e-24"), (Amount(-2), true));
        assert_eq!(read("1e-400"), (Amount(0), true));
        assert_eq!(read("0e-400"), (Amount(0), false));
    }

    #[test]
    fn what_is_not_plain_decimal_text_is_refused() {
        for text in ["", "-", "+1", "1_000", " 1", "1 ", ".5", "5.", "1e", "1e+", "0x10", "NaN", "inf", "1.2.3", "--1", "1e99999"]
        {
            assert!(matches!(Amount::parse(text), Err(MoneyError::NotANumber(_))), "{text}");
        }
        assert!(matches!(Amount::parse("9200000000001"), Err(MoneyError::TooLarge(_))));
        assert!(matches!(Amount::parse("1e30"), Err(MoneyError::TooLarge(_))));
        assert!(matches!(Rate::parse("-1"), Err(MoneyError::NegativeRate(_))));
        assert!(matches!(Rate::parse("-1e-30"), Err(MoneyError::NegativeRate(_))));
        assert_eq!(Rate::parse("-0"), Ok(Rate::ZERO));
    }

    #[test]
    fn a_multiplied_rate_is_exact_or_says_that_it_is_not() {
        let times = |rate: &str, factor: &str| {
            let product = Rate::parse(rate).unwrap().multiplied(Factor::parse(factor).unwrap());
            product.map(|(rate, rounded)| (rate.to_string(), rounded))
        };
        assert_eq!(times("0.0000025", "1.1"), Some(("0.00000275".to_owned(), false)));
        assert_eq!(times("0.00001", "2.0"), Some(("0.00002".to_owned(), false)));
        assert_eq!(times("1e-24", "1.5"), Some(("0.000000000000000000000002".to_owned(), true)));
        assert_eq!(times("1e-24", "0.5"), Some(("0".to_owned(), true)));
        assert_eq!(times("9000000000000", "1.1"), None);
        assert!(Factor::parse("-1").is_err());
    }

    #[test]
    fn a_rate_finer_than_a_book_is_refused_or_rounded_aloud() {
        assert!(Rate::parse_per("1.5e-22", 3).is_err());
        let (rate, rounded) = Rate::parse_per_rounded("1.5e-21", 3).unwrap();
        assert_eq!((rate.units(), rounded), (2, true));
        let (rate, rounded) = Rate::parse_per_rounded("0.000283333333333333333333", 3).unwrap();
        assert_eq!((rate.to_string().as_str(), rounded), ("0.000000283333333333333333", true));
        assert!(Rate::parse_per_rounded("-1e-30", 0).is_err());
    }

    #[test]
    fn the_same_price_in_any_unit_is_one_rate() {
        let rate = Rate::parse("0.00000015").unwrap();
        assert_eq!(Rate::parse_per("0.00015", 3).unwrap(), rate);
        assert_eq!(Rate::parse_per("0.15", 6).unwrap(), rate);
        assert_eq!(rate.quoted_per(6), "0.15");
        assert_eq!(rate.times(1_000_000), Some(amount("0.15")));
    }

    #[test]
    fn a_quotient_is_rounded_once_and_half_to_even() {
        let quoted = |text, per| Rate::parse_quoted(text, per).map(|(rate, rounded)| (rate.units(), rounded));
        assert_eq!(quoted("3e-24", 2), Ok((2, true)));
        assert_eq!(quoted("5e-24", 2), Ok((2, true)));
        assert_eq!(quoted("7e-24", 3), Ok((2, true)));
        assert_eq!(quoted("8e-24", 3), Ok((3, true)));
        assert_eq!(quoted("6e-24", 3), Ok((2, false)));
        assert_eq!(quoted("0.15", 1_000_000), Ok((Rate::parse("0.00000015").unwrap().units(), false)));
        assert!(matches!(quoted("1e-25", 10), Err(MoneyError::TooFine(_))));
        assert!(matches!(quoted("-1", 10), Err(MoneyError::NegativeRate(_))));
    }

    #[test]
    fn a_product_that_no_book_can_hold_is_none() {
        assert_eq!(Rate::parse("1").unwrap().times(u64::MAX), None);
        assert_eq!(Rate::from_units(i128::MAX).times(2), None);
    }

    #[test]
    fn limbs_of_negative_amounts_have_positive_remainders() {
        let half_a_micro_below_zero = amount("-0.0000005");
        assert_eq!(half_a_micro_below_zero.limbs(), Limbs { micro: -1, femto: 500_000_000, yocto: 0 });
        assert_eq!(Amount::from_limbs(half_a_micro_below_zero.limbs()), half_a_micro_below_zero);
    }

    #[test]
    fn a_decimal_converts_only_where_it_is_exact() {
        let decimal = Decimal::from_str_exact("12.000000000000000000000001").unwrap();
        assert_eq!(Amount::try_from(decimal).unwrap().to_string(), "12.000000000000000000000001");
        assert!(Amount::try_from(Decimal::from_str_exact("0.0000000000000000000000001").unwrap()).is_err());
        assert!(Decimal::try_from(amount("1234567890.123456789012345678901234")).is_err());
    }

    #[test]
    fn displays_round_half_to_even_and_keep_their_places() {
        assert_eq!(amount("0.125").rounded_for_display(2).with_places(2), "0.12");
        assert_eq!(amount("-0.375").rounded_for_display(2).with_places(2), "-0.38");
        assert_eq!(amount("3").with_places(2), "3.00");
        assert_eq!(amount("3.5").with_places(0), "3.5");
    }
}
