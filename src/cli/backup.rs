//! `backup`: a copy of the database that is whole, made while a server writes. PostgreSQL has a tool of its own for that,
//! and the command says how to call it.

use super::{Failure, Outcome};
use crate::config::Settings;
use crate::flow::Farthing;
use crate::store::without_password;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Backup {
    /// The file to write; it must not be there yet
    path: PathBuf,
}

impl Backup {
    pub async fn run(self, settings: &Settings) -> Outcome {
        if !settings.store.url.starts_with("sqlite:") {
            return Err(Failure::Refused(for_postgres(&settings.store.url, &self.path)));
        }
        let farthing = Farthing::open_read_only(&settings.store).await?;
        let backed_up = farthing.back_up(&self.path).await?;
        farthing.store.close().await;
        println!("{}: {} bytes", self.path.display(), backed_up.bytes);
        for (org, block, hash) in backed_up.heads {
            println!("{org}: block {block}, head {hash}");
        }
        println!(
            "to restore it, stop the server and put the file in the place of the database; `farthing verify --deep` proves it"
        );
        Ok(())
    }
}

fn for_postgres(url: &str, path: &std::path::Path) -> String {
    let (url, path) = (without_password(url), path.display());
    format!(
        "PostgreSQL makes its own backups; nothing was written. One snapshot, while servers write:\n  \
         pg_dump --format=custom --no-owner --file='{path}' '{url}'\n\
         and back, into an empty database:\n  \
         pg_restore --single-transaction --no-owner --dbname='URL OF THE EMPTY DATABASE' '{path}'\n\
         then `farthing verify --deep` proves it"
    )
}
