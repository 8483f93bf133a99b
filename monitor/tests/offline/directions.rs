//! `monitor explain` and `monitor replay` in both directions, compared with what the program
//! in the kernel decides and counts. An answer comes from a policy's destination.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{fs, process::Command};

use monitor::{
    datapath::{Examines, FrameOutcome, Sandbox},
    policy::Direction,
};
use monitor_common::{Count, PolicyCounters};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    captures::{plain_pcap, whole},
    kernel::compiled,
    lab::{PHONE_MAC, binary, text},
    packets::{Builder, Transport, answer, to},
};

/// Policies whose conditions packets of both directions show.
const POLICIES: &str = "version: 1
policies:
  - {name: a-drop, action: drop, destinations: [198.51.100.0/24, '2001:db8:1::/48']}
  - {name: b-allow, action: allow, destinations: [198.51.100.128/25, '2001:db8:1:8000::/49'], services: [tcp/443]}
  - {name: c-count, action: count, destinations: [198.51.0.0/16, '2001:db8::/32']}
  - {name: d-reject, action: reject, destinations: [203.0.113.0/24, '2001:db9::/48'], services: [udp/53, icmp]}
";

/// Policies of some devices and of one interface, each for an address of each family.
const SCOPES: &str = "
  - {name: e-drop-device, action: drop, destinations: [192.0.2.1, '2001:dba::1'], devices: ['64:cc:2e:11:22:33']}
  - {name: f-count-except, action: count, destinations: [192.0.2.1, '2001:dba::1'], except_devices: ['02:00:00:00:00:09']}
  - {name: g-drop-lan, action: drop, destinations: [192.0.2.2, '2001:dba::2'], interfaces: [wlan0]}
  - {name: h-drop-wan, action: drop, destinations: [192.0.2.3, '2001:dba::3'], interfaces: [wan0]}
  - {name: i-drop-all, action: drop, destinations: [192.0.2.4, '2001:dba::4']}
  - {name: j-allow-device, action: allow, destinations: [192.0.2.4, '2001:dba::4'], devices: ['64:cc:2e:11:22:33']}
";

const FAR_ENDS: [&str; 17] = [
    "198.51.100.1",
    "198.51.100.200",
    "198.51.101.1",
    "203.0.113.1",
    "203.0.114.1",
    "2001:db8:1::1",
    "2001:db8:1:8000::1",
    "2001:db8:2::1",
    "2001:db9::1",
    "192.0.2.1",
    "192.0.2.2",
    "192.0.2.3",
    "192.0.2.4",
    "2001:dba::1",
    "2001:dba::2",
    "2001:dba::3",
    "2001:dba::4",
];

/// Protocols, with the word that `explain` reads.
const SERVICES: [(&str, Transport); 4] = [
    ("tcp/443", Transport::Tcp(443)),
    ("tcp/80", Transport::Tcp(80)),
    ("udp/53", Transport::Udp(53)),
    ("icmp", Transport::EchoRequest),
];

/// The layers between Ethernet and IP of connections to the internet.
const LAYERS: [fn(Builder) -> Builder; 4] = [
    |packet| packet,
    |packet| packet.tags(&[0x8100]),
    Builder::pppoe,
    |packet| packet.tags(&[0x88a8, 0x8100]).pppoe(),
];

/// A packet of a device, or the answer to it.
struct Case {
    far_end: &'static str,
    service: &'static str,
    frame: Vec<u8>,
}

/// All packets of a direction. Packets that differ only in their layers follow each other. Each
/// packet has another length of payload.
fn cases(direction: Direction) -> Vec<Case> {
    let mut cases = Vec::new();
    for far_end in FAR_ENDS {
        for (service, transport) in SERVICES {
            for layer in LAYERS {
                let payload = vec![0xa5; 1 + cases.len()];
                let question = layer(to(far_end).transport(transport).payload(&payload)).build();
                let frame = match direction {
                    Direction::Out => question,
                    Direction::In => answer(question),
                };
                cases.push(Case {
                    far_end,
                    service,
                    frame,
                });
            }
        }
    }
    cases
}

/// The real binary on policies and on a capture of one direction.
struct Files(TempDir);

impl Files {
    fn new(policies: &str, cases: &[Case]) -> Self {
        let directory = TempDir::new().unwrap();
        let frames: Vec<_> = cases.iter().map(|case| whole(&case.frame)).collect();
        fs::write(directory.path().join("policies.yaml"), policies).unwrap();
        fs::write(directory.path().join("frames.pcap"), plain_pcap(&frames)).unwrap();
        Self(directory)
    }

    fn monitor(&self, arguments: &[&str]) -> Value {
        let output = Command::new(binary())
            .args(arguments)
            .args(["--json", "--policies", "policies.yaml"])
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let errors = text(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn replay(&self, direction: Direction) -> Value {
        let (word, interface) = (direction.word(), interface(direction));
        let options = ["--direction", word, "--interface", interface];
        self.monitor(&[&["replay", "frames.pcap"], &options[..]].concat())
    }
}

/// The interface at which packets of a direction arrive.
fn interface(direction: Direction) -> &'static str {
    match direction {
        Direction::Out => "wlan0",
        Direction::In => "wan0",
    }
}

#[test]
fn answers_match_as_questions_do() {
    let [out, back] = Direction::ALL.map(|direction| {
        let report = Files::new(POLICIES, &cases(direction)).replay(direction);
        ["packets", "parsed", "policies"].map(|key| report[key].clone())
    });
    assert_eq!(out, back);
    let [_, _, policies] = out;
    for (name, policy) in policies.as_object().unwrap() {
        assert!(policy["packets"].as_u64() > Some(0), "{name}");
    }
}

#[test]
fn explain_and_replay_say_what_the_program_counts() {
    let policies = format!("{}{SCOPES}", POLICIES.trim_end());
    for direction in Direction::ALL {
        let cases = cases(direction);
        let files = Files::new(&policies, &cases);
        let ruleset = compiled(&policies);
        let names = ruleset.policies.iter();
        let names: Vec<_> = names.map(|policy| policy.name.as_str()).collect();
        let examines = Examines::arriving(direction);
        let mut sandbox = Sandbox::at(&ruleset, interface(direction), examines).unwrap();
        for same in cases.chunks(LAYERS.len()) {
            let expected = explained(&files, direction, &same[0]);
            for case in same {
                let outcome = sandbox.run(&case.frame).unwrap();
                let found = decided(outcome, &names);
                let (far_end, service) = (case.far_end, case.service);
                assert_eq!(found, expected, "{direction:?} {far_end} {service}");
            }
        }
        let report = files.replay(direction);
        assert_eq!(report["parsed"], cases.len());
        for (name, counters) in names.iter().zip(sandbox.counters().unwrap().policies) {
            let found = &report["policies"][name];
            let found = ["packets", "bytes", "dropped"].map(|key| found[key].as_u64().unwrap());
            assert_eq!(found, sums(&counters), "{direction:?} {name}");
        }
    }
}

/// The policies that match in the kernel, sorted, and whether the packet is dropped.
fn decided(outcome: FrameOutcome, names: &[&str]) -> (Vec<String>, bool) {
    let FrameOutcome::Parsed { matched, dropped } = outcome else {
        panic!("{outcome:?}");
    };
    let matched = matched.into_iter();
    let names = matched.map(|index| names[usize::from(index)].to_owned());
    (names.collect(), dropped)
}

/// The policies that match by `explain`, sorted, and whether the packet is dropped.
fn explained(files: &Files, direction: Direction, case: &Case) -> (Vec<String>, bool) {
    let mut arguments = vec!["explain", case.far_end, "--service", case.service];
    arguments.extend(["--direction", direction.word()]);
    arguments.extend(["--interface", interface(direction)]);
    if direction == Direction::Out {
        arguments.extend(["--device", PHONE_MAC]);
    }
    let answer = files.monitor(&arguments);
    assert_eq!(answer["direction"], direction.word());
    let matches = answer["matches"].as_array().unwrap().iter();
    let mut names: Vec<_> = matches
        .map(|found| {
            assert_eq!(found["if"], Value::Null, "{arguments:?}: {answer:#}");
            found["policy"].as_str().unwrap().to_owned()
        })
        .collect();
    names.sort_unstable();
    let decision = answer["decision"].as_str().unwrap();
    (names, ["drop", "reject"].contains(&decision))
}

/// Packets, bytes and dropped packets.
fn sums(counters: &PolicyCounters) -> [u64; 3] {
    let PolicyCounters {
        passed, dropped, ..
    } = counters;
    let total = |part: fn(&Count) -> u64| part(passed) + part(dropped);
    [
        total(|count| count.packets),
        total(|count| count.bytes),
        dropped.packets,
    ]
}
