//! Access keys: made, checked, revoked. A key is `far_<public part>_<secret>`; the database has the public part and a hash
//! of the whole, so nobody can read a key out of it. Secrets are random enough that a fast hash is the right one.

use crate::flow::{Farthing, FlowError, now};
use crate::id::Org;
use crate::store::AccessKey;
use crate::usage::Text;
use std::fmt;
use std::str::FromStr;
use subtle::ConstantTimeEq;

/// What a key may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    Ingest,
    Read,
    Catalog,
    Reconcile,
    /// Everything, and keys themselves.
    Admin,
}

/// Whoever a key lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub org: Org,
    /// The key's public part: the name under which it appears in logs and decisions.
    pub key: String,
    pub scopes: Vec<Scope>,
    /// Events can only be sent as this source.
    pub source: Option<Text>,
    /// Only this team's figures can be read.
    pub team: Option<Text>,
}

/// What a new key is for.
#[derive(Clone, Debug, Default)]
pub struct KeyWish {
    pub scopes: Vec<Scope>,
    pub source: Option<String>,
    pub team: Option<String>,
    pub note: Option<String>,
}

impl Scope {
    pub const ALL: [Scope; 5] = [Scope::Ingest, Scope::Read, Scope::Catalog, Scope::Reconcile, Scope::Admin];

    pub const fn name(self) -> &'static str {
        match self {
            Scope::Ingest => "ingest",
            Scope::Read => "read",
            Scope::Catalog => "catalog",
            Scope::Reconcile => "reconcile",
            Scope::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(name: &str) -> Result<Scope, String> {
        let known = Scope::ALL.into_iter().find(|scope| scope.name() == name);
        known.ok_or_else(|| format!("`{name}` is no scope; known are {}", Scope::ALL.map(Scope::name).join(", ")))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Caller {
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

impl Farthing {
    /// Makes a key. The answer is the only time its secret is seen.
    pub async fn create_key(&self, org: Org, wish: &KeyWish) -> Result<String, FlowError> {
        if wish.scopes.is_empty() {
            return Err(FlowError::Refused("a key needs at least one scope".to_owned()));
        }
        for (field, text) in [("source", &wish.source), ("team", &wish.team), ("note", &wish.note)] {
            let checked = text.as_deref().map(|text| crate::usage::reading::text(field, text)).transpose();
            checked.map_err(|e| FlowError::Refused(e.to_string()))?;
        }
        let mut random = [0; 40];
        getrandom::fill(&mut random).expect("the operating system has random numbers");
        let (name, secret) = random.split_at(8);
        let (name, secret) = (hex(name), hex(secret));
        let whole = format!("far_{name}_{secret}");
        let mut scopes: Vec<&str> = wish.scopes.iter().map(|scope| scope.name()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        let key = AccessKey {
            org,
            key: name,
            hash: *blake3::hash(whole.as_bytes()).as_bytes(),
            scopes: scopes.join(","),
            source: wish.source.clone(),
            team: wish.team.clone(),
            note: wish.note.clone(),
            created_at: now(),
            revoked_at: None,
        };
        self.store.insert_key(&key).await?;
        Ok(whole)
    }

    /// Whom a key lets in, if anybody.
    pub async fn caller(&self, whole: &str) -> Result<Option<Caller>, FlowError> {
        let Some((name, _)) = whole.strip_prefix("far_").and_then(|rest| rest.split_once('_')) else { return Ok(None) };
        let Some(key) = self.store.key_by_name(name).await? else { return Ok(None) };
        let matches: bool = blake3::hash(whole.as_bytes()).as_bytes().ct_eq(&key.hash).into();
        if !matches || key.revoked_at.is_some() {
            return Ok(None);
        }
        let text = |text: Option<String>| text.and_then(|text| crate::usage::reading::text("key", &text).ok());
        Ok(Some(Caller {
            org: key.org,
            key: key.key,
            scopes: key.scopes.split(',').filter_map(|scope| scope.parse().ok()).collect(),
            source: text(key.source),
            team: text(key.team),
        }))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
