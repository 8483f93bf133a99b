//! `monitor doctor --canary`: frames through each path of a gateway.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::{directions::world::World, support};

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Output, Stdio},
};

use monitor::control::{Answer, Request, ask};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use support::lab::{Lab, binary, poll, text};

/// The findings of the canary: each status with its text.
fn said(output: &Output) -> Vec<(String, String)> {
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    let all = answer["checks"].as_array().unwrap().iter();
    let own = all.filter(|found| found["id"] == "canary");
    let word = |found: &Value, name: &str| found[name].as_str().unwrap().to_owned();
    own.map(|found| (word(found, "status"), word(found, "what")))
        .collect()
}

#[track_caller]
fn has(said: &[(String, String)], status: &str, what: &str) {
    let found = said
        .iter()
        .any(|(own, text)| own == status && text.starts_with(what));
    assert!(found, "no {status} {what}: {said:#?}");
}

fn canary(lab: &Lab, arguments: &[&str]) -> Output {
    let words = [&["doctor", "--canary", "--json"], arguments].concat();
    lab.monitor(&words)
}

/// What the canary says about the packets of the gateway itself, which leave through wan0.
fn leaving(lab: &Lab) -> Vec<(String, String)> {
    let mut found = said(&canary(lab, &[]));
    has(&found, "degraded", "not tried: wan0, arriving");
    has(&found, "degraded", "not tried: wlan0");
    found.retain(|(_, what)| what.contains("wan0, leaving"));
    found
}

/// Starts the command, which the test then ends.
fn begin(lab: &Lab, arguments: &[&str]) -> Child {
    Command::new(binary())
        .args(["doctor", "--canary", "--json"])
        .args(arguments)
        .arg("--socket")
        .arg(lab.socket())
        .arg("--pin-dir")
        .arg(&lab.pin_dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

fn has_change(lab: &Lab) -> bool {
    let status = lab.status();
    let changes = status["daemon"]["changes"].as_array().unwrap();
    changes
        .iter()
        .any(|change| change["command"] == "doctor --canary")
}

/// True if the gateway has an interface whose name begins so.
fn has_interface(lab: &Lab, name: &str) -> bool {
    let links = lab.gateway.command("ip").args(["-o", "link"]).output();
    text(&links.unwrap().stdout).contains(&format!(": {name}"))
}

#[test]
fn each_path_is_proved_seen_or_blind() {
    let lab = Lab::new("canary");
    let _daemon = lab.start(&[]);
    lab.add_interface("lan1");
    let station = lab.phone.name.as_str();

    let output = canary(&lab, &["--station", station, "--vlan", "7"]);
    let found = said(&output);
    assert_eq!(output.status.code(), Some(1), "{found:#?}");
    for family in ["IPv4", "IPv6"] {
        for tag in ["untagged", "VLAN 7"] {
            has(
                &found,
                "ok",
                &format!("seen: wlan0, {family}, {tag}: 3 of 3"),
            );
            has(
                &found,
                "blind",
                &format!("not seen: lan1, {family}, {tag}: 0 of 3"),
            );
        }
    }
    assert_eq!(found.len(), 8, "{found:#?}");
    // Only the canary's own policy counted the frames, and it is gone.
    assert_eq!(lab.policy("runtime.canary"), (12, 0));
    assert_eq!(lab.policy("blocked"), (0, 0));
    assert_eq!(lab.policy("seen"), (0, 0));
    assert!(!has_change(&lab));

    let output = canary(&lab, &["--station", station, "--from", "eth0"]);
    let found = said(&output);
    assert_eq!(output.status.code(), Some(0), "{found:#?}");
    assert_eq!(found.len(), 2, "{found:#?}");
    // Without a station, nothing is sent, and the line says what to do.
    has(&said(&canary(&lab, &[])), "degraded", "not tried: wlan0");
    let output = canary(&lab, &["--station", station, "--from", "eth9"]);
    let error = text(&output.stderr);
    assert!(
        error.contains("eth9: there is no such interface"),
        "{error}"
    );
    assert!(!has_change(&lab));

    a_station_of_its_own_joins_a_bridge_and_goes(&lab);
    a_device_of_the_operator_is_waited_for(&lab);
}

fn a_station_of_its_own_joins_a_bridge_and_goes(lab: &Lab) {
    lab.gateway.ip("link add br1 type bridge");
    lab.gateway.ip("link set lan1 master br1");
    lab.gateway.ip("link set br1 up");
    let output = canary(lab, &["--join", "br9"]);
    let error = text(&output.stderr);
    assert!(error.contains("the bridges are br1"), "{error}");
    let found = said(&canary(lab, &["--join", "br1"]));
    for family in ["IPv4", "IPv6"] {
        let blind = found.iter().any(|(status, what)| {
            status == "blind" && what.contains(&format!(" to br1, {family}, untagged: 0 of 3"))
        });
        assert!(blind, "{found:#?}");
    }
    has(&found, "degraded", "not tried: wlan0");
    assert!(!has_interface(lab, "canary"));
    // Whatever ends the command: its interfaces end with it.
    let tags: Vec<String> = (1..=20).map(|tag| format!("--vlan={tag}")).collect();
    let mut words = vec!["--join", "br1"];
    words.extend(tags.iter().map(String::as_str));
    let mut child = begin(lab, &words);
    poll("the station joins", || has_interface(lab, "canary"));
    child.kill().unwrap();
    child.wait().unwrap();
    poll("the kernel removes the station", || {
        !has_interface(lab, "canary")
    });
    // Nobody told the daemon, so the policy ends by itself; another canary has to wait.
    assert!(has_change(lab));
    let output = canary(lab, &[]);
    let error = text(&output.stderr);
    assert!(
        error.contains("another `monitor doctor --canary` runs"),
        "{error}"
    );
    lab.gateway.ip("link del br1");
    let ended = ask(&lab.socket(), &Request::CanaryEnd {}).unwrap();
    assert_eq!(ended, Answer::CanaryEnded {});
    assert!(!has_change(lab));
}

fn a_device_of_the_operator_is_waited_for(lab: &Lab) {
    let mut child = begin(lab, &["--wait", "60"]);
    poll("the policy is in force", || has_change(lab));
    signal(&child, Signal::SIGTERM);
    assert!(!child.wait().unwrap().success());
    assert!(!has_change(lab));

    let mut child = begin(lab, &["--wait", "60"]);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut address = || {
        let line = lines.find(|line| line.as_ref().unwrap().contains("ping"));
        let line = line.unwrap().unwrap();
        line.split(' ').next_back().unwrap().to_owned()
    };
    for address in [address(), address()] {
        lab.send_udp(&address, 2);
    }
    let output = child.wait_with_output().unwrap();
    let found = said(&output);
    has(&found, "ok", "seen: wlan0, IPv4: ");
    has(&found, "ok", "seen: wlan0, IPv6: ");
    assert!(!has_change(lab));
}

#[test]
fn frames_of_the_gateway_itself_prove_the_egress_of_a_wan() {
    let world = World::new("canary-wan");
    let lab = &world.lab;
    let is_seen = || {
        let found = leaving(lab);
        for family in ["IPv4", "IPv6"] {
            let line = format!("seen: wan0, leaving, {family}: 3 of 3 frames");
            has(&found, "ok", &line);
        }
        assert_eq!(found.len(), 2, "{found:#?}");
    };
    let daemon = world.start(&["--no-watch"]);
    is_seen();
    assert_eq!(lab.policy("runtime.canary"), (6, 0));
    // A frame from the side of the internet does not look like an answer of a policy.
    let station = world.internet.name.as_str();
    let found = said(&canary(lab, &["--station", station, "--from", "eth0"]));
    has(&found, "degraded", "not tried: wan0, IPv4, untagged");
    lab.gateway.ip("link set wan0 down");
    let found = leaving(lab);
    has(&found, "degraded", "not tried: wan0, leaving");
    assert_eq!(found.len(), 1, "{found:#?}");
    lab.gateway.ip("link set wan0 up");
    daemon.kill();

    let detached = lab.monitor_inside(&["detach"]);
    assert!(detached.status.success(), "{}", text(&detached.stderr));
    let _daemon = world.start(&["--no-watch", "--egress", "clsact"]);
    is_seen();
    // A filter before ours ends the search, and lets the packets go.
    world.inside(
        "tc filter add dev wan0 egress prio 1 protocol all bpf bytecode '1,6 0 0 4294967295,' flowid 1:1",
    );
    let found = leaving(lab);
    for family in ["IPv4", "IPv6"] {
        let line = format!("not seen: wan0, leaving, {family}: 0 of 3 frames");
        has(&found, "blind", &line);
    }
    world.inside("tc filter del dev wan0 egress prio 1");
    is_seen();
}
