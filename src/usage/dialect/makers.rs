//! Who makes a model, by the family that its bare name begins with. Langfuse, Helicone's logger, LiteLLM's exporter for
//! OpenMeter and older instrumentation send a model and no provider; a bare name such as `gpt-4o-mini` is what its maker's own
//! API calls it, while others who sell it write more (`openai/gpt-4o-mini`, `anthropic.claude-...-v1:0`,
//! `claude-...@20250929`). So the maker is taken for the seller, and the event says that it was. Only the provider is found in
//! this way: the model is still looked up by its exact name.

use crate::usage::dialect::labels::Labels;
use crate::usage::{Text, UNKNOWN};

const FAMILIES: [(&str, &str); 22] = [
    ("chatgpt-", "openai"),
    ("claude-", "anthropic"),
    ("codestral-", "mistral"),
    ("dall-e-", "openai"),
    ("deepseek-chat", "deepseek"),
    ("deepseek-reasoner", "deepseek"),
    ("devstral-", "mistral"),
    ("gemini-", "google"),
    ("gpt-", "openai"),
    ("grok-", "xai"),
    ("magistral-", "mistral"),
    ("ministral-", "mistral"),
    ("mistral-", "mistral"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4-", "openai"),
    ("pixtral-", "mistral"),
    ("text-embedding-3-", "openai"),
    ("text-embedding-ada-", "openai"),
    ("tts-", "openai"),
    ("voxtral-", "mistral"),
    ("whisper-", "openai"),
];

/// The maker of a model under its bare name.
pub fn of(model: &str) -> Option<Text> {
    let is_bare = !model.contains(['/', '@', ':']);
    // `o3` and `o3-mini` are a family, `o365` is none.
    let belongs = |family: &str| match model.strip_prefix(family) {
        Some(rest) => family.ends_with('-') || rest.is_empty() || rest.starts_with('-'),
        None => false,
    };
    let (_, maker) = FAMILIES.iter().find(|(family, _)| is_bare && belongs(family))?;
    Some(Text::known(maker))
}

/// The provider that is known, or else the maker, which the labels then tell.
pub fn or_maker(provider: Option<Text>, model: Option<&str>, labels: &mut Labels) -> Text {
    let maker = || {
        let maker = of(model?)?;
        labels.add("provider_assumed", Some("true"));
        Some(maker)
    };
    provider.or_else(maker).unwrap_or(Text::known(UNKNOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_tells_the_maker_and_a_sellers_name_does_not() {
        for (model, expected) in [
            ("gpt-4o-mini", Some("openai")),
            ("claude-sonnet-4-5-20250929", Some("anthropic")),
            ("gemini-2.5-pro", Some("google")),
            ("o3", Some("openai")),
            ("o3-mini", Some("openai")),
            ("o365", None),
            ("openai/gpt-4o-mini", None),
            ("claude-sonnet-4-5@20250929", None),
            ("anthropic.claude-sonnet-4-5-20250929-v1:0", None),
            ("llama3", None),
        ] {
            assert_eq!(of(model).as_deref(), expected, "{model}");
        }
    }
}
