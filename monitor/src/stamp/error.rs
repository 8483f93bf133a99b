//! Reasons why a response is no valid time stamp.

use std::fmt;

use jiff::Timestamp;

use super::elements::Malformed;
use crate::clock::to_the_second;

/// The reason why a response is no valid time stamp of the given bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// The response is no time stamp at all, or a part of it is damaged.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The authority gave no stamp.
    #[error("the authority gives no stamp: {0}")]
    Refused(Refusal),
    /// The stamp is of other bytes.
    #[error("the stamp is of other bytes than these: its SHA-256 differs")]
    OtherBytes,
    /// The stamp uses another hash than the request.
    #[error("the stamp has a hash of the kind {0} instead of SHA-256")]
    OtherHash(String),
    /// The response is not the one to this request.
    #[error("the answer belongs to another request: its nonce is not the one that was sent")]
    OtherNonce,
    /// The stamp was made under another policy.
    #[error("the stamp was made under the policy {found}, and {asked} was asked for")]
    OtherPolicy {
        /// Policy in the request.
        asked: String,
        /// Policy in the stamp.
        found: String,
    },
    /// The stamp has a critical extension, so its other parts can mean something else.
    #[error("the stamp has the critical extension {0}, which this program does not know")]
    Extension(String),
    /// The token signs something else than a time stamp.
    #[error("the token is signed, but it is no time stamp: its content is of the kind {0}")]
    OtherContent(String),
    /// A signed attribute is missing, or there twice.
    #[error("the signature must be over one attribute {0}")]
    Attribute(&'static str),
    /// The signature is about another content.
    #[error("the content of the token was changed: its hash is not the one that was signed")]
    Content,
    /// The token lacks the certificate of its signer.
    #[error("the token does not carry the certificate of its signer")]
    NoCertificate,
    /// The attribute about the certificate is about another one.
    #[error("the certificate in the token is not the one that the signer names")]
    OtherCertificate,
    /// The certificate of the authority is damaged.
    #[error("the certificate of the authority cannot be read")]
    Certificate,
    /// The certificate is not for time stamps.
    #[error(
        "the certificate of {0:?} is not for time stamps: its extended key usage must be critical, and timeStamping alone"
    )]
    Purpose(String),
    /// The key of the certificate is for something else than signatures.
    #[error("the certificate of {0:?} is not for signatures, by its key usage")]
    KeyUsage(String),
    /// The certificate was not valid at the time of the stamp.
    #[error(
        "the certificate of {authority:?} is valid from {} to {}, and the stamp is of {}",
        to_the_second(*from),
        to_the_second(*until),
        to_the_second(*at)
    )]
    Expired {
        /// Name of the authority.
        authority: String,
        /// Begin of the validity.
        from: Timestamp,
        /// End of the validity.
        until: Timestamp,
        /// Time of the stamp.
        at: Timestamp,
    },
    /// This program cannot check the signature.
    #[error(
        "the authority signs with {0}, which this program cannot check: choose another authority, or use `openssl ts -verify`"
    )]
    Algorithm(String),
    /// The signature does not fit.
    #[error("the signature of the token is not of the key in its certificate")]
    Signature,
}

impl StampError {
    /// True if this program cannot check the stamp, so that it may be a valid one.
    #[must_use]
    pub const fn is_unchecked(&self) -> bool {
        matches!(
            self,
            Self::Algorithm(_) | Self::OtherHash(_) | Self::Extension(_)
        )
    }
}

/// The answer of an authority that gives no stamp (RFC 3161, section 2.4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Number of the status.
    pub status: u8,
    /// Texts of the authority.
    pub texts: Vec<String>,
    /// The reasons, as words of RFC 3161.
    pub reasons: Vec<&'static str>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.status {
            0 | 1 => "its answer says `granted` and has no token",
            2 => "rejection",
            3 => "waiting",
            4 => "revocation warning",
            5 => "revocation notification",
            _ => "unknown status",
        };
        f.write_str(word)?;
        for reason in &self.reasons {
            write!(f, ", {reason}")?;
        }
        for text in &self.texts {
            write!(f, ": {}", crate::quoted::quoted(text))?;
        }
        Ok(())
    }
}
