//! The verbs that need a filter, without a daemon or a filter.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{
    path::Path,
    process::{Command, Output},
};

#[test]
fn status_and_detach_say_that_no_filter_is_in_force() {
    let directory = tempfile::tempdir().unwrap();
    for verb in ["status", "detach"] {
        for arguments in [&[verb][..], &[verb, "--json"]] {
            let error = failed(monitor(directory.path(), arguments));
            assert!(error.contains("no filter is in force"), "{verb}: {error}");
            let pins = directory.path().join("pins");
            assert!(error.contains(pins.to_str().unwrap()), "{verb}: {error}");
        }
    }
}

#[test]
fn reload_says_that_no_daemon_answers_and_how_to_start_one() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["reload"][..], &["reload", "--json"]] {
        let error = failed(monitor(directory.path(), arguments));
        assert!(error.contains("no daemon answers"), "{error}");
        assert!(error.contains("monitor run"), "{error}");
        let socket = directory.path().join("socket");
        assert!(error.contains(socket.to_str().unwrap()), "{error}");
    }
}

/// A daemon that was killed leaves its socket's file.
#[test]
fn a_socket_that_nobody_listens_on_is_no_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    drop(std::os::unix::net::UnixListener::bind(socket).unwrap());
    let reload = failed(monitor(directory.path(), &["reload"]));
    assert!(reload.contains("no daemon answers"), "{reload}");
    let status = failed(monitor(directory.path(), &["status"]));
    assert!(status.contains("no filter is in force"), "{status}");
}

#[test]
fn the_verbs_leave_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    for verb in ["status", "reload", "detach"] {
        failed(monitor(directory.path(), &[verb]));
        let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
        assert!(left.is_empty(), "{verb} left {left:?}");
    }
}

fn monitor(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(arguments)
        .arg("--socket")
        .arg(directory.join("socket"))
        .arg("--pin-dir")
        .arg(directory.join("pins"))
        .output()
        .unwrap()
}

/// Asserts that the verb failed and printed only errors. Returns its standard
/// error.
fn failed(output: Output) -> String {
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    error
}
