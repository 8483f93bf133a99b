//! `monitor backup` beside a running daemon, and `monitor restore`.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use crate::support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use nix::sys::signal::Signal;
use serde_json::Value;
use support::lab::{BLOCKED, Lab, binary, poll, text};

/// A policy that names a list outside of the directory of the policies.
const WITH_LIST: &str = "version: 1
policies:
  - name: blocked
    action: drop
    destinations: [{list: ../lists/blocked.txt}]
";

fn config(lab: &Lab) -> PathBuf {
    lab.directory.path().join("monitor.yaml")
}

/// Runs a verb with the config file of the lab.
fn monitor(lab: &Lab, words: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(words).arg("--config").arg(config(lab));
    command.output().unwrap()
}

fn fails(output: &Output, because: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(because), "{said}");
}

/// The texts of the stored marks.
fn marks(lab: &Lab) -> Vec<String> {
    let output = monitor(lab, &["report", "--since", "1h", "--format", "json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let marks = report["marks"].as_array().unwrap().iter();
    marks
        .map(|mark| mark["text"].as_str().unwrap().to_owned())
        .collect()
}

/// Every file below a directory with its content.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let content = fs::read(&path).unwrap();
            found.push((path, content));
        }
    }
    found.sort();
    found
}

#[test]
fn a_gateway_comes_back_from_its_backup() {
    let lab = Lab::new("backup");
    let folder = lab.directory.path();
    let (state, lists) = (folder.join("state"), folder.join("lists"));
    fs::create_dir(&lists).unwrap();
    fs::write(lists.join("blocked.txt"), "198.51.100.0/24\n").unwrap();
    lab.write_policies(WITH_LIST);
    let settings = format!(
        "policies: policies\nstate_dir: state\nsocket: monitor.sock\npin_dir: {}\n",
        lab.pin_dir.display()
    );
    fs::write(config(&lab), settings).unwrap();
    let mut daemon = lab.start(&[]);
    lab.send_udp(BLOCKED[0], 3);
    assert!(
        monitor(&lab, &["mark", "before the backup"])
            .status
            .success()
    );

    let backup = folder.join("gateway.tar.gz");
    let name = backup.to_str().unwrap();
    let saved = monitor(&lab, &["backup", name]);
    assert!(saved.status.success(), "{}", text(&saved.stderr));
    let mode = fs::metadata(&backup).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner can read a backup");
    fails(&monitor(&lab, &["backup", name]), "exists already");
    assert!(
        monitor(&lab, &["mark", "after the backup"])
            .status
            .success()
    );
    fails(
        &monitor(&lab, &["restore", name, "--yes"]),
        "the daemon runs",
    );
    daemon.signal(Signal::SIGTERM);
    poll("the daemon ends", || !daemon.is_running());

    // What was saved gets lost or changes.
    fs::remove_dir_all(&lists).unwrap();
    lab.write_policies("version: 1\npolicies: []\n");
    let before = contents(folder);
    // Without a terminal, nobody can agree.
    fails(&monitor(&lab, &["restore", name]), "nothing is restored");
    for changed in changed_copies(&backup) {
        let other = folder.join("changed.tar.gz");
        fs::write(&other, changed).unwrap();
        let refused = monitor(&lab, &["restore", other.to_str().unwrap(), "--yes"]);
        fails(&refused, "not a whole backup");
        fs::remove_file(other).unwrap();
    }
    assert_eq!(contents(folder), before, "nothing changed");

    let restored = monitor(&lab, &["restore", name, "--yes"]);
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    let said = text(&restored.stdout);
    assert!(said.contains("new      "), "{said}");
    assert_eq!(
        fs::read_to_string(lab.policies().join("policies.yaml")).unwrap(),
        WITH_LIST
    );
    assert_eq!(
        fs::read_to_string(lists.join("blocked.txt")).unwrap(),
        "198.51.100.0/24\n"
    );
    // What was there is there under another name.
    let aside = |place: &Path| {
        let mut names = fs::read_dir(place)
            .unwrap()
            .map(|one| one.unwrap().file_name());
        names.any(|name| name.to_string_lossy().contains(".before-restore-"))
    };
    assert!(aside(folder) && aside(&lab.policies()), "{said}");
    assert!(
        said.contains(&format!("{} is now ", state.display())),
        "{said}"
    );

    let _daemon = lab.start(&[]);
    assert_eq!(marks(&lab), ["before the backup"]);
    lab.send_udp(BLOCKED[0], 1);
    poll("the restored list drops", || {
        lab.policy("blocked") >= (0, 1)
    });
}

/// The backup with one changed byte, without its end, and as another kind of file.
fn changed_copies(backup: &Path) -> [Vec<u8>; 3] {
    let whole = fs::read(backup).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    let cut = whole[..whole.len() * 3 / 4].to_vec();
    [changed, cut, b"version: 1\n".to_vec()]
}
