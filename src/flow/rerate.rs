//! Booking again: what was charged is rated and attributed under the catalog in force now, and where the answer differs a
//! reversal and a new charge go into the book, in the next turn of the event, with the reason. What stays the same posts nothing, so a
//! run that broke off is run again, by two processes at once if need be. An event that has no price under the new catalog
//! keeps the one it has and is listed: a price that was once known is not taken back for want of a newer one.

use crate::flow::booking::Booking;
use crate::flow::conflicts::standing;
use crate::flow::{Farthing, FlowError, InForce, now};
use crate::id::{EventNumber, Org, Sequence, Version};
use crate::ledger::seal::{EventRow, State, decides};
use crate::ledger::{COST, Entry, account, book_again, says_the_same};
use crate::money::{Amount, Currency};
use crate::rating::{Rated, Rating, rate};
use crate::store::{EntryFilter, Names, StoreError, Write};
use crate::time::Instant;
use crate::usage::{Owner, UsageEvent};
use std::collections::{BTreeMap, HashMap};

/// What is rated again, and what for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub from: Option<Instant>,
    pub until: Option<Instant>,
    pub provider: Option<String>,
    pub model: Option<String>,
    /// Only says what would change.
    pub dry_run: bool,
    /// This version and no other: in a dry run any, to see what would be; otherwise the one that must be in force, which is
    /// the one that the dry run was of.
    pub under: Option<Version>,
    pub reason: String,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Rerated {
    /// The last one that something was rated under: another may come into force during a run.
    pub version: Version,
    pub examined: u64,
    pub changed: u64,
    /// Those of them that somebody else bears now.
    pub reattributed: u64,
    /// Entries that were posted; none in a dry run.
    pub posted: u64,
    pub unpriced: u64,
    /// The first of those that have no price under this version.
    pub left: Vec<Left>,
    /// What changed, by what was bought.
    pub changes: BTreeMap<Bought, Moved>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bought {
    pub provider: String,
    pub model: String,
    pub currency: Currency,
}

/// What owners bore before and bear after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub events: u64,
    pub before: Amount,
    pub after: Amount,
}

/// An event that keeps what it was charged, because it has no price now.
#[derive(Clone, Debug)]
pub struct Left {
    pub source: String,
    pub id: String,
    pub why: String,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    /// Events that were looked at.
    pub examined: u64,
    /// The entry that it has reached, and the first one that it leaves out.
    pub entry: Sequence,
    pub end: Sequence,
}

/// An event with its charges that stand.
struct Booked {
    number: EventNumber,
    record: i64,
    event: UsageEvent,
    standing: Vec<Entry>,
    /// Of each charge that stands who bears it, and between which accounts.
    sides: Vec<Side>,
}

#[derive(PartialEq)]
struct Side {
    owner: Owner,
    debit: String,
    credit: String,
}

/// Entries that one step reads, and so the most events that one commit books again.
const PAGE: i64 = 500;
/// How many events without a price are listed by name.
const LISTED: usize = 100;

impl Farthing {
    /// Rates what was charged again. `progress` is told how far it came. What was corrected before, by a run that broke off or
    /// by another one, is looked at and stays.
    pub async fn rerate(&self, org: Org, wish: &Wish, progress: impl Fn(Reached)) -> Result<Rerated, FlowError> {
        let head = self.store.head(org).await?;
        wish.must_be_in_force(head.version)?;
        let in_force = match wish.under {
            Some(version) if version != head.version => self.published(org, version).await?,
            _ => self.load_version(org, head.version).await?,
        };
        let mut total = Rerated::under(in_force.version);
        // Up to where the book stands now: what this run posts is not looked at again.
        let mut filter =
            EntryFilter { from: wish.from, until: wish.until, before: Some(head.next_sequence), ..EntryFilter::default() };
        while let Some((events, last)) = self.store.charged_events(org, &filter, PAGE).await? {
            let after = filter.after.replace(last);
            // An event is met with each of its charges, also with those that were reversed; it counts where it stands.
            let here = |booked: &Booked| {
                let first = booked.standing[0].sequence;
                after.is_none_or(|after| after < first) && first <= last
            };
            let booked = self.booked(org, &events).await?.into_iter();
            let wanted = booked.filter(|booked| here(booked) && wish.wants(&booked.event)).collect();
            self.rerate_page(org, wish, &in_force, wanted, &mut total).await?;
            progress(Reached { examined: total.examined, entry: last, end: head.next_sequence });
        }
        Ok(total)
    }

    /// These events as they stand, with their charges that stand.
    async fn booked(&self, org: Org, events: &[EventNumber]) -> Result<Vec<Booked>, FlowError> {
        let mut entries = by_event(self.store.entries_of_events(org, events).await?);
        entries.values_mut().for_each(|entries| *entries = standing(entries));
        let owners: Vec<_> = entries.values().flatten().map(|entry| entry.owner).collect();
        let accounts: Vec<_> =
            entries.values().flatten().flat_map(|entry| [entry.posting.debit(), entry.posting.credit()]).collect();
        let mut names = Names::default();
        names.learn(&self.store, org, &owners, &[], &accounts).await?;
        let mut booked = Vec::with_capacity(events.len());
        for stored in self.store.standing_events(org, events).await? {
            let Some(standing) = entries.remove(&stored.row.event).filter(|standing| !standing.is_empty()) else { continue };
            let side = |entry: &Entry| {
                let (debit, credit) = (names.text(entry.posting.debit())?, names.text(entry.posting.credit())?);
                Ok::<Side, StoreError>(Side {
                    owner: names.owner(entry.owner)?,
                    debit: debit.to_owned(),
                    credit: credit.to_owned(),
                })
            };
            let sides = standing.iter().map(side).collect::<Result<_, _>>()?;
            booked.push(Booked { number: stored.row.event, record: stored.row.record, event: stored.event, standing, sides });
        }
        Ok(booked)
    }

    async fn rerate_page(
        &self,
        org: Org,
        wish: &Wish,
        in_force: &InForce,
        page: Vec<Booked>,
        total: &mut Rerated,
    ) -> Result<(), FlowError> {
        let mut changed = Vec::new();
        for booked in page {
            total.examined += 1;
            match rate(&booked.event, &in_force.catalog) {
                Rating::Rated(rated) if booked.is_as(&rated, in_force) => {}
                Rating::Rated(rated) => changed.push((booked, rated)),
                Rating::Unpriced(unpriced) => total.leave(&booked.event, unpriced.to_string()),
            }
        }
        let (moved, posted) = match (changed.is_empty(), wish.dry_run) {
            (true, _) => return Ok(()),
            (false, true) => (changed, 0),
            (false, false) => self.book_page_again(org, changed, wish, total).await?,
        };
        total.posted += posted;
        moved.iter().for_each(|(booked, rated)| total.moved(booked, rated));
        Ok(())
    }

    /// Reverses and charges anew, under the book's lock; answers with what was really changed. What has no price any more by
    /// the time the lock is held is left, and told like the rest.
    async fn book_page_again(
        &self,
        org: Org,
        changed: Vec<(Booked, Rated)>,
        wish: &Wish,
        total: &mut Rerated,
    ) -> Result<(Vec<(Booked, Rated)>, u64), FlowError> {
        let mut books = self.books.lock().await;
        let cache = books.entry(org).or_default();
        let result = async {
            let mut write = self.store.begin().await?;
            let head = write.lock_heads(&[org]).await?.remove(0);
            wish.must_be_in_force(head.version)?;
            let in_force = self.load_version(org, head.version).await?;
            let mut changed = still_standing(&mut write, org, changed).await?;
            // Another version may have come into force since: one commit rates under one version.
            changed.retain_mut(|(booked, rated)| match rate(&booked.event, &in_force.catalog) {
                Rating::Rated(again) => {
                    *rated = again;
                    !booked.is_as(rated, &in_force)
                }
                Rating::Unpriced(unpriced) => {
                    total.leave(&booked.event, unpriced.to_string());
                    false
                }
            });
            total.version = in_force.version;
            let mut booking = Booking::new(head, in_force, cache);
            booking.intern(&mut write, changed.iter().map(|(booked, rated)| (&booked.event, Some(rated)))).await?;
            let reason =
                booking.intern_reason(&mut write, &format!("version {}: {}", booking.in_force.version, wish.reason)).await?;
            let before = booking.head.next_sequence;
            for (booked, rated) in &changed {
                let turn = booked.standing.iter().map(|entry| entry.turn + 1).max().unwrap_or(0);
                let charges = booking.charges(booked.number, &booked.event, rated, turn);
                let charges = charges.map_err(|e| FlowError::Refused(e.to_string()))?;
                let entries = book_again(&booked.standing, charges, turn, booking.head.first_open, reason);
                booking.post(entries);
            }
            let posted = booking.head.next_sequence.0 - before.0;
            if booking.is_empty() {
                return Ok((Vec::new(), 0));
            }
            let (sealed, _) = booking.seal(&mut write, now()).await?;
            write.commit().await?;
            self.was_committed(&sealed);
            Ok((changed, posted as u64))
        }
        .await;
        // Where nothing was posted nothing was committed either.
        if matches!(&result, Ok((_, posted)) if *posted > 0) {
            cache.settle();
        }
        result
    }
}

impl Booked {
    /// Whether what stands says the same as a rating: the same money for the same things, borne by the same, between the same
    /// accounts.
    fn is_as(&self, rated: &Rated, in_force: &InForce) -> bool {
        if !says_the_same(&self.standing, &self.event, rated) {
            return false;
        }
        let cost = in_force.catalog.rules().cost();
        let mut sides = self.sides.iter();
        rated.portions(&self.event).iter().all(|portion| {
            let account = |party| account(party, cost, portion.owner, &self.event.product);
            portion.rated.charges.iter().all(|charge| {
                let is_as = |side: &Side| {
                    side.owner == *portion.owner && side.debit == account(charge.debit) && side.credit == account(charge.credit)
                };
                sides.next().is_some_and(is_as)
            })
        })
    }

    /// What owners bear of it: a margin that pays gives some of it back.
    fn borne(&self) -> Amount {
        let sides = self.standing.iter().zip(&self.sides);
        let amounts = sides.map(|(entry, side)| match side.debit.starts_with(COST) {
            true => entry.posting.amount(),
            false => -entry.posting.amount(),
        });
        amounts.sum()
    }

    /// Whether others bear it than before.
    fn moves(&self, rated: &Rated) -> bool {
        let portions = rated.portions(&self.event);
        let now = portions.iter().map(|portion| portion.owner);
        let mut before: Vec<&Owner> = self.sides.iter().map(|side| &side.owner).collect();
        before.dedup();
        !now.eq(before)
    }
}

fn by_event(entries: Vec<Entry>) -> HashMap<EventNumber, Vec<Entry>> {
    let mut of: HashMap<EventNumber, Vec<Entry>> = HashMap::new();
    for entry in entries {
        if let Some(event) = entry.event {
            of.entry(event).or_default().push(entry);
        }
    }
    of
}

/// Those events that are as they were when they were rated; another process may have booked some of them meanwhile.
async fn still_standing(write: &mut Write, org: Org, changed: Vec<(Booked, Rated)>) -> Result<Vec<(Booked, Rated)>, FlowError> {
    let events: Vec<EventNumber> = changed.iter().map(|(booked, _)| booked.number).collect();
    let entries = by_event(write.entries_of_events(org, &events).await?);
    let mut rows: HashMap<EventNumber, Vec<EventRow>> = HashMap::with_capacity(events.len());
    let promoted = write.promoted(org, &events).await?;
    for row in write.revisions(org, &events).await?.into_iter().chain(promoted) {
        let event = if row.state == State::Promoted { row.about.unwrap_or(row.event) } else { row.event };
        rows.entry(event).or_default().push(row);
    }
    let as_it_was = |(booked, _): &(Booked, Rated)| {
        let rows = rows.get(&booked.number).map_or(&[][..], Vec::as_slice);
        decides(booked.number, rows).is_some_and(|row| row.record == booked.record)
            && entries.get(&booked.number).is_some_and(|entries| standing(entries) == booked.standing)
    };
    Ok(changed.into_iter().filter(as_it_was).collect())
}

impl Wish {
    fn must_be_in_force(&self, newest: Version) -> Result<(), FlowError> {
        match self.under {
            Some(version) if version != newest && !self.dry_run => Err(FlowError::Refused(format!(
                "version {newest} is in force, not version {version}; look at a dry run of it first"
            ))),
            _ => Ok(()),
        }
    }

    fn wants(&self, event: &UsageEvent) -> bool {
        let product = &event.product;
        self.provider.as_deref().is_none_or(|provider| *product.provider == *provider)
            && self.model.as_deref().is_none_or(|model| *product.model == *model)
            && self.from.is_none_or(|from| from <= event.occurred_at)
            && self.until.is_none_or(|until| event.occurred_at < until)
    }
}

impl Rerated {
    fn under(version: Version) -> Rerated {
        Rerated {
            version,
            examined: 0,
            changed: 0,
            reattributed: 0,
            posted: 0,
            unpriced: 0,
            left: Vec::new(),
            changes: BTreeMap::new(),
        }
    }

    fn leave(&mut self, event: &UsageEvent, why: String) {
        self.unpriced += 1;
        if self.left.len() < LISTED {
            self.left.push(Left { source: event.source.to_string(), id: event.id.to_string(), why });
        }
    }

    fn moved(&mut self, booked: &Booked, rated: &Rated) {
        self.changed += 1;
        self.reattributed += u64::from(booked.moves(rated));
        let product = &booked.event.product;
        let (provider, model) = (product.provider.to_string(), product.model.to_string());
        let moved = self.changes.entry(Bought { provider, model, currency: rated.currency }).or_default();
        moved.events += 1;
        moved.before += booked.borne();
        moved.after += rated.amount;
    }
}
