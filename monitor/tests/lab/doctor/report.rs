//! What a report says about the findings of `monitor doctor`.

use serde_json::Value;

use crate::support::lab::{Lab, poll, text};

/// The store keeps what the checks found, and a report says so beside a zero.
pub(super) fn names_what_was_not_seen(lab: &Lab) {
    let state = lab.directory.path().join("state");
    let make = |format: &str| {
        let words = ["report", "--format", format, "--since", "1h", "--state-dir"];
        let output = lab.monitor(&[&words[..], &[state.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let json = || serde_json::from_str::<Value>(&make("json")).unwrap();
    let find = |report: &Value, what: &str| {
        let findings = report["findings"].as_array().unwrap();
        let found = findings.iter().find(|found| found["what"] == what);
        found
            .cloned()
            .unwrap_or_else(|| panic!("{what}: {report:#}"))
    };
    poll("the end of a finding is stored", || {
        let report = json();
        let findings = report["findings"].as_array();
        findings.is_some_and(|all| {
            let mut all = all.iter();
            all.any(|found| found["check"] == "policy" && found["until"].is_string())
        })
    });
    let report = json();
    let blind = find(&report, "br8 has no filter");
    assert_eq!(blind["status"], "blind");
    assert!(
        blind["since"].is_string() && blind["until"].is_string(),
        "{blind:#}"
    );
    let accepted = find(&report, "br7 has no filter");
    assert_eq!(accepted["accepted"], "a bridge of test machines");
    let limits = report["does_not_show"].to_string();
    for expected in ["lan1 has no filter", "The operator accepted 1 finding"] {
        assert!(limits.contains(expected), "{expected}: {limits}");
    }
    // Nothing was sent to the policies.
    let answer = report["answer"][0].as_str().unwrap();
    assert!(answer.contains("This zero proves nothing"), "{answer}");
    let markdown = make("md");
    assert!(
        markdown.contains("blind, accepted: a bridge of test machines"),
        "{markdown}"
    );
    let events = text(&lab.monitor(&["events", "--limit", "500"]).stdout);
    for expected in [
        "blind (interface): lan1 has no filter",
        "no longer so (interface): lan1 has no filter",
        "the checks of doctor ran",
    ] {
        assert_eq!(events.matches(expected).count(), 1, "{expected}: {events}");
    }
}
