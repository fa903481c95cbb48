//! A reconciliation on one page: of a run, a month or any days, as the reader's program wants it.

use super::super::answer::{Parameters, typed};
use super::super::caller::Known;
use super::super::exports::place;
use super::super::{App, Problem};
use crate::flow::access::Scope;
use crate::flow::reconcile::page::{Range, Shown};
use crate::id::BlockNumber;
use crate::report::reconciliation::Page;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;

/// What it is written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Json,
    Html,
    Csv,
    Parquet,
}

impl Form {
    const ALL: [(&str, &str, Form); 4] = [
        ("json", "application/json", Form::Json),
        ("html", "text/html", Form::Html),
        ("csv", "text/csv", Form::Csv),
        ("parquet", "application/vnd.apache.parquet", Form::Parquet),
    ];

    /// What the parameter `format` says, else the first kind that the client accepts and that there is, else JSON.
    pub fn wanted(parameters: &mut Parameters, headers: &HeaderMap) -> Result<Form, Problem> {
        if let Some(name) = parameters.take("format") {
            let found = Form::ALL.iter().find(|(known, ..)| *known == name);
            let unknown =
                || Problem::parameter("format", format!("`{name}` is no format; known are json, html, csv and parquet"));
            return found.map(|(.., form)| *form).ok_or_else(unknown);
        }
        let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kinds = accepted.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
        let found = kinds.filter_map(|kind| Form::ALL.iter().find(|(_, known, _)| *known == kind)).next();
        Ok(found.map_or(Form::Json, |(.., form)| *form))
    }
}

pub async fn show(State(service): App, known: Known, RawQuery(query): RawQuery, headers: HeaderMap) -> Result<Response, Problem> {
    let caller = known.may_everywhere(Scope::Read)?;
    let mut parameters = Parameters::of(query.as_deref())?;
    let number =
        |text: String| text.parse().map_err(|_| Problem::parameter("block", format!("`{text}` is no number of a block")));
    let block = parameters.take("block").map(number).transpose()?.map(BlockNumber);
    let (account, tolerance) = (parameters.take("account"), parameters.take("tolerance"));
    let rest = Range { account, block, tolerance, ..Range::default() };
    let (run, month) = (parameters.take("run"), parameters.take("month"));
    let (from, until) = (parameters.take("from"), parameters.take("until"));
    let form = Form::wanted(&mut parameters, &headers)?;
    parameters.nothing_else()?;
    let shown = Shown::asked(run, month.as_deref(), [from.as_deref(), until.as_deref()], rest).map_err(|why| {
        match why.split_once(": ") {
            Some((field, why)) => Problem::parameter(field, why),
            None => Problem::bad_request(why),
        }
    })?;
    // The days of a range are read from the book again, as those of an export are.
    let _place = matches!(shown, Shown::Range(_)).then(|| place(&service)).transpose()?;
    let page = service.farthing.reconciliation_page(caller.org, &shown).await.map_err(super::wrong_order)?;
    answered(&page, form).await
}

/// A page in the form that was wanted.
pub async fn answered(page: &Page, form: Form) -> Result<Response, Problem> {
    match form {
        Form::Json => Ok(typed(page.to_json().to_string(), "application/json")),
        Form::Html => Ok(typed(page.to_html(), "text/html; charset=utf-8")),
        Form::Csv => Ok(typed(page.to_table().to_csv(), "text/csv; charset=utf-8; header=present")),
        #[cfg(feature = "polars")]
        Form::Parquet => {
            let written = super::super::reports::to_parquet(page.to_table()).await?;
            Ok(typed(written, "application/vnd.apache.parquet"))
        }
        #[cfg(not(feature = "polars"))]
        Form::Parquet => Err(Problem::parameter("format", "this farthing was built without Parquet (the feature polars)")),
    }
}
