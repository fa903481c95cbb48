//! All tests that need more than one module: stories, the books test, the conformance suite, and what comes in over a real
//! socket. They run against SQLite in a temporary directory and against a real PostgreSQL.

mod again;
mod archive;
mod backup;
mod books;
#[cfg(feature = "s3")]
mod buckets;
mod catalogs;
mod checks;
mod cli;
mod crash;
mod exactness;
mod exports;
mod faults;
mod gateways;
mod field;
mod fixtures;
mod flips;
mod focus;
mod golden;
mod http;
mod importers;
mod jobs;
mod many;
mod months;
mod notations;
mod openrouter;
#[cfg(feature = "polars")]
mod parquet;
mod peers;
mod periods;
mod prices;
mod pull;
mod reconcile;
mod refresh;
mod replay;
mod reports;
mod retention;
mod rules;
mod schema;
mod scopes;
#[cfg(feature = "polars")]
mod segments;
mod simulation;
mod settle;
mod statements;
mod store;
mod stories;
mod support;
#[cfg(feature = "polars")]
mod tail;
mod taken_out;
mod tidy;
mod verify;
