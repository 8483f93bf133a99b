//! Takes the prefixes outside of a region from an earlier ruleset, and puts new ones in.

use crate::{
    address::{Address, Region},
    policy::{Destinations, Policy},
};

use super::{
    super::{
        MatchSetId, PolicyIndex, Prefix, SortedPrefixes,
        prefixes::{Growing, Part, Stretch},
        sweep::{Limit, MatchSets, sweep},
        trie::patched,
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
        self.prefixes
            .sort_by_key(|(prefix, _)| (prefix.address, prefix.length));
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
        earlier: &SortedPrefixes<A>,
        region: &Region<A>,
    ) -> Result<SortedPrefixes<A>, Limit> {
        let mut merged = Growing::new();
        let mut fresh = self.fresh.prefixes.as_slice();
        let mut next = 0;
        for network in region.networks() {
            let changed = earlier.numbers_in(*network);
            self.keep(earlier.stretches(next..changed.start), &mut merged)?;
            next = changed.end;
            let last = network.interval().last();
            let (inside, rest) =
                fresh.split_at(fresh.partition_point(|(prefix, _)| prefix.address <= last));
            self.put(inside, &mut merged)?;
            fresh = rest;
        }
        self.keep(earlier.stretches(next..earlier.len()), &mut merged)?;
        let mut merged = merged.finish();
        if self.earlier.keep_numbers()
            && let Some(runs) = patched(earlier, &merged, region)
        {
            merged.runs = runs.into();
        }
        Ok(merged)
    }

    fn keep<'b>(
        &mut self,
        kept: impl Iterator<Item = Stretch<'b, A>>,
        merged: &mut Growing<A>,
    ) -> Result<(), Limit>
    where
        A: 'b,
    {
        for stretch in kept {
            if let Stretch::Whole(part) = stretch
                && self.keeps_numbers(part)?
            {
                merged.share(part);
                continue;
            }
            for prefix in stretch.prefixes() {
                let match_set = self.number_now(prefix.match_set)?;
                merged.push(Prefix {
                    match_set,
                    ..*prefix
                });
            }
        }
        Ok(())
    }

    /// True if all match sets of `part` keep their numbers.
    fn keeps_numbers(&mut self, part: &Part<A>) -> Result<bool, Limit> {
        let mut keeps = true;
        for earlier in part.match_sets() {
            keeps &= self.number_now(*earlier)? == *earlier;
        }
        Ok(keeps)
    }

    /// The number now of a match set of the earlier ruleset.
    fn number_now(&mut self, earlier: MatchSetId) -> Result<MatchSetId, Limit> {
        let now = self.now;
        self.earlier.id(earlier, self.sets, |policy| {
            now[usize::from(*policy)].expect("a policy that is gone covers only the region")
        })
    }

    fn put(
        &mut self,
        fresh: &[(Prefix<A>, Numbering)],
        merged: &mut Growing<A>,
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

    /// True if each id that was asked for is the same now.
    fn keep_numbers(&self) -> bool {
        let mut ids = (0..).zip(&self.ids);
        ids.all(|(other, id)| id.is_none_or(|id| id == other))
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
