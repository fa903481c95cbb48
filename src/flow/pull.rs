//! Pulling: the ledger table of a gateway that pushes nothing is followed from where the last pull ended. Rows are written
//! there in the order of neither their second nor their id, so every pull begins a while before that place; what it meets
//! again is recognised by its id, as everything is.

use crate::flow::ingest::Outcome;
use crate::flow::intake::{Received, Taken};
use crate::flow::{Farthing, FlowError, now};
use crate::id::Org;
use crate::store::{OceansTable, Place};
use crate::usage::Text;
use crate::usage::dialect::{Context, Dialect, Piece};

/// How far back a pull begins, in seconds: longer than any transaction that writes a row there.
const OVERLAP: i64 = 900;
/// Rows of one commit.
const PAGE: i64 = 1_000;

impl Farthing {
    /// Takes in what is new in the table, as events of a source. `progress` is told what became of each page's rows.
    pub async fn pull_oceans(
        &self,
        org: Org,
        table: &OceansTable,
        source: &Text,
        mut progress: impl FnMut(Vec<Taken>),
    ) -> Result<(), FlowError> {
        let ended = self.store.pulled(org, source).await?.unwrap_or_default();
        // A row that claims to be of the future must not keep those of today from being read.
        let present = now().micros() / 1_000_000;
        let is_past = |place: &Place| place.at <= present;
        let mut mark = if is_past(&ended) { ended.clone() } else { Place { at: present, ..ended.clone() } };
        let mut after = Place { at: mark.at.saturating_sub(OVERLAP), id: String::new() };
        let context = Context { received_at: now(), source: Some(source.clone()), strict: false };
        loop {
            let rows = table.page(&after, PAGE).await?;
            let Some(last) = rows.last().map(|row| row.place.clone()) else { return Ok(()) };
            let received = rows.iter().enumerate().map(|(index, row)| {
                let piece = Piece::Json(&row.json);
                Received { index, line: None, told: Dialect::Oceans.read(&piece, &context), piece }
            });
            let sorted = self.sort(org, received.collect(), Dialect::Oceans, &context, None).await?;
            let taken = sorted.commit_by(self).await.map_err(crate::flow::held::refused)?;
            // Noted only when the rows are in the book: a pull that breaks off is taken up where it was.
            let new =
                taken.iter().filter(|taken| !matches!(taken.outcome, Outcome::AlreadyPresent | Outcome::Rejected(_))).count();
            let read = rows.iter().map(|row| &row.place).rfind(|place| is_past(place));
            mark = mark.max(read.cloned().unwrap_or_default());
            self.store.note_pulled(org, source, &mark, new as i64, now()).await?;
            progress(taken);
            after = last;
        }
    }
}
