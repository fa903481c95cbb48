//! One commit's share of one book: what it adds is gathered here, gets its numbers, and is written and sealed as a block.
//! Names, owners and products are interned on the way, from memory where it knows them.

use crate::bytes::Writer;
use crate::catalog::resolution::Layer;
use crate::flow::{FlowError, InForce};
use crate::id::{EventNumber, NameId, Org, OwnerId, ProductId, Sequence, Version};
use crate::ledger::decision::{Adjustment, SOURCE};
use crate::ledger::items::Item;
use crate::ledger::seal::{self, BlockHash, Dimensions, EventRow, Header, Sealer, State};
use crate::ledger::{self, Entry, EntryKind, Posting};
use crate::rating::share::Portion;
use crate::rating::{Party, RATER, Rated};
use crate::store::{
    Block, Conflict, Head, HeldEvent, NameKind, NewName, OWNER_KINDS, OnceKey, PRODUCT_KINDS, Store, StoreError, Suspect, Write,
};
use crate::time::Instant;
use crate::usage::record::write_record;
use crate::usage::{Meter, Outcome, Owner, Product, Text, UsageEvent};
use hashbrown::{Equivalent, HashMap, HashSet};

/// Numbers that are known without asking the database. They never change their meaning, but those that a transaction made
/// up are only true once it has committed: whoever commits calls [`NameCache::settle`]. A transaction that never says so,
/// because it failed or because nobody waits for it any more, leaves them unsettled, and the next booking forgets them.
#[derive(Default)]
pub struct NameCache {
    unsettled: bool,
    /// The rules under which the accounts in it were made.
    version: Option<Version>,
    /// How many names of the book had been erased when these were learned.
    erased_names: i64,
    names: HashMap<NameKey, NameId>,
    owners: HashMap<Owner, Borne>,
    products: HashMap<Product, Bought>,
}

/// An owner's number and account.
#[derive(Clone, Copy)]
struct Borne {
    owner: OwnerId,
    account: NameId,
}

/// A product's number and the account of its provider.
#[derive(Clone, Copy)]
struct Bought {
    product: ProductId,
    account: NameId,
}

#[derive(PartialEq, Eq, Hash)]
struct NameKey {
    kind: NameKind,
    text: Box<str>,
}

#[derive(Hash)]
struct NameText<'a> {
    kind: NameKind,
    text: &'a str,
}

impl Equivalent<NameKey> for NameText<'_> {
    fn equivalent(&self, key: &NameKey) -> bool {
        self.kind == key.kind && *self.text == *key.text
    }
}

/// Beyond this many numbers of one sort the memory starts afresh; the database knows them all.
const MOST: usize = 200_000;

impl NameCache {
    pub fn forget(&mut self) {
        *self = NameCache::default();
    }

    /// Everything in it is in the database now.
    pub fn settle(&mut self) {
        self.unsettled = false;
    }

    fn name(&self, kind: NameKind, text: &str) -> Option<NameId> {
        self.names.get(&NameText { kind, text }).copied()
    }

    fn begin(&mut self, version: Version, erased_names: i64) {
        let too_large = self.names.len() > MOST || self.owners.len() > MOST || self.products.len() > MOST;
        // What another process erased must not be booked under the number that it had.
        if self.unsettled || too_large || self.erased_names != erased_names {
            self.forget();
        }
        self.erased_names = erased_names;
        // Another version may make other accounts.
        if self.version.replace(version) != Some(version) {
            self.owners.clear();
        }
        self.unsettled = true;
    }
}

/// What a block came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub org: Org,
    pub block: crate::id::BlockNumber,
    pub hash: BlockHash,
    /// The entry that comes after its last one.
    pub until: Sequence,
}

/// Everything one commit adds to one book.
pub struct Booking<'c> {
    pub head: Head,
    pub in_force: InForce,
    cache: &'c mut NameCache,
    names: Vec<NewName>,
    owners: Vec<(OwnerId, Dimensions)>,
    products: Vec<(ProductId, Dimensions)>,
    events: Vec<EventRow>,
    entries: Vec<Entry>,
    held: Vec<HeldEvent>,
    released: Vec<EventNumber>,
    conflicts: Vec<Conflict>,
    suspects: Vec<Suspect>,
    keys: Vec<(Org, OnceKey, i64)>,
    /// Salts of new names come from this, so that one question to the operating system is enough.
    salt: [u8; 32],
    scratch: Writer,
}

impl<'c> Booking<'c> {
    pub fn new(head: Head, in_force: InForce, cache: &'c mut NameCache) -> Booking<'c> {
        cache.begin(in_force.version, head.erased_names);
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).expect("the operating system has random numbers");
        Booking {
            head,
            in_force,
            cache,
            names: Vec::new(),
            owners: Vec::new(),
            products: Vec::new(),
            events: Vec::new(),
            entries: Vec::new(),
            held: Vec::new(),
            released: Vec::new(),
            conflicts: Vec::new(),
            suspects: Vec::new(),
            keys: Vec::new(),
            salt,
            scratch: Writer::with_capacity(256),
        }
    }

    pub fn org(&self) -> Org {
        self.head.org
    }

    /// Gives numbers to all that these events and their charges name, so that everything after this needs no database.
    pub async fn intern<'e>(
        &mut self,
        write: &mut Write,
        events: impl Iterator<Item = (&'e UsageEvent, Option<&'e Rated>)> + Clone,
    ) -> Result<(), FlowError> {
        let mut accounts: HashSet<String> = HashSet::new();
        let rules = self.in_force.catalog.clone();
        let cost = rules.rules().cost();
        let account_of_owner = |owner: &Owner, event: &UsageEvent| ledger::account(Party::Owner, cost, owner, &event.product);
        let mut texts: HashSet<(NameKind, &str)> = HashSet::new();
        // In the order in which they first appear, so that the same events give the same numbers.
        let (mut owners, mut products) = (Vec::new(), Vec::new());
        let (mut seen_owners, mut seen_products) = (HashSet::new(), HashSet::new());
        for (event, rated) in events.clone() {
            // Whom the producer names, and who bears it by rule.
            let shares = rated.map_or(&[][..], |rated| &rated.shares).iter().map(|share| &share.owner);
            for owner in std::iter::once(&event.owner).chain(rated.and_then(|rated| rated.owner.as_deref())).chain(shares) {
                if self.cache.owners.contains_key(owner) || !seen_owners.insert(owner) {
                    continue;
                }
                owners.push((owner, event));
                accounts.insert(account_of_owner(owner, event));
                let parts = owner.dimensions().into_iter().zip(OWNER_KINDS);
                texts.extend(parts.filter_map(|((_, text), kind)| Some((kind, &**text?))));
            }
            if !self.cache.products.contains_key(&event.product) && seen_products.insert(&event.product) {
                products.push(event);
                accounts.insert(ledger::account(Party::Provider, cost, &event.owner, &event.product));
                let parts = event.product.dimensions().into_iter().zip(PRODUCT_KINDS);
                texts.extend(parts.filter_map(|((_, text), kind)| Some((kind, &**text?))));
            }
            texts.insert((NameKind::Source, &event.source));
            let Some(rated) = rated else { continue };
            let cards = rated.charges.iter().flat_map(|charge| &charge.items).filter_map(|item| item.card.as_deref());
            texts.extend(cards.chain(rated.card.as_deref()).map(|card| (NameKind::Card, card)));
            texts.extend(rated.above.as_deref().map(|ceiling| (NameKind::Ceiling, ceiling)));
            for party in rated.charges.iter().flat_map(|charge| [charge.debit, charge.credit]) {
                if matches!(party, Party::Upstream | Party::Margin) {
                    accounts.insert(ledger::account(party, cost, rated.owner(event), &event.product));
                }
            }
        }
        texts.extend(accounts.iter().map(|account| (NameKind::Account, account.as_str())));
        self.intern_names(write, texts).await?;

        for (owner, event) in owners {
            let number = self.owner_number(write, owner).await?;
            let account = self.name(NameKind::Account, &account_of_owner(owner, event));
            self.cache.owners.insert(owner.clone(), Borne { owner: number, account });
        }
        for event in products {
            let product = &event.product;
            let number = self.product_number(write, product.dimensions().map(|(_, text)| text)).await?;
            let account = self.name(NameKind::Account, &ledger::account(Party::Provider, cost, &event.owner, &event.product));
            self.cache.products.insert(product.clone(), Bought { product: number, account });
        }
        Ok(())
    }

    /// The number of an owner whose names have theirs.
    async fn owner_number(&mut self, write: &mut Write, owner: &Owner) -> Result<OwnerId, FlowError> {
        let dimensions = self.numbers(owner.dimensions().map(|(_, text)| text), OWNER_KINDS);
        if let Some(number) = write.find_owner(self.org(), &dimensions).await? {
            return Ok(number);
        }
        let number = self.head.next_owner;
        self.head.next_owner = number.next();
        self.owners.push((number, dimensions));
        Ok(number)
    }

    async fn product_number(&mut self, write: &mut Write, parts: [Option<&Text>; 7]) -> Result<ProductId, FlowError> {
        let dimensions = self.numbers(parts, PRODUCT_KINDS);
        if let Some(number) = write.find_product(self.org(), &dimensions).await? {
            return Ok(number);
        }
        let number = self.head.next_product;
        self.head.next_product = number.next();
        self.products.push((number, dimensions));
        Ok(number)
    }

    /// Records what a person decided, once under its key; answers the number of the record.
    pub async fn decide(
        &mut self,
        write: &mut Write,
        state: State,
        id: &str,
        body: String,
        key: OnceKey,
    ) -> Result<EventNumber, FlowError> {
        // Also so that the memory of keys knows what another process wrote meanwhile.
        if write.find_once(self.org(), &[key]).await?[0].is_some() {
            return Err(FlowError::Refused(format!("{id} was decided already")));
        }
        self.intern_names(write, HashSet::from([(NameKind::Source, SOURCE)])).await?;
        let number = EventNumber(self.head.next_record);
        self.head.next_record += 1;
        let source = self.name(NameKind::Source, SOURCE);
        let content = crate::usage::first_16(blake3::hash(body.as_bytes()));
        let (id, body) = (id.to_owned(), body.into_bytes());
        let row = EventRow { record: number.0, event: number, revision: 0, state, about: None, source, id, content, body };
        self.events.push(row);
        self.remember(key, number);
        Ok(number)
    }

    /// Posts what an adjustment moves.
    pub async fn adjust(&mut self, write: &mut Write, adjustment: &Adjustment, number: EventNumber) -> Result<(), FlowError> {
        let (provider, parts) = (adjustment.provider(), adjustment.parts(self.in_force.catalog.rules().cost()));
        let mut texts: HashSet<(NameKind, &str)> = HashSet::from([(NameKind::Reason, &*adjustment.reason)]);
        texts.extend(provider.as_deref().map(|provider| (NameKind::Provider, provider)));
        let about = &adjustment.about;
        texts.extend(about.model.as_deref().map(|model| (NameKind::Model, model)));
        texts.extend(about.served_by.as_deref().map(|name| (NameKind::ServedBy, name)));
        for part in &parts {
            texts.extend([(NameKind::Account, part.debit.as_str()), (NameKind::Account, part.credit.as_str())]);
            let named = part.owner.dimensions().into_iter().zip(OWNER_KINDS);
            texts.extend(named.filter_map(|((_, text), kind)| Some((kind, &**text?))));
        }
        self.intern_names(write, texts).await?;
        let bought = [provider.as_ref(), about.model.as_ref(), None, about.served_by.as_ref(), None, None, None];
        let product = self.product_number(write, bought).await?;
        let mut entries = Vec::with_capacity(parts.len());
        for part in &parts {
            let (debit, credit) = (self.name(NameKind::Account, &part.debit), self.name(NameKind::Account, &part.credit));
            let posting = Posting::new(debit, credit, adjustment.amount, adjustment.currency);
            let whole = Item {
                meter: Meter::Whole,
                quantity: 1,
                rate: None,
                amount: adjustment.amount,
                inherited_from: None,
                card: None,
            };
            entries.push(Entry {
                sequence: Sequence(0),
                kind: EntryKind::Adjustment,
                event: Some(number),
                turn: 0,
                reverses: None,
                occurred_at: adjustment.occurred_at,
                period: ledger::landing(adjustment.occurred_at, self.head.first_open),
                source: self.name(NameKind::Source, SOURCE),
                owner: self.owner_number(write, &part.owner).await?,
                product,
                posting: posting.map_err(|e| FlowError::Refused(e.to_string()))?,
                outcome: Outcome::Succeeded,
                calls: 0,
                estimated: false,
                rated: None,
                reported: None,
                list: None,
                layer: Layer::Decision,
                card: None,
                above: None,
                reason: Some(self.name(NameKind::Reason, &adjustment.reason)),
                items: vec![whole],
            });
        }
        self.post(entries);
        Ok(())
    }

    async fn intern_names(&mut self, write: &mut Write, texts: HashSet<(NameKind, &str)>) -> Result<(), FlowError> {
        let mut unknown: Vec<(NameKind, &str)> =
            texts.into_iter().filter(|(kind, text)| self.cache.name(*kind, text).is_none()).collect();
        // In a fixed order, so that the same events give the same numbers.
        unknown.sort_unstable();
        for of_kind in unknown.chunk_by(|a, b| a.0 == b.0) {
            let kind = of_kind[0].0;
            let wanted: Vec<String> = of_kind.iter().map(|(_, text)| (*text).to_owned()).collect();
            let found = write.find_names(self.org(), kind, &wanted).await?;
            for text in wanted {
                let name = match found.get(&text) {
                    Some(name) => *name,
                    None => {
                        let name = self.head.next_name;
                        self.head.next_name = name.next();
                        let salt = blake3::keyed_hash(&self.salt, &name.0.to_be_bytes());
                        self.names.push(NewName { name, kind, text: text.clone(), salt: crate::usage::first_16(salt) });
                        name
                    }
                };
                self.cache.names.insert(NameKey { kind, text: text.into() }, name);
            }
        }
        Ok(())
    }

    /// The number of the reason for which events are booked again.
    pub async fn intern_reason(&mut self, write: &mut Write, reason: &str) -> Result<NameId, FlowError> {
        self.intern_names(write, HashSet::from([(NameKind::Reason, reason)])).await?;
        Ok(self.name(NameKind::Reason, reason))
    }

    fn numbers(&self, parts: [Option<&Text>; 7], kinds: [NameKind; 7]) -> Dimensions {
        let mut numbers = [0; 7];
        for ((number, part), kind) in numbers.iter_mut().zip(parts).zip(kinds) {
            *number = part.map_or(0, |text| self.name(kind, text).0);
        }
        numbers
    }

    fn name(&self, kind: NameKind, text: &str) -> NameId {
        self.cache.name(kind, text).expect("everything an event names was interned before it is recorded")
    }

    /// Records an event's content: the first under its id, or a further revision of an event that is there already.
    pub fn record(
        &mut self,
        event: &UsageEvent,
        content: [u8; 16],
        state: State,
        revises: Option<(EventNumber, u32)>,
        about: Option<EventNumber>,
    ) -> i64 {
        let record = self.head.next_record;
        self.head.next_record += 1;
        let source = self.name(NameKind::Source, &event.source);
        let (product, owner) = (self.cache.products[&event.product].product, self.cache.owners[&event.owner].owner);
        self.scratch.clear();
        write_record(event, source, product, owner, &mut self.scratch);
        let (number, revision) = revises.unwrap_or((EventNumber(record), 0));
        let (id, body) = (event.id.to_string(), self.scratch.as_slice().to_vec());
        self.events.push(EventRow { record, event: number, revision, state, about, source, id, content, body });
        record
    }

    /// A key that stands for an event from now on.
    pub fn remember(&mut self, key: OnceKey, event: EventNumber) {
        self.keys.push((self.head.org, key, event.0));
    }

    /// The charges of an event as entries that have no number yet.
    pub fn charges(
        &self,
        number: EventNumber,
        event: &UsageEvent,
        rated: &Rated,
        turn: u32,
    ) -> Result<Vec<Entry>, ledger::NoPosting> {
        let mut entries = Vec::with_capacity(rated.charges.len());
        for portion in rated.portions(event) {
            self.charge_portion(number, event, &portion, turn, &mut entries)?;
        }
        Ok(entries)
    }

    /// What one owner bears of it.
    fn charge_portion(
        &self,
        number: EventNumber,
        event: &UsageEvent,
        portion: &Portion<'_>,
        turn: u32,
        entries: &mut Vec<Entry>,
    ) -> Result<(), ledger::NoPosting> {
        let (owner, rated) = (portion.owner, &*portion.rated);
        let bought = self.cache.products[&event.product];
        let borne = self.cache.owners[owner];
        let cost = self.in_force.catalog.rules().cost();
        let source = self.name(NameKind::Source, &event.source);
        let card = |label: &str| self.name(NameKind::Card, label);
        let account = |party| match party {
            Party::Owner => borne.account,
            Party::Provider => bought.account,
            Party::Upstream | Party::Margin => self.name(NameKind::Account, &ledger::account(party, cost, owner, &event.product)),
        };
        let period = ledger::landing(event.occurred_at, self.head.first_open);
        for (place, charge) in rated.charges.iter().enumerate() {
            let posting = Posting::new(account(charge.debit), account(charge.credit), charge.amount, rated.currency)?;
            let items = charge.items.iter().map(|item| Item {
                meter: item.meter,
                quantity: item.quantity,
                rate: item.rate,
                amount: item.amount,
                inherited_from: item.inherited_from,
                card: item.card.as_deref().map(card),
            });
            // The first charge carries the call: its count, and what was said of its amount.
            let first = place == 0;
            entries.push(Entry {
                sequence: Sequence(0),
                kind: EntryKind::Charge,
                event: Some(number),
                turn,
                reverses: None,
                occurred_at: event.occurred_at,
                period,
                source,
                owner: borne.owner,
                product: bought.product,
                posting,
                outcome: event.outcome,
                calls: if first { portion.calls } else { 0 },
                estimated: event.estimated,
                rated: rated.rated.filter(|_| first),
                reported: rated.reported.filter(|_| first),
                list: rated.list.filter(|_| first),
                layer: rated.layer,
                card: rated.card.as_deref().filter(|_| first).map(card),
                above: rated.above.as_deref().filter(|_| first).map(|ceiling| self.name(NameKind::Ceiling, ceiling)),
                reason: None,
                items: items.collect(),
            });
        }
        Ok(())
    }

    /// Takes entries into the block, in this order; answers the number of the first.
    pub fn post(&mut self, entries: Vec<Entry>) -> Sequence {
        let first = self.head.next_sequence;
        for entry in entries {
            let sequence = self.head.next_sequence;
            self.head.next_sequence = sequence.next();
            self.entries.push(Entry { sequence, ..entry });
        }
        first
    }

    pub fn hold(&mut self, held: HeldEvent) {
        self.held.push(held);
    }

    /// Takes an event off the list of what is held, because it is posted or because its reason changed.
    pub fn release(&mut self, event: EventNumber) {
        self.released.push(event);
    }

    pub fn conflict(&mut self, conflict: Conflict) {
        self.conflicts.push(conflict);
    }

    pub fn suspect(&mut self, suspect: Suspect) {
        self.suspects.push(suspect);
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.entries.is_empty()
    }

    /// Not even a work list changes.
    pub fn changes_nothing(&self) -> bool {
        self.is_empty() && self.released.is_empty() && self.held.is_empty()
    }

    /// Writes everything, seals it and moves the head. Nothing has happened until the transaction commits.
    pub async fn seal(&mut self, write: &mut Write, now: Instant) -> Result<(Sealed, Vec<(Org, OnceKey, i64)>), StoreError> {
        let org = self.org();
        let header = Header {
            block: self.head.block.next(),
            previous: self.head.hash,
            format: seal::FORMAT,
            version: self.in_force.version,
            catalog: self.in_force.hash,
            rater: RATER,
            // Time never stands still or runs back in a book, whatever the clock does.
            sealed_at: now.max(Instant::from_micros(self.head.sealed_at.micros() + 1)),
        };
        let mut sealer = Sealer::new(&header);
        for name in &self.names {
            sealer.name(name.name, name.kind as u8, &name.hash());
        }
        for (owner, dimensions) in &self.owners {
            sealer.owner(*owner, dimensions);
        }
        for (product, dimensions) in &self.products {
            sealer.product(*product, dimensions);
        }
        for event in &self.events {
            sealer.event(event);
        }
        for entry in &self.entries {
            sealer.entry(entry);
        }
        let (hash, marks) = sealer.finish();

        write.insert_names(org, &self.names).await?;
        write.insert_owners(org, &self.owners).await?;
        write.insert_products(org, &self.products).await?;
        let sealed_in = header.sealed_at.month();
        write.insert_events(org, &self.events, sealed_in).await?;
        write.insert_entries(org, &self.entries, sealed_in).await?;
        write.release(org, &self.released).await?;
        write.hold(org, &self.held).await?;
        write.insert_conflicts(org, &self.conflicts).await?;
        write.insert_suspects(org, &self.suspects).await?;

        let occurred = self.entries.iter().map(|entry| entry.occurred_at);
        let block = Block {
            hash,
            records: (self.head.next_record - self.events.len() as i64, self.head.next_record),
            sequences: (self.head.next_sequence.0 - self.entries.len() as i64, self.head.next_sequence.0),
            name_until: self.head.next_name.0,
            owner_until: self.head.next_owner.0,
            product_until: self.head.next_product.0,
            occurred: occurred.clone().min().zip(occurred.max()),
            marks,
            header,
        };
        write.insert_block(org, &block).await?;
        self.head.block = block.header.block;
        self.head.hash = hash;
        self.head.sealed_at = block.header.sealed_at;
        write.move_head(&self.head).await?;
        let sealed = Sealed { org, block: self.head.block, hash, until: self.head.next_sequence };
        Ok((sealed, std::mem::take(&mut self.keys)))
    }

    /// Seals and commits. If the answer is lost, nobody is told anything until the book itself has said whether it happened.
    pub async fn commit(mut self, mut write: Write, store: &Store) -> Result<(), FlowError> {
        let (sealed, keys) = self.seal(&mut write, crate::flow::now()).await?;
        write.remember_once(&keys).await?;
        if let Err(e) = write.commit().await
            && !has_happened(store, &[sealed]).await
        {
            return Err(e.into());
        }
        self.cache.settle();
        Ok(())
    }
}

/// Whether a commit whose answer was lost has happened: the head is locked, so nobody else can be in between, and asked
/// for the block. Waits for the database as long as it takes.
pub async fn has_happened(store: &Store, sealed: &[Sealed]) -> bool {
    let mut pause = std::time::Duration::from_millis(50);
    loop {
        match ask_for(store, sealed).await {
            Ok(answer) => return answer,
            Err(e) => {
                tracing::warn!(error = %e.in_full(), "the answer to a commit was lost and the database does not say; asking again")
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(std::time::Duration::from_secs(2));
    }
}

async fn ask_for(store: &Store, sealed: &[Sealed]) -> Result<bool, StoreError> {
    let mut write = store.begin().await?;
    let orgs: Vec<Org> = sealed.iter().map(|sealed| sealed.org).collect();
    write.lock_heads(&orgs).await?;
    for block in sealed {
        if store.block_hash(block.org, block.block).await? != Some(block.hash) {
            return Ok(false);
        }
    }
    Ok(true)
}
