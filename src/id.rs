//! Typed numbers, so that an event is never looked up by an entry's number. All are counted per org, gapless, and only
//! ever grow; none of them is generated at random.

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub i64);

        impl $name {
            pub const fn next(self) -> $name {
                $name(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// One tenant, with its own book, catalog versions, names and keys.
    Org
    /// An accepted usage event's number in its org's book.
    EventNumber
    /// An entry's place in its book; the entry's id on every door.
    Sequence
    /// A block's place in its book's chain.
    BlockNumber
    /// A published edition of an org's catalog.
    Version
    /// An interned piece of text: a model, a user, an account.
    NameId
    /// An interned combination of owner dimensions.
    OwnerId
    /// An interned combination of what can be bought: provider, model, variant and so on.
    ProductId
}
