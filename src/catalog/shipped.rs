//! The catalogs that come with the program: the first start publishes them as version 1. They are files of the project,
//! built into the binary, so a fresh machine needs nothing else.

macro_rules! files {
    ($($name:literal)*) => {
        /// Name and text of every file under `catalogs/`.
        pub const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../catalogs/", $name)))),*];
    };
}

files! {
    "anthropic.yaml"
    "azure.yaml"
    "bedrock.yaml"
    "deepseek.yaml"
    "google.yaml"
    "groq.yaml"
    "mistral.yaml"
    "openai.yaml"
    "openrouter.yaml"
    "vertex.yaml"
    "xai.yaml"
}
