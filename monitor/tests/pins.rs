//! The pin directory: what is ours goes, what is not stays, and half of it is
//! never taken for the whole.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use monitor_common::ABI_HASH;
use support::lab::{BLOCKED, Lab, POLICIES, text};

#[test]
fn detach_removes_nothing_that_is_not_ours() {
    let lab = Lab::new("foreign");
    let foreign = lab.pin_dir.join("cilium");
    fs::create_dir_all(&foreign).unwrap();
    lab.give(&lab.pin_dir);
    lab.start(&["--mode", "generic"]).kill();
    let output = lab.monitor(&["detach"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(names(&lab.pin_dir), ["cilium"]);
    fs::remove_dir(&foreign).unwrap();
    let again = lab.monitor(&["detach"]);
    assert!(text(&again.stderr).contains("no filter is in force"));
    assert!(
        lab.pin_dir.exists(),
        "a directory that holds nothing of ours is not ours"
    );
    fs::remove_dir(&lab.pin_dir).unwrap();
}

#[test]
fn a_symbolic_link_to_the_pin_directory_is_followed() {
    let lab = Lab::new("symlink");
    let link = lab.directory.path().join("pins");
    fs::create_dir(&lab.pin_dir).unwrap();
    lab.give(&lab.pin_dir);
    symlink(&lab.pin_dir, &link).unwrap();
    let mut daemon = lab.start(&["--mode", "generic", "--pin-dir", link.to_str().unwrap()]);
    assert_eq!(lab.generation("wlan0"), Some(1));
    let output = lab.monitor(&["detach"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!lab.pin_dir.exists());
    support::lab::poll("the daemon ends", || !daemon.is_running());
}

/// Else the names of policies and their counts would come apart.
#[test]
fn half_of_the_state_is_made_anew_as_a_whole() {
    let lab = Lab::new("half");
    lab.start(&["--mode", "generic"]).kill();
    lab.send_udp(BLOCKED[0], 5);
    assert_eq!(lab.policy("blocked"), (0, 5));
    let state = lab.pin_dir.join(format!("v{ABI_HASH:016x}"));
    remove_links(&lab.pin_dir);
    fs::remove_file(state.join("POLICY_NAMES")).unwrap();

    let status = lab.monitor(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    lab.write_policies(&POLICIES.replace("blocked", "another"));
    let _daemon = lab.start(&["--mode", "generic"]);
    assert_eq!(lab.policy("another"), (0, 0));
    let devices = &lab.status()["policies"][0]["devices"];
    assert_eq!(devices.as_array().map(Vec::len), Some(0), "{devices}");
}

#[test]
fn what_an_interrupted_detach_left_is_removed_at_the_next_start() {
    let lab = Lab::new("discarded");
    let left = lab.pin_dir.join("discarded_v0000000000000001_4711");
    fs::create_dir_all(&left).unwrap();
    lab.give(&lab.pin_dir);
    let _daemon = lab.start(&["--mode", "generic"]);
    assert!(!left.exists());
}

#[test]
fn the_state_of_another_version_is_not_touched() {
    let lab = Lab::new("version");
    let other = lab.pin_dir.join("v0123456789abcdef");
    fs::create_dir_all(&other).unwrap();
    lab.give(&lab.pin_dir);
    let run = lab
        .daemon_command(&["--interface", "wlan0"])
        .output()
        .unwrap();
    for output in [run, lab.monitor(&["status"])] {
        assert_eq!(output.status.code(), Some(1));
        let error = text(&output.stderr);
        assert!(
            error.contains("another version") && error.contains("monitor detach"),
            "{error}"
        );
    }
    assert!(other.exists());
    assert!(lab.monitor(&["detach"]).status.success());
    assert!(!lab.pin_dir.exists());
}

#[test]
fn an_ordinary_user_is_told_about_privileges_and_not_that_nothing_is_in_force() {
    let lab = Lab::new("reader");
    lab.start(&["--mode", "generic"]).kill();
    let copy = lab.directory.path().join("monitor");
    fs::copy(support::lab::binary(), &copy).unwrap();
    let open = Command::new("chmod")
        .args(["a+rx"])
        .args([lab.directory.path(), &copy])
        .status();
    assert!(open.unwrap().success());
    for verb in ["status", "detach"] {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy)
            .arg(verb)
            .arg("--pin-dir")
            .arg(&lab.pin_dir)
            .args(["--socket", "/nonexistent/socket"])
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(
            error.contains("permission denied") && error.contains("root"),
            "{error}"
        );
    }
    assert_eq!(lab.generation("wlan0"), Some(1));
}

#[test]
fn a_filter_whose_generation_lost_its_pins_is_still_seen_and_replaced() {
    let lab = Lab::new("lost");
    lab.start(&["--mode", "generic"]).kill();
    let state = lab.pin_dir.join(format!("v{ABI_HASH:016x}"));
    fs::remove_dir_all(state.join("gen-1")).unwrap();
    let status = lab.status();
    assert_eq!(status["interfaces"][0]["mode"], "generic");
    assert_eq!(
        status["interfaces"][0]["generation"],
        serde_json::Value::Null
    );
    let _daemon = lab.start(&["--mode", "generic"]);
    assert_eq!(lab.generation("wlan0"), Some(1));
    lab.send_udp(BLOCKED[0], 2);
    assert_eq!(lab.policy("blocked"), (0, 2));
}

/// The same index and name in another network namespace is another interface.
#[test]
fn the_pins_of_another_network_namespace_are_refused() {
    let lab = Lab::new("here");
    lab.start(&["--mode", "generic"]).kill();
    let other = Lab::new("there");
    let pins = lab.pin_dir.to_str().unwrap();
    let output = other
        .daemon_command(&["--interface", "wlan0", "--pin-dir", pins])
        .output()
        .unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("network namespace"), "{error}");
    assert_eq!(lab.generation("wlan0"), Some(1));
}

fn remove_links(pin_dir: &Path) {
    for link in fs::read_dir(pin_dir.join("links")).unwrap().flatten() {
        fs::remove_file(link.path()).unwrap();
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
