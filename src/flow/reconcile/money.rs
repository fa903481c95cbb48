//! Purchases: top-ups, fees, taxes, refunds and invoices become adjustments between the bank, the credits and expenses. They
//! are nobody's usage. A row is known by what it says, so the same file again posts nothing.

use super::{PROVIDER, payable};
use crate::flow::adjust::Wish;
use crate::flow::{Farthing, FlowError};
use crate::id::Org;
use crate::ledger::Account;
use crate::ledger::decision::{About, Adjustment};
use crate::money::{Amount, Currency};
use crate::reconcile::purchases::{Movement, Purchase, PurchaseKind, Purchases};
use crate::usage::Text;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What came of a file of purchases.
#[derive(Clone, Debug, Default)]
pub struct Bought {
    pub posted: u64,
    pub were_there: u64,
    /// What the rows do to the credits, by currency.
    pub credits: BTreeMap<Currency, Amount>,
    /// Fees that are not what the rule asks, in words.
    pub doubtful: Vec<String>,
}

impl Farthing {
    pub async fn import_purchases(&self, org: Org, text: &str, author: &str) -> Result<Bought, FlowError> {
        let purchases = Purchases::read(text).map_err(|e| FlowError::Refused(e.to_string()))?;
        let mut bought = Bought::default();
        let mut seen: HashMap<String, u32> = HashMap::new();
        let mut wishes = Vec::with_capacity(purchases.rows.len());
        for row in &purchases.rows {
            // Two rows that say the same are two purchases.
            let content = said(row);
            let number = seen.entry(content.clone()).and_modify(|times| *times += 1).or_insert(1);
            let id = format!("purchase/{}", &blake3::hash(format!("{content}\n{number}").as_bytes()).to_hex()[..32]);
            wishes.push(wish(row, &id, author).map_err(|why| FlowError::Refused(format!("line {}: {why}", row.line)))?);
        }
        for wish in wishes.into_iter().flatten() {
            let is_new = self.adjust_once(org, &wish).await?.is_some_and(|adjusted| !adjusted.was_there);
            bought.posted += u64::from(is_new);
            bought.were_there += u64::from(!is_new);
        }
        let currencies: BTreeSet<Currency> = purchases.rows.iter().map(|row| row.currency).collect();
        for currency in currencies {
            bought.credits.insert(currency, purchases.movement(currency).credits());
            for fee in purchases.doubtful_fees(&Default::default(), currency) {
                bought.doubtful.push(format!(
                    "invoice {}: a fee of {} was expected and {} is there, a difference of {}",
                    fee.invoice_id,
                    fee.expected,
                    fee.observed,
                    fee.observed - fee.expected
                ));
            }
        }
        Ok(bought)
    }
}

/// All that a row says, in whatever line and however it spells it.
fn said(row: &Purchase) -> String {
    let Purchase { line: _, on, kind, amount, currency, invoice_id, note } = row;
    format!("{on}\n{}\n{amount}\n{currency}\n{invoice_id:?}\n{note:?}", kind.name())
}

fn wish(row: &Purchase, id: &str, author: &str) -> Result<Option<Wish>, String> {
    if row.amount.is_zero() {
        return Ok(None);
    }
    let credits = credits();
    let (debit, credit) = match row.kind {
        PurchaseKind::TopUp => (credits, Account::parse(BANK)?),
        PurchaseKind::Fee => (Account::parse(FEES)?, credits),
        PurchaseKind::Tax => (Account::parse(TAXES)?, credits),
        PurchaseKind::Refund => (Account::parse(BANK)?, credits),
        PurchaseKind::Expiry => (Account::parse(EXPIRED)?, credits),
        PurchaseKind::Transfer if row.amount.is_negative() => (Account::parse(TRANSFERS)?, credits),
        PurchaseKind::Transfer => (credits, Account::parse(TRANSFERS)?),
        PurchaseKind::Invoice => (payable(), Account::parse(BANK)?),
    };
    let said = [row.invoice_id.as_deref().map(|id| format!("invoice {id}")), row.note.as_deref().map(str::to_owned)];
    let reason = [Some(row.kind.name().to_owned())].into_iter().chain(said).flatten().collect::<Vec<_>>().join(", ");
    let text = |text: &str| Text::new(text).ok_or_else(|| format!("`{text}` is no text"));
    let adjustment = Adjustment {
        id: text(id)?,
        amount: row.amount.abs(),
        currency: row.currency,
        debit,
        credit,
        reason: text(&reason)?,
        author: text(author)?,
        occurred_at: row.on,
        about: About::default(),
    };
    Ok(Some(Wish { adjustment, with_time: true }))
}

/// What purchases move between, beside the credits and what is owed for usage.
const BANK: &str = "cash:bank";
const FEES: &str = "expense:fees";
const TAXES: &str = "expense:tax";
const EXPIRED: &str = "expense:expired";
const TRANSFERS: &str = "transfer:credits";

/// The account of what was paid before it is used.
pub(super) fn credits() -> Account {
    Account::parse(&format!("prepaid:{PROVIDER}")).expect("it is spelled here")
}

impl Movement {
    /// What came to the credits from another account.
    pub(super) fn add(&mut self, from: &str, amount: Amount) {
        let kind = if from.starts_with("cash:") { &mut self.top_ups } else { &mut self.transfers };
        *kind += amount;
    }

    /// What went from the credits to another account.
    pub(super) fn take(&mut self, to: &str, amount: Amount) {
        *match to {
            FEES => &mut self.fees,
            TAXES => &mut self.taxes,
            EXPIRED => &mut self.expiries,
            _ if to.starts_with("cash:") => &mut self.refunds,
            _ => return self.transfers = self.transfers - amount,
        } += amount;
    }
}
