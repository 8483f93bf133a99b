//! How much a policy, or the whole daemon, records about the packets that match.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What is recorded about matched packets. A higher level includes the lower ones.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceLevel {
    /// Counters of policies and devices.
    Counters,
    /// Also flows: which device sent to which address, protocol and port, and when.
    Flows,
    /// Also names of destinations, from DNS answers and from what the device sends.
    #[default]
    Names,
}

/// The text is not an evidence level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not one of counters, flows, names")]
pub struct InvalidEvidenceLevel(String);

impl EvidenceLevel {
    /// Every level, lowest first.
    pub const ALL: [Self; 3] = [Self::Counters, Self::Flows, Self::Names];

    /// The word of policy files and of JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counters => "counters",
            Self::Flows => "flows",
            Self::Names => "names",
        }
    }
}

impl FromStr for EvidenceLevel {
    type Err = InvalidEvidenceLevel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|level| level.word() == text);
        found.ok_or_else(|| InvalidEvidenceLevel(text.to_owned()))
    }
}

impl fmt::Display for EvidenceLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
