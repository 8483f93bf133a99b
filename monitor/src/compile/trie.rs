//! Prefixes → the trie that the kernel program reads. `monitor_common::trie` defines
//! its layout, and `docs/trie.md` explains it by an example.
//!
//! 1. `runs.rs` turns the prefixes into runs: consecutive addresses with the same match
//!    set.
//! 2. `first_level.rs` chooses the size and the kind of the first level.
//! 3. `builder.rs` turns each block of addresses into a value, from the first level
//!    down.
//! 4. `arrays.rs` stores nodes and lines, equal ones only once.

mod arrays;
mod builder;
mod first_level;
mod kept;
mod runs;
#[cfg(test)]
mod tests;

use monitor_common::{
    NO_MATCH,
    trie::{Line, Node},
};

use super::{MatchSetId, Prefix, Ruleset, SortedPrefixes};
use crate::{address::Address, at_once::at_once, snapshot::Prefixes};
pub(super) use arrays::Room;
use arrays::{Arrays, Full};
use builder::Builder;
use first_level::FirstLevel;
pub(super) use kept::{KeptRuns, patched};
use runs::{Block, Run, runs, within};

/// The most bits of a common prefix.
const MOST_COMMON: u32 = 63;

/// The tries of both families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tries {
    /// Trie of the IPv4 destinations.
    pub ipv4: Trie,
    /// Trie of the IPv6 destinations.
    pub ipv6: Trie,
}

impl Tries {
    /// Compiles the tries of `ruleset`.
    ///
    /// # Errors
    ///
    /// A trie would need more nodes or lines than a pointer can address.
    pub fn new(ruleset: &Ruleset) -> Result<Self, TooLarge> {
        Self::in_room(ruleset, Room::default())
    }

    /// Compiles the tries of `ruleset`, each with at most `room` nodes and lines.
    pub(super) fn in_room(ruleset: &Ruleset, room: Room) -> Result<Self, TooLarge> {
        let (ipv4, ipv6) = at_once(
            ruleset.ipv4.len().min(ruleset.ipv6.len()),
            || Trie::of(&ruleset.ipv4, room),
            || Trie::of(&ruleset.ipv6, room),
        );
        Ok(Self {
            ipv4: ipv4?,
            ipv6: ipv6?,
        })
    }
}

/// The prefixes of a family need more nodes or lines than a pointer can address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{prefixes} {} prefixes need more kernel memory than the trie has room for, {} MiB",
    if *ipv6 { "IPv6" } else { "IPv4" },
    Room::MEBIBYTES
)]
pub struct TooLarge {
    /// The family: IPv6 if true, IPv4 if false.
    ipv6: bool,
    /// Number of prefixes of that family in the ruleset.
    prefixes: usize,
}

impl TooLarge {
    /// How the operator can fix the error.
    pub const FIX: &'static str = "leave the largest lists out, block wider ranges in place of them, or write `derive: none` in policies with many IPv4 destinations";

    /// The prefixes of a policy in the family that is too large.
    pub(super) fn prefixes_of(&self, policy: Prefixes) -> usize {
        if self.ipv6 { policy.v6 } else { policy.v4 }
    }
}

/// A trie of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trie {
    /// Number of bits of the common prefix, at most 63.
    pub common_bits: u32,
    /// The common prefix, left aligned.
    pub common: u64,
    /// Match set of all addresses outside the common prefix.
    pub outside: MatchSetId,
    /// Number of bits that index the first level.
    pub first_bits: u32,
    /// [`FIRST_NODES`](monitor_common::trie::FIRST_NODES) or
    /// [`FIRST_SLOTS`](monitor_common::trie::FIRST_SLOTS).
    pub first_kind: u32,
    /// True if any answer depends on bits after the first 64.
    pub low: bool,
    /// All nodes. If the first level consists of nodes, they come first.
    pub nodes: Vec<Node>,
    /// All lines. If the first level consists of slots, their lines come first.
    pub lines: Vec<Line>,
}

impl Trie {
    /// Compiles `prefixes`, which must be sorted by address, then by length.
    ///
    /// # Errors
    ///
    /// The prefixes need more nodes or lines than a pointer can address. 6 million random
    /// IPv6 prefixes of 33 to 64 bits are not too many, 16 million are.
    pub fn new<A: Address>(prefixes: &[Prefix<A>]) -> Result<Self, TooLarge> {
        let runs = runs(prefixes.iter());
        Self::in_room::<A>(&runs, prefixes.len(), Room::default())
    }

    fn of<A: Address>(prefixes: &SortedPrefixes<A>, room: Room) -> Result<Self, TooLarge> {
        Self::in_room::<A>(&kept::runs_of(prefixes), prefixes.len(), room)
    }

    /// Compiles `runs`, which come from so many `prefixes`.
    fn in_room<A: Address>(runs: &[Run], prefixes: usize, room: Room) -> Result<Self, TooLarge> {
        let first = FirstLevel::choose(runs, common_bits(runs));
        Self::with(runs, first, room).map_err(|Full| TooLarge {
            ipv6: A::BITS != 32,
            prefixes,
        })
    }

    fn with(runs: &[Run], first: FirstLevel, room: Room) -> Result<Self, Full> {
        let common_bits = common_bits(runs);
        let common = if common_bits == 0 {
            0
        } else {
            runs[1].0 & !(u128::MAX >> common_bits)
        };
        let whole = Block {
            depth: common_bits,
            first: common,
            runs: within(runs, common, common | u128::MAX >> common_bits),
        };
        let outside = runs[0].1;
        let mut builder = Builder::new(room, outside);
        builder.first_level(whole, first)?;
        let Arrays { nodes, lines, .. } = builder.into_arrays();
        Ok(Self {
            common_bits,
            common: high_half(common),
            outside,
            first_bits: first.bits,
            first_kind: first.kind,
            low: runs.iter().any(|(start, _)| low_half(*start) != 0),
            nodes,
            lines,
        })
    }
}

/// Number of leading bits that all addresses share, except those of the first and the
/// last run.
fn common_bits(runs: &[Run]) -> u32 {
    runs::common_bits(runs, 0).unwrap_or(0).min(MOST_COMMON)
}

fn high_half(number: u128) -> u64 {
    u64::try_from(number >> 64).expect("the lower half is shifted out")
}

fn low_half(number: u128) -> u64 {
    u64::try_from(number & u128::from(u64::MAX)).expect("the higher half is cut off")
}
