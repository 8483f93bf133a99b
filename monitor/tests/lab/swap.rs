//! Many reloads while packets arrive on two interfaces. No packet to a dropped
//! range may pass, no other may be lost, and the counters must equal the number
//! of sent packets.
//!
//! Runs 100 reloads, or `MONITOR_SWAPS`.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    env,
    fmt::Write as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use support::{
    books::assert_devices_add_up,
    datagrams::{count_arrivals, send_until},
    lab::{BLOCKED, Lab, OPEN, POLICIES, poll, text},
};

/// Addresses whose packets arrive on the second interface: open, blocked.
const SECOND: [&str; 2] = ["192.0.2.20", "2001:db8:bad::20"];

/// Number of reloads in both modes together.
fn swaps() -> u64 {
    env::var("MONITOR_SWAPS").map_or(100, |swaps| swaps.parse().expect("MONITOR_SWAPS"))
}

#[test]
fn generic_swaps_under_load_leak_nothing_and_lose_nothing() {
    swap_under_load("generic");
}

#[test]
fn native_swaps_under_load_leak_nothing_and_lose_nothing() {
    swap_under_load("native");
}

fn swap_under_load(mode: &str) {
    let lab = lab(mode);
    let [open, blocked] = [OPEN[1], BLOCKED[0]].map(|address| count_arrivals(&lab, address));
    let [open2, blocked2] = SECOND.map(|address| count_arrivals(&lab, address));
    let daemon = lab.start(&["--mode", mode, "--interface", "wlan1"]);
    let first = lab.generation("wlan0").unwrap();
    let to = [open.0, blocked.0, open2.0, blocked2.0];
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| send_until(&lab, &stop, &to));
        for round in 0..swaps().div_ceil(2) {
            lab.write_policies(&policies(round));
            let output = lab.monitor(&["reload"]);
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    for (_, arrived) in [open, open2] {
        poll(
            &format!("{sent} innocent packets have arrived; {}", losses(&lab)),
            || arrived.load(Ordering::Relaxed) >= sent,
        );
        assert_eq!(arrived.load(Ordering::Relaxed), sent);
    }
    for (_, arrived) in [blocked, blocked2] {
        assert_eq!(arrived.load(Ordering::Relaxed), 0);
    }
    let swapped = lab.generation("wlan0").unwrap() - first;
    assert!(swapped >= swaps().div_ceil(2), "only {swapped} generations");
    check_counters(&lab, sent);
    println!(
        "{mode}: {swapped} swaps on two interfaces, {} packets",
        4 * sent
    );
    daemon.kill();
}

fn lab(mode: &str) -> Lab {
    let lab = Lab::new(&format!("swap-{mode}"));
    lab.add_interface("wlan1");
    for (namespace, last) in [(&lab.phone, 2), (&lab.gateway, 1)] {
        namespace.ip(&format!("address add 10.78.0.{last}/24 dev wlan1"));
        namespace.ip(&format!("address add fd78::{last}/64 dev wlan1 nodad"));
        let off = namespace
            .command("ethtool")
            .args(["-K", "wlan1"])
            .args(OFF)
            .output();
        assert!(off.unwrap().status.success(), "ethtool");
    }
    lab.gateway
        .ip(&format!("address add {}/32 dev lo", SECOND[0]));
    lab.gateway
        .ip(&format!("address add {}/128 nodad dev lo", SECOND[1]));
    lab.phone
        .ip(&format!("route add {}/32 via 10.78.0.1", SECOND[0]));
    lab.phone
        .ip(&format!("-6 route add {}/128 via fd78::1", SECOND[1]));
    lab.write_policies(&policies(1));
    lab
}

/// Without offloads, each sent packet arrives as one packet.
const OFF: [&str; 6] = ["gro", "off", "gso", "off", "tso", "off"];

/// Rulesets of different shapes with the same drops and counts.
fn policies(round: u64) -> String {
    let mut text = POLICIES.replace("192.0.2.0/24,", "192.0.2.0/24, 2001:db8:1::/48,");
    match round % 3 {
        0 => text.push_str(
            "  - {name: web, action: drop, destinations: [120.0.0.0/8], services: [tcp/80]}\n",
        ),
        1 => {}
        _ => {
            text.push_str("  - name: many\n    action: drop\n    destinations:\n");
            for third in 0..200 {
                writeln!(text, "      - 11.{}.{third}.0/24", round % 250).unwrap();
            }
        }
    }
    text
}

/// Asserts exact counts of packets. The phone also sends other packets, which
/// no policy covers.
fn check_counters(lab: &Lab, sent: u64) {
    assert_eq!(lab.policy("blocked"), (0, 2 * sent));
    assert_eq!(lab.policy("seen"), (2 * sent, sent));
    let status = lab.status();
    let dropped = |interface: usize, family: &str| {
        let counts = &status["interfaces"][interface][family]["dropped"];
        counts["packets"].as_u64().unwrap()
    };
    assert_eq!([dropped(0, "ipv4"), dropped(0, "ipv6")], [sent, 0]);
    assert_eq!([dropped(1, "ipv4"), dropped(1, "ipv6")], [0, sent]);
    assert_devices_add_up(&status);
}

/// The packets that interfaces and sockets lost.
fn losses(lab: &Lab) -> String {
    let mut found = String::new();
    for namespace in [&lab.phone, &lab.gateway] {
        let links = namespace
            .command("ip")
            .args(["-s", "link"])
            .output()
            .unwrap();
        found += &text(&links.stdout);
        let sockets = namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp"));
        found += &sockets.unwrap();
    }
    found
}
