//! The export in the vocabulary of FOCUS: the book up to one block, read month by month (day by day where charge periods are
//! hours), folded, and handed on in the order of time while it is read. What is in memory is the rows of one such portion
//! and a few pages of entries, however long the range is; a block that holds something of several portions is read once
//! for each of them. No look into the database lasts longer than a page, so ingest goes on meanwhile.

mod files;

use crate::catalog::Catalog;
use crate::flow::report::all_are_there;
use crate::flow::{Farthing, FlowError};
use crate::focus::slice::{AtList, CardName, quantities, slices};
use crate::focus::{Fold, Grain, Row, What, fold::Booked, fold::Sums};
use crate::id::{BlockNumber, NameId, Org, OwnerId, ProductId, Sequence, Version};
use crate::ledger::{Chart, Effect, Entry};
use crate::rating;
use crate::report::{Wrong, goes_forward};
use crate::store::{Names, StoreError};
use crate::time::{Instant, Month, Period};
use crate::usage::dialect::Dialect;
use crate::usage::{Owner, Product, Usage, UsageEvent, reading};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What of a book is exported. Times are those of the charges, which are not always those of their bills.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub from: Option<Instant>,
    pub until: Option<Instant>,
    /// Only what is billed in this month, whenever it occurred.
    pub billed_in: Option<Month>,
    pub grain: Grain,
    /// Only what this team bears.
    pub team: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    pub rows: u64,
    pub entries: u64,
    /// The book up to this block was read.
    pub block: BlockNumber,
}

/// Entries that are read at once, and how often that is ahead of where the fold is.
const PAGE: i64 = 5_000;
const PAGES_AHEAD: usize = 3;
/// Rows that are handed on at once.
const ROWS: usize = 1_000;
/// Catalog versions in memory at a time; entries come nearly in the order of theirs.
const CATALOGS: usize = 4;

impl Farthing {
    /// Hands the rows on; whoever receives them may take its time, or leave.
    pub async fn focus(&self, org: Org, wish: &Wish, rows: mpsc::Sender<Vec<Row>>) -> Result<Exported, FlowError> {
        wish.check().map_err(|wrong| FlowError::Refused(wrong.why))?;
        let head = self.store.head(org).await?;
        let mut export = Export {
            farthing: self,
            org,
            wish,
            name: self.store.org_name(org).await?.into(),
            before: head.next_sequence,
            chart: self.store.chart(org).await?,
            versions: self.store.versions_booked(org).await?,
            catalogs: VecDeque::new(),
            names: Names::default(),
            owners: HashMap::new(),
            products: HashMap::new(),
            done: Exported { rows: 0, entries: 0, block: head.block },
        };
        for portion in wish.portions(self.occurred(org).await?) {
            let fold = export.fold(portion).await?;
            export.hand_on(fold, &rows).await?;
        }
        Ok(export.done)
    }
}

impl Wish {
    /// A charge period is in a file or it is not: half of one would look like all of it.
    pub fn check(&self) -> Result<(), Wrong> {
        goes_forward(self.from, self.until)?;
        for (parameter, at) in [("from", self.from), ("until", self.until)] {
            if let Some(at) = at.filter(|at| self.grain.start(*at) != *at) {
                let grain = if self.grain == Grain::Day { "day" } else { "hour" };
                let why = format!("{at} is not the beginning of a {grain} in UTC; rows are of whole ones");
                return Err(Wrong { parameter, why });
            }
        }
        Ok(())
    }

    /// The range, cut at months or days.
    fn portions(&self, occurred: Option<(Instant, Instant)>) -> Vec<Period> {
        let Some((first, last)) = occurred else { return Vec::new() };
        let after_last = Instant::from_micros(last.micros() + 1);
        let billed_until = self.billed_in.map_or(after_last, |month| month.period().until);
        let mut from = self.from.map_or(first, |from| from.max(first));
        let until = self.until.map_or(after_last, |until| until.min(after_last)).min(billed_until);
        let mut portions = Vec::new();
        while from < until {
            let end = match self.grain {
                Grain::Day => from.month().period().until,
                Grain::Hour => Grain::Day.end(Grain::Day.start(from)),
            };
            portions.push(Period { from, until: end.min(until) });
            from = end;
        }
        portions
    }
}

/// An export on its way: what it has learned of the book.
struct Export<'f> {
    farthing: &'f Farthing,
    org: Org,
    wish: &'f Wish,
    name: Arc<str>,
    before: Sequence,
    chart: Chart,
    versions: Vec<(i64, Version)>,
    catalogs: VecDeque<(Version, Arc<Catalog>)>,
    names: Names,
    owners: HashMap<OwnerId, Arc<Owner>>,
    products: HashMap<ProductId, Arc<Product>>,
    done: Exported,
}

impl Export<'_> {
    async fn fold(&mut self, portion: Period) -> Result<Fold, FlowError> {
        let runs = self.farthing.store.runs_of(self.org, portion.from, portion.until).await?;
        let (store, org, before) = (self.farthing.store.clone(), self.org, self.before.0);
        let mut pages = runs.into_iter().flat_map(|(from, until)| pages_of(from, until.min(before)));
        let read = |(from, until): (i64, i64)| {
            let store = store.clone();
            let reading = tokio::spawn(async move { store.entries_between(org, from, until).await });
            ((from, until), reading)
        };
        // The database reads on while a page is folded.
        let mut ahead: VecDeque<_> = pages.by_ref().take(PAGES_AHEAD).map(read).collect();
        let mut fold = Fold::new(self.wish.grain);
        while let Some(((from, until), page)) = ahead.pop_front() {
            let entries = page.await.map_err(crate::flow::broke_off)??;
            all_are_there(entries.len(), from, until)?;
            ahead.extend(pages.next().map(read));
            self.learn(&entries).await?;
            for entry in &entries {
                if entry.occurred_at >= portion.from && entry.occurred_at < portion.until && self.is_wanted(entry)? {
                    self.add(entry, &mut fold).await?;
                }
            }
        }
        Ok(fold)
    }

    async fn learn(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let owners: Vec<OwnerId> = entries.iter().map(|entry| entry.owner).collect();
        let products: Vec<ProductId> = entries.iter().map(|entry| entry.product).collect();
        self.names.learn(&self.farthing.store, self.org, &owners, &products, &[]).await?;
        for entry in entries {
            if !self.owners.contains_key(&entry.owner) {
                self.owners.insert(entry.owner, Arc::new(self.names.owner(entry.owner)?));
            }
            if !self.products.contains_key(&entry.product) {
                self.products.insert(entry.product, Arc::new(self.names.product(entry.product)?));
            }
        }
        Ok(())
    }

    fn is_wanted(&self, entry: &Entry) -> Result<bool, StoreError> {
        let billed = self.wish.billed_in.is_none_or(|month| entry.period == month);
        let of_team = self.wish.team.as_deref().is_none_or(|team| self.owners[&entry.owner].team.as_deref() == Some(team));
        Ok(billed && of_team)
    }

    async fn add(&mut self, entry: &Entry, fold: &mut Fold) -> Result<(), FlowError> {
        let (debit, credit) = (entry.posting.debit(), entry.posting.credit());
        // What moves between accounts that are no owner's is no charge.
        if entry.effect(&self.chart) == Effect::Nothing {
            return Ok(());
        }
        let payee = self.chart.payee(entry.kind, debit, credit);
        let at_list = match entry.list {
            Some(_) => self.at_list(entry).await?,
            None => None,
        };
        let booked = Booked { entry, effect: entry.effect(&self.chart), payee };
        fold.add(booked, slices(entry, self.chart.of_margin(debit, credit), at_list.as_ref()))?;
        self.done.entries += 1;
        Ok(())
    }

    /// What the list asked for an entry when it was rated; of a reversal, for what it takes back.
    async fn at_list(&mut self, entry: &Entry) -> Result<Option<AtList>, FlowError> {
        let rated = entry.reverses.unwrap_or(entry.sequence);
        let place = self.versions.partition_point(|(until, _)| *until <= rated.0);
        let Some(&(_, version)) = self.versions.get(place) else { return Ok(None) };
        let catalog = self.catalog(version).await?;
        let event = bought(entry, &self.products[&entry.product], &self.owners[&entry.owner]);
        Ok(rating::at_list(&event, &catalog).map(|(card, items)| AtList { card, items }))
    }

    async fn catalog(&mut self, version: Version) -> Result<Arc<Catalog>, FlowError> {
        if let Some((_, known)) = self.catalogs.iter().find(|(known, _)| *known == version) {
            return Ok(known.clone());
        }
        let catalog = self.farthing.published(self.org, version).await?.catalog;
        if self.catalogs.len() == CATALOGS {
            self.catalogs.pop_front();
        }
        self.catalogs.push_back((version, catalog.clone()));
        Ok(catalog)
    }

    async fn hand_on(&mut self, fold: Fold, to: &mpsc::Sender<Vec<Row>>) -> Result<(), FlowError> {
        let folded = fold.finish();
        for some in folded.chunks(ROWS) {
            let cards = some.iter().flat_map(|(what, _)| what.card.into_iter().chain(booked_card(what)));
            let names: Vec<NameId> = some.iter().map(|(what, _)| what.payee).chain(cards).collect();
            self.names.learn(&self.farthing.store, self.org, &[], &[], &names).await?;
            let rows = some.iter().map(|(what, sums)| self.row(what, *sums)).collect::<Result<Vec<Row>, StoreError>>()?;
            self.done.rows += rows.len() as u64;
            to.send(rows).await.map_err(|_| FlowError::Refused("nobody reads the export any more".to_owned()))?;
        }
        Ok(())
    }

    fn row(&self, what: &What, sums: Sums) -> Result<Row, StoreError> {
        let name = |name: NameId| self.names.text(name).map(Arc::from);
        let listed_by = match &what.listed_by {
            Some(CardName::Labelled(label)) => Some(label.clone()),
            Some(CardName::Booked(card)) => Some(name(*card)?),
            None => None,
        };
        Ok(Row {
            sums,
            grain: self.wish.grain,
            org: self.name.clone(),
            owner: self.owners[&what.owner].clone(),
            product: self.products[&what.product].clone(),
            payee: name(what.payee)?,
            card: what.card.map(name).transpose()?,
            listed_by,
            what: what.clone(),
        })
    }
}

fn booked_card(what: &What) -> Option<NameId> {
    match what.listed_by {
        Some(CardName::Booked(card)) => Some(card),
        _ => None,
    }
}

fn pages_of(from: i64, until: i64) -> impl Iterator<Item = (i64, i64)> {
    (from..until).step_by(PAGE as usize).map(move |start| (start, until.min(start + PAGE)))
}

/// As much of an entry's event as decides which card it has and what that comes to.
fn bought(entry: &Entry, product: &Product, owner: &Owner) -> UsageEvent {
    let nothing = reading::text("id", "-").expect("a dash is a text");
    UsageEvent {
        id: nothing.clone(),
        source: nothing,
        dialect: Dialect::Native,
        occurred_at: entry.occurred_at,
        occurred_at_assumed: false,
        product: product.clone(),
        owner: owner.clone(),
        usage: Usage::Counted(quantities(entry)),
        outcome: entry.outcome,
        reported: None,
        claimed: None,
        calls: entry.calls.max(1),
        estimated: entry.estimated,
        provider_request_id: None,
        session: None,
        labels: Vec::new(),
        extra: None,
    }
}
