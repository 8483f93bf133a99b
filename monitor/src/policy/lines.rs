//! Consecutive lines of a file with their networks. Policies, and the policies of later loads,
//! share them.

use std::sync::{Arc, OnceLock};

use super::destinations::Written;
use crate::address::{Address, Interval, Network};

/// The networks of consecutive lines.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Lines<A> {
    networks: Arc<Networks<A>>,
    /// Number of lines of the file before these. A list that gets a line at its begin keeps
    /// the networks of all others.
    before: u32,
}

/// The networks of consecutive lines, which are counted from 1.
#[derive(Debug)]
struct Networks<A> {
    written: Vec<Written<A>>,
    summary: OnceLock<Summary<A>>,
}

/// What is known of networks without a look at each of them.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Summary<A> {
    /// The smallest interval that contains all networks.
    pub(in crate::policy) span: Interval<A>,
    /// True if each network sorts before the next one, so that no network is there twice.
    pub(in crate::policy) is_ascending: bool,
    /// For each prefix length, from 0: the number of networks, whether equal or not.
    pub(in crate::policy) lengths: Box<[u32]>,
}

impl<A: Address> Lines<A> {
    /// The networks of lines that are behind `before` others. `written` counts these lines from
    /// 1. `None` if there are no networks.
    pub(in crate::policy) fn new(mut written: Vec<Written<A>>, before: u32) -> Option<Self> {
        written.shrink_to_fit();
        (!written.is_empty()).then(|| Self {
            networks: Arc::new(Networks {
                written,
                summary: OnceLock::new(),
            }),
            before,
        })
    }

    /// The same lines behind `before` others.
    pub(in crate::policy) fn behind(&self, before: u32) -> Self {
        Self {
            networks: Arc::clone(&self.networks),
            before,
        }
    }

    /// Adds a network, whose line is counted in the file.
    pub(in crate::policy) fn push(&mut self, one: Written<A>) {
        let before = self.before;
        let networks = Arc::make_mut(&mut self.networks);
        networks.summary = OnceLock::new();
        networks.written.push(Written {
            line: one.line.wrapping_sub(before),
            ..one
        });
    }

    /// All networks, with the numbers of their lines in the file.
    pub(in crate::policy) fn written(&self) -> impl Iterator<Item = Written<A>> + Clone {
        let before = self.before;
        self.networks.written.iter().map(move |one| Written {
            line: one.line.wrapping_add(before),
            ..*one
        })
    }

    /// The network with this number, counted from 0.
    pub(in crate::policy) fn get(&self, index: usize) -> Option<Written<A>> {
        let one = self.networks.written.get(index)?;
        Some(Written {
            line: one.line.wrapping_add(self.before),
            ..*one
        })
    }

    pub(in crate::policy) fn networks(&self) -> impl Iterator<Item = Network<A>> + Clone {
        self.networks.written.iter().map(|one| one.network)
    }

    pub(in crate::policy) fn len(&self) -> usize {
        self.networks.written.len()
    }

    /// A number that is equal only for lines that share their networks.
    pub(in crate::policy) fn identity(&self) -> usize {
        Arc::as_ptr(&self.networks).addr()
    }

    /// The first and the last network.
    pub(in crate::policy) fn ends(&self) -> (Network<A>, Network<A>) {
        let written = &self.networks.written;
        let [first, last] = [written.first(), written.last()];
        let end = |one: Option<&Written<A>>| one.expect("lines have networks").network;
        (end(first), end(last))
    }

    /// False only if none of the sorted `networks` is one of these.
    pub(in crate::policy) fn may_have_one_of(&self, networks: &[Network<A>]) -> bool {
        let (first, last) = self.ends();
        let at = networks.partition_point(|network| *network < first);
        !self.summary().is_ascending || networks.get(at).is_some_and(|found| *found <= last)
    }

    /// True if `network` is one of these, which must be ascending.
    pub(in crate::policy) fn has(&self, network: Network<A>) -> bool {
        let written = &self.networks.written;
        written
            .binary_search_by_key(&network, |one| one.network)
            .is_ok()
    }

    pub(in crate::policy) fn summary(&self) -> &Summary<A> {
        self.networks.summary.get_or_init(|| {
            let networks = self.networks();
            let mut lengths = vec![0; usize::from(A::BITS) + 1];
            let (first, _) = self.ends();
            let mut ends = (first.interval().first(), first.interval().last());
            for network in networks.clone() {
                let interval = network.interval();
                ends = (ends.0.min(interval.first()), ends.1.max(interval.last()));
                lengths[usize::from(network.length())] += 1;
            }
            Summary {
                span: Interval::new(ends.0, ends.1).unwrap_or(first.interval()),
                is_ascending: networks.is_sorted_by(|one, next| one < next),
                lengths: lengths.into(),
            }
        })
    }
}

impl<A: Address> Clone for Networks<A> {
    fn clone(&self) -> Self {
        Self {
            written: self.written.clone(),
            summary: OnceLock::new(),
        }
    }
}

/// Lines, divided into lists whose networks are sorted and different, and all other networks.
pub(in crate::policy) struct Sorted<'a, A> {
    /// Each network of a list sorts before all networks of the next list.
    ascending: Vec<&'a Lines<A>>,
    /// The networks of the other lines, sorted. A network may be there twice, and in a list.
    others: Vec<Network<A>>,
}

impl<'a, A: Address> Sorted<'a, A> {
    pub(in crate::policy) fn new(all: impl Iterator<Item = &'a Lines<A>>) -> Self {
        let (mut candidates, mut rest): (Vec<_>, Vec<_>) =
            all.partition(|lines| lines.summary().is_ascending);
        // Two candidates whose networks overlap cannot both be in `ascending`. The candidate with
        // the lowest last network is taken first, because it leaves the most room for later ones.
        candidates.sort_by_key(|lines| lines.ends().1);
        let mut ascending: Vec<&Lines<A>> = Vec::new();
        for lines in candidates {
            match ascending.last() {
                Some(before) if lines.ends().0 <= before.ends().1 => rest.push(lines),
                _ => ascending.push(lines),
            }
        }
        let mut others: Vec<_> = rest.into_iter().flat_map(Lines::networks).collect();
        others.sort();
        Self { ascending, others }
    }

    /// For each prefix length, from 0: the number of distinct networks.
    pub(in crate::policy) fn lengths(&self) -> Vec<usize> {
        let mut lengths = vec![0; usize::from(A::BITS) + 1];
        for lines in &self.ascending {
            for (sum, count) in lengths.iter_mut().zip(&lines.summary().lengths) {
                *sum += *count as usize;
            }
        }
        for same in self.others.chunk_by(|one, next| one == next) {
            if !self.is_in_a_list(same[0]) {
                lengths[usize::from(same[0].length())] += 1;
            }
        }
        lengths
    }

    /// The networks that are there more than once, sorted.
    pub(in crate::policy) fn repeated(&self) -> Vec<Network<A>> {
        let others = self.others.chunk_by(|one, next| one == next);
        let repeated = others.filter(|same| same.len() > 1 || self.is_in_a_list(same[0]));
        repeated.map(|same| same[0]).collect()
    }

    fn is_in_a_list(&self, network: Network<A>) -> bool {
        let at = self
            .ascending
            .partition_point(|lines| lines.ends().1 < network);
        self.ascending
            .get(at)
            .is_some_and(|lines| lines.has(network))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::Ipv4Addr};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn networks_are_counted_as_in_a_map(
            written in vec((vec((0_u8..32, 27_u8..=32), 1..6), any::<bool>()), 0..8),
        ) {
            let lines = written.into_iter().filter_map(|(mut networks, is_sorted)| {
                if is_sorted {
                    networks.sort_unstable();
                }
                let each = networks.into_iter().map(|(last, length)| Written {
                    network: Network::around(Ipv4Addr::new(10, 0, 0, last), length),
                    part_of_range: false,
                    line: 1,
                });
                Lines::new(each.collect(), 0)
            });
            let lines: Vec<_> = lines.collect();
            let mut counts = BTreeMap::new();
            for network in lines.iter().flat_map(Lines::networks) {
                *counts.entry(network).or_insert(0) += 1;
            }
            let mut lengths = vec![0; 33];
            for network in counts.keys() {
                lengths[usize::from(network.length())] += 1;
            }
            let sorted = Sorted::new(lines.iter());
            prop_assert_eq!(sorted.lengths(), lengths);
            let repeated = counts.iter().filter(|(_, count)| **count > 1);
            let repeated: Vec<_> = repeated.map(|(network, _)| *network).collect();
            prop_assert_eq!(sorted.repeated(), repeated);
        }
    }
}
