//! Reading a segment: the columns that a question needs, or whole entries in the order in which they were booked. What a file
//! says is looked at before anything is made of it, so that the book can be read instead.

use super::{LIMBS, Segment, limbs};
use crate::catalog::resolution::Layer;
use crate::export::{Row, Sealed};
use crate::id::{BlockNumber, EventNumber, NameId, OwnerId, ProductId, Sequence, Version};
use crate::ledger::EntryKind;
use crate::money::{Amount, Currency, Limbs};
use crate::report::fold::{Adding, Column, Stretch};
use crate::report::{Addend, Clock, Dimension, Query};
use crate::segment::{self, Fault, SegmentError, Values};
use crate::time::{Instant, Month};
use crate::usage::{Meter, Outcome};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

impl Segment {
    fn rows_of(&self, of_meters: bool) -> usize {
        (if of_meters { self.manifest.meters } else { self.manifest.entries }) as usize
    }

    /// Columns of one of its files, if that is what was written.
    fn read(&self, of_meters: bool, wanted: &[String]) -> Result<Columns, SegmentError> {
        self.is_whole(of_meters)?;
        let file = self.file(of_meters);
        let mut names: Vec<&str> = wanted.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        let columns = segment::read(&file, &names)?;
        let rows = self.rows_of(of_meters);
        if let Some((name, values)) = names.iter().zip(&columns).find(|(_, values)| values.len() != rows) {
            let why = format!("column {name} has {} rows and not {rows}", values.len());
            return Err(SegmentError::new(&file, why, Fault::Changed));
        }
        let asked = |name: &str| wanted.iter().filter(|other| *other == name).count();
        let of = names.iter().zip(columns).map(|(name, values)| ((*name).to_owned(), (values, asked(name)))).collect();
        Ok(Columns { file, of })
    }

    /// What a query asks of it between two instants, in columns. What the manifest says of all its entries is not read.
    pub fn stretch(&self, query: &Query, (from, until): (i64, i64)) -> Result<Stretch, SegmentError> {
        let of_meters = query.is_of_meters();
        let folded = query.folded();
        let rows = self.rows_of(of_meters);
        let is_within = from <= self.manifest.occurred_first && self.manifest.occurred_last < until;
        let needs_no_time =
            query.clock == Clock::Occurred && is_within && !folded.iter().any(|dimension| dimension.is_of_the_clock());
        let only = match self.manifest.sums.len() {
            1 => self.manifest.sums.keys().next().and_then(|currency| currency.parse::<Currency>().ok()),
            _ => None,
        };
        let mut wanted: Vec<String> = Vec::new();
        wanted.extend((!needs_no_time).then(|| at_column(query).to_owned()));
        wanted.extend(only.is_none().then(|| "currency".to_owned()));
        wanted.extend(folded.iter().filter(|dimension| !dimension.is_of_the_clock()).map(|dimension| dimension.to_string()));
        wanted.extend(query.addends().iter().flat_map(|addend| columns_of(*addend, of_meters)));
        if query.counts_users() {
            wanted.extend(["user".to_owned(), "calls".to_owned()]);
        }
        let mut columns = self.read(of_meters, &wanted)?;
        let unknown = |letters: u32| SegmentError::new(&self.path, format!("currency {letters} is none"), Fault::Changed);
        let currencies = match only {
            Some(only) => Column::Same(only),
            None => {
                let known = |letters: &u32| Currency::of_number(*letters).ok_or_else(|| unknown(*letters));
                Column::Each(columns.numbers("currency")?.iter().map(known).collect::<Result<_, _>>()?)
            }
        };
        let at = match needs_no_time {
            true => Column::Same(self.manifest.occurred_first),
            false => Column::Each(columns.take_integers(at_column(query))?),
        };
        let mut numbers = |dimension: &&Dimension| match dimension.is_of_the_clock() {
            true => Ok(Vec::new()),
            false => columns.take_numbers(&dimension.to_string()),
        };
        let numbers = folded.iter().map(&mut numbers).collect::<Result<_, _>>()?;
        let addends = query.addends().into_iter().map(|addend| columns.adding(addend, of_meters, rows));
        let addends = addends.collect::<Result<_, _>>()?;
        let counts_users = query.counts_users();
        let users = if counts_users { columns.take_numbers("user")? } else { Vec::new() };
        let calls = if counts_users { columns.take_integers("calls")? } else { Vec::new() };
        Ok(Stretch { rows, at, currencies, numbers, addends, users, calls })
    }
}

/// The entries of a segment as rows of an export, in the order in which they were booked.
pub struct SegmentRows {
    sequence: Vec<i64>,
    occurred_at: Vec<i64>,
    recorded_at: Vec<i64>,
    block: Vec<i64>,
    event: Vec<i64>,
    reverses: Vec<i64>,
    calls: Vec<i64>,
    numbers: [Vec<u32>; NUMBERS.len()],
    amount: Vec<i128>,
    aside: Vec<i128>,
    list: Vec<i128>,
    rated: Vec<Option<i128>>,
    reported: Vec<Option<i128>>,
    meter: Vec<u32>,
    quantity: Vec<i64>,
    /// Entries in the order of their sequences, and of each which meters are its own.
    order: Vec<(u32, Range<u32>)>,
    next: usize,
}

/// What an entry has of numbers. The first stand for words of our own, and may stand for nothing.
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
const WORDS: usize = 6;

impl Segment {
    pub fn rows(&self) -> Result<SegmentRows, SegmentError> {
        let integers = ["sequence", "occurred_at", "recorded_at", "block", "event", "reverses", "calls"];
        let mut wanted: Vec<String> = integers.into_iter().chain(NUMBERS).map(str::to_owned).collect();
        wanted.extend(["", "aside", "list", "rated", "reported"].iter().flat_map(|of| limbs(of)));
        let mut columns = self.read(false, &wanted)?;
        let mut meters = self.read(true, &["sequence", "meter", "quantity"].map(str::to_owned))?;
        // Both files are in one order, so the meters of an entry follow those of the entry before.
        let (sequence, of_meters) = (columns.take_integers("sequence")?, meters.take_integers("sequence")?);
        let mut place = 0;
        let mut order: Vec<(u32, Range<u32>)> = Vec::with_capacity(sequence.len());
        for (entry, sequence) in (0..).zip(&sequence) {
            let first = place;
            place += of_meters[place..].iter().take_while(|other| *other == sequence).count();
            order.push((entry, first as u32..place as u32));
        }
        if place != of_meters.len() {
            return Err(SegmentError::new(&self.path, "its meters are not those of its entries", Fault::Changed));
        }
        order.sort_unstable_by_key(|(entry, _)| sequence[*entry as usize]);
        let mut numbers: [Vec<u32>; NUMBERS.len()] = Default::default();
        for (numbers, name) in numbers.iter_mut().zip(NUMBERS) {
            *numbers = columns.take_numbers(name)?;
        }
        let rows = SegmentRows {
            amount: columns.take_amounts("")?,
            aside: columns.take_amounts("aside")?,
            list: columns.take_amounts("list")?,
            rated: columns.take_maybe_amounts("rated", sequence.len())?,
            reported: columns.take_maybe_amounts("reported", sequence.len())?,
            sequence,
            occurred_at: columns.take_integers("occurred_at")?,
            recorded_at: columns.take_integers("recorded_at")?,
            block: columns.take_integers("block")?,
            event: columns.take_integers("event")?,
            reverses: columns.take_integers("reverses")?,
            calls: columns.take_integers("calls")?,
            numbers,
            meter: meters.take_numbers("meter")?,
            quantity: meters.take_integers("quantity")?,
            order,
            next: 0,
        };
        // Before any of them is handed on, so that the book can be read instead.
        match rows.mean_something() {
            true => Ok(rows),
            false => Err(SegmentError::new(&self.path, "a number in it stands for nothing", Fault::Changed)),
        }
    }
}

impl SegmentRows {
    /// The next rows, so many at most; none at the end.
    pub fn page(&mut self, most: usize) -> Vec<Row> {
        let page = &self.order[self.next..self.order.len().min(self.next + most)];
        let rows = page.iter().map(|(entry, meters)| self.row(*entry as usize, meters));
        let rows = rows.map(|row| row.expect("what numbers mean was looked at when they were read")).collect();
        self.next += page.len();
        rows
    }

    /// Whether a row can be made of every entry: entries that lie one after the other mostly have the same words.
    fn mean_something(&self) -> bool {
        let words = |place: usize| -> [u32; WORDS] { std::array::from_fn(|column| self.numbers[column][place]) };
        let mut seen = HashSet::new();
        let known = |number: &u32| u8::try_from(*number).ok().and_then(Meter::from_number).is_some();
        let all = (0..self.sequence.len()).all(|place| !seen.insert(words(place)) || self.row(place, &(0..0)).is_some());
        all && self.meter.iter().all(known)
    }

    fn row(&self, place: usize, meters: &Range<u32>) -> Option<Row> {
        let numbers: [u32; NUMBERS.len()] = std::array::from_fn(|column| self.numbers[column][place]);
        let [rater, currency, kind, period, outcome, layer, owner, product, source, rest @ ..] = numbers;
        let [card, above, reason, estimated, version, turn, debit, credit] = rest;
        let small = |number: u32| u8::try_from(number).ok();
        let name = |number: u32| NameId(i64::from(number));
        let maybe_name = |number: u32| (number != 0).then(|| name(number));
        let maybe = |number: i64| Some(number).filter(|number| *number != 0);
        let mut quantities = [0; Meter::COUNT];
        for meter in meters.start as usize..meters.end as usize {
            quantities[Meter::from_number(small(self.meter[meter])?)? as usize] += self.quantity[meter];
        }
        Some(Row {
            sequence: Sequence(self.sequence[place]),
            sealed: Sealed {
                block: BlockNumber(self.block[place]),
                recorded_at: Instant::from_micros(self.recorded_at[place]),
                version: Version(i64::from(version)),
                rater: u16::try_from(rater).ok()?,
            },
            kind: EntryKind::from_number(small(kind)?)?,
            event: maybe(self.event[place]).map(EventNumber),
            turn,
            reverses: maybe(self.reverses[place]).map(Sequence),
            occurred_at: Instant::from_micros(self.occurred_at[place]),
            period: Month::from_number(i32::try_from(period).ok()?),
            owner: OwnerId(i64::from(owner)),
            product: ProductId(i64::from(product)),
            source: name(source),
            debit: name(debit),
            credit: name(credit),
            amount: Amount::from_units(self.amount[place]),
            posted: Amount::from_units(self.amount[place].abs() + self.aside[place]),
            currency: Currency::of_number(currency)?,
            rated: self.rated[place].map(Amount::from_units),
            reported: self.reported[place].map(Amount::from_units),
            list: Amount::from_units(self.list[place]),
            calls: self.calls[place],
            quantities,
            outcome: Outcome::from_number(small(outcome)?)?,
            layer: Layer::from_number(small(layer)?)?,
            card: maybe_name(card),
            above: maybe_name(above),
            reason: maybe_name(reason),
            estimated: estimated != 0,
        })
    }
}

const fn at_column(query: &Query) -> &'static str {
    match query.clock {
        Clock::Occurred => "occurred_at",
        Clock::Recorded => "recorded_at",
    }
}

/// The columns that an addend is read from.
fn columns_of(addend: Addend, of_meters: bool) -> Vec<String> {
    match addend {
        Addend::Amount => limbs("").to_vec(),
        Addend::Posted if !of_meters => [limbs(""), limbs("aside")].concat(),
        // Calls and lists are of whole entries; a meter has none.
        Addend::Posted => Vec::new(),
        Addend::Calls | Addend::List | Addend::Rated | Addend::Reported | Addend::Drift | Addend::CacheSavings if of_meters => {
            Vec::new()
        }
        Addend::CacheSavings => limbs("cache_savings").to_vec(),
        Addend::List => limbs("list").to_vec(),
        Addend::Rated => limbs("rated").to_vec(),
        Addend::Reported => limbs("reported").to_vec(),
        Addend::Drift => [limbs("reported"), limbs("rated")].concat(),
        Addend::Calls => vec!["calls".to_owned()],
        Addend::Tokens => vec!["tokens".to_owned()],
        Addend::Quantity if of_meters => vec!["quantity".to_owned()],
        Addend::Quantity | Addend::Entries => Vec::new(),
    }
}

/// Columns that were read, of which each has as many rows as the others, and for how many each is still there.
struct Columns {
    file: PathBuf,
    of: HashMap<String, (Values, usize)>,
}

impl Columns {
    fn other_kind(&self, name: &str) -> SegmentError {
        SegmentError::new(&self.file, format!("column {name} is of another kind"), Fault::Changed)
    }

    fn get(&self, name: &str) -> Option<&Values> {
        self.of.get(name).map(|(values, _)| values)
    }

    fn numbers(&self, name: &str) -> Result<&[u32], SegmentError> {
        if let Some(Values::Numbers(numbers)) = self.get(name) { Ok(numbers) } else { Err(self.other_kind(name)) }
    }

    fn integers(&self, name: &str) -> Result<&[i64], SegmentError> {
        match self.get(name) {
            Some(Values::Integers(integers) | Values::Instants(integers)) => Ok(integers),
            _ => Err(self.other_kind(name)),
        }
    }

    /// A column for the last one who asked for it, and a copy of it for those before.
    fn take(&mut self, name: &str) -> Option<Values> {
        let (values, asked) = self.of.get_mut(name)?;
        *asked = asked.saturating_sub(1);
        if *asked > 0 {
            return Some(values.clone());
        }
        self.of.remove(name).map(|(values, _)| values)
    }

    fn take_numbers(&mut self, name: &str) -> Result<Vec<u32>, SegmentError> {
        if let Some(Values::Numbers(numbers)) = self.take(name) { Ok(numbers) } else { Err(self.other_kind(name)) }
    }

    fn take_integers(&mut self, name: &str) -> Result<Vec<i64>, SegmentError> {
        match self.take(name) {
            Some(Values::Integers(integers) | Values::Instants(integers)) => Ok(integers),
            _ => Err(self.other_kind(name)),
        }
    }

    /// Money that is always there, and may be taken apart as it is.
    fn take_money(&mut self, of: &str) -> Result<Adding, SegmentError> {
        let [micro, femto, yocto] = limbs(of);
        if matches!(self.get(&micro), Some(Values::Some(_))) {
            return Ok(Adding::Money(self.money(of)?));
        }
        let (micro, femto) = (self.take_integers(&micro)?, self.take_numbers(&femto)?);
        Ok(Adding::Limbs { micro, femto, yocto: self.take_numbers(&yocto)? })
    }

    fn money(&self, of: &str) -> Result<Vec<i128>, SegmentError> {
        let [micro, femto, yocto] = limbs(of);
        let below = self.numbers(&femto)?.iter().zip(self.numbers(&yocto)?);
        let units = |micro: i64, (femto, yocto): (&u32, &u32)| {
            Amount::from_limbs(Limbs { micro, femto: i64::from(*femto), yocto: i64::from(*yocto) }).units()
        };
        Ok(match self.get(&micro) {
            Some(Values::Some(micros)) => {
                micros.iter().zip(below).map(|(micro, below)| micro.map_or(0, |micro| units(micro, below))).collect()
            }
            _ => self.integers(&micro)?.iter().zip(below).map(|(micro, below)| units(*micro, below)).collect(),
        })
    }

    fn maybe_money(&self, of: &str, rows: usize) -> Result<Vec<Option<i128>>, SegmentError> {
        let amounts = self.money(of)?.into_iter().zip(self.is_there(of, rows));
        Ok(amounts.map(|(amount, is_there)| is_there.then_some(amount)).collect())
    }

    /// Money that nobody asks for again.
    fn take_amounts(&mut self, of: &str) -> Result<Vec<i128>, SegmentError> {
        let amounts = self.money(of)?;
        limbs(of).iter().for_each(|limb| drop(self.take(limb)));
        Ok(amounts)
    }

    fn take_maybe_amounts(&mut self, of: &str, rows: usize) -> Result<Vec<Option<i128>>, SegmentError> {
        let amounts = self.maybe_money(of, rows)?;
        limbs(of).iter().for_each(|limb| drop(self.take(limb)));
        Ok(amounts)
    }

    /// Where there is one.
    fn is_there(&self, of: &str, rows: usize) -> Vec<bool> {
        match self.get(&limbs(of)[0]) {
            Some(Values::Some(micros)) => micros.iter().map(Option::is_some).collect(),
            _ => vec![true; rows],
        }
    }

    fn adding(&mut self, addend: Addend, of_meters: bool, rows: usize) -> Result<Adding, SegmentError> {
        Ok(match addend {
            Addend::Amount => self.take_money("")?,
            Addend::Posted if !of_meters => {
                let both = self.money("")?.into_iter().zip(self.money("aside")?);
                Adding::Money(both.map(|(amount, aside)| amount.abs() + aside).collect())
            }
            Addend::Posted => Adding::Money(vec![0; rows]),
            Addend::List | Addend::Rated | Addend::Reported | Addend::Drift | Addend::CacheSavings if of_meters => {
                Adding::Money(vec![0; rows])
            }
            Addend::CacheSavings => self.take_money("cache_savings")?,
            Addend::List => self.take_money("list")?,
            Addend::Rated => self.take_money("rated")?,
            Addend::Reported => self.take_money("reported")?,
            Addend::Drift => {
                let both = self.maybe_money("reported", rows)?.into_iter().zip(self.maybe_money("rated", rows)?);
                let drift = |(reported, rated): (Option<i128>, Option<i128>)| Some(reported? - rated?);
                Adding::Money(both.map(|both| drift(both).unwrap_or(0)).collect())
            }
            Addend::Entries => Adding::Count(vec![i64::from(!of_meters); rows]),
            Addend::Calls if of_meters => Adding::Count(vec![0; rows]),
            Addend::Quantity if !of_meters => Adding::Count(vec![0; rows]),
            Addend::Calls => Adding::Count(self.take_integers("calls")?),
            Addend::Tokens => Adding::Count(self.take_integers("tokens")?),
            Addend::Quantity => Adding::Count(self.take_integers("quantity")?),
        })
    }
}

/// What a file adds up to.
pub fn sums_of(path: &Path) -> Result<BTreeMap<String, Amount>, SegmentError> {
    let names = ["currency", LIMBS[0], LIMBS[1], LIMBS[2]];
    let columns = segment::read(path, &names)?.into_iter().map(|values| (values, 1));
    let of = names.map(str::to_owned).into_iter().zip(columns).collect();
    let columns = Columns { file: path.to_owned(), of };
    let mut sums: BTreeMap<u32, i128> = BTreeMap::new();
    for (currency, amount) in columns.numbers("currency")?.iter().zip(columns.money("")?) {
        *sums.entry(*currency).or_default() += amount;
    }
    let named =
        |(currency, sum): (u32, i128)| Some((Currency::of_number(currency)?.as_str().to_owned(), Amount::from_units(sum)));
    Ok(sums.into_iter().filter_map(named).collect())
}
