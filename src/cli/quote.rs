//! `quote`: what events would cost, line item by line item, and why that rate. Nothing is posted.

use super::{Failure, Outcome, open, read_input};
use crate::config::Settings;
use crate::flow::intake::{self, Framing};
use crate::flow::now;
use crate::flow::quote::quote;
use crate::flow::rejected::id_of;
use crate::http::wire::QuoteBody;
use crate::usage::dialect::{Context, Dialect, Told};
use crate::usage::reading;
use clap::Args;

#[derive(Args)]
pub struct Quote {
    /// A file of JSON or NDJSON; - is standard input
    file: String,
    /// text or json
    #[arg(long, default_value = "text")]
    format: String,
}

impl Quote {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let bytes = read_input(&self.file)?;
        let (farthing, org) = open(settings).await?;
        let in_force = farthing.in_force(org).await?;
        let source = reading::text("source", "quote").ok();
        let context = Context { received_at: now(), source, strict: false };
        let array = bytes.trim_ascii_start().first() == Some(&b'[');
        // A single event may be spread over lines; several are one a line.
        let framing = if array || serde_json::from_slice::<&serde_json::value::RawValue>(&bytes).is_ok() {
            Framing::Json
        } else {
            Framing::Lines
        };
        let received = intake::read(&bytes, framing, Dialect::Native, &context).map_err(|e| Failure::Refused(e.to_string()))?;
        let mut unanswered = 0;
        for piece in received {
            let version = in_force.version.0;
            let body = match piece.told.map(Told::into_event) {
                Ok(Some(event)) => QuoteBody::new(piece.index, piece.line, version, Ok(&quote(event, &in_force))),
                Ok(None) => continue,
                Err(why) => QuoteBody::new(piece.index, piece.line, version, Err((&why, id_of(&piece.piece)))),
            };
            unanswered += usize::from(body.outcome != "rated");
            match self.format.as_str() {
                "json" => println!("{}", serde_json::to_string(&body).expect("a quote is always JSON")),
                "text" => print(&body),
                other => return Err(Failure::Usage(format!("`{other}` is no format; known are text and json"))),
            }
        }
        farthing.store.close().await;
        if unanswered == 0 { Ok(()) } else { Err(Failure::Refused(format!("{unanswered} events have no price"))) }
    }
}

fn print(quote: &QuoteBody) {
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    println!("{}  {}  {} {}", said(&quote.id), quote.outcome, said(&quote.amount), said(&quote.currency));
    if let Some(detail) = &quote.detail {
        let field = quote.field.as_ref().map_or(String::new(), |field| format!("{field}: "));
        println!("  {field}{detail}");
    }
    for item in &quote.line_items {
        let rate = item.rate.as_ref().map_or(String::new(), |rate| format!(" x {rate}"));
        let instead = item.inherited_from.map_or(String::new(), |meter| format!("  (at the rate of {meter})"));
        let card = item.card.as_ref().map_or(String::new(), |card| format!("  (from {card})"));
        println!("  {:<18} {:>14}{rate} = {}{instead}{card}", item.meter, item.quantity, item.amount);
    }
    for charge in &quote.charges {
        println!("  {} owes {}  {}", charge.owner, charge.payee, charge.amount);
    }
    for (name, amount) in
        [("rated", &quote.rated_amount), ("reported", &quote.reported_amount), ("at list price", &quote.list_amount)]
    {
        if let Some(amount) = amount {
            println!("  {name} {amount}");
        }
    }
    println!("  catalog version {}", quote.catalog_version);
    for step in &quote.tried {
        println!("    {step}");
    }
}
