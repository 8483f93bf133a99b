//! Prefixes → the trie that the kernel walks, as `monitor_common::trie` has it.
//!
//! A block of addresses becomes a value, by where its runs begin; what is equal
//! is made once.

mod arrays;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, iter};

use monitor_common::trie::{
    LANE, LENGTH_SHIFT, LINE_SLOTS, Line, MIN_DIRECT, NO_PLACE, NODE_KIND_SHIFT, NODES, NODES_BITS,
    Node, OWN, PAIR, PARTS, PARTS_BITS, PARTS_SHIFT, RUNS, RUNS_BITS, RUNS_MOST, SCATTERED, SKIP,
    SLOTS, SPLIT, STRIDE, VALUE, WIDTH_SHIFT,
};

use super::{
    MatchSetId, Prefix, Ruleset,
    runs::{Block, Run, common_bits, runs, within},
};
use crate::{address::Address, snapshot::Prefixes};
pub(super) use arrays::Room;
use arrays::{Arrays, Full, halves, index, pointer};

/// The fewest bits that are skipped at once: fewer than a node uses up are no gain.
const SHORTEST_SKIP: u32 = STRIDE + 1;

/// The most bits that a node skips.
const LONGEST_SKIP: u32 = LENGTH_SHIFT - 1;

/// The most bits that all addresses of a trie skip.
const MOST_COMMON: u32 = 63;

/// The fewest and the most bits of slots that are not the first.
const NARROWEST: u32 = STRIDE;
const WIDEST: u32 = 16;

/// The trie of each family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tries {
    /// Over IPv4 destinations.
    pub ipv4: Trie,
    /// Over IPv6 destinations.
    pub ipv6: Trie,
}

impl Tries {
    /// Compiles both.
    ///
    /// # Errors
    ///
    /// A family has more prefixes than a trie has room for.
    pub fn new(ruleset: &Ruleset) -> Result<Self, TooLarge> {
        Self::in_room(ruleset, Room::default())
    }

    /// With so much room in each.
    pub(super) fn in_room(ruleset: &Ruleset, room: Room) -> Result<Self, TooLarge> {
        Ok(Self {
            ipv4: Trie::in_room(&ruleset.ipv4, room)?,
            ipv6: Trie::in_room(&ruleset.ipv6, room)?,
        })
    }
}

/// A trie of these prefixes would have more nodes or lines than pointers reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{prefixes} {} prefixes need more kernel memory than the trie has room for, {} MiB",
    if *ipv6 { "IPv6" } else { "IPv4" },
    Room::MEBIBYTES
)]
pub struct TooLarge {
    /// Of which family; IPv4 otherwise.
    ipv6: bool,
    /// How many there are, of all policies.
    prefixes: usize,
}

impl TooLarge {
    /// What to do about it.
    pub const MEND: &'static str = "leave the largest lists out, block wider ranges in place of them, or write `derive: none` in policies with many IPv4 destinations";

    /// How many prefixes of the family a policy has.
    pub(super) fn prefixes_of(&self, policy: Prefixes) -> usize {
        if self.ipv6 { policy.v6 } else { policy.v4 }
    }
}

/// A trie of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trie {
    /// Bits before the direct ones.
    pub skip: u32,
    /// Those bits, left aligned in 64.
    pub common: u64,
    /// The match set of addresses that begin otherwise.
    pub outside: MatchSetId,
    /// Bits that index what is first.
    pub direct: u32,
    /// What is first: [`NODES`] or [`SLOTS`].
    pub first: u32,
    /// Whether bits after the first 64 make a difference.
    pub low: bool,
    /// All nodes; those that are first before the others.
    pub nodes: Vec<Node>,
    /// All lines; the slots that are first before the others.
    pub lines: Vec<Line>,
}

impl Trie {
    /// Compiles `prefixes`, sorted by address, then length.
    ///
    /// # Errors
    ///
    /// There are more than a trie has room for: 6 million random IPv6 prefixes of 33
    /// to 64 bits are not too many, 16 million are.
    pub fn new<A: Address>(prefixes: &[Prefix<A>]) -> Result<Self, TooLarge> {
        Self::in_room(prefixes, Room::default())
    }

    fn in_room<A: Address>(prefixes: &[Prefix<A>], room: Room) -> Result<Self, TooLarge> {
        let runs = runs(prefixes);
        let (first, direct) = shape(&runs, skipped(&runs));
        Self::with(&runs, (first, direct), room).map_err(|Full| TooLarge {
            ipv6: A::BITS != 32,
            prefixes: prefixes.len(),
        })
    }

    fn with(runs: &[Run], (first, direct): (u32, u32), room: Room) -> Result<Self, Full> {
        let skip = skipped(runs);
        let base = if skip == 0 {
            0
        } else {
            runs[1].0 & !(u128::MAX >> skip)
        };
        let whole = Block {
            depth: skip,
            first: base,
            runs: within(runs, base, base | u128::MAX >> skip),
        };
        let mut builder = Builder {
            arrays: Arrays::new(room),
            outside: runs[0].1,
        };
        if first == NODES {
            builder.arrays.add_nodes(1 << direct)?;
            for (at, block) in whole.parts(direct).enumerate() {
                builder.arrays.nodes[at] = builder.node(block)?;
            }
        } else {
            builder.arrays.add_slots(1 << direct)?;
            for (at, block) in (0..).zip(whole.parts(direct)) {
                let value = builder.value(block)?;
                builder.arrays.set_slot(at, value);
            }
        }
        Ok(Self {
            skip,
            common: high_half(base),
            outside: builder.outside,
            direct,
            first,
            low: runs.iter().any(|(start, _)| low_half(*start) != 0),
            nodes: builder.arrays.nodes,
            lines: builder.arrays.lines,
        })
    }
}

/// Bits that all addresses share that are not as the first and the last.
fn skipped(runs: &[Run]) -> u32 {
    common_bits(runs, 0).unwrap_or(0).min(MOST_COMMON)
}

fn high_half(number: u128) -> u64 {
    u64::try_from(number >> 64).expect("the lower half is shifted out")
}

fn low_half(number: u128) -> u64 {
    u64::try_from(number & u128::from(u64::MAX)).expect("the higher half is cut off")
}

/// What is first, and how many bits are direct.
///
/// Nodes are four times as large as slots, but spare a step. Where one ends most
/// walks, up to 2^13 of them (128 KiB) are cheap. For a large ruleset 2^14 and
/// what their parts hold in their values stay in the caches as nothing else does;
/// where there are too many match sets for that, 2^18 (4 MiB) pay. Else there are
/// slots for four to eight times as many blocks as runs, so that few runs are left
/// for each, up to 2^16 (256 KiB): most packets are for addresses that no policy
/// names, and find that in a slot, which the caches hold.
fn shape(runs: &[Run], skip: u32) -> (u32, u32) {
    const CHEAP: u32 = 13;
    const WITH_PARTS: u32 = 14;
    const MOST: u32 = 18;
    const MOST_SLOTS: u32 = 16;
    let bits = runs.len().ilog2();
    let slots = (bits + 3).clamp(MIN_DIRECT, MOST_SLOTS);
    let told_by_node = |direct| {
        let depth = skip + direct;
        most(runs, depth, |block| is_told_by_node(block, depth))
    };
    let told_in_parts = |direct| {
        let depth = skip + direct + STRIDE;
        most(runs, depth, |block| {
            is_told_in_parts(block, depth, runs[0].1)
        })
    };
    match bits {
        0..12 if told_by_node(slots.min(CHEAP)) => (NODES, slots.min(CHEAP)),
        16.. if told_in_parts(WITH_PARTS) => (NODES, WITH_PARTS),
        16.. if told_by_node(MOST) => (NODES, MOST),
        _ => (SLOTS, slots),
    }
}

/// Most runs begin in blocks, of `depth` first bits, that are told so.
fn most(runs: &[Run], depth: u32, is_told: impl Fn(&[Run]) -> bool) -> bool {
    let block_of = |start: u128| start >> (128 - depth);
    let blocks = runs.chunk_by(|(one, _), (other, _)| block_of(*one) == block_of(*other));
    let told = blocks.filter(|block| is_told(block));
    told.map(<[Run]>::len).sum::<usize>() > runs.len() * 2 / 3
}

/// A node for the block, which begins after `depth` bits, ends most walks.
fn is_told_by_node(block: &[Run], depth: u32) -> bool {
    block.len() <= 2 || begin_with_parts(block, depth + STRIDE)
}

/// The block, which begins after `depth` bits, is a value of kind [`PARTS`].
fn is_told_in_parts(block: &[Run], depth: u32, outside: MatchSetId) -> bool {
    let mut inside = block.iter().map(|(_, match_set)| *match_set);
    let first = inside.find(|match_set| *match_set != outside);
    begin_with_parts(block, depth + PARTS_BITS)
        && first.is_none_or(fits_parts)
        && inside.all(|match_set| match_set == outside || Some(match_set) == first)
}

/// A value of kind [`PARTS`] has room for the match set.
const fn fits_parts(match_set: MatchSetId) -> bool {
    match_set < 1 << PARTS_SHIFT
}

/// No run begins within a part of that many first bits.
fn begin_with_parts(block: &[Run], depth: u32) -> bool {
    block
        .iter()
        .all(|(start, _)| start & u128::MAX >> depth == 0)
}

struct Builder {
    arrays: Arrays,
    /// As the trie has it.
    outside: MatchSetId,
}

impl Builder {
    /// What addresses of the block find.
    fn value(&mut self, block: Block<'_>) -> Result<u32, Full> {
        if let [(_, match_set)] = block.runs {
            return Ok(*match_set);
        }
        let common = common_bits(block.runs, block.depth).unwrap_or(0);
        if common > RUNS_BITS {
            let node = self.skip(block, common)?;
            return self.arrays.place_node(node);
        }
        if let Some(nodes) = pairs(block) {
            return self.arrays.place_nodes(nodes);
        }
        if let Some(places) = block.places(RUNS_BITS, RUNS_MOST) {
            return self.runs(block, &places);
        }
        if common >= SHORTEST_SKIP {
            let node = self.skip(block, common)?;
            return self.arrays.place_node(node);
        }
        self.slots(block)
    }

    /// What is first for addresses of the block.
    fn node(&mut self, block: Block<'_>) -> Result<Node, Full> {
        if let Some(node) = pair(block) {
            return Ok(node);
        }
        match common_bits(block.runs, block.depth) {
            Some(bits) if bits >= SHORTEST_SKIP => self.skip(block, bits),
            _ => self.split(block),
        }
    }

    fn skip(&mut self, block: Block<'_>, common: u32) -> Result<Node, Full> {
        let length = common.min(LONGEST_SKIP);
        let (outside, inside) = (block.runs[0].1, block.runs[1].0);
        let bits = block.part_of(inside, length);
        let value = self.value(block.part(bits.into(), length))?;
        Ok(Node {
            bits: u64::from(length) << LENGTH_SHIFT | bits,
            a: value,
            b: SKIP << NODE_KIND_SHIFT | outside,
        })
    }

    /// A node with values in slots: one for each part that is not as most are, or
    /// where these are fewer, one for each run.
    fn split(&mut self, block: Block<'_>) -> Result<Node, Full> {
        let value_of = |part| self.parts(part).map_or_else(|| self.value(part), Ok);
        let parts: Vec<u32> = block
            .parts(STRIDE)
            .map(value_of)
            .collect::<Result<_, _>>()?;
        let runs = parts.chunk_by(u32::eq);
        let mut counts = BTreeMap::new();
        for run in runs.clone() {
            *counts.entry(run[0]).or_insert(0) += run.len();
        }
        let most = counts.iter().max_by_key(|(_, count)| **count);
        let (others_have, count) = most.expect("there are parts");
        let is_own = parts.len() - count <= runs.count();
        let begins = |part: usize| part == 0 || parts[part - 1] != parts[part];
        let mut bits = 0;
        let mut values: Vec<u32> = vec![];
        for (part, value) in parts.iter().enumerate() {
            if is_own && value != others_have || !is_own && begins(part) {
                bits |= 1 << part;
                values.push(*value);
            }
        }
        Ok(Node {
            bits,
            a: self.arrays.place_values(values)?,
            b: if is_own {
                OWN << NODE_KIND_SHIFT | others_have
            } else {
                SPLIT << NODE_KIND_SHIFT
            },
        })
    }

    /// A value that tells all of the block, where its parts are outside or have
    /// one other match set.
    fn parts(&self, block: Block<'_>) -> Option<u32> {
        if block.runs.len() == 1 {
            return None;
        }
        let is_outside = |(_, match_set): &&Run| *match_set == self.outside;
        let (_, match_set) = block.runs.iter().find(|run| !is_outside(run))?;
        let is_either = |run| is_outside(&run) || run.1 == *match_set;
        let is_told = block.deepest() <= block.depth + PARTS_BITS
            && fits_parts(*match_set)
            && block.runs.iter().all(is_either);
        is_told.then(|| {
            let parts = (0..).zip(block.parts(PARTS_BITS));
            let inside = parts.filter(|(_, part)| part.runs[0].1 == *match_set);
            let bits = inside.fold(0, |bits, (part, _)| bits | 1 << part);
            pointer(PARTS, bits << PARTS_SHIFT | match_set)
        })
    }

    /// A line of runs, where at these places other values can begin.
    fn runs(&mut self, block: Block<'_>, places: &[u64]) -> Result<u32, Full> {
        let mut values: Vec<u32> = vec![];
        let mut starts = vec![];
        for place in iter::once(&0).chain(places) {
            let value = self.value(block.part((*place).into(), RUNS_BITS))?;
            if values.last() != Some(&value) {
                values.push(value);
                starts.push(*place);
            }
        }
        let mut line = Line::default();
        let starts = starts.into_iter().skip(1).chain(iter::repeat(NO_PLACE));
        for (at, start) in starts.take(RUNS_MOST).enumerate() {
            line[1 + at / 3] |= start << (at % 3 * LANE as usize);
        }
        let two = [values[0], *values.get(1).unwrap_or(&values[0])];
        let alternate = values
            .iter()
            .zip(two.iter().cycle())
            .all(|(is, it)| is == it);
        line[0] = if alternate {
            halves(two)
        } else {
            halves([self.arrays.place_values(values)?, SCATTERED])
        };
        Ok(pointer(RUNS, self.arrays.place_line(line)?))
    }

    fn slots(&mut self, block: Block<'_>) -> Result<u32, Full> {
        let places = block
            .places(WIDEST, usize::MAX)
            .expect("any number of places will do")
            .len();
        let wanted = places.ilog2() + 1;
        let width = wanted.clamp(NARROWEST, WIDEST);
        let values = block.parts(width).map(|part| self.value(part));
        let values: Vec<u32> = values.collect::<Result<_, _>>()?;
        let line = index(self.arrays.lines.len());
        self.arrays.add_slots(values.len())?;
        for (at, value) in (line * LINE_SLOTS..).zip(values) {
            self.arrays.set_slot(at, value);
        }
        Ok(pointer(SLOTS, (width - 1) << WIDTH_SHIFT | line))
    }
}

/// Four nodes, where these settle all of the block.
fn pairs(block: Block<'_>) -> Option<[Node; 4]> {
    if block.deepest() > block.depth + NODES_BITS {
        return None;
    }
    let mut nodes = [Node::default(); 4];
    for (node, block) in nodes.iter_mut().zip(block.parts(NODES_BITS - STRIDE)) {
        *node = pair(block)?;
    }
    Some(nodes)
}

/// A node, where it settles all of the block: no part has more than one match
/// set, and all parts no more than two.
fn pair(block: Block<'_>) -> Option<Node> {
    let zero = block.runs[0].1;
    let one = block.runs.get(1).map_or(zero, |(_, match_set)| *match_set);
    let is_other = |(_, match_set): &Run| ![zero, one].contains(match_set);
    if block.deepest() > block.depth + STRIDE || block.runs.iter().any(is_other) {
        return None;
    }
    let mut bits = 0;
    if one != zero {
        for (part, block) in block.parts(STRIDE).enumerate() {
            bits |= u64::from(block.runs[0].1 == one) << part;
        }
    }
    debug_assert!(one <= VALUE && zero <= VALUE, "a value fits below the kind");
    Some(Node {
        bits,
        a: one,
        b: PAIR << NODE_KIND_SHIFT | zero,
    })
}
