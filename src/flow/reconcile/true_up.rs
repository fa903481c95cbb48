//! True-ups: what a comparison found outside of its tolerance is posted as adjustments toward what the statement says. A line's
//! true-ups are numbered, and each number is posted once: of two that compared at the same time one comes too late, and
//! whoever compares afterwards starts from what was posted. So late facts, corrections and true-ups, in any order and number,
//! end at the settled amount, and with whoever made the call: what others bore of its line before goes back.

use super::{PROVIDER, Reconciled, Wish, payable};
use crate::flow::adjust::Wish as Adjust;
use crate::flow::conflicts::standing;
use crate::flow::{Farthing, FlowError};
use crate::id::{EventNumber, Org, Sequence};
use crate::ledger::decision::{About, Adjustment};
use crate::ledger::{self, Account, COST, Entry};
use crate::money::{Amount, Currency};
use crate::rating::Party;
use crate::reconcile::compare::{Class, Variance};
use crate::reconcile::statement::Grain;
use crate::store::Names;
use crate::time::Instant;
use crate::usage::{OwnerDimension, Text};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What was done about a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TruedUp {
    pub posted: u64,
    /// Somebody else posted the same meanwhile.
    pub were_there: u64,
    pub amount: Amount,
    /// Variances that no adjustment mends, or that are larger than allowed: a person decides.
    pub left: u64,
}

/// How the ids of true-ups begin; the line and the number follow.
const TRUE_UP: &str = "true-up/";

/// Whether an adjustment was made of a comparison.
pub(super) fn is_true_up(adjustment: &Adjustment) -> bool {
    adjustment.id.starts_with(TRUE_UP)
}

impl Farthing {
    /// Posts what lies outside of a run's tolerance. What was booked since the run was made is looked at first, so the same run
    /// twice posts nothing twice; what is left afterwards is a run of its own.
    pub async fn true_up(&self, org: Org, run: &Reconciled, within: Option<Amount>, author: &str) -> Result<TruedUp, FlowError> {
        self.refuse_superseded(org, run).await?;
        let until = self.book_until(org, None).await?;
        let wish = Wish { statement: run.kept.statement, block: Some(until.block), asked: run.kept.asked()? };
        let newer = if until.block == run.kept.block { None } else { Some(self.reconcile(org, &wish).await?) };
        let run = newer.as_ref().unwrap_or(run);
        let adjusted = self.adjusted_until(org, &until).await?;
        let earlier = Earlier::of(&adjusted, &self.events_adjusted(org, &adjusted).await?);
        let mut done = TruedUp::default();
        for variance in run.comparison.outside(&run.tolerance) {
            let about = about(run, variance);
            let is_allowed = within.is_none_or(|within| variance.amount().abs() <= within);
            // An adjustment of no call is of no key either, so a statement of one key would not find it again.
            let is_of_a_key = !run.stated.account.is_empty() && about.call.is_none() && about.entry.is_none();
            if !is_allowed || is_of_a_key {
                done.left += 1;
                continue;
            }
            let adjustments = self.true_ups_of(org, run, variance, about, author, &earlier).await?;
            match self.post_in_order(org, adjustments).await {
                Ok(0) => done.were_there += 1,
                Ok(_) => {
                    done.posted += 1;
                    done.amount += variance.amount();
                }
                // Another run trued the same line up, from another book: whoever compares next sees both.
                Err(FlowError::Conflict(_)) => done.left += 1,
                Err(error) => return Err(error),
            }
        }
        if done.posted > 0 {
            self.reconcile(org, &Wish { block: None, ..wish }).await?;
        }
        Ok(done)
    }

    /// What an older statement says is not what is settled any more.
    async fn refuse_superseded(&self, org: Org, run: &Reconciled) -> Result<(), FlowError> {
        match self.words_at(org, run.stated.place()).await?.last().filter(|(newest, _)| *newest > run.kept.statement) {
            None => Ok(()),
            Some((newer, _)) => Err(FlowError::Refused(format!(
                "statement: {newer} took the place of {}; compare the book with that one and true up to it",
                run.kept.statement
            ))),
        }
    }

    /// Posts the true-ups of one line; says how many of them were new.
    async fn post_in_order(&self, org: Org, adjustments: Vec<Adjustment>) -> Result<u64, FlowError> {
        let mut new = 0;
        for adjustment in adjustments {
            let adjusted = self.adjust_once(org, &Adjust { adjustment, with_time: true }).await?;
            new += u64::from(adjusted.is_some_and(|adjusted| !adjusted.was_there));
        }
        Ok(new)
    }

    async fn true_ups_of(
        &self,
        org: Org,
        run: &Reconciled,
        variance: &Variance,
        about: About,
        author: &str,
        earlier: &Earlier,
    ) -> Result<Vec<Adjustment>, FlowError> {
        let entry = match about.entry {
            Some(entry) => self.store.entries_between(org, entry.0, entry.0 + 1).await?.into_iter().next(),
            None => None,
        };
        let rules = self.newest(org).await?.catalog;
        let bearer = self.bearer(org, entry.as_ref(), rules.rules().cost()).await?;
        let event = entry.and_then(|entry| entry.event);
        let place = event.map(|event| earlier.place(event));
        let call = match (&about.call, &place) {
            (Some(call), _) | (None, Some(Corrected::Call(call))) => Some(call.clone()),
            // Of two events of one generation, the other one is what the statement's line is settled with.
            (None, Some(Corrected::Event(event))) if variance.class != Class::DuplicateHere => self.call_of(org, *event).await?,
            (None, _) => None,
        };
        let line = line_of(&about, call.as_ref(), event, variance);
        let mut places: BTreeSet<Corrected> = place.into_iter().chain(call.map(Corrected::Call)).collect();
        if places.is_empty() {
            places.insert(Corrected::Line(line.clone()));
        }
        let (posted, toward) = (earlier.posted.get(&line).copied().unwrap_or_default(), earlier.toward(&places));
        let reason = format!("{}: {}; reconciliation {}", variance.class.name(), variance.cause.in_words(), run.kept.run);
        let text = |text: &str| Text::new(text).ok_or_else(|| FlowError::Refused(format!("`{text}` is no text")));
        let made = |(place, (account, amount)): (usize, (Account, Amount))| {
            let (debit, credit) = if amount.is_negative() { (payable(), account) } else { (account, payable()) };
            Ok(Adjustment {
                id: text(&format!("{TRUE_UP}{line}/{}", posted + 1 + place as u32))?,
                amount: amount.abs(),
                currency: Currency::USD,
                debit,
                credit,
                reason: text(&reason)?,
                author: text(author)?,
                occurred_at: run.at(variance),
                about: about.clone(),
            })
        };
        toward.and_now(bearer, variance.amount(), rules.rules().cost()).into_iter().enumerate().map(made).collect()
    }

    /// The generation of an event, if it holds it: of two events that name the same one it is of one.
    async fn call_of(&self, org: Org, event: EventNumber) -> Result<Option<Text>, FlowError> {
        let stored = self.store.standing_events(org, &[event]).await?;
        let Some(call) = stored.into_iter().next().and_then(|stored| stored.event.provider_request_id) else { return Ok(None) };
        let holder = self.store.once_all(org, &[self.store.call_key(org, PROVIDER, &call)]).await?;
        Ok(Some(call).filter(|_| holder.first() == Some(&Some(event.0))))
    }

    /// The account of whoever bears a call, as the rules in force make accounts; nobody's where it is of no single call, or
    /// where several share it.
    async fn bearer(&self, org: Org, entry: Option<&Entry>, cost: &[OwnerDimension]) -> Result<Account, FlowError> {
        let mut account = format!("{COST}{}", vec!["-"; cost.len()].join("/"));
        if let Some(entry) = entry {
            let of_event = self.store.entries_of_events(org, entry.event.as_slice()).await?;
            if standing(&of_event).iter().all(|other| other.owner == entry.owner) {
                let mut names = Names::default();
                names.learn(&self.store, org, &[entry.owner], &[entry.product], &[]).await?;
                account = ledger::account(Party::Owner, cost, &names.owner(entry.owner)?, &names.product(entry.product)?);
            }
        }
        Account::parse(&account).map_err(FlowError::Refused)
    }
}

/// What a true-up corrects, whatever it is numbered by: an event, a call that nobody told of, or a line of a day.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Corrected {
    Event(EventNumber),
    Call(Text),
    Line(String),
}

/// What was adjusted before.
#[derive(Default)]
struct Earlier {
    /// How many true-ups each line has.
    posted: HashMap<String, u32>,
    /// What adjustments correct, by where these are recorded.
    places: HashMap<EventNumber, Corrected>,
    borne: HashMap<Corrected, Toward>,
}

/// Who bears how much of what was posted toward something.
#[derive(Clone, Default)]
struct Toward {
    borne: BTreeMap<Account, Amount>,
}

impl Earlier {
    fn of(adjusted: &[(EventNumber, Adjustment)], event_of: &HashMap<Sequence, EventNumber>) -> Earlier {
        let mut earlier = Earlier::default();
        for (record, adjustment) in adjusted {
            let line =
                adjustment.id.strip_prefix(TRUE_UP).and_then(|rest| rest.rsplit_once('/')).map(|(line, _)| line.to_owned());
            let About { call, entry, .. } = &adjustment.about;
            let corrected = entry.and_then(|entry| event_of.get(&entry));
            let place = match (corrected, call, &line) {
                (Some(event), ..) => earlier.place(*event),
                (None, Some(call), _) => Corrected::Call(call.clone()),
                (None, None, Some(line)) => Corrected::Line(line.clone()),
                (None, None, None) => continue,
            };
            earlier.places.insert(*record, place.clone());
            if let Some(line) = line {
                *earlier.posted.entry(line).or_default() += 1;
                earlier.borne.entry(place).or_default().learn(adjustment);
            }
        }
        earlier
    }

    /// What an entry of this event is of; one of an adjustment is of what that corrects.
    fn place(&self, event: EventNumber) -> Corrected {
        self.places.get(&event).cloned().unwrap_or(Corrected::Event(event))
    }

    /// What was posted toward all of these.
    fn toward(&self, places: &BTreeSet<Corrected>) -> Toward {
        let mut toward = Toward::default();
        for (account, amount) in places.iter().filter_map(|place| self.borne.get(place)).flat_map(|other| &other.borne) {
            *toward.borne.entry(account.clone()).or_default() += *amount;
        }
        toward
    }
}

impl Toward {
    fn learn(&mut self, adjustment: &Adjustment) {
        let Adjustment { debit, credit, amount, .. } = adjustment;
        let (account, amount) = if debit.is_a_cost() { (debit, *amount) } else { (credit, -*amount) };
        *self.borne.entry(account.clone()).or_default() += amount;
    }

    /// Who bears how much more from now on, so that one bears all of it: a call that nobody was known to have made may have
    /// turned out to be somebody's. Accounts of costs that were made by other rules stay as they are.
    fn and_now(&self, bearer: Account, amount: Amount, cost: &[OwnerDimension]) -> Vec<(Account, Amount)> {
        let others =
            self.borne.iter().filter(|(account, borne)| **account != bearer && !borne.is_zero() && account.owner(cost).is_some());
        let back: Vec<(Account, Amount)> = others.map(|(account, borne)| (account.clone(), -*borne)).collect();
        let all = amount - back.iter().map(|(_, amount)| *amount).sum::<Amount>();
        back.into_iter().chain([(bearer, all)]).filter(|(_, amount)| !amount.is_zero()).collect()
    }
}

/// What a variance is about: the call, where it is of a single one.
fn about(run: &Reconciled, variance: &Variance) -> About {
    let (entries, lines) = (run.comparison.entries_of(variance), run.comparison.lines_of(variance));
    let line = lines.first().and_then(|number| run.statement.line_numbered(*number));
    let name = |name| Text::new(run.comparison.names.text(name));
    // A day that has more requests there than here has something beside the one call that is known.
    let is_of_one = entries.len() == 1 && lines.len() <= 1 && variance.class != Class::MissingHere;
    // The first is what is too much.
    let is_of_one = is_of_one || variance.class == Class::DuplicateHere;
    About {
        model: variance.model.and_then(name),
        served_by: variance.provider.and_then(name),
        call: line.filter(|_| lines.len() == 1).and_then(|line| run.statement.id_of(&line)).and_then(Text::new),
        entry: entries.first().copied().filter(|_| is_of_one),
    }
}

/// What true-ups are numbered by; corrections of a call leave it the same. A call is known by its generation, also where a
/// statement of days names none.
fn line_of(about: &About, call: Option<&Text>, event: Option<EventNumber>, variance: &Variance) -> String {
    let About { model, served_by, .. } = about;
    let line = match (call, event) {
        (Some(call), _) => format!("{PROVIDER} call {call}"),
        (None, Some(event)) => format!("{PROVIDER} event {event}"),
        (None, None) => format!("{PROVIDER} day {} {model:?} {served_by:?}", variance.day),
    };
    blake3::hash(line.as_bytes()).to_hex()[..32].to_owned()
}

impl Reconciled {
    /// When a variance occurred: with its generation, or on its day.
    fn at(&self, variance: &Variance) -> Instant {
        let line = self.comparison.lines_of(variance).first().and_then(|number| self.statement.line_numbered(*number));
        line.filter(|line| matches!(line.grain, Grain::Generation(_))).map_or(variance.day, |line| line.at)
    }
}
