//! Compares the compiler with a slow and simple model.

#![expect(
    clippy::unwrap_used,
    clippy::format_push_string,
    reason = "a test panics where it fails"
)]

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use monitor::{
    address::{Derivation, Embedding, Network},
    compile::{Ruleset, compile, shadowed_drops},
    explain::{Decision, explain},
    policy::{Action, Files, Loaded, Packet, load},
    regular_file::Purpose,
};
use proptest::{collection::vec, prelude::*};

/// Files in memory, in place of a disk.
#[derive(Default)]
struct Memory(BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path, _: Purpose) -> io::Result<Vec<u8>> {
        let text = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.clone().into_bytes())
    }

    fn is_directory(&self, _: &Path) -> bool {
        false
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

fn load_text(policies: &str) -> Loaded {
    let text = format!("version: 1\npolicies:\n{policies}");
    let files = Memory(BTreeMap::from([("p.yaml".into(), text)]));
    load(&["p.yaml".into()], &files)
}

fn ruleset(policies: &str) -> Ruleset {
    let loaded = load_text(policies);
    assert!(
        !loaded.diagnostics.has_errors(),
        "{}",
        loaded.diagnostics.render(false)
    );
    compile(&loaded.policies, &Derivation::none()).unwrap()
}

fn names(ruleset: &Ruleset, address: &str) -> Vec<String> {
    let found = ruleset.lookup(address.parse().unwrap()).iter();
    found
        .map(|policy| ruleset.policies[usize::from(*policy)].name.to_string())
        .collect()
}

/// An entry as a test case: two numbers and a length, inside a small part of
/// the address space so that cases overlap.
#[derive(Clone, Debug)]
struct Typed {
    network: (u8, u8),
    holes: Vec<(u8, u8)>,
}

#[derive(Clone, Debug)]
struct Case {
    action: Action,
    enabled: bool,
    entries: Vec<Typed>,
}

/// A prefix of `bits` (0 to 8) in an address space of eight bits.
fn contains((address, bits): (u8, u8), wanted: u8) -> bool {
    let shift = u32::from(8 - bits);
    u32::from(address) >> shift == u32::from(wanted) >> shift
}

fn network() -> impl Strategy<Value = (u8, u8)> {
    (any::<u8>(), 0_u8..=8).prop_map(|(address, bits)| {
        let shift = u32::from(8 - bits);
        let address = u32::from(address) >> shift << shift;
        (u8::try_from(address).unwrap(), bits)
    })
}

fn typed() -> impl Strategy<Value = Typed> {
    (network(), vec(network(), 0..4)).prop_map(|(network, holes)| {
        let inside = |hole: &(u8, u8)| hole.1 > network.1 && contains(network, hole.0);
        let mut holes: Vec<_> = holes.into_iter().filter(inside).collect();
        let leaves_nothing = (0..=u8::MAX)
            .filter(|address| contains(network, *address))
            .all(|address| holes.iter().any(|hole| contains(*hole, address)));
        if leaves_nothing {
            holes.clear();
        }
        Typed { network, holes }
    })
}

fn case() -> impl Strategy<Value = Case> {
    let action = prop_oneof![
        Just(Action::Allow),
        Just(Action::Drop),
        Just(Action::Reject),
        Just(Action::Count)
    ];
    (action, prop::bool::weighted(0.9), vec(typed(), 1..6)).prop_map(
        |(action, enabled, entries)| Case {
            action,
            enabled,
            entries,
        },
    )
}

/// The eight bits lie at the end of the third byte of an IPv4 address, or in
/// the middle of an IPv6 address.
fn show((address, bits): (u8, u8), ipv6: bool) -> String {
    if ipv6 {
        format!("\"2001:db8:0:{address:x}::/{}\"", 56 + bits)
    } else {
        format!("10.0.{address}.0/{}", 16 + bits)
    }
}

fn yaml(cases: &[Case], ipv6: bool) -> String {
    let mut text = String::new();
    for (number, case) in cases.iter().enumerate() {
        text += &format!(
            "  - {{name: p{number:02}, action: {}, enabled: {}, destinations: [",
            case.action, case.enabled
        );
        for entry in &case.entries {
            let holes: Vec<String> = entry.holes.iter().map(|hole| show(*hole, ipv6)).collect();
            text += &format!(
                "{{cidr: {}, except: [{}]}}, ",
                show(entry.network, ipv6),
                holes.join(", ")
            );
        }
        text += "]}\n";
    }
    text
}

/// The expected result: tries each entry, and sorts as DESIGN defines.
fn brute_force(cases: &[Case], address: u8) -> Vec<String> {
    let mut found = Vec::new();
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| case.enabled) {
        let covers = |entry: &&Typed| {
            contains(entry.network, address)
                && !entry.holes.iter().any(|hole| contains(*hole, address))
        };
        if let Some(longest) = case
            .entries
            .iter()
            .filter(covers)
            .map(|entry| entry.network.1)
            .max()
        {
            found.push((
                case.action.strength(),
                u8::MAX - longest,
                format!("p{number:02}"),
            ));
        }
    }
    found.sort();
    found.into_iter().map(|(.., name)| name).collect()
}

#[test]
fn an_allow_of_fewer_packets_shadows_no_drop() {
    let warned = |allow: &str, drop: &str| {
        let loaded = load_text(&format!(
            "  - {{name: a, action: allow, destinations: [192.0.2.0/24]{allow}}}
  - {{name: d, action: drop, destinations: [192.0.2.0/24]{drop}}}
"
        ));
        let ruleset = compile(&loaded.policies, &Derivation::none()).unwrap();
        shadowed_drops(&loaded.policies, &ruleset)
            .warnings()
            .count()
            == 1
    };
    assert!(warned("", ""));
    assert!(warned("", ", services: [https]"));
    assert!(!warned(", services: [https]", ""));
    assert!(warned(
        ", services: [https]",
        ", services: [tcp/443, udp/443]"
    ));
    assert!(!warned(", services: [https]", ", services: [icmp]"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_address_has_the_obvious_answer(cases in vec(case(), 1..7), ipv6: bool) {
        let loaded = load_text(&yaml(&cases, ipv6));
        prop_assert!(!loaded.diagnostics.has_errors(), "{}", loaded.diagnostics.render(false));
        let ruleset = compile(&loaded.policies, &Derivation::none()).unwrap();
        for address in 0..=u8::MAX {
            let ip: IpAddr = if ipv6 {
                Ipv6Addr::new(0x2001, 0xdb8, 0, address.into(), 9, 9, 9, 9).into()
            } else {
                Ipv4Addr::new(10, 0, address, 9).into()
            };
            let expected = brute_force(&cases, address);
            let found: Vec<String> = ruleset
                .lookup(ip)
                .iter()
                .map(|policy| ruleset.policies[usize::from(*policy)].name.to_string())
                .collect();
            prop_assert_eq!(&found, &expected, "lookup of {}", ip);
            let explained = explain(&loaded.policies, &Derivation::none(), ip, &Packet::default()).matches;
            let explained: Vec<String> = explained.iter().map(|found| found.policy.to_string()).collect();
            prop_assert_eq!(&explained, &expected, "explain of {}", ip);
        }
    }

    #[test]
    fn a_shadowed_drop_is_one_that_no_address_feels(cases in vec(case(), 1..5)) {
        let loaded = load_text(&yaml(&cases, false));
        let ruleset = compile(&loaded.policies, &Derivation::none()).unwrap();
        let warned: Vec<String> = shadowed_drops(&loaded.policies, &ruleset)
            .warnings()
            .map(|warning| warning.message().split('`').nth(1).unwrap().to_owned())
            .collect();
        let drops = cases.iter().enumerate().filter(|(_, case)| case.enabled && case.action.blocks());
        let allowed = |name: &String| cases[name[1..].parse::<usize>().unwrap()].action == Action::Allow;
        let shadowed = drops.map(|(number, _)| format!("p{number:02}")).filter(|name| {
            (0..=u8::MAX)
                .map(|address| brute_force(&cases, address))
                .filter(|found| found.contains(name))
                .all(|found| allowed(&found[0]))
        });
        prop_assert_eq!(warned, shadowed.collect::<Vec<_>>());
    }

    #[test]
    fn the_order_of_policies_and_entries_changes_nothing(cases in vec(case(), 1..6), seed: u64) {
        let loaded = load_text(&yaml(&cases, false));
        let mut text: Vec<String> = yaml(&cases, false).lines().map(|line| format!("{line}\n")).collect();
        let turns = usize::try_from(seed % 7).unwrap() % text.len();
        text.rotate_left(turns);
        let mut reversed = cases.clone();
        for case in &mut reversed {
            case.entries.reverse();
        }
        let expected = compile(&loaded.policies, &Derivation::none()).unwrap();
        for other in [text.concat(), yaml(&reversed, false)] {
            let other = compile(&load_text(&other).policies, &Derivation::none()).unwrap();
            prop_assert_eq!(&other, &expected);
            prop_assert_eq!(other.content_hash(), expected.content_hash());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The order stays the same, because all derived prefixes are longer by the
    /// same number of bits.
    #[test]
    fn every_carrier_has_the_answer_of_its_address(
        cases in vec(case(), 1..7),
        own in 0_usize..4,
        tail: u64,
    ) {
        let loaded = load_text(&yaml(&cases, false));
        let prefixes = ["2001:db8:64::/96", "2001:db8::/32", "2001:db8:4000::/40", "2001:db8:0:64::/64"];
        let network = {
            let (first, length) = prefixes[own].split_once('/').unwrap();
            Network::new(first.parse::<Ipv6Addr>().unwrap(), length.parse().unwrap()).unwrap()
        };
        let derivation = Derivation::with([Embedding::nat64(network).unwrap()]);
        let ruleset = compile(&loaded.policies, &derivation).unwrap();
        let [.., suffix] = tail.to_be_bytes();
        for address in (0..=u8::MAX).step_by(3) {
            let carriers = [
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0x0a00, u16::from_be_bytes([address, 9])),
                Ipv6Addr::new(0x2002, 0x0a00, u16::from_be_bytes([address, 9]), 7, 0, 0, 0, suffix.into()),
                Ipv4Addr::new(10, 0, address, 9).to_ipv6_mapped(),
                match own {
                    0 => Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, 0x0a00, u16::from_be_bytes([address, 9])),
                    1 => Ipv6Addr::new(0x2001, 0xdb8, 0x0a00, u16::from_be_bytes([address, 9]), 0, suffix.into(), 0, 0),
                    // Octet 8 may hold anything.
                    2 => Ipv6Addr::new(0x2001, 0xdb8, 0x400a, u16::from_be_bytes([0, address]), u16::from_be_bytes([suffix, 9]), 1, 0, 0),
                    _ => Ipv6Addr::new(0x2001, 0xdb8, 0, 0x64, u16::from_be_bytes([suffix, 10]), u16::from_be_bytes([0, address]), 0x0900, 0),
                },
            ];
            let expected = brute_force(&cases, address);
            for ip in carriers {
                let found: Vec<String> = ruleset
                    .lookup(ip.into())
                    .iter()
                    .map(|policy| ruleset.policies[usize::from(*policy)].name.to_string())
                    .collect();
                prop_assert_eq!(&found, &expected, "lookup of {}", ip);
                let explained = explain(&loaded.policies, &derivation, ip.into(), &Packet::default()).matches;
                let explained: Vec<String> = explained.iter().map(|found| found.policy.to_string()).collect();
                prop_assert_eq!(&explained, &expected, "explain of {}", ip);
            }
        }
    }
}

#[test]
fn an_exception_holds_for_its_own_entry_only() {
    let ruleset = ruleset(
        "  - name: a
    action: drop
    destinations:
      - {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
      - 10.1.2.0/24
  - {name: b, action: count, destinations: [10.1.0.0/24]}
",
    );
    assert_eq!(names(&ruleset, "10.2.0.1"), ["a"]);
    assert_eq!(names(&ruleset, "10.1.0.1"), ["b"]);
    assert_eq!(names(&ruleset, "10.1.1.1"), Vec::<String>::new());
    assert_eq!(names(&ruleset, "10.1.2.1"), ["a"]);
    let hole = ruleset
        .ipv4
        .iter()
        .find(|prefix| prefix.length == 16)
        .unwrap();
    assert_eq!(hole.match_set, 0, "what nothing covers has the empty set");
    assert_eq!(
        ruleset.policies[0].prefixes.v4, 2,
        "exceptions are not counted"
    );
}

#[test]
fn edges_of_the_address_space() {
    let ruleset = ruleset(
        "  - {name: all, action: count, destinations: [0.0.0.0/0, \"::/0\"]}
  - {name: last, action: drop, destinations: [255.255.255.255, \"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\"]}
  - {name: first, action: allow, destinations: [0.0.0.0, \"::/128\"]}
",
    );
    assert_eq!(names(&ruleset, "255.255.255.255"), ["last", "all"]);
    assert_eq!(names(&ruleset, "255.255.255.254"), ["all"]);
    assert_eq!(names(&ruleset, "0.0.0.0"), ["first", "all"]);
    assert_eq!(names(&ruleset, "::"), ["first", "all"]);
    assert_eq!(
        names(&ruleset, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ["last", "all"]
    );
}

#[test]
fn the_hash_is_the_same_in_every_release() {
    let one =
        ruleset("  - {name: a, action: count, destinations: [192.0.2.0/24, \"2001:db8::/32\"]}\n");
    assert_eq!(
        one.content_hash(),
        0xc9ae_c4a1_af4b_74a7,
        "{:#x}",
        one.content_hash()
    );
    let other =
        ruleset("  - {name: a, action: drop, destinations: [192.0.2.0/24, \"2001:db8::/32\"]}\n");
    assert_ne!(one.content_hash(), other.content_hash());
}

fn covering(count: usize) -> Loaded {
    let policies = (0..count)
        .map(|n| format!("  - {{name: p{n:02}, action: count, destinations: [192.0.2.0/24]}}\n"));
    load_text(&policies.collect::<String>())
}

#[test]
fn thirty_two_policies_cover_an_address_and_a_33rd_does_not() {
    assert_eq!(
        compile(&covering(32).policies, &Derivation::none())
            .unwrap()
            .lookup(IpAddr::from([192, 0, 2, 1]))
            .len(),
        32
    );
    let errors = compile(&covering(33).policies, &Derivation::none()).unwrap_err();
    let message = errors.errors().next().unwrap().message().to_owned();
    assert!(
        message.starts_with("33 policies cover 192.0.2.0/24, the kernel walks 32: `p00`, "),
        "{message}"
    );
    assert!(message.ends_with("`p32`"), "{message}");
}

/// One policy for each bit of a number, and one address for each number. So
/// there are as many match sets as numbers.
fn numbers(count: u32) -> Loaded {
    const BITS: u32 = 16;
    let mut files = Memory::default();
    let mut yaml = String::from("version: 1\npolicies:\n");
    for bit in 0..BITS {
        let with_bit = (1..=count).filter(|number| number >> bit & 1 == 1);
        let list =
            with_bit.map(|number| format!("{}\n", Ipv4Addr::from_bits(0x0a00_0000 + number)));
        files.0.insert(format!("{bit}.txt").into(), list.collect());
        if count >> bit > 0 {
            yaml += &format!(
                "  - {{name: bit-{bit}, action: count, destinations: [{{list: {bit}.txt}}]}}\n"
            );
        }
    }
    files.0.insert("p.yaml".into(), yaml);
    load(&["p.yaml".into()], &files)
}

#[test]
fn the_limit_of_match_sets() {
    let ruleset = compile(&numbers(32_767).policies, &Derivation::none()).unwrap();
    assert_eq!(
        ruleset.match_sets.len(),
        32_768,
        "the empty set is not counted"
    );
    let errors = compile(&numbers(32_768).policies, &Derivation::none()).unwrap_err();
    let message = errors.errors().next().unwrap().message().to_owned();
    assert!(
        message.contains("more than 32767 different ways: `bit-15`"),
        "{message}"
    );
}

#[test]
fn nothing_matches_an_empty_ruleset() {
    let ruleset = Ruleset::default();
    assert!(ruleset.lookup(IpAddr::from([192, 0, 2, 1])).is_empty());
    assert_eq!(
        explain(
            &[],
            &Derivation::none(),
            IpAddr::from([192, 0, 2, 1]),
            &Packet::default()
        )
        .decision,
        Decision::None
    );
}
