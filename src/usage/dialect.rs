//! A dialect is one producer's way of writing a usage event; reading it gives events with disjoint meters, or says which
//! field is wrong. One small file per dialect.

pub mod cloudevents;
pub mod native;

use crate::time::Instant;
use crate::usage::reading::Rejected;
use crate::usage::{Text, UsageEvent};

/// The ways of writing an event that are understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    Native,
    CloudEvents,
}

impl Dialect {
    pub const ALL: [Dialect; 2] = [Dialect::Native, Dialect::CloudEvents];

    pub const fn name(self) -> &'static str {
        match self {
            Dialect::Native => "native",
            Dialect::CloudEvents => "cloudevents",
        }
    }

    pub fn named(name: &str) -> Option<Dialect> {
        Dialect::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// Reads one event.
    pub fn read(self, json: &str, context: &Context) -> Result<UsageEvent, Rejected> {
        match self {
            Dialect::Native => native::read(json, context),
            Dialect::CloudEvents => cloudevents::read(json, context),
        }
    }
}

/// What a reader needs to know beside the text.
#[derive(Clone, Debug)]
pub struct Context {
    pub received_at: Instant,
    /// The source of events that name none: the key's.
    pub source: Option<Text>,
    /// Refuse unknown fields instead of keeping them.
    pub strict: bool,
}
