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

/// What some events were called by whoever sent them. Nearly every one has another id, so they lie in one text.
#[derive(Clone, Debug, Default)]
pub struct EventIds {
    text: String,
    /// The events in their order, and where the id of each ends.
    ends: Vec<(i64, usize)>,
}

impl EventIds {
    pub fn of<'t>(ids: impl Iterator<Item = (i64, &'t str)>) -> EventIds {
        let mut ids: Vec<(i64, &str)> = ids.collect();
        ids.sort_unstable();
        let mut found = EventIds { text: String::new(), ends: Vec::with_capacity(ids.len()) };
        for (event, id) in ids {
            found.text.push_str(id);
            found.ends.push((event, found.text.len()));
        }
        found
    }

    pub fn get(&self, event: EventNumber) -> Option<&str> {
        let is_it = |place: &usize| self.ends.get(*place).is_some_and(|(found, _)| *found == event.0);
        // Events that were booked one after the other mostly have numbers one after the other.
        let guess = usize::try_from(event.0 - self.ends.first()?.0).ok().filter(is_it);
        let place = guess.or_else(|| self.ends.binary_search_by_key(&event.0, |(event, _)| *event).ok())?;
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before].1);
        Some(&self.text[start..self.ends[place].1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_event_is_called_what_it_was_called(ids in prop::collection::btree_map(1_i64..60, ".{0,5}", 0..40)) {
            let found = EventIds::of(ids.iter().rev().map(|(event, id)| (*event, id.as_str())));
            for event in -1..61 {
                prop_assert_eq!(found.get(EventNumber(event)), ids.get(&event).map(String::as_str));
            }
        }
    }
}
