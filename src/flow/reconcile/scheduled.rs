//! What happens by itself once there is a management key: every completed day that OpenRouter still tells of is fetched
//! before it forgets, days that may have changed since are fetched again, each is compared with the book, and a person is
//! told where something lies outside of the tolerance.

use super::fetch::{Allowance, Fetched, Fetching, What, missing};
use super::figures::Alerts;
use super::{Origin, PROVIDER, Reconciled, TruedUp, Wish};
use crate::flow::notices::Kind;
use crate::flow::{Farthing, FlowError, now};
use crate::id::Org;
use crate::money::Amount;
use crate::provider::openrouter::{DAYS, Key, Openrouter};
use crate::reconcile::statement::Form;
use crate::reconcile::{Asked, Stated};
use crate::time::{Instant, Period};
use chrono::NaiveDate;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

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
    /// Whether the balance is looked at, and by how much it may differ.
    pub balance: Option<Amount>,
    pub alerts: Alerts,
}

/// Days after which a day is looked at again: what lands late has landed, and it is about to be forgotten.
const AGAIN: [i64; 3] = [1, 3, 29];

/// One run over all days.
struct Night<'n> {
    books: &'n Openrouter,
    policy: &'n Policy,
    began: Instant,
    /// What was fetched so far; once it says why no more is asked, no more is.
    fetched: Fetched,
}

impl Farthing {
    /// Fetches what is missing and what may have changed, compares and says what came of it, a line each. One day that fails
    /// does not keep the others from it.
    pub async fn reconcile_days(&self, org: Org, books: &Openrouter, policy: &Policy) -> Result<Vec<String>, FlowError> {
        let mut night = Night { books, policy, began: now(), fetched: Fetched::default() };
        if policy.fetching != Fetching::Never {
            self.fetch_open(org, &mut night).await;
        }
        let (mut said, mut failed) = (Vec::new(), Vec::new());
        for day in self.days_to_look_at(org, night.began).await? {
            match self.look_at_day(org, day, &mut night).await {
                Ok(line) => said.push(line),
                Err(why) => failed.push(format!("{day}: {why}")),
            }
        }
        // After the days, so that what they brought is booked.
        if let Some(tolerance) = policy.balance {
            match self.look_at_balance(org, books, tolerance).await {
                Ok(line) => said.push(line),
                Err(why) => failed.push(format!("the balance: {why}")),
            }
        }
        let Night { mut fetched, .. } = night;
        failed.append(&mut fetched.failed);
        failed.extend(fetched.stopped.as_ref().map(|why| format!("generations that are missing here: {why}")));
        if fetched.asked > 0 || !fetched.refused.is_empty() {
            said.push(fetched.to_string());
        }
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

    /// The earliest first. A day of which OpenRouter tells nothing more is among them where something was booked on it since.
    async fn days_to_look_at(&self, org: Org, began: Instant) -> Result<Vec<NaiveDate>, FlowError> {
        let followed = self.store.followed(org).await?;
        let mut newest: BTreeMap<NaiveDate, i64> = BTreeMap::new();
        for (number, stated) in self.statements(org).await? {
            newest.extend(whole_day(&stated).map(|day| (day, number)));
        }
        let today = began.to_utc().date_naive();
        let told = |day: &NaiveDate| (1..=DAYS).contains(&(today - *day).num_days());
        let mut days: BTreeSet<NaiveDate> =
            (1..=DAYS).filter_map(|ago| today.checked_sub_days(chrono::Days::new(ago as u64))).collect();
        days.retain(|day| match newest.get(day).and_then(|number| followed.get(number)) {
            Some(Some(last)) => is_due_again(*day, last.to_utc().date_naive(), today),
            // Nothing came of it yet, or a run broke off over it, or more was booked since.
            Some(None) | None => true,
        });
        let is_open = |number: &i64| followed.get(number) == Some(&None);
        days.extend(newest.into_iter().filter(|(day, number)| *day < today && !told(day) && is_open(number)).map(|(day, _)| day));
        // Days whose entries were taken out are compared where these are.
        let since = self.taken_out_until(org).await?;
        days.retain(|day| since.is_none_or(|since| day_of(*day).from >= since));
        Ok(days.into_iter().collect())
    }

    /// Fetches one day, of all or of one key, and imports it.
    pub async fn fetch_day(
        &self,
        org: Org,
        books: &Openrouter,
        day: NaiveDate,
        key: Option<&Key>,
    ) -> Result<super::Imported, FlowError> {
        let hash = key.and_then(|key| key.hash.as_deref());
        let answered = books.activity(day, hash, now()).await.map_err(|e| FlowError::Refused(e.to_string()))?;
        let [received] = &answered.received[..] else {
            return Err(FlowError::Refused(format!("{day}: more than one answer came for one question")));
        };
        let (form, days) = (Some(Form::Activity), Some(day_of(day)));
        let account = key.and_then(Key::called).map(str::to_owned);
        let origin = Origin { form, account, asked: received.asked.clone(), days, said_at: Some(received.fetched_at) };
        self.import_statement(org, &received.text, &origin).await
    }

    /// What earlier nights asked for in vain, and what held events are missing. Neither keeps the other from it, nor the days
    /// from half of what may be asked for, however much is never answered.
    async fn fetch_open(&self, org: Org, night: &mut Night<'_>) {
        let half = night.policy.fetching.most() / 2;
        let open = async {
            let mut done = self.fetch_again(org, night.books, half.div_ceil(2)).await?;
            if done.stopped.is_none() {
                done.add(self.fetch_for_held(org, night.books, half.saturating_sub(done.asked as usize)).await?);
            }
            Ok::<_, FlowError>(done)
        };
        night.fetched = open.await.unwrap_or_else(|why| Fetched::stopped_by(why.to_string()));
    }

    async fn look_at_day(&self, org: Org, day: NaiveDate, night: &mut Night<'_>) -> Result<String, FlowError> {
        if (night.began.to_utc().date_naive() - day).num_days() <= DAYS {
            self.fetch_day(org, night.books, day, None).await?;
        }
        self.follow(org, day, night).await
    }

    /// Does all that follows from the newest word on a day: what is missing is fetched, the rest is trued up, and a person is
    /// told, as the policy has it.
    async fn follow(&self, org: Org, day: NaiveDate, night: &mut Night<'_>) -> Result<String, FlowError> {
        let words = self.words_on_day(org, day).await?;
        let newest = words.last().ok_or_else(|| FlowError::NotThere(format!("no statement tells of {day}")))?;
        self.begin_following(org, &words, night).await?;
        let wish = Wish { statement: *newest, block: None, asked: night.policy.asked.clone() };
        let mut run = self.reconcile(org, &wish).await?;
        // Before anything is fetched: what counts is what came by itself.
        self.alert_of(org, day, &run, &night.policy.alerts).await?;
        let mut is_open = false;
        if night.policy.fetching != Fetching::Never && missing(&run, What::New).next().is_some() {
            let asked = night.fetched.asked;
            is_open = self.fetch_tonight(org, &run, night).await;
            if night.fetched.asked > asked {
                // What was booked by this is among what is compared now.
                self.begin_following(org, &words, night).await?;
                run = self.reconcile(org, &wish).await?;
            }
        }
        let trued_up = match night.policy.true_ups {
            TrueUps::Never => TruedUp::default(),
            TrueUps::Within(amount) => self.true_up(org, &run, Some(amount), "reconciliation").await?,
            TrueUps::Always => self.true_up(org, &run, None, "reconciliation").await?,
        };
        let outside = run.comparison.outside(&run.tolerance).count() as u64;
        if outside > trued_up.posted + trued_up.were_there {
            self.tell_of(org, &run).await?;
        }
        for statement in &words {
            match is_open {
                true => self.store.reopen_followed(org, *statement).await?,
                false => self.store.end_following(org, *statement, night.began).await?,
            }
        }
        let comparison = &run.comparison;
        Ok(format!(
            "{day}: statement {}, book {}, {outside} variances, {} true-ups, run {}",
            comparison.statement_total, comparison.book_total, trued_up.posted, run.kept.run
        ))
    }

    /// Before the book is compared: what is booked from now on leaves the day open.
    async fn begin_following(&self, org: Org, words: &[i64], night: &Night<'_>) -> Result<(), FlowError> {
        for statement in words {
            self.store.begin_following(org, *statement, night.began).await?;
        }
        Ok(())
    }

    /// Fetches what a day is missing and nobody asked for yet; says whether some of that is left to another night. What is
    /// not fetched stays a variance, and the day is compared all the same.
    async fn fetch_tonight(&self, org: Org, run: &Reconciled, night: &mut Night<'_>) -> bool {
        if night.fetched.stopped.is_some() {
            return true;
        }
        let allowed = Allowance { most: night.policy.fetching.left(&night.fetched), what: What::New };
        let done = self.fetch_for(org, night.books, run, allowed).await;
        let done = done.unwrap_or_else(|why| Fetched::stopped_by(why.to_string()));
        let is_open = done.left > 0 || done.stopped.is_some() || !done.failed.is_empty();
        night.fetched.add(done);
        is_open
    }

    /// What takes the place of what on a day, the newest last.
    async fn words_on_day(&self, org: Org, day: NaiveDate) -> Result<Vec<i64>, FlowError> {
        let Period { from, until } = day_of(day);
        let (from, until) = (from.to_string(), until.to_string());
        let place = (from.as_str(), until.as_str(), "", false);
        Ok(self.words_at(org, place).await?.into_iter().map(|(number, _)| number).collect())
    }

    /// Before something is booked on days of which all was done: should whoever books break off in between, what follows is
    /// done again all the same.
    pub(super) async fn reopen_days(&self, org: Org, days: &BTreeSet<NaiveDate>) -> Result<(), FlowError> {
        for (statement, stated) in self.statements(org).await? {
            if whole_day(&stated).is_some_and(|day| days.contains(&day)) {
                self.store.reopen_followed(org, statement).await?;
            }
        }
        Ok(())
    }

    /// One notice for each day and what was found on it; the same again tells nobody.
    async fn tell_of(&self, org: Org, run: &Reconciled) -> Result<(), FlowError> {
        let facts: Value = serde_json::from_str(&run.kept.summary).unwrap_or_default();
        let is_same = |told: &Value| {
            ["from", "until", "statement", "book", "residual"].iter().all(|name| told["summary"][name] == facts[name])
        };
        if self.is_told(org, Kind::Variance, is_same).await? {
            return Ok(());
        }
        let mut largest: Vec<_> = run.comparison.outside(&run.tolerance).collect();
        largest.sort_by_key(|variance| std::cmp::Reverse(variance.amount().abs()));
        let largest: Vec<Value> = largest.into_iter().take(5).map(|variance| super::told(run, variance)).collect();
        let facts = json!({"provider": PROVIDER, "run": run.kept.run, "summary": facts, "largest": largest});
        self.notice(org, Kind::Variance, &facts).await
    }

    /// One notice for each day and figure that is beyond what is allowed; the same again tells nobody.
    async fn alert_of(&self, org: Org, day: NaiveDate, run: &Reconciled, alerts: &Alerts) -> Result<(), FlowError> {
        for crossed in alerts.crossed(&run.kept.figures()?) {
            let facts = json!({"provider": PROVIDER, "day": day.to_string(), "run": run.kept.run, "figure": crossed.figure,
                "value": crossed.value, "allowed": crossed.allowed});
            let is_same = |told: &Value| ["day", "figure", "value", "allowed"].iter().all(|name| told[name] == facts[name]);
            if !self.is_told(org, Kind::Alert, is_same).await? {
                self.notice(org, Kind::Alert, &facts).await?;
            }
        }
        Ok(())
    }

    async fn is_told(&self, org: Org, kind: Kind, is_same: impl Fn(&Value) -> bool) -> Result<bool, FlowError> {
        let told = self.store.notices(org, Some(kind.name()), 200).await?;
        Ok(told.iter().any(|notice| serde_json::from_str(&notice.body).is_ok_and(|body| is_same(&body))))
    }
}

/// Whether a look at a day was missed since the last one, or is made on this day: who is started again on it looks again.
fn is_due_again(day: NaiveDate, last: NaiveDate, today: NaiveDate) -> bool {
    let (looked, ago) = ((last - day).num_days(), (today - day).num_days());
    AGAIN.into_iter().any(|after| after == ago || (looked < after && after < ago))
}

/// The day that a statement is the provider's word on; a file that begins with it may be of a month.
fn whole_day(stated: &Stated) -> Option<NaiveDate> {
    let day = Instant::parse(&stated.from).ok()?.to_utc().date_naive();
    let Period { from, until } = day_of(day);
    let is_whole = (&stated.from, &stated.until) == (&from.to_string(), &until.to_string());
    (stated.form == Form::Activity.name() && stated.account.is_empty() && is_whole).then_some(day)
}

fn day_of(day: NaiveDate) -> Period {
    let from = Instant::from_date(day);
    Period { from, until: Instant::from_micros(from.micros() + 86_400_000_000) }
}
