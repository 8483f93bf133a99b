//! `monitor list`, with the real binary.

use crate::command;

use std::fs;

use command::{directory, json_of, monitor, policy, text};
use serde_json::json;

const THREATS: &str = "# \"seen\",\"dst_ip\",\"port\",\"status\"\n\"1\",\"45.1.0.1\",\"443\",\"online\"\n\
    \"2\",\"45.1.0.5\",\"80\",\"offline\"\n";

#[test]
fn monitor_list_shows_how_a_list_is_read_and_writes_it_out() {
    let policy = policy("mine", "drop", "45.1.0.0/16");
    let files = directory(&[
        ("p.yaml", &policy),
        ("f.csv", THREATS),
        ("n.txt", "45.1.0.0/25\n45.1.0.128/25\n10.0.0.1\nx y\n"),
    ]);
    let listed = |arguments: &[&str]| monitor(files.path(), &[&["list"], arguments].concat());
    let shown = listed(&[
        "f.csv",
        "--column",
        "dst_ip",
        "--where",
        "status=online",
        "--policies",
        "p.yaml",
        "--json",
    ]);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    let report = json_of(&shown);
    assert_eq!(report["format"], "csv");
    assert_eq!(report["ipv4"], json!({"destinations": 1, "addresses": "1"}));
    assert_eq!(report["left_out"], 1);
    assert_eq!(
        report["overlaps"],
        json!([{"policy": "mine", "action": "drop", "prefixes": 1}])
    );
    assert_eq!(report["first_lines"][0]["line"], 2);
    assert_eq!(
        report["first_lines"][0]["destinations"],
        json!(["45.1.0.1"])
    );
    let listing = listed(&["n.txt"]);
    assert_eq!(listing.status.code(), Some(1));
    let shown = text(&listing.stdout).to_owned();
    for part in [
        "format    plain",
        "IPv4      3 destinations, 257 addresses",
        "reserved destinations (a feed removes them): 1",
        "lines that cannot be read: 1",
        "line 4",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let refused = listed(&["n.txt", "--as", "plain"]);
    assert_eq!(refused.status.code(), Some(1));
    let plain = listed(&["n.txt", "--as", "plain", "--skip-bad-lines"]);
    assert_eq!(text(&plain.stdout), "10.0.0.1/32\n45.1.0.0/24\n");
    let json = listed(&["n.txt", "--as", "json", "--skip-bad-lines"]);
    fs::write(files.path().join("again.json"), &json.stdout).unwrap();
    let again = listed(&["again.json", "--as", "plain"]);
    assert_eq!(text(&again.stdout), text(&plain.stdout));
    let unknown = listed(&["f.csv"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        text(&unknown.stderr).contains("column: dst_ip"),
        "{}",
        text(&unknown.stderr)
    );
}

#[test]
fn control_characters_of_a_list_are_never_printed() {
    let content = "45.1.0.0/24 # \u{1b}[31m\n\u{1b}]0;x\u{7}45.1.2.3\n";
    let files = directory(&[
        ("f", content),
        ("p.yaml", &policy("a", "count", "{list: f}")),
    ]);
    for arguments in [
        ["list", "f"].as_slice(),
        &["list", "f", "--json"],
        &["check", "p.yaml"],
    ] {
        let output = monitor(files.path(), arguments);
        for shown in [&output.stdout, &output.stderr] {
            let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\n';
            assert!(
                !shown.iter().any(is_control),
                "{arguments:?}: {}",
                text(shown)
            );
        }
    }
}

/// A folder with a list for each option.
fn lists() -> tempfile::TempDir {
    let blocks =
        "network,geoname_id,registered_country_geoname_id\n45.1.0.0/24,7,7\n2a00:1::/32,8,8\n";
    directory(&[
        ("s.txt", "45.1.0.1 3\n45.1.0.2 9\n"),
        ("t.csv", "45.1.0.0,45.1.0.255,CN\n45.2.0.0,45.2.0.255,US\n"),
        ("a.csv", "45.1.0.0/24,AS1\n45.2.0.0/24,AS2\n"),
        ("r.csv", "x;lo;hi\n1;45.1.0.0;45.1.0.255\n"),
        ("j.json", r#"{"r":[{"ip":"45.1.0.1"}]}"#),
        ("n.txt", "45.1.0.1\n"),
        ("c.txt", "add a 45.1.0.1\nadd b 45.2.0.1\n"),
        ("b.txt", "45.1.0.1\nx y\n"),
        ("e.txt", "# nothing\n"),
        ("GeoLite2-Country-Blocks-IPv6.csv", blocks),
        (
            "GeoLite2-Country-Locations-en.csv",
            "geoname_id,country_iso_code\n7,CN\n8,US\n",
        ),
    ])
}

#[test]
fn the_options_of_monitor_list_select_and_are_checked() {
    let files = lists();
    for (arguments, code, part) in [
        (
            ["s.txt", "--min-score", "5"].as_slice(),
            0,
            "IPv4      1 destination, 1 address\n",
        ),
        (&["s.txt"], 0, "`min_score` selects by score"),
        (
            &["t.csv", "--country", "CN"],
            0,
            "IPv4      1 destination, 256 addresses",
        ),
        (&["t.csv"], 0, "note      the list names several countries"),
        (
            &["a.csv", "--asn", "AS2"],
            0,
            "IPv4      1 destination, 256",
        ),
        (
            &["a.csv", "--asn", "99999"],
            1,
            "no entry of the list has `AS99999`",
        ),
        (&["n.txt", "--country", "CN"], 1, "`country` does not apply"),
        (&["n.txt", "--asn", "1"], 1, "`asn` does not apply"),
        (
            &["n.txt", "--min-score", "1"],
            1,
            "`min_score` does not apply",
        ),
        (
            &["n.txt", "--format", "plain", "--column", "1"],
            1,
            "`column` does not apply",
        ),
        (
            &["r.csv", "--first", "lo", "--last", "hi"],
            0,
            "256 addresses",
        ),
        (
            &["r.csv"],
            1,
            "write `--first lo --last hi` here, or `{list: r.csv, first: lo, last: hi}` in a policy",
        ),
        (&["j.json", "--path", "$.r[*].ip"], 0, "1 destination"),
        (&["j.json", "--format", "json"], 1, "no `path` says"),
        (&["c.txt", "--set", "b"], 0, "1 destination"),
        (&["c.txt"], 1, "`a` (1 entry), `b` (1 entry)"),
        (&["b.txt"], 1, "lines that cannot be read: 1"),
        (&["e.txt"], 1, "the list has no destination"),
        (
            &["GeoLite2-Country-Blocks-IPv6.csv", "--country", "US"],
            0,
            "IPv6      1 destination",
        ),
        (
            &["n.txt", "--policies", "nope.yaml"],
            1,
            "there are no policies at nope.yaml",
        ),
        (&["missing.txt"], 1, "missing.txt"),
        (&["."], 1, "read ."),
        (&["n.txt", "--where", "a=b"], 2, "--column"),
        (&["n.txt", "--column", "0"], 2, "counted from 1"),
        (&["n.txt", "--format", "nope"], 2, "write one of plain"),
        (
            &["n.txt", "--as", "plain", "--json"],
            2,
            "cannot be used with",
        ),
        (&["ftp://a.example/x"], 2, "https"),
        (
            &["https://me:secret@a.example/x"],
            2,
            "user name or a password",
        ),
    ] {
        let output = monitor(files.path(), &[&["list"], arguments].concat());
        let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {shown}");
        assert!(shown.contains(part), "{arguments:?}: {shown}");
        assert!(!shown.contains("secret@") || code == 2, "{shown}");
    }
}

#[test]
fn overlaps_are_those_of_the_compiled_policies() {
    let policies = "version: 1\npolicies:\n\
        \x20 - {name: hole, action: drop, destinations: [{cidr: 45.1.0.0/16, except: [45.1.2.0/24]}]}\n\
        \x20 - {name: off, action: drop, enabled: false, destinations: [45.1.0.0/16]}\n\
        \x20 - {name: wide, action: count, destinations: [45.0.0.0/8]}\n";
    let files = directory(&[
        ("p.yaml", policies),
        ("hole.txt", "45.1.2.3\n"),
        ("mapped.txt", "64:ff9b::2d01:0101\n"),
    ]);
    let overlaps = |list| {
        let output = monitor(
            files.path(),
            &["list", list, "--policies", "p.yaml", "--json"],
        );
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let found = json_of(&output)["overlaps"].as_array().unwrap().clone();
        let names: Vec<String> = found
            .iter()
            .map(|found| found["policy"].to_string())
            .collect();
        names.join(" ")
    };
    assert_eq!(overlaps("hole.txt"), "\"wide\"");
    assert_eq!(overlaps("mapped.txt"), "\"hole\" \"wide\"");
}

#[test]
fn a_list_is_read_from_standard_input() {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(["list", "-", "--as", "plain"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"45.1.0.0/24\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), "45.1.0.0/24\n");
}
