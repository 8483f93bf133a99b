//! The trie against a linear search over the prefixes.

mod example;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use monitor_common::{
    NO_MATCH,
    trie::{
        EXCEPTIONS, FIRST_NODES, FIRST_SLOTS, INDEX, INLINE, INLINE_BITS, INLINE_SHIFT, KIND,
        KIND_SHIFT, LANE, LENGTH_SHIFT, LINE_SLOTS, MIN_FIRST_BITS, NODE_KIND_SHIFT, PAIR,
        PAIRS_BITS, POINTER, RUN_LINE_BITS, RUN_LINE_STARTS, RUNS, SKIP, STEPS_V4, STEPS_V6,
        STRIDE, TO_PAIRS, TO_RUN_LINE, TO_SLOTS, VALUE, VALUES_IN_SLOTS, WIDTH_SHIFT,
    },
};
use proptest::prelude::*;

use super::*;
use crate::{
    address::{Embedding, Network},
    compile::Ruleset,
};

/// The kernel's look-up, in words of 128 bits.
fn look_up<A: Address>(trie: &Trie, address: A, steps: usize) -> MatchSetId {
    let mut remaining = address.to_number() << (128 - u32::from(A::BITS));
    let difference = u128::from(trie.common) << 64 ^ remaining;
    if difference.checked_shr(128 - trie.common_bits).unwrap_or(0) != 0 {
        return trie.outside;
    }
    remaining <<= trie.common_bits;
    let index = next(remaining, trie.first_bits);
    remaining <<= trie.first_bits;
    let mut value;
    if trie.first_kind == FIRST_SLOTS {
        value = slot(trie, index);
    } else {
        let consumed;
        (value, consumed) = node(trie, index, remaining);
        remaining <<= consumed;
    }
    for _ in 0..steps {
        if value & POINTER == 0 {
            return value;
        }
        let consumed;
        (value, consumed) = pointed_to(trie, value, remaining);
        remaining = remaining.checked_shl(consumed).unwrap_or(0);
    }
    panic!("more than {steps} steps");
}

/// The next `bits` bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "no more than 32 bits are asked for"
)]
fn next(remaining: u128, bits: u32) -> u32 {
    remaining.checked_shr(128 - bits).unwrap_or(0) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "a slot has 32 bits")]
fn slot(trie: &Trie, index: u32) -> u32 {
    let two = trie.lines[(index / LINE_SLOTS) as usize][(index / 2 % 8) as usize];
    (two >> (index % 2 * 32)) as u32
}

/// The value of a node, and the number of bits to consume.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the bits above are not needed"
)]
fn node(trie: &Trie, index: u32, remaining: u128) -> (u32, u32) {
    let Node { bits, a, b } = trie.nodes[index as usize];
    let part = next(remaining, STRIDE);
    let (value, consumed) = match b >> NODE_KIND_SHIFT {
        PAIR if bits >> part & 1 == 1 => (a, STRIDE),
        PAIR => (b, STRIDE),
        RUNS => {
            let begun = bits & u64::MAX >> (63 - part);
            (slot(trie, a + begun.count_ones() - 1), STRIDE)
        }
        EXCEPTIONS => {
            let before = bits & ((1 << part) - 1);
            let is_exception = bits >> part & 1 == 1;
            let value = is_exception.then(|| slot(trie, a + before.count_ones()));
            (value.unwrap_or(b), STRIDE)
        }
        _ => {
            let length = (bits >> LENGTH_SHIFT) as u32;
            let is_inside =
                (remaining >> (128 - length)) as u64 == bits & ((1 << LENGTH_SHIFT) - 1);
            (if is_inside { a } else { b }, length)
        }
    };
    (value & VALUE, consumed)
}

/// The value to which a pointer leads, and the number of bits to consume.
fn pointed_to(trie: &Trie, pointer: u32, remaining: u128) -> (u32, u32) {
    let index = pointer & INDEX;
    match pointer >> KIND_SHIFT & KIND {
        INLINE => {
            let is_inside = index >> INLINE_SHIFT >> next(remaining, INLINE_BITS) & 1 == 1;
            let match_set = index & ((1 << INLINE_SHIFT) - 1);
            (
                if is_inside { match_set } else { trie.outside },
                INLINE_BITS,
            )
        }
        TO_RUN_LINE => (
            run_line(trie, index, next(remaining, RUN_LINE_BITS)),
            RUN_LINE_BITS,
        ),
        TO_SLOTS => {
            let width = (index >> WIDTH_SHIFT) + 1;
            let first = (index & ((1 << WIDTH_SHIFT) - 1)) * LINE_SLOTS;
            (slot(trie, first + next(remaining, width)), width)
        }
        TO_PAIRS => {
            let select = PAIRS_BITS - STRIDE;
            let index = index + next(remaining, select);
            let Node { a, b, .. } = trie.nodes[index as usize];
            assert_eq!(b >> NODE_KIND_SHIFT, PAIR);
            assert_eq!((a | b) & POINTER, 0, "the look-up ends here");
            let (value, consumed) = node(trie, index, remaining << select);
            (value, select + consumed)
        }
        _ => {
            let kind = trie.nodes[index as usize].b >> NODE_KIND_SHIFT;
            assert_eq!(kind, SKIP, "other kinds are in the first level only");
            node(trie, index, remaining)
        }
    }
}

/// The value of the run that holds `offset`, without the kernel's arithmetic.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a half has 32 bits, and there are 21 starts"
)]
fn run_line(trie: &Trie, index: u32, offset: u32) -> u32 {
    let line = trie.lines[index as usize];
    let starts = (0..RUN_LINE_STARTS).map(|at| line[1 + at / 3] >> (at % 3 * LANE as usize));
    let begun = starts
        .filter(|start| start & ((1 << LANE) - 1) <= offset.into())
        .count() as u32;
    let two = [line[0] as u32, (line[0] >> 32) as u32];
    if two[1] & VALUES_IN_SLOTS == 0 {
        two[begun as usize % 2]
    } else {
        slot(trie, two[0] + begun)
    }
}

fn prefix<A: Address>(address: A, length: u8, match_set: MatchSetId) -> Prefix<A> {
    Prefix {
        address: Network::around(address, length).address(),
        length,
        match_set,
    }
}

/// Without duplicates, in the order of a ruleset.
fn sorted<A: Address>(mut prefixes: Vec<Prefix<A>>) -> Vec<Prefix<A>> {
    prefixes.sort_by_key(|prefix| (prefix.address, prefix.length));
    prefixes.dedup_by_key(|prefix| (prefix.address, prefix.length));
    prefixes
}

/// Compares the look-up with the linear search at and around the ends of all prefixes.
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
    let first_levels = [
        (FIRST_NODES, MIN_FIRST_BITS),
        (FIRST_SLOTS, MIN_FIRST_BITS),
        (FIRST_SLOTS, 11),
        (FIRST_NODES, 16),
    ];
    for (kind, bits) in first_levels {
        let runs = runs(prefixes.iter());
        let trie = Trie::with(&runs, FirstLevel { kind, bits }, Room::default()).unwrap();
        is_refused_without_room(&runs, &trie);
        for address in &addresses {
            let found = look_up(&trie, *address, steps);
            assert_eq!(found, slow(&prefixes, *address), "{address} {prefixes:?}");
        }
    }
}

/// The exact number of nodes and lines is enough room; one node or line less is not.
fn is_refused_without_room(runs: &[Run], trie: &Trie) {
    let (nodes, lines) = (trie.nodes.len(), trie.lines.len());
    let first = FirstLevel {
        kind: trie.first_kind,
        bits: trie.first_bits,
    };
    let made = |nodes, lines| Trie::with(runs, first, Room { nodes, lines });
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

/// Prefixes of all lengths, many of which share their first bits.
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
    assert_eq!(look_up(&trie, Ipv4Addr::BROADCAST, STEPS_V4), NO_MATCH);
    let everything = [prefix(Ipv6Addr::UNSPECIFIED, 0, 7)];
    let trie = Trie::new(&everything).unwrap();
    assert_eq!(look_up(&trie, Ipv6Addr::LOCALHOST, STEPS_V6), 7);
}

#[test]
fn one_address_is_one_node_and_other_addresses_need_none() {
    let address: Ipv6Addr = "2001:db8::7".parse().unwrap();
    let trie = Trie::new(&[prefix(address, 128, 3)]).unwrap();
    assert_eq!((trie.common_bits, trie.outside), (63, NO_MATCH));
    assert_eq!(look_up(&trie, address, 2), 3);
    assert_eq!(look_up(&trie, Ipv6Addr::LOCALHOST, 0), NO_MATCH);
}

/// An inline pointer has room for match sets below 1024 only.
#[test]
fn match_sets_of_every_size_are_found() {
    let address = |second| Ipv4Addr::new(192, second, 0, 0);
    let sizes = [1, 1023, 1024, VALUE >> 1];
    let each = [0, 64, 128, 192].into_iter().zip(sizes);
    let mut prefixes = vec![prefix(Ipv4Addr::new(10, 0, 0, 0), 18, 7)];
    prefixes.extend(each.map(|(n, id)| prefix(address(n), 18, id)));
    let first = FirstLevel {
        kind: FIRST_NODES,
        bits: MIN_FIRST_BITS,
    };
    let trie = Trie::with(&runs(prefixes.iter()), first, Room::default()).unwrap();
    for inside in prefixes {
        assert_eq!(look_up(&trie, inside.address, STEPS_V4), inside.match_set);
        let behind = Ipv4Addr::from_bits(inside.address.to_bits() + (1 << 14));
        assert_eq!(look_up(&trie, behind, STEPS_V4), NO_MATCH);
    }
}

#[test]
fn the_first_level_is_sized_to_the_ruleset() {
    let random = |count: u32| -> Vec<_> {
        let numbers = (0..count).map(|number| number.wrapping_mul(2_654_435_761));
        let blocks = numbers.map(|number| prefix(Ipv4Addr::from_bits(number), 24, 1));
        sorted(blocks.collect())
    };
    for (count, kind, bits) in [
        (0, FIRST_NODES, MIN_FIRST_BITS),
        (3, FIRST_NODES, MIN_FIRST_BITS),
        (1_000, FIRST_NODES, 13),
        (10_000, FIRST_SLOTS, 16),
        (100_000, FIRST_NODES, 14),
    ] {
        let trie = Trie::new(&random(count)).unwrap();
        assert_eq!((trie.first_kind, trie.first_bits), (kind, bits), "{count}");
    }
}

/// Checks around both ends of every prefix, for each first level of a large ruleset.
#[test]
fn large_rulesets_have_their_answers() {
    let (few, too_many) = (1, 1 << INLINE_SHIFT);
    for (count, sets, base, first) in [
        (100_000, 1, few, (FIRST_NODES, 14)),
        (100_000, 1, too_many, (FIRST_NODES, 18)),
        (100_000, 1_000, few, (FIRST_NODES, 14)),
        (400_000, 3_000, few, (FIRST_NODES, 18)),
        (10_000, 3_000, few, (FIRST_SLOTS, 16)),
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
        assert_eq!(
            (trie.first_kind, trie.first_bits),
            first,
            "{count}, {sets}, {base}"
        );
        for first in known.keys().map(|block| block << 8) {
            for address in [
                first.wrapping_sub(1),
                first,
                first | 255,
                (first | 255).wrapping_add(1),
            ] {
                let expected = known.get(&(address >> 8)).copied().unwrap_or(NO_MATCH);
                assert_eq!(
                    look_up(&trie, Ipv4Addr::from_bits(address), STEPS_V4),
                    expected,
                    "{address:x}"
                );
            }
        }
    }
}

/// `Ruleset::lookup` searches the prefixes and shares no code with the trie.
#[test]
fn a_ruleset_has_the_same_answers() {
    let prefixes = (0..2000_u32).map(|number| {
        let address = number.wrapping_mul(2_654_435_761);
        let length = 8 + u8::try_from(number % 25).unwrap();
        prefix(Ipv4Addr::from_bits(address), length, 1 + number % 9)
    });
    let prefixes = sorted(prefixes.collect());
    let ruleset = Ruleset {
        ipv4: prefixes.iter().copied().collect(),
        match_sets: (0..10).map(|id| vec![id]).collect(),
        ..Ruleset::default()
    };
    let trie = Trie::new(&prefixes).unwrap();
    for number in 0..50_000_u32 {
        let address = Ipv4Addr::from_bits(number.wrapping_mul(85_899_345));
        let found = look_up(&trie, address, STEPS_V4);
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

/// Embeddings hold the same IPv4 prefixes. Two of them hold them behind as many bits, and
/// share their slots.
#[test]
fn embeddings_of_the_same_prefixes_share_slots() {
    let written = (0..3000_u32).map(|number| {
        // From 1.0.0.0 on, below 224.0.0.0.
        let address = number.wrapping_mul(2_654_435_761) % 0xdf00_0000 + 0x0100_0000;
        let length = 17 + u8::try_from(number % 16).unwrap();
        (
            Network::around(Ipv4Addr::from_bits(address), length),
            1 + number % 2,
        )
    });
    let written: Vec<_> = written.collect();
    let derived = |by: &[Embedding]| {
        let each = by.iter().flat_map(|by| {
            let networks = written.iter();
            networks.flat_map(|(network, match_set)| {
                by.networks(*network).map(|network| (network, *match_set))
            })
        });
        let prefixes: HashMap<Network<Ipv6Addr>, u32> = each.collect();
        let prefixes = prefixes.into_iter().map(|(network, match_set)| Prefix {
            address: network.address(),
            length: network.length(),
            match_set,
        });
        sorted(prefixes.collect())
    };
    let [nat64, six, mapped] = [Embedding::NAT64, Embedding::SIX_TO_FOUR, Embedding::MAPPED];
    let two = Trie::new(&derived(&[six, mapped])).unwrap();
    let prefixes = derived(&[nat64, six, mapped]);
    let three = Trie::new(&prefixes).unwrap();
    assert!(three.lines.len() < two.lines.len() * 11 / 10);

    let ruleset = Ruleset {
        ipv6: prefixes.into_iter().collect(),
        match_sets: (0..3).map(|id| vec![id]).collect(),
        ..Ruleset::default()
    };
    for (number, (network, _)) in (0_u128..).zip(&written) {
        for by in [nat64, six, mapped] {
            let image = by.networks(*network).next().unwrap().interval();
            let [first, last] = [image.first(), image.last()].map(Ipv6Addr::to_bits);
            let inside = first
                | number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) & (last - first);
            for address in [first, last, inside, first.wrapping_sub(1), last + 1] {
                let address = Ipv6Addr::from_bits(address);
                let expected = ruleset.lookup(address.into()).first();
                let expected = expected.map_or(NO_MATCH, |id| u32::from(*id));
                assert_eq!(look_up(&three, address, STEPS_V6), expected, "{address}");
            }
        }
    }
}
