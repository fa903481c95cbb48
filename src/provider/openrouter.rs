//! OpenRouter's books over HTTP: what was used and charged, by day and by generation, and what the account and its keys
//! say of themselves. Every answer comes as it was received, with its hash and the time, because OpenRouter forgets after a
//! month; its reading stands beside it. There are two kinds of keys, one for the account's books and one for generations; neither
//! is ever sent to another host, over a plain connection, or to a log.

mod account;
mod ask;

use super::secret::{NoSecret, Secret};
use super::{FIRST_PAUSE, FetchError, TIMEOUT, in_full, shown};
use crate::reconcile::statement::{Statement, Unreadable, activity, analytics, generation};
use crate::time::{Instant, Period};
pub use account::{Credits, Key};
use ask::Question;
use reqwest::{Method, Url};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// Where OpenRouter is, unless configured otherwise.
pub const BASE: &str = "https://openrouter.ai/api/v1";

/// A client for one account.
#[derive(Clone, Debug)]
pub struct Openrouter {
    http: reqwest::Client,
    base: Url,
    keys: Keys,
    patience: Patience,
}

/// The two kinds of keys. A management key reads the account's books and can complete nothing; an inference key is turned
/// away from these, and reads its own generations.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub management: Option<Secret>,
    pub inference: Option<Secret>,
}

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one attempt, from the first byte sent to the last one read.
    pub timeout: Duration,
    /// Before the second attempt; each further pause is twice as long.
    pub first_pause: Duration,
    /// For a record that is not there yet: OpenRouter knows of a generation only some time after it has answered.
    pub record: Duration,
}

impl Keys {
    /// The keys as the environment names them, themselves or in files: `variable` answers what one is set to.
    pub fn gather(variable: impl Fn(&str) -> Option<String>) -> Result<Keys, NoSecret> {
        let secret = |name: &str| {
            let file = variable(&format!("{name}_FILE")).filter(|file| !file.is_empty()).map(PathBuf::from);
            Secret::gather(name, variable(name).as_deref(), file.as_deref())
        };
        Ok(Keys { management: secret(MANAGEMENT.1)?, inference: secret(INFERENCE.1)? })
    }
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { timeout: TIMEOUT, first_pause: FIRST_PAUSE, record: Duration::from_secs(180) }
    }
}

/// A body as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// What was asked: the path with its query, which holds no secret.
    pub asked: String,
    pub text: String,
    /// blake3 of the bytes.
    pub hash: [u8; 32],
    pub fetched_at: Instant,
}

/// What was received, and what it says.
#[derive(Clone, Debug)]
pub struct Answered<T> {
    pub received: Vec<Received>,
    pub read: T,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenrouterError {
    #[error("no {kind} key; set {variable}, or {variable}_FILE to a file that has it")]
    NoKey { kind: &'static str, variable: &'static str },
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{url} answered {status}: the {kind} key is unknown or may not; check {variable}")]
    NotAllowed { url: String, status: u16, kind: &'static str, variable: &'static str },
    #[error("{url} leads to another address; a key is sent to no other host, so correct the base address")]
    Redirected { url: String },
    #[error("{url} is not https; a key is sent over no plain connection but to this machine itself")]
    Plain { url: String },
    #[error("{day} is not over in UTC; its activity is told from the next day on")]
    DayOpen { day: String },
    #[error("{day} is more than {DAYS} days ago and no longer told; import the activity export of that day instead")]
    DayGone { day: String },
    #[error("generation {id} is not known after {} s: it may appear later, and is not free because it is unknown", .waited.as_secs())]
    NotYet { id: String, waited: Duration },
    #[error("more than {LIMIT} generations within a second at {at}; they cannot be told one by one")]
    TooMany { at: Instant },
    #[error("{url}: {why}")]
    Unread { url: String, why: Unreadable },
}

impl OpenrouterError {
    /// It lies in what was asked for, and another question may well be answered.
    pub fn is_of_the_question(&self) -> bool {
        match self {
            OpenrouterError::Fetch(FetchError::Status { status, .. }) => {
                (400..500).contains(status) && !matches!(status, 408 | 429)
            }
            OpenrouterError::Fetch(FetchError::NotJson { .. } | FetchError::TooLarge { .. }) => true,
            // A key reads the generations that are its own.
            OpenrouterError::NotAllowed { status, .. } => *status == 403,
            OpenrouterError::Unread { .. } | OpenrouterError::NotYet { .. } | OpenrouterError::TooMany { .. } => true,
            _ => false,
        }
    }
}

/// Completed days that `/activity` tells of.
pub const DAYS: i64 = 30;
/// Rows that one answer of analytics has at most.
const LIMIT: u32 = 10_000;
/// Pages of keys that are read at most; an account has far fewer.
const PAGES: usize = 1_000;

pub const MANAGEMENT: (&str, &str) = ("management", "OPENROUTER_MANAGEMENT_KEY");
pub const INFERENCE: (&str, &str) = ("inference", "OPENROUTER_API_KEY");

impl Openrouter {
    pub fn new(base: &str, keys: Keys, patience: Patience) -> Result<Openrouter, OpenrouterError> {
        let no_address = |why: String| FetchError::Address { url: shown(base), why };
        let base = Url::parse(base).map_err(|e| no_address(e.to_string()))?;
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            return Err(no_address("it is no web address".to_owned()).into());
        }
        let here = matches!(base.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        if base.scheme() == "http" && !here {
            return Err(OpenrouterError::Plain { url: shown(base.as_str()) });
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("farthing/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(patience.timeout.min(Duration::from_secs(10)))
            .timeout(patience.timeout)
            .build()
            .map_err(|e| FetchError::Unreachable { url: shown(base.as_str()), why: in_full(&e) })?;
        Ok(Openrouter { http, base, keys, patience })
    }

    /// The price list, of every kind of model. It is public, and asked for without a key: with one, an account may have
    /// switched on a list of its own.
    pub async fn models(&self) -> Result<Received, OpenrouterError> {
        self.ask(&self.get(&["models"]).with("output_modalities", "all")).await
    }

    /// Who serves a model, and for how much.
    pub async fn endpoints(&self, model: &str) -> Result<Received, OpenrouterError> {
        let (author, slug) = model.split_once('/').unwrap_or((model, ""));
        self.ask(&self.get(&["models", author, slug, "endpoints"])).await
    }

    /// What was used on one UTC day, or by one key on it. Asked for today's or a day that OpenRouter has forgotten, it says so
    /// and asks nothing.
    pub async fn activity(
        &self,
        day: chrono::NaiveDate,
        key_hash: Option<&str>,
        now: Instant,
    ) -> Result<Answered<Statement>, OpenrouterError> {
        match (now.to_utc().date_naive() - day).num_days() {
            ..=0 => return Err(OpenrouterError::DayOpen { day: day.to_string() }),
            1..=DAYS => {}
            _ => return Err(OpenrouterError::DayGone { day: day.to_string() }),
        }
        let question = self.get(&["activity"]).with("date", &day.to_string());
        let question = match key_hash {
            Some(hash) => question.with("api_key_hash", hash),
            None => question,
        };
        let received = self.ask(&question.by_management()).await?;
        let read = activity::read(&received.text, key_hash).and_then(|statement| only_of(day, statement));
        answered(vec![received], read)
    }

    /// The record of one generation as it came, if it is known there by now.
    pub async fn record(&self, id: &str) -> Result<Option<Received>, OpenrouterError> {
        match self.ask(&self.get(&["generation"]).with("id", id).by_inference()).await {
            Err(OpenrouterError::Fetch(FetchError::Status { status: 404, .. })) => Ok(None),
            received => received.map(Some),
        }
    }

    /// The record of one generation. While it is not there yet it is asked for again, later and later.
    pub async fn generation(&self, id: &str) -> Result<Answered<Statement>, OpenrouterError> {
        let started = tokio::time::Instant::now();
        let mut pause = self.patience.first_pause;
        loop {
            if let Some(received) = self.record(id).await? {
                let read = generation::read(&[&received.text]);
                return answered(vec![received], read);
            }
            if started.elapsed() + pause > self.patience.record {
                return Err(OpenrouterError::NotYet { id: id.to_owned(), waited: started.elapsed() });
            }
            tokio::time::sleep(pause + pause.mul_f64(super::jitter())).await;
            pause *= 2;
        }
    }

    /// All generations of a period, known or not, each with its key. An answer that was cut off is asked for again in halves.
    pub async fn generations(&self, period: Period) -> Result<Answered<Statement>, OpenrouterError> {
        const SECOND: i64 = 1_000_000;
        let (mut windows, mut received) = (vec![period], Vec::new());
        while let Some(Period { from, until }) = windows.pop() {
            let answer = self.ask(&self.by_generation(from, until)).await?;
            if !analytics::is_truncated(&answer.text).map_err(|why| unread(&answer, why))? {
                received.push(answer);
                continue;
            }
            let seconds = (until.micros() - from.micros()) / SECOND;
            if seconds <= 1 {
                return Err(OpenrouterError::TooMany { at: from });
            }
            let middle = Instant::from_micros(from.micros() + seconds / 2 * SECOND);
            windows.extend([Period { from: middle, until }, Period { from, until: middle }]);
        }
        let texts: Vec<&str> = received.iter().map(|received| received.text.as_str()).collect();
        let read = analytics::read(&texts);
        answered(received, read)
    }

    fn by_generation(&self, from: Instant, until: Instant) -> Question {
        let body = json!({
            "metrics": ["credits_usage", "byok_usage"],
            "dimensions": ["generation_id", "api_key_id"],
            "granularity": "minute",
            "time_range": {"start": from.to_string(), "end": until.to_string()},
            "limit": LIMIT,
        });
        self.question(Method::POST, &["analytics", "query"]).with_body(body.to_string()).by_management()
    }

    /// What was ever bought and used, of which the difference is the balance.
    pub async fn credits(&self) -> Result<Answered<Credits>, OpenrouterError> {
        let received = self.ask(&self.get(&["credits"]).by_management()).await?;
        let read = Credits::read(&received.text);
        answered(vec![received], read)
    }

    /// What the inference key says of itself.
    pub async fn key(&self) -> Result<Answered<Key>, OpenrouterError> {
        let received = self.ask(&self.get(&["key"]).by_inference()).await?;
        let read = Key::read(&received.text);
        answered(vec![received], read)
    }

    /// Every key of the account, those that are disabled too: they may have been used before.
    pub async fn keys(&self) -> Result<Answered<Vec<Key>>, OpenrouterError> {
        let (mut received, mut keys) = (Vec::new(), Vec::<Key>::new());
        for _ in 0..PAGES {
            let page = self.get(&["keys"]).with("include_disabled", "true").with("offset", &keys.len().to_string());
            let answer = self.ask(&page.by_management()).await?;
            let more = Key::read_all(&answer.text).map_err(|why| unread(&answer, why))?;
            received.push(answer);
            // A server that knows no pages answers with the first one again.
            let is_new = more.first().is_some_and(|first| keys.iter().all(|known| known.hash != first.hash));
            if !is_new {
                break;
            }
            keys.extend(more);
        }
        Ok(Answered { received, read: keys })
    }

    fn get(&self, path: &[&str]) -> Question {
        self.question(Method::GET, path)
    }

    fn question(&self, method: Method, path: &[&str]) -> Question {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("a base that cannot have a path was refused").pop_if_empty().extend(path);
        Question::new(method, url)
    }
}

fn answered<T>(received: Vec<Received>, read: Result<T, Unreadable>) -> Result<Answered<T>, OpenrouterError> {
    match read {
        Ok(read) => Ok(Answered { received, read }),
        Err(why) => Err(unread(received.first().expect("only what was received is read"), why)),
    }
}

fn unread(received: &Received, why: Unreadable) -> OpenrouterError {
    OpenrouterError::Unread { url: received.asked.clone(), why }
}

/// An answer about another day than the one that was asked for would be booked twice.
fn only_of(day: chrono::NaiveDate, statement: Statement) -> Result<Statement, Unreadable> {
    let other = statement.lines.iter().find(|line| line.at != Instant::from_date(day));
    match other {
        Some(line) => Err(Unreadable::Row { row: line.number, why: format!("date: {} was not asked for, but {day}", line.at) }),
        None => Ok(statement),
    }
}
