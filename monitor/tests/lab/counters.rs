//! Counters belong to the name of a policy, so they survive if it is removed
//! from the files and added again.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{fmt::Write as _, time::Instant};

use monitor_common::{MAX_DEVICE_CELLS, MAX_POLICIES};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{
    lab::{BLOCKED, Lab, OPEN, PHONE_MAC, POLICIES, poll, text},
    packets,
    raw::RawSocket,
};

const SEEN_ONLY: &str = "version: 1
policies:
  - name: seen
    action: count
    destinations: [192.0.2.0/24, 198.51.100.0/25]
";
/// Policies in which another policy takes the index of `blocked`, because its
/// name sorts first.
const ANOTHER: &str = "version: 1
policies:
  - name: another
    action: drop
    destinations: [198.51.100.0/24, 2001:db8:bad::/48]
";

#[test]
fn a_policy_that_goes_and_comes_back_keeps_its_counters() {
    let lab = Lab::new("counters");
    let daemon = lab.start(&["--mode", "generic"]);
    lab.send_udp(BLOCKED[0], 5);
    lab.send_udp(OPEN[0], 2);
    counted(&lab, "seen", (2, 5));
    let before = policy(&lab, "blocked").unwrap();
    let series = counters_of(&lab, "blocked");
    assert_eq!(before["matched"]["dropped"]["packets"], 5);
    assert_eq!(before["devices"][0]["mac"], PHONE_MAC);
    assert_eq!(
        series.len(),
        20,
        "policy in both directions, device, other and past: {series:#?}"
    );

    load(&lab, SEEN_ONLY);
    lab.send_udp(BLOCKED[0], 5);
    counted(&lab, "seen", (7, 5));
    assert_gone(&lab, &before, &series);

    load(&lab, ANOTHER);
    lab.send_udp(BLOCKED[0], 4);
    counted(&lab, "another", (0, 4));
    assert_gone(&lab, &before, &series);

    daemon.kill();
    let _daemon = lab.start(&["--mode", "generic"]);
    assert_gone(&lab, &before, &series);

    load(&lab, POLICIES);
    assert_eq!(policy(&lab, "blocked").unwrap(), before);
    assert_eq!(counters_of(&lab, "blocked"), series);
    lab.send_udp(BLOCKED[0], 3);
    counted(&lab, "blocked", (0, 8));
    assert_eq!(lab.policy("seen"), (7, 8));
    assert_eq!(lab.policy("another"), (0, 4));
}

/// Two policies match, so that each device takes two places.
#[test]
fn what_finds_no_room_in_the_device_table_is_counted_and_told() {
    const DEVICES: u32 = MAX_DEVICE_CELLS / 2 + 1000;
    let lab = Lab::new("flood");
    let _daemon = lab.start(&["--mode", "generic"]);
    let phone = RawSocket::sender(&lab.phone, "eth0");
    for device in 0..DEVICES {
        let [a, b, c, d] = device.to_be_bytes();
        let frame = packets::to(BLOCKED[0]).source([2, 0, a, b, c, d]);
        phone.send(&frame.build());
    }
    counted(&lab, "blocked", (0, u64::from(DEVICES)));
    counted(&lab, "seen", (0, u64::from(DEVICES)));
    let mut lost = 0;
    for name in ["blocked", "seen"] {
        let policy = policy(&lab, name).unwrap();
        let dropped = |counts: &Value| counts["dropped"]["packets"].as_u64().unwrap();
        let devices = policy["devices"].as_array().unwrap().iter();
        let devices: u64 = devices.map(|device| dropped(&device["matched"])).sum();
        assert_eq!(devices + dropped(&policy["other"]), u64::from(DEVICES));
        lost += dropped(&policy["other"]);
    }
    let full = u64::from(2 * DEVICES - MAX_DEVICE_CELLS);
    assert!(lost >= full, "{lost}: more places than there are");
    assert_line(
        &lab,
        &format!("monitor_lost_total{{reason=\"device_table\"}} {lost}"),
    );
}

/// Each line that is not written is counted, also after a reload.
#[test]
fn what_the_log_has_no_room_for_is_counted_and_told() {
    const PACKETS: usize = 3000;
    let lab = Lab::new("log");
    let daemon = lab.start(&["--mode", "generic", "--log-packets"]);
    // The stopped daemon does not read the log buffer.
    daemon.signal(Signal::SIGSTOP);
    lab.send_udp(BLOCKED[0], PACKETS as u64);
    daemon.signal(Signal::SIGCONT);
    counted(&lab, "blocked", (0, PACKETS as u64));
    lab.send_udp(BLOCKED[1], 100);
    assert!(lab.monitor(&["reload"]).status.success());
    lab.send_udp(BLOCKED[1], 100);
    counted(&lab, "blocked", (0, PACKETS as u64 + 200));
    let lost_log = || lab.status()["interfaces"][0]["lost_log"].as_u64().unwrap();
    let lines = |address: &str| {
        let to = format!("-> {address} ");
        daemon
            .log()
            .lines()
            .filter(|line| line.contains(&to))
            .count()
    };
    poll("every packet is written or counted as not written", || {
        let all = [0, 1]
            .map(|family| lines(BLOCKED[family]))
            .iter()
            .sum::<usize>();
        all as u64 + lost_log() == PACKETS as u64 + 200
    });
    assert!(lines(BLOCKED[0]) > 0 && lost_log() > 0);
    let lost = format!("monitor_lost_total{{reason=\"log\"}} {}", lost_log());
    assert_line(&lab, &lost);
}

/// A device that sends fast does not fill the disk with log lines. The kernel
/// emits 1000 lines in 2^30 ns (about a second) on each CPU, and counts the
/// others.
#[test]
fn a_flood_of_packets_makes_no_flood_of_lines() {
    const PACKETS: u64 = 50_000;
    const LINES: u128 = 1000;
    let lab = Lab::new("lograte");
    let daemon = lab.start(&["--mode", "generic", "--log-packets"]);
    let began = Instant::now();
    lab.send_udp(BLOCKED[0], PACKETS);
    let lines = || daemon.log().matches(&format!("-> {} ", BLOCKED[0])).count() as u64;
    let lost_log = || lab.status()["interfaces"][0]["lost_log"].as_u64().unwrap();
    poll("every packet is written or counted as not written", || {
        let (passed, dropped) = lab.policy("blocked");
        passed == 0 && dropped > PACKETS / 2 && lines() + lost_log() == dropped
    });
    let periods = (began.elapsed().as_nanos() >> 30) + 2;
    let cpus = std::thread::available_parallelism().unwrap().get();
    let most = periods * LINES * cpus as u128;
    assert!(
        u128::from(lines()) <= most,
        "{} lines, at most {most}",
        lines()
    );
    assert!(lines() > 0 && lost_log() > 0);
}

/// A refused ruleset must not occupy slots that the next one needs.
#[test]
fn policies_for_which_there_is_no_slot_take_none() {
    const FREE: u32 = 96;
    let lab = Lab::new("slots");
    lab.write_policies(&many("old", MAX_POLICIES - FREE));
    let _daemon = lab.start(&["--mode", "generic"]);
    assert_line(
        &lab,
        &format!("monitor_policy_slots{{state=\"free\"}} {FREE}"),
    );

    lab.write_policies(&many("new", FREE + 1));
    let refused = lab.monitor(&["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    let error = text(&refused.stderr);
    assert!(
        error.contains("all 4096 policy slots are in use"),
        "{error}"
    );
    assert_line(&lab, "monitor_reload_success 0");
    assert_line(
        &lab,
        &format!("monitor_policy_slots{{state=\"free\"}} {FREE}"),
    );
    assert_eq!(policy(&lab, "old-7").unwrap()["action"], "drop");

    lab.write_policies(&many("new", FREE));
    let taken = lab.monitor(&["reload"]);
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    assert_line(&lab, "monitor_policy_slots{state=\"free\"} 0");
    assert_eq!(policy(&lab, "new-7").unwrap()["action"], "drop");
}

/// `policies` policies with one address each.
fn many(name: &str, policies: u32) -> String {
    let mut file = "version: 1\npolicies:\n".to_owned();
    for number in 0..policies {
        let [_, _, c, d] = number.to_be_bytes();
        let destinations = format!("[11.0.{c}.{d}]");
        writeln!(
            file,
            "  - {{name: {name}-{number}, action: drop, destinations: {destinations}}}"
        )
        .unwrap();
    }
    file
}

fn assert_line(lab: &Lab, line: &str) {
    let page = lab.metrics();
    let name = line.split_once(['{', ' ']).unwrap().0;
    let found: Vec<_> = page
        .lines()
        .filter(|found| found.starts_with(name))
        .collect();
    assert!(found.contains(&line), "no {line} in {found:#?}");
}

/// Waits until the filter has counted the packets that were sent.
fn counted(lab: &Lab, policy: &str, passed_and_dropped: (u64, u64)) {
    poll(&format!("{policy} counts {passed_and_dropped:?}"), || {
        lab.policy(policy) == passed_and_dropped
    });
}

/// Asserts that the policy is no longer in force and that all its counts are
/// unchanged.
fn assert_gone(lab: &Lab, before: &Value, series: &[String]) {
    let now = policy(lab, "blocked").expect("its counters are still shown");
    assert_eq!(now["action"], Value::Null);
    assert_eq!(now["prefixes"], json!({"v4": 0, "v6": 0}));
    for counts in ["matched", "other", "devices"] {
        assert_eq!(now[counts], before[counts], "{counts}");
    }
    assert_eq!(counters_of(lab, "blocked"), series);
    let page = lab.metrics();
    assert!(
        !page.contains("monitor_policy_info{policy=\"blocked\""),
        "{page}"
    );
    let human = text(&lab.monitor(&["status"]).stdout);
    let row = human
        .lines()
        .find(|line| line.trim_start().starts_with("blocked"));
    assert!(
        row.is_some_and(|row| row.contains("(not in force)")),
        "{human}"
    );
}

fn policy(lab: &Lab, name: &str) -> Option<Value> {
    let status = lab.status();
    let policies = status["policies"].as_array().expect("policies");
    policies
        .iter()
        .find(|policy| policy["name"] == name)
        .cloned()
}

/// The series of a policy and of its devices, with their values.
fn counters_of(lab: &Lab, name: &str) -> Vec<String> {
    let label = format!("policy=\"{name}\"");
    let page = lab.metrics();
    let lines = page.lines().filter(|line| line.contains(&label));
    let of = ["monitor_policy_", "monitor_device_"];
    lines
        .filter(|line| line.contains("_total{") && of.iter().any(|name| line.starts_with(name)))
        .map(str::to_owned)
        .collect()
}

/// Replaces the policies and waits until they are in force.
fn load(lab: &Lab, policies: &str) {
    let generation = lab.generation("wlan0").unwrap();
    lab.write_policies(policies);
    poll("the new policies are in force", || {
        lab.generation("wlan0") > Some(generation)
    });
}
