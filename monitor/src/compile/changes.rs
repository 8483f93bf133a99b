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

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    Earlier, MatchSetId, PolicyIndex, Prefix, Ruleset,
    sweep::{Limit, MatchSets, sweep},
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
        Some(Self {
            earlier: ruleset,
            now,
            same,
            ipv4: Region::new(ipv4),
            ipv6: Region::new(ipv6),
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
    ) -> Result<Vec<Prefix<Ipv4Addr>>, Limit> {
        let near = near(policies, Policy::ipv4, &self.ipv4);
        let kept = self.earlier.ipv4.iter().copied();
        self.merge(kept, &self.ipv4, policies, &near, sets)
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
    /// from their IPv4 destinations. Leaves out the prefixes of `alone`.
    pub(super) fn ipv6(
        &self,
        policies: &[&Policy],
        (shared, alone): (&[Embedding], &[Embedding]),
        sets: &mut MatchSets,
    ) -> Result<Vec<Prefix<Ipv6Addr>>, Limit> {
        let changed4 = self.ipv4.networks().iter();
        let images =
            changed4.flat_map(|network| shared.iter().flat_map(|by| by.networks(*network)));
        let region = Region::new(self.ipv6.networks().iter().copied().chain(images).collect());
        let mut near6 = near(policies, Policy::ipv6, &region);
        if !shared.is_empty() {
            let near4 = near(policies, Policy::ipv4, &self.ipv4);
            for ((policy, near6), near4) in policies.iter().zip(&mut near6).zip(&near4) {
                for by in shared.iter().filter(|_| policy.derives()) {
                    near6.derive(near4, *by);
                }
            }
        }
        let is_alone = |prefix: &Prefix<Ipv6Addr>| {
            let mut alone = alone.iter();
            alone.any(|by| by.prefix().contains(prefix.address))
        };
        let kept = self.earlier.ipv6.iter().copied();
        let kept = kept.filter(|prefix| !is_alone(prefix));
        self.merge(kept, &region, policies, &near6, sets)
    }

    /// Sweeps `near`, and replaces the earlier prefixes in `region` by the result.
    fn merge<A: Address>(
        &self,
        earlier: impl Iterator<Item = Prefix<A>>,
        region: &Region<A>,
        policies: &[&Policy],
        near: &[Destinations<A>],
        sets: &mut MatchSets,
    ) -> Result<Vec<Prefix<A>>, Limit> {
        let mut swept_sets = MatchSets::new();
        let mut swept = sweep(policies, |index| &near[index], &mut swept_sets)?;
        swept.retain(|prefix| region.contains(prefix.network()));
        let swept_sets = swept_sets.into_sets();
        let kept = earlier.filter(|prefix| !region.contains(prefix.network()));
        let now = |policy: &PolicyIndex| {
            self.now[usize::from(*policy)].expect("a policy that is gone covers only the region")
        };
        let mut kept_ids = Ids::new(&self.earlier.match_sets);
        let mut swept_ids = Ids::new(&swept_sets);
        let mut merged = Vec::with_capacity(kept.size_hint().1.unwrap_or(0));
        for (prefix, is_kept) in in_order(kept, swept.into_iter()) {
            let match_set = if is_kept {
                kept_ids.id(prefix.match_set, sets, now)?
            } else {
                swept_ids.id(prefix.match_set, sets, |policy| *policy)?
            };
            merged.push(Prefix {
                match_set,
                ..prefix
            });
        }
        merged.shrink_to_fit();
        Ok(merged)
    }
}

/// Ids of now for the ids of other match sets.
struct Ids<'a> {
    sets: &'a [Vec<PolicyIndex>],
    ids: Vec<Option<MatchSetId>>,
}

impl<'a> Ids<'a> {
    fn new(sets: &'a [Vec<PolicyIndex>]) -> Self {
        let ids = vec![None; sets.len()];
        Self { sets, ids }
    }

    fn id(
        &mut self,
        other: MatchSetId,
        sets: &mut MatchSets,
        now: impl Fn(&PolicyIndex) -> PolicyIndex,
    ) -> Result<MatchSetId, Limit> {
        let other = other as usize;
        if let Some(id) = self.ids[other] {
            return Ok(id);
        }
        let set: Vec<PolicyIndex> = self.sets[other].iter().map(now).collect();
        let id = sets.intern(&set)?;
        self.ids[other] = Some(id);
        Ok(id)
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
    each.map(|all| all.only(|network| region.touches(network)))
        .collect()
}

/// The prefixes of both sorted iterators in order, and whether each is of the first one.
fn in_order<A: Address>(
    one: impl Iterator<Item = Prefix<A>>,
    other: impl Iterator<Item = Prefix<A>>,
) -> impl Iterator<Item = (Prefix<A>, bool)> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || {
        let key = |prefix: &Prefix<A>| (prefix.address, prefix.length);
        let is_one = match (one.peek().map(key), other.peek().map(key)) {
            (Some(one), Some(other)) => one < other,
            (one, _) => one.is_some(),
        };
        let next = if is_one { one.next() } else { other.next() };
        Some((next?, is_one))
    })
}
