//! Compiles again only what changed since an earlier compilation.
//!
//! The match set of a prefix depends only on the entries that contain the prefix. So where
//! entries were added, removed or changed, only prefixes inside their networks can have
//! another match set. These networks are the *changed region*. All prefixes outside the
//! region are taken from the earlier ruleset; the others are swept again, from the few
//! entries that lie in the region or around it.
//!
//! Match sets are numbered in the order in which the sorted prefixes use them. The merged
//! prefixes are numbered again in that order, so the result equals a whole compilation.

mod alone;
mod merge;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

use merge::{Fresh, Merge};

use super::{
    Earlier, PolicyIndex, Ruleset, SortedPrefixes,
    derive::{Derived, all_derive},
    sweep::{Limit, MatchSets},
};
use crate::{
    address::{Address, Embedding, Region},
    policy::{Destinations, Policy},
};

/// The difference between the policies of an earlier ruleset and those of now.
pub(super) struct Changes<'a> {
    earlier: &'a Ruleset,
    /// Index now of each earlier policy. `None` if the policy is gone, or has another action
    /// or derivation: then all its networks are in the region.
    now: Vec<Option<PolicyIndex>>,
    /// For each policy: its earlier index, if its destinations are the same.
    same: Vec<Option<PolicyIndex>>,
    ipv4: Region<Ipv4Addr>,
    ipv6: Region<Ipv6Addr>,
    /// For each policy: the entries that lie in the region `ipv4` or around a part of it.
    near: Vec<Destinations<Ipv4Addr>>,
    /// True if all policies of the earlier ruleset derive IPv6 prefixes from their IPv4
    /// destinations.
    all_derived: bool,
}

impl<'a> Changes<'a> {
    /// Compares `policies`, sorted by name, with those of `earlier`. `None` if the parts of
    /// `earlier` do not belong together.
    pub(super) fn since(earlier: Earlier<'a>, policies: &[&Policy]) -> Option<Self> {
        let before = super::active(earlier.policies);
        let ruleset = earlier.ruleset;
        let compiled = ruleset.policies.iter();
        let compiled = compiled.map(|policy| (&policy.name, policy.action));
        let before_now = before.iter().map(|policy| (policy.name(), policy.action()));
        if !before_now.eq(compiled) {
            return None;
        }
        let mut now = vec![None; before.len()];
        let mut same = vec![None; policies.len()];
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for (index, policy) in (0..).zip(policies) {
            let found = before.binary_search_by_key(&policy.name(), |before| before.name());
            let found = found.ok().filter(|found| acts_as(policy, before[*found]));
            let Some(found) = found else {
                ipv4.extend(policy.ipv4().networks());
                ipv6.extend(policy.ipv6().networks());
                continue;
            };
            let differing4 = policy.ipv4().difference(before[found].ipv4());
            let differing6 = policy.ipv6().difference(before[found].ipv6());
            if differing4.is_empty() && differing6.is_empty() {
                same[usize::from(index)] = PolicyIndex::try_from(found).ok();
            }
            now[found] = Some(index);
            ipv4.extend(differing4);
            ipv6.extend(differing6);
        }
        for (policy, _) in before.iter().zip(&now).filter(|(_, now)| now.is_none()) {
            ipv4.extend(policy.ipv4().networks());
            ipv6.extend(policy.ipv6().networks());
        }
        let ipv4 = Region::new(ipv4);
        Some(Self {
            earlier: ruleset,
            now,
            same,
            near: near(policies, Policy::ipv4, &ipv4),
            ipv4,
            ipv6: Region::new(ipv6),
            all_derived: all_derive(&before),
        })
    }

    /// The number of prefixes of the policy with this index, if it is as in the earlier
    /// ruleset.
    pub(super) fn prefixes(&self, policy: usize) -> Option<crate::snapshot::Prefixes> {
        let earlier = usize::from(self.same[policy]?);
        Some(self.earlier.policies[earlier].prefixes)
    }

    /// The sorted IPv4 prefixes of `policies`.
    pub(super) fn ipv4(
        &self,
        policies: &[&Policy],
        sets: &mut MatchSets,
    ) -> Result<SortedPrefixes<Ipv4Addr>, Limit> {
        let fresh = Fresh::sweep(policies, &self.near, &self.ipv4)?;
        Merge::new(self, &fresh, sets).all(&self.earlier.ipv4, &self.ipv4)
    }

    /// True if [`Self::ipv6`] can be used:
    ///
    /// - No two embeddings overlap. If two overlap, the derived prefixes of one entry can cover
    ///   derived prefixes of another entry with other IPv4 addresses.
    /// - No written network that changed overlaps the prefix of an embedding. Otherwise the
    ///   embedding may have been swept together with written networks earlier, and not now.
    pub(super) fn spares(&self, embeddings: &[Embedding]) -> bool {
        let prefixes: Vec<_> = embeddings.iter().map(|by| by.prefix()).collect();
        let is_touched = prefixes.iter().any(|prefix| self.ipv6.touches(*prefix));
        !is_touched && Region::new(prefixes).networks().len() == embeddings.len()
    }

    /// The sorted IPv6 prefixes that `policies` write, or that the embeddings `shared` derive
    /// from their IPv4 destinations, together with `derived`. The region of `derived` must
    /// contain all other prefixes that changed.
    pub(super) fn ipv6(
        &self,
        policies: &[&Policy],
        derived: Derived,
        shared: &[Embedding],
        sets: &mut MatchSets,
    ) -> Result<SortedPrefixes<Ipv6Addr>, Limit> {
        let changed4 = self.ipv4.networks().iter();
        let images =
            changed4.flat_map(|network| shared.iter().flat_map(|by| by.networks(*network)));
        let changed: Vec<_> = self.ipv6.networks().iter().copied().chain(images).collect();
        let whole = Region::new(changed.iter().copied().chain(derived.region).collect());
        let region = Region::new(changed);
        let mut near6 = near(policies, Policy::ipv6, &region);
        for ((policy, near6), near4) in policies.iter().zip(&mut near6).zip(&self.near) {
            for by in shared.iter().filter(|_| policy.derives()) {
                near6.derive(near4, *by);
            }
        }
        let fresh = Fresh::sweep(policies, &near6, &region)?.with(derived.prefixes);
        Merge::new(self, &fresh, sets).all(&self.earlier.ipv6, &whole)
    }
}

/// True if both versions of a policy give match sets in the same way, apart from their
/// destinations.
fn acts_as(policy: &Policy, before: &Policy) -> bool {
    policy.action() == before.action() && policy.derives() == before.derives()
}

/// The entries of each policy that lie in `region` or around a part of it.
fn near<A: Address>(
    policies: &[&Policy],
    destinations: fn(&Policy) -> &Destinations<A>,
    region: &Region<A>,
) -> Vec<Destinations<A>> {
    let each = policies.iter().map(|policy| destinations(policy));
    each.map(|all| all.only(region)).collect()
}
