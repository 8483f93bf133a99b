//! An alert, and what a target gets of it.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{clock::to_the_second, policy::MacAddress, printable};

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// A device contacted a destination of a policy for the first time.
    FirstContact,
    /// A device appeared that was never seen.
    NewDevice,
    /// A feed is not up to date.
    FeedStale,
    /// An interface in the settings is not filtered.
    InterfaceGone,
    /// Packets or evidence are not seen.
    Blind,
    /// Evidence was lost.
    Loss,
    /// The guard refuses policies, because they would lock out the gateway's network.
    GuardRefusal,
    /// More alerts came than may be sent.
    #[serde(skip_deserializing)]
    Suppressed,
    /// `monitor notify test`.
    #[serde(skip_deserializing)]
    Test,
}

impl AlertKind {
    /// The kinds that a rule can name.
    pub const ALL: [Self; 7] = [
        Self::FirstContact,
        Self::NewDevice,
        Self::FeedStale,
        Self::InterfaceGone,
        Self::Blind,
        Self::Loss,
        Self::GuardRefusal,
    ];

    /// The word of the settings and of messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::FirstContact => "first-contact",
            Self::NewDevice => "new-device",
            Self::FeedStale => "feed-stale",
            Self::InterfaceGone => "interface-gone",
            Self::Blind => "blind",
            Self::Loss => "loss",
            Self::GuardRefusal => "guard-refusal",
            Self::Suppressed => "suppressed",
            Self::Test => "test",
        }
    }

    /// The subject of a mail. It has no text of a device or a server.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::FirstContact => "first contact of a device with a policy",
            Self::NewDevice => "new device",
            Self::FeedStale => "a feed is not up to date",
            Self::InterfaceGone => "an interface is not filtered",
            Self::Blind => "something is not seen",
            Self::Loss => "evidence was lost",
            Self::GuardRefusal => "policies would lock you out",
            Self::Suppressed => "more alerts than may be sent",
            Self::Test => "test",
        }
    }
}

/// The place of an alert in a condition that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// It happened at one moment.
    Once,
    /// It began, and lasts.
    Began,
    /// It is over.
    Ended,
}

/// A private part of an alert, which a rule can add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Include {
    /// The MAC of the device.
    Mac,
    /// Host names that devices chose.
    HostName,
    /// Destination, protocol and port; texts of findings, which can name addresses.
    Destination,
}

/// The device of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceOfAlert {
    /// Its MAC.
    pub mac: MacAddress,
    /// The operator's name.
    pub name: Option<String>,
    /// The name that the device chose.
    pub host_name: Option<String>,
}

/// The contact of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contacted {
    /// The destination.
    pub destination: IpAddr,
    /// `tcp/443`.
    pub service: String,
    /// True if every packet was dropped.
    pub dropped: bool,
}

/// Something that the operator wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What it is about.
    pub kind: AlertKind,
    /// Moment, begin or end.
    pub state: AlertState,
    /// When it happened.
    pub at: Timestamp,
    /// Tells it from others: the same key is not alerted again.
    pub key: String,
    /// Policy, feed, interface, check or reason. Not private.
    pub subject: String,
    /// The device.
    pub device: Option<DeviceOfAlert>,
    /// The contact.
    pub contact: Option<Contacted>,
    /// A text that can name addresses.
    pub detail: Option<String>,
}

/// What one target gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `type` of the payload: a word of [`AlertKind`].
    pub kind: String,
    /// Title for people.
    pub title: String,
    /// Sentence for people.
    pub text: String,
    /// When it happened (RFC 3339).
    pub at: String,
    /// The fields for programs.
    pub data: Value,
}

impl Alert {
    /// A test.
    #[must_use]
    pub fn test(at: Timestamp) -> Self {
        Self::once(AlertKind::Test, at, "monitor notify test")
    }

    /// Says that further alerts of a kind were not sent.
    #[must_use]
    pub fn suppressed(kind: AlertKind, number: u64, at: Timestamp) -> Self {
        Self {
            detail: Some(number.to_string()),
            ..Self::once(AlertKind::Suppressed, at, kind.word())
        }
    }

    pub(super) fn once(kind: AlertKind, at: Timestamp, subject: &str) -> Self {
        Self {
            kind,
            state: AlertState::Once,
            at,
            key: format!("{}/{subject}", kind.word()),
            subject: subject.to_owned(),
            device: None,
            contact: None,
            detail: None,
        }
    }

    /// The message, with nothing private but what `include` names.
    #[must_use]
    pub fn message(&self, include: &BTreeSet<Include>) -> Message {
        let has = |part| include.contains(&part);
        let mut data = json!({
            "kind": self.kind,
            "state": self.state,
            "subject": self.subject,
        });
        if let Some(device) = &self.device {
            let mut shown = json!({ "name": device.name });
            if has(Include::Mac) {
                shown["mac"] = json!(device.mac);
            }
            if has(Include::HostName) {
                shown["host_name"] = json!(device.host_name);
            }
            data["device"] = shown;
        }
        if let Some(contact) = &self.contact {
            data["dropped"] = json!(contact.dropped);
            if has(Include::Destination) {
                data["destination"] = json!(contact.destination);
                data["service"] = json!(contact.service);
            }
        }
        let is_number = self.kind == AlertKind::Suppressed;
        if let Some(detail) = self
            .detail
            .as_ref()
            .filter(|_| is_number || has(Include::Destination))
        {
            data["detail"] = json!(detail);
        }
        let text = printable::escape(&self.sentence(include), &[]).into_owned();
        data["text"] = json!(text);
        Message {
            kind: self.kind.word().to_owned(),
            title: self.kind.title().to_owned(),
            text,
            at: to_the_second(self.at),
            data,
        }
    }

    fn sentence(&self, include: &BTreeSet<Include>) -> String {
        let subject = &self.subject;
        let device = self.device.as_ref().map_or_else(
            || "a device".to_owned(),
            |device| ShownDevice(device, include).to_string(),
        );
        let destination = self
            .contact
            .as_ref()
            .filter(|_| include.contains(&Include::Destination))
            .map_or_else(String::new, |contact| {
                format!(": {} {}", contact.destination, contact.service)
            });
        let dropped = match &self.contact {
            Some(Contacted { dropped: true, .. }) => ", dropped",
            _ => "",
        };
        let detail = self
            .detail
            .as_ref()
            .filter(|_| include.contains(&Include::Destination))
            .map_or_else(String::new, |detail| format!(": {detail}"));
        match (self.kind, self.state) {
            (AlertKind::FirstContact, _) => {
                format!("first contact of {device} with policy {subject}{destination}{dropped}")
            }
            (AlertKind::NewDevice, _) => format!("{device} is new on this network"),
            (AlertKind::FeedStale, AlertState::Ended) => {
                format!("feed {subject} is up to date again")
            }
            (AlertKind::FeedStale, _) => {
                format!("feed {subject} is not up to date; `monitor feed list` says why")
            }
            (AlertKind::InterfaceGone, AlertState::Ended) => {
                format!("interface {subject} is filtered again")
            }
            (AlertKind::InterfaceGone, _) => {
                format!("interface {subject} is NOT filtered; `monitor status` says why")
            }
            (AlertKind::Blind, AlertState::Ended) => {
                format!("no longer so ({subject}): something was not seen")
            }
            (AlertKind::Blind, _) => format!(
                "something is not seen ({subject}){detail}; `monitor doctor` says why, and how to fix it"
            ),
            (AlertKind::Loss, _) => {
                format!("evidence was lost ({subject}){detail}; `monitor events` lists losses")
            }
            (AlertKind::GuardRefusal, AlertState::Ended) => {
                "the policies no longer lock out the gateway's network".to_owned()
            }
            (AlertKind::GuardRefusal, _) => format!(
                "the guard refuses policies, because they would lock out the gateway's network{detail}; `monitor status` says which"
            ),
            (AlertKind::Suppressed, _) => {
                let number = self.detail.as_deref().unwrap_or("some");
                format!(
                    "{number} more alerts ({subject}) were not sent, because too many came at once"
                )
            }
            (AlertKind::Test, _) => "this is a test of `monitor notify test`".to_owned(),
        }
    }
}

/// A device in a sentence.
struct ShownDevice<'a>(&'a DeviceOfAlert, &'a BTreeSet<Include>);

impl fmt::Display for ShownDevice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(device, include) = self;
        let host_name = device
            .host_name
            .as_ref()
            .filter(|_| include.contains(&Include::HostName));
        match (&device.name, host_name) {
            (Some(name), _) => f.write_str(name)?,
            (None, Some(name)) => write!(f, "a device that calls itself {name:?}")?,
            (None, None) => f.write_str("a device without a name")?,
        }
        if include.contains(&Include::Mac) {
            write!(f, " ({})", device.mac)?;
        }
        Ok(())
    }
}
