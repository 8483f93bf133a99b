//! The other hooks: packets that arrive from the internet, and packets that the gateway
//! itself sends.

use monitor::datapath::{Examines, Sandbox};
use monitor_common::Reason;

use crate::{
    parsed,
    support::{
        kernel::compiled,
        packets::{Transport, to},
    },
    table::{self, Expect},
};

/// The classifier decides about every frame of the table as the XDP program does. The kernel
/// runs no classifier on a frame whose IP header is cut short.
#[test]
fn the_table_at_the_egress() {
    let ruleset = compiled(table::RULESET);
    let mut egress = Sandbox::at(&ruleset, "wan0", Examines::WanEgress).unwrap();
    let mut refused = 0;
    for (description, frame, expect) in table::cases() {
        let expected = expect.outcome();
        match (egress.run(&frame), expect) {
            (
                Err(_),
                Expect::Unparsed(
                    Reason::TruncatedIpv4 | Reason::TruncatedIpv6 | Reason::TruncatedEthernet,
                ),
            ) => refused += 1,
            (outcome, _) => assert_eq!(outcome.unwrap(), expected, "{description}"),
        }
    }
    assert!(refused < 20, "{refused} frames");
}

/// The answer to a packet: its addresses and ports are swapped.
fn answer(mut frame: Vec<u8>) -> Vec<u8> {
    let is_ipv4 = frame[14] >> 4 == 4;
    let (addresses, length, ports) = if is_ipv4 { (26, 4, 34) } else { (22, 16, 54) };
    let (source, destination) = frame[addresses..addresses + 2 * length].split_at_mut(length);
    source.swap_with_slice(destination);
    if let Some(ports) = frame.get_mut(ports..ports + 4) {
        let (source, destination) = ports.split_at_mut(2);
        source.swap_with_slice(destination);
    }
    frame
}

/// At the WAN, the source of an answer is looked up as the destination of a question is.
#[test]
fn answers_match_by_their_source() {
    let ruleset = compiled(table::RULESET);
    let mut wan = Sandbox::at(&ruleset, "wan0", Examines::WanIngress).unwrap();
    for (description, frame, expect) in table::destinations() {
        let outcome = wan.run(&answer(frame)).unwrap();
        assert_eq!(outcome, expect.outcome(), "{description}");
    }
    let counters = wan.counters().unwrap();
    assert!(counters.devices.is_empty(), "packets in have no device");
    for policy in counters.policies {
        assert_eq!(policy.passed, policy.other_passed);
        assert_eq!(policy.dropped, policy.other_dropped);
    }
}

/// A policy of each action with each kind of condition, each for an address of its own.
const SCOPES: &str = "version: 1
policies:
  - {name: a-drop-device, action: drop, destinations: [10.0.0.1], devices: ['02:00:00:00:00:01']}
  - {name: b-drop-except, action: drop, destinations: [10.0.0.2], except_devices: [192.168.1.0/24]}
  - {name: c-drop-lan, action: drop, destinations: [10.0.0.3], interfaces: [wlan0]}
  - {name: d-drop-wan, action: drop, destinations: [10.0.0.4], interfaces: [wan0]}
  - {name: e-count-device, action: count, destinations: [10.0.0.5], devices: ['02:00:00:00:00:01']}
  - {name: f-drop-all, action: drop, destinations: [10.0.0.6]}
  - {name: g-allow-device, action: allow, destinations: [10.0.0.6], devices: ['02:00:00:00:00:01'], services: [tcp/443]}
  - {name: h-drop-service, action: drop, destinations: [10.0.0.7], services: [udp/53]}
";

#[test]
fn a_policy_of_some_devices_exempts_answers_but_neither_drops_nor_counts_them() {
    let mut wan = Sandbox::at(&compiled(SCOPES), "wan0", Examines::WanIngress).unwrap();
    let mut run = |last: u8, transport: Transport| {
        let question = to(&format!("10.0.0.{last}")).transport(transport).build();
        wan.run(&answer(question)).unwrap()
    };
    for last in [1, 2, 3, 5] {
        assert_eq!(
            run(last, Transport::Tcp(443)),
            parsed(&[], false),
            "10.0.0.{last}"
        );
    }
    assert_eq!(run(4, Transport::Tcp(443)), parsed(&[3], true));
    assert_eq!(run(6, Transport::Tcp(443)), parsed(&[5, 6], false));
    assert_eq!(run(6, Transport::Tcp(80)), parsed(&[5], true));
    assert_eq!(run(7, Transport::Udp(53)), parsed(&[7], true));
    assert_eq!(run(7, Transport::Udp(54)), parsed(&[], false));
    // The port of the far end counts, not that of the device.
    let question = to("10.0.0.7").transport(Transport::Udp(53)).build();
    let mut reversed = answer(question);
    let (source, destination) = reversed[34..38].split_at_mut(2);
    source.swap_with_slice(destination);
    assert_eq!(wan.run(&reversed).unwrap(), parsed(&[], false));
}
