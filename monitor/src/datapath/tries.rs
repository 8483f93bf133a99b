//! Writes the tries of a ruleset to the maps and constants of a generation.

use aya::Ebpf;

use super::{Error, constants::Root, maps::fill, object::ruleset};
use crate::compile::{Trie, Tries};

/// What a program must know of tries before it is loaded. A small change of a large ruleset
/// seldom changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Name and entries of each map.
    pub(super) sizes: [(&'static str, u32); 4],
    pub(super) ipv4: Root,
    pub(super) ipv6: Root,
}

impl Shape {
    pub(super) fn of(tries: &Tries) -> Self {
        Self {
            sizes: [
                (ruleset::NODES_V4, entries(tries.ipv4.nodes.len())),
                (ruleset::LINES_V4, entries(tries.ipv4.lines.len())),
                (ruleset::NODES_V6, entries(tries.ipv6.nodes.len())),
                (ruleset::LINES_V6, entries(tries.ipv6.lines.len())),
            ],
            ipv4: root(&tries.ipv4),
            ipv6: root(&tries.ipv6),
        }
    }
}

/// Entries of a map for `count` nodes or lines: up to a 32nd more, so that a small change does
/// not change the number. The kernel refuses a map with 0 entries.
fn entries(count: usize) -> u32 {
    let step = (count.next_power_of_two() / 64).max(1);
    let entries = count.next_multiple_of(step).max(1);
    u32::try_from(entries).expect("the compiler limits the tries")
}

/// Fills and freezes the maps of the tries.
pub(super) fn fill_all(object: &Ebpf, tries: &Tries) -> Result<(), Error> {
    fill(object, ruleset::NODES_V4, &tries.ipv4.nodes)?;
    fill(object, ruleset::LINES_V4, &tries.ipv4.lines)?;
    fill(object, ruleset::NODES_V6, &tries.ipv6.nodes)?;
    fill(object, ruleset::LINES_V6, &tries.ipv6.lines)
}

/// Constants of `trie`.
fn root(trie: &Trie) -> Root {
    Root {
        common_bits: trie.common_bits,
        common: trie.common,
        outside: trie.outside,
        first_bits: trie.first_bits,
        first_kind: trie.first_kind,
        low: trie.low,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_map_has_room_for_little_more(count in 0_usize..1 << 24) {
            let entries = entries(count) as usize;
            prop_assert!(entries >= count.max(1));
            prop_assert!(entries <= (count + count / 32).max(1));
        }
    }
}
