//! What a report is built from.

use jiff::Timestamp;

use crate::{
    evidence::{
        DeviceView, FlowsView, NotRecorded,
        captured::{CaptureBegun, Captured},
        mark::Mark,
        noted::Noted,
    },
    policy::{MacAddress, PolicyName},
    store::{
        Attachment, EncryptedDns, PeriodSums, Segments, Setup, StatedPolicies, StoredGeneration,
        StoredLoss,
    },
};

/// Everything that the store and the operator's files state about a period.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Time that the caller states as the time of the report.
    pub at: Option<Timestamp>,
    /// Begin of the period.
    pub since: Timestamp,
    /// End of the period.
    pub until: Timestamp,
    /// The device, as the caller wrote it.
    pub asked_device: Option<String>,
    /// The policy that the caller asked for.
    pub asked_policy: Option<PolicyName>,
    /// The devices that the report is about; empty for all.
    pub subjects: Vec<MacAddress>,
    /// Time of the earliest stored packet.
    pub oldest: Option<Timestamp>,
    /// Sums of the period.
    pub sums: PeriodSums,
    /// The listed flows, with what is stated about their ranges.
    pub flows: FlowsView,
    /// What is known about the devices.
    pub devices: Vec<DeviceView>,
    /// Encrypted DNS that was seen.
    pub encrypted: Vec<EncryptedDns>,
    /// Attachments of the period.
    pub attachments: Vec<Attachment>,
    /// What the daemon's checks found until the end of the period, sorted by time.
    pub findings: Vec<(Timestamp, Noted)>,
    /// Losses of the period.
    pub losses: Vec<StoredLoss>,
    /// Matched packets that are in no flow.
    pub not_recorded: NotRecorded,
    /// Time since which these packets were counted, which may be before the period.
    pub not_recorded_since: Option<Timestamp>,
    /// States of the clock, sorted by time.
    pub clock: Vec<(Timestamp, bool)>,
    /// Generations, sorted by begin.
    pub generations: Vec<StoredGeneration>,
    /// Texts of policies, by hash of the ruleset.
    pub policies: Vec<StatedPolicies>,
    /// Programs that ran, sorted by time.
    pub setups: Vec<(Timestamp, Setup)>,
    /// Marks of the period, sorted by time.
    pub marks: Vec<MarkFact>,
    /// Number of earlier marks that are left out.
    pub more_marks: u64,
    /// Marks of the period about devices that the report is not about.
    pub hidden_marks: Vec<(Timestamp, MacAddress)>,
    /// What lies between the marks; no part without marks.
    pub segments: Segments,
    /// Captures of the period, sorted by begin.
    pub captures: Vec<CaptureFact>,
    /// Number of earlier captures that are left out.
    pub more_captures: u64,
}

/// What the store knows about a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureFact {
    /// Its begin, and no end.
    Running(CaptureBegun),
    /// Its end.
    Ended(Captured),
    /// The daemon was killed before its end.
    NotFinished(CaptureBegun),
}

/// A mark with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkFact {
    /// Number of its event.
    pub id: i64,
    /// Time of the mark.
    pub at: Timestamp,
    /// The device; `None` for all.
    pub device: Option<MacAddress>,
    /// What the operator states.
    pub mark: Mark,
}
