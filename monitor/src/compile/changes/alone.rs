//! Derives again only what changed of the prefixes of embeddings that stand alone.
//!
//! Such an embedding maps the joined IPv4 prefixes one by one. Two prefixes join only if they
//! are halves of one network. A *block* consists of the addresses with the same first octet.
//! As long as no prefix contains more than the block, the joined prefixes in it depend only on
//! the IPv4 prefixes in it. So only blocks with changed prefixes are joined again.

use std::{collections::BTreeSet, net::Ipv4Addr};

use super::Changes;
use crate::{
    address::{Embedding, Network},
    compile::{
        SortedPrefixes,
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
        ipv4: &SortedPrefixes<Ipv4Addr>,
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
            let joined = join(ipv4.inside(block));
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
        ipv4: &SortedPrefixes<Ipv4Addr>,
        embeddings: &[Embedding],
    ) -> bool {
        (0..BLOCK).any(|length| {
            let outer = Network::around(block.address(), length);
            let mut images = embeddings.iter().flat_map(|by| by.networks(outer));
            ipv4.get(outer).is_some() || images.any(|image| self.earlier.ipv6.get(image).is_some())
        })
    }
}

fn block(first_octet: u8) -> Network<Ipv4Addr> {
    Network::around(Ipv4Addr::new(first_octet, 0, 0, 0), BLOCK)
}
