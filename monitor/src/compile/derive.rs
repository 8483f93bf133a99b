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
    DerivedPrefixes, Prefix, SortedPrefixes,
    changes::Changes,
    join::join,
    sweep::{Limit, MatchSets, sweep},
};
use crate::{
    address::{Derivation, Embedding, Network, Region},
    policy::{Destinations, Policy},
};

/// Largest number of derived prefixes in a ruleset. They take about 100 MB
/// while the ruleset is compiled.
pub(super) const MAX_DERIVED: usize = 1 << 22;

/// The sorted IPv6 prefixes of a ruleset, and the number of derived ones for
/// each embedding.
pub(super) struct Ipv6 {
    pub(super) prefixes: SortedPrefixes<Ipv6Addr>,
    pub(super) derived: Vec<DerivedPrefixes>,
}

/// All prefixes that some embeddings derive, or only those in a part of the address space.
pub(super) struct Derived {
    pub(super) prefixes: Vec<Prefix<Ipv6Addr>>,
    /// Networks that contain `prefixes`, and in which no other prefix is derived.
    pub(super) region: Vec<Network<Ipv6Addr>>,
}

/// What policies write: the source of derived prefixes.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) policies: &'a [&'a Policy],
    /// Their IPv4 prefixes.
    pub(super) ipv4: &'a SortedPrefixes<Ipv4Addr>,
    /// For each policy, and each prefix length: the number of distinct IPv4 networks.
    pub(super) lengths: &'a [Vec<usize>],
}

impl Written<'_> {
    /// Number of distinct prefixes that the embeddings `by` derive from the policy with this
    /// index.
    pub(super) fn derived(self, policy: usize, by: &[Embedding]) -> usize {
        if !self.policies[policy].derives() {
            return 0;
        }
        let lengths = (0..).zip(&self.lengths[policy]);
        let images = lengths.map(|(length, networks)| {
            let each = by.iter().map(|by| by.images(length));
            networks * each.sum::<usize>()
        });
        images.sum()
    }
}

/// Compiles the IPv6 prefixes that the policies of `source` write, and those that `derivation`
/// derives from their IPv4 prefixes.
pub(super) fn ipv6(
    source: Written<'_>,
    derivation: &Derivation,
    changes: Option<&Changes<'_>>,
    sets: &mut MatchSets,
) -> Result<Ipv6, Limit> {
    let Written { policies, ipv4, .. } = source;
    let all = derivation.embeddings();
    let written = written(policies, all);
    let (shared, alone): (Vec<Embedding>, Vec<_>) =
        all.iter().partition(|one| is_shared(**one, all, &written));
    let each = policies.iter();
    let indices = 0..policies.len();
    let count_shared = indices.map(|index| source.derived(index, &shared)).sum();
    let room = MAX_DERIVED.checked_sub(count_shared);
    let changes = changes.filter(|changes| changes.spares(all));
    let only_new = changes.and_then(|changes| changes.alone(policies, ipv4, &alone, room?));
    let derived = match only_new {
        Some(prefixes) => prefixes,
        None => by_all(source, (all, &alone), count_shared, sets)?,
    };
    let prefixes = if let Some(changes) = changes {
        changes.ipv6(policies, derived, &shared, sets)?
    } else {
        let together: Vec<_> = each.map(|policy| with_derived(policy, &shared)).collect();
        let mut prefixes = sweep(policies, |index| &together[index], sets)?;
        prefixes.extend(derived.prefixes);
        // The vector consists of a few sorted runs, which a stable sort only merges.
        prefixes.sort_by_key(|prefix| (prefix.address, prefix.length));
        prefixes.into_iter().collect()
    };
    let mut sources = policies.iter().filter(|policy| policy.derives());
    let has_source = sources.any(|policy| !policy.ipv4().is_empty());
    let embeddings = if has_source { all } else { &[] };
    let derived = count(embeddings, &prefixes, &written);
    Ok(Ipv6 { prefixes, derived })
}

/// All prefixes that the embeddings `alone`, some of `all`, derive. The others derive
/// `count_shared` prefixes.
fn by_all(
    written: Written<'_>,
    (all, alone): (&[Embedding], &[Embedding]),
    count_shared: usize,
    sets: &mut MatchSets,
) -> Result<Derived, Limit> {
    let source = source(written.policies, written.ipv4, sets)?;
    let count = |by: &Embedding| {
        let each = source.iter().map(|prefix| by.images(prefix.length));
        each.sum::<usize>()
    };
    let prefixes = count_shared + alone.iter().map(count).sum::<usize>();
    if prefixes > MAX_DERIVED {
        let indices = 0..written.policies.len();
        let most = indices.max_by_key(|index| written.derived(*index, all));
        let most = most.and_then(|index| index.try_into().ok());
        return Err(Limit::Derived {
            prefixes,
            policies: most.into_iter().collect(),
        });
    }
    let each = alone
        .iter()
        .flat_map(|by| source.iter().flat_map(|prefix| images(*by, *prefix)));
    Ok(Derived {
        prefixes: each.collect(),
        region: alone.iter().map(|by| by.prefix()).collect(),
    })
}

/// True if IPv6 prefixes are derived from the IPv4 destinations of all policies.
pub(super) fn all_derive(policies: &[&Policy]) -> bool {
    let mut policies = policies.iter();
    policies.all(|policy| policy.derives() || policy.ipv4().is_empty())
}

/// The joined IPv4 prefixes of the policies from which IPv6 prefixes are
/// derived.
fn source(
    policies: &[&Policy],
    ipv4: &SortedPrefixes<Ipv4Addr>,
    sets: &mut MatchSets,
) -> Result<Vec<Prefix<Ipv4Addr>>, Limit> {
    if all_derive(policies) {
        return Ok(join(ipv4.iter().copied()));
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
    Ok(join(swept))
}

/// The written IPv6 networks, and their exceptions, that overlap the prefix of an embedding.
/// Sorted, without duplicates.
fn written(policies: &[&Policy], embeddings: &[Embedding]) -> Vec<Network<Ipv6Addr>> {
    let region = Region::new(embeddings.iter().map(|by| by.prefix()).collect());
    let mut written = Vec::new();
    for all in policies.iter().map(|policy| policy.ipv6()) {
        written.extend(all.near(&region, 0).map(|(_, entry)| entry.network()));
        let holes = all.holes().iter().map(|hole| hole.network);
        written.extend(holes.filter(|network| region.touches(*network)));
    }
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

/// The prefixes that `by` derives from `prefix`.
pub(super) fn images(
    by: Embedding,
    prefix: Prefix<Ipv4Addr>,
) -> impl Iterator<Item = Prefix<Ipv6Addr>> {
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
    prefixes: &SortedPrefixes<Ipv6Addr>,
    written: &[Network<Ipv6Addr>],
) -> Vec<DerivedPrefixes> {
    let mut counted: Vec<DerivedPrefixes> = Vec::new();
    // The embeddings are sorted: an outer prefix comes before the prefixes
    // inside it. So this loop visits inner prefixes first.
    for by in embeddings.iter().rev() {
        let outer = by.prefix();
        let own = written.iter().filter(|network| {
            outer.contains_network(**network) && prefixes.get(**network).is_some()
        });
        let nested = counted
            .iter()
            .filter(|inner| outer.contains_network(inner.by.prefix()));
        let nested: usize = nested.map(|inner| inner.prefixes).sum();
        counted.push(DerivedPrefixes {
            by: *by,
            prefixes: prefixes.numbers_in(outer).len() - own.count() - nested,
        });
    }
    counted.reverse();
    counted
}
