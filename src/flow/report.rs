//! Reports over the book: the database sums what the query can group by, the core folds the sums into an answer.

use crate::flow::{Farthing, FlowError};
use crate::id::{BlockNumber, Org, OwnerId, ProductId};
use crate::ledger::EntryKind;
use crate::rating::HeldReason;
use crate::report::{Dimension, Group, ReportQuery, Sums, Table};
use crate::store::{EntryFilter, Names, SpendRow};
use crate::time::Instant;
use crate::usage::Text;

/// An answer, and what stands beside it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub table: Table,
    /// The book up to this block was asked.
    pub block: BlockNumber,
    /// Usage that has no amount yet, by reason.
    pub held: Vec<(HeldReason, i64)>,
    pub conflicts: i64,
    pub rejected: i64,
}

impl Farthing {
    pub async fn report(&self, org: Org, query: &ReportQuery) -> Result<Answer, FlowError> {
        if let (Some(from), Some(until)) = (query.from, query.until)
            && from >= until
        {
            return Err(FlowError::Refused(format!("the range ends ({until}) before it begins ({from}); turn it around")));
        }
        let head = self.store.head(org).await?;
        let filter =
            EntryFilter { from: query.from, until: query.until, before: Some(head.next_sequence), ..EntryFilter::default() };
        let rows = self.store.spend(org, &filter, query.needs_time()).await?;
        let owners: Vec<OwnerId> = rows.iter().map(|row| row.owner).collect();
        let products: Vec<ProductId> = rows.iter().map(|row| row.product).collect();
        let others = rows.iter().flat_map(|row| [row.source, row.payee]).collect::<Vec<_>>();
        let mut names = Names::default();
        names.learn(&self.store, org, &owners, &products, &others).await?;
        let groups: Vec<Group> = rows.iter().map(|row| group(row, &names)).collect::<Result<_, FlowError>>()?;
        Ok(Answer {
            table: query.fold(groups),
            block: head.block,
            held: self.store.held_counts(org).await?,
            conflicts: self.store.open_conflicts(org).await?,
            rejected: self.store.rejected_count(org).await?,
        })
    }
}

fn group(row: &SpendRow, names: &Names) -> Result<Group, FlowError> {
    let (owner, product) = (names.owner(row.owner)?, names.product(row.product)?);
    let said = |text: Option<&Text>| text.map(|text| text.to_string());
    let mut values = vec![
        (Dimension::Period, Some(row.period.to_string())),
        (Dimension::Source, Some(names.text(row.source)?.to_owned())),
        (Dimension::Payee, Some(names.text(row.payee)?.to_owned())),
        (Dimension::Layer, Some(row.layer.name().to_owned())),
        (Dimension::Kind, Some(row.kind.name().to_owned())),
        (Dimension::Outcome, Some(row.outcome.name().to_owned())),
        (Dimension::Estimated, Some(row.estimated.to_string())),
    ];
    for (name, text) in owner.dimensions().into_iter().chain(product.dimensions()) {
        let dimension = Dimension::named(name).expect("every dimension of an owner or a product can be grouped by");
        values.push((dimension, said(text)));
    }
    // A reversal takes away what it mirrors.
    let sign = if row.kind == EntryKind::Reversal { -1 } else { 1 };
    let amount = if sign < 0 { -row.amount } else { row.amount };
    Ok(Group {
        at: row.quarter.map(|quarter| Instant::from_micros(quarter * 900_000_000)),
        values,
        currency: row.currency,
        sums: Sums { amount, calls: sign * row.calls },
    })
}
