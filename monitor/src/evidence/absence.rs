//! Explains why the daemon may know no name of an address.

use std::{fmt, net::IpAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    answers::Answers,
    encrypted::{EncryptedDns, EncryptedSeen},
};
use crate::{clock::to_the_second, policy::MacAddress};

/// What is known about an address without a name.
///
/// The reason is not known: encrypted DNS, a cache in the device, a VPN, a late start of
/// the gateway and an address within a program all look the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Since this time, no answer to any device gave the address.
    pub since: Timestamp,
    /// Since this time, no answer to this device gave the address. It is not later than
    /// `since`.
    pub since_by_device: Timestamp,
    /// Encrypted DNS that was seen from the device.
    pub encrypted: Vec<EncryptedDns>,
}

impl Absence {
    /// Returns what is known about an address for which [`Answers::names`] gives no name.
    #[must_use]
    pub fn new(
        answers: &Answers,
        encrypted: &EncryptedSeen,
        device: MacAddress,
        now: Timestamp,
    ) -> Self {
        let since = answers.seen_since(now);
        Self {
            since,
            since_by_device: answers.seen_since_by(device, now).min(since),
            encrypted: encrypted.of(device),
        }
    }
}

/// Why destinations of a device have no name, as `monitor flows` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsenceView {
    /// The device.
    pub device: MacAddress,
    /// Since this time, no DNS answer to any device gave such an address (RFC 3339).
    pub since: String,
    /// Since this time, no DNS answer to this device gave such an address (RFC 3339).
    pub since_by_device: String,
    /// Encrypted DNS that was seen from the device.
    pub encrypted: Vec<EncryptedView>,
}

/// Encrypted DNS of a device with one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptedView {
    /// How it was recognised: a word of [`super::encrypted::EncryptedKind`].
    pub kind: String,
    /// The same in words.
    pub what: String,
    /// Address of the server.
    pub server: IpAddr,
    /// Server name of the connection, or the encrypted resolver that the device was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Operator of the resolver, if the server is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Time of the first use that was seen (RFC 3339).
    pub first: String,
    /// Time of the last use that was seen (RFC 3339).
    pub last: String,
}

impl AbsenceView {
    /// The view of what is known about the destinations of a device that have no name.
    #[must_use]
    pub fn new(device: MacAddress, absence: &Absence) -> Self {
        Self {
            device,
            since: to_the_second(up(absence.since)),
            since_by_device: to_the_second(up(absence.since_by_device)),
            encrypted: absence.encrypted.iter().map(EncryptedView::new).collect(),
        }
    }
}

/// The sentence about one destination.
impl fmt::Display for AbsenceView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (since, by_device) = (&self.since, &self.since_by_device);
        write!(
            f,
            "no DNS answer for this address was seen by this gateway since {since}"
        )?;
        if by_device < since {
            write!(f, ", and none to this device since {by_device}")?;
        }
        Ok(())
    }
}

impl EncryptedView {
    /// The view of one server.
    pub(super) fn new(encrypted: &EncryptedDns) -> Self {
        Self {
            kind: encrypted.kind.word().to_owned(),
            what: encrypted.kind.text().to_owned(),
            server: encrypted.server,
            name: encrypted.name.clone(),
            operator: encrypted.operator.map(str::to_owned),
            first: to_the_second(encrypted.first),
            last: to_the_second(encrypted.last),
        }
    }
}

impl fmt::Display for EncryptedView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.server)?;
        match (&self.name, &self.operator) {
            (Some(name), Some(operator)) => write!(f, " ({name}, {operator})")?,
            (Some(name), None) | (None, Some(name)) => write!(f, " ({name})")?,
            (None, None) => {}
        }
        write!(f, ", first {}, last {}", self.first, self.last)
    }
}

/// Rounds up to a full second.
fn up(time: Timestamp) -> Timestamp {
    let second = time.as_second() + i64::from(time.subsec_nanosecond() > 0);
    Timestamp::from_second(second).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{answers::AnswerSettings, claim::FlowEnd};

    const DEVICE: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_sentence_names_the_time_and_the_encrypted_dns() {
        let started = time("2026-11-29T08:00:00.5Z");
        let now = time("2026-11-29T09:00:00Z");
        let answers = Answers::new(AnswerSettings::default(), started);
        let mut encrypted = EncryptedSeen::default();
        let view = |encrypted: &EncryptedSeen| {
            AbsenceView::new(DEVICE, &Absence::new(&answers, encrypted, DEVICE, now))
        };
        let absence = view(&encrypted);
        assert_eq!(
            absence.to_string(),
            "no DNS answer for this address was seen by this gateway since \
             2026-11-29T08:00:01Z"
        );
        assert_eq!(absence.encrypted, []);
        let end = FlowEnd {
            device: DEVICE,
            destination: "8.8.4.4".parse().unwrap(),
            protocol: 6,
            port: 853,
        };
        encrypted.flow(&end, time("2026-11-29T08:10:00Z"), now);
        assert_eq!(
            view(&encrypted).encrypted[0].to_string(),
            "DNS over TLS to 8.8.4.4 (Google), first 2026-11-29T08:10:00Z, last \
             2026-11-29T09:00:00Z"
        );
    }

    #[test]
    fn the_sentence_tells_the_device_from_the_gateway() {
        let absence = Absence {
            since: time("2026-11-29T08:30:00Z"),
            since_by_device: time("2026-11-29T08:00:00Z"),
            encrypted: Vec::new(),
        };
        let text = AbsenceView::new(DEVICE, &absence).to_string();
        assert!(text.ends_with(
            "since 2026-11-29T08:30:00Z, and none to this device since 2026-11-29T08:00:00Z"
        ));
    }
}
