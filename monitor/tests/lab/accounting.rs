//! Counts by device stay exact under a flood of new MACs. Known devices keep
//! their places in the device table. When places are freed, every sum stays
//! exact at any time of reading, even if the daemon is killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    collections::BTreeMap,
    fs,
    process::Output,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use monitor::{
    datapath::Reader,
    snapshot::{PolicySnapshot, Snapshot, Verdicts},
};
use monitor_common::MAX_DEVICE_CELLS;
use support::{
    lab::{BLOCKED, Daemon, Lab, PHONE_MAC, poll, text},
    packets::to,
    raw::RawSocket,
    strace::{Attached, Plan, all_faults},
};

/// A device that has a name in the policies and no entry in a neighbour table.
const CAMERA: [u8; 6] = [2, 0xca, 0, 0, 0, 1];
/// A device that a policy contains as a MAC, without a name.
const PRINTER: [u8; 6] = [2, 0xca, 0, 0, 0, 2];
const POLICIES: &str = "version: 1
devices: {camera: '02:ca:00:00:00:01'}
policies:
  - name: blocked
    action: drop
    destinations: [198.51.100.0/24, 2001:db8:bad::/48]
  - name: seen
    action: count
    destinations: [192.0.2.0/24, 198.51.100.0/25]
  - name: printer
    action: drop
    destinations: [203.0.113.0/24]
    devices: ['02:ca:00:00:00:02']
";
/// Policies that match a frame to `BLOCKED[0]`.
const BOTH: [&str; 2] = ["blocked", "seen"];

fn lab(test: &str) -> Lab {
    let lab = Lab::new(test);
    lab.write_policies(POLICIES);
    lab
}

/// Starts a daemon that forgets devices after this time.
fn start(lab: &Lab, forget_after: &str) -> Daemon {
    let config = lab.directory.path().join("config.yaml");
    fs::write(
        &config,
        format!("devices: {{forget_after: {forget_after}}}\n"),
    )
    .unwrap();
    lab.give(&config);
    let config = config.to_str().unwrap();
    lab.start(&["--mode", "generic", "--config", config])
}

fn made_up(number: u32) -> [u8; 6] {
    let [a, b, c, d] = number.to_be_bytes();
    [2, 0xaa, a, b, c, d]
}

fn send(phone: &RawSocket, mac: [u8; 6], packets: u64) {
    let frame = to(BLOCKED[0]).source(mac).build();
    for _ in 0..packets {
        phone.send(&frame);
    }
}

fn read(lab: &Lab) -> Snapshot {
    let reader = Reader::open(&lab.pin_dir).unwrap();
    reader.snapshot(None).unwrap()
}

fn policy<'a>(snapshot: &'a Snapshot, name: &str) -> &'a PolicySnapshot {
    let mut policies = snapshot.policies.iter();
    policies.find(|policy| policy.name == name).unwrap()
}

/// The dropped packets and bytes. In these tests no frame passes.
fn dropped(verdicts: Verdicts) -> [u64; 2] {
    assert_eq!(verdicts.passed.packets, 0);
    [verdicts.dropped.packets, verdicts.dropped.bytes]
}

/// The sums of devices and past, and the value that they must have: matched
/// minus other.
fn sides(policy: &PolicySnapshot) -> [[u64; 2]; 2] {
    let mut counted = dropped(policy.past);
    for device in &policy.devices {
        let of_device = dropped(device.matched);
        counted = [0, 1].map(|unit| counted[unit] + of_device[unit]);
    }
    let (matched, other) = (dropped(policy.matched), dropped(policy.other));
    [counted, [0, 1].map(|unit| matched[unit] - other[unit])]
}

fn assert_exact(snapshot: &Snapshot, when: &str) {
    for policy in &snapshot.policies {
        let [counted, expected] = sides(policy);
        assert_eq!(counted, expected, "{} {when}", policy.name);
    }
}

/// Packets of a device by policy.
fn of_device(snapshot: &Snapshot, mac: [u8; 6]) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for policy in &snapshot.policies {
        for device in policy.devices.iter().filter(|device| device.mac.0 == mac) {
            found.insert(policy.name.clone(), dropped(device.matched)[0]);
        }
    }
    found
}

fn both(packets: u64) -> BTreeMap<String, u64> {
    BOTH.map(|name| (name.to_owned(), packets)).into()
}

fn matched(lab: &Lab, packets: u64) {
    poll(&format!("{packets} packets are counted"), || {
        BOTH.iter().all(|name| lab.policy(name) == (0, packets))
    });
}

/// `monitor_device_packets_total` of a label, over all policies.
fn metric(metrics: &str, device: &str) -> u64 {
    let start = format!("monitor_device_packets_total{{device=\"{device}\",");
    let lines = metrics.lines().filter(|line| line.starts_with(&start));
    let values = lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>());
    values.map(Result::unwrap).sum()
}

#[test]
fn a_flood_of_made_up_macs_does_not_hide_known_devices() {
    const FLOOD: u32 = MAX_DEVICE_CELLS;
    let lab = lab("blind");
    let daemon = start(&lab, "1h");
    let phone = RawSocket::sender(&lab.phone, "eth0");
    for number in 0..FLOOD {
        send(&phone, made_up(number), 1);
    }
    let mut all = u64::from(FLOOD);
    matched(&lab, all);
    let full = read(&lab);
    assert_eq!(full.places[0].used, full.places[0].size);

    // The phone is a neighbour, the camera has a name, the stranger is neither.
    let neighbour = [0x64, 0xcc, 0x2e, 0x11, 0x22, 0x33];
    assert_eq!(PHONE_MAC, "64:cc:2e:11:22:33");
    let stranger = [2, 0xbb, 0, 0, 0, 1];
    let printed = to("203.0.113.9").source(PRINTER).build();
    for round in 1..3 {
        for mac in [CAMERA, neighbour, stranger] {
            send(&phone, mac, 10);
        }
        phone.send(&printed);
        all += 30;
        matched(&lab, all);
        poll("the printer is counted", || {
            lab.policy("printer").1 == round
        });
        let snapshot = read(&lab);
        assert_exact(&snapshot, "in a full table");
        assert_eq!(of_device(&snapshot, CAMERA), both(10 * round));
        assert_eq!(of_device(&snapshot, neighbour), both(10 * round));
        assert_eq!(of_device(&snapshot, stranger), BTreeMap::new());
        let own = of_device(&snapshot, PRINTER);
        assert_eq!(own, BTreeMap::from([("printer".to_owned(), round)]));
        // The camera has its own label, although made-up MACs used all free
        // labels.
        assert_eq!(metric(&lab.metrics(), "camera"), 20 * round);
    }
    daemon.kill();
    let _daemon = start(&lab, "1h");
    send(&phone, CAMERA, 5);
    matched(&lab, all + 5);
    assert_eq!(of_device(&read(&lab), CAMERA), both(25));
}

#[test]
fn places_come_back_after_their_time_and_no_sum_is_off_meanwhile() {
    const DEVICES: u32 = 3000;
    let lab = lab("back");
    let _daemon = start(&lab, "1s");
    let phone = RawSocket::sender(&lab.phone, "eth0");
    send(&phone, CAMERA, 7);
    for number in 0..DEVICES {
        send(&phone, made_up(number), 2);
    }
    let made_up_packets = 2 * u64::from(DEVICES);
    // No packets are sent now, so every reading must be exact.
    let mut between = 0;
    poll("all of them are in the past", || {
        for _ in 0..20 {
            let snapshot = read(&lab);
            let seen = policy(&snapshot, "seen");
            if dropped(seen.matched)[0] == made_up_packets + 7 {
                assert_exact(&snapshot, "while places are given back");
            }
            let past = dropped(seen.past)[0];
            between += usize::from(past > 0 && past < made_up_packets);
        }
        BOTH.iter()
            .all(|name| dropped(policy(&read(&lab), name).past)[0] == made_up_packets)
    });
    println!("{between} readings were between two moves");
    let snapshot = read(&lab);
    assert_eq!(of_device(&snapshot, CAMERA), both(7), "it has a name");
    assert_eq!(of_device(&snapshot, made_up(0)), BTreeMap::new());
    assert_eq!(snapshot.places[0].used, 2);
    assert_eq!(metric(&lab.metrics(), "past"), 2 * made_up_packets);
    let human = text(&lab.monitor(&["status"]).stdout);
    assert!(human.contains("past (forgotten)"), "{human}");

    // The freed places can be used again, also by the same devices.
    send(&phone, made_up(0), 3);
    matched(&lab, made_up_packets + 10);
    assert_exact(&read(&lab), "after one came back");
}

/// Devices send while their places are freed again and again.
#[test]
fn under_traffic_each_packet_is_counted_once_while_devices_are_forgotten() {
    const DEVICES: u32 = 40;
    let lab = lab("traffic");
    let _daemon = start(&lab, "1h");
    let processors = thread::available_parallelism().unwrap().get() as u64;
    let stop = AtomicBool::new(false);
    let forgotten = AtomicUsize::new(0);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let phone = RawSocket::sender(&lab.phone, "eth0");
            let mut sent = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                for number in 0..DEVICES {
                    send(&phone, made_up(number), 1);
                    sent += 1;
                }
            }
            sent
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let forgot = forget(&lab, "02:aa:00:00:00:00/16").status.success();
                forgotten.fetch_add(usize::from(forgot), Ordering::Relaxed);
            }
        });
        let stop_threads = StopOnDrop(&stop);
        let mut before = read(&lab);
        let mut readings = 0;
        while readings < 400 || forgotten.load(Ordering::Relaxed) < 4 {
            readings += 1;
            let now = read(&lab);
            for policy in BOTH {
                assert_between(&before, &now, policy, processors);
            }
            before = now;
        }
        drop(stop_threads);
        sender.join().unwrap()
    });
    println!("{DEVICES} devices were forgotten {forgotten:?} times");
    matched(&lab, sent);
    let snapshot = read(&lab);
    assert_exact(&snapshot, "after the traffic");
    assert!(dropped(policy(&snapshot, "seen").past)[0] > 0);
}

/// Stops the threads of a test, also if an assertion fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asserts the bounds of a reading under traffic. A reading takes devices first
/// and the policy last. A packet is added to the policy first and to its device
/// last. So the sum of devices and past is at most the policy's count in this
/// reading. It is at least the policy's count in the previous reading, minus
/// one packet for each processor.
fn assert_between(before: &Snapshot, now: &Snapshot, name: &str, processors: u64) {
    let [_, [least, _]] = sides(policy(before, name));
    let [[counted, _], [most, _]] = sides(policy(now, name));
    assert!(
        counted + processors >= least,
        "{name}: {counted} of {least}"
    );
    assert!(counted <= most, "{name}: {counted} of {most}");
}

fn forget(lab: &Lab, device: &str) -> Output {
    lab.monitor(&["forget", device, "--json"])
}

#[test]
fn a_device_is_forgotten_by_its_mac_by_its_name_and_with_many_others() {
    let lab = lab("forget");
    let _daemon = start(&lab, "1h");
    let phone = RawSocket::sender(&lab.phone, "eth0");
    send(&phone, CAMERA, 4);
    for number in 0..20 {
        send(&phone, made_up(number), 3);
    }
    matched(&lab, 64);
    let forgotten = |device: &str| {
        let output = forget(&lab, device);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_exact(&read(&lab), &format!("after {device} is forgotten"));
        ["devices", "places"].map(|key| found[key].as_u64().unwrap())
    };
    assert_eq!(forgotten("camera"), [1, 2]);
    assert_eq!(of_device(&read(&lab), CAMERA), BTreeMap::new());
    assert_eq!(forgotten("02:aa:00:00:00:07"), [1, 2]);
    assert_eq!(forgotten("02:aa:00:00:00:07"), [0, 0]);
    assert_eq!(forgotten("02:aa:00:00:00:00/16"), [19, 38]);
    for name in BOTH {
        assert_eq!(dropped(policy(&read(&lab), name).past)[0], 64, "{name}");
    }
    send(&phone, CAMERA, 2);
    matched(&lab, 66);
    assert_eq!(of_device(&read(&lab), CAMERA), both(2), "counted anew");

    for (device, why) in [
        ("nobody", "there is no device named `nobody`"),
        ("192.0.2.7", "names no MAC"),
        ("02:zz", "02:zz"),
    ] {
        let refused = forget(&lab, device);
        assert_eq!(refused.status.code(), Some(1), "{device}");
        let error = text(&refused.stderr);
        assert!(error.contains(why), "{error}");
    }
}

/// Kills the daemon before each call in turn. Then a reader without a daemon
/// sees exact sums, new packets are counted, and the next daemon completes the
/// move.
#[test]
fn killed_at_any_call_of_a_move_no_sum_is_off() {
    const DEVICES: u32 = 3;
    let lab = lab("kill-move");
    let output = lab.directory.path().join("strace");
    let phone = RawSocket::sender(&lab.phone, "eth0");
    let mut all = 0;
    let (mut kills, mut halves) = (0, 0);
    for name in ["membarrier", "munmap", "bpf"] {
        for index in (1..).step_by(step(name)) {
            let mut daemon = start(&lab, "1h");
            for number in 0..DEVICES {
                send(&phone, made_up(number), 2);
                all += 2;
            }
            matched(&lab, all);
            assert_exact(&read(&lab), "before a move");
            let strace = Attached::to(&daemon, Plan::KillAt(name, index), &output);
            let done = forget(&lab, "02:aa:00:00:00:00/16").status.success();
            drop(strace);
            if !done {
                // The connection ends a little before the process.
                poll("the daemon is killed", || !daemon.is_running());
            }
            daemon.kill();
            let found = read(&lab);
            assert_exact(&found, &format!("killed at {name} {index}"));
            halves += usize::from(found.policies.iter().any(|policy| {
                policy.name == "seen" && !policy.devices.is_empty() && dropped(policy.past)[0] > 0
            }));
            // The devices continue to send without a daemon.
            send(&phone, made_up(0), 1);
            all += 1;
            matched(&lab, all);
            assert_exact(&read(&lab), &format!("after a kill at {name} {index}"));
            if done {
                break;
            }
            kills += 1;
        }
    }
    let _daemon = start(&lab, "1h");
    assert!(forget(&lab, "02:aa:00:00:00:00/16").status.success());
    let last = read(&lab);
    assert_exact(&last, "at the end");
    // Packets that arrived while no daemon ran and a device was being forgotten
    // are in `other`.
    let seen = policy(&last, "seen");
    assert_eq!(dropped(seen.past)[0] + dropped(seen.other)[0], all);
    println!("{kills} kills, {halves} of them with devices and a past");
    assert!(kills > 10, "{kills}");
}

/// Step between tried calls: 1 for most calls, more for frequent ones.
fn step(name: &str) -> usize {
    if name == "bpf" && !all_faults() { 7 } else { 1 }
}
