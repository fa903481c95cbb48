//! What the tests share: databases that go away by themselves, and a small event language.

#[cfg(feature = "s3")]
pub mod bucket;
pub mod database;
pub mod description;
pub mod postgres;
pub mod provider;
pub mod random;
pub mod service;
pub mod small;
