//! The line items of an entry as bytes. A rate and a quantity are written, their product is not: it is exact, so it can
//! always be had again. Part of what block hashes cover, so the layout never changes within a format.

use crate::bytes::{Damaged, Reader, Writer};
use crate::id::NameId;
use crate::money::{Amount, Rate};
use crate::usage::Meter;

/// One meter's part of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Item {
    pub meter: Meter,
    pub quantity: u64,
    /// None where the money of this meter is inside the `whole` item, whose amount has no rate either.
    pub rate: Option<Rate>,
    pub amount: Amount,
    pub inherited_from: Option<Meter>,
    pub card: Option<NameId>,
}

const METER: u8 = 0b0001_1111;
const RATE: u8 = 0b0010_0000;
const INHERITED: u8 = 0b0100_0000;
const CARD: u8 = 0b1000_0000;

pub fn write(items: &[Item], to: &mut Writer) {
    to.number(items.len() as u64);
    for item in items {
        let mut tag = item.meter as u8;
        tag |= if item.rate.is_some() { RATE } else { 0 };
        tag |= if item.inherited_from.is_some() { INHERITED } else { 0 };
        tag |= if item.card.is_some() { CARD } else { 0 };
        to.byte(tag);
        to.number(item.quantity);
        to.amount(item.rate.map_or(item.amount, |rate| Amount::from_units(rate.units())));
        if let Some(meter) = item.inherited_from {
            to.byte(meter as u8);
        }
        if let Some(card) = item.card {
            to.signed(card.0);
        }
    }
}

pub fn read(bytes: &[u8]) -> Result<Vec<Item>, Damaged> {
    let mut from = Reader::new(bytes);
    let mut items = Vec::new();
    for _ in 0..from.number()? {
        let tag = from.byte()?;
        let meter = Meter::from_number(tag & METER).ok_or(Damaged("a meter is unknown"))?;
        let quantity = from.number()?;
        let written = from.amount()?;
        let rate = (tag & RATE != 0).then(|| Rate::from_units(written.units()));
        let amount = match rate {
            Some(rate) => rate.times(quantity).ok_or(Damaged("a line item is beyond what a book holds"))?,
            None => written,
        };
        let inherited_from = match tag & INHERITED {
            0 => None,
            _ => Some(Meter::from_number(from.byte()?).ok_or(Damaged("a meter is unknown"))?),
        };
        let card = if tag & CARD != 0 { Some(NameId(from.signed()?)) } else { None };
        items.push(Item { meter, quantity, rate, amount, inherited_from, card });
    }
    from.end()?;
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_read_back_the_same() {
        let rate = Rate::parse_per("0.15", 6).unwrap();
        let item = Item {
            meter: Meter::Input,
            quantity: 1000,
            rate: Some(rate),
            amount: rate.times(1000).unwrap(),
            inherited_from: None,
            card: None,
        };
        let drift = Amount::parse("-0.000001").unwrap();
        let items = [
            item,
            Item { meter: Meter::Reasoning, inherited_from: Some(Meter::Output), card: Some(NameId(9)), ..item },
            Item { meter: Meter::Output, rate: None, amount: Amount::ZERO, ..item },
            Item { meter: Meter::Whole, quantity: 1, rate: None, amount: drift, ..item },
        ];
        let mut bytes = Writer::new();
        write(&items, &mut bytes);
        assert_eq!(read(bytes.as_slice()).unwrap(), items);
        assert!(bytes.as_slice().len() < 30);
    }
}
