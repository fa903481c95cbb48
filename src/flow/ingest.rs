//! Ingest: prepared events become entries, or are held, or are recognised. One commit takes events of many requests, and
//! answers each of them only after the database has it on disk.
//!
//! An id is looked up before anything else. Unknown: the event is recorded and posted or held. Known: the stored meaning
//! is compared with the new one; the same is *already present*, a different one *completes* an event of which nothing is
//! posted yet, and is otherwise a *conflict* that a person decides.

use crate::flow::booking::{Booking, NameCache, Sealed, has_happened};
use crate::flow::{Farthing, FlowError, InForce, now};
use crate::id::{EventNumber, Org, Sequence, Version};
use crate::ledger::seal::{EventRow, State};
use crate::money::{Amount, Currency};
use crate::rating::{HeldReason, Rated, Rating, rate};
use crate::store::{Conflict, Fault, HeldEvent, OnceKey, StoreError, StoredEvent, Write};
use crate::usage::UsageEvent;
use crate::usage::reading::{Problem, Rejected};
use std::borrow::Cow;
use std::collections::HashMap;

/// An event that is ready to be committed: read, rated, and hashed.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub org: Org,
    pub event: UsageEvent,
    pub content: [u8; 16],
    pub key: OnceKey,
    /// The key of the provider's call, where the event names one and the call may have cost something.
    pub call: Option<OnceKey>,
    pub version: Version,
    pub rating: Rating,
    /// It only says what changed; the rest is what the event said before.
    pub is_update: bool,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Posted {
        entry: Sequence,
        amount: Amount,
        currency: Currency,
        version: Version,
    },
    AlreadyPresent,
    /// Another source's event booked this call.
    Evidence {
        about: EventNumber,
    },
    Held {
        reason: HeldReason,
        detail: String,
    },
    Conflict {
        conflict: i64,
        fields: Vec<String>,
    },
    Rejected(Rejected),
    /// It tells of nothing that somebody pays for.
    Ignored(&'static str),
}

/// Why a whole group could not be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotCommitted {
    /// Some row of it cannot be written.
    Data(String),
    /// The database is away; the group may be tried again.
    Away(String),
    /// Trying again will not help.
    Lasting(String),
}

/// What one pass over a group leaves to do for an event.
enum Step {
    Done(Outcome),
    /// The same event again, within the group: its outcome follows from the first one's.
    SameAs(usize),
    /// The same id with another content, within the group: it meets the first one in a later pass.
    Later,
}

impl Farthing {
    pub fn prepare(&self, org: Org, in_force: &InForce, event: UsageEvent) -> Prepared {
        let rating = rate(&event, &in_force.catalog);
        let content = event.content_hash();
        let key = self.store.event_key(org, &event.source, &event.id);
        let call = event.provider_request_id.as_ref().filter(|_| !event.outcome.is_free());
        let call = call.map(|call| self.store.call_key(org, &event.product.provider, call));
        Prepared { org, event, content, key, call, version: in_force.version, rating, is_update: false }
    }

    /// Commits events of any orgs, in the order given; the answers are in that order too. A group that cannot be written
    /// is halved until the event is alone that is to blame. While the database is away this waits, as long as `patient`.
    pub async fn commit_events(&self, events: &[Prepared], patient: impl Fn() -> bool) -> Result<Vec<Outcome>, NotCommitted> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; events.len()];
        let mut groups: Vec<Vec<usize>> = vec![(0..events.len()).collect()];
        let mut pause = std::time::Duration::from_millis(20);
        while let Some(group) = groups.pop() {
            match self.commit_group(events, &group).await {
                Ok(steps) => {
                    let mut later = Vec::new();
                    for (&place, step) in group.iter().zip(&steps) {
                        match step {
                            Step::Done(outcome) => outcomes[place] = Some(outcome.clone()),
                            Step::SameAs(first) => outcomes[place] = outcomes[group[*first]].as_ref().map(again),
                            Step::Later => later.push(place),
                        }
                    }
                    if !later.is_empty() {
                        groups.push(later);
                    }
                }
                Err(NotCommitted::Data(why)) => match group.as_slice() {
                    [place] => {
                        let problem = Problem::Contradiction(format!("cannot be written: {why}"));
                        outcomes[*place] = Some(Outcome::Rejected(Rejected::new("event", problem)));
                    }
                    _ => {
                        let half = group.len() / 2;
                        groups.push(group[half..].to_vec());
                        groups.push(group[..half].to_vec());
                    }
                },
                Err(NotCommitted::Away(why)) if patient() => {
                    tracing::warn!(error = %why, "the database is away; events wait");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(std::time::Duration::from_secs(1));
                    groups.push(group);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(outcomes.into_iter().map(|outcome| outcome.expect("every event of every group was decided")).collect())
    }

    async fn commit_group(&self, events: &[Prepared], group: &[usize]) -> Result<Vec<Step>, NotCommitted> {
        let mut books = self.books.lock().await;
        let mut orgs: Vec<Org> = group.iter().map(|&place| events[place].org).collect();
        orgs.sort_unstable();
        orgs.dedup();
        match self.try_commit(&mut books, &orgs, events, group).await {
            Ok(steps) => {
                orgs.into_iter().for_each(|org| books.entry(org).or_default().settle());
                Ok(steps)
            }
            // Numbers that this transaction made up do not exist; they stay unsettled, and the next booking forgets them.
            Err(e) => Err(e),
        }
    }

    async fn try_commit(
        &self,
        books: &mut HashMap<Org, NameCache>,
        orgs: &[Org],
        events: &[Prepared],
        group: &[usize],
    ) -> Result<Vec<Step>, NotCommitted> {
        let mut write = self.store.begin().await?;
        let heads = write.lock_heads(orgs).await?;
        let mut steps: Vec<Option<Step>> = group.iter().map(|_| None).collect();
        let (mut sealed, mut keys) = (Vec::with_capacity(heads.len()), Vec::new());
        for head in heads {
            let in_force = self.load_version(head.org, head.version).await?;
            let places: Vec<usize> = (0..group.len()).filter(|&place| events[group[place]].org == head.org).collect();
            let mine: Vec<&Prepared> = places.iter().map(|&place| &events[group[place]]).collect();
            let cache = books.entry(head.org).or_default();
            let mut booking = Booking::new(head, in_force, cache);
            let decided = self.decide(&mut write, &mut booking, &mine).await?;
            for (step, &place) in decided.into_iter().zip(&places) {
                steps[place] = Some(match step {
                    Step::SameAs(first) => Step::SameAs(places[first]),
                    other => other,
                });
            }
            if !booking.is_empty() {
                let (block, new_keys) = booking.seal(&mut write, now()).await?;
                sealed.push(block);
                keys.extend(new_keys);
            }
        }
        if !sealed.is_empty() {
            write.remember_once(&keys).await?;
            self.finish(write, &sealed).await?;
        }
        Ok(steps.into_iter().map(|step| step.expect("every event belongs to one of the orgs")).collect())
    }

    /// Commits. If the answer is lost nobody is told anything until the book itself has said whether it happened.
    async fn finish(&self, write: Write, sealed: &[Sealed]) -> Result<(), NotCommitted> {
        let Err(e) = write.commit().await else { return Ok(()) };
        tracing::warn!(error = %e.in_full(), "a commit failed or its answer was lost; asking the book");
        if has_happened(&self.store, sealed).await { Ok(()) } else { Err(e.into()) }
    }

    /// What is to be done with each event of one org, and the rows that do it.
    async fn decide(
        &self,
        write: &mut Write,
        booking: &mut Booking<'_>,
        events: &[&Prepared],
    ) -> Result<Vec<Step>, NotCommitted> {
        let (mut steps, firsts) = within_group(events);
        let known = self.look_up(write, booking.org(), events, &firsts).await?;
        let mut events: Vec<Cow<'_, Prepared>> = events.iter().map(|event| Cow::Borrowed(*event)).collect();
        for (&place, known) in firsts.iter().zip(&known) {
            if let (true, Some(stored)) = (events[place].is_update, &known.event) {
                let standing = self.standing(booking.org(), stored).await?;
                let whole = standing.event.updated_by(&events[place].event);
                events[place] = Cow::Owned(self.prepare(booking.org(), &booking.in_force, whole));
            }
        }

        // What each first occurrence is, before anything is written.
        let mut plans: Vec<(usize, Plan)> = Vec::with_capacity(firsts.len());
        let mut calls: HashMap<OnceKey, usize> = HashMap::new();
        for (&place, known) in firsts.iter().zip(&known) {
            let prepared = &*events[place];
            let meeting = match &known.event {
                None => Meeting::New,
                Some(stored) => self.meet(booking.org(), stored, prepared).await?,
            };
            let revises = match meeting {
                Meeting::New => None,
                Meeting::Completes { event, revision } => Some((event, revision)),
                Meeting::Conflicts { event, revision, fields } => {
                    plans.push((place, Plan::Conflict { event, revision, fields }));
                    continue;
                }
                Meeting::Known(outcome) => {
                    plans.push((place, Plan::Known(outcome)));
                    continue;
                }
            };
            // The call may be booked already: by another event of the book, or by an earlier one of this group.
            let of_group = prepared.call.and_then(|call| calls.get(&call)).copied();
            let mine = revises.map(|(event, _)| event);
            let plan = match (known.call, of_group) {
                (Some(about), _) if Some(about) != mine => Plan::Evidence { revises, about: About::Booked(about) },
                (None, Some(first)) => Plan::Evidence { revises, about: About::Booking(first) },
                (holder, _) => {
                    let claims = prepared.call.filter(|_| holder.is_none());
                    calls.extend(claims.map(|call| (call, place)));
                    Plan::Book { revises, claims }
                }
            };
            plans.push((place, plan));
        }

        // Rated under the version that is in force at this commit, whatever it was prepared under.
        let ratings: HashMap<usize, Rating> = plans
            .iter()
            .filter(|(place, plan)| plan.records() && events[*place].version != booking.in_force.version)
            .map(|(place, _)| (*place, rate(&events[*place].event, &booking.in_force.catalog)))
            .collect();
        let rating_of = |place: usize| ratings.get(&place).unwrap_or(&events[place].rating);
        let rated_of = |place: usize, plan: &Plan| match (plan, rating_of(place)) {
            (Plan::Book { .. }, Rating::Rated(rated)) => Some(rated),
            _ => None,
        };
        let recorded = plans.iter().filter(|(_, plan)| plan.records());
        booking.intern(write, recorded.map(|(place, plan)| (&events[*place].event, rated_of(*place, plan)))).await?;

        let mut booked: HashMap<usize, EventNumber> = HashMap::new();
        for (place, plan) in plans {
            let prepared = &*events[place];
            let outcome = match plan {
                Plan::Known(outcome) => outcome,
                Plan::Conflict { event, revision, fields } => {
                    let revises = Some((event, revision));
                    let conflict = booking.record(&prepared.event, prepared.content, State::Conflict, revises, None);
                    booking.conflict(Conflict { conflict, event, fields: fields.clone(), found_at: now(), decision: None });
                    Outcome::Conflict { conflict, fields }
                }
                Plan::Evidence { revises, about } => {
                    let about = match about {
                        About::Booked(number) => number,
                        About::Booking(first) => booked[&first],
                    };
                    let record = booking.record(&prepared.event, prepared.content, State::Evidence, revises, Some(about));
                    match revises {
                        None => booking.remember(prepared.key, EventNumber(record)),
                        Some((event, _)) => booking.release(event),
                    }
                    Outcome::Evidence { about }
                }
                Plan::Book { revises, claims } => {
                    let (number, outcome) = book(booking, prepared, rating_of(place), revises)?;
                    if revises.is_none() {
                        booking.remember(prepared.key, number);
                    }
                    if let Some(call) = claims {
                        booking.remember(call, number);
                    }
                    booked.insert(place, number);
                    outcome
                }
            };
            steps[place] = Some(Step::Done(outcome));
        }
        Ok(steps.into_iter().map(|step| step.expect("an event is a first one or follows a first one")).collect())
    }

    /// What the book knows of each event's id, and of its call.
    async fn look_up(
        &self,
        write: &mut Write,
        org: Org,
        events: &[&Prepared],
        firsts: &[usize],
    ) -> Result<Vec<Known>, NotCommitted> {
        let mut keys: Vec<OnceKey> = firsts.iter().map(|&place| events[place].key).collect();
        keys.extend(firsts.iter().filter_map(|&place| events[place].call));
        let found = write.find_once(org, &keys).await?;
        let (of_events, of_calls) = found.split_at(firsts.len());
        let mut of_calls = of_calls.iter();

        let hits: Vec<EventNumber> = of_events.iter().flatten().map(|number| EventNumber(*number)).collect();
        let mut stored: HashMap<EventNumber, Stored> = HashMap::with_capacity(hits.len());
        if !hits.is_empty() {
            for row in write.revisions(org, &hits).await? {
                stored.entry(row.event).or_default().revisions.push(row);
            }
            for held in write.held_among(org, &hits).await? {
                stored.entry(held.event).or_default().held = true;
            }
        }
        let mut known = Vec::with_capacity(firsts.len());
        for (&place, number) in firsts.iter().zip(of_events) {
            let call = events[place].call.and_then(|_| of_calls.next().copied().flatten()).map(EventNumber);
            let event = number.map(|number| {
                let missing = || StoreError::damaged(format!("event {number}"), "its key leads to it and it does not exist");
                stored.get(&EventNumber(number)).cloned().ok_or_else(missing)
            });
            known.push(Known { event: event.transpose()?, call });
        }
        Ok(known)
    }

    /// What an event means today.
    async fn standing(&self, org: Org, stored: &Stored) -> Result<StoredEvent, NotCommitted> {
        let standing = stored.revisions.iter().rev().find(|row| row.state != State::Conflict).cloned();
        let only_conflicts = || StoreError::damaged(format!("event {}", stored.revisions[0].event), "it has only conflicts");
        Ok(self.store.with_names(org, vec![standing.ok_or_else(only_conflicts)?]).await?.remove(0))
    }

    /// An event meets what is stored under its id.
    async fn meet(&self, org: Org, stored: &Stored, prepared: &Prepared) -> Result<Meeting, NotCommitted> {
        let event = stored.revisions[0].event;
        let mut same = stored.revisions.iter().filter(|row| row.content == prepared.content);
        let known_conflict = match (same.clone().find(|row| row.state != State::Conflict), same.next()) {
            (Some(_), _) => return Ok(Meeting::Known(Outcome::AlreadyPresent)),
            (None, conflict) => conflict.map(|row| row.record),
        };
        // Another hash is only a suspicion: compare what is meant, field by field.
        let standing = self.standing(org, stored).await?;
        if (&standing.event.source, &standing.event.id) != (&prepared.event.source, &prepared.event.id) {
            let why = format!("its key is taken by the event {} of {}", standing.event.id, standing.event.source);
            return Err(NotCommitted::Data(why));
        }
        let differences = standing.event.differences(&prepared.event);
        let fields: Vec<String> = differences.into_iter().map(str::to_owned).collect();
        if fields.is_empty() {
            return Ok(Meeting::Known(Outcome::AlreadyPresent));
        }
        if let Some(conflict) = known_conflict {
            return Ok(Meeting::Known(Outcome::Conflict { conflict, fields }));
        }
        let revision = stored.revisions.last().map_or(0, |row| row.revision) + 1;
        Ok(if stored.held { Meeting::Completes { event, revision } } else { Meeting::Conflicts { event, revision, fields } })
    }
}

/// How an event relates to what is stored under its id.
enum Meeting {
    New,
    Known(Outcome),
    /// Nothing is posted for the id yet: this is what it means from now on.
    Completes {
        event: EventNumber,
        revision: u32,
    },
    Conflicts {
        event: EventNumber,
        revision: u32,
        fields: Vec<String>,
    },
}

/// What is to be done with the first event of an id in a group.
enum Plan {
    Known(Outcome),
    Conflict {
        event: EventNumber,
        revision: u32,
        fields: Vec<String>,
    },
    /// Record it without a charge: its call is booked.
    Evidence {
        revises: Option<(EventNumber, u32)>,
        about: About,
    },
    /// Record it and post or hold it; `claims` is the key of a call that nobody holds yet.
    Book {
        revises: Option<(EventNumber, u32)>,
        claims: Option<OnceKey>,
    },
}

/// Which event booked a call: one in the book, or one of this group.
enum About {
    Booked(EventNumber),
    Booking(usize),
}

impl Plan {
    fn records(&self) -> bool {
        !matches!(self, Plan::Known(_))
    }
}

/// What the book knows of an event before it is decided.
struct Known {
    event: Option<Stored>,
    call: Option<EventNumber>,
}

#[derive(Clone, Default)]
struct Stored {
    revisions: Vec<EventRow>,
    held: bool,
}

/// Finds each id's first occurrence; the same content again needs no look of its own, another content waits a pass.
fn within_group(events: &[&Prepared]) -> (Vec<Option<Step>>, Vec<usize>) {
    let mut first_of: HashMap<OnceKey, usize> = HashMap::with_capacity(events.len());
    let mut firsts = Vec::with_capacity(events.len());
    let steps = events.iter().enumerate().map(|(place, prepared)| match first_of.get(&prepared.key) {
        None => {
            first_of.insert(prepared.key, place);
            firsts.push(place);
            None
        }
        Some(&first) if events[first].content == prepared.content => Some(Step::SameAs(first)),
        Some(_) => Some(Step::Later),
    });
    (steps.collect(), firsts)
}

/// Records an event and posts its charges, or holds it.
fn book(
    booking: &mut Booking<'_>,
    prepared: &Prepared,
    rating: &Rating,
    revises: Option<(EventNumber, u32)>,
) -> Result<(EventNumber, Outcome), NotCommitted> {
    let state = if matches!(rating, Rating::Rated(_)) { State::Posted } else { State::Held };
    let record = booking.record(&prepared.event, prepared.content, state, revises, None);
    let event = revises.map_or(EventNumber(record), |(event, _)| event);
    if revises.is_some() {
        booking.release(event);
    }
    let outcome = match rating {
        Rating::Rated(rated) => post(booking, event, &prepared.event, rated)?,
        Rating::Unpriced(unpriced) => {
            let (reason, detail) = (unpriced.reason(), unpriced.to_string());
            booking.hold(HeldEvent { event, record, reason, detail: detail.clone(), held_at: now() });
            Outcome::Held { reason, detail }
        }
    };
    Ok((event, outcome))
}

/// Posts the first charges of an event.
pub(crate) fn post(
    booking: &mut Booking<'_>,
    number: EventNumber,
    event: &UsageEvent,
    rated: &Rated,
) -> Result<Outcome, NotCommitted> {
    let charges = booking.charges(number, event, rated, 0).map_err(|e| NotCommitted::Data(e.to_string()))?;
    let entry = booking.post(charges);
    Ok(Outcome::Posted { entry, amount: rated.amount, currency: rated.currency, version: booking.in_force.version })
}

/// What a repetition within a group is, after what its first occurrence became.
fn again(first: &Outcome) -> Outcome {
    match first {
        Outcome::Posted { .. } | Outcome::Held { .. } | Outcome::Evidence { .. } | Outcome::AlreadyPresent => {
            Outcome::AlreadyPresent
        }
        Outcome::Conflict { .. } | Outcome::Rejected(_) | Outcome::Ignored(_) => first.clone(),
    }
}

impl From<StoreError> for NotCommitted {
    fn from(e: StoreError) -> NotCommitted {
        match e.fault() {
            Fault::Data => NotCommitted::Data(e.in_full()),
            Fault::Transient => NotCommitted::Away(e.in_full()),
            Fault::Lasting => NotCommitted::Lasting(e.in_full()),
        }
    }
}

impl From<FlowError> for NotCommitted {
    fn from(e: FlowError) -> NotCommitted {
        match e {
            FlowError::Store(e) => e.into(),
            other => NotCommitted::Lasting(other.to_string()),
        }
    }
}
