//! Hashes and signatures of tokens.

use der::{Tag, asn1::ObjectIdentifier};
use ring::digest;
use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::ring as algorithms;

use super::{
    elements::{Element, Malformed},
    error::StampError,
};

/// SHA-256.
pub(super) const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// RSA with PKCS #1 v1.5, whose hash is the one of the signer.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// RSA with PKCS #1 v1.5, with the name of its hash.
const RSA_WITH: [(ObjectIdentifier, Hash); 3] = [
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"),
        Hash::Sha256,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"),
        Hash::Sha384,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"),
        Hash::Sha512,
    ),
];

/// ECDSA with the name of its hash.
const ECDSA_WITH: [(ObjectIdentifier, Hash); 3] = [
    (
        ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
        Hash::Sha256,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"),
        Hash::Sha384,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"),
        Hash::Sha512,
    ),
];

/// A hash that is strong enough for a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// The hash that this identifier names.
    pub(super) fn named(identifier: &ObjectIdentifier) -> Result<Self, StampError> {
        let known = [
            (SHA_256, Self::Sha256),
            (SHA_384, Self::Sha384),
            (SHA_512, Self::Sha512),
        ];
        let found = known.into_iter().find(|(name, _)| name == identifier);
        found
            .map(|(_, hash)| hash)
            .ok_or_else(|| StampError::Algorithm(format!("the hash {identifier}")))
    }

    pub(super) fn of(self, bytes: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes)
    }
}

/// The algorithms that a signature can be of. The key decides which one it is.
pub(super) fn signature(
    identifier: &ObjectIdentifier,
    hash: Hash,
) -> Result<Vec<&'static dyn SignatureVerificationAlgorithm>, StampError> {
    let named = (*identifier, hash);
    let is_rsa = *identifier == RSA || RSA_WITH.contains(&named);
    Ok(match (is_rsa, ECDSA_WITH.contains(&named), hash) {
        (true, _, Hash::Sha256) => vec![algorithms::RSA_PKCS1_2048_8192_SHA256],
        (true, _, Hash::Sha384) => vec![algorithms::RSA_PKCS1_2048_8192_SHA384],
        (true, _, Hash::Sha512) => vec![algorithms::RSA_PKCS1_2048_8192_SHA512],
        (_, true, Hash::Sha256) => {
            vec![algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256]
        }
        (_, true, Hash::Sha384) => {
            vec![algorithms::ECDSA_P256_SHA384, algorithms::ECDSA_P384_SHA384]
        }
        (_, true, Hash::Sha512) => {
            return Err(StampError::Algorithm("ECDSA and SHA-512".to_owned()));
        }
        (false, false, _) => {
            let name = format!("the algorithm {identifier} and {hash:?}");
            return Err(StampError::Algorithm(name));
        }
    })
}

/// The identifier in an `AlgorithmIdentifier`, whose parameters must be NULL or missing.
pub(super) fn identifier(element: &Element<'_>) -> Result<ObjectIdentifier, Malformed> {
    let mut parts = element.inside(Tag::Sequence)?;
    let identifier = parts.next()?.decode()?;
    if let Some(null) = parts.next_if(Tag::Null)? {
        null.decode::<der::asn1::Null>()?;
    }
    parts.end()?;
    Ok(identifier)
}
