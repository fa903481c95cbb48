//! Cards for endpoints whose price the catalog does not know: from the calls of runs that both sides know by their id, and
//! what was billed for them. Printed as a catalog file with what speaks for each card beside it; publishing one is a person's
//! decision, and nothing here does it.

use super::{PROVIDER, Reconciled};
use crate::catalog::{Card, Catalog, List, Model, Origin, Part, Rates, source};
use crate::flow::{Farthing, FlowError, now};
use crate::id::{EventNumber, Org};
use crate::money::{Amount, Currency};
use crate::rating;
use crate::reconcile::propose::{Billed, Endpoint, Proposal, Unsolved, propose};
use crate::reconcile::statement::{Flags, Line, Precision, Tokens, cut_to_micros};
use crate::reconcile::texts::Id;
use crate::usage::{Text, UsageEvent};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

/// What runs teach of prices, all of them together.
#[derive(Clone, Debug)]
pub struct Proposals {
    pub proposals: Vec<Proposal>,
    pub unsolved: Vec<Unsolved>,
    /// The runs in words.
    runs: String,
    /// The list that they would go into, without its models.
    list: List,
}

/// Requests that both sides know, gathered over several runs.
#[derive(Clone, Debug, Default)]
pub struct Lessons {
    requests: BTreeMap<Text, (Endpoint, Billed)>,
    runs: Vec<String>,
}

/// Lines that are looked up at once.
const PAGE: usize = 2_000;
/// Generations and runs that a card names.
const NAMED: usize = 3;

impl Farthing {
    pub async fn propose(&self, org: Org, run: &Reconciled) -> Result<Proposals, FlowError> {
        let mut lessons = Lessons::default();
        self.learn(org, run, &mut lessons).await?;
        self.propose_from(org, lessons).await
    }

    /// Takes in what a run says of prices. Of a generation that several runs are of the last word counts, once.
    pub async fn learn(&self, org: Org, run: &Reconciled, lessons: &mut Lessons) -> Result<(), FlowError> {
        if !run.statement.form.is_by_generation() {
            let why = "the statement is of days, and a day's sum has many prices in it; import the export of generations, or the answers of /generation";
            return Err(FlowError::Refused(why.to_owned()));
        }
        let catalog = self.newest(org).await?.catalog;
        for page in run.statement.by_id().chunks(PAGE) {
            let text = |id: Id| run.statement.ids.text(id).to_owned();
            let keys: Vec<_> = page.iter().map(|(id, _)| self.store.call_key(org, PROVIDER, &text(*id))).collect();
            let holders = self.store.once_all(org, &keys).await?;
            let events: Vec<EventNumber> = holders.iter().flatten().map(|event| EventNumber(*event)).collect();
            let stored = self.store.standing_events(org, &events).await?;
            let events: HashMap<i64, &UsageEvent> = stored.iter().map(|stored| (stored.row.event.0, &stored.event)).collect();
            for ((_, place), holder) in page.iter().zip(holders) {
                let line = run.statement.lines.get(*place as usize);
                let event = holder.and_then(|holder| events.get(&holder));
                let request = event.and_then(|event| billed(&line, event, &catalog));
                lessons.requests.extend(request.map(|request| (request.1.generation.clone(), request)));
            }
        }
        lessons.runs.push(run.kept.run.clone());
        Ok(())
    }

    pub async fn propose_from(&self, org: Org, lessons: Lessons) -> Result<Proposals, FlowError> {
        let catalog = self.newest(org).await?.catalog;
        let (proposals, unsolved) = propose(lessons.requests.into_values().collect());
        let list = catalog.provider(PROVIDER).map(|(_, provider)| List { models: Vec::new(), ..(*provider.list).clone() });
        let list = list.unwrap_or_else(|| List::empty(Text::known(PROVIDER)));
        Ok(Proposals { proposals, unsolved, runs: named("reconciliation", &lessons.runs), list })
    }
}

/// A call as an equation, where all that its price depends on is known: its counts are those that were billed, nothing but its
/// endpoint and tier decides, and the amount is told to the last digit.
fn billed(line: &Line, event: &UsageEvent, catalog: &Catalog) -> Option<(Endpoint, Billed)> {
    let quantities = event.quantities()?;
    let product = &event.product;
    let is_plain = event.calls == 1 && product.region.is_none() && line.tools.is_zero() && !line.flags.has(Flags::BYOK);
    let is_counted = line.flags.has(Flags::COUNTS_UNTOLD) || {
        let ours = Tokens::of(quantities);
        (ours.prompt(), ours.completion()) == (line.tokens.prompt(), line.tokens.completion())
    };
    let amount = match line.precision {
        Precision::Exact => Some(line.amount),
        // What the response said is the same amount with all its digits.
        Precision::Truncated => {
            event.reported.as_ref().map(|reported| reported.amount).filter(|amount| cut_to_micros(*amount) == line.amount)
        }
    };
    let endpoint = Endpoint {
        model: listed_as(catalog, &product.model),
        served_by: product.served_by.clone()?,
        variant: product.variant.clone(),
        tier: product.service_tier.clone(),
    };
    let listed = rating::at_list(event, catalog).map(|(_, items)| items.iter().map(|item| item.amount).sum::<Amount>());
    let billed = Billed {
        generation: event.provider_request_id.clone()?,
        at: event.occurred_at,
        quantities: *quantities,
        amount: amount.filter(|_| is_plain && is_counted)?,
        listed,
    };
    Some((endpoint, billed))
}

/// What the list calls a model.
fn listed_as(catalog: &Catalog, model: &Text) -> Text {
    let listed = catalog.provider(PROVIDER).and_then(|(place, provider)| {
        let (model, _) = catalog.model(place, model)?;
        Some(provider.list.models[model].name.clone())
    });
    listed.unwrap_or_else(|| model.clone())
}

impl Proposals {
    /// A catalog file: what it says of each card is the evidence, and its head how it is meant.
    pub fn to_yaml(&self) -> String {
        let mut yaml = String::new();
        let _ = writeln!(yaml, "# Proposed from what was billed, {}. Nothing of it is published: take the cards", self.runs);
        let _ =
            writeln!(yaml, "# that you believe over into your list of {PROVIDER}, and look at `farthing catalog diff` first.");
        for unsolved in &self.unsolved {
            let _ = writeln!(yaml, "# {}: nothing is proposed, {}", in_words(&unsolved.endpoint), unsolved.why);
        }
        let mut models: Vec<Model> = Vec::new();
        for proposal in &self.proposals {
            let card = self.card(proposal);
            match models.last_mut().filter(|model| model.name == proposal.endpoint.model) {
                Some(model) => model.cards.push(card),
                None => {
                    let name = proposal.endpoint.model.clone();
                    models.push(Model { name, aliases: Vec::new(), delisted: None, cards: vec![card] });
                }
            }
        }
        models.iter_mut().for_each(|model| model.cards.sort_by_key(|card| card.from));
        let origin = Origin::default();
        yaml + &source::own::write(&Part::List(Arc::new(List { models, origin, ..self.list.clone() })))
    }

    fn card(&self, proposal: &Proposal) -> Card {
        let Endpoint { served_by, variant, tier, .. } = proposal.endpoint.clone();
        let text = |text: String| Text::new(text);
        Card {
            from: Some(proposal.from),
            seen_after: None,
            endpoint: Some(served_by),
            route: None,
            variant,
            service_tier: tier,
            priced_as_answered: false,
            currency: Currency::USD,
            free: proposal.rates.iter().all(|(_, rate)| rate.is_zero()),
            rates: Rates::new(proposal.rates.clone()),
            when: Vec::new(),
            graduated: Vec::new(),
            origin: Origin {
                source: text(format!("billed requests, {}", self.runs)),
                checked: text(now().to_utc().date_naive().to_string()),
                note: text(evidence(proposal)),
                remark: None,
            },
        }
    }

    pub fn to_json(&self) -> Value {
        let endpoint = |endpoint: &Endpoint| {
            let Endpoint { model, served_by, variant, tier } = endpoint;
            let or_null = |text: &Option<Text>| text.as_deref().map(str::to_owned);
            json!({"model": &**model, "endpoint": &**served_by, "variant": or_null(variant), "service_tier": or_null(tier)})
        };
        let proposed = |proposal: &Proposal| {
            let rates: serde_json::Map<String, Value> =
                proposal.rates.iter().map(|(meter, rate)| (meter.name().to_owned(), json!(rate.to_string()))).collect();
            let mut body = endpoint(&proposal.endpoint);
            body["from"] = json!(proposal.from.to_string());
            body["rates"] = rates.into();
            body["agree"] = json!(proposal.agree.len());
            body["judged"] = json!(proposal.judged);
            body["requests"] = json!(proposal.requests);
            body["residual"] = json!(proposal.residual.to_string());
            body["generations"] = json!(proposal.agree.iter().map(|id| &**id).collect::<Vec<_>>());
            body
        };
        let left = |unsolved: &Unsolved| {
            let mut body = endpoint(&unsolved.endpoint);
            body["requests"] = json!(unsolved.requests);
            body["why"] = json!(unsolved.why);
            body
        };
        json!({
            "items": self.proposals.iter().map(proposed).collect::<Vec<_>>(),
            "unsolved": self.unsolved.iter().map(left).collect::<Vec<_>>(),
            "yaml": self.to_yaml(),
        })
    }
}

fn in_words(endpoint: &Endpoint) -> String {
    let Endpoint { model, served_by, variant, tier } = endpoint;
    let further: Vec<&str> = [variant, tier].into_iter().flatten().map(|text| &**text).collect();
    format!("{model} at {served_by}{}{}", if further.is_empty() { "" } else { ", " }, further.join(", "))
}

fn evidence(proposal: &Proposal) -> String {
    let agree: Vec<String> = proposal.agree.iter().map(|id| id.to_string()).collect();
    format!(
        "{} of {} requests agree ({}), {} were made; {} billed beside these rates",
        agree.len(),
        proposal.judged,
        listed(&agree),
        proposal.requests,
        proposal.residual
    )
}

/// The first few of them, and how many more there are.
fn listed(names: &[String]) -> String {
    let (first, more) = names.split_at(names.len().min(NAMED));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    format!("{}{more}", first.join(", "))
}

fn named(what: &str, names: &[String]) -> String {
    format!("{what}{} {}", if names.len() == 1 { "" } else { "s" }, listed(names))
}
