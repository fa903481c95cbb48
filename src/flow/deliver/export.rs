//! An export on its way into a place: rows are written to a file as they are read, so memory does not follow the book; the
//! file is what a person would get for the same question of the same block. What a run is of follows from the time for which
//! it was scheduled. A month that is not closed yet fails the run in words, and is tried again like anything that fails.

use super::place::{Draft, Place};
use super::{Made, Order, Parcel};
use crate::export::accounting::{Grain, Manner};
use crate::export::manifest::Manifest;
use crate::export::scheduled::{Scheduled, Settled, Table, What};
use crate::export::{Format, Notation};
use crate::flow::export::files::{ExportError, Wish, asked};
use crate::flow::export::{PARQUET, Prefix, Question};
use crate::flow::{Farthing, FlowError, focus, now};
use crate::focus::{Version, metadata};
use crate::id::Org;
use crate::report::Clock;
use crate::time::Month;
use serde_json::{Map, Value, json};

impl Farthing {
    pub(super) async fn export_parcel(&self, order: &Order<'_>, export: &Scheduled, place: &Place) -> Result<Parcel, String> {
        let settled = export.settled(order.claim.time.at)?;
        if let Settled::ClosedMonth(month) = settled {
            self.is_closed(order.org, month).await?;
        }
        let draft = place.draft(&order.directory(), &order.file(), order.claim.attempt).await?;
        let mut note = order.note_of_export(export, settled);
        let beside = match export.what {
            What::Entries { format, grain, clock } => {
                let question = question(settled, clock, export.team.clone());
                let manifest = self.write_entries(order, &question, (format, grain), &draft).await?;
                extend(&mut note, told(&manifest));
                (format!("{}.manifest.json", order.file()), manifest.to_json())
            }
            What::Focus { format, grain, version } => {
                let wish = focus::Wish { grain, team: export.team.clone(), ..charges(settled) };
                let written = self.write_charges(order.org, &wish, version, format, &draft).await.map_err(export_in_words)?;
                extend(&mut note, json!({"block": written.block.0, "rows": written.rows, "entries": written.entries}));
                let (bytes, sha256) = draft.read_through().await?;
                extend(&mut note, json!({"bytes": bytes, "sha256": sha256, "version": version.name()}));
                let name = format!("{}.focus-metadata.json", order.claim.time.in_a_file_name());
                (name, metadata::metadata(version, now()))
            }
        };
        if export.team.is_none() {
            note["beside"] = self.beside(order.org).await.map_err(in_words)?;
        }
        let (directory, file) = (order.directory(), order.file());
        Ok(Parcel { directory, file, made: Made::Draft(draft), beside: vec![(beside.0, beside.1.into_bytes())], note })
    }

    async fn is_closed(&self, org: Org, month: Month) -> Result<(), String> {
        let head = self.store.head(org).await.map_err(|e| e.in_full())?;
        match head.first_open > month {
            true => Ok(()),
            false => Err(format!("{month} is not closed; `farthing close {month}` closes it, and then this is made")),
        }
    }

    async fn write_entries(
        &self,
        order: &Order<'_>,
        question: &Question,
        (format, grain): (Format, Grain),
        draft: &Draft,
    ) -> Result<Manifest, String> {
        let (clock, whose) = (question.clock, order.whose);
        format.notation(Manner::default(), PARQUET)?;
        let notation = |prefix: &Prefix| -> Box<dyn Notation> {
            let heading = format!(
                "entries of {whose} up to block {}, hash {}, by when they were {}",
                prefix.block,
                prefix.hash,
                clock.name()
            );
            format.notation(Manner { grain, clock, heading }, PARQUET).expect("it was made before")
        };
        let asked = asked(whose, question, format, grain, None);
        let wish = Wish { question: question.clone(), asked, extension: format.extension(), notation: &notation };
        let to = draft.create()?;
        let manifest = self.export_as(order.org, &wish, Box::new(to), &order.file()).await;
        manifest.map_err(export_in_words)
    }

    async fn write_charges(
        &self,
        org: Org,
        wish: &focus::Wish,
        version: Version,
        format: Table,
        draft: &Draft,
    ) -> Result<focus::Exported, ExportError> {
        match format {
            Table::Csv => self.focus_as_csv(org, wish, version, draft.path(), |_| {}).await,
            Table::Parquet => self.focus_as_parquet(org, wish, version, draft.path()).await,
        }
    }

    /// What has no amount yet, and so is in no export.
    async fn beside(&self, org: Org) -> Result<Value, FlowError> {
        let held = self.store.held_counts(org).await?;
        let held: Map<String, Value> = held.iter().map(|(reason, count)| (reason.name().to_owned(), json!(count))).collect();
        let (conflicts, rejected) = (self.store.open_conflicts(org).await?, self.store.rejected_count(org).await?);
        Ok(json!({"held": held, "conflicts": conflicts, "rejected": rejected}))
    }
}

impl Order<'_> {
    fn note_of_export(&self, export: &Scheduled, settled: Settled) -> Value {
        let what = match export.what {
            What::Entries { clock, .. } => json!({"export": "entries", "clock": clock.name()}),
            What::Focus { .. } => json!({"export": "focus", "clock": Clock::Occurred.name()}),
        };
        let time = match settled {
            Settled::Range(range) => {
                json!({"from": range.from.to_string(), "until": range.until.to_string(), "zone": export.zone.name()})
            }
            Settled::ClosedMonth(month) => json!({"period": month.to_string()}),
        };
        let mut note = json!({
            "org": self.whose,
            "name": self.job.name,
            "file": self.file(),
            "team": export.team,
            "schedule": self.job.delivery.schedule.to_string(),
            "scheduled": self.claim.time.local,
            "scheduled_at": self.claim.time.at.to_string(),
        });
        extend(&mut note, what);
        extend(&mut note, time);
        note
    }
}

fn question(settled: Settled, clock: Clock, team: Option<String>) -> Question {
    let nothing = Question { clock, team, ..Question::default() };
    match settled {
        Settled::Range(range) => Question { from: Some(range.from), until: Some(range.until), ..nothing },
        Settled::ClosedMonth(month) => Question { period: Some(month), ..nothing },
    }
}

fn charges(settled: Settled) -> focus::Wish {
    match settled {
        Settled::Range(range) => focus::Wish { from: Some(range.from), until: Some(range.until), ..focus::Wish::default() },
        Settled::ClosedMonth(month) => focus::Wish { billed_in: Some(month), ..focus::Wish::default() },
    }
}

fn told(manifest: &Manifest) -> Value {
    let part = &manifest.parts[0];
    json!({"block": manifest.book.block, "hash": manifest.book.hash, "rows": manifest.rows, "totals": manifest.sums,
           "bytes": part.bytes, "sha256": part.sha256})
}

fn extend(note: &mut Value, more: Value) {
    if let (Value::Object(note), Value::Object(more)) = (note, more) {
        note.extend(more);
    }
}

fn export_in_words(e: ExportError) -> String {
    match e {
        ExportError::Flow(e) => in_words(e),
        other => other.to_string(),
    }
}

fn in_words(e: FlowError) -> String {
    match e {
        FlowError::Store(e) => e.in_full(),
        other => other.to_string(),
    }
}
