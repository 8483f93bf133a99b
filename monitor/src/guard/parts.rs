//! Finds the parts of a policy's entries that lie inside a target. An entry is
//! *written* in a file, or *derived*: an IPv6 network from a written IPv4 entry.
//!
//! Derived entries are judged only against single addresses: those of the gateway, of
//! resolvers and of DHCP servers. No device needs the other IPv6 addresses that are
//! derived from private or very wide networks. The IPv4 entries themselves are judged
//! as written.

use std::net::Ipv4Addr;

use super::target::{Family, Target};
use crate::{
    address::{Address, Derivation, DerivedFrom, Embedding, Interval, Network, Region},
    policy::{Destinations, Policy},
};

/// Identifies an entry of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EntryId {
    /// A written entry: its index in the entries of the target's family.
    WrittenEntry(usize),
    /// A derived entry. The target is an IPv6 address that carries an IPv4 address, and
    /// a written IPv4 entry contains that address.
    Derived {
        /// The index in the IPv4 entries.
        entry: usize,
        /// How the target carries the address.
        by: Embedding,
        /// The IPv4 address that the target carries.
        address: Ipv4Addr,
    },
}

impl EntryId {
    /// Returns the network of a written entry, and `None` for a derived one.
    pub(super) fn written<A: Family>(self, policy: &Policy) -> Option<Network<A>> {
        match self {
            Self::WrittenEntry(index) => Some(A::destinations(policy).entry(index).network()),
            Self::Derived { .. } => None,
        }
    }

    /// Returns the origin of a derived entry, and `None` for a written one.
    pub(super) fn derived(self, policy: &Policy) -> Option<DerivedFrom> {
        match self {
            Self::WrittenEntry(_) => None,
            Self::Derived { entry, by, .. } => Some(DerivedFrom {
                from: policy.ipv4().entry(entry).network(),
                by,
            }),
        }
    }
}

/// Index and network of each written entry of `policy` that may have a part inside one of
/// `targets`. A list may be long and has few of them, so the other entries are not compared with
/// each target.
pub(super) fn near<A: Family>(
    policy: &Policy,
    targets: &[Target<'_, A>],
) -> Vec<(usize, Network<A>)> {
    let small = targets.iter().map(|target| target.network);
    let region = Region::new(small.filter(|network| network.length() > 0).collect());
    // Of all addresses, only short prefixes are a risk.
    let near = A::destinations(policy).near(&region, A::SHORTEST);
    near.map(|(index, entry)| (index, entry.network()))
        .collect()
}

/// Returns the parts of all entries, written and derived, that lie inside the target.
/// `entries` are the written ones to examine.
pub(super) fn all_parts<A: Family>(
    policy: &Policy,
    entries: impl Iterator<Item = (usize, Network<A>)>,
    target: &Target<'_, A>,
    derivation: &Derivation,
) -> Vec<(EntryId, Vec<Interval<A>>)> {
    let written = parts(A::destinations(policy), entries, target.network).into_iter();
    let written = written.map(|(entry, parts)| (EntryId::WrittenEntry(entry), parts));
    written
        .chain(derived_parts(policy, target, derivation))
        .collect()
}

/// Returns, for each written entry, its parts inside `network` without its exceptions.
/// Leaves out entries without such a part.
fn parts<A: Address>(
    destinations: &Destinations<A>,
    entries: impl Iterator<Item = (usize, Network<A>)>,
    network: Network<A>,
) -> Vec<(usize, Vec<Interval<A>>)> {
    let holes = destinations.holes();
    let each = entries.filter_map(|(index, entry)| {
        let inside = entry.interval().overlap(network.interval())?;
        let from = holes.partition_point(|hole| hole.entry < index);
        let own = holes[from..].iter().take_while(|hole| hole.entry == index);
        let left = inside.without(&own.map(|hole| hole.network.interval()).collect());
        (!left.is_empty()).then_some((index, left))
    });
    each.collect()
}

/// Returns the derived entries of `policy` that cover the target, if that is a single
/// address.
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
        let ipv4 = policy.ipv4();
        let entries = ipv4.networks().enumerate();
        let entries = parts(ipv4, entries, Network::around(address, 32)).into_iter();
        entries.map(move |(entry, _)| EntryId::Derived { entry, by, address })
    });
    each.map(|entry| (entry, vec![target.network.interval()]))
        .collect()
}
