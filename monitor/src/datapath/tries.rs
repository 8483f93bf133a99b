//! The tries of a ruleset → maps and constants of a generation.

use aya::{Ebpf, Pod};

use super::{
    Error,
    generation::freeze,
    object::{self, Root, ruleset},
    sys,
};
use crate::compile::{Ruleset, Trie};

/// The trie of each family.
pub(super) struct Tries {
    pub(super) ipv4: Trie,
    pub(super) ipv6: Trie,
}

impl Tries {
    pub(super) fn new(ruleset: &Ruleset) -> Self {
        Self {
            ipv4: Trie::new(&ruleset.ipv4),
            ipv6: Trie::new(&ruleset.ipv6),
        }
    }

    /// Entries of the maps. No map may have none, so empty ones have one.
    pub(super) fn sizes(&self) -> [(&'static str, u32); 4] {
        let entries = |n: usize| u32::try_from(n.max(1)).expect("the compiler limits the ruleset");
        [
            (ruleset::NODES_V4, entries(self.ipv4.nodes.len())),
            (ruleset::LINES_V4, entries(self.ipv4.lines.len())),
            (ruleset::NODES_V6, entries(self.ipv6.nodes.len())),
            (ruleset::LINES_V6, entries(self.ipv6.lines.len())),
        ]
    }

    /// Fills and freezes the maps.
    pub(super) fn fill(&self, object: &Ebpf) -> Result<(), Error> {
        fill(object, ruleset::NODES_V4, &self.ipv4.nodes)?;
        fill(object, ruleset::LINES_V4, &self.ipv4.lines)?;
        fill(object, ruleset::NODES_V6, &self.ipv6.nodes)?;
        fill(object, ruleset::LINES_V6, &self.ipv6.lines)
    }
}

/// Where the walk through `trie` begins.
pub(super) fn root(trie: &Trie) -> Root {
    Root {
        skip: trie.skip,
        common: trie.common,
        outside: trie.outside,
        direct: trie.direct,
        first: trie.first,
    }
}

/// Writes all of an array at once, and freezes it.
pub(super) fn fill<T: Pod>(object: &Ebpf, map: &'static str, elements: &[T]) -> Result<(), Error> {
    sys::array_fill(object::map_fd(object, map), elements)
        .map_err(|source| Error::system(format!("fill map {map}"), source))?;
    freeze(object, map)
}
