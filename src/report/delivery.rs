//! How a report or an export is written by itself: when and where to, the fields `schedule` and `destination` of its definition;
//! and as what a report is written, the field `format`. The clocks of the schedule are those of the definition's own time zone.

use crate::schedule::{Cron, Schedule};
use chrono_tz::Tz;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub schedule: Schedule,
    pub destination: Destination,
}

/// Where something is written to. How one gets in is never said here: that is in the environment of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A whole path.
    Directory(String),
    /// A bucket of an S3-compatible store, and what all names in it begin with.
    Bucket { bucket: String, prefix: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Json,
    /// As a person reads it.
    Table,
    Parquet,
}

/// The fields of a definition, as they are written.
#[derive(Default)]
pub struct Words {
    pub schedule: Option<String>,
    pub destination: Option<String>,
    pub format: Option<String>,
}

impl Delivery {
    /// What is meant, of a definition of this name in this zone; or the field that is wrong, and why.
    pub fn read(name: &str, words: &Words, zone: Tz) -> Result<Option<Delivery>, (&'static str, String)> {
        let wrong = |field| move |why: String| (field, why);
        let (schedule, destination) = match (&words.schedule, &words.destination, &words.format) {
            (Some(schedule), Some(destination), _) => (schedule, destination),
            (Some(_), None, _) => {
                let why = "say where it is written to: destination: /a/directory, or s3://bucket/prefix";
                return Err(wrong("schedule")(why.to_owned()));
            }
            (None, Some(_), _) => return Err(wrong("destination")(WITHOUT_SCHEDULE.to_owned())),
            (None, None, Some(_)) => return Err(wrong("format")(WITHOUT_SCHEDULE.to_owned())),
            (None, None, None) => return Ok(None),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !name.chars().all(is_plain) || name.starts_with('.') {
            let why = format!("files are named after the definition, and `{name}` is no plain name; use letters, digits, - _ .");
            return Err(wrong("schedule")(why));
        }
        let cron = Cron::parse(schedule).map_err(wrong("schedule"))?;
        Ok(Some(Delivery {
            schedule: Schedule { cron, zone },
            destination: Destination::parse(destination).map_err(wrong("destination"))?,
        }))
    }
}

impl Words {
    /// What a report is written as.
    pub fn format(&self) -> Result<Format, (&'static str, String)> {
        self.format.as_deref().map_or(Ok(Format::Csv), Format::named).map_err(|why| ("format", why))
    }
}

const WITHOUT_SCHEDULE: &str = "this is for what is written by itself; say when: schedule: \"0 6 * * *\"";

impl Destination {
    pub fn parse(text: &str) -> Result<Destination, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            // Relative to what would depend on who starts the service, and from where.
            return match text.starts_with('/') {
                true => Ok(Destination::Directory(text.to_owned())),
                false => Err(format!("`{text}` is no whole path; write it from / on, or s3://bucket/prefix")),
            };
        };
        if scheme != "s3" {
            return Err(format!("`{scheme}` is no destination; known are a directory and s3://bucket/prefix"));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_of_a_bucket = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        if bucket.is_empty() || !bucket.chars().all(is_of_a_bucket) {
            // What stands there may be a secret, so it is not repeated.
            return Err(
                "write s3://bucket/prefix; keys and endpoint come from the environment (AWS_ACCESS_KEY_ID, ..)".to_owned()
            );
        }
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() && prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(format!("`{prefix}` is no prefix of names; write it like teams/monthly"));
        }
        if !crate::HAS_BUCKETS {
            return Err("this farthing was built without S3 (the feature s3)".to_owned());
        }
        Ok(Destination::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl Format {
    pub fn named(name: &str) -> Result<Format, String> {
        match name {
            "csv" => Ok(Format::Csv),
            "json" => Ok(Format::Json),
            "table" => Ok(Format::Table),
            "parquet" if crate::HAS_PARQUET => Ok(Format::Parquet),
            "parquet" => Err("this farthing was built without Parquet".to_owned()),
            other => Err(format!("`{other}` is no format; known are csv, json, table and parquet")),
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Table => "table",
            Format::Parquet => "parquet",
        }
    }

    /// How its files end.
    pub const fn ending(self) -> &'static str {
        match self {
            Format::Table => "txt",
            other => other.name(),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Directory(path) => f.write_str(path),
            Destination::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Destination::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_whole_path_or_a_bucket() {
        let refused = |text: &str| Destination::parse(text).unwrap_err();
        assert_eq!(Destination::parse("/var/reports").unwrap().to_string(), "/var/reports");
        assert_eq!(refused("reports"), "`reports` is no whole path; write it from / on, or s3://bucket/prefix");
        assert_eq!(refused("gs://bucket"), "`gs` is no destination; known are a directory and s3://bucket/prefix");
        // A secret that somebody put there is not told to the log.
        assert!(!refused("s3://AKIA:hunter2@bucket/x").contains("hunter2"));
        assert_eq!(refused("s3://books//x"), "`/x` is no prefix of names; write it like teams/monthly");
        assert!(refused("s3:///prefix").starts_with("write s3://bucket/prefix"));
    }

    #[cfg(not(feature = "s3"))]
    #[test]
    fn a_bucket_is_refused_in_words_by_a_program_that_cannot_reach_one() {
        assert_eq!(Destination::parse("s3://books/x").unwrap_err(), "this farthing was built without S3 (the feature s3)");
    }

    #[cfg(feature = "s3")]
    #[test]
    fn a_bucket_may_have_a_prefix() {
        let shown = |text: &str| Destination::parse(text).unwrap().to_string();
        assert_eq!(shown("s3://books"), "s3://books");
        assert_eq!(shown("s3://books/a/b/"), "s3://books/a/b");
    }
}
