//! Temporary changes by the commands `pause`, `block` and `allow`, with the
//! real daemon.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::Value;
use support::lab::{BLOCKED, Lab, OPEN, PHONE_MAC, binary, poll, text};

const NAMES: &str = "version: 1
devices:
  tablet: \"64:cc:2e:11:22:33\"
  laptop: \"02:00:00:00:00:99\"
";

/// Runs a command, which must succeed, and returns its JSON.
fn done(lab: &Lab, arguments: &[&str]) -> Value {
    let output = lab.monitor(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs a command, which must fail with exit code 1, and returns its message.
fn refused(lab: &Lab, arguments: &[&str]) -> String {
    let output = lab.monitor(arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty());
    error
}

/// Sends ten datagrams to an address, and returns the number of dropped ones.
fn dropped(lab: &Lab, address: &str) -> u64 {
    let family = if address.contains(':') {
        "ipv6"
    } else {
        "ipv4"
    };
    let count = || {
        let status = lab.status();
        let counters = &status["interfaces"][0][family];
        let packets = |verdict: &str| counters[verdict]["packets"].as_u64().unwrap();
        (packets("passed"), packets("dropped"))
    };
    let (passed, before) = count();
    lab.send_udp(address, 10);
    // Others, such as neighbour discovery, only ever pass.
    poll("the datagrams are counted", || {
        let (now_passed, now_dropped) = count();
        now_passed - passed + now_dropped - before >= 10
    });
    count().1 - before
}

fn changes(lab: &Lab) -> Vec<Value> {
    lab.status()["daemon"]["changes"]
        .as_array()
        .unwrap()
        .clone()
}

fn kept(lab: &Lab) -> String {
    fs::read_to_string(lab.directory.path().join("state/runtime.jsonl")).unwrap_or_default()
}

/// Runs `monitor explain` with the daemon's state directory.
fn explain(lab: &Lab, address: &str, arguments: &[&str]) -> Value {
    let config = lab.directory.path().join("explain.yaml");
    let state = lab.directory.path().join("state");
    fs::write(&config, format!("state_dir: {}\n", state.display())).unwrap();
    let output = Command::new(binary())
        .args(["explain", address, "--json", "--policies"])
        .arg(lab.policies())
        .arg("--config")
        .arg(&config)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_block_is_in_force_when_the_command_returns_and_goes_at_its_time() {
    let lab = Lab::new("block");
    let daemon = lab.start(&["--mode", "generic"]);
    for address in OPEN {
        assert_eq!(dropped(&lab, address), 0);
    }
    let changed = done(
        &lab,
        &["block", OPEN[0], "--for", "4s", "--reason", "a look"],
    );
    assert_eq!(changed["generation"], 2, "{changed}");
    assert_eq!(dropped(&lab, OPEN[0]), 10);
    assert_eq!(dropped(&lab, OPEN[1]), 0);
    let policy = changed["policy"].as_str().unwrap();
    assert_eq!(lab.policy(policy).1, 10, "it has counters of its own");
    let [change] = &changes(&lab)[..] else {
        panic!("one change stands");
    };
    assert_eq!(change["command"], format!("block {}", OPEN[0]));
    assert_eq!(change["reason"], "a look");
    let human = text(&lab.monitor(&["status"]).stdout);
    assert!(
        human.contains("by command block 192.0.2.10, until 20"),
        "{human}"
    );
    assert!(kept(&lab).contains("192.0.2.10"));
    assert_eq!(explain(&lab, OPEN[0], &[])["decision"], "drop");
    poll("its time is over", || changes(&lab).is_empty());
    poll("the generation without it", || {
        lab.generation("wlan0") == Some(3)
    });
    assert_eq!(dropped(&lab, OPEN[0]), 0);
    poll("nothing is kept", || kept(&lab).is_empty());
    assert_eq!(explain(&lab, OPEN[0], &[])["decision"], "count");
    let log = daemon.log();
    assert!(
        log.contains("by command: `block 192.0.2.10` is in force, until 20"),
        "{log}"
    );
    poll("the log tells of its end", || {
        daemon.log().contains("`block 192.0.2.10` has ended")
    });
}

#[test]
fn a_change_for_one_device_is_for_no_other_and_private() {
    let lab = Lab::new("device");
    fs::write(lab.policies().join("names.yaml"), NAMES).unwrap();
    let daemon = lab.start(&["--mode", "generic"]);
    done(&lab, &["block", "192.0.2.0/24", "--device", "laptop"]);
    assert_eq!(dropped(&lab, OPEN[0]), 0, "another device is meant");
    done(&lab, &["block", "192.0.2.0/24", "--device", "tablet"]);
    assert_eq!(dropped(&lab, OPEN[0]), 10);
    assert_eq!(changes(&lab).len(), 2);
    done(&lab, &["allow", OPEN[0], "--device", PHONE_MAC]);
    assert_eq!(dropped(&lab, OPEN[0]), 0, "an allow wins");
    let answer = explain(&lab, OPEN[0], &["--device", PHONE_MAC]);
    assert_eq!(answer["decision"], "allow");
    let answer = explain(&lab, OPEN[0], &[]);
    assert_eq!(answer["decision"], "depends");
    done(&lab, &["allow", OPEN[0], "--device", "tablet", "--undo"]);
    assert_eq!(dropped(&lab, OPEN[0]), 10);
    let log = daemon.log();
    assert!(log.contains("for some devices is in force"), "{log}");
    assert!(!log.contains(PHONE_MAC) && !log.contains("tablet"), "{log}");
}

#[test]
fn a_paused_policy_neither_drops_nor_counts() {
    let lab = Lab::new("pause");
    let _daemon = lab.start(&["--mode", "generic"]);
    assert_eq!(dropped(&lab, BLOCKED[0]), 10);
    assert_eq!(lab.policy("seen").1, 10);
    done(&lab, &["pause", "blocked", "--for", "1h"]);
    assert_eq!(dropped(&lab, BLOCKED[0]), 0);
    assert_eq!(lab.policy("blocked"), (0, 10), "it does not count either");
    assert_eq!(lab.policy("seen"), (10, 10), "others do");
    let resting = &lab.status()["daemon"]["resting"][0];
    assert_eq!(resting["policy"], "blocked");
    assert_eq!(resting["reason"], "paused by a command");
    let answer = explain(&lab, BLOCKED[0], &[]);
    assert_eq!(answer["resting"][0]["policy"], "blocked", "{answer}");
    done(&lab, &["pause", "blocked", "--undo"]);
    assert_eq!(dropped(&lab, BLOCKED[0]), 10);

    done(
        &lab,
        &["pause", "blocked", "--for", "1h", "--device", PHONE_MAC],
    );
    assert_eq!(dropped(&lab, BLOCKED[0]), 0);
    let answer = explain(&lab, BLOCKED[0], &["--device", "02:00:00:00:00:99"]);
    assert_eq!(answer["decision"], "drop");
    let by_command = answer["matches"][0]["by_command"][0]["changes"].as_str();
    assert!(
        by_command.unwrap().starts_with("paused for 64:cc:2e"),
        "{answer}"
    );
    let answer = explain(&lab, BLOCKED[0], &["--device", PHONE_MAC]);
    assert_eq!(answer["decision"], "count");
}

#[test]
fn changes_survive_the_daemon_reloads_and_broken_files() {
    let lab = Lab::new("survive");
    let daemon = lab.start(&["--mode", "generic"]);
    done(&lab, &["block", OPEN[0]]);
    done(&lab, &["pause", "blocked", "--for", "1h"]);
    let before = changes(&lab);
    daemon.kill();
    assert_eq!(lab.status()["daemon"], Value::Null);
    let daemon = lab.start(&["--mode", "generic"]);
    assert_eq!(changes(&lab), before);
    assert_eq!(dropped(&lab, OPEN[0]), 10);
    assert_eq!(dropped(&lab, BLOCKED[0]), 0);

    lab.write_policies("version: 1\npolicies: [\n");
    poll("the broken files are told", || {
        lab.status()["reload"]["success"] == false
    });
    done(&lab, &["block", OPEN[1], "--for", "1h"]);
    assert_eq!(dropped(&lab, OPEN[1]), 10);
    let output = lab.monitor(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(changes(&lab).len(), 3);

    lab.write_policies(
        "version: 1\npolicies:\n  - {name: another, action: count, destinations: [203.0.113.0/24]}\n",
    );
    poll("the fixed files are in force", || {
        lab.status()["reload"]["success"] == true
    });
    assert_eq!(dropped(&lab, OPEN[0]), 10);
    assert_eq!(dropped(&lab, OPEN[1]), 10);
    poll("the log tells of the pause without a policy", || {
        let log = daemon.log();
        log.contains("`pause blocked` has no effect: there is no such policy any more")
    });
    done(&lab, &["pause", "blocked", "--undo"]);
    assert_eq!(changes(&lab).len(), 2);
}

#[test]
fn what_ends_while_no_daemon_runs_is_told_and_ends_with_the_next() {
    let lab = Lab::new("missed");
    let daemon = lab.start(&["--mode", "generic"]);
    let changed = done(&lab, &["block", OPEN[0], "--for", "2s"]);
    let policy = changed["policy"].as_str().unwrap().to_owned();
    daemon.kill();
    let state = lab.directory.path().join("state");
    let state = state.to_str().unwrap();
    let status = || {
        let output = lab.monitor(&["status", "--json", "--state-dir", state]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    poll("its time is over", || {
        status()["missed_edges"][0]["policy"] == *policy
    });
    let human = text(&lab.monitor(&["status", "--state-dir", state]).stdout);
    assert!(
        human.contains(&format!("MISSED     {policy}: due")),
        "{human}"
    );
    assert!(human.contains("still in force: drop"), "{human}");
    let daemon = lab.start(&["--mode", "generic"]);
    assert_eq!(dropped(&lab, OPEN[0]), 0);
    assert!(changes(&lab).is_empty());
    assert!(daemon.log().contains("`block 192.0.2.10` has ended"));
    assert_eq!(status()["missed_edges"], Value::Null);
}

#[test]
fn a_change_that_locks_out_is_refused_and_changes_nothing() {
    let lab = Lab::new("lock-out");
    let config = lab.directory.path().join("config.yaml");
    fs::write(&config, "lan: {resolvers: [203.0.113.53]}\n").unwrap();
    lab.write_policies(
        "version: 1
policies:
  - {name: range, action: drop, destinations: [203.0.113.0/24]}
  - {name: resolver, action: allow, destinations: [203.0.113.53]}
",
    );
    let _daemon = lab.start(&["--mode", "generic", "--config", config.to_str().unwrap()]);
    let own = "the gateway's own address 10.77.0.1 on wlan0";
    let error = refused(&lab, &["block", "10.77.0.1"]);
    assert!(error.contains(own), "{error}");
    assert!(error.contains("`block 10.77.0.1` would cut"), "{error}");
    let error = refused(&lab, &["block", "10.77.0.0/24", "--for", "1h"]);
    assert!(error.contains(own), "{error}");
    let error = refused(&lab, &["pause", "resolver", "--for", "1h"]);
    assert!(error.contains("the resolver 203.0.113.53"), "{error}");
    let error = refused(&lab, &["block", "32.0.0.0/6"]);
    assert!(error.contains("shorter than /8"), "{error}");
    assert!(changes(&lab).is_empty());
    assert_eq!(lab.generation("wlan0"), Some(1));
    assert_eq!(kept(&lab), "");
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_mend() {
    let lab = Lab::new("refused");
    let daemon = lab.start(&["--mode", "generic"]);
    for (arguments, expected) in [
        (
            &["pause", "blocke", "--for", "1m"][..],
            "did you mean `blocked`?",
        ),
        (&["pause", "zzz", "--for", "1m"], "there is no policy `zzz`"),
        (&["block", OPEN[0], "--undo"], "nothing to undo"),
        (
            &["block", OPEN[0], "--device", "64:cc:2e"],
            "first half of a MAC",
        ),
        (
            &["block", OPEN[0], "--device", "kids"],
            "no device named `kids`",
        ),
    ] {
        let error = refused(&lab, arguments);
        assert!(error.contains(expected), "{error}");
    }
    for (arguments, expected) in [
        (&["pause", "blocked"][..], "--for"),
        (&["block", "example.org"], "is a name, not an address"),
        (
            &["block", "192.0.2.1-192.0.2.9"],
            "a range belongs in a policy file",
        ),
        (&["block", OPEN[0], "--for", "10"], "write it as 10m"),
        (&["block", OPEN[0], "--for", "0s"], "from 1s to 366d"),
    ] {
        let output = lab.monitor(arguments);
        assert_eq!(output.status.code(), Some(2));
        let error = text(&output.stderr);
        assert!(error.contains(expected), "{error}");
    }
    assert!(changes(&lab).is_empty());
    daemon.kill();
    let error = refused(&lab, &["block", OPEN[0]]);
    assert!(error.contains("no daemon answers"), "{error}");
}

#[test]
fn only_root_changes_what_is_in_force() {
    let lab = Lab::new("root-only");
    let _daemon = lab.start(&["--mode", "generic"]);
    let group = format!("--regid={}", lab.daemon_user());
    let nobody = |arguments: &[&str]| -> Output {
        Command::new("setpriv")
            .args(["--reuid=65534", &group, "--clear-groups"])
            .arg(binary())
            .args(arguments)
            .arg("--socket")
            .arg(lab.socket())
            .output()
            .unwrap()
    };
    // The group may open the socket, but it must also be able to enter the
    // directory.
    let open = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    open(lab.directory.path());
    let output = nobody(&["block", OPEN[0]]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("only root and the user that runs the daemon may change the filter"),
        "{error}"
    );
    assert!(changes(&lab).is_empty());
}

#[test]
fn what_was_kept_and_cannot_be_read_is_set_aside_and_said() {
    let lab = Lab::new("unread");
    let state = lab.directory.path().join("state");
    fs::create_dir(&state).unwrap();
    lab.give(&state);
    fs::write(state.join("runtime.jsonl"), "{\"effect\": 7}\n").unwrap();
    let daemon = lab.start(&["--mode", "generic"]);
    let log = daemon.log();
    assert!(log.contains("cannot be read and are NOT in force"), "{log}");
    assert!(log.contains("runtime.jsonl:1: "), "{log}");
    assert!(state.join("runtime.jsonl.unread").exists());
    assert_eq!(dropped(&lab, BLOCKED[0]), 10, "the files are in force");
    done(&lab, &["block", OPEN[0]]);
    assert_eq!(dropped(&lab, OPEN[0]), 10);
}
