//! What an export wrote: of which book up to which block, what was asked, and for each part its rows, bytes, hash and sums. Whoever
//! has the files and this can check them without the database. It says nothing of when or where it was written, so the same
//! question to the same block gives the same manifest.

use crate::export::Row;
use crate::ledger::EntryKind;
use crate::money::{Amount, Currency};
use crate::signature::{Signature, Signer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub asked: Asked,
    pub book: Book,
    pub rows: u64,
    pub sums: Vec<Sum>,
    pub parts: Vec<Part>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// What was asked; what is written into the same directory has to be the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    pub org: String,
    pub what: String,
    pub format: String,
    pub from: Option<String>,
    pub until: Option<String>,
    /// The month in which it counts, whenever it occurred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    pub clock: String,
    /// What becomes one transaction of a journal.
    pub grain: Option<String>,
    pub rows_per_part: Option<u64>,
    pub columns: Vec<String>,
}

/// The book up to the block that was its head when the export began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    pub block: i64,
    pub hash: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub file: String,
    pub rows: u64,
    pub bytes: u64,
    pub sha256: String,
    pub first_sequence: i64,
    pub last_sequence: i64,
    pub sums: Vec<Sum>,
}

/// What the rows of a kind come to in a currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    pub currency: String,
    pub kind: String,
    pub rows: u64,
    pub calls: i64,
    pub amount: String,
}

/// Sums in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<(Currency, EntryKind), Adding>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Adding {
    rows: u64,
    calls: i64,
    amount: Amount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sum is beyond what an amount holds")]
pub struct TooLarge;

impl Sums {
    pub fn add(&mut self, row: &Row) -> Result<(), TooLarge> {
        self.add_cells(row.currency, row.kind, row.calls, row.amount)
    }

    pub fn add_cells(&mut self, currency: Currency, kind: EntryKind, calls: i64, amount: Amount) -> Result<(), TooLarge> {
        self.add_many((currency, kind), Adding { rows: 1, calls, amount })
    }

    pub fn add_all(&mut self, others: &Sums) -> Result<(), TooLarge> {
        others.0.iter().try_for_each(|(key, more)| self.add_many(*key, *more))
    }

    fn add_many(&mut self, key: (Currency, EntryKind), more: Adding) -> Result<(), TooLarge> {
        let sum = self.0.entry(key).or_default();
        sum.rows += more.rows;
        sum.calls = sum.calls.checked_add(more.calls).ok_or(TooLarge)?;
        sum.amount = sum.amount.checked_add(more.amount).ok_or(TooLarge)?;
        Ok(())
    }

    pub fn rows(&self) -> u64 {
        self.0.values().map(|sum| sum.rows).sum()
    }

    pub fn told(&self) -> Vec<Sum> {
        let sum = |((currency, kind), sum): (&(Currency, EntryKind), &Adding)| Sum {
            currency: currency.to_string(),
            kind: kind.name().to_owned(),
            rows: sum.rows,
            calls: sum.calls,
            amount: sum.amount.to_string(),
        };
        self.0.iter().map(sum).collect()
    }

    /// Sums that a manifest tells.
    pub fn of(told: &[Sum]) -> Option<Sums> {
        let sum = |sum: &Sum| {
            let key = (sum.currency.parse().ok()?, EntryKind::named(&sum.kind)?);
            Some((key, Adding { rows: sum.rows, calls: sum.calls, amount: Amount::parse(&sum.amount).ok()? }))
        };
        told.iter().map(sum).collect::<Option<_>>().map(Sums)
    }
}

impl Manifest {
    pub fn new(asked: Asked, book: Book) -> Manifest {
        Manifest { asked, book, rows: 0, sums: Vec::new(), parts: Vec::new(), signature: None }
    }

    /// Takes a part in, and says what all of them come to.
    pub fn add(&mut self, part: Part) -> Result<(), TooLarge> {
        let mut sums = Sums::of(&self.sums).ok_or(TooLarge)?;
        sums.add_all(&Sums::of(&part.sums).ok_or(TooLarge)?)?;
        self.rows += part.rows;
        self.sums = sums.told();
        self.parts.push(part);
        Ok(())
    }

    /// What a signature is of: everything but itself.
    fn unsigned(&self) -> Vec<u8> {
        let unsigned = Manifest { signature: None, ..self.clone() };
        serde_json::to_vec(&unsigned).expect("a manifest is always JSON")
    }

    pub fn sign(&mut self, signer: &Signer) {
        self.signature = Some(signer.sign(&self.unsigned()));
    }

    /// Whether it is as whoever signed it left it; nothing where nobody did.
    pub fn is_as_signed(&self) -> Option<bool> {
        self.signature.as_ref().map(|signature| signature.is_of(&self.unsigned()))
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a manifest is always JSON") + "\n"
    }
}
