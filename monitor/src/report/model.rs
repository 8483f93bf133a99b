//! The report as JSON has it. Every format shows this model, and nothing else.

mod device;
mod flow;

use std::collections::BTreeMap;

pub use self::{
    device::{
        Device, DevicePolicy, EncryptedDns, OTHER_DEVICES, Other, StatedSame, Sum, Timeline, Total,
    },
    flow::{Flow, FlowsLeftOut, Name},
};
use serde::{Deserialize, Serialize};

use crate::{
    evidence::{NotRecorded, captured::is_zero},
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
