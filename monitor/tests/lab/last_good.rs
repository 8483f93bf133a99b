//! A start after the policy files have become invalid.

use crate::support;

use std::fs;

use support::{
    lab::{BLOCKED, Lab, POLICIES, poll, text},
    verbs::refused,
};

/// Simulates a restart of the machine: the state directory remains, and the
/// pins do not.
fn restart(lab: &Lab) {
    let detached = lab.monitor(&["detach"]);
    assert!(detached.status.success(), "{}", text(&detached.stderr));
    assert!(!lab.pin_dir.exists());
}

fn is_kept(lab: &Lab) -> bool {
    lab.directory.path().join("state/last-good.tar").exists()
}

#[test]
fn after_a_restart_with_broken_files_the_last_good_ones_are_in_force_and_that_is_said() {
    let lab = Lab::new("last-good");
    let list = lab.policies().join("blocked.txt");
    fs::write(&list, "198.51.100.0/24\n").unwrap();
    let policies = "version: 1\npolicies:\n  - {name: blocked, action: drop, destinations: [{list: blocked.txt}]}\n";
    lab.write_policies(policies);
    let _daemon = lab.start(&["--mode", "generic"]);
    poll("the policies are kept", || is_kept(&lab));
    restart(&lab);
    fs::remove_file(&list).unwrap();
    lab.write_policies("version: 1\npolicies: [\n");

    let daemon = lab.start(&["--mode", "generic"]);
    lab.send_udp(BLOCKED[0], 5);
    poll("the range is dropped", || lab.policy("blocked") == (0, 5));
    let log = daemon.log();
    assert!(log.contains("THE POLICY FILES CANNOT BE USED"), "{log}");
    assert!(log.contains("policies.yaml:"), "{log}");
    let status = lab.status();
    assert_eq!(status["reload"]["success"], false);
    let human = text(&lab.monitor(&["status"]).stdout);
    assert!(
        human.contains("NOT LOADED, what stands below is in force"),
        "{human}"
    );
    assert!(lab.metrics().contains("monitor_reload_success 0"));
    let reload = lab.monitor(&["reload"]);
    assert_eq!(reload.status.code(), Some(1));
    assert_eq!(lab.policy("blocked"), (0, 5), "it stays in force");

    lab.write_policies(POLICIES);
    poll("the fixed files are in force", || {
        lab.status()["reload"]["success"] == true
    });
    assert_eq!(lab.status()["policies"].as_array().unwrap().len(), 2);
}

#[test]
fn what_a_guard_refuses_now_is_not_loaded_either() {
    let lab = Lab::new("last-risk");
    lab.write_policies(
        "version: 1\npolicies:\n  - {name: blocked, action: drop, destinations: [203.0.113.0/24]}\n",
    );
    let _daemon = lab.start(&["--mode", "generic"]);
    poll("the policies are kept", || is_kept(&lab));
    restart(&lab);
    lab.write_policies("version: 1\npolicies: [\n");
    lab.gateway.ip("address add 203.0.113.1/24 dev wlan0");
    let error = refused(&lab, &["--interface", "wlan0"]);
    assert!(error.contains("the policies have errors"), "{error}");
    // First the files, which the operator can fix; then why there is nothing to fall back on.
    let either = error.find("the policies that were in force last cannot be used either");
    let risk = error.find("203.0.113.1");
    assert!(either.is_some() && either < risk, "{error}");
}

#[test]
fn what_is_kept_and_cannot_be_read_is_said() {
    let lab = Lab::new("last-unread");
    let state = lab.directory.path().join("state");
    fs::create_dir(&state).unwrap();
    lab.give(&state);
    fs::write(state.join("last-good.tar"), [7; 700]).unwrap();
    let daemon = lab.start(&["--mode", "generic"]);
    let archive = state.join("last-good.tar");
    poll("it is replaced", || fs::read(&archive).unwrap() != [7; 700]);
    assert!(!daemon.log().contains("last-good"), "it is not needed");
    restart(&lab);
    fs::write(&archive, [7; 700]).unwrap();
    lab.write_policies("version: 1\npolicies: [\n");
    let error = refused(&lab, &["--interface", "wlan0"]);
    assert!(error.contains("the policies have errors"), "{error}");
    assert!(
        error.contains("the policies that were in force last cannot be used either: read ")
            && error.contains("remove the file"),
        "{error}"
    );
}
