//! Facts → alerts.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Alert, AlertKind, AlertState, Contacted, DeviceOfAlert};
use crate::{
    control::{RiskInForce, WaitingInterface},
    doctor::{Diagnosis, FindingStatus},
    evidence::event::{EventView, Happening},
    policy::MacAddress,
    snapshot::{FeedSnapshot, FeedState},
};

/// Seconds after which a feed that cannot be fetched is stale.
const STALE_AFTER: u64 = 24 * 3_600;

/// Something that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What it is about.
    pub kind: AlertKind,
    /// Interface, feed or check.
    pub subject: String,
    /// A text that can name addresses.
    pub detail: Option<String>,
}

impl Condition {
    /// The alert of its begin or end.
    #[must_use]
    pub fn alert(&self, key: &str, state: AlertState, at: Timestamp) -> Alert {
        Alert {
            state,
            key: key.to_owned(),
            detail: self.detail.clone(),
            ..Alert::once(self.kind, at, &self.subject)
        }
    }
}

/// What two looks in a row say about conditions. What one look alone finds has not begun, and what
/// one look alone misses has not ended: an interface may come back at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lasting {
    /// Conditions that both looks found, by key.
    pub begun: BTreeMap<String, Condition>,
    /// Keys that at least one look found.
    found: BTreeSet<String>,
    /// False if nothing looked for blindness, so it is not known which of it has ended.
    is_blindness_known: bool,
}

impl Lasting {
    /// Compares two looks.
    #[must_use]
    pub fn new(
        before: &BTreeMap<String, Condition>,
        now: BTreeMap<String, Condition>,
        is_blindness_known: bool,
    ) -> Self {
        let found = before.keys().chain(now.keys()).cloned().collect();
        let mut begun = now;
        begun.retain(|key, _| before.contains_key(key));
        Self {
            begun,
            found,
            is_blindness_known,
        }
    }

    /// True if this condition has ended.
    #[must_use]
    pub fn has_ended(&self, key: &str, kind: AlertKind) -> bool {
        let is_known = kind != AlertKind::Blind || self.is_blindness_known;
        is_known && !self.found.contains(key)
    }
}

/// The conditions that last now, by key. `diagnosis` is `None` while nothing looks.
#[must_use]
pub fn conditions(
    waiting: &[WaitingInterface],
    feeds: &[FeedSnapshot],
    diagnosis: Option<&Diagnosis>,
    risks: &[RiskInForce],
    refused: Option<&str>,
) -> BTreeMap<String, Condition> {
    let gone = waiting.iter().map(|interface| Condition {
        kind: AlertKind::InterfaceGone,
        subject: interface.interface.clone(),
        detail: Some(interface.why.clone()),
    });
    let stale = feeds
        .iter()
        .filter(|feed| is_stale(feed))
        .map(|feed| Condition {
            kind: AlertKind::FeedStale,
            subject: feed.feed.clone(),
            detail: feed.reason.clone(),
        });
    let blind = diagnosis
        .into_iter()
        .flat_map(|diagnosis| &diagnosis.checks)
        .filter(|finding| finding.remark.status == FindingStatus::Blind)
        .map(|finding| Condition {
            kind: AlertKind::Blind,
            subject: finding.check.name().to_owned(),
            detail: Some(finding.remark.what.clone()),
        });
    let refusal = |subject: &str, detail: Option<&str>| Condition {
        kind: AlertKind::GuardRefusal,
        subject: subject.to_owned(),
        detail: detail.map(str::to_owned),
    };
    let in_force = risks
        .first()
        .map(|risk| refusal("in force", Some(&risk.message)));
    let refused = refused.map(|why| refusal("files", Some(why)));
    gone.chain(stale)
        .chain(blind)
        .chain(in_force)
        .chain(refused)
        .map(|found| (format!("{}/{}", found.kind.word(), found.subject), found))
        .collect()
}

fn is_stale(feed: &FeedSnapshot) -> bool {
    match feed.state {
        FeedState::Current => false,
        FeedState::Refused | FeedState::Failed => feed.age.is_none_or(|age| age > STALE_AFTER),
        FeedState::NeverFetched => feed.last_attempt.is_some(),
    }
}

/// The first contacts among events, one alert for each device and policy. `device` tells what is
/// known about a MAC.
pub fn first_contacts(
    events: &[EventView],
    device: impl Fn(MacAddress) -> DeviceOfAlert,
) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for event in events {
        let (Happening::FirstContact(contact), Some(mac)) = (&event.what, event.device) else {
            continue;
        };
        let Ok(at) = event.at.parse() else {
            continue;
        };
        for policy in &contact.policies {
            let service = match contact.port {
                Some(port) => format!("{}/{port}", contact.protocol),
                None => contact.protocol.clone(),
            };
            alerts.push(Alert {
                key: format!("first-contact/{policy}/{mac}"),
                device: Some(device(mac)),
                contact: Some(Contacted {
                    destination: contact.destination,
                    service,
                    dropped: contact.dropped > 0 && contact.dropped == contact.packets,
                }),
                ..Alert::once(AlertKind::FirstContact, at, policy.as_str())
            });
        }
    }
    alerts
}

/// The losses among events.
#[must_use]
pub fn losses(events: &[EventView]) -> Vec<Alert> {
    let losses = events.iter().filter_map(|event| match &event.what {
        Happening::Loss { reason, packets } => Some(Alert {
            detail: (*packets > 0).then(|| packets.to_string()),
            ..Alert::once(AlertKind::Loss, event.at.parse().ok()?, reason)
        }),
        _ => None,
    });
    losses.collect()
}

/// An alert for each device. The caller leaves out those that were seen before.
pub fn new_devices(
    macs: impl IntoIterator<Item = MacAddress>,
    device: impl Fn(MacAddress) -> DeviceOfAlert,
    now: Timestamp,
) -> Vec<Alert> {
    let each = macs.into_iter().map(|mac| Alert {
        key: format!("new-device/{mac}"),
        device: Some(device(mac)),
        ..Alert::once(AlertKind::NewDevice, now, "device")
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: Happening) -> EventView {
        EventView {
            id: 1,
            at: "2026-11-01T20:00:00Z".to_owned(),
            device: Some(MacAddress([0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33])),
            what,
        }
    }

    #[test]
    fn a_loss_is_an_alert_of_its_reason_and_other_events_are_none() {
        let events = [
            event(Happening::Loss {
                reason: "full".to_owned(),
                packets: 7,
            }),
            event(Happening::Generation {
                generation: 2,
                ruleset: String::new(),
            }),
        ];
        let alerts = losses(&events);
        let [alert] = &alerts[..] else {
            panic!("{alerts:?}");
        };
        assert_eq!((alert.kind, &*alert.key), (AlertKind::Loss, "loss/full"));
        assert_eq!(alert.detail.as_deref(), Some("7"));
    }

    #[test]
    fn a_feed_is_stale_after_a_day_or_if_no_version_is_in_force() {
        let feed = |state, age, last_attempt| FeedSnapshot {
            feed: "feeds.example/a".to_owned(),
            policies: Vec::new(),
            state,
            reason: None,
            age,
            fetched_at: None,
            checked_at: None,
            last_attempt,
            next_attempt: None,
            destinations: 0,
            cut: 0,
            cut_networks: Vec::new(),
            candidate: None,
        };
        for (state, age, last_attempt, expected) in [
            (FeedState::Current, Some(90_000), Some(1), false),
            (FeedState::Failed, Some(86_400), Some(1), false),
            (FeedState::Failed, Some(86_401), Some(1), true),
            (FeedState::Refused, Some(86_401), Some(1), true),
            (FeedState::Failed, None, Some(1), true),
            (FeedState::NeverFetched, None, None, false),
            (FeedState::NeverFetched, None, Some(1), true),
        ] {
            let feeds = [feed(state, age, last_attempt)];
            let found = conditions(&[], &feeds, None, &[], None);
            let key = "feed-stale/feeds.example/a";
            assert_eq!(found.contains_key(key), expected, "{state:?} {age:?}");
        }
    }
}
