//! `statement` and `reconcile`: what the provider claims, and how the book differs from it.

mod money;
mod show;

use super::{Failure, Outcome, open};
use crate::config::Settings;
use crate::flow::reconcile::fetch::{Allowance, Fetching};
use crate::flow::reconcile::page::page_of;
use crate::flow::reconcile::propose::Lessons;
use crate::flow::reconcile::{Fetched, Origin, PROVIDER, Reconciled, Wish, told};
use crate::flow::{Farthing, now};
use crate::id::{BlockNumber, Org};
use crate::money::Amount;
use crate::provider::openrouter::{Key, Keys, Openrouter, Patience};
use crate::reconcile::statement::Form;
use crate::reconcile::{Asked, Stated};
use crate::time::Instant;
use chrono::NaiveDate;
use clap::{Args, Subcommand};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Statement {
    /// Keep a file of the provider's as it is: an activity export, the answer of its API, or a file of purchases
    Import(Import),
    /// Fetch completed days that OpenRouter still tells of, with OPENROUTER_MANAGEMENT_KEY
    Fetch(Fetch),
    /// Every statement that was imported
    List,
}

#[derive(Args)]
pub struct Import {
    /// The file
    file: PathBuf,
    #[arg(long, default_value = PROVIDER)]
    provider: String,
    /// generations_csv, chart_csv, activity or generation [default: what it looks like]
    #[arg(long)]
    form: Option<String>,
    /// The key or account that it is of, where it is not of all
    #[arg(long)]
    account: Option<String>,
}

#[derive(Args)]
pub struct Fetch {
    /// From this UTC day on [default: all that OpenRouter still tells of]
    #[arg(long, value_name = "DAY")]
    from: Option<NaiveDate>,
    /// Before this UTC day [default: today]
    #[arg(long, value_name = "DAY")]
    until: Option<NaiveDate>,
    /// The list of every day's generations instead of the sums of days
    #[arg(long)]
    generations: bool,
    /// Days of this key alone, by its name or hash; `all` for every key, one after the other
    #[arg(long, conflicts_with = "generations", value_name = "KEY")]
    key: Option<String>,
    /// The account's balance as it is now, instead of days
    #[arg(long, conflicts_with_all = ["from", "until", "generations", "key"])]
    balance: bool,
    /// Where OpenRouter's API is
    #[arg(long, env = "FARTHING_OPENROUTER_URL", default_value = crate::provider::openrouter::BASE, value_name = "URL")]
    openrouter_url: String,
}

#[derive(Subcommand)]
enum What {
    /// A run, a month or any days on one page
    Show(show::Show),
    /// A month's money: purchases, fees and taxes, usage, and the balance before and after
    Money(money::Money),
    /// Print cards for endpoints whose price the catalog does not know, learned from what was billed, as a catalog file
    Propose(Propose),
}

#[derive(Args)]
struct Propose {
    /// From this statement [default: every one by generation that is in force]
    #[arg(long, value_name = "N")]
    statement: Option<i64>,
    /// yaml or json
    #[arg(long, default_value = "yaml")]
    format: String,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Reconcile {
    #[command(subcommand)]
    what: Option<What>,
    #[arg(long, default_value = PROVIDER)]
    provider: String,
    /// Only this statement [default: the newest of each range of days]
    #[arg(long, value_name = "N")]
    statement: Option<i64>,
    /// From this day or instant on
    #[arg(long)]
    from: Option<String>,
    /// Before this day or instant
    #[arg(long)]
    until: Option<String>,
    /// The book up to this block instead of all of it
    #[arg(long, value_name = "N")]
    block: Option<i64>,
    /// A variance up to this amount is nothing to act upon
    #[arg(long, value_name = "AMOUNT")]
    tolerance: Option<String>,
    /// Fetch generations that are missing here, and usage that held events are missing, and post them; at most so many
    /// [default: 1000]. Needs OPENROUTER_API_KEY, and for days OPENROUTER_MANAGEMENT_KEY
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "always", conflicts_with = "block")]
    fetch_missing: Option<String>,
    /// Where OpenRouter's API is
    #[arg(long, env = "FARTHING_OPENROUTER_URL", default_value = crate::provider::openrouter::BASE, value_name = "URL")]
    openrouter_url: String,
    /// Post what is outside of the tolerance as adjustments toward the statement
    #[arg(long)]
    post_true_ups: bool,
    /// Of these only variances up to this amount
    #[arg(long, value_name = "AMOUNT", requires = "post_true_ups")]
    within: Option<String>,
    /// table, json or csv
    #[arg(long, default_value = "table")]
    format: String,
}

fn known(provider: &str) -> Outcome {
    match provider {
        PROVIDER => Ok(()),
        other => Err(Failure::Usage(format!("--provider: the books of `{other}` are not known; known is {PROVIDER}"))),
    }
}

impl Statement {
    pub async fn run(self, settings: &Settings) -> Outcome {
        match self {
            Statement::Import(import) => import.run(settings).await,
            Statement::Fetch(fetch) => fetch.run(settings).await,
            Statement::List => {
                let (farthing, org) = open(settings).await?;
                let statements = farthing.statements(org).await;
                farthing.store.close().await;
                for (number, stated) in statements? {
                    println!("{number}  {}", in_words(&stated));
                }
                Ok(())
            }
        }
    }
}

fn in_words(stated: &Stated) -> String {
    let Stated { form, from, until, lines, amount, currency, .. } = stated;
    let account = if stated.account.is_empty() { String::new() } else { format!(" of {}", stated.account) };
    format!("{form}{account} from {from} until {until}: {lines} lines, {amount} {currency}, {}", stated.asked)
}

impl Import {
    async fn run(self, settings: &Settings) -> Outcome {
        known(&self.provider)?;
        let form = self
            .form
            .as_deref()
            .map(|form| Form::named(form).ok_or_else(|| Failure::Usage(format!("--form: `{form}` is no form of a statement"))));
        let form = form.transpose()?;
        let text = std::fs::read_to_string(&self.file).map_err(|e| Failure::Io(format!("{}: {e}", self.file.display())))?;
        let (farthing, org) = open(settings).await?;
        let header = text.lines().next().unwrap_or_default();
        let is_of_purchases = form.is_none() && header.split(',').any(|column| column.trim() == "kind");
        let outcome = if is_of_purchases {
            self.purchases(&farthing, org, &text).await
        } else {
            self.statement(&farthing, org, text, form).await
        };
        farthing.store.close().await;
        outcome
    }

    async fn statement(&self, farthing: &Farthing, org: Org, text: String, form: Option<Form>) -> Outcome {
        let asked = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let origin = Origin { form, account: self.account.clone(), asked, days: None, said_at: None };
        let imported = farthing.import_statement(org, text, &origin).await?;
        let how = if imported.was_there { "was there already" } else { "is kept" };
        println!("statement {} {how}: {}", imported.statement, in_words(&imported.stated));
        if let Some(newer) = imported.superseded_by {
            println!("statement {newer} is a later word on the same days and stays the one that counts");
        }
        Ok(())
    }

    async fn purchases(&self, farthing: &Farthing, org: Org, text: &str) -> Outcome {
        let bought = farthing.import_purchases(org, text, "statement import").await?;
        let credits: Vec<String> = bought.credits.iter().map(|(currency, amount)| format!("{amount} {currency}")).collect();
        println!(
            "{} rows posted, {} were there already; the credits move by {}",
            bought.posted,
            bought.were_there,
            credits.join(", ")
        );
        for doubtful in &bought.doubtful {
            println!("{doubtful}");
        }
        Ok(())
    }
}

/// The books of OpenRouter, with the keys of the environment.
fn books(url: &str) -> Result<Openrouter, Failure> {
    let keys = Keys::gather(|name| std::env::var(name).ok()).map_err(|e| Failure::Usage(e.to_string()))?;
    Openrouter::new(url, keys, Patience::default()).map_err(|e| Failure::Usage(e.to_string()))
}

/// The keys of the account that are meant.
async fn keys(books: &Openrouter, named: &str) -> Result<Vec<Key>, Failure> {
    let mut keys = books.keys().await.map_err(|e| Failure::Refused(e.to_string()))?.read;
    keys.retain(|key| key.hash.is_some());
    let known: Vec<String> = keys.iter().filter_map(|key| key.called().map(str::to_owned)).collect();
    keys.retain(|key| named == "all" || [key.name.as_deref(), key.hash.as_deref()].contains(&Some(named)));
    match keys.is_empty() {
        true => Err(Failure::Usage(format!("--key: the account has no key {named}; it has {}", known.join(", ")))),
        false => Ok(keys),
    }
}

impl Fetch {
    async fn run(self, settings: &Settings) -> Outcome {
        let books = books(&self.openrouter_url)?;
        let keys = match &self.key {
            None => vec![None],
            Some(named) => keys(&books, named).await?.into_iter().map(Some).collect(),
        };
        let (farthing, org) = open(settings).await?;
        if self.balance {
            let looked = farthing.fetch_balance(org, &books).await;
            farthing.store.close().await;
            let looked = looked?;
            println!(
                "statement {}: {} USD were used in all, {}",
                looked.statement, looked.stated.amount, looked.stated.received_at
            );
            return Ok(());
        }
        let today = now().to_utc().date_naive();
        let oldest = today - chrono::Days::new(crate::provider::openrouter::DAYS as u64);
        let (first, until) = (self.from.unwrap_or(oldest), self.until.unwrap_or(today));
        let mut failed = Vec::new();
        for key in &keys {
            for day in first.iter_days().take_while(|day| *day < until) {
                let fetched = match self.generations {
                    true => farthing.fetch_list(org, &books, Instant::from_date(day)).await,
                    false => farthing.fetch_day(org, &books, day, key.as_ref()).await,
                };
                match fetched {
                    Ok(imported) => {
                        let how = if imported.was_there { "as before" } else { "new" };
                        println!("{day}: statement {}, {how}, {}", imported.statement, in_words(&imported.stated));
                    }
                    Err(e) => failed.push(format!("{day}: {e}")),
                }
            }
        }
        farthing.store.close().await;
        if failed.is_empty() { Ok(()) } else { Err(Failure::Refused(failed.join("\n"))) }
    }
}

impl Reconcile {
    pub async fn run(self, settings: &Settings) -> Outcome {
        if let Some(What::Show(show)) = self.what {
            return show.run(settings).await;
        }
        known(&self.provider)?;
        if let Some(What::Propose(propose)) = &self.what {
            return self.propose(propose, settings).await;
        }
        if let Some(What::Money(money)) = &self.what {
            return money.run(settings).await;
        }
        let within = self.within.as_deref().map(Amount::parse).transpose();
        let within = within.map_err(|e| Failure::Usage(format!("--within: {e}")))?;
        if !matches!(self.format.as_str(), "table" | "json" | "csv") {
            return Err(Failure::Usage(format!("--format: `{}` is no format; known are table, json and csv", self.format)));
        }
        let fetching = Fetching::named(self.fetch_missing.as_deref().unwrap_or("never"));
        let fetching = fetching.map_err(|e| Failure::Usage(format!("--fetch-missing: {e}")))?;
        let (farthing, org) = open(settings).await?;
        let outcome = self.compare(&farthing, org, fetching, within).await;
        farthing.store.close().await;
        outcome
    }

    async fn compare(&self, farthing: &Farthing, org: Org, fetching: Fetching, within: Option<Amount>) -> Outcome {
        let (mut outside, mut trued_up, mut left) = (0, 0, 0);
        let statements = self.statements(farthing, org, |stated| !stated.is_a_look()).await?;
        let has_balance = self.is_of_everything() && farthing.looks(org).await?.len() > 1;
        if statements.is_empty() && !has_balance {
            return Err(Failure::Refused(
                "there is no statement of these days; `statement import` or `statement fetch` first".to_owned(),
            ));
        }
        if self.format == "csv" {
            println!("run,class,day,model,provider,expected,observed,amount,entries,lines,generations,cause,next_step");
        }
        let mut fetched = match fetching {
            Fetching::Never => Fetched::default(),
            some => farthing.fetch_for_held(org, &books(&self.openrouter_url)?, some.most()).await?,
        };
        for (number, asked) in statements {
            let wish = Wish { statement: number, block: self.block.map(BlockNumber), asked };
            let mut run = farthing.reconcile(org, &wish).await?;
            if fetching != Fetching::Never && fetched.stopped.is_none() {
                let allowed = Allowance::of(fetching.left(&fetched));
                let done = farthing.fetch_for(org, &books(&self.openrouter_url)?, &run, allowed).await?;
                if done.has_booked() {
                    run = farthing.reconcile(org, &wish).await?;
                }
                fetched.add(done);
            }
            self.show(&run);
            outside += run.comparison.outside(&run.tolerance).count() as u64;
            if self.post_true_ups {
                let done = farthing.true_up(org, &run, within, "reconcile --post-true-ups").await?;
                trued_up += done.posted + done.were_there;
                left += done.left;
                eprintln!("{} true-ups posted, {} were there already, {} left", done.posted, done.were_there, done.left);
            }
        }
        if fetching != Fetching::Never {
            eprintln!("{fetched}");
        }
        // What the balance differs by names no call, so no true-up ends it.
        let of_balance = if has_balance { self.balance(farthing, org).await? } else { 0 };
        match of_balance + if self.post_true_ups { left } else { outside } {
            0 => Ok(()),
            open => Err(Failure::Findings(format!("{open} variances are outside of the tolerance ({trued_up} trued up)"))),
        }
    }

    /// Nothing was said of which days, statement or block is meant.
    fn is_of_everything(&self) -> bool {
        self.statement.is_none() && self.block.is_none() && self.from.is_none() && self.until.is_none()
    }

    /// Says what the last two looks at the balance differ by from the book; answers how many differences there are.
    async fn balance(&self, farthing: &Farthing, org: Org) -> Result<u64, Failure> {
        let Some(balance) = farthing.compare_balance(org).await? else { return Ok(0) };
        let tolerance = Asked { tolerance: self.tolerance.clone(), ..Asked::default() }.tolerance().map_err(Failure::Usage)?;
        let variances = balance.variances(tolerance.accepted);
        for variance in &variances {
            let text = |name: &str| variance[name].as_str().unwrap_or_default();
            match self.format.as_str() {
                "json" => println!("{variance}"),
                _ => eprintln!("balance from {} until {}: {}", text("from"), text("until"), money::in_words(variance)),
            }
        }
        Ok(variances.len() as u64)
    }

    async fn propose(&self, wanted: &Propose, settings: &Settings) -> Outcome {
        if !matches!(wanted.format.as_str(), "yaml" | "json") {
            return Err(Failure::Usage(format!("--format: `{}` is no format; known are yaml and json", wanted.format)));
        }
        let (farthing, org) = open(settings).await?;
        let outcome = async {
            let statements: Vec<i64> = match wanted.statement {
                Some(number) => vec![number],
                None => {
                    let is_by_generation = |stated: &Stated| Form::named(&stated.form).is_some_and(Form::is_by_generation);
                    let statements = self.statements(&farthing, org, is_by_generation).await?;
                    let mut numbers: Vec<i64> = statements.into_iter().map(|(number, _)| number).collect();
                    numbers.sort_unstable();
                    numbers
                }
            };
            if statements.is_empty() {
                let why = "there is no statement by generation; import the export of generations of the activity page";
                return Err(Failure::Refused(why.to_owned()));
            }
            let mut lessons = Lessons::default();
            for number in statements {
                let run = farthing.reconcile(org, &Wish { statement: number, block: None, asked: Asked::default() }).await?;
                farthing.learn(org, &run, &mut lessons).await?;
            }
            let proposals = farthing.propose_from(org, lessons).await?;
            match wanted.format.as_str() {
                "json" => println!("{}", proposals.to_json()),
                _ => print!("{}", proposals.to_yaml()),
            }
            Ok(())
        };
        let outcome = outcome.await;
        farthing.store.close().await;
        outcome
    }

    /// The statement that was named, or the newest of each account and range of days within what was asked.
    async fn statements(
        &self,
        farthing: &Farthing,
        org: Org,
        is_meant: impl Fn(&Stated) -> bool,
    ) -> Result<Vec<(i64, Asked)>, Failure> {
        let asked = Asked { from: None, until: None, tolerance: self.tolerance.clone() };
        if let Some(number) = self.statement {
            return Ok(vec![(number, Asked { from: self.from.clone(), until: self.until.clone(), ..asked })]);
        }
        let end = |flag: &str, text: &Option<String>| {
            let read = text.as_deref().map(Instant::parse_date_or_instant).transpose();
            read.map_err(|e| Failure::Usage(format!("--{flag}: {e}")))
        };
        let (from, until) = (end("from", &self.from)?, end("until", &self.until)?);
        let mut newest: BTreeMap<(String, String, String, bool), i64> = BTreeMap::new();
        for (number, stated) in farthing.statements(org).await?.into_iter().filter(|(_, stated)| is_meant(stated)) {
            let period = Asked::default().period(&stated).map_err(Failure::Refused)?;
            if from.is_none_or(|from| from <= period.from) && until.is_none_or(|until| period.until <= until) {
                let (from, until, account, is_list) = stated.place();
                newest.insert((from.to_owned(), until.to_owned(), account.to_owned(), is_list), number);
            }
        }
        Ok(newest.into_values().map(|number| (number, asked.clone())).collect())
    }

    fn show(&self, run: &Reconciled) {
        let comparison = &run.comparison;
        match self.format.as_str() {
            "json" => {
                let variances: Vec<_> = comparison.variances.iter().map(|variance| told(run, variance)).collect();
                let summary: serde_json::Value = serde_json::from_str(&run.kept.summary).unwrap_or_default();
                println!(
                    "{}",
                    serde_json::json!({"run": run.kept.run, "statement": run.kept.statement, "block": run.kept.block.0, "summary": summary, "variances": variances})
                );
            }
            "csv" => print!("{}", csv(run)),
            _ => print!("{}", page_of(run).to_text()),
        }
    }
}

fn csv(run: &Reconciled) -> String {
    let mut text = String::new();
    for variance in &run.comparison.variances {
        let told = told(run, variance);
        let cell = |name: &str| match &told[name] {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(all) => {
                all.iter().map(|one| one.as_str().map_or(one.to_string(), str::to_owned)).collect::<Vec<_>>().join(" ")
            }
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        };
        let names = [
            "class",
            "day",
            "model",
            "provider",
            "expected",
            "observed",
            "amount",
            "entries",
            "lines",
            "generations",
            "cause",
            "next_step",
        ];
        let cells: Vec<String> = std::iter::once(run.kept.run.clone())
            .chain(names.map(cell))
            .map(|cell| crate::report::table::csv_text(&cell).into_owned())
            .collect();
        text += &(cells.join(",") + "\r\n");
    }
    text
}
