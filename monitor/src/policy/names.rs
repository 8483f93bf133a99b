//! Names and MAC addresses, which all modules use.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of a policy: 1 to 63 characters of `a-z A-Z 0-9 . _ -`, of which
/// the first is a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyName(String);

/// Why a text is not a valid policy name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicyName {
    /// The text is empty.
    #[error("a policy name is empty")]
    Empty,
    /// The text is too long for the name field of the kernel's policy table.
    #[error("a policy name has at most {} characters", PolicyName::MAX_LEN)]
    TooLong,
    /// The text has a character that metrics, file names or shells do not
    /// accept.
    #[error(
        "a policy name is made of a-z, A-Z, 0-9, '.', '_' and '-', and begins with a letter or digit"
    )]
    Character,
}

impl PolicyName {
    /// Longest name, in characters (each is one byte).
    pub const MAX_LEN: usize = monitor_common::NAME_BYTES - 1;

    /// Prefix of the names of policies that commands create. Other policies
    /// cannot have it.
    pub(super) const OF_COMMANDS: &'static str = "runtime.";

    /// The name of the policy that counts the frames of `doctor --canary`.
    #[must_use]
    pub fn canary() -> Self {
        let name = format!("{}canary", Self::OF_COMMANDS);
        name.parse()
            .unwrap_or_else(|_| unreachable!("letters and a dot"))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PolicyName {
    type Err = InvalidPolicyName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidPolicyName::Empty);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !text.chars().all(allowed) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(InvalidPolicyName::Character);
        }
        if text.len() > Self::MAX_LEN {
            return Err(InvalidPolicyName::TooLong);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for PolicyName {
    type Error = InvalidPolicyName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PolicyName> for String {
    fn from(name: PolicyName) -> Self {
        name.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A 48-bit MAC address in network byte order, written `64:cc:2e:11:22:33`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

/// The text is not a valid MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a MAC address is six pairs of hexadecimal digits with colons between: 64:cc:2e:11:22:33")]
pub struct InvalidMacAddress;

impl FromStr for MacAddress {
    type Err = InvalidMacAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or(InvalidMacAddress)?;
            let hexadecimal = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            if !hexadecimal {
                return Err(InvalidMacAddress);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| InvalidMacAddress)?;
        }
        if parts.next().is_some() {
            return Err(InvalidMacAddress);
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = InvalidMacAddress;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.map(|byte| format!("{byte:02x}")).join(":"))
    }
}
