//! Other people's names for providers and models. The lists that prices stand in have one name for each provider; SDKs,
//! gateways and conventions have several. Only exact names are translated; one that nobody knows is left as it is, finds no
//! list, and the event is held with that name in its reason.

use crate::usage::Text;
use crate::usage::dialect::labels::loose;

/// Provider names of OpenTelemetry's conventions, LiteLLM, the Vercel AI SDK and Langfuse, and ours.
const PROVIDERS: [(&str, &str); 42] = [
    ("amazon-bedrock", "bedrock"),
    ("amazon_bedrock", "bedrock"),
    ("aws.bedrock", "bedrock"),
    ("aws_bedrock", "bedrock"),
    ("az.ai.inference", "azure_ai"),
    ("az.ai.openai", "azure"),
    ("azure-openai", "azure"),
    ("azure.ai.inference", "azure_ai"),
    ("azure.ai.openai", "azure"),
    ("azure_openai", "azure"),
    ("azure_text", "azure"),
    ("bedrock_converse", "bedrock"),
    ("claude", "anthropic"),
    ("cohere_chat", "cohere"),
    ("gcp.gemini", "google"),
    ("gcp.gen_ai", "google"),
    ("gcp.vertex_ai", "vertex"),
    ("gemini", "google"),
    ("google-gemini", "google"),
    ("google-vertex", "vertex"),
    ("google-vertex-anthropic", "vertex"),
    ("google.generative-ai", "google"),
    ("google.vertex", "vertex"),
    ("google_genai", "google"),
    ("google_vertex", "vertex"),
    ("google_vertexai", "vertex"),
    ("mistral_ai", "mistral"),
    ("mistralai", "mistral"),
    ("open_ai", "openai"),
    ("open_router", "openrouter"),
    ("openai_responses", "openai"),
    ("text-completion-codestral", "codestral"),
    ("text-completion-inception", "inception"),
    ("text-completion-openai", "openai"),
    ("vertex-ai", "vertex"),
    ("vertex.anthropic", "vertex"),
    ("vertex_ai", "vertex"),
    ("vertex_ai_beta", "vertex"),
    ("vertexai", "vertex"),
    ("x-ai", "xai"),
    ("x.ai", "xai"),
    ("x_ai", "xai"),
];

/// A provider by the name that price lists have for it: `gcp.vertex_ai` is `vertex`, and so are `vertex_ai-llama_models`
/// (LiteLLM names a route within a provider) and `google.vertex.chat` (the Vercel AI SDK names an API of it).
pub fn provider(name: &str) -> Option<Text> {
    let lower = name.trim().to_ascii_lowercase();
    let mut known = ours(&lower);
    let mut stem = lower.as_str();
    // What is compatible with a provider, or a tool of it with a price of its own, is another one.
    let is_other = ["compatible", "-cli", "-code"].iter().any(|word| lower.contains(word));
    while known.is_none() && !is_other {
        let Some((shorter, _)) = stem.rsplit_once(['.', '-']) else { break };
        stem = shorter;
        known = ours(stem).or_else(|| APIS_AFTER_A_POINT.contains(&stem).then_some(stem));
    }
    // A name that is known as a whole says itself who sells.
    let shortened = known.filter(|_| stem.len() < lower.len());
    shortened.and_then(|stated| cloud(&lower, stated)).or_else(|| loose(known.unwrap_or(&lower)))
}

/// Providers under whose own name the Vercel AI SDK writes an API: `openai.chat`, `anthropic.messages`.
const APIS_AFTER_A_POINT: [&str; 10] =
    ["anthropic", "azure", "cohere", "deepseek", "groq", "mistral", "openai", "openrouter", "perplexity", "xai"];

/// A provider that is named exactly, by any of its names; nothing where the name is nobody's.
pub fn exact(name: &str) -> Option<Text> {
    let lower = name.trim().to_ascii_lowercase();
    let is_listed = || APIS_AFTER_A_POINT.contains(&lower.as_str()) || PROVIDERS.iter().any(|(_, ours)| *ours == lower);
    ours(&lower).or_else(|| is_listed().then_some(lower.as_str())).and_then(loose)
}

/// The clouds that sell other makers' models.
const CLOUDS: [&str; 4] = ["azure", "azure_ai", "bedrock", "vertex"];

/// The provider that an operator's own name for an endpoint begins with: `openrouter-prod` is `openrouter`, `claude.eu` is
/// `anthropic`, and `our-models` says nothing. Where a maker and a cloud are named, the cloud sells: `anthropic-bedrock` is
/// `bedrock`. What is compatible with a provider is another one.
pub fn begins(name: &str) -> Option<Text> {
    if name.to_ascii_lowercase().contains("compatible") {
        return None;
    }
    let stems = std::iter::successors(Some(name), |stem| stem.rsplit_once(['.', '-']).map(|(shorter, _)| shorter));
    let stated = stems.into_iter().find_map(exact)?;
    cloud(name, &stated).or(Some(stated))
}

/// The cloud that a segment of a name is called after, where the provider stated is a maker. A router sells what it forwards to
/// a cloud, and a cloud what it runs.
fn cloud(name: &str, stated: &str) -> Option<Text> {
    let is_maker = matches!(stated, "anthropic" | "cohere" | "deepseek" | "google" | "mistral" | "openai" | "xai");
    let mut named = name.split(['.', '-', '/']).filter_map(exact);
    named.find(|provider| is_maker && CLOUDS.contains(&&**provider))
}

fn ours(name: &str) -> Option<&'static str> {
    PROVIDERS.binary_search_by_key(&name, |(theirs, _)| theirs).ok().map(|place| PROVIDERS[place].1)
}

/// A model without the provider's name in front, under any of the provider's names: `openrouter/openai/gpt-4o` at
/// `openrouter` is `openai/gpt-4o`. A name in front that is not the provider's belongs to the model, and so does that of
/// OpenRouter's own routers, such as `openrouter/auto`.
pub fn model(name: &str, provider: &str) -> Option<Text> {
    let is_own = |front: &str| front == provider || self::provider(front).is_some_and(|front| &*front == provider);
    let bare = name.split_once('/').filter(|(front, rest)| !rest.is_empty() && is_own(front));
    let bare = bare.filter(|(_, rest)| provider != "openrouter" || rest.contains('/'));
    loose(bare.map_or(name, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_for_the_search() {
        assert!(PROVIDERS.is_sorted());
    }

    #[test]
    fn a_provider_has_one_name_whoever_names_it() {
        let ours = |name: &str| provider(name).unwrap().to_string();
        for (theirs, expected) in [
            ("openai", "openai"),
            ("OpenAI", "openai"),
            ("openai.chat", "openai"),
            ("anthropic.messages", "anthropic"),
            ("google.generative-ai", "google"),
            ("google.vertex.chat", "vertex"),
            ("vertex_ai-llama_models", "vertex"),
            ("vertex_ai_beta", "vertex"),
            ("anthropic-bedrock", "bedrock"),
            ("openai-azure", "azure"),
            ("openrouter.azure", "openrouter"),
            ("azure_ai", "azure_ai"),
            ("gcp.vertex_ai", "vertex"),
            ("aws.bedrock", "bedrock"),
            ("azure.ai.openai", "azure"),
            ("x_ai", "xai"),
            ("fireworks_ai", "fireworks_ai"),
            ("together-ai.chat", "together-ai.chat"),
            ("acme", "acme"),
        ] {
            assert_eq!(ours(theirs), expected, "{theirs}");
        }
    }

    #[test]
    fn an_operators_own_name_says_which_provider_it_begins_with() {
        let read = |name: &str| (exact(name).map(|p| p.to_string()), begins(name).map(|p| p.to_string()));
        let both = |name: &str| (Some(name.to_owned()), Some(name.to_owned()));
        assert_eq!(read("OpenRouter"), both("openrouter"));
        assert_eq!(read("vertex"), both("vertex"));
        assert_eq!(read("claude"), both("anthropic"));
        assert_eq!(read("openrouter-prod-eu"), (None, Some("openrouter".to_owned())));
        assert_eq!(read("gemini-cli-oauth-personal"), (None, Some("google".to_owned())));
        assert_eq!(read("our-openrouter"), (None, None));
        for (name, cloud) in [("anthropic-bedrock", "bedrock"), ("claude-vertex-eu", "vertex"), ("openai-azure", "azure")] {
            assert_eq!(read(name), (None, Some(cloud.to_owned())));
        }
        assert_eq!(read("openrouter-azure"), (None, Some("openrouter".to_owned())), "a router sells what it forwards");
        assert_eq!(read("openai-compatible"), (None, None));
    }

    #[test]
    fn only_the_providers_own_name_is_taken_off_a_model() {
        let bare = |name: &str, provider: &str| model(name, provider).unwrap().to_string();
        assert_eq!(bare("openrouter/openai/gpt-4o", "openrouter"), "openai/gpt-4o");
        assert_eq!(bare("openai/gpt-4o", "openrouter"), "openai/gpt-4o");
        assert_eq!(bare("vertex_ai/gemini-2.5-pro", "vertex"), "gemini-2.5-pro");
        assert_eq!(bare("gpt-4o", "openai"), "gpt-4o");
        assert_eq!(bare("openrouter/auto", "openrouter"), "openrouter/auto");
        assert_eq!(bare("openrouter/", "openrouter"), "openrouter/");
    }
}
