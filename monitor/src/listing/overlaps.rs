//! Finds the policies in force that a list overlaps.

use serde::Serialize;

use crate::{
    address::{Address, Interval, IntervalSet},
    compile::{Prefix, Ruleset, SortedPrefixes},
};

/// A policy that the list overlaps.
#[derive(Debug, Serialize)]
pub struct Overlap {
    /// Name of the policy.
    pub policy: String,
    /// Its action.
    pub action: String,
    /// Number of prefixes of the ruleset that cover addresses of the list by this policy.
    pub prefixes: usize,
}

/// Returns the policies of `ruleset` that cover addresses of the list, sorted by name. The
/// ruleset has neither exceptions nor policies that are off, and it has derived prefixes.
pub(super) fn overlaps<A: Address, B: Address>(
    ruleset: &Ruleset,
    (list_a, prefixes_a): (&IntervalSet<A>, &SortedPrefixes<A>),
    (list_b, prefixes_b): (&IntervalSet<B>, &SortedPrefixes<B>),
) -> Vec<Overlap> {
    let mut counts = vec![0; ruleset.policies.len()];
    count(ruleset, list_a, prefixes_a, &mut counts);
    count(ruleset, list_b, prefixes_b, &mut counts);
    let found = ruleset.policies.iter().zip(counts);
    let found = found.filter(|(_, prefixes)| *prefixes > 0);
    let each = found.map(|(policy, prefixes)| Overlap {
        policy: policy.name.to_string(),
        action: policy.action.to_string(),
        prefixes,
    });
    each.collect()
}

/// Adds, for each policy, the number of prefixes by which it covers addresses of `list`.
fn count<A: Address>(
    ruleset: &Ruleset,
    list: &IntervalSet<A>,
    prefixes: &SortedPrefixes<A>,
    counts: &mut [usize],
) {
    let mut later = prefixes.iter();
    while let Some(prefix) = later.next() {
        let Some(interval) = interval(prefix).filter(|interval| list.touches(*interval)) else {
            continue;
        };
        // Longer prefixes follow. They decide about their own addresses.
        let following = later.clone().map_while(self::interval);
        let within = following.take_while(|next| next.first() <= interval.last());
        let longer: IntervalSet<A> = within.collect();
        let rest = interval.without(&longer);
        if !rest.iter().any(|part| list.touches(*part)) {
            continue;
        }
        let policies = ruleset.match_sets.get(prefix.match_set as usize);
        for policy in policies.into_iter().flatten() {
            if let Some(count) = counts.get_mut(usize::from(*policy)) {
                *count += 1;
            }
        }
    }
}

fn interval<A: Address>(prefix: &Prefix<A>) -> Option<Interval<A>> {
    let (first, last) = prefix.address.network(prefix.length)?;
    Interval::new(first, last)
}
