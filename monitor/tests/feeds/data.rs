//! Feeds with data about ranges.

use std::fs;

use serde_json::Value;

use super::{
    Server,
    support::lab::{Lab, poll, text},
};

/// A table in which `rows` ranges of /24 have an AS number.
fn table(rows: usize, number: u32) -> String {
    let row = |at: usize| format!("192.{}.{}.0/24\t{number}\n", at / 256, at % 256);
    (512..512 + rows).map(row).collect()
}

/// What a verb prints as JSON.
fn json(lab: &Lab, arguments: &[&str]) -> Value {
    let output = lab.monitor(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_data_feed_passes_the_gate_and_waits_for_the_operator_if_it_changes_much() {
    let lab = Lab::new("data-feed");
    let server = Server::on(lab.listen_tcp("127.0.0.1"), None);
    server.gives(table(100, 64500));
    let config = lab.directory.path().join("config.yaml");
    let url = server.url("/asn.tsv?key=secret");
    fs::write(&config, format!("data: {{feeds: ['{url}']}}\n")).unwrap();
    let config = config.to_str().unwrap();
    let daemon = lab.start(&["--config", config]);
    let source = || json(&lab, &["data"])["sources"][0].clone();
    poll("the feed is read", || source()["ipv4_rows"] == 100);
    assert_eq!(source()["kind"], "table");
    assert_eq!(source()["dated_by"], "fetched");
    lab.send_udp("192.0.2.10", 3);
    lab.write_policies(
        "version: 1\npolicies:\n  - {name: a, action: count, destinations: [192.2.0.0/24]}\n",
    );
    assert!(lab.monitor(&["reload"]).status.success());
    lab.send_udp("192.2.0.1", 3);
    let origin = |to: &str| {
        let shown = json(&lab, &["flows", "--destination", to]);
        shown["flows"][0]["holder"]["origin_as"][0]["value"].clone()
    };
    assert_eq!(origin("192.2.0.1"), "AS64500");

    // The server answers with a page, then with a table that is much smaller. The daemon goes on
    // with the old table.
    server.gives("<html>");
    let feed = json(&lab, &["feed", "fetch"])[0].clone();
    assert_eq!(feed["state"], "refused", "{feed}");
    assert!(feed["candidate"].is_null(), "{feed}");
    assert_eq!(feed["policies"], Value::Array(Vec::new()));
    server.gives(table(40, 64501));
    let feed = json(&lab, &["feed", "fetch"])[0].clone();
    assert_eq!(feed["state"], "refused", "{feed}");
    assert!(
        feed["reason"]
            .as_str()
            .unwrap()
            .contains("from 100 to 40 rows"),
        "{feed}"
    );
    assert_eq!(origin("192.2.0.1"), "AS64500");

    // Without the config file, the client knows only the feeds of policies.
    let label = feed["feed"].as_str().unwrap().to_owned();
    let state = lab.directory.path().join("state");
    let place = ["--config", config, "--state-dir", state.to_str().unwrap()];
    let diff = lab.monitor(&[&["feed", "diff", &label], &place[..]].concat());
    assert!(
        text(&diff.stdout).contains("it is data about ranges"),
        "{}",
        text(&diff.stderr)
    );
    let accept = lab.monitor(&[&["feed", "accept", &label, "--yes"], &place[..]].concat());
    assert!(accept.status.success(), "{}", text(&accept.stderr));
    poll("the accepted content is read", || {
        source()["ipv4_rows"] == 40
    });
    assert_eq!(origin("192.2.0.1"), "AS64501");

    // A reload keeps the stored content, and the next daemon reads it without the server.
    assert!(lab.monitor(&["reload"]).status.success());
    assert_eq!(source()["ipv4_rows"], 40);
    assert_eq!(origin("192.2.0.1"), "AS64501");
    daemon.kill();
    server.behaves(|_, _| Ok(()));
    let _daemon = lab.start(&["--config", config]);
    poll("the next daemon reads the stored content", || {
        source()["ipv4_rows"] == 40
    });
    assert_eq!(origin("192.2.0.1"), "AS64501");
    for printed in [
        text(&lab.monitor(&["data"]).stdout),
        text(&lab.monitor(&["feed", "list"]).stdout),
        text(&lab.monitor(&["flows"]).stdout),
        lab.metrics(),
    ] {
        assert!(!printed.contains("secret"), "{printed}");
    }
}

#[test]
fn the_stored_feed_is_read_without_its_server() {
    let lab = Lab::new("data-feed-again");
    let server = Server::on(lab.listen_tcp("127.0.0.1"), None);
    server.gives(table(10, 64500));
    let config = lab.directory.path().join("config.yaml");
    fs::write(
        &config,
        format!("data: {{feeds: ['{}']}}\n", server.url("/asn")),
    )
    .unwrap();
    let config = config.to_str().unwrap().to_owned();
    let daemon = lab.start(&["--config", &config]);
    let rows = || json(&lab, &["data"])["sources"][0]["ipv4_rows"].clone();
    poll("the feed is read", || rows() == 10);
    daemon.kill();
    server.behaves(|_, _| Ok(()));
    let _daemon = lab.start(&["--config", &config]);
    assert_eq!(rows(), 10);
}
