//! What happens by itself once there is a management key: every completed day that OpenRouter still tells of is fetched
//! before it forgets, days that may have changed since are fetched again, each is compared with the book, and a person is
//! told where something lies outside of the tolerance.

use super::fetch::{Fetched, Fetching};
use super::{Origin, PROVIDER, Reconciled, TruedUp, Wish};
use crate::flow::notices::Kind;
use crate::flow::{Farthing, FlowError, now};
use crate::id::Org;
use crate::money::Amount;
use crate::provider::openrouter::{DAYS, Openrouter};
use crate::reconcile::statement::Form;
use crate::reconcile::{Asked, Stated};
use crate::time::{Instant, Period};
use chrono::NaiveDate;
use serde_json::{Value, json};

/// What is posted without asking a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrueUps {
    Never,
    /// Variances up to this.
    Within(Amount),
    Always,
}

impl TrueUps {
    pub fn named(text: &str) -> Result<TrueUps, String> {
        match text {
            "never" => Ok(TrueUps::Never),
            "always" => Ok(TrueUps::Always),
            amount => Amount::parse(amount)
                .ok()
                .filter(|amount| !amount.is_negative())
                .map(TrueUps::Within)
                .ok_or_else(|| format!("`{amount}` is neither never, always nor an amount up to which true-ups are posted")),
        }
    }
}

/// What is done by itself.
#[derive(Clone, Debug)]
pub struct Policy {
    pub asked: Asked,
    pub fetching: Fetching,
    pub true_ups: TrueUps,
}

/// Days after which a day is looked at again: what lands late has landed, and it is about to be forgotten.
const AGAIN: [i64; 3] = [1, 3, 29];

impl Farthing {
    /// Fetches what is missing and what may have changed, compares and says what came of it, a line each. One day that fails
    /// does not keep the others from it.
    pub async fn reconcile_days(&self, org: Org, books: &Openrouter, policy: &Policy) -> Result<Vec<String>, FlowError> {
        let mut known = self.statements(org).await?;
        let followed = self.store.followed(org).await?;
        // Of one that a run broke off over, what follows is done again.
        known.retain(|(number, _)| followed.binary_search(number).is_ok());
        let today = now().to_utc().date_naive();
        let (mut said, mut failed) = (Vec::new(), Vec::new());
        let mut fetched = Fetched::default();
        if policy.fetching != Fetching::Never {
            match self.fetch_open(org, books, policy.fetching).await {
                Ok(done) => fetched = done,
                Err(why) => fetched.stopped = Some(why.to_string()),
            }
        }
        for ago in (1..=DAYS).rev() {
            let Some(day) = today.checked_sub_days(chrono::Days::new(ago as u64)) else { continue };
            if known.iter().any(|(_, stated)| is_of_day(stated, day)) && !AGAIN.contains(&ago) {
                continue;
            }
            match self.reconcile_day(org, books, day, policy, &mut fetched).await {
                Ok(line) => said.push(line),
                Err(why) => failed.push(format!("{day}: {why}")),
            }
        }
        if fetched.asked > 0 || !fetched.refused.is_empty() {
            said.push(fetched.to_string());
        }
        failed.extend(fetched.stopped.map(|why| format!("generations that are missing here: {why}")));
        match failed.is_empty() {
            true => Ok(said),
            false => {
                let error = failed.join("; ");
                self.notice(org, Kind::ReconciliationFailed, &json!({"provider": PROVIDER, "error": error})).await?;
                said.push(error.clone());
                Err(FlowError::Refused(said.join("; ")))
            }
        }
    }

    /// Fetches one day and imports it.
    pub async fn fetch_day(&self, org: Org, books: &Openrouter, day: NaiveDate) -> Result<super::Imported, FlowError> {
        let answered = books.activity(day, None, now()).await.map_err(|e| FlowError::Refused(e.to_string()))?;
        let [received] = &answered.received[..] else {
            return Err(FlowError::Refused(format!("{day}: more than one answer came for one question")));
        };
        let origin = Origin { form: Some(Form::Activity), account: None, asked: received.asked.clone(), days: Some(day_of(day)) };
        self.import_statement(org, &received.text, &origin).await
    }

    /// What earlier nights asked for in vain, and what held events are missing.
    async fn fetch_open(&self, org: Org, books: &Openrouter, fetching: Fetching) -> Result<Fetched, FlowError> {
        let mut done = self.fetch_again(org, books, fetching.most()).await?;
        if done.stopped.is_none() {
            done.add(self.fetch_for_held(org, books, fetching.left(&done)).await?);
        }
        Ok(done)
    }

    async fn reconcile_day(
        &self,
        org: Org,
        books: &Openrouter,
        day: NaiveDate,
        policy: &Policy,
        fetched: &mut Fetched,
    ) -> Result<String, FlowError> {
        let imported = self.fetch_day(org, books, day).await?;
        let wish = Wish { statement: imported.statement, block: None, asked: policy.asked.clone() };
        let mut run = self.reconcile(org, &wish).await?;
        if policy.fetching != Fetching::Never && fetched.stopped.is_none() {
            match self.fetch_for(org, books, &run, policy.fetching.left(fetched)).await {
                Ok(done) if done.asked > 0 => {
                    fetched.add(done);
                    run = self.reconcile(org, &wish).await?;
                }
                Ok(done) => fetched.add(done),
                // What is missing stays a variance, and the day is compared all the same.
                Err(why) => fetched.stopped = Some(why.to_string()),
            }
        }
        let trued_up = match policy.true_ups {
            TrueUps::Never => TruedUp::default(),
            TrueUps::Within(amount) => self.true_up(org, &run, Some(amount), "reconciliation").await?,
            TrueUps::Always => self.true_up(org, &run, None, "reconciliation").await?,
        };
        let outside = run.comparison.outside(&run.tolerance).count() as u64;
        if outside > trued_up.posted + trued_up.were_there {
            self.tell_of(org, &run).await?;
        }
        self.store.note_followed(org, imported.statement, now()).await?;
        let comparison = &run.comparison;
        Ok(format!(
            "{day}: statement {}, book {}, {outside} variances, {} true-ups, run {}",
            comparison.statement_total, comparison.book_total, trued_up.posted, run.kept.run
        ))
    }

    /// One notice for each day and what was found on it; the same again tells nobody.
    async fn tell_of(&self, org: Org, run: &Reconciled) -> Result<(), FlowError> {
        let told = self.store.notices(org, Some(Kind::Variance.name()), 200).await?;
        let facts: Value = serde_json::from_str(&run.kept.summary).unwrap_or_default();
        let is_told = |body: &str| {
            serde_json::from_str::<Value>(body).is_ok_and(|body| {
                ["from", "until", "statement", "book", "residual"].iter().all(|name| body["summary"][name] == facts[name])
            })
        };
        if told.iter().any(|notice| is_told(&notice.body)) {
            return Ok(());
        }
        let mut largest: Vec<_> = run.comparison.outside(&run.tolerance).collect();
        largest.sort_by_key(|variance| std::cmp::Reverse(variance.amount().abs()));
        let largest: Vec<Value> = largest.into_iter().take(5).map(|variance| super::told(run, variance)).collect();
        let facts = json!({"provider": PROVIDER, "run": run.kept.run, "summary": facts, "largest": largest});
        self.notice(org, Kind::Variance, &facts).await
    }
}

/// Whether a statement is the provider's word on this whole day; a file that begins with it may be of a month.
fn is_of_day(stated: &Stated, day: NaiveDate) -> bool {
    let Period { from, until } = day_of(day);
    stated.form == Form::Activity.name()
        && stated.account.is_empty()
        && (&stated.from, &stated.until) == (&from.to_string(), &until.to_string())
}

fn day_of(day: NaiveDate) -> Period {
    let from = Instant::from_date(day);
    Period { from, until: Instant::from_micros(from.micros() + 86_400_000_000) }
}
