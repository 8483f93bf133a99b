//! Finds policies that other policies make ineffective: each `drop` that `allow` policies
//! override completely, and each `allow_handshake` that another `drop` stops.

use std::collections::{BTreeMap, BTreeSet};

use super::{PolicyIndex, Ruleset, SortedPrefixes};
use crate::{
    address::{Address, Interval, IntervalSet, Network},
    policy::{Action, Diagnostic, Diagnostics, Policy},
};

/// Warns of each `drop` of `ruleset` that never drops, because an `allow` wins
/// for every packet that it matches. `policies` are those that were compiled.
#[must_use]
pub fn shadowed_drops(policies: &[Policy], ruleset: &Ruleset) -> Diagnostics {
    let mut rules = ruleset.policies.iter().map(|policy| policy.action);
    if !(rules.clone().any(Action::exempts) && rules.any(Action::blocks)) {
        // Without both, no policy can override another. This spares a pass over all prefixes.
        return Diagnostics::default();
    }
    let mut effective = BTreeSet::new();
    let mut shadows: BTreeMap<PolicyIndex, BTreeSet<PolicyIndex>> = BTreeMap::new();
    for set in live_sets(ruleset) {
        let of = |policy: &PolicyIndex| &ruleset.policies[usize::from(*policy)];
        for drop in set.iter().filter(|policy| of(policy).action.blocks()) {
            // Only an `allow` with no conditions or the same conditions
            // overrides the whole drop.
            let shadow = set.iter().find(|policy| {
                let allow = of(policy);
                let wide = allow.scope == 0 || allow.scope == of(drop).scope;
                allow.action.exempts() && wide
            });
            match shadow {
                Some(allow) => {
                    shadows.entry(*drop).or_default().insert(*allow);
                }
                None => {
                    effective.insert(*drop);
                }
            }
        }
    }
    let mut out = Diagnostics::default();
    for (drop, allows) in shadows.iter().filter(|(drop, _)| !effective.contains(drop)) {
        if let Some(policy) = find(policies, ruleset, *drop) {
            out.push(warning(policy, policies, ruleset, allows));
        }
    }
    out
}

/// Notes each `drop` without `allow_handshake` that stops the handshakes of another one.
/// `policies` are those that were compiled.
#[must_use]
pub fn stopped_handshakes(policies: &[Policy], ruleset: &Ruleset) -> Diagnostics {
    if !ruleset
        .policies
        .iter()
        .any(|policy| policy.allows_handshake)
    {
        return Diagnostics::default();
    }
    let of = |policy: &PolicyIndex| &ruleset.policies[usize::from(*policy)];
    let mut stopped: BTreeMap<PolicyIndex, PolicyIndex> = BTreeMap::new();
    for set in live_sets(ruleset) {
        for open in set.iter().filter(|policy| of(policy).allows_handshake) {
            let stops = set.iter().find(|policy| {
                let drop = of(policy);
                let wide = drop.scope == 0 || drop.scope == of(open).scope;
                drop.action.blocks() && !drop.allows_handshake && wide
            });
            if let Some(stops) = stops {
                stopped.entry(*open).or_insert(*stops);
            }
        }
    }
    let mut out = Diagnostics::default();
    for (open, stops) in stopped {
        let pair = find(policies, ruleset, open).zip(find(policies, ruleset, stops));
        if let Some((open, stops)) = pair {
            let message = format!(
                "`{}` drops the handshakes that `{}` would let pass, where both match",
                stops.name(),
                open.name()
            );
            let help = "write `allow_handshake: true` in both policies, or in neither";
            let note = Diagnostic::note(open.place().clone(), message, help);
            out.push(note.with_related(stops.place().clone(), "the other `drop` is here"));
        }
    }
    out
}

/// The match sets that decide about some packet.
fn live_sets(ruleset: &Ruleset) -> impl Iterator<Item = &[PolicyIndex]> {
    let mut live = vec![false; ruleset.match_sets.len()];
    mark_live(&ruleset.ipv4, &mut live);
    mark_live(&ruleset.ipv6, &mut live);
    let sets = ruleset.match_sets.iter().zip(live);
    sets.filter_map(|(set, live)| live.then_some(&**set))
}

fn warning(
    policy: &Policy,
    policies: &[Policy],
    ruleset: &Ruleset,
    allows: &BTreeSet<PolicyIndex>,
) -> Diagnostic {
    let allows: Vec<_> = allows
        .iter()
        .filter_map(|allow| find(policies, ruleset, *allow))
        .collect();
    let names: Vec<String> = allows
        .iter()
        .map(|allow| format!("`{}`", allow.name()))
        .collect();
    let message = format!(
        "`{}` never drops: {} allows all of it",
        policy.name(),
        names.join(", ")
    );
    let help = "an `allow` that matches always wins: remove one of the two, or narrow the `allow`";
    let warning = Diagnostic::warning(policy.place().clone(), message, help);
    match allows.first() {
        Some(allow) => warning.with_related(allow.place().clone(), "the `allow` is here"),
        None => warning,
    }
}

fn find<'a>(policies: &'a [Policy], ruleset: &Ruleset, index: PolicyIndex) -> Option<&'a Policy> {
    let name = &ruleset.policies[usize::from(index)].name;
    policies.iter().find(|policy| policy.name() == name)
}

/// Marks the match sets of prefixes that longer prefixes do not cover
/// completely. Only these match sets ever decide about a packet.
fn mark_live<A: Address>(prefixes: &SortedPrefixes<A>, live: &mut [bool]) {
    let mut open: Vec<EnclosingPrefix<A>> = Vec::new();
    for prefix in prefixes.iter() {
        let Some(network) = Network::new(prefix.address, prefix.length) else {
            continue;
        };
        while let Some(inner) = open.pop_if(|outer| !outer.network.contains_network(network)) {
            inner.close(live);
        }
        if let Some(outer) = open.last_mut() {
            outer.inside.push(network.interval());
        }
        open.push(EnclosingPrefix {
            network,
            match_set: prefix.match_set as usize,
            inside: Vec::new(),
        });
    }
    for inner in open {
        inner.close(live);
    }
}

/// A prefix, and the longer prefixes directly inside it.
struct EnclosingPrefix<A> {
    network: Network<A>,
    match_set: usize,
    inside: Vec<Interval<A>>,
}

impl<A: Address> EnclosingPrefix<A> {
    fn close(self, live: &mut [bool]) {
        let inside: IntervalSet<A> = self.inside.into_iter().collect();
        if !inside.covers(self.network.interval()) {
            live[self.match_set] = true;
        }
    }
}
