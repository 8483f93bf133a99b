//! The program as the verifier let it in, run by `BPF_PROG_TEST_RUN`: a table of
//! packets, and random ones against the reference model.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use monitor::{
    datapath::{FrameOutcome, Sandbox},
    policy::Action,
};
use monitor_common::Reason;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use support::{
    generate::{self, Size},
    kernel::{Pair, compiled},
    packets::{ARP, Builder, Fragment, GATEWAY, PPPOE_SESSION, Transport, ethernet, to},
    reference::{Block, Entry, Policy, address, number},
};

/// What the table's ruleset does with its addresses.
const RULESET: &str = "version: 1
policies:
  - name: allow
    action: allow
    destinations: [10.1.1.0/24, 2001:db8:1:1::/64]
  - name: drop
    action: drop
    destinations: [10.0.0.0/8, 192.0.2.7, 2001:db8::/32, '2001:db8:ffff::7']
  - name: count
    action: count
    destinations: [0.0.0.0/0, '::/0']
";
const ALLOW: u16 = 0;
const COUNT: u16 = 1;
const DROP: u16 = 2;

/// What must become of a frame.
enum Expect {
    /// Matched by these, by index in the order of names, and passed.
    Passed(&'static [u16]),
    /// Matched by these and dropped.
    Dropped(&'static [u16]),
    /// Passed without a look-up.
    Unparsed(Reason),
}
use Expect::{Dropped, Passed, Unparsed};

#[test]
fn table() {
    let cases: Vec<(&str, Vec<u8>, Expect)> = [destinations(), layers(), truncated(), damaged()]
        .into_iter()
        .flatten()
        .collect();
    let mut sandbox = Sandbox::new(&compiled(RULESET), "wlan0").expect("load the program as root");
    for (description, frame, expect) in cases {
        let expected = match expect {
            Passed(matched) => parsed(matched, false),
            Dropped(matched) => parsed(matched, true),
            Unparsed(reason) => FrameOutcome::Unparsed(reason),
        };
        assert_eq!(sandbox.run(&frame).unwrap(), expected, "{description}");
    }
}

fn destinations() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let frame = |destination| to(destination).build();
    vec![
        ("v4, /0 only", frame("203.0.113.1"), Passed(&[COUNT])),
        (
            "v4, below the range",
            frame("9.255.255.255"),
            Passed(&[COUNT]),
        ),
        (
            "v4, first of the range",
            frame("10.0.0.0"),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "v4, last of the range",
            frame("10.255.255.255"),
            Dropped(&[COUNT, DROP]),
        ),
        ("v4, above the range", frame("11.0.0.0"), Passed(&[COUNT])),
        (
            "v4, allow inside drop",
            frame("10.1.1.255"),
            Passed(&[ALLOW, COUNT, DROP]),
        ),
        (
            "v4, beside the allow",
            frame("10.1.2.0"),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "v4, full length",
            frame("192.0.2.7"),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "v4, beside full length",
            frame("192.0.2.6"),
            Passed(&[COUNT]),
        ),
        ("v4, lowest", frame("0.0.0.0"), Passed(&[COUNT])),
        ("v4, highest", frame("255.255.255.255"), Passed(&[COUNT])),
        ("v6, /0 only", frame("2001:db7:ffff::1"), Passed(&[COUNT])),
        (
            "v6, first of the range",
            frame("2001:db8::"),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "v6, last of the range",
            frame("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "v6, allow inside drop",
            frame("2001:db8:1:1::9"),
            Passed(&[ALLOW, COUNT, DROP]),
        ),
        (
            "v6, full length",
            frame("2001:db8:ffff::7"),
            Dropped(&[COUNT, DROP]),
        ),
        ("v6, lowest", frame("::"), Passed(&[COUNT])),
    ]
}

fn layers() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let v4 = || to("10.2.3.4");
    let v6 = || to("2001:db8:2::4");
    let dropped = || Dropped(&[COUNT, DROP]);
    let arp = ethernet(GATEWAY, ARP, &[0; 28]);
    vec![
        ("one tag", v4().tags(&[0x8100]).build(), dropped()),
        ("QinQ", v6().tags(&[0x88a8, 0x8100]).build(), dropped()),
        (
            "three tags",
            v4().tags(&[0x9100, 0x9200, 0x8100]).build(),
            dropped(),
        ),
        ("four tags", v6().tags(&[0x8100; 4]).build(), dropped()),
        (
            "five tags",
            v4().tags(&[0x8100; 5]).build(),
            Unparsed(Reason::VlanDepth),
        ),
        ("PPPoE, v4", v4().pppoe().build(), dropped()),
        ("PPPoE, v6", v6().pppoe().build(), dropped()),
        (
            "PPPoE in four tags",
            v6().tags(&[0x8100; 4]).pppoe().build(),
            dropped(),
        ),
        (
            "PPPoE, another version",
            v4().pppoe_with(0x21, 0).build(),
            Unparsed(Reason::BadPppoe),
        ),
        (
            "PPPoE, another code",
            v4().pppoe_with(0x11, 9).build(),
            Unparsed(Reason::BadPppoe),
        ),
        ("IPv4 with options", v4().options(10).build(), dropped()),
        (
            "IPv4, first fragment",
            v4().fragment(Fragment::First).build(),
            dropped(),
        ),
        (
            "IPv4, later fragment",
            v4().fragment(Fragment::Later(100)).build(),
            dropped(),
        ),
        (
            "IPv6, later fragment",
            v6().fragment(Fragment::Later(100)).build(),
            dropped(),
        ),
        (
            "IPv6, extension headers",
            v6().extensions(&[0, 43, 60]).build(),
            dropped(),
        ),
        (
            "TCP",
            v4().transport(Transport::Tcp(443)).build(),
            dropped(),
        ),
        (
            "no next header",
            v6().transport(Transport::Other(59)).build(),
            dropped(),
        ),
        ("a long frame", v4().payload(&[0; 5000]).build(), dropped()),
        ("ARP", arp, Unparsed(Reason::NonIp)),
        (
            "802.3 length",
            ethernet(GATEWAY, 38, &[0x42; 38]),
            Unparsed(Reason::NonIp),
        ),
        (
            "empty Ethernet",
            ethernet(GATEWAY, ARP, &[]),
            Unparsed(Reason::NonIp),
        ),
    ]
}

fn truncated() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let v4 = |length| to("10.2.3.4").truncated(length);
    let v6 = |length| to("2001:db8:2::4").truncated(length);
    let tagged = |length| to("10.2.3.4").tags(&[0x8100, 0x8100]).truncated(length);
    let pppoe = |length| to("10.2.3.4").pppoe().truncated(length);
    vec![
        ("nothing", v4(0), Unparsed(Reason::TruncatedEthernet)),
        ("13 bytes", v4(13), Unparsed(Reason::TruncatedEthernet)),
        ("no IPv4 header", v4(14), Unparsed(Reason::TruncatedIpv4)),
        ("19 bytes of IPv4", v4(33), Unparsed(Reason::TruncatedIpv4)),
        ("20 bytes of IPv4", v4(34), Dropped(&[COUNT, DROP])),
        ("39 bytes of IPv6", v6(53), Unparsed(Reason::TruncatedIpv6)),
        ("40 bytes of IPv6", v6(54), Dropped(&[COUNT, DROP])),
        ("no first tag", tagged(14), Unparsed(Reason::TruncatedVlan)),
        (
            "half a second tag",
            tagged(21),
            Unparsed(Reason::TruncatedVlan),
        ),
        ("tags alone", tagged(22), Unparsed(Reason::TruncatedIpv4)),
        ("half a PPPoE header", pppoe(19), Unparsed(Reason::BadPppoe)),
        ("no PPP protocol", pppoe(20), Unparsed(Reason::BadPppoe)),
        ("half a PPP protocol", pppoe(21), Unparsed(Reason::BadPppoe)),
        (
            "PPPoE and no packet",
            pppoe(22),
            Unparsed(Reason::TruncatedIpv4),
        ),
    ]
}

fn damaged() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let with = |builder: Builder, offset: usize, byte| {
        let mut frame = builder.build();
        frame[offset] = byte;
        frame
    };
    let lcp = [0x11, 0, 0, 1, 0, 4, 0xc0, 0x21, 1, 1];
    vec![
        (
            "IPv4, version 5",
            with(to("10.2.3.4"), 14, 0x55),
            Unparsed(Reason::BadIpv4),
        ),
        (
            "IPv4, 4 header words",
            with(to("10.2.3.4"), 14, 0x44),
            Unparsed(Reason::BadIpv4),
        ),
        (
            "IPv4, wrong total length",
            with(to("10.2.3.4"), 16, 0xff),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "IPv6, version 4",
            with(to("2001:db8::4"), 14, 0x40),
            Unparsed(Reason::BadIpv6),
        ),
        (
            "IPv6, traffic class",
            with(to("2001:db8::4"), 14, 0x6f),
            Dropped(&[COUNT, DROP]),
        ),
        (
            "LCP in PPPoE",
            ethernet(GATEWAY, PPPOE_SESSION, &lcp),
            Unparsed(Reason::NonIp),
        ),
    ]
}

fn parsed(matched: &[u16], dropped: bool) -> FrameOutcome {
    FrameOutcome::Parsed {
        matched: matched.to_vec(),
        dropped,
    }
}

/// An empty family costs no look-up, and matches nothing.
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

/// As many policies on one address as the limit allows.
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

/// Older verifiers prune less: keep a distance from their limit of a million.
#[test]
fn the_verifier_has_room_to_spare() {
    let everything = RULESET.to_owned()
        + "    devices: ['02:00:00:00:00:01', 192.168.50.0/24, '2001:db8::/32']
    except_devices: ['02:00:00:00:00:00/24']
    interfaces: [wlan0]
    services: [tcp/443, udp/1-1000, icmp]
";
    for ruleset in [RULESET, &everything] {
        let mut sandbox = Sandbox::new(&compiled(ruleset), "wlan0").unwrap();
        let walked = sandbox.verified_instructions().unwrap().unwrap();
        println!("the verifier walked through {walked} instructions");
        assert!(walked < 100_000, "{walked} instructions");
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
            pair.check(&generate::frame(&mut random, &policies));
        }
        pair.check_cells();
    }
}

/// The same, without what a policy file may not say: drops of very short
/// prefixes, and exceptions that leave nothing.
fn acceptable(mut policies: Vec<Policy>) -> Vec<Policy> {
    for policy in &mut policies {
        policy.entries.retain(leaves_something);
        let short = policy.entries.iter().any(|entry| {
            let shortest = if entry.block.address.is_ipv4() { 8 } else { 16 };
            entry.block.length < shortest
        });
        if short && policy.action == Action::Drop {
            policy.action = Action::Allow;
        }
    }
    policies.retain(|policy| !policy.entries.is_empty());
    policies
}

/// Where anything is left, it begins with the block or behind a hole.
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
