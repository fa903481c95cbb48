//! Booking a large book again: everything is charged under one price, another one is published, and all of it is corrected. A
//! first run is killed on its way; the second one finishes, and its speed and its memory are what is told.

use super::{Failure, Outcome, Run, io, megabytes};
use crate::catalog::source::own;
use crate::flow::Farthing;
use crate::flow::publish::{Note, Wish as Publish};
use crate::flow::rerate::{Rerated, Wish};
use crate::id::Org;
use crate::store::StoreOptions;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What an operator agreed with the provider afterwards: every event has an output.
const AGREED: &str = "provider: openrouter\noverrides:\n  - {kind: contract, output_per_1m: \"9.99\"}\n";

impl Run<'_> {
    pub(super) async fn again(&mut self) -> Outcome {
        self.again_on("sqlite").await?;
        if self.bench.postgres.is_some() { self.again_on("postgres").await } else { Ok(()) }
    }

    async fn again_on(&mut self, kind: &'static str) -> Outcome {
        let (database, events) = (self.fresh(kind, "again").await?, self.bench.events);
        let started = Instant::now();
        self.fill(&database, events).await?;
        self.figure(
            &format!("{kind}: rerate: charged at first"),
            events as f64 / started.elapsed().as_secs_f64(),
            "events/s",
            None,
        );
        let (farthing, org) = self.open(&database).await?;
        let note = Note { author: "bench".to_owned(), note: "another price".to_owned() };
        let parts = own::read(AGREED).map_err(|wrong| Failure::Refused(format!("{wrong:?}")))?;
        farthing.publish(org, &Publish { parts, accept: true, note, ..Publish::default() }).await?;

        let before = self.killed(&farthing, org, &database).await?;
        forget_the_peak();
        let started = Instant::now();
        let rerated = again(&farthing, org, events).await?;
        let seconds = started.elapsed().as_secs_f64();
        if before + rerated.changed != events {
            let changed = rerated.changed;
            return Err(Failure::Findings(format!("{before} and then {changed} of {events} events were corrected")));
        }
        self.figure(&format!("{kind}: rerate: corrected by a run that was killed"), before as f64, "events", None);
        self.figure(&format!("{kind}: rerate: the run after it"), rerated.changed as f64 / seconds, "events/s", None);
        self.figure(&format!("{kind}: rerate: memory at its highest"), megabytes("/proc/self/status", "VmHWM:"), "MB", None);
        let started = Instant::now();
        let nothing = again(&farthing, org, events).await?;
        let name = format!("{kind}: rerate: a run that finds all as it should be");
        self.figure(&name, nothing.examined as f64 / started.elapsed().as_secs_f64(), "events/s", None);
        farthing.store.close().await;
        if nothing.changed > 0 {
            return Err(Failure::Findings(format!("{} events were corrected twice", nothing.changed)));
        }
        Ok(())
    }

    /// Has another process begin, and kills it when it has done some of it; says how many events that were.
    async fn killed(&self, farthing: &Arc<Farthing>, org: Org, database: &StoreOptions) -> Result<u64, Failure> {
        let first = farthing.store.head(org).await?.next_sequence.0;
        let program = std::env::current_exe().map_err(io)?;
        let mut command = Command::new(program);
        command.args(["rerate", "--database", &database.url]).stdout(Stdio::null()).stderr(Stdio::null());
        if database.allow_fsync_off {
            command.arg("--allow-fsync-off");
        }
        let mut process = command.spawn().map_err(io)?;
        let some = (self.bench.events / 5) as i64;
        // Each correction is two entries.
        while farthing.store.head(org).await?.next_sequence.0 - first < 2 * some {
            if process.try_wait().map_err(io)?.is_some() {
                return Err(Failure::Io("the run that was to be killed ended by itself".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process.kill().and_then(|()| process.wait()).map_err(io)?;
        Ok((farthing.store.head(org).await?.next_sequence.0 - first) as u64 / 2)
    }
}

async fn again(farthing: &Farthing, org: Org, events: u64) -> Result<Rerated, Failure> {
    let wish = Wish { reason: "another price".to_owned(), ..Wish::default() };
    let rerated = farthing.rerate(org, &wish, |reached| eprint!("\r{} of {events} events ", reached.examined)).await?;
    eprintln!();
    Ok(rerated)
}

/// From now on the highest point of memory is counted anew, where the kernel lets a process say so.
fn forget_the_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
