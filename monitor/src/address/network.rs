//! Addresses, networks and ranges of one family.

use std::{
    fmt::{self, Debug, Display},
    hash::Hash,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnetwork::{Ipv4Network, Ipv6Network};

/// An address of one family, seen as a number of [`Address::BITS`] bits.
pub trait Address: Copy + Ord + Hash + Debug + Display {
    /// Length of an address in bits.
    const BITS: u8;

    /// The address as a number; the first byte on the wire is the highest.
    fn to_number(self) -> u128;

    /// The address whose number is the low [`Address::BITS`] bits of `number`.
    fn from_number(number: u128) -> Self;

    /// First and last address of the network of `length` bits that holds this
    /// one; `None` where `length` is more than [`Address::BITS`].
    fn network(self, length: u8) -> Option<(Self, Self)>;
}

impl Address for Ipv4Addr {
    const BITS: u8 = 32;

    fn to_number(self) -> u128 {
        self.to_bits().into()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low bits are what is asked for"
    )]
    fn from_number(number: u128) -> Self {
        Self::from_bits(number as u32)
    }

    fn network(self, length: u8) -> Option<(Self, Self)> {
        let network = Ipv4Network::new(self, length).ok()?;
        Some((network.network(), network.broadcast()))
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
        let network = Ipv6Network::new(self, length).ok()?;
        Some((network.network(), network.broadcast()))
    }
}

/// A network whose host bits are zero. Sorts by address, then length, so that
/// a network comes before those that lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network<A> {
    address: A,
    length: u8,
}

impl<A> Network<A> {
    /// A network whose host bits the caller knows to be zero.
    pub(super) const fn known(address: A, length: u8) -> Self {
        Self { address, length }
    }
}

impl<A: Address> Network<A> {
    /// The network, or `None` where `length` (bits) is too long or host bits are set.
    #[must_use]
    pub fn new(address: A, length: u8) -> Option<Self> {
        let (first, _) = address.network(length)?;
        (first == address).then_some(Self { address, length })
    }

    /// The network of `length` bits that holds `address`; all of the address
    /// where `length` is longer than it.
    #[must_use]
    pub fn around(address: A, length: u8) -> Self {
        let length = length.min(A::BITS);
        let first = address.network(length).map_or(address, |(first, _)| first);
        Self {
            address: first,
            length,
        }
    }

    /// Its first address.
    #[must_use]
    pub fn address(self) -> A {
        self.address
    }

    /// Its length in bits.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub fn contains(self, address: A) -> bool {
        Self::around(address, self.length) == self
    }

    /// Whether all of `other` lies in it.
    #[must_use]
    pub fn contains_network(self, other: Self) -> bool {
        self.length <= other.length && self.contains(other.address)
    }

    /// All of its addresses.
    #[must_use]
    pub fn interval(self) -> Interval<A> {
        // The length was checked when the network was made.
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

/// Addresses from `first` to `last`, both included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval<A> {
    first: A,
    last: A,
}

impl<A: Address> Interval<A> {
    /// The interval, or `None` where `last` comes before `first`.
    #[must_use]
    pub fn new(first: A, last: A) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// Its lowest address.
    #[must_use]
    pub fn first(self) -> A {
        self.first
    }

    /// Its highest address.
    #[must_use]
    pub fn last(self) -> A {
        self.last
    }

    /// Whether all of `other` lies in it.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// The fewest networks that hold these addresses and no others, ascending.
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

/// The largest network that begins at `first` and does not go beyond `last`.
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
    fn host_bits_and_long_lengths_make_no_network() {
        assert!(Network::new(Ipv4Addr::new(10, 0, 0, 1), 8).is_none());
        assert!(Network::new(Ipv4Addr::new(10, 0, 0, 0), 33).is_none());
        assert!(Network::new(Ipv6Addr::UNSPECIFIED, 128).is_some());
        assert!(Network::new(Ipv6Addr::UNSPECIFIED, 129).is_none());
    }

    #[test]
    fn edges_of_the_length() {
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
