//! Entries as reports see them: what stands for each of their values, what they add, and what the numbers mean in words.

use crate::catalog::resolution::Layer;
use crate::flow::held::HeldWithEvent;
use crate::flow::{Farthing, FlowError};
use crate::id::{EventNumber, NameId, Org, Version};
use crate::ledger::items::Item;
use crate::ledger::seal::Dimensions;
use crate::ledger::{Chart, Effect, EntryKind};
use crate::money::{Amount, Currency};
use crate::rating::HeldReason;
use crate::report::fold::{Adding, Column, Keep, Stretch};
use crate::report::{Addend, Clock, Dimension, Filter, Measure, Of, Query};
use crate::store::{Line, Names, Span, StoreError, Wanted};
use crate::time::{Instant, Month};
use crate::usage::{Meter, Outcome, Quantities};
use std::collections::{HashMap, HashSet};

/// An entry, or one meter of it, with what is known beside it.
#[derive(Clone, Copy)]
pub struct Booked<'a> {
    pub line: &'a Line,
    pub item: Option<&'a Item>,
    pub span: Option<Span>,
    /// The names that its owner and its product are made of, where they are asked for.
    owner: &'a Dimensions,
    product: &'a Dimensions,
    pub facts: &'a Facts,
    pub chart: &'a Chart,
    pub clock: Clock,
}

/// No owner, or no product.
const NOBODY: Dimensions = [0; 7];
/// Beyond this many names what was learned of those of events starts afresh.
const MOST_NAMES: usize = 50_000;

impl<'a> Booked<'a> {
    /// Entries that lie one after the other, each with the span it is in.
    pub fn all(
        lines: &'a [Line],
        spans: &[Span],
        names: &'a Names,
        facts: &'a Facts,
        chart: &'a Chart,
        clock: Clock,
    ) -> Vec<Booked<'a>> {
        let mut spans = spans.iter().copied().peekable();
        let booked = |line: &'a Line| {
            while spans.next_if(|span| span.until <= line.sequence).is_some() {}
            // Owners and products were learned with their page.
            let (owner, product) = (names.of_owner(line.owner), names.of_product(line.product));
            let (owner, product) = (owner.unwrap_or(&NOBODY), product.unwrap_or(&NOBODY));
            Booked { line, item: None, span: spans.peek().copied(), owner, product, facts, chart, clock }
        };
        lines.iter().map(booked).collect()
    }

    /// Its meters.
    pub fn meters(&self) -> impl Iterator<Item = Booked<'a>> + use<'a> {
        let entry = *self;
        entry.line.items.iter().map(move |item| Booked { item: Some(item), ..entry })
    }

    /// Whether it is of what an owner bears beside what the provider is owed.
    fn of_margin(&self) -> bool {
        self.chart.of_margin(self.line.debit, self.line.credit)
    }

    pub fn effect(&self) -> Effect {
        self.chart.effect(self.line.kind, self.line.debit, self.line.credit)
    }

    pub fn at(&self) -> Instant {
        match (self.clock, self.span) {
            (Clock::Recorded, Some(span)) => span.recorded_at,
            _ => self.line.occurred_at,
        }
    }

    /// What stands for its value of a dimension that is not of the clock; 0 where it has none.
    pub fn number(&self, dimension: &Dimension) -> i64 {
        let line = self.line;
        let of_owner = |place: usize| self.owner[place];
        let of_product = |place: usize| self.product[place];
        match dimension {
            Dimension::User => of_owner(0),
            Dimension::Team => of_owner(1),
            Dimension::Project => of_owner(2),
            Dimension::Key => of_owner(3),
            Dimension::App => of_owner(4),
            Dimension::Agent => of_owner(5),
            Dimension::Environment => of_owner(6),
            Dimension::Provider => of_product(0),
            Dimension::Model => of_product(1),
            Dimension::RequestedModel => of_product(2),
            Dimension::ServedBy => of_product(3),
            Dimension::Variant => of_product(4),
            Dimension::ServiceTier => of_product(5),
            Dimension::Region => of_product(6),
            Dimension::Period => i64::from(line.period.number()),
            Dimension::Source => line.source.0,
            Dimension::Payee => self.chart.payee(line.kind, line.debit, line.credit).0,
            Dimension::Debit => line.debit.0,
            Dimension::Credit => line.credit.0,
            Dimension::Meter => self.item.map_or(Meter::Whole, |item| item.meter) as i64,
            Dimension::Layer => line.layer,
            Dimension::Kind => line.kind as i64,
            Dimension::Outcome => line.outcome,
            Dimension::Estimated => i64::from(line.estimated),
            Dimension::CatalogVersion => self.span.map_or(0, |span| span.version.0),
            Dimension::Card => line.card,
            Dimension::Reason => 0,
            Dimension::Session | Dimension::Label(_) => line.event.map_or(0, |event| self.facts.number(event, dimension)),
            Dimension::Hour | Dimension::Day | Dimension::Week | Dimension::Month => 0,
        }
    }

    /// A reversal takes away what it mirrors; where a margin pays, it takes away from its owner.
    pub fn money(&self, addend: Addend) -> Amount {
        let line = self.line;
        let amount = match (addend, self.item) {
            (Addend::Amount, Some(item)) => item.amount,
            (Addend::Amount, None) | (Addend::Posted, _) => line.amount,
            // A margin is what lies between the list and the owner.
            (Addend::List, _) if self.of_margin() => Amount::ZERO,
            (Addend::List, _) => line.list.unwrap_or(line.amount),
            (Addend::Rated, _) => line.rated.unwrap_or_default(),
            (Addend::Reported, _) => line.reported.unwrap_or_default(),
            (Addend::CacheSavings, _) => self.cache_savings(),
            _ => line.reported.zip(line.rated).map_or(Amount::ZERO, |(reported, rated)| reported - rated),
        };
        match addend {
            Addend::Posted => amount,
            _ => self.effect().on(amount),
        }
    }

    /// Beside the rate that the same call paid for plain input; where it paid for none, or where it is not known what a
    /// meter cost, nothing can be said.
    fn cache_savings(&self) -> Amount {
        let rate_of = |meter: Meter| self.line.items.iter().find(|item| item.meter == meter).and_then(|item| item.rate);
        let saved = |item: &Item| {
            let plain = match item.meter {
                Meter::CacheRead | Meter::CacheWrite | Meter::CacheWrite1h => Meter::Input,
                Meter::AudioCacheRead => Meter::AudioInput,
                _ => return None,
            };
            let plain = rate_of(plain)?.times(item.quantity)?;
            item.rate.map(|_| plain - item.amount)
        };
        self.line.items.iter().filter_map(saved).sum()
    }

    /// A margin that pays is money alone: it has no calls and no meters.
    pub fn count(&self, addend: Addend) -> i64 {
        let tokens = |item: &Item| if item.meter.is_token() { item.quantity as i64 } else { 0 };
        let count = match (addend, self.item) {
            (Addend::Entries, None) => return 1,
            (Addend::Calls, None) => self.line.calls,
            (Addend::Tokens, None) => self.line.items.iter().map(tokens).sum(),
            (Addend::Tokens, Some(item)) => tokens(item),
            (Addend::Quantity, Some(item)) => item.quantity as i64,
            _ => 0,
        };
        if self.line.kind == EntryKind::Reversal { -count } else { count }
    }
}

pub fn adding(addend: Addend, booked: &[Booked]) -> Adding {
    match addend {
        Addend::Amount
        | Addend::Posted
        | Addend::List
        | Addend::Rated
        | Addend::Reported
        | Addend::Drift
        | Addend::CacheSavings => Adding::Money(booked.iter().map(|booked| booked.money(addend).units()).collect()),
        Addend::Calls | Addend::Entries | Addend::Tokens | Addend::Quantity => {
            Adding::Count(booked.iter().map(|booked| booked.count(addend)).collect())
        }
    }
}

/// Held events in columns. They have no numbers of names yet, so each text gets one here.
pub fn held_stretch(query: &Query, held: &[HeldWithEvent], facts: &mut Facts) -> Result<Stretch, FlowError> {
    let mut numbers = Vec::new();
    for dimension in query.folded() {
        let mut column = Vec::new();
        for held in held.iter().filter(|_| !dimension.is_of_the_clock()) {
            column.push(as_number(facts.number_of_held(held, dimension))?);
        }
        numbers.push(column);
    }
    let events = || held.iter().map(|held| &held.stored.event);
    let calls: Vec<i64> = events().map(|event| event.calls as i64).collect();
    let adding = |addend: Addend| match addend {
        Addend::Calls => Adding::Count(calls.clone()),
        Addend::Entries => Adding::Count(vec![1; held.len()]),
        Addend::Tokens => Adding::Count(events().map(|event| event.quantities().map_or(0, tokens_of)).collect()),
        _ => Adding::Money(vec![0; held.len()]),
    };
    let mut users = Vec::new();
    for held in held.iter().filter(|_| query.counts_users()) {
        users.push(as_number(facts.number_of_held(held, &Dimension::User))?);
    }
    Ok(Stretch {
        rows: held.len(),
        at: Column::Each(events().map(|event| event.occurred_at.micros()).collect()),
        currencies: Column::Same(Currency::USD),
        addends: query.addends().into_iter().map(adding).collect(),
        numbers,
        users,
        calls,
    })
}

fn tokens_of(quantities: &Quantities) -> i64 {
    quantities.present().filter(|(meter, _)| meter.is_token()).map(|(_, count)| count as i64).sum()
}

/// What of an entry a query needs.
pub fn wanted(query: &Query, chart: &Chart) -> Wanted {
    let asks = |dimensions: &[Dimension]| dimensions.iter().any(|dimension| query.asks_for(dimension));
    let shows = |measures: &[Measure]| measures.iter().any(|measure| query.show.contains(measure));
    let counts_users = shows(&[Measure::Users, Measure::PerUser]);
    let of_owners = [Dimension::User, Dimension::Team, Dimension::Project, Dimension::Key, Dimension::App, Dimension::Agent];
    let of_products = [Dimension::Provider, Dimension::Model, Dimension::RequestedModel, Dimension::ServedBy, Dimension::Variant];
    Wanted {
        owner: counts_users || asks(&of_owners) || asks(&[Dimension::Environment]),
        product: asks(&of_products) || asks(&[Dimension::ServiceTier, Dimension::Region]),
        source: asks(&[Dimension::Source]),
        accounts: asks(&[Dimension::Payee, Dimension::Debit, Dimension::Credit]) || !chart.is_plain(),
        period: asks(&[Dimension::Period]),
        layer: asks(&[Dimension::Layer]),
        outcome: asks(&[Dimension::Outcome]),
        estimated: asks(&[Dimension::Estimated]),
        event: query.needs_events(),
        list: shows(&[Measure::List]),
        rated: shows(&[Measure::Rated, Measure::Drift]),
        reported: shows(&[Measure::Reported, Measure::Drift]),
        items: query.is_of_meters() || shows(&[Measure::Tokens, Measure::PerMillionTokens, Measure::CacheSavings]),
        provenance: asks(&[Dimension::Card]),
    }
}

/// What only events know: sessions and labels, each text as a number.
#[derive(Default)]
pub struct Facts {
    texts: Vec<String>,
    numbers: HashMap<String, i64>,
    of_events: HashMap<EventNumber, Vec<(Dimension, i64)>>,
    names: Names,
}

impl Facts {
    pub async fn learn(
        &mut self,
        farthing: &Farthing,
        org: Org,
        query: &Query,
        lines: &[Line],
        before: i64,
    ) -> Result<(), FlowError> {
        let mut events: Vec<EventNumber> = lines.iter().filter_map(|line| line.event).collect();
        events.sort_unstable();
        events.dedup();
        // An event is nearly always booked on the page on which it is met; keeping those of others would keep the whole book.
        self.of_events.clear();
        self.names.forget_beyond(MOST_NAMES);
        for stored in farthing.store.standing_events_before(org, &events, before, &mut self.names).await? {
            let event = &stored.event;
            let asked = query.by.iter().chain(query.filters.iter().map(|filter| &filter.dimension));
            for dimension in asked.filter(|dimension| dimension.is_of_the_event()) {
                let text = match dimension {
                    Dimension::Label(key) => event.labels.iter().find(|(other, _)| other == key).map(|(_, value)| value),
                    _ => event.session.as_ref(),
                };
                let Some(text) = text else { continue };
                let number = self.number_of(text);
                self.of_events.entry(stored.row.event).or_default().push((dimension.clone(), number));
            }
        }
        Ok(())
    }

    pub fn number_of(&mut self, text: &str) -> i64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), self.texts.len() as i64);
        self.texts.len() as i64
    }

    pub fn text(&self, number: u32) -> Option<String> {
        self.texts.get((number as usize).checked_sub(1)?).cloned()
    }

    fn number_of_held(&mut self, held: &HeldWithEvent, dimension: &Dimension) -> i64 {
        let event = &held.stored.event;
        let (owner, product) = (&event.owner, &event.product);
        let text = match dimension {
            Dimension::Reason => return held.held.reason as i64,
            Dimension::Outcome => return event.outcome as i64,
            Dimension::Estimated => return i64::from(event.estimated),
            Dimension::Label(key) => event.labels.iter().find(|(other, _)| other == key).map(|(_, value)| value),
            Dimension::Session => event.session.as_ref(),
            Dimension::Source => Some(&event.source),
            Dimension::User => owner.user.as_ref(),
            Dimension::Team => owner.team.as_ref(),
            Dimension::Project => owner.project.as_ref(),
            Dimension::Key => owner.key.as_ref(),
            Dimension::App => owner.app.as_ref(),
            Dimension::Agent => owner.agent.as_ref(),
            Dimension::Environment => owner.environment.as_ref(),
            Dimension::Provider => Some(&product.provider),
            Dimension::Model => Some(&product.model),
            Dimension::RequestedModel => product.requested_model.as_ref(),
            Dimension::ServedBy => product.served_by.as_ref(),
            Dimension::Variant => product.variant.as_ref(),
            Dimension::ServiceTier => product.service_tier.as_ref(),
            Dimension::Region => product.region.as_ref(),
            _ => None,
        };
        text.map_or(0, |text| self.number_of(text))
    }

    fn number(&self, event: EventNumber, dimension: &Dimension) -> i64 {
        let facts = self.of_events.get(&event).map_or(&[][..], Vec::as_slice);
        facts.iter().find(|(other, _)| other == dimension).map_or(0, |(_, number)| *number)
    }
}

/// What a filter lets through, in numbers.
pub async fn keep(farthing: &Farthing, org: Org, of: Of, filter: &Filter, facts: &mut Facts) -> Result<Keep, FlowError> {
    let (dimension, values) = (&filter.dimension, &filter.values);
    if dimension.is_of_the_clock() {
        return Ok(Keep::Labels(values.clone()));
    }
    let mut numbers = HashSet::new();
    if values.iter().any(String::is_empty) {
        numbers.insert(0);
    }
    match dimension {
        dimension if dimension.is_of_the_event() || of == Of::Held && is_of_names(dimension) => {
            let known = values.iter().filter(|value| !value.is_empty()).map(|value| facts.number_of(value));
            numbers.extend(known.map(as_number).collect::<Result<Vec<u32>, _>>()?);
        }
        Dimension::Period => {
            numbers.extend(values.iter().filter_map(|value| value.parse::<Month>().ok()).map(|month| month.number() as u32))
        }
        Dimension::CatalogVersion => numbers.extend(values.iter().filter_map(|value| value.parse::<u32>().ok())),
        dimension if is_of_names(dimension) => {
            let named = farthing.store.names_called(org, values).await?;
            numbers.extend(named.into_iter().map(|name| as_number(name.0)).collect::<Result<Vec<u32>, _>>()?);
        }
        // What is left are words of our own, a few of each.
        _ => {
            let none = (Names::default(), Facts::default());
            for number in 0..=u8::MAX {
                let said = text(dimension, i64::from(number), &none.0, &none.1)?;
                numbers.extend(said.filter(|said| values.contains(said)).map(|_| u32::from(number)));
            }
        }
    }
    Ok(Keep::Numbers(numbers.into_iter().collect()))
}

/// Values are told apart by numbers that are given one after the other, so four thousand million of them never come.
pub fn as_number(number: i64) -> Result<u32, FlowError> {
    u32::try_from(number).map_err(|_| StoreError::damaged(format!("number {number}"), "it is beyond what a report counts").into())
}

/// Stands for a name of the book, by its number.
pub fn is_of_names(dimension: &Dimension) -> bool {
    !matches!(
        dimension,
        Dimension::Hour
            | Dimension::Day
            | Dimension::Week
            | Dimension::Month
            | Dimension::Period
            | Dimension::Meter
            | Dimension::Layer
            | Dimension::Kind
            | Dimension::Outcome
            | Dimension::Estimated
            | Dimension::CatalogVersion
            | Dimension::Reason
            | Dimension::Session
            | Dimension::Label(_)
    )
}

/// What a number stands for.
pub fn text(dimension: &Dimension, number: i64, names: &Names, facts: &Facts) -> Result<Option<String>, StoreError> {
    let small = u8::try_from(number).unwrap_or(u8::MAX);
    Ok(match dimension {
        Dimension::Period => i32::try_from(number).ok().map(|number| Month::from_number(number).to_string()),
        Dimension::Meter => Meter::from_number(small).map(|meter| meter.name().to_owned()),
        Dimension::Layer => Layer::from_number(small).map(|layer| layer.name().to_owned()),
        Dimension::Kind => EntryKind::from_number(small).map(|kind| kind.name().to_owned()),
        Dimension::Outcome => Outcome::from_number(small).map(|outcome| outcome.name().to_owned()),
        Dimension::Estimated => Some((number != 0).to_string()),
        Dimension::CatalogVersion => Some(Version(number).to_string()),
        Dimension::Reason => HeldReason::from_number(small).map(|reason| reason.name().to_owned()),
        _ if number == 0 && !matches!(dimension, Dimension::Estimated) => None,
        Dimension::Session | Dimension::Label(_) => facts.texts.get((number - 1) as usize).cloned(),
        _ => Some(names.text(NameId(number))?.to_owned()),
    })
}
