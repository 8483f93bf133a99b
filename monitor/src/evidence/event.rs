//! Events. The store keeps each event with its time, and `monitor events` prints them.

mod eve;
mod text;

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Claim, Flow, FlowEnd,
    captured::{CaptureBegun, Captured},
    mark::Mark,
    noted::Noted,
    page_event::PageEvent,
    protocol,
    published::Published,
};
use crate::{
    clock::to_the_second,
    policy::{MacAddress, PolicyName},
};

/// The most policies that an event names. The effective one comes first.
const MOST_POLICIES: usize = 8;

/// Events, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsView {
    /// The events.
    pub events: Vec<EventView>,
    /// Number of the last event that was looked at. A follower asks for events after it.
    pub last: i64,
    /// True if there are more events after the last one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    /// Number of the event; later events have higher numbers.
    pub id: i64,
    /// Time of the event (RFC 3339).
    pub at: String,
    /// Source MAC of the device that the event is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<MacAddress>,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened. The word of each variant is the value of `event` in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happening {
    /// A device contacted a destination for the first time since the store keeps its flows.
    FirstContact(Contact),
    /// A source stated a name of a destination for the first time.
    Name(Named),
    /// Evidence was lost.
    Loss {
        /// The reason, as a word such as `full`.
        reason: String,
        /// Number of packets, samples or answers.
        packets: u64,
    },
    /// A generation came into force.
    Generation {
        /// Number of the generation.
        generation: u64,
        /// Hash of its ruleset.
        ruleset: String,
    },
    /// The store removed its oldest rows.
    Removed {
        /// The reason, as a word such as `size`.
        reason: String,
        /// Number of rows.
        rows: u64,
        /// Time up to which rows were removed (RFC 3339).
        until: Option<String>,
    },
    /// The operator put a mark on the time line.
    Mark(Mark),
    /// A capture of the packets of a policy began.
    CaptureBegin(CaptureBegun),
    /// A capture of the packets of a policy ended.
    Capture(Captured),
    /// The daemon was killed during a capture. The next one stored this.
    CaptureNotFinished(CaptureBegun),
    /// A time stamping authority stamped a head of the log.
    Published(Published),
    /// A finding of the daemon's checks (`monitor doctor`) began, changed, lasts or ended.
    Doctor(Noted),
    /// An operator did something over the page's login.
    Page(PageEvent),
    /// The filter was found attached to an interface for the first time in a period.
    Attached {
        /// Name of the interface.
        interface: String,
        /// Mode of XDP: `native` or `generic`.
        mode: String,
    },
}

/// The first packets of a device to a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Interface on which the packets arrived.
    pub interface: String,
    /// `out`: the device sent the packets.
    pub direction: String,
    /// Destination address.
    pub destination: IpAddr,
    /// `tcp`, `udp`, `icmp`, `icmpv6` or the protocol number (IANA).
    pub protocol: String,
    /// Destination port; `None` if there is none to read.
    pub port: Option<u16>,
    /// Policies that matched; the effective policy is the first. At most eight.
    pub policies: Vec<PolicyName>,
    /// Packets until the event was written, dropped ones included.
    pub packets: u64,
    /// Packets among them that were dropped.
    pub dropped: u64,
}

/// A name of a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Destination address.
    pub destination: IpAddr,
    /// `tcp`, `udp`, `icmp`, `icmpv6` or the protocol number (IANA).
    pub protocol: String,
    /// Destination port; 0 if there is none to read.
    pub port: u16,
    /// The name.
    pub name: String,
    /// How the name was learnt: a word of [`super::NameSource`].
    pub how: String,
    /// Address of the DNS server that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// What is known about Encrypted Client Hello: `real`, `grease` or `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ech: Option<String>,
}

impl Happening {
    /// The word of a first contact.
    pub const FIRST_CONTACT: &str = "first-contact";

    /// The word of a mark.
    pub const MARK: &str = "mark";

    /// The word of a finding of the daemon's checks.
    pub const DOCTOR: &str = "doctor";

    /// The word of a capture that ended.
    pub const CAPTURE: &str = "capture";

    /// The word of JSON and of the store.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::FirstContact(_) => Self::FIRST_CONTACT,
            Self::Name(_) => "name",
            Self::Loss { .. } => "loss",
            Self::Generation { .. } => "generation",
            Self::Removed { .. } => "removed",
            Self::Mark(_) => Self::MARK,
            Self::CaptureBegin(_) => "capture-begin",
            Self::Capture(_) => Self::CAPTURE,
            Self::CaptureNotFinished(_) => "capture-not-finished",
            Self::Published(_) => "published",
            Self::Doctor(_) => Self::DOCTOR,
            Self::Page(_) => "page",
            Self::Attached { .. } => "attached",
        }
    }

    /// The first contact that a flow begins.
    #[must_use]
    pub fn first_contact(flow: &Flow) -> Self {
        let key = &flow.key;
        Self::FirstContact(Contact {
            interface: key.interface.clone(),
            direction: key.direction.word().to_owned(),
            destination: key.destination,
            protocol: protocol(key.protocol),
            port: key.port.number(),
            policies: flow.policies.iter().take(MOST_POLICIES).cloned().collect(),
            packets: flow.passed.packets + flow.dropped.packets,
            dropped: flow.dropped.packets,
        })
    }

    /// A new name of the end of a flow. The event leaves out the CNAME chain, which `flows`
    /// shows.
    #[must_use]
    pub fn name(end: &FlowEnd, claim: &Claim) -> Self {
        Self::Name(Named {
            destination: end.destination,
            protocol: protocol(end.protocol),
            port: end.port,
            name: claim.name.clone(),
            how: claim.source.word().to_owned(),
            from: claim.server,
            ech: claim.ech.map(|ech| ech.word().to_owned()),
        })
    }

    /// The destination that the event is about.
    #[must_use]
    pub const fn destination(&self) -> Option<IpAddr> {
        match self {
            Self::FirstContact(contact) => Some(contact.destination),
            Self::Name(named) => Some(named.destination),
            Self::Loss { .. }
            | Self::Generation { .. }
            | Self::Removed { .. }
            | Self::Mark(_)
            | Self::CaptureBegin(_)
            | Self::Capture(_)
            | Self::Published(_)
            | Self::Doctor(_)
            | Self::Page(_)
            | Self::CaptureNotFinished(_)
            | Self::Attached { .. } => None,
        }
    }

    /// The policies that the event names.
    #[must_use]
    pub fn policies(&self) -> &[PolicyName] {
        match self {
            Self::FirstContact(contact) => &contact.policies,
            Self::Capture(captured) => std::slice::from_ref(&captured.policy),
            Self::CaptureBegin(begun) | Self::CaptureNotFinished(begun) => {
                std::slice::from_ref(&begun.policy)
            }
            Self::Name(_)
            | Self::Loss { .. }
            | Self::Generation { .. }
            | Self::Removed { .. }
            | Self::Mark(_)
            | Self::Published(_)
            | Self::Doctor(_)
            | Self::Page(_)
            | Self::Attached { .. } => &[],
        }
    }

    /// The event as the store keeps it.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps with text keys only, so it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl EventView {
    /// Reads an event of the store; `None` if a newer version wrote it.
    #[must_use]
    pub fn read(id: i64, at: Timestamp, device: Option<MacAddress>, json: &str) -> Option<Self> {
        Some(Self {
            id,
            at: to_the_second(at),
            device,
            what: serde_json::from_str(json).ok()?,
        })
    }
}
