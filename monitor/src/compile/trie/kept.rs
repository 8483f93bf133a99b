//! Runs that a ruleset keeps, so that the next ruleset computes only those in the region that
//! changed.

use super::{
    MatchSetId,
    runs::{Run, begin, runs, runs_between},
};
use crate::{
    address::{Address, Network, Region},
    compile::SortedPrefixes,
};

/// The most runs that are kept: 10 MiB of memory for IPv6.
const MOST: usize = 1 << 19;

/// With more networks in the region, it takes less time to compute all runs again.
const MOST_NETWORKS: usize = 256;

/// All runs of a family. Addresses take less room than the numbers of [`Run`].
pub(in crate::compile) type KeptRuns<A> = Vec<(A, MatchSetId)>;

/// The runs of `prefixes`. Keeps them with the prefixes.
pub(super) fn runs_of<A: Address>(prefixes: &SortedPrefixes<A>) -> Vec<Run> {
    if let Some(kept) = prefixes.runs.get() {
        let each = kept.iter();
        return each
            .map(|(start, match_set)| (left_aligned(*start), *match_set))
            .collect();
    }
    let runs = runs(prefixes.iter());
    if runs.len() <= MOST {
        let kept = runs.iter();
        let kept = kept.map(|(start, match_set)| (address(*start), *match_set));
        prefixes.runs.get_or_init(|| kept.collect());
    }
    runs
}

/// The runs of `prefixes`. They have the same match sets as those of `earlier`, except in
/// `region`. `None` if that is not worth it.
pub(in crate::compile) fn patched<A: Address>(
    earlier: &SortedPrefixes<A>,
    prefixes: &SortedPrefixes<A>,
    region: &Region<A>,
) -> Option<KeptRuns<A>> {
    let earlier = earlier.runs.get()?;
    if region.networks().len() > MOST_NETWORKS || earlier.len() > MOST {
        return None;
    }
    // A changed network usually adds a few runs.
    let mut patched = Vec::with_capacity(earlier.len() + 64);
    let mut next = 0;
    for network in region.networks() {
        let interval = network.interval();
        let begun = earlier.partition_point(|(start, _)| *start < interval.first());
        append(&mut patched, &earlier[next..begun]);
        for (start, match_set) in runs_in(*network, prefixes) {
            begin(&mut patched, address(start), match_set);
        }
        next = earlier.partition_point(|(start, _)| *start <= interval.last());
        let number = interval.last().to_number();
        if number < u128::MAX >> (128 - u32::from(A::BITS)) {
            let (_, behind) = earlier[next - 1];
            begin(&mut patched, A::from_number(number + 1), behind);
        }
    }
    append(&mut patched, &earlier[next..]);
    // A copy costs more than some room.
    if patched.capacity() > patched.len() + patched.len() / 16 {
        patched.shrink_to_fit();
    }
    Some(patched)
}

/// Adds `runs`, which lie behind the others.
fn append<A: Address>(all: &mut KeptRuns<A>, runs: &[(A, MatchSetId)]) {
    if let [(start, match_set), rest @ ..] = runs {
        begin(all, *start, *match_set);
        all.extend_from_slice(rest);
    }
}

/// The runs of the addresses of `network`.
fn runs_in<A: Address>(network: Network<A>, prefixes: &SortedPrefixes<A>) -> Vec<Run> {
    let mut around = (0..network.length()).rev();
    let around = around.find_map(|length| prefixes.get(Network::around(network.address(), length)));
    let match_set = around.map_or(super::NO_MATCH, |prefix| prefix.match_set);
    let first = left_aligned(network.address());
    let last = first | u128::MAX.checked_shr(network.length().into()).unwrap_or(0);
    runs_between((first, last), match_set, prefixes.inside(network))
}

fn left_aligned<A: Address>(address: A) -> u128 {
    address.to_number() << (128 - u32::from(A::BITS))
}

fn address<A: Address>(left_aligned: u128) -> A {
    A::from_number(left_aligned >> (128 - u32::from(A::BITS)))
}
