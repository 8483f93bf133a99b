//! The walk through a compiled trie (`monitor_common::trie`).

use core::arch::asm;

use aya_ebpf::maps::Array;
use monitor_common::{
    NO_MATCH,
    trie::{
        INDEX, KIND, KIND_SHIFT, LANE, LENGTH_SHIFT, LINE_SLOTS, Line, NODE_KIND_SHIFT, NODES,
        NODES_BITS, Node, OWN, PAIR, PARTS, PARTS_BITS, PARTS_SHIFT, POINTER, RUNS, RUNS_BITS,
        SCATTERED, SLOTS, SPLIT, STEPS_V4, STEPS_V6, STRIDE, VALUE, WIDTH_SHIFT,
    },
};

use crate::{
    maps::{
        COMMON_V4, COMMON_V6, DIRECT_V4, DIRECT_V6, FIRST_V4, FIRST_V6, LINES_V4, LINES_V6, LOW_V6,
        NODES_V4, NODES_V6, OUTSIDE_V4, OUTSIDE_V6, SKIP_V4, SKIP_V6,
    },
    verifier::masked,
};

/// The bits of an address that are not used up yet, the next ones first.
trait Key {
    /// The next `bits` bits, right aligned; 1 to 63.
    fn next(&self, bits: u32) -> u64;

    /// Uses up `bits` bits; 0 to 63.
    fn use_up(&mut self, bits: u32);
}

/// IPv4, or the first half of IPv6, with zeros behind it.
impl Key for u64 {
    #[inline(always)]
    fn next(&self, bits: u32) -> u64 {
        self >> (Self::BITS - bits)
    }

    #[inline(always)]
    fn use_up(&mut self, bits: u32) {
        *self <<= bits;
    }
}

/// IPv6, where prefixes are longer than 64 bits.
struct Halves {
    high: u64,
    low: u64,
}

impl Key for Halves {
    #[inline(always)]
    fn next(&self, bits: u32) -> u64 {
        self.high.next(bits)
    }

    #[inline(always)]
    fn use_up(&mut self, bits: u32) {
        // Two shifts, because 64 at once would be none.
        self.high = self.high << bits | self.low >> 1 >> (u64::BITS - 1 - bits);
        self.low <<= bits;
    }
}

/// Where a walk begins.
struct Root {
    skip: u32,
    common: u64,
    outside: u32,
    direct: u32,
    first: u32,
}

/// The maps of a trie.
struct Trie {
    nodes: &'static Array<Node>,
    lines: &'static Array<Line>,
}

/// Match set of an IPv4 address, in host order.
#[inline(always)]
pub(crate) fn ipv4(address: u32) -> u32 {
    let root = Root {
        skip: SKIP_V4.load(),
        common: COMMON_V4.load(),
        outside: OUTSIDE_V4.load(),
        direct: DIRECT_V4.load(),
        first: FIRST_V4.load(),
    };
    let key = u64::from(address) << u32::BITS;
    let trie = Trie {
        nodes: &NODES_V4,
        lines: &LINES_V4,
    };
    walk::<STEPS_V4>(&root, key ^ root.common, key, &trie)
}

/// Match set of an IPv6 address, given as its halves in host order. No function of
/// its own for the verifier, as `account::add_to_policies` is: where returns are
/// guessed wrong on purpose (the kernel's "Safe RET"), a call costs as much as the
/// walk.
#[inline(always)]
pub(crate) fn ipv6(high: u64, low: u64) -> u32 {
    let root = Root {
        skip: SKIP_V6.load(),
        common: COMMON_V6.load(),
        outside: OUTSIDE_V6.load(),
        direct: DIRECT_V6.load(),
        first: FIRST_V6.load(),
    };
    let trie = Trie {
        nodes: &NODES_V6,
        lines: &LINES_V6,
    };
    let differs = high ^ root.common;
    if LOW_V6.load() == 0 {
        walk::<STEPS_V6>(&root, differs, high, &trie)
    } else {
        walk::<STEPS_V6>(&root, differs, Halves { high, low }, &trie)
    }
}

/// Numbers are as wide as registers: narrower ones would be cut to size at every
/// step.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a match set has less than 30 bits"
)]
fn walk<const STEPS: usize>(root: &Root, differs: u64, mut key: impl Key, trie: &Trie) -> u32 {
    // Two shifts, because 64 at once would be none.
    if differs >> 1 >> (u64::BITS - 1 - root.skip) != 0 {
        return root.outside;
    }
    key.use_up(root.skip);
    let first = key.next(root.direct);
    key.use_up(root.direct);
    let mut value;
    if root.first == SLOTS {
        value = slot(trie.lines, first);
    } else {
        let used;
        (value, used) = node(trie, first, &key);
        key.use_up(used);
    }
    value = masked::<VALUE>(value);
    for _ in 0..STEPS {
        if value & u64::from(POINTER) == 0 {
            return value as u32;
        }
        let index = value & u64::from(INDEX);
        let used;
        (value, used) = match (value >> KIND_SHIFT) as u32 & KIND {
            PARTS => {
                let match_set = index & ((1 << PARTS_SHIFT) - 1);
                let bits = index >> PARTS_SHIFT;
                let outside = u64::from(root.outside);
                return either(bits, key.next(PARTS_BITS), match_set, outside) as u32;
            }
            RUNS => (run(trie.lines, index, key.next(RUNS_BITS)), RUNS_BITS),
            SLOTS => {
                let width = (index >> WIDTH_SHIFT) as u32 + 1;
                let first = (index & ((1 << WIDTH_SHIFT) - 1)) * u64::from(LINE_SLOTS);
                (slot(trie.lines, first + key.next(width)), width)
            }
            NODES => {
                let part = key.next(NODES_BITS);
                return match trie.nodes.get((index + (part >> STRIDE)) as u32) {
                    Some(node) => pair(node, part & ((1 << STRIDE) - 1)) as u32,
                    None => NO_MATCH,
                };
            }
            _skip => match trie.nodes.get(index as u32) {
                Some(node) => skip(node, &key),
                None => return NO_MATCH,
            },
        };
        key.use_up(used);
        value = masked::<VALUE>(value);
    }
    NO_MATCH
}

/// The value in a slot; what is above it is another's.
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

/// The value that the first node gives, and the bits that it uses up.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an index has less than 32 bits"
)]
fn node(trie: &Trie, index: u64, key: &impl Key) -> (u64, u32) {
    let Some(node) = trie.nodes.get(index as u32) else {
        return (u64::from(NO_MATCH), 0);
    };
    let Node { bits, a, b } = *node;
    match b >> NODE_KIND_SHIFT {
        PAIR => (pair(node, key.next(STRIDE)), STRIDE),
        kind @ (SPLIT | OWN) => {
            let part = key.next(STRIDE);
            if kind == OWN && bits >> part & 1 == 0 {
                return (u64::from(b), STRIDE);
            }
            let begun = (bits & u64::MAX >> (u64::from(u64::BITS) - 1 - part)).count_ones();
            (
                slot(trie.lines, u64::from(a) + u64::from(begun) - 1),
                STRIDE,
            )
        }
        _skip => skip(node, key),
    }
}

/// The value that a node of kind [`SKIP`] gives, and the bits that it uses up.
#[inline(always)]
fn skip(node: &Node, key: &impl Key) -> (u64, u32) {
    let Node { bits, a, b } = *node;
    let length = (bits >> LENGTH_SHIFT) as u32;
    let inside = key.next(length) == bits & ((1 << LENGTH_SHIFT) - 1);
    (u64::from(if inside { a } else { b }), length)
}

/// The value of a part of a node of kind [`PAIR`].
#[inline(always)]
fn pair(node: &Node, part: u64) -> u64 {
    either(node.bits, part, node.a.into(), node.b.into())
}

/// `one` where the bit of a part is 1, else `zero`.
///
/// Random destinations would make a branch on this bit a wrong guess half of the
/// time. The compiler sees through arithmetic and makes a branch of it, so a step
/// of it is hidden.
#[inline(always)]
fn either(bits: u64, part: u64, one: u64, zero: u64) -> u64 {
    let mut is_one = bits >> part & 1;
    // SAFETY: only computes: 0 stays, and 1 becomes all ones.
    unsafe {
        asm!(
            "{is_one} = -{is_one}",
            is_one = inout(reg) is_one,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    zero ^ (one ^ zero) & is_one
}

/// The value of the run that holds a place; what is above it is another's.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an index has less than 32 bits"
)]
fn run(lines: &Array<Line>, index: u64, place: u64) -> u64 {
    const LANES: u64 = 1 | 1 << LANE | 1 << (2 * LANE);
    let Some(line) = lines.get(index as u32) else {
        return u64::from(NO_MATCH);
    };
    // In each lane the bit above the place stays where the run has begun; none
    // is borrowed by the next lane.
    let ends = LANES << RUNS_BITS;
    let places = (place * LANES) | ends;
    let mut begun = 0;
    for starts in line[1..].chunks(3) {
        let mut sum = 0;
        for starts in starts {
            sum += (places - starts) & ends;
        }
        begun += sum >> RUNS_BITS;
    }
    let begun = (begun + (begun >> LANE) + (begun >> (2 * LANE))) & 31;
    let (first, second) = (line[0], line[0] >> u32::BITS);
    if second & u64::from(SCATTERED) == 0 {
        let odd = 0_u64.wrapping_sub(begun & 1);
        return first ^ ((first ^ second) & odd);
    }
    slot(lines, u64::from(first as u32) + begun)
}
