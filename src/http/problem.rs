//! Errors as RFC 9457 problems: what is wrong, with which field, and what to do about it.

use crate::flow::FlowError;
use crate::flow::intake::{NotTaken, Unreadable};
use crate::store::{Fault, StoreError};
use crate::usage::reading::Rejected;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::fmt;

/// An answer that says no.
#[derive(Debug)]
pub struct Problem(Box<Facts>);

#[derive(Debug)]
struct Facts {
    status: StatusCode,
    /// A word for the kind of problem; it ends the type's address.
    kind: &'static str,
    title: &'static str,
    detail: String,
    field: Option<String>,
    hint: Option<String>,
    retry_after: Option<u32>,
    more: Map<String, Value>,
}

impl Problem {
    pub fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Problem {
        let detail = detail.into();
        Problem(Box::new(Facts { status, kind, title, detail, field: None, hint: None, retry_after: None, more: Map::new() }))
    }

    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", "The request cannot be understood", detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    pub fn field(mut self, field: impl Into<String>) -> Problem {
        self.0.field = Some(field.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.0.hint = Some(hint.into());
        self
    }

    pub fn with(mut self, name: &str, value: Value) -> Problem {
        self.0.more.insert(name.to_owned(), value);
        self
    }

    pub fn retry_after(mut self, seconds: u32) -> Problem {
        self.0.retry_after = Some(seconds);
        self
    }

    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// A query parameter that cannot be used.
    pub fn parameter(name: &str, why: impl Into<String>) -> Problem {
        Problem::bad_request(why).field(name)
    }
}

/// In one line, for clients that read no problem documents.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.title, self.0.detail)?;
        self.0.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let facts = *self.0;
        let mut body = json!({
            "type": format!("/docs#{}", facts.kind),
            "title": facts.title,
            "status": facts.status.as_u16(),
            "detail": facts.detail,
        });
        let fields = body.as_object_mut().expect("it was made an object");
        fields.extend(facts.field.map(|field| ("field".to_owned(), Value::String(field))));
        fields.extend(facts.hint.map(|hint| ("hint".to_owned(), Value::String(hint))));
        fields.extend(facts.more);
        let mut response = (facts.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = facts.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<NotTaken> for Problem {
    fn from(e: NotTaken) -> Problem {
        let (kind, title) = match e {
            NotTaken::Full => ("queue-full", "The queue is full"),
            NotTaken::Closing => ("closing", "The service is shutting down"),
            NotTaken::NotCommitted(_) => ("not-committed", "The events could not be committed"),
        };
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, e.to_string())
            .hint("send the same events again later; what was recorded already is recognised")
            .retry_after(2)
    }
}

impl From<Unreadable> for Problem {
    fn from(e: Unreadable) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "unreadable", "The body cannot be read; nothing of it was posted", e.to_string())
            .with("line", e.line.into())
            .with("column", e.column.into())
    }
}

impl From<&Rejected> for Problem {
    fn from(e: &Rejected) -> Problem {
        let title = "This is not a usage event";
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "rejected", title, e.to_string()).field(e.field.clone());
        match e.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

impl From<StoreError> for Problem {
    fn from(e: StoreError) -> Problem {
        tracing::error!(error = %e.in_full(), "a request failed");
        let status =
            if e.fault() == Fault::Transient { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
        Problem::new(status, "store", "The database did not do it", e.to_string()).retry_after(2)
    }
}

impl From<FlowError> for Problem {
    fn from(e: FlowError) -> Problem {
        match e {
            FlowError::Store(e) => e.into(),
            FlowError::NotThere(what) => Problem::not_found(what),
            FlowError::Conflict(why) => Problem::new(StatusCode::CONFLICT, "conflict", "That id means something else", why),
            FlowError::Refused(why) => Problem::new(StatusCode::CONFLICT, "refused", "That cannot be done", why),
            FlowError::TooLarge(e) => Problem::new(StatusCode::CONFLICT, "too-large", "The sum is too large", e.to_string()),
            FlowError::BaseMoved { stated, newest, ref changes } => {
                let changes: Vec<String> = changes.iter().map(|change| change.to_string()).collect();
                Problem::new(StatusCode::CONFLICT, "base-moved", "Another version was published in between", e.to_string())
                    .hint(format!("look at what it changed and publish over version {newest} instead of {stated}"))
                    .with("changes", changes.into())
            }
            FlowError::Doubtful(findings) => {
                let lines: Vec<String> = findings.iter().map(|finding| finding.to_string()).collect();
                let detail = format!("{} findings; nothing was published", lines.len());
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "doubtful", "The checks have something against it", detail)
                    .hint("mend the errors; warnings that are right after all are published with accept=true")
                    .with("findings", lines.into())
            }
            other => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "catalog", "The catalog does not hold together", other.to_string())
            }
        }
    }
}

pub async fn no_such_route(uri: axum::http::Uri) -> Problem {
    Problem::not_found(format!("there is no {}", uri.path())).hint("GET /docs lists what there is")
}

pub async fn no_such_method(method: axum::http::Method, uri: axum::http::Uri) -> Problem {
    let detail = format!("{} takes no {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no-such-method", "The route does not take this method", detail)
}
