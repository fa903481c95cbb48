//! What a gateway's own configuration says about prices, as our parts: contracts for the whole org, in force as far back as
//! anybody asks, because no gateway dates its prices. One small file per gateway, each reading exactly the keys that the
//! gateway reads ([`notation`](super::notation)); what is there and would change a price and is not understood is a mistake,
//! and the rest of a configuration is nobody's business here. JSON is read as the YAML that it is.

mod keeptrusts;
mod oceans;
mod omnia;
mod promptkit;

use super::fields::Fields;
use crate::catalog::{List, Origin, Override, OverrideKind, Overrides, Part, Pattern, Rates, Scope};
use crate::money::Currency;
use crate::usage::Text;
use crate::yaml::{Mistake, Node};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gateway {
    Omnia,
    Promptkit,
    Oceans,
    Keeptrusts,
}

/// What a text leaves unsaid: a PromptKit descriptor names neither the provider nor the model that it prices.
#[derive(Clone, Default, Debug)]
pub struct About {
    pub provider: Option<Text>,
    pub model: Option<Text>,
}

impl Gateway {
    pub const ALL: [Gateway; 4] = [Gateway::Omnia, Gateway::Promptkit, Gateway::Oceans, Gateway::Keeptrusts];

    pub const fn name(self) -> &'static str {
        match self {
            Gateway::Omnia => "omnia",
            Gateway::Promptkit => "promptkit",
            Gateway::Oceans => "oceans",
            Gateway::Keeptrusts => "keeptrusts",
        }
    }

    pub fn named(name: &str) -> Option<Gateway> {
        Gateway::ALL.into_iter().find(|gateway| gateway.name() == name)
    }
}

/// Reads a gateway's text into parts, one set of overrides per provider.
///
/// A list that comes out of it says only where else to look (`pricing_provider_id`) and has no models, so it belongs over
/// the list that is already there ([`List::seen`]) and not in its place.
pub fn read(gateway: Gateway, text: &str, about: &About) -> Result<Vec<Part>, Vec<Mistake>> {
    let (mut stated, mut mistakes) = (Stated::default(), Vec::new());
    let one = || Node::parse(text).map_err(|mistake| vec![mistake]);
    match gateway {
        Gateway::Omnia => {
            let documents = Node::parse_all(text).map_err(|mistake| vec![mistake])?;
            documents.iter().for_each(|document| omnia::read(document, &mut stated, &mut mistakes));
        }
        Gateway::Promptkit => promptkit::read(&one()?, about, &mut stated, &mut mistakes),
        Gateway::Oceans => oceans::read(&one()?, &mut stated, &mut mistakes),
        Gateway::Keeptrusts => keeptrusts::read(&one()?, &mut stated, &mut mistakes),
    }
    let parts = stated.into_parts();
    if parts.is_empty() && mistakes.is_empty() {
        let what = format!("states no price as {} writes it", gateway.name());
        mistakes.push(Mistake { line: 1, field: String::new(), what });
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    if mistakes.is_empty() { Ok(parts) } else { Err(mistakes) }
}

/// What a text states, by provider.
#[derive(Default)]
struct Stated {
    lists: Vec<List>,
    contracts: BTreeMap<Text, Vec<Override>>,
}

impl Stated {
    /// Adds a contract that `fields` state. The same price again says nothing new; another one for the same model does.
    fn contract(&mut self, provider: Text, contract: Override, fields: &Fields<'_>, mistakes: &mut Vec<Mistake>) {
        let contracts = self.contracts.entry(provider.clone()).or_default();
        match contracts.iter().find(|other| other.model == contract.model) {
            None => contracts.push(contract),
            Some(other) if other.is_same_price(&contract) => {}
            Some(other) => {
                let what = format!("{provider}/{} has another price above; keep the one that is right", other.model);
                fields.wrong(fields.line, "", what, mistakes);
            }
        }
    }

    fn into_parts(self) -> Vec<Part> {
        let lists = self.lists.into_iter().map(|list| Part::List(Arc::new(list)));
        let overrides = self
            .contracts
            .into_iter()
            .map(|(provider, overrides)| Part::Overrides(Arc::new(Overrides { provider, overrides, ceilings: Vec::new() })));
        lists.chain(overrides).collect()
    }
}

/// What the provider charges the whole org for a model, in USD.
fn contract(model: Text, rates: Rates, source: &str) -> Override {
    Override {
        kind: OverrideKind::Contract,
        scope: Scope::Org,
        model: Pattern::of(model),
        from: None,
        currency: Currency::USD,
        rates,
        when: Vec::new(),
        origin: Origin { source: Text::new(source), ..Origin::default() },
    }
}

impl Override {
    fn is_same_price(&self, other: &Override) -> bool {
        self.rates == other.rates && self.when == other.when && self.currency == other.currency
    }
}
