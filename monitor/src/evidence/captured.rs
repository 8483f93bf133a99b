//! Captures: what the store and the operator learn of their begin and their end.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::policy::PolicyName;

/// The longest time of a capture.
pub const LONGEST_CAPTURE: Duration = Duration::from_hours(24);

/// A capture that began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureBegun {
    /// Digits that no other capture has. The end of the capture has the same ones.
    pub capture: String,
    /// The policy whose packets are captured.
    pub policy: PolicyName,
    /// Begin (RFC 3339).
    pub since: String,
    /// Time at which it ends by itself (RFC 3339).
    pub ends: String,
    /// True if whole frames are captured, false if only headers.
    pub payload: bool,
    /// The largest size of the file, bytes.
    pub max: u64,
}

/// A capture that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// The digits of its begin.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub capture: String,
    /// The policy whose packets were captured.
    pub policy: PolicyName,
    /// Begin (RFC 3339). No packet is earlier.
    pub since: String,
    /// End (RFC 3339). No packet is later.
    pub until: String,
    /// True if whole frames were captured, false if only headers.
    pub payload: bool,
    /// Packets that the daemon sent to the client.
    pub packets: u64,
    /// Bytes of the file that the daemon sent to the client.
    pub bytes: u64,
    /// Packets that the policy matched meanwhile, and that the daemon did not send.
    pub lost: u64,
    /// The same packets by reason.
    #[serde(default, skip_serializing_if = "CaptureLosses::is_empty")]
    pub lost_by: CaptureLosses,
    /// Time of the first packet that was sent (RFC 3339), as in the file; `None` without packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// Time of the last packet that was sent (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Seconds in which the policy rested, so that it matched no packet.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rested_seconds: u64,
    /// Why the capture ended.
    pub end: CaptureEnd,
    /// SHA-256 of the bytes that the daemon sent, hexadecimal. `None` if the client did not take
    /// all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What became of the file, as the client states it.
    #[serde(default)]
    pub file: CaptureFile,
}

/// Packets that are not in the file, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaptureLosses {
    /// The kernel's ring buffer had no room, because the daemon or the client was too slow.
    pub ring_full: u64,
    /// The file had its largest size.
    pub file_full: u64,
    /// The client was gone before it took them.
    pub not_sent: u64,
}

/// What became of the file, as the client states it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureFile {
    /// It is on the disk, and has the SHA-256 of what the daemon sent.
    Written,
    /// Another program read it from standard output.
    Piped,
    /// It has another SHA-256 than what the daemon sent.
    Differs,
    /// The client could not write all of it.
    Incomplete,
    /// The client did not say.
    #[default]
    Unknown,
}

/// Why a capture ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureEnd {
    /// Its time is over.
    Time,
    /// The file has the largest size.
    Size,
    /// The operator ended it.
    Asked,
    /// The client closed the connection, or did not read for too long.
    ClientGone,
    /// The client could not write its file.
    ClientFailed,
    /// The policies in force do not hold the policy any more.
    PolicyRemoved,
    /// The filter was detached.
    Detached,
    /// The daemon ended.
    DaemonEnded,
    /// The daemon could not read the packets. Its log says why.
    Failed,
}

impl CaptureLosses {
    /// True if no packet is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Packets of all reasons.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.ring_full + self.file_full + self.not_sent
    }

    /// The reasons with their packets, as a part of a sentence. Empty if no packet is missing.
    #[must_use]
    pub fn text(&self) -> String {
        let reasons = [
            (self.ring_full, "without room in the kernel"),
            (self.file_full, "without room in the file"),
            (self.not_sent, "not taken by the client"),
        ];
        let reasons = reasons.into_iter().filter(|(packets, _)| *packets > 0);
        let reasons = reasons.map(|(packets, reason)| format!("{packets} {reason}"));
        reasons.collect::<Vec<_>>().join(", ")
    }
}

impl CaptureEnd {
    /// The reason, as a part of a sentence.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Time => "its time is over",
            Self::Size => "the file has its largest size",
            Self::Asked => "the operator ended it",
            Self::ClientGone => "the client is gone",
            Self::ClientFailed => "the client could not write its file",
            Self::PolicyRemoved => "the policy is not in force any more",
            Self::Detached => "the filter was detached",
            Self::DaemonEnded => "the daemon ended",
            Self::Failed => "the packets could not be read",
        }
    }
}

impl CaptureFile {
    /// What became of the file, as a part of a sentence.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Written => "the client wrote a file with this SHA-256",
            Self::Piped => "the client passed it to standard output",
            Self::Differs => "the file of the client has another SHA-256",
            Self::Incomplete => "the file of the client is incomplete",
            Self::Unknown => "it is not known whether the client wrote its file",
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The content of a capture, in words.
#[must_use]
pub const fn content(payload: bool) -> &'static str {
    if payload {
        "whole frames"
    } else {
        "headers only"
    }
}

impl fmt::Display for CaptureBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, since, .. } = self;
        let content = content(self.payload);
        write!(f, "capture of {policy} since {since} ({content})")
    }
}

impl fmt::Display for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            policy,
            since,
            packets,
            bytes,
            lost,
            ..
        } = self;
        let content = content(self.payload);
        write!(
            f,
            "capture of {policy} since {since} ({content}): {packets} packets, {bytes} bytes, {lost} lost"
        )?;
        if !self.lost_by.is_empty() {
            write!(f, " ({})", self.lost_by.text())?;
        }
        if self.rested_seconds > 0 {
            write!(f, "; the policy rested for {} s of it", self.rested_seconds)?;
        }
        write!(f, "; it ended because {}", self.end.reason())?;
        if let Some(sha256) = &self.sha256 {
            write!(f, "; SHA-256 {sha256}")?;
        }
        write!(f, "; {}", self.file.text())
    }
}
