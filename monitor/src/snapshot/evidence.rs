//! What is recorded in flows, at one moment.

use serde::{Deserialize, Serialize};

use super::{Count, Verdicts};
use crate::policy::Direction;

/// What is recorded in flows, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceSnapshot {
    /// Packets that each policy decided about, sorted by policy.
    pub effective: Vec<EffectiveSnapshot>,
    /// New flows that made no event, because the ring buffer had no room.
    pub lost_events: u64,
    /// Payload samples for which the ring buffer had no room, or beyond the rate limit.
    pub lost_samples: u64,
    /// Answers to devices, where they leave to the devices, whose flows are to be recorded.
    #[serde(default)]
    pub answers: Count,
    /// The part of `answers` whose flow found no room.
    #[serde(default)]
    pub answers_full: Count,
    /// Interfaces on whose way to the devices the daemon copies DNS answers, sorted. Empty if
    /// no daemon runs.
    #[serde(default)]
    pub dns_copied: Vec<String>,
    /// Number of first contacts in the last 24 hours that the store holds. Only the daemon's
    /// answer to `status` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_contacts: Option<u64>,
    /// Why the daemon does not store flows; `None` if it does, or if no daemon runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<EvidenceFailure>,
}

/// Packets of which one policy was the effective policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectiveSnapshot {
    /// Name of the policy.
    pub policy: String,
    /// Direction of the packets.
    #[serde(default)]
    pub direction: Direction,
    /// All packets.
    pub packets: Verdicts,
    /// The part whose flow found no room in the kernel.
    pub full: Verdicts,
    /// The part of which the policies ask for counters only.
    pub setting: Verdicts,
}

/// Why the daemon does not store flows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceFailure {
    /// The reason.
    pub error: String,
    /// Since when (RFC 3339).
    pub since: String,
}
