//! Prefixes → the trie that the kernel walks, as `monitor_common::trie` has it.
//!
//! A block of addresses becomes a node by what its parts have; equal nodes are
//! one node.

use std::collections::HashMap;

use monitor_common::trie::{
    KIND_SHIFT, LENGTH_SHIFT, MIN_DIRECT, NODE, Node, PAIR, RUNS, SKIP, STRIDE, VALUE,
};

use super::{
    MatchSetId, Prefix,
    runs::{Block, Run, common_bits, runs, within},
};
use crate::address::Address;

/// The fewest bits that are skipped at once: fewer than a node uses up are no gain.
const SHORTEST_SKIP: u32 = STRIDE + 1;

/// The most bits that are skipped at once.
const LONGEST_SKIP: u32 = 63;

/// A trie of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trie {
    /// Bits before the direct ones.
    pub skip: u32,
    /// Those bits, left aligned in 64.
    pub common: u64,
    /// The match set of addresses that begin otherwise.
    pub outside: MatchSetId,
    /// Bits that index the first nodes.
    pub direct: u32,
    /// All nodes, the direct ones first.
    pub nodes: Vec<Node>,
    /// The values of runs, two in each element, the lower half first.
    pub values: Vec<u64>,
}

impl Trie {
    /// Compiles `prefixes`, sorted by address, then length.
    #[must_use]
    pub fn new<A: Address>(prefixes: &[Prefix<A>]) -> Self {
        let runs = runs(prefixes);
        let direct = direct_bits(&runs, skipped(&runs));
        Self::with_direct(&runs, direct)
    }

    fn with_direct(runs: &[Run], direct: u32) -> Self {
        let skip = skipped(runs);
        let base = if skip == 0 {
            0
        } else {
            runs[1].0 & !(u128::MAX >> skip)
        };
        let mut builder = Builder::new(direct);
        let whole = Block {
            depth: skip,
            first: base,
            runs: within(runs, base, base | u128::MAX >> skip),
        };
        for (slot, block) in whole.parts(direct).enumerate() {
            builder.nodes[slot] = builder.node(block);
        }
        Self {
            skip,
            common: high_half(base),
            outside: runs[0].1,
            direct,
            nodes: builder.nodes,
            values: packed(&builder.values),
        }
    }
}

/// Bits that all addresses share that are not as the first and the last.
fn skipped(runs: &[Run]) -> u32 {
    common_bits(runs, 0).unwrap_or(0).min(LONGEST_SKIP)
}

fn high_half(number: u128) -> u64 {
    u64::try_from(number >> 64).expect("the lower half is shifted out")
}

/// Wide enough that few addresses need many nodes, and no wider: most packets
/// are for addresses that no policy names, anywhere in these nodes, and the
/// caches must hold them. Up to 2^13 are 128 KiB, and cheap. More than 2^16, or
/// 1 MiB, pay only where with 2^18 the first node ends most walks.
fn direct_bits(runs: &[Run], skip: u32) -> u32 {
    const CHEAP: u32 = 13;
    const WIDE: u32 = 16;
    const WIDEST: u32 = 18;
    let bits = runs.len().ilog2();
    let bits = (bits + 1).max((bits + 3).min(CHEAP)).max(MIN_DIRECT);
    if bits <= WIDE {
        return bits;
    }
    let below_first_node = u128::MAX >> (skip + WIDEST + STRIDE);
    let is_deep = |(start, _): &&Run| start & below_first_node != 0;
    let deep = runs.iter().filter(is_deep).count();
    if deep > runs.len() / 2 { WIDE } else { WIDEST }
}

fn packed(values: &[u32]) -> Vec<u64> {
    let pairs = values.chunks(2);
    pairs
        .map(|pair| u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(0)) << 32)
        .collect()
}

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    values: Vec<u32>,
    known_nodes: HashMap<Node, u32>,
    known_values: HashMap<Vec<u32>, u32>,
}

impl Builder {
    fn new(direct: u32) -> Self {
        Self {
            nodes: vec![Node::default(); 1 << direct],
            ..Self::default()
        }
    }

    /// A match set where all of the block has one, else the index of a node.
    fn value(&mut self, block: Block<'_>) -> u32 {
        if let [(_, match_set)] = block.runs {
            return *match_set;
        }
        let node = self.node(block);
        let next = u32::try_from(self.nodes.len()).expect("fewer nodes than addresses");
        let index = *self.known_nodes.entry(node).or_insert(next);
        if index == next {
            self.nodes.push(node);
        }
        assert!(index < NODE, "the compiler limits the ruleset");
        NODE | index
    }

    fn node(&mut self, block: Block<'_>) -> Node {
        if let [(_, match_set)] = block.runs {
            return pair(0, *match_set, *match_set);
        }
        match common_bits(block.runs, block.depth) {
            Some(bits) if bits >= SHORTEST_SKIP => self.skip(block, bits.min(LONGEST_SKIP)),
            _ => self.split(block),
        }
    }

    fn skip(&mut self, block: Block<'_>, length: u32) -> Node {
        let (outside, inside) = (block.runs[0].1, block.runs[1].0);
        let bits = (inside << block.depth) >> (128 - length);
        let value = self.value(block.part(bits, length));
        Node {
            bits: u64::try_from(bits).expect("at most 63 bits"),
            a: length << LENGTH_SHIFT | value,
            b: SKIP << KIND_SHIFT | outside,
        }
    }

    fn split(&mut self, block: Block<'_>) -> Node {
        let mut starts = 0;
        let mut run_values: Vec<u32> = Vec::new();
        let mut ones = 0;
        for (part, block) in block.parts(STRIDE).enumerate() {
            let value = self.value(block);
            if run_values.last() != Some(&value) {
                starts |= 1 << part;
                run_values.push(value);
            }
            ones |= u64::from(value != run_values[0]) << part;
        }
        let mut others = run_values.iter().filter(|value| **value != run_values[0]);
        let other = *others.next().unwrap_or(&run_values[0]);
        if others.all(|value| *value == other) {
            return pair(ones, other, run_values[0]);
        }
        Node {
            bits: starts,
            a: self.run_values(run_values),
            b: RUNS << KIND_SHIFT,
        }
    }

    /// Where these values stand one after the other.
    fn run_values(&mut self, values: Vec<u32>) -> u32 {
        let next = u32::try_from(self.values.len()).expect("fewer values than addresses");
        *self.known_values.entry(values).or_insert_with_key(|new| {
            self.values.extend(new);
            next
        })
    }
}

fn pair(bits: u64, one: u32, zero: u32) -> Node {
    debug_assert!(one <= VALUE && zero <= VALUE, "a value fits below the kind");
    Node {
        bits,
        a: one,
        b: PAIR << KIND_SHIFT | zero,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use monitor_common::{
        NO_MATCH,
        trie::{STEPS_V4, STEPS_V6},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::{address::Network, compile::Ruleset};

    /// As the kernel does it, in words of 128 bits.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the higher bits are zero, or not asked for"
    )]
    fn walk<A: Address>(trie: &Trie, address: A, steps: usize) -> MatchSetId {
        let mut key = address.to_number() << (128 - u32::from(A::BITS));
        let differs = u128::from(trie.common) << 64 ^ key;
        if differs.checked_shr(128 - trie.skip).unwrap_or(0) != 0 {
            return trie.outside;
        }
        key <<= trie.skip;
        let mut index = (key >> (128 - trie.direct)) as usize;
        key <<= trie.direct;
        for _ in 0..steps {
            let node = trie.nodes[index];
            let part = (key >> (128 - STRIDE)) as u32;
            let (value, used) = match node.b >> KIND_SHIFT {
                PAIR if node.bits >> part & 1 == 1 => (node.a, STRIDE),
                PAIR => (node.b, STRIDE),
                RUNS => {
                    let before = (node.bits & u64::MAX >> (63 - part)).count_ones() - 1;
                    let at = node.a + before;
                    let two = trie.values[at as usize / 2];
                    ((two >> (at % 2 * 32)) as u32, STRIDE)
                }
                _ => {
                    let length = node.a >> LENGTH_SHIFT;
                    let inside = (key >> (128 - length)) as u64 == node.bits;
                    (if inside { node.a } else { node.b }, length)
                }
            };
            let value = value & VALUE;
            if value & NODE == 0 {
                return value;
            }
            index = (value & !NODE) as usize;
            key = key.checked_shl(used).unwrap_or(0);
        }
        panic!("more than {steps} steps");
    }

    fn prefix<A: Address>(address: A, length: u8, match_set: MatchSetId) -> Prefix<A> {
        Prefix {
            address: Network::around(address, length).address(),
            length,
            match_set,
        }
    }

    /// Distinct, in the order of a ruleset.
    fn sorted<A: Address>(mut prefixes: Vec<Prefix<A>>) -> Vec<Prefix<A>> {
        prefixes.sort_by_key(|prefix| (prefix.address, prefix.length));
        prefixes.dedup_by_key(|prefix| (prefix.address, prefix.length));
        prefixes
    }

    /// Compares with the slow search at and around the ends of all prefixes.
    fn check<A: Address + Into<IpAddr>>(
        prefixes: Vec<Prefix<A>>,
        others: &[A],
        steps: usize,
        slow: impl Fn(&[Prefix<A>], A) -> MatchSetId,
    ) {
        let prefixes = sorted(prefixes);
        let bits = u32::from(A::BITS);
        let all = u128::MAX >> (128 - bits);
        let ends = prefixes.iter().flat_map(|prefix| {
            let first = prefix.address.to_number();
            let last = first | all.checked_shr(prefix.length.into()).unwrap_or(0);
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
        });
        let ends = ends.map(|number| A::from_number(number & all));
        let addresses: Vec<A> = ends.chain(others.iter().copied()).collect();
        for direct in [MIN_DIRECT, 11, 16] {
            let trie = Trie::with_direct(&runs(&prefixes), direct);
            for address in &addresses {
                let found = walk(&trie, *address, steps);
                assert_eq!(found, slow(&prefixes, *address), "{address} {prefixes:?}");
            }
        }
    }

    fn slow<A: Address>(prefixes: &[Prefix<A>], address: A) -> MatchSetId {
        let holds = |prefix: &&Prefix<A>| {
            Network::around(address, prefix.length).address() == prefix.address
        };
        let covering = prefixes.iter().filter(holds);
        let longest = covering.max_by_key(|prefix| prefix.length);
        longest.map_or(NO_MATCH, |prefix| prefix.match_set)
    }

    /// Lengths from 0, addresses that share their first bits with others.
    fn some<A: Address + std::fmt::Debug>() -> impl Strategy<Value = Vec<(u128, u8, MatchSetId)>> {
        let address = (any::<u128>(), 0..4_u128, 0..u32::from(A::BITS));
        let address = address.prop_map(|(random, base, keep)| {
            let bits = u32::from(A::BITS);
            let all = u128::MAX >> (128 - bits);
            let based = base << (bits - 2) | 5 << (bits / 2);
            let low = all.checked_shr(keep).unwrap_or(0);
            (based & !low | random & low) & all
        });
        let length = prop_oneof![0..=A::BITS, Just(A::BITS), Just(24), Just(18), Just(0)];
        prop::collection::vec((address, length, 1..6_u32), 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn ipv4_is_as_the_slow_search_says(
            prefixes in some::<Ipv4Addr>(), others in prop::collection::vec(any::<u32>(), 20)
        ) {
            let prefixes = prefixes.into_iter();
            let prefixes = prefixes.map(|(address, length, match_set)| {
                prefix(Ipv4Addr::from_number(address), length, match_set)
            });
            let others: Vec<_> = others.into_iter().map(Ipv4Addr::from_bits).collect();
            check(prefixes.collect(), &others, STEPS_V4, slow);
        }

        #[test]
        fn ipv6_is_as_the_slow_search_says(
            prefixes in some::<Ipv6Addr>(), others in prop::collection::vec(any::<u128>(), 20)
        ) {
            let prefixes = prefixes.into_iter();
            let prefixes = prefixes.map(|(address, length, match_set)| {
                prefix(Ipv6Addr::from_number(address), length, match_set)
            });
            let others: Vec<_> = others.into_iter().map(Ipv6Addr::from_bits).collect();
            check(prefixes.collect(), &others, STEPS_V6, slow);
        }
    }

    #[test]
    fn nothing_and_everything() {
        let nothing: &[Prefix<Ipv4Addr>] = &[];
        let trie = Trie::new(nothing);
        assert_eq!(walk(&trie, Ipv4Addr::BROADCAST, STEPS_V4), NO_MATCH);
        let everything = [prefix(Ipv6Addr::UNSPECIFIED, 0, 7)];
        let trie = Trie::new(&everything);
        assert_eq!(walk(&trie, Ipv6Addr::LOCALHOST, STEPS_V6), 7);
    }

    #[test]
    fn one_address_is_one_node_and_other_addresses_need_none() {
        let address: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let trie = Trie::new(&[prefix(address, 128, 3)]);
        assert_eq!((trie.skip, trie.outside), (LONGEST_SKIP, NO_MATCH));
        assert_eq!(walk(&trie, address, 2), 3);
        assert_eq!(walk(&trie, Ipv6Addr::LOCALHOST, 0), NO_MATCH);
    }

    /// Its own search goes by prefixes, and so shares nothing with this.
    #[test]
    fn a_ruleset_has_the_same_answers() {
        let prefixes = (0..2000_u32).map(|number| {
            let address = number.wrapping_mul(2_654_435_761);
            let length = 8 + u8::try_from(number % 25).unwrap();
            prefix(Ipv4Addr::from_bits(address), length, 1 + number % 9)
        });
        let ruleset = Ruleset {
            ipv4: sorted(prefixes.collect()),
            match_sets: (0..10).map(|id| vec![id]).collect(),
            ..Ruleset::default()
        };
        let trie = Trie::new(&ruleset.ipv4);
        for number in 0..50_000_u32 {
            let address = Ipv4Addr::from_bits(number.wrapping_mul(85_899_345));
            let found = walk(&trie, address, STEPS_V4);
            let expected = ruleset.lookup(address.into());
            let expected: Vec<_> = expected.iter().map(|id| u32::from(*id)).collect();
            let found = if found == NO_MATCH {
                vec![]
            } else {
                vec![found]
            };
            assert_eq!(found, expected, "{address}");
        }
    }
}
