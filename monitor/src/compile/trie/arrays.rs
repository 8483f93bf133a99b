//! The arrays of a trie under construction. Equal nodes, lines and sequences of values
//! are stored once.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use monitor_common::trie::{
    KIND_SHIFT, LINE_SLOTS, Line, Node, POINTER, TO_PAIRS, TO_SKIP, WIDTH_SHIFT,
};

/// The most nodes and lines of a trie.
#[derive(Clone, Copy)]
pub(in crate::compile) struct Room {
    pub(in crate::compile) nodes: usize,
    pub(in crate::compile) lines: usize,
}

impl Room {
    /// Memory of the most lines, which is also the memory of the most nodes.
    pub(super) const MEBIBYTES: usize = (size_of::<Line>() << WIDTH_SHIFT) >> 20;
}

impl Default for Room {
    /// As many lines as a pointer to slots can address, and as many bytes of nodes.
    fn default() -> Self {
        let lines = 1 << WIDTH_SHIFT;
        let nodes = lines * (size_of::<Line>() / size_of::<Node>());
        Self { nodes, lines }
    }
}

/// Error: the trie needs more nodes or lines than its [`Room`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Nodes and lines, with an index of those that are stored already.
pub(super) struct Arrays {
    room: Room,
    pub(super) nodes: Vec<Node>,
    pub(super) lines: Vec<Line>,
    /// Index of the slot behind the last values that were stored.
    next_slot: u32,
    skip_nodes: HashMap<Node, u32, FixedState>,
    pair_nodes: HashMap<[Node; 4], u32, FixedState>,
    run_lines: HashMap<Line, u32, FixedState>,
    values: HashMap<Vec<u32>, u32, FixedState>,
}

impl Arrays {
    /// `seed` keeps an author of lists from choosing many nodes with the same hash.
    pub(super) fn new(room: Room, seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            room,
            nodes: vec![],
            lines: vec![],
            next_slot: 0,
            skip_nodes: HashMap::with_hasher(hasher.clone()),
            pair_nodes: HashMap::with_hasher(hasher.clone()),
            run_lines: HashMap::with_hasher(hasher.clone()),
            values: HashMap::with_hasher(hasher.clone()),
        }
    }

    /// Stores a `SKIP` node and returns the pointer to it.
    pub(super) fn place_skip(&mut self, node: Node) -> Result<u32, Full> {
        let next = index(self.nodes.len());
        let at = *self.skip_nodes.entry(node).or_insert(next);
        if at == next {
            self.add_nodes(1)?;
            self.nodes[next as usize] = node;
        }
        Ok(pointer(TO_SKIP, at))
    }

    /// Stores four `PAIR` nodes in one cache line and returns the pointer to them.
    pub(super) fn place_pairs(&mut self, nodes: [Node; 4]) -> Result<u32, Full> {
        let next = index(self.nodes.len().next_multiple_of(nodes.len()));
        let at = *self.pair_nodes.entry(nodes).or_insert(next);
        if at == next {
            let end = next as usize + nodes.len();
            self.add_nodes(end - self.nodes.len())?;
            self.nodes[next as usize..].copy_from_slice(&nodes);
        }
        Ok(pointer(TO_PAIRS, at))
    }

    /// Stores a run line and returns its index.
    pub(super) fn place_line(&mut self, line: Line) -> Result<u32, Full> {
        let next = index(self.lines.len());
        let at = *self.run_lines.entry(line).or_insert(next);
        if at == next {
            self.add_lines(1)?;
            self.lines[next as usize] = line;
        }
        Ok(at)
    }

    /// Stores values in consecutive slots and returns the index of the first slot. If
    /// the line with the next free slot has no room and is not the last line, the values
    /// begin in a new line.
    pub(super) fn place_values(&mut self, values: Vec<u32>) -> Result<u32, Full> {
        if let Some(at) = self.values.get(&values) {
            return Ok(*at);
        }
        let end = index(self.lines.len()) * LINE_SLOTS;
        let free = self.next_slot.next_multiple_of(LINE_SLOTS) - self.next_slot;
        let is_last = self.next_slot.next_multiple_of(LINE_SLOTS) == end;
        if values.len() > free as usize && !is_last {
            self.next_slot = end;
        }
        let first = self.next_slot;
        self.next_slot += index(values.len());
        let missing = self.next_slot.saturating_sub(end);
        self.add_slots(missing as usize)?;
        for (at, value) in (first..).zip(&values) {
            self.set_slot(at, *value);
        }
        self.values.insert(values, first);
        Ok(first)
    }

    pub(super) fn add_nodes(&mut self, count: usize) -> Result<(), Full> {
        let nodes = self.nodes.len() + count;
        if nodes > self.room.nodes {
            return Err(Full);
        }
        self.nodes.resize(nodes, Node::default());
        Ok(())
    }

    /// Adds lines for `count` slots.
    pub(super) fn add_slots(&mut self, count: usize) -> Result<(), Full> {
        self.add_lines(count.div_ceil(LINE_SLOTS as usize))
    }

    fn add_lines(&mut self, count: usize) -> Result<(), Full> {
        let lines = self.lines.len() + count;
        if lines > self.room.lines {
            return Err(Full);
        }
        self.lines.resize(lines, Line::default());
        Ok(())
    }

    /// Sets a slot. Each slot is set only once.
    pub(super) fn set_slot(&mut self, at: u32, value: u32) {
        let word = &mut self.lines[(at / LINE_SLOTS) as usize][(at / 2 % 8) as usize];
        *word |= u64::from(value) << (at % 2 * u32::BITS);
    }
}

/// A word of two halves, the lower half first.
pub(super) fn halves([low, high]: [u32; 2]) -> u64 {
    u64::from(high) << u32::BITS | u64::from(low)
}

/// A length or index as `u32`; [`Room`] is far smaller.
pub(super) fn index(count: usize) -> u32 {
    u32::try_from(count).expect("there is less room")
}

/// A value that is a pointer.
pub(super) fn pointer(kind: u32, index: u32) -> u32 {
    POINTER | kind << KIND_SHIFT | index
}
