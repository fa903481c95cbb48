//! One commit's share of one book: what it adds is gathered here, gets its numbers, and is written and sealed as a block.
//! Names, owners and products are interned on the way, from memory where it knows them.

use crate::bytes::Writer;
use crate::flow::{FlowError, InForce};
use crate::id::{EventNumber, NameId, Org, OwnerId, ProductId, Sequence};
use crate::ledger::items::Item;
use crate::ledger::seal::{self, BlockHash, Dimensions, EventRow, Header, Sealer, State};
use crate::ledger::{self, Entry, EntryKind, Posting};
use crate::rating::{Party, RATER, Rated};
use crate::store::{
    Block, Conflict, Head, HeldEvent, NameKind, NewName, OWNER_KINDS, OnceKey, PRODUCT_KINDS, Store, StoreError, Suspect, Write,
};
use crate::time::Instant;
use crate::usage::record::write_record;
use crate::usage::{Owner, Product, Text, UsageEvent};
use hashbrown::{Equivalent, HashMap, HashSet};

/// Numbers that are known without asking the database. They never change their meaning, but those that a transaction made
/// up are only true once it has committed: whoever commits calls [`NameCache::settle`]. A transaction that never says so,
/// because it failed or because nobody waits for it any more, leaves them unsettled, and the next booking forgets them.
#[derive(Default)]
pub struct NameCache {
    unsettled: bool,
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

    fn begin(&mut self, erased_names: i64) {
        let too_large = self.names.len() > MOST || self.owners.len() > MOST || self.products.len() > MOST;
        // What another process erased must not be booked under the number that it had.
        if self.unsettled || too_large || self.erased_names != erased_names {
            self.forget();
        }
        self.erased_names = erased_names;
        self.unsettled = true;
    }
}

/// What a block came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub org: Org,
    pub block: crate::id::BlockNumber,
    pub hash: BlockHash,
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
        cache.begin(head.erased_names);
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
        let account_of_owner = |owner: &Owner, event: &UsageEvent| ledger::account(Party::Owner, owner, &event.product);
        let mut texts: HashSet<(NameKind, &str)> = HashSet::new();
        // In the order in which they first appear, so that the same events give the same numbers.
        let (mut owners, mut products) = (Vec::new(), Vec::new());
        let (mut seen_owners, mut seen_products) = (HashSet::new(), HashSet::new());
        for (event, rated) in events.clone() {
            // Whom the producer names, and who bears it by rule.
            for owner in std::iter::once(&event.owner).chain(rated.and_then(|rated| rated.owner.as_deref())) {
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
                accounts.insert(ledger::account(Party::Provider, &event.owner, &event.product));
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
                    accounts.insert(ledger::account(party, rated.owner(event), &event.product));
                }
            }
        }
        texts.extend(accounts.iter().map(|account| (NameKind::Account, account.as_str())));
        self.intern_names(write, texts).await?;

        for (owner, event) in owners {
            let dimensions = self.numbers(owner.dimensions().map(|(_, text)| text), OWNER_KINDS);
            let number = match write.find_owner(self.org(), &dimensions).await? {
                Some(number) => number,
                None => {
                    let number = self.head.next_owner;
                    self.head.next_owner = number.next();
                    self.owners.push((number, dimensions));
                    number
                }
            };
            let account = self.name(NameKind::Account, &account_of_owner(owner, event));
            self.cache.owners.insert(owner.clone(), Borne { owner: number, account });
        }
        for event in products {
            let product = &event.product;
            let dimensions = self.numbers(product.dimensions().map(|(_, text)| text), PRODUCT_KINDS);
            let number = match write.find_product(self.org(), &dimensions).await? {
                Some(number) => number,
                None => {
                    let number = self.head.next_product;
                    self.head.next_product = number.next();
                    self.products.push((number, dimensions));
                    number
                }
            };
            let account = self.name(NameKind::Account, &ledger::account(Party::Provider, &event.owner, &event.product));
            self.cache.products.insert(product.clone(), Bought { product: number, account });
        }
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
        let bought = self.cache.products[&event.product];
        let owner = rated.owner(event);
        let borne = self.cache.owners[owner];
        let source = self.name(NameKind::Source, &event.source);
        let card = |label: &str| self.name(NameKind::Card, label);
        let account = |party| match party {
            Party::Owner => borne.account,
            Party::Provider => bought.account,
            Party::Upstream | Party::Margin => self.name(NameKind::Account, &ledger::account(party, owner, &event.product)),
        };
        let period = ledger::landing(event.occurred_at, self.head.first_open);
        let mut entries = Vec::with_capacity(rated.charges.len());
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
                calls: if first { event.calls } else { 0 },
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
        Ok(entries)
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
    pub async fn seal(mut self, write: &mut Write, now: Instant) -> Result<(Sealed, Vec<(Org, OnceKey, i64)>), StoreError> {
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
        write.insert_events(org, &self.events).await?;
        write.insert_entries(org, &self.entries).await?;
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
        Ok((Sealed { org, block: self.head.block, hash }, self.keys))
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
