//! The book against the provider's books. A [`statement`] is what the provider claims about usage, [`purchases`] what went to
//! and fro between the bank and the credits: both are read from what was received, and nothing in them is guessed or changed.
//! [`compare`] lays a statement beside what is booked and says of every difference how much it is, what kind it is, which
//! entries and lines it is between, what the likely cause is and what to do next. What is done about it (fetching,
//! posting) belongs to others.

pub mod compact;
pub mod compare;
pub mod propose;
pub mod purchases;
pub mod statement;
pub mod texts;

use crate::money::Amount;
use crate::reconcile::compare::Tolerance;
use crate::reconcile::statement::Form;
use crate::time::{Instant, Period};
use serde::{Deserialize, Serialize};

/// What a book records of a statement: a hash of what was received, and what it says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stated {
    pub statement: String,
    pub provider: String,
    pub form: String,
    /// The key or account it is of; empty where it is of all.
    pub account: String,
    pub from: String,
    pub until: String,
    pub lines: u64,
    pub amount: String,
    pub currency: String,
    /// The file or the question it answers.
    pub asked: String,
    pub received_at: String,
}

/// The form of a look at the account's balance, which is kept among statements and tells of no days.
pub const CREDITS: &str = "credits";

impl Stated {
    pub fn is_a_look(&self) -> bool {
        self.form == CREDITS
    }

    /// What a later statement takes the place of: the same days of the same account. A list of generations says what each of
    /// them cost and not what a day came to, so it stands beside the word on the day.
    pub fn place(&self) -> (&str, &str, &str, bool) {
        (&self.from, &self.until, &self.account, self.is_a_list())
    }

    fn is_a_list(&self) -> bool {
        self.form == Form::Analytics.name()
    }

    pub fn read(body: &[u8]) -> Result<Stated, String> {
        serde_json::from_slice(body).map_err(|e| e.to_string())
    }
}

/// Which statement tells of which days of a range: of each day the one that was received last, because a later word takes the
/// place of an earlier one; a list of generations only where there is no word on the day. Beside them the days that none tells of.
pub fn told_by(statements: &[(i64, Stated)], account: Option<&str>, range: Period) -> Result<(Told, Vec<Period>), String> {
    let mut telling = Vec::new();
    for (number, stated) in statements.iter().filter(|(_, stated)| tells(stated, account)) {
        telling.push((*number, stated.is_a_list(), Asked::default().period(stated)?));
    }
    let (mut told, mut untold): (Told, Vec<Period>) = (Vec::new(), Vec::new());
    let mut day = range.from;
    while day < range.until {
        let next = Instant::from_micros(day.micros() + DAY).min(range.until);
        let telling = telling.iter().filter(|(.., of)| of.from <= day && next <= of.until);
        let newest = telling.max_by_key(|(number, is_list, _)| (!is_list, *number)).map(|(number, ..)| number);
        match (newest, told.last_mut(), untold.last_mut()) {
            (Some(number), Some((last, of)), _) if last == number && of.until == day => of.until = next,
            (Some(number), ..) => told.push((*number, Period { from: day, until: next })),
            (None, _, Some(last)) if last.until == day => last.until = next,
            (None, ..) => untold.push(Period { from: day, until: next }),
        }
        day = next;
    }
    Ok((told, untold))
}

fn tells(stated: &Stated, account: Option<&str>) -> bool {
    !stated.is_a_look() && stated.account == account.unwrap_or_default()
}

/// Statements by number, and the days of which each tells.
pub type Told = Vec<(i64, Period)>;

const DAY: i64 = 86_400_000_000;

/// What of a statement is compared, and what is still the same; what is not said is as [`Tolerance`] has it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// A variance up to this is nothing to act upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<String>,
}

impl Asked {
    /// The days that are compared: those of the statement where nothing is said.
    pub fn period(&self, stated: &Stated) -> Result<Period, String> {
        let end = |name: &str, said: &Option<String>, of_statement: &str| match said {
            Some(said) => Instant::parse_date_or_instant(said).map_err(|e| format!("{name}: {e}")),
            None => Instant::parse(of_statement).map_err(|e| format!("the statement's {name}: {e}")),
        };
        let (from, until) = (end("from", &self.from, &stated.from)?, end("until", &self.until, &stated.until)?);
        if from >= until {
            return Err(format!("until: the range ends ({until}) before it begins ({from}); turn it around"));
        }
        Ok(Period { from, until })
    }

    pub fn tolerance(&self) -> Result<Tolerance, String> {
        let accepted = self.tolerance.as_deref().map(Amount::parse).transpose().map_err(|e| format!("tolerance: {e}"))?;
        if accepted.is_some_and(Amount::is_negative) {
            return Err("tolerance: an amount from 0 on".to_owned());
        }
        Ok(Tolerance { accepted: accepted.unwrap_or(Amount::ZERO), ..Tolerance::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(account: &str, from: &str, until: &str) -> Stated {
        let text = |text: &str| text.to_owned();
        Stated {
            statement: text("hash"),
            provider: text("openrouter"),
            form: text("activity"),
            account: text(account),
            from: format!("{from}T00:00:00Z"),
            until: format!("{until}T00:00:00Z"),
            lines: 1,
            amount: text("1"),
            currency: text("USD"),
            asked: text("x"),
            received_at: text("x"),
        }
    }

    #[test]
    fn of_each_day_the_statement_that_came_last_counts() {
        let statements = [
            (1, stated("", "2026-11-01", "2026-11-06")),
            (2, stated("", "2026-11-02", "2026-11-03")),
            (3, stated("key-7", "2026-11-01", "2026-12-01")),
            (4, stated("", "2026-11-07", "2026-11-08")),
        ];
        let day = |text: &str| Instant::parse_date_or_instant(text).unwrap();
        let range = Period { from: day("2026-11-01"), until: day("2026-11-10") };
        let named = |period: &Period| format!("{} {}", &period.from.to_string()[8..10], &period.until.to_string()[8..10]);
        let (told, untold) = told_by(&statements, None, range).unwrap();
        let told: Vec<_> = told.iter().map(|(number, of)| format!("{number}: {}", named(of))).collect();
        assert_eq!(told, ["1: 01 02", "2: 02 03", "1: 03 06", "4: 07 08"]);
        assert_eq!(untold.iter().map(named).collect::<Vec<_>>(), ["06 07", "08 10"]);
        let (told, untold) = told_by(&statements, Some("key-7"), range).unwrap();
        assert!(told.len() == 1 && untold.is_empty(), "{told:?}");
    }

    #[test]
    fn a_list_of_generations_counts_only_on_days_without_another_word_and_a_look_at_the_balance_on_none() {
        let of_form = |form: &str, from: &str, until: &str| Stated { form: form.to_owned(), ..stated("", from, until) };
        let statements = [
            (1, of_form("activity", "2026-11-01", "2026-11-02")),
            (2, of_form("analytics", "2026-11-01", "2026-11-02")),
            (3, of_form(CREDITS, "2026-11-02", "2026-11-02")),
            (4, of_form("analytics", "2026-11-02", "2026-11-03")),
        ];
        let day = |text: &str| Instant::parse_date_or_instant(text).unwrap();
        let range = Period { from: day("2026-11-01"), until: day("2026-11-03") };
        let (told, untold) = told_by(&statements, None, range).unwrap();
        assert_eq!(told.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 4]);
        assert!(untold.is_empty(), "{untold:?}");
    }
}
