//! The keys that say where a list holds its addresses, with the real binary.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use crate::command;

use std::fs;

use command::{directory, json_of, monitor, policy, text};
use serde_json::Value;

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
    for (set, prefixes, left_out) in [("block", 1, 2), ("[block, white]", 3, 0)] {
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
