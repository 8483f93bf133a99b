//! The authorities that an operator trusts.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject as _};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// The purpose `timeStamping` (1.3.6.1.5.5.7.3.8), without tag and length.
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];

/// A file names no authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthorities {
    /// The file has no certificate.
    #[error(
        "it holds no certificate: write the certificate of the authority's CA into it, as PEM (`-----BEGIN CERTIFICATE-----`)"
    )]
    None,
    /// A certificate cannot be read.
    #[error("certificate {0} in it cannot be read")]
    Damaged(usize),
}

/// The certificate of a stamp does not lead to a trusted one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// No trusted certificate signed it.
    #[error("none of the trusted certificates signed that of the authority")]
    Unknown,
    /// A certificate on the way was not valid at the time of the stamp.
    #[error("a certificate between the authority's and the trusted one was not valid at that time")]
    Time,
    /// Another reason.
    #[error("the certificates do not lead to a trusted one: {0}")]
    Chain(webpki::Error),
}

/// The certificates of the authorities that an operator trusts.
#[derive(Clone, Debug)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Reads certificates as PEM.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no certificate, or if one cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidAuthorities> {
        let mut certificates = Vec::new();
        for (index, found) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let damaged = InvalidAuthorities::Damaged(index + 1);
            let certificate: CertificateDer<'static> = found.map_err(|_| damaged)?;
            anchor_from_trusted_cert(&certificate).map_err(|_| damaged)?;
            certificates.push(certificate);
        }
        if certificates.is_empty() {
            return Err(InvalidAuthorities::None);
        }
        Ok(Self(certificates))
    }

    /// Checks that a certificate is one of these, or leads to one of them through `others`, at
    /// the time of a stamp.
    pub(super) fn vouch_for(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        at: Timestamp,
    ) -> Result<(), Untrusted> {
        if self.0.iter().any(|trusted| trusted == certificate) {
            return Ok(());
        }
        let mut anchors = Vec::new();
        for trusted in &self.0 {
            anchors.push(anchor_from_trusted_cert(trusted).map_err(Untrusted::Chain)?);
        }
        let seconds = u64::try_from(at.as_second()).map_err(|_| Untrusted::Time)?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let end = EndEntityCert::try_from(certificate).map_err(Untrusted::Chain)?;
        let path = end.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            others,
            time,
            // `check_purpose` demands it of the authority; a CA can be for other purposes too.
            KeyUsage::required_if_present(TIME_STAMPING),
            None,
            None,
        );
        match path {
            Ok(_) => Ok(()),
            Err(webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey) => {
                Err(Untrusted::Unknown)
            }
            Err(webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }) => {
                Err(Untrusted::Time)
            }
            Err(other) => Err(Untrusted::Chain(other)),
        }
    }
}
