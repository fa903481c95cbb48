//! The books: `adjust`, `accounts`, `periods`, `close` and `reopen`.

use super::{Failure, Outcome, open, progress};
use crate::config::Settings;
use crate::flow::accounts::Wanted;
use crate::flow::{adjust, now, periods};
use crate::ledger::Account;
use crate::ledger::decision::{About, Adjustment, Balance, trial};
use crate::money::{Amount, Currency};
use crate::report::{AsOf, Cells, Clock, Column, Table, as_of};
use crate::time::{Instant, Month};
use crate::usage::Text;
use chrono_tz::Tz;
use clap::Args;
use std::sync::Arc;

#[derive(Args)]
pub struct Adjust {
    /// Your own id; the same one again posts nothing
    #[arg(long)]
    id: String,
    /// What moves, in the currency; more than 0
    #[arg(long)]
    amount: String,
    #[arg(long, default_value = "USD")]
    currency: String,
    /// The account it moves to, such as cost:team/user
    #[arg(long)]
    debit: String,
    /// The account it comes from, such as payable:openrouter
    #[arg(long)]
    credit: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// Who decided it [default: the user of this machine]
    #[arg(long)]
    author: Option<String>,
    /// When it occurred: a day or an instant [default: now]
    #[arg(long)]
    at: Option<String>,
    /// The model it is about
    #[arg(long)]
    model: Option<String>,
}

impl Adjust {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let wish = self.wish()?;
        let (farthing, org) = open(settings).await?;
        let adjusted = farthing.adjust(org, &wish).await;
        farthing.store.close().await;
        let adjusted = adjusted?;
        let Adjustment { id, amount, currency, debit, credit, .. } = &adjusted.adjustment;
        let how = if adjusted.was_there { "was there already" } else { "is posted" };
        let entries: Vec<String> = adjusted.entries.iter().map(|booked| booked.entry.sequence.to_string()).collect();
        println!(
            "{id} {how}: {amount} {currency} to {} from {}, entry {}",
            debit.as_str(),
            credit.as_str(),
            entries.join(" and ")
        );
        Ok(())
    }

    fn wish(&self) -> Result<adjust::Wish, Failure> {
        let usage = |flag: &'static str| move |why: String| Failure::Usage(format!("--{flag}: {why}"));
        let text = |flag: &'static str, text: &str| {
            Text::new(text).ok_or_else(|| usage(flag)("it is empty, too long or has control characters".to_owned()))
        };
        let adjustment = Adjustment {
            id: text("id", &self.id)?,
            amount: Amount::parse(&self.amount).map_err(|e| usage("amount")(e.to_string()))?,
            currency: self.currency.parse().map_err(|_| usage("currency")(format!("`{}` is no currency", self.currency)))?,
            debit: Account::parse(&self.debit).map_err(usage("debit"))?,
            credit: Account::parse(&self.credit).map_err(usage("credit"))?,
            reason: text("reason", &self.reason)?,
            author: author(self.author.as_deref())?,
            occurred_at: match &self.at {
                Some(at) => Instant::parse_date_or_instant(at).map_err(|e| usage("at")(e.to_string()))?,
                None => now(),
            },
            about: About { model: self.model.as_deref().map(|model| text("model", model)).transpose()?, ..About::default() },
        };
        adjustment.check().map_err(|wrong| usage(wrong.field)(wrong.why))?;
        Ok(adjust::Wish { adjustment, with_time: self.at.is_some() })
    }
}

/// Who decides, unless it is said: whoever is logged in.
fn author(said: Option<&str>) -> Result<Text, Failure> {
    let user = || std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "command line".to_owned());
    let author = said.map_or_else(user, str::to_owned);
    Text::new(author).ok_or_else(|| Failure::Usage("--author: it is empty, too long or has control characters".to_owned()))
}

#[derive(Args)]
pub struct Accounts {
    /// What moved before this day or instant
    #[arg(long)]
    at: Option<String>,
    /// Which of an entry's instants counts: occurred or recorded
    #[arg(long, default_value = "occurred")]
    clock: String,
    /// The book as it was known: a day, an instant, or block:N
    #[arg(long)]
    as_of: Option<String>,
    /// Only what was booked in this month
    #[arg(long, value_name = "MONTH")]
    period: Option<String>,
    /// Only accounts that begin with this, such as payable:
    #[arg(long, default_value = "")]
    prefix: String,
    /// table, csv or json
    #[arg(long, default_value = "table")]
    format: String,
}

impl Accounts {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let usage = |flag: &'static str| move |why: String| Failure::Usage(format!("--{flag}: {why}"));
        let until = self.at.as_deref().map(Instant::parse_date_or_instant).transpose();
        let period = self.period.as_deref().map(str::parse::<Month>).transpose();
        let as_of: Option<AsOf> = self.as_of.as_deref().map(|text| as_of(text, Tz::UTC)).transpose().map_err(usage("as-of"))?;
        let wanted = Wanted {
            until: until.map_err(|e| usage("at")(e.to_string()))?,
            clock: Clock::named(&self.clock).map_err(usage("clock"))?,
            period: period.map_err(|e| usage("period")(e.to_string()))?,
            as_of,
            ..Wanted::default()
        };
        let (farthing, org) = open(settings).await?;
        let found = farthing.balances(org, &wanted).await;
        farthing.store.close().await;
        let (balances, block) = found?;
        let sums = trial(&balances).map_err(|e| Failure::Findings(e.to_string()))?;
        let shown: Vec<(&str, Currency, Balance)> = balances
            .iter()
            .map(|((account, currency), balance)| (account.as_str(), *currency, *balance))
            .filter(|(account, ..)| account.starts_with(&self.prefix))
            .collect();
        let table = table_of(&shown);
        match self.format.as_str() {
            "table" => print!("{}", table.to_text()),
            "csv" => print!("{}", table.to_csv()),
            "json" => println!("{}", table.to_json()),
            other => return Err(usage("format")(format!("`{other}` is no format; known are table, csv and json"))),
        }
        for (currency, sum) in sums {
            if sum.debit != sum.credit {
                let why = format!("debits are {} {currency} and credits {}", sum.debit, sum.credit);
                return Err(Failure::Findings(format!("the book is not in balance: {why}")));
            }
            eprintln!("in balance at block {block}: {} {currency} debited and credited", sum.debit);
        }
        Ok(())
    }
}

fn table_of(lines: &[(&str, Currency, Balance)]) -> Table {
    let texts = |of: &dyn Fn(&(&str, Currency, Balance)) -> String| {
        Cells::texts(lines.iter().map(|line| Some(Arc::from(of(line).as_str()))))
    };
    let money = |of: fn(&Balance) -> Amount| Cells::Money(lines.iter().map(|(_, _, balance)| Some(of(balance))).collect());
    let columns = vec![
        Column::new("account", texts(&|line| line.0.to_owned())),
        Column::new("currency", texts(&|line| line.1.to_string())),
        Column::new("debit", money(|balance| balance.debit)),
        Column::new("credit", money(|balance| balance.credit)),
        Column::new("balance", money(Balance::amount)),
    ];
    Table { columns, totals: Vec::new() }
}

#[derive(Args)]
pub struct Close {
    /// The month, such as 2026-10
    period: Month,
    /// Close it although some usage has no amount yet; that lands in a later month
    #[arg(long)]
    accept_held: bool,
    /// What is to be known of it
    #[arg(long, default_value = "")]
    note: String,
    /// Who closes it [default: the user of this machine]
    #[arg(long)]
    author: Option<String>,
}

impl Close {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let author = author(self.author.as_deref())?.to_string();
        let wish = periods::Wish { month: self.period, accept_held: self.accept_held, note: self.note, author };
        let (farthing, org) = open(settings).await?;
        let bar = progress(Some(0), "{wide_bar} block {human_pos} of {human_len}, {eta} left");
        let closed = farthing.close_period(org, &wish, |block, head| {
            bar.set_length(head.0 as u64);
            bar.set_position(block.0 as u64);
        });
        let closed = closed.await;
        bar.finish_and_clear();
        farthing.store.close().await;
        let closing = closed?;
        let amounts: Vec<String> = closing.amounts.iter().map(|(currency, amount)| format!("{amount} {currency}")).collect();
        let amounts = if amounts.is_empty() { "nothing".to_owned() } else { amounts.join(", ") };
        println!("{} is closed: {} entries, {amounts}, {} accounts", closing.closing, closing.entries, closing.accounts);
        println!("proved up to block {}, hash {}", closing.block, closing.hash);
        for (reason, events) in &closing.held {
            println!("closed over: {events} {reason}");
        }
        Ok(())
    }
}

#[derive(Args)]
pub struct Reopen {
    /// The month, such as 2026-10; those after it open too
    period: Month,
    /// Why; it stands in the book
    #[arg(long)]
    reason: String,
    /// Who opens it [default: the user of this machine]
    #[arg(long)]
    author: Option<String>,
}

impl Reopen {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let author = author(self.author.as_deref())?;
        let (farthing, org) = open(settings).await?;
        let opened = farthing.reopen_period(org, self.period, &self.reason, &author).await;
        farthing.store.close().await;
        let opened: Vec<String> = opened?.iter().map(Month::to_string).collect();
        println!("open again: {}", opened.join(", "));
        Ok(())
    }
}

#[derive(Args)]
pub struct Periods {}

impl Periods {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let (farthing, org) = open(settings).await?;
        let (periods, head) = (farthing.periods(org).await, farthing.store.head(org).await);
        farthing.store.close().await;
        for periods::Standing { month, is_closed, closing, reopened } in periods? {
            let amounts: Vec<String> = closing.amounts.iter().map(|(currency, amount)| format!("{amount} {currency}")).collect();
            let state = match &reopened {
                Some(reopening) if !is_closed => format!("opened again by {}: {}", reopening.author, reopening.reason),
                _ => "closed".to_owned(),
            };
            let (by, at) = (&closing.author, &closing.closed_at);
            println!(
                "{month}  {state}  {} entries, {}  closed by {by} at {at}, block {}",
                closing.entries,
                amounts.join(", "),
                closing.block
            );
        }
        let first_open = head?.first_open;
        match first_open.number() > 0 {
            true => println!("{first_open} is the first month that is open"),
            false => println!("every month is open"),
        }
        Ok(())
    }
}
