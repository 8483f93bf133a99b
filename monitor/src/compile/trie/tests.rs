//! The trie against a slow search.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use monitor_common::{
    NO_MATCH,
    trie::{INDEX, KIND, KIND_SHIFT, NODES_BITS, POINTER, STEPS_V4, STEPS_V6},
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
    let slot = |index: u32| {
        let two = trie.lines[(index / LINE_SLOTS) as usize][(index / 2 % 8) as usize];
        (two >> (index % 2 * 32)) as u32
    };
    let next = |key: u128, bits: u32| key.checked_shr(128 - bits).unwrap_or(0) as u32;
    let first = next(key, trie.direct);
    key <<= trie.direct;
    let node = |index: u32, key: u128| {
        let Node { bits, a, b } = trie.nodes[index as usize];
        let (value, used) = match b >> NODE_KIND_SHIFT {
            PAIR if bits >> next(key, STRIDE) & 1 == 1 => (a, STRIDE),
            PAIR => (b, STRIDE),
            SPLIT => {
                let begun = bits & u64::MAX >> (63 - next(key, STRIDE));
                (slot(a + begun.count_ones() - 1), STRIDE)
            }
            OWN => {
                let part = next(key, STRIDE);
                let before = bits & ((1 << part) - 1);
                let own = bits >> part & 1 == 1;
                let value = own.then(|| slot(a + before.count_ones()));
                (value.unwrap_or(b), STRIDE)
            }
            _ => {
                let length = (bits >> LENGTH_SHIFT) as u32;
                let inside = (key >> (128 - length)) as u64 == bits & ((1 << LENGTH_SHIFT) - 1);
                (if inside { a } else { b }, length)
            }
        };
        (value & VALUE, used)
    };
    let mut value;
    if trie.first == SLOTS {
        value = slot(first);
    } else {
        let used;
        (value, used) = node(first, key);
        key <<= used;
    }
    for _ in 0..steps {
        if value & POINTER == 0 {
            return value;
        }
        let mut index = value & INDEX;
        let kind = value >> KIND_SHIFT & KIND;
        if kind == PARTS {
            let is_inside = index >> PARTS_SHIFT >> next(key, PARTS_BITS) & 1 == 1;
            let match_set = index & ((1 << PARTS_SHIFT) - 1);
            return if is_inside { match_set } else { trie.outside };
        }
        if kind == NODES {
            index += next(key, NODES_BITS - STRIDE);
            key <<= NODES_BITS - STRIDE;
            let node = trie.nodes[index as usize];
            assert_eq!(node.b >> NODE_KIND_SHIFT, PAIR);
            assert_eq!((node.a | node.b) & POINTER, 0, "the walk ends here");
        }
        let used;
        (value, used) = match kind {
            RUNS => {
                let line = trie.lines[index as usize];
                let place = u64::from(next(key, RUNS_BITS));
                let lanes =
                    (0..RUNS_MOST).map(|lane| line[1 + lane / 3] >> (lane % 3 * LANE as usize));
                let begun = lanes
                    .filter(|lane| lane & ((1 << LANE) - 1) <= place)
                    .count() as u32;
                let two = [line[0] as u32, (line[0] >> 32) as u32];
                let value = if two[1] & SCATTERED == 0 {
                    two[begun as usize % 2]
                } else {
                    slot(two[0] + begun)
                };
                (value, RUNS_BITS)
            }
            SLOTS => {
                let width = (index >> WIDTH_SHIFT) + 1;
                let first = (index & ((1 << WIDTH_SHIFT) - 1)) * LINE_SLOTS;
                (slot(first + next(key, width)), width)
            }
            NODES => node(index, key),
            _ => {
                let found = trie.nodes[index as usize];
                assert_eq!(found.b >> NODE_KIND_SHIFT, SKIP, "no others are on the way");
                node(index, key)
            }
        };
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
    let shapes = [
        (NODES, MIN_DIRECT),
        (SLOTS, MIN_DIRECT),
        (SLOTS, 11),
        (NODES, 16),
    ];
    for (first, direct) in shapes {
        let (runs, shape) = (runs(&prefixes), (first, direct));
        let trie = Trie::with(&runs, shape, Room::default()).unwrap();
        is_refused_without_room(&runs, &trie);
        for address in &addresses {
            let found = walk(&trie, *address, steps);
            assert_eq!(found, slow(&prefixes, *address), "{address} {prefixes:?}");
        }
    }
}

/// Room for all of it is enough, and for one node or one line less is not.
fn is_refused_without_room(runs: &[Run], trie: &Trie) {
    let (nodes, lines) = (trie.nodes.len(), trie.lines.len());
    let made = |nodes, lines| Trie::with(runs, (trie.first, trie.direct), Room { nodes, lines });
    assert_eq!(made(nodes, lines).as_ref(), Ok(trie));
    if let Some(fewer) = nodes.checked_sub(1) {
        assert_eq!(made(fewer, lines), Err(Full));
    }
    if let Some(fewer) = lines.checked_sub(1) {
        assert_eq!(made(nodes, fewer), Err(Full));
    }
}

fn slow<A: Address>(prefixes: &[Prefix<A>], address: A) -> MatchSetId {
    let holds =
        |prefix: &&Prefix<A>| Network::around(address, prefix.length).address() == prefix.address;
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
    let trie = Trie::new(nothing).unwrap();
    assert_eq!(walk(&trie, Ipv4Addr::BROADCAST, STEPS_V4), NO_MATCH);
    let everything = [prefix(Ipv6Addr::UNSPECIFIED, 0, 7)];
    let trie = Trie::new(&everything).unwrap();
    assert_eq!(walk(&trie, Ipv6Addr::LOCALHOST, STEPS_V6), 7);
}

#[test]
fn one_address_is_one_node_and_other_addresses_need_none() {
    let address: Ipv6Addr = "2001:db8::7".parse().unwrap();
    let trie = Trie::new(&[prefix(address, 128, 3)]).unwrap();
    assert_eq!((trie.skip, trie.outside), (63, NO_MATCH));
    assert_eq!(walk(&trie, address, 2), 3);
    assert_eq!(walk(&trie, Ipv6Addr::LOCALHOST, 0), NO_MATCH);
}

/// A pointer to parts has room for the first of them only.
#[test]
fn match_sets_of_every_size_are_told() {
    let address = |second| Ipv4Addr::new(192, second, 0, 0);
    let sizes = [1, 1023, 1024, VALUE >> 1];
    let each = (0..).step_by(64).zip(sizes);
    let mut prefixes = vec![prefix(Ipv4Addr::new(10, 0, 0, 0), 18, 7)];
    prefixes.extend(each.map(|(n, id)| prefix(address(n), 18, id)));
    let trie = Trie::with(&runs(&prefixes), (NODES, MIN_DIRECT), Room::default()).unwrap();
    for inside in prefixes {
        assert_eq!(walk(&trie, inside.address, STEPS_V4), inside.match_set);
        let behind = Ipv4Addr::from_bits(inside.address.to_bits() + (1 << 14));
        assert_eq!(walk(&trie, behind, STEPS_V4), NO_MATCH);
    }
}

#[test]
fn what_is_first_is_sized_to_the_ruleset() {
    let random = |count: u32| -> Vec<_> {
        let numbers = (0..count).map(|number| number.wrapping_mul(2_654_435_761));
        let blocks = numbers.map(|number| prefix(Ipv4Addr::from_bits(number), 24, 1));
        sorted(blocks.collect())
    };
    for (count, first, direct) in [
        (0, NODES, MIN_DIRECT),
        (3, NODES, MIN_DIRECT),
        (1_000, NODES, 13),
        (10_000, SLOTS, 16),
        (100_000, NODES, 14),
    ] {
        let trie = Trie::new(&random(count)).unwrap();
        assert_eq!((trie.first, trie.direct), (first, direct), "{count}");
    }
}

/// Around both ends of every prefix, in each shape that large rulesets have.
#[test]
fn large_rulesets_have_their_answers() {
    let (few, beyond_parts) = (1, 1 << PARTS_SHIFT);
    for (count, sets, base, shape) in [
        (100_000, 1, few, (NODES, 14)),
        (100_000, 1, beyond_parts, (NODES, 18)),
        (100_000, 1_000, few, (NODES, 14)),
        (400_000, 3_000, few, (NODES, 18)),
        (10_000, 3_000, few, (SLOTS, 16)),
    ] {
        let known: HashMap<u32, MatchSetId> = (1..=count)
            .map(|number: u32| {
                (
                    number.wrapping_mul(2_654_435_761) >> 8,
                    base + number % sets,
                )
            })
            .collect();
        let prefixes = known
            .iter()
            .map(|(block, match_set)| prefix(Ipv4Addr::from_bits(block << 8), 24, *match_set));
        let trie = Trie::new(&sorted(prefixes.collect())).unwrap();
        assert_eq!((trie.first, trie.direct), shape, "{count}, {sets}, {base}");
        for first in known.keys().map(|block| block << 8) {
            for address in [
                first.wrapping_sub(1),
                first,
                first | 255,
                (first | 255).wrapping_add(1),
            ] {
                let expected = known.get(&(address >> 8)).copied().unwrap_or(NO_MATCH);
                assert_eq!(
                    walk(&trie, Ipv4Addr::from_bits(address), STEPS_V4),
                    expected,
                    "{address:x}"
                );
            }
        }
    }
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
    let trie = Trie::new(&ruleset.ipv4).unwrap();
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
