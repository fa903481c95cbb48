//! Records in as few bytes as each needs. A million lines or calls are in memory at once, and most parts of one are small or
//! nothing: a fixed place for each would be three times as large. A part is a number in groups of seven bits, the lowest
//! first, as many as it needs; which parts there are, only its type knows.

use crate::money::Amount;
use crate::reconcile::texts::{Id, Name};
use std::marker::PhantomData;

/// What can be kept so.
pub trait Record: Sized {
    fn write(&self, parts: &mut Parts<'_>);
    /// Reads the same parts in the same order.
    fn read(parts: &mut PartsOf<'_>) -> Self;
}

/// A list of records, which are read and written whole.
pub struct Packed<T> {
    bytes: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
    records: PhantomData<fn() -> T>,
}

/// The parts of a record on their way in.
pub struct Parts<'p>(&'p mut Vec<u8>);

/// The parts of a record on their way out.
pub struct PartsOf<'p>(std::slice::Iter<'p, u8>);

/// About as many bytes as one takes.
const USUAL: usize = 64;

impl<T: Record> Packed<T> {
    /// With room for so many: a list that grows is in memory twice.
    pub fn with_room(records: usize) -> Packed<T> {
        Packed { bytes: Vec::with_capacity(records * USUAL), starts: Vec::with_capacity(records), records: PhantomData }
    }

    pub fn push(&mut self, record: &T) {
        self.starts.push(self.bytes.len());
        record.write(&mut Parts(&mut self.bytes));
    }

    pub fn get(&self, place: usize) -> T {
        T::read(&mut PartsOf(self.bytes[self.starts[place]..].iter()))
    }

    /// The bytes of the one before stay where they are: it is not done often.
    pub fn replace(&mut self, place: usize, record: &T) {
        self.starts[place] = self.bytes.len();
        record.write(&mut Parts(&mut self.bytes));
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> + ExactSizeIterator {
        (0..self.len()).map(|place| self.get(place))
    }
}

impl<T> Packed<T> {
    pub const fn len(&self) -> usize {
        self.starts.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }
}

impl<T> Default for Packed<T> {
    fn default() -> Packed<T> {
        Packed { bytes: Vec::new(), starts: Vec::new(), records: PhantomData }
    }
}

impl<T> Clone for Packed<T> {
    fn clone(&self) -> Packed<T> {
        Packed { bytes: self.bytes.clone(), starts: self.starts.clone(), records: PhantomData }
    }
}

impl<T: Record + std::fmt::Debug> std::fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Record> FromIterator<T> for Packed<T> {
    fn from_iter<I: IntoIterator<Item = T>>(records: I) -> Packed<T> {
        let mut packed = Packed::default();
        records.into_iter().for_each(|record| packed.push(&record));
        packed
    }
}

impl Parts<'_> {
    pub fn number(&mut self, number: impl Into<u128>) {
        let mut rest: u128 = number.into();
        while rest > 0x7f {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    /// A number of either sign, which is in the lowest bit.
    pub fn signed(&mut self, number: impl Into<i128>) {
        let number: i128 = number.into();
        self.number((number << 1 ^ number >> 127) as u128);
    }

    pub fn amount(&mut self, amount: Amount) {
        self.signed(amount.units());
    }

    /// What may be untold, after whether it is told.
    pub fn optional(&mut self, amount: Option<Amount>) {
        self.number(u8::from(amount.is_some()));
        amount.into_iter().for_each(|amount| self.amount(amount));
    }

    pub fn name(&mut self, name: Option<Name>) {
        self.number(Name::number_of(name));
    }

    pub fn id(&mut self, id: Option<Id>) {
        self.number(Id::number_of(id));
    }
}

impl PartsOf<'_> {
    pub fn number(&mut self) -> u64 {
        self.wide() as u64
    }

    pub fn signed(&mut self) -> i64 {
        self.wide_signed() as i64
    }

    pub fn amount(&mut self) -> Amount {
        Amount::from_units(self.wide_signed())
    }

    pub fn optional(&mut self) -> Option<Amount> {
        (self.number() == 1).then(|| self.amount())
    }

    pub fn name(&mut self) -> Option<Name> {
        Name::of_number(self.number() as u32)
    }

    pub fn id(&mut self) -> Option<Id> {
        Id::of_number(self.number() as u32)
    }

    fn wide_signed(&mut self) -> i128 {
        let number = self.wide();
        (number >> 1) as i128 ^ -((number & 1) as i128)
    }

    fn wide(&mut self) -> u128 {
        let (mut number, mut shift) = (0_u128, 0);
        for byte in self.0.by_ref() {
            number |= u128::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                break;
            }
            shift += 7;
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Debug)]
    struct All(u64, i64, Amount, Option<Amount>);

    impl Record for All {
        fn write(&self, parts: &mut Parts<'_>) {
            parts.number(self.0);
            parts.signed(self.1);
            parts.amount(self.2);
            parts.optional(self.3);
        }

        fn read(parts: &mut PartsOf<'_>) -> All {
            All(parts.number(), parts.signed(), parts.amount(), parts.optional())
        }
    }

    #[test]
    fn whatever_is_kept_is_read_again_at_its_place() {
        let amount = Amount::from_units;
        let mut all = vec![
            All(0, 0, amount(0), None),
            All(127, -1, amount(-1), Some(amount(0))),
            All(128, 64, amount(i128::MAX), Some(amount(i128::MIN))),
            All(u64::MAX, i64::MIN, amount(i128::MIN), Some(amount(-10_i128.pow(24)))),
            All(1, i64::MAX, amount(10_i128.pow(18)), None),
        ];
        let mut packed: Packed<All> = all.iter().copied().collect();
        assert_eq!(packed.iter().collect::<Vec<_>>(), all);
        all[1] = All(3, 3, amount(3), Some(amount(-3)));
        packed.replace(1, &all[1]);
        packed.push(&all[2]);
        all.push(all[2]);
        assert_eq!(packed.iter().collect::<Vec<_>>(), all);
        assert_eq!((packed.len(), packed.get(3)), (6, all[3]));
    }

    #[test]
    fn nothing_takes_one_byte_and_a_price_eleven_at_most() {
        let size = |amount: Amount| {
            let mut bytes = Vec::new();
            Parts(&mut bytes).amount(amount);
            bytes.len()
        };
        assert_eq!(size(Amount::ZERO), 1);
        assert_eq!(size(Amount::parse("0.05").unwrap()), 11);
    }
}
