//! Cuts reserved networks out of lists: the networks for special purposes and the
//! gateway's own networks. A published list must not block them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::List;
use crate::address::{Address, Interval, IntervalSet, Network, Purpose, SpecialNetwork};

/// Maximum number of networks that a message names.
const SHOWN: usize = 4;

/// A network in which the gateway has an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnNetwork {
    /// The gateway's address.
    pub address: IpAddr,
    /// Prefix length of the network in bits.
    pub length: u8,
}

/// The result of cutting reserved networks out of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Number of destinations that were cut out wholly or partly.
    pub destinations: usize,
    /// Number of all destinations before the cut.
    pub of: usize,
    /// The reserved networks that overlap destinations, each once with the number of
    /// these destinations. The networks for special purposes come first.
    pub by: Vec<(String, usize)>,
}

/// The networks that are cut out of lists.
#[derive(Clone, Debug)]
pub struct Reserved {
    ipv4: Holes<Ipv4Addr>,
    ipv6: Holes<Ipv6Addr>,
}

#[derive(Clone, Debug)]
struct Holes<A> {
    /// The networks, in the order of messages.
    networks: Vec<Network<A>>,
    /// The addresses of all networks.
    set: IntervalSet<A>,
}

impl Reserved {
    /// Returns the networks for special purposes together with the networks in `own`.
    #[must_use]
    pub fn new(own: &[OwnNetwork]) -> Self {
        let ipv4 = own.iter().filter_map(|own| match own.address {
            IpAddr::V4(address) => Some(Network::around(address, own.length)),
            IpAddr::V6(_) => None,
        });
        let ipv6 = own.iter().filter_map(|own| match own.address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(Network::around(address, own.length)),
        });
        Self {
            ipv4: Holes::new(fixed(&SpecialNetwork::<Ipv4Addr>::ALL).chain(ipv4)),
            ipv6: Holes::new(fixed(&SpecialNetwork::<Ipv6Addr>::ALL).chain(ipv6)),
        }
    }

    /// Cuts the reserved networks out of `list`. A destination that they overlap partly
    /// is reduced to the rest.
    #[must_use]
    pub fn cut(&self, list: List) -> (List, Cut) {
        let mut cut = Cut {
            of: list.ipv4.len() + list.ipv6.len(),
            ..Cut::default()
        };
        let ipv4 = self.ipv4.cut(list.ipv4, &mut cut);
        let ipv6 = self.ipv6.cut(list.ipv6, &mut cut);
        (List { ipv4, ipv6, ..list }, cut)
    }
}

/// Returns the networks of `special` that must be cut out of lists.
fn fixed<A: Copy>(special: &[SpecialNetwork<A>]) -> impl Iterator<Item = Network<A>> {
    let cut = special.iter().filter(|special| is_cut(special.purpose));
    cut.map(|special| special.network)
}

const fn is_cut(purpose: Purpose) -> bool {
    match purpose {
        Purpose::SiteLocal => false,
        Purpose::ThisHost
        | Purpose::Loopback
        | Purpose::LinkLocal
        | Purpose::Private
        | Purpose::UniqueLocal
        | Purpose::Shared
        | Purpose::Multicast
        | Purpose::Broadcast
        | Purpose::Protocols
        | Purpose::Documentation
        | Purpose::Benchmarks
        | Purpose::SixToFour
        | Purpose::Mapped
        | Purpose::LocalTranslation
        | Purpose::Discard
        | Purpose::Identifiers
        | Purpose::SegmentRouting
        | Purpose::Reserved => true,
    }
}

impl Cut {
    /// Returns the first of the reserved networks that overlap destinations, as a text for
    /// messages.
    #[must_use]
    pub fn networks(&self) -> String {
        let names = self.by.iter().map(|(name, _)| name.as_str());
        let mut shown: Vec<&str> = names.take(SHOWN).collect();
        if self.by.len() > SHOWN {
            shown.push("…");
        }
        shown.join(", ")
    }
}

impl<A: Address> Holes<A> {
    fn new(networks: impl Iterator<Item = Network<A>>) -> Self {
        let mut told: Vec<Network<A>> = Vec::new();
        for network in networks {
            // Most own networks are private, so an earlier network contains them.
            if !told.iter().any(|other| other.contains_network(network)) {
                told.push(network);
            }
        }
        Self {
            set: told.iter().map(|network| network.interval()).collect(),
            networks: told,
        }
    }

    fn cut(&self, list: Vec<(Interval<A>, u32)>, cut: &mut Cut) -> Vec<(Interval<A>, u32)> {
        let mut by = vec![0; self.networks.len()];
        let mut left = Vec::with_capacity(list.len());
        for (interval, line) in list {
            let overlaps = |network: &Network<A>| network.interval().overlap(interval).is_some();
            let Some(first) = self.networks.iter().position(overlaps) else {
                left.push((interval, line));
                continue;
            };
            cut.destinations += 1;
            by[first] += 1;
            let parts = interval.without(&self.set);
            left.extend(parts.into_iter().map(|part| (part, line)));
        }
        let told = self.networks.iter().zip(by).filter(|(_, count)| *count > 0);
        cut.by
            .extend(told.map(|(network, count)| (network.to_string(), count)));
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::{Format, Selection, read};

    fn cut(text: &str, own: &[OwnNetwork]) -> (List, Cut) {
        Reserved::new(own).cut(read(text, Format::Plain, &Selection::default()))
    }

    fn told(list: &List) -> Vec<String> {
        let ipv4 = list.ipv4.iter().flat_map(|(part, _)| part.networks());
        let ipv6 = list.ipv6.iter().flat_map(|(part, _)| part.networks());
        let ipv4 = ipv4.map(|network| network.to_string());
        ipv4.chain(ipv6.map(|network| network.to_string()))
            .collect()
    }

    #[test]
    fn reserved_destinations_are_removed_and_others_reduced_to_the_rest() {
        let text = "0.0.0.0/8\n1.10.16.0/20\n192.168.0.0/15\n10.1.2.3\n100.64.0.0/10\n";
        let (list, cut) = cut(text, &[]);
        assert_eq!(told(&list), ["1.10.16.0/20", "192.169.0.0/16"]);
        assert_eq!(list.ipv4[1].1, 3, "the line stays");
        assert_eq!(cut.destinations, 4);
        let by: Vec<_> = cut.by.iter().map(|(network, _)| network.as_str()).collect();
        assert_eq!(
            by,
            ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "192.168.0.0/16"]
        );
    }

    #[test]
    fn own_networks_of_both_families_are_cut_out() {
        let own = [("45.9.8.1", 24), ("2a00:1:2::1", 64), ("192.168.1.1", 24)];
        let own = own.map(|(address, length)| OwnNetwork {
            address: address.parse().unwrap(),
            length,
        });
        let (list, cut) = cut("45.9.8.0/23\n2a00:1:2::7\n2a00:1:3::/48\n", &own);
        assert_eq!(told(&list), ["45.9.9.0/24", "2a00:1:3::/48"]);
        assert_eq!(
            cut.by,
            [
                ("45.9.8.0/24".to_owned(), 1),
                ("2a00:1:2::/64".to_owned(), 1)
            ]
        );
    }

    #[test]
    fn a_list_of_all_addresses_is_reduced_to_the_public_ones() {
        let (list, cut) = cut("0.0.0.0/0\n::/0\n", &[]);
        assert_eq!(cut.destinations, 2);
        let holds = |text: &str| match text.parse().unwrap() {
            IpAddr::V4(a) => list
                .ipv4
                .iter()
                .any(|(part, _)| part.first() <= a && a <= part.last()),
            IpAddr::V6(a) => list
                .ipv6
                .iter()
                .any(|(part, _)| part.first() <= a && a <= part.last()),
        };
        for public in [
            "1.0.0.0",
            "9.255.255.255",
            "223.255.255.255",
            "2001::1",
            "2600::1",
            "64:ff9b::1",
        ] {
            assert!(holds(public), "{public}");
        }
        for reserved in [
            "0.1.2.3",
            "10.0.0.0",
            "255.255.255.255",
            "::1",
            "2002::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!holds(reserved), "{reserved}");
        }
    }
}
