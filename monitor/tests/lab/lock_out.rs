//! The lock-out guard in the real daemon, with the addresses of a real gateway.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{fs, path::PathBuf};

use serde_json::Value;
use support::{
    lab::{BLOCKED, Lab, binary, poll, text},
    verbs::refused,
};

/// A `drop` of these destinations.
fn policies(destinations: &str, rest: &str) -> String {
    format!(
        "version: 1\npolicies:\n  - {{name: blocked, action: drop, destinations: [{destinations}]{rest}}}\n"
    )
}

/// A config file that names the interface and a resolver.
fn config(lab: &Lab, interface: &str) -> PathBuf {
    let path = lab.directory.path().join("config.yaml");
    let yaml = format!("interface: {interface}\nlan: {{resolvers: [203.0.113.53]}}\n");
    fs::write(&path, yaml).unwrap();
    path
}

/// `monitor check` inside the gateway: exit code and messages.
fn check(lab: &Lab, interface: &str) -> (Option<i32>, String) {
    let mut command = lab.gateway.command(binary());
    command.arg("check").arg(lab.policies());
    let output = command.arg("--config").arg(config(lab, interface));
    let output = output.output().unwrap();
    (output.status.code(), text(&output.stderr))
}

fn risks(lab: &Lab) -> Vec<Value> {
    lab.status()["daemon"]["risks"].as_array().unwrap().clone()
}

const ACCEPTED: &str = ", accept_risk: [lan, private], reason: a test of it";

#[test]
fn the_gateway_s_own_address_is_not_dropped_unless_that_is_meant() {
    let lab = Lab::new("own");
    for (destinations, target) in [
        (
            "10.77.0.0/24",
            "the gateway's own address 10.77.0.1 on wlan0",
        ),
        ("fd77::/64", "the gateway's own address fd77::1 on wlan0"),
        (
            "203.0.113.0/24",
            "the resolver 203.0.113.53, tcp/53 and udp/53 on wlan0",
        ),
    ] {
        lab.write_policies(&policies(destinations, ""));
        let config = config(&lab, "wlan0");
        let messages = refused(&lab, &["--config", config.to_str().unwrap()]);
        assert!(messages.contains(target), "{messages}");
        assert!(messages.contains("policies.yaml:3:"), "{messages}");
        assert!(
            !lab.monitor(&["status"]).status.success(),
            "no filter is in force"
        );
        let (code, messages) = check(&lab, "wlan0");
        assert_eq!(code, Some(3));
        assert!(messages.contains(target), "{messages}");
    }
    lab.write_policies(&policies("10.77.0.0/24", ACCEPTED));
    assert_eq!(check(&lab, "wlan0").0, Some(0));
    let _daemon = lab.start(&["--mode", "generic"]);
    lab.send_udp("10.77.0.1", 5);
    poll("what was meant is dropped", || {
        lab.policy("blocked") == (0, 5)
    });
    assert_eq!(risks(&lab), [Value::Null; 0]);
}

#[test]
fn a_reload_that_would_lock_out_leaves_the_old_generation() {
    let lab = Lab::new("relock");
    let _daemon = lab.start(&["--mode", "generic"]);
    lab.write_policies(&policies("10.77.0.1", ""));
    poll("the change is refused", || {
        lab.status()["reload"]["success"] == Value::Bool(false)
    });
    let output = lab.monitor(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let messages = text(&output.stderr);
    assert!(
        messages.contains("own address 10.77.0.1 on wlan0"),
        "{messages}"
    );
    assert_eq!(lab.generation("wlan0"), Some(1));
    lab.send_udp(BLOCKED[0], 5);
    poll("the old generation drops", || {
        lab.policy("blocked") == (0, 5)
    });
}

#[test]
fn a_new_address_makes_a_warning_and_unloads_nothing() {
    let lab = Lab::new("address");
    let daemon = lab.start(&["--mode", "generic"]);
    assert_eq!(risks(&lab), [Value::Null; 0]);
    let own = "own address 198.51.100.77 on wlan0";
    lab.gateway.ip("address add 198.51.100.77/32 dev wlan0");
    poll("the risk is told", || risks(&lab).len() == 1);
    let risk = &risks(&lab)[0];
    assert!(risk["message"].as_str().unwrap().contains(own), "{risk}");
    let source = risk["source"].as_str().unwrap();
    assert!(source.ends_with("policies.yaml:5"), "{source}");
    assert!(
        risk["help"]
            .as_str()
            .unwrap()
            .contains("except: [198.51.100.77]"),
        "{risk}"
    );
    poll("the log tells it", || daemon.log().contains(own));
    let human = text(&lab.monitor(&["status"]).stdout);
    assert!(human.contains("RISK") && human.contains(own), "{human}");

    assert_eq!(lab.generation("wlan0"), Some(1));
    lab.send_udp(BLOCKED[0], 5);
    poll("the filter drops as before", || {
        lab.policy("blocked") == (0, 5)
    });
    let reload = lab.monitor(&["reload"]);
    assert_eq!(reload.status.code(), Some(1));
    assert_eq!(lab.generation("wlan0"), Some(1));
    assert_eq!(risks(&lab).len(), 1, "what is in force runs it still");

    lab.gateway.ip("address del 198.51.100.77/32 dev wlan0");
    poll("the risk is gone", || risks(&lab).is_empty());
    assert!(lab.monitor(&["reload"]).status.success());
    assert_eq!(lab.generation("wlan0"), Some(2));
}

#[test]
fn the_addresses_of_a_bridge_are_its_ports_own() {
    let lab = Lab::new("bridged");
    lab.add_interface("wlan1");
    lab.gateway.ip("link add br-lan type bridge");
    lab.gateway.ip("link set wlan1 master br-lan");
    lab.gateway.ip("address add 203.0.113.1/24 dev br-lan");
    lab.write_policies(&policies("203.0.113.1", ""));
    for (interface, expected) in [
        ("wlan0", Some(0)),
        ("wlan1", Some(3)),
        ("br-lan", Some(3)),
        ("none", Some(0)),
    ] {
        let (code, messages) = check(&lab, interface);
        assert_eq!(code, expected, "{interface}: {messages}");
        let own = format!("own address 203.0.113.1 on {interface}");
        assert_eq!(messages.contains(&own), expected == Some(3), "{messages}");
    }
}
