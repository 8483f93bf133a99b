//! Reports and marks of a running filter.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use monitor::{
    control::{Answer, Request, ask},
    evidence::published::Published,
};
use serde_json::Value;
use support::lab::{BLOCKED, Lab, OPEN, PHONE_MAC, copy_binary, poll, text};

fn report(lab: &Lab, arguments: &[&str]) -> Value {
    let state = lab.directory.path().join("state");
    let mut all = vec!["report", "--format", "json"];
    all.extend(arguments);
    all.extend(["--state-dir", state.to_str().unwrap()]);
    let output = lab.monitor(&all);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Packets of the flows to a destination.
fn packets(report: &Value, destination: &str) -> u64 {
    let flows = report["flows"].as_array().unwrap().iter();
    let own = flows.filter(|flow| flow["destination"] == destination);
    own.map(|flow| flow["packets"].as_u64().unwrap()).sum()
}

/// A mark divides packets that are seconds apart, and the report names ruleset, policies and
/// program.
#[test]
fn a_report_of_a_running_filter_divides_time_at_a_mark() {
    let lab = Lab::new("report");
    let daemon = lab.start(&[]);
    lab.send_udp(OPEN[0], 5);
    lab.send_udp(BLOCKED[0], 2);
    let mark = lab.monitor(&["mark", "cloud off", "--device", PHONE_MAC, "--json"]);
    assert!(mark.status.success(), "{}", text(&mark.stderr));
    lab.send_udp(BLOCKED[0], 3);
    lab.send_udp(OPEN[1], 1);
    let found = report(&lab, &[]);
    assert_eq!(packets(&found, OPEN[0]), 5, "{found:#}");
    assert_eq!(packets(&found, BLOCKED[0]), 5);
    let compared = &found["marks"][0]["comparison"]["devices"][0];
    let number = |side: &str| compared[side]["packets"].as_u64().unwrap();
    assert_eq!((number("before"), number("after")), (7, 3), "{compared:#}");
    assert_eq!(compared["stayed"]["ends"][0]["destination"], BLOCKED[0]);
    assert_eq!(compared["went"]["ends"][0]["destination"], OPEN[0]);
    assert_eq!(found["program"][0]["sha256"].as_str().unwrap().len(), 64);
    assert!(found["gateway"]["kernel"].is_string());
    let hash = found["ruleset"][0]["hash"].as_str().unwrap();
    let status = lab.status();
    assert_eq!(status["ruleset"], hash);
    let policies = &found["policy_texts"][hash];
    assert_eq!(policies[0]["name"], "blocked", "{found:#}");
    assert_eq!(policies[0]["destinations"][0], "198.51.100.0/24");
    assert_eq!(found["coverage"][0]["interface"], "wlan0");
    note_a_stamp(&lab, &found);
    drop(daemon);
    // Without a daemon, the same evidence; and packets that no daemon has stored are said.
    lab.send_udp(BLOCKED[0], 4);
    let alone = report(&lab, &[]);
    assert_eq!(packets(&alone, BLOCKED[0]), 5);
    assert_eq!(
        alone["losses"]["not_recorded"]["reasons"]["not-stored"], 4,
        "{alone:#}"
    );
}

/// A head that an authority stamped becomes an event, if it is of the log of this gateway.
fn note_a_stamp(lab: &Lab, report: &Value) {
    let head = report["head"]["checkpoint"].as_str().unwrap();
    let published = |log: &str| {
        Request::Published(Published {
            authority: "Time of the test".to_owned(),
            stamped: "2026-11-30T04:52:00Z".to_owned(),
            log: log.to_owned(),
            lines: 7,
            sha256: "ab".repeat(32),
        })
    };
    let asked = ask(&lab.socket(), &published("monitor-evidence/other")).unwrap();
    let Answer::Refused(why) = asked else {
        panic!("{asked:?}");
    };
    assert!(why.contains("of another log"), "{why}");
    let own = published(head.lines().next().unwrap());
    assert_eq!(ask(&lab.socket(), &own).unwrap(), Answer::Published {});
    let events = text(&lab.monitor(&["events"]).stdout);
    let expected = "\"Time of the test\" stamped the head of 7 lines";
    assert_eq!(events.matches(expected).count(), 1, "{events}");
}

/// A drain that fails is no drain: the report counts the packets that are still in the kernel.
#[test]
fn packets_that_the_daemon_cannot_store_are_counted() {
    let lab = Lab::new("report-locked");
    let _daemon = lab.start(&[]);
    lab.send_udp(BLOCKED[0], 2);
    assert_eq!(packets(&report(&lab, &[]), BLOCKED[0]), 2);
    let store = lab
        .directory
        .path()
        .join("state")
        .join(monitor::store::FILE);
    let other = rusqlite::Connection::open(store).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    lab.send_udp(BLOCKED[0], 4);
    let found = report(&lab, &[]);
    let not_stored = |report: &Value| {
        let reasons = &report["losses"]["not_recorded"]["reasons"];
        reasons["not-stored"].as_u64().unwrap_or(0)
    };
    assert_eq!(packets(&found, BLOCKED[0]), 2);
    assert_eq!(not_stored(&found), 4, "{found:#}");
    other.execute_batch("ROLLBACK").unwrap();
    poll("the packets are stored", || {
        let found = report(&lab, &[]);
        packets(&found, BLOCKED[0]) == 6 && not_stored(&found) == 0
    });
}

#[test]
fn an_ordinary_user_puts_no_mark() {
    let lab = Lab::new("mark-user");
    let _daemon = lab.start(&[]);
    let directory = lab.directory.path();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    copy_binary(directory);
    fs::set_permissions(lab.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let refused = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(directory.join("monitor"))
        .args(["mark", "text", "--socket"])
        .arg(lab.socket())
        .output()
        .expect("run setpriv (Debian package util-linux)");
    assert_eq!(refused.status.code(), Some(1));
    let error = text(&refused.stderr);
    assert!(error.contains("only root"), "{error}");
    let events = text(&lab.monitor(&["events"]).stdout);
    assert!(!events.contains("mark"), "{events}");
}
