//! The one binary notation of everything that is hashed or kept as a blob: little numbers in few bytes, text with its
//! length, money as digits and an exponent. What is written here is covered by block hashes, so a writer never changes:
//! a new layout is a new format number, and the old one stays readable for ever. Reading never panics, whatever the bytes.

use crate::money::Amount;

#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

pub struct Reader<'a> {
    rest: &'a [u8],
}

/// The bytes end too early, run too long or say something no writer writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not what was written: {0}")]
pub struct Damaged(pub &'static str);

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    pub fn with_capacity(bytes: usize) -> Writer {
        Writer { bytes: Vec::with_capacity(bytes) }
    }

    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Seven bits a byte, the lowest first.
    pub fn number(&mut self, number: u64) {
        self.wide(u128::from(number));
    }

    fn wide(&mut self, mut number: u128) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// A number that may be negative: the sign moves to the lowest bit.
    pub fn signed(&mut self, number: i64) {
        self.number((number << 1 ^ number >> 63) as u64);
    }

    pub fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }

    pub fn blob(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The digits without their trailing zeros, and how many zeros: `0.00117` takes three bytes.
    pub fn amount(&mut self, amount: Amount) {
        let mut digits = amount.units();
        let mut zeros = 0;
        while digits != 0 && digits % 10 == 0 {
            digits /= 10;
            zeros += 1;
        }
        self.wide((digits << 1 ^ digits >> 127) as u128);
        self.byte(zeros);
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub fn byte(&mut self) -> Result<u8, Damaged> {
        let (&byte, rest) = self.rest.split_first().ok_or(Damaged("they end early"))?;
        self.rest = rest;
        Ok(byte)
    }

    pub fn number(&mut self) -> Result<u64, Damaged> {
        u64::try_from(self.wide()?).map_err(|_| Damaged("a number is too large"))
    }

    fn wide(&mut self) -> Result<u128, Damaged> {
        let mut number = 0_u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Damaged("a number is too large"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift != 0 {
                    return Err(Damaged("a number is padded"));
                }
                return Ok(number);
            }
        }
        Err(Damaged("a number does not end"))
    }

    pub fn signed(&mut self) -> Result<i64, Damaged> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub fn text(&mut self) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.blob()?).map_err(|_| Damaged("a text is not UTF-8"))
    }

    pub fn blob(&mut self) -> Result<&'a [u8], Damaged> {
        let length = self.number()?;
        self.raw(usize::try_from(length).map_err(|_| Damaged("a length is too large"))?)
    }

    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Damaged("they end early"))?;
        self.rest = rest;
        Ok(bytes)
    }

    pub fn amount(&mut self) -> Result<Amount, Damaged> {
        let folded = self.wide()?;
        let digits = (folded >> 1) as i128 ^ -((folded & 1) as i128);
        let zeros = self.byte()?;
        let scale = 10_i128.checked_pow(u32::from(zeros)).ok_or(Damaged("an amount is too large"))?;
        if digits % 10 == 0 && (digits != 0 || zeros != 0) {
            return Err(Damaged("an amount is padded"));
        }
        digits.checked_mul(scale).map(Amount::from_units).ok_or(Damaged("an amount is too large"))
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything was read, nothing is left over.
    pub fn end(self) -> Result<(), Damaged> {
        if self.rest.is_empty() { Ok(()) } else { Err(Damaged("they go on too long")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(number: u64, signed: i64, text: String, digits: i64, zeros in 0_u32..18) {
            let amount = Amount::from_units(i128::from(digits) * 10_i128.pow(zeros));
            let mut writer = Writer::new();
            writer.number(number);
            writer.signed(signed);
            writer.text(&text);
            writer.amount(amount);
            let bytes = writer.into_bytes();

            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.number().unwrap(), number);
            prop_assert_eq!(reader.signed().unwrap(), signed);
            prop_assert_eq!(reader.text().unwrap(), text);
            prop_assert_eq!(reader.amount().unwrap(), amount);
            prop_assert!(reader.end().is_ok());
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while !reader.is_empty() {
                if reader.amount().and_then(|_| reader.text()).and_then(|_| reader.signed()).is_err() {
                    break;
                }
            }
        }

        /// One value, one spelling: otherwise two different blobs could mean the same and hash differently.
        #[test]
        fn every_amount_has_one_spelling(bytes in prop::collection::vec(any::<u8>(), 1..6)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(amount) = reader.amount() {
                let read = bytes.len() - reader.rest.len();
                let mut writer = Writer::new();
                writer.amount(amount);
                prop_assert_eq!(writer.as_slice(), &bytes[..read]);
            }
        }
    }
}
