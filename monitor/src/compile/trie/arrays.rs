//! The arrays of a trie while it is made; what is equal is in them once.

use std::collections::HashMap;

use monitor_common::trie::{KIND_SHIFT, LINE_SLOTS, Line, NODE, NODES, Node, POINTER, WIDTH_SHIFT};

/// How many of each there may be.
#[derive(Clone, Copy)]
pub(in crate::compile) struct Room {
    pub(in crate::compile) nodes: usize,
    pub(in crate::compile) lines: usize,
}

impl Room {
    /// Of nodes or of lines.
    pub(super) const MEBIBYTES: usize = (size_of::<Line>() << WIDTH_SHIFT) >> 20;
}

impl Default for Room {
    /// As many lines as a pointer to slots reaches, and as many bytes of nodes.
    fn default() -> Self {
        let lines = 1 << WIDTH_SHIFT;
        let nodes = lines * (size_of::<Line>() / size_of::<Node>());
        Self { nodes, lines }
    }
}

/// There is no more room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Nodes and lines, and where each is.
pub(super) struct Arrays {
    room: Room,
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
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            nodes: vec![],
            lines: vec![],
            open_slot: 0,
            known_nodes: HashMap::new(),
            known_fours: HashMap::new(),
            known_lines: HashMap::new(),
            known_values: HashMap::new(),
        }
    }

    pub(super) fn place_node(&mut self, node: Node) -> Result<u32, Full> {
        let next = index(self.nodes.len());
        let found = *self.known_nodes.entry(node).or_insert(next);
        if found == next {
            self.add_nodes(1)?;
            self.nodes[next as usize] = node;
        }
        Ok(pointer(NODE, found))
    }

    pub(super) fn place_nodes(&mut self, nodes: [Node; 4]) -> Result<u32, Full> {
        let next = index(self.nodes.len().next_multiple_of(nodes.len()));
        let found = *self.known_fours.entry(nodes).or_insert(next);
        if found == next {
            let end = next as usize + nodes.len();
            self.add_nodes(end - self.nodes.len())?;
            self.nodes[next as usize..].copy_from_slice(&nodes);
        }
        Ok(pointer(NODES, found))
    }

    /// Where this line is.
    pub(super) fn place_line(&mut self, line: Line) -> Result<u32, Full> {
        let next = index(self.lines.len());
        let found = *self.known_lines.entry(line).or_insert(next);
        if found == next {
            self.add_lines(1)?;
            self.lines[next as usize] = line;
        }
        Ok(found)
    }

    /// The first of the slots where these values stand one after the other.
    pub(super) fn place_values(&mut self, values: Vec<u32>) -> Result<u32, Full> {
        if let Some(known) = self.known_values.get(&values) {
            return Ok(*known);
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
        self.add_slots(missing as usize)?;
        for (at, value) in (first..).zip(&values) {
            self.set_slot(at, *value);
        }
        self.known_values.insert(values, first);
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

    /// Lines for so many.
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
    u32::try_from(count).expect("there is less room")
}

pub(super) fn pointer(kind: u32, index: u32) -> u32 {
    POINTER | kind << KIND_SHIFT | index
}
