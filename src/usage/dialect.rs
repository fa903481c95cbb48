//! A dialect is one producer's way of writing a usage event; reading it gives events with disjoint meters, or says which
//! field is wrong. One small file per dialect. A body is first cut into pieces, each of which tells of one call at most:
//! producers put many into an array, into an envelope, or (OpenTelemetry) into a tree of spans.

pub mod cloudevents;
pub mod derived;
pub mod helicone;
pub mod hosts;
pub mod keeptrusts;
pub mod labels;
pub mod langfuse;
pub mod litellm;
pub mod llm_proxy;
pub mod makers;
pub mod names;
pub mod native;
pub mod oceans;
pub mod omnia;
pub mod openmeter;
pub mod openrouter;
pub mod otlp;
pub mod pai;
pub mod promptkit;
pub mod status;
pub mod unknown;

use crate::time::Instant;
use crate::usage::reading::{Object, Problem, Rejected, kind};
use crate::usage::{Outcome, Owner, Product, Quantities, Text, Usage, UsageEvent, content, otlp as otlp_export};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The ways of writing an event that are understood. The numbers are in stored events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Dialect {
    Native = 0,
    CloudEvents = 1,
    Litellm = 2,
    Omnia = 3,
    Promptkit = 4,
    Pai = 5,
    Oceans = 6,
    LlmProxy = 7,
    Keeptrusts = 8,
    Openrouter = 9,
    Helicone = 10,
    Otlp = 11,
    Langfuse = 12,
    Openmeter = 13,
}

/// What a piece of a body tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    Event(Box<UsageEvent>),
    /// What changed of an event that was told before; whatever it leaves out stays as it was.
    Update(Box<UsageEvent>),
    /// Nothing that somebody pays for, and why: the other half of a pair, a span around spans, a start without an end.
    Nothing(&'static str),
}

/// A piece of a body that should tell of one call.
#[derive(Clone, Debug)]
pub enum Piece<'a> {
    Json(&'a str),
    Span(otlp_export::Unread<'a>),
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

impl Dialect {
    pub const ALL: [Dialect; 14] = [
        Dialect::Native,
        Dialect::CloudEvents,
        Dialect::Litellm,
        Dialect::Omnia,
        Dialect::Promptkit,
        Dialect::Pai,
        Dialect::Oceans,
        Dialect::LlmProxy,
        Dialect::Keeptrusts,
        Dialect::Openrouter,
        Dialect::Helicone,
        Dialect::Otlp,
        Dialect::Langfuse,
        Dialect::Openmeter,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Dialect::Native => "native",
            Dialect::CloudEvents => "cloudevents",
            Dialect::Litellm => "litellm",
            Dialect::Omnia => "omnia",
            Dialect::Promptkit => "promptkit",
            Dialect::Pai => "pai",
            Dialect::Oceans => "oceans",
            Dialect::LlmProxy => "llm-proxy",
            Dialect::Keeptrusts => "keeptrusts",
            Dialect::Openrouter => "openrouter",
            Dialect::Otlp => "otlp",
            Dialect::Langfuse => "langfuse",
            Dialect::Helicone => "helicone",
            Dialect::Openmeter => "openmeter",
        }
    }

    pub fn named(name: &str) -> Option<Dialect> {
        Dialect::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    pub fn from_number(number: u8) -> Option<Dialect> {
        Dialect::ALL.into_iter().find(|dialect| *dialect as u8 == number)
    }

    /// Its producers make an event's id up as they send it, so that the same call sent again comes under another id.
    pub const fn makes_up_ids(self) -> bool {
        matches!(self, Dialect::Omnia)
    }

    /// The field of an envelope that holds the events, for producers that send one.
    const fn envelope(self) -> Option<&'static str> {
        match self {
            Dialect::LlmProxy => Some("records"),
            Dialect::Native | Dialect::CloudEvents | Dialect::Litellm => None,
            Dialect::Omnia | Dialect::Promptkit | Dialect::Pai | Dialect::Oceans | Dialect::Keeptrusts => None,
            Dialect::Openrouter | Dialect::Helicone | Dialect::Otlp | Dialect::Openmeter => None,
            Dialect::Langfuse => Some("batch"),
        }
    }

    /// Cuts a JSON text into pieces: the elements of an array, of an envelope's list, the spans of a trace export (whichever
    /// dialect it is sent as), or the text itself.
    pub fn cut(self, json: &str) -> Result<Vec<Piece<'_>>, Rejected> {
        match kind(json) {
            "an array" => elements(json, "event"),
            "an object" if let Some(spans) = otlp_export::json::cut(json)? => Ok(spans.into_iter().map(Piece::Span).collect()),
            "an object" => match self.envelope() {
                Some(list) => match Object::parse(json, "")?.take(list) {
                    Some(events) => elements(events.get(), list),
                    None => Ok(vec![Piece::Json(json)]),
                },
                None => Ok(vec![Piece::Json(json)]),
            },
            _ => Ok(vec![Piece::Json(json)]),
        }
    }

    /// Reads one piece.
    pub fn read(self, piece: &Piece<'_>, context: &Context) -> Result<Told, Rejected> {
        let json = match piece {
            Piece::Json(json) => json,
            // A span says itself in whose words it is.
            Piece::Span(span) => return otlp::read(&span.read()?, context),
        };
        match self {
            Dialect::Native => native::read(json, context).map(Told::event),
            Dialect::CloudEvents => cloudevents::read(json, context).map(Told::event),
            Dialect::Litellm => litellm::read(json, context),
            Dialect::Omnia => omnia::read(json, context),
            Dialect::Promptkit => promptkit::read(json, context),
            Dialect::Pai => pai::read(json, context),
            Dialect::Oceans => oceans::read(json, context),
            Dialect::LlmProxy => llm_proxy::read(json, context),
            Dialect::Keeptrusts => keeptrusts::read(json, context),
            Dialect::Openrouter => openrouter::read(json, context),
            Dialect::Helicone => helicone::read(json, context),
            Dialect::Otlp => Err(Rejected::new("resourceSpans", Problem::Missing)),
            Dialect::Langfuse => langfuse::ingestion::read(json, context),
            Dialect::Openmeter => openmeter::read(json, context),
        }
    }
}

fn elements<'a>(json: &'a str, field: &str) -> Result<Vec<Piece<'a>>, Rejected> {
    let wrong = |_| Rejected::new(field, Problem::WrongType { expected: "an array", found: kind(json) });
    let elements: Vec<&RawValue> = serde_json::from_str(json).map_err(wrong)?;
    Ok(elements.into_iter().map(|element| Piece::Json(element.get())).collect())
}

impl Told {
    pub fn event(event: UsageEvent) -> Told {
        Told::Event(Box::new(event))
    }

    pub fn into_event(self) -> Option<UsageEvent> {
        match self {
            Told::Event(event) | Told::Update(event) => Some(*event),
            Told::Nothing(_) => None,
        }
    }
}

impl<'a> Piece<'a> {
    /// What may be kept of it: everything but what people wrote.
    pub fn without_content(&self) -> Option<String> {
        match self {
            // An export that could not be cut: which of its texts are content is said by names in other places of it.
            Piece::Json(json) if otlp_export::json::may_be_one(json) => None,
            Piece::Json(json) => content::strip(json),
            Piece::Span(span) => span.read().ok().map(|span| span.without_content()),
        }
    }

    /// What was received, as text; of a span only what may be kept of it, because protobuf is no text.
    pub fn text(&self) -> Cow<'a, str> {
        match self {
            Piece::Json(json) => Cow::Borrowed(json),
            Piece::Span(_) => Cow::Owned(self.without_content().unwrap_or_default()),
        }
    }

    /// How many bytes were received.
    pub fn size(&self) -> usize {
        match self {
            Piece::Json(json) => json.len(),
            Piece::Span(span) => span.size(),
        }
    }
}

impl Context {
    /// Who sends, for producers that cannot say so themselves: the key's source, or else the name of the dialect.
    pub fn source(&self, dialect: Dialect) -> Text {
        self.source.clone().unwrap_or_else(|| Text::known(dialect.name()))
    }

    /// An event of which only the least is known: a call that succeeded. The dialect adds what its producer says.
    pub fn event(&self, dialect: Dialect, id: Text, occurred_at: Option<Instant>, provider: Text, model: Text) -> UsageEvent {
        UsageEvent {
            id,
            source: self.source(dialect),
            dialect,
            occurred_at: occurred_at.unwrap_or(self.received_at),
            occurred_at_assumed: occurred_at.is_none(),
            product: Product {
                provider,
                model,
                requested_model: None,
                served_by: None,
                variant: None,
                service_tier: None,
                region: None,
            },
            owner: Owner::default(),
            usage: Usage::Counted(Quantities::NONE),
            outcome: Outcome::Succeeded,
            reported: None,
            claimed: None,
            calls: 1,
            estimated: false,
            provider_request_id: None,
            session: None,
            labels: Vec::new(),
            extra: None,
        }
    }
}
