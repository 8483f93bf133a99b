//! The targets of the guard: addresses that devices need.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::gateway::Gateway;
use crate::{
    address::{
        Address, Derivation, Destination, Embedding, Interval, Network, Purpose, SpecialNetwork,
    },
    policy::{Destinations, Device, Policy, Ports, Risk, Service},
};

/// The kind of a target. The order of the variants is the order of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TargetKind {
    OwnAddress,
    NextHop,
    Resolver,
    DhcpServer,
    /// 255.255.255.255, to which devices without an address send.
    Broadcast,
    Multicast,
    LinkLocal,
    Loopback,
    /// Private networks (RFC 1918).
    Private,
    /// Networks between a provider and its customers (RFC 6598).
    Shared,
    /// Unique local addresses (RFC 4193).
    UniqueLocal,
    /// The whole address space of the family. Only entries with a very short prefix
    /// count as a cut of it.
    Internet,
}

impl TargetKind {
    /// Returns the kind of target of a special network, or `None` if devices do not need
    /// it.
    const fn of(purpose: Purpose) -> Option<Self> {
        match purpose {
            Purpose::Broadcast => Some(Self::Broadcast),
            Purpose::Multicast => Some(Self::Multicast),
            Purpose::LinkLocal => Some(Self::LinkLocal),
            Purpose::Loopback => Some(Self::Loopback),
            Purpose::Private => Some(Self::Private),
            Purpose::Shared => Some(Self::Shared),
            Purpose::UniqueLocal => Some(Self::UniqueLocal),
            Purpose::ThisHost
            | Purpose::SiteLocal
            | Purpose::Protocols
            | Purpose::Documentation
            | Purpose::Benchmarks
            | Purpose::SixToFour
            | Purpose::Mapped
            | Purpose::LocalTranslation
            | Purpose::Discard
            | Purpose::Identifiers
            | Purpose::SegmentRouting
            | Purpose::Reserved => None,
        }
    }

    /// Returns the risk that a policy must accept to cut such a target off.
    pub(super) const fn risk(self) -> Risk {
        match self {
            Self::OwnAddress
            | Self::NextHop
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

/// A network that devices need, with the packets that must not be dropped.
#[derive(Clone, Debug)]
pub(super) struct Target<'a, A> {
    pub(super) what: TargetKind,
    pub(super) network: Network<A>,
    /// The services that devices need. Empty means every packet.
    pub(super) services: Vec<Service>,
    /// The interfaces of the devices. `None` means any interface that no policy names.
    pub(super) on: Vec<Option<&'a str>>,
}

/// An address family.
pub(super) trait Family: Address + 'static {
    /// The port on which DHCP servers listen.
    const DHCP: u16;
    /// The shortest prefix length that a `drop` may have without accepting a risk. A
    /// shorter prefix covers a large part of the internet.
    const SHORTEST: u8;

    /// Returns the address if it is of this family.
    fn of(address: IpAddr) -> Option<Self>;
    /// Returns the special networks of this family.
    fn special() -> &'static [SpecialNetwork<Self>];
    /// Returns the destinations of a policy in this family.
    fn destinations(policy: &Policy) -> &Destinations<Self>;
    /// Returns the source addresses that `device` stands for, if a policy names the device
    /// by an address or CIDR of this family.
    fn sender(device: &Device) -> Option<Network<Self>>;
    /// Wraps an interval of this family.
    fn destination(interval: Interval<Self>) -> Destination;
    /// Returns the IPv4 addresses that an address carries, each with its embedding.
    fn carried(address: Self, derivation: &Derivation) -> Vec<(Embedding, Ipv4Addr)>;
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

    fn special() -> &'static [SpecialNetwork<Self>] {
        &SpecialNetwork::<Self>::ALL
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

    fn carried(_: Self, _: &Derivation) -> Vec<(Embedding, Ipv4Addr)> {
        Vec::new()
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

    fn special() -> &'static [SpecialNetwork<Self>] {
        &SpecialNetwork::<Self>::ALL
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

    fn carried(address: Self, derivation: &Derivation) -> Vec<(Embedding, Ipv4Addr)> {
        let each = derivation.embeddings().iter();
        each.filter_map(|by| Some((*by, by.extract(address)?)))
            .collect()
    }
}

/// Returns the targets for `gateway` if the filter is attached to the interfaces in
/// `on`, in the order of the messages.
pub(super) fn targets<'a, A: Family>(
    gateway: &'a Gateway,
    on: &[Option<&'a str>],
) -> Vec<Target<'a, A>> {
    let fixed = fixed::<A>().map(|(what, network)| Target {
        what,
        network,
        services: Vec::new(),
        on: on.to_vec(),
    });
    let mut targets = own_addresses(gateway, on);
    targets.extend(next_hops(gateway, on));
    targets.extend(servers(gateway, on));
    targets.extend(fixed);
    targets
}

/// Returns the targets that are the same for every gateway.
fn fixed<A: Family>() -> impl Iterator<Item = (TargetKind, Network<A>)> {
    let special = A::special().iter();
    let special =
        special.filter_map(|special| Some((TargetKind::of(special.purpose)?, special.network)));
    let internet = Network::around(A::from_number(0), 0);
    special.chain([(TargetKind::Internet, internet)])
}

fn own_addresses<'a, A: Family>(
    gateway: &'a Gateway,
    on: &[Option<&'a str>],
) -> Vec<Target<'a, A>> {
    let all = gateway.interfaces.iter();
    let addresses = sorted(all.flat_map(|interface| &interface.addresses));
    // Link-local and loopback addresses are left out, because fixed targets contain them.
    let is_local = |address: &A| {
        fixed::<A>().any(|(what, network)| {
            matches!(what, TargetKind::LinkLocal | TargetKind::Loopback)
                && network.contains(*address)
        })
    };
    let mut targets = Vec::new();
    for address in addresses {
        let here = on
            .iter()
            .copied()
            .filter(|on| is_own(gateway, address, *on));
        let own = A::of(address).filter(|address| !is_local(address));
        targets.extend(own.map(|own| at(TargetKind::OwnAddress, own, Vec::new(), here.collect())));
    }
    targets
}

fn next_hops<'a, A: Family>(gateway: &Gateway, on: &[Option<&'a str>]) -> Vec<Target<'a, A>> {
    let next_hops = sorted(&gateway.next_hops).into_iter().filter_map(A::of);
    let each = next_hops.map(|hop| at(TargetKind::NextHop, hop, Vec::new(), on.to_vec()));
    each.collect()
}

/// Returns the resolvers and DHCP servers, on each interface on which they are not an
/// address of the gateway itself.
fn servers<'a, A: Family>(gateway: &'a Gateway, on: &[Option<&'a str>]) -> Vec<Target<'a, A>> {
    let port = Ports::only(53);
    let dns = vec![Service::Tcp(port), Service::Udp(port)];
    let dhcp = vec![Service::Udp(Ports::only(A::DHCP))];
    let resolvers = (TargetKind::Resolver, &gateway.resolvers, dns);
    let mut targets = Vec::new();
    for (what, addresses, services) in [resolvers, (TargetKind::DhcpServer, &gateway.dhcp, dhcp)] {
        for address in sorted(addresses) {
            let elsewhere = on
                .iter()
                .copied()
                .filter(|on| !is_own(gateway, address, *on));
            let server = A::of(address);
            targets.extend(
                server.map(|server| at(what, server, services.clone(), elsewhere.collect())),
            );
        }
    }
    targets
}

fn at<A: Family>(
    what: TargetKind,
    address: A,
    services: Vec<Service>,
    on: Vec<Option<&str>>,
) -> Target<'_, A> {
    Target {
        what,
        network: Network::around(address, A::BITS),
        services,
        on,
    }
}

fn is_own(gateway: &Gateway, address: IpAddr, on: Option<&str>) -> bool {
    let mut interfaces = gateway.interfaces.iter();
    interfaces.any(|own| Some(own.name.as_str()) == on && own.addresses.contains(&address))
}

fn sorted<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> Vec<IpAddr> {
    let mut sorted: Vec<IpAddr> = addresses.into_iter().copied().collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}
