//! Farthing is the book of record for what LLM usage costs.
//!
//! A usage event comes in from a gateway, in that gateway's words. It is normalised into disjoint meters
//! ([`usage`]), rated by a versioned catalog ([`catalog`], [`rating`]) and posted to an append-only ledger ([`ledger`]),
//! which is held against the provider's own books ([`reconcile`]), and from which reports are folded ([`report`]) and exports
//! are written ([`export`], and [`focus`] in other people's words). All of that is values in, values out. Around it stands
//! the code that waits:
//! the [`store`] that speaks SQL, the [`flow`] of each verb, and the doors ([`http`], [`cli`]).
//!
//! The modules below are in the order in which data flows; each imports only from those above it.

// The notations that everything else is written in.
pub mod money;
pub mod time;
pub mod schedule;
pub mod id;
pub mod bytes;
pub mod signature;
pub mod yaml;
// From an event to an answer.
pub mod usage;
pub mod catalog;
pub mod rating;
pub mod ledger;
pub mod reconcile;
pub mod report;
pub mod focus;
pub mod export;
// What waits: the database, the verbs, the doors.
pub mod store;
pub mod segment;
pub mod provider;
pub mod scratch;
#[cfg(feature = "polars")]
pub mod frame;
pub mod flow;
pub mod http;
pub mod jobs;
pub mod config;
pub mod telemetry;
pub mod cli;

/// Whether this program can write Parquet.
pub const HAS_PARQUET: bool = cfg!(feature = "polars");
/// Whether this program can write into buckets.
pub const HAS_BUCKETS: bool = cfg!(feature = "s3");
