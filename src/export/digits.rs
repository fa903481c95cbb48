//! Numbers as ASCII digits, written to the end of a buffer. What is printed a hundred million times is printed here, without
//! a formatter and without an allocation; each function gives exactly the text of its type's own `Display`, except that an
//! instant always has six decimals, because readers that guess a column's format guess it from its first row.

use crate::money::Amount;
use crate::time::{Instant, Month};
use chrono::Datelike;

/// A short piece of ASCII on the stack.
pub struct Short<const N: usize> {
    bytes: [u8; N],
}

impl<const N: usize> Short<N> {
    pub const fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("only ASCII was put in")
    }
}

pub fn integer(number: i64, to: &mut Vec<u8>) {
    if number < 0 {
        to.push(b'-');
    }
    unsigned(number.unsigned_abs(), to);
}

fn unsigned(mut number: u64, to: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[first..]);
}

/// `number` in exactly as many digits as fit.
fn padded(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Plain decimal text: no exponent, no trailing zero, no point without decimals.
pub fn money(amount: Amount, to: &mut Vec<u8>) {
    if amount.is_negative() {
        to.push(b'-');
    }
    let limbs = amount.abs().limbs();
    let (whole, micro) = (limbs.micro as u64 / 1_000_000, limbs.micro as u64 % 1_000_000);
    unsigned(whole, to);
    let mut decimals = [b'0'; 24];
    padded(micro, &mut decimals[..6]);
    padded(limbs.femto as u64, &mut decimals[6..15]);
    padded(limbs.yocto as u64, &mut decimals[15..]);
    if let Some(last) = decimals.iter().rposition(|digit| *digit != b'0') {
        to.push(b'.');
        to.extend_from_slice(&decimals[..=last]);
    }
}

/// `2026-02-03T10:00:00.000000Z`
pub fn instant(at: Instant) -> Short<27> {
    const DAY: i64 = 86_400_000_000;
    let mut bytes = *b"0000-00-00T00:00:00.000000Z";
    bytes[..10].copy_from_slice(&date(at).bytes);
    let micros = at.micros().rem_euclid(DAY) as u64;
    let seconds = micros / 1_000_000;
    padded(seconds / 3_600, &mut bytes[11..13]);
    padded(seconds / 60 % 60, &mut bytes[14..16]);
    padded(seconds % 60, &mut bytes[17..19]);
    padded(micros % 1_000_000, &mut bytes[20..26]);
    Short { bytes }
}

/// The day in UTC, `2026-02-03`.
pub fn date(at: Instant) -> Short<10> {
    let mut bytes = *b"0000-00-00";
    let date = at.to_utc().date_naive();
    padded(u64::from(date.year().unsigned_abs()), &mut bytes[..4]);
    padded(u64::from(date.month()), &mut bytes[5..7]);
    padded(u64::from(date.day()), &mut bytes[8..]);
    Short { bytes }
}

/// `2026-02`
pub fn month(month: Month) -> Short<7> {
    let number = month.number();
    let mut bytes = *b"0000-00";
    padded(number.div_euclid(12) as u64, &mut bytes[..4]);
    padded(number.rem_euclid(12) as u64 + 1, &mut bytes[5..]);
    Short { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut to = Vec::new();
        write(&mut to);
        String::from_utf8(to).unwrap()
    }

    proptest! {
        #[test]
        fn numbers_read_as_they_are_displayed(number: i64, units in -9_200_000_000_000_i128 * 10_i128.pow(24)..=9_200_000_000_000 * 10_i128.pow(24), zeros in 0_u32..36) {
            prop_assert_eq!(written(|to| integer(number, to)), number.to_string());
            let step = 10_i128.pow(zeros);
            for units in [units, units / step, units / step * step] {
                let amount = Amount::from_units(units);
                prop_assert_eq!(written(|to| money(amount, to)), amount.to_string());
            }
        }

        #[test]
        fn an_instant_is_itself_in_six_decimals(micros in 0_i64..253_402_300_800_000_000) {
            let at = Instant::from_micros(micros);
            let text = instant(at);
            prop_assert_eq!(Instant::parse(text.as_str()).unwrap(), at);
            let (day, whole, month) = (date(at), at.to_string(), month(at.month()));
            prop_assert_eq!(day.as_str(), &whole[..10]);
            prop_assert_eq!(month.as_str(), at.month().to_string());
        }
    }
}
