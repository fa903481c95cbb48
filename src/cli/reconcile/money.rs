//! `farthing reconcile money`: from one look at the balance to the next, step by step, and what the steps leave unexplained.

use super::super::{Failure, Outcome, open};
use crate::config::Settings;
use crate::flow::reconcile::PROVIDER;
use crate::flow::reconcile::balance::Balance;
use crate::money::Amount;
use crate::time::Month;
use clap::Args;
use serde_json::Value;

#[derive(Args)]
pub struct Money {
    /// This month, from the last look at the balance before it to the last one in it [default: between the last two looks]
    #[arg(long, value_name = "MONTH")]
    month: Option<String>,
    /// table or json
    #[arg(long, default_value = "table")]
    format: String,
}

impl Money {
    pub async fn run(&self, settings: &Settings) -> Outcome {
        if !matches!(self.format.as_str(), "table" | "json") {
            return Err(Failure::Usage(format!("--format: `{}` is no format; known are table and json", self.format)));
        }
        let month = self.month.as_deref().map(str::parse::<Month>).transpose();
        let month = month.map_err(|e| Failure::Usage(format!("--month: {e}")))?;
        let (farthing, org) = open(settings).await?;
        let balance = match month {
            None => farthing.compare_balance(org).await,
            Some(month) => farthing.balance_of_month(org, month).await,
        };
        farthing.store.close().await;
        let why = "there are no two looks at the balance to lay side by side; `statement fetch --balance` makes one";
        let balance = balance?.ok_or_else(|| Failure::Refused(why.to_owned()))?;
        match self.format.as_str() {
            "json" => println!("{}", balance.to_json()),
            _ => show(&balance),
        }
        match balance.variances(Amount::ZERO).len() {
            0 => Ok(()),
            open => Err(Failure::Findings(format!("{open} of usage and credits differ"))),
        }
    }
}

fn show(balance: &Balance) {
    let Balance { between, block, .. } = balance;
    println!("the credits at {PROVIDER} from {} until {}, in USD; the book up to block {block}", between.from, between.until);
    let steps: Vec<(&str, String)> = balance.steps().into_iter().map(|(name, amount)| (name, amount.with_places(2))).collect();
    let before_point = |text: &str| text.split('.').next().unwrap_or_default().len();
    let most = steps.iter().map(|(_, amount)| before_point(amount)).max().unwrap_or_default();
    for (name, amount) in &steps {
        println!("  {name:<16}{}{amount}", " ".repeat(most - before_point(amount)));
    }
    let invoices = balance.closing.movement.invoices;
    if !invoices.is_zero() {
        println!("  beside that, {invoices} were paid for usage in arrears");
    }
    for variance in balance.variances(Amount::ZERO) {
        println!("{}", in_words(&variance));
    }
}

/// What differs of the balance, both sides, and why it may be.
pub fn in_words(variance: &Value) -> String {
    let text = |name: &str| variance[name].as_str().unwrap_or_default();
    let of_key = variance["key"].as_str().map(|key| format!(" of the key {key}")).unwrap_or_default();
    let sides = format!("{} here, {} there ({})", text("expected"), text("observed"), text("amount"));
    format!("{}{of_key} {sides}: {}", text("class"), text("cause"))
}
