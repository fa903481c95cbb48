//! Langfuse, which many programs are instrumented with already: its SDKs send spans with attributes of their own, older ones a
//! batch of observations that are created first and completed later. Both describe a call by a *generation*, and both count
//! usage under free names; `details` knows what those include.

pub mod details;
pub mod ingestion;
pub mod observation;
