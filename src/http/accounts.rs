//! Accounts: what moved to and from each, and that both sides are the same.

use super::answer::{Json, Parameters};
use super::caller::Known;
use super::{App, Problem};
use crate::flow::access::Scope;
use crate::flow::accounts::Wanted;
use crate::ledger::decision::{Balance, trial};
use crate::money::Currency;
use crate::report::{Clock, as_of};
use axum::extract::{RawQuery, State};
use chrono_tz::Tz;
use serde::Serialize;

#[derive(Serialize)]
pub struct Accounts {
    /// The book up to this block was asked.
    block: i64,
    items: Vec<Line>,
    /// All accounts together, by currency; the difference is always 0.
    trial: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    currency: String,
    debit: String,
    credit: String,
    balance: String,
}

pub async fn list(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Accounts>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let account = parameters.take("account");
    let clock = parameters.take("clock").map_or(Ok(Clock::default()), |name| Clock::named(&name));
    let period = parameters.take("period").map(|month| month.parse()).transpose();
    let as_of = parameters.take("as_of").map(|text| as_of(&text, Tz::UTC)).transpose();
    let wanted = Wanted {
        until: parameters.instant("at")?,
        clock: clock.map_err(|why| Problem::parameter("clock", why))?,
        period: period.map_err(|e: crate::time::TimeError| Problem::parameter("period", e.to_string()))?,
        as_of: as_of.map_err(|why| Problem::parameter("as_of", why))?,
        ..Wanted::default()
    };
    parameters.nothing_else()?;
    let (balances, block) = service.farthing.balances(caller.org, &wanted).await?;
    let sums = trial(&balances).map_err(|e| Problem::bad_request(e.to_string()))?;
    let of_account = balances.iter().filter(|((name, _), _)| account.as_ref().is_none_or(|account| account == name));
    let items = of_account.map(|((name, currency), balance)| Line::new(Some(name.clone()), *currency, *balance)).collect();
    let trial = sums.into_iter().map(|(currency, balance)| Line::new(None, currency, balance)).collect();
    Ok(Json(Accounts { block: block.0, items, trial }))
}

impl Line {
    fn new(account: Option<String>, currency: Currency, balance: Balance) -> Line {
        Line {
            account,
            currency: currency.to_string(),
            debit: balance.debit.to_string(),
            credit: balance.credit.to_string(),
            balance: balance.amount().to_string(),
        }
    }
}
