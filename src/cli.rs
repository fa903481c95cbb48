//! The command line: one file per command. A command talks to the database directly, through the same flows as the
//! service. Exit codes: 0 done, 1 something refused, 2 findings, 64 usage, 74 input or output.

mod archive;
mod backup;
mod bench;
mod books;
mod catalog;
mod conflicts;
mod demo;
mod explain;
mod export;
mod held;
mod ingest;
mod jobs;
mod keys;
mod names;
mod orgs;
mod partitions;
mod pull;
mod quote;
mod rebuild;
mod reconcile;
mod rejected;
mod report;
mod rerate;
mod serve;
mod sheet;
mod signing;
mod suspects;
mod verify;

use crate::config::{ConfigError, Flags, Settings};
use crate::flow::segments::SegmentPlan;
use crate::flow::{Farthing, FlowError};
use crate::id::Org;
use crate::store::StoreError;
use clap::{Parser, Subcommand};
use std::io::{IsTerminal, Read};
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Parser)]
#[command(name = "farthing", version, about = "The book of record for what LLM usage costs", max_term_width = 110)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the HTTP service and the scheduled jobs
    Serve(serve::Serve),
    /// Post events from a file or standard input
    Ingest(ingest::Ingest),
    /// Follow the ledger of a gateway that pushes nothing
    #[command(subcommand)]
    Pull(pull::Pull),
    /// Rate events without posting, and say why
    Quote(quote::Quote),
    /// Spend, grouped and filtered
    Report(report::Report),
    /// What the book holds, as files for other programs
    #[command(subcommand)]
    Export(export::Export),
    /// What a team or a person used in a month, as a page to send
    Sheet(sheet::Sheet),
    /// What waits for a rate, for usage or for a price that adds up
    #[command(subcommand)]
    Held(held::Held),
    /// Ids that mean two things
    #[command(subcommand)]
    Conflicts(conflicts::Conflicts),
    /// What may have been charged twice
    #[command(subcommand)]
    Suspects(suspects::Suspects),
    /// What was sent and is no event
    #[command(subcommand)]
    Rejected(rejected::Rejected),
    /// The catalog of prices
    #[command(subcommand)]
    Catalog(catalog::Catalog),
    /// Why an event cost what it cost
    Explain(explain::Explain),
    /// Rate what was charged again, and correct it
    Rerate(rerate::Rerate),
    /// Post a fee, a credit or a decision, once per id
    Adjust(books::Adjust),
    /// What moved to and from every account, and that both sides are the same
    Accounts(books::Accounts),
    /// Months that were closed
    Periods(books::Periods),
    /// Prove a month and close it
    Close(books::Close),
    /// Open a closed month again, and those after it
    Reopen(books::Reopen),
    /// What the provider claims, kept as it was received
    #[command(subcommand)]
    Statement(reconcile::Statement),
    /// Compare the book with what the provider claims, and say why they differ
    Reconcile(reconcile::Reconcile),
    /// Make the key that closings and manifests are signed with, and print its public part
    SigningKey(signing::SigningKey),
    /// Make what is derived from the book again
    #[command(subcommand)]
    Rebuild(rebuild::Rebuild),
    /// Check every block of the book against its hash
    Verify(verify::Verify),
    /// Copy an embedded database while a server writes to it
    Backup(backup::Backup),
    /// Copy a closed month into files that tell of it without the database
    Archive(archive::Archive),
    /// The months in which PostgreSQL keeps entries and events, made ahead of time
    Partitions(partitions::Partitions),
    /// Reports that are written by themselves
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// Access keys for the service
    #[command(subcommand)]
    Keys(keys::Keys),
    /// The names that people, teams and programs have in the book
    #[command(subcommand)]
    Names(names::Names),
    /// Tenants, each with a book of its own
    #[command(subcommand)]
    Orgs(orgs::Orgs),
    /// Fill an empty database with a month of a made-up company, to look at reports with
    Demo(demo::Demo),
    /// Measure this machine, beside its raw ceilings
    Bench(bench::Bench),
}

/// How a command ended, where it did not end well.
pub enum Failure {
    /// Something was refused or is not there.
    Refused(String),
    /// The command did its work and found something.
    Findings(String),
    Usage(String),
    Io(String),
}

type Outcome = Result<(), Failure>;

/// `println!` panics where nobody reads any more, as behind `| head`; whoever reads has seen enough, and that is no mistake.
fn end_quietly_where_nobody_reads() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to stdout") && said.contains("Broken pipe") {
            std::process::exit(0);
        }
        told(panic);
    }));
}

/// Reads the arguments, runs one command, says how it ended.
pub fn run() -> ExitCode {
    end_quietly_where_nobody_reads();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 64 } else { 0 });
        }
    };
    let (code, said) = match dispatch(arguments) {
        Ok(()) => (0, None),
        Err(Failure::Refused(why)) => (1, Some(why)),
        Err(Failure::Findings(what)) => (2, Some(what)),
        Err(Failure::Usage(why)) => (64, Some(why)),
        Err(Failure::Io(why)) => (74, Some(why)),
    };
    if let Some(said) = said.filter(|said| !said.is_empty()) {
        eprintln!("farthing: {said}");
    }
    ExitCode::from(code)
}

fn dispatch(arguments: Arguments) -> Outcome {
    let service = if let Command::Serve(serve) = &arguments.command { Some(&serve.flags) } else { None };
    let settings = Settings::gather(&arguments.flags, service)?;
    crate::telemetry::start(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Io(format!("cannot start: {e}")))?;
    runtime.block_on(async {
        match arguments.command {
            Command::Serve(serve) => serve.run(&settings).await,
            Command::Ingest(ingest) => ingest.run(&settings).await,
            Command::Pull(pull) => pull.run(&arguments.flags).await,
            Command::Quote(quote) => quote.run(&settings).await,
            Command::Report(report) => report.run(&settings).await,
            Command::Export(export) => export.run(&settings).await,
            Command::Sheet(sheet) => sheet.run(&settings).await,
            Command::Held(held) => held.run(&settings).await,
            Command::Conflicts(conflicts) => conflicts.run(&settings).await,
            Command::Suspects(suspects) => suspects.run(&settings).await,
            Command::Rejected(rejected) => rejected.run(&settings).await,
            Command::Catalog(catalog) => catalog.run(&settings).await,
            Command::Explain(explain) => explain.run(&settings).await,
            Command::Rerate(rerate) => rerate.run(&settings).await,
            Command::Adjust(adjust) => adjust.run(&settings).await,
            Command::Accounts(accounts) => accounts.run(&settings).await,
            Command::Periods(periods) => periods.run(&settings).await,
            Command::Close(close) => close.run(&settings).await,
            Command::Reopen(reopen) => reopen.run(&settings).await,
            Command::Statement(statement) => statement.run(&settings).await,
            Command::Reconcile(reconcile) => reconcile.run(&settings).await,
            Command::SigningKey(key) => key.run(),
            Command::Rebuild(rebuild) => rebuild.run(&settings).await,
            Command::Verify(verify) => verify.run(&settings).await,
            Command::Archive(archive) => archive.run(&settings).await,
            Command::Backup(backup) => backup.run(&settings).await,
            Command::Partitions(partitions) => partitions.run(&settings).await,
            Command::Jobs(jobs) => jobs.run(&settings).await,
            Command::Keys(keys) => keys.run(&settings).await,
            Command::Names(names) => names.run(&settings).await,
            Command::Orgs(orgs) => orgs.run(&settings).await,
            Command::Demo(demo) => demo.run(&settings).await,
            Command::Bench(bench) => bench.run(&settings).await,
        }
    })
}

/// The installation, and the org whose book it is about.
async fn open(settings: &Settings) -> Result<(Arc<Farthing>, Org), Failure> {
    let farthing = Farthing::open(&settings.store, &settings.catalogs).await?;
    let farthing = Arc::new(farthing.with_segments(settings.segments.clone()).with_signer(settings.signer.clone()));
    let org = farthing.store.org(&settings.org).await?;
    Ok((farthing, org))
}

/// The same, only to look: nothing is made or taken away, and nobody who writes is disturbed.
async fn open_read_only(settings: &Settings) -> Result<(Arc<Farthing>, Org), Failure> {
    let kept = settings.segments.clone().map(|plan| SegmentPlan { is_kept: true, ..plan });
    let farthing = Arc::new(Farthing::open_read_only(&settings.store).await?.with_segments(kept));
    let org = farthing.store.org(&settings.org).await?;
    Ok((farthing, org))
}

/// Copies what a command booked to segments, as a service would: nobody else may come to do it. What cannot be copied is in the
/// book all the same.
async fn copy_what_was_booked(farthing: &Farthing, org: Org) {
    if let Err(e) = farthing.copy_to_segments(org, |_, _| {}).await {
        eprintln!("farthing: what was booked could not be copied to segments, and reports read it from the book: {e}");
    }
}

/// A file's bytes, standard input for `-`; what is gzip is unzipped.
fn read_input(path: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    open_input(path)?.read_to_end(&mut bytes).map_err(|e| Failure::Io(format!("cannot read {path}: {e}")))?;
    Ok(bytes)
}

fn open_input(path: &str) -> Result<Box<dyn std::io::BufRead + Send>, Failure> {
    use std::io::{BufRead, BufReader};
    let unreadable = |e: std::io::Error| Failure::Io(format!("cannot read {path}: {e}"));
    let mut input: Box<dyn BufRead + Send> = match path {
        "-" => Box::new(BufReader::new(std::io::stdin())),
        path => Box::new(BufReader::with_capacity(1 << 20, std::fs::File::open(path).map_err(unreadable)?)),
    };
    let zipped = input.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
    Ok(if zipped { Box::new(BufReader::with_capacity(1 << 20, flate2::read::MultiGzDecoder::new(input))) } else { input })
}

/// A progress bar where somebody is watching.
fn progress(total: Option<u64>, template: &str) -> indicatif::ProgressBar {
    if !std::io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = total.map_or_else(indicatif::ProgressBar::new_spinner, indicatif::ProgressBar::new);
    bar.with_style(indicatif::ProgressStyle::with_template(template).expect("the templates are written in the program"))
}

impl From<FlowError> for Failure {
    fn from(e: FlowError) -> Failure {
        match e {
            FlowError::Store(e) => e.into(),
            other => Failure::Refused(other.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Failure {
        match e {
            StoreError::Url(_) => Failure::Usage(e.to_string()),
            StoreError::NoOrg(_) | StoreError::OrgExists(_) | StoreError::FsyncOff => Failure::Refused(e.to_string()),
            StoreError::OtherSchema { .. } | StoreError::NetworkFile { .. } | StoreError::NotAFile => {
                Failure::Refused(e.to_string())
            }
            StoreError::Damaged { .. } => Failure::Findings(e.to_string()),
            StoreError::Database { .. } | StoreError::Migrate(_) => Failure::Io(e.in_full()),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(e: ConfigError) -> Failure {
        match e {
            ConfigError::Unreadable { .. } => Failure::Io(e.to_string()),
            ConfigError::File { .. } | ConfigError::Value { .. } => Failure::Usage(e.to_string()),
        }
    }
}
