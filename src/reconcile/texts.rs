//! Texts by number, so that a million lines compare numbers. [`Names`] keeps what repeats (models, providers, keys) once;
//! [`Ids`] keeps what does not (generation ids) end to end in one piece of memory.

use std::collections::HashMap;
use std::num::NonZeroU32;

/// A text of [`Names`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Name(pub(super) NonZeroU32);

#[derive(Clone, Debug, Default)]
pub struct Names {
    texts: Vec<Box<str>>,
    numbers: HashMap<Box<str>, Name>,
}

/// A text of [`Ids`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Id(pub(super) NonZeroU32);

#[derive(Clone, Debug, Default)]
pub struct Ids {
    texts: String,
    ends: Vec<usize>,
}

impl Names {
    /// The number of a text, a new one if it was never met.
    pub fn name(&mut self, text: &str) -> Name {
        if let Some(name) = self.numbers.get(text) {
            return *name;
        }
        self.texts.push(text.into());
        let name = Name(number(self.texts.len()));
        self.numbers.insert(text.into(), name);
        name
    }

    pub fn find(&self, text: &str) -> Option<Name> {
        self.numbers.get(text).copied()
    }

    pub fn text(&self, name: Name) -> &str {
        &self.texts[name.0.get() as usize - 1]
    }

    /// Takes in the texts of others, and answers what these are called here.
    pub fn take_in(&mut self, others: &Names) -> Translation {
        Translation(others.texts.iter().map(|text| self.name(text)).collect())
    }
}

/// What the names of one table are called in another.
pub struct Translation(Vec<Name>);

impl Translation {
    pub fn get(&self, name: Name) -> Name {
        self.0[name.0.get() as usize - 1]
    }
}

impl Ids {
    /// With room for so many that are as long as OpenRouter's: a text that grows is in memory twice.
    pub fn with_room(ids: usize) -> Ids {
        Ids { texts: String::with_capacity(ids * USUAL), ends: Vec::with_capacity(ids) }
    }

    pub fn keep(&mut self, text: &str) -> Id {
        self.texts.push_str(text);
        self.ends.push(self.texts.len());
        Id(number(self.ends.len()))
    }

    pub fn text(&self, id: Id) -> &str {
        let place = id.0.get() as usize - 1;
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.texts[start..self.ends[place]]
    }
}

/// Rather more bytes than an id has: room that is not used costs nothing.
const USUAL: usize = 48;

fn number(count: usize) -> NonZeroU32 {
    u32::try_from(count).ok().and_then(NonZeroU32::new).expect("fewer than four billion texts are in memory")
}
