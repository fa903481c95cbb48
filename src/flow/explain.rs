//! Why an event cost what it cost: what it means today, what was booked for it, and how the catalog version it was booked
//! with decided.

use crate::catalog::Origin;
use crate::flow::{Farthing, FlowError};
use crate::id::{EventNumber, Org, Version};
use crate::ledger::seal::State;
use crate::money::Amount;
use crate::rating::{self, Rating};
use crate::store::{BookedEntry, HeldEvent, Names, StoredEvent};
use crate::usage::Owner;

#[derive(Clone, Debug)]
pub struct Explained {
    /// What holds today.
    pub standing: StoredEvent,
    /// The event of another source on whose word its call is booked, or that holds the call which is booked on its own.
    pub booked_with: Option<StoredEvent>,
    /// Earlier and contradicting contents.
    pub revisions: Vec<StoredEvent>,
    pub held: Option<HeldEvent>,
    pub booked: Vec<BookedEntry>,
    /// What its owner bears in all.
    pub borne: Amount,
    /// Everything that the entries refer to by number.
    pub names: Names,
    /// The version it was booked with last; the one in force where it is not booked.
    pub version: Version,
    pub tried: Vec<String>,
    /// Where the card that decided was read.
    pub origin: Option<Origin>,
}

impl Explained {
    /// Who bears it: as it was booked last, which a rule may have decided; before that whom its producer names.
    pub fn owner(&self) -> Result<Owner, FlowError> {
        match self.booked.last() {
            Some(booked) => Ok(self.names.owner(booked.entry.owner)?),
            None => Ok(self.standing.event.owner.clone()),
        }
    }
}

impl Farthing {
    /// An event by the name its producer gave it.
    pub async fn explain(&self, org: Org, source: &str, id: &str) -> Result<Option<Explained>, FlowError> {
        let store = &self.store;
        let Some(number) = store.once(org, store.event_key(org, source, id)).await? else { return Ok(None) };
        let mut revisions = store.revisions_of(org, EventNumber(number)).await?;
        let Some(standing) = revisions.iter().rposition(|stored| stored.row.state.stands()) else { return Ok(None) };
        let standing = revisions.remove(standing);

        // The charges of a call are booked under the event that holds it, whoever's word they are made of.
        let holder = standing.row.about.filter(|holder| holder.0 != number);
        let booked = store.entries_of(org, holder.unwrap_or(EventNumber(number))).await?;
        let decides = store.standing_events(org, &[holder.unwrap_or(EventNumber(number))]).await?;
        let decides = decides.into_iter().next();
        let booked_with = match holder {
            // On its own word the call is booked with the event that holds it; else with the one whose word it is.
            Some(holder) => match &decides {
                Some(decides) if (&decides.event.source, &decides.event.id) != (&standing.event.source, &standing.event.id) => {
                    Some(decides.clone())
                }
                _ => store.revisions_of(org, holder).await?.into_iter().next(),
            },
            None => decides.clone().filter(|decides| decides.row.state == State::Promoted),
        };
        let event = decides.map_or_else(|| standing.event.clone(), |decides| decides.event);
        let names = self.names_of(org, &booked).await?;
        let version = match booked.last() {
            Some(booked) => booked.version,
            None => store.head(org).await?.version,
        };
        let held = store.held(org, None, EventNumber(number - 1), 1).await?.into_iter().find(|held| held.event.0 == number);
        let catalog = self.published(org, version).await?.catalog;
        let (rating, tried) = rating::explain(&event, &catalog);
        let origin = match rating {
            Rating::Rated(rated) => rated.card.and_then(|card| catalog.origin_of(&card)),
            Rating::Unpriced(_) => None,
        };
        let chart = self.store.chart(org).await?;
        let borne = booked.iter().map(|booked| booked.entry.signed_amount(&chart)).sum();
        Ok(Some(Explained { standing, booked_with, revisions, held, booked, borne, names, version, tried, origin }))
    }

    /// Everything that entries refer to by number.
    pub async fn names_of(&self, org: Org, booked: &[BookedEntry]) -> Result<Names, FlowError> {
        let owners: Vec<_> = booked.iter().map(|booked| booked.entry.owner).collect();
        let products: Vec<_> = booked.iter().map(|booked| booked.entry.product).collect();
        let mut others = Vec::new();
        for entry in booked.iter().map(|booked| &booked.entry) {
            others.extend([entry.posting.debit(), entry.posting.credit(), entry.source]);
            others.extend([entry.card, entry.above, entry.reason].into_iter().flatten());
            others.extend(entry.items.iter().filter_map(|item| item.card));
        }
        let mut names = Names::default();
        names.learn(&self.store, org, &owners, &products, &others).await?;
        Ok(names)
    }
}
