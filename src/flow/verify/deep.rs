//! A look beyond the hashes: is what was sealed right? Every charge is rated again under the catalog version that its block
//! pins, on the word that decided when the block was sealed, and must say the same to the last digit; every reversal must
//! mirror what it reverses; line items must add up to their entry, and all accounts to nothing.
//!
//! A charge that another rater made may come out otherwise under today's, and that is told apart: its hash fits, so it
//! stands as it was made. Where a name was erased that decided on a price, nobody can rate again.

use super::{Place, Rows, Stop, after, between, broken};
use crate::flow::conflicts::standing;
use crate::flow::{Farthing, InForce};
use crate::id::{BlockNumber, EventNumber, NameId, Org, Sequence, Version};
use crate::ledger::decision::{Adjustment, Part};
use crate::ledger::seal::{Dimensions, EventRow, State, decides};
use crate::ledger::{self, Entry, EntryKind};
use crate::money::{Amount, Currency};
use crate::rating::share::Portion;
use crate::rating::{Charge, RATER, Rated, Rating, rate};
use crate::store::{Block, Names, StoredEvent};
use crate::usage::{OwnerDimension, Text};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deepened {
    /// Charges that were rated again.
    pub rated: i64,
    /// Those of them that cannot be compared any more, because a name that decided was erased.
    pub erased: i64,
    /// Charges of other raters that today's makes otherwise, the first of them by name.
    pub otherwise: Vec<Otherwise>,
    pub otherwise_in_all: i64,
    /// What was moved from account to account, by currency; taken back counts like moved.
    pub moved: BTreeMap<Currency, Amount>,
}

/// A charge that stands as another rater made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otherwise {
    pub block: BlockNumber,
    pub entry: Sequence,
    pub rater: u16,
    pub why: String,
}

/// How many of another rater's charges are named.
const NAMED: usize = 100;
/// Catalog versions in memory; blocks are mostly in their order.
const VERSIONS: usize = 3;
/// Beyond this many names the memory of them starts afresh.
const MOST_NAMES: usize = 200_000;

pub(super) struct Deep<'f> {
    farthing: &'f Farthing,
    org: Org,
    versions: VecDeque<InForce>,
    names: Names,
    balances: HashMap<(NameId, Currency), Amount>,
    deepened: Deepened,
}

/// The charges of one event in one block.
struct Booked<'r> {
    block: &'r Block,
    event: EventNumber,
    charges: Vec<&'r Entry>,
}

impl<'f> Deep<'f> {
    pub fn new(farthing: &'f Farthing, org: Org) -> Deep<'f> {
        let (versions, names, balances) = (VecDeque::new(), Names::default(), HashMap::new());
        Deep { farthing, org, versions, names, balances, deepened: Deepened::default() }
    }

    /// A run of blocks whose hashes fit.
    pub async fn look_at(&mut self, run: &[Block], from: Place, rows: &Rows) -> Result<(), Stop> {
        self.names.forget_beyond(MOST_NAMES);
        let mut booked = Vec::new();
        let mut place = from;
        for block in run {
            let until = after(block);
            let entries = between(&rows.entries, place.sequence, until.sequence, |entry| entry.sequence.0);
            for entry in entries {
                adds_up(entry).or_else(|why| broken(block.header.block, named(entry), why))?;
                self.balance(entry).or_else(|why| broken(block.header.block, named(entry), why))?;
            }
            booked.extend(charges_by_event(block, entries));
            place = until;
        }
        self.rate_again(rows, from, booked).await?;
        self.check_corrections(run, rows).await?;
        self.check_adjustments(run, rows).await?;
        self.farthing.verify_lists_of(self.org, run, rows, &mut self.names).await
    }

    /// All accounts together hold nothing, and the database adds up to the same.
    pub async fn finish(self, entries: i64) -> Result<Deepened, Stop> {
        let mut left: HashMap<Currency, Amount> = HashMap::new();
        for ((_, currency), amount) in &self.balances {
            let sum = left.entry(*currency).or_default();
            let Some(more) = sum.checked_add(*amount) else { continue };
            *sum = more;
        }
        if let Some((currency, amount)) = left.into_iter().find(|(_, amount)| !amount.is_zero()) {
            return broken(
                BlockNumber(0),
                None,
                format!("the balances of all accounts come to {amount} {currency} and not to 0"),
            );
        }
        // The limbs of larger sums are beyond what a database adds up.
        let moved = &self.deepened.moved;
        if moved.values().all(|amount| amount.limbs().micro < i64::MAX / 2) {
            let summed = self.farthing.store.sums_before(self.org, Sequence(entries + 1)).await?;
            if summed != *moved {
                return broken(BlockNumber(0), None, "the database adds the amounts up to something else than they come to");
            }
        }
        Ok(self.deepened)
    }

    fn balance(&mut self, entry: &Entry) -> Result<(), String> {
        let (posting, amount) = (&entry.posting, entry.posting.amount());
        let add = |sum: &mut Amount, amount: Amount| -> Result<(), String> {
            *sum = sum.checked_add(amount).ok_or("the sum of what was booked is beyond what can be counted")?;
            Ok(())
        };
        add(self.deepened.moved.entry(*posting.currency()).or_default(), amount)?;
        add(self.balances.entry((posting.debit(), *posting.currency())).or_default(), amount)?;
        add(self.balances.entry((posting.credit(), *posting.currency())).or_default(), -amount)
    }

    async fn rate_again(&mut self, rows: &Rows, from: Place, booked: Vec<Booked<'_>>) -> Result<(), Stop> {
        let older: HashSet<EventNumber> =
            booked.iter().map(|booked| booked.event).filter(|event| event.0 < from.record).collect();
        let older: Vec<EventNumber> = older.into_iter().collect();
        let older = self.farthing.store.words_on(self.org, &older).await?;
        let words = by_event(rows.events.iter().chain(&older));

        let mut decided = Vec::with_capacity(booked.len());
        for booked in &booked {
            // As it was known when the block was sealed.
            let known = words.get(&booked.event).into_iter().flatten().copied();
            let known = known.filter(|row| row.record < booked.block.records.1);
            let Some(row) = decides(booked.event, known) else {
                let entry = named(booked.charges[0]);
                return broken(booked.block.header.block, entry, format!("it books event {}, which is not there", booked.event));
            };
            decided.push(row.clone());
        }
        self.learn_entries(rows).await?;
        let stored = self.farthing.store.stored_with(self.org, decided, &mut self.names).await?;
        for (booked, stored) in booked.iter().zip(&stored) {
            let in_force = self.version(booked.block.header.version).await?;
            self.compare(booked, stored, &in_force)?;
        }
        Ok(())
    }

    /// Everything that the entries of a run name by number.
    async fn learn_entries(&mut self, rows: &Rows) -> Result<(), Stop> {
        let entries = &rows.entries;
        let owners: Vec<_> = entries.iter().map(|entry| entry.owner).collect();
        let products: Vec<_> = entries.iter().map(|entry| entry.product).collect();
        let mut names: HashSet<NameId> = HashSet::new();
        for entry in entries {
            names.extend([entry.source, entry.posting.debit(), entry.posting.credit()]);
            names.extend([entry.card, entry.above, entry.reason].into_iter().flatten());
            names.extend(entry.items.iter().filter_map(|item| item.card));
        }
        let names: Vec<NameId> = names.into_iter().collect();
        Ok(self.names.learn(&self.farthing.store, self.org, &owners, &products, &names).await?)
    }

    /// A version's catalog; a few of them stay in memory.
    async fn version(&mut self, version: Version) -> Result<InForce, Stop> {
        if let Some(known) = self.versions.iter().find(|known| known.version == version) {
            return Ok(known.clone());
        }
        let in_force = self.farthing.published(self.org, version).await?;
        self.versions.push_front(in_force.clone());
        self.versions.truncate(VERSIONS);
        self.farthing.let_go_of_lists();
        Ok(in_force)
    }

    fn compare(&mut self, booked: &Booked<'_>, stored: &StoredEvent, in_force: &InForce) -> Result<(), Stop> {
        self.deepened.rated += booked.charges.len() as i64;
        let header = &booked.block.header;
        let (entry, why) = match rate(&stored.event, &in_force.catalog) {
            Rating::Rated(rated) => match self.difference(booked, stored, &rated, in_force)? {
                None => return Ok(()),
                Some(difference) => difference,
            },
            Rating::Unpriced(unpriced) => (booked.charges[0], format!("it has no price: {unpriced}")),
        };
        if self.lost_a_name(booked, stored)? {
            self.deepened.erased += booked.charges.len() as i64;
        } else if header.rater != RATER {
            self.deepened.otherwise_in_all += 1;
            if self.deepened.otherwise.len() < NAMED {
                let otherwise = Otherwise { block: header.block, entry: entry.sequence, rater: header.rater, why };
                self.deepened.otherwise.push(otherwise);
            }
        } else {
            let why = format!("its hash fits, and rater {RATER} rates it otherwise under version {}: {why}", header.version);
            return broken(header.block, named(entry), why);
        }
        Ok(())
    }

    /// Whether a name is gone that may have decided on what was booked.
    fn lost_a_name(&self, booked: &Booked<'_>, stored: &StoredEvent) -> Result<bool, Stop> {
        let mut named: Vec<NameId> = vec![stored.row.source];
        for entry in &booked.charges {
            named.extend([entry.source, entry.posting.debit(), entry.posting.credit()]);
            named.extend([entry.card, entry.above].into_iter().flatten());
            named.extend(entry.items.iter().filter_map(|item| item.card));
            let (owner, product) = (self.names.of_owner(entry.owner)?, self.names.of_product(entry.product)?);
            named.extend(owner.iter().chain(product).filter(|name| **name != 0).map(|name| NameId(*name)));
        }
        let event = &stored.event;
        let texts = event.owner.dimensions().into_iter().chain(event.product.dimensions());
        let shown_as_erased = texts.filter_map(|(_, text)| text).any(|text| Names::stands_for_erased(text));
        Ok(shown_as_erased || named.into_iter().any(|name| self.names.is_erased(name)))
    }

    /// What is booked otherwise than it is rated, and in which entry.
    fn difference<'r>(
        &self,
        booked: &Booked<'r>,
        stored: &StoredEvent,
        rated: &Rated,
        in_force: &InForce,
    ) -> Result<Option<(&'r Entry, String)>, Stop> {
        let (portions, cost) = (rated.portions(&stored.event), in_force.catalog.rules().cost());
        let due: usize = portions.iter().map(|portion| portion.rated.charges.len()).sum();
        if booked.charges.len() != due {
            let why = format!("{} charges are booked and {due} are rated", booked.charges.len());
            return Ok(Some((booked.charges[0], why)));
        }
        let mut entries = booked.charges.iter();
        for portion in &portions {
            for (place, (charge, entry)) in portion.rated.charges.iter().zip(&mut entries).enumerate() {
                if let Some(what) = self.differing_part(entry, charge, place == 0, stored, portion, cost)? {
                    let (booked, due) = (entry.posting.amount(), charge.amount);
                    return Ok(Some((entry, format!("another {what} ({booked} is booked and {due} is rated)"))));
                }
            }
        }
        Ok(None)
    }

    /// The first part of a charge that is not as it is rated.
    fn differing_part(
        &self,
        entry: &Entry,
        charge: &Charge,
        first: bool,
        stored: &StoredEvent,
        portion: &Portion<'_>,
        cost: &[OwnerDimension],
    ) -> Result<Option<&'static str>, Stop> {
        let (event, names, posting) = (&stored.event, &self.names, &entry.posting);
        let (owner, rated) = (portion.owner, &portion.rated);
        let account = |party| ledger::account(party, cost, owner, &event.product);
        // The first charge carries the call: its count, and what was said of its amount.
        let said = |amount: Option<Amount>| amount.filter(|_| first);
        let label = |label: &Option<Arc<str>>| label.clone().filter(|_| first);
        let parts = [
            ("amount", posting.amount() == charge.amount),
            ("currency", *posting.currency() == rated.currency),
            ("line item", self.same_items(entry, charge)?),
            ("account to debit", names.text(posting.debit())? == account(charge.debit)),
            ("account to credit", names.text(posting.credit())? == account(charge.credit)),
            ("owner", self.same_texts(names.of_owner(entry.owner)?, owner.dimensions())?),
            ("product", self.same_texts(names.of_product(entry.product)?, event.product.dimensions())?),
            ("source", names.text(entry.source)? == &*event.source),
            ("layer", entry.layer == rated.layer),
            ("card", self.same_label(entry.card, label(&rated.card).as_deref())?),
            ("ceiling", self.same_label(entry.above, label(&rated.above).as_deref())?),
            ("rated amount", entry.rated == said(rated.rated)),
            ("reported amount", entry.reported == said(rated.reported)),
            ("list amount", entry.list == said(rated.list)),
            ("outcome", entry.outcome == event.outcome),
            ("count of calls", entry.calls == if first { portion.calls } else { 0 }),
            ("word on whether it is estimated", entry.estimated == event.estimated),
            ("time", entry.occurred_at == event.occurred_at),
        ];
        Ok(parts.into_iter().find(|(_, same)| !same).map(|(what, _)| what))
    }

    fn same_items(&self, entry: &Entry, charge: &Charge) -> Result<bool, Stop> {
        for (item, due) in entry.items.iter().zip(&charge.items) {
            let same = (item.meter, item.quantity, item.rate, item.amount, item.inherited_from)
                == (due.meter, due.quantity, due.rate, due.amount, due.inherited_from);
            if !same || !self.same_label(item.card, due.card.as_deref())? {
                return Ok(false);
            }
        }
        Ok(entry.items.len() == charge.items.len())
    }

    fn same_label(&self, name: Option<NameId>, label: Option<&str>) -> Result<bool, Stop> {
        Ok(name.map(|name| self.names.text(name)).transpose()? == label)
    }

    fn same_texts(&self, names: &Dimensions, texts: [(&str, Option<&Text>); 7]) -> Result<bool, Stop> {
        for (name, (_, text)) in names.iter().zip(texts) {
            let name = Some(NameId(*name)).filter(|name| name.0 != 0);
            if !self.same_label(name, text.map(|text| &**text))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What was adjusted in this run against what was decided, under the rules that were in force.
    async fn check_adjustments(&mut self, run: &[Block], rows: &Rows) -> Result<(), Stop> {
        for row in rows.events.iter().filter(|row| row.state == State::Adjusted) {
            let block = run.iter().find(|block| row.record < block.records.1);
            let Some(header) = block.map(|block| &block.header) else { continue };
            let wrong = |why: String| broken(header.block, Some(format!("event record {}", row.record)), why);
            let adjustment = match Adjustment::read(&row.body) {
                Ok(adjustment) => adjustment,
                Err(why) => return wrong(why),
            };
            let in_force = self.version(header.version).await?;
            let parts = adjustment.parts(in_force.catalog.rules().cost());
            let posted: Vec<&Entry> = rows.entries.iter().filter(|entry| entry.event == Some(row.event)).collect();
            let as_decided = |entry: &Entry, part: &Part| -> Result<bool, Stop> {
                let posting = &entry.posting;
                let accounts = [(posting.debit(), &part.debit), (posting.credit(), &part.credit)];
                let mut same = entry.kind == EntryKind::Adjustment
                    && (posting.amount(), *posting.currency()) == (adjustment.amount, adjustment.currency)
                    && entry.occurred_at == adjustment.occurred_at;
                for (account, text) in accounts {
                    same &= self.names.is_erased(account) || self.names.text(account)? == text;
                }
                Ok(same)
            };
            let mut same = posted.len() == parts.len();
            for (entry, part) in posted.iter().zip(&parts) {
                same &= as_decided(entry, part)?;
            }
            if !same {
                return wrong("what was posted is not what was decided".to_owned());
            }
        }
        Ok(())
    }

    /// What was taken back in this run, or booked again, against all that is booked for those events.
    async fn check_corrections(&self, run: &[Block], rows: &Rows) -> Result<(), Stop> {
        let corrected = rows.entries.iter().filter(|entry| entry.kind == EntryKind::Reversal || entry.turn > 0);
        let events: HashSet<EventNumber> = corrected.filter_map(|entry| entry.event).collect();
        let events: Vec<EventNumber> = events.into_iter().collect();
        let Some((first, last)) = rows.entries.first().zip(rows.entries.last()) else { return Ok(()) };
        let here = first.sequence..=last.sequence;
        let mut of: BTreeMap<EventNumber, Vec<Entry>> = BTreeMap::new();
        for entry in self.farthing.store.entries_of_events(self.org, &events).await? {
            of.entry(entry.event.expect("it was asked for by its event")).or_default().push(entry);
        }
        for entries in of.values() {
            for (place, entry) in entries.iter().enumerate().filter(|(_, entry)| here.contains(&entry.sequence)) {
                let block = run.iter().find(|block| entry.sequence.0 < block.sequences.1);
                let block = block.map_or(BlockNumber(0), |block| block.header.block);
                follows(entry, &entries[..place]).or_else(|why| broken(block, named(entry), why))?;
            }
        }
        Ok(())
    }
}

fn named(entry: &Entry) -> Option<String> {
    Some(format!("entry {}", entry.sequence))
}

/// The charges of a block, those of one event together: they are booked one after the other.
fn charges_by_event<'r>(block: &'r Block, entries: &'r [Entry]) -> Vec<Booked<'r>> {
    let mut booked: Vec<Booked<'r>> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Charge) {
        let Some(event) = entry.event else { continue };
        match booked.last_mut() {
            Some(last) if last.event == event && last.charges[0].turn == entry.turn => last.charges.push(entry),
            _ => booked.push(Booked { block, event, charges: vec![entry] }),
        }
    }
    booked
}

/// Records by the event that they are of, and by the one whose call they tell of.
fn by_event<'r>(rows: impl Iterator<Item = &'r EventRow>) -> HashMap<EventNumber, Vec<&'r EventRow>> {
    let mut by_event: HashMap<EventNumber, Vec<&EventRow>> = HashMap::new();
    for row in rows {
        by_event.entry(row.event).or_default().push(row);
        if let Some(about) = row.about.filter(|about| *about != row.event) {
            by_event.entry(about).or_default().push(row);
        }
    }
    by_event
}

/// An entry by itself: its items come to its amount, and it counts in its month or in a later one.
fn adds_up(entry: &Entry) -> Result<(), String> {
    let sum = entry.items.iter().try_fold(Amount::ZERO, |sum, item| sum.checked_add(item.amount));
    if sum != Some(entry.posting.amount()) {
        let sum = sum.map_or_else(|| "nothing that can be counted".to_owned(), |sum| sum.to_string());
        return Err(format!("its line items come to {sum} and its amount is {}", entry.posting.amount()));
    }
    if entry.period < entry.occurred_at.month() {
        return Err(format!("it counts in {}, before it occurred", entry.period));
    }
    Ok(())
}

/// Whether an entry of an event follows from those that were booked before it: a reversal mirrors a charge that stands, and
/// a charge is made where none of an earlier turn stands.
fn follows(entry: &Entry, before: &[Entry]) -> Result<(), String> {
    let stood = standing(before);
    match entry.kind {
        EntryKind::Reversal => {
            let reversed = stood.iter().find(|charge| Some(charge.sequence) == entry.reverses);
            let reversed = reversed.ok_or("it reverses what is no charge that stands")?;
            let mirror = reversed.reversal(entry.turn, entry.period);
            let mirror = Entry { sequence: entry.sequence, reason: entry.reason, ..mirror };
            if mirror == *entry && entry.turn > reversed.turn {
                Ok(())
            } else {
                Err(format!("it does not mirror entry {}, which it reverses", reversed.sequence))
            }
        }
        EntryKind::Charge if entry.reverses.is_some() => Err("it is a charge and reverses something".to_owned()),
        EntryKind::Charge => match stood.iter().find(|charge| charge.turn != entry.turn) {
            Some(charge) => Err(format!("entry {} of an earlier turn stands beside it", charge.sequence)),
            None => Ok(()),
        },
        EntryKind::Adjustment => Ok(()),
    }
}
