//! Quotes: what an event would cost, and why, without posting anything.

use crate::flow::InForce;
use crate::rating::{Rating, explain};
use crate::usage::UsageEvent;

#[derive(Clone, Debug)]
pub struct Quote {
    pub event: UsageEvent,
    pub rating: Rating,
    /// The steps that led to it.
    pub tried: Vec<String>,
}

pub fn quote(event: UsageEvent, in_force: &InForce) -> Quote {
    let (rating, tried) = explain(&event, &in_force.catalog);
    Quote { event, rating, tried }
}
