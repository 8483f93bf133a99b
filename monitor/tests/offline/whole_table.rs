//! All routed prefixes of the internet in the kernel's tries at the same time.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::data;
use crate::support;

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use aya::{
    Pod,
    maps::{
        MapData, MapError,
        lpm_trie::{Key, LpmTrie},
    },
};
use monitor::{
    address::Derivation,
    compile::{Ruleset, SortedPrefixes, compile},
    datapath::{FrameOutcome, Sandbox},
    policy::{Disk, load},
};
use rand::{Rng, RngExt as _, seq::IndexedRandom as _};
use support::{
    generate::generator,
    packets::Builder,
    reference::{Block, address, number, width},
};

const FRAMES: usize = 2_000;

/// Number of policies in the second test. Each has the prefixes of every ninth
/// line.
const POLICIES: usize = 9;
/// `BPF_F_NO_PREALLOC` (linux/bpf.h); the kernel's trie wants it.
const NO_PREALLOC: u32 = 1;

/// Compares with `BPF_MAP_TYPE_LPM_TRIE`, which shares no code with the
/// filter's trie.
#[test]
fn the_kernels_own_trie_finds_the_same_policies() {
    let Some(list) = whole_table() else {
        return;
    };
    let lines: Vec<&str> = list.lines().collect();
    let blocks: Vec<Block> = lines.iter().map(|line| line.parse().unwrap()).collect();
    let lists: Vec<String> = (0..POLICIES)
        .map(|first| {
            let lines: Vec<_> = lines
                .iter()
                .skip(first)
                .step_by(POLICIES)
                .copied()
                .collect();
            lines.join("\n")
        })
        .collect();
    let ruleset = ruleset_of(&lists);
    assert!(ruleset.match_sets.len() > POLICIES, "no prefixes overlap");

    let oracle = (
        lpm_trie(&ruleset.ipv4, Ipv4Addr::octets),
        lpm_trie(&ruleset.ipv6, Ipv6Addr::octets),
    );
    let mut sandbox =
        Sandbox::new(&ruleset, "wlan0").expect("load the program (this test needs root)");
    let mut random = generator();
    let mut found = 0;
    for _ in 0..FRAMES {
        let destination = destination(&mut random, &blocks);
        let match_set = match destination {
            IpAddr::V4(address) => oracle.0.get(&Key::new(32, address.octets()), 0),
            IpAddr::V6(address) => oracle.1.get(&Key::new(128, address.octets()), 0),
        };
        let matched = match match_set {
            Ok(id) => ruleset.match_sets[usize::try_from(id).unwrap()].clone(),
            Err(MapError::KeyNotFound) => Vec::new(),
            Err(error) => panic!("{destination}: {error}"),
        };
        found += usize::from(!matched.is_empty());
        let outcome = sandbox.run(&Builder::new(destination).build()).unwrap();
        let expected = FrameOutcome::Parsed {
            matched,
            dropped: false,
        };
        assert_eq!(outcome, expected, "{destination}");
    }
    let enough = FRAMES / 10..=FRAMES * 9 / 10;
    assert!(enough.contains(&found), "{found} of {FRAMES} are inside");
}

/// The prefixes of both families, one on each line; `None` without the data.
fn whole_table() -> Option<String> {
    let ranges = data::ranges()?;
    let tables = ["asn-v4-cidr.txt.gz", "asn-v6-cidr.txt.gz"];
    let prefixes = tables.map(|table| data::prefixes(&ranges.join(table)));
    Some(prefixes.concat())
}

fn lpm_trie<A, K: Pod>(
    prefixes: &SortedPrefixes<A>,
    octets: impl Fn(&A) -> K,
) -> LpmTrie<MapData, K, u32> {
    let capacity = u32::try_from(prefixes.len()).unwrap();
    let mut trie = LpmTrie::create(capacity, NO_PREALLOC).unwrap();
    for prefix in prefixes.iter() {
        let key = Key::new(prefix.length.into(), octets(&prefix.address));
        trie.insert(&key, &prefix.match_set, 0).unwrap();
    }
    trie
}

/// The kernel, the ruleset and a search by every length give the same answer.
#[test]
fn the_kernel_finds_in_the_whole_table_what_is_in_it() {
    let Some(list) = whole_table() else {
        return;
    };
    let blocks: Vec<Block> = list.lines().map(|line| line.parse().unwrap()).collect();
    let table = Table::new(&blocks);
    let ruleset = ruleset(&list);
    assert_eq!(ruleset.ipv4.len() + ruleset.ipv6.len(), table.0.len());

    let mut sandbox =
        Sandbox::new(&ruleset, "wlan0").expect("load the program (this test needs root)");
    let mut random = generator();
    let mut found = [[0_usize; 2]; 2];
    for _ in 0..FRAMES {
        let destination = destination(&mut random, &blocks);
        let inside = table.contains(destination);
        let matched = ruleset.lookup(destination).to_vec();
        assert_eq!(matched.is_empty(), !inside, "{destination} in the ruleset");
        let outcome = sandbox.run(&Builder::new(destination).build()).unwrap();
        let expected = FrameOutcome::Parsed {
            matched,
            dropped: false,
        };
        assert_eq!(outcome, expected, "{destination} in the kernel");
        found[usize::from(destination.is_ipv4())][usize::from(inside)] += 1;
    }
    let few = found.iter().flatten().any(|&frames| frames < FRAMES / 40);
    assert!(!few, "too few frames of one kind: {found:?}");
    assert_counted(&sandbox, found[0][1] + found[1][1]);
}

/// Asserts that the counters contain exactly these matches.
fn assert_counted(sandbox: &Sandbox, matched: usize) {
    let counters = sandbox.counters().unwrap();
    assert_eq!(counters.policies[0].passed.packets, matched as u64);
    assert_eq!(counters.policies[0].dropped.packets, 0);
    let interface = &counters.interface;
    let passed = interface.passed_ipv4.packets + interface.passed_ipv6.packets;
    assert_eq!(passed, FRAMES as u64);
}

/// A ruleset with one policy that counts the whole list.
fn ruleset(list: &str) -> Ruleset {
    ruleset_of(&[list.to_owned()])
}

/// A ruleset with a counting policy for each list.
fn ruleset_of(lists: &[String]) -> Ruleset {
    let directory = tempfile::tempdir().unwrap();
    let mut policies = "version: 1\npolicies:\n".to_owned();
    for (number, list) in lists.iter().enumerate() {
        fs::write(directory.path().join(format!("{number}.txt")), list).unwrap();
        writeln!(
            policies,
            "  - {{name: routed-{number}, action: count, destinations: [{{list: {number}.txt}}]}}"
        )
        .unwrap();
    }
    let file = directory.path().join("policies.yaml");
    fs::write(&file, policies).unwrap();
    let loaded = load(&[file], &Disk);
    let diagnostics = &loaded.diagnostics;
    assert!(!diagnostics.has_errors(), "{}", diagnostics.render(false));
    compile(&loaded.policies, &Derivation::none()).unwrap()
}

/// The prefixes of the file, by family, first address and length.
struct Table(HashSet<(bool, u128, u32)>);

impl Table {
    fn new(blocks: &[Block]) -> Self {
        Self(blocks.iter().map(|block| key(*block)).collect())
    }

    fn contains(&self, address: IpAddr) -> bool {
        (0..=width(address)).any(|length| self.0.contains(&key(Block { address, length })))
    }
}

fn key(block: Block) -> (bool, u128, u32) {
    let first = block.first();
    (first.is_ipv4(), number(first), block.length)
}

/// A random address, or an address just inside or just outside a prefix.
fn destination(random: &mut impl Rng, blocks: &[Block]) -> IpAddr {
    if random.random_bool(0.3) {
        return address(random.random(), random.random());
    }
    // Three of four prefixes are IPv4.
    let ipv4 = random.random_bool(0.5);
    let block = loop {
        let block = blocks.choose(random).unwrap();
        if block.address.is_ipv4() == ipv4 {
            break block;
        }
    };
    let (first, last) = (number(block.first()), number(block.last()));
    match random.random_range(0..5) {
        0 => address(ipv4, first),
        1 => address(ipv4, last),
        2 => address(ipv4, first.wrapping_sub(1)),
        3 => address(ipv4, last.wrapping_add(1)),
        _ => address(ipv4, random.random_range(first..=last)),
    }
}
