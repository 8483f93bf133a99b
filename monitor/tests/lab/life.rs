//! Start, stop, kill, take-over and detach of the real daemon.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    os::unix::fs::chown,
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nix::sys::signal::Signal;
use support::{
    datagrams::{count_arrivals, send, send_until},
    lab::{BLOCKED, Lab, OPEN, POLICIES, binary, poll, text},
    verbs::refused,
};
use tempfile::TempDir;

#[test]
fn after_kill_9_the_filter_drops_and_counts_and_the_next_run_takes_over() {
    let lab = Lab::new("kill");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = lab.start(&["--mode", "generic"]);
    send(&lab, blocked, 10);
    daemon.kill();

    send(&lab, blocked, 10);
    assert_eq!(lab.policy("blocked"), (0, 20));
    let status = lab.status();
    assert_eq!(status["daemon"], serde_json::Value::Null);
    assert!(text(&lab.monitor(&["status"]).stdout).contains("none runs"));

    let _next = lab.start(&["--mode", "generic"]);
    assert_eq!(lab.generation("wlan0"), Some(2));
    send(&lab, blocked, 10);
    assert_eq!(lab.policy("blocked"), (0, 30));
    assert_eq!(received.load(Ordering::Relaxed), 0);
    poll(
        "old generations are removed when their flows are stored",
        || generations(&lab.pin_dir).len() == 1,
    );
}

#[test]
fn a_take_over_under_traffic_has_no_gap() {
    let lab = Lab::new("takeover");
    let (open, open_received) = count_arrivals(&lab, OPEN[1]);
    let (blocked, blocked_received) = count_arrivals(&lab, BLOCKED[1]);
    let mut daemon = lab.start(&["--mode", "native"]);
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| send_until(&lab, &stop, &[open, blocked]));
        for _ in 0..5 {
            daemon.kill();
            daemon = lab.start(&["--mode", "native"]);
        }
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    poll("all innocent packets have arrived", || {
        open_received.load(Ordering::Relaxed) == sent
    });
    assert_eq!(blocked_received.load(Ordering::Relaxed), 0);
    assert_eq!(lab.policy("blocked"), (0, sent));
}

#[test]
fn stopping_leaves_the_filter_and_says_how_to_remove_it() {
    let lab = Lab::new("stop");
    let mut daemon = lab.start(&["--mode", "generic"]);
    daemon.signal(Signal::SIGTERM);
    poll("the daemon ends", || !daemon.is_running());
    assert!(daemon.log().contains("monitor detach"), "{}", daemon.log());
    assert_eq!(lab.generation("wlan0"), Some(1));
    assert!(!lab.socket().exists());
}

#[test]
fn detach_leaves_nothing_behind() {
    for running in [true, false] {
        let lab = Lab::new("detach");
        let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
        let mut daemon = lab.start(&["--mode", "generic"]);
        let programs = program_ids(&lab);
        assert_eq!(programs.len(), 1);
        if !running {
            daemon.signal(Signal::SIGKILL);
            poll("the daemon ends", || !daemon.is_running());
        }
        let output = lab.monitor(&["detach"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("wlan0"));
        assert!(!lab.pin_dir.exists());
        poll("the daemon ends", || !daemon.is_running());
        poll("the program is gone from the kernel", || {
            !aya::programs::loaded_programs()
                .filter_map(Result::ok)
                .any(|program| programs.contains(&program.id()))
        });
        assert_eq!(attached_program(&lab), None);
        send(&lab, blocked, 5);
        poll("packets pass again", || {
            received.load(Ordering::Relaxed) == 5
        });
        let again = lab.monitor(&["detach"]);
        assert_eq!(again.status.code(), Some(1));
        assert!(text(&again.stderr).contains("no filter is in force"));
    }
}

#[test]
fn a_second_daemon_says_who_holds_the_interface() {
    let lab = Lab::new("second");
    let daemon = lab.start(&["--mode", "generic"]);
    let holder = format!("process {}", daemon.child.id());

    let same_socket = refused(&lab, &["--interface", "wlan0", "--listen", "127.0.0.1:0"]);
    assert!(same_socket.contains(&holder), "{same_socket}");

    let other_socket = lab.directory.path().join("other.sock");
    let arguments = [
        "--interface",
        "wlan0",
        "--listen",
        "127.0.0.1:0",
        "--socket",
    ];
    let same_pins = refused(
        &lab,
        &[&arguments[..], &[other_socket.to_str().unwrap()]].concat(),
    );
    assert!(same_pins.contains(&holder), "{same_pins}");

    let other_pins = format!("{}x", lab.pin_dir.display());
    let other = [other_socket.to_str().unwrap(), "--pin-dir", &other_pins];
    let same_interface = refused(&lab, &[&arguments[..], &other].concat());
    assert!(same_interface.contains(&holder), "{same_interface}");
    assert!(same_interface.contains("wlan0"), "{same_interface}");
    assert!(!Path::new(&other_pins).exists(), "no pins without a filter");
    assert_eq!(lab.generation("wlan0"), Some(1));
}

#[test]
fn where_the_second_interface_fails_the_first_stays_as_it_was() {
    let lab = Lab::new("rollback");
    lab.add_interface("wlan1");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    let daemon = lab.start(&["--mode", "generic"]);
    let program = attached_program(&lab);
    daemon.kill();

    let other = Lab::new("rollback-other");
    occupy(&lab, &other);
    let interfaces = [
        "--interface",
        "wlan0",
        "--interface",
        "wlan1",
        "--mode",
        "generic",
    ];
    let error = refused(&lab, &interfaces);
    assert!(error.contains("wlan1"), "{error}");
    assert_eq!(attached_program(&lab), program, "the old program is back");
    assert_eq!(lab.generation("wlan0"), Some(1));
    assert_eq!(generations(&lab.pin_dir), ["gen-1"]);
    send(&lab, blocked, 3);
    assert_eq!(lab.policy("blocked"), (0, 3));
    assert_eq!(received.load(Ordering::Relaxed), 0);
}

#[test]
fn a_mode_change_is_announced_and_undone_where_a_later_interface_fails() {
    let lab = Lab::new("mode");
    lab.add_interface("wlan1");
    lab.start(&["--mode", "generic"]).kill();
    let other = Lab::new("mode-other");
    occupy(&lab, &other);
    let both = [
        "--interface",
        "wlan0",
        "--interface",
        "wlan1",
        "--mode",
        "native",
    ];
    let error = refused(&lab, &both);
    assert!(error.contains("wlan1"), "{error}");
    let mode = |lab: &Lab| lab.status()["interfaces"][0]["mode"].clone();
    assert_eq!(
        (lab.generation("wlan0"), mode(&lab)),
        (Some(1), "generic".into())
    );
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    send(&lab, blocked, 3);
    assert_eq!(lab.policy("blocked"), (0, 3));
    assert_eq!(received.load(Ordering::Relaxed), 0);

    let daemon = lab.start(&["--mode", "native"]);
    assert_eq!(mode(&lab), "native");
    assert!(
        daemon.log().contains("from generic to native"),
        "{}",
        daemon.log()
    );
    assert_eq!(lab.policy("blocked"), (0, 3));
}

#[test]
fn a_start_that_fails_attaches_nothing() {
    let lab = Lab::new("fails");
    let none = refused(&lab, &[]);
    assert!(none.contains("--interface"), "{none}");

    let plain = lab.directory.path().join("pins");
    let arguments = ["--interface", "wlan0", "--pin-dir", plain.to_str().unwrap()];
    let no_bpffs = refused(&lab, &arguments);
    assert!(no_bpffs.contains("mount -t bpf"), "{no_bpffs}");
    assert!(!plain.exists());

    lab.write_policies(&POLICIES.replace("198.51.100.0/24", "198.51.100.1/24"));
    let broken = refused(&lab, &["--interface", "wlan0"]);
    assert!(broken.contains("policies.yaml:5:"), "{broken}");
    assert_eq!(attached_program(&lab), None);
}

#[test]
fn without_privileges_the_error_says_which_are_needed() {
    let lab = Lab::new("nobody");
    let directory = lab.directory.path();
    sh(&format!("chmod -R a+rX {}", directory.display()));
    lab.belongs_to_root();
    let own = TempDir::new().unwrap();
    chown(own.path(), Some(65534), Some(65534)).unwrap();
    // Other users may not be able to read the binary at its own path.
    let copy = directory.join("monitor");
    fs::copy(binary(), &copy).unwrap();
    let output = lab
        .gateway
        .command("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args([
            "run",
            "--interface",
            "wlan0",
            "--listen",
            "127.0.0.1:0",
            "--policies",
        ])
        .arg(lab.policies())
        .arg("--state-dir")
        .arg(own.path().join("state"))
        .arg("--socket")
        .arg(own.path().join("socket"))
        .arg("--pin-dir")
        .arg(&lab.pin_dir)
        .output()
        .unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("CAP_BPF") && error.contains("root"),
        "{error}"
    );
}

#[test]
fn interfaces_that_are_no_longer_asked_for_are_detached() {
    let lab = Lab::new("fewer");
    lab.add_interface("wlan1");
    let daemon = lab.start(&["--mode", "generic", "--interface", "wlan1"]);
    assert_eq!(lab.generation("wlan1"), Some(1));
    daemon.kill();
    let daemon = lab.start(&["--mode", "generic"]);
    assert_eq!(lab.generation("wlan1"), None);
    assert_eq!(lab.generation("wlan0"), Some(2));
    assert!(daemon.log().contains("wlan1: detached"), "{}", daemon.log());
}

#[test]
fn an_interface_that_was_deleted_and_made_again_is_attached_anew() {
    let lab = Lab::new("again");
    lab.add_interface("wlan1");
    let daemon = lab.start(&["--mode", "generic", "--interface", "wlan1"]);
    daemon.kill();
    lab.gateway.ip("link del wlan1");
    assert_eq!(lab.generation("wlan1"), None);
    lab.add_interface("wlan1");
    let daemon = lab.start(&["--mode", "generic", "--interface", "wlan1"]);
    assert_eq!(lab.generation("wlan1"), Some(2), "{}", daemon.log());
}

/// Attaches another lab's program to this lab's wlan1. The labs have different
/// pin directories.
fn occupy(lab: &Lab, other: &Lab) {
    other.belongs_to_root();
    let child = lab
        .gateway
        .command(binary())
        .args(["run", "--interface", "wlan1", "--mode", "generic"])
        .args(["--listen", "127.0.0.1:0", "--policies"])
        .arg(other.policies())
        .arg("--state-dir")
        .arg(other.directory.path().join("state"))
        .arg("--pin-dir")
        .arg(&other.pin_dir)
        .arg("--socket")
        .arg(other.socket())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = support::lab::Daemon::from_child(child);
    poll("the other filter is attached", || {
        assert!(child.is_running());
        other.monitor(&["status"]).status.success() && other.generation("wlan1") == Some(1)
    });
    child.kill();
}

/// The id of the XDP program on the gateway's wlan0.
fn attached_program(lab: &Lab) -> Option<u32> {
    lab.gateway.run(|| {
        monitor::datapath::list_interfaces()
            .unwrap()
            .into_iter()
            .find(|interface| interface.name == "wlan0")
            .expect("wlan0 exists")
            .program
    })
}

fn program_ids(lab: &Lab) -> Vec<u32> {
    attached_program(lab).into_iter().collect()
}

fn generations(pin_dir: &Path) -> Vec<String> {
    let version = fs::read_dir(pin_dir)
        .unwrap()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with('v'))
        .expect("a versioned directory");
    let mut names: Vec<_> = fs::read_dir(version.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.starts_with("gen-"))
        .collect();
    names.sort();
    names
}

fn sh(command: &str) {
    let status = std::process::Command::new("sh")
        .args(["-c", command])
        .status()
        .unwrap();
    assert!(status.success(), "{command}");
}
