//! Computes match sets in one pass over all prefixes of an address family, with
//! a stack of enclosing prefixes.

use std::{cmp::Reverse, collections::HashMap};

use monitor_common::{MAX_COVERING_POLICIES, MAX_MATCH_SETS};

use super::{MatchSetId, PolicyIndex, Prefix};
use crate::{
    address::{Address, Network},
    policy::{Destinations, Policy, Strength},
};

/// A limit that a set of policies exceeds.
#[derive(Debug)]
pub(super) enum Limit {
    /// More than [`MAX_COVERING_POLICIES`] policies cover a prefix.
    Covering {
        prefix: String,
        policies: Vec<PolicyIndex>,
    },
    /// There are more than [`MAX_MATCH_SETS`] different match sets.
    MatchSets { policies: Vec<PolicyIndex> },
    /// More than [`MAX_DERIVED`](super::derive::MAX_DERIVED) prefixes are derived.
    Derived {
        prefixes: usize,
        /// The policy from which most of them are derived.
        policies: Vec<PolicyIndex>,
    },
}

/// The match sets so far. Equal sets have the same id.
pub(super) struct MatchSets {
    /// The id that was returned last. Neighbours often have the same match set.
    last: MatchSetId,
    sets: Vec<Vec<PolicyIndex>>,
    ids: HashMap<Vec<PolicyIndex>, MatchSetId>,
}

impl MatchSets {
    pub(super) fn new() -> Self {
        Self {
            last: 0,
            sets: vec![Vec::new()],
            ids: HashMap::from([(Vec::new(), 0)]),
        }
    }

    pub(super) fn into_sets(self) -> Vec<Vec<PolicyIndex>> {
        self.sets
    }

    /// The id of `set`. Gives it the next id if it is new.
    pub(super) fn intern(&mut self, set: &[PolicyIndex]) -> Result<MatchSetId, Limit> {
        if self.sets[self.last as usize] == set {
            return Ok(self.last);
        }
        if let Some(id) = self.ids.get(set) {
            self.last = *id;
            return Ok(*id);
        }
        // The empty set does not count towards the limit.
        let id = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        if id > MAX_MATCH_SETS {
            return Err(Limit::MatchSets {
                policies: set.to_vec(),
            });
        }
        self.sets.push(set.to_vec());
        self.ids.insert(set.to_vec(), id);
        self.last = id;
        Ok(id)
    }
}

/// A network at which an entry or one of its exceptions begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Item<A> {
    network: Network<A>,
    hole: bool,
    policy: PolicyIndex,
    /// Index into the entries of the policy.
    entry: u32,
}

/// The prefixes of one address family, sorted. Leaves out a prefix that is only
/// an exception and does not change the match set.
pub(super) fn sweep<'a, A: Address + 'a>(
    policies: &[&Policy],
    destinations: impl Fn(usize) -> &'a Destinations<A>,
    sets: &mut MatchSets,
) -> Result<Vec<Prefix<A>>, Limit> {
    let items = sorted_items(policies, destinations);
    let mut open: Vec<EnclosingPrefix<A>> = Vec::new();
    let mut prefixes = Vec::new();
    let mut covering = Covering::default();
    for group in items.chunk_by(|a, b| a.network == b.network) {
        let network = group[0].network;
        while open
            .pop_if(|outer| !outer.network.contains_network(network))
            .is_some()
        {}
        let enclosing = open.last().map_or(0, |outer| outer.match_set);
        open.push(EnclosingPrefix {
            network,
            items: group,
            match_set: 0,
        });
        let set = covering.compute(&open, policies);
        if set.len() > MAX_COVERING_POLICIES {
            return Err(Limit::Covering {
                prefix: network.to_string(),
                policies: set.to_vec(),
            });
        }
        let match_set = sets.intern(set)?;
        if let Some(open) = open.last_mut() {
            open.match_set = match_set;
        }
        if match_set != enclosing || group.iter().any(|item| !item.hole) {
            prefixes.push(Prefix {
                address: network.address(),
                length: network.length(),
                match_set,
            });
        }
    }
    Ok(prefixes)
}

fn sorted_items<'a, A: Address + 'a>(
    policies: &[&Policy],
    destinations: impl Fn(usize) -> &'a Destinations<A>,
) -> Vec<Item<A>> {
    let mut items = Vec::new();
    for index in 0..PolicyIndex::try_from(policies.len()).unwrap_or(PolicyIndex::MAX) {
        let destinations = destinations(index.into());
        let networks = destinations.networks().zip(0..);
        items.extend(networks.map(|(network, number)| Item {
            network,
            hole: false,
            policy: index,
            entry: number,
        }));
        items.extend(destinations.holes().iter().map(|hole| Item {
            network: hole.network,
            hole: true,
            policy: index,
            entry: u32::try_from(hole.entry).unwrap_or(u32::MAX),
        }));
    }
    items.sort_unstable();
    items
}

/// A prefix that covers the current one, with the entries and exceptions at it.
struct EnclosingPrefix<'a, A> {
    network: Network<A>,
    items: &'a [Item<A>],
    match_set: MatchSetId,
}

/// Buffers that are reused from prefix to prefix.
#[derive(Default)]
struct Covering {
    left_out: Vec<(PolicyIndex, u32)>,
    /// Its sort order is the order of a match set, because indices of policies
    /// follow their names.
    found: Vec<(Strength, Reverse<u8>, PolicyIndex)>,
    set: Vec<PolicyIndex>,
}

impl Covering {
    /// Returns the policies that cover the innermost open prefix.
    fn compute<A: Address>(
        &mut self,
        open: &[EnclosingPrefix<'_, A>],
        policies: &[&Policy],
    ) -> &[PolicyIndex] {
        self.left_out.clear();
        self.found.clear();
        // Goes from the innermost prefix outwards. So the first entry found
        // for a policy is its longest. An exception lies inside its entry, so
        // it is found before the entry.
        for outer in open.iter().rev() {
            for item in outer.items.iter().filter(|item| item.hole) {
                self.left_out.push((item.policy, item.entry));
            }
            for item in outer.items.iter().filter(|item| !item.hole) {
                let known = self.found.iter().any(|(.., policy)| *policy == item.policy);
                if !known && !self.left_out.contains(&(item.policy, item.entry)) {
                    let strength = policies[usize::from(item.policy)].action().strength();
                    let length = Reverse(outer.network.length());
                    self.found.push((strength, length, item.policy));
                }
            }
        }
        self.found.sort_unstable();
        self.set.clear();
        self.set
            .extend(self.found.iter().map(|(.., policy)| *policy));
        &self.set
    }
}
