//! Runs the real binary on published lists. Other programs counted the expected
//! numbers. A comment `python` means the modules `csv` and `ipaddress`
//! (`summarize_address_range`), with each network counted once.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use crate::data;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};

/// The output of `check` for a policy with one destination, in `folder`.
fn check(folder: &Path, destination: &str) -> (Output, Value) {
    let yaml = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let list = destination.replace("list: ", &format!("list: {}/", folder.display()));
    let text = format!(
        "version: 1\npolicies:\n  - {{name: x, action: count, destinations: [{{{list}}}]}}\n"
    );
    fs::write(yaml.path(), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(["check", "--json"])
        .arg(yaml.path())
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap();
    (output, report)
}

/// Checks (destination, format, IPv4 prefixes, written IPv6 prefixes, lines left out).
fn holds(folder: &Path, cases: &[(&str, &str, usize, usize, usize)]) {
    for (destination, format, v4, v6, left_out) in cases {
        let (output, report) = check(folder, destination);
        assert_eq!(output.status.code(), Some(0), "{destination}: {report:#}");
        let derived = report["derived"]["prefixes"].as_u64().unwrap();
        assert_eq!(
            report["prefixes"],
            json!({"v4": v4, "v6": u64::try_from(*v6).unwrap() + derived}),
            "{destination}"
        );
        // Each IPv4 prefix gives three, or fewer where neighbours join.
        let most = 3 * u64::try_from(*v4).unwrap();
        assert!(derived <= most && (derived > 0) == (most > 0), "{report:#}");
        let list = &report["lists"][0];
        assert_eq!(list["format"], *format, "{destination}");
        assert_eq!(list["left_out"], *left_out, "{destination}");
        assert_eq!(list["skipped"], 0, "{destination}");
    }
}

#[test]
fn real_lists_hold_what_others_counted() {
    let Some(ranges) = data::ranges() else { return };
    holds(
        &ranges,
        &[
            // grep -vc '^#'
            ("list: cn-v4.chnroutes2.txt", "plain", 3912, 0, 0),
            ("list: ipsum-level3.txt", "plain", 14_217, 0, 0),
            // zcat | awk -F'\t' '!/^#/ && $2 >= N' | wc -l; the first is `ipsum-level3.txt`
            (
                "list: ipsum.txt.gz, min_score: 3",
                "scores",
                14_217,
                0,
                106_213,
            ),
            ("list: ipsum.txt.gz, min_score: 10", "scores", 3, 0, 120_427),
            ("list: ipsum.txt.gz", "scores", 120_430, 0, 0),
            // python; grep -c : says 167 and 374 lines with a range
            ("list: wsb-p2p-spy.txt", "peerguardian", 167, 0, 0),
            ("list: wsb-p2p-update.txt", "peerguardian", 374, 0, 0),
            ("list: wsb-firewall-spy.txt", "plain", 167, 0, 0),
            ("list: wsb-firewall-update.txt", "plain", 374, 0, 0),
            // python; rows left out: zcat | grep -vc ',CN$'
            (
                "list: asn-country-ipv4.csv.gz, country: CN",
                "range-csv",
                5502,
                0,
                137_700,
            ),
            (
                "list: asn-country-ipv6.csv.gz, country: cn",
                "range-csv",
                0,
                2026,
                66_346,
            ),
            // python; the same numbers as the tables of prefixes made from them
            ("list: asn-ipv4.csv.gz", "range-csv", 564_579, 0, 0),
            ("list: asn-ipv6.csv.gz", "range-csv", 0, 167_903, 0),
            // The number after each prefix is read as a score.
            ("list: asn-v6-cidr.txt.gz", "scores", 0, 167_903, 0),
        ],
    );
}

#[test]
fn real_lines_of_each_format() {
    let Some(ranges) = data::ranges() else { return };
    // These numbers were counted by hand.
    holds(
        &ranges.join("format-samples"),
        &[
            ("list: 01-cidr-hash-comments.txt", "plain", 3, 0, 0),
            ("list: 02-spamhaus-drop-semicolon.txt", "plain", 6, 0, 0),
            ("list: 03-spamhaus-drop.jsonl", "spamhaus-json", 3, 0, 0),
            ("list: 04-cidr-v6-trailing-space.txt", "plain", 0, 3, 0),
            ("list: 05-ipsum-tab-score.txt", "scores", 3, 0, 0),
            ("list: 06-p2p-peerguardian.txt", "peerguardian", 5, 0, 0),
            ("list: 07-plain-ip-triplehash.txt", "plain", 12, 0, 0),
            ("list: 10-proxifier-ips.txt", "plain", 21, 0, 0),
            ("list: 11-range-csv.csv", "range-csv", 3, 0, 0),
            // python: 1 + 1 + 6 networks
            ("list: 12-range-num128-csv.csv", "numeric-csv", 0, 8, 0),
            // 16777472 – 16778239 is 1.0.1.0/24 and 1.0.2.0/23
            (
                "list: 13-tor-geoip.txt, country: CN",
                "numeric-csv",
                2,
                0,
                2,
            ),
            // 42.62.0.0/17, .128.0/19, .160.0/20, .180.0/22, .184.0/21; 3 IPv6
            (
                "list: 14-delegated-apnic-20210715-slice.txt, country: CN",
                "rir",
                5,
                3,
                2,
            ),
            ("list: 18-chnroutes2.txt", "plain", 3, 0, 0),
            (
                "list: 19-ipset-template.txt, format: ipset",
                "plain",
                4,
                0,
                0,
            ),
            ("list: 20-emule-dat.txt", "emule", 1, 0, 0),
            (
                "list: 21-firehol-netset-head.txt, format: netset",
                "plain",
                3,
                0,
                0,
            ),
        ],
    );
}

#[test]
fn real_lists_of_something_else_are_refused() {
    let Some(ranges) = data::ranges() else { return };
    let samples = ranges.join("format-samples");
    for (file, message) in [
        ("08-openwrt-firewall.user", "these are commands"),
        ("09-simplewall.xml", "this is a web page or XML"),
        ("15-rir-ip.json", "this begins as JSON, but is damaged"),
        ("16-hosts.txt", "this is a hosts file: it holds names"),
        ("17-easylist.txt", "this is a list for ad blockers"),
    ] {
        let (output, report) = check(&samples, &format!("list: {file}"));
        assert_eq!(output.status.code(), Some(3), "{file}");
        let errors = report["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{file}: {report:#}");
        let found = errors[0]["message"].as_str().unwrap();
        assert!(found.starts_with(message), "{file}: {found}");
        assert!(errors[0]["line"].as_u64().is_some(), "{file}");
    }
}

#[test]
fn skipped_lines_are_counted_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let text = "192.0.2.0/24\n".to_owned() + &"nonsense\n".repeat(50) + "198.51.100.0/24\n";
    fs::write(folder.path().join("l.txt"), text).unwrap();
    let (output, report) = check(folder.path(), "list: l.txt, on_bad_line: skip");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(report["prefixes"], json!({"v4": 2, "v6": 6}));
    assert_eq!(report["lists"][0]["skipped"], 50);
    assert_eq!(report["lists"][0]["destinations"], 2);
    let warnings = report["warnings"].as_array().unwrap();
    let lines: Vec<Option<u64>> = warnings
        .iter()
        .map(|warning| warning["line"].as_u64())
        .collect();
    assert_eq!(lines, [None, Some(2), Some(3), Some(4)]);
    let (output, report) = check(folder.path(), "list: l.txt, on_bad_line: error");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(report["errors"].as_array().unwrap().len(), 21);
}

#[test]
fn the_summary_for_people_names_the_list_and_its_skipped_lines() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("l.txt"), "192.0.2.0/24\nnonsense\n").unwrap();
    let policy = "version: 1\npolicies:\n  - {name: x, action: count, destinations: [{list: l.txt, on_bad_line: skip}]}\n";
    fs::write(folder.path().join("x.yaml"), policy).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(["check", "x.yaml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("\nskipped   1 of 2 lines of l.txt\n"),
        "{text}"
    );
    assert!(text.ends_with("\n0 errors, 1 warning\n"), "{text}");
}

#[test]
fn one_file_read_in_two_ways() {
    let Some(ranges) = data::ranges() else { return };
    let list = ranges.join("format-samples/14-delegated-apnic-20210715-slice.txt");
    let list = list.display();
    let folder = tempfile::tempdir().unwrap();
    let policy = |name, country| {
        format!(
            "  - {{name: {name}, action: count, destinations: [{{list: {list}, country: {country}}}]}}\n"
        )
    };
    let text = format!(
        "version: 1\npolicies:\n{}{}",
        policy("china", "CN"),
        policy("indonesia", "ID")
    );
    let yaml = folder.path().join("x.yaml");
    fs::write(&yaml, text).unwrap();
    let winner = |address: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_monitor"))
            .args(["explain", "--json", address, "--policies"])
            .arg(&yaml)
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["effective"].clone()
    };
    assert_eq!(winner("42.62.48.181"), "china");
    assert_eq!(winner("42.62.176.1"), "indonesia");
    assert_eq!(winner("42.62.192.1"), Value::Null);
}
