//! Roles of interfaces, and directions of packets.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Role of an interface.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The devices' side, before NAT.
    #[default]
    Lan,
    /// The side of the internet, behind NAT.
    Wan,
}

/// Direction of a packet, seen from the devices and the gateway.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The packet goes to the policy's destination.
    #[default]
    Out,
    /// The packet comes from the policy's destination.
    In,
}

impl Role {
    /// The word in options and in the config file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
        }
    }
}

impl Direction {
    /// Both directions.
    pub const ALL: [Self; 2] = [Self::Out, Self::In];

    /// The word of JSON, metrics and options.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let mut roles = [Self::Lan, Self::Wan].into_iter();
        let found = roles.find(|role| role.word() == word);
        found.ok_or_else(|| format!("unknown role {word:?}; a role is `lan` or `wan`"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
