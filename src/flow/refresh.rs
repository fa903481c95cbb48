//! Refreshing: a public list is fetched, kept as it came, laid over the catalog, checked, and published by policy. Whatever
//! goes wrong on the way (no answer, a page instead of a list, half a list, prices that the checks refuse) the version in
//! force stays as it is and a person is told, once for each thing that is wrong.

use crate::catalog::check::Severity;
use crate::flow::import::{Import, Source};
use crate::flow::notices::Kind;
use crate::flow::publish::{Note, Published, Wish};
use crate::flow::{Farthing, FlowError, now};
use crate::id::Org;
use crate::provider::{Answer, Client, shown};
use crate::store::{Fetch, FetchOutcome};
use crate::time::Instant;
use serde_json::json;

/// What happens with prices that the checks have nothing against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// They are published.
    Auto,
    /// They wait for a person.
    Review,
    /// Nothing is fetched.
    Off,
}

/// A list to be refreshed.
#[derive(Clone, Debug)]
pub struct Refresh {
    pub source: Source,
    pub url: String,
    pub policy: Policy,
}

/// What a refresh came to.
#[derive(Clone, Debug)]
pub enum Refreshed {
    Off,
    Unchanged,
    Published(Box<Published>),
    /// Changes that a person publishes, or does not.
    ToReview(Box<Published>),
    /// The checks refused it, in these words.
    Refused(String),
    Failed(String),
}

impl Farthing {
    /// Fetches a list once and does with it what the policy says.
    pub async fn refresh(&self, org: Org, client: &Client, refresh: &Refresh) -> Result<Refreshed, FlowError> {
        if refresh.policy == Policy::Off {
            return Ok(Refreshed::Off);
        }
        let source = refresh.source.name();
        let last = self.store.last_answer(org, source).await?.filter(|last| last.url == shown(&refresh.url));
        let etag = last.as_ref().and_then(|last| last.etag.as_deref());
        match client.get(&refresh.url, etag).await {
            Ok(Answer::Unchanged) => {
                if let Some(last) = &last {
                    self.store.seen_again(org, last.fetch, now()).await?;
                }
                Ok(Refreshed::Unchanged)
            }
            Ok(Answer::Body { text, etag }) => {
                let hash = *blake3::hash(text.as_bytes()).as_bytes();
                if let Some(last) = last.as_ref().filter(|last| last.hash == Some(hash)) {
                    self.store.seen_again(org, last.fetch, now()).await?;
                    return Ok(Refreshed::Unchanged);
                }
                let fetch = Fetch { etag, hash: Some(hash), size: text.len() as i64, ..Fetch::of(refresh, now()) };
                // What a refused look saw is in no version, so the change lies after the last one that is.
                let looks = self.store.fetches(org, Some(source), 1_000).await?;
                let published = looks.iter().filter(|look| look.outcome == FetchOutcome::Published);
                self.refresh_with(org, refresh, fetch, &text, published.map(|look| look.last_at).max()).await
            }
            Err(e) => self.refresh_failed(org, Fetch::of(refresh, now()), e.to_string()).await,
        }
    }

    async fn refresh_with(
        &self,
        org: Org,
        refresh: &Refresh,
        fetch: Fetch,
        text: &str,
        before: Option<Instant>,
    ) -> Result<Refreshed, FlowError> {
        let import = Import { before, ..Import::new(refresh.source, fetch.first_at) };
        let read = match self.import(org, &import, text).await {
            Ok(imported) => imported,
            Err(FlowError::Refused(why)) => return self.refresh_failed(org, fetch, why).await,
            Err(e) => return Err(e),
        };
        let source = refresh.source.name();
        let note = Note { author: "refresh".to_owned(), note: format!("{source} as fetched at {}", fetch.first_at) };
        let wish =
            Wish { base: Some(read.base), parts: read.parts, note, dry_run: refresh.policy == Policy::Review, ..Wish::default() };
        let keep = async |outcome: FetchOutcome, detail: &str| {
            let fetch = Fetch { outcome, detail: detail.to_owned(), ..fetch.clone() };
            self.store.keep_fetch(org, &fetch, Some(text)).await
        };
        let facts = |found: &[String]| json!({"source": source, "url": shown(&refresh.url), "fetched_at": fetch.first_at.to_string(), "found": found});
        let said = |lines: &[&dyn std::fmt::Display]| lines.iter().map(|line| line.to_string()).collect::<Vec<_>>();
        match self.publish(org, &wish).await {
            Ok(published) if refresh.policy == Policy::Review && !published.changes.is_empty() => {
                keep(FetchOutcome::ToReview, &format!("{} changes", published.changes.len())).await?;
                let lines: Vec<String> = published
                    .findings
                    .iter()
                    .map(|f| f.to_string())
                    .chain(published.changes.iter().map(|c| c.to_string()))
                    .take(50)
                    .collect();
                self.notice(org, Kind::PricesToReview, &facts(&lines)).await?;
                Ok(Refreshed::ToReview(Box::new(published)))
            }
            Ok(published) => {
                keep(FetchOutcome::Published, &read.notes.join("\n")).await?;
                Ok(match published.version {
                    Some(_) => Refreshed::Published(Box::new(published)),
                    None => Refreshed::Unchanged,
                })
            }
            Err(FlowError::Doubtful(findings)) => {
                let lines = said(&findings.iter().map(|finding| finding as &dyn std::fmt::Display).take(50).collect::<Vec<_>>());
                let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
                let why = format!("{errors} errors and {} warnings:\n{}", findings.len() - errors, lines.join("\n"));
                keep(FetchOutcome::Refused, &why).await?;
                self.notice(org, Kind::PricesRefused, &facts(&lines)).await?;
                Ok(Refreshed::Refused(why))
            }
            Err(e @ (FlowError::Clash(_) | FlowError::Refused(_))) => self.refresh_failed(org, fetch, e.to_string()).await,
            Err(e) => Err(e),
        }
    }

    /// Publishes what a look saw and nobody published yet: what waits for review, or what the checks refused. Its prices hold
    /// from that look on, not from now. The wish says how, and leaves out what.
    pub async fn review(&self, org: Org, number: i64, wish: &Wish) -> Result<Published, FlowError> {
        let fetches = self.store.fetches(org, None, i64::MAX).await?;
        let place = fetches.iter().position(|fetch| fetch.fetch == number);
        let fetch =
            place.map(|place| &fetches[place]).ok_or_else(|| FlowError::NotThere(format!("there is no fetch {number}")))?;
        let hash = fetch.hash.filter(|_| matches!(fetch.outcome, FetchOutcome::ToReview | FetchOutcome::Refused));
        let hash = hash.ok_or_else(|| FlowError::Refused(format!("fetch {number} was {}", fetch.outcome.name())))?;
        let text = self.store.fetched_body(&hash).await?;
        let text = text.ok_or_else(|| {
            FlowError::NotThere(format!("the body of fetch {number} is not kept any more; fetch the list again"))
        })?;

        let earlier = fetches.iter().filter(|other| other.fetch < number && other.source == fetch.source);
        let published = earlier.filter(|other| other.outcome == FetchOutcome::Published).map(|other| other.last_at);
        let import = Import { before: published.max(), ..Import::new(Source::named(&fetch.source)?, fetch.first_at) };
        let read = self.import(org, &import, &text).await?;
        let mut wish = Wish { base: wish.base.or(Some(read.base)), parts: read.parts, ..wish.clone() };
        if wish.note.note.is_empty() {
            wish.note.note = format!("{} as fetched at {}", fetch.source, fetch.first_at);
        }
        let published = self.publish(org, &wish).await?;
        if !wish.dry_run {
            self.store.decide_fetch(org, number, FetchOutcome::Published, "published after review").await?;
        }
        Ok(published)
    }

    /// The current version stays. The same failure again is counted, not told again.
    async fn refresh_failed(&self, org: Org, fetch: Fetch, why: String) -> Result<Refreshed, FlowError> {
        let newest = self.store.fetches(org, Some(&fetch.source), 1).await?.pop();
        match newest {
            Some(newest) if newest.outcome == FetchOutcome::Failed && newest.detail == why => {
                self.store.seen_again(org, newest.fetch, fetch.first_at).await?;
            }
            _ => {
                let facts = json!({"source": fetch.source, "url": fetch.url, "at": fetch.first_at.to_string(), "why": why});
                let failed = Fetch { outcome: FetchOutcome::Failed, hash: None, detail: why.clone(), ..fetch };
                self.store.keep_fetch(org, &failed, None).await?;
                self.notice(org, Kind::RefreshFailed, &facts).await?;
            }
        }
        Ok(Refreshed::Failed(why))
    }
}

impl Fetch {
    fn of(refresh: &Refresh, at: Instant) -> Fetch {
        Fetch {
            fetch: 0,
            source: refresh.source.name().to_owned(),
            url: shown(&refresh.url),
            etag: None,
            hash: None,
            size: 0,
            first_at: at,
            last_at: at,
            looks: 1,
            outcome: FetchOutcome::Published,
            detail: String::new(),
        }
    }
}

impl Policy {
    pub fn named(name: &str) -> Option<Policy> {
        [("auto", Policy::Auto), ("review", Policy::Review), ("off", Policy::Off)]
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, policy)| policy)
    }
}
