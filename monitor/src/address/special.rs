//! Networks for special purposes: the only list of them.
//!
//! The lock-out guard, the cut of foreign lists and the check of where a feed's
//! server leads each match [`Purpose`] and take the networks they need.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Embedding, Network};

/// A network of one family that is set aside for a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialNetwork<A> {
    /// The network.
    pub network: Network<A>,
    /// What the network is set aside for.
    pub purpose: Purpose,
    /// The number of the RFC that says so.
    pub rfc: u16,
}

/// What a network is set aside for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Addresses of a host that does not know its own address.
    ThisHost,
    /// Addresses of the host itself.
    Loopback,
    /// Addresses of one link.
    LinkLocal,
    /// Private IPv4 networks.
    Private,
    /// Private IPv6 networks.
    UniqueLocal,
    /// Private IPv6 networks of the past; today they are global addresses.
    SiteLocal,
    /// Networks between a provider and its customers.
    Shared,
    /// Groups of receivers.
    Multicast,
    /// Every host of a link: hosts without an address send to it.
    Broadcast,
    /// Addresses that protocols of the IETF use.
    Protocols,
    /// Examples in documents.
    Documentation,
    /// Tests of devices.
    Benchmarks,
    /// Relays and addresses of 6to4.
    SixToFour,
    /// IPv4 addresses in programs that know IPv6 only.
    Mapped,
    /// Translation to IPv4 inside one network.
    LocalTranslation,
    /// Packets that routers throw away.
    Discard,
    /// Identifiers that are no addresses.
    Identifiers,
    /// Segments of IPv6 segment routing.
    SegmentRouting,
    /// Reserved for the future.
    Reserved,
}

/// Local translation to IPv4 (RFC 8215).
pub const LOCAL_TRANSLATION: Network<Ipv6Addr> =
    Network::known(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48);

impl SpecialNetwork<Ipv4Addr> {
    /// The IANA IPv4 Special-Purpose Address Registry and multicast, sorted.
    pub const ALL: [Self; 16] = [
        ipv4([0, 0, 0, 0], 8, Purpose::ThisHost, 791),
        ipv4([10, 0, 0, 0], 8, Purpose::Private, 1918),
        ipv4([100, 64, 0, 0], 10, Purpose::Shared, 6598),
        ipv4([127, 0, 0, 0], 8, Purpose::Loopback, 1122),
        ipv4([169, 254, 0, 0], 16, Purpose::LinkLocal, 3927),
        ipv4([172, 16, 0, 0], 12, Purpose::Private, 1918),
        ipv4([192, 0, 0, 0], 24, Purpose::Protocols, 6890),
        ipv4([192, 0, 2, 0], 24, Purpose::Documentation, 5737),
        ipv4([192, 88, 99, 0], 24, Purpose::SixToFour, 7526),
        ipv4([192, 168, 0, 0], 16, Purpose::Private, 1918),
        ipv4([198, 18, 0, 0], 15, Purpose::Benchmarks, 2544),
        ipv4([198, 51, 100, 0], 24, Purpose::Documentation, 5737),
        ipv4([203, 0, 113, 0], 24, Purpose::Documentation, 5737),
        ipv4([224, 0, 0, 0], 4, Purpose::Multicast, 5771),
        ipv4([240, 0, 0, 0], 4, Purpose::Reserved, 1112),
        ipv4([255, 255, 255, 255], 32, Purpose::Broadcast, 919),
    ];
}

impl SpecialNetwork<Ipv6Addr> {
    /// The IANA IPv6 Special-Purpose Address Registry, multicast and site-local
    /// networks, sorted. Of `2001::/23` (RFC 2928) only the parts that no packet
    /// can reach: a Teredo address (`2001::/32`), for example, leads to a host.
    pub const ALL: [Self; 15] = [
        ipv6([0, 0, 0, 0, 0, 0, 0, 0], 128, Purpose::ThisHost, 4291),
        ipv6([0, 0, 0, 0, 0, 0, 0, 1], 128, Purpose::Loopback, 4291),
        of(Embedding::MAPPED.prefix(), Purpose::Mapped, 4291),
        of(LOCAL_TRANSLATION, Purpose::LocalTranslation, 8215),
        ipv6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Purpose::Discard, 6666),
        ipv6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, Purpose::Benchmarks, 5180),
        ipv6(
            [0x2001, 0x10, 0, 0, 0, 0, 0, 0],
            28,
            Purpose::Identifiers,
            4843,
        ),
        ipv6(
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0],
            32,
            Purpose::Documentation,
            3849,
        ),
        of(Embedding::SIX_TO_FOUR.prefix(), Purpose::SixToFour, 3056),
        ipv6(
            [0x3fff, 0, 0, 0, 0, 0, 0, 0],
            20,
            Purpose::Documentation,
            9637,
        ),
        ipv6(
            [0x5f00, 0, 0, 0, 0, 0, 0, 0],
            16,
            Purpose::SegmentRouting,
            9602,
        ),
        ipv6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Purpose::UniqueLocal, 4193),
        ipv6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Purpose::LinkLocal, 4291),
        ipv6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Purpose::SiteLocal, 3879),
        ipv6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Purpose::Multicast, 4291),
    ];
}

const fn of<A: Copy>(network: Network<A>, purpose: Purpose, rfc: u16) -> SpecialNetwork<A> {
    SpecialNetwork {
        network,
        purpose,
        rfc,
    }
}

const fn ipv4(first: [u8; 4], length: u8, purpose: Purpose, rfc: u16) -> SpecialNetwork<Ipv4Addr> {
    let [a, b, c, d] = first;
    of(
        Network::known(Ipv4Addr::new(a, b, c, d), length),
        purpose,
        rfc,
    )
}

const fn ipv6(first: [u16; 8], length: u8, purpose: Purpose, rfc: u16) -> SpecialNetwork<Ipv6Addr> {
    let first = Ipv6Addr::new(
        first[0], first[1], first[2], first[3], first[4], first[5], first[6], first[7],
    );
    of(Network::known(first, length), purpose, rfc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    fn are_networks<A: Address>(special: &[SpecialNetwork<A>]) {
        for SpecialNetwork { network, .. } in special {
            let checked = Network::new(network.address(), network.length());
            assert_eq!(checked, Some(*network));
        }
        assert!(special.is_sorted_by_key(|special| special.network));
    }

    #[test]
    fn each_is_a_network_whose_host_bits_are_zero() {
        are_networks(&SpecialNetwork::<Ipv4Addr>::ALL);
        are_networks(&SpecialNetwork::<Ipv6Addr>::ALL);
    }
}
