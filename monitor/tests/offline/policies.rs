//! The real binary on policy files: output and exit codes of `check` and
//! `explain`.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use crate::command;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use command::{corpus, directory, json_of, monitor, policy, shipped, text};
use serde_json::{Value, json};

/// Each `bad/NAME.yaml`, and each folder `bad/NAME` of such files, gives exactly
/// `bad/NAME.expected` on standard error.
/// `UPDATE_EXPECTED=1` writes them anew, to be read as a reviewer would.
#[test]
fn every_bad_file_is_refused_with_the_expected_text() {
    let mut yaml: Vec<PathBuf> = fs::read_dir(corpus().join("bad"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_case(path))
        .collect();
    yaml.sort();
    assert!(yaml.len() >= 20, "the corpus is there");
    for path in yaml {
        let name = format!("bad/{}", path.file_name().unwrap().to_str().unwrap());
        let output = monitor(&corpus(), &["check", &name]);
        let found = text(&output.stderr);
        let expected = path.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, found).unwrap();
        }
        assert_eq!(found, fs::read_to_string(&expected).unwrap(), "{name}");
        let errors = found.lines().any(|line| line.starts_with("error: "));
        assert_eq!(
            output.status.code(),
            Some(if errors { 3 } else { 0 }),
            "{name}"
        );
        assert!(found.contains("help: "), "{name} says how to fix it");
    }
}

fn is_case(path: &Path) -> bool {
    let yaml = |path: &Path| path.extension() == Some(OsStr::new("yaml"));
    let mut inside = fs::read_dir(path).into_iter().flatten();
    yaml(path) || inside.any(|entry| yaml(&entry.unwrap().path()))
}

#[test]
fn what_ships_is_fine_and_only_counts() {
    let output = monitor(&shipped(), &["check", ".", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = json_of(&output);
    assert_eq!(report["errors"], json!([]));
    assert_eq!(report["warnings"], json!([]));
    assert_eq!(report["policies"], 2);
    assert_eq!(report["files"], 3);
    let human = monitor(&shipped(), &["check", "."]);
    assert!(text(&human.stdout).contains("policies  2 (2 count)"));
    assert!(text(&human.stdout).contains("0 errors, 0 warnings"));
}

#[test]
fn the_examples_say_what_their_comments_say() {
    let directory = shipped().join("examples");
    let output = monitor(&directory, &["check", ".", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = json_of(&output);
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0]["message"]
            .as_str()
            .unwrap()
            .contains("randomised")
    );
    let decision = |arguments: &[&str]| {
        let start = ["explain", "--policies", ".", "--json"];
        let output = monitor(&directory, &[&start[..], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        json_of(&output)["decision"].as_str().unwrap().to_owned()
    };
    let tablet = ["198.51.100.80", "--device", "02:00:00:00:00:01"];
    let day = ["--at", "2026-11-23T12:00[Europe/Madrid]"];
    let with = |more: &[&str]| decision(&[&tablet[..], &day, more].concat());
    assert_eq!(with(&["--service", "tcp/443"]), "allow");
    assert_eq!(with(&["--service", "tcp/80"]), "drop");
    assert_eq!(with(&[]), "depends");
    let named = ["198.51.100.7", "--device", "tablet"];
    assert_eq!(decision(&[&named[..], &day].concat()), "drop");
    let unknown = [
        "explain",
        "198.51.100.7",
        "--policies",
        ".",
        "--device",
        "nobody",
    ];
    let output = monitor(&directory, &unknown);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--device nobody: write a MAC"));
    let other = |at: &str| {
        let device = ["--device", "02:00:00:00:00:09", "--service", "tcp/80"];
        decision(&[&["198.51.100.7", "--at", at][..], &device].concat())
    };
    assert_eq!(other("2026-11-23T12:00[Europe/Madrid]"), "count");
    assert_eq!(other("2026-11-23T23:00[Europe/Madrid]"), "drop");
    assert_eq!(
        other("2026-11-28T05:59[Europe/Madrid]"),
        "count",
        "Saturday"
    );
    let phone = ["42.62.48.9", "--device", "64:cc:2e:11:22:33"];
    assert_eq!(decision(&phone), "count");
    assert_eq!(
        decision(&["42.62.48.9", "--device", "02:00:00:00:00:01"]),
        "none"
    );
    assert_eq!(decision(&["42.62.48.9"]), "depends");
}

#[test]
fn explain_names_the_range_of_2014() {
    let output = monitor(
        &shipped(),
        &["explain", "42.62.48.181", "--policies", ".", "--json"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let expected = json!({
        "address": "42.62.48.181",
        "direction": "out",
        "decision": "count",
        "effective": "range-42.62.48.0-24",
        "matches": [{
            "policy": "range-42.62.48.0-24",
            "action": "count",
            "prefix": "42.62.48.0/24",
            "source": json_of(&output)["matches"][0]["source"],
            "effective": true,
            "if": null,
        }],
        "holder": {
            "registry": null, "holder": null, "origin_as": null, "country": null,
            "list_author": [{
                "value": "a Beijing hosting company (\"Forest Eternal\")",
                "policy": "range-42.62.48.0-24",
                "stated_as_of": "2014-07-30",
                "stated_source": "tuexperto, 30 July 2014",
                "source": json_of(&output)["holder"]["list_author"][0]["source"],
            }],
        },
    });
    assert_eq!(json_of(&output), expected);
    let source = json_of(&output)["matches"][0]["source"]
        .as_str()
        .unwrap()
        .to_owned();
    let (file, line) = source.rsplit_once(':').unwrap();
    let yaml = fs::read_to_string(shipped().join(file)).unwrap();
    let line = yaml
        .lines()
        .nth(line.parse::<usize>().unwrap() - 1)
        .unwrap();
    assert_eq!(line.trim(), "- 42.62.48.0/24");
}

/// If no policy matches, `explain` must still print the warnings.
#[test]
fn explain_warns_of_a_list_that_is_not_fetched() {
    let list = "{list: 'https://lists.example/drop.txt'}";
    let files = directory(&[("a.yaml", &policy("fetched", "drop", list))]);
    let output = monitor(files.path(), &["explain", "9.9.9.9", "--policies", "."]);
    assert_eq!(output.status.code(), Some(0));
    let warnings = text(&output.stderr);
    assert!(
        warnings.starts_with("warning: this list is not fetched yet"),
        "{warnings}"
    );
    assert!(text(&output.stdout).starts_with("9.9.9.9: none"));
}

#[test]
fn explain_gives_precedence_and_the_answer_without_the_winner() {
    let files = directory(&[
        ("a.yaml", &policy("wide-drop", "drop", "198.51.0.0/16")),
        ("b.yaml", &policy("long-drop", "drop", "198.51.100.0/24")),
        (
            "c.yml",
            &policy(
                "exempt",
                "allow",
                "{cidr: 198.51.0.0/16, except: [198.51.7.0/24]}",
            ),
        ),
        ("d.yaml", &policy("counted", "count", "{list: lists/l.txt}")),
        (
            "lists/l.txt",
            "# head\n198.51.100.0/23 ; x\n198.51.100.64/26\n",
        ),
        ("not-read.txt", "nonsense"),
    ]);
    let run = |address| {
        monitor(
            files.path(),
            &["--policies", ".", "--json", "explain", address],
        )
    };
    let order = |output: &Output| -> Vec<String> {
        let report = json_of(output);
        let matches = report["matches"].as_array().unwrap().iter();
        matches
            .map(|found| found["policy"].as_str().unwrap().to_owned())
            .collect()
    };
    let inside = run("198.51.100.65");
    assert_eq!(
        order(&inside),
        ["exempt", "long-drop", "wide-drop", "counted"]
    );
    assert_eq!(json_of(&inside)["decision"], "allow");
    assert_eq!(json_of(&inside)["matches"][3]["prefix"], "198.51.100.64/26");
    assert_eq!(json_of(&inside)["matches"][3]["source"], "./lists/l.txt:3");
    assert_eq!(order(&run("198.51.7.7")), ["wide-drop"]);
    assert_eq!(json_of(&run("198.51.7.7"))["decision"], "drop");
    assert_eq!(json_of(&run("192.0.2.1"))["decision"], "none");
    assert_eq!(json_of(&run("2001:db8::1"))["effective"], Value::Null);

    let human = monitor(
        files.path(),
        &["explain", "198.51.100.65", "--policies", "."],
    );
    let human = text(&human.stdout);
    assert!(human.starts_with("198.51.100.65: allow"), "{human}");
    assert!(human.contains("\nwithout exempt: drop"), "{human}");
    assert!(human.contains("\nholder: unknown\n"), "{human}");
}

#[test]
fn json_is_alone_on_standard_output() {
    let output = monitor(&corpus(), &["check", "bad/actions.yaml", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let report = json_of(&output);
    let first = &report["errors"][0];
    assert_eq!(
        *first,
        json!({
            "file": "bad/actions.yaml", "line": 3, "column": 23,
            "message": "there is no action `block`", "help": "did you mean `drop`?",
        })
    );
    assert_eq!(report["policies"], 0);
    assert!(text(&output.stderr).contains("bad/actions.yaml:3:23"));
}

#[test]
fn exit_codes() {
    let files = directory(&[
        ("good.yaml", &policy("a", "count", "192.0.2.0/24")),
        ("bad.yaml", "version: 1\n"),
    ]);
    let code = |arguments: &[&str]| monitor(files.path(), arguments).status.code();
    assert_eq!(code(&["check", "good.yaml"]), Some(0));
    assert_eq!(code(&["check", "bad.yaml"]), Some(3));
    assert_eq!(code(&["check", "good.yaml", "no-such-file.yaml"]), Some(3));
    assert_eq!(
        code(&["check"]),
        code(&["check", "/etc/monitor/policies.d"])
    );
    assert_eq!(
        code(&["explain", "192.0.2.1", "--policies", "good.yaml"]),
        Some(0)
    );
    assert_eq!(
        code(&["explain", "192.0.2.1", "--policies", "bad.yaml"]),
        Some(1)
    );
    assert_eq!(
        code(&["explain", "nonsense", "--policies", "good.yaml"]),
        Some(2)
    );
    assert_eq!(
        code(&["explain", "::ffff:192.0.2.1", "--policies", "good.yaml"]),
        Some(0),
        "IPv6 packets may carry it"
    );
    assert_eq!(code(&["chekc"]), Some(2));
    assert_eq!(code(&[]), Some(2));
}

#[test]
fn a_directory_without_policies_is_an_error() {
    let files = directory(&[("lists/l.txt", "192.0.2.0/24\n"), (".hidden.yaml", "x")]);
    let output = monitor(files.path(), &["check", "."]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("holds no policy file"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_file_that_is_not_utf_8_is_refused() {
    let files = directory(&[("list.yaml", &policy("a", "count", "{list: l.txt}"))]);
    fs::write(files.path().join("latin.yaml"), b"version: 1 # \xe9\n").unwrap();
    fs::write(files.path().join("l.txt"), b"192.0.2.0/24\n\xff\0\n").unwrap();
    let output = monitor(files.path(), &["check", "."]);
    assert_eq!(output.status.code(), Some(3));
    let messages = text(&output.stderr);
    for message in [
        "the policy file is not UTF-8 text (byte 13)",
        "the list ./l.txt is not UTF-8 text (byte 13)",
    ] {
        assert!(messages.contains(message), "{messages}");
    }
}

#[test]
fn equal_names_in_two_files_show_both_places() {
    let files = directory(&[
        ("a.yaml", &policy("x", "count", "192.0.2.0/24")),
        ("b.yaml", &policy("x", "drop", "192.0.2.0/24")),
    ]);
    let output = monitor(files.path(), &["check", "a.yaml", "b.yaml", "a.yaml"]);
    assert_eq!(output.status.code(), Some(3));
    let messages = text(&output.stderr);
    assert!(messages.contains("a second policy named `x`"), "{messages}");
    assert!(
        messages.contains("a.yaml:3:12") && messages.contains("b.yaml:3:12"),
        "{messages}"
    );
    assert!(
        messages.contains("1 error, "),
        "a file given twice is one file: {messages}"
    );
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark() {
    let crlf = format!(
        "\u{feff}{}",
        policy("a", "blok", "192.0.2.0/24").replace('\n', "\r\n")
    );
    let files = directory(&[("a.yaml", &crlf)]);
    let output = monitor(files.path(), &["check", "a.yaml"]);
    assert!(
        text(&output.stderr).contains("a.yaml:3:23"),
        "{}",
        text(&output.stderr)
    );
}
