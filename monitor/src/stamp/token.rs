//! The signed token (RFC 5652, `SignedData`).

use der::{Tag, asn1::ObjectIdentifier};

use super::{
    algorithm::{self, Hash},
    elements::{Element, Elements, Malformed, context, primitive},
    error::StampError,
};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const CERTIFICATE_V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// The most certificates of a token that are looked at.
const MOST_CERTIFICATES: usize = 20;

/// A token. Nothing of it is checked but its form.
pub(super) struct Token<'a> {
    /// Content, as DER of `TSTInfo`.
    pub(super) content: &'a [u8],
    /// Certificates, as DER.
    pub(super) certificates: Vec<&'a [u8]>,
    pub(super) signer: Signer<'a>,
}

/// The name of a certificate.
pub(super) enum CertificateName<'a> {
    /// DER of the issuer's name, and DER of the serial number.
    Issuer(&'a [u8], &'a [u8]),
    /// Identifier of the key.
    Key(&'a [u8]),
}

/// The signature of a token.
pub(super) struct Signer<'a> {
    pub(super) certificate: CertificateName<'a>,
    pub(super) hash: Hash,
    /// The attributes that are signed.
    attributes: Element<'a>,
    pub(super) algorithm: ObjectIdentifier,
    pub(super) signature: &'a [u8],
}

/// A hash of the signer's certificate (RFC 5035).
pub(super) enum CertificateHash<'a> {
    Sha1(&'a [u8]),
    Other(Hash, &'a [u8]),
}

impl<'a> Token<'a> {
    pub(super) fn read(token: Element<'a>) -> Result<Self, StampError> {
        let mut parts = token.inside(Tag::Sequence)?;
        let kind: ObjectIdentifier = parts.next()?.decode()?;
        if kind != SIGNED_DATA {
            return Err(StampError::OtherContent(kind.to_string()));
        }
        let data = parts.next()?.inside(context(0))?.only()?;
        parts.end()?;
        Self::read_signed(data.inside(Tag::Sequence)?)
    }

    fn read_signed(mut parts: Elements<'a>) -> Result<Self, StampError> {
        let version: u8 = parts.next()?.decode()?;
        let hashes = parts.next()?.named("the list of hashes in the token");
        let content = content(parts.next()?)?;
        let mut certificates = Vec::new();
        if let Some(set) = parts.next_if(context(0))? {
            let mut set = set.inside(context(0))?;
            while !set.is_end() && certificates.len() < MOST_CERTIFICATES {
                let certificate = set.next()?;
                // Other kinds of certificates have other tags.
                if certificate.tag() == Tag::Sequence {
                    certificates.push(certificate.whole);
                }
            }
        }
        parts.next_if(context(1))?;
        let signers = parts.next()?.named("the signature of the token");
        parts.end()?;
        // RFC 3161 allows the authority's signature only.
        let signer = Signer::read(signers.inside(Tag::Set)?.only()?.inside(Tag::Sequence)?)?;
        // RFC 5652, section 5.1: the version for another content than plain data.
        if version != 3 || !names(hashes, signer.hash)? {
            return Err(Malformed("the token").into());
        }
        Ok(Self {
            content,
            certificates,
            signer,
        })
    }
}

/// True if a set of algorithms names this hash, and nothing that is no algorithm.
fn names(set: Element<'_>, hash: Hash) -> Result<bool, StampError> {
    let mut set = set.inside(Tag::Set)?;
    let mut is_named = false;
    while !set.is_end() {
        let identifier = algorithm::identifier(&set.next()?)?;
        is_named |= Hash::named(&identifier)? == hash;
    }
    Ok(is_named)
}

fn content(element: Element<'_>) -> Result<&[u8], StampError> {
    let mut parts = element.inside(Tag::Sequence)?;
    let kind: ObjectIdentifier = parts.next()?.decode()?;
    if kind != TST_INFO {
        return Err(StampError::OtherContent(kind.to_string()));
    }
    let octets = parts.next()?.inside(context(0))?.only()?;
    parts.end()?;
    Ok(octets.value_of(Tag::OctetString)?)
}

impl<'a> Signer<'a> {
    fn read(mut parts: Elements<'a>) -> Result<Self, StampError> {
        let version: u8 = parts.next()?.decode()?;
        let name = parts.next()?;
        let certificate = if name.tag() == Tag::Sequence {
            let mut name = name.inside(Tag::Sequence)?;
            let (issuer, serial) = (name.next()?.whole, name.next()?.whole);
            name.end()?;
            CertificateName::Issuer(issuer, serial)
        } else {
            CertificateName::Key(name.value_of(primitive(0))?)
        };
        // RFC 5652, section 5.3.
        let expected = match certificate {
            CertificateName::Issuer(..) => 1,
            CertificateName::Key(_) => 3,
        };
        let hash = Hash::named(&algorithm::identifier(&parts.next()?)?)?;
        let attributes = parts.next()?.named("the signed attributes of the token");
        attributes.inside(context(0))?;
        let algorithm = algorithm::identifier(&parts.next()?)?;
        let signature = parts.next()?.value_of(Tag::OctetString)?;
        parts.next_if(context(1))?;
        parts.end()?;
        if version != expected {
            return Err(Malformed("the signature of the token").into());
        }
        Ok(Self {
            certificate,
            hash,
            attributes,
            algorithm,
            signature,
        })
    }

    /// The bytes that are signed: the attributes as a SET (RFC 5652, section 5.4).
    pub(super) fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = self.attributes.whole.to_vec();
        if let Some(tag) = bytes.first_mut() {
            *tag = 0x31;
        }
        bytes
    }

    /// Checks that the attributes are about this content, which is a time stamp.
    pub(super) fn check_content(&self, content: &[u8]) -> Result<(), StampError> {
        let kind: ObjectIdentifier = self
            .attribute(&CONTENT_TYPE)?
            .ok_or(StampError::Attribute("contentType"))?
            .decode()?;
        if kind != TST_INFO {
            return Err(StampError::OtherContent(kind.to_string()));
        }
        let digest = self
            .attribute(&MESSAGE_DIGEST)?
            .ok_or(StampError::Attribute("messageDigest"))?
            .value_of(Tag::OctetString)?;
        if self.hash.of(content).as_ref() == digest {
            Ok(())
        } else {
            Err(StampError::Content)
        }
    }

    /// The hashes of the signer's certificate: at least one.
    pub(super) fn certificate_hashes(&self) -> Result<Vec<CertificateHash<'a>>, StampError> {
        let mut hashes = Vec::new();
        if let Some(attribute) = self.attribute(&CERTIFICATE_V1)? {
            let hash = first_certificate(&attribute)?.next()?;
            hashes.push(CertificateHash::Sha1(hash.value_of(Tag::OctetString)?));
        }
        if let Some(attribute) = self.attribute(&CERTIFICATE_V2)? {
            let mut parts = first_certificate(&attribute)?;
            let hash = match parts.next_if(Tag::Sequence)? {
                Some(algorithm) => Hash::named(&algorithm::identifier(&algorithm)?)?,
                None => Hash::Sha256,
            };
            let value = parts.next()?.value_of(Tag::OctetString)?;
            hashes.push(CertificateHash::Other(hash, value));
        }
        if hashes.is_empty() {
            return Err(StampError::Attribute("signingCertificate"));
        }
        Ok(hashes)
    }

    /// The only value of the attribute, if it is there.
    fn attribute(&self, asked: &ObjectIdentifier) -> Result<Option<Element<'a>>, StampError> {
        let mut found = None;
        let mut attributes = self.attributes.inside(context(0))?;
        while !attributes.is_end() {
            let mut parts = attributes.next()?.inside(Tag::Sequence)?;
            let identifier: ObjectIdentifier = parts.next()?.decode()?;
            let values = parts.next()?.inside(Tag::Set)?;
            parts.end()?;
            if identifier == *asked && found.replace(values.only()?).is_some() {
                return Err(Malformed("the signed attributes of the token").into());
            }
        }
        Ok(found)
    }
}

/// The parts of the first certificate in a list. The signer's is the first.
fn first_certificate<'a>(attribute: &Element<'a>) -> Result<Elements<'a>, Malformed> {
    let mut list = attribute
        .inside(Tag::Sequence)?
        .next()?
        .inside(Tag::Sequence)?;
    list.next()?.inside(Tag::Sequence)
}
