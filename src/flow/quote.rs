//! Quotes: what an event would cost, and why, without posting anything.

use crate::flow::InForce;
use crate::ledger;
use crate::money::Amount;
use crate::rating::{Rating, explain};
use crate::usage::UsageEvent;

#[derive(Clone, Debug)]
pub struct Quote {
    pub event: UsageEvent,
    pub rating: Rating,
    /// What it would book: from which account, to which, and how much.
    pub postings: Vec<(String, String, Amount)>,
    /// The steps that led to it.
    pub tried: Vec<String>,
}

pub fn quote(event: UsageEvent, in_force: &InForce) -> Quote {
    let (rating, tried) = explain(&event, &in_force.catalog);
    let cost = in_force.catalog.rules().cost();
    let mut postings = Vec::new();
    if let Rating::Rated(rated) = &rating {
        for portion in rated.portions(&event) {
            let account = |party| ledger::account(party, cost, portion.owner, &event.product);
            let charges = portion.rated.charges.iter();
            postings.extend(charges.map(|charge| (account(charge.debit), account(charge.credit), charge.amount)));
        }
    }
    Quote { event, rating, postings, tried }
}
