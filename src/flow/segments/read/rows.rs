//! All entries of a segment as rows of an export, in the order in which they were booked. Its files have them in another order,
//! so all of it is in memory while they are handed on: each number in as few bytes as it needs.

use super::{Columns, LIMBS, Segment, limbs};
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
    /// Where the entry of each sequence lies, and where each entry's meters begin; those of the last end where a last one begins.
    order: Vec<u32>,
    meters: Vec<u32>,
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
        // A few columns at a time, because they take more room until they are narrow.
        let mut columns = self.read(false, &["sequence", "event"].map(str::to_owned))?;
        let sequences = columns.take_integers("sequence")?;
        let (first, until) = (self.manifest.from, self.manifest.until);
        let order = in_order(&sequences, first..until).ok_or_else(|| changed("its entries are not those it should have"))?;
        // Both files are in one order, so the meters of an entry follow those of the entry before.
        let meters = self.read(true, &["sequence".to_owned()])?.take_integers("sequence")?;
        let meters = begins(&sequences, &meters).ok_or_else(|| changed("its meters are not those of its entries"))?;
        drop(sequences);

        let mut of_meters = self.read(true, &["meter", "quantity"].map(str::to_owned))?;
        let rows = SegmentRows {
            integers: self.narrow(&INTEGERS)?,
            numbers: self.narrow(&NUMBERS)?,
            money: self.money()?,
            meter: of_meters.narrow("meter")?,
            quantity: of_meters.narrow("quantity")?,
            first,
            order,
            meters,
        };
        // Before any of them is handed on, so that the book can be read instead.
        if rows.mean_something() { Ok(rows) } else { Err(changed("a number in it stands for nothing")) }
    }

    fn narrow<const N: usize>(&self, names: &[&str; N]) -> Result<[Narrow; N], SegmentError> {
        let mut columns = self.read(false, &names.map(str::to_owned))?;
        all(names.map(|name| columns.narrow(name)))
    }

    fn money(&self) -> Result<[Money; MONEY.len()], SegmentError> {
        all(MONEY.map(|of| {
            let names = limbs(of);
            let mut columns = self.read(false, &names)?;
            let is_there = match columns.get(&names[0]) {
                Some(Values::Some(micros)) => Narrow::of(micros.iter().map(|micro| i64::from(micro.is_some()))),
                _ => Narrow::of(std::iter::once(1)),
            };
            Ok(Money { is_there, limbs: all(names.map(|name| columns.narrow(&name)))? })
        }))
    }
}

fn all<T, const N: usize>(read: [Result<T, SegmentError>; N]) -> Result<[T; N], SegmentError> {
    let read: Vec<T> = read.into_iter().collect::<Result<_, _>>()?;
    Ok(read.try_into().unwrap_or_else(|_| unreachable!("each was read")))
}

impl Columns {
    fn narrow(&mut self, name: &str) -> Result<Narrow, SegmentError> {
        Ok(match self.take(name).ok_or_else(|| self.other_kind(name))? {
            Values::Numbers(numbers) => Narrow::of(numbers.iter().map(|number| i64::from(*number))),
            Values::Integers(integers) | Values::Instants(integers) => Narrow::of(integers.iter().copied()),
            Values::Some(integers) => Narrow::of(integers.iter().map(|integer| integer.unwrap_or_default())),
        })
    }
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
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The rows at some places.
    pub fn page(&self, places: Range<usize>) -> Vec<Row> {
        places.map(|place| self.row(place)).collect()
    }

    /// The events of the entries at some places.
    pub fn events(&self, places: Range<usize>) -> impl Iterator<Item = EventNumber> {
        let event = |place: usize| self.integers[EVENT].get(self.order[place] as usize);
        places.map(event).filter(|event| *event != 0).map(EventNumber)
    }

    /// Whether a row can be made of every entry.
    fn mean_something(&self) -> bool {
        let has_money = |entry: usize| self.money[..ALWAYS].iter().all(|money| money.is_there.get(entry) == 1);
        let of_meters = self.meters.last().map_or(0, |end| *end as usize);
        (0..self.order.len()).all(|entry| self.words(entry).is_some() && has_money(entry))
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
        let entry = self.order[place] as usize;
        let Words { rater, currency, kind, period, outcome, layer } = self.words(entry).expect(KNOWN);
        let [occurred_at, recorded_at, block, event, reverses, calls] = self.integers.each_ref().map(|of| of.get(entry));
        let [_, _, _, _, _, _, numbers @ ..] = self.numbers.each_ref().map(|of| of.get(entry));
        let [owner, product, source, card, above, reason, estimated, version, turn, debit, credit] = numbers;
        let [amount, list, aside] = [0, 1, 2].map(|money: usize| self.money[money].amount(entry));
        let maybe = |number: i64| Some(number).filter(|number| *number != 0);
        let mut quantities = [0; Meter::COUNT];
        for meter in self.meters[entry] as usize..self.meters[entry + 1] as usize {
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
            rated: self.money[3].get(entry),
            reported: self.money[4].get(entry),
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
