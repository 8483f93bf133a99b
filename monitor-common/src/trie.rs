//! The compiled trie: from a destination to the match set of the longest
//! prefix that covers it.
//!
//! A trie is an array of [`Node`]s and an array of values, two in each `u64`.
//! The bits of an address are used up from the highest:
//!
//! 1. The first `skip` bits must be those of the trie (`common`): an address
//!    where they are others has the match set `outside`.
//! 2. The next `direct` bits are an index into the first 2^`direct` nodes.
//! 3. A node uses up some more bits, and gives a *value*: a match set, which is
//!    the answer, or, where [`NODE`] is set, the index of the next node.
//!
//! Addresses are read as if they had zeros after their last bit, so a node may
//! use up more bits than are left.

/// Bits that a node of kind [`PAIR`] or [`RUNS`] uses up: 64 parts.
pub const STRIDE: u32 = 6;

/// One node: 16 bytes, so that none lies across two cache lines.
///
/// | kind | `bits` | `a` | `b` |
/// |---|---|---|---|
/// | [`PAIR`] | bit `n`: which value part `n` has | value where it is 1 | value where it is 0 |
/// | [`RUNS`] | bit `n`: part `n` begins a run; bit 0 is set | index of the first run's value | 0 |
/// | [`SKIP`] | the next bits, right aligned | how many they are (7 to 63), and the value where they are these | value where they are others |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Node {
    /// By kind.
    pub bits: u64,
    /// By kind.
    pub a: u32,
    /// By kind; the kind itself from bit [`KIND_SHIFT`] on.
    pub b: u32,
}

/// Where the kind of a node begins in its `b`.
pub const KIND_SHIFT: u32 = 30;
/// Kind: every part has one of two values.
pub const PAIR: u32 = 0;
/// Kind: runs of parts have the same value.
pub const RUNS: u32 = 1;
/// Kind: all that is not the same in this block lies in one part of it.
pub const SKIP: u32 = 2;

/// In a value: it is the index of a node, and no match set.
pub const NODE: u32 = 1 << 25;
/// The bits of a value, [`NODE`] included.
pub const VALUE: u32 = (1 << 26) - 1;
/// Where the number of bits of a [`SKIP`] begins in its `a`.
pub const LENGTH_SHIFT: u32 = 26;

/// The most nodes on the way of an IPv4 address: at least 8 bits are direct.
pub const STEPS_V4: usize = 5;
/// The most nodes on the way of an IPv6 address.
pub const STEPS_V6: usize = 21;
/// The fewest direct bits.
pub const MIN_DIRECT: u32 = 8;

// SAFETY: `repr(C)`, integers only, no implicit padding (checked in
// `tests/layout.rs`), valid for every bit pattern.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Node {}
