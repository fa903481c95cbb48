//! What the book has for a provider up to a block, in the words of a comparison: each call with what stands for it, and what
//! was adjusted added to the call that it is about. Nothing that was recorded after the block is looked at, not even a price
//! list, so the same block is the same book for ever.

use super::true_up::is_true_up;
use super::{MOST, PROVIDER, payable};
use crate::catalog::Catalog;
use crate::catalog::rules::FETCHED;
use crate::flow::conflicts::standing;
use crate::flow::{Farthing, FlowError, broke_off};
use crate::id::{BlockNumber, EventNumber, Org, Sequence, Version};
use crate::ledger::decision::{About, Adjustment};
use crate::ledger::seal::State;
use crate::ledger::{Entry, PAYABLE};
use crate::money::Amount;
use crate::reconcile::Stated;
use crate::reconcile::compact::Compact;
use crate::reconcile::compare::{Book, Booked};
use crate::reconcile::statement::{Flags, Statement, Tokens};
use crate::reconcile::texts::Ids;
use crate::store::{EntryFilter, Names, Store, StoreError, StoredEvent};
use crate::time::{Instant, Period};
use crate::usage::{Meter, Outcome, Text, Usage};
use std::collections::{HashMap, HashSet, VecDeque};

/// Events that are read at once, and how many such pages ahead.
const PAGE: i64 = 4_000;
const PAGES_AHEAD: usize = 3;
/// Beyond this many names what was learned of them is not kept for the next page.
const MOST_NAMES: usize = 20_000;
/// How much of the book around the days is looked at, to tell what is missing from what is on another day.
const AROUND: i64 = 2 * 86_400_000_000;

/// Where a book ends that is compared: after this block, before this sequence, record and name.
pub(super) struct Until {
    pub block: BlockNumber,
    sequence: Sequence,
    record: i64,
    pub name: i64,
    version: Version,
}

/// The book's side of a comparison.
pub(super) struct Against {
    pub book: Book,
    /// The same without true-ups, where there are any.
    pub before: Option<Book>,
    /// How many true-ups are of the days that are compared.
    pub true_ups: u64,
    /// Calls without an id that another key than the statement's made, or nobody says which: they are not compared.
    pub elsewhere: Vec<Sequence>,
}

/// An adjustment of what the provider is owed.
struct Adjusted {
    adjustment: Adjustment,
    amount: Amount,
    /// The event of the entry that it is about.
    corrected: Option<EventNumber>,
    record: EventNumber,
    own: Sequence,
}

/// Charges after one entry and up to another.
struct Calls {
    after: Option<Sequence>,
    last: Sequence,
}

/// Events that were charged, what stands of them, and what its accounts are called.
struct Charged {
    entries: HashMap<EventNumber, Vec<Entry>>,
    names: Names,
    events: Vec<StoredEvent>,
}

/// Reads what was charged before an entry and told before a record.
async fn charged(
    store: Store,
    org: Org,
    events: Vec<EventNumber>,
    sequence: Sequence,
    record: i64,
    mut names: Names,
) -> Result<Charged, StoreError> {
    let mut entries: HashMap<EventNumber, Vec<Entry>> = HashMap::with_capacity(events.len());
    for entry in store.entries_of_events(org, &events).await? {
        if let Some(event) = entry.event.filter(|_| entry.sequence < sequence) {
            entries.entry(event).or_default().push(entry);
        }
    }
    entries.values_mut().for_each(|entries| *entries = standing(entries));
    let accounts: Vec<_> = entries.values().flatten().flat_map(|entry| [entry.posting.debit(), entry.posting.credit()]).collect();
    names.learn(&store, org, &[], &[], &accounts).await?;
    let events = store.standing_events_before(org, &events, record, &mut names).await?;
    Ok(Charged { entries, names, events })
}

impl Farthing {
    /// The end of a block; of the head where none is named.
    pub(super) async fn book_until(&self, org: Org, block: Option<BlockNumber>) -> Result<Until, FlowError> {
        let head = self.store.head(org).await?;
        let number = block.unwrap_or(head.block);
        let found = self.store.blocks_after(org, BlockNumber(number.0.saturating_sub(1)), 1).await?;
        match found.first().filter(|found| found.header.block == number) {
            Some(found) => Ok(Until {
                block: number,
                sequence: Sequence(found.sequences.1),
                record: found.records.1,
                name: found.name_until,
                version: found.header.version,
            }),
            None => Err(FlowError::Refused(format!("block: there is no block {number}; the last one is {}", head.block))),
        }
    }

    /// What the provider was owed for calls on and around these days.
    pub(super) async fn book_against(
        &self,
        org: Org,
        until: &Until,
        period: Period,
        stated: &Stated,
        statement: &Statement,
    ) -> Result<Against, FlowError> {
        if let Some(since) = self.taken_out_until(org).await?.filter(|since| period.from < *since) {
            let why =
                format!("what was booked until {since} was taken out of this database, so the days from {} on", period.from);
            return Err(FlowError::Refused(format!("{why} cannot be compared here; compare them where their entries are")));
        }
        let catalog = self.published(org, until.version).await?.catalog;
        let mut gathered = Gathered::new(Spelling::of(&catalog, statement), Share::of(stated, statement), statement);
        if let Some(share) = &gathered.share {
            gathered.book.metered = Some(vec![gathered.book.names.name(share.key)]);
        }
        // About as many as there are lines, where each is of one.
        let lines = if statement.form.is_by_generation() { statement.lines.len() } else { 0 };
        (gathered.book.calls, gathered.book.ids) = (Compact::with_room(lines), Ids::with_room(lines));
        let seen = seen(period, statement);
        let adjusted = self.adjusted(org, until, seen).await?;
        gathered.calls_adjusted = adjusted.iter().filter_map(|adjusted| adjusted.adjustment.about.call.clone()).collect();
        gathered.events_adjusted = adjusted.iter().filter_map(|adjusted| adjusted.corrected).collect();
        self.gather_calls(org, until, seen, &mut gathered).await?;
        if gathered.tells_keys && gathered.share.is_none() {
            let known = self.store.keys_before(org, until.name).await?;
            let names = &mut gathered.book.names;
            gathered.book.metered = Some(known.iter().map(|key| names.name(key)).collect());
        }
        let any = adjusted.iter().any(|adjusted| is_true_up(&adjusted.adjustment));
        let mut before = any.then(|| gathered.clone());
        let mut true_ups = 0;
        for adjusted in &adjusted {
            let place = gathered.adjustment(adjusted);
            if !is_true_up(&adjusted.adjustment) {
                before.as_mut().map(|before| before.adjustment(adjusted));
            } else if place.is_some_and(|place| period.holds(gathered.book.calls.get(place).at)) {
                true_ups += 1;
            }
        }
        let Gathered { book, elsewhere, .. } = gathered;
        Ok(Against { book, before: before.map(|before| before.book), true_ups, elsewhere })
    }

    /// When the last block was sealed of which rows were taken out of this database: what was used before may be missing.
    pub(super) async fn taken_out_until(&self, org: Org) -> Result<Option<Instant>, FlowError> {
        Ok(self.store.last_taken_out(org).await?.map(|block| block.header.sealed_at))
    }

    async fn gather_calls(&self, org: Org, until: &Until, seen: Period, gathered: &mut Gathered<'_>) -> Result<(), FlowError> {
        let Period { from, until: end } = seen;
        let mut filter =
            EntryFilter { from: Some(from), until: Some(end), before: Some(until.sequence), ..EntryFilter::default() };
        let (mut ahead, mut is_over) = (VecDeque::new(), false);
        // What one page learned, a later one does not read again.
        let mut known: Vec<Names> = Vec::with_capacity(PAGES_AHEAD);
        loop {
            while !is_over && ahead.len() < PAGES_AHEAD {
                match self.store.charged_events(org, &filter, PAGE).await? {
                    None => is_over = true,
                    Some((events, last)) => {
                        let page = Calls { after: filter.after.replace(last), last };
                        let names = known.pop().unwrap_or_default();
                        let charged = charged(self.store.clone(), org, events, until.sequence, until.record, names);
                        ahead.push_back((page, tokio::spawn(charged)));
                    }
                }
            }
            let Some((Calls { after, last }, charged)) = ahead.pop_front() else { return Ok(()) };
            let Charged { mut entries, mut names, events } = charged.await.map_err(broke_off)??;
            for stored in events {
                let Some(standing) = entries.remove(&stored.row.event).filter(|standing| !standing.is_empty()) else { continue };
                // An event is met with each of its charges; it counts where it stands.
                let first = standing[0].sequence;
                if after.is_none_or(|after| after < first) && first <= last && &*stored.event.product.provider == PROVIDER {
                    gathered.call(&stored, &standing, &names)?;
                }
            }
            names.forget_beyond(MOST_NAMES);
            known.push(names);
        }
    }

    /// What was adjusted of what the provider is owed, in order.
    async fn adjusted(&self, org: Org, until: &Until, seen: Period) -> Result<Vec<Adjusted>, FlowError> {
        let mut owed = self.adjusted_until(org, until).await?;
        owed.retain(|(_, adjustment)| seen.holds(adjustment.occurred_at) && owed_by(adjustment).is_some());
        let mut adjusted = Vec::with_capacity(owed.len());
        for page in owed.chunks(PAGE as usize) {
            let event_of = self.events_adjusted(org, page).await?;
            let records: Vec<EventNumber> = page.iter().map(|(record, _)| *record).collect();
            let mut own_of: HashMap<EventNumber, Sequence> = HashMap::with_capacity(page.len());
            for entry in self.store.entries_of_events(org, &records).await? {
                own_of.extend(entry.event.map(|record| (record, entry.sequence)));
            }
            adjusted.extend(page.iter().map(|(record, adjustment)| Adjusted {
                amount: owed_by(adjustment).unwrap_or_default(),
                corrected: adjustment.about.entry.and_then(|entry| event_of.get(&entry).copied()),
                record: *record,
                own: own_of.get(record).copied().unwrap_or(Sequence(0)),
                adjustment: adjustment.clone(),
            }));
        }
        Ok(adjusted)
    }

    /// The events of the entries that adjustments are about.
    pub(super) async fn events_adjusted(
        &self,
        org: Org,
        adjusted: &[(EventNumber, Adjustment)],
    ) -> Result<HashMap<Sequence, EventNumber>, FlowError> {
        let about: Vec<Sequence> = adjusted.iter().filter_map(|(_, adjustment)| adjustment.about.entry).collect();
        let entries = self.store.entries_numbered(org, &about).await?;
        Ok(entries.iter().filter_map(|entry| Some((entry.sequence, entry.event?))).collect())
    }

    /// All adjustments of the book up to there, and where they are recorded.
    pub(super) async fn adjusted_until(&self, org: Org, until: &Until) -> Result<Vec<(EventNumber, Adjustment)>, FlowError> {
        let rows = self.store.decisions(org, State::Adjusted, 0, MOST).await?;
        let read = |row: &crate::ledger::seal::EventRow| {
            let adjustment = Adjustment::read(&row.body);
            let adjustment = adjustment.map_err(|why| StoreError::damaged(format!("record {}", row.record), why))?;
            Ok((EventNumber(row.record), adjustment))
        };
        rows.iter().filter(|row| row.record < until.record).map(read).collect()
    }
}

/// What is looked at for these days. A generation is found by its id, wherever it is booked; of a day that the statement is
/// not about it says nothing, and what is booked there would seem to be late.
fn seen(period: Period, statement: &Statement) -> Period {
    let around = if statement.form.is_by_generation() { AROUND } else { 0 };
    let moved = |at: Instant, by: i64| Instant::from_micros(at.micros() + by);
    Period { from: moved(period.from, -around), until: moved(period.until, around) }
}

/// What an adjustment makes the provider be owed, if it is about that.
fn owed_by(adjustment: &Adjustment) -> Option<Amount> {
    let payable = payable();
    match (adjustment.credit == payable, adjustment.debit == payable) {
        (true, _) => Some(adjustment.amount),
        (_, true) if adjustment.credit.is_a_cost() => Some(-adjustment.amount),
        _ => None,
    }
}

/// How the statement spells the models of a price list: it may know one by an alias.
#[derive(Clone)]
struct Spelling<'c> {
    catalog: &'c Catalog,
    /// By their places in the list.
    of_statement: HashMap<usize, String>,
    known: HashMap<String, Option<String>>,
}

impl<'c> Spelling<'c> {
    fn of(catalog: &'c Catalog, statement: &Statement) -> Spelling<'c> {
        let mut spelling = Spelling { catalog, of_statement: HashMap::new(), known: HashMap::new() };
        let mut models: Vec<&str> =
            statement.lines.iter().filter_map(|line| line.model).map(|model| statement.names.text(model)).collect();
        models.sort_unstable();
        models.dedup();
        for model in models {
            spelling.known.insert(model.to_owned(), None);
            if let Some(place) = spelling.place(model) {
                spelling.of_statement.entry(place).or_insert_with(|| model.to_owned());
            }
        }
        spelling
    }

    fn place(&self, model: &str) -> Option<usize> {
        let (provider, _) = self.catalog.provider(PROVIDER)?;
        self.catalog.model(provider, model).map(|(place, _)| place)
    }

    /// What the statement calls a model; what it calls the same, or not at all, stays.
    fn of_model<'m>(&'m mut self, model: &'m str) -> &'m str {
        if !self.known.contains_key(model) {
            let other = self.place(model).and_then(|place| self.of_statement.get(&place)).cloned();
            self.known.insert(model.to_owned(), other);
        }
        self.known[model].as_deref().unwrap_or(model)
    }
}

/// The part of a book that a statement of one key is about: what was sent with that key, and the generations that the
/// statement names, whatever their events call the key.
#[derive(Clone)]
struct Share<'s> {
    key: &'s str,
    generations: HashSet<&'s str>,
}

impl<'s> Share<'s> {
    fn of(stated: &'s Stated, statement: &'s Statement) -> Option<Share<'s>> {
        let generations = statement.by_id().iter().map(|(id, _)| statement.ids.text(*id));
        (!stated.account.is_empty()).then(|| Share { key: &stated.account, generations: generations.collect() })
    }

    fn has(&self, key: Option<&Text>, generation: Option<&Text>) -> bool {
        key.is_some_and(|key| **key == *self.key) || generation.is_some_and(|generation| self.generations.contains(&**generation))
    }
}

/// The book on its way into a comparison.
#[derive(Clone)]
struct Gathered<'c> {
    book: Book,
    spelling: Spelling<'c>,
    /// Nothing where the statement is of all keys.
    share: Option<Share<'c>>,
    /// What the statement calls keys, and whether a gateway calls any of them the same.
    keys: HashSet<&'c str>,
    tells_keys: bool,
    elsewhere: Vec<Sequence>,
    /// What adjustments are about, and the places of these calls by their generations and by their events.
    calls_adjusted: HashSet<Text>,
    events_adjusted: HashSet<EventNumber>,
    by_call: HashMap<Text, usize>,
    by_event: HashMap<EventNumber, usize>,
}

impl<'c> Gathered<'c> {
    fn new(spelling: Spelling<'c>, share: Option<Share<'c>>, statement: &'c Statement) -> Gathered<'c> {
        let keys = statement.lines.iter().filter_map(|line| line.key).collect::<HashSet<_>>();
        Gathered {
            book: Book::default(),
            spelling,
            share,
            keys: keys.into_iter().map(|key| statement.names.text(key)).collect(),
            tells_keys: false,
            elsewhere: Vec::new(),
            calls_adjusted: HashSet::new(),
            events_adjusted: HashSet::new(),
            by_call: HashMap::new(),
            by_event: HashMap::new(),
        }
    }

    fn call(&mut self, stored: &StoredEvent, standing: &[Entry], names: &Names) -> Result<(), FlowError> {
        let event = &stored.event;
        let generation = event.provider_request_id.as_ref();
        // What was fetched has its key from the provider.
        let by_gateway = event.owner.key.as_ref().filter(|_| *event.source != *FETCHED);
        self.tells_keys |= by_gateway.is_some_and(|key| self.keys.contains(&**key));
        let is_elsewhere = self.share.as_ref().is_some_and(|share| !share.has(event.owner.key.as_ref(), generation));
        if is_elsewhere && generation.is_none() {
            self.elsewhere.push(standing[0].sequence);
        }
        if is_elsewhere || (event.outcome.is_free() && generation.is_none()) {
            return Ok(());
        }
        let (mut amount, mut upstream, mut tools) = (Amount::ZERO, Amount::ZERO, Amount::ZERO);
        let owed = format!("{PAYABLE}{PROVIDER}");
        for entry in standing {
            let (debit, credit) = (names.text(entry.posting.debit())?, names.text(entry.posting.credit())?);
            match () {
                () if credit == owed => amount += entry.posting.amount(),
                () if debit == owed => amount = amount - entry.posting.amount(),
                () if credit.starts_with(PAYABLE) => upstream += entry.posting.amount(),
                () => {}
            }
            let is_tool = |meter: Meter| matches!(meter, Meter::WebSearch | Meter::WebFetch | Meter::ToolCall) && credit == owed;
            tools += entry.items.iter().filter(|item| is_tool(item.meter)).map(|item| item.amount).sum();
        }
        let first = &standing[0];
        let sum = |of: fn(&Entry) -> Option<Amount>| {
            let amounts: Vec<Amount> = standing.iter().filter_map(of).collect();
            (!amounts.is_empty()).then(|| amounts.into_iter().sum())
        };
        let byok = event.reported.as_ref().is_some_and(|reported| reported.byok);
        let flags = Flags::NONE
            .with(Flags::CANCELLED, event.outcome == Outcome::Cancelled)
            .with(Flags::BYOK, byok)
            .with(Flags::COUNTS_UNTOLD, !matches!(event.usage, Usage::Counted(_)));
        let book = &mut self.book;
        let product = &event.product;
        if self.events_adjusted.contains(&stored.row.event) {
            self.by_event.insert(stored.row.event, book.calls.len());
        }
        if let Some(generation) = generation.filter(|generation| self.calls_adjusted.contains(*generation)) {
            self.by_call.insert(generation.clone(), book.calls.len());
        }
        book.calls.push(&Booked {
            sequence: first.sequence,
            generation: generation.map(|id| book.ids.keep(id)),
            at: event.occurred_at,
            model: Some(book.names.name(self.spelling.of_model(&product.model))),
            served_by: product.served_by.as_ref().map(|name| book.names.name(name)),
            tier: product.service_tier.as_ref().map(|name| book.names.name(name)),
            requests: event.calls,
            tokens: event.quantities().map_or_else(Tokens::default, Tokens::of),
            amount,
            tools,
            rated: sum(|entry| entry.rated),
            reported: sum(|entry| entry.reported),
            upstream,
            flags,
        });
        Ok(())
    }

    /// A true-up belongs to the call whose amount it corrects, one of a true-up to what that one stands for. Answers the place
    /// of what it was added to, if it is of this book's share.
    fn adjustment(&mut self, adjusted: &Adjusted) -> Option<usize> {
        let Adjusted { adjustment, amount, corrected, record, own } = adjusted;
        let by_call = adjustment.about.call.as_ref().and_then(|call| self.by_call.get(call));
        let place = corrected.and_then(|event| self.by_event.get(&event)).or(by_call).copied();
        let is_elsewhere = self.share.as_ref().is_some_and(|share| !share.has(None, adjustment.about.call.as_ref()));
        if place.is_none() && is_elsewhere {
            return None;
        }
        self.by_event.insert(*record, place.unwrap_or(self.book.calls.len()));
        if let Some(place) = place {
            let call = self.book.calls.get(place);
            self.book.calls.replace(place, &Booked { amount: call.amount + *amount, ..call });
            return Some(place);
        }
        let book = &mut self.book;
        let About { model, served_by, call, .. } = &adjustment.about;
        let model = model.as_deref().map(|model| self.spelling.of_model(model));
        if let Some(call) = call {
            self.by_call.insert(call.clone(), book.calls.len());
        }
        book.calls.push(&Booked {
            sequence: *own,
            generation: call.as_ref().map(|call| book.ids.keep(call)),
            at: adjustment.occurred_at,
            model: model.map(|model| book.names.name(model)),
            served_by: served_by.as_ref().map(|name| book.names.name(name)),
            tier: None,
            requests: 0,
            tokens: Tokens::default(),
            amount: *amount,
            tools: Amount::ZERO,
            rated: None,
            reported: None,
            upstream: Amount::ZERO,
            flags: Flags::COUNTS_UNTOLD,
        });
        Some(self.book.calls.len() - 1)
    }
}
