//! A key that opens a door. It can be sent and that is all: it prints as nothing, so it gets into no log and no message by
//! accident, and errors about it name where it came from instead of what it is.

use std::fmt;
use std::path::Path;

#[derive(Clone)]
pub struct Secret(Box<str>);

/// Why there is no key where one was named.
#[derive(Debug, thiserror::Error)]
pub enum NoSecret {
    #[error("{name}: cannot read {file}: {why}")]
    Unreadable { name: String, file: String, why: String },
    #[error("{name}: a key has only visible ASCII characters; look for a blank or a line break inside it")]
    NoKey { name: String },
}

impl Secret {
    /// Takes a key as a person pasted it: blanks and line breaks around it go. Nothing where nothing is left.
    pub fn of(name: &str, text: &str) -> Result<Option<Secret>, NoSecret> {
        match text.trim() {
            "" => Ok(None),
            key if key.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(Secret(key.into()))),
            _ => Err(NoSecret::NoKey { name: name.to_owned() }),
        }
    }

    /// The key in a variable's value, or in the file that was named instead.
    pub fn gather(name: &str, value: Option<&str>, file: Option<&Path>) -> Result<Option<Secret>, NoSecret> {
        if let Some(secret) = Secret::of(name, value.unwrap_or_default())? {
            return Ok(Some(secret));
        }
        let Some(path) = file else { return Ok(None) };
        let unreadable = |e: std::io::Error| NoSecret::Unreadable {
            name: name.to_owned(),
            file: path.display().to_string(),
            why: e.to_string(),
        };
        Secret::of(name, &std::fs::read_to_string(path).map_err(unreadable)?)
    }

    /// For the header of a request, and nothing else.
    pub(in crate::provider) fn revealed(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_prints_as_nothing_and_is_read_from_a_file_too() {
        let path = std::env::temp_dir().join(format!("farthing-secret-{}", std::process::id()));
        std::fs::write(&path, "sk-or-canary\n").unwrap();
        let secret = Secret::gather("OPENROUTER_API_KEY", Some(" "), Some(&path)).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((secret.revealed(), format!("{secret:?}").as_str()), ("sk-or-canary", "Secret"));
        let broken = Secret::of("OPENROUTER_API_KEY", "sk-or\ncanary").unwrap_err().to_string();
        assert!(!broken.contains("canary"), "{broken}");
        let missing = Secret::gather("OPENROUTER_API_KEY", None, Some(&path)).unwrap_err().to_string();
        assert!(missing.starts_with("OPENROUTER_API_KEY: cannot read "), "{missing}");
    }
}
