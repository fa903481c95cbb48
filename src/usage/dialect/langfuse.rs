//! Langfuse, which programs are instrumented with already: its SDKs send spans with attributes of their own, older ones a batch
//! of observations that are created first and completed later. Both describe a call by a *generation*, and both count usage
//! under free names, of which [`details`] knows what they include.

pub mod details;
pub mod observation;
