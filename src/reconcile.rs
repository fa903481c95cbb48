//! The book against the provider's books. A [`statement`] is what the provider claims about usage, [`purchases`] what went to
//! and fro between the bank and the credits: both are read from what was received, and nothing in them is guessed or changed.
//! What is done about a difference (fetching, posting) belongs to others.

pub mod purchases;
pub mod statement;
pub mod texts;
