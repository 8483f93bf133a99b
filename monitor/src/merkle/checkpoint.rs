//! Signed heads of the log, in the form that other transparency logs use: the *checkpoint* and
//! the *signed note* of C2SP (<https://c2sp.org/tlog-checkpoint>, <https://c2sp.org/signed-note>).
//!
//! ```text
//! monitor-evidence/5f0c…          origin: the log
//! 215                             number of lines
//! q0ZL…=                          root, base64
//! at 2026-11-30T01:40:12Z         time by the gateway's clock
//! proofs 8Xb1…=                   SHA-256 over the proofs that the file carries, base64
//!
//! — monitor-evidence/5f0c… 3mY1…  signature (Ed25519, RFC 8032)
//! ```

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use sha2::{Digest as _, Sha256};

use super::tree::Hash;

/// The number of Ed25519 in a signed note.
const ED25519_NUMBER: u8 = 1;

/// A key cannot sign.
#[derive(Debug, thiserror::Error)]
#[error("the file does not hold an Ed25519 key as PKCS #8")]
pub struct InvalidKey;

/// A text is not a public key.
#[derive(Debug, thiserror::Error)]
#[error("write the key as the report has it: NAME+HASH+KEY, with an Ed25519 key")]
pub struct InvalidPublicKey;

/// A text is not a checkpoint with a valid signature.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// The text has another form.
    #[error("the signed head has not the form of a checkpoint")]
    Form,
    /// No signature of the key fits.
    #[error("the signature of the head is not of the key {0}")]
    Signature(String),
}

/// The head of a log: how many lines it has, and the root over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Number of lines.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
    /// Time by the gateway's clock (RFC 3339).
    pub at: String,
    /// SHA-256 over the proofs that the file carries ([`super::Proven::digest`]).
    pub proofs: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    fn text(&self) -> String {
        let [root, proofs] = [self.root, self.proofs].map(|hash| STANDARD.encode(hash));
        let Self {
            origin, size, at, ..
        } = self;
        format!("{origin}\n{size}\n{root}\nat {at}\nproofs {proofs}\n")
    }

    /// The signed note.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        let text = self.text();
        let signature = key.0.sign(text.as_bytes());
        let public = key.public(&self.origin);
        let mut bytes = public.hash().to_vec();
        bytes.extend(signature.as_ref());
        format!("{text}\n— {} {}\n", self.origin, STANDARD.encode(bytes))
    }

    /// Reads a signed note, and checks its signature.
    ///
    /// # Errors
    ///
    /// Returns an error if the text has another form, or if the signature is not of this key.
    pub fn open(note: &str, key: &PublicKey) -> Result<Self, CheckpointError> {
        let checkpoint = Self::read(note).ok_or(CheckpointError::Form)?;
        if checkpoint.origin != key.name {
            return Err(CheckpointError::Form);
        }
        let text = checkpoint.text();
        let wrong = || CheckpointError::Signature(key.to_string());
        // The rest of the note is the signature line alone.
        let line = note.strip_prefix(&text).and_then(|rest| {
            let line = rest.strip_prefix("\n— ")?.strip_suffix('\n')?;
            line.strip_prefix(&key.name)?.strip_prefix(' ')
        });
        let bytes = STANDARD
            .decode(line.ok_or_else(wrong)?)
            .map_err(|_| wrong())?;
        let signature = bytes.strip_prefix(&key.hash()).ok_or_else(wrong)?;
        UnparsedPublicKey::new(&ED25519, key.key)
            .verify(text.as_bytes(), signature)
            .map_err(|_| wrong())?;
        Ok(checkpoint)
    }

    fn read(note: &str) -> Option<Self> {
        let hash = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
        let mut lines = note.lines();
        let checkpoint = Self {
            origin: lines.next()?.to_owned(),
            size: lines.next()?.parse().ok()?,
            root: hash(lines.next()?)?,
            at: lines.next()?.strip_prefix("at ")?.to_owned(),
            proofs: hash(lines.next()?.strip_prefix("proofs ")?)?,
        };
        checkpoint.at.parse::<jiff::Timestamp>().ok()?;
        Some(checkpoint)
    }
}

/// The key by which a gateway signs the heads of its log.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// Makes a random key, as PKCS #8 (RFC 5958).
    ///
    /// # Errors
    ///
    /// Returns an error if the system gives no random bytes.
    pub fn generate() -> Result<Vec<u8>, InvalidKey> {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| InvalidKey)?;
        Ok(key.as_ref().to_vec())
    }

    /// Reads a key as [`Self::generate`] makes it.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are no Ed25519 key.
    pub fn read(pkcs8: &[u8]) -> Result<Self, InvalidKey> {
        Ed25519KeyPair::from_pkcs8(pkcs8)
            .map(Self)
            .map_err(|_| InvalidKey)
    }

    /// The key by which others check the signatures of the log with this name.
    #[must_use]
    pub fn public(&self, origin: &str) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey {
            name: origin.to_owned(),
            key,
        }
    }
}

/// A public key, written as the `vkey` of a signed note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Name of the log.
    name: String,
    key: [u8; 32],
}

impl PublicKey {
    /// True if the keys are the same, whatever the names of their logs are.
    #[must_use]
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// The first bytes of a SHA-256 over name and key.
    fn hash(&self) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update([b'\n', ED25519_NUMBER]);
        hash.update(self.key);
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
        [a, b, c, d]
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519_NUMBER], &self.key[..]].concat();
        let hash = hex::encode(self.hash());
        write!(f, "{}+{hash}+{}", self.name, STANDARD.encode(key))
    }
}

impl std::str::FromStr for PublicKey {
    type Err = InvalidPublicKey;

    fn from_str(text: &str) -> Result<Self, InvalidPublicKey> {
        let parse = || {
            let (name, rest) = text.split_once('+')?;
            let (_, key) = rest.split_once('+')?;
            let bytes = STANDARD.decode(key).ok()?;
            let key = bytes.strip_prefix(&[ED25519_NUMBER])?;
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
            if name.is_empty() || !name.chars().all(is_plain) {
                return None;
            }
            let public = Self {
                name: name.to_owned(),
                key: key.try_into().ok()?,
            };
            // The hash in the text must fit.
            (public.to_string() == text).then_some(public)
        };
        parse().ok_or(InvalidPublicKey)
    }
}
