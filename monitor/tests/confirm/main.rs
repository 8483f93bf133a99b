//! `--confirm`: without a confirmation the old policies come back, even if the
//! daemon has ended. Every packet is counted once, by the generation that
//! decided on it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod goes_back;
mod meanwhile;
mod restart;
#[expect(dead_code, reason = "each test file uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use serde_json::Value;
use support::{
    datagrams::{count_arrivals, send, send_until},
    lab::{BLOCKED, Daemon, Lab, POLICIES, poll, text},
};

/// Long enough for every command of a test, also on a busy machine.
const LONG: &str = "10m";

#[test]
fn what_is_confirmed_in_time_stays() {
    let lab = Lab::new("confirmed");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let mut daemon = start(&lab, &[]);
    send(&lab, blocked, 5);
    lab.write_policies(&passing());
    let told = verb(&lab, &["reload", "--confirm", "8s"]);
    assert!(
        told.contains("generation 2 is in force") && told.contains("`monitor confirm`"),
        "{told}"
    );
    let waiting = &lab.status()["unconfirmed"];
    assert_eq!(waiting["generation"], 2);
    assert_eq!(waiting["previous"], 1);
    assert_eq!(waiting["within_seconds"], 8);
    assert_eq!(waiting["rolled_back"], false);
    assert!(lab.metrics().contains("monitor_unconfirmed 1"));
    assert_eq!(generations(&lab), ["gen-1", "gen-2"]);

    let confirmed = verb(&lab, &["confirm"]);
    assert!(
        confirmed.contains("generation 2 is confirmed"),
        "{confirmed}"
    );
    assert_eq!(lab.status()["unconfirmed"], Value::Null);
    assert!(lab.metrics().contains("monitor_unconfirmed 0"));
    poll(
        "the old generation is removed when its flows are stored",
        || generations(&lab) == ["gen-2"],
    );
    wait_for(8);
    send(&lab, blocked, 7);
    poll("they arrive", || received.load(Ordering::Relaxed) == 7);
    assert_eq!(lab.policy("blocked"), (7, 5));
    assert_eq!(lab.generation("wlan0"), Some(2));
    let again = lab.monitor(&["confirm"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("nothing waits"), "{again:?}");
    assert!(daemon.is_running());

    // A start loads these policies; they are also stored as the last good ones.
    daemon.kill();
    lab.write_policies("version: 1\npolicies: [\n");
    let _next = start(&lab, &[]);
    assert_eq!(action(&lab), "count");
}

#[test]
fn a_reload_that_fails_changes_nothing_of_it() {
    let lab = Lab::new("broken");
    let daemon = start(&lab, &[]);
    lab.write_policies("version: 1\npolicies: [\n");
    let failed = lab.monitor(&["reload", "--confirm", LONG]);
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(lab.status()["unconfirmed"], Value::Null);
    daemon.kill();
    lab.write_policies(&passing());
    let _next = start(&lab, &[]);
    assert_eq!(action(&lab), "count");
    for time in ["0s", "25h", "soon"] {
        let refused = lab.monitor(&["reload", "--confirm", time]);
        assert_eq!(refused.status.code(), Some(2), "{time}");
    }
}

/// Starts a daemon that loads files only by command, so that the test decides
/// when.
fn start(lab: &Lab, arguments: &[&str]) -> Daemon {
    lab.start(&[&["--mode", "generic", "--no-watch"], arguments].concat())
}

/// The lab's policies, with `count` in place of `drop`.
fn passing() -> String {
    POLICIES.replace("action: drop", "action: count")
}

/// Runs a verb, which must succeed.
fn verb(lab: &Lab, arguments: &[&str]) -> String {
    let output = lab.monitor(arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn action(lab: &Lab) -> String {
    let status = lab.status();
    let policies = status["policies"].as_array().unwrap();
    let blocked = policies.iter().find(|policy| policy["name"] == "blocked");
    blocked.unwrap()["action"]
        .as_str()
        .unwrap_or("none")
        .to_owned()
}

fn is_rolled_back(lab: &Lab) -> bool {
    lab.status()["unconfirmed"]["rolled_back"] == true
}

/// Names of the generations that are pinned.
fn generations(lab: &Lab) -> Vec<String> {
    let state = format!("v{:016x}", monitor_common::ABI_HASH);
    let entries = fs::read_dir(lab.pin_dir.join(state)).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("gen-")).collect();
    names.sort();
    names
}

/// Sends datagrams before, during and after `work`. Returns their number.
fn under_traffic(lab: &Lab, to: SocketAddr, work: impl FnOnce()) -> u64 {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| send_until(lab, &stop, &[to]));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let before = blocked_packets(lab);
            poll("traffic flows", || blocked_packets(lab) > before);
            work();
            let after = blocked_packets(lab);
            poll("traffic goes on", || blocked_packets(lab) > after);
        }));
        stop.store(true, Ordering::Relaxed);
        let sent = sender.join().unwrap();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        sent
    })
}

fn blocked_packets(lab: &Lab) -> u64 {
    let (passed, dropped) = lab.policy("blocked");
    passed + dropped
}

/// Asserts that exactly the packets counted as passed have arrived, and that
/// passed and dropped ones add up to those sent.
fn assert_counted(lab: &Lab, received: &AtomicU64, sent: u64) {
    let (passed, dropped) = lab.policy("blocked");
    assert_eq!(passed + dropped, sent);
    poll("what passed has arrived", || {
        received.load(Ordering::Relaxed) == passed
    });
    assert!(
        passed > 0 && dropped > 0,
        "{passed} passed, {dropped} dropped"
    );
}

/// The numbers of frames that the phone sent and that all cells of the
/// gateway's interface counted, at the same moment.
fn sent_and_seen(lab: &Lab) -> (u64, u64) {
    let sent = || {
        let output = lab
            .phone
            .command("ip")
            .args(["-s", "-j", "link", "show", "eth0"])
            .output();
        let links: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
        links[0]["stats64"]["tx"]["packets"].as_u64().unwrap()
    };
    loop {
        let before = sent();
        let seen = cells(&lab.status()["interfaces"][0]);
        if before == sent() {
            return (before, seen);
        }
    }
}

fn cells(interface: &Value) -> u64 {
    let families = ["ipv4", "ipv6"].iter().flat_map(|family| {
        ["passed", "dropped"].map(|verdict| &interface[family][verdict]["packets"])
    });
    let unparsed = interface["unparsed"].as_object().unwrap().values();
    let unparsed =
        unparsed.flat_map(|of| ["passed", "dropped"].map(|verdict| &of[verdict]["packets"]));
    let not_confirmed = &interface["not_confirmed"]["packets"];
    let all = families.chain(unparsed).chain([not_confirmed]);
    all.map(|count| count.as_u64().unwrap()).sum()
}

fn not_confirmed(lab: &Lab) -> u64 {
    lab.status()["interfaces"][0]["not_confirmed"]["packets"]
        .as_u64()
        .unwrap()
}

/// Waits until a deadline of `seconds` has certainly passed.
fn wait_for(seconds: u64) {
    thread::sleep(std::time::Duration::from_secs(seconds + 1));
}
