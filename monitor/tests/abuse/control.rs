//! Requests to the control socket: their limits, and the users that may send
//! them.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        net::UnixStream,
    },
    process::{Command, Output},
};

use monitor::control::MAX_REQUEST;

use crate::{
    HANGS, check,
    support::lab::{Lab, copy_binary, text},
};

/// A user and group that no other process of the test has.
const NOBODY: u32 = 65534;

#[test]
fn requests_on_the_control_socket_are_bounded() {
    let lab = Lab::new("abuse-control");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let deep = "[".repeat(MAX_REQUEST - 1) + "\n";
    let endless = "x".repeat(MAX_REQUEST);
    let named = |bytes: usize| {
        let reason = "x".repeat(bytes);
        format!("{{\"verb\":\"feed-fetch\",\"feed\":\"{reason}\"}}\n")
    };
    let around = named(0).len();
    let requests = [
        deep.clone(),
        deep.replace('[', "{\"a\":"),
        endless,
        named(MAX_REQUEST - around),
        named(MAX_REQUEST - around + 1),
        named(1 << 20),
        "{\"verb\":\"status\",\"verb\":\"detach\"}\n".to_owned(),
        "{\"verb\":[\"detach\"]}\n".to_owned(),
        "[\"detach\"]\n".to_owned(),
        "{\"verb\":\"detach\"}{\"verb\":\"detach\"}\n".to_owned(),
        "{\"verb\":\"detach\\u0000\"}\n".to_owned(),
        "\u{feff}{\"verb\":\"detach\"}\n".to_owned(),
        "{\"verb\":\"change\",\"effect\":{\"block\":\"0.0.0.0/0\"},\"device\":null,\"seconds\":1e400,\"undo\":false,\"reason\":null}\n".to_owned(),
    ];
    for request in requests {
        let mut client = UnixStream::connect(lab.socket()).unwrap();
        client.set_read_timeout(Some(HANGS)).unwrap();
        // The daemon may close the connection before a request that is too long
        // is sent completely.
        let _ = client.write_all(request.as_bytes());
        let mut answer = Vec::new();
        if let Err(error) = client.read_to_end(&mut answer) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            assert!(request.len() > MAX_REQUEST);
        }
        let answer = text(&answer);
        let shown = &request[..request.len().min(80)];
        assert!(
            answer.is_empty() || answer.starts_with("{\"refused\":"),
            "{shown}: {answer}"
        );
    }
    check(&lab, &mut daemon);
}

#[test]
fn the_group_reads_and_only_root_changes() {
    let lab = Lab::new("abuse-group");
    let mut daemon = lab.start(&["--mode", "generic"]);
    let directory = lab.directory.path();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    copy_binary(directory);
    chown(lab.socket(), None, Some(NOBODY)).unwrap();
    let status = as_member(&lab, &["status", "--json"]);
    assert!(status.status.success(), "{}", text(&status.stderr));
    for verb in [
        &["reload"][..],
        &["detach"],
        &["pause", "blocked", "--for", "1m"],
        &["block", "203.0.113.7"],
        &["allow", "198.51.100.10"],
        &["feed", "fetch"],
    ] {
        let output = as_member(&lab, verb);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{verb:?}: {error}");
        assert!(error.contains("only root"), "{verb:?}: {error}");
    }
    check(&lab, &mut daemon);
}

/// Runs a verb as a member of the socket's group that is not root.
fn as_member(lab: &Lab, arguments: &[&str]) -> Output {
    Command::new("setpriv")
        .arg(format!("--reuid={NOBODY}"))
        .arg(format!("--regid={NOBODY}"))
        .arg("--clear-groups")
        .arg(lab.directory.path().join("monitor"))
        .args(arguments)
        .arg("--socket")
        .arg(lab.socket())
        .output()
        .expect("run setpriv (Debian package util-linux)")
}
