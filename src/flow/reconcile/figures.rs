//! What a monitor is told of the newest run: how much of what the provider billed was booked here by itself, how far the two
//! books are apart, and how much waits for a person. Read from what was written down, so that asking costs nothing.

use crate::flow::{Farthing, FlowError};
use crate::id::Org;
use crate::money::Amount;
use crate::reconcile::compare::Class;
use crate::store::{Reconciliation, StoreError};
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

/// Which figures a person is told of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Alerts {
    /// A captured share below this, in millionths.
    pub captured: Option<i128>,
    /// The two books apart by more than this.
    pub drift: Option<Amount>,
}

/// A figure beyond what was allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Crossed {
    pub figure: &'static str,
    pub value: String,
    pub allowed: String,
}

impl Alerts {
    /// A share is written as a decimal from 0 to 1.
    pub fn share(text: &str) -> Result<i128, String> {
        let share = Amount::parse(text).map(|share| share.units() / MILLIONTH).ok();
        share.filter(|share| (0..=1_000_000).contains(share)).ok_or_else(|| format!("`{text}` is no share; write one like 0.99"))
    }

    pub fn crossed(&self, figures: &Figures) -> Vec<Crossed> {
        let captured = self.captured.filter(|least| figures.captured < *least).map(|least| Crossed {
            figure: "captured",
            value: share_in_words(figures.captured),
            allowed: share_in_words(least),
        });
        let drift = self.drift.filter(|most| figures.drift.abs() > *most).map(|most| Crossed {
            figure: "drift",
            value: figures.drift.to_string(),
            allowed: most.to_string(),
        });
        captured.into_iter().chain(drift).collect()
    }
}

const MILLIONTH: i128 = 10_i128.pow(18);

impl Farthing {
    /// Figures of the run that was made last; nothing before the first one.
    pub async fn figures(&self, org: Org) -> Result<Option<Figures>, FlowError> {
        let runs = self.store.reconciliations(org, 1).await?;
        let Some(run) = runs.first() else { return Ok(None) };
        Ok(Some(run.figures()?))
    }
}

impl Reconciliation {
    pub(super) fn figures(&self) -> Result<Figures, StoreError> {
        let figures = serde_json::from_str(&self.summary).ok().and_then(|summary| Figures::of(self.made_at, &summary));
        figures.ok_or_else(|| StoreError::damaged(format!("reconciliation {}", self.run), "its summary cannot be read"))
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
        share_in_words(self.captured)
    }
}

fn share_in_words(millionths: i128) -> String {
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
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

    #[test]
    fn what_is_beyond_its_limit_is_told_and_what_is_at_it_is_not() {
        let figures = |captured, drift| Figures {
            made_at: Instant::from_micros(0),
            captured,
            drift: Amount::parse(drift).unwrap(),
            outside: 0,
        };
        let limits = Alerts { captured: Some(Alerts::share("0.99").unwrap()), drift: Amount::parse("0.5").ok() };
        assert_eq!(limits.crossed(&figures(990_000, "-0.5")), []);
        let said: Vec<String> = limits
            .crossed(&figures(989_999, "-0.500001"))
            .iter()
            .map(|crossed| format!("{} {} {}", crossed.figure, crossed.value, crossed.allowed))
            .collect();
        assert_eq!(said, ["captured 0.989999 0.990000", "drift -0.500001 0.5"]);
        assert_eq!(Alerts::default().crossed(&figures(0, "9")), []);
        for text in ["1.1", "-0.1", "99%", ""] {
            assert_eq!(Alerts::share(text), Err(format!("`{text}` is no share; write one like 0.99")));
        }
    }
}
