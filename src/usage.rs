//! A usage event after normalisation: who consumed how much of what, when, through whom. The counts are *disjoint*: a
//! token is in exactly one meter, so adding meters up never counts twice. What a producer wrote becomes this through a
//! dialect (`usage/dialect`) and a shape (`usage/shape`); from here on nobody needs to know which.
//!
//! Everything in here was checked at the door: texts are short and printable, counts are whole and bounded, amounts fit.

pub mod content;
pub mod dialect;
pub mod otlp;
pub mod reading;
pub mod record;
pub mod shape;

use crate::money::{Amount, Currency};
use crate::time::Instant;
use dialect::Dialect;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

/// One countable kind of consumption; the set is closed and the kinds are disjoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Meter {
    /// Plain text on the way in: neither read from nor written to a cache, nor of another modality.
    Input,
    CacheRead,
    /// Written to a cache with the default (five-minute) time to live.
    CacheWrite,
    CacheWrite1h,
    /// Visible output; what the model thought is [`Meter::Reasoning`].
    Output,
    Reasoning,
    AudioInput,
    AudioCacheRead,
    AudioOutput,
    ImageInput,
    ImageOutput,
    VideoInput,
    Request,
    WebSearch,
    WebFetch,
    ToolCall,
    Image,
    Pixel,
    Page,
    Millisecond,
    Character,
    /// An amount that has no breakdown.
    Whole,
}

/// A whole number for every meter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quantities([u64; Meter::COUNT]);

/// A text that may be stored anywhere: not empty, bounded, without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Box<str>);

/// An immutable fact: this much was consumed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageEvent {
    /// The producer's own key for it, unique within its source.
    pub id: Text,
    /// The gateway installation that sent it.
    pub source: Text,
    /// How it was written.
    pub dialect: Dialect,
    pub occurred_at: Instant,
    /// The producer sent no time, so the time of receipt stands in; a replay may then carry another one.
    pub occurred_at_assumed: bool,
    pub product: Product,
    pub owner: Owner,
    pub usage: Usage,
    pub outcome: Outcome,
    /// What the provider said it charged.
    pub reported: Option<Reported>,
    /// What a gateway computed by itself: kept and compared, never posted.
    pub claimed: Option<Claimed>,
    /// How many calls this event stands for.
    pub calls: u64,
    pub estimated: bool,
    /// The provider's own id of the call, by which two sources can be seen to tell of the same one.
    pub provider_request_id: Option<Text>,
    pub session: Option<Text>,
    /// Free labels, sorted by key.
    pub labels: Vec<(Text, Text)>,
    /// Unknown fields as a JSON object, within [`MAX_EXTRA`] bytes.
    pub extra: Option<Box<str>>,
}

/// What was bought: everything about a call that can decide its price, except the time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Product {
    pub provider: Text,
    pub model: Text,
    pub requested_model: Option<Text>,
    /// The upstream that a router picked.
    pub served_by: Option<Text>,
    pub variant: Option<Text>,
    pub service_tier: Option<Text>,
    pub region: Option<Text>,
}

/// Who bears it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Owner {
    pub user: Option<Text>,
    pub team: Option<Text>,
    pub project: Option<Text>,
    pub key: Option<Text>,
    pub app: Option<Text>,
    pub agent: Option<Text>,
    pub environment: Option<Text>,
}

/// One of the ways in which an owner is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OwnerDimension {
    User,
    Team,
    Project,
    Key,
    App,
    Agent,
    Environment,
}

/// What is known of the counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Usage {
    Counted(Quantities),
    /// The counts contradict each other; `raw` is what was sent, numbers only, for the day somebody knows better.
    Contradictory {
        detail: String,
        raw: Box<str>,
    },
    /// The call may have cost something, but nobody said how much it used.
    Missing,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Outcome {
    Succeeded,
    Failed,
    Cancelled,
    /// Turned away before any work: 4xx, 429, never connected.
    Refused,
    /// Stopped by a policy of the gateway.
    Blocked,
    /// Answered from the gateway's own cache.
    CacheHit,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reported {
    pub amount: Amount,
    pub currency: Currency,
    /// The caller's own key at the upstream was used: `amount` is the router's fee, `upstream_amount` the upstream's charge.
    pub byok: bool,
    pub upstream_amount: Option<Amount>,
    /// The text had more than 24 decimals.
    pub rounded: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claimed {
    pub amount: Amount,
    pub currency: Currency,
}

/// Longest text of a dimension, an id or a model name, in bytes.
pub const MAX_TEXT: usize = 512;
pub const MAX_LABELS: usize = 64;
/// How much of the fields that nobody knows is kept of one event, in bytes of JSON.
pub const MAX_EXTRA: usize = 1_024;
/// The largest count one event may carry: far beyond any real one, and small enough that no sum of meters overflows.
pub const MAX_COUNT: u64 = 1_000_000_000_000_000;

impl Meter {
    pub const COUNT: usize = 22;

    pub const ALL: [Meter; Meter::COUNT] = [
        Meter::Input,
        Meter::CacheRead,
        Meter::CacheWrite,
        Meter::CacheWrite1h,
        Meter::Output,
        Meter::Reasoning,
        Meter::AudioInput,
        Meter::AudioCacheRead,
        Meter::AudioOutput,
        Meter::ImageInput,
        Meter::ImageOutput,
        Meter::VideoInput,
        Meter::Request,
        Meter::WebSearch,
        Meter::WebFetch,
        Meter::ToolCall,
        Meter::Image,
        Meter::Pixel,
        Meter::Page,
        Meter::Millisecond,
        Meter::Character,
        Meter::Whole,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Meter::Input => "input",
            Meter::CacheRead => "cache_read",
            Meter::CacheWrite => "cache_write",
            Meter::CacheWrite1h => "cache_write_1h",
            Meter::Output => "output",
            Meter::Reasoning => "reasoning",
            Meter::AudioInput => "audio_input",
            Meter::AudioCacheRead => "audio_cache_read",
            Meter::AudioOutput => "audio_output",
            Meter::ImageInput => "image_input",
            Meter::ImageOutput => "image_output",
            Meter::VideoInput => "video_input",
            Meter::Request => "request",
            Meter::WebSearch => "web_search",
            Meter::WebFetch => "web_fetch",
            Meter::ToolCall => "tool_call",
            Meter::Image => "image",
            Meter::Pixel => "pixel",
            Meter::Page => "page",
            Meter::Millisecond => "millisecond",
            Meter::Character => "character",
            Meter::Whole => "whole",
        }
    }

    pub fn named(name: &str) -> Option<Meter> {
        Meter::ALL.into_iter().find(|meter| meter.name() == name)
    }

    pub fn from_number(number: u8) -> Option<Meter> {
        Meter::ALL.get(usize::from(number)).copied()
    }

    /// Counted in tokens, so quoted per thousand or per million.
    pub const fn is_token(self) -> bool {
        (self as u8) < Meter::Request as u8
    }

    /// A token on the way in: thresholds such as `prompt_tokens_over` count these.
    pub const fn is_prompt_token(self) -> bool {
        matches!(
            self,
            Meter::Input
                | Meter::CacheRead
                | Meter::CacheWrite
                | Meter::CacheWrite1h
                | Meter::AudioInput
                | Meter::AudioCacheRead
                | Meter::ImageInput
                | Meter::VideoInput
        )
    }
}

impl Quantities {
    pub const NONE: Quantities = Quantities([0; Meter::COUNT]);

    pub fn of(counts: &[(Meter, u64)]) -> Quantities {
        let mut quantities = Quantities::NONE;
        for &(meter, count) in counts {
            quantities.set(meter, count);
        }
        quantities
    }

    pub const fn get(&self, meter: Meter) -> u64 {
        self.0[meter as usize]
    }

    pub fn set(&mut self, meter: Meter, count: u64) {
        self.0[meter as usize] = count;
    }

    /// The meters that count something, in their fixed order.
    pub fn present(&self) -> impl Iterator<Item = (Meter, u64)> + '_ {
        Meter::ALL.into_iter().zip(self.0).filter(|&(_, count)| count > 0)
    }

    pub fn prompt_tokens(&self) -> u64 {
        self.present().filter(|(meter, _)| meter.is_prompt_token()).map(|(_, count)| count).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&count| count == 0)
    }

    /// Whether the model answered anything at all.
    pub fn has_output(&self) -> bool {
        self.get(Meter::Output) + self.get(Meter::Reasoning) + self.get(Meter::AudioOutput) + self.get(Meter::ImageOutput) > 0
    }
}

impl Text {
    /// Takes a text that [`reading::text`] has checked.
    pub(in crate::usage) fn checked(text: &str) -> Text {
        Text(text.into())
    }

    /// For a short text that this program made, such as a date.
    pub fn new(text: impl AsRef<str>) -> Option<Text> {
        reading::text("text", text.as_ref()).ok()
    }

    /// For names that are written in this program, not received.
    pub fn known(text: &'static str) -> Text {
        reading::text("name", text).expect("a name written in the program is printable and short")
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Outcome {
    pub const ALL: [Outcome; 6] =
        [Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled, Outcome::Refused, Outcome::Blocked, Outcome::CacheHit];

    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::Refused => "refused",
            Outcome::Blocked => "blocked",
            Outcome::CacheHit => "cache_hit",
        }
    }

    pub fn named(name: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    pub fn from_number(number: u8) -> Option<Outcome> {
        Outcome::ALL.get(usize::from(number)).copied()
    }

    /// No provider did any work for it: it is counted and costs nothing.
    pub const fn is_free(self) -> bool {
        matches!(self, Outcome::Refused | Outcome::Blocked | Outcome::CacheHit)
    }
}

impl OwnerDimension {
    /// In the order in which reports and records list them.
    pub const ALL: [OwnerDimension; 7] = [
        OwnerDimension::User,
        OwnerDimension::Team,
        OwnerDimension::Project,
        OwnerDimension::Key,
        OwnerDimension::App,
        OwnerDimension::Agent,
        OwnerDimension::Environment,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            OwnerDimension::User => "user",
            OwnerDimension::Team => "team",
            OwnerDimension::Project => "project",
            OwnerDimension::Key => "key",
            OwnerDimension::App => "app",
            OwnerDimension::Agent => "agent",
            OwnerDimension::Environment => "environment",
        }
    }

    pub fn named(name: &str) -> Option<OwnerDimension> {
        OwnerDimension::ALL.into_iter().find(|dimension| dimension.name() == name)
    }
}

impl Owner {
    pub fn get(&self, dimension: OwnerDimension) -> Option<&Text> {
        match dimension {
            OwnerDimension::User => self.user.as_ref(),
            OwnerDimension::Team => self.team.as_ref(),
            OwnerDimension::Project => self.project.as_ref(),
            OwnerDimension::Key => self.key.as_ref(),
            OwnerDimension::App => self.app.as_ref(),
            OwnerDimension::Agent => self.agent.as_ref(),
            OwnerDimension::Environment => self.environment.as_ref(),
        }
    }

    pub fn set(&mut self, dimension: OwnerDimension, text: Option<Text>) {
        *match dimension {
            OwnerDimension::User => &mut self.user,
            OwnerDimension::Team => &mut self.team,
            OwnerDimension::Project => &mut self.project,
            OwnerDimension::Key => &mut self.key,
            OwnerDimension::App => &mut self.app,
            OwnerDimension::Agent => &mut self.agent,
            OwnerDimension::Environment => &mut self.environment,
        } = text;
    }

    /// `team search, user ann`
    pub fn in_words(&self) -> String {
        let said = self.dimensions().into_iter().filter_map(|(name, text)| Some(format!("{name} {}", text?)));
        let said: Vec<_> = said.collect();
        if said.is_empty() { "nobody in particular".to_owned() } else { said.join(", ") }
    }

    /// The dimensions with their names, in the order in which reports and records list them.
    pub fn dimensions(&self) -> [(&'static str, Option<&Text>); 7] {
        OwnerDimension::ALL.map(|dimension| (dimension.name(), self.get(dimension)))
    }
}

impl Product {
    pub fn dimensions(&self) -> [(&'static str, Option<&Text>); 7] {
        [
            ("provider", Some(&self.provider)),
            ("model", Some(&self.model)),
            ("requested_model", self.requested_model.as_ref()),
            ("served_by", self.served_by.as_ref()),
            ("variant", self.variant.as_ref()),
            ("service_tier", self.service_tier.as_ref()),
            ("region", self.region.as_ref()),
        ]
    }
}

/// The name of a model or provider that a producer left out.
pub const UNKNOWN: &str = "unknown";

impl UsageEvent {
    /// The same event after a later word on it: what that says holds, what it leaves out stays.
    pub fn updated_by(&self, later: &UsageEvent) -> UsageEvent {
        let known = |later: &Text, earlier: &Text| if &**later == UNKNOWN { earlier.clone() } else { later.clone() };
        let or = |later: &Option<Text>, earlier: &Option<Text>| later.clone().or_else(|| earlier.clone());
        let (new, old) = (&later.product, &self.product);
        let product = Product {
            provider: known(&new.provider, &old.provider),
            model: known(&new.model, &old.model),
            requested_model: or(&new.requested_model, &old.requested_model),
            served_by: or(&new.served_by, &old.served_by),
            variant: or(&new.variant, &old.variant),
            service_tier: or(&new.service_tier, &old.service_tier),
            region: or(&new.region, &old.region),
        };
        let (new, old) = (&later.owner, &self.owner);
        let owner = Owner {
            user: or(&new.user, &old.user),
            team: or(&new.team, &old.team),
            project: or(&new.project, &old.project),
            key: or(&new.key, &old.key),
            app: or(&new.app, &old.app),
            agent: or(&new.agent, &old.agent),
            environment: or(&new.environment, &old.environment),
        };
        let mut labels: BTreeMap<Text, Text> = self.labels.iter().cloned().collect();
        labels.extend(later.labels.iter().cloned());
        let timed = if later.occurred_at_assumed { self } else { later };
        UsageEvent {
            id: self.id.clone(),
            source: self.source.clone(),
            dialect: later.dialect,
            occurred_at: timed.occurred_at,
            occurred_at_assumed: timed.occurred_at_assumed,
            product,
            owner,
            usage: if later.usage == Usage::Missing { &self.usage } else { &later.usage }.clone(),
            outcome: if later.outcome == Outcome::Succeeded { self.outcome } else { later.outcome },
            reported: later.reported.clone().or_else(|| self.reported.clone()),
            claimed: later.claimed.or(self.claimed),
            calls: if later.calls == 1 { self.calls } else { later.calls },
            estimated: self.estimated || later.estimated,
            provider_request_id: or(&later.provider_request_id, &self.provider_request_id),
            session: or(&later.session, &self.session),
            labels: labels.into_iter().take(MAX_LABELS).collect(),
            extra: later.extra.clone().or_else(|| self.extra.clone()),
        }
    }

    pub fn quantities(&self) -> Option<&Quantities> {
        match &self.usage {
            Usage::Counted(quantities) => Some(quantities),
            Usage::Contradictory { .. } | Usage::Missing => None,
        }
    }

    /// Sixteen bytes that stand for what was *sent*: a time of receipt that stood in for a missing one, unknown fields and
    /// the order of keys are left out. Equal hashes mean the same event; different ones are only a suspicion.
    pub fn content_hash(&self) -> [u8; 16] {
        let mut meaning = crate::bytes::Writer::with_capacity(256);
        record::write_meaning(self, &mut meaning);
        first_16(blake3::hash(meaning.as_slice()))
    }

    /// The fields whose meaning differs between two events of one id.
    pub fn differences(&self, other: &UsageEvent) -> Vec<&'static str> {
        let mut fields = Vec::new();
        let mut compare = |field, same: bool| {
            if !same {
                fields.push(field);
            }
        };
        let either_assumed = self.occurred_at_assumed || other.occurred_at_assumed;
        compare("occurred_at", either_assumed || self.occurred_at == other.occurred_at);
        for ((field, mine), (_, theirs)) in self.product.dimensions().into_iter().zip(other.product.dimensions()) {
            compare(field, mine == theirs);
        }
        match (&self.usage, &other.usage) {
            (Usage::Counted(mine), Usage::Counted(theirs)) => {
                for meter in Meter::ALL {
                    compare(meter.name(), mine.get(meter) == theirs.get(meter));
                }
            }
            (mine, theirs) => compare("usage", mine == theirs),
        }
        compare("reported", self.reported == other.reported);
        compare("claimed", self.claimed == other.claimed);
        compare("calls", self.calls == other.calls);
        compare("estimated", self.estimated == other.estimated);
        compare("provider_request_id", self.provider_request_id == other.provider_request_id);
        for ((field, mine), (_, theirs)) in self.owner.dimensions().into_iter().zip(other.owner.dimensions()) {
            compare(field, mine == theirs);
        }
        compare("session", self.session == other.session);
        compare("labels", self.labels == other.labels);
        compare("outcome", self.outcome == other.outcome);
        fields
    }
}

pub(crate) fn first_16(hash: blake3::Hash) -> [u8; 16] {
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}
