//! Packed content, feeds over http, and the authors that `explain` shows.

use std::process::Command;

use serde_json::{Value, json};

use super::Gateway;
use crate::support::lab::{binary, text};

/// 250 MiB of zero bytes, packed to 256 KiB, are refused without unpacking them into memory.
#[test]
fn binary_content_takes_no_memory() {
    use std::io::Write as _;

    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&vec![0; 1 << 20]).unwrap();
    let packed = packed.finish().unwrap().repeat(250);
    let gateway = Gateway::new("data: {files: zeros.gz}\n").with("zeros.gz", packed);
    let mut command = Command::new("timeout");
    command
        .args(["120", "prlimit", "--as=250000000"])
        .arg(binary());
    command
        .args(["data", "--json", "--config"])
        .arg(gateway.path("config.yaml"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let listing: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = listing["sources"][0]["error"].as_str().unwrap();
    assert!(error.contains("larger than 64 MiB"), "{error}");
}

#[test]
fn a_feed_over_http_gets_a_warning() {
    let gateway = Gateway::new("data: {feeds: 'http://example.net/asn.tsv'}\n");
    let warning = "fetched without encryption";
    let check = gateway.run(&["check"]);
    assert!(
        text(&check.stderr).contains(warning),
        "{}",
        text(&check.stderr)
    );
    assert!(gateway.prints(&["data"]).contains(warning));
    let encrypted = Gateway::new("data: {feeds: 'https://example.net/asn.tsv'}\n");
    assert!(!encrypted.prints(&["data"]).contains(warning));
}

#[test]
fn only_the_author_of_a_policy_that_matches_is_shown() {
    let policy = |name: &str, more: &str| {
        format!(
            "  - name: {name}\n    action: count\n    about: {{holder: '{name} Ltd'}}\n    destinations: [42.62.48.0/24]\n{more}"
        )
    };
    let policies = [
        "version: 1\npolicies:\n".to_owned(),
        policy("matching", ""),
        policy("disabled", "    enabled: false\n"),
        policy("other-device", "    devices: ['02:00:00:00:00:01']\n"),
        policy("expired", "    expires: 2020-01-01T00:00:00Z\n"),
    ];
    let gateway = Gateway::new("").with("p.yaml", policies.concat());
    let path = gateway.path("p.yaml");
    let explain = [
        "explain",
        "42.62.48.181",
        "--device",
        "02:00:00:00:00:02",
        "--policies",
        path.to_str().unwrap(),
    ];
    let shown = gateway.json(&explain);
    let authors = shown["holder"]["list_author"].as_array().unwrap();
    let mut authors: Vec<_> = authors
        .iter()
        .map(|author| (author["policy"].as_str().unwrap(), &author["resting"]))
        .collect();
    authors.sort_by_key(|(policy, _)| *policy);
    assert_eq!(
        authors,
        [("expired", &json!(true)), ("matching", &Value::Null)]
    );
    let printed = gateway.prints(&explain);
    assert!(
        printed.contains("stated by the author of policy expired, which is off now,"),
        "{printed}"
    );
}
