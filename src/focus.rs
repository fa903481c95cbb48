//! The book in the words of FOCUS, the FinOps Open Cost and Usage Specification; its column names exist only here. An
//! entry is cut into [slices](mod@slice), each of one meter at one contracted and one listed rate; the [fold](mod@fold) adds up
//! those that agree in everything a row says; a [row](mod@row) says it, [column](mod@column) by column, in the columns that
//! a version has. All sums are integer sums, so the costs of a file add up to the book's to the last digit. Whoever reads
//! the book and knows the names brings them along; nothing in here waits.

pub mod column;
pub mod csv;
pub mod fold;
pub mod metadata;
pub mod row;
pub mod slice;

pub use column::Column;
pub use fold::{Fold, What};
pub use row::Row;

use crate::time::Instant;
use std::fmt;
use std::str::FromStr;

/// An edition of the specification; it decides which columns there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Version {
    #[default]
    V1_2,
    V1_3,
    V1_4,
}

/// How long the charge periods of a file are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Grain {
    Hour,
    #[default]
    Day,
}

impl Version {
    pub const fn name(self) -> &'static str {
        match self {
            Version::V1_2 => "1.2",
            Version::V1_3 => "1.3",
            Version::V1_4 => "1.4",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Version, String> {
        let known = [Version::V1_2, Version::V1_3, Version::V1_4];
        let found = known.into_iter().find(|version| version.name() == text);
        found.ok_or_else(|| format!("`{text}` is no version of FOCUS that is written here; known are 1.2, 1.3 and 1.4"))
    }
}

impl Grain {
    const fn micros(self) -> i64 {
        match self {
            Grain::Hour => 3_600_000_000,
            Grain::Day => 86_400_000_000,
        }
    }

    /// When the period began in which something occurred, on the UTC clock; no period reaches from one month into another.
    pub const fn start(self, at: Instant) -> Instant {
        Instant::from_micros(at.micros().div_euclid(self.micros()) * self.micros())
    }

    pub const fn end(self, start: Instant) -> Instant {
        Instant::from_micros(start.micros() + self.micros())
    }
}

impl FromStr for Grain {
    type Err = String;

    fn from_str(text: &str) -> Result<Grain, String> {
        match text {
            "hour" => Ok(Grain::Hour),
            "day" => Ok(Grain::Day),
            other => Err(format!("`{other}` is no grain; known are hour and day")),
        }
    }
}
