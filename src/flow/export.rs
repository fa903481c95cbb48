//! Exports of entries. What is exported is the book up to its head at the beginning: a book is only ever added to, so its prefix
//! is a snapshot that nobody has to keep open. Rows are read in order by pages, some of them ahead of whoever writes; [`files`]
//! puts them into files.

pub mod files;

use crate::export::{Row, Sealed, Texts};
use crate::flow::{Farthing, FlowError};
use crate::id::{BlockNumber, NameId, Org, OwnerId, ProductId, Sequence};
use crate::ledger::Entry;
use crate::ledger::seal::BlockHash;
use crate::report::Clock;
use crate::store::{EntryFilter, Names, Span, Store, StoreError};
use crate::time::Instant;
use std::collections::{HashSet, VecDeque};
use tokio::task::JoinHandle;

/// Which entries are wanted.
#[derive(Clone, Debug, Default)]
pub struct Question {
    pub from: Option<Instant>,
    pub until: Option<Instant>,
    pub clock: Clock,
    /// Only what this team bears.
    pub team: Option<String>,
    /// The book up to this block instead of its head.
    pub block: Option<BlockNumber>,
}

/// The book up to a block.
#[derive(Clone, Copy, Debug)]
pub struct Prefix {
    pub block: BlockNumber,
    pub hash: BlockHash,
    /// The first sequence that is not in it.
    until: i64,
}

/// Entries that are read at once, and how often that is ahead of where the writer is.
const PAGE: i64 = 10_000;
const PAGES_AHEAD: i64 = 3;

/// The rows that answer a question, in order.
pub struct Rows {
    store: Store,
    org: Org,
    question: Question,
    margins: HashSet<NameId>,
    names: Names,
    /// What the numbers of all rows so far stand for.
    pub texts: Texts,
    pub prefix: Prefix,
    next: i64,
    until: i64,
    ahead: VecDeque<JoinHandle<Result<Page, StoreError>>>,
}

struct Page {
    entries: Vec<Entry>,
    spans: Vec<Span>,
}

impl Farthing {
    /// The rows after a sequence that answer a question.
    pub async fn export_rows(&self, org: Org, question: &Question, after: Sequence) -> Result<Rows, FlowError> {
        let prefix = self.prefix(org, question.block).await?;
        let (from, until) = match question.clock {
            Clock::Recorded => self.store.sequences_recorded(org, question.from, question.until).await?,
            Clock::Occurred => {
                let filter = EntryFilter { from: question.from, until: question.until, ..EntryFilter::default() };
                self.store.sequences_of(org, &filter).await?
            }
        };
        let mut rows = Rows {
            store: self.store.clone(),
            org,
            question: question.clone(),
            margins: self.store.margins(org).await?,
            names: Names::default(),
            texts: Texts::default(),
            prefix,
            next: from.max(1).max(after.0 + 1),
            until: until.min(prefix.until),
            ahead: VecDeque::new(),
        };
        (0..PAGES_AHEAD).for_each(|number| rows.read_ahead(rows.next + number * PAGE));
        Ok(rows)
    }

    async fn prefix(&self, org: Org, block: Option<BlockNumber>) -> Result<Prefix, FlowError> {
        let head = self.store.head(org).await?;
        let block = block.unwrap_or(head.block);
        if block == head.block {
            return Ok(Prefix { block, hash: head.hash, until: head.next_sequence.0 });
        }
        let found = self.store.blocks_after(org, BlockNumber(block.0 - 1), 1).await?.pop();
        let found = found.filter(|found| found.header.block == block);
        let found =
            found.ok_or_else(|| FlowError::Refused(format!("there is no block {block}; the last one is {}", head.block)))?;
        Ok(Prefix { block, hash: found.hash, until: found.sequences.1 })
    }
}

impl Rows {
    fn read_ahead(&mut self, from: i64) {
        let (store, org, until) = (self.store.clone(), self.org, self.until.min(from + PAGE));
        if from < until {
            self.ahead.push_back(tokio::spawn(async move {
                let (entries, spans) = tokio::join!(store.entries_at_once(org, from, until), store.spans(org, from, until));
                Ok(Page { entries: entries?, spans: spans? })
            }));
        }
    }

    /// The next rows, of which there may be none on a page; nothing when all were read.
    pub async fn next(&mut self) -> Result<Option<Vec<Row>>, FlowError> {
        let Some(page) = self.ahead.pop_front() else { return Ok(None) };
        let page = page.await.map_err(|e| FlowError::Refused(format!("reading the book broke off: {e}")))??;
        self.read_ahead(self.next + PAGES_AHEAD * PAGE);
        self.next = self.until.min(self.next + PAGE);
        self.learn(&page.entries).await?;
        let mut rows = Vec::with_capacity(page.entries.len());
        let mut spans = page.spans.iter().peekable();
        for entry in &page.entries {
            while spans.next_if(|span| span.until <= entry.sequence).is_some() {}
            let span = spans.peek().ok_or_else(|| {
                StoreError::damaged(format!("entry {}", entry.sequence), "no block covers it; `farthing verify` says where")
            })?;
            let (block, recorded_at, version, rater) = (span.block, span.recorded_at, span.version, span.rater);
            let row = Row::new(entry, Sealed { block, recorded_at, version, rater }, &self.margins);
            if self.is_wanted(&row) {
                rows.push(row);
            }
        }
        Ok(Some(rows))
    }

    /// Where it is: sequences that were read, and all there are to read.
    pub fn place(&self) -> (u64, u64) {
        (self.next.min(self.until) as u64, self.until as u64)
    }

    fn is_wanted(&self, row: &Row) -> bool {
        let at = if self.question.clock == Clock::Recorded { row.sealed.recorded_at } else { row.occurred_at };
        let in_range = self.question.from.is_none_or(|from| at >= from) && self.question.until.is_none_or(|until| at < until);
        let of_team = |team: &String| {
            let parts = self.texts.owner(row.owner);
            let name = parts.and_then(|parts| self.texts.name(NameId(parts[TEAM])));
            name.is_some_and(|name| **name == **team)
        };
        in_range && self.question.team.as_ref().is_none_or(of_team)
    }

    /// Reads what the numbers of these entries stand for, as far as that is not known yet.
    async fn learn(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let (mut owners, mut products, mut names) = (HashSet::new(), HashSet::new(), HashSet::new());
        for entry in entries {
            if self.texts.owner(entry.owner).is_none() {
                owners.insert(entry.owner);
            }
            if self.texts.product(entry.product).is_none() {
                products.insert(entry.product);
            }
            let always = [entry.source, entry.posting.debit(), entry.posting.credit()];
            let sometimes = [entry.card, entry.above, entry.reason];
            let of_entry = always.into_iter().chain(sometimes.into_iter().flatten());
            names.extend(of_entry.filter(|name| self.texts.name(*name).is_none()));
        }
        let (owners, products): (Vec<OwnerId>, Vec<ProductId>) = (owners.into_iter().collect(), products.into_iter().collect());
        let mut names: Vec<NameId> = names.into_iter().collect();
        self.names.learn(&self.store, self.org, &owners, &products, &names).await?;
        for owner in owners {
            let parts = *self.names.of_owner(owner)?;
            self.texts.learn_owner(owner, parts);
            names.extend(parts.map(NameId));
        }
        for product in products {
            let parts = *self.names.of_product(product)?;
            self.texts.learn_product(product, parts);
            names.extend(parts.map(NameId));
        }
        for name in names.into_iter().filter(|name| name.0 != 0) {
            if self.texts.name(name).is_none() {
                self.texts.learn_name(name, self.names.text(name)?);
            }
        }
        Ok(())
    }
}

/// The place of the team among an owner's names.
const TEAM: usize = 1;
