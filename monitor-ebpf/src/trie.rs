//! The walk through a compiled trie (`monitor_common::trie`).

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
        COMMON_V4, COMMON_V6, DIRECT_V4, DIRECT_V6, FIRST_V4, FIRST_V6, LINES_V4, LINES_V6,
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

/// IPv4, with zeros behind it.
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

/// IPv6.
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

/// Match set of an IPv6 address, given as its halves in host order. A function
/// of its own for the verifier, like `account::add_to_policies`.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn trie_ipv6(high: u64, low: u64) -> u32 {
    let root = Root {
        skip: SKIP_V6.load(),
        common: COMMON_V6.load(),
        outside: OUTSIDE_V6.load(),
        direct: DIRECT_V6.load(),
        first: FIRST_V6.load(),
    };
    let key = Halves { high, low };
    let trie = Trie {
        nodes: &NODES_V6,
        lines: &LINES_V6,
    };
    walk::<STEPS_V6>(&root, high ^ root.common, key, &trie)
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most 18 bits are asked for"
)]
fn walk<const STEPS: usize>(root: &Root, differs: u64, mut key: impl Key, trie: &Trie) -> u32 {
    // Two shifts, because 64 at once would be none.
    if differs >> 1 >> (u64::BITS - 1 - root.skip) != 0 {
        return root.outside;
    }
    key.use_up(root.skip);
    let first = key.next(root.direct) as u32;
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
        if value & POINTER == 0 {
            return value;
        }
        let index = value & INDEX;
        let used;
        (value, used) = match value >> KIND_SHIFT & KIND {
            PARTS => {
                let match_set = index & ((1 << PARTS_SHIFT) - 1);
                let bits = u64::from(index >> PARTS_SHIFT);
                return either(bits, key.next(PARTS_BITS), match_set, root.outside);
            }
            RUNS => (run(trie.lines, index, key.next(RUNS_BITS)), RUNS_BITS),
            SLOTS => {
                let width = (index >> WIDTH_SHIFT) + 1;
                let first = (index & ((1 << WIDTH_SHIFT) - 1)) * LINE_SLOTS;
                (slot(trie.lines, first + key.next(width) as u32), width)
            }
            NODES => {
                let part = key.next(NODES_BITS);
                return match trie.nodes.get(index + (part >> STRIDE) as u32) {
                    Some(node) => pair(node, part & ((1 << STRIDE) - 1)),
                    None => NO_MATCH,
                };
            }
            _skip => match trie.nodes.get(index) {
                Some(node) => skip(node, &key),
                None => return NO_MATCH,
            },
        };
        key.use_up(used);
        value = masked::<VALUE>(value);
    }
    NO_MATCH
}

/// The value in a slot.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "one half is asked for")]
fn slot(lines: &Array<Line>, index: u32) -> u32 {
    let Some(line) = lines.get(index / LINE_SLOTS) else {
        return NO_MATCH;
    };
    let two = line[(index / 2 % 8) as usize];
    (two >> (index % 2 * u32::BITS)) as u32
}

/// The value that the first node gives, and the bits that it uses up.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "one half is asked for")]
fn node(trie: &Trie, index: u32, key: &impl Key) -> (u32, u32) {
    let Some(node) = trie.nodes.get(index) else {
        return (NO_MATCH, 0);
    };
    let Node { bits, a, b } = *node;
    match b >> NODE_KIND_SHIFT {
        PAIR => (pair(node, key.next(STRIDE)), STRIDE),
        kind @ (SPLIT | OWN) => {
            let part = key.next(STRIDE) as u32;
            if kind == OWN && bits >> part & 1 == 0 {
                return (b, STRIDE);
            }
            let begun = (bits & u64::MAX >> (u64::BITS - 1 - part)).count_ones();
            (slot(trie.lines, a + begun - 1), STRIDE)
        }
        _skip => skip(node, key),
    }
}

/// The value that a node of kind [`SKIP`] gives, and the bits that it uses up.
#[inline(always)]
fn skip(node: &Node, key: &impl Key) -> (u32, u32) {
    let Node { bits, a, b } = *node;
    let length = (bits >> LENGTH_SHIFT) as u32;
    let inside = key.next(length) == bits & ((1 << LENGTH_SHIFT) - 1);
    (if inside { a } else { b }, length)
}

/// The value of a part of a node of kind [`PAIR`].
#[inline(always)]
fn pair(node: &Node, part: u64) -> u32 {
    either(node.bits, part, node.a, node.b)
}

/// `one` where the bit of a part is 1, else `zero`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "one bit is asked for")]
fn either(bits: u64, part: u64, one: u32, zero: u32) -> u32 {
    // Random destinations would make a branch on this bit a wrong guess half of
    // the time.
    let is_one = 0_u32.wrapping_sub((bits >> part) as u32 & 1);
    zero ^ (one ^ zero) & is_one
}

/// The value of the run that holds a place.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "one half is asked for, or a number up to 21"
)]
fn run(lines: &Array<Line>, index: u32, place: u64) -> u32 {
    const LANES: u64 = 1 | 1 << LANE | 1 << (2 * LANE);
    let Some(line) = lines.get(index) else {
        return NO_MATCH;
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
    let begun = (begun + (begun >> LANE) + (begun >> (2 * LANE))) as u32 & 31;
    let (first, second) = (line[0] as u32, (line[0] >> u32::BITS) as u32);
    if second & SCATTERED == 0 {
        let odd = 0_u32.wrapping_sub(begun & 1);
        return first ^ ((first ^ second) & odd);
    }
    slot(lines, first + begun)
}
