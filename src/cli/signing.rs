//! `signing-key`: makes the key that closings and manifests are signed with, or says which one a file has.

use super::{Failure, Outcome};
use crate::signature::{Signer, digits};
use clap::Args;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

#[derive(Args)]
pub struct SigningKey {
    /// The file of the private key; one that is there stays
    file: PathBuf,
}

impl SigningKey {
    /// Prints the public key alone, so that it can be handed to whoever verifies.
    pub fn run(self) -> Outcome {
        let failed = |e: std::io::Error| Failure::Io(format!("{}: {e}", self.file.display()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let seed = match options.open(&self.file) {
            Ok(mut file) => {
                let mut random = [0; 32];
                getrandom::fill(&mut random).map_err(|e| Failure::Io(e.to_string()))?;
                let seed = digits(&random);
                file.write_all(format!("{seed}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
                seed
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => std::fs::read_to_string(&self.file).map_err(failed)?,
            Err(e) => return Err(failed(e)),
        };
        let signer = Signer::of(&seed).map_err(|why| Failure::Refused(format!("{}: {why}", self.file.display())))?;
        println!("{}", signer.public_key());
        Ok(())
    }
}
