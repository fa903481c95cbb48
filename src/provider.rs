//! What is fetched from others over HTTP: public price lists here, a provider's books in a module of its own. A request has
//! an end (timeouts), a size (a list is no film) and manners: it asks again only after a pause, for what may pass, and as
//! late as the other side wishes.

pub mod openrouter;
pub mod secret;

use std::time::Duration;

/// A client for lists.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// How long one attempt may take, from the first byte sent to the last one read.
    timeout: Duration,
    /// The pause before the second attempt; each further one is twice as long.
    first_pause: Duration,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The same as what the stated ETag stands for.
    Unchanged,
    Body {
        text: String,
        etag: Option<String>,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{url} did not answer within {} s", .within.as_secs())]
    TimedOut { url: String, within: Duration },
    #[error("cannot reach {url}: {why}")]
    Unreachable { url: String, why: String },
    #[error("{url} broke off in the middle of its answer: {why}")]
    BrokenOff { url: String, why: String },
    #[error("{url} answered {status}")]
    Status { url: String, status: u16 },
    #[error("{url} answered with {found} instead of JSON")]
    NotJson { url: String, found: String },
    #[error("{url} answered with more than {} MB", LARGEST >> 20)]
    TooLarge { url: String },
    #[error("{url} is no address that can be fetched: {why}")]
    Address { url: String, why: String },
}

const LARGEST: usize = 64 << 20;
const ATTEMPTS: u32 = 4;
/// However long the other side asks us to wait, a job has an end.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Client {
    pub fn new(timeout: Duration, first_pause: Duration) -> Result<Client, FetchError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("farthing/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .timeout(timeout)
            .build()
            .map_err(|e| FetchError::Unreachable { url: "anything".to_owned(), why: in_full(&e) })?;
        Ok(Client { http, timeout, first_pause })
    }

    /// A JSON document, unless it is still what the ETag stands for. What may pass (no answer, 429, 5xx) is tried again.
    pub async fn get(&self, url: &str, etag: Option<&str>) -> Result<Answer, FetchError> {
        let mut pause = self.first_pause;
        for attempt in 1.. {
            let (error, wished) = match self.try_get(url, etag).await {
                Ok(answer) => return Ok(answer),
                Err((error, wished)) => (error, wished),
            };
            if attempt == ATTEMPTS || !error.may_pass() {
                return Err(error);
            }
            // Somewhat random, so that many installations do not come back at the same moment.
            let pause_now = wished.unwrap_or(pause + pause.mul_f64(jitter())).min(LONGEST_PAUSE);
            tracing::warn!(error = %error, attempt, pause_ms = pause_now.as_millis() as u64, "a list could not be fetched yet");
            tokio::time::sleep(pause_now).await;
            pause *= 2;
        }
        unreachable!("the last attempt returns")
    }

    async fn try_get(&self, url: &str, etag: Option<&str>) -> Result<Answer, (FetchError, Option<Duration>)> {
        let told = |error| (error, None);
        let mut request = self.http.get(url).header("accept", "application/json");
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        let mut answer = request.send().await.map_err(|e| told(self.error(url, &e.without_url())))?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (status, etag, kind) = (answer.status().as_u16(), header("etag"), header("content-type"));
        let wished = header("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        match status {
            304 => return Ok(Answer::Unchanged),
            200 => {}
            _ => return Err((FetchError::Status { url: shown(url), status }, wished)),
        }
        if let Some(kind) = kind.filter(|kind| kind.contains("html")) {
            return Err(told(FetchError::NotJson { url: shown(url), found: kind }));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|e| told(self.broken_off(url, &e.without_url())))? {
            if body.len() + piece.len() > LARGEST {
                return Err(told(FetchError::TooLarge { url: shown(url) }));
            }
            body.extend_from_slice(&piece);
        }
        let found = |found: &str| told(FetchError::NotJson { url: shown(url), found: found.to_owned() });
        let text = String::from_utf8(body).map_err(|_| found("bytes that are no text"))?;
        match text.trim_start().chars().next() {
            Some('{' | '[') => Ok(Answer::Body { text, etag }),
            Some(_) => Err(found("something else")),
            None => Err(found("nothing")),
        }
    }

    fn error(&self, url: &str, e: &reqwest::Error) -> FetchError {
        let url = shown(url);
        if e.is_builder() {
            FetchError::Address { url, why: in_full(e) }
        } else if e.is_timeout() {
            FetchError::TimedOut { url, within: self.timeout }
        } else {
            FetchError::Unreachable { url, why: in_full(e) }
        }
    }

    fn broken_off(&self, url: &str, e: &reqwest::Error) -> FetchError {
        match e.is_timeout() {
            true => self.error(url, e),
            false => FetchError::BrokenOff { url: shown(url), why: in_full(e) },
        }
    }
}

pub const TIMEOUT: Duration = Duration::from_secs(60);
/// The pause before a second attempt.
pub const FIRST_PAUSE: Duration = Duration::from_secs(2);

impl FetchError {
    fn may_pass(&self) -> bool {
        match self {
            FetchError::TimedOut { .. } | FetchError::Unreachable { .. } | FetchError::BrokenOff { .. } => true,
            FetchError::Status { status, .. } => *status == 429 || *status >= 500,
            FetchError::NotJson { .. } | FetchError::TooLarge { .. } | FetchError::Address { .. } => false,
        }
    }
}

/// Between nothing and a half.
fn jitter() -> f64 {
    let mut byte = [0];
    getrandom::fill(&mut byte).map_or(0.25, |()| f64::from(byte[0]) / 512.0)
}

/// An address as it may be kept and told: without credentials, and without a query, which may be one.
pub fn shown(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut parsed) => {
            let _ = (parsed.set_username(""), parsed.set_password(None));
            if parsed.query().is_some() {
                parsed.set_query(Some("..."));
            }
            parsed.to_string()
        }
        Err(_) => "an address that is none".to_owned(),
    }
}

/// An error with its causes; an address in it carries no credentials.
fn in_full(e: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source: Option<&dyn std::error::Error> = Some(e);
    while let Some(e) = source {
        let said = e.to_string();
        if !text.contains(&said) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&said);
        }
        source = e.source();
    }
    text
}
