//! Reduces the number of prefixes without changing any match set.

use super::{MatchSetId, Prefix};
use crate::address::{Address, Network};

/// Returns fewer prefixes with the same match set for every address. Drops a
/// prefix whose match set is that of its enclosing prefix, and joins two halves
/// with equal match sets. `prefixes` must be sorted by address, then length.
pub(super) fn join<A: Address>(prefixes: impl IntoIterator<Item = Prefix<A>>) -> Vec<Prefix<A>> {
    let mut joiner = Joiner {
        kept: Vec::new(),
        latest: [None; 129],
    };
    let mut open: Vec<(Network<A>, MatchSetId)> = Vec::new();
    for prefix in prefixes {
        let network = Network::around(prefix.address, prefix.length);
        while open
            .pop_if(|(outer, _)| !outer.contains_network(network))
            .is_some()
        {}
        let enclosing = open.last().map_or(0, |(_, match_set)| *match_set);
        open.push((network, prefix.match_set));
        if prefix.match_set != enclosing {
            joiner.add(prefix);
        }
    }
    joiner.kept.into_iter().flatten().collect()
}

struct Joiner<A> {
    /// Sorted. An element is `None` if its prefix was joined into another one.
    kept: Vec<Option<Prefix<A>>>,
    /// Index of the last prefix of each length.
    latest: [Option<usize>; 129],
}

impl<A: Address> Joiner<A> {
    /// Adds a prefix. If the lower half of the enclosing network has the same
    /// match set, replaces both halves with that network, and repeats with the
    /// network.
    fn add(&mut self, mut prefix: Prefix<A>) {
        let mut at = self.kept.len();
        self.kept.push(Some(prefix));
        loop {
            let length = usize::from(prefix.length);
            let before = self.latest[length].replace(at);
            let Some(lower) = before.filter(|lower| self.are_halves(*lower, prefix)) else {
                return;
            };
            self.kept[at] = None;
            let outer = Network::around(prefix.address, prefix.length - 1);
            prefix = Prefix {
                address: outer.address(),
                length: outer.length(),
                match_set: prefix.match_set,
            };
            let same = self.latest[length - 1].filter(|same| self.is_at(*same, outer));
            if let Some(same) = same {
                // The two halves override this prefix completely, so its own
                // match set has no effect.
                self.kept[lower] = None;
                self.kept[same] = Some(prefix);
                return;
            }
            self.kept[lower] = Some(prefix);
            at = lower;
        }
    }

    fn are_halves(&self, lower: usize, upper: Prefix<A>) -> bool {
        let Some(lower) = self.kept[lower] else {
            return false;
        };
        let outer = Network::around(upper.address, upper.length.saturating_sub(1));
        lower.match_set == upper.match_set
            && lower.address != upper.address
            && lower.address == outer.address()
    }

    fn is_at(&self, at: usize, network: Network<A>) -> bool {
        let there = self.kept[at];
        there.is_some_and(|there| {
            (there.address, there.length) == (network.address(), network.length())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn prefix(text: &str, match_set: MatchSetId) -> Prefix<Ipv4Addr> {
        let (address, length) = text.split_once('/').unwrap();
        Prefix {
            address: address.parse().unwrap(),
            length: length.parse().unwrap(),
            match_set,
        }
    }

    #[test]
    fn neighbours_join_and_repetitions_go() {
        let joined = join([
            prefix("10.0.0.0/24", 1),
            prefix("10.0.0.128/25", 1),
            prefix("10.0.1.0/25", 1),
            prefix("10.0.1.128/25", 1),
            prefix("10.0.1.128/26", 2),
            prefix("10.0.2.0/24", 1),
        ]);
        assert_eq!(
            joined,
            [
                prefix("10.0.0.0/23", 1),
                prefix("10.0.1.128/26", 2),
                prefix("10.0.2.0/24", 1)
            ]
        );
    }

    #[test]
    fn halves_replace_what_they_overrule() {
        let joined = join([
            prefix("10.0.0.0/24", 1),
            prefix("10.0.0.0/25", 2),
            prefix("10.0.0.128/25", 2),
        ]);
        assert_eq!(joined, [prefix("10.0.0.0/24", 2)]);
    }

    proptest! {
        #[test]
        fn each_address_keeps_its_match_set(
            written in vec((any::<u8>(), 24_u8..=32, 0_u32..3), 0..24),
        ) {
            let mut prefixes: Vec<_> = written
                .into_iter()
                .map(|(last, length, match_set)| {
                    let network = Network::around(Ipv4Addr::new(10, 0, 0, last), length);
                    Prefix { address: network.address(), length, match_set }
                })
                .collect();
            prefixes.sort_by_key(|prefix| (prefix.address, prefix.length));
            prefixes.dedup_by_key(|prefix| (prefix.address, prefix.length));
            let joined = join(prefixes.iter().copied());
            prop_assert!(joined.is_sorted_by_key(|prefix| (prefix.address, prefix.length)));
            prop_assert!(joined.len() <= prefixes.len());
            for last in 0..=255 {
                let address = Ipv4Addr::new(10, 0, 0, last);
                let of = |prefixes: &[Prefix<Ipv4Addr>]| {
                    let holds = |prefix: &&Prefix<Ipv4Addr>| {
                        Network::around(prefix.address, prefix.length).contains(address)
                    };
                    let longest = prefixes.iter().filter(holds).max_by_key(|prefix| prefix.length);
                    longest.map_or(0, |prefix| prefix.match_set)
                };
                prop_assert_eq!(of(&joined), of(&prefixes), "{}", address);
            }
        }
    }
}
