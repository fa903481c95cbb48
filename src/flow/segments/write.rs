//! Writing a segment: entries of the book become columns, are sorted by hour and owner, written, read again and added up, and
//! only then sealed by a manifest.

use super::read::sums_of;
use super::{FORMAT, FileMark, Manifest, limbs};
use crate::flow::FlowError;
use crate::flow::report::booked::{Booked, Facts, as_number};
use crate::id::{BlockNumber, Org, OwnerId, ProductId};
use crate::ledger::Effect;
use crate::ledger::seal::BlockHash;
use crate::money::{Amount, Limbs};
use crate::report::{Addend, Clock, Dimension};
use crate::segment::{self, Values};
use crate::store::{Line, Names, Store, StoreError, Wanted};
use crate::usage::Meter;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Entries on their way into a segment.
pub struct Copy {
    pub entries: Rows,
    meters: Rows,
    occurred: (i64, i64),
}

/// The rows of a file: its columns, what it is sorted by, and what it adds up to. An entry without items is in one file only.
#[derive(Default)]
pub struct Rows {
    columns: Vec<(String, Values)>,
    order: Vec<(i64, i64, i64)>,
    sums: BTreeMap<String, Amount>,
}

/// Entries that are read at once, and how many such pages ahead.
const PAGE: i64 = 10_000;
const PAGES_AHEAD: usize = 3;

impl Copy {
    pub async fn read(store: &Store, org: Org, from: i64, until: i64) -> Result<Copy, FlowError> {
        let chart = store.chart(org).await?;
        let (mut names, facts) = (Names::default(), Facts::default());
        let mut copy = Copy { entries: Rows::default(), meters: Rows::default(), occurred: (i64::MAX, i64::MIN) };
        let page = |place: i64| {
            let (store, until) = (store.clone(), until.min(place + PAGE));
            tokio::spawn(async move { store.lines_between(org, place, until, Wanted::ALL).await })
        };
        let mut places = (from..until).step_by(PAGE as usize);
        let mut ahead: VecDeque<_> = places.by_ref().take(PAGES_AHEAD).map(|place| (place, page(place))).collect();
        while let Some((place, lines)) = ahead.pop_front() {
            ahead.extend(places.next().map(|place| (place, page(place))));
            let (lines, after) = (lines.await.map_err(crate::flow::broke_off)??, place + PAGE);
            let spans = store.spans(org, place, until.min(after)).await?;
            let owners: Vec<OwnerId> = lines.iter().map(|line| line.owner).collect();
            let products: Vec<ProductId> = lines.iter().map(|line| line.product).collect();
            names.learn(store, org, &owners, &products, &[]).await?;
            // What is missing in the book must not become nothing in its copy.
            let covered = spans.last().map_or(place, |span| span.until.0);
            if lines.len() as i64 != until.min(after) - place || covered < until.min(after) {
                let what = format!("entries {place} to {}", until.min(after) - 1);
                return Err(
                    StoreError::damaged(what, "some are missing, or no block covers them; `farthing verify` says where").into()
                );
            }
            for line in &lines {
                names.of_owner(line.owner)?;
                names.of_product(line.product)?;
            }
            let booked = Booked::all(&lines, &spans, &names, &facts, &chart, Clock::Occurred);
            copy.add(&booked, false)?;
            let meters: Vec<Booked> = booked.iter().flat_map(Booked::meters).collect();
            copy.add(&meters, true)?;
            if place == from {
                let pages = (until - from) as usize / PAGE as usize + 1;
                copy.entries.make_room(pages);
                copy.meters.make_room(pages);
            }
        }
        Ok(copy)
    }

    fn add(&mut self, booked: &[Booked], of_meters: bool) -> Result<(), FlowError> {
        let rows = if of_meters { &mut self.meters } else { &mut self.entries };
        let columns = columns(booked, of_meters)?;
        match rows.columns.is_empty() {
            true => rows.columns = columns,
            false => rows.columns.iter_mut().zip(columns).for_each(|((_, values), (_, more))| values.append(more)),
        }
        for booked in booked {
            let at = booked.line.occurred_at.micros();
            rows.order.push((at.div_euclid(3_600_000_000), booked.line.owner.0, booked.line.product.0));
            self.occurred = (self.occurred.0.min(at), self.occurred.1.max(at));
            let sum = rows.sums.entry(booked.line.currency.as_str().to_owned()).or_default();
            *sum = sum.checked_add(booked.money(Addend::Amount)).ok_or(crate::report::fold::TooLarge)?;
        }
        Ok(())
    }

    /// Both files and then the manifest, each under another name until the disk has it. No name is ever used twice.
    pub fn write(
        self,
        directory: &Path,
        (from, until): (i64, i64),
        (block, hash): (BlockNumber, BlockHash),
    ) -> Result<(), String> {
        std::fs::create_dir_all(directory).map_err(|e| e.to_string())?;
        let mut random = [0; 4];
        let _ = getrandom::fill(&mut random);
        let stem = format!("{from:012}-{until:012}-{:08x}", u32::from_be_bytes(random));
        let names = [format!("{stem}.entries.parquet"), format!("{stem}.meters.parquet"), format!("{stem}.json")];
        let written = self.write_as(directory, names.clone(), (from, until), (block, hash));
        if written.is_err() {
            let of = |name: &String| [directory.join(name), temporary(directory, name)];
            names.iter().flat_map(of).for_each(|path| drop(std::fs::remove_file(path)));
        }
        written
    }

    fn write_as(
        self,
        directory: &Path,
        [entries, meters, manifest]: [String; 3],
        (from, until): (i64, i64),
        (block, hash): (BlockNumber, BlockHash),
    ) -> Result<(), String> {
        let said = |e: std::io::Error| e.to_string();
        let (of_entries, of_meters) = (self.entries.rows() as u64, self.meters.rows() as u64);
        let named = |sums: &BTreeMap<String, Amount>| {
            sums.iter().map(|(currency, sum)| (currency.clone(), sum.to_string())).collect::<BTreeMap<String, String>>()
        };
        let sums = named(&self.entries.sums);
        let mut files = Vec::new();
        for (rows, name) in [(self.entries, entries), (self.meters, meters)] {
            let (path, expected) = (temporary(directory, &name), rows.sums.clone());
            segment::write(&path, rows.sorted()).map_err(|e| e.to_string())?;
            // What was written is read again before anybody relies on it.
            let found = sums_of(&path).map_err(|e| e.to_string())?;
            if found != expected {
                return Err(format!("{name} adds up to {:?}, the book to {:?}", named(&found), named(&expected)));
            }
            let bytes = std::fs::read(&path).map_err(said)?;
            std::fs::rename(&path, directory.join(&name)).map_err(said)?;
            files.push(FileMark { blake3: blake3::hash(&bytes).to_string(), bytes: bytes.len() as u64, name });
        }
        let (occurred_first, occurred_last) = self.occurred;
        let mut sealed = Manifest {
            format: FORMAT,
            from,
            until,
            block: block.0,
            hash: hash.to_string(),
            occurred_first,
            occurred_last,
            entries: of_entries,
            meters: of_meters,
            sums,
            files,
            seal: String::new(),
        };
        sealed.seal = sealed.hashed();
        let json = serde_json::to_vec_pretty(&sealed).map_err(|e| e.to_string())?;
        let path = temporary(directory, &manifest);
        let mut file = std::fs::File::create_new(&path).map_err(said)?;
        file.write_all(&json).and_then(|()| file.sync_all()).map_err(said)?;
        std::fs::rename(&path, directory.join(&manifest)).map_err(said)?;
        std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(said)
    }
}

fn temporary(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.tmp"))
}

impl Rows {
    pub fn rows(&self) -> usize {
        self.order.len()
    }

    /// For so many pages in all, of which the first is there: columns that grow are copied again and again.
    fn make_room(&mut self, pages: usize) {
        let more = self.rows() * pages.saturating_sub(1);
        let more = more + more / 16;
        self.order.reserve_exact(more);
        self.columns.iter_mut().for_each(|(_, values)| values.reserve(more));
    }

    /// By hour, owner and product, and then as they were booked: that is how they are compressed and read best.
    fn sorted(self) -> Vec<(String, Values)> {
        let mut order: Vec<u32> = (0..self.order.len() as u32).collect();
        order.sort_by_key(|place| self.order[*place as usize]);
        self.columns.into_iter().map(|(name, values)| (name, values.in_order(&order))).collect()
    }
}

/// The columns of a file. What is signed is what a report adds: a reversal is negative.
fn columns(booked: &[Booked], of_meters: bool) -> Result<Vec<(String, Values)>, FlowError> {
    let mut columns = Vec::with_capacity(64);
    let instants = |of: fn(&Booked) -> i64| Values::Instants(booked.iter().map(of).collect());
    let integers = |of: &dyn Fn(&Booked) -> i64| Values::Integers(booked.iter().map(of).collect());
    let numbers = |of: &dyn Fn(&Booked) -> i64| {
        let numbers = booked.iter().map(|booked| as_number(of(booked))).collect::<Result<_, FlowError>>();
        numbers.map(Values::Numbers)
    };
    columns.push(("sequence".to_owned(), integers(&|booked| booked.line.sequence.0)));
    columns.push(("occurred_at".to_owned(), instants(|booked| booked.line.occurred_at.micros())));
    columns.push(("recorded_at".to_owned(), instants(|booked| booked.span.map_or(0, |span| span.recorded_at.micros()))));
    columns.push(("block".to_owned(), integers(&|booked| booked.span.map_or(0, |span| span.block.0))));
    if !of_meters {
        columns.push(("owner".to_owned(), numbers(&|booked| booked.line.owner.0)?));
        columns.push(("product".to_owned(), numbers(&|booked| booked.line.product.0)?));
        columns.push(("rater".to_owned(), numbers(&|booked| booked.span.map_or(0, |span| i64::from(span.rater)))?));
    }
    columns.push(("currency".to_owned(), numbers(&|booked| i64::from(booked.line.currency.number()))?));
    for dimension in Dimension::of_entries().filter(|dimension| of_meters || *dimension != Dimension::Meter) {
        columns.push((dimension.to_string(), numbers(&|booked| booked.number(&dimension))?));
    }
    let mut money = |of: &str, amounts: Vec<Option<Amount>>, is_always: bool| {
        let [micro, femto, yocto] = limbs(of);
        let parts: Vec<Option<Limbs>> = amounts.into_iter().map(|amount| amount.map(Amount::limbs)).collect();
        let micros = parts.iter().map(|limbs| limbs.map(|limbs| limbs.micro));
        columns
            .push((micro, if is_always { Values::Integers(micros.flatten().collect()) } else { Values::Some(micros.collect()) }));
        let below = |limb: fn(Limbs) -> i64| Values::Numbers(parts.iter().map(|limbs| limbs.map_or(0, limb) as u32).collect());
        columns.push((femto, below(|limbs| limbs.femto)));
        columns.push((yocto, below(|limbs| limbs.yocto)));
    };
    money("", booked.iter().map(|booked| Some(booked.money(Addend::Amount))).collect(), true);
    if of_meters {
        money("rate", booked.iter().map(|booked| Some(Amount::from_units(booked.item?.rate?.units()))).collect(), false);
        columns.push(("quantity".to_owned(), integers(&|booked| booked.count(Addend::Quantity))));
        columns.push(("tokens".to_owned(), integers(&|booked| booked.count(Addend::Tokens))));
        let inherited = |booked: &Booked| booked.item.and_then(|item| item.inherited_from).map_or(0, |meter: Meter| meter as i64);
        columns.push(("inherited_from".to_owned(), numbers(&inherited)?));
        let card = |booked: &Booked| booked.item.and_then(|item| item.card).map_or(0, |card| card.0);
        columns.push(("item_card".to_owned(), numbers(&card)?));
    } else {
        let aside = |booked: &Booked| (booked.effect() == Effect::Nothing).then_some(booked.line.amount);
        money("aside", booked.iter().map(aside).collect(), false);
        money("list", booked.iter().map(|booked| Some(booked.money(Addend::List))).collect(), true);
        money("cache_savings", booked.iter().map(|booked| Some(booked.money(Addend::CacheSavings))).collect(), true);
        let signed = |addend: Addend, of: fn(&Line) -> Option<Amount>| {
            booked.iter().map(|booked| of(booked.line).map(|_| booked.money(addend))).collect()
        };
        money("rated", signed(Addend::Rated, |line| line.rated), false);
        money("reported", signed(Addend::Reported, |line| line.reported), false);
        columns.push(("calls".to_owned(), integers(&|booked| booked.count(Addend::Calls))));
        columns.push(("tokens".to_owned(), integers(&|booked| booked.count(Addend::Tokens))));
        columns.push(("event".to_owned(), integers(&|booked| booked.line.event.map_or(0, |event| event.0))));
        columns.push(("reverses".to_owned(), integers(&|booked| booked.line.reverses)));
        type OfLine = fn(&Line) -> i64;
        let more: [(&str, OfLine); 3] =
            [("turn", |line| line.turn), ("above", |line| line.above), ("reason", |line| line.reason)];
        for (name, of) in more {
            columns.push((name.to_owned(), numbers(&|booked| of(booked.line))?));
        }
    }
    Ok(columns)
}
