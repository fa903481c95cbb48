//! Adjustments: fees, credits and decisions, each once per idempotency key.

use super::answer::{Json, Page, Parameters, next_page, to_the_end};
use super::caller::Known;
use super::receive::read_text;
use super::{App, Problem};
use crate::flow::access::Scope;
use crate::flow::adjust::Wish;
use crate::flow::now;
use crate::ledger::Account;
use crate::ledger::decision::{About, Adjustment};
use crate::money::{Amount, Currency};
use crate::time::Instant;
use crate::usage::Text;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    amount: String,
    currency: Option<String>,
    debit: String,
    credit: String,
    reason: String,
    occurred_at: Option<String>,
    model: Option<String>,
}

#[derive(Serialize)]
pub struct AdjustmentBody {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    amount: String,
    currency: String,
    debit: String,
    credit: String,
    reason: String,
    author: String,
    occurred_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<String>>,
}

pub async fn create(
    State(service): App,
    known: Known,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<AdjustmentBody>), Problem> {
    let caller = known.may_everywhere(Scope::Admin)?;
    let missing = || {
        Problem::bad_request("an adjustment is posted once per id, so it needs one")
            .field("Idempotency-Key")
            .hint("send the header Idempotency-Key with an id of your own")
    };
    let id = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).and_then(Text::new).ok_or_else(missing)?;
    let body = read_text(&service, &headers, body).await?;
    let asked: Asked = serde_json::from_str(&body).map_err(|e| Problem::bad_request(e.to_string()))?;
    let wish = asked.wish(id, &caller.key)?;
    let farthing = service.farthing.clone();
    let adjusted = to_the_end(async move { farthing.adjust(caller.org, &wish).await }).await?;
    let status = if adjusted.was_there { StatusCode::OK } else { StatusCode::CREATED };
    let entries = adjusted.entries.iter().map(|booked| booked.entry.sequence.to_string()).collect();
    Ok((status, Json(AdjustmentBody { entries: Some(entries), ..AdjustmentBody::new(&adjusted.adjustment) })))
}

pub async fn list(State(service): App, known: Known, RawQuery(query): RawQuery) -> Result<Json<Page<AdjustmentBody>>, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let (after, limit) = (parameters.cursor()?, parameters.limit()?);
    parameters.nothing_else()?;
    let found = service.farthing.adjustments(caller.org, after, limit).await?;
    let body = |(record, adjustment): &(i64, Adjustment)| AdjustmentBody {
        record: Some(record.to_string()),
        ..AdjustmentBody::new(adjustment)
    };
    let items: Vec<AdjustmentBody> = found.iter().map(body).collect();
    let next = next_page(&items, limit, |item| item.record.clone().unwrap_or_default());
    Ok(Json(Page { items, next }))
}

impl Asked {
    fn wish(self, id: Text, author: &str) -> Result<Wish, Problem> {
        let wrong = |field: &'static str| move |why: String| Problem::bad_request(why).field(field);
        let text = |field: &'static str, text: &str| {
            Text::new(text).ok_or_else(|| Problem::bad_request("it is empty, too long or has control characters").field(field))
        };
        let adjustment = Adjustment {
            id,
            amount: Amount::parse(&self.amount).map_err(|e| wrong("amount")(e.to_string()))?,
            currency: match self.currency {
                Some(currency) => currency.parse().map_err(|_| wrong("currency")(format!("`{currency}` is no currency")))?,
                None => Currency::USD,
            },
            debit: Account::parse(&self.debit).map_err(wrong("debit"))?,
            credit: Account::parse(&self.credit).map_err(wrong("credit"))?,
            reason: text("reason", &self.reason)?,
            author: text("author", author)?,
            occurred_at: match &self.occurred_at {
                Some(at) => Instant::parse_date_or_instant(at).map_err(|e| wrong("occurred_at")(e.to_string()))?,
                None => now(),
            },
            about: About { model: self.model.as_deref().map(|model| text("model", model)).transpose()?, ..About::default() },
        };
        adjustment.check().map_err(|found| Problem::bad_request(found.why).field(found.field))?;
        Ok(Wish { adjustment, with_time: self.occurred_at.is_some() })
    }
}

impl AdjustmentBody {
    fn new(adjustment: &Adjustment) -> AdjustmentBody {
        AdjustmentBody {
            id: adjustment.id.to_string(),
            record: None,
            amount: adjustment.amount.to_string(),
            currency: adjustment.currency.to_string(),
            debit: adjustment.debit.as_str().to_owned(),
            credit: adjustment.credit.as_str().to_owned(),
            reason: adjustment.reason.to_string(),
            author: adjustment.author.to_string(),
            occurred_at: adjustment.occurred_at.to_string(),
            model: adjustment.about.model.as_ref().map(Text::to_string),
            entries: None,
        }
    }
}
