//! A set of networks of which no two overlap.

use super::network::{Address, Interval, Network};

/// Sorted networks of which no two overlap.
#[derive(Debug)]
pub(crate) struct Region<A>(Vec<Network<A>>);

impl<A: Address> Region<A> {
    /// The region of all `networks`, which may overlap.
    pub(crate) fn new(mut networks: Vec<Network<A>>) -> Self {
        networks.sort_unstable();
        // A network sorts before those that it contains.
        networks.dedup_by(|next, before| before.contains_network(*next));
        Self(networks)
    }

    pub(crate) fn networks(&self) -> &[Network<A>] {
        &self.0
    }

    /// True if all addresses of `network` lie in one network of the region.
    pub(crate) fn contains(&self, network: Network<A>) -> bool {
        let (before, _) = self.0.split_at(self.after(network));
        before
            .last()
            .is_some_and(|outer| outer.contains_network(network))
    }

    /// True if an address of `network` lies in the region.
    pub(crate) fn touches(&self, network: Network<A>) -> bool {
        let (before, after) = self.0.split_at(self.after(network));
        let overlaps =
            |one: &Network<A>| one.contains_network(network) || network.contains_network(*one);
        before.last().is_some_and(overlaps) || after.first().is_some_and(overlaps)
    }

    /// True if an address of `interval` lies in the region.
    pub(crate) fn overlaps(&self, interval: Interval<A>) -> bool {
        let begun = self
            .0
            .partition_point(|one| one.address() <= interval.last());
        let last = self.0[..begun].last();
        last.is_some_and(|one| one.interval().last() >= interval.first())
    }

    /// Number of networks that begin at or before `network`.
    fn after(&self, network: Network<A>) -> usize {
        self.0
            .partition_point(|one| one.address() <= network.address())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn a_region_holds_what_one_of_its_networks_holds(
            written in vec((any::<u8>(), 24_u8..=32), 0..8),
            wanted in (any::<u8>(), 22_u8..=32),
        ) {
            let network = |(last, length)| Network::around(Ipv4Addr::new(10, 0, 0, last), length);
            let networks: Vec<_> = written.into_iter().map(network).collect();
            let wanted = network(wanted);
            let region = Region::new(networks.clone());
            let contains = networks.iter().any(|one| one.contains_network(wanted));
            let inside = networks.iter().any(|one| wanted.contains_network(*one));
            prop_assert_eq!(region.contains(wanted), contains);
            prop_assert_eq!(region.touches(wanted), contains || inside);
            prop_assert_eq!(region.overlaps(wanted.interval()), contains || inside);
        }
    }
}
