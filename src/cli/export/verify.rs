//! `export verify`: whether files are what their manifest says. It names the first that is not, and ends with 2.

use super::super::Outcome;
use crate::export::manifest::Sums;
use crate::flow::export::files::check;
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Verify {
    /// A directory of parts, or a file with its manifest beside it
    path: PathBuf,
}

impl Verify {
    pub fn run(self) -> Outcome {
        let manifest = check(&self.path, &parquet_sums)?;
        let (rows, files, block) = (manifest.rows, manifest.parts.len(), manifest.book.block);
        println!("{rows} entries in {files} files are what was exported of the book up to block {block}, {}", manifest.book.hash);
        match manifest.asked.format.as_str() {
            "csv" | "ndjson" => {}
            "parquet" if cfg!(feature = "polars") => {}
            "parquet" => println!("bytes and hashes only: this farthing was built without Parquet (the feature polars)"),
            program => println!("bytes and hash only: {program} itself checks the balances at the end of its journal"),
        }
        Ok(())
    }
}

#[cfg(feature = "polars")]
fn parquet_sums(path: &Path) -> Result<Option<Sums>, String> {
    crate::frame::entries::sums(path).map(Some)
}

#[cfg(not(feature = "polars"))]
fn parquet_sums(_: &Path) -> Result<Option<Sums>, String> {
    Ok(None)
}
