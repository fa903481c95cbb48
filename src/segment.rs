//! A file of columns: named integers, all of the same length. It knows nothing of what they mean. The files are Parquet
//! (feature `polars`), so that other programs can read them too; without it no file is ever written, and none is read.

pub mod narrow;
#[cfg(feature = "polars")]
mod parquet;

use std::path::Path;

/// A column of integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    Numbers(Vec<u32>),
    Integers(Vec<i64>),
    /// Microseconds since 1970 in UTC.
    Instants(Vec<i64>),
    /// Integers that may be missing.
    Some(Vec<Option<i64>>),
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Values::Numbers(numbers) => numbers.len(),
            Values::Integers(integers) | Values::Instants(integers) => integers.len(),
            Values::Some(integers) => integers.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, more: usize) {
        match self {
            Values::Numbers(numbers) => numbers.reserve_exact(more),
            Values::Integers(integers) | Values::Instants(integers) => integers.reserve_exact(more),
            Values::Some(integers) => integers.reserve_exact(more),
        }
    }

    /// Adds more of the same kind at the end.
    pub fn append(&mut self, more: Values) {
        match (self, more) {
            (Values::Numbers(numbers), Values::Numbers(more)) => numbers.extend(more),
            (Values::Integers(integers), Values::Integers(more)) | (Values::Instants(integers), Values::Instants(more)) => {
                integers.extend(more);
            }
            (Values::Some(integers), Values::Some(more)) => integers.extend(more),
            (one, other) => panic!("{other:?} cannot follow {one:?}"),
        }
    }

    /// The same values in another order.
    pub fn in_order(&self, order: &[u32]) -> Values {
        fn picked<T: Copy>(values: &[T], order: &[u32]) -> Vec<T> {
            order.iter().map(|place| values[*place as usize]).collect()
        }
        match self {
            Values::Numbers(numbers) => Values::Numbers(picked(numbers, order)),
            Values::Integers(integers) => Values::Integers(picked(integers, order)),
            Values::Instants(integers) => Values::Instants(picked(integers, order)),
            Values::Some(integers) => Values::Some(picked(integers, order)),
        }
    }
}

/// Why a file could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {why}")]
pub struct SegmentError {
    pub file: String,
    pub why: String,
    pub fault: Fault,
}

/// What is to be done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is not there.
    Missing,
    /// It is there and is not what was written.
    Changed,
    /// It may be as it was, and could not be read or written now.
    Away,
}

impl SegmentError {
    pub fn new(path: &Path, why: impl std::fmt::Display, fault: Fault) -> SegmentError {
        SegmentError { file: path.display().to_string(), why: why.to_string(), fault }
    }
}

/// Writes columns to a new file, and waits until the disk has it.
#[cfg(feature = "polars")]
pub fn write(path: &Path, columns: Vec<(String, Values)>) -> Result<(), SegmentError> {
    parquet::write(path, columns).map_err(|e| failed(path, &e))
}

/// Some columns of a file, each once, in the order in which they are asked for.
#[cfg(feature = "polars")]
pub fn read(path: &Path, names: &[&str]) -> Result<Vec<Values>, SegmentError> {
    parquet::read(path, names).map_err(|e| failed(path, &e))
}

#[cfg(not(feature = "polars"))]
pub fn write(path: &Path, _: Vec<(String, Values)>) -> Result<(), SegmentError> {
    Err(failed(path, &"this farthing was built without Parquet (the feature polars)"))
}

#[cfg(not(feature = "polars"))]
pub fn read(path: &Path, _: &[&str]) -> Result<Vec<Values>, SegmentError> {
    Err(failed(path, &"this farthing was built without Parquet (the feature polars)"))
}

fn failed(path: &Path, why: &dyn std::fmt::Display) -> SegmentError {
    SegmentError::new(path, why, if path.exists() { Fault::Away } else { Fault::Missing })
}

#[cfg(all(test, feature = "polars"))]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_back_as_they_were_written() {
        let directory = std::env::temp_dir().join(format!("farthing-segment-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("columns.parquet");
        let columns = vec![
            ("owner".to_owned(), Values::Numbers(vec![0, u32::MAX, 7])),
            ("micro".to_owned(), Values::Integers(vec![i64::MIN, -1, i64::MAX])),
            ("at".to_owned(), Values::Instants(vec![-1, 0, 1_772_000_000_000_000])),
            ("rated".to_owned(), Values::Some(vec![None, Some(-5), None])),
        ];
        write(&path, columns.clone()).unwrap();
        assert!(write(&path, columns.clone()).is_err(), "a file is never written over");
        let names = ["rated", "micro", "owner", "at"];
        let read = read(&path, &names).unwrap();
        for (name, values) in names.iter().zip(read) {
            assert_eq!(values, columns.iter().find(|(other, _)| other == name).unwrap().1, "{name}");
        }
        assert_eq!(columns[0].1.in_order(&[2, 0, 1]), Values::Numbers(vec![7, 0, u32::MAX]));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
