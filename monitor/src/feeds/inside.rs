//! Refuses *inside* addresses: those of this machine, of its networks, and other
//! addresses that are not on the public internet. No server may lead the daemon
//! to them.
//!
//! A name server or a redirect could choose such an address. An address that the
//! operator wrote into the feed's own URL is permitted. The check runs after the
//! name is resolved and before the connection, so the client connects only to
//! addresses that were checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use ureq::{
    config::Config,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

use crate::{
    address::{Address, Embedding, LOCAL_TRANSLATION, Network, Purpose, SpecialNetwork},
    lists::{FeedUrl, OwnNetwork},
};

/// The IPv6 networks whose addresses lead to an IPv4 address: through the socket
/// (IPv4-mapped), a translator (NAT64) or a tunnel (6to4).
const CARRIED_BY: [Embedding; 3] = [Embedding::MAPPED, Embedding::NAT64, Embedding::SIX_TO_FOUR];

/// Other IPv6 networks whose addresses end with an IPv4 address: IPv4-compatible
/// (RFC 4291) and IPv4-translated (RFC 2765), both with prefixes of 96 bits.
const ENDS_WITH_IPV4: [Ipv6Addr; 2] = [
    Ipv6Addr::UNSPECIFIED,
    Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0),
];

/// The gateway's own addresses and networks. They are inside, as are the special
/// networks that are inside on every machine.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The addresses of all interfaces.
    pub addresses: Vec<IpAddr>,
    /// The networks of the filtered interfaces.
    pub networks: Vec<OwnNetwork>,
}

/// A name or a redirect leads to an inside address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{host}` is {address}, {what}: no server may lead the daemon there; to fetch from it anyway, write that address into the URL of the list"
)]
pub struct LeadsInside {
    /// The host of the URL.
    pub host: String,
    /// The address of that host.
    pub address: IpAddr,
    /// The kind of address, as a phrase such as "a private address".
    pub what: String,
}

impl Own {
    /// Returns the kind of `address` as a phrase, or `None` if it is not inside.
    pub(crate) fn inside(&self, address: IpAddr) -> Option<String> {
        if self.addresses.contains(&address) {
            return Some("an address of this gateway".to_owned());
        }
        if self.networks.iter().any(|own| contains(own, address)) {
            return Some("an address of this gateway's network".to_owned());
        }
        match address {
            IpAddr::V4(address) => special(&SpecialNetwork::<Ipv4Addr>::ALL, address),
            IpAddr::V6(address) => {
                special(&SpecialNetwork::<Ipv6Addr>::ALL, address).or_else(|| {
                    let mut embedded = embedded(address);
                    embedded.find_map(|ipv4| self.inside(IpAddr::V4(ipv4)))
                })
            }
        }
    }
}

fn contains(own: &OwnNetwork, address: IpAddr) -> bool {
    match (own.address, address) {
        (IpAddr::V4(own_address), IpAddr::V4(address)) => {
            Network::around(own_address, own.length) == Network::around(address, own.length)
        }
        (IpAddr::V6(own_address), IpAddr::V6(address)) => {
            Network::around(own_address, own.length) == Network::around(address, own.length)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Returns the kind of `address` if one of `networks` contains it and is inside.
fn special<A: Address>(networks: &[SpecialNetwork<A>], address: A) -> Option<String> {
    let mut around = networks
        .iter()
        .filter(|special| special.network.contains(address));
    around.find_map(|special| {
        let what = described(special.purpose)?;
        Some(format!("{what} (RFC {})", special.rfc))
    })
}

/// Returns the phrase for an address of such a network, or `None` if such networks
/// are not inside.
const fn described(purpose: Purpose) -> Option<&'static str> {
    match purpose {
        Purpose::ThisHost | Purpose::Loopback => Some("this machine"),
        Purpose::LinkLocal => Some("a link-local address"),
        Purpose::Private | Purpose::UniqueLocal => Some("a private address"),
        Purpose::SiteLocal => Some("a site-local address"),
        Purpose::Shared => Some("an address behind the provider"),
        Purpose::Multicast => Some("a multicast address"),
        Purpose::Protocols => Some("an address of a protocol"),
        Purpose::Broadcast | Purpose::Reserved => Some("a reserved address"),
        Purpose::Documentation
        | Purpose::Benchmarks
        | Purpose::SixToFour
        | Purpose::Mapped
        | Purpose::LocalTranslation
        | Purpose::Discard
        | Purpose::Identifiers
        | Purpose::SegmentRouting => None,
    }
}

/// Returns the IPv4 addresses that `address` may carry.
fn embedded(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let carried = CARRIED_BY
        .into_iter()
        .filter_map(move |by| by.extract(address));
    let ends_with = ENDS_WITH_IPV4
        .into_iter()
        .filter(move |first| Network::around(*first, 96).contains(address));
    let ended = ends_with.map(move |_| bits(address, 96));
    let local = LOCAL_TRANSLATION.contains(address);
    let local = local.then(|| local_nat64(address));
    carried.chain(ended).chain(local.into_iter().flatten())
}

/// Returns the IPv4 addresses that an address in `64:ff9b:1::/48` may carry.
///
/// The translator's prefix can have 48, 56, 64 or 96 bits, and each length puts the
/// IPv4 address at another place (RFC 6052, section 2.2). The length is not known
/// here, so this function reads all four places. A place whose first byte is 0 most
/// likely holds no address and is left out. If all four are left out, returns
/// 0.0.0.0, which is inside.
fn local_nat64(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    // Bits 64 to 71 are not part of the IPv4 address. Its first `before` bits end at bit 63,
    // and its other bits begin at bit 72.
    let around_them = |before: u32| {
        let first = bits(address, 64 - before).to_bits() >> (32 - before) << (32 - before);
        Ipv4Addr::from_bits(first | bits(address, 72).to_bits() >> before)
    };
    let places = [
        around_them(16),
        around_them(8),
        bits(address, 72),
        bits(address, 96),
    ];
    let is_used = |ipv4: &Ipv4Addr| ipv4.octets()[0] != 0;
    let none = !places.iter().any(is_used);
    let used = places.into_iter().filter(is_used);
    used.chain(none.then_some(Ipv4Addr::UNSPECIFIED))
}

/// Returns the 32 bits of `address` that begin at bit `start`, counted from the most
/// significant bit.
fn bits(address: Ipv6Addr, start: u32) -> Ipv4Addr {
    let shifted = address.to_bits() << start >> 96;
    Ipv4Addr::from_bits(u32::try_from(shifted).unwrap_or_default())
}

/// Resolves names, and refuses those with an inside address.
#[derive(Debug)]
pub(super) struct OutsideResolver {
    resolver: DefaultResolver,
    own: Own,
    meant: TargetAddress,
}

/// The host in the URL of the feed, which tells the inside addresses that the
/// operator permits.
#[derive(Debug, PartialEq, Eq)]
enum TargetAddress {
    /// A name. It permits no inside address, because a name server chooses the
    /// addresses.
    Name,
    /// `localhost`. It permits loopback addresses under this name.
    Localhost,
    /// An address. It permits itself.
    Address(IpAddr),
}

impl OutsideResolver {
    /// Creates the resolver for the feed of this URL.
    pub(super) fn new(feed: &FeedUrl, own: Own) -> Self {
        let meant = match feed.address() {
            Some(address) => TargetAddress::Address(address),
            None if feed.host() == "localhost" => TargetAddress::Localhost,
            None => TargetAddress::Name,
        };
        Self {
            resolver: DefaultResolver::default(),
            own,
            meant,
        }
    }

    fn check(&self, host: &str, address: IpAddr) -> Result<(), LeadsInside> {
        let is_meant = match self.meant {
            TargetAddress::Name => false,
            TargetAddress::Localhost => host == "localhost" && address.is_loopback(),
            TargetAddress::Address(meant) => literal(host) == Some(meant) && address == meant,
        };
        match self.own.inside(address) {
            Some(what) if !is_meant => Err(LeadsInside {
                host: crate::quoted::quoted(host),
                address,
                what,
            }),
            Some(_) | None => Ok(()),
        }
    }
}

/// Parses the host of a URL as an address, with or without brackets.
fn literal(host: &str) -> Option<IpAddr> {
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.parse().ok()
}

impl Resolver for OutsideResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.resolver.resolve(uri, config, timeout)?;
        let host = uri.host().unwrap_or_default();
        for address in &found {
            self.check(host, address.ip())
                .map_err(|error| ureq::Error::Other(Box::new(error)))?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Own {
        Own {
            addresses: ["45.9.8.1", "2a00:1::1"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
            networks: vec![OwnNetwork {
                address: "2a00:1:2::1".parse().unwrap(),
                length: 64,
            }],
        }
    }

    #[test]
    fn inside_addresses_are_recognised_in_every_form() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "224.0.0.1",
            "239.255.255.250",
            "255.255.255.255",
            "45.9.8.1",
            "::",
            "::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2a00:1::1",
            "2a00:1:2::9",
            "::ffff:127.0.0.1",
            "::ffff:192.168.1.1",
            "::ffff:45.9.8.1",
            "::7f00:1",
            "::ffff:0:a00:1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::45.9.8.1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
            "64:ff9b:1::10.0.0.1",
            "64:ff9b:1:a00:0:100::",
            "64:ff9b:1:a:0:1::",
            "64:ff9b:1:0:a:0:100::",
            "64:ff9b:1::",
        ] {
            assert!(own().inside(text.parse().unwrap()).is_some(), "{text}");
        }
    }

    #[test]
    fn other_addresses_are_not_inside_in_any_form() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.0.0.1",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "192.169.0.1",
            "198.18.0.2",
            "223.255.255.255",
            "45.9.8.2",
            "2600::1",
            "2a00:1:3::1",
            "fbff::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
            "2001:db8::1",
            "64:ff9b:1::1.1.1.1",
            "64:ff9b:1:101:1:100::",
        ] {
            assert_eq!(own().inside(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn the_url_of_a_feed_permits_its_own_host_only() {
        let resolver = |url: &str| OutsideResolver::new(&url.parse().unwrap(), own());
        let allows = |url: &str, host: &str, address: &str| {
            let address = address.parse().unwrap();
            resolver(url).check(host, address).is_ok()
        };
        assert!(allows("http://127.0.0.1/x", "127.0.0.1", "127.0.0.1"));
        assert!(!allows("http://127.0.0.1/x", "127.0.0.2", "127.0.0.2"));
        assert!(!allows("http://127.0.0.1/x", "localhost", "127.0.0.1"));
        assert!(!allows("http://127.0.0.1/x", "2130706433", "127.0.0.1"));
        assert!(allows("http://[fd12::1]/x", "[fd12::1]", "fd12::1"));
        assert!(allows("http://[fd12::1]/x", "[fd12:0::1]", "fd12::1"));
        assert!(allows("http://localhost/x", "localhost", "::1"));
        assert!(!allows("http://localhost/x", "localhost", "192.168.1.1"));
        assert!(!allows("http://localhost/x", "127.0.0.1", "127.0.0.1"));
        assert!(!allows("http://lists.lan/x", "lists.lan", "192.168.1.1"));
        assert!(allows("http://lists.example/x", "lists.example", "1.1.1.1"));
        assert!(allows("http://192.168.1.1/x", "lists.example", "1.1.1.1"));
    }
}
