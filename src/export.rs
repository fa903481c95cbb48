//! Entries written down for other programs. A [`Row`] is an entry with its measures signed as reports sign them, so that the
//! sum of a column is what a report says; [`Row::tell`] lists its columns once for every notation, and [`Texts`] is what
//! its numbers stand for. A [`Notation`] turns rows into bytes: [`cells`] as CSV or NDJSON, [`accounting`] as the journal of a
//! plain-text accounting program; [`manifest`] says what was written, and [`readback`] checks it. Where rows come from and where bytes go is not known here.

pub mod accounting;
pub mod cells;
pub mod digits;
pub mod manifest;
pub mod readback;
pub mod scheduled;

use crate::catalog::resolution::Layer;
use crate::export::accounting::{Journal, Manner, Program};
use crate::export::cells::{Csv, Ndjson};
use crate::id::{BlockNumber, EventIds, EventNumber, NameId, OwnerId, ProductId, Sequence, Version};
use crate::ledger::seal::Dimensions;
use crate::ledger::{Chart, Entry, EntryKind};
use crate::money::{Amount, Currency};
use crate::time::{Instant, Month};
use crate::usage::{Meter, Outcome};
use std::sync::Arc;

/// One entry, with nothing in it that is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub sequence: Sequence,
    pub sealed: Sealed,
    pub kind: EntryKind,
    pub event: Option<EventNumber>,
    pub turn: u32,
    pub reverses: Option<Sequence>,
    pub occurred_at: Instant,
    pub period: Month,
    pub owner: OwnerId,
    pub product: ProductId,
    pub source: NameId,
    pub debit: NameId,
    pub credit: NameId,
    /// What it adds to the cost of its owner: minus for a reversal and for a margin that pays, nothing for what moves between
    /// accounts that are no owner's.
    pub amount: Amount,
    /// What moved from the credit to the debit account.
    pub posted: Amount,
    pub currency: Currency,
    pub rated: Option<Amount>,
    pub reported: Option<Amount>,
    /// At list price; where nothing hides a list it is the amount, and a margin has none.
    pub list: Amount,
    /// A reversal takes its calls and quantities back.
    pub calls: i64,
    pub quantities: [i64; Meter::COUNT],
    pub outcome: Outcome,
    pub layer: Layer,
    pub card: Option<NameId>,
    pub above: Option<NameId>,
    pub reason: Option<NameId>,
    pub estimated: bool,
}

/// What an entry has from the block it was sealed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub block: BlockNumber,
    pub recorded_at: Instant,
    pub version: Version,
    pub rater: u16,
}

/// The kinds of cell there are. Whoever implements it is told every row's cells in the same order.
pub trait Cells {
    fn integer(&mut self, name: &'static str, value: Option<i64>);
    fn money(&mut self, name: &'static str, value: Option<Amount>);
    fn instant(&mut self, name: &'static str, at: Instant);
    /// One of a few words that the program knows, and that need no escaping.
    fn word(&mut self, name: &'static str, word: &str);
    fn flag(&mut self, name: &'static str, value: bool);
    /// What an event was called by whoever sent it.
    fn event_id(&mut self, name: &'static str, event: Option<EventNumber>);
    /// A text of somebody's, by its number.
    fn name(&mut self, name: &'static str, text: Option<NameId>);
    /// The cells of [`OWNER`].
    fn owner(&mut self, owner: OwnerId);
    /// The cells of [`PRODUCT`].
    fn product(&mut self, product: ProductId);
}

/// What an owner's cells are called.
pub const OWNER: [&str; 7] = ["user", "team", "project", "key", "app", "agent", "environment"];
/// What a product's cells are called.
pub const PRODUCT: [&str; 7] = ["provider", "model", "requested_model", "served_by", "variant", "service_tier", "region"];

impl Row {
    pub fn new(entry: &Entry, sealed: Sealed, chart: &Chart) -> Row {
        let (debit, credit) = (entry.posting.debit(), entry.posting.credit());
        let signed = |amount: Amount| entry.effect(chart).on(amount);
        let sign = if entry.kind == EntryKind::Reversal { -1 } else { 1 };
        let mut quantities = [0; Meter::COUNT];
        for item in &entry.items {
            quantities[item.meter as usize] += sign * item.quantity as i64;
        }
        Row {
            sequence: entry.sequence,
            sealed,
            kind: entry.kind,
            event: entry.event,
            turn: entry.turn,
            reverses: entry.reverses,
            occurred_at: entry.occurred_at,
            period: entry.period,
            owner: entry.owner,
            product: entry.product,
            source: entry.source,
            debit,
            credit,
            amount: signed(entry.posting.amount()),
            posted: entry.posting.amount(),
            currency: *entry.posting.currency(),
            rated: entry.rated.map(signed),
            reported: entry.reported.map(signed),
            list: if chart.of_margin(debit, credit) {
                Amount::ZERO
            } else {
                signed(entry.list.unwrap_or(entry.posting.amount()))
            },
            calls: sign * entry.calls as i64,
            quantities,
            outcome: entry.outcome,
            layer: entry.layer,
            card: entry.card,
            above: entry.above,
            reason: entry.reason,
            estimated: entry.estimated,
        }
    }

    /// Every cell, in the order of the columns.
    pub fn tell(&self, cells: &mut impl Cells) {
        cells.integer("sequence", Some(self.sequence.0));
        cells.integer("block", Some(self.sealed.block.0));
        cells.instant("recorded_at", self.sealed.recorded_at);
        cells.word("kind", self.kind.name());
        cells.integer("event", self.event.map(|event| event.0));
        cells.event_id("event_id", self.event);
        cells.integer("turn", Some(i64::from(self.turn)));
        cells.integer("reverses", self.reverses.map(|reversed| reversed.0));
        cells.instant("occurred_at", self.occurred_at);
        cells.word("period", digits::month(self.period).as_str());
        cells.owner(self.owner);
        cells.product(self.product);
        cells.name("source", Some(self.source));
        cells.name("debit", Some(self.debit));
        cells.name("credit", Some(self.credit));
        cells.money("amount", Some(self.amount));
        cells.money("posted", Some(self.posted));
        cells.word("currency", self.currency.as_str());
        cells.money("rated_amount", self.rated);
        cells.money("reported_amount", self.reported);
        cells.money("list_amount", Some(self.list));
        cells.integer("calls", Some(self.calls));
        cells.word("outcome", self.outcome.name());
        cells.word("layer", self.layer.name());
        cells.name("card", self.card);
        cells.name("above", self.above);
        cells.name("reason", self.reason);
        cells.integer("catalog_version", Some(self.sealed.version.0));
        cells.integer("rater", Some(i64::from(self.sealed.rater)));
        cells.flag("estimated", self.estimated);
        for meter in Meter::ALL {
            let quantity = self.quantities[meter as usize];
            cells.integer(meter.name(), (quantity != 0).then_some(quantity));
        }
    }

    /// Some row, for whoever only asks what columns there are.
    fn any() -> Row {
        let at = Instant::from_micros(0);
        Row {
            sequence: Sequence(1),
            sealed: Sealed { block: BlockNumber(1), recorded_at: at, version: Version(1), rater: 1 },
            kind: EntryKind::Charge,
            event: None,
            turn: 0,
            reverses: None,
            occurred_at: at,
            period: at.month(),
            owner: OwnerId(1),
            product: ProductId(1),
            source: NameId(1),
            debit: NameId(1),
            credit: NameId(2),
            amount: Amount::ZERO,
            posted: Amount::ZERO,
            currency: Currency::USD,
            rated: None,
            reported: None,
            list: Amount::ZERO,
            calls: 0,
            quantities: [0; Meter::COUNT],
            outcome: Outcome::Succeeded,
            layer: Layer::List,
            card: None,
            above: None,
            reason: None,
            estimated: false,
        }
    }
}

/// What a column holds, for notations that have types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    Integer,
    Money,
    Instant,
    Word,
    /// A text of which hardly any row has the same as another.
    Text,
    Name,
    Flag,
}

/// The columns, in their order.
pub fn columns() -> Vec<(&'static str, ColumnKind)> {
    struct Columns(Vec<(&'static str, ColumnKind)>);
    impl Cells for Columns {
        fn integer(&mut self, name: &'static str, _: Option<i64>) {
            self.0.push((name, ColumnKind::Integer));
        }
        fn money(&mut self, name: &'static str, _: Option<Amount>) {
            self.0.push((name, ColumnKind::Money));
        }
        fn instant(&mut self, name: &'static str, _: Instant) {
            self.0.push((name, ColumnKind::Instant));
        }
        fn word(&mut self, name: &'static str, _: &str) {
            self.0.push((name, ColumnKind::Word));
        }
        fn flag(&mut self, name: &'static str, _: bool) {
            self.0.push((name, ColumnKind::Flag));
        }
        fn event_id(&mut self, name: &'static str, _: Option<EventNumber>) {
            self.0.push((name, ColumnKind::Text));
        }
        fn name(&mut self, name: &'static str, _: Option<NameId>) {
            self.0.push((name, ColumnKind::Name));
        }
        fn owner(&mut self, _: OwnerId) {
            self.0.extend(OWNER.map(|name| (name, ColumnKind::Name)));
        }
        fn product(&mut self, _: ProductId) {
            self.0.extend(PRODUCT.map(|name| (name, ColumnKind::Name)));
        }
    }
    let mut columns = Columns(Vec::new());
    Row::any().tell(&mut columns);
    columns.0
}

/// What the numbers of rows stand for. Numbers are counted without gaps, so each is a place in a list.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    names: Vec<Option<Arc<str>>>,
    owners: Vec<Option<Dimensions>>,
    products: Vec<Option<Dimensions>>,
    /// Of the events of some rows only.
    event_ids: EventIds,
}

impl Texts {
    /// The ids of the events of the rows that come next; those of the rows before are forgotten.
    pub fn learn_event_ids(&mut self, ids: EventIds) {
        self.event_ids = ids;
    }

    pub fn event_id(&self, event: EventNumber) -> Option<&str> {
        self.event_ids.get(event)
    }

    pub fn learn_name(&mut self, name: NameId, text: &str) {
        put(&mut self.names, name.0, text.into());
    }

    pub fn learn_owner(&mut self, owner: OwnerId, parts: Dimensions) {
        put(&mut self.owners, owner.0, parts);
    }

    pub fn learn_product(&mut self, product: ProductId, parts: Dimensions) {
        put(&mut self.products, product.0, parts);
    }

    pub fn name(&self, name: NameId) -> Option<&Arc<str>> {
        at(&self.names, name.0)
    }

    /// The names that an owner is made of, in the order of [`OWNER`]; 0 where there is none.
    pub fn owner(&self, owner: OwnerId) -> Option<&Dimensions> {
        at(&self.owners, owner.0)
    }

    /// The names that a product is made of, in the order of [`PRODUCT`]; 0 where there is none.
    pub fn product(&self, product: ProductId) -> Option<&Dimensions> {
        at(&self.products, product.0)
    }
}

fn put<T: Clone>(list: &mut Vec<Option<T>>, number: i64, thing: T) {
    let place = number as usize;
    if list.len() <= place {
        list.resize(place + 1, None);
    }
    list[place] = Some(thing);
}

fn at<T>(list: &[Option<T>], number: i64) -> Option<&T> {
    list.get(number as usize).and_then(Option::as_ref)
}

/// What rows can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Ndjson,
    Parquet,
    Journal(Program),
}

/// Makes the notation that is not made here; nothing where it is not built in.
pub type MakeParquet = Option<fn() -> Box<dyn Notation>>;

impl Format {
    pub const ALL: [Format; 6] = [
        Format::Csv,
        Format::Ndjson,
        Format::Parquet,
        Format::Journal(Program::Beancount),
        Format::Journal(Program::Ledger),
        Format::Journal(Program::Hledger),
    ];

    pub fn named(name: &str) -> Result<Format, String> {
        let known = || Format::ALL.map(Format::name).join(", ");
        let found = Format::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| format!("`{name}` is no format; known are {}", known()))
    }

    pub const fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Ndjson => "ndjson",
            Format::Parquet => "parquet",
            Format::Journal(program) => program.name(),
        }
    }

    /// How its files end.
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Journal(Program::Hledger) => "journal",
            other => other.name(),
        }
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Ndjson => "application/x-ndjson",
            Format::Parquet => "application/vnd.apache.parquet",
            Format::Journal(_) => "text/plain; charset=utf-8",
        }
    }

    pub fn notation(self, journal: Manner, parquet: MakeParquet) -> Result<Box<dyn Notation>, String> {
        Ok(match self {
            Format::Csv => Box::new(Csv::default()),
            Format::Ndjson => Box::new(Ndjson::default()),
            Format::Parquet => parquet.ok_or("this farthing was built without Parquet")?(),
            Format::Journal(program) => Box::new(Journal::new(program, journal)),
        })
    }
}

/// One way of writing rows as bytes. It keeps no more than a bounded part of what it was given, and writes the same bytes for
/// the same rows, in whatever portions they come.
pub trait Notation: Send {
    fn begin(&mut self, to: &mut Vec<u8>) -> Result<(), String>;
    fn rows(&mut self, rows: &[Row], texts: &Texts, to: &mut Vec<u8>) -> Result<(), String>;
    fn end(&mut self, texts: &Texts, to: &mut Vec<u8>) -> Result<(), String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_columns_have_the_same_name() {
        let mut names: Vec<&str> = columns().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 42 + Meter::COUNT);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 42 + Meter::COUNT);
    }
}
