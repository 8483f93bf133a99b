//! What the daemon writes into the store, besides flows and claims.

use std::net::IpAddr;

use jiff::Timestamp;
use monitor_common::Count;

use crate::{
    evidence::{event::Happening, flow::Flow},
    policy::{MacAddress, PolicyName},
};

/// The state of the kernel program's maps that a drain empties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Random number that names the state of the maps.
    pub token: u64,
    /// ID of the boot in which the maps were created.
    pub boot: Option<[u8; 16]>,
}

/// The content of one drained flow table.
#[derive(Clone, Copy, Debug)]
pub struct Drained<'a> {
    /// The state of the maps.
    pub instance: Instance,
    /// Epoch of the table. Each drained table has a higher epoch than the one before.
    pub epoch: u64,
    /// The flows in the table.
    pub flows: &'a [Flow],
}

/// What [`super::Store::write_drained`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// True if the store already held this table. Then the call changed nothing.
    pub repeated: bool,
    /// Number of flows that got no row of their own, because a limit was reached. The store
    /// added them to the row "other destinations" of their device, or to "other devices".
    pub unnamed: usize,
}

/// A fact about a device, as one source states it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceFact {
    /// What the fact is, as a word such as "address" or "host-name".
    pub kind: String,
    /// The value.
    pub value: String,
    /// Where the fact is from, as a word such as "dnsmasq".
    pub source: String,
    /// Time at which the source first stated it.
    pub first: Timestamp,
    /// Time at which the source last stated it.
    pub last: Timestamp,
}

/// Encrypted DNS that a device uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EncryptedDns {
    /// The device.
    pub device: MacAddress,
    /// The protocol or the sign, as a word such as "dot".
    pub kind: String,
    /// Address of the server. `None` if only its name is known.
    pub address: Option<IpAddr>,
    /// Port of the server.
    pub port: u16,
    /// Name of the server. Empty if only its address is known.
    pub name: String,
    /// Time of the first use.
    pub first: Timestamp,
    /// Time of the last use.
    pub last: Timestamp,
}

/// Evidence that was lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loss {
    /// The reason, as a word such as "full".
    pub reason: String,
    /// The policy that matched. `None` if the loss does not belong to one policy.
    pub policy: Option<PolicyName>,
    /// Number of packets, samples or claims.
    pub packets: u64,
    /// Number of bytes. 0 where the reason has none.
    pub bytes: u64,
}

/// A loss with its hour.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredLoss {
    /// Begin of the hour.
    pub hour: Timestamp,
    /// The loss.
    pub loss: Loss,
}

/// A period in which the filter was attached to an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment {
    /// Name of the interface.
    pub interface: String,
    /// Mode of XDP, as a word such as "generic".
    pub mode: String,
    /// Number of the generation at the begin.
    pub generation: u32,
    /// Begin.
    pub since: Timestamp,
    /// Time at which the daemon last saw the filter attached.
    pub until: Timestamp,
}

/// A period in which a generation was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredGeneration {
    /// Number of the generation.
    pub number: u32,
    /// Hash of its ruleset.
    pub ruleset: Vec<u8>,
    /// Begin.
    pub since: Timestamp,
    /// End. `None` if the generation is still in force.
    pub until: Option<Timestamp>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Time of the event.
    pub at: Timestamp,
    /// What happened, as a word such as "first-contact".
    pub kind: String,
    /// The device that the event is about.
    pub device: Option<MacAddress>,
    /// The event as a JSON object. [`super::Store::forget`] removes it with the device.
    pub json: String,
}

impl Happening {
    /// The event, if it is about no device.
    pub(super) fn at(&self, at: Timestamp) -> Event {
        Event {
            at,
            kind: self.word().to_owned(),
            device: None,
            json: self.to_json(),
        }
    }

    /// The event, if it is about a device.
    pub(super) fn of(&self, device: MacAddress, at: Timestamp) -> Event {
        Event {
            device: Some(device),
            ..self.at(at)
        }
    }
}

/// An event with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Number of the event. Later events have higher numbers, also after older events
    /// were removed.
    pub id: i64,
    /// The event.
    pub event: Event,
}

/// A known device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDevice {
    /// Its MAC.
    pub mac: MacAddress,
    /// Time of its first stored packet, to about one second.
    pub first: Timestamp,
    /// Time of its last stored packet, to about one second.
    pub last: Timestamp,
    /// Facts, sorted by kind, value and source.
    pub facts: Vec<DeviceFact>,
}

/// Why the store removed sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Removal {
    /// They were older than the retention.
    Expired,
    /// The store reached its size.
    Size,
    /// The device was forgotten.
    Forgotten,
}

impl Removal {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Expired, Self::Size, Self::Forgotten];

    /// The word of JSON and of the store.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Size => "size",
            Self::Forgotten => "forgotten",
        }
    }
}

/// Sums of one policy, which is the effective policy of the packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySum {
    /// The policy.
    pub policy: PolicyName,
    /// Packets that passed.
    pub passed: Count,
    /// Packets that were dropped.
    pub dropped: Count,
}

/// Removed sums of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedSum {
    /// The reason.
    pub reason: Removal,
    /// The sums.
    pub sum: PolicySum,
    /// End of the latest bucket from which rows were removed.
    pub until: Option<Timestamp>,
}
