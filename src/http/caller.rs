//! Who calls: the bearer key of a request, and what it may do. A key that let somebody in is remembered for a moment, so
//! that a thousand posts a second are not a thousand look-ups; a key revoked here is forgotten at once, one revoked by
//! another process within that moment.

use super::{Problem, Service};
use crate::flow::access::{Caller, Scope};
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use base64::prelude::{BASE64_STANDARD, Engine};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Callers(Mutex<HashMap<[u8; 32], (Caller, Instant)>>);

const REMEMBERED: Duration = Duration::from_secs(2);
/// Beyond this many the memory starts afresh.
const MOST: usize = 10_000;

/// A caller whose key is good; what it may do is asked by the handler.
pub struct Known(pub Caller);

impl Known {
    pub fn may(self, scope: Scope) -> Result<Caller, Problem> {
        if self.0.may(scope) {
            return Ok(self.0);
        }
        let detail = format!("this key may not {scope}");
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "The key does not allow this", detail)
            .hint(format!("use a key with the scope {scope}: farthing keys create --scope {scope}")))
    }

    /// For what has no team of its own.
    pub fn may_everywhere(self, scope: Scope) -> Result<Caller, Problem> {
        let caller = self.may(scope)?;
        match &caller.team {
            None => Ok(caller),
            Some(team) => {
                let detail = format!("this key may only read what team {team} bears");
                Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "The key does not allow this", detail))
            }
        }
    }
}

impl FromRequestParts<Arc<Service>> for Known {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Known, Problem> {
        let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(whole) = authorization.and_then(key_of) else {
            return Err(unknown("the request has no bearer key", "send `Authorization: Bearer far_...`"));
        };
        let whole = &*whole;
        let name = *blake3::hash(whole.as_bytes()).as_bytes();
        if let Some(caller) = service.callers.remembered(&name) {
            return Ok(Known(caller));
        }
        match service.farthing.caller(whole).await? {
            Some(caller) => {
                service.callers.remember(name, &caller);
                Ok(Known(caller))
            }
            None => Err(unknown("the key is unknown or revoked", "farthing keys list shows the keys there are")),
        }
    }
}

/// For what is partly open: nobody where no key is sent, but a wrong key is not taken for none.
impl OptionalFromRequestParts<Arc<Service>> for Known {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Option<Known>, Problem> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(None);
        }
        <Known as FromRequestParts<Arc<Service>>>::from_request_parts(parts, service).await.map(Some)
    }
}

/// The key of an `Authorization` header: a bearer's, or the password of a client that only knows Basic (Langfuse calls it the
/// secret key; the user name may be anything).
fn key_of(authorization: &str) -> Option<Cow<'_, str>> {
    let (scheme, value) = authorization.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Cow::Borrowed(value.trim()));
    }
    let basic = scheme.eq_ignore_ascii_case("basic").then(|| BASE64_STANDARD.decode(value.trim()).ok())??;
    let (_, password) = std::str::from_utf8(&basic).ok()?.split_once(':')?;
    Some(Cow::Owned(password.to_owned()))
}

fn unknown(detail: &str, hint: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "A key is needed", detail).hint(hint)
}

impl Callers {
    fn remembered(&self, name: &[u8; 32]) -> Option<Caller> {
        let callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        callers.get(name).filter(|(_, since)| since.elapsed() < REMEMBERED).map(|(caller, _)| caller.clone())
    }

    fn remember(&self, name: [u8; 32], caller: &Caller) {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MOST {
            callers.clear();
        }
        callers.insert(name, (caller.clone(), Instant::now()));
    }

    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
