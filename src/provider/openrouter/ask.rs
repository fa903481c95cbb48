//! One question to OpenRouter and its answer: with the key it needs, within limits of time and size, asked again after a pause
//! for what may pass.

use super::{INFERENCE, MANAGEMENT, Openrouter, OpenrouterError, Received};
use crate::provider::{ATTEMPTS, FetchError, LARGEST, LONGEST_PAUSE, in_full, jitter, shown};
use crate::time::Instant;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use std::time::Duration;

pub(super) struct Question {
    method: Method,
    url: Url,
    body: Option<String>,
    /// The kind of key it needs, and the variable that holds it.
    key: Option<(&'static str, &'static str)>,
}

impl Question {
    pub(super) fn new(method: Method, url: Url) -> Question {
        Question { method, url, body: None, key: None }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Question {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    pub(super) fn with_body(self, body: String) -> Question {
        Question { body: Some(body), ..self }
    }

    pub(super) fn by_management(self) -> Question {
        Question { key: Some(MANAGEMENT), ..self }
    }

    pub(super) fn by_inference(self) -> Question {
        Question { key: Some(INFERENCE), ..self }
    }

    /// The path with its query.
    fn asked(&self) -> String {
        let query = self.url.query().map_or(String::new(), |query| format!("?{query}"));
        format!("{}{query}", self.url.path())
    }
}

impl Openrouter {
    pub(super) async fn ask(&self, question: &Question) -> Result<Received, OpenrouterError> {
        let authorization = self.authorization(question)?;
        let mut pause = self.patience.first_pause;
        for attempt in 1.. {
            let (error, wished) = match self.try_ask(question, authorization.clone()).await {
                Ok(received) => return Ok(received),
                Err(failed) => failed,
            };
            let may_pass = matches!(&error, OpenrouterError::Fetch(error) if error.may_pass() || is_timeout(error));
            if attempt == ATTEMPTS || !may_pass {
                return Err(error);
            }
            // Somewhat random, so that many installations do not come back at the same moment.
            let pause_now = wished.unwrap_or(pause + pause.mul_f64(jitter())).min(LONGEST_PAUSE);
            tracing::warn!(error = %error, attempt, pause_ms = pause_now.as_millis() as u64, "openrouter did not answer yet");
            tokio::time::sleep(pause_now).await;
            pause *= 2;
        }
        unreachable!("the last attempt returns")
    }

    fn authorization(&self, question: &Question) -> Result<Option<HeaderValue>, OpenrouterError> {
        let Some((kind, variable)) = question.key else { return Ok(None) };
        let secret = if kind == MANAGEMENT.0 { &self.keys.management } else { &self.keys.inference };
        let secret = secret.as_ref().ok_or(OpenrouterError::NoKey { kind, variable })?;
        let mut header = HeaderValue::from_str(&format!("Bearer {}", secret.revealed())).expect("a key is visible ASCII");
        header.set_sensitive(true);
        Ok(Some(header))
    }

    async fn try_ask(
        &self,
        question: &Question,
        authorization: Option<HeaderValue>,
    ) -> Result<Received, (OpenrouterError, Option<Duration>)> {
        let url = || shown(question.url.as_str());
        let told = |error: OpenrouterError| (error, None);
        let mut request = self.http.request(question.method.clone(), question.url.clone()).header("accept", "application/json");
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(body) = &question.body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let sent = request.send().await.map_err(|e| told(self.unreachable(url(), &e.without_url())))?;
        let status = sent.status();
        match (status.as_u16(), question.key) {
            (200, _) => {}
            (status @ (401 | 403), Some((kind, variable))) => {
                return Err(told(OpenrouterError::NotAllowed { url: url(), status, kind, variable }));
            }
            (300..=399, _) => return Err(told(OpenrouterError::Redirected { url: url() })),
            (status, _) => return Err((FetchError::Status { url: url(), status }.into(), wished(sent.headers()))),
        }
        let text = self.body(&url(), sent).await.map_err(|e| told(e.into()))?;
        let hash = *blake3::hash(text.as_bytes()).as_bytes();
        let fetched_at = Instant::from_micros(chrono::Utc::now().timestamp_micros());
        Ok(Received { asked: question.asked(), text, hash, fetched_at })
    }

    async fn body(&self, url: &str, mut sent: Response) -> Result<String, FetchError> {
        let mut bytes = Vec::new();
        loop {
            let piece = sent.chunk().await.map_err(|e| match e.is_timeout() {
                true => self.timed_out(url.to_owned()),
                false => FetchError::BrokenOff { url: url.to_owned(), why: in_full(&e.without_url()) },
            })?;
            let Some(piece) = piece else { break };
            if bytes.len() + piece.len() > LARGEST {
                return Err(FetchError::TooLarge { url: url.to_owned() });
            }
            bytes.extend_from_slice(&piece);
        }
        let found = |found: &str| FetchError::NotJson { url: url.to_owned(), found: found.to_owned() };
        let text = String::from_utf8(bytes).map_err(|_| found("bytes that are no text"))?;
        match text.trim_start().chars().next() {
            Some('{' | '[') => Ok(text),
            Some(_) => Err(found("something else")),
            None => Err(found("nothing")),
        }
    }

    fn unreachable(&self, url: String, e: &reqwest::Error) -> OpenrouterError {
        match e.is_timeout() {
            true => self.timed_out(url).into(),
            false => FetchError::Unreachable { url, why: in_full(e) }.into(),
        }
    }

    fn timed_out(&self, url: String) -> FetchError {
        FetchError::TimedOut { url, within: self.patience.timeout }
    }
}

/// 408 is how OpenRouter says that its own look into the books took too long.
fn is_timeout(error: &FetchError) -> bool {
    matches!(error, FetchError::Status { status: 408, .. })
}

/// How long the other side wishes to be left alone: seconds, or a date.
fn wished(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    (until.to_utc() - chrono::Utc::now()).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_be_left_alone_is_a_number_or_a_date() {
        let wished_in = |text: &str| wished(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]));
        assert_eq!(wished_in("7"), Some(Duration::from_secs(7)));
        let in_a_minute = (chrono::Utc::now() + chrono::Duration::seconds(60)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        assert!(wished_in(&in_a_minute).is_some_and(|wish| wish > Duration::from_secs(50)), "{in_a_minute}");
        assert_eq!((wished_in("Wed, 21 Oct 2015 07:28:00 GMT"), wished_in("soon")), (None, None));
    }
}
