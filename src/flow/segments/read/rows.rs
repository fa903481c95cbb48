//! All entries of a segment as rows of an export, in the order in which they were booked. Its files have them in another order,
//! so all of it is put in order, column by column, and is in memory while it is handed on: each number in as few bytes as it
//! needs.

use super::{LIMBS, Segment, limbs};
use crate::catalog::resolution::Layer;
use crate::export::{Row, Sealed};
use crate::id::{BlockNumber, EventNumber, NameId, OwnerId, ProductId, Sequence, Version};
use crate::ledger::EntryKind;
use crate::money::{Amount, Currency, Limbs};
use crate::segment::narrow::Narrow;
use crate::segment::{Fault, SegmentError, Values};
use crate::time::{Instant, Month};
use crate::usage::{Meter, Outcome};
use std::ops::Range;

pub struct SegmentRows {
    integers: [Narrow; INTEGERS.len()],
    numbers: [Narrow; NUMBERS.len()],
    money: [Money; MONEY.len()],
    meter: Narrow,
    quantity: Narrow,
    /// The sequence of the entry that comes first.
    first: i64,
    /// Where the meters of each entry begin, and at the end where all of them end.
    meters_begin: Vec<u32>,
}

const INTEGERS: [&str; 6] = ["occurred_at", "recorded_at", "block", "event", "reverses", "calls"];
const EVENT: usize = 3;

/// The first are [`Words`].
const NUMBERS: [&str; 17] = [
    "rater",
    "currency",
    "kind",
    "period",
    "outcome",
    "layer",
    "owner",
    "product",
    "source",
    "card",
    "above",
    "reason",
    "estimated",
    "catalog_version",
    "turn",
    "debit",
    "credit",
];

/// The first are never missing.
const ALWAYS: usize = 2;
const MONEY: [&str; 5] = ["", "list", "aside", "rated", "reported"];

/// What numbers of ours stand for, which may be nothing.
struct Words {
    rater: u16,
    currency: Currency,
    kind: EntryKind,
    period: Month,
    outcome: Outcome,
    layer: Layer,
}

/// Amounts, of which there may be none, by their limbs.
struct Money {
    is_there: Narrow,
    limbs: [Narrow; LIMBS.len()],
}

impl Segment {
    pub fn rows(&self) -> Result<SegmentRows, SegmentError> {
        let changed = |why: &str| SegmentError::new(&self.path, why, Fault::Changed);
        let sequences = |of_meters| self.read(of_meters, &["sequence".to_owned()])?.take_integers("sequence");
        let entries = sequences(false)?;
        let (first, until) = (self.manifest.from, self.manifest.until);
        let order = in_order(&entries, first..until).ok_or_else(|| changed("its entries are not those it should have"))?;
        // Both files are in one order, so the meters of an entry follow those of the entry before.
        let begins = begins(&entries, &sequences(true)?).ok_or_else(|| changed("its meters are not those of its entries"))?;
        drop(entries);
        let (mut order_of_meters, mut meters_begin) = (Vec::with_capacity(self.rows_of(true)), vec![0]);
        for entry in order.iter().map(|entry| *entry as usize) {
            order_of_meters.extend(begins[entry]..begins[entry + 1]);
            meters_begin.push(order_of_meters.len() as u32);
        }

        // A few columns at a time, because they take more room until they are narrow.
        let [meter] = self.numbers(true, &["meter"], &order_of_meters)?;
        let [quantity] = self.integers(true, &["quantity"], &order_of_meters)?;
        let integers = self.integers(false, &INTEGERS, &order)?;
        let numbers = self.numbers(false, &NUMBERS, &order)?;
        let money = all(MONEY.map(|of| self.money(of, &order)))?;
        let rows = SegmentRows { integers, numbers, money, meter, quantity, first, meters_begin };
        // Before any of them is handed on, so that the book can be read instead.
        if rows.mean_something() { Ok(rows) } else { Err(changed("a number in it stands for nothing")) }
    }

    fn integers<const N: usize>(&self, of_meters: bool, names: &[&str; N], order: &[u32]) -> Result<[Narrow; N], SegmentError> {
        let columns = self.read(of_meters, &names.map(str::to_owned))?;
        all(names.map(|name| Ok(Narrow::of(columns.integers(name)?, order))))
    }

    fn numbers<const N: usize>(&self, of_meters: bool, names: &[&str; N], order: &[u32]) -> Result<[Narrow; N], SegmentError> {
        let columns = self.read(of_meters, &names.map(str::to_owned))?;
        all(names.map(|name| Ok(Narrow::of(columns.numbers(name)?, order))))
    }

    fn money(&self, of: &str, order: &[u32]) -> Result<Money, SegmentError> {
        let [micro, femto, yocto] = limbs(of);
        let columns = self.read(false, &[micro.clone(), femto.clone(), yocto.clone()])?;
        let (is_there, micro) = match columns.get(&micro) {
            Some(Values::Some(micros)) => {
                let is_there: Vec<u8> = micros.iter().map(|micro| u8::from(micro.is_some())).collect();
                let micros: Vec<i64> = micros.iter().map(|micro| micro.unwrap_or_default()).collect();
                (Narrow::of(&is_there, order), Narrow::of(&micros, order))
            }
            _ => (Narrow::always(1), Narrow::of(columns.integers(&micro)?, order)),
        };
        let [femto, yocto] = [columns.numbers(&femto)?, columns.numbers(&yocto)?].map(|limb| Narrow::of(limb, order));
        Ok(Money { is_there, limbs: [micro, femto, yocto] })
    }
}

fn all<T, const N: usize>(read: [Result<T, SegmentError>; N]) -> Result<[T; N], SegmentError> {
    let read: Vec<T> = read.into_iter().collect::<Result<_, _>>()?;
    Ok(read.try_into().unwrap_or_else(|_| unreachable!("each was read")))
}

/// Where the entry of each sequence of a range lies, if each of them is there once and nothing else is.
fn in_order(sequences: &[i64], range: Range<i64>) -> Option<Vec<u32>> {
    let mut order = vec![u32::MAX; usize::try_from(range.end - range.start).ok().filter(|rows| *rows == sequences.len())?];
    for (entry, sequence) in (0..).zip(sequences) {
        let place = order.get_mut(usize::try_from(sequence - range.start).ok()?)?;
        if std::mem::replace(place, entry) != u32::MAX {
            return None;
        }
    }
    Some(order)
}

/// Where the meters of each entry begin, and at the end where all of them end.
fn begins(entries: &[i64], meters: &[i64]) -> Option<Vec<u32>> {
    let mut place = 0;
    let mut begins = Vec::with_capacity(entries.len() + 1);
    for sequence in entries {
        begins.push(place as u32);
        place += meters[place..].iter().take_while(|other| *other == sequence).count();
    }
    begins.push(place as u32);
    (place == meters.len()).then_some(begins)
}

impl SegmentRows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.meters_begin.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows at some places.
    pub fn page(&self, places: Range<usize>) -> Vec<Row> {
        places.map(|place| self.row(place)).collect()
    }

    /// The events of the entries at some places.
    pub fn events(&self, places: Range<usize>) -> impl Iterator<Item = EventNumber> {
        places.map(|place| self.integers[EVENT].get(place)).filter(|event| *event != 0).map(EventNumber)
    }

    /// Whether a row can be made of every entry.
    fn mean_something(&self) -> bool {
        let has_money = |entry: usize| self.money[..ALWAYS].iter().all(|money| money.is_there.get(entry) == 1);
        let of_meters = self.meters_begin.last().map_or(0, |end| *end as usize);
        (0..self.len()).all(|entry| self.words(entry).is_some() && has_money(entry))
            && (0..of_meters).all(|place| self.meter_at(place).is_some())
    }

    fn words(&self, entry: usize) -> Option<Words> {
        let [rater, currency, kind, period, outcome, layer, ..] = self.numbers.each_ref().map(|of| of.get(entry));
        let small = |number: i64| u8::try_from(number).ok();
        Some(Words {
            rater: u16::try_from(rater).ok()?,
            currency: Currency::of_number(u32::try_from(currency).ok()?)?,
            kind: EntryKind::from_number(small(kind)?)?,
            period: Month::from_number(i32::try_from(period).ok()?),
            outcome: Outcome::from_number(small(outcome)?)?,
            layer: Layer::from_number(small(layer)?)?,
        })
    }

    fn meter_at(&self, place: usize) -> Option<Meter> {
        Meter::from_number(u8::try_from(self.meter.get(place)).ok()?)
    }

    fn row(&self, place: usize) -> Row {
        const KNOWN: &str = "what numbers mean was looked at when they were read";
        let Words { rater, currency, kind, period, outcome, layer } = self.words(place).expect(KNOWN);
        let [occurred_at, recorded_at, block, event, reverses, calls] = self.integers.each_ref().map(|of| of.get(place));
        let [_, _, _, _, _, _, numbers @ ..] = self.numbers.each_ref().map(|of| of.get(place));
        let [owner, product, source, card, above, reason, estimated, version, turn, debit, credit] = numbers;
        let [amount, list, aside] = [0, 1, 2].map(|money: usize| self.money[money].amount(place));
        let maybe = |number: i64| Some(number).filter(|number| *number != 0);
        let mut quantities = [0; Meter::COUNT];
        for meter in self.meters_begin[place] as usize..self.meters_begin[place + 1] as usize {
            quantities[self.meter_at(meter).expect(KNOWN) as usize] += self.quantity.get(meter);
        }
        Row {
            sequence: Sequence(self.first + place as i64),
            sealed: Sealed {
                block: BlockNumber(block),
                recorded_at: Instant::from_micros(recorded_at),
                version: Version(version),
                rater,
            },
            kind,
            event: maybe(event).map(EventNumber),
            turn: turn as u32,
            reverses: maybe(reverses).map(Sequence),
            occurred_at: Instant::from_micros(occurred_at),
            period,
            owner: OwnerId(owner),
            product: ProductId(product),
            source: NameId(source),
            debit: NameId(debit),
            credit: NameId(credit),
            amount,
            posted: amount.abs() + aside,
            currency,
            rated: self.money[3].get(place),
            reported: self.money[4].get(place),
            list,
            calls,
            quantities,
            outcome,
            layer,
            card: maybe(card).map(NameId),
            above: maybe(above).map(NameId),
            reason: maybe(reason).map(NameId),
            estimated: estimated != 0,
        }
    }
}

impl Money {
    fn get(&self, entry: usize) -> Option<Amount> {
        (self.is_there.get(entry) == 1).then(|| self.amount(entry))
    }

    /// Nothing where there is none.
    fn amount(&self, entry: usize) -> Amount {
        let [micro, femto, yocto] = self.limbs.each_ref().map(|limb| limb.get(entry));
        Amount::from_limbs(Limbs { micro, femto, yocto })
    }
}
