//! Omnia keeps a model's price on the Kubernetes resource that connects it: `spec.pricing` of a `Provider`, decimal strings
//! per thousand. Its provider type says which API is spoken, not who is paid, so an address at OpenRouter counts for more.
//! A file may hold several resources; those of other kinds are passed over.

use super::{Stated, contract};
use crate::catalog::source::fields::{Fields, Literals};
use crate::catalog::source::notation;
use crate::usage::Text;
use crate::yaml::{Mistake, Node};

pub fn read(document: &Node, stated: &mut Stated, mistakes: &mut Vec<Mistake>) {
    let Some(mut resource) = Fields::of(document, "", mistakes) else { return };
    match resource.required_text("kind", mistakes).as_deref() {
        Some("Provider") => read_provider(resource, stated, mistakes),
        // What `kubectl get providers -o yaml` prints.
        Some("List") => {
            let items = resource.list("items", mistakes).unwrap_or_default();
            items.iter().for_each(|item| read(item, stated, mistakes));
        }
        _ => {}
    }
}

fn read_provider(mut resource: Fields<'_>, stated: &mut Stated, mistakes: &mut Vec<Mistake>) {
    let name = resource.inside("metadata", mistakes).and_then(|mut metadata| metadata.required_text("name", mistakes));
    let Some(mut spec) = resource.inside("spec", mistakes) else { return };
    let Some(mut pricing) = spec.inside("pricing", mistakes) else { return };
    let base_url = spec.text("baseURL", mistakes);
    let kind = spec.required_text("type", mistakes);
    let model = spec.required_text("model", mistakes);
    let rates = pricing.rates_spelled(notation::OMNIA, Literals::Quoted, mistakes);
    let (Some(kind), Some(model), false) = (kind, model, rates.is_empty()) else { return };

    let provider = if base_url.is_some_and(|url| is_openrouter(&url)) { Text::known("openrouter") } else { kind };
    let source = format!("Omnia Provider {}", name.as_deref().unwrap_or("without a name"));
    stated.contract(provider, contract(model, rates, &source), &pricing, mistakes);
}

/// Whether an address is at the host itself; a host that only begins like it is somebody else's.
fn is_openrouter(url: &str) -> bool {
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    let authority = address.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
    host.eq_ignore_ascii_case("openrouter.ai")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_itself_is_openrouter() {
        for url in
            ["https://openrouter.ai/api/v1", "https://OpenRouter.ai:443", "openrouter.ai/api", "https://u:p@openrouter.ai?x"]
        {
            assert!(is_openrouter(url), "{url}");
        }
        for url in
            ["https://openrouter.ai.example.com/v1", "https://example.com/openrouter.ai", "https://openrouter.ai@example.com", ""]
        {
            assert!(!is_openrouter(url), "{url}");
        }
    }
}
