//! `keys`: access keys for the service.

use super::{Failure, Outcome, open};
use crate::config::Settings;
use crate::flow::access::{KeyWish, Scope};
use crate::flow::now;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Keys {
    /// Make a key; it is printed alone, and never again
    Create {
        /// What it may do: ingest, read, catalog, reconcile, admin
        #[arg(long = "scope", required = true, value_delimiter = ',')]
        scopes: Vec<String>,
        /// Its events are this source's
        #[arg(long)]
        source: Option<String>,
        /// It reads what this team bears
        #[arg(long)]
        team: Option<String>,
        /// What it is for
        #[arg(long)]
        note: Option<String>,
    },
    /// List keys by their public part
    List,
    /// Revoke a key for good
    Revoke { id: String },
}

impl Keys {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let (farthing, org) = open(settings).await?;
        match self {
            Keys::Create { scopes, source, team, note } => {
                let scopes = scopes.iter().map(|scope| scope.parse()).collect::<Result<Vec<Scope>, String>>();
                let wish = KeyWish { scopes: scopes.map_err(Failure::Usage)?, source, team, note };
                println!("{}", farthing.create_key(org, &wish).await?);
            }
            Keys::List => {
                for key in farthing.store.keys(org).await? {
                    let bound = [("source", key.source), ("team", key.team), ("for", key.note)];
                    let bound: Vec<_> =
                        bound.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))).collect();
                    let state = key.revoked_at.map_or("".to_owned(), |at| format!("  revoked {at}"));
                    println!("{}  {}  made {}  {}{state}", key.key, key.scopes, key.created_at, bound.join(", "));
                }
            }
            Keys::Revoke { id } => {
                if !farthing.store.revoke_key(org, &id, now()).await? {
                    return Err(Failure::Refused(format!("there is no key {id} that could be revoked")));
                }
                println!("key {id} is revoked; a running service forgets it within two seconds");
            }
        }
        farthing.store.close().await;
        Ok(())
    }
}
