//! The parts of a policy's entries that lie inside a target, written and derived.
//!
//! Of derived destinations only single addresses are judged: those of the gateway, of resolvers and
//! of DHCP servers. No device needs the others that are derived from private or
//! very wide networks, and the IPv4 networks themselves are judged as written.

use std::net::Ipv4Addr;

use super::target::{Family, Target};
use crate::{
    address::{Address, Derivation, DerivedFrom, Embedding, Interval, Network},
    policy::{Destinations, Policy},
};

/// An entry of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EntryId {
    /// Index into the entries of the target's family.
    WrittenEntry(usize),
    /// An IPv4 entry that holds the address which the target carries.
    Derived {
        /// Index into the IPv4 entries.
        entry: usize,
        by: Embedding,
        address: Ipv4Addr,
    },
}

impl EntryId {
    /// The network of a written entry of this family.
    pub(super) fn written<A: Family>(self, policy: &Policy) -> Option<Network<A>> {
        match self {
            Self::WrittenEntry(index) => Some(A::destinations(policy).entries()[index].network()),
            Self::Derived { .. } => None,
        }
    }

    /// What a derived entry comes from.
    pub(super) fn derived(self, policy: &Policy) -> Option<DerivedFrom> {
        match self {
            Self::WrittenEntry(_) => None,
            Self::Derived { entry, by, .. } => Some(DerivedFrom {
                from: policy.ipv4().entries()[entry].network(),
                by,
            }),
        }
    }
}

/// The parts of entries, written and derived, that lie inside the target.
pub(super) fn all_parts<A: Family>(
    policy: &Policy,
    target: &Target<'_, A>,
    derivation: &Derivation,
) -> Vec<(EntryId, Vec<Interval<A>>)> {
    let written = parts(A::destinations(policy), target.network).into_iter();
    let written = written.map(|(entry, parts)| (EntryId::WrittenEntry(entry), parts));
    written
        .chain(derived_parts(policy, target, derivation))
        .collect()
}

/// The parts of entries that lie inside `network` and are no exceptions, by entry.
fn parts<A: Address>(
    destinations: &Destinations<A>,
    network: Network<A>,
) -> Vec<(usize, Vec<Interval<A>>)> {
    let holes = destinations.holes();
    let each = destinations.entries().iter().enumerate();
    let each = each.filter_map(|(index, entry)| {
        let inside = entry.network().interval().overlap(network.interval())?;
        let from = holes.partition_point(|hole| hole.entry < index);
        let own = holes[from..].iter().take_while(|hole| hole.entry == index);
        let left = inside.without(&own.map(|hole| hole.network.interval()).collect());
        (!left.is_empty()).then_some((index, left))
    });
    each.collect()
}

/// The IPv4 entries of `policy` that hold an address which the target carries.
fn derived_parts<A: Family>(
    policy: &Policy,
    target: &Target<'_, A>,
    derivation: &Derivation,
) -> Vec<(EntryId, Vec<Interval<A>>)> {
    if !policy.derives() || target.network.length() < A::BITS {
        return Vec::new();
    }
    let carried = A::carried(target.network.address(), derivation);
    let each = carried.into_iter().flat_map(|(by, address)| {
        let entries = parts(policy.ipv4(), Network::around(address, 32)).into_iter();
        entries.map(move |(entry, _)| EntryId::Derived { entry, by, address })
    });
    each.map(|entry| (entry, vec![target.network.interval()]))
        .collect()
}
