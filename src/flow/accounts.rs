//! Accounts: what moved to and from each of them, added up from the same entries and by the same fold as every report.

use crate::flow::{Farthing, FlowError};
use crate::id::{BlockNumber, NameId, Org, Sequence};
use crate::ledger::decision::{Balance, Balances, Numbered};
use crate::money::{Amount, Currency};
use crate::report::{AsOf, Cell, Clock, Dimension, Filter, Measure, Query, Table};
use crate::store::{Names, StoreError};
use crate::time::{Instant, Month};

/// Which part of the book is added up.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub from: Option<Instant>,
    /// What moved before this instant; without one everything.
    pub until: Option<Instant>,
    pub clock: Clock,
    pub as_of: Option<AsOf>,
    /// What was booked in this month alone.
    pub period: Option<Month>,
    /// From the entries alone.
    pub scan: bool,
}

impl Farthing {
    /// Debits and credits of every account, and the block up to which the book was asked.
    pub async fn balances(&self, org: Org, wanted: &Wanted) -> Result<(Balances, BlockNumber), FlowError> {
        let filter = |month: Month| Filter { dimension: Dimension::Period, values: vec![month.to_string()] };
        let query = Query {
            by: vec![Dimension::Debit, Dimension::Credit],
            show: vec![Measure::Amount, Measure::Posted],
            from: wanted.from,
            until: wanted.until,
            clock: wanted.clock,
            as_of: wanted.as_of,
            filters: wanted.period.map(filter).into_iter().collect(),
            scan: wanted.scan,
            ..Query::default()
        };
        let answer = self.report(org, &query).await?;
        Ok((of_table(&answer.table)?, answer.block))
    }

    /// What the database itself adds up of a month, by the numbers of accounts; no fold and no copy has a part in it.
    pub(crate) async fn summed(&self, org: Org, month: Month, before: Sequence) -> Result<Numbered, FlowError> {
        let mut balances = Numbered::new();
        let too_large = || FlowError::from(crate::report::fold::TooLarge);
        for (debit, credit, currency, amount) in self.store.moved_in(org, month, before).await? {
            let sum = &mut balances.entry((debit, currency)).or_default().debit;
            *sum = sum.checked_add(amount).ok_or_else(too_large)?;
            let sum = &mut balances.entry((credit, currency)).or_default().credit;
            *sum = sum.checked_add(amount).ok_or_else(too_large)?;
        }
        Ok(balances)
    }

    /// The same by what accounts are called.
    pub(crate) async fn named(&self, org: Org, numbered: &Numbered) -> Result<Balances, FlowError> {
        let accounts: Vec<NameId> = numbered.keys().map(|(account, _)| *account).collect();
        let mut names = Names::default();
        names.learn(&self.store, org, &[], &[], &accounts).await?;
        let named =
            numbered.iter().map(|((account, currency), balance)| Ok(((names.text(*account)?.to_owned(), *currency), *balance)));
        named.collect()
    }
}

fn of_table(table: &Table) -> Result<Balances, FlowError> {
    let mut balances = Balances::new();
    let place = |name: &str| table.columns.iter().position(|column| column.name == name);
    let places = ["debit", "credit", "currency", "posted"].map(place);
    let [Some(debit), Some(credit), Some(currency), Some(posted)] = places else {
        return Err(StoreError::damaged("the report of accounts", "it has other columns than were asked for").into());
    };
    for row in table.rows() {
        let amount = if let Cell::Money(amount) = row[posted] { amount } else { Amount::ZERO };
        let currency: Currency = row[currency].plain().parse().map_err(|e| StoreError::damaged("a currency", e))?;
        let too_large = || FlowError::from(crate::report::fold::TooLarge);
        let side = |balances: &mut Balances, account: &Cell, of: fn(&mut Balance) -> &mut Amount| {
            let sum = of(balances.entry((account.plain(), currency)).or_default());
            *sum = sum.checked_add(amount).ok_or_else(too_large)?;
            Ok::<(), FlowError>(())
        };
        side(&mut balances, &row[debit], |balance| &mut balance.debit)?;
        side(&mut balances, &row[credit], |balance| &mut balance.credit)?;
    }
    Ok(balances)
}
