//! `names`: what the book knows people by.

use super::{Outcome, open};
use crate::config::Settings;
use crate::store::Remains;
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Names {
    /// Erase a name for good: the book keeps its number, and every hash still fits
    Erase {
        /// user, team, project, key, app, agent, environment or source
        kind: String,
        /// The name, as it was sent
        text: String,
    },
}

impl Names {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let Names::Erase { kind, text } = self;
        let (farthing, org) = open(settings).await?;
        let erased = farthing.erase_name(org, &kind, &text).await?;
        farthing.store.close().await;
        println!("{kind} is erased #{} now, and {} accounts were called after it", erased.name, erased.accounts.len());
        if erased.rejected > 0 {
            println!("{} bodies that were no events went with it", erased.rejected);
        }
        for line in what_remains(&erased.remains) {
            println!("still there: {line}");
        }
        println!("still there: backups, exports and delivered reports that were made before");
        Ok(())
    }
}

fn what_remains(remains: &Remains) -> Vec<String> {
    let places = [
        (remains.events, "events whose id, session, labels or unknown fields have the text; they are sealed"),
        (remains.names, "labels of cards and reasons that have the text"),
        (remains.catalog_parts, "published parts of the catalog that have the text"),
        (remains.keys, "access keys that are bound to it or say it in their note"),
        (remains.lists, "lines on work lists that have the text"),
    ];
    places.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
}
