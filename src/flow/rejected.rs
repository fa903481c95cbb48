//! What was sent and is no event: kept without its content, and tried again after somebody mended the reader.

use crate::flow::ingest::Prepared;
use crate::flow::{Farthing, FlowError, now};
use crate::id::Org;
use crate::store::RejectedBody;
use crate::usage::dialect::{Context, Dialect, Piece, Told};
use crate::usage::reading::{Object, Rejected, string};

/// Larger bodies are kept by their hash and size alone.
const MAX_KEPT: usize = 16_384;

impl RejectedBody {
    /// A piece of a body that is no event, as it may be kept.
    pub fn of(dialect: Dialect, piece: &Piece<'_>, why: &Rejected, context: &Context) -> RejectedBody {
        let text = piece.text();
        let body = Some(piece).filter(|_| text.len() <= MAX_KEPT * 4).and_then(Piece::without_content);
        let body = body.filter(|body| body.len() <= MAX_KEPT);
        RejectedBody {
            rejected: blake3::hash(text.as_bytes()).to_hex()[..24].to_owned(),
            dialect: dialect.name().to_owned(),
            source: context.source.as_deref().map(str::to_owned),
            event_id: id_of(piece),
            field: storable(&why.field),
            detail: storable(&why.problem.to_string()),
            body,
            size: piece.size() as i64,
            times: 1,
            received_at: context.received_at,
        }
    }
}

/// The id that a broken event may still have.
pub fn id_of(piece: &Piece<'_>) -> Option<String> {
    if let Piece::Span(span) = piece {
        return span.read().ok().and_then(|span| span.id());
    }
    let text = piece.text();
    let mut body = Object::parse(&text, "").ok()?;
    let id = NAMES_OF_IDS.into_iter().find_map(|name| string(body.take(name)?).map(|id| id.into_owned()))?;
    (!id.is_empty() && id.len() <= crate::usage::MAX_TEXT && !id.contains(char::is_control)).then_some(id)
}

/// Under which producers write the id of an event.
const NAMES_OF_IDS: [&str; 6] = ["id", "event_id", "litellm_call_id", "request_id", "usage_event_id", "delivery_id"];

/// A message quotes what was sent, so it may hold anything; this is what both databases take.
fn storable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}

/// What a retry of rejected bodies came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    pub tried: usize,
    pub accepted: usize,
    pub still_rejected: usize,
}

impl Farthing {
    /// Reads rejected bodies again; those that are events now are committed and forgotten here.
    pub async fn retry_rejected(&self, org: Org) -> Result<Mended, FlowError> {
        let in_force = self.in_force(org).await?;
        let (mut mended, mut after) = (Mended::default(), String::new());
        loop {
            let page = self.store.rejected(org, &after, 200).await?;
            let Some(last) = page.last() else { return Ok(mended) };
            after = last.rejected.clone();
            for body in &page {
                mended.tried += 1;
                let source = body.source.as_deref().and_then(|source| crate::usage::reading::text("source", source).ok());
                let context = Context { received_at: now(), source, strict: false };
                let dialect = Dialect::named(&body.dialect);
                let read = body.body.as_deref().zip(dialect).map(|(json, dialect)| read_again(json, dialect, &context));
                let Some(Ok(told)) = read else {
                    mended.still_rejected += 1;
                    continue;
                };
                let prepared = told.into_iter().filter_map(|told| match told {
                    Told::Event(event) => Some(self.prepare(org, &in_force, *event)),
                    Told::Update(event) => Some(self.prepare_update(org, &in_force, *event)),
                    Told::Nothing(_) => None,
                });
                let prepared: Vec<Prepared> = prepared.collect();
                self.commit_events(&prepared, || false).await.map_err(crate::flow::held::refused)?;
                self.store.forget_rejected(org, &body.rejected).await?;
                mended.accepted += 1;
            }
        }
    }
}

fn read_again(json: &str, dialect: Dialect, context: &Context) -> Result<Vec<Told>, Rejected> {
    dialect.cut(json)?.iter().map(|piece| dialect.read(piece, context)).collect()
}
