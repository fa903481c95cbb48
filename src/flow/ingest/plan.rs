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
use std::collections::{BTreeSet, HashMap};

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
    source: Text,
    word_of: Text,
    /// It is booked on another's word.
    is_silent: bool,
    is_held: bool,
}

/// Everything a plan is made from.
pub(super) struct Scene<'s> {
    pub rules: &'s Rules,
    pub holders: &'s HashMap<EventNumber, Holder>,
    pub events: &'s [Cow<'s, Prepared>],
}

impl Scene<'_> {
    pub fn plan(&self, place: usize, meeting: Meeting, known: &Known, of_group: Option<usize>) -> Plan {
        let prepared = &self.events[place];
        let (revises, conflict) = match meeting {
            Meeting::Known(outcome) => return Plan::Known(outcome),
            Meeting::New => (None, None),
            Meeting::Completes { event, revision } => (Some((event, revision)), None),
            Meeting::Conflicts { event, revision, fields } => (Some((event, revision)), Some(fields)),
        };
        let mine = revises.map(|(event, _)| event);
        let holder = known.call.and_then(|event| Some((event, self.holders.get(&event)?)));
        match (revises, conflict, holder) {
            // Its own call is booked on another's word: what it says now contradicts nothing that was charged.
            (Some(_), Some(_), Some((about, holder))) if mine == Some(about) && holder.is_silent => {
                match self.speaks_louder(prepared, holder) {
                    Some(reason) => Plan::BookAgain { revises, about, reason },
                    None => Plan::Evidence { revises, about: About::Booked(about) },
                }
            }
            (Some((event, revision)), Some(fields), _) => Plan::Conflict { event, revision, fields },
            (_, _, Some((about, holder))) if mine != Some(about) => match self.speaks_louder(prepared, holder) {
                _ if holder.source == prepared.event.source => {
                    Plan::Book { revises, claims: None, suspicion: Some((About::Booked(about), SAME_CALL)) }
                }
                Some(reason) => Plan::BookAgain { revises, about, reason },
                None => Plan::Evidence { revises, about: About::Booked(about) },
            },
            (_, _, None) if of_group.is_some() => self.beside(prepared, revises, of_group.expect("it was asked a line ago")),
            _ => Plan::Book { revises, claims: prepared.call.filter(|_| known.call.is_none()), suspicion: None },
        }
    }

    /// Its call is claimed by an earlier event of the same group.
    fn beside(&self, prepared: &Prepared, revises: Option<(EventNumber, u32)>, first: usize) -> Plan {
        let other = &self.events[first];
        let louder = self.rules.rank(&prepared.event.source) < self.rules.rank(&other.event.source) || !is_rated(other);
        if other.event.source == prepared.event.source {
            Plan::Book { revises, claims: None, suspicion: Some((About::Booking(first), SAME_CALL)) }
        } else if is_rated(prepared) && louder {
            Plan::Later
        } else {
            Plan::Evidence { revises, about: About::Booking(first) }
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

    /// The event of the book whose charges it makes or replaces.
    pub fn moves(&self) -> Option<EventNumber> {
        match self {
            Plan::Book { revises: Some((event, _)), .. } => Some(*event),
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
        events: impl Iterator<Item = EventNumber>,
    ) -> Result<HashMap<EventNumber, Holder>, NotCommitted> {
        let events: Vec<EventNumber> = events.collect::<BTreeSet<_>>().into_iter().collect();
        if events.is_empty() {
            return Ok(HashMap::new());
        }
        let mut rows = write.revisions(org, &events).await?;
        rows.extend(write.promoted(org, &events).await?);
        let held = write.held_among(org, &events).await?;
        let mut names = Names::default();
        let sources: Vec<_> = rows.iter().map(|row| row.source).collect();
        names.learn(&self.store, org, &[], &[], &sources).await?;
        let text = |row: &EventRow| Ok::<_, NotCommitted>(Text::new(names.text(row.source)?).unwrap_or(Text::known("-")));

        let mut holders = HashMap::with_capacity(events.len());
        for event in events {
            let own = || rows.iter().filter(|row| row.event == event && row.state.stands());
            let (Some(first), Some(decides)) = (own().next(), decides(event, &rows)) else { continue };
            let holder = Holder {
                source: text(first)?,
                word_of: text(decides)?,
                is_silent: decides.event != event,
                is_held: held.iter().any(|held| held.event == event),
            };
            holders.insert(event, holder);
        }
        Ok(holders)
    }
}
