//! `orgs`: tenants, each with a book, a catalog and keys of its own.

use super::{Failure, Outcome, open};
use crate::config::Settings;
use crate::usage::reading;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Orgs {
    /// Make an org with an empty book and the catalogs as its version 1
    Create { name: String },
    /// List the orgs
    List,
}

impl Orgs {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let settings = Settings { org: crate::flow::FIRST_ORG.to_owned(), ..settings.clone() };
        let (farthing, _) = open(&settings).await?;
        match self {
            Orgs::Create { name } => {
                reading::text("name", &name).map_err(|e| Failure::Usage(e.to_string()))?;
                farthing.create_org(&name, &settings.catalogs).await?;
                println!("org {name} is there; make a key for it with: farthing keys create --org {name} --scope admin");
            }
            Orgs::List => {
                for (org, name) in farthing.store.orgs().await? {
                    let head = farthing.store.head(org).await?;
                    println!("{name}  {} entries, catalog version {}", head.next_sequence.0 - 1, head.version);
                }
            }
        }
        farthing.store.close().await;
        Ok(())
    }
}
