//! The look-up in a compiled trie (`monitor_common::trie`, `docs/trie.md`).

use core::arch::asm;

use aya_ebpf::maps::Array;
use monitor_common::{
    NO_MATCH,
    trie::{
        EXCEPTIONS, FIRST_SLOTS, INDEX, INLINE, INLINE_BITS, INLINE_SHIFT, KIND, KIND_SHIFT, LANE,
        LENGTH_SHIFT, LINE_SLOTS, Line, NODE_KIND_SHIFT, Node, PAIR, PAIRS_BITS, POINTER,
        RUN_LINE_BITS, RUNS, STEPS_V4, STEPS_V6, STRIDE, TO_PAIRS, TO_RUN_LINE, TO_SLOTS, VALUE,
        VALUES_IN_SLOTS, WIDTH_SHIFT,
    },
};

use crate::{
    maps::{
        COMMON_BITS_V4, COMMON_BITS_V6, COMMON_V4, COMMON_V6, FIRST_BITS_V4, FIRST_BITS_V6,
        FIRST_KIND_V4, FIRST_KIND_V6, LINES_V4, LINES_V6, LOW_V6, NODES_V4, NODES_V6, OUTSIDE_V4,
        OUTSIDE_V6,
    },
    verifier::masked,
};

/// The bits of an address that the look-up has not consumed yet, left aligned.
trait Remaining {
    /// The next `bits` bits, right aligned. `bits` is 1 to 63.
    fn next(&self, bits: u32) -> u64;

    /// Removes the next `bits` bits. `bits` is 0 to 63.
    fn consume(&mut self, bits: u32);
}

/// The bits of an IPv4 address from bit 63 down, or the upper half of an IPv6 address.
/// Zeros move in at the end as the look-up consumes bits.
impl Remaining for u64 {
    #[inline(always)]
    fn next(&self, bits: u32) -> u64 {
        self >> (Self::BITS - bits)
    }

    #[inline(always)]
    fn consume(&mut self, bits: u32) {
        *self <<= bits;
    }
}

/// An IPv6 address, if the trie has prefixes longer than 64 bits.
struct Halves {
    high: u64,
    low: u64,
}

impl Remaining for Halves {
    #[inline(always)]
    fn next(&self, bits: u32) -> u64 {
        self.high.next(bits)
    }

    #[inline(always)]
    fn consume(&mut self, bits: u32) {
        // Two shifts, because a shift by 64 bits does not exist.
        self.high = self.high << bits | self.low >> 1 >> (u64::BITS - 1 - bits);
        self.low <<= bits;
    }
}

/// The constants of a trie.
struct Root {
    common_bits: u32,
    common: u64,
    outside: u32,
    first_bits: u32,
    first_kind: u32,
}

/// The maps of a trie.
struct Trie {
    nodes: &'static Array<Node>,
    lines: &'static Array<Line>,
}

/// Match set of an IPv4 address in host order.
#[inline(always)]
pub(crate) fn ipv4(address: u32) -> u32 {
    let root = Root {
        common_bits: COMMON_BITS_V4.load(),
        common: COMMON_V4.load(),
        outside: OUTSIDE_V4.load(),
        first_bits: FIRST_BITS_V4.load(),
        first_kind: FIRST_KIND_V4.load(),
    };
    let remaining = u64::from(address) << u32::BITS;
    let trie = Trie {
        nodes: &NODES_V4,
        lines: &LINES_V4,
    };
    look_up::<STEPS_V4>(&root, remaining ^ root.common, remaining, &trie)
}

/// Returns the number of the match set of an IPv6 address. The arguments are the two
/// halves of the address in host order.
///
/// This is not a global function for the verifier, unlike `account::add_to_policies`:
/// with the kernel's "Safe RET" every return is mispredicted, and a call costs as much
/// as the look-up.
#[inline(always)]
pub(crate) fn ipv6(high: u64, low: u64) -> u32 {
    let root = Root {
        common_bits: COMMON_BITS_V6.load(),
        common: COMMON_V6.load(),
        outside: OUTSIDE_V6.load(),
        first_bits: FIRST_BITS_V6.load(),
        first_kind: FIRST_KIND_V6.load(),
    };
    let trie = Trie {
        nodes: &NODES_V6,
        lines: &LINES_V6,
    };
    let difference = high ^ root.common;
    if LOW_V6.load() == 0 {
        look_up::<STEPS_V6>(&root, difference, high, &trie)
    } else {
        look_up::<STEPS_V6>(&root, difference, Halves { high, low }, &trie)
    }
}

/// Match set of an address. `difference` is the first half of the address XOR the
/// common prefix.
///
/// Numbers are `u64`, as wide as registers: narrower numbers would cost an instruction
/// at every step.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a match set has less than 30 bits"
)]
fn look_up<const STEPS: usize>(
    root: &Root,
    difference: u64,
    mut remaining: impl Remaining,
    trie: &Trie,
) -> u32 {
    // Two shifts, because a shift by 64 bits does not exist.
    if difference >> 1 >> (u64::BITS - 1 - root.common_bits) != 0 {
        return root.outside;
    }
    remaining.consume(root.common_bits);
    let index = remaining.next(root.first_bits);
    remaining.consume(root.first_bits);
    let mut value;
    if root.first_kind == FIRST_SLOTS {
        value = slot(trie.lines, index);
    } else {
        let consumed;
        (value, consumed) = first_node(trie, index, &remaining);
        remaining.consume(consumed);
    }
    value = masked::<VALUE>(value);
    for _ in 0..STEPS {
        if value & u64::from(POINTER) == 0 {
            return value as u32;
        }
        let index = value & u64::from(INDEX);
        let consumed;
        (value, consumed) = match (value >> KIND_SHIFT) as u32 & KIND {
            INLINE => {
                let match_set = index & ((1 << INLINE_SHIFT) - 1);
                let bits = index >> INLINE_SHIFT;
                let outside = u64::from(root.outside);
                return select(bits, remaining.next(INLINE_BITS), match_set, outside) as u32;
            }
            TO_RUN_LINE => {
                let offset = remaining.next(RUN_LINE_BITS);
                (run_line(trie.lines, index, offset), RUN_LINE_BITS)
            }
            TO_SLOTS => {
                let width = (index >> WIDTH_SHIFT) as u32 + 1;
                let first = (index & ((1 << WIDTH_SHIFT) - 1)) * u64::from(LINE_SLOTS);
                (slot(trie.lines, first + remaining.next(width)), width)
            }
            TO_PAIRS => {
                return pairs(trie, index, remaining.next(PAIRS_BITS)) as u32;
            }
            _to_skip => match trie.nodes.get(index as u32) {
                Some(node) => skip(node, &remaining),
                None => return NO_MATCH,
            },
        };
        remaining.consume(consumed);
        value = masked::<VALUE>(value);
    }
    NO_MATCH
}

/// The value in a slot. Bits above the value may belong to the next slot.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an index has less than 32 bits"
)]
fn slot(lines: &Array<Line>, index: u64) -> u64 {
    let Some(line) = lines.get((index / u64::from(LINE_SLOTS)) as u32) else {
        return u64::from(NO_MATCH);
    };
    let two = line[(index / 2 % 8) as usize];
    two >> (index % 2 * u64::from(u32::BITS))
}

/// The value of a node of the first level, and the number of bits to consume.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an index has less than 32 bits"
)]
fn first_node(trie: &Trie, index: u64, remaining: &impl Remaining) -> (u64, u32) {
    let Some(node) = trie.nodes.get(index as u32) else {
        return (u64::from(NO_MATCH), 0);
    };
    let Node { bits, a, b } = *node;
    match b >> NODE_KIND_SHIFT {
        PAIR => (pair(node, remaining.next(STRIDE)), STRIDE),
        kind @ (RUNS | EXCEPTIONS) => {
            let part = remaining.next(STRIDE);
            if kind == EXCEPTIONS && bits >> part & 1 == 0 {
                return (u64::from(b), STRIDE);
            }
            let begun = (bits & u64::MAX >> (u64::from(u64::BITS) - 1 - part)).count_ones();
            (
                slot(trie.lines, u64::from(a) + u64::from(begun) - 1),
                STRIDE,
            )
        }
        _skip => skip(node, remaining),
    }
}

/// The value of a node of kind [`SKIP`](monitor_common::trie::SKIP), and the number of
/// bits to consume.
#[inline(always)]
fn skip(node: &Node, remaining: &impl Remaining) -> (u64, u32) {
    let Node { bits, a, b } = *node;
    let length = (bits >> LENGTH_SHIFT) as u32;
    let is_inside = remaining.next(length) == bits & ((1 << LENGTH_SHIFT) - 1);
    (u64::from(if is_inside { a } else { b }), length)
}

/// The value of a part of four nodes of kind [`PAIR`], of which `first` is the first.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an index has less than 32 bits"
)]
fn pairs(trie: &Trie, first: u64, part: u64) -> u64 {
    match trie.nodes.get((first + (part >> STRIDE)) as u32) {
        Some(node) => pair(node, part & ((1 << STRIDE) - 1)),
        None => NO_MATCH.into(),
    }
}

/// The value of a part of a node of kind [`PAIR`].
#[inline(always)]
fn pair(node: &Node, part: u64) -> u64 {
    select(node.bits, part, node.a.into(), node.b.into())
}

/// `one` if bit `part` of `bits` is 1, else `zero`.
///
/// A branch on this bit would be mispredicted half of the time for random
/// destinations. The compiler turns plain arithmetic into a branch, so one
/// instruction is hidden from the compiler.
#[inline(always)]
fn select(bits: u64, part: u64, one: u64, zero: u64) -> u64 {
    let mut is_one = bits >> part & 1;
    // SAFETY: the instruction computes only: 0 stays 0, and 1 becomes all ones.
    unsafe {
        asm!(
            "{is_one} = -{is_one}",
            is_one = inout(reg) is_one,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    zero ^ (one ^ zero) & is_one
}

/// The value of the run that holds `offset` in a run line. Bits above the value may
/// belong to the next slot.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an index has less than 32 bits"
)]
fn run_line(lines: &Array<Line>, index: u64, offset: u64) -> u64 {
    const LANES: u64 = 1 | 1 << LANE | 1 << (2 * LANE);
    let Some(line) = lines.get(index as u32) else {
        return u64::from(NO_MATCH);
    };
    // Three comparisons with one subtraction. Each lane holds 2^20 + offset, minus a
    // start. Bit 20 of the lane stays 1 exactly if the offset is not below the start,
    // and no lane borrows from the next lane.
    let top_bits = LANES << RUN_LINE_BITS;
    let offsets = (offset * LANES) | top_bits;
    let mut begun = 0;
    for starts in line[1..].chunks(3) {
        let mut sum = 0;
        for starts in starts {
            sum += (offsets - starts) & top_bits;
        }
        begun += sum >> RUN_LINE_BITS;
    }
    let begun = (begun + (begun >> LANE) + (begun >> (2 * LANE))) & 31;
    let (first, second) = (line[0], line[0] >> u32::BITS);
    if second & u64::from(VALUES_IN_SLOTS) == 0 {
        let odd = 0_u64.wrapping_sub(begun & 1);
        return first ^ ((first ^ second) & odd);
    }
    slot(lines, u64::from(first as u32) + begun)
}
