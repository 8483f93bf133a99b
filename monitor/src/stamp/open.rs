//! Checks a stamp.

use jiff::{SignedDuration, Timestamp};
use ring::digest;
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use webpki::EndEntityCert;

use super::{
    algorithm::{self, SHA_256},
    authorities::{Authorities, Untrusted},
    certificate::Certificate,
    error::StampError,
    request::Request,
    response,
    token::{CertificateHash, Signer, Token},
    tst_info::TstInfo,
};

/// A stamp that carries a certificate, and whose signature is valid under the key of that
/// certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Name of the authority in its certificate, shortened. Anybody can make a certificate with
    /// any name.
    pub authority: String,
    /// Time by the authority's clock.
    pub at: Timestamp,
    /// How far the time can be off, if the authority says that.
    pub accuracy: Option<SignedDuration>,
    /// Policy under which the authority made the stamp, as an object identifier.
    pub policy: String,
    /// Serial number of the stamp, hexadecimal.
    pub serial: String,
    certificate: CertificateDer<'static>,
    /// The other certificates in the token.
    others: Vec<CertificateDer<'static>>,
}

impl Stamp {
    /// Checks that the stamp is of an authority that the operator trusts.
    ///
    /// # Errors
    ///
    /// Returns the reason why the certificate leads to none of the `authorities`.
    pub fn check_authority(&self, authorities: &Authorities) -> Result<(), Untrusted> {
        authorities.vouch_for(&self.certificate, &self.others, self.at)
    }
}

/// Checks the `response` of an authority: it grants a stamp of `data`, it is the answer to the
/// `request` if one is given, and its signature fits the certificate in it, which is for time
/// stamps and was valid then.
///
/// Three things in a response can change without an error, because nothing signs them: the
/// status `granted` can become `grantedWithMods`, with other texts; certificates that are not
/// the signer's, and lists of revoked ones, can be added or removed; and unsigned attributes.
/// RSA has two names for the same signature.
///
/// # Errors
///
/// Returns what is wrong.
pub fn open(response: &[u8], data: &[u8], request: Option<&Request>) -> Result<Stamp, StampError> {
    let token = Token::read(response::token(response)?)?;
    let stated = TstInfo::read(token.content)?;
    check_statement(&stated, data, request)?;
    let signer = &token.signer;
    signer.check_content(token.content)?;
    let certificates = token.certificates.iter();
    let certificate = certificates
        .filter_map(|der| Certificate::read(der))
        .find(|certificate| certificate.is(&signer.certificate))
        .ok_or(StampError::NoCertificate)?;
    check_certificate(signer, &certificate)?;
    check_signature(signer, &certificate)?;
    certificate.check_purpose()?;
    certificate.check_time(stated.at)?;
    let owned = |der: &[u8]| CertificateDer::from(der.to_vec());
    let others = token.certificates.iter();
    let others = others.filter(|other| **other != certificate.der);
    Ok(Stamp {
        authority: certificate.name(),
        at: stated.at,
        accuracy: stated.accuracy,
        policy: stated.policy.to_string(),
        serial: hex::encode(stated.serial),
        certificate: owned(certificate.der),
        others: others.map(|der| owned(der)).collect(),
    })
}

fn check_statement(
    stated: &TstInfo<'_>,
    data: &[u8],
    request: Option<&Request>,
) -> Result<(), StampError> {
    if stated.hash_algorithm != SHA_256 {
        return Err(StampError::OtherHash(stated.hash_algorithm.to_string()));
    }
    if stated.hash != Sha256::digest(data).as_slice() {
        return Err(StampError::OtherBytes);
    }
    let Some(request) = request else {
        return Ok(());
    };
    if !request.has_nonce(stated.nonce) {
        return Err(StampError::OtherNonce);
    }
    match request.policy() {
        Some(asked) if *asked != stated.policy => Err(StampError::OtherPolicy {
            asked: asked.to_string(),
            found: stated.policy.to_string(),
        }),
        _ => Ok(()),
    }
}

/// Checks that the signer names this certificate. So another certificate of the same key, with
/// another name or other purposes, does not fit.
fn check_certificate(signer: &Signer<'_>, certificate: &Certificate<'_>) -> Result<(), StampError> {
    let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
    for hash in signer.certificate_hashes()? {
        let fits = match hash {
            CertificateHash::Sha1(hash) => digest::digest(sha1, certificate.der).as_ref() == hash,
            CertificateHash::Other(kind, hash) => kind.of(certificate.der).as_ref() == hash,
        };
        if !fits {
            return Err(StampError::OtherCertificate);
        }
    }
    Ok(())
}

fn check_signature(signer: &Signer<'_>, certificate: &Certificate<'_>) -> Result<(), StampError> {
    let der = CertificateDer::from(certificate.der);
    let key = EndEntityCert::try_from(&der).map_err(|_| StampError::Certificate)?;
    let bytes = signer.signed_bytes();
    for algorithm in algorithm::signature(&signer.algorithm, signer.hash)? {
        match key.verify_signature(algorithm, &bytes, signer.signature) {
            Ok(()) => return Ok(()),
            Err(webpki::Error::InvalidSignatureForPublicKey) => return Err(StampError::Signature),
            // The algorithm is for another kind of key.
            Err(_) => {}
        }
    }
    Err(StampError::Algorithm("a key of another kind".to_owned()))
}
