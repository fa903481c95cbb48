//! Signatures: ed25519 over the canonical JSON of what is signed, so that whoever has the public key can tell that a manifest or a
//! closing comes from where it says and was not changed since. The same thing signed twice has the same signature.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who signed, and what came of it, both in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The public key.
    pub key: String,
    pub ed25519: String,
}

/// A private key. It signs and that is all; it prints as its public key.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// The key of a seed: 64 hexadecimal digits, with blanks and line breaks around them.
    pub fn of(seed: &str) -> Result<Signer, String> {
        let wrong = || "a signing key is 64 hexadecimal digits; `farthing signing-key FILE` makes one".to_owned();
        let seed = bytes_of(seed.trim()).filter(|seed| seed.len() == 32).ok_or_else(wrong)?;
        Ed25519KeyPair::from_seed_unchecked(&seed).map(Signer).map_err(|_| wrong())
    }

    pub fn public_key(&self) -> String {
        digits(self.0.public_key().as_ref())
    }

    pub fn sign(&self, bytes: &[u8]) -> Signature {
        Signature { key: self.public_key(), ed25519: digits(self.0.sign(bytes).as_ref()) }
    }
}

impl Signature {
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        let (Some(key), Some(signature)) = (bytes_of(&self.key), bytes_of(&self.ed25519)) else { return false };
        UnparsedPublicKey::new(&ED25519, key).verify(bytes, &signature).is_ok()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public_key())
    }
}

/// Bytes in lower-case hexadecimal.
pub fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let is_hexadecimal = digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let byte = |place: usize| u8::from_str_radix(&digits[place..place + 2], 16).ok();
    is_hexadecimal.then(|| (0..digits.len()).step_by(2).map(byte).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first test vector of RFC 8032, section 7.1.
    #[test]
    fn a_signature_is_that_of_the_standard() {
        let signer = Signer::of("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n").unwrap();
        let signature = signer.sign(b"");
        assert_eq!(signature.key, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(
            signature.ed25519,
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        );
        assert!(signature.is_of(b"") && !signature.is_of(b"x"));
        assert_eq!(format!("{signer:?}"), format!("Signer({})", signature.key));
    }

    #[test]
    fn what_is_no_key_is_said_to_be_none_and_not_shown() {
        for bad in ["", "canary", "9d61", "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f6é"] {
            let said = Signer::of(bad).unwrap_err();
            assert!(said.starts_with("a signing key is 64") && !said.contains("canary"), "{said}");
        }
        let other = Signature { key: "00".to_owned(), ed25519: "zz".to_owned() };
        assert!(!other.is_of(b""));
    }
}
