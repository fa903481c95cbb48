//! Imports: another list becomes parts of the catalog. What a list says is laid over what the catalog has of it, so that a
//! price change becomes a dated card and nothing that was ever listed is forgotten. One provider has one list in force;
//! lists of several sources stand beside each other under names of their own (`--as litellm/`), and `pricing_provider_id`
//! says which of them is asked next. Nothing is ever merged in silence or averaged.

use crate::catalog::history::Look;
use crate::catalog::source::{Imported, openrouter};
use crate::catalog::{List, Part};
use crate::flow::{Farthing, FlowError};
use crate::id::{Org, Version};
use crate::time::Instant;
use crate::usage::Text;
use crate::usage::reading::Rejected;
use std::sync::Arc;

/// A list that can be imported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    Openrouter,
    /// The endpoints of one model at OpenRouter.
    OpenrouterEndpoints,
    ModelsDev,
    Litellm,
    GenaiPrices,
}

impl Source {
    pub const ALL: [Source; 5] =
        [Source::Openrouter, Source::OpenrouterEndpoints, Source::ModelsDev, Source::Litellm, Source::GenaiPrices];

    pub const fn name(self) -> &'static str {
        match self {
            Source::Openrouter => "openrouter",
            Source::OpenrouterEndpoints => "openrouter-endpoints",
            Source::ModelsDev => "models.dev",
            Source::Litellm => "litellm",
            Source::GenaiPrices => "genai-prices",
        }
    }

    pub fn named(name: &str) -> Result<Source, FlowError> {
        let known = || Source::ALL.map(Source::name).join(", ");
        let named = Source::ALL.into_iter().find(|source| source.name() == name);
        named.ok_or_else(|| FlowError::Refused(format!("`{name}` is no list that can be imported; known are {}", known())))
    }

    /// Where the list is published.
    pub const fn url(self) -> Option<&'static str> {
        match self {
            Source::Openrouter => Some("https://openrouter.ai/api/v1/models?output_modalities=all"),
            // Which model, only the caller knows.
            Source::OpenrouterEndpoints => None,
            Source::ModelsDev => Some("https://models.dev/api.json"),
            Source::Litellm => {
                Some("https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json")
            }
            Source::GenaiPrices => {
                Some("https://raw.githubusercontent.com/pydantic/genai-prices/main/prices/new_data/v2/data.json")
            }
        }
    }

    /// Speaks of some models of a list only.
    const fn is_partial(self) -> bool {
        matches!(self, Source::OpenrouterEndpoints)
    }

    /// Says itself from when its prices hold; what it gives no date has always held.
    const fn has_dates(self) -> bool {
        matches!(self, Source::GenaiPrices)
    }

    fn read(self, json: &str) -> Result<Imported, Rejected> {
        match self {
            Source::Openrouter => openrouter::read(json),
            Source::OpenrouterEndpoints => openrouter::read_endpoints(json),
            Source::ModelsDev => crate::catalog::source::models_dev::read(json),
            Source::Litellm => crate::catalog::source::litellm::read(json),
            Source::GenaiPrices => crate::catalog::source::genai_prices::read(json),
        }
    }
}

/// What is imported, and how.
#[derive(Clone, Debug)]
pub struct Import {
    pub source: Source,
    pub seen_at: Instant,
    /// The look before this one.
    pub before: Option<Instant>,
    /// From when what is new holds, where not from the moment it was seen.
    pub since: Option<Instant>,
    /// Only these providers; all where none is named.
    pub providers: Vec<String>,
    /// Put in front of the providers' names, so that lists of several sources stand beside each other.
    pub prefix: String,
}

/// A list laid over a version of the catalog.
#[derive(Clone, Debug)]
pub struct Read {
    /// What it was laid over, and so what it may be published over.
    pub base: Version,
    pub parts: Vec<Part>,
    /// What was not understood, by name and count.
    pub notes: Vec<String>,
}

impl Import {
    pub fn new(source: Source, seen_at: Instant) -> Import {
        Import { source, seen_at, before: None, since: None, providers: Vec::new(), prefix: String::new() }
    }

    fn look(&self, earlier: Option<&List>) -> Look {
        let of_list = earlier.and_then(List::looked_at);
        let since = match self.since {
            Some(since) => Some(since),
            None => Some(self.seen_at).filter(|_| !self.source.has_dates()),
        };
        let before = self.before.or(of_list).filter(|before| *before < self.seen_at);
        Look { at: self.seen_at, before, since, is_partial: self.source.is_partial(), has_dates: self.source.has_dates() }
    }

    /// Reads a list and lays it over those that are given; those that say nothing new come back as they are.
    pub fn lay_over(&self, text: &str, parts: &[Part]) -> Result<(Vec<Part>, Vec<String>), FlowError> {
        let source = self.source.name();
        let read = self.source.read(text);
        let imported =
            read.map_err(|e| FlowError::Refused(format!("the {source} list cannot be read: {e}; nothing was imported")))?;
        let known: Vec<&str> = imported.lists.iter().map(|list| &*list.provider).collect();
        if let Some(unknown) = self.providers.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(FlowError::NotThere(format!(
                "the {source} list has no provider `{unknown}`; it has {}",
                known.join(", ")
            )));
        }
        let mut lists = Vec::new();
        for mut list in imported.lists {
            if !self.providers.is_empty() && !self.providers.iter().any(|name| **name == *list.provider) {
                continue;
            }
            let name = format!("{}{}", self.prefix, list.provider);
            list.provider = Text::new(&name).ok_or_else(|| FlowError::Refused(format!("`{name}` is no name of a provider")))?;
            let earlier = parts.iter().find_map(|part| match part {
                Part::List(earlier) if earlier.provider == list.provider => Some(earlier),
                _ => None,
            });
            let look = self.look(earlier.map(|list| &**list));
            if let Some(newer) = earlier.and_then(|list| list.looked_at()).filter(|looked_at| *looked_at > self.seen_at) {
                let (name, at) = (&list.provider, self.seen_at.as_date_or_instant());
                let newer = newer.as_date_or_instant();
                let why = format!(
                    "the list of {name} was looked at {newer}; what was seen at {at} is older and cannot be laid over it"
                );
                return Err(FlowError::Refused(why));
            }
            let seen = list.seen(earlier.map(|list| &**list), look);
            lists.push(Part::List(match earlier {
                // Another look at the same prices is no news.
                Some(earlier) if earlier.says_the_same(&seen) => earlier.clone(),
                _ => Arc::new(seen),
            }));
        }
        Ok((lists, imported.notes))
    }
}

impl Farthing {
    /// Reads a list and lays it over what an org's catalog has of it.
    pub async fn import(&self, org: Org, import: &Import, text: &str) -> Result<Read, FlowError> {
        let base = self.store.head(org).await?.version;
        let parts = self.parts(org, base).await?;
        let (parts, notes) = import.lay_over(text, &parts)?;
        Ok(Read { base, parts, notes })
    }

    /// Lays what gateways' own files say over an org's catalog: their contracts beside the overrides there are, and where a
    /// provider's models are priced into its list.
    pub async fn contracts(&self, org: Org, said: Vec<Part>, from: Instant) -> Result<Read, FlowError> {
        let base = self.store.head(org).await?.version;
        let parts = self.parts(org, base).await?;
        let of = |part: &Part| parts.iter().find(|earlier| earlier.name() == part.name());
        let lay = |part: Part| match (&part, of(&part)) {
            (Part::Overrides(new), Some(Part::Overrides(earlier))) => Part::Overrides(Arc::new(earlier.with(new, from))),
            // A gateway says where its models are priced, and nothing else of the list.
            (Part::List(new), Some(Part::List(earlier))) => {
                let pricing_provider_id = new.pricing_provider_id.clone().or(earlier.pricing_provider_id.clone());
                Part::List(Arc::new(List { pricing_provider_id, ..(**earlier).clone() }))
            }
            _ => part,
        };
        Ok(Read { base, parts: said.into_iter().map(lay).collect(), notes: Vec::new() })
    }
}
