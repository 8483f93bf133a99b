//! The pin directory: the daemon removes its own files and no others, and never
//! uses an incomplete state.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use monitor_common::ABI_HASH;
use serde_json::Value;
use support::{
    datagrams::{count_arrivals, send, send_until},
    lab::{BLOCKED, Lab, OPEN, PHONE_MAC, POLICIES, poll, text},
    verbs::refused,
};

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

/// Otherwise the names of policies would not fit their counts.
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
            error.contains("another version")
                && error.contains("monitor run --reset-state")
                && error.contains("monitor detach"),
            "{error}"
        );
    }
    assert!(other.exists());
    assert!(lab.monitor(&["detach"]).status.success());
    assert!(!lab.pin_dir.exists());
}

/// The old filter counts until it is replaced. So the saved counts and the new
/// counts together contain each packet once.
#[test]
fn reset_state_saves_every_count_and_replaces_the_filter_without_a_gap() {
    for mode in ["generic", "native"] {
        let lab = Lab::new("reset");
        let [open, blocked] = [OPEN[0], BLOCKED[0]].map(|address| count_arrivals(&lab, address));
        lab.start(&["--mode", mode]).kill();
        let stop = AtomicBool::new(false);
        let (sent, daemon) = thread::scope(|scope| {
            let sender = scope.spawn(|| send_until(&lab, &stop, &[open.0, blocked.0]));
            let arrived = || open.1.load(Ordering::Relaxed);
            poll("the old filter counts", || arrived() > 100);
            become_another_version(&lab);
            let error = refused(&lab, &["--interface", "wlan0"]);
            assert!(error.contains("run --reset-state"), "{error}");
            let daemon = lab.start(&["--mode", mode, "--reset-state"]);
            let then = arrived();
            poll("the new filter counts", || arrived() > then + 100);
            stop.store(true, Ordering::Relaxed);
            (sender.join().unwrap(), daemon)
        });
        poll("all innocent packets have arrived", || {
            open.1.load(Ordering::Relaxed) == sent
        });
        assert_eq!(blocked.1.load(Ordering::Relaxed), 0, "none passed");

        let saved = saved(&lab);
        let policy = named(&saved["policies"], "blocked");
        let dropped = |of: &Value| of["matched"]["dropped"]["packets"].as_u64().unwrap();
        let (before, (passed, after)) = (dropped(policy), lab.policy("blocked"));
        assert!(before > 0 && after > 0, "{before} before, {after} after");
        assert_eq!((passed, before + after), (0, sent));
        let device = &policy["devices"][0];
        assert_eq!(
            (&device["mac"], dropped(device)),
            (&PHONE_MAC.into(), before)
        );
        let interface = named(&saved["interfaces"], "wlan0");
        assert_eq!(interface["ipv4"]["dropped"]["packets"], before);
        assert_eq!(saved["version"], OTHER_VERSION);
        assert_eq!(saved["not_saved"], serde_json::json!({}));

        let log = daemon.log();
        assert!(log.contains("are saved in "), "{log}");
        assert!(!log.contains("NOT saved"), "{log}");
        let own = format!("v{ABI_HASH:016x}");
        assert_eq!(names(&lab.pin_dir), ["links", &own]);
        assert_eq!(lab.status()["interfaces"][0]["mode"], mode);
        daemon.kill();
        let _next = lab.start(&["--mode", mode]);
        assert_eq!(lab.policy("blocked"), (0, after), "the counters go on");
    }
}

/// The map with the names of interfaces is missing, and the map with the past
/// of policies has values of another size.
#[test]
fn counters_with_an_unknown_layout_are_named_as_not_saved_and_the_others_are_saved() {
    let lab = Lab::new("layout");
    lab.start(&["--mode", "generic"]).kill();
    lab.send_udp(BLOCKED[0], 5);
    become_another_version(&lab);
    let maps = lab.pin_dir.join(OTHER_VERSION);
    fs::remove_file(maps.join("IFACE_NAMES")).unwrap();
    fs::remove_file(maps.join("PAST")).unwrap();
    fs::rename(maps.join("MOVES"), maps.join("PAST")).unwrap();

    let daemon = lab.start(&["--mode", "generic", "--reset-state"]);
    let saved = saved(&lab);
    let policy = named(&saved["policies"], "blocked");
    assert_eq!(policy["matched"]["dropped"]["packets"], 5);
    assert_eq!(policy["devices"], serde_json::json!([]));
    let not_saved = saved["not_saved"].as_object().unwrap();
    let parts: Vec<_> = not_saved.keys().collect();
    assert_eq!(parts, ["devices", "interfaces"]);
    let log = daemon.log();
    for part in ["devices", "interfaces"] {
        let lost = format!("the counters of its {part} are NOT saved");
        assert!(log.contains(&lost), "{lost} is not in {log}");
    }
    assert_eq!(lab.policy("blocked"), (0, 0));
}

#[test]
fn a_reset_that_fails_leaves_the_other_version_as_it_was() {
    let lab = Lab::new("no-reset");
    let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
    lab.start(&["--mode", "generic"]).kill();
    become_another_version(&lab);
    let reset = ["--interface", "wlan0", "--reset-state"];

    let not_saved = lab.directory.path().join("state/saved");
    fs::write(&not_saved, "").unwrap();
    let error = refused(&lab, &reset);
    assert!(error.contains("state/saved"), "{error}");
    fs::remove_file(&not_saved).unwrap();

    lab.gateway.ip("link add br0 type bridge");
    lab.gateway.ip("link set wlan0 master br0");
    let error = refused(&lab, &[&reset[..], &["--interface", "br0"]].concat());
    assert!(error.contains("bridge"), "{error}");
    lab.gateway.ip("link set wlan0 nomaster");

    assert_eq!(names(&lab.pin_dir), ["links", OTHER_VERSION]);
    send(&lab, blocked, 5);
    let _daemon = lab.start(&["--mode", "generic", "--reset-state"]);
    assert_eq!(received.load(Ordering::Relaxed), 0);
    let policies = fs::read_dir(lab.directory.path().join("state/saved")).unwrap();
    assert!(policies.count() > 0);
    assert_eq!(lab.policy("blocked"), (0, 0));
}

#[test]
fn a_reset_without_another_version_resets_nothing() {
    let lab = Lab::new("nothing-to-reset");
    lab.start(&["--mode", "generic"]).kill();
    lab.send_udp(BLOCKED[0], 5);
    let _daemon = lab.start(&["--mode", "generic", "--reset-state"]);
    assert_eq!(lab.policy("blocked"), (0, 5));
    assert!(!lab.directory.path().join("state/saved").exists());
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

const OTHER_VERSION: &str = "v0123456789abcdef";

/// Makes the pins look like those of a version with another layout.
fn become_another_version(lab: &Lab) {
    let own = lab.pin_dir.join(format!("v{ABI_HASH:016x}"));
    fs::rename(own, lab.pin_dir.join(OTHER_VERSION)).unwrap();
}

/// The only file of saved counters.
fn saved(lab: &Lab) -> Value {
    let directory = lab.directory.path().join("state/saved");
    let files = names(&directory);
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].starts_with(OTHER_VERSION), "{files:?}");
    serde_json::from_slice(&fs::read(directory.join(&files[0])).unwrap()).unwrap()
}

/// The first value with this name.
fn named<'a>(values: &'a Value, name: &str) -> &'a Value {
    let found = values.as_array().unwrap().iter();
    let mut found = found.filter(|value| value["name"] == name);
    found.next().unwrap_or_else(|| panic!("{name}: {values:#}"))
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

/// Another user could do this, if that user owns the directory of the links.
#[test]
fn detach_says_that_a_program_still_runs_whose_link_was_moved_away() {
    for running in [false, true] {
        let lab = Lab::new("moved");
        let (blocked, received) = count_arrivals(&lab, BLOCKED[0]);
        let daemon = lab.start(&["--mode", "generic"]);
        let daemon = if running {
            Some(daemon)
        } else {
            daemon.kill();
            None
        };
        let moved = format!("{}-links", lab.pin_dir.display());
        fs::rename(lab.pin_dir.join("links"), &moved).unwrap();

        let output = lab.monitor_inside(&["detach"]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        for part in [
            "wlan0 STILL RUNS",
            "bpftool link detach id",
            "run `monitor detach`",
        ] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
        assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
        send(&lab, blocked, 3);
        assert_eq!(received.load(Ordering::Relaxed), 0);
        assert_eq!(lab.policy("blocked"), (0, 3), "the counters are left");

        // The fix in the error message works.
        fs::rename(&moved, lab.pin_dir.join("links")).unwrap();
        let output = lab.monitor_inside(&["detach"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(!lab.pin_dir.exists());
        send(&lab, blocked, 3);
        poll("packets pass again", || {
            received.load(Ordering::Relaxed) == 3
        });
        drop(daemon);
    }
}

#[test]
fn detach_names_an_interface_whose_filter_is_pinned_elsewhere() {
    let lab = Lab::new("elsewhere");
    lab.start(&["--mode", "generic"]).kill();
    let moved = format!("{}x", lab.pin_dir.display());
    fs::rename(&lab.pin_dir, &moved).unwrap();
    let output = lab.monitor_inside(&["detach"]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("wlan0 runs one"), "{error}");
    assert!(error.contains("--pin-dir"), "{error}");
    fs::rename(&moved, &lab.pin_dir).unwrap();
    let output = lab.monitor_inside(&["detach"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}
