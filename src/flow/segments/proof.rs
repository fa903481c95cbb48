//! Whether segments say what the entries say: both are asked the same questions. A scan reads no segment, and one that cannot be
//! read is told of instead of being passed over.

use super::Segment;
use crate::flow::{Farthing, FlowError, in_background};
use crate::id::{BlockNumber, Org};
use crate::report::{AsOf, Clock, Dimension, Measure, Query, Table};
use crate::segment::{Fault, SegmentError};
use crate::time::Instant;
use std::sync::Arc;

/// How often both are asked again before they are said to differ: a name may be erased between the answers.
const LOOKS: u32 = 3;

impl Farthing {
    /// All that whole entries have of numbers, and what their meters have, up to a block and of what was recorded from an instant
    /// on; by a scan from the entries, otherwise from segments wherever there are some.
    pub async fn answers(
        &self,
        org: Org,
        from: Option<Instant>,
        block: BlockNumber,
        scan: bool,
    ) -> Result<Vec<Table>, FlowError> {
        let mut answers = Vec::new();
        for query in questions(from, block, scan) {
            answers.push(self.report(org, &query).await?.table);
        }
        Ok(answers)
    }

    /// The file of the first segment that does not say what its entries say, and why not.
    pub async fn wrong_segment(&self, org: Org) -> Result<Option<(String, String)>, FlowError> {
        for segment in self.segments_until(org, i64::MAX).await? {
            if let Some(why) = self.wrong_with(org, &segment).await? {
                let file = segment.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Ok(Some((file, why)));
            }
        }
        Ok(None)
    }

    async fn wrong_with(&self, org: Org, segment: &Arc<Segment>) -> Result<Option<String>, FlowError> {
        let (first, block) = (segment.manifest.from, BlockNumber(segment.manifest.block));
        // A segment begins with a block, and no two blocks were sealed at one time.
        let from = self.store.spans(org, first, first + 1).await?.first().map(|span| span.recorded_at);
        for _ in 0..LOOKS {
            // A report reads the book where it cannot read a segment, and would hold it against itself.
            let asked = segment.clone();
            match in_background(move || asked.can_answer(&questions(from, block, false))).await? {
                Ok(()) => {}
                Err(e) if e.fault == Fault::Away => return Err(FlowError::Refused(e.to_string())),
                // What was put together with others meanwhile was read back when those were written.
                Err(e) => return Ok(segment.path.exists().then(|| e.to_string())),
            }
            if self.answers(org, from, block, false).await? == self.answers(org, from, block, true).await? {
                return Ok(None);
            }
        }
        Ok(Some("it does not say what its entries say; `farthing rebuild segments` makes it anew".to_owned()))
    }
}

impl Segment {
    fn can_answer(&self, questions: &[Query]) -> Result<(), SegmentError> {
        questions.iter().try_for_each(|query| self.stretch(query, (i64::MIN, i64::MAX)).map(drop))
    }
}

fn questions(from: Option<Instant>, block: BlockNumber, scan: bool) -> [Query; 2] {
    use Dimension::{Kind, Meter, Model, Period, Team, User};
    use Measure::{Amount, CacheSavings, Calls, Drift, Entries, List, Quantity, Rated, Reported, Tokens};
    let clock = if from.is_some() { Clock::Recorded } else { Clock::Occurred };
    let query = |by: Vec<Dimension>, show: Vec<Measure>| Query {
        by,
        show,
        as_of: Some(AsOf::Block(block)),
        scan,
        from,
        clock,
        ..Query::default()
    };
    [
        query(
            vec![Kind, Period, Team, User, Model],
            vec![Amount, Calls, Entries, Tokens, List, Rated, Reported, Drift, CacheSavings],
        ),
        query(vec![Kind, Model, Meter], vec![Amount, Quantity, Tokens]),
    ]
}
