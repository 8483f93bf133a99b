//! IPv6 destinations that are derived from IPv4 destinations.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::destinations::{Destinations, Hole};
use crate::address::Embedding;

impl Destinations<Ipv6Addr> {
    /// Adds the IPv6 networks that embed the networks of `ipv4` as `by`
    /// defines, with their exceptions.
    pub(crate) fn derive(&mut self, ipv4: &Destinations<Ipv4Addr>, by: Embedding) {
        let mut holes = ipv4.holes.as_slice();
        for (index, entry) in ipv4.entries().enumerate() {
            let own = holes.partition_point(|hole| hole.entry <= index);
            let own = holes.split_off(..own).unwrap_or_default();
            let is_whole = by.images(entry.network().length()) == 1;
            for network in by.networks(entry.network()) {
                let position = self.len();
                let add = |network| Hole {
                    entry: position,
                    network,
                };
                for hole in own {
                    if is_whole {
                        self.holes.extend(by.networks(hole.network).map(add));
                    } else {
                        let same = by.network_like(hole.network, network.address());
                        self.holes.push(add(same));
                    }
                }
                self.push_entry(entry.with_network(network));
            }
        }
    }
}
