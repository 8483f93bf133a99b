//! The other hooks: packets that arrive from the internet, and packets that the gateway
//! itself sends.

use monitor::datapath::{Examines, FrameOutcome, Sandbox};
use monitor_common::Reason;

use crate::{
    parsed,
    support::{
        kernel::compiled,
        packets::{Builder, Transport, answer, to},
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

/// Puts one more layer on a frame.
type Layer = fn(Builder) -> Builder;

/// The layers between Ethernet and IP that real connections to the internet have.
const LAYERS: [(&str, Layer); 5] = [
    ("plain", |packet| packet),
    ("a tag", |packet| packet.tags(&[0x8100])),
    ("QinQ", |packet| packet.tags(&[0x88a8, 0x8100])),
    ("PPPoE", Builder::pppoe),
    ("PPPoE in a tag", |packet| packet.tags(&[0x8100]).pppoe()),
];

/// At the WAN, the source of an answer is looked up as the destination of a question is, behind
/// all layers.
#[test]
fn answers_match_by_their_source() {
    let ruleset = compiled(table::RULESET);
    let mut wan = Sandbox::at(&ruleset, "wan0", Examines::WanIngress).unwrap();
    for (layer, wrap) in LAYERS {
        for (description, frame, expect) in table::destinations_in(wrap) {
            let outcome = wan.run(&answer(frame)).unwrap();
            assert_eq!(outcome, expect.outcome(), "{layer}: {description}");
        }
    }
    // The other frames of the table: more layers, options, fragments, damages.
    for (description, frame, expect) in table::cases() {
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
    /// Lengths of the end of a frame, in bytes: ports are where the UDP header begins.
    const UDP_HEADER: usize = 8;
    const PAYLOAD: usize = 4;
    for (layer, wrap) in LAYERS {
        let mut wan = Sandbox::at(&compiled(SCOPES), "wan0", Examines::WanIngress).unwrap();
        let mut check = |last: u8, transport: Transport, expected: FrameOutcome| {
            let question = to(&format!("10.0.0.{last}")).transport(transport);
            let outcome = wan.run(&answer(wrap(question).build())).unwrap();
            assert_eq!(outcome, expected, "{layer}: 10.0.0.{last} {transport:?}");
        };
        for last in [1, 2, 3, 5] {
            check(last, Transport::Tcp(443), parsed(&[], false));
        }
        check(4, Transport::Tcp(443), parsed(&[3], true));
        check(6, Transport::Tcp(443), parsed(&[5, 6], false));
        check(6, Transport::Tcp(80), parsed(&[5], true));
        check(7, Transport::Udp(53), parsed(&[7], true));
        check(7, Transport::Udp(54), parsed(&[], false));
        // The port of the far end counts, not that of the device.
        let question = wrap(to("10.0.0.7").transport(Transport::Udp(53))).build();
        let mut reversed = answer(question);
        let ports = reversed.len() - PAYLOAD - UDP_HEADER;
        let (source, destination) = reversed[ports..ports + 4].split_at_mut(2);
        source.swap_with_slice(destination);
        assert_eq!(wan.run(&reversed).unwrap(), parsed(&[], false), "{layer}");
    }
}
