//! Answers and questions that several resources share: JSON replies, query parameters by name, pages.

use super::Problem;
use crate::flow::FlowError;
use crate::time::Instant;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A JSON reply.
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        // Replies are plain structs of texts and numbers; there is nothing in them that could not be written.
        let body = serde_json::to_vec(&self.0).expect("a reply is always JSON");
        typed(body, "application/json")
    }
}

pub fn typed(body: impl IntoResponse, content_type: &'static str) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Does something that is not to stop in the middle because whoever asked for it hung up.
pub async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, FlowError>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(work).await {
        Ok(done) => Ok(done?),
        Err(e) => {
            tracing::error!(error = %e, "a request ended in a panic");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "panic", "The program made a mistake", "see its log"))
        }
    }
}

/// A page of things, and where the next one begins.
#[derive(Serialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The parameters of a query string, taken out by name; what nobody takes is a mistake of the caller.
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub fn of(query: Option<&str>) -> Result<Parameters, Problem> {
        let uri: axum::http::Uri = format!("/?{}", query.unwrap_or_default())
            .parse()
            .map_err(|_| Problem::bad_request("the query string is no query string"))?;
        let axum::extract::Query(pairs) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri)
            .map_err(|e| Problem::bad_request(format!("the query string cannot be read: {e}")))?;
        Ok(Parameters(pairs))
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.remove(place).1).filter(|value| !value.is_empty())
    }

    /// All parameters of the form `prefix.x`, by `x`.
    pub fn take_all(&mut self, prefix: &str) -> Vec<(String, String)> {
        let mut taken = Vec::new();
        self.0.retain(|(name, value)| match name.strip_prefix(prefix) {
            Some(rest) => {
                taken.push((rest.to_owned(), value.clone()));
                false
            }
            None => true,
        });
        taken
    }

    pub fn instant(&mut self, name: &str) -> Result<Option<Instant>, Problem> {
        let read = |value: String| Instant::parse_date_or_instant(&value).map_err(|e| Problem::parameter(name, e.to_string()));
        self.take(name).map(read).transpose()
    }

    pub fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(Problem::parameter(name, format!("`{other}` is neither true nor false"))),
        }
    }

    /// How many things a page may have.
    pub fn limit(&mut self) -> Result<i64, Problem> {
        match self.take("limit") {
            None => Ok(100),
            Some(value) => match value.parse() {
                Ok(limit @ 1..=1000) => Ok(limit),
                _ => Err(Problem::parameter("limit", format!("`{value}` is no number from 1 to 1000"))),
            },
        }
    }

    /// Where a page begins: a number that an earlier page gave.
    pub fn cursor(&mut self) -> Result<i64, Problem> {
        match self.take("cursor") {
            None => Ok(0),
            Some(value) => value.parse().map_err(|_| Problem::parameter("cursor", "it is not one that an earlier page gave")),
        }
    }

    pub fn nothing_else(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::parameter(name, "the route does not know this parameter")),
        }
    }
}

/// The cursor after a full page.
pub fn next_page<T>(items: &[T], limit: i64, cursor: impl Fn(&T) -> String) -> Option<String> {
    items.last().filter(|_| items.len() as i64 == limit).map(cursor)
}

/// A number in a path.
pub fn number(text: &str, what: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::not_found(format!("`{text}` is no {what}")))
}
