//! Derived destinations that would cut the gateway's network off.
//!
//! Only single addresses are judged here: those of the gateway, of resolvers and
//! of DHCP servers. No device needs the others that are derived from private or
//! very wide networks, and the IPv4 networks themselves are judged as written.

use std::net::Ipv4Addr;

use super::{
    cut::parts,
    target::{Family, Target},
};
use crate::{
    address::{Derivation, DerivedFrom, Embedding, Interval, Network},
    policy::Policy,
};

/// An entry of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EntryId {
    /// Index into the entries of the target's family.
    Written(usize),
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
            Self::Written(index) => Some(A::destinations(policy).entries()[index].network()),
            Self::Derived { .. } => None,
        }
    }

    /// What a derived entry comes from.
    pub(super) fn derived(self, policy: &Policy) -> Option<DerivedFrom> {
        match self {
            Self::Written(_) => None,
            Self::Derived { entry, by, .. } => Some(DerivedFrom {
                from: policy.ipv4().entries()[entry].network(),
                by,
            }),
        }
    }
}

/// The IPv4 entries of `policy` that hold an address which the target carries.
pub(super) fn derived_parts<A: Family>(
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
