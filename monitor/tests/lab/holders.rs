//! Whose range the destination of a flow is, from a running filter and from the store.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::fs;

use serde_json::Value;
use support::lab::{BLOCKED, Lab, OPEN, poll, text};

const POLICIES: &str = "version: 1
policies:
  - name: seen
    action: count
    about: {holder: Example Ltd, as_of: 2014-07, source: a newspaper}
    destinations: [192.0.2.0/24, 198.51.100.0/24]
";

const TABLE: &str = "# 2026-02-01\n192.0.2.0,192.0.2.255,64500,Example \u{1b}[2J Networks\n";

/// Flows of the lab, through the daemon or from the store.
fn flows(lab: &Lab, arguments: &[&str]) -> String {
    let config = lab.directory.path().join("config.yaml");
    let config = ["flows", "--config", config.to_str().unwrap()];
    let output = lab.monitor(&[&config[..], arguments].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn each_flow_says_whose_range_its_destination_is() {
    let lab = Lab::new("holders");
    lab.write_policies(POLICIES);
    let write = |name: &str, content: &str| {
        let path = lab.directory.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let table = write("asn.csv", TABLE);
    write(
        "delegated",
        "2|apnic|20210715|1|19830613|20210714|+1000\napnic|AU|ipv4|192.0.2.0|256|20110310|assigned\n",
    );
    let state = lab.directory.path().join("state");
    let config = write(
        "config.yaml",
        &format!(
            "data: {{files: [asn.csv, delegated, missing]}}\npolicies: {}\nstate_dir: {}\n",
            lab.policies().display(),
            state.display()
        ),
    );
    let daemon = lab.start(&["--config", &config]);
    poll("the daemon has read the data", || {
        daemon.log().contains("missing cannot be used")
    });
    lab.send_udp(OPEN[0], 3);
    lab.send_udp(BLOCKED[0], 3);
    let look = || {
        let shown: Value = serde_json::from_str(&flows(&lab, &["--json"])).unwrap();
        let of = |destination: &str| {
            let flows = shown["flows"].as_array().unwrap();
            let mut found = flows
                .iter()
                .filter(|flow| flow["destination"] == destination);
            found.next().unwrap()["holder"].clone()
        };
        let known = of(OPEN[0]);
        assert_eq!(known["origin_as"][0]["value"], "AS64500", "{known}");
        assert_eq!(
            known["origin_as"][0]["source"]["as_of"], "2026-02-01",
            "{known}"
        );
        assert_eq!(known["registry"][0]["value"], "APNIC", "{known}");
        assert_eq!(known["country"][0]["value"], "AU", "{known}");
        assert!(known["holder"].is_null(), "{known}");
        assert_eq!(known["list_author"][0]["value"], "Example Ltd", "{known}");
        let other = of(BLOCKED[0]);
        assert!(other["origin_as"].is_null(), "{other}");
        assert_eq!(other["list_author"][0]["policy"], "seen", "{other}");
        let failed = shown["failed_sources"].as_array().unwrap();
        assert_eq!(failed.len(), 1, "{failed:?}");
        let human = flows(&lab, &[]);
        let line = "   range: holder unknown; origin AS64500 Example  [2J Networks; country AU; registry APNIC; policy author says: Example Ltd";
        assert!(human.lines().any(|printed| printed == line), "{human}");
        assert!(human.contains("missing could not be asked: "), "{human}");
    };
    look();
    let listing: Value = serde_json::from_slice(&lab.monitor(&["data", "--json"]).stdout).unwrap();
    assert_eq!(listing["sources"].as_array().unwrap().len(), 3, "{listing}");
    // A daemon that runs notices a changed file. It looks at times, and after a reload.
    let row = "192.0.2.0,192.0.2.255,64501,Other\n";
    fs::write(&table, row).unwrap();
    assert!(lab.monitor(&["reload"]).status.success());
    poll("the daemon has read the changed file", || {
        flows(&lab, &[]).contains("origin AS64501 Other;")
    });
    fs::write(&table, TABLE).unwrap();
    drop(daemon);
    look();
    // The statement of an author is about the range that the policy has now.
    let other = POLICIES.replace("[192.0.2.0/24, 198.51.100.0/24]", "[203.0.113.0/24]");
    lab.write_policies(&other);
    let shown: Value = serde_json::from_str(&flows(&lab, &["--json"])).unwrap();
    for flow in shown["flows"].as_array().unwrap() {
        assert!(flow["holder"]["list_author"].is_null(), "{flow}");
    }
    lab.write_policies(POLICIES);
    assert!(lab.monitor(&["detach"]).status.success());
    look();
    fs::remove_file(table).unwrap();
    let shown: Value = serde_json::from_str(&flows(&lab, &["--json"])).unwrap();
    assert_eq!(shown["failed_sources"].as_array().unwrap().len(), 2);
}
