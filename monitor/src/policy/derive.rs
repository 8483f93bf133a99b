//! IPv6 destinations from IPv4 destinations.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::model::{Destinations, Entry, Hole, LongestMatch, Policy};
use crate::address::{Derivation, DerivedFrom, Embedding};

impl Destinations<Ipv6Addr> {
    /// Adds what carries an address of `ipv4` as `by` says, exceptions included.
    pub(crate) fn derive(&mut self, ipv4: &Destinations<Ipv4Addr>, by: Embedding) {
        let mut holes = ipv4.holes.as_slice();
        for (index, entry) in ipv4.entries.iter().enumerate() {
            let own = holes.partition_point(|hole| hole.entry <= index);
            let own = holes.split_off(..own).unwrap_or_default();
            let is_whole = by.images(entry.network.length()) == 1;
            for network in by.networks(entry.network) {
                let position = self.entries.len();
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
                self.entries.push(Entry {
                    network,
                    part_of_range: entry.part_of_range,
                    line: entry.line,
                    file: entry.file,
                });
            }
        }
    }
}

impl Policy {
    /// The longest match of the IPv4 address that `address` carries, for each
    /// way in which it can carry one.
    pub(super) fn derived_of(
        &self,
        ipv4: &Destinations<Ipv4Addr>,
        address: Ipv6Addr,
        derivation: &Derivation,
    ) -> impl Iterator<Item = LongestMatch> {
        let embeddings = derivation.embeddings().iter().filter(|_| self.derives);
        embeddings.filter_map(move |by| {
            let entry = ipv4.longest_match(by.extract(address)?)?;
            let network = by.network_like(entry.network, address);
            Some(LongestMatch {
                length: network.length(),
                prefix: network.to_string(),
                derived: Some(DerivedFrom {
                    from: entry.network,
                    by: *by,
                }),
                ..self.show(entry)
            })
        })
    }
}
