//! The keys that say where a list holds its addresses, and `monitor list`, with the real
//! binary.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use crate::command;

use std::fs;

use command::{directory, json_of, monitor, policy, text};
use serde_json::{Value, json};

/// The report of `check` for one destination whose file `f` has this content.
fn check(content: &[u8], entry: &str) -> (Option<i32>, Value) {
    let files = directory(&[("p.yaml", &policy("a", "count", entry))]);
    fs::write(files.path().join("f"), content).unwrap();
    let output = monitor(files.path(), &["check", "p.yaml", "--json"]);
    (output.status.code(), json_of(&output))
}

const THREATS: &str = "# \"seen\",\"dst_ip\",\"port\",\"status\"\n\"1\",\"45.1.0.1\",\"443\",\"online\"\n\
    \"2\",\"45.1.0.5\",\"80\",\"offline\"\n";

#[test]
fn keys_of_a_policy_name_columns_rows_paths_and_ports() {
    let ranges = "id;lo;hi\n1;45.1.0.0;45.1.0.255\n";
    let document = r#"{"me":"45.9.9.9","rows":[{"ip":"45.1.0.1","x":1},{"ip":"45.1.0.5","x":2}]}"#;
    for (content, entry, prefixes, left_out) in [
        (THREATS, "{list: f, column: dst_ip}", 2, 0),
        (
            THREATS,
            "{list: f, column: 2, where: {status: online}}",
            1,
            1,
        ),
        (
            THREATS,
            "{list: f, column: dst_ip, where: {status: online, port: 80}}",
            0,
            2,
        ),
        (ranges, "{list: f, first: lo, last: hi}", 1, 0),
        (document, "{list: f, path: '$.rows[*].ip'}", 2, 0),
        (document, "{list: f, path: '$.rows[?@.x == 2].ip'}", 1, 0),
        (
            "45.1.0.1:443\n45.1.0.5:80\n",
            "{list: f, ports: ignore}",
            2,
            0,
        ),
    ] {
        let (code, report) = check(content.as_bytes(), entry);
        if prefixes == 0 {
            assert_eq!(code, Some(3), "{entry}");
            continue;
        }
        assert_eq!(code, Some(0), "{entry}: {report:#}");
        assert_eq!(report["prefixes"]["v4"], prefixes, "{entry}");
        assert_eq!(report["lists"][0]["left_out"], left_out, "{entry}");
    }
}

#[test]
fn wrong_keys_are_refused_at_their_place() {
    for (entry, message) in [
        ("{list: f, column: 0}", "there is no such column"),
        ("{list: f, first: lo}", "needs both `first` and `last`"),
        (
            "{list: f, column: a, first: b, last: c}",
            "both `column` and the ends",
        ),
        ("{list: f, where: {a: b}}", "`where` needs a `column`"),
        ("{list: f, column: a, where: online}", "`where`"),
        (
            "{list: f, column: a, path: '$.a'}",
            "both a column and a `path`",
        ),
        (
            "{list: f, path: a.b}",
            "this JSONPath (RFC 9535) cannot be used",
        ),
        (
            "{list: f, column: a, format: plain}",
            "belongs to the format `csv`",
        ),
        ("{list: f, ports: maybe}", "`ports` cannot be `maybe`"),
        (
            "{asn: [1], table: f, column: a}",
            "does not belong to a `table`",
        ),
    ] {
        let (code, report) = check(b"45.1.0.1\n", entry);
        assert_eq!(code, Some(3), "{entry}");
        let found = report["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(found.contains(message), "{entry}: {found}");
        assert_eq!(report["errors"].as_array().unwrap().len(), 1, "{report:#}");
    }
}

#[test]
fn an_unknown_form_is_described_with_a_line_to_copy() {
    let document = r#"{"rows":[{"ip":"45.1.0.1"},{"ip":"2a00:1::1"}]}"#;
    for (content, seen, line) in [
        (
            THREATS,
            "this is a CSV of 4 columns, separated by commas; column 2 (`dst_ip`) holds 2 IPv4 addresses",
            "{list: f, column: dst_ip}",
        ),
        (
            document,
            "this is a JSON document with 1 IPv4 and 1 IPv6 addresses at `$.rows[*].ip`",
            "{list: f, path: '$.rows[*].ip'}",
        ),
    ] {
        let (code, report) = check(content.as_bytes(), "{list: f}");
        assert_eq!(code, Some(3));
        let error = &report["errors"][0];
        assert_eq!(error["message"], seen);
        assert!(error["help"].as_str().unwrap().contains(line), "{error}");
        // The line can be copied.
        let (code, report) = check(content.as_bytes(), line);
        assert_eq!(code, Some(0), "{report:#}");
    }
}

#[test]
fn check_says_how_a_known_document_is_read() {
    let google = r#"{"prefixes":[{"ipv4Prefix":"45.4.0.0/16"},{"ipv6Prefix":"2404:6800::/32"}]}"#;
    let (code, report) = check(google.as_bytes(), "{list: f}");
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(report["prefixes"]["v4"], 1);
    let how = report["lists"][0]["read_by"].as_str().unwrap();
    assert!(
        how.contains("Google") && how.contains("$.prefixes[*].ipv4Prefix"),
        "{how}"
    );
}

#[test]
fn a_country_is_found_in_the_file_beside_the_table() {
    let blocks =
        "network,geoname_id,registered_country_geoname_id\n45.1.0.0/24,7,7\n45.2.0.0/24,8,8\n";
    let locations = "geoname_id,locale_code,country_iso_code\n7,en,CN\n8,en,US\n";
    let table = "GeoLite2-Country-Blocks-IPv4.csv";
    let files = directory(&[
        (
            "p.yaml",
            &policy("a", "count", &format!("{{country: [CN], table: {table}}}")),
        ),
        (table, blocks),
    ]);
    let run = || monitor(files.path(), &["check", "p.yaml", "--json"]);
    let without = run();
    assert_eq!(without.status.code(), Some(3), "{}", text(&without.stderr));
    let beside = files.path().join("GeoLite2-Country-Locations-en.csv");
    fs::write(beside, locations).unwrap();
    let with = run();
    assert_eq!(with.status.code(), Some(0), "{}", text(&with.stderr));
    assert_eq!(json_of(&with)["prefixes"]["v4"], 1);
}

#[test]
fn bytes_in_other_encodings_and_packings_are_read() {
    let list = "# caf\u{e9}\r\n45.1.0.0/24\r\n";
    let utf16: Vec<u8> = format!("\u{feff}{list}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let without: Vec<u8> = list.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [
        utf16.as_slice(),
        b"45.1.0.0/24\r45.2.0.0/24 # \xff\r",
        b"45.1.0.0/24\n# \0\x1b[31m\n",
    ] {
        let (code, report) = check(bytes, "{list: f}");
        assert_eq!(code, Some(0), "{report:#}");
    }
    let (code, report) = check(&without, "{list: f}");
    assert_eq!(code, Some(3));
    let message = report["errors"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("UTF-16 without a byte order mark"),
        "{message}"
    );
}

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
fn exclusions_are_errors_even_if_bad_lines_are_skipped() {
    for (content, line) in [
        ("45.1.0.0/16\n!45.1.2.3\n", 2),
        ("45.1.0.0/16\n45.1.2.3 allow\n", 2),
        (
            "create x hash:net\nadd x 45.1.0.0/16\nadd x 45.1.2.0/24 nomatch\n",
            3,
        ),
        (
            "create x hash:net\nadd x 45.1.0.0/16\ndel x 45.1.2.0/24\n",
            3,
        ),
        (
            "add element ip f x { 45.1.0.0/16 }\ndelete element ip f x { 45.1.2.0/24 }\n",
            2,
        ),
        (
            "/ip firewall address-list\nadd list=x address=45.1.0.0/16\nremove [find list=x]\n",
            3,
        ),
        (
            "ip prefix-list x permit 45.1.0.0/16\nip prefix-list x deny 45.1.2.0/24\n",
            2,
        ),
        (
            "ip prefix-list x permit 45.1.0.0/16\nno ip prefix-list x permit 45.1.2.0/24\n",
            2,
        ),
        (
            "set policy-options prefix-list x 45.1.0.0/16\ndeactivate policy-options prefix-list x 45.1.0.0/16\n",
            2,
        ),
        ("route: 45.1.0.0/16\norigin: AS1\nholes: 45.1.2.0/24\n", 1),
        ("add x 45.1.0.0/16\nadd x 45.1.2.0/24,tcp:80\n", 2),
    ] {
        let (code, report) = check(content.as_bytes(), "{list: f, on_bad_line: skip}");
        assert_eq!(code, Some(3), "{content}: {report:#}");
        assert_eq!(report["errors"].as_array().unwrap().len(), 1, "{report:#}");
        assert_eq!(report["errors"][0]["line"], line, "{content}: {report:#}");
    }
    let ports = check(
        b"45.1.0.0/24\n45.1.2.3:443\n",
        "{list: f, on_bad_line: skip}",
    );
    assert_eq!(ports.0, Some(0), "{:#}", ports.1);
    assert_eq!(ports.1["lists"][0]["skipped"], 1);
}

#[test]
fn several_sets_are_an_error_with_a_line_to_copy() {
    let sets = b"add block 45.1.0.0/16\nadd white 45.1.2.0/24\nadd white 45.1.3.0/24\n";
    let (code, report) = check(sets, "{list: f}");
    assert_eq!(code, Some(3));
    let error = &report["errors"][0];
    assert_eq!(
        error["message"],
        "this file has several sets: `block` (1 entry), `white` (2 entries)"
    );
    assert_eq!(error["line"], 2);
    for (set, prefixes, left_out) in [("block", 1, 2), ("[block, white]", 1, 0)] {
        let (code, report) = check(sets, &format!("{{list: f, set: {set}}}"));
        assert_eq!(code, Some(0), "{report:#}");
        assert_eq!(report["prefixes"]["v4"], prefixes, "{report:#}");
        assert_eq!(report["lists"][0]["left_out"], left_out, "{report:#}");
    }
    let (code, report) = check(sets, "{list: f, set: other}");
    assert_eq!(code, Some(3));
    let message = report["errors"][0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("this file has no set `other`"),
        "{message}"
    );
    let (_, report) = check(b"45.1.0.0/24\n", "{list: f, set: x}");
    let message = report["errors"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("`set` belongs to a list of named sets"),
        "{message}"
    );
}

#[test]
fn a_byte_that_is_not_text_in_an_address_is_a_bad_line_with_its_number() {
    let (code, report) = check(b"45.1.0.0/24 # caf\xe9\n45.2\xff.0.0/24\n", "{list: f}");
    assert_eq!(code, Some(3));
    assert_eq!(report["errors"].as_array().unwrap().len(), 1, "{report:#}");
    assert_eq!(report["errors"][0]["line"], 2);
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

#[test]
fn the_options_of_monitor_list_select_and_are_checked() {
    let blocks =
        "network,geoname_id,registered_country_geoname_id\n45.1.0.0/24,7,7\n2a00:1::/32,8,8\n";
    let files = directory(&[
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
    ]);
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

#[test]
fn anchors_of_values_work_and_merges_are_refused_in_words() {
    let check = |yaml: &str| {
        let files = directory(&[("p.yaml", yaml)]);
        json_of(&monitor(files.path(), &["check", "p.yaml", "--json"]))
    };
    let anchor = "version: 1\npolicies:\n  - {name: a, action: count, destinations: &d [45.1.0.0/24, 45.2.0.0/24]}\n  \
                  - {name: b, action: count, destinations: *d}\n";
    assert_eq!(check(anchor)["errors"], json!([]));
    for (second, message) in [
        (
            "{name: b, action: count, destinations: [*d, 45.3.0.0/24]}",
            "YAML does not merge a sequence into another",
        ),
        (
            "{name: b, <<: *p}",
            "a policy cannot take its keys from a YAML merge (`<<`)",
        ),
    ] {
        let yaml = format!(
            "version: 1\npolicies:\n  - &p {{name: a, action: count, destinations: &d [45.1.0.0/24]}}\n  - {second}\n"
        );
        let report = check(&yaml);
        let errors = report["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{report:#}");
        assert!(
            errors[0]["message"].as_str().unwrap().contains(message),
            "{report:#}"
        );
        assert_eq!(errors[0]["line"], 4, "{report:#}");
    }
}

#[test]
fn wrong_anchors_and_merges_are_named() {
    let head = "version: 1\n";
    let policy = "{name: a, action: count, destinations: [45.1.0.0/24]";
    for (yaml, message) in [
        (
            format!("{head}policies:\n  - {{name: a, action: count, destinations: *gone}}\n"),
            "no anchor `&gone` stands before this alias",
        ),
        (
            format!(
                "{head}policies:\n  - {{name: a, action: count, destinations: &d [45.1.0.0/24, *d]}}\n"
            ),
            "this alias stands within its own anchor",
        ),
        (
            format!(
                "{head}devices:\n  <<: {{x: \"64:cc:2e:11:22:33\"}}\npolicies:\n  - {policy}}}\n"
            ),
            "`devices` cannot take its names from a YAML merge (`<<`)",
        ),
        (
            format!("{head}policies:\n  - &p {policy}}}\n  - {{name: b, <<: [*p, *p]}}\n"),
            "a policy cannot take its keys from a YAML merge (`<<`)",
        ),
        (
            format!(
                "{head}policies:\n  - {policy}, services: &s [tcp/443]}}\n  - {{name: b, action: count, destinations: [45.1.0.0/24], services: [*s, tcp/80]}}\n"
            ),
            "`*s` is a sequence; YAML does not merge a sequence into another",
        ),
        (
            format!(
                "{head}policies:\n  - {policy}, references: &s [\"https://a.example/\"]}}\n  - {{name: b, action: count, destinations: [45.1.0.0/24], references: [*s]}}\n"
            ),
            "`*s` is a sequence; YAML does not merge a sequence into another",
        ),
    ] {
        let files = directory(&[("p.yaml", &yaml)]);
        let report = json_of(&monitor(files.path(), &["check", "p.yaml", "--json"]));
        let errors = report["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{yaml}: {report:#}");
        let found = errors[0]["message"].as_str().unwrap();
        assert!(found.contains(message), "{yaml}: {found}");
    }
}
