//! How entries, quotes and outcomes look on the wire. Money is always a string; a field that has no value is left out.

use crate::export::{OWNER, PRODUCT};
use crate::flow::ingest::Outcome;
use crate::flow::quote::Quote;
use crate::id::NameId;
use crate::ledger::Entry;
use crate::ledger::items::Item;
use crate::money::Amount;
use crate::rating::{LineItem, Rating};
use crate::store::{BookedEntry, Decision, Names, StoreError};
use crate::usage::UsageEvent;
use crate::usage::dialect::native;
use crate::usage::reading::Rejected;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What became of one event of a request.
#[derive(Serialize, Debug)]
pub struct Result {
    pub index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog_version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
}

impl Result {
    pub fn new(index: usize, line: Option<usize>, id: Option<String>, outcome: &Outcome) -> Result {
        let mut result = Result {
            index,
            line,
            id,
            outcome: name_of(outcome),
            amount: None,
            currency: None,
            entry: None,
            catalog_version: None,
            reason: None,
            detail: None,
            field: None,
            hint: None,
            fields: None,
            conflict: None,
        };
        match outcome {
            Outcome::Posted { entry, amount, currency, version } => {
                result.amount = Some(amount.to_string());
                result.currency = Some(currency.to_string());
                result.entry = Some(entry.to_string());
                result.catalog_version = Some(version.0);
            }
            Outcome::AlreadyPresent => {}
            Outcome::Evidence { about } => result.detail = Some(format!("event {about} booked this call already")),
            Outcome::Held { reason, detail } => {
                result.reason = Some(reason.name());
                result.detail = Some(detail.clone());
            }
            Outcome::Conflict { conflict, fields } => {
                result.fields = Some(fields.clone());
                result.conflict = Some(conflict.to_string());
                result.detail = Some(format!("this id means something else already; it differs in {}", fields.join(", ")));
            }
            Outcome::Rejected(rejected) => {
                result.field = Some(rejected.field.clone());
                result.detail = Some(rejected.problem.to_string());
                result.hint = rejected.hint();
            }
            Outcome::Ignored(why) => result.detail = Some((*why).to_owned()),
        }
        result
    }
}

pub const fn name_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Posted { .. } => "posted",
        Outcome::AlreadyPresent => "already_present",
        Outcome::Evidence { .. } => "evidence",
        Outcome::Held { .. } => "held",
        Outcome::Conflict { .. } => "conflict",
        Outcome::Rejected(_) => "rejected",
        Outcome::Ignored(_) => "ignored",
    }
}

/// How many events of a request became what.
#[derive(Serialize, Debug, Default, Clone, Copy)]
pub struct Counts {
    pub received: usize,
    pub posted: usize,
    pub already_present: usize,
    pub evidence: usize,
    pub held: usize,
    pub conflict: usize,
    pub rejected: usize,
    pub ignored: usize,
}

impl Counts {
    pub fn add(&mut self, outcome: &Outcome) {
        self.received += 1;
        *match outcome {
            Outcome::Posted { .. } => &mut self.posted,
            Outcome::AlreadyPresent => &mut self.already_present,
            Outcome::Evidence { .. } => &mut self.evidence,
            Outcome::Held { .. } => &mut self.held,
            Outcome::Conflict { .. } => &mut self.conflict,
            Outcome::Rejected(_) => &mut self.rejected,
            Outcome::Ignored(_) => &mut self.ignored,
        } += 1;
    }
}

/// An event as one would send it.
pub fn event(event: &UsageEvent) -> Box<RawValue> {
    RawValue::from_string(native::write(event)).expect("an event is written as JSON")
}

#[derive(Serialize)]
pub struct LineItemBody {
    pub meter: &'static str,
    pub quantity: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    pub amount: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inherited_from: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
}

#[derive(Serialize)]
pub struct EntryBody {
    pub entry: String,
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<EventRef>,
    pub turn: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverses: Option<String>,
    pub occurred_at: String,
    pub recorded_at: String,
    pub period: String,
    pub debit: String,
    pub credit: String,
    pub amount: String,
    pub currency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rated_amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_amount: Option<String>,
    pub layer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub catalog_version: i64,
    pub rater: u16,
    pub block: i64,
    pub source: String,
    pub outcome: &'static str,
    pub calls: u64,
    pub estimated: bool,
    #[serde(flatten)]
    pub dimensions: BTreeMap<&'static str, String>,
    pub line_items: Vec<LineItemBody>,
}

/// What a person decided, when, and who that was.
#[derive(Serialize)]
pub struct DecisionBody {
    accepted: bool,
    decided_at: String,
    decided_by: String,
}

impl DecisionBody {
    pub fn of(decision: &Decision) -> DecisionBody {
        DecisionBody {
            accepted: decision.accepted,
            decided_at: decision.decided_at.to_string(),
            decided_by: decision.decided_by.clone(),
        }
    }
}

/// An event by the name its producer gave it.
#[derive(Serialize, Clone)]
pub struct EventRef {
    pub source: String,
    pub id: String,
}

impl EntryBody {
    /// `names` knows everything that the entry refers to.
    pub fn new(booked: &BookedEntry, event: Option<EventRef>, names: &Names) -> std::result::Result<EntryBody, StoreError> {
        let entry = &booked.entry;
        let money = |amount: Option<Amount>| amount.map(|amount| amount.to_string());
        let name = |name: Option<crate::id::NameId>| name.map(|name| names.text(name).map(str::to_owned)).transpose();
        let items = entry.items.iter().map(|item| stored_item(item, names));
        Ok(EntryBody {
            entry: entry.sequence.to_string(),
            kind: entry.kind.name(),
            event,
            turn: entry.turn,
            reverses: entry.reverses.map(|sequence| sequence.to_string()),
            occurred_at: entry.occurred_at.to_string(),
            recorded_at: booked.recorded_at.to_string(),
            period: entry.period.to_string(),
            debit: names.text(entry.posting.debit())?.to_owned(),
            credit: names.text(entry.posting.credit())?.to_owned(),
            amount: entry.posting.amount().to_string(),
            currency: entry.posting.currency().to_string(),
            rated_amount: money(entry.rated),
            reported_amount: money(entry.reported),
            list_amount: money(entry.list),
            layer: entry.layer.name(),
            card: name(entry.card)?,
            above: name(entry.above)?,
            reason: name(entry.reason)?,
            catalog_version: booked.version.0,
            rater: booked.rater,
            block: booked.block.0,
            source: names.text(entry.source)?.to_owned(),
            outcome: entry.outcome.name(),
            calls: entry.calls,
            estimated: entry.estimated,
            dimensions: dimensions(entry, names)?,
            line_items: items.collect::<std::result::Result<_, StoreError>>()?,
        })
    }
}

/// Those that it has: an adjustment may be about no model.
fn dimensions(entry: &Entry, names: &Names) -> std::result::Result<BTreeMap<&'static str, String>, StoreError> {
    let owner = OWNER.into_iter().zip(names.of_owner(entry.owner)?);
    let all = owner.chain(PRODUCT.into_iter().zip(names.of_product(entry.product)?));
    let told = all.filter(|(_, name)| **name != 0);
    told.map(|(dimension, name)| Ok((dimension, names.text(NameId(*name))?.to_owned()))).collect()
}

fn stored_item(item: &Item, names: &Names) -> std::result::Result<LineItemBody, StoreError> {
    Ok(LineItemBody {
        meter: item.meter.name(),
        quantity: item.quantity,
        rate: item.rate.map(|rate| rate.to_string()),
        amount: item.amount.to_string(),
        inherited_from: item.inherited_from.map(|meter| meter.name()),
        card: item.card.map(|card| names.text(card).map(str::to_owned)).transpose()?,
    })
}

fn quoted_item(item: &LineItem) -> LineItemBody {
    LineItemBody {
        meter: item.meter.name(),
        quantity: item.quantity,
        rate: item.rate.map(|rate| rate.to_string()),
        amount: item.amount.to_string(),
        inherited_from: item.inherited_from.map(|meter| meter.name()),
        card: item.card.as_deref().map(str::to_owned),
    }
}

#[derive(Serialize)]
pub struct ChargeBody {
    pub owner: String,
    pub payee: String,
    pub amount: String,
}

#[derive(Serialize)]
pub struct QuoteBody {
    pub index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rated_amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    pub catalog_version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<ChargeBody>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub line_items: Vec<LineItemBody>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<String>,
}

impl QuoteBody {
    pub fn new(
        index: usize,
        line: Option<usize>,
        version: i64,
        quote: std::result::Result<&Quote, (&Rejected, Option<String>)>,
    ) -> QuoteBody {
        let mut body = QuoteBody {
            index,
            line,
            id: None,
            outcome: "rejected",
            amount: None,
            rated_amount: None,
            reported_amount: None,
            list_amount: None,
            currency: None,
            layer: None,
            card: None,
            catalog_version: version,
            reason: None,
            detail: None,
            field: None,
            charges: Vec::new(),
            line_items: Vec::new(),
            tried: Vec::new(),
        };
        let quote = match quote {
            Ok(quote) => quote,
            Err((rejected, id)) => {
                body.id = id;
                body.field = Some(rejected.field.clone());
                body.detail = Some(rejected.problem.to_string());
                return body;
            }
        };
        body.id = Some(quote.event.id.to_string());
        body.tried = quote.tried.clone();
        match &quote.rating {
            Rating::Unpriced(unpriced) => {
                body.outcome = "unpriced";
                body.reason = Some(unpriced.reason().name());
                body.detail = Some(unpriced.to_string());
            }
            Rating::Rated(rated) => {
                let money = |amount: Option<Amount>| amount.map(|amount| amount.to_string());
                body.outcome = "rated";
                body.amount = Some(rated.amount.to_string());
                body.rated_amount = money(rated.rated);
                body.reported_amount = money(rated.reported);
                body.list_amount = money(rated.list);
                body.currency = Some(rated.currency.to_string());
                body.layer = Some(rated.layer.name());
                body.card = rated.card.as_deref().map(str::to_owned);
                let posting = |(owner, payee, amount): &(String, String, Amount)| ChargeBody {
                    owner: owner.clone(),
                    payee: payee.clone(),
                    amount: amount.to_string(),
                };
                body.charges = quote.postings.iter().map(posting).collect();
                body.line_items = rated.charges.iter().flat_map(|charge| &charge.items).map(quoted_item).collect();
            }
        }
        body
    }
}
