//! Addresses, networks and ranges of one family.

use std::{
    fmt::{self, Debug, Display},
    hash::Hash,
    net::{Ipv4Addr, Ipv6Addr},
};

/// An IPv4 or IPv6 address as a number of [`Address::BITS`] bits.
pub trait Address: Copy + Ord + Hash + Debug + Display {
    /// Number of bits of an address.
    const BITS: u8;

    /// Returns the address as a number. The first byte on the wire is the most
    /// significant one.
    fn to_number(self) -> u128;

    /// Returns the address for the low [`Address::BITS`] bits of `number`.
    fn from_number(number: u128) -> Self;

    /// Returns the first and the last address of the network of `length` bits that
    /// contains this address. Returns `None` if `length` is more than
    /// [`Address::BITS`].
    fn network(self, length: u8) -> Option<(Self, Self)>;
}

impl Address for Ipv4Addr {
    const BITS: u8 = 32;

    fn to_number(self) -> u128 {
        self.to_bits().into()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the function takes the low 32 bits on purpose"
    )]
    fn from_number(number: u128) -> Self {
        Self::from_bits(number as u32)
    }

    fn network(self, length: u8) -> Option<(Self, Self)> {
        let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
        let bits = self.to_bits();
        let ends = (Self::from_bits(bits & !host), Self::from_bits(bits | host));
        (length <= <Self as Address>::BITS).then_some(ends)
    }
}

impl Address for Ipv6Addr {
    const BITS: u8 = 128;

    fn to_number(self) -> u128 {
        self.to_bits()
    }

    fn from_number(number: u128) -> Self {
        Self::from_bits(number)
    }

    fn network(self, length: u8) -> Option<(Self, Self)> {
        let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
        let bits = self.to_bits();
        let ends = (Self::from_bits(bits & !host), Self::from_bits(bits | host));
        (length <= <Self as Address>::BITS).then_some(ends)
    }
}

/// A network whose host bits are zero. Sorts by address, then by length, so a
/// network comes before the networks that it contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network<A> {
    address: A,
    length: u8,
}

impl<A> Network<A> {
    /// Returns a network without a check. The caller must know that the host bits are
    /// zero.
    pub(super) const fn known(address: A, length: u8) -> Self {
        Self { address, length }
    }
}

impl<A: Address> Network<A> {
    /// Returns the network of `length` bits. Returns `None` if `length` is too large or
    /// host bits are set.
    #[must_use]
    pub fn new(address: A, length: u8) -> Option<Self> {
        let (first, _) = address.network(length)?;
        (first == address).then_some(Self { address, length })
    }

    /// Returns the network of `length` bits that contains `address`. If `length` is too
    /// large, the network has only this address.
    #[must_use]
    pub fn around(address: A, length: u8) -> Self {
        let length = length.min(A::BITS);
        let first = address.network(length).map_or(address, |(first, _)| first);
        Self {
            address: first,
            length,
        }
    }

    /// Returns the first address.
    #[must_use]
    pub fn address(self) -> A {
        self.address
    }

    /// Returns the prefix length in bits.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// Returns true if the network contains `address`.
    #[must_use]
    pub fn contains(self, address: A) -> bool {
        Self::around(address, self.length) == self
    }

    /// Returns true if the network contains all of `other`.
    #[must_use]
    pub fn contains_network(self, other: Self) -> bool {
        self.length <= other.length && self.contains(other.address)
    }

    /// Returns the interval of all addresses of the network.
    #[must_use]
    pub fn interval(self) -> Interval<A> {
        // `network` does not fail: the length was checked when this value was created.
        let (first, last) = self
            .address
            .network(self.length)
            .unwrap_or((self.address, self.address));
        Interval { first, last }
    }
}

impl<A: Address> Display for Network<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.address, self.length))
    }
}

/// The addresses from `first` to `last`, both included. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval<A> {
    first: A,
    last: A,
}

impl<A: Address> Interval<A> {
    /// Returns the interval, or `None` if `last` comes before `first`.
    #[must_use]
    pub fn new(first: A, last: A) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// Returns the lowest address.
    #[must_use]
    pub fn first(self) -> A {
        self.first
    }

    /// Returns the highest address.
    #[must_use]
    pub fn last(self) -> A {
        self.last
    }

    /// Returns true if the interval contains all of `other`.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Returns the smallest number of networks that cover exactly these addresses, in
    /// ascending order.
    #[must_use]
    pub fn networks(self) -> Vec<Network<A>> {
        let mut next = self.first;
        let mut networks = Vec::new();
        loop {
            let network = largest_network(next, self.last);
            networks.push(network);
            let end = network.interval().last;
            if end >= self.last {
                return networks;
            }
            next = A::from_number(end.to_number() + 1);
        }
    }
}

/// Returns the largest network that begins at `first` and does not go beyond `last`.
fn largest_network<A: Address>(first: A, last: A) -> Network<A> {
    (0..=A::BITS)
        .filter_map(|length| Network::new(first, length))
        .find(|network| network.interval().last <= last)
        .unwrap_or(Network {
            address: first,
            length: A::BITS,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network<Ipv4Addr> {
        let (address, length) = text.split_once('/').unwrap();
        Network::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
    }

    fn interval(first: &str, last: &str) -> Interval<Ipv4Addr> {
        Interval::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
    }

    #[test]
    fn host_bits_and_lengths_that_are_too_large_are_refused() {
        assert!(Network::new(Ipv4Addr::new(10, 0, 0, 1), 8).is_none());
        assert!(Network::new(Ipv4Addr::new(10, 0, 0, 0), 33).is_none());
        assert!(Network::new(Ipv6Addr::UNSPECIFIED, 128).is_some());
        assert!(Network::new(Ipv6Addr::UNSPECIFIED, 129).is_none());
    }

    #[test]
    fn networks_of_no_bits_and_of_all_bits() {
        assert!(network("0.0.0.0/0").contains(Ipv4Addr::BROADCAST));
        assert!(network("10.0.0.1/32").contains(Ipv4Addr::new(10, 0, 0, 1)));
        assert!(!network("10.0.0.1/32").contains(Ipv4Addr::new(10, 0, 0, 2)));
        let all = Network::new(Ipv6Addr::UNSPECIFIED, 0).unwrap();
        assert_eq!(all.interval().last().to_bits(), u128::MAX);
    }

    #[test]
    fn an_interval_is_split_into_the_fewest_networks() {
        let networks = interval("198.51.100.10", "198.51.100.20").networks();
        let text: Vec<_> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "198.51.100.10/31",
                "198.51.100.12/30",
                "198.51.100.16/30",
                "198.51.100.20/32"
            ]
        );
        let all = interval("0.0.0.0", "255.255.255.255").networks();
        assert_eq!(all, [network("0.0.0.0/0")]);
        let all = Network::new(Ipv6Addr::UNSPECIFIED, 0).unwrap();
        assert_eq!(all.interval().networks(), [all]);
    }
}
