//! Derives again only what changed of the prefixes of embeddings that stand alone.
//!
//! Such an embedding maps the joined IPv4 prefixes one by one. Two prefixes join only if they
//! are halves of one network. A *block* consists of the addresses with the same first octet.
//! As long as no prefix contains more than the block, the joined prefixes in it depend only on
//! the IPv4 prefixes in it. So only blocks with changed prefixes are joined again.

use std::{collections::BTreeSet, net::Ipv4Addr};

use super::{Changes, merge::before};
use crate::{
    address::{Address, Embedding, Network},
    compile::{
        Prefix,
        derive::{Derived, all_derive, images},
        join::join,
    },
    policy::Policy,
};

/// Length of the prefix that all addresses of a block share.
const BLOCK: u8 = 8;

impl Changes<'_> {
    /// Derives prefixes by `embeddings` in the blocks with changes. `None` if other blocks may
    /// change too, or if there may be more derived prefixes than `room`.
    pub(in crate::compile) fn alone(
        &self,
        policies: &[&Policy],
        ipv4: &[Prefix<Ipv4Addr>],
        embeddings: &[Embedding],
        room: usize,
    ) -> Option<Derived> {
        let mut derived = Derived {
            prefixes: Vec::new(),
            region: Vec::new(),
        };
        if embeddings.is_empty() && all_derive(policies) {
            return Some(derived);
        }
        let is_one = |by: &Embedding| by.images(BLOCK) == 1;
        let mut changed = self.ipv4.networks().iter();
        let is_in_blocks = self.all_derived
            && all_derive(policies)
            && embeddings.iter().all(is_one)
            && changed.all(|network| network.length() >= BLOCK);
        if !is_in_blocks {
            return None;
        }
        let earlier = self.earlier.derived.iter();
        let earlier = earlier.filter(|one| embeddings.contains(&one.by));
        let earlier: usize = earlier.map(|one| one.prefixes).sum();
        let changed = self.ipv4.networks().iter();
        let blocks: BTreeSet<u8> = changed
            .map(|network| network.address().octets()[0])
            .collect();
        for block in blocks.into_iter().map(block) {
            let inside = &ipv4[before(ipv4, block.address(), 0)..];
            let last = block.interval().last();
            let inside = &inside[..inside.partition_point(|prefix| prefix.address <= last)];
            let joined = join(inside);
            let may_join = joined.iter().any(|prefix| prefix.length <= BLOCK);
            if may_join || self.is_within(block, ipv4, embeddings) {
                return None;
            }
            for by in embeddings {
                let count = joined.iter().map(|prefix| by.images(prefix.length));
                if earlier + derived.prefixes.len() + count.sum::<usize>() > room {
                    return None;
                }
                derived.region.extend(by.networks(block));
                let each = joined.iter().flat_map(|prefix| images(*by, *prefix));
                derived.prefixes.extend(each);
            }
        }
        Some(derived)
    }

    /// True if one of the prefixes `ipv4`, or an earlier prefix derived by `embeddings`, contains
    /// more than `block`.
    fn is_within(
        &self,
        block: Network<Ipv4Addr>,
        ipv4: &[Prefix<Ipv4Addr>],
        embeddings: &[Embedding],
    ) -> bool {
        (0..BLOCK).any(|length| {
            let outer = Network::around(block.address(), length);
            let mut images = embeddings.iter().flat_map(|by| by.networks(outer));
            has(ipv4, outer) || images.any(|image| has(&self.earlier.ipv6, image))
        })
    }
}

/// True if `network` is one of the sorted `prefixes`.
fn has<A: Address>(prefixes: &[Prefix<A>], network: Network<A>) -> bool {
    let found = prefixes.get(before(prefixes, network.address(), network.length()));
    found.is_some_and(|prefix| prefix.network() == network)
}

fn block(first_octet: u8) -> Network<Ipv4Addr> {
    Network::around(Ipv4Addr::new(first_octet, 0, 0, 0), BLOCK)
}
