//! `catalog`: versions published, compared and rolled back, files checked, other people's lists imported, and what a model
//! costs.

use super::{Failure, Outcome, open, read_input};
use crate::catalog::check::{self, Finding, Severity};
use crate::catalog::diff::{self, Change};
use crate::catalog::quoted::{self, Notation};
use crate::catalog::source::gateways::{self, About, Gateway};
use crate::catalog::source::own;
use crate::catalog::{Card, List, Part, Rates};
use crate::config::Settings;
use crate::flow::import::{Import, Source};
use crate::flow::price::{Question, price};
use crate::flow::publish::{CatalogFiles, Note, Published, Wish, read_files};
use crate::flow::{Farthing, now, rerate};
use crate::id::{Org, Version};
use crate::provider::{self, Answer, Client};
use crate::time::Instant;
use crate::usage::Text;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Catalog {
    /// List the published versions
    List,
    /// Show a version's parts, or one of them as a file
    Show {
        version: i64,
        /// This part as it would stand in a file
        #[arg(long)]
        part: Option<String>,
    },
    /// Read catalog files and tell everything that is wrong or doubtful
    Check {
        /// A file or a directory [default: the files that come with the program]
        path: Option<PathBuf>,
    },
    /// Publish catalog files as the next version
    Publish {
        /// A file or a directory [default: the files that come with the program]
        path: Option<PathBuf>,
        /// Take these parts out
        #[arg(long, value_delimiter = ',', value_name = "PART")]
        remove: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Import another list: openrouter, openrouter-endpoints, models.dev, litellm, genai-prices; or a gateway's own file:
    /// omnia, promptkit, oceans, keeptrusts
    Import(ImportArguments),
    /// What changed from one version to another
    Diff { from: i64, until: i64 },
    /// Where two lists disagree on a model: each is SOURCE=FILE, or `in-force`
    Compare {
        one: String,
        other: String,
        /// Only these providers
        #[arg(long, value_delimiter = ',')]
        provider: Vec<String>,
    },
    /// What a model costs, and why
    Price(PriceArguments),
    /// What changed in prices since an instant or so many days, and what it did to us
    Changes {
        /// A day, an instant, or a number of days such as 7d
        #[arg(long, default_value = "7d")]
        since: String,
    },
    /// Publish an earlier version again
    Rollback {
        version: i64,
        #[command(flatten)]
        how: How,
    },
    /// What was fetched of public lists, and what was done with it
    Fetches,
    /// Publish what a refresh fetched and did not publish: it waits for review, or the checks refused it
    Review {
        /// Its number, as `fetches` lists it
        fetch: i64,
        #[command(flatten)]
        how: How,
    },
}

/// How something is published.
#[derive(Args, Clone)]
pub struct How {
    /// The version it was made from [default: the one in force]
    #[arg(long)]
    base: Option<i64>,
    /// The warnings were seen and are right
    #[arg(long)]
    accept: bool,
    /// Only say what would be found and changed
    #[arg(long)]
    dry_run: bool,
    /// Why
    #[arg(long, default_value = "")]
    note: String,
}

#[derive(Args)]
pub struct ImportArguments {
    /// Which list
    source: String,
    /// The list as it was fetched; - is standard input [default: fetch it]
    file: Option<String>,
    /// Only these providers
    #[arg(long, value_delimiter = ',')]
    provider: Vec<String>,
    /// Put this in front of the providers' names, so that lists of several sources stand beside each other
    #[arg(long = "as", default_value = "", value_name = "PREFIX")]
    prefix: String,
    /// When it was fetched [default: now]
    #[arg(long, value_name = "INSTANT")]
    seen_at: Option<String>,
    /// From when that holds which was never seen before [default: when it was fetched]
    #[arg(long, value_name = "DATE")]
    since: Option<String>,
    /// For a gateway's file that does not say which model it is about
    #[arg(long)]
    model: Option<String>,
    /// Where to fetch it from [default: where it is published]
    #[arg(long)]
    url: Option<String>,
    /// Publish it; otherwise it is written as a catalog file to standard output
    #[arg(long)]
    publish: bool,
    /// Write catalog files into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

#[derive(Args)]
pub struct PriceArguments {
    provider: String,
    model: String,
    /// At this day or instant [default: now]
    #[arg(long)]
    at: Option<String>,
    /// The upstream that serves
    #[arg(long)]
    served_by: Option<String>,
    #[arg(long)]
    variant: Option<String>,
    #[arg(long)]
    service_tier: Option<String>,
    #[arg(long)]
    region: Option<String>,
    #[arg(long)]
    team: Option<String>,
    #[arg(long)]
    project: Option<String>,
    #[arg(long)]
    key: Option<String>,
    /// As another program writes it: omnia, oceans, litellm, models.dev
    #[arg(long = "as", value_name = "NOTATION")]
    notation: Option<String>,
    /// In this version [default: the one in force]
    #[arg(long)]
    version: Option<i64>,
}

impl Catalog {
    pub async fn run(self, settings: &Settings) -> Outcome {
        if let Catalog::Check { path } = self {
            return check_files(&at(path));
        }
        if let Catalog::Import(import) = &self
            && !import.publish
            && import.file.is_some()
        {
            return import.write_files();
        }
        let (farthing, org) = open(settings).await?;
        let done = match self {
            Catalog::List => list(&farthing, org).await,
            Catalog::Show { version, part } => show(&farthing, org, Version(version), part.as_deref()).await,
            Catalog::Check { .. } => Ok(()),
            Catalog::Publish { path, remove, how } => publish(&farthing, org, path, remove, how).await,
            Catalog::Import(import) => import.run(&farthing, org).await,
            Catalog::Diff { from, until } => {
                print_changes(&farthing.changes(org, Version(from), Version(until)).await?);
                Ok(())
            }
            Catalog::Compare { one, other, provider } => compare(&farthing, org, &one, &other, &provider).await,
            Catalog::Price(arguments) => arguments.run(&farthing, org).await,
            Catalog::Changes { since } => changes(&farthing, org, &since).await,
            Catalog::Rollback { version, how } => {
                let wish = how.wish(Vec::new(), Vec::new(), &format!("back to version {version}"));
                say(&farthing.roll_back(org, Version(version), &wish).await?, how.dry_run);
                Ok(())
            }
            Catalog::Fetches => fetches(&farthing, org).await,
            Catalog::Review { fetch, how } => {
                let wish = how.wish(Vec::new(), Vec::new(), "");
                say(&farthing.review(org, fetch, &wish).await?, how.dry_run);
                Ok(())
            }
        };
        farthing.store.close().await;
        done
    }
}

impl How {
    fn note(&self, instead: &str) -> Note {
        let note = if self.note.is_empty() { instead.to_owned() } else { self.note.clone() };
        Note { author: "command line".to_owned(), note }
    }

    fn wish(&self, parts: Vec<Part>, remove: Vec<String>, note: &str) -> Wish {
        let (base, note) = (self.base.map(Version), self.note(note));
        Wish { base, parts, remove, accept: self.accept, dry_run: self.dry_run, note }
    }
}

fn at(path: Option<PathBuf>) -> CatalogFiles {
    path.map_or(CatalogFiles::Shipped, CatalogFiles::At)
}

async fn list(farthing: &Farthing, org: Org) -> Outcome {
    for version in farthing.store.versions(org).await? {
        let hash = blake3::Hash::from_bytes(version.hash).to_hex();
        let note = &version.note;
        println!("{}  {}  {}  by {}  {}", version.version, &hash[..16], note.published_at, note.author, note.note);
    }
    Ok(())
}

async fn show(farthing: &Farthing, org: Org, version: Version, part: Option<&str>) -> Outcome {
    farthing.version(org, version).await?;
    let parts = farthing.parts_of(org, version).await?;
    match part {
        None => {
            for (stored, part) in parts {
                let (models, cards, overrides) = part.counts();
                let hash = blake3::Hash::from_bytes(stored.hash).to_hex();
                println!("{}  {}  {models} models, {cards} cards, {overrides} overrides", &hash[..16], stored.name);
            }
            Ok(())
        }
        Some(name) => match parts.into_iter().find(|(stored, _)| stored.name == name) {
            Some((_, part)) => {
                print!("{}", own::write(&part));
                Ok(())
            }
            None => Err(Failure::Refused(format!("version {version} has no part `{name}`"))),
        },
    }
}

fn check_files(files: &CatalogFiles) -> Outcome {
    let parts = read_files(files)?;
    let findings = check::check(&[], &parts);
    findings.iter().for_each(|finding| println!("{finding}"));
    let counts = parts.iter().map(Part::counts);
    let (models, cards, overrides) = counts.fold((0, 0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1, sum.2 + counts.2));
    println!("{files}: {} parts, {models} models, {cards} cards, {overrides} overrides, {}", parts.len(), counted(&findings));
    match findings.iter().any(|finding| finding.severity == Severity::Error) {
        true => Err(Failure::Findings(String::new())),
        false => Ok(()),
    }
}

fn counted(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    match (errors, findings.len() - errors) {
        (0, 0) => "no mistake".to_owned(),
        (errors, warnings) => format!("{errors} errors, {warnings} warnings"),
    }
}

async fn publish(farthing: &Farthing, org: Org, path: Option<PathBuf>, remove: Vec<String>, how: How) -> Outcome {
    // Whoever only takes parts out publishes no files.
    let (parts, note) = match (&path, remove.is_empty()) {
        (None, false) => (Vec::new(), format!("without {}", remove.join(", "))),
        _ => (read_files(&at(path.clone()))?, at(path).to_string()),
    };
    say(&farthing.publish(org, &how.wish(parts, remove, &note)).await?, how.dry_run);
    Ok(())
}

fn say(published: &Published, dry_run: bool) {
    published.findings.iter().for_each(|finding| println!("{finding}"));
    print_changes(&published.changes);
    let (base, retried) = (published.base, published.retried);
    match published.version {
        Some(version) => println!("published as version {version}; {} of {} held events posted", retried.posted, retried.tried),
        None if dry_run => println!("nothing was published: this was a dry run over version {base}"),
        None => println!("identical to version {base}; nothing was published"),
    }
}

/// Changes that a person reads; a new list of thousands of models is told by its size.
fn print_changes(changes: &[Change]) {
    const SHOWN: usize = 200;
    changes.iter().take(SHOWN).for_each(|change| println!("{change}"));
    if changes.len() > SHOWN {
        println!("... and {} more", changes.len() - SHOWN);
    }
}

impl ImportArguments {
    fn instant(text: Option<&String>) -> Result<Option<Instant>, Failure> {
        text.map(|text| Instant::parse_date_or_instant(text).map_err(|e| Failure::Usage(e.to_string()))).transpose()
    }

    fn import(&self, source: Source) -> Result<Import, Failure> {
        let seen_at = ImportArguments::instant(self.seen_at.as_ref())?.unwrap_or_else(now);
        let (since, providers) = (ImportArguments::instant(self.since.as_ref())?, self.provider.clone());
        Ok(Import { since, providers, prefix: self.prefix.clone(), ..Import::new(source, seen_at) })
    }

    /// The parts of a gateway's own file.
    fn of_gateway(&self, gateway: Gateway) -> Result<Vec<Part>, Failure> {
        let file = self.file.as_deref().ok_or_else(|| Failure::Usage("name the gateway's file".to_owned()))?;
        let text = read_text(file)?;
        let named = |text: Option<&String>| text.and_then(Text::new);
        let about = About { provider: named(self.provider.first()), model: named(self.model.as_ref()) };
        gateways::read(gateway, &text, &about).map_err(|mistakes| {
            let lines: Vec<String> = mistakes.iter().map(|mistake| format!("{file}: {mistake}")).collect();
            Failure::Refused(lines.join("\n  "))
        })
    }

    /// From when contracts hold that say something else than those there are.
    fn contracts_from(&self) -> Result<Instant, Failure> {
        let stated = ImportArguments::instant(self.since.as_ref())?.or(ImportArguments::instant(self.seen_at.as_ref())?);
        Ok(stated.unwrap_or_else(now))
    }

    /// One part is written to standard output, several as files into a directory.
    fn write_documents(&self, parts: &[Part]) -> Outcome {
        let Some(directory) = &self.out else {
            return match parts {
                [part] => {
                    print!("{}", own::write(part));
                    Ok(())
                }
                parts => {
                    let why = "name one with --provider, or a directory for all of them with --out";
                    Err(Failure::Usage(format!("these are {} parts; {why}", parts.len())))
                }
            };
        };
        let unwritable = |e: std::io::Error| Failure::Io(format!("cannot write to {}: {e}", directory.display()));
        std::fs::create_dir_all(directory).map_err(unwritable)?;
        for part in parts {
            let file = directory.join(format!("{}.yaml", part.name().replace('/', "-")));
            std::fs::write(&file, own::write(part)).map_err(unwritable)?;
        }
        println!("{} files in {}", parts.len(), directory.display());
        Ok(())
    }

    /// A file of one kind as catalog files of ours, without any database.
    fn write_files(&self) -> Outcome {
        let parts = match Gateway::named(&self.source) {
            Some(gateway) => self.of_gateway(gateway)?,
            None => {
                let source = Source::named(&self.source)?;
                let (parts, notes) = self.import(source)?.lay_over(&read_text(self.file.as_deref().unwrap_or("-"))?, &[])?;
                notes.iter().for_each(|note| eprintln!("not understood: {note}"));
                parts
            }
        };
        self.write_documents(&parts)
    }

    async fn run(self, farthing: &Farthing, org: Org) -> Outcome {
        let (base, parts, note) = match Gateway::named(&self.source) {
            Some(gateway) => {
                let laid = farthing.contracts(org, self.of_gateway(gateway)?, self.contracts_from()?).await?;
                (laid.base, laid.parts, format!("{} as its gateway has it", self.source))
            }
            None => {
                let source = Source::named(&self.source)?;
                let text = match &self.file {
                    Some(file) => read_text(file)?,
                    None => self.fetch(source).await?,
                };
                let import = self.import(source)?;
                let read = farthing.import(org, &import, &text).await?;
                read.notes.iter().for_each(|note| eprintln!("not understood: {note}"));
                (read.base, read.parts, format!("{} as seen at {}", self.source, import.seen_at))
            }
        };
        if self.publish {
            let wish = self.how.wish(parts, Vec::new(), &note);
            let wish = Wish { base: wish.base.or(Some(base)), ..wish };
            say(&farthing.publish(org, &wish).await?, self.how.dry_run);
            return Ok(());
        }
        self.write_documents(&parts)
    }

    async fn fetch(&self, source: Source) -> Result<String, Failure> {
        let url = self.url.as_deref().or(source.url());
        let url = url.ok_or_else(|| Failure::Usage(format!("name the address of the {} list with --url", self.source)))?;
        let client = Client::new(provider::TIMEOUT, provider::FIRST_PAUSE).map_err(|e| Failure::Io(e.to_string()))?;
        match client.get(url, None).await.map_err(|e| Failure::Io(e.to_string()))? {
            Answer::Body { text, .. } => Ok(text),
            Answer::Unchanged => Err(Failure::Io(format!("{url} answered that nothing changed, and nothing was asked"))),
        }
    }
}

fn read_text(file: &str) -> Result<String, Failure> {
    String::from_utf8(read_input(file)?).map_err(|_| Failure::Refused(format!("{file} is not UTF-8")))
}

async fn compare(farthing: &Farthing, org: Org, one: &str, other: &str, providers: &[String]) -> Outcome {
    let at = now();
    let lists = async |side: &str| -> Result<Vec<List>, Failure> {
        let parts = match side.split_once('=') {
            Some((source, file)) => Import::new(Source::named(source)?, at).lay_over(&read_text(file)?, &[])?.0,
            None if side == "in-force" => {
                let version = farthing.store.head(org).await?.version;
                farthing.parts(org, version).await?
            }
            None => return Err(Failure::Usage(format!("write a side as litellm=FILE or in-force, not `{side}`"))),
        };
        Ok(parts.into_iter().filter_map(|part| if let Part::List(list) = part { Some((*list).clone()) } else { None }).collect())
    };
    let among = |provider: &str| providers.is_empty() || providers.iter().any(|name| name == provider);
    let compared = diff::compare(&lists(one).await?, &lists(other).await?, at, among);
    for disagreement in &compared.disagreements {
        println!("{disagreement}");
    }
    println!("{one} against {other}:\n{compared}");
    match compared.disagreements.is_empty() {
        true => Ok(()),
        false => Err(Failure::Findings(String::new())),
    }
}

impl PriceArguments {
    async fn run(self, farthing: &Farthing, org: Org) -> Outcome {
        let notation = self.notation.as_deref().map(|name| {
            let unknown = || Failure::Usage(format!("`{name}` is no notation; known are omnia, oceans, litellm, models.dev"));
            Notation::named(name).ok_or_else(unknown)
        });
        let notation = notation.transpose()?;
        let in_force = match self.version {
            Some(version) => farthing.published(org, Version(version)).await?,
            None => farthing.in_force(org).await?,
        };
        let question = Question {
            at: ImportArguments::instant(self.at.as_ref())?,
            provider: self.provider,
            model: self.model,
            served_by: self.served_by,
            variant: self.variant,
            service_tier: self.service_tier,
            region: self.region,
            team: self.team,
            project: self.project,
            key: self.key,
        };
        let answer = price(&question, &in_force, now()).map_err(|e| Failure::Usage(e.to_string()))?;
        let tried = || answer.tried.iter().for_each(|step| println!("    {step}"));
        let found = match &answer.found {
            Ok(found) => found,
            Err(why) => {
                tried();
                return Err(Failure::Refused(why.clone()));
            }
        };
        if let Some(notation) = notation {
            let quoted = quoted::quote(&found.card, &question.provider, &question.model, notation);
            println!("{}", quoted.text.trim_end());
            quoted.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            return Ok(());
        }
        println!("{}  at {}  ({}, version {})", found.label, answer.at, found.layer.name(), answer.version);
        print_card(&found.card);
        if let Some(hidden) = &found.hidden {
            println!("  in place of {hidden}");
        }
        if let Some((label, rates)) = &found.chargeback {
            println!("  charged back under {label}:");
            print_rates(rates, "    ");
        }
        tried();
        Ok(())
    }
}

fn print_card(card: &Card) {
    print_rates(&card.rates, "  ");
    for when in &card.when {
        println!("  when {when}:");
        print_rates(&when.rates, "    ");
    }
    for slice in &card.graduated {
        println!("  beyond {}:", slice.over);
        print_rates(&slice.rates, "    ");
    }
    for (name, text) in [
        ("source", &card.origin.source),
        ("checked", &card.origin.checked),
        ("note", &card.origin.note),
        ("remark", &card.origin.remark),
    ] {
        if let Some(text) = text {
            println!("  {name}: {text}");
        }
    }
    if let Some(seen_after) = card.seen_after {
        println!("  the price changed after {} at the earliest", seen_after.as_date_or_instant());
    }
}

fn print_rates(rates: &Rates, indent: &str) {
    for (meter, rate) in rates.iter() {
        let (name, quoted) = own::quoted(meter, rate);
        println!("{indent}{name}: {quoted}");
    }
}

/// Which prices changed, and what the usage since then would have cost without that.
async fn changes(farthing: &Farthing, org: Org, since: &str) -> Outcome {
    let since = match since.strip_suffix('d').map(str::parse::<i64>) {
        Some(Ok(days)) => Instant::from_micros(now().micros() - days * 86_400_000_000),
        _ => Instant::parse_date_or_instant(since).map_err(|e| Failure::Usage(e.to_string()))?,
    };
    let versions = farthing.store.versions(org).await?;
    let newest = farthing.store.head(org).await?.version;
    let before = versions.iter().rev().find(|version| version.note.published_at <= since).or(versions.first());
    let Some(before) = before.map(|version| version.version) else { return Ok(()) };
    println!("prices of version {newest}, against version {before} which was in force at {since}:");
    print_changes(&farthing.changes(org, before, newest).await?);

    let wish = rerate::Wish { from: Some(since), dry_run: true, under: Some(before), ..rerate::Wish::default() };
    let under_old = farthing.rerate(org, &wish, |_| {}).await?;
    println!("\nusage since then, as it is booked and as version {before} would have charged it:");
    for (bought, moved) in &under_old.changes {
        let (booked, would) = (moved.before, moved.after);
        let change = (booked - would).with_places(6);
        println!(
            "  {}/{}: {} events, {} instead of {} {}: {change}",
            bought.provider,
            bought.model,
            moved.events,
            booked.with_places(6),
            would.with_places(6),
            bought.currency
        );
    }
    let counts = (under_old.examined, under_old.changed, under_old.unpriced);
    println!("{} events, {} of them charged otherwise, {} without a price under version {before}", counts.0, counts.1, counts.2);
    Ok(())
}

async fn fetches(farthing: &Farthing, org: Org) -> Outcome {
    for fetch in farthing.store.fetches(org, None, 50).await? {
        let first_line = fetch.detail.lines().next().unwrap_or_default();
        println!(
            "{}  {}  {}  {} looks until {}  {}  {first_line}",
            fetch.fetch,
            fetch.source,
            fetch.first_at,
            fetch.looks,
            fetch.last_at,
            fetch.outcome.name()
        );
    }
    Ok(())
}
