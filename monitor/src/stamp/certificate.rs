//! The certificate of an authority.

use std::time::Duration;

use der::{Decode as _, Encode as _, asn1::ObjectIdentifier};
use jiff::Timestamp;
use x509_cert::{
    Certificate as Parsed,
    ext::{
        Extension,
        pkix::{ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier},
    },
    time::Time,
};

use super::{error::StampError, token::CertificateName};
use crate::quoted::quoted;

const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");

/// A certificate that was read.
pub(super) struct Certificate<'a> {
    pub(super) der: &'a [u8],
    parsed: Parsed,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate; `None` if it is damaged.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let parsed = Parsed::from_der(der).ok()?;
        Some(Self { der, parsed })
    }

    /// True if the name is that of this certificate.
    pub(super) fn is(&self, name: &CertificateName<'_>) -> bool {
        let certificate = self.parsed.tbs_certificate();
        match name {
            CertificateName::Issuer(issuer, serial) => {
                certificate.issuer().to_der().as_deref() == Ok(*issuer)
                    && certificate.serial_number().to_der().as_deref() == Ok(*serial)
            }
            CertificateName::Key(key) => self
                .extension(KEY_IDENTIFIER)
                .and_then(|found| SubjectKeyIdentifier::from_der(found.extn_value.as_bytes()).ok())
                .is_some_and(|found| found.0.as_bytes() == *key),
        }
    }

    /// The name of the subject, shortened: its common name, if it has one.
    pub(super) fn name(&self) -> String {
        let subject = self.parsed.tbs_certificate().subject();
        let common = subject.common_name().ok().flatten();
        let name = common.map(|name| name.value().into_owned());
        quoted(&name.unwrap_or_else(|| subject.to_string()))
    }

    /// Checks that the certificate is for time stamps alone (RFC 3161, section 2.3).
    pub(super) fn check_purpose(&self) -> Result<(), StampError> {
        let purposes = self
            .extension(EXTENDED_KEY_USAGE)
            .filter(|found| found.critical)
            .and_then(|found| ExtendedKeyUsage::from_der(found.extn_value.as_bytes()).ok());
        if purposes.is_none_or(|purposes| purposes.0 != [TIME_STAMPING]) {
            return Err(StampError::Purpose(self.name()));
        }
        let Some(usage) = self.extension(KEY_USAGE) else {
            return Ok(());
        };
        let signs = KeyUsages::DigitalSignature | KeyUsages::NonRepudiation;
        match KeyUsage::from_der(usage.extn_value.as_bytes()) {
            Ok(usage) if !usage.0.is_empty() && signs.contains(usage.0) => Ok(()),
            _ => Err(StampError::KeyUsage(self.name())),
        }
    }

    /// Checks that the certificate was valid at the time of a stamp.
    pub(super) fn check_time(&self, at: Timestamp) -> Result<(), StampError> {
        let validity = self.parsed.tbs_certificate().validity();
        let from = time(&validity.not_before);
        let until = time(&validity.not_after);
        let (Some(from), Some(until)) = (from, until) else {
            return Err(StampError::Certificate);
        };
        // The last second is valid, with its fractions.
        if from <= at && at.as_second() <= until.as_second() {
            return Ok(());
        }
        Err(StampError::Expired {
            authority: self.name(),
            from,
            until,
            at,
        })
    }

    fn extension(&self, identifier: ObjectIdentifier) -> Option<&Extension> {
        let extensions = self.parsed.tbs_certificate().extensions()?;
        extensions
            .iter()
            .find(|extension| extension.extn_id == identifier)
    }
}

fn time(time: &Time) -> Option<Timestamp> {
    let since_1970: Duration = time.to_unix_duration();
    let seconds = i64::try_from(since_1970.as_secs()).ok()?;
    // A certificate without an end has the last second of the year 9999 (RFC 5280, section
    // 4.1.2.5).
    Timestamp::from_second(seconds.min(Timestamp::MAX.as_second())).ok()
}
