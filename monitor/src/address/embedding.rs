//! IPv6 addresses that carry an IPv4 address.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::{Address, Network};

/// The first bit of the `u` octet and the first bit after it (RFC 6052, section 2.2).
const U: (u8, u8) = (64, 72);

/// One way in which IPv6 addresses carry an IPv4 address: after a prefix, with the
/// most significant bit first.
///
/// ```text
/// NAT64, /96   | prefix                96 bits | IPv4 32 bits                   |
/// NAT64, /48   | prefix 48 | IPv4 16 bits | u 8 bits | IPv4 16 bits | suffix    |
/// 6to4         | 2002 | IPv4 32 bits | subnet and host                          |
/// IPv4-mapped  | ::ffff                96 bits | IPv4 32 bits                   |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Embedding {
    prefix: Network<Ipv6Addr>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Nat64,
    SixToFour,
    Mapped,
}

/// The reason why a prefix cannot be the prefix of a NAT64 translator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNat64 {
    /// The prefix does not have one of the six lengths of RFC 6052, section 2.2.
    #[error("a NAT64 prefix must have 32, 40, 48, 56, 64 or 96 bits (RFC 6052), not {0}")]
    Length(u8),
    /// Bits 64 to 71 are not zero, as RFC 6052, section 2.2, requires.
    #[error("bits 64 to 71 of a NAT64 prefix of 96 bits must be zero (RFC 6052)")]
    Octet,
    /// The prefix covers addresses that never reach a translator.
    #[error("link-local, multicast, loopback and unspecified addresses cannot be a NAT64 prefix")]
    Local,
}

impl Embedding {
    /// The well-known prefix of NAT64, `64:ff9b::/96` (RFC 6052, section 2.1).
    pub const NAT64: Self = Self::fixed(
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0),
        96,
        Kind::Nat64,
    );
    /// The prefix of 6to4, `2002::/16` (RFC 3056, section 2).
    pub const SIX_TO_FOUR: Self = Self::fixed(
        Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0),
        16,
        Kind::SixToFour,
    );
    /// The prefix of IPv4-mapped addresses, `::ffff:0:0/96` (RFC 4291, section 2.5.5.2).
    pub const MAPPED: Self =
        Self::fixed(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, Kind::Mapped);

    const IPV4_BITS: u8 = <Ipv4Addr as Address>::BITS;

    const fn fixed(first: Ipv6Addr, length: u8, kind: Kind) -> Self {
        let prefix = Network::known(first, length);
        Self { prefix, kind }
    }

    /// Returns the embedding of a NAT64 translator with this prefix.
    ///
    /// # Errors
    ///
    /// Fails if RFC 6052 does not allow the prefix.
    pub fn nat64(prefix: Network<Ipv6Addr>) -> Result<Self, InvalidNat64> {
        let first = prefix.address();
        let length = prefix.length();
        if !matches!(length, 32 | 40 | 48 | 56 | 64 | 96) {
            return Err(InvalidNat64::Length(length));
        }
        if first.octets()[8] != 0 {
            return Err(InvalidNat64::Octet);
        }
        let local = first.is_multicast() || first.is_unicast_link_local();
        if local || prefix.contains(Ipv6Addr::UNSPECIFIED) {
            return Err(InvalidNat64::Local);
        }
        Ok(Self {
            prefix,
            kind: Kind::Nat64,
        })
    }

    /// Returns the prefix of the addresses.
    #[must_use]
    pub const fn prefix(self) -> Network<Ipv6Addr> {
        self.prefix
    }

    /// Returns the prefix as text, in the notation of RFC 4291.
    #[must_use]
    pub fn prefix_text(self) -> String {
        match self.kind {
            Kind::Mapped => "::ffff:0:0/96".to_owned(),
            Kind::Nat64 | Kind::SixToFour => self.prefix.to_string(),
        }
    }

    /// Returns the name in JSON: `nat64`, `6to4` or `mapped`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.kind {
            Kind::Nat64 => "nat64",
            Kind::SixToFour => "6to4",
            Kind::Mapped => "mapped",
        }
    }

    /// Returns the number of IPv4 bits before the `u` octet: all 32 if the IPv4 address
    /// does not cross that octet.
    fn bits_before_u(self) -> u8 {
        match (self.kind, self.prefix.length()) {
            (Kind::Nat64, length @ 32..=64) => U.0 - length,
            (Kind::Nat64 | Kind::SixToFour | Kind::Mapped, _) => Self::IPV4_BITS,
        }
    }

    /// Returns the IPv4 address that `address` carries, or `None` if it is outside the
    /// prefix. Ignores the `u` octet and the suffix (RFC 6052, section 2.3).
    #[must_use]
    pub fn extract(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        if !self.prefix.contains(address) {
            return None;
        }
        let bits = address.to_bits();
        let before = self.bits_before_u();
        let high = bits << self.prefix.length() & leading_ones(before);
        let low = bits << U.1 >> before;
        Some(Ipv4Addr::from_number((high | low) >> (128 - 32)))
    }

    /// Returns the number of prefixes that [`networks`](Self::networks) returns for an
    /// IPv4 network of `length` bits: 256 if the `u` octet lies within these bits, otherwise 1.
    #[must_use]
    pub fn images(self, length: u8) -> usize {
        if length <= self.bits_before_u() {
            1
        } else {
            256
        }
    }

    /// Returns the prefixes that cover exactly the addresses that carry an address of
    /// `network`.
    ///
    /// In a valid address the `u` octet is zero. But translators that follow section 2.3
    /// of RFC 6052 ignore it, so there is a prefix for each of its 256 values.
    pub fn networks(self, network: Network<Ipv4Addr>) -> impl Iterator<Item = Network<Ipv6Addr>> {
        let last = if self.images(network.length()) == 1 {
            0
        } else {
            u8::MAX
        };
        (0..=last).map(move |u| self.network_with(network, u))
    }

    /// Returns the IPv6 prefix in which the IPv4 addresses of `network` are embedded.
    /// RFC 6052 has an octet `u` between the IPv4 bits; its value is that of `like`.
    #[must_use]
    pub fn network_like(self, network: Network<Ipv4Addr>, like: Ipv6Addr) -> Network<Ipv6Addr> {
        self.network_with(network, like.octets()[usize::from(U.0) / 8])
    }

    fn network_with(self, network: Network<Ipv4Addr>, u: u8) -> Network<Ipv6Addr> {
        let before = self.bits_before_u();
        let bits = network.address().to_number() << (128 - 32);
        let prefix = self.prefix.length();
        let start = self.prefix.address().to_bits();
        if network.length() <= before {
            let first = start | bits >> prefix;
            return Network::around(first.into(), prefix + network.length());
        }
        let high = (bits & leading_ones(before)) >> prefix;
        let low = (bits << before) >> U.1;
        let first = start | high | u128::from(u) << (128 - U.1) | low;
        Network::around(first.into(), prefix + network.length() + (U.1 - U.0))
    }
}

/// Returns a number of 128 bits whose `count` most significant bits are set.
fn leading_ones(count: u8) -> u128 {
    !u128::MAX.checked_shr(count.into()).unwrap_or(0)
}

impl fmt::Display for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            Kind::Nat64 => "NAT64",
            Kind::SixToFour => "6to4",
            Kind::Mapped => "IPv4-mapped addresses",
        };
        write!(f, "{name} ({})", self.prefix_text())
    }
}

/// The embeddings by which IPv4 destinations also cover IPv6 addresses, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivation(Vec<Embedding>);

impl Default for Derivation {
    /// The embeddings with the same prefix in every network: the well-known prefix of
    /// NAT64, 6to4 and IPv4-mapped addresses.
    fn default() -> Self {
        Self::with([])
    }
}

impl Derivation {
    /// Maximum number of NAT64 prefixes that the configuration can add.
    pub const MAX_NAT64: usize = 16;

    /// Returns a derivation without embeddings: IPv4 destinations cover only IPv4
    /// addresses.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Returns the default embeddings and those in `own`, the NAT64 prefixes of this
    /// network.
    #[must_use]
    pub fn with(own: impl IntoIterator<Item = Embedding>) -> Self {
        let known = [Embedding::NAT64, Embedding::SIX_TO_FOUR, Embedding::MAPPED];
        let mut all: Vec<Embedding> = known.into_iter().chain(own).collect();
        all.sort_unstable();
        all.dedup_by_key(|embedding| embedding.prefix);
        Self(all)
    }

    /// Returns the embeddings, sorted by prefix.
    #[must_use]
    pub fn embeddings(&self) -> &[Embedding] {
        &self.0
    }
}

/// The origin of a derived prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DerivedFrom {
    /// The IPv4 network in the policy.
    pub from: Network<Ipv4Addr>,
    /// The embedding by which IPv6 addresses carry its addresses.
    pub by: Embedding,
}

impl fmt::Display for DerivedFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "derived from {} by {}", self.from, self.by)
    }
}

impl Serialize for DerivedFrom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("DerivedFrom", 3)?;
        map.serialize_field("from", &self.from.to_string())?;
        map.serialize_field("by", self.by.name())?;
        map.serialize_field("prefix", &self.by.prefix_text())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nat64(prefix: &str) -> Embedding {
        Embedding::nat64(network(prefix)).unwrap()
    }

    fn network(text: &str) -> Network<Ipv6Addr> {
        let (address, length) = text.split_once('/').unwrap();
        Network::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
    }

    fn host(address: Ipv4Addr) -> Network<Ipv4Addr> {
        Network::around(address, 32)
    }

    /// The examples of RFC 6052, section 2.4.
    #[test]
    fn the_examples_of_rfc_6052_are_embedded_and_extracted() {
        let ipv4 = Ipv4Addr::new(192, 0, 2, 33);
        for (prefix, address) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
        ] {
            let embedding = nat64(prefix);
            let address: Ipv6Addr = address.parse().unwrap();
            assert_eq!(embedding.extract(address), Some(ipv4), "{prefix}");
            let first = embedding.networks(host(ipv4)).next().unwrap();
            assert_eq!(first.address(), address, "{prefix}");
        }
    }

    #[test]
    fn six_to_four_mapped_and_well_known_nat64_addresses() {
        let ipv4 = Ipv4Addr::new(42, 62, 48, 9);
        for (embedding, address, length) in [
            (Embedding::SIX_TO_FOUR, "2002:2a3e:3009::", 48),
            (Embedding::MAPPED, "::ffff:42.62.48.9", 128),
            (Embedding::NAT64, "64:ff9b::2a3e:3009", 128),
        ] {
            let address: Ipv6Addr = address.parse().unwrap();
            let all: Vec<_> = embedding.networks(host(ipv4)).collect();
            assert_eq!(all, [Network::new(address, length).unwrap()]);
            assert_eq!(embedding.extract(address), Some(ipv4));
        }
        assert_eq!(nat64("64:ff9b::/96"), Embedding::NAT64);
    }

    #[test]
    fn the_u_octet_may_have_any_value() {
        let embedding = nat64("2001:db8:64::/48");
        let wide = Network::new(Ipv4Addr::new(42, 62, 0, 0), 16).unwrap();
        let all: Vec<_> = embedding.networks(wide).collect();
        assert_eq!(all, [network("2001:db8:64:2a3e::/64")]);
        let narrow = Network::new(Ipv4Addr::new(42, 62, 48, 0), 24).unwrap();
        let all: Vec<_> = embedding.networks(narrow).collect();
        assert_eq!(all.len(), embedding.images(24));
        assert_eq!(all[0], network("2001:db8:64:2a3e:30::/80"));
        assert_eq!(all[255], network("2001:db8:64:2a3e:ff30::/80"));
        let odd = "2001:db8:64:2a3e:7730:900::1".parse().unwrap();
        assert_eq!(embedding.extract(odd), Some(Ipv4Addr::new(42, 62, 48, 9)));
        assert!(embedding.network_like(narrow, odd).contains(odd));
    }

    #[test]
    fn invalid_nat64_prefixes_are_refused() {
        for length in (0..=128).filter(|length| ![32, 40, 48, 56, 64, 96].contains(length)) {
            let prefix = Network::around("2001:db8::".parse().unwrap(), length);
            let refused = Embedding::nat64(prefix).unwrap_err();
            assert_eq!(refused, InvalidNat64::Length(length));
        }
        let refused = Embedding::nat64(network("2001:db8:0:0:100::/96"));
        assert_eq!(refused, Err(InvalidNat64::Octet));
        for local in ["::/96", "::/32", "fe80::/64", "ff0e::/96"] {
            assert_eq!(Embedding::nat64(network(local)), Err(InvalidNat64::Local));
        }
    }

    proptest! {
        /// The prefixes cover exactly the addresses from which an address of the network
        /// is extracted.
        #[test]
        fn prefixes_and_extraction_agree(
            prefix: u128,
            which in 0_usize..8,
            ipv4: u32,
            length in 0_u8..=32,
            tail: u128,
            flip in 0_u32..129,
        ) {
            let own = |length: u8| {
                // Clears the `u` octet of the prefix, as RFC 6052 requires.
                let clear = prefix & !(0xff << (128 - 72)) & (u128::MAX >> 3) | 1 << 125;
                Embedding::nat64(Network::around(clear.into(), length)).unwrap()
            };
            let embedding = match which {
                0 => Embedding::SIX_TO_FOUR,
                1 => Embedding::MAPPED,
                _ => own([32, 40, 48, 56, 64, 96][which - 2]),
            };
            let network = Network::around(Ipv4Addr::from_bits(ipv4), length);
            let all: Vec<_> = embedding.networks(network).collect();
            prop_assert_eq!(all.len(), embedding.images(length));
            // An address in the network, and the same address with one bit changed.
            let derived = all[usize::try_from(tail % 256).unwrap() % all.len()];
            let free = u128::MAX.checked_shr(derived.length().into()).unwrap_or(0);
            let inside = derived.address().to_bits() | tail & free;
            let beside = inside ^ 1_u128.checked_shl(flip).unwrap_or(0);
            for address in [inside, beside, tail] {
                let address = Ipv6Addr::from_bits(address);
                let holds = all.iter().any(|derived| derived.contains(address));
                let extracted = embedding.extract(address);
                prop_assert_eq!(holds, extracted.is_some_and(|ipv4| network.contains(ipv4)));
                let like = embedding.network_like(network, address);
                prop_assert_eq!(holds, like.contains(address));
            }
        }
    }
}
