//! Verification: every block's hash is computed again from the rows it covers, and every block must chain to the one
//! before, up to the head. The first thing that does not fit is named: the block, and the record in it.

use crate::catalog::source::own;
use crate::flow::{Farthing, FlowError};
use crate::id::{BlockNumber, NameId, Org, OwnerId, ProductId, Sequence, Version};
use crate::ledger::Entry;
use crate::ledger::seal::{BlockHash, Dimensions, EventRow, FORMAT, Header, MARK, Sealer, name_hash};
use crate::store::{Block, ContentHash, Head, StoredName};
use std::collections::{HashMap, HashSet};

/// What a book holds, if everything fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub blocks: i64,
    pub events: i64,
    pub entries: i64,
    pub head: BlockHash,
}

/// The first thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub block: BlockNumber,
    /// The record, where it can be told apart from the rest of its block.
    pub record: Option<String>,
    pub why: String,
}

/// Where the next block begins.
#[derive(Clone, Copy)]
struct Place {
    record: i64,
    sequence: i64,
    name: i64,
    owner: i64,
    product: i64,
}

/// Rows of a run of blocks, read at once: most blocks are small.
struct Rows {
    names: Vec<StoredName>,
    owners: Vec<(i64, Dimensions)>,
    products: Vec<(i64, Dimensions)>,
    events: Vec<EventRow>,
    entries: Vec<Entry>,
}

const BLOCKS_AT_ONCE: i64 = 200;

impl Farthing {
    pub async fn verify(
        &self,
        org: Org,
        progress: impl Fn(BlockNumber, BlockNumber),
    ) -> Result<Result<Verified, Broken>, FlowError> {
        let orgs = self.store.orgs().await?;
        let name = orgs.iter().find(|(other, _)| *other == org).map_or("", |(_, name)| name.as_str());
        let head = self.store.head(org).await?;
        let catalogs = match self.verify_catalogs(org).await? {
            Ok(catalogs) => catalogs,
            Err(broken) => return Ok(Err(broken)),
        };
        let mut before = (BlockNumber(0), BlockHash::of_empty_book(name));
        let mut place = Place { record: 1, sequence: 1, name: 1, owner: 1, product: 1 };
        while before.0 < head.block {
            let blocks: Vec<Block> = self.store.blocks_after(org, before.0, BLOCKS_AT_ONCE).await?;
            let blocks: Vec<Block> = blocks.into_iter().filter(|block| block.header.block <= head.block).collect();
            let Some(last) = blocks.last() else {
                return Ok(Err(broken(before.0.next(), None, "the block is missing")));
            };
            let rows = match self.rows(org, place, last).await {
                Ok(rows) => rows,
                // A row that cannot even be read: which block it is in shows block by block.
                Err(e) if blocks.len() == 1 => return Ok(Err(broken(last.header.block, None, &e.to_string()))),
                Err(_) => match self.first_unreadable(org, place, &blocks).await {
                    Some(broken) => return Ok(Err(broken)),
                    None => self.rows(org, place, last).await?,
                },
            };
            for block in &blocks {
                if let Err(broken) = check(block, before, &mut place, &rows, &catalogs) {
                    return Ok(Err(broken));
                }
                before = (block.header.block, block.hash);
            }
            progress(before.0, head.block);
        }
        Ok(check_head(&head, before, place))
    }

    async fn rows(&self, org: Org, from: Place, last: &Block) -> Result<Rows, FlowError> {
        Ok(Rows {
            names: self.store.names_between(org, from.name, last.name_until).await?,
            owners: self.store.owners_between(org, from.owner, last.owner_until).await?,
            products: self.store.products_between(org, from.product, last.product_until).await?,
            events: self.store.records_between(org, from.record, last.records.1).await?,
            entries: self.store.entries_between(org, from.sequence, last.sequences.1).await?,
        })
    }

    async fn first_unreadable(&self, org: Org, mut from: Place, blocks: &[Block]) -> Option<Broken> {
        for block in blocks {
            if let Err(e) = self.rows(org, from, block).await {
                return Some(broken(block.header.block, None, &e.to_string()));
            }
            from = after(block);
        }
        None
    }

    /// Every version's parts have the hashes it names, and the version has the hash of those.
    async fn verify_catalogs(&self, org: Org) -> Result<Result<HashMap<Version, [u8; 32]>, Broken>, FlowError> {
        let mut hashes = HashMap::new();
        // Most parts are in most versions; each is looked at once.
        let mut seen: HashSet<ContentHash> = HashSet::new();
        for version in self.store.versions(org).await? {
            let parts = self.store.contents(org, version.version).await?;
            for part in parts.iter().filter(|part| seen.insert(part.hash)) {
                let text = self.store.part_texts(&[part.hash]).await?.pop();
                if !text.is_some_and(|(_, text)| blake3::hash(text.as_bytes()) == part.hash && own::read(&text).is_ok()) {
                    let why = format!("catalog version {}: part {} does not have its hash", version.version, part.name);
                    return Ok(Err(broken(BlockNumber(0), None, &why)));
                }
            }
            if crate::flow::publish::hash_of(&parts) != version.hash {
                let why = format!("catalog version {} does not have its hash", version.version);
                return Ok(Err(broken(BlockNumber(0), None, &why)));
            }
            hashes.insert(version.version, version.hash);
        }
        Ok(Ok(hashes))
    }
}

fn after(block: &Block) -> Place {
    Place {
        record: block.records.1,
        sequence: block.sequences.1,
        name: block.name_until,
        owner: block.owner_until,
        product: block.product_until,
    }
}

fn broken(block: BlockNumber, record: Option<String>, why: &str) -> Broken {
    Broken { block, record, why: why.to_owned() }
}

/// Seals a block again and compares.
fn check(
    block: &Block,
    before: (BlockNumber, BlockHash),
    place: &mut Place,
    rows: &Rows,
    catalogs: &HashMap<Version, [u8; 32]>,
) -> Result<(), Broken> {
    let number = block.header.block;
    let wrong = |record: Option<String>, why: &str| Err(broken(number, record, why));
    if number != before.0.next() {
        return wrong(None, &format!("it follows block {}; the blocks between are missing", before.0));
    }
    if block.header.format != FORMAT {
        return wrong(None, &format!("its format is {}; this version knows {FORMAT}", block.header.format));
    }
    if (block.records.0, block.sequences.0) != (place.record, place.sequence) {
        return wrong(None, "its rows do not follow those of the block before");
    }
    let Some(catalog) = catalogs.get(&block.header.version) else {
        return wrong(None, &format!("its catalog version {} does not exist", block.header.version));
    };

    let until = after(block);
    let between = |number: i64, from: i64, until: i64| from <= number && number < until;
    let names: Vec<_> = rows.names.iter().filter(|name| between(name.name.0, place.name, until.name)).collect();
    let owners: Vec<_> = rows.owners.iter().filter(|(owner, _)| between(*owner, place.owner, until.owner)).collect();
    let products: Vec<_> = rows.products.iter().filter(|(product, _)| between(*product, place.product, until.product)).collect();
    let events: Vec<_> = rows.events.iter().filter(|event| between(event.record, place.record, until.record)).collect();
    let entries: Vec<_> = rows.entries.iter().filter(|entry| between(entry.sequence.0, place.sequence, until.sequence)).collect();
    let counts = [
        ("names", names.len() as i64, until.name - place.name),
        ("owners", owners.len() as i64, until.owner - place.owner),
        ("products", products.len() as i64, until.product - place.product),
        ("events", events.len() as i64, until.record - place.record),
        ("entries", entries.len() as i64, until.sequence - place.sequence),
    ];
    for (what, found, expected) in counts {
        if found != expected {
            return wrong(None, &format!("it covers {expected} {what} and {found} are there"));
        }
    }

    let header = Header { previous: before.1, catalog: *catalog, ..block.header.clone() };
    let mut sealer = Sealer::new(&header);
    let mut records: Vec<String> = Vec::new();
    for name in names {
        if name.text.as_ref().is_some_and(|text| name_hash(&name.salt, name.kind, text) != name.hash) {
            return wrong(Some(format!("name {}", name.name)), "its text does not have its hash");
        }
        sealer.name(NameId(name.name.0), name.kind, &name.hash);
        records.push(format!("name {}", name.name));
    }
    for (owner, dimensions) in owners {
        sealer.owner(OwnerId(*owner), dimensions);
        records.push(format!("owner {owner}"));
    }
    for (product, dimensions) in products {
        sealer.product(ProductId(*product), dimensions);
        records.push(format!("product {product}"));
    }
    for event in events {
        sealer.event(event);
        records.push(format!("event record {}", event.record));
    }
    let occurred = entries.iter().map(|entry| entry.occurred_at);
    let occurred = occurred.clone().min().zip(occurred.max());
    for entry in entries {
        sealer.entry(entry);
        records.push(format!("entry {}", entry.sequence));
    }
    let (hash, marks) = sealer.finish();
    if let Some(first) = marks.chunks(MARK).zip(block.marks.chunks(MARK)).position(|(ours, theirs)| ours != theirs) {
        return wrong(records.get(first).cloned(), "its bytes are not those that were sealed");
    }
    if marks.len() != block.marks.len() {
        return wrong(None, "its marks are not those that were sealed");
    }
    if hash != block.hash {
        return wrong(None, "its header or its hash is not what was sealed");
    }
    if occurred != block.occurred {
        return wrong(None, "its range of time is not that of its entries");
    }
    *place = until;
    Ok(())
}

fn check_head(head: &Head, before: (BlockNumber, BlockHash), place: Place) -> Result<Verified, Broken> {
    if head.hash != before.1 {
        return Err(broken(head.block, None, "the head of the book carries another hash"));
    }
    let ends = (head.next_record, head.next_sequence, head.next_name.0, head.next_owner.0, head.next_product.0);
    if ends != (place.record, Sequence(place.sequence), place.name, place.owner, place.product) {
        return Err(broken(head.block, None, "the head of the book continues elsewhere than its last block ends"));
    }
    Ok(Verified { blocks: head.block.0, events: place.record - 1, entries: place.sequence - 1, head: head.hash })
}
