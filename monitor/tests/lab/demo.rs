//! `monitor demo`, as the people run it who installed the package: from its begin to its end.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use support::lab::{binary, text};

/// The demonstration's name in paths, namespaces and command lines.
const NAME: &str = "monitor-demo";

/// Names of network namespaces of the demonstration.
fn namespaces() -> Vec<String> {
    let named = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let named = named.map(|entry| entry.file_name().to_string_lossy().into_owned());
    named.filter(|name| name.starts_with(NAME)).collect()
}

/// Command lines of processes that use a file of the demonstration.
fn processes() -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    let file = format!("/run/{NAME}/");
    lines.filter(|line| line.contains(&file)).collect()
}

#[test]
fn the_demonstration_tells_its_story_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let shown = Command::new(binary())
        .args(["demo", "--report-dir"])
        .arg(directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, errors) = (text(&shown.stdout), text(&shown.stderr));
    assert!(
        shown.status.success() && errors.is_empty(),
        "{errors}\n{said}"
    );
    for part in [
        "innocent           192.0.2.10         10 of 10       answered",
        "innocent           2001:db8:1::10     10 of 10       answered",
        "suspect, dropped   198.51.100.10      0 of 10        no answer",
        "suspect, dropped   2001:db8:bad::10   0 of 10        no answer",
        // At least 22: the kernel sends the first segment of TCP again after a second.
        " demo-suspect         drop    1/4             0       2",
        "TLS to backup.cloud.example  42.62.48.11  tcp/443  answered",
        "QUIC to stats.cloud.example  42.62.48.12  udp/443  answered",
        "mark (reflashed): \"reflashed, new MAC\"",
        "no name is known for 1 address",
        "\nAll as expected.\n",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    // Only the two suspects of the first round get no answer.
    assert_eq!(said.matches("no answer").count(), 2, "{said}");
    let report = directory.path().join("demo-report.html");
    let report = fs::read_to_string(report).unwrap();
    for name in ["push.cloud.example", "cloud backup off", "no name known"] {
        assert!(report.contains(name), "{name}");
    }

    assert_eq!(namespaces(), [""; 0]);
    assert_eq!(processes(), [""; 0]);
    for path in [format!("/run/{NAME}"), format!("/sys/fs/bpf/{NAME}")] {
        assert!(!Path::new(&path).exists(), "{path}");
    }
}
