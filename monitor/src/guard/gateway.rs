//! What the guard knows of a gateway.

use std::net::IpAddr;

use crate::{address::Derivation, lists::OwnNetwork};

/// What a gateway has and hands out on the side of its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Where the filter is attached; empty where that is not known.
    pub interfaces: Vec<LanInterface>,
    /// Resolvers that it hands out.
    pub resolvers: Vec<IpAddr>,
    /// DHCP servers of its networks.
    pub dhcp: Vec<IpAddr>,
    /// Networks that those interfaces are in.
    pub networks: Vec<OwnNetwork>,
    /// Which IPv6 addresses carry IPv4 addresses.
    pub derivation: Derivation,
}

/// An interface that the filter is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanInterface {
    /// As the kernel names it.
    pub name: String,
    /// The gateway's own addresses that devices reach through it.
    pub addresses: Vec<IpAddr>,
}

impl Gateway {
    /// Whether each interface is known to be there: what is not needed of the
    /// risk `lan` can be told only then.
    pub(super) fn is_known(&self) -> bool {
        let mut interfaces = self.interfaces.iter();
        !self.interfaces.is_empty() && interfaces.all(|interface| !interface.addresses.is_empty())
    }
}
