//! `--confirm`: what nobody confirms goes back, whoever is alive by then, and
//! every packet is counted once, by the generation that decided.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

#[expect(dead_code, reason = "each test file uses a part of it")]
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
    lab::{BLOCKED, Daemon, Lab, OPEN, POLICIES, poll, text},
    verbs::refused,
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
    assert_eq!(generations(&lab), ["gen-2"]);
    wait_for(8);
    send(&lab, blocked, 7);
    poll("they arrive", || received.load(Ordering::Relaxed) == 7);
    assert_eq!(lab.policy("blocked"), (7, 5));
    assert_eq!(lab.generation("wlan0"), Some(2));
    let again = lab.monitor(&["confirm"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("nothing waits"), "{again:?}");
    assert!(daemon.is_running());

    // It is what a start finds, and what is kept for broken files.
    daemon.kill();
    lab.write_policies("version: 1\npolicies: [\n");
    let _next = start(&lab, &[]);
    assert_eq!(action(&lab), "count");
}

#[test]
fn what_nobody_confirms_goes_back_and_every_packet_is_counted_once() {
    let lab = Lab::new("unconfirmed");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    let sent = under_traffic(&lab, blocked, || {
        verb(&lab, &["reload", "--confirm", "1s"]);
        poll("it is rolled back for good", || {
            is_rolled_back(&lab) && generations(&lab) == ["gen-1"]
        });
    });
    assert_counted(&lab, received, sent);
    assert_eq!(lab.generation("wlan0"), Some(1));
    assert_eq!(action(&lab), "drop");

    let status = lab.status();
    assert_eq!(status["reload"]["success"], false);
    let error = status["reload"]["error"].as_str().unwrap();
    assert!(error.contains("not confirmed within 1 s"), "{error}");
    assert!(daemon.log().contains("not confirmed within 1 s"));
    let human = text(&lab.monitor(&["status"]).stdout);
    assert!(human.contains("NOT LOADED"), "{human}");
    assert!(
        human.contains("rolled back: not confirmed within 1 s"),
        "{human}"
    );
    let metrics = lab.metrics();
    assert!(metrics.contains("monitor_rolled_back 1"), "{metrics}");
    assert!(metrics.contains("monitor_reload_success 0"), "{metrics}");
    assert!(lab.page().contains("not confirmed within 1 s"));
    let late = lab.monitor(&["confirm"]);
    assert_eq!(late.status.code(), Some(1), "{late:?}");

    verb(&lab, &["reload"]);
    assert_eq!(action(&lab), "count", "asked for, they are in force");
    assert_eq!(lab.status()["unconfirmed"], Value::Null);
    assert!(lab.metrics().contains("monitor_rolled_back 0"));
}

#[test]
fn the_kernel_goes_back_by_itself_where_the_daemon_is_killed() {
    let lab = Lab::new("alone");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    let sent = under_traffic(&lab, blocked, || {
        verb(&lab, &["reload", "--confirm", "2s"]);
        daemon.kill();
        poll("the kernel goes back", || is_rolled_back(&lab));
    });
    assert_counted(&lab, received, sent);
    let status = lab.status();
    assert_eq!(status["daemon"], Value::Null);
    assert_eq!(status["interfaces"][0]["generation"], 1);
    assert_eq!(status["unconfirmed"]["generation"], 2);
    assert_eq!(action(&lab), "drop", "{status:#}");
    let human = text(&lab.monitor(&["status"]).stdout);
    assert!(
        human.contains("generation 2 was not confirmed within 2 s, generation 1 decides again"),
        "{human}"
    );
    let late = lab.monitor(&["confirm"]);
    assert!(text(&late.stderr).contains("was not confirmed within 2 s"));

    let before = received.load(Ordering::Relaxed);
    let next = start(&lab, &[]);
    assert!(
        next.log().contains("not confirmed within 2 s"),
        "{}",
        next.log()
    );
    assert_eq!(action(&lab), "drop", "the files are not loaded unasked");
    send(&lab, blocked, 5);
    assert_counted(&lab, received, sent + 5);
    assert_eq!(received.load(Ordering::Relaxed), before);
    next.kill();
    let _third = start(&lab, &[]);
    assert_eq!(action(&lab), "drop", "nor at the start after that");
    verb(&lab, &["reload", "--confirm", LONG]);
    assert_eq!(action(&lab), "count");
    verb(&lab, &["confirm"]);
}

#[test]
fn a_run_before_the_deadline_waits_on_and_can_be_confirmed() {
    let lab = Lab::new("waits-on");
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    verb(&lab, &["reload", "--confirm", LONG]);
    daemon.kill();
    let next = start(&lab, &[]);
    assert!(next.log().contains("NOT CONFIRMED"), "{}", next.log());
    let status = lab.status();
    assert_eq!(status["interfaces"][0]["generation"], 3);
    assert_eq!(status["unconfirmed"]["previous"], 1, "{status:#}");
    assert_eq!(status["unconfirmed"]["rolled_back"], false);
    verb(&lab, &["confirm"]);
    assert_eq!(generations(&lab), ["gen-3"]);
    next.kill();
    let _third = start(&lab, &[]);
    assert_eq!(lab.status()["unconfirmed"], Value::Null);
    assert_eq!(action(&lab), "count");
}

#[test]
fn a_run_before_the_deadline_goes_back_to_what_was_confirmed() {
    let lab = Lab::new("waits-in-vain");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    let sent = under_traffic(&lab, blocked, || {
        verb(&lab, &["reload", "--confirm", "4s"]);
        daemon.kill();
        let _next = start(&lab, &[]);
        poll("it is rolled back for good", || {
            is_rolled_back(&lab) && generations(&lab) == ["gen-1"]
        });
        assert_eq!(action(&lab), "drop");
    });
    assert_counted(&lab, received, sent);
}

#[test]
fn without_a_daemon_it_can_be_confirmed_too() {
    let lab = Lab::new("no-daemon");
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    verb(&lab, &["reload", "--confirm", LONG]);
    daemon.kill();
    let state = lab.directory.path().join("state");
    verb(&lab, &["confirm", "--state-dir", state.to_str().unwrap()]);
    assert_eq!(lab.status()["unconfirmed"], Value::Null);
    assert_eq!(generations(&lab), ["gen-2"]);
    let _next = start(&lab, &[]);
    assert_eq!(action(&lab), "count");
    assert_eq!(lab.status()["unconfirmed"], Value::Null);
}

#[test]
fn a_second_one_goes_back_to_what_was_confirmed_and_not_to_the_first() {
    let lab = Lab::new("second");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let _daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    verb(&lab, &["reload", "--confirm", LONG]);
    lab.write_policies(&POLICIES.replace("action: drop", "action: allow"));
    let sent = under_traffic(&lab, blocked, || {
        let told = verb(&lab, &["reload", "--confirm", "1s"]);
        assert!(told.contains("generation 1 decides again"), "{told}");
        poll("it is rolled back for good", || {
            is_rolled_back(&lab) && generations(&lab) == ["gen-1"]
        });
    });
    assert_counted(&lab, received, sent);
    assert_eq!(action(&lab), "drop");
}

/// Only `confirm` ends the waiting: whatever comes into force meanwhile waits too.
#[test]
fn a_plain_reload_a_changed_file_and_a_command_wait_with_it() {
    let lab = Lab::new("meanwhile");
    let daemon = lab.start(&["--mode", "generic"]);
    let waits = |generation: u64| {
        let status = lab.status();
        status["interfaces"][0]["generation"] == generation
            && status["unconfirmed"]["generation"] == generation
            && status["unconfirmed"]["previous"] == 1
            && status["unconfirmed"]["within_seconds"] == 600
    };
    verb(&lab, &["reload", "--confirm", LONG]);
    assert!(waits(2));
    verb(&lab, &["reload"]);
    assert!(waits(3));
    lab.write_policies(&passing());
    poll("the changed file is in force, and waits", || waits(4));
    verb(&lab, &["block", OPEN[0]]);
    assert!(waits(5), "{:#}", lab.status());
    assert_eq!(generations(&lab), ["gen-1", "gen-5"]);
    daemon.kill();
    assert!(waits(5));
}

#[test]
fn a_command_given_meanwhile_stands_after_it_goes_back() {
    let lab = Lab::new("command");
    let (open, received) = count_arrivals(&lab, OPEN[0]);
    let _daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    verb(&lab, &["reload", "--confirm", "4s"]);
    verb(&lab, &["block", OPEN[0]]);
    poll("it is rolled back for good", || {
        is_rolled_back(&lab) && action(&lab) == "drop" && generations(&lab).len() == 1
    });
    send(&lab, open, 5);
    poll("the block drops them", || lab.policy("seen").1 == 5);
    assert_eq!(received.load(Ordering::Relaxed), 0);
}

#[test]
fn files_that_were_not_confirmed_are_not_loaded_because_they_change() {
    let lab = Lab::new("touched");
    let daemon = lab.start(&["--mode", "generic"]);
    verb(&lab, &["reload", "--confirm", "1s"]);
    poll("it is rolled back", || is_rolled_back(&lab));
    lab.write_policies(&passing());
    poll("the change is noticed", || {
        daemon.log().contains("only `monitor reload` loads them")
    });
    assert_eq!(action(&lab), "drop");
    assert!(is_rolled_back(&lab));
    verb(&lab, &["reload"]);
    assert_eq!(action(&lab), "count");
}

#[test]
fn after_a_restart_of_the_machine_what_was_confirmed_is_in_force() {
    let lab = Lab::new("restart");
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    verb(&lab, &["reload", "--confirm", LONG]);
    daemon.kill();
    // What a restart leaves: the state directory, and no pins.
    verb(&lab, &["detach"]);
    let next = start(&lab, &[]);
    assert!(next.log().contains("not confirmed"), "{}", next.log());
    assert_eq!(action(&lab), "drop");
    assert!(is_rolled_back(&lab));
}

#[test]
fn with_nothing_before_every_packet_passes_and_is_counted() {
    let lab = Lab::new("nothing");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = start(&lab, &["--confirm", "2s"]);
    assert_eq!(lab.status()["unconfirmed"]["previous"], Value::Null);
    poll("it is rolled back", || is_rolled_back(&lab));
    let told = text(&lab.monitor(&["status"]).stdout);
    assert!(told.contains("every packet passes"), "{told}");
    let (sent_before, seen_before) = sent_and_seen(&lab);
    send(&lab, blocked, 50);
    poll("they arrive", || received.load(Ordering::Relaxed) == 50);
    let (sent, seen) = sent_and_seen(&lab);
    assert_eq!(sent - sent_before, seen - seen_before);
    let not_confirmed = not_confirmed(&lab);
    assert!(not_confirmed >= 50, "{not_confirmed}");
    let lost = format!("monitor_lost_total{{reason=\"not_confirmed\"}} {not_confirmed}");
    poll("the metric tells them", || lab.metrics().contains(&lost));
    daemon.kill();
    send(&lab, blocked, 50);
    poll("they arrive", || received.load(Ordering::Relaxed) == 100);

    // Never confirmed, so not for good; and there is nothing else.
    let error = refused(&lab, &["--interface", "wlan0"]);
    assert!(
        error.contains("never confirmed") && error.contains("--confirm 60s"),
        "{error}"
    );
    let daemon = start(&lab, &["--confirm", LONG]);
    verb(&lab, &["confirm"]);
    daemon.kill();
    let _last = start(&lab, &[]);
    send(&lab, blocked, 5);
    assert_eq!(lab.policy("blocked").1, 5);
    assert_eq!(lab.status()["unconfirmed"], Value::Null);
}

#[test]
fn run_confirm_goes_back_on_every_interface_to_what_was_in_force_before() {
    let lab = Lab::new("run");
    lab.add_interface("wlan1");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    start(&lab, &["--interface", "wlan1"]).kill();
    lab.write_policies(&passing());
    let sent = under_traffic(&lab, blocked, || {
        // One interface fewer: it must not lose its filter before that is confirmed.
        let daemon = start(&lab, &["--confirm", "3s"]);
        assert_eq!(lab.generation("wlan1"), Some(1), "{}", daemon.log());
        assert!(daemon.log().contains("detached when that is confirmed"));
        daemon.kill();
        poll("it is rolled back", || is_rolled_back(&lab));
    });
    assert_counted(&lab, received, sent);
    for interface in ["wlan0", "wlan1"] {
        assert_eq!(lab.generation(interface), Some(1));
    }
    let daemon = start(&lab, &["--confirm", LONG, "--interface", "wlan1"]);
    verb(&lab, &["confirm"]);
    for interface in ["wlan0", "wlan1"] {
        assert_eq!(lab.generation(interface), Some(3), "{}", daemon.log());
    }
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

/// What fails before the kernel is told must not make files good that nobody
/// confirmed.
#[test]
fn a_start_that_fails_does_not_forget_that_files_were_not_confirmed() {
    let lab = Lab::new("forgets");
    let daemon = start(&lab, &[]);
    lab.write_policies(&passing());
    verb(&lab, &["reload", "--confirm", LONG]);
    daemon.kill();
    verb(&lab, &["detach"]);
    lab.gateway.ip("link add br0 type bridge");
    lab.gateway.ip("link set wlan0 master br0");
    let both = ["--interface", "wlan0", "--interface", "br0"];
    let said = refused(&lab, &[&both[..], &["--confirm", LONG]].concat());
    assert!(said.contains("wlan0 is a port of the bridge br0"), "{said}");
    lab.gateway.ip("link set wlan0 nomaster");
    let _next = start(&lab, &[]);
    assert_eq!(action(&lab), "drop");
    assert!(is_rolled_back(&lab));
}

/// Files are loaded by command alone, so that a test says when.
fn start(lab: &Lab, arguments: &[&str]) -> Daemon {
    lab.start(&[&["--mode", "generic", "--no-watch"], arguments].concat())
}

/// The range that is dropped in the lab's policies is counted.
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

/// Sends datagrams while `work` goes on, and for a while before and after;
/// returns how many.
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

/// What passed has arrived, what was dropped has not, and nothing is missing.
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

/// Frames that the phone sent, and frames in all cells of the gateway's
/// interface, at one moment.
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

/// Waits longer than a deadline of so many seconds.
fn wait_for(seconds: u64) {
    thread::sleep(std::time::Duration::from_secs(seconds + 1));
}
