//! The walk through a compiled trie (`monitor_common::trie`).

use aya_ebpf::maps::Array;
use monitor_common::{
    NO_MATCH,
    trie::{KIND_SHIFT, LENGTH_SHIFT, NODE, Node, PAIR, RUNS, STEPS_V4, STEPS_V6, STRIDE, VALUE},
};

use crate::maps::{
    COMMON_V4, COMMON_V6, DIRECT_V4, DIRECT_V6, NODES_V4, NODES_V6, OUTSIDE_V4, OUTSIDE_V6,
    SKIP_V4, SKIP_V6, VALUES_V4, VALUES_V6,
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
}

/// Match set of an IPv4 address, in network order.
#[inline(always)]
pub(crate) fn ipv4(address: [u8; 4]) -> u32 {
    let root = Root {
        skip: SKIP_V4.load(),
        common: COMMON_V4.load(),
        outside: OUTSIDE_V4.load(),
        direct: DIRECT_V4.load(),
    };
    let key = u64::from(u32::from_be_bytes(address)) << u32::BITS;
    walk::<STEPS_V4>(&root, key ^ root.common, key, &NODES_V4, &VALUES_V4)
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
    };
    let key = Halves { high, low };
    walk::<STEPS_V6>(&root, high ^ root.common, key, &NODES_V6, &VALUES_V6)
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most 18 bits are direct"
)]
fn walk<const STEPS: usize>(
    root: &Root,
    differs: u64,
    mut key: impl Key,
    nodes: &Array<Node>,
    values: &Array<u64>,
) -> u32 {
    // Two shifts, because 64 at once would be none.
    if differs >> 1 >> (u64::BITS - 1 - root.skip) != 0 {
        return root.outside;
    }
    key.use_up(root.skip);
    let mut index = key.next(root.direct) as u32;
    key.use_up(root.direct);
    for _ in 0..STEPS {
        let Some(node) = nodes.get(index) else {
            return NO_MATCH;
        };
        let (value, used) = step(node, &key, values);
        let value = value & VALUE;
        if value & NODE == 0 {
            return value;
        }
        index = value & !NODE;
        key.use_up(used);
    }
    NO_MATCH
}

/// The value that a node gives, and the bits that it uses up.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is cut off is zero, or the other half"
)]
fn step(node: &Node, key: &impl Key, values: &Array<u64>) -> (u32, u32) {
    let part = key.next(STRIDE) as u32;
    match node.b >> KIND_SHIFT {
        PAIR => {
            // Random destinations would make a branch on this bit a wrong guess
            // half of the time.
            let one = 0_u32.wrapping_sub((node.bits >> part) as u32 & 1);
            (node.b ^ (node.a ^ node.b) & one, STRIDE)
        }
        RUNS => {
            let begun = (node.bits & u64::MAX >> (u64::BITS - 1 - part)).count_ones();
            let at = node.a + begun - 1;
            let two = values.get(at / 2).copied().unwrap_or(0);
            ((two >> (at % 2 * u32::BITS)) as u32, STRIDE)
        }
        _skip => {
            let length = node.a >> LENGTH_SHIFT;
            let inside = key.next(length) == node.bits;
            (if inside { node.a } else { node.b }, length)
        }
    }
}
