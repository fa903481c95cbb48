//! What is to be done with an event, decided before anything is written. Two sources may tell of one call: the first to come
//! holds it and is charged, the other is *evidence*. Whose word the call is booked on is another question: that of the
//! source which the published ranking puts first, or of the only one whose word has a price.

use super::{Known, Meeting, NotCommitted, Outcome, Prepared};
use crate::catalog::rules::Rules;
use crate::flow::Farthing;
use crate::id::{EventNumber, Org};
use crate::ledger::seal::{EventRow, decides};
use crate::rating::Rating;
use crate::store::{Names, OnceKey, Write};
use crate::usage::Text;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// What is to be done with the first event of an id in a group.
pub(super) enum Plan {
    Known(Outcome),
    /// It depends on an earlier event of the group, which has to be in the book first.
    Later,
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
    /// Record it and book the call that another event holds on this one's word.
    BookAgain {
        revises: Option<(EventNumber, u32)>,
        about: EventNumber,
        reason: String,
    },
    /// Record it and post or hold it; `claims` is the key of a call that nobody holds yet.
    Book {
        revises: Option<(EventNumber, u32)>,
        claims: Option<OnceKey>,
        suspicion: Option<(About, &'static str)>,
    },
}

/// An event of the book, or an earlier one of this group.
#[derive(Clone, Copy)]
pub(super) enum About {
    Booked(EventNumber),
    Booking(usize),
}

pub(super) const SAME_BUT_FOR_ITS_ID: &str = "the source says the same under another id";
const SAME_CALL: &str = "the source tells of the same call under another id";

/// Who holds a call, and on whose word it is booked.
pub(super) struct Holder {
    word_of: Text,
    /// The event of the record that decides.
    decides: EventNumber,
    /// Nothing is booked for the call: it waits, or its holder tells of another call by now.
    is_held: bool,
    /// Every source that told of the call.
    told_by: HashSet<Text>,
}

/// A call that an event of this group claims, and the events of the group that tell of it.
pub(super) struct Claimed {
    pub first: usize,
    pub places: Vec<usize>,
}

/// Everything a plan is made from.
pub(super) struct Scene<'s> {
    pub rules: &'s Rules,
    pub holders: &'s HashMap<EventNumber, Holder>,
    pub events: &'s [Cow<'s, Prepared>],
}

impl Scene<'_> {
    pub fn plan(&self, place: usize, meeting: Meeting, known: &Known, of_group: Option<&Claimed>) -> Plan {
        let prepared = &self.events[place];
        let (revises, conflict) = match meeting {
            Meeting::Known(outcome) => return Plan::Known(outcome),
            Meeting::New => (None, None),
            Meeting::Completes { event, revision } => (Some((event, revision)), None),
            Meeting::Conflicts { event, revision, fields } => (Some((event, revision)), Some(fields)),
        };
        let mine = revises.map(|(event, _)| event);
        if let (Some((event, revision)), Some(fields)) = (revises, conflict) {
            // Of a call that is booked on another's word nothing is charged on this one's: saying something else contradicts
            // no charge, and may be the better word by now.
            let about = known.evidence_of().or(known.call.filter(|call| *call == event));
            let holder = about.and_then(|about| Some((about, self.holders.get(&about)?)));
            return match holder.filter(|(_, holder)| holder.decides != event) {
                Some((about, holder)) => self.beside_another(prepared, revises, about, holder),
                None => Plan::Conflict { event, revision, fields },
            };
        }
        let holder = known.call.filter(|call| mine != Some(*call)).and_then(|event| Some((event, self.holders.get(&event)?)));
        match (holder, of_group) {
            // One source with two ids for a call: whichever of them is first.
            (Some((about, holder)), _) if holder.told_by.contains(&prepared.event.source) => {
                Plan::Book { revises, claims: None, suspicion: Some((About::Booked(about), SAME_CALL)) }
            }
            (Some((about, holder)), _) => self.beside_another(prepared, revises, about, holder),
            (None, Some(claimed)) if known.call.is_none() => self.beside_one_of_the_group(prepared, revises, claimed),
            _ => Plan::Book { revises, claims: prepared.call.filter(|_| known.call.is_none()), suspicion: None },
        }
    }

    /// Another source holds its call.
    fn beside_another(
        &self,
        prepared: &Prepared,
        revises: Option<(EventNumber, u32)>,
        about: EventNumber,
        holder: &Holder,
    ) -> Plan {
        match self.speaks_louder(prepared, holder) {
            Some(reason) => Plan::BookAgain { revises, about, reason },
            None => Plan::Evidence { revises, about: About::Booked(about) },
        }
    }

    /// Its call is claimed by an earlier event of the same group.
    fn beside_one_of_the_group(&self, prepared: &Prepared, revises: Option<(EventNumber, u32)>, claimed: &Claimed) -> Plan {
        let source = &prepared.event.source;
        let other = &self.events[claimed.first];
        let louder = self.rules.rank(source) < self.rules.rank(&other.event.source) || !is_rated(other);
        if claimed.places.iter().any(|&place| self.events[place].event.source == *source) {
            Plan::Book { revises, claims: None, suspicion: Some((About::Booking(claimed.first), SAME_CALL)) }
        } else if is_rated(prepared) && louder {
            Plan::Later
        } else {
            Plan::Evidence { revises, about: About::Booking(claimed.first) }
        }
    }

    /// Why a call is booked on this event's word rather than on the one it is booked on now, if it is.
    fn speaks_louder(&self, prepared: &Prepared, holder: &Holder) -> Option<String> {
        let (source, other) = (&prepared.event.source, &holder.word_of);
        if !is_rated(prepared) {
            None
        } else if holder.is_held {
            Some(format!("{source} says what {other} did not"))
        } else if self.rules.rank(source) < self.rules.rank(other) {
            Some(format!("the word of {source} counts for more than that of {other}"))
        } else {
            None
        }
    }
}

fn is_rated(prepared: &Prepared) -> bool {
    matches!(prepared.rating, Rating::Rated(_))
}

impl Plan {
    pub fn records(&self) -> bool {
        !matches!(self, Plan::Known(_) | Plan::Later)
    }

    /// The event of the book whose charges it makes or replaces, or of whose call it tells.
    pub fn moves(&self) -> Option<EventNumber> {
        match self {
            Plan::Book { revises: Some((event, _)), .. } | Plan::Evidence { about: About::Booked(event), .. } => Some(*event),
            other => other.books_again(),
        }
    }

    /// The event whose charges it replaces.
    pub fn books_again(&self) -> Option<EventNumber> {
        match self {
            Plan::BookAgain { about, .. } => Some(*about),
            _ => None,
        }
    }
}

impl About {
    pub fn number(self, booked: &HashMap<usize, EventNumber>) -> EventNumber {
        match self {
            About::Booked(number) => number,
            About::Booking(first) => booked[&first],
        }
    }
}

impl Farthing {
    /// Who holds these calls. Asked only of those that matter: nearly every event is the first to tell of its call.
    pub(super) async fn holders(
        &self,
        write: &mut Write,
        org: Org,
        mut events: Vec<EventNumber>,
    ) -> Result<HashMap<EventNumber, Holder>, NotCommitted> {
        events.sort_unstable();
        events.dedup();
        if events.is_empty() {
            return Ok(HashMap::new());
        }
        let mut rows = write.revisions(org, &events).await?;
        rows.extend(write.told_of(org, &events).await?);
        let held = write.held_among(org, &events).await?;
        let mut names = Names::default();
        let sources: Vec<_> = rows.iter().map(|row| row.source).collect();
        names.learn(&self.store, org, &[], &[], &sources).await?;
        let text = |row: &EventRow| Ok::<_, NotCommitted>(Text::new(names.text(row.source)?).unwrap_or(Text::known("-")));

        let mut holders = HashMap::with_capacity(events.len());
        for event in events {
            let own = || rows.iter().filter(|row| row.event == event && row.state.stands());
            let Some(decides) = decides(event, &rows) else { continue };
            // Evidence of another call is what its holder has become; unless others told of this one, it is booked nowhere.
            let has_left = own().next_back().is_some_and(|row| row.about.is_some()) && decides.event == event;
            let told = rows.iter().filter(|row| row.event == event || row.about == Some(event));
            let holder = Holder {
                word_of: text(decides)?,
                decides: decides.event,
                is_held: has_left || held.iter().any(|held| held.event == event),
                told_by: told.map(text).collect::<Result<_, _>>()?,
            };
            holders.insert(event, holder);
        }
        Ok(holders)
    }
}
