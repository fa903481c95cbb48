//! `statement` and `reconcile`: what the provider claims, and how the book differs from it.

mod show;

use super::{Failure, Outcome, open};
use crate::config::Settings;
use crate::flow::reconcile::page::page_of;
use crate::flow::reconcile::{Origin, PROVIDER, Reconciled, Wish, told};
use crate::flow::{Farthing, now};
use crate::id::{BlockNumber, Org};
use crate::money::Amount;
use crate::provider::openrouter::{Keys, Openrouter, Patience};
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
    /// Where OpenRouter's API is
    #[arg(long, env = "FARTHING_OPENROUTER_URL", default_value = crate::provider::openrouter::BASE, value_name = "URL")]
    openrouter_url: String,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Reconcile {
    #[command(subcommand)]
    show: Option<Shown>,
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

#[derive(Subcommand)]
enum Shown {
    /// A run, a month or any days on one page
    Show(show::Show),
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
            self.statement(&farthing, org, &text, form).await
        };
        farthing.store.close().await;
        outcome
    }

    async fn statement(&self, farthing: &Farthing, org: Org, text: &str, form: Option<Form>) -> Outcome {
        let asked = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let origin = Origin { form, account: self.account.clone(), asked, days: None };
        let imported = farthing.import_statement(org, text, &origin).await?;
        let how = if imported.was_there { "was there already" } else { "is kept" };
        println!("statement {} {how}: {}", imported.statement, in_words(&imported.stated));
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

impl Fetch {
    async fn run(self, settings: &Settings) -> Outcome {
        let books = books(&self.openrouter_url)?;
        let (farthing, org) = open(settings).await?;
        let today = now().to_utc().date_naive();
        let oldest = today - chrono::Days::new(crate::provider::openrouter::DAYS as u64);
        let (mut day, until) = (self.from.unwrap_or(oldest), self.until.unwrap_or(today));
        let mut failed = Vec::new();
        while day < until {
            match farthing.fetch_day(org, &books, day).await {
                Ok(imported) => {
                    let how = if imported.was_there { "as before" } else { "new" };
                    println!("{day}: statement {}, {how}, {}", imported.statement, in_words(&imported.stated));
                }
                Err(e) => failed.push(format!("{day}: {e}")),
            }
            day = day + chrono::Days::new(1);
        }
        farthing.store.close().await;
        if failed.is_empty() { Ok(()) } else { Err(Failure::Refused(failed.join("\n"))) }
    }
}

impl Reconcile {
    pub async fn run(self, settings: &Settings) -> Outcome {
        if let Some(Shown::Show(show)) = self.show {
            return show.run(settings).await;
        }
        known(&self.provider)?;
        let within = self.within.as_deref().map(Amount::parse).transpose();
        let within = within.map_err(|e| Failure::Usage(format!("--within: {e}")))?;
        if !matches!(self.format.as_str(), "table" | "json" | "csv") {
            return Err(Failure::Usage(format!("--format: `{}` is no format; known are table, json and csv", self.format)));
        }
        let (farthing, org) = open(settings).await?;
        let outcome = self.compare(&farthing, org, within).await;
        farthing.store.close().await;
        outcome
    }

    async fn compare(&self, farthing: &Farthing, org: Org, within: Option<Amount>) -> Outcome {
        let (mut outside, mut trued_up, mut left) = (0, 0, 0);
        let statements = self.statements(farthing, org).await?;
        if statements.is_empty() {
            return Err(Failure::Refused(
                "there is no statement of these days; `statement import` or `statement fetch` first".to_owned(),
            ));
        }
        if self.format == "csv" {
            println!("run,class,day,model,provider,expected,observed,amount,entries,lines,generations,cause,next_step");
        }
        for (number, asked) in statements {
            let wish = Wish { statement: number, block: self.block.map(BlockNumber), asked };
            let run = farthing.reconcile(org, &wish).await?;
            self.show(&run);
            outside += run.comparison.outside(&run.tolerance).count() as u64;
            if self.post_true_ups {
                let done = farthing.true_up(org, &run, within, "reconcile --post-true-ups").await?;
                trued_up += done.posted + done.were_there;
                left += done.left;
                eprintln!("{} true-ups posted, {} were there already, {} left", done.posted, done.were_there, done.left);
            }
        }
        let open = if self.post_true_ups { left } else { outside };
        match open {
            0 => Ok(()),
            open => Err(Failure::Findings(format!("{open} variances are outside of the tolerance ({trued_up} trued up)"))),
        }
    }

    /// The statement that was named, or the newest of each account and range of days within what was asked.
    async fn statements(&self, farthing: &Farthing, org: Org) -> Result<Vec<(i64, Asked)>, Failure> {
        let asked = Asked { from: None, until: None, tolerance: self.tolerance.clone() };
        if let Some(number) = self.statement {
            return Ok(vec![(number, Asked { from: self.from.clone(), until: self.until.clone(), ..asked })]);
        }
        let end = |flag: &str, text: &Option<String>| {
            let read = text.as_deref().map(Instant::parse_date_or_instant).transpose();
            read.map_err(|e| Failure::Usage(format!("--{flag}: {e}")))
        };
        let (from, until) = (end("from", &self.from)?, end("until", &self.until)?);
        let mut newest: BTreeMap<(String, String, String), i64> = BTreeMap::new();
        for (number, stated) in farthing.statements(org).await? {
            let period = Asked::default().period(&stated).map_err(Failure::Refused)?;
            if from.is_none_or(|from| from <= period.from) && until.is_none_or(|until| period.until <= until) {
                newest.insert((stated.from, stated.until, stated.account), number);
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
            .map(|cell| crate::report::table::csv_text(&cell))
            .collect();
        text += &(cells.join(",") + "\r\n");
    }
    text
}
