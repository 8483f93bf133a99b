//! The real binary on policies that an overlay changes.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::{fs, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

const POLICIES: &str = "version: 1
policies:
  - name: reported
    action: count
    destinations:
      - 192.0.2.0/24
      - {cidr: 198.51.100.0/24, except: [198.51.100.0/28]}
      - {list: more.txt}
  - {name: other, action: drop, destinations: [203.0.113.0/24]}
";

/// A folder with [`POLICIES`], a list, and these overlays.
fn folder(overlays: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("policies.yaml", POLICIES);
    write("more.txt", "2001:db8::/32\n192.0.2.0/26\n");
    for (name, overrides) in overlays {
        write(name, &format!("version: 1\noverrides:\n{overrides}"));
    }
    folder
}

fn run(folder: &TempDir, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn explain(folder: &TempDir, address: &str) -> Value {
    let text = run(folder, &["explain", address, "--json", "--policies", "."]);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn an_action_is_changed_and_both_commands_say_by_what() {
    let overlay = "  - {policy: reported, action: drop, reason: seen at home}\n";
    let folder = folder(&[("mine.local.yaml", overlay)]);
    let answer = explain(&folder, "192.0.2.7");
    assert_eq!(answer["decision"], "drop");
    let changed = json!({
        "source": "./mine.local.yaml:3",
        "changes": "action drop, was count",
        "reason": "seen at home",
    });
    assert_eq!(answer["matches"][0]["changed"], changed);
    assert_eq!(answer["matches"][0]["source"], "./more.txt:2");
    let human = run(&folder, &["explain", "192.0.2.7", "--policies", "."]);
    let line = "overlay: action drop, was count (./mine.local.yaml:3): seen at home\n";
    assert!(human.contains(line), "{human}");

    let report: Value = serde_json::from_str(&run(&folder, &["check", ".", "--json"])).unwrap();
    assert_eq!(report["files"], 3);
    assert_eq!(report["overrides"][0]["policy"], "reported");
    assert_eq!(report["overrides"][0]["source"], changed["source"]);
    let human = run(&folder, &["check", "."]);
    assert!(human.contains("policies  2 (2 drop)\n"), "{human}");
    let line = "override  reported: action drop, was count (./mine.local.yaml:3): seen at home\n";
    assert!(human.contains(line), "{human}");
}

#[test]
fn accepted_risks_are_told_with_their_reason() {
    let overlay = "  - {policy: reported, action: drop, accept_risk: [lan], reason: a test}\n";
    let folder = folder(&[("mine.local.yaml", overlay)]);
    let report: Value = serde_json::from_str(&run(&folder, &["check", ".", "--json"])).unwrap();
    let expected = json!([{"policy": "reported", "risks": ["lan"], "reason": "a test"}]);
    assert_eq!(report["accepted_risks"], expected);
    let changes = "action drop, was count, accepts the risk lan";
    assert_eq!(report["overrides"][0]["changes"], changes);
    let human = run(&folder, &["check", "."]);
    assert!(
        human.contains("accepts   reported: lan: a test\n"),
        "{human}"
    );
}

#[test]
fn a_disabled_policy_does_not_match_and_is_named() {
    let folder = folder(&[("mine.local.yml", "  - {policy: other, enabled: false}\n")]);
    let answer = explain(&folder, "203.0.113.9");
    assert_eq!(answer["decision"], "none");
    let left_out = json!([{
        "policy": "other",
        "prefix": "203.0.113.0/24",
        "source": "./policies.yaml:9",
        "changed": {"source": "./mine.local.yml:3", "changes": "disabled", "reason": null},
    }]);
    assert_eq!(answer["left_out"], left_out);
    let untouched = explain(&folder, "192.0.2.7");
    assert_eq!(untouched["left_out"], Value::Null);
    assert_eq!(untouched["matches"][0].get("changed"), None);
}

#[test]
fn an_exception_holds_in_every_destination_of_the_policy() {
    let overlay = "  - policy: reported\n    except: [192.0.2.0/27, 198.51.100.0/26, 2001:db8::1-2001:db8::2]\n";
    let folder = folder(&[("mine.local.yaml", overlay)]);
    for (address, decision, source) in [
        ("192.0.2.31", "none", Some("./policies.yaml:6")),
        ("192.0.2.32", "count", None),
        ("198.51.100.15", "none", None),
        ("198.51.100.16", "none", Some("./policies.yaml:7")),
        ("198.51.100.64", "count", None),
        ("2001:db8::1", "none", Some("./more.txt:1")),
        ("2001:db8::3", "count", None),
        ("203.0.113.9", "drop", None),
    ] {
        let answer = explain(&folder, address);
        assert_eq!(answer["decision"], decision, "{address}");
        assert_eq!(
            answer["left_out"][0]["source"].as_str(),
            source,
            "{address}"
        );
    }
    let human = run(&folder, &["explain", "192.0.2.31", "--policies", "."]);
    assert!(human.contains("left out reported"), "{human}");
    assert!(
        human.contains("overlay: 3 exceptions (./mine.local.yaml:3)"),
        "{human}"
    );
}

#[test]
fn a_policy_is_enabled_and_a_file_alone_has_no_overlay() {
    let overlay = "  - {policy: off, enabled: true, action: allow}\n";
    let folder = folder(&[("z.local.yaml", overlay)]);
    let policy = "version: 1\npolicies:\n  - {name: off, enabled: false, action: count, destinations: [192.0.2.0/24]}\n";
    fs::write(folder.path().join("off.yaml"), policy).unwrap();
    assert_eq!(explain(&folder, "192.0.2.7")["decision"], "allow");
    let alone = [
        "explain",
        "192.0.2.7",
        "--json",
        "--policies",
        "policies.yaml",
    ];
    let answer: Value = serde_json::from_str(&run(&folder, &alone)).unwrap();
    assert_eq!(answer["decision"], "count");
    let both = [
        &alone[..],
        &["--policies", "off.yaml", "--policies", "z.local.yaml"],
    ]
    .concat();
    let answer: Value = serde_json::from_str(&run(&folder, &both)).unwrap();
    assert_eq!(answer["decision"], "allow");
}
