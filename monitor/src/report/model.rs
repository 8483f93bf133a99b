//! The report as JSON has it. Every format shows this model, and nothing else.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    data::Statements,
    evidence::{FactView, NameView, NotRecorded, ReasonView, captured::is_zero},
    merkle::{Head, Proof},
};

use super::{captures::Capture, compare::Comparison, policies::StatedPolicy};

/// Evidence of a period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this form of JSON.
    pub version: u32,
    /// Time that the caller states as the time of the report (RFC 3339).
    pub at: Option<String>,
    /// Three sentences that answer first.
    pub answer: Vec<String>,
    /// The period.
    pub period: Period,
    /// The gateway that recorded.
    pub gateway: Gateway,
    /// Rulesets that were in force, sorted by begin.
    pub ruleset: Vec<Ruleset>,
    /// The policies of each ruleset, by its hash, as far as the store has them.
    pub policy_texts: BTreeMap<String, Vec<StatedPolicy>>,
    /// Programs that ran, sorted by begin.
    pub program: Vec<Program>,
    /// Periods in which the filter was attached, sorted by begin.
    pub coverage: Vec<Coverage>,
    /// What the checks of `monitor doctor` found in the period, sorted by begin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Number of further findings.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_findings: u64,
    /// Since when the store knows what the checks found (RFC 3339); `None`: it knows nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings_since: Option<String>,
    /// What is missing.
    pub losses: Losses,
    /// Marks of the operator, sorted by time.
    pub marks: Vec<Mark>,
    /// Number of earlier marks of the period that are left out.
    pub more_marks: u64,
    /// Captures of packets that the gateway made, sorted by begin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captures: Vec<Capture>,
    /// Number of earlier captures of the period that are left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_captures: u64,
    /// The devices, sorted by MAC: at most [`super::MOST_DEVICES`], those with the most
    /// packets.
    pub devices: Vec<Device>,
    /// Number of further devices.
    pub more_devices: u64,
    /// Sums over all devices that the report is about, those without room in `devices` too.
    pub total: Total,
    /// Policies that were in force or that packets matched, sorted by name.
    pub policies: Vec<PolicyCoverage>,
    /// The flows, sorted by device, then by time of the first packet.
    pub flows: Vec<Flow>,
    /// Flows that are in the sums, but not in `flows`.
    pub flows_left_out: FlowsLeftOut,
    /// Sources of statements about ranges that the gateway could not read.
    pub failed_sources: Vec<String>,
    /// What the data show.
    pub shows: Vec<String>,
    /// What the data do not show.
    pub does_not_show: Vec<String>,
    /// True if names, MACs and addresses of the household are pseudonyms.
    pub redacted: bool,
    /// The signed head of the log of evidence; `None` without one.
    pub head: Option<Head>,
    /// Proofs that lines are in that log: the line about the report, then lines about its
    /// evidence.
    pub proofs: Vec<Proof>,
}

/// The period, and what the caller asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Begin (RFC 3339).
    pub since: String,
    /// End (RFC 3339).
    pub until: String,
    /// Only this device, as the caller wrote it.
    pub device: Option<String>,
    /// Only packets that this policy matched.
    pub policy: Option<String>,
    /// Time of the earliest stored packet (RFC 3339).
    pub oldest_stored: Option<String>,
}

/// The gateway that recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Host name.
    pub host: Option<String>,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// The gateway's own addresses on the filtered interfaces.
    pub addresses: Vec<IpText>,
    /// States of the clock, sorted by time. The first one may be older than the period.
    pub clock: Vec<ClockState>,
    /// True if the clock was synchronised while the filter was attached; `None` if the store
    /// does not know that from the begin of the period or of the first attachment on.
    pub clock_synchronised: Option<bool>,
}

/// An address, or the pseudonym of one.
pub type IpText = String;

/// A state of the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockState {
    /// Time from which it holds (RFC 3339).
    pub since: String,
    /// True if a time service keeps the clock right.
    pub synchronised: bool,
}

/// A ruleset in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Hash of its content, hexadecimal.
    pub hash: String,
    /// Number of the generation.
    pub generation: u32,
    /// Begin (RFC 3339).
    pub since: String,
    /// End (RFC 3339); `None` if it is still in force.
    pub until: Option<String>,
}

/// A program that recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Time since which it ran (RFC 3339).
    pub since: String,
    /// Version of the daemon.
    pub version: String,
    /// SHA-256 of the compiled kernel program, hexadecimal.
    pub sha256: String,
    /// SHA-256 of the compiled classifier that copies DNS answers, hexadecimal.
    pub classifier_sha256: String,
    /// Release of the kernel.
    pub kernel: Option<String>,
}

/// A period in which the filter was attached to an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Name of the interface.
    pub interface: String,
    /// Mode of XDP: `native` or `generic`.
    pub mode: String,
    /// Begin, not before the period (RFC 3339).
    pub since: String,
    /// End, not after the period (RFC 3339).
    pub until: String,
    /// Length in seconds.
    pub seconds: i64,
}

/// Something that a check of `monitor doctor` found in the period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check, as a word such as `interface`.
    pub check: String,
    /// `blind`, `degraded`, or `unknown` if the check could not look.
    pub status: String,
    /// What was found.
    pub what: String,
    /// Begin, which may be before the period (RFC 3339).
    pub since: String,
    /// End (RFC 3339); `None` if it lasted at the end of the period.
    pub until: Option<String>,
    /// The operator's reason for accepting it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
}

/// What is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Hours of losses, sorted by hour, reason and policy.
    pub hours: Vec<LossOfHour>,
    /// Matched packets that are in no flow. They may be older than the period.
    pub not_recorded: NotRecorded,
    /// Time since which they were counted (RFC 3339); `None` if the store does not know it.
    pub not_recorded_since: Option<String>,
}

/// A loss in an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossOfHour {
    /// Begin of the hour (RFC 3339).
    pub hour: String,
    /// The reason, as a word such as `full`.
    pub reason: String,
    /// The same in words.
    pub meaning: String,
    /// The policy, if the loss belongs to one.
    pub policy: Option<String>,
    /// Number of packets, samples, answers or claims.
    pub number: u64,
}

/// A mark of the operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Time (RFC 3339).
    pub at: String,
    /// When the mark was stored (RFC 3339); `None` for a mark of an older store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// MAC of the device, or its pseudonym; `None` for all devices.
    pub device: Option<String>,
    /// The kind: a word of [`crate::evidence::mark::MarkKind`].
    pub kind: String,
    /// What the operator states.
    pub text: String,
    /// What the operator states about the device: key and value.
    pub stated: Vec<(String, String)>,
    /// The devices before and after the mark.
    pub comparison: Option<Comparison>,
}

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

/// How long a policy was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyCoverage {
    /// The policy.
    pub policy: String,
    /// Actions that the policy had, sorted. Empty if the store does not have its text.
    pub actions: Vec<String>,
    /// Seconds in which it was in force and the filter was attached; `None` if unknown.
    pub seconds: Option<i64>,
    /// Packets that it matched.
    pub packets: u64,
    /// Packets among them that were dropped.
    pub dropped: u64,
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// The MAC, or its pseudonym; `None` for all devices beyond the limits of the store.
    pub device: Option<String>,
    /// Interface whose filter counted the packets.
    pub interface: String,
    /// `out`: the device sent the packets. `in`: they arrived at the WAN, or are answers that
    /// left to the device.
    pub direction: String,
    /// Destination address, or for `in` the source address; `None` for all destinations beyond the limits of the store.
    pub destination: Option<IpText>,
    /// `tcp`, `udp`, `icmp`, `icmpv6` or the protocol number (IANA).
    pub protocol: String,
    /// Destination port; `None` if there is none to read.
    pub port: Option<u16>,
    /// Why the port cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// Every policy that matched; the effective policy is the first.
    pub policies: Vec<String>,
    /// Packets, dropped ones included.
    pub packets: u64,
    /// Bytes of these packets on the wire, layer 2 included.
    pub bytes: u64,
    /// Packets among them that were dropped.
    pub dropped: u64,
    /// Time of the first packet (RFC 3339).
    pub first: String,
    /// Time of the last packet (RFC 3339).
    pub last: String,
    /// Claims about the name of the destination, earliest first.
    pub names: Vec<Name>,
    /// Number of further names.
    pub more_names: u32,
    /// What is stated about the range of the destination; `None` if nothing is.
    pub holder: Option<Statements>,
}

/// A claim about a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The name.
    pub name: String,
    /// How the name was learnt: a word of [`crate::evidence::NameSource`].
    pub how: String,
    /// When the name was first learnt (RFC 3339).
    pub at: String,
    /// Address of the DNS server that answered, or its pseudonym.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpText>,
    /// CNAME chain from the asked name to the owner of the address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// What is known about Encrypted Client Hello.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ech: Option<String>,
}

/// Flows that are in the sums, but not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsLeftOut {
    /// Number of flows.
    pub flows: u64,
    /// Their packets, dropped ones included.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets among them that were dropped.
    pub dropped: u64,
}

impl From<NameView> for Name {
    fn from(view: NameView) -> Self {
        Self {
            name: view.name,
            how: view.how,
            at: view.at,
            from: view.from.map(|address: IpAddr| address.to_string()),
            chain: view.chain,
            ech: view.ech,
        }
    }
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
