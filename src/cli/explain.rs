//! `explain`: why a request cost what it cost. Its entries with their line items, the card and the catalog version that
//! decided, and everything that was looked at on the way.

use super::{Failure, Outcome, open};
use crate::config::Settings;
use crate::flow::explain::Explained;
use crate::http::wire::{EntryBody, EventRef};
use clap::Args;

#[derive(Args)]
pub struct Explain {
    /// The id of the event
    id: String,
    /// Its source [default: the only one that has such an id]
    #[arg(long)]
    source: Option<String>,
}

impl Explain {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let (farthing, org) = open(settings).await?;
        let sources = match self.source {
            Some(source) => vec![source],
            None => farthing.store.sources(org).await?,
        };
        let mut found = 0;
        for source in sources {
            if let Some(explained) = farthing.explain(org, &source, &self.id).await? {
                print(&explained).map_err(|e| Failure::Io(e.to_string()))?;
                found += 1;
            }
        }
        farthing.store.close().await;
        match found {
            0 => Err(Failure::Refused(format!("no event has the id {}", self.id))),
            _ => Ok(()),
        }
    }
}

fn print(explained: &Explained) -> Result<(), crate::store::StoreError> {
    let event = &explained.standing.event;
    println!("{} of {}, {} at {}", event.id, event.source, event.outcome.name(), event.occurred_at);
    println!("  {}/{}", event.product.provider, event.product.model);
    if let Some(other) = &explained.booked_with {
        println!("  booked together with {} of {}", other.event.id, other.event.source);
    }
    if let Some(held) = &explained.held {
        println!("  held ({}): {}", held.reason.name(), held.detail);
    }
    let reference = EventRef { source: event.source.to_string(), id: event.id.to_string() };
    for booked in &explained.booked {
        let entry = EntryBody::new(booked, Some(reference.clone()), &explained.names)?;
        println!("\nentry {} ({}, turn {})  {} {}", entry.entry, entry.kind, entry.turn, entry.amount, entry.currency);
        println!("  {} owes {}; recorded {} in block {}", entry.debit, entry.credit, entry.recorded_at, entry.block);
        let card = entry.card.as_deref().unwrap_or("-");
        println!("  layer {}, card {card}, catalog version {}, rater {}", entry.layer, entry.catalog_version, entry.rater);
        for (what, text) in [("reason", &entry.reason), ("above", &entry.above), ("reverses entry", &entry.reverses)] {
            if let Some(text) = text {
                println!("  {what}: {text}");
            }
        }
        for item in &entry.line_items {
            let rate = item.rate.as_ref().map_or(String::new(), |rate| format!(" x {rate}"));
            let instead = item.inherited_from.map_or(String::new(), |meter| format!("  (at the rate of {meter})"));
            println!("  {:<18} {:>14}{rate} = {}{instead}", item.meter, item.quantity, item.amount);
        }
        for (what, amount) in
            [("rated", &entry.rated_amount), ("reported", &entry.reported_amount), ("at list price", &entry.list_amount)]
        {
            if let Some(amount) = amount {
                println!("  {what} {amount}");
            }
        }
    }
    if let Some(claimed) = event.claimed {
        let drift = claimed.amount - explained.borne;
        let how = if drift.is_negative() { "less" } else { "more" };
        println!("\nthe gateway computed {} {}, {} {how}", claimed.amount, claimed.currency, drift.abs());
    }
    println!("\nhow version {} decides it:", explained.version);
    explained.tried.iter().for_each(|step| println!("  {step}"));
    if let Some(origin) = &explained.origin {
        for (what, text) in
            [("source", &origin.source), ("checked", &origin.checked), ("note", &origin.note), ("remark", &origin.remark)]
        {
            if let Some(text) = text {
                println!("  {what}: {text}");
            }
        }
    }
    Ok(())
}
