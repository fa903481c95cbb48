//! Sealing: the bytes of a block, and the hash that chains it to the block before. A block covers every row that its
//! commit added to a book: names (by a salted hash, so that one can be erased without breaking the chain), owners,
//! products, events and entries, each in the order of its number. Format 1 never changes; a new one gets a new number.
//!
//! Beside the hash a block keeps four bytes of each record's own hash, so that a broken record can be named and not only
//! its block.

use crate::bytes::Writer;
use crate::id::{BlockNumber, EventNumber, NameId, OwnerId, ProductId, Version};
use crate::ledger::{Entry, items};
use crate::time::Instant;

pub const FORMAT: u16 = 1;

/// The hash that a book's head carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockHash(pub [u8; 32]);

/// What a block says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    pub block: BlockNumber,
    pub previous: BlockHash,
    pub format: u16,
    pub version: Version,
    /// The content hash of that catalog version.
    pub catalog: [u8; 32],
    pub rater: u16,
    pub sealed_at: Instant,
}

/// What happened to an event when it was recorded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum State {
    Posted = 1,
    Held = 2,
    /// Tells of a call that another source's event already booked.
    Evidence = 3,
    /// Contradicts what its id already means; kept, not posted.
    Conflict = 4,
    /// Tells of a call that another source's event holds, and it is on this word that the call is booked.
    Promoted = 5,
    /// No event but a decision: an amount that was moved, a month that was closed, or opened again.
    Adjusted = 6,
    Closed = 7,
    Reopened = 8,
    /// A statement that was received.
    Stated = 9,
}

/// An event as a book keeps it, apart from its dimensions by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventRow {
    /// Its place among all that the book recorded.
    pub record: i64,
    /// The event it gives new content to; itself where it is the first.
    pub event: EventNumber,
    pub revision: u32,
    pub state: State,
    /// The event it is evidence of.
    pub about: Option<EventNumber>,
    pub source: NameId,
    pub id: String,
    pub content: [u8; 16],
    pub body: Vec<u8>,
}

/// The record on whose word an event is booked, of its own revisions and of what others say of its call: the newest, but
/// what is mere evidence decides nothing while another word does.
pub fn decides<'r>(event: EventNumber, rows: impl IntoIterator<Item = &'r EventRow>) -> Option<&'r EventRow> {
    let rank = |row: &EventRow| match row.state {
        State::Conflict | State::Adjusted | State::Closed | State::Reopened | State::Stated => None,
        State::Evidence => (row.event == event).then_some((0, row.record)),
        State::Posted | State::Held => (row.event == event).then_some((1, row.record)),
        State::Promoted if row.event == event => Some((0, row.record)),
        State::Promoted => (row.about == Some(event)).then_some((1, row.record)),
    };
    rows.into_iter().filter_map(|row| Some((rank(row)?, row))).max_by_key(|(rank, _)| *rank).map(|(_, row)| row)
}

/// Seven dimensions of an owner or a product as numbers of names; 0 where there is none.
pub type Dimensions = [i64; 7];

/// Takes a block's records in order and gives its hash.
pub struct Sealer {
    hasher: blake3::Hasher,
    marks: Vec<u8>,
    scratch: Writer,
}

/// What the records of each kind begin with.
mod tag {
    pub const NAME: u8 = 1;
    pub const OWNER: u8 = 2;
    pub const PRODUCT: u8 = 3;
    pub const EVENT: u8 = 4;
    pub const ENTRY: u8 = 5;
}

impl BlockHash {
    /// What the first block of a book chains to.
    pub fn of_empty_book(org: &str) -> BlockHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"farthing book 1\0");
        hasher.update(org.as_bytes());
        BlockHash(*hasher.finalize().as_bytes())
    }

    /// Its first thirteen hexadecimal digits as a number: as much of it as a monitoring system keeps exactly.
    pub fn first_52_bits(self) -> u64 {
        let first: [u8; 8] = self.0[..8].try_into().expect("a hash has more than eight bytes");
        u64::from_be_bytes(first) >> 12
    }
}

/// The hash that stands for a name in a block; without its salt nobody can test a guess against it.
pub fn name_hash(salt: &[u8; 16], kind: u8, text: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(&[*salt, *salt].concat().try_into().expect("twice sixteen is thirty-two"));
    hasher.update(&[kind]);
    hasher.update(text.as_bytes());
    *hasher.finalize().as_bytes()
}

impl Sealer {
    pub fn new(header: &Header) -> Sealer {
        let mut bytes = Writer::new();
        bytes.number(u64::from(header.format));
        bytes.signed(header.block.0);
        bytes.raw(&header.previous.0);
        bytes.signed(header.version.0);
        bytes.raw(&header.catalog);
        bytes.number(u64::from(header.rater));
        bytes.signed(header.sealed_at.micros());
        let mut hasher = blake3::Hasher::new();
        hasher.update(bytes.as_slice());
        Sealer { hasher, marks: Vec::new(), scratch: Writer::with_capacity(256) }
    }

    pub fn name(&mut self, name: NameId, kind: u8, hash: &[u8; 32]) {
        self.record(tag::NAME, |bytes| {
            bytes.signed(name.0);
            bytes.byte(kind);
            bytes.raw(hash);
        });
    }

    pub fn owner(&mut self, owner: OwnerId, dimensions: &Dimensions) {
        self.record(tag::OWNER, |bytes| write_dimensions(owner.0, dimensions, bytes));
    }

    pub fn product(&mut self, product: ProductId, dimensions: &Dimensions) {
        self.record(tag::PRODUCT, |bytes| write_dimensions(product.0, dimensions, bytes));
    }

    pub fn event(&mut self, event: &EventRow) {
        self.record(tag::EVENT, |bytes| {
            bytes.signed(event.record);
            bytes.signed(event.event.0);
            bytes.number(u64::from(event.revision));
            bytes.byte(event.state as u8);
            bytes.signed(event.about.map_or(0, |about| about.0));
            bytes.signed(event.source.0);
            bytes.text(&event.id);
            bytes.raw(&event.content);
            bytes.blob(&event.body);
        });
    }

    pub fn entry(&mut self, entry: &Entry) {
        self.record(tag::ENTRY, |bytes| write_entry(entry, bytes));
    }

    /// The block's hash, and the marks of its records in order.
    pub fn finish(self) -> (BlockHash, Vec<u8>) {
        (BlockHash(*self.hasher.finalize().as_bytes()), self.marks)
    }

    fn record(&mut self, tag: u8, write: impl FnOnce(&mut Writer)) {
        self.scratch.clear();
        self.scratch.byte(tag);
        write(&mut self.scratch);
        let hash = blake3::hash(self.scratch.as_slice());
        self.hasher.update(hash.as_bytes());
        self.marks.extend_from_slice(&hash.as_bytes()[..MARK]);
    }
}

/// Bytes of a record's hash that a block keeps.
pub const MARK: usize = 4;

fn write_dimensions(number: i64, dimensions: &Dimensions, to: &mut Writer) {
    to.signed(number);
    for dimension in dimensions {
        to.signed(*dimension);
    }
}

fn write_entry(entry: &Entry, to: &mut Writer) {
    to.signed(entry.sequence.0);
    to.byte(entry.kind as u8);
    to.signed(entry.event.map_or(0, |event| event.0));
    to.number(u64::from(entry.turn));
    to.signed(entry.reverses.map_or(0, |reversed| reversed.0));
    to.signed(entry.occurred_at.micros());
    to.signed(i64::from(entry.period.number()));
    to.signed(entry.source.0);
    to.signed(entry.owner.0);
    to.signed(entry.product.0);
    to.signed(entry.posting.debit().0);
    to.signed(entry.posting.credit().0);
    to.amount(entry.posting.amount());
    to.raw(&entry.posting.currency().bytes());
    to.byte(entry.outcome as u8);
    to.number(entry.calls);
    to.byte(u8::from(entry.estimated));
    for amount in [entry.rated, entry.reported, entry.list] {
        to.byte(u8::from(amount.is_some()));
        to.amount(amount.unwrap_or_default());
    }
    to.byte(entry.layer as u8);
    for name in [entry.card, entry.above, entry.reason] {
        to.signed(name.map_or(0, |name| name.0));
    }
    items::write(&entry.items, to);
}

impl State {
    /// Whether it can be what its event means: a contradiction only does once it is accepted, as a revision of its own.
    pub fn stands(self) -> bool {
        self != State::Conflict && !self.is_a_decision()
    }

    pub const fn is_a_decision(self) -> bool {
        matches!(self, State::Adjusted | State::Closed | State::Reopened | State::Stated)
    }

    pub const fn name(self) -> &'static str {
        match self {
            State::Posted => "posted",
            State::Held => "held",
            State::Evidence => "evidence",
            State::Conflict => "conflict",
            State::Promoted => "promoted",
            State::Adjusted => "adjusted",
            State::Closed => "closed",
            State::Reopened => "reopened",
            State::Stated => "stated",
        }
    }

    pub fn from_number(number: u8) -> Option<State> {
        use State::{Adjusted, Closed, Conflict, Evidence, Held, Posted, Promoted, Reopened, Stated};
        let all = [Posted, Held, Evidence, Conflict, Promoted, Adjusted, Closed, Reopened, Stated];
        all.into_iter().find(|state| *state as u8 == number)
    }
}

impl std::fmt::Display for BlockHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        blake3::Hash::from_bytes(self.0).to_hex().fmt(f)
    }
}

impl std::fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlockHash({self})")
    }
}

impl std::str::FromStr for BlockHash {
    type Err = ();

    fn from_str(hex: &str) -> Result<BlockHash, ()> {
        blake3::Hash::from_hex(hex).map(|hash| BlockHash(*hash.as_bytes())).map_err(|_| ())
    }
}
