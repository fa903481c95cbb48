//! A row of the file: sums and all they are of, with the texts of the numbers in it. Each of its answers is the value of one
//! column or of a few that say the same. Prices are per pricing unit, which is a million tokens or one of anything else: the
//! point moves and no digit is lost, so quantity times price is the cost exactly.

use crate::focus::fold::{Sums, What};
use crate::focus::slice::Nature;
use crate::focus::{Grain, Version};
use crate::ledger::{EntryKind, payee_of};
use crate::money::{Amount, PLACES, Rate};
use crate::time::{Instant, Period};
use crate::usage::{Meter, Owner, Product, Text};
use serde_json::{Map, Value};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Row {
    pub what: What,
    pub sums: Sums,
    pub grain: Grain,
    /// Whose book it is.
    pub org: Arc<str>,
    pub owner: Arc<Owner>,
    pub product: Arc<Product>,
    /// The account that is owed it.
    pub payee: Arc<str>,
    pub card: Option<Arc<str>>,
    pub listed_by: Option<Arc<str>>,
}

/// The value of a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cell {
    Text(String),
    /// A count of 10^-`places`.
    Decimal {
        units: i128,
        places: u32,
    },
    Time(Instant),
    None,
}

/// The places of a price per million, and of the million itself: together those of an amount.
const MILLION: u32 = 6;

/// What is bought and sold in words that a FOCUS unit is written in.
fn units_of(meter: Meter) -> &'static str {
    match meter {
        Meter::Request => "Requests",
        Meter::WebSearch => "Searches",
        Meter::WebFetch => "Fetches",
        Meter::ToolCall => "Tool Calls",
        Meter::Image => "Images",
        Meter::Pixel => "Pixels",
        Meter::Page => "Pages",
        Meter::Millisecond => "Milliseconds",
        Meter::Character => "Characters",
        Meter::Whole => "Currency Units",
        _ => "Tokens",
    }
}

fn meter_in_words(meter: Meter) -> &'static str {
    match meter {
        Meter::Input => "Input Tokens",
        Meter::CacheRead => "Cached Input Tokens",
        Meter::CacheWrite => "Cache Write Tokens",
        Meter::CacheWrite1h => "One Hour Cache Write Tokens",
        Meter::Output => "Output Tokens",
        Meter::Reasoning => "Reasoning Tokens",
        Meter::AudioInput => "Audio Input Tokens",
        Meter::AudioCacheRead => "Cached Audio Input Tokens",
        Meter::AudioOutput => "Audio Output Tokens",
        Meter::ImageInput => "Image Input Tokens",
        Meter::ImageOutput => "Image Output Tokens",
        Meter::VideoInput => "Video Input Tokens",
        Meter::WebSearch => "Web Searches",
        Meter::WebFetch => "Web Fetches",
        Meter::Whole => "Amounts Without Breakdown",
        other => units_of(other),
    }
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    pub fn maybe(text: Option<&Text>) -> Cell {
        text.map_or(Cell::None, |text| Cell::text(&**text))
    }

    pub fn money(amount: Amount) -> Cell {
        Cell::Decimal { units: amount.units(), places: PLACES }
    }
}

impl Row {
    /// What was used, by the meter it is of; nothing of what is only money.
    pub fn meter(&self) -> Option<Meter> {
        match self.what.nature {
            Nature::Metered { meter, .. } | Nature::Counted { meter } => Some(meter),
            Nature::Lump { .. } => Some(Meter::Whole),
            Nature::Margin | Nature::Decision | Nature::ListDifference => None,
        }
    }

    pub fn category(&self) -> Cell {
        Cell::text(if self.meter().is_some() { "Usage" } else { "Adjustment" })
    }

    pub fn class(&self) -> Cell {
        if self.what.is_correction() { Cell::text("Correction") } else { Cell::None }
    }

    pub fn frequency(&self) -> Cell {
        Cell::text(if self.meter().is_some() { "Usage-Based" } else { "One-Time" })
    }

    pub fn pricing_category(&self) -> Cell {
        match self.what.nature {
            Nature::Metered { .. } | Nature::Counted { .. } => Cell::text("Standard"),
            Nature::Lump { .. } => Cell::text("Other"),
            Nature::Margin | Nature::Decision | Nature::ListDifference => Cell::None,
        }
    }

    pub fn charge_period(&self) -> Period {
        Period { from: self.what.start, until: self.grain.end(self.what.start) }
    }

    pub fn billing_period(&self) -> Period {
        self.what.billed_in.period()
    }

    pub fn pricing_quantity(&self) -> Cell {
        match self.meter() {
            Some(Meter::Whole) => Cell::money(self.sums.billed),
            Some(meter) if meter.is_token() => Cell::Decimal { units: self.sums.quantity, places: MILLION },
            Some(_) => Cell::Decimal { units: self.sums.quantity, places: 0 },
            None => Cell::None,
        }
    }

    pub fn pricing_unit(&self) -> Cell {
        match self.meter() {
            Some(meter) if meter.is_token() => Cell::text("1000000 Tokens"),
            Some(meter) => Cell::text(units_of(meter)),
            None => Cell::None,
        }
    }

    pub fn consumed_quantity(&self) -> Cell {
        self.meter().map_or(Cell::None, |_| Cell::Decimal { units: self.sums.quantity, places: 0 })
    }

    pub fn consumed_unit(&self) -> Cell {
        match self.meter() {
            Some(Meter::Whole) => Cell::text("Charges"),
            Some(meter) => Cell::text(units_of(meter)),
            None => Cell::None,
        }
    }

    pub fn contracted_price(&self) -> Cell {
        match self.what.nature {
            Nature::Metered { meter, contracted, .. } => price(meter, contracted),
            Nature::Counted { meter } => price(meter, Rate::ZERO),
            Nature::Lump { .. } => Cell::Decimal { units: 1, places: 0 },
            Nature::Margin | Nature::Decision | Nature::ListDifference => Cell::None,
        }
    }

    pub fn list_price(&self) -> Cell {
        match self.what.nature {
            Nature::Metered { meter, listed, .. } => price(meter, listed),
            Nature::Lump { listed } => Cell::Decimal { units: i128::from(listed), places: 0 },
            _ => self.contracted_price(),
        }
    }

    pub fn sku(&self) -> Cell {
        self.sku_text().map_or(Cell::None, Cell::Text)
    }

    fn sku_text(&self) -> Option<String> {
        let meter = self.meter()?;
        Some(format!("{}/{}/{}", self.product.provider, self.product.model, meter.name()))
    }

    pub fn sku_meter(&self) -> Cell {
        self.meter().map_or(Cell::None, |meter| Cell::text(meter_in_words(meter)))
    }

    /// What the list asks for the meter, and by which card: the same for everybody, whatever was contracted.
    pub fn sku_price(&self) -> Cell {
        let Some(sku) = self.sku_text() else { return Cell::None };
        let by = self.listed_by.as_ref().map_or_else(String::new, |card| format!(" by {card}"));
        Cell::text(format!("{sku} at {}{by}", self.list_price().plain()))
    }

    pub fn sku_details(&self) -> Cell {
        let Some(meter) = self.meter() else { return Cell::None };
        object([("x_Meter", Some(meter.name())), ("x_Model", Some(&self.product.model))])
    }

    pub fn tags(&self) -> Cell {
        let Owner { user, team, project, key, app, agent, environment } = &*self.owner;
        let text = |part: &'static str, text: Option<&'_ Text>| (part, text.map(|text| text.to_string()));
        let tags = [
            text("user", user.as_ref()),
            text("team", team.as_ref()),
            text("project", project.as_ref()),
            text("key", key.as_ref()),
            text("app", app.as_ref()),
            text("agent", agent.as_ref()),
            text("environment", environment.as_ref()),
        ];
        object(tags.iter().map(|(name, value)| (*name, value.as_deref())))
    }

    /// Who runs the model: the upstream of a router, as far as it is known.
    pub fn host(&self) -> Cell {
        Cell::text(&**self.product.served_by.as_ref().unwrap_or(&self.product.provider))
    }

    /// Who sells it and asks for the money: whoever is owed it, which for a key of one's own is the upstream and not the
    /// router. What an owner bears beyond that, the org asks for itself. There is no third party, and if there were, the
    /// specification would have its charges billed as zero.
    pub fn seller(&self) -> Cell {
        Cell::Text(payee_of(&self.payee).unwrap_or_else(|| self.org.to_string()))
    }

    /// One sentence that needs no other column.
    pub fn description(&self) -> Cell {
        let Product { provider, model, .. } = &*self.product;
        let what = match self.what.nature {
            Nature::Metered { meter, .. } => format!("{} of {model} at {provider}", meter_in_words(meter)),
            Nature::Counted { meter } => {
                format!("{} of {model} at {provider}, counted without a rate of their own", meter_in_words(meter))
            }
            Nature::Lump { .. } => format!("Amounts without a breakdown for {model} at {provider}"),
            Nature::Margin => format!("What the owner bears beyond what {provider} is owed for {model}"),
            Nature::Decision => "Adjustment by decision".to_owned(),
            Nature::ListDifference => format!("What the list of {provider} asks for {model} beyond the rates that are known"),
        };
        let reversal = if self.what.kind == EntryKind::Reversal { "Reversal of: " } else { "" };
        let late = if self.what.is_correction() { ", booked after its month was closed" } else { "" };
        Cell::Text(format!("{reversal}{what}{late}"))
    }

    /// Its cells in a version's columns, in their order.
    pub fn cells(&self, version: Version) -> impl Iterator<Item = Cell> + '_ {
        super::column::of(version).map(|column| (column.of)(self))
    }
}

/// Per million where lists quote so.
fn price(meter: Meter, rate: Rate) -> Cell {
    let places = if meter.is_token() { PLACES - MILLION } else { PLACES };
    Cell::Decimal { units: rate.units(), places }
}

/// A flat object; nothing where it would be empty.
fn object<'t>(pairs: impl IntoIterator<Item = (&'static str, Option<&'t str>)>) -> Cell {
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
    let pairs: Map<String, Value> = pairs.collect();
    if pairs.is_empty() { Cell::None } else { Cell::Text(Value::Object(pairs).to_string()) }
}
