//! What a report says of a device.

use serde::{Deserialize, Serialize};

use super::IpText;
use crate::evidence::{FactView, ReasonView};

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// The MAC, or its pseudonym; `None` for all devices beyond the limits of the store.
    pub device: Option<String>,
    /// True if the report is about this device. Others are shown beside it.
    pub is_subject: bool,
    /// The operator's name, or else the latest host name.
    pub name: Option<String>,
    /// Where the name is from. The device can choose its host name.
    pub name_source: Option<String>,
    /// The vendor to which the registry assigned the MAC.
    pub vendor: Option<String>,
    /// Date of the list of vendors.
    pub vendor_as_of: Option<String>,
    /// True if the MAC is locally administered: no vendor assigned it.
    pub randomised: bool,
    /// MACs that the operator states to be the same device, with day and direction.
    pub stated_same: Vec<StatedSame>,
    /// Addresses.
    pub addresses: Vec<FactView>,
    /// Host names.
    pub host_names: Vec<FactView>,
    /// Models that the device stated.
    pub models: Vec<FactView>,
    /// Why several devices possibly share the MAC.
    pub possibly_several: Vec<ReasonView>,
    /// Encrypted DNS that was seen from the device.
    pub encrypted_dns: Vec<EncryptedDns>,
    /// Sums over all policies, each packet once.
    pub sum: Sum,
    /// Each policy that matched packets of the device, sorted by name.
    pub policies: Vec<DevicePolicy>,
}

/// A MAC that the operator states to be the same device. No packet shows this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatedSame {
    /// The other MAC, or its pseudonym.
    pub device: String,
    /// The day of the change.
    pub since: String,
    /// `before` or `after` that day, the device had the other MAC.
    pub had: String,
}

/// Encrypted DNS that a device uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptedDns {
    /// The protocol or the sign, as a word such as `dot`.
    pub kind: String,
    /// Address of the server.
    pub server: Option<IpText>,
    /// Name of the server.
    pub name: String,
    /// First use that was seen (RFC 3339).
    pub first: String,
    /// Last use that was seen (RFC 3339).
    pub last: String,
}

/// Sums of packets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Packets, dropped ones included.
    pub packets: u64,
    /// Bytes of these packets on the wire, layer 2 included.
    pub bytes: u64,
    /// Packets among them that were dropped: attempts.
    pub dropped: u64,
    /// Number of different destination addresses.
    pub destinations: u64,
    /// True if there are further ones, which the store sums as all other destinations.
    pub more_destinations: bool,
    /// Time of the first packet (RFC 3339).
    pub first: String,
    /// Time of the last packet (RFC 3339).
    pub last: String,
}

/// Sums over devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Number of devices with packets.
    pub devices: u64,
    /// Packets, dropped ones included.
    pub packets: u64,
    /// Bytes of these packets on the wire, layer 2 included.
    pub bytes: u64,
    /// Packets among them that were dropped: attempts.
    pub dropped: u64,
}

/// What a policy matched of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePolicy {
    /// The policy.
    pub policy: String,
    /// The sums.
    #[serde(flatten)]
    pub sum: Sum,
    /// Packets by time.
    pub timeline: Timeline,
    /// Other devices whose packets the policy matched, those with the most packets first.
    pub others: Vec<Other>,
    /// Number of further devices.
    pub more_others: u64,
}

/// Packets by time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// Begin of the first slot (RFC 3339).
    pub since: String,
    /// Length of a slot in seconds.
    pub slot_seconds: i64,
    /// Packets of each slot that passed.
    pub passed: Vec<u64>,
    /// Packets of each slot that were dropped.
    pub dropped: Vec<u64>,
    /// True for each slot in which the filter was attached at some time.
    pub attached: Vec<bool>,
}

/// Another device whose packets the same policy matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// The MAC, or its pseudonym; `None` for all devices beyond the limits of the store.
    pub device: Option<String>,
    /// The sums.
    #[serde(flatten)]
    pub sum: Sum,
    /// Number of networks (/24 for IPv4, /48 for IPv6) that both devices contacted.
    pub shared_networks: u64,
    /// Why this may be the same device; `None` without a sign of it.
    pub possibly_same: Option<String>,
}

impl Device {
    /// Name of the device in sentences: the MAC or its pseudonym, then the device's name if one is known.
    #[must_use]
    pub fn label(&self) -> String {
        match (&self.device, &self.name) {
            (Some(device), Some(name)) => format!("{device} (\"{name}\")"),
            (Some(device), None) => device.clone(),
            (None, _) => OTHER_DEVICES.to_owned(),
        }
    }
}

/// Devices beyond the limits of the store, in words.
pub const OTHER_DEVICES: &str = "other devices (beyond the limits of the store)";
