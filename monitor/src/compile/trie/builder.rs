//! Blocks of addresses → values, nodes and lines.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher as _, RandomState},
    iter,
};

use monitor_common::trie::{
    EXCEPTIONS, FIRST_NODES, INLINE, INLINE_BITS, INLINE_SHIFT, LANE, LENGTH_SHIFT, LINE_SLOTS,
    Line, NO_START, NODE_KIND_SHIFT, Node, PAIR, PAIRS_BITS, RUN_LINE_BITS, RUN_LINE_STARTS, RUNS,
    SKIP, STRIDE, TO_RUN_LINE, TO_SLOTS, VALUE, VALUES_IN_SLOTS, WIDTH_SHIFT,
};

use super::{
    arrays::{Arrays, Full, Room, halves, index, pointer},
    first_level::FirstLevel,
    runs::{Block, MatchSetId, Run, common_bits},
};

/// The fewest bits for which a [`SKIP`] node is made. Fewer bits fit into other nodes.
const SHORTEST_SKIP: u32 = STRIDE + 1;

/// The most bits that a [`SKIP`] node compares.
const LONGEST_SKIP: u32 = LENGTH_SHIFT - 1;

/// The fewest and the most bits that index slots behind the first level.
const NARROWEST: u32 = STRIDE;
const WIDEST: u32 = 16;

/// True if an inline pointer has enough bits for the match set.
pub(super) const fn fits_inline(match_set: MatchSetId) -> bool {
    match_set < 1 << INLINE_SHIFT
}

/// Makes the values of blocks, and stores the nodes and lines that they point to.
pub(super) struct Builder<'a> {
    arrays: Arrays,
    /// Match set of addresses outside the common prefix.
    outside: MatchSetId,
    /// The blocks with slots behind the first level, with their values, by their hash.
    with_slots: HashMap<u64, Vec<(Block<'a>, u32)>>,
    /// Seed of these hashes.
    seed: u64,
}

impl<'a> Builder<'a> {
    pub(super) fn new(room: Room, outside: MatchSetId) -> Self {
        let seed = RandomState::new().hash_one(());
        Self {
            arrays: Arrays::new(room, seed),
            outside,
            with_slots: HashMap::new(),
            seed,
        }
    }

    pub(super) fn into_arrays(self) -> Arrays {
        self.arrays
    }

    /// Makes the first level, and all that it points to.
    pub(super) fn first_level(&mut self, whole: Block<'a>, first: FirstLevel) -> Result<(), Full> {
        if first.kind == FIRST_NODES {
            self.arrays.add_nodes(1 << first.bits)?;
            for (at, block) in whole.parts(first.bits).enumerate() {
                self.arrays.nodes[at] = self.first_node(block)?;
            }
        } else {
            self.arrays.add_slots(1 << first.bits)?;
            for (at, block) in (0..).zip(whole.parts(first.bits)) {
                let value = self.value(block)?;
                self.arrays.set_slot(at, value);
            }
        }
        Ok(())
    }

    /// The value of a block behind the first level, or of a slot in it. The first case
    /// that fits is taken:
    ///
    /// 1. The block has one run: its match set.
    /// 2. More bits are shared than a run line consumes: a `SKIP` node.
    /// 3. Four `PAIR` nodes answer all look-ups.
    /// 4. The runs fit into a run line.
    /// 5. Enough bits are shared: a `SKIP` node.
    /// 6. Slots.
    fn value(&mut self, block: Block<'a>) -> Result<u32, Full> {
        if let [(_, match_set)] = block.runs {
            return Ok(*match_set);
        }
        let common = common_bits(block.runs, block.depth).unwrap_or(0);
        if common > RUN_LINE_BITS {
            let node = self.skip(block, common)?;
            return self.arrays.place_skip(node);
        }
        if let Some(nodes) = pairs(block) {
            return self.arrays.place_pairs(nodes);
        }
        if let Some(changes) = block.changes(RUN_LINE_BITS, RUN_LINE_STARTS) {
            return self.run_line(block, &changes);
        }
        if common >= SHORTEST_SKIP {
            let node = self.skip(block, common)?;
            return self.arrays.place_skip(node);
        }
        self.slots(block)
    }

    /// A node of the first level.
    fn first_node(&mut self, block: Block<'a>) -> Result<Node, Full> {
        if let Some(node) = pair(block) {
            return Ok(node);
        }
        match common_bits(block.runs, block.depth) {
            Some(bits) if bits >= SHORTEST_SKIP => self.skip(block, bits),
            _ => self.runs_or_exceptions(block),
        }
    }

    fn skip(&mut self, block: Block<'a>, common: u32) -> Result<Node, Full> {
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

    /// A node whose values are in slots: of kind [`EXCEPTIONS`], or of kind [`RUNS`] if
    /// that needs fewer slots.
    fn runs_or_exceptions(&mut self, block: Block<'a>) -> Result<Node, Full> {
        let value_of = |part| self.inline(part).map_or_else(|| self.value(part), Ok);
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
        let (shared, count) = most.expect("there are parts");
        let is_exceptions = parts.len() - count <= runs.count();
        let begins = |part: usize| part == 0 || parts[part - 1] != parts[part];
        let mut bits = 0;
        let mut values: Vec<u32> = vec![];
        for (part, value) in parts.iter().enumerate() {
            if is_exceptions && value != shared || !is_exceptions && begins(part) {
                bits |= 1 << part;
                values.push(*value);
            }
        }
        Ok(Node {
            bits,
            a: self.arrays.place_values(values)?,
            b: if is_exceptions {
                EXCEPTIONS << NODE_KIND_SHIFT | shared
            } else {
                RUNS << NODE_KIND_SHIFT
            },
        })
    }

    /// An inline pointer, if it answers all look-ups in the block: each of its 16 parts
    /// has the match set `outside` or the same other one.
    fn inline(&self, block: Block<'a>) -> Option<u32> {
        if block.runs.len() == 1 {
            return None;
        }
        let is_outside = |(_, match_set): &&Run| *match_set == self.outside;
        let (_, match_set) = block.runs.iter().find(|run| !is_outside(run))?;
        let is_either = |run| is_outside(&run) || run.1 == *match_set;
        let answers_all = block.is_divided_by(block.depth + INLINE_BITS)
            && fits_inline(*match_set)
            && block.runs.iter().all(is_either);
        answers_all.then(|| {
            let bits = u32::try_from(block.parts_with(*match_set, INLINE_BITS));
            let bits = bits.expect("there are 16 parts");
            pointer(INLINE, bits << INLINE_SHIFT | match_set)
        })
    }

    /// A run line for the block. `changes` are the parts whose value may differ from the
    /// value of the previous part.
    fn run_line(&mut self, block: Block<'a>, changes: &[u64]) -> Result<u32, Full> {
        let mut values: Vec<u32> = vec![];
        let mut starts = vec![];
        for start in iter::once(&0).chain(changes) {
            let value = self.value(block.part((*start).into(), RUN_LINE_BITS))?;
            if values.last() != Some(&value) {
                values.push(value);
                starts.push(*start);
            }
        }
        let mut line = Line::default();
        let starts = starts.into_iter().skip(1).chain(iter::repeat(NO_START));
        for (at, start) in starts.take(RUN_LINE_STARTS).enumerate() {
            line[1 + at / 3] |= start << (at % 3 * LANE as usize);
        }
        let two = [values[0], *values.get(1).unwrap_or(&values[0])];
        let alternates = values
            .iter()
            .zip(two.iter().cycle())
            .all(|(value, expected)| value == expected);
        line[0] = if alternates {
            halves(two)
        } else {
            halves([self.arrays.place_values(values)?, VALUES_IN_SLOTS])
        };
        Ok(pointer(TO_RUN_LINE, self.arrays.place_line(line)?))
    }

    /// A pointer to slots for the parts of the block. Blocks that are alike share their slots,
    /// such as those of NAT64 and of IPv4-mapped addresses.
    fn slots(&mut self, block: Block<'a>) -> Result<u32, Full> {
        let hash = block.pattern_hash(self.seed);
        let stored = self.with_slots.get(&hash).into_iter().flatten();
        for (other, value) in stored {
            if other.is_like(block) {
                return Ok(*value);
            }
        }
        let value = self.new_slots(block)?;
        let stored = self.with_slots.entry(hash).or_default();
        stored.push((block, value));
        Ok(value)
    }

    fn new_slots(&mut self, block: Block<'a>) -> Result<u32, Full> {
        let changes = block.count_changes(WIDEST);
        let width = (changes.ilog2() + 1).clamp(NARROWEST, WIDEST);
        let values = block.parts(width).map(|part| self.value(part));
        let values: Vec<u32> = values.collect::<Result<_, _>>()?;
        let line = index(self.arrays.lines.len());
        self.arrays.add_slots(values.len())?;
        for (at, value) in (line * LINE_SLOTS..).zip(values) {
            self.arrays.set_slot(at, value);
        }
        Ok(pointer(TO_SLOTS, (width - 1) << WIDTH_SHIFT | line))
    }
}

/// Four `PAIR` nodes, if they answer all look-ups in the block.
fn pairs(block: Block<'_>) -> Option<[Node; 4]> {
    if !block.is_divided_by(block.depth + PAIRS_BITS) {
        return None;
    }
    let mut nodes = [Node::default(); 4];
    for (node, block) in nodes.iter_mut().zip(block.parts(PAIRS_BITS - STRIDE)) {
        *node = pair(block)?;
    }
    Some(nodes)
}

/// A `PAIR` node, if it answers all look-ups in the block: each part has one match set,
/// and there are at most two match sets.
fn pair(block: Block<'_>) -> Option<Node> {
    let zero = block.runs[0].1;
    let one = block.runs.get(1).map_or(zero, |(_, match_set)| *match_set);
    let is_other = |(_, match_set): &Run| ![zero, one].contains(match_set);
    if !block.is_divided_by(block.depth + STRIDE) || block.runs.iter().any(is_other) {
        return None;
    }
    let bits = if one == zero {
        0
    } else {
        block.parts_with(one, STRIDE)
    };
    debug_assert!(one <= VALUE && zero <= VALUE, "a value fits below the kind");
    Some(Node {
        bits,
        a: one,
        b: PAIR << NODE_KIND_SHIFT | zero,
    })
}
