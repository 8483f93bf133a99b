//! Packets from more devices than the device table holds, as a sender of
//! made-up source addresses causes. All packets must be counted, and memory
//! must not grow.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
    path::{Path, PathBuf},
};

use aya::maps::MapData;
use monitor_common::MAX_DEVICE_CELLS;
use serde_json::Value;
use support::{
    lab::{BLOCKED, Lab, PHONE_MAC, poll},
    packets::to,
    raw::RawSocket,
};

/// Number of made-up devices in one flood. Two policies match each device, so
/// they need eight times the places of the table.
const DEVICES: u32 = 4 * MAX_DEVICE_CELLS;

/// Length of each of their frames, in bytes.
const FRAME: usize = 14 + 20 + 8 + 4;

/// Largest memory, in KiB, of a daemon that reports a full table. A normal
/// value is a third of it.
const MOST_MEMORY: u64 = 96 << 10;

#[test]
fn a_flood_of_new_devices_is_counted_and_takes_no_more_memory() {
    let lab = Lab::new("flood");
    let daemon = lab.start(&["--mode", "generic"]);
    let pid = daemon.child.id();
    lab.send_udp(BLOCKED[0], 3);
    let phones_own = sent(&lab, 3);
    let (maps, memory) = (map_memory(&lab.pin_dir), resident(pid));
    println!("at the start: maps {maps} bytes, the daemon {memory} KiB");
    assert_eq!(lost(&lab), 0);

    let sender = RawSocket::sender(&lab.phone, "eth0");
    for flood in 0..3 {
        for number in 0..DEVICES {
            let [_, a, b, c] = number.to_be_bytes();
            let frame = to(BLOCKED[0]).source([2, flood, 0, a, b, c]);
            sender.send(&frame.build());
        }
        let floods = u64::from(flood) + 1;
        let all = sent(&lab, phones_own + floods * u64::from(DEVICES));
        check_sums(&lab, all);
        let (now, resident) = (map_memory(&lab.pin_dir), resident(pid));
        println!("after {all} frames: maps {now} bytes, the daemon {resident} KiB");
        assert_eq!(now, maps, "the maps grew");
        assert!(resident < MOST_MEMORY, "the daemon takes {resident} KiB");
    }

    // Devices that had a place before the flood are still counted.
    let before = packets_of_phone(&lab);
    lab.send_udp(BLOCKED[0], 5);
    poll("the phone is counted", || {
        packets_of_phone(&lab) == before + 5
    });
}

/// Waits until this many packets were matched.
fn sent(lab: &Lab, packets: u64) -> u64 {
    poll(&format!("{packets} packets are counted"), || {
        lab.policy("blocked") == (0, packets)
    });
    packets
}

/// Asserts for each policy that devices and other add up to its count, and that
/// losses are reported.
fn check_sums(lab: &Lab, all: u64) {
    let status = lab.status();
    let mut lost_of_all = 0;
    let mut cells = 0;
    for name in ["blocked", "seen"] {
        let policy = policy(&status, name);
        let devices = policy["devices"].as_array().unwrap();
        let (packets, bytes) = dropped(&policy["matched"]);
        let (other, other_bytes) = dropped(&policy["other"]);
        let of_devices = devices.iter().map(|device| dropped(&device["matched"]));
        let (of_devices, bytes_of_devices) =
            of_devices.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert_eq!(packets, all, "{name}");
        assert_eq!(of_devices + other, packets, "{name}");
        assert_eq!(bytes_of_devices + other_bytes, bytes, "{name}");
        // Each frame without a place was one of the flood.
        assert_eq!(other_bytes, other * FRAME as u64, "{name}");
        lost_of_all += other;
        cells += devices.len();
    }
    println!("{cells} cells of devices, {lost_of_all} packets without one");
    assert!(cells <= MAX_DEVICE_CELLS as usize);
    assert!(lost_of_all >= 2 * all - u64::from(MAX_DEVICE_CELLS) - 6);
    assert_eq!(lost(lab), lost_of_all);
}

fn policy<'a>(status: &'a Value, name: &str) -> &'a Value {
    let policies = status["policies"].as_array().unwrap();
    policies
        .iter()
        .find(|policy| policy["name"] == name)
        .unwrap()
}

/// Packets and bytes.
fn dropped(verdicts: &Value) -> (u64, u64) {
    let count = |what: &str| verdicts["dropped"][what].as_u64().unwrap();
    assert_eq!(verdicts["passed"]["packets"], 0);
    (count("packets"), count("bytes"))
}

fn packets_of_phone(lab: &Lab) -> u64 {
    let status = lab.status();
    let devices = policy(&status, "blocked")["devices"].as_array().unwrap();
    let phone = devices.iter().find(|device| device["mac"] == PHONE_MAC);
    dropped(&phone.expect("the phone has its cell")["matched"]).0
}

/// `monitor_lost_total` of the device table.
fn lost(lab: &Lab) -> u64 {
    let metrics = lab.metrics();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("monitor_lost_total{reason=\"device_table\"} "));
    line.unwrap_or_else(|| panic!("no loss in {metrics}"))
        .parse()
        .unwrap()
}

/// The memory, in bytes, that the kernel charges for all pinned maps of the
/// state.
fn map_memory(pin_dir: &Path) -> u64 {
    let entries = fs::read_dir(pin_dir).unwrap().flatten();
    let state = entries.map(|entry| entry.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with('v')
    });
    let files = fs::read_dir(state.unwrap()).unwrap().flatten();
    let maps: Vec<PathBuf> = files
        .map(|file| file.path())
        .filter(|path| path.is_file())
        .collect();
    assert_eq!(maps.len(), 13, "{maps:?}");
    maps.iter().map(|map| charged(map)).sum()
}

fn charged(map: &Path) -> u64 {
    let map = MapData::from_pin(map).unwrap();
    let number = map.fd().as_fd().as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    field(&info, "memlock:")
}

/// Resident memory in KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    field(&status, "VmRSS:")
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number
        .unwrap_or_else(|| panic!("no {name} in {text}"))
        .parse()
        .unwrap()
}
