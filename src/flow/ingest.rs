//! Ingest: prepared events become entries, or are held, or are recognised. One commit takes events of many requests, and
//! answers each of them only after the database has it on disk.
//!
//! An id is looked up before anything else. Unknown: the event is recorded and posted or held. Known: the stored meaning
//! is compared with the new one; the same is *already present*, a different one *completes* an event of which nothing is
//! posted yet, and is otherwise a *conflict* that a person decides.

mod plan;

use crate::flow::booking::{Booking, NameCache, Sealed, has_happened};
use crate::flow::conflicts::standing;
use crate::flow::{Farthing, FlowError, InForce, now};
use crate::id::{EventNumber, NameId, Org, Sequence, Version};
use crate::ledger::seal::{EventRow, State};
use crate::ledger::{Entry, book_again};
use crate::money::{Amount, Currency};
use crate::rating::{HeldReason, Rated, Rating, rate};
use crate::store::{Conflict, Fault, Head, HeldEvent, OnceKey, StoreError, Suspect, Write};
use crate::usage::UsageEvent;
use crate::usage::reading::{Problem, Rejected};
use plan::{Claimed, Holder, Plan, SAME_BUT_FOR_ITS_ID, Scene};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

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
    /// What it says under whatever id, where its producer makes ids up.
    pub likeness: Option<OnceKey>,
    /// It only says what changed, and this is the key of having said so; the rest is what the event said before.
    pub update: Option<OnceKey>,
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
        let likeness = event.dialect.makes_up_ids().then(|| self.store.likeness_key(org, &event.source, &content));
        Prepared { org, event, content, key, call, version: in_force.version, rating, likeness, update: None }
    }

    /// The same for what only says what changed of an event.
    pub fn prepare_update(&self, org: Org, in_force: &InForce, event: UsageEvent) -> Prepared {
        let prepared = self.prepare(org, in_force, event);
        let key = self.store.update_key(org, &prepared.event.source, &prepared.event.id, &prepared.content);
        Prepared { update: Some(key), ..prepared }
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
                            // Its outcome follows from the first one's, in whichever pass that is decided.
                            Step::SameAs(first) if matches!(steps[*first], Step::Later) => later.push(place),
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
            sealed.iter().for_each(|sealed| self.was_committed(sealed));
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
        let (mut known, whole_from) = self.look_up(write, &booking.head, events, &firsts).await?;
        let events = self.as_they_are_now(write, booking, events, &firsts, &mut known).await?;

        // How each first occurrence meets what is there, before anything is written.
        let mut meetings: Vec<(usize, Meeting)> = Vec::with_capacity(firsts.len());
        for (&place, known) in firsts.iter().zip(&known) {
            let meeting = match &known.event {
                // A part that comes again, after others that were told later: it was taken into account.
                _ if known.was_said => Meeting::Known(Outcome::AlreadyPresent),
                Some(stored) => self.meet(booking.org(), stored, &events[place]).await?,
                None => {
                    known.number.map_or(Meeting::New, |number| Meeting::Known(Outcome::Rejected(missing(number, whole_from))))
                }
            };
            meetings.push((place, meeting));
        }
        let mut asked: Vec<EventNumber> = Vec::new();
        for ((_, meeting), known) in meetings.iter().zip(&known) {
            if !matches!(meeting, Meeting::Known(_)) {
                asked.extend([known.call, known.evidence_of()].into_iter().flatten());
            }
        }
        let holders = self.holders(write, booking.org(), asked).await?;
        for ((_, meeting), known) in
            meetings.iter_mut().zip(&known).filter(|((_, meeting), _)| !matches!(meeting, Meeting::Known(_)))
        {
            if let Some(call) = known.call_that_is_gone(whole_from, &holders) {
                *meeting = Meeting::Known(Outcome::Rejected(call_is_gone(call, whole_from)));
            }
        }
        let mut plans: Vec<(usize, Plan)> = Vec::with_capacity(firsts.len());
        let mut claimed: HashMap<OnceKey, Claimed> = HashMap::new();
        let mut moved: HashSet<EventNumber> = HashSet::new();
        let mut waiting = Waiting::new(&steps, &events, &firsts);
        for ((place, meeting), known) in meetings.into_iter().zip(&known) {
            let call = events[place].call;
            let of_group = call.and_then(|call| claimed.get(&call));
            let scene = Scene { rules: booking.in_force.catalog.rules(), holders: &holders, events: &events };
            // A call is booked once in a pass: the next word on it has to see what this one made of it. And whoever tells of
            // it after one that waits for the next pass waits too.
            let touches = [known.call, known.evidence_of(), meeting.event()];
            let moves = touches.into_iter().flatten().any(|event| moved.contains(&event));
            let waits = moves || call.is_some_and(|call| waiting.before(place).contains(&call));
            let plan = match meeting {
                Meeting::New | Meeting::Completes { .. } | Meeting::Conflicts { .. } if waits => Plan::Later,
                meeting => scene.plan(place, meeting, known, of_group),
            };
            match (&plan, call) {
                (Plan::Later, call) => waiting.calls.extend(call),
                (Plan::Book { claims: Some(_), .. }, Some(call)) => {
                    claimed.insert(call, Claimed { first: place, places: vec![place] });
                }
                (plan, Some(call)) if plan.records() => {
                    claimed.entry(call).and_modify(|claimed| claimed.places.push(place));
                }
                _ => {}
            }
            moved.extend(plan.moves());
            plans.push((place, plan));
        }

        let rated_of = |place: usize, plan: &Plan| match (plan, &events[place].rating) {
            (Plan::Book { .. } | Plan::BookAgain { .. }, Rating::Rated(rated)) => Some(rated),
            _ => None,
        };
        let recorded = plans.iter().filter(|(_, plan)| plan.records());
        booking.intern(write, recorded.map(|(place, plan)| (&events[*place].event, rated_of(*place, plan)))).await?;
        let again: Vec<EventNumber> = plans.iter().filter_map(|(_, plan)| plan.books_again()).collect();
        let booked_so_far = write.entries_of_events(booking.org(), &again).await?;

        let mut booked: HashMap<usize, EventNumber> = HashMap::new();
        let mut looks_like: HashMap<OnceKey, EventNumber> = HashMap::new();
        for ((place, plan), known) in plans.into_iter().zip(&known) {
            let prepared = &*events[place];
            let outcome = match plan {
                Plan::Known(outcome) => outcome,
                Plan::Later => {
                    steps[place] = Some(Step::Later);
                    continue;
                }
                Plan::Conflict { event, revision, fields } => {
                    let revises = Some((event, revision));
                    let conflict = booking.record(&prepared.event, prepared.content, State::Conflict, revises, None);
                    booking.conflict(Conflict { conflict, event, fields: fields.clone(), found_at: now(), decision: None });
                    Outcome::Conflict { conflict, fields }
                }
                Plan::Evidence { revises, about } => {
                    let about = about.number(&booked);
                    let record = booking.record(&prepared.event, prepared.content, State::Evidence, revises, Some(about));
                    match revises {
                        None => booking.remember(prepared.key, EventNumber(record)),
                        Some((event, _)) => booking.release(event),
                    }
                    said(booking, prepared, revises.map_or(EventNumber(record), |(event, _)| event));
                    Outcome::Evidence { about }
                }
                Plan::BookAgain { revises, about, reason } => {
                    let reason = booking.intern_reason(write, &reason).await?;
                    let entries: Vec<Entry> = booked_so_far.iter().filter(|entry| entry.event == Some(about)).cloned().collect();
                    promote(booking, prepared, revises, about, &entries, reason)?
                }
                Plan::Book { revises, claims, suspicion } => {
                    let (number, outcome) = book(booking, prepared, revises)?;
                    if revises.is_none() {
                        booking.remember(prepared.key, number);
                    }
                    if let Some(call) = claims {
                        booking.remember(call, number);
                    }
                    booked.insert(place, number);
                    said(booking, prepared, number);
                    let mut suspicion = suspicion.map(|(about, why)| (about.number(&booked), why));
                    if let Some(likeness) = prepared.likeness {
                        match known.like.or(looks_like.get(&likeness).copied()) {
                            Some(about) if about == number => {}
                            Some(about) => suspicion = suspicion.or(Some((about, SAME_BUT_FOR_ITS_ID))),
                            None => {
                                booking.remember(likeness, number);
                                looks_like.insert(likeness, number);
                            }
                        }
                    }
                    if let Some((about, why)) = suspicion {
                        let why = why.to_owned();
                        booking.suspect(Suspect { event: number, about, why, found_at: now(), decision: None });
                    }
                    outcome
                }
            };
            steps[place] = Some(Step::Done(outcome));
        }
        Ok(steps.into_iter().map(|step| step.expect("an event is a first one or follows a first one")).collect())
    }

    /// The events whole, and rated under the version that is in force at this commit, whatever they were prepared under.
    async fn as_they_are_now<'e>(
        &self,
        write: &mut Write,
        booking: &Booking<'_>,
        events: &[&'e Prepared],
        firsts: &[usize],
        known: &mut [Known],
    ) -> Result<Vec<Cow<'e, Prepared>>, NotCommitted> {
        let mut now: Vec<Cow<'_, Prepared>> = events.iter().map(|event| Cow::Borrowed(*event)).collect();
        for (&place, known) in firsts.iter().zip(known) {
            let prepared = &events[place];
            let whole = match &known.event {
                // An update says what changed; the rest is what the event meant before.
                Some(stored) if prepared.update.is_some() && !known.was_said => {
                    let standing = stored.standing()?.clone();
                    let standing = self.store.with_names(booking.org(), vec![standing]).await?.remove(0);
                    standing.event.updated_by(&prepared.event)
                }
                _ if prepared.version != booking.in_force.version => prepared.event.clone(),
                _ => continue,
            };
            let whole = Prepared { update: prepared.update, ..self.prepare(booking.org(), &booking.in_force, whole) };
            // The whole may tell of a call, or look like another event, where the update alone did not.
            let asked: Vec<OnceKey> = [whole.call, whole.likeness].into_iter().flatten().collect();
            if (whole.call, whole.likeness) != (prepared.call, prepared.likeness) && !asked.is_empty() {
                let mut found = write.find_once(booking.org(), &asked).await?.into_iter();
                known.call = whole.call.and_then(|_| found.next().flatten()).map(EventNumber);
                known.like = whole.likeness.and_then(|_| found.next().flatten()).map(EventNumber);
            }
            now[place] = Cow::Owned(whole);
        }
        Ok(now)
    }

    /// What the book knows of each event's id, and of its call; and the first record of which everything is in this database.
    async fn look_up(
        &self,
        write: &mut Write,
        head: &Head,
        events: &[&Prepared],
        firsts: &[usize],
    ) -> Result<(Vec<Known>, i64), NotCommitted> {
        let org = head.org;
        let mut keys: Vec<OnceKey> = firsts.iter().map(|&place| events[place].key).collect();
        keys.extend(firsts.iter().filter_map(|&place| events[place].call));
        let calls = keys.len() - firsts.len();
        keys.extend(firsts.iter().filter_map(|&place| events[place].likeness));
        let likes = keys.len() - firsts.len() - calls;
        keys.extend(firsts.iter().filter_map(|&place| events[place].update));
        let found = write.find_once(org, &keys).await?;
        let whole_from = if found.iter().any(Option::is_some) { write.whole_from(head).await? } else { 1 };
        let (of_events, rest) = found.split_at(firsts.len());
        let (of_calls, rest) = rest.split_at(calls);
        let (of_likes, of_updates) = rest.split_at(likes);
        let (mut of_calls, mut of_likes, mut of_updates) = (of_calls.iter(), of_likes.iter(), of_updates.iter());

        let hits: Vec<(EventNumber, [u8; 16])> = firsts
            .iter()
            .zip(of_events)
            .filter_map(|(&place, number)| Some((EventNumber((*number)?), events[place].content)))
            .collect();
        let mut stored: HashMap<EventNumber, Stored> = HashMap::with_capacity(hits.len());
        if !hits.is_empty() {
            let (rows, newest) = write.revisions_saying(org, &hits).await?;
            for row in rows {
                let stored = stored.entry(row.event).or_default();
                stored.newest = newest.get(&row.event).copied().unwrap_or(0);
                stored.revisions.push(row);
            }
            let hits: Vec<EventNumber> = hits.iter().map(|(event, _)| *event).collect();
            for held in write.held_among(org, &hits).await? {
                // What it says may be missing.
                if let Some(stored) = stored.get_mut(&held.event) {
                    stored.held = true;
                }
            }
        }
        let mut known = Vec::with_capacity(firsts.len());
        for (&place, number) in firsts.iter().zip(of_events) {
            let call = events[place].call.and_then(|_| of_calls.next().copied().flatten()).map(EventNumber);
            let like = events[place].likeness.and_then(|_| of_likes.next().copied().flatten()).map(EventNumber);
            let was_said = events[place].update.and_then(|_| of_updates.next().copied().flatten()).is_some();
            let number = number.map(EventNumber);
            let event = number.filter(|number| number.0 >= whole_from).and_then(|number| stored.get(&number).cloned());
            known.push(Known { number, event, call, like, was_said });
        }
        Ok((known, whole_from))
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
        let standing = self.store.with_names(org, vec![stored.standing()?.clone()]).await?.remove(0);
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
        let revision = stored.newest + 1;
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

impl Meeting {
    /// The event of the book that it is.
    fn event(&self) -> Option<EventNumber> {
        match self {
            Meeting::Completes { event, .. } | Meeting::Conflicts { event, .. } => Some(*event),
            Meeting::New | Meeting::Known(_) => None,
        }
    }
}

/// What the book knows of an event before it is decided.
struct Known {
    /// Its number, if its id was booked.
    number: Option<EventNumber>,
    /// What is stored under its id, as far as that is in this database.
    event: Option<Stored>,
    /// Who holds the call that it tells of.
    call: Option<EventNumber>,
    /// An event of the same source that says the same under another id.
    like: Option<EventNumber>,
    /// It is an update that was told before.
    was_said: bool,
}

impl Known {
    /// Whose call it is evidence of already.
    fn evidence_of(&self) -> Option<EventNumber> {
        self.event.as_ref()?.standing().ok()?.about
    }

    /// Who holds the call that it tells of, where that is another event which is not in this database: its month was taken out,
    /// or nothing is left that says who holds the call.
    fn call_that_is_gone(&self, whole_from: i64, holders: &HashMap<EventNumber, Holder>) -> Option<EventNumber> {
        let calls = [self.call, self.evidence_of()].into_iter().flatten().filter(|call| Some(*call) != self.number);
        calls.into_iter().find(|call| call.0 < whole_from || !holders.contains_key(call))
    }
}

/// An id that was booked is never booked again, also where nothing tells any more whether the same was said.
fn missing(event: EventNumber, whole_from: i64) -> Rejected {
    let why = why_it_is_gone(event, whole_from);
    Rejected::new("id", Problem::Contradiction(format!("this is event {event} already, and {why}")))
}

fn call_is_gone(call: EventNumber, whole_from: i64) -> Rejected {
    let why = why_it_is_gone(call, whole_from);
    Rejected::new("provider_request_id", Problem::Contradiction(format!("event {call} holds this call already, and {why}")))
}

fn why_it_is_gone(event: EventNumber, whole_from: i64) -> &'static str {
    match event.0 < whole_from {
        true => "its month was taken out of this database, so what was booked stands",
        false => "it is missing in this database; `farthing verify` says more",
    }
}

/// What is stored under an id, as far as it matters to what comes now.
#[derive(Clone, Default)]
struct Stored {
    revisions: Vec<EventRow>,
    newest: u32,
    held: bool,
}

impl Stored {
    /// The revision that is what the event means.
    fn standing(&self) -> Result<&EventRow, StoreError> {
        let only_conflicts = || StoreError::damaged(format!("event {}", self.revisions[0].event), "it has only conflicts");
        self.revisions.iter().rev().find(|row| row.state.stands()).ok_or_else(only_conflicts)
    }
}

/// The calls that events of a group tell of which have to wait for the next pass.
struct Waiting {
    calls: HashSet<OnceKey>,
    /// Those that say something else of an id of the group, the last one first.
    of_known_ids: Vec<(usize, [Option<OnceKey>; 2])>,
}

impl Waiting {
    fn new(steps: &[Option<Step>], events: &[Cow<'_, Prepared>], firsts: &[usize]) -> Waiting {
        let later = |place: &usize| matches!(steps[*place], Some(Step::Later));
        let places: Vec<usize> = (0..events.len()).rev().filter(later).collect();
        let mut of_known_ids = Vec::with_capacity(places.len());
        if !places.is_empty() {
            let calls: HashMap<OnceKey, Option<OnceKey>> =
                firsts.iter().map(|&first| (events[first].key, events[first].call)).collect();
            of_known_ids.extend(places.into_iter().map(|place| (place, [events[place].call, calls[&events[place].key]])));
        }
        Waiting { calls: HashSet::new(), of_known_ids }
    }

    /// The calls of those that come before this place.
    fn before(&mut self, place: usize) -> &HashSet<OnceKey> {
        while let Some((_, calls)) = self.of_known_ids.pop_if(|(waits, _)| *waits < place) {
            self.calls.extend(calls.into_iter().flatten());
        }
        &self.calls
    }
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
    revises: Option<(EventNumber, u32)>,
) -> Result<(EventNumber, Outcome), NotCommitted> {
    let rating = &prepared.rating;
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

/// An update is known from now on.
fn said(booking: &mut Booking<'_>, prepared: &Prepared, event: EventNumber) {
    if let Some(update) = prepared.update {
        booking.remember(update, event);
    }
}

/// Books a call again on this event's word, in place of the one it was booked on, or for the first time where it waits.
fn promote(
    booking: &mut Booking<'_>,
    prepared: &Prepared,
    revises: Option<(EventNumber, u32)>,
    about: EventNumber,
    entries: &[Entry],
    reason: NameId,
) -> Result<Outcome, NotCommitted> {
    let Rating::Rated(rated) = &prepared.rating else {
        return Err(NotCommitted::Lasting("an event without a price was to be booked".to_owned()));
    };
    let own = revises.is_some_and(|(event, _)| event == about);
    let (state, about_it) = if own { (State::Posted, None) } else { (State::Promoted, Some(about)) };
    let record = booking.record(&prepared.event, prepared.content, state, revises, about_it);
    match revises {
        None => booking.remember(prepared.key, EventNumber(record)),
        Some((event, _)) => booking.release(event),
    }
    booking.release(about);
    said(booking, prepared, revises.map_or(EventNumber(record), |(event, _)| event));
    let turn = entries.iter().map(|entry| entry.turn + 1).max().unwrap_or(0);
    let charges = booking.charges(about, &prepared.event, rated, turn).map_err(|e| NotCommitted::Data(e.to_string()))?;
    let standing = standing(entries);
    let entries = match standing.is_empty() {
        true => charges,
        false => book_again(&standing, charges, turn, booking.head.first_open, reason),
    };
    let entry = booking.post(entries);
    Ok(Outcome::Posted { entry, amount: rated.amount, currency: rated.currency, version: booking.in_force.version })
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
