//! Slices of entries added up to rows. Two slices are in one row when they agree in everything the row says about itself:
//! the charge period, the month they are billed in, what kind of entry, who bears it, who is owed it, what was bought, the
//! meter, and both rates with their cards. As rates are part of that, a row's costs are its quantity times its rates.

use crate::catalog::resolution::Layer;
use crate::focus::Grain;
use crate::focus::slice::{CardName, Nature, Slice};
use crate::id::{NameId, OwnerId, ProductId};
use crate::ledger::{Effect, Entry, EntryKind};
use crate::money::{Amount, Currency};
use crate::report::fold::TooLarge;
use crate::time::{Instant, Month};
use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;

/// All that makes a row this row and no other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct What {
    pub start: Instant,
    pub billed_in: Month,
    pub product: ProductId,
    pub owner: OwnerId,
    pub kind: EntryKind,
    pub nature: Nature,
    pub currency: Currency,
    /// The account that is owed it, or the margin's.
    pub payee: NameId,
    pub layer: Layer,
    pub estimated: bool,
    pub card: Option<NameId>,
    pub listed_by: Option<CardName>,
}

/// A reversal takes away what it mirrors, so each of these may be negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    pub billed: Amount,
    pub contracted: Amount,
    pub listed: Amount,
    pub quantity: i128,
    pub calls: i64,
}

/// An entry, and what its accounts say of it.
#[derive(Clone, Copy, Debug)]
pub struct Booked<'e> {
    pub entry: &'e Entry,
    pub effect: Effect,
    pub payee: NameId,
}

impl What {
    /// Whether the month in which it occurred was closed when it was booked: an entry lands in its own month, or in the
    /// earliest open one after it exactly when its own is closed.
    pub fn is_correction(&self) -> bool {
        self.billed_in > self.start.month()
    }
}

#[derive(Default)]
pub struct Fold {
    grain: Grain,
    rows: HashMap<What, Sums>,
}

impl Fold {
    pub fn new(grain: Grain) -> Fold {
        Fold { grain, rows: HashMap::new() }
    }

    pub fn add(&mut self, booked: Booked<'_>, slices: Vec<Slice>) -> Result<(), TooLarge> {
        let entry = booked.entry;
        let counts = if entry.kind == EntryKind::Reversal { -1 } else { 1 };
        let money = |amount: Amount| booked.effect.on(amount);
        for (place, slice) in slices.into_iter().enumerate() {
            let what = What {
                start: self.grain.start(entry.occurred_at),
                billed_in: entry.period,
                product: entry.product,
                owner: entry.owner,
                kind: entry.kind,
                nature: slice.nature,
                currency: *entry.posting.currency(),
                payee: booked.payee,
                layer: entry.layer,
                estimated: entry.estimated,
                card: slice.card,
                listed_by: slice.listed_by,
            };
            let sums = Sums {
                billed: money(slice.amount),
                contracted: if slice.nature == Nature::Margin { Amount::ZERO } else { money(slice.amount) },
                listed: money(slice.listed),
                quantity: counts * i128::from(slice.quantity),
                // A call is counted by the first slice of its entry alone, so that calls add up.
                calls: if place == 0 { counts as i64 * entry.calls as i64 } else { 0 },
            };
            match self.rows.entry(what) {
                Place::Vacant(place) => drop(place.insert(sums)),
                Place::Occupied(mut place) => *place.get_mut() = place.get().plus(sums).ok_or(TooLarge)?,
            }
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows in the order of time, and of the numbers that the book gave within it.
    pub fn finish(self) -> Vec<(What, Sums)> {
        let mut rows: Vec<(What, Sums)> = self.rows.into_iter().collect();
        rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        rows
    }
}

impl Sums {
    fn plus(self, other: Sums) -> Option<Sums> {
        Some(Sums {
            billed: self.billed.checked_add(other.billed)?,
            contracted: self.contracted.checked_add(other.contracted)?,
            listed: self.listed.checked_add(other.listed)?,
            quantity: self.quantity.checked_add(other.quantity)?,
            calls: self.calls.checked_add(other.calls)?,
        })
    }
}
