//! Exports: what the book holds, streamed while it is read.

pub mod focus;
