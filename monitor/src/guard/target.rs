//! What must not be cut off.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Gateway;
use crate::{
    address::{Address, Destination, Interval, Network},
    policy::{Destinations, Device, Policy, Ports, Risk, Service},
};

/// What a network is to a gateway, in the order of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    OwnAddress,
    Resolver,
    DhcpServer,
    /// 255.255.255.255, which devices without an address send to.
    Broadcast,
    Multicast,
    LinkLocal,
    Loopback,
    /// Private networks, RFC 1918.
    Private,
    /// Networks between a provider and its customers, RFC 6598.
    Shared,
    /// Unique local addresses, RFC 4193.
    UniqueLocal,
    Internet,
}

impl What {
    /// The risk of cutting it off.
    pub(super) const fn risk(self) -> Risk {
        match self {
            Self::OwnAddress
            | Self::Resolver
            | Self::DhcpServer
            | Self::Broadcast
            | Self::Multicast
            | Self::LinkLocal
            | Self::Loopback => Risk::Lan,
            Self::Private | Self::Shared | Self::UniqueLocal => Risk::Private,
            Self::Internet => Risk::ShortPrefix,
        }
    }
}

/// A part of the address space that must not be cut off.
#[derive(Clone, Debug)]
pub(super) struct Target<'a, A> {
    pub(super) what: What,
    pub(super) network: Network<A>,
    /// Only packets for one of these; empty: every packet.
    pub(super) services: Vec<Service>,
    /// Where; `None` is any interface that no policy names.
    pub(super) on: Vec<Option<&'a str>>,
}

/// An address family.
pub(super) trait Family: Address {
    /// Where DHCP servers listen.
    const DHCP: u16;
    /// A network with a shorter prefix holds much of the internet.
    const SHORTEST: u8;

    fn of(address: IpAddr) -> Option<Self>;
    fn fixed() -> Vec<(What, Option<Network<Self>>)>;
    fn destinations(policy: &Policy) -> &Destinations<Self>;
    fn sender(device: &Device) -> Option<Network<Self>>;
    fn destination(interval: Interval<Self>) -> Destination;
}

impl Family for Ipv4Addr {
    const DHCP: u16 = 67;
    const SHORTEST: u8 = 8;

    fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    fn fixed() -> Vec<(What, Option<Network<Self>>)> {
        let network =
            |first: [u8; 2], length| Network::new([first[0], first[1], 0, 0].into(), length);
        vec![
            (What::Broadcast, Network::new(Self::BROADCAST, 32)),
            (What::Multicast, network([224, 0], 4)),
            (What::LinkLocal, network([169, 254], 16)),
            (What::Loopback, network([127, 0], 8)),
            (What::Private, network([10, 0], 8)),
            (What::Private, network([172, 16], 12)),
            (What::Private, network([192, 168], 16)),
            (What::Shared, network([100, 64], 10)),
            (What::Internet, network([0, 0], 0)),
        ]
    }

    fn destinations(policy: &Policy) -> &Destinations<Self> {
        policy.ipv4()
    }

    fn sender(device: &Device) -> Option<Network<Self>> {
        match device {
            Device::Ipv4(network) => Some(*network),
            Device::Mac(_) | Device::Ipv6(_) | Device::Interface(_) => None,
        }
    }

    fn destination(interval: Interval<Self>) -> Destination {
        Destination::Ipv4(interval)
    }
}

impl Family for Ipv6Addr {
    const DHCP: u16 = 547;
    const SHORTEST: u8 = 16;

    fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address),
        }
    }

    fn fixed() -> Vec<(What, Option<Network<Self>>)> {
        let network = |first, length| Network::new([first, 0, 0, 0, 0, 0, 0, 0].into(), length);
        vec![
            (What::Multicast, network(0xff00, 8)),
            (What::LinkLocal, network(0xfe80, 10)),
            (What::Loopback, Network::new(Self::LOCALHOST, 128)),
            (What::UniqueLocal, network(0xfc00, 7)),
            (What::Internet, network(0, 0)),
        ]
    }

    fn destinations(policy: &Policy) -> &Destinations<Self> {
        policy.ipv6()
    }

    fn sender(device: &Device) -> Option<Network<Self>> {
        match device {
            Device::Ipv6(network) => Some(*network),
            Device::Mac(_) | Device::Ipv4(_) | Device::Interface(_) => None,
        }
    }

    fn destination(interval: Interval<Self>) -> Destination {
        Destination::Ipv6(interval)
    }
}

/// What `gateway` must not be cut off from, where the filter is attached `on`
/// these interfaces; in the order of messages.
pub(super) fn targets<'a, A: Family>(
    gateway: &'a Gateway,
    on: &[Option<&'a str>],
) -> Vec<Target<'a, A>> {
    let fixed = || {
        A::fixed()
            .into_iter()
            .filter_map(|(what, network)| Some((what, network?)))
    };
    let is_own = |address, name: &str| {
        let mut interfaces = gateway.interfaces.iter();
        interfaces.any(|other| other.name == name && other.addresses.contains(&address))
    };
    let mut targets = Vec::new();
    let mut add = |what, address: IpAddr, services: &[Service], on: Vec<Option<&'a str>>| {
        targets.extend(
            A::of(address)
                .filter(|_| !on.is_empty())
                .map(|address| Target {
                    what,
                    network: Network::around(address, A::BITS),
                    services: services.to_vec(),
                    on,
                }),
        );
    };
    let own = gateway
        .interfaces
        .iter()
        .flat_map(|interface| &interface.addresses);
    for address in sorted(own) {
        // The networks below hold the others.
        let local = |(what, network): (What, Network<A>)| {
            let local = matches!(what, What::LinkLocal | What::Loopback);
            local && A::of(address).is_some_and(|address| network.contains(address))
        };
        if !fixed().any(local) {
            let here = on
                .iter()
                .copied()
                .filter(|on| on.is_some_and(|name| is_own(address, name)));
            add(What::OwnAddress, address, &[], here.collect());
        }
    }
    let dns = [Service::Tcp(Ports::only(53)), Service::Udp(Ports::only(53))];
    let dhcp = [Service::Udp(Ports::only(A::DHCP))];
    let servers = [
        (What::Resolver, &gateway.resolvers, dns.as_slice()),
        (What::DhcpServer, &gateway.dhcp, dhcp.as_slice()),
    ];
    for (what, addresses, services) in servers {
        for address in sorted(addresses) {
            let elsewhere = |on: &Option<&str>| !on.is_some_and(|name| is_own(address, name));
            add(
                what,
                address,
                services,
                on.iter().copied().filter(elsewhere).collect(),
            );
        }
    }
    targets.extend(fixed().map(|(what, network)| Target {
        what,
        network,
        services: Vec::new(),
        on: on.to_vec(),
    }));
    targets
}

fn sorted<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> Vec<IpAddr> {
    let mut sorted: Vec<IpAddr> = addresses.into_iter().copied().collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}
