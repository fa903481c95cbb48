//! A provider's statement of as many lines as the book has calls: how long importing and comparing it take, each by a process
//! of its own, and how much memory. One line in a thousand is of a call that nobody told of, one in seven is dearer than here.

use super::{Failure, Outcome, Run, Sample, io, process};
use crate::flow::ingest::Prepared;
use crate::money::Amount;
use crate::rating::{Rating, rate};
use crate::reconcile::statement::Tokens;
use crate::store::StoreOptions;
use crate::usage::{Text, UsageEvent};
use serde_json::Value;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// The columns of an export of generations, as many and about as long as in a real one.
const HEADER: &str = "generation_id,created_at,cost_total,cost_web_search,cost_cache,cost_file_processing,byok_usage_inference,tokens_prompt,tokens_completion,tokens_reasoning,tokens_cached,model_permaslug,provider_name,variant,cancelled,streamed,user,finish_reason_raw,finish_reason_normalized,generation_time_ms,time_to_first_token_ms,app_name,api_key_name,api_key_disabled";
const REST: &str = "false,true,,completed,stop,12034,1034,An Agent,sample-agent-key,false";
const UNTOLD: u64 = 1_000;
const DEARER: u64 = 7;
/// By a cent, in the smallest digit of a statement.
const BY: i128 = 10_000;

impl Run<'_> {
    pub(super) async fn provider(&mut self) -> Outcome {
        let (database, lines) = (self.fresh("sqlite", "provider").await?, self.bench.events);
        let file = self.directory.join("statement.csv");
        let planted = self.bill(&database, lines, &file).await?;

        let url = database.url.as_str();
        let (imported, memory) = process(&["statement", "import", &file.to_string_lossy(), "--database", url], 0)?;
        let bytes = file.metadata().map_err(io)?.len() >> 20;
        self.figure(&format!("reconcile: {lines} lines of {bytes} MB imported"), imported, "s", None);
        self.figure("reconcile: memory of that", memory, "MB", None);
        // Something is outside of the tolerance.
        let (compared, memory) = process(&["reconcile", "--database", url], 2)?;
        self.figure("reconcile: compared with as many calls of the book", compared, "s", None);
        self.figure("reconcile: memory of that", memory, "MB", None);

        let (farthing, org) = self.open(&database).await?;
        let run = farthing.store.reconciliations(org, 1).await?.pop().ok_or_else(|| io("there is no reconciliation"))?;
        farthing.store.close().await;
        let summary: Value = serde_json::from_str(&run.summary).map_err(io)?;
        let found = &summary["classes"]["missing_here"]["count"];
        // What is dearer may be just what another tier costs.
        if *found != planted[0] || summary["outside_tolerance"] != planted.iter().sum::<u64>() {
            return Err(Failure::Findings(format!("{planted:?} were planted: {summary}")));
        }
        Ok(())
    }

    /// Books calls and writes what the provider says of them; answers how many it says that nobody told of, and how many dearer.
    async fn bill(&self, database: &StoreOptions, lines: u64, file: &Path) -> Result<[u64; 2], Failure> {
        let (farthing, org) = self.open(database).await?;
        let in_force = farthing.in_force(org).await?;
        let mut sample = Sample::new(99, &self.catalog);
        let mut csv = BufWriter::new(File::create(file).map_err(io)?);
        writeln!(csv, "{HEADER}").map_err(io)?;
        let (mut there, mut planted) = (0, [0, 0]);
        while there < lines {
            let mut events = super::read_events(&mut sample, (lines - there).min(20_000) as usize);
            let mut told: Vec<Prepared> = Vec::with_capacity(events.len());
            for (number, event) in (there..).zip(&mut events) {
                event.provider_request_id = Text::new(format!("gen-{}-{}", 1_790_000_000 + number / 12, &event.id[..20]));
                let Rating::Rated(rated) = rate(event, &in_force.catalog) else { return Err(io("a sample has no price")) };
                let (is_untold, is_dearer) = (number % UNTOLD == 1, number % DEARER == 3);
                match (is_untold, is_dearer) {
                    (true, _) => planted[0] += 1,
                    (_, true) => planted[1] += 1,
                    _ => {}
                }
                csv.write_all(line(event, rated.amount, is_dearer).as_bytes()).map_err(io)?;
                if !is_untold {
                    told.push(farthing.prepare(org, &in_force, event.clone()));
                }
            }
            for group in told.chunks(5_000) {
                farthing.commit_events(group, || false).await.map_err(|e| Failure::Io(format!("{e:?}")))?;
            }
            there += events.len() as u64;
            eprint!("\r{there} calls ");
        }
        eprintln!();
        csv.flush().map_err(io)?;
        farthing.store.close().await;
        Ok(planted)
    }
}

/// A row of the export: six decimals, the rest cut off.
fn line(event: &UsageEvent, amount: Amount, is_dearer: bool) -> String {
    let cut = amount.units() / 10_i128.pow(18) + if is_dearer { BY } else { 0 };
    let at = event.occurred_at.to_utc().format("%Y-%m-%d %H:%M:%S%.3f");
    let tokens = event.quantities().map_or_else(Tokens::default, Tokens::of);
    format!(
        "{},{at},{}.{:06},,,,0,{},{},{},{},{},Azure,standard,{REST}\n",
        event.provider_request_id.as_deref().unwrap_or_default(),
        cut / 1_000_000,
        cut % 1_000_000,
        tokens.prompt(),
        tokens.completion(),
        tokens.reasoning,
        tokens.cache_read,
        event.product.model
    )
}
