//! Takes the prefixes outside of a region from an earlier ruleset, and puts new ones in.

use crate::{
    address::{Address, Region},
    policy::{Destinations, Policy},
};

use super::{
    super::{
        MatchSetId, PolicyIndex, Prefix,
        sweep::{Limit, MatchSets, sweep},
    },
    Changes,
};

/// The prefixes of now in a changed region, sorted.
pub(super) struct Fresh<A> {
    prefixes: Vec<(Prefix<A>, Numbering)>,
    /// The match sets of the swept prefixes.
    sets: Vec<Vec<PolicyIndex>>,
}

/// To which match sets the number in a prefix belongs.
#[derive(Clone, Copy)]
enum Numbering {
    /// To [`Fresh::sets`].
    Swept,
    /// To the match sets of the new ruleset.
    New,
}

impl<A: Address> Fresh<A> {
    /// Sweeps `near`, the entries of each policy in `region` and around it. Keeps what lies in
    /// the region.
    pub(super) fn sweep(
        policies: &[&Policy],
        near: &[Destinations<A>],
        region: &Region<A>,
    ) -> Result<Self, Limit> {
        let mut sets = MatchSets::new();
        let swept = sweep(policies, |index| &near[index], &mut sets)?.into_iter();
        let inside = swept.filter(|prefix| region.contains(prefix.network()));
        Ok(Self {
            prefixes: inside.map(|prefix| (prefix, Numbering::Swept)).collect(),
            sets: sets.into_sets(),
        })
    }

    /// Adds prefixes that have match sets of the new ruleset.
    pub(super) fn with(mut self, prefixes: Vec<Prefix<A>>) -> Self {
        let new = prefixes.into_iter().map(|prefix| (prefix, Numbering::New));
        self.prefixes.extend(new);
        self.prefixes.sort_by_key(|(prefix, _)| key(prefix));
        self
    }
}

/// Merges earlier and new prefixes, and numbers their match sets in that order.
pub(super) struct Merge<'a, A> {
    fresh: &'a Fresh<A>,
    /// Policy of now for each earlier policy.
    now: &'a [Option<PolicyIndex>],
    earlier: Ids<'a>,
    swept: Ids<'a>,
    sets: &'a mut MatchSets,
}

impl<'a, A: Address> Merge<'a, A> {
    pub(super) fn new(
        changes: &'a Changes<'_>,
        fresh: &'a Fresh<A>,
        sets: &'a mut MatchSets,
    ) -> Self {
        Self {
            fresh,
            now: &changes.now,
            earlier: Ids::new(&changes.earlier.match_sets),
            swept: Ids::new(&fresh.sets),
            sets,
        }
    }

    /// Replaces the prefixes of `earlier` in `region` by the new ones, all of which lie in it.
    pub(super) fn all(
        &mut self,
        earlier: &[Prefix<A>],
        region: &Region<A>,
    ) -> Result<Vec<Prefix<A>>, Limit> {
        let fresh = &self.fresh.prefixes;
        let mut merged = Vec::with_capacity(earlier.len() + fresh.len());
        let (mut earlier, mut fresh) = (earlier, fresh.as_slice());
        for network in region.networks() {
            let (address, last) = (network.address(), network.interval().last());
            let (kept, rest) = earlier.split_at(before(earlier, address, network.length()));
            self.keep(kept, &mut merged)?;
            earlier = &rest[rest.partition_point(|prefix| prefix.address <= last)..];
            let (inside, rest) =
                fresh.split_at(fresh.partition_point(|(prefix, _)| prefix.address <= last));
            self.put(inside, &mut merged)?;
            fresh = rest;
        }
        self.keep(earlier, &mut merged)?;
        merged.shrink_to_fit();
        Ok(merged)
    }

    fn keep(&mut self, kept: &[Prefix<A>], merged: &mut Vec<Prefix<A>>) -> Result<(), Limit> {
        let now = self.now;
        for prefix in kept {
            let match_set = self.earlier.id(prefix.match_set, self.sets, |policy| {
                now[usize::from(*policy)].expect("a policy that is gone covers only the region")
            })?;
            merged.push(Prefix {
                match_set,
                ..*prefix
            });
        }
        Ok(())
    }

    fn put(
        &mut self,
        fresh: &[(Prefix<A>, Numbering)],
        merged: &mut Vec<Prefix<A>>,
    ) -> Result<(), Limit> {
        for (prefix, numbering) in fresh {
            let match_set = match numbering {
                Numbering::Swept => self
                    .swept
                    .id(prefix.match_set, self.sets, |policy| *policy)?,
                Numbering::New => prefix.match_set,
            };
            merged.push(Prefix {
                match_set,
                ..*prefix
            });
        }
        Ok(())
    }
}

/// Number of leading prefixes that sort before the network of `length` bits at `address`.
pub(super) fn before<A: Address>(prefixes: &[Prefix<A>], address: A, length: u8) -> usize {
    prefixes.partition_point(|prefix| key(prefix) < (address, length))
}

fn key<A: Address>(prefix: &Prefix<A>) -> (A, u8) {
    (prefix.address, prefix.length)
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
