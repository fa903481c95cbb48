//! `rerate`: what was charged is rated again under the catalog in force, and corrected where the answer differs.

use super::{Failure, Outcome, open, progress};
use crate::config::Settings;
use crate::flow::rerate::{Rerated, Wish};
use crate::id::Version;
use crate::time::Instant;
use clap::Args;

#[derive(Args)]
pub struct Rerate {
    /// Usage from this day or instant on
    #[arg(long)]
    from: Option<String>,
    /// Usage until before this day or instant
    #[arg(long)]
    until: Option<String>,
    /// Only this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only this model
    #[arg(long)]
    model: Option<String>,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// Only under this version, which the dry run was of; a dry run may be of any [default: the one in force]
    #[arg(long)]
    version: Option<i64>,
    /// Why; it stands on every correction
    #[arg(long, default_value = "rated again")]
    reason: String,
}

impl Rerate {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let instant = |text: &Option<String>| {
            let read = |text: &String| Instant::parse_date_or_instant(text).map_err(|e| Failure::Usage(e.to_string()));
            text.as_ref().map(read).transpose()
        };
        let wish = Wish {
            from: instant(&self.from)?,
            until: instant(&self.until)?,
            provider: self.provider,
            model: self.model,
            dry_run: self.dry_run,
            under: self.version.map(Version),
            reason: self.reason,
        };
        let (farthing, org) = open(settings).await?;
        let bar = progress(Some(0), "{wide_bar} entry {human_pos} of {human_len}, {eta} left, {msg} events looked at");
        let rerated = farthing.rerate(org, &wish, |reached| {
            bar.set_length(reached.end.0 as u64 - 1);
            bar.set_position(reached.entry.0 as u64);
            bar.set_message(reached.examined.to_string());
        });
        let rerated = rerated.await?;
        bar.finish_and_clear();
        farthing.store.close().await;
        say(&rerated, wish.dry_run);
        Ok(())
    }
}

fn say(rerated: &Rerated, dry_run: bool) {
    for (bought, moved) in &rerated.changes {
        let (name, change) = (format!("{}/{}", bought.provider, bought.model), moved.after - moved.before);
        println!("{name}: {} events, {} to {} {}: {change}", moved.events, moved.before, moved.after, bought.currency);
    }
    for left in &rerated.left {
        println!("left as it is: {} {}: {}", left.source, left.id, left.why);
    }
    let what = if dry_run { "would be corrected" } else { "corrected" };
    let moved = match rerated.reattributed {
        0 => String::new(),
        some => format!(" ({some} of them borne by somebody else)"),
    };
    println!(
        "{} events under version {}: {} {what}{moved}, {} entries posted, {} without a price and left as they are",
        rerated.examined, rerated.version, rerated.changed, rerated.posted, rerated.unpriced
    );
}
