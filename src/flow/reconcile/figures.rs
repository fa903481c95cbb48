//! What a monitor is told of the newest run: how much of what the provider billed was booked here by itself, how far the two
//! books are apart, and how much waits for a person. Read from what was written down, so that asking costs nothing.

use crate::flow::{Farthing, FlowError};
use crate::id::Org;
use crate::money::Amount;
use crate::reconcile::compare::Class;
use crate::store::StoreError;
use crate::time::Instant;
use serde_json::Value;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figures {
    pub made_at: Instant,
    /// The share of the statement's amount that is not missing here, in millionths.
    pub captured: i128,
    /// What the statement has more than the book.
    pub drift: Amount,
    pub outside: u64,
}

impl Farthing {
    /// Figures of the run that was made last; nothing before the first one.
    pub async fn figures(&self, org: Org) -> Result<Option<Figures>, FlowError> {
        let runs = self.store.reconciliations(org, 1).await?;
        let Some(run) = runs.first() else { return Ok(None) };
        let figures = serde_json::from_str(&run.summary).ok().and_then(|summary| Figures::of(run.made_at, &summary));
        let damaged = || StoreError::damaged(format!("reconciliation {}", run.run), "its summary cannot be read");
        Ok(Some(figures.ok_or_else(damaged)?))
    }
}

impl Figures {
    fn of(made_at: Instant, summary: &Value) -> Option<Figures> {
        let amount = |text: &Value| Amount::parse(text.as_str()?).ok();
        let (statement, book) = (amount(&summary["statement"])?, amount(&summary["book"])?);
        let missing = match &summary["classes"][Class::MissingHere.name()] {
            Value::Null => Amount::ZERO,
            found => amount(&found["amount"])?,
        };
        let captured = millionths(statement - missing, statement);
        Some(Figures { made_at, captured, drift: statement - book, outside: summary["outside_tolerance"].as_u64()? })
    }

    /// The captured share as a decimal.
    pub fn captured_share(&self) -> String {
        format!("{}.{:06}", self.captured / 1_000_000, self.captured % 1_000_000)
    }
}

/// A share of a whole between nothing and all of it; all of nothing is all.
fn millionths(part: Amount, whole: Amount) -> i128 {
    // Far below a cent nothing is missed, and the product stays within what an integer holds.
    let [part, whole] = [part, whole].map(|amount| amount.units() / 10_i128.pow(12));
    if whole <= 0 { 1_000_000 } else { (part.clamp(0, whole) * 1_000_000) / whole }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_here_was_not_captured() {
        let of = |statement: &str, missing: Value| {
            let classes = if missing.is_null() { json!({}) } else { json!({"missing_here": {"amount": missing}}) };
            let summary = json!({"statement": statement, "book": "1", "classes": classes, "outside_tolerance": 2});
            Figures::of(Instant::from_micros(0), &summary).unwrap()
        };
        let third = of("3", json!("1"));
        assert_eq!((third.captured_share().as_str(), third.drift.to_string().as_str(), third.outside), ("0.666666", "2", 2));
        assert_eq!(of("0", Value::Null).captured_share(), "1.000000");
        assert_eq!(of("99999999999", json!("99999999999")).captured_share(), "0.000000");
    }
}
