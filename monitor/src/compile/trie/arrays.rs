//! The arrays of a trie while it is made; what is equal is in them once.

use std::collections::HashMap;

use monitor_common::trie::{INDEX, KIND_SHIFT, LINE_SLOTS, Line, NODE, NODES, Node, POINTER};

/// Nodes and lines, and where each is.
#[derive(Default)]
pub(super) struct Arrays {
    pub(super) nodes: Vec<Node>,
    pub(super) lines: Vec<Line>,
    /// The slot after the values that were placed last.
    open_slot: u32,
    known_nodes: HashMap<Node, u32>,
    known_fours: HashMap<[Node; 4], u32>,
    known_lines: HashMap<Line, u32>,
    known_values: HashMap<Vec<u32>, u32>,
}

impl Arrays {
    pub(super) fn place_node(&mut self, node: Node) -> u32 {
        let next = index(self.nodes.len());
        let found = *self.known_nodes.entry(node).or_insert(next);
        if found == next {
            self.nodes.push(node);
        }
        pointer(NODE, found)
    }

    pub(super) fn place_nodes(&mut self, nodes: [Node; 4]) -> u32 {
        let next = index(self.nodes.len().next_multiple_of(nodes.len()));
        let found = *self.known_fours.entry(nodes).or_insert(next);
        if found == next {
            self.nodes.resize(next as usize, Node::default());
            self.nodes.extend(nodes);
        }
        pointer(NODES, found)
    }

    /// Where this line is.
    pub(super) fn place_line(&mut self, line: Line) -> u32 {
        let next = index(self.lines.len());
        let found = *self.known_lines.entry(line).or_insert(next);
        if found == next {
            self.lines.push(line);
        }
        found
    }

    /// The first of the slots where these values stand one after the other.
    pub(super) fn place_values(&mut self, values: Vec<u32>) -> u32 {
        if let Some(known) = self.known_values.get(&values) {
            return *known;
        }
        let end = index(self.lines.len()) * LINE_SLOTS;
        let room = self.open_slot.next_multiple_of(LINE_SLOTS) - self.open_slot;
        let is_last = self.open_slot.next_multiple_of(LINE_SLOTS) == end;
        if values.len() > room as usize && !is_last {
            self.open_slot = end;
        }
        let first = self.open_slot;
        self.open_slot += index(values.len());
        let missing = self.open_slot.saturating_sub(end);
        self.add_slots(missing as usize);
        for (at, value) in (first..).zip(&values) {
            self.set_slot(at, *value);
        }
        self.known_values.insert(values, first);
        first
    }

    /// Lines for so many.
    pub(super) fn add_slots(&mut self, count: usize) {
        let lines = self.lines.len() + count.div_ceil(LINE_SLOTS as usize);
        self.lines.resize(lines, Line::default());
    }

    /// Of a slot that was not yet set.
    pub(super) fn set_slot(&mut self, at: u32, value: u32) {
        let word = &mut self.lines[(at / LINE_SLOTS) as usize][(at / 2 % 8) as usize];
        *word |= u64::from(value) << (at % 2 * u32::BITS);
    }
}

/// The lower one first.
pub(super) fn halves([low, high]: [u32; 2]) -> u64 {
    u64::from(high) << u32::BITS | u64::from(low)
}

pub(super) fn index(count: usize) -> u32 {
    u32::try_from(count).expect("the compiler limits the ruleset")
}

pub(super) fn pointer(kind: u32, index: u32) -> u32 {
    assert!(index <= INDEX, "the compiler limits the ruleset");
    POINTER | kind << KIND_SHIFT | index
}
