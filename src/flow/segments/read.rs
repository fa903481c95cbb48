//! Reading a segment: the columns that a question needs, or [`rows`] of all of it. What a file says is looked at before anything
//! is made of it, so that the book can be read instead.

mod rows;

use super::{LIMBS, Segment, limbs};
use crate::money::{Amount, Currency, Limbs};
use crate::report::fold::{Adding, Column, Stretch};
use crate::report::{Addend, Clock, Dimension, Query};
use crate::segment::{self, Fault, SegmentError, Values};
pub use rows::SegmentRows;
use std::collections::{BTreeMap, HashMap};
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
