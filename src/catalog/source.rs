//! Where cards come from: one file per source, each turning a published list into a [`Part`](crate::catalog::Part).

pub mod openrouter;
pub mod own;
