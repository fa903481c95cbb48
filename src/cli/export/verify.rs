//! `export verify`: whether files are what their manifest says. It names the first that is not, and ends with 2.

use super::super::{Failure, Outcome};
use crate::export::manifest::Sums;
use crate::flow::export::files::check;
use crate::signature::Signature;
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Verify {
    /// A directory of parts, or a file with its manifest beside it
    path: PathBuf,
    /// The public key that must have signed it, in hexadecimal
    #[arg(long, value_name = "KEY")]
    signed_by: Option<String>,
}

impl Verify {
    pub fn run(self) -> Outcome {
        let manifest = check(&self.path, &parquet_sums)?;
        let (rows, files, block) = (manifest.rows, manifest.parts.len(), manifest.book.block);
        println!("{rows} entries in {files} files are what was exported of the book up to block {block}, {}", manifest.book.hash);
        say_who_signed(manifest.signature.as_ref(), self.signed_by.as_deref())?;
        match manifest.asked.format.as_str() {
            "csv" | "ndjson" => {}
            "parquet" if cfg!(feature = "polars") => {}
            "parquet" => println!("bytes and hashes only: this farthing was built without Parquet (the feature polars)"),
            program => println!("bytes and hash only: {program} itself checks the balances at the end of its journal"),
        }
        Ok(())
    }
}

/// Who signed a manifest, and whether it is whoever must have.
pub fn say_who_signed(signature: Option<&Signature>, wanted: Option<&str>) -> Outcome {
    match (wanted, signature.map(|signature| signature.key.as_str())) {
        (Some(wanted), Some(key)) if wanted.eq_ignore_ascii_case(key) => println!("signed by {key}"),
        (Some(_), Some(key)) => return Err(Failure::Findings(format!("it is signed by another key, {key}"))),
        (Some(_), None) => return Err(Failure::Findings("it is not signed".to_owned())),
        (None, Some(key)) => println!("signed by {key}; --signed-by KEY makes sure that it is the one you know"),
        (None, None) => {}
    }
    Ok(())
}

#[cfg(feature = "polars")]
fn parquet_sums(path: &Path) -> Result<Option<Sums>, String> {
    crate::frame::entries::sums(path).map(Some)
}

#[cfg(not(feature = "polars"))]
fn parquet_sums(_: &Path) -> Result<Option<Sums>, String> {
    Ok(None)
}
