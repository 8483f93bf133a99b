//! Counters belong to the name of a policy: they outlive its place in the files.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use serde_json::{Value, json};
use support::lab::{BLOCKED, Lab, OPEN, PHONE_MAC, POLICIES, poll, text};

const SEEN_ONLY: &str = "version: 1
policies:
  - name: seen
    action: count
    destinations: [192.0.2.0/24, 198.51.100.0/25]
";
/// Another policy takes the place of `blocked`, sorted before it.
const ANOTHER: &str = "version: 1
policies:
  - name: another
    action: drop
    destinations: [198.51.100.0/24, 2001:db8:bad::/48]
";

#[test]
fn a_policy_that_goes_and_comes_back_keeps_its_counters() {
    let lab = Lab::new("counters");
    let daemon = lab.start(&["--mode", "generic"]);
    lab.send_udp(BLOCKED[0], 5);
    lab.send_udp(OPEN[0], 2);
    counted(&lab, "seen", (2, 5));
    let before = policy(&lab, "blocked").unwrap();
    let series = counters_of(&lab, "blocked");
    assert_eq!(before["matched"]["dropped"]["packets"], 5);
    assert_eq!(before["devices"][0]["mac"], PHONE_MAC);
    assert_eq!(series.len(), 12, "policy, device and other: {series:#?}");

    load(&lab, SEEN_ONLY);
    lab.send_udp(BLOCKED[0], 5);
    counted(&lab, "seen", (7, 5));
    assert_gone(&lab, &before, &series);

    load(&lab, ANOTHER);
    lab.send_udp(BLOCKED[0], 4);
    counted(&lab, "another", (0, 4));
    assert_gone(&lab, &before, &series);

    daemon.kill();
    let _daemon = lab.start(&["--mode", "generic"]);
    assert_gone(&lab, &before, &series);

    load(&lab, POLICIES);
    assert_eq!(policy(&lab, "blocked").unwrap(), before);
    assert_eq!(counters_of(&lab, "blocked"), series);
    lab.send_udp(BLOCKED[0], 3);
    counted(&lab, "blocked", (0, 8));
    assert_eq!(lab.policy("seen"), (7, 8));
    assert_eq!(lab.policy("another"), (0, 4));
}

/// Waits until what was sent has come to the filter.
fn counted(lab: &Lab, policy: &str, passed_and_dropped: (u64, u64)) {
    poll(&format!("{policy} counts {passed_and_dropped:?}"), || {
        lab.policy(policy) == passed_and_dropped
    });
}

/// Not in force, every number as it was.
fn assert_gone(lab: &Lab, before: &Value, series: &[String]) {
    let now = policy(lab, "blocked").expect("its counters are still shown");
    assert_eq!(now["action"], Value::Null);
    assert_eq!(now["prefixes"], json!({"v4": 0, "v6": 0}));
    for counts in ["matched", "other", "devices"] {
        assert_eq!(now[counts], before[counts], "{counts}");
    }
    assert_eq!(counters_of(lab, "blocked"), series);
    let page = lab.metrics();
    assert!(
        !page.contains("monitor_policy_info{policy=\"blocked\""),
        "{page}"
    );
    let human = text(&lab.monitor(&["status"]).stdout);
    let row = human
        .lines()
        .find(|line| line.trim_start().starts_with("blocked"));
    assert!(
        row.is_some_and(|row| row.contains("(not in force)")),
        "{human}"
    );
}

fn policy(lab: &Lab, name: &str) -> Option<Value> {
    let status = lab.status();
    let policies = status["policies"].as_array().expect("policies");
    policies
        .iter()
        .find(|policy| policy["name"] == name)
        .cloned()
}

/// The series of a policy and of its devices, with their values.
fn counters_of(lab: &Lab, name: &str) -> Vec<String> {
    let label = format!("policy=\"{name}\"");
    let page = lab.metrics();
    let lines = page.lines().filter(|line| line.contains(&label));
    lines
        .filter(|line| line.contains("_total{"))
        .map(str::to_owned)
        .collect()
}

/// Replaces the policies and waits until they are in force.
fn load(lab: &Lab, policies: &str) {
    let generation = lab.generation("wlan0").unwrap();
    lab.write_policies(policies);
    poll("the new policies are in force", || {
        lab.generation("wlan0") > Some(generation)
    });
}
