//! Periods: a month is closed when it is over, proved and said so in the book itself. From then on nothing lands in it: what is
//! late or corrected lands in the earliest month that is open. A closed month can be opened again, with those after it,
//! and that too stands in the book.

use crate::flow::accounts::Wanted;
use crate::flow::booking::Booking;
use crate::flow::verify::{Broken, Verified};
use crate::flow::{Farthing, FlowError, now};
use crate::id::{BlockNumber, Org, Sequence};
use crate::ledger::decision::{Closed, Closing, Numbered, Reopening, canonical, hash_of_balances, trial, what_was_decided};
use crate::ledger::seal::{BlockHash, EventRow, State};
use crate::report::{AsOf, Cell, Dimension, Filter, Measure, Of, Query};
use crate::store::{Head, StoreError};
use crate::time::{Instant, Month};
use std::collections::BTreeMap;

/// What is to be closed.
#[derive(Clone, Debug)]
pub struct Wish {
    pub month: Month,
    /// Usage without an amount is closed over: it will land in a later month when its price is known.
    pub accept_held: bool,
    pub note: String,
    pub author: String,
}

/// A month and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub month: Month,
    pub is_closed: bool,
    pub closing: Closing,
    pub reopened: Option<Reopening>,
}

/// What was found of a month before it is closed.
struct Proof {
    head: Head,
    entries: i64,
    amounts: BTreeMap<String, String>,
    balances: Numbered,
}

/// So often the proof is made anew because somebody booked into the month meanwhile; then the book waits for it.
const ATTEMPTS: u32 = 3;
/// Nobody closes as many months.
pub(crate) const MOST: i64 = 100_000;

impl Farthing {
    /// Proves a month and closes it. `progress` is told how far the proof is.
    pub async fn close_period(
        &self,
        org: Org,
        wish: &Wish,
        progress: impl Fn(BlockNumber, BlockNumber),
    ) -> Result<Closing, FlowError> {
        let damage = match self.may_close(org, wish, &self.store.head(org).await?).await {
            // The proof says where.
            Err(e @ FlowError::Store(StoreError::Damaged { .. })) => Some(e),
            may => may.map(|()| None)?,
        };
        if let Err(broken) = self.verify_what_is_there(org, &progress).await? {
            let record = broken.record.map_or(String::new(), |record| format!(", {record}"));
            return Err(FlowError::Refused(format!("the book is broken in block {}{record}: {}", broken.block, broken.why)));
        }
        if let Some(damage) = damage {
            return Err(damage);
        }
        let mut proof = self.prove(org, wish.month).await?;
        for attempt in 1.. {
            let mut books = self.books.lock().await;
            let cache = books.entry(org).or_default();
            let mut write = self.store.begin().await?;
            let head = write.lock_heads(&[org]).await?.remove(0);
            // Others wait from here on, so what is found now stays true.
            self.may_close(org, wish, &head).await?;
            let since = proof.head.next_sequence;
            if self.store.booked_until(org, wish.month, since).await? {
                if attempt < ATTEMPTS {
                    drop(write);
                    drop(books);
                    proof = self.prove(org, wish.month).await?;
                    continue;
                }
                proof = self.prove(org, wish.month).await?;
            }
            let held = self.held_before(org, wish.month.period().until).await?;
            let turn = self.closings_of(org, wish.month).await? + 1;
            let mut closing = proof.closing(wish, turn, held);
            if let Some(signer) = &self.signer {
                closing.sign(signer);
            }
            let in_force = self.load_version(org, head.version).await?;
            let mut booking = Booking::new(head, in_force, cache);
            let id = format!("{}#{turn}", wish.month);
            let key = self.store.decision_key(org, what_was_decided(State::Closed), &id);
            booking.decide(&mut write, State::Closed, &id, canonical(&closing), key).await?;
            booking.head.first_open = wish.month.next();
            booking.commit(write, &self.store).await?;
            return Ok(closing);
        }
        unreachable!("the last attempt closes the month or says why not")
    }

    /// The chain from its first block on; where rows were taken out, what is left of those blocks and the chain from the last of
    /// them on, if a closing proved that one while its rows were there.
    async fn verify_what_is_there(
        &self,
        org: Org,
        progress: impl Fn(BlockNumber, BlockNumber),
    ) -> Result<Result<Verified, Broken>, FlowError> {
        let Some(block) = self.store.taken_out(org).await? else { return self.verify(org, progress).await };
        let proved = self.periods(org).await?.into_iter().filter(|standing| standing.is_closed);
        match proved.map(|standing| standing.closing.block).max() {
            Some(proved) if block.0 <= proved => self.verify_what_is_left(org, block, progress).await,
            _ => Err(FlowError::Refused(format!("the rows of block {block} are not there, and no closing has proved it"))),
        }
    }

    /// Opens a month again, and those after it: they close in order. Answers those that are open now and were closed.
    pub async fn reopen_period(&self, org: Org, month: Month, reason: &str, author: &str) -> Result<Vec<Month>, FlowError> {
        let mut books = self.books.lock().await;
        let cache = books.entry(org).or_default();
        let mut write = self.store.begin().await?;
        let head = write.lock_heads(&[org]).await?.remove(0);
        let closed: Vec<Standing> = self.periods(org).await?.into_iter().filter(|standing| standing.is_closed).collect();
        self.may_reopen(org, month, &head, &closed).await?;
        let Some(standing) = closed.iter().find(|standing| standing.month == month) else {
            return Err(FlowError::Refused(format!("{month} is not closed")));
        };
        let reopening = Reopening {
            reopening: month.to_string(),
            turn: standing.closing.turn,
            reason: reason.to_owned(),
            author: author.to_owned(),
            reopened_at: now().to_string(),
        };
        let opened = closed.iter().map(|standing| standing.month).filter(|other| *other >= month).collect();
        let in_force = self.load_version(org, head.version).await?;
        let mut booking = Booking::new(head, in_force, cache);
        let id = format!("{month}#{}", standing.closing.turn);
        let key = self.store.decision_key(org, what_was_decided(State::Reopened), &id);
        let body = canonical(&reopening);
        let mut months = self.closed_months(org).await?;
        months.learn(State::Reopened, body.as_bytes()).map_err(FlowError::Refused)?;
        booking.decide(&mut write, State::Reopened, &id, body, key).await?;
        booking.head.first_open = months.first_open();
        booking.commit(write, &self.store).await?;
        Ok(opened)
    }

    /// Whether this database still has what it takes to open a month again: its entries, and a closing that says which months
    /// before it stay closed. What was taken out of it has neither, and to guess would open months whose entries are elsewhere.
    async fn may_reopen(&self, org: Org, month: Month, head: &Head, closed: &[Standing]) -> Result<(), FlowError> {
        if month >= head.first_open {
            return Ok(());
        }
        let Some(gone) = self.store.last_taken_out(org).await? else { return Ok(()) };
        let (block, there) = (gone.header.block, gone.sequences.1);
        let within = self.store.sequences_of_months(org, month, month).await?;
        let what = if within.0 < within.1 && within.0 < there {
            "entries that may count in it"
        } else if !closed.iter().any(|standing| standing.month < month) {
            "the closings before it"
        } else {
            return Ok(());
        };
        Err(FlowError::Refused(format!(
            "{month} stays closed: {what} were taken out of this database with the blocks up to {block}; attach their partitions \
             again, or adjust in a month that is open"
        )))
    }

    /// Every month that was ever closed and whose closing is in this database, in order, as it stands.
    pub async fn periods(&self, org: Org) -> Result<Vec<Standing>, FlowError> {
        let mut months: BTreeMap<Month, Standing> = BTreeMap::new();
        for row in self.months_decided(org).await? {
            match row.state {
                State::Closed => {
                    let closing = Closing::read(&row.body).map_err(|why| damaged(&row, why))?;
                    let month = closing.month().map_err(|why| damaged(&row, why))?;
                    months.insert(month, Standing { month, is_closed: true, closing, reopened: None });
                }
                _ => {
                    let reopening = Reopening::read(&row.body).map_err(|why| damaged(&row, why))?;
                    let month = reopening.month().map_err(|why| damaged(&row, why))?;
                    for (_, standing) in months.range_mut(month..) {
                        if standing.is_closed {
                            (standing.is_closed, standing.reopened) = (false, Some(reopening.clone()));
                        }
                    }
                }
            }
        }
        Ok(months.into_values().collect())
    }

    async fn closed_months(&self, org: Org) -> Result<Closed, FlowError> {
        let mut closed = Closed::default();
        for row in self.months_decided(org).await? {
            closed.learn(row.state, &row.body).map_err(|why| damaged(&row, why))?;
        }
        Ok(closed)
    }

    /// Closings and reopenings in the order in which they were decided.
    async fn months_decided(&self, org: Org) -> Result<Vec<EventRow>, FlowError> {
        let mut rows = self.store.decisions(org, State::Closed, 0, MOST).await?;
        rows.extend(self.store.decisions(org, State::Reopened, 0, MOST).await?);
        rows.sort_by_key(|row| row.record);
        Ok(rows)
    }

    async fn closings_of(&self, org: Org, month: Month) -> Result<u32, FlowError> {
        let known = self.periods(org).await?.into_iter().find(|standing| standing.month == month);
        Ok(known.map_or(0, |standing| standing.closing.turn))
    }

    /// Whether a month is over, open, after all that is closed, and everything in it has an amount.
    async fn may_close(&self, org: Org, wish: &Wish, head: &Head) -> Result<(), FlowError> {
        let month = wish.month;
        let refused = |why: String| Err(FlowError::Refused(why));
        if month < head.first_open {
            return refused(format!("{month} is closed already; `reopen` opens it again"));
        }
        if month.period().until > now() {
            return refused(format!("{month} is not over; it can be closed from {} on", month.period().until));
        }
        if let Some(earlier) = self.months_booked(org, head.first_open, month).await?.first() {
            return refused(format!("{earlier} has entries and is open; months close in order, so close it first"));
        }
        let held = self.held_before(org, month.period().until).await?;
        if !held.is_empty() && !wish.accept_held {
            let told: Vec<String> = held.iter().map(|(reason, events)| format!("{events} {reason}")).collect();
            return refused(format!(
                "usage of {month} or before has no amount yet: {}; `held list` shows it. Publish what is missing, or accept \
                 that it will land in a later month",
                told.join(", ")
            ));
        }
        Ok(())
    }

    /// The months from one up to another in which something was booked.
    async fn months_booked(&self, org: Org, from: Month, until: Month) -> Result<Vec<Month>, FlowError> {
        let between: Vec<String> = (from.number()..until.number()).map(|month| Month::from_number(month).to_string()).collect();
        if between.is_empty() {
            return Ok(Vec::new());
        }
        // Where nothing was ever closed all months are asked for.
        let filters = match from.number() {
            0 => Vec::new(),
            _ => vec![Filter { dimension: Dimension::Period, values: between }],
        };
        let query = Query { by: vec![Dimension::Period], show: vec![Measure::Entries], filters, ..Query::default() };
        let table = self.report(org, &query).await?.table;
        let mut months: Vec<Month> = table.rows().filter_map(|row| row[0].plain().parse().ok()).collect();
        months.retain(|month| (from..until).contains(month));
        months.sort_unstable();
        Ok(months)
    }

    /// Usage from before an instant that has no amount, by reason.
    async fn held_before(&self, org: Org, until: Instant) -> Result<BTreeMap<String, i64>, FlowError> {
        let (by, show) = (vec![Dimension::Reason], vec![Measure::Entries]);
        let query = Query { by, show, of: Of::Held, until: Some(until), ..Query::default() };
        let table = self.report(org, &query).await?.table;
        let place = table.columns.iter().position(|column| column.name == "entries");
        let of_row = |row: Vec<Cell>| match place.map(|place| &row[place]) {
            Some(Cell::Count(count)) if *count > 0 => Some((row[0].plain(), *count)),
            _ => None,
        };
        Ok(table.rows().filter_map(of_row).collect())
    }

    /// The first closing that does not say what the entries of its month still say.
    pub(crate) async fn wrong_closing(&self, org: Org) -> Result<Option<(i64, String)>, FlowError> {
        for row in self.store.decisions(org, State::Closed, 0, MOST).await? {
            let closing = Closing::read(&row.body).map_err(|why| damaged(&row, why))?;
            let month = closing.month().map_err(|why| damaged(&row, why))?;
            if closing.is_as_signed() == Some(false) {
                return Ok(Some((row.record, format!("the closing of {month} is not what was signed"))));
            }
            let block = BlockNumber(closing.block);
            let hash = match block.0 {
                // A month may be closed before anything was ever booked.
                0 => Some(BlockHash::of_empty_book(&self.store.org_name(org).await?)),
                _ => self.store.block_hash(org, block).await?,
            };
            if hash.is_none_or(|hash| hash.to_string() != closing.hash) {
                return Ok(Some((row.record, format!("block {block} has another hash than the closing of {month} says"))));
            }
            let found = self.store.blocks_after(org, BlockNumber(block.0 - 1), 1).await?;
            let before = found.first().map_or(Sequence(1), |found| Sequence(found.sequences.1));
            let balances = self.summed(org, month, before).await?;
            if hash_of_balances(&balances) != closing.balances || balances.len() as u64 != closing.accounts {
                let why = format!("the balances of {month} are not those that it was closed with");
                return Ok(Some((row.record, why)));
            }
        }
        Ok(None)
    }

    /// What the month comes to, from the copies and from the entries: the same, or nothing is closed.
    async fn prove(&self, org: Org, month: Month) -> Result<Proof, FlowError> {
        let head = self.store.head(org).await?;
        let as_of = (head.block.0 > 0).then_some(AsOf::Block(head.block));
        let wanted = Wanted { as_of, period: Some(month), ..Wanted::default() };
        let (balances, _) = self.balances(org, &wanted).await?;
        let (scanned, _) = self.balances(org, &Wanted { scan: true, ..wanted }).await?;
        let summed = self.summed(org, month, head.next_sequence).await?;
        if balances != scanned {
            let why = "the segments do not say what the entries say; `farthing rebuild segments` makes them anew";
            return Err(FlowError::Refused(why.to_owned()));
        }
        if balances != self.named(org, &summed).await? {
            let why = "the balances are not what the database adds up; `farthing verify --deep` says why";
            return Err(FlowError::Refused(why.to_owned()));
        }
        let trial = trial(&balances).map_err(|e| FlowError::Refused(e.to_string()))?;
        if let Some((currency, sum)) = trial.iter().find(|(_, sum)| sum.debit != sum.credit) {
            let why = format!("debits and credits in {currency} are not the same: {} and {}", sum.debit, sum.credit);
            return Err(FlowError::Refused(why));
        }
        let filters = vec![Filter { dimension: Dimension::Period, values: vec![month.to_string()] }];
        let query = Query { show: vec![Measure::Amount, Measure::Entries], filters, as_of, ..Query::default() };
        let table = self.report(org, &query).await?.table;
        let place = |name: &str| table.columns.iter().position(|column| column.name == name).unwrap_or_default();
        let (entries, mut amounts) = (place("entries"), BTreeMap::new());
        let mut count = 0;
        for total in &table.totals {
            amounts.insert(total.currency.to_string(), total.amount.to_string());
            count += if let Some(Cell::Count(entries)) = total.cells.get(entries) { *entries } else { 0 };
        }
        Ok(Proof { head, entries: count, amounts, balances: summed })
    }
}

impl Proof {
    fn closing(&self, wish: &Wish, turn: u32, held: BTreeMap<String, i64>) -> Closing {
        Closing {
            closing: wish.month.to_string(),
            turn,
            block: self.head.block.0,
            hash: self.head.hash.to_string(),
            entries: self.entries,
            amounts: self.amounts.clone(),
            accounts: self.balances.len() as u64,
            balances: hash_of_balances(&self.balances),
            held,
            note: wish.note.clone(),
            author: wish.author.clone(),
            closed_at: now().to_string(),
            signature: None,
        }
    }
}

fn damaged(row: &EventRow, why: String) -> FlowError {
    StoreError::damaged(format!("record {}", row.record), why).into()
}
