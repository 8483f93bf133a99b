//! Frames to two interfaces that show which ruleset is in force on each, and
//! the counts that the filter must report for them.

use std::{collections::BTreeMap, fs, thread};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use serde_json::Value;

use super::{
    lab::{Daemon, Lab, poll},
    packets,
    raw::RawSocket,
};

/// A ruleset that drops the range `odd` and counts the range `even`.
pub(crate) const FIRST: &str = "version: 1
policies:
  - name: odd
    action: drop
    destinations: [198.51.100.0/24, 2001:db8:bad::/48]
  - name: even
    action: count
    destinations: [203.0.113.0/24, 2001:db8:beef::/48]
";

/// Pairs of interfaces: the phone's end, and the gateway's end.
const INTERFACES: [(&str, &str); 2] = [("eth0", "wlan0"), ("wlan1", "wlan1")];

/// Options of a daemon on both interfaces.
pub(crate) const BOTH: [&str; 4] = ["--mode", "generic", "--interface", "wlan1"];

/// An IPv4 and an IPv6 destination for each policy. No policy covers the last
/// pair.
const RANGES: [(&str, [&str; 2]); 3] = [
    ("odd", ["198.51.100.7", "2001:db8:bad::7"]),
    ("even", ["203.0.113.7", "2001:db8:beef::7"]),
    ("", ["192.0.2.7", "2001:db8:1::7"]),
];

/// Number of frames to each destination in one round.
const FRAMES: u32 = 2;

/// A ruleset with the actions of [`FIRST`] exchanged.
pub(crate) fn second() -> String {
    FIRST
        .replace("drop", "DROP")
        .replace("count", "drop")
        .replace("DROP", "count")
}

/// The ruleset that decides on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InForce {
    Nothing,
    First,
    Second,
}

impl InForce {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            _ => Self::First,
        }
    }

    pub(crate) fn policies(self) -> String {
        match self {
            Self::Second => second(),
            _ => FIRST.to_owned(),
        }
    }
}

/// The frames that were sent, and the counts that they must lead to.
pub(crate) struct Books {
    sides: [(RawSocket, RawSocket); 2],
    /// Number of packets in each cell since the counters were created; no
    /// zeros.
    expected: BTreeMap<String, u64>,
    number: u32,
    /// Number of all frames in all rounds.
    pub(crate) sent: u64,
}

/// Asserts that for each policy and verdict the counts of the devices and of
/// `other` add up to the count of the policy.
pub(crate) fn assert_devices_add_up(status: &Value) {
    for policy in status["policies"].as_array().unwrap() {
        let devices = policy["devices"].as_array().unwrap();
        for verdict in ["passed", "dropped"] {
            let of = |counts: &Value| counts[verdict]["packets"].as_u64().unwrap();
            let devices: u64 = devices.iter().map(|device| of(&device["matched"])).sum();
            assert_eq!(devices + of(&policy["other"]), of(&policy["matched"]));
        }
    }
}

/// A quiet lab with the first ruleset in force on both interfaces, and its
/// daemon.
pub(crate) fn lab_in_force(test: &str) -> (Lab, Books, Daemon) {
    let (lab, mut books) = quiet_lab(test);
    lab.write_policies(FIRST);
    let daemon = lab.start(&BOTH);
    assert_eq!(books.probe(), [InForce::First; 2]);
    wait_until_kept(&lab);
    (lab, books, daemon)
}

/// A lab of two interfaces on which only the packet sockets of the test send.
pub(crate) fn quiet_lab(test: &str) -> (Lab, Books) {
    let lab = Lab::new(test);
    lab.add_interface("wlan1");
    for (phone, gateway) in INTERFACES {
        for (namespace, interface) in [(&lab.phone, phone), (&lab.gateway, gateway)] {
            let switch = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
            namespace.run(|| fs::write(switch, "1").unwrap());
            namespace.ip(&format!("link set {interface} arp off"));
        }
    }
    let sides = INTERFACES.map(|(phone, gateway)| {
        (
            RawSocket::sender(&lab.phone, phone),
            RawSocket::receiver(&lab.gateway, gateway),
        )
    });
    let books = Books {
        sides,
        expected: BTreeMap::new(),
        number: 0,
        sent: 0,
    };
    (lab, books)
}

impl Books {
    /// Sends a round to both interfaces, and returns the ruleset that decided
    /// on each. Panics if the frames of one interface met different rulesets.
    pub(crate) fn probe(&mut self) -> [InForce; 2] {
        [0, 1].map(|side| self.probe_one(side))
    }

    fn probe_one(&mut self, side: usize) -> InForce {
        let frames = self.frames();
        self.sent += frames.len() as u64;
        let arrived = on_one_cpu(|| exchange(&self.sides[side], &frames));
        let of = |range: &str, family| {
            let mut passed = 0;
            for (frame, arrived) in frames.iter().zip(&arrived) {
                passed += u64::from(*arrived && frame.range == range && frame.family == family);
            }
            passed
        };
        let each = u64::from(FRAMES);
        let found = ["odd", "even", ""].map(|range| [0, 1].map(|family| of(range, family)));
        let in_force = match found {
            [[a, b], [c, d], _] if [a, b, c, d] == [each; 4] => InForce::Nothing,
            [[0, 0], [c, d], _] if [c, d] == [each; 2] => InForce::First,
            [[a, b], [0, 0], _] if [a, b] == [each; 2] => InForce::Second,
            other => panic!("{}: neither ruleset wholly: {other:?}", INTERFACES[side].1),
        };
        assert_eq!(found[2], [each; 2], "innocent packets");
        if in_force != InForce::Nothing {
            self.enter(INTERFACES[side].1, &frames, &arrived);
        }
        in_force
    }

    fn enter(&mut self, interface: &str, frames: &[Frame], arrived: &[bool]) {
        for (frame, arrived) in frames.iter().zip(arrived) {
            let verdict = if *arrived { "passed" } else { "dropped" };
            let family = ["ipv4", "ipv6"][frame.family];
            self.add(format!("interface {interface} {family} {verdict}"));
            if !frame.range.is_empty() {
                self.add(format!("policy {} {verdict}", frame.range));
            }
        }
    }

    fn add(&mut self, cell: String) {
        *self.expected.entry(cell).or_default() += 1;
    }

    fn frames(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        for (range, addresses) in RANGES {
            for (family, address) in addresses.into_iter().enumerate() {
                for _ in 0..FRAMES {
                    self.number += 1;
                    let number = self.number.to_be_bytes();
                    frames.push(Frame {
                        range,
                        family,
                        bytes: packets::to(address).payload(&number).build(),
                    });
                }
            }
        }
        frames
    }

    /// Starts to count from zero, after the filter lost its counters.
    pub(crate) fn forget(&mut self) {
        self.expected.clear();
    }

    /// Asserts that every counter has exactly the expected number of packets.
    pub(crate) fn check(&self, lab: &Lab, when: &str) {
        let status = lab.status();
        assert_eq!(cells(&status), self.expected, "{when}: {status:#}");
        assert_devices_add_up(&status);
    }
}

struct Frame {
    range: &'static str,
    family: usize,
    bytes: Vec<u8>,
}

/// Sends the frames, and returns for each if it arrived. The last frame must
/// not be dropped: its arrival ends the wait.
fn exchange((sender, receiver): &(RawSocket, RawSocket), frames: &[Frame]) -> Vec<bool> {
    for frame in frames {
        sender.send(&frame.bytes);
    }
    let mut arrived = vec![false; frames.len()];
    while !arrived.last().unwrap() {
        let bytes = receiver.receive();
        if let Some(index) = frames.iter().position(|frame| frame.bytes == bytes) {
            assert!(!arrived[index], "a frame came twice");
            arrived[index] = true;
        }
    }
    arrived
}

/// Runs `work` on one CPU: frames that one CPU sends stay in order.
fn on_one_cpu<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let pinned = scope.spawn(|| {
            let this = Pid::from_raw(0);
            let allowed = sched_getaffinity(this).unwrap();
            let mut one = CpuSet::new();
            let first = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu) == Ok(true));
            one.set(first.unwrap()).unwrap();
            sched_setaffinity(this, &one).unwrap();
            work()
        });
        pinned
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The packet counts of `status` for each cell; no zeros.
fn cells(status: &Value) -> BTreeMap<String, u64> {
    let mut cells = BTreeMap::new();
    let mut add = |cell: String, counts: &Value| {
        for verdict in ["passed", "dropped"] {
            let packets = counts[verdict]["packets"].as_u64().unwrap();
            if packets > 0 {
                cells.insert(format!("{cell} {verdict}"), packets);
            }
        }
    };
    for interface in status["interfaces"].as_array().unwrap() {
        let name = interface["name"].as_str().unwrap();
        for family in ["ipv4", "ipv6"] {
            add(format!("interface {name} {family}"), &interface[family]);
        }
    }
    for policy in status["policies"].as_array().unwrap() {
        let name = policy["name"].as_str().unwrap();
        add(format!("policy {name}"), &policy["matched"]);
    }
    cells
}

/// Waits until `status` reports a daemon, and returns its process id.
pub(crate) fn wait_for_pid(lab: &Lab) -> u32 {
    let mut pid = None;
    poll("the daemon answers", || {
        let status = lab.monitor(&["status", "--json"]);
        let status: Option<Value> = serde_json::from_slice(&status.stdout).ok();
        pid = status.and_then(|status| status["daemon"]["pid"].as_u64());
        pid.is_some()
    });
    u32::try_from(pid.unwrap()).unwrap()
}

/// Waits until the daemon has stored its policies in the state directory.
pub(crate) fn wait_until_kept(lab: &Lab) {
    let kept = lab.directory.path().join("state/last-good.tar");
    let policies = fs::read_to_string(lab.policies().join("policies.yaml")).unwrap();
    poll("the policies are kept", || {
        fs::read(&kept).is_ok_and(|tar| {
            let text = String::from_utf8_lossy(&tar).into_owned();
            text.contains(&policies)
        })
    });
}
