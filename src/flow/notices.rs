//! Notices: what a person should know (usage without a price, refused prices, failed refreshes and jobs) is written down first and
//! then told by one signed webhook, again and again with longer pauses until it is taken. The signature is an HMAC-SHA256
//! of `<time>.<body>` under the shared secret, so that the receiver knows who speaks and that it is not an old message.

use crate::flow::{Farthing, FlowError, now};
use crate::id::{EventNumber, Org};
use crate::store::Notice;
use crate::time::Instant;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::Duration;

/// Where notices are told.
#[derive(Clone)]
pub struct Webhook {
    pub url: String,
    /// Never shown.
    pub secret: String,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What a notice is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Usage waits for a price.
    Unpriced,
    /// A refreshed list was refused by the checks.
    PricesRefused,
    /// A refreshed list waits for a person.
    PricesToReview,
    RefreshFailed,
    /// A run of a job was given up.
    JobFailed,
    /// A provider's statement and the book differ by more than is tolerated.
    Variance,
    /// Too little of what a provider billed came by itself, or the two books are too far apart.
    Alert,
    /// A provider's books could not be fetched or compared.
    ReconciliationFailed,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Unpriced => "usage.unpriced",
            Kind::PricesRefused => "prices.refused",
            Kind::PricesToReview => "prices.to_review",
            Kind::RefreshFailed => "refresh.failed",
            Kind::JobFailed => "job.failed",
            Kind::Variance => "reconciliation.variance",
            Kind::Alert => "reconciliation.alert",
            Kind::ReconciliationFailed => "reconciliation.failed",
        }
    }
}

/// Notices one round tells.
const ROUND: i64 = 20;
/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(3_600);
/// More unpriced usage of a reason that is known already is told again after this long.
const REMIND_AFTER: i64 = 3_600_000_000;

impl Farthing {
    pub async fn notice(&self, org: Org, kind: Kind, facts: &Value) -> Result<(), FlowError> {
        tracing::warn!(org = org.0, kind = kind.name(), %facts, "a person should know");
        Ok(self.store.notify(org, kind.name(), &facts.to_string(), now()).await?)
    }

    /// Writes a notice where usage waits for a price that nobody was told of.
    pub async fn notice_unpriced(&self, org: Org, now: Instant) -> Result<bool, FlowError> {
        let Some(facts) = self.unpriced_news(org, now).await? else { return Ok(false) };
        self.notice(org, Kind::Unpriced, &facts).await?;
        Ok(true)
    }

    /// What is to be told of usage that waits for a price: a new reason at once, more of a known one by and by. Only reads.
    pub async fn unpriced_news(&self, org: Org, now: Instant) -> Result<Option<Value>, FlowError> {
        let counts = self.store.held_counts(org).await?;
        let waiting: Value = counts
            .iter()
            .map(|(reason, count)| (reason.name().to_owned(), json!(count)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let last = self.store.notices(org, Some(Kind::Unpriced.name()), 1).await?.pop();
        let told: Value = last.as_ref().and_then(|last| serde_json::from_str(&last.body).ok()).unwrap_or_default();
        // Whatever is held since the last notice is news, however much of what was held then is posted by now.
        let until = EventNumber(told["until"].as_i64().unwrap_or(0));
        let since = self.held(org, None, until, 500).await?;
        let Some(newest) = since.last() else { return Ok(None) };
        let is_new = since.iter().any(|held| told["held"][held.held.reason.name()].as_i64().unwrap_or(0) == 0);
        let is_long_ago = last.is_none_or(|last| now.micros() - last.created_at.micros() >= REMIND_AFTER);
        if !(is_new || is_long_ago) {
            return Ok(None);
        }
        let examples: Vec<Value> = since
            .iter()
            .take(3)
            .map(|held| json!({"source": *held.stored.event.source, "id": *held.stored.event.id, "detail": held.held.detail}))
            .collect();
        Ok(Some(json!({"held": waiting, "examples": examples, "until": newest.held.event.0})))
    }

    /// Tells what is due; answers how many were taken and how many were not.
    pub async fn tell(&self, http: &reqwest::Client, webhook: &Webhook) -> Result<(usize, usize), FlowError> {
        let (mut taken, mut refused) = (0, 0);
        for notice in self.store.notices_due(now(), ROUND).await? {
            let org =
                self.store.orgs().await?.into_iter().find(|(org, _)| *org == notice.org).map_or(String::new(), |(_, name)| name);
            match deliver(http, webhook, &org, &notice, now()).await {
                Ok(()) => {
                    taken += 1;
                    self.store.told(&notice, Ok(now())).await?;
                }
                Err(why) => {
                    refused += 1;
                    tracing::warn!(notice = notice.notice, error = why, "a notice was not taken; it is told again later");
                    let pause = LONGEST.min(Duration::from_secs(5) * 2u32.saturating_pow(notice.attempts.clamp(0, 16) as u32));
                    let next = Instant::from_micros(now().micros() + pause.as_micros() as i64);
                    self.store.told(&notice, Err((why, next))).await?;
                }
            }
        }
        Ok((taken, refused))
    }
}

async fn deliver(http: &reqwest::Client, webhook: &Webhook, org: &str, notice: &Notice, at: Instant) -> Result<(), String> {
    let facts: Value = serde_json::from_str(&notice.body).unwrap_or_default();
    let (kind, created_at) = (&notice.kind, notice.created_at.to_string());
    let id = format!("{org}/{}", notice.notice);
    let body = json!({"id": id, "type": kind, "org": org, "created_at": created_at, "data": facts}).to_string();
    let request = http
        .post(&webhook.url)
        .timeout(Duration::from_secs(10))
        .header("content-type", "application/json")
        .header("farthing-signature", signature(&webhook.secret, at.micros() / 1_000_000, &body))
        .body(body);
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("the webhook answered {}", answer.status().as_u16())),
        // The address may carry a secret of its own.
        Err(e) => Err(format!("the webhook cannot be reached: {}", e.without_url())),
    }
}

/// `t=<seconds since 1970>,v1=<hex>`
pub fn signature(secret: &str, seconds: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length will do");
    mac.update(format!("{seconds}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest was computed with `openssl dgst -sha256 -hmac secret`.
    #[test]
    fn a_signature_is_an_hmac_of_the_time_and_the_body() {
        assert_eq!(
            signature("secret", 1_700_000_000, r#"{"a":1}"#),
            "t=1700000000,v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"
        );
    }
}
