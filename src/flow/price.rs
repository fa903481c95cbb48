//! What a model costs: the card that would decide a call at an instant, with an operator's own rates laid over it, where it
//! was read, and everything that was looked at on the way.

use crate::catalog::resolution::{self, Layer};
use crate::catalog::{Card, Override, Rates};
use crate::flow::InForce;
use crate::id::Version;
use crate::rating::Unpriced;
use crate::time::Instant;
use crate::usage::dialect::{Context, native};
use crate::usage::reading::Rejected;
use serde_json::{Map, Value, json};

/// The call that is asked about.
#[derive(Clone, Debug, Default)]
pub struct Question {
    pub provider: String,
    pub model: String,
    pub at: Option<Instant>,
    pub served_by: Option<String>,
    pub variant: Option<String>,
    pub service_tier: Option<String>,
    pub region: Option<String>,
    pub team: Option<String>,
    pub project: Option<String>,
    pub key: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Price {
    pub version: Version,
    pub at: Instant,
    /// The card with what overrides it, or why there is none.
    pub found: Result<Found, String>,
    pub tried: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Found {
    pub layer: Layer,
    /// The card or the override that decides, by its label.
    pub label: String,
    /// What is charged: the card's rates with the override's in their place.
    pub card: Card,
    /// The card that an override hides.
    pub hidden: Option<String>,
    /// What the owner bears instead, where there is a chargeback for it.
    pub chargeback: Option<(String, Rates)>,
}

/// Asks a catalog for the price of a call.
pub fn price(question: &Question, in_force: &InForce, now: Instant) -> Result<Price, Rejected> {
    let at = question.at.unwrap_or(now);
    let mut event: Map<String, Value> = Map::new();
    for (name, value) in [
        ("id", Some("question".to_owned())),
        ("source", Some("question".to_owned())),
        ("occurred_at", Some(at.to_string())),
        ("provider", Some(question.provider.clone())),
        ("model", Some(question.model.clone())),
        ("served_by", question.served_by.clone()),
        ("variant", question.variant.clone()),
        ("service_tier", question.service_tier.clone()),
        ("region", question.region.clone()),
        ("team", question.team.clone()),
        ("project", question.project.clone()),
        ("key", question.key.clone()),
    ] {
        event.extend(value.map(|value| (name.to_owned(), Value::String(value))));
    }
    event.insert("usage".to_owned(), json!({"input": 1}));
    // It comes through the same door as usage, so a name that no event could have is refused in the same words.
    let context = Context { received_at: at, source: None, strict: true };
    let event = native::read(&Value::Object(event).to_string(), &context)?;

    let mut tried = Vec::new();
    let found = resolution::find(&in_force.catalog, &event, &mut tried);
    let chargeback = found.chargeback.map(|chargeback| (chargeback.label.to_string(), chargeback.it.rates.clone()));
    let found: Result<Found, String> = match (found.contract, &found.card) {
        (Some(contract), Ok(found)) if contract.it.currency != found.currency() => {
            let (one, other) = (contract.it.currency, found.currency());
            Err(Unpriced::TwoCurrencies { one, other }.to_string())
        }
        (Some(contract), card) => {
            let hidden = card.as_ref().ok().map(|found| found.card);
            Ok(Found {
                layer: Layer::Override,
                label: contract.label.to_string(),
                card: laid_over(hidden.map(|hidden| hidden.it), contract.it),
                hidden: hidden.map(|hidden| hidden.label.to_string()),
                chargeback,
            })
        }
        (None, Ok(found)) => {
            let (layer, label, card) = (found.layer, found.card.label.to_string(), found.card.it.clone());
            Ok(Found { layer, label, card, hidden: None, chargeback })
        }
        (None, Err(no_card)) => Err(no_card.to_string()),
    };
    let found = found.map(|mut found| {
        found.card.origin = in_force.catalog.origin_of(&found.label).unwrap_or_default();
        found
    });
    Ok(Price { version: in_force.version, at, found, tried })
}

/// An override's rates where it names a meter, the card's elsewhere.
fn laid_over(card: Option<&Card>, with: &Override) -> Card {
    let below = card.map_or_else(Rates::default, |card| card.rates.clone());
    let kept = below.iter().filter(|(meter, _)| with.rates.get(*meter).is_none());
    let rates = Rates::new(with.rates.iter().chain(kept).collect());
    // A meter that the override names is not the card's any more, in no condition either.
    let when = card.into_iter().flat_map(|card| &card.when).map(|conditional| {
        let kept = conditional.rates.iter().filter(|(meter, _)| with.rates.get(*meter).is_none());
        crate::catalog::Conditional { rates: Rates::new(kept.collect()), ..conditional.clone() }
    });
    let when = when.filter(|conditional| !conditional.rates.is_empty()).chain(with.when.iter().cloned()).collect();
    let graduated = card.map_or_else(Vec::new, |card| card.graduated.clone());
    Card { from: with.from, currency: with.currency, when, graduated, origin: with.origin.clone(), ..Card::of(rates) }
}
