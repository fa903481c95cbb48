//! What the account says of its credits and keys. Two looks at these tell what was used between them, also on a day that is
//! not over; amounts are read from their literal text.

use crate::money::Amount;
use crate::reconcile::statement::Unreadable;
use crate::usage::Text;
use crate::usage::reading::{Object, Problem, Rejected};

/// Sums of the whole life of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credits {
    pub total_credits: Amount,
    pub total_usage: Amount,
}

/// A key, as the account sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// By which activity is asked for; a key that speaks of itself does not say it.
    pub hash: Option<Text>,
    /// What a person called it, or the ends of the key itself.
    pub name: Option<Text>,
    pub disabled: bool,
    /// What it ever took from the credits.
    pub usage: Amount,
    /// The same since midnight UTC.
    pub usage_daily: Option<Amount>,
    /// What upstreams charge for keys of one's own; taken from no credits.
    pub byok_usage: Option<Amount>,
    pub is_management: bool,
}

impl Key {
    /// What people and exports call it.
    pub fn called(&self) -> Option<&str> {
        self.name.as_deref().or(self.hash.as_deref())
    }
}

impl Credits {
    pub fn read(text: &str) -> Result<Credits, Unreadable> {
        let read = || {
            let mut data = data(text)?;
            Ok(Credits { total_credits: required(&mut data, "total_credits")?, total_usage: required(&mut data, "total_usage")? })
        };
        read().map_err(in_whole)
    }

    /// Negative where more was used than bought.
    pub fn balance(&self) -> Amount {
        self.total_credits - self.total_usage
    }
}

impl Key {
    pub(super) fn read(text: &str) -> Result<Key, Unreadable> {
        data(text).and_then(|mut data| Key::of(&mut data)).map_err(in_whole)
    }

    /// Reads a page of a list of keys.
    pub fn read_all(text: &str) -> Result<Vec<Key>, Unreadable> {
        let mut whole = Object::parse(text, "").map_err(in_whole)?;
        let rows = whole.array("data").map_err(in_whole)?;
        let rows = rows.ok_or_else(|| Unreadable::Whole("data: missing; this is no list of keys".to_owned()))?;
        let key = |(place, json): (usize, &serde_json::value::RawValue)| {
            let key = Object::parse(json.get(), "").and_then(|mut row| {
                let key = Key::of(&mut row)?;
                if key.hash.is_none() { Err(row.wrong("hash", Problem::Missing)) } else { Ok(key) }
            });
            key.map_err(|e| Unreadable::Row { row: place as u32 + 1, why: e.to_string() })
        };
        rows.into_iter().enumerate().map(key).collect()
    }

    fn of(row: &mut Object<'_>) -> Result<Key, Rejected> {
        Ok(Key {
            hash: row.text("hash")?,
            name: row.loose("name").or_else(|| row.loose("label")),
            disabled: row.flag("disabled")?.unwrap_or(false),
            usage: required(row, "usage")?,
            usage_daily: amount(row, "usage_daily")?,
            byok_usage: amount(row, "byok_usage")?,
            is_management: row.flag("is_management_key")?.unwrap_or(false),
        })
    }
}

fn data(text: &str) -> Result<Object<'_>, Rejected> {
    let mut whole = Object::parse(text, "")?;
    whole.object("data", "data")?.ok_or_else(|| Rejected::new("data", Problem::Missing))
}

fn amount(row: &mut Object<'_>, name: &str) -> Result<Option<Amount>, Rejected> {
    Ok(row.amount(name)?.map(|(amount, _)| amount))
}

fn required(row: &mut Object<'_>, name: &str) -> Result<Amount, Rejected> {
    amount(row, name)?.ok_or_else(|| row.wrong(name, Problem::Missing))
}

fn in_whole(rejected: Rejected) -> Unreadable {
    Unreadable::Whole(rejected.to_string())
}
