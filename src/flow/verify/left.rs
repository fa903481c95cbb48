//! What is left of blocks whose events and entries are not in this database: names, owners and products, which stay because later
//! blocks use them. The hash of such a block cannot be computed again, so each record is held against the mark that its
//! block keeps of it, and each name against its hash. A mark is four bytes and in no hash: this finds what was changed in
//! one place, and who changes both places is found by the archive of the block.

use super::{Broken, Place, ROWS_AT_ONCE, START, Stop, Verified, after, between, broken, not_its_hash, runs, told};
use crate::flow::{Farthing, FlowError};
use crate::id::{BlockNumber, NameId, Org, OwnerId, ProductId};
use crate::ledger::seal::{Dimensions, MARK, Sealer};
use crate::store::{Block, StoredName};

/// Names, owners and products that a block covers, in order.
pub(super) struct Left<'r> {
    names: &'r [StoredName],
    owners: &'r [(i64, Dimensions)],
    products: &'r [(i64, Dimensions)],
}

impl Farthing {
    /// Whether what is left of the blocks up to one is what they sealed, and every hash of what follows fits.
    pub async fn verify_what_is_left(
        &self,
        org: Org,
        until: BlockNumber,
        progress: impl Fn(BlockNumber, BlockNumber),
    ) -> Result<Result<Verified, Broken>, FlowError> {
        match told(self.left_until(org, until).await)? {
            Ok(()) => self.verify_after(org, until, progress).await,
            Err(broken) => Ok(Err(broken)),
        }
    }

    /// Whether names up to a number, which no block in here covers, have the hashes of their texts.
    pub async fn verify_names_until(&self, org: Org, until: i64) -> Result<Result<(), Broken>, FlowError> {
        told(self.names_until(org, until).await)
    }

    async fn names_until(&self, org: Org, until: i64) -> Result<(), Stop> {
        for first in (1..until).step_by(ROWS_AT_ONCE as usize) {
            let end = until.min(first + ROWS_AT_ONCE);
            let names = self.store.names_between(org, first, end).await?;
            if names.len() as i64 != end - first {
                let why = format!("{} of the names {first} to {} are there", names.len(), end - 1);
                return broken(BlockNumber(0), None, why);
            }
            if let Some((name, why)) = names.iter().find_map(|name| Some((name, not_its_hash(name)?))) {
                return broken(BlockNumber(0), Some(format!("name {}", name.name)), why);
            }
        }
        Ok(())
    }

    async fn left_until(&self, org: Org, until: BlockNumber) -> Result<(), Stop> {
        let head = self.store.head(org).await?;
        let (mut reached, mut place) = (BlockNumber(0), START);
        while reached < until {
            let mut blocks = self.blocks_before(org, reached, &head).await?;
            blocks.retain(|block| block.header.block <= until);
            let (runs, ends) = runs(&blocks, place, reached);
            for run in runs {
                place = self.left_of(org, place, &blocks[run]).await?;
            }
            ends?;
            reached = blocks.last().map_or(until, |block| block.header.block);
        }
        Ok(())
    }

    /// Holds what is left of a run of blocks against their marks; answers where the next one begins.
    async fn left_of(&self, org: Org, from: Place, run: &[Block]) -> Result<Place, Stop> {
        let end = run.last().map_or(from, after);
        let names = self.store.names_between(org, from.name, end.name).await?;
        let owners = self.store.owners_between(org, from.owner, end.owner).await?;
        let products = self.store.products_between(org, from.product, end.product).await?;
        let mut place = from;
        for block in run {
            Left::of(&names, &owners, &products, place, after(block)).is_as_marked(block, place)?;
            place = after(block);
        }
        Ok(end)
    }
}

impl<'r> Left<'r> {
    pub fn of(
        names: &'r [StoredName],
        owners: &'r [(i64, Dimensions)],
        products: &'r [(i64, Dimensions)],
        from: Place,
        until: Place,
    ) -> Left<'r> {
        Left {
            names: between(names, from.name, until.name, |name| name.name.0),
            owners: between(owners, from.owner, until.owner, |(owner, _)| *owner),
            products: between(products, from.product, until.product, |(product, _)| *product),
        }
    }

    /// How many there are of each, and how many there should be.
    pub fn counts(&self, from: Place, until: Place) -> [(&'static str, i64, i64); 3] {
        [
            ("names", self.names.len() as i64, until.name - from.name),
            ("owners", self.owners.len() as i64, until.owner - from.owner),
            ("products", self.products.len() as i64, until.product - from.product),
        ]
    }

    /// Gives them to a block's seal, which they come first in; answers what they are called.
    pub fn seal(&self, block: BlockNumber, sealer: &mut Sealer) -> Result<Vec<(&'static str, i64)>, Stop> {
        let mut records = Vec::new();
        for name in self.names {
            if let Some(why) = not_its_hash(name) {
                return broken(block, Some(format!("name {}", name.name)), why);
            }
            sealer.name(NameId(name.name.0), name.kind, &name.hash);
            records.push(("name", name.name.0));
        }
        for (owner, dimensions) in self.owners {
            sealer.owner(OwnerId(*owner), dimensions);
            records.push(("owner", *owner));
        }
        for (product, dimensions) in self.products {
            sealer.product(ProductId(*product), dimensions);
            records.push(("product", *product));
        }
        Ok(records)
    }

    fn is_as_marked(&self, block: &Block, from: Place) -> Result<(), Stop> {
        let number = block.header.block;
        for (what, found, expected) in self.counts(from, after(block)) {
            if found != expected {
                return broken(number, None, format!("it covers {expected} {what} and {found} are there"));
            }
        }
        let mut sealer = Sealer::new(&block.header);
        let records = self.seal(number, &mut sealer)?;
        let (_, marks) = sealer.finish();
        let other = marks.chunks(MARK).zip(block.marks.chunks(MARK)).position(|(ours, theirs)| ours != theirs);
        match other.and_then(|place| records.get(place)) {
            Some((what, record)) => broken(number, Some(format!("{what} {record}")), "its bytes are not those that were sealed"),
            None => Ok(()),
        }
    }
}
