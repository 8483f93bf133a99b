//! The operator's names for devices in metrics, page and status, across
//! reloads.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use serde_json::Value;
use support::lab::{BLOCKED, Lab, PHONE_MAC, POLICIES, poll, text};

/// The policies of a lab, with these names for devices.
fn policies(devices: &str) -> String {
    POLICIES.replace("policies:", &format!("devices: {{{devices}}}\npolicies:"))
}

/// The only device under the policy `blocked`.
fn device(status: &Value) -> Value {
    let mut policies = status["policies"].as_array().unwrap().iter();
    let blocked = policies.find(|policy| policy["name"] == "blocked").unwrap();
    assert_eq!(blocked["devices"].as_array().unwrap().len(), 1, "{blocked}");
    blocked["devices"][0].clone()
}

/// Labels of devices under the policy `blocked`, each with its dropped packets.
fn labels(lab: &Lab) -> Vec<(String, u64)> {
    const START: &str = "monitor_device_packets_total{device=\"";
    let metrics = lab.metrics();
    let mut labels: Vec<(String, u64)> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(START))
        .filter_map(|line| line.split_once("\",policy=\"blocked\",verdict=\"dropped\"} "))
        .map(|(label, count)| (label.to_owned(), count.parse().unwrap()))
        .filter(|(label, _)| !matches!(label.as_str(), "other" | "past"))
        .collect();
    labels.sort();
    labels
}

fn named(name: &str, packets: u64) -> Vec<(String, u64)> {
    vec![(name.to_owned(), packets)]
}

/// Puts these names in force with `monitor reload`.
fn reload(lab: &Lab, devices: &str) {
    lab.write_policies(&policies(devices));
    let output = lab.monitor(&["reload"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_name_is_shown_for_its_mac_and_moves_to_no_other() {
    let lab = Lab::new("names");
    let daemon = lab.start(&["--mode", "generic"]);
    lab.send_udp(BLOCKED[0], 3);
    poll("the packets are counted", || {
        lab.policy("blocked") == (0, 3)
    });
    let pseudonym = labels(&lab)[0].0.clone();
    assert!(pseudonym.starts_with("device-"), "{pseudonym}");
    assert_eq!(device(&lab.status()).get("name"), None);

    // The ruleset is the same: only the names are new.
    lab.write_policies(&policies(&format!(
        "ana: \"{PHONE_MAC}\", phone: \"{PHONE_MAC}\", phones: [ana]"
    )));
    poll("the changed file is read", || {
        device(&lab.status())["name"] == "ana"
    });
    assert_eq!(labels(&lab), named("ana", 3), "the first of two names");
    assert_eq!(device(&lab.status())["mac"], PHONE_MAC);
    let shown = text(&lab.monitor(&["status"]).stdout);
    assert!(shown.contains(&format!("{PHONE_MAC} (ana)")), "{shown}");

    lab.send_udp(BLOCKED[1], 2);
    poll("more packets are counted", || {
        lab.policy("blocked") == (0, 5)
    });
    reload(&lab, &format!("phone: \"{PHONE_MAC}\""));
    assert_eq!(
        labels(&lab),
        named("phone", 5),
        "another name, the whole count"
    );

    // `ana` now names another device, whose series must not continue that of
    // this MAC.
    reload(&lab, "ana: \"02:00:00:00:00:01\"");
    assert_eq!(labels(&lab), named(&pseudonym, 5));
    assert_eq!(device(&lab.status()).get("name"), None);

    // Files with errors change nothing.
    reload(&lab, &format!("phone: \"{PHONE_MAC}\""));
    lab.write_policies(&policies("phone: \"02:00:00:00:00:01\"").replace("drop", "dorp"));
    assert!(!lab.monitor(&["reload"]).status.success());
    assert_eq!(labels(&lab), named("phone", 5));

    // The pins contain no names.
    daemon.kill();
    let status = lab.status();
    assert_eq!(status["daemon"], Value::Null);
    assert_eq!(device(&status)["mac"], PHONE_MAC);
    assert_eq!(device(&status).get("name"), None);
}

#[test]
fn a_mac_stands_beside_the_name_on_the_page_and_never_in_the_metrics() {
    let lab = Lab::new("beside");
    let config = lab.directory.path().join("monitor.yaml");
    lab.write_policies(&policies(&format!("phone: \"{PHONE_MAC}\"")));
    for form in ["pseudonym", "mac"] {
        std::fs::write(&config, format!("metrics: {{device: {form}}}\n")).unwrap();
        let daemon = lab.start(&["--mode", "generic", "--config", config.to_str().unwrap()]);
        lab.send_udp(BLOCKED[0], 1);
        let page = || lab.page_at("/devices");
        poll("the device is on the page", || page().contains("phone"));
        assert!(page().contains(PHONE_MAC), "{form}");
        assert!(!lab.metrics().contains(PHONE_MAC), "{form}");
        daemon.kill();
    }
}
