//! Who sells a call, by the host it went to. A client library is often pointed at somebody else's address (the OpenAI SDK at
//! OpenRouter), and then the address is right and the library's name for itself is not. Only hosts that belong to a seller are
//! here; an unknown one says nothing.

/// Ends of host names, the longer before the shorter where one ends in the other.
const SELLERS: [(&str, &str); 21] = [
    ("openrouter.ai", "openrouter"),
    ("api.openai.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "google"),
    ("aiplatform.googleapis.com", "vertex"),
    (".openai.azure.com", "azure"),
    (".cognitiveservices.azure.com", "azure"),
    (".services.ai.azure.com", "azure_ai"),
    ("api.mistral.ai", "mistral"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.x.ai", "xai"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.perplexity.ai", "perplexity"),
    ("api.together.xyz", "together_ai"),
    ("api.fireworks.ai", "fireworks_ai"),
    ("api.deepinfra.com", "deepinfra"),
    ("api.cerebras.ai", "cerebras"),
    ("api.novita.ai", "novita"),
    ("api.voyageai.com", "voyage"),
];

/// The seller behind a host or an address.
pub fn seller(address: &str) -> Option<&'static str> {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    if host.starts_with("bedrock-runtime.") && (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")) {
        return Some("bedrock");
    }
    let belongs = |end: &str| match host.strip_suffix(end) {
        // `evilopenrouter.ai` is not a part of `openrouter.ai`, and Vertex puts the region in front with a hyphen.
        Some(front) => front.is_empty() || end.starts_with('.') || front.ends_with('.') || front.ends_with('-'),
        None => false,
    };
    SELLERS.iter().find(|(end, _)| belongs(end)).map(|(_, seller)| *seller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_who_sells() {
        for (address, expected) in [
            ("https://openrouter.ai/api/v1/chat/completions", Some("openrouter")),
            ("api.openai.com", Some("openai")),
            ("https://API.OpenAI.com:443/v1", Some("openai")),
            ("https://user:pw@acme.openai.azure.com/openai/deployments/x", Some("azure")),
            ("https://us-central1-aiplatform.googleapis.com/v1", Some("vertex")),
            ("bedrock-runtime.eu-west-1.amazonaws.com", Some("bedrock")),
            ("https://myopenrouter.ai/", None),
            ("http://localhost:11434/?u=https://openrouter.ai", None),
            ("", None),
        ] {
            assert_eq!(seller(address), expected, "{address}");
        }
    }
}
