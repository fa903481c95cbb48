//! `catalog`: the versions there are, files checked and published, and other people's lists turned into files.

use super::{Failure, Outcome, open, read_input};
use crate::catalog::Part;
use crate::catalog::history::Look;
use crate::catalog::source::{openrouter, own};
use crate::config::Settings;
use crate::flow::now;
use crate::flow::publish::{CatalogFiles, Note, read_files};
use crate::time::Instant;
use clap::Subcommand;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Subcommand)]
pub enum Catalog {
    /// List the published versions
    List,
    /// Read catalog files and tell every mistake
    Check {
        /// A file or a directory [default: the files that come with the program]
        path: Option<PathBuf>,
    },
    /// Publish catalog files as the next version
    Publish {
        /// A file or a directory [default: the files that come with the program]
        path: Option<PathBuf>,
        /// Why
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Turn another list into a catalog file on standard output
    Import {
        /// Which list: openrouter
        source: String,
        /// The list as it was fetched; - is standard input
        file: String,
        /// When it was fetched: its prices hold from then [default: now]
        #[arg(long)]
        seen_at: Option<String>,
    },
}

impl Catalog {
    pub async fn run(self, settings: &Settings) -> Outcome {
        match self {
            Catalog::List => list(settings).await,
            Catalog::Check { path } => {
                let files = at(path);
                let parts = read_files(&files)?;
                let (models, cards) = counts(&parts);
                println!("{files}: {} parts, {models} models, {cards} cards, no mistake", parts.len());
                Ok(())
            }
            Catalog::Publish { path, note } => publish(settings, &at(path), note).await,
            Catalog::Import { source, file, seen_at } => import(&source, &file, seen_at.as_deref()),
        }
    }
}

fn at(path: Option<PathBuf>) -> CatalogFiles {
    path.map_or(CatalogFiles::Shipped, CatalogFiles::At)
}

async fn list(settings: &Settings) -> Outcome {
    let (farthing, org) = open(settings).await?;
    for version in farthing.store.versions(org).await? {
        let hash = blake3::Hash::from_bytes(version.hash).to_hex();
        let note = &version.note;
        println!("{}  {}  {}  by {}  {}", version.version, &hash[..16], note.published_at, note.author, note.note);
    }
    farthing.store.close().await;
    Ok(())
}

async fn publish(settings: &Settings, files: &CatalogFiles, note: String) -> Outcome {
    let parts = read_files(files)?;
    let (farthing, org) = open(settings).await?;
    let base = farthing.store.head(org).await?.version;
    let note = Note { author: "command line".to_owned(), note: if note.is_empty() { files.to_string() } else { note } };
    match farthing.publish(org, base, &parts, &note).await? {
        Some(version) => println!("published as version {version}; `farthing held retry` posts what it prices"),
        None => println!("identical to version {base}; nothing was published"),
    }
    farthing.store.close().await;
    Ok(())
}

fn import(source: &str, file: &str, seen_at: Option<&str>) -> Outcome {
    if source != "openrouter" {
        return Err(Failure::Usage(format!("`{source}` is no list that can be imported; known is openrouter")));
    }
    let seen_at = seen_at.map_or(Ok(now()), Instant::parse_date_or_instant).map_err(|e| Failure::Usage(e.to_string()))?;
    let bytes = read_input(file)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::Refused(format!("{file} is not UTF-8")))?;
    let imported = openrouter::read(text).map_err(|e| Failure::Refused(format!("{file}: {e}; nothing was imported")))?;
    for note in &imported.notes {
        eprintln!("not understood: {note}");
    }
    for list in imported.lists {
        print!("{}", own::write(&Part::List(Arc::new(list.seen(None, Look::at(seen_at, None))))));
    }
    Ok(())
}

fn counts(parts: &[Part]) -> (usize, usize) {
    let lists = parts.iter().filter_map(|part| if let Part::List(list) = part { Some(list) } else { None });
    let models: Vec<_> = lists.flat_map(|list| &list.models).collect();
    (models.len(), models.iter().map(|model| model.cards.len()).sum())
}
