//! Captures of packets that the gateway made: facts → model, and their words.

use serde::{Deserialize, Serialize};

use super::{
    facts::CaptureFact,
    words::{bytes, grouped, plural, utc},
};
use crate::{
    evidence::captured::{CaptureFile, CaptureLosses, content, is_zero},
    policy::PolicyName,
};

/// A capture of the packets that a policy matched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The policy.
    pub policy: String,
    /// Begin (RFC 3339).
    pub since: String,
    /// End (RFC 3339); `None` if it is not known.
    pub until: Option<String>,
    /// True if whole frames were captured, false if only headers.
    pub payload: bool,
    /// Packets that the gateway sent to the program that wrote the file; `None` if unknown.
    pub packets: Option<u64>,
    /// Size of the file in bytes.
    pub bytes: Option<u64>,
    /// Packets that the policy matched meanwhile, and that are not in the file.
    pub lost: Option<u64>,
    /// The same packets by reason.
    #[serde(default, skip_serializing_if = "CaptureLosses::is_empty")]
    pub lost_by: CaptureLosses,
    /// Time of the first packet (RFC 3339).
    pub first: Option<String>,
    /// Time of the last packet (RFC 3339).
    pub last: Option<String>,
    /// Seconds in which the policy rested.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rested_seconds: u64,
    /// Why it ended, in words.
    pub end: String,
    /// SHA-256 of the bytes that the gateway sent, hexadecimal.
    pub sha256: Option<String>,
    /// What became of the file, as the program that wrote it states.
    pub file: CaptureFile,
}

impl CaptureFact {
    /// The policy whose packets were captured.
    #[must_use]
    pub const fn policy(&self) -> &PolicyName {
        match self {
            Self::Running(begun) | Self::NotFinished(begun) => &begun.policy,
            Self::Ended(captured) => &captured.policy,
        }
    }

    /// The digits that no other capture has.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Running(begun) | Self::NotFinished(begun) => &begun.capture,
            Self::Ended(captured) => &captured.capture,
        }
    }

    /// Begin (RFC 3339).
    #[must_use]
    pub fn since(&self) -> &str {
        match self {
            Self::Running(begun) | Self::NotFinished(begun) => &begun.since,
            Self::Ended(captured) => &captured.since,
        }
    }

    /// End, or the time at which it had to end (RFC 3339).
    #[must_use]
    pub fn until(&self) -> &str {
        match self {
            Self::Running(begun) | Self::NotFinished(begun) => &begun.ends,
            Self::Ended(captured) => &captured.until,
        }
    }
}

/// A capture as the report shows it.
pub(super) fn capture(fact: &CaptureFact) -> Capture {
    let common = Capture {
        policy: fact.policy().to_string(),
        since: fact.since().to_owned(),
        ..Capture::default()
    };
    match fact {
        CaptureFact::Running(begun) => Capture {
            payload: begun.payload,
            end: "no end is stored, so its packets are not known".to_owned(),
            ..common
        },
        CaptureFact::NotFinished(begun) => Capture {
            payload: begun.payload,
            end: "the daemon was killed before its end, so its packets are not known".to_owned(),
            ..common
        },
        CaptureFact::Ended(captured) => Capture {
            until: Some(captured.until.clone()),
            payload: captured.payload,
            packets: Some(captured.packets),
            bytes: Some(captured.bytes),
            lost: Some(captured.lost),
            lost_by: captured.lost_by,
            first: captured.first.clone(),
            last: captured.last.clone(),
            rested_seconds: captured.rested_seconds,
            end: captured.end.reason().to_owned(),
            sha256: captured.sha256.clone(),
            file: captured.file,
            ..common
        },
    }
}

impl Capture {
    /// What the gateway states about the capture, one sentence each.
    pub(super) fn sentences(&self) -> Vec<String> {
        let mut all = vec![format!(
            "The gateway captured packets of the policy {}: {}.",
            self.policy,
            content(self.payload)
        )];
        if let (Some(packets), Some(size), Some(lost)) = (self.packets, self.bytes, self.lost) {
            all.push(format!(
                "It sent {} ({}) to the program that wrote the file; {} not in the file.",
                plural(packets, "packet", "packets"),
                bytes(size),
                plural(lost, "further packet is", "further packets are")
            ));
        }
        if !self.lost_by.is_empty() {
            all.push(format!("Missing: {}.", self.lost_by.text()));
        }
        if self.rested_seconds > 0 {
            all.push(format!(
                "For {} s of this time the policy rested, and matched nothing.",
                grouped(self.rested_seconds)
            ));
        }
        all.push(format!("The capture ended: {}.", self.end));
        all.push(self.about_file());
        all
    }

    /// What is known about the file.
    pub(super) fn about_file(&self) -> String {
        let text = match (&self.sha256, self.file) {
            (None, _) => "It is not known which file exists: its reader did not take all of it.",
            (Some(_), CaptureFile::Written) => {
                "The SHA-256 is that of the bytes which the gateway sent. The program that wrote the file states that the file on the disk has the same."
            }
            (Some(_), CaptureFile::Piped) => {
                "The SHA-256 is that of the bytes which the gateway sent to another program. What that program did with them is not known."
            }
            (Some(_), CaptureFile::Differs) => {
                "The SHA-256 is that of the bytes which the gateway sent. The file on the disk had another one."
            }
            (Some(_), CaptureFile::Incomplete) => {
                "The SHA-256 is that of the bytes which the gateway sent. The program could not write all of them."
            }
            (Some(_), CaptureFile::Unknown) => {
                "The SHA-256 is that of the bytes which the gateway sent. It is not known whether they are on a disk."
            }
        };
        text.to_owned()
    }

    /// Cells of a table: policy, content, begin, end, packets, missing packets, SHA-256.
    pub(super) fn cells(&self) -> [String; 7] {
        let number = |number: Option<u64>| number.map_or_else(|| "unknown".to_owned(), grouped);
        [
            self.policy.clone(),
            content(self.payload).to_owned(),
            utc(&self.since),
            self.until.as_deref().map_or_else(|| self.end.clone(), utc),
            number(self.packets),
            number(self.lost),
            self.sha256.clone().unwrap_or_else(|| "unknown".to_owned()),
        ]
    }
}

/// Headers of the cells.
pub(super) const HEADERS: [&str; 7] = [
    "policy", "content", "from", "to", "packets", "missing", "SHA-256",
];
