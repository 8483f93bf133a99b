//! Explains why the daemon may know no name of an address.

use std::fmt;

use jiff::Timestamp;

use super::{
    answers::Answers,
    encrypted::{EncryptedDns, EncryptedSeen},
};
use crate::policy::MacAddress;

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

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (since, by_device) = (up(self.since), up(self.since_by_device));
        write!(
            f,
            "no DNS answer for this address was seen by this gateway since {since}"
        )?;
        if by_device < since {
            write!(f, ", and none to this device since {by_device}")?;
        }
        let Some((first, others)) = self.encrypted.split_first() else {
            return write!(
                f,
                "; no encrypted DNS of a known kind was seen from this device"
            );
        };
        write!(f, "; encrypted DNS seen from this device: {first}")?;
        others.iter().try_for_each(|other| write!(f, "; {other}"))
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
        let absence = Absence::new(&answers, &encrypted, DEVICE, now);
        assert_eq!(
            absence.to_string(),
            "no DNS answer for this address was seen by this gateway since \
             2026-11-29T08:00:01Z; no encrypted DNS of a known kind was seen from this device"
        );
        let end = FlowEnd {
            device: DEVICE,
            destination: "8.8.4.4".parse().unwrap(),
            protocol: 6,
            port: 853,
        };
        encrypted.flow(&end, time("2026-11-29T08:10:00Z"), now);
        let absence = Absence::new(&answers, &encrypted, DEVICE, now);
        assert_eq!(
            absence.to_string(),
            "no DNS answer for this address was seen by this gateway since \
             2026-11-29T08:00:01Z; encrypted DNS seen from this device: DNS over TLS to \
             8.8.4.4 (Google), first 2026-11-29T08:10:00Z, last 2026-11-29T09:00:00Z"
        );
    }

    #[test]
    fn the_sentence_tells_the_device_from_the_gateway() {
        let absence = Absence {
            since: time("2026-11-29T08:30:00Z"),
            since_by_device: time("2026-11-29T08:00:00Z"),
            encrypted: Vec::new(),
        };
        let text = absence.to_string();
        assert!(text.contains(
            "since 2026-11-29T08:30:00Z, and none to this device since 2026-11-29T08:00:00Z;"
        ));
    }
}
