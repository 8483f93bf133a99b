//! The compiled trie: from a destination address to the match set of the longest
//! prefix that covers it. `docs/trie.md` draws a look-up and works through an
//! example.
//!
//! A trie is an array of [`Node`]s and an array of [`Line`]s. A look-up consumes the
//! bits of an address from the highest bit on:
//!
//! 1. *Common prefix.* The first `common_bits` bits are compared with the bits
//!    `common`. If they differ, the answer is the match set `outside`.
//! 2. *First level.* The next `first_bits` bits are an index into the first
//!    2^`first_bits` slots ([`FIRST_SLOTS`]) or nodes ([`FIRST_NODES`]). The slot or
//!    node gives a *value*.
//! 3. *Further levels.* A value without the bit [`POINTER`] is a match set, which is
//!    the answer. A value with that bit is a pointer. It tells how many bits are
//!    consumed next, and where the next value is:
//!
//! | kind of pointer | bits consumed | where the next value is |
//! |---|---|---|
//! | [`TO_SKIP`] | 1 to 57, as the node says | in a node of kind [`SKIP`] |
//! | [`TO_PAIRS`] | [`PAIRS_BITS`] | in one of four nodes of kind [`PAIR`] in one cache line; their values are match sets |
//! | [`TO_RUN_LINE`] | [`RUN_LINE_BITS`] | in a run line: one line with up to [`RUN_LINE_STARTS`] starts of runs |
//! | [`TO_SLOTS`] | 1 to 16, as the pointer says | in a slot; the slots fill whole lines |
//! | [`INLINE`] | [`INLINE_BITS`] | in the pointer: a bit for each of 16 parts, and the match set of parts whose bit is 1; parts whose bit is 0 have `outside` |
//!
//! Zeros follow the last bit of an address, so a look-up may consume more bits than
//! the address has.

/// A cache line of 64 bytes: 16 slots of 32 bits. The lower half of a word is the
/// slot with the even index.
pub type Line = [u64; 8];

/// Slots in a line.
pub const LINE_SLOTS: u32 = 16;

/// The first level consists of nodes.
pub const FIRST_NODES: u32 = 1;
/// The first level consists of slots.
pub const FIRST_SLOTS: u32 = 3;
/// The fewest bits that index the first level.
pub const MIN_FIRST_BITS: u32 = 8;

/// Bit 29 of a value: the value is a pointer, not a match set.
pub const POINTER: u32 = 1 << 29;
/// All 30 bits of a value, [`POINTER`] included.
pub const VALUE: u32 = (1 << 30) - 1;
/// The lowest bit of a pointer's kind.
pub const KIND_SHIFT: u32 = 26;
/// Mask of the kind of a pointer (three bits), after the pointer was shifted right so
/// that the kind is in its lowest bits.
pub const KIND: u32 = 7;
/// The bits of a pointer below its kind: its index.
pub const INDEX: u32 = (1 << KIND_SHIFT) - 1;

/// Kind of pointer: its index is that of a node of kind [`SKIP`].
pub const TO_SKIP: u32 = 0;
/// Kind of pointer: its index is that of the first of four nodes of kind [`PAIR`].
pub const TO_PAIRS: u32 = 1;
/// Kind of pointer: its index is that of a run line.
pub const TO_RUN_LINE: u32 = 2;
/// Kind of pointer: the bits below [`WIDTH_SHIFT`] are the index of the first line
/// of slots.
pub const TO_SLOTS: u32 = 3;
/// Kind of pointer: holds the answers for 16 parts in place of an index.
pub const INLINE: u32 = 4;

/// Bits that select one of four nodes, and a part of that node.
pub const PAIRS_BITS: u32 = 2 + STRIDE;
/// The lowest of the four bits of a [`TO_SLOTS`] pointer that hold the number of
/// bits to consume, less one.
pub const WIDTH_SHIFT: u32 = 22;
/// Bits that select a part of an [`INLINE`] pointer.
pub const INLINE_BITS: u32 = 4;
/// Position of the lowest of 16 bits in an [`INLINE`] pointer, one for each part of the
/// pointer's block. The 10 bits below hold the match set.
pub const INLINE_SHIFT: u32 = 10;

/// Bits that a node of kind [`PAIR`], [`RUNS`] or [`EXCEPTIONS`] consumes. They
/// select one of 64 parts.
pub const STRIDE: u32 = 6;

/// A node of 16 bytes, so that no node crosses a cache line.
///
/// | kind | `bits` | `a` | `b` |
/// |---|---|---|---|
/// | [`PAIR`] | bit `n`: selects the value of part `n` | value of parts whose bit is 1 | value of parts whose bit is 0 |
/// | [`RUNS`] | bit `n`: a run begins with part `n`; bit 0 is set | index of the slot with the value of the first run; the values of the other runs follow | 0 |
/// | [`EXCEPTIONS`] | bit `n`: part `n` has a value of its own | index of the slot with the first such value; the others follow | value of parts whose bit is 0 |
/// | [`SKIP`] | from [`LENGTH_SHIFT`] on: number of bits, 1 to 57; below, right aligned: the expected bits | value of addresses with the expected bits | value of all other addresses |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Node {
    /// By kind, see the table.
    pub bits: u64,
    /// By kind, see the table.
    pub a: u32,
    /// By kind, see the table. Bits 30 and 31 are the kind of the node.
    pub b: u32,
}

/// The lowest bit of a node's kind in [`Node::b`].
pub const NODE_KIND_SHIFT: u32 = 30;
/// Kind of node: every part has one of two values.
pub const PAIR: u32 = 0;
/// Kind of node: a value for each run of adjacent parts.
pub const RUNS: u32 = 1;
/// Kind of node: compares bits that all interesting addresses of the block share.
pub const SKIP: u32 = 2;
/// Kind of node: some parts have values of their own, all others share one value.
pub const EXCEPTIONS: u32 = 3;
/// The lowest of the six bits of [`Node::bits`] that hold the length of a [`SKIP`].
pub const LENGTH_SHIFT: u32 = 58;

/// Bits that a run line consumes. They are compared with the starts of its runs.
pub const RUN_LINE_BITS: u32 = 20;
/// The most starts in a run line. The first run begins at 0 and needs no start.
///
/// Words 1 to 7 of the line hold three starts each, in ascending order, [`LANE`] bits
/// apart, the lowest start in the lowest bits. Unused starts are [`NO_START`].
///
/// Word 0 holds the values. If [`VALUES_IN_SLOTS`] is not set in its upper half, the
/// runs have two values in turns: the lower half, the upper half, the lower half, and
/// so on. If it is set, the lower half is the index of the slot with the value of the
/// first run, and the values of the other runs follow.
pub const RUN_LINE_STARTS: usize = 21;
/// In the upper half of word 0 of a run line: the values are in slots.
pub const VALUES_IN_SLOTS: u32 = 1 << 31;
/// Bits from one start to the next: the bits of a start, and one for the comparison.
pub const LANE: u32 = RUN_LINE_BITS + 1;
/// A start that is greater than any 20 bits of an address.
pub const NO_START: u64 = 1 << RUN_LINE_BITS;

/// The most values that a look-up of an IPv4 address reads.
pub const STEPS_V4: usize = 5;
/// The most values that a look-up of an IPv6 address reads.
pub const STEPS_V6: usize = 21;

// SAFETY: `repr(C)`, integers only, no implicit padding (checked in
// `tests/layout.rs`), valid for every bit pattern.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Node {}
