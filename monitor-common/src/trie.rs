//! The compiled trie: from a destination to the match set of the longest
//! prefix that covers it.
//!
//! A trie is an array of [`Node`]s and one of [`Line`]s. The bits of an address are
//! used up from the highest:
//!
//! 1. The first `skip` bits must be those of the trie (`common`): an address
//!    where they are others has the match set `outside`.
//! 2. The next `direct` bits are an index into the first 2^`direct` slots, which
//!    hold *values*, or nodes, which give them (`first`: [`SLOTS`] or [`NODES`]).
//! 3. A value is a match set, which is the answer, or, where [`POINTER`] is set,
//!    the place of something that uses up more bits and gives the next value:
//!
//! | kind of pointer | uses up | to what it points |
//! |---|---|---|
//! | [`NODE`] | as the node does | a node of kind [`SKIP`] |
//! | [`NODES`] | [`NODES_BITS`] | the first of four nodes of kind [`PAIR`], in one cache line, whose values are match sets |
//! | [`RUNS`] | [`RUNS_BITS`] | a line of [`RUNS_MOST`] places where runs begin |
//! | [`SLOTS`] | as many as it says, up to 16 | whole lines of slots, 16 in each |
//! | [`PARTS`] | [`PARTS_BITS`] | nothing: it holds a bit for each of 16 parts, and the match set where that is 1; where it is 0, the match set is `outside` |
//!
//! Addresses are read as if they had zeros after their last bit, so more bits
//! may be used up than are left.

/// A cache line. Slots are its halves of words, the lower half first.
pub type Line = [u64; 8];

/// Slots in a line.
pub const LINE_SLOTS: u32 = 16;

/// In a value: it is a pointer, and no match set.
pub const POINTER: u32 = 1 << 29;
/// The bits of a value, [`POINTER`] included.
pub const VALUE: u32 = (1 << 30) - 1;
/// Where the kind of a pointer begins.
pub const KIND_SHIFT: u32 = 26;
/// Kind of pointer: index of a node of kind [`SKIP`].
pub const NODE: u32 = 0;
/// Kind of pointer: index of the first of four nodes.
pub const NODES: u32 = 1;
/// Bits that four nodes use up: two tell which, the others are those of its parts.
pub const NODES_BITS: u32 = 2 + STRIDE;
/// Kind of pointer: index of a line of runs.
pub const RUNS: u32 = 2;
/// Kind of pointer: index of the first line of slots, below [`WIDTH_SHIFT`].
pub const SLOTS: u32 = 3;
/// Kind of pointer: one that has the answers in itself, from [`PARTS_SHIFT`] on a
/// bit for each part.
pub const PARTS: u32 = 4;
/// The bits of a value that are a kind of pointer, right aligned.
pub const KIND: u32 = 7;
/// The bits of a pointer that are an index.
pub const INDEX: u32 = (1 << KIND_SHIFT) - 1;
/// Where a pointer to slots says how many bits they are for, less one.
pub const WIDTH_SHIFT: u32 = 22;
/// Bits that parts use up.
pub const PARTS_BITS: u32 = 4;
/// Where the bits for the parts begin; below is the match set.
pub const PARTS_SHIFT: u32 = 10;

/// Bits that a node of kind [`PAIR`], [`SPLIT`] or [`OWN`] uses up: 64 parts.
pub const STRIDE: u32 = 6;

/// One node: 16 bytes, so that none lies across two cache lines.
///
/// | kind | `bits` | `a` | `b` |
/// |---|---|---|---|
/// | [`PAIR`] | bit `n`: which value part `n` has | value where it is 1 | value where it is 0 |
/// | [`SPLIT`] | bit `n`: part `n` begins a run; bit 0 is set | index of the slot with the first run's value, which the others follow | 0 |
/// | [`OWN`] | bit `n`: part `n` has a value of its own | index of the slot with the first of them, which the others follow | value where it is 0 |
/// | [`SKIP`] | from [`LENGTH_SHIFT`] on how many bits, 1 to 57; below, right aligned, which | value where the address has these | value where it has others |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Node {
    /// By kind.
    pub bits: u64,
    /// By kind.
    pub a: u32,
    /// By kind; the kind itself from bit [`NODE_KIND_SHIFT`] on.
    pub b: u32,
}

/// Where the kind of a node begins in its `b`.
pub const NODE_KIND_SHIFT: u32 = 30;
/// Kind of node: every part has one of two values.
pub const PAIR: u32 = 0;
/// Kind of node: runs of parts have the same value.
pub const SPLIT: u32 = 1;
/// Kind of node: all that is not the same lies in one part.
pub const SKIP: u32 = 2;
/// Kind of node: some parts have values of their own, all others the same.
pub const OWN: u32 = 3;
/// Where the number of bits of a skip begins in its `bits`.
pub const LENGTH_SHIFT: u32 = 58;

/// Bits that a line of runs uses up.
pub const RUNS_BITS: u32 = 20;
/// The most places, after the first, where a run begins in a line of runs.
///
/// Word 0 tells the values. Without [`SCATTERED`] in its upper half they
/// alternate: the lower half first. With it, the lower half is the index of a
/// slot with the first value, and the others follow. The places are in the other
/// words, three in each, [`LANE`] bits apart, the lowest first; one that is not
/// used is [`NO_PLACE`].
pub const RUNS_MOST: usize = 21;
/// In the upper half of word 0 of a line of runs: the values stand in slots.
pub const SCATTERED: u32 = 1 << 31;
/// Bits from one place to the next: one more than it has.
pub const LANE: u32 = RUNS_BITS + 1;
/// A place that no address reaches.
pub const NO_PLACE: u64 = 1 << RUNS_BITS;

/// The most values on the way of an IPv4 address: at least 8 bits are direct.
pub const STEPS_V4: usize = 5;
/// The most values on the way of an IPv6 address.
pub const STEPS_V6: usize = 21;
/// The fewest direct bits.
pub const MIN_DIRECT: u32 = 8;

// SAFETY: `repr(C)`, integers only, no implicit padding (checked in
// `tests/layout.rs`), valid for every bit pattern.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Node {}
