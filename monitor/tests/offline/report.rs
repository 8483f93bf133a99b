//! Reports of a real store, by the real binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use monitor::evidence::{NameSource, mark::MarkKind};
use serde_json::Value;

use crate::support::story::{OTHER, PHONE, SERVER, Story, flow, monitor};

const FORMATS: [&str; 6] = ["html", "md", "csv", "json", "eve", "case"];

mod captures;
mod case;
mod hostile;
mod html;
mod marks;
mod redact;

fn json(story: &Story, arguments: &[&str]) -> Value {
    let text = story.report(&[&["--format", "json"], arguments].concat());
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_json_has_every_key_of_its_contract() {
    let story = Story::told();
    let config = story.config();
    let report = json(&story, &["--config", config.to_str().unwrap()]);
    for key in [
        "period",
        "gateway",
        "ruleset",
        "program",
        "coverage",
        "losses",
        "marks",
        "devices",
        "flows",
        "shows",
        "does_not_show",
        "head",
        "proofs",
    ] {
        assert!(report.get(key).is_some(), "{key}");
    }
    assert_eq!(report["answer"].as_array().unwrap().len(), 3);
    let flows = report["flows"].as_array().unwrap();
    let to_server = flows
        .iter()
        .find(|flow| flow["destination"] == SERVER)
        .unwrap();
    assert_eq!(
        (&to_server["packets"], &to_server["dropped"]),
        (&96.into(), &0.into())
    );
    assert_eq!(to_server["names"][0]["how"], "dns");
    let holder = &to_server["holder"];
    assert_eq!(holder["registry"][0]["value"], "APNIC", "{holder}");
    assert!(holder["holder"].is_null(), "{holder}");
    let phone = report["devices"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["device"] == PHONE);
    let policies = phone.unwrap()["policies"].as_array().unwrap();
    assert_eq!(policies[0]["policy"], "blocked");
    assert_eq!(policies[0]["dropped"], 96);
    let timeline = &policies[0]["timeline"];
    let dropped: u64 = timeline["dropped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(dropped, 96);
    assert_eq!(policies[1]["others"][0]["device"], OTHER);
    assert_eq!(policies[1]["others"][0]["shared_networks"], 1);
    assert_eq!(report["gateway"]["clock_synchronised"], true);
    assert_eq!(
        report["policy_texts"]["00000000000000aa"][0]["name"],
        "blocked"
    );
}

#[test]
fn equal_stores_give_equal_bytes_in_every_format() {
    let story = Story::told();
    for format in FORMATS {
        let report = || story.report(&["--format", format]);
        assert_eq!(report(), report(), "{format}");
        assert!(report().len() > 500, "{format}");
    }
    let at = json(&story, &["--at", "2026-11-29T18:00:00Z"]);
    assert_eq!(at["period"]["until"], "2026-11-29T18:00:00Z");
}

/// An EVE line of a report equals that of `monitor events` for the same flow and name.
#[test]
fn eve_lines_are_those_of_events() {
    let story = Story::told();
    let report = story.report(&["--format", "eve"]);
    let events = story.monitor(&["events", "--format", "eve"]);
    let events = String::from_utf8(events.stdout).unwrap();
    let names = |text: &str| {
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines = lines.filter(|line| line["event_type"] == "tls" || line["event_type"] == "dns");
        lines.map(|line| line.to_string()).collect::<Vec<_>>()
    };
    assert!(!names(&report).is_empty());
    assert_eq!(names(&report), names(&events));
    let alert: Value = serde_json::from_str(report.lines().next().unwrap()).unwrap();
    let same = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut same = same.filter(|line| line["flow_id"] == alert["flow_id"]);
    assert_eq!(
        same.next().unwrap()["alert"]["signature"],
        alert["alert"]["signature"]
    );
}

#[test]
fn a_period_without_packets_says_how_long_the_gateway_watched() {
    let story = Story::told();
    let silent = json(&story, &["--policy", "silent", "--since", "2h"]);
    let answer = silent["answer"].to_string();
    assert!(answer.contains("the store has no packet"), "{answer}");
    let shows = silent["shows"].to_string();
    assert!(
        shows.contains("no packet of the policy silent from the 2 hours"),
        "{shows}"
    );
    assert_eq!(silent["flows"], Value::Array(Vec::new()));
    let one = json(&story, &["--device", OTHER]);
    assert!(
        one["flows"]
            .as_array()
            .unwrap()
            .iter()
            .all(|flow| flow["device"] == OTHER)
    );
    let subjects = one["devices"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["is_subject"] == true);
    assert_eq!(subjects.count(), 1);
    let limited = json(&story, &["--limit", "1"]);
    assert_eq!(limited["flows"].as_array().unwrap().len(), 3);
    assert_eq!(limited["flows_left_out"]["packets"], 24);
}

/// An output that is no regular file stays as it is.
#[test]
fn only_a_regular_file_is_replaced() {
    let story = Story::told();
    let target = story.directory.path().join("target");
    let link = story.directory.path().join("link");
    std::fs::write(&target, "kept").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    for path in [&link, &story.directory.path().to_owned()] {
        let output = story.monitor(&["report", "--output", path.to_str().unwrap()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("not a regular file"), "{error}");
    }
    assert!(link.is_symlink());
    let output = story.monitor(&["report", "--output", target.to_str().unwrap()]);
    assert!(output.status.success());
    assert_ne!(std::fs::read_to_string(&target).unwrap(), "kept");
}

#[test]
fn without_a_store_the_verbs_say_so() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["report"][..], &["mark", "text"]] {
        let output = monitor(directory.path(), arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("no evidence is stored"), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

/// The answer names each interface, because a device may have used any of them.
#[test]
fn the_answer_says_how_long_each_interface_was_watched() {
    let mut story = Story::told_open();
    let wired = monitor::store::Attachment {
        interface: "eth1".to_owned(),
        mode: "native".to_owned(),
        generation: 1,
        since: story.now - jiff::SignedDuration::from_hours(1),
        until: story.now,
    };
    let now = story.now;
    story.store().write_attachments(&[wired], now).unwrap();
    story.end();
    let all = json(&story, &[])["answer"][2].to_string();
    assert!(
        all.contains("attached to eth1 for 60 minutes, to wlan0 for 4.5 hours")
            || all.contains("attached to eth1 for 60 minutes and to wlan0 for 4.5 hours"),
        "{all}"
    );
    let one = json(&story, &["--device", PHONE])["answer"][2].to_string();
    assert!(one.contains("attached to wlan0 for 4.5 hours"), "{one}");
}
