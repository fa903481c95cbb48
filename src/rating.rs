//! Rating decides what an event costs: `rate(event, catalog)` answers with charges, or with the reason why there is no
//! price. It is pure and all or nothing: a meter without a rate makes the whole event unpriced, because a partial price is
//! a wrong price and an unknown one is not zero. The same event under the same catalog and [`RATER`] gives the same
//! charges for ever.

pub mod ceiling;
pub mod share;

use crate::catalog::resolution::{self, CardFound, Found, Layer, NoCard, Prices, Trace};
use crate::catalog::rules::Share;
use crate::catalog::{Absent, Catalog, CostBasis};
use crate::money::{Amount, Currency, Rate};
use crate::usage::{Meter, Outcome, Owner, Quantities, Reported, Usage, UsageEvent};
use std::fmt;
use std::sync::Arc;

/// Number of the rules in this file. It changes when the same event under the same catalog may come out differently, so
/// that *rated otherwise by another rater* and *tampered with* can be told apart.
pub const RATER: u16 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rating {
    Rated(Rated),
    Unpriced(Unpriced),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rated {
    pub layer: Layer,
    /// The card or override that decided, by its label.
    pub card: Option<Arc<str>>,
    pub currency: Currency,
    /// What the owner bears in the end: all charges together.
    pub amount: Amount,
    pub rated: Option<Amount>,
    pub reported: Option<Amount>,
    /// At list price, where an override hides a list.
    pub list: Option<Amount>,
    /// The ceiling that this is above.
    pub above: Option<Arc<str>>,
    /// Who bears it, where a rule names somebody else than the producer does.
    pub owner: Option<Box<Owner>>,
    /// Where several bear it: who, and how much of it each.
    pub shares: Vec<Share>,
    /// Never empty; the first one carries the call and its meters.
    pub charges: Vec<Charge>,
}

/// What one side owes the other for one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    pub debit: Party,
    pub credit: Party,
    /// Never negative.
    pub amount: Amount,
    /// They add up to the amount; one may be negative (drift).
    pub items: Vec<LineItem>,
}

/// A party to a charge; which account that is, the event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// Who bears the event.
    Owner,
    /// The event's provider.
    Provider,
    /// The upstream that the provider routed to, where it is owed by itself.
    Upstream,
    /// What lies between the price an owner bears and the one the provider is owed.
    Margin,
}

/// One meter's quantity times its rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineItem {
    pub meter: Meter,
    pub quantity: u64,
    /// None where the money of this meter is inside the `whole` item.
    pub rate: Option<Rate>,
    pub amount: Amount,
    pub inherited_from: Option<Meter>,
    /// The card that gave the rate, where it is not the one that decided.
    pub card: Option<Arc<str>>,
}

/// Why there is no price yet; a person can act on every one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unpriced {
    NoCard(NoCard),
    NoRate { meter: Meter, card: String },
    UsageMissing { outcome: Outcome },
    Contradictory { detail: String },
    Aggregate { calls: u64, card: String },
    TwoCurrencies { one: Currency, other: Currency },
    TooLarge,
}

/// Why a held event is held, as it is stored and filtered by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum HeldReason {
    NoRateCard = 1,
    NoRate = 2,
    ZeroUnconfirmed = 3,
    PricedAsAnswered = 4,
    UsageMissing = 5,
    ContradictoryUsage = 6,
    AggregateUsage = 7,
    TwoCurrencies = 8,
    TooLarge = 9,
}

pub fn rate(event: &UsageEvent, catalog: &Catalog) -> Rating {
    rate_traced(event, catalog, &mut ())
}

/// The same answer with the steps that led to it.
pub fn explain(event: &UsageEvent, catalog: &Catalog) -> (Rating, Vec<String>) {
    let mut tried = Vec::new();
    let rating = rate_traced(event, catalog, &mut tried);
    (rating, tried)
}

fn rate_traced(event: &UsageEvent, catalog: &Catalog, trace: &mut impl Trace) -> Rating {
    let owner = catalog.rules().attribute(event);
    let ruled = owner.as_ref().map(|owner| UsageEvent { owner: owner.clone(), ..event.clone() });
    if let Some(owner) = &owner {
        trace.note(|| format!("by rule it is borne by {}", owner.in_words()));
    }
    let event = ruled.as_ref().unwrap_or(event);
    match try_rate(event, catalog, trace) {
        Ok(mut rated) => {
            rated.shares = catalog.rules().share(event);
            for share in &rated.shares {
                trace.note(|| format!("by rule {} parts of it are borne by {}", share.parts, share.owner.in_words()));
            }
            rated.owner = owner.map(Box::new);
            rated.above = ceiling::exceeded(event, &rated, catalog).map(Arc::from);
            if let Some(above) = &rated.above {
                trace.note(|| format!("above a ceiling: {above}"));
            }
            Rating::Rated(rated)
        }
        Err(unpriced) => {
            trace.note(|| unpriced.to_string());
            Rating::Unpriced(unpriced)
        }
    }
}

fn try_rate(event: &UsageEvent, catalog: &Catalog, trace: &mut impl Trace) -> Result<Rated, Unpriced> {
    if event.outcome.is_free() {
        trace.note(|| format!("outcome {}: nothing is owed", event.outcome.name()));
        return Ok(nothing_owed(event));
    }
    let quantities = match &event.usage {
        Usage::Counted(quantities) => *quantities,
        Usage::Contradictory { detail, .. } => return Err(Unpriced::Contradictory { detail: detail.clone() }),
        Usage::Missing => Quantities::NONE,
    };
    let found = resolution::find(catalog, event, trace);
    if let Some(why) = not_charged(event, &quantities, &found) {
        trace.note(|| format!("nothing is owed: {why}"));
        return Ok(nothing_owed(event));
    }

    let priced = match event.usage {
        // What the call used is not known; the provider may still have said what it cost.
        Usage::Missing => Err(Unpriced::UsageMissing { outcome: event.outcome }),
        _ => price(event, &quantities, &found, trace),
    };
    let base = base(event, &found, priced, trace)?;
    match found.chargeback {
        Some(_) => charge_back(event, &quantities, &found, base),
        None => Ok(base),
    }
}

/// A call that is counted and costs nothing.
fn nothing_owed(event: &UsageEvent) -> Rated {
    Rated {
        layer: Layer::Outcome,
        card: None,
        currency: event.reported.as_ref().map_or(Currency::USD, |reported| reported.currency),
        amount: Amount::ZERO,
        rated: None,
        reported: event.reported.as_ref().map(|reported| reported.amount),
        list: None,
        above: None,
        owner: None,
        shares: Vec::new(),
        charges: vec![Charge::to(Party::Provider, Amount::ZERO, unrated(event))],
    }
}

/// A call that broke off is charged for what it used, unless the provider says otherwise: by its rule, or by reporting 0.
fn not_charged(event: &UsageEvent, quantities: &Quantities, found: &Found<'_>) -> Option<&'static str> {
    if !matches!(event.outcome, Outcome::Failed | Outcome::Cancelled) {
        return None;
    }
    let insured = found.list.map_or_else(Default::default, |list| list.insured);
    if event.reported.as_ref().is_some_and(|reported| reported.amount.is_zero() && !reported.byok) {
        Some("the provider reported 0 for a call that broke off")
    } else if event.reported.is_some() || event.usage == Usage::Missing {
        None
    } else if insured.error && event.outcome == Outcome::Failed {
        Some("the provider does not charge failed calls")
    } else if insured.empty && !quantities.has_output() {
        Some("the provider does not charge calls without output")
    } else {
        None
    }
}

/// What the catalog says: the contract's rates over the card's.
struct Priced {
    layer: Layer,
    card: Arc<str>,
    currency: Currency,
    items: Vec<LineItem>,
    amount: Amount,
    list: Option<Amount>,
}

/// The catalog's price, or why it has none.
fn price(event: &UsageEvent, quantities: &Quantities, found: &Found<'_>, trace: &mut impl Trace) -> Result<Priced, Unpriced> {
    let prices = Prices::new(absent_of(found));
    let (layer, label, currency, prices, list) = match (&found.contract, &found.card) {
        (None, Err(no_card)) => return Err(Unpriced::NoCard(no_card.clone())),
        (None, Ok(card)) => (card.layer, card.card.label, card.currency(), prices.card(card, event), None),
        (Some(contract), Err(_)) => (Layer::Override, contract.label, contract.it.currency, prices.over(*contract, event), None),
        (Some(contract), Ok(card)) => {
            same_currency(contract.it.currency, card.currency())?;
            let list = at_list_price(event, quantities, card);
            (Layer::Override, contract.label, contract.it.currency, prices.over(*contract, event).card(card, event), list)
        }
    };
    let (items, amount) = itemise(event, quantities, &prices, label, trace)?;
    Ok(Priced { layer, card: label.clone(), currency, items, amount, list })
}

fn absent_of(found: &Found<'_>) -> Absent {
    let of_list = || found.list.map_or(Absent::Unknown, |list| list.absent);
    found.card.as_ref().map_or_else(|_| of_list(), |card| card.absent)
}

fn at_list_price(event: &UsageEvent, quantities: &Quantities, card: &CardFound<'_>) -> Option<Amount> {
    itemised_at_list(event, quantities, card).map(|(_, amount)| amount)
}

fn itemised_at_list(event: &UsageEvent, quantities: &Quantities, card: &CardFound<'_>) -> Option<(Vec<LineItem>, Amount)> {
    let prices = Prices::new(card.absent).card(card, event);
    itemise(event, quantities, &prices, card.card.label, &mut ()).ok()
}

/// What an event comes to where no override hides the list, by the card that says so; nothing where no card has it all.
pub fn at_list(event: &UsageEvent, catalog: &Catalog) -> Option<(Arc<str>, Vec<LineItem>)> {
    let Usage::Counted(quantities) = &event.usage else { return None };
    let card = resolution::find(catalog, event, &mut ()).card.ok()?;
    itemised_at_list(event, quantities, &card).map(|(items, _)| (card.card.label.clone(), items))
}

/// What is owed to the provider: the catalog's amount, or the one that the provider reported.
fn base(
    event: &UsageEvent,
    found: &Found<'_>,
    priced: Result<Priced, Unpriced>,
    trace: &mut impl Trace,
) -> Result<Rated, Unpriced> {
    let reported = event.reported.as_ref();
    let by_contract = matches!(&priced, Ok(priced) if priced.layer == Layer::Override);
    let books_reported = found.list.is_some_and(|list| list.cost_basis == CostBasis::Reported) && !by_contract;
    match (reported, priced) {
        (Some(reported), priced) if reported.byok => own_key(event, reported, priced, books_reported),
        (Some(reported), priced) if books_reported || priced.is_err() => {
            trace.note(|| match books_reported {
                true => "cost basis reported: what the provider says it charged is booked".to_owned(),
                false => "no rate: what the provider says it charged is booked".to_owned(),
            });
            // A zero is booked as zero here only because the provider itself said zero.
            let (rated, items) = breakdown(event, priced.ok(), reported);
            Ok(Rated {
                layer: Layer::Reported,
                card: rated.as_ref().map(|(_, card)| card.clone()),
                currency: reported.currency,
                amount: reported.amount,
                rated: rated.map(|(amount, _)| amount),
                reported: Some(reported.amount),
                list: None,
                above: None,
                owner: None,
                shares: Vec::new(),
                charges: vec![Charge::to(Party::Provider, reported.amount, items)],
            })
        }
        (_, Err(unpriced)) => Err(unpriced),
        (reported, Ok(priced)) => Ok(Rated {
            layer: priced.layer,
            card: Some(priced.card),
            currency: priced.currency,
            amount: priced.amount,
            rated: Some(priced.amount),
            reported: reported.filter(|reported| reported.currency == priced.currency).map(|reported| reported.amount),
            list: priced.list,
            above: None,
            owner: None,
            shares: Vec::new(),
            charges: vec![Charge::to(Party::Provider, priced.amount, priced.items)],
        }),
    }
}

/// The caller's own key at the upstream: the router is owed its fee, the upstream its charge.
fn own_key(
    event: &UsageEvent,
    reported: &Reported,
    priced: Result<Priced, Unpriced>,
    books_reported: bool,
) -> Result<Rated, Unpriced> {
    let (amount, layer, items, rated) = match (reported.upstream_amount, priced) {
        (Some(amount), priced) if books_reported || priced.is_err() => {
            let said = Reported { amount, ..reported.clone() };
            let (rated, items) = breakdown(event, priced.ok(), &said);
            (amount, Layer::Reported, items, rated)
        }
        (_, Ok(priced)) => {
            same_currency(reported.currency, priced.currency)?;
            (priced.amount, priced.layer, priced.items, Some((priced.amount, priced.card)))
        }
        (_, Err(unpriced)) => return Err(unpriced),
    };
    // Where the upstream is the provider itself there is one payee, and one charge with both parts.
    let charges = match event.product.served_by.as_deref() == Some(&*event.product.provider) {
        true => {
            let both = amount.checked_add(reported.amount).ok_or(Unpriced::TooLarge)?;
            let items = items.into_iter().chain([whole(reported.amount)]).collect();
            vec![Charge::to(Party::Provider, both, items)]
        }
        false => {
            let fee = Charge::to(Party::Provider, reported.amount, vec![whole(reported.amount)]);
            vec![Charge::to(Party::Upstream, amount, items), fee]
        }
    };
    let card = rated.as_ref().map(|(_, card)| card.clone());
    Ok(Rated {
        layer,
        card,
        currency: reported.currency,
        amount: amount.checked_add(reported.amount).filter(|sum| sum.fits()).ok_or(Unpriced::TooLarge)?,
        rated: rated.map(|(amount, _)| amount),
        reported: reported.upstream_amount,
        list: None,
        above: None,
        owner: None,
        shares: Vec::new(),
        charges,
    })
}

/// The line items of a reported amount: the catalog's breakdown with the drift as an item of its own, or, where the
/// catalog has none, the counts without rates and the amount as a whole.
fn breakdown(event: &UsageEvent, priced: Option<Priced>, reported: &Reported) -> (Option<(Amount, Arc<str>)>, Vec<LineItem>) {
    match priced.filter(|priced| priced.currency == reported.currency) {
        Some(priced) => {
            let mut items = priced.items;
            let drift = reported.amount - priced.amount;
            if !drift.is_zero() {
                items.push(whole(drift));
            }
            (Some((priced.amount, priced.card)), items)
        }
        None => {
            let mut items = unrated(event);
            items.push(whole(reported.amount));
            (None, items)
        }
    }
}

/// What the owner bears under a chargeback, and the difference to what the provider is owed.
fn charge_back(event: &UsageEvent, quantities: &Quantities, found: &Found<'_>, base: Rated) -> Result<Rated, Unpriced> {
    let chargeback = found.chargeback.expect("asked for only where there is one");
    same_currency(chargeback.it.currency, base.currency)?;
    let mut prices = Prices::new(absent_of(found)).over(chargeback, event);
    if let Some(contract) = found.contract {
        prices = prices.over(contract, event);
    }
    if let Ok(card) = &found.card {
        same_currency(chargeback.it.currency, card.currency())?;
        prices = prices.card(card, event);
    }
    let (_, borne) = itemise(event, quantities, &prices, chargeback.label, &mut ())?;

    let difference = borne - base.amount;
    let (debit, credit) = if difference.is_negative() { (Party::Margin, Party::Owner) } else { (Party::Owner, Party::Margin) };
    let mut charges = base.charges;
    if !difference.is_zero() {
        // The meters are on the provider's charge; this one is only money.
        charges.push(Charge { debit, credit, amount: difference.abs(), items: vec![whole(difference.abs())] });
    }
    Ok(Rated {
        layer: Layer::Override,
        card: Some(chargeback.label.clone()),
        amount: borne,
        list: base.list.or(base.rated),
        charges,
        ..base
    })
}

fn same_currency(one: Currency, other: Currency) -> Result<(), Unpriced> {
    if one == other { Ok(()) } else { Err(Unpriced::TwoCurrencies { one, other }) }
}

/// Every meter that counts something, at its rate; the products are exact and so is their sum.
fn itemise(
    event: &UsageEvent,
    quantities: &Quantities,
    prices: &Prices<'_>,
    decided_by: &Arc<str>,
    trace: &mut impl Trace,
) -> Result<(Vec<LineItem>, Amount), Unpriced> {
    if event.calls > 1 && prices.ask_about_one_request() {
        return Err(Unpriced::Aggregate { calls: event.calls, card: decided_by.to_string() });
    }
    for condition in prices.conditions() {
        trace.note(|| format!("condition holds: {condition}"));
    }
    let mut items = Vec::with_capacity(6);
    let mut total = Amount::ZERO;
    for (meter, quantity) in with_requests(event, quantities, prices) {
        let Some(priced) = prices.of(meter) else {
            return Err(Unpriced::NoRate { meter, card: decided_by.to_string() });
        };
        let card = (!Arc::ptr_eq(priced.label, decided_by)).then(|| priced.label.clone());
        let mut add = |quantity: u64, rate: Rate| {
            let amount = rate.times(quantity).ok_or(Unpriced::TooLarge)?;
            total = total.checked_add(amount).filter(|total| total.fits()).ok_or(Unpriced::TooLarge)?;
            let (rate, card) = (Some(rate), card.clone());
            items.push(LineItem { meter, quantity, rate, amount, inherited_from: priced.inherited_from, card });
            Ok(())
        };
        // A graduated rate cuts the quantity at its bounds; each slice is an item of its own.
        let (mut charged, mut rate) = (0, priced.rate);
        for &(over, beyond) in priced.slices.iter().take_while(|(over, _)| *over < quantity) {
            if over > charged {
                add(over - charged, rate)?;
            }
            (charged, rate) = (over, beyond);
        }
        add(quantity - charged, rate)?;
    }
    Ok((items, total))
}

/// A call is a request without anybody having to count it; that matters only where requests have a rate.
fn with_requests(event: &UsageEvent, quantities: &Quantities, prices: &Prices<'_>) -> impl Iterator<Item = (Meter, u64)> {
    let mut quantities = *quantities;
    let counted = quantities.get(Meter::Request);
    let requests = if counted == 0 { event.calls } else { counted };
    quantities.set(Meter::Request, if prices.of(Meter::Request).is_some() { requests } else { 0 });
    Meter::ALL.into_iter().map(move |meter| (meter, quantities.get(meter))).filter(|&(_, quantity)| quantity > 0)
}

/// What an event counts, without any money of its own.
fn unrated(event: &UsageEvent) -> Vec<LineItem> {
    let item =
        |(meter, quantity)| LineItem { meter, quantity, rate: None, amount: Amount::ZERO, inherited_from: None, card: None };
    event.quantities().map(|quantities| quantities.present().map(item).collect()).unwrap_or_default()
}

fn whole(amount: Amount) -> LineItem {
    LineItem { meter: Meter::Whole, quantity: 1, rate: None, amount, inherited_from: None, card: None }
}

impl Rated {
    /// Who bears an event that was rated so.
    pub fn owner<'a>(&'a self, event: &'a UsageEvent) -> &'a Owner {
        self.owner.as_deref().unwrap_or(&event.owner)
    }
}

impl Charge {
    fn to(payee: Party, amount: Amount, items: Vec<LineItem>) -> Charge {
        Charge { debit: Party::Owner, credit: payee, amount, items }
    }
}

impl Unpriced {
    pub fn reason(&self) -> HeldReason {
        match self {
            Unpriced::NoCard(no_card) => match no_card.root() {
                NoCard::DoubtfulZero { .. } => HeldReason::ZeroUnconfirmed,
                NoCard::PricedAsAnswered { .. } => HeldReason::PricedAsAnswered,
                _ => HeldReason::NoRateCard,
            },
            Unpriced::NoRate { .. } => HeldReason::NoRate,
            Unpriced::UsageMissing { .. } => HeldReason::UsageMissing,
            Unpriced::Contradictory { .. } => HeldReason::ContradictoryUsage,
            Unpriced::Aggregate { .. } => HeldReason::AggregateUsage,
            Unpriced::TwoCurrencies { .. } => HeldReason::TwoCurrencies,
            Unpriced::TooLarge => HeldReason::TooLarge,
        }
    }
}

impl fmt::Display for Unpriced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unpriced::NoCard(no_card) => no_card.fmt(f),
            Unpriced::NoRate { meter, card } => {
                write!(f, "no rate for {} in {card}; publish one or set an override", meter.name())
            }
            Unpriced::UsageMissing { outcome } => {
                write!(f, "the call {} and nobody said what it used; send the event again with its usage", outcome.name())
            }
            Unpriced::Contradictory { detail } => write!(f, "{detail}; send the event again with counts that fit"),
            Unpriced::Aggregate { calls, card } => {
                write!(
                    f,
                    "the event stands for {calls} calls, but {card} has rates that depend on a single request; send one event per call"
                )
            }
            Unpriced::TwoCurrencies { one, other } => {
                write!(f, "the rates are in {one} and in {other}, and nothing is converted; put both into one currency")
            }
            Unpriced::TooLarge => write!(f, "the amount is beyond {} currency units; check the counts", crate::money::LARGEST),
        }
    }
}

impl HeldReason {
    pub const ALL: [HeldReason; 9] = [
        HeldReason::NoRateCard,
        HeldReason::NoRate,
        HeldReason::ZeroUnconfirmed,
        HeldReason::PricedAsAnswered,
        HeldReason::UsageMissing,
        HeldReason::ContradictoryUsage,
        HeldReason::AggregateUsage,
        HeldReason::TwoCurrencies,
        HeldReason::TooLarge,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            HeldReason::NoRateCard => "no_rate_card",
            HeldReason::NoRate => "no_rate",
            HeldReason::ZeroUnconfirmed => "zero_unconfirmed",
            HeldReason::PricedAsAnswered => "priced_as_answered",
            HeldReason::UsageMissing => "usage_missing",
            HeldReason::ContradictoryUsage => "contradictory_usage",
            HeldReason::AggregateUsage => "aggregate_usage",
            HeldReason::TwoCurrencies => "two_currencies",
            HeldReason::TooLarge => "too_large",
        }
    }

    pub fn named(name: &str) -> Option<HeldReason> {
        HeldReason::ALL.into_iter().find(|reason| reason.name() == name)
    }

    pub fn from_number(number: u8) -> Option<HeldReason> {
        HeldReason::ALL.into_iter().find(|reason| *reason as u8 == number)
    }
}
