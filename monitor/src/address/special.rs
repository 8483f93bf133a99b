//! The networks for special purposes. This is the only table of them.
//!
//! Three modules match on [`Purpose`] to select the networks that they need: the
//! lock-out guard (`guard`), the removal of reserved networks from lists
//! (`lists::reserved`), and the check of inside addresses (`feeds::inside`).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Embedding, Network};

/// A network that is reserved for a special purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialNetwork<A> {
    /// The network.
    pub network: Network<A>,
    /// The purpose of the network.
    pub purpose: Purpose,
    /// The number of the RFC that reserves the network.
    pub rfc: u16,
}

/// The purpose of a special network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The source address of a host that does not know its own address yet.
    ThisHost,
    /// Addresses of the host itself.
    Loopback,
    /// Addresses of one link.
    LinkLocal,
    /// Private IPv4 networks.
    Private,
    /// Private IPv6 networks.
    UniqueLocal,
    /// Former private IPv6 networks (site-local). Today they are global addresses.
    SiteLocal,
    /// Networks between a provider and its customers.
    Shared,
    /// Addresses of groups of receivers.
    Multicast,
    /// The address of every host on a link. Hosts without an address send to it.
    Broadcast,
    /// Addresses that protocols of the IETF use.
    Protocols,
    /// Addresses for examples in documents.
    Documentation,
    /// Addresses for benchmarks of network devices.
    Benchmarks,
    /// Addresses of 6to4 and of its relays.
    SixToFour,
    /// IPv4 addresses in IPv6 form, for programs that use only IPv6 sockets.
    Mapped,
    /// Translation to IPv4 inside one network.
    LocalTranslation,
    /// Addresses whose packets routers discard.
    Discard,
    /// Identifiers of hosts that are not used as addresses.
    Identifiers,
    /// Segment identifiers of IPv6 segment routing.
    SegmentRouting,
    /// Reserved for the future.
    Reserved,
}

/// The prefix for translation to IPv4 inside one network, `64:ff9b:1::/48` (RFC 8215).
pub const LOCAL_TRANSLATION: Network<Ipv6Addr> =
    Network::known(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48);

impl SpecialNetwork<Ipv4Addr> {
    /// The networks of the IANA IPv4 Special-Purpose Address Registry, and multicast.
    /// Sorted by network.
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
    /// The networks of the IANA IPv6 Special-Purpose Address Registry, multicast and
    /// site-local networks. Sorted by network.
    ///
    /// From `2001::/23` (RFC 2928) this has only the parts that no packet can reach. A
    /// Teredo address (`2001::/32`), for example, does lead to a host.
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
    fn special_networks_have_no_host_bits_and_are_sorted() {
        are_networks(&SpecialNetwork::<Ipv4Addr>::ALL);
        are_networks(&SpecialNetwork::<Ipv6Addr>::ALL);
    }
}
