//! Devices as packets identify them: by MAC, source address or interface.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use super::MacAddress;
use crate::address::{Address, Network};

/// The property of a packet that identifies its device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The Ethernet source address begins with these bits.
    Mac(MacPrefix),
    /// The IPv4 source address lies in this network.
    Ipv4(Network<Ipv4Addr>),
    /// The IPv6 source address lies in this network.
    Ipv6(Network<Ipv6Addr>),
    /// The packet came in on the interface of this name.
    Interface(String),
}

/// A MAC address, or the first bits of one: `64:cc:2e:00:00:00/24`. Host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacPrefix {
    address: MacAddress,
    length: u8,
}

impl MacPrefix {
    /// Bits of a MAC address.
    pub const BITS: u8 = 48;

    /// The prefix; `None` if `length` (in bits) is too long or host bits are
    /// set.
    #[must_use]
    pub fn new(address: MacAddress, length: u8) -> Option<Self> {
        let prefix = Self::around(address, length);
        (length <= Self::BITS && prefix.address == address).then_some(prefix)
    }

    /// The prefix of `length` bits that covers `address`; the full address if
    /// `length` is longer than a MAC.
    #[must_use]
    pub fn around(address: MacAddress, length: u8) -> Self {
        let length = length.min(Self::BITS);
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(&address.0);
        let mask = u64::MAX.checked_shl(64 - u32::from(length)).unwrap_or(0);
        let masked = (u64::from_be_bytes(bytes) & mask).to_be_bytes();
        let mut address = [0; 6];
        address.copy_from_slice(&masked[..6]);
        Self {
            address: MacAddress(address),
            length,
        }
    }

    /// The first address of the prefix.
    #[must_use]
    pub fn address(self) -> MacAddress {
        self.address
    }

    /// Length in bits.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// True if the prefix covers `address`.
    #[must_use]
    pub fn contains(self, address: MacAddress) -> bool {
        Self::around(address, self.length) == self
    }

    /// True if the prefix covers more than one address.
    #[must_use]
    pub fn is_shared(self) -> bool {
        self.length < Self::BITS
    }

    /// True if the prefix covers randomised addresses: the locally administered
    /// ones (IEEE 802, second lowest bit of the first byte).
    #[must_use]
    pub fn holds_randomised(self) -> bool {
        self.length < 7 || self.address.0[0] & 0b10 != 0
    }
}

impl From<Network<Ipv4Addr>> for Device {
    fn from(network: Network<Ipv4Addr>) -> Self {
        Self::Ipv4(network)
    }
}

impl From<Network<Ipv6Addr>> for Device {
    fn from(network: Network<Ipv6Addr>) -> Self {
        Self::Ipv6(network)
    }
}

impl fmt::Display for MacPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == Self::BITS {
            return self.address.fmt(f);
        }
        f.pad(&format!("{}/{}", self.address, self.length))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(prefix) => prefix.fmt(f),
            Self::Ipv4(network) => fmt_network(*network, f),
            Self::Ipv6(network) => fmt_network(*network, f),
            Self::Interface(name) => f.pad(&format!("interface {name}")),
        }
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

/// Writes a network; one with a single address is written as that address.
fn fmt_network<A: Address>(network: Network<A>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if network.length() == A::BITS {
        return write!(f, "{}", network.address());
    }
    write!(f, "{network}")
}
