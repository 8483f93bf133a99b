//! Runs the verified program by `BPF_PROG_TEST_RUN`: on a table of packets, and
//! on random packets that are compared with the reference model.

mod directions;
mod flows;
mod reject;
mod services;
#[expect(dead_code, reason = "each test file uses a part of it")]
#[path = "../support/mod.rs"]
mod support;
mod table;

use monitor::{
    datapath::{Examines, FrameOutcome, Sandbox},
    policy::Action,
};
use monitor_common::Reason;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use support::{
    generate::{self, Size},
    kernel::{Pair, compiled},
    packets::to,
    reference::{Block, Entry, Policy, address, number},
    release::kernel_is_at_least,
};

/// An address family without prefixes needs no look-up, and matches nothing.
#[test]
fn a_ruleset_of_one_family_leaves_the_other_alone() {
    for (only, ours, theirs) in [
        ("10.0.0.0/8", "10.0.0.1", "2001:db8::1"),
        ("2001:db8::/32", "2001:db8::1", "10.0.0.1"),
    ] {
        let mut pair = Pair::new(vec![Policy::new("only", Action::Drop, &[only])]);
        assert_eq!(pair.check(&to(ours).build()), parsed(&[0], true));
        assert_eq!(pair.check(&to(theirs).build()), parsed(&[], false));
        pair.check_cells();
    }
}

/// One address has as many policies as the limit allows.
#[test]
fn the_longest_match_set_is_walked_to_its_end() {
    let policies: Vec<_> = (0..32)
        .map(|number| Policy::new(&format!("p{number:02}"), Action::Count, &["10.0.0.0/8"]))
        .collect();
    let mut pair = Pair::new(policies);
    let all: Vec<u16> = (0..32).collect();
    assert_eq!(pair.check(&to("10.9.8.7").build()), parsed(&all, false));
    pair.check_cells();
}

/// More devices than the table holds: the policy still counts all of them.
#[test]
fn devices_and_other_add_up_to_the_policy_when_the_table_is_full() {
    let ruleset =
        compiled("version: 1\npolicies: [{name: p, action: drop, destinations: [10.0.0.0/8]}]\n");
    let mut sandbox = Sandbox::new(&ruleset, "wlan0").unwrap();
    let devices = monitor_common::MAX_DEVICE_CELLS + 100;
    for number in 0..devices {
        let [a, b, c, d] = number.to_be_bytes();
        let frame = to("10.0.0.1").source([2, 0, a, b, c, d]).build();
        sandbox.run(&frame).unwrap();
    }
    let counters = sandbox.counters().unwrap();
    let policy = &counters.policies[0];
    assert_eq!(policy.dropped.packets, u64::from(devices));
    assert_eq!(policy.other_passed.packets, 0);
    assert!(policy.other_dropped.packets >= 100, "{policy:?}");
    let of_devices: u64 = counters
        .devices
        .iter()
        .map(|(_, device)| device.dropped.packets)
        .sum();
    assert_eq!(
        of_devices + policy.other_dropped.packets,
        policy.dropped.packets
    );
}

/// Older verifiers prune less, so the program must stay far below their limit
/// of a million instructions.
#[test]
fn the_verifier_has_room_to_spare() {
    let everything = table::RULESET.to_owned()
        + "    devices: ['02:00:00:00:00:01', 192.168.50.0/24, '2001:db8::/32']
    except_devices: ['02:00:00:00:00:00/24']
    interfaces: [wlan0]
    services: [tcp/443, udp/1-1000, icmp]
";
    let rejects = everything.replacen("action: drop", "action: reject", 1);
    // Making answers is code of its own.
    for (ruleset, most) in [
        (table::RULESET, 150_000),
        (&everything, 150_000),
        (&rejects, 250_000),
    ] {
        let ruleset = compiled(ruleset);
        for (evidence, sandbox) in [
            ("counters", Sandbox::new(&ruleset, "wlan0")),
            (
                "flows",
                Sandbox::recording(&ruleset, "wlan0", Examines::LanIngress, 4096),
            ),
            (
                "flows, arriving from the internet",
                Sandbox::recording(&ruleset, "wlan0", Examines::WanIngress, 4096),
            ),
            (
                "flows, leaving",
                Sandbox::recording(&ruleset, "wlan0", Examines::WanEgress, 4096),
            ),
        ] {
            // Every kernel verifies the program. It states the number since Linux 5.16.
            let Some(walked) = sandbox.unwrap().verified_instructions().unwrap() else {
                assert!(!kernel_is_at_least([5, 16]));
                continue;
            };
            println!("the verifier walked through {walked} instructions ({evidence})");
            // Older verifiers find fewer states to be equal. The limit of every kernel is a
            // million.
            let most = if kernel_is_at_least([6, 6]) {
                most
            } else {
                2 * most
            };
            assert!(walked < most, "{walked} instructions");
        }
    }
}

const RULESETS: usize = 250;
const FRAMES: usize = 120;

/// Kernel and model agree on every outcome and on every cell. Most of the time
/// goes into loading, so there are two of these, side by side.
#[test]
fn random_rulesets_and_packets() {
    compare_random(generate::generator());
}

#[test]
fn other_random_rulesets_and_packets() {
    let seed = generate::generator().random();
    compare_random(StdRng::seed_from_u64(seed));
}

fn compare_random(mut random: StdRng) {
    for number in 0..RULESETS {
        let size = Size {
            policies: 1 + number % 32,
            entries: 1 + number % 24,
            scopes: number % 4 != 0,
        };
        let mut policies = acceptable(generate::ruleset(&mut random, size));
        if number % 3 != 0 {
            generate::change(&mut random, &mut policies);
        }
        let mut pair = Pair::new(policies.clone());
        for _ in 0..FRAMES {
            pair.check(&generate::frames::frame(&mut random, &policies));
        }
        pair.check_cells();
    }
}

/// Changes policies so that a policy file may contain them: without drops of
/// very short prefixes, and without exceptions that leave nothing.
fn acceptable(mut policies: Vec<Policy>) -> Vec<Policy> {
    for policy in &mut policies {
        policy.entries.retain(leaves_something);
        let short = policy.entries.iter().any(|entry| {
            let shortest = if entry.block.address.is_ipv4() { 8 } else { 16 };
            entry.block.length < shortest
        });
        if short && policy.action.blocks() {
            policy.action = Action::Allow;
            policy.allow_handshake = false;
        }
    }
    policies.retain(|policy| !policy.entries.is_empty());
    policies
}

/// True if the holes leave an address. If so, the first address of the block or
/// the first one behind a hole is left.
fn leaves_something(entry: &Entry) -> bool {
    let ipv4 = entry.block.address.is_ipv4();
    let behind = |hole: &Block| address(ipv4, number(hole.last()).wrapping_add(1));
    std::iter::once(entry.block.first())
        .chain(entry.except.iter().map(behind))
        .any(|candidate| {
            entry.block.contains(candidate)
                && !entry.except.iter().any(|hole| hole.contains(candidate))
        })
}

fn unparsed(reason: Reason, dropped: bool) -> FrameOutcome {
    FrameOutcome::Unparsed { reason, dropped }
}

fn parsed(matched: &[u16], dropped: bool) -> FrameOutcome {
    FrameOutcome::Parsed {
        matched: matched.to_vec(),
        dropped,
    }
}
