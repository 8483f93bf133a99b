//! IPv4 destinations → the IPv6 prefixes that embed them.
//!
//! First the IPv4 prefixes are swept, and neighbours with equal match sets are
//! joined. Each embedding (such as NAT64) then maps the joined prefixes into
//! its own prefix. If written IPv6 destinations overlap that prefix, the
//! written and the derived ones are swept together instead, because a match set
//! contains all policies that cover an address.

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{
    DerivedPrefixes, Prefix,
    changes::Changes,
    join::join,
    sweep::{Limit, MatchSets, sweep},
};
use crate::{
    address::{Derivation, Embedding, Network},
    policy::{Destinations, Policy},
};

/// Largest number of derived prefixes in a ruleset. They take about 100 MB
/// while the ruleset is compiled.
pub(super) const MAX_DERIVED: usize = 1 << 22;

/// The sorted IPv6 prefixes of a ruleset, and the number of derived ones for
/// each embedding.
pub(super) struct Ipv6 {
    pub(super) prefixes: Vec<Prefix<Ipv6Addr>>,
    pub(super) derived: Vec<DerivedPrefixes>,
}

/// Compiles the IPv6 prefixes of `policies`, whose IPv4 prefixes are `ipv4`.
pub(super) fn ipv6(
    policies: &[&Policy],
    ipv4: &[Prefix<Ipv4Addr>],
    derivation: &Derivation,
    changes: Option<&Changes<'_>>,
    sets: &mut MatchSets,
) -> Result<Ipv6, Limit> {
    let source = source(policies, ipv4, sets)?;
    let all = derivation.embeddings();
    let embeddings = if source.is_empty() { &[] } else { all };
    let written = written(policies);
    let (shared, alone): (Vec<Embedding>, Vec<_>) =
        all.iter().partition(|one| is_shared(**one, all, &written));
    refuse_too_many(policies, &source, (&shared, &alone), derivation)?;
    let mut prefixes = if let Some(changes) = changes.filter(|changes| changes.spares(all)) {
        changes.ipv6(policies, (&shared, &alone), sets)?
    } else {
        let each = policies.iter();
        let together: Vec<_> = each.map(|policy| with_derived(policy, &shared)).collect();
        sweep(policies, |index| &together[index], sets)?
    };
    for by in &alone {
        let each = source.iter().flat_map(|prefix| images(*by, *prefix));
        prefixes.extend(each);
    }
    // The vector consists of a few sorted runs, which a stable sort only
    // merges.
    prefixes.sort_by_key(|prefix| (prefix.address, prefix.length));
    let derived = count(embeddings, &prefixes, &written);
    Ok(Ipv6 { prefixes, derived })
}

/// The joined IPv4 prefixes of the policies from which IPv6 prefixes are
/// derived.
fn source(
    policies: &[&Policy],
    ipv4: &[Prefix<Ipv4Addr>],
    sets: &mut MatchSets,
) -> Result<Vec<Prefix<Ipv4Addr>>, Limit> {
    let has_ipv4 = |policy: &&&Policy| !policy.ipv4().is_empty();
    if policies
        .iter()
        .filter(has_ipv4)
        .all(|policy| policy.derives())
    {
        return Ok(join(ipv4));
    }
    let none = Destinations::default();
    let swept = sweep(
        policies,
        |index| match policies[index] {
            policy if policy.derives() => policy.ipv4(),
            _ => &none,
        },
        sets,
    )?;
    Ok(join(&swept))
}

/// The written IPv6 networks and their exceptions, sorted, without duplicates.
fn written(policies: &[&Policy]) -> Vec<Network<Ipv6Addr>> {
    let each = policies.iter().map(|policy| policy.ipv6());
    let mut written: Vec<_> = each
        .flat_map(|all| {
            all.networks()
                .chain(all.holes().iter().map(|hole| hole.network))
        })
        .collect();
    written.sort_unstable();
    written.dedup();
    written
}

/// True if the prefix of `one` overlaps a written network or the prefix of
/// another embedding.
fn is_shared(one: Embedding, all: &[Embedding], written: &[Network<Ipv6Addr>]) -> bool {
    let touches = |other: Network<Ipv6Addr>| {
        one.prefix().contains_network(other) || other.contains_network(one.prefix())
    };
    let others = all.iter().filter(|other| **other != one);
    others.map(|other| other.prefix()).any(touches) || written.iter().copied().any(touches)
}

fn refuse_too_many(
    policies: &[&Policy],
    source: &[Prefix<Ipv4Addr>],
    (shared, alone): (&[Embedding], &[Embedding]),
    derivation: &Derivation,
) -> Result<(), Limit> {
    let joined = |by: &Embedding| {
        let each = source.iter().map(|prefix| by.images(prefix.length));
        each.sum::<usize>()
    };
    let single = |policy: &Policy| of_policy(policy, shared);
    let alone: usize = alone.iter().map(joined).sum();
    let prefixes = alone + policies.iter().copied().map(single).sum::<usize>();
    if prefixes <= MAX_DERIVED {
        return Ok(());
    }
    let all = derivation.embeddings();
    let most = (0..)
        .zip(policies)
        .max_by_key(|(_, policy)| of_policy(policy, all));
    Err(Limit::Derived {
        prefixes,
        policies: most.map(|(index, _)| index).into_iter().collect(),
    })
}

fn images(by: Embedding, prefix: Prefix<Ipv4Addr>) -> impl Iterator<Item = Prefix<Ipv6Addr>> {
    let network = Network::around(prefix.address, prefix.length);
    by.networks(network).map(move |network| Prefix {
        address: network.address(),
        length: network.length(),
        match_set: prefix.match_set,
    })
}

/// The IPv6 destinations of a policy, plus those that the embeddings `by`
/// derive.
fn with_derived<'a>(policy: &'a Policy, by: &[Embedding]) -> Cow<'a, Destinations<Ipv6Addr>> {
    if by.is_empty() || !policy.derives() || policy.ipv4().is_empty() {
        return Cow::Borrowed(policy.ipv6());
    }
    let mut all = policy.ipv6().clone();
    for by in by {
        all.derive(policy.ipv4(), *by);
    }
    Cow::Owned(all)
}

/// Counts the derived prefixes of each embedding: those of the sorted
/// `prefixes` that lie in its prefix and are not written. If prefixes of
/// embeddings are nested, a derived prefix counts for the innermost one.
fn count(
    embeddings: &[Embedding],
    prefixes: &[Prefix<Ipv6Addr>],
    written: &[Network<Ipv6Addr>],
) -> Vec<DerivedPrefixes> {
    let mut counted: Vec<DerivedPrefixes> = Vec::new();
    // The embeddings are sorted: an outer prefix comes before the prefixes
    // inside it. So this loop visits inner prefixes first.
    for by in embeddings.iter().rev() {
        let outer = by.prefix();
        let last = outer.interval().last();
        let from = prefixes.partition_point(|prefix| {
            (prefix.address, prefix.length) < (outer.address(), outer.length())
        });
        let inside = prefixes[from..]
            .iter()
            .take_while(|prefix| prefix.address <= last);
        let first = written.partition_point(|network| *network < outer);
        let mut written = written[first..].iter().peekable();
        let derived = inside.filter(|prefix| {
            let network = prefix.network();
            while written.next_if(|next| **next < network).is_some() {}
            written.peek() != Some(&&network)
        });
        let nested = counted
            .iter()
            .filter(|inner| outer.contains_network(inner.by.prefix()));
        let nested: usize = nested.map(|inner| inner.prefixes).sum();
        counted.push(DerivedPrefixes {
            by: *by,
            prefixes: derived.count() - nested,
        });
    }
    counted.reverse();
    counted
}

/// Number of distinct prefixes that the embeddings `by` derive from `policy`.
pub(super) fn of_policy(policy: &Policy, by: &[Embedding]) -> usize {
    if by.is_empty() || !policy.derives() {
        return 0;
    }
    let mut networks: Vec<_> = policy.ipv4().networks().collect();
    networks.sort_unstable();
    networks.dedup();
    let images = |by: &Embedding| {
        let each = networks.iter().map(|network| by.images(network.length()));
        each.sum::<usize>()
    };
    by.iter().map(images).sum()
}
