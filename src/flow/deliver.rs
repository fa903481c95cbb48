//! Delivering what is made by itself: a report is asked as of the instant for which it was scheduled, an export is of the time
//! that follows from it (`export`); both are written in their format, named after that instant and put where they belong, with
//! a note beside that says what it is. The note comes last and bears
//! the hash of the file, so whoever finds it finds a file that is whole; and an attempt that follows on one that broke off
//! after the note finds that there is nothing left to do.

mod export;
mod place;

use crate::export::scheduled::Scheduled;
use crate::flow::report::{Answer, Definitions};
use crate::flow::{Farthing, FlowError};
use crate::id::Org;
use crate::report::delivery::{Delivery, Format};
use crate::report::named::Named;
use crate::report::{Asked, Query};
use crate::store::Claim;
use place::{Draft, Place};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::iter;

/// A job: what is made, when, and where it goes. Files and runs bear its name.
#[derive(Clone, Debug)]
pub struct Job {
    pub name: String,
    pub what: What,
    pub delivery: Delivery,
}

/// What a job makes.
#[derive(Clone, Debug)]
pub enum What {
    Report(Box<Named>),
    Export(Box<Scheduled>),
}

impl Job {
    /// What its files are written as.
    pub const fn format(&self) -> &'static str {
        match &self.what {
            What::Report(report) => report.format.name(),
            What::Export(export) => export.format(),
        }
    }

    const fn ending(&self) -> &'static str {
        match &self.what {
            What::Report(report) => report.format.ending(),
            What::Export(export) => export.ending(),
        }
    }
}

/// The jobs among the reports: those that say when they are written.
pub fn jobs(reports: &[Named]) -> Vec<Job> {
    let job = |report: &Named| {
        let delivery = report.delivery.clone()?;
        Some(Job { name: report.name.clone(), what: What::Report(Box::new(report.clone())), delivery })
    };
    reports.iter().filter_map(job).collect()
}

/// The jobs among all that is defined: such reports, and every export.
pub fn all_jobs(definitions: &Definitions) -> Vec<Job> {
    let job = |export: &Scheduled| Job {
        name: export.name.clone(),
        what: What::Export(Box::new(export.clone())),
        delivery: export.delivery.clone(),
    };
    jobs(&definitions.reports).into_iter().chain(definitions.exports.iter().map(job)).collect()
}

/// A run of a job that is about to be made.
pub struct Order<'a> {
    pub org: Org,
    /// What the org is called: its files have a directory of their own.
    pub whose: &'a str,
    pub job: &'a Job,
    pub claim: &'a Claim,
}

/// A file, whatever belongs to it, and the note beside them.
struct Parcel {
    directory: String,
    file: String,
    made: Made,
    beside: Vec<(String, Vec<u8>)>,
    note: Value,
}

enum Made {
    Bytes(Vec<u8>),
    /// Written already, and not to be seen yet.
    Draft(Draft),
}

impl Farthing {
    /// Makes and writes what a run is about; answers in words what was written, or why it was not.
    pub async fn deliver(&self, order: &Order<'_>) -> Result<String, String> {
        let place = Place::open(&order.job.delivery.destination)?;
        if order.claim.attempt > 1
            && let Some(said) = already_delivered(&place, order).await?
        {
            return Ok(said);
        }
        let parcel = match &order.job.what {
            What::Report(report) => self.report_parcel(order, report).await?,
            What::Export(export) => self.export_parcel(order, export, &place).await?,
        };
        let said = said(&parcel.directory, &parcel.file, &parcel.note);
        let note = (order.note(), format!("{:#}\n", parcel.note).into_bytes());
        // Whoever slept through the end of its lease must not write over what another process has delivered since.
        if !self.store.is_claimed(order.org, order.claim).await.map_err(|e| e.in_full())? {
            return Err("another process took it over".to_owned());
        }
        match parcel.made {
            Made::Bytes(bytes) => place.put(&parcel.directory, &parcel.file, bytes, order.claim.attempt).await?,
            Made::Draft(draft) => place.publish(draft, &parcel.directory, &parcel.file).await?,
        }
        for (name, bytes) in parcel.beside.into_iter().chain(iter::once(note)) {
            place.put(&parcel.directory, &name, bytes, order.claim.attempt).await?;
        }
        Ok(said)
    }

    async fn report_parcel(&self, order: &Order<'_>, report: &Named) -> Result<Parcel, String> {
        // What `last month` means was settled when its time came, not when somebody got round to it.
        let query = report.query(&Asked::default(), order.claim.time.at);
        let query = query.map_err(|wrong| format!("{}: {}", wrong.parameter, wrong.why))?;
        let answer = self.report(order.org, &query).await.map_err(|e| match e {
            FlowError::Store(e) => e.in_full(),
            other => other.to_string(),
        })?;
        let mut note = order.note_of(&query, &answer);
        let bytes = written(answer, report.format).await?;
        note["bytes"] = json!(bytes.len());
        note["sha256"] = json!(sha256(&bytes));
        let (directory, file) = (order.directory(), order.file());
        Ok(Parcel { directory, file, made: Made::Bytes(bytes), beside: Vec::new(), note })
    }
}

/// A table as the bytes of a file: the same as `farthing report` writes.
async fn written(answer: Answer, format: Format) -> Result<Vec<u8>, String> {
    match format {
        Format::Csv => Ok(answer.table.to_csv().into_bytes()),
        Format::Json => Ok((answer.table.to_json() + "\n").into_bytes()),
        Format::Table => Ok(answer.table.to_text().into_bytes()),
        #[cfg(feature = "polars")]
        Format::Parquet => {
            // On a thread that may wait, where even a panic of polars ends nothing but this attempt.
            let written = tokio::task::spawn_blocking(move || crate::frame::to_parquet(&answer.table)).await;
            written.map_err(|ended| ended.to_string())?.map_err(|e| e.to_string())
        }
        #[cfg(not(feature = "polars"))]
        Format::Parquet => Err("this farthing was built without Parquet (the feature polars)".to_owned()),
    }
}

/// What an earlier attempt delivered before it could say so, if it did.
async fn already_delivered(place: &Place, order: &Order<'_>) -> Result<Option<String>, String> {
    let Some(note) = place.get(&order.directory(), &order.note()).await? else { return Ok(None) };
    let Ok(note) = serde_json::from_slice::<Value>(&note) else { return Ok(None) };
    let file = place.sha256(&order.directory(), &order.file()).await?;
    let is_whole = file.is_some_and(|sha256| note["sha256"] == json!(sha256));
    Ok(is_whole.then(|| said(&order.directory(), &order.file(), &note)))
}

fn said(directory: &str, file: &str, note: &Value) -> String {
    format!("{directory}/{file}: {} rows, the book up to block {}", note["rows"], note["block"])
}

fn sha256(bytes: &[u8]) -> String {
    in_hexadecimal(&Sha256::digest(bytes))
}

fn in_hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Order<'_> {
    fn directory(&self) -> String {
        format!("{}/{}", in_a_path(self.whose), self.job.name)
    }

    fn file(&self) -> String {
        format!("{}.{}", self.claim.time.in_a_file_name(), self.job.ending())
    }

    fn note(&self) -> String {
        format!("{}.note.json", self.claim.time.in_a_file_name())
    }

    /// What is in the file, and what is not in its amounts.
    fn note_of(&self, query: &Query, answer: &Answer) -> Value {
        let held: serde_json::Map<String, Value> =
            answer.held.iter().map(|(reason, count)| (reason.name().to_owned(), json!(count))).collect();
        let totals: Value = serde_json::from_str(&answer.table.totals_to_json()).unwrap_or_default();
        json!({
            "org": self.whose,
            "report": self.job.name,
            "file": self.file(),
            "schedule": self.job.delivery.schedule.to_string(),
            "scheduled": self.claim.time.local,
            "scheduled_at": self.claim.time.at.to_string(),
            "from": query.from.map(|from| from.to_string()),
            "until": query.until.map(|until| until.to_string()),
            "zone": query.zone.name(),
            "block": answer.block.0,
            "rows": answer.table.len(),
            "totals": totals,
            "beside": {"held": held, "conflicts": answer.conflicts, "rejected": answer.rejected},
        })
    }
}

/// The name of an org as the name of a directory: whatever is no plain letter becomes its bytes, as in an address.
fn in_a_path(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let places = name.bytes().enumerate();
    let part = |(place, byte): (usize, u8)| match is_plain(byte) && !(place == 0 && byte == b'.') {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    places.map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_an_org_leads_out_of_its_directory() {
        assert_eq!(in_a_path("acme-eu.2"), "acme-eu.2");
        assert_eq!(in_a_path("../x"), "%2E.%2Fx");
        assert_eq!(in_a_path("Bücher & Co"), "B%C3%BCcher%20%26%20Co");
    }
}
