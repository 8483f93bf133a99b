//! A capture that ended: what the store and the operator learn of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::policy::PolicyName;

/// A capture that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// The policy whose packets were captured.
    pub policy: PolicyName,
    /// Begin (RFC 3339).
    pub since: String,
    /// End (RFC 3339).
    pub until: String,
    /// True if whole frames were captured, false if only headers.
    pub payload: bool,
    /// Packets that the daemon wrote for the client. A client that is gone may have read fewer.
    pub packets: u64,
    /// Size of the file, bytes.
    pub bytes: u64,
    /// Packets that the policy matched meanwhile, and that the daemon did not write.
    pub lost: u64,
    /// Why the capture ended.
    pub end: CaptureEnd,
    /// SHA-256 of the file as the client computed it, hexadecimal. `None` if the client did not
    /// say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
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
    /// The policies in force do not hold the policy any more.
    PolicyRemoved,
    /// The filter was detached.
    Detached,
    /// The daemon ended.
    DaemonEnded,
    /// The daemon could not read the packets. Its log says why.
    Failed,
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
            Self::PolicyRemoved => "the policy is not in force any more",
            Self::Detached => "the filter was detached",
            Self::DaemonEnded => "the daemon ended",
            Self::Failed => "the packets could not be read",
        }
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
        let kind = if self.payload {
            "whole frames"
        } else {
            "headers only"
        };
        write!(
            f,
            "capture of {policy} since {since} ({kind}): {packets} packets, {bytes} bytes, {lost} lost; it ended because {}",
            self.end.reason()
        )?;
        match &self.sha256 {
            Some(sha256) => write!(f, "; SHA-256 {sha256}"),
            None => Ok(()),
        }
    }
}
