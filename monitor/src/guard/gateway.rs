//! The properties of a gateway that the guard needs.

use std::net::IpAddr;

use crate::{address::Derivation, lists::OwnNetwork};

/// A gateway as its devices see it: interfaces, addresses and servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// The interfaces to which the filter is attached. Empty if they are not known.
    pub interfaces: Vec<LanInterface>,
    /// The DNS resolvers that the gateway announces to its devices.
    pub resolvers: Vec<IpAddr>,
    /// The DHCP servers of its networks.
    pub dhcp: Vec<IpAddr>,
    /// The networks of the interfaces.
    pub networks: Vec<OwnNetwork>,
    /// The next hops of its routes. Empty on the devices' side.
    pub next_hops: Vec<IpAddr>,
    /// The side of the internet.
    pub wan: WanSide,
    /// The ways in which IPv6 addresses carry IPv4 addresses.
    pub derivation: Derivation,
}

/// What the gateway needs on its interfaces with the role `wan`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WanSide {
    /// These interfaces, with the gateway's addresses there.
    pub interfaces: Vec<LanInterface>,
    /// The DNS resolvers that the gateway asks.
    pub resolvers: Vec<IpAddr>,
    /// The DHCP servers that gave the gateway its addresses.
    pub dhcp: Vec<IpAddr>,
    /// The next hops of its routes.
    pub next_hops: Vec<IpAddr>,
}

/// An interface to which the filter is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanInterface {
    /// The kernel's name for it.
    pub name: String,
    /// The gateway's own addresses that devices reach through it.
    pub addresses: Vec<IpAddr>,
}

impl Gateway {
    /// The side of the internet as a gateway of its own, for the same checks. `None` if no
    /// interface has the role `wan`.
    pub(super) fn of_internet(&self) -> Option<Self> {
        (!self.wan.interfaces.is_empty()).then(|| Self {
            interfaces: self.wan.interfaces.clone(),
            resolvers: self.wan.resolvers.clone(),
            dhcp: self.wan.dhcp.clone(),
            next_hops: self.wan.next_hops.clone(),
            derivation: self.derivation.clone(),
            ..Self::default()
        })
    }

    /// Returns true if all interfaces exist and have addresses. Only then can the guard
    /// say that a policy does not need to accept the risk `lan`.
    pub(super) fn is_known(&self) -> bool {
        let mut interfaces = self.interfaces.iter();
        !self.interfaces.is_empty() && interfaces.all(|interface| !interface.addresses.is_empty())
    }
}
