//! The book against the provider's books. A [`statement`] is what the provider claims about usage, [`purchases`] what went to
//! and fro between the bank and the credits: both are read from what was received, and nothing in them is guessed or changed.
//! [`compare`] lays a statement beside what is booked and says of every difference how much it is, what kind it is, which
//! entries and lines it is between, what the likely cause is and what to do next. What is done about it (fetching,
//! posting) belongs to others.

pub mod compare;
pub mod purchases;
pub mod statement;
pub mod texts;
