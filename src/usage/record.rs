//! A usage event as bytes: once as what was *meant*, to tell a replay from a conflict, and once as what is *stored*, where
//! the dimensions are numbers of interned names. The stored form is covered by block hashes: format 1 never changes.

use crate::bytes::{Damaged, Reader, Writer};
use crate::id::{NameId, OwnerId, ProductId};
use crate::money::{Amount, Currency};
use crate::time::Instant;
use crate::usage::dialect::Dialect;
use crate::usage::{Claimed, Meter, Outcome, Owner, Product, Quantities, Reported, Text, Usage, UsageEvent};

const FORMAT: u8 = 1;

/// Which optional parts follow, as bits.
mod flag {
    pub const ASSUMED_TIME: u64 = 1;
    pub const REPORTED: u64 = 2;
    pub const BYOK: u64 = 4;
    pub const UPSTREAM: u64 = 8;
    pub const ROUNDED: u64 = 16;
    pub const CLAIMED: u64 = 32;
    pub const MANY_CALLS: u64 = 64;
    pub const ESTIMATED: u64 = 128;
    pub const CALL_ID: u64 = 256;
    pub const SESSION: u64 = 512;
    pub const LABELS: u64 = 1024;
    pub const EXTRA: u64 = 2048;
    pub const DIALECT: u64 = 4096;
    pub const ALL: u64 = 8191;
}

/// A stored event whose dimensions are still numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub source: NameId,
    pub product: ProductId,
    pub owner: OwnerId,
    rest: Rest,
}

/// Everything of an event that is not interned.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rest {
    dialect: Dialect,
    occurred_at: Instant,
    occurred_at_assumed: bool,
    usage: Usage,
    outcome: Outcome,
    reported: Option<Reported>,
    claimed: Option<Claimed>,
    calls: u64,
    estimated: bool,
    provider_request_id: Option<Text>,
    session: Option<Text>,
    labels: Vec<(Text, Text)>,
    extra: Option<Box<str>>,
}

/// What the producer said, dimension by dimension; nothing that we added.
pub fn write_meaning(event: &UsageEvent, to: &mut Writer) {
    for (_, dimension) in event.product.dimensions().into_iter().chain(event.owner.dimensions()) {
        to.text(dimension.map_or("", Text::as_ref));
    }
    write_rest(event, Purpose::Meaning, to);
}

pub fn write_record(event: &UsageEvent, source: NameId, product: ProductId, owner: OwnerId, to: &mut Writer) {
    to.byte(FORMAT);
    to.signed(source.0);
    to.signed(product.0);
    to.signed(owner.0);
    write_rest(event, Purpose::Storage, to);
}

#[derive(PartialEq)]
enum Purpose {
    Meaning,
    Storage,
}

fn write_rest(event: &UsageEvent, purpose: Purpose, to: &mut Writer) {
    let storage = purpose == Purpose::Storage;
    let reported = event.reported.as_ref();
    let extra = event.extra.as_deref().filter(|_| storage);
    let dialect = Some(event.dialect).filter(|dialect| storage && *dialect != Dialect::Native);
    let flags = [
        (flag::ASSUMED_TIME, event.occurred_at_assumed),
        (flag::REPORTED, reported.is_some()),
        (flag::BYOK, reported.is_some_and(|reported| reported.byok)),
        (flag::UPSTREAM, reported.is_some_and(|reported| reported.upstream_amount.is_some())),
        (flag::ROUNDED, reported.is_some_and(|reported| reported.rounded)),
        (flag::CLAIMED, event.claimed.is_some()),
        (flag::MANY_CALLS, event.calls != 1),
        (flag::ESTIMATED, event.estimated),
        (flag::CALL_ID, event.provider_request_id.is_some()),
        (flag::SESSION, event.session.is_some()),
        (flag::LABELS, !event.labels.is_empty()),
        (flag::EXTRA, extra.is_some()),
        (flag::DIALECT, dialect.is_some()),
    ];
    to.number(flags.into_iter().filter(|(_, set)| *set).map(|(bit, _)| bit).sum());

    if storage || !event.occurred_at_assumed {
        to.signed(event.occurred_at.micros());
    }
    to.byte(event.outcome as u8);
    match &event.usage {
        Usage::Counted(quantities) => {
            to.byte(1);
            to.number(quantities.present().count() as u64);
            for (meter, count) in quantities.present() {
                to.byte(meter as u8);
                to.number(count);
            }
        }
        Usage::Contradictory { detail, raw } => {
            to.byte(2);
            to.text(detail);
            to.text(raw);
        }
        Usage::Missing => to.byte(3),
    }
    if let Some(reported) = reported {
        to.amount(reported.amount);
        to.raw(&reported.currency.bytes());
        if let Some(upstream) = reported.upstream_amount {
            to.amount(upstream);
        }
    }
    if let Some(claimed) = event.claimed {
        to.amount(claimed.amount);
        to.raw(&claimed.currency.bytes());
    }
    if event.calls != 1 {
        to.number(event.calls);
    }
    for text in [&event.provider_request_id, &event.session].into_iter().flatten() {
        to.text(text);
    }
    if !event.labels.is_empty() {
        to.number(event.labels.len() as u64);
        for (key, value) in &event.labels {
            to.text(key);
            to.text(value);
        }
    }
    if let Some(extra) = extra {
        to.text(extra);
    }
    if let Some(dialect) = dialect {
        to.byte(dialect as u8);
    }
}

impl Record {
    pub fn read(bytes: &[u8]) -> Result<Record, Damaged> {
        let mut from = Reader::new(bytes);
        if from.byte()? != FORMAT {
            return Err(Damaged("an event of a format that this version does not know"));
        }
        let (source, product, owner) = (NameId(from.signed()?), ProductId(from.signed()?), OwnerId(from.signed()?));
        let rest = read_rest(&mut from)?;
        from.end()?;
        Ok(Record { source, product, owner, rest })
    }

    pub fn into_event(self, id: Text, source: Text, product: Product, owner: Owner) -> UsageEvent {
        let rest = self.rest;
        UsageEvent {
            id,
            source,
            dialect: rest.dialect,
            occurred_at: rest.occurred_at,
            occurred_at_assumed: rest.occurred_at_assumed,
            product,
            owner,
            usage: rest.usage,
            outcome: rest.outcome,
            reported: rest.reported,
            claimed: rest.claimed,
            calls: rest.calls,
            estimated: rest.estimated,
            provider_request_id: rest.provider_request_id,
            session: rest.session,
            labels: rest.labels,
            extra: rest.extra,
        }
    }
}

fn read_rest(from: &mut Reader<'_>) -> Result<Rest, Damaged> {
    let flags = from.number()?;
    if flags & !flag::ALL != 0 {
        return Err(Damaged("an event has parts that this version does not know"));
    }
    let has = |bit| flags & bit != 0;
    let occurred_at = Instant::from_micros(from.signed()?);
    let outcome = Outcome::from_number(from.byte()?).ok_or(Damaged("an outcome is unknown"))?;
    let usage = match from.byte()? {
        1 => {
            let mut quantities = Quantities::NONE;
            for _ in 0..from.number()? {
                let meter = Meter::from_number(from.byte()?).ok_or(Damaged("a meter is unknown"))?;
                quantities.set(meter, from.number()?);
            }
            Usage::Counted(quantities)
        }
        2 => Usage::Contradictory { detail: from.text()?.to_owned(), raw: from.text()?.into() },
        3 => Usage::Missing,
        _ => return Err(Damaged("a kind of usage is unknown")),
    };
    let reported = if has(flag::REPORTED) {
        let amount = from.amount()?;
        let currency = read_currency(from)?;
        let upstream_amount = has(flag::UPSTREAM).then(|| from.amount()).transpose()?;
        Some(Reported { amount, currency, byok: has(flag::BYOK), upstream_amount, rounded: has(flag::ROUNDED) })
    } else {
        None
    };
    let claimed = if has(flag::CLAIMED) {
        let amount: Amount = from.amount()?;
        Some(Claimed { amount, currency: read_currency(from)? })
    } else {
        None
    };
    let calls = if has(flag::MANY_CALLS) { from.number()? } else { 1 };
    let provider_request_id = has(flag::CALL_ID).then(|| read_text(from)).transpose()?;
    let session = has(flag::SESSION).then(|| read_text(from)).transpose()?;
    let mut labels = Vec::new();
    if has(flag::LABELS) {
        for _ in 0..from.number()? {
            labels.push((read_text(from)?, read_text(from)?));
        }
    }
    let extra = has(flag::EXTRA).then(|| from.text().map(Box::from)).transpose()?;
    let dialect = match has(flag::DIALECT) {
        true => Dialect::from_number(from.byte()?).ok_or(Damaged("a dialect is unknown"))?,
        false => Dialect::Native,
    };
    Ok(Rest {
        dialect,
        occurred_at,
        occurred_at_assumed: has(flag::ASSUMED_TIME),
        usage,
        outcome,
        reported,
        claimed,
        calls,
        estimated: has(flag::ESTIMATED),
        provider_request_id,
        session,
        labels,
        extra,
    })
}

fn read_text(from: &mut Reader<'_>) -> Result<Text, Damaged> {
    crate::usage::reading::text("", from.text()?).map_err(|_| Damaged("a text is not one that was accepted"))
}

fn read_currency(from: &mut Reader<'_>) -> Result<Currency, Damaged> {
    let letters = std::str::from_utf8(from.raw(3)?).map_err(|_| Damaged("a currency is not text"))?;
    letters.parse().map_err(|_| Damaged("a currency is not three letters"))
}
