//! The memory of what has happened once, for SQLite. A tree of random keys would write fifteen kilobytes per event at ten
//! million of them, so the keys stay out of trees: new ones are in a log row of the transaction that adds them and here in
//! a *hot* map; when that is full it is *frozen*, sorted on another thread and written as a *run* of pages, a few pages
//! with every later commit. A sealed run is found through a filter: only a key that the filter lets pass costs a read.
//!
//! Nothing in here speaks to the database and nothing in here is ahead of it: changes are handed in after a commit.

use hashbrown::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Sixteen bytes of a keyed hash: uniformly random, so parts of it serve as any hash one needs.
pub type Key = [u8; 16];

/// What the key stands for: the number of an event or an entry.
pub type Value = i64;

/// Keys per page, on average: a page is one row of a kilobyte and a half.
const PAGE_KEYS: usize = 64;

/// Bytes of a key with its value.
pub const WIDTH: usize = 24;

pub type Hot = HashMap<Key, Value, BuildHasherDefault<KeyIsHash>>;

#[derive(Default)]
pub struct Index {
    pub hot: Hot,
    pub frozen: Option<Frozen>,
    /// Sealed runs, in order.
    pub runs: Vec<Run>,
}

/// A run on its way into the database.
pub struct Frozen {
    pub run: i64,
    keys: Arc<Hot>,
    sorting: Option<JoinHandle<Sorted>>,
    sorted: Option<Sorted>,
    /// The first bucket whose page is not in the database yet.
    pub next_bucket: usize,
}

/// A sealed run: its pages are in the database.
pub struct Run {
    pub run: i64,
    pub buckets: usize,
    pub filter: Filter,
}

/// A run's keys in order, with its filter.
pub struct Sorted {
    keys: Vec<(Key, Value)>,
    pub filter: Filter,
}

/// Where a key is.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    Here(Value),
    Nowhere,
    /// In one of these pages or nowhere; the newest run first.
    In(Vec<i64>),
}

impl Index {
    pub fn look(&self, key: &Key) -> Look {
        if let Some(value) = self.hot.get(key) {
            return Look::Here(*value);
        }
        if let Some(value) = self.frozen.as_ref().and_then(|frozen| frozen.get(key)) {
            return Look::Here(value);
        }
        let mut pages = Vec::new();
        for run in self.runs.iter().rev().filter(|run| run.filter.may_have(key)) {
            pages.push(page_number(run.run, bucket(key, run.buckets)));
        }
        if pages.is_empty() { Look::Nowhere } else { Look::In(pages) }
    }

    /// Moves a full hot map aside; its sorting starts at once on a thread of its own.
    pub fn freeze(&mut self, run: i64) {
        let keys = Arc::new(std::mem::take(&mut self.hot));
        self.frozen = Some(Frozen::new(run, keys, 0));
    }

    /// The frozen run is in the database as a whole.
    pub fn seal(&mut self) {
        if let Some(Frozen { run, sorted: Some(sorted), .. }) = self.frozen.take() {
            self.runs.push(Run { run, buckets: buckets(sorted.keys.len()), filter: sorted.filter });
        }
    }
}

impl Frozen {
    pub fn new(run: i64, keys: Arc<Hot>, next_bucket: usize) -> Frozen {
        let to_sort = keys.clone();
        let sorting = std::thread::spawn(move || Sorted::of(&to_sort));
        Frozen { run, keys, sorting: Some(sorting), sorted: None, next_bucket }
    }

    fn get(&self, key: &Key) -> Option<Value> {
        match &self.sorted {
            Some(sorted) => {
                let place = sorted.keys.binary_search_by_key(key, |(key, _)| *key).ok()?;
                Some(sorted.keys[place].1)
            }
            None => self.keys.get(key).copied(),
        }
    }

    /// The sorted keys, once the thread is done with them; the map is let go then.
    pub fn sorted(&mut self) -> Option<&Sorted> {
        if self.sorting.as_ref().is_some_and(JoinHandle::is_finished) {
            let sorting = self.sorting.take().expect("it was there a line ago");
            // A thread that died leaves the map as it is; the keys are found in it, and in the log, as before.
            if let Ok(sorted) = sorting.join() {
                self.sorted = Some(sorted);
                self.keys = Arc::default();
            }
        }
        self.sorted.as_ref()
    }
}

impl Sorted {
    fn of(keys: &Hot) -> Sorted {
        let mut sorted: Vec<(Key, Value)> = keys.iter().map(|(key, value)| (*key, *value)).collect();
        sorted.sort_unstable();
        let mut filter = Filter::for_keys(sorted.len());
        for (key, _) in &sorted {
            filter.add(key);
        }
        Sorted { keys: sorted, filter }
    }

    pub fn buckets(&self) -> usize {
        buckets(self.keys.len())
    }

    /// The bytes of one bucket's page.
    pub fn page(&self, place: usize) -> Vec<u8> {
        let buckets = self.buckets();
        let from = self.keys.partition_point(|(key, _)| bucket(key, buckets) < place);
        let until = self.keys.partition_point(|(key, _)| bucket(key, buckets) <= place);
        let mut page = Vec::with_capacity((until - from) * WIDTH);
        write_keys(&self.keys[from..until], &mut page);
        page
    }
}

/// How many pages a run of so many keys has.
pub fn buckets(keys: usize) -> usize {
    keys.div_ceil(PAGE_KEYS).max(1)
}

/// The page of a key: its first bits, scaled, so that keys in order are in pages in order.
fn bucket(key: &Key, buckets: usize) -> usize {
    let first = u32::from_be_bytes(*key.first_chunk().expect("a key has sixteen bytes"));
    ((u64::from(first) * buckets as u64) >> 32) as usize
}

pub fn page_number(run: i64, bucket: usize) -> i64 {
    run << 32 | bucket as i64
}

pub fn write_keys(keys: &[(Key, Value)], to: &mut Vec<u8>) {
    for (key, value) in keys {
        to.extend_from_slice(key);
        to.extend_from_slice(&value.to_be_bytes());
    }
}

/// The keys of a log row or a page.
pub fn read_keys(bytes: &[u8]) -> impl Iterator<Item = (Key, Value)> + '_ {
    bytes.chunks_exact(WIDTH).map(|entry| {
        let (key, value) = entry.split_at(16);
        (key.try_into().expect("sixteen bytes"), Value::from_be_bytes(value.try_into().expect("eight bytes")))
    })
}

pub fn find_in_page(page: &[u8], key: &Key) -> Option<Value> {
    read_keys(page).find(|(other, _)| other == key).map(|(_, value)| value)
}

/// A sealed run that is held against what it says of itself, page by page.
pub struct Checked {
    keys: i64,
    found: i64,
    filter: Option<Filter>,
    last: Option<Key>,
    why: Option<&'static str>,
}

impl Checked {
    pub fn of(keys: i64, filter: Option<Filter>) -> Checked {
        Checked { keys, found: 0, filter, last: None, why: None }
    }

    pub fn page(&mut self, place: usize, page: &[u8]) {
        let buckets = buckets(self.keys.max(0) as usize);
        if !page.len().is_multiple_of(WIDTH) {
            self.why = Some("a page ends in the middle of a key");
        }
        for (key, _) in read_keys(page) {
            let in_order = self.last.is_none_or(|last| last < key);
            let found = self.filter.as_ref().is_some_and(|filter| filter.may_have(&key));
            if !in_order || bucket(&key, buckets) != place {
                self.why = Some("a key is not in its place");
            } else if !found {
                self.why = Some("its filter does not know a key that it has");
            }
            self.last = Some(key);
            self.found += 1;
        }
    }

    pub fn damage(self) -> Option<&'static str> {
        self.why.or((self.found != self.keys).then_some("it has not as many keys as it says"))
    }
}

/// A Bloom filter in which all bits of a key lie in one line of 64 bytes: one cache miss tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter(Vec<u8>);

const LINE: usize = 64;
const BITS_PER_KEY: usize = 16;

impl Filter {
    fn for_keys(keys: usize) -> Filter {
        let lines = (keys * BITS_PER_KEY).div_ceil(LINE * 8).max(1);
        Filter(vec![0; lines * LINE])
    }

    pub fn from_bytes(bytes: Vec<u8>) -> Option<Filter> {
        (!bytes.is_empty() && bytes.len().is_multiple_of(LINE)).then_some(Filter(bytes))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn add(&mut self, key: &Key) {
        let line = self.line(key);
        for bit in bits(key) {
            self.0[line + bit / 8] |= 1 << (bit % 8);
        }
    }

    pub fn may_have(&self, key: &Key) -> bool {
        let line = self.line(key);
        bits(key).all(|bit| self.0[line + bit / 8] & 1 << (bit % 8) != 0)
    }

    /// From other bits of the key than its page and its place in the line.
    fn line(&self, key: &Key) -> usize {
        let word = u32::from_be_bytes([key[12], key[13], key[14], key[15]]);
        let lines = (self.0.len() / LINE) as u64;
        ((u64::from(word) * lines) >> 32) as usize * LINE
    }
}

/// Seven places of a line of 512 bits.
fn bits(key: &Key) -> impl Iterator<Item = usize> {
    let word = u64::from_be_bytes(*key[4..12].first_chunk().expect("eight bytes"));
    (0..7).map(move |n| (word >> (n * 9)) as usize & 511)
}

/// A key is a hash already. The last write counts: the length of the array comes before its bytes.
#[derive(Default)]
pub struct KeyIsHash(u64);

impl Hasher for KeyIsHash {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key {
        *blake3::hash(&number.to_be_bytes()).as_bytes().first_chunk().unwrap()
    }

    fn sorted(index: &mut Index) -> &Sorted {
        let frozen = index.frozen.as_mut().unwrap();
        while frozen.sorted().is_none() {
            std::thread::yield_now();
        }
        frozen.sorted().unwrap()
    }

    #[test]
    fn a_key_is_found_while_hot_frozen_and_sealed() {
        let mut index = Index::default();
        let count = 10_000;
        index.hot.extend((0..count).map(|n| (key(n), n as Value)));
        let all_here = |index: &Index| (0..count).all(|n| index.look(&key(n)) == Look::Here(n as Value));
        assert!(all_here(&index));
        index.freeze(1);
        assert!(all_here(&index));
        let run = sorted(&mut index);
        let pages: HashMap<i64, Vec<u8>> = (0..run.buckets()).map(|place| (page_number(1, place), run.page(place))).collect();
        assert_eq!(pages.values().map(|page| page.len() / WIDTH).sum::<usize>() as u64, count);
        assert!(all_here(&index));
        index.seal();

        for n in 0..count {
            let Look::In(candidates) = index.look(&key(n)) else { panic!("{n} is lost") };
            assert_eq!(candidates.iter().find_map(|page| find_in_page(&pages[page], &key(n))), Some(n as Value));
        }
        let passed = (count..2 * count).filter(|&n| index.look(&key(n)) != Look::Nowhere).count();
        assert!(passed < 50, "the filter lets {passed} of {count} strangers pass");
    }

    #[test]
    fn a_filter_survives_as_bytes() {
        let mut filter = Filter::for_keys(1000);
        (0..1000).for_each(|n| filter.add(&key(n)));
        let back = Filter::from_bytes(filter.bytes().to_vec()).unwrap();
        assert!((0..1000).all(|n| back.may_have(&key(n))));
        assert_eq!(Filter::from_bytes(vec![0; 63]), None);
    }
}
