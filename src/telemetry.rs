//! The log: lines on standard error, as text or as JSON. What people sent is never logged, only what became of it; secrets
//! never reach it.

use crate::config::{ConfigError, Settings};
use std::io::IsTerminal;
use std::str::FromStr;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

pub fn start(settings: &Settings) -> Result<(), ConfigError> {
    let why = |e: tracing_subscriber::filter::ParseError| ConfigError::Value { name: "log", why: e.to_string() };
    let targets = Targets::from_str(&settings.log).map_err(why)?;
    let colours = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(std::io::stderr);
    let layer = if settings.log_json {
        lines.json().with_filter(targets).boxed()
    } else {
        lines.with_ansi(colours).with_filter(targets).boxed()
    };
    // A second start within one process (a test) keeps the first one's log.
    let _ = tracing_subscriber::registry().with(layer).try_init();
    Ok(())
}
