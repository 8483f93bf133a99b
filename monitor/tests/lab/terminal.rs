//! Text of other people in a terminal or a log: no control character of it has
//! an effect.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::command;
use crate::support;

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::{Command, Output},
};

use command::{directory, json_of, text};
use monitor::printable::acts;
use nix::sys::signal::Signal;
use support::lab::{Lab, binary, poll};

/// C0 without zero, DEL and C1, then marks, separators and bidirectional controls.
fn acting() -> String {
    ('\u{1}'..='\u{1f}')
        .chain('\u{7f}'..='\u{9f}')
        .chain(['\u{61c}', '\u{200e}', '\u{200f}'])
        .chain('\u{2028}'..='\u{202e}')
        .chain('\u{2066}'..='\u{2069}')
        .collect()
}

/// The value as a double-quoted YAML string.
fn in_yaml(value: &str) -> String {
    let escape = |c: char| format!("\\u{:04x}", u32::from(c));
    value
        .chars()
        .map(|c| if acts(c) { escape(c) } else { c.to_string() })
        .collect()
}

/// A value that would forge an output line if its line breaks were printed.
fn forging() -> String {
    format!("{}x\nforged: y\r\nforged: z", acting())
}

/// Panics if `shown` contains an active control character or a forged line.
fn assert_harmless(what: &str, shown: &str) {
    let found: String = shown
        .chars()
        .filter(|c| acts(*c) && *c != '\n' && *c != '\t')
        .collect();
    assert!(found.is_empty(), "{what} prints {found:?}:\n{shown:?}");
    let forged = shown.lines().any(|line| line.starts_with("forged"));
    assert!(!forged, "{what}:\n{shown}");
}

fn assert_output(what: &str, output: &Output) {
    assert_harmless(what, text(&output.stdout));
    assert_harmless(what, text(&output.stderr));
}

fn run(folder: &Path, arguments: &[&OsStr]) -> Output {
    let output = Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert_output(&format!("{arguments:?}"), &output);
    output
}

fn words<'a>(words: &[&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(|word| OsStr::new(*word)).collect()
}

#[test]
fn every_verb_without_a_daemon() {
    let value = in_yaml(&forging());
    let policies = format!(
        "version: 1\npolicies:\n\
         - name: a\n  action: count\n  description: \"{value}\"\n  references: [\"{value}\"]\n  \
         destinations: [{{cidr: 203.0.113.0/24, comment: \"{value}\"}}, {{list: l.txt, on_bad_line: skip}}]\n"
    );
    let overlay =
        format!("version: 1\noverrides: [{{policy: a, action: drop, reason: \"{value}\"}}]\n");
    let wrong = format!(
        "version: 1\npolicies:\n- name: \"{value}\"\n  \"{value}\": 1\n  action: \"{value}\"\n  \
         destinations: [\"{value}\", {{list: \"{value}\"}}]\n  services: [\"{value}\"]\n  \
         devices: [\"{value}\"]\n  schedule: {{days: [\"{value}\"], timezone: \"{value}\"}}\n"
    );
    let name = format!("{}.yaml", acting());
    let list = format!("{}\n192.0.2.0/24\n{{\"cidr\":\"{value}\"}}\n", forging());
    let files = directory(&[
        ("good/p.yaml", &policies),
        ("good/x.local.yaml", &overlay),
        ("good/l.txt", &list),
        (&format!("bad/{name}"), &wrong),
        (&format!("config/{name}"), &format!("listen: \"{value}\"\n")),
    ]);
    let at = |folder: &str| files.path().join(folder).join(&name);
    let check = run(files.path(), &words(&["check", "good"]));
    assert!(check.status.success(), "{}", text(&check.stderr));
    assert!(
        text(&check.stdout).contains("\\u{1b}"),
        "{}",
        text(&check.stdout)
    );
    let explain = words(&["explain", "203.0.113.1", "--policies", "good"]);
    assert!(run(files.path(), &explain).status.success());
    let json = [explain, words(&["--json"])].concat();
    let answer = json_of(&run(files.path(), &json)).to_string();
    assert!(
        answer.contains("forged"),
        "JSON has the value itself: {answer}"
    );

    let bad = run(files.path(), &[OsStr::new("check"), at("bad").as_os_str()]);
    assert_eq!(bad.status.code(), Some(3));
    let json = run(
        files.path(),
        &[
            OsStr::new("check"),
            OsStr::new("--json"),
            at("bad").as_os_str(),
        ],
    );
    let errors = json_of(&json)["errors"].as_array().unwrap().len();
    assert!(errors > 5, "{errors}");
    for arguments in [
        vec![
            OsStr::new("check"),
            OsStr::new("--config"),
            at("config").as_os_str(),
        ],
        vec![OsStr::new("check"), at("nowhere").as_os_str()],
        vec![
            OsStr::new("replay"),
            at("bad").as_os_str(),
            OsStr::new("--policies"),
            OsStr::new("good"),
        ],
        vec![
            OsStr::new("status"),
            OsStr::new("--socket"),
            at("s").as_os_str(),
            OsStr::new("--pin-dir"),
            at("p").as_os_str(),
        ],
        vec![
            OsStr::new("reload"),
            OsStr::new("--socket"),
            at("s").as_os_str(),
        ],
        vec![
            OsStr::new("feed"),
            OsStr::new("list"),
            OsStr::new("--policies"),
            at("bad").as_os_str(),
        ],
        vec![OsStr::new(&name), OsStr::new("x")],
        vec![OsStr::new("check"), OsStr::new(&format!("--{name}"))],
    ] {
        let output = run(files.path(), &arguments);
        assert!(
            !output.status.success() || arguments[0] == "feed",
            "{arguments:?}"
        );
    }
}

/// On a terminal, colours are the only control sequences in diagnostics.
#[test]
fn diagnostics_in_colours() {
    let value = in_yaml(&forging());
    let wrong = format!("version: 1\npolicies:\n- name: \"{value}\"\n  \"{value}\": 1\n");
    let files = directory(&[("p.yaml", &wrong)]);
    let shell = format!("{} check p.yaml", binary().display());
    let output = Command::new("script")
        .args(["-qec", &shell, "/dev/null"])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .current_dir(files.path())
        .output()
        .unwrap();
    let shown = text(&output.stdout).replace("\r\n", "\n");
    assert!(shown.contains("\u{1b}["), "it has colours: {shown:?}");
    let mut parts = shown.split("\u{1b}[");
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        assert!(rest.starts_with('m'), "not a colour: {part:?}");
        plain.push_str(&rest[1..]);
    }
    assert_harmless("check on a terminal", &plain);
    assert!(plain.contains("\\u{1b}"), "{plain}");
}

#[test]
fn a_daemon_its_log_its_page_and_what_verbs_print_of_it() {
    const INTERFACE: &str = "w\u{1b}[2J\u{9b}\u{202e}";
    let lab = Lab::new("terminal");
    lab.add_interface(&format!("'{INTERFACE}'"));
    let value = in_yaml(&forging());
    let good = format!(
        "version: 1\npolicies:\n- {{name: a, action: drop, description: \"{value}\", destinations: [203.0.113.0/24]}}\n"
    );
    lab.write_policies(&good);
    let name = lab.policies().join(format!("{}.local.yaml", acting()));
    let overlay =
        format!("version: 1\noverrides: [{{policy: a, action: count, reason: \"{value}\"}}]\n");
    fs::write(&name, &overlay).unwrap();
    let mut daemon = lab.start(&["--mode", "generic", "--interface", INTERFACE]);
    let verb = |arguments: &[&str]| {
        let output = lab.monitor(arguments);
        assert_output(&format!("{arguments:?}"), &output);
        output
    };
    assert!(verb(&["status"]).status.success());
    assert!(text(&verb(&["status"]).stdout).contains("w\\u{1b}[2J\\u{9b}\\u{202e}"));
    assert!(verb(&["status", "--json"]).status.success());
    assert!(
        verb(&["block", "203.0.113.9", "--reason", "\u{202e}why"])
            .status
            .success()
    );
    assert!(verb(&["pause", "a", "--for", "10m"]).status.success());
    assert!(verb(&["status"]).status.success());
    assert!(verb(&["reload"]).status.success());

    fs::write(
        &name,
        format!("version: 1\noverrides: [{{policy: \"{value}\", {value}: 1}}]\n"),
    )
    .unwrap();
    assert_eq!(verb(&["reload"]).status.code(), Some(1));
    let status = verb(&["status"]);
    assert!(text(&status.stdout).contains("NOT LOADED"));
    let body = |page: &str| {
        page.split_once("\r\n\r\n")
            .map_or(page.to_owned(), |(_, body)| body.to_owned())
    };
    for path in ["/", "/policies", "/feeds", "/coverage", "/contacts"] {
        assert_harmless(path, &body(&lab.page_at(path)));
    }
    assert_harmless("/healthz", &body(&lab.health()));
    assert!(verb(&["feed", "list"]).status.success());

    daemon.signal(Signal::SIGTERM);
    poll("the daemon ends", || !daemon.is_running());
    let log = daemon.log();
    assert!(log.contains("\\u{1b}"), "{log}");
    assert_harmless("the log", &log);
    let is_record = |line: &str| line.starts_with("20") || line.starts_with("    ");
    let strange: Vec<&str> = log.lines().filter(|line| !is_record(line)).collect();
    assert!(strange.is_empty(), "lines that are no records: {strange:?}");
    assert!(verb(&["status"]).status.success());
    assert!(verb(&["detach"]).status.success());
}
