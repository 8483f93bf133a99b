//! `monitor capture`: losses, and what ends a capture.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nix::sys::signal::Signal;
use serde_json::Value;
use support::{
    captured::{capture_events, flood, flood_until_lost, matched, read_capture},
    lab::{BLOCKED, Lab, POLICIES, poll, poll_long, text},
    packets::to,
    raw::RawSocket,
};

/// Events of captures that ended.
fn ended(lab: &Lab) -> Vec<Value> {
    let mut events = capture_events(lab);
    events.retain(|event| event["event"] == "capture");
    events
}

#[test]
fn a_flood_with_a_reader_that_stands_still_counts_losses_and_the_daemon_goes_on() {
    let lab = Lab::new("capture-flood");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let capture = lab.capture("blocked", &["--payload"]);
    let before = matched(&lab, "blocked");
    capture.signal(Signal::SIGSTOP);
    flood_until_lost(&lab);
    assert!(daemon.is_running());
    assert!(!lab.health().contains("503"));
    let counted = matched(&lab, "blocked") - before;
    capture.signal(Signal::SIGCONT);
    let (printed, content) = capture.stop();
    let [packets, lost] = ["packets", "lost"].map(|key| printed[key].as_u64().unwrap());
    assert!(lost > 1000 && packets > 1000, "{printed}");
    assert_eq!(packets + lost, counted);
    assert_eq!(content.packets.len() as u64, packets);
    assert_eq!(content.lost, lost);
    assert_eq!(printed["lost_by"]["ring_full"], lost);
}

#[test]
fn a_full_file_ends_the_capture_within_its_limit() {
    let lab = Lab::new("capture-size");
    let _daemon = lab.start(&["--mode", "generic"]);
    let before = matched(&lab, "blocked");
    let capture = lab.capture("blocked", &["--payload", "--max", "64KiB"]);
    let phone = RawSocket::sender(&lab.phone, "eth0");
    let frame = to(BLOCKED[0]).payload(&[0x5a; 1300]).build();
    for _ in 0..200 {
        phone.send(&frame);
    }
    let (printed, content) = capture.end();
    assert_eq!(printed["end"], "size");
    let bytes = printed["bytes"].as_u64().unwrap();
    assert!(bytes > 50_000 && bytes <= 64 << 10, "{bytes}");
    poll("all are counted", || {
        matched(&lab, "blocked") == before + 200
    });
    // Packets after the end are no part of the capture.
    let all = content.packets.len() as u64 + content.lost;
    assert!(content.lost > 0 && all <= 200, "{printed}");
    assert_eq!(printed["lost_by"]["file_full"], content.lost);
    assert!(!lab.copies_packets());
}

#[test]
fn the_time_ends_a_capture() {
    let lab = Lab::new("capture-time");
    let _daemon = lab.start(&["--mode", "generic"]);
    let (printed, content) = lab.capture("seen", &["--for", "2s"]).end();
    assert_eq!(
        (&printed["end"], &printed["packets"]),
        (&"time".into(), &0.into())
    );
    assert!(content.packets.is_empty());
}

#[test]
fn a_capture_goes_on_over_reloads_changes_and_a_roll_back() {
    let lab = Lab::new("capture-reload");
    let _daemon = lab.start(&["--mode", "generic"]);
    let before = matched(&lab, "blocked");
    let capture = lab.capture("blocked", &[]);
    let command = |arguments: &[&str]| {
        let output = lab.monitor(arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(lab.copies_packets(), "{arguments:?}");
        lab.send_udp(BLOCKED[0], 3);
    };
    command(&["reload"]);
    command(&["block", "203.0.113.1"]);
    command(&["pause", "seen", "--for", "1h"]);
    command(&["reload", "--confirm", "1h"]);
    command(&["confirm"]);
    command(&["reload", "--confirm", "2s"]);
    poll("the trial is over", || {
        let log = fs::read_to_string(lab.directory.path().join("daemon.log")).unwrap();
        log.contains("not confirmed")
    });
    poll("the generation before copies packets", || {
        lab.copies_packets()
    });
    lab.send_udp(BLOCKED[0], 3);
    poll("all are counted", || {
        matched(&lab, "blocked") == before + 21
    });
    let (printed, content) = capture.stop();
    assert_eq!(
        (&printed["packets"], &printed["lost"]),
        (&21.into(), &0.into())
    );
    assert_eq!(content.packets.len(), 21);
    assert!(!lab.copies_packets());
}

#[test]
fn a_roll_back_to_a_generation_with_an_old_capture_copies_nothing() {
    let lab = Lab::new("capture-rollback");
    let _daemon = lab.start(&["--mode", "generic"]);
    let capture = lab.capture("blocked", &[]);
    assert!(lab.monitor(&["reload", "--confirm", "3s"]).status.success());
    capture.stop();
    assert!(!lab.copies_packets());
    poll("the trial is over", || {
        let log = fs::read_to_string(lab.directory.path().join("daemon.log")).unwrap();
        log.contains("not confirmed")
    });
    poll("nothing is copied", || !lab.copies_packets());
}

#[test]
fn a_reload_that_removes_the_policy_ends_the_capture() {
    let lab = Lab::new("capture-removed");
    let _daemon = lab.start(&["--mode", "generic"]);
    let capture = lab.capture("seen", &[]);
    let kept = POLICIES.split("  - name: seen").next().unwrap();
    lab.write_policies(kept);
    assert!(lab.monitor(&["reload"]).status.success());
    let (printed, _) = capture.end();
    assert_eq!(printed["end"], "policy-removed");
    assert!(!lab.copies_packets());
}

#[test]
fn after_a_kill_of_the_daemon_the_next_one_copies_nothing() {
    let lab = Lab::new("capture-daemon-killed");
    let daemon = lab.start(&["--mode", "generic"]);
    let capture = lab.capture("blocked", &[]);
    lab.send_udp(BLOCKED[0], 5);
    poll("the packets are written", || {
        lab.running_capture()
            .is_some_and(|capture| capture["packets"] == 5)
    });
    daemon.kill();
    let file = capture.file.clone();
    let output = capture.child.wait_with_output().unwrap();
    assert!(!output.status.success());
    let error = text(&output.stderr);
    assert!(error.contains("the daemon is gone"), "{error}");
    assert_eq!(read_capture(&fs::read(&file).unwrap()).packets.len(), 5);
    let _daemon = lab.start(&["--mode", "generic"]);
    assert!(!lab.copies_packets());
    assert_eq!(lab.running_capture(), None);
    poll_long("no pin of a capture is left", || capture_pins(&lab) == 0);
    lab.capture("blocked", &[]).stop();
}

/// Pins of captures under the lab's pin directory.
fn capture_pins(lab: &Lab) -> usize {
    let list = |path: &std::path::Path| -> Vec<_> {
        let found = fs::read_dir(path).into_iter().flatten().flatten();
        found.map(|entry| entry.path()).collect()
    };
    let versions = list(&lab.pin_dir).into_iter();
    let generations = versions.flat_map(|version| list(&version));
    let pins = generations.flat_map(|generation| list(&generation));
    pins.filter(|pin| {
        let name = pin.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("CAPTURE_")
    })
    .count()
}

#[test]
fn a_daemon_that_is_asked_to_end_ends_the_capture_first() {
    let lab = Lab::new("capture-daemon-ends");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let capture = lab.capture("blocked", &[]);
    lab.send_udp(BLOCKED[0], 5);
    daemon.signal(Signal::SIGTERM);
    let (printed, content) = capture.end();
    assert_eq!(printed["end"], "daemon-ended");
    assert_eq!(
        (&printed["stored"], content.packets.len()),
        (&true.into(), 5)
    );
    poll("the daemon has ended", || !daemon.is_running());
    assert!(!lab.copies_packets());
    let stored = ended(&lab);
    assert_eq!(stored[0]["sha256"], printed["sha256"]);
}

/// The file is full, so the capture has ended before the daemon is asked to end. The client
/// takes its time to write the file to the disk.
#[test]
fn a_daemon_that_ends_stores_the_end_of_a_capture_whose_client_stands_still() {
    let lab = Lab::new("capture-still-ends");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let mut capture = lab.capture("blocked", &["--payload", "--max", "64KiB"]);
    capture.signal(Signal::SIGSTOP);
    let phone = RawSocket::sender(&lab.phone, "eth0");
    let frame = to(BLOCKED[0]).payload(&[0x5a; 1300]).build();
    for _ in 0..100 {
        phone.send(&frame);
    }
    poll("the capture has ended", || lab.running_capture().is_none());
    daemon.signal(Signal::SIGTERM);
    poll("the daemon has ended", || !daemon.is_running());
    let stored = ended(&lab);
    assert_eq!(stored.len(), 1, "{stored:?}");
    assert_eq!(
        (&stored[0]["end"], &stored[0]["file"]),
        (&"size".into(), &"unknown".into())
    );
    capture.child.kill().unwrap();
    capture.child.wait().unwrap();
}

#[test]
fn a_detach_ends_the_capture() {
    let lab = Lab::new("capture-detach");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let capture = lab.capture("blocked", &[]);
    lab.send_udp(BLOCKED[0], 5);
    let output = lab.monitor(&["detach"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (printed, content) = capture.end();
    assert_eq!(printed["end"], "detached");
    assert_eq!(printed["stored"], true);
    assert_eq!(content.packets.len(), 5);
    poll("the daemon has ended", || !daemon.is_running());
}

#[test]
fn a_kill_of_the_client_leaves_a_readable_file_and_ends_the_capture() {
    let lab = Lab::new("capture-client-killed");
    let _daemon = lab.start(&["--mode", "generic"]);
    let mut capture = lab.capture("blocked", &[]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| flood(&lab, &stop));
        poll("packets are written", || {
            fs::metadata(&capture.file).is_ok_and(|file| file.len() > 100_000)
        });
        capture.child.kill().unwrap();
        stop.store(true, Ordering::Relaxed);
    });
    capture.child.wait().unwrap();
    assert!(
        read_capture(&fs::read(&capture.file).unwrap())
            .packets
            .len()
            > 500
    );
    poll("the capture has ended", || lab.running_capture().is_none());
    poll("nothing is copied", || !lab.copies_packets());
    poll_long("the event is stored", || !ended(&lab).is_empty());
    let stored = &ended(&lab)[0];
    assert_eq!(stored["end"], "client-gone");
    assert_eq!(stored.get("sha256"), None);
}
