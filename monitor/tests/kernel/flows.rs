//! Flows that the kernel program records, and what finds no room.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{collections::BTreeMap, net::IpAddr};

use jiff::{SignedDuration, Timestamp};
use monitor::{
    datapath::{Examines, Sandbox},
    evidence::{Direction, Flow, Port},
    policy::MacAddress,
};
use monitor_common::{Count, evidence::EffectiveCounters};
use rand::{RngExt as _, rngs::StdRng};

use crate::{
    acceptable,
    support::{
        generate::{self, Size, to_overlay, to_yaml},
        kernel::{INTERFACE, compiled, ruleset_of},
        packets::{Builder, Fragment, Transport, to},
        reference::{Outcome, Policy, Total, Verdict, judge},
    },
};

/// Time of the first packet of a test, in the middle of a second.
const BEGIN: Timestamp = Timestamp::constant(1_400_000_000, 500_000_000);

/// Flows by what a model can tell of a packet: device, destination, protocol and port if they
/// are readable, and the policies that match, sorted by name.
type Flows = BTreeMap<(MacAddress, IpAddr, Option<(u8, u16)>, Vec<String>), [Total; 2]>;

fn add(flows: &mut Flows, flow: &Flow) {
    let mut names: Vec<_> = flow.policies.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    let protocol = flow.key.protocol;
    let service = match flow.key.port {
        Port::Number(port) => Some((protocol, port)),
        Port::None if matches!(protocol, 1 | 58) => Some((protocol, 0)),
        _ => None,
    };
    let key = (flow.key.device, flow.key.destination, service, names);
    let totals = flows.entry(key).or_default();
    for (total, count) in totals.iter_mut().zip([flow.passed, flow.dropped]) {
        total.packets += count.packets;
        total.bytes += count.bytes;
    }
}

fn expect(flows: &mut Flows, policies: &[Policy], frame: &[u8], length: u64) {
    let Outcome::Parsed {
        packet,
        matched,
        verdict,
    } = judge(policies, INTERFACE, frame)
    else {
        return;
    };
    if matched.is_empty() {
        return;
    }
    let mut names: Vec<_> = matched
        .iter()
        .map(|index| policies[*index].name.clone())
        .collect();
    names.sort_unstable();
    let key = (packet.source, packet.destination, packet.service, names);
    let total = &mut flows.entry(key).or_default()[usize::from(verdict == Verdict::Dropped)];
    total.packets += 1;
    total.bytes += length;
}

/// The part of what the policies' cells say that is recorded in flows, by name.
fn recorded(flows: &[Flow]) -> BTreeMap<String, [Count; 2]> {
    let mut recorded: BTreeMap<String, [Count; 2]> = BTreeMap::new();
    for flow in flows {
        let sums = recorded.entry(flow.policies[0].to_string()).or_default();
        sums[0] += flow.passed;
        sums[1] += flow.dropped;
    }
    recorded
}

/// Asserts, for each policy and verdict: flows + full + setting = effective.
fn assert_equation(
    names: &[String],
    effective: &[EffectiveCounters],
    recorded: &BTreeMap<String, [Count; 2]>,
) {
    for (name, cells) in names.iter().zip(effective) {
        let [mut passed, mut dropped] = recorded.get(name).copied().unwrap_or_default();
        passed += cells.full_passed;
        passed += cells.setting_passed;
        dropped += cells.full_dropped;
        dropped += cells.setting_dropped;
        assert_eq!((passed, dropped), (cells.passed, cells.dropped), "{name}");
    }
}

/// Kernel and model agree on every flow, and flows add up to the effective cells.
#[test]
fn flows_of_random_rulesets_and_packets() {
    let mut random = generate::generator();
    let mut most = 0;
    for number in 0..60 {
        most = most.max(compare_flows(&mut random, number));
    }
    assert!(most > 20, "at most {most} flows of one ruleset");
}

fn compare_flows(random: &mut StdRng, number: usize) -> usize {
    let size = Size {
        policies: 1 + number % 32,
        entries: 1 + number % 24,
        scopes: !number.is_multiple_of(4),
    };
    let mut policies = acceptable(generate::ruleset(random, size));
    if !number.is_multiple_of(3) {
        generate::change(random, &mut policies);
    }
    let ruleset = ruleset_of(&policies);
    let mut sandbox = Sandbox::recording(&ruleset, INTERFACE, Examines::LanIngress, 4096).unwrap();
    let mut expected = Flows::new();
    let mut found = Vec::new();
    for index in 0..120_u64 {
        let frame = generate::frames::frame(random, &policies);
        if frame.len() < 14 {
            continue;
        }
        // A capture may hold less than the wire did.
        let length = frame.len() as u64 + random.random_range(0..3_u64);
        let at = BEGIN + SignedDuration::from_secs(index.cast_signed());
        sandbox.run_at(&frame, at, length).unwrap();
        expect(&mut expected, &policies, &frame, length);
        if random.random_range(0..40) == 0 {
            found.extend(sandbox.take_flows().unwrap());
        }
    }
    found.extend(sandbox.take_flows().unwrap());
    assert_eq!(sandbox.take_flows().unwrap(), [], "the tables are cleared");
    let mut flows = Flows::new();
    for flow in &found {
        add(&mut flows, flow);
    }
    let (yaml, overlay) = (to_yaml(&policies), to_overlay(&policies));
    assert_eq!(flows, expected, "{yaml}{overlay:?}");
    let names = ruleset
        .policies
        .iter()
        .map(|policy| policy.name.to_string());
    let names: Vec<_> = names.collect();
    assert_equation(&names, &sandbox.effective().unwrap(), &recorded(&found));
    flows.len()
}

const TWO: &str = "version: 1
policies:
  - {name: counted, action: count, destinations: [10.0.0.0/8, 2001:db8::/32], evidence: LEVEL}
  - {name: dropped, action: drop, destinations: [10.1.0.0/16]}
";

/// What finds no room is counted, and the effective cells are still the sum.
#[test]
fn a_full_table_loses_no_count() {
    let ruleset = compiled(&TWO.replace("LEVEL", "flows"));
    let mut sandbox = Sandbox::recording(&ruleset, INTERFACE, Examines::LanIngress, 2048).unwrap();
    for number in 0..5000_u16 {
        let [high, low] = number.to_be_bytes();
        let destination = format!("10.{}.{}.{}", number % 2, high, low);
        let frame = to(&destination).build();
        for _ in 0..2 {
            sandbox.run_at(&frame, BEGIN, frame.len() as u64).unwrap();
        }
    }
    let flows = sandbox.take_flows().unwrap();
    let effective = sandbox.effective().unwrap();
    let names = ["counted", "dropped"].map(str::to_owned);
    assert_equation(&names, &effective, &recorded(&flows));
    let full = effective[0].full_passed.packets + effective[1].full_dropped.packets;
    let recorded: u64 = flows
        .iter()
        .map(|flow| flow.passed.packets + flow.dropped.packets)
        .sum();
    assert!(full > 0 && recorded > 0, "full {full}, recorded {recorded}");
    assert_eq!(full + recorded, 10_000);
    assert!(flows.len() > 1024, "{} flows in 2,048 cells", flows.len());
}

/// A policy that asks for counters only is named in the flow of another policy that asks
/// for more, and else its packets are counted as not recorded.
#[test]
fn a_policy_with_counters_only_is_not_recorded_by_itself() {
    let ruleset = compiled(&TWO.replace("LEVEL", "counters"));
    let mut sandbox = Sandbox::recording(&ruleset, INTERFACE, Examines::LanIngress, 4096).unwrap();
    for destination in ["10.0.0.1", "10.1.0.1", "2001:db8::1"] {
        let frame = to(destination).build();
        sandbox.run_at(&frame, BEGIN, frame.len() as u64).unwrap();
    }
    let flows = sandbox.take_flows().unwrap();
    let [flow] = flows.as_slice() else {
        panic!("{flows:?}");
    };
    let names = flow.policies.iter().map(ToString::to_string);
    assert_eq!(names.collect::<Vec<_>>(), ["dropped", "counted"]);
    assert_eq!(flow.dropped.packets, 1);
    let [counted, dropped] = sandbox.effective().unwrap().try_into().unwrap();
    assert_eq!(counted.passed.packets, 2);
    assert_eq!(counted.setting_passed, counted.passed);
    assert_eq!(dropped.dropped.packets, 1);
    assert_eq!(dropped.setting_dropped.packets, 0);
}

/// A later packet changes only the last time; a generation drained in between begins anew.
#[test]
fn a_flow_has_the_times_and_lengths_of_its_packets() {
    let ruleset = compiled(&TWO.replace("LEVEL", "names"));
    let mut sandbox = Sandbox::recording(&ruleset, INTERFACE, Examines::LanIngress, 4096).unwrap();
    let frame = udp("10.0.0.1").source([2, 0, 0, 0, 0, 7]).build();
    let later = |seconds| BEGIN + SignedDuration::from_secs(seconds);
    for seconds in [0, 10, 3600] {
        sandbox.run_at(&frame, later(seconds), 1500).unwrap();
    }
    let [flow] = sandbox.take_flows().unwrap().try_into().unwrap();
    assert_eq!((flow.first, flow.last), (later(0), later(3600)));
    assert_eq!(flow.key.device, MacAddress([2, 0, 0, 0, 0, 7]));
    assert_eq!(flow.key.interface, INTERFACE);
    assert_eq!(flow.key.direction, Direction::Out);
    assert_eq!((flow.key.protocol, flow.key.port), (17, Port::Number(443)));
    let (packets, bytes) = (3, 4500);
    assert_eq!(flow.passed, Count { packets, bytes });
    assert_eq!(flow.dropped, Count::default());
    sandbox.run_at(&frame, later(7200), 1500).unwrap();
    let [flow] = sandbox.take_flows().unwrap().try_into().unwrap();
    assert_eq!((flow.first, flow.last), (later(7200), later(7200)));
}

fn udp(destination: &str) -> Builder {
    to(destination).transport(Transport::Udp(443))
}

/// A flow without a port says why.
#[test]
fn a_port_that_is_not_readable_has_a_reason() {
    const OPTIONS: u8 = 60;
    let other = |protocol| to("2001:db8::1").transport(Transport::Other(protocol));
    let headers = |count: usize| udp("2001:db8::1").extensions(&vec![OPTIONS; count]);
    let cases: [(&str, Vec<u8>, u8, Port); 10] = [
        ("udp", udp("10.0.0.1").build(), 17, Port::Number(443)),
        ("16 headers", headers(16).build(), 17, Port::Number(443)),
        (
            "17 headers",
            headers(17).build(),
            OPTIONS,
            Port::TooManyExtensions,
        ),
        (
            "later fragment",
            udp("10.0.0.1").fragment(Fragment::Later(100)).build(),
            17,
            Port::LaterFragment,
        ),
        (
            "later fragment, IPv6",
            udp("2001:db8::1").fragment(Fragment::Later(100)).build(),
            17,
            Port::LaterFragment,
        ),
        (
            "cut",
            udp("10.0.0.1").truncated(14 + 20 + 3),
            17,
            Port::Truncated,
        ),
        ("esp", other(50).build(), 50, Port::Hidden),
        ("ah", other(51).truncated(14 + 40), 51, Port::Truncated),
        ("gre", other(47).build(), 47, Port::None),
        (
            "icmp",
            to("10.0.0.1").transport(Transport::EchoRequest).build(),
            1,
            Port::None,
        ),
    ];
    let ruleset = compiled(&TWO.replace("LEVEL", "names"));
    let mut sandbox = Sandbox::recording(&ruleset, INTERFACE, Examines::LanIngress, 4096).unwrap();
    for (name, frame, protocol, port) in cases {
        sandbox.run_at(&frame, BEGIN, frame.len() as u64).unwrap();
        let [flow] = sandbox.take_flows().unwrap().try_into().unwrap();
        assert_eq!(
            (flow.key.protocol, flow.key.port),
            (protocol, port),
            "{name}"
        );
    }
}

/// An IPv4-mapped IPv6 destination stays IPv6.
#[test]
fn a_mapped_destination_is_told_from_ipv4() {
    let ruleset =
        compiled("version: 1\npolicies: [{name: p, action: count, destinations: [10.0.0.0/8]}]\n");
    let mut sandbox = Sandbox::recording(&ruleset, INTERFACE, Examines::LanIngress, 4096).unwrap();
    for destination in ["10.0.0.1", "::ffff:10.0.0.1"] {
        let frame = udp(destination).build();
        sandbox.run_at(&frame, BEGIN, frame.len() as u64).unwrap();
    }
    let flows = sandbox.take_flows().unwrap();
    let found = flows.iter().map(|flow| flow.key.destination.to_string());
    assert_eq!(found.collect::<Vec<_>>(), ["10.0.0.1", "::ffff:10.0.0.1"]);
}
