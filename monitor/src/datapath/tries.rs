//! Writes the tries of a ruleset to the maps and constants of a generation.

use aya::Ebpf;

use super::{Error, constants::Root, maps::fill, object::ruleset};
use crate::compile::{Trie, Tries};

/// Number of entries of each map. The kernel refuses a map with 0 entries, so an
/// empty map gets 1 entry.
pub(super) fn sizes(tries: &Tries) -> [(&'static str, u32); 4] {
    let entries = |n: usize| u32::try_from(n.max(1)).expect("the compiler limits the tries");
    [
        (ruleset::NODES_V4, entries(tries.ipv4.nodes.len())),
        (ruleset::LINES_V4, entries(tries.ipv4.lines.len())),
        (ruleset::NODES_V6, entries(tries.ipv6.nodes.len())),
        (ruleset::LINES_V6, entries(tries.ipv6.lines.len())),
    ]
}

/// Fills and freezes the maps of the tries.
pub(super) fn fill_all(object: &Ebpf, tries: &Tries) -> Result<(), Error> {
    fill(object, ruleset::NODES_V4, &tries.ipv4.nodes)?;
    fill(object, ruleset::LINES_V4, &tries.ipv4.lines)?;
    fill(object, ruleset::NODES_V6, &tries.ipv6.nodes)?;
    fill(object, ruleset::LINES_V6, &tries.ipv6.lines)
}

/// Constants of `trie`.
pub(super) fn root(trie: &Trie) -> Root {
    Root {
        common_bits: trie.common_bits,
        common: trie.common,
        outside: trie.outside,
        first_bits: trie.first_bits,
        first_kind: trie.first_kind,
        low: trie.low,
    }
}
