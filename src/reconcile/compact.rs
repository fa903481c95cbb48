//! A list whose items take as few bytes as each needs. A million lines and as many calls are in memory at once, and most of
//! what one has is small or nothing: a fixed place for each would be three times as large. A number is written in groups of
//! seven bits, the lowest first, as many as it needs; which numbers there are, only the type of an item knows.

use crate::money::Amount;
use crate::reconcile::texts::{Id, Name};
use std::marker::PhantomData;
use std::num::NonZeroU32;

/// What can be kept so.
pub trait Encoded: Sized {
    /// About as many bytes as one takes; rather more than that, because room that is not used costs nothing.
    const USUAL: usize;

    fn write(&self, to: &mut Encoder<'_>);
    /// Reads the same numbers in the same order.
    fn read(from: &mut Decoder<'_>) -> Self;
}

/// A list of items, which are read and written whole.
pub struct Compact<T> {
    bytes: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
    items: PhantomData<fn() -> T>,
}

pub struct Encoder<'e>(&'e mut Vec<u8>);

pub struct Decoder<'d>(&'d [u8]);

impl<T: Encoded> Compact<T> {
    /// With room for so many: a list that grows is in memory twice.
    pub fn with_room(items: usize) -> Compact<T> {
        Compact { bytes: Vec::with_capacity(items * T::USUAL), starts: Vec::with_capacity(items), items: PhantomData }
    }

    pub fn push(&mut self, item: &T) {
        self.starts.push(self.bytes.len());
        item.write(&mut Encoder(&mut self.bytes));
    }

    pub fn get(&self, place: usize) -> T {
        T::read(&mut Decoder(&self.bytes[self.starts[place]..]))
    }

    /// In the place of the one before where it is no longer than that, otherwise at the end.
    pub fn replace(&mut self, place: usize, item: &T) {
        let after = &self.bytes[self.starts[place]..];
        let mut rest = Decoder(after);
        T::read(&mut rest);
        let (length, mut bytes) = (after.len() - rest.0.len(), Vec::with_capacity(T::USUAL));
        item.write(&mut Encoder(&mut bytes));
        if bytes.len() > length {
            self.starts[place] = self.bytes.len();
            self.bytes.extend_from_slice(&bytes);
        } else {
            self.bytes[self.starts[place]..][..bytes.len()].copy_from_slice(&bytes);
        }
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> + ExactSizeIterator {
        (0..self.len()).map(|place| self.get(place))
    }
}

impl<T> Compact<T> {
    pub const fn len(&self) -> usize {
        self.starts.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }
}

impl<T> Default for Compact<T> {
    fn default() -> Compact<T> {
        Compact { bytes: Vec::new(), starts: Vec::new(), items: PhantomData }
    }
}

impl<T> Clone for Compact<T> {
    /// With the same room: what is cloned is to be changed.
    fn clone(&self) -> Compact<T> {
        let mut bytes = Vec::with_capacity(self.bytes.capacity());
        bytes.extend_from_slice(&self.bytes);
        Compact { bytes, starts: self.starts.clone(), items: PhantomData }
    }
}

impl<T: Encoded + std::fmt::Debug> std::fmt::Debug for Compact<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Encoded> FromIterator<T> for Compact<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Compact<T> {
        let mut list = Compact::default();
        items.into_iter().for_each(|item| list.push(&item));
        list
    }
}

impl Encoder<'_> {
    pub fn number(&mut self, number: impl Into<u64>) {
        let mut rest: u64 = number.into();
        while rest > 0x7f {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    /// Of either sign, which is the lowest bit.
    pub fn signed(&mut self, number: i64) {
        self.number((number << 1 ^ number >> 63) as u64);
    }

    pub fn amount(&mut self, amount: Amount) {
        let units = amount.units();
        let mut rest = (units << 1 ^ units >> 127) as u128;
        while rest > u128::from(u64::MAX) {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.number(rest as u64);
    }

    /// What may be untold, after whether it is told.
    pub fn optional(&mut self, amount: Option<Amount>) {
        self.number(u8::from(amount.is_some()));
        amount.into_iter().for_each(|amount| self.amount(amount));
    }

    pub fn name(&mut self, name: Option<Name>) {
        self.number(name.map_or(0, |name| name.0.get()));
    }

    pub fn id(&mut self, id: Option<Id>) {
        self.number(id.map_or(0, |id| id.0.get()));
    }
}

impl Decoder<'_> {
    pub fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    pub fn signed(&mut self) -> i64 {
        let number = self.number();
        (number >> 1) as i64 ^ -((number & 1) as i64)
    }

    pub fn amount(&mut self) -> Amount {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Amount::from_units((number >> 1) as i128 ^ -((number & 1) as i128));
            }
            shift += 7;
        }
    }

    pub fn optional(&mut self) -> Option<Amount> {
        (self.number() == 1).then(|| self.amount())
    }

    pub fn name(&mut self) -> Option<Name> {
        NonZeroU32::new(self.number() as u32).map(Name)
    }

    pub fn id(&mut self) -> Option<Id> {
        NonZeroU32::new(self.number() as u32).map(Id)
    }

    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().expect("an item ends with a number");
        self.0 = rest;
        *first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Debug)]
    struct All(u64, i64, Amount, Option<Amount>);

    impl Encoded for All {
        const USUAL: usize = 20;

        fn write(&self, to: &mut Encoder<'_>) {
            to.number(self.0);
            to.signed(self.1);
            to.amount(self.2);
            to.optional(self.3);
        }

        fn read(from: &mut Decoder<'_>) -> All {
            All(from.number(), from.signed(), from.amount(), from.optional())
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
            All(1, i64::MAX, amount(i128::from(u64::MAX)), Some(amount(i128::from(i64::MIN)))),
        ];
        let mut list: Compact<All> = all.iter().copied().collect();
        assert_eq!(list.iter().collect::<Vec<_>>(), all);
        // Longer than before, shorter, and as long.
        for (place, other) in [(1, all[3]), (2, all[0]), (4, All { 0: 2, ..all[4] }), (1, all[0]), (2, all[2])] {
            all[place] = other;
            list.replace(place, &other);
            assert_eq!(list.iter().collect::<Vec<_>>(), all);
        }
        list.push(&all[3]);
        all.push(all[3]);
        assert_eq!(list.clone().iter().collect::<Vec<_>>(), all);
        assert_eq!((list.len(), list.get(3)), (6, all[3]));
    }

    #[test]
    fn nothing_takes_one_byte_and_ten_dollars_no_more_than_thirteen() {
        let size = |amount: &str| {
            let mut bytes = Vec::new();
            Encoder(&mut bytes).amount(Amount::parse(amount).unwrap());
            bytes.len()
        };
        assert_eq!((size("0"), size("0.05"), size("10")), (1, 11, 13));
    }
}
