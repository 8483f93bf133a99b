//! Anchors, aliases and merges of YAML, with the real binary.

use crate::command;

use command::{directory, json_of, monitor};
use serde_json::json;

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
