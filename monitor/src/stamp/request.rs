//! Requests to an authority.

use der::{
    Encode as _, Sequence,
    asn1::{Null, ObjectIdentifier, OctetStringRef, UintRef},
};
use sha2::{Digest as _, Sha256};

use super::algorithm::SHA_256;

/// Number of random bytes in a nonce.
pub const NONCE_BYTES: usize = 8;

/// A request for a stamp (RFC 3161, section 2.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    sha256: [u8; 32],
    nonce: [u8; NONCE_BYTES],
    policy: Option<ObjectIdentifier>,
}

/// `TimeStampReq`.
#[derive(Sequence)]
struct TimeStampReq<'a> {
    version: u8,
    message_imprint: MessageImprint<'a>,
    #[asn1(optional = "true")]
    policy: Option<ObjectIdentifier>,
    nonce: UintRef<'a>,
    certificates: bool,
}

#[derive(Sequence)]
struct MessageImprint<'a> {
    algorithm: HashAlgorithm,
    hash: &'a OctetStringRef,
}

#[derive(Sequence)]
struct HashAlgorithm {
    algorithm: ObjectIdentifier,
    parameters: Null,
}

impl Request {
    /// A request for a stamp over `data`. The `nonce` is random. Without a `policy`, the
    /// authority chooses its own.
    #[must_use]
    pub fn new(
        data: &[u8],
        mut nonce: [u8; NONCE_BYTES],
        policy: Option<ObjectIdentifier>,
    ) -> Self {
        // DER drops leading zeros. With this bit, the nonce always has the same length.
        nonce[0] = nonce[0] & 0x7f | 0x40;
        Self {
            sha256: Sha256::digest(data).into(),
            nonce,
            policy,
        }
    }

    /// The bytes to send.
    ///
    /// # Errors
    ///
    /// Returns an error if the parts are too long, which they are not.
    pub fn to_der(&self) -> der::Result<Vec<u8>> {
        let request = TimeStampReq {
            version: 1,
            message_imprint: MessageImprint {
                algorithm: HashAlgorithm {
                    algorithm: SHA_256,
                    parameters: Null,
                },
                hash: OctetStringRef::new(&self.sha256)?,
            },
            policy: self.policy,
            nonce: UintRef::new(&self.nonce)?,
            certificates: true,
        };
        request.to_der()
    }

    /// True if an answer with this nonce is the one to this request.
    pub(super) fn has_nonce(&self, nonce: Option<&[u8]>) -> bool {
        nonce == Some(&self.nonce[..])
    }

    /// The policy that the authority must use.
    pub(super) const fn policy(&self) -> Option<&ObjectIdentifier> {
        self.policy.as_ref()
    }
}
